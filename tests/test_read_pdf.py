"""PDF files in, blocks or a reason out."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib import colors, pdfencrypt
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    PageBreak,
    PageTemplate,
    Paragraph,
    SimpleDocTemplate,
    Table,
    TableStyle,
)

from knowledge.chunk import chunk
from knowledge.parsed import Unreadable
from knowledge.read_pdf import MAX_PAGES, MAX_STREAM_BYTES, read_pdf

from .files import drawn, load, refuse, tables, texts

FONT = "STSong-Light"


@pytest.fixture(scope="session", autouse=True)
def _song() -> None:
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))


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


def test_a_pdf_without_anything_on_it_is_refused(tmp_path: Path) -> None:
    assert "holds no text" in refuse(tmp_path, "a.pdf", drawn(lambda canvas: canvas.showPage()))


def test_a_pdf_of_too_many_pages_is_refused(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for _ in range(MAX_PAGES + 1):
            canvas.showPage()

    assert f"more than the {MAX_PAGES}" in refuse(tmp_path, "a.pdf", drawn(draw))


ARTICLES = [
    f"第{n}条 借款人应当在每月的还款日之前将当期应还的款项存入约定的账户，"
    f"逾期的按照合同第{k}项计收罚息，并向征信机构报送。"
    for k, n in enumerate("一二三四五六七八九十", 1)
]


def flowed(frames: int, story: list[object], **margins: float) -> bytes:
    """A document whose text flows through columns of equal width beside each other."""
    buffer = BytesIO()
    template = BaseDocTemplate(buffer, pagesize=A4, **margins)
    gutter = 20
    width = (template.width - gutter * (frames - 1)) / frames
    template.addPageTemplates(
        PageTemplate(
            frames=[
                Frame(
                    template.leftMargin + place * (width + gutter),
                    template.bottomMargin,
                    width,
                    template.height - 60,
                    leftPadding=0,
                    rightPadding=0,
                )
                for place in range(frames)
            ],
            onPage=_title,
        )
    )
    template.build(story)
    return buffer.getvalue()


def _title(canvas: Canvas, template: BaseDocTemplate) -> None:
    if canvas.getPageNumber() > 1:
        return
    canvas.setFont(FONT, 18)
    canvas.drawCentredString(297, 741, "个人消费贷款合同通用条款（适用于全部线上产品）")


def prose(size: float = 10.5) -> ParagraphStyle:
    return ParagraphStyle("body", fontName=FONT, fontSize=size, leading=1.5 * size, wordWrap="CJK")


@pytest.mark.parametrize("frames", [2, 3])
def test_columns_are_read_one_after_the_other(tmp_path: Path, frames: int) -> None:
    story = [Paragraph(text, prose(10.5 if frames == 2 else 9)) for text in ARTICLES * 4]
    document = load(tmp_path, "a.pdf", flowed(frames, story))
    assert texts(document)[1:] == ARTICLES * 4
    assert "通用条款" in texts(document)[0]


def test_lines_of_columns_need_not_stand_at_one_height(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(FONT, 10)
        for n in range(10):
            canvas.drawString(60, 700 - 16 * n, f"左栏第 {n} 行写的是借款人应当怎样归还贷款本息")
            canvas.drawString(320, 693 - 16 * n, f"右栏第 {n} 行写的是贷款人应当怎样公示各项费用")

    read = "".join(texts(load(tmp_path, "a.pdf", drawn(draw))))
    assert read.index("左栏第 9 行") < read.index("右栏第 0 行")


def test_what_stands_below_columns_is_read_after_them(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(FONT, 10)
        for n in range(8):
            canvas.drawString(60, 700 - 16 * n, f"左栏第 {n} 行写的是借款人应当怎样归还贷款本息")
            canvas.drawString(320, 700 - 16 * n, f"右栏第 {n} 行写的是贷款人应当怎样公示各项费用")
        canvas.drawString(60, 500, "本条款自公布之日起施行。")

    read = texts(load(tmp_path, "a.pdf", drawn(draw)))
    assert read[-1] == "本条款自公布之日起施行。"


def test_names_and_values_beside_each_other_are_no_columns(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(FONT, 10)
        for n in range(8):
            canvas.drawString(60, 700 - 30 * n, f"费用 {n}")
            canvas.drawString(320, 700 - 30 * n, f"{n} 元")

    read = texts(load(tmp_path, "a.pdf", drawn(draw)))
    assert read == [f"费用 {n} {n} 元" for n in range(8)]


def test_a_page_printed_upside_down_is_read_upright(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(FONT, 12)
        canvas.rotate(180)
        canvas.drawString(-500, -700, "借款人应当按期还款。")
        canvas.drawString(-500, -720, "逾期的计收罚息。")

    document = load(tmp_path, "a.pdf", drawn(draw))
    assert texts(document) == ["借款人应当按期还款。", "逾期的计收罚息。"]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_that_a_viewer_turns_is_read_as_it_is_shown(tmp_path: Path, turn: int) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setPageRotation(turn)
        canvas.setFont(FONT, 12)
        canvas.translate(*{90: (595, 0), 180: (595, 842), 270: (0, 842)}[turn])
        canvas.rotate(turn)
        canvas.drawString(100, 300, "第一条 借款人应当按期还款。")
        canvas.drawString(100, 270, "第二条 逾期的计收罚息。")

    document = load(tmp_path, "a.pdf", drawn(draw))
    assert texts(document) == ["第一条 借款人应当按期还款。", "第二条 逾期的计收罚息。"]


GRID = [("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("FONTNAME", (0, 0), (-1, -1), FONT)]


def platypus(*story: object) -> bytes:
    buffer = BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4).build(list(story))
    return buffer.getvalue()


@pytest.mark.parametrize("header_rows", [0, 1, 2])
def test_rows_after_a_page_break_keep_their_header(tmp_path: Path, header_rows: int) -> None:
    rows = [["产品", "费用", ""], ["", "新客", "老客"]]
    rows += [[f"产品 {n}", f"{n} 元", f"{n + 1} 元"] for n in range(70)]
    style = TableStyle([*GRID, ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 0), (0, 1))])
    content = platypus(Table(rows, style=style, repeatRows=header_rows and 2))
    document = load(tmp_path, "a.pdf", content)
    assert tables(document) == [(("产品", "费用 新客", "费用 老客"), *map(tuple, rows[2:]))]
    assert any("产品：产品 69；费用 新客：69 元" in clause.text for clause in chunk(document))


def test_a_line_that_says_a_table_goes_on_does_not_break_it(tmp_path: Path) -> None:
    first = Table([["期数", "金额"], ["1", "5 元"], ["2", "6 元"]], [200, 200], style=GRID)
    second = Table([["期数", "金额"], ["3", "7 元"]], [200, 200], style=GRID)
    note = Paragraph("表 1（续）", prose())
    document = load(tmp_path, "a.pdf", platypus(first, PageBreak(), note, second))
    assert tables(document) == [(("期数", "金额"), ("1", "5 元"), ("2", "6 元"), ("3", "7 元"))]
    assert texts(document) == []


def test_another_table_on_the_next_page_stays_another_table(tmp_path: Path) -> None:
    first = Table([["期数", "金额"], ["1", "5 元"], ["2", "6 元"]], [200, 200], style=GRID)
    second = Table([["渠道", "电话"], ["热线", "95500"], ["投诉", "95501"]], [90, 300], style=GRID)
    document = load(tmp_path, "a.pdf", platypus(first, PageBreak(), second))
    assert [table[0] for table in tables(document)] == [("期数", "金额"), ("渠道", "电话")]


def test_a_row_that_the_page_breaks_is_one_row(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for rows in (
            [["项目", "说明"], ["提前结清", "在还款日之前归还全部剩余本金的，"]],
            [["", "不收取违约金。"], ["展期", "不办理。"]],
        ):
            canvas.setFont(FONT, 10)
            table = Table(rows, [100, 300], style=GRID)
            table.wrapOn(canvas, 400, 400)
            table.drawOn(canvas, 72, 500)
            canvas.showPage()

    assert tables(load(tmp_path, "a.pdf", drawn(draw))) == [
        (
            ("项目", "说明"),
            ("提前结清", "在还款日之前归还全部剩余本金的，不收取违约金。"),
            ("展期", "不办理。"),
        )
    ]


def test_rows_that_are_not_ruled_apart_are_rows(tmp_path: Path) -> None:
    rows = [["期数", "费率", "利率"], ["3\n6\n12", "1%\n2%\n3%", "7.2%\n8%\n9%"]]
    document = load(tmp_path, "a.pdf", platypus(Table(rows, style=GRID)))
    assert tables(document) == [
        (("期数", "费率", "利率"), ("3", "1%", "7.2%"), ("6", "2%", "8%"), ("12", "3%", "9%"))
    ]


def test_a_note_over_the_whole_width_of_a_table_is_a_paragraph(tmp_path: Path) -> None:
    rows = [["项目", "标准"], ["利率", "7.2%"], ["罚息", "9%"], ["注：均为年化利率。", ""]]
    style = TableStyle([*GRID, ("SPAN", (0, 3), (1, 3))])
    document = load(tmp_path, "a.pdf", platypus(Table(rows, style=style)))
    assert tables(document) == [(("项目", "标准"), ("利率", "7.2%"), ("罚息", "9%"))]
    assert texts(document) == ["注：均为年化利率。"]


def test_a_picture_beside_text_is_named_as_not_read(tmp_path: Path) -> None:
    picture = ImageReader(Image.new("RGB", (60, 60), "grey"))

    def draw(canvas: Canvas, under_text: bool) -> None:
        canvas.drawImage(picture, 72, 600 if under_text else 200, 400, 200)
        canvas.setFont(FONT, 12)
        canvas.drawString(80, 700, "第一条 借款人应当在每月的还款日之前归还当期应还的款项。")

    beside = load(tmp_path, "a.pdf", drawn(lambda canvas: draw(canvas, False)))
    assert beside.warnings == ("page 1 holds a picture; text in it, if any, is not read",)
    assert load(tmp_path, "b.pdf", drawn(lambda canvas: draw(canvas, True))).warnings == ()


def packed(content: bytes, filters: str) -> bytes:
    """A PDF of one page whose content is packed."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R>>endobj\n"
        + f"4 0 obj<</Length {len(content)}/Filter{filters}>>stream\n".encode()
        + content
        + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    )


