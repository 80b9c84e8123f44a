"""What the rules measure and compute: quantities that a text states, and checks written in code."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import islice, pairwise
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

from . import figures, privacy
from .figures import Figure
from .matching import CLAUSE_ENDS, Folded, Folding, clause_start, without
from .rules import CURRENCIES, SettingValue

Span = tuple[int, int]

DOLLARS = frozenset({"HKD", "USD"})
"""Currencies of which `$` and `dollars` may be said."""
MOST_OFF = 100
"""Discounts that a question names by which what a price comes to is read as well."""


@dataclass(frozen=True)
class Message:
    """A text that is judged, with what is said about it; its readings are made once, if asked."""

    text: str
    context: Mapping[str, Any]
    """As rules.read_context gives it."""
    folding: Folding
    settings: Mapping[str, SettingValue]

    @cached_property
    def plain(self) -> Folded:
        return self.folding.plain(self.text)

    @cached_property
    def bare(self) -> Folded:
        return self.folding.bared(self.plain)

    @cached_property
    def asked(self) -> Message:
        """What the customer said just before, as a message."""
        return Message(str(self.context.get("question", "")), {}, self.folding, self.settings)

    @cached_property
    def figures(self) -> list[Figure]:
        numeric = without(self.folding.numeric(self.text), figures.apart)
        found = figures.find(numeric.text)
        return [self._read(replace(f, span=numeric.origin(*f.span))) for f in found]

    def _read(self, figure: Figure) -> Figure:
        """A sum in dollars as one in the dollars of the jurisdiction, if it has such."""
        if (figure.kind, figure.unit) == ("money", "$") and self.currency in DOLLARS:
            return replace(figure, unit=self.currency)
        return _dated_rate(figure, self)

    @property
    def currency(self) -> str:
        """In which sums are meant that name none."""
        return str(self.settings.get("currency", "CNY"))

    def is_own_money(self, figure: Figure) -> bool:
        """Whether it is a sum in the currency of the jurisdiction."""
        return (figure.kind, figure.unit) == ("money", self.currency)

    @property
    def zone(self) -> ZoneInfo:
        return _zone(str(self.settings["timezone"]))

    def number(self, setting: str) -> Decimal:
        value = self.settings[setting]
        assert isinstance(value, Decimal)
        return value

    def before(self, span: Span, reach: int = 16) -> str:
        """Up to so many folded characters of the clause before original[span]."""
        start, _ = self.place(span)
        return self.bare.text[clause_start(self.bare.text, start, reach, CLAUSE_ENDS) : start]

    def between(self, one: Span, other: Span) -> str:
        """What stands, folded, between two parts of the original."""
        return self.bare.text[self.place(one)[1] : self.place(other)[0]]

    def place(self, span: Span) -> Span:
        """Where original[span] stands in `bare`."""
        return self.bare.place(span)


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def measured(quantity: str, message: Message) -> Iterator[tuple[Decimal, Span]]:
    """Each value that a message states of a quantity (a key of rules.QUANTITIES), and where."""
    if quantity == "implied_annual_rate":
        for place, alternatives in _computed(message):
            yield Decimal(repr(min(low for low, _ in alternatives))), place
        return
    for figure in message.figures:
        scale = _MEASURES[quantity](figure, message)
        if scale is not None:
            for value in _ends(figure):
                yield value * scale, figure.span


_ASIDE = re.compile(r"[(（][^()（）]*[)）]")
_PER = re.compile(r"(年化|年利|年息|apr)|(?:月|日|天|每期)(?:利|息|费|手续)")
_BARE_ANNUAL = re.compile(
    r"年(?:化|利)(?:综合)?(?:利?率|成本|息)?(?:大概|大约|也?就|只|约|才|是|为|要|:|：)*$"
)


def _dated_rate(figure: Figure, message: Message) -> Figure:
    """A rate whose period stands before an aside, as in 年化成本（含担保费）18%, with that period,
    and a bare number that is said to be an annual rate as one."""
    if figure.kind == "rate" and figure.unit in ("", "day"):
        start, end = message.place(figure.span)
        if message.bare.text[end : end + 1] in ("/", "每"):
            return figure
        before = _ASIDE.sub("", message.bare.text[max(0, start - 60) : start])
        clause = before[clause_start(before, len(before), 24, CLAUSE_ENDS) :]
        named = [match[1] for match in _PER.finditer(clause)]
        return replace(figure, unit="year") if named and named[-1] else figure
    if (figure.kind, figure.unit) == ("count", "") and isinstance(figure.value, Decimal):
        said = 1 <= figure.value <= 100 and _BARE_ANNUAL.search(message.before(figure.span))
        if said and figure.upper is None:
            return replace(figure, kind="rate", unit="year", value=figure.value / 100)
    return figure


def _ends(figure: Figure) -> Iterator[Decimal]:
    for value in (figure.value, figure.upper):
        if isinstance(value, Decimal):
            yield value


def _unit(kind: str, *units: str) -> Callable[[Figure, Message], Decimal | None]:
    def scale(figure: Figure, message: Message) -> Decimal | None:
        right = figure.kind == kind and (not units or figure.unit in units)
        return Decimal(1) if right else None

    return scale


def _annualised(figure: Figure, message: Message) -> Decimal | None:
    if figure.kind != "rate":
        return None
    per_year = {"year": Decimal(1), "month": Decimal(12), "day": message.number("day_count")}
    return per_year.get(figure.unit)


def _money(currency: str) -> Callable[[Figure, Message], Decimal | None]:
    def scale(figure: Figure, message: Message) -> Decimal | None:
        is_money = (figure.kind, figure.unit) == ("money", currency)
        # 30万 and 20w are said of the jurisdiction's money without its unit; a bare number below
        # that is anything.
        bare = (
            currency == message.currency
            and (figure.kind, figure.unit) == ("count", "")
            and figure.text.lower().endswith(_ROUND)
        )
        return Decimal(1) if is_money or bare else None

    return scale


_ROUND = (*"万萬千wk", "thousand", "million", "billion")

_MEASURES: Mapping[str, Callable[[Figure, Message], Decimal | None]] = {
    **{f"money_{currency.lower()}": _money(currency) for currency in CURRENCIES},
    "annual_rate": _unit("rate", "year"),
    "annualised_rate": _annualised,
    "daily_rate": _unit("rate", "day"),
    "monthly_rate": _unit("rate", "month"),
    "term_months": _unit("term", "month", "period"),
    "term_days": _unit("term", "day"),
    "age_years": _unit("count", "岁"),
    "percentage": _unit("rate"),
}

_FEE = re.compile(r"手续费|服务费|费率|分期费")
_A_PERIOD = re.compile(r"每期|(?<!第)一期|每月|月费|期费|/期|/月")
_A_DAY = re.compile(
    r"每天|每日|日息|/天|/日|(?<![0-9十百两])(?<![三四五])(?<![六七])(?<![八九])(?:一|1)?天"
)
_YEAR_OF = re.compile(r"(360|365)\s*天")
_FALLING = re.compile(r"额本金|递减")
_FIRST = re.compile(r"[首头][月期]|第[一1][期个]")
_EACH_TIME = re.compile(r"(?:每期|每月|月供|月还|期还)[^,，。;；]{0,4}$")
_PRINCIPAL = re.compile(r"(?:借|贷|本金|用|取)[^,，。;；]{0,6}$|^$")
_PRICE = re.compile(r"(?:费|利息|息费)[^,，。;；共总]{0,4}$")
_SENTENCE_END = re.compile(r"[。；;!?！？\n]|共|合计|总")
_SHARE = re.compile("的?部分")
_ABOUT = re.compile(r"(?:约|大概|差不多|近似|接近)(?:是|为|在)?$")
_USUAL_TERMS = (2, 3, 6, 12, 24, 36, 60)
"""Numbers of instalments between which a fee's annual rate lies where no term is stated."""
_OTHER_FEE = re.compile(r"(?:担保|服务|保险|增信|会员|管理|咨询|权益)费(?:率|用)?")
_ALL_IN = re.compile(r"综合|其中|已?含|包括|合计|总成本|加起来")
"""By which a rate is said to hold the fees already."""
ASIDE = 12
"""Characters behind a price within which it is told what it holds, or what else is paid with it."""
_DEFAULT = re.compile(r"罚息|逾期|违约|滞纳")

