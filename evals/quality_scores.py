"""Scores of conversations: which points are lost, at which turn, and which are not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from assistant.quality import SHIPPED, Book, Knowledge, load_book, score
from assistant.rules import RulePack, load_rules
from assistant.transcripts import Transcript, of_rows

from .arithmetic import ArithmeticCase
from .schema import Text


@cache
def knowledge() -> tuple[str, ...]:
    """What the cases are held to, in place of a release."""
    file = Path(__file__).parent / "cases" / "quality_scores_knowledge.md"
    return tuple(file.read_text(encoding="utf-8").splitlines())


def _known_tool(tool: str) -> str:
    if tool != "score":
        raise ValueError(f"no {tool!r}")
    return tool


class ScoreCase(ArithmeticCase):
    """One conversation, and points that it loses or must not lose."""

    tool: Annotated[Text, AfterValidator(_known_tool)]


@cache
def _made_by() -> tuple[RulePack, Book, Knowledge]:
    book = load_book(SHIPPED)
    return load_rules("cn"), book, Knowledge(knowledge(), book.empty)


def scored(tool: str, arguments: Mapping[str, Any]) -> Any:
    """`lost` and `met`: code -> the first turn of it; `flags` -> true; and what it comes to."""
    pack, book, knowledge = _made_by()
    rows = [{"speaker": speaker, "text": text} for speaker, text in arguments["turns"]]
    read = of_rows("case", rows, topic=arguments.get("topic", ""), facts=arguments.get("facts"))
    if not isinstance(read, Transcript):
        return {"fault": {problem.code: True for problem in read.problems}}
    on = date.fromisoformat(arguments.get("on", "2026-11-20"))
    found = score(read, pack, book, knowledge, on=on)
    lost: dict[str, int | None] = {}
    met: dict[str, int | None] = {}
    for point in found.points:
        (met if point.met else lost).setdefault(point.code, point.turn)
    return {
        "lost": lost,
        "met": met,
        "flags": dict.fromkeys(found.flags, True),
        "total": None if found.total is None else f"{found.total:.2f}",
        "passed": found.passed,
        "task": found.task,
        "topic": found.topic,
    }
