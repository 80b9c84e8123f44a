"""What the copilot suggested, what became of it, what was promised, and whose record may be shown.

Events enter the audit chain as those of hand-overs do: what was said as salted hashes, so that it
can be erased with its conversation. Promises are a list of tasks, made of the wrap-up that holds
them; they go with it, and the chain holds a hash of the list of each conversation.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from . import audit, privacy
from .audit import NOBODY, Keys, Trail
from .db import (
    as_utc,
    conversations,
    copilot_events,
    handoff_customers,
    handoffs,
    promises,
)
from .identity import seal_customer, subject_of, unseal_customer

Kind = Literal["suggested", "inserted", "edited", "sent", "dismissed", "wrap_up", "task"]

PromiseState = Literal["open", "done", "dropped"]

log = structlog.get_logger()

_KEPT = privacy.NUMBERS | privacy.SECRETS
"""What is masked in what staff wrote: the lender's own names and places are their business."""


class NotKept(Exception):
    """What was suggested or done cannot be entered now."""


@dataclass(frozen=True, slots=True)
class Promised:
    """Something that somebody said they would do, as it is kept."""

    by: Literal["borrower", "agent"]
    kind: str
    text: str
    due_on: date | None
    amount_cny: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A promise that somebody has to see to."""

    id: str
    conversation_id: str
    handoff_id: str
    promised: Promised
    state: PromiseState
    made_at: datetime


@dataclass(frozen=True, slots=True)
class CopilotEvent:
    """One thing that was suggested or done."""

    id: str
    conversation_id: str
    handoff_id: str
    suggestion_id: str
    kind: Kind
    at: datetime
    staff_id: str
    told: Mapping[str, Any]
    text: str
    erased: bool


async def note(
    trail: Trail,
    *,
    conversation_id: str,
    kind: Kind,
    text: str,
    told: Mapping[str, Any],
    handoff_id: str = "",
    suggestion_id: str = "",
    staff_id: str = "",
    promised: Sequence[Promised] = (),
    now: datetime | None = None,
) -> tuple[str, list[str]]:
    """Keep an event and, of a wrap-up, what was promised; the ids of the event and of its tasks.

    told: JSON-ready, without a word of what was said, since it stays. text: is masked here. A
    wrap-up takes the place of the tasks of an earlier one that are still open. Raises NotKept.
    """
    now = now or datetime.now(UTC)
    event_id = uuid.uuid4().hex
    tasks = [uuid.uuid4().hex for _ in promised]
    try:
        async with audit.transaction(trail) as connection:
            await audit.lock(connection)
            await connection.execute(
                insert(copilot_events).values(
                    id=event_id,
                    conversation_id=conversation_id,
                    handoff_id=handoff_id or None,
                    suggestion_id=suggestion_id,
                    kind=kind,
                    at=now,
                    staff_id=staff_id or None,
                    told=dict(told),
                    text=privacy.mask(text, _KEPT).text,
                    salt=audit.new_salt(),
                )
            )
            if kind == "wrap_up":
                await connection.execute(
                    delete(promises).where(
                        promises.c.conversation_id == conversation_id,
                        func.coalesce(promises.c.handoff_id, "") == handoff_id,
                        promises.c.state == "open",
                    )
                )
            for task_id, each in zip(tasks, promised, strict=True):
                await connection.execute(
                    insert(promises).values(
                        id=task_id,
                        conversation_id=conversation_id,
                        handoff_id=handoff_id or None,
                        event_id=event_id,
                        by=each.by,
                        kind=each.kind,
                        text=privacy.mask(each.text, _KEPT).text,
                        due_on=each.due_on,
                        amount_cny=each.amount_cny,
                        state="open",
                        staff_id=staff_id or None,
                        made_at=now,
                    )
                )
            entry = await audit.seal_copilot(connection, trail.keys, event_id)
            if kind == "wrap_up":
                body = {"action": "promised", "by": staff_id}
                entry = await audit.seal_held(
                    connection, trail.keys, "promise", conversation_id, body
                )
    except SQLAlchemyError as error:
        raise NotKept(type(error).__name__) from error
    await audit.note_head(trail, entry)
    return event_id, tasks


async def read_note(engine: AsyncEngine, event_id: str) -> CopilotEvent | None:
    async with engine.connect() as connection:
        query = select(copilot_events).where(copilot_events.c.id == event_id)
        row = (await connection.execute(query)).first()
    return None if row is None else _event(row)


async def suggestion(engine: AsyncEngine, suggestion_id: str) -> CopilotEvent | None:
    """What was suggested, by its id."""
    query = select(copilot_events).where(
        copilot_events.c.suggestion_id == suggestion_id, copilot_events.c.kind == "suggested"
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).first()
    return None if row is None else _event(row)


def _event(row: Row[Any]) -> CopilotEvent:
    return CopilotEvent(
        id=row.id,
        conversation_id=row.conversation_id,
        handoff_id=row.handoff_id or "",
        suggestion_id=row.suggestion_id,
        kind=row.kind,
        at=as_utc(row.at),
        staff_id=row.staff_id or "",
        told=row.told,
        text=row.text,
        erased=row.erased_seq is not None,
    )


async def tasks(
    trail: Trail, *, staff_id: str = "", state: str = "open", most: int = 200
) -> list[Task]:
    """What was promised, what is due first, first. staff_id: of those who wrapped it up; empty:
    everybody's. Those of a conversation of which the list is not as it was entered are left out."""
    query = select(promises).where(promises.c.state == state)
    if staff_id:
        query = query.where(promises.c.staff_id == staff_id)
    # What has no day comes last, whichever database sorts.
    order = (promises.c.due_on.is_(None), promises.c.due_on, promises.c.made_at, promises.c.id)
    async with trail.engine.connect() as connection:
        rows = (await connection.execute(query.order_by(*order).limit(most))).all()
        talks = sorted({row.conversation_id for row in rows})
        wrong = await audit.not_as_entered(connection, trail.keys, "promise", talks)
        if wrong:
            log.error("what was promised is not as the audit chain holds it", ids=sorted(wrong))
        return [
            Task(
                id=row.id,
                conversation_id=row.conversation_id,
                handoff_id=row.handoff_id or "",
                promised=Promised(row.by, row.kind, row.text, row.due_on, row.amount_cny),
                state=row.state,
                made_at=as_utc(row.made_at),
            )
            for row in rows
            if row.conversation_id not in wrong
        ]