def test_a_pdf_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = zlib.compress(b" " * (MAX_STREAM_BYTES + 1))
    assert "unpacks to more than" in refuse(tmp_path, "a.pdf", packed(bomb, "/FlateDecode"))
    twice = packed(zlib.compress(bomb), "[/FlateDecode/FlateDecode]")
    assert "packed twice" in refuse(tmp_path, "b.pdf", twice)


def built(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1, which is its catalogue."""
    numbered = (b"%d 0 obj%bendobj\n" % (n, content) for n, content in enumerate(objects, 1))
    return b"%PDF-1.4\n" + b"".join(numbered) + b"trailer<</Root 1 0 R>>\n%%EOF"


def stream(content: bytes, head: bytes = b"") -> bytes:
    return b"<</Length %d%b>>stream\n%b\nendstream " % (len(content), head, content)


CATALOGUE = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>")
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<<%b>>>>"


def test_a_page_that_never_ends_is_given_up() -> None:
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>"
    forms = [stream(b"/F Do " * 20, form % (at + 1)) for at in range(5, 17)]
    page = PAGE % b"/XObject<</F 5 0 R>>"
    content = built(*CATALOGUE, page, stream(b"/F Do"), *forms, stream(b"0 0 m 1 1 l S"))
    with pytest.raises(Unreadable, match="takes more than 2 seconds"):
        read_pdf(content, page_s=2)


def test_a_font_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    font = (
        b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/ToUnicode 6 0 R"
        b"/DescendantFonts[<</Type/Font/Subtype/CIDFontType2/BaseFont/X>>]>>"
    )
    codes = b"begincmap 1 begincidrange <00000000> <7fffffff> 1 endcidrange endcmap"
    words = stream(b"BT /A 12 Tf 50 700 Td <0041> Tj ET")
    content = built(*CATALOGUE, PAGE % b"/Font<</A 5 0 R>>", words, font, stream(codes))
    assert "2 GB of memory" in refuse(tmp_path, "a.pdf", content)
