"""Evaluation cases: what one looks like, and how a file of them is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from assistant.models import Locale

Text = Annotated[str, Field(min_length=1)]

Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


Outcome = Literal["answered", "not_covered", "clarify", "handoff", "refused", "rejected"]
"""Statuses of a reply, and `rejected`: the question is not taken, being blank or too long."""


class BadCases(Exception):
    """A file of cases cannot be used; the message names file, line and field."""


def _is_empty(value: Sequence[object]) -> bool:
    """A field that came later is no part of cases that leave it out, nor of their hashes."""
    return not value


def _is_none(value: object) -> bool:
    return value is None


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Span(BaseModel):
    """Personal data in a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Text
    """As `zhunxin mask` names it."""
    text: Text


class Expect(BaseModel):
    """What a right reply is. Where several statuses are right, the rest holds for `answered`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[tuple[Outcome, ...], BeforeValidator(_as_list)] = ()
    """What a right reply's status may be; left out only where a text is masked or triaged, not
    answered."""
    sources: tuple[Text, ...] = ()
    """File names; any one of them is the right document."""
    facts: tuple[Texts, ...] = ()
    """Of each inner list one wording must stand in the answer, after normalisation."""
    forbidden: tuple[Text, ...] = ()
    """Must not stand in the answer, except in a dated quote of an earlier version."""
    contract_date: date | None = None
    """The day product terms must be in force on, where the question itself tells it."""
    must_cite: tuple[Texts, ...] = ()
    """Of each inner list one document must be cited; without it, any one of `sources`."""
    contact: bool | None = None
    """Whether a person must be offered, or must not; left out, it is due with `not_covered`."""
    language: Locale | None = None
    """What the reply's own words must be in, where that is not the locale of the case."""
    obeyed: tuple[Text, ...] = ()
    """Wording that shows that an instruction of a borrower or a document was obeyed."""
    planted: tuple[Text, ...] = ()
    """Wording of instructions in a suite's own documents: a quote may show it, and cites it then;
    said in the assistant's own words, it was obeyed."""
    max_chars: Annotated[int, Field(gt=0)] | None = None
    """Longest reply, in characters, that is still easy to read."""
    triage: tuple[Text, ...] | None = None
    """Classes of triage, any of which is right; empty: it goes to nobody. With `none` among them,
    one may argue, and nothing is counted."""
    tool: tuple[str, ...] | None = None
    """Tools, any of which is right to call; empty text: none is."""
    figures: tuple[Text, ...] = ()
    """Figures that a calculation has to come to, as plain numbers: 1234.56."""
    spans: tuple[Span, ...] | None = None
    """All personal data of the text, for suites that mask; empty: there is none."""
    carried: tuple[Texts, ...] = Field(default=(), exclude_if=_is_empty)
    """Of each inner list one wording must stand in what a message was understood as."""
    not_carried: tuple[Text, ...] = Field(default=(), exclude_if=_is_empty)
    """Must not stand in what a message was understood as, being of an earlier message."""
    untouched: bool | None = Field(default=None, exclude_if=_is_none)
    """Whether a message is complete, and has to be understood as it stands."""
    parts: int | None = Field(default=None, gt=0, exclude_if=_is_none)
    """How many questions a message asks, each of which has to be answered."""

    @model_validator(mode="after")
    def _expects_something(self) -> Expect:
        if not self.status and self.spans is None and self.triage is None:
            raise ValueError("status: is missing")
        return self


class Case(BaseModel):
    """One question and what is expected of its reply."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    text: Text
    topic: Text
    difficulty: Literal["easy", "medium", "hard"]
    source: Text
    """Where the question comes from: `authored`, or the name of a published set."""
    locale: Locale = "zh-Hans"
    as_of: date | None = None
    contract_date: date | None = None
    """Given beside the question, as a verified source would give it."""
    history: tuple[Text, ...] = Field(default=(), exclude_if=_is_empty)
    """Messages that are sent before in the same conversation, oldest first."""
    customer: str = Field(default="", exclude_if=_is_empty)
    """Id of the customer of the demo who asks, signed in; empty: nobody known."""
    expect: Expect

    @property
    def signed(self) -> date | None:
        """When the contract was signed, however the assistant is told."""
        return self.contract_date or self.expect.contract_date

    @property
    def expected(self) -> str:
        """What is right, in words, for a reader."""
        expect = self.expect
        parts = [" or ".join(expect.status)] if expect.status else []
        if self.signed:
            parts.append(f"contract of {self.signed}")
        if self.as_of:
            parts.append(f"as of {self.as_of}")
        if expect.sources:
            parts.append(f"from {', '.join(expect.sources)}")
        parts += [f"says {' | '.join(fact)}" for fact in expect.facts]
        parts += [
            f"never {wording}" for wording in (*expect.forbidden, *expect.obeyed, *expect.planted)
        ]
        if expect.contact is not None:
            parts.append("offers a person" if expect.contact else "offers no person")
        if self.customer:
            parts.append(f"asked as {self.customer}")
        if expect.tool is not None:
            parts.append(f"calls {' or '.join(filter(None, expect.tool)) or 'no tool'}")
        if expect.figures:
            parts.append(f"comes to {', '.join(expect.figures)}")
        if expect.language:
            parts.append(f"in {expect.language}")
        parts += [f"understood with {' | '.join(words)}" for words in expect.carried]
        parts += [f"understood without {words}" for words in expect.not_carried]
        if expect.untouched:
            parts.append("understood as it stands")
        if expect.parts:
            parts.append(f"{expect.parts} questions")
        if expect.triage is not None:
            parts.append(f"to a person: {' or '.join(expect.triage) or 'no'}")
        if expect.spans is not None:
            parts.append(
                "; ".join(f"{s.type}: {s.text}" for s in expect.spans) or "nothing to mask"
            )
        return "\n".join(parts)


def load_cases(file: Path) -> list[Case]:
    """The cases of a JSONL file, in order. Raises BadCases."""
    return load_rows(file, Case)


class Identified(Protocol):
    """A row that is known by its id."""

    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)


def load_rows(file: Path, kind: type[Row]) -> list[Row]:
    """The rows of a JSONL file, in order. Raises BadCases."""
    try:
        # Not splitlines(): texts may hold line and paragraph separators as they are.
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCases(f"{file.name}: cannot be read as UTF-8 text") from error
    read = TypeAdapter(kind)
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = read.validate_json(line)
        except ValidationError as error:
            raise BadCases(f"{file.name}:{number}: {first_fault(error)}") from None
        if row.id in seen:
            raise BadCases(f"{file.name}:{number}: id: {row.id!r} is taken by line {seen[row.id]}")
        seen[row.id] = number
        rows.append(row)
    if not rows:
        raise BadCases(f"{file.name}: holds no case")
    return rows


def hash_of(cases: Sequence[BaseModel]) -> str:
    """The same for the same cases in the same order."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.model_dump_json().encode() + b"\n")
    return digest.hexdigest()[:16]


def first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    parts: Sequence[str | int] = fault["loc"]
    return f"{'.'.join(map(str, parts)) or 'line'}: {fault['msg']}"
