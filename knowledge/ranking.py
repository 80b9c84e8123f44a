"""Ranks clauses for a question: what vectors and words say of each, in units that can be added.

The clauses of one audience make up a section, with arrays of their own. A borrower's question is
ranked over the borrowers' section alone: what is for agents is not among the candidates at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import store
from .documents import CONTRACT_DATED, Audience, Clause, Head, Kind
from .embed import Vectors
from .lender import product_in
from .lexical import Lexical, Scores, bm25, build_lexical
from .text import bigrams, words

WEIGHTS: Mapping[str, float] = {
    "dense": 2.4,
    "pairs": 0.2,
    "words": 0.5,
    "length": 0.4,
    "restated": -3.0,
    "sentence": 2.3,
}
"""What one standard deviation among the clauses in scope counts for; fitted by evals.fit_weights.

dense: nearness of the clause. pairs, words: BM25 of pairs of characters, and of words.
length: mends that short texts lie nearer to every question. restated: 1 for a summary of the law:
what the lender itself says, or the official text, comes first where both bear on the question
equally; see RESTATED_FAQ. sentence: nearness of the nearest sentence, among the best."""

RESTATED_FAQ = 0.7
"""How much of that a FAQ counts, which restates terms and policies."""

PLAIN = 0.75
"""How much of the question as it was asked is in what clauses are compared with; the rest is the
question with the words that terms use for what it says."""

FITTED = Path(__file__).parent / "ranking.json"

_OPEN_FROM, _OPEN_TO = 0, 99991231


@dataclass(frozen=True, slots=True)
class Scope:
    """Which clauses may answer: those in force on the date that matters to each kind."""

    on: date
    """Laws and policies are taken as of this day."""
    contract_date: date | None = None
    """Product terms are taken as of this day; None takes those of `on`."""
    kinds: frozenset[Kind] = frozenset()
    """Empty for all kinds."""
    audience: Audience = "borrower"
    """Agents see borrower material too."""
    product: str = ""
    """Leaves out clauses of other products; clauses of no product stay."""
    products: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    """Product key -> its folded names, by the only one of which in its title a document is of that
    product where nobody said so."""

    def terms_known(self, clauses: Iterable[Clause]) -> bool:
        """Whether terms of the named product were in force on the day of the contract; where no
        terms at all are said to be of a product, nothing tells that they were not."""
        if not (self.contract_date and self.product):
            return True
        terms = [c for c in clauses if c.head.kind in CONTRACT_DATED and c.head.product]
        own = [clause for clause in terms if clause.head.product == self.product]
        return not terms or any(clause.in_force(self.contract_date) for clause in own)

    def audiences(self) -> tuple[Audience, ...]:
        """Whose sections are searched."""
        return ("borrower", "agent") if self.audience == "agent" else ("borrower",)


@dataclass(frozen=True, slots=True)
class Section:
    """The clauses of one audience, as arrays that agree by place."""

    ordinals: NDArray[np.int32]
    """Place of each among the clauses of the release."""
    vectors: Vectors
    lexical: Lexical
    """Of pairs of characters."""
    words: Lexical
    length: Scores
    """Logarithm of the length."""
    restated: Scores
    begins: NDArray[np.int32]
    """First day in force, as yyyymmdd."""
    ends: NDArray[np.int32]
    """Last day in force."""
    contract_dated: NDArray[np.bool_]
    kinds: NDArray[np.str_]
    products: NDArray[np.str_]
    titles: Sequence[str]
    """Of documents of no product, each once."""
    titled: NDArray[np.int32]
    """Which of them each clause is of; one past the last where none."""

    def admitted(self, scope: Scope) -> NDArray[np.bool_]:
        """Which of them are in force on their day, and of the kind and product asked for."""
        on = day_number(scope.on, _OPEN_FROM)
        signed = day_number(scope.contract_date or scope.on, _OPEN_FROM)
        day = np.where(self.contract_dated, signed, on)
        admitted = (self.begins <= day) & (day <= self.ends)
        if scope.kinds:
            admitted &= np.isin(self.kinds, sorted(scope.kinds))
        if scope.product:
            admitted &= (self.products == "") | (self.products == scope.product)
            own = [product_in(scope.products, title) for title in self.titles]
            admitted &= np.isin([*own, ""], ["", scope.product])[self.titled]
        return admitted


@dataclass(frozen=True, slots=True)
class Ranked:
    """The clauses in scope; all arrays agree by place."""

    ordinals: NDArray[np.int32]
    score: Scores
    """The parts added up; the average clause has 0 in dense, pairs, words and length."""
    parts: Mapping[str, Scores]
    bm25: Scores
    mean: float
    """Of the nearness of the clauses in scope."""
    spread: float
    """Its standard deviation; 1 where all are alike."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How an embedder's vectors are compared, fitted on development sets; see evals.fit_ranking."""

    dimensions: Vectors
    """How much each dimension counts."""

    def aimed(self, query: Vectors) -> Vectors:
        """The vector whose inner product with a clause's says how near they are."""
        aimed: Vectors = (query * self.dimensions).astype(np.float32)
        return aimed


