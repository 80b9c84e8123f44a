"""The queue of borrowers who wait for a person: who waits, who has whom, and what both say.

Every step is one transaction: the row of the hand-over changes where it still is in a state from
which the step leads on, the event that tells of it is added, and both enter the audit chain. Of
two agents who take the same one, one changes the row and the other finds it changed. Events are
numbered in the order in which they are committed, so that whoever reads on from a number misses
none and sees none twice, whichever process wrote it.
"""

from __future__ import annotations

import uuid
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
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from . import audit, privacy
from .audit import Trail
from .db import as_utc, conversations, handoff_events, handoffs, staff
from .desk_plan import ASKED, CRISIS, DeskPlan
from .models import Locale

State = Literal["waiting", "taken", "ticket", "returned", "closed"]
"""`ticket`: nobody is at the desk; answered by the time that was promised. `returned`: the
assistant answers again. `closed`: so too, and the matter is done."""
UNDER_WAY: tuple[State, ...] = ("waiting", "taken", "ticket")

Kind = Literal[
    "asked",
    "raised",
    "ticket",
    "contact",
    "taken",
    "message",
    "held",
    "released",
    "refused",
    "requeued",
    "returned",
    "closed",
    "left",
]
"""`raised`: another reason was added. `held`: an agent's message that a rule stands against, and
that waits for a supervisor, who then releases or refuses it."""

Speaker = Literal["borrower", "agent", "assistant"]

MOST_MESSAGE_CHARS = 2000
MOST_CONTACT_CHARS = 100
MOST_REASON_CHARS = 200
MOST_READ = 500
"""Events that are read at once."""
SUPERVISORS = frozenset({"supervisor"})
WRITERS = SUPERVISORS | {"agent"}
"""Roles that may take a borrower and write to them."""
DELETED = "deleted"
"""Ending of a hand-over whose borrower deleted the conversation."""

log = structlog.get_logger()


class QueueUnavailable(Exception):
    """The queue cannot be read or written now, or the lender has none."""


@dataclass(frozen=True, slots=True)
class Declined:
    """A step that was not made; `code` names the notice that says why."""

    code: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """Who is at the desk."""

    staff_id: str
    login: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Handoff:
    """One hand-over as it stands."""

    id: str
    conversation_id: str
    locale: Locale
    classes: tuple[str, ...]
    """Of triage, the first taken first."""
    priority: int
    skill: str
    state: State
    asked_at: datetime
    taken_at: datetime | None
    taken_by: str
    taken_by_name: str
    promised_at: datetime | None
    ended_at: datetime | None
    ending: str


@dataclass(frozen=True, slots=True)
class HandoffEvent:
    """One thing that happened or was said."""

    seq: int
    id: str
    handoff_id: str
    conversation_id: str
    at: datetime
    kind: Kind
    speaker: Speaker
    staff_id: str
    name: str
    """Of the member of staff, as the borrower sees it."""
    state: State
    """Of the hand-over, after it."""
    told: Mapping[str, Any]
    text: str
    """Masked; empty once it was erased."""
    contact: str
    """How to reach the borrower, as they wrote it: for the desk alone."""
    erased: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """How a hand-over goes on: from which states, to which."""

    kind: Kind
    speaker: Speaker
    before: frozenset[State]
    after: State | None
    """None: it stays as it is."""


_STEPS: Mapping[str, _Step] = {
    "raise": _Step("raised", "borrower", frozenset(UNDER_WAY), None),
    "queue": _Step("asked", "borrower", frozenset({"ticket"}), "waiting"),
    "leave_word": _Step("contact", "borrower", frozenset(UNDER_WAY), None),
    "defer": _Step("ticket", "assistant", frozenset({"waiting"}), "ticket"),
    "take": _Step("taken", "agent", frozenset({"waiting", "ticket"}), "taken"),
    "requeue": _Step("requeued", "agent", frozenset({"taken"}), "waiting"),
    "lose": _Step("requeued", "assistant", frozenset({"taken"}), "waiting"),
    "give_back": _Step("returned", "agent", frozenset({"taken"}), "returned"),
    "close": _Step("closed", "agent", frozenset({"taken"}), "closed"),
    "leave": _Step("left", "borrower", frozenset(UNDER_WAY), "returned"),
    "write": _Step("message", "borrower", frozenset(UNDER_WAY), None),
    "reply": _Step("message", "agent", frozenset({"taken"}), None),
    "hold": _Step("held", "agent", frozenset({"taken"}), None),
    "release": _Step("released", "agent", frozenset({"taken"}), None),
    "refuse": _Step("refused", "agent", frozenset({"taken"}), None),
}


