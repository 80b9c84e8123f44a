"""Finds the clauses in force that bear on a question."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from . import store
from .chunk import quotable
from .clearance import load_reviewed
from .coverage import Coverage, Signals, likely, load_coverage
from .dating import as_released, series
from .documents import CONTRACT_DATED, Audience, Clause, Evidence
from .embed import Embedder, Vectors
from .ranking import PLAIN, WEIGHTS, Fit, Ranked, Scope, Section, fit_for, near, rank, section
from .sentences import unpack
from .text import (
    bigrams,
    content_words,
    corrected,
    elsewhere,
    expand,
    matters,
    meanings,
    normalise,
    of_every_contract,
    sides,
)
from .vectors import VectorsMissing, VectorStore, by_audience

if TYPE_CHECKING:
    from .rerank import Ranks

__all__ = [
    "Found",
    "Index",
    "Scope",
    "Signals",
    "compared",
    "covers",
    "mend",
    "mixed",
    "open_index",
    "question_vector",
    "retrieve",
    "share",
    "side_by_side",
]

QUERY_CHARS = 500
"""Only so much of a query is embedded: the time grows with the square of its length."""

CROWDING = 1.0
"""What each further clause of a document loses, in units of the ranking's score, so that one
document or one long article does not crowd out the rest."""

JUDGED = 5
"""How many of the best are looked at to tell whether the question is answered."""

LONG = 30
"""Characters of a question from which its length counts no more."""

CANDIDATES = 60
"""How many of the best are looked through for clauses of other documents."""

MOVED = 0.4
"""Likeness from which a clause is what another version says in another place."""

RERANKED = 30
"""How many of the best are put before a reranker."""


@dataclass(frozen=True, slots=True)
class Found:
    evidence: tuple[Evidence, ...]
    """Best first."""
    asked: Mapping[str, float]
    """Pairs of characters of the question and its synonyms -> how rare each is."""
    searched: int
    """Clauses of the release."""
    mended: str
    """The question without misspellings."""
    read_as: str
    """The question as it was searched: mended, terms added for what its words mean."""
    signals: Signals
    """By what it is judged whether any of the clauses answers the question."""
    odds: float
    """Logarithm of the odds that one of them does, above the bar; see `covers`."""
    prevailing: tuple[tuple[Clause, str], ...]
    """Sentences in force that hold whenever a contract was signed, with their clauses."""
    embed_ms: float
    dense_ms: float
    lexical_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Index:
    """One release, loaded for searching; it needs no closing."""

    release: store.Release
    clauses: Sequence[Clause]
    sections: Mapping[Audience, Section] = field(repr=False)
    fit: Fit = field(repr=False)
    coverage: Coverage
    sentences: Mapping[int, bytes] = field(repr=False)
    """Ordinal -> packed vectors of the clause's sentences."""
    by_id: Mapping[str, Clause] = field(repr=False)
    versions: Mapping[str, Sequence[Clause]] = field(repr=False)
    """Clause id -> the clauses at the same place in all versions of its document."""
    of_series: Mapping[tuple[str, str], Sequence[Clause]] = field(repr=False)
    """Series and product -> the clauses of all versions, where there are several."""
    prevailing: Sequence[tuple[Clause, str]] = field(repr=False)
    """Sentences that say of themselves that they hold whenever a contract was signed."""

    def holding(self, term: str, scope: Scope) -> int:
        """How many clauses of the audience hold a pair of characters."""
        return sum(self.sections[a].lexical.holding(term) for a in scope.audiences())

    def rarity(self, term: str, scope: Scope) -> float:
        """Inverse document frequency; that of a term of no clause is as rare as can be."""
        count = sum(self.sections[a].lexical.count for a in scope.audiences())
        return math.log1p(count / max(self.holding(term, scope), 1))

    def same_terms(self, product: str, first: date, last: date) -> bool:
        """Whether no terms, of a product if one is named, gave way to others between two days."""
        versions: dict[tuple[str, str], set[str]] = {}
        for clause in self.clauses:
            head = clause.head
            if (
                head.kind in CONTRACT_DATED
                and (not product or head.product in ("", product))
                and (head.effective_from or date.min) <= last
                and first <= (head.effective_to or date.max)
            ):
                versions.setdefault((series(head), head.product), set()).add(clause.source)
        return all(len(sources) == 1 for sources in versions.values())

    def vector(self, ordinal: int) -> Vectors:
        """The vector of a clause."""
        held = self.sections[self.clauses[ordinal].audience]
        vector: Vectors = held.vectors[np.searchsorted(held.ordinals, ordinal)]
        return vector


