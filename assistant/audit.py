"""The audit chain: one keyed row for each reply and each decision, each holding the one before.

A row's hash is an HMAC over all its columns, with a key that is not in the database, so that nobody
who can only write to the database can change, add, remove or reorder rows unnoticed. That the last
rows were cut off shows in the heads, which are written to a file at intervals. What a borrower
wrote and was told enters as salted hashes: payload and salt can be erased, and the chain still
holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Table,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from knowledge import store

from .case_drafts import drop_erased
from .db import (
    answer_drafts,
    as_utc,
    audit_entries,
    campaign_results,
    campaign_runs,
    case_drafts,
    case_labels,
    contacts,
    conversations,
    copilot_events,
    feedback,
    handoff_customers,
    handoff_events,
    handoffs,
    offer_drafts,
    offer_versions,
    promises,
    quality_appeals,
    quality_reviews,
    quality_scores,
    records,
    saved_segments,
    staff,
    suppressions,
    templates,
)

Kind = Literal[
    "founded",
    "adopted",
    "text",
    "question",
    "reply",
    "unanswered",
    "erasure",
    "release",
    "confirmation",
    "clearance",
    "account",
    "handoff",
    "approval",
    "answer",
    "promise",
    "offer",
    "run",
    "suppression",
    "segment",
    "results",
    "copilot",
    "review",
    "appeal",
]
"""What an entry tells of; other decisions, such as approvals, name kinds of their own."""

GENESIS = "0" * 64
"""What the first row holds in place of the hash of the one before."""

LEAST_KEY_CHARS = 32

PERSONAL = ("question", "settings", "reply", "raw_output", "played")
"""Columns of a record that are erased with it, and that the chain knows only as salted hashes."""

_UNSEALED = ("salt", "erased_seq")
"""Columns of a record that an erasure changes; what they must be follows from its entry."""

OPENING = ("id", "conversation_id", "trace_id", "asked_at", "code_version", "question", "settings")
"""Columns of a record that are sealed when the question comes in, and do not change afterwards."""

_BLANK: Mapping[str, str | None] = {
    "question": "",
    "settings": "{}",
    "reply": None,
    "raw_output": None,
    "played": None,
}
"""What an erased record holds in its personal columns."""

PERSONAL_EVENT = ("text", "contact")
"""Columns of an event of a hand-over that are erased with it."""

PERSONAL_COPILOT = ("text",)
"""Columns of an event of the copilot that are erased with it."""

PERSONAL_POINT = ("text", "right")
"""What a point of a score tells of the conversation, which is erased with it."""

_NOTES: Mapping[Kind, tuple[str, ...]] = {"review": ("note",), "appeal": ("reason", "comment")}
"""Columns in which people write of a scored conversation, erased with it."""

HELD: Mapping[Kind, tuple[Any, ...]] = {
    "answer": (answer_drafts.c.id,),
    "promise": (promises.c.conversation_id,),
    "offer": (offer_drafts.c.id, offer_versions.c.draft_id),
    "run": (campaign_runs.c.id,),
    "suppression": (suppressions.c.customer,),
    "segment": (saved_segments.c.id,),
    "results": (campaign_results.c.campaign,),
    "review": (quality_reviews.c.score_id,),
    "appeal": (quality_appeals.c.score_id,),
}
"""Kind -> columns that hold the subject of its entries. The last entry about a subject holds a hash
of all rows in which it stands there."""

SAID: Mapping[Kind, Table] = {
    "confirmation": store.confirmations,
    "clearance": store.clearances,
}
"""Kind -> table of what persons said of documents. What no row of the chain tells of is not taken
at an ingestion."""

Seal = Callable[[Kind, str, Mapping[str, Any]], Awaitable[None]]

NOBODY = "erased"
"""In place of a borrower's hash, which it equals none of."""

SETTLE_S = 10.0
"""How long a release may be live before its row is written: what it says is hashed before."""

ANSWERED_WITHIN = timedelta(hours=1)
"""Age at which an open record is no longer one that is being answered: that is over in minutes."""

_BATCH = 500
_LOCK = 0x5A59
"""Number of the advisory lock; another one than that of the writers of releases."""
_WARNINGS = 20
"""How many warnings are told in full."""
_BREAKS = 100
"""How many breaks are told in full."""

Progress = Callable[[int, int], None]
"""Called with how many rows are done, and of how many."""

log = structlog.get_logger()


class KeyUnusable(Exception):
    """The key of the chain cannot be read or made; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that rows were ever made with, by id, and the one for new rows."""

    by_id: Mapping[str, bytes] = field(repr=False)
    current: str


TURN_S = 10.0
"""How long a writer waits for those before it, which is how long SQLite has one wait."""


class TailGone(SQLAlchemyError):
    """The row that this process wrote last, or that was exported before it began, is no longer in
    the chain, or is another one."""


@dataclass(slots=True)
class Writer:
    """What those who write to a chain in one process share."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who writes: see `transaction`."""
    last: tuple[int, str] | None = None
    """Number and hash of the last row that this process wrote, or was exported before: somebody who
    cuts the end off has to get at the file of heads too."""
    failed: bool = False
    """Whether what was written last could not be: the disk is full, or the database is away."""
    unclosed: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """Record -> what would close it, where that failed: see `settle`."""


@dataclass(frozen=True, slots=True)
class Trail:
    """A chain and what it is written with."""

    engine: AsyncEngine
    keys: Keys
    heads: Path
    """File to which the end of the chain is written at intervals."""
    every: int = 100
    """Rows between two heads."""
    cases: Path | None = None
    """File of cases that were made of borrowers' questions; what is erased goes out of it."""
    writer: Writer = field(default_factory=Writer, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the chain."""

    seq: int
    """1 for the first; no number is left out."""
    at: str
    """Instant in UTC, ISO 8601 with microseconds."""
    kind: str
    subject: str
    """Id of what it tells of: a record, a release, the version of a text."""
    body: str
    """Canonical JSON."""
    prev_hash: str
    key_id: str
    hash: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _COLUMNS} | {"body": json.loads(self.body)}


_COLUMNS = ("seq", "at", "kind", "subject", "body", "prev_hash", "key_id", "hash")


@dataclass(frozen=True, slots=True)
class Break:
    """One place where the chain, or what it tells of, does not hold."""

    at: int | str
    """Number of the row at which it breaks, or the id of what is in none."""
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the whole chain found; the first break, if any."""

    ok: bool
    records: int
    """Replies and questions that were compared with their entries."""
    entries: int
    broken_at: int | str | None = None
    """As in `Break`."""
    reason: str = ""
    further: tuple[Break, ...] = ()
    """The other breaks, of which the last may only say that there are more."""
    warnings: tuple[str, ...] = ()
    """What is odd and breaks nothing: a clock that went back, a head that cannot be read."""

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"ok": self.ok, "records": self.records, "entries": self.entries}
        if not self.ok:
            further = [{"at": each.at, "reason": each.reason} for each in self.further]
            found |= {"broken_at": self.broken_at, "reason": self.reason, "further": further}
        return found | {"warnings": list(self.warnings)}


# Keys


def open_keys(file: Path, given: str = "", *, make: bool = True) -> Keys:
    """The keys of the settings and of the key file; makes one where there is none at all.

    given: keys with commas between them, the one in use last; they come after those of the file,
    which holds one a line, the one in use last. make: False where there is a chain already, which
    a new key would not go with. Raises KeyUnusable.
    """
    named = [key.strip() for key in given.split(",") if key.strip()]
    try:
        if not named and make:
            _make_key(file)
        held = file.read_text(encoding="utf-8").split() if file.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(
            f"{file}: the key of the audit chain cannot be read or made "
            f"({type(error).__name__}): set ZHUNXIN_AUDIT_KEY, or make the file readable"
        ) from error
    secret = [key.encode() for key in [*held, *named]]
    if not secret and not make:
        raise KeyUnusable(f"{file}: {_KEY_GONE}")
    if not secret or any(len(key) < LEAST_KEY_CHARS for key in secret):
        where = "ZHUNXIN_AUDIT_KEY" if named else str(file)
        raise KeyUnusable(f"{where}: expected keys of at least {LEAST_KEY_CHARS} characters")
    by_id = {_key_id(key): key for key in secret}
    return Keys(by_id, _key_id(secret[-1]))


def _make_key(file: Path) -> None:
    """Put a new key into a file that is not there yet; of two that try, one does."""
    if file.exists():
        return
    file.parent.mkdir(0o700, parents=True, exist_ok=True)
    made = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(secrets.token_hex(32) + "\n")
    try:
        with suppress(FileExistsError):
            file.hardlink_to(made)
    finally:
        made.unlink()


_KEY_GONE = (
    "the key that the audit chain was written with is not here, and nothing is answered or written "
    "without it: put the file audit.key back into the home folder or set ZHUNXIN_AUDIT_KEY; where "
    "it is lost for good, keep the database as it is and begin with a new one"
)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"zhunxin audit key\0" + key).hexdigest()[:16]


# Writing


@asynccontextmanager
async def transaction(trail: Trail) -> AsyncIterator[AsyncConnection]:
    """A transaction that writes what the chain tells of. Raises SQLAlchemyError, of it TailGone.

    Those of one process take turns: whom SQLite has wait tries again after up to a tenth of a
    second, in no order, so that some of many waited for a second. It is not entered twice.
    """
    try:
        async with asyncio.timeout(TURN_S):
            await trail.writer.turn.acquire()
    except TimeoutError:
        raise PoolTimeout(f"others have been writing for {TURN_S:.0f} s") from None
    try:
        async with trail.engine.begin() as connection:
            await _hold_end(connection, trail.writer)
            yield connection
        trail.writer.failed = False
    except IntegrityError:
        raise
    except (DBAPIError, TailGone, OSError):
        trail.writer.failed = True
        raise
    finally:
        trail.writer.turn.release()


async def tail_gone(connection: AsyncConnection, writer: Writer) -> int:
    """Number of the row that this process wrote last, or that was exported before, if it is not
    there as it was; 0 if it is."""
    if writer.last is None:
        return 0
    seq, value = writer.last
    rows = select(audit_entries.c.hash).where(audit_entries.c.seq == seq)
    return 0 if await connection.scalar(rows) == value else seq


async def hold_end(trail: Trail) -> None:
    """Before anything is made that is entered only afterwards. Raises TailGone."""
    async with trail.engine.connect() as connection:
        await _hold_end(connection, trail.writer)


async def _hold_end(connection: AsyncConnection, writer: Writer) -> None:
    if seq := await tail_gone(connection, writer):
        raise TailGone(
            f"row {seq} of the audit chain, which was written last, is gone or another one, and "
            "nothing is written: see `zhunxin audit verify`; where the database was put back or "
            "begun anew on purpose, move the file of heads away"
        )


