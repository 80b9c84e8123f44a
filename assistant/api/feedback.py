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
from assistant.approved import ApprovedError, Unserved
from assistant.case_drafts import CaseDraft, LabelledTwice, LabelStatus, UnknownDraft
from assistant.deps import Deps
from assistant.feedback import MAX_COMMENT, Given, Item, NotTheirs, Show, UnknownReason
from assistant.models import LOCALES, today
from assistant.rules import read_context
from assistant.samples import ZONE
from assistant.signed_answers import (
    AlreadyDrafted,
    AnswerDraft,
    ChangedMeanwhile,
    Content,
    OwnDraft,
    QuestionTaken,
    UnknownAnswer,
    UnknownRecord,
)
from prompts.render import notice

from .access import ACCESS, SIGNERS, signed_in
from .chat import Asking, FromDeps, subject
from .evals import ShareBody
from .problems import documented, problem
from .schemas import LocaleName

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])

MOST_ITEMS = 50
Offset = Annotated[
    int, Query(ge=0, le=1_000_000, description="How many of the newest are passed over.")
]
Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="How many are listed at most.")]
Next = Annotated[int | None, Field(description="`offset` of the next page; null: it is the last.")]
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
    items: list[ItemBody] = Field(description="The newest first.")
    total: int
    next: Next


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
    drafts: list[CaseDraftBody] = Field(description="The newest first.")
    total: int
    next: Next
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


class NotServedBody(BaseModel):
    """A signed-off answer, of this page or of the lender's files, that nobody is given."""

    id: str
    reason: Unserved
    others: list[str] = Field(description="Ids of the answers that it clashes with.")


class AnswersBody(BaseModel):
    answers: list[AnswerBody] = Field(description="The newest first.")
    total: int
    next: Next
    not_served: list[NotServedBody] = Field(
        description="Of all signed-off answers, not of this page alone."
    )


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
    offset: Offset = 0,
    limit: Limit = 20,
) -> ItemsBody:
    """Questions that were not answered or whose replies got a thumb down, the newest first."""
    since = datetime.now(UTC) - timedelta(days=days)
    items, total = await feedback.unhelpful(deps.engine, since, show, reason, offset, limit)
    more = _next(offset, limit, total)
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


@router.get("/cases", response_model=CaseDraftsBody, responses=documented(401, 403, 422, 500))
async def list_case_drafts(
    request: Request, deps: FromDeps, offset: Offset = 0, limit: Limit = 20
) -> dict[str, Any]:
    """Drafts of cases with their labels, the newest first, and how far two people agree on all."""
    from evals.from_feedback import agree, agreement_of, case_of

    me = signed_in(request).staff_id
    drafts, total = await case_drafts.read_drafts(deps.engine, offset, limit)
    pairs = await case_drafts.read_pairs(deps.engine)
    found = agreement_of(pairs)
    return {
        "drafts": [_draft(draft, me, case_of(draft) is not None) for draft in drafts],
        "total": total,
        "next": _next(offset, limit, total),
        "kappa": found and asdict(found.status),
        "facts_same": found and asdict(found.facts),
        "file": deps.settings.cases_file.name,
        "in_file": sum(agree(*pair) for pair in pairs),
    }


@router.post(
    "/cases/{draft_id}/labels",
    response_model=CaseDraftsBody,
    responses=documented(401, 403, 404, 409, 422, 500),
)
async def label_case(
    draft_id: str,
    body: LabelRequest,
    request: Request,
    deps: FromDeps,
    offset: Offset = 0,
    limit: Limit = 20,
) -> dict[str, Any] | Response:
    """Say what a right reply is; with a second person of the same view, the case goes into the
    lender's own file of cases. Answers with a page of the list."""
    from evals.from_feedback import line_of

    me = signed_in(request).staff_id
    try:
        await case_drafts.label(deps.engine, draft_id, me, body.status, body.facts)
    except UnknownDraft:
        raise HTTPException(404, "no such draft") from None
    except LabelledTwice:
        return problem(409, "two people have labelled it", code="labelled_twice")
    try:
        await case_drafts.write_cases(deps.engine, deps.settings.cases_file, line_of)
    except OSError as error:
        log.error("the file of cases cannot be written", error=str(error))
        return problem(500, "the label is kept, the file is not written", code="file_not_written")
    return await list_case_drafts(request, deps, offset, limit)


