"""Ranking over a published collection: our search, and the usual recipe beside it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.config import Settings
from assistant.deps import Deps, open_deps
from knowledge.documents import Head
from knowledge.embed import Embedder
from knowledge.release import build
from knowledge.retrieve import Index, Scope, open_index, retrieve

from .metrics import Check, mean, ndcg, recall
from .plain_recipe import Progress, open_plain
from .records import CaseRecord, SuiteInfo
from .results import SuiteResult, failures_of, shares
from .schema import BadCases
from .suites import RankedSuite

TOP = 10

NOT_RUN = "no folder of the collection: give --statutes or ZHUNXIN_STATUTES"


@dataclass(frozen=True, slots=True)
class Collection:
    passages: Mapping[str, tuple[str, str]]
    """Id -> title and text."""
    queries: Mapping[str, str]
    """Id -> text, of those with a right passage."""
    grades: Mapping[str, Mapping[str, float]]
    """Query id -> passage id -> gain, above 0."""


def load_collection(folder: Path) -> Collection:
    """The files corpus.jsonl, queries.jsonl and qrels.tsv of a folder. Raises BadCases."""
    passages = {
        name: (str(row.get("title") or ""), str(row["text"]))
        for name, row in _rows(folder / "corpus.jsonl")
    }
    texts = {name: str(row["text"]) for name, row in _rows(folder / "queries.jsonl")}
    grades: dict[str, dict[str, float]] = {}
    for number, line in enumerate(_lines(folder / "qrels.tsv"), start=1):
        cells = line.split("\t")
        if number == 1 and cells[0] == "query-id":
            continue
        try:
            query, passage, grade = cells
            if float(grade) > 0:
                grades.setdefault(query, {})[passage] = float(grade)
        except ValueError:
            raise BadCases(f"qrels.tsv:{number}: not query, passage and number") from None
        if passage not in passages:
            raise BadCases(f"qrels.tsv:{number}: no passage {passage!r} in corpus.jsonl")
    queries = {name: text for name, text in texts.items() if name in grades}
    if not queries:
        raise BadCases("qrels.tsv: judges no query of queries.jsonl")
    return Collection(passages, queries, grades)


@asynccontextmanager
async def ingested(
    collection: Collection, settings: Settings, embedder: Embedder, progress: Progress
) -> AsyncIterator[tuple[Deps, Index]]:
    """The collection ingested as any knowledge, in a home of its own under that of the settings.

    The home stays, so that its texts are embedded once. Raises BadCases, and what building and
    opening a release raise.
    """
    home = settings.home / "evals" / "statutes"
    own = settings.model_copy(update={"home": home, "database_url": "", "chroma_url": ""})
    async with open_deps(own) as deps:
        clauses = await asyncio.to_thread(_write_clauses, collection, home / "statutes.jsonl")
        report = await build(
            deps.engine,
            deps.vector_store,
            embedder,
            [],
            lock_file=home / "ingest.lock",
            defaults=Head(kind="regulation"),
            replace_all=True,
            jsonl=clauses,
            progress=progress,
        )
        if report.skipped:
            raise BadCases(f"corpus.jsonl: {report.skipped[0].reason}")
        yield deps, await open_index(deps.engine, deps.vector_store)


async def rank_statutes(
    suite: RankedSuite,
    folder: Path,
    settings: Settings,
    embedder: Embedder,
    *,
    limit: int | None,
    progress: Progress,
    before: Mapping[str, CaseRecord] | None = None,
    ranked_one: Callable[[CaseRecord], None] = lambda record: None,
) -> SuiteResult:
    """Search the collection. Raises BadCases, and what building and opening a release raise.

    before: query -> its record, where the same search was run already.
    ranked_one: is called with the record of each query that is searched for now.
    """
    collection = await asyncio.to_thread(load_collection, folder)
    asked = dict(list(collection.queries.items())[:limit])
    async with ingested(collection, settings, embedder, progress) as (deps, index):
        texts = {name: "\n".join(filter(None, both)) for name, both in collection.passages.items()}
        async with open_plain(texts, deps, embedder, progress) as plain:
            records = {name: before[name] for name in asked if before and name in before}
            theirs: dict[str, list[str]] = {}
            for done, (name, text) in enumerate(asked.items()):
                progress(suite.name, done, len(asked))
                if name not in records:
                    started = time.perf_counter()
                    found = await asyncio.to_thread(
                        retrieve, index, embedder, text, Scope(on=suite.today), TOP
                    )
                    latency_ms = round((time.perf_counter() - started) * 1000, 1)
                    ids = [evidence.clause.id for evidence in found.evidence]
                    records[name] = _record(suite, collection, name, ids, latency_ms)
                    ranked_one(records[name])
                vector = await asyncio.to_thread(embedder.query, text)
                # Some articles are split, so that their chunks take places twice.
                near = await asyncio.to_thread(plain.nearest, vector, 3 * TOP)
                theirs[name] = list(dict.fromkeys(near))[:TOP]
            progress(suite.name, len(asked), len(asked))
    kept = tuple(records[name] for name in asked)
    metrics = shares(kept)
    return SuiteResult(
        name=suite.name,
        n=len(asked),
        scored=len(kept),
        metrics=metrics,
        bars=suite.bars,
        missed=tuple(name for name, bar in suite.bars.items() if metrics[name].value < bar),
        failures=failures_of(kept),
        models=(),
        plain={
            name: mean(
                [measure(ids, collection.grades[query], TOP) for query, ids in theirs.items()]
            )
            for name, measure in MEASURES.items()
        },
        records=kept,
        info=SuiteInfo(suite.name, _hash(collection, asked), dict.fromkeys(MEASURES, 1)),
    )


MEASURES = {f"ndcg_{TOP}": ndcg, f"recall_{TOP}": recall}


def _record(
    suite: RankedSuite, collection: Collection, query: str, ids: Sequence[str], latency_ms: float
) -> CaseRecord:
    def titles(names: Sequence[str]) -> str:
        return "; ".join(collection.passages[name][0] or name for name in names)

    grades = collection.grades[query]
    wanted, got = titles(list(grades)), titles(ids[:3]) or "nothing"
    scores = {name: measure(ids, grades, TOP) for name, measure in MEASURES.items()}
    return CaseRecord(
        suite=suite.name,
        case=query,
        seed=0,
        topic="statutes",
        difficulty="medium",
        text=collection.queries[query],
        expected=wanted,
        cited=tuple(titles([name]) for name in ids[:3]),
        checks={name: Check(score > 0, wanted, got, score) for name, score in scores.items()},
        latency_ms=latency_ms,
    )


def _hash(collection: Collection, asked: Mapping[str, str]) -> str:
    """The same for the same passages, queries and judgements."""
    held = [
        dict(collection.passages),
        {name: dict(collection.grades[name]) for name in asked},
        asked,
    ]
    return hashlib.sha256(json.dumps(held, ensure_ascii=False).encode()).hexdigest()[:16]


def _write_clauses(collection: Collection, file: Path) -> Path:
    """The passages as ready-made clauses; the same bytes each time, so that nothing is redone."""
    lines = [
        json.dumps({"id": name, "title": title, "text": text}, ensure_ascii=False)
        for name, (title, text) in collection.passages.items()
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(_lines(file), start=1):
        try:
            row = json.loads(line)
            name, text = row["_id"], row["text"]
        except (ValueError, TypeError, KeyError):
            raise BadCases(f"{file.name}:{number}: not an object with _id and text") from None
        if not isinstance(name, str) or not isinstance(text, str) or name in rows:
            raise BadCases(f"{file.name}:{number}: _id must be a string used once, text a string")
        rows[name] = row
    return list(rows.items())


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCases(f"{file.name}: cannot be read as UTF-8 text") from error
    return [line for line in text.split("\n") if line.strip()]
