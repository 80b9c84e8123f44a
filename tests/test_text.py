"""Numbers, widths and scripts become one, and words come out."""

from __future__ import annotations

import sys
import unicodedata
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.text import (
    bigrams,
    clean,
    content_words,
    corrected,
    elsewhere,
    expand,
    fold,
    normalise,
    signed_between,
)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("二十万元", "200000元"),
        ("20万元", "200000元"),
        ("２０万元", "200000元"),
        ("200,000元", "200000元"),
        ("1,234,567元", "1234567元"),
        ("1.5万元", "15000元"),
        ("3百万元", "3000000元"),
        ("20万5千元", "205000元"),
        ("十二期", "12期"),
        ("两千八块", "2800块"),
        ("两千零八元", "2008元"),
        ("一万两千元", "12000元"),
        ("二百五十元", "250元"),
        ("第一百零五条", "第105条"),
        ("百分之二十四", "24%"),
        ("百分之七点二五", "7.25%"),
        ("百分之24.5", "24.5%"),
        ("二〇二六年", "2026年"),
        ("第二十条", "第20条"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(written: str, plain: str) -> None:
    assert normalise(written) == plain


@pytest.mark.parametrize("text", ["万一逾期怎么办", "一般的利息", "三心二意", "七上八下"])
def test_a_numeral_inside_a_word_stays(text: str) -> None:
    assert normalise(text) == text


def test_scripts_widths_and_cases_fold_into_one() -> None:
    assert fold("貸款ＡＢＣ") == fold("贷款abc") == "贷款abc"
    assert fold("提前還款違約金") == "提前还款违约金"


def test_what_prints_nothing_is_left_out_whatever_its_name() -> None:
    every = map(chr, range(sys.maxunicode + 1))
    unseen = [char for char in every if unicodedata.category(char) == "Cf"]
    unseen += "\u034f\u115f\u1160\u17b4\u180b\u3164\uffa0\ufe00\ufe0f\U000e0100\U000e01ef"
    assert len(unseen) > 150
    assert clean("还".join(unseen)) == "还" * (len(unseen) - 1)


def test_line_ends_tabs_and_letters_with_marks_stay() -> None:
    assert clean("甲\r\n乙\t丙\x0b丁 cafe\u0301 ①") == "甲\n乙\t丙\n丁 cafe\u0301 ①"


def test_an_article_number_is_one_word() -> None:
    assert "第20条" in bigrams("依照第二十条的规定")
    assert bigrams("第二十条") == bigrams("第20条") == ["第20条"]


def test_words_and_pairs_leave_out_punctuation_and_emoji() -> None:
    assert content_words("，。！😀") == []
    assert bigrams("，。！😀") == []
    assert bigrams("提前还款") == ["提前", "前还", "还款"]
    assert bigrams("息") == ["息"]


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_normalising_twice_changes_nothing_more_in_its_words(text: str) -> None:
    assert bigrams(normalise(text)) == bigrams(text)


@pytest.mark.parametrize(
    ("sentence", "days"),
    [
        ("2026年1月1日起签署的合同免收", (date(2026, 1, 1), date.max)),
        ("2025 年 12 月 31 日以前签订的合同", (date.min, date(2025, 12, 31))),
        ("2025 年签署的安心贷上浮 50%", (date(2025, 1, 1), date(2025, 12, 31))),
        ("2025年3月签署的合同", None),
        ("2024年至2025年签署的合同", None),
        ("合同于签署之日生效", None),
        ("2026年13月41日起签署", None),
    ],
)
def test_a_sentence_says_which_contracts_it_is_about(
    sentence: str, days: tuple[date, date] | None
) -> None:
    assert signed_between(sentence) == days


USED = {"提前", "前还", "还款", "逾期", "免息", "息券", "征信"}
"""Pairs of characters that the documents of these tests use."""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("提前还宽要钱吗", "提前还款要钱吗"),
        ("愈期了怎么办", "逾期了怎么办"),
        ("免息卷怎么用", "免息券怎么用"),
        ("上争信吗", "上征信吗"),
        ("提前环款", "提前还款"),
    ],
)
def test_a_misspelt_word_of_the_documents_is_mended(typed: str, meant: str) -> None:
    assert corrected(typed, USED.__contains__) == meant


@pytest.mark.parametrize("text", ["宽限期", "卷子", "提前还款", "利率", "", "How much?"])
def test_what_is_no_misspelt_word_of_the_documents_stays(text: str) -> None:
    assert corrected(text, (USED | {"宽限", "利率"}).__contains__) == text


@pytest.mark.parametrize(
    ("said", "terms"),
    [
        ("拖几天会怎样", {"逾期", "宽限期"}),
        ("晚還一天", {"逾期"}),
        ("会不会有砍头息", {"本金", "预先扣除"}),
        ("Is there a late fee?", {"罚息"}),
        ("I want to repay early", {"提前还款"}),
        ("how do I get a refund", {"退回"}),
    ],
)
def test_what_is_said_colloquially_or_in_english_is_searched_as_terms_say_it(
    said: str, terms: set[str]
) -> None:
    added = expand(said).removeprefix(said).split()
    assert terms <= set(added)


def test_english_counts_as_whole_words() -> None:
    assert expand("the average page") == "the average page"


def test_a_latin_word_is_found_between_chinese_ones() -> None:
    assert "lpr是" in elsewhere("今天的LPR是多少")
    assert "第三方支付" in expand("能用WeChat还吗")


def test_a_question_of_terms_alone_is_searched_as_it_is() -> None:
    assert expand("合同解除的条件") == "合同解除的条件"


def test_words_that_name_something_are_told_from_the_others() -> None:
    found = content_words("请问一下招商银行的违约金怎么算呀")
    assert {"招商银行", "违约金"} <= set(found)
    assert not {"一下", "怎么", "的", "呀"} & set(found)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("房貸利率多少", ["房贷"]),
        ("What is the weather like?", ["weather"]),
        ("提前还款要违约金吗", []),
        ("换卡要填开户行吗", []),
    ],
)
def test_what_a_lender_may_have_nothing_to_do_with_is_noticed(
    question: str, named: list[str]
) -> None:
    assert elsewhere(question) == named
