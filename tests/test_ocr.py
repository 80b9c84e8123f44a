"""Pictures of text in, blocks or a reason out; the process that reads them may fail alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Table

from knowledge import ocr
from knowledge.chunk import chunk
from knowledge.documents import Document
from knowledge.ocr import PageText, TextLine
from knowledge.ocr_worker import MAX_PIXELS
from knowledge.parsed import Unreadable
from knowledge.read_picture import doubts, numbered, page_stream

from .files import drawn, load, refuse, tables, texts

FONT = "STSong-Light"
TERMS = (
    "第一条 借款人应当按期归还贷款本息。",
    "第二条 提前还款不收取违约金。",
    "第三条 逾期的按日计收罚息。",
)
FEES = [["费用", "标准"], ["提前结清手续费", "1%"], ["账单寄送费", "5 元"]]


@pytest.fixture(scope="module", autouse=True)
def _song() -> Iterator[None]:
    """Chinese print, where this machine has a font to show it with; no process is left behind."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    shapes = {rendered(drawn(lambda canvas, c=char: write(canvas, c))).tobytes() for char in "天地"}
    if len(shapes) < 2:
        pytest.skip("this machine has no font for Chinese")
    yield
    ocr.stop()


def write(canvas: Canvas, *lines: str) -> None:
    canvas.setFont(FONT, 16)
    for at, line in enumerate(lines):
        canvas.drawString(60, 780 - 40 * at, line)


def rendered(pdf: bytes) -> Image.Image:
    with pypdfium2.PdfDocument(pdf) as document:
        return document[0].render(scale=2).to_pil().convert("RGB")


def terms(height: int = 400) -> Image.Image:
    """Three articles as a picture, cut off below them."""
    return rendered(drawn(lambda canvas: write(canvas, *TERMS))).crop((0, 0, 1190, height))


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def scan(*pages: Image.Image | None) -> bytes:
    """A PDF whose pages are pictures; one of text where there is none."""

    def draw(canvas: Canvas) -> None:
        for number, image in enumerate(pages, 1):
            if image is None:
                canvas.setFont(FONT, 12)
                canvas.drawString(60, 500, f"这是第 {number} 页，上面的文字可以直接读出来。")
            else:
                canvas.drawImage(ImageReader(image), 0, 0, *A4)
            canvas.showPage()

    return drawn(draw)


def plain(document: Document) -> str:
    return "".join("".join(texts(document)).split())


def page_of(*rows: tuple[float, list[tuple[float, float, str]]]) -> PageText:
    """A recognised page of 595 by 842 points from the heights of its lines and what is in them."""
    lines = [TextLine(x0, top, x1, top + 12, text) for top, row in rows for x0, x1, text in row]
    return PageText(1, 595, 842, 0, 0.99, tuple(lines), ())


# Documents


