"""Campaigns as a marketer writes them in knowledge/campaigns/*.toml; docs/campaigns.md tells the
format. A campaign that is wrong in one row is not loaded, nor are the others of its folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from knowledge.chunk import quotable
from knowledge.documents import Clause
from knowledge.lender import SAMPLE, Rate, load_lender, load_rates
from knowledge.terms import Terms, load_terms, stated

from . import loan_math
from .customers import CouponKind
from .loan_math import BadArgument, Loan
from .models import LOCALES, Locale
from .rules import Channel, SettingValue
from .segments import PLAIN, Condition, Op, Segment, SegmentError, Value, read_condition
from .templates import BadTemplate, BadValue, check_value, fill, parse

__all__ = [
    "CHANNELS",
    "PLAIN",
    "SHIPPED",
    "Campaign",
    "CampaignCoupon",
    "CampaignError",
    "Condition",
    "Draw",
    "Op",
    "Prize",
    "Segment",
    "State",
    "Unproven",
    "Value",
    "calendar",
    "coupon_words",
    "figures",
    "load_campaigns",
    "odds_words",
    "read_campaign",
    "running",
    "unproven",
    "worth_cny",
]

_KNOWLEDGE = Path(__file__).parent.parent / "knowledge"
SHIPPED = _KNOWLEDGE / "campaigns"

CHANNELS: tuple[Channel, ...] = (
    "sms",
    "push",
    "in_app",
    "wechat",
    "email",
    "call_script",
    "poster",
)
"""Where an offer may go out; a chat and a call that somebody else began are no place for one."""

State = Literal["not_started", "running", "ended"]

_WORDS = Path(__file__).with_suffix(".toml")


_PLACES = 6
"""Most decimals of a chance or a share: one in a million is said as 0.0001%."""
_CHANCE = f"a chance above 0, at most 1, with {_PLACES} decimals at most"


class CampaignError(Exception):
    """Campaigns cannot be used; each line of the message names file, row and field."""


@dataclass(frozen=True, slots=True)
class CampaignCoupon:
    """A coupon of a campaign; which of the values it has follows from its kind."""

    id: str
    kind: CouponKind
    product: str
    """Product key."""
    valid_from: date
    valid_to: date
    """The last day on which it can be used."""
    stock: int | None
    """How many there are; None: no bound."""
    source: str
    """Source name of the document that says what a coupon of this kind does."""
    quote: str
    """Its sentence that says so."""
    title: Mapping[Locale, str]
    discount: Decimal | None = None
    """Of `rate`: what the annual rate is multiplied by."""
    floor_annual_rate: Decimal | None = None
    """Of `rate`: the discounted rate is not below this; None: no bound."""
    free_days: int | None = None
    """Of `interest_free`."""
    principal_cap_cny: Decimal | None = None
    """Of `interest_free`: principal beyond it bears interest; None: no bound."""
    amount_cny: Decimal | None = None
    """Of `voucher`: taken off the interest of the first instalment, at most that interest."""
    threshold_cny: Decimal | None = None
    """Of `voucher`: what that instalment has to come to; None: no bound."""

    def valid_on(self, day: date) -> bool:
        return self.valid_from <= day <= self.valid_to

    @property
    def used(self) -> loan_math.Coupon:
        """As it is calculated with on a new loan: a voucher on the first instalment."""
        return loan_math.Coupon(
            kind=self.kind,
            discount=self.discount,
            floor_annual_rate=self.floor_annual_rate or Decimal(0),
            free_days=self.free_days,
            principal_cap_cny=self.principal_cap_cny,
            amount_cny=self.amount_cny,
            threshold_cny=self.threshold_cny or Decimal(0),
            term=1 if self.kind == "voucher" else None,
        )


@dataclass(frozen=True, slots=True)
class Prize:
    """What a draw may give."""

    coupon: str
    """Id of one of the campaign's `prize_coupons`."""
    odds: Decimal
    """Published chance of one draw, above 0, at most 1."""
    stock: int


@dataclass(frozen=True, slots=True)
class Draw:
    """A lucky bag or lottery. What the odds leave over wins nothing."""

    id: str
    title: Mapping[Locale, str]
    prizes: tuple[Prize, ...]

    @property
    def nothing(self) -> Decimal:
        """Chance of winning nothing."""
        return 1 - sum((prize.odds for prize in self.prizes), Decimal(0))


