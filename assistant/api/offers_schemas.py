"""What the studio sends and gets: campaigns, segments, drafts of offers and their way to approval,
results."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from assistant.drafts import MOST_COMMENT, Action, State
from assistant.rules import Channel, Severity
from assistant.segments import Op

from .schemas import LocaleName

Verdict = Literal["pass", "warn", "fix", "block"]
Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9_-]*$")]
OfferChannel = Literal["sms", "push", "in_app", "wechat", "email", "call_script", "poster"]
Words = dict[LocaleName, str]

MOST_TEMPLATE = 4000
MOST_CONDITIONS = 20


# Campaigns ------------------------------------------------------------------------------------


class ConditionBody(BaseModel):
    """One row of who may have an offer, or of a segment."""

    model_config = ConfigDict(extra="forbid")

    attribute: Annotated[str, Field(min_length=1, max_length=64)]
    op: Op
    value: bool | int | float | str | list[str] = Field(
        description="A day as YYYY-MM-DD; an amount or share as a number or a text of digits; a "
        "list for `in` and `not_in`."
    )


class CouponBody(BaseModel):
    """A coupon of a campaign; amounts and shares are texts of digits."""

    id: str
    kind: str
    title: Words
    product: str
    valid_from: date
    valid_to: date
    stock: int | None = Field(description="null: no bound.")
    given: int = Field(description="How many customers were offered it.")
    left: int | None = Field(description="Of the stock; null: no bound.")
    values: dict[str, str] = Field(description="What it is worth: `discount`, `free_days` ...")
    source: str
    quote: str = Field(description="The sentence of the contract that it follows from.")
    saving_cny: str | None = Field(
        description="Interest that it saves on the campaign's loan of its product; null: none."
    )
    calculation: dict[str, Any] = Field(
        description="How that was worked out, each instalment with it; empty: it saves nothing."
    )
    why: Words = Field(description="Why it saves nothing; else empty.")


class PrizeBody(BaseModel):
    coupon: str
    odds: str = Field(description="Published chance of one draw, from 0 to 1.")
    stock: int
    left: int


class DrawBody(BaseModel):
    id: str
    title: Words
    prizes: list[PrizeBody]
    nothing: str = Field(description="Chance of winning nothing.")


class SegmentBody(BaseModel):
    id: str
    title: Words
    conditions: list[ConditionBody]
    attributes: list[str] = Field(description="What is used of a customer.")
    own: bool = Field(description="Whether it was saved here and stands in no campaign's file.")
    made_by: str = Field(default="", description="Name of who saved it.")
    made_at: datetime | None = None


class CampaignBody(BaseModel):
    """A campaign in a list."""

    id: str
    title: Words
    idea: Words
    products: list[str]
    starts_on: date
    ends_on: date
    state: Literal["coming", "running", "ended"]
    channels: list[OfferChannel]
    budget_cny: str
    version: str
    drafts: dict[State, int] = Field(description="State -> drafts of it.")
    contacted: int = Field(description="Customers who were written to.")


class CampaignsBody(BaseModel):
    campaigns: list[CampaignBody] = Field(description="By first day.")
    total: int
    next: int | None = Field(description="`offset` of the next page.")
    today: date
    rules_version: str
    may: list[str] = Field(
        description="What the caller may do: `read`, `write`, `approve`, `results`."
    )


class CalendarBody(BaseModel):
    """A day on which something of a campaign begins or ends, or a run was."""

    on: date
    what: Literal["campaign_starts", "campaign_ends", "coupon_starts", "coupon_ends", "run"]
    id: str = Field(description="Of the campaign, coupon or run.")


class RunBody(BaseModel):
    """One run of a campaign over a file of customers."""

    id: str
    state: str = Field(description="`running`: begun, and to be gone on with; `done`.")
    rows_in: int = Field(description="Customers that are done.")
    counts: dict[str, int] = Field(description="Outcome -> customers.")
    by: str
    started_at: datetime


class IdeaBody(BaseModel):
    """What a draft may be about."""

    id: str
    title: Words


class WholeCampaignBody(CampaignBody):
    coupons: list[CouponBody]
    prize_coupons: list[CouponBody]
    draws: list[DrawBody]
    eligibility: list[ConditionBody]
    segments: list[SegmentBody]
    budget_left_cny: str = Field(
        description="Of the budget, after what the coupons given so far save on those loans."
    )
    holdout: str = Field(description="Share that gets nothing, to measure by.")
    terms_link: str
    calendar: list[CalendarBody]
    runs: list[RunBody] = Field(description="The newest first.")
    ideas: list[IdeaBody] = Field(description="What drafts may be about, in order.")


# Segments -------------------------------------------------------------------------------------


class AttributeBody(BaseModel):
    """Something known of a customer that a segment may, or may not, be made by."""

    id: str
    kind: str
    title: Words
    sensitive: bool = Field(description="Cannot be used in a segment.")
    why: Words = Field(default={}, description="Why it cannot be used.")
    ops: list[Op] = Field(default=[], description="Conditions that it takes.")
    values: list[bool | int | str] = Field(
        default=[], description="The only values that it is compared with; empty: any."
    )


class SegmentsBody(BaseModel):
    segments: list[SegmentBody] = Field(description="Saved ones, the newest first.")
    total: int
    next: int | None = Field(description="`offset` of the next page.")
    attributes: list[AttributeBody]


class SegmentRequest(BaseModel):
    """A segment to keep under its conditions: the same ones again are the same segment."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=60, pattern=r"\S")]
    conditions: Annotated[list[ConditionBody], Field(min_length=1, max_length=MOST_CONDITIONS)]


class CountRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    conditions: Annotated[list[ConditionBody], Field(max_length=MOST_CONDITIONS)]
    campaign: str = Field(default="", max_length=64, description="Also count who may have it.")
    channel: OfferChannel | None = Field(
        default=None, description="Also count who may be addressed on it now."
    )


class PreviewBody(BaseModel):
    """Somebody of a segment, masked."""

    id: str
    name: str
    values: dict[str, str] = Field(description="Attribute that is used -> what it is.")
    refusals: list[str] = Field(description="Reasons why they may not be addressed.")


class CountBody(BaseModel):
    matching: int
    of: int = Field(description="Customers looked at.")
    whole: bool = Field(description="False: there are more customers than were looked at.")
    reachable: int | None = Field(
        description="Of the matching, who may be addressed; null: no campaign and channel named."
    )
    refusals: dict[str, int] = Field(description="Reason -> customers; one may have several.")
    attributes: list[str] = Field(description="What is used of a customer.")
    preview: list[PreviewBody]


class SuppressionRequest(BaseModel):
    """Whom nobody is to write to. The id is kept as a keyed hash, and never given back."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    customer: Annotated[str, Field(min_length=1, max_length=128)]
    channel: OfferChannel | Literal["all"] = "all"


class SuppressRequest(SuppressionRequest):
    reason: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}$")] = "request"


class SuppressedBody(BaseModel):
    """How it stands with a customer who is not named."""

    channel: str
    suppressed: bool
    changed: bool = Field(description="False: it was so before.")


# Drafting -------------------------------------------------------------------------------------


class OfferRequest(BaseModel):
    """What is to be drafted; the alternative that knows nothing of the customer always is too."""

    model_config = ConfigDict(extra="forbid")

    campaign: Name
    segment: str = Field(default="", max_length=64, description="Empty: everybody.")
    customer: str = Field(
        default="", max_length=64, description="For one customer in place of a segment."
    )
    channels: Annotated[list[OfferChannel], Field(min_length=1, max_length=7)]
    variants: Annotated[int, Field(ge=1, le=3)] = 3
    ideas: Annotated[list[Name], Field(max_length=3)] = []
    wish: str = Field(default="", max_length=200, description="The brief in a line.")
    locale: LocaleName = "zh-Hans"


class RefusalBody(BaseModel):
    reason: str
    rule: str
    title: str = Field(default="", description="In the language of the request.")


class JobBody(BaseModel):
    """Drafting under way: `done` of `total` channels."""

    id: str
    state: Literal["queued", "running", "done", "failed", "lost"] = Field(
        description="`lost`: the server ended while it was drafted; ask again."
    )
    campaign: str
    segment: str
    done: int
    total: int
    drafts: list[str] = Field(description="Ids of the drafts that are there.")
    refusals: list[RefusalBody] = Field(
        description="Why nothing is drafted on some channel: nobody may be addressed so."
    )
    error: str = Field(description="Code of why it failed; else empty.")
    made_at: datetime


# Drafts ---------------------------------------------------------------------------------------


class FindingSourceBody(BaseModel):
    regulation: str
    article: str | None
    evidence: str
    verified: bool


class DraftFindingBody(BaseModel):
    """Where the sample breaks a rule; `span` counts its characters."""

    rule: str
    title: str
    title_en: str = ""
    severity: Severity
    where: Literal["text", "subject"] = "text"
    span: tuple[int, int]
    text: str
    source: FindingSourceBody | None = Field(description="null: the house's own, not a law's.")
    suggestion: str
    suggestion_en: str = ""


class LengthBody(BaseModel):
    """How long the sample is by the channel's own counting."""

    unit: Literal["sms", "characters"]
    units: int = Field(description="UTF-16 units or septets of an SMS; characters elsewhere.")
    parts: int = Field(description="Messages that an SMS is sent as; 1 elsewhere.")
    limit: int = Field(description="Parts of an SMS, characters elsewhere.")
    over: int = Field(description="By how much it is too long; 0: it fits.")


class CheckedDraftBody(BaseModel):
    """What the rules say of a template, filled in for a made-up customer."""

    verdict: Verdict
    passes: bool = Field(description="Whether it could be submitted.")
    sample: str = Field(description="The whole message as somebody gets it.")
    sample_subject: str
    opening: str
    closing: str
    findings: list[DraftFindingBody]
    unchecked: list[dict[str, Any]] = Field(description="Rules that could not be judged.")
    length: LengthBody | None = Field(description="null: it cannot be filled.")
    slots: list[str]
    slots_known: dict[str, str] = Field(description="Slot that may be used -> an example.")
    error: str = Field(
        default="",
        description="Why the template cannot be filled at all: an unknown slot, a brace, a figure.",
    )
    error_code: str = Field(
        default="", description="`slot`, `sign`, `unit` or `figure`: what it is about."
    )
    error_at: int | None = Field(default=None, description="Place of it in the template, from 0.")