async def can_write(trail: Trail) -> bool:
    """Whether questions and replies can be written, as far as it is known: where the chain could
    not be the last time, a row is added that says that it can again."""
    try:
        await settle(trail)
        if trail.writer.failed:
            await append(trail, "resumed", "", {})
    except (SQLAlchemyError, OSError):
        return False
    return True


async def settle(trail: Trail) -> None:
    """Close the records that this process could not close. Raises what keeps one from it: until
    then no question is taken, or one reply after the other would be shown and not recorded."""
    for record_id, close in [*trail.writer.unclosed.items()]:
        await close()
        trail.writer.unclosed.pop(record_id, None)


async def append(
    trail: Trail, kind: str, subject: str, body: Mapping[str, Any], *, at: datetime | None = None
) -> Entry:
    """Add a row in a transaction of its own. Raises SQLAlchemyError where it cannot be written.

    subject: at most 64 characters. body: JSON-ready, without personal data, since it stays.
    """
    async with transaction(trail) as connection:
        entry = await append_in(connection, trail.keys, kind, subject, body, at=at)
    await note_head(trail, entry)
    return entry


async def append_in(
    connection: AsyncConnection,
    keys: Keys,
    kind: str,
    subject: str,
    body: Mapping[str, Any],
    *,
    at: datetime | None = None,
) -> Entry:
    """Add a row in the caller's transaction, so that it stands or falls with what it tells of.

    Other writers wait from here to the end of the transaction; the caller then calls `note_head`.
    """
    await lock(connection)
    last = (
        await connection.execute(
            select(audit_entries.c.seq, audit_entries.c.hash)
            .order_by(audit_entries.c.seq.desc())
            .limit(1)
        )
    ).first()
    instant = (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    seq, prev_hash = (last.seq + 1, last.hash) if last else (1, GENESIS)
    unsigned = Entry(seq, instant, kind, subject, canonical(body), prev_hash, keys.current, hash="")
    entry = Entry(**_values(unsigned) | {"hash": _mac(unsigned, keys.by_id[keys.current])})
    await connection.execute(insert(audit_entries).values(_values(entry)))
    return entry


async def lock(connection: AsyncConnection) -> None:
    """One writer at a time: the second must see the row of the first. The unique number of a row
    would catch what gets past this."""
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    else:
        # SQLite gives the right to write to the first statement that could, even if none is left.
        await connection.execute(
            update(audit_entries).where(audit_entries.c.seq < 0).values(seq=audit_entries.c.seq)
        )


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _values(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _COLUMNS}


def _mac(entry: Entry, key: bytes) -> str:
    signed = [getattr(entry, name) for name in _COLUMNS if name != "hash"]
    return hmac.new(key, canonical(signed).encode(), hashlib.sha256).hexdigest()


async def found(trail: Trail) -> None:
    """Begin the chain where there is none, with what was recorded before there were chains.

    Where it lacks the row that was exported last it is not gone on with: see `TailGone`. Raises
    KeyUnusable where the keys do not hold that of its last row.
    """
    trail.writer.last = await asyncio.to_thread(_last_head, trail.heads)
    async with trail.engine.connect() as connection:
        if seq := await tail_gone(connection, trail.writer):
            log.error(
                "the audit chain lacks a row that was exported; nothing is written or answered. "
                "Where the database was put back or begun anew on purpose, move the file away",
                row=seq,
                file=str(trail.heads),
            )
            return
    last = await last_entry(trail.engine)
    if last is not None:
        if last.key_id not in trail.keys.by_id:
            raise KeyUnusable(f"{_KEY_GONE} (its id is {last.key_id})")
        elif untold := _TAKEN_IN - await _told_of(trail.engine):
            # A row that said so may have been taken out, to have what was planted taken in.
            if not await _is_whole(trail):
                log.error("the audit chain does not hold; what it does not tell of is not taken in")
                return
            async with transaction(trail) as connection:
                await lock(connection)
                await _take_in(connection, trail.keys, untold)
        return
    async with transaction(trail) as connection:
        await lock(connection)
        if await connection.scalar(select(audit_entries.c.seq).limit(1)) is not None:
            return
        await _take_in(connection, trail.keys, _TAKEN_IN)
        for release in await store.list_releases(connection):
            content = await store.content_hash(connection, release.id)
            body = {"action": "adopted", "content": content}
            await append_in(connection, trail.keys, "release", release.id, body)
        for row in (await connection.execute(select(templates))).all():
            await seal_text(connection, trail.keys, row.version, row.name, row.text)
        known = (await connection.execute(select(records.c.id).order_by(records.c.id))).scalars()
        for record_id in known.all():
            await seal(connection, trail.keys, "adopted", record_id, salt=new_salt())


_TAKEN_IN = frozenset({"accounts", "scores", "dates", "clearances", "answers", "promises"})
"""What was there before it was entered: staff accounts; samples of quality scores and appeals;
dates of documents that persons confirmed; what they let clauses break, of which the rows of
releases told; answers, of which the rows of kind `approval` told once they were signed or taken
back; what was promised."""


async def _told_of(engine: AsyncEngine) -> set[str]:
    """Of which of these the chain was begun, or begun anew, by a version that enters them."""
    async with engine.connect() as connection:
        bodies = await connection.scalars(
            select(audit_entries.c.body).where(
                audit_entries.c.subject == "", audit_entries.c.kind == "founded"
            )
        )
        return {name for body in bodies for name, told in json.loads(body).items() if told}


async def _is_whole(trail: Trail) -> bool:
    """Whether all rows are there, each made with one of the keys and holding the one before."""
    async with trail.engine.connect() as connection:
        walk = _Walk(trail, connection, lambda done, total: None)
        while batch := await _read_batch(walk):
            for entry in batch:
                with walk.going_on(entry.seq):
                    _check_link(walk, entry)
                walk.last = entry
    return not walk.breaks


async def _take_in(connection: AsyncConnection, keys: Keys, what: Collection[str]) -> None:
    """From here on all of it is in the chain; what there is already with it."""
    await append_in(connection, keys, "founded", "", dict.fromkeys(sorted(what), True))
    if "accounts" in what:
        for staff_id in (await connection.scalars(select(staff.c.id).order_by(staff.c.id))).all():
            await seal_account(connection, keys, staff_id, "adopted", by="")
    if "scores" in what:
        kinds: tuple[Kind, ...] = ("review", "appeal")
        for kind in kinds:
            (column,) = HELD[kind]
            for score_id in (await connection.scalars(select(column).distinct())).all():
                await seal_held(connection, keys, kind, score_id, {"action": "adopted", "by": ""})
    if "dates" in what:
        for said in (await store.confirmed(connection)).values():
            await seal_dates(connection, said, keys=keys, action="adopted")
    if "clearances" in what:
        let_stand = await _let_stand(connection, keys)
        for text_hash, rules in (await store.clearances_by_text(connection)).items():
            if rules <= let_stand.get(text_hash, set()):
                await seal_clearance(connection, text_hash, keys=keys, by="", action="adopted")
    if "answers" in what:
        await _take_in_answers(connection, keys)
    if "promises" in what:
        (column,) = HELD["promise"]
        for conversation_id in (await connection.scalars(select(column).distinct())).all():
            body = {"action": "adopted", "by": ""}
            await seal_held(connection, keys, "promise", conversation_id, body)


async def _take_in_answers(connection: AsyncConnection, keys: Keys) -> None:
    """Answers that stand as the last row about each says; of one that does not, a row that no table
    bears out, so that `verify` tells of it."""
    rows = await connection.execute(
        select(audit_entries)
        .where(audit_entries.c.kind == "approval")
        .order_by(audit_entries.c.seq)
    )
    entries = [entry for row in rows if is_genuine(keys, entry := Entry(**row._mapping))]
    last = {entry.subject: json.loads(entry.body) for entry in entries}
    signed = {each: said for each, said in last.items() if said.get("action") == "signed"}
    held = {row.id: row for row in await connection.execute(select(answer_drafts))}
    for answer_id in sorted(held.keys() | signed.keys()):
        row, body = held.get(answer_id), signed.get(answer_id, {"action": "adopted", "by": ""})
        text = _sha256(row.signed_text or "") if row and row.state == "signed" else None
        if body.get("text") == text:
            await seal_held(connection, keys, "answer", answer_id, body)
        else:
            await append_in(connection, keys, "answer", answer_id, {**body, "held": ""})


async def _let_stand(connection: AsyncConnection, keys: Keys) -> dict[str, set[str]]:
    """Rules that a person let a text break, by the hash of the text, as the rows of releases tell
    it."""
    rows = await connection.execute(
        select(audit_entries).where(audit_entries.c.kind == "release").order_by(audit_entries.c.seq)
    )
    found: dict[str, set[str]] = {}
    for entry in (Entry(**row._mapping) for row in rows):
        said = json.loads(entry.body) if is_genuine(keys, entry) else {}
        if said.get("action") == "cleared":
            found.setdefault(said["text"], set()).update(said["rules"])
        elif said.get("action") == "withdrawn":
            found.pop(said["text"], None)
    return found


async def seal_account(
    connection: AsyncConnection, keys: Keys, staff_id: str, action: str, *, by: str, **more: Any
) -> Entry:
    """Enter a staff account as it stands in the caller's transaction: roles and whether it is
    closed in words, and a hash of all of it, password hash included. Who it is stays outside."""
    columns = list(staff.columns)
    stored = (
        await connection.execute(select(*map(_raw, columns)).where(staff.c.id == staff_id))
    ).one()
    row = (await connection.execute(select(staff).where(staff.c.id == staff_id))).one()
    body = {
        "action": action,
        "by": by,
        "roles": row.roles,
        "disabled": row.disabled,
        "demo": row.demo,
        "state": _fingerprint([_as_stored(value) for value in stored]),
        **more,
    }
    return await append_in(connection, keys, "account", staff_id, body)


async def seal_dates(
    connection: AsyncConnection, said: store.Confirmation, *, keys: Keys, action: str = "confirmed"
) -> Entry:
    """Enter what a person said of the dates of a file, as it stands in the caller's transaction."""
    row = (await _read_said(connection, "confirmation"))[said.source, said.sha256]
    body = {"action": action, "by": said.by, "row": row}
    return await append_in(connection, keys, "confirmation", said.sha256, body)


async def seal_clearance(
    connection: AsyncConnection, text_hash: str, *, keys: Keys, by: str, action: str = ""
) -> Entry:
    """Enter what a person lets a text break, or that it is nothing any more, as it stands in the
    caller's transaction."""
    row = (await _read_said(connection, "clearance")).get((text_hash,))
    body = {"action": action or ("cleared" if row else "withdrawn"), "by": by, "row": row}
    return await append_in(connection, keys, "clearance", text_hash, body)


async def confirmed_dates(
    connection: AsyncConnection, *, keys: Keys
) -> dict[tuple[str, str], store.Confirmation]:
    """As `store.confirmed`, those that stand in the chain alone."""
    borne_out = await _borne_out(connection, keys, "confirmation")
    said = await store.confirmed(connection)
    return {(source, sha256): said[source, sha256] for source, sha256 in borne_out}


async def clearances(connection: AsyncConnection, *, keys: Keys) -> dict[str, frozenset[str]]:
    """As `store.clearances_by_text`, those that stand in the chain alone."""
    borne_out = await _borne_out(connection, keys, "clearance")
    said = await store.clearances_by_text(connection)
    return {text_hash: said[text_hash] for (text_hash,) in borne_out}


async def _borne_out(connection: AsyncConnection, keys: Keys, kind: Kind) -> list[tuple[str, ...]]:
    """Keys of what persons said that is stored as the last row about it holds it, and no row is
    missing since: it may have taken that back."""
    told, held = await _read_told(connection, keys, kind), await _read_said(connection, kind)
    first = await whole_from(connection)
    return [
        key for key, (seq, row) in told.items() if seq >= first and row and held.get(key) == row
    ]


async def _read_said(
    connection: AsyncConnection, kind: Kind
) -> dict[tuple[str, ...], dict[str, str | None]]:
    """What persons said as it is stored, by its key."""
    table = SAID[kind]
    rows = await connection.execute(select(*map(_raw, table.columns)))
    stored = [
        {c.name: _as_stored(value) for c, value in zip(table.columns, row, strict=True)}
        for row in rows
    ]
    return {_said_key(table, row): row for row in stored}


def _said_key(table: Table, row: Mapping[str, str | None]) -> tuple[str, ...]:
    return tuple(str(row[column.name]) for column in table.primary_key)


async def _read_told(
    connection: AsyncConnection, keys: Keys, kind: Kind
) -> dict[tuple[str, ...], tuple[int, dict[str, str | None] | None]]:
    """What the chain tells of what persons said, by its key: the number of the last row about it,
    and how it was stored then; None where it was taken back."""
    rows = await connection.execute(
        select(audit_entries).where(audit_entries.c.kind == kind).order_by(audit_entries.c.seq)
    )
    found: dict[tuple[str, ...], tuple[int, dict[str, str | None] | None]] = {}
    for entry in (Entry(**row._mapping) for row in rows):
        if is_genuine(keys, entry):
            row = json.loads(entry.body)["row"]
            key = _said_key(SAID[kind], row) if row else (entry.subject,)
            found[key] = (entry.seq, row)
    return found


async def note_release(
    trail: Trail, release_id: str, action: str, *, by: str, **more: Any
) -> Entry | None:
    """Enter which release is live and what it says; None where the last such row says so already.

    action: `ingested`, `activated`, `confirmed`, `cleared`, `withdrawn`, `uploaded` or `restored`.
    by: account, `cli`, or nobody.
    """
    async with trail.engine.connect() as connection:
        last = await connection.scalar(
            select(audit_entries.c.subject)
            .where(audit_entries.c.kind == "release")
            .order_by(audit_entries.c.seq.desc())
            .limit(1)
        )
        if last == release_id and action in ("ingested", "uploaded"):
            return None
        # Before other writers are made to wait: a large release takes seconds.
        content = await store.content_hash(connection, release_id)
        vectors = await store.vectors_hash(connection, release_id)
    body = {"action": action, "by": by, "content": content, "vectors": vectors, **more}
    return await append(trail, "release", release_id, body)


class ReleaseChanged(Exception):
    """The live release is not as the chain holds it; the message says what to do."""


async def hold_live(trail: Trail) -> None:
    """Hold the live release to what the chain says, before anything is answered from it or made of
    it. Where another one is live than was switched to last, waits, since its row may be about to be
    written, and then makes the right one live again. Raises ReleaseChanged."""
    by = time.monotonic() + SETTLE_S
    while (right := await _switched_to(trail)) != (live := await _live_id(trail)):
        if not right or time.monotonic() >= by:
            break
        await asyncio.sleep(SETTLE_S / 20)
    if not right:
        return
    if doubt := await _doubt_of_release(trail, right):
        raise ReleaseChanged(
            f"release {right} is not as the audit chain holds it ({doubt}): see `zhunxin audit "
            "verify`; put the database back, or make another one live with `zhunxin release "
            "activate`"
        )
    if right != live:
        log.error("another release was live than the audit chain says", live=live, right=right)
        async with trail.engine.begin() as connection:
            await store.activate(connection, right)
        await note_release(trail, right, "restored", by="")


async def _live_id(trail: Trail) -> str:
    live = await store.active_release(trail.engine)
    return live.id if live else ""


async def _switched_to(trail: Trail) -> str:
    """Id of the release that the last row of a switch names, or of the live one where that row is
    from when the chain was begun, which tells of none; empty where no release was ever entered.
    Raises ReleaseChanged where that cannot be believed."""
    query = select(audit_entries).where(audit_entries.c.kind == "release")
    async with trail.engine.connect() as connection:
        rows = await connection.execute(query.order_by(audit_entries.c.seq.desc()).limit(1))
        last = next((Entry(**row._mapping) for row in rows), None)
        whole = last is None or await whole_after(connection, last.seq)
    if last is None:
        whole = await _is_whole(trail)
    if not whole or (last is not None and not is_genuine(trail.keys, last)):
        raise ReleaseChanged(
            "the audit chain does not tell which release is live: see `zhunxin audit verify`; "
            "`zhunxin release activate` makes one live"
        )
    if last is None:
        return ""
    return await _live_id(trail) if json.loads(last.body)["action"] == "adopted" else last.subject


async def _doubt_of_release(trail: Trail, release_id: str) -> str:
    """Why a release is not what each row about it holds; empty: it is. Rows of a key that was lost
    are passed over: somebody has made it live again since."""
    about = (audit_entries.c.kind == "release", audit_entries.c.subject == release_id)
    async with trail.engine.connect() as connection:
        rows = await connection.execute(select(audit_entries).where(*about))
        told = [e for row in rows if is_genuine(trail.keys, e := Entry(**row._mapping))]
        if not told:
            return "no row tells of it"
        try:
            content = await store.content_hash(connection, release_id)
        except KeyError:
            return "it is gone"
    wrong = [entry.seq for entry in told if json.loads(entry.body)["content"] != content]
    return f"its clauses are not those that row {wrong[0]} holds" if wrong else ""


# Sealing: what the chain knows of a record


def new_salt() -> str:
    return secrets.token_hex(32)


async def seal(
    connection: AsyncConnection,
    keys: Keys,
    kind: Kind,
    record_id: str,
    *,
    salt: str = "",
    only: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Entry:
    """Enter a record as it stands in the caller's transaction, byte for byte.

    salt: written to the record first where it is given. only: the columns to enter; all of them
    where it is empty. about: more to say of it, without personal data.
    """
    if salt:
        await connection.execute(update(records).where(records.c.id == record_id).values(salt=salt))
    rows = await _read_rows(connection, [record_id])
    row = rows[record_id]
    names = only or [c.name for c in records.columns if c.name not in _UNSEALED]
    body = {
        "row": {name: row[name] for name in names if name not in PERSONAL},
        "sealed": {
            name: _salted(row["salt"] or "", name, row[name]) for name in names if name in PERSONAL
        },
        "conversation": _fingerprint(row["conversation"]),
        **(about or {}),
    }
    return await append_in(connection, keys, kind, record_id, body)


async def seal_text(
    connection: AsyncConnection, keys: Keys, version: str, name: str, content: str
) -> Entry:
    """Enter a text that is kept by its version: a prompt, the notices, a pack of rules."""
    return await append_in(
        connection, keys, "text", version, {"name": name, "sha256": _sha256(content)}
    )


async def seal_event(connection: AsyncConnection, keys: Keys, event_id: str) -> Entry:
    """Enter an event of a hand-over as it stands in the caller's transaction."""
    row = (await _read_events(connection, [event_id]))[event_id]
    body = {
        "row": {n: v for n, v in row.items() if n not in (*PERSONAL_EVENT, *_UNSEALED)},
        "sealed": {name: _salted(row["salt"] or "", name, row[name]) for name in PERSONAL_EVENT},
    }
    return await append_in(connection, keys, "handoff", event_id, body)


async def seal_copilot(connection: AsyncConnection, keys: Keys, event_id: str) -> Entry:
    """Enter an event of the copilot as it stands in the caller's transaction."""
    row = (await _read_events(connection, [event_id], copilot_events))[event_id]
    body = {
        "row": {n: v for n, v in row.items() if n not in (*PERSONAL_COPILOT, *_UNSEALED)},
        "sealed": {name: _salted(row["salt"] or "", name, row[name]) for name in PERSONAL_COPILOT},
    }
    return await append_in(connection, keys, "copilot", event_id, body)


async def seal_held(
    connection: AsyncConnection, keys: Keys, kind: Kind, subject: str, body: Mapping[str, Any]
) -> Entry:
    """Enter what the tables of a kind hold of a subject in the caller's transaction, and what was
    done to it. The caller holds the `lock` since before it looked."""
    held = (await _read_held(connection, kind, [subject]))[subject]
    return await append_in(
        connection, keys, kind, subject, {**body, "held": _fingerprint(list(held))}
    )


@asynccontextmanager
async def writing(trail: Trail) -> AsyncIterator[tuple[AsyncConnection, Seal]]:
    """A transaction that holds the `lock`, and `seal_held` in it; the head is noted after it."""
    last: Entry | None = None
    async with transaction(trail) as connection:
        await lock(connection)

        async def seal(kind: Kind, subject: str, body: Mapping[str, Any]) -> None:
            nonlocal last
            last = await seal_held(connection, trail.keys, kind, subject, body)

        yield connection, seal
    if last is not None:
        await note_head(trail, last)


async def held_as_entered(
    connection: AsyncConnection, keys: Keys, kind: Kind, subject: str
) -> list[Entry]:
    """The rows of the chain about a subject, oldest first, where each of them was made with one of
    the keys and its tables are as the last one holds them; else nothing."""
    rows = await connection.execute(
        select(audit_entries)
        .where(audit_entries.c.subject == subject, audit_entries.c.kind == kind)
        .order_by(audit_entries.c.seq)
    )
    entries = [Entry(**row._mapping) for row in rows]
    if not entries or not all(is_genuine(keys, entry) for entry in entries):
        return []
    held = (await _read_held(connection, kind, [subject]))[subject]
    same = json.loads(entries[-1].body).get("held") == _fingerprint(list(held))
    return entries if same else []


async def not_as_entered(
    connection: AsyncConnection, keys: Keys, kind: Kind, subjects: Sequence[str]
) -> set[str]:
    """Those of some subjects of which the tables are not as the last row of the chain holds them,
    or are in none. At most some hundred at once."""
    rows = await connection.execute(
        select(audit_entries)
        .where(audit_entries.c.subject.in_(subjects), audit_entries.c.kind == kind)
        .order_by(audit_entries.c.seq)
    )
    last = {entry.subject: entry for entry in (Entry(**row._mapping) for row in rows)}
    held = await _read_held(connection, kind, subjects)
    return {
        subject
        for subject, tables in held.items()
        if (entry := last.get(subject)) is not None or any(tables)
        if entry is None
        or not is_genuine(keys, entry)
        or json.loads(entry.body).get("held") != _fingerprint(list(tables))
    }


async def account_as_entered(
    connection: AsyncConnection, keys: Keys, staff_id: str
) -> dict[str, Any] | None:
    """What the last row of the chain about a staff account says, and its number as `seq`, where it
    was made with one of the keys and the account is as it holds it; that later rows were removed is
    for `whole_after` to see."""
    rows = await connection.execute(
        select(*audit_entries.columns, *map(_raw, staff.columns))
        .join(staff, staff.c.id == audit_entries.c.subject)
        .where(audit_entries.c.subject == staff_id, audit_entries.c.kind == "account")
    )
    last = max(rows, key=lambda row: row.seq, default=None)
    if last is None or not is_genuine(keys, entry := Entry(*last[: len(_COLUMNS)])):
        return None
    told: dict[str, Any] = json.loads(entry.body) | {"seq": entry.seq}
    stored = [_as_stored(value) for value in last[len(_COLUMNS) :]]
    return told if told["state"] == _fingerprint(stored) else None


async def whole_after(connection: AsyncConnection, seq: int) -> bool:
    """Whether no row of the chain is missing from a number on to its end: rows are counted, and not
    read, so that one that was put in the place of another shows in `verify` alone."""
    counted = select(func.count(), func.max(audit_entries.c.seq)).where(audit_entries.c.seq >= seq)
    rows, last = (await connection.execute(counted)).one()
    return last is not None and rows == last - seq + 1


async def whole_from(connection: AsyncConnection) -> int:
    """Number of the row from which on to the end none is missing, as `whole_after` counts; 0 where
    there is none."""
    before = audit_entries.alias()
    follows = exists().where(before.c.seq == audit_entries.c.seq - 1)
    return await connection.scalar(select(func.max(audit_entries.c.seq)).where(~follows)) or 0


async def trace(connection: AsyncConnection, kind: Kind, subjects: Sequence[str]) -> str:
    """A hash of what stands of some subjects, in their tables and in the chain: while it is the
    same, nothing was done to them."""
    held = await _read_held(connection, kind, subjects)
    rows = await connection.execute(
        select(audit_entries.c.seq, audit_entries.c.hash)
        .where(audit_entries.c.subject.in_(subjects), audit_entries.c.kind == kind)
        .order_by(audit_entries.c.seq)
    )
    return _fingerprint([held, [list(row) for row in rows]])


async def seal_contacts(
    connection: AsyncConnection, keys: Keys, run_id: str, chunk: int, body: Mapping[str, Any]
) -> Entry:
    """Enter who was written to in one part of a run, and how the run stands after it."""
    written = await _read_contacts(connection, run_id, chunk)
    held = {"chunk": chunk, "contacts": len(written), "written": _fingerprint(written)}
    return await seal_held(connection, keys, "run", run_id, {**body, **held})


def _salted(salt: str, name: str, value: str | None) -> str | None:
    """Hash of a personal column; without the salt nobody can try what it may have held."""
    if value is None:
        return None
    return hmac.new(salt.encode(), f"{name}\0{value}".encode(), hashlib.sha256).hexdigest()


def _fingerprint(value: Any) -> str:
    return _sha256(canonical(value))


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _raw(column: Any) -> ColumnElement[Any]:
    """A column as it is stored: a flipped byte may leave the value the same, and not the text."""
    if isinstance(column.type, JSON):
        return cast(column, Text).label(f"{column.table.name}_{column.name}")
    wanted = type_coerce(column, Text) if isinstance(column.type, DateTime) else column
    return wanted.label(f"{column.table.name}_{column.name}")


def _as_stored(value: Any) -> str | None:
    """PostgreSQL gives an instant, SQLite the text it was stored as: both as the latter."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value if value is None or isinstance(value, str) else str(value)


def belongs_to(subject: str) -> ColumnElement[bool]:
    """Of conversations: those of a borrower, or of nobody where it is empty: one that was begun
    without an account stays so, or who else has its id would read on. What its records say is
    looked at too: it is sealed, and the row of the conversation could be written to."""
    said = records.alias()
    others = exists().where(
        said.c.conversation_id == conversations.c.id,
        said.c.erased_seq.is_(None),
        func.coalesce(said.c.settings["subject"].as_string(), "") != subject,
    )
    return and_(func.coalesce(conversations.c.subject, "") == subject, ~others)


async def _read_rows(
    connection: AsyncConnection, record_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Records by id, each column as it is stored, with `conversation`, that of its conversation,
    and `owner`, whose that is."""
    # Whose conversation it is stands, sealed and to be erased, in the settings of its records.
    talks = [c for c in conversations.columns if c.name != "subject"]
    columns = [*records.columns, *talks, conversations.c.subject]
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(record_ids), _BATCH):
        rows = await connection.execute(
            select(*map(_raw, columns))
            .select_from(
                records.outerjoin(conversations, conversations.c.id == records.c.conversation_id)
            )
            .where(records.c.id.in_(record_ids[start : start + _BATCH]))
        )
        for row in rows:
            stored = [_as_stored(value) for value in row]
            held = dict(zip((c.name for c in records.columns), stored, strict=False))
            *talk, owner = stored[len(held) :]
            found[str(held["id"])] = {**held, "conversation": talk, "owner": owner}
    return found


async def _read_events(
    connection: AsyncConnection, event_ids: Sequence[str], table: Table = handoff_events
) -> dict[str, dict[str, Any]]:
    """Events of hand-overs, or of the copilot, by id, each column as it is stored."""
    columns = list(table.columns)
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(event_ids), _BATCH):
        rows = await connection.execute(
            select(*map(_raw, columns)).where(table.c.id.in_(event_ids[start : start + _BATCH]))
        )
        for row in rows:
            stored = [_as_stored(value) for value in row]
            held = dict(zip((c.name for c in columns), stored, strict=True))
            found[str(held["id"])] = held
    return found


