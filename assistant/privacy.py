"""Personal data in free text: found by pattern and checksum, masked, and put back."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from knowledge.text import UNSEEN

SpanType = Literal[
    "phone",
    "id",
    "card",
    "email",
    "name",
    "address",
    "wechat",
    "plate",
    "passport",
    "permit",
    "company",
    "otp",
]
TYPES: tuple[SpanType, ...] = get_args(SpanType)

EVERY: frozenset[SpanType] = frozenset(TYPES)

NUMBERS: frozenset[SpanType] = frozenset(("phone", "id", "card", "email"))
"""What is known by its form alone, wherever it stands. Asked for without others, landlines and
numbers of other places are left: a lender's own texts are full of them."""

SECRETS: frozenset[SpanType] = frozenset(("card", "otp"))
"""What nobody should send to an assistant: whoever has it can spend the borrower's money."""


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of personal data; `start` and `end` index the original text."""

    start: int
    end: int
    type: SpanType
    text: str
    placeholder: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with placeholders in place of personal data, and what they stand for."""

    text: str
    spans: tuple[Span, ...]


class _Found(NamedTuple):
    start: int
    end: int
    type: SpanType
    value: str
    """Digits or address without spelling differences; equal values share a placeholder."""


class _Reading(NamedTuple):
    """One way to read a number; the highest `weight`, then the longest, is taken."""

    weight: int
    type: SpanType
    value: str


_SIGNS: Mapping[int, str] = (
    dict.fromkeys([0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029], "\n")
    | {0x2800: " "}
    | dict.fromkeys([0x2212, 0x2500, 0x30FC], "-")
    | dict.fromkeys([0xB7, 0x2022, 0x2027, 0x30FB], ".")
    | dict.fromkeys([0xD7, 0x425, 0x445], "X")
)


class _Signs(dict[int, str]):
    """Character -> the one it is read as, or none where nothing of it is seen.

    None becomes two, so that what is left of a view stands in the order of the original.
    """

    def __missing__(self, code: int) -> str:
        self[code] = read = _SIGNS.get(code) or self._read(chr(code))
        return read

    def _read(self, char: str) -> str:
        category = unicodedata.category(char)
        # Marks are what a keycap is made of, and what strikes a digit out.
        if category in ("Mn", "Me") or UNSEEN.match(char):
            return ""
        if category in ("Zs", "Pd"):
            return " " if category == "Zs" else "-"
        if category in ("Nd", "Nl", "No"):
            digit = unicodedata.numeric(char, -1.0)
            if digit in range(10):
                return str(int(digit))
        plain = unicodedata.normalize("NFKC", char)
        return plain if len(plain) == 1 else char


_READ_AS = _Signs()


class _View(NamedTuple):
    """A text as it is read, and where each of its characters stands in the original."""

    text: str
    places: Sequence[int]
    """One more than characters: the last is the length of the original."""


def _view(text: str) -> _View:
    read = text.translate(_READ_AS)
    if len(read) == len(text):
        return _View(read, range(len(text) + 1))
    places = [place for place, char in enumerate(text) if _READ_AS[ord(char)]]
    return _View(read, [*places, len(text)])


_SPELLED = str.maketrans(
    "零〇○一幺壹二贰貳三叁參四肆五伍六陆陸七柒八捌九玖", "0001112223334455666778899"
)
_SPELLED_DIGIT = re.compile("[零〇○一幺壹二贰貳三叁參四肆五伍六陆陸七柒八捌九玖]")

_FEWEST_DIGITS = 11

_BLANK = "\0"
"""Stands where something was found: it borders numbers just as a placeholder does."""