@dataclass(frozen=True, slots=True)
class Campaign:
    """An offer to many: what, to whom, when, where."""

    id: str
    title: Mapping[Locale, str]
    idea: Mapping[Locale, str]
    """The brief in a line."""
    product: str
    """Product key; empty: its coupons are of several, and each says its own."""
    starts_on: date
    ends_on: date
    """The last day."""
    budget_cny: Decimal
    coupons: tuple[CampaignCoupon, ...]
    """What is offered to whoever may have it."""
    prize_coupons: tuple[CampaignCoupon, ...]
    """What a draw alone gives."""
    draws: tuple[Draw, ...]
    eligibility: tuple[Condition, ...]
    segments: tuple[Segment, ...]
    channels: tuple[Channel, ...]
    representative: Mapping[str, Loan]
    """Product key -> the loan by which its coupons are weighed."""
    stacking: Literal["one"]
    """A customer is offered one coupon."""
    holdout: Decimal
    """Share of those who may be addressed that gets nothing, to measure by; from 0 to below 1."""
    terms_link: str
    version: str
    """sha256 of what its file says; comments and layout do not count."""

    def state(self, day: date) -> State:
        if day < self.starts_on:
            return "not_started"
        return "running" if day <= self.ends_on else "ended"

    def coupon(self, name: str) -> CampaignCoupon:
        """Raises KeyError."""
        for coupon in (*self.coupons, *self.prize_coupons):
            if coupon.id == name:
                return coupon
        raise KeyError(name)

    def segment(self, name: str) -> Segment:
        """One of its own, or the plain one. Raises KeyError."""
        for segment in (*self.segments, PLAIN):
            if segment.id == name:
                return segment
        raise KeyError(name)

    @property
    def products(self) -> tuple[str, ...]:
        """Keys of the products that its coupons are for, each once, in order of the coupons."""
        return tuple(dict.fromkeys(c.product for c in (*self.coupons, *self.prize_coupons)))


def worth_cny(coupon: CampaignCoupon, loan: Loan, principal_cny: Decimal) -> Decimal:
    """The most that a coupon can be worth to anybody: a voucher what it says, another what it
    saves on so large a loan."""
    if coupon.amount_cny is not None:
        return coupon.amount_cny
    largest = replace(loan, principal_cny=principal_cny)
    return loan_math.use_coupons(loan_math.Couponed(largest, (coupon.used,))).saved_cny


@dataclass(frozen=True, slots=True)
class Unproven:
    """A coupon that the documents in force do not bear out."""

    campaign: str
    coupon: str
    field: Literal["quote", "kind"]
    """`quote`: no clause in force of its source says so word for word; `kind`: no contract signed
    on the day is stated to take a coupon of its kind."""


def unproven(
    campaign: Campaign, terms: Terms | None, clauses: Sequence[Clause], on: date
) -> tuple[Unproven, ...]:
    """Coupons of a campaign that are not to be offered on a day, by the clauses of a release."""
    found = []
    for coupon in (*campaign.coupons, *campaign.prize_coupons):
        said = any(
            clause.source == coupon.source
            and clause.audience == "borrower"
            and clause.in_force(on)
            and coupon.quote in quotable(clause)
            for clause in clauses
        )
        if not said:
            found.append(Unproven(campaign.id, coupon.id, "quote"))
        taken = stated(terms, clauses, "coupon_kinds", product=coupon.product, signed=on, on=on)
        if taken is None or coupon.kind not in taken.term.value.split():
            found.append(Unproven(campaign.id, coupon.id, "kind"))
    return tuple(found)


def running(campaigns: Iterable[Campaign], day: date) -> tuple[Campaign, ...]:
    """Those that run on a day; what ends first, first."""
    found = [campaign for campaign in campaigns if campaign.state(day) == "running"]
    return tuple(sorted(found, key=lambda campaign: (campaign.ends_on, campaign.id)))


def calendar(
    campaigns: Collection[Campaign], first: date, last: date
) -> Mapping[date, tuple[str, ...]]:
    """Each day from the first to the last -> ids of the campaigns that run on it."""
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    return {day: tuple(campaign.id for campaign in running(campaigns, day)) for day in days}


# Wording -------------------------------------------------------------------------------------


