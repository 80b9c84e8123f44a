"""What a conversation leaves to be done: promises with their days, the reason, when to speak again.

Read from what was said, by patterns and figures, without a model: copilot.toml has the patterns.
What is doubtful is left out; the agent adds it before the wrap-up is kept.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from . import figures, loan_math
from .figures import Figure
from .loan_math import Calendar
from .matching import BadPattern, Pattern, compile_pattern
from .transcripts import Turn
from .triage import comparable

SHIPPED = Path(__file__).with_name("copilot.toml")
ZONE = ZoneInfo("Asia/Shanghai")

Side = Literal["borrower", "agent"]

MOST_PROMISES = 12
MOST_CHARS = 120
"""Of the words that make a promise."""

_COMMA = re.compile("[\uff0c,\u3001](?![0-9]{3})")
_SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]?")


class WrapUpError(Exception):
    """The data of wrap-ups cannot be used; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What somebody said they would do."""

    by: Side
    kind: str
    """`pay`, `call_back`, `send` or `look_into`."""
    text: str
    due_on: date | None
    amount_cny: Decimal | None
    turn: int
    """Place of the turn that says so, from 0."""


@dataclass(frozen=True, slots=True)
class Wish:
    """When somebody wants to be spoken to again."""

    day: date
    at: time | None
    turn: int


@dataclass(frozen=True, slots=True)
class _Row:
    by: Side
    kind: str
    needs: Literal["none", "day", "figure"]
    patterns: tuple[Pattern, ...]
    unless: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code with its wording by locale."""

    id: str
    classes: frozenset[str]
    patterns: tuple[Pattern, ...]
    wording: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """All that conversations are read by."""

    rows: tuple[_Row, ...]
    asks_when: tuple[Pattern, ...]
    answers_not: tuple[Pattern, ...]
    corrects: tuple[Pattern, ...]
    bare_amount: re.Pattern[str]
    contact: tuple[Pattern, ...]
    contact_unless: tuple[Pattern, ...]
    days: tuple[tuple[re.Pattern[str], Mapping[str, Any]], ...]
    numerals: Mapping[str, int]
    reasons: tuple[Reason, ...]