async def open_index(
    engine: AsyncEngine, vector_store: VectorStore, release_id: str | None = None
) -> Index:
    """Load a release, the active one by default; one that is named is read from the cache where
    its vectors were pruned. Raises NoRelease, VectorsMissing, KeyError.
    """
    async with engine.connect() as connection:
        releases = await store.list_releases(connection)
        wanted = [r for r in releases if (r.active if release_id is None else r.id == release_id)]
        if not wanted:
            if release_id is not None:
                raise KeyError(release_id)
            raise store.NoRelease(
                "nothing has been ingested yet: run `zhunxin ingest PATH`, "
                "or `zhunxin ingest --sample` for the sample lender"
            )
        sources = await store.release_sources(connection, wanted[0].id)
        parts = await store.document_clauses(connection, list(sources.values()))
        packed = await store.sentence_vectors(connection, wanted[0].id, wanted[0].embeddings)
        parts = load_reviewed(wanted[0].reviewed).marked(as_released(parts))
        try:
            vectors = await asyncio.to_thread(vector_store.read, wanted[0].id, parts)
        except VectorsMissing:
            if release_id is None:
                raise
            vectors = await _cached(connection, wanted[0], parts)
    return await asyncio.to_thread(_load, wanted[0], parts, packed, vectors)


async def _cached(
    connection: AsyncConnection, release: store.Release, parts: Sequence[Clause]
) -> dict[Audience, Vectors]:
    """The vectors of a release as they were computed. Raises VectorsMissing."""
    hashes = [store.embedding_hash(part) for part in parts]
    known = await store.cached_vectors(connection, dict.fromkeys(hashes), release.embeddings)
    if missing := len(set(hashes) - known.keys()):
        raise VectorsMissing(
            f"{missing} vectors of release {release.id} are nowhere: run `zhunxin release "
            f"activate {release.id}` to compute them again"
        )
    return {
        audience: np.array([known[hashes[at]] for at in ordinals], np.float32)
        for audience, ordinals in by_audience(parts).items()
    }


def _load(
    release: store.Release,
    parts: Sequence[Clause],
    packed: Mapping[str, bytes],
    vectors: Mapping[Audience, Vectors],
) -> Index:
    width = max(rows.shape[1] for rows in vectors.values() if rows.ndim == 2)
    sections = {
        audience: section(
            [(ordinal, parts[ordinal]) for ordinal in ordinals],
            vectors[audience] if ordinals else np.empty((0, width), np.float32),
        )
        for audience, ordinals in by_audience(parts).items()
    }
    return Index(
        release=release,
        clauses=parts,
        sections=sections,
        fit=fit_for(release.embeddings, width),
        coverage=load_coverage(release.coverage, release.embeddings),
        sentences={
            ordinal: packed[embed_hash]
            for ordinal, part in enumerate(parts)
            if (embed_hash := store.embedding_hash(part)) in packed
        },
        by_id={part.id: part for part in parts},
        versions=_versions(parts),
        of_series=_of_series(parts),
        prevailing=[
            (part, sentence)
            for part in parts
            if part.head.kind not in CONTRACT_DATED and of_every_contract(part.text)
            for sentence in quotable(part)
            if of_every_contract(sentence)
        ],
    )


