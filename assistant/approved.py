"""Answers that compliance signed off: found by their questions, served word for word.

An answer is served only while it is in force, in a language that it was signed off in, for the
product that it speaks of, and while the words it rests on stand in a clause in force.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from knowledge.documents import Clause
from knowledge.embed import Vectors
from knowledge.text import normalise
from prompts.render import version_of

from . import figures
from .models import Citation
from .triage import Nearest

SAMPLE = Path(__file__).parent.parent / "knowledge" / "approved"
NEAREST = "nearest.json"
"""Beside the answers: the vectors of their questions."""

LOCALES = ("zh-Hans", "zh-Hant", "en")

_SAID = re.compile(
    r"(?<=[0-9])(?P<point>\.)(?=[0-9])|(?<=[0-9])(?P<apart>[^\w%‰‱$¥€£]+)(?=[0-9])|[\w%‰‱$¥€£]+"
)
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)?")

Unserved = Literal["changed", "unreadable", "clash"]
"""Why an answer that was signed off is not served: it is not as it was signed, it is no answer that
can stand beside the others, or another one answers the same question in the same time."""


class ApprovedError(Exception):
    """A file of approved answers cannot be used; the message names file and answer."""


@dataclass(frozen=True, slots=True)
class Approved:
    """One signed-off answer."""

    id: str
    questions: tuple[str, ...]
    signed_by: str
    signed_on: date
    effective_from: date
    effective_to: date | None
    """The last day on which it is served; None: open."""
    product: str
    """Key of the product that it speaks of; empty: of all."""
    source: str
    quote: str
    wording: Mapping[str, str]
    """Locale -> the answer."""

    def in_force(self, on: date) -> bool:
        return self.effective_from <= on and (self.effective_to is None or on <= self.effective_to)

    def beside(self, other: Approved) -> bool:
        """Whether both are in force on some day."""
        return self.effective_from <= (other.effective_to or date.max) and other.effective_from <= (
            self.effective_to or date.max
        )


@dataclass(frozen=True, slots=True)
class ApprovedAnswers:
    """All of a lender's signed-off answers, with the text they were read from."""

    version: str
    source: str
    answers: tuple[Approved, ...]
    """Those that may be served."""
    clashing: tuple[Approved, ...] = ()
    """Those that another one answers the same question in the same time as: which of them holds is
    not known, and none is served."""


@dataclass(frozen=True, slots=True)
class NotServed:
    """A signed-off answer that nobody is given."""

    id: str
    reason: Unserved
    others: tuple[str, ...] = ()
    """Ids of those that it clashes with."""


def folder_of(lender: Path | None) -> Path:
    """Where a lender keeps its answers: in `approved` beside its file."""
    return SAMPLE if lender is None else lender.parent / "approved"


def load_approved(folder: Path = SAMPLE) -> ApprovedAnswers:
    """The answers of all TOML files of a folder; none where there is no folder.

    Raises ApprovedError.
    """
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    try:
        source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    except (OSError, UnicodeDecodeError) as error:
        raise ApprovedError(f"{folder}: cannot be read ({error})") from None
    return of_text(source)


@lru_cache(maxsize=4)
def of_text(source: str) -> ApprovedAnswers:
    """Raises ApprovedError."""
    answers = _read(source)
    clashing = {answer.id for pair in _clashes(answers) for answer in pair}
    return ApprovedAnswers(
        version_of(source),
        source,
        tuple(answer for answer in answers if answer.id not in clashing),
        tuple(answer for answer in answers if answer.id in clashing),
    )


def join(
    held: ApprovedAnswers | None, texts: Mapping[str, str]
) -> tuple[ApprovedAnswers | None, tuple[NotServed, ...]]:
    """The lender's answers and others beside them, and which of all these are not served.

    texts: id -> an answer as a file would have it. One that cannot be read with the others is left
    out alone.
    """
    known = (*held.answers, *held.clashing) if held else ()
    source, taken = held.source if held and known else "", {answer.id for answer in known}
    left_out = []
    for answer_id, text in texts.items():
        try:
            (made,) = _read(text)
        except (ApprovedError, ValueError):
            left_out.append(NotServed(answer_id, "unreadable"))
            continue
        if made.id in taken:
            left_out.append(NotServed(answer_id, "unreadable"))
            continue
        taken.add(made.id)
        source += f"\n{text}"
    try:
        joined = of_text(source) if len(taken) > len(known) else held
    except ApprovedError:
        # Each can be read by itself; the lender's own stand without the others.
        joined, left_out = held, [NotServed(answer_id, "unreadable") for answer_id in texts]
    if joined is None:
        return None, tuple(left_out)
    others: dict[str, list[str]] = {}
    for one, other in _clashes(joined.clashing):
        others.setdefault(one.id, []).append(other.id)
        others.setdefault(other.id, []).append(one.id)
    left_out += [NotServed(name, "clash", tuple(ids)) for name, ids in others.items()]
    return joined, tuple(left_out)