# Asking for a person


async def ask(
    trail: Trail,
    plan: DeskPlan,
    *,
    conversation_id: str,
    subject: str,
    locale: Locale,
    classes: Sequence[str] = (),
    now: datetime | None = None,
) -> Handoff | Declined:
    """Queue the borrower of a conversation, or leave a ticket where nobody is at the desk or too
    many wait; one who is queued already stays where they are, or comes further to the front with
    what they say now.

    conversation_id: empty begins a conversation. subject: as in `models.Question`. Raises
    QueueUnavailable.
    """
    now = now or datetime.now(UTC)
    with reachable():
        for _ in range(2):
            known = await _own_conversation(trail.engine, conversation_id, subject)
            if known is None:
                return Declined("unknown_conversation")
            current = await under_way(trail.engine, conversation_id) if conversation_id else None
            if current is not None:
                return await _ask_again(trail, plan, current, classes, now)
            try:
                return await _begin(
                    trail,
                    plan,
                    conversation_id=conversation_id,
                    subject=subject,
                    locale=locale,
                    classes=classes or (ASKED,),
                    now=now,
                )
            except IntegrityError:
                continue  # another tab asked at the same moment
    raise QueueUnavailable("a hand-over is under way that cannot be seen")


async def _begin(
    trail: Trail,
    plan: DeskPlan,
    *,
    conversation_id: str,
    subject: str,
    locale: Locale,
    classes: Sequence[str],
    now: datetime,
) -> Handoff | Declined:
    first = plan.first(classes)
    made = uuid.uuid4().hex
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        # Read again: it may have been deleted since.
        if conversation_id and not await _is_theirs(connection, conversation_id, subject):
            return Declined("unknown_conversation")
        if not conversation_id:
            conversation_id = uuid.uuid4().hex
            await connection.execute(
                insert(conversations).values(
                    id=conversation_id,
                    created_at=now,
                    channel="chat",
                    locale=locale,
                    subject=subject or None,
                )
            )
        state, promised = await _place(connection, plan, classes, now)
        await connection.execute(
            insert(handoffs).values(
                id=made,
                conversation_id=conversation_id,
                locale=locale,
                classes=_in_order(plan, classes),
                priority=first.priority,
                skill=first.skill,
                state=state,
                asked_at=now,
                promised_at=promised,
            )
        )
        entry = await _note(
            connection,
            trail,
            handoff_id=made,
            conversation_id=conversation_id,
            kind="ticket" if state == "ticket" else "asked",
            speaker="borrower",
            state=state,
            told={
                "classes": _in_order(plan, classes),
                "priority": first.priority,
                "skill": first.skill,
                **_promised(promised),
            },
            now=now,
        )
    await audit.note_head(trail, entry)
    log.info("hand-over asked for", handoff=made, state=state, classes=list(classes))
    return await _known(trail.engine, made)


async def _place(
    connection: AsyncConnection, plan: DeskPlan, classes: Collection[str], now: datetime
) -> tuple[State, datetime | None]:
    """Where somebody new comes to: into the queue, or onto the pile for later."""
    if plan.hours.is_open(now) and await _has_room(connection, plan, classes):
        return "waiting", None
    return "ticket", plan.promise_at(now)


async def _has_room(connection: AsyncConnection, plan: DeskPlan, classes: Collection[str]) -> bool:
    """Whether one more may wait. Whose life may be in danger is never put off for the others."""
    waiting = select(func.count()).select_from(handoffs).where(handoffs.c.state == "waiting")
    return CRISIS in classes or (await connection.scalar(waiting) or 0) < plan.most_waiting


async def _ask_again(
    trail: Trail, plan: DeskPlan, current: Handoff, classes: Sequence[str], now: datetime
) -> Handoff | Declined:
    """What somebody says who is queued already, or has a ticket while the desk is open again."""
    # Who merely asked for a person, and now says why, waits for that.
    every = _in_order(plan, [c for c in (*current.classes, *classes) if c != ASKED])
    if added := [each for each in every if each not in current.classes]:
        first = plan.first(every)
        values: dict[str, Any] = {"classes": every, "skill": first.skill}
        if first.priority < current.priority:
            values["priority"] = first.priority
        raised = await _make(
            trail, current.id, "raise", values=values, told={**values, "added": added}, now=now
        )
        current = raised if isinstance(raised, Handoff) else current
    if current.state == "ticket" and plan.hours.is_open(now):

        async def full(connection: AsyncConnection, ticket: Handoff) -> Declined | None:
            room = await _has_room(connection, plan, ticket.classes)
            return None if room else Declined("handoff_over")

        queued = await _make(
            trail,
            current.id,
            "queue",
            values={"asked_at": now, "promised_at": None},
            told={"classes": list(current.classes), "priority": current.priority},
            now=now,
            unless=full,
        )
        return queued if isinstance(queued, Handoff) else await _known(trail.engine, current.id)
    return current


