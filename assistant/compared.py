"""A written sentence beside the quotes it rests on, as each check of grounding.py is given them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, zip_longest
from typing import Literal

from .reading import (
    BORROWER,
    Names,
    Part,
    Reading,
    Token,
    known_words,
    part_of_speech,
    read_text,
)
from .signing import Period

Reason = Literal[
    "unsupported_figure",
    "bound_contradicted",
    "figure_role",
    "polarity",
    "subject",
    "condition_dropped",
    "promise",
    "invented",
    "unlike",
]

ROW = re.compile(r"[^,;:]{1,8}[:\uff1a][^;]*[;\uff1b]")
"""How a row of a table begins."""
MAY, MUST = "\u53ef\u4ee5", "\u987b"
"""What stands for all that permits, and for all that demands."""
FREE = "\u514d"
"""With what the words begin by which nothing is charged."""
OF = "\u7684"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a sentence says that its quotes do not."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a sentence may rest on."""

    quote: str
    heading: str = ""
    """Titles above the quote, which may name the product."""
    product: str = ""
    """Key of the product whose terms the quote stands in."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a sentence need not say again, since the question or the reply has said it before."""

    products: Set[str] = frozenset()
    """Of which the talk is: those of the latest sentence that names any, else of the question."""
    meanings: Set[str] = frozenset()
    denied: Set[str] = frozenset()
    figures: Set[tuple[str, object, str]] = frozenset()
    """Kind, value and bound."""
    times: Set[tuple[str, str]] = frozenset()
    """Before, within or after what something is; see `sides_of`."""


@dataclass(frozen=True)
class Case:
    """A sentence with what it may rest on, as each check is given it."""

    said: Reading
    quoted: Sequence[Reading]
    sources: Sequence[Source]
    names: Names
    asked: str
    facts: Sequence[str]
    before: Sequence[str] = ()
    """Sentences that the reply has shown before it."""
    signed: Period | None = None
    """First and last day on which the borrower may have signed."""

    @cached_property
    def quoted_parts(self) -> Sequence[Part]:
        return [part for reading in self.quoted for part in reading.parts]

    @cached_property
    def quoted_meanings(self) -> Set[str]:
        return {token.meaning for reading in self.quoted for token in reading.tokens()}

    @cached_property
    def quoted_text(self) -> str:
        return "\n".join(reading.folded for reading in self.quoted)

    @cached_property
    def setting(self) -> Setting:
        """Of the question, and of the sentences before back to the one that sets the scene."""
        by_quotes = meant_by(self.quoted)
        asked = settled(read_text(self.asked, self.names), by_quotes)
        told: list[Reading] = []
        for text in reversed(self.before):
            told.append(settled(read_text(text, self.names), by_quotes))
            if _sets_scene(told[-1]):
                # What stands before it is of another case.
                break
        # What another is not like is not what the talk is of.
        unlike = known_words().compares
        named = [
            frozenset() if unlike.search(reading.folded) else products_of([reading])
            for reading in told
        ]
        named.append(products_of([asked]))
        products = next((found for found in named if found), frozenset())
        if len(named[-1]) == 1 and named[-1] <= products:
            # Where several were told of, the talk is of the one that was asked about.
            products = named[-1]
        tokens = [token for reading in told for token in reading.tokens()]
        # Of several cases that are asked about, none is that of the sentence; and that the lender
        # has decided something is not so because the borrower says it.
        if not known_words().compares.search(asked.folded):
            told.append(asked)
            decisions = known_words().decisions
            tokens += [t for t in asked.tokens() if not {t.raw, t.meaning} & decisions]
        tokens = [token for token in tokens if token.kind != "grammar"]
        return Setting(
            products,
            {t.meaning for t in tokens if t.sign == "said"},
            {t.meaning for t in tokens if t.sign == "denied"},
            {(f.kind, f.value, f.bound) for r in told for p in r.parts for f in p.figures},
            {time for r in told for p in r.parts for time in sides_of(p)},
        )

    @cached_property
    def _nearest_parts(self) -> dict[int, list[Part]]:
        return {}

    def nearest(self, part: Part) -> list[Part]:
        """The quoted parts that share most with a part of the sentence."""
        # By which object it is: to compare two of them takes longer than what is saved.
        if id(part) not in self._nearest_parts:
            self._nearest_parts[id(part)] = nearest_to(part, self.quoted_parts)
        return self._nearest_parts[id(part)]


Meant = tuple[Mapping[str, Token], Set[str]]
"""Word of the quotes for each of its senses, and what the quotes' words mean."""


def meant_by(quoted: Sequence[Reading]) -> Meant:
    """What words that no quote has may stand for."""
    meant: dict[str, Token] = {}
    senses = known_words().senses
    held = {t.meaning for r in quoted for t in r.tokens() if t.kind in ("word", "party")}
    for reading in quoted:
        for token in reading.tokens():
            plain = token.kind in ("grammar", "talk") and len(token.raw) > 1
            if plain or token.kind == "word" or token.raw in known_words().others:
                for sense in (token.meaning, *senses.get(token.raw, ())):
                    other = meant.get(sense)
                    if other is None or (other.kind != "word" and token.kind == "word"):
                        meant[sense] = token
    return meant, held


