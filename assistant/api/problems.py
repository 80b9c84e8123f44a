"""Errors as RFC 9457 problem JSON: a notice and a trace id, never an exception's words."""

from __future__ import annotations

import re
import uuid
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from assistant.addressing import AddressingError
from assistant.answer import BadQuestion
from assistant.campaigns import CampaignError
from assistant.customers import CustomerDataBroken, CustomersUnavailable
from assistant.deps import Deps, ReleaseMismatch
from assistant.drafts import BrokenDraft
from assistant.handoff import QueueUnavailable
from assistant.journal import UnknownConversation
from assistant.models import LOCALES, Locale, today
from knowledge.embed import EmbeddingUnavailable
from knowledge.lender import stated_contact
from knowledge.store import NoRelease
from knowledge.vectors import VectorsMissing
from prompts.render import notice, way_to_a_person

from .schemas import Problem

log = structlog.get_logger()

TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Not now",
    413: "Too large",
    421: "Wrong host",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Not ready",
}
HTTP_NOTICES = {
    401: "not_signed_in",
    403: "role_missing",
    404: "not_found",
    405: "wrong_method",
    413: "too_large",
}
NO_RECORD: dict[type[Exception], str] = {
    CustomersUnavailable: "customers_unavailable",
    CustomerDataBroken: "customer_data_broken",
    QueueUnavailable: "queue_unavailable",
}
"""Faults after which a borrower is given the hotline, and what they are told first."""
FIELDS_NAMED = 20
"""How many wrong fields of a request are named at most."""


def problem(
    status: int, detail: str, trace_id: str = "", title: str = "", **more: Any
) -> JSONResponse:
    """One problem document. It also carries OpenAI's `error` member, for clients that read that."""
    title = title or TITLES.get(status, "Error")
    if not trace_id:
        trace_id = uuid.uuid4().hex
        log.info("request refused", trace_id=trace_id, status=status)
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "trace_id": trace_id,
        "error": {"message": detail, "type": title.lower().replace(" ", "_"), "code": status},
        **more,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for its OpenAPI description."""
    schema = Problem.model_json_schema()
    content = {"application/problem+json": {"schema": schema}}
    return {status: {"description": TITLES[status], "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Turn every expected fault, and every other, into a problem document."""

    async def bad_question(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, BadQuestion)
        return problem(422, notice(error.code, await locale_of(request), **error.values))

    async def unknown_conversation(request: Request, error: Exception) -> JSONResponse:
        return problem(404, notice("unknown_conversation", await locale_of(request)))

    async def not_ready(request: Request, error: Exception) -> JSONResponse:
        trace_id = uuid.uuid4().hex
        log.error("not ready", trace_id=trace_id, error=str(error))
        locale = await locale_of(request)
        told = [notice(code, locale) for code in ("no_knowledge", "contact_unknown")]
        return problem(503, " ".join(told), trace_id)

    async def no_record(request: Request, error: Exception) -> JSONResponse:
        # The field that is broken stands in the log already; it tells the borrower nothing.
        code = next(code for kind, code in NO_RECORD.items() if isinstance(error, kind))
        locale = await locale_of(request)
        deps: Deps = request.app.state.deps
        clauses = deps.opened.clauses if deps.opened else ()
        hotline, hours = stated_contact(deps.lender, clauses, today())
        way = way_to_a_person(hotline, hours, locale)
        contact = {"hotline": hotline, "hours": hours}
        return problem(503, f"{notice(code, locale)} {way}", contact=contact)

    async def no_campaigns(request: Request, error: Exception) -> JSONResponse:
        # Staff alone are told, by file, row and field, as whoever wrote the campaign needs it.
        lines = str(error).splitlines()[:FIELDS_NAMED]
        said = "the campaigns cannot be read"
        return problem(503, said, code="campaigns_unreadable", problems=lines)

    async def broken_draft(request: Request, error: Exception) -> JSONResponse:
        trace_id = uuid.uuid4().hex
        log.error("a draft was changed outside of its steps", trace_id=trace_id, draft=str(error))
        return problem(
            500, notice("fault", await locale_of(request)), trace_id, code="broken_draft"
        )

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fields = [
            {
                # A name may hold half of a surrogate pair, which no answer can be encoded with.
                "field": ".".join(str(p) for p in e["loc"][1:]).encode("utf-8", "replace").decode(),
                "problem": e["msg"],
            }
            for e in error.errors()[:FIELDS_NAMED]
        ]
        return problem(422, notice("bad_request", await locale_of(request)), fields=fields)

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = HTTP_NOTICES.get(error.status_code, "bad_request")
        response = problem(error.status_code, notice(code, await locale_of(request)))
        response.headers.update(error.headers or {})
        return response

    async def fault(request: Request, error: Exception) -> JSONResponse:
        trace_id = uuid.uuid4().hex
        log.error("request failed", trace_id=trace_id, path=request.url.path, exc_info=error)
        return problem(500, notice("fault", await locale_of(request)), trace_id)

    app.add_exception_handler(BadQuestion, bad_question)
    app.add_exception_handler(UnknownConversation, unknown_conversation)
    for unready in (NoRelease, VectorsMissing, ReleaseMismatch, EmbeddingUnavailable):
        app.add_exception_handler(unready, not_ready)
    for unread in (CampaignError, AddressingError):
        app.add_exception_handler(unread, no_campaigns)
    app.add_exception_handler(BrokenDraft, broken_draft)
    for fault_of_record in NO_RECORD:
        app.add_exception_handler(fault_of_record, no_record)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, fault)


async def locale_of(request: Request) -> Locale:
    """The language to tell a fault in: that of the message where it can be read and names one,
    else the first that the browser asks for and we have."""
    form = request.headers.get("content-type", "").startswith("multipart/")
    try:
        body = None if form else await request.json()  # a form may be far larger than the memory
    except (ValueError, RuntimeError):
        body = None
    wanted = body.get("locale") if isinstance(body, dict) else None
    named = next((known for known in LOCALES if known == wanted), None)
    return named or accepted_locale(request.headers.get("accept-language", ""))


def accepted_locale(accept_language: str) -> Locale:
    """The first language of an Accept-Language header that we have, else Simplified Chinese."""
    for tag in re.findall(r"[A-Za-z][A-Za-z-]*", re.sub(r";[^,]*", "", accept_language)):
        first, *more = tag.lower().split("-")
        if first == "en":
            return "en"
        if first == "zh":
            traditional = {"hant", "tw", "hk", "mo"} & set(more) and "hans" not in more
            return "zh-Hant" if traditional else "zh-Hans"
    return "zh-Hans"
