"""Who was written to, who must not be, and runs of campaigns over many customers.

A customer stands here as a keyed hash. A contact, and how far its run has come, are one transaction
with an entry of the audit chain; the primary key of the table is what makes it one message a
customer and campaign, whatever runs beside.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, func, insert, select, update

from . import audit
from .audit import Keys, Trail
from .db import as_utc, campaign_runs, contacts, suppressions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

HELD_OUT = "holdout"
"""Channel of somebody who was given nothing, so that the others can be measured against them."""

ALL = "all"
"""Channel of a suppression of every channel."""

REASON = "1 to 32 small letters, digits, - and _, such as complaint"
"""What a reason of a suppression looks like: it stays in the audit chain, and names nobody."""

TAMPERED = "tampered"
"""Why nobody writes to a customer whose suppressions are not as the audit chain holds them."""

AT_ONCE = 500
"""Values of one statement: SQLite takes some thousand."""

RunState = Literal["running", "done"]


class RunElsewhere(Exception):
    """Another process goes on with the same run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A campaign on its way through a file of customers."""

    id: str
    campaign: str
    plan: Mapping[str, Any]
    """What it was begun with; it goes on with nothing else."""
    state: RunState
    chunks: int
    """That were written."""
    rows_in: int
    bytes_out: int
    counts: Mapping[str, Any]
    by: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who is written to, or held out."""

    customer: str
    """Their `handle`."""
    channel: str
    draft_id: str
    coupon: str
    at: str
    """Instant in UTC, ISO 8601 to the second."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known here of a customer."""

    reached: bool = False
    """Whether the campaign has written to them, or held them out, before."""
    sent: tuple[tuple[str, datetime], ...] = ()
    """(channel, instant) of other campaigns."""
    suppressed: Mapping[str, str] = field(default_factory=dict)
    """Channel, or `all` -> why."""


def handle(keys: Keys, customer_id: str) -> str:
    """What a customer is called here: a hash keyed with the oldest key, so that a new key changes
    nobody's."""
    key = next(iter(keys.by_id.values()))
    return hmac.new(key, f"contact\0{customer_id}".encode(), hashlib.sha256).hexdigest()


# Runs


async def begin(trail: Trail, campaign: str, plan: Mapping[str, Any], *, by: str) -> Run:
    """Enter a run that is about to write."""
    now = datetime.now(UTC)
    run = Run(uuid.uuid4().hex, campaign, plan, "running", 0, 0, 0, {}, by, now)
    async with audit.writing(trail) as (connection, seal):
        await connection.execute(
            insert(campaign_runs).values(
                id=run.id,
                campaign=campaign,
                plan=dict(plan),
                state=run.state,
                chunk=0,
                rows_in=0,
                bytes_out=0,
                counts={},
                by=by,
                started_at=now,
                changed_at=now,
            )
        )
        body = {"action": "begun", "by": by, "campaign": campaign, "plan": dict(plan)}
        await seal("run", run.id, body)
    return run


async def find_run(engine: AsyncEngine, run_id: str) -> Run | None:
    async with engine.connect() as connection:
        row = (
            await connection.execute(select(campaign_runs).where(campaign_runs.c.id == run_id))
        ).one_or_none()
    return None if row is None else _run(row)


async def list_runs(engine: AsyncEngine, campaign: str = "", limit: int = 50) -> list[Run]:
    """The newest first."""
    wanted = select(campaign_runs).order_by(campaign_runs.c.started_at.desc()).limit(limit)
    if campaign:
        wanted = wanted.where(campaign_runs.c.campaign == campaign)
    async with engine.connect() as connection:
        return [_run(row) for row in await connection.execute(wanted)]


async def unfinished(engine: AsyncEngine, campaign: str) -> list[Run]:
    """Runs of a campaign that were begun and not ended, however many, the newest first."""
    wanted = (
        select(campaign_runs)
        .where(campaign_runs.c.campaign == campaign, campaign_runs.c.state == "running")
        .order_by(campaign_runs.c.started_at.desc())
    )
    async with engine.connect() as connection:
        return [_run(row) for row in await connection.execute(wanted)]


def _run(row: Any) -> Run:
    return Run(
        row.id,
        row.campaign,
        row.plan,
        row.state,
        row.chunk,
        row.rows_in,
        row.bytes_out,
        row.counts,
        row.by,
        as_utc(row.started_at),
    )


