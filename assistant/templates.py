"""Copy with named slots, such as `{coupon}`: read, filled in one pass, measured.

A template is text, never code: it has no conditions, loops, filters or attributes, and what is
filled in is never read again, so that a value which looks like a slot stays text. Slots, what their
values may look like, and how much a channel takes are in knowledge/copy/slots.toml.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .rules import Channel

FILE = Path(__file__).parent.parent / "knowledge" / "copy" / "slots.toml"

SlotKind = Literal["text", "name", "money_cny", "rate", "discount", "date", "count", "link"]

TemplateFault = Literal["slot", "sign", "unit", "figure"]

SMS_ALONE, SMS_JOINED = 70, 67
"""UTF-16 units of a message in one part, and of each part of a longer one."""
GSM_ALONE, GSM_JOINED = 160, 153
"""The same in septets, where every character is of the carriers' 7-bit alphabet."""

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED = frozenset("\f^{}\\[~]|€")

_SLOT = re.compile(r"\{([a-z_]+)\}")
_LINK = re.compile(
    r"https?:|//|www\.|(?<![\w.])[\w-]+\.(?:com|cn|net|org|top|xyz|cc|vip|io|me|info|link|app)\b",
    re.IGNORECASE | re.ASCII,
)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


class BadTemplate(Exception):
    """A template cannot be used; the message names the slot or sign and its place, from 0."""

    def __init__(self, code: TemplateFault, message: str, at: int) -> None:
        super().__init__(f"at {at}: {message}")
        self.code = code
        self.at = at


class BadValue(Exception):
    """A value may not go out in its slot; the message names the slot, never the value."""

    def __init__(self, slot: str, expected: str) -> None:
        super().__init__(f"{{{slot}}}: expected {expected}")
        self.slot = slot


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of the file, which says what the fields mean."""

    id: str
    kind: SlotKind
    source: str
    coupons: frozenset[str] | None
    about: Mapping[str, str]
    example: Mapping[str, str]
    unit: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Template:
    """A text in parts: its own words, and slots between them."""

    text: str
    parts: tuple[tuple[str, str], ...]
    """(words, slot after them); the last slot is empty."""

    @property
    def slots(self) -> tuple[str, ...]:
        """In the order they first stand."""
        return tuple(dict.fromkeys(slot for _, slot in self.parts if slot))


@dataclass(frozen=True, slots=True)
class Fit:
    """How long a text is by its channel's own counting."""

    unit: Literal["sms", "characters"]
    units: int
    """UTF-16 units or septets of an SMS, characters of anything else."""
    parts: int
    """Messages that a carrier makes of it; 1 for anything but SMS."""
    limit: int
    """Parts of an SMS, characters of anything else."""
    over: int
    """By how much it is too long, in what `limit` counts; 0: it fits."""


# Data