@lru_cache(maxsize=2)
def load_words(file: Path = SHIPPED) -> Words:
    """Raises WrapUpError."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return Words(
            rows=tuple(
                _Row(
                    row["by"],
                    row["kind"],
                    row["needs"],
                    patterns_of(row["patterns"]),
                    patterns_of(row["unless"]),
                )
                for row in table["promise"]
            ),
            asks_when=patterns_of(table["promises"]["asks_when"]),
            answers_not=patterns_of(table["promises"]["answers_not"]),
            corrects=patterns_of(table["promises"]["corrects"]),
            bare_amount=re.compile(table["promises"]["bare_amount"]),
            contact=patterns_of(table["next_contact"]["patterns"]),
            contact_unless=patterns_of(table["next_contact"]["unless"]),
            days=tuple((re.compile(row["pattern"]), row) for row in table["day"]),
            numerals=table["numerals"],
            reasons=tuple(
                Reason(
                    row["id"],
                    frozenset(row.get("classes", ())),
                    patterns_of(row.get("patterns", ())),
                    {locale: row[locale] for locale in ("zh-Hans", "zh-Hant", "en")},
                )
                for row in table["reason"]
            ),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, re.error, BadPattern) as error:
        raise WrapUpError(f"{file.name}: {type(error).__name__}: {error}") from None


def patterns_of(sources: Sequence[str]) -> tuple[Pattern, ...]:
    return tuple(compile_pattern(source) for source in sources)


def matches_any(patterns: Sequence[Pattern], seen: str) -> bool:
    return any(pattern.within(seen) for pattern in patterns)


def sentences(text: str) -> Iterator[str]:
    for match in _SENTENCE.finditer(text):
        if any(c.isalnum() for c in match.group()):
            yield match.group().strip()


# Promises


def promises(words: Words, turns: Sequence[Turn], today: date) -> list[Promise]:
    """What borrower and agent said they would do, in the order in which they did. Of the same
    promise said twice the later counts, and so does one that takes the place of another."""
    found: list[Promise] = []
    asked_when = False
    for place, turn in enumerate(turns):
        if turn.speaker not in ("borrower", "agent"):
            continue
        side: Side = turn.speaker
        day = _day_of(turn, today)
        for sentence in sentences(turn.text):
            for part in _parts(words, sentence, day):
                made = _promise(words, side, part, place, day, answers=asked_when)
                if made is not None:
                    _add(found, made, corrects=matches_any(words.corrects, comparable(sentence)))
        if side == "agent":
            asked_when = matches_any(words.asks_when, comparable(turn.text))
        elif any(c.isalnum() for c in turn.text):
            asked_when = False
    return found[-MOST_PROMISES:]


def _parts(words: Words, sentence: str, today: date) -> Sequence[str]:
    """A sentence that names several days makes several promises, each in a part of it."""
    parts = [part for part in _COMMA.split(sentence) if part.strip()]
    named = [part for part in parts if day_said(words, part, today) is not None]
    return parts if len(named) > 1 else (sentence,)


def _promise(
    words: Words, side: Side, sentence: str, place: int, today: date, *, answers: bool
) -> Promise | None:
    seen = comparable(sentence)
    read = figures.find(sentence)
    due = day_said(words, sentence, today, read)
    amount = next((f.value for f in read if f.kind == "money" and f.unit == "CNY"), None)
    kind = ""
    for row in words.rows:
        if row.by != side or not matches_any(row.patterns, seen):
            continue
        if matches_any(row.unless, seen):
            continue
        missing = (row.needs == "day" and due is None) or (
            row.needs == "figure" and due is None and amount is None
        )
        if not missing:
            kind = row.kind
            break
    if not kind and side == "borrower" and answers and due is not None:
        kind = "" if matches_any(words.answers_not, seen) else "pay"
    if not kind:
        return None
    bare = words.bare_amount.search(seen)
    if amount is None and bare:
        amount = Decimal(bare["n"])
    money = amount if kind == "pay" and isinstance(amount, Decimal) else None
    return Promise(side, kind, sentence[:MOST_CHARS], due, money, place)


def _day_of(turn: Turn, today: date) -> date:
    if turn.at is None:
        return today
    return turn.at.date() if turn.at.tzinfo is None else turn.at.astimezone(ZONE).date()


def _add(found: list[Promise], made: Promise, *, corrects: bool) -> None:
    same = [p for p in found if (p.by, p.kind) == (made.by, made.kind)]
    if same and made.kind == "pay":
        last = same[-1]
        if corrects or last.due_on == made.due_on or last.due_on is None or made.due_on is None:
            # Said in two sentences, or once more: what the later one leaves out still stands.
            found.remove(last)
            made = replace(
                made,
                due_on=made.due_on or last.due_on,
                amount_cny=made.amount_cny if made.amount_cny is not None else last.amount_cny,
            )
    elif same and (same[-1].due_on == made.due_on or made.due_on is None):
        return
    found.append(made)


# Days and times


def day_said(
    words: Words, text: str, today: date, read: Sequence[Figure] | None = None
) -> date | None:
    """The day that a text names, as seen from `today`; None where it names none."""
    read = figures.find(text) if read is None else read
    for figure in read:
        if figure.kind == "date":
            day = _date_of(str(figure.value), today)
            # What lies behind is no day on which something will be done.
            if day is not None and day >= today:
                return _in_next_month(words, text, figure, day, today)
    for figure in read:
        if figure.kind == "term" and figure.unit == "workday" and isinstance(figure.value, Decimal):
            return after_workdays(today, int(figure.value))
    seen = comparable(text)
    for pattern, row in words.days:
        if match := pattern.search(seen):
            day = _relative(words, match, row, today)
            if day is not None:
                return day
    return None


def _in_next_month(words: Words, text: str, figure: Figure, day: date, today: date) -> date:
    """A day of the month after words for the next one is of that month."""
    if not str(figure.value).startswith("---"):
        return day
    seen = comparable(text)
    for pattern, row in words.days:
        match = pattern.search(seen) if row.get("month") == 1 else None
        if match and match.groupdict().get("d"):
            return _relative(words, match, row, today) or day
    return day


def after_workdays(day: date, workdays: int, calendar: Calendar | None = None) -> date:
    """The day so many workdays on; days of a year that is not known count by their weekday."""
    known = calendar or _calendar()
    for _ in range(400):
        if workdays <= 0:
            break
        day += timedelta(days=1)
        try:
            workdays -= known.is_workday(day)
        except loan_math.UnknownYear:
            workdays -= day.weekday() < 5
    return day


@lru_cache(maxsize=1)
def _calendar() -> Calendar:
    return loan_math.load_calendar()


def _date_of(value: str, today: date) -> date | None:
    """`2026-12-05`, `--12-05` and `---15`, the last two of the next such day."""
    try:
        if value.startswith("---"):
            return (
                _month_day(today, 0, int(value[3:]))
                if int(value[3:]) >= today.day
                else (_month_day(today, 1, int(value[3:])))
            )
        if value.startswith("--") and len(value) == 7:
            month, day = int(value[2:4]), int(value[5:7])
            found = date(today.year, month, day)
            return found if found >= today else date(today.year + 1, month, day)
        return date.fromisoformat(value) if len(value) == 10 else None
    except ValueError:
        return None


def _month_day(today: date, months: int, day: int) -> date:
    """A day of a month so many on; its last where it has no such day."""
    month = today.year * 12 + today.month - 1 + months
    year, of_year = divmod(month, 12)
    first_after = date(year + of_year // 11, (of_year + 1) % 12 + 1, 1)
    last = (first_after - timedelta(days=1)).day
    return date(year, of_year + 1, min(max(day, 1), last))


def _relative(
    words: Words, match: re.Match[str], row: Mapping[str, Any], today: date
) -> date | None:
    groups = {name: said for name, said in match.groupdict().items() if said}
    if "days" in row:
        return today + timedelta(days=row["days"])
    if "weekday" in row:
        wanted = words.numerals.get(groups.get("n") or groups.get("e", ""), 0)
        if not wanted:
            return None
        monday = today - timedelta(days=today.weekday())
        day = monday + timedelta(days=wanted - 1, weeks=row["weekday"])
        return day if day >= today else day + timedelta(weeks=1)
    if "week" in row:
        monday = today - timedelta(days=today.weekday())
        return monday + timedelta(weeks=row["week"], days=6)
    if "month" in row:
        return _month_day(today, row["month"], int(groups["d"]) if "d" in groups else 31)
    said = groups.get("n") or groups.get("w", "")
    count = int(said) if said.isdigit() else words.numerals.get(said, 0)
    return today + timedelta(days=count) if count else None


def time_said(text: str) -> time | None:
    """The time of day that a text names."""
    for figure in figures.find(text):
        if figure.kind == "time":
            try:
                return time.fromisoformat(str(figure.value))
            except ValueError:
                return None
    return None


def next_contact(words: Words, turns: Sequence[Turn], now: datetime) -> Wish | None:
    """When the borrower last asked to be spoken to again, or the agent said they would."""
    today = now.astimezone(ZONE).date()
    for place in range(len(turns) - 1, -1, -1):
        turn = turns[place]
        if turn.speaker not in ("borrower", "agent"):
            continue
        said_on = _day_of(turn, today)
        for sentence in reversed(list(sentences(turn.text))):
            seen = comparable(sentence)
            if turn.speaker == "borrower":
                asks = matches_any(words.contact, seen)
                if not asks or matches_any(words.contact_unless, seen):
                    continue
            elif not any(
                row.kind == "call_back"
                and matches_any(row.patterns, seen)
                and not matches_any(row.unless, seen)
                for row in words.rows
            ):
                continue
            day, at = day_said(words, sentence, said_on), time_said(sentence)
            if day is not None or at is not None:
                return Wish(day or said_on, at, place)
    return None


# Why it was


def reason_of(words: Words, turns: Sequence[Turn], classes: Collection[str]) -> str:
    """The reason code: by class, else what most of the borrower's messages are about."""
    for reason in words.reasons:
        if reason.classes & set(classes):
            return reason.id
    said = [comparable(turn.text) for turn in turns if turn.speaker == "borrower"]
    counted = [
        (sum(matches_any(reason.patterns, seen) for seen in said), -place)
        for place, reason in enumerate(words.reasons)
    ]
    most, place = max(counted)
    return words.reasons[-place].id if most else words.reasons[-1].id
