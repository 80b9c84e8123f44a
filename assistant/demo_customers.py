"""The customers of the demo: 200 invented people in every state, the same ones on every machine.

Dates lie around the day that is given, so that whoever is due tomorrow is. Nobody of them exists:
names are drawn from lists, and phone numbers begin with a prefix that is given to nobody.
"""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

from . import loan_math
from .customers import (
    FEN,
    Application,
    ApplicationState,
    Consent,
    ConsentChannel,
    Coupon,
    CouponKind,
    Customer,
    DayCount,
    Instalment,
    Loan,
    Method,
    Record,
    Repayment,
    write_file,
)

State = Literal[
    "new",
    "active",
    "due_tomorrow",
    "overdue_1",
    "overdue_5",
    "overdue_40",
    "overdue_120",
    "settled",
    "disputed",
    "opted_out",
    "minor",
    "student",
]
STATES: tuple[State, ...] = get_args(State)

DUE_IN: Mapping[State, int] = {
    "due_tomorrow": 1,
    "overdue_1": -1,
    "overdue_5": -5,
    "overdue_40": -40,
    "overdue_120": -120,
}
"""Days from today to the oldest instalment that is not paid."""

RATES = {"anxin": ("0.108", "0.126", "0.144", "0.162", "0.18"), "suixin": ("0.1095", "0.146")}
"""Annual rates that lie within what every version of the sample lender's terms offers."""

CHANNELS: tuple[ConsentChannel, ...] = ("sms", "call", "push", "email")
"""Of which each customer was asked about some; about WeChat a customer is asked apart."""
COUPON_KINDS: tuple[CouponKind, ...] = get_args(CouponKind)


@dataclass(frozen=True, slots=True)
class Person:
    """A customer of the demo with the state that they stand for."""

    state: State
    record: Record


def demo_file(home: Path) -> Path:
    return home / "demo-customers.db"


def seed(home: Path, today: date) -> list[Person]:
    """Put the demo's customers into their file in the home folder, in place of earlier ones."""
    people = demo_people(today)
    file = demo_file(home)
    made = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        write_file(made, (person.record for person in people))
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)
    return people


def labels(state: State) -> Mapping[str, str]:
    """How a state is called, by locale."""
    found: Mapping[str, str] = next(s["label"] for s in _table()["states"] if s["state"] == state)
    return found


def typical(people: list[Person]) -> list[Person]:
    """The first customer of each state."""
    return list({person.state: person for person in reversed(people)}.values())[::-1]


def demo_people(today: date) -> list[Person]:
    """All customers, those of one state after those of another."""
    states = [row["state"] for row in _table()["states"] for _ in range(row["count"])]
    return [
        Person(state, _record(state, number, today)) for number, state in enumerate(states, start=1)
    ]


@cache
def _table() -> dict[str, Any]:
    file = Path(__file__).parent / "demo_customers.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _record(state: State, number: int, today: date) -> Record:
    draw = Random(f"zhunxin demo customer {number}")
    customer = _customer(state, number, today, draw)
    loans = _loans(state, customer.id, today, draw)
    since = min([customer.since, *(loan.contract_date for loan in loans)])
    return Record(
        replace(customer, since=since),
        loans,
        _coupons(state, customer.id, today, draw),
        _applications(state, customer.id, loans, today, draw),
        _consents(state, customer.id, since, today, draw),
    )


def _customer(state: State, number: int, today: date, draw: Random) -> Customer:
    years = {"minor": (16, 17), "student": (19, 22)}.get(state, (23, 58))
    # Between two birthdays, and never on one, so that the age holds whatever the day.
    birth = today - timedelta(days=365 * (draw.randint(*years)) + draw.randint(30, 300))
    name = draw.choice(_table()["surnames"]) + draw.choice(_table()["given"])
    return Customer(
        id=f"demo-{number:04d}",
        name=name,
        birth_date=birth,
        phone=f"100{draw.randrange(10**8):08d}",
        student=state == "student",
        since=today - timedelta(days=draw.randint(20, 60)),
    )


# Loans


def _loans(state: State, customer_id: str, today: date, draw: Random) -> tuple[Loan, ...]:
    match state:
        case "new" | "minor" | "student":
            return ()
        case "settled":
            made = [_settled(customer_id, today, draw)]
        case "disputed":
            loan = _running(customer_id, today + timedelta(days=draw.randint(3, 25)), today, draw)
            asked_on = today - timedelta(days=draw.randint(2, 12))
            made = [replace(loan, state="disputed", disputed_on=asked_on)]
        case "due_tomorrow" | "overdue_1" | "overdue_5" | "overdue_40" | "overdue_120":
            due_on = today + timedelta(days=DUE_IN[state])
            loan = _running(customer_id, due_on, today, draw)
            made = [loan]
            if due_on < today and draw.random() < 0.5:
                made = [_partly_paid(loan, draw)]
        case "active" | "opted_out":
            due_on = today + timedelta(days=draw.randint(3, 25))
            made = [_running(customer_id, due_on, today, draw)]
            if draw.random() < 0.4:
                made.append(_drawdown(customer_id, today, draw))
    return tuple(replace(loan, id=f"{customer_id}-L{n}") for n, loan in enumerate(made, start=1))


