"""Pages read and cut into clauses a second, by format, beside the parsing library alone.

`make bench` prints the table. Each pair is measured in turns in one run, because machines differ
and are busy. A page of a format without pages is counted as 1,200 characters of text.
"""

from __future__ import annotations

import csv
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import docx
import openpyxl
import pdfplumber
import pytest
from lxml import html
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table

from knowledge.chunk import chunk
from knowledge.readers import READERS, read

pytestmark = pytest.mark.bench

BAR = 1.3
"""Times what the library alone takes."""
ROUNDS = 5
PAGE_CHARS = 1200
SECTIONS = 60
SENTENCE = "借款人应当在每月的还款日之前将当期应还的款项存入约定的还款账户，逾期的计收罚息。"
TABLE = [["期数", "名义费率", "年化利率", "备注"]] + [
    [f"{n} 期", f"{n / 10}%", f"{n + 0.25}%", "提前结清不收取手续费"] for n in range(1, 9)
]


@dataclass(frozen=True, slots=True)
class Format:
    suffix: str
    content: bytes
    alone: Callable[[bytes], object] | None
    """The library on the same file: all its text and cells; None where there is no library."""
    pages: float
    held: bool = True
    """Whether the bar holds for it; lxml and csv are compiled and give no blocks, only strings."""


def sections() -> list[tuple[str, list[str]]]:
    return [
        (f"第{n}章 还款", [f"第{3 * n + k}条 {SENTENCE * 3}" for k in range(3)])
        for n in range(1, SECTIONS + 1)
    ]


def markdown() -> str:
    table = "\n".join(
        "| " + " | ".join(row) + " |" + ("\n|---|---|---|---|" if not at else "")
        for at, row in enumerate(TABLE)
    )
    return "\n\n".join(
        f"## {name}\n\n" + "\n\n".join(articles) + "\n\n" + table for name, articles in sections()
    )


def web_page() -> str:
    table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in TABLE)
    return "<html><body><nav>首页</nav>" + "".join(
        f"<h2>{name}</h2>" + "".join(f"<p>{text}</p>" for text in articles)
        + f"<table>{table}</table>"
        for name, articles in sections()
    )  # fmt: skip


def web_page_alone(data: bytes) -> object:
    tree = html.document_fromstring(data.decode())
    return [element.text_content() for element in tree.iter("h2", "p", "td")]


def word() -> bytes:
    document = docx.Document()
    for name, articles in sections():
        document.add_heading(name, 2)
        for text in articles:
            document.add_paragraph(text)
        table = document.add_table(rows=len(TABLE), cols=len(TABLE[0]))
        for row, cells in zip(table.rows, TABLE, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def word_alone(data: bytes) -> object:
    document = docx.Document(BytesIO(data))
    cells = [[c.text for c in row.cells] for table in document.tables for row in table.rows]
    return [paragraph.text for paragraph in document.paragraphs], cells


def rows() -> list[list[str]]:
    return [TABLE[0]] + [[f"{n}-{row[0]}", *row[1:]] for n in range(300) for row in TABLE[1:]]


def sheet() -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows():
        book.active.append(row)
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def sheet_alone(data: bytes) -> object:
    book = openpyxl.load_workbook(BytesIO(data), data_only=True)
    return [list(page.iter_rows(values_only=True)) for page in book.worksheets]


def comma_separated() -> bytes:
    buffer = StringIO()
    csv.writer(buffer).writerows(rows())
    return buffer.getvalue().encode()


def comma_separated_alone(data: bytes) -> object:
    return list(csv.reader(StringIO(data.decode())))


def portable() -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    body = ParagraphStyle("b", fontName="STSong-Light", fontSize=10.5, leading=16, wordWrap="CJK")
    style = [
        ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
        ("FONT", (0, 0), (-1, -1), body.fontName),
    ]
    story: list[object] = []
    for name, articles in sections():
        story += [Paragraph(text, body) for text in (name, *articles)]
        story.append(Table(TABLE, style=style))
    buffer = BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4).build(story)
    return buffer.getvalue()


def portable_alone(data: bytes) -> object:
    found = []
    with pdfplumber.open(BytesIO(data)) as pdf:
        for page in pdf.pages:
            found.append((page.extract_words(), page.extract_tables()))
            page.close()
    return found


def formats() -> list[Format]:
    text = markdown()
    pages = len(text) / PAGE_CHARS
    printed = portable()
    with pdfplumber.open(BytesIO(printed)) as pdf:
        printed_pages = len(pdf.pages)
    table_pages = sum(len(cell) for row in rows() for cell in row) / PAGE_CHARS
    made = [
        Format(".md", text.encode(), None, pages),
        Format(".txt", text.encode("gb18030"), None, pages),
        Format(".html", web_page().encode(), web_page_alone, pages, held=False),
        Format(".docx", word(), word_alone, pages),
        Format(".pdf", printed, portable_alone, printed_pages),
        Format(".xlsx", sheet(), sheet_alone, table_pages),
        Format(".csv", comma_separated(), comma_separated_alone, table_pages, held=False),
    ]
    return [form for form in made if form.suffix in READERS]


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_reading_is_hardly_slower_than_the_parsing_library(tmp_path: Path) -> None:
    print(f"\n{'format':8}{'pages':>7}{'pages/s':>10}{'alone':>10}{'times':>8}   (bar {BAR})")
    slow: list[str] = []
    for form in formats():
        path = tmp_path / f"a{form.suffix}"
        path.write_bytes(form.content)
        ours: list[float] = []
        theirs: list[float] = []
        assert chunk(read(path, path.name))
        for _ in range(ROUNDS):
            ours.append(timed(lambda path=path: chunk(read(path, path.name))))
            if form.alone is not None:
                theirs.append(timed(lambda form=form: form.alone(form.content)))
        rate = form.pages / statistics.median(ours)
        line = f"{form.suffix[1:]:8}{form.pages:7.0f}{rate:10.0f}"
        if theirs:
            times = statistics.median(ours) / statistics.median(theirs)
            line += f"{form.pages / statistics.median(theirs):10.0f}{times:8.2f}"
            line += "" if form.held else "   (no bar)"
            if form.held and times > BAR:
                slow.append(f"{form.suffix}: {times:.2f} times")
        print(line)
    assert not slow
