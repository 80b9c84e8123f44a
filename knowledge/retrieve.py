"""Finds the clauses in force that bear on a question: dense and lexical scores, fused."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from . import store
from .documents import CONTRACT_DATED, Audience, Clause, Evidence, Kind
from .embed import Embedder, Vectors
from .text import bigrams, expand, words
from .vectors import OPEN_FROM, OPEN_TO, OpenVectors, VectorStore, day_number, vector_metadata

DEPTH = 200
"""How many clauses of each list are fused."""

QUERY_CHARS = 500
"""Only so much of a query is embedded: the time grows with the square of its length."""

WEIGHTS: Mapping[str, float] = {"dense": 2.0, "words": 0.5, "bigrams": 0.5}
"""Measured on a development set of statute questions; of min-max normalised scores."""

DIGEST_HANDICAP = 0.08
"""Taken from the fused score of a digest: what the lender itself says, or the official text, comes
before a summary of the law that bears on the question equally."""

COVERED: Mapping[str, float] = {
    "cosine": 31.1,
    "standout": 84.0,
    "coverage": 2.7,
    "length": 0.145,
    "bias": -31.4,
}
"""Logistic fit on evals/cases/coverage_dev.jsonl, with the bar at odds of 0.4: turning away a
question that is answered is a worse fault than asking the model in vain. See `covers`."""

COVERED_CLAUSES = 100
"""Clauses from which a cosine can stand out; of fewer, any found may answer."""

COVERED_LENGTH = 30
"""Characters of a question from which its length counts no more."""


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

    def terms_known(self, clauses: Iterable[Clause]) -> bool:
        """Whether terms of the named product were in force on the day of the contract."""
        if not (self.contract_date and self.product):
            return True
        return any(
            clause.head.kind in CONTRACT_DATED
            and clause.head.product == self.product
            and clause.in_force(self.contract_date)
            for clause in clauses
        )

    def admits(self, clause: Clause) -> bool:
        """Whether a clause is in force on its day, and of the audience, kind and product asked."""
        head = clause.head
        day = (self.contract_date if head.kind in CONTRACT_DATED else None) or self.on
        return (
            clause.in_force(day)
            and self.audience in ("agent", head.audience)
            and (not self.kinds or head.kind in self.kinds)
            and (not self.product or head.product in ("", self.product))
        )


@dataclass(frozen=True, slots=True)
class Found:
    evidence: tuple[Evidence, ...]
    """Best first."""
    asked: Mapping[str, float]
    """Pairs of characters of the question and its synonyms -> how rare each is."""
    searched: int
    """Clauses of the release."""
    length: int
    """Characters of the question."""
    standout: float
    """By how much the best cosine exceeds the mean of the list."""
    coverage: float
    """Largest share of the question, weighted by rarity, that one clause holds, 0 to 1."""
    embed_ms: float
    dense_ms: float
    lexical_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Index:
    """One release, loaded for searching. Its methods block for milliseconds: use a thread."""

    release: store.Release
    clauses: Sequence[Clause]
    lexical: Any = field(repr=False)
    vectors: OpenVectors = field(repr=False)
    rarity: Mapping[str, float] = field(repr=False)
    """Pair of characters -> inverse document frequency; one of no clause is as rare as can be."""
    by_id: Mapping[str, Clause] = field(repr=False)
    versions: Mapping[str, Sequence[Clause]] = field(repr=False)
    """Clause id -> the clauses at the same place in all versions of its document."""

    def close(self) -> None:
        self.vectors.close()


async def open_index(
    engine: AsyncEngine, vector_store: VectorStore, release_id: str | None = None
) -> Index:
    """Load a release (the active one by default). Raises NoRelease, VectorsMissing, KeyError."""
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
    parts = as_released(parts)
    lexical, rarity = await asyncio.to_thread(_build_lexical, parts)
    vectors = await asyncio.to_thread(vector_store.open, wanted[0].id, len(parts))
    return Index(
        release=wanted[0],
        clauses=parts,
        lexical=lexical,
        vectors=vectors,
        rarity=rarity,
        by_id={part.id: part for part in parts},
        versions=_versions(parts),
    )


def as_released(parts: Iterable[Clause]) -> list[Clause]:
    """Clauses in the order that gives each its ordinal, and with the end that a newer law sets.

    Of regulations that share a title, one without an end is in force until the day before the next
    one's begin: an official text does not say when it will be repealed.
    """
    ordered = sorted(parts, key=lambda part: part.source)
    begins: dict[str, set[date]] = {}
    for part in ordered:
        if part.head.kind == "regulation" and part.head.effective_from:
            begins.setdefault(_series(part), set()).add(part.head.effective_from)
    return [_with_end(part, begins.get(_series(part), set())) for part in ordered]


def _with_end(part: Clause, begins: Iterable[date]) -> Clause:
    head = part.head
    if head.kind != "regulation" or head.effective_to or not head.effective_from:
        return part
    later = [day for day in begins if day > head.effective_from]
    if not later:
        return part
    return replace(part, head=replace(head, effective_to=min(later) - timedelta(days=1)))


def _series(part: Clause) -> str:
    return part.head.series or part.head.title


def _versions(parts: Sequence[Clause]) -> dict[str, list[Clause]]:
    """Clause id -> all clauses at its place: same series, product, and article title or locator."""
    titles = Counter((part.source, part.title) for part in parts)
    places: dict[tuple[str, ...], list[Clause]] = {}
    for part in parts:
        if part.head.kind in CONTRACT_DATED:
            titled = part.title != part.head.title and titles[part.source, part.title] == 1
            name = part.title if titled else part.locator
            places.setdefault((_series(part), part.head.product, name), []).append(part)
    return {part.id: versions for versions in places.values() for part in versions}


def retrieve(index: Index, embedder: Embedder, text: str, scope: Scope, k: int) -> Found:
    """The k best clauses in force for `text`. Blocks: call it in a thread."""
    started = time.perf_counter()
    query = expand(text)
    vector = embedder.query(query[:QUERY_CHARS])
    embedded = time.perf_counter()
    dense = _nearest(index, vector, scope)
    searched = time.perf_counter()
    by_words = _lexical(index.lexical, "words", words(query), scope)
    by_bigrams = _lexical(index.lexical, "bigrams", bigrams(query), scope)
    done = time.perf_counter()
    fused = {
        ordinal: max(0.0, score - DIGEST_HANDICAP * index.clauses[ordinal].head.digest)
        for ordinal, score in _fuse(
            {"dense": dense, "words": by_words, "bigrams": by_bigrams}
        ).items()
    }
    best_word = max(by_words.values(), default=0.0)
    evidence = tuple(
        Evidence(
            clause=index.clauses[ordinal],
            score=score,
            dense=dense.get(ordinal, 0.0),
            lexical=by_words.get(ordinal, 0.0) / best_word if best_word else 0.0,
            versions=_other_versions(index, index.clauses[ordinal]),
        )
        for ordinal, score in sorted(fused.items(), key=lambda item: (-item[1], item[0]))[:k]
    )
    rarest = math.log(1 + len(index.clauses))
    asked = {pair: index.rarity.get(pair, rarest) for pair in bigrams(query)}
    return Found(
        evidence,
        asked=asked,
        searched=len(index.clauses),
        length=len(text),
        standout=max(dense.values()) - sum(dense.values()) / len(dense) if dense else 0.0,
        coverage=max((share(asked, store.embedding_text(e.clause)) for e in evidence), default=0.0),
        embed_ms=(embedded - started) * 1000,
        dense_ms=(searched - embedded) * 1000,
        lexical_ms=(done - searched) * 1000,
        total_ms=(time.perf_counter() - started) * 1000,
    )


def _nearest(index: Index, vector: Vectors, scope: Scope) -> dict[int, float]:
    """Cosines of the clauses in scope that are nearest: ordinal -> cosine.

    Chroma reads every clause's metadata for a query with conditions, which takes ten times as long
    as one without. So the conditions are left to it only where too few of the nearest meet them.
    """
    among = min(2 * DEPTH, len(index.clauses))
    nearest = index.vectors.query(vector, None, among)
    in_scope = [(ordinal, c) for ordinal, c in nearest if scope.admits(index.clauses[ordinal])]
    if len(in_scope) < DEPTH and among < len(index.clauses):
        # Held against the clauses here too: a release's vectors may be older than the rule that
        # ends a law.
        nearest = index.vectors.query(vector, _where(scope), DEPTH)
        in_scope = [(ordinal, c) for ordinal, c in nearest if scope.admits(index.clauses[ordinal])]
    return dict(in_scope[:DEPTH])


def covers(found: Found) -> bool:
    """Whether anything found is likely to answer the question.

    A cosine alone cannot tell, since those of one model lie close together and those of a long or
    an English question all lie lower: it is weighed with how far the best stands out from the
    rest, the words in common, and the question's length.
    """
    measured = {
        "cosine": max((e.dense for e in found.evidence), default=0.0),
        "standout": found.standout,
        "coverage": found.coverage,
        "length": float(min(found.length, COVERED_LENGTH)),
        "bias": 1.0,
    }
    likely = sum(COVERED[name] * value for name, value in measured.items()) > 0
    return bool(found.evidence) and (likely or found.searched < COVERED_CLAUSES)


def share(asked: Mapping[str, float], text: str) -> float:
    """How much of a question a text holds, weighted by rarity, 0 to 1."""
    held = asked.keys() & set(bigrams(text))
    return sum(asked[pair] for pair in held) / (sum(asked.values()) or 1.0)


def _other_versions(index: Index, clause: Clause) -> tuple[Clause, ...]:
    """The same place in other versions, where the wording differs, newest first."""
    others = [
        other
        for other in index.versions.get(clause.id, ())
        if not _overlap(other, clause)
        and other.head.audience == clause.head.audience
        and other.text != clause.text
    ]
    return tuple(sorted(others, key=lambda o: o.head.effective_from or date.min, reverse=True))


def _overlap(one: Clause, other: Clause) -> bool:
    """Whether two clauses are in force on a common day."""
    return (one.head.effective_from or date.min) <= (other.head.effective_to or date.max) and (
        other.head.effective_from or date.min
    ) <= (one.head.effective_to or date.max)


def _where(scope: Scope) -> dict[str, Any]:
    def in_force(contract_dated: bool, day: date) -> dict[str, Any]:
        number = day_number(day, 0)
        return {
            "$and": [
                {"contract_dated": contract_dated},
                {"from": {"$lte": number}},
                {"to": {"$gte": number}},
            ]
        }

    conditions: list[dict[str, Any]] = [
        {
            "$or": [
                in_force(True, scope.contract_date or scope.on),
                in_force(False, scope.on),
            ]
        }
    ]
    if scope.audience == "borrower":
        conditions.append({"audience": "borrower"})
    if scope.kinds:
        conditions.append({"kind": {"$in": sorted(scope.kinds)}})
    if scope.product:
        conditions.append({"product": {"$in": ["", scope.product]}})
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}


def _fuse(lists: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Weighted sum of min-max normalised scores, 0 to 1; a list's missing entries count 0."""
    fused: dict[int, float] = {}
    whole = sum(WEIGHTS.values())
    for name, scores in lists.items():
        if not scores:
            continue
        low, high = min(scores.values()), max(scores.values())
        for ordinal, score in scores.items():
            part = (score - low) / (high - low) if high > low else 1.0
            fused[ordinal] = fused.get(ordinal, 0.0) + WEIGHTS[name] / whole * part
    return fused


