"""Compares two versions of a document clause by clause, and two releases document by document."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from typing import Literal

from .chunk import place_of
from .documents import Clause, Head

Change = Literal["same", "changed", "moved", "added", "removed"]

ALIKE = 0.5
"""Share of common character pairs, of both clauses and of the shorter one, averaged, from which
two clauses are versions of each other."""

ALIKE_IN_PLACE = 0.25
"""The same for clauses at the same article number or heading."""

COMPARED_TOKENS = 3000
"""Longest stretch of words that is searched for differences; a longer one differs as a whole."""

ISLAND = 2
"""Characters in common between two differences that are read as one difference."""

Spans = tuple[tuple[int, int], ...]
"""Where a text differs: start and end offsets, in order, without overlap."""


@dataclass(frozen=True, slots=True)
class ClauseChange:
    """One row of two versions side by side."""

    change: Change
    """`moved`: the same text at another place; `changed`: another text, perhaps elsewhere too."""
    before: Clause | None
    """None where the clause was added."""
    after: Clause | None
    """None where it was removed."""
    before_spans: Spans = ()
    """What of `before.text` is not in `after.text`."""
    after_spans: Spans = ()


@dataclass(frozen=True, slots=True)
class HeadChange:
    """A field of a document's head that differs; empty where the head does not set it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DocumentChange:
    source: str
    title: str
    head: tuple[HeadChange, ...]
    clauses: tuple[ClauseChange, ...]
    """Without those that are the same."""


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """What differs between two releases, documents by source name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[DocumentChange, ...]
    clauses: tuple[ClauseChange, ...]
    """Of all of these documents, without those that are the same."""


def documents(before: Sequence[Clause], after: Sequence[Clause]) -> list[ClauseChange]:
    """Two versions of one document side by side, in reading order; equal clauses are in it too."""
    pairs = _pair(before, after)
    new_of = dict(pairs)
    rows: list[ClauseChange] = []
    gone: dict[int, list[int]] = {}
    """Removed clauses by the kept clause they stood behind; -1 for the beginning."""
    kept = -1
    for old in range(len(before)):
        if old in new_of:
            kept = old
        else:
            gone.setdefault(kept, []).append(old)

    def removed(place: int) -> Iterator[ClauseChange]:
        for old in gone.get(place, ()):
            yield ClauseChange("removed", before[old], None)

    rows.extend(removed(-1))
    old_of = {new: old for old, new in pairs}
    for new, clause in enumerate(after):
        if new in old_of:
            rows.append(_row(before[old_of[new]], clause))
            rows.extend(removed(old_of[new]))
        else:
            rows.append(ClauseChange("added", None, clause))
    return rows


def releases(
    before: Mapping[str, Sequence[Clause]], after: Mapping[str, Sequence[Clause]]
) -> ReleaseChange:
    """What differs between two releases, given their clauses by source as they are in force."""
    changed = []
    for source in sorted(before.keys() & after.keys()):
        old, new = before[source], after[source]
        if old == new:
            continue
        head = head_changes(old[0].head, new[0].head)
        rows = tuple(row for row in documents(old, new) if row.change != "same")
        if head or rows:
            changed.append(DocumentChange(source, new[0].head.title, head, rows))
    added = sorted(after.keys() - before.keys())
    removed = sorted(before.keys() - after.keys())
    return ReleaseChange(
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(changed),
        clauses=(
            *(ClauseChange("removed", part, None) for name in removed for part in before[name]),
            *(ClauseChange("added", None, part) for name in added for part in after[name]),
            *(row for document in changed for row in document.clauses),
        ),
    )


def head_changes(before: Head, after: Head) -> tuple[HeadChange, ...]:
    """Fields of a head that differ, in the order of the fields."""

    def said(head: Head, name: str) -> str:
        value = getattr(head, name)
        return "" if value is None else str(value)

    return tuple(
        HeadChange(field.name, said(before, field.name), said(after, field.name))
        for field in fields(Head)
        if getattr(before, field.name) != getattr(after, field.name)
    )


def differences(before: str, after: str) -> tuple[Spans, Spans]:
    """What of each text is not in the other, word by word."""
    old, new = _tokens(before), _tokens(after)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old_mid, new_mid = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(old_mid), len(new_mid)) > COMPARED_TOKENS:
        steps = [("replace", 0, len(old_mid), 0, len(new_mid))]
    else:
        matcher = SequenceMatcher(None, old_mid, new_mid, autojunk=False)
        steps = [step for step in matcher.get_opcodes() if step[0] != "equal"]
    old_at, new_at = _offsets(old), _offsets(new)
    return (
        _joined([(old_at[head + a], old_at[head + b]) for _, a, b, _, _ in steps], before),
        _joined([(new_at[head + a], new_at[head + b]) for _, _, _, a, b in steps], after),
    )


_FIGURE = re.compile(r"(\d[\d,.]*\d%?|\d%?)")


def _tokens(text: str) -> list[str]:
    """Words, figures and signs that make up the text when put together."""
    import rjieba

    return [
        token
        for part in _FIGURE.split(text)
        for token in ([part] if part[:1].isdigit() else rjieba.cut(part))
        if token
    ]


def _offsets(tokens: Sequence[str]) -> list[int]:
    at = [0]
    for token in tokens:
        at.append(at[-1] + len(token))
    return at


def _joined(spans: Sequence[tuple[int, int]], text: str) -> Spans:
    """Spans in order, those with next to nothing between them as one, without blank ends."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if not text[start:end].strip():
            continue
        if joined and start - joined[-1][1] < ISLAND and "\n" not in text[joined[-1][1] : start]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _row(before: Clause, after: Clause) -> ClauseChange:
    if before.text == after.text:
        return ClauseChange(
            "same" if place_of(before) == place_of(after) else "moved", before, after
        )
    return ClauseChange("changed", before, after, *differences(before.text, after.text))