def section(clauses: Sequence[tuple[int, Clause]], vectors: Vectors) -> Section:
    """Arrays of clauses and their vectors; each clause comes with its ordinal in the release."""
    heads = [clause.head for _, clause in clauses]
    texts = [store.embedding_text(clause) for _, clause in clauses]
    titles = {
        title: at for at, title in enumerate(dict.fromkeys(h.title for h in heads if not h.product))
    }
    return Section(
        ordinals=np.array([ordinal for ordinal, _ in clauses], np.int32),
        vectors=vectors,
        lexical=build_lexical(map(bigrams, texts)),
        words=build_lexical(map(words, texts)),
        length=np.log([1.0 + len(text) for text in texts]).astype(np.float32),
        restated=np.array([_restated(head) for head in heads], np.float32),
        begins=np.array([day_number(head.effective_from, _OPEN_FROM) for head in heads], np.int32),
        ends=np.array([day_number(head.effective_to, _OPEN_TO) for head in heads], np.int32),
        contract_dated=np.array([head.kind in CONTRACT_DATED for head in heads], np.bool_),
        kinds=np.array([head.kind for head in heads], np.str_),
        products=np.array([head.product for head in heads], np.str_),
        titles=[*titles],
        titled=np.array(
            [len(titles) if head.product else titles[head.title] for head in heads], np.int32
        ),
    )


def _restated(head: Head) -> float:
    return 1.0 if head.digest else RESTATED_FAQ if head.kind == "faq" else 0.0


def near(sections: Sequence[Section], aimed: Vectors) -> list[Scores]:
    """How near the clauses of each section lie to a question, in or out of scope.

    Not by `@`: its library splits one product over all cores, and eight questions at a time wait
    for one another twenty times as long as they take.
    """
    return [np.einsum("ij,j->i", part.vectors, aimed) for part in sections]


def rank(
    sections: Sequence[Section], nearness: Sequence[Scores], query: str, scope: Scope
) -> Ranked:
    """Every clause of the sections that the scope admits, with its score; in no order."""
    masks = [part.admitted(scope) for part in sections]

    def in_scope(values: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([value[mask] for value, mask in zip(values, masks, strict=True)])

    pairs, named = bigrams(query), words(query)
    matched = in_scope(bm25(part.lexical, pairs) for part in sections)
    nearest = in_scope(nearness)
    parts = {
        "dense": WEIGHTS["dense"] * standardised(nearest),
        "pairs": WEIGHTS["pairs"] * standardised(matched),
        "words": WEIGHTS["words"]
        * standardised(in_scope(bm25(part.words, named) for part in sections)),
        "length": WEIGHTS["length"] * standardised(in_scope(part.length for part in sections)),
        "restated": WEIGHTS["restated"] * in_scope(part.restated for part in sections),
    }
    return Ranked(
        ordinals=in_scope(part.ordinals for part in sections),
        score=sum(parts.values(), np.zeros(len(matched), np.float32)),
        parts=parts,
        bm25=matched,
        mean=float(nearest.mean()) if len(nearest) else 0.0,
        spread=(float(nearest.std()) if len(nearest) else 0.0) or 1.0,
    )


def standardised(values: Scores) -> Scores:
    """In standard deviations from the mean; 0 where all are alike."""
    if not len(values):
        return values
    spread = float(values.std())
    centred: Scores = values - values.mean()
    return centred / spread if spread > 1e-6 else centred * 0.0


def fit_for(embedder: str, width: int) -> Fit:
    """What was fitted for an embedder of that name, or plain cosines where nothing was."""
    known = _fits().get(embedder)
    if known is None or len(known["dimensions"]) != width:
        return Fit(np.ones(width, np.float32))
    return Fit(np.array(known["dimensions"], np.float32))


@lru_cache(maxsize=1)
def _fits() -> dict[str, Any]:
    fits: dict[str, Any] = json.loads(FITTED.read_text(encoding="utf-8"))["embedders"]
    return fits


def day_number(day: date | None, open_end: int) -> int:
    """A day as yyyymmdd."""
    return open_end if day is None else day.year * 10000 + day.month * 100 + day.day
