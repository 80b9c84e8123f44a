"""Exact arithmetic of loans: instalments, annual rates, settlement, penalties, coupons.

Everything is Decimal. Amounts are in yuan and are rounded half up to the fen where money changes
hands: each interest, each fee, each instalment. The last instalment takes what rounding left. Rates
are fractions (0.144 = 14.4 %). Nothing here knows a lender: what a contract or a rule says is an
argument. Wording stands in loan_math.toml.

    BadArgument        an argument is missing, no number, out of its limits, or does not fit another
      UnknownYear      a day was to be shifted in a year that the calendar of workdays does not know
"""

from __future__ import annotations

import calendar as month_lengths
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

Method = Literal[
    "equal_instalment",
    "equal_principal",
    "interest_only",
    "interest_first",
    "instalment_fee",
    "daily",
]
DayCount = Literal["30/360", "actual/365", "actual/360"]
Shift = Literal["none", "following", "modified_following", "preceding"]
Shifted = Literal["no", "yes", "unknown_year"]
Mode = Literal["shorten_term", "lower_instalment"]
CouponKind = Literal["rate", "interest_free", "voucher"]
Refused = Literal[
    "",
    "exclusive",
    "one_a_loan",
    "one_a_term",
    "threshold",
    "overdue",
    "not_by_day",
    "no_such_term",
    "no_interest",
]
Side = Literal["a", "b", "same"]

FEN = Decimal("0.01")
RATE_STEP = Decimal("0.00000001")
"""Calculated rates are rounded half up to eight decimals, a millionth of a per cent."""
RATE_PLACES = Decimal("0.000000000001")
"""As fine as a rate that is given may be."""
ZERO = Decimal(0)
MOST_RATE = Decimal(1000000)
"""Calculated rates above this, a hundred million per cent, are refused."""

_FILE = Path(__file__).with_suffix(".toml")
_WORKDAYS = Path(__file__).with_name("workdays.toml")
_CONTEXT = Context(prec=50)
_SHOWN_CHARS = 40
_MAX_ITEMS = 400


class BadArgument(Exception):
    """An argument that nothing is calculated from.

    field: its name, with the place in a list or part: `loan.terms`, `coupons.0.kind`.
    code: a row of `problems` in loan_math.toml; values: what its wording is filled with.
    """

    def __init__(self, field: str, code: str, **values: object) -> None:
        self.field = field
        self.code = code
        self.values = {name: str(value) for name, value in values.items()}
        super().__init__(f"{field}: {self.words('en')}")

    def words(self, locale: str) -> str:
        """What is wrong and what is expected, without the field's name."""
        template: str = _tables()["problems"][self.code][locale]
        return template.format(**self.values)

    def within(self, place: str) -> BadArgument:
        """The same, of a part named `place`."""
        self.field = f"{place}.{self.field}"
        self.args = (f"{self.field}: {self.words('en')}",)
        return self


class UnknownYear(BadArgument):
    """The calendar of workdays does not know the year of a day."""


# Arguments -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """What an argument may be."""

    kind: Literal["amount", "rate", "count", "day", "flag", "word"]
    low: Decimal = ZERO
    high: Decimal = ZERO
    """First and last value allowed, of numbers."""
    places: int = 0
    """Most decimals."""
    words: tuple[str, ...] = ()


def _amount(low: str = "0", high: str = "100000000") -> Limits:
    return Limits("amount", Decimal(low), Decimal(high), 2)


def _rate(high: str, low: str = "0") -> Limits:
    return Limits("rate", Decimal(low), Decimal(high), 12)


def _count(low: int, high: int) -> Limits:
    return Limits("count", Decimal(low), Decimal(high))


def _word(of: Any) -> Limits:
    return Limits("word", words=tuple(word for word in get_args(of) if word))


_DAY = Limits("day")
_FLAG = Limits("flag")

LIMITS: Mapping[str, Limits] = {
    "principal_cny": _amount("1"),
    "balance_cny": _amount("0.01"),
    "received_cny": _amount("1"),
    "overdue_principal_cny": _amount("0.01"),
    "overdue_penalty_cny": _amount(),
    "instalment_cny": _amount("0.01"),
    "payment_cny": _amount(),
    "prepaid_cny": _amount("0.01"),
    "upfront_fee_cny": _amount(),
    "term_fee_cny": _amount(),
    "amount_cny": _amount("0.01"),
    "threshold_cny": _amount(),
    "principal_cap_cny": _amount("0.01"),
    "cap_cny": _amount(),
    "annual_rate": _rate("0.99"),
    "daily_rate": _rate("0.0027"),
    "term_fee_rate": _rate("0.1"),
    "penalty_rate": _rate("0.2"),
    "uplift": _rate("2"),
    "cap_annual_rate": _rate("0.99"),
    "floor_annual_rate": _rate("0.99"),
    "discount": _rate("1"),
    "terms": _count(1, 360),
    "months_per_term": _count(1, 12),
    "interest_only_terms": _count(1, 359),
    "first_terms": _count(1, 360),
    "term": _count(1, 360),
    "after_term": _count(0, 359),
    "days": _count(0, 3660),
    "free_days": _count(1, 366),
    "least_days": _count(0, 1),
    "grace_days": _count(0, 90),
    "days_overdue": _count(0, 36600),
    "start": _DAY,
    "first_due": _DAY,
    "until": _DAY,
    "on": _DAY,
    "day": _DAY,
    "due": _DAY,
    "paid": _DAY,
    "method": _word(Method),
    "then": _word(Literal["equal_instalment", "equal_principal"]),
    "day_count": _word(DayCount),
    "accrual": _word(DayCount),
    "shift": _word(Shift),
    "interest_to": _word(Literal["nominal", "shifted"]),
    "unknown_years": _word(Literal["refuse", "unshifted"]),
    "mode": _word(Mode),
    "kind": _word(CouponKind),
    "remaining_fees": _word(Literal["due", "waived"]),
    "grace_charged": _FLAG,
    "overdue": _FLAG,
}
"""Every argument that is no part or list -> what it may be."""

_FIRST_DAY, _LAST_DAY = date(1990, 1, 1), date(2100, 12, 31)


def _number(name: str, value: object, limits: Limits) -> Decimal:
    """A number of amounts, rates and counts. Raises BadArgument."""
    scale = Decimal(1)
    if isinstance(value, str):
        text = value.strip()
        if limits.kind == "rate" and text.endswith(("%", "\uff05")):
            text, scale = text[:-1].strip(), Decimal("0.01")
        # Neither exponents nor grouping: 1,000 is a thousand here and one in half of Europe.
        if len(text) > _SHOWN_CHARS or not re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", text):
            raise BadArgument(name, "not_a_number", value=_shown(value))
        number = Decimal(text)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not number.is_finite():
            raise BadArgument(name, "not_a_number", value=_shown(value))
    else:
        raise BadArgument(name, "not_a_number", value=_shown(value))
    with localcontext(_CONTEXT):
        number = number * scale if scale != 1 else number
        if not limits.low <= number <= limits.high:
            code = "rate_range" if limits.kind == "rate" else "out_of_range"
            raise BadArgument(
                name, code, low=f"{limits.low:f}", high=f"{limits.high:f}", value=_shown(value)
            )
        exponent = number.normalize().as_tuple().exponent
        assert isinstance(exponent, int)
        if -exponent > limits.places:
            code = "too_fine" if limits.places else "not_whole"
            raise BadArgument(name, code, places=limits.places, value=_shown(value))
        return number + ZERO  # minus nought is nought


def _shown(value: object) -> str:
    text = f"{Decimal(value):.6E}" if isinstance(value, int) and abs(value) > 10**30 else str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _read(name: str, value: object) -> Any:
    """An argument as the type its limits name. Raises BadArgument."""
    limits = LIMITS[name]
    if limits.kind in ("amount", "rate", "count"):
        number = _number(name, value, limits)
        return int(number) if limits.kind == "count" else number
    if limits.kind == "day":
        return _read_day(name, value)
    if limits.kind == "flag":
        if not isinstance(value, bool):
            raise BadArgument(name, "not_a_flag", value=_shown(value))
        return value
    if value not in limits.words:
        raise BadArgument(name, "not_a_word", words=", ".join(limits.words), value=_shown(value))
    return value


