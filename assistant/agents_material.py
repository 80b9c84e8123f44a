"""What agents' material alone says, and whether a text for a borrower tells it.

No model: wording is compared by runs of characters, figures by their value and the words beside
them. What borrowers may read as well, or what is written to be said to them, is nobody's secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from knowledge.chunk import quotable
from knowledge.documents import Clause
from knowledge.text import content_words, normalise

from .figures import Figure, find

RUN = 4
"""Characters of a run, without signs and spaces."""
LEAST_RUNS = 6
LEAST_SHARE = 0.5
"""Of the runs of a sentence that agents' material alone has."""
BESIDE = 30
"""Characters to each side of a figure in which the words beside it stand."""
LEAST_WORDS = 2
"""That a figure must have beside it in both texts."""
COMMON = 0.04
"""Of the texts for borrowers: a word that more of them have tells nothing."""
FEWEST_COMMON = 3
MOST_OF_NAME = 12
"""Characters in quotation marks that are a name; what is longer is speech."""

_KINDS = frozenset({"money", "rate", "discount", "term", "time", "count", "phone"})
_NUMBERS = frozenset({"count", "phone"})
"""Kinds of numbers to call or to count: one that borrowers know is no secret, whatever it is of."""
_QUOTED = re.compile("[\u201c\u300c\u300e]([^\u201d\u300d\u300f]+)[\u201d\u300d\u300f]")
_SENTENCE_END = re.compile("(?<=[\u3002\uff01\uff1f!?;\uff1b\n])")
_TO_A_BORROWER = "\u60a8"
"""The polite you: a sentence that has it is written to be said."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of agents' material."""

    runs: frozenset[str]
    """Those that no text for borrowers has."""
    words: frozenset[str]
    figures: tuple[tuple[Figure, tuple[frozenset[str], ...]], ...]
    """Each with those of the words that a text for borrowers says of the same figure."""
    names: frozenset[str]

    def told_by(self, told: frozenset[str], bare: str, stated: Iterable[_Stated]) -> bool:
        """told: runs of a text; bare: its characters; stated: its figures with the words beside."""
        shared = len(told & self.runs)
        if shared >= max(LEAST_RUNS, LEAST_SHARE * len(self.runs)):
            return True
        if any(name in bare for name in self.names):
            return True
        return any(
            _same(figure, own)
            and len(words & self.words) >= LEAST_WORDS
            and all(len(words & known) < LEAST_WORDS for known in public)
            for figure, words in stated
            for own, public in self.figures
        )


_Stated = tuple[Figure, frozenset[str]]


@dataclass(frozen=True, slots=True)
class AgentsMaterial:
    """The sentences of a release that only agents may read."""

    sentences: tuple[_Sentence, ...]

    def told(self, text: str) -> list[Span]:
        """Sentences of a text that tell what agents' material alone says."""
        if not self.sentences:
            return []
        cuts = [0, *(m.start() for m in _SENTENCE_END.finditer(text)), len(text)]
        stated = [(f, _beside(text, f)) for f in _figures(text)]
        found = []
        for start, end in pairwise(cuts):
            bare = _bare(text[start:end])
            here = [each for each in stated if start <= each[0].span[0] < end]
            if any(each.told_by(frozenset(_runs(bare)), bare, here) for each in self.sentences):
                found.append((start, end))
        return found


def read_agents_material(clauses: Sequence[Clause], others: Iterable[str]) -> AgentsMaterial:
    """others: further texts that borrowers may be sent, such as scripts."""
    inner = [
        sentence
        for clause in clauses
        if clause.head.audience == "agent"
        for quote in quotable(clause)
        if _TO_A_BORROWER not in (sentence := _unsaid(quote))
    ]
    if not inner:
        return AgentsMaterial(())
    outer = [clause.text for clause in clauses if clause.head.audience != "agent"]
    return AgentsMaterial(tuple(_sentences(inner, [*outer, *others])))


def _sentences(inner: Sequence[str], outer: Sequence[str]) -> Iterator[_Sentence]:
    runs = [set(_runs(_bare(text))) for text in inner]
    names = [{_bare(m[1]) for m in _QUOTED.finditer(text)} for text in inner]
    words = [_words(text) for text in inner]
    figures = [_figures(text) for text in inner]
    public: dict[Figure, list[frozenset[str]]] = {f: [] for own in figures for f in own}
    every_run, every_name = set().union(*runs), set().union(*names)
    every_word = frozenset().union(*words)
    said_of: Counter[str] = Counter()
    for text in outer:
        bare = _bare(text)
        every_run.difference_update(_runs(bare))
        every_name = {name for name in every_name if name not in bare}
        said_of.update(word for word in every_word if word in bare)
        # Reading figures takes a hundred times as long as looking for their digits.
        if any(_digits(figure) in bare for figure in public):
            for stated in find(text):
                for figure, known in public.items():
                    if _same(stated, figure):
                        known.append(_beside(text, stated))
    common = {w for w, n in said_of.items() if n > max(FEWEST_COMMON, COMMON * len(outer))}
    for own_runs, own_names, own_words, own_figures in zip(
        runs, names, words, figures, strict=True
    ):
        yield _Sentence(
            frozenset(own_runs & every_run),
            own_words - common,
            tuple(
                (figure, tuple(public[figure]))
                for figure in own_figures
                if not (public[figure] and figure.kind in _NUMBERS)
            ),
            frozenset(name for name in own_names & every_name if len(name) >= RUN),
        )


def _same(one: Figure, other: Figure) -> bool:
    return (one.kind, one.value, one.unit) == (other.kind, other.value, other.unit)


def _digits(figure: Figure) -> str:
    written = normalise(figure.text)
    return "".join(filter(str.isdigit, written)) or written


def _figures(text: str) -> list[Figure]:
    """Those that may be kept from borrowers: a count of a few is no such figure."""
    return [
        f
        for f in find(text)
        if f.kind in _KINDS
        and not (f.kind == "count" and isinstance(f.value, Decimal) and f.value < 10)
    ]


def _beside(text: str, figure: Figure) -> frozenset[str]:
    """The words beside a figure, without its unit."""
    start, end = figure.span
    near = _words(text[max(0, start - BESIDE) : end + BESIDE])
    return frozenset(word for word in near if word not in figure.text)


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in content_words(text) if not word[0].isdigit())


def _unsaid(quote: str) -> str:
    """Without what it says in quotation marks that is to be said, which is longer than a name."""
    return _QUOTED.sub(lambda m: m.group() if len(m[1]) <= MOST_OF_NAME else "", quote)


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, normalise(text)))


def _runs(bare: str) -> Iterator[str]:
    return (bare[at : at + RUN] for at in range(len(bare) - RUN + 1))
