"""What the desk, and other desks, send the copilot and get from it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assistant.rules import Channel

from .schemas import LocaleName

MOST_TURNS = 400
MOST_TURN_CHARS = 2000


class TurnRequest(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    speaker: Literal["borrower", "assistant", "agent", "system"]
    text: str = Field(max_length=MOST_TURN_CHARS)
    at: datetime | None = None


class TranscriptRequest(BaseModel):
    """A conversation that another desk holds."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        min_length=1,
        max_length=64,
        pattern="^[0-9A-Za-z._:-]+$",
        description="The other desk's own id; what was suggested is kept, and erased, by it.",
    )
    turns: list[TurnRequest] = Field(min_length=1, max_length=MOST_TURNS)
    borrower_token: str = Field(
        default="",
        max_length=4096,
        description="Signed by the host app: proves whose record may be read. Without it no "
        "customer's figures are looked up, whatever the messages say.",
    )


class ContactRequest(BaseModel):
    """A contact that might be made, and what is known of it; the rules are asked first."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    recipient: Literal["", "borrower", "third_party", "guarantor"] = "borrower"
    calls_today: int | None = Field(
        default=None, ge=0, le=1000, description="Unknown calls are not allowed on the phone."
    )


class CaseRequest(BaseModel):
    """A hand-over that one has, or a transcript: one of the two."""

    model_config = ConfigDict(extra="forbid")

    handoff: str = Field(default="", max_length=32, pattern="^[0-9a-f]*$")
    transcript: TranscriptRequest | None = None
    task: Literal["agent", "collections"] = "agent"
    channel: Channel = "chat"
    locale: LocaleName | None = Field(
        default=None, description="Of replies and notes; left out, that of the hand-over."
    )
    at: datetime | None = Field(default=None, description="Left out: now.")
    contact: ContactRequest | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> CaseRequest:
        if bool(self.handoff) == (self.transcript is not None):
            raise ValueError("expected a handoff or a transcript")
        return self


class SuggestRequest(CaseRequest):
    """Asks for a reply to the borrower's last message."""

    as_of: date | None = Field(default=None, description="Answer as of this day.")


class SummaryRequest(CaseRequest):
    """Asks what was said so far, or how the conversation could be closed."""

    model: bool = Field(
        default=False, description="Whether a model may write the summary; else it is put together."
    )


class SummaryBody(BaseModel):
    summary: str
    reason: str
    figures: list[str]
    turns: int
    model: str = Field(description="Who wrote the summary; empty: it was put together.")


class SourcedBody(BaseModel):
    """On what an action or a line rests."""

    kind: Literal["clause", "rule", "limit", "record", "data", "said"]
    text: str
    clause_id: str = ""
    where: str = ""
    rule: str = ""
    internal: bool = Field(default=False, description="Not for the borrower.")


class ActionBody(BaseModel):
    """A next step, with its reason and where that comes from."""

    id: str
    title: str
    reason: str
    priority: int = Field(description="1 first.")
    allowed: bool = Field(
        description="False: the rules stand against it now, as outside the hours."
    )
    why_not: str = ""
    source: list[SourcedBody]
    script: str = Field(default="", description="A script that goes with it.")
    due_at: str | None = Field(
        default=None, description="By which day it has to be done, or from when it may be."
    )


class NextBody(BaseModel):
    actions: list[ActionBody]
    tone: list[str] = Field(description="How to speak now, as of hardship or anger.")
    verified: bool


class LoanLineBody(BaseModel):
    """One loan as the card has it."""

    product: str
    contract_date: date
    principal: str
    outstanding: str
    annual_rate: str
    state: str
    next_due_on: date | None
    next_due: str
    overdue_days: int
    arrears: str


class CouponLineBody(BaseModel):
    kind: str
    product: str
    value: str
    valid_to: date


class ContactLineBody(BaseModel):
    at: datetime
    what: str


class CardBody(BaseModel):
    """The customer as one's role may see them."""

    verified: bool
    note: str = Field(description="Why there is nothing; empty where there is.")
    name: str = ""
    phone: str = ""
    birth: str = ""
    customer_id: str = ""
    since: date | None = None
    student: bool = False
    loans: list[LoanLineBody] = []
    coupons: list[CouponLineBody] = []
    contacts: list[ContactLineBody] = []