def figures(coupon: CampaignCoupon, locale: Locale) -> Mapping[str, str]:
    """A coupon's figures as people read them, by the slots of knowledge/copy/slots.toml; those
    that it does not have are left out."""
    words = _words()["figures"][locale]
    found = {
        "valid_from": _day_words(coupon.valid_from, locale),
        "valid_to": _day_words(coupon.valid_to, locale),
    }
    if coupon.discount is not None:
        tenths, off = coupon.discount * 10, (1 - coupon.discount) * 100
        found["discount"] = words["discount"].format(tenths=_plain(tenths), off=_plain(off))
    if coupon.free_days is not None:
        days = words.get("one_day", words["days"]) if coupon.free_days == 1 else words["days"]
        found["free_days"] = days.format(n=coupon.free_days)
    amounts = {
        "cap": coupon.principal_cap_cny,
        "amount": coupon.amount_cny,
        "threshold": coupon.threshold_cny,
    }
    for slot, amount in amounts.items():
        if amount is not None:
            places = 0 if amount == amount.to_integral_value() else 2
            found[slot] = words["money"].format(amount=f"{amount:,.{places}f}")
    return found


def coupon_words(coupon: CampaignCoupon, locale: Locale) -> str:
    """What a coupon does and until when, in a sentence without its stop."""
    words, said = _words(), dict(figures(coupon, locale))
    if coupon.floor_annual_rate:
        said["floor"] = _percent(coupon.floor_annual_rate)
    if coupon.stock is not None:
        said["stock"] = f"{coupon.stock:,}"
    parts = [words["parts"][part][locale] for part in words["coupons"][coupon.kind]]
    joined = words["joined"][locale]
    text = joined["parts"].join(
        part.format_map(said) for part in parts if set(re.findall(r"\{(\w+)\}", part)) <= set(said)
    )
    return f"{coupon.title[locale]}{joined['title'].format(text=text)}"


def odds_words(campaign: Campaign, draw: Draw, locale: Locale) -> str:
    """Every prize of a draw with its number and odds, and the chance of winning nothing."""
    words = _words()
    said = [
        words["draw"]["prize"][locale].format(
            coupon=campaign.coupon(prize.coupon).title[locale],
            stock=f"{prize.stock:,}",
            odds=_percent(prize.odds),
        )
        for prize in draw.prizes
    ]
    if draw.nothing:
        said.append(words["draw"]["nothing"][locale].format(odds=_percent(draw.nothing)))
    text: str = words["joined"][locale]["prizes"].join(said)
    return text


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _percent(fraction: Decimal) -> str:
    return f"{_plain(fraction * 100)}%"


def _day_words(day: date, locale: Locale) -> str:
    words = _words()["figures"][locale]
    month = words["months"][day.month - 1] if "months" in words else ""
    text: str = words["date"].format(y=day.year, m=day.month, d=day.day, month=month)
    return text


@cache
def _words() -> Mapping[str, Any]:
    return tomllib.loads(_WORDS.read_text(encoding="utf-8"))


# Reading -------------------------------------------------------------------------------------


class _Wrong(Exception):
    """A field is wrong; the message names row and field."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the rows of a campaign are held to."""

    products: Collection[str]
    kinds: Mapping[str, frozenset[str]]
    """Product key -> kinds of coupon that some version of its contract takes."""
    rates: Mapping[str, Rate]
    settings: Mapping[str, SettingValue]


def load_campaigns(
    folder: Path = SHIPPED,
    *,
    lender: Path | None = None,
    settings: Mapping[str, SettingValue] | None = None,
) -> Mapping[str, Campaign]:
    """Every campaign of a folder by its id, in order of their first days; none where it is not
    there.

    lender: the lender file whose products and terms they are held to; the sample's by default.
    settings: of the rule pack; those that are shipped by default.
    Raises CampaignError, LenderFileError.
    """
    known = _known(lender, settings)
    found: dict[str, Campaign] = {}
    problems: list[str] = []
    for file in sorted(folder.glob("*.toml")):
        try:
            campaign = _campaign(_table_of(file), known)
            if campaign.id in found:
                raise _Wrong(f"id: {campaign.id!r} is another campaign's too")
            found[campaign.id] = campaign
        except _Wrong as error:
            problems.append(f"{file.name}: {error}")
    if problems:
        raise CampaignError("\n".join(problems))
    return dict(sorted(found.items(), key=lambda item: (item[1].starts_on, item[0])))