def _in_order(plan: DeskPlan, classes: Collection[str]) -> list[str]:
    known = dict.fromkeys(each for each in classes if each in plan.reasons)
    return sorted(known or {ASKED: None}, key=lambda each: plan.reasons[each].priority)


def _promised(at: datetime | None) -> dict[str, str]:
    return {"promised_at": at.isoformat(timespec="seconds")} if at else {}


async def close_for_today(trail: Trail, plan: DeskPlan, now: datetime | None = None) -> int:
    """Give a ticket to everybody who still waits when nobody is at the desk any more; returns to
    how many. Raises QueueUnavailable."""
    now = now or datetime.now(UTC)
    if plan.hours.is_open(now):
        return 0
    promised = plan.promise_at(now)
    deferred = 0
    with reachable():
        async with trail.engine.connect() as connection:
            waiting = await connection.execute(
                select(handoffs.c.id).where(handoffs.c.state == "waiting")
            )
            ids = list(waiting.scalars())
        for handoff_id in ids:
            made = await _make(
                trail,
                handoff_id,
                "defer",
                values={"promised_at": promised},
                told=_promised(promised),
                now=now,
            )
            deferred += isinstance(made, Handoff)
    return deferred


async def leave_contact(
    trail: Trail, handoff_id: str, contact: str, now: datetime | None = None
) -> Handoff | Declined:
    """Keep how the borrower can be reached, for whoever takes them. Raises QueueUnavailable."""
    with reachable():
        return await _make(trail, handoff_id, "leave_word", contact=contact, now=now)


async def leave(trail: Trail, handoff_id: str) -> Handoff | Declined:
    """The borrower no longer wants a person. Raises QueueUnavailable."""
    with reachable():
        return await _make(trail, handoff_id, "leave", values=_ended("left"))


async def write(
    trail: Trail, handoff_id: str, text: str, event_id: str = "", classes: Sequence[str] = ()
) -> HandoffEvent | Declined:
    """A message of the borrower. event_id: names it, so that one sent twice is kept once. classes:
    of triage, for the desk to see. Raises QueueUnavailable."""
    told = {"classes": list(classes)} if classes else {}
    with reachable():
        return await _say(trail, handoff_id, "write", text, told=told, event_id=event_id)


# At the desk


async def take(trail: Trail, plan: DeskPlan, handoff_id: str, by: Member) -> Handoff | Declined:
    """Have the one who waits; only one can. Raises QueueUnavailable."""

    async def unskilled(_: AsyncConnection, wanted: Handoff) -> Declined | None:
        skilled = may_take(plan, wanted, by)
        return None if skilled else Declined("handoff_skill", {"skill": wanted.skill})

    with reachable():
        return await _make(
            trail,
            handoff_id,
            "take",
            by=by,
            values={"taken_by": by.staff_id, "taken_at": datetime.now(UTC)},
            unless=unskilled,
        )


def may_take(plan: DeskPlan, wanted: Handoff, by: Member) -> bool:
    """Supervisors see to what nobody else has the skill for."""
    skill = plan.skills.get(wanted.skill)
    return bool(by.roles & SUPERVISORS) or skill is None or skill.held_by(by.login, by.roles)


def is_anyone_free(
    plan: DeskPlan, one: Handoff, under_way: Iterable[Handoff], present: Iterable[Member]
) -> bool:
    """Whether somebody who may take this one has nobody now. present: who is signed in."""
    with_somebody = {each.taken_by for each in under_way if each.state == "taken"}
    return any(
        each.staff_id not in with_somebody and each.roles & WRITERS and may_take(plan, one, each)
        for each in present
    )


async def reply(
    trail: Trail,
    handoff_id: str,
    by: Member,
    text: str,
    *,
    told: Mapping[str, Any],
    event_id: str = "",
) -> HandoffEvent | Declined:
    """A message of the agent, that the rules were asked about. told: what they found. Raises
    QueueUnavailable."""
    with reachable():
        return await _say(trail, handoff_id, "reply", text, by=by, told=told, event_id=event_id)