def _read_day(name: str, value: object) -> date:
    if type(value) is date:
        day = value
    else:
        try:
            if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
                raise ValueError
            day = date.fromisoformat(value)
        except ValueError:
            raise BadArgument(name, "not_a_day", value=_shown(value)) from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise BadArgument(name, "out_of_range", low=_FIRST_DAY, high=_LAST_DAY, value=day)
    return day


def _settle_types(arguments: Any) -> None:
    """Read every argument of a frozen dataclass in place. Raises BadArgument."""
    for argument in fields(arguments):
        value = getattr(arguments, argument.name)
        if argument.name in LIMITS and value is not None:
            object.__setattr__(arguments, argument.name, _read(argument.name, value))


def _in_list(name: str, item: str, values: Iterable[object]) -> list[Any]:
    """The items of a list, each read as the argument `item`. Raises BadArgument."""
    read = []
    for place, value in enumerate(values):
        try:
            read.append(_read(item, value))
        except BadArgument as error:
            error.field = str(place)
            raise error.within(name) from None
    return read


def _need(arguments: Any, *names: str, other: str) -> None:
    """Raise BadArgument for the first that is missing; `other`: what asks for it."""
    for name in names:
        if getattr(arguments, name) is None:
            raise BadArgument(name, "missing_with", other=other)


@dataclass(frozen=True, slots=True)
class Repayment:
    """Principal that is paid back on a day, of a loan with daily interest."""

    day: date
    amount_cny: Decimal

    def __post_init__(self) -> None:
        _settle_types(self)


@dataclass(frozen=True, slots=True)
class Loan:
    """A loan as it is agreed. Raises BadArgument."""

    principal_cny: Decimal
    method: Method
    annual_rate: Decimal | None = None
    """Simple, a year; either this or `daily_rate`."""
    daily_rate: Decimal | None = None
    """Of actual days; the annual rate is so many times it as the day count has days a year."""
    terms: int | None = None
    """Number of instalments; not with method `daily`."""
    months_per_term: int = 1
    interest_only_terms: int | None = None
    """Of `interest_first`: terms in which interest alone is due; left out, all but the last."""
    then: Literal["equal_instalment", "equal_principal"] = "equal_instalment"
    """Of `interest_first`: how the principal is repaid in the terms after that."""
    day_count: DayCount | None = None
    """Left out: `30/360`, or `actual/365` where a daily rate is given."""
    start: date | None = None
    """Day of disbursement; needed for actual days."""
    first_due: date | None = None
    """Left out: the same day of the month, a term after the start."""
    until: date | None = None
    """Of `daily`: the day on which the rest is repaid."""
    repayments: tuple[Repayment, ...] = ()
    """Of `daily`: principal repaid before that."""
    least_days: int = 0
    """Of `daily`: days charged for what is drawn and repaid on one day."""
    shift: Shift = "none"
    """Where a day of payment that is no workday goes."""
    interest_to: Literal["nominal", "shifted"] = "nominal"
    """Whether interest of actual days runs to the day agreed or to the one it was shifted to."""
    unknown_years: Literal["refuse", "unshifted"] = "refuse"
    """What happens to days of payment in years that the calendar does not know."""
    upfront_fee_cny: Decimal = ZERO
    """Paid, or kept back, on the day of disbursement."""
    term_fee_cny: Decimal = ZERO
    """Paid with each instalment."""
    term_fee_rate: Decimal = ZERO
    """Paid with each instalment, as a share of the original principal, whatever was repaid."""

    def __post_init__(self) -> None:
        _settle_types(self)
        by_day = self.daily_rate is not None
        if by_day and self.annual_rate is not None:
            raise BadArgument("daily_rate", "not_with", other="annual_rate")
        if self.method == "instalment_fee":
            for name in ("annual_rate", "daily_rate"):
                if getattr(self, name) is not None:
                    raise BadArgument(name, "not_with", other="method=instalment_fee")
            if not self.term_fee_rate and not self.term_fee_cny and not self.upfront_fee_cny:
                raise BadArgument("term_fee_rate", "missing_with", other="method=instalment_fee")
        elif not by_day and self.annual_rate is None:
            raise BadArgument("annual_rate", "missing")
        if self.day_count is None:
            actual = by_day or self.method == "daily"
            object.__setattr__(self, "day_count", "actual/365" if actual else "30/360")
        if self.day_count == "30/360" and (by_day or self.method == "daily"):
            other = "daily_rate" if by_day else "method=daily"
            raise BadArgument("day_count", "not_with", other=other)
        if self.day_count != "30/360":
            _need(self, "start", other=f"day_count={self.day_count}")
        for name in ("first_due", "until"):
            if getattr(self, name) is not None:
                _need(self, "start", other=name)
        if self.shift != "none":
            _need(self, "start", other="shift")
        if self.upfront_fee_cny >= self.principal_cny:
            raise BadArgument(
                "upfront_fee_cny", "not_below", other="principal_cny", value=self.upfront_fee_cny
            )
        (self._check_daily if self.method == "daily" else self._check_terms)()

    def _check_terms(self) -> None:
        for name in ("until", "repayments", "least_days"):
            if getattr(self, name):
                raise BadArgument(name, "only_with", other="method=daily")
        if self.terms is None:
            raise BadArgument("terms", "missing")
        if self.interest_only_terms is not None:
            if self.method != "interest_first":
                raise BadArgument("interest_only_terms", "only_with", other="method=interest_first")
            if self.interest_only_terms >= self.terms:
                raise BadArgument(
                    "interest_only_terms",
                    "not_below",
                    other="terms",
                    value=self.interest_only_terms,
                )
        if self.start is not None and self.first_due is not None:
            latest = _months_on(self.start, 2 * self.months_per_term)
            if not self.start < self.first_due <= latest:
                raise BadArgument(
                    "first_due",
                    "out_of_range",
                    low=self.start + timedelta(1),
                    high=latest,
                    value=self.first_due,
                )

    def _check_daily(self) -> None:
        for name in ("terms", "interest_only_terms", "first_due"):
            if getattr(self, name) is not None:
                raise BadArgument(name, "not_with", other="method=daily")
        for name in ("term_fee_cny", "term_fee_rate"):
            if getattr(self, name):
                raise BadArgument(name, "not_with", other="method=daily")
        _need(self, "until", other="method=daily")
        assert self.start is not None
        assert self.until is not None
        before, left = self.start, self.principal_cny
        for place, repayment in enumerate(self.repayments):
            left -= repayment.amount_cny
            if not before <= repayment.day <= self.until:
                raise BadArgument(
                    "day", "out_of_range", low=before, high=self.until, value=repayment.day
                ).within(f"repayments.{place}")
            if left <= 0:
                raise BadArgument(
                    "amount_cny", "not_below", other="principal_cny", value=repayment.amount_cny
                ).within(f"repayments.{place}")
            before = repayment.day
        latest = self.start + timedelta(3660)
        if not before <= self.until <= latest:
            raise BadArgument("until", "out_of_range", low=before, high=latest, value=self.until)

    @property
    def yearly(self) -> Decimal:
        """Simple annual rate."""
        if self.daily_rate is not None:
            return self.daily_rate * (360 if self.day_count == "actual/360" else 365)
        return self.annual_rate or ZERO


_CAN_SHORTEN = ("equal_instalment", "equal_principal", "instalment_fee")


def _check_on(loan: Loan, on: date | None) -> None:
    """A day in the life of a loan. Raises BadArgument."""
    if loan.start is None:
        raise BadArgument("loan.start", "missing_with", other="on")
    assert on is not None
    if on < loan.start:
        raise BadArgument("on", "out_of_range", low=loan.start, high=_LAST_DAY, value=on)