def _versions(parts: Sequence[Clause]) -> dict[str, list[Clause]]:
    """Clause id -> all clauses at its place: same series, product, and article title or locator."""
    titles = Counter((part.source, part.title) for part in parts)
    places: dict[tuple[str, ...], list[Clause]] = {}
    for part in parts:
        if part.head.kind in CONTRACT_DATED:
            titled = part.title != part.head.title and titles[part.source, part.title] == 1
            name = part.title if titled else part.locator
            places.setdefault((series(part.head), part.head.product, name), []).append(part)
    return {part.id: versions for versions in places.values() for part in versions}


def _of_series(parts: Sequence[Clause]) -> dict[tuple[str, str], list[Clause]]:
    held: dict[tuple[str, str], list[Clause]] = {}
    for part in parts:
        if part.head.kind in CONTRACT_DATED:
            held.setdefault((series(part.head), part.head.product), []).append(part)
    return {
        key: clauses for key, clauses in held.items() if len({part.source for part in clauses}) > 1
    }


def retrieve(
    index: Index,
    embedder: Embedder,
    text: str,
    scope: Scope,
    k: int,
    reranker: Ranks | None = None,
) -> Found:
    """The k best clauses in force for `text`. Blocks: call it in a thread."""
    started = time.perf_counter()
    sections = [index.sections[audience] for audience in scope.audiences()]
    mended = mend(index, text, scope)
    query = expand(mended)
    asked = time.perf_counter()
    vector = question_vector(embedder, query)
    plain = question_vector(embedder, mended) if mended != query else vector
    embedded = time.perf_counter()
    nearness = near(sections, index.fit.aimed(mixed(plain, vector)))
    searched = time.perf_counter()
    ranked = rank(sections, nearness, query, scope)
    aimed = index.fit.aimed(vector)
    best = _best(index, ranked, aimed, max(k, RERANKED if reranker else JUDGED))
    done = time.perf_counter()
    read = _read(index, mended, scope)
    evidence = tuple(_evidence(index, ranked, one, vector, read) for one in best)
    signals = _signals(index, read, evidence)
    if reranker is not None:
        evidence = reranker.rerank(text, evidence)
    return Found(
        evidence[:k],
        asked={term: index.rarity(term, scope) for term in dict.fromkeys(bigrams(query))},
        searched=len(index.clauses),
        mended=mended,
        read_as=query,
        signals=signals,
        odds=index.coverage.odds(signals),
        prevailing=tuple(
            (clause, sentence)
            for clause, sentence in index.prevailing
            if clause.in_force(scope.on) and clause.audience in scope.audiences()
        ),
        embed_ms=(embedded - asked) * 1000,
        dense_ms=(searched - embedded) * 1000,
        lexical_ms=(done - searched) * 1000,
        total_ms=(time.perf_counter() - started) * 1000,
    )


def compared(index: Index, text: str, scope: Scope) -> tuple[str, ...]:
    """The question put of each of the things that it compares; nothing where it compares none."""

    def known(phrase: str) -> bool:
        return any(
            normalise(phrase) in _searched(index.clauses[section.ordinals[place]])
            for section in map(index.sections.__getitem__, scope.audiences())
            for place in section.lexical.having(bigrams(phrase))
        )

    return sides(mend(index, text, scope), known)


def side_by_side(found: Sequence[Found]) -> Found:
    """What was found of each of the things that are compared, the best of each first."""
    rows = itertools.zip_longest(*(one.evidence for one in found))
    unique = {item.clause.id: item for row in reversed([*rows]) for item in reversed(row) if item}
    best = max(found, key=lambda one: one.odds)
    return replace(
        best,
        evidence=tuple(reversed(unique.values())),
        embed_ms=sum(one.embed_ms for one in found),
        dense_ms=sum(one.dense_ms for one in found),
        lexical_ms=sum(one.lexical_ms for one in found),
        total_ms=sum(one.total_ms for one in found),
    )


def mend(index: Index, text: str, scope: Scope) -> str:
    """The question without misspellings, as far as the documents tell."""
    return corrected(text, lambda pair: index.holding(pair, scope) > 0)