def _build_lexical(parts: Sequence[Clause]) -> tuple[Any, dict[str, float]]:
    """The lexical index in memory, and how rare each pair of characters is."""
    import tantivy

    holders: Counter[str] = Counter()

    builder = tantivy.SchemaBuilder()
    for name in ("words", "bigrams"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    for name in ("audience", "kind", "product"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("ordinal", "from", "to", "contract_dated"):
        builder.add_integer_field(name, stored=name == "ordinal", indexed=True, fast=True)
    index = tantivy.Index(builder.build())
    writer = index.writer(heap_size=50_000_000, num_threads=1)
    for ordinal, part in enumerate(parts):
        text = store.embedding_text(part)
        metadata = vector_metadata(part)
        pairs = bigrams(text)
        holders.update(set(pairs))
        document = tantivy.Document(
            words=" ".join(words(text)),
            bigrams=" ".join(pairs),
            audience=metadata["audience"],
            kind=metadata["kind"],
            product=metadata["product"] or "-",
        )
        document.add_integer("ordinal", ordinal)
        document.add_integer("from", metadata["from"])
        document.add_integer("to", metadata["to"])
        document.add_integer("contract_dated", int(metadata["contract_dated"]))
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    rarity = {pair: math.log(1 + len(parts) / n) for pair, n in holders.items()}
    return index, rarity


def _lexical(index: Any, name: str, tokens: Sequence[str], scope: Scope) -> dict[int, float]:
    """BM25 of the tokens over one field, of clauses in scope: ordinal -> score."""
    import tantivy
    from tantivy import Occur, Query

    schema = index.schema
    wanted = list(dict.fromkeys(tokens))
    if not wanted:
        return {}

    def term(field_name: str, value: Any) -> Any:
        return Query.term_query(schema, field_name, value)

    def integers(field_name: str, low: int, high: int) -> Any:
        return Query.range_query(schema, field_name, tantivy.FieldType.Integer, low, high)

    def every(queries: Sequence[Any]) -> Any:
        return Query.boolean_query([(Occur.Must, query) for query in queries])

    def some(queries: Sequence[Any]) -> Any:
        return Query.boolean_query([(Occur.Should, query) for query in queries])

    def in_force(contract_dated: int, day: date) -> Any:
        number = day_number(day, 0)
        return every(
            [
                term("contract_dated", contract_dated),
                integers("from", OPEN_FROM, number),
                integers("to", number, OPEN_TO),
            ]
        )

    conditions = [some([in_force(1, scope.contract_date or scope.on), in_force(0, scope.on)])]
    if scope.audience == "borrower":
        conditions.append(term("audience", "borrower"))
    if scope.kinds:
        conditions.append(some([term("kind", kind) for kind in sorted(scope.kinds)]))
    if scope.product:
        conditions.append(some([term("product", "-"), term("product", scope.product)]))
    query = Query.boolean_query(
        [
            (Occur.Must, some([term(name, token) for token in wanted])),
            *((Occur.Must, Query.const_score_query(c, 0.0)) for c in conditions),
        ]
    )
    searcher = index.searcher()
    return {
        searcher.doc(address)["ordinal"][0]: score
        for score, address in searcher.search(query, DEPTH).hits
    }
