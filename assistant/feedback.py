"""What borrowers say of replies: one thumb a reply, with a reason and a few words if they like.

What they write is masked before it is stored, and goes with the record it is about.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, Integer, and_, cast, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from . import privacy
from .db import answer_drafts, as_utc, case_drafts, conversations, feedback, records
from .samples import LIVE, ZONE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SHIPPED = Path(__file__).with_name("feedback.toml")
MAX_COMMENT = 500
"""Characters."""

Show = Literal["down", "unanswered", "all"]

_UPSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class NotTheirs(Exception):
    """No reply that this borrower got has this id."""


class UnknownReason(Exception):
    """A reason that is not in the list, or one beside a thumb up."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a borrower says of one reply."""

    record_id: str
    conversation_id: str
    useful: bool
    reason: str = ""
    comment: str = ""
    """As it was written; it is masked before it is stored."""


@dataclass(frozen=True, slots=True)
class DayCount:
    """The thumbs of one day on which questions were asked, in Asia/Shanghai."""

    day: date
    useful: int
    n: int


@dataclass(frozen=True, slots=True)
class Item:
    """A question whose reply did not help, masked."""

    record_id: str
    asked_at: datetime
    question: str
    settings: Mapping[str, Any]
    status: str
    answer: str
    citations: Sequence[Mapping[str, Any]]
    useful: bool | None
    """None where the borrower said nothing."""
    reason: str
    comment: str
    case_id: str
    """Of the evaluation case that was made of it; empty: none."""
    answer_id: str
    """Of the answer that was drafted for it and not taken back; empty: none."""


@cache
def reasons() -> tuple[str, ...]:
    """Ids of the reasons that may be given, in the order in which they are offered."""
    return tuple(tomllib.loads(SHIPPED.read_text(encoding="utf-8"))["reasons"])


async def give(engine: AsyncEngine, given: Given, subject: str) -> None:
    """Store what a borrower says of a reply, in place of what they said before.

    subject: as whom they ask; empty: without an account, and then whoever knows the conversation
    is taken for its owner, as when it is continued. Raises NotTheirs, UnknownReason.
    """
    if given.reason and (given.useful or given.reason not in reasons()):
        raise UnknownReason(given.reason)
    now = datetime.now(UTC)
    async with engine.begin() as connection:
        # Taken for writing first, so that an erasure at the same time comes before or after.
        await connection.execute(
            update(records)
            .where(records.c.id == given.record_id)
            .values(trace_id=records.c.trace_id)
        )
        asked_at = await connection.scalar(
            select(records.c.asked_at)
            .join(conversations, conversations.c.id == records.c.conversation_id)
            .where(
                records.c.id == given.record_id,
                conversations.c.id == given.conversation_id,
                func.coalesce(conversations.c.subject, "") == subject,
                conversations.c.channel.in_(LIVE),
                records.c.status != "open",
                records.c.erased_seq.is_(None),
            )
        )
        if asked_at is None:
            raise NotTheirs(given.record_id)
        said = {
            "useful": given.useful,
            "reason": given.reason,
            "comment": privacy.mask(given.comment.strip()).text,
            "given_at": now,
        }
        insert = _UPSERTS[engine.dialect.name](feedback).values(
            record_id=given.record_id, day=as_utc(asked_at).astimezone(ZONE).date(), **said
        )
        await connection.execute(
            insert.on_conflict_do_update(index_elements=[feedback.c.record_id], set_=said)
        )


async def counts(engine: AsyncEngine, first: date) -> list[DayCount]:
    """By day since `first`."""
    query = (
        select(
            feedback.c.day,
            func.sum(cast(feedback.c.useful, Integer)).label("useful"),
            func.count().label("n"),
        )
        .where(feedback.c.day >= first)
        .group_by(feedback.c.day)
        .order_by(feedback.c.day)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return [DayCount(row.day, int(row.useful), int(row.n)) for row in rows]


async def reason_counts(engine: AsyncEngine, first: date) -> dict[str, int]:
    """Reason -> thumbs down with it since `first`; an empty one is none given."""
    query = (
        select(feedback.c.reason, func.count())
        .where(feedback.c.day >= first, feedback.c.useful.is_(False))
        .group_by(feedback.c.reason)
    )
    async with engine.connect() as connection:
        return {reason: int(n) for reason, n in await connection.execute(query)}


def _unhelpful(show: Show, reason: str, since: datetime) -> ColumnElement[bool]:
    down = feedback.c.useful.is_(False)
    unanswered = records.c.status == "not_covered"
    kinds = {"down": down, "unanswered": unanswered, "all": or_(down, unanswered)}
    wanted = [
        kinds[show],
        records.c.asked_at >= since,
        records.c.erased_seq.is_(None),
        conversations.c.channel.in_(LIVE),
    ]
    if reason:
        wanted += [down, feedback.c.reason == reason]
    return and_(*wanted)


async def unhelpful(
    engine: AsyncEngine, since: datetime, show: Show, reason: str, offset: int, limit: int
) -> tuple[list[Item], int]:
    """Questions that were not answered or whose replies got a thumb down, the newest first, and
    how many there are in all; those that cannot be read are left out."""
    held = records.join(conversations, conversations.c.id == records.c.conversation_id).outerjoin(
        feedback, feedback.c.record_id == records.c.id
    )
    wanted = _unhelpful(show, reason, since)
    async with engine.connect() as connection:
        total = await connection.scalar(select(func.count()).select_from(held).where(wanted))
        ids = await connection.scalars(
            select(records.c.id)
            .select_from(held)
            .where(wanted)
            .order_by(records.c.asked_at.desc(), records.c.id)
            .offset(offset)
            .limit(limit)
        )
        named = list(ids)
    found = [await read_item(engine, record_id) for record_id in named]
    return [item for item in found if item is not None], int(total or 0)


async def read_item(engine: AsyncEngine, record_id: str) -> Item | None:
    """None where there is no such record, or it is erased or damaged."""
    query = (
        select(
            records.c.id,
            records.c.asked_at,
            records.c.question,
            records.c.settings,
            records.c.status,
            records.c.reply,
            feedback.c.useful,
            feedback.c.reason,
            feedback.c.comment,
            case_drafts.c.id.label("case_id"),
            func.coalesce(
                select(func.min(answer_drafts.c.id))
                .where(
                    answer_drafts.c.record_id == records.c.id, answer_drafts.c.state != "withdrawn"
                )
                .scalar_subquery(),
                "",
            ).label("answer_id"),
        )
        .outerjoin(feedback, feedback.c.record_id == records.c.id)
        .outerjoin(case_drafts, case_drafts.c.record_id == records.c.id)
        .join(conversations, conversations.c.id == records.c.conversation_id)
        .where(
            records.c.id == record_id,
            records.c.erased_seq.is_(None),
            conversations.c.channel.in_(LIVE),
        )
    )
    try:
        async with engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
    except ValueError:
        return None  # its JSON is broken: `audit verify` tells of that
    if row is None:
        return None
    reply = row.reply if isinstance(row.reply, dict) else {}
    return Item(
        record_id=row.id,
        asked_at=as_utc(row.asked_at),
        question=row.question,
        settings=row.settings if isinstance(row.settings, dict) else {},
        status=row.status,
        answer=reply.get("answer", ""),
        citations=reply.get("citations", ()),
        useful=row.useful,
        reason=row.reason or "",
        comment=row.comment or "",
        case_id=row.case_id or "",
        answer_id=row.answer_id,
    )
