"""Segments: conditions over what is known of a customer, and which attributes they may use.

SegmentError    a condition uses what it may not, or is none
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from .models import LOCALES, Locale

Op = Literal["is", "is_not", "in", "not_in", "at_least", "at_most"]
Kind = Literal["flag", "count", "money_cny", "share", "text", "texts"]
Problem = Literal["unknown", "sensitive", "limited", "op", "value"]
Value = bool | int | Decimal | date | str | tuple[str, ...]

_FILE = Path(__file__).parent.parent / "knowledge" / "attributes.toml"
_LONGEST = 60
_MOST_TEXTS = 100
_MOST_SHARE = 10
_MOST_NUMBER = 10**12


class SegmentError(Exception):
    """A condition cannot be used. `attribute` is its name as it was given; `code` a row of
    `problems` in attributes.toml."""

    def __init__(self, name: str, code: Problem, /, **values: str | Mapping[Locale, str]) -> None:
        self.attribute = name
        self.code = code
        self._values = values
        super().__init__(self.words("en"))

    def words(self, locale: Locale) -> str:
        """What is wrong, and why."""
        template: str = _tables()["problems"][self.code][locale]
        return template.format_map(
            {name: v if isinstance(v, str) else v[locale] for name, v in self._values.items()}
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of who may have an offer, or of a segment."""

    attribute: str
    """A key of knowledge/attributes.toml."""
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class Segment:
    """Customers of whom all conditions hold."""

    id: str
    title: Mapping[Locale, str]
    conditions: tuple[Condition, ...]

    @property
    def personalised(self) -> bool:
        """Whether anything about a customer decides who is in it."""
        return bool(self.conditions)


PLAIN = Segment("plain", {"zh-Hans": "所有人", "zh-Hant": "所有人", "en": "Everybody"}, ())
"""Nothing about a customer is used: the alternative that is always drafted too."""


class HasAttributes(Protocol):
    """Somebody of whom conditions may ask."""

    def attribute(self, name: str, today: date) -> Value | None:
        """None: unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Attribute:
    """What conditions may ask of a customer."""

    name: str
    kind: Kind
    read_from: tuple[str, ...]
    """Fields of a customer's record that it is read of."""
    title: Mapping[Locale, str]
    ops: tuple[Op, ...]
    """The conditions that it takes."""
    values: tuple[bool | int | str, ...]
    """The only values that it is compared with; empty: any of its kind."""
    least: int
    """The least number that it is compared with."""
    limit: str
    """Row of `limits` that says why it is usable in part only; empty: it is usable in full."""


@dataclass(frozen=True, slots=True)
class Sensitive:
    """What no condition may use, and why."""

    name: str
    title: Mapping[Locale, str]
    why: Mapping[Locale, str]
    source: str
    """Key of a source of the rules."""
    article: str
    quote: str
    """Its words that say so."""
    named: bool
    """Whether they name the attribute; else it follows from them."""


def attributes() -> Mapping[str, Attribute]:
    """Those that conditions may use, by name."""
    return _usable()


def sensitive() -> Mapping[str, Sensitive]:
    """Those that no condition may use, by each of their names."""
    return _unusable()


def matches(conditions: Iterable[Condition], person: HasAttributes, today: date) -> bool:
    """Whether all conditions hold. What is unknown of somebody holds for no condition."""
    for condition in conditions:
        known = person.attribute(condition.attribute, today)
        if known is None or not _HOLDS[condition.op](known, condition.value):
            return False
    return True


def _is_among(known: Any, values: Any) -> bool:
    return bool(set(known) & set(values)) if isinstance(known, tuple) else known in values


_HOLDS: Mapping[Op, Callable[[Any, Any], bool]] = {
    "is": lambda known, value: bool(known == value),
    "is_not": lambda known, value: bool(known != value),
    "in": _is_among,
    "not_in": lambda known, values: not _is_among(known, values),
    "at_least": lambda known, value: bool(known >= value),
    "at_most": lambda known, value: bool(known <= value),
}


