"""A release as a shelf of documents: their versions, whether they are in force, which are stale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from .dating import series as series_of
from .documents import Clause, Head

State = Literal["past", "current", "future"]

StaleReason = Literal["ended", "replaced", "unreviewed"]
"""`ended`: no longer in force and no later version is there; `replaced`: one is; `unreviewed`:
in force, and nobody has looked at it for a year."""


@dataclass(frozen=True, slots=True)
class Stale:
    reason: StaleReason
    since: date
    """Last day in force, or the day of the last review; where none is recorded, the first in force,
    and of a document without either the day it was ingested."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """One document of a release."""

    source: str
    head: Head
    clauses: int
    pages: int
    """Highest page number; 0 where the format has no pages."""


def shelve(clauses: Iterable[Clause]) -> list[Shelved]:
    """The documents that these clauses make up, by source name."""
    parts: dict[str, list[Clause]] = {}
    for clause in clauses:
        parts.setdefault(clause.source, []).append(clause)
    return [
        Shelved(
            source=source,
            head=_head_of(held),
            clauses=len(held),
            pages=max((clause.page or 0 for clause in held), default=0),
        )
        for source, held in sorted(parts.items())
    ]


def state_on(head: Head, day: date) -> State:
    if head.effective_to is not None and head.effective_to < day:
        return "past"
    if head.effective_from is not None and day < head.effective_from:
        return "future"
    return "current"


def versions(shelf: Iterable[Shelved]) -> dict[str, list[Shelved]]:
    """Source -> all versions of that document, itself among them, oldest first."""
    series: dict[tuple[str, str], list[Shelved]] = {}
    for document in sorted(shelf, key=lambda d: (d.head.effective_from or date.min, d.source)):
        series.setdefault(_series(document), []).append(document)
    return {document.source: found for found in series.values() for document in found}


def stale_since(
    document: Shelved, others: Sequence[Shelved], day: date, ingested: date
) -> Stale | None:
    """Why somebody should look at a document, if anybody should.

    others: all versions of it; ingested: when its content first became part of a release.
    """
    head = document.head
    if head.effective_to is not None and head.effective_to < day:
        later = any(
            other.source != document.source
            and (other.head.effective_to or date.max) > head.effective_to
            for other in others
        )
        return Stale("replaced" if later else "ended", head.effective_to)
    if state_on(head, day) == "future":
        return None
    reviewed = head.reviewed or head.effective_from or ingested
    return Stale("unreviewed", reviewed) if reviewed <= _year_before(day) else None


def _head_of(clauses: Sequence[Clause]) -> Head:
    """The head that most clauses have: ready-made ones may carry dates of their own."""
    heads: dict[Head, int] = {}
    for clause in clauses:
        heads[clause.head] = heads.get(clause.head, 0) + 1
    return max(heads, key=lambda head: heads[head])


def _series(document: Shelved) -> tuple[str, str]:
    head = document.head
    return series_of(head) or document.source, head.product


def _year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)