@cache
def _data() -> Mapping[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@cache
def slots() -> Mapping[str, Slot]:
    """Every slot that a template may name."""
    return {
        name: Slot(
            name,
            row["kind"],
            row["from"],
            frozenset(row["coupons"]) if "coupons" in row else None,
            row["about"],
            row["example"],
            {locale: tuple(units) for locale, units in row.get("unit", {}).items()},
        )
        for name, row in _data()["slots"].items()
    }


@cache
def _kinds() -> Mapping[str, tuple[re.Pattern[str], int]]:
    return {
        kind: (re.compile(row["pattern"]), row["longest"]) for kind, row in _data()["kinds"].items()
    }


# Reading


def parse(text: str, *, figures: bool = True, known: Collection[str] | None = None) -> Template:
    """Read a template.

    figures: False refuses a figure outside a slot, in digits or in words with a unit.
    known: slots that may stand in it; None: all of the file.
    Raises BadTemplate.
    """
    names = slots() if known is None else known
    parts: list[tuple[str, str]] = []
    at = 0
    for found in _SLOT.finditer(text):
        if found[1] not in names:
            expected = ", ".join(names)
            raise BadTemplate(
                "slot", f"unknown slot {found[0]}; known are {expected}", found.start()
            )
        parts.append((text[at : found.start()], found[1]))
        at = found.end()
    parts.append((text[at:], ""))
    at, before = 0, ""
    for words, slot in parts:
        _check_words(words, at, before, figures=figures)
        at += len(words) + (len(slot) + 2 if slot else 0)
        before = slot
    return Template(text, tuple(parts))


def _check_words(words: str, at: int, before: str, *, figures: bool) -> None:
    for place, sign in enumerate(words):
        if sign in "{}":
            raise BadTemplate(
                "slot", f"{sign!r} is no part of a slot such as {{coupon}}", at + place
            )
        if sign not in "\n\u200d" and is_unseen(sign):
            raise BadTemplate("sign", f"character U+{ord(sign):04X} cannot be seen", at + place)
        if unicodedata.bidirectional(sign) in _BACKWARDS:
            raise BadTemplate(
                "sign", f"character U+{ord(sign):04X} is read from right to left", at + place
            )
    if before and any(words.startswith(u) for u in _units(before)):
        raise BadTemplate("unit", f"{{{before}}} says its unit itself", at)
    found = None if figures else figure_in(words)
    if found:
        start, end = found
        raise BadTemplate("figure", f"figure {words[start:end]!r} outside a slot", at + start)


def _units(slot: str) -> tuple[str, ...]:
    return tuple(unit for units in slots()[slot].unit.values() for unit in units)


def without_doubled_units(text: str) -> str:
    """A template whose slots are not followed by the unit that their values end in already."""
    for name in slots():
        for unit in _units(name):
            text = re.sub(rf"(\{{{name}\}})\s*{re.escape(unit.strip())}(?![a-z])", r"\1", text)
    return text


def figure_in(text: str) -> tuple[int, int] | None:
    """Where the first figure stands, in digits of any script, or in words with a unit."""
    found = _figures().search(_harmless().sub(lambda m: " " * len(m[0]), text))
    return found.span() if found else None


@cache
def _harmless() -> re.Pattern[str]:
    rows = _data()["numerals"]
    words = [re.escape(word) for word in rows["harmless"]]
    english = [rf"\b{re.escape(word)}\b" for word in rows["harmless_en"]]
    return re.compile("|".join([*words, *english]), re.IGNORECASE)


@cache
def _figures() -> re.Pattern[str]:
    rows = _data()["numerals"]
    numeral = f"[{rows['zh']}]"
    units = "|".join(map(re.escape, rows["units"]))
    leads = "|".join(map(re.escape, rows["leads"]))
    english = "|".join(map(re.escape, rows["en"]))
    signs = "[\\d\u00bc-\u00be\u2150-\u2188\u2460-\u249b\u3220-\u3229\u3280-\u3289%\u2030]"
    return re.compile(
        rf"{signs}+|(?:{leads}){numeral}+|{numeral}{{2,}}|{numeral}\s*(?:{units})"
        rf"|\b(?:{english})\b",
        re.IGNORECASE,
    )


# Filling


def fill(template: Template, values: Mapping[str, str]) -> str:
    """The text with every slot filled, in one pass. Raises BadValue, also for a value that is not
    given."""
    filled: list[str] = []
    for words, slot in template.parts:
        filled.append(words)
        if slot:
            value = values.get(slot)
            if value is None:
                raise BadValue(slot, "a value")
            check_value(slot, value)
            filled.append(value)
    return "".join(filled)


def check_value(slot: str, value: str) -> None:
    """Raises BadValue for what may not go out in a slot: signs that cannot be seen, lines, links
    and addresses, and whatever its kind does not look like."""
    kind = slots()[slot].kind
    pattern, longest = _kinds()[kind]
    if not 0 < len(value) <= longest:
        raise BadValue(slot, f"1 to {longest} characters")
    if any(is_unseen(sign) or unicodedata.bidirectional(sign) in _BACKWARDS for sign in value):
        raise BadValue(slot, "one line of visible characters, read from left to right")
    if kind != "link" and (_LINK.search(value) or _ADDRESS.search(value)):
        raise BadValue(slot, "no link or address")
    if not pattern.fullmatch(value):
        raise BadValue(slot, f"a value of the kind {kind}")
    if kind == "name" and any(word in value.casefold() for word in _data()["names"]["never"]):
        raise BadValue(slot, "a person's name")


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks to Unicode, and nothing to the eye: they would cut a forbidden word in two."""
_BACKWARDS = frozenset({"R", "AL"})
"""Beside them the figures of a message would stand in another order than they were approved in."""


def is_unseen(sign: str) -> bool:
    """Whether nobody sees that a character is there."""
    return unicodedata.category(sign) in _UNSEEN or sign in _BLANK


def name_or_instead(name: str, locale: str) -> str:
    """A customer's name where it may go out, else the word that stands for one."""
    said = unicodedata.normalize("NFC", name).strip()
    try:
        check_value("name", said)
    except BadValue:
        return str(_data()["names"]["instead"][locale])
    return said


# Measuring


def sms_parts(text: str) -> int:
    """Messages that a carrier makes of a text, its signature included; 0 for no text."""
    return _sms(text)[1]


def room(text: str, channel: Channel, locale: str = "zh-Hans") -> int:
    """UTF-16 units of an SMS, else characters, that a text may have more before it is too long."""
    limit = fits("", channel, locale).limit
    if _data()["channels"][channel]["unit"] == "sms":
        return max(0, SMS_JOINED * limit - len(text.encode("utf-16-le")) // 2)
    return max(0, limit - len(text))


def _sms(text: str) -> tuple[int, int]:
    """(units, parts)"""
    if all(sign in _GSM or sign in _GSM_ESCAPED for sign in text):
        widths = [2 if sign in _GSM_ESCAPED else 1 for sign in text]
        alone, joined = GSM_ALONE, GSM_JOINED
    else:
        widths = [2 if ord(sign) > 0xFFFF else 1 for sign in text]
        alone, joined = SMS_ALONE, SMS_JOINED
    units = sum(widths)
    if units <= alone:
        return units, 1 if units else 0
    parts, left = 1, joined
    for width in widths:
        # A character of two units is not cut in two.
        if width > left:
            parts, left = parts + 1, joined
        left -= width
    return units, parts


def fits(text: str, channel: Channel, locale: str = "zh-Hans") -> Fit:
    """How long a text is on its channel. Raises KeyError for a channel that offers do not use."""
    row = _data()["channels"][channel]
    limit: int = row.get("longer", {}).get(locale, row["limit"])
    if row["unit"] == "sms":
        units, parts = _sms(text)
        return Fit("sms", units, parts, limit, max(0, parts - limit))
    return Fit("characters", len(text), 1, limit, max(0, len(text) - limit))


def subject_limit(channel: Channel, locale: str = "zh-Hans") -> int:
    """Characters of a subject or title on a channel; 0: it has none."""
    longest: int = _data()["channels"][channel].get("subject", {}).get(locale, 0)
    return longest


def lead_limits(channel: Channel) -> tuple[int, int, int]:
    """Characters that a model may write: least and most before it names the offer, most after."""
    row = _data()["channels"][channel]
    return row["lead"][0], row["lead"][1], row["tail"]


# Saying values


def say(what: str, locale: str, /, **values: str) -> str:
    """A value in words, from [said] of the file. Raises KeyError for what is not there."""
    wording: str = _data()["said"][locale][what]
    return wording.format(**values)


def say_money(amount_cny: Decimal, locale: str) -> str:
    """1,234.50 yuan; without fen where there are none."""
    said = f"{amount_cny:,.2f}".removesuffix(".00")
    return say("money", locale, amount=said)


def say_day(day: date, locale: str) -> str:
    """A day without its year."""
    return say("until", locale, m=f"{day.month}", d=f"{day.day}", month=_MONTHS[day.month])


_MONTHS = (
    *("", "January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