def used(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Names of the attributes that decide, each once, in order."""
    return tuple(dict.fromkeys(condition.attribute for condition in conditions))


def read_condition(attribute: object, op: object, value: object) -> Condition:
    """A condition from outside: numbers may be texts, lists are taken as tuples.

    Raises SegmentError.
    """
    name = str(attribute)
    if name.strip().casefold() in _unusable():
        refused = _unusable()[name.strip().casefold()]
        raise SegmentError(
            name,
            "sensitive",
            attribute=refused.title,
            why=refused.why,
            source=refused.source,
            article=refused.article,
        )
    asked = _usable().get(name)
    if asked is None:
        shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        raise SegmentError(name, "unknown", attribute=shown, words=", ".join(_usable()))
    tables = _tables()
    if op not in tables["kinds"][asked.kind]:
        raise SegmentError(name, "op", attribute=asked.title, words=", ".join(asked.ops))
    known: Op = next(each for each in get_args(Op) if each == op)
    plural = known in ("in", "not_in")
    read = _READ["texts" if plural else asked.kind](value)
    if read is None:
        expected = tables["expected"]["texts" if plural else asked.kind]
        raise SegmentError(name, "value", attribute=asked.title, words=expected)
    among = read if isinstance(read, tuple) else (read,)
    if (
        known not in asked.ops
        or (asked.values and not set(among) <= set(asked.values))
        or (asked.least and among[0] < asked.least)
    ):
        raise SegmentError(
            name, "limited", attribute=asked.title, why=tables["limits"][asked.limit]
        )
    return Condition(name, known, read)


def _read_number(value: object, places: int, most: int) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    text = str(value)
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,13}(\.[0-9]{1,4})?", text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 <= number <= most:
        return None
    return number if number == round(number, places) else None


def _read_count(value: object) -> int | None:
    number = _read_number(value, 0, _MOST_NUMBER)
    return None if number is None else int(number)


def _read_text(value: object) -> str | None:
    if not isinstance(value, str) or not value.isprintable():
        return None
    text = value.strip()
    return text if 0 < len(text) <= _LONGEST else None


def _read_texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST_TEXTS:
        return None
    read = [text for text in map(_read_text, value) if text is not None]
    return tuple(read) if len({*read}) == len(value) else None


_READ: Mapping[Kind, Callable[[object], Any]] = {
    "flag": lambda value: value if isinstance(value, bool) else None,
    "count": _read_count,
    "money_cny": lambda value: _read_number(value, 2, _MOST_NUMBER),
    "share": lambda value: _read_number(value, 4, _MOST_SHARE),
    "text": _read_text,
    "texts": _read_texts,
}
"""Kind -> what a value of it is read as; None where it is no such value."""


def check_segment(segment: Segment) -> None:
    """Raises SegmentError for the first condition that cannot be used."""
    for condition in segment.conditions:
        read_condition(condition.attribute, condition.op, condition.value)


def said(condition: Condition, locale: Locale) -> str:
    """A condition in words."""
    tables = _tables()
    attribute = _usable()[condition.attribute]
    value = condition.value
    if isinstance(value, bool):
        shown = tables["flags"]["true" if value else "false"][locale]
    elif isinstance(value, tuple):
        shown = tables["apart"][locale].join(value)
    elif attribute.kind == "share" and isinstance(value, Decimal):
        shown = f"{(value * 100).normalize():f}%"
    elif isinstance(value, int | Decimal):
        shown = f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"
    else:
        shown = str(value)
    template: str = tables["ops"][condition.op][locale]
    return template.format_map({"attribute": attribute.title[locale], "value": shown})


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _title(row: Mapping[str, Any]) -> Mapping[Locale, str]:
    return {locale: row[locale] for locale in LOCALES}


@cache
def _usable() -> Mapping[str, Attribute]:
    tables = _tables()
    return {
        name: Attribute(
            name=name,
            kind=row["kind"],
            read_from=tuple(row["from"]),
            title=_title(row["title"]),
            ops=tuple(row.get("ops", tables["kinds"][row["kind"]])),
            values=tuple(row.get("values", ())),
            least=row.get("least", 0),
            limit=row.get("limit", ""),
        )
        for name, row in tables["attributes"].items()
    }


@cache
def _unusable() -> Mapping[str, Sensitive]:
    tables = _tables()
    found: dict[str, Sensitive] = {}
    for name, row in tables["sensitive"].items():
        reason = tables["reasons"][row["reason"]]
        each = Sensitive(
            name=name,
            title=_title(row["title"]),
            why=_title(reason),
            source=reason["source"],
            article=reason["article"],
            quote=reason["quote"],
            named=row["named"],
        )
        found |= dict.fromkeys((name, *row["also"]), each)
    return found