def _running(customer_id: str, due_on: date, today: date, draw: Random) -> Loan:
    """An instalment loan whose oldest unpaid instalment is due on a day."""
    months = draw.choice((6, 12, 12, 24))
    wanted = draw.randint(2, months - 1)
    # A loan paid out on the 30th is due on the 28th of February, never the other way round.
    paid_months = next(
        n
        for n in (*range(wanted, 0, -1), *range(wanted + 1, months + 1))
        if _later(_later(due_on, -n), n) == due_on
    )
    loan = _instalment_loan(customer_id, _later(due_on, -paid_months), months, draw)
    paid = [i for i in loan.schedule if i.due_on < due_on]
    return replace(loan, repayments=tuple(_paid_in_full(i, i.due_on) for i in paid))


def _partly_paid(loan: Loan, draw: Random) -> Loan:
    """Some of the oldest unpaid instalment was there when it was due: interest goes first."""
    oldest = loan.unpaid()[0]
    amount = min(Decimal(draw.choice((50, 100, 200))), oldest.amount_cny - FEN)
    interest = min(amount, oldest.interest_cny)
    part = Repayment(
        oldest.due_on, "instalment", oldest.number, amount - interest, interest, Decimal("0.00")
    )
    return replace(loan, repayments=(*loan.repayments, part))


def _settled(customer_id: str, today: date, draw: Random) -> Loan:
    months = draw.choice((3, 6, 12))
    early = draw.random() < 0.5 and months > 3
    disbursed_on = _later(today, -months - draw.randint(1, 6)) - timedelta(days=draw.randint(0, 20))
    loan = _instalment_loan(customer_id, disbursed_on, months, draw)
    if not early:
        paid = tuple(_paid_in_full(i, i.due_on) for i in loan.schedule)
        return replace(loan, state="settled", settled_on=paid[-1].paid_on, repayments=paid)
    kept = loan.schedule[: draw.randint(1, months - 2)]
    days = draw.randint(1, 20)
    settled_on = kept[-1].due_on + timedelta(days=days)
    left = loan.principal_cny - sum((i.principal_cny for i in kept), Decimal(0))
    last = Repayment(
        settled_on,
        "early_settlement",
        None,
        left,
        loan_math.fen(left * loan.annual_rate * days / 365),
        Decimal("0.00"),
    )
    paid = (*(_paid_in_full(i, i.due_on) for i in kept), last)
    return replace(loan, state="settled", settled_on=settled_on, repayments=paid)


def _drawdown(customer_id: str, today: date, draw: Random) -> Loan:
    """Money drawn from a revolving line: interest by the day each month, the principal at last."""
    months = draw.choice((3, 6, 12))
    disbursed_on = _later(today.replace(day=draw.choice((5, 15, 25))), -draw.randint(1, months - 1))
    principal = Decimal(draw.randrange(5, 200) * 100).quantize(FEN)
    rate = Decimal(draw.choice(RATES["suixin"]))
    schedule = _schedule(principal, rate, "interest_only", "actual/365", disbursed_on, months)
    paid = [i for i in schedule if i.due_on < today]
    return Loan(
        id="",
        customer_id=customer_id,
        product="suixin",
        contract_date=disbursed_on - timedelta(days=draw.randint(0, 90)),
        disbursed_on=disbursed_on,
        principal_cny=principal,
        annual_rate=rate,
        method="interest_only",
        day_count="actual/365",
        state="open",
        disputed_on=None,
        settled_on=None,
        schedule=schedule,
        repayments=tuple(_paid_in_full(i, i.due_on) for i in paid),
    )


def _instalment_loan(customer_id: str, disbursed_on: date, months: int, draw: Random) -> Loan:
    method: Method = draw.choice(("equal_instalment", "equal_instalment", "equal_principal"))
    principal = Decimal(draw.randrange(20, 800) * 100).quantize(FEN)
    rate = Decimal(draw.choice(RATES["anxin"]))
    return Loan(
        id="",
        customer_id=customer_id,
        product="anxin",
        contract_date=disbursed_on - timedelta(days=draw.choice((0, 0, 1))),
        disbursed_on=disbursed_on,
        principal_cny=principal,
        annual_rate=rate,
        method=method,
        day_count="30/360",
        state="open",
        disputed_on=None,
        settled_on=None,
        schedule=_schedule(principal, rate, method, "30/360", disbursed_on, months),
        repayments=(),
    )


def _paid_in_full(instalment: Instalment, on: date) -> Repayment:
    return Repayment(
        on,
        "instalment",
        instalment.number,
        instalment.principal_cny,
        instalment.interest_cny,
        Decimal("0.00"),
    )


