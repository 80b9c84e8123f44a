"""What rules hold against a lender's own clauses, and which of it a person let stand.

A clause with something against it that blocks is held back: it is among the agents' clauses only,
whoever its document is for, until a person has confirmed its text as it stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from .documents import Clause

Severity = Literal["warn", "fix", "block"]
"""`block` holds the clause back, `fix` the sentence alone, `warn` nothing."""

CONFIRMED: frozenset[Severity] = frozenset({"fix", "block"})
"""What keeps text from being shown, so that a person may let it stand."""

LISTED = 1000
"""Most findings that are listed; all are counted, and all hold back."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What a rule holds against a clause."""

    rule: str
    title: str
    title_en: str
    severity: Severity
    span: tuple[int, int]
    """In the clause's text."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that clauses are reviewed by."""

    version: str
    """Other rules have another one; a release that was reviewed by it is not reviewed again."""
    review: Callable[[Clause], Sequence[Flaw]]


NO_RULES = Rules("", lambda clause: ())


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """A flaw of a clause, as it is listed."""

    clause_id: str
    source: str
    locator: str
    text: str
    """The clause."""
    text_hash: str
    rule: str
    title: str
    title_en: str
    severity: Severity
    span: tuple[int, int]
    """In the text."""
    confirmed: bool = False
    """Whether a person let it stand."""
    kind: Literal["rule"] = "rule"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What was found in the clauses of a release, and what of it was confirmed when it was built;
    both by the hash of a clause's text."""

    version: str = ""
    """Of the rules."""
    flaws: Mapping[str, Sequence[Flaw]] = field(default_factory=dict)
    cleared: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The rules that a person let the text break."""

    def outdated(self, confirmed: Mapping[str, Collection[str]]) -> bool:
        """Whether a person has let something stand since, or taken that back."""
        return any(
            set(confirmed.get(known, ())) != set(self.cleared.get(known, ()))
            for known in self.flaws
        )

    def holds_back(self, text_hash: str) -> bool:
        cleared = self.cleared.get(text_hash, ())
        flaws = self.flaws.get(text_hash, ())
        return any(flaw.severity == "block" and flaw.rule not in cleared for flaw in flaws)

    def marked(self, parts: Iterable[Clause]) -> list[Clause]:
        """The clauses, with what a reader of them has to know."""
        return [self._marked(part) if self.flaws and is_lenders(part) else part for part in parts]

    def _marked(self, part: Clause) -> Clause:
        known = text_hash(part)
        if known not in self.flaws:
            return part
        cleared = tuple(sorted(self.cleared.get(known, ())))
        return replace(part, held=self.holds_back(known), cleared=cleared)

    def listed(self, parts: Iterable[Clause]) -> tuple[tuple[RuleFinding, ...], int]:
        """What is to be looked at, the worst first, and how many there are."""
        found = [
            RuleFinding(
                part.id,
                part.source,
                part.locator,
                part.text,
                known,
                **asdict(flaw),
                confirmed=flaw.rule in self.cleared.get(known, ()),
            )
            for part in parts
            if self.flaws and is_lenders(part)
            for known in (text_hash(part),)
            for flaw in self.flaws.get(known, ())
        ]
        found.sort(key=lambda f: (f.confirmed, _ORDER[f.severity], f.source))
        return tuple(found[:LISTED]), len(found)

    def as_json(self) -> str:
        """The same text for the same content."""
        return json.dumps(
            {
                "version": self.version,
                "flaws": {known: [asdict(f) for f in found] for known, found in self.flaws.items()},
                "cleared": {known: sorted(rules) for known, rules in self.cleared.items()},
            },
            ensure_ascii=False,
            sort_keys=True,
        )


_TOLD = 100
"""Texts between two words on how far a review is."""
_ORDER: Mapping[Severity, int] = {"block": 0, "fix": 1, "warn": 2}


def load_reviewed(text: str | None) -> Reviewed:
    """What `as_json` wrote; nothing of a release that was not reviewed."""
    if not text:
        return Reviewed()
    raw = json.loads(text)
    flaws = {
        known: tuple(Flaw(**row | {"span": tuple(row["span"])}) for row in found)
        for known, found in raw["flaws"].items()
    }
    return Reviewed(raw["version"], flaws, raw["cleared"])


def text_hash(part: Clause) -> str:
    """What a confirmation is of: the same words have it wherever they stand."""
    return hashlib.sha256(part.text.encode()).hexdigest()


def is_lenders(part: Clause) -> bool:
    """Whether the lender wrote it; a law may say what nobody else may."""
    return part.head.kind != "regulation"


def review_clauses(
    parts: Iterable[Clause],
    rules: Rules,
    confirmed: Mapping[str, Collection[str]],
    before: Reviewed,
    unchanged: Collection[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Reviewed:
    """Review each text once, and those of documents that were reviewed by the same rules not again.

    confirmed: text hash -> rules that a person let it break.
    before, unchanged: what was found in the release before, and the sources that it has too.
    progress: called with how many texts are reviewed, and of how many.
    """
    if not rules.version:
        return Reviewed()
    known = before.flaws if before.version == rules.version else None
    flaws: dict[str, Sequence[Flaw]] = {}
    new: dict[str, Clause] = {}
    for part in filter(is_lenders, parts):
        hashed = text_hash(part)
        if known is not None and part.source in unchanged:
            flaws[hashed] = known.get(hashed, ())
        else:
            new[hashed] = part
    for done, (hashed, part) in enumerate(new.items()):
        if done % _TOLD == 0:
            progress(done, len(new))
        if hashed not in flaws:
            flaws[hashed] = rules.review(part)
    if new:
        progress(len(new), len(new))
    found = {hashed: held for hashed, held in flaws.items() if held}
    cleared = {hashed: confirmed[hashed] for hashed in found if hashed in confirmed}
    return Reviewed(rules.version, found, cleared)