ROUNDING_CNY = 1.0
"""How far an instalment may be off that is cut or rounded to the yuan."""


def rates_disagree(message: Message) -> Iterator[Span]:
    """Annual rates that the daily, monthly or instalment price beside them does not come to."""
    annual = [
        (value, f.bound, f.span)
        for f in message.figures
        for value in _annual_rate(f, message)
        # A share above a limit is no price.
        if not _SHARE.match(message.text, f.span[1])
    ]
    if not annual:
        return
    tolerance = float(message.number("apr_tolerance"))
    here = [(place[0], right) for place, right in _computed(message, message.asked)]
    # An annual rate may answer a question that states the other price, and what is taken off it.
    named = {float(d) for f in message.asked.figures if f.kind == "discount" for d in _ends(f)}
    off = [1.0, *islice(sorted(named), MOST_OFF)]
    asked = [
        (len(message.text), [(low * part, high * part) for low, high in right for part in off])
        for (_, end), right in _computed(message.asked, message)
        if message.asked.text[end - 1] in "%％"
    ]
    rates = sorted(float(stated) for stated, _, _ in annual)
    highest = max((float(stated) for stated, bound, _ in annual if bound == "max"), default=-inf)
    places = sorted(span for _, _, span in annual)
    for place, right in here + asked:
        # What a rate stays below need not be what it comes to.
        if not any(
            low - tolerance <= highest
            or bisect_left(rates, low - tolerance) < bisect_right(rates, high + tolerance)
            for low, high in right
        ):
            behind = bisect_left(places, (place,))
            near = places[max(0, behind - 1) : behind + 1]
            yield min(near, key=lambda span: abs(span[0] - place))


