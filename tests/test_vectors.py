"""Vectors in embedded Chroma and on a real Chroma server: written, read, pruned, damaged."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from assistant.audit import LEAST_KEY_CHARS
from assistant.deps import open_deps
from knowledge.documents import Audience, Clause, Head
from knowledge.embed import LocalEmbedder, Vectors
from knowledge.release import build
from knowledge.retrieve import Scope, retrieve
from knowledge.vectors import VectorsMissing, VectorStore

from .conftest import settings_for


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Chroma server as another process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma")
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, (folder / "log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(params=["embedded", "server"])
def vector_store(request: pytest.FixtureRequest, tmp_path: Path) -> VectorStore:
    url = request.getfixturevalue("server_url") if request.param == "server" else ""
    return VectorStore(tmp_path / "vectors", url)


def clause(number: int, audience: Audience = "borrower") -> Clause:
    return Clause(f"c{number}", "a.md", Head(audience=audience), f"{number}", "", "条文。")


def unit_vectors(count: int) -> Vectors:
    rows = np.random.default_rng(count).standard_normal((count, 8)).astype(np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


PARTS = [clause(n, "agent" if n % 5 == 0 else "borrower") for n in range(23)]


def test_each_audiences_vectors_come_back_in_the_order_of_its_clauses(
    vector_store: VectorStore,
) -> None:
    vectors = unit_vectors(len(PARTS))
    vector_store.write("r1", PARTS, vectors)
    read = vector_store.read("r1", PARTS)
    for audience in ("borrower", "agent"):
        ordinals = [n for n, part in enumerate(PARTS) if part.head.audience == audience]
        np.testing.assert_allclose(read[audience], vectors[ordinals], atol=1e-6)


def test_many_batches_are_written_and_read(vector_store: VectorStore) -> None:
    parts, vectors = [clause(n) for n in range(5203)], unit_vectors(5203)
    vector_store.write("r2", parts, vectors)
    np.testing.assert_allclose(vector_store.read("r2", parts)["borrower"], vectors, atol=1e-6)
    assert vector_store.has("r2", 5203)


def test_a_release_is_written_again_in_the_place_of_what_is_there(
    vector_store: VectorStore,
) -> None:
    vector_store.write("r3", PARTS, unit_vectors(len(PARTS)))
    vector_store.write("r3", PARTS[:3], unit_vectors(3))
    assert vector_store.has("r3", 3)
    assert len(vector_store.read("r3", PARTS[:3])["borrower"]) == 2


def test_vectors_of_other_clauses_are_not_taken_for_those_of_a_release(
    vector_store: VectorStore,
) -> None:
    vector_store.write("r4", PARTS, unit_vectors(len(PARTS)))
    shifted = [clause(n, "agent" if n % 5 == 1 else "borrower") for n in range(23)]
    for parts in (PARTS[:-1], [*PARTS, clause(99)], shifted):
        with pytest.raises(VectorsMissing, match="release activate r4"):
            vector_store.read("r4", parts)


def test_pruning_keeps_what_is_kept(vector_store: VectorStore) -> None:
    for release in ("p1", "p2"):
        vector_store.write(release, PARTS, unit_vectors(len(PARTS)))
    vector_store.prune(["p2"], ["p1", "p2"])
    assert vector_store.has("p2", len(PARTS))
    assert not vector_store.has("p1", len(PARTS))
    with pytest.raises(VectorsMissing, match="release activate p1"):
        vector_store.read("p1", PARTS)


def test_on_a_server_the_releases_of_others_are_left_alone(server_url: str, tmp_path: Path) -> None:
    ours, theirs = (VectorStore(tmp_path / name, server_url) for name in ("ours", "theirs"))
    ours.write("ours-1", PARTS, unit_vectors(len(PARTS)))
    theirs.write("theirs-1", PARTS, unit_vectors(len(PARTS)))
    ours.prune([], ["ours-1"])
    assert not ours.has("ours-1", len(PARTS))
    assert theirs.has("theirs-1", len(PARTS))


def test_a_server_answers_several_readers_at_a_time(server_url: str, tmp_path: Path) -> None:
    vectors = unit_vectors(len(PARTS))
    VectorStore(tmp_path, server_url).write("shared", PARTS, vectors)

    def read(reader: int) -> Vectors:
        return VectorStore(tmp_path / str(reader), server_url).read("shared", PARTS)["agent"]

    with ThreadPoolExecutor(4) as readers:
        for found in readers.map(read, range(8)):
            np.testing.assert_allclose(found, vectors[::5], atol=1e-6)


def test_a_server_that_cannot_be_reached_is_named_by_its_setting(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        vector_store = VectorStore(tmp_path, f"http://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(VectorsMissing, match="ZHUNXIN_CHROMA_URL"):
            vector_store.write("r1", PARTS, unit_vectors(len(PARTS)))
        with pytest.raises(VectorsMissing, match="ZHUNXIN_CHROMA_URL"):
            vector_store.read("r1", PARTS)


async def test_what_is_ingested_on_one_host_is_searched_on_another_through_the_server(
    server_url: str, tmp_path: Path
) -> None:
    """The hosts share the database, the key of its chain and the server, and no folder."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# 规则\n\n第一条 提前还款免收违约金。\n", encoding="utf-8")
    shared = {
        "ZHUNXIN_CHROMA_URL": server_url,
        "ZHUNXIN_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'shared.db'}",
        "ZHUNXIN_AUDIT_KEY": "k" * LEAST_KEY_CHARS,
    }
    embedder = LocalEmbedder(1)
    async with open_deps(settings_for(tmp_path / "one", **shared)) as one:
        lock = tmp_path / "one" / "lock"
        await build(one.engine, one.vector_store, embedder, [docs], lock_file=lock)
    async with open_deps(settings_for(tmp_path / "two", **shared)) as two:
        found = retrieve(await two.index(), embedder, "提前还款", Scope(date(2026, 11, 23)), 3)
    assert "提前还款免收违约金。" in found.evidence[0].clause.text


