"""`POST /v1/chat`: the borrower's question, answered as server-sent events or one document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from anyio import CancelScope
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from assistant import journal, metrics
from assistant.answer import WithAgent, answer_question, collect
from assistant.customers import masked_name
from assistant.deps import Deps
from assistant.handoff import Declined
from assistant.identity import Borrower, subject_of
from assistant.models import Event, Question, today
from knowledge.lender import stated_contact
from prompts.render import notice

from .access import borrower_of
from .problems import documented, problem
from .queued import declined, passed_on, queued
from .schemas import BorrowerBody, ChatRequest, ClauseBody, LenderBody, ReplyBody

KEEP_ALIVE_S = 10.0
"""Longest silence on a stream; proxies give up on one after a minute or less."""

router = APIRouter(prefix="/v1", tags=["chat"])


def get_deps(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


class Stream(EventSourceResponse):
    """Server-sent events that neither caches nor proxies hold back, and that end with their
    client: those of one that goes away while it is sent something are not left to the garbage
    collector."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        unbuffered = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=unbuffered)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await self._events.aclose()


FromDeps = Annotated[Deps, Depends(get_deps)]
Asking = Annotated[Borrower | None, Depends(borrower_of)]


def subject(deps: Deps, borrower: Borrower | None) -> str:
    """As whom a question is recorded."""
    return subject_of(deps.keys, borrower.customer_id) if borrower else ""


@router.post(
    "/chat",
    response_model=ReplyBody,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events `status`, `evidence`, `citation`, `sentence`, "
            "`handoff`, `done`, `error`; with `stream=false` one JSON document.",
        },
        **documented(400, 401, 404, 413, 422, 429, 500, 503),
    },
)
async def chat(
    body: ChatRequest, request: Request, deps: FromDeps, borrower: Asking, stream: bool = True
) -> Response:
    """Answer a question from the clauses in force, with citations. A borrower's token says whose
    conversation it is, and may say when the contract was signed."""
    signed = borrower.contract_date if borrower else None
    question = Question(
        text=body.message,
        today=today(),
        locale=body.locale,
        as_of=body.as_of,
        contract_date=signed or body.contract_date,
        conversation_id=body.conversation_id,
        subject=subject(deps, borrower),
        customer_id=borrower.customer_id if borrower else "",
    )
    bell = request.app.state.bell
    events = queued(metrics.counted(answer_question(question, deps)), question, bell)
    keep_alive_s = request.app.state.keep_alive_s
    try:
        # The first event is awaited here, so that a question which cannot be taken is answered
        # with a status code and not with a stream.
        first = await anext(events)
    except WithAgent:
        passed = await passed_on(question, bell)
        if isinstance(passed, Declined):
            return declined(passed, body.locale)
        if stream:
            first = await anext(passed)
            return Stream(wire(unhurried(first, passed, keep_alive_s)))
        return JSONResponse(await _passed_on_as_json(passed))
    if stream:
        if fault := await told_at_once(first, events):
            return fault
        return Stream(wire(unhurried(first, events, keep_alive_s)))
    stands: dict[str, Any] = {}

    async def noted() -> AsyncIterator[Event]:
        async for event in every(first, events):
            stands.update({"handoff": event.data["handoff"]} if "handoff" in event.data else {})
            yield event

    async with aclosing(events):
        reply = await collect(noted())
    if isinstance(reply, Event):
        return fault_of(reply)
    answer = journal.reply_as_json(reply, staff=False)
    return JSONResponse({**answer, "label": notice("ai_label", body.locale), **stands})


async def _passed_on_as_json(events: AsyncGenerator[Event, None]) -> dict[str, Any]:
    """In the form of a reply in which the assistant says nothing."""
    told = [event.data async for event in events]
    texts = [data["text"] for data in told if "text" in data]
    return {
        **told[-1],
        "answer": "\n".join(texts),
        "sentences": [{"text": text, "kind": "notice", "citations": []} for text in texts],
        "citations": [],
        "calculations": [],
        "withheld": [],
        "contact": None,
        "handoff": told[0]["handoff"],
    }


async def every(first: Event, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in events:
        yield event


async def told_at_once(first: Event, events: AsyncGenerator[Event, None]) -> JSONResponse | None:
    """The fault, where nothing came before it: a question that cannot be recorded is answered with
    a status code and not with a stream."""
    if first.name != "handoff" or "handoff" in first.data:
        return None
    async with aclosing(events):
        error = await collect(events)
    assert isinstance(error, Event)
    return fault_of(error)


def fault_of(error: Event) -> JSONResponse:
    """An `error` event as a problem, with the way to a person."""
    contact = {"hotline": error.data["hotline"], "hours": error.data["hours"]}
    return problem(500, error.data["text"], error.data["trace_id"], contact=contact)


@router.get("/me", response_model=BorrowerBody, responses=documented(401, 500, 503))
async def me(deps: FromDeps, borrower: Asking) -> BorrowerBody:
    """Whom the token names, as the lender knows them; empty without a token, or where the lender
    knows nobody by it."""
    if borrower is None or deps.customers is None:
        return BorrowerBody(name="", loans=0)
    profile = await deps.customers.profile(borrower.customer_id)
    if profile is None:
        return BorrowerBody(name="", loans=0)
    loans = await deps.customers.loans(borrower.customer_id)
    return BorrowerBody(name=masked_name(profile.name), loans=len(loans))


@router.get("/lender", response_model=LenderBody, responses=documented(500, 503))
async def lender(deps: FromDeps) -> dict[str, str]:
    """Whose assistant this is, and how to reach a person."""
    index = await deps.index()
    hotline, hours = stated_contact(deps.lender, index.clauses, today())
    whose = deps.lender
    return {"name": whose.name, "short_name": whose.short_name, "hotline": hotline, "hours": hours}


@router.get(
    "/clauses/{clause_id:path}", response_model=ClauseBody, responses=documented(404, 422, 500, 503)
)
async def clause(clause_id: str, deps: FromDeps) -> JSONResponse:
    """A clause of the live release that borrowers may read, as citations link to it."""
    index = await deps.index()
    found = index.by_id.get(clause_id)
    if found is None or found.audience != "borrower":
        raise HTTPException(404, "no such clause")
    return JSONResponse({**journal.clause_as_json(found), "text": found.text})


async def unhurried(
    first: Event, events: AsyncGenerator[Event, None], keep_alive_s: float
) -> AsyncGenerator[Event | None, None]:
    """The events, and None in every long pause: something to send, so that proxies wait."""
    pending: asyncio.Task[Event] | None = None
    try:
        yield first
        while True:
            pending = asyncio.create_task(anext(events))
            while not (await asyncio.wait({pending}, timeout=keep_alive_s))[0]:
                yield None
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            yield event
    finally:
        with CancelScope(shield=True):
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
            await events.aclose()


async def wire(events: AsyncGenerator[Event | None, None]) -> AsyncGenerator[bytes, None]:
    """Events as server-sent ones; None keeps the line open."""
    async with aclosing(events):
        async for event in events:
            yield KEEPALIVE_COMMENT if event is None else _encode(event)


def _encode(event: Event) -> bytes:
    return format_sse_event(event=event.name, data_str=json.dumps(event.data, ensure_ascii=False))