async def close_task(
    trail: Trail, task_id: str, state: PromiseState, *, staff_id: str, everybodys: bool
) -> bool:
    """Whether a task was open, and one's own unless it may be everybody's, and is now done or
    dropped; that enters the chain."""
    now = datetime.now(UTC)
    where = [promises.c.id == task_id, promises.c.state == "open"]
    if not everybodys:
        where.append(or_(promises.c.staff_id == staff_id, promises.c.staff_id.is_(None)))
    async with audit.writing(trail) as (connection, seal):
        row = (
            await connection.execute(
                update(promises)
                .where(*where)
                .values(state=state, closed_at=now, closed_by=staff_id or None)
                .returning(promises.c.conversation_id, promises.c.handoff_id)
            )
        ).first()
        if row is None:
            return False
        event_id = uuid.uuid4().hex
        await connection.execute(
            insert(copilot_events).values(
                id=event_id,
                conversation_id=row.conversation_id,
                handoff_id=row.handoff_id,
                suggestion_id="",
                kind="task",
                at=now,
                staff_id=staff_id or None,
                # Without the id itself, which goes with the promise, nobody can try what the hash
                # of an erased list was of.
                told={"task": hashlib.sha256(task_id.encode()).hexdigest()[:32], "state": state},
                text="",
                salt=audit.new_salt(),
            )
        )
        await audit.seal_copilot(connection, trail.keys, event_id)
        await seal("promise", row.conversation_id, {"action": state, "by": staff_id})
    return True


# Whose record may be shown


async def remember_customer(trail: Trail, conversation_id: str, customer_id: str) -> None:
    """Keep, sealed, who proved to be the borrower of a conversation that is handed over, so that
    who takes it sees their record. Nothing where nobody did, or where it cannot be kept: the
    hand-over stands, and the agent asks who it is."""
    if not customer_id:
        return
    sealed = seal_customer(trail.keys, customer_id, conversation_id)
    try:
        async with audit.transaction(trail) as connection:
            await audit.lock(connection)
            await connection.execute(
                delete(handoff_customers).where(
                    handoff_customers.c.conversation_id == conversation_id
                )
            )
            await connection.execute(
                insert(handoff_customers).values(conversation_id=conversation_id, sealed=sealed)
            )
    except SQLAlchemyError as error:
        log.error("who was handed over is not kept", exc_info=error)


async def customer_of(engine: AsyncEngine, keys: Keys, conversation_id: str) -> tuple[str, str]:
    """(customer's id, subject) of a conversation; both empty where nobody proved who they are. The
    id is believed only where the conversation's own subject follows from it."""
    async with engine.connect() as connection:
        row = (
            await connection.execute(
                select(handoff_customers.c.sealed, conversations.c.subject)
                .join(conversations, conversations.c.id == handoff_customers.c.conversation_id)
                .where(handoff_customers.c.conversation_id == conversation_id)
            )
        ).first()
    if row is None or row.subject in (None, "", NOBODY):
        return "", ""
    customer_id = unseal_customer(keys, row.sealed, conversation_id)
    if not customer_id or subject_of(keys, customer_id) != row.subject:
        return "", ""
    return customer_id, row.subject


async def last_contacts(engine: AsyncEngine, subject: str, most: int) -> list[tuple[datetime, str]]:
    """When a borrower's conversations were handed over, the newest first, and for what class."""
    if not subject:
        return []
    query = (
        select(handoffs.c.asked_at, handoffs.c.classes)
        .join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .where(conversations.c.subject == subject)
        .order_by(handoffs.c.asked_at.desc())
        .limit(most)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return [(as_utc(row.asked_at), (row.classes or [""])[0]) for row in rows]
