"""The API of the studio: campaigns, segments, drafts of offers and their way to approval, results.

Who may do what is in the table of access; that nobody approves what they wrote is decided in the
store, whatever roles they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from assistant import campaign_results, contacts, drafts, offer_jobs, saved_segments
from assistant.addressing import Occasion, bounds_of, reasons, refusals
from assistant.best_offer import weigh
from assistant.campaign_results import BadResults, Outcome, newcombe, wilson
from assistant.campaigns import Campaign, CampaignCoupon
from assistant.customers import ListedCustomers, Record, masked_id, masked_name
from assistant.deps import Deps
from assistant.drafts import (
    Approved,
    Check,
    Content,
    Declined,
    Draft,
    Now,
    State,
    Step,
    decide,
    held_of,
    lapse,
    now_of,
)
from assistant.identity import is_customer_id
from assistant.loan_math import as_json
from assistant.models import LOCALES, Locale
from assistant.offer import ideas
from assistant.offer_jobs import Job, TooManyJobs, UnknownSegment, Wanted, today_of
from assistant.people import Person
from assistant.segments import (
    Condition,
    Segment,
    SegmentError,
    attributes,
    matches,
    read_condition,
    sensitive,
    used,
)
from assistant.staff import Signed
from assistant.templates import BadTemplate, slots
from prompts.render import notice

from .access import ACCESS, signed_in
from .chat import FromDeps
from .conversations import EXPORT_HEADERS
from .offers_schemas import (
    AttributeBody,
    CalendarBody,
    CampaignBody,
    CampaignsBody,
    CheckDraftRequest,
    CheckedDraftBody,
    ConditionBody,
    CountBody,
    CountRequest,
    CouponBody,
    DraftBody,
    DraftFindingBody,
    DraftsBody,
    DrawBody,
    EditRequest,
    HistoryBody,
    IdeaBody,
    IntervalBody,
    JobBody,
    LengthBody,
    OfferRequest,
    PreviewBody,
    PrizeBody,
    RefusalBody,
    ResultsBody,
    ResultsRequest,
    RunBody,
    SegmentBody,
    SegmentRequest,
    SegmentsBody,
    StepRequest,
    SubmitRequest,
    SuppressedBody,
    SuppressionRequest,
    SuppressRequest,
    VariantResultBody,
    VersionBody,
    WholeCampaignBody,
    WholeDraftBody,
)
from .problems import accepted_locale, documented, locale_of, problem
from .schemas import LocaleName

router = APIRouter(prefix="/v1", tags=["offers"])

MOST_LISTED = 100
MOST_LOOKED_AT = 1000
"""Customers that are looked at to count a segment."""
PREVIEWED = 5
RUNS_SHOWN = 20

CampaignId = Annotated[str, Path(max_length=64, pattern="^[a-z0-9][a-z0-9-]*$")]
DraftId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=MOST_LISTED)]

DOORS = {
    "read": ("GET", "/v1/drafts"),
    "write": ("POST", "/v1/offers"),
    "approve": ("POST", "/v1/drafts/{draft_id}/approve"),
    "results": ("POST", "/v1/campaigns/{campaign_id}/results"),
}
STEPS: Mapping[str, tuple[drafts.Action, tuple[str, str]]] = {
    "edit": ("edited", ("PATCH", "/v1/drafts/{draft_id}")),
    "submit": ("submitted", ("POST", "/v1/drafts/{draft_id}/submit")),
    "approve": ("approved", ("POST", "/v1/drafts/{draft_id}/approve")),
    "reject": ("rejected", ("POST", "/v1/drafts/{draft_id}/reject")),
    "withdraw": ("withdrawn", ("POST", "/v1/drafts/{draft_id}/withdraw")),
}
"""What may be done to a draft -> action, and the route that does it."""

STATUS = {"unknown_draft": 404, "own_draft": 403, "comment_needed": 422, "answer_needed": 422}
"""Why a step is not made -> status; 409 for all others."""


async def campaigns_of(deps: FromDeps) -> Mapping[str, Campaign]:
    """The campaigns as they are now. A dependency."""
    return await asyncio.to_thread(deps.campaigns)


Known = Annotated[Mapping[str, Campaign], Depends(campaigns_of)]


# Campaigns ------------------------------------------------------------------------------------


@router.get(
    "/campaigns", response_model=CampaignsBody, responses=documented(401, 403, 422, 500, 503)
)
async def list_campaigns(
    request: Request, deps: FromDeps, known: Known, offset: Offset = 0, limit: Limit = 50
) -> CampaignsBody:
    """What may be offered, by first day."""
    today = today_of(deps)
    states = await drafts.count_states(deps.engine)
    reached = await campaign_results.count_contacted(deps.engine)
    shown = list(known.values())[offset : offset + limit]
    roles = signed_in(request).roles
    return CampaignsBody(
        campaigns=[CampaignBody(**_campaign(each, today, states, reached)) for each in shown],
        total=len(known),
        next=_next(offset, limit, len(known)),
        today=today,
        rules_version=deps.rules.version,
        may=[name for name, door in DOORS.items() if _is_open(door, roles)],
    )


@router.get(
    "/campaigns/{campaign_id}",
    response_model=WholeCampaignBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def show_campaign(
    campaign_id: CampaignId, request: Request, deps: FromDeps, known: Known
) -> WholeCampaignBody:
    """One campaign with its coupons, what each saves and what is left of them, its draws with their
    odds, its segments, days and runs."""
    campaign = _named(known, campaign_id)
    locale = accepted_locale(request.headers.get("accept-language", ""))
    today = today_of(deps)
    given = await contacts.given_out(deps.engine, campaign.id)
    runs = await contacts.list_runs(deps.engine, campaign.id, RUNS_SHOWN)
    states = await drafts.count_states(deps.engine)
    reached = await campaign_results.count_contacted(deps.engine)
    days = [
        CalendarBody(on=campaign.starts_on, what="campaign_starts", id=campaign.id),
        CalendarBody(on=campaign.ends_on, what="campaign_ends", id=campaign.id),
    ]
    for coupon in (*campaign.coupons, *campaign.prize_coupons):
        days.append(CalendarBody(on=coupon.valid_from, what="coupon_starts", id=coupon.id))
        days.append(CalendarBody(on=coupon.valid_to, what="coupon_ends", id=coupon.id))
    zone = bounds_of(deps.rules).zone
    days += [
        CalendarBody(on=run.started_at.astimezone(zone).date(), what="run", id=run.id)
        for run in runs
    ]
    coupons = [_coupon(campaign, each, given, today, locale) for each in campaign.coupons]
    prizes = [_coupon(campaign, each, given, today, locale) for each in campaign.prize_coupons]
    spent = sum((Decimal(each.saving_cny or 0) * each.given for each in coupons), Decimal(0))
    return WholeCampaignBody(
        **_campaign(campaign, today, states, reached),
        coupons=coupons,
        prize_coupons=prizes,
        budget_left_cny=_plain(max(Decimal(0), campaign.budget_cny - spent)),
        draws=[
            DrawBody(
                id=draw.id,
                title=dict(draw.title),
                prizes=[
                    PrizeBody(
                        coupon=prize.coupon,
                        odds=_plain(prize.odds),
                        stock=prize.stock,
                        left=max(0, prize.stock - given.get(prize.coupon, 0)),
                    )
                    for prize in draw.prizes
                ],
                nothing=_plain(draw.nothing),
            )
            for draw in campaign.draws
        ],
        eligibility=[_condition(each) for each in campaign.eligibility],
        segments=[_segment(each) for each in campaign.segments],
        holdout=_plain(campaign.holdout),
        terms_link=campaign.terms_link,
        calendar=sorted(days, key=lambda day: (day.on, day.what, day.id)),
        runs=[
            RunBody(
                id=run.id,
                state=run.state,
                rows_in=run.rows_in,
                counts={str(name): n for name, n in run.counts.items() if isinstance(n, int)},
                by=run.by,
                started_at=run.started_at,
            )
            for run in runs
        ],
        ideas=[IdeaBody(id=idea.id, title=dict(idea.title)) for idea in ideas().values()],
    )


def _campaign(
    campaign: Campaign,
    today: date,
    states: Mapping[str, Mapping[State, int]],
    reached: Mapping[str, int],
) -> dict[str, Any]:
    state: Literal["coming", "running", "ended"] = (
        "coming"
        if today < campaign.starts_on
        else "running"
        if today <= campaign.ends_on
        else "ended"
    )
    return {
        "id": campaign.id,
        "title": dict(campaign.title),
        "idea": dict(campaign.idea),
        "products": list(campaign.products),
        "starts_on": campaign.starts_on,
        "ends_on": campaign.ends_on,
        "state": state,
        "channels": list(campaign.channels),
        "budget_cny": _plain(campaign.budget_cny),
        "version": campaign.version,
        "drafts": dict(states.get(campaign.id, {})),
        "contacted": reached.get(campaign.id, 0),
    }


def _coupon(
    campaign: Campaign,
    coupon: CampaignCoupon,
    given: Mapping[str, int],
    today: date,
    locale: Locale,
) -> CouponBody:
    # On a day on which it can be used: what is to come is weighed as it will be.
    on = min(max(today, coupon.valid_from), coupon.valid_to)
    weighed = weigh([coupon], campaign.representative, on)
    saving = weighed.savings[0][1] if weighed.savings else None
    values = {
        name: _plain(value)
        for name in (
            "discount",
            "floor_annual_rate",
            "free_days",
            "principal_cap_cny",
            "amount_cny",
            "threshold_cny",
        )
        if (value := getattr(coupon, name)) is not None
    }
    taken = given.get(coupon.id, 0)
    return CouponBody(
        id=coupon.id,
        kind=coupon.kind,
        title=dict(coupon.title),
        product=coupon.product,
        valid_from=coupon.valid_from,
        valid_to=coupon.valid_to,
        stock=coupon.stock,
        given=taken,
        left=None if coupon.stock is None else max(0, coupon.stock - taken),
        values=values,
        source=coupon.source,
        quote=coupon.quote,
        saving_cny=None if saving is None else f"{saving.saved_cny:.2f}",
        calculation={} if saving is None else dict(as_json(saving, locale)),
        why={each: left.words(each) for left in weighed.left_out for each in LOCALES},
    )


# Segments -------------------------------------------------------------------------------------


@router.get("/segments", response_model=SegmentsBody, responses=documented(401, 403, 422, 500))
async def list_segments(deps: FromDeps, offset: Offset = 0, limit: Limit = 50) -> SegmentsBody:
    """Saved segments, and the attributes that a segment may be made by."""
    found, total = await saved_segments.list_saved(deps.engine, offset, limit)
    usable = [
        AttributeBody(
            id=each.name,
            kind=each.kind,
            title=dict(each.title),
            sensitive=False,
            ops=list(each.ops),
            values=list(each.values),
        )
        for each in attributes().values()
    ]
    barred = {each.name: each for each in sensitive().values()}
    return SegmentsBody(
        segments=[_saved(each) for each in found],
        total=total,
        next=_next(offset, limit, total),
        attributes=[
            *usable,
            *(
                AttributeBody(
                    id=each.name,
                    kind="",
                    title=dict(each.title),
                    sensitive=True,
                    why=dict(each.why),
                )
                for each in barred.values()
            ),
        ],
    )


@router.post("/segments", response_model=SegmentBody, responses=documented(401, 403, 413, 422, 500))
async def save_segment(
    body: SegmentRequest, request: Request, deps: FromDeps
) -> SegmentBody | Response:
    """Keep a segment. Who it means is in its id: with other conditions it is another one."""
    conditions = await _conditions(body.conditions, request)
    if isinstance(conditions, Response):
        return conditions
    me = signed_in(request).staff_id
    saved = await saved_segments.save(deps.trail, body.title.strip(), conditions, by=me)
    return _saved(saved)


@router.post(
    "/segments/count",
    response_model=CountBody,
    responses=documented(401, 403, 404, 413, 422, 500, 503),
)
async def count_segment(
    body: CountRequest, request: Request, deps: FromDeps, known: Known
) -> CountBody | Response:
    """How many customers of the lender's source are in a segment, and who may be addressed.

    Nothing is kept, and nobody is named."""
    conditions = await _conditions(body.conditions, request)
    if isinstance(conditions, Response):
        return conditions
    campaign = _named(known, body.campaign) if body.campaign else None
    source = deps.customers
    records: tuple[Record, ...] = ()
    if isinstance(source, ListedCustomers):
        records = await source.some_records(MOST_LOOKED_AT + 1)
    bounds = bounds_of(deps.rules)
    occasion = None
    at = datetime.now(bounds.zone)
    if campaign and body.channel:
        at = offer_jobs.judged_at(deps, campaign)
    people, reached = await offer_jobs.people_in(deps, records[:MOST_LOOKED_AT], body.campaign, at)
    if campaign and body.channel:
        taken = await contacts.given_out(deps.engine, campaign.id)
        occasion = Occasion(
            body.channel, "marketing", bool(conditions), at, campaign, reached, taken
        )
    matching: list[tuple[Person, list[str]]] = []
    for person in people:
        if matches(conditions, person, at.date()):
            found = refusals(person, occasion, bounds) if occasion else ()
            matching.append((person, [refusal.reason for refusal in found]))
    told: dict[str, int] = {}
    for _, why in matching:
        for reason in dict.fromkeys(why):
            told[reason] = told.get(reason, 0) + 1
    names = used(conditions)
    return CountBody(
        matching=len(matching),
        of=min(len(records), MOST_LOOKED_AT),
        whole=len(records) <= MOST_LOOKED_AT,
        reachable=sum(not why for _, why in matching) if occasion else None,
        refusals=dict(sorted(told.items(), key=lambda item: (-item[1], item[0]))),
        attributes=list(names),
        preview=[
            PreviewBody(
                id=masked_id(person.id),
                name=masked_name(person.name),
                values={name: _plain(person.attribute(name, at.date())) for name in names},
                refusals=why,
            )
            for person, why in matching[:PREVIEWED]
        ],
    )


async def _conditions(
    bodies: list[ConditionBody], request: Request
) -> tuple[Condition, ...] | JSONResponse:
    read: list[Condition] = []
    locale = await locale_of(request)
    for place, each in enumerate(bodies):
        try:
            read.append(read_condition(each.attribute, each.op, each.value))
        except SegmentError as error:
            named = [{"field": f"conditions.{place}", "problem": error.words(locale)}]
            detail = notice("bad_request", locale)
            return problem(422, detail, fields=named, code=f"segment_{error.code}")
    return tuple(read)


def _saved(saved: saved_segments.SavedSegment) -> SegmentBody:
    body = _segment(saved.segment)
    return body.model_copy(
        update={"own": True, "made_by": saved.made_by_name, "made_at": saved.made_at}
    )


def _segment(segment: Segment) -> SegmentBody:
    return SegmentBody(
        id=segment.id,
        title=dict(segment.title),
        conditions=[_condition(each) for each in segment.conditions],
        attributes=list(used(segment.conditions)),
        own=False,
    )


def _condition(condition: Condition) -> ConditionBody:
    return ConditionBody(
        attribute=condition.attribute, op=condition.op, value=saved_segments.plain(condition)
    )


# Suppressions ---------------------------------------------------------------------------------


@router.post(
    "/suppressions", response_model=SuppressedBody, responses=documented(401, 403, 413, 422, 500)
)
async def suppress(
    body: SuppressRequest, request: Request, deps: FromDeps
) -> SuppressedBody | Response:
    """Have nobody write to a customer any more, by one channel or by any."""
    if not is_customer_id(body.customer):
        return _no_customer_id()
    me = signed_in(request).staff_id
    await contacts.suppress(
        deps.trail, body.customer, reason=body.reason, by=me, channel=body.channel
    )
    return SuppressedBody(channel=body.channel, suppressed=True, changed=True)


@router.delete(
    "/suppressions", response_model=SuppressedBody, responses=documented(401, 403, 413, 422, 500)
)
async def lift_suppression(
    body: SuppressionRequest, request: Request, deps: FromDeps
) -> SuppressedBody | Response:
    """Take it back."""
    if not is_customer_id(body.customer):
        return _no_customer_id()
    me = signed_in(request).staff_id
    there = await contacts.lift(deps.trail, body.customer, by=me, channel=body.channel)
    return SuppressedBody(channel=body.channel, suppressed=False, changed=there)


def _no_customer_id() -> JSONResponse:
    named = [{"field": "customer", "problem": "letters, digits and . _ : @ | -"}]
    return problem(422, "no id of a customer", code="bad_customer", fields=named)


# Drafting -------------------------------------------------------------------------------------


@router.post(
    "/offers",
    status_code=202,
    response_model=JobBody,
    responses=documented(401, 403, 404, 413, 422, 429, 500, 503),
)
async def draft_offers(
    body: OfferRequest, request: Request, deps: FromDeps, known: Known
) -> Response:
    """Have drafts written, which takes a while with a model: ask the job how far it is."""
    campaign = _named(known, body.campaign)
    wrong = ""
    if missing := [name for name in body.ideas if name not in ideas()]:
        wrong = f"ideas: no such idea as {missing[0]!r}"
    elif others := [name for name in body.channels if name not in campaign.channels]:
        wrong = f"channels: {others[0]!r} is none of the campaign's"
    elif campaign.ends_on < today_of(deps):
        wrong = "campaign: it has ended"
    else:
        try:
            await offer_jobs.segment_of(deps.engine, campaign, body.segment)
        except UnknownSegment:
            wrong = "segment: no such segment"
    if not wrong and body.customer:
        source = deps.customers
        if source is None or await source.profile(body.customer) is None:
            wrong = "customer: no such customer"
    if wrong:
        field, _, said = wrong.partition(": ")
        detail = notice("bad_request", await locale_of(request))
        return problem(422, detail, fields=[{"field": field, "problem": said}])
    wanted = Wanted(
        campaign=campaign.id,
        segment=body.segment,
        customer=body.customer,
        channels=tuple(dict.fromkeys(body.channels)),
        variants=body.variants,
        ideas=tuple(body.ideas),
        wish=" ".join(body.wish.split()),
        locale=body.locale,
    )
    try:
        job = await offer_jobs.add_job(deps.engine, wanted, by=signed_in(request).staff_id)
    except TooManyJobs:
        response = problem(429, "too many drafts are waiting", code="too_many_jobs")
        response.headers["Retry-After"] = "30"
        return response
    request.app.state.offers.wake.set()
    told = _job(job, accepted_locale(request.headers.get("accept-language", "")))
    return JSONResponse(told.model_dump(mode="json"), 202)


@router.get(
    "/offers/jobs/{job_id}",
    response_model=JobBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def show_job(job_id: DraftId, request: Request, deps: FromDeps) -> JobBody:
    """How far drafting is, with the drafts that are there already."""
    job = await offer_jobs.read_job(deps.engine, job_id)
    if job is None:
        raise HTTPException(404)
    return _job(job, accepted_locale(request.headers.get("accept-language", "")))


def _job(job: Job, locale: str) -> JobBody:
    named = reasons()
    return JobBody(
        id=job.id,
        state=job.state,
        campaign=job.wanted.campaign,
        segment=job.wanted.segment,
        done=job.done,
        total=job.total,
        drafts=list(job.drafts),
        refusals=[
            RefusalBody(
                reason=refusal.reason,
                rule=refusal.rule,
                title=named[refusal.reason].title[locale] if refusal.reason in named else "",
            )
            for refusal in job.refused
        ],
        error=job.error,
        made_at=job.made_at,
    )


# Drafts ---------------------------------------------------------------------------------------


@router.get("/drafts", response_model=DraftsBody, responses=documented(401, 403, 422, 500, 503))
async def list_drafts(
    request: Request,
    deps: FromDeps,
    known: Known,
    campaign: Annotated[str, Query(max_length=64)] = "",
    state: Annotated[list[State] | None, Query(max_length=8)] = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> DraftsBody:
    """Drafts, the last changed first; of one campaign, in some states."""
    found, total = await drafts.list_drafts(
        deps.engine, campaign=campaign, states=state or (), offset=offset, limit=limit
    )
    me = signed_in(request)
    return DraftsBody(
        drafts=[DraftBody(**await _draft(deps, each, known, me)) for each in found],
        total=total,
        next=_next(offset, limit, total),
    )


@router.get(
    "/drafts/{draft_id}",
    response_model=WholeDraftBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def show_draft(
    draft_id: DraftId, request: Request, deps: FromDeps, known: Known
) -> WholeDraftBody:
    """One draft with its versions, and all that was done to it."""
    return await _whole(deps, await _found(deps, draft_id), known, signed_in(request))


@router.patch(
    "/drafts/{draft_id}",
    response_model=WholeDraftBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def edit_draft(
    draft_id: DraftId, body: EditRequest, request: Request, deps: FromDeps, known: Known
) -> WholeDraftBody | Response:
    """Put another text in the place of one; what has to stand around it is put in from what is in
    force now, and the rules judge the whole. An approval of the draft holds no more."""
    draft = await _found(deps, draft_id)
    try:
        content, check = await offer_jobs.redraft(
            deps, draft.content, draft.check, body.template, body.subject
        )
    except BadTemplate as error:
        return _unfilled(error)
    except (KeyError, UnknownSegment):
        return problem(409, "what it offers is not there any more", code="offer_changed")

    async def step(me: str, now: Now) -> Draft | Declined:
        return await drafts.edit(
            deps.trail, draft_id, content, check, by=me, seen=body.seen, now=now
        )

    return await _step(request, deps, known, content, step)


@router.post(
    "/drafts/{draft_id}/check",
    response_model=CheckedDraftBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def check_draft(
    draft_id: DraftId, body: CheckDraftRequest, deps: FromDeps
) -> CheckedDraftBody | Response:
    """What the rules would say of another text, and how it would look; nothing is kept."""
    draft = await _found(deps, draft_id)
    known = _slots_known(draft.content)
    try:
        content, check = await offer_jobs.redraft(
            deps, draft.content, draft.check, body.template, body.subject
        )
    except BadTemplate as error:
        return CheckedDraftBody(
            verdict="block",
            passes=False,
            sample="",
            sample_subject="",
            opening=draft.content.opening,
            closing=draft.content.closing,
            findings=[],
            unchecked=[],
            length=None,
            slots=[],
            slots_known=known,
            error=str(error),
            error_code=error.code,
            error_at=error.at,
        )
    except (KeyError, UnknownSegment):
        return problem(409, "what it offers is not there any more", code="offer_changed")
    return CheckedDraftBody(
        **_checked(check),
        opening=content.opening,
        closing=content.closing,
        passes=check.passes,
        unchecked=[dict(each) for each in check.unchecked],
        slots=list(content.slots),
        slots_known=known,
    )


@router.post(
    "/drafts/{draft_id}/submit",
    response_model=WholeDraftBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def submit_draft(
    draft_id: DraftId, body: SubmitRequest, request: Request, deps: FromDeps, known: Known
) -> WholeDraftBody | Response:
    """Ask for approval; what the rules remark has to be answered first."""

    async def step(me: str, now: Now) -> Draft | Declined:
        return await drafts.submit(
            deps.trail,
            draft_id,
            by=me,
            seen=body.seen,
            comment=body.comment,
            answers=body.answers,
            now=now,
        )

    return await _step(request, deps, known, (await _found(deps, draft_id)).content, step)


@router.post(
    "/drafts/{draft_id}/approve",
    response_model=WholeDraftBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def approve_draft(
    draft_id: DraftId, body: StepRequest, request: Request, deps: FromDeps, known: Known
) -> WholeDraftBody | Response:
    """Approve a draft that somebody else wrote: from then on it is frozen as it was looked at."""

    async def step(me: str, now: Now) -> Draft | Declined:
        return await drafts.approve(
            deps.trail, draft_id, by=me, seen=body.seen, comment=body.comment, now=now
        )

    return await _step(request, deps, known, (await _found(deps, draft_id)).content, step)


@router.post(
    "/drafts/{draft_id}/reject",
    response_model=WholeDraftBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def reject_draft(
    draft_id: DraftId, body: StepRequest, request: Request, deps: FromDeps, known: Known
) -> WholeDraftBody | Response:
    """Turn a draft down that somebody else wrote; the comment says why."""

    async def step(me: str, now: Now) -> Draft | Declined:
        return await drafts.reject(
            deps.trail, draft_id, by=me, seen=body.seen, comment=body.comment, now=now
        )

    return await _step(request, deps, known, (await _found(deps, draft_id)).content, step)


@router.post(
    "/drafts/{draft_id}/withdraw",
    response_model=WholeDraftBody,
    responses=documented(401, 403, 404, 409, 413, 422, 500, 503),
)
async def withdraw_draft(
    draft_id: DraftId, body: StepRequest, request: Request, deps: FromDeps, known: Known
) -> WholeDraftBody | Response:
    """Take a draft back; nothing more is sent by it."""

    async def step(me: str, now: Now) -> Draft | Declined:
        return await drafts.withdraw(
            deps.trail, draft_id, by=me, seen=body.seen, comment=body.comment, now=now
        )

    return await _step(request, deps, known, (await _found(deps, draft_id)).content, step)


@router.get(
    "/drafts/{draft_id}/sheet",
    response_class=HTMLResponse,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def show_sheet(
    draft_id: DraftId, deps: FromDeps, known: Known, locale: LocaleName = "zh-Hans"
) -> HTMLResponse:
    """The decision sheet: what is sent, what speaks against it and what was said to that, how the
    offer was chosen, who did what when. One page that needs nothing else, to print or keep."""
    draft = await _found(deps, draft_id)
    campaign = known.get(draft.content.campaign)
    stands = await _stands(deps, draft, campaign)
    shown = drafts.sheet(
        draft,
        await drafts.history(deps.trail, draft_id),
        await drafts.versions(deps.engine, draft_id),
        lender=deps.lender.name,
        campaign=campaign.title[locale] if campaign else draft.content.campaign,
        lapsed="" if isinstance(stands, Approved) else stands,
        locale=locale,
    )
    return HTMLResponse(shown, headers=EXPORT_HEADERS)


async def _step(
    request: Request,
    deps: Deps,
    known: Mapping[str, Campaign],
    content: Content,
    make: Callable[[str, Now], Awaitable[Draft | Declined]],
) -> WholeDraftBody | JSONResponse:
    """Make a step on behalf of who is signed in; a problem that says how the draft stands where it
    is not made."""
    me = signed_in(request)
    done = await make(me.staff_id, _now(deps, known.get(content.campaign), content))
    if isinstance(done, Draft):
        return await _whole(deps, done, known, me)
    if done.reason == "unknown_draft":
        raise HTTPException(404)
    more: dict[str, Any] = {"rules": list(done.rules)} if done.rules else {}
    if done.draft is not None:
        more["draft"] = {
            "state": done.draft.state,
            "version": done.draft.version,
            "sha256": done.draft.sha256,
        }
    if done.last is not None:
        more["last"] = {
            "action": done.last.action,
            "by": done.last.by_name,
            "at": done.last.at,
            "comment": done.last.comment,
        }
    said = done.reason.replace("_", " ")
    return problem(STATUS.get(done.reason, 409), said, code=done.reason, **more)


def _unfilled(error: BadTemplate) -> JSONResponse:
    named = [{"field": "template", "problem": str(error)}]
    return problem(422, str(error), code="bad_template", at=error.at, fields=named)


async def _found(deps: Deps, draft_id: str) -> Draft:
    draft = await drafts.read_draft(deps.engine, draft_id)
    if draft is None:
        raise HTTPException(404)
    return draft


def _now(deps: Deps, campaign: Campaign | None, content: Content) -> Now:
    return now_of(campaign, content, rules_version=deps.rules.version, today=today_of(deps))


async def _stands(deps: Deps, draft: Draft, campaign: Campaign | None) -> Approved | str:
    """The standing approval of a draft, or why there is none."""
    found = await drafts.standing(
        deps.trail,
        draft.id,
        campaign=campaign,
        rules_version=deps.rules.version,
        today=today_of(deps),
    )
    return found if isinstance(found, Approved) else found.reason


async def _draft(
    deps: Deps, draft: Draft, known: Mapping[str, Campaign], me: Signed
) -> dict[str, Any]:
    content, held = draft.content, held_of(draft)
    campaign = known.get(content.campaign)
    now = _now(deps, campaign, content)
    lapsed: str = lapse(held, now) or ""
    may_send = False
    if draft.state in drafts.STANDS:
        stands = await _stands(deps, draft, campaign)
        may_send = isinstance(stands, Approved)
        lapsed = "" if isinstance(stands, Approved) else stands

    def may(action: drafts.Action) -> bool:
        step = Step(action, me.staff_id, held.sha256, "-", new_sha256="-", new_passes=True)
        return decide(held, step, now) in drafts.STATES

    return {
        **_checked(draft.check),
        "id": draft.id,
        "campaign": content.campaign,
        "segment": content.segment,
        "channel": content.channel,
        "variant": content.variant,
        "idea": content.idea,
        "locale": content.locale,
        "personalised": content.personalised,
        "state": draft.state,
        "lapsed": lapsed,
        "may_send": may_send,
        "version": draft.version,
        "sha256": draft.sha256,
        "template": content.template,
        "subject": content.subject,
        "opening": content.opening,
        "closing": content.closing,
        "coupon": content.coupon,
        "coupon_from": content.coupon_from,
        "coupon_to": content.coupon_to,
        "draw": content.draw,
        "made_by": draft.check.made_by,
        "author": draft.author_name,
        "editor": draft.editor_name,
        "mine": held.is_own(me.staff_id),
        "may": [
            name
            for name, (action, door) in STEPS.items()
            if _is_open(door, me.roles) and may(action)
        ],
        "made_at": draft.made_at,
        "changed_at": draft.changed_at,
    }


async def _whole(
    deps: Deps, draft: Draft, known: Mapping[str, Campaign], me: Signed
) -> WholeDraftBody:
    content = draft.content
    return WholeDraftBody(
        **await _draft(deps, draft, known, me),
        history=[
            HistoryBody(
                seq=step.seq,
                at=datetime.fromisoformat(step.at),
                action=step.action,
                by=step.by_name,
                state=step.state,
                version=step.version,
                sha256=step.sha256,
                comment=step.comment,
                answers=dict(step.answers),
                reason=step.reason,
                genuine=step.genuine,
            )
            for step in await drafts.history(deps.trail, draft.id)
        ],
        versions=[
            VersionBody(
                **_checked(version.check),
                number=version.number,
                sha256=version.content.sha256,
                template=version.content.template,
                subject=version.content.subject,
                by=version.by_name,
                at=version.at,
            )
            for version in await drafts.versions(deps.engine, draft.id)
        ],
        calculation=dict(draft.check.calculation),
        attributes=list(draft.check.attributes),
        values=dict(content.values),
        slots=list(content.slots),
        slots_known=_slots_known(content),
        unchecked=[dict(each) for each in draft.check.unchecked],
        prompt_version=draft.check.prompt_version,
        campaign_version=content.campaign_version,
        rules_version=content.rules_version,
    )


def _checked(check: Check) -> dict[str, Any]:
    return {
        "verdict": check.verdict,
        "sample": check.sample,
        "sample_subject": check.sample_subject,
        "findings": [DraftFindingBody.model_validate(each) for each in check.findings],
        "length": LengthBody.model_validate(check.length) if check.length else None,
    }


def _slots_known(content: Content) -> dict[str, str]:
    """Slots that the text may use, with what would stand in them."""
    locale = cast("Any", content.locale)
    return {
        name: content.values.get(name, slot.example.get(locale, ""))
        for name, slot in slots().items()
        if content.personalised or name != "name"
    }


# Results --------------------------------------------------------------------------------------


@router.get(
    "/campaigns/{campaign_id}/results",
    response_model=ResultsBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def show_results(campaign_id: CampaignId, deps: FromDeps, known: Known) -> ResultsBody:
    """What came of a campaign by variant, beside those who got nothing."""
    return await _results(deps, _named(known, campaign_id).id)


@router.post(
    "/campaigns/{campaign_id}/results",
    response_model=ResultsBody,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ResultsRequest.model_json_schema()},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
    responses=documented(401, 403, 404, 413, 422, 500, 503),
)
async def import_results(
    campaign_id: CampaignId,
    request: Request,
    deps: FromDeps,
    known: Known,
) -> ResultsBody | Response:
    """Bring in what came of a campaign, in the place of what was brought in before. A larger file,
    of up to 16 MB, is sent as it is, as `text/csv`."""
    campaign = _named(known, campaign_id)
    try:
        text = await _results_text(request)
        outcomes = await asyncio.to_thread(campaign_results.read_csv, text)
    except BadResults as error:
        named = [{"field": "csv", "problem": str(error)}]
        return problem(422, str(error), code="bad_results", fields=named)
    me = signed_in(request).staff_id
    await campaign_results.keep(deps.trail, campaign.id, outcomes, by=me)
    return await _results(deps, campaign.id)


async def _results_text(request: Request) -> str:
    """Raises BadResults, RequestValidationError."""
    given = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip() == "text/csv":
        try:
            return given.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadResults(f"byte {error.start}: expected UTF-8") from None
    try:
        return ResultsRequest.model_validate_json(given).csv
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        named = [{**each, "loc": ("body", *each["loc"])} for each in found]
        raise RequestValidationError(named) from None


async def _results(deps: Deps, campaign_id: str) -> ResultsBody:
    found = await campaign_results.read_results(deps.engine, campaign_id)
    if found is None:
        return ResultsBody(
            campaign=campaign_id, variants=[], holdout="", imported_by="", imported_at=None
        )
    return ResultsBody(
        campaign=campaign_id,
        variants=[_outcome(each, found.holdout) for each in found.outcomes],
        holdout=found.holdout.variant if found.holdout else "",
        imported_by=found.imported_by,
        imported_at=found.imported_at,
    )


def _outcome(outcome: Outcome, holdout: Outcome | None) -> VariantResultBody:
    share = wilson(outcome.converted, outcome.n) if outcome.n else None
    difference = (
        newcombe(outcome, holdout)
        if holdout and outcome != holdout and outcome.n and holdout.n
        else None
    )
    return VariantResultBody(
        variant=outcome.variant,
        n=outcome.n,
        converted=outcome.converted,
        share=IntervalBody(**asdict(share)) if share else None,
        difference=IntervalBody(**asdict(difference)) if difference else None,
        beyond_chance=(difference.low > 0 or difference.high < 0) if difference else None,
    )


def _named(known: Mapping[str, Campaign], campaign_id: str) -> Campaign:
    campaign = known.get(campaign_id)
    if campaign is None:
        raise HTTPException(404)
    return campaign


def _next(offset: int, limit: int, total: int) -> int | None:
    return offset + limit if offset + limit < total else None


def _is_open(door: tuple[str, str], roles: frozenset[Any]) -> bool:
    who = ACCESS[door]
    return isinstance(who, frozenset) and bool(who & roles)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
