"""Shows a spreadsheet's stored number as its cell's format shows it to a person."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache

GENERAL = "General"
_ACCOUNTING = '_ "¥"* #,##0{0}_ ;_ "¥"* -#,##0{0}_ ;_ "¥"* "-"_ ;_ @_ '
_YEAR_MONTH, _MONTH_DAY = 'yyyy"年"m"月"', 'm"月"d"日"'
_HOUR, _SECOND = 'h"时"mm"分"', 'h"时"mm"分"ss"秒"'

BUILT_IN: dict[int, str] = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00",
    5: '"¥"#,##0;"¥"-#,##0', 6: '"¥"#,##0;"¥"-#,##0',
    7: '"¥"#,##0.00;"¥"-#,##0.00', 8: '"¥"#,##0.00;"¥"-#,##0.00',
    9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy/m/d", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy",
    18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy/m/d h:mm",
    27: _YEAR_MONTH, 28: _MONTH_DAY, 29: _MONTH_DAY, 30: "m-d-yy", 31: _YEAR_MONTH + 'd"日"',
    32: _HOUR, 33: _SECOND, 34: "AM/PM" + _HOUR, 35: "AM/PM" + _SECOND, 36: _YEAR_MONTH,
    37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00",
    41: _ACCOUNTING.format("").replace('"¥"', ""), 42: _ACCOUNTING.format(""),
    43: _ACCOUNTING.format(".00").replace('"¥"', ""), 44: _ACCOUNTING.format(".00"),
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
    50: _YEAR_MONTH, 51: _MONTH_DAY, 52: _YEAR_MONTH, 53: _MONTH_DAY, 54: _MONTH_DAY,
    55: "AM/PM" + _HOUR, 56: "AM/PM" + _SECOND, 57: _YEAR_MONTH, 58: _MONTH_DAY,
}  # fmt: skip
"""Formats that a file names by number only, as Excel for mainland China shows them."""

_LONGEST_CODE = 255
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|[\\!](?P<escaped>.)|[_*].|\[(?P<bracket>[^\]]*)\]|(?P<general>General'
    r"|G/通用格式)|(?P<half>AM/PM|A/P|上午/下午)|(?P<exponent>E[+-]0+)|(?P<date>y+|m+|d+|h+|s+"
    r"|a{3,4}|e+)(?P<fraction>(?<=s)\.0+)?|(?P<sign>[0#?.,%/@])|(?P<other>.)",
    re.I | re.DOTALL,
)
_ELAPSED = re.compile(r"h+|m+|s+", re.I)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_LONG_DATE = re.compile(r"\$-(?:F800|x-sysdate)", re.I)
_LONG_TIME = re.compile(r"\$-(?:F400|x-systime)", re.I)
_TESTS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
}
# Excel keeps and shows fifteen significant digits: the rest is noise of binary fractions.
_PRECISION = Context(prec=15, rounding=ROUND_HALF_UP)
_WIDE = Context(prec=400, rounding=ROUND_HALF_UP)
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_WEEKDAYS = "一二三四五六日"
_LAST_DAY = 2958466
"""Serial number of 10000-01-01, the first day that has none."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """literal, general, half, exponent, date, elapsed, or one of the signs 0 # ? . , % / @"""
    text: str


@dataclass(frozen=True, slots=True)
class _Section:
    tokens: tuple[_Token, ...]
    condition: tuple[str, Decimal] | None

    def has(self, *kinds: str) -> bool:
        return any(token.kind in kinds for token in self.tokens)


@lru_cache(maxsize=1024)
def is_date_format(code: str) -> bool:
    """Whether a number in this format is a day or a time."""
    return any(section.has("date", "elapsed") for section in _sections(code))