def _annual_rate(figure: Figure, message: Message) -> Iterator[Decimal]:
    is_annual = figure.kind == "rate" and figure.unit == "year"
    if is_annual and not _DEFAULT.search(message.before(figure.span)):
        yield from _ends(figure)


def costs_add_up(message: Message) -> Iterator[Span]:
    """A fee of so many percent that comes to more than `apr_block` with the one annual rate."""
    rates = [f for f in message.figures if f.kind == "rate" and f.unit in ("", "year")]
    parted: tuple[list[Figure], list[Figure]] = [], []
    for figure in rates:
        parted[bool(_OTHER_FEE.search(message.before(figure.span)))].append(figure)
    others, fees = parted
    annual = [f for f in others if any(_annual_rate(f, message))]
    if len(annual) != 1 or not fees:
        return
    first, *_, last = sorted(figure.span for figure in annual + fees)
    beside = message.before(first) + message.text[first[0] : last[1] + ASIDE]
    if _ALL_IN.search(beside):
        return
    together = sum((max(_ends(figure)) for figure in annual + fees), Decimal(0))
    if together > message.number("apr_block"):
        yield fees[0].span


_Right = tuple[Span, Sequence[tuple[float, float]]]
"""Where a price stands, and the annual rates, from least to most, that it may be called."""


def _computed(message: Message, beside: Message | None = None) -> Iterator[_Right]:
    """What the prices that are not annual rates come to in a year.

    beside: where a term may stand that the message itself does not state.
    """
    # Where the message says by what year it counts, it is held to that.
    said = {float(match[1]) for match in _YEAR_OF.finditer(message.text)}
    days = said or {360.0, float(message.number("day_count"))}
    terms = sorted(_terms(message) or (_terms(beside) if beside else ()))
    money = [f for f in message.figures if message.is_own_money(f)]
    of_fee = _FEE.search(message.asked.text)
    for figure in message.figures:
        if figure.kind != "rate" or figure.unit not in ("day", "month", ""):
            continue
        before = message.before(figure.span)
        if _DEFAULT.search(before):
            continue
        each = _A_PERIOD.search(before)
        flat = (_FEE.search(before) and (figure.unit == "month" or each)) or (of_fee and each)
        for value in map(float, _ends(figure)):
            if figure.unit == "day":
                off = _rounded_by(figure, message)
                yield figure.span, [((value - off) * year, (value + off) * year) for year in days]
            elif flat:
                rates = [
                    float(flat_fee_annual_rate(Decimal(repr(value)), months))
                    for months in terms[:1] or _USUAL_TERMS
                ]
                yield figure.span, [(min(rates), max(rates))]
            elif figure.unit == "month":
                off = _rounded_by(figure, message)
                yield figure.span, [((value - off) * 12, (value + off) * 12)]
    for lent, paid in pairwise(money):
        between = message.between(lent.span, paid.span)
        sums = (lent.value, paid.value)
        if len(between) > 12 or not all(isinstance(v, Decimal) and v > 0 for v in sums):
            continue
        share = float(Decimal(paid.value) / Decimal(lent.value))
        if share < 0.01 and _A_DAY.search(between):
            yield paid.span, [(share * year, share * year) for year in days]
    yield from _instalments(message, money, terms)


