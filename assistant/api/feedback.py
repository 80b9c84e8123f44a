"""What borrowers say of replies, and what staff make of it: cases to evaluate, answers to sign."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from assistant import approved, case_drafts, compliance, feedback, signed_answers
from assistant.approved import ApprovedError
from assistant.case_drafts import CaseDraft, LabelledTwice, LabelStatus, UnknownDraft
from assistant.deps import Deps
from assistant.feedback import MAX_COMMENT, Given, Item, NotTheirs, Show, UnknownReason
from assistant.models import LOCALES, today
from assistant.rules import read_context
from assistant.samples import ZONE
from assistant.signed_answers import (
    AnswerDraft,
    ChangedMeanwhile,
    Content,
    OwnDraft,
    UnknownAnswer,
)
from prompts.render import notice

from .access import ACCESS, SIGNERS, signed_in
from .chat import Asking, FromDeps, subject
from .evals import ShareBody
from .problems import documented, problem
from .schemas import LocaleName

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])

MOST_ITEMS = 50
Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Passage = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]

log = structlog.get_logger()


class FeedbackRequest(BaseModel):
    """What a borrower says of one reply; it takes the place of what they said before."""

    model_config = ConfigDict(extra="forbid")

    record_id: Id = Field(description="From the reply's `done`.")
    conversation_id: Id = Field(description="The conversation that the reply stands in.")
    useful: bool
    reason: str = Field(
        default="", max_length=32, description="One of `reasons`, beside `useful: false`."
    )
    comment: str = Field(
        default="", max_length=MAX_COMMENT, description="Personal data in it is masked."
    )
    locale: LocaleName = "zh-Hans"


class ThanksBody(BaseModel):
    record_id: str
    useful: bool


class FeedbackPointBody(ShareBody):
    """The share of thumbs up among all, of the replies of a day or week."""

    first: date


class SummaryBody(BaseModel):
    by: Literal["day", "week"]
    points: list[FeedbackPointBody]
    reasons: dict[str, int] = Field(description="Reason -> thumbs down with it.")
    no_reason: int
    may: list[str] = Field(description="What the caller may do: `read`, `label`, `write`, `sign`.")


class SourceBody(BaseModel):
    source: str
    document: str
    locator: str
    quote: str


class ItemBody(BaseModel):
    """A question whose reply did not help; personal data is masked in all of it."""

    record_id: str
    asked_at: datetime
    locale: str
    question: str
    status: str
    answer: str
    citations: list[SourceBody]
    useful: bool | None
    reason: str
    comment: str
    case_id: str
    answer_id: str


class ItemsBody(BaseModel):
    items: list[ItemBody]
    total: int
    next: int | None = Field(description="`offset` of the next page.")


class CaseRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    record_id: Id


class MadeBody(BaseModel):
    id: str


class LabelRequest(BaseModel):
    """What a right reply is."""

    model_config = ConfigDict(extra="forbid")

    status: LabelStatus
    facts: list[Annotated[list[Line], Field(min_length=1, max_length=8)]] = Field(
        default=[],
        max_length=12,
        description="Of each inner list one wording must stand in the answer.",
    )

    @model_validator(mode="after")
    def _facts_go_with_an_answer(self) -> LabelRequest:
        if self.facts and self.status not in ("answered", "handoff"):
            raise ValueError(f"facts: a reply with {self.status!r} says none")
        return self


class LabelBody(BaseModel):
    status: str
    facts: list[list[str]]
    mine: bool


class CaseDraftBody(BaseModel):
    """A draft. Another's label is shown to those only who have given theirs."""

    id: str
    question: str
    made_at: datetime
    labels: list[LabelBody]
    labelled_by: int
    state: Literal["open", "disputed", "agreed"]


class CaseDraftsBody(BaseModel):
    drafts: list[CaseDraftBody]
    kappa: ShareBody | None = Field(
        description="Cohen's kappa of two people on the expected status, before either saw the "
        "other's label; -1 to 1. Null: nothing was labelled by two."
    )
    facts_same: ShareBody | None
    file: str = Field(description="Name of the file in the lender's folder of cases.")
    in_file: int