async def hold(
    trail: Trail,
    handoff_id: str,
    by: Member,
    text: str,
    *,
    told: Mapping[str, Any],
    event_id: str = "",
) -> HandoffEvent | Declined:
    """A message that a rule stands against, kept until a supervisor has seen it. Raises
    QueueUnavailable."""
    with reachable():
        return await _say(trail, handoff_id, "hold", text, by=by, told=told, event_id=event_id)


async def judge(
    trail: Trail, held_id: str, by: Member, *, release: bool, reason: str
) -> HandoffEvent | Declined:
    """Send a message that was held, in the name of who wrote it, or refuse it; once. Returns the
    message, or the refusal. Raises QueueUnavailable."""
    with reachable():
        return await _judge(trail, held_id, by, release=release, reason=reason)


async def give_back(trail: Trail, handoff_id: str, by: Member) -> Handoff | Declined:
    """The assistant answers again. Raises QueueUnavailable."""
    with reachable():
        return await _make(trail, handoff_id, "give_back", by=by, values=_ended("returned"))


async def close(trail: Trail, handoff_id: str, by: Member, ending: str) -> Handoff | Declined:
    """The matter is done. ending: one of the plan's. Raises QueueUnavailable."""
    with reachable():
        return await _make(
            trail, handoff_id, "close", by=by, values=_ended(ending), told={"ending": ending}
        )


async def requeue(trail: Trail, handoff_id: str, by: Member) -> Handoff | Declined:
    """Back into the queue, at the place of the time when the borrower asked. Raises
    QueueUnavailable."""
    with reachable():
        return await _make(
            trail, handoff_id, "requeue", by=by, values={"taken_by": None, "taken_at": None}
        )


async def lose(trail: Trail, taken: Handoff) -> Handoff | Declined:
    """Back into the queue, at the place of before, whose agent is no longer signed in. Raises
    QueueUnavailable."""
    with reachable():
        return await _make(
            trail,
            taken.id,
            "lose",
            by=Member(taken.taken_by, "", frozenset()),
            values={"taken_by": None, "taken_at": None},
            told={"why": "signed_out"},
        )


async def end_deleted(
    connection: AsyncConnection, trail: Trail, conversation_id: str
) -> audit.Entry | None:
    """End what is under way in a conversation that its borrower deletes, in the transaction of the
    caller, who has the lock of the chain: nobody writes in it any more. Returns the last entry."""
    found = await connection.execute(
        select(handoffs.c.id).where(
            handoffs.c.conversation_id == conversation_id, handoffs.c.state.in_(UNDER_WAY)
        )
    )
    entry: audit.Entry | None = None
    for handoff_id in found.scalars().all():
        made = await _enter(connection, trail, handoff_id, "leave", values=_ended(DELETED))
        entry = entry if isinstance(made, Declined) else made
    return entry


def _ended(ending: str) -> dict[str, Any]:
    return {"ended_at": datetime.now(UTC), "ending": ending}


# Steps


Check = Callable[[AsyncConnection, Handoff], Awaitable[Declined | None]]
"""Why a step is not made, of the hand-over as it stands under the lock."""


async def _make(
    trail: Trail,
    handoff_id: str,
    name: str,
    *,
    by: Member | None = None,
    values: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    contact: str = "",
    now: datetime | None = None,
    unless: Check | None = None,
) -> Handoff | Declined:
    """One step; the hand-over after it, or why there was none."""
    made = await _step(
        trail,
        handoff_id,
        name,
        by=by,
        values=values,
        told=told,
        contact=contact,
        now=now,
        unless=unless,
    )
    if isinstance(made, Declined):
        return made
    now_stands = await _known(trail.engine, handoff_id)
    log.info("hand-over", handoff=handoff_id, step=name, state=now_stands.state)
    return now_stands


async def _say(
    trail: Trail,
    handoff_id: str,
    name: str,
    text: str,
    *,
    by: Member | None = None,
    told: Mapping[str, Any] | None = None,
    event_id: str = "",
) -> HandoffEvent | Declined:
    """A step that is a message; the event, or why there was none."""
    made = await _step(trail, handoff_id, name, by=by, told=told, text=text, event_id=event_id)
    return made if isinstance(made, Declined) else await _known_event(trail.engine, made)