# Maximal chains of digits and short separators. \b is no use here: it sees no border between a
# Chinese character and a digit. Tabs and line ends part table cells and never join a number.
_CHAIN = re.compile(r"[0-9](?:[ .()-]{0,3}[0-9]){10,}")
_APART, _SPELLED_APART = (
    re.compile(rf"{digit}(?:(?:[^\w%¥$€<>\0]|_){{0,8}}{digit}){{10,}}")
    for digit in ("[0-9]", "[0-9零〇○一幺壹二贰貳三叁參四肆五伍六陆陸七柒八捌九玖]")
)
_BLOCK = re.compile(r"[0-9]+")
_CHECK_X = re.compile(r"[ .-]?[Xx](?![A-Za-z])")
_AMOUNT_AFTER = re.compile(r"(?:\.[0-9]{1,2})? ?元(?![旦宵])")
_AMOUNT_BEFORE = re.compile(r"(?:[¥￥$] ?|(?<![0-9.])0\.)\Z")
_ATTACHED_CODE = re.compile(r"(?<![A-Za-z])([A-Z]{1,4})\Z")
_CODE_BEFORE = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{1,8})[0-9]*(?:[-_/][A-Za-z0-9]+)*[-_/]?\Z")
_LABELS = frozenset(
    re.findall(
        "[A-Z]+",
        "TEL PHONE MOBILE MOB CALL ID IDNO NO CARD CARDNO WX VX V QQ WECHAT WEIXIN ALIPAY ZFB "
        "SFZ SJ SJH DH KH YHK VISA MC JCB AMEX ICBC CCB ABC BOC CMB PSBC",
    )
)
"""Letters that announce a number; any others before one make it a contract or order number."""

_LOCAL_END = re.compile(r"[A-Za-z0-9._%+-]{1,64}\Z")
_LOCAL_LIMIT = 64
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")

_PLACEHOLDER = re.compile(rf"<(?:{'|'.join(TYPES).upper()})_[0-9]+>")

_PHONE_LAYOUTS = frozenset(
    [
        (11,),
        (3, 4, 4),
        (4, 3, 4),
        (4, 4, 3),
        (3, 3, 5),
        (3, 8),
        (7, 4),
        (5, 6),
        (6, 5),
        (3, 2, 2, 4),
        (3, 2, 2, 2, 2),
        (3, 3, 3, 2),
    ]
)
"""Group sizes in which people write a mobile number; any grouping would also swallow dates."""