def test_a_scanned_page_is_read_with_its_table(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        write(canvas, *TERMS)
        style = [("GRID", (0, 0), (-1, -1), 1, colors.black), ("FONT", (0, 0), (-1, -1), FONT, 16)]
        table = Table(FEES, [200, 120], [40] * 3, style=style)
        table.wrapOn(canvas, 400, 400)
        table.drawOn(canvas, 60, 480)

    document = load(tmp_path, "a.pdf", scan(rendered(drawn(draw))))
    assert plain(document) == "".join("".join(TERMS).split())
    (table,) = tables(document)
    assert [["".join(cell.split()) for cell in row] for row in table] == [
        ["".join(cell.split()) for cell in row] for row in FEES
    ]
    assert all(block.page == 1 for block in document.blocks)
    assert document.warnings[0].startswith("page 1: read by text recognition (OCR)")
    assert any("费用：提前结清手续费；标准：1%" in clause.text for clause in chunk(document))


@pytest.mark.parametrize(
    "turn", [90, *(pytest.param(turn, marks=pytest.mark.bench) for turn in (180, 270))]
)
def test_a_turned_picture_is_read_upright(tmp_path: Path, turn: int) -> None:
    picture = terms().rotate(turn, expand=True)
    assert plain(load(tmp_path, "a.png", saved(picture))) == "".join("".join(TERMS).split())


def test_a_picture_that_is_askew_is_read_line_by_line(tmp_path: Path) -> None:
    picture = terms(700).rotate(4, fillcolor="white")
    assert plain(load(tmp_path, "a.png", saved(picture))) == "".join("".join(TERMS).split())


@pytest.mark.parametrize(
    "form", ["JPEG", *(pytest.param(form, marks=pytest.mark.bench) for form in ("BMP", "WEBP"))]
)
def test_every_usual_kind_of_picture_is_read(tmp_path: Path, form: str) -> None:
    suffix = form.lower().replace("jpeg", "jpg")
    document = load(tmp_path, f"a.{suffix}", saved(terms(160), form))
    assert plain(document) == "".join(TERMS[0].split())


def test_the_pages_of_a_tiff_are_pages(tmp_path: Path) -> None:
    pages = [rendered(drawn(lambda canvas, t=t: write(canvas, t))) for t in TERMS]
    first, *more = [page.crop((0, 0, 1190, 160)).convert("1") for page in pages]
    content = saved(first, "TIFF", save_all=True, append_images=more)
    document = load(tmp_path, "a.tif", content)
    assert [block.page for block in document.blocks] == [1, 2, 3]
    assert document.warnings[0].startswith("pages 1-3: read by text recognition (OCR)")


def test_a_long_screenshot_is_read_in_strips(tmp_path: Path) -> None:
    strip = terms(400)
    whole = Image.new("RGB", (1190, 3600), "white")
    for at in range(9):
        whole.paste(strip, (0, 400 * at))
    words = plain(load(tmp_path, "a.png", saved(whole)))
    assert words == "".join("".join(TERMS).split()) * 9


def test_only_the_scanned_pages_of_a_pdf_are_recognised(tmp_path: Path) -> None:
    blank = Image.new("RGB", (1190, 1684), "white")
    blank.paste(terms(), (0, 0))
    document = load(tmp_path, "a.pdf", scan(None, blank, None))
    pages = [block.page or 0 for block in document.blocks]
    assert pages == sorted(pages)
    assert set(pages) == {1, 2, 3}
    assert [w.partition(":")[0] for w in document.warnings] == ["page 2"]
    assert "提前还款不收取违约金" in plain(document)


def test_text_without_a_scan_starts_no_process(tmp_path: Path) -> None:
    ocr._end()
    load(tmp_path, "a.pdf", scan(None))
    assert ocr._state.process is None


# Refusals


def test_a_picture_of_too_many_pixels_is_refused_unopened(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    bomb = saved(Image.new("1", (side, side)))
    assert len(bomb) < 100_000
    assert "million that are read" in refuse(tmp_path, "a.png", bomb)


def test_a_damaged_picture_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    damaged = b"\x89PNG\r\n\x1a\n" + bytes(64)
    assert "page 1 cannot be read" in refuse(tmp_path, "a.png", damaged)
    assert "is not a picture that is read" in refuse(tmp_path, "a.jpg", b"GIF89a" + bytes(64))
    assert texts(load(tmp_path, "b.png", saved(terms(160))))


def test_an_empty_picture_is_refused(tmp_path: Path) -> None:
    blank = Image.new("RGB", (400, 300), "white")
    assert "holds no text" in refuse(tmp_path, "a.png", saved(blank))
    assert "holds no text" in refuse(tmp_path, "a.pdf", scan(blank))


def test_without_text_recognition_the_reason_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    reason = refuse(tmp_path, "a.png", saved(terms(160)))
    assert "pip install 'zhunxin[ocr]'" in reason
    assert "zhunxin[ocr]" in refuse(tmp_path, "a.pdf", scan(terms()))
    mixed = load(tmp_path, "b.pdf", scan(None, terms()))
    assert {block.page for block in mixed.blocks} == {1}
    assert mixed.warnings[0].startswith("page 2: scanned, and not read; install")


def test_more_scanned_pages_than_can_be_read_in_time_are_refused() -> None:
    with pytest.raises(Unreadable, match="more than the 300 that are read by text recognition"):
        next(ocr.recognise_pdf(b"", range(ocr.MAX_PAGES + 1)))


# The process


def test_the_process_is_replaced_after_some_pages() -> None:
    picture = saved(terms(160))
    assert list(ocr.recognise_picture(picture))
    assert ocr._state.process is not None
    first = ocr._state.process.pid
    assert list(ocr.recognise_picture(picture))
    assert ocr._state.process.pid == first
    ocr._state.pages = ocr.PAGES_PER_PROCESS
    assert list(ocr.recognise_picture(picture))
    assert ocr._state.process.pid != first


def test_a_process_that_ended_for_want_of_work_is_replaced() -> None:
    picture = saved(terms(160))
    assert list(ocr.recognise_picture(picture))
    assert ocr._state.process is not None
    os.kill(ocr._state.process.pid, signal.SIGTERM)
    ocr._state.process.wait()
    assert list(ocr.recognise_picture(picture))


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda process: process.kill(), "interrupted at page 1"),
        (lambda process: process.send_signal(signal.SIGALRM), "page 1 takes too long"),
        (lambda process: process.send_signal(signal.SIGSEGV), "page 1 cannot be read"),
    ],
)
def test_a_process_that_dies_at_work_is_a_reason(
    end: Callable[[subprocess.Popen[bytes]], None], reason: str
) -> None:
    ocr._end()
    outcome: list[str] = []

    def read() -> None:
        try:
            list(ocr.recognise_picture(saved(terms())))
        except Unreadable as fault:
            outcome.append(str(fault))

    thread = threading.Thread(target=read)
    thread.start()
    while ocr._state.process is None and thread.is_alive():
        time.sleep(0.01)
    end(ocr._state.process)
    thread.join(10)
    assert not thread.is_alive()
    assert reason in outcome[0]


