"""Turns the Markdown in `sources/` into the DOCX and PDF files of the sample lender.

Run `python knowledge/corpus/make_documents.py --font FILE`, FILE being a TrueType font or
collection with Simplified Chinese, such as `wqy-microhei.ttc` of Debian's fonts-wqy-microhei.
`sources/NAME.pdf.md` becomes `lender/NAME.pdf`, and likewise for `.docx`; their TOML heads go to
`lender/manifest.jsonl`, whose lines for other files stay. Equal sources give equal bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from docx import Document as new_docx
from docx.oxml.ns import qn
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Table, TableStyle

HERE = Path(__file__).parent
FONT = "Body"
TEXT_WIDTH = A4[0] - 44 * mm
TABLE_SHARES = {2: (0.35, 0.65), 3: (0.24, 0.34, 0.42), 4: (0.28, 0.24, 0.26, 0.22)}
DOCX_CLOCK = datetime(2026, 1, 1, tzinfo=UTC)

UNIT = re.compile(r"[（「“]*(?:[!-~–]+|.)(?: +[（「“]*(?:[!-~–]+|.))*[，。；：、！？）」”]*")
"""What must stay on one line: figures with their units, and punctuation with its neighbour."""


@dataclass(frozen=True, slots=True)
class Part:
    kind: Literal["heading", "paragraph", "table"]
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


def read_source(path: Path) -> tuple[dict[str, Any], tuple[Part, ...]]:
    """TOML head and parts of one source; only headings, pipe tables and paragraphs are known."""
    _, head, body = path.read_text(encoding="utf-8").split("+++\n", 2)
    parts: list[Part] = []
    rows: list[tuple[str, ...]] = []
    for line in [*body.splitlines(), ""]:
        if line.startswith("|"):
            cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
            if not all(set(cell) <= set("-:") for cell in cells):
                rows.append(cells)
            continue
        if rows:
            parts.append(Part("table", rows=tuple(rows)))
            rows = []
        if line.startswith("#"):
            marks, text = line.split(" ", 1)
            parts.append(Part("heading", text, level=len(marks)))
        elif line.strip():
            parts.append(Part("paragraph", line))
    return tomllib.loads(head), tuple(parts)


def wrap(text: str, width: float, size: float) -> list[str]:
    """Lines no wider than `width` points, never broken beside a space.

    Readers join lines of Chinese without a space, so a break at one would lose it.
    """
    lines = [""]
    for unit in UNIT.findall(text):
        pieces = [unit]
        if pdfmetrics.stringWidth(unit, FONT, size) > width:
            pieces = re.findall(r"\S+ *", unit)
        for piece in pieces:
            if lines[-1] and pdfmetrics.stringWidth(lines[-1] + piece, FONT, size) > width:
                lines.append("")
            lines[-1] += piece
    return lines


def pdf_paragraph(part: Part) -> Flowable:
    size = {1: 17.0, 2: 13.0}.get(part.level, 10.5)
    heading = part.kind == "heading"
    style = ParagraphStyle(
        "part",
        fontName=FONT,
        fontSize=size,
        leading=size * 1.6,
        spaceBefore=8 if heading else 0,
        spaceAfter=6 if heading else 4,
        keepWithNext=heading,
    )
    return Paragraph("<br/>".join(map(escape, wrap(part.text, TEXT_WIDTH, size))), style)


def pdf_table(part: Part) -> Flowable:
    size, padding = 9.5, 5
    widths = [share * TEXT_WIDTH for share in TABLE_SHARES[len(part.rows[0])]]
    cells = [
        [
            "\n".join(wrap(cell, width - 2 * padding, size))
            for cell, width in zip(row, widths, strict=True)
        ]
        for row in part.rows
    ]
    style = TableStyle(
        [
            ("FONT", (0, 0), (-1, -1), FONT, size, size * 1.45),
            ("GRID", (0, 0), (-1, -1), 0.6, colors.HexColor("#64748b")),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e8f0ec")),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LEFTPADDING", (0, 0), (-1, -1), padding),
            ("RIGHTPADDING", (0, 0), (-1, -1), padding),
            ("TOPPADDING", (0, 0), (-1, -1), 4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        ]
    )
    return Table(cells, widths, style=style, repeatRows=1, spaceBefore=4, spaceAfter=8)


def write_pdf(head: Mapping[str, Any], parts: tuple[Part, ...], target: Path) -> None:
    def page_number(canvas: Any, document: Any) -> None:
        canvas.setFont(FONT, 9)
        canvas.drawCentredString(A4[0] / 2, 12 * mm, str(document.page))

    story = [pdf_table(part) if part.kind == "table" else pdf_paragraph(part) for part in parts]
    document = SimpleDocTemplate(
        str(target),
        pagesize=A4,
        leftMargin=22 * mm - 6,
        rightMargin=22 * mm - 6,
        topMargin=20 * mm,
        bottomMargin=20 * mm,
        title=head["title"],
        author=head["issuer"],
        invariant=1,
    )
    document.build(story, onFirstPage=page_number, onLaterPages=page_number)


def write_docx(head: Mapping[str, Any], parts: tuple[Part, ...], target: Path) -> None:
    document = new_docx()
    properties = document.core_properties
    properties.title, properties.author = head["title"], head["issuer"]
    properties.created = properties.modified = DOCX_CLOCK
    for name in ("Normal", "Heading 1", "Heading 2", "Heading 3"):
        fonts = document.styles[name].element.get_or_add_rPr().get_or_add_rFonts()
        fonts.set(qn("w:eastAsia"), "Microsoft YaHei")
    for part in parts:
        if part.kind == "heading":
            document.add_heading(part.text, part.level)
        elif part.kind == "paragraph":
            document.add_paragraph(part.text)
        else:
            table = document.add_table(len(part.rows), len(part.rows[0]), "Table Grid")
            for row, texts in zip(table.rows, part.rows, strict=True):
                for cell, text in zip(row.cells, texts, strict=True):
                    cell.text = text
            document.add_paragraph()
    packed = io.BytesIO()
    document.save(packed)
    # Word files are zips whose entries carry the time of writing, which would change the bytes.
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            new.writestr(entry, old.read(name), zipfile.ZIP_DEFLATED)


WRITERS: dict[str, Callable[[Mapping[str, Any], tuple[Part, ...], Path], None]] = {
    ".pdf": write_pdf,
    ".docx": write_docx,
}


def make_documents(sources: Path, lender: Path) -> None:
    """Write every document of `sources` and its manifest line into `lender`."""
    manifest = lender / "manifest.jsonl"
    old = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    lines = {line["file"]: line for line in map(json.loads, old)}
    for source in sorted(sources.glob("*.md")):
        target = lender / source.stem
        head, parts = read_source(source)
        WRITERS[target.suffix](head, parts, target)
        dated = {k: v.isoformat() if isinstance(v, date) else v for k, v in head.items()}
        lines[target.name] = {"file": target.name, **dated}
    manifest.write_text(
        "".join(json.dumps(lines[name], ensure_ascii=False) + "\n" for name in sorted(lines)),
        encoding="utf-8",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", type=Path, required=True)
    pdfmetrics.registerFont(TTFont(FONT, str(parser.parse_args().font), subfontIndex=0))
    make_documents(HERE / "sources", HERE / "lender")
