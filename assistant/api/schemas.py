"""What clients send, and what they get where it is one JSON document."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from assistant.rules import CONTEXT_KEYS, Anchor, Channel, Evidence, Severity, Task
from assistant.staff import Role

LocaleName = Literal["zh-Hans", "zh-Hant", "en"]


class ChatRequest(BaseModel):
    """One message of a borrower."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(description="The question, at most 2000 characters.")
    conversation_id: str = Field(
        default="",
        max_length=64,
        pattern="^[0-9A-Za-z_-]*$",
        description="From an earlier `done`; empty starts anew.",
    )
    locale: LocaleName = "zh-Hans"
    contract_date: date | None = Field(
        default=None, description="When the contract in question was signed, if known."
    )
    as_of: date | None = Field(default=None, description="Answer as of this day.")


class PlaceBody(BaseModel):
    """Where a clause stands, and in which version."""

    clause_id: str
    document: str
    source: str
    version: str
    locator: str
    title: str
    kind: str
    effective_from: date | None
    effective_to: date | None
    digest: bool


class CitationBody(PlaceBody):
    quote: str


class SentenceBody(BaseModel):
    text: str
    kind: Literal["model", "quote", "tool", "approved", "notice"]
    citations: list[int]


class ContactBody(BaseModel):
    hotline: str
    hours: str


class HeadlineBody(BaseModel):
    """A figure that a result is about, in the language of the reply."""

    name: str
    label: str
    value: str


class ColumnBody(BaseModel):
    name: str
    label: str


class TableBody(BaseModel):
    """Rows of a result: amounts are texts with two decimals."""

    columns: list[ColumnBody]
    rows: list[dict[str, Any]]
    chart: bool = Field(description="Whether the rows are instalments, which can be drawn.")


class ResultBody(BaseModel):
    """What a tool came to; its figures stand beside these fields, by name."""

    model_config = ConfigDict(extra="allow")

    title: str
    about: str = Field(description="Which loan it is about, if one.")
    headline: list[HeadlineBody]
    formula: list[str] = Field(default_factory=list)
    conventions: list[str] = Field(default_factory=list)
    sources: list[dict[str, str]] = Field(default_factory=list)
    clauses: list[dict[str, str]] = Field(
        default_factory=list, description="Where a contract says what was calculated with."
    )
    table: TableBody | None = None


class ToldCalculationBody(BaseModel):
    """What figures of the reply come from."""

    tool: str
    inputs: dict[str, Any]
    result: ResultBody


class ReplyBody(BaseModel):
    """A whole reply; `withheld` names reasons only."""

    label: str = Field(description="That AI made it: to be shown with the answer.")
    status: Literal["answered", "not_covered", "clarify", "handoff", "refused"]
    answer: str
    sentences: list[SentenceBody]
    citations: list[CitationBody]
    calculations: list[ToldCalculationBody]
    withheld: list[dict[str, str]]
    contact: ContactBody | None
    classes: list[str] = Field(
        default_factory=list,
        description="With `handoff`: why a person has to see the message, such as `complaint`.",
    )
    understood: list[str] = Field(
        default_factory=list,
        description="The questions that were answered, where the message leans on earlier ones or "
        "asks several things.",
    )
    called: str = Field(
        default="", description="The tools that were run, such as `settle`, joined by `+`."
    )
    asked_for: list[str] = Field(
        default_factory=list,
        description="For each question that was answered, the figure that is asked back for, such "
        "as `annual_rate`; the next message may be nothing but it.",
    )
    handoff: dict[str, Any] | None = Field(
        default=None, description="How a hand-over to a person stands, where there is one."
    )
    model: str
    release: str
    record_id: str
    conversation_id: str
    timings: dict[str, float]


class TurnBody(BaseModel):
    """A message and its reply; personal data are masked as they are kept."""

    record_id: str
    asked_at: datetime
    message: str
    status: str = Field(
        description="That of the reply; `open` while it is answered, `unanswered` if it broke off."
    )
    locale: str
    reply: dict[str, Any] | None


class PersonSaidBody(BaseModel):
    """What a person at the desk, or the borrower to them, wrote."""

    at: datetime
    speaker: Literal["agent", "borrower"]
    name: str = Field(description="The agent's, as the borrower sees it.")
    text: str