@dataclass(frozen=True, slots=True)
class RateOf:
    """What an annual rate is asked of: a loan, or what was received and what is paid each term."""

    loan: Loan | None = None
    received_cny: Decimal | None = None
    instalment_cny: Decimal | None = None
    """The same in each of `terms`; else `payments`."""
    terms: int | None = None
    payments: tuple[Decimal, ...] = ()
    months_per_term: int = 1

    def __post_init__(self) -> None:
        _settle_types(self)
        if self.loan is not None:
            for name in ("received_cny", "instalment_cny", "terms", "payments"):
                if getattr(self, name):
                    raise BadArgument(name, "not_with", other="loan")
            return
        _need(self, "received_cny", other="payments")
        if self.payments:
            for name in ("instalment_cny", "terms"):
                if getattr(self, name) is not None:
                    raise BadArgument(name, "not_with", other="payments")
            if len(self.payments) > _MAX_ITEMS:
                raise BadArgument("payments", "too_many", high=_MAX_ITEMS)
            read = tuple(_in_list("payments", "payment_cny", self.payments))
            object.__setattr__(self, "payments", read)
            if not any(read):
                raise BadArgument("payments", "nothing_repaid")
            return
        _need(self, "instalment_cny", "terms", other="received_cny")


@dataclass(frozen=True, slots=True)
class Settling:
    """An early settlement: of a loan on a day, or of a balance so many days after a due day."""

    loan: Loan | None = None
    on: date | None = None
    balance_cny: Decimal | None = None
    annual_rate: Decimal | None = None
    daily_rate: Decimal | None = None
    days: int | None = None
    """Since the last due day."""
    accrual: DayCount | None = None
    """How interest since the last due day counts days; left out, as the loan does where it counts
    actual days, else `actual/365`."""
    penalty_rate: Decimal = ZERO
    """Charged on the balance for settling early."""
    overdue_penalty_cny: Decimal = ZERO
    """Still unpaid."""
    remaining_fees: Literal["due", "waived"] = "waived"
    """Whether the fees of the terms to come are asked for."""

    def __post_init__(self) -> None:
        _settle_types(self)
        if self.accrual == "30/360":
            raise BadArgument(
                "accrual", "not_a_word", words="actual/365, actual/360", value=self.accrual
            )
        if self.loan is not None:
            for name in ("balance_cny", "annual_rate", "daily_rate", "days"):
                if getattr(self, name) is not None:
                    raise BadArgument(name, "not_with", other="loan")
            _need(self, "on", other="loan")
            _check_on(self.loan, self.on)
            return
        _need(self, "balance_cny", "days", other="balance_cny")
        if self.on is not None:
            raise BadArgument("on", "only_with", other="loan")
        if (self.annual_rate is None) == (self.daily_rate is None):
            code = "missing" if self.annual_rate is None else "not_with"
            raise BadArgument("annual_rate", code, other="daily_rate")


@dataclass(frozen=True, slots=True)
class Prepaying:
    """Principal paid ahead of its time, and what becomes of the instalments after it."""

    loan: Loan
    prepaid_cny: Decimal
    mode: Mode
    on: date | None = None
    after_term: int | None = None
    """On the due day of this term, after its instalment; 0: at once. Either this or `on`."""
    penalty_rate: Decimal = ZERO
    """Charged on the principal prepaid."""

    def __post_init__(self) -> None:
        _settle_types(self)
        if self.loan.method == "daily":
            raise BadArgument("loan.method", "not_with", other="prepaid_cny")
        if self.mode == "shorten_term" and self.loan.method not in _CAN_SHORTEN:
            raise BadArgument("mode", "not_with", other=f"method={self.loan.method}")
        if (self.on is None) == (self.after_term is None):
            code = "missing" if self.on is None else "not_with"
            raise BadArgument("on", code, other="after_term")
        if self.on is not None:
            _check_on(self.loan, self.on)
        assert self.loan.terms is not None
        if self.after_term is not None and self.after_term >= self.loan.terms:
            raise BadArgument("after_term", "not_below", other="loan.terms", value=self.after_term)