async def _step(
    trail: Trail,
    handoff_id: str,
    name: str,
    *,
    by: Member | None = None,
    values: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    text: str = "",
    contact: str = "",
    event_id: str = "",
    now: datetime | None = None,
    unless: Check | None = None,
) -> str | Declined:
    """One step in a transaction of its own; the id of its event. event_id: one that was there
    before stands for itself."""
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        if event_id and (sent := await _sent_before(connection, event_id, handoff_id, by)):
            return sent
        if unless is not None and (why := await _refused(connection, handoff_id, unless)):
            return why
        event_id = event_id or uuid.uuid4().hex
        entry = await _enter(
            connection,
            trail,
            handoff_id,
            name,
            by=by,
            values=values,
            told=told,
            text=text,
            contact=contact,
            event_id=event_id,
            now=now,
        )
        if isinstance(entry, Declined):
            return entry
    await audit.note_head(trail, entry)
    return event_id


async def _enter(
    connection: AsyncConnection,
    trail: Trail,
    handoff_id: str,
    name: str,
    *,
    by: Member | None = None,
    values: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    text: str = "",
    contact: str = "",
    event_id: str = "",
    now: datetime | None = None,
) -> audit.Entry | Declined:
    """One step with its event, in the transaction of the caller, who has the lock of the chain."""
    made = await _change(connection, handoff_id, name, by, values or {})
    if isinstance(made, Declined):
        return made
    step = _STEPS[name]
    return await _note(
        connection,
        trail,
        handoff_id=handoff_id,
        conversation_id=made.conversation_id,
        kind=step.kind,
        speaker=step.speaker,
        state=made.state,
        staff_id=by.staff_id if by else "",
        told=told or {},
        text=text,
        contact=contact,
        event_id=event_id,
        now=now,
    )


async def _refused(connection: AsyncConnection, handoff_id: str, unless: Check) -> Declined | None:
    row = (await connection.execute(_handoffs().where(handoffs.c.id == handoff_id))).one_or_none()
    return None if row is None else await unless(connection, _handoff(row))


async def _judge(
    trail: Trail, held_id: str, by: Member, *, release: bool, reason: str
) -> HandoffEvent | Declined:
    name = "release" if release else "refuse"
    last_id = uuid.uuid4().hex
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        # Under the lock: what was erased a moment ago is not written down again.
        held = await _read_event(connection, held_id)
        if held is None or held.kind != "held":
            return Declined("handoff_unknown")
        if held.erased:
            return Declined("handoff_over")
        made = await _change(connection, held.handoff_id, name, None, {})
        if isinstance(made, Declined):
            return made
        if made.taken_by != held.staff_id:
            return Declined("handoff_over")
        judged = await connection.execute(
            select(handoff_events.c.told).where(
                handoff_events.c.handoff_id == held.handoff_id,
                handoff_events.c.kind.in_(("released", "refused")),
            )
        )
        if any(each["held"] == held.id for each in judged.scalars()):
            return Declined("handoff_judged")
        common: dict[str, Any] = {
            "handoff_id": held.handoff_id,
            "conversation_id": held.conversation_id,
            "speaker": "agent",
            "state": made.state,
        }
        findings = {"findings": held.told.get("findings", [])}
        entry = await _note(
            connection,
            trail,
            **common,
            kind=_STEPS[name].kind,
            staff_id=by.staff_id,
            told={"held": held.id},
            text=reason,
            event_id="" if release else last_id,
        )
        if release:
            entry = await _note(
                connection,
                trail,
                **common,
                kind="message",
                staff_id=held.staff_id,
                told={**findings, "held": held.id, "override_by": by.staff_id},
                text=held.text,
                event_id=last_id,
            )
    await audit.note_head(trail, entry)
    return await _known_event(trail.engine, last_id)


async def _change(
    connection: AsyncConnection,
    handoff_id: str,
    name: str,
    by: Member | None,
    values: Mapping[str, Any],
) -> Row[Any] | Declined:
    """The row after a step, if it still was where the step leads on from. Only who has a hand-over
    goes on with it, but a supervisor may take it from them."""
    step = _STEPS[name]
    where = [handoffs.c.id == handoff_id, handoffs.c.state.in_(step.before)]
    own = by is not None and name != "take"
    if own and by is not None and not (by.roles & SUPERVISORS and name in _FOR_SUPERVISORS):
        where.append(handoffs.c.taken_by == by.staff_id)
    changed = await connection.execute(
        update(handoffs)
        .where(*where)
        # A step that changes nothing makes sure of the state all the same.
        .values({**values, "state": step.after or handoffs.c.state})
    )
    row = (
        await connection.execute(
            select(handoffs, staff.c.name.label("taken_by_name"))
            .select_from(handoffs.outerjoin(staff, staff.c.id == handoffs.c.taken_by))
            .where(handoffs.c.id == handoff_id)
        )
    ).one_or_none()
    if row is None:
        return Declined("handoff_unknown")
    if changed.rowcount == 1:
        return row
    if row.state == "taken" and name == "take":
        mine = by is not None and row.taken_by == by.staff_id
        name_of = row.taken_by_name or ""
        return Declined("handoff_yours" if mine else "handoff_taken", {"name": name_of})
    if row.state == "taken" and own:
        return Declined("handoff_not_yours", {"name": row.taken_by_name or ""})
    return Declined("handoff_over")