class AnswerRequest(BaseModel):
    """An answer to be signed off."""

    model_config = ConfigDict(extra="forbid")

    record_id: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] = ""
    questions: Annotated[list[Line], Field(min_length=1, max_length=10)]
    product: str = Field(default="", max_length=64)
    source: Annotated[str, Field(min_length=1, max_length=300)]
    quote: Passage
    wording: dict[LocaleName, Passage] = Field(min_length=1)
    effective_from: date
    effective_to: date | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> AnswerRequest:
        if self.effective_to and self.effective_to < self.effective_from:
            raise ValueError("effective_to: before effective_from")
        return self


class AnswerBody(BaseModel):
    id: str
    record_id: str
    questions: list[str]
    product: str
    source: str
    quote: str
    wording: dict[str, str]
    effective_from: date
    effective_to: date | None
    sha256: str = Field(description="Of all of this: to be named by who signs it.")
    state: Literal["draft", "signed", "withdrawn"]
    author: str
    mine: bool
    made_at: datetime
    signer: str
    decided_at: datetime | None


class AnswersBody(BaseModel):
    answers: list[AnswerBody]


class SignatureRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


# Borrowers ---------------------------------------------------------------------------------------


@router.post("", response_model=ThanksBody, responses=documented(401, 404, 413, 422, 429, 500, 503))
async def give(body: FeedbackRequest, deps: FromDeps, borrower: Asking) -> ThanksBody | Response:
    """Say of a reply of one's own whether it helped, and if one likes why not."""
    given = Given(body.record_id, body.conversation_id, body.useful, body.reason, body.comment)
    try:
        await feedback.give(deps.engine, given, subject(deps, borrower))
    except NotTheirs:
        return problem(404, notice("not_found", body.locale))
    except UnknownReason:
        named = [{"field": "reason", "problem": f"expected one of {list(feedback.reasons())}"}]
        return problem(422, notice("bad_request", body.locale), fields=named)
    return ThanksBody(record_id=body.record_id, useful=body.useful)


# Staff: what was said ----------------------------------------------------------------------------


@router.get("/summary", response_model=SummaryBody, responses=documented(401, 403, 422, 500))
async def summary(
    request: Request,
    deps: FromDeps,
    days: Annotated[int, Query(ge=1, le=366)] = 90,
    by: Literal["day", "week"] = "week",
) -> dict[str, Any]:
    """How many found the replies useful, over time, and why the others did not."""
    from evals.metrics import wilson

    first = _start(today() - timedelta(days=days - 1), by)
    sums: dict[date, tuple[int, int]] = {}
    for count in await feedback.counts(deps.engine, first):
        start = _start(count.day, by)
        useful, n = sums.get(start, (0, 0))
        sums[start] = (useful + count.useful, n + count.n)
    told = await feedback.reason_counts(deps.engine, first)
    return {
        "by": by,
        "points": [{"first": start, **asdict(wilson(*sums[start]))} for start in sorted(sums)],
        "reasons": {name: told[name] for name in feedback.reasons() if name in told},
        "no_reason": told.get("", 0),
        "may": _may(request),
    }


@router.get("", response_model=ItemsBody, responses=documented(401, 403, 422, 500))
async def list_items(
    deps: FromDeps,
    show: Show = "all",
    reason: Annotated[str, Query(max_length=32)] = "",
    days: Annotated[int, Query(ge=1, le=366)] = 90,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 20,
) -> ItemsBody:
    """Questions that were not answered or whose replies got a thumb down, the newest first."""
    since = datetime.now(UTC) - timedelta(days=days)
    items, total = await feedback.unhelpful(deps.engine, since, show, reason, offset, limit)
    more = offset + limit if offset + limit < total else None
    return ItemsBody(items=[_item(item) for item in items], total=total, next=more)


# Staff: cases ------------------------------------------------------------------------------------


@router.post("/cases", response_model=MadeBody, responses=documented(401, 403, 404, 422, 500))
async def make_case(body: CaseRequest, request: Request, deps: FromDeps) -> MadeBody:
    """Make a recorded question the draft of an evaluation case."""
    try:
        made = await case_drafts.make_draft(
            deps.engine, body.record_id, signed_in(request).staff_id
        )
    except UnknownDraft:
        raise HTTPException(404, "no such record") from None
    return MadeBody(id=made)