@dataclass(frozen=True, slots=True)
class Overdue:
    """Overdue principal, and what the contract says about it."""

    overdue_principal_cny: Decimal
    uplift: Decimal
    """What the penalty rate is above the contract's: 0.3 = 1.3 times."""
    annual_rate: Decimal | None = None
    daily_rate: Decimal | None = None
    due: date | None = None
    paid: date | None = None
    days_overdue: int | None = None
    """From the day after the due day to the day of payment, both included; or `due` and `paid`."""
    grace_days: int = 0
    grace_charged: bool = False
    """Whether days of grace are charged once they have passed without payment."""
    cap_annual_rate: Decimal | None = None
    """The penalty rate is never above this."""
    cap_cny: Decimal | None = None
    """The penalty is never above this."""
    day_count: DayCount = "actual/365"

    def __post_init__(self) -> None:
        _settle_types(self)
        if self.day_count == "30/360":
            raise BadArgument(
                "day_count", "not_a_word", words="actual/365, actual/360", value=self.day_count
            )
        if (self.annual_rate is None) == (self.daily_rate is None):
            code = "missing" if self.annual_rate is None else "not_with"
            raise BadArgument("annual_rate", code, other="daily_rate")
        if self.days_overdue is not None:
            for name in ("due", "paid"):
                if getattr(self, name) is not None:
                    raise BadArgument(name, "not_with", other="days_overdue")
            return
        _need(self, "due", "paid", other="days_overdue")
        assert self.due is not None
        assert self.paid is not None
        if self.paid < self.due:
            raise BadArgument("paid", "out_of_range", low=self.due, high=_LAST_DAY, value=self.paid)


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon as it is printed."""

    kind: CouponKind
    discount: Decimal | None = None
    """Of `rate`: what the annual rate is multiplied by; 0.8 = 20 % off."""
    floor_annual_rate: Decimal = ZERO
    """Of `rate`: the discounted rate is not below this."""
    first_terms: int | None = None
    """Of `rate`: the first terms it holds for; left out, all."""
    free_days: int | None = None
    """Of `interest_free`: days from the start."""
    principal_cap_cny: Decimal | None = None
    """Of `interest_free`: interest on more principal than this is charged."""
    amount_cny: Decimal | None = None
    """Of `voucher`."""
    threshold_cny: Decimal = ZERO
    """Of `voucher`: the instalment must be at least this."""
    term: int | None = None
    """Of `voucher`: the instalment it is used on."""

    def __post_init__(self) -> None:
        _settle_types(self)
        wanted = {"rate": ("discount",), "interest_free": ("free_days",)}
        _need(self, *wanted.get(self.kind, ("amount_cny", "term")), other=f"kind={self.kind}")


@dataclass(frozen=True, slots=True)
class Couponed:
    """A loan and the coupons that a borrower would use on it, in this order."""

    loan: Loan
    coupons: tuple[Coupon, ...]
    overdue: bool = False

    def __post_init__(self) -> None:
        _settle_types(self)
        if not self.coupons:
            raise BadArgument("coupons", "missing")


@dataclass(frozen=True, slots=True)
class Compared:
    """Two loans."""

    a: Loan
    b: Loan


# Results -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instalment:
    """One row of the table."""

    term: int
    due: date | None
    days: int | None
    """Actual days since the row before, where dates are known."""
    principal_cny: Decimal
    interest_cny: Decimal
    fee_cny: Decimal
    total_cny: Decimal
    balance_cny: Decimal
    """Principal that is left."""
    shifted: Shifted = "no"
    """Whether `due` is another day than the one agreed, because that is no workday."""
    saved_cny: Decimal = ZERO
    """What coupons took off the interest."""


@dataclass(frozen=True, slots=True)
class Basis:
    """How a result came about: codes of `formulas`, `conventions` and `sources`."""

    formulas: tuple[str, ...]
    conventions: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnnualRate:
    """What borrowing costs a year."""

    simple_annual_rate: Decimal
    compound_annual_rate: Decimal
    measured: Literal["terms", "days"]
    """`terms`: IRR of equal terms, times their number a year (simple) or compounded over a year.
    `days`: cost over the principal in use times its days, times 365 (simple); IRR of the dated
    payments, a year of 365 days (compound)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is paid when, and what that costs."""

    inputs: Loan
    basis: Basis
    received_cny: Decimal
    """Principal less fees on the day of disbursement."""
    interest_cny: Decimal
    fees_cny: Decimal
    cost_cny: Decimal
    """Interest and fees: everything paid beside the principal."""
    repaid_cny: Decimal
    """Principal, interest and fees."""
    annual: AnnualRate | None
    """None where no time passes between what is received and what is repaid."""
    instalments: tuple[Instalment, ...]


@dataclass(frozen=True, slots=True)
class Rated:
    inputs: RateOf
    basis: Basis
    received_cny: Decimal
    repaid_cny: Decimal
    """All payments after the first day."""
    cost_cny: Decimal
    annual: AnnualRate | None
    """None where no time passes between what is received and what is repaid."""


@dataclass(frozen=True, slots=True)
class Settled:
    inputs: Settling
    basis: Basis
    paid_terms: int | None
    """Instalments due up to that day, that of the day itself included; they are taken as paid."""
    balance_cny: Decimal
    interest_cny: Decimal
    """Since the last due day."""
    days: int
    penalty_cny: Decimal
    overdue_penalty_cny: Decimal
    fees_cny: Decimal
    total_cny: Decimal
    saved_cny: Decimal | None
    """Interest and fees of the instalments to come, less what settling costs beside the balance."""


@dataclass(frozen=True, slots=True)
class Prepaid:
    inputs: Prepaying
    basis: Basis
    paid_terms: int
    prepaid_cny: Decimal
    interest_cny: Decimal
    """On the principal prepaid, by actual days since the last due day."""
    penalty_cny: Decimal
    total_cny: Decimal
    """What is paid on the day."""
    saved_cny: Decimal
    """Cost of the loan as agreed, less its cost with the prepayment."""
    terms_before: int
    terms_after: int
    next_instalment_before_cny: Decimal
    next_instalment_cny: Decimal
    instalments: tuple[Instalment, ...]
    """From the next term on."""


@dataclass(frozen=True, slots=True)
class Penalty:
    inputs: Overdue
    basis: Basis
    contract_annual_rate: Decimal
    penalty_annual_rate: Decimal
    rate_capped: bool
    days_overdue: int
    charged_days: int
    within_grace: bool
    amount_capped: bool
    penalty_cny: Decimal


@dataclass(frozen=True, slots=True)
class Use:
    """What one coupon did."""

    coupon: Coupon
    saved_cny: Decimal
    refused: Refused = ""


@dataclass(frozen=True, slots=True)
class CouponsUsed:
    inputs: Couponed
    basis: Basis
    uses: tuple[Use, ...]
    discounted_annual_rate: Decimal | None
    saved_cny: Decimal
    cost_before_cny: Decimal
    cost_cny: Decimal
    repaid_cny: Decimal
    annual: AnnualRate | None
    """None where no time passes between what is received and what is repaid."""
    instalments: tuple[Instalment, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    inputs: Compared
    basis: Basis
    a: Schedule
    b: Schedule
    cost_difference_cny: Decimal
    """Cost of a less cost of b."""
    simple_rate_difference: Decimal | None
    """None where either has none."""
    less_cost: Side
    lower_rate: Side | None
    """By the simple annual rate; it may be another one than that which costs less."""


Result = Schedule | Rated | Settled | Prepaid | Penalty | CouponsUsed | Comparison


# Days ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Calendar:
    """Workdays of the years that it knows."""

    off: frozenset[date]
    on: frozenset[date]
    """Days of weekends that are worked."""
    years: frozenset[int]

    def is_workday(self, day: date) -> bool:
        """Raises UnknownYear."""
        if day.year not in self.years:
            known = f"{min(self.years)}-{max(self.years)}" if self.years else "-"
            raise UnknownYear("shift", "unknown_year", year=day.year, known=known)
        return day in self.on or (day.weekday() < 5 and day not in self.off)


@cache
def load_calendar(file: Path = _WORKDAYS) -> Calendar:
    """The calendar of a TOML file in the form of workdays.toml. Raises ValueError."""
    years = tomllib.loads(file.read_text(encoding="utf-8"))["years"]
    off: set[date] = set()
    on: set[date] = set()
    for year, row in years.items():
        for first, last in (map(date.fromisoformat, pair) for pair in row["off"]):
            off.update(first + timedelta(n) for n in range((last - first).days + 1))
        on.update(map(date.fromisoformat, row["on"]))
        strays = {day.year for day in (*off, *on)} - set(map(int, years))
        if strays:
            raise ValueError(f"{file.name}: years.{year} has days of {strays}")
    return Calendar(frozenset(off), frozenset(on), frozenset(map(int, years)))


def shift_day(day: date, shift: Shift, calendar: Calendar) -> date:
    """The workday on which is paid what is due on `day`. Raises UnknownYear."""
    if shift == "none" or calendar.is_workday(day):
        return day

    def step(days: int) -> date:
        moved = day
        while not calendar.is_workday(moved):
            moved += timedelta(days)
        return moved

    if shift == "preceding":
        return step(-1)
    later = step(1)
    return step(-1) if shift == "modified_following" and later.month != day.month else later


def _months_on(day: date, months: int, day_of_month: int = 0) -> date:
    """The same day so many months on, or the month's last where it has no such day."""
    count = day.year * 12 + day.month - 1 + months
    year, month = count // 12, count % 12 + 1
    last = month_lengths.monthrange(year, month)[1]
    return date(year, month, min(day_of_month or day.day, last))


def _days_30(first: date, last: date) -> int:
    """Days of months that have thirty each (30E/360)."""
    months = (last.year - first.year) * 12 + last.month - first.month
    return months * 30 + min(last.day, 30) - min(first.day, 30)


@dataclass(frozen=True, slots=True)
class _Term:
    due: date | None
    """The day of payment, shifted."""
    counted: date | None
    """The day to which interest is counted."""
    days: int | None
    share: tuple[int, int]
    """Of a year, as numerator and denominator."""
    shifted: Shifted


def _terms(loan: Loan, calendar: Calendar | None) -> list[_Term]:
    """The terms of a loan that is repaid in instalments. Raises UnknownYear."""
    assert loan.terms is not None
    months = loan.months_per_term
    regular = (months, 12)
    if loan.start is None:
        return [_Term(None, None, None, regular, "no") for _ in range(loan.terms)]
    first = loan.first_due or _months_on(loan.start, months)
    anchor = (loan.first_due or loan.start).day
    terms: list[_Term] = []
    before_agreed = before_paid = counted_from = loan.start
    for number in range(loan.terms):
        agreed = _months_on(first, number * months, anchor)
        paid, shifted = _shifted(agreed, loan, calendar)
        counted = paid if loan.interest_to == "shifted" else agreed
        if loan.day_count == "30/360":
            stub = number == 0 and agreed != _months_on(loan.start, months)
            share = (_days_30(before_agreed, agreed), 360) if stub else regular
        else:
            share = ((counted - counted_from).days, 360 if loan.day_count == "actual/360" else 365)
        terms.append(_Term(paid, counted, (paid - before_paid).days, share, shifted))
        before_agreed, before_paid, counted_from = agreed, paid, counted
    return terms


def _shifted(day: date, loan: Loan, calendar: Calendar | None) -> tuple[date, Shifted]:
    if loan.shift == "none":
        return day, "no"
    try:
        paid = shift_day(day, loan.shift, calendar or load_calendar())
    except UnknownYear:
        if loan.unknown_years == "refuse":
            raise
        return day, "unknown_year"
    return paid, "yes" if paid != day else "no"