def _schedule(
    principal_cny: Decimal,
    annual_rate: Decimal,
    method: Method,
    day_count: DayCount,
    disbursed_on: date,
    months: int,
) -> tuple[Instalment, ...]:
    agreed = loan_math.Loan(
        principal_cny=principal_cny,
        method=method,
        annual_rate=annual_rate,
        terms=months,
        day_count=day_count,
        start=disbursed_on,
    )
    return tuple(
        Instalment(row.term, row.due, row.principal_cny.quantize(FEN), row.interest_cny)
        for row in loan_math.schedule(agreed).instalments
        if row.due is not None
    )


def _later(day: date, months: int) -> date:
    """The same day in another month, or its last day."""
    month = day.year * 12 + day.month - 1 + months
    first = date(month // 12, month % 12 + 1, 1)
    following = date((month + 1) // 12, (month + 1) % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - first).days))


# What else a customer has


def _coupons(state: State, customer_id: str, today: date, draw: Random) -> tuple[Coupon, ...]:
    if state in ("minor", "student") or draw.random() < 0.35:
        return ()
    made: list[Coupon] = []
    for kind in draw.sample(COUPON_KINDS, draw.randint(1, 3)):
        valid_from = today - timedelta(days=draw.randint(5, 40))
        valid_to = today + timedelta(days=draw.choice((-3, 0, 7, 20, 45)))
        product = {"rate": "anxin", "interest_free": "suixin"}.get(
            kind, draw.choice(("anxin", "suixin"))
        )
        coupon = Coupon(
            id=f"{customer_id}-C{len(made) + 1}",
            customer_id=customer_id,
            kind=kind,
            product=product,
            state="expired" if valid_to < today else draw.choice(("unused", "unused", "used")),
            valid_from=valid_from,
            valid_to=valid_to,
        )
        match kind:
            case "rate":
                coupon = replace(coupon, discount=Decimal(draw.choice(("0.8", "0.9"))))
            case "interest_free":
                days = draw.choice((7, 15, 30))
                coupon = replace(coupon, free_days=days, principal_cap_cny=Decimal("10000.00"))
            case "voucher":
                coupon = replace(
                    coupon,
                    amount_cny=Decimal(draw.choice(("5.00", "10.00", "20.00"))),
                    threshold_cny=Decimal("500.00"),
                )
        made.append(coupon)
    return tuple(made)


def _applications(
    state: State, customer_id: str, loans: tuple[Loan, ...], today: date, draw: Random
) -> tuple[Application, ...]:
    made = [
        Application(
            id=f"{loan.id}-A",
            customer_id=customer_id,
            product=loan.product,
            applied_on=loan.contract_date,
            amount_cny=loan.principal_cny,
            months=len(loan.schedule),
            state="disbursed",
            decided_on=loan.contract_date,
        )
        for loan in loans
    ]
    outcomes: Mapping[State, tuple[ApplicationState | None, ...]] = {
        "new": ("in_review", "in_review", "approved", "withdrawn", None),
        "minor": ("declined", None),
        "student": ("declined", "in_review", None),
        "settled": ("in_review", None, None),
    }
    outcome = draw.choice(outcomes.get(state, (None,)))
    if outcome is not None:
        applied_on = today - timedelta(days=draw.randint(1, 6))
        made.append(
            Application(
                id=f"{customer_id}-A1",
                customer_id=customer_id,
                product=draw.choice(("anxin", "suixin")),
                applied_on=applied_on,
                amount_cny=Decimal(draw.randrange(10, 300) * 100).quantize(FEN),
                months=draw.choice((3, 6, 12)),
                state=outcome,
                decided_on=None if outcome == "in_review" else today,
            )
        )
    return tuple(made)


def _consents(
    state: State, customer_id: str, since: date, today: date, draw: Random
) -> tuple[Consent, ...]:
    if state == "opted_out":
        day = today - timedelta(days=draw.randint(3, 19))
        return tuple(
            Consent(customer_id, "marketing", c, False, day) for c in (*CHANNELS, "wechat")
        )
    if state == "minor":
        return ()
    made = [
        Consent(customer_id, "marketing", channel, draw.random() < 0.8, since)
        for channel in draw.sample(CHANNELS, draw.randint(1, len(CHANNELS)))
    ]
    if draw.random() < 0.6:
        made.append(Consent(customer_id, "profiling", "push", draw.random() < 0.7, since))
    if any(consent.channel == "sms" and consent.given for consent in made) and draw.random() < 0.6:
        made.append(Consent(customer_id, "profiling", "sms", draw.random() < 0.8, since))
    # A draw of its own, so that everything else of a demo customer stays as it is.
    follows = Random(f"wechat {customer_id}").random()
    if follows < 0.6:
        made.append(Consent(customer_id, "marketing", "wechat", follows < 0.45, since))
    return tuple(made)
