"""Customers as the lender's own systems know them: profile, loans, coupons, applications, consents.

The lender's database is read, never written, within a time limit. What comes back is checked
before anybody builds on it: a loan with half a schedule, or one of somebody else, is a fault that
names the field, and never the value.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args, runtime_checkable
from urllib.parse import quote

import structlog
from sqlalchemy import Column, MetaData, Table, Text, cast, create_engine, event, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Method = Literal["equal_instalment", "equal_principal", "interest_only"]
DayCount = Literal["30/360", "actual/365"]
LoanState = Literal["open", "settled", "disputed"]
RepaymentKind = Literal["instalment", "early_settlement", "partial_prepayment"]
CouponKind = Literal["rate", "interest_free", "voucher"]
CouponState = Literal["unused", "used", "expired"]
ApplicationState = Literal["in_review", "approved", "declined", "withdrawn", "disbursed"]
Purpose = Literal["marketing", "profiling"]
ConsentChannel = Literal["sms", "call", "push", "email", "wechat", "in_app"]

FEN = Decimal("0.01")
MOST_CNY = Decimal("1e12")
"""Beyond this no amount is one of a person's loan."""

Answer = TypeVar("Answer")

log = structlog.get_logger()


class CustomerFault(Exception):
    """A customer's record cannot be had. Below it: CustomersUnavailable, CustomerDataBroken."""


class CustomersUnavailable(CustomerFault):
    """The lender's database does not answer, or not in time."""


class CustomerDataBroken(CustomerFault):
    """A record is incomplete or contradicts itself; `field` names where, such as
    `loans.schedule.principal_cny`."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Customer:
    """Who a customer is. What tells a person from others is left out of its repr."""

    id: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: date = field(repr=False)
    phone: str = field(repr=False)
    student: bool
    since: date
    """Day on which the account was opened."""


@dataclass(frozen=True, slots=True)
class Instalment:
    """One row of a repayment schedule."""

    number: int
    """From 1, without a gap."""
    due_on: date
    principal_cny: Decimal
    interest_cny: Decimal

    @property
    def amount_cny(self) -> Decimal:
        return self.principal_cny + self.interest_cny


@dataclass(frozen=True, slots=True)
class Repayment:
    """Money that came in for a loan, and what it was taken for."""

    paid_on: date
    kind: RepaymentKind
    instalment: int | None
    """Number of the instalment that it is for; None where it is for the loan as a whole."""
    principal_cny: Decimal
    interest_cny: Decimal
    penalty_cny: Decimal
    """For paying late."""

    @property
    def amount_cny(self) -> Decimal:
        return self.principal_cny + self.interest_cny + self.penalty_cny


@dataclass(frozen=True, slots=True)
class Loan:
    """One loan with its whole schedule and everything repaid so far."""

    id: str = field(repr=False)
    customer_id: str = field(repr=False)
    product: str
    contract_date: date
    disbursed_on: date
    principal_cny: Decimal
    annual_rate: Decimal
    """Fraction a year, simple: 0.144 = 14.4 %."""
    method: Method
    day_count: DayCount
    """`30/360`: a twelfth of the annual rate each month; `actual/365`: interest by the day."""
    state: LoanState
    disputed_on: date | None
    settled_on: date | None
    schedule: tuple[Instalment, ...]
    repayments: tuple[Repayment, ...]

    @property
    def outstanding_cny(self) -> Decimal:
        """Principal not repaid yet."""
        return self.principal_cny - sum((r.principal_cny for r in self.repayments), Decimal(0))

    def due_cny(self, instalment: Instalment) -> Decimal:
        """What is still to be paid of an instalment, without penalties."""
        if self.settled_on is not None:
            return Decimal(0)
        paid = sum(
            (
                r.principal_cny + r.interest_cny
                for r in self.repayments
                if r.instalment == instalment.number
            ),
            Decimal(0),
        )
        return instalment.amount_cny - paid

    def unpaid(self) -> tuple[Instalment, ...]:
        """Instalments of which something is still to be paid, the oldest first."""
        return tuple(i for i in self.schedule if self.due_cny(i) > 0)

    def days_overdue(self, today: date) -> int:
        """Calendar days since the oldest unpaid instalment was due, any grace included."""
        unpaid = self.unpaid()
        return max(0, (today - unpaid[0].due_on).days) if unpaid else 0


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon that a customer has; which of the values it has follows from its kind."""

    id: str = field(repr=False)
    customer_id: str = field(repr=False)
    kind: CouponKind
    product: str
    state: CouponState
    valid_from: date
    valid_to: date
    """The last day on which it can be used."""
    discount: Decimal | None = None
    """Of `rate`: what the annual rate is multiplied by."""
    free_days: int | None = None
    """Of `interest_free`."""
    principal_cap_cny: Decimal | None = None
    """Of `interest_free`: principal beyond it bears interest; None: no bound."""
    amount_cny: Decimal | None = None
    """Of `voucher`: taken off the interest of one instalment, at most that interest."""
    threshold_cny: Decimal | None = None
    """Of `voucher`: what an instalment has to come to; None: no bound."""


