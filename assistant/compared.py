"""A written sentence beside the quotes it rests on, as each check of grounding.py is given them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, zip_longest
from typing import Literal

from .reading import (
    BORROWER,
    Names,
    Part,
    Reading,
    known_words,
    part_of_speech,
)

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


@dataclass(frozen=True)
class Case:
    """A sentence with what it may rest on, as each check is given it."""

    said: Reading
    quoted: Sequence[Reading]
    sources: Sequence[Source]
    names: Names
    asked: str
    facts: Sequence[str]

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
    def _nearest_parts(self) -> dict[int, list[Part]]:
        return {}

    def nearest(self, part: Part) -> list[Part]:
        """The quoted parts that share most with a part of the sentence."""
        # By which object it is: to compare two of them takes longer than what is saved.
        if id(part) not in self._nearest_parts:
            self._nearest_parts[id(part)] = nearest_to(part, self.quoted_parts)
        return self._nearest_parts[id(part)]


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