class PromiseBody(BaseModel):
    """Something that somebody said they would do."""

    by: Literal["borrower", "agent"]
    kind: str = Field(description="`pay`, `send`, `call_back`, `look_into` or `other`.")
    text: str
    due_on: date | None
    amount_cny: str = ""
    turn: int | None = Field(default=None, description="Place of the turn that says so, from 0.")


class NextContactBody(BaseModel):
    at: datetime | None = None
    on: date | None = None
    why: str = ""
    moved: str = Field(default="", description="Why it is not when it was asked for.")


class WrapUpBody(BaseModel):
    """How a conversation is closed: as it was drafted, or as the agent left it."""

    summary: str
    reason: str
    reasons: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Codes that there are, by locale."
    )
    promises: list[PromiseBody]
    flags: dict[str, bool] = Field(description="`complaint`, `hardship`, `crisis`, `dispute`.")
    next_contact: NextContactBody
    model: str = ""


class WrapUpRequest(CaseRequest):
    """Keeps how a conversation was closed, as the agent left it: all in one request. Without
    `wrap_up` what would be drafted is kept as it is."""

    wrap_up: WrapUpBody | None = None
    ending: str = Field(
        default="", max_length=32, description="Also closes the hand-over with this ending."
    )


class KeptWrapUpBody(BaseModel):
    event_id: str
    conversation_id: str = Field(description="By which it can be scored.")
    wrap_up: WrapUpBody
    tasks: list[str] = Field(description="Ids of the promises that are now tasks.")
    closed: bool


class DraftCheckRequest(CaseRequest):
    """An agent's words while they are typed."""

    text: str = Field(max_length=MOST_TURN_CHARS)


class ScriptLineBody(BaseModel):
    id: str
    title: str
    use: str = Field(description="When to use it.")
    macro: str = Field(description="What is typed to have it, such as `/yq`.")
    tasks: list[str]
    text: str = Field(description="Filled; empty where a variable is not known.")
    missing: list[str] = Field(description="Variables that nobody knows.")
    verdict: str = ""
    findings: list[dict[str, Any]] = []


class ScriptsBody(BaseModel):
    scripts: list[ScriptLineBody]


class FollowedRequest(BaseModel):
    """What became of a suggestion."""

    model_config = ConfigDict(extra="forbid")

    handoff: str = Field(default="", max_length=32, pattern="^[0-9a-f]*$")
    conversation: str = Field(default="", max_length=64, pattern="^[0-9A-Za-z._:-]*$")
    suggestion_id: str = Field(default="", pattern="^([0-9a-f]{32})?$")
    kind: Literal["inserted", "edited", "sent", "dismissed"]
    variant: Literal["", "reply", "short", "detailed", "script"] = ""
    text: str = Field(default="", max_length=MOST_TURN_CHARS)
    message_id: str = Field(
        default="", max_length=32, description="Of the message that was sent at the desk."
    )


class FollowedBody(BaseModel):
    event_id: str


class CopilotClauseBody(BaseModel):
    """A clause as staff may read it."""

    clause_id: str
    document: str
    source: str
    version: str
    locator: str
    title: str
    text: str
    internal: bool
    citation: str = Field(description="As it is copied: document, version, place, quote.")


class SuggestionBody(BaseModel):
    """A whole suggestion, for who does not stream."""

    suggestion_id: str
    text: str
    status: str
    note: str
    model: str
    model_down: bool
    evidence: list[dict[str, Any]]
    calculations: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    sentences: list[dict[str, Any]]
    alternatives: dict[str, Any]
    next: NextBody
    timings: dict[str, float]


class TaskBody(BaseModel):
    id: str
    conversation_id: str
    handoff: str
    by: Literal["borrower", "agent"]
    kind: str
    text: str
    due_on: date | None
    amount_cny: str
    state: Literal["open", "done", "dropped"]
    made_at: datetime


class TasksBody(BaseModel):
    tasks: list[TaskBody]


class TaskRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: Literal["done", "dropped"]
