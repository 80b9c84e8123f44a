"""Quality scores over HTTP: one conversation, those that are kept, appeals, samples and trends.

Agents see their own conversations and may appeal; who decides an appeal, or scores a sample, took
no part in it: that is decided in the store, whatever roles they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from assistant import quality_store
from assistant.deps import Deps
from assistant.models import Locale, today
from assistant.quality import Book, Score, Shelf, book_of, point_as_json, score, score_as_json
from assistant.quality_store import Appeal, Declined, Kept
from assistant.score_cli import held_on
from assistant.transcripts import Transcript, Turn
from prompts.render import notice

from .access import ACCESS, signed_in
from .chat import FromDeps
from .problems import accepted_locale, documented, problem
from .schemas import LocaleName
from .scores_schemas import (
    AgreementBody,
    AppealBody,
    AppealRequest,
    AppealsBody,
    DecisionRequest,
    DrawnBody,
    ReviewBody,
    ReviewRequest,
    ReviewsBody,
    SampleRequest,
    ScoreBody,
    ScoreRequest,
    ScoreRowBody,
    ScoresBody,
    TrendBody,
    TrendPointBody,
    TrendsBody,
    WholeScoreBody,
)

router = APIRouter(prefix="/v1", tags=["scores"])

ScoreId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=100)]
Days = Annotated[int, Query(ge=1, le=400)]
_FAULTS = (401, 403, 404, 409, 422, 500, 503)

DOORS = {
    "review": ("POST", "/v1/scores/{score_id}/review"),
    "decide": ("POST", "/v1/scores/appeals/{appeal_id}/decision"),
    "draw": ("POST", "/v1/scores/samples"),
    "appeal": ("POST", "/v1/scores/{score_id}/appeals"),
}
SEES_ALL = frozenset({"supervisor", "compliance", "admin", "auditor"})
KEEPERS = frozenset({"supervisor", "compliance", "admin"})

STATUS: Mapping[str, int] = {
    "unknown_score": 404,
    "unknown_point": 404,
    "unknown_appeal": 404,
    "not_drawn": 404,
    "not_yours": 403,
    "own_conversation": 403,
}
"""Why something is not done -> status; 409 for all others."""


def _may(request: Request) -> list[str]:
    roles = signed_in(request).roles
    return [name for name, door in DOORS.items() if roles & frozenset(ACCESS[door])]


def _own_only(request: Request) -> str | None:
    """The login whose conversations alone may be seen; None: all."""
    signed = signed_in(request)
    return None if signed.roles & SEES_ALL else signed.login


def _declined(declined: Declined, request: Request) -> Response:
    locale = accepted_locale(request.headers.get("accept-language", ""))
    text = notice(f"score_{declined.code}", locale)
    return problem(STATUS.get(declined.code, 409), text, code=declined.code)


async def _made_by(request: Request, deps: Deps) -> tuple[Book, Shelf | None]:
    book = await asyncio.to_thread(book_of, deps.settings.lender)
    held: Shelf | None = getattr(request.app.state, "quality_shelf", None)
    shelf = await quality_store.open_shelf(deps.engine, book, held)
    request.app.state.quality_shelf = shelf
    return book, shelf


@router.post("/copilot/score", response_model=ScoreBody, responses=documented(*_FAULTS))
async def score_conversation(
    body: ScoreRequest, request: Request, deps: FromDeps
) -> dict[str, Any] | Response:
    """What a conversation is worth, each point with its place; no model is asked."""
    signed = signed_in(request)
    transcript: Transcript | None
    if body.turns is None:
        transcript = await quality_store.read_conversation(deps.engine, body.conversation_id)
        took_part = transcript is not None and any(t.by == signed.login for t in transcript.turns)
        if transcript is None or not (took_part or signed.roles & SEES_ALL):
            return _declined(Declined("unknown_score"), request)
        if body.topic:
            transcript = replace(transcript, topic=body.topic)
    else:
        turns = tuple(Turn(t.speaker, t.text, t.at, t.by) for t in body.turns if t.text.strip())
        name = body.conversation_id or "turns"
        started = next((turn.at for turn in turns if turn.at), None)
        transcript = Transcript(name, turns, started, body.facts, body.topic)
    book, shelf = await _made_by(request, deps)
    found = await asyncio.to_thread(_score, transcript, deps, book, shelf, body)
    if body.keep and signed.roles & KEEPERS:
        source: quality_store.Source = "own" if body.turns is None else "import"
        await quality_store.keep(deps.engine, [(transcript, found)], source)
    return _body(found, book, deps, body.locale)


def _score(
    transcript: Transcript, deps: Deps, book: Book, shelf: Shelf | None, body: ScoreRequest
) -> Score:
    day = body.on or held_on(transcript) or today()
    knowledge = shelf.on(day) if shelf else None
    return score(transcript, deps.rules, book, knowledge, on=day, channel=body.channel)


def _body(
    found: Score,
    book: Book,
    deps: Deps,
    locale: Locale,
    waived: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    points = [
        {
            **point_as_json(point, book, deps.rules, locale),
            "place": place,
            "waived": place in waived,
        }
        for place, point in enumerate(found.points)
    ]
    return {**score_as_json(found, book, deps.rules, locale), "points": points}


@router.get("/scores", response_model=ScoresBody, responses=documented(401, 403, 422, 500, 503))
async def list_scores(
    request: Request,
    deps: FromDeps,
    days: Days = 90,
    agent: Annotated[str, Query(max_length=64)] = "",
    topic: Annotated[str, Query(max_length=64)] = "",
    code: Annotated[str, Query(max_length=64)] = "",
    passed: bool | None = None,
    offset: Offset = 0,
    limit: Limit = 50,
    locale: LocaleName = "zh-Hans",
) -> ScoresBody:
    """Scores of the last days, the newest first; agents are given their own."""
    own = _own_only(request)
    book = await asyncio.to_thread(book_of, deps.settings.lender)
    found, total = await quality_store.list_scores(
        deps.engine,
        first=today() - timedelta(days=days),
        login=own if own is not None else agent or None,
        topic=topic,
        code=code,
        passed=passed,
        offset=offset,
        limit=limit,
    )
    return ScoresBody(
        scores=[_row(kept, book, deps, locale) for kept in found],
        total=total,
        next=offset + limit if offset + limit < total else None,
        may=_may(request),
    )


def _row(kept: Kept, book: Book, deps: Deps, locale: Locale) -> ScoreRowBody:
    lost = [p for i, p in enumerate(kept.score.points) if not p.met and i not in kept.waived]
    codes = [*dict.fromkeys(point.code for point in lost)]
    return ScoreRowBody(
        id=kept.id,
        conversation_id=kept.score.transcript_id,
        source=kept.source,
        on=kept.held_on,
        total=kept.score.total,
        passed=kept.score.passed,
        band=kept.score.band,
        task=kept.score.task,
        topic=kept.score.topic,
        topic_title=_title(kept.score.topic, "topic", book, deps, locale),
        agents=list(kept.score.agents),
        codes=codes,
        lost=[_title(code, "rule", book, deps, locale) for code in codes],
    )


@router.get("/scores/trends", response_model=TrendsBody, responses=documented(401, 403, 422, 500))
async def show_trends(
    request: Request,
    deps: FromDeps,
    group: quality_store.Group = "all",
    days: Days = 90,
    by: Literal["week", "day"] = "week",
    locale: LocaleName = "zh-Hans",
) -> TrendsBody:
    """How scores went: in all, by agent or topic; or of 100 conversations, how many lost by each
    rule or part."""
    book = await asyncio.to_thread(book_of, deps.settings.lender)
    found = await quality_store.trends(
        deps.engine,
        group,
        first=today() - timedelta(days=days),
        by_week=by == "week",
        login=_own_only(request),
    )
    return TrendsBody(
        group=group,
        by=by,
        bar=book.thresholds["pass"],
        trends=[
            TrendBody(
                name=trend.name,
                title=_title(trend.name, group, book, deps, locale),
                n=trend.n,
                mean=trend.mean,
                points=[TrendPointBody(first=d, n=n, value=v) for d, n, v in trend.weeks],
            )
            for trend in found
        ],
    )


def _title(name: str, group: str, book: Book, deps: Deps, locale: Locale) -> str:
    if group == "part":
        return next((words[locale] for part, words in book.titles.items() if part == name), name)
    if group == "topic":
        return book.topic_titles.get(name, {}).get(locale, name)
    if group != "rule":
        return name
    rule = deps.rules.by_id.get(name)
    if rule is not None:
        return rule.title(locale)
    words = book.why.get(name)
    return words[locale].partition("：")[0].partition(":")[0] if words else name


@router.get(
    "/scores/agreement", response_model=AgreementBody, responses=documented(401, 403, 422, 500)
)
async def show_agreement(deps: FromDeps, days: Days = 90) -> dict[str, Any]:
    """How far people who scored samples agree with the machine."""
    book = await asyncio.to_thread(book_of, deps.settings.lender)
    found = await quality_store.agreement(deps.engine, book, today() - timedelta(days=days))
    return asdict(found)


@router.post(
    "/scores/samples", response_model=DrawnBody, responses=documented(401, 403, 422, 500, 503)
)
async def draw_sample(body: SampleRequest, request: Request, deps: FromDeps) -> dict[str, int]:
    """Draw conversations for people: low ones, some at random, some of each agent."""
    drawn = await quality_store.draw(
        deps.trail,
        first=today() - timedelta(days=body.days),
        last=None,
        each=body.each,
        staff_id=signed_in(request).staff_id,
    )
    return {str(stratum): count for stratum, count in drawn.items()}


@router.get("/scores/samples", response_model=ReviewsBody, responses=documented(401, 403, 422, 500))
async def list_samples(
    request: Request, deps: FromDeps, done: bool = False, offset: Offset = 0, limit: Limit = 50
) -> ReviewsBody:
    """Conversations that were drawn; what the machine found is told once a person has scored."""
    found, total = await quality_store.list_reviews(
        deps.engine, done=done, offset=offset, limit=limit
    )
    return ReviewsBody(
        reviews=[
            ReviewBody(
                score_id=each.score_id,
                conversation_id=each.conversation_id,
                stratum=each.stratum,
                on=each.held_on,
                agents=list(each.agents),
                machine=each.machine if done else None,
                total=each.total,
                reviewed_by=each.reviewed_by,
            )
            for each in found
        ],
        total=total,
        next=offset + limit if offset + limit < total else None,
        may=_may(request),
    )


@router.get("/scores/appeals", response_model=AppealsBody, responses=documented(401, 403, 422, 500))
async def list_appeals(
    request: Request,
    deps: FromDeps,
    state: Annotated[quality_store.AppealState | None, Query()] = None,
) -> AppealsBody:
    """Appeals, the oldest first; agents are given their own."""
    own = _own_only(request) or ""
    found = await quality_store.list_appeals(deps.engine, state=state, login=own)
    return AppealsBody(appeals=[_appeal(each) for each in found], may=_may(request))


def _appeal(each: Appeal) -> AppealBody:
    return AppealBody(**asdict(each))


@router.post("/scores/appeals/{appeal_id}/decision", responses=documented(*_FAULTS))
async def decide_appeal(
    appeal_id: ScoreId, body: DecisionRequest, request: Request, deps: FromDeps
) -> Response:
    """Uphold an appeal, which gives the points back, or dismiss it."""
    signed = signed_in(request)
    book = await asyncio.to_thread(book_of, deps.settings.lender)
    declined = await quality_store.decide(
        deps.trail,
        book,
        appeal_id,
        staff_id=signed.staff_id,
        login=signed.login,
        uphold=body.uphold,
        comment=body.comment,
    )
    return _declined(declined, request) if declined else Response(status_code=204)


@router.get("/scores/{score_id}", response_model=WholeScoreBody, responses=documented(*_FAULTS))
async def show_score(
    score_id: ScoreId, request: Request, deps: FromDeps, locale: LocaleName = "zh-Hans"
) -> WholeScoreBody | Response:
    """One score with its conversation; of a sample that no person has scored, without it."""
    kept = await quality_store.read_score(deps.engine, score_id)
    own = _own_only(request)
    if kept is None or (own is not None and own not in kept.score.agents):
        return _declined(Declined("unknown_score"), request)
    book = await asyncio.to_thread(book_of, deps.settings.lender)
    awaits = own is None and await quality_store.awaits_review(deps.engine, score_id)
    appeals = await quality_store.list_appeals(deps.engine, score_id=score_id)
    body = _body(kept.score, book, deps, locale, kept.waived)
    return WholeScoreBody.model_validate(
        {
            "id": kept.id,
            "source": kept.source,
            "awaits_review": awaits,
            "score": None if awaits else body,
            "conversation": [
                {"speaker": turn.speaker, "text": turn.text, "by": turn.by} for turn in kept.turns
            ],
            "appeals": [_appeal(each) for each in appeals],
            "may": [
                door
                for door in _may(request)
                if door != "appeal" or signed_in(request).login in kept.score.agents
            ],
        }
    )


@router.post("/scores/{score_id}/appeals", status_code=201, responses=documented(*_FAULTS))
async def make_appeal(
    score_id: ScoreId, body: AppealRequest, request: Request, deps: FromDeps
) -> Any:
    """Appeal against a point, by who spoke."""
    signed = signed_in(request)
    made = await quality_store.appeal(
        deps.trail,
        score_id,
        body.place,
        staff_id=signed.staff_id,
        login=signed.login,
        reason=body.reason,
    )
    return _declined(made, request) if isinstance(made, Declined) else {"id": made}


@router.post("/scores/{score_id}/review", responses=documented(*_FAULTS))
async def make_review(
    score_id: ScoreId, body: ReviewRequest, request: Request, deps: FromDeps
) -> Response:
    """What a person found of a sample, before seeing what the machine did."""
    signed = signed_in(request)
    declined = await quality_store.review(
        deps.trail,
        score_id,
        staff_id=signed.staff_id,
        login=signed.login,
        total=body.total,
        verdicts=body.verdicts,
        note=body.note,
    )
    return _declined(declined, request) if declined else Response(status_code=204)
