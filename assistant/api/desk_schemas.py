"""What borrowers and staff send about hand-overs, and what they get."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from assistant.handoff import MOST_CONTACT_CHARS, MOST_REASON_CHARS

from .schemas import LocaleName

MessageId = Field(
    default="",
    pattern="^([0-9a-f]{32})?$",
    description="Made by the client, so that a message that is sent again is kept once.",
)


class HandoffRequest(BaseModel):
    """A borrower asks for a person."""

    model_config = ConfigDict(extra="forbid")

    conversation_id: str = Field(
        default="", max_length=64, pattern="^[0-9A-Za-z_-]*$", description="Empty begins one."
    )
    locale: LocaleName = "zh-Hans"
    contact: str = Field(
        default="",
        max_length=MOST_CONTACT_CHARS,
        description="How to be reached; kept for the desk alone.",
    )


class ContactRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    contact: str = Field(min_length=1, max_length=MOST_CONTACT_CHARS)
    locale: LocaleName = "zh-Hans"


class LeaveRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    locale: LocaleName = "zh-Hans"


class BorrowerMessage(BaseModel):
    """A message to the person at the desk."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(description="At most 2000 characters.")
    message_id: str = MessageId
    locale: LocaleName = "zh-Hans"


class QueuedBody(BaseModel):
    """A hand-over as the borrower sees it."""

    id: str
    conversation_id: str
    state: Literal["waiting", "taken", "ticket", "returned", "closed"]
    text: str = Field(description="How it stands, in words.")
    ahead: int | None = Field(description="How many are taken before; null: not waiting.")
    promised_at: datetime | None = Field(description="By when a ticket is answered.")
    agent: str = Field(description="Who has the conversation; empty: nobody yet.")


class SaidBody(BaseModel):
    """A message as it was kept."""

    seq: int
    id: str
    at: datetime
    speaker: Literal["borrower", "agent", "assistant"]
    name: str
    text: str = Field(description="With personal data masked.")
    notice: str = Field(default="", description="Something the sender has to know.")


class AgentMessage(BaseModel):
    """A message to the borrower."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(description="At most 2000 characters.")
    message_id: str = MessageId
    hold: bool = Field(
        default=False,
        description="Where a rule blocks the message: keep it until a supervisor has seen it.",
    )
    override: str = Field(
        default="",
        max_length=MOST_REASON_CHARS,
        description="A supervisor's reason to send what a rule blocks.",
    )


class VerdictRequest(BaseModel):
    """What a supervisor says to a message that was held."""

    model_config = ConfigDict(extra="forbid")

    release: bool
    reason: str = Field(min_length=1, max_length=MOST_REASON_CHARS)


class CloseRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ending: str = Field(max_length=32, description="One of the endings of the plan.")


class QueueRow(BaseModel):
    """A hand-over as the desk sees it, without a word of what was said."""

    id: str
    state: Literal["waiting", "taken", "ticket", "returned", "closed"]
    classes: list[str]
    priority: int
    skill: str
    asked_at: datetime
    taken_at: datetime | None
    taken_by: str = Field(description="Name of who has it.")
    mine: bool
    may_take: bool
    promised_at: datetime | None
    locale: LocaleName
    held: int = Field(default=0, description="Messages in it that wait for a supervisor.")


class DeskBody(BaseModel):
    """The queue, the first taken first, and the words for what stands in it."""

    seq: int = Field(description="Number from which to read on in the events.")
    now: datetime
    open: bool
    handoffs: list[QueueRow]
    reasons: dict[str, dict[str, str]]
    skills: dict[str, dict[str, str]]
    endings: dict[str, dict[str, str]]


class EventBody(BaseModel):
    """Something that happened or was said, as the desk sees it."""

    seq: int
    id: str
    handoff: str
    at: datetime
    kind: str
    speaker: str
    name: str
    staff: str
    text: str
    told: dict[str, Any]
    erased: bool


class TurnBody(BaseModel):
    """A question and what the assistant answered."""

    record_id: str
    at: datetime
    question: str
    status: str
    answer: list[str]


class SummaryBody(BaseModel):
    """What there is to know before one takes over; made from the record, by no model."""

    turns: int
    products: list[str]
    classes: list[str]
    topics: list[str]
    not_covered: list[str]
    figures: list[str]
    statuses: dict[str, int]
    last_question: str


class CaseBody(BaseModel):
    """A hand-over with its conversation."""

    handoff: QueueRow
    summary: SummaryBody
    turns: list[TurnBody]
    events: list[EventBody] = Field(description="The newest, or those before `before`.")
    older: int | None = Field(description="`before` of the next page; null: that is all.")
    contact: str = Field(description="How to reach the borrower, for who has the conversation.")
    signed_in: bool = Field(description="Whether the borrower proved who they are.")
    may_write: bool