class DraftBody(BaseModel):
    """A draft in a list."""

    id: str
    campaign: str
    segment: str
    channel: Channel
    variant: int
    idea: str
    locale: LocaleName
    personalised: bool
    state: State
    lapsed: str = Field(
        description="Why an approval of it would not hold now, such as `campaign_changed`; else "
        "empty."
    )
    may_send: bool
    version: int
    sha256: str = Field(description="To be named as `seen` by who does something to it.")
    template: str
    subject: str
    opening: str
    closing: str
    sample: str
    sample_subject: str
    verdict: Verdict
    findings: list[DraftFindingBody]
    length: LengthBody | None
    coupon: str = Field(description="Id; empty: a draw is offered.")
    coupon_from: date | None
    coupon_to: date | None
    draw: str = Field(description="Id; empty: a coupon is offered.")
    made_by: Literal["model", "template", "person"]
    author: str
    editor: str
    mine: bool = Field(description="Whether the caller wrote it, or any version of it.")
    may: list[str] = Field(
        description="What the caller may do to it now: `edit`, `submit`, `approve`, `reject`, "
        "`withdraw`."
    )
    made_at: datetime
    changed_at: datetime


class DraftsBody(BaseModel):
    drafts: list[DraftBody] = Field(description="The last changed first.")
    total: int
    next: int | None = Field(description="`offset` of the next page.")


class HistoryBody(BaseModel):
    """One thing that was done to a draft."""

    seq: int = Field(description="Number of its entry in the audit chain.")
    at: datetime
    action: Action
    by: str
    state: State
    version: int
    sha256: str
    comment: str
    answers: dict[str, str]
    reason: str
    genuine: bool = Field(description="Whether the entry is as it was made.")


class VersionBody(BaseModel):
    number: int
    sha256: str
    template: str
    subject: str
    sample: str
    sample_subject: str
    verdict: Verdict
    findings: list[DraftFindingBody]
    length: LengthBody | None
    by: str
    at: datetime


class WholeDraftBody(DraftBody):
    history: list[HistoryBody] = Field(description="Oldest first.")
    versions: list[VersionBody] = Field(description="Oldest first.")
    calculation: dict[str, Any] = Field(description="How the best coupon was found.")
    attributes: list[str]
    values: dict[str, str] = Field(description="Slot -> what stands in it for everybody.")
    slots: list[str]
    slots_known: dict[str, str] = Field(description="Slot that may be used -> an example.")
    unchecked: list[dict[str, Any]]
    prompt_version: str
    campaign_version: str
    rules_version: str


class EditRequest(BaseModel):
    """Another text in the place of one; opening and closing stay, since they come from data. An
    approval of the draft holds no more."""

    model_config = ConfigDict(extra="forbid")

    template: Annotated[str, Field(min_length=1, max_length=MOST_TEMPLATE)]
    subject: str = Field(default="", max_length=200)
    seen: Hash


class CheckDraftRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    template: str = Field(max_length=MOST_TEMPLATE)
    subject: str = Field(default="", max_length=200)


class StepRequest(BaseModel):
    """A step of a draft on its way."""

    model_config = ConfigDict(extra="forbid")

    seen: Hash = Field(description="`sha256` of the draft that was looked at.")
    comment: str = Field(default="", max_length=MOST_COMMENT)


class SubmitRequest(StepRequest):
    answers: dict[str, Annotated[str, Field(max_length=500)]] = Field(
        default={},
        max_length=50,
        description="Rule -> what is said to its finding; the comment answers those left out.",
    )


# Results --------------------------------------------------------------------------------------


class IntervalBody(BaseModel):
    """A share, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


class VariantResultBody(BaseModel):
    variant: str
    n: int
    converted: int
    share: IntervalBody | None = Field(description="With Wilson's interval; null: nobody.")
    difference: IntervalBody | None = Field(
        description="To the holdout, with Newcombe's interval; null: no holdout, or itself."
    )
    beyond_chance: bool | None = Field(
        description="Whether the interval of the difference leaves 0 out."
    )


class ResultsBody(BaseModel):
    campaign: str
    variants: list[VariantResultBody] = Field(description="The holdout last.")
    holdout: str = Field(description="Name of the variant that got nothing; empty: none.")
    imported_by: str
    imported_at: datetime | None


class ResultsRequest(BaseModel):
    """A CSV file: `variant,n,converted` with counts, or `customer,variant,converted` with a row for
    each customer. It takes the place of what was imported before."""

    model_config = ConfigDict(extra="forbid")

    csv: Annotated[str, Field(min_length=1, max_length=200_000)]