_FOR_SUPERVISORS = frozenset({"requeue", "give_back", "close"})


async def _note(
    connection: AsyncConnection,
    trail: Trail,
    *,
    handoff_id: str,
    conversation_id: str,
    kind: Kind,
    speaker: Speaker,
    state: str,
    told: Mapping[str, Any],
    staff_id: str = "",
    text: str = "",
    contact: str = "",
    event_id: str = "",
    now: datetime | None = None,
) -> audit.Entry:
    """Add an event, and enter it in the chain, whose lock the caller has."""
    last = await connection.scalar(select(func.max(handoff_events.c.seq)))
    event_id = event_id or uuid.uuid4().hex
    await connection.execute(
        insert(handoff_events).values(
            seq=(last or 0) + 1,
            id=event_id,
            handoff_id=handoff_id,
            conversation_id=conversation_id,
            at=now or datetime.now(UTC),
            kind=kind,
            speaker=speaker,
            staff_id=staff_id or None,
            state=state,
            told=dict(told),
            text=privacy.mask(text, _MASKED[speaker]).text,
            contact=contact,
            salt=audit.new_salt(),
        )
    )
    return await audit.seal_event(connection, trail.keys, event_id)


_MASKED: Mapping[str, frozenset[privacy.SpanType]] = {
    "borrower": privacy.EVERY,
    "assistant": privacy.EVERY,
    # The lender's own names, places and addresses are what an agent is asked for.
    "agent": privacy.NUMBERS - {"email"} | privacy.SECRETS,
}


async def _sent_before(
    connection: AsyncConnection, event_id: str, handoff_id: str, by: Member | None
) -> str | Declined | None:
    """The id of a message, if it was sent before; another's is nobody's to use again."""
    sent = await _read_event(connection, event_id)
    if sent is None:
        return None
    same = sent.handoff_id == handoff_id and sent.staff_id == (by.staff_id if by else "")
    return event_id if same else Declined("handoff_unknown")


# Reading


async def read_handoff(engine: AsyncEngine, handoff_id: str) -> Handoff | None:
    async with _reading(engine) as connection:
        row = (
            await connection.execute(_handoffs().where(handoffs.c.id == handoff_id))
        ).one_or_none()
    return None if row is None else _handoff(row)


async def under_way(engine: AsyncEngine, conversation_id: str) -> Handoff | None:
    """The hand-over of a conversation that has not ended."""
    async with _reading(engine) as connection:
        row = (
            await connection.execute(
                _handoffs().where(
                    handoffs.c.conversation_id == conversation_id, handoffs.c.state.in_(UNDER_WAY)
                )
            )
        ).one_or_none()
    return None if row is None else _handoff(row)


async def latest(engine: AsyncEngine, conversation_id: str) -> Handoff | None:
    """The last hand-over of a conversation, under way or ended."""
    async with _reading(engine) as connection:
        row = (
            await connection.execute(
                _handoffs()
                .where(handoffs.c.conversation_id == conversation_id)
                .order_by(handoffs.c.asked_at.desc())
                .limit(1)
            )
        ).one_or_none()
    return None if row is None else _handoff(row)


async def reasons_of(engine: AsyncEngine, subject: str, since: datetime) -> frozenset[str]:
    """Why a customer's conversations were handed over since an instant, whatever came of it."""
    async with _reading(engine) as connection:
        rows = await connection.scalars(
            select(handoffs.c.classes)
            .join(conversations, conversations.c.id == handoffs.c.conversation_id)
            .where(conversations.c.subject == subject, handoffs.c.asked_at >= since)
        )
        return frozenset(name for classes in rows for name in classes)