async def _read_held(
    connection: AsyncConnection, kind: Kind, subjects: Sequence[str]
) -> dict[str, tuple[list[list[str | None]], ...]]:
    """By subject and table: its rows in the order of their keys, each column as it is stored."""
    found: dict[str, tuple[list[list[str | None]], ...]] = {
        subject: tuple([] for _ in HELD[kind]) for subject in subjects
    }
    for place, column in enumerate(HELD[kind]):
        rows = await connection.execute(
            select(column, *map(_raw, column.table.columns))
            .where(column.in_(subjects))
            .order_by(*column.table.primary_key.columns)
        )
        for subject, *row in rows:
            found[subject][place].append([_as_stored(value) for value in row])
    return found


async def _read_contacts(
    connection: AsyncConnection, run_id: str, chunk: int
) -> list[list[str | None]]:
    rows = await connection.execute(
        select(*map(_raw, contacts.columns))
        .where(contacts.c.run_id == run_id, contacts.c.chunk == chunk)
        .order_by(contacts.c.campaign, contacts.c.customer)
    )
    return [[_as_stored(value) for value in row] for row in rows]


# Erasing


async def erase(
    trail: Trail,
    *,
    conversation_id: str = "",
    older_than_days: int | None = None,
    by: str,
    now: datetime | None = None,
) -> int:
    """Remove what borrowers wrote and were told, with the salts, of a conversation or of all that
    is older, and what was suggested and promised in it, and kept of it with its score; returns of
    how many records, events and imported conversations. Each erasure is a decision in the chain.

    Records that are still being answered stay. Raises case_drafts.StillInFile where all is erased
    but for what stands in the file of cases.
    """
    if (older_than_days is None) == (not conversation_id):
        raise ValueError("expected a conversation or an age")
    instant = now or datetime.now(UTC)
    wanted: list[ColumnElement[bool]] = [records.c.salt.is_not(None)]
    said: list[ColumnElement[bool]] = [handoff_events.c.salt.is_not(None)]
    suggested: list[ColumnElement[bool]] = [copilot_events.c.salt.is_not(None)]
    scored: list[ColumnElement[bool]] = [quality_scores.c.turns.is_not(None)]
    reason: dict[str, Any] = {"by": by}
    if conversation_id:
        wanted.append(records.c.conversation_id == conversation_id)
        said.append(handoff_events.c.conversation_id == conversation_id)
        suggested.append(copilot_events.c.conversation_id == conversation_id)
        scored.append(quality_scores.c.conversation_id == conversation_id)
        reason["conversation"] = conversation_id
    if older_than_days is not None:
        before = instant - timedelta(days=older_than_days)
        wanted.append(records.c.asked_at < before)
        said.append(handoff_events.c.at < before)
        suggested.append(copilot_events.c.at < before)
        last_day = before.astimezone(ZoneInfo("Asia/Shanghai")).date()
        scored.append(quality_scores.c.held_on <= last_day)
        reason["older_than_days"] = older_than_days
    # One that never ended has nothing to wait for.
    wanted.append(or_(records.c.status != "open", records.c.asked_at < instant - ANSWERED_WITHIN))
    erased = 0
    while True:
        async with transaction(trail) as connection:
            await lock(connection)
            batch = await _ids(connection, records.c.id, wanted)
            events = await _ids(connection, handoff_events.c.id, said)
            beside = await _ids(connection, copilot_events.c.id, suggested)
            scores = (
                await connection.execute(
                    select(quality_scores.c.id, quality_scores.c.source, quality_scores.c.document)
                    .where(*scored)
                    .order_by(quality_scores.c.id)
                    .limit(_BATCH)
                )
            ).all()
            if not batch and not events and not beside and not scores:
                break
            body = {
                **reason,
                "records": batch,
                **({"events": events} if events else {}),
                **({"copilot": beside} if beside else {}),
                **({"scores": [row.id for row in scores]} if scores else {}),
            }
            entry = await append_in(
                connection, trail.keys, "erasure", conversation_id, body, at=now
            )
            await connection.execute(
                update(records)
                .where(records.c.id.in_(batch))
                .values(
                    question="",
                    settings={},
                    reply=null(),
                    raw_output=null(),
                    played=null(),
                    salt=None,
                    erased_seq=entry.seq,
                )
            )
            await connection.execute(
                update(handoff_events)
                .where(handoff_events.c.id.in_(events))
                .values(**dict.fromkeys(PERSONAL_EVENT, ""), salt=None, erased_seq=entry.seq)
            )
            await connection.execute(
                update(copilot_events)
                .where(copilot_events.c.id.in_(beside))
                .values(**dict.fromkeys(PERSONAL_COPILOT, ""), salt=None, erased_seq=entry.seq)
            )
            of_them = await connection.scalars(
                delete(promises)
                .where(promises.c.event_id.in_(beside))
                .returning(promises.c.conversation_id)
            )
            for talk in sorted(set(of_them)):
                await seal_held(
                    connection, trail.keys, "promise", talk, {"action": "erased", "by": by}
                )
            await _disown(connection, batch, events)
            await _erase_beside(connection, trail.keys, batch, by)
            await _erase_scored(connection, trail.keys, scores, by)
        await note_head(trail, entry)
        # Of our own conversations no word is kept with a score.
        imported = sum(row.source == "import" for row in scores)
        erased += len(batch) + len(events) + len(beside) + imported
    # PostgreSQL would keep everybody out of the tables meanwhile.
    if erased and trail.engine.dialect.name == "sqlite" and (left := await scrub(trail.engine)):
        log.warning("what was erased may still stand in files; erase again", files=left)
    if trail.cases is not None:
        # Whatever was erased now: an erasure that was cut off here is completed by the next.
        await drop_erased(trail.engine, trail.cases)
    return erased


