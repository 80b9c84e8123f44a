"""Loans against other means of calculating them, worked examples, and what holds of every loan.

A sixth of the cases of loan_oracle is calculated here, all of them by `make bench`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from datetime import date, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.loan_math import (
    LIMITS,
    TOOLS,
    BadArgument,
    Calendar,
    Compared,
    Coupon,
    Couponed,
    Loan,
    Method,
    Overdue,
    Prepaying,
    RateOf,
    Repayment,
    Result,
    Settling,
    UnknownYear,
    annual_rate,
    as_json,
    calculate,
    compare,
    irr,
    load_calendar,
    prepay,
    schedule,
    settle,
    shift_day,
    use_coupons,
    xirr,
)

from .loan_oracle import MAKERS, Case, found

D = Decimal
ANXIN = Loan(D(10000), "equal_instalment", D("0.144"), terms=12)


def differences(case: Case) -> list[str]:
    """Where a calculation says another amount than the case, or a rate that is not near."""
    document = as_json(calculate(case.tool, case.arguments))
    wrong = [
        f"{case.tool} {path}: {found(document, path)}, not {value}; {case.arguments}"
        for path, value in case.expected.items()
        if found(document, path) != value
    ]
    return wrong + [
        f"{case.tool} {path}: {found(document, path)}, not {value}; {case.arguments}"
        for path, value in case.rates.items()
        if abs(float(found(document, path)) - value) > 1e-7 * max(1, abs(value))
    ]


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_no_case_differs_by_a_cent_from_other_means(
    maker: Callable[[random.Random], Case],
) -> None:
    drawn = [maker(random.Random(f"{maker.__name__} {n}")) for n in range(0, MAKERS[maker], 6)]
    assert [line for case in drawn for line in differences(case)] == []


def test_there_are_as_many_cases_as_are_told_of() -> None:
    assert sum(MAKERS.values()) == 6000


# What holds of every loan ------------------------------------------------------------------------

AMOUNTS = st.decimals(1, 1_000_000, places=2)
RATES = st.decimals(0, D("0.99"), places=4)
COUNTS = st.sampled_from(["30/360", "actual/365", "actual/360"])


@st.composite
def loans(draw: st.DrawFn) -> Loan:
    method: Method = draw(
        st.sampled_from(["equal_instalment", "equal_principal", "interest_only", "interest_first"])
    )
    terms = draw(st.integers(2, 120))
    return Loan(
        principal_cny=draw(AMOUNTS),
        method=method,
        annual_rate=draw(RATES),
        terms=terms,
        months_per_term=draw(st.sampled_from([1, 1, 1, 3])),
        interest_only_terms=draw(st.integers(1, terms - 1)) if method == "interest_first" else None,
        then=draw(st.sampled_from(["equal_instalment", "equal_principal"])),
        day_count=draw(COUNTS),
        start=draw(st.dates(date(2010, 1, 1), date(2030, 12, 31))),
    )


@settings(max_examples=80, deadline=None)
@given(loans())
def test_the_parts_of_a_schedule_add_up(loan: Loan) -> None:
    found = schedule(loan)
    balance = loan.principal_cny
    for row in found.instalments:
        balance -= row.principal_cny
        assert row.balance_cny == balance >= 0
        assert row.principal_cny >= 0
        assert row.interest_cny >= 0
        assert row.total_cny == row.principal_cny + row.interest_cny + row.fee_cny
        assert row.total_cny == row.total_cny.quantize(D("0.01"))
    assert balance == 0
    assert sum(row.total_cny for row in found.instalments) == found.repaid_cny
    assert found.cost_cny == found.repaid_cny - loan.principal_cny
    dues = [row.due for row in found.instalments]
    assert dues == sorted(set(dues), key=str)


@settings(max_examples=50, deadline=None)
@given(st.decimals(1_000, 1_000_000, places=2), RATES, st.integers(2, 60))
def test_equal_instalments_are_equal_and_the_last_takes_what_rounding_left(
    principal: Decimal, rate: Decimal, terms: int
) -> None:
    rows = schedule(Loan(principal, "equal_instalment", rate, terms=terms)).instalments
    assert len({row.total_cny for row in rows[:-1]}) == 1
    # Each instalment is off by half a fen at most and each interest too; they earn interest.
    with localcontext():
        growth = (1 + rate / 12) ** terms
    assert abs(rows[-1].total_cny - rows[0].total_cny) <= D("0.01") * (1 + terms * growth)


@settings(max_examples=50, deadline=None)
@given(loans())
def test_at_the_rate_found_the_payments_are_worth_the_principal(loan: Loan) -> None:
    paid = [row.total_cny for row in schedule(loan).instalments]
    rate = irr(loan.principal_cny, paid)
    worth = sum((amount / (1 + rate) ** n for n, amount in enumerate(paid, start=1)), D(0))
    assert abs(worth - loan.principal_cny) < D("1e-12") * loan.principal_cny


@settings(max_examples=50, deadline=None)
@given(
    st.decimals(100_000, 1_000_000, places=2),
    st.decimals("0.01", "0.5", places=4),
    st.integers(2, 60),
    st.sampled_from(["equal_instalment", "equal_principal", "interest_only"]),
)
def test_without_fees_the_simple_rate_is_that_of_the_contract(
    principal: Decimal, rate: Decimal, terms: int, method: Method
) -> None:
    found = schedule(Loan(principal, method, rate, terms=terms)).annual
    assert abs(found.simple_annual_rate - rate) < D("0.000005")
    assert found.compound_annual_rate > found.simple_annual_rate


@settings(max_examples=50, deadline=None)
@given(loans(), st.decimals("0.01", "0.99", places=2))
def test_a_fee_makes_a_loan_dearer(loan: Loan, share: Decimal) -> None:
    fee = (loan.principal_cny * share / 10).quantize(D("0.01"))
    dearer = schedule(replace(loan, upfront_fee_cny=fee))
    plain = schedule(loan)
    assert dearer.cost_cny == plain.cost_cny + fee
    assert dearer.annual.simple_annual_rate >= plain.annual.simple_annual_rate


@settings(max_examples=60, deadline=None)
@given(loans(), st.integers(0, 4000))
def test_settling_never_costs_more_than_the_instalments_to_come(loan: Loan, days: int) -> None:
    assert loan.start is not None
    whole = schedule(loan)
    on = loan.start + timedelta(days)
    last = whole.instalments[-1].due
    assert last is not None
    if on >= last:
        with pytest.raises(BadArgument, match=r"^on: expected less than"):
            settle(Settling(loan, on))
        return
    found = settle(Settling(loan, on))
    left = sum(row.total_cny for row in whole.instalments[found.paid_terms :])
    # Of a month of 31 days, 31/365 are more than the twelfth that the instalment has.
    spare = loan.principal_cny * loan.yearly * D("0.02") + D("0.02")
    assert found.total_cny <= left + spare
    assert found.balance_cny + found.interest_cny == found.total_cny


# Worked by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "dues"),
    [
        (date(2026, 1, 31), ["2026-02-28", "2026-03-31", "2026-04-30"]),
        (date(2028, 1, 31), ["2028-02-29", "2028-03-31", "2028-04-30"]),
        (date(2027, 11, 30), ["2027-12-30", "2028-01-30", "2028-02-29"]),
        (date(2100, 1, 30), ["2100-02-28", "2100-03-30", "2100-04-30"]),
    ],
)
def test_a_month_without_the_day_is_due_on_its_last(start: date, dues: list[str]) -> None:
    rows = schedule(replace(ANXIN, terms=3, start=start)).instalments
    assert [str(row.due) for row in rows] == dues


def test_a_leap_day_counts_where_days_are_counted_and_nowhere_else() -> None:
    def february(year: int, day_count: Any) -> Decimal:
        loan = Loan(
            D(365000),
            "interest_only",
            D("0.1"),
            terms=1,
            day_count=day_count,
            start=date(year, 2, 1),
        )
        return schedule(loan).interest_cny

    assert february(2027, "actual/365") == D("2800.00")  # 100 a day
    assert february(2028, "actual/365") == D("2900.00")
    assert february(2028, "actual/360") == D("2940.28")  # 365000 * 0.1 * 29 / 360
    assert february(2027, "30/360") == february(2028, "30/360") == D("3041.67")


def test_half_a_fen_is_rounded_up() -> None:
    # 100.00 at 0.06 % a year, a month: 0.005 exactly.
    assert schedule(Loan(D(100), "interest_only", D("0.0006"), terms=1)).interest_cny == D("0.01")
    loan = Loan(
        D(50), "daily", daily_rate=D("0.0001"), start=date(2026, 7, 1), until=date(2026, 7, 2)
    )
    assert schedule(loan).interest_cny == D("0.01")  # 0.005


def test_a_first_term_of_another_length_is_counted_by_days() -> None:
    loan = replace(ANXIN, principal_cny=D(36500), terms=3, start=date(2026, 7, 20))
    stub = replace(loan, first_due=date(2026, 8, 5), method="interest_only")
    by_months = schedule(stub)
    assert by_months.instalments[0].interest_cny == D("219.00")  # 15 of 360 days
    assert by_months.instalments[1].interest_cny == D("438.00")
    assert [str(row.due) for row in by_months.instalments][1:] == ["2026-09-05", "2026-10-05"]
    by_days = schedule(replace(stub, day_count="actual/365"))
    assert by_days.instalments[0].interest_cny == D("230.40")  # 14.40 a day, 16 days
    assert by_days.annual.measured == "days"
    assert abs(by_days.annual.simple_annual_rate - D("0.144")) < D("0.000001")


def test_what_is_due_on_no_workday_is_shifted_as_agreed() -> None:
    # 3 October 2026 is a holiday, 8 October the next workday, 30 September the one before.
    dated = replace(ANXIN, terms=1, start=date(2026, 9, 3))
    assert schedule(dated).instalments[0].due == date(2026, 10, 3)
    following = schedule(replace(dated, shift="following")).instalments[0]
    assert (following.due, following.shifted) == (date(2026, 10, 8), "yes")
    assert schedule(replace(dated, shift="preceding")).instalments[0].due == date(2026, 9, 30)
    # 31 May 2026 is a Sunday; its next workday is in June.
    month_end = replace(dated, start=date(2026, 4, 30), first_due=date(2026, 5, 31))
    modified = replace(month_end, shift="modified_following")
    assert schedule(modified).instalments[0].due == date(2026, 5, 29)
    # 10 October 2026 is a Saturday that is worked.
    worked = replace(dated, start=date(2026, 9, 10), shift="following")
    assert schedule(worked).instalments[0].shifted == "no"


def test_interest_runs_to_the_day_agreed_or_to_the_one_it_was_shifted_to() -> None:
    dated = replace(
        ANXIN,
        principal_cny=D(36500),
        annual_rate=D("0.1"),
        method="interest_only",
        terms=1,
        start=date(2026, 9, 3),
        day_count="actual/365",
        shift="following",
    )
    assert schedule(dated).interest_cny == D("300.00")
    assert schedule(replace(dated, interest_to="shifted")).interest_cny == D("350.00")


def test_a_year_that_the_calendar_does_not_know_is_refused_or_marked() -> None:
    dated = replace(ANXIN, start=date(2026, 6, 1), shift="following")
    with pytest.raises(UnknownYear) as raised:
        schedule(dated)
    assert raised.value.field == "shift"
    assert "2027" in str(raised.value)
    marked = schedule(replace(dated, unknown_years="unshifted"))
    assert {row.shifted for row in marked.instalments if row.due and row.due.year == 2027} == {
        "unknown_year"
    }
    assert "unknown_year" in marked.basis.conventions
    assert all(
        row.shifted != "unknown_year"
        for row in marked.instalments
        if row.due and row.due.year < 2027
    )


def test_a_shift_that_ends_in_an_unknown_year_is_not_guessed() -> None:
    calendar = Calendar(frozenset({date(2026, 12, 31)}), frozenset(), frozenset({2026}))
    assert shift_day(date(2026, 12, 30), "following", calendar) == date(2026, 12, 30)
    assert shift_day(date(2026, 12, 31), "preceding", calendar) == date(2026, 12, 30)
    with pytest.raises(UnknownYear):
        shift_day(date(2026, 12, 31), "following", calendar)


@pytest.mark.parametrize(
    # As the notices of the General Office of the State Council count them.
    ("year", "workdays"),
    [(2023, 249), (2024, 251), (2025, 248), (2026, 248)],
)
def test_the_calendar_has_as_many_workdays_as_the_notices_leave(year: int, workdays: int) -> None:
    days = [date(year, 1, 1) + timedelta(n) for n in range(366)]
    calendar = load_calendar()
    assert sum(calendar.is_workday(day) for day in days if day.year == year) == workdays


def test_a_calendar_with_days_of_other_years_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "workdays.toml"
    file.write_text("[years.2027]\noff = [['2026-12-31', '2027-01-01']]\non = []\n", "utf-8")
    with pytest.raises(ValueError, match="2026"):
        load_calendar(file)


def test_drawn_and_repaid_on_one_day_is_charged_as_agreed() -> None:
    day = date(2026, 8, 1)
    loan = Loan(D(10000), "daily", daily_rate=D("0.0004"), start=day, until=day)
    assert schedule(loan).interest_cny == 0
    charged = schedule(replace(loan, least_days=1))
    assert charged.interest_cny == D("4.00")
    assert charged.annual is None  # no time passed: any rate would be a false one
    both = compare(Compared(loan, ANXIN))
    assert (both.lower_rate, both.simple_rate_difference) == (None, None)


def test_a_fee_on_the_first_day_counts_however_soon_the_principal_is_repaid() -> None:
    start = date(2026, 3, 1)
    loan = Loan(
        D(100), "daily", D(0), start=start, until=start + timedelta(31),
        repayments=(Repayment(start + timedelta(1), D(60)),), upfront_fee_cny=D(10),
    )  # fmt: skip
    found = schedule(loan).annual
    assert found is not None
    # 10 for (100 * 1 + 40 * 30) * 0.9 yuan and days
    assert found.simple_annual_rate == D("3.11965812")
    assert found.compound_annual_rate > found.simple_annual_rate


def test_six_tenths_of_a_per_cent_a_month_is_thirteen_per_cent_a_year() -> None:
    """12 equal parts and a fee of 0.6 % of the original principal: not 7.2 %."""
    found = schedule(Loan(D(12000), "instalment_fee", terms=12, term_fee_rate=D("0.006")))
    assert {row.total_cny for row in found.instalments} == {D("1072.00")}
    assert f"{found.annual.simple_annual_rate:.2%}" == "13.03%"
    assert f"{found.annual.compound_annual_rate:.2%}" == "13.84%"


def test_more_or_less_than_was_received_has_a_rate_and_nothing_has_none() -> None:
    assert irr(D(100), [D(90)]).quantize(D("1e-20")) == D("-0.1")
    assert irr(D(100), [D(0), D(121)]).quantize(D("1e-20")) == D("0.1")
    assert irr(D(100), [D(50), D(50)]).quantize(D("1e-20")) == 0
    year_later = xirr(D(100), date(2026, 1, 1), [(date(2027, 1, 1), D(110))])
    assert year_later.quantize(D("1e-20")) == D("0.1")
    with pytest.raises(BadArgument, match="payments"):
        RateOf(received_cny=D(100), payments=(D(0), D(0)))
    with pytest.raises(BadArgument, match="annual_rate"):
        annual_rate(RateOf(received_cny=D(1), payments=(D(100_000_000),)))


def test_interest_first_is_interest_only_unless_terms_are_named() -> None:
    bare = Loan(D(9000), "interest_first", D("0.12"), terms=4)
    assert [row.total_cny for row in schedule(bare).instalments] == [90, 90, 90, 9090]
    two = schedule(replace(bare, interest_only_terms=2, then="equal_principal")).instalments
    assert [row.total_cny for row in two] == [90, 90, 4590, 4545]


# Coupons -----------------------------------------------------------------------------------------

SUIXIN = Loan(
    D(8000), "daily", daily_rate=D("0.0004"), start=date(2026, 7, 1), until=date(2026, 7, 31)
)
RATE, FREE = Coupon("rate", discount=D("0.8")), Coupon("interest_free", free_days=15)
VOUCHER = Coupon("voucher", amount_cny=D(20), term=1, threshold_cny=D(500))


def refusals(loan: Loan, *coupons: Coupon, overdue: bool = False) -> list[str]:
    return [use.refused for use in use_coupons(Couponed(loan, coupons, overdue)).uses]


def test_coupons_that_exclude_each_other_are_not_both_used() -> None:
    assert refusals(SUIXIN, FREE, RATE) == ["", "exclusive"]
    assert refusals(SUIXIN, RATE, FREE) == ["", "exclusive"]
    assert refusals(ANXIN, RATE, RATE) == ["", "one_a_loan"]
    assert refusals(ANXIN, VOUCHER, RATE, VOUCHER) == ["", "", "one_a_term"]
    assert refusals(ANXIN, VOUCHER, replace(VOUCHER, term=2)) == ["", ""]
    assert refusals(ANXIN, VOUCHER, RATE, overdue=True) == ["overdue", ""]
    assert refusals(ANXIN, replace(VOUCHER, threshold_cny=D(900))) == ["threshold"]
    assert refusals(ANXIN, replace(VOUCHER, term=13)) == ["no_such_term"]
    assert refusals(ANXIN, FREE) == ["not_by_day"]
    fees = Loan(D(12000), "instalment_fee", terms=12, term_fee_rate=D("0.006"))
    assert refusals(fees, RATE, VOUCHER) == ["no_interest", ""]
    fine = replace(SUIXIN, daily_rate=D("0.000412345678"))
    assert refusals(fine, replace(RATE, discount=D("0.123456789"))) == [""]


def test_a_voucher_takes_off_interest_alone() -> None:
    found = use_coupons(Couponed(ANXIN, (replace(VOUCHER, amount_cny=D(500)),)))
    assert found.instalments[0].interest_cny == 0
    assert found.saved_cny == D("120.00")
    assert found.instalments[0].principal_cny == schedule(ANXIN).instalments[0].principal_cny


def test_a_discounted_rate_is_not_below_its_floor_nor_above_the_contract() -> None:
    deep = Coupon("rate", discount=D("0.1"), floor_annual_rate=D("0.036"))
    assert use_coupons(Couponed(ANXIN, (deep,))).discounted_annual_rate == D("0.036")
    cheap = replace(ANXIN, annual_rate=D("0.03"))
    assert use_coupons(Couponed(cheap, (deep,))).discounted_annual_rate == D("0.03")


def test_a_rate_coupon_for_the_first_terms_leaves_the_principal_as_it_was() -> None:
    found = use_coupons(Couponed(ANXIN, (replace(RATE, first_terms=3),)))
    before = schedule(ANXIN).instalments
    assert [r.principal_cny for r in found.instalments] == [r.principal_cny for r in before]
    # 120.00, 110.64 and 101.17 of interest become four fifths of them.
    assert [r.interest_cny for r in found.instalments[:3]] == [D("96.00"), D("88.51"), D("80.94")]
    assert found.saved_cny == D("66.36")


# Bad arguments -----------------------------------------------------------------------------------

LOAN: Mapping[str, Any] = {
    "principal_cny": "10000",
    "method": "equal_instalment",
    "annual_rate": "14.4%",
    "terms": 12,
}
DAILY: Mapping[str, Any] = {
    "principal_cny": "10000",
    "method": "daily",
    "daily_rate": "0.0004",
    "start": "2026-07-01",
    "until": "2026-07-31",
}


@pytest.mark.parametrize(
    "value",
    [
        "-1", "0", "", " ", "abc", "1e5", "1,000", "١٠٠", "10000.001", "nan", "inf", "100000001",
        -5, 0, float("nan"), float("inf"), float("-inf"), 1e300, 10**5000, -(10**5000), True,
        [], {}, "9" * 10000, D("NaN"), D("1e-9999"), D("1e999999"), "1\x00", "一万", "10000元",
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_no_principal_is_taken_that_is_none(value: object) -> None:
    with pytest.raises(BadArgument) as raised:
        calculate("schedule", {**LOAN, "principal_cny": value})
    assert raised.value.field == "principal_cny"
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("tool", "arguments", "field", "code"),
    [
        ("schedule", {**LOAN, "terms": 0}, "terms", "out_of_range"),
        ("schedule", {**LOAN, "terms": 361}, "terms", "out_of_range"),
        ("schedule", {**LOAN, "terms": "12.5"}, "terms", "not_whole"),
        ("schedule", {**LOAN, "terms": None}, "terms", "missing"),
        ("schedule", {**LOAN, "annual_rate": 14.4}, "annual_rate", "rate_range"),
        ("schedule", {**LOAN, "annual_rate": "-1%"}, "annual_rate", "rate_range"),
        ("schedule", {**LOAN, "annual_rate": None}, "annual_rate", "missing"),
        ("schedule", {**LOAN, "daily_rate": "0.04%"}, "daily_rate", "not_with"),
        ("schedule", {**LOAN, "method": "balloon"}, "method", "not_a_word"),
        ("schedule", {**LOAN, "method": ["daily"]}, "method", "not_a_word"),
        ("schedule", {**LOAN, "start": "2026-02-30"}, "start", "not_a_day"),
        ("schedule", {**LOAN, "start": "20260201"}, "start", "not_a_day"),
        ("schedule", {**LOAN, "start": "1899-01-01"}, "start", "out_of_range"),
        ("schedule", {**LOAN, "day_count": "actual/365"}, "start", "missing_with"),
        ("schedule", {**LOAN, "shift": "following"}, "start", "missing_with"),
        ("schedule", {**LOAN, "upfront_fee_cny": "10000"}, "upfront_fee_cny", "not_below"),
        ("schedule", {**LOAN, "interest_only_terms": 3}, "interest_only_terms", "only_with"),
        ("schedule", {**LOAN, "until": "2026-01-01"}, "start", "missing_with"),
        ("schedule", {**LOAN, "colour": 1}, "colour", "unknown"),
        (
            "schedule",
            {**LOAN, "start": "2026-01-05", "first_due": "2026-01-05"},
            "first_due",
            "out_of_range",
        ),
        ("schedule", {**DAILY, "until": "2026-06-30"}, "until", "out_of_range"),
        ("schedule", {**DAILY, "terms": 3}, "terms", "not_with"),
        ("schedule", {**DAILY, "day_count": "30/360"}, "day_count", "not_with"),
        (
            "schedule",
            {**DAILY, "repayments": [{"day": "2026-07-05", "amount_cny": "10000"}]},
            "repayments.0.amount_cny",
            "not_below",
        ),
        (
            "schedule",
            {**DAILY, "repayments": [{"day": "2026-08-05", "amount_cny": "1"}]},
            "repayments.0.day",
            "out_of_range",
        ),
        ("schedule", {**DAILY, "repayments": "all"}, "repayments", "not_a_list"),
        ("schedule", {**DAILY, "repayments": [7]}, "repayments.0", "not_an_object"),
        ("schedule", {**DAILY, "repayments": [{}] * 401}, "repayments", "too_many"),
        ("schedule", {"method": "instalment_fee", "principal_cny": 1, "terms": 3},
         "term_fee_rate", "missing_with"),
        ("rate", {}, "received_cny", "missing_with"),
        ("rate", {"received_cny": 100, "payments": ["5", "x"]}, "payments.1", "not_a_number"),
        ("rate", {"received_cny": 100, "payments": [-5]}, "payments.0", "out_of_range"),
        ("rate", {"received_cny": 100, "payments": [0, 0]}, "payments", "nothing_repaid"),
        ("settle", {"loan": LOAN, "on": "2026-01-01"}, "loan.start", "missing_with"),
        ("settle", {"loan": DAILY, "on": "2026-06-30"}, "on", "out_of_range"),
        ("settle", {"loan": DAILY, "on": "2026-07-31"}, "on", "not_below"),
        ("settle", {"balance_cny": 100, "days": 3}, "annual_rate", "missing"),
        ("settle", {"balance_cny": 100, "days": -3, "annual_rate": 0}, "days", "out_of_range"),
        ("prepay", {"loan": LOAN, "prepaid_cny": 10000, "mode": "shorten_term", "after_term": 0},
         "prepaid_cny", "not_below"),
        ("prepay", {"loan": DAILY, "prepaid_cny": 10, "mode": "shorten_term", "after_term": 0},
         "loan.method", "not_with"),
        ("prepay", {"loan": LOAN, "prepaid_cny": 10, "mode": "shorten_term"}, "on", "missing"),
        ("overdue", {"overdue_principal_cny": 5, "annual_rate": 0.1}, "uplift", "missing"),
        ("overdue", {"overdue_principal_cny": 5, "annual_rate": 0.1, "uplift": 0.5}, "due",
         "missing_with"),
        ("overdue", {"overdue_principal_cny": 5, "annual_rate": 0.1, "uplift": 0.5,
                     "grace_charged": "yes", "days_overdue": 1}, "grace_charged", "not_a_flag"),
        ("coupon", {"loan": LOAN, "coupons": []}, "coupons", "missing"),
        ("coupon", {"loan": LOAN, "coupons": [{"kind": "rate"}]}, "coupons.0.discount",
         "missing_with"),
        ("coupon", {"loan": {**LOAN, "terms": -1}, "coupons": []}, "loan.terms", "out_of_range"),
        ("compare", {"a": LOAN}, "b", "missing"),
        ("compare", {"a": LOAN, "b": []}, "b", "not_an_object"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named_with_what_is_wrong(
    tool: str, arguments: Mapping[str, Any], field: str, code: str
) -> None:
    with pytest.raises(BadArgument) as raised:
        calculate(tool, arguments)
    assert (raised.value.field, raised.value.code) == (field, code)
    for locale in ("zh-Hans", "zh-Hant", "en"):
        assert raised.value.words(locale)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(TOOLS)), st.data())
def test_anything_is_calculated_or_named_as_bad(tool: str, data: st.DataObject) -> None:
    names = st.sampled_from(
        sorted([*LIMITS, "loan", "repayments", "payments", "coupons", "a", "b"])
    )
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=12)
        | st.sampled_from(["daily", "2026-07-01", "0.1", "12", "rate", "actual/365"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=6,
    )
    start = data.draw(st.sampled_from([{}, LOAN, DAILY, {"loan": LOAN}, {"a": LOAN, "b": DAILY}]))
    given_arguments = {**start, **data.draw(st.dictionaries(names, values, max_size=4))}
    with suppress(BadArgument):
        json.dumps(as_json(calculate(tool, given_arguments)), allow_nan=False)


# JSON and words ----------------------------------------------------------------------------------

RESULTS: list[Result] = [
    schedule(replace(ANXIN, start=date(2026, 1, 31), shift="following", unknown_years="unshifted")),
    schedule(replace(SUIXIN, repayments=(Repayment(date(2026, 7, 9), D("0.10")),))),
    annual_rate(RateOf(received_cny=D(100), payments=(D(60), D(60)))),
    settle(Settling(balance_cny=D(20000), annual_rate=D("0.144"), days=10)),
    prepay(Prepaying(ANXIN, D(1000), "shorten_term", after_term=3)),
    use_coupons(Couponed(ANXIN, (VOUCHER, FREE))),
    compare(Compared(ANXIN, SUIXIN)),
    calculate("overdue", {"overdue_principal_cny": 2000, "annual_rate": "18%", "uplift": "50%",
                          "days_overdue": 10, "cap_annual_rate": "24%"}),
]  # fmt: skip


@pytest.mark.parametrize("locale", ["zh-Hans", "zh-Hant", "en"])
@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_says_how_it_came_about_and_amounts_have_two_decimals(
    result: Result, locale: str
) -> None:
    document = as_json(result, locale)
    assert document["formula"]
    assert document["sources"]
    assert document["inputs"]

    def walk(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name)
        elif name.endswith("_cny") and value is not None:
            assert isinstance(value, str)
            assert value == f"{D(value):.2f}"

    walk(json.loads(json.dumps(document, allow_nan=False)))


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_the_inputs_shown_give_the_same_result_again(result: Result) -> None:
    tools = {tool.arguments: name for name, tool in TOOLS.items()}
    document = as_json(result)
    again = calculate(tools[type(result.inputs)], document["inputs"])
    assert as_json(again) == document


def test_every_argument_has_limits_and_every_limit_an_argument() -> None:
    parts = {"loan", "a", "b", "repayments", "coupons", "payments"}
    kinds = [tool.arguments for tool in TOOLS.values()]
    named = {f.name for kind in (*kinds, Coupon, Repayment, Overdue) for f in fields(kind)}
    assert named - parts == set(LIMITS) - {"payment_cny"}