class ConversationBody(BaseModel):
    """A conversation, its messages in the order in which they came in."""

    label: str
    conversation_id: str
    created_at: datetime
    locale: str
    turns: list[TurnBody]
    people: list[PersonSaidBody] = Field(description="What was written after a hand-over.")


class ConversationHeadBody(BaseModel):
    conversation_id: str
    created_at: datetime
    message: str = Field(description="The first one.")


class ConversationsBody(BaseModel):
    conversations: list[ConversationHeadBody]


class ForgottenBody(BaseModel):
    conversation_id: str
    deleted: int = Field(description="Messages whose content is gone.")


class BorrowerBody(BaseModel):
    """Who asks, as far as it may stand on a screen; empty where nobody is known."""

    name: str = Field(description="First character of the name, the others hidden.")
    loans: int


class DemoCustomerBody(BaseModel):
    """A customer of the demo; `label` says by locale what they stand for."""

    id: str
    name: str
    label: dict[str, str]


class DemoCustomersBody(BaseModel):
    customers: list[DemoCustomerBody]


class DemoTokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer_id: str = Field(max_length=64)


class DemoTokenBody(BaseModel):
    token: str
    expires_at: datetime


class LenderBody(BaseModel):
    """Whose assistant this is; hotline and hours are empty where no clause in force states them."""

    name: str
    short_name: str
    hotline: str
    hours: str


class ClauseBody(PlaceBody):
    text: str


PACK = "^[a-z]{2,8}$"
"""How a jurisdiction is named."""


class CheckRequest(BaseModel):
    """A text to check by the compliance rules, and what is known about it."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="As it would be sent.")
    task: Task = Field(
        description="What the text is: a reply in a chat, an advertisement, an agent's own words, "
        "or a message to somebody who is overdue."
    )
    channel: Channel | None = Field(
        default=None, description="Where it goes out; left out, the rules of every channel apply."
    )
    context: dict[str, Any] = Field(
        default_factory=dict,
        description="Consent, time, campaign and the like; docs/rules.md lists the keys. null "
        "counts as not said.",
        json_schema_extra={
            "properties": {
                key: {"enum": [*kind, None]}
                for key, kind in CONTEXT_KEYS.items()
                if isinstance(kind, tuple)
            }
        },
    )
    on: date | None = Field(
        default=None,
        description="The day whose rules apply; left out, that of context `at`, else today.",
    )
    pack: str | None = Field(
        default=None,
        pattern=PACK,
        description="The jurisdiction whose rules apply; left out, that of the server.",
    )
    semantic: bool = Field(
        default=False,
        description="Also warn of sentences that resemble bad examples in meaning; takes some "
        "40 ms a sentence, and a minute when first asked for.",
    )
    append: bool = Field(
        default=False,
        description="Also put in what a message of its task must carry on its channel, which then "
        "has to be named.",
    )
    locale: LocaleName = Field(default="zh-Hans", description="Language of what is put in.")


class RuleSourceBody(BaseModel):
    """Where a rule stands; `article` only where its text, or a quote of it, is held."""

    regulation: str
    article: str | None
    evidence: Evidence
    verified: bool


class FindingBody(BaseModel):
    """Where a text breaks a rule; `span` counts characters of the text as it was sent."""

    rule: str
    title: str
    title_en: str
    severity: Severity
    span: tuple[int, int]
    text: str
    source: RuleSourceBody | None = Field(description="null: the house's own, not a law's.")
    anchor: Anchor
    suggestion: str
    suggestion_en: str = Field(description="Empty where the rule has none.")
    like: str = Field(description="The bad example that it resembles, if that is all; else empty.")
    channels: list[Channel] = Field(
        default=[],
        description="Where no channel was given, those on which alone it is one, if not on all.",
    )


class UncheckedBody(BaseModel):
    """A rule that could not be judged, and the context that it needs."""

    rule: str
    needs: list[str]


class ReviewBody(BaseModel):
    """What the rules say of a text. Unchecked rules do not change the verdict."""

    verdict: Literal["pass", "warn", "fix", "block"]
    findings: list[FindingBody]
    unchecked: list[UncheckedBody]
    rules_version: str
    cut: list[str] = Field(
        default=[], description="Rules broken in more places than are told: the first of them are."
    )


class AddedBody(BaseModel):
    """An element that was put in; `span` counts characters of the completed text."""

    element: str
    text: str
    span: tuple[int, int]


class CompletedBody(BaseModel):
    """A text with what it lacked; its own words stay as they are."""

    text: str
    added: list[AddedBody]
    lacking: list[str] = Field(
        description="Elements not put in, since no clause in force states what they say."
    )
    longest: int | None = Field(description="Characters that the channel takes, if bounded.")
    too_long: bool
    review: ReviewBody = Field(description="What the rules say of the whole, as it would go out.")


class CheckedBody(ReviewBody):
    """A review of the text as it was sent, and, with `append`, the text completed."""

    completed: CompletedBody | None = None


class RuleBody(BaseModel):
    """One compliance rule."""

    id: str
    title: str
    title_en: str
    tasks: list[Task]
    channels: list[Channel]
    severity: Severity
    anchor: Anchor
    source: RuleSourceBody
    effective_from: date | None
    effective_to: date | None
    file: str


class BasisBody(BaseModel):
    regulation: str
    article: str
    evidence: Evidence
    quote: str
    note: str


class ExampleBody(BaseModel):
    """A text on which a rule fires (`bad`) or does not, and as what it is judged."""

    kind: Literal["bad", "good"]
    text: str
    task: Task
    channel: Channel | None
    context: dict[str, Any]
    on: date | None = Field(description="The day whose rules apply; null: any.")


class WholeRuleBody(RuleBody):
    """One rule with its wording, all its sources and its examples."""

    suggestion: str
    suggestion_en: str
    note: str
    sources: list[BasisBody]
    bad: list[str]
    good: list[str]
    examples: list[ExampleBody]


class RulesBody(BaseModel):
    rules: list[RuleBody]
    rules_version: str
    pack: str = Field(description="The jurisdiction of the rules; with commas, several.")
    packs: list[str] = Field(description="Every jurisdiction that has rules.")
    context: dict[str, str | list[str]] = Field(
        description="What may be said of a message: bool, int, decimal, date, instant, text or "
        "texts, or the words of which it must be one."
    )


class Problem(BaseModel):
    """RFC 9457 problem details; `detail` may be shown to a person."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    trace_id: str