_SCRUBBED = (
    *(records, conversations, handoff_events, handoff_customers, copilot_events, promises),
    *(feedback, case_drafts, case_labels, answer_drafts),
    *(quality_scores, quality_reviews, quality_appeals),
)
"""Tables that an erasure takes something from."""

_SCRUB_WAIT_S = 3


async def scrub(engine: AsyncEngine) -> list[str]:
    """Take what was erased out of the database's files, too; returns where it may still stand.

    SQLite's log is emptied, unless somebody reads what was before. PostgreSQL writes the tables
    anew, which keeps everybody out of each meanwhile, and needs their owner, and the database's for
    its statistics; what is named could not be written, or old rows of it are still read. Its own
    log, replicas and backups are not reached.
    """
    async with engine.connect() as connection:
        try:
            if engine.dialect.name == "sqlite":
                # While it waits nobody can write.
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={_SCRUB_WAIT_S * 1000}")
                checkpoint = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                return [f"{engine.url.database}-wal"] if checkpoint.scalar_one() else []
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.exec_driver_sql(f"SET lock_timeout = '{_SCRUB_WAIT_S}s'")
            # What stood in columns most often stands in the statistics as well, until they are
            # made anew, and then in rows of theirs that were replaced.
            left = [*(table.name for table in _SCRUBBED), "pg_statistic"]
            for _ in range(2):  # whoever was reading for a moment no longer is
                left = [name for name in left if not await _rewrite(alone, name)]
            return left
        finally:
            await connection.invalidate()  # its settings are its own


