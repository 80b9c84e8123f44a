"""Dates found in texts, and the end that a newer document sets an older one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from knowledge.dating import as_released, day_of, fill, find, successions, unknown_supersedes
from knowledge.documents import Block, Clause, FoundDate, Head
from knowledge.readers import Unreadable, read


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026年7月1日", date(2026, 7, 1)),
        ("2026 年 7 月 1 日", date(2026, 7, 1)),
        ("二〇二六年十二月三十一日", date(2026, 12, 31)),
        ("2026-07-01", date(2026, 7, 1)),
        ("2026.7.1", date(2026, 7, 1)),
        ("July 1, 2026", date(2026, 7, 1)),
        ("1st July 2026", date(2026, 7, 1)),
        ("2026年2月30日", None),
    ],
)
def test_days_are_read_as_they_are_written(text: str, day: date | None) -> None:
    assert day_of(text) == day


def found_in(*paragraphs: str, title: str = "还款规则") -> dict[str, str]:
    blocks = [Block("paragraph", text) for text in paragraphs]
    return {f.field: f.value.isoformat() for f in find(blocks, title)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("第六十五条 本法自2025年1月1日起施行。", {"effective_from": "2025-01-01"}),
        (
            "本规定由风险管理部负责解释，自２０２６年７月１日起施行。",
            {"effective_from": "2026-07-01"},
        ),
        ("本政策于二〇二六年七月一日生效。", {"effective_from": "2026-07-01"}),
        ("《还款规则》自2026年7月1日起实施。", {"effective_from": "2026-07-01"}),
        ("已经第20次会议通过，现予公布，自2026年7月1日起施行。", {"effective_from": "2026-07-01"}),
        (
            "（2020年12月23日第1823次会议通过，自2021年1月1日起施行）",
            {"effective_from": "2021-01-01"},
        ),
        ("生效日期：2026-07-01", {"effective_from": "2026-07-01"}),
        ("实施日期 2026年7月1日", {"effective_from": "2026-07-01"}),
        ("Effective from July 1, 2026", {"effective_from": "2026-07-01"}),
        ("Effective date: 2026-07-01", {"effective_from": "2026-07-01"}),
        (
            "有效期：2026年7月1日至2026年12月31日",
            {"effective_from": "2026-07-01", "effective_to": "2026-12-31"},
        ),
        ("有效期至：2026年12月31日", {"effective_to": "2026-12-31"}),
        ("Valid until 31 December 2026", {"effective_to": "2026-12-31"}),
        ("本办法自2026年7月1日起废止。", {"effective_to": "2026-06-30"}),
        ("修订日期：2026年6月15日", {"effective_from": "2026-06-15", "reviewed": "2026-06-15"}),
        ("最近更新：2026/6/15", {"effective_from": "2026-06-15", "reviewed": "2026-06-15"}),
        ("发布日期：2026年6月15日", {"effective_from": "2026-06-15"}),
        ("2026年6月15日修订", {"effective_from": "2026-06-15", "reviewed": "2026-06-15"}),
        ("本公示自2026年3月1日起执行，每年更新一次。", {"effective_from": "2026-03-01"}),
        ("岚桥消金〔2025〕17号　2025年8月1日起施行", {"effective_from": "2025-08-01"}),
        (
            "（版本号：LQ-KD-202603，自2026年3月1日起启用）",
            {"effective_from": "2026-03-01"},
        ),
        ("（2026年1月1日起适用）", {"effective_from": "2026-01-01"}),
        ("本条款自2026年5月1日起适用。", {"effective_from": "2026-05-01"}),
        # What is not about the document itself.
        ("（2026年1月1日起适用新利率）", {}),
        ("新利率自2026年1月1日起适用。", {}),
        ("安心贷（2026年1月1日起适用）的利率为9%。", {}),
        ("根据银保监令〔2020〕9号，2020年7月17日起施行。", {}),
        ("《互联网贷款办法》（银保监会令〔2020〕9号，2020年7月17日起施行）", {}),
        ("《民法典》自2021年1月1日起施行。", {}),
        ("原办法于2010年1月1日起施行。", {}),
        ("安心贷利率自2026年8月1日起执行9%。", {}),
        ("本合同项下的利率自2026年8月1日起执行。", {}),
        ("2021年1月1日施行的规定继续适用。", {}),
        ("2020年8月20日之后受理的案件适用本规定。", {}),
        ("免息券的有效期至2026年12月31日。", {}),
        ("《旧办法》同时于2026年7月1日废止。", {}),
        ("民国115年7月1日起施行", {}),
        ("生效日期：2026年13月1日", {}),
    ],
)
def test_a_document_s_own_dates_are_found_and_others_are_not(
    text: str, expected: dict[str, str]
) -> None:
    assert found_in(text) == expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("安心贷补充说明（自 2026 年 12 月 1 日起施行）", {"effective_from": "2026-12-01"}),
        ("安心贷补充说明（２０２６年１２月１日生效）", {"effective_from": "2026-12-01"}),
        ("安心贷补充说明(2026-12-01起执行)", {"effective_from": "2026-12-01"}),
        ("安心贷补充说明【2026年12月1日起适用】", {"effective_from": "2026-12-01"}),
        ("Fees (effective 1 December 2026)", {"effective_from": "2026-12-01"}),
        ("安心贷补充说明（2026 年 12 月版）", {"effective_from": "2026-12-01"}),
        (
            "活动规则（有效期：2026年12月1日至2027年1月31日）",
            {"effective_from": "2026-12-01", "effective_to": "2027-01-31"},
        ),
        # Of what the title speaks of, and not of itself.
        ("关于2026年12月1日起施行的规定的说明（试行）", {}),
        ("合同说明（2026年12月1日前签署的合同适用）", {}),
        ("合同说明（2026年12月1日起生效的合同）", {}),
    ],
)
def test_the_bracket_that_ends_a_title_dates_the_document(
    title: str, expected: dict[str, str]
) -> None:
    heading = Block("heading", title, level=1)
    found = find([heading, Block("paragraph", "安心贷免收账户管理费。")], title)
    assert {f.field: f.value.isoformat() for f in found} == expected


def test_a_label_counts_at_the_ends_of_a_document_and_in_a_table_there() -> None:
    middle = [f"第{n}段。" for n in range(40)]
    assert found_in(*middle, "生效日期：2026-07-01", *middle) == {}
    assert found_in(*middle, "生效日期：2026-07-01") == {"effective_from": "2026-07-01"}
    table = Block("table", rows=(("名称", "还款规则"), ("生效日期", "2026年7月1日")))
    assert [f.value for f in find([table])] == [date(2026, 7, 1)]


def test_what_is_said_outright_comes_before_the_version_s_date_and_all_is_quoted() -> None:
    blocks = [
        Block("paragraph", "版本日期：2026年6月1日"),
        Block("heading", "附则", level=2),
        Block("paragraph", "第九条 本规则自2026年7月1日起施行。"),
    ]
    start, reviewed = find(blocks, "还款规则")
    assert start == FoundDate(
        "effective_from", date(2026, 7, 1), "第九条 本规则自2026年7月1日起施行", "第九条"
    )
    assert (reviewed.field, reviewed.value, reviewed.quote) == (
        "reviewed",
        date(2026, 6, 1),
        "版本日期：2026年6月1日",
    )


def test_a_doubtful_date_says_why() -> None:
    (only,) = find([Block("paragraph", "正文。")], "息费标准表（2026 年 7 月版）")
    assert (only.value, "month" in only.note) == (date(2026, 7, 1), True)
    several = [Block("paragraph", f"本规则自2026年{month}月1日起施行。") for month in (6, 7)]
    (last,) = find(several)
    assert (last.value, "2026-06-01" in last.note) == (date(2026, 7, 1), True)


def test_a_head_s_own_date_wins_and_an_impossible_end_is_not_taken() -> None:
    start = FoundDate("effective_from", date(2026, 7, 1), "", "")
    end = FoundDate("effective_to", date(2026, 6, 1), "", "")
    own = Head(effective_from=date(2026, 1, 1))
    assert fill(own, [start]) == (own, ())
    head, taken = fill(Head(), [start, end])
    assert (head.effective_from, head.effective_to, taken) == (date(2026, 7, 1), None, (start,))


def test_a_file_s_head_wins_over_its_text_and_the_found_date_is_kept(tmp_path: Path) -> None:
    text = "# 还款规则\n\n生效日期：2026-07-01\n\n可以提前还款。"
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    document = read(tmp_path / "a.md", "a.md")
    assert document.head.effective_from == date(2026, 7, 1)
    assert [f.field for f in document.found] == ["effective_from"]
    stated = read(tmp_path / "a.md", "a.md", Head(effective_from=date(2026, 1, 1)))
    assert (stated.head.effective_from, stated.found) == (date(2026, 1, 1), ())


def test_an_end_before_the_beginning_is_refused_with_the_file_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# 规则\n\n正文。", encoding="utf-8")
    head = Head(effective_from=date(2026, 7, 1), effective_to=date(2026, 6, 30))
    with pytest.raises(Unreadable, match=r"a\.md: effective_to 2026-06-30 lies before"):
        read(tmp_path / "a.md", "a.md", head)


# Ends


def part(source: str, **head: object) -> Clause:
    return Clause(source, source, Head(**head), "第一条", "", "条文。")  # type: ignore[arg-type]


OLD = {"title": "投诉办法", "document_no": "青穗〔2024〕3号", "effective_from": date(2024, 1, 1)}


@pytest.mark.parametrize("name", ["rules/old.md", "old.md", "投诉办法", "青穗〔2024〕3号"])
def test_a_superseded_document_ends_the_day_before(name: str) -> None:
    new = part("new.md", title="新投诉办法", effective_from=date(2026, 7, 1), supersedes=name)
    ends = {p.source: p.head.effective_to for p in as_released([part("rules/old.md", **OLD), new])}
    assert ends == {"rules/old.md": date(2026, 6, 30), "new.md": None}
    assert unknown_supersedes([part("rules/old.md", **OLD), new]) == []


def test_an_earlier_end_of_its_own_stays_and_a_version_does_not_end_itself() -> None:
    old = part("old.md", **OLD, effective_to=date(2025, 1, 31))
    new = part("new.md", title="投诉办法", effective_from=date(2026, 7, 1), supersedes="投诉办法")
    ends = {p.source: p.head.effective_to for p in as_released([old, new])}
    assert ends == {"old.md": date(2025, 1, 31), "new.md": None}


@pytest.mark.parametrize(
    ("head", "wrong"),
    [
        (
            {"supersedes": "无此文件", "effective_from": date(2026, 7, 1)},
            "no document here is called that",
        ),
        ({"supersedes": "投诉办法"}, "has no effective_from"),
        ({"supersedes": "投诉办法", "effective_from": date(2023, 1, 1)}, "does not begin before"),
    ],
)
def test_a_supersedes_that_ends_nothing_is_told(head: dict[str, object], wrong: str) -> None:
    parts = [part("old.md", **OLD), part("new.md", title="新办法", **head)]
    ((source, reason),) = unknown_supersedes(parts)
    assert source == "new.md"
    assert wrong in reason
    assert as_released(parts)[1].head.effective_to is None


TERMS = {"title": "禾贷产品条款", "effective_from": date(2025, 4, 1)}


def ends(*parts: Clause) -> dict[str, date | None]:
    return {one.source: one.head.effective_to for one in as_released(parts)}


@pytest.mark.parametrize(
    ("says", "end"),
    [
        ("本条款自2026年6月1日起施行，原《禾贷产品条款》同时废止。", date(2026, 5, 31)),
        ("《禾贷产品条款（2025版）》自2026年7月1日起停止执行。", date(2026, 6, 30)),
        ("原《禾贷产品条款》废止前已经放款的借款，仍按其执行。", None),
        ("原《禾贷收费标准》同时废止。", None),
    ],
)
def test_a_document_ends_where_a_newer_one_says_that_it_gives_way(
    says: str, end: date | None
) -> None:
    begins = date(2026, 6, 1)
    new = replace(part("new.docx", title="禾贷条款", effective_from=begins), text=says)
    assert ends(part("old.md", **TERMS), new) == {"old.md": end, "new.docx": None}


@pytest.mark.parametrize(
    ("head", "text", "end"),
    [
        ({"title": "禾贷产品条款（2026年修订）"}, "条文。", date(2026, 5, 31)),
        ({"title": "禾贷产品条款 V2.0"}, "条文。", date(2026, 5, 31)),
        ({"title": "禾贷产品条款"}, "条文。", date(2026, 5, 31)),
        ({"title": "禾贷产品条款"}, "另一产品的说明。", None),
        ({"title": "禾贷产品条款", "product": "he"}, "条文。", None),
        ({"title": "禾贷产品说明"}, "条文。", None),
    ],
)
def test_a_document_ends_where_the_next_version_of_it_begins(
    head: dict[str, str], text: str, end: date | None
) -> None:
    new = replace(part("new.md", **head, effective_from=date(2026, 6, 1)), text=text)
    old = part("old.md", **TERMS)
    assert ends(old, new)["old.md"] == end
    told = [(one.older, one.newer, one.end) for one in successions([old, new])]
    assert told == ([("old.md", "new.md", end)] if end else [])


def test_an_end_that_is_given_stays_and_each_version_ends_where_the_next_begins() -> None:
    given = part("old.md", **TERMS, effective_to=date(2025, 12, 31))
    last = part("last.md", title="禾贷产品条款", effective_from=date(2026, 6, 1))
    middle = part("middle.md", title="禾贷产品条款", effective_from=date(2025, 9, 1))
    assert ends(given, last)["old.md"] == date(2025, 12, 31)
    assert ends(part("old.md", **TERMS), last, middle) == {
        "old.md": date(2025, 8, 31),
        "middle.md": date(2026, 5, 31),
        "last.md": None,
    }


@pytest.mark.parametrize(
    ("title", "kind"),
    [("禾贷产品条款", "product"), ("隐私协议", "policy"), ("收费标准", "policy")],
)
def test_versions_of_what_a_contract_is_made_of_are_those_of_its_day(title: str, kind: str) -> None:
    old = part("old.md", title=title, effective_from=date(2025, 4, 1))
    new = part("new.md", title=title, effective_from=date(2026, 6, 1))
    assert {one.head.kind for one in as_released([old, new])} == {kind}
    assert {one.head.kind for one in as_released([new])} == {"policy"}
