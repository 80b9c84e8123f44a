"""People who may be addressed: one flat value each, of a customer's record or of a file's row.

What nobody knows of somebody is None, never a guess: addressing.py refuses where it matters. Texts
that a row may hold are in knowledge/people.toml.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from .customers import MOST_CNY, Consent, Coupon, Customer, Loan

ALL = "all"
"""Among what somebody opted out of: every channel."""

OLDEST_YEARS = 120
"""Who would be older has a wrong date of birth, and so no known age."""

Value = bool | int | Decimal | date | str | tuple[str, ...]

_WORDS = Path(__file__).parent.parent / "knowledge" / "people.toml"
_CHINA = timezone(timedelta(hours=8))


class BadRow(Exception):
    """A row tells of nobody who could be addressed: `column` cannot be read. The message names what
    was expected and never the value."""

    def __init__(self, column: str, expected: str) -> None:
        super().__init__(f"{column}: expected {expected}")
        self.column = column
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may be addressed. What tells them from others is left out of the repr."""

    id: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: date | None = field(repr=False)
    student: bool | None
    region: str
    """As the lender's files have it; empty: unknown."""
    consents: frozenset[tuple[str, str]]
    """(purpose, way): `marketing` or `profiling`, by `sms`, `call`, `push`, `email`, `wechat` or
    `in_app`. What is not there was not given."""
    opted_out: frozenset[str]
    """Ways that were refused or withdrawn, or `all`. Stands above a consent."""
    suppressed: str
    """Why they are on a list of people not to be addressed; empty: on none."""
    days_overdue: int | None
    """Of the oldest unpaid instalment, calendar days; 0: nothing is overdue."""
    disputed: bool | None
    """Whether a loan of theirs is in dispute."""
    hardship: bool | None
    """Whether they said that they cannot repay, or repay by a plan for that reason."""
    debt_share: Decimal | None
    """Instalments of a month, of all debts, by the income of a month; a fraction."""
    open_loans: int | None
    outstanding_cny: Decimal | None
    months_since_loan: int | None
    """Full months since the newest loan was paid out; None: none ever, or unknown."""
    since: date | None
    """Day on which the account was opened."""
    sent: tuple[tuple[str, datetime], ...]
    """(channel, instant) of the marketing messages and calls of the last days, in any order."""
    coupons_held: tuple[str, ...] | None
    """Kinds of the coupons that they could use today."""

    def attribute(self, name: str, today: date) -> Value | None:
        """What a condition asks for, by its name in knowledge/attributes.toml. None: unknown.

        Raises KeyError for an attribute that no person has.
        """
        return ATTRIBUTES[name](self, today)


def age_on(birth_date: date | None, day: date) -> int | None:
    """Full years of life. Who was born on 29 February is a year older on 1 March of other years.

    None where the date of birth is unknown, in the future or past belief.
    """
    if birth_date is None:
        return None
    before = (day.month, day.day) < (birth_date.month, birth_date.day)
    years = day.year - birth_date.year - before
    return years if 0 <= years <= OLDEST_YEARS and birth_date <= day else None


def months_between(earlier: date | None, later: date) -> int | None:
    """Full months; None where the earlier day is unknown or is the later one."""
    if earlier is None or earlier > later:
        return None
    months = (later.year - earlier.year) * 12 + later.month - earlier.month
    return months - (later.day < earlier.day)


ATTRIBUTES: Mapping[str, Callable[[Person, date], Value | None]] = {
    "age": lambda person, today: age_on(person.birth_date, today),
    "student": lambda person, _: person.student,
    "region": lambda person, _: person.region or None,
    "days_overdue": lambda person, _: person.days_overdue,
    "disputed": lambda person, _: person.disputed,
    "hardship": lambda person, _: person.hardship,
    "debt_share": lambda person, _: person.debt_share,
    "open_loans": lambda person, _: person.open_loans,
    "outstanding_cny": lambda person, _: person.outstanding_cny,
    "months_since_loan": lambda person, _: person.months_since_loan,
    "months_as_customer": lambda person, today: months_between(person.since, today),
    "coupons_held": lambda person, _: person.coupons_held,
}
"""Attribute -> how it is read of a person as of a day."""