@dataclass(frozen=True, slots=True)
class Application:
    """A customer's application for a loan."""

    id: str = field(repr=False)
    customer_id: str = field(repr=False)
    product: str
    applied_on: date
    amount_cny: Decimal
    months: int
    state: ApplicationState
    decided_on: date | None


@dataclass(frozen=True, slots=True)
class Consent:
    """What a customer last said about being written to or profiled."""

    customer_id: str = field(repr=False)
    purpose: Purpose
    channel: ConsentChannel
    given: bool
    """False: it was asked for and refused, or withdrawn."""
    since: date


@dataclass(frozen=True, slots=True)
class Record:
    """Everything about one customer, as a source is filled with it."""

    customer: Customer
    loans: tuple[Loan, ...] = ()
    coupons: tuple[Coupon, ...] = ()
    applications: tuple[Application, ...] = ()
    consents: tuple[Consent, ...] = ()


class CustomerSource(Protocol):
    """Where customers' records come from. The id is that of a verified identity, never one that a
    model or a message names. Nobody by that id: None, and nothing in the others.

    All of them raise CustomersUnavailable and CustomerDataBroken.
    """

    async def profile(self, customer_id: str) -> Customer | None: ...

    async def loans(self, customer_id: str) -> tuple[Loan, ...]:
        """The oldest first."""
        ...

    async def coupons(self, customer_id: str) -> tuple[Coupon, ...]:
        """What ends first, first."""
        ...

    async def applications(self, customer_id: str) -> tuple[Application, ...]:
        """The newest first."""
        ...

    async def consents(self, customer_id: str) -> tuple[Consent, ...]: ...

    async def close(self) -> None: ...


@runtime_checkable
class ListedCustomers(CustomerSource, Protocol):
    """A source that can be gone through, for staff who count whom an offer would reach."""

    async def some_records(self, limit: int) -> tuple[Record, ...]:
        """Records of customers by id, so many at most, without their applications."""
        ...