def _rounded_by(figure: Figure, message: Message) -> float:
    """How far a rate that is said to be about so much may be off: half of its last place."""
    start, end = message.place(figure.span)
    around = message.bare.text
    number = re.search(r"[0-9]+(?:\.([0-9]+))?%", figure.text)
    if number is None or not (
        _ABOUT.search(around[max(0, start - 4) : start]) or around.startswith("左右", end)
    ):
        return 0.0
    return 0.5 * 10.0 ** -(len(number[1] or "") + 2)


def _instalments(message: Message, money: list[Figure], terms: list[int]) -> Iterator[_Right]:
    """What equal instalments of a stated amount come to, where one term is stated."""
    paid = [f for f in money if _EACH_TIME.search(message.before(f.span))]
    if len(paid) != 1 or len(terms) != 1:
        return
    lent = [f for f in money if f != paid[0] and _PRINCIPAL.search(message.before(f.span))]
    if len(lent) != 1:
        return
    principal, payment, months = float(str(lent[0].value)), float(str(paid[0].value)), terms[0]
    each = _EACH_TIME.search(message.before(paid[0].span))
    if each and "本金" in each.group():
        # An instalment told in its parts is their sum.
        rest = list(_beside(paid[0], money, message))
        if not rest:
            return
        payment += sum(float(str(part.value)) for part in rest)
    if principal <= 0 or payment * months < principal:
        return
    if _FALLING.search(message.text) and _FIRST.search(message.before(paid[0].span)):
        # The first instalment of equal principal: its share of that, and a month's interest.
        interest = 12 * (payment / principal - 1 / months)
        rounded = 12 * ROUNDING_CNY / principal
        yield paid[0].span, [(interest - rounded, interest + rounded)]
        return
    low, high = (
        12 * _monthly_rate(max(payment + rounded, principal / months) / principal, months)
        for rounded in (-ROUNDING_CNY, ROUNDING_CNY)
    )
    yield paid[0].span, [(low, high)]


def _beside(part: Figure, money: list[Figure], message: Message) -> Iterator[Figure]:
    """The prices that follow one after another."""
    for figure in money:
        if figure.span[0] < part.span[1]:
            continue
        between = message.between(part.span, figure.span)
        if len(between) > ASIDE or _SENTENCE_END.search(between) or not _PRICE.search(between):
            return
        yield figure
        part = figure


def _terms(message: Message) -> set[int]:
    """Numbers of months, or of instalments, that the message states."""
    return {
        int(f.value)
        for f in message.figures
        if f.kind == "term"
        and f.unit in ("period", "month")
        and isinstance(f.value, Decimal)
        and 2 <= f.value <= 120
    }


def flat_fee_annual_rate(fee_rate: Decimal, months: int) -> Decimal:
    """Annual rate, 12 times the monthly internal rate, of a fee on the first principal each month.

    fee_rate: fraction of the first principal, paid with each of `months` equal instalments.
    """
    return Decimal(repr(12 * _monthly_rate(1 / months + float(fee_rate), months)))