def person_of(
    profile: Customer,
    loans: Sequence[Loan],
    coupons: Sequence[Coupon],
    consents: Sequence[Consent],
    today: date,
    *,
    hardship: bool | None,
    region: str = "",
    debt_share: Decimal | None = None,
    opted_out: Collection[str] = (),
    suppressed: str = "",
    sent: Sequence[tuple[str, datetime]] = (),
) -> Person:
    """A person of a CustomerSource's record as of a day, with what the record does not tell.

    hardship: None where nobody knows, and nobody is addressed then: say False only if the lender's
    cases of hardship were looked at, such as those that `handoff.reasons_of` tells.
    opted_out: ways beside those that the consents say were refused or withdrawn.
    """
    held = {(c.purpose, c.channel) for c in consents if c.given and c.since <= today}
    refused = {(c.purpose, c.channel) for c in consents if not c.given}
    unsettled = [loan for loan in loans if loan.settled_on is None]
    newest = max((loan.disbursed_on for loan in loans), default=None)
    usable = (c for c in coupons if c.state == "unused" and c.valid_from <= today <= c.valid_to)
    return Person(
        id=profile.id,
        name=profile.name,
        birth_date=profile.birth_date,
        student=profile.student,
        region=region,
        consents=frozenset(held - refused),
        opted_out=frozenset({way for purpose, way in refused if purpose == "marketing"})
        | frozenset(opted_out),
        suppressed=suppressed,
        days_overdue=max((loan.days_overdue(today) for loan in loans), default=0),
        disputed=any(loan.state == "disputed" for loan in loans),
        hardship=hardship,
        debt_share=debt_share,
        open_loans=len(unsettled),
        outstanding_cny=sum((loan.outstanding_cny for loan in unsettled), Decimal(0)),
        months_since_loan=months_between(newest, today),
        since=profile.since,
        sent=tuple(sent),
        coupons_held=tuple(dict.fromkeys(c.kind for c in usable)),
    )


# Rows of a file


def person_from_row(row: Mapping[str, str | None]) -> Person:
    """A person from a row of texts; columns that no person has are passed by.

    Raises BadRow, naming the column.
    """
    values: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        if name not in row:
            if column.required:
                raise BadRow(name, f"a column {name}")
            values[name] = column.parse("") if column.parse is _parse_text else None
            continue
        text = (row[name] or "").strip()
        if not column.as_it_stands:
            text = unicodedata.normalize("NFKC", text).strip()
        try:
            values[name] = column.parse(text)
        except (ValueError, KeyError, InvalidOperation, OverflowError):
            raise BadRow(name, column.expected) from None
    return Person(**values)


@dataclass(frozen=True, slots=True)
class _Column:
    """How a column is read."""

    parse: Callable[[str], Any]
    expected: str
    required: bool = True
    """Whether the column has to be there; most may be empty, for unknown."""
    as_it_stands: bool = False
    """Full width and rare forms of characters are kept: they tell ids and names apart."""


@dataclass(frozen=True, slots=True)
class _Words:
    """What texts of a row mean."""

    flags: Mapping[str, bool]
    nothing: frozenset[str]
    unknown: frozenset[str]
    ways: Mapping[str, str]
    """A consent's channel by all its names."""
    channels: Mapping[str, str]
    """A campaign's channel by all its names."""
    purposes: Mapping[str, str]
    kinds: Mapping[str, str]
    """A coupon's kind by all its names."""


@cache
def _words() -> _Words:
    table = tomllib.loads(_WORDS.read_text(encoding="utf-8"))

    def names(key: str) -> dict[str, str]:
        return {word: name for name, words in table[key].items() for word in (name, *words)}

    return _Words(
        flags={word: value == "true" for word, value in names("flags").items()},
        nothing=frozenset(["", *table["nothing"]]),
        unknown=frozenset(table["unknown"]),
        ways=names("ways"),
        channels=names("channels"),
        purposes=names("purposes"),
        kinds=names("kinds"),
    )


def _is_unknown(text: str) -> bool:
    words = _words()
    return text.casefold() in words.nothing or text.casefold() in words.unknown