@dataclass(frozen=True, slots=True)
class _Row:
    """A table of a file, and where it stands."""

    where: str
    """Such as `coupons 2 (rate-90)`; empty at the top."""
    values: Mapping[str, Any]

    def wrong(self, field: str, problem: str) -> _Wrong:
        return _Wrong(f"{self.where}: {field}: {problem}" if self.where else f"{field}: {problem}")

    def only(self, *fields: str) -> None:
        for field in self.values:
            if field not in fields:
                raise self.wrong(field, f"unknown; there are {', '.join(fields)}")

    def value(self, field: str) -> Any:
        if field not in self.values:
            raise self.wrong(field, "missing")
        return self.values[field]

    def text(self, field: str) -> str:
        value = self.value(field)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(field, f"expected a text, not {value!r}")
        return value

    def id(self) -> str:
        value = self.text("id")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
            raise self.wrong("id", f"expected small letters, digits and hyphens, not {value!r}")
        return value

    def word(self, field: str, words: Collection[str]) -> Any:
        value = self.value(field)
        if not isinstance(value, str) or value not in words:
            raise self.wrong(field, f"expected one of {', '.join(words)}, not {value!r}")
        return value

    def day(self, field: str) -> date:
        value = self.value(field)
        # A TOML date and time is a date too.
        if type(value) is not date:
            raise self.wrong(field, f"expected a day such as 2027-01-31, not {value!r}")
        return value

    def number(self, field: str, like: str = "") -> Any:
        """As calculations take an argument of the name `like`, else of the field's own."""
        try:
            return loan_math.check(like or field, self.value(field))
        except BadArgument as error:
            raise self.wrong(field, error.words("en")) from None

    def fraction(self, field: str, problem: str) -> Decimal:
        value = self.value(field)
        if type(value) not in (int, Decimal):
            raise self.wrong(field, f"expected {problem}, not {value!r}")
        number = Decimal(value)
        if not number.is_finite() or not 0 <= number <= 1 or number != round(number, _PLACES):
            raise self.wrong(field, f"expected {problem}, not {value}")
        return number

    def count(self, field: str) -> int:
        value = self.value(field)
        if type(value) is not int or value < 1:
            raise self.wrong(field, f"expected a whole number from 1, not {value!r}")
        return value

    def words(self, field: str) -> Mapping[Locale, str]:
        table = self.value(field)
        if not isinstance(table, dict):
            raise self.wrong(field, f"expected a table of {', '.join(LOCALES)}")
        row = _Row(f"{self.where}: {field}" if self.where else field, table)
        row.only(*LOCALES)
        return {locale: row.text(locale) for locale in LOCALES}

    def rows(self, field: str, named: str = "id") -> Iterator[_Row]:
        """Tables of a list, each named by its place and its field `named`."""
        values = self.values.get(field, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise self.wrong(field, f"expected [[{field}]]")
        for place, row in enumerate(values, start=1):
            name = f" ({row[named]})" if isinstance(row.get(named), str) else ""
            where = f"{field} {place}{name}"
            yield _Row(f"{self.where}: {where}" if self.where else where, row)


def _known(lender: Path | None, settings: Mapping[str, SettingValue] | None) -> _Known:
    file = lender or SAMPLE
    products, kinds, rates = _facts(file, file.stat().st_mtime_ns if file.is_file() else 0)
    return _Known(products, kinds, rates, _shipped_settings() if settings is None else settings)


@lru_cache(maxsize=4)
def _facts(
    file: Path, _written: int
) -> tuple[tuple[str, ...], Mapping[str, frozenset[str]], Mapping[str, Rate]]:
    """Products, kinds of coupon and rates of a lender file, read again once it is written anew."""
    kinds: dict[str, frozenset[str]] = {}
    for term in load_terms(file).rows:
        if term.name == "coupon_kinds":
            taken = frozenset(term.value.split())
            kinds[term.product] = kinds.get(term.product, frozenset()) | taken
    return (
        tuple(load_lender(file).products),
        kinds,
        {rate.product: rate for rate in load_rates(file)},
    )


@cache
def _shipped_settings() -> Mapping[str, SettingValue]:
    text = (_KNOWLEDGE / "rules" / "settings.toml").read_text(encoding="utf-8")
    settings: Mapping[str, SettingValue] = tomllib.loads(text, parse_float=Decimal)["cn"]
    return settings


def _table_of(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _Wrong(f"cannot be read ({error})") from error


def _version(table: Mapping[str, Any]) -> str:
    def plain(value: object) -> str:
        # 0.80 and 0.8 are the same figure.
        return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)

    text = json.dumps(table, ensure_ascii=False, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()


_FIELDS = (
    "id",
    "title",
    "idea",
    "starts_on",
    "ends_on",
    "budget_cny",
    "channels",
    "stacking",
    "holdout",
    "terms_link",
    "loans",
    "coupons",
    "prize_coupons",
    "draws",
    "eligibility",
    "segments",
)
_LOAN = ("product", "principal_cny", "annual_rate", "terms", "method", "day_count", "start")
_COUPON = (
    "id",
    "kind",
    "product",
    "valid_from",
    "valid_to",
    "stock",
    "source",
    "quote",
    "title",
)
_OF_KIND: Mapping[CouponKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rate": (("discount",), ("floor_annual_rate",)),
    "interest_free": (("free_days",), ("principal_cap_cny",)),
    "voucher": (("amount_cny",), ("threshold_cny",)),
}
"""Kind of coupon -> fields that it has, and those that it may have."""


def read_campaign(
    table: Mapping[str, Any],
    *,
    lender: Path | None = None,
    settings: Mapping[str, SettingValue] | None = None,
) -> Campaign:
    """One campaign of what a file says, with fractions as Decimal. Raises CampaignError,
    LenderFileError."""
    try:
        return _campaign(table, _known(lender, settings))
    except _Wrong as error:
        raise CampaignError(str(error)) from None


def _campaign(table: Mapping[str, Any], known: _Known) -> Campaign:
    top = _Row("", table)
    top.only(*_FIELDS)
    starts_on, ends_on = top.day("starts_on"), top.day("ends_on")
    if ends_on < starts_on:
        raise top.wrong("ends_on", f"{ends_on} is before starts_on, {starts_on}")
    loans = {
        row.text("product"): _loan(row, known, starts_on) for row in _once(top, "loans", "product")
    }
    _check_alike(top, loans)
    coupons, prize_coupons = (
        tuple(_coupon(row, known, loans, (starts_on, ends_on)) for row in _once(top, name))
        for name in ("coupons", "prize_coupons")
    )
    if not coupons and not table.get("draws"):
        raise top.wrong("coupons", "expected at least one, or a draw")
    both = [coupon.id for coupon in (*coupons, *prize_coupons)]
    for place, row in enumerate(top.rows("prize_coupons")):
        if prize_coupons[place].id in both[: len(coupons)]:
            raise row.wrong("id", f"{prize_coupons[place].id!r} is one of `coupons` too")
    draws = tuple(_draw(row, prize_coupons, loans, known) for row in _once(top, "draws"))
    _check_stock(top, draws, prize_coupons)
    budget_cny = top.number("budget_cny", like="amount_cny")
    _check_budget(top, budget_cny, (*coupons, *prize_coupons), loans)
    products = {coupon.product for coupon in (*coupons, *prize_coupons)}
    campaign = Campaign(
        id=top.id(),
        title=top.words("title"),
        idea=top.words("idea"),
        product=products.pop() if len(products) == 1 else "",
        starts_on=starts_on,
        ends_on=ends_on,
        budget_cny=budget_cny,
        coupons=coupons,
        prize_coupons=prize_coupons,
        draws=draws,
        eligibility=tuple(_condition(row) for row in top.rows("eligibility", "attribute")),
        segments=tuple(_segment(row) for row in _once(top, "segments")),
        channels=_channels(top),
        representative=loans,
        stacking=top.word("stacking", ("one",)),
        holdout=_holdout(top),
        terms_link=_link(top),
        version=_version(table),
    )
    for row, draw in zip(top.rows("draws"), draws, strict=True):
        _check_said(row, campaign, draw)
    return campaign


def _once(top: _Row, field: str, named: str = "id") -> Iterator[_Row]:
    """The rows of a list of which no two have the same name."""
    seen: set[str] = set()
    for row in top.rows(field, named):
        name = row.text(named)
        if name in seen:
            raise row.wrong(named, f"{name!r} is there twice")
        seen.add(name)
        yield row


def _product(row: _Row, known: _Known) -> str:
    product: str = row.word("product", known.products)
    return product


def _loan(row: _Row, known: _Known, starts_on: date) -> Loan:
    row.only(*_LOAN)
    product = _product(row, known)
    try:
        loan = Loan(
            **{"start": starts_on} | {k: v for k, v in row.values.items() if k != "product"}
        )
    except BadArgument as error:
        raise row.wrong(error.field, error.words("en")) from None
    except TypeError:
        missing = {"principal_cny", "method"} - set(row.values)
        raise row.wrong(sorted(missing)[0], "missing") from None
    rate = known.rates.get(product)
    if rate is None:
        raise row.wrong("annual_rate", "the lender file has no [rates] of this product to hold to")
    bounds = [loan_math.check("annual_rate", figure) for figure in (rate.least, rate.most)]
    if not bounds[0] <= loan.yearly <= bounds[1]:
        raise row.wrong("annual_rate", f"expected {rate.least} to {rate.most}, as is advertised")
    return loan


def _check_alike(top: _Row, loans: Mapping[str, Loan]) -> None:
    """What coupons save on them can be compared: as much is borrowed for as long."""
    for row in top.rows("loans", "product"):
        first, loan = next(iter(loans.values())), loans[row.text("product")]
        for field in ("principal_cny", "terms"):
            if getattr(loan, field) != getattr(first, field):
                raise row.wrong(field, f"expected {getattr(first, field)}, as the first loan has")


def _coupon(
    row: _Row, known: _Known, loans: Mapping[str, Loan], within: tuple[date, date]
) -> CampaignCoupon:
    kind: CouponKind = row.word("kind", get_args(CouponKind))
    needed, optional = _OF_KIND[kind]
    row.only(*_COUPON, *needed, *optional)
    product = _product(row, known)
    # A term without a product holds for all of them.
    if not any(kind in known.kinds.get(of, frozenset()) for of in (product, "")):
        raise row.wrong("kind", f"no contract of {product!r} takes a coupon of kind {kind!r}")
    if product not in loans:
        raise row.wrong("product", f"no representative loan in [[loans]] of {product!r}")
    valid_from, valid_to = row.day("valid_from"), row.day("valid_to")
    if valid_to < valid_from:
        raise row.wrong("valid_to", f"{valid_to} is before valid_from, {valid_from}")
    for field, day in (("valid_from", valid_from), ("valid_to", valid_to)):
        if not within[0] <= day <= within[1]:
            raise row.wrong(field, f"{day} is not in the campaign, {within[0]} to {within[1]}")
    values = {
        field: row.number(field)
        for field in (*needed, *optional)
        if field in needed or field in row.values
    }
    if kind == "rate" and not 0 < values["discount"] < 1:
        raise row.wrong("discount", f"expected above 0 and below 1, not {values['discount']}")
    coupon = CampaignCoupon(
        id=row.id(),
        kind=kind,
        product=product,
        valid_from=valid_from,
        valid_to=valid_to,
        stock=row.count("stock") if "stock" in row.values else None,
        source=row.text("source"),
        quote=row.text("quote"),
        title=row.words("title"),
        **values,
    )
    return replace(coupon, title={locale: _title(row, coupon, locale) for locale in LOCALES})


def _title(row: _Row, coupon: CampaignCoupon, locale: Locale) -> str:
    """A title with its slots filled, so that it cannot say another figure than the coupon has."""
    values = figures(coupon, locale)
    try:
        title = fill(parse(coupon.title[locale], figures=False, known=values), values)
        check_value("coupon", title)
        return title
    except (BadTemplate, BadValue) as error:
        raise row.wrong(f"title.{locale}", str(error)) from None


def _draw(
    row: _Row,
    coupons: Sequence[CampaignCoupon],
    loans: Mapping[str, Loan],
    known: _Known,
) -> Draw:
    row.only("id", "title", "prizes")
    largest_cny = _bound(row, known, "credit_line_max_cny")
    most_cny = _bound(row, known, "prize_draw_max_cny")
    by_id = {coupon.id: coupon for coupon in coupons}
    prizes = []
    for prize in _once(row, "prizes", "coupon"):
        prize.only("coupon", "odds", "stock")
        coupon = by_id[prize.word("coupon", by_id)]
        odds = prize.fraction("odds", _CHANCE)
        if not odds:
            raise prize.wrong("odds", f"expected {_CHANCE}")
        worth = worth_cny(coupon, loans[coupon.product], largest_cny)
        if worth > most_cny:
            raise prize.wrong("coupon", f"worth up to {worth} yuan, above {most_cny} yuan a prize")
        prizes.append(Prize(coupon.id, odds, prize.count("stock")))
    if not prizes:
        raise row.wrong("prizes", "expected at least one")
    draw = Draw(row.id(), row.words("title"), tuple(prizes))
    if draw.nothing < 0:
        raise row.wrong("prizes", f"the odds come to {1 - draw.nothing}, above 1")
    return draw


def _bound(row: _Row, known: _Known, name: str) -> Decimal:
    """A setting that prizes are held to; without it there is no draw."""
    value = known.settings.get(name)
    if not isinstance(value, int | Decimal):
        raise row.wrong("prizes", f"the rules have no setting {name} to hold them to")
    return Decimal(value)


def _check_said(row: _Row, campaign: Campaign, draw: Draw) -> None:
    """Prizes and odds have room in a text."""
    for locale in LOCALES:
        try:
            check_value("prizes", odds_words(campaign, draw, locale))
        except BadValue as error:
            raise row.wrong("prizes", f"said in {locale}: {error}") from None


def _check_stock(top: _Row, draws: Sequence[Draw], prize_coupons: Sequence[CampaignCoupon]) -> None:
    """Every prize coupon is drawn, and not more of it than there are."""
    for place, row in enumerate(top.rows("prize_coupons")):
        coupon = prize_coupons[place]
        drawn = sum(p.stock for d in draws for p in d.prizes if p.coupon == coupon.id)
        if not drawn:
            raise row.wrong("id", f"no draw gives {coupon.id!r}")
        if coupon.stock is None:
            raise row.wrong("stock", "missing")
        if drawn > coupon.stock:
            raise row.wrong("stock", f"draws give {drawn}, there are {coupon.stock}")


def _check_budget(
    top: _Row,
    budget_cny: Decimal,
    coupons: Sequence[CampaignCoupon],
    loans: Mapping[str, Loan],
) -> None:
    """What all of the stock saves on representative loans is within the budget."""
    cost = sum(
        (
            coupon.stock * worth_cny(coupon, loan, loan.principal_cny)
            for coupon in coupons
            if coupon.stock is not None
            for loan in [loans[coupon.product]]
        ),
        Decimal(0),
    )
    if cost > budget_cny:
        raise top.wrong("budget_cny", f"the stock comes to {cost} yuan, above {budget_cny}")


def _channels(top: _Row) -> tuple[Channel, ...]:
    value = top.value("channels")
    if not isinstance(value, list) or not value:
        raise top.wrong("channels", f"expected a list of {', '.join(CHANNELS)}")
    for place, channel in enumerate(value):
        if channel not in CHANNELS:
            raise top.wrong("channels", f"expected some of {', '.join(CHANNELS)}, not {channel!r}")
        if channel in value[:place]:
            raise top.wrong("channels", f"{channel!r} is there twice")
    return tuple(value)


def _holdout(top: _Row) -> Decimal:
    holdout = top.fraction("holdout", "a share from 0 to below 1")
    if holdout == 1:
        raise top.wrong("holdout", "expected a share from 0 to below 1")
    return holdout


def _link(top: _Row) -> str:
    link = top.text("terms_link")
    if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(?:/[A-Za-z0-9._~/-]*)?", link):
        raise top.wrong("terms_link", f"expected an address such as https://..., not {link!r}")
    return link


def _condition(row: _Row) -> Condition:
    row.only("attribute", "op", "value")
    try:
        return read_condition(
            row.text("attribute"), row.word("op", get_args(Op)), row.value("value")
        )
    except SegmentError as error:
        field = {"unknown": "attribute", "sensitive": "attribute", "op": "op"}
        raise row.wrong(field.get(error.code, "value"), str(error)) from None


def _segment(row: _Row) -> Segment:
    row.only("id", "title", "conditions")
    name = row.id()
    if name == PLAIN.id:
        raise row.wrong("id", f"{name!r} is the segment without conditions")
    conditions = tuple(_condition(each) for each in row.rows("conditions", "attribute"))
    if not conditions:
        raise row.wrong("conditions", "expected at least one")
    return Segment(name, row.words("title"), conditions)
