"""Which tools a message calls: told by patterns, or chosen by a model among those that come near.

What patterns tell is exact and asks no model. A capable model is bound to the tools and may call
them in turn; a small one, held to a schema, only picks one by its name. Whatever a model names,
arguments are figures that stand in the message, and whose record is read is never one of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import structlog

from prompts.render import Prompt, calculations, render

from .asked import Asked, ToolBook, ToolRow, candidates, labelled, read, read_arguments
from .llm import ChatModel, Message, ModelError, ToolSpec

MOST_ROUNDS = 4
MOST_CALLS = 3
"""Calls of one round that are made; a question needs no more."""
NONE = "none"

log = structlog.get_logger()


@dataclass(slots=True)
class Calling:
    """The calls of one message, one round after the other."""

    book: ToolBook
    text: str
    today: date
    model: Callable[[], Awaitable[ChatModel]] | None
    """None where clauses are only quoted."""
    prompts: list[Prompt]
    """Receives the wording that is used."""
    results: list[tuple[str, str]] = field(default_factory=list)
    """Tools that were called, and what each said."""
    by_model: bool = False
    """Whether a small model picked what was called: what it picked may be beside the question."""
    _rounds: int = 0
    _made: set[str] = field(default_factory=set)

    async def next(self) -> Sequence[Asked]:
        """What is called next; nothing where that is all."""
        self._rounds += 1
        if self._rounds == 1:
            # In a thread: of a message that is nothing but figures it takes a while.
            asked = await asyncio.to_thread(read, self.book, self.text, self.today)
            if asked:
                self._rounds = MOST_ROUNDS
                return [asked]
        if self._rounds > MOST_ROUNDS or self.model is None:
            return []
        rows = await asyncio.to_thread(candidates, self.book, self.text)
        if not rows:
            return []
        try:
            model = await self.model()
            if model.way == "draft":
                return await self._called(model, rows)
            self._rounds, self.by_model = MOST_ROUNDS, True
            return await self._picked(model, rows)
        except ModelError as error:
            # The question is answered without tools, as far as clauses answer it.
            log.warning("no tool was chosen", error=str(error))
            self._rounds = MOST_ROUNDS
            return []

    async def _called(self, model: ChatModel, rows: Sequence[ToolRow]) -> list[Asked]:
        system = render("zh/tools_system")
        ask = render("zh/tools_question", question=self.text, results=self.results)
        self.prompts += [system, ask]
        completion = await model.complete(
            [Message("system", system.text), Message("user", ask.text)],
            tools=[spec_of(row) for row in rows],
            max_tokens=400,
        )
        by_id = {row.id: row for row in rows}
        asked: list[Asked] = []
        for call in json.loads(completion.text)["calls"][:MOST_CALLS]:
            row = by_id.get(call["tool"])
            if row is None:
                continue
            made = labelled(self.book, row, self.text, self.today, call["arguments"])
            if repr(made) not in self._made:
                self._made.add(repr(made))
                asked.append(made)
        return asked

    async def _picked(self, model: ChatModel, rows: Sequence[ToolRow]) -> list[Asked]:
        ask = render("zh/tools_pick", question=self.text, rows=rows)
        self.prompts.append(ask)
        names = [*dict.fromkeys(row.id for row in rows), NONE]
        schema = {
            "type": "object",
            "properties": {"tool": {"type": "string", "enum": names}},
            "required": ["tool"],
            "additionalProperties": False,
        }
        completion = await model.complete([Message("user", ask.text)], schema=schema, max_tokens=24)
        picked = json.loads(completion.text)["tool"]
        row = next((row for row in rows if row.id == picked), None)
        return [read_arguments(self.book, row, self.text, self.today)] if row else []


def spec_of(row: ToolRow) -> ToolSpec:
    """A tool as a model is told of it: its arguments are figures and words of the message."""
    words = calculations()["word"]

    def about(name: str) -> str:
        return str(words[name]["zh-Hans"]) if name in words else name

    properties: dict[str, Any] = {
        name: {"type": "string", "description": about(name)} for name in row.takes
    }
    return ToolSpec(
        row.id,
        row.about,
        {"type": "object", "properties": properties, "additionalProperties": False},
    )
