"""The desk: the queue, taking a borrower over, and what agents write, which the rules check."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from assistant import handoff, journal, staff
from assistant.answer import clean
from assistant.compliance import read_message, review_as_json, review_given
from assistant.copilot import holds_card, with_internal
from assistant.deps import Deps
from assistant.handoff import SUPERVISORS, WRITERS, Declined, Handoff, HandoffEvent, Member
from assistant.handoff_summary import summarise
from assistant.models import today
from assistant.staff import Signed
from prompts.render import notice

from .access import presented_token, session_rules
from .chat import FromDeps
from .desk_schemas import (
    AgentMessage,
    CaseBody,
    CloseRequest,
    DeskBody,
    EventBody,
    QueueRow,
    VerdictRequest,
)
from .handoffs import bell_of, too_many_streams
from .live import LARGEST_SEQ, MOST_OF_PERSON, Sent, read_on, stream
from .problems import accepted_locale, documented, locale_of, problem
from .queued import declined, plan_of
from .staff import By

router = APIRouter(prefix="/v1/desk", tags=["desk"])

READERS = SUPERVISORS | {"auditor"}
"""Roles that may read what they have not taken."""
TALK = frozenset(("message", "held", "released", "refused", "contact"))
"""Kinds of events that hold what was said; the others change the queue."""


def member(by: Signed) -> Member:
    return Member(by.staff_id, by.login, frozenset(by.roles))


@router.get("/queue", response_model=DeskBody, responses=documented(401, 403, 500, 503))
async def show_queue(deps: FromDeps, by: By) -> dict[str, Any]:
    """All hand-overs that are under way."""
    plan = plan_of(deps)
    now = datetime.now(UTC)
    # The number first: what happens while the queue is read comes once more as an event.
    seq = await handoff.last_seq(deps.engine)
    held = Counter(event.handoff_id for event in await handoff.held(deps.engine))
    return {
        "seq": seq,
        "now": now,
        "open": plan.hours.is_open(now),
        "handoffs": [
            {**_row(deps, each, by), "held": held[each.id]}
            for each in await handoff.queue(deps.engine)
        ],
        "reasons": {reason.id: dict(reason.wording) for reason in plan.reasons.values()},
        "skills": {skill.id: dict(skill.wording) for skill in plan.skills.values()},
        "endings": {ending.id: dict(ending.wording) for ending in plan.endings.values()},
    }


@router.get(
    "/events",
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events `queue`, after which the queue has changed, and `message`, of "
            "hand-overs that one may read; `signed_out` once the session has ended.",
        },
        **documented(401, 403, 422, 429, 500, 503),
    },
)
async def follow(
    request: Request,
    deps: FromDeps,
    by: By,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    last_event_id: Annotated[str, Header(max_length=16)] = "",
) -> Response:
    """What happens at the desk, as it happens."""
    if bell_of(request).is_full("", by.staff_id, MOST_OF_PERSON):
        return too_many_streams(accepted_locale(request.headers.get("accept-language", "")))
    return stream(_follow(request, deps, by, read_on(last_event_id, after)))


async def _follow(
    request: Request, deps: Deps, by: Signed, after: int
) -> AsyncGenerator[Sent | None, None]:
    keep_alive_s: float = request.app.state.keep_alive_s
    token, _ = presented_token(request)
    rules = session_rules(deps.settings, request.app.state.demo is not None)
    clock = asyncio.get_running_loop().time
    proved = clock()
    bell, reads_all = bell_of(request), bool(by.roles & READERS)
    if bell.is_full("", by.staff_id, MOST_OF_PERSON):
        return
    with bell.listening(whose=by.staff_id) as ear:
        while not bell.closing:
            while found := await handoff.read_events(deps.engine, after=after):
                after = found[-1].seq
                # Of whom one has now, and not of whom one had when it was said.
                mine = await handoff.taken_by(deps.engine, by.staff_id)
                for event in found:
                    told = reads_all or event.handoff_id in mine
                    if event.kind not in TALK:
                        # Of two with one number a listener drops the second.
                        number = None if told else event.seq
                        yield Sent("queue", {"handoff": event.handoff_id}, number)
                    if told:
                        yield Sent("message", event_as_json(event), event.seq)
            heard = await ear.wait(keep_alive_s)
            if clock() - proved >= keep_alive_s:
                # Listening is no use of the session, which may end while one listens.
                proved = clock()
                if not await staff.session_of(deps.trail, token, rules, used=False):
                    yield Sent("signed_out", {})
                    return
            if not heard:
                yield None


@router.get(
    "/handoffs/{handoff_id}",
    response_model=CaseBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def show(
    handoff_id: str,
    request: Request,
    deps: FromDeps,
    by: By,
    before: Annotated[int, Query(ge=0, le=LARGEST_SEQ, description="As `older`.")] = 0,
) -> dict[str, Any] | Response:
    """A hand-over with its conversation, for who has it: the newest events, or those before one."""
    found = await _readable(deps, handoff_id, by)
    if isinstance(found, Declined):
        return declined(found, await locale_of(request))
    return await case_as_json(deps, found, by, before)


@router.post(
    "/handoffs/{handoff_id}/take",
    response_model=CaseBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def take(
    handoff_id: str, request: Request, deps: FromDeps, by: By
) -> dict[str, Any] | Response:
    """Have the borrower; of two who take the same one, one gets it."""
    plan = plan_of(deps)
    locale = await locale_of(request)
    taken = await handoff.take(deps.trail, plan, handoff_id, member(by))
    if isinstance(taken, Declined) and taken.code == "handoff_yours":
        return await show(handoff_id, request, deps, by, before=0)
    if isinstance(taken, Declined):
        if taken.code == "handoff_skill":
            skill = plan.skills[taken.values["skill"]]
            taken = Declined(taken.code, {"skill": skill.wording[locale]})
        return declined(taken, locale)
    bell_of(request).ring()
    return await case_as_json(deps, taken, by)


@router.post(
    "/handoffs/{handoff_id}/messages",
    status_code=201,
    response_model=EventBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def write(
    handoff_id: str, body: AgentMessage, request: Request, deps: FromDeps, by: By
) -> Response:
    """Write to the borrower. What a rule blocks is not sent, unless a supervisor says why it may
    be; what a rule would have changed is sent, and its findings are kept with it."""
    locale = await locale_of(request)
    text = clean(body.message)
    if body.override and not by.roles & SUPERVISORS:
        return declined(Declined("override_role"), locale)
    found = await handoff.read_handoff(deps.engine, handoff_id)
    if found is None:
        return declined(Declined("handoff_unknown"), locale)
    if not _has(found, by):
        # Before the rules look at it beside what the borrower said.
        return declined(_not_theirs(found), locale)
    if holds_card(text):
        return problem(422, notice("card_refused", locale), code="card_refused")
    review = await _review(deps, found, text)
    told: dict[str, Any] = {
        "findings": _findings(review),
        "rules_version": review["rules_version"],
    }
    blocked = review["verdict"] == "block"
    if blocked and not (body.hold or body.override):
        return problem(
            422,
            notice("message_blocked", locale),
            code="message_blocked",
            review=review,
        )
    keep = handoff.hold if blocked else handoff.reply
    said = await keep(deps.trail, handoff_id, member(by), text, told=told, event_id=body.message_id)
    if isinstance(said, HandoffEvent) and said.kind == "held" and body.override:
        said = await handoff.judge(
            deps.trail, said.id, member(by), release=True, reason=clean(body.override)
        )
    if isinstance(said, Declined):
        return declined(said, locale)
    bell_of(request).ring()
    return JSONResponse(event_as_json(said), 202 if said.kind == "held" else 201)


@router.post(
    "/held/{event_id}",
    response_model=EventBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def judge(
    event_id: str, body: VerdictRequest, request: Request, deps: FromDeps, by: By
) -> Response:
    """A supervisor sends or refuses a message that a rule stands against."""
    judged = await handoff.judge(
        deps.trail, event_id, member(by), release=body.release, reason=clean(body.reason)
    )
    if isinstance(judged, Declined):
        return declined(judged, await locale_of(request))
    bell_of(request).ring()
    return JSONResponse(event_as_json(judged))


@router.post(
    "/handoffs/{handoff_id}/return",
    response_model=QueueRow,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def give_back(handoff_id: str, request: Request, deps: FromDeps, by: By) -> Response:
    """Hand the borrower back to the assistant."""
    return await _ended(
        request, deps, by, await handoff.give_back(deps.trail, handoff_id, member(by))
    )


@router.post(
    "/handoffs/{handoff_id}/close",
    response_model=QueueRow,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def close(
    handoff_id: str, body: CloseRequest, request: Request, deps: FromDeps, by: By
) -> Response:
    """Close the matter, with a reason."""
    if body.ending not in plan_of(deps).endings:
        return problem(422, notice("unknown_ending", await locale_of(request)))
    closed = await handoff.close(deps.trail, handoff_id, member(by), body.ending)
    return await _ended(request, deps, by, closed)


@router.post(
    "/handoffs/{handoff_id}/requeue",
    response_model=QueueRow,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def requeue(handoff_id: str, request: Request, deps: FromDeps, by: By) -> Response:
    """Put the borrower back into the queue, where they were."""
    return await _ended(
        request, deps, by, await handoff.requeue(deps.trail, handoff_id, member(by))
    )


async def _ended(request: Request, deps: Deps, by: Signed, made: Handoff | Declined) -> Response:
    if isinstance(made, Declined):
        return declined(made, await locale_of(request))
    bell_of(request).ring()
    return JSONResponse(QueueRow.model_validate(_row(deps, made, by)).model_dump(mode="json"))


async def _readable(deps: Deps, handoff_id: str, by: Signed) -> Handoff | Declined:
    found = await handoff.read_handoff(deps.engine, handoff_id)
    if found is None:
        return Declined("handoff_unknown")
    if not _has(found, by) and not by.roles & READERS:
        return _not_theirs(found)
    return found


def _has(found: Handoff, by: Signed) -> bool:
    """Whether one has the borrower now: who had them once does not."""
    return found.state == "taken" and found.taken_by == by.staff_id


def _not_theirs(found: Handoff) -> Declined:
    if found.state == "taken":
        return Declined("handoff_not_yours", {"name": found.taken_by_name})
    return Declined("handoff_over")


async def _review(deps: Deps, found: Handoff, text: str) -> Mapping[str, Any]:
    """By the rules for what agents write, with what the borrower said last, and by what only
    agents may read."""
    said = await handoff.last_said(deps.engine, found.conversation_id)
    row = {
        "text": text,
        "task": "agent",
        "channel": "chat",
        "context": {"own_platform": True, **({"question": said} if said else {})},
    }
    given = read_message(deps.rules, row, on=None, today=today())
    review = await asyncio.to_thread(review_given, deps.rules, given)
    return await with_internal(review_as_json(review), deps, text)


def _findings(review: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which rules, and how much they weigh: no word of the message, since this stays."""
    return [{"rule": each["rule"], "severity": each["severity"]} for each in review["findings"]]


