"""How a hand-over stands, in words for the borrower; messages of a chat that go to the desk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

from assistant import handoff, privacy
from assistant.answer import clean
from assistant.copilot_store import remember_customer
from assistant.deps import Deps
from assistant.desk_plan import ZONE, DeskPlan
from assistant.handoff import Declined, Handoff, HandoffEvent, QueueUnavailable
from assistant.models import Event, Locale, Question
from prompts.render import notice

from .problems import problem

if TYPE_CHECKING:
    from .live import Bell

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


async def write_to_desk(
    deps: Deps, conversation_id: str, whose: str, text: str, message_id: str = ""
) -> HandoffEvent | Declined:
    """Raises BadQuestion for a text that cannot be taken, QueueUnavailable."""
    cleaned = clean(text)
    if not await handoff.owns(deps.engine, conversation_id, whose):
        return Declined("unknown_conversation")
    current = await handoff.under_way(deps.engine, conversation_id)
    if current is None:
        return Declined("handoff_over")
    return await handoff.write(deps.trail, current.id, cleaned, message_id)


async def queued(
    events: AsyncGenerator[Event, None], question: Question, deps: Deps, bell: Bell
) -> AsyncGenerator[Event, None]:
    """The events of an answer; where triage says that a person has to see the message, the
    borrower is queued before the answer ends, and told so."""
    async with aclosing(events):
        async for event in events:
            reply = event.reply
            if reply is not None and deps.desk is not None:
                classes = deps.desk.queued(reply.classes)
                made = await _queue_or_not(deps, reply.conversation_id, question, classes)
                if made is not None:
                    bell.ring()
                    told = await queued_as_json(deps, made, question.locale)
                    yield Event("handoff", {"text": told["text"], "handoff": told})
            yield event


async def _queue_or_not(
    deps: Deps, conversation_id: str, question: Question, classes: list[str]
) -> Handoff | None:
    """None where nobody was queued: the hotline has been told already."""
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
        if isinstance(made, Handoff):
            await remember_customer(deps.trail, made.conversation_id, question.customer_id)
    except QueueUnavailable:
        return None
    return made if isinstance(made, Handoff) else None


async def queued_as_json(
    deps: Deps, stands: Handoff, locale: Locale, waiting: Sequence[Handoff] | None = None
) -> dict[str, Any]:
    """A hand-over as the borrower sees it. Only who was accepted is told that somebody is there.

    waiting: who waits, in order; read where it is not given.
    """
    ahead: int | None = None
    if stands.state == "waiting":
        if waiting is None:
            waiting = [h for h in await handoff.queue(deps.engine) if h.state == "waiting"]
        ahead = handoff.ahead_of(plan_of(deps), waiting, stands)
    promised = stands.promised_at if stands.state == "ticket" else None
    agent = stands.taken_by_name if stands.state == "taken" else ""
    match stands.state:
        case "waiting":
            code = "queue_waiting" if ahead else "queue_next"
        case "ticket":
            code = "queue_ticket" if promised else "queue_ticket_open"
        case "taken":
            code = "queue_taken"
        case "returned" | "closed":
            left = stands.ending == "left"
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


async def passed_on(
    question: Question, deps: Deps, bell: Bell
) -> AsyncGenerator[Event, None] | Declined:
    """A message in a conversation that a person has goes to that person; no answer is made.
    Raises BadQuestion, QueueUnavailable."""
    said = await write_to_desk(deps, question.conversation_id, question.subject, question.text)
    if isinstance(said, Declined):
        return said
    bell.ring()
    return _passed_on(said, question, deps)


async def _passed_on(
    said: HandoffEvent, question: Question, deps: Deps
) -> AsyncGenerator[Event, None]:
    locale = question.locale
    text = notice("with_agent", locale)
    current = await handoff.latest(deps.engine, said.conversation_id)
    stands = None if current is None else await queued_as_json(deps, current, locale)
    yield Event("handoff", {"text": text, "handoff": stands, "message": said_as_json(said)})
    if holds_secret(question.text):
        scrubbed = notice("message_scrubbed", locale)
        yield Event("sentence", {"index": 0, "text": scrubbed, "kind": "notice", "citations": []})
    yield Event(
        "done",
        {
            "status": "handoff",
            "label": "",
            "record_id": "",
            "conversation_id": said.conversation_id,
            "model": "",
            "release": "",
            "timings": {},
        },
    )
