"""Figures in borrower questions, clauses and drafts: what is found, and what counts as proved."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.figures import (
    Figure,
    apart,
    doubts,
    find,
    unsupported,
)

TODAY = date(2026, 11, 23)
LENDER = Path(__file__).parent.parent / "knowledge" / "corpus" / "lender"

Row = tuple[str, str | Decimal, str, str]


def _rows(text: str) -> list[Row]:
    return [(f.kind, f.value, f.unit, f.bound) for f in find(text)]


def _one(text: str) -> Figure:
    (figure,) = find(text)
    return figure


SAME = [
    ["20万元", "200,000 元", "二十万元", "200000元", "¥200,000", "￥２００，０００", "人民币20万元",
     "RMB 200,000", "CNY 200000", "200,000 yuan", "贰拾万圆", "20萬元", "20w元"],
    ["不超过3天", "没超过3天", "没有超过3天"],
    ["年利率10.8%", "年利10.8%", "年利10.8%月息多少"],
    ["日利率2.71%", "日利率百分之二点七一", "日利率百分之二点七一一会儿"],
    ["日利率0.05%", "日利率万分之五", "日利率为 0.05%", "日息万五", "0.05%/天",
     "每日利率０．０５％",
     "daily rate of 0.05%", "日利率0.5‰"],
    ["3天", "三天", "三日", "3 日", "3 个自然日", "３天", "3 days", "three days"],
    ["12期", "12 期", "十二期", "12 instalments"],
    ["1年", "12个月", "十二个月", "12 months", "一年", "1 year"],
    ["2026年1月1日", "2026-01-01", "2026 年 1 月 1 日", "2026/1/1", "2026.01.01",
     "二〇二六年一月一日",
     "２０２６年１月１日", "January 1, 2026", "1 January 2026", "26年1月1号"],
    ["8.5折", "85折", "八五折", "八点五折"],
    ["18%", "百分之十八", "１８％", "18 %", "18 percent", "百分之18"],
    ["年利率18%", "年化利率（单利）18%", "年化18%", "18% per year", "annual rate of 18%", "18%/年"],
    ["月利率1.5%", "利息1.5分", "月息1分5", "月息一分五厘", "1.5%/月", "1.5% per month"],
    ["9:00", "09:00", "上午9点", "9 时", "9am", "早上九点"],
    ["21:00", "晚上9点", "晚上九点整", "9 p.m.", "２１：００"],
    ["半年", "6个月", "六個月"],
    ["一年半", "18个月", "1年零6个月", "1年6个月"],
    ["两周", "14天", "十四日", "2个星期"],
    ["5个工作日", "五个工作日", "5 working days", "5 business days"],
    ["半小时", "30分钟", "三十分鐘"],
    ["400-000-0000", "4000000000", "400 000 0000"],
    ["万分之三", "0.03%"],
    ["第3期", "第三期", "第 3 期"],
    ["最高20万元", "不超过200,000元", "至多二十万元", "20万元以内", "20万元以下",
     "额度上限为 200,000 元",
     "最多可借20万元", "不高于20万元"],
    ["不低于500元", "至少500元", "最低500元", "500元起", "500元以上", "不少于 500 元", "五百元起"],
    ["7.2%–19.8%", "7.2%-19.8%", "7.2%至19.8%", "7.2-19.8%", "7.2% 到 19.8%", "7.2%～19.8%"],
    ["6至24期", "六到二十四期"],
    ["3至12期", "3期至12期", "3-12期", "三到十二期", "3～12 期"],
    ["500元至20万元", "500元-200,000元", "500 至 200,000 元", "五百元到二十万元"],
    ["3至5万元", "3-5万元", "30,000元至50,000元", "三万到五万元"],
    ["每月15日", "每月15号", "每月十五日"],
    ["年满20周岁", "满 20 岁", "20周岁以上"],
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "other"), [(group[0], other) for group in SAME for other in group[1:]]
)
def test_the_same_fact_is_equal_however_it_is_written(first: str, other: str) -> None:
    assert _one(other) == _one(first)


D = Decimal
READ: list[tuple[str, list[Row]]] = [
    ("借款200,000元", [("money", D(200000), "CNY", "")]),
    ("3万5千元", [("money", D(35000), "CNY", "")]),
    ("一万二千元", [("money", D(12000), "CNY", "")]),
    ("一万二块钱", [("money", D(12000), "CNY", "")]),
    ("三百零五元", [("money", D(305), "CNY", "")]),
    ("1亿元", [("money", D(100000000), "CNY", "")]),
    ("百万元", [("money", D(1000000), "CNY", "")]),
    ("916.80 元", [("money", D("916.80"), "CNY", "")]),
    ("5角", [("money", D("0.5"), "CNY", "")]),
    ("100美元", [("money", D(100), "USD", "")]),
    ("提前还款违约金 0 元", [("money", D(0), "CNY", "")]),
    ("邮寄费为 15 元/次", [("money", D(15), "CNY", "")]),
    ("年化利率（单利）为 7.2%", [("rate", D("0.072"), "year", "")]),
    ("月利率1.5%", [("rate", D("0.015"), "month", "")]),
    ("年息1分", [("rate", D("0.1"), "year", "")]),
    ("月息5厘", [("rate", D("0.005"), "month", "")]),
    ("月息五厘五", [("rate", D("0.0055"), "month", "")]),
    ("日息万三点五", [("rate", D("0.00035"), "day", "")]),
    ("每天万3.5", [("rate", D("0.00035"), "day", "")]),
    ("万五一天", [("rate", D("0.0005"), "day", ""), ("term", D(1), "day", "")]),
    ("八千多", [("count", D(8000), "", "min")]),
    ("三万五年化12%", [("count", D(35000), "", ""), ("rate", D("0.12"), "year", "")]),
    ("一万五日息万四", [("count", D(15000), "", ""), ("rate", D("0.0004"), "day", "")]),
    ("36000 12期", [("count", D(36000), "", ""), ("term", D(12), "period", "")]),
    ("1000折合", [("count", D(1000), "", "")]),
    ("按剩余本金的 2% 收取", [("rate", D("0.02"), "", "")]),
    ("合同日利率上浮 30%", [("rate", D("0.3"), "", "")]),
    ("年利率7.2%起，最高24%", [("rate", D("0.072"), "year", "min"),
                        ("rate", D("0.24"), "year", "max")]),
    ("日利率 0.04%（年化利率（单利）14.6%）", [("rate", D("0.0004"), "day", ""),
                                 ("rate", D("0.146"), "year", "")]),
    ("不超过年化利率（单利）24%", [("rate", D("0.24"), "year", "max")]),
    ("下调0.5个百分点", [("rate", D("0.005"), "point", "")]),
    ("首付三成", [("rate", D("0.3"), "", "")]),
    ("9 折券", [("discount", D("0.9"), "折", "")]),
    ("打九五折", [("discount", D("0.95"), "折", "")]),
    ("15 日内答复", [("term", D(15), "day", "max")]),
    ("30 日后可以再次申请", [("term", D(30), "day", "min")]),
    ("逾期超过 90 日", [("term", D(90), "day", "min")]),
    ("最长不止 1 个工作日", [("term", D(1), "workday", "min")]),
    ("您能借的不止 200,000 元", [("money", D(200000), "CNY", "min")]),
    ("逾期不超过90日", [("term", D(90), "day", "max")]),
    ("5 个工作日内", [("term", D(5), "workday", "max")]),
    ("24 小时", [("term", D(1440), "minute", "")]),
    ("不少于 8 秒", [("term", D(8), "second", "min")]),
    ("可选 6、12 或 24 期", [("term", D(6), "period", ""), ("term", D(12), "period", ""),
                       ("term", D(24), "period", "")]),
    ("6, 12 or 24 months", [("term", D(6), "month", ""), ("term", D(12), "month", ""),
                            ("term", D(24), "month", "")]),
    ("第 4 期起", [("position", D(4), "期", "min")]),
    ("第15日届满前", [("position", D(15), "日", "")]),
    ("2026年7月1日起", [("date", "2026-07-01", "", "min")]),
    ("2025年12月31日以前", [("date", "2025-12-31", "", "max")]),
    ("不晚于 2026 年 9 月 15 日", [("date", "2026-09-15", "", "max")]),
    ("2026 年 7 月版", [("date", "2026-07", "", "")]),
    ("6月30日", [("date", "--06-30", "", "")]),
    ("2026年签署", [("date", "2026", "", "")]),
    ("每月 5 日、15 日或 25 日", [("date", "---05", "", ""), ("date", "---15", "", ""),
                            ("date", "---25", "", "")]),
    ("还款日 20:00 前", [("time", "20:00", "", "max")]),
    ("9:00 以后", [("time", "09:00", "", "min")]),
    ("最多 3 张", [("count", D(3), "张", "max")]),
    ("按 5 键", [("count", D(5), "键", "")]),
    ("再除以 365", [("count", D(365), "", "")]),
    ("3 个", [("count", D(3), "个", "")]),
    ("2次", [("count", D(2), "次", "")]),
    ("三种帮扶方式", [("count", D(3), "种", "")]),
    ("最多一次", [("count", D(1), "次", "max")]),
    ("LPR的4倍", [("count", D(4), "倍", "")]),
    ("额度二十万", [("count", D(200000), "", "")]),
    ("信用分600分", [("count", D(600), "分", "")]),
    ("分六、十二或二十四期", [("term", D(6), "period", ""), ("term", D(12), "period", ""),
                     ("term", D(24), "period", "")]),
    ("APR 7.2%", [("rate", D("0.072"), "year", "")]),
    ("高达20万元", [("money", D(200000), "CNY", "max")]),
    ("合计3，500元", [("money", D(3500), "CNY", "")]),
    ("App3天内到账", [("term", D(3), "day", "max")]),
    ("20多天", [("term", D(20), "day", "min")]),
    ("36月", [("count", D(36), "", "")]),
    ("up to 200,000 yuan", [("money", D(200000), "CNY", "max")]),
    ("at least 3 days", [("term", D(3), "day", "min")]),
    ("within 15 days", [("term", D(15), "day", "max")]),
    ("拨打12378", [("phone", "12378", "", "")]),
    ("拨打95588", [("phone", "95588", "", "")]),
    ("12,378元", [("money", D(12378), "CNY", "")]),
    ("95000元", [("money", D(95000), "CNY", "")]),
    ("额度最高30多万", [("count", D(300000), "", "min")]),
    ("能给到三十多万", [("count", D(300000), "", "min")]),
    ("能批50来万", [("count", D(500000), "", "min")]),
    ("30余万元", [("money", D(300000), "CNY", "min")]),
    ("一百多万元", [("money", D(1000000), "CNY", "min")]),
    ("3万多元", [("money", D(30000), "CNY", "min")]),
    ("卅万元", [("money", D(300000), "CNY", "")]),
    ("廿五万", [("count", D(250000), "", "")]),
    ("HK$200,000", [("money", D(200000), "HKD", "")]),
    ("$200,000", [("money", D(200000), "$", "")]),
    ("200 dollars", [("money", D(200), "$", "")]),
    ("五十蚊", [("money", D(50), "$", "")]),
    ("20萬港元", [("money", D(200000), "HKD", "")]),
    ("港幣50萬", [("money", D(500000), "HKD", "")]),
    ("US$1.5 million", [("money", D(1500000), "USD", "")]),
    ("2 million dollars", [("money", D(2000000), "$", "")]),
    ("annualised percentage rate: 49.5%", [("rate", D("0.495"), "year", "")]),
    ("monthly percentage rate 2%", [("rate", D("0.02"), "month", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[t for t, _ in READ])
def test_a_figure_is_read_with_its_unit_and_bound(text: str, expected: list[Row]) -> None:
    assert _rows(text) == expected


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("可借九 百 元", "可借九百 元"),
        ("三·十·万元", "三十万元"),
        ("年化百分之三十 六", "年化百分之三十六"),
        ("壹 佰 元", "壹佰 元"),
        ("年化利率3 6%", "年化利率36%"),
        ("最高可借 3 0 万", "最高可借30 万"),
        ("选三 六 十二期", "选三 六 十二期"),
        ("二十 三十万", "二十 三十万"),
        ("方案三 十万元", "方案三 十万元"),
        ("期数 费率 3 2% 6 3%", "期数 费率 3 2% 6 3%"),
        ("1 000元", "1 000元"),
        ("一 " * 50_000, "一 " * 50_000),
        ("3 " * 50_000, "3 " * 50_000),
    ],
    ids=lambda text: text[:10],
)
def test_what_only_keeps_the_digits_of_a_number_apart_is_known(written: str, read: str) -> None:
    signs = {place for span in apart(written) for place in range(*span)}
    assert "".join(char for place, char in enumerate(written) if place not in signs) == read


@pytest.mark.parametrize(
    "text",
    ["先扣利息", "第三方支付", "一次性结清", "万一还不上", "十分抱歉", "百分百", "三七开", "一般",
     "一旦逾期",
     "统一年利率口径", "唯一", "不一定", "千万别", "一起", "一样", "一致", "一律免费", "一并计入",
     "进一步",
     "二维码", "二手车", "三者", "五一期间", "双十一", "七上八下", "一成不变", "四川", "千方百计",
     "几分至几角钱", "数十万元", "两者不能同时使用", "第一条", "第八条", "第 3 款", "（一）",
     "(2)", "1. 借款人",
     "12、费用", "[3][5]", "第二步", "〔2021〕第3号", "〔2020〕9号", "v1.2", "V2.0.1", "Article 8",
     "Section 3", "同一笔借款", "一笔借款", "最后一日", "较早到期的一期", "每一期", "上半年",
     "统一", "一家人",
     "多次提款", "半途而废", "第三人", "", "   "],
)  # fmt: skip
def test_words_and_ordinals_are_no_figures_to_check(text: str) -> None:
    assert [f for f in find(text) if f.kind != "ordinal"] == []
    assert unsupported(text, []) == []


def test_ordinals_are_found_as_such() -> None:
    assert [f.kind for f in find("第八条规定，〔2021〕第3号，v1.2")] == ["ordinal"] * 3


RANGES: list[tuple[str, str | Decimal, str | Decimal]] = [
    ("两三万元", D(20000), D(30000)),
    ("七八百元", D(700), D(800)),
    ("年化利率（单利）为 9%–23.76%", D("0.09"), D("0.2376")),
    ("第 1 期至第 3 期内", D(1), D(3)),
    ("22:00 至次日 8:00", "22:00", "08:00"),
    ("2024 年 1 月 1 日至 2025 年 12 月 31 日", "2024-01-01", "2025-12-31"),
    ("2026年6月15日至8月31日", "2026-06-15", "2026-08-31"),
    ("2026年6月15日至30日", "2026-06-15", "2026-06-30"),
    ("每月 1 日至 28 日", "---01", "---28"),
    ("5000至2万元", D(5000), D(20000)),
    ("20 至 55 周岁", D(20), D(55)),
    ("两三天", D(2), D(3)),
    ("20-50万", D(200000), D(500000)),
    ("from 500 to 200,000 yuan", D(500), D(200000)),
]


@pytest.mark.parametrize(("text", "low", "high"), RANGES)
def test_a_range_is_one_figure_with_two_ends(
    text: str, low: str | Decimal, high: str | Decimal
) -> None:
    figure = _one(text)
    assert (figure.bound, figure.value, figure.upper) == ("range", low, high)


TERMS = (
    "安心贷的年化利率（单利）为 7.2%–19.8%。单笔借款金额为 1,000 元至 200,000 元。"
    "可选 6 期、12 期或 24 期。还款日后 3 个自然日为宽限期。"
    "自收到投诉之日起 15 日内答复，热线 400-000-0000。超过 50,000 元的，须提交近 6 个月的材料。"
    "2026 年 7 月 1 日起签署的合同，还款日为每月 15 日。"
)
PROVED = [
    "额度最高20万元", "最低借1000元", "借款1,000至20万元", "年化利率7.2%起", "年利率最高19.8%",
    "年利率7.2%到19.8%", "利率7.2%", "可以分6、12、24期", "宽限期3天", "15天内答复",
    "2026年7月签的合同", "7月1日起", "2026年的合同", "每月15号还款", "15日还款",
     "请拨打400-000-0000",
    "第八条说明，宽限期三日", "近半年的材料", "超过5万元要交材料", "20万", "一般3天", "6至24期",
]  # fmt: skip
UNPROVED = [
    ("额度最低20万元", "20万元"), ("最高1000元", "1000元"), ("月利率7.2%", "7.2%"),
    ("日利率19.8%", "19.8%"), ("年利率24%", "24%"), ("宽限期3个工作日", "3个工作日"),
    ("宽限期5天", "5天"), ("36期", "36期"), ("12个月", "12个月"), ("15天以后答复", "15天"),
    ("400-111-2222", "400-111-2222"), ("2026年7月2日", "2026年7月2日"), ("2025年7月1日",
     "2025年7月1日"),
    ("2026年7月1日以前签署", "2026年7月1日"), ("不超过5万元的", "5万元"), ("每月16日", "每月16日"),
    ("3次", "3次"), ("2 个", "2 个"), ("9折", "9折"), ("9:00", "9:00"), ("7.2%至24%", "7.2%至24%"),
    ("3至12期", "3至12期"), ("200,000美元", "200,000美元"), ("第3期", "第3期"), ("2千元", "2千元"),
    ("二十五万", "二十五万"), ("第 12 期", "第 12 期"), ("three weeks", "three weeks"),
]  # fmt: skip


@pytest.mark.parametrize("claim", PROVED)
def test_a_claim_the_terms_state_is_supported(claim: str) -> None:
    assert unsupported(claim, [TERMS]) == []


@pytest.mark.parametrize(("claim", "fault"), UNPROVED)
def test_a_claim_the_terms_do_not_state_is_named(claim: str, fault: str) -> None:
    assert [f.text for f in unsupported(claim, [TERMS])] == [fault]


@pytest.mark.parametrize(
    ("claim", "sources", "wrong"),
    [
        ("月利率1.5%", ["年利率1.5%"], 1),
        ("1.5%", ["年利率1.5%"], 0),
        ("利率上浮 50% 为 27%", ["年化利率18%，上浮 50% 为 27%"], 0),
        ("500元至20万元", ["500元至20万元"], 0),
        ("500元至20万元", ["最低500元，最高20万元"], 0),
        ("500元至20万元", ["最低500元", "最高20万元"], 1),
        ("500元至20万元", ["最高500元，最低20万元"], 1),
        ("3天", ["3日内"], 0),
        ("3天内", ["3日"], 0),
        ("12个月", ["1年"], 0),
        ("12个月", ["12期"], 1),
        ("只能申请一次", ["只能申请 1 次"], 0),
        ("申请1次", ["申请一次"], 0),
        ("3天和5天", ["3天"], 1),
        ("3天和5天", ["3天", "5天"], 0),
        ("12月31日", ["2025年12月31日"], 0),
        ("2025年12月31日", ["12月31日"], 1),
        ("200,000 元", ["额度（元）：200,000"], 0),
        ("12 元", ["编号 12"], 1),
        ("20万元", [], 1),
        ("没有数字", [], 0),
        ("每月7日", ["2026年7月"], 1),
        ("每月15日", ["还款日可选 5 日、15 日"], 0),
        ("15天", ["每月15日"], 1),
        ("9:00至21:00", ["每日 9:00 至 21:00"], 0),
        ("9:00至22:00", ["每日 9:00 至 21:00"], 1),
        ("[PHONE_1]", [], 0),
    ],
)
def test_support_follows_period_bound_and_source(
    claim: str, sources: list[str], wrong: int
) -> None:
    assert len(unsupported(claim, sources)) == wrong


def _clause_sentences() -> list[str]:
    lines = [line for p in sorted(LENDER.glob("*.md")) for line in p.read_text("utf-8").split("\n")]
    return [s for line in lines for s in re.split(r"(?<=[。；])", line) if s.strip()]


def test_every_clause_sentence_proves_itself() -> None:
    sentences = _clause_sentences()
    assert len(sentences) > 500
    assert [s for s in sentences if unsupported(s, [s])] == []


def test_most_clause_sentences_with_digits_yield_figures() -> None:
    digits = [s for s in _clause_sentences() if re.search(r"\d (?:元|日|期|个)", s)]
    assert [s for s in digits if not find(s)] == []


_PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *"0123456789.,-~%:() ¥k一二三十百千万亿年月日号期天元块至到第分之厘折点时半个（）",
                "不超过",
                "以内",
                "利率",
            ]
        ),
        st.text(max_size=3),
    ),
    max_size=60,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(_PIECES)
def test_spans_are_verbatim_in_order_and_apart(text: str) -> None:
    end = 0
    for figure in find(text):
        assert figure.span[0] >= end
        assert figure.span[1] > figure.span[0]
        assert text[slice(*figure.span)] == figure.text
        end = figure.span[1]


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        ("年化12%每月还多少", [("rate", "0.12", "year", "")]),
        ("年利率24%每天利息多少", [("rate", "0.24", "year", "")]),
        ("月利率1%年化多少", [("rate", "0.01", "month", "")]),
        ("利率12%每月还多少", [("rate", "0.12", "", "")]),
        ("手续费0.6%每月", [("rate", "0.006", "month", "")]),
        ("最后一天0.05%", [("rate", "0.0005", "", "")]),
        ("每天万分之四", [("rate", "0.0004", "day", "")]),
        ("每日按0.05%计收", [("rate", "0.0005", "day", "")]),
        ("月利率1.5%（年化15%）", [("rate", "0.015", "month", ""), ("rate", "0.15", "year", "")]),
        ("一分五的利息", [("rate", "0.015", "month", "")]),
        ("月息一分五", [("rate", "0.015", "month", "")]),
        ("年化15个点", [("rate", "0.15", "year", "")]),
        ("十五个点的利率", [("rate", "0.15", "", "")]),
        ("万分之五一天", [("rate", "0.0005", "day", ""), ("term", "1", "day", "")]),
        ("万三日息", [("rate", "0.0003", "day", "")]),
        ("夜里十一点半到零点半", [("time", "23:30", "", "range")]),
        ("当晚12点之前", [("time", "24:00", "", "max")]),
        ("六点到二十二点", [("time", "06:00", "", "range")]),
        ("有两点要注意", [("count", "2", "点", "")]),
        ("过了90天", [("term", "90", "day", "min")]),
        ("三天里", [("term", "3", "day", "max")]),
        ("别超过3个月", [("term", "3", "month", "max")]),
        ("1000元打底", [("money", "1000", "CNY", "min")]),
        ("降幅达到30%", [("rate", "0.3", "", "min")]),
        ("提醒两回", [("count", "2", "次", "")]),
    ],
)
def test_figures_are_read_as_people_say_them(said: str, rows: list[Row]) -> None:
    found = [(kind, str(value), unit, bound) for kind, value, unit, bound in _rows(said)]
    assert [(k, v.rstrip("0") if "." in v else v, u, b) for k, v, u, b in found] == rows


@pytest.mark.parametrize(
    ("claim", "source", "wrong"),
    [
        ("月利率1.5%（年化15%）", "月利率 1.5%。年化利率 15%。", []),
        ("月利率1.5%，相当于年化15%", "月利率 1.5%，按 12 期；年化利率 15%。", ["15%"]),
        ("月利率1.5%（年化18%）", "月利率 1.5%，按 12 期；年化利率 18%。", []),
        ("借款10000元", "借款 10000，分 12 期。", []),
        ("能借30万", "授信额度不超过 200,000 元。", ["30万"]),
        ("最少365元", "除以 365。", ["365元"]),
    ],
)
def test_what_the_sources_do_not_bear_out_is_doubted(
    claim: str, source: str, wrong: list[str]
) -> None:
    assert [doubt.figure.text for doubt in doubts(claim, [source])] == wrong


@settings(max_examples=300, deadline=None)
@given(_PIECES)
def test_any_text_supports_itself_and_nothing_raises(text: str) -> None:
    assert unsupported(text, [text]) == []


@pytest.mark.bench
@pytest.mark.parametrize(
    "unit", ["1", "一", "1,111,", "1.1", "1-", "3%、", "年", "不超过", "9月借", "（", "第", "一点"]
)
def test_long_input_stays_linear(unit: str) -> None:
    text = (unit * 50_000)[:50_000]
    started = process_time()
    find(text)
    assert process_time() - started < 5


def test_a_hotline_before_a_person_is_no_number_of_people() -> None:
    assert [f.kind for f in find("95111人工服务")] == ["phone"]
    assert [f.kind for f in find("95111人申请")] == ["count"]
