"""Groups the questions that no clause answered, so that a person sees what is asked most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from knowledge.text import bigrams, normalise

ALIKE = 0.5
"""Share of their pairs of characters that two questions have in common (Jaccard) from which they
are one group."""

WORDINGS = 5
"""Most other wordings of a group that are named."""


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that ask for much the same."""

    example: str
    """The latest of them, as it was stored: with personal data masked."""
    count: int
    last_asked: datetime
    others: tuple[str, ...]
    """Further wordings, latest first."""


def group_questions(asked: Sequence[tuple[str, datetime]]) -> list[Group]:
    """Most frequent first.

    asked: questions with the time of each, newest first.
    """
    groups: list[tuple[frozenset[str], list[tuple[str, datetime]]]] = []
    exact: dict[str, int] = {}
    holders: dict[str, set[int]] = {}
    for text, at in asked:
        normal = "".join(c for c in normalise(text) if c.isalnum())
        pairs = frozenset(bigrams(text)) or frozenset({normal})
        place = exact.get(normal)
        if place is None:
            near = {group for pair in pairs for group in holders.get(pair, ())}
            alike = {group: _alike(pairs, groups[group][0]) for group in near}
            best = max(alike, key=lambda group: (alike[group], -group), default=None)
            if best is None or alike[best] < ALIKE:
                best = len(groups)
                groups.append((pairs, []))
                for pair in pairs:
                    holders.setdefault(pair, set()).add(best)
            place = exact[normal] = best
        groups[place][1].append((text, at))
    made = [
        Group(
            example=members[0][0],
            count=len(members),
            last_asked=members[0][1],
            others=tuple(dict.fromkeys(text for text, _ in members if text != members[0][0]))[
                :WORDINGS
            ],
        )
        for _, members in groups
    ]
    return sorted(made, key=lambda group: (-group.count, -group.last_asked.timestamp()))


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
