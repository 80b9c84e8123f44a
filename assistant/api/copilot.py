"""The copilot over HTTP: suggestions, next steps, the card, checks and wrap-ups beside an agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from assistant import copilot, copilot_store, handoff, journal
from assistant.copilot import CardNumber, Case
from assistant.copilot_store import NotKept, Task
from assistant.deps import Deps
from assistant.handoff import SUPERVISORS, Declined, Handoff
from assistant.identity import KeysUnavailable, Refused, subject_of
from assistant.next_steps import Contact
from assistant.scripts import ScriptsError
from assistant.staff import Signed
from assistant.transcripts import Turn
from assistant.wrap_up import ZONE
from prompts.render import notice

from .chat import FromDeps, Stream, unhurried, wire
from .copilot_schemas import (
    CardBody,
    CaseRequest,
    CopilotClauseBody,
    DraftCheckRequest,
    FollowedBody,
    FollowedRequest,
    KeptWrapUpBody,
    NextBody,
    ScriptsBody,
    SuggestionBody,
    SuggestRequest,
    SummaryBody,
    SummaryRequest,
    TaskRequest,
    TasksBody,
    WrapUpBody,
    WrapUpRequest,
)
from .desk import member
from .handoffs import bell_of
from .problems import documented, locale_of, problem
from .queued import declined, plan_of
from .schemas import CheckedBody
from .staff import By


class _NoCase(Exception):
    """A case that one may not have; what is answered instead."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _CaseRoute(APIRoute):
    """Answers for cases that cannot be had, and for words with a full card number."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_case(request: Request) -> Response:
            try:
                return await handle(request)
            except _NoCase as refused:
                return refused.response
            except CardNumber:
                return await _card_refused(request)

        return handle_case


router = APIRouter(prefix="/v1/copilot", tags=["copilot"], route_class=_CaseRoute)

_FAULTS = (401, 403, 404, 409, 413, 422, 500, 503)
MOST_QUOTE_CHARS = 120


@router.post(
    "/suggest",
    response_model=SuggestionBody,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events `evidence`, `calculation`, `citation`, `sentence`, "
            "`alternatives`, `next`, `done`, `error`; with `stream=false` one JSON document.",
        },
        **documented(*_FAULTS),
    },
)
async def suggest(
    body: SuggestRequest, request: Request, deps: FromDeps, by: By, stream: bool = True
) -> Response:
    """What to answer to the borrower's last message, and on what it rests."""
    case = await _case(body, request, deps, by, as_of=body.as_of)
    events = copilot.suggest(case, deps, by.staff_id)
    if not stream:
        try:
            found = await copilot.whole(events)
        except copilot.NotSuggested as error:
            return problem(500, error.text, error.trace_id)
        return JSONResponse(SuggestionBody.model_validate(found).model_dump(mode="json"))
    # Awaited here, so that what cannot be taken is answered with a status code.
    first = await anext(events)
    keep_alive_s: float = request.app.state.keep_alive_s
    return Stream(wire(unhurried(first, events, keep_alive_s)))


@router.post("/summary", response_model=SummaryBody, responses=documented(*_FAULTS))
async def summary(body: SummaryRequest, request: Request, deps: FromDeps, by: By) -> dict[str, Any]:
    """What was said so far."""
    case = await _case(body, request, deps, by)
    return await copilot.summary(case, deps, model=body.model)


@router.post("/next", response_model=NextBody, responses=documented(*_FAULTS))
async def next_actions(body: CaseRequest, request: Request, deps: FromDeps, by: By) -> Any:
    """Next steps with reason and source; a contact only after the rules were asked."""
    case = await _case(body, request, deps, by)
    return await copilot.next_actions(case, deps)


@router.post("/card", response_model=CardBody, responses=documented(*_FAULTS))
async def card(body: CaseRequest, request: Request, deps: FromDeps, by: By) -> dict[str, Any]:
    """The customer as one's role may see them; nobody where nobody proved who they are."""
    case = await _case(body, request, deps, by)
    return await copilot.card(case, deps, frozenset(by.roles))


@router.post("/check", response_model=CheckedBody, responses=documented(*_FAULTS))
async def check(body: DraftCheckRequest, request: Request, deps: FromDeps, by: By) -> Any:
    """An agent's own words by the rules of the case; a full card number is refused."""
    case = await _case(body, request, deps, by)
    return await copilot.check_draft(case, deps, body.text)


