"""The audit chain: what is tampered with is found, and what was said can be made again."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import JSON, Table, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from assistant import audit, db, journal
from assistant.answer import answer_question, collect
from assistant.audit import Verdict, open_keys, verify
from assistant.audit_export import FolderNotEmpty, export
from assistant.deps import Deps, code_version, open_deps
from assistant.llm import Message, ModelGarbled, ModelUnavailable, Piece, ScriptedChat, TextStream
from assistant.models import Event, Question, Reply
from assistant.replay import Player, Replay, UnknownRecord
from assistant.staff import (
    Denied,
    SessionRules,
    create_account,
    reset_password,
    set_disabled,
    set_roles,
    sign_in,
)
from knowledge import store
from knowledge.documents import Evidence
from knowledge.release import build
from prompts.render import notice

from .conftest import settings_for
from .databases import migrated_postgresql, new_database, postgresql  # noqa: F401
from .test_answer import EARLY, asked, choosing, number_of, writing
from .test_identity import serving

RULES = """# 提前还款规则

## 第一条 提前还款

借款人可以随时提前还款，不收违约金。

## 第二条 宽限期

还款日后有 3 天宽限期，宽限期内不计罚息。
"""
HOW = "提前还款收违约金吗"
AMOUNT = "安心贷单笔借款金额最高多少"


# A small lender of its own, on each database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The setting that names it; none of a database in the home folder."""
    if request.param == "sqlite":
        return {}
    server, migrated = map(request.getfixturevalue, ("postgresql", "migrated_postgresql"))
    return {"ZHUNXIN_DATABASE_URL": asyncio.run(new_database(server, like=migrated))}


@pytest.fixture
async def lender(tmp_path: Path, database: dict[str, str]) -> AsyncIterator[Deps]:
    async with opened(tmp_path, ZHUNXIN_THREADS="1", **database) as deps:
        yield deps


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Deps]:
    """The same on SQLite alone."""
    async with opened(tmp_path, ZHUNXIN_THREADS="1") as deps:
        yield deps


def started_again(deps: Deps) -> Deps:
    """As another process, which remembers nothing of what this one wrote."""
    return replace(deps, _writer=audit.Writer())


class opened:
    """A home folder with one document, live and entered in the chain."""

    def __init__(self, folder: Path, **more: str) -> None:
        self._folder = folder
        self._manager = open_deps(settings_for(folder / "home", **more))

    async def __aenter__(self) -> Deps:
        deps = await self._manager.__aenter__()
        await ingest(deps, self._folder / "docs", RULES)
        return deps

    async def __aexit__(self, *error: Any) -> None:
        await self._manager.__aexit__(*error)


async def ingest(deps: Deps, folder: Path, rules: str) -> str:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    await asyncio.to_thread((folder / "rules.md").write_text, rules, encoding="utf-8")
    report = await build(
        deps.engine,
        deps.vector_store,
        await deps.embedder(),
        [folder],
        lock_file=deps.settings.ingest_lock,
        replace_all=True,
    )
    await audit.note_release(deps.trail, report.release, "ingested", by="test")
    deps.forget_release()
    return report.release


async def ask(deps: Deps, question: str = HOW, **more: Any) -> Reply:
    reply = await collect(answer_question(asked(question, **more), deps))
    assert isinstance(reply, Reply), reply
    return reply


async def replayed(deps: Deps, record_id: str) -> Replay:
    return await Player(deps).replay(record_id)


async def broken(deps: Deps) -> Verdict:
    verdict = await verify(deps.trail)
    assert not verdict.ok
    assert verdict.reason
    return verdict


async def run(deps: Deps, *statements: Any) -> None:
    """As somebody who can write to the database, and has no key."""
    async with deps.engine.connect() as connection:
        if deps.engine.dialect.name == "postgresql":
            await connection.execute(text("SET session_replication_role = replica"))
        else:
            await connection.execute(text("PRAGMA foreign_keys = OFF"))
        for statement in statements:
            await connection.execute(statement)
        await connection.commit()
        if deps.engine.dialect.name == "postgresql":
            await connection.execute(text("SET session_replication_role = DEFAULT"))
            await connection.commit()
        else:
            await connection.execute(text("PRAGMA foreign_keys = ON"))


# What the chain is


async def test_each_reply_and_each_release_has_its_rows(lender: Deps) -> None:
    reply = await ask(lender)
    told = await audit.read_entries(lender.engine)
    kinds = [entry.kind for entry in told]
    assert kinds[:3] == ["founded", "release", "question"]
    assert kinds[-1] == "reply"
    assert {entry.subject for entry in told if entry.kind == "release"} == {reply.release}
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    assert [entry.prev_hash for entry in told][1:] == [entry.hash for entry in told][:-1]
    assert (await verify(lender.trail)).as_json() == {
        "ok": True,
        "records": 1,
        "entries": len(told),
        "warnings": ["no head was exported: rows cut off at the end would not be noticed"],
    }


async def test_the_rows_name_versions_and_hold_nothing_that_was_said(lender: Deps) -> None:
    lender.use_model(ScriptedChat(['{"ids":[1]}']))
    reply = await ask(lender, "我的手机13812345678，" + HOW)
    told = await audit.read_entries(lender.engine, subjects=[reply.record_id])
    row = json.loads(told[-1].body)["row"]
    assert row["release"] == reply.release
    assert row["model"] == "scripted:test"
    assert row["code_version"] == lender.code_version
    assert reply.prompt_version == row["prompt_version"]
    assert json.loads(row["evidence"]) == list(reply.evidence_ids)
    said = "".join(entry.body for entry in told)
    assert json.loads(told[-1].body)["sealed"].keys() == set(audit.PERSONAL)
    for secret in ("13812345678", "违约金", json.dumps("违约金")[1:-1]):
        assert secret not in said


async def test_a_salted_hash_is_made_from_what_is_stored(lender: Deps) -> None:
    """By a second way than the code's: what a regulator would do with an export."""
    reply = await ask(lender)
    stored = await audit.read_stored(lender.engine, reply.record_id)
    told = await audit.read_entries(lender.engine, subjects=[reply.record_id])
    assert stored is not None
    sealed = json.loads(told[-1].body)["sealed"]
    for name in ("question", "reply"):
        message = name.encode() + b"\0" + stored[name].encode()
        assert sealed[name] == hmac.new(stored["salt"].encode(), message, "sha256").hexdigest()