async def _rewrite(connection: AsyncConnection, table: str) -> bool:
    """Whether PostgreSQL has written a table anew, without any row that was replaced or removed."""
    details: list[str] = []
    driver: Any = (await connection.get_raw_connection()).driver_connection

    def told(_: Any, message: Any) -> None:
        details.append(message.detail or "")

    file = select(func.pg_relation_filenode(table))
    driver.add_log_listener(told)
    try:
        before = await connection.scalar(file)
        await connection.exec_driver_sql(f"VACUUM (FULL, VERBOSE) {table}")
        if table != "pg_statistic":
            await connection.exec_driver_sql(f"ANALYZE {table}")
        # A table of somebody else is passed over with a warning.
        written = await connection.scalar(file) != before
    except DBAPIError as error:
        log.warning("a table is not written anew", table=table, error=str(error.orig))
        return False
    finally:
        driver.remove_log_listener(told)
    # "0 dead row versions cannot be removed yet", in the server's language: somebody who reads
    # something else may see them still.
    kept = [int(found[0]) for detail in details if (found := re.search(r"\d+", detail))]
    return written and kept[:1] == [0]


async def _ids(
    connection: AsyncConnection, column: Any, wanted: Sequence[ColumnElement[bool]]
) -> list[str]:
    rows = await connection.execute(select(column).where(*wanted).order_by(column).limit(_BATCH))
    return list(rows.scalars())


async def _disown(
    connection: AsyncConnection, record_ids: Sequence[str], event_ids: Sequence[str]
) -> None:
    """Conversations of which nothing is left are nobody's, and cannot be continued."""
    kept = or_(
        *(
            exists().where(table.c.conversation_id == conversations.c.id, table.c.salt.is_not(None))
            for table in (records, handoff_events)
        )
    )
    touched = or_(
        conversations.c.id.in_(
            select(records.c.conversation_id).where(records.c.id.in_(record_ids))
        ),
        conversations.c.id.in_(
            select(handoff_events.c.conversation_id).where(handoff_events.c.id.in_(event_ids))
        ),
    )
    await connection.execute(
        update(conversations)
        .where(touched, conversations.c.subject.is_not(None), ~kept)
        .values(subject=NOBODY)
    )
    # Whose record an agent was shown.
    nobodys = select(conversations.c.id).where(touched, conversations.c.subject == NOBODY)
    await connection.execute(
        delete(handoff_customers).where(handoff_customers.c.conversation_id.in_(nobodys))
    )


async def _erase_beside(
    connection: AsyncConnection, keys: Keys, record_ids: Sequence[str], by: str
) -> None:
    """What was said of the replies, and what was made of the questions: a thumb stays, its words
    do not. An answer that is signed off is the lender's own, until it is taken back."""
    of_them = feedback.c.record_id.in_(record_ids)
    await connection.execute(update(feedback).where(of_them).values(comment=""))
    # Taken for writing first, so that a label given at the same time comes before or after.
    wanted = select(case_drafts.c.id).where(case_drafts.c.record_id.in_(record_ids))
    drafts = (await connection.scalars(wanted.with_for_update())).all()
    await connection.execute(delete(case_labels).where(case_labels.c.draft_id.in_(drafts)))
    await connection.execute(delete(case_drafts).where(case_drafts.c.id.in_(drafts)))
    # Of all that are erased: versions before this one left what was taken back.
    erased = exists().where(
        records.c.id == answer_drafts.c.record_id, records.c.erased_seq.is_not(None)
    )
    gone = await connection.scalars(
        delete(answer_drafts)
        .where(answer_drafts.c.state != "signed", erased)
        .returning(answer_drafts.c.id)
    )
    for answer_id in sorted(gone):
        await seal_held(connection, keys, "answer", answer_id, {"action": "erased", "by": by})


async def _erase_scored(
    connection: AsyncConnection, keys: Keys, scores: Sequence[Any], by: str
) -> None:
    """What is kept of conversations with their scores, and what people wrote of them: a score stays
    with what it was lost for, its words do not."""
    for row in scores:
        points = [point | dict.fromkeys(PERSONAL_POINT, "") for point in row.document["points"]]
        await connection.execute(
            update(quality_scores)
            .where(quality_scores.c.id == row.id)
            .values(turns=null(), document=row.document | {"points": points})
        )
    for kind, names in _NOTES.items():
        (column,) = HELD[kind]
        notes = column.table.c
        emptied = await connection.scalars(
            update(column.table)
            .where(column.in_([row.id for row in scores]), or_(*(notes[n] != "" for n in names)))
            .values(dict.fromkeys(names, ""))
            .returning(column)
        )
        for score_id in sorted(set(emptied)):
            await seal_held(connection, keys, kind, score_id, {"action": "erased", "by": by})


def is_genuine(keys: Keys, entry: Entry) -> bool:
    """Whether a row was made with one of the keys, as it stands."""
    key = keys.by_id.get(str(entry.key_id))
    if key is None:
        return False
    try:
        made = _mac(entry, key)
    except UnicodeEncodeError:
        return False
    return hmac.compare_digest(made, str(entry.hash).encode("ascii", "replace").decode())


# Heads


async def note_head(trail: Trail, entry: Entry) -> None:
    """Remember a row, and write the head after every so many; to be called once it is committed."""
    writer = trail.writer
    if writer.last is None or writer.last[0] < entry.seq:
        writer.last = (entry.seq, entry.hash)
    if entry.seq % trail.every == 0:
        await _write_head(trail.heads, entry)


async def export_head(trail: Trail) -> Entry | None:
    """Write the end of the chain to the file of heads, unless it is there already.

    None where there is no chain, or one that lacks its end: the next process has to miss it too.
    """
    async with trail.engine.connect() as connection:
        gone = await tail_gone(connection, trail.writer)
    entry = await last_entry(trail.engine)
    if entry is None or gone:
        return None
    if await asyncio.to_thread(_last_head, trail.heads) != (entry.seq, entry.hash):
        await _write_head(trail.heads, entry)
    return entry