class Held:
    """A store whose vectors cannot be read until they are let go."""

    def __init__(self, inner: VectorStore) -> None:
        self.write, self.has, self.kept, self.prune = (
            inner.write,
            inner.has,
            inner.kept,
            inner.prune,
        )
        self._read = inner.read
        self.let_go = threading.Event()

    def read(self, release_id: str, parts: Sequence[Clause]) -> dict[Audience, Vectors]:
        assert self.let_go.wait(30)
        return self._read(release_id, parts)


async def test_questions_are_answered_from_the_old_release_while_the_new_one_is_opened(
    tmp_path: Path,
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    embedder = LocalEmbedder(1)
    async with open_deps(settings_for(tmp_path / "home")) as deps:

        async def ingest(text: str) -> str:
            (docs / "a.md").write_text(f"# 规则\n\n第一条 {text}\n", encoding="utf-8")
            lock = tmp_path / "lock"
            report = await build(deps.engine, deps.vector_store, embedder, [docs], lock_file=lock)
            return report.release

        first = await ingest("可以提前还款。")
        assert (await deps.index()).release.id == first
        held = Held(deps.vector_store)
        deps.vector_store = held  # type: ignore[assignment]
        second = await ingest("提前还款免收违约金。")
        deps.forget_release()
        started = time.perf_counter()
        waited = [(await deps.index()).release.id for _ in range(50)]
        assert set(waited) == {first}
        assert time.perf_counter() - started < 5, "only the first of them waits, and not for long"
        found = retrieve(await deps.index(), embedder, "提前还款", Scope(date(2026, 11, 23)), 3)
        assert "可以提前还款。" in found.evidence[0].clause.text
        held.let_go.set()
        deadline = time.monotonic() + 30
        while (await deps.index()).release.id != second:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_a_release_that_cannot_be_opened_leaves_the_one_before_answering(
    tmp_path: Path,
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    embedder = LocalEmbedder(1)
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        releases = []
        for text in ("可以提前还款。", "提前还款免收违约金。"):
            (docs / "a.md").write_text(f"# 规则\n\n第一条 {text}\n", encoding="utf-8")
            lock = tmp_path / "lock"
            report = await build(deps.engine, deps.vector_store, embedder, [docs], lock_file=lock)
            releases.append(report.release)
            if len(releases) == 1:
                await deps.index()
        (tmp_path / "home" / "vectors" / releases[1] / "chroma.sqlite3").write_bytes(b"garbage")
        deps.forget_release()
        with capture_logs() as logs:
            index = await deps.index()
        assert index.release.id == releases[0]
        assert [entry["log_level"] for entry in logs] == ["error"]
        assert f"release activate {releases[1]}" in logs[0]["error"]