@router.post("/scripts", response_model=ScriptsBody, responses=documented(*_FAULTS))
async def scripts(
    body: CaseRequest, request: Request, deps: FromDeps, by: By
) -> dict[str, Any] | Response:
    """Scripts and macros of the task, filled from record and data and checked by the rules."""
    case = await _case(body, request, deps, by)
    try:
        return {"scripts": await copilot.scripts(case, deps, by.name)}
    except ScriptsError as error:
        return problem(
            503, notice("scripts_unreadable", await locale_of(request)), problems=[str(error)]
        )


@router.post("/wrap-up", response_model=WrapUpBody, responses=documented(*_FAULTS))
async def draft_wrap_up(
    body: SummaryRequest, request: Request, deps: FromDeps, by: By
) -> dict[str, Any]:
    """How the conversation could be closed, to be edited; nothing is kept."""
    case = await _case(body, request, deps, by)
    return await copilot.wrap_up(case, deps, model=body.model)


@router.post(
    "/wrap-up/kept",
    status_code=201,
    response_model=KeptWrapUpBody,
    responses=documented(*_FAULTS),
)
async def keep_wrap_up(body: WrapUpRequest, request: Request, deps: FromDeps, by: By) -> Response:
    """Keep it as the agent left it, make tasks of what was promised and, with an ending, close the
    hand-over."""
    locale = await locale_of(request)
    if body.ending and (not body.handoff or body.ending not in plan_of(deps).endings):
        return problem(422, notice("unknown_ending", locale))
    try:
        case = await _case(body, request, deps, by)
        made: dict[str, Any] = (
            body.wrap_up.model_dump(mode="json")
            if body.wrap_up is not None
            else await copilot.wrap_up(case, deps)
        )
        event_id, tasks = await copilot.keep_wrap_up(case, deps, made, staff_id=by.staff_id)
    except NotKept:
        return problem(503, notice("not_kept", locale))
    closed = False
    if body.ending:
        ended = await handoff.close(deps.trail, body.handoff, member(by), body.ending)
        if isinstance(ended, Declined):
            return declined(ended, locale)
        bell_of(request).ring()
        closed = True
    kept = {
        "event_id": event_id,
        "conversation_id": case.conversation_id,
        "wrap_up": made,
        "tasks": tasks,
        "closed": closed,
    }
    return JSONResponse(KeptWrapUpBody.model_validate(kept).model_dump(mode="json"), 201)


@router.post(
    "/events", status_code=201, response_model=FollowedBody, responses=documented(*_FAULTS)
)
async def follow_up(body: FollowedRequest, request: Request, deps: FromDeps, by: By) -> Response:
    """What became of a suggestion: it was inserted, edited, sent or dismissed."""
    locale = await locale_of(request)
    conversation = body.conversation
    if body.handoff:
        held = await _held(deps, body.handoff, by)
        if isinstance(held, Declined):
            return declined(held, locale)
        conversation = held.conversation_id
    if not conversation:
        return problem(422, notice("bad_request", locale))
    suggested = ""
    if body.suggestion_id:
        found = await copilot_store.suggestion(deps.engine, body.suggestion_id)
        if found is None or found.conversation_id != conversation:
            return problem(404, notice("not_found", locale))
        suggested = json.loads(found.text or "{}").get(body.variant or "reply", "")
    if body.kind != "sent":
        try:
            copilot.refuse_card(body.text)
        except CardNumber:
            return await _card_refused(request)
    alike = SequenceMatcher(None, suggested, body.text, autojunk=False).ratio() if suggested else 0
    try:
        event_id, _ = await copilot_store.note(
            deps.trail,
            conversation_id=conversation,
            handoff_id=body.handoff,
            suggestion_id=body.suggestion_id,
            kind=body.kind,
            staff_id=by.staff_id,
            text=body.text,
            told={
                "variant": body.variant,
                "message": body.message_id,
                "alike": round(alike, 3),
            },
        )
    except NotKept:
        return problem(503, notice("not_kept", locale))
    return JSONResponse({"event_id": event_id}, 201)


@router.get("/tasks", response_model=TasksBody, responses=documented(401, 403, 422, 500, 503))
async def list_tasks(
    deps: FromDeps, by: By, everybodys: bool = Query(default=False)
) -> dict[str, Any]:
    """What was promised and is open, what is due first, first: one's own, or everybody's for
    supervisors."""
    mine = "" if everybodys and by.roles & SUPERVISORS else by.staff_id
    found = await copilot_store.tasks(deps.trail, staff_id=mine)
    return {"tasks": [_task_as_json(task) for task in found]}


