"""The OpenAI-compatible door: any OpenAI client may ask, and gets citations as annotations."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import KEEPALIVE_COMMENT

from assistant import metrics
from assistant.answer import BadQuestion, answer_question
from assistant.models import Event, Question, today
from prompts.render import notice

from .chat import Asking, FromDeps, Stream, every, fault_of, subject, told_at_once, unhurried
from .problems import documented, locale_of, problem
from .schemas import CompletionRequest

MODEL = "zhunxin"

router = APIRouter(prefix="/v1", tags=["openai"])


_MODEL = {"id": MODEL, "object": "model", "created": 0, "owned_by": "zhunxin"}


@router.get("/models")
async def models() -> dict[str, Any]:
    """The one model there is: the whole pipeline."""
    return {"object": "list", "data": [_MODEL]}


@router.get("/models/{model}", response_model=dict[str, Any], responses=documented(404, 422))
async def one_model(model: str, request: Request) -> dict[str, Any] | Response:
    if model != MODEL:
        return problem(404, notice("not_found", await locale_of(request)))
    return _MODEL


@router.post(
    "/chat/completions",
    responses={
        200: {
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/event-stream": {"schema": {"type": "string"}},
            },
            "description": "OpenAI's `chat.completion`, or its chunks with `stream`; each "
            "citation is a `url_citation` among the annotations.",
        },
        **documented(400, 401, 413, 422, 429, 500, 503),
    },
    response_model=None,
)
async def completions(
    body: CompletionRequest, request: Request, deps: FromDeps, borrower: Asking
) -> Response:
    """Answer the last user turn. Other turns are untrusted and are not read, and neither is `user`:
    who asks is told by a borrower's token as the API key, or not at all."""
    question = Question(
        text=_last_user_text(body),
        today=today(),
        contract_date=borrower.contract_date if borrower else None,
        channel="openai",
        subject=subject(deps, borrower),
        customer_id=borrower.customer_id if borrower else "",
    )
    events = metrics.counted(answer_question(question, deps))
    first = await anext(events)
    pieces = _Pieces(str(request.base_url))
    if fault := await told_at_once(first, events):
        return fault
    if body.stream:
        keep_alive_s: float = request.app.state.keep_alive_s
        return Stream(_chunks(pieces, unhurried(first, events, keep_alive_s)))
    texts: list[str] = []
    annotations: list[dict[str, Any]] = []
    async with aclosing(events):
        async for event in every(first, events):
            if event.name == "error":
                return fault_of(event)
            text, marks = pieces.of(event)
            texts.append(text)
            annotations += marks
    return JSONResponse(
        {
            "id": pieces.id,
            "object": "chat.completion",
            "created": pieces.created,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "".join(texts),
                        "annotations": annotations,
                    },
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }
    )


def _last_user_text(body: CompletionRequest) -> str:
    for message in reversed(body.messages):
        if message.role != "user":
            continue
        if isinstance(message.content, list):
            parts = (part.get("text") for part in message.content if part.get("type") == "text")
            return "\n".join(part for part in parts if isinstance(part, str))
        return message.content or ""
    raise BadQuestion("empty_question")


class _Pieces:
    """What each event adds to an OpenAI answer: text, and annotations with their positions."""

    def __init__(self, base_url: str) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self._base_url = base_url
        self._length = 0
        self._citations: dict[int, dict[str, Any]] = {}

    def of(self, event: Event) -> tuple[str, list[dict[str, Any]]]:
        if event.name == "citation":
            self._citations[event.data["index"]] = event.data
        # A client of this kind shows the text alone, so the label is part of it.
        said = event.data.get("label" if event.name == "done" else "text")
        if said is None or event.name not in ("sentence", "handoff", "done"):
            return "", []
        text = ("\n" if self._length else "") + said
        start, self._length = self._length + (self._length > 0), self._length + len(text)
        return text, [
            {
                "type": "url_citation",
                "url_citation": {
                    "url": f"{self._base_url}v1/clauses/{quote(cited['clause_id'], safe='')}",
                    "title": f"{cited['document']} {cited['locator']}",
                    "start_index": start,
                    "end_index": self._length,
                    "quote": cited["quote"],
                },
            }
            for cited in (self._citations[i] for i in event.data.get("citations", ()))
        ]


async def _chunks(
    pieces: _Pieces, events: AsyncGenerator[Event | None, None]
) -> AsyncGenerator[bytes, None]:
    def line(body: dict[str, Any]) -> bytes:
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return line(
            {
                "id": pieces.id,
                "object": "chat.completion.chunk",
                "created": pieces.created,
                "model": MODEL,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
        )

    numbers = itertools.count()
    yield chunk({"role": "assistant", "content": ""})
    async with aclosing(events):
        async for event in events:
            if event is None:
                yield KEEPALIVE_COMMENT
                continue
            if event.name == "error":
                # Without a finish: an unfinished answer must not be taken for a whole one.
                yield line(
                    {
                        "error": {
                            "message": event.data["text"],
                            "type": "internal_error",
                            "code": 500,
                            "trace_id": event.data["trace_id"],
                        }
                    }
                )
                return
            text, marks = pieces.of(event)
            # The client's streaming helper joins the entries of a list by their index.
            indexed = [{"index": next(numbers), **mark} for mark in marks]
            if text:
                yield chunk({"content": text, **({"annotations": indexed} if indexed else {})})
    yield chunk({}, "stop")
    yield b"data: [DONE]\n\n"