# Schedules -----------------------------------------------------------------------------------


def fen(amount: Decimal) -> Decimal:
    """Rounded half up to the fen."""
    return amount.quantize(FEN, ROUND_HALF_UP)


def _rate_rounded(rate: Decimal) -> Decimal:
    """Raises BadArgument where what is paid is no price for what was received."""
    if rate > MOST_RATE:
        raise BadArgument("annual_rate", "absurd_result", high=f"{MOST_RATE:f}")
    return rate.quantize(RATE_STEP, ROUND_HALF_UP)


Share = tuple[int, int]
Parts = list[tuple[Decimal, Decimal]]
"""Principal and interest of each term."""


def _interest(balance: Decimal, yearly: Decimal, share: Share) -> Decimal:
    """Multiplied first and divided once: a tie at half a fen is then exact."""
    return fen(balance * yearly * share[0] / share[1])


def _level(balance: Decimal, yearly: Decimal, shares: Sequence[Share]) -> Decimal:
    """The instalment that is the same in every term: balance over the sum of discounts."""
    discount, discounts = Decimal(1), ZERO
    for numerator, denominator in shares:
        discount /= 1 + yearly * numerator / denominator
        discounts += discount
    return fen(balance / discounts)


def _run(
    balance: Decimal,
    yearly: Decimal,
    shares: Sequence[Share],
    principal_of: Callable[[Decimal], Decimal],
) -> Parts:
    """Terms whose principal follows from their interest; the last takes all that is left."""
    parts: Parts = []
    for number, share in enumerate(shares, start=1):
        interest = _interest(balance, yearly, share)
        wanted = min(max(principal_of(interest), ZERO), balance)
        principal = balance if number == len(shares) else wanted
        parts.append((principal, interest))
        balance -= principal
    return parts


def _equal_instalment(balance: Decimal, yearly: Decimal, shares: Sequence[Share]) -> Parts:
    instalment = _level(balance, yearly, shares)
    return _run(balance, yearly, shares, lambda interest: instalment - interest)


def _equal_principal(balance: Decimal, yearly: Decimal, shares: Sequence[Share]) -> Parts:
    part = fen(balance / len(shares))
    return _run(balance, yearly, shares, lambda interest: part)


def _interest_only(balance: Decimal, yearly: Decimal, shares: Sequence[Share]) -> Parts:
    return _run(balance, yearly, shares, lambda interest: ZERO)


Amortise = Callable[[Decimal, Decimal, Sequence[Share]], Parts]

_AMORTISE: Mapping[str, Amortise] = {
    "equal_instalment": _equal_instalment,
    "equal_principal": _equal_principal,
    "interest_only": _interest_only,
    "instalment_fee": _equal_principal,
}


def _parts(
    loan: Loan, balance: Decimal, yearly: Decimal, shares: Sequence[Share], gone: int = 0
) -> Parts:
    """gone: terms that have passed before the first of `shares`."""
    if loan.method != "interest_first":
        return _AMORTISE[loan.method](balance, yearly, shares)
    assert loan.terms is not None
    whole = loan.interest_only_terms or loan.terms - 1
    bare = min(max(whole - gone, 0), len(shares) - 1)
    first = [(ZERO, _interest(balance, yearly, share)) for share in shares[:bare]]
    return first + _AMORTISE[loan.then](balance, yearly, shares[bare:])


def _rows(
    loan: Loan, balance: Decimal, terms: Sequence[_Term], parts: Parts, gone: int = 0
) -> tuple[Instalment, ...]:
    fee = fen(loan.principal_cny * loan.term_fee_rate) + loan.term_fee_cny
    rows = []
    for number, (term, (principal, interest)) in enumerate(
        zip(terms, parts, strict=True), start=gone + 1
    ):
        balance -= principal
        total = principal + interest + fee
        rows.append(
            Instalment(
                number, term.due, term.days, principal, interest, fee, total, balance, term.shifted
            )
        )
    return tuple(rows)


def _daily_rows(loan: Loan, calendar: Calendar | None) -> tuple[Instalment, ...]:
    """The start counts, the day of repayment does not."""
    assert loan.start is not None
    assert loan.until is not None
    year = 360 if loan.day_count == "actual/360" else 365
    last, shifted = _shifted(loan.until, loan, calendar)
    # Not back behind what was paid before it.
    last = max(last, loan.start, *(repayment.day for repayment in loan.repayments))
    balance, before, counted_from = loan.principal_cny, loan.start, loan.start
    paid = sum((repayment.amount_cny for repayment in loan.repayments), ZERO)
    moves: list[tuple[date, date, Decimal, Shifted]] = [
        (r.day, r.day, r.amount_cny, "no") for r in loan.repayments
    ]
    counted_to = last if loan.interest_to == "shifted" else loan.until
    moves.append((last, counted_to, balance - paid, shifted))
    rows = []
    for number, (day, counted, principal, moved) in enumerate(moves, start=1):
        days = (counted - counted_from).days
        charged = max(days, loan.least_days) if counted == loan.start else days
        interest = _interest(balance, loan.yearly, (charged, year))
        balance -= principal
        total = principal + interest
        rows.append(
            Instalment(
                number, day, (day - before).days, principal, interest, ZERO, total, balance, moved
            )
        )
        before, counted_from = day, counted
    return tuple(rows)


def schedule(loan: Loan, calendar: Calendar | None = None) -> Schedule:
    """What is paid when. Raises UnknownYear, unless the loan leaves such days unshifted."""
    with localcontext(_CONTEXT):
        if loan.method == "daily":
            return _summed(loan, _daily_rows(loan, calendar))
        terms = _terms(loan, calendar)
        parts = _parts(loan, loan.principal_cny, loan.yearly, [term.share for term in terms])
        return _summed(loan, _rows(loan, loan.principal_cny, terms, parts))


def _summed(loan: Loan, rows: tuple[Instalment, ...]) -> Schedule:
    interest = sum((row.interest_cny for row in rows), ZERO)
    fees = sum((row.fee_cny for row in rows), loan.upfront_fee_cny)
    return Schedule(
        inputs=loan,
        basis=_basis_of(loan, rows),
        received_cny=loan.principal_cny - loan.upfront_fee_cny,
        interest_cny=interest,
        fees_cny=fees,
        cost_cny=interest + fees,
        repaid_cny=loan.principal_cny + interest + fees,
        annual=_annual_of(loan, rows),
        instalments=rows,
    )


def _basis_of(loan: Loan, rows: Sequence[Instalment]) -> Basis:
    conventions = ["half_up", "last_absorbs", f"day_count_{loan.day_count}"]
    if loan.start is not None and loan.method != "daily":
        conventions.append("month_end")
    if loan.method == "daily":
        conventions[1:2] = ["first_day_counts"]
    if loan.shift != "none":
        counted_to = "nominal" if loan.day_count == "30/360" else loan.interest_to
        conventions += [f"shift_{loan.shift}", f"interest_to_{counted_to}"]
    if any(row.shifted == "unknown_year" for row in rows):
        conventions.append("unknown_year")
    formulas = [loan.method, *(["fees"] if loan.upfront_fee_cny or rows[0].fee_cny else [])]
    measured = "days" if _by_days(loan) else "terms"
    return Basis(
        (*formulas, "total_cost", f"annual_{measured}"),
        tuple(conventions),
        ("contract", "annual_rate_rule"),
    )


# Annual rates --------------------------------------------------------------------------------


def irr(received: Decimal, payments: Sequence[Decimal]) -> Decimal:
    """Rate a term at which the payments, one at the end of each, are worth what was received.

    Payments are not negative and not all nought; the rate is negative where they are less than
    what was received. Exact to 30 digits.
    """
    with localcontext(_CONTEXT):
        return 1 / _discount(received, enumerate(payments, 1)) - 1