@lru_cache(maxsize=1 << 16)
def shown(number: str, code: str, *, from_1904: bool = False) -> str:
    """The number as the format shows it, without the blanks that align it.

    number: as stored, a decimal numeral; anything else is given back as it is.
    from_1904: the workbook counts its days from 1904.
    """
    try:
        approximate = float(number)
    except ValueError:
        return number.strip()
    if not math.isfinite(approximate):
        return number.strip()
    # Through a float, because exponents of any length are numerals too.
    value = _PRECISION.create_decimal(repr(approximate))
    sections = _sections(code)
    section, signed = _choose(sections, value)
    if section is None:
        return _general(value)
    if section.has("date", "elapsed"):
        written = _moment(float(value), section.tokens, from_1904)
        return _general(value) if written is None else _tidy(written)
    if section.has("@") and not section.has("0", "#", "?"):
        return _tidy("".join(_general(value) if t.kind == "@" else t.text for t in section.tokens))
    written = _number(abs(value), section)
    minus = "-" if signed and value < 0 and re.search("[1-9]", written) else ""
    return _tidy(minus + written)


def shown_text(text: str, code: str) -> str:
    """Words as the format shows them: some add a unit, some hide the cell."""
    sections = _sections(code)
    last = sections[-1]
    if len(sections) == 4 or (last.has("@") and not last.has("0", "#", "?")):
        return "".join(text if token.kind == "@" else token.text for token in last.tokens).strip()
    return text


