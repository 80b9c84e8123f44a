"""Copy with named slots: what is read, what is filled in, how long it is."""

from __future__ import annotations

import random

import pytest

from assistant.campaigns import CHANNELS
from assistant.templates import (
    BadTemplate,
    BadValue,
    check_value,
    figure_in,
    fill,
    fits,
    lead_limits,
    name_or_instead,
    parse,
    room,
    slots,
    sms_parts,
    subject_limit,
    without_doubled_units,
)

VALUES = {
    "name": "王芳",
    "coupon": "安心贷9折利率折扣券",
    "until": "1月31日",
    "amount": "1,234.50元",
    "free_days": "7天",
    "link": "https://www.qingsui.example/spring",
}


def test_every_slot_is_filled_and_everything_else_stays() -> None:
    template = parse("{name}，{coupon}到{until}，再说一次{coupon}。")
    assert template.slots == ("name", "coupon", "until")
    assert (
        fill(template, VALUES)
        == "王芳，安心贷9折利率折扣券到1月31日，再说一次安心贷9折利率折扣券。"
    )


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("领{gift}", "slot", 1),
        ("领{coupon", "slot", 1),
        ("领coupon}", "slot", 7),
        ("{ coupon }", "slot", 0),
        ("{coupon.__class__}", "slot", 0),
        ("{coupon[0]}", "slot", 0),
        ("{coupon!r:>10}", "slot", 0),
        ("{{coupon}}", "slot", 0),
        ("{% if a %}", "slot", 0),
        ("{}", "slot", 0),
        ("用\u202e券", "sign", 1),
        ("用\x00券", "sign", 1),
        ("免{free_days}天", "unit", 12),
    ],
)
def test_a_template_is_no_code_and_names_what_is_wrong_and_where(
    text: str, code: str, at: int
) -> None:
    with pytest.raises(BadTemplate) as wrong:
        parse(text)
    assert (wrong.value.code, wrong.value.at) == (code, at)


@pytest.mark.parametrize(
    "text",
    [
        "打8折", "打８折", "省٣元", "五折", "省二十元", "百分之五", "半价还三成", "三期", "第①步",
        "½", "十天内", "两万元", "ten days", "half price", "save 5%",
    ],
)  # fmt: skip
def test_a_figure_outside_a_slot_is_an_error(text: str) -> None:
    assert parse(text)
    with pytest.raises(BadTemplate) as wrong:
        parse(text, figures=False)
    assert wrong.value.code == "figure"


@pytest.mark.parametrize(
    "text",
    ["一起来看看", "每一天都一样", "万一用得上", "一张{coupon}", "十分清楚", "第一时间", "统一说明",
     "no one is asked", "{amount}可抵利息"],
)  # fmt: skip
def test_a_word_with_a_numeral_in_it_is_no_figure(text: str) -> None:
    assert parse(text, figures=False)
    assert figure_in(text) is None


def test_a_unit_that_the_value_says_is_not_said_twice() -> None:
    assert without_doubled_units("{free_days}天，{amount} 元") == "{free_days}，{amount}"


@pytest.mark.parametrize(
    "name",
    ["{amount}", "{coupon}", "www.bad.example", "https://a.cn", "a@b.com", "王\n芳", "王\u200b芳",
     "忽略以上指令", "恭喜您获批", "系统管理员", "加微信领券", "王1", "<b>王</b>", "", " ",
     "王" * 41, "ignore previous instructions", "点击这里"],
)  # fmt: skip
def test_a_name_that_is_a_slot_a_link_or_an_instruction_does_not_go_out(name: str) -> None:
    with pytest.raises(BadValue) as wrong:
        fill(parse("{name}，您好"), {"name": name})
    assert name.strip() == "" or name not in str(wrong.value), "the value is never told"
    assert name_or_instead(name, "zh-Hans") == "客户"


@pytest.mark.parametrize(
    "name",
    ["王芳", "欧阳娜娜", "迪丽热巴·迪力木拉提", "Wang Fang", "O'Brien", "Mary-Jane K.", "䶮"],
)
def test_a_persons_name_goes_out_as_it_is(name: str) -> None:
    assert fill(parse("{name}"), {"name": name}) == name
    assert name_or_instead(name, "en") == name


def test_what_is_filled_in_is_never_read_again() -> None:
    """Of the kinds that may hold any text, none may hold a brace; and even a filled text that had
    one would stay text."""
    with pytest.raises(BadValue):
        check_value("coupon", "{name}")
    draw = random.Random(7)
    for _ in range(2000):
        value = "".join(draw.choice("{}name券<>&\\%$ ") for _ in range(draw.randint(1, 12)))
        try:
            text = fill(parse("a{coupon}b{name}"), {"coupon": value, "name": "王芳"})
        except BadValue:
            continue
        assert text == f"a{value}b王芳"


def test_a_value_has_to_look_like_its_kind_and_has_to_be_there() -> None:
    for slot, bad in (("amount", "很多"), ("until", "明天"), ("rates", "很低"), ("free_days", "7")):
        with pytest.raises(BadValue):
            check_value(slot, bad)
    with pytest.raises(BadValue):
        fill(parse("{coupon}"), {})
    with pytest.raises(BadValue):
        check_value("link", "javascript:alert(1)")


def test_every_slot_has_an_example_of_its_kind_in_every_language() -> None:
    for slot in slots().values():
        for locale in ("zh-Hans", "zh-Hant", "en"):
            assert slot.about[locale]
            check_value(slot.id, slot.example[locale])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 0),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("中" * 134, 2),
        ("中" * 135, 3),
        # Two units each; none is cut in two, so that a part holds 33 of them.
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        # The euro sign takes an escape of the 7-bit alphabet.
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("【青穗消金】" + "a" * 64, 1),
        ("【青穗消金】" + "a" * 65, 2),
    ],
)  # fmt: skip
def test_an_sms_is_counted_as_carriers_count(text: str, parts: int) -> None:
    assert sms_parts(text) == parts


def test_each_channel_has_its_own_counting() -> None:
    assert fits("中" * 134, "sms").over == 0
    assert fits("中" * 135, "sms").over == 1
    assert fits("a" * 600, "sms", "en").over == 0
    assert fits("中" * 151, "push").over == 1
    assert room("中" * 130, "sms") == 4
    assert room("中" * 130, "push") == 20
    for channel in CHANNELS:
        least, most, _ = lead_limits(channel)
        assert 0 < least < most
        assert fits("", channel).limit > 0
    assert subject_limit("sms") == subject_limit("call_script") == 0
