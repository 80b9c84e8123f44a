"""The coupon that saves most, against whole fen and fractions: `tests/loan_oracle.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, get_args

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.best_offer import LeftOut, Why, best, weigh
from assistant.campaigns import Campaign, CampaignCoupon, load_campaigns, worth_cny
from assistant.loan_math import Loan, Refused
from assistant.models import LOCALES
from evals.arithmetic import ArithmeticSuite, calculate_all
from evals.suites import SUITES

from .loan_oracle import Row, fen_of, rows_of, shares, to_fen, yuan

TODAY = date(2026, 11, 26)


@pytest.fixture(scope="module")
def spring() -> Campaign:
    return load_campaigns()["spring-2027"]


# A second calculation ----------------------------------------------------------------------------


def rows(loan: Loan, yearly: Fraction) -> list[Row]:
    return rows_of(
        loan.method, fen_of(str(loan.principal_cny)), yearly, shares(as_text(loan)), loan.terms or 0
    )


def as_text(loan: Loan) -> dict[str, Any]:
    start = loan.start.isoformat() if loan.start else ""
    return {"terms": loan.terms, "day_count": loan.day_count, "start": start}


def saved_by_rate(loan: Loan, coupon: CampaignCoupon) -> int:
    yearly = Fraction(loan.annual_rate or 0)
    reduced = max(yearly * Fraction(coupon.discount or 0), Fraction(coupon.floor_annual_rate or 0))
    after = rows(loan, min(yearly, reduced))
    return sum(row[1] for row in rows(loan, yearly)) - sum(row[1] for row in after)


def saved_by_days(loan: Loan, coupon: CampaignCoupon) -> int:
    """Day by day: what bears interest on each, and what of it is free."""
    assert loan.start
    yearly, balance, saved = Fraction(loan.annual_rate or 0), fen_of(str(loan.principal_cny)), 0
    cap = coupon.principal_cap_cny
    for term, (_, interest, after) in enumerate(rows(loan, yearly)):
        first = loan.start + relativedelta(months=term)
        last = loan.start + relativedelta(months=term + 1)
        charged = 0
        for day in range((first - loan.start).days, (last - loan.start).days):
            free = balance if cap is None else min(balance, fen_of(str(cap)))
            charged += balance - (free if day < (coupon.free_days or 0) else 0)
        saved += interest - to_fen(charged * yearly / 365)
        balance = after
    return saved


def saved_by_voucher(loan: Loan, coupon: CampaignCoupon) -> int | None:
    principal, interest, _ = rows(loan, Fraction(loan.annual_rate or 0))[0]
    if principal + interest < fen_of(str(coupon.threshold_cny or 0)):
        return None
    return min(fen_of(str(coupon.amount_cny)), interest)


def saved(loan: Loan, coupon: CampaignCoupon) -> int | None:
    """Fen; None where the coupon is no offer on the loan."""
    if coupon.kind == "rate":
        found: int | None = saved_by_rate(loan, coupon)
    elif coupon.kind == "interest_free":
        found = None if loan.day_count == "30/360" else saved_by_days(loan, coupon)
    else:
        found = saved_by_voucher(loan, coupon)
    return found or None


# Any coupons, any loans --------------------------------------------------------------------------

fractions = st.integers(1, 99).map(lambda n: Decimal(n) / 100)
amounts = st.integers(1, 20000).map(lambda n: Decimal(n) / 100)


@st.composite
def coupons(draw: st.DrawFn) -> CampaignCoupon:
    kind = draw(st.sampled_from(["rate", "interest_free", "voucher"]))
    first = TODAY + timedelta(draw(st.sampled_from([-30, 0, 1])))
    figures: dict[str, Any] = {
        "rate": lambda: {
            "discount": draw(fractions),
            "floor_annual_rate": draw(st.sampled_from([None, Decimal("0.036"), Decimal("0.12")])),
        },
        "interest_free": lambda: {
            "free_days": draw(st.integers(1, 90)),
            "principal_cap_cny": draw(st.sampled_from([None, Decimal(500), Decimal(5000)])),
        },
        "voucher": lambda: {
            "amount_cny": draw(amounts),
            "threshold_cny": draw(st.sampled_from([None, Decimal(300), Decimal("899.75")])),
        },
    }[kind]()
    return CampaignCoupon(
        id=f"c{draw(st.integers(0, 10**6))}",
        kind=kind,
        product=draw(st.sampled_from(["anxin", "suixin", "elsewhere"])),
        valid_from=first,
        valid_to=first + timedelta(draw(st.integers(0, 60))),
        stock=draw(st.none() | st.integers(1, 9)),
        source="coupon-rules.docx",
        quote="-",
        title={},
        **figures,
    )


@st.composite
def loans(draw: st.DrawFn, day_count: str) -> Loan:
    return Loan(
        principal_cny=Decimal(draw(st.integers(1000, 50000))),
        method=draw(st.sampled_from(["equal_instalment", "equal_principal", "interest_only"])),
        annual_rate=Decimal(draw(st.integers(0, 2400))) / 10000,
        terms=draw(st.sampled_from([1, 3, 6, 12, 24])),
        day_count=day_count,  # type: ignore[arg-type]
        start=TODAY,
    )


@given(
    given_coupons=st.lists(coupons(), max_size=6, unique_by=lambda coupon: coupon.id),
    anxin=loans("30/360"),
    suixin=loans("actual/365"),
    gone=st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_the_best_is_the_best_of_a_second_calculation(
    given_coupons: Sequence[CampaignCoupon], anxin: Loan, suixin: Loan, gone: int
) -> None:
    representative = {"anxin": anxin, "suixin": suixin}
    left = {coupon.id: 0 for coupon in given_coupons[gone : gone + 1]}
    expected = {}
    for coupon in given_coupons:
        loan = representative.get(coupon.product)
        alive = coupon.valid_from <= TODAY <= coupon.valid_to and coupon.id not in left
        if alive and loan and (fen := saved(loan, coupon)):
            expected[coupon.id] = fen
    found = best(given_coupons, representative, TODAY, left=left)
    if not expected:
        assert found is None
        return
    by_id = {coupon.id: coupon for coupon in given_coupons}
    order = sorted(expected, key=lambda name: (-expected[name], by_id[name].valid_to, name))
    assert found is not None
    assert found.coupon.id == order[0]
    assert f"{found.saving_cny:.2f}" == yuan(expected[order[0]])
    assert [(n, f"{s:.2f}") for n, s in found.others] == [(n, yuan(expected[n])) for n in order[1:]]
    assert {row.coupon for row in found.left_out} == set(by_id) - set(expected)
    assert found.calculation["saved_cny"] == yuan(expected[order[0]])


@given(st.lists(coupons(), min_size=2, max_size=6, unique_by=lambda c: c.id), st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_in_which_coupons_come_does_not_matter(
    given_coupons: list[CampaignCoupon], random: Any
) -> None:
    representative = load_campaigns()["spring-2027"].representative
    before = weigh(given_coupons, representative, TODAY)
    random.shuffle(given_coupons)
    after = weigh(given_coupons, representative, TODAY)
    assert after.savings == before.savings
    assert {*after.left_out} == {*before.left_out}


# What is shipped ---------------------------------------------------------------------------------


def test_the_spring_campaign_saves_what_a_clerk_would_reckon(spring: Campaign) -> None:
    # 10,000 yuan at 14.6 % a year are 4 yuan a day: 30 days of them are free.
    found = best(spring.coupons, spring.representative, TODAY)
    assert found is not None
    assert found.coupon.id == "suixin-free-30"
    assert found.saving_cny == Decimal("120.00")
    # The twelve instalments of 899.75 and 899.80 yuan become those of 12.96 % a year.
    assert found.others[0][0] == "anxin-rate-90"
    assert found.others[1] == ("anxin-voucher-30", Decimal("30.00"))


def test_the_calculation_is_kept_whole(spring: Campaign) -> None:
    only = [coupon for coupon in spring.coupons if coupon.product == "anxin"]
    found = best(only, spring.representative, TODAY, locale="en")
    assert found is not None
    kept = found.calculation
    assert kept["discounted_annual_rate"] == "0.1296"
    assert len(kept["instalments"]) == 12
    assert Decimal(kept["cost_before_cny"]) - Decimal(kept["cost_cny"]) == found.saving_cny
    assert kept["inputs"]["loan"]["principal_cny"] == "10000.00"
    assert any("Rate coupon" in formula for formula in kept["formula"])


def test_what_a_coupon_saves_does_not_change_with_the_day(spring: Campaign) -> None:
    days = [spring.starts_on, TODAY, date(2027, 1, 31)]
    found = {
        tuple((c.id, used.saved_cny) for c, used in weighed.savings)
        for weighed in (weigh(spring.coupons, spring.representative, day) for day in days)
    }
    assert len(found) == 1


def test_a_prize_is_no_offer(spring: Campaign) -> None:
    weighed = weigh(spring.coupons, spring.representative, TODAY)
    prizes = {prize.coupon for draw in spring.draws for prize in draw.prizes}
    assert not prizes & {coupon.id for coupon, _ in weighed.savings}


# What is left out --------------------------------------------------------------------------------


def why(coupon: CampaignCoupon, campaign: Campaign, **more: Any) -> str:
    loans = more.pop("loans", campaign.representative)
    weighed = weigh([coupon], loans, more.pop("today", TODAY), **more)
    assert not weighed.savings
    [row] = weighed.left_out
    for locale in LOCALES:
        assert row.words(locale)
    return row.why


def test_what_is_no_offer_has_its_reason(spring: Campaign) -> None:
    rate, free, voucher = spring.coupons
    assert why(rate, spring, today=date(2026, 11, 15)) == "not_started"
    assert why(rate, spring, today=date(2027, 2, 1)) == "ended"
    assert why(rate, spring, left={rate.id: 0}) == "out_of_stock"
    assert why(rate, spring, loans={"suixin": spring.representative["suixin"]}) == "no_loan"
    assert why(replace(free, product="anxin"), spring) == "not_by_day"
    assert why(replace(voucher, threshold_cny=Decimal("899.76")), spring) == "threshold"
    assert why(replace(rate, floor_annual_rate=Decimal("0.144")), spring) == "saves_nothing"
    interest_less = {"anxin": replace(spring.representative["anxin"], annual_rate=Decimal(0))}
    assert why(rate, spring, loans=interest_less) == "no_interest"
    assert why(voucher, spring, loans=interest_less) == "saves_nothing"
    by_day = Loan(
        principal_cny=Decimal(1000),
        method="daily",
        annual_rate=Decimal("0.1"),
        start=TODAY,
        until=TODAY,
        least_days=0,
    )
    assert why(free, spring, loans={"suixin": by_day}) == "saves_nothing"


def test_every_reason_has_its_words() -> None:
    codes = {code for part in get_args(Why) for code in get_args(part) or (part,)}
    codes = {code for code in codes if code}
    assert codes >= {code for code in get_args(Refused) if code}
    for code in codes:
        for locale in LOCALES:
            assert LeftOut("c", code).words(locale), code


def test_a_prize_is_worth_at_most_what_it_saves_on_the_largest_loan(spring: Campaign) -> None:
    loan = spring.representative["anxin"]
    rate, voucher = spring.coupons[0], spring.coupons[2]
    largest = replace(loan, principal_cny=Decimal(200000))
    worth = worth_cny(rate, loan, Decimal(200000))
    assert worth == Decimal(saved_by_rate(largest, rate)) / 100
    assert worth_cny(voucher, loan, Decimal(200000)) == voucher.amount_cny


# The suite ---------------------------------------------------------------------------------------


def test_every_case_of_the_suite_is_right() -> None:
    suite = SUITES["offers"]
    assert isinstance(suite, ArithmeticSuite)
    result = calculate_all(suite)
    assert result.failures == ()
    assert result.passed
    assert result.n >= 55
    topics = {case.topic for case in suite.cases()}
    assert topics >= {"best", "odds", "segments", "sensitive", "dates", "stock", "campaigns"}
