"""The score of a conversation by data and rules alone: what was done well, what not, and where.

No model is asked: the same conversation gets the same score, and each point that it loses says for
which turn, which words, by which rule or step. What counts how much, and all wording, is data:
quality.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from .rules import RulePack, Task
from .transcripts import Transcript

Part = Literal["rules", "figures", "steps", "politeness", "answered", "promises"]


@dataclass(frozen=True, slots=True)
class Point:
    """What a conversation loses points for, and where to read it."""

    part: Part
    code: str
    """A rule of the pack (`rules`), else a row of quality.toml."""
    lost: float
    """Points off the part, 0 to its weight; what a part cannot lose any more is 0."""
    turn: int | None
    """Counted from 0; None: nothing was said where something had to be."""
    span: tuple[int, int]
    text: str
    """Verbatim, masked."""
    why: str
    """In simplified Chinese; other languages by the code."""
    severity: str = ""
    by: str = ""
    """Whose turn it was."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a conversation is worth, 0 to 100."""

    transcript_id: str
    total: float
    parts: Mapping[Part, float]
    """Points of each part that applied; those that did not count for nothing."""
    weights: Mapping[Part, float]
    """The most that each of them can reach; together 100."""
    points: tuple[Point, ...]
    flags: tuple[str, ...]
    """Such as `blocking_rule`, `incomplete`, `no_staff_turn`."""
    task: Task
    topic: str
    agents: tuple[str, ...]
    """Logins of people who spoke for the lender."""
    turns: int
    rules_version: str
    scoring_version: str


def score(
    transcript: Transcript,
    pack: RulePack,
    knowledge: Sequence[str] = (),
    *,
    on: date,
    facts: Mapping[str, Any] | None = None,
) -> Score:
    """Judge a conversation.

    knowledge: texts of the clauses in force on its day. facts: what the lender's systems know of
    the customer, in place of the transcript's own.
    """
    raise NotImplementedError
