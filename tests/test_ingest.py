"""Ingestion into real SQLite, PostgreSQL and Chroma: counts, bad files, interruptions, releases."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas
from sqlalchemy.ext.asyncio import AsyncEngine

from assistant import journal
from assistant.answer import answer_question, collect
from assistant.deps import Deps, ReleaseMismatch, open_deps
from assistant.models import Question, Reply
from knowledge import store
from knowledge.documents import Clause, Head
from knowledge.embed import LocalEmbedder, Vectors
from knowledge.release import (
    KEPT_RELEASES,
    NothingReadable,
    OtherEmbedder,
    Report,
    activate,
    build,
    confirm,
)
from knowledge.retrieve import Scope, retrieve
from knowledge.vectors import VectorsMissing

from .conftest import settings_for
from .databases import new_database, postgresql  # noqa: F401

DAY = date(2026, 11, 23)


class CountingEmbedder:
    """The bundled embedder, which remembers what it was asked to embed."""

    def __init__(self, name: str = LocalEmbedder.name) -> None:
        self.name = name
        self.embedded: list[str] = []
        self._local = LocalEmbedder(1)

    def passages(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return self._local.passages(texts)

    def query(self, text: str) -> Vectors:
        return self._local.query(text)


class Home:
    """A home folder with its parts open, and a folder of documents."""

    def __init__(self, deps: Deps, docs: Path) -> None:
        self.deps = deps
        self.docs = docs
        self.embedder = CountingEmbedder()

    def write(self, name: str, *articles: str, head: str = "") -> Path:
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = "\n\n".join(f"第{'一二三四五六七八九'[i]}条 {a}" for i, a in enumerate(articles))
        path.write_text(f"{head}# {path.stem}\n\n{body}\n", encoding="utf-8")
        return path

    async def ingest(self, *paths: Path, **options: Any) -> Report:
        self.embedder.embedded.clear()
        return await build(
            self.deps.engine,
            self.deps.vector_store,
            options.pop("embedder", self.embedder),
            paths or ([] if "jsonl" in options else [self.docs]),
            lock_file=self.deps.settings.home / "ingest.lock",
            **options,
        )

    async def activate(self, release_id: str) -> None:
        await activate(
            self.deps.engine,
            self.deps.vector_store,
            self.embedder,
            release_id,
            lock_file=self.deps.settings.home / "ingest.lock",
        )

    async def live(self) -> str:
        release = await store.active_release(self.deps.engine)
        return release.id if release else ""

    async def clauses(self) -> list[Clause]:
        async with self.deps.engine.connect() as connection:
            sources = await store.release_sources(connection, await self.live())
            return await store.document_clauses(connection, [*sources.values()])

    async def found(self, text: str) -> list[str]:
        """Texts that a newly started program finds."""
        async with open_deps(self.deps.settings) as fresh:
            index = await fresh.index()
            evidence = retrieve(index, self.embedder, text, Scope(DAY), 3).evidence
            return [item.clause.text for item in evidence]


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.removed, report.unchanged


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_deps(settings_for(tmp_path / "home", ZHUNXIN_THREADS="1")) as deps:
        yield Home(deps, tmp_path / "docs")


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_home(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Home]:
    """A home over each database that is supported."""
    more = {"ZHUNXIN_THREADS": "1"}
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        more["ZHUNXIN_DATABASE_URL"] = await new_database(server)
    async with open_deps(settings_for(tmp_path / "home", **more)) as deps:
        yield Home(deps, tmp_path / "docs")


# What a run does


async def test_successive_runs_count_what_was_added_changed_removed_and_kept(
    any_home: Home,
) -> None:
    home = any_home
    home.write("a.md", "逾期应当支付罚息。", "可以提前还款。")
    home.write("sub/b.md", "额度有效期为一年。")
    assert counts(await home.ingest()) == (2, 0, 0, 0)
    home.write("a.md", "逾期应当支付罚息。", "提前还款免收违约金。")
    home.write("c.md", "投诉由客服受理。")
    second = await home.ingest()
    assert counts(second) == (1, 1, 0, 1)
    assert (second.documents, second.clauses) == (3, 4)
    (home.docs / "c.md").unlink()
    assert counts(await home.ingest()) == (0, 0, 0, 3)
    replaced = await home.ingest(replace_all=True)
    assert counts(replaced) == (0, 0, 1, 2)
    assert {clause.source for clause in await home.clauses()} == {"a.md", "sub/b.md"}
    assert "提前还款免收违约金。" in (await home.found("提前还款要违约金吗"))[0]


async def test_an_unchanged_run_makes_no_release_and_embeds_nothing(any_home: Home) -> None:
    home = any_home
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    assert home.embedder.embedded
    second = await home.ingest()
    assert second.release == first.release == await home.live()
    assert counts(second) == (0, 0, 0, 1)
    assert home.embedder.embedded == []


async def test_a_changed_file_embeds_only_its_new_clauses(any_home: Home) -> None:
    home = any_home
    home.write("a.md", "逾期应当支付罚息。", "可以提前还款。")
    home.write("b.md", "额度有效期为一年。")
    await home.ingest()
    home.write("a.md", "逾期应当支付罚息。", "提前还款免收违约金。")
    await home.ingest()
    assert len(home.embedder.embedded) == 1
    assert "提前还款免收违约金。" in home.embedder.embedded[0]


async def test_a_clause_keeps_its_id_while_its_neighbours_change(home: Home) -> None:
    home.write("a.md", "逾期应当支付罚息。", "可以提前还款。")
    await home.ingest()
    before = {clause.text: clause.id for clause in await home.clauses()}
    home.write("a.md", "逾期应当支付罚息。", "提前还款免收违约金。")
    await home.ingest()
    after = {clause.text: clause.id for clause in await home.clauses()}
    assert after["逾期应当支付罚息。"] == before["逾期应当支付罚息。"]


async def test_only_the_live_release_is_searched(any_home: Home) -> None:
    any_home.write("a.md", "可以提前还款。")
    await any_home.ingest()
    any_home.write("a.md", "投诉由客服受理。")
    await any_home.ingest()
    assert await any_home.found("提前还款") == ["投诉由客服受理。"]


async def test_questions_are_answered_and_recorded(any_home: Home) -> None:
    any_home.write("a.md", "借款人可以提前还款，提前还款免收违约金。")
    await any_home.ingest()
    reply = await collect(answer_question(Question("提前还款收违约金吗", DAY), any_home.deps))
    assert isinstance(reply, Reply)
    record = await journal.read_record(any_home.deps.engine, reply.record_id)
    assert record is not None
    assert record["question"] == "提前还款收违约金吗"
    assert record["status"] == reply.status
    assert record["release"] == await any_home.live()


# Files that cannot be read, and what is said about them


async def test_a_bad_file_never_stops_the_rest(home: Home) -> None:
    home.write("good.md", "可以提前还款。")
    docs = home.docs
    (docs / "gbk.txt").write_bytes("第一条 逾期应当支付罚息，并及时归还本金。".encode("gbk"))
    (docs / "empty.md").touch()
    (docs / "photo.jpg").write_bytes(b"\xff\xd8")
    (docs / "broken.docx").write_bytes(b"PK\x03\x04 broken")
    with (docs / "huge.pdf").open("wb") as file:
        file.truncate(200 * 2**30)
    locked = Canvas(str(docs / "locked.pdf"), encrypt=pdfencrypt.StandardEncryption("secret"))
    locked.drawString(100, 700, "locked")
    locked.save()
    (docs / os.fsdecode("说明.md".encode("gbk"))).write_text("# a\n\n可以提前还款。\n")
    report = await home.ingest()
    assert {clause.source for clause in await home.clauses()} == {"good.md", "gbk.txt"}
    reasons = {Path(skipped.path).name: skipped.reason for skipped in report.skipped}
    assert len(reasons) == 6
    for name, word in {
        "empty.md": "empty",
        "photo.jpg": "damaged",
        "broken.docx": "damaged",
        "huge.pdf": "50 mb",
        "locked.pdf": "password",
    }.items():
        assert word in reasons.pop(name).lower(), name
    (undecodable,) = reasons.items()
    assert "rename" in undecodable[1]
    assert json.dumps(undecodable, ensure_ascii=False).encode()


async def test_nothing_readable_leaves_the_live_release_as_it_was(any_home: Home) -> None:
    any_home.write("a.md", "可以提前还款。")
    first = await any_home.ingest()
    bad = any_home.docs.parent / "bad"
    bad.mkdir()
    (bad / "empty.md").touch()
    for replace_all in (False, True):
        with pytest.raises(NothingReadable) as refusal:
            await any_home.ingest(bad, replace_all=replace_all)
        assert [Path(s.path).name for s in refusal.value.skipped] == ["empty.md"]
    assert await any_home.live() == first.release


async def test_a_path_that_is_not_there_is_a_fault_of_the_call(home: Home) -> None:
    with pytest.raises(FileNotFoundError):
        await home.ingest(home.docs / "none")
    with pytest.raises(FileNotFoundError):
        await home.ingest(jsonl=home.docs / "none.jsonl")
    assert await home.live() == ""


async def test_a_file_given_twice_is_read_once(home: Home) -> None:
    path = home.write("a.md", "可以提前还款。")
    report = await home.ingest(home.docs, path)
    assert (report.added, report.skipped) == (1, ())


async def test_of_two_files_with_one_name_the_second_is_reported(home: Home) -> None:
    first = home.write("x/a.md", "可以提前还款。")
    second = home.write("y/a.md", "逾期应当支付罚息。")
    report = await home.ingest(first, second)
    assert report.added == 1
    assert [s.path for s in report.skipped] == [str(second)]
    assert [c.text for c in await home.clauses()] == ["可以提前还款。"]


# Heads


async def test_a_manifest_gives_kind_dates_product_and_audience(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    home.write("b.md", "按话术致电借款人。")
    rows = [
        {
            "file": "a.md",
            "title": "安心贷条款",
            "kind": "product",
            "product": "anxin",
            "effective_from": "2026-01-01",
            "effective_to": "",
        },
        {"file": "b.md", "kind": "leaflet", "audience": "agent"},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (home.docs / "manifest.jsonl").write_text(text, encoding="utf-8")
    report = await home.ingest()
    heads = {clause.source: clause.head for clause in await home.clauses()}
    assert heads["a.md"] == Head(
        title="安心贷条款", kind="product", product="anxin", effective_from=date(2026, 1, 1)
    )
    assert (heads["b.md"].kind, heads["b.md"].audience) == ("policy", "agent")
    assert "leaflet" in report.warnings[0].reason


async def test_options_fill_what_a_manifest_leaves_open(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    home.write("b.md", "逾期应当支付罚息。")
    row = {"file": "a.md", "title": "条款", "effective_from": "2026-07-01"}
    (home.docs / "manifest.jsonl").write_text(json.dumps(row), encoding="utf-8")
    await home.ingest(defaults=Head(kind="product", effective_from=date(2025, 1, 1)))
    heads = {clause.source: clause.head for clause in await home.clauses()}
    assert (heads["a.md"].kind, heads["a.md"].effective_from) == ("product", date(2026, 7, 1))
    assert (heads["b.md"].kind, heads["b.md"].effective_from) == ("product", date(2025, 1, 1))


async def test_what_a_broken_manifest_may_describe_stays_as_it_was(home: Home) -> None:
    home.write("a.md", "坐席可以减免罚息。")
    home.write("sub/b.md", "可以提前还款。")
    manifest = home.docs / "manifest.jsonl"
    manifest.write_text('{"file": "a.md", "audience": "agent"}', encoding="utf-8")
    await home.ingest()
    home.write("a.md", "坐席可以减免全部罚息。")
    manifest.write_text('{"file": "a.md", "audience": "agent"', encoding="utf-8")
    with pytest.raises(NothingReadable) as nothing:
        await home.ingest()
    assert "line 1" in nothing.value.skipped[0].reason
    assert len(nothing.value.skipped) == 3
    assert {c.source: c.head.audience for c in await home.clauses()} == {
        "a.md": "agent", "sub/b.md": "borrower",
    }  # fmt: skip


async def test_a_manifest_describes_files_further_down(home: Home) -> None:
    home.write("sub/a.md", "坐席可以减免罚息。")
    home.write("z.md", "可以提前还款。")
    row = {"file": "sub/a.md", "audience": "agent"}
    (home.docs / "manifest.jsonl").write_text(json.dumps(row), encoding="utf-8")
    await home.ingest()
    assert {c.source: c.head.audience for c in await home.clauses()} == {
        "sub/a.md": "agent", "z.md": "borrower",
    }  # fmt: skip


async def test_another_head_makes_the_same_bytes_a_changed_document(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    await home.ingest()
    report = await home.ingest(defaults=Head(effective_from=date(2026, 1, 1)))
    assert counts(report) == (0, 1, 0, 0)
    assert home.embedder.embedded == []


# Ready-made clauses


async def test_ready_made_clauses_keep_their_ids_and_bad_lines_are_named(any_home: Home) -> None:
    home = any_home
    lines = [
        '\ufeff{"id": "k1", "title": "提前还款", "text": "提前还款免收违约金。", "meta": {"n": 1}}',
        '{"id": "k2", "text": "逾期罚息。", "effective_from": "2026-01-01"}',
        "not json",
        "[" * 100_000,
        '{"id": "k1", "text": "又一次。"}',
        '{"id": "k3"}',
        '{"id": "k4", "text": "日期错误。", "effective_to": "tomorrow"}',
        '{"id": "k5", "text": "half \\ud800"}',
        '{"id": "k6", "text": "nul \\u0000"}',
        "",
        '{"id": "k7", "text": "行内分隔\u2028符。"}',
    ]
    path = home.deps.settings.home / "ready.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    report = await home.ingest(jsonl=path)
    clauses = {clause.id: clause for clause in await home.clauses()}
    assert set(clauses) == {"k1", "k2", "k7"}
    assert clauses["k1"].meta == {"n": "1"}
    assert clauses["k1"].title == clauses["k1"].locator == "提前还款"
    assert clauses["k2"].head.effective_from == date(2026, 1, 1)
    assert [int(s.path.rpartition(":")[2]) for s in report.skipped] == [3, 4, 5, 6, 7, 8, 9]
    assert "'k1' occurs twice" in report.skipped[2].reason
    assert counts(await home.ingest(jsonl=path)) == (0, 0, 0, 1)


async def test_a_file_without_a_ready_made_clause_does_not_stop_the_documents(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    path = home.docs.parent / "none.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    report = await home.ingest(home.docs, jsonl=path)
    assert report.added == 1
    assert [s.path for s in report.skipped] == [f"{path}:1", str(path)]


async def test_an_id_that_two_files_give_is_noted(home: Home) -> None:
    paths = [home.deps.settings.home / name for name in ("a.jsonl", "b.jsonl")]
    for path in paths:
        path.write_text('{"id": "k1", "text": "可以提前还款。"}\n', encoding="utf-8")
    await home.ingest(jsonl=paths[0])
    report = await home.ingest(jsonl=paths[1])
    assert [(w.path, "'k1'" in w.reason) for w in report.warnings] == [("b.jsonl", True)]


# Releases


async def test_a_running_index_answers_during_and_after_an_ingestion_and_is_then_replaced(
    home: Home,
) -> None:
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    old = await home.deps.index()
    seen: list[list[str]] = []

    def search(*_: object) -> None:
        evidence = retrieve(old, home.embedder, "提前还款", Scope(DAY), 1).evidence
        seen.append([item.clause.text for item in evidence])

    home.write("a.md", "提前还款免收违约金。")
    second = await home.ingest(progress=search)
    search()
    assert len(seen) > 3
    assert all(texts == ["可以提前还款。"] for texts in seen)
    home.deps.forget_release()
    new = await home.deps.index()
    assert (old.release.id, new.release.id) == (first.release, second.release)
    search()
    assert seen[-1] == ["可以提前还款。"]


async def test_staff_wait_for_the_release_that_has_just_gone_live_and_borrowers_do_not(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.deps.SWITCH_WAIT_S", 0.0)
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    assert (await home.deps.index()).release.id == first.release
    home.write("a.md", "提前还款免收违约金。")
    second = await home.ingest()
    # Looked at less than a second ago.
    assert (await home.deps.newest_index()).release.id == second.release
    home.write("a.md", "提前还款收违约金。")
    third = await home.ingest()
    home.deps.forget_release()
    assert (await home.deps.index()).release.id == second.release
    assert (await home.deps.newest_index()).release.id == third.release


async def test_an_older_release_is_made_live_again_also_when_its_vectors_were_pruned(
    any_home: Home,
) -> None:
    home = any_home
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    home.write("a.md", "投诉由客服受理。")
    second = await home.ingest()
    await home.activate(first.release)
    assert await home.found("提前还款") == ["可以提前还款。"]
    home.deps.vector_store.prune([first.release])
    home.embedder.embedded.clear()
    await home.activate(second.release)
    assert await home.found("提前还款") == ["投诉由客服受理。"]
    assert home.embedder.embedded == []
    async with home.deps.engine.connect() as connection:
        releases = await store.list_releases(connection)
    assert [(r.id, r.active) for r in releases] == [(second.release, True), (first.release, False)]
    with pytest.raises(KeyError):
        await home.activate("none")


async def test_a_corrected_date_makes_a_release_and_is_kept_with_it(any_home: Home) -> None:
    home = any_home
    home.write("a.md", "可以提前还款。", "本规则自2026年7月1日起施行。")
    first = await home.ingest()
    assert [found.value for found in first.found_dates] == [date(2026, 7, 1)]
    done = await confirm(
        home.deps.engine,
        home.deps.vector_store,
        home.embedder,
        "a.md",
        lock_file=home.deps.settings.home / "ingest.lock",
        by="someone",
        effective_from=date(2026, 8, 1),
    )
    assert done.release == await home.live() != first.release
    assert {c.head.effective_from for c in await home.clauses()} == {date(2026, 8, 1)}
    again = await home.ingest()
    assert (again.release, again.unchanged) == (done.release, 1)
    assert [(f.applied, f.confirmed) for f in again.found_dates] == [(date(2026, 8, 1), True)]


async def test_old_vectors_and_half_written_ones_are_deleted(home: Home) -> None:
    vectors = home.deps.settings.home / "vectors"
    (vectors / "20260101000000-abcdef.building").mkdir(parents=True)
    made = []
    for n in range(KEPT_RELEASES + 1):
        home.write("a.md", f"第{n}版：可以提前还款。")
        made.append((await home.ingest()).release)
    assert {path.name for path in vectors.iterdir()} == set(made[1:])


async def test_a_release_of_another_embedder_is_refused_with_what_to_do(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    other = await home.ingest(embedder=CountingEmbedder("other-model"))
    with pytest.raises(ReleaseMismatch, match=r"ZHUNXIN_EMBEDDINGS.*zhunxin ingest"):
        await home.deps.index()
    report = await home.ingest()
    assert (report.unchanged, report.release == other.release) == (1, False)
    assert (await home.deps.index()).release.id == report.release
    with pytest.raises(OtherEmbedder, match="ZHUNXIN_EMBEDDINGS"):
        await home.activate(other.release)
    assert await home.live() == report.release


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def empty(folder: Path) -> None:
    remove(folder)
    folder.mkdir()


def overwrite(folder: Path) -> None:
    (folder / "chroma.sqlite3").write_bytes(b"garbage" * 1000)


def cut(folder: Path) -> None:
    path = folder / "chroma.sqlite3"
    path.write_bytes(path.read_bytes()[:20_000])


@pytest.mark.parametrize("damage", [remove, empty, overwrite, cut])
async def test_damaged_vectors_are_told_and_mended(
    home: Home, damage: Callable[[Path], None]
) -> None:
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    damage(home.deps.settings.home / "vectors" / first.release)
    with pytest.raises(VectorsMissing, match=f"release activate {first.release}"):
        await home.deps.index()
    await home.activate(first.release)
    assert (await home.deps.index()).release.id == first.release
    assert await home.found("提前还款") == ["可以提前还款。"]


async def test_an_ingestion_mends_damaged_vectors(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    overwrite(home.deps.settings.home / "vectors" / first.release)
    second = await home.ingest()
    assert second.release != first.release
    assert home.embedder.embedded == []
    assert await home.found("提前还款") == ["可以提前还款。"]


async def test_vectors_of_other_clauses_are_not_taken_for_a_release(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    release = (await home.ingest()).release
    assert home.deps.vector_store.has(release, 1)
    assert not home.deps.vector_store.has(release, 2)


# Other processes


def start(home: Home, *args: object) -> subprocess.Popen[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", ""),
        "OMP_NUM_THREADS": "1",
        "ZHUNXIN_HOME": str(home.deps.settings.home),
        "ZHUNXIN_LLM": "extractive",
        "ZHUNXIN_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "assistant", *map(str, args)],
        cwd=Path(__file__).parent.parent,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], stage: str) -> None:
    assert process.stderr is not None
    said = ""
    while stage not in said:
        line = process.stderr.readline()
        assert line, f"{stage!r} was not said: {said}"
        said += line


MUCH_FILES, MUCH_CLAUSES = 13, 9


def much(home: Home) -> None:
    """Enough text to take many seconds: who looks on may be kept waiting for some."""
    for n in range(MUCH_FILES):
        texts = (f"{n}-{m} " + "借款人应当按期还款。" * 4 for m in range(MUCH_CLAUSES))
        home.write(f"much/{n}.md", *texts)


async def test_two_ingestions_at_once_queue_and_both_land(home: Home) -> None:
    home.write("a/a.md", "可以提前还款。")
    home.write("b/b.md", "逾期应当支付罚息。")
    runs = [start(home, "ingest", home.docs / name, "--json") for name in ("a", "b")]
    reports = []
    for run in runs:
        out, errors = await asyncio.to_thread(run.communicate)
        assert run.returncode == 0, errors
        reports.append(json.loads(out))
    assert sorted(report["documents"] for report in reports) == [1, 2]
    assert {clause.source for clause in await home.clauses()} == {"a.md", "b.md"}


async def test_an_interrupted_ingestion_ends_with_a_line_and_is_resumed(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    much(home)
    run = start(home, "ingest", home.docs)
    await asyncio.to_thread(read_until, run, "embedding clauses")
    await wait_for_vectors(home.deps.engine, more_than=1)
    run.send_signal(signal.SIGINT)
    out, errors = await asyncio.to_thread(run.communicate)
    assert (run.returncode, out) == (1, "")
    assert errors == "zhunxin: interrupted; what was live before is live still\n"
    assert await home.live() == first.release
    assert await home.found("提前还款") == ["可以提前还款。"]
    report = await home.ingest()
    assert report.added == 13
    assert 0 < report.embedded <= 117 - 8


async def wait_for_vectors(engine: AsyncEngine, more_than: int) -> None:
    for _ in range(600):
        async with engine.connect() as connection:
            kept = await connection.exec_driver_sql("SELECT count(*) FROM embeddings")
            if (kept.scalar() or 0) > more_than:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("no vectors were kept")


@pytest.mark.parametrize("stage", ["reading documents", "embedding clauses", "writing vectors"])
async def test_a_killed_ingestion_leaves_a_release_that_serves(home: Home, stage: str) -> None:
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    home.write("b.md", *(f"逾期应当支付罚息{n}。" for n in range(9)))
    run = start(home, "ingest", home.docs)
    await asyncio.to_thread(read_until, run, stage)
    run.kill()
    await asyncio.to_thread(run.communicate)
    assert await home.live() == first.release
    assert await home.found("提前还款") == ["可以提前还款。"]
    second = await home.ingest()
    assert counts(second) == (1, 0, 0, 1)
    assert "逾期应当支付罚息" in (await home.found("逾期罚息"))[0]
    names = {path.name for path in (home.deps.settings.home / "vectors").iterdir()}
    assert names == {first.release, second.release}
