"""Text, Markdown, heads and hostile files of every format in, documents or a reason out."""

from __future__ import annotations

import json
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knowledge.chunk import chunk
from knowledge.documents import Document, Head
from knowledge.parsed import MAX_LINES, MAX_MARKS
from knowledge.readers import MAX_BYTES, READERS, Unreadable, read, read_manifest

from .files import drawn, load, refuse, tables, texts, word

LAW = "\n\n".join(f"第{n}条 贷款人应当遵守本条例。" for n in "一二三四五六")


# Text and Markdown


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk"])
def test_chinese_text_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    words = "第一条 借款人应当按期还款，年利率为百分之七点二。"
    assert texts(load(tmp_path, "a.txt", words.encode(encoding))) == [words]


def test_traditional_text_in_big5_stays_traditional(tmp_path: Path) -> None:
    words = "借款人應當按期償還貸款，並支付約定的利息與費用。"
    document = load(tmp_path, "a.txt", words.encode("big5"))
    assert texts(document) == [words]
    assert "big5" in document.warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        "Préavis de résiliation à l'échéance".encode("latin-1"),
        "ご利用いただけます。お支払い".encode("shift-jis"),
        bytes(range(128, 256)) * 8,
    ],
)
def test_text_in_an_unknown_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "save it as UTF-8" in refuse(tmp_path, "a.txt", content)


def test_control_characters_are_removed_and_the_rest_is_verbatim(tmp_path: Path) -> None:
    content = "利率\x00为\u200b ７．２％，\u202e“年化”①。\x07"
    assert texts(load(tmp_path, "a.txt", content)) == ["利率为 ７．２％，“年化”①。"]


def test_binary_data_named_txt_is_refused(tmp_path: Path) -> None:
    assert "binary" in refuse(tmp_path, "a.txt", bytes(range(32)) * 64)


def test_lines_wrapped_by_an_editor_are_one_paragraph(tmp_path: Path) -> None:
    content = (
        "还款说明\n"
        "借款人应当在每月的还款日之前将当期应还的款项存入约定的\n"
        "还款账户。\n"
        "（一）按月还款；\n"
        "The borrower repays the loan on the agreed day of each\n"
        "month."
    )
    assert texts(load(tmp_path, "a.txt", content)) == [
        "还款说明",
        "借款人应当在每月的还款日之前将当期应还的款项存入约定的还款账户。",
        "（一）按月还款；",
        "The borrower repays the loan on the agreed day of each month.",
    ]


def test_markdown_becomes_plain_blocks(tmp_path: Path) -> None:
    content = """# 还款**规则**

<!-- 草稿 -->
可以[提前还款](https://example.com)，卡号 138****1234，3*4*5。

> 引用的话。

1. 第一步
   接着做。
2. 第二步
   - 细节

| 项目 | 标准 |
|:--|--:|
| **利率** | 7.2%\\|年 |
| 罚息 |

费用
====

---
```
原样 **保留**
```
"""
    document = load(tmp_path, "a.md", content)
    assert document.head.title == "还款规则"
    assert [(b.kind, b.level, b.text or b.rows) for b in document.blocks] == [
        ("heading", 1, "还款规则"),
        ("paragraph", 0, "可以提前还款，卡号 138****1234，3*4*5。"),
        ("paragraph", 0, "引用的话。"),
        ("item", 0, "1. 第一步\n接着做。"),
        ("item", 0, "2. 第二步"),
        ("item", 1, "细节"),
        ("table", 0, (("项目", "标准"), ("利率", "7.2%|年"), ("罚息", ""))),
        ("heading", 1, "费用"),
        ("paragraph", 0, "原样 **保留**"),
    ]


def test_an_html_table_in_markdown_keeps_its_merged_cells(tmp_path: Path) -> None:
    content = (
        "说明。\n\n<table>\n<tr><th>期数</th><th>费率</th></tr>\n"
        "<tr><td rowspan=2>1-6</td><td>1%</td></tr>\n<tr><td>2%</td></tr>\n</table>\n\n完。"
    )
    document = load(tmp_path, "a.md", content)
    assert tables(document) == [(("期数", "费率"), ("1-6", "1%"), ("1-6", "2%"))]
    assert texts(document) == ["说明。", "完。"]


# Heads


TOML = """+++
title = "贷款条款"
kind = "product"
product = "anxin"
effective_from = 2026-01-01
effective_to = "2026-12-31"
+++
# 标题

正文。
"""


