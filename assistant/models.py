"""What the pipelines pass on: questions, sentences, citations, events and replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from knowledge.documents import Clause

Locale = Literal["zh-Hans", "zh-Hant", "en"]
LOCALES: tuple[Locale, ...] = get_args(Locale)

Channel = Literal["cli", "chat", "openai", "eval"]

Status = Literal["answered", "not_covered", "clarify", "handoff", "refused"]

SentenceKind = Literal["model", "quote", "tool", "approved", "notice"]


def today() -> date:
    """The calendar day that it is now in Asia/Shanghai, by which legal dates are judged."""
    return datetime.now(ZoneInfo("Asia/Shanghai")).date()


@dataclass(frozen=True, slots=True)
class Question:
    """One message of a borrower, as it came in."""

    text: str
    today: date
    """The calendar day in Asia/Shanghai on which it is asked."""
    locale: Locale = "zh-Hans"
    as_of: date | None = None
    """Answer as of this day instead of today."""
    contract_date: date | None = None
    """When the borrower's contract was signed, where a verified source says so."""
    conversation_id: str = ""
    """Empty starts a new conversation."""
    channel: Channel = "chat"
    subject: str = field(default="", repr=False)
    """Keyed hash of the verified customer who asks; empty: nobody known. Whose record it is cannot
    be told from it."""
    customer_id: str = field(default="", repr=False)
    """Of the verified customer, whose record alone may be looked up; it is never stored. Nothing
    that a message or a model says sets it."""
    desk: Literal["", "agent", "collections"] = ""
    """By whose rules a reply is judged that somebody at a desk will send, who may also read what
    borrowers must not; empty: it goes to the borrower as it is."""

    @property
    def on(self) -> date:
        return self.as_of or self.today


@dataclass(frozen=True, slots=True)
class Said:
    """An earlier message of a conversation, as far as later ones may lean on it."""

    record_id: str
    text: str
    """The message, with personal data masked."""
    understood: tuple[str, ...] = ()
    """What it was answered as; empty: as it stands, or it was still being answered."""
    status: str = "open"
    """`open`: it was still being answered, so that nothing of its reply is known."""
    answer: str = ""
    """Beginning of what it was told."""
    asked_on: date | None = None
    as_of: date | None = None
    contract_date: date | None = None
    called: str = ""
    asked_for: tuple[str, ...] = ()
    """Both as its reply has them."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a clause on which a sentence rests."""

    clause: Clause
    quote: str
    """Verbatim part of the clause's text."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One released sentence."""

    text: str
    kind: SentenceKind
    citations: tuple[int, ...] = ()
    """Indexes into the reply's citations."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A sentence the gate did not release."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Calculation:
    """What a figure of the reply comes from; JSON-ready."""

    tool: str
    inputs: Mapping[str, Any]
    result: Mapping[str, Any]
    """Figures, formula, sources, headline and table."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How a borrower reaches a person; empty where the knowledge does not say."""

    hotline: str = ""
    hours: str = ""


EventName = Literal[
    "status",
    "evidence",
    "citation",
    "calculation",
    "sentence",
    "alternatives",
    "next",
    "handoff",
    "done",
    "error",
]


@dataclass(frozen=True, slots=True)
class Triaged:
    """That a person has to see a message."""

    conversation_id: str
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a reply as it is made; `data` is JSON-ready."""

    name: EventName
    data: dict[str, Any]
    reply: Reply | None = None
    """The finished reply, with `done` only."""
    triaged: Triaged | None = None
    """With the first event after triage told so, before which the borrower has been told nothing:
    whoever queues them does so then, however the stream goes on."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds since the question came in, except `gate_ms`, which is time spent."""

    retrieve_ms: float = 0.0
    first_sentence_ms: float = 0.0
    gate_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished reply."""

    status: Status
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...] = ()
    calculations: tuple[Calculation, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    contact: Contact | None = None
    model: str = ""
    """Names the model that answered, `extractive` where none did, empty where none was asked."""
    release: str = ""
    prompt_version: str = ""
    rules_version: str = ""
    rules_broken: tuple[str, ...] = ()
    """Rules that something withheld or lacking broke."""
    raw_output: tuple[str, ...] = ()
    """Everything the model wrote, in order, with personal data still masked."""
    evidence_ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """What triage put the message into, with the status `handoff`."""
    understood: tuple[str, ...] = ()
    """The questions that were answered, where they are not the message as it stands."""
    called: str = ""
    """The tool that was run, if any; of several questions, joined by `+`."""
    asked_for: tuple[str, ...] = ()
    """For each question that was answered, the argument of its tool that was asked for, which the
    next message may give; empty text where none was. Nothing where none was for any."""
    record_id: str = ""
    conversation_id: str = ""
    timings: Timings = field(default_factory=Timings)

    @property
    def answer(self) -> str:
        return "\n".join(sentence.text for sentence in self.sentences)


LEFT = "left"


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of a language model as it went, so that it can be played again."""

    call: Literal["open", "complete", "stream"]
    """`open`: no model could be started."""
    prompt: str = ""
    """SHA-256 of the messages."""
    pieces: tuple[str, ...] = ()
    """What it wrote; an answer that was not streamed is one piece."""
    model: str = ""
    error: str = ""
    """Class of the ModelError it ended in; LEFT where its reader went away or failed."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Played:
    """What models gave to a reply: all that its making does not follow from."""

    turns: tuple[Turn, ...] = ()
    """Calls of the language model, in order."""
    wanted_model: bool = False
    way: Literal["select", "draft"] | None = None
    """How the model worked; None where none was asked."""
    vectors: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of an embedded query -> its vector, float32 in base64."""
    order: Sequence[str] | None = None
    """Clause ids as a ranking model put them; None where none was asked."""
    earlier: Sequence[tuple[str, bool]] = ()
    """Records of earlier messages of the conversation that were read, oldest first, and whether
    their replies were there. What they hold stands in them alone, so that erasing reaches it."""
    customer: Mapping[str, Any] | None = None
    """What was read of the customer's record, JSON-ready; None where nothing was."""