@router.get("/cases", response_model=CaseDraftsBody, responses=documented(401, 403, 500))
async def list_case_drafts(request: Request, deps: FromDeps) -> dict[str, Any]:
    """Drafts of cases with their labels, and how far two people agree."""
    from evals.from_feedback import agreement_of, case_of, cases_file

    me = signed_in(request).staff_id
    drafts = await case_drafts.all_drafts(deps.engine)
    agreed = {draft.id for draft in drafts if case_of(draft)}
    found = agreement_of(drafts)
    return {
        "drafts": [_draft(draft, me, draft.id in agreed) for draft in drafts],
        "kappa": found and asdict(found.status),
        "facts_same": found and asdict(found.facts),
        "file": cases_file(deps.settings).name,
        "in_file": len(agreed),
    }


@router.post(
    "/cases/{draft_id}/labels",
    response_model=CaseDraftsBody,
    responses=documented(401, 403, 404, 409, 422, 500),
)
async def label_case(
    draft_id: str, body: LabelRequest, request: Request, deps: FromDeps
) -> dict[str, Any] | Response:
    """Say what a right reply is; with a second person of the same view, the case goes into the
    lender's own file of cases."""
    from evals.from_feedback import cases_file, write_cases

    me = signed_in(request).staff_id
    try:
        await case_drafts.label(deps.engine, draft_id, me, body.status, body.facts)
    except UnknownDraft:
        raise HTTPException(404, "no such draft") from None
    except LabelledTwice:
        return problem(409, "two people have labelled it", code="labelled_twice")
    try:
        drafts = await case_drafts.all_drafts(deps.engine)
        await write_cases(drafts, cases_file(deps.settings))
    except OSError as error:
        log.error("the file of cases cannot be written", error=str(error))
        return problem(500, "the label is kept, the file is not written", code="file_not_written")
    return await list_case_drafts(request, deps)


# Staff: answers ----------------------------------------------------------------------------------


@router.get("/answers", response_model=AnswersBody, responses=documented(401, 403, 500))
async def list_answers(request: Request, deps: FromDeps) -> AnswersBody:
    """Answers that were drafted here, with who signed them."""
    me = signed_in(request).staff_id
    answers = await signed_answers.all_answers(deps.engine)
    return AnswersBody(answers=[_answer(answer, me) for answer in answers])


@router.post(
    "/answers", response_model=MadeBody, responses=documented(401, 403, 404, 409, 422, 500, 503)
)
async def draft_answer(
    body: AnswerRequest, request: Request, deps: FromDeps
) -> MadeBody | Response:
    """Write an answer that another person has to sign off before it is served."""
    content = Content(**body.model_dump(exclude={"record_id"}))
    record_id = body.record_id
    if record_id and await feedback.read_item(deps.engine, record_id) is None:
        raise HTTPException(404, "no such record")
    if refused := await _flaw(content, deps, max(today(), content.effective_from)):
        return refused
    try:
        made = await signed_answers.draft(
            deps.engine, content, signed_in(request).staff_id, record_id
        )
    except ApprovedError as error:
        return problem(422, str(error), code="answer_unusable")
    return MadeBody(id=made)