def _monthly_rate(payment: float, months: int) -> float:
    """The rate at which so many equal payments are worth 1, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        worth = payment * ((1 - (1 + middle) ** -months) / middle if middle else months)
        low, high = (middle, high) if worth > 1 else (low, middle)
    return low


_DOT = r"(?:\.|[\[({【]\.[\])}】])"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LINK = re.compile(
    # With its scheme a link is one whatever its host; without, where its end is known to be one or
    # a path follows.
    r"(?:h(?:tt|xx)ps?://|www\.)(?P<named>[^\s/?#\\\"'<>()（），。；、！？,;!【】“”]+)"
    rf"|(?<![a-z0-9@.-])(?P<bare>(?:{_LABEL}{_DOT})+"
    r"(?:(?:com|cn|net|org|cc|top|xyz|vip|club|shop|site|online|info|app|link|ltd|me|io|ly|hk|tk|co"
    r"|biz|pro|fun|icu|work|live|tech|store|cloud|wang|group|mobi|tv|us|uk|ru|in|ws|to|gg|ink|xin"
    r"|ren|loan|loans|finance|fund|asia|win|bid|press|space|website|host|kim|pub|pw|la|sh|ai|im|ml"
    r"|ga|cf|gq|su|sbs|cfd|cyou|lol|buzz|quest|bond|cam|click|dev|zone|tw|jp|kr|sg|eu|de)"
    r"(?![a-z0-9.@-])|[a-z]{2,24}(?=/))"
    rf"|{_LABEL}。(?:com|cn|net|cc|top|vip|xyz|xin)(?![a-z0-9.@-]))"
    r"|(?P<han>(?<![\u3400-\u9fff])[\u3400-\u9fff]+\.(?:(?:com|cn|net|cc|top|vip|xyz)(?![a-z0-9.@-])"
    r"|(?:中国|公司|网络|网址|在线|商城|集团)(?=/|\s|[,。;!?)\]\"”]|$)))"
    r"|(?<![0-9a-z.])(?P<number>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?=:[0-9]{2,5}|/[a-z0-9])"
)


def links_elsewhere(message: Message) -> Iterator[Span]:
    """Links to hosts that are not among the allowed domains or below one of them.

    Allowed are those of the institution's settings and those said of the message.
    """
    said = (
        message.settings.get("own_domains", ()),
        message.context.get("link_domains_allowed", ()),
    )
    allowed = [
        str(domain).lower().strip(".")
        for domains in said
        for domain in (domains if isinstance(domains, tuple) else ())
    ]
    for match in _LINK.finditer(message.plain.text):
        found = message.plain.origin(*match.span(match.lastgroup or 0))
        # What looks like a host that is allowed may be another: it must be spelt so.
        host = unicodedata.normalize("NFKC", message.text[slice(*found)]).lower()
        # What stands before an @ is no part of the host, however much it looks like one.
        host = host.rpartition("@")[2].partition(":")[0].strip(".").removeprefix("www.")
        # Where a host of Chinese characters begins in a sentence is not seen.
        below = "" if match["han"] else "."
        if not any(host == domain or host.endswith(below + domain) for domain in allowed):
            yield message.plain.origin(*match.span())


_TODAY = re.compile(r"今天|今日|今晚|当日|本日|今夜")
_LEFT = re.compile(r"(?:最后|仅剩|只剩|还剩|剩余?|倒计时|剩下|不足)[^,，。;；]{0,4}$")


def deadline_not_in_campaign(message: Message) -> Iterator[Span]:
    """Last days, and days said to be left, that are not those of the campaign."""
    ends_on: date = message.context["campaign.ends_on"]
    at: datetime | None = message.context.get("at")
    left = None if at is None else (ends_on - at.astimezone(message.zone).date()).days
    for figure in message.figures:
        last = figure.upper or figure.value
        if figure.kind == "date" and not _same_day(str(last), ends_on):
            yield figure.span
        said_left = figure.kind == "term" and figure.unit == "day"
        # On the last day, one day is left, or none.
        wrong = said_left and left is not None and figure.value not in (left, left + 1)
        if wrong and _LEFT.search(message.before(figure.span)):
            yield figure.span
    if left is not None and left != 0:
        for match in _TODAY.finditer(message.bare.text):
            yield message.bare.origin(*match.span())


def stock_not_in_campaign(message: Message) -> Iterator[Span]:
    """Numbers said to be left that are not what the campaign has to give."""
    stock: int = message.context["campaign.stock"]
    for figure in message.figures:
        counted = figure.kind == "count" and _LEFT.search(message.before(figure.span))
        if counted and figure.value != stock:
            yield figure.span


def _same_day(stated: str, day: date) -> bool:
    if stated.startswith("---"):
        return int(stated[3:]) == day.day
    if stated.startswith("--"):
        return f"--{day:%m-%d}".startswith(stated)
    return day.isoformat().startswith(stated)


def amount_differs(message: Message) -> Iterator[Span]:
    """Amounts said to be owed where none of the message's amounts is the one on record."""
    due: Decimal = message.context["amount_due_cny"]
    stated = [f for f in message.figures if message.is_own_money(f)]
    if stated and all(figure.value != due for figure in stated):
        for figure in stated:
            yield figure.span


def personal_numbers(message: Message) -> Iterator[Span]:
    """Numbers of identity documents, bank cards and mobile phones in full."""
    if not privacy.may_hold_numbers(message.text):
        return
    for found in privacy.mask(message.text, privacy.NUMBERS).spans:
        if found.type != "email":
            yield found.start, found.end


CHECK_FUNCTIONS: Mapping[str, Callable[[Message], Iterator[Span]]] = {
    "rates_disagree": rates_disagree,
    "costs_add_up": costs_add_up,
    "links_elsewhere": links_elsewhere,
    "deadline_not_in_campaign": deadline_not_in_campaign,
    "stock_not_in_campaign": stock_not_in_campaign,
    "amount_differs": amount_differs,
    "personal_numbers": personal_numbers,
}