def _tidy(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[_Section, ...]:
    if len(code) > _LONGEST_CODE:
        code = GENERAL
    sections: list[_Section] = []
    tokens: list[_Token] = []
    condition: tuple[str, Decimal] | None = None
    for match in _TOKEN.finditer(code):
        text = match.group()
        if text == ";":
            sections.append(_Section(_with_minutes(tokens), condition))
            tokens, condition = [], None
        elif (bracket := match["bracket"]) is not None:
            if test := _CONDITION.fullmatch(bracket.strip()):
                condition = (test[1], Decimal(test[2]))
            elif _ELAPSED.fullmatch(bracket):
                tokens.append(_Token("elapsed", bracket.lower()))
            elif _LONG_DATE.fullmatch(bracket):
                return _sections(BUILT_IN[31])
            elif _LONG_TIME.fullmatch(bracket):
                return _sections(BUILT_IN[21])
            elif bracket.startswith("$"):
                tokens.append(_Token("literal", bracket[1:].partition("-")[0]))
        elif match["quoted"] is not None or match["escaped"] is not None:
            tokens.append(_Token("literal", match["quoted"] or match["escaped"] or ""))
        elif text[0] in "_*":
            tokens.append(_Token("literal", " "))
        elif match["general"]:
            tokens.append(_Token("general", text))
        elif match["half"]:
            tokens.append(_Token("half", text))
        elif match["exponent"]:
            tokens.append(_Token("exponent", text))
        elif match["date"]:
            tokens.append(_Token("date", text.lower()))
        elif match["sign"]:
            tokens.append(_Token(text, text))
        else:
            tokens.append(_Token("literal", text))
    sections.append(_Section(_with_minutes(tokens), condition))
    return tuple(sections[:4])


def _with_minutes(tokens: Sequence[_Token]) -> tuple[_Token, ...]:
    """Tokens in which `m` behind hours or before seconds is `n`, as it stands for minutes."""
    marks = [i for i, token in enumerate(tokens) if token.kind in ("date", "elapsed")]
    changed = list(tokens)
    for place, at in enumerate(marks):
        if tokens[at].kind != "date" or tokens[at].text[0] != "m" or len(tokens[at].text) > 2:
            continue
        before = tokens[marks[place - 1]].text[0] if place else ""
        after = tokens[marks[place + 1]].text[0] if place + 1 < len(marks) else ""
        if before == "h" or after == "s":
            changed[at] = _Token("date", "n" * len(tokens[at].text))
    return tuple(changed)


def _choose(sections: Sequence[_Section], value: Decimal) -> tuple[_Section | None, bool]:
    """The section for a number, and whether it leaves the minus sign to be written."""
    if any(section.condition for section in sections):
        for place, section in enumerate(sections):
            if section.condition is None:
                if place == len(sections) - 1 or place >= 2:
                    return section, True
            elif _TESTS[section.condition[0]](value, section.condition[1]):
                sign, bound = section.condition
                return section, not (sign in ("<", "<=") and bound <= 0)
        return sections[-1] if len(sections) > 1 else None, True
    if len(sections) > 1 and sections[-1].has("@"):
        sections = sections[:-1]
    if len(sections) == 1 or value > 0:
        return sections[0], True
    if value < 0:
        return sections[1], False
    return sections[2 if len(sections) > 2 else 0], False


def _general(value: Decimal) -> str:
    """A number in no particular format: at most eleven signs, whole numbers as they are."""
    if value == 0:
        return "0"
    if value == value.to_integral_value() and abs(value) < 10**15:
        return format(value.quantize(Decimal(1)), "f")
    size = value.adjusted()
    if size >= 15 or size < -9:
        digits = value.normalize(Context(prec=6, rounding=ROUND_HALF_UP))
        sign, figures, _ = digits.as_tuple()
        whole, rest = str(figures[0]), "".join(map(str, figures[1:]))
        return f"{'-' * sign}{whole}{'.' if rest else ''}{rest}E{size:+03d}"
    places = max(9 - max(size, 0), 0)
    text = format(value.quantize(Decimal(1).scaleb(-places), context=_WIDE), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# Numbers


def _number(value: Decimal, section: _Section) -> str:
    """A number that is not negative, in a section without dates."""
    tokens = section.tokens
    if section.has("general"):
        return "".join(_general(value) if t.kind == "general" else t.text for t in tokens)
    if not section.has("0", "#", "?"):
        return "".join(token.text for token in tokens)
    value = value.scaleb(2 * sum(token.kind == "%" for token in tokens), context=_WIDE)
    if section.has("/"):
        return _fraction(value, tokens)
    digits = [i for i, token in enumerate(tokens) if token.kind in "0#?"]
    point = next((i for i, token in enumerate(tokens) if token.kind == "."), len(tokens))
    exponent = next((i for i, token in enumerate(tokens) if token.kind == "exponent"), None)
    whole = [i for i in digits if i < point]
    decimals = [i for i in digits if i > point and (exponent is None or i < exponent)]
    commas = [i for i, token in enumerate(tokens) if token.kind == ","]
    last = whole[-1] if whole else -1
    grouped = any(whole and whole[0] < i < last for i in commas)
    # Commas behind the last digit scale by a thousand each.
    behind = max(last, decimals[-1] if decimals else -1)
    thousands = sum(1 for i in commas if i > last and (i < point or i > behind))
    value = value.scaleb(-3 * thousands, context=_WIDE)
    power = 0
    if exponent is not None and value:
        power = value.adjusted() - max(len(whole) - 1, 0)
        if len(whole) > 1:
            power = math.floor(value.adjusted() / len(whole)) * len(whole)
        value = value.scaleb(-power, context=_WIDE)
    rounded = format(value.quantize(Decimal(1).scaleb(-len(decimals)), context=_WIDE), "f")
    before, _, after = rounded.partition(".")
    placed = _place_whole(before, [tokens[i].kind for i in whole], grouped)
    placed_after = _place_decimals(after, [tokens[i].kind for i in decimals])
    shown_at = dict(zip([*whole, *decimals], [*placed, *placed_after], strict=True))
    if not whole and before != "0":
        shown_at[point] = before + "."
    if exponent is not None:
        width = len(tokens[exponent].text) - 2
        sign = "-" if power < 0 else "+" if tokens[exponent].text[1] == "+" else ""
        shown_at[exponent] = f"E{sign}{abs(power):0{width}d}"
    return "".join(
        shown_at.get(i, "" if token.kind == "," else token.text) for i, token in enumerate(tokens)
    )


def _place_whole(digits: str, places: Sequence[str], grouped: bool) -> list[str]:
    """What each place before the point shows; the first takes all digits left over."""
    digits = digits.lstrip("0")
    count = len(places)
    shown_at: list[str] = []
    for at, kind in enumerate(places):
        position = count - 1 - at
        if at == 0 and len(digits) > count:
            text, positions = digits[: len(digits) - position], len(digits)
        else:
            missing = position >= len(digits)
            text = {"0": "0", "#": "", "?": " "}[kind] if missing else digits[-1 - position]
            positions = position + 1
        if grouped and text.strip():
            marked = ""
            for offset, digit in enumerate(text):
                place = positions - 1 - offset
                marked += digit + ("," if place and place % 3 == 0 else "")
            text = marked
        shown_at.append(text)
    return shown_at


def _place_decimals(digits: str, places: Sequence[str]) -> list[str]:
    kept = len(digits.rstrip("0"))
    blank = {"0": "0", "#": "", "?": " "}
    return [
        digit if at < kept else blank[kind]
        for at, (digit, kind) in enumerate(zip(digits, places, strict=True))
    ]


_FRACTION = re.compile(r"(?P<whole>[#0?]+\s+)?(?P<over>[#0?]+)\s*/\s*(?P<under>[#0?]+|\d+)")


def _fraction(value: Decimal, tokens: Sequence[_Token]) -> str:
    code = "".join(token.text for token in tokens)
    form = _FRACTION.search(code)
    if not form:
        return _general(value)
    under = form["under"]
    exact = Fraction(value)
    if under.isdigit() and int(under):
        parts = Fraction(round(exact * int(under)), 1)
        over, below = int(parts), int(under)
    else:
        near = exact.limit_denominator(10 ** min(len(under), 4) - 1)
        over, below = near.numerator, near.denominator
    if form["whole"] is None:
        return f"{over}/{below}"
    whole, over = divmod(over, below)
    if not over:
        return str(whole)
    return f"{whole} {over}/{below}" if whole else f"{over}/{below}"


# Days and times


def _moment(serial: float, tokens: Sequence[_Token], from_1904: bool) -> str | None:
    """A day or time; None where Excel shows nothing but hash marks."""
    if not 0 <= serial < _LAST_DAY:
        return None
    fraction = max(
        (len(t.text.partition(".")[2]) for t in tokens if t.kind == "date" and "." in t.text),
        default=0,
    )
    # The nearest second (or its shown part): 8:30 is stored as 0.354166666666667.
    units = round(serial * 86400 * 10**fraction)
    seconds, part = divmod(units, 10**fraction)
    if from_1904:
        first = datetime(1904, 1, 1)  # noqa: DTZ001
    else:
        # Excel counts a 29 February 1900 that never was.
        first = datetime(1899, 12, 31 if seconds < 60 * 86400 else 30)  # noqa: DTZ001
    try:
        moment = first + timedelta(seconds=seconds)
    except OverflowError:
        return None
    twelve = any(token.kind == "half" for token in tokens)
    return "".join(
        _elapsed(seconds, token.text)
        if token.kind == "elapsed"
        else _half(moment, token.text)
        if token.kind == "half"
        else _part(moment, part, token.text, twelve)
        if token.kind == "date"
        else token.text
        for token in tokens
    )


def _elapsed(seconds: int, form: str) -> str:
    amount = {"h": seconds // 3600, "m": seconds // 60, "s": seconds}[form[0]]
    return f"{amount:0{len(form)}d}"


def _half(moment: datetime, form: str) -> str:
    morning, afternoon = form.split("/")
    return morning if moment.hour < 12 else afternoon


def _part(moment: datetime, part: int, form: str, twelve: bool) -> str:
    letters, _, zeros = form.partition(".")
    kind, width = letters[0], len(letters)
    if kind in "ye":
        return f"{moment.year % 100:02d}" if kind == "y" and width <= 2 else str(moment.year)
    if kind == "a":
        return ("" if width == 3 else "星期") + _WEEKDAYS[moment.weekday()]
    if kind == "m" and width > 2:
        name = _MONTHS.split()[moment.month - 1]
        return {3: name[:3], 5: name[:1]}.get(width, name)
    if kind == "d" and width > 2:
        name = _DAYS.split()[moment.weekday()]
        return name[:3] if width == 3 else name
    hour = (moment.hour % 12 or 12) if twelve else moment.hour
    amounts = {"m": moment.month, "d": moment.day, "h": hour}
    amounts |= {"n": moment.minute, "s": moment.second}
    text = f"{amounts[kind]:0{min(width, 2)}d}"
    return f"{text}.{part:0{len(zeros)}d}" if zeros else text
