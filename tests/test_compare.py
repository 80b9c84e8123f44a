"""Two versions side by side: which clause became which, and what of its wording changed."""

from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from knowledge import compare
from knowledge.chunk import chunk
from knowledge.compare import ClauseChange, Spans
from knowledge.documents import Clause, Head
from knowledge.readers import read

LENDER = Path(__file__).parent.parent / "knowledge" / "corpus" / "lender"


def clause(locator: str, text: str, source: str = "a.md", **head: object) -> Clause:
    filled = Head(title="安心贷条款", **head)  # type: ignore[arg-type]
    return Clause(f"{source}#{locator}", source, filled, locator, locator, text)


def marked(text: str, spans: Spans) -> str:
    shown, at = "", 0
    for start, end in spans:
        shown += f"{text[at:start]}[{text[start:end]}]"
        at = end
    return shown + text[at:]


def shape(rows: list[ClauseChange]) -> list[tuple[str, str | None, str | None]]:
    return [
        (row.change, row.before and row.before.locator, row.after and row.after.locator)
        for row in rows
    ]


def test_a_changed_figure_is_marked_as_a_whole_and_nothing_else() -> None:
    before, after = (
        "宽限期为还款日后的 1 个自然日，利率 9%–23.76%。",
        ("宽限期为还款日后的 3 个自然日，利率 7.2%–19.8%。"),
    )
    old, new = compare.differences(before, after)
    assert marked(before, old) == "宽限期为还款日后的 [1] 个自然日，利率 [9%–23.76%]。"
    assert marked(after, new) == "宽限期为还款日后的 [3] 个自然日，利率 [7.2%–19.8%]。"


def test_renumbered_articles_are_found_by_what_they_say() -> None:
    before = [
        clause("第一条", "借款人可以提前结清全部借款，免收违约金。"),
        clause("第二条", "借款逾期的，自次日起计收罚息。"),
        clause("第三条", "客服热线全天受理挂失。"),
    ]
    after = [
        clause("第一条", "本条款适用于安心贷合同。"),
        clause("第二条", "借款人可以提前结清全部或部分借款，免收违约金。"),
        clause("第三条", "借款逾期的，自次日起计收罚息。"),
    ]
    rows = compare.documents(before, after)
    assert shape(rows) == [
        ("added", None, "第一条"),
        ("changed", "第一条", "第二条"),
        ("moved", "第二条", "第三条"),
        ("removed", "第三条", None),
    ]
    assert marked(after[1].text, rows[1].after_spans).count("[") == 1


def test_a_section_rewritten_from_scratch_stays_one_section_an_article_does_not() -> None:
    rows = compare.documents([clause("费用", "全部免费。")], [clause("费用", "按月收取十元。")])
    assert shape(rows) == [("changed", "费用", "费用")]
    rows = compare.documents([clause("第一条", "全部免费。")], [clause("第一条", "客户须成年。")])
    assert sorted(row.change for row in rows) == ["added", "removed"]


def test_of_a_text_that_stands_twice_each_finds_its_own() -> None:
    parts = [clause("第一条", "详见合同。"), clause("第二条", "详见合同。")]
    assert [row.change for row in compare.documents(parts, parts)] == ["same", "same"]


def test_versions_of_the_sample_terms_are_aligned_article_by_article() -> None:
    before, after = (
        chunk(read(LENDER / f"anxin-terms-{version}.md", f"anxin-terms-{version}.md"))
        for version in ("2024-01", "2026-01")
    )
    rows = compare.documents(before, after)
    assert len(rows) == len(before) == len(after)
    assert all(row.before and row.after and row.before.locator == row.after.locator for row in rows)
    early = next(row for row in rows if row.before and row.before.locator.startswith("第八条"))
    assert early.before is not None
    assert "2%" in "".join(early.before.text[a:b] for a, b in early.before_spans)


LINES = st.lists(st.sampled_from("甲乙丙丁1234 ，。"), max_size=30).map("".join)


def is_held(part: str, whole: str) -> bool:
    """Whether all characters of `part` stand in `whole`, in this order."""
    rest = iter(whole)
    return all(char in rest for char in part)


@given(LINES, LINES)
def test_what_is_not_marked_stands_on_the_other_side_too(before: str, after: str) -> None:
    old, new = compare.differences(before, after)
    for text, spans, other in ((before, old, after), (after, new, before)):
        edges = list(itertools.chain(*spans))
        assert edges == sorted(edges)
        marks = {i for start, end in spans for i in range(start, end)}
        unmarked = "".join(c for i, c in enumerate(text) if i not in marks and not c.isspace())
        assert is_held(unmarked, other)


@given(st.lists(LINES.filter(str.strip), max_size=8), st.lists(LINES.filter(str.strip), max_size=8))
def test_every_clause_of_both_versions_stands_in_one_row(old: list[str], new: list[str]) -> None:
    before = [clause(f"第{i}条", text) for i, text in enumerate(old)]
    after = [clause(f"第{i}条", text) for i, text in enumerate(new)]
    rows = compare.documents(before, after)
    assert sorted(r.before.locator for r in rows if r.before) == [c.locator for c in before]
    assert [r.after.locator for r in rows if r.after] == [c.locator for c in after]


def test_a_release_tells_documents_heads_and_clauses_that_differ() -> None:
    kept = clause("第一条", "不变。", "kept.md")
    gone = clause("第一条", "旧文件。", "gone.md")
    fresh = clause("第一条", "新文件。", "fresh.md")
    old = clause("第一条", "可以提前还款。", "terms.md", effective_from=date(2026, 1, 1))
    new = clause("第一条", "可以随时提前还款。", "terms.md", effective_from=date(2026, 7, 1))
    change = compare.releases(
        {"kept.md": [kept], "gone.md": [gone], "terms.md": [old]},
        {"kept.md": [kept], "fresh.md": [fresh], "terms.md": [new]},
    )
    assert (change.added, change.removed) == (("fresh.md",), ("gone.md",))
    (terms,) = change.changed
    assert [(h.name, h.before, h.after) for h in terms.head] == [
        ("effective_from", "2026-01-01", "2026-07-01")
    ]
    assert [row.change for row in change.clauses] == ["removed", "added", "changed"]