def _discount(received: Decimal, payments: Iterable[tuple[int, Decimal]]) -> Decimal:
    """The factor v > 0 with the sum of payment * v**n = received, and n rising.

    The sum rises and is convex in v, so that Newton's steps from above never pass the root. Each
    payment alone would need a greater factor than all of them: the least of those is above it.
    """
    paid = [(n, amount) for n, amount in payments if amount]
    least = min(math.log(received / amount) / n for n, amount in paid)
    if sum(amount for _, amount in paid) >= received:
        least = min(least, 0)
    v = Decimal(math.exp(least)) * Decimal("1.000000001")

    def value(at: Decimal) -> tuple[Decimal, Decimal]:
        total = slope = ZERO
        power, before = Decimal(1), 0
        gaps: dict[int, Decimal] = {}
        for n, amount in paid:
            gap = n - before
            if gap not in gaps:
                gaps[gap] = at**gap
            power, before = power * gaps[gap], n
            total += amount * power
            slope += amount * power * n
        return total - received, slope / at

    while True:
        over, slope = value(v)
        step = over / slope
        if step < v * Decimal("1e-32"):
            return v
        v -= step


def xirr(received: Decimal, start: date, payments: Iterable[tuple[date, Decimal]]) -> Decimal:
    """Compound rate a year of 365 days at which dated payments are worth what was received.

    Payments as `irr` takes them, after the start, in order of time.
    """
    with localcontext(_CONTEXT):
        daily = _discount(received, [((day - start).days, paid) for day, paid in payments])
        return (1 / daily) ** 365 - 1


def _by_days(loan: Loan) -> bool:
    """Whether the terms of a loan are not all alike."""
    return loan.method == "daily" or (
        loan.first_due is not None
        and loan.start is not None
        and loan.first_due != _months_on(loan.start, loan.months_per_term)
    )


def _annual_of(loan: Loan, rows: Sequence[Instalment]) -> AnnualRate | None:
    received = loan.principal_cny - loan.upfront_fee_cny
    if not _by_days(loan):
        return _annual_by_terms(received, [row.total_cny for row in rows], loan.months_per_term)
    assert loan.start is not None
    # Of what is left, as large a part was never received as of the principal.
    in_use = sum(((row.balance_cny + row.principal_cny) * (row.days or 0) for row in rows), ZERO)
    in_use = in_use * received / loan.principal_cny
    cost = sum((row.total_cny for row in rows), -received)
    payments = [(row.due, row.total_cny) for row in rows if row.due is not None]
    received -= sum((paid for day, paid in payments if day == loan.start), ZERO)
    later = [(day, paid) for day, paid in payments if day != loan.start]
    if not later or received <= 0:
        return None
    compound = xirr(received, loan.start, later)
    return AnnualRate(_rate_rounded(cost * 365 / in_use), _rate_rounded(compound), "days")


def _annual_by_terms(
    received: Decimal, payments: Sequence[Decimal], months_per_term: int
) -> AnnualRate:
    with localcontext(_CONTEXT):
        rate = irr(received, payments)
        per_year = Decimal(12) / months_per_term
        simple = rate * per_year
        compound = (1 + rate) ** per_year - 1
        return AnnualRate(_rate_rounded(simple), _rate_rounded(compound), "terms")


def annual_rate(asked: RateOf) -> Rated:
    """What borrowing costs a year, all interest and fees included."""
    if asked.loan is not None:
        costed = schedule(asked.loan)
        basis = replace(costed.basis, formulas=costed.basis.formulas[-1:])
        received, repaid, annual = costed.received_cny, costed.repaid_cny, costed.annual
        repaid -= asked.loan.upfront_fee_cny
    else:
        assert asked.received_cny is not None
        payments = asked.payments or (asked.instalment_cny or ZERO,) * (asked.terms or 0)
        received, repaid = asked.received_cny, sum(payments, ZERO)
        annual = _annual_by_terms(received, payments, asked.months_per_term)
        basis = Basis(("annual_terms",), (), ("annual_rate_rule",))
    return Rated(asked, basis, received, repaid, repaid - received, annual)


# Before its time -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where a loan stands on a day."""

    paid: int
    """Instalments due by then, taken as paid."""
    balance: Decimal
    since: date
    """From when interest is not yet paid."""


def _standing(loan: Loan, whole: Schedule, on: date, calendar: Calendar | None) -> _Standing:
    """Raises BadArgument for a day on which the loan is over."""
    rows = whole.instalments
    paid = sum(1 for row in rows if row.due is not None and row.due <= on)
    assert loan.start is not None
    if paid == len(rows):
        last = rows[-1].due
        raise BadArgument("on", "not_below", other=f"{last}", value=on)
    balance = rows[paid - 1].balance_cny if paid else loan.principal_cny
    if loan.method == "daily":
        since = (rows[paid - 1].due if paid else None) or loan.start
    else:
        since = (_terms(loan, calendar)[paid - 1].counted if paid else None) or loan.start
    return _Standing(paid, balance, since)


def settle(asked: Settling, calendar: Calendar | None = None) -> Settled:
    """What is due to settle early. Raises BadArgument for a day on which the loan is over."""
    accrual = asked.accrual or "actual/365"
    paid_terms = saved = None
    with localcontext(_CONTEXT):
        fees = coming = ZERO
        if asked.loan is None:
            assert asked.balance_cny is not None
            assert asked.days is not None
            balance, days = asked.balance_cny, asked.days
            year = 360 if accrual == "actual/360" else 365
            yearly = (
                asked.daily_rate * year if asked.daily_rate is not None else asked.annual_rate
            ) or ZERO
        else:
            assert asked.on is not None
            whole = schedule(asked.loan, calendar)
            standing = _standing(asked.loan, whole, asked.on, calendar)
            paid_terms, balance = standing.paid, standing.balance
            days = max((asked.on - standing.since).days, 0)
            if asked.loan.method == "daily" and asked.on == asked.loan.start:
                days = max(days, asked.loan.least_days)
            if asked.accrual is None and asked.loan.day_count != "30/360":
                accrual = asked.loan.day_count or accrual
            year = 360 if accrual == "actual/360" else 365
            yearly = asked.loan.yearly
            rest = whole.instalments[paid_terms:]
            coming = sum((row.interest_cny + row.fee_cny for row in rest), ZERO)
            if asked.remaining_fees == "due":
                fees = sum((row.fee_cny for row in rest), ZERO)
        interest = _interest(balance, yearly, (days, year))
        penalty = fen(balance * asked.penalty_rate)
        if asked.loan is not None:
            saved = coming - interest - penalty - fees
        return Settled(
            inputs=asked,
            basis=Basis(
                ("settle",), ("half_up", f"day_count_{accrual}", "due_day_paid"), ("contract",)
            ),
            paid_terms=paid_terms,
            balance_cny=balance,
            interest_cny=interest,
            days=days,
            penalty_cny=penalty,
            overdue_penalty_cny=asked.overdue_penalty_cny,
            fees_cny=fees,
            total_cny=balance + interest + penalty + asked.overdue_penalty_cny + fees,
            saved_cny=saved,
        )


