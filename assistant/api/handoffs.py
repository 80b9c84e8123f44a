"""The borrower's side of a hand-over: asking for a person, waiting, and talking to one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from assistant import audit, handoff
from assistant.answer import clean
from assistant.copilot_store import remember_customer
from assistant.deps import Deps
from assistant.handoff import Declined, Handoff, HandoffEvent
from assistant.models import Locale
from prompts.render import notice

from .chat import Asking, FromDeps, subject
from .desk_schemas import (
    BorrowerMessage,
    ContactRequest,
    HandoffRequest,
    LeaveRequest,
    QueuedBody,
    SaidBody,
)
from .live import (
    BUSY_RETRY_S,
    MOST_OF_ADDRESS,
    MOST_OF_PERSON,
    Bell,
    Sent,
    left_until,
    read_on,
    stream,
)
from .problems import accepted_locale, documented, problem
from .queued import (
    declined,
    holds_secret,
    plan_of,
    queued_as_json,
    said_as_json,
    write_to_desk,
)

router = APIRouter(prefix="/v1", tags=["handoff"])

HIDDEN = frozenset(("held", "released", "refused"))
"""Kinds of events that are the desk's own: what a borrower is not told of."""

TOLD = {
    "asked": "queue_asked",
    "ticket": "queue_registered",
    "taken": "queue_taken",
    "requeued": "queue_requeued",
    "returned": "queue_returned",
    "closed": "queue_closed",
    "left": "queue_left",
}
"""Kind of event -> the notice that stands in the conversation."""


def bell_of(request: Request) -> Bell:
    bell: Bell = request.app.state.bell
    return bell


@router.post(
    "/handoffs",
    status_code=201,
    response_model=QueuedBody,
    responses=documented(400, 401, 404, 413, 422, 429, 500, 503),
)
async def ask(body: HandoffRequest, request: Request, deps: FromDeps, borrower: Asking) -> Response:
    """Ask for a person: inside the hours of the desk one is queued, outside them a ticket says by
    when somebody answers. Who asks again is where they were."""
    plan = plan_of(deps)
    # Before anything is kept: a way to be reached that is none leaves no hand-over behind.
    contact = clean(body.contact) if body.contact.strip() else ""
    if holds_secret(contact):
        return contact_refused(body.locale)
    made = await handoff.ask(
        deps.trail,
        plan,
        conversation_id=body.conversation_id,
        subject=subject(deps, borrower),
        locale=body.locale,
    )
    if isinstance(made, Handoff) and borrower is not None:
        await remember_customer(deps.trail, made.conversation_id, borrower.customer_id)
    if isinstance(made, Handoff) and contact:
        made = await handoff.leave_contact(deps.trail, made.id, contact)
    if isinstance(made, Declined):
        return declined(made, body.locale)
    bell_of(request).ring()
    told = await queued_as_json(bell_of(request), made, body.locale)
    return JSONResponse(told, 201)


def contact_refused(locale: Locale) -> Response:
    return problem(422, notice("contact_secret", locale), code="contact_secret")


@router.post(
    "/handoffs/{handoff_id}/contact",
    response_model=QueuedBody,
    responses=documented(400, 401, 404, 409, 413, 422, 429, 500, 503),
)
async def leave_contact(
    handoff_id: str, body: ContactRequest, request: Request, deps: FromDeps, borrower: Asking
) -> Response:
    """Say how one can be reached."""
    contact = clean(body.contact)
    if holds_secret(contact):
        return contact_refused(body.locale)
    own = await _own(deps, handoff_id, subject(deps, borrower))
    if isinstance(own, Handoff):
        own = await handoff.leave_contact(deps.trail, own.id, contact)
    if isinstance(own, Declined):
        return declined(own, body.locale)
    bell_of(request).ring()
    return JSONResponse(await queued_as_json(bell_of(request), own, body.locale))


@router.post(
    "/handoffs/{handoff_id}/leave",
    response_model=QueuedBody,
    responses=documented(400, 401, 404, 409, 413, 422, 429, 500, 503),
)
async def leave(
    handoff_id: str, body: LeaveRequest, request: Request, deps: FromDeps, borrower: Asking
) -> Response:
    """Leave the queue, or the conversation with a person; the assistant answers again."""
    own = await _own(deps, handoff_id, subject(deps, borrower))
    if isinstance(own, Handoff):
        own = await handoff.leave(deps.trail, own.id)
    if isinstance(own, Declined):
        return declined(own, body.locale)
    bell_of(request).ring()
    return JSONResponse(await queued_as_json(bell_of(request), own, body.locale))