def test_a_key_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "home" / "audit.key"
    keys = open_keys(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_keys(file) == keys
    assert len(file.read_text().strip()) == 64
    assert [path.name for path in file.parent.iterdir()] == ["audit.key"]


@pytest.mark.parametrize("given", ["short", "x" * 40 + ",short"])
def test_a_short_key_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(audit.KeyUnusable, match="ZHUNXIN_AUDIT_KEY"):
        open_keys(tmp_path / "audit.key", given)
    assert not (tmp_path / "audit.key").exists()


async def test_a_key_that_was_changed_still_proves_the_older_rows(lender: Deps) -> None:
    await ask(lender)
    file = lender.settings.audit_key_file
    with_new = open_keys(file, "n" * 40)
    changed = replace(lender, keys=with_new)
    await ask(changed)
    told = await audit.read_entries(lender.engine)
    assert len({entry.key_id for entry in told}) == 2
    assert (await verify(changed.trail)).ok
    found = await broken(lender)
    assert "a key that is not here" in found.reason


@pytest.mark.parametrize("other", ["", "o" * 40])
async def test_a_chain_is_not_gone_on_with_without_its_key(tmp_path: Path, other: str) -> None:
    async with opened(tmp_path) as deps:
        await ask(deps)
        file, rows = deps.settings.audit_key_file, len(await audit.read_entries(deps.engine))
    moved = file.rename(tmp_path / "moved")
    settings = settings_for(tmp_path / "home", ZHUNXIN_AUDIT_KEY=other)
    with pytest.raises(audit.KeyUnusable, match=r"put the file .* back"):
        async with open_deps(settings):
            pass
    assert not file.exists()
    moved.rename(file)
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        assert len(await audit.read_entries(deps.engine)) == rows
        assert (await verify(deps.trail)).ok


async def test_what_was_recorded_before_there_was_a_chain_is_taken_into_it(small: Deps) -> None:
    reply = await ask(small)
    await run(small, delete(db.audit_entries), update(db.records).values(salt=None, played=None))
    small = started_again(small)
    await audit.found(small.trail)
    verdict = await verify(small.trail)
    assert (verdict.ok, verdict.records) == (True, 1)
    again = await replayed(small, reply.record_id)
    assert again.outcome == "missing"
    assert "what the models did" in again.missing


def schema_0002(database: Path) -> None:
    """A database as the version before the chain left it, with one reply."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(db.__file__).parent / "migrations"))
    config.attributes["url"] = f"sqlite+aiosqlite:///{database}"
    command.upgrade(config, "0002")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "INSERT INTO conversations VALUES ('c1', '2026-01-01 00:00:00.000000', 'cli', 'en')"
        )
        connection.execute(
            "INSERT INTO records (id, conversation_id, trace_id, asked_at, question, settings, "
            "status, reply, code_version) VALUES ('r1', 'c1', 't', '2026-01-01 00:00:00.000000', "
            "'?', '{}', 'answered', '{\"answer\": \"!\"}', '0.1.0')"
        )
        connection.commit()


async def test_a_database_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    await asyncio.to_thread(schema_0002, tmp_path / "zhunxin.db")
    async with open_deps(settings_for(tmp_path)) as deps:
        verdict = await verify(deps.trail)
        assert (verdict.ok, verdict.records) == (True, 1)
        assert (await replayed(deps, "r1")).outcome == "missing"
        await run(deps, text("UPDATE records SET question = '!'"))
        assert "'question'" in (await broken(deps)).reason


# Tampering


def flipped(value: Any, place: int) -> Any:
    """The value with one bit turned over."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ (1 << place % 8)
        case datetime():
            return value + timedelta(microseconds=1)
        case bytes():
            place %= len(value)
            return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        case str():
            place %= len(value)
            return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
    raise TypeError(type(value))


UNSEEN = {
    ("releases", "created_at"),
    ("releases", "report"),
    ("releases", "findings"),
}
"""Columns that say nothing about a reply."""

TABLES: tuple[Table, ...] = (
    db.audit_entries,
    db.records,
    db.conversations,
    db.templates,
    store.releases,
    store.release_documents,
    store.documents,
    store.clauses,
    store.embeddings,
    db.staff,
)


async def filled(deps: Deps) -> None:
    """One record of each sort: answered, quoted, left, open, erased; and an account."""
    account = await create_account(deps.trail, "lihua", "李华", ["agent"], PASSWORD, by="test")
    await set_roles(deps.trail, account.id, ["auditor"], by="test")
    deps.use_model(ScriptedChat(['{"ids":[1]}']))
    await ask(deps)
    gone = await ask(replace(deps, _model=None), "宽限期有几天")
    await audit.erase(deps.trail, conversation_id=gone.conversation_id, by="test")
    deps.use_model(ScriptedChat([]))
    assert isinstance(await collect(answer_question(asked(HOW), deps)), Event)
    await journal.open_record(deps.trail, asked(HOW), HOW, [], "t" * 32, "0")


@dataclass(frozen=True)
class Cell:
    """One value of one row."""

    table: Table
    column: str
    key: dict[str, Any]
    value: Any

    def change(self, value: Any) -> Any:
        where = [self.table.c[name] == held for name, held in self.key.items()]
        return update(self.table).where(*where).values({self.column: value})

    def restore(self, changed: Any) -> Any:
        key = self.key | ({self.column: changed} if self.column in self.key else {})
        where = [self.table.c[name] == held for name, held in key.items()]
        return update(self.table).where(*where).values({self.column: self.value})


def plain(table: Table) -> Table:
    """The table as texts and numbers: a JSON column as the text that it is."""
    from sqlalchemy import Column, MetaData, Text

    def kind(column: Any) -> Any:
        return Text() if isinstance(column.type, JSON) else column.type

    return Table(
        table.name,
        MetaData(),
        *(Column(c.name, kind(c), primary_key=c.primary_key) for c in table.columns),
    )


async def cells(deps: Deps, table: Table) -> list[Cell]:
    """A value of every column that has one, of the first row in which it has."""
    postgres = deps.engine.dialect.name == "postgresql"
    names = [
        f"{c.name}::text AS {c.name}" if postgres and isinstance(c.type, JSON) else c.name
        for c in table.columns
    ]
    async with deps.engine.connect() as connection:
        rows = (
            await connection.execute(
                text(f"SELECT {', '.join(names)} FROM {table.name}").columns(
                    *(c for c in plain(table).columns)
                )
            )
        ).all()
    found = []
    for column in table.columns:
        if (table.name, column.name) in UNSEEN:
            continue
        row = next((row for row in rows if row._mapping[column.name] not in (None, "")), None)
        if row is not None:
            key = {c.name: row._mapping[c.name] for c in table.primary_key.columns}
            found.append(Cell(table, column.name, key, row._mapping[column.name]))
    return found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_a_flipped_bit_in_any_column_is_found(
    lender: Deps, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SETTLE_S", 0)
    await filled(lender)
    assert (await verify(lender.trail)).ok
    seen = await cells(lender, table)
    assert len(seen) >= len(table.columns) - 6
    as_json = {c.name for c in table.columns if isinstance(c.type, JSON)}
    postgres = lender.engine.dialect.name == "postgresql"
    for cell in seen:
        raw = replace(cell, table=plain(cell.table))
        for place in range(len(str(cell.value)) // 2, len(str(cell.value)) // 2 + 40):
            changed = flipped(cell.value, place)
            statement: Any = raw.change(changed)
            undo: Any = raw.restore(changed)
            if postgres and cell.column in as_json:
                (name, held), *_ = cell.key.items()
                set_to = f"UPDATE {table.name} SET {cell.column} = CAST(:v AS json) WHERE {name}=:k"
                statement = text(set_to).bindparams(v=changed, k=held)
                undo = text(set_to).bindparams(v=cell.value, k=held)
            try:
                await run(lender, statement)
            except DBAPIError:
                continue  # PostgreSQL takes no broken JSON, and no second row of one key
            break
        else:
            raise AssertionError(f"nothing of {cell.column} could be changed")
        verdict = await verify(lender.trail)
        assert not verdict.ok, f"{table.name}.{cell.column} {cell.value!r} {changed!r}"
        assert verdict.broken_at is not None
        assert verdict.reason, "it is told which row is wrong, and why"
        await run(lender, undo)
        verdict = await verify(lender.trail)
        assert verdict.ok, f"{cell.column}: {verdict}"


async def test_any_row_that_is_removed_is_missed(lender: Deps) -> None:
    await filled(lender)
    await audit.export_head(lender.trail)
    for table in (db.audit_entries, db.records, db.conversations, db.templates, store.clauses):
        key = list(table.primary_key.columns)
        async with lender.engine.connect() as connection:
            rows = (await connection.execute(select(table))).all()
        for row in rows:
            where = [column == row._mapping[column.name] for column in key]
            await run(lender, delete(table).where(*where))
            verdict = await broken(lender)
            if table is db.audit_entries:
                assert verdict.broken_at == row.seq
            values = {
                name: value
                for name, value in row._mapping.items()
                if not (value is None and isinstance(table.c[name].type, JSON))
            }
            await run(lender, insert(table).values(values))
            assert (await verify(lender.trail)).ok


async def test_rows_that_change_places_are_found(lender: Deps) -> None:
    await filled(lender)
    entries = db.audit_entries
    for one, other in ((2, 3), (1, 5)):
        swap = [
            update(entries).where(entries.c.seq == before).values(seq=after)
            for before, after in ((one, 9000), (other, one), (9000, other))
        ]
        await run(lender, *swap)
        assert (await broken(lender)).broken_at == one
        await run(lender, *swap)
    assert (await verify(lender.trail)).ok


async def test_a_chain_made_anew_without_the_key_is_found(lender: Deps) -> None:
    reply = await ask(lender)
    forger = replace(
        started_again(lender).trail,
        keys=open_keys(Path("no-such-file"), "k" * 40),
        heads=Path("no-such-file"),
    )
    await run(
        lender,
        delete(db.audit_entries),
        update(db.records).values(question="改过的问题", salt=None),
    )
    await audit.found(forger)
    assert (await verify(forger)).ok
    assert "a key that is not here" in (await broken(lender)).reason
    # Nor does it help to write the id of the true key.
    await run(lender, update(db.audit_entries).values(key_id=lender.trail.keys.current))
    assert (await broken(lender)).broken_at == 1
    assert (await replayed(lender, reply.record_id)).outcome == "broken"


async def test_a_row_added_without_the_key_is_found(lender: Deps) -> None:
    await ask(lender)
    last = await audit.last_entry(lender.engine)
    assert last is not None
    forged = replace(
        last,
        seq=last.seq + 1,
        prev_hash=last.hash,
        hash=hashlib.sha256(last.body.encode()).hexdigest(),
    )
    values = {name: getattr(forged, name) for name in audit._COLUMNS}
    await run(lender, insert(db.audit_entries).values(values))
    assert (await broken(lender)).broken_at == forged.seq


async def test_a_record_that_no_row_tells_of_is_found(lender: Deps) -> None:
    reply = await ask(lender)
    async with lender.engine.connect() as connection:
        row = (await connection.execute(select(db.records))).one()
    copied = dict(row._mapping) | {"id": "f" * 32}
    await run(lender, insert(db.records).values(copied))
    assert (await broken(lender)).broken_at == "f" * 32
    assert (await replayed(lender, "f" * 32)).outcome == "broken"
    assert (await replayed(lender, reply.record_id)).outcome == "identical"


async def test_rows_cut_off_at_the_end_are_missed(lender: Deps) -> None:
    await ask(lender)
    kept = await audit.last_entry(lender.engine)
    gone = await ask(lender)
    await audit.export_head(lender.trail)
    assert kept is not None
    entries = db.audit_entries
    await run(
        lender,
        delete(entries).where(entries.c.seq > kept.seq),
        delete(db.records).where(db.records.c.id == gone.record_id),
        delete(db.conversations).where(db.conversations.c.id == gone.conversation_id),
    )
    verdict = await broken(lender)
    assert verdict.broken_at == kept.seq + 1
    assert "cut off" in verdict.reason
    # Nor can others be put in their place, even with the key.
    other = started_again(lender)
    await ask(other)
    await ask(other)
    assert (await broken(other)).broken_at == verdict.broken_at + 1


async def test_a_process_misses_the_row_that_it_wrote_last_and_writes_no_more(lender: Deps) -> None:
    kept = await audit.last_entry(lender.engine)
    gone = await ask(lender)
    assert kept is not None
    entries = db.audit_entries
    await run(
        lender,
        delete(entries).where(entries.c.seq > kept.seq),
        delete(db.templates),
        delete(db.records).where(db.records.c.id == gone.record_id),
        delete(db.conversations).where(db.conversations.c.id == gone.conversation_id),
    )
    assert (await verify(started_again(lender).trail)).ok, "no head was exported"
    assert "cut off: row" in (await broken(lender)).reason
    with pytest.raises(audit.TailGone):
        await audit.append(lender.trail, "approval", "x", {"by": "test"})
    events = [event.name async for event in answer_question(asked(HOW), lender)]
    assert events == ["handoff", "error"]
    # Nor where another process went on from there.
    other = started_again(lender)
    while (await audit.last_entry(lender.engine)).seq < 40:
        await audit.append(other.trail, "approval", "y", {"by": "test"})
    with pytest.raises(audit.TailGone):
        await audit.append(lender.trail, "approval", "x", {"by": "test"})
    assert "another one" in (await broken(lender)).reason


@pytest.mark.parametrize("left", ["a part of it", "nothing"])
async def test_a_chain_that_lacks_what_was_exported_is_not_gone_on_with(
    tmp_path: Path, left: str
) -> None:
    entries = db.audit_entries
    async with opened(tmp_path) as deps:
        await create_account(deps.trail, "lihua", "李华", ["agent"], PASSWORD)
        kept = await audit.last_entry(deps.engine)
        assert kept is not None
        await audit.append(deps.trail, "approval", "x", {"action": "withdrawn"})
    seq = kept.seq if left == "a part of it" else 0
    for _ in range(2):
        async with open_deps(settings_for(tmp_path / "home")) as deps:
            await run(deps, delete(entries).where(entries.c.seq > seq))
            if not seq:  # what was planted is to be taken in with what is there
                await run(deps, text("UPDATE staff SET roles = '[\"admin\"]'"))
        async with open_deps(settings_for(tmp_path / "home")) as deps:
            assert len(await audit.read_entries(deps.engine)) == seq
            assert "cut off" in (await broken(deps)).reason
            with pytest.raises(audit.TailGone):
                await audit.append(deps.trail, "approval", "x", {"by": "test"})
            events = [event.name async for event in answer_question(asked(HOW), deps)]
            assert events == ["handoff", "error"]
            signed_in = await sign_in(deps.trail, "lihua", PASSWORD, STAYING, address="x")
            assert signed_in == Denied()
    # The database was put back from a backup, and somebody says so.
    (tmp_path / "home" / "audit-heads.jsonl").unlink()
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        await audit.append(deps.trail, "approval", "x", {"by": "test"})


async def test_what_was_planted_is_not_taken_in_where_the_row_is_gone_that_told_of_the_rest(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as deps:
        await create_account(deps.trail, "lihua", "李华", ["agent"], PASSWORD)
        copied = "SELECT 'x', 'mallory', name, password_hash, roles, demo, disabled, created_at"
        founded = db.audit_entries.c.kind == "founded"
        first = await audit.read_entries(deps.engine, limit=1)
        await run(
            deps,
            text(f"INSERT INTO staff {copied} FROM staff"),
            delete(db.audit_entries).where(founded),
        )
    for forged in (False, True):
        async with open_deps(settings_for(tmp_path / "home")) as deps:
            assert not await audit.read_entries(deps.engine, subjects=["x"])
            signed_in = await sign_in(deps.trail, "mallory", PASSWORD, STAYING, address="x")
            assert signed_in == Denied()
            if not forged:
                row = {n: getattr(first[0], n) for n in audit._COLUMNS}
                await run(deps, insert(db.audit_entries).values(row | {"body": "{}"}))


async def test_a_server_that_cannot_record_is_not_ready_until_it_can(small: Deps) -> None:
    async with serving(small) as served:
        assert (await served.client.get("/readyz")).status_code == 200
        await run(small, text("ALTER TABLE audit_entries RENAME TO elsewhere"))
        await served.ask(HOW)
        for _ in range(2):
            answer = await served.client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["detail"] == "the audit chain cannot be written"
        await run(small, text("ALTER TABLE elsewhere RENAME TO audit_entries"))
        before = await audit.last_entry(small.engine)
        for _ in range(2):
            assert (await served.client.get("/readyz")).status_code == 200
        after = await audit.last_entry(small.engine)
    assert before is not None
    assert after is not None
    assert (after.kind, after.seq) == ("resumed", before.seq + 1), "once"
    assert (await verify(small.trail)).ok


async def test_heads_are_exported_at_intervals_and_when_it_ends(tmp_path: Path) -> None:
    more = {"ZHUNXIN_AUDIT_HEAD_EVERY": "3", "ZHUNXIN_AUDIT_HEADS": str(tmp_path / "away.jsonl")}
    async with opened(tmp_path, **more) as deps:
        for _ in range(3):
            await ask(deps)
        last = await audit.last_entry(deps.engine)
        assert last is not None
        lines = (tmp_path / "away.jsonl").read_text().splitlines()
        assert [json.loads(line)["seq"] for line in lines] == list(range(3, last.seq + 1, 3))
    lines = (tmp_path / "away.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["hash"] == last.hash
    (tmp_path / "away.jsonl").write_text("\n".join([*lines, '{"seq": 3, "ha']))
    async with open_deps(settings_for(tmp_path / "home", **more)) as deps:
        verdict = await verify(deps.trail)
    assert verdict.ok
    number = len(lines) + 1
    assert verdict.warnings == (f"line {number} of the file of exported heads cannot be read",)


@pytest.mark.parametrize(
    "line", ['{"seq":1e999,"hash":"x"}', "[" * 200_000, '{"seq":NaN,"hash":""}', "7", "{}"]
)
async def test_a_head_that_is_no_head_is_named_by_its_line(small: Deps, line: str) -> None:
    await audit.export_head(small.trail)
    with small.trail.heads.open("a") as heads:
        heads.write(f"{line}\n")
    verdict = await verify(small.trail)
    assert verdict.ok
    assert verdict.warnings == ("line 2 of the file of exported heads cannot be read",)
    assert await audit.export_head(small.trail) is not None


async def test_whoever_goes_away_while_something_is_written_leaves_nothing_locked(
    lender: Deps,
) -> None:
    async def write() -> None:
        async with audit.transaction(lender.trail) as connection:
            for _ in range(5):
                await audit.append_in(connection, lender.trail.keys, "approval", "x", {"by": "x"})

    for sooner in range(12):
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            await asyncio.sleep(0.001 * sooner)
            group.cancel_scope.cancel()
        async with asyncio.timeout(5):
            await audit.append(lender.trail, "approval", "y", {"by": "y"})
    assert (await verify(lender.trail)).ok


async def test_a_task_that_ends_between_a_query_and_its_rows_leaves_nothing_locked(
    small: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite keeps a closed connection, and its right to write, while a query has rows to give:
    as long as a traceback holds the cursor."""
    monkeypatch.setattr(audit, "TURN_S", 1)
    rows = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000000)"
        "SELECT max(x) FROM n UNION ALL SELECT 1"
    )
    kept: list[BaseException] = []

    async def write() -> None:
        try:
            async with audit.transaction(small.trail) as connection:
                await audit.append_in(connection, small.trail.keys, "approval", "x", {"by": "x"})
                await connection.execute(text(rows))
        except asyncio.CancelledError as cancelled:
            kept.append(cancelled)

    task = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    task.cancel()
    await task
    assert len(kept) == 1
    async with asyncio.timeout(5):
        await audit.append(small.trail, "approval", "y", {"by": "y"})
    assert (await verify(small.trail)).ok


async def test_writers_of_one_process_take_turns(
    small: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order they came; to one whose turn does not come it is as if the database had not
    answered, and the next one writes."""
    numbers = [f"{number}" for number in range(40)]
    await asyncio.gather(*(audit.append(small.trail, "text", number, {}) for number in numbers))
    entries = select(audit.audit_entries.c.subject).order_by(audit.audit_entries.c.seq)
    async with small.engine.connect() as connection:
        assert list(await connection.scalars(entries))[-40:] == numbers

    monkeypatch.setattr(audit, "TURN_S", 0.05)
    async with audit.transaction(small.trail):
        with pytest.raises(SQLAlchemyError, match="others have been writing"):
            await audit.append(small.trail, "text", "40", {})
    await audit.append(small.trail, "text", "41", {})


async def test_a_clock_that_went_back_is_told_and_breaks_nothing(lender: Deps) -> None:
    await audit.append(lender.trail, "approval", "x", {"by": "test"})
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await audit.append(lender.trail, "approval", "y", {"by": "test"}, at=yesterday)
    verdict = await verify(lender.trail)
    assert verdict.ok
    assert any("the clock went back at row 4" in warning for warning in verdict.warnings)


async def test_a_damaged_file_is_told_without_a_fault(small: Deps) -> None:
    await filled(small)
    await run(small, text("UPDATE records SET reply = CAST(x'ff00fe' AS TEXT)"))
    assert not (await verify(small.trail)).ok


def everything(verdict: Verdict) -> str:
    """All breaks that are told, one a line."""
    assert not verdict.ok
    return "\n".join([verdict.reason, *(each.reason for each in verdict.further)])


BREAKS = {
    "row 2 was changed": "UPDATE audit_entries SET body = body || ' ' WHERE seq = 2",
    "row 5 is missing": "DELETE FROM audit_entries WHERE seq = 5",
    "'question' of record": "UPDATE records SET question = '?' WHERE status = 'answered'",
    "text ": "UPDATE templates SET text = text || ' ' WHERE name = 'notices'",
    "the clauses of release": "UPDATE clauses SET title = 'x'",
    "account ": "UPDATE staff SET disabled = NOT disabled",
}


async def test_behind_a_break_the_check_goes_on_and_tells_of_each(lender: Deps) -> None:
    await filled(lender)
    await run(lender, *(text(statement) for statement in BREAKS.values()))
    verdict = await broken(lender)
    assert verdict.broken_at == 2
    told = everything(verdict)
    for said in BREAKS:
        assert said in told, told
    assert "row 3" not in told, "it follows the hash that row 2 holds"
    further = verdict.as_json()["further"]
    assert [each["reason"] for each in further] == told.splitlines()[1:]


@pytest.mark.parametrize(
    "change",
    [
        "body = CAST(x'ff00fe' AS TEXT)",
        "body = x'ff'",
        "body = '[]'",
        "body = '{}'",
        "at = x'00'",
        "hash = x'ff'",
        "key_id = 'none'",
        "subject = CAST(x'ff' AS TEXT)",
        "kind = 'handoff'",
        "kind = 'run', body = '7'",
    ],
)
async def test_a_row_of_whatever_was_put_there_blinds_nobody(small: Deps, change: str) -> None:
    await filled(small)
    rows = await audit.read_entries(small.engine)
    for row in rows[:-1:3]:
        await run(small, text(f"UPDATE audit_entries SET {change} WHERE seq = {row.seq}"))
    last = rows[-1].seq
    await run(small, text(f"UPDATE audit_entries SET body = body || ' ' WHERE seq = {last}"))
    told = everything(await verify(small.trail))
    for row in rows[:-1:3]:
        assert f"row {row.seq} " in told or f"after row {row.seq - 1} " in told
    assert f"row {last} was changed" in told


async def test_of_very_many_breaks_the_first_are_told(small: Deps) -> None:
    for number in range(audit._BREAKS + 5):
        await audit.append(small.trail, "approval", f"{number}", {})
    await run(small, text("UPDATE audit_entries SET body = '{ }' WHERE kind = 'approval'"))
    verdict = await broken(small)
    assert len(verdict.further) == audit._BREAKS
    assert verdict.further[-1].reason == "further breaks are left out"


async def test_another_release_that_is_live_than_was_switched_to_is_found(
    lender: Deps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SETTLE_S", 0)
    old = (await ask(lender)).release
    new = await ingest(lender, tmp_path / "docs", RULES.replace("3 天", "5 天"))
    assert (await verify(lender.trail)).ok
    await run(lender, text(f"UPDATE releases SET active = (id = '{old}')"))
    found = await broken(lender)
    assert f"live is {old}, and row" in found.reason
    await run(lender, text("UPDATE releases SET active = (1 = 1)"))
    assert new in (await broken(lender)).reason
    await run(lender, text(f"UPDATE releases SET active = (id = '{new}')"))
    assert (await verify(lender.trail)).ok


async def test_a_release_whose_row_is_being_written_is_no_break(small: Deps) -> None:
    async with small.engine.connect() as connection:
        row = (await connection.execute(select(store.releases))).one()._asdict()
    await run(
        small,
        update(store.releases).values(active=False),
        insert(store.releases).values(row | {"id": "next"}),
    )
    checked = asyncio.create_task(verify(small.trail))
    await asyncio.sleep(0.3)
    await audit.note_release(small.trail, "next", "activated", by="test")
    assert (await checked).ok


async def test_a_release_of_a_version_that_entered_no_vectors_still_holds(small: Deps) -> None:
    (release,) = {e.subject for e in await audit.read_entries(small.engine) if e.kind == "release"}
    async with small.engine.connect() as connection:
        content = await store.content_hash(connection, release)
    await run(small, delete(db.audit_entries))
    other = started_again(small)
    await audit.found(other.trail)
    body = {"action": "ingested", "by": "test", "content": content}
    await audit.append(other.trail, "release", release, body)
    await run(small, text("UPDATE embeddings SET vector = x'00'"))
    assert (await verify(other.trail)).ok


# Staff accounts


PASSWORD = "correct horse battery"
STAYING = SessionRules(timedelta(hours=1), timedelta(hours=8))


async def test_each_change_of_an_account_is_entered_without_who_it_is(lender: Deps) -> None:
    trail = lender.trail
    account = await create_account(trail, "lihua", "李华", ["agent"], PASSWORD, by="boss")
    await set_roles(trail, account.id, ["auditor", "agent"], by="boss")
    await reset_password(trail, account.id, PASSWORD + "!", by="boss")
    await set_disabled(trail, account.id, True, by="cli")
    await set_disabled(trail, account.id, False, by="cli")
    told = await audit.read_entries(lender.engine, subjects=[account.id])
    bodies = [json.loads(entry.body) for entry in told]
    assert [(body["action"], body["by"], body["disabled"]) for body in bodies] == [
        ("created", "boss", False),
        ("roles", "boss", False),
        ("password", "boss", False),
        ("disabled", "cli", True),
        ("enabled", "cli", False),
    ]
    assert [body["roles"] for body in bodies[:2]] == [["agent"], ["agent", "auditor"]]
    written = "".join(entry.body for entry in told)
    assert "lihua" not in written
    assert json.dumps("李华")[1:-1] not in written
    assert (await verify(trail)).ok


async def test_failures_that_lead_to_a_pause_are_entered(lender: Deps) -> None:
    account = await create_account(lender.trail, "lihua", "李华", ["agent"], PASSWORD)
    rules = SessionRules(timedelta(hours=1), timedelta(hours=8))
    for _ in range(6):
        await sign_in(lender.trail, "lihua", "wrong", rules, address="192.0.2.1")
    told = await audit.read_entries(lender.engine, subjects=[account.id])
    bodies = [json.loads(entry.body) for entry in told if entry.kind == "sign_in"]
    assert bodies == [{"action": "paused", "of": "account", "failures": 5}]
    assert (await verify(lender.trail)).ok


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE staff SET password_hash = 'mine'", "is not what row"),
        ("UPDATE staff SET roles = '[\"admin\"]'", "is not what row"),
        ("DELETE FROM staff", "or gone"),
    ],
)
async def test_an_account_changed_in_the_database_is_found(
    lender: Deps, change: str, said: str
) -> None:
    account = await create_account(lender.trail, "lihua", "李华", ["agent"], PASSWORD)
    last = await audit.last_entry(lender.engine)
    await run(lender, text(change))
    found = await broken(lender)
    assert last is not None
    assert found.broken_at == last.seq
    assert account.id in found.reason
    assert said in found.reason


async def test_an_account_put_into_the_database_is_found(small: Deps) -> None:
    await create_account(small.trail, "lihua", "李华", ["agent"], PASSWORD)
    copied = "SELECT 'x', 'mallory', name, password_hash, roles, demo, disabled, created_at"
    await run(small, text(f"INSERT INTO staff {copied} FROM staff"))
    assert (await broken(small)).reason == "account x is in no row of the chain"


async def test_accounts_of_a_version_that_did_not_enter_them_are_taken_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as deps:
        await create_account(deps.trail, "lihua", "李华", ["agent"], PASSWORD)
        entries = db.audit_entries
        await run(deps, delete(entries))
        await audit.append(started_again(deps).trail, "founded", "", {})
    for _ in range(2):
        async with open_deps(settings_for(tmp_path / "home")) as deps:
            kinds = [entry.kind for entry in await audit.read_entries(deps.engine)]
            assert kinds == ["founded", "founded", "account"]
    (tmp_path / "home" / "audit-heads.jsonl").unlink()
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        await run(deps, text("UPDATE staff SET disabled = NOT disabled"))
        assert "account" in (await broken(deps)).reason


# While others write, and after keys were changed


async def test_a_head_that_is_exported_while_the_chain_is_read_is_no_break(small: Deps) -> None:
    await ask(small)
    read_so_far = await audit.last_entry(small.engine)
    for name in ("x", "y"):
        await audit.append(replace(small.trail, every=1), "approval", name, {"by": "test"})
    async with small.engine.connect() as connection:
        walk = audit._Walk(small.trail, connection, lambda done, total: None, read_so_far)
        await audit._check_heads(walk)
        await run(small, delete(db.audit_entries).where(db.audit_entries.c.subject == "y"))
        with pytest.raises(audit._Broken, match="cut off"):
            await audit._check_heads(walk)


async def test_a_row_made_with_a_key_that_was_given_up_is_told(small: Deps) -> None:
    """A key that was given up may be known: what it still signs later is to be looked at."""
    old = small.keys
    newer = audit.Keys({**old.by_id, "new": b"n" * 40}, "new")
    trail = replace(small.trail, keys=newer)
    await audit.append(trail, "approval", "x", {"by": "test"})
    assert not (await verify(trail)).warnings[1:]
    await audit.append(small.trail, "approval", "y", {"by": "test"})
    verdict = await verify(trail)
    assert verdict.ok
    assert any("older key" in warning for warning in verdict.warnings)


# Several writers


WRITER = """
import asyncio, sys
from pathlib import Path
from assistant import audit
from assistant.db import open_engine

async def main():
    url, home, name = sys.argv[1:]
    engine = open_engine(url)
    trail = audit.Trail(engine, audit.open_keys(Path(home) / "audit.key"), Path(home) / "h", 10)
    for n in range(40):
        await audit.append(trail, "approval", name, {"n": n})
    await engine.dispose()

asyncio.run(main())
"""


async def test_writers_in_several_processes_make_one_chain(lender: Deps) -> None:
    url = lender.engine.url.render_as_string(hide_password=False)
    home = str(lender.settings.home)
    environ = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, url, home, f"writer{n}"),
            env=environ,
            stderr=subprocess.PIPE,
        )
        for n in range(3)
    ]
    for _ in range(10):
        await ask(lender)
    for writer in writers:
        _, errors = await writer.communicate()
        assert writer.returncode == 0, errors
    verdict = await verify(lender.trail)
    assert verdict.ok, verdict
    told = await audit.read_entries(lender.engine, limit=1000)
    # Founded, release; notices, lender, rules, follow-ups, triage and approved answers with their
    # examples, tools, their wording, and terms.
    assert len(told) == 3 * 40 + 2 + 10 * 2 + 11
    for n in range(3):
        own = [json.loads(e.body)["n"] for e in told if e.subject == f"writer{n}"]
        assert own == list(range(40))


async def test_questions_asked_at_once_make_one_chain(lender: Deps) -> None:
    await asyncio.gather(*(ask(lender) for _ in range(12)))
    verdict = await verify(lender.trail)
    assert (verdict.ok, verdict.records) == (True, 12)


# Erasing


async def test_an_erased_conversation_is_gone_and_the_chain_holds(lender: Deps) -> None:
    lender.use_model(ScriptedChat(['{"ids":[1]}'] * 2))
    kept = await ask(lender)
    gone = await ask(lender, "我叫王小明，" + HOW)
    assert await audit.erase(lender.trail, conversation_id=gone.conversation_id, by="lihua") == 1
    record = await journal.read_record(lender.engine, gone.record_id)
    assert record is not None
    assert "王小明" not in json.dumps(record, ensure_ascii=False)
    assert [record[name] for name in ("question", "reply", "raw_output", "played", "salt")] == [
        *("", None, None, None, None)
    ]
    assert record["evidence"]
    verdict = await verify(lender.trail)
    assert (verdict.ok, verdict.records) == (True, 2)
    last = await audit.last_entry(lender.engine)
    assert last is not None
    assert json.loads(last.body)["by"] == "lihua"
    assert (await replayed(lender, gone.record_id)).outcome == "erased"
    assert (await replayed(lender, kept.record_id)).outcome == "identical"
    assert await audit.erase(lender.trail, conversation_id=gone.conversation_id, by="x") == 0


async def test_what_was_erased_is_not_left_in_the_file(small: Deps) -> None:
    gone = await ask(small, "我叫王小明，住在青石巷，" + HOW)
    assert await audit.erase(small.trail, conversation_id=gone.conversation_id, by="x") == 1
    said = [text.encode() for word in ("王小明", "青石巷") for text in (word, json.dumps(word))]
    for file in small.settings.home.glob("*.db*"):
        data = file.read_bytes()
        assert not any(word in data for word in said), file


async def stands_in_files(deps: Deps, word: str) -> bool:
    """Whether a file of a database on PostgreSQL holds a word."""
    async with deps.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("CHECKPOINT"))
        place = "current_setting('data_directory') || '/base/' || oid"
        own = f"SELECT {place} FROM pg_database WHERE datname = current_database()"
        folder = str(await connection.scalar(text(own)))

    def holds() -> bool:
        files = [file for file in Path(folder).iterdir() if file.is_file()]
        assert files
        return any(word.encode() in file.read_bytes() for file in files)

    return await asyncio.to_thread(holds)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_what_was_erased_is_not_left_in_files_of_postgresql(lender: Deps) -> None:
    first = await ask(lender, "我住在青石巷，" + HOW)
    await ask(lender, "我住在青石巷，" + HOW)
    await run(lender, text("ANALYZE records"))
    held = "SELECT most_common_vals::text FROM pg_stats WHERE attname = 'question'"
    async with lender.engine.connect() as connection:
        assert "青石巷" in str(await connection.scalar(text(held)))
    assert await audit.erase(lender.trail, older_than_days=0, by="x") == 2
    assert await stands_in_files(lender, "青石巷")
    assert await audit.scrub(lender.engine) == []
    assert not await stands_in_files(lender, "青石巷")
    assert (await verify(lender.trail)).ok
    assert (await replayed(lender, first.record_id)).outcome == "erased"
    assert (await ask(lender)).status == "answered"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_table_of_which_old_rows_are_read_is_named_and_written_the_next_time(
    lender: Deps,
) -> None:
    await ask(lender, "我住在青石巷，" + HOW)
    async with lender.engine.connect() as reader:
        await reader.execution_options(isolation_level="REPEATABLE READ")
        await reader.execute(select(db.templates.c.version))
        assert await audit.erase(lender.trail, older_than_days=0, by="x") == 1
        assert "records" in await audit.scrub(lender.engine)
        assert await stands_in_files(lender, "青石巷")
    assert await audit.scrub(lender.engine) == []
    assert not await stands_in_files(lender, "青石巷")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_table_that_is_in_use_is_named(lender: Deps) -> None:
    async with lender.engine.connect() as reader:
        await reader.execute(select(db.feedback.c.day))
        assert "feedback" in await audit.scrub(lender.engine)


async def test_what_is_older_is_erased_and_the_rest_stays(lender: Deps) -> None:
    replies = [await ask(lender) for _ in range(3)]
    later = datetime.now(UTC) + timedelta(days=30, minutes=1)
    assert await audit.erase(lender.trail, older_than_days=31, by="x", now=later) == 0
    assert await audit.erase(lender.trail, older_than_days=30, by="x", now=later) == 3
    assert (await verify(lender.trail)).ok
    new = await ask(lender)
    outcomes = [(await replayed(lender, r.record_id)).outcome for r in (*replies, new)]
    assert outcomes == ["erased"] * 3 + ["identical"]


async def test_an_erasure_that_no_row_tells_of_is_found(lender: Deps) -> None:
    one, other = await ask(lender), await ask(lender)
    await audit.erase(lender.trail, conversation_id=one.conversation_id, by="x")
    last = await audit.last_entry(lender.engine)
    assert last is not None
    blank = {"question": "", "settings": {}, "salt": None, "erased_seq": last.seq}
    statement = update(db.records).where(db.records.c.id == other.record_id)
    await run(lender, statement.values(**blank))
    found = await broken(lender)
    assert "no row says so" in found.reason


async def test_what_was_erased_cannot_be_filled_again(lender: Deps) -> None:
    reply = await ask(lender)
    await audit.erase(lender.trail, conversation_id=reply.conversation_id, by="x")
    await run(lender, update(db.records).values(question="别的问题"))
    assert "not empty" in (await broken(lender)).reason


async def test_a_question_that_is_being_answered_is_not_erased(lender: Deps) -> None:
    conversation, record_id = await journal.open_record(
        lender.trail, asked(HOW), HOW, [], "t" * 32, "0"
    )
    assert await audit.erase(lender.trail, conversation_id=conversation, by="x") == 0
    assert (await replayed(lender, record_id)).outcome == "open"


async def test_a_record_that_a_killed_process_left_open_is_closed_and_says_what_is_unknown(
    lender: Deps, tmp_path: Path
) -> None:
    reply = await ask(lender)
    _, record_id = await journal.open_record(lender.trail, asked(HOW), HOW, [], "t" * 32, "0")
    gone, erased = await journal.open_record(lender.trail, asked(HOW), HOW, [], "t" * 32, "0")
    _, forgotten = await journal.open_record(
        lender.trail, asked(HOW, subject="me"), HOW, [], "t" * 32, "0"
    )
    talk = (await journal.conversations_of(lender.engine, "me", 1))[0]["conversation_id"]
    assert await journal.forget(lender.trail, talk, "me") == 0
    later = datetime.now(UTC) + journal.LEFT_OPEN_AFTER
    await audit.erase(lender.trail, conversation_id=gone, by="x", now=later)
    early = later - timedelta(minutes=1)
    assert await journal.close_left_open(lender.trail, early) == 0, "it may be answered still"
    assert await journal.close_left_open(lender.trail, later) == 2
    assert await journal.close_left_open(lender.trail, later) == 0
    record = await journal.read_record(lender.engine, record_id)
    assert record is not None
    assert (record["status"], record["reply"], record["question"]) == ("unanswered", None, HOW)
    own = record["conversation_id"]
    await export(lender.trail, tmp_path / "out", conversation_id=own, by="test")
    page = (tmp_path / "out" / "conversations" / f"{own}.html").read_text()
    assert "回答未记录；是否显示过不可知。" in page
    told = await audit.read_entries(lender.engine, subjects=[record_id])
    assert [entry.kind for entry in told] == ["question", "unanswered"]
    assert json.loads(told[-1].body)["shown"] == "unknown"
    assert (await replayed(lender, record_id)).outcome == "open"
    assert (await replayed(lender, erased)).outcome == "erased"
    assert (await replayed(lender, forgotten)).outcome == "erased", "its borrower had it deleted"
    assert (await replayed(lender, reply.record_id)).outcome == "identical"
    assert (await verify(lender.trail)).ok
    await run(lender, update(db.records).where(db.records.c.id == record_id).values(status="open"))
    assert "status" in (await broken(lender)).reason


# Replay


@dataclass
class Breaking(ScriptedChat):
    """Writes a sentence and breaks off."""

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        async def pieces() -> AsyncGenerator[Piece, None]:
            number = number_of(messages, "1,000 元至 200,000 元")
            yield Piece(f"安心贷单笔最高可以借200,000元[{number}]。另外", self.name)
            raise ModelUnavailable("the connection ended")

        return TextStream(pieces())


RANGE = "1,000 元至 200,000 元"
CASES: dict[str, tuple[ScriptedChat | None, Question, str]] = {
    "select": (ScriptedChat([choosing("免收提前还款违约金")]), asked(EARLY), "answered"),
    "select, asked twice": (
        ScriptedChat(["sentence one", choosing("免收提前还款违约金")]),
        asked(EARLY),
        "answered",
    ),
    "select, garbled twice": (ScriptedChat(["one", "two"]), asked(EARLY), "answered"),
    "draft": (
        ScriptedChat([writing(("安心贷单笔最高可以借200,000元", "200,000 元"))], way="draft"),
        asked(AMOUNT),
        "answered",
    ),
    "draft in another language": (
        ScriptedChat(["[无]"], way="draft"),
        asked(AMOUNT, locale="en"),
        "not_covered",
    ),
    "repaired": (
        ScriptedChat(
            [
                writing(("安心贷单笔最高可以借300,000元", RANGE)),
                writing(("安心贷单笔最高可以借20万元", RANGE)),
            ],
            way="draft",
        ),
        asked(AMOUNT),
        "answered",
    ),
    "withheld": (
        ScriptedChat([writing(("您最高能借30万元", RANGE))] * 2, way="draft"),
        asked(AMOUNT),
        "answered",
    ),
    "withheld without a source": (
        ScriptedChat(["您已获批20万。", "[无]"], way="draft"),
        asked(AMOUNT),
        "not_covered",
    ),
    "repair failed": (
        ScriptedChat([writing(("您最高能借30万元", RANGE)), ModelGarbled("cut off")], way="draft"),
        asked(AMOUNT),
        "answered",
    ),
    "broken off": (Breaking([], way="draft"), asked(AMOUNT), "answered"),
    "model down": (ScriptedChat([ModelUnavailable("down")]), asked(EARLY), "answered"),
    "extractive": (None, asked(EARLY), "answered"),
    "not covered": (None, asked("今天天气怎么样"), "not_covered"),
    "nothing chosen": (ScriptedChat(['{"ids":[]}']), asked(EARLY), "not_covered"),
    "clarify": (ScriptedChat([]), asked("😡😡😡？？"), "clarify"),
    "older contract": (
        ScriptedChat([choosing("100,000 元")]),
        asked("安心贷单笔能借多少钱", contract_date=date(2024, 5, 1)),
        "answered",
    ),
    "as of another day": (
        None,
        asked(EARLY, as_of=date(2026, 6, 30), locale="zh-Hant"),
        "answered",
    ),
    "personal data": (
        ScriptedChat(
            [writing(("安心贷单笔借款金额最高200,000 元，您的<PHONE_1>", RANGE))] * 2, way="draft"
        ),
        asked("我是13812345678，安心贷单笔借款金额最高多少"),
        "answered",
    ),
    "personal data of several kinds": (
        ScriptedChat([choosing("免收提前还款违约金")]),
        asked("138 1234 5678，11010519491231002X，a@b.cn，" + EARLY),
        "answered",
    ),
    "a card number": (ScriptedChat([]), asked("6222020200112233440，" + EARLY), "refused"),
    "a complaint": (None, asked("我要投诉你们暴力催收"), "handoff"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_reply_is_made_again_from_what_was_recorded(deps: Deps, case: str) -> None:
    model, question, status = CASES[case]
    if model is not None:
        deps.use_model(replace(model, calls=[]))
    reply = await collect(answer_question(question, deps))
    assert isinstance(reply, Reply)
    assert reply.status == status
    deps.use_model(ScriptedChat([]))  # a model that was asked now would fail
    again = await replayed(deps, reply.record_id)
    assert again.outcome == "identical", again.differences


async def test_every_record_of_a_run_is_made_again_and_an_erased_one_is_called_so(
    deps: Deps,
) -> None:
    replies = []
    for model, question, _ in CASES.values():
        asked_of = replace(deps, _model=None if model is None else replace(model, calls=[]))
        reply = await collect(answer_question(question, asked_of))
        assert isinstance(reply, Reply)
        replies.append(reply)
    player = Player(deps)
    outcomes = {reply.record_id: (await player.replay(reply.record_id)) for reply in replies}
    assert {made.outcome for made in outcomes.values()} == {"identical"}, [
        made.differences for made in outcomes.values() if not made.identical
    ]
    gone = replies[0]
    assert await audit.erase(deps.trail, conversation_id=gone.conversation_id, by="test") == 1
    assert (await player.replay(gone.record_id)).outcome == "erased"
    assert (await player.replay(replies[1].record_id)).outcome == "identical"
    assert (await verify(deps.trail)).ok


async def test_a_reply_without_a_model_that_starts_is_made_again(deps: Deps) -> None:
    nowhere = deps.settings.model_copy(update={"local_model": Path("no-such-model.gguf")})
    reply = await ask(replace(deps, settings=nowhere, model_specs=("local",)), EARLY)
    assert reply.model == "extractive"
    again = await replayed(deps, reply.record_id)
    assert again.outcome == "identical", again.differences


class Reversed:
    """Puts what is found upside down."""

    def rerank(self, text: str, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
        pairs = zip(evidence, reversed(evidence), strict=True)
        return tuple(replace(item, score=given.score) for given, item in pairs)


async def test_the_order_of_a_ranking_model_is_made_again_without_it(deps: Deps) -> None:
    plain = await ask(deps, EARLY)
    reply = await ask(replace(deps, _ranks=Reversed()), EARLY)
    assert reply.evidence_ids != plain.evidence_ids
    again = await replayed(deps, reply.record_id)
    assert again.outcome == "identical", again.differences
    # Nor is one asked that is set now, and was not then.
    now = deps.settings.model_copy(update={"rerank": "m", "rerank_base_url": "http://[::1]:1"})
    assert (await replayed(replace(deps, settings=now), plain.record_id)).identical


async def test_what_garbled_answers_said_is_recorded_in_order(deps: Deps) -> None:
    deps.use_model(ScriptedChat(["sentence one", '{"ids":[1]}']))
    reply = await ask(deps, EARLY)
    record = await journal.read_record(deps.engine, reply.record_id)
    assert record is not None
    assert record["raw_output"] == ["sentence one", '{"ids":[1]}']
    errors = [turn["error"] for turn in record["played"]["turns"]]
    assert errors == ["ModelGarbled", ""]


async def test_a_reply_that_the_borrower_left_is_made_again_as_far_as_it_came(deps: Deps) -> None:
    sentences = [("安心贷单笔最高可以借200,000元", RANGE)] * 2
    deps.use_model(ScriptedChat([writing(*sentences, ("您最高能借30万元", RANGE))], way="draft"))
    events = answer_question(asked(AMOUNT), deps)
    async for event in events:
        if event.name == "sentence":
            break
    await events.aclose()
    async with deps.engine.connect() as connection:
        record_id = await connection.scalar(
            select(db.records.c.id).order_by(db.records.c.asked_at.desc()).limit(1)
        )
    record = await journal.read_record(deps.engine, record_id)
    assert record is not None
    assert record["status"] == "unanswered"
    assert [s["text"] for s in record["reply"]["sentences"]] == ["安心贷单笔最高可以借200,000元。"]
    assert (await replayed(deps, record_id)).outcome == "identical"


async def test_a_reply_is_made_again_from_its_own_release(small: Deps, tmp_path: Path) -> None:
    first = await ask(small)
    for fee in range(1, 8):  # so many that the vectors of the first are no longer kept
        rules = RULES.replace("不收违约金", f"收 {fee}% 违约金")
        await ingest(small, tmp_path / "docs", rules)
        assert small._index is not None
        await small._switch(small._index.release.id)
    assert not small.vector_store.kept(first.release)
    last = await ask(small)
    assert first.answer != last.answer
    assert (await replayed(small, first.record_id)).outcome == "identical"
    assert (await replayed(small, last.record_id)).outcome == "identical"
    assert (await verify(small.trail)).ok


async def test_wording_that_has_changed_since_does_not_change_a_replay(
    deps: Deps, tmp_path: Path
) -> None:
    from prompts.render import notices_used, pinned, render

    deps.use_model(ScriptedChat([choosing("免收提前还款违约金")]))
    older = {
        "notices": notices_used().template.replace("我不作推测", "恕不推测"),
        "zh/question": render("zh/question", groups=[], question="").template + "\n再想一想。",
    }
    with pinned(older):
        chosen = await ask(deps, EARLY)
        guessed = await ask(deps, "今天天气怎么样")
    assert "恕不推测" in guessed.answer
    for reply in (chosen, guessed):
        assert (await replayed(deps, reply.record_id)).outcome == "identical"


def test_a_reason_that_pinned_notices_do_not_know_is_worded_as_today() -> None:
    """As where a sentence that was shown would now be withheld for a new reason."""
    from prompts.render import notice, notices_used, pinned

    today = notice("reason_unlike", "zh-Hans", detail="甲")
    older = re.sub(r"\[reason_unlike\]\n.+\n", "", notices_used().template)
    assert "reason_unlike" not in older
    with pinned({"notices": older}):
        assert notice("reason_unlike", "zh-Hans", detail="甲") == today
        with pytest.raises(KeyError):
            notice("reason_of_nobody", "zh-Hans", detail="甲")


async def test_an_ingredient_that_is_not_here_is_named(lender: Deps) -> None:
    reply = await ask(lender)
    record = await journal.read_record(lender.engine, reply.record_id)
    assert record is not None
    version = record["texts"]["notices"]
    await run(lender, delete(db.templates).where(db.templates.c.version == version))
    again = await replayed(lender, reply.record_id)
    assert (again.outcome, again.missing) == ("missing", f"the text notices of version {version}")


async def test_a_pipeline_that_answers_otherwise_is_told_with_the_difference(deps: Deps) -> None:
    from knowledge.lender import Lender

    reply = await ask(deps, "今天天气怎么样")
    record = await journal.read_record(deps.engine, reply.record_id)
    assert record is not None
    # As if this program worded things otherwise, under the version that it had then.
    other = Lender("甲", "甲", "400-111-1111", "全天", "", {})
    from assistant.answer import lender_used

    text_of_other = lender_used(other)
    await run(
        deps,
        update(db.templates)
        .where(db.templates.c.version == record["texts"]["lender"])
        .values(text=text_of_other.template),
    )
    again = await replayed(deps, reply.record_id)
    restored = lender_used(deps.lender)
    await run(
        deps,
        update(db.templates)
        .where(db.templates.c.version == restored.version)
        .values(text=restored.template),
    )
    assert again.outcome == "different"
    assert any("400-000-0000" in line for line in again.differences)
    assert "diff" in again.as_json()


async def test_a_record_that_is_not_there_is_said_so(small: Deps) -> None:
    with pytest.raises(UnknownRecord):
        await replayed(small, "none")


async def test_a_recorded_reply_that_was_changed_is_not_called_a_difference(lender: Deps) -> None:
    reply = await ask(lender)
    record = await journal.read_record(lender.engine, reply.record_id)
    assert record is not None
    changed = record["reply"] | {"answer": "可以免息"}
    await run(lender, update(db.records).values(reply=changed))
    again = await replayed(lender, reply.record_id)
    assert again.outcome == "broken"
    assert "'reply'" in again.differences[0]


# Nothing is shown that cannot be recorded


async def test_without_a_chain_nothing_is_answered_and_a_human_is_named(
    deps: Deps, tmp_path: Path
) -> None:
    model = ScriptedChat([])
    deps.use_model(model)
    empty = db.open_engine(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
    await deps.index()
    gone = replace(deps, engine=empty, _index_checked=math.inf)
    events = [event async for event in answer_question(asked(EARLY), gone)]
    assert [event.name for event in events] == ["handoff", "error"]
    assert events[0].data["hotline"] == "400-000-0000"
    assert not model.calls
    await empty.dispose()


async def test_a_chain_that_breaks_during_an_answer_ends_it_in_an_error(small: Deps) -> None:
    async def drop() -> None:
        await run(small, text("ALTER TABLE audit_entries RENAME TO elsewhere"))

    names = []
    async for event in answer_question(asked(HOW), small):
        names.append(event.name)
        if event.name == "evidence":
            await drop()
    assert names[-2:] == ["handoff", "error"]
    assert "done" not in names
    assert "sentence" in names
    assert event.data["text"] == notice("fault_midway", "zh-Hans")
    names = [event.name async for event in answer_question(asked(HOW), small)]
    assert names == ["handoff", "error"]
    await run(small, text("ALTER TABLE elsewhere RENAME TO audit_entries"))
    verdict = await verify(small.trail)
    assert verdict.ok  # the question is there, with no reply
    async with small.engine.connect() as connection:
        assert await connection.scalar(select(db.records.c.status)) == "open"


@pytest.mark.parametrize("refuses", ["", " WHEN new.reply IS NOT NULL"])
async def test_where_a_reply_could_not_be_recorded_nothing_more_is_answered_until_it_is(
    small: Deps, tmp_path: Path, refuses: str
) -> None:
    refused = f"CREATE TRIGGER no BEFORE UPDATE ON records{refuses}"
    await run(small, text(f"{refused} BEGIN SELECT RAISE(ABORT, 'no'); END"))
    names = [event.name async for event in answer_question(asked(HOW), small)]
    assert "sentence" in names
    assert names[-2:] == ["handoff", "error"]
    for _ in range(2):
        names = [event.name async for event in answer_question(asked(HOW), small)]
        assert names == ["handoff", "error"]
    async with serving(small) as served:
        assert (await served.client.get("/readyz")).status_code == 503
        await export(small.trail, tmp_path / "out", by="test")
        (page,) = (tmp_path / "out" / "conversations").iterdir()
        assert "回答未记录；是否显示过不可知。" in page.read_text()
        later = datetime.now(UTC) + audit.ANSWERED_WITHIN
        assert "records left open: 1," in (await verify(small.trail, now=later)).warnings[-1]
        await run(small, text("DROP TRIGGER no"))
        assert (await served.client.get("/readyz")).status_code == 200
    await ask(small)
    verdict = await verify(small.trail, now=later)
    assert (verdict.ok, verdict.records, len(verdict.warnings)) == (True, 2, 1)
    first = (await journal.record_ids(small.engine))[0]
    record = await journal.read_record(small.engine, first)
    assert record is not None
    assert record["status"] == "unanswered"
    assert [sentence["text"] for sentence in record["reply"]["sentences"]], "what was shown"
    assert (await replayed(small, first)).outcome == "identical"


async def test_a_head_that_cannot_be_written_does_not_hold_up_replies(tmp_path: Path) -> None:
    more = {"ZHUNXIN_AUDIT_HEAD_EVERY": "1", "ZHUNXIN_AUDIT_HEADS": "/dev/null/heads"}
    async with opened(tmp_path, **more) as deps:
        assert (await ask(deps)).status == "answered"


# Export


async def test_an_export_holds_records_proof_and_a_page_for_each_conversation(
    lender: Deps, tmp_path: Path
) -> None:
    lender.use_model(ScriptedChat(['{"ids":[1]}'] * 3))
    first = await ask(lender, "<script>alert(1)</script>" + HOW)
    second = await ask(lender, HOW, conversation_id=first.conversation_id)
    other = await ask(lender)
    await audit.erase(lender.trail, conversation_id=other.conversation_id, by="x")
    out = tmp_path / "out"
    done = await export(lender.trail, out, by="test")
    assert (done.conversations, done.records) == (2, 3)
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert {line["record"]["id"] for line in lines} == {
        reply.record_id for reply in (first, second, other)
    }
    assert [entry["kind"] for entry in lines[0]["entries"]] == ["question", "reply"]
    summary = json.loads((out / "export.json").read_text())
    assert {row["label"][:5] for row in (*lines, summary)} == {"AI 生成"}
    pages = {path.stem: path.read_text() for path in (out / "conversations").iterdir()}
    assert pages.keys() == {first.conversation_id, other.conversation_id}
    shown = pages[first.conversation_id]
    assert shown.count("AI 生成") >= 3, "in its head, and with each reply"
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "default-src 'none'" in shown
    asked = datetime.fromisoformat(lines[0]["record"]["asked_at"])
    assert f"<h2>1. {asked + timedelta(hours=8):%Y-%m-%d %H:%M}</h2>" in shown, "as in Shanghai"
    for entry in lines[0]["entries"]:
        assert entry["hash"] in shown
    assert "erased" in pages[other.conversation_id]
    kept = [json.loads(line) for line in (out / "texts.jsonl").read_text().splitlines()]
    assert {row["version"] for row in kept} >= set(lines[0]["record"]["texts"].values())
    last = await audit.last_entry(lender.engine)
    assert last is not None
    assert last.kind == "export"
    assert (await verify(lender.trail)).ok
    with pytest.raises(FolderNotEmpty):
        await export(lender.trail, out, by="test")


def away_from(folder: Path, out: Path) -> list[Path]:
    """Files in a folder that are not below `out`."""
    return [p for p in folder.rglob("*") if p.is_file() and out not in p.parents]


async def test_an_export_says_which_record_was_changed_and_stays_in_its_folder(
    small: Deps, tmp_path: Path
) -> None:
    kept, changed = await ask(small), await ask(small)
    await run(
        small,
        update(db.records).where(db.records.c.id == changed.record_id).values(question="别的问题"),
        update(db.records)
        .where(db.records.c.id == changed.record_id)
        .values(conversation_id="../../away"),
        update(db.conversations)
        .where(db.conversations.c.id == changed.conversation_id)
        .values(id="../../away"),
    )
    out = tmp_path / "a" / "b" / "out"
    done = await export(small.trail, out, by="test")
    assert (done.records, done.broken) == (2, 1)
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    found = {line["record"]["id"]: line["broken"] for line in lines}
    assert found[kept.record_id] == ""
    assert "is not what row" in found[changed.record_id]
    assert away_from(tmp_path / "a", out) == []
    pages = [path.read_text() for path in (out / "conversations").iterdir()]
    assert sum("broken" in shown for shown in pages) == 1


async def test_the_page_of_an_export_shows_what_was_calculated_and_has_words_for_kinds(
    small: Deps, tmp_path: Path
) -> None:
    await ask(small, "借10000元，年利率14.4%，等额本息分12期，每期还多少？")
    await export(small.trail, tmp_path / "out", by="x")
    (page,) = [file.read_text() for file in (tmp_path / "out" / "conversations").iterdir()]
    assert "计算：" in page
    assert "算式" in page
    rows = re.findall(r"<tr>(?:<td>[^<]*</td>)+</tr>", page)
    assert len(rows) >= 12, "one an instalment"
    assert "程序计算或查询" in page
    assert not re.search(r">(tool|quote|answered|question|reply)<", page)


async def test_an_export_of_days_holds_what_was_asked_on_them(small: Deps, tmp_path: Path) -> None:
    await ask(small)
    today = datetime.now(UTC).astimezone(tz=None).date()
    near = (today - timedelta(days=1), today + timedelta(days=1))
    inside = await export(small.trail, tmp_path / "a", first=near[0], last=near[1], by="x")
    assert inside.records == 1
    after = await export(small.trail, tmp_path / "b", first=near[1] + timedelta(days=1), by="x")
    assert after.records == 0
    assert not (tmp_path / "b").exists()


HIDDEN: dict[str, str] = {
    "its time": "UPDATE records SET asked_at = '2025-01-01 00:00:00.000000' WHERE id = :id",
    "its conversation": "UPDATE records SET conversation_id = :other WHERE id = :id",
    "the row of its conversation": "DELETE FROM conversations WHERE id = :talk",
    "the record": "DELETE FROM records WHERE id = :id",
}


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("by_day", [True, False])
async def test_a_record_that_somebody_hid_has_its_place_in_an_export(
    lender: Deps, tmp_path: Path, hidden: str, by_day: bool
) -> None:
    kept, gone = await ask(lender), await ask(lender)
    told = await audit.read_entries(lender.engine, subjects=[gone.record_id])
    named = {"id": gone.record_id, "talk": gone.conversation_id, "other": kept.conversation_id}
    used = {name: value for name, value in named.items() if f":{name}" in HIDDEN[hidden]}
    await run(lender, text(HIDDEN[hidden]).bindparams(**used))
    today = datetime.now(UTC).astimezone(tz=None).date()
    days = {"first": today - timedelta(days=1), "last": today + timedelta(days=1)}
    one: dict[str, Any] = days if by_day else {"conversation_id": gone.conversation_id}
    done = await export(lender.trail, tmp_path / "out", by="test", **one)
    assert (done.records, done.broken) == (1 + by_day, 1)
    assert done.chain
    lines = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    found = {line["record"]["id"]: line for line in map(json.loads, lines)}
    assert found[gone.record_id]["broken"]
    assert [entry["hash"] for entry in found[gone.record_id]["entries"]] == [e.hash for e in told]
    page = tmp_path / "out" / "conversations" / f"{gone.conversation_id}.html"
    assert "broken" in page.read_text()
    assert ("记录已不在" in page.read_text()) == (hidden == "the record")
    summary = json.loads((tmp_path / "out" / "export.json").read_text())
    assert summary["broken"] == 1
    assert not summary["verified"]["ok"]


async def test_an_export_says_that_rows_of_the_chain_are_gone(small: Deps, tmp_path: Path) -> None:
    gone, kept = await ask(small), await ask(small)
    rows = (db.audit_entries, db.audit_entries.c.subject), (db.records, db.records.c.id)
    await run(small, *(delete(table).where(own == gone.record_id) for table, own in rows))
    done = await export(small.trail, tmp_path / "out", by="test")
    assert (done.records, done.broken) == (1, 0), "nothing of it is left"
    assert "missing" in done.chain
    summary = json.loads((tmp_path / "out" / "export.json").read_text())
    assert summary["verified"]["reason"] == done.chain
    alone = await export(
        small.trail, tmp_path / "none", conversation_id=gone.conversation_id, by="test"
    )
    assert (alone.conversations, alone.chain) == (0, done.chain)
    assert kept.record_id in (tmp_path / "out" / "records.jsonl").read_text()


def test_the_version_of_the_code_names_the_commit_in_a_repository() -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    assert commit in code_version()
    assert len(code_version()) <= 64


async def test_a_reply_that_is_closed_while_it_is_looked_up_is_shown(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation, record_id = await journal.open_record(
        deps.trail, asked(HOW), HOW, [], "t" * 32, "0"
    )
    read_rows = audit._read_rows

    async def closed_meanwhile(*looked_up: Any) -> Any:
        monkeypatch.setattr(audit, "_read_rows", read_rows)
        held = {"status": "unanswered", "reply": {"sentences": []}}
        await journal._close(deps.trail, record_id, conversation, "unanswered", held, {})
        return await read_rows(*looked_up)

    monkeypatch.setattr(audit, "_read_rows", closed_meanwhile)
    assert await audit.not_as_said(deps.trail, [record_id]) == set()