def _pair(before: Sequence[Clause], after: Sequence[Clause]) -> list[tuple[int, int]]:
    """Which clause of one version is which of the other: by text, by place, then by likeness."""
    old_left, new_left = dict(enumerate(before)), dict(enumerate(after))
    pairs: list[tuple[int, int]] = []

    def take(old: int, new: int) -> None:
        pairs.append((old, new))
        del old_left[old], new_left[new]

    # Equal texts at the same place first, so that of a text that stands twice each finds its own.
    for key in (_place_and_text, _text):
        where: dict[str, list[int]] = {}
        for new, clause in new_left.items():
            where.setdefault(key(clause), []).append(new)
        for old, clause in list(old_left.items()):
            if same := where.get(key(clause)):
                take(old, same.pop(0))

    likeness = _likenesses(old_left, new_left)

    def at_one_place(old: int, new: int) -> bool:
        return place_of(before[old]) == place_of(after[new])

    ranked = sorted(
        likeness.items(),
        key=lambda item: (-(item[1] + ALIKE_IN_PLACE * at_one_place(*item[0])), item[0]),
    )
    for (old, new), alike in ranked:
        bar = ALIKE_IN_PLACE if at_one_place(old, new) else ALIKE
        if old in old_left and new in new_left and alike >= bar:
            take(old, new)
    # A heading that was kept names its section even where every word of it is new; an article
    # number names nothing.
    named: dict[str, list[int]] = {}
    for new, clause in new_left.items():
        named.setdefault(place_of(clause), []).append(new)
    for old, clause in list(old_left.items()):
        if _NUMBERED.search(clause.locator) is None and (same := named.get(place_of(clause))):
            take(old, same.pop(0))
    return pairs


_NUMBERED = re.compile(r"第[^第\s]{1,12}条(?:之\S{1,4})?$")


def _text(clause: Clause) -> str:
    return " ".join(clause.text.split())


def _place_and_text(clause: Clause) -> str:
    return f"{place_of(clause)}\n{_text(clause)}"


COMMON = 0.2
"""Share of a document's clauses in which a pair of characters says nothing of their likeness."""


def _likenesses(
    before: Mapping[int, Clause], after: Mapping[int, Clause]
) -> dict[tuple[int, int], float]:
    """How alike every two clauses are that have enough in common, 0 to 1."""
    old_pairs = {place: _pairs_of(clause.text) for place, clause in before.items()}
    new_pairs = {place: _pairs_of(clause.text) for place, clause in after.items()}
    holders: dict[str, list[int]] = {}
    for place, pairs in new_pairs.items():
        for pair in pairs:
            holders.setdefault(pair, []).append(place)
    most = max(20, int(COMMON * len(after)))
    found: dict[tuple[int, int], float] = {}
    for old, pairs in old_pairs.items():
        near: Counter[int] = Counter()
        for pair in pairs:
            places = holders.get(pair, [])
            if len(places) <= most:
                near.update(places)
        for new, _ in near.most_common(10):
            common = len(pairs & new_pairs[new])
            # Of an article that grew, what it was is in what it became.
            held = common / min(len(pairs), len(new_pairs[new]))
            alike = common / (len(pairs) + len(new_pairs[new])) + held / 2
            if alike >= ALIKE_IN_PLACE:
                found[old, new] = alike
    return found


def _pairs_of(text: str) -> frozenset[str]:
    held = "".join(text.split())
    return frozenset(held[i : i + 2] for i in range(len(held) - 1)) or frozenset({held})