class CompletionMessage(BaseModel):
    """A turn of an OpenAI client: only the last `user` turn is read, as a question."""

    role: str = Field(max_length=32)
    content: str | list[dict[str, Any]] | None = None


class CompletionRequest(BaseModel):
    """The part of OpenAI's request that is used; other fields are ignored."""

    model: str | None = "zhunxin"
    messages: Annotated[list[CompletionMessage], Field(min_length=1, max_length=500)]
    stream: bool | None = False


class SignInRequest(BaseModel):
    """A member of staff signs in."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(max_length=256)
    password: SecretStr = Field(max_length=256)
    token: bool = Field(
        default=False, description="Reply with the session token instead of setting a cookie."
    )


class MeBody(BaseModel):
    """Who is signed in."""

    id: str
    login: str
    name: str
    roles: list[Role]
    pages: list[str]
    csrf_token: str
    expires_at: datetime


class SessionBody(MeBody):
    token: str | None


class AccountBody(BaseModel):
    id: str
    login: str
    name: str
    roles: list[Role]
    demo: bool
    disabled: bool
    created_at: datetime


class AccountsBody(BaseModel):
    accounts: list[AccountBody]


class DemoBody(AccountsBody):
    """The accounts of the demo, and the password of all of them."""

    password: str


class NewAccount(BaseModel):
    model_config = ConfigDict(extra="forbid")

    login: str = Field(max_length=256)
    name: str = Field(max_length=256)
    roles: list[Role] = Field(max_length=6)
    password: SecretStr = Field(max_length=256)


class AccountChanges(BaseModel):
    """What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    roles: list[Role] | None = Field(default=None, max_length=6)
    password: SecretStr | None = Field(default=None, max_length=256)
    disabled: bool | None = None