async def _write_head(file: Path, entry: Entry) -> None:
    line = {
        "seq": entry.seq,
        "hash": entry.hash,
        "at": entry.at,
        "key_id": entry.key_id,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        await asyncio.to_thread(_add_line, file, canonical(line))
    except OSError as error:
        # The chain itself holds; a head that is missing is told by `audit verify`.
        log.error("the head of the audit chain is not exported", file=str(file), error=str(error))


def _add_line(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(descriptor, f"{line}\n".encode())  # at once: two processes may add to it
    finally:
        os.close(descriptor)


def _last_head(file: Path) -> tuple[int, str] | None:
    """Number and hash of the row that was exported last; None where no line at the end of the file
    can be read."""
    try:
        with file.open("rb") as lines:
            lines.seek(0, os.SEEK_END)
            lines.seek(max(0, lines.tell() - 4096))
            ends = lines.read().splitlines()
    except OSError:
        return None
    return next((head for line in reversed(ends) if (head := _head(line))[0] > 0), None)


def _heads(file: Path) -> Iterator[tuple[int, int, str]]:
    """(number of the line, number of the row, hash) of each exported head; row 0 for a line that
    cannot be read."""
    if not file.is_file():
        return
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, *_head(line)


def _head(line: str | bytes) -> tuple[int, str]:
    """Number and hash of the row of an exported head; row 0 where it cannot be read."""
    try:
        head = json.loads(line)
        return int(head["seq"]), str(head["hash"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0, ""


# Verifying


class _Broken(Exception):
    """Where the chain breaks, and why."""

    def __init__(self, at: int | str, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


@dataclass(slots=True)
class _Walk:
    """A check under way."""

    trail: Trail
    connection: AsyncConnection
    progress: Progress
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    last: Entry | None = None
    records: int = 0
    breaks: list[Break] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    erasures: dict[int, frozenset[str]] = field(default_factory=dict)
    """Ids of what was erased, by the number of the row that says so."""
    contents: dict[str, str] = field(default_factory=dict)
    """Hash of what a release says, by its id."""
    vectors: dict[str, str] = field(default_factory=dict)
    """Hash of the vectors of a release, by its id."""
    documents: dict[str, str] = field(default_factory=dict)
    """Hash of a document, and of its vectors, by its key."""
    chunks: dict[str, set[int]] = field(default_factory=dict)
    """Parts of runs in which customers were written to, by the run's id."""

    def age(self, entry: Entry) -> int:
        """Place of its key among those that came one after the other; -1 of one that is unknown."""
        known = list(self.trail.keys.by_id)
        return known.index(entry.key_id) if entry.key_id in known else -1

    @contextmanager
    def going_on(self, at: int | str) -> Iterator[None]:
        """Note what is found broken, and go on behind it. at: number or id of what is looked at,
        which may hold anything where somebody wrote it without the key."""
        try:
            yield
        except _Broken as broken:
            self.note(broken.at, broken.reason)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            what = f"row {at}" if isinstance(at, int) else at
            self.note(at, f"{what} cannot be read ({type(error).__name__})")

    @property
    def reason(self) -> str:
        """Of the first break; empty where there is none."""
        return self.breaks[0].reason if self.breaks else ""

    def note(self, at: int | str, reason: str) -> None:
        found = Break(at, reason)
        if found in self.breaks:
            return
        if len(self.breaks) < _BREAKS:
            self.breaks.append(found)
        elif len(self.breaks) == _BREAKS:
            self.breaks.append(Break(at, "further breaks are left out"))

    def warn(self, said: str) -> None:
        if len(self.warnings) < _WARNINGS:
            self.warnings.append(said)
        elif len(self.warnings) == _WARNINGS:
            self.warnings.append("further warnings are left out")


async def verify(
    trail: Trail, progress: Progress = lambda done, total: None, *, now: datetime | None = None
) -> Verdict:
    """Read the whole chain and all it tells of, in bounded memory; behind a break it goes on."""
    async with trail.engine.connect() as connection:
        walk = _Walk(trail, connection, progress, now or datetime.now(UTC))
        for check in (_check_rows, _check_heads, *_AFTER_ROWS):
            at = walk.last.seq if walk.last else 0
            try:
                with walk.going_on(at):
                    await check(walk)
            except DBAPIError as error:
                await _note_unreadable(walk, walk.last.seq if walk.last else 0, error)
    return Verdict(
        ok=not walk.breaks,
        records=walk.records,
        entries=walk.last.seq if walk.last else 0,
        broken_at=walk.breaks[0].at if walk.breaks else None,
        reason=walk.reason,
        further=tuple(walk.breaks[1:]),
        warnings=tuple(walk.warnings),
    )


async def _note_unreadable(walk: _Walk, after: int, error: DBAPIError) -> None:
    walk.note(after, f"unreadable after row {after} ({type(error.orig).__name__})")
    # PostgreSQL reads nothing more in a transaction that met an error.
    await walk.connection.rollback()


async def _check_rows(walk: _Walk) -> None:
    total = await walk.connection.scalar(select(func.count()).select_from(audit_entries)) or 0
    while True:
        batch = await _read_batch(walk)
        if not batch:
            return
        for entry in batch:
            with walk.going_on(entry.seq):
                _check_link(walk, entry)
            walk.last = entry
        by_kind: dict[str, list[Entry]] = {}
        for entry in batch:
            by_kind.setdefault(entry.kind, []).append(entry)
        for kind, entries in by_kind.items():
            if kind in _CHECKS:
                await _check_kind(walk, kind, entries)
        walk.progress(walk.last.seq if walk.last else 0, total)


async def _read_batch(walk: _Walk) -> list[Entry]:
    """The next rows; in the place of one that cannot be read, an empty one."""
    after = [audit_entries.c.seq > walk.last.seq] if walk.last else []
    query = select(audit_entries).where(*after).order_by(audit_entries.c.seq).limit(_BATCH)
    try:
        return [Entry(**row._mapping) for row in await walk.connection.execute(query)]
    except DBAPIError:
        await walk.connection.rollback()
    found = []
    numbers = await walk.connection.scalars(query.with_only_columns(audit_entries.c.seq))
    for seq in numbers.all():
        try:
            row = await walk.connection.execute(
                select(audit_entries).where(audit_entries.c.seq == seq)
            )
            found.append(Entry(**row.one()._mapping))
        except DBAPIError as error:
            await _note_unreadable(walk, seq - 1, error)
            found.append(Entry(seq, *[""] * (len(_COLUMNS) - 1)))
    return found


async def _check_kind(walk: _Walk, kind: str, entries: Sequence[Entry]) -> None:
    """What rows of a kind tell of; one by one where something of it cannot be read."""
    try:
        with walk.going_on(entries[0].seq):
            await _CHECKS[kind](walk, entries)
    except DBAPIError as error:
        if len(entries) == 1:
            await _note_unreadable(walk, entries[0].seq - 1, error)
            return
        await walk.connection.rollback()
        for entry in entries:
            await _check_kind(walk, kind, [entry])


def _check_link(walk: _Walk, entry: Entry) -> None:
    before = walk.last
    expected = before.seq + 1 if before else 1
    if entry.seq != expected:
        gone = f"row {expected} is" if entry.seq == expected + 1 else f"rows from {expected} on are"
        walk.note(expected, f"{gone} missing")
        _check_made(walk, entry)
        return
    _check_made(walk, entry)
    if entry.prev_hash != (before.hash if before else GENESIS):
        raise _Broken(entry.seq, f"row {entry.seq} does not follow row {expected - 1}")
    if before and walk.age(entry) < walk.age(before):
        walk.warn(f"row {entry.seq} was made with an older key than row {expected - 1}")
    if before and entry.at < before.at:
        walk.warn(f"the clock went back at row {entry.seq}: from {before.at} to {entry.at}")


def _check_made(walk: _Walk, entry: Entry) -> None:
    """A row was made with one of the keys, as it is."""
    if str(entry.key_id) not in walk.trail.keys.by_id:
        raise _Broken(
            entry.seq, f"row {entry.seq} was made with a key that is not here ({entry.key_id})"
        )
    if not is_genuine(walk.trail.keys, entry):
        raise _Broken(entry.seq, f"row {entry.seq} was changed, or made without the key")


async def _check_records(walk: _Walk, entries: Sequence[Entry]) -> None:
    """The rows that entries of questions and replies tell of are as they were entered."""
    rows = await _read_rows(walk.connection, [entry.subject for entry in entries])
    for entry in entries:
        with walk.going_on(entry.seq):
            said = json.loads(entry.body)
            row = rows.get(entry.subject)
            if row is None:
                raise _Broken(entry.seq, f"record {entry.subject} of row {entry.seq} is gone")

            def differs(name: str, entry: Entry = entry) -> _Broken:
                return _Broken(
                    entry.seq,
                    f"{name!r} of record {entry.subject} is not what row {entry.seq} holds",
                )

            for name, value in said["row"].items():
                if row.get(name) != value:
                    raise differs(name)
            if said["conversation"] != _fingerprint(row["conversation"]):
                raise differs("conversation")
            if row["erased_seq"] is not None:
                await _check_erased(walk, entry, row)
                continue
            for name, value in said["sealed"].items():
                if _salted(row["salt"] or "", name, row[name]) != value:
                    raise differs(name)
            said_by = json.loads(row["settings"]).get("subject")
            if (row["owner"] or None) not in (said_by, NOBODY):
                talk = row["conversation_id"]
                raise _Broken(
                    entry.seq,
                    f"conversation {talk} is not whose record {entry.subject} says it is",
                )
            walk.records += entry.kind != "question"


async def _check_copilot(walk: _Walk, entries: Sequence[Entry]) -> None:
    await _check_events(walk, entries, copilot_events)


async def _check_events(
    walk: _Walk, entries: Sequence[Entry], table: Table = handoff_events
) -> None:
    """Events of hand-overs, or of the copilot, are as they were entered."""
    rows = await _read_events(walk.connection, [entry.subject for entry in entries], table)
    for entry in entries:
        with walk.going_on(entry.seq):
            said, row = json.loads(entry.body), rows.get(entry.subject)
            if row is None:
                raise _Broken(entry.seq, f"event {entry.subject} of row {entry.seq} is gone")
            erased = row["erased_seq"] is not None
            if erased and not await _told_in(walk, row["erased_seq"], entry.subject):
                raise _Broken(entry.seq, f"event {entry.subject} was erased, and no row says so")
            sealed = {} if erased else said["sealed"]
            held = {name: _salted(row["salt"] or "", name, row[name]) for name in sealed}
            for name, value in (*said["row"].items(), *sealed.items()):
                if (held[name] if name in held else row.get(name)) != value:
                    raise _Broken(
                        entry.seq,
                        f"{name!r} of event {entry.subject} is not what row {entry.seq} holds",
                    )


async def _check_erased(walk: _Walk, entry: Entry, row: Mapping[str, Any]) -> None:
    if not await _told_in(walk, row["erased_seq"], entry.subject):
        raise _Broken(entry.seq, f"record {entry.subject} was erased, and no row says so")
    walk.records += entry.kind != "question"


async def _told_in(walk: _Walk, erased_seq: str, subject: str) -> bool:
    """Whether the row of an erasure names what is marked as erased by it."""
    seq = int(erased_seq) if str(erased_seq).isdigit() else 0
    if seq not in walk.erasures:
        if len(walk.erasures) > 8:
            walk.erasures.clear()
        body = await walk.connection.scalar(
            select(audit_entries.c.body).where(
                audit_entries.c.seq == seq, audit_entries.c.kind == "erasure"
            )
        )
        told = json.loads(body) if body else {}
        walk.erasures[seq] = frozenset(
            each for name in ("records", "events", "copilot") for each in told.get(name, ())
        )
    return subject in walk.erasures[seq]


async def _check_erasures(walk: _Walk, entries: Sequence[Entry]) -> None:
    """What was erased is still empty."""
    for entry in entries:
        with walk.going_on(entry.seq):
            told = json.loads(entry.body)
            await _check_erased_events(walk, entry, told.get("events", ()))
            await _check_erased_events(walk, entry, told.get("copilot", ()), copilot_events)
            ids = told["records"]
            rows = await _read_rows(walk.connection, ids)
            for record_id in ids:
                row = rows.get(record_id)
                if row is None:
                    walk.note(entry.seq, f"record {record_id} of row {entry.seq} is gone")
                    continue
                empty = all(row[name] == blank for name, blank in _BLANK.items())
                if not empty or row["salt"] is not None or row["erased_seq"] != str(entry.seq):
                    walk.note(
                        entry.seq, f"record {record_id} is not empty, as row {entry.seq} says it is"
                    )


async def _check_erased_events(
    walk: _Walk, entry: Entry, ids: Sequence[str], table: Table = handoff_events
) -> None:
    rows = await _read_events(walk.connection, ids, table)
    for event_id in ids:
        row = rows.get(event_id)
        if row is None:
            walk.note(entry.seq, f"event {event_id} of row {entry.seq} is gone")
            continue
        empty = not any(row.get(name) for name in PERSONAL_EVENT)
        if not empty or row["salt"] is not None or row["erased_seq"] != str(entry.seq):
            walk.note(entry.seq, f"event {event_id} is not empty, as row {entry.seq} says it is")


async def _check_texts(walk: _Walk, entries: Sequence[Entry]) -> None:
    found = {
        row.version: row
        for row in await walk.connection.execute(
            select(templates).where(templates.c.version.in_([entry.subject for entry in entries]))
        )
    }
    for entry in entries:
        with walk.going_on(entry.seq):
            row, said = found.get(entry.subject), json.loads(entry.body)
            if row is None or (row.name, _sha256(row.text)) != (said["name"], said["sha256"]):
                raise _Broken(
                    entry.seq,
                    f"text {entry.subject} ({said['name']}) is not what row {entry.seq} says",
                )


async def _check_releases(walk: _Walk, entries: Sequence[Entry]) -> None:
    for entry in entries:
        with walk.going_on(entry.seq):
            said = json.loads(entry.body)
            if entry.subject not in walk.contents:
                try:
                    content = await store.content_hash(
                        walk.connection, entry.subject, walk.documents
                    )
                except KeyError:
                    raise _Broken(
                        entry.seq, f"release {entry.subject} of row {entry.seq} is gone"
                    ) from None
                walk.contents[entry.subject] = content
            if said["content"] != walk.contents[entry.subject]:
                raise _Broken(
                    entry.seq,
                    f"the clauses of release {entry.subject} are not those that row {entry.seq} "
                    "holds",
                )
            # Rows of the versions before hold no vectors.
            if "vectors" in said:
                if entry.subject not in walk.vectors:
                    walk.vectors[entry.subject] = await store.vectors_hash(
                        walk.connection, entry.subject, walk.documents
                    )
                if said["vectors"] != walk.vectors[entry.subject]:
                    raise _Broken(
                        entry.seq,
                        f"the vectors of release {entry.subject} are not those that row "
                        f"{entry.seq} holds",
                    )


async def _check_runs(walk: _Walk, entries: Sequence[Entry]) -> None:
    """Who was written to in each part of a run is as it was entered."""
    for entry in entries:
        with walk.going_on(entry.seq):
            said = json.loads(entry.body)
            if "chunk" not in said:
                continue
            walk.chunks.setdefault(entry.subject, set()).add(said["chunk"])
            written = await _read_contacts(walk.connection, entry.subject, said["chunk"])
            if _fingerprint(written) != said["written"]:
                raise _Broken(
                    entry.seq,
                    f"who was written to in part {said['chunk']} of run {entry.subject} is not "
                    f"what row {entry.seq} holds",
                )


_CHECKS = {
    "run": _check_runs,
    "release": _check_releases,
    "question": _check_records,
    "reply": _check_records,
    "unanswered": _check_records,
    "adopted": _check_records,
    "erasure": _check_erasures,
    "handoff": _check_events,
    "copilot": _check_copilot,
    "text": _check_texts,
}


async def _check_tables(walk: _Walk) -> None:
    """Nothing stands in the tables that no row of the chain tells of."""
    record, asked = records.c.id, _told(records.c.id, "question", "adopted")
    answered = _told(records.c.id, "reply", "unanswered", "adopted")
    closed = or_(
        records.c.status != "open",
        and_(records.c.reply.is_not(None), cast(records.c.reply, Text) != "null"),
    )
    for column, wrong, said in (
        (record, ~asked, "record {} is in no row of the chain"),
        (record, closed & ~answered, "the reply of record {} is in no row of the chain"),
        (
            record,
            and_(records.c.erased_seq.is_(None), records.c.salt.is_(None)),
            "record {} has no salt, and no row says that it was erased",
        ),
        (
            record,
            and_(records.c.erased_seq.is_not(None), ~_told_erased()),
            "record {} is marked as erased, and no row says so",
        ),
        (
            handoff_events.c.id,
            ~_told(handoff_events.c.id, "handoff"),
            "event {} of a hand-over is in no row of the chain",
        ),
        (
            copilot_events.c.id,
            ~_told(copilot_events.c.id, "copilot"),
            "event {} of the copilot is in no row of the chain",
        ),
        (
            handoff_events.c.id,
            ~exists().where(
                handoffs.c.id == handoff_events.c.handoff_id,
                handoffs.c.conversation_id == handoff_events.c.conversation_id,
            ),
            "the hand-over of event {} is gone, or is of another conversation",
        ),
        (
            handoffs.c.id,
            or_(
                _last(handoff_events.c.state) != handoffs.c.state,
                and_(
                    handoffs.c.state == "taken",
                    _last(handoff_events.c.staff_id, "taken") != handoffs.c.taken_by,
                ),
            ),
            "hand-over {} does not stand as its events say",
        ),
        (
            templates.c.version,
            ~_told(templates.c.version, "text"),
            "text {} is in no row of the chain",
        ),
    ):
        await _note_strays(walk, column, wrong, said)


def _told(subject: Any, *kinds: Kind) -> ColumnElement[bool]:
    return exists().where(audit_entries.c.subject == subject, audit_entries.c.kind.in_(kinds))


async def _note_strays(walk: _Walk, column: Any, wrong: ColumnElement[bool], said: str) -> None:
    """said: what to tell of each, with a place for its id."""
    for stray in await walk.connection.scalars(select(column).where(wrong).limit(_BREAKS + 1)):
        walk.note(str(stray), said.format(stray))


async def _check_handoffs(walk: _Walk) -> None:
    """Hand-overs wait for whom and in the place that their events say."""
    # In one statement: a step that is made meanwhile is seen with its event, or not at all.
    steps = await walk.connection.stream(
        select(handoffs, handoff_events.c.at, handoff_events.c.told)
        .join(handoff_events, handoff_events.c.handoff_id == handoffs.c.id)
        .where(handoff_events.c.kind.in_(("asked", "ticket", "raised")))
        .order_by(handoffs.c.id, handoff_events.c.seq)
    )
    now: Any = None
    told: dict[str, Any] = {}

    def compare() -> None:
        wrong = [name for name, value in told.items() if getattr(now, name) != value]
        if wrong:
            walk.note(now.id, f"{wrong[0]!r} of hand-over {now.id} is not what its events say")

    async for step in steps:
        with walk.going_on(step.id):
            if now is not None and now.id != step.id:
                compare()
                told = {}
            now = step
            told |= {name: step.told[name] for name in _PLACED if name in step.told}
            if "added" not in step.told and "priority" in step.told:
                told["asked_at"] = step.at
    if now is not None:
        compare()


_PLACED = ("classes", "priority", "skill")
"""What events tell of the place of a hand-over in the queue."""


async def _check_live(walk: _Walk) -> None:
    """The release that is live is the one that was switched to last."""
    for wait_s in [SETTLE_S / 20] * 20:
        if await _read_live(walk) is None:
            return
        await asyncio.sleep(wait_s)
    if wrong := await _read_live(walk):
        raise wrong


async def _read_live(walk: _Walk) -> _Broken | None:
    """What is wrong with the release that is live now."""
    rows = await walk.connection.execute(
        select(audit_entries.c.seq, audit_entries.c.subject, audit_entries.c.body)
        .where(audit_entries.c.kind == "release")
        .order_by(audit_entries.c.seq.desc())
        .limit(1)
    )
    last = rows.first()
    # Which one was live when the chain was begun is not told.
    if last is None or json.loads(last.body)["action"] == "adopted":
        return None
    releases = store.releases
    live = (await walk.connection.scalars(select(releases.c.id).where(releases.c.active))).all()
    if live == [last.subject]:
        return None
    return _Broken(
        last.seq,
        f"live is {', '.join(live) or 'no release'}, and row {last.seq}, the last of a switch, "
        f"says {last.subject}: `zhunxin release activate` makes the right one live",
    )


async def _check_unsaid(walk: _Walk) -> None:
    """What may have come about without a row, if a process ended in between."""
    for release in await store.list_releases(walk.connection):
        if not await walk.connection.scalar(select(_told(literal(release.id), "release"))):
            walk.warn(f"no row of the chain tells of release {release.id}")
    left_open = await walk.connection.execute(
        select(func.count(), func.min(records.c.asked_at)).where(
            records.c.status == "open",
            records.c.asked_at < walk.now - ANSWERED_WITHIN,
            records.c.erased_seq.is_(None),
        )
    )
    count, since = left_open.one()
    if count:
        walk.warn(
            f"records left open: {count}, the oldest since {as_utc(since).isoformat()}: what was "
            "shown of their replies, if anything, is not recorded"
        )


async def _check_parts(walk: _Walk) -> None:
    """Nobody was written to in a part of a run that no row of the chain tells of."""
    parts = await walk.connection.stream(
        select(contacts.c.run_id, contacts.c.chunk).group_by(contacts.c.run_id, contacts.c.chunk)
    )
    async for run_id, chunk in parts:
        if chunk not in walk.chunks.get(run_id, ()):
            walk.note(str(run_id), f"part {chunk} of run {run_id} is in no row of the chain")


async def _check_all_held(walk: _Walk) -> None:
    for kind in HELD:
        await _check_held(walk, kind)


async def _check_held(walk: _Walk, kind: Kind) -> None:
    """The tables of a kind are as the last rows about their subjects hold them."""
    after = ""
    while True:
        of_kind = (audit_entries.c.kind == kind, audit_entries.c.subject > after)
        found = await walk.connection.execute(
            select(audit_entries.c.subject, func.max(audit_entries.c.seq))
            .where(*of_kind)
            .group_by(audit_entries.c.subject)
            .order_by(audit_entries.c.subject)
            .limit(_BATCH)
        )
        last: dict[str, int] = {row[0]: row[1] for row in found}
        if not last:
            break
        after = list(last)[-1]
        held = await _read_held(walk.connection, kind, list(last))
        bodies = await walk.connection.execute(
            select(audit_entries.c.subject, audit_entries.c.body).where(
                audit_entries.c.seq.in_(last.values())
            )
        )
        for subject, body in bodies.all():
            with walk.going_on(last[subject]):
                if json.loads(body)["held"] == _fingerprint(list(held[subject])):
                    continue
                now = await held_as_entered(walk.connection, walk.trail.keys, kind, subject)
                # Something may have been done to it since its last row was looked for.
                if not now or now[-1].seq == last[subject]:
                    raise _Broken(
                        last[subject],
                        f"{kind} {subject} is not what row {last[subject]} holds, or gone",
                    )
    for column in HELD[kind]:
        told = exists().where(audit_entries.c.subject == column, audit_entries.c.kind == kind)
        await _note_strays(walk, column, ~told, f"{kind} {{}} is in no row of the chain")


async def _check_accounts(walk: _Walk) -> None:
    """Every staff account is as the last row about it holds it, and none is gone."""
    if "accounts" not in await _told_of(walk.trail.engine):
        return
    last = (
        select(audit_entries.c.subject, func.max(audit_entries.c.seq).label("seq"))
        .where(audit_entries.c.kind == "account")
        .group_by(audit_entries.c.subject)
        .subquery()
    )
    columns = list(staff.columns)
    # In one statement: an account that is changed meanwhile is seen with its row, or not at all.
    told = await walk.connection.execute(
        select(*audit_entries.columns, *map(_raw, columns))
        .select_from(
            last.join(audit_entries, audit_entries.c.seq == last.c.seq).outerjoin(
                staff, staff.c.id == last.c.subject
            )
        )
        .order_by(last.c.seq)
    )
    for row in told:
        entry = Entry(*row[: len(_COLUMNS)])
        with walk.going_on(entry.seq):
            _check_made(walk, entry)
            stored = [_as_stored(value) for value in row[len(_COLUMNS) :]]
            if json.loads(entry.body)["state"] != _fingerprint(stored):
                raise _Broken(
                    entry.seq, f"account {entry.subject} is not what row {entry.seq} holds, or gone"
                )
    untold = staff.c.id.not_in(select(last.c.subject))
    await _note_strays(walk, staff.c.id, untold, "account {} is in no row of the chain")


async def _check_last(walk: _Walk) -> None:
    """The row that this process wrote last, or that was exported before, is there."""
    if seq := await tail_gone(walk.connection, walk.trail.writer):
        raise _Broken(seq, f"cut off: row {seq}, which was written, is gone or another one")


async def _check_said(walk: _Walk) -> None:
    """What persons said of documents is stored as the chain tells, and nothing else."""
    for kind, (otherwise, untold) in _SAID_WRONG.items():
        for last in (False, True):  # between the two readings something may have been said
            told = await _read_told(walk.connection, walk.trail.keys, kind)
            held = await _read_said(walk.connection, kind)
            if held == {key: row for key, (_, row) in told.items() if row} or last:
                break
        for key, (seq, row) in told.items():
            if held.get(key) != row:
                walk.note(seq, otherwise.format(key[0], seq))
        for key in sorted(held.keys() - told.keys()):
            walk.note(key[0], untold.format(key[0]))


_SAID_WRONG: Mapping[Kind, tuple[str, str]] = {
    "confirmation": (
        "the dates of {} are not confirmed as row {} holds them",
        "that the dates of {} are confirmed is in no row of the chain",
    ),
    "clearance": (
        "the text {} is not let stand as row {} holds it",
        "that the text {} is let stand is in no row of the chain",
    ),
}
"""What to tell where something is stored otherwise than a row holds it, or no row tells of it."""


_AFTER_ROWS = (
    _check_last,
    _check_tables,
    _check_handoffs,
    _check_live,
    _check_said,
    _check_unsaid,
    _check_accounts,
    _check_all_held,
    _check_parts,
)
"""What is looked at once all rows are known, in this order."""


def _last(column: Any, *kinds: str) -> ColumnElement[str]:
    """What the last event of a hand-over, of some kinds or of any, says in a column."""
    of_kind = [handoff_events.c.kind.in_(kinds)] if kinds else []
    last: ColumnElement[str] = func.coalesce(
        select(column)
        .where(handoff_events.c.handoff_id == handoffs.c.id, *of_kind)
        .order_by(handoff_events.c.seq.desc())
        .limit(1)
        .correlate(handoffs)
        .scalar_subquery(),
        "",
    )
    return last


def _told_erased() -> ColumnElement[bool]:
    return exists().where(
        audit_entries.c.seq == records.c.erased_seq, audit_entries.c.kind == "erasure"
    )


async def _check_heads(walk: _Walk) -> None:
    """The chain goes through every head that was exported."""
    heads = _heads(walk.trail.heads)
    seen = 0
    while batch := [head for _, head in zip(range(_BATCH), heads, strict=False)]:
        readable = [(seq, value) for _, seq, value in batch if seq > 0]
        for number, seq, _ in batch:
            if seq <= 0:
                walk.warn(f"line {number} of the file of exported heads cannot be read")
        seen += len(readable)
        # Asked for after the heads were read: while the chain was walked it may have grown.
        last = await walk.connection.scalar(select(func.max(audit_entries.c.seq))) or 0
        wanted = [seq for seq, _ in readable if seq <= last]
        rows = await walk.connection.execute(
            select(audit_entries.c.seq, audit_entries.c.hash).where(audit_entries.c.seq.in_(wanted))
        )
        held = {row.seq: row.hash for row in rows}
        for seq, value in readable:
            if seq > last:
                raise _Broken(
                    last + 1, f"cut off: row {seq} was exported, and the chain ends at row {last}"
                )
            if held.get(seq) != value:
                walk.note(seq, f"row {seq} is not the one that was exported")
    if walk.last and not seen:
        walk.warn("no head was exported: rows cut off at the end would not be noticed")


@dataclass(frozen=True, slots=True)
class RecordState:
    """One record, held against the rows of the chain that tell of it."""

    code_version: str
    erased: bool
    broken: str
    """Why it is not the one that was entered; empty if it is."""


async def check_record(trail: Trail, record_id: str) -> RecordState | None:
    """None where there is no such record. The rows before and after are not looked at."""
    async with trail.engine.connect() as connection:
        walk = _Walk(trail, connection, lambda done, total: None)
        try:
            row = (await _read_rows(connection, [record_id])).get(record_id)
        except DBAPIError as error:
            return RecordState("", False, f"unreadable ({type(error.orig).__name__})")
        if row is None:
            return None
        erased = row["erased_seq"] is not None
        told = await read_entries(trail.engine, subjects=[record_id])
        entries = [entry for entry in told if _CHECKS.get(entry.kind) is _check_records]
        with walk.going_on(record_id):
            if not entries:
                raise _Broken(record_id, f"record {record_id} is in no row of the chain")
            for entry in entries:
                _check_made(walk, entry)
            await _check_records(walk, entries)
            if row["reply"] not in (None, "null") and {e.kind for e in entries} == {"question"}:
                raise _Broken(record_id, f"the reply of record {record_id} is in no row")
    return RecordState(row["code_version"], erased, walk.reason)


async def not_as_said(trail: Trail, subjects: Sequence[str]) -> set[str]:
    """Of some records and events of hand-overs, by id, those that are not as they were entered, or
    are in no row: nobody is shown what was put there past the gate."""
    found: set[str] = set()
    for start in range(0, len(subjects), _BREAKS // 2):
        some = subjects[start : start + _BREAKS // 2]
        async with trail.engine.connect() as connection:
            # Before the chain: a reply that is closed in between has its entry then.
            rows = await _read_rows(connection, some)
            walk = _Walk(trail, connection, lambda done, total: None)
            kinds = ("question", "reply", "unanswered", "adopted", "handoff")
            query = select(audit_entries).where(
                audit_entries.c.subject.in_(some), audit_entries.c.kind.in_(kinds)
            )
            entries = [Entry(**row._mapping) for row in await connection.execute(query)]
            for entry in entries:
                with walk.going_on(entry.seq):
                    _check_made(walk, entry)
                    await _CHECKS[entry.kind](walk, [entry])
        wrong = {each.at for each in walk.breaks}
        found |= {entry.subject for entry in entries if entry.seq in wrong}
        replied = {entry.subject for entry in entries if entry.kind != "question"}
        asked = {entry.subject for entry in entries} - replied
        open_still = {i for i in asked if i in rows and rows[i]["reply"] in (None, "null")}
        found |= set(some) - replied - open_still
    if found:
        log.error("what is not as the audit chain holds it is not shown", ids=sorted(found))
    return found


async def check_event(trail: Trail, event_id: str) -> str:
    """Why an event of a hand-over, or of the copilot, is not the one that was entered; empty if it
    is."""
    entries = await read_entries(trail.engine, subjects=[event_id])
    async with trail.engine.connect() as connection:
        walk = _Walk(trail, connection, lambda done, total: None)
        with walk.going_on(event_id):
            if not entries:
                raise _Broken(event_id, f"event {event_id} is in no row of the chain")
            for entry in entries:
                _check_made(walk, entry)
            await _check_events(walk, [entry for entry in entries if entry.kind == "handoff"])
            await _check_copilot(walk, [entry for entry in entries if entry.kind == "copilot"])
    return walk.reason


# Reading

_SPOKEN: Mapping[str, Table] = {
    "question": records,
    "reply": records,
    "unanswered": records,
    "adopted": records,
    "handoff": handoff_events,
    "copilot": copilot_events,
}
"""Kind -> table of what its entries tell of, where that is part of a conversation."""


@dataclass(slots=True)
class Spoken:
    """A record, or an event of a hand-over or of the copilot."""

    table: Table
    id: str
    conversation_id: str
    row: dict[str, Any]
    """Columns as the last entry about it holds them, each as it was stored, without what a borrower
    wrote or was told; empty where it stands in no entry of that conversation and time."""


async def spoken(
    trail: Trail,
    *,
    conversation_id: str = "",
    first: datetime | None = None,
    before: datetime | None = None,
) -> list[Spoken]:
    """What belongs to a conversation, or to some time, in the order in which it was entered: all
    that the chain says does, wherever it stands now, and then what is only stored as if it did."""
    found: dict[tuple[str, str], Spoken] = {}
    async with trail.engine.connect() as connection:
        walk = _Walk(trail, connection, lambda done, total: None)
        while batch := await _read_batch(walk):
            for entry in batch:
                walk.last = entry
                if (table := _SPOKEN.get(entry.kind)) is None:
                    continue
                with walk.going_on(entry.seq):  # what cannot be read, `verify` tells
                    row = json.loads(entry.body)["row"]
                    talk = str(row["conversation_id"])
                    at = datetime.fromisoformat(row[_time_of(table).name]).replace(tzinfo=UTC)
                    if (
                        conversation_id in ("", talk)
                        and (first is None or at >= first)
                        and (before is None or at < before)
                    ):
                        own = Spoken(table, entry.subject, talk, {})
                        found.setdefault((table.name, entry.subject), own).row |= row
        for table in (records, handoff_events, copilot_events):
            at = _time_of(table)
            query = select(table.c.id, table.c.conversation_id).order_by(at, table.c.id)
            if conversation_id:
                query = query.where(table.c.conversation_id == conversation_id)
            if first:
                query = query.where(at >= first)
            if before:
                query = query.where(at < before)
            for own_id, talk in await connection.execute(query):
                found.setdefault((table.name, own_id), Spoken(table, own_id, talk, {}))
    return list(found.values())


def _time_of(table: Table) -> Any:
    return table.c.asked_at if table is records else table.c.at


async def read_entries(
    engine: AsyncEngine, *, after: int = 0, limit: int = 100, subjects: Iterable[str] = ()
) -> list[Entry]:
    """Rows in order after a number; only those about `subjects`, where there are any."""
    query = select(audit_entries).where(audit_entries.c.seq > after)
    named = list(subjects)
    if named:
        query = query.where(audit_entries.c.subject.in_(named))
    async with engine.connect() as connection:
        rows = await connection.execute(query.order_by(audit_entries.c.seq).limit(limit))
        return [Entry(**row._mapping) for row in rows]


async def read_stored(engine: AsyncEngine, record_id: str) -> dict[str, Any] | None:
    """A record with each column as it is stored, from which its salted hashes can be made."""
    async with engine.connect() as connection:
        return (await _read_rows(connection, [record_id])).get(record_id)


async def last_entry(engine: AsyncEngine) -> Entry | None:
    """The end of the chain."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(audit_entries).order_by(audit_entries.c.seq.desc()).limit(1)
        )
        row = rows.first()
    return None if row is None else Entry(**row._mapping)