_PROVINCES = frozenset(
    re.findall(
        "..",
        "111213141521222331323334353637414243444546505152535461626364657181828391",
    )
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"
_MOST_DIGITS = 19
_PASSES = 8
_READ_AGAIN = 200_000
"""Characters that are read in further passes, so that short texts have as many as they need."""
_CONTEXT = 24
"""Characters before a number that are looked at for the letters of a contract number."""


def mask(text: str, types: frozenset[SpanType] = EVERY) -> Masked:
    """Replace personal data of some types by placeholders.

    Placeholders read `<PHONE_1>` and never equal a string the text already holds, so that nobody
    can type one and have it filled with someone's data.
    """
    seen = _view(text)
    view = seen.text
    found: list[_Found] = []
    # What was found borders what is left as its placeholder will: masking a masked text must
    # find nothing new. A text made to show one thing after the other is not read for ever.
    passes = _PASSES + _READ_AGAIN // (len(view) + 1)
    while passes and (fresh := _pass(view, types)):
        found += fresh
        view = _blanked(view, fresh)
        passes -= 1
    return _replaced(text, seen, sorted(found))


def may_hold_numbers(text: str) -> bool:
    """Whether a text has digits, in whatever spelling and near enough to one another, for the
    shortest of NUMBERS."""
    return _SPELLED_APART.search(text.translate(_READ_AS)) is not None


def _pass(view: str, types: frozenset[SpanType]) -> list[_Found]:
    """What is found in a text whose known data is blank; spans do not overlap."""
    found = _mail(view)
    view = _blanked(view, found)
    said = _said(view, types) if types - NUMBERS else []
    found += said
    view = _blanked(view, said)
    # Chinese digits are read second, so that a counting word beside a number does not hide it.
    for table in ({}, _SPELLED) if _SPELLED_DIGIT.search(view) else ({},):
        for find in (_numbers, _apart):
            numbers = list(find(view.translate(table)))
            found += numbers
            view = _blanked(view, numbers)
    return sorted(each for each in found if each.type in types)


def unmask(text: str, masked: Masked) -> str:
    """Put the masked data back into a text that holds its placeholders.

    Placeholders that `masked` did not make are left alone. Where one value was spelled in several
    ways, its occurrences get the spellings in the order of the original.
    """
    spellings: dict[str, list[str]] = {}
    for span in masked.spans:
        spellings.setdefault(span.placeholder, []).append(span.text)
    used = dict.fromkeys(spellings, 0)

    def original(match: re.Match[str]) -> str:
        placeholder = match.group()
        if placeholder not in spellings:
            return placeholder
        turn = used[placeholder]
        used[placeholder] += 1
        forms = spellings[placeholder]
        return forms[turn] if turn < len(forms) else forms[0]

    return _PLACEHOLDER.sub(original, text)


def with_stand_ins(masked_text: str, placeholders: Sequence[str]) -> Masked:
    """A masked text as if invented data had been masked in it: what was typed is not kept.

    placeholders: those that stand for something, in order. The data are of the same kind and
    length, and none of them is anybody's.
    """
    spans: list[Span] = []
    end = 0
    for placeholder in placeholders:
        start = masked_text.find(placeholder, end)
        if start < 0:
            continue
        end = start + len(placeholder)
        kind, _, number = placeholder.strip("<>").lower().partition("_")
        made = _STAND_INS[kind](int(number))
        spans.append(Span(start, end, cast("SpanType", kind), made, placeholder))
    return Masked(masked_text, tuple(spans))


def _invented_id(number: int) -> str:
    body = f"110105194912{31 - number % 28:02d}{number % 1000:03d}"
    return body + _ID_CHECK[sum(int(d) * w for d, w in zip(body, _ID_WEIGHTS, strict=True)) % 11]


def _invented_card(number: int) -> str:
    body = f"62{number % 10**13:016d}"
    return next(f"{body}{last}" for last in range(10) if _is_card(f"{body}{last}"))


_STAND_INS: Mapping[str, Callable[[int], str]] = {
    "name": lambda number: f"某甲{number}",
    "address": lambda number: f"某地{number}",
    "wechat": lambda number: f"somebody_{number}",
    "plate": lambda number: f"京A{number % 10**5:05d}",
    "passport": lambda number: f"E{number % 10**8:08d}",
    "permit": lambda number: f"H{number % 10**8:08d}",
    "company": lambda number: f"91{number % 10**16:016d}",
    "otp": lambda number: f"{number % 10**6:06d}",
    "phone": lambda number: f"139{number % 10**8:08d}",
    "id": _invented_id,
    "card": _invented_card,
    "email": lambda number: f"somebody{number}@example.com",
}


def _replaced(text: str, seen: _View, found: list[_Found]) -> Masked:
    typed = set(_PLACEHOLDER.findall(seen.text.upper())) if found else set()
    numbering = {kind: count(1) for kind in TYPES}
    placeholders: dict[tuple[SpanType, str], str] = {}
    spans: list[Span] = []
    pieces: list[str] = []
    done = 0
    for first, last, kind, value in found:
        # What is unseen behind a character belongs to it, as the frame of a keycap does.
        start, end = seen.places[first], seen.places[last]
        if (kind, value) not in placeholders:
            fresh = (f"<{kind.upper()}_{n}>" for n in numbering[kind])
            placeholders[kind, value] = next(each for each in fresh if each not in typed)
        placeholder = placeholders[kind, value]
        spans.append(Span(start, end, kind, text[start:end], placeholder))
        pieces += (text[done:start], placeholder)
        done = end
    pieces.append(text[done:])
    return Masked("".join(pieces), tuple(spans))


def _blanked(view: str, found: list[_Found]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end, _, _ in found:
        pieces += (view[done:start], _BLANK * (end - start))
        done = end
    return "".join([*pieces, view[done:]])


def _mail(view: str) -> list[_Found]:
    # From each @ outwards: a pattern that starts at the local part is not linear on long words.
    found: list[_Found] = []
    free = 0
    at = view.find("@")
    while at >= 0:
        domain = _DOMAIN.match(view, at + 1)
        local = _LOCAL_END.search(view[max(free, at - _LOCAL_LIMIT) : at]) if domain else None
        if domain and local:
            start, free = at - len(local.group()), domain.end()
            found.append(_Found(start, free, "email", view[start:free].lower()))
        at = view.find("@", max(at + 1, free))
    return found


def _numbers(view: str) -> Iterator[_Found]:
    free = 0
    for chain in _CHAIN.finditer(view):
        blocks = [match.span() for match in _BLOCK.finditer(view, *chain.span())]
        first = 0
        while first < len(blocks):
            best, after = _best_at(view, blocks, first, free)
            if best:
                yield best
                free = best.end
            first = after


def _best_at(
    view: str, blocks: list[tuple[int, int]], first: int, free: int
) -> tuple[_Found | None, int]:
    """The number that starts at block `first`, if any, and the block to go on with.

    free: where the last number ended; nothing before it counts as context, because it will be a
    placeholder and masking a masked text must find nothing new.
    """
    start = blocks[first][0]
    single = first
    while single < len(blocks) and blocks[single][1] - blocks[single][0] == 1:
        single += 1
    if single - first > 1:
        # Digits set one by one are one number or none.
        steps: Iterator[tuple[int, tuple[int, ...]]] = iter([(single, (single - first,))])
        otherwise = single
    elif blocks[first][1] - start < 3 and view[start : start + 2] != "86":
        return None, first + 1
    else:
        steps = _joins(blocks, first)
        otherwise = first + 1

    best: tuple[_Reading, _Found] | None = None
    after = otherwise
    for stop, sizes in steps:
        end = blocks[stop - 1][1]
        digits = "".join(view[a:b] for a, b in blocks[first:stop])
        if len(digits) == 17 and (check := _CHECK_X.match(view, end)):
            digits, sizes, end = digits + "X", (*sizes[:-1], sizes[-1] + 1), check.end()
        reading = _read(digits, sizes, view, free, start, end)
        if reading and (best is None or reading.weight >= best[0].weight):
            plus = reading.type == "phone" and len(digits) > 11 and view[start - 1 : start] == "+"
            best = reading, _Found(start - plus, end, reading.type, reading.value)
            after = stop
    return (best[1] if best else None), after


def _joins(blocks: list[tuple[int, int]], first: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    sizes: list[int] = []
    total = 0
    for stop in range(first, len(blocks)):
        size = blocks[stop][1] - blocks[stop][0]
        total += size
        if total > _MOST_DIGITS:
            return
        sizes.append(size)
        if total >= _FEWEST_DIGITS:
            yield stop + 1, tuple(sizes)


def _apart(view: str) -> Iterator[_Found]:
    """Numbers whose digits stand further apart than `_numbers` reads, by any signs at all.

    They have to prove themselves: lists of figures and columns of a table look like this too.
    """
    free = 0
    for chain in _APART.finditer(view):
        blocks = [match.span() for match in _BLOCK.finditer(view, *chain.span())]
        before = view[max(free, chain.start() - _CONTEXT) : chain.start()]
        told = _issued().label.search(before) is not None
        first = 0
        while first < len(blocks):
            singles = first
            while singles < len(blocks) and blocks[singles][1] - blocks[singles][0] == 1:
                singles += 1
            alone = singles - first
            start = blocks[first][0]
            best: _Found | None = None
            after = max(first + 1, singles)
            for stop, sizes in _joins(blocks, first):
                regular = alone == len(sizes) if alone > 1 else _is_regular(sizes)
                total = sum(sizes)
                if not regular and total not in (17, 18) and not (told and first == 0):
                    continue
                end = blocks[stop - 1][1]
                digits = "".join(view[a:b] for a, b in blocks[first:stop])
                if total == 17 and (check := _CHECK_X.match(view, end)):
                    digits, end = digits + "X", check.end()
                if _is_valid_id(digits):
                    best, after = _Found(start, end, "id", digits), stop
                elif alone > 1 and regular and _is_phone(digits, (total,)):
                    best, after = _Found(start, end, "phone", digits[-11:]), stop
                elif (regular or (told and first == 0)) and _is_issued(
                    digits, view, free, start, end
                ):
                    best, after = _Found(start, end, "card", digits), stop
            if best:
                yield best
                free = best.end
            first = after


def _is_regular(sizes: tuple[int, ...]) -> bool:
    """Whether cards are written in such groups, with whatever between them."""
    *body, last = sizes
    equal = len({*body}) == 1 and last <= body[0] <= 4
    return equal or (len(sizes) <= 3 and min(body, default=0) >= 4 and sizes != (8, 8))


def _is_issued(digits: str, view: str, free: int, start: int, end: int) -> bool:
    """Whether it is the number of a card that an issuer may give out, and not said to be else."""
    if not _issued().numbers.fullmatch(digits) or not _is_card(digits):
        return False
    before = view[max(free, start - _CONTEXT) : start]
    if _AMOUNT_BEFORE.search(before) or _AMOUNT_AFTER.match(view, end):
        return False
    code = _CODE_BEFORE.search(before)
    if code and code.group(1).upper() not in _LABELS and digits[:2] != "62":
        return False
    return not _is_row_of_amounts(view[start:end])


def _read(
    digits: str, sizes: tuple[int, ...], view: str, free: int, start: int, end: int
) -> _Reading | None:
    if sizes[0] >= 3 and _is_valid_id(digits):
        return _Reading(4, "id", digits)
    phone = _is_phone(digits, sizes)
    if not phone and (not _is_grouped(sizes) or ")" in view[start:end] or "(" in view[start:end]):
        return None
    card = _is_card(digits) and not _is_row_of_amounts(view[start:end])
    bank_card = digits[:2] == "62" and 16 <= len(digits) <= 19 and digits.isdigit()
    before = view[max(free, start - _CONTEXT) : start]
    if _AMOUNT_BEFORE.search(before) or _AMOUNT_AFTER.match(view, end):
        return None
    code = _ATTACHED_CODE.search(before)
    if code and code.group(1) not in _LABELS and not (bank_card and card):
        return None
    if phone:
        return _Reading(3, "phone", digits[-11:])
    if not bank_card:
        code = _CODE_BEFORE.search(before)
        if code and code.group(1).upper() not in _LABELS:
            return None
    if _looks_like_id(digits):
        return _Reading(2, "id", digits)
    if card:
        return _Reading(2, "card", digits)
    return _Reading(1, "card", digits) if bank_card else None


def _is_phone(digits: str, sizes: tuple[int, ...]) -> bool:
    for country in ("0086", "86"):
        if digits.startswith(country) and len(digits) == 11 + len(country):
            rest = sizes[0] - len(country)
            if rest < 0:
                return False
            digits, sizes = digits[len(country) :], (rest, *sizes[1:]) if rest else sizes[1:]
            break
    return sizes in _PHONE_LAYOUTS and digits[0] == "1" and digits[1] in "3456789"


def _is_grouped(sizes: tuple[int, ...]) -> bool:
    """Whether IDs and cards are written in such groups; rows of small figures are not."""
    return len(sizes) == 1 or (
        len(sizes) <= 5
        and 3 <= sizes[0] <= 10
        and (sizes == (6, 4, 2, 2, 4) or all(size >= 3 for size in sizes[1:-1]))
    )


def _is_row_of_amounts(written: str) -> bool:
    groups = _BLOCK.findall(written)
    return len(groups) > 1 and all(
        len(group) > 2 and group[0] != "0" and group.endswith("00") for group in groups
    )


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        return 1900 <= date(int(year), int(month), int(day)).year < 2050
    except ValueError:
        return False


def _is_valid_id(digits: str) -> bool:
    if len(digits) != 18 or not _is_date(digits[6:10], digits[10:12], digits[12:14]):
        return False
    total = sum(int(d) * w for d, w in zip(digits, _ID_WEIGHTS, strict=False))
    return digits[17] == _ID_CHECK[total % 11]


def _looks_like_id(digits: str) -> bool:
    """Whether it may be an ID in the old form, or one in the new form with a slip in it."""
    if len(digits) == 18:
        return _is_date(digits[6:10], digits[10:12], digits[12:14])
    return (
        len(digits) == 15
        and digits[:2] in _PROVINCES
        and _is_date("19" + digits[6:8], digits[8:10], digits[10:12])
    )


def _is_card(digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or not digits.isdigit() or _issued().never.fullmatch(digits):
        return False
    if digits[:2] in ("19", "20") and _is_date(digits[:4], digits[4:6], digits[6:8]):
        return False  # An order number that opens with its date; no issuer has such a range.
    total = sum(int(d) for d in digits[-1::-2])
    total += sum((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[int(d)] for d in digits[-2::-2])
    return total % 10 == 0


# What is told by words beside it, or by a form of its own; the words stand in privacy.toml -------

_BEFORE = 8
"""Characters before a find that are looked at for words that say it is something else."""

_COMPANY_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_COMPANY_CODE = re.compile(rf"[1-9ANY][{_COMPANY_SIGNS}]{{17}}")
_PARTED = re.compile(r"[\0<>]")
_SIGNS_WITHIN = re.compile(r"[ ().-]")
_GAPS = re.compile("(?<=[\u3400-\u9fff])(?=[\u3400-\u9fff])")


class _Form(NamedTuple):
    """What one kind of personal data looks like; group `v` is the data."""

    type: SpanType
    pattern: re.Pattern[str]
    of_other: re.Pattern[str]
    """Tells, at the end of what stands before a match, that it is something else."""
    accepts: Callable[[str, str], bool]
    """Given the data, and up to _BEFORE characters before it."""
    needs: tuple[str, ...]
    """Of these a text has one at least, where the form is to be found; none where any may."""
    spelled: bool
    """Whether it is read with Chinese digits as digits; its pattern is then written so."""


@cache
def _words() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _any(words: Sequence[str]) -> str:
    return "(?:" + "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True)) + ")"


def _spread(words: Sequence[str]) -> str:
    """The words, also with a sign between their characters, or none where a space stands.

    Latin letters beside a word of Chinese belong to another one; beside a Latin one they do not.
    """
    latin = _any([w for w in words if w.isascii()]).replace(r"\ ", "[ _-]?")
    mixed = [w for w in words if not w.isascii()]
    return f"(?:{_GAPS.sub('[ *.]?', _any(mixed))}|(?<![A-Za-z]){latin}(?![A-Za-z]))"


class _Issued(NamedTuple):
    """What bank cards are known by."""

    numbers: re.Pattern[str]
    never: re.Pattern[str]
    label: re.Pattern[str]
    """Announces a card at the end of what it is searched in."""


@cache
def _issued() -> _Issued:
    words = _words()["card"]
    return _Issued(
        re.compile(words["issued"]),
        re.compile(words["never"]),
        re.compile(rf"{_spread(words['labels'])}\D{{0,12}}\Z", re.IGNORECASE),
    )


@cache
def _forms() -> tuple[_Form, ...]:
    words = _words()
    named = (
        {name: _any(listed) for name, listed in words["labels"].items()}
        | {name: _spread(listed) for name, listed in words["spread_labels"].items()}
        | words["parts"]
    )

    def filled(pattern: str) -> str:
        while "<<" in pattern:
            pattern = re.sub("<<([a-z_]+)>>", lambda m: str(named[m.group(1)]), pattern)
        return pattern

    def compiled(pattern: str) -> re.Pattern[str]:
        return re.compile(filled(pattern), re.IGNORECASE)

    of_code = re.compile(named["code"])
    explicit = compiled("<<explicit>>$")
    accepts: Mapping[str, Callable[[str, str], bool]] = {
        "": lambda value, before: True,
        "company": lambda value, before: _is_company(value),
        "no_code": lambda value, before: not of_code.search(before),
        "three_digits": lambda value, before: sum(c.isdigit() for c in value) >= 3,
        "no_word": lambda value, before: not value.isalpha() or bool(explicit.search(before)),
    }
    forms: list[_Form] = []
    for form in words["form"]:
        pattern = filled(form["pattern"])
        of_other = f"(?:{form['unless_before']})$" if "unless_before" in form else "(?!)"
        plain = _Form(
            form["type"],
            compiled(pattern),
            compiled(of_other),
            accepts[form.get("check", "")],
            tuple(words["marks"][form["needs"]] if "needs" in form else ()),
            spelled=False,
        )
        forms.append(plain)
        if form.get("spelled"):
            read = compiled(pattern.translate(_SPELLED))
            forms.append(plain._replace(pattern=read, spelled=True))
    return tuple(forms)


def _said(view: str, types: frozenset[SpanType]) -> list[_Found]:
    """What words beside it or its own form tell; `view` has what is known already blank."""
    found: list[_Found] = []
    spelled = _SPELLED_DIGIT.search(view) is not None
    lowered = view.lower()
    met: dict[tuple[str, ...], bool] = {(): True}
    for form in _forms():
        if form.type not in types or (form.spelled and not spelled):
            continue
        if form.needs not in met:
            met[form.needs] = any(mark in lowered for mark in form.needs)
        if not met[form.needs]:
            continue
        read = view.translate(_SPELLED) if form.spelled else view
        fresh: list[_Found] = []
        for match in form.pattern.finditer(read):
            start, end = match.span("v")
            before = _PARTED.split(view[max(0, start - _BEFORE) : start])[-1].rstrip()
            at = match.start()
            told = _PARTED.split(view[max(0, at - _CONTEXT) : at])[-1]
            if form.accepts(match["v"], before) and not form.of_other.search(told):
                value = _SIGNS_WITHIN.sub("", match["v"]).upper()
                fresh.append(_Found(start, end, form.type, value))
        found += fresh
        view = _blanked(view, fresh)
    if "name" in types:
        found += _names(view)
    return sorted(found)


def _is_company(code: str) -> bool:
    """The check character of GB 32100; a resident ID is none."""
    code = code.upper()
    if not _COMPANY_CODE.fullmatch(code) or (code.isdigit() and _looks_like_id(code)):
        return False
    total = sum(_COMPANY_SIGNS.index(sign) * pow(3, i, 31) for i, sign in enumerate(code[:17]))
    return _COMPANY_SIGNS[-total % 31] == code[17]


class _Naming(NamedTuple):
    """How names are found; compiled once."""

    labelled: re.Pattern[str]
    sure: re.Pattern[str]
    latin: re.Pattern[str]
    titled: re.Pattern[str]
    ends: re.Pattern[str]
    surnames: frozenset[str]
    doubled: frozenset[str]
    rather_words: frozenset[str]
    never: frozenset[str]
    before: tuple[str, ...]
    titles: frozenset[str]


@cache
def _naming() -> _Naming:
    words = _words()["name"]
    link = _words()["parts"]["name_link"]
    return _Naming(
        labelled=re.compile(f"{_any([*words['full'], *words['maybe']])}{link}(?=[\u3400-\u9fff])"),
        sure=re.compile(f"{_any(words['full'])}{link}"),
        latin=re.compile(
            f"{_any(words['latin'])} ?(?P<v>(?-i:[A-Z][a-z]+(?: [A-Z][a-z]+){{0,2}}))",
            re.IGNORECASE,
        ),
        titled=re.compile("|".join([*words["titles"], *words["posts"]])),
        ends=re.compile(f"$|[^\u3400-\u9fff]|{_any(words['after'])}"),
        surnames=frozenset(words["surnames"]),
        doubled=frozenset(words["doubled"]),
        rather_words=frozenset(words["rather_words"]),
        never=frozenset(words["never"]),
        before=tuple(words["before"]),
        titles=frozenset(words["titles"]),
    )


def _names(view: str) -> list[_Found]:
    naming = _naming()
    spans: list[tuple[int, int]] = []
    for match in naming.latin.finditer(view):
        spans.append(match.span("v"))
    for match in naming.labelled.finditer(view):
        sure = naming.sure.fullmatch(match.group()) is not None
        length = _name_length(view, match.end(), sure)
        if length:
            spans.append((match.end(), match.end() + length))
    for match in naming.titled.finditer(view):
        post = match.group() not in naming.titles
        start = _name_before(view, match.start(), post)
        if start < match.start():
            spans.append((start, match.start()))
    found: list[_Found] = []
    for start, end in sorted(spans):
        if not found or start >= found[-1].end:
            found.append(_Found(start, end, "name", view[start:end].lower()))
    return found


def _is_surname(view: str, start: int) -> int:
    """Characters of the surname that stands at `start`; 0 where there is none."""
    naming = _naming()
    if view[start : start + 2] in naming.doubled:
        return 2
    return int(view[start : start + 1] in naming.surnames)


def _name_length(view: str, start: int, sure: bool) -> int:
    """Characters of the full name that stands at `start`; 0 where there is none.

    sure: whether what stands before says so; otherwise the name has to end where a word ends.
    """
    naming = _naming()
    surname = _is_surname(view, start)
    if not surname:
        return 0
    given = [c for c in view[start + surname : start + surname + 2] if "\u3400" <= c <= "\u9fff"]
    lengths = [n for n in (2, 1) if len(given) >= n and not naming.never & {*given[:n]}]
    for n in lengths:
        if naming.ends.match(view, start + surname + n):
            return surname + n
    return surname + lengths[0] if sure and lengths else 0


def _name_before(view: str, end: int, post: bool) -> int:
    """Where the name that ends before a title starts; `end` where there is none."""
    naming = _naming()
    if not post:
        for n in (4, 3, 2):
            start = end - n
            if start < 0 or _PARTED.search(view[start:end]):
                continue
            surname = _is_surname(view, start)
            if (
                not 0 < surname < n
                or n - surname > 2
                or naming.never & {*view[start + surname : end]}
            ):
                continue
            if view[start].isspace() or any(
                view.endswith(naming.before, 0, start + k) for k in range(1, n)
            ):
                continue
            return start
    if view[end - 2 : end] in naming.doubled:
        return end - 2
    single = view[end - 1 : end]
    if single in naming.surnames and not (
        single in naming.rather_words or view.endswith(naming.before, 0, end)
    ):
        return end - 1
    return end
