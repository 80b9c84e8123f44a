"""When borrowers say that they signed or borrowed, as the days on which it may have been."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from knowledge.text import fold, normalise

_FILE = Path(__file__).with_suffix(".toml")

Period = tuple[date, date]
"""First and last day."""

BESIDE = timedelta(days=30)
"""How far before or after a feast is still 'before' or 'after' it."""

AROUND = timedelta(days=20)
"""How far off the day 'this time of the year' may be."""

RECENT = timedelta(days=14)

_PRODUCT = "\ue000"

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_COUNTS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MONTH_NAME = (
    # Not the verb: I may miss a payment.
    r"(?:(?<=in )|(?<=since )|(?<=of )|(?<=from )|(?<=[0-9] )|(?<=th ))may|may(?= [0-9]|,? 20)"
    r"|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_BREAK = r"，。！？；,.!?;\n"


@dataclass(frozen=True, slots=True)
class _Wording:
    """What signing.toml holds, as patterns."""

    table: Mapping[str, Any]
    time: re.Pattern[str]
    """One time, by a date, feast, year, season, or so long ago; its groups say which."""
    side: re.Pattern[str]
    """What makes a time the end or the beginning of one."""
    verb: re.Pattern[str]
    """Up to the verb after a time."""
    before: re.Pattern[str]
    """From the verb or noun up to the time after it."""
    noun: re.Pattern[str]
    """The contract, after its year."""


@cache
def _wording() -> _Wording:
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    verbs, nouns = "|".join(table["begins"]), "|".join([*table["nouns"], _PRODUCT])
    named = "|".join(sorted(table["years_back"], key=len, reverse=True))
    year = (
        rf"{named}|(?<![0-9])(?:19|20)[0-9]{{2}} ?年(?!期)"
        r"|(?<![0-9])[0-9]{2} ?年(?![期半多来]?(?:之|以)?前)(?!期)"
    )
    feasts = "|".join(sorted(map(re.escape, table["feasts"]), key=len, reverse=True))
    number = r"(?<![0-9])[0-9]{1,2}(?:\.[0-9])?"
    return _Wording(
        table,
        re.compile(
            # A date, to the day or the month.
            r"(?<![0-9])(?P<iso>(?:19|20)[0-9]{2}[-/.][0-9]{1,2}(?:[-/.][0-9]{1,2})?)(?![0-9])"
            rf"|(?:(?P<year>{year}|明年|后年|每年)的?份? ?)?"
            r"(?<![0-9第])(?P<month>[0-9]{1,2}) ?月份?"
            r"(?: ?(?P<day>[0-9]{1,2}) ?[日号])?(?!利率|账单)"
            r"|(?P<near>上个?月|本月|这个月|last month|this month)"
            r"(?: ?(?P<nearday>[0-9]{1,2}) ?[日号])?"
            rf"|(?<![0-9a-z])(?:(?P<enday>[0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?)?"
            rf"(?P<enmonth>{_MONTH_NAME})(?![a-z])"
            r"(?: (?P<endayafter>[0-9]{1,2})(?:st|nd|rd|th)?(?![0-9]))?"
            r"(?:,? (?:of )?(?P<enyear>[0-9]{4}|this year|last year))?"
            # A feast.
            rf"|(?:(?P<feastyear>{year}|明年|后年|每年)的?)?(?P<feast>{feasts})节?"
            r"(?:假期|[长放]?假|那天|期间)?"
            # So long ago.
            rf"|(?P<count>半|{number}) ?(?P<more>多?)个?(?P<more2>多?)"
            r"(?P<unit>年|月|周|星期|礼拜|天)(?P<half>半?)(?P<more3>多?)(?:左右)?(?:之|以)?前"
            rf"|(?P<encount>half a|an?|{number}|{'|'.join(_COUNTS[1:])}) "
            r"(?P<enunit>year|month|week|day)s? ago"
            r"|(?P<ago>今天|昨天|前天|today|yesterday)"
            r"|(?P<recent>最近|刚刚?|前几天|前两天|前阵子|这几天|上周末?|上个?(?:星期|礼拜)|昨晚|just|recently)"
            # A year, or part of one.
            rf"|(?P<wholeyear>{year})的?(?P<part>上半年|下半年|第?[一二三四1-4]季度?|年?[头初]|年?中|年?[底末尾]"
            r"|[春夏秋冬][天季]?|暑假|这个?时候|今天|同期)?"
            r"|(?P<enpart>early|mid|late|spring|summer|autumn)?[ -]?(?:of |in )?"
            r"(?P<enwhole>last year|this year|(?<=[a-z] )20[0-9]{2}(?= [a-z]|[,.?!;]|$))"
        ),
        re.compile(
            r"(?P<side>当[天日]|(?:之|以)?[前后]|起)?"
            r"(?:的时候|那会儿?|那时候?|左右|份)?(?:\((?:今|去|前)年\))?"
        ),
        re.compile(rf"(?P<gap>[^{_BREAK}]{{0,24}}?)(?P<verb>{verbs}|合同)(?P<rest>.{{0,8}})"),
        re.compile(
            rf"(?:{verbs}|{nouns})(?:(?P<gap>[^{_BREAK}]{{0,12}}?)"
            r"(?:在|于|是|为|的|:|：|时间|日期|\b(?:in|on|of)\b|since|from|dated)"
            r"|(?P<engap>[^,.!?;\n]{0,30}? )(?:(?:in|on|since|from|of|dated) )?)\s?(?:早在)?\s?$"
        ),
        re.compile(
            rf"的?(?:[那哪娜纳钠]|这|你们?的?)?[笔份个张]?(?:{nouns})(?!利率|(?:的|已|就|了)?(?:{table['failed']}))"
        ),
    )


def said_contract_period(text: str, today: date, products: Iterable[str] = ()) -> Period | None:
    """First and last day on which the borrower says they may have signed or borrowed.

    products: how borrowers name what they may have borrowed, folded.
    None where no single time is said, or it begins after `today`. What is open at one end goes from
    the first day there is, or up to `today`.
    """
    folded = normalise(fold(text))
    for name in products:
        # A name may hold a verb.
        folded = folded.replace(name, _PRODUCT)
    wording = _wording()
    said: dict[Period, bool] = {}
    """And whether it is only said to be recent."""
    for match in wording.time.finditer(folded):
        side = wording.side.match(folded, match.end())
        end = side.end() if side else match.end()
        dated = bool(match["year"] or match["wholeyear"] or match["enwhole"])
        if not (_of_signing(folded, match, end) or (dated and wording.noun.match(folded, end))):
            continue
        if (period := _period(match, today)) is None:
            continue
        first, last = _beside(period, (side and side["side"]) or "", match, today)
        if first > today:
            return None
        said[(first, min(last, today))] = bool(match["recent"])
    if not all(said.values()):
        # What is just signed may have been so for a while.
        said = {period: False for period, recent in said.items() if not recent}
    if not said:
        return None
    # Said twice, it is what both leave: last month, on the 9th of October.
    first, last = max(first for first, _ in said), min(last for _, last in said)
    return (first, last) if first <= last else None


def _of_signing(folded: str, match: re.Match[str], end: int) -> bool:
    """Whether a time is that of signing: the verb follows it, or stands before."""
    wording, table = _wording(), _wording().table
    start = match.start() + (folded[match.start()] == " ")
    before = folded[max(0, start - 30) : start]
    if re.search(table["planned"], before):
        return False
    after = wording.verb.match(folded, end)
    if after and match["recent"] and after["verb"] in table["requests"]:
        return after["verb"] == "签"
    if after and not re.search(table["other_acts"], after["gap"]) and _began(after):
        month = (match["month"] and not match["year"]) or match["near"]
        return not (month and after["gap"].strip() in ("的", "那"))
    earlier = wording.before.search(before)
    return (
        earlier is not None
        and not re.search(table["other_acts"], earlier["gap"] or earlier["engap"] or "")
        and not re.match(table["repaid"], folded[end:])
    )


def _began(after: re.Match[str]) -> bool:
    """Whether the verb starts a loan: 申请延期, 借不到 and 贷款逾期 do not."""
    table = _wording().table
    other = table["other_requests"] if after["verb"] in table["requests"] else table["failed"]
    return not re.match(other, after["rest"])


def _period(match: re.Match[str], today: date) -> Period | None:
    said = match.groupdict()
    table = _wording().table
    if said["iso"]:
        year, month, *day = (int(part) for part in re.split(r"[-/.]", said["iso"]))
        return _month_or_day(year, month, day[0] if day else None)
    if said["month"]:
        year_of = _year_of(said["year"], int(said["month"]), int(said["day"] or 1), today)
        return _month_or_day(year_of, int(said["month"]), int(said["day"] or 0) or None)
    if said["near"]:
        first = today.replace(day=1)
        if said["near"].startswith(("上", "last")):
            first = (first - timedelta(days=1)).replace(day=1)
        return _month_or_day(first.year, first.month, int(said["nearday"] or 0) or None)
    if said["enmonth"]:
        month = _MONTHS.index(said["enmonth"][:3]) + 1
        day_of = int(said["enday"] or said["endayafter"] or 0)
        year_of = _year_of(said["enyear"], month, day_of or 1, today)
        return _month_or_day(year_of, month, day_of or None)
    if said["feast"]:
        return _feast(said["feast"], said["feastyear"], today)
    if said["count"] or said["encount"]:
        counted = _counted(said["count"] or said["encount"])
        counted += Decimal("0.5") if said["half"] else 0
        days, tolerance = table["ago"][said["unit"] or said["enunit"]]
        middle = today - timedelta(days=int(days * counted))
        # Half a year is said with more care than a year.
        tolerance = min(tolerance, max(1, int(days * counted / 7)))
        more = days if said["more"] or said["more2"] or said["more3"] else tolerance
        return middle - timedelta(days=more), min(today, middle + timedelta(days=tolerance))
    if said["ago"]:
        back = {"昨天": 1, "yesterday": 1, "前天": 2}.get(said["ago"], 0)
        day_ago = today - timedelta(days=back)
        return day_ago, day_ago
    if said["recent"]:
        return today - RECENT, today
    year = _year(said["wholeyear"] or said["enwhole"], today)
    return _part(year, said["part"] or said["enpart"] or "", today)


def _part(year: int, part: str, today: date) -> Period | None:
    if part.startswith(("这", "今", "同")):
        day = _day(year, today.month, min(today.day, 28))
        return (day - AROUND, day + AROUND) if day else None
    parts: Mapping[str, tuple[int, int]] = _wording().table["parts"]
    first, last = next((parts[name] for name in parts if name in part), (1, 12))
    after = date(year + last // 12, last % 12 + 1, 1)
    return date(year, first, 1), after - timedelta(days=1)


def _feast(name: str, year: str | None, today: date) -> Period | None:
    month, day, last_month, last_day = _wording().table["feasts"][name]
    at = _year_of(year, month, day, today)
    return (date(at, month, day), date(at, last_month, last_day)) if at else None


def _beside(period: Period, side: str, match: re.Match[str], today: date) -> Period:
    """The time before or after the one that is named."""
    first, last = period
    if match["feast"]:
        # A day that is not named to the day is meant roughly.
        some = timedelta(0) if side.startswith("当") else timedelta(days=2)
        if side.endswith("前"):
            return first - BESIDE, first - timedelta(days=1)
        if side.endswith("后"):
            return last, last + BESIDE
        return first - some, last + some
    if side.endswith("前") and not match["count"]:
        return date.min, first if first == last else first - timedelta(days=1)
    if side in ("起", "后", "之后", "以后"):
        return first, today
    return period


def _counted(written: str) -> Decimal:
    if written in ("半", "half a"):
        return Decimal("0.5")
    if written in ("a", "an"):
        return Decimal(1)
    return Decimal(_COUNTS.index(written) if written in _COUNTS else written)


def _year_of(year: str | None, month: int, day: int, today: date) -> int | None:
    """The year that is said; where none is, that of the last such day that is not after `today`."""
    if year is None:
        past = (month, day) <= (today.month, today.day)
        return today.year if past else today.year - 1
    return None if year.strip() in ("明年", "后年", "每年") else _year(year, today)


def _year(written: str, today: date) -> int:
    back = _wording().table["years_back"].get(written.strip())
    if back is not None:
        return int(today.year - back)
    year = int(written.strip().removesuffix("年").strip())
    return year if year > 99 else 2000 + year


def _month_or_day(year: int | None, month: int, day: int | None) -> Period | None:
    first = year and _day(year, month, day or 1)
    if not first or day:
        return (first, first) if first else None
    after = date(first.year + month // 12, month % 12 + 1, 1)
    return first, after - timedelta(days=1)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