def _clashes(answers: Sequence[Approved]) -> list[tuple[Approved, Approved]]:
    """Pairs that answer one question on the same day."""
    askers: dict[str, list[Approved]] = {}
    pairs: dict[tuple[str, str], tuple[Approved, Approved]] = {}
    for answer in answers:
        for asked in {same_words(question) for question in answer.questions}:
            for other in askers.setdefault(asked, []):
                if answer.beside(other):
                    pairs[other.id, answer.id] = other, answer
            askers[asked].append(answer)
    return list(pairs.values())


def clashes_with(answer: Approved, others: Iterable[Approved]) -> list[Approved]:
    """Those among others that answer one of its questions on the same day."""
    asked = {same_words(question) for question in answer.questions}
    return [
        other
        for other in others
        if answer.beside(other)
        and any(same_words(question) in asked for question in other.questions)
    ]


def _read(source: str) -> tuple[Approved, ...]:
    try:
        rows = tomllib.loads(source).get("answer", [])
    except tomllib.TOMLDecodeError as error:
        raise ApprovedError(f"approved answers: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ApprovedError("approved answers: each one is an [[answer]] table")
    answers: dict[str, Approved] = {}
    for row in rows:
        name = row.get("id", "?")
        try:
            made = Approved(
                id=row["id"],
                questions=tuple(row["questions"]),
                signed_by=row["signed_by"],
                signed_on=row["signed_on"],
                effective_from=row["effective_from"],
                effective_to=row.get("effective_to"),
                product=row.get("product", ""),
                source=row["source"],
                quote=row["quote"],
                wording={locale: row[locale] for locale in LOCALES if locale in row},
            )
        except (KeyError, TypeError) as error:
            raise ApprovedError(f"approved answer {name!r}: {error} is missing") from None
        dates = (made.signed_on, made.effective_from, made.effective_to or made.signed_on)
        texts = (made.signed_by, made.source, made.quote, *made.questions, *made.wording.values())
        if (
            not all(type(day) is date for day in dates)
            or not all(isinstance(text, str) and text.strip() for text in texts)
            or not made.questions
            or not made.wording
        ):
            raise ApprovedError(f"approved answer {name!r}: a date or a text is missing or empty")
        if made.effective_from < made.signed_on:
            raise ApprovedError(f"approved answer {name!r}: in force before it was signed off")
        if made.id in answers:
            raise ApprovedError(f"approved answer {name!r}: the id is taken")
        answers[made.id] = made
    return tuple(answers.values())


def same_words(text: str) -> str:
    """A question without signs, width, script and case, numbers in digits: 7.2 % is not 72 %, and
    3-6 is not 36."""
    return "".join(
        "-" if part["apart"] else part.group() for part in _SAID.finditer(normalise(text))
    )


def _same_figures(one: str, other: str) -> bool:
    """Whether two questions have the same numbers in the same order, of the same things."""
    if _NUMBERS.findall(normalise(one)) != _NUMBERS.findall(normalise(other)):
        return False
    found = [
        [replace(f, span=(0, 0), text="") for f in figures.find(text)] for text in (one, other)
    ]
    return found[0] == found[1]


def by_wording(held: ApprovedAnswers, question: str, on: date) -> Approved | None:
    """The answer in force to just this question; None where none is, or several are."""
    asked = same_words(question)
    found = [
        answer
        for answer in held.answers
        if answer.in_force(on)
        and any(same_words(q) == asked and _same_figures(q, question) for q in answer.questions)
    ]
    return found[0] if len(found) == 1 else None


def by_likeness(
    held: ApprovedAnswers, nearest: Nearest, question: str, vector: Vectors, on: date
) -> Approved | None:
    """The answer whose question means all but the same; None where that one clashes with another.

    nearest: rows labelled with hashes of approved questions; those that `held` does not have are
    passed by. A question with other figures than the nearest one is another question.
    """
    # Of two that one follows the other, the one in force.
    known = sorted((*held.answers, *held.clashing), key=lambda answer: answer.in_force(on))
    questions = {question_key(q): (answer, q) for answer in known for q in answer.questions}
    near = nearest.vectors @ np.asarray(vector, np.float32).ravel()
    ranked = sorted(
        (
            (float(score), *questions[label])
            for score, label in zip(near, nearest.labels, strict=True)
            if label in questions
        ),
        key=lambda row: -row[0],
    )
    if not ranked or ranked[0][0] < nearest.least:
        return None
    score, answer, wording = ranked[0]
    other = max((row[0] for row in ranked if row[1] is not answer), default=-1.0)
    sure = score - other >= nearest.margin and _same_figures(question, wording)
    return answer if sure and answer not in held.clashing else None


def question_key(question: str) -> str:
    """By which the vector of an approved question is known."""
    return hashlib.sha256(same_words(question).encode()).hexdigest()[:16]


def citation_of(answer: Approved, clauses: Iterable[Clause], on: date) -> Citation | None:
    """Where the words that an answer rests on stand in force; None where they do not."""
    for clause in clauses:
        if (
            clause.source == answer.source
            and clause.audience != "agent"
            and clause.in_force(on)
            and answer.quote in clause.text
        ):
            return Citation(clause, answer.quote)
    return None


def serves(answer: Approved, *, on: date, locale: str, product: str) -> bool:
    """Whether an answer may be served for a question of that day, language and product."""
    return answer.in_force(on) and locale in answer.wording and answer.product == product
