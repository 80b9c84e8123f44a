"""What the routes of quality scores take and give."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assistant.quality import Part
from assistant.quality_store import Verdict
from assistant.rules import Channel
from assistant.transcripts import Speaker

from .schemas import LocaleName

MOST_TURNS = 2000
MOST_CHARS = 4000
Words = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class ScoredTurn(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="forbid")

    speaker: Speaker
    text: str = Field(max_length=MOST_CHARS)
    at: datetime | None = None
    by: str = Field(default="", max_length=64, description="Login or number of an agent.")


class ScoreRequest(BaseModel):
    """One of our conversations, or the turns of another."""

    model_config = ConfigDict(extra="forbid")

    conversation_id: str = Field(default="", max_length=64, pattern="^[0-9A-Za-z._:-]*$")
    turns: list[ScoredTurn] | None = Field(default=None, min_length=1, max_length=MOST_TURNS)
    facts: dict[str, Any] = Field(
        default_factory=dict,
        max_length=50,
        description="What was known of the customer, such as `amount_due_cny`; with turns only.",
    )
    topic: str = Field(default="", max_length=64, description="Such as `collections`.")
    channel: Channel = "chat"
    on: date | None = Field(
        default=None, description="The day whose rules and knowledge apply; left out: its own."
    )
    keep: bool = Field(default=False, description="Whether it is kept, for supervisors only.")
    locale: LocaleName = "zh-Hans"

    @model_validator(mode="after")
    def _one_of_two(self) -> ScoreRequest:
        if self.turns is None and not self.conversation_id:
            raise ValueError("expected a conversation_id or turns")
        if self.turns is None and self.facts:
            raise ValueError("facts: of turns only; of our own conversations they are known")
        return self


class PartBody(BaseModel):
    part: Part
    title: str
    points: float
    of: float


class PointBody(BaseModel):
    part: Part
    code: str = Field(description="Id of a rule, else of a row of the scoring data.")
    lost: float
    turn: int | None = Field(description="Counted from 0.")
    span: tuple[int, int]
    text: str
    severity: str
    by: str
    met: bool = Field(description="A step that was made; nothing is lost.")
    why: str
    right: str = Field(description="What the customer's record has.")
    suggestion: str
    source: str | None
    waived: bool = Field(default=False, description="Given back after an appeal.")
    place: int = Field(default=0, description="What an appeal names.")


class ScoreBody(BaseModel):
    conversation_id: str
    total: float | None = Field(description="0 to 100; null: nobody of the lender spoke.")
    before_cap: float | None
    passed: bool
    band: str
    parts: list[PartBody]
    points: list[PointBody]
    flags: list[str]
    task: str
    topic: str
    on: date
    agents: list[str]
    assistant: bool
    turns: int
    rules_version: str
    scoring_version: str


class KeptTurnBody(BaseModel):
    speaker: Speaker
    text: str
    by: str


class AppealBody(BaseModel):
    id: str
    score_id: str
    conversation_id: str
    place: int
    code: str
    reason: str
    appealed_at: datetime
    appealed_by: str
    state: Literal["open", "upheld", "dismissed"]
    comment: str
    decided_by: str


class WholeScoreBody(BaseModel):
    id: str
    source: Literal["own", "import"]
    awaits_review: bool = Field(
        description="A person is to score it first: what the machine found is left out."
    )
    score: ScoreBody | None
    conversation: list[KeptTurnBody] = Field(description="Masked.")
    appeals: list[AppealBody]
    may: list[str]


class ScoreRowBody(BaseModel):
    id: str
    conversation_id: str
    source: str
    on: date
    total: float | None
    passed: bool
    band: str
    task: str
    topic: str
    topic_title: str
    agents: list[str]
    codes: list[str]
    lost: list[str] = Field(description="The codes in words.")


class ScoresBody(BaseModel):
    scores: list[ScoreRowBody]
    total: int
    next: int | None
    may: list[str]


class AppealRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    place: int = Field(ge=0, le=100_000)
    reason: Words


class DecisionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    uphold: bool
    comment: Words


class AppealsBody(BaseModel):
    appeals: list[AppealBody]
    may: list[str]


class SampleRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    days: int = Field(default=28, ge=1, le=400)
    each: int = Field(default=5, ge=1, le=100, description="Of each stratum, and of each agent.")


class DrawnBody(BaseModel):
    low: int
    random: int
    agent: int


class ReviewRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    total: float = Field(ge=0, le=100)
    verdicts: dict[Part, Verdict]
    note: str = Field(default="", max_length=2000)


class ReviewBody(BaseModel):
    score_id: str
    conversation_id: str
    stratum: Literal["low", "random", "agent"]
    on: date
    agents: list[str]
    machine: float | None = Field(description="Told once a person has scored.")
    total: float | None
    reviewed_by: str


class ReviewsBody(BaseModel):
    reviews: list[ReviewBody]
    total: int
    next: int | None
    may: list[str]


class KappaBody(BaseModel):
    n: int
    agreed: float
    kappa: float | None = Field(description="Null: fewer than ten, or all of one kind.")


class AgreementBody(BaseModel):
    passed: KappaBody
    confusion: dict[str, dict[str, int]] = Field(description="By machine, then by people.")
    parts: dict[Part, KappaBody]
    mean_difference: float | None


class TrendPointBody(BaseModel):
    first: date
    n: int
    value: float


class TrendBody(BaseModel):
    name: str
    title: str
    n: int
    mean: float
    points: list[TrendPointBody]


class TrendsBody(BaseModel):
    group: str
    by: Literal["week", "day"]
    trends: list[TrendBody]
    bar: float = Field(description="From where a conversation passes.")