@router.post(
    "/answers/{answer_id}/signature",
    response_model=AnswersBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def sign_answer(
    answer_id: str, body: SignatureRequest, request: Request, deps: FromDeps
) -> AnswersBody | Response:
    """Sign an answer off that somebody else wrote; it is served from the next question on."""
    signed = signed_in(request)
    drafts = {answer.id: answer for answer in await signed_answers.all_answers(deps.engine)}
    answer = drafts.get(answer_id)
    if answer is None or answer.state != "draft":
        raise HTTPException(404, "no such draft")
    if refused := await _flaw(answer.content, deps, max(today(), answer.content.effective_from)):
        return refused
    try:
        await signed_answers.sign(
            deps.trail,
            answer_id,
            by=signed.staff_id,
            name=signed.name,
            seen=body.sha256,
            today=today(),
        )
    except UnknownAnswer:
        raise HTTPException(404, "no such draft") from None
    except OwnDraft:
        return problem(403, "who wrote an answer cannot sign it", code="own_draft")
    except ChangedMeanwhile:
        return problem(409, "it is not what was looked at", code="changed_meanwhile")
    except ApprovedError as error:
        return problem(422, str(error), code="answer_unusable")
    return await list_answers(request, deps)


@router.post(
    "/answers/{answer_id}/withdrawal",
    response_model=AnswersBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def withdraw_answer(answer_id: str, request: Request, deps: FromDeps) -> AnswersBody:
    """Take an answer back: one of one's own that is not signed, or with the role any."""
    signed = signed_in(request)
    try:
        await signed_answers.withdraw(
            deps.trail,
            answer_id,
            by=signed.staff_id,
            own_drafts_only=not signed.roles & SIGNERS,
        )
    except UnknownAnswer:
        raise HTTPException(404, "no such answer") from None
    return await list_answers(request, deps)


async def _flaw(content: Content, deps: Deps, on: date) -> JSONResponse | None:
    """Why an answer would not be served as it stands; None where it would."""
    if content.product and content.product not in deps.lender.products:
        return problem(422, "no such product", code="unknown_product")
    held = (await deps.current_front()).approved
    taken = {approved.same_words(q) for a in held.answers for q in a.questions} if held else set()
    if any(approved.same_words(question) in taken for question in content.questions):
        return problem(409, "one of the questions has an answer", code="question_taken")
    if not all(approved.same_words(question) for question in content.questions):
        return problem(422, "a question without words", code="answer_unusable")
    if content.effective_to and content.effective_to < on:
        return problem(422, "its last day is over", code="answer_unusable")
    try:
        index = await deps.index()
        named = approved.of_text(signed_answers.as_toml("draft", content, "draft", on))
    except ApprovedError as error:
        return problem(422, str(error), code="answer_unusable")
    if approved.citation_of(named.answers[0], index.clauses, on) is None:
        return problem(422, "no clause in force has these words", code="quote_not_found")
    broken = [
        f"{finding.rule.id} {finding.rule.title_zh}"
        for text in content.wording.values()
        for finding in compliance.review(
            deps.rules,
            text,
            task="chat",
            channel="chat",
            context=read_context({"own_platform": True}),
            on=on,
            whole=False,
        ).findings
        if finding.severity in compliance.STOPS
    ]
    if broken:
        return problem(422, "; ".join(dict.fromkeys(broken)), code="breaks_rules")
    return None


def _may(request: Request) -> list[str]:
    """What the caller may do on the page, by the table of access."""
    doors = {
        "read": ("GET", "/v1/feedback"),
        "label": ("POST", "/v1/feedback/cases/{draft_id}/labels"),
        "write": ("POST", "/v1/feedback/answers"),
        "sign": ("POST", "/v1/feedback/answers/{answer_id}/signature"),
    }
    roles = signed_in(request).roles
    open_to = {name: ACCESS[door] for name, door in doors.items()}
    return [name for name, who in open_to.items() if isinstance(who, frozenset) and who & roles]


def _start(day: date, by: str) -> date:
    return day if by == "day" else day - timedelta(days=day.weekday())


def _item(item: Item) -> ItemBody:
    return ItemBody(
        record_id=item.record_id,
        asked_at=item.asked_at.astimezone(ZONE),
        locale=_locale(item),
        question=item.question,
        status=item.status,
        answer=item.answer,
        citations=[
            SourceBody(**{name: c.get(name, "") for name in SourceBody.model_fields})
            for c in item.citations
        ],
        useful=item.useful,
        reason=item.reason,
        comment=item.comment,
        case_id=item.case_id,
        answer_id=item.answer_id,
    )


def _locale(item: Item) -> str:
    locale = item.settings.get("locale")
    return locale if locale in LOCALES else "zh-Hans"


def _draft(draft: CaseDraft, me: str, agreed: bool) -> CaseDraftBody:
    mine = any(label.staff_id == me for label in draft.labels)
    twice = len(draft.labels) == case_drafts.LABELLERS
    return CaseDraftBody(
        id=draft.id,
        question=draft.question,
        made_at=draft.made_at,
        labels=[
            LabelBody(
                status=label.status,
                facts=[list(fact) for fact in label.facts],
                mine=label.staff_id == me,
            )
            for label in draft.labels
            if mine or twice
        ],
        labelled_by=len(draft.labels),
        state="agreed" if agreed else "disputed" if twice else "open",
    )


def _answer(answer: AnswerDraft, me: str) -> AnswerBody:
    content = answer.content
    return AnswerBody(
        id=answer.id,
        record_id=answer.record_id,
        questions=list(content.questions),
        product=content.product,
        source=content.source,
        quote=content.quote,
        wording=dict(content.wording),
        effective_from=content.effective_from,
        effective_to=content.effective_to,
        sha256=answer.sha256,
        state=answer.state,
        author=answer.author_name,
        mine=answer.author == me,
        made_at=answer.made_at,
        signer=answer.signer_name,
        decided_at=answer.decided_at,
    )
