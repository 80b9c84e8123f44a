"""What clauses have in common with a question: BM25 over pairs of characters, and over words.

Kept in arrays: a query is a handful of additions, and a hundred thousand clauses are indexed in
seconds from what SQL holds.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

K1, B = 1.0, 0.3
"""Measured on a development set of statute questions, and on questions to the sample lender."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lexical:
    """Postings of texts: which of them hold a term, and what that is worth."""

    terms: Mapping[str, int]
    """Term -> its number."""
    starts: NDArray[np.int64]
    """Where the postings of each term begin, and the end of the last."""
    holders: NDArray[np.int32]
    worth: Scores
    """BM25 of each posting."""
    count: int
    """Texts."""

    def holding(self, term: str) -> int:
        """How many texts hold a term."""
        number = self.terms.get(term)
        return 0 if number is None else int(self.starts[number + 1] - self.starts[number])

    def having(self, terms: Iterable[str]) -> NDArray[np.int32]:
        """Which texts hold all of some terms."""
        numbers = [self.terms.get(term, -1) for term in terms]
        if -1 in numbers or not numbers:
            return np.empty(0, np.int32)
        held = (self.holders[self.starts[n] : self.starts[n + 1]] for n in numbers)
        return reduce(np.intersect1d, sorted(held, key=len))


def build_lexical(texts: Iterable[Sequence[str]]) -> Lexical:
    """texts: the terms of each."""
    terms: dict[str, int] = {}
    numbers, owners, times, lengths = array("i"), array("i"), array("i"), array("i")
    for owner, text in enumerate(texts):
        held = Counter(text)
        numbers.extend(terms.setdefault(term, len(terms)) for term in held)
        owners.extend([owner] * len(held))
        times.extend(held.values())
        lengths.append(held.total())
    of_term, of_text = np.frombuffer(numbers, np.int32), np.frombuffer(owners, np.int32)
    by_term = np.argsort(of_term, kind="stable")
    starts = np.searchsorted(of_term[by_term], np.arange(len(terms) + 1)).astype(np.int64)
    holders = of_text[by_term]
    held_times = np.frombuffer(times, np.int32)[by_term].astype(np.float32)
    length = np.frombuffer(lengths, np.int32).astype(np.float32)
    count = len(length)
    holding = np.diff(starts)
    rarity = np.log1p((count - holding + 0.5) / (holding + 0.5)).astype(np.float32)
    long = K1 * (1 - B + B * length / (length.mean() or 1.0 if count else 1.0))
    worth = np.repeat(rarity, holding) * held_times * (K1 + 1) / (held_times + long[holders])
    return Lexical(terms, starts, holders, worth.astype(np.float32), count)


def bm25(lexical: Lexical, terms: Sequence[str]) -> Scores:
    """How well each text matches the terms of a question, 0 where none of them is held."""
    scores = np.zeros(lexical.count, np.float32)
    for term in dict.fromkeys(terms):
        number = lexical.terms.get(term)
        if number is not None:
            held = slice(lexical.starts[number], lexical.starts[number + 1])
            # A term names a text once, so nothing is added twice to one place.
            scores[lexical.holders[held]] += lexical.worth[held]
    return scores