def question_vector(embedder: Embedder, query: str) -> Vectors:
    """The vector of a question that was mended and expanded."""
    return embedder.query(normalise(query)[:QUERY_CHARS])


def mixed(plain: Vectors, expanded: Vectors) -> Vectors:
    """What clauses are compared with: the question as it was asked, and with synonyms."""
    both: Vectors = PLAIN * plain + (1 - PLAIN) * expanded
    return both


def covers(found: Found) -> bool:
    """Whether anything found is likely to answer the question."""
    return bool(found.evidence) and likely(found.odds, found.searched)


def share(asked: Mapping[str, float], text: str) -> float:
    """How much of a question a text holds, weighted by rarity, 0 to 1."""
    held = asked.keys() & set(bigrams(text))
    return sum(asked[pair] for pair in held) / (sum(asked.values()) or 1.0)


@dataclass(frozen=True, slots=True)
class _Read:
    """A question as it was understood."""

    text: str
    words: Mapping[str, float]
    """The words that name something, rarest first, and how rare each is."""
    meant: Mapping[str, Sequence[str]]
    """What it says colloquially -> the words of terms for it."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A clause among the best."""

    place: int
    """In the arrays of the ranking."""
    score: float
    added: Mapping[str, float]
    """Parts of the score that only the best are given."""
    sentences: tuple[float, ...]
    share: float
    """What turns the ranking's score into one of 0 to 1."""


def _best(index: Index, ranked: Ranked, aimed: Vectors, k: int) -> list[_Placed]:
    """The k best clauses, best first.

    Of those that rank best as wholes, one counts for its nearest sentence too, and each further
    one of a document is put back a little.
    """
    if not len(ranked.score):
        return []
    among = min(max(CANDIDATES, 2 * k), len(ranked.score))
    left = np.argpartition(-ranked.score, among - 1)[:among]
    said = _sentences(index, ranked, aimed, left.tolist())
    nearest = {place: WEIGHTS["sentence"] * max(near) for place, near in said.items()}
    total = {place: float(ranked.score[place]) + nearest[place] for place in said}
    order = sorted(total, key=lambda place: (-total[place], ranked.ordinals[place]))
    share = 1 / max(total[order[0]], 1e-6)
    before: Counter[str] = Counter()
    placed: list[_Placed] = []
    for place in order:
        source = index.clauses[ranked.ordinals[place]].source
        crowding = -CROWDING * before[source]
        before[source] += 1
        added = {"sentence": nearest[place], "crowding": crowding}
        placed.append(_Placed(place, total[place] + crowding, added, said[place], share))
    return sorted(placed, key=lambda one: -one.score)[:k]