class MemoryCustomers:
    """Records held in memory, for tests and evaluations."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {record.customer.id: record for record in records}

    async def profile(self, customer_id: str) -> Customer | None:
        record = self._records.get(customer_id)
        return record.customer if record else None

    async def loans(self, customer_id: str) -> tuple[Loan, ...]:
        record = self._records.get(customer_id)
        return tuple(sorted(record.loans, key=_loan_order)) if record else ()

    async def coupons(self, customer_id: str) -> tuple[Coupon, ...]:
        record = self._records.get(customer_id)
        return tuple(sorted(record.coupons, key=_coupon_order)) if record else ()

    async def applications(self, customer_id: str) -> tuple[Application, ...]:
        record = self._records.get(customer_id)
        return tuple(sorted(record.applications, key=_application_order)) if record else ()

    async def consents(self, customer_id: str) -> tuple[Consent, ...]:
        record = self._records.get(customer_id)
        return tuple(sorted(record.consents, key=_consent_order)) if record else ()

    async def some_records(self, limit: int) -> tuple[Record, ...]:
        return tuple(
            [
                replace(
                    self._records[customer_id],
                    loans=await self.loans(customer_id),
                    coupons=await self.coupons(customer_id),
                    applications=(),
                    consents=await self.consents(customer_id),
                )
                for customer_id in sorted(self._records)[:limit]
            ]
        )

    async def close(self) -> None:
        pass


class Guarded:
    """A source whose answers come in time, are whole, and are about the customer asked for."""

    def __init__(self, source: CustomerSource, timeout_s: float) -> None:
        self._source = source
        self._timeout_s = timeout_s
        self._given_up: set[asyncio.Task[Any]] = set()

    async def profile(self, customer_id: str) -> Customer | None:
        found = await self._ask("profile", customer_id, self._source.profile(customer_id))
        if found is not None:
            self._check(customer_id, lambda: _check_id("profile.id", customer_id, found.id))
        return found

    async def loans(self, customer_id: str) -> tuple[Loan, ...]:
        found = await self._all("loans", customer_id, self._source.loans(customer_id))
        self._check(customer_id, lambda: check_loans(customer_id, found))
        return found

    async def coupons(self, customer_id: str) -> tuple[Coupon, ...]:
        found = await self._all("coupons", customer_id, self._source.coupons(customer_id))
        self._check(customer_id, lambda: _check_coupons(customer_id, found))
        return found

    async def applications(self, customer_id: str) -> tuple[Application, ...]:
        asked = self._source.applications(customer_id)
        found = await self._all("applications", customer_id, asked)
        self._check(customer_id, lambda: _check_applications(customer_id, found))
        return found

    async def consents(self, customer_id: str) -> tuple[Consent, ...]:
        found = await self._all("consents", customer_id, self._source.consents(customer_id))
        self._check(customer_id, lambda: _check_owner("consents", customer_id, found))
        return found

    async def some_records(self, limit: int) -> tuple[Record, ...]:
        if not isinstance(self._source, ListedCustomers):
            raise CustomersUnavailable("some_records: the source cannot be gone through")
        found = await self._ask("some_records", "", self._source.some_records(limit))
        for record in found[:limit]:
            self._check(record.customer.id, functools.partial(_check_record, record))
        return found[:limit]

    async def close(self) -> None:
        await self._source.close()

    async def _all(
        self, what: str, customer_id: str, asked: Coroutine[Any, Any, Iterable[Answer]]
    ) -> tuple[Answer, ...]:
        found = await self._ask(what, customer_id, asked)
        made: list[Answer] = []
        self._check(customer_id, lambda: made.extend(found), what)
        return tuple(made)

    async def _ask(self, what: str, customer_id: str, asked: Coroutine[Any, Any, Answer]) -> Answer:
        # Not `asyncio.timeout`: a driver that is cancelled may go on waiting for its own statement
        # to end, and the borrower with it.
        task = asyncio.ensure_future(asked)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        finally:
            if not task.done():
                task.cancel()
                self._given_up.add(task)
                task.add_done_callback(self._forget)
        known = {"what": what, "customer": masked_id(customer_id)}
        if not done:
            log.error("the customer source is too slow", **known)
            raise CustomersUnavailable(f"{what}: no answer within {self._timeout_s:g} s")
        try:
            return task.result()
        except CustomersUnavailable as error:
            log.error("the customer source does not answer", error=str(error), **known)
            raise
        except CustomerDataBroken as error:
            log.error("a customer's record is broken", field=error.field, **known)
            raise
        except Exception as error:
            # A source is somebody else's code: whatever it fails with, the record cannot be had.
            log.error("the customer source failed", error=type(error).__name__, **known)
            raise CustomersUnavailable(f"{what}: {type(error).__name__}") from None

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._given_up.discard(task)
        if not task.cancelled():
            task.exception()  # told already, as too slow

    def _check(self, customer_id: str, check: Callable[[], None], what: str = "record") -> None:
        try:
            try:
                check()
            except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError):
                # What is there is not even of the kind that is checked: nothing, or half of it.
                raise CustomerDataBroken(what, "what the protocol says") from None
        except CustomerDataBroken as error:
            log.error(
                "a customer's record is broken",
                field=error.field,
                customer=masked_id(customer_id),
            )
            raise


# What a record has to be


def _check_record(record: Record) -> None:
    customer_id = record.customer.id
    check_loans(customer_id, record.loans)
    _check_coupons(customer_id, record.coupons)
    _check_owner("consents", customer_id, record.consents)


def check_loans(customer_id: str, loans: Sequence[Loan]) -> None:
    """Raises CustomerDataBroken where a loan is half there or contradicts itself."""
    _check_owner("loans", customer_id, loans)
    _check_apart("loans", loans)
    for loan in loans:
        for name, whole, expected in _loan_rules(loan):
            if not whole:
                raise CustomerDataBroken(f"loans.{name}", expected)


def _loan_rules(loan: Loan) -> Iterator[tuple[str, bool, str]]:
    """(field, whether it holds, what is expected), in an order in which each may rely on those
    before it."""
    schedule, repayments = loan.schedule, loan.repayments
    amounts = [loan.principal_cny, *(i.principal_cny for i in schedule)]
    for name, known in (("method", Method), ("day_count", DayCount), ("state", LoanState)):
        yield name, getattr(loan, name) in get_args(known), " or ".join(get_args(known))
    yield "principal_cny", _is_money(loan.principal_cny) and loan.principal_cny > 0, "yuan above 0"
    yield "annual_rate", 0 <= loan.annual_rate < 1, "a fraction a year, from 0 to below 1"
    yield "disbursed_on", loan.contract_date <= loan.disbursed_on, "a day from contract_date on"
    numbers = [i.number for i in schedule]
    yield "schedule", bool(schedule), "at least one instalment"
    whole = numbers == list(range(1, len(numbers) + 1))
    yield "schedule.number", whole, "1, 2, 3 ... without a gap"
    days = [loan.disbursed_on, *(i.due_on for i in schedule)]
    rising = all(a < b for a, b in pairwise(days))
    yield "schedule.due_on", rising, "days after disbursed_on, each after the one before"
    yield "schedule.principal_cny", all(map(_is_money, amounts)), "yuan to the fen, not below 0"
    interest = [i.interest_cny for i in schedule]
    yield "schedule.interest_cny", all(map(_is_money, interest)), "yuan to the fen, not below 0"
    adds_up = sum(amounts[1:], Decimal(0)) == loan.principal_cny
    yield "schedule.principal_cny", adds_up, "parts that add up to the loan's principal_cny"
    by_number = {i.number: i for i in schedule}
    paid = [r.instalment for r in repayments if r.instalment is not None]
    yield "repayments.instalment", set(paid) <= set(by_number), "a number of the schedule"
    named = all((r.instalment is not None) == (r.kind == "instalment") for r in repayments)
    yield "repayments.instalment", named, "a number for kind `instalment`, else none"
    for part in ("principal_cny", "interest_cny", "penalty_cny"):
        parts = [getattr(r, part) for r in repayments]
        yield f"repayments.{part}", all(map(_is_money, parts)), "yuan to the fen, not below 0"
    yield (
        "repayments.paid_on",
        all(r.paid_on >= loan.disbursed_on for r in repayments),
        ("days from disbursed_on on"),
    )
    for part in ("principal_cny", "interest_cny"):
        for number in set(paid):
            got = sum((getattr(r, part) for r in repayments if r.instalment == number), Decimal(0))
            fits = got <= getattr(by_number[number], part)
            yield f"repayments.{part}", fits, "no more than the instalment comes to"
    yield "repayments.principal_cny", loan.outstanding_cny >= 0, "no more than was borrowed"
    settled = loan.state == "settled"
    yield (
        "settled_on",
        settled == (loan.settled_on is not None),
        "a day where, and only where, settled",
    )
    yield "state", not settled or loan.outstanding_cny == 0, "settled with nothing outstanding only"
    disputed = loan.state == "disputed"
    yield "disputed_on", not disputed or loan.disputed_on is not None, "a day where disputed"


_COUPON_VALUES: Mapping[CouponKind, tuple[str, frozenset[str]]] = {
    "rate": ("discount", frozenset()),
    "interest_free": ("free_days", frozenset({"principal_cap_cny"})),
    "voucher": ("amount_cny", frozenset({"threshold_cny"})),
}
"""Kind -> the value that it must have, and those that it may have too."""


def _check_coupons(customer_id: str, coupons: Sequence[Coupon]) -> None:
    _check_owner("coupons", customer_id, coupons)
    _check_apart("coupons", coupons)
    named = {name for must, may in _COUPON_VALUES.values() for name in {must, *may}}
    for coupon in coupons:
        must, may = _COUPON_VALUES[coupon.kind]
        held = {name for name in named if getattr(coupon, name) is not None}
        if must not in held:
            raise CustomerDataBroken(f"coupons.{must}", f"a value for {coupon.kind}")
        if extra := held - {must} - may:
            raise CustomerDataBroken(f"coupons.{min(extra)}", f"none for {coupon.kind}")
        if any(not getattr(coupon, name) > 0 for name in held):
            raise CustomerDataBroken(f"coupons.{must}", "values above 0")
        if coupon.discount is not None and coupon.discount >= 1:
            raise CustomerDataBroken("coupons.discount", "a factor below 1")
        if coupon.valid_to < coupon.valid_from:
            raise CustomerDataBroken("coupons.valid_to", "a day from valid_from on")


def _check_applications(customer_id: str, applications: Sequence[Application]) -> None:
    _check_owner("applications", customer_id, applications)
    _check_apart("applications", applications)
    for application in applications:
        if not (_is_money(application.amount_cny) and application.amount_cny > 0):
            raise CustomerDataBroken("applications.amount_cny", "yuan above 0")
        if application.months < 1:
            raise CustomerDataBroken("applications.months", "a whole number from 1 on")


Owned = Loan | Coupon | Application


def _check_owner(name: str, customer_id: str, items: Sequence[Owned | Consent]) -> None:
    for item in items:
        _check_id(f"{name}.customer_id", customer_id, item.customer_id)


def _check_id(name: str, customer_id: str, found: str) -> None:
    if found != customer_id:
        raise CustomerDataBroken(name, "the customer who was asked for")


def _check_apart(name: str, items: Sequence[Owned]) -> None:
    """One that is there twice would be added up twice."""
    if len({item.id for item in items}) < len(items):
        raise CustomerDataBroken(f"{name}.id", "each of them once")


def _is_money(amount: Decimal) -> bool:
    return amount.is_finite() and 0 <= amount < MOST_CNY and amount == amount.quantize(FEN)


def _loan_order(loan: Loan) -> Any:
    return (loan.disbursed_on, loan.id)


def _coupon_order(coupon: Coupon) -> Any:
    return (coupon.valid_to, coupon.id)


def _application_order(application: Application) -> Any:
    return (-application.applied_on.toordinal(), application.id)


def _consent_order(consent: Consent) -> Any:
    return (consent.purpose, consent.channel)


def masked_id(customer_id: str) -> str:
    """A customer id as logs have it: two characters of it at most."""
    return f"***{customer_id[-2:]}" if len(customer_id) >= 6 else "***"


def masked_name(name: str) -> str:
    """A name as it may stand on a screen that others see: its first character."""
    return f"{name[:1]}{'*' * min(3, max(1, len(name) - 1))}"


# In SQL


def _parse_text(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _parse_money(text: str) -> Decimal:
    amount = Decimal(text)
    if not _is_money(amount):
        raise ValueError
    return amount.quantize(FEN)


def _parse_rate(text: str) -> Decimal:
    rate = Decimal(text)
    if not rate.is_finite():
        raise ValueError
    return rate.normalize()


def _parse_flag(text: str) -> bool:
    return {"1": True, "0": False, "true": True, "false": False, "t": True, "f": False}[
        text.lower()
    ]


@dataclass(frozen=True, slots=True)
class _Column:
    """How a column is read."""

    parse: Callable[[str], Any]
    expected: str
    optional: bool = False
    """Whether it may be empty."""


def _one_of(words: Any) -> _Column:
    known = {word: word for word in get_args(words)}
    return _Column(known.__getitem__, " or ".join(known))


def _or_none(column: _Column) -> _Column:
    return replace(column, optional=True)


_TEXT = _Column(_parse_text, "text")
_MONEY = _Column(_parse_money, "yuan to the fen, not below 0")
_RATE = _Column(_parse_rate, "a decimal number")
_FLAG = _Column(_parse_flag, "true or false")
_DATE = _Column(date.fromisoformat, "a day, YYYY-MM-DD")
_WHOLE = _Column(int, "a whole number")

COLUMNS: Mapping[str, Mapping[str, _Column]] = {
    "customers": {
        "id": _TEXT,
        "name": _TEXT,
        "birth_date": _DATE,
        "phone": _TEXT,
        "student": _FLAG,
        "since": _DATE,
    },
    "loans": {
        "id": _TEXT,
        "customer_id": _TEXT,
        "product": _TEXT,
        "contract_date": _DATE,
        "disbursed_on": _DATE,
        "principal_cny": _MONEY,
        "annual_rate": _RATE,
        "method": _one_of(Method),
        "day_count": _one_of(DayCount),
        "state": _one_of(LoanState),
        "disputed_on": _or_none(_DATE),
        "settled_on": _or_none(_DATE),
    },
    "instalments": {
        "loan_id": _TEXT,
        "number": _WHOLE,
        "due_on": _DATE,
        "principal_cny": _MONEY,
        "interest_cny": _MONEY,
    },
    "repayments": {
        "loan_id": _TEXT,
        "paid_on": _DATE,
        "kind": _one_of(RepaymentKind),
        "instalment": _or_none(_WHOLE),
        "principal_cny": _MONEY,
        "interest_cny": _MONEY,
        "penalty_cny": _MONEY,
    },
    "coupons": {
        "id": _TEXT,
        "customer_id": _TEXT,
        "kind": _one_of(CouponKind),
        "product": _TEXT,
        "state": _one_of(CouponState),
        "valid_from": _DATE,
        "valid_to": _DATE,
        "discount": _or_none(_RATE),
        "free_days": _or_none(_WHOLE),
        "principal_cap_cny": _or_none(_MONEY),
        "amount_cny": _or_none(_MONEY),
        "threshold_cny": _or_none(_MONEY),
    },
    "applications": {
        "id": _TEXT,
        "customer_id": _TEXT,
        "product": _TEXT,
        "applied_on": _DATE,
        "amount_cny": _MONEY,
        "months": _WHOLE,
        "state": _one_of(ApplicationState),
        "decided_on": _or_none(_DATE),
    },
    "consents": {
        "customer_id": _TEXT,
        "purpose": _one_of(Purpose),
        "channel": _one_of(ConsentChannel),
        "given": _FLAG,
        "since": _DATE,
    },
}
"""Tables, or views, that the lender's database offers, and their columns. Each is read as text and
parsed here, so that it does not matter how that database stores amounts, days and flags."""

_metadata = MetaData()
_TABLES = {
    name: Table(name, _metadata, *(Column(column, Text) for column in columns))
    for name, columns in COLUMNS.items()
}
_OWN = {"instalments": "loan_id", "repayments": "loan_id"}
"""Tables that name a loan in place of its customer."""


class SqlCustomers:
    """Records in a SQLite or PostgreSQL database, whose connections cannot write."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """timeout_s: after which PostgreSQL ends a statement. Raises CustomersUnavailable for an
        address that cannot be used; nothing is opened yet."""
        self._file: Path | None = None
        try:
            self._engine = self._open(make_url(url), timeout_s)
        except (SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
            raise CustomersUnavailable(
                f"ZHUNXIN_CUSTOMERS_URL cannot be used ({type(error).__name__}): expected "
                "sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME"
            ) from None

    def _open(self, address: URL, timeout_s: float) -> AsyncEngine:
        if address.get_backend_name() == "sqlite":
            if address.database in (None, "", ":memory:"):
                raise ValueError("a database in memory has no records")
            self._file = Path(str(address.database)).resolve()
            engine = create_async_engine(
                f"sqlite+aiosqlite:///file:{quote(str(self._file))}?mode=ro&uri=true",
                hide_parameters=True,  # an error of the database would log a customer's id
                connect_args={"timeout": timeout_s},
            )
            event.listen(engine.sync_engine, "connect", _hold_to_reading)
            return engine
        if address.get_backend_name() != "postgresql":
            raise ValueError("expected SQLite or PostgreSQL")
        limit = str(max(1, round(timeout_s * 1000)))
        return create_async_engine(
            address.set(drivername="postgresql+asyncpg"),
            hide_parameters=True,
            pool_pre_ping=True,
            pool_timeout=timeout_s,
            # A loan, its schedule and its repayments are read as of one moment.
            isolation_level="REPEATABLE READ",
            connect_args={
                "timeout": timeout_s,
                "server_settings": {
                    "default_transaction_read_only": "on",
                    "statement_timeout": limit,
                },
            },
        )

    async def profile(self, customer_id: str) -> Customer | None:
        rows = (await self._read(customer_id, "customers"))["customers"]
        if len(rows) > 1:
            raise CustomerDataBroken("customers.id", "one customer by an id")
        return Customer(**rows[0]) if rows else None

    async def loans(self, customer_id: str) -> tuple[Loan, ...]:
        read = await self._read(customer_id, "loans", "instalments", "repayments")
        return tuple(sorted(_loans(read), key=_loan_order))

    async def coupons(self, customer_id: str) -> tuple[Coupon, ...]:
        rows = (await self._read(customer_id, "coupons"))["coupons"]
        return tuple(sorted((Coupon(**row) for row in rows), key=_coupon_order))

    async def applications(self, customer_id: str) -> tuple[Application, ...]:
        rows = (await self._read(customer_id, "applications"))["applications"]
        return tuple(sorted((Application(**row) for row in rows), key=_application_order))

    async def consents(self, customer_id: str) -> tuple[Consent, ...]:
        rows = (await self._read(customer_id, "consents"))["consents"]
        return tuple(sorted((Consent(**row) for row in rows), key=_consent_order))

    async def some_records(self, limit: int) -> tuple[Record, ...]:
        column = _TABLES["customers"].c.id
        first = select(column).order_by(column).limit(limit)
        names = ("customers", "loans", "instalments", "repayments", "coupons", "consents")
        read = await self._read_where(first, *names)
        loans: dict[str, list[Loan]] = {}
        for loan in _loans(read):
            loans.setdefault(loan.customer_id, []).append(loan)
        coupons: dict[str, list[Coupon]] = {}
        for coupon in (Coupon(**row) for row in read["coupons"]):
            coupons.setdefault(coupon.customer_id, []).append(coupon)
        consents: dict[str, list[Consent]] = {}
        for consent in (Consent(**row) for row in read["consents"]):
            consents.setdefault(consent.customer_id, []).append(consent)
        customers = sorted((Customer(**row) for row in read["customers"]), key=lambda c: c.id)
        return tuple(
            Record(
                customer,
                loans=tuple(sorted(loans.get(customer.id, ()), key=_loan_order)),
                coupons=tuple(sorted(coupons.get(customer.id, ()), key=_coupon_order)),
                consents=tuple(sorted(consents.get(customer.id, ()), key=_consent_order)),
            )
            for customer in customers
        )

    async def close(self) -> None:
        await self._engine.dispose()

    async def _read(self, customer_id: str, *names: str) -> dict[str, list[dict[str, Any]]]:
        return await self._read_where([customer_id], *names)

    async def _read_where(self, ids: Any, *names: str) -> dict[str, list[dict[str, Any]]]:
        """Rows of customers by table, as of one moment. ids: of the customers, or what selects
        them."""
        # A file that is not there would leave the driver's thread behind.
        if self._file is not None and not self._file.is_file():
            raise CustomersUnavailable("the file of ZHUNXIN_CUSTOMERS_URL is not there")
        try:
            async with self._engine.connect() as connection:
                return {name: await _rows(connection, name, ids) for name in names}
        except (SQLAlchemyError, OSError) as error:
            # The driver's own words may hold an address or a value.
            raise CustomersUnavailable(type(error).__name__) from None


def _hold_to_reading(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _loans(read: Mapping[str, list[dict[str, Any]]]) -> list[Loan]:
    schedules = _by_loan(read["instalments"], Instalment)
    repaid = _by_loan(read["repayments"], Repayment)
    return [
        Loan(
            **row,
            schedule=tuple(sorted(schedules.get(row["id"], ()), key=lambda i: i.number)),
            repayments=tuple(sorted(repaid.get(row["id"], ()), key=_repayment_order)),
        )
        for row in read["loans"]
    ]


async def _rows(connection: AsyncConnection, name: str, ids: Any) -> list[dict[str, Any]]:
    table, columns = _TABLES[name], COLUMNS[name]
    query = select(*(cast(table.c[column], Text).label(column) for column in columns))
    if name in _OWN:
        loans = _TABLES["loans"]
        query = query.select_from(table.join(loans, loans.c.id == table.c[_OWN[name]])).where(
            loans.c.customer_id.in_(ids)
        )
    else:
        owner = "id" if name == "customers" else "customer_id"
        query = query.where(table.c[owner].in_(ids))
    return [
        {column: _parsed(f"{name}.{column}", kind, row[column]) for column, kind in columns.items()}
        for row in (await connection.execute(query)).mappings()
    ]


def _parsed(name: str, column: _Column, text: str | None) -> Any:
    """Raises CustomerDataBroken."""
    if text is None and column.optional:
        return None
    try:
        if text is None:
            raise ValueError
        return column.parse(text)
    except (ValueError, KeyError, InvalidOperation):
        raise CustomerDataBroken(name, column.expected) from None


def _by_loan(
    rows: Iterable[dict[str, Any]], kind: Callable[..., Answer]
) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for row in rows:
        found.setdefault(row.pop("loan_id"), []).append(kind(**row))
    return found


def _repayment_order(repayment: Repayment) -> Any:
    return (repayment.paid_on, repayment.instalment or 0)


def write_file(file: Path, records: Iterable[Record]) -> None:
    """Put records into a new SQLite file, which `SqlCustomers` then reads."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    for record in records:
        rows["customers"].append(_stored("customers", record.customer))
        for loan in record.loans:
            rows["loans"].append(_stored("loans", loan))
            for name, parts in (("instalments", loan.schedule), ("repayments", loan.repayments)):
                rows[name] += [_stored(name, part, loan_id=loan.id) for part in parts]
        for name in ("coupons", "applications", "consents"):
            rows[name] += [_stored(name, item) for item in getattr(record, name)]
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.begin() as connection:
            _metadata.create_all(connection)
            for name in (
                "loans",
                "instalments",
                "repayments",
                "coupons",
                "applications",
                "consents",
            ):
                owner = _OWN.get(name, "customer_id")
                connection.exec_driver_sql(f"CREATE INDEX ix_{name}_owner ON {name} ({owner})")
            for name, table in _TABLES.items():
                if rows[name]:
                    connection.execute(insert(table), rows[name])
    finally:
        engine.dispose()


def _stored(name: str, item: Any, **more: str) -> dict[str, str | None]:
    held = {f.name: getattr(item, f.name) for f in fields(item)} | more
    return {
        column: None if (value := held[column]) is None else _as_text(value)
        for column in COLUMNS[name]
    }


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
