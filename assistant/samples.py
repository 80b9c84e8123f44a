"""Recorded replies that were drawn to be scored, and the verdicts on them, in SQL.

A verdict holds no words: what a borrower wrote and was told stays in the record, and goes with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, and_, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from .db import conversations, records, samples

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LIVE = ("chat", "openai")
"""Channels on which borrowers ask; evaluation and the command line are none."""

ZONE = ZoneInfo("Asia/Shanghai")
_UPSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """A reply as it was recorded, masked."""

    id: str
    question: str
    settings: Mapping[str, Any]
    reply: Mapping[str, Any]
    release: str


@dataclass(frozen=True, slots=True)
class Verdict:
    record_id: str
    scorer: str
    version: int
    day: date
    """The calendar day in Asia/Shanghai on which the question was asked."""
    passed: bool | None
    """None where the scorer says nothing about the reply."""


@dataclass(frozen=True, slots=True)
class Count:
    """What a scorer found in the replies of one day."""

    scorer: str
    version: int
    day: date
    passed: int
    n: int


async def answered_on(engine: AsyncEngine, day: date) -> list[str]:
    """Ids of the records of a calendar day in Asia/Shanghai that were answered to borrowers and
    not erased since."""
    first = datetime.combine(day, time(), ZONE).astimezone(UTC)
    query = (
        select(records.c.id)
        .join(conversations, conversations.c.id == records.c.conversation_id)
        .where(
            conversations.c.channel.in_(LIVE),
            records.c.asked_at >= first,
            records.c.asked_at < first + timedelta(days=1),
            records.c.status.not_in(("open", "unanswered")),
            records.c.erased_seq.is_(None),
        )
        .order_by(records.c.id)
    )
    async with engine.connect() as connection:
        return list((await connection.execute(query)).scalars())


async def scored(
    engine: AsyncEngine, record_ids: Sequence[str], scorers: Mapping[str, int]
) -> set[str]:
    """Those of the records that every scorer, in the version given, has seen."""
    seen: dict[str, set[str]] = {}
    wanted = set(scorers.items())
    async with engine.connect() as connection:
        for ids in _parts(record_ids):
            rows = await connection.execute(
                select(samples.c.record_id, samples.c.scorer, samples.c.version).where(
                    samples.c.record_id.in_(ids)
                )
            )
            for row in rows:
                if (row.scorer, row.version) in wanted:
                    seen.setdefault(row.record_id, set()).add(row.scorer)
    return {record for record, by in seen.items() if by == set(scorers)}


async def read_recorded(engine: AsyncEngine, record_ids: Sequence[str]) -> list[Recorded]:
    """Records with their replies; those that are erased or damaged are missing."""
    columns = (records.c.id, records.c.question, records.c.release)
    held = (records.c.settings, records.c.reply)
    found = []
    async with engine.connect() as connection:
        for record_id in record_ids:
            query = select(*columns, *held).where(
                records.c.id == record_id, records.c.erased_seq.is_(None)
            )
            try:
                row = (await connection.execute(query)).one_or_none()
            except ValueError:
                continue  # its JSON is broken: `audit verify` tells of that
            if row is not None and isinstance(row.reply, dict):
                settings = row.settings if isinstance(row.settings, dict) else {}
                found.append(Recorded(row.id, row.question, settings, row.reply, row.release or ""))
    return found


async def keep(engine: AsyncEngine, verdicts: Sequence[Verdict]) -> None:
    """Store verdicts; the same verdict twice is one."""
    if not verdicts:
        return
    rows = [{**asdict(verdict), "scored_at": datetime.now(UTC)} for verdict in verdicts]
    async with engine.begin() as connection:
        insert = _UPSERTS[engine.dialect.name](samples).on_conflict_do_nothing()
        await connection.execute(insert, rows)


async def counts(engine: AsyncEngine, first: date, scorers: Mapping[str, int]) -> list[Count]:
    """By scorer and day since `first`, in the versions given."""
    query = (
        select(
            samples.c.scorer,
            samples.c.version,
            samples.c.day,
            func.sum(cast(samples.c.passed, Integer)).label("passed"),
            func.count().label("n"),
        )
        .where(samples.c.day >= first, samples.c.passed.is_not(None))
        .group_by(samples.c.scorer, samples.c.version, samples.c.day)
        .order_by(samples.c.scorer, samples.c.day)
    )
    async with engine.connect() as connection:
        return [
            Count(row.scorer, row.version, row.day, int(row.passed), int(row.n))
            for row in await connection.execute(query)
            if scorers.get(row.scorer) == row.version
        ]


async def failed(
    engine: AsyncEngine, scorer: str, version: int, first: date, last: date, most: int
) -> list[tuple[str, date]]:
    """(record id, day) of the replies that a scorer found wrong, the newest day first."""
    query = (
        select(samples.c.record_id, samples.c.day)
        .where(
            and_(samples.c.scorer == scorer, samples.c.version == version),
            samples.c.day >= first,
            samples.c.day <= last,
            samples.c.passed.is_(False),
        )
        .order_by(samples.c.day.desc(), samples.c.record_id)
        .limit(most)
    )
    async with engine.connect() as connection:
        return [(row.record_id, row.day) for row in await connection.execute(query)]


def _parts(values: Sequence[str]) -> Collection[Sequence[str]]:
    return [values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE)]
