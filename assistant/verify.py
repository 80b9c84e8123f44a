"""A strong model as second reader: do the clauses say what a written sentence says?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from prompts.render import Prompt, render

from .llm import ChatModel, Message

_VERDICT = {
    "type": "object",
    "properties": {"entailed": {"type": "boolean"}},
    "required": ["entailed"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class ModelVerifier:
    """Asks a model for one verdict a sentence; see gate.Verifier."""

    model: ChatModel
    prompts: list[Prompt] = field(default_factory=list)
    """What was asked, for the record."""

    async def entails(self, sentence: str, quotes: Sequence[str]) -> bool:
        """Raises llm.ModelError, also where the answer is no verdict."""
        system = render("zh/verify_system")
        ask = render("zh/verify", sentence=sentence, quotes=list(quotes))
        self.prompts.extend((system, ask))
        messages = [Message("system", system.text), Message("user", ask.text)]
        completion = await self.model.complete(messages, schema=_VERDICT, max_tokens=32)
        return json.loads(completion.text)["entailed"] is True