async def subjects_of(engine: AsyncEngine, reason: str, since: datetime) -> frozenset[str]:
    """All customers whose conversations were handed over for a reason since an instant."""
    async with _reading(engine) as connection:
        rows = await connection.execute(
            select(conversations.c.subject, handoffs.c.classes)
            .join(handoffs, conversations.c.id == handoffs.c.conversation_id)
            .where(handoffs.c.asked_at >= since)
        )
        return frozenset(row.subject for row in rows if row.subject and reason in row.classes)


async def is_with_agent(engine: AsyncEngine, conversation_id: str, subject: str) -> bool:
    """Whether an agent has a borrower's own conversation, so that the assistant keeps silent."""
    async with _reading(engine) as connection:
        found = await connection.scalar(
            select(handoffs.c.id)
            .join(conversations, conversations.c.id == handoffs.c.conversation_id)
            .where(
                handoffs.c.conversation_id == conversation_id,
                handoffs.c.state == "taken",
                audit.belongs_to(subject),
            )
        )
    return found is not None


async def owns(engine: AsyncEngine, conversation_id: str, subject: str) -> bool:
    """Whether a conversation is this borrower's, or is nobody's as they are."""
    return await _own_conversation(engine, conversation_id, subject) == conversation_id


async def is_somebodys(engine: AsyncEngine, conversation_id: str) -> bool:
    """Whether who began a conversation proved who they are."""
    async with _reading(engine) as connection:
        subject = await connection.scalar(
            select(conversations.c.subject).where(conversations.c.id == conversation_id)
        )
    return subject not in (None, audit.NOBODY)


async def _own_conversation(engine: AsyncEngine, conversation_id: str, subject: str) -> str | None:
    if not conversation_id:
        return ""
    async with _reading(engine) as connection:
        return conversation_id if await _is_theirs(connection, conversation_id, subject) else None


async def _is_theirs(connection: AsyncConnection, conversation_id: str, subject: str) -> bool:
    found = await connection.scalar(
        select(conversations.c.id).where(
            conversations.c.id == conversation_id,
            audit.belongs_to(subject),
        )
    )
    return found is not None


async def queue(engine: AsyncEngine) -> list[Handoff]:
    """All that are under way: who waits, the first taken first, then tickets, then who is taken."""
    async with _reading(engine) as connection:
        rows = await connection.execute(
            _handoffs()
            .where(handoffs.c.state.in_(UNDER_WAY))
            .order_by(handoffs.c.priority, handoffs.c.asked_at, handoffs.c.id)
        )
        found = [_handoff(row) for row in rows]
    order = ("waiting", "ticket", "taken")
    return sorted(found, key=lambda each: order.index(each.state))


async def held(engine: AsyncEngine) -> list[HandoffEvent]:
    """Messages that wait for a supervisor, the oldest first."""
    kinds = ("held", "released", "refused")
    async with _reading(engine) as connection:
        rows = await connection.execute(
            _events()
            .join(handoffs, handoffs.c.id == handoff_events.c.handoff_id)
            .where(handoffs.c.state == "taken", handoff_events.c.kind.in_(kinds))
            .order_by(handoff_events.c.seq)
        )
        events = [_event(row) for row in rows]
    judged = {event.told["held"] for event in events if event.kind != "held"}
    return [event for event in events if event.kind == "held" and event.id not in judged]


def ahead_of(plan: DeskPlan, waiting: Sequence[Handoff], one: Handoff) -> int:
    """How many are taken before one, of those whom the same people can take. waiting: in order."""
    place = next((at for at, each in enumerate(waiting) if each.id == one.id), len(waiting))
    return sum(plan.compete(each.skill, one.skill) for each in waiting[:place])


async def read_events(
    engine: AsyncEngine, *, after: int = 0, conversation_id: str = "", limit: int = MOST_READ
) -> list[HandoffEvent]:
    """The oldest events after a number, in order, of one conversation or of all."""
    query = _events().where(handoff_events.c.seq > after)
    if conversation_id:
        query = query.where(handoff_events.c.conversation_id == conversation_id)
    async with _reading(engine) as connection:
        rows = await connection.execute(query.order_by(handoff_events.c.seq).limit(limit))
        return [_event(row) for row in rows]


async def newest_events(
    engine: AsyncEngine, conversation_id: str, *, before: int = 0, limit: int = MOST_READ
) -> list[HandoffEvent]:
    """The newest events of a conversation, in order. before: number from which on they are left
    out; 0: none is."""
    query = _events().where(handoff_events.c.conversation_id == conversation_id)
    if before:
        query = query.where(handoff_events.c.seq < before)
    async with _reading(engine) as connection:
        rows = await connection.execute(query.order_by(handoff_events.c.seq.desc()).limit(limit))
        return [_event(row) for row in rows][::-1]