def _sentences(
    index: Index, ranked: Ranked, aimed: Vectors, places: Sequence[int]
) -> dict[int, tuple[float, ...]]:
    """How near the sentences of some clauses lie, or the clause itself where it has none."""
    ordinals = [int(ranked.ordinals[place]) for place in places]
    packed = [index.sentences.get(ordinal, b"") for ordinal in ordinals]
    rows = unpack(packed, len(aimed))
    near = ((rows @ aimed - ranked.mean) / ranked.spread).tolist()
    ends = itertools.accumulate((len(one) // len(aimed) for one in packed), initial=0)
    return {
        place: tuple(near[start:end])
        or (float(index.vector(ordinal) @ aimed - ranked.mean) / ranked.spread,)
        for place, ordinal, (start, end) in zip(
            places, ordinals, itertools.pairwise(ends), strict=True
        )
    }


def _evidence(index: Index, ranked: Ranked, one: _Placed, vector: Vectors, read: _Read) -> Evidence:
    clause = index.clauses[ranked.ordinals[one.place]]
    text = _searched(clause)
    why = {name: float(part[one.place]) for name, part in ranked.parts.items()}
    known = [*read.words, *(term for terms in read.meant.values() for term in terms)]
    return Evidence(
        clause=clause,
        score=max(0.0, one.score * one.share),
        dense=float(index.vector(ranked.ordinals[one.place]) @ vector),
        lexical=float(ranked.bm25[one.place]) / (float(ranked.bm25.max()) or 1.0),
        versions=_other_versions(index, clause),
        why={name: part * one.share for name, part in {**why, **one.added}.items() if part},
        sentences=one.sentences,
        matched=tuple(word for word in dict.fromkeys(known) if word in text),
    )


@lru_cache(maxsize=4096)
def _searched(clause: Clause) -> str:
    """What words are looked for in; the clauses that are often found are kept."""
    return normalise(store.embedding_text(clause))


def _read(index: Index, text: str, scope: Scope) -> _Read:
    rarity = {
        word: max(index.rarity(pair, scope) for pair in bigrams(word))
        for word in content_words(text)
    }
    words = dict(sorted(rarity.items(), key=lambda item: -item[1]))
    return _Read(text, words, meanings(text))


def _signals(index: Index, read: _Read, evidence: Sequence[Evidence]) -> Signals:
    """What tells whether the clauses found answer the question, beside their order.

    near: of the nearest clause, see Coverage.nearness. sentence: of the nearest sentence, in
    standard deviations of the clauses in scope. missing: share of the question's words that name
    something, weighted by rarity, that no clause found says. elsewhere: 1 where the question names
    what lenders may have nothing to do with, and none of the best clauses does, or asks a matter
    that no clause found speaks of. length: of the question; those of one model are farther from all
    clauses where they are long.
    """
    spoken_of = all(
        any(told.search(_searched(item.clause)) for item in evidence) for told in matters(read.text)
    )
    evidence = evidence[:JUDGED]
    held = {word for item in evidence for word in item.matched}
    missing = [word for word in read.words if not _held(word, held, read.meant)]
    named = elsewhere(read.text)
    texts = [_searched(item.clause) for item in evidence] if named else []
    return {
        "near": index.coverage.nearness(max((item.dense for item in evidence), default=-1.0)),
        "sentence": max((near for item in evidence for near in item.sentences), default=0.0),
        "missing": sum(read.words[word] for word in missing) / (sum(read.words.values()) or 1.0),
        "elsewhere": float(
            not spoken_of or any(not any(topic in text for text in texts) for topic in named)
        ),
        "length": min(len(read.text), LONG) / LONG,
    }


def _held(word: str, held: Collection[str], meant: Mapping[str, Sequence[str]]) -> bool:
    """Whether a clause found says a word, or what a phrase around it means."""
    return word in held or any(
        any(term in held for term in terms)
        for said, terms in meant.items()
        if word in said or said in word
    )


def _other_versions(index: Index, clause: Clause) -> tuple[Clause, ...]:
    """The same place in other versions, where the wording differs, newest first; of a version that
    is set out otherwise, the clause that says most of the same."""
    placed = index.versions.get(clause.id, ())
    sources = {one.source for one in placed}
    of_series = index.of_series.get((series(clause.head), clause.head.product), ())
    moved: dict[str, list[Clause]] = {}
    for one in of_series:
        if one.source not in sources:
            moved.setdefault(one.source, []).append(one)
    alike = [max(held, key=lambda one: _likeness(clause, one)) for held in moved.values()]
    others = [
        other
        for other in [*placed, *(one for one in alike if _likeness(clause, one) >= MOVED)]
        if not _overlap(other, clause)
        and other.audience == clause.audience
        and other.text != clause.text
    ]
    return tuple(sorted(others, key=lambda o: o.head.effective_from or date.min, reverse=True))


def _likeness(one: Clause, other: Clause) -> float:
    """Share of the shorter clause's pairs of characters that the other has too, 0 to 1."""
    own, others = set(bigrams(one.text)), set(bigrams(other.text))
    return len(own & others) / max(1, min(len(own), len(others)))


def _overlap(one: Clause, other: Clause) -> bool:
    """Whether two clauses are in force on a common day."""
    return (one.head.effective_from or date.min) <= (other.head.effective_to or date.max) and (
        other.head.effective_from or date.min
    ) <= (one.head.effective_to or date.max)