def test_a_toml_head_fills_what_the_manifest_leaves_empty(tmp_path: Path) -> None:
    document = load(tmp_path, "a.md", TOML, Head(title="清单标题", effective_to=date(2026, 6, 30)))
    assert document.head == Head(
        title="清单标题",
        kind="product",
        product="anxin",
        effective_from=date(2026, 1, 1),
        effective_to=date(2026, 6, 30),
    )
    assert document.sha256 == sha256(TOML.encode()).hexdigest()


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ('title = "a"\nkind = 贷款', "the TOML head is broken in line 3"),
        ('title = "a"', "not closed"),
        ('effective_from = "明年"', "effective_from is '明年', expected a date"),
        ("effective_from = 2026-02-01\neffective_to = 2026-01-01", "lies before"),
        ('digest = "yes"', "expected true or false"),
    ],
)
def test_a_broken_head_is_refused_with_its_place(tmp_path: Path, head: str, reason: str) -> None:
    end = "" if reason == "not closed" else "\n+++"
    assert reason in refuse(tmp_path, "a.md", f"+++\n{head}{end}\n正文。")


def test_the_title_falls_back_to_the_heading_then_the_file_name(tmp_path: Path) -> None:
    assert load(tmp_path, "规则.md", "# 还款\n\n正文。").head.title == "还款"
    assert load(tmp_path, "规则.md", "## 还款\n\n正文。").head.title == "规则"


def test_an_official_header_gives_the_head_and_is_no_text(tmp_path: Path) -> None:
    content = (
        "TITLE: 征信业管理条例\nDOCUMENT NO: 国务院令第631号\nISSUER: 国务院\n"
        "EFFECTIVE: 2013-03-15 (current text in force 2014-03-15)\nSTATE: full\n"
        "-----------\n\n第一条 制定本条例。"
    )
    document = load(tmp_path, "zx.txt", content)
    assert document.head == Head(
        title="征信业管理条例",
        kind="regulation",
        effective_from=date(2014, 3, 15),
        document_no="国务院令第631号",
        issuer="国务院",
    )
    assert texts(document) == ["第一条 制定本条例。"]


@pytest.mark.parametrize(
    ("history", "last", "start", "warned"),
    [
        ("2012年12月26日 通过\n\n2013年3月15日 施行", "公布", date(2013, 3, 15), False),
        ("2024年11月8日 修订", "2025年1月1日起施行", date(2025, 1, 1), False),
        (
            "1993年10月31日 通过\n\n2013年10月25日 修正",
            "1994年1月1日起施行",
            date(2013, 10, 25),
            True,
        ),
    ],
)
def test_a_law_without_a_head_is_dated_from_its_text(
    tmp_path: Path, history: str, last: str, start: date, warned: bool
) -> None:
    content = (
        f"# 贷款管理条例\n\n{history}\n\n<!-- INFO END -->\n\n{LAW}\n\n第七条 本条例自{last}。"
    )
    document = load(tmp_path, "law.md", content)
    assert (document.head.kind, document.head.effective_from) == ("regulation", start)
    assert "通过" not in "".join(texts(document))
    assert [found.value for found in document.found] == [start]
    assert any("not stated" in found.note for found in document.found) is warned


def test_a_lender_s_own_rules_are_not_taken_for_law(tmp_path: Path) -> None:
    assert load(tmp_path, "a.md", f"# 投诉处理办法\n\n{LAW}").head.kind == "policy"
    described = f'+++\nkind = "policy"\n+++\n# 投诉处理条例\n\n{LAW}'
    assert load(tmp_path, "a.md", described).head.kind == "policy"
    named = Head(title="投诉处理条例")
    assert load(tmp_path, "a.md", LAW, named).head.kind == "policy"