async def last_said(engine: AsyncEngine, conversation_id: str) -> str:
    """The borrower's last message to the desk; empty where there is none, or it was erased."""
    query = _events().where(
        handoff_events.c.conversation_id == conversation_id,
        handoff_events.c.kind == "message",
        handoff_events.c.speaker == "borrower",
    )
    async with _reading(engine) as connection:
        row = (
            await connection.execute(query.order_by(handoff_events.c.seq.desc()).limit(1))
        ).first()
    return "" if row is None else str(row.text)


async def last_contact(engine: AsyncEngine, handoff_id: str) -> str:
    """How the borrower wants to be reached, as they said it last; empty where they did not."""
    query = _events().where(
        handoff_events.c.handoff_id == handoff_id, handoff_events.c.kind == "contact"
    )
    async with _reading(engine) as connection:
        row = (
            await connection.execute(query.order_by(handoff_events.c.seq.desc()).limit(1))
        ).first()
    return "" if row is None else str(row.contact)


async def taken_by(engine: AsyncEngine, staff_id: str) -> frozenset[str]:
    """Ids of the hand-overs that one has now."""
    async with _reading(engine) as connection:
        rows = await connection.execute(
            select(handoffs.c.id).where(
                handoffs.c.state == "taken", handoffs.c.taken_by == staff_id
            )
        )
        return frozenset(rows.scalars())


async def read_event(engine: AsyncEngine, event_id: str) -> HandoffEvent | None:
    async with _reading(engine) as connection:
        return await _read_event(connection, event_id)


async def _read_event(connection: AsyncConnection, event_id: str) -> HandoffEvent | None:
    row = (await connection.execute(_events().where(handoff_events.c.id == event_id))).one_or_none()
    return None if row is None else _event(row)


async def last_seq(engine: AsyncEngine) -> int:
    """Number of the newest event; 0 where there is none."""
    async with _reading(engine) as connection:
        return await connection.scalar(select(func.max(handoff_events.c.seq))) or 0


async def _known(engine: AsyncEngine, handoff_id: str) -> Handoff:
    found = await read_handoff(engine, handoff_id)
    if found is None:
        raise QueueUnavailable(f"hand-over {handoff_id} was written and is gone")
    return found


async def _known_event(engine: AsyncEngine, event_id: str) -> HandoffEvent:
    found = await read_event(engine, event_id)
    if found is None:
        raise QueueUnavailable(f"event {event_id} was written and is gone")
    return found


def _handoffs() -> Any:
    return select(handoffs, staff.c.name.label("taken_by_name")).select_from(
        handoffs.outerjoin(staff, staff.c.id == handoffs.c.taken_by)
    )


def _handoff(row: Row[Any]) -> Handoff:
    return Handoff(
        id=row.id,
        conversation_id=row.conversation_id,
        locale=row.locale,
        classes=tuple(row.classes),
        priority=row.priority,
        skill=row.skill,
        state=row.state,
        asked_at=as_utc(row.asked_at),
        taken_at=row.taken_at and as_utc(row.taken_at),
        taken_by=row.taken_by or "",
        taken_by_name=row.taken_by_name or "",
        promised_at=row.promised_at and as_utc(row.promised_at),
        ended_at=row.ended_at and as_utc(row.ended_at),
        ending=row.ending or "",
    )


def _events() -> Any:
    return select(handoff_events, staff.c.name.label("name")).select_from(
        handoff_events.outerjoin(staff, staff.c.id == handoff_events.c.staff_id)
    )


def _event(row: Row[Any]) -> HandoffEvent:
    return HandoffEvent(
        seq=row.seq,
        id=row.id,
        handoff_id=row.handoff_id,
        conversation_id=row.conversation_id,
        at=as_utc(row.at),
        kind=row.kind,
        speaker=row.speaker,
        staff_id=row.staff_id or "",
        name=row.name or "",
        state=row.state,
        told=row.told,
        text=row.text,
        contact=row.contact,
        erased=row.erased_seq is not None,
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Whatever the database has against it, or the way to it, the borrower is given another way."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        log.error("the queue cannot be used", exc_info=error)
        raise QueueUnavailable(type(error).__name__) from error


@asynccontextmanager
async def _reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    with reachable():
        async with engine.connect() as connection:
            yield connection