def prepay(asked: Prepaying, calendar: Calendar | None = None) -> Prepaid:
    """What becomes of a loan when principal is paid ahead.

    Interest on what is prepaid is charged by actual days; the rest of the term is charged on the
    rest of the principal. Raises BadArgument.
    """
    loan = asked.loan
    with localcontext(_CONTEXT):
        whole = schedule(loan, calendar)
        rows, days = whole.instalments, 0
        if asked.on is not None:
            standing = _standing(loan, whole, asked.on, calendar)
            gone, balance = standing.paid, standing.balance
            days = max((asked.on - standing.since).days, 0)
        else:
            gone = asked.after_term or 0
            balance = rows[gone - 1].balance_cny if gone else loan.principal_cny
        if asked.prepaid_cny >= balance:
            raise BadArgument(
                "prepaid_cny", "not_below", other=f"{balance:.2f}", value=asked.prepaid_cny
            )
        year = 360 if loan.day_count == "actual/360" else 365
        interest = _interest(asked.prepaid_cny, loan.yearly, (days, year))
        penalty = fen(asked.prepaid_cny * asked.penalty_rate)
        terms = _terms(loan, calendar)
        left, shares = balance - asked.prepaid_cny, [term.share for term in terms]
        if asked.mode == "lower_instalment":
            parts = _parts(loan, left, loan.yearly, shares[gone:], gone)
        else:
            parts = _shortened(loan, left, shares, gone)
        rest = _rows(loan, left, terms[gone : gone + len(parts)], parts, gone)
        before = sum((row.interest_cny + row.fee_cny for row in rows[gone:]), ZERO)
        after = sum((row.interest_cny + row.fee_cny for row in rest), interest + penalty)
        method = "" if asked.mode == "shorten_term" else f"{loan.method}"
        return Prepaid(
            inputs=asked,
            basis=Basis(
                tuple(filter(None, ("prepay", asked.mode, method))),
                (*_basis_of(loan, rest).conventions, "due_day_paid"),
                ("contract",),
            ),
            paid_terms=gone,
            prepaid_cny=asked.prepaid_cny,
            interest_cny=interest,
            penalty_cny=penalty,
            total_cny=asked.prepaid_cny + interest + penalty,
            saved_cny=before - after,
            terms_before=len(rows),
            terms_after=gone + len(rest),
            next_instalment_before_cny=rows[gone].total_cny,
            next_instalment_cny=rest[0].total_cny,
            instalments=rest,
        )


def _shortened(loan: Loan, left: Decimal, shares: Sequence[Share], gone: int) -> Parts:
    """The instalment, or its principal, stays what it was until nothing is left."""
    if loan.method == "equal_instalment":
        instalment = _level(loan.principal_cny, loan.yearly, shares)
        parts = _run(left, loan.yearly, shares[gone:], lambda interest: instalment - interest)
    else:
        part = fen(loan.principal_cny / len(shares))
        parts = _run(left, loan.yearly, shares[gone:], lambda interest: part)
    kept: Parts = []
    for principal, interest in parts:
        kept.append((principal, interest))
        left -= principal
        if not left:
            break
    return kept


# Late ----------------------------------------------------------------------------------------


def overdue_penalty(asked: Overdue) -> Penalty:
    """The penalty on overdue principal; nothing compounds."""
    with localcontext(_CONTEXT):
        year = 360 if asked.day_count == "actual/360" else 365
        yearly = asked.daily_rate * year if asked.daily_rate is not None else asked.annual_rate
        assert yearly is not None
        rate = yearly * (1 + asked.uplift)
        capped = asked.cap_annual_rate is not None and rate > asked.cap_annual_rate
        if asked.cap_annual_rate is not None:
            rate = min(rate, asked.cap_annual_rate)
        if asked.days_overdue is not None:
            days = asked.days_overdue
        else:
            assert asked.due is not None
            assert asked.paid is not None
            days = (asked.paid - asked.due).days
        within = days <= asked.grace_days
        charged = 0 if within else days - (0 if asked.grace_charged else asked.grace_days)
        penalty = _interest(asked.overdue_principal_cny, rate, (charged, year))
        amount_capped = asked.cap_cny is not None and penalty > asked.cap_cny
        grace = "grace_charged" if asked.grace_charged else "grace_free"
        return Penalty(
            inputs=asked,
            basis=Basis(
                ("overdue",),
                ("half_up", f"day_count_{asked.day_count}", grace, "no_compounding"),
                ("contract",),
            ),
            contract_annual_rate=yearly,
            penalty_annual_rate=rate,
            rate_capped=capped,
            days_overdue=days,
            charged_days=charged,
            within_grace=within,
            amount_capped=amount_capped,
            penalty_cny=min(penalty, asked.cap_cny) if asked.cap_cny is not None else penalty,
        )


# Coupons -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Couponing:
    """A loan while coupons are used on it, one after the other."""

    loan: Loan
    rows: list[Instalment]
    charged: list[int]
    """Days of interest of each row."""
    overdue: bool
    calendar: Calendar | None
    yearly: Decimal
    used: list[Coupon] = field(default_factory=list)
    discounted: Decimal | None = None

    @property
    def interest_cny(self) -> Decimal:
        return sum((row.interest_cny for row in self.rows), ZERO)

    def charge(self, place: int, interest: Decimal) -> None:
        row = self.rows[place]
        saved = row.interest_cny - interest
        self.rows[place] = replace(
            row,
            interest_cny=interest,
            total_cny=row.total_cny - saved,
            saved_cny=row.saved_cny + saved,
        )


def _use_rate(state: _Couponing, coupon: Coupon) -> Refused:
    assert coupon.discount is not None
    if not state.yearly:
        return "no_interest"
    reduced = max(state.yearly * coupon.discount, coupon.floor_annual_rate)
    state.discounted = min(state.yearly, reduced).quantize(RATE_PLACES, ROUND_HALF_UP)
    loan = state.loan
    if coupon.first_terms is not None and coupon.first_terms < len(state.rows):
        # The principal of each term stays: what the coupon takes off is interest alone.
        terms = _terms(loan, state.calendar)
        for place in range(coupon.first_terms):
            row = state.rows[place]
            before = row.balance_cny + row.principal_cny
            state.charge(place, _interest(before, state.discounted, terms[place].share))
        return ""
    cheaper = replace(loan, annual_rate=state.discounted, daily_rate=None, day_count=loan.day_count)
    state.rows = list(schedule(cheaper, state.calendar).instalments)
    state.yearly = state.discounted
    return ""


def _use_interest_free(state: _Couponing, coupon: Coupon) -> Refused:
    if state.loan.day_count == "30/360":
        return "not_by_day"
    assert coupon.free_days is not None
    year = 360 if state.loan.day_count == "actual/360" else 365
    begun = 0
    for place, days in enumerate(state.charged):
        row = state.rows[place]
        balance = row.balance_cny + row.principal_cny
        freed = min(balance, coupon.principal_cap_cny or balance)
        free_days = max(0, min(begun + days, coupon.free_days) - begun)
        charged = balance * days - freed * free_days
        state.charge(place, fen(charged * state.yearly / year))
        begun += days
    return ""


def _use_voucher(state: _Couponing, coupon: Coupon) -> Refused:
    assert coupon.term is not None
    assert coupon.amount_cny is not None
    if coupon.term > len(state.rows):
        return "no_such_term"
    if state.overdue:
        return "overdue"
    row = state.rows[coupon.term - 1]
    if row.total_cny < coupon.threshold_cny:
        return "threshold"
    state.charge(coupon.term - 1, row.interest_cny - min(coupon.amount_cny, row.interest_cny))
    return ""


_USE: Mapping[str, Callable[[_Couponing, Coupon], Refused]] = {
    "rate": _use_rate,
    "interest_free": _use_interest_free,
    "voucher": _use_voucher,
}


