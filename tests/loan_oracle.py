"""Loans calculated a second time, by other means: whole fen and fractions, dateutil's months,
numpy-financial's and pyxirr's formulas. Nothing of the calculation itself is used here."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy_financial as npf
import pyxirr
from dateutil.relativedelta import relativedelta

Row = tuple[int, int, int]
"""Principal, interest and balance, in fen."""


@dataclass(frozen=True)
class Case:
    """A call of `calculate`, and what it has to say: the path in its JSON -> value."""

    tool: str
    arguments: Mapping[str, Any]
    expected: Mapping[str, str | int | bool | None]
    rates: Mapping[str, float]
    """Paths of rates -> value of a library that calculates in floats."""


def to_fen(amount: Fraction) -> int:
    """Half up, of amounts in fen that are not negative."""
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)


def yuan(amount: int) -> str:
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def shares(loan: Mapping[str, Any]) -> list[Fraction]:
    """What part of a year each term is."""
    months = loan.get("months_per_term", 1)
    if loan.get("day_count", "30/360") == "30/360":
        return [Fraction(months, 12)] * loan["terms"]
    start = date.fromisoformat(loan["start"])
    days = [start + relativedelta(months=months * n) for n in range(loan["terms"] + 1)]
    year = int(loan["day_count"][-3:])
    return [Fraction((b - a).days, year) for a, b in pairwise(days)]


def level(principal: int, yearly: Fraction, of_year: Sequence[Fraction]) -> int:
    """The equal instalment in fen: of equal terms by numpy-financial in Decimal, of others by
    going back from the last term."""
    if not yearly:
        return to_fen(Fraction(principal, len(of_year)))
    with localcontext() as context:
        context.prec = 60
        if len(set(of_year)) == 1:
            rate = yearly * of_year[0]
            decimal_rate = Decimal(rate.numerator) / Decimal(rate.denominator)
            paid = npf.pmt(decimal_rate, len(of_year), Decimal(-principal))
        else:
            worth = Decimal(0)
            for part in reversed(of_year):
                rate = yearly * part
                growth = 1 + Decimal(rate.numerator) / Decimal(rate.denominator)
                worth = (1 + worth) / growth
            paid = principal / worth
        return to_fen(Fraction(paid))


def run_down(
    balance: int,
    yearly: Fraction,
    of_year: Sequence[Fraction],
    principal_of: Callable[[int], int],
) -> list[Row]:
    rows: list[Row] = []
    for n, part in enumerate(of_year):
        interest = to_fen(balance * yearly * part)
        principal = balance if n == len(of_year) - 1 else principal_of(interest)
        principal = min(balance, max(0, principal))
        balance -= principal
        rows.append((principal, interest, balance))
    return rows


def rows_of(
    method: str, balance: int, yearly: Fraction, of_year: Sequence[Fraction], bare: int = 0
) -> list[Row]:
    """bare: terms of `interest_first` in which interest alone is paid."""
    if method == "interest_first":
        first = [(0, to_fen(balance * yearly * part), balance) for part in of_year[:bare]]
        return first + rows_of("equal_instalment", balance, yearly, of_year[bare:])
    if method == "interest_only":
        return run_down(balance, yearly, of_year, lambda interest: 0)
    if method == "equal_instalment":
        paid = level(balance, yearly, of_year)
        return run_down(balance, yearly, of_year, lambda interest: paid - interest)
    part = to_fen(Fraction(balance, len(of_year)))
    return run_down(balance, yearly, of_year, lambda interest: part)


# Cases -------------------------------------------------------------------------------------------

METHODS = ("equal_instalment", "equal_principal", "interest_only", "interest_first")
TERMS = (1, 2, 3, 6, 9, 12, 18, 24, 36, 48, 60)


def some_loan(draw: random.Random, methods: Sequence[str] = METHODS) -> dict[str, Any]:
    """A loan in instalments, with the rate as a text and maybe with dates."""
    method = draw.choice(methods)
    loan: dict[str, Any] = {
        "principal_cny": yuan(
            draw.choice([draw.randint(100, 10**5), draw.randint(10**5, 2 * 10**7)])
        ),
        "method": method,
        "terms": draw.choice(TERMS),
    }
    if method == "interest_first" and loan["terms"] == 1:
        loan["terms"] = 12
    if method == "interest_first":
        loan["interest_only_terms"] = draw.randint(1, loan["terms"] - 1)
    if method == "instalment_fee":
        loan["term_fee_rate"] = f"{Decimal(draw.randint(1, 150)) / 10000:f}"
    else:
        loan["annual_rate"] = f"{Decimal(draw.randint(0, 3600)) / 10000:f}"
    if draw.random() < 0.1:
        loan["months_per_term"] = draw.choice([2, 3, 6])
    if draw.random() < 0.4:
        loan["start"] = f"{date(2019, 1, 1) + timedelta(draw.randint(0, 3650)):%Y-%m-%d}"
        if draw.random() < 0.7 and method != "instalment_fee":
            loan["day_count"] = draw.choice(["actual/365", "actual/360"])
    return loan


def fen_of(amount: str) -> int:
    return int(Fraction(amount) * 100)


def yearly_of(loan: Mapping[str, Any]) -> Fraction:
    return Fraction(loan.get("annual_rate", "0"))


def fee_of(loan: Mapping[str, Any]) -> int:
    principal = fen_of(loan["principal_cny"])
    return to_fen(principal * Fraction(loan.get("term_fee_rate", "0")))


def table(loan: Mapping[str, Any]) -> list[Row]:
    return rows_of(
        "equal_principal" if loan["method"] == "instalment_fee" else loan["method"],
        fen_of(loan["principal_cny"]),
        yearly_of(loan),
        shares(loan),
        loan.get("interest_only_terms", loan["terms"] - 1),
    )


def schedule_case(draw: random.Random) -> Case:
    loan = some_loan(draw, (*METHODS, "instalment_fee"))
    if draw.random() < 0.2:
        principal = fen_of(loan["principal_cny"])
        loan["upfront_fee_cny"] = yuan(draw.randint(0, principal // 20))
    rows, fee = table(loan), fee_of(loan)
    expected: dict[str, str | int | bool | None] = {}
    for n, (principal, interest, balance) in enumerate(rows):
        at = f"instalments.{n}"
        expected[f"{at}.principal_cny"] = yuan(principal)
        expected[f"{at}.interest_cny"] = yuan(interest)
        expected[f"{at}.total_cny"] = yuan(principal + interest + fee)
        expected[f"{at}.balance_cny"] = yuan(balance)
        if "start" in loan:
            months = loan.get("months_per_term", 1) * (n + 1)
            due = date.fromisoformat(loan["start"]) + relativedelta(months=months)
            expected[f"{at}.due"] = due.isoformat()
    upfront = fen_of(loan.get("upfront_fee_cny", "0"))
    interest = sum(row[1] for row in rows)
    expected["interest_cny"] = yuan(interest)
    expected["fees_cny"] = yuan(fee * len(rows) + upfront)
    expected["cost_cny"] = yuan(interest + fee * len(rows) + upfront)
    received = fen_of(loan["principal_cny"]) - upfront
    return Case(
        "schedule", loan, expected, irr_of(received, [p + i + fee for p, i, _ in rows], loan)
    )


def irr_of(received: int, paid: Sequence[int], loan: Mapping[str, Any]) -> dict[str, float]:
    """By pyxirr and numpy-financial, which have to agree first."""
    flows = [-float(received), *map(float, paid)]
    rate = pyxirr.irr(flows, guess=0.01)
    if rate is None or abs(pyxirr.npv(rate, flows)) > 1e-3 * received:
        rate = float(npf.irr(flows))
    elif len(paid) <= 12:
        assert abs(float(npf.irr(flows)) - rate) < 1e-7
    a_year = 12 / loan.get("months_per_term", 1)
    return {
        "annual.simple_annual_rate": rate * a_year,
        "annual.compound_annual_rate": (1 + rate) ** a_year - 1,
    }


def daily_case(draw: random.Random) -> Case:
    principal = draw.randint(100, 10**7)
    start = date(2019, 1, 1) + timedelta(draw.randint(0, 3650))
    daily = Fraction(draw.randint(1, 1000), 10**6)
    year = draw.choice([365, 360])
    gaps = [draw.randint(1, 90) for _ in range(draw.randint(1, 5))]
    day, balance, repaid = start, principal, []
    expected: dict[str, str | int | bool | None] = {}
    flows: list[tuple[date, float]] = [(start, -float(principal))]
    interest_all, in_use = 0, 0
    for n, gap in enumerate(gaps):
        interest = to_fen(balance * daily * gap)
        part = balance if n == len(gaps) - 1 else draw.randint(1, max(1, balance // 3))
        in_use += balance * gap
        balance -= part
        day += timedelta(gap)
        interest_all += interest
        flows.append((day, float(part + interest)))
        at = f"instalments.{n}"
        expected[f"{at}.interest_cny"] = yuan(interest)
        expected[f"{at}.total_cny"] = yuan(part + interest)
        expected[f"{at}.balance_cny"] = yuan(balance)
        repaid.append({"day": day.isoformat(), "amount_cny": yuan(part)})
    expected["interest_cny"] = yuan(interest_all)
    loan = {
        "principal_cny": yuan(principal),
        "method": "daily",
        "daily_rate": f"{Decimal(daily.numerator) / Decimal(daily.denominator):f}",
        "day_count": f"actual/{year}",
        "start": start.isoformat(),
        "until": day.isoformat(),
        "repayments": repaid[:-1],
    }
    xirr = pyxirr.xirr(flows)
    rates = {"annual.simple_annual_rate": interest_all * 365 / in_use}
    if xirr is not None:
        rates["annual.compound_annual_rate"] = xirr
    return Case("schedule", loan, expected, rates)


def rate_case(draw: random.Random) -> Case:
    received = draw.randint(10**4, 10**7)
    terms = draw.choice([3, 6, 12, 24, 36])
    paid = [to_fen(Fraction(received, terms) * draw.randint(95, 140) / 100) for _ in range(terms)]
    flows = [-float(received), *map(float, paid)]
    rate = pyxirr.irr(flows)
    assert rate is not None
    return Case(
        "rate",
        {"received_cny": yuan(received), "payments": [yuan(amount) for amount in paid]},
        {"cost_cny": yuan(sum(paid) - received), "repaid_cny": yuan(sum(paid))},
        {
            "annual.simple_annual_rate": rate * 12,
            "annual.compound_annual_rate": (1 + rate) ** 12 - 1,
        },
    )


def settle_case(draw: random.Random) -> Case:
    loan = some_loan(draw)
    loan.setdefault("start", f"{date(2022, 1, 1) + timedelta(draw.randint(0, 1000)):%Y-%m-%d}")
    loan.pop("day_count", None)
    rows = table(loan)
    months = loan.get("months_per_term", 1)
    start = date.fromisoformat(loan["start"])
    dues = [start + relativedelta(months=months * (n + 1)) for n in range(loan["terms"])]
    on = start + timedelta(draw.randint(0, (dues[-1] - start).days - 1))
    paid = len([due for due in dues if due <= on])
    balance = rows[paid - 1][2] if paid else fen_of(loan["principal_cny"])
    since = dues[paid - 1] if paid else start
    interest = to_fen(balance * yearly_of(loan) * (on - since).days / 365)
    fee = Fraction(draw.choice([0, 1, 2, 3]), 100)
    charge = to_fen(balance * fee)
    coming = sum(row[1] for row in rows[paid:])
    return Case(
        "settle",
        {"loan": loan, "on": on.isoformat(), "penalty_rate": f"{float(fee):.2f}"},
        {
            "paid_terms": paid,
            "balance_cny": yuan(balance),
            "interest_cny": yuan(interest),
            "penalty_cny": yuan(charge),
            "total_cny": yuan(balance + interest + charge),
            "saved_cny": yuan(coming - interest - charge),
        },
        {},
    )


def prepay_case(draw: random.Random) -> Case:
    loan = some_loan(draw, ("equal_instalment", "equal_principal"))
    loan["terms"] = max(loan["terms"], 3)
    rows, of_year = table(loan), shares(loan)
    gone = draw.randint(0, loan["terms"] - 2)
    balance = rows[gone - 1][2] if gone else fen_of(loan["principal_cny"])
    if balance < 10:
        return prepay_case(draw)
    prepaid = draw.randint(1, balance - 1)
    mode = draw.choice(["shorten_term", "lower_instalment"])
    left, yearly = balance - prepaid, yearly_of(loan)
    if mode == "lower_instalment":
        after = rows_of(loan["method"], left, yearly, of_year[gone:])
    else:
        whole = fen_of(loan["principal_cny"])
        if loan["method"] == "equal_instalment":
            paid = level(whole, yearly, of_year)
            ran = run_down(left, yearly, of_year[gone:], lambda interest: paid - interest)
        else:
            part = to_fen(Fraction(whole, loan["terms"]))
            ran = run_down(left, yearly, of_year[gone:], lambda interest: part)
        over = next(n for n, row in enumerate(ran) if row[2] == 0)
        after = ran[: over + 1]
    expected: dict[str, str | int | bool | None] = {
        "terms_after": gone + len(after),
        "total_cny": yuan(prepaid),
        "saved_cny": yuan(sum(r[1] for r in rows[gone:]) - sum(r[1] for r in after)),
    }
    for n, (principal, interest, rest) in enumerate(after):
        expected[f"instalments.{n}.total_cny"] = yuan(principal + interest)
        expected[f"instalments.{n}.balance_cny"] = yuan(rest)
    arguments = {"loan": loan, "prepaid_cny": yuan(prepaid), "mode": mode, "after_term": gone}
    return Case("prepay", arguments, expected, {})


def overdue_case(draw: random.Random) -> Case:
    principal = draw.randint(1, 10**7)
    yearly = Fraction(draw.randint(0, 3600), 10000)
    uplift = Fraction(draw.choice([0, 30, 50, 100]), 100)
    cap = draw.choice([None, Fraction(24, 100)])
    days, grace = draw.randint(0, 200), draw.choice([0, 1, 3, 5])
    charged_in_grace = draw.random() < 0.4
    year = draw.choice([365, 360])
    rate = yearly * (1 + uplift)
    rate = rate if cap is None else min(rate, cap)
    charged = 0
    for day in range(1, days + 1):  # counted day by day
        if days > grace and (charged_in_grace or day > grace):
            charged += 1
    due = date(2023, 1, 1) + timedelta(draw.randint(0, 1000))
    arguments = {
        "overdue_principal_cny": yuan(principal),
        "annual_rate": f"{float(yearly):.4f}",
        "uplift": f"{float(uplift):.2f}",
        "due": due.isoformat(),
        "paid": (due + timedelta(days)).isoformat(),
        "grace_days": grace,
        "grace_charged": charged_in_grace,
        "day_count": f"actual/{year}",
    }
    if cap is not None:
        arguments["cap_annual_rate"] = "24%"
    penalty = to_fen(principal * rate * charged / year)
    expected = {"charged_days": charged, "penalty_cny": yuan(penalty)}
    return Case("overdue", arguments, expected, {"penalty_annual_rate": float(rate)})


def free_days_case(draw: random.Random) -> Case:
    principal = draw.randint(100, 5 * 10**6)
    daily = Fraction(draw.randint(1, 1000), 10**6)
    days, free = draw.randint(1, 120), draw.choice([3, 7, 15, 30])
    cap = draw.choice([None, 10**6, 5 * 10**5])
    start = date(2024, 1, 1) + timedelta(draw.randint(0, 700))
    charged = 0
    for day in range(days):
        freed = 0 if day >= free else principal if cap is None else min(principal, cap)
        charged += principal - freed
    interest, before = to_fen(charged * daily), to_fen(principal * days * daily)
    coupon = {"kind": "interest_free", "free_days": free}
    if cap is not None:
        coupon["principal_cap_cny"] = yuan(cap)
    loan = {
        "principal_cny": yuan(principal),
        "method": "daily",
        "daily_rate": f"{Decimal(daily.numerator) / Decimal(daily.denominator):f}",
        "start": start.isoformat(),
        "until": (start + timedelta(days)).isoformat(),
    }
    expected: dict[str, str | int | bool | None] = {
        "saved_cny": yuan(before - interest),
        "cost_cny": yuan(interest),
    }
    return Case("coupon", {"loan": loan, "coupons": [coupon]}, expected, {})


def rate_coupon_case(draw: random.Random) -> Case:
    loan = some_loan(draw, ("equal_instalment", "equal_principal"))
    discount, floor = Fraction(draw.randint(1, 99), 100), Fraction(36, 1000)
    yearly = yearly_of(loan)
    reduced = min(yearly, max(yearly * discount, floor))
    principal, of_year = fen_of(loan["principal_cny"]), shares(loan)
    before = rows_of(loan["method"], principal, yearly, of_year)
    after = rows_of(loan["method"], principal, reduced, of_year)
    amount, term = draw.randint(1, 5000), draw.randint(1, loan["terms"])
    off = min(amount, after[term - 1][1])
    coupons = [
        {"kind": "voucher", "amount_cny": yuan(amount), "term": term},
        {"kind": "rate", "discount": f"{float(discount):.2f}", "floor_annual_rate": "3.6%"},
    ]
    cost = sum(row[1] for row in after) - off
    expected: dict[str, str | int | bool | None] = {
        "uses.0.saved_cny": yuan(off),
        "cost_cny": yuan(cost),
        "saved_cny": yuan(sum(row[1] for row in before) - cost),
        f"instalments.{term - 1}.total_cny": yuan(after[term - 1][0] + after[term - 1][1] - off),
    }
    return Case("coupon", {"loan": loan, "coupons": coupons}, expected, {})


def compare_case(draw: random.Random) -> Case:
    a, b = some_loan(draw), some_loan(draw)
    costs = [sum(row[1] for row in table(loan)) for loan in (a, b)]
    less = "same" if costs[0] == costs[1] else "ab"[costs[1] < costs[0]]
    expected: dict[str, str | int | bool | None] = {
        "a.cost_cny": yuan(costs[0]),
        "b.cost_cny": yuan(costs[1]),
        "cost_difference_cny": yuan(costs[0] - costs[1]),
        "less_cost": less,
    }
    return Case("compare", {"a": a, "b": b}, expected, {})


MAKERS: Mapping[Callable[[random.Random], Case], int] = {
    schedule_case: 2400,
    daily_case: 700,
    rate_case: 500,
    settle_case: 500,
    prepay_case: 500,
    overdue_case: 500,
    free_days_case: 400,
    rate_coupon_case: 400,
    compare_case: 100,
}
"""Kind of case -> how many of it; 6,000 together."""


def cases(part: int = 1) -> Iterator[Case]:
    """One of `part` of all cases, the same ones every time."""
    for maker, number in MAKERS.items():
        for n in range(0, number, part):
            yield maker(random.Random(f"{maker.__name__} {n}"))


def found(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document
