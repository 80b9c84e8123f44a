"""One size of knowledge, ingested and searched in a process of its own, so that its memory counts
for nothing else; prints JSON. `python -m tests.bench_search CLAUSES FOLDER`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np

from assistant.config import load_settings
from assistant.deps import open_deps
from evals.plain_recipe import open_plain
from knowledge.embed import Vectors
from knowledge.release import build
from knowledge.retrieve import Scope, open_index, retrieve

CORPUS = Path(__file__).parent.parent / "knowledge" / "corpus"
CASES = Path(__file__).parent.parent / "evals" / "cases" / "coverage_dev.jsonl"
TODAY = date(2026, 11, 23)
WIDTH = 384
SCOPES = {
    "borrower": Scope(TODAY),
    "agent": Scope(TODAY, audience="agent"),
    "contract date and product": Scope(TODAY, date(2025, 3, 1), product="anxin"),
    "day in the past, one kind": Scope(date(2024, 1, 1), kinds=frozenset({"policy"})),
}
THREADS = 8
"""As many questions at a time as the server's threads take."""


class Synthetic:
    """Unit vectors made from a text's hash: what an embedder would take is no part of this."""

    name = "synthetic"

    def passages(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.query(text) for text in texts])

    def query(self, text: str) -> Vectors:
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        row = np.random.default_rng(seed).standard_normal(WIDTH, np.float32)
        unit: Vectors = row / np.linalg.norm(row)
        return unit


def write_clauses(count: int, folder: Path) -> list[Path]:
    """Clauses of sentences of the sample lender, in ten files, one of them for agents."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(CORPUS.rglob("*.md"))]
    sentences = [s for text in texts for s in re.findall(r"[^。\n|]{8,80}。", text)]
    chosen = random.Random(0)
    files = []
    for number in range(10):
        head = {"effective_from": "2023-01-01"} if number % 2 else {}
        rows = (
            {
                "id": f"{number}-{row}",
                "title": f"第{row}条",
                "text": "".join(chosen.sample(sentences, 3)) + f"编号{number * count + row}。",
                **head,
            }
            for row in range(count // 10)
        )
        file = folder / f"clauses-{number}.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        files.append(file)
    return files


async def measure(count: int, folder: Path) -> dict[str, object]:
    files = write_clauses(count, folder)
    settings = load_settings(
        {"ZHUNXIN_HOME": str(folder / "home"), "ZHUNXIN_LLM": "extractive"}, folder / "none"
    )
    embedder = Synthetic()
    merged = folder / "clauses.jsonl"
    with merged.open("wb") as whole:
        whole.writelines(file.read_bytes() for file in files)
    async with open_deps(settings) as deps:
        started = time.perf_counter()
        report = await build(
            deps.engine,
            deps.vector_store,
            embedder,
            [],
            lock_file=folder / "lock",
            jsonl=merged,
        )
        ingest_s = time.perf_counter() - started
        ingest_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started = time.perf_counter()
        index = await open_index(deps.engine, deps.vector_store)
        open_s = time.perf_counter() - started
        questions = [json.loads(line)["text"] for line in CASES.read_text("utf-8").splitlines()]
        plain_ms: list[float] = []
        if count <= 10_000:
            texts = {clause.id: clause.text for clause in index.clauses}
            async with open_plain(texts, deps, embedder, lambda *_: None) as plain:
                for question in questions[:200]:
                    vector = embedder.query(question)
                    started = time.perf_counter()
                    plain.nearest(vector, 8)
                    plain_ms.append((time.perf_counter() - started) * 1000)
    searched_ms: dict[str, list[float]] = {}
    for name, scope in SCOPES.items():
        for question in questions[:10]:
            retrieve(index, embedder, question, scope, 8)
        found = [retrieve(index, embedder, question, scope, 8) for question in questions[:200]]
        searched_ms[name] = [item.total_ms - item.embed_ms for item in found]
    asked = (questions * 8)[:1600] if count <= 10_000 else questions[:400]
    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        list(pool.map(lambda text: retrieve(index, embedder, text, SCOPES["borrower"], 8), asked))
        per_s = len(asked) / (time.perf_counter() - started)
    return {
        "clauses": report.clauses,
        "ingest_s": ingest_s,
        "ingest_mb": ingest_mb,
        "open_s": open_s,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "searched_ms": searched_ms,
        "plain_ms": plain_ms,
        "per_s": per_s,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), Path(sys.argv[2])))))  # noqa: T201
