"""The vectors that come with the sample lender: of its clauses as they are, and the embedder's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assistant.deps import Deps, open_deps
from knowledge import store
from knowledge.computed import SAMPLE, load_computed, save_computed
from knowledge.documents import Clause
from knowledge.embed import LocalEmbedder
from knowledge.release import build
from knowledge.sentences import pack, sentence_texts
from tests.conftest import settings_for

MODEL = LocalEmbedder.name


async def clauses_of(deps: Deps) -> list[Clause]:
    return list((await deps.index()).clauses)


async def test_every_clause_of_the_sample_has_the_vector_its_embedder_makes(deps: Deps) -> None:
    rows = load_computed(SAMPLE, MODEL)
    parts = {store.embedding_hash(part): part for part in await clauses_of(deps)}
    assert set(rows) == set(parts), "clauses changed: run `python -m tests.make_vectors`"
    embedder = await deps.embedder()
    for embed_hash in sorted(parts)[:: len(parts) // 6]:
        vector, packed = rows[embed_hash]
        part = parts[embed_hash]
        made = embedder.passages([store.embedding_text(part), *sentence_texts(part)])
        assert np.abs(made[0] - vector).max() < 1e-4
        again = np.frombuffer(pack(made[1:]), np.int8).astype(int)
        assert np.abs(again - np.frombuffer(packed, np.int8)).max() <= 1


def test_vectors_of_another_embedder_and_no_file_at_all_give_nothing(tmp_path: Path) -> None:
    assert load_computed(SAMPLE, "openai:other") == {}
    assert load_computed(tmp_path / "none.npz", MODEL) == {}


def test_vectors_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "vectors.npz"
    vectors = np.eye(2, 3, dtype=np.float32)
    save_computed(file, "some", ["a", "b"], vectors, [b"", b"xyz"])
    rows = load_computed(file, "some")
    assert [(h, v.tolist(), packed) for h, (v, packed) in rows.items()] == [
        ("a", [1, 0, 0], b""),
        ("b", [0, 1, 0], b"xyz"),
    ]


async def test_only_what_was_not_computed_before_is_embedded(tmp_path: Path) -> None:
    page, known = tmp_path / "fees.md", tmp_path / "known.npz"

    async def embedded(home: str, said: str, *, keep: bool = False) -> int:
        page.write_text(f"# 费用\n\n{said}\n", encoding="utf-8")
        settings = settings_for(tmp_path / home)
        async with open_deps(settings) as deps:
            embedder = await deps.embedder()
            report = await build(
                deps.engine,
                deps.vector_store,
                embedder,
                [page],
                lock_file=settings.ingest_lock,
                computed=None if keep else known,
            )
            if keep:
                (part,) = await clauses_of(deps)
                vectors = embedder.passages([store.embedding_text(part)])
                save_computed(known, embedder.name, [store.embedding_hash(part)], vectors, [b""])
            return report.embedded

    assert await embedded("first", "提前结清免收违约金。", keep=True) == 1
    assert await embedded("again", "提前结清免收违约金。") == 0
    assert await embedded("changed", "提前结清收取违约金。") == 1
