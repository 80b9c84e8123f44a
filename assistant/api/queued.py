"""How a hand-over stands, in words for the borrower; messages of a chat that go to the desk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.responses import JSONResponse

from assistant import handoff, privacy
from assistant.answer import clean, triaged
from assistant.copilot_store import remember_customer
from assistant.deps import Deps
from assistant.desk_plan import CRISIS, ZONE, DeskPlan
from assistant.handoff import Declined, Handoff, HandoffEvent, QueueUnavailable
from assistant.models import Event, Locale, Question
from prompts.render import notice

from .problems import problem

if TYPE_CHECKING:
    from .live import Bell, Standing

log = structlog.get_logger()

STATUS = {
    "unknown_conversation": 404,
    "handoff_unknown": 404,
    "handoff_skill": 403,
    "override_role": 403,
}
"""What a step that was declined is answered with; 409 for the others."""


def plan_of(deps: Deps) -> DeskPlan:
    """Raises QueueUnavailable."""
    if deps.desk is None:
        raise QueueUnavailable("the lender has no desk")
    return deps.desk


@dataclass(frozen=True, slots=True)
class Written:
    """A message that went to the desk."""

    event: HandoffEvent
    notices: tuple[str, ...]
    """Codes of what its sender has to know."""


async def write_to_desk(
    bell: Bell,
    conversation_id: str,
    whose: str,
    text: str,
    locale: Locale,
    message_id: str = "",
) -> Written | Declined:
    """Keep a message to a person, who is told what triage tells of it, as the assistant would be;
    a secret in it reaches nobody. Where nobody is asked for any more and the message needs a
    person, one is asked for anew.

    Raises BadQuestion for a text that cannot be taken, QueueUnavailable.
    """
    deps, cleaned = bell.deps, clean(text)
    plan = plan_of(deps)
    if not await handoff.owns(deps.engine, conversation_id, whose):
        return Declined("unknown_conversation")
    told = await triaged(cleaned, deps)
    classes = plan.queued(each.id for each in told.classes) if told else []

    async def ask() -> Handoff | Declined:
        return await handoff.ask(
            deps.trail,
            plan,
            conversation_id=conversation_id,
            subject=whose,
            locale=locale,
            classes=classes,
        )

    async def write(to: Handoff | Declined | None) -> HandoffEvent | Declined:
        if isinstance(to, Declined):
            return to
        if to is None:
            return Declined("handoff_over")
        return await handoff.write(deps.trail, to.id, cleaned, message_id, classes=classes)

    stands = await handoff.under_way(deps.engine, conversation_id)
    event = await write(stands)
    if event == Declined("handoff_over") and classes:
        event = await write(await ask())
    elif isinstance(event, HandoffEvent) and stands and set(classes) - set(stands.classes):
        await ask()
    if isinstance(event, Declined):
        return event
    bell.ring()
    scrubbed = ["message_scrubbed"] if holds_secret(cleaned) else []
    in_danger = [told.first.notice] if told and told.first.id == CRISIS else []
    return Written(event, (*in_danger, *scrubbed))


async def queued(
    events: AsyncGenerator[Event, None], question: Question, bell: Bell
) -> AsyncGenerator[Event, None]:
    """The events of an answer; where triage says that a person has to see the message, the
    borrower is queued before anything is said of it, and told so."""
    async with aclosing(events):
        async for event in events:
            if event.triaged is not None:
                # Who closes the page at this very moment is queued all the same.
                asked = asyncio.ensure_future(
                    _queue_or_not(
                        bell, event.triaged.conversation_id, question, event.triaged.classes
                    )
                )
                told = await asyncio.shield(asked)
                if told is not None:
                    yield Event("handoff", {"text": told["text"], "handoff": told})
            yield event


async def _queue_or_not(
    bell: Bell, conversation_id: str, question: Question, told: Sequence[str]
) -> dict[str, Any] | None:
    """How the borrower stands; None where nobody was queued, or it is not known: the hotline is
    told, and no more is said."""
    deps = bell.deps
    classes = deps.desk.queued(told) if deps.desk else []
    if not classes or deps.desk is None:
        return None
    try:
        made = await handoff.ask(
            deps.trail,
            deps.desk,
            conversation_id=conversation_id,
            subject=question.subject,
            locale=question.locale,
            classes=classes,
        )
        if isinstance(made, Declined):
            log.error("nobody was queued", conversation=conversation_id, code=made.code)
            return None
        await remember_customer(deps.trail, made.conversation_id, question.customer_id)
        bell.ring()
        return await queued_as_json(bell, made, question.locale)
    except QueueUnavailable:
        return None


async def queued_as_json(
    bell: Bell, stands: Handoff, locale: Locale, desk: Standing | None = None
) -> dict[str, Any]:
    """A hand-over as the borrower sees it. Only who was accepted is told that somebody is there,
    and only where somebody is free that they are next.

    desk: as it is; read where it is not given. Raises QueueUnavailable.
    """
    plan = plan_of(bell.deps)
    ahead: int | None = None
    promised = stands.promised_at if stands.state == "ticket" else None
    agent = stands.taken_by_name if stands.state == "taken" else ""
    match stands.state:
        case "waiting":
            desk = desk or await bell.read()
            ahead = handoff.ahead_of(plan, desk.waiting, stands)
            free = handoff.is_anyone_free(plan, stands, desk.under_way, desk.present)
            busy = "queue_busy_crisis" if CRISIS in stands.classes else "queue_busy"
            code = busy if not free else "queue_waiting" if ahead else "queue_next"
        case "ticket":
            # Who has one while the desk is open could not be taken in, or has not been yet.
            late = "_busy" if plan.hours.is_open(datetime.now(UTC)) else ""
            code = f"queue_ticket{late}" if promised else f"queue_ticket{late}_open"
        case "taken":
            code = "queue_taken"
        case "returned" | "closed":
            left = stands.ending in ("left", handoff.DELETED)
            code = "queue_left" if left else f"queue_{stands.state}"
    local = promised.astimezone(ZONE).strftime("%Y-%m-%d %H:%M") if promised else ""
    text = notice(code, locale, ahead=str(ahead), time=local, name=stands.taken_by_name)
    return {
        "id": stands.id,
        "conversation_id": stands.conversation_id,
        "state": stands.state,
        "text": text,
        "ahead": ahead,
        "promised_at": promised.isoformat() if promised else None,
        "agent": agent,
    }


def said_as_json(event: HandoffEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "id": event.id,
        "at": event.at.isoformat(),
        "speaker": event.speaker,
        "name": event.name,
        "text": event.text,
    }


def holds_secret(text: str) -> bool:
    return any(span.type in privacy.SECRETS for span in privacy.mask(text).spans)


def declined(refusal: Declined, locale: Locale, **more: Any) -> JSONResponse:
    """Why a step was not made, as a problem with its code."""
    detail = notice(refusal.code, locale, **refusal.values)
    status = STATUS.get(refusal.code, 409)
    return problem(status, detail, code=refusal.code, **more)


async def passed_on(question: Question, bell: Bell) -> AsyncGenerator[Event, None] | Declined:
    """A message in a conversation that a person has goes to that person; no answer is made.
    Raises BadQuestion, QueueUnavailable."""
    said = await write_to_desk(
        bell, question.conversation_id, question.subject, question.text, question.locale
    )
    return said if isinstance(said, Declined) else _passed_on(said, question, bell)


async def _passed_on(said: Written, question: Question, bell: Bell) -> AsyncGenerator[Event, None]:
    locale, talk = question.locale, said.event.conversation_id
    text = notice("with_agent", locale)
    current = await handoff.latest(bell.deps.engine, talk)
    stands = None if current is None else await queued_as_json(bell, current, locale)
    yield Event("handoff", {"text": text, "handoff": stands, "message": said_as_json(said.event)})
    for index, code in enumerate(said.notices):
        told = {"index": index, "text": notice(code, locale), "kind": "notice", "citations": []}
        yield Event("sentence", told)
    yield Event(
        "done",
        {
            "status": "handoff",
            "label": "",
            "record_id": "",
            "conversation_id": talk,
            "model": "",
            "release": "",
            "timings": {},
        },
    )