PROGRAM = """
import asyncio, sys
from pathlib import Path
from knowledge.readers import read

async def main():
    path = Path(sys.argv[1])
    print("reading", flush=True)
    await asyncio.to_thread(read, path, path.name)
    print("read", flush=True)
    if len(sys.argv) > 2:
        print("again", flush=True)
        for _ in range(100):
            await asyncio.to_thread(read, path, path.name)

asyncio.run(main())
"""


def program(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parent.parent,
    )


def test_the_program_ends_while_the_process_lives(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(saved(terms(160)))
    with program(str(picture)) as running:
        assert running.stdout is not None
        assert [running.stdout.readline(), running.stdout.readline()] == ["reading\n", "read\n"]
        assert running.wait(5) == 0


def test_an_interrupt_ends_the_program_in_the_middle_of_a_page(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(saved(terms()))
    with program(str(picture), "again") as running:
        assert running.stdout is not None
        while running.stdout.readline() != "again\n":
            assert running.poll() is None
        # A terminal sends it to the program and to the process alike.
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(10) != 0


# What stands where


def test_tables_beside_and_below_each_other_are_tables_of_their_own() -> None:
    header = ["年度", "一期", "二期"]

    def row(left: list[str], right: list[str]) -> list[tuple[float, float, str]]:
        places = [(40, 90), (150, 180), (220, 250), (320, 370), (430, 460), (500, 530)]
        return [(*place, text) for place, text in zip(places, [*left, *right], strict=True) if text]

    values = [[f"科目{n}", f"{n}", f"-{n}"] for n in range(8)]
    page = page_of(
        (40, row(["负债表", "", ""], ["利润表", "", ""])),
        (60, row(header, header)),
        (80, row(values[0], values[1])),
        (100, row(values[2], values[3])),
        (120, row(["现金表", "", ""], ["比率", "", ""])),
        (140, row(header, values[4])),
        (160, row(values[5], values[6])),
        (180, row(values[7], ["", "", ""])),
    )
    grids = [item.rows for item in page_stream(page, [])]
    titled = [["负债表"] * 3, ["利润表"] * 3, ["现金表"] * 3]
    assert grids == [
        [titled[0], header, values[0], values[2]],
        [titled[1], header, values[1], values[3], ["比率", "", ""], values[4], values[6]],
        [titled[2], header, values[5], values[7]],
    ]


def test_prose_in_columns_of_a_picture_is_read_column_by_column() -> None:
    page = page_of(
        *(
            (60 + 20 * n, [(40, 270, f"左{n}" + "字" * 17), (310, 540, f"右{n}" + "字" * 17)])
            for n in range(6)
        )
    )
    read = [item.text[:2] for item in page_stream(page, [])]
    assert read == [f"左{n}" for n in range(6)] + [f"右{n}" for n in range(6)]


def test_a_doubtful_page_is_named_with_its_confidence() -> None:
    clear = page_of((40, [(40, 200, "字")]))
    doubtful = PageText(7, 595, 842, 0, 0.71, clear.lines, ())
    empty = PageText(8, 595, 842, 0, 0.0, (), ())
    assert doubts([clear, doubtful, empty]) == [
        "pages 1, 7: read by text recognition (OCR), confidence at least 0.71; compare its "
        "figures with the original",
        "page 7: read by OCR, confidence 0.71: check it",
        "page 8: a picture without text",
    ]
    assert doubts([]) == []


def test_many_pages_are_named_briefly() -> None:
    assert numbered([2]) == "page 2"
    assert numbered([1, 2, 3, 7, 9, 10]) == "pages 1-3, 7, 9-10"
    assert numbered(range(1, 40, 2)).endswith("17, 19, ...")
