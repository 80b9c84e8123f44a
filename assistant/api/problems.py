"""Errors as RFC 9457 problem JSON: a notice and a trace id, never an exception's words."""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from assistant.answer import BadQuestion
from assistant.deps import ReleaseMismatch
from assistant.journal import UnknownConversation
from assistant.models import LOCALES
from knowledge.embed import EmbeddingUnavailable
from knowledge.store import NoRelease, VectorsMissing
from prompts.render import notice

log = structlog.get_logger()

TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Not ready",
}


def problem(status: int, detail: str, trace_id: str = "", **more: Any) -> JSONResponse:
    """One problem document. It also carries OpenAI's `error` member, for clients that read that."""
    title = TITLES.get(status, "Error")
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "trace_id": trace_id or uuid.uuid4().hex,
        "error": {"message": detail, "type": title.lower().replace(" ", "_"), "code": status},
        **more,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Turn every expected fault, and every other, into a problem document."""

    async def bad_question(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, BadQuestion)
        return problem(422, notice(error.code, await _locale(request), **error.values))

    async def unknown_conversation(request: Request, error: Exception) -> JSONResponse:
        return problem(404, notice("unknown_conversation", await _locale(request)))

    async def not_ready(request: Request, error: Exception) -> JSONResponse:
        trace_id = uuid.uuid4().hex
        log.error("not ready", trace_id=trace_id, error=str(error))
        return problem(503, notice("no_knowledge", await _locale(request)), trace_id)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fields = [
            {"field": ".".join(str(part) for part in e["loc"][1:]), "problem": e["msg"]}
            for e in error.errors()
        ]
        return problem(422, notice("bad_request", await _locale(request)), fields=fields)

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        response = problem(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    async def fault(request: Request, error: Exception) -> JSONResponse:
        trace_id = uuid.uuid4().hex
        log.error("request failed", trace_id=trace_id, path=request.url.path, exc_info=error)
        return problem(500, notice("fault", await _locale(request)), trace_id)

    app.add_exception_handler(BadQuestion, bad_question)
    app.add_exception_handler(UnknownConversation, unknown_conversation)
    for unready in (NoRelease, VectorsMissing, ReleaseMismatch, EmbeddingUnavailable):
        app.add_exception_handler(unready, not_ready)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, fault)


async def _locale(request: Request) -> str:
    """The language to tell a fault in: that of the message, where it could be read at all."""
    try:
        body = await request.json()
    except (ValueError, RuntimeError):
        body = None
    wanted = body.get("locale") if isinstance(body, dict) else None
    return next((known for known in LOCALES if known == wanted), LOCALES[0])
