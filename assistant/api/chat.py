"""`POST /v1/chat`: the borrower's question, answered as server-sent events or one document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.exceptions import HTTPException

from assistant import journal, metrics
from assistant.answer import answer_question, collect
from assistant.deps import Deps
from assistant.models import Event, Question

from .problems import problem
from .schemas import ChatRequest, ClauseBody, Problem, ReplyBody

KEEP_ALIVE_S = 10.0

router = APIRouter(prefix="/v1", tags=["chat"])


def get_deps(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


FromDeps = Annotated[Deps, Depends(get_deps)]

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}}
    for status in (404, 413, 422, 429, 500, 503)
}


@router.post(
    "/chat",
    response_model=ReplyBody,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events `status`, `evidence`, `citation`, `sentence`, `notice`, "
            "`handoff`, `done`, `error`; with `stream=false` one JSON document.",
        },
        **ERRORS,
    },
)
async def chat(body: ChatRequest, deps: FromDeps, stream: bool = True) -> Response:
    """Answer a question from the clauses in force, with citations."""
    question = Question(
        text=body.message,
        today=datetime.now(ZoneInfo("Asia/Shanghai")).date(),
        locale=body.locale,
        as_of=body.as_of,
        contract_date=body.contract_date,
        conversation_id=body.conversation_id,
    )
    events = metrics.counted(answer_question(question, deps))
    if stream:
        # The first event is awaited here, so that a question which cannot be taken is answered
        # with a status code and not with a stream.
        first = await anext(events)
        return EventSourceResponse(
            _wire(first, events), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
    async with aclosing(events):
        reply = await collect(events)
    if isinstance(reply, Event):
        return problem(500, reply.data["text"], reply.data["trace_id"])
    return JSONResponse(journal.reply_as_json(reply, staff=False))


@router.get("/clauses/{clause_id}", response_model=ClauseBody, responses=ERRORS)
async def clause(clause_id: str, deps: FromDeps) -> JSONResponse:
    """A clause of the live release that borrowers may read, as citations link to it."""
    index = await deps.index()
    found = index.by_id.get(clause_id)
    if found is None or found.head.audience != "borrower":
        raise HTTPException(404, "no such clause")
    return JSONResponse({**journal.clause_as_json(found), "text": found.text})


async def _wire(first: Event, events: AsyncGenerator[Event, None]) -> AsyncIterator[bytes]:
    """Events in wire format, with a comment in every long pause so that proxies keep the line."""
    pending: asyncio.Task[Event] | None = None
    try:
        yield _encode(first)
        while True:
            pending = asyncio.create_task(anext(events))
            while not (await asyncio.wait({pending}, timeout=KEEP_ALIVE_S))[0]:
                yield KEEPALIVE_COMMENT
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            yield _encode(event)
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        await events.aclose()


def _encode(event: Event) -> bytes:
    return format_sse_event(event=event.name, data_str=json.dumps(event.data, ensure_ascii=False))
