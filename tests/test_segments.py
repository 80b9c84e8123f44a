"""Segments: what holds of whom, which attributes may be used, and why others may not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant import people
from assistant.models import LOCALES
from assistant.people import REQUIRED, Person, person_from_row
from assistant.rules import RulePack, load_rules
from assistant.segments import (
    PLAIN,
    Condition,
    Op,
    Segment,
    SegmentError,
    Value,
    attributes,
    check_segment,
    matches,
    read_condition,
    said,
    sensitive,
    used,
)

TODAY = date(2026, 11, 26)


@dataclass(frozen=True)
class Known:
    """Somebody of whom just this is known."""

    values: dict[str, Value | None]

    def attribute(self, name: str, today: date) -> Value | None:
        return self.values.get(name)


def person(**row: str) -> Person:
    return person_from_row({**dict.fromkeys(REQUIRED, ""), "id": "C1", **row})


# What holds --------------------------------------------------------------------------------------

HOLDS = [
    ("open_loans", "is", 2, 2, True),
    ("open_loans", "is", 2, 3, False),
    ("open_loans", "is_not", 2, 3, True),
    ("open_loans", "is_not", 2, 2, False),
    ("open_loans", "at_least", 2, 2, True),
    ("open_loans", "at_least", 2, 1, False),
    ("open_loans", "at_most", 2, 2, True),
    ("open_loans", "at_most", 2, 3, False),
    ("outstanding_cny", "at_least", "1000", Decimal("1000.00"), True),
    ("outstanding_cny", "at_most", "999.99", Decimal("1000"), False),
    ("debt_share", "at_most", 0.35, Decimal("0.35"), True),
    ("debt_share", "at_most", 0.35, Decimal("0.3501"), False),
    ("region", "is", "广东", "广东", True),
    ("region", "is_not", "广东", "广西", True),
    ("region", "in", ["广东", "福建"], "福建", True),
    ("region", "in", ["广东", "福建"], "广西", False),
    ("region", "not_in", ["广东", "福建"], "广西", True),
    ("region", "not_in", ["广东", "福建"], "福建", False),
    ("coupons_held", "in", ["rate"], ("voucher", "rate"), True),
    ("coupons_held", "in", ["rate"], ("voucher",), False),
    ("coupons_held", "in", ["rate"], (), False),
    ("coupons_held", "in", ["rate", "voucher"], ("voucher",), True),
    ("coupons_held", "not_in", ["rate", "voucher"], ("voucher",), False),
    ("coupons_held", "not_in", ["rate"], (), True),
    ("coupons_held", "not_in", ["rate"], ("rate", "voucher"), False),
    ("student", "is", False, False, True),
    ("student", "is", False, True, False),
]


@pytest.mark.parametrize(("attribute", "op", "value", "of", "holds"), HOLDS)
def test_a_condition_holds_or_does_not(
    attribute: str, op: str, value: Any, of: Value, holds: bool
) -> None:
    condition = read_condition(attribute, op, value)
    assert matches([condition], Known({attribute: of}), TODAY) is holds
    assert matches([condition], Known({}), TODAY) is False, "what is unknown holds for nothing"


def test_all_conditions_have_to_hold_and_none_holds_for_everybody() -> None:
    young = read_condition("age", "at_most", 30)
    here = read_condition("region", "is", "广东")
    somebody = person(birth_date="1996-11-26", region="广东")
    assert matches([young, here], somebody, TODAY)
    assert not matches([young, here], somebody, date(2027, 11, 26))
    assert not matches([young, read_condition("region", "is", "福建")], somebody, TODAY)
    assert matches(PLAIN.conditions, person(), TODAY)
    assert not PLAIN.personalised
    assert Segment("one", PLAIN.title, (young,)).personalised


@given(
    number=st.none() | st.integers(0, 40),
    low=st.integers(0, 40),
    high=st.integers(0, 40),
    region=st.none() | st.sampled_from(["广东", "福建", "北京"]),
    regions=st.lists(st.sampled_from(["广东", "福建", "北京"]), min_size=1, unique=True),
)
@settings(max_examples=80, deadline=None)
def test_segments_are_intersections_of_sets(
    number: int | None, low: int, high: int, region: str | None, regions: list[str]
) -> None:
    """Counted a second time, with ranges and sets."""
    conditions = [
        read_condition("months_as_customer", "at_least", low),
        read_condition("months_as_customer", "at_most", str(high)),
        read_condition("region", "in", regions),
    ]
    somebody = Known({"months_as_customer": number, "region": region})
    expected = number in range(low, high + 1) and region in {*regions}
    assert matches(conditions, somebody, TODAY) is expected


# What may be used --------------------------------------------------------------------------------


def test_conditions_ask_for_just_what_is_known_of_people() -> None:
    assert set(attributes()) == set(people.ATTRIBUTES)
    somebody = person()
    for name in attributes():
        somebody.attribute(name, TODAY)


def test_no_attribute_is_usable_and_sensitive_at_once() -> None:
    assert not set(sensitive()) & set(attributes())
    for name, attribute in attributes().items():
        assert attribute.read_from, name
        limited = bool(attribute.values or attribute.least) or name == "debt_share"
        assert limited is bool(attribute.limit), name


@pytest.fixture(scope="module")
def pack() -> RulePack:
    return load_rules()


def test_every_sensitive_attribute_is_refused_by_a_text_that_was_read(pack: RulePack) -> None:
    refused = {each.name for each in sensitive().values()}
    assert refused >= {
        *("sex", "ethnicity", "religion", "health", "marital_status", "exact_location"),
        *("id_number", "minor", "biometrics", "bank_account"),
    }
    for name, each in sensitive().items():
        assert pack.sources[each.source].held == "text", name
        assert each.article.startswith("第"), name
        assert each.quote, name
        with pytest.raises(SegmentError) as caught:
            read_condition(name.upper(), "is", "x")
        assert caught.value.code == "sensitive"
        for locale in LOCALES:
            words = caught.value.words(locale)
            assert each.title[locale] in words
            assert each.why[locale] in words
            assert each.article in words


def test_the_bounds_of_age_are_those_of_the_rules(pack: RulePack) -> None:
    assert attributes()["age"].least == pack.settings["adult_from_age"]


REFUSED = [
    ("age", "is", 17, "limited"),
    ("age", "at_least", 0, "limited"),
    ("age", "is_not", 12, "limited"),
    ("age", "in", ["18"], "op"),
    ("student", "is", True, "limited"),
    ("student", "is_not", False, "op"),
    ("hardship", "is", True, "limited"),
    ("disputed", "is", True, "limited"),
    ("days_overdue", "at_least", 1, "limited"),
    ("days_overdue", "at_most", 30, "limited"),
    ("days_overdue", "is_not", 0, "limited"),
    ("debt_share", "at_least", "0.5", "limited"),
    ("coupons_held", "in", ["rate", "cash"], "limited"),
    ("shoe_size", "is", 42, "unknown"),
    ("Age", "is", 42, "unknown"),
    ("", "is", 42, "unknown"),
    (None, "is", 42, "unknown"),
    ("open_loans", "like", 1, "op"),
    ("open_loans", [], 1, "op"),
    ("open_loans", "is", True, "value"),
    ("open_loans", "is", -1, "value"),
    ("open_loans", "is", 1.5, "value"),
    ("open_loans", "is", "1e3", "value"),
    ("open_loans", "is", "一", "value"),
    ("open_loans", "is", float("nan"), "value"),
    ("open_loans", "is", float("inf"), "value"),
    ("open_loans", "is", 10**30, "value"),
    ("open_loans", "is", None, "value"),
    ("outstanding_cny", "at_least", "1000.001", "value"),
    ("debt_share", "at_most", "35%", "value"),
    ("debt_share", "at_most", 11, "value"),
    ("student", "is", "false", "value"),
    ("student", "is", 0, "value"),
    ("region", "is", "", "value"),
    ("region", "is", "省" * 61, "value"),
    ("region", "is", "广\n东", "value"),
    ("region", "in", "广东", "value"),
    ("region", "in", ["广东", "广东"], "value"),
    ("region", "in", ["广东", 1], "value"),
    ("region", "in", [str(n) for n in range(101)], "value"),
]


@pytest.mark.parametrize(("attribute", "op", "value", "code"), REFUSED)
def test_what_may_not_be_asked_is_refused_in_three_languages(
    attribute: Any, op: Any, value: Any, code: str
) -> None:
    with pytest.raises(SegmentError) as caught:
        read_condition(attribute, op, value)
    assert caught.value.code == code
    assert caught.value.attribute == str(attribute)
    for locale in LOCALES:
        assert "{" not in caught.value.words(locale)
    assert str(caught.value) == caught.value.words("en")


def test_a_segment_from_elsewhere_is_checked_as_a_whole() -> None:
    good = Condition("age", "at_least", 30)
    check_segment(Segment("good", PLAIN.title, (good,)))
    with pytest.raises(SegmentError, match=r"religion may not be used"):
        check_segment(Segment("bad", PLAIN.title, (good, Condition("religion", "is", "无"))))
    with pytest.raises(SegmentError, match=r"there is no attribute \{x\}"):
        read_condition("{x}", "is", "{words}")


ANYTHING = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(max_size=80)),
    *(st.binary(), st.lists(st.text(max_size=5) | st.integers(), max_size=4), st.dates()),
)


@given(name=st.sampled_from([*attributes(), *sensitive(), "x"]), op=ANYTHING, value=ANYTHING)
@settings(max_examples=150, deadline=None)
def test_whatever_comes_in_is_a_condition_or_refused(name: str, op: object, value: object) -> None:
    for given_op in (op, *get_args(Op)):
        with suppress(SegmentError):
            condition = read_condition(name, given_op, value)
            assert name in attributes()
            assert read_condition(name, condition.op, condition.value) == condition
            assert said(condition, "zh-Hans")


# What is told ------------------------------------------------------------------------------------


def test_the_attributes_used_are_listed_once_in_order() -> None:
    rows = [("region", "is", "广东"), ("age", "at_least", 30), ("region", "is_not", "福建")]
    assert used(read_condition(*row) for row in rows) == ("region", "age")
    assert used(PLAIN.conditions) == ()


SAID = [
    (("age", "at_least", 30), "年龄不低于30", "age is at least 30"),
    (
        ("outstanding_cny", "at_most", "20000.5"),
        "剩余本金（元）不高于20,000.5",
        "yuan is at most 20,0",
    ),
    (("debt_share", "at_most", 0.5), "月还款占月收入比例不高于50%", "by income is at most 50%"),
    (("student", "is", False), "在校学生为否", "student is no"),
    (("region", "in", ["广东", "福建"]), "省份或城市属于广东、福建", "is among 广东, 福建"),
]


@pytest.mark.parametrize(("row", "chinese", "english"), SAID)
def test_a_condition_is_said_in_words(row: Any, chinese: str, english: str) -> None:
    condition = read_condition(*row)
    assert said(condition, "zh-Hans") == chinese
    assert english in said(condition, "en")
    assert said(condition, "zh-Hant")