# Staff: answers ----------------------------------------------------------------------------------


@router.get("/answers", response_model=AnswersBody, responses=documented(401, 403, 422, 500))
async def list_answers(
    request: Request, deps: FromDeps, offset: Offset = 0, limit: Limit = 20
) -> AnswersBody:
    """Answers that were drafted here, the newest first, with who signed them; and those of all
    signed-off ones that are not served, as where two answer one question in the same time."""
    me = signed_in(request).staff_id
    answers, total = await signed_answers.read_answers(deps.engine, offset, limit)
    return AnswersBody(
        answers=[_answer(answer, me) for answer in answers],
        total=total,
        next=_next(offset, limit, total),
        not_served=[NotServedBody(**asdict(one)) for one in await deps.not_served()],
    )


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
            deps.trail, content, signed_in(request).staff_id, record_id
        )
    except UnknownRecord:
        raise HTTPException(404, "no such record") from None
    except AlreadyDrafted as error:
        held = str(error)
        return problem(409, "somebody wrote an answer for it", code="already_drafted", id=held)
    except ApprovedError as error:
        return problem(422, str(error), code="answer_unusable")
    return MadeBody(id=made)


@router.post(
    "/answers/{answer_id}/signature",
    response_model=AnswersBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def sign_answer(
    answer_id: str,
    body: SignatureRequest,
    request: Request,
    deps: FromDeps,
    offset: Offset = 0,
    limit: Limit = 20,
) -> AnswersBody | Response:
    """Sign an answer off that somebody else wrote; it is served from the next question on. One
    that answers a question in the same time as another is refused. Answers with a page of the
    list."""
    signed, own = signed_in(request), deps.front.approved
    answer = await signed_answers.read_answer(deps.engine, answer_id)
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
            beside=(*own.answers, *own.clashing) if own else (),
        )
    except UnknownAnswer:
        raise HTTPException(404, "no such draft") from None
    except OwnDraft:
        return problem(403, "who wrote an answer cannot sign it", code="own_draft")
    except ChangedMeanwhile:
        return problem(409, "it is not what was looked at", code="changed_meanwhile")
    except QuestionTaken:
        return _taken()
    except ApprovedError as error:
        return problem(422, str(error), code="answer_unusable")
    return await list_answers(request, deps, offset, limit)


@router.post(
    "/answers/{answer_id}/withdrawal",
    response_model=AnswersBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def withdraw_answer(
    answer_id: str, request: Request, deps: FromDeps, offset: Offset = 0, limit: Limit = 20
) -> AnswersBody:
    """Take an answer back: one of one's own that is not signed, or with the role any. Answers with
    a page of the list."""
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
    return await list_answers(request, deps, offset, limit)


async def _flaw(content: Content, deps: Deps, on: date) -> JSONResponse | None:
    """Why an answer would not be served as it stands; None where it would."""
    if content.product and content.product not in deps.lender.products:
        return problem(422, "no such product", code="unknown_product")
    if not all(approved.same_words(question) for question in content.questions):
        return problem(422, "a question without words", code="answer_unusable")
    if content.effective_to and content.effective_to < on:
        return problem(422, "its last day is over", code="answer_unusable")
    try:
        index = await deps.index()
        (named,) = approved.of_text(signed_answers.as_toml("draft", content, "draft", on)).answers
    except ApprovedError as error:
        return problem(422, str(error), code="answer_unusable")
    held = (await deps.current_front()).approved
    if held and approved.clashes_with(named, (*held.answers, *held.clashing)):
        return _taken()
    if approved.citation_of(named, index.clauses, on) is None:
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


def _taken() -> JSONResponse:
    return problem(409, "one of the questions has an answer", code="question_taken")


def _next(offset: int, limit: int, total: int) -> int | None:
    return offset + limit if offset + limit < total else None


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