async def case_as_json(deps: Deps, found: Handoff, by: Signed, before: int = 0) -> dict[str, Any]:
    conversation = found.conversation_id
    turns = await journal.read_turns(deps.engine, conversation)
    events = await handoff.newest_events(deps.engine, conversation, before=before)
    mine = _has(found, by)
    contact = ""
    if mine or by.roles & SUPERVISORS:
        contact = await handoff.last_contact(deps.engine, found.id)
    earlier = [turn for turn in turns if turn["asked_at"] <= found.asked_at]
    return {
        "handoff": _row(deps, found, by),
        "summary": await asyncio.to_thread(summarise, earlier, deps.lender),
        "turns": [
            {
                "record_id": turn["id"],
                "at": turn["asked_at"],
                "question": turn["question"],
                "status": turn["status"],
                "answer": [s["text"] for s in (turn["reply"] or {}).get("sentences", ())],
            }
            for turn in turns
        ],
        "events": [event_as_json(event) for event in events],
        "older": events[0].seq if len(events) == handoff.MOST_READ else None,
        "contact": contact,
        "signed_in": await handoff.is_somebodys(deps.engine, conversation),
        "may_write": mine and bool(by.roles & WRITERS),
    }


def event_as_json(event: HandoffEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "id": event.id,
        "handoff": event.handoff_id,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "speaker": event.speaker,
        "name": event.name,
        "staff": event.staff_id,
        "text": event.text,
        "told": dict(event.told),
        "erased": event.erased,
    }


def _row(deps: Deps, each: Handoff, by: Signed) -> dict[str, Any]:
    plan = plan_of(deps)
    writes = bool(by.roles & WRITERS)
    return {
        "id": each.id,
        "state": each.state,
        "classes": list(each.classes),
        "priority": each.priority,
        "skill": each.skill,
        "asked_at": each.asked_at,
        "taken_at": each.taken_at,
        "taken_by": each.taken_by_name,
        "mine": each.taken_by == by.staff_id and each.state == "taken",
        "may_take": writes
        and each.state in ("waiting", "ticket")
        and handoff.may_take(plan, each, member(by)),
        "promised_at": each.promised_at,
        "locale": each.locale,
    }