def test_a_manifest_gives_heads_by_file(tmp_path: Path) -> None:
    lines = [
        {"file": "a.md", "title": "甲\u2028乙", "kind": "product", "effective_from": "2026-01-01"},
        {"file": "sub/b.pdf", "kind": "leaflet", "digest": True, "effective_to": ""},
    ]
    content = "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (tmp_path / "manifest.jsonl").write_text(content, encoding="utf-8")
    warnings: list[str] = []
    heads = read_manifest(tmp_path, warnings)
    assert heads == {
        "a.md": Head(title="甲 乙", kind="product", effective_from=date(2026, 1, 1)),
        "sub/b.pdf": Head(digest=True),
    }
    assert warnings == [
        "manifest.jsonl line 3: sub/b.pdf: the kind 'leaflet' is not known and is taken as policy"
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"file": "a.md",', "manifest.jsonl line 2: not valid JSON"),
        ('["a.md"]', "manifest.jsonl line 2: expected an object"),
        ('{"file": "a.md", "effective_from": "soon"}', "line 2: a.md: effective_from"),
        (
            '{"file": "a.md", "effective_from": "2026-02-01", "effective_to": "2026-01-01"}',
            "manifest.jsonl line 2: a.md: effective_to 2026-01-01 lies before",
        ),
        ('{"file": "x.md"}', "'x.md' is named twice"),
    ],
)  # fmt: skip
def test_a_broken_manifest_names_the_line(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"file": "x.md"}\n' + line, encoding="utf-8")
    with pytest.raises(Unreadable, match=reason.replace("[", r"\[")):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_has_no_heads(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == {}


# Hostile files


SAMPLES = {
    ".md": "# 规则\n\n第一条 内容。".encode(),
    ".txt": "第一条 内容。".encode("gbk"),
    ".html": "<h1>规则</h1><table><tr><td>甲<td>乙</table>".encode(),
    ".docx": word(lambda document: document.add_paragraph("内容。")),
    ".pdf": drawn(lambda canvas: canvas.drawString(72, 700, "Repay on time.")),
}


@pytest.mark.parametrize("suffix", READERS)
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    assert "the file is empty" in refuse(tmp_path, f"a{suffix}", b"")


@pytest.mark.parametrize("suffix", READERS)
def test_a_file_of_blank_space_is_refused(tmp_path: Path, suffix: str) -> None:
    refuse(tmp_path, f"a{suffix}", b" \n\t\r\n" * 9)


def test_a_file_of_an_unknown_type_is_refused(tmp_path: Path) -> None:
    assert "'.zip' are not read, only" in refuse(tmp_path, "a.zip", b"PK")
    assert "save it as .docx" in refuse(tmp_path, "a.doc", b"PK")
    assert "save it as .xlsx" in refuse(tmp_path, "a.XLS", b"PK")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Unreadable, match=r"a\.txt: the file has 50\.0 MB"):
        read(path, "a.txt")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be opened"):
        read(tmp_path / "none.md", "none.md")


@pytest.mark.parametrize("suffix", [".pdf", ".docx"])
def test_a_file_of_another_format_under_a_false_name_is_refused(
    tmp_path: Path, suffix: str
) -> None:
    assert "damaged or is not a" in refuse(tmp_path, f"a{suffix}", "只是文字。")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_docx_is_refused(tmp_path: Path, share: float) -> None:
    whole = SAMPLES[".docx"]
    assert "damaged" in refuse(tmp_path, "a.docx", whole[: int(len(whole) * share)])


def test_a_truncated_pdf_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, "a.pdf", SAMPLES[".pdf"][:200])


def attempt(folder: Path, name: str, content: bytes) -> Document | str:
    """The document, or why it was refused; any other exception is a failure of the test."""
    try:
        return load(folder, name, content)
    except Unreadable as reason:
        return str(reason)


FUZZ = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EDITS = st.lists(st.tuples(st.integers(0), st.binary(max_size=6)), min_size=1, max_size=6)
SIGNS = "#|-*_`>+[]()<tablerdh>/ \n\t\\第一条章甲乙。：1.é\x00\ud7ff"


def hold(outcome: Document | str, name: str) -> None:
    if isinstance(outcome, str):
        assert outcome.startswith(f"{name}: ")
        return
    assert outcome.blocks
    assert all(block.text.strip() or any(map(any, block.rows)) for block in outcome.blocks)
    assert all(len({len(row) for row in block.rows}) <= 1 for block in outcome.blocks)
    assert all(clause.text.strip() for clause in chunk(outcome))


@pytest.mark.parametrize("suffix", SAMPLES)
@FUZZ
@given(edits=EDITS)
def test_a_damaged_file_gives_text_or_a_reason(
    tmp_path: Path, suffix: str, edits: list[tuple[int, bytes]]
) -> None:
    content = bytearray(SAMPLES[suffix])
    for at, patch in edits:
        at %= len(content) + 1
        content[at : at + len(patch)] = patch
    hold(attempt(tmp_path, f"a{suffix}", bytes(content)), f"a{suffix}")


@FUZZ
@given(
    suffix=st.sampled_from([".md", ".txt", ".html"]),
    content=st.text(st.sampled_from(SIGNS), max_size=120),
)
def test_any_text_gives_text_or_a_reason(tmp_path: Path, suffix: str, content: str) -> None:
    hold(attempt(tmp_path, f"a{suffix}", content.encode()), f"a{suffix}")


def test_text_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    assert "1,000,000 lines" in refuse(tmp_path, "a.md", "a\n\n" * (MAX_LINES // 2 + 1))
    wide = "|" * 100_000 + "\n|-|-|\n" + "|x\n" * 30
    assert "2,000,000 cells" in refuse(tmp_path, "a.md", wide)
    assert "4,000,000 tags" in refuse(tmp_path, "a.html", "<p>" * (MAX_MARKS + 1))