@router.post(
    "/tasks/{task_id}", response_model=TasksBody, responses=documented(401, 403, 404, 422, 500, 503)
)
async def close_task(
    task_id: str, body: TaskRequest, request: Request, deps: FromDeps, by: By
) -> dict[str, Any] | Response:
    """A promise was kept, or is dropped; what is still open."""
    closed = await copilot_store.close_task(
        deps.trail,
        task_id,
        body.state,
        staff_id=by.staff_id,
        everybodys=bool(by.roles & SUPERVISORS),
    )
    if not closed:
        return problem(404, notice("not_found", await locale_of(request)))
    return await list_tasks(deps, by, everybodys=False)


@router.get(
    "/clauses/{clause_id:path}",
    response_model=CopilotClauseBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def clause(clause_id: str, deps: FromDeps, by: By) -> dict[str, Any]:
    """A clause of the live release as staff may read it, agents' material too."""
    index = await deps.index()
    found = index.by_id.get(clause_id)
    if found is None:
        raise HTTPException(404, "no such clause")
    head = found.head
    quote = found.text if len(found.text) <= MOST_QUOTE_CHARS else found.text[:MOST_QUOTE_CHARS]
    where = f"\u300a{head.title}\u300b{head.version} {found.locator}"
    return {
        **journal.clause_as_json(found),
        "text": found.text,
        "internal": found.audience == "agent",
        "citation": f"{where}: {quote}",
    }


# Whose case it is --------------------------------------------------------------------------------


async def _case(body: CaseRequest, request: Request, deps: Deps, by: Signed, **more: Any) -> Case:
    """The case that a request names. Raises _NoCase."""
    now = body.at or datetime.now(UTC)
    now = now if now.tzinfo else now.replace(tzinfo=ZONE)
    contact = body.contact
    common: dict[str, Any] = {
        "task": body.task,
        "channel": body.channel,
        "locale": body.locale,
        "contact": contact and Contact(contact.channel, contact.recipient, contact.calls_today),
        **more,
    }
    if body.handoff:
        held = await _held(deps, body.handoff, by)
        if isinstance(held, Declined):
            raise _NoCase(declined(held, await locale_of(request)))
        return await copilot.case_of(deps, held, now=now, **common)
    assert body.transcript is not None
    token, given = body.transcript.borrower_token, body.transcript
    if token:
        common |= await _proved(token, request, deps)
    turns = [Turn(turn.speaker, turn.text, turn.at) for turn in given.turns]
    return copilot.case_of_turns(given.id, turns, now=now, **common)


async def _proved(token: str, request: Request, deps: Deps) -> dict[str, Any]:
    """Whose token it is. Raises _NoCase: one that proves nothing is refused, never left aside."""
    locale = await locale_of(request)
    try:
        found = await deps.tokens.judge(token) if deps.tokens else Refused("unknown_key")
    except KeysUnavailable:
        raise _NoCase(problem(503, notice("identity_unavailable", locale))) from None
    if isinstance(found, Refused):
        raise _NoCase(problem(422, notice("token_refused", locale), code="token_refused"))
    return {
        "customer_id": found.customer_id,
        "subject": subject_of(deps.keys, found.customer_id),
        "contract_date": found.contract_date,
    }


async def _held(deps: Deps, handoff_id: str, by: Signed) -> Handoff | Declined:
    """A hand-over that one has; supervisors may have anybody's."""
    found = await handoff.read_handoff(deps.engine, handoff_id)
    if found is None:
        return Declined("handoff_unknown")
    if found.taken_by != by.staff_id and not by.roles & SUPERVISORS:
        if found.state == "taken":
            return Declined("handoff_not_yours", {"name": found.taken_by_name})
        return Declined("handoff_over")
    return found


async def _card_refused(request: Request) -> Response:
    return problem(422, notice("card_refused", await locale_of(request)), code="card_refused")


def _task_as_json(task: Task) -> dict[str, Any]:
    promised = task.promised
    return {
        "id": task.id,
        "conversation_id": task.conversation_id,
        "handoff": task.handoff_id,
        "by": promised.by,
        "kind": promised.kind,
        "text": promised.text,
        "due_on": promised.due_on,
        "amount_cny": promised.amount_cny,
        "state": task.state,
        "made_at": task.made_at,
    }
