"""Clauses: what they hold, where they are found, and that nothing is lost or altered."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.chunk import (
    PROSE_CHARS,
    SECTION_CHARS,
    TABLE_CHARS,
    chunk,
    is_law_title,
    number_of,
    numeral_of,
    place_of,
    quotable,
    sentences,
)
from knowledge.documents import Block, Clause, Document, Head, Kind


def paragraph(text: str) -> Block:
    return Block("paragraph", text)


def heading(level: int, text: str) -> Block:
    return Block("heading", text, level=level)


def clauses(*blocks: Block, kind: Kind = "policy", title: str = "贷款规则") -> list[Clause]:
    return chunk(Document("rules.md", "0" * 64, Head(title=title, kind=kind), blocks))


def quotes(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_an_article_is_one_clause_under_its_chapter() -> None:
    first, second = clauses(
        heading(1, "贷款规则"),
        heading(2, "第一章 总　则"),
        paragraph("第一条 为了规范贷款，制定本规则。"),
        paragraph("第二条　借款人应当按期还款："),
        paragraph("（一）按月还款；"),
        paragraph("（二）到期结清。"),
    )
    assert (first.locator, first.title) == ("第一章 总则 > 第一条", "总则")
    assert first.text == "为了规范贷款，制定本规则。"
    assert second.text == "借款人应当按期还款：\n（一）按月还款；\n（二）到期结清。"


def test_a_list_of_questions_is_known_though_nobody_calls_it_one() -> None:
    first, second, third, fourth = clauses(
        heading(1, "帮助中心"),
        heading(2, "还款"),
        paragraph("问：几点扣款？\n答：每日 9:00。20:00 后请手动还款。"),
        paragraph("问：能用信用卡还吗？答：不能。"),
        paragraph("问：扣款失败怎么办？"),
        paragraph("答：请手动还款。"),
        heading(2, "账户"),
        paragraph("Q: 怎么注销？\nA: 在设置里办理。"),
    )
    assert first.locator == "还款 > 几点扣款？"
    assert first.text == "每日 9:00。20:00 后请手动还款。"
    assert (second.title, second.text) == ("能用信用卡还吗？", "不能。")
    assert (third.title, third.text) == ("扣款失败怎么办？", "请手动还款。")
    assert (fourth.locator, fourth.text) == ("账户 > 怎么注销？", "在设置里办理。")


def test_lines_that_do_nothing_but_ask_are_questions_too() -> None:
    first, second, third = clauses(
        paragraph("1. 几点扣款？\n每日 9:00。扣款失败怎么办？请手动还款。"),
        paragraph("2、能用信用卡还吗？"),
        paragraph("不能。"),
        paragraph("只能用借记卡。"),
        paragraph("想解绑旧卡，却提示失败？"),
        paragraph("请先把另一张卡设为默认。"),
    )
    assert (first.title, first.text) == (
        "几点扣款？",
        "每日 9:00。扣款失败怎么办？请手动还款。",
    )
    assert (second.title, second.text) == ("能用信用卡还吗？", "不能。\n只能用借记卡。")
    assert (third.title, third.text) == ("想解绑旧卡，却提示失败？", "请先把另一张卡设为默认。")


def test_lines_that_ask_without_a_mark_are_questions_where_each_is_answered() -> None:
    note, first, second, third, fourth = clauses(
        paragraph("客服常见问答（2025年8月整理，一线用）"),
        paragraph("几点扣款"),
        paragraph("每日 9:00。"),
        paragraph("能用信用卡还吗"),
        paragraph("不能。"),
        paragraph("旧卡怎么解绑"),
        paragraph("先把另一张卡设为默认。"),
        paragraph("能改手机号吗？"),
        paragraph("能。"),
    )
    assert quotable(note) == [note.text]
    assert (first.title, first.text) == ("几点扣款", "每日 9:00。")
    assert (second.title, second.text) == ("能用信用卡还吗", "不能。")
    assert (third.title, third.text) == ("旧卡怎么解绑", "先把另一张卡设为默认。")
    assert (fourth.title, fourth.text) == ("能改手机号吗？", "能。")


def test_headings_and_lists_that_ask_are_no_list_of_questions() -> None:
    found = clauses(
        heading(2, "谁可以申请"),
        paragraph("年满 20 周岁的个人。"),
        heading(2, "借了多久到账"),
        paragraph("5 分钟。"),
        heading(2, "额度会变吗"),
        paragraph("可能。"),
    )
    assert [clause.title for clause in found] == ["谁可以申请", "借了多久到账", "额度会变吗"]
    (only,) = clauses(paragraph("怎样还款"), paragraph("哪里还款"), paragraph("何时还款"))
    assert only.text.startswith("怎样还款")


def test_a_note_on_the_paper_is_no_quote() -> None:
    (clause,) = clauses(
        paragraph("某消金 ｜ 产品部 2025年8月更新"),
        paragraph("版本：2025年6月修订，自2025年7月1日起施行"),
        paragraph("本表 2025 年 8 月更新。"),
    )
    assert quotable(clause) == [
        "版本：2025年6月修订，自2025年7月1日起施行",
        "本表 2025 年 8 月更新。",
    ]


def test_a_text_that_asks_now_and_then_is_no_list_of_questions() -> None:
    (only,) = clauses(
        paragraph("问：以上是否清楚？"),
        paragraph("借款人应当按期还款。"),
        paragraph("问：有无其他借款？"),
        paragraph("问：用途是什么？"),
    )
    assert only.text.startswith("问：以上是否清楚？")


def test_blanks_and_notes_on_the_paper_itself_are_no_quotes() -> None:
    (only,) = clauses(
        paragraph("内部版本 V3.2｜更新日期：2026年8月18日｜维护：产品部"),
        paragraph("借款人可以撤回授权。"),
        paragraph("授权人（签名）：________  日期：________"),
    )
    assert quotable(only) == ["借款人可以撤回授权。"]
    (term,) = clauses(paragraph("年利率为____%，逾期的在此利率上加收 50%。"))
    assert quotable(term) == ["年利率为____%，逾期的在此利率上加收 50%。"]
    (form,) = clauses(paragraph("授权人（签名）：________"))
    assert quotable(form) == ["授权人（签名）：________"]


def test_an_article_heading_gives_its_title_and_not_its_text() -> None:
    (only,) = clauses(heading(2, "第八条 提前还款"), paragraph("借款人可以提前还款。"))
    assert (only.locator, only.title, only.text) == ("第八条", "提前还款", "借款人可以提前还款。")


@pytest.mark.parametrize("opening", ["第八条 提前还款", "第八条 【提前还款】", "第 八 条 提前还款"])
def test_an_article_title_set_as_a_paragraph_is_its_title(opening: str) -> None:
    (only,) = clauses(paragraph(opening), paragraph("借款人可以提前还款。"))
    assert (only.locator, only.title, only.text) == ("第八条", "提前还款", "借款人可以提前还款。")


def test_a_bracketed_title_before_the_text_is_the_title() -> None:
    (only,) = clauses(paragraph("第八条 【提前还款】借款人可以提前还款。"))
    assert (only.title, only.text) == ("提前还款", "借款人可以提前还款。")


def test_articles_run_together_in_one_paragraph_are_separated() -> None:
    found = clauses(
        paragraph("第四条消费者应当理性消费。第五条中国人民银行依法履职。第六条鼓励调解。"),
    )
    assert [(c.locator, c.text) for c in found] == [
        ("第四条", "消费者应当理性消费。"),
        ("第五条", "中国人民银行依法履职。"),
        ("第六条", "鼓励调解。"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "第四条 违反规定的，依照本法第五条的规定处罚。",
        "第四条 逾期的，根据第五条计收罚息。",
        "第四条 逾期计收罚息。第五条的规定适用于提前还款。",
        "第四条 逾期计收罚息。第五条第二款规定的情形除外。",
        "第四条 逾期计收罚息。第九条另行约定。",
        "第四条 适用《某法》第五条、第六条的规定。",
    ],
)
def test_a_reference_to_an_article_opens_no_article(text: str) -> None:
    (only,) = clauses(paragraph(text))
    assert only.locator == "第四条"
    assert only.text == text.removeprefix("第四条 ")


def test_a_paragraph_that_begins_with_a_reference_stays_in_its_article() -> None:
    (only,) = clauses(paragraph("第四条 逾期的计收罚息。"), paragraph("第五条的规定适用于本条。"))
    assert only.text == "逾期的计收罚息。\n第五条的规定适用于本条。"


def test_inserted_articles_have_their_own_number() -> None:
    found = clauses(
        paragraph("第二十四条 甲方应当告知。"),
        paragraph("第二十四条之一 乙方应当确认。"),
        paragraph("第25条 双方应当守信。"),
    )
    assert [c.locator for c in found] == ["第二十四条", "第二十四条之一", "第25条"]


def test_an_article_with_nothing_but_its_title_keeps_it_as_text() -> None:
    (only,) = clauses(paragraph("第九条 （已删除）"))
    assert only.text == "（已删除）"


def test_sections_take_their_heading_path() -> None:
    found = clauses(
        heading(1, "贷款规则"),
        paragraph("适用于全部借款人。"),
        heading(2, "还款"),
        heading(3, "提前还款"),
        paragraph("可以提前还款。"),
        heading(2, "费用"),
        paragraph("不收手续费。"),
    )
    assert [(c.locator, c.title) for c in found] == [
        ("贷款规则", "贷款规则"),
        ("还款 > 提前还款", "提前还款"),
        ("费用", "费用"),
    ]


def test_headings_without_content_and_tables_of_contents_give_no_clause() -> None:
    found = clauses(
        paragraph("目　录"),
        paragraph("第一章 总则........1"),
        paragraph("第二章 附则........9"),
        paragraph("第一章 总则"),
        paragraph("第一条 制定本规则。"),
        heading(2, "第二章 附则"),
    )
    assert [c.locator for c in found] == ["第一章 总则 > 第一条"]
    assert clauses(heading(1, "贷款规则"), paragraph("　 ")) == []


def test_a_long_article_is_split_between_its_items_under_one_locator() -> None:
    items = [f"（{numeral_of(n)}）" + "逾期的借款人应当承担责任" * 12 + "；" for n in range(1, 11)]
    parts = clauses(paragraph("第十条 有下列情形之一的："), *map(paragraph, items))
    assert len(parts) > 1
    assert [c.locator for c in parts] == [
        f"第十条 ({i}/{len(parts)})" for i in range(1, len(parts) + 1)
    ]
    assert all(len(c.text) <= SECTION_CHARS for c in parts)
    assert "\n".join(c.text for c in parts) == "有下列情形之一的：\n" + "\n".join(items)


def test_a_lead_in_is_not_parted_from_its_first_item() -> None:
    parts = clauses(
        paragraph("第十条 " + "甲" * 780 + "。"),
        paragraph("有下列情形之一的："),
        paragraph("（一）" + "乙" * 300 + "；"),
    )
    assert [c.text[:10] for c in parts] == ["甲" * 10, "有下列情形之一的：\n"]


def test_prose_without_structure_is_cut_only_at_sentence_ends() -> None:
    text = "".join(f"这是第{n}个句子，它说明贷款的规则。" for n in range(1, 101))
    parts = clauses(paragraph(text))
    assert all(len(c.text) <= PROSE_CHARS and c.text.endswith("。") for c in parts)
    assert "".join(c.text for c in parts) == text


def test_a_question_and_its_answer_are_one_clause() -> None:
    found = clauses(
        heading(1, "常见问题"),
        heading(2, "还款"),
        heading(3, "可以提前还款吗？"),
        paragraph("可以。"),
        Block("table", rows=(("期数", "费用"), ("1-3", "0 元"))),
        paragraph("不收违约金。"),
        kind="faq",
        title="常见问题",
    )
    assert [(c.locator, c.title, c.text) for c in found] == [
        (
            "还款 > 可以提前还款吗？",
            "可以提前还款吗？",
            "可以。\n期数：1-3；费用：0 元\n不收违约金。",
        )
    ]


def test_questions_marked_by_letters_are_pairs() -> None:
    found = clauses(
        paragraph("问：几点扣款？"),
        paragraph("答：早上九点。"),
        paragraph("Q2：能改还款日吗？"),
        paragraph("A2：不能。"),
        paragraph("可以提前还。"),
        kind="faq",
    )
    assert [(c.title, c.text) for c in found] == [
        ("几点扣款？", "早上九点。"),
        ("能改还款日吗？", "不能。\n可以提前还。"),
    ]


def test_each_table_row_carries_its_headers() -> None:
    (only,) = clauses(
        heading(2, "费用"),
        paragraph("收费标准如下："),
        Block(
            "table", rows=(("项目", "标准", "说明"), ("利率", "7.2%", ""), ("罚息", "9%", "按日"))
        ),
    )
    assert only.text == "项目：利率；标准：7.2%\n项目：罚息；标准：9%；说明：按日"
    assert (only.locator, only.title) == ("费用", "费用 收费标准如下：")


def test_a_table_without_headers_gives_name_and_value() -> None:
    (only,) = clauses(Block("table", rows=(("", ""), ("产品", "安心贷"), ("利率", "7.2%"))))
    assert only.text == "产品：安心贷\n利率：7.2%"


def test_a_note_over_the_whole_width_of_a_table_takes_no_header() -> None:
    (only,) = clauses(Block("table", rows=(("项目", "标准"), ("利率", "7%"), ("注：略", "注：略"))))
    assert only.text.splitlines()[-1] == "注：略"


def test_a_long_table_is_split_between_rows_with_headers_on_each() -> None:
    rows = tuple((f"第 {n} 期", "12,345.67 元", "按合同约定的还款日扣款") for n in range(1, 61))
    parts = clauses(heading(2, "还款计划"), Block("table", rows=(("期数", "金额", "说明"), *rows)))
    lines = [line for c in parts for line in c.text.splitlines()]
    assert len(parts) > 1
    assert len(lines) == 60
    assert all(len(c.text) <= TABLE_CHARS for c in parts)
    assert all(line.startswith("期数：第 ") and "；金额：" in line for line in lines)


def test_parts_books_and_sections_stand_above_the_article() -> None:
    found = clauses(
        paragraph("第三编 合同"),
        paragraph("第一分编 通则"),
        paragraph("第二章 合同的订立"),
        paragraph("第一节 格式条款"),
        paragraph("第四百九十六条 格式条款是当事人预先拟定的条款。"),
        paragraph("第二节 要约"),
        paragraph("第四百九十七条 要约可以撤回。"),
        paragraph("第二分编 典型合同"),
        paragraph("第六百六十七条 借款合同是借款人向贷款人借款的合同。"),
    )
    top = "第三编 合同"
    assert [c.locator for c in found] == [
        f"{top} > 第一分编 通则 > 第二章 合同的订立 > 第一节 格式条款 > 第四百九十六条",
        f"{top} > 第一分编 通则 > 第二章 合同的订立 > 第二节 要约 > 第四百九十七条",
        f"{top} > 第二分编 典型合同 > 第六百六十七条",
    ]


@pytest.mark.parametrize(
    ("opening", "locator"),
    [
        ("第二百五十三条之一", "第二百五十三条之一"),
        ("第 120 条之二", "第120条之二"),
        ("第一千二百六十条", "第一千二百六十条"),
        ("第２４条", "第２４条"),
        ("第二十四條", "第二十四條"),
        ("［第八条］", "第八条"),
        ("[第22条, as quoted]", "第22条"),
    ],
)
def test_article_numbers_are_known_in_every_way_of_writing(opening: str, locator: str) -> None:
    (only,) = clauses(paragraph(f"{opening} 贷款人不得收集无关的信息。"))
    assert only.locator == locator
    assert only.text.endswith("贷款人不得收集无关的信息。")


@pytest.mark.parametrize(
    "reference",
    [
        "第十条第二款规定的期限届满的，借款人应当还款。",
        "第十条第（三）项所列情形，贷款人应当告知。",
        "第十条、第十一条的规定适用于续贷。",
        "第十条至第十二条不适用于本产品。",
        "第二十四条之一的规定适用于联合贷款。",
        "第十條第二款規定的期限屆滿的，借款人應當還款。",
    ],
)
def test_a_paragraph_or_item_number_behind_an_article_is_a_reference(reference: str) -> None:
    (only,) = clauses(paragraph("第九条 期限。"), paragraph(reference))
    assert (only.locator, only.text) == ("第九条", f"期限。\n{reference}")


def test_items_and_paragraphs_stay_with_their_article() -> None:
    items = ["（一）恶意逾期的；", "1.超过三个月的；", "①多次失联的；", "（二）伪造材料的。"]
    first, second = clauses(
        paragraph("第五条 有下列情形之一的，贷款人可以提前收回贷款："),
        *map(paragraph, items),
        paragraph("前款规定不影响借款人的异议权。"),
        paragraph("第六条 本规则自公布之日起施行。"),
    )
    assert first.locator == "第五条"
    assert first.text.splitlines()[1:] == [*items, "前款规定不影响借款人的异议权。"]
    assert second.locator == "第六条"


def test_parts_numbered_as_a_list_stand_below_an_article_that_came_first() -> None:
    inside = clauses(
        paragraph("第一条 借款要素"),
        paragraph("一、借款金额"),
        paragraph("金额以借据为准。"),
        paragraph("二、借款期限"),
        paragraph("期限为十二个月。"),
        paragraph("第二条 还款。"),
    )
    assert [c.locator for c in inside] == [
        "第一条 > 一、借款金额",
        "第一条 > 二、借款期限",
        "第二条",
    ]
    above = clauses(
        paragraph("一、一般规定"),
        paragraph("第一条 适用范围。"),
        paragraph("二、违约责任"),
        paragraph("第二条 罚息。"),
    )
    assert [c.locator for c in above] == ["一、一般规定 > 第一条", "二、违约责任 > 第二条"]


def test_a_part_headed_in_one_line_with_its_text_is_no_part_of_the_one_before() -> None:
    found = clauses(
        paragraph("一、收费项目"),
        paragraph("收费项目见下表。"),
        paragraph("二、不收费事项：账户管理、额度评估均不收费。"),
        paragraph("三、监督：对收费有异议的，可以来电。"),
        paragraph("二、本行不接上文：仍属于上一部分。"),
    )
    assert [(c.locator, quotable(c)[0]) for c in found] == [
        ("一、收费项目", "收费项目见下表。"),
        ("二、不收费事项", "不收费事项：账户管理、额度评估均不收费。"),
        ("三、监督", "监督：对收费有异议的，可以来电。"),
    ]
    assert "本行不接上文" in found[2].text
    (alone,) = clauses(paragraph("一、对象：新客户。"), paragraph("二、内容：领取一张券。"))
    assert "领取一张券" in alone.text


def test_lines_numbered_in_digits_are_headings_where_each_has_its_text() -> None:
    found = clauses(
        paragraph("1、报送频率"),
        paragraph("我们按月报送。"),
        paragraph("2、逾期记录保留多久"),
        paragraph("保留5年。"),
    )
    assert [(c.locator, c.text) for c in found] == [
        ("1、报送频率", "我们按月报送。"),
        ("2、逾期记录保留多久", "保留5年。"),
    ]
    (items,) = clauses(
        paragraph("需要的材料："),
        paragraph("1、身份证"),
        paragraph("2、收入证明"),
        paragraph("材料应当真实。"),
    )
    assert "1、身份证" in items.text


def test_what_only_says_that_a_text_ends_or_whom_it_greets_is_no_quote() -> None:
    (only,) = clauses(
        heading(2, "附表 费用"),
        Block("table", rows=(("项目", "标准"), ("还款卡变更", "0元"))),
        paragraph("（以下无正文）"),
    )
    assert only.text == "项目：还款卡变更；标准：0元"
    (notice,) = clauses(
        paragraph("尊敬的客户："), paragraph("还款短信提前3天发送。"), paragraph("特此公告。")
    )
    assert quotable(notice) == ["还款短信提前3天发送。"]


def test_an_annex_is_no_part_of_the_last_article() -> None:
    found = clauses(
        paragraph("第一章 附则"),
        paragraph("第九条 本规则自公布之日起施行。"),
        paragraph("附件1 收费标准"),
        Block("table", rows=(("项目", "标准"), ("罚息", "9%"))),
    )
    assert [c.locator for c in found] == ["第一章 附则 > 第九条", "附件1 收费标准"]


def test_what_an_excerpt_gives_no_number_for_is_of_no_article() -> None:
    found = clauses(
        paragraph("[第十七条] 可以发行资本工具。"),
        paragraph("[条号未见] 应当审慎评估。"),
        title="办法",
    )
    assert [(c.locator, c.text) for c in found] == [
        ("第十七条", "可以发行资本工具。"),
        ("办法", "[条号未见] 应当审慎评估。"),
    ]


def sheet(*rows: tuple[str, ...], numbers: tuple[int, ...]) -> Block:
    return Block("table", rows=rows, row_numbers=numbers)


def test_rows_of_a_sheet_are_named_by_the_numbers_people_see() -> None:
    found = clauses(
        heading(2, "费率表"),
        sheet(("项目", "标准"), ("罚息", "9%"), ("提前结清手续费", "免收"), numbers=(4, 5, 7)),
        heading(2, "说明"),
        sheet(("", ""), ("客服", "400"), numbers=(0, 1)),
    )
    assert [c.locator for c in found] == ["费率表 > 第5-7行", "说明 > 第1行"]
    assert [place_of(c) for c in found] == ["费率表", "说明"]


def test_groups_of_a_long_table_name_their_rows() -> None:
    rows = tuple((f"第 {n} 期", "12,345.67 元", "按合同约定的还款日扣款") for n in range(1, 61))
    parts = clauses(heading(2, "计划"), Block("table", rows=(("期数", "金额", "说明"), *rows)))
    spans = [re.fullmatch(r"计划 > 第(\d+)-(\d+)行", c.locator) for c in parts]
    bounds = [(int(m[1]), int(m[2])) for m in spans if m]
    assert len(bounds) == len(parts) > 1
    assert bounds[0][0] == 1
    assert bounds[-1][1] == 60
    assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(bounds))
    for clause, (first, last) in zip(parts, bounds, strict=True):
        assert [f"第 {n} 期" in clause.text for n in (first, last)] == [True, True]
        assert len(clause.text.splitlines()) == last - first + 1


def test_ids_of_a_table_stay_when_a_row_is_added() -> None:
    before = clauses(sheet(("项目", "标准"), ("罚息", "9%"), numbers=(1, 2)))
    rows = (("项目", "标准"), ("利率", "7%"), ("罚息", "9%"))
    after = clauses(sheet(*rows, numbers=(1, 2, 3)))
    assert [c.id for c in before] == [c.id for c in after]


def test_a_row_is_quoted_whole_with_its_headers() -> None:
    rows = (
        ("项目", "收费标准", "说明"),
        ("提前结清手续费", "免收；第 4 次起 50 元。以公示为准", "自 2025-01-01 起"),
        ("短信费", "0 元", "无"),
    )
    (only,) = clauses(Block("table", rows=rows))
    assert quotable(only) == [
        "项目：提前结清手续费；收费标准：免收；第 4 次起 50 元。以公示为准；说明：自 2025-01-01 起",
        "项目：短信费；收费标准：0 元；说明：无",
    ]


def test_a_row_with_a_long_text_is_cut_and_each_part_names_the_row() -> None:
    text = "".join(f"第{n}种情形下贷款人应当先行告知借款人并留存记录。" for n in range(1, 61))
    parts = clauses(
        Block("table", rows=(("事项", "处理"), ("信息变更", text), ("销户", "到店办理")))
    )
    lines = [line for c in parts for line in c.text.splitlines()]
    assert len(lines) > 2
    assert all(line.startswith("事项：信息变更；处理：") for line in lines[:-1])
    assert "".join(line.removeprefix("事项：信息变更；处理：") for line in lines[:-1]) == text
    assert lines[-1] == "事项：销户；处理：到店办理"
    assert [c.locator for c in parts] == ["贷款规则 > 第1行"] * 2 + ["贷款规则 > 第1-2行"]


def test_a_table_of_questions_gives_a_clause_for_each() -> None:
    table = sheet(
        ("序号", "问题", "答案", "分类"),
        ("1", "可以提前还款吗？", "可以。\n不收违约金。", "还款"),
        ("2", "几点扣款？", "早上九点。", "还款"),
        numbers=(1, 2, 3),
    )
    found = clauses(heading(2, "问答"), table, paragraph("以上仅供参考。"))
    assert [(c.locator, c.title, c.text) for c in found] == [
        (
            "问答 > 可以提前还款吗？",
            "可以提前还款吗？",
            "可以。\n不收违约金。\n序号：1\n分类：还款",
        ),
        ("问答 > 几点扣款？", "几点扣款？", "早上九点。\n序号：2\n分类：还款"),
        ("问答", "问答", "以上仅供参考。"),
    ]


def test_ids_are_ascii_unique_and_stay_when_other_parts_change() -> None:
    rule = [paragraph("第一条 甲。"), paragraph("第二条 乙。"), paragraph("第三条 丙。")]
    before = {c.locator: c.id for c in clauses(*rule)}
    changed = [paragraph("第一条 " + "全新的内容。" * 300), *rule[1:], paragraph("第四条 丁。")]
    after = clauses(*changed)
    assert {c.locator: c.id for c in after if c.locator in before} == {
        at: before[at] for at in ("第二条", "第三条")
    }
    assert len({c.id for c in after}) == len(after)
    assert all(re.fullmatch("[0-9a-f]{16}", c.id) for c in after)


def test_equal_headings_give_different_ids() -> None:
    found = clauses(heading(2, "说明"), paragraph("甲。"), heading(2, "说明"), paragraph("乙。"))
    assert found[0].locator == found[1].locator
    assert found[0].id != found[1].id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("利率为 7.2%。按日计息！可以吗？", ["利率为 7.2%。", "按日计息！", "可以吗？"]),
        ("约定的，从其约定；没有约定的，按法律。", ["约定的，从其约定；", "没有约定的，按法律。"]),
        ("他说“逾期上征信。请还款。”然后挂断。", ["他说“逾期上征信。请还款。”", "然后挂断。"]),
        ("“逾期。”的含义见附件。", ["“逾期。”的含义见附件。"]),
        ("逾期（含当日。不含次日）计息。再说。", ["逾期（含当日。不含次日）计息。再说。"]),
        ("逾期（未闭合。按日计息。不再提醒。", ["逾期（未闭合。", "按日计息。", "不再提醒。"]),
        ("（一）逾期的；\n（二）拒绝的。", ["（一）逾期的；", "（二）拒绝的。"]),
        ("（一）约定的，从约定；否则从法律；", ["（一）约定的，从约定；否则从法律；"]),
        ("（一）逾期不还款；（二）拒绝还款。", ["（一）逾期不还款；", "（二）拒绝还款。"]),
        ("项目：利率；标准：按日。不含税", ["项目：利率；标准：按日。不含税"]),
        ("产品：甲；说明：先息；后本\n产品：乙", ["产品：甲；说明：先息；后本", "产品：乙"]),
        ("The rate is 7.2%. It accrues daily.", ["The rate is 7.2%.", "It accrues daily."]),
        ("see a.b?c=d now! Then pay", ["see a.b?c=d now!", "Then pay"]),
        ("真的吗？！不是。", ["真的吗？！不是。"]),
        ("  ", []),
    ],
)  # fmt: skip
def test_sentences_are_what_a_person_would_quote(text: str, expected: list[str]) -> None:
    assert quotes(text) == expected


@given(st.text(alphabet=st.sampled_from("甲乙12.。；？！?!：，（）「」“”()\n\t 　ab"), max_size=80))
def test_sentence_spans_are_ordered_apart_and_lose_no_character(text: str) -> None:
    spans = sentences(text)
    covered = {at for start, end in spans for at in range(start, end)}
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert all(at in covered for at, char in enumerate(text) if not char.isspace())


@given(st.text(max_size=200))
def test_any_text_can_be_cut_into_sentences(text: str) -> None:
    assert "".join("".join(quotes(text)).split()) == "".join(text.split())


MARKERS = re.compile(r"第\s*[一二12]+\s*[条章]|[\s：:、．]")

PARAGRAPHS = st.lists(
    st.builds(
        Block,
        kind=st.sampled_from(["paragraph", "item"]),
        text=st.text(st.sampled_from("甲乙丙第一二12条章款的。；：，（）“” \n"), max_size=40).map(
            lambda text: text + "完。"
        ),
    ),
    max_size=12,
)


@given(PARAGRAPHS)
def test_no_character_of_a_paragraph_is_lost(blocks: list[Block]) -> None:
    found = clauses(*blocks)
    kept = MARKERS.sub("", "".join(clause.text for clause in found))
    assert kept == MARKERS.sub("", "".join(block.text for block in blocks))
    assert all(clause.text.strip() for clause in found)
    assert len({clause.id for clause in found}) == len(found)


@given(
    st.lists(st.text(st.sampled_from("甲乙丙，。；"), min_size=1, max_size=900), max_size=6),
    st.sampled_from([[], [heading(2, "第一条 标题")], [heading(2, "说明")]]),
)
def test_splitting_long_text_loses_nothing(texts: list[str], top: list[Block]) -> None:
    found = clauses(*top, *(paragraph(text + "完。") for text in texts))
    assert "".join("".join(c.text.split()) for c in found) == "".join(t + "完。" for t in texts)


@given(st.integers(1, 9999))
def test_numerals_are_read_as_they_are_written(number: int) -> None:
    assert number_of(numeral_of(number)) == number
    assert number_of(str(number)) == number


@pytest.mark.parametrize(
    ("number", "numeral"),
    [(10, "十"), (15, "十五"), (101, "一百零一"), (110, "一百一十"), (1034, "一千零三十四")],
)
def test_numerals_are_written_as_in_laws(number: int, numeral: str) -> None:
    assert numeral_of(number) == numeral


@pytest.mark.parametrize(
    ("title", "official", "law"),
    [
        ("中华人民共和国反洗钱法", False, True),
        ("征信业管理条例", False, True),
        ("消费金融公司管理办法", True, True),
        ("投诉处理办法", False, False),
        ("还款方法", False, False),
        ("青穗消费金融有限公司投诉处理办法", True, False),
        ("民法典（节录）", True, False),
    ],
)
def test_a_lender_s_rules_are_not_taken_for_law(title: str, official: bool, law: bool) -> None:
    assert is_law_title(title, official=official) is law
