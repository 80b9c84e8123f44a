"""`/v1/conversations`: borrowers read their history, take it along, and have it deleted."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from assistant import journal
from prompts.render import notice, page, page_words

from .chat import Asking, FromDeps, subject
from .problems import documented
from .schemas import ConversationBody, ConversationsBody, ForgottenBody, LocaleName

LISTED = 50
"""Conversations that are listed at most, the newest first."""

EXPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

ConversationId = Annotated[str, Path(max_length=64, pattern="^[0-9A-Za-z_-]+$")]

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.get("", response_model=ConversationsBody, responses=documented(401, 500, 503))
async def mine(deps: FromDeps, borrower: Asking) -> ConversationsBody:
    """The newest conversations of the borrower whom the token names; none without a token."""
    found = await journal.conversations_of(deps.engine, subject(deps, borrower), LISTED)
    return ConversationsBody.model_validate({"conversations": found})


@router.get(
    "/{conversation_id}",
    response_model=ConversationBody,
    responses=documented(401, 404, 422, 500, 503),
)
async def one(
    conversation_id: ConversationId,
    deps: FromDeps,
    borrower: Asking,
    newest: Annotated[int, Query(ge=1, le=1000, description="Messages at most.")] = 200,
) -> JSONResponse:
    """A conversation of the borrower's own, with personal data masked as it is kept. One begun
    without an account is known by its id alone."""
    whose = subject(deps, borrower)
    found = await journal.conversation(deps.trail, conversation_id, whose, newest)
    label = notice("ai_label", found["locale"])
    return JSONResponse({"label": label, **found}, headers={"Cache-Control": "no-store"})


@router.get("/{conversation_id}/export", responses=documented(401, 404, 422, 500, 503))
async def export(
    conversation_id: ConversationId,
    deps: FromDeps,
    borrower: Asking,
    form: Annotated[Literal["json", "html"], Query(alias="format")] = "json",
    locale: LocaleName = "zh-Hans",
) -> Response:
    """The same to keep, as a file: JSON, or a page to read."""
    found = await journal.conversation(deps.trail, conversation_id, subject(deps, borrower))
    label = notice("ai_label", locale)
    name = f"zhunxin-{conversation_id[:8]}.{form}"
    headers = {**EXPORT_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    if form == "json":
        return JSONResponse({"label": label, **found}, headers=headers)
    words = page_words("history", locale)
    shown = page("history", words=words, label=label, lender=deps.lender.name, **found)
    return HTMLResponse(shown, headers=headers)


@router.delete(
    "/{conversation_id}",
    response_model=ForgottenBody,
    responses=documented(401, 404, 422, 500, 503),
)
async def forget(
    conversation_id: ConversationId, request: Request, deps: FromDeps, borrower: Asking
) -> ForgottenBody:
    """Delete what was written and told; that it was deleted stays in the audit chain. Nobody can go
    on with the conversation, and a person who had it no longer has it."""
    count = await journal.forget(deps.trail, conversation_id, subject(deps, borrower))
    request.app.state.bell.ring()
    return ForgottenBody(conversation_id=conversation_id, deleted=count)