async def write_chunk(
    trail: Trail,
    run: Run,
    settle: Callable[[AsyncConnection], Any],
) -> Run:
    """One part of a run: `settle` looks at what is known by now, writes the messages, and gives
    (contacts, rows read, bytes written, counts, state); all of it stands afterwards, or none.

    The file is cut back to `bytes_out` by who goes on with a run, so that what was written by a
    part that came to nothing is written again. Raises RunElsewhere.
    """
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        done = select(campaign_runs.c.chunk).where(campaign_runs.c.id == run.id)
        # Before anything is written: its file is theirs too.
        if await connection.scalar(done) != run.chunks:
            raise RunElsewhere(run.id)
        written, rows_in, bytes_out, counts, state = await settle(connection)
        chunk = run.chunks + 1
        await _insert(
            connection,
            [
                {
                    "campaign": run.campaign,
                    "customer": contact.customer,
                    "run_id": run.id,
                    "chunk": chunk,
                    "channel": contact.channel,
                    "draft_id": contact.draft_id,
                    "coupon": contact.coupon,
                    "at": contact.at,
                }
                for contact in written
            ],
        )
        await connection.execute(
            update(campaign_runs)
            .where(campaign_runs.c.id == run.id)
            .values(
                chunk=chunk,
                rows_in=rows_in,
                bytes_out=bytes_out,
                counts=dict(counts),
                state=state,
                changed_at=datetime.now(UTC),
            )
        )
        body = {"action": "written"}
        entry = await audit.seal_contacts(connection, trail.keys, run.id, chunk, body)
    await audit.note_head(trail, entry)
    return Run(
        run.id,
        run.campaign,
        run.plan,
        state,
        chunk,
        rows_in,
        bytes_out,
        counts,
        run.by,
        run.started_at,
    )


async def _insert(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await connection.execute(insert(contacts), [dict(row) for row in rows])


async def given_out(engine: AsyncEngine, campaign: str) -> Counter[str]:
    """Coupon id -> how many customers were offered it."""
    counted = (
        select(contacts.c.coupon, func.count())
        .where(contacts.c.campaign == campaign, contacts.c.coupon != "")
        .group_by(contacts.c.coupon)
    )
    async with engine.connect() as connection:
        return Counter({row[0]: row[1] for row in await connection.execute(counted)})


async def past_of(
    connection: AsyncConnection,
    campaign: str,
    handles: Iterable[str],
    since: datetime,
    *,
    keys: Keys,
) -> dict[str, Past]:
    """What is known of customers, by handle; those of whom nothing is known are left out.

    since: contacts of other campaigns before it are left out. Whose suppressions are not as the
    chain holds them, since one may have been taken off the list past it, is suppressed.
    """
    wanted = list(handles)
    reached: set[str] = set()
    sent: dict[str, list[tuple[str, datetime]]] = {}
    barred: dict[str, dict[str, str]] = {}
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        columns = (contacts.c.customer, contacts.c.campaign, contacts.c.channel, contacts.c.at)
        for row in await connection.execute(select(*columns).where(contacts.c.customer.in_(some))):
            if row.campaign == campaign:
                reached.add(row.customer)
            elif row.channel != HELD_OUT:
                at = datetime.fromisoformat(row.at)
                if at >= since:
                    sent.setdefault(row.customer, []).append((row.channel, at))
        for row in await connection.execute(
            select(suppressions).where(suppressions.c.customer.in_(some))
        ):
            barred.setdefault(row.customer, {})[row.channel] = row.reason
        for known in await audit.not_as_entered(connection, keys, "suppression", some):
            barred.setdefault(known, {})[ALL] = TAMPERED
    return {
        known: Past(known in reached, tuple(sent.get(known, ())), barred.get(known, {}))
        for known in {*reached, *sent, *barred}
    }


# Suppressions


def is_reason(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", text) is not None


async def suppress(
    trail: Trail, customer_id: str, *, reason: str, by: str, channel: str = ALL
) -> None:
    """Nobody is to write to a customer, by one channel or by any; the last reason stands."""
    who = handle(trail.keys, customer_id)
    async with audit.writing(trail) as (connection, seal):
        await connection.execute(_of(who, channel))
        await connection.execute(
            insert(suppressions).values(
                customer=who, channel=channel, reason=reason, by=by, at=datetime.now(UTC)
            )
        )
        body = {"action": "suppressed", "by": by, "channel": channel, "reason": reason}
        await seal("suppression", who, body)


async def lift(trail: Trail, customer_id: str, *, by: str, channel: str = ALL) -> bool:
    """Take a suppression back; whether there was one."""
    who = handle(trail.keys, customer_id)
    async with audit.writing(trail) as (connection, seal):
        there = (await connection.execute(_of(who, channel))).rowcount > 0
        if there:
            await seal("suppression", who, {"action": "lifted", "by": by, "channel": channel})
    return there


def _of(who: str, channel: str) -> Any:
    return delete(suppressions).where(
        suppressions.c.customer == who, suppressions.c.channel == channel
    )


async def suppressed(engine: AsyncEngine, customer_ids: Collection[str], keys: Keys) -> set[str]:
    """Of some customers, those who are on a list by any channel."""
    by_handle = {handle(keys, customer_id): customer_id for customer_id in customer_ids}
    async with engine.connect() as connection:
        found = await past_of(connection, "", by_handle, datetime.now(UTC), keys=keys)
    return {by_handle[known] for known, past in found.items() if past.suppressed}