def _parse_id(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


def _parse_text(text: str) -> str:
    return "" if _is_unknown(text) else text


def _parse_suppressed(text: str) -> str:
    """Any text puts somebody on the list, `unknown` too, but for what says no."""
    word = text.casefold()
    return "" if word in _words().nothing or _words().flags.get(word) is False else text


def _parse_flag(text: str) -> bool | None:
    known = _words().flags.get(text.casefold())
    if known is None and not _is_unknown(text):
        raise ValueError
    return known


def _parse_date(text: str) -> date | None:
    return None if _is_unknown(text) else _date(text)


def _date(text: str) -> date:
    """2026-11-20, 2026/11/20, 2026.11.20, 20261120, in Chinese with signs, with or without a
    midnight behind it."""
    if len(text) == 10 and text[4] == "-":
        return date.fromisoformat(text)
    day, _, clock = text.replace("T", " ").partition(" ")
    if clock and time.fromisoformat(clock) != time():
        raise ValueError
    if len(day) == 8 and day.isdecimal():
        return date(int(day[:4]), int(day[4:6]), int(day[6:]))
    year, month, number = "".join(c if c.isdecimal() else " " for c in day).split()
    if len(year) != 4:
        raise ValueError
    return date(int(year), int(month), int(number))


def _parse_whole(text: str) -> int | None:
    if _is_unknown(text):
        return None
    number = Decimal(text)  # a column with gaps often comes as 0.0
    if not 0 <= number < 10**6 or number != int(number):
        raise ValueError
    return int(number)


def _parse_money(text: str) -> Decimal | None:
    if _is_unknown(text):
        return None
    amount = Decimal(text.replace(",", ""))
    if not 0 <= amount < MOST_CNY:
        raise ValueError
    return amount


def _parse_share(text: str) -> Decimal | None:
    """0.35 or 35 %."""
    if _is_unknown(text):
        return None
    share = Decimal(text[:-1]) / 100 if text.endswith("%") else Decimal(text)
    if not 0 <= share < 1000:
        raise ValueError
    return share


def _items(text: str) -> list[str]:
    """What says that nothing is known is no list: opting out and contacts have to be."""
    if text.casefold() in _words().nothing:
        return []
    for mark in "|,、":
        text = text.replace(mark, ";")
    return [item.strip().casefold() for item in text.split(";") if item.strip()]


def _parse_consents(text: str) -> frozenset[tuple[str, str]]:
    """`sms;push;profiling:push`: without a purpose it is marketing."""
    words = _words()
    found = set()
    for item in _items(text):
        purpose, mark, way = item.rpartition(":")
        found.add((words.purposes[purpose] if mark else "marketing", words.ways[way]))
    return frozenset(found)


def _parse_ways(text: str) -> frozenset[str]:
    return frozenset(_words().ways[item] for item in _items(text))


def _parse_kinds(text: str) -> tuple[str, ...]:
    return tuple(_words().kinds[item] for item in _items(text))


def _parse_sent(text: str) -> tuple[tuple[str, datetime], ...]:
    """`sms@2026-11-20T10:00:00+08:00;push@2026-11-21`."""
    found = []
    for item in _items(text):
        channel, _, instant = item.partition("@")
        found.append((_words().channels[channel.strip()], _instant(instant.strip())))
    return tuple(found)


def _instant(text: str) -> datetime:
    """Without a zone it is China's time; a day alone counts until its end."""
    if ":" not in text:
        return datetime.combine(_date(text), time.max, _CHINA)
    at = datetime.fromisoformat(text.upper().replace("/", "-"))
    return at if at.tzinfo else at.replace(tzinfo=_CHINA)


COLUMNS: Mapping[str, _Column] = {
    "id": _Column(_parse_id, "an id", as_it_stands=True),
    "name": _Column(_parse_text, "a name", required=False, as_it_stands=True),
    "birth_date": _Column(_parse_date, "a day such as 1990-02-28"),
    "student": _Column(_parse_flag, "true or false"),
    "region": _Column(_parse_text, "a region", required=False),
    "consents": _Column(_parse_consents, "ways such as sms;push;profiling:push"),
    "opted_out": _Column(_parse_ways, "ways such as sms;push, or all"),
    "suppressed": _Column(_parse_suppressed, "a reason, or nothing"),
    "days_overdue": _Column(_parse_whole, "a whole number from 0"),
    "disputed": _Column(_parse_flag, "true or false"),
    "hardship": _Column(_parse_flag, "true or false"),
    "debt_share": _Column(_parse_share, "a fraction such as 0.35, or 35%"),
    "open_loans": _Column(_parse_whole, "a whole number from 0", required=False),
    "outstanding_cny": _Column(_parse_money, "yuan, not below 0", required=False),
    "months_since_loan": _Column(_parse_whole, "a whole number from 0", required=False),
    "since": _Column(_parse_date, "a day such as 2024-05-01", required=False),
    "sent": _Column(_parse_sent, "contacts such as sms@2026-11-20T10:00:00+08:00;push@2026-11-21"),
    "coupons_held": _Column(_parse_kinds, "kinds such as rate;voucher", required=False),
}
"""Columns of a customer file. A file may leave out those that only make copy and segments better,
never one that says who may not be addressed."""

REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
OPTIONAL = tuple(name for name, column in COLUMNS.items() if not column.required)