@router.post(
    "/conversations/{conversation_id}/messages",
    status_code=201,
    response_model=SaidBody,
    responses=documented(400, 401, 404, 409, 413, 422, 429, 500, 503),
)
async def write(
    conversation_id: str,
    body: BorrowerMessage,
    request: Request,
    deps: FromDeps,
    borrower: Asking,
) -> Response:
    """Write to the person at the desk, or leave a message for them."""
    whose = subject(deps, borrower)
    said = await write_to_desk(
        bell_of(request), conversation_id, whose, body.message, body.locale, body.message_id
    )
    if isinstance(said, Declined):
        return declined(said, body.locale)
    told = "\n".join(notice(code, body.locale) for code in said.notices)
    return JSONResponse({**said_as_json(said.event), "notice": told}, 201)


@router.get(
    "/conversations/{conversation_id}/events",
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events `handoff` (how it stands), `step` and `message`, which carry "
            "an id to read on from, and `end` once no hand-over is under way.",
        },
        **documented(401, 404, 422, 429, 500, 503),
    },
)
async def events(
    conversation_id: str,
    request: Request,
    deps: FromDeps,
    borrower: Asking,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    locale: Locale | None = None,
    last_event_id: Annotated[str, Header(max_length=16)] = "",
) -> Response:
    """What happens to a hand-over, as it happens, from the first event or after one."""
    told_in = locale or accepted_locale(request.headers.get("accept-language", ""))
    whose, bell = subject(deps, borrower), bell_of(request)
    if not await handoff.owns(deps.engine, conversation_id, whose):
        return declined(Declined("unknown_conversation"), told_in)
    address = request.client.host if request.client else "unknown"
    listener = Listener(
        f"borrower {whose}" if whose else f"address {address}",
        MOST_OF_PERSON if whose else MOST_OF_ADDRESS,
    )
    if bell.is_full(conversation_id, listener.name, listener.most):
        return too_many_streams(told_in)
    going = follow(
        bell,
        conversation_id,
        whose,
        after=read_on(last_event_id, after),
        locale=told_in,
        keep_alive_s=request.app.state.keep_alive_s,
        until=borrower.expires_at if borrower else None,
        listener=listener,
    )
    return stream(going)


def too_many_streams(locale: Locale) -> Response:
    refused = problem(429, notice("too_many_streams", locale), code="too_many_streams")
    refused.headers["Retry-After"] = str(BUSY_RETRY_S)
    return refused


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens, and to how many streams at once at most."""

    name: str
    most: int


async def follow(
    bell: Bell,
    conversation_id: str,
    whose: str,
    *,
    after: int,
    locale: Locale,
    keep_alive_s: float,
    until: datetime | None,
    listener: Listener,
) -> AsyncGenerator[Sent | None, None]:
    """Events of a conversation's hand-overs, as a borrower is told them; None in every long pause.

    whose: as in `models.Question`; once it is no longer theirs, nothing more is told. until: when
    the token of who listens runs out.
    """
    deps = bell.deps
    shown: dict[str, Any] | None = None
    if bell.is_full(conversation_id, listener.name, listener.most):
        return  # of many that came at once; the client comes back and is told so
    with bell.listening(conversation_id, listener.name) as ear:
        current: Handoff | None = None
        while not bell.closing:
            if ear.own:
                if not await handoff.owns(deps.engine, conversation_id, whose):
                    yield Sent("end", {})
                    return
                while found := await handoff.read_events(
                    deps.engine, after=after, conversation_id=conversation_id
                ):
                    after = found[-1].seq
                    said = [event.id for event in found if event.kind == "message"]
                    with handoff.reachable():
                        planted = await audit.not_as_said(deps.trail, said)
                    for event in found:
                        if event.kind not in HIDDEN and event.id not in planted:
                            yield _sent(event, locale)
                current = await handoff.latest(deps.engine, conversation_id)
            if current is None:
                yield Sent("end", {})
                return
            stands = await queued_as_json(bell, current, locale, await bell.standing())
            if stands != shown:
                shown = stands
                yield Sent("handoff", stands)
            if current.state not in handoff.UNDER_WAY:
                yield Sent("end", {})
                return
            wait_s = left_until(until, keep_alive_s)
            if not await ear.wait(wait_s):
                if until is not None and not left_until(until, keep_alive_s):
                    yield Sent("expired", {})
                    return
                yield None


def _sent(event: HandoffEvent, locale: Locale) -> Sent:
    if event.kind == "message":
        return Sent("message", said_as_json(event), event.seq)
    lost = event.told.get("why") == "signed_out"
    code = "queue_lost" if lost else TOLD.get(event.kind)
    text = notice(code, locale, name=event.name) if code else ""
    told = {"kind": event.kind, "state": event.state, "name": event.name, "text": text}
    return Sent("step", {"seq": event.seq, "at": event.at.isoformat(), **told}, event.seq)


async def _own(deps: Deps, handoff_id: str, whose: str) -> Handoff | Declined:
    """The borrower's own hand-over; another's is as unknown as one that there is not."""
    found = await handoff.read_handoff(deps.engine, handoff_id)
    if found is None or not await handoff.owns(deps.engine, found.conversation_id, whose):
        return Declined("handoff_unknown")
    return found
