"""People who may be addressed: read of a row, of a record, and what conditions may ask of them."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import pytest

from assistant.customers import Consent, Coupon, Customer
from assistant.demo_customers import Person as Shown
from assistant.demo_customers import demo_people
from assistant.people import (
    ATTRIBUTES,
    COLUMNS,
    OPTIONAL,
    REQUIRED,
    BadRow,
    Person,
    age_on,
    months_between,
    person_from_row,
    person_of,
)
from assistant.segments import attributes

TODAY = date(2026, 11, 26)
CHINA = timezone(timedelta(hours=8))
ROW: dict[str, str | None] = {
    "id": "c-1",
    "birth_date": "1990-02-28",
    "student": "false",
    "consents": "sms;push;profiling:push",
    "opted_out": "",
    "suppressed": "",
    "days_overdue": "0",
    "disputed": "false",
    "hardship": "false",
    "debt_share": "0.35",
    "sent": "",
}


def read(**columns: str | None) -> Person:
    return person_from_row({**ROW, **columns})


# Rows --------------------------------------------------------------------------------------------


def test_a_row_needs_what_says_who_may_not_be_addressed_and_nothing_else() -> None:
    assert set(REQUIRED) == set(ROW)
    assert set(OPTIONAL) == {field.name for field in fields(Person)} - set(ROW)
    person = read()
    assert person.consents == {("marketing", "sms"), ("marketing", "push"), ("profiling", "push")}
    assert person.open_loans is None
    assert person.coupons_held is None
    assert (person.name, person.region) == ("", "")


@pytest.mark.parametrize("column", REQUIRED)
def test_a_row_without_a_column_names_it(column: str) -> None:
    row = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(BadRow, match=f"^{column}: ") as error:
        person_from_row(row)
    assert error.value.column == column


BIRTH = date(1990, 2, 28)
READ: tuple[tuple[str, str | None, Any], ...] = (
    ("id", " c-2 ", "c-2"),
    *(
        ("birth_date", text, BIRTH)
        for text in (
            "1990-02-28", "1990/2/28", "1990/02/28", "1990.02.28", "19900228", "1990年2月28日",
            "1990年02月28日", "1990-02-28 00:00:00", "1990-02-28T00:00:00", "１９９０－０２－２８",
            "1990-02-28 00:00:00.000",
        )
    ),
    *(("birth_date", text, None) for text in ("", None, "未知", "NULL", "NaT", "-", "N/A", "\\N")),
    *(
        ("student", text, True)
        for text in ("1", "true", "TRUE", "True", "T", "yes", "Y", "是", "有", "１", "1.0", "對")
    ),
    *(
        ("student", text, False)
        for text in ("0", "false", "F", "no", "N", "否", "无", "無", "没有", "不是", "0.0")
    ),
    *(("student", text, None) for text in ("", None, "未知", "null", "不详", "unknown", "nan")),
    ("consents", "", frozenset()),
    ("consents", "短信、营销:电话，画像：微信", {("marketing", "sms"), ("marketing", "call"),
                                          ("profiling", "wechat")}),
    ("consents", "SMS|Email , push", {("marketing", w) for w in ("sms", "email", "push")}),
    ("consents", "call_script;app", {("marketing", "call"), ("marketing", "in_app")}),
    ("opted_out", "全部", {"all"}),
    ("opted_out", "sms;call", {"sms", "call"}),
    ("suppressed", "投诉", "投诉"),
    *(("suppressed", text, "") for text in ("NULL", "无", "否", "0", "false", "", None)),
    ("suppressed", "未知", "未知"),
    ("suppressed", "1", "1"),
    *(("opted_out", text, frozenset()) for text in ("", None, "无", "null", "-")),
    ("hardship", "无", False),
    ("days_overdue", "无", None),
    ("id", "ｃ１", "ｃ１"),
    ("name", "﨑山", "﨑山"),
    ("days_overdue", "40", 40),
    ("days_overdue", "3.0", 3),
    ("days_overdue", "", None),
    ("debt_share", "51%", Decimal("0.51")),
    ("debt_share", "0", Decimal(0)),
    ("debt_share", "", None),
    ("outstanding_cny", "12,345.60", Decimal("12345.60")),
    ("months_since_loan", "", None),
    ("open_loans", "2", 2),
    ("since", "2024年5月1日", date(2024, 5, 1)),
    ("coupons_held", "rate;免息券", ("rate", "interest_free")),
    ("coupons_held", "", ()),
    ("name", "Null", ""),
    ("name", "陈伟", "陈伟"),
    ("sent", "sms@2026-11-20T10:00:00+08:00",
     (("sms", datetime(2026, 11, 20, 10, tzinfo=CHINA)),)),
    ("sent", "sms@2026-11-20 10:00:00;电话@2026/11/21T09:30",
     (("sms", datetime(2026, 11, 20, 10, tzinfo=CHINA)),
      ("call_script", datetime(2026, 11, 21, 9, 30, tzinfo=CHINA)))),
    ("sent", "push@2026-11-20T02:00:00Z", (("push", datetime(2026, 11, 20, 2, tzinfo=UTC)),)),
    ("sent", "wechat@20261120",
     (("wechat", datetime(2026, 11, 20, 23, 59, 59, 999999, tzinfo=CHINA)),)),
)  # fmt: skip


@pytest.mark.parametrize(("column", "text", "value"), READ)
def test_what_a_text_is_read_as(column: str, text: str | None, value: Any) -> None:
    found = getattr(read(**{column: text}), column)
    assert found == value
    assert type(found) is type(value) or isinstance(found, frozenset)


BAD = (
    ("id", ""),
    ("id", None),
    ("id", "c\n1"),
    ("birth_date", "28.02.1990"),
    ("birth_date", "1990-02-30"),
    ("birth_date", "1990-02"),
    ("birth_date", "1990-02-28 13:00:00"),
    ("birth_date", "90-02-28"),
    ("birth_date", "9999999999"),
    ("student", "maybe"),
    ("student", "2"),
    ("consents", "pigeon"),
    ("consents", "spying:sms"),
    ("opted_out", "sms;no"),
    ("opted_out", "未知"),
    ("sent", "unknown"),
    ("consents", "不详"),
    ("days_overdue", "-1"),
    ("days_overdue", "1.5"),
    ("days_overdue", "1e9"),
    ("days_overdue", "Infinity"),
    ("disputed", "perhaps"),
    ("debt_share", "-0.1"),
    ("debt_share", "many"),
    ("debt_share", "%"),
    ("debt_share", "sNaN"),
    ("outstanding_cny", "1e30"),
    ("open_loans", "two"),
    ("sent", "sms"),
    ("sent", "fax@2026-11-20"),
    ("sent", "sms@yesterday"),
    ("sent", "sms@2026-11-20T25:00:00"),
    ("coupons_held", "golden"),
)


@pytest.mark.parametrize(("column", "text"), BAD)
def test_a_text_that_cannot_be_read_names_its_column_and_is_not_repeated(
    column: str, text: str | None
) -> None:
    with pytest.raises(BadRow) as error:
        read(**{column: text})
    assert error.value.column == column
    assert str(error.value) == f"{column}: expected {COLUMNS[column].expected}"


def read_or_named(column: str, text: str) -> str:
    try:
        read(**{column: text})
    except BadRow as error:
        return error.column
    return "read"


def test_whatever_stands_in_a_row_it_is_read_or_its_column_is_named() -> None:
    draw = Random(2026)
    pieces = [text for _, text, _ in READ if text] + [text for _, text in BAD if text]
    marks = [";", ":", "@", "%", " ", "-", "/", "0", "9", "e", "年", "月", "\x00", "\u200b", "①"]
    for column in COLUMNS:
        for _ in range(400):
            text = "".join(draw.choice(draw.choice((pieces, marks))) for _ in range(3))
            assert read_or_named(column, text) in ("read", column)


def test_somebody_is_not_told_from_others_by_a_repr() -> None:
    said = repr(read(id="c-12345", name="陈伟", birth_date="1990-02-28"))
    assert "c-12345" not in said
    assert "陈伟" not in said
    assert "1990" not in said


# Days --------------------------------------------------------------------------------------------

AGES = (
    (date(2008, 11, 26), date(2026, 11, 25), 17),
    (date(2008, 11, 26), date(2026, 11, 26), 18),
    (date(2008, 2, 29), date(2026, 2, 28), 17),
    (date(2008, 2, 29), date(2026, 3, 1), 18),
    (date(2008, 2, 29), date(2028, 2, 28), 19),
    (date(2008, 2, 29), date(2028, 2, 29), 20),
    (date(2026, 11, 26), date(2026, 11, 26), 0),
    (date(2026, 11, 27), date(2026, 11, 26), None),
    (date(1906, 11, 26), date(2026, 11, 26), 120),
    (date(1905, 11, 26), date(2026, 11, 26), None),
    (date(1905, 11, 27), date(2026, 11, 26), 120),
    (None, date(2026, 11, 26), None),
)


@pytest.mark.parametrize(("born", "day", "age"), AGES)
def test_an_age_is_exact_to_the_day(born: date | None, day: date, age: int | None) -> None:
    assert age_on(born, day) == age


def test_months_are_full_ones() -> None:
    assert months_between(date(2026, 5, 27), TODAY) == 5
    assert months_between(date(2026, 5, 26), TODAY) == 6
    assert months_between(date(2025, 12, 31), TODAY) == 10
    assert months_between(date(2026, 11, 27), TODAY) is None
    assert months_between(None, TODAY) is None


# Attributes --------------------------------------------------------------------------------------


def test_what_conditions_may_ask_for_is_what_a_person_can_tell() -> None:
    assert set(ATTRIBUTES) == set(attributes())


def test_attributes_are_of_the_kinds_that_conditions_compare_with() -> None:
    kinds = {
        "flag": bool,
        "count": int,
        "money_cny": Decimal,
        "share": Decimal,
        "text": str,
        "texts": tuple,
    }
    person = read(
        region="上海",
        open_loans="1",
        outstanding_cny="5000",
        months_since_loan="3",
        since="2024-05-01",
        coupons_held="rate",
    )
    for name, asked in attributes().items():
        assert type(person.attribute(name, TODAY)) is kinds[asked.kind], name
    assert person.attribute("age", TODAY) == 36
    assert person.attribute("months_as_customer", TODAY) == 30
    with pytest.raises(KeyError):
        person.attribute("zodiac", TODAY)


def test_what_is_not_known_of_somebody_is_none() -> None:
    blank = person_from_row(dict.fromkeys(ROW, "") | {"id": "c-1"})
    for name in attributes():
        assert blank.attribute(name, TODAY) is None, name


# Records -----------------------------------------------------------------------------------------


@cache
def demo() -> list[Shown]:
    return demo_people(TODAY)


def of_demo(state: str, hardship: bool | None = False) -> list[Person]:
    return [
        person_of(
            shown.record.customer,
            shown.record.loans,
            shown.record.coupons,
            shown.record.consents,
            TODAY,
            hardship=hardship,
        )
        for shown in demo()
        if shown.state == state
    ]


def test_people_of_the_demo_are_in_the_state_that_they_stand_for() -> None:
    for state, days in (("overdue_1", 1), ("overdue_5", 5), ("overdue_40", 40)):
        assert {person.days_overdue for person in of_demo(state)} == {days}
    assert {person.days_overdue for person in of_demo("active")} == {0}
    assert all(person.disputed for person in of_demo("disputed"))
    assert all(person.student for person in of_demo("student"))
    assert all((age_on(p.birth_date, TODAY) or 99) < 18 for p in of_demo("minor"))
    out = {"sms", "call", "push", "email", "wechat"}
    assert all(p.opted_out == out and not p.consents for p in of_demo("opted_out"))
    new = of_demo("new")
    assert {(p.open_loans, p.outstanding_cny, p.months_since_loan) for p in new} == {
        (0, Decimal(0), None)
    }
    settled = of_demo("settled")
    assert {(p.open_loans, p.outstanding_cny) for p in settled} == {(0, Decimal(0))}
    assert all(p.months_since_loan for p in settled)
    active = of_demo("active")
    assert all(p.open_loans and p.outstanding_cny for p in active)
    assert {kind for p in active for kind in p.coupons_held or ()} == {
        "rate",
        "interest_free",
        "voucher",
    }


def test_what_a_record_does_not_tell_stays_unknown() -> None:
    [first, *_] = of_demo("active", hardship=None)
    assert first.hardship is None
    assert first.debt_share is None
    assert first.region == ""


PROFILE = Customer("c-1", "陈伟", date(1990, 5, 20), "10000000000", False, date(2024, 5, 1))


def with_consents(*consents: Consent) -> Person:
    return person_of(PROFILE, (), (), consents, TODAY, hardship=False)


def test_a_refusal_stands_above_a_consent_and_a_consent_of_tomorrow_is_none() -> None:
    def said(purpose: Any, channel: Any, given: bool, since: date = date(2026, 1, 1)) -> Consent:
        return Consent("c-1", purpose, channel, given, since)

    person = with_consents(
        said("marketing", "sms", True),
        said("marketing", "sms", False),
        said("marketing", "push", True),
        said("profiling", "push", False),
        said("profiling", "push", True),
        said("marketing", "email", True, TODAY + timedelta(days=1)),
        said("marketing", "call", True, TODAY),
        said("marketing", "wechat", True),
        said("marketing", "in_app", False),
    )
    assert person.consents == {("marketing", way) for way in ("push", "call", "wechat")}
    assert person.opted_out == {"sms", "in_app"}


def test_a_coupon_is_held_while_it_can_be_used() -> None:
    def coupon(kind: Any, first: int, last: int, state: Any = "unused") -> Coupon:
        days = [TODAY + timedelta(days=number) for number in (first, last)]
        return Coupon(f"{kind}{first}", "c-1", kind, "anxin", state, days[0], days[1])

    held = (
        coupon("rate", -3, 0),
        coupon("rate", 0, 5),
        coupon("voucher", 1, 5),
        coupon("interest_free", -5, -1),
        coupon("voucher", -5, 5, "used"),
    )
    person = person_of(PROFILE, (), held, (), TODAY, hardship=False)
    assert person.coupons_held == ("rate",)