def use_coupons(asked: Couponed, calendar: Calendar | None = None) -> CouponsUsed:
    """What coupons take off a loan; those that may not be used together, or not here, are named.

    Vouchers are used last, on the instalments that the others left.
    """
    loan = asked.loan
    with localcontext(_CONTEXT):
        before = schedule(loan, calendar)
        state = _Couponing(
            loan,
            list(before.instalments),
            _charged_days(loan, before, calendar),
            asked.overdue,
            calendar,
            loan.yearly,
        )
        uses: dict[int, Use] = {}
        order = sorted(
            range(len(asked.coupons)), key=lambda place: asked.coupons[place].kind == "voucher"
        )
        for place in order:
            coupon = asked.coupons[place]
            if loan.method == "daily" and coupon.first_terms is not None:
                raise BadArgument("first_terms", "not_with", other="method=daily").within(
                    f"coupons.{place}"
                )
            was = state.interest_cny
            refused = _stacking(state.used, coupon) or _USE[coupon.kind](state, coupon)
            if not refused:
                state.used.append(coupon)
            uses[place] = Use(coupon, was - state.interest_cny, refused)
        rows = tuple(state.rows)
        after = _summed(loan, rows)
        kinds = {coupon.kind: None for coupon in asked.coupons}
        return CouponsUsed(
            inputs=asked,
            basis=Basis(
                tuple(f"coupon_{kind}" for kind in kinds),
                (*before.basis.conventions, "stacking"),
                ("coupon", "annual_rate_rule"),
            ),
            uses=tuple(uses[place] for place in sorted(uses)),
            discounted_annual_rate=state.discounted,
            saved_cny=before.cost_cny - after.cost_cny,
            cost_before_cny=before.cost_cny,
            cost_cny=after.cost_cny,
            repaid_cny=after.repaid_cny,
            annual=after.annual,
            instalments=rows,
        )


def _charged_days(loan: Loan, whole: Schedule, calendar: Calendar | None) -> list[int]:
    """Days of interest of each row, of loans that count actual days."""
    if loan.method != "daily":
        return [term.share[0] for term in _terms(loan, calendar)]
    days = [row.days or 0 for row in whole.instalments]
    if loan.interest_to == "nominal" and loan.until and whole.instalments[-1].due:
        days[-1] -= (whole.instalments[-1].due - loan.until).days
    return [max(days[0], loan.least_days), *days[1:]] if loan.until == loan.start else days


def _stacking(used: Sequence[Coupon], coupon: Coupon) -> Refused:
    """Why a coupon may not join those that are used, by the table `stacking`."""
    rules = _tables()["stacking"]
    kinds = {other.kind for other in used}
    if any(
        coupon.kind in pair and kinds & (set(pair) - {coupon.kind}) for pair in rules["exclusive"]
    ):
        return "exclusive"
    if coupon.kind in rules["one_a_loan"] and coupon.kind in kinds:
        return "one_a_loan"
    same_term = any(other.kind == coupon.kind and other.term == coupon.term for other in used)
    return "one_a_term" if coupon.kind in rules["one_a_term"] and same_term else ""


# Two at once ---------------------------------------------------------------------------------


def compare(asked: Compared, calendar: Calendar | None = None) -> Comparison:
    """Two loans side by side. One may cost less in yuan and more a year."""
    a, b = schedule(asked.a, calendar), schedule(asked.b, calendar)
    cost = a.cost_cny - b.cost_cny
    rate = None
    if a.annual and b.annual:
        rate = a.annual.simple_annual_rate - b.annual.simple_annual_rate
    formulas = (*a.basis.formulas, *b.basis.formulas, "compare")
    conventions = (*a.basis.conventions, *b.basis.conventions)
    return Comparison(
        inputs=asked,
        basis=Basis(
            tuple(dict.fromkeys(formulas)), tuple(dict.fromkeys(conventions)), a.basis.sources
        ),
        a=a,
        b=b,
        cost_difference_cny=cost,
        simple_rate_difference=rate,
        less_cost=_lower(cost),
        lower_rate=None if rate is None else _lower(rate),
    )


def _lower(difference: Decimal) -> Side:
    return "same" if not difference else "a" if difference < 0 else "b"


# One door ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A calculation that is asked for by name, with arguments from outside."""

    arguments: type[Any]
    run: Callable[[Any], Result]


TOOLS: Mapping[str, Tool] = {
    "schedule": Tool(Loan, schedule),
    "rate": Tool(RateOf, annual_rate),
    "settle": Tool(Settling, settle),
    "prepay": Tool(Prepaying, prepay),
    "overdue": Tool(Overdue, overdue_penalty),
    "coupon": Tool(Couponed, use_coupons),
    "compare": Tool(Compared, compare),
}

_PARTS: Mapping[str, type[Any]] = {"loan": Loan, "a": Loan, "b": Loan}
_LISTS: Mapping[str, type[Any] | None] = {
    "repayments": Repayment,
    "coupons": Coupon,
    "payments": None,
}


def calculate(tool: str, arguments: Mapping[str, object]) -> Result:
    """Calculate from arguments as JSON has them; None counts as left out.

    Raises KeyError for an unknown tool, BadArgument.
    """
    known = TOOLS[tool]
    return known.run(_build(known.arguments, arguments))


def _build(kind: type[Any], arguments: Mapping[str, object]) -> Any:
    wanted = {argument.name: argument for argument in fields(kind)}
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        if name not in wanted:
            raise BadArgument(_shown(name), "unknown", words=", ".join(wanted))
        if value is None:
            continue
        given[name] = value
        if name in _PARTS:
            given[name] = _build_part(_PARTS[name], value, name)
        elif name in _LISTS:
            if not isinstance(value, list | tuple):
                raise BadArgument(name, "not_a_list", value=_shown(value))
            if len(value) > _MAX_ITEMS:
                raise BadArgument(name, "too_many", high=_MAX_ITEMS)
            part = _LISTS[name]
            given[name] = tuple(
                value
                if part is None
                else (_build_part(part, v, f"{name}.{n}") for n, v in enumerate(value))
            )
    for name, argument in wanted.items():
        if name not in given and argument.default is MISSING:
            raise BadArgument(name, "missing")
    return kind(**given)


def _build_part(kind: type[Any], value: object, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise BadArgument(place, "not_an_object", value=_shown(value))
    try:
        return _build(kind, value)
    except BadArgument as error:
        raise error.within(place) from None


def as_json(result: Result, locale: str = "zh-Hans") -> dict[str, Any]:
    """A result as JSON: amounts with two decimals, rates and days as strings, the words of its
    formulas, conventions and sources in a language; arguments that were left out are left out."""
    row: dict[str, Any] = _plain(result)
    row["inputs"] = _without_defaults(result.inputs)
    words = _tables()
    del row["basis"]
    row |= in_words(result.basis, locale)
    if isinstance(result, Comparison):
        for side in ("a", "b"):
            for name in ("inputs", "basis"):
                del row[side][name]
    if isinstance(result, CouponsUsed):
        for use, said in zip(result.uses, row["uses"], strict=True):
            said["coupon"] = _without_defaults(use.coupon)
            said["why"] = words["refused"][use.refused][locale] if use.refused else ""
    return row


def in_words(basis: Basis, locale: str = "zh-Hans") -> dict[str, Any]:
    """Formulas, conventions and sources in a language, JSON-ready."""
    words = _tables()
    return {
        "formula": [words["formulas"][code][locale] for code in basis.formulas],
        "conventions": [words["conventions"][code][locale] for code in basis.conventions],
        "sources": [
            {
                "id": code,
                "title": words["sources"][code][locale],
                "series": words["sources"][code]["series"],
                "evidence": words["sources"][code]["evidence"],
            }
            for code in basis.sources
        ],
    }


def check(name: str, value: object) -> Any:
    """One argument as calculations take it. Raises BadArgument."""
    return _read(name, value)


def label(name: str, locale: str) -> str:
    """What a figure or a column is called; its own name where it is called nothing."""
    words = _tables()["labels"].get(name)
    return words[locale] if words else name


def _plain(value: Any, name: str = "") -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), f.name) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, Decimal):
        return f"{value:.2f}" if name.endswith("_cny") or name == "payments" else _trimmed(value)
    return value.isoformat() if isinstance(value, date) else value


def _trimmed(rate: Decimal) -> str:
    text = f"{rate:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _without_defaults(arguments: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for argument in fields(arguments):
        value = getattr(arguments, argument.name)
        if value == argument.default and argument.name not in ("day_count", "mode"):
            continue
        if is_dataclass(value):
            row[argument.name] = _without_defaults(value)
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            row[argument.name] = [_without_defaults(item) for item in value]
        else:
            row[argument.name] = _plain(value, argument.name)
    return row


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
