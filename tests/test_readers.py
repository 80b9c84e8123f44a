"""Real files of every format in, documents or a reason out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.lib import colors, pdfencrypt
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle

from knowledge.chunk import chunk
from knowledge.documents import Document, Head
from knowledge.readers import MAX_BYTES, MAX_PAGES, READERS, Unreadable, read, read_manifest

FONT = "STSong-Light"
LAW = "\n\n".join(f"第{n}条 贷款人应当遵守本条例。" for n in "一二三四五六")


@pytest.fixture(scope="session", autouse=True)
def _song() -> None:
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))


def load(folder: Path, name: str, content: str | bytes, head: Head | None = None) -> Document:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, name, head)


def refuse(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(Unreadable) as refusal:
        load(folder, name, content)
    message = str(refusal.value)
    assert message.startswith(f"{name}: ")
    return message


def texts(document: Document) -> list[str]:
    return [block.text for block in document.blocks if block.kind != "table"]


def tables(document: Document) -> list[tuple[tuple[str, ...], ...]]:
    return [block.rows for block in document.blocks if block.kind == "table"]


def word(build: Callable[[docx.document.Document], object]) -> bytes:
    document = docx.Document()
    build(document)
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def drawn(draw: Callable[[Canvas], object], **options: object) -> bytes:
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, **options)
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


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
    assert any("not stated" in warning for warning in document.warnings) is warned


def test_a_lender_s_own_rules_are_not_taken_for_law(tmp_path: Path) -> None:
    assert load(tmp_path, "a.md", f"# 投诉处理办法\n\n{LAW}").head.kind == "policy"
    described = f'+++\nkind = "policy"\n+++\n# 投诉处理条例\n\n{LAW}'
    assert load(tmp_path, "a.md", described).head.kind == "policy"
    named = Head(title="投诉处理条例")
    assert load(tmp_path, "a.md", LAW, named).head.kind == "policy"


def test_a_manifest_gives_heads_by_file(tmp_path: Path) -> None:
    lines = [
        {"file": "a.md", "title": "甲", "kind": "product", "effective_from": "2026-01-01"},
        {"file": "sub/b.pdf", "kind": "leaflet", "digest": True, "effective_to": ""},
    ]
    content = "\n\n".join(json.dumps(line) for line in lines)
    (tmp_path / "manifest.jsonl").write_text(content, encoding="utf-8")
    warnings: list[str] = []
    heads = read_manifest(tmp_path, warnings)
    assert heads == {
        "a.md": Head(title="甲", kind="product", effective_from=date(2026, 1, 1)),
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


# HTML


def test_html_keeps_the_text_and_drops_what_surrounds_it(tmp_path: Path) -> None:
    content = """<html><head><title>页面</title><style>p{}</style></head><body>
    <nav>首页</nav><header>横幅</header>
    <h1>还款规则</h1><p>可以<b>提前</b>
    还款。<br>不收费。<p>未闭合的段落
    <div style="display: none">隐藏的话</div>
    <ol start=3><li>第三步<ul><li>细节</ul><li>第四步</ol>
    <script>alert(1)</script><footer>版权</footer></body>"""
    document = load(tmp_path, "a.html", content)
    assert [(b.kind, b.level, b.text) for b in document.blocks] == [
        ("heading", 1, "还款规则"),
        ("paragraph", 0, "可以提前还款。"),
        ("paragraph", 0, "不收费。"),
        ("paragraph", 0, "未闭合的段落"),
        ("item", 0, "3. 第三步"),
        ("item", 1, "细节"),
        ("item", 0, "4. 第四步"),
    ]


def test_html_tables_repeat_merged_cells_and_join_header_rows(tmp_path: Path) -> None:
    content = """<table><caption>收费表</caption>
    <tr><th rowspan=2>产品</th><th colspan=2>费率</th></tr><tr><th>新客</th><th>老客</th></tr>
    <tr><td>安心贷</td><td colspan=2>7.2%<br>起</td></tr></table>
    <table><tr><th>名称</th><td>随心借</td></tr><tr><th>利率</th><td>9%</td></tr></table>"""
    document = load(tmp_path, "a.htm", content.encode("gbk"))
    assert texts(document) == ["收费表"]
    assert tables(document) == [
        (("产品", "费率 新客", "费率 老客"), ("安心贷", "7.2% 起", "7.2% 起")),
        (("", ""), ("名称", "随心借"), ("利率", "9%")),
    ]


def test_the_page_title_stands_in_for_a_missing_heading(tmp_path: Path) -> None:
    content = "<title>账户 &amp; 安全</title><p>请勿转账。</p>"
    assert load(tmp_path, "a.html", content).head.title == "账户 & 安全"


# DOCX


def test_docx_headings_paragraphs_and_merged_tables_are_kept(tmp_path: Path) -> None:
    def build(document: docx.document.Document) -> None:
        document.add_heading("贷款规则", 0)
        document.add_heading("第一条 利率", 2)
        paragraph = document.add_paragraph("年利率为 ")
        paragraph.add_run("7.2%").bold = True
        paragraph.add_run("。")
        paragraph.add_run("隐藏的话").font.hidden = True
        table = document.add_table(rows=3, cols=3)
        for row, words in zip(table.rows, ("甲 乙 丙", "一 二 三", "四 五 六"), strict=True):
            for cell, text in zip(row.cells, words.split(), strict=True):
                cell.text = text
        table.cell(1, 0).merge(table.cell(2, 0)).text = "合"
        table.cell(1, 1).merge(table.cell(1, 2)).text = "并"

    document = load(tmp_path, "a.docx", word(build))
    assert document.head.title == "贷款规则"
    assert texts(document) == ["贷款规则", "第一条 利率", "年利率为 7.2%。"]
    assert tables(document) == [(("甲", "乙", "丙"), ("合", "并", "并"), ("合", "五", "六"))]


NUMBERING = f"""<w:abstractNum {nsdecls("w")} w:abstractNumId="90">
<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="chineseCountingThousand"/>
<w:lvlText w:val="第%1条"/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="（%2）"/></w:lvl>
</w:abstractNum>"""


def test_numbers_that_word_generates_are_part_of_the_text(tmp_path: Path) -> None:
    def build(document: docx.document.Document) -> None:
        numbering = document.part.numbering_part.element
        numbering.insert(0, parse_xml(NUMBERING))
        numbering.append(
            parse_xml(f'<w:num {nsdecls("w")} w:numId="90"><w:abstractNumId w:val="90"/></w:num>')
        )
        for depth, text in [(0, "按期还款："), (1, "足额；"), (1, "准时。"), (0, "不收费。")]:
            properties = document.add_paragraph(text)._p.get_or_add_pPr()
            properties.get_or_add_numPr().get_or_add_ilvl().val = depth
            properties.numPr.get_or_add_numId().val = 90

    document = load(tmp_path, "a.docx", word(build))
    assert texts(document) == ["第一条 按期还款：", "（1）足额；", "（2）准时。", "第二条 不收费。"]
    assert [c.locator for c in chunk(document)] == ["第一条", "第二条"]


def test_insertions_and_controls_are_read_and_deletions_are_not(tmp_path: Path) -> None:
    def build(document: docx.document.Document) -> None:
        body = document.element.body
        run = "<w:r><w:t>{}</w:t></w:r>"
        tracked = (
            f"<w:p {nsdecls('w')}>{run.format('利率')}<w:ins>{run.format('为七')}</w:ins>"
            "<w:del><w:r><w:delText>为八</w:delText></w:r></w:del></w:p>"
        )
        control = (
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p>{run.format('控件里的话')}</w:p>"
            "</w:sdtContent></w:sdt>"
        )
        body.insert(0, parse_xml(control))
        body.insert(0, parse_xml(tracked))

    assert texts(load(tmp_path, "a.docx", word(build))) == ["利率为七", "控件里的话"]


def bomb() -> bytes:
    buffer = BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package,
        package.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(220):
            part.write(b" " * 2**20)
    return buffer.getvalue()


def test_a_docx_that_unpacks_to_hundreds_of_megabytes_is_refused(tmp_path: Path) -> None:
    packed = bomb()
    assert len(packed) < 2**20
    assert "unpacks to more than 200 MB" in refuse(tmp_path, "a.docx", packed)


def test_an_encrypted_or_old_word_file_is_refused(tmp_path: Path) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
    encrypted = ole + "EncryptedPackage".encode("utf-16-le")
    assert "password" in refuse(tmp_path, "a.docx", encrypted)
    assert "Word 97-2003" in refuse(tmp_path, "b.docx", ole)


def test_entities_in_a_docx_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("机密", encoding="utf-8")
    xml = (
        f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]><w:document {nsdecls("w")}><w:body>'
        "<w:p><w:r><w:t>公开&x;</w:t></w:r></w:p></w:body></w:document>"
    )
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("word/document.xml", xml)
    assert texts(load(tmp_path, "a.docx", buffer.getvalue())) == ["公开"]


# PDF


def test_pdf_text_tables_and_headings_are_separated(tmp_path: Path) -> None:
    body = ParagraphStyle("body", fontName=FONT, fontSize=10.5, leading=16, wordWrap="CJK")
    body.firstLineIndent = 21
    large = ParagraphStyle("title", fontName=FONT, fontSize=18, leading=26)
    first = "借款人应当在每月的还款日之前将当期应还的款项存入约定的账户，" * 4 + "逾期的计收罚息。"
    second = "提前还款的，不收取违约金。"
    table = Table(
        [["项目", "标准", ""], ["", "新客", "老客"], ["利率", "7.2%", "9%"]],
        style=TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
                ("FONTNAME", (0, 0), (-1, -1), FONT),
                ("SPAN", (1, 0), (2, 0)),
                ("SPAN", (0, 0), (0, 1)),
            ]
        ),
    )
    buffer = BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4).build(
        [
            Paragraph("还款规则", large),
            Paragraph(first, body),
            table,
            Paragraph(second, body),
        ]
    )
    document = load(tmp_path, "a.pdf", buffer.getvalue())
    assert document.head.title == "还款规则"
    assert texts(document) == ["还款规则", first, second]
    assert tables(document) == [(("项目", "标准 新客", "标准 老客"), ("利率", "7.2%", "9%"))]
    assert all(block.page == 1 for block in document.blocks)


def test_running_headers_and_page_numbers_of_a_pdf_are_dropped(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for page in range(1, 4):
            canvas.setFont(FONT, 10)
            canvas.drawString(72, 810, "青穗消费金融有限公司")
            canvas.drawString(72, 600, f"第{'一二三'[page - 1]}条 本条规定第 {page} 项内容。")
            canvas.drawString(290, 30, f"第 {page} 页 共 3 页")
            canvas.showPage()

    document = load(tmp_path, "a.pdf", drawn(draw))
    assert texts(document) == [f"第{'一二三'[n]}条 本条规定第 {n + 1} 项内容。" for n in range(3)]
    assert [block.page for block in document.blocks] == [1, 2, 3]


def test_a_table_over_two_pages_is_one_table(tmp_path: Path) -> None:
    rows = [["期数", "金额"]] + [[f"第 {n} 期", f"{n * 100} 元"] for n in range(1, 61)]
    style = TableStyle(
        [("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("FONTNAME", (0, 0), (-1, -1), FONT)]
    )
    buffer = BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4).build([Table(rows, style=style, repeatRows=1)])
    document = load(tmp_path, "a.pdf", buffer.getvalue())
    assert tables(document) == [tuple(map(tuple, rows))]


def test_a_pdf_page_set_sideways_is_read_upright(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(FONT, 12)
        canvas.rotate(90)
        canvas.drawString(100, -200, "借款人应当按期还款。")

    assert texts(load(tmp_path, "a.pdf", drawn(draw))) == ["借款人应当按期还款。"]


def test_bold_made_by_printing_twice_is_read_once(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(FONT, 12)
        canvas.drawString(72, 700, "逾期罚息人人人。")
        canvas.drawString(72.3, 700, "逾期罚息人人人。")

        canvas.setFont("Helvetica", 5)
        canvas.drawString(72, 600, "You will still owe 11,000.00 illegally.")

    document = load(tmp_path, "a.pdf", drawn(draw))
    assert texts(document) == ["逾期罚息人人人。", "You will still owe 11,000.00 illegally."]


def test_an_encrypted_pdf_is_refused(tmp_path: Path) -> None:
    locked = drawn(
        lambda canvas: canvas.drawString(72, 700, "secret"),
        encrypt=pdfencrypt.StandardEncryption("open", canPrint=0),
    )
    assert "protected by a password" in refuse(tmp_path, "a.pdf", locked)


def test_a_pdf_that_anyone_may_open_is_read_though_encrypted(tmp_path: Path) -> None:
    open_to_all = drawn(
        lambda canvas: canvas.drawString(72, 700, "Repay on time."),
        encrypt=pdfencrypt.StandardEncryption("", ownerPassword="owner"),
    )
    assert texts(load(tmp_path, "a.pdf", open_to_all)) == ["Repay on time."]


def test_a_scan_without_text_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "scan.png"
    Image.new("RGB", (60, 80), "white").save(picture)
    scan = drawn(lambda canvas: canvas.drawImage(str(picture), 0, 0, *A4))
    assert "images only" in refuse(tmp_path, "a.pdf", scan)
    assert "OCR" in refuse(tmp_path, "a.pdf", scan)


def test_a_pdf_without_anything_on_it_is_refused(tmp_path: Path) -> None:
    assert "holds no text" in refuse(tmp_path, "a.pdf", drawn(lambda canvas: canvas.showPage()))


def test_a_pdf_of_too_many_pages_is_refused(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for _ in range(MAX_PAGES + 1):
            canvas.showPage()

    assert f"more than the {MAX_PAGES}" in refuse(tmp_path, "a.pdf", drawn(draw))


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
    assert "'.xlsx' are not read" in refuse(tmp_path, "a.xlsx", b"PK")


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