def settled(said: Reading, by_quotes: Meant) -> Reading:
    """The same, where words no quote has mean the quoted words that they may stand for."""
    meant, held = by_quotes
    senses = known_words().senses

    def settle(token: Token) -> Token:
        if token.kind not in ("word", "grammar", "talk", "party") or token.meaning in held:
            return token
        if token.kind != "word" and (len(token.raw) == 1 or token.meaning < "\u3400"):
            return token
        if token.meaning >= "\ue000":
            return token
        own = senses.get(token.raw, frozenset()) | {token.meaning}
        stands_for = [meant[sense] for sense in sorted(own) if sense in meant]
        if not stands_for:
            return token
        kinds = {other.kind for other in stands_for}
        other = next((o for o in stands_for if o.kind == "word"), stands_for[0])
        if token.kind != "word" and "word" not in kinds and "party" not in kinds:
            return token
        return replace(token, kind=other.kind, meaning=other.meaning)

    parts = tuple(replace(p, tokens=tuple(map(settle, p.tokens))) for p in said.parts)
    return replace(said, parts=parts)


def _sets_scene(reading: Reading) -> bool:
    """Whether a sentence says of which product, of what day, instalment or contract, or in which
    case it speaks."""
    wording = known_words()
    return bool(products_of([reading])) or any(
        wording.condition.search(part.raw)
        or wording.supposes.search(part.raw)
        or any(figure.kind in ("date", "position") for figure in part.figures)
        or wording.signing & part.meanings()
        for part in reading.parts
    )


def products_of(readings: Iterable[Reading]) -> Set[str]:
    return {t.meaning for r in readings for t in r.tokens() if t.kind == "product"}


def nearest_to(part: Part, others: Iterable[Part]) -> list[Part]:
    """The quoted parts that share most with a part; empty where none shares anything."""
    own = part.meanings()
    values = {(f.kind, f.value) for f in part.figures}
    best: list[Part] = []
    most = 0.0
    for other in others:
        shared = float(sum(2 if m >= BORROWER else len(m) for m in own & other.meanings()))
        shared += 2 * sum((f.kind, f.value) in values for f in other.figures)
        if shared > most:
            best, most = [other], shared
        elif shared == most and most:
            best.append(other)
    return best


def times_of(part: Part) -> Iterator[tuple[str, str]]:
    """Each word before or after which something is, and which of both."""
    wording = known_words()
    for token, after in pairwise(part.tokens):
        if token.kind == "word" and after.raw in wording.earlier:
            yield token.meaning, "earlier"
        elif token.kind == "word" and after.raw in wording.later | wording.starts:
            yield token.meaning, "later"


def sides_of(part: Part) -> Set[tuple[str, str]]:
    """Before, within or after what something is: the word or period, and which of them."""
    return set(times_of(part)) | {
        (match.group(1), side)
        for side, pattern in known_words().periods.items()
        for match in pattern.finditer(part.raw)
    }


def modals_of(part: Part) -> set[str]:
    """What a part permits, demands or foretells; `!` before what it denies of these."""
    return {
        ("!" if t.sign == "denied" else "") + t.meaning for t in part.tokens if t.kind == "modal"
    }


def agent_of(part: Part) -> tuple[str, bool]:
    """Who acts in a part, as far as it says so, and whether a verb says it of them at once."""
    wording = known_words()
    previous = ""
    first, verb = "", False
    ahead = False
    for token, after in zip_longest(part.tokens, part.tokens[1:]):
        spared, ahead = (
            ahead,
            bool(
                token and token.kind == "modal" and token.meaning == MUST and token.sign == "denied"
            ),
        )
        if token and token.kind == "party":
            if previous[-1:] in wording.acts:
                return token.meaning, True
            owner = after is not None and (after.raw == OF or after.kind == "product")
            owner = owner or (
                after is not None
                and token.raw in wording.others
                and after.kind == "word"
                and part_of_speech(after.raw) == "n"
            )
            if spared:
                continue
            told = after is not None and after.kind in ("modal", "negation")
            owned = previous == OF and token.raw in wording.others and told
            if not first and (previous not in wording.objects or owned) and not owner:
                first = token.meaning
                verb = after is not None and after.kind in ("modal", "negation")
        previous = token.raw if token else ""
    return first, verb


def sentences_of(reading: Reading) -> list[list[Part]]:
    """Parts of a text that belong together; a row of a table is one statement."""
    row = ROW.match(reading.folded) is not None
    groups: list[list[Part]] = [[]]
    for part in reading.parts:
        if part.aside:
            groups[0].append(part)
            continue
        groups[-1].append(part)
        if part.ends_sentence and not row:
            groups.append([])
    return groups
