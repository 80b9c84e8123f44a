"""Reads PDF files: text in reading order, ruled tables, scanned pages by text recognition."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
import unicodedata
import zlib
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from .layout import (
    Box,
    Grid,
    Gutters,
    Line,
    Stream,
    blocks_of,
    edges_of,
    measure,
    regions,
    rows_of,
)
from .ocr import INSTALL, is_installed, recognise_pdf
from .parsed import Parsed, Unreadable, join
from .read_picture import doubts, numbered, page_stream

MAX_PAGES = 2000
"""Longest PDF that is read."""
MAX_SECONDS = 900
"""Longest time that is spent on the text of one PDF."""
PAGE_SECONDS = 180
MAX_MEMORY = 2 * 2**30
"""Most bytes that reading a PDF may take."""
MAX_RULES = 5000
"""Drawn lines on a PDF page beyond which it is a drawing and tables are not looked for."""
MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Largest part of a PDF once unpacked, pictures aside; a page of text has some thousand bytes."""


def read_pdf(data: bytes, page_s: int = PAGE_SECONDS) -> Parsed:
    """page_s: longest time that is spent on one page, and on what stands before the first."""
    streams, warnings, scanned, known = _read_apart(data, page_s)
    if scanned and (is_installed() or not any(streams.values())):
        pages = list(recognise_pdf(data, scanned))
        streams |= {page.number: page_stream(page, known) for page in pages}
        warnings += doubts(pages)
    elif scanned:
        warnings.append(f"{numbered(scanned)}: scanned, and not read; {INSTALL}")
    stream = [item for number in sorted(streams) for item in streams[number]]
    if not stream:
        raise Unreadable("the file holds no text")
    return Parsed(blocks_of(stream), warnings)


# A process of its own


_Read = tuple[dict[int, Stream], list[str], list[int], list[Gutters]]
"""What stands on the pages that hold text, warnings, the pages that are pictures, and gutters."""


def _read_apart(data: bytes, page_s: int) -> _Read:
    """What a process of its own reads: a few bytes can keep the library busy for ever, or fill the
    memory, in more ways than can be looked for. Raises Unreadable."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); "
        f"from knowledge.read_pdf import serve; serve({page_s})"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode == -signal.SIGALRM:
        raise Unreadable(
            f"a page of the file takes more than {page_s} seconds to read; take it out"
        )
    if done.returncode < 0:
        raise Unreadable("reading the file was interrupted; try again")
    if done.returncode:
        raise Unreadable("the file is damaged or is not a PDF; save it anew and try again")
    found: _Read | Unreadable = pickle.loads(done.stdout)
    if isinstance(found, Unreadable):
        raise found
    return found


def serve(page_s: int) -> None:
    """Read the file on stdin, within bounds, and answer on stdout."""
    from pdfplumber.utils.exceptions import PdfminerException

    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(ValueError, OSError):  # not every system bounds it
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    signal.alarm(page_s)
    found: _Read | Unreadable
    try:
        found = _read_pages(sys.stdin.buffer.read(), page_s)
    except Unreadable as reason:
        found = reason
    except (MemoryError, PdfminerException) as fault:
        if not {MemoryError} & {type(fault), *map(type, fault.args)}:
            raise
        found = Unreadable(
            f"the file takes more than {MAX_MEMORY // 2**30} GB of memory to read; split it"
        )
    with answers:
        pickle.dump(found, answers)


def _read_pages(data: bytes, page_s: int) -> _Read:
    import pdfplumber
    from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import PdfminerException

    # Its notes on fonts and colours say nothing a person could act on.
    logging.getLogger("pdfminer").setLevel(logging.CRITICAL)
    _check_streams(data)
    try:
        pdf = pdfplumber.open(BytesIO(data))
    except PdfminerException as fault:
        if fault.args and isinstance(fault.args[0], PDFPasswordIncorrect | PDFEncryptionError):
            raise Unreadable(
                "the file is protected by a password; save a copy without one"
            ) from fault
        raise
    warnings: list[str] = []
    streams: dict[int, Stream] = {}
    known: list[Gutters] = []
    scanned: list[int] = []
    with pdf:
        if len(pdf.pages) > MAX_PAGES:
            raise Unreadable(
                f"the file has {len(pdf.pages)} pages, more than the {MAX_PAGES} that are read; "
                "split it"
            )
        latest = time.monotonic() + MAX_SECONDS
        for number, page in enumerate(pdf.pages, 1):
            if time.monotonic() > latest:
                raise Unreadable(
                    f"reading {number - 1} of its {len(pdf.pages)} pages took more than "
                    f"{MAX_SECONDS // 60} minutes; split it"
                )
            signal.alarm(page_s)
            if _is_scanned(page):
                scanned.append(number)
            else:
                streams[number] = _page(pdf, page, number, warnings, known)
            page.close()
    signal.alarm(0)
    return streams, warnings, scanned, known


# Limits


_STREAM = re.compile(rb"stream\r?\n")
_PACKED = re.compile(rb"/(?:FlateDecode|Fl|LZWDecode|LZW|RunLengthDecode|RL)\b")
_PICTURE = re.compile(rb"/Subtype\s*/Image\b")
_ENOUGH = MAX_STREAM_BYTES // 1032
"""No shorter part unpacks to too much: its packing saves at most that."""
_PIECE = 1 << 20


def _check_streams(data: bytes) -> None:
    """Refuse a file with a part that unpacks to more than memory should hold.

    The library unpacks a part whole, and text of that size would keep it busy for hours.
    """
    for mark in _STREAM.finditer(data):
        head = data[max(data.rfind(b"obj", 0, mark.start()), mark.start() - 2000) : mark.start()]
        packings = len(_PACKED.findall(head))
        if packings > 1:
            raise Unreadable("a part of the file is packed twice, as attacks are; save it anew")
        if not packings or _PICTURE.search(head):
            continue
        end = data.find(b"endstream", mark.end())
        end = len(data) if end < 0 else end
        if end - mark.end() > _ENOUGH and _unpacks_to_too_much(data, mark.end(), end):
            raise Unreadable(
                f"a part of the file unpacks to more than {MAX_STREAM_BYTES // 2**20} MB; split it"
            )


def _unpacks_to_too_much(data: bytes, start: int, end: int) -> bool:
    unpacker = zlib.decompressobj()
    size, rest = 0, data[start:end]
    try:
        while rest and not unpacker.eof:
            size += len(unpacker.decompress(rest, _PIECE))
            if size > MAX_STREAM_BYTES:
                return True
            rest = unpacker.unconsumed_tail
    except zlib.error:
        # Written as text around the packing, or damaged: nothing that unpacks at once.
        return False
    return False


def _is_scanned(page: Any) -> bool:
    """Whether the text of a page is a picture, is drawn in outlines, or names no characters."""
    chars = page.chars
    if len(chars) >= 20:
        return sum(1 for char in chars if char["text"].startswith("(cid:")) * 5 > len(chars)
    covered = sum(abs(image["width"] * image["height"]) for image in page.images)
    return bool(covered >= page.width * page.height / 2) or len(page.curves) > 200


def _holds_picture(page: Any, chars: Sequence[dict[str, Any]]) -> bool:
    """Whether a page of text has a picture, of a tenth of its size or more, beside its text."""
    return any(
        abs(image["width"] * image["height"]) >= page.width * page.height / 10
        and len(_divide(chars, (image["x0"], image["top"], image["x1"], image["bottom"]))[0]) < 5
        for image in page.images[:20]
    )


# Pages


def _page(pdf: Any, page: Any, number: int, warnings: list[str], known: list[Gutters]) -> Stream:
    """Lines and tables of one page in reading order."""
    from pdfplumber.utils.text import extract_words

    page = _upright(pdf, page)
    found: list[tuple[Box, list[Line | Grid]]] = []
    chars = _printed_once(page.chars)
    if _holds_picture(page, chars):
        warnings.append(f"page {number} holds a picture; text in it, if any, is not read")
    if len(page.edges) > MAX_RULES:
        warnings.append(f"page {number} is a drawing; its tables, if any, are read as text")
    elif page.edges:
        for table in page.find_tables():
            inside, outside = _divide(chars, table.bbox)
            if items := _ruled_table(table, inside, number):
                found.append((table.bbox, items))
                chars = outside
    words = extract_words(chars, x_tolerance_ratio=0.25, y_tolerance=3, return_chars=True)
    words = [word for word in words if word["text"].strip()]
    boxes: list[Box] = [(w["x0"], w["top"], w["x1"], w["bottom"]) for w in words]
    boxes += [box for box, _ in found]
    sizes = Counter(round(char["size"] * 2) / 2 for char in chars)
    stream: Stream = []
    usual = sizes.most_common(1)[0][0] if sizes else 10.0
    for column, region in regions(boxes, usual, known):
        tables = [at for at in region if at >= len(words)]
        lines = [
            _line([words[at] for at in row], page, number, column)
            for row in rows_of(boxes, (at for at in region if at < len(words)))
        ]
        measure(lines)
        placed: list[tuple[float, list[Line | Grid]]] = [(line.top, [line]) for line in lines]
        placed += [(boxes[at][1], found[at - len(words)][1]) for at in tables]
        for _, items in sorted(placed, key=lambda place: place[0]):
            stream.extend(items)
    return stream


_HAIR = 0.08
"""Share of a character's size within which one printed again is the same; `l` is 0.22 wide."""
_NEAR = (-1, 0, 1)


def _printed_once(chars: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Characters without those printed over their like, a hair apart, to make them bold."""
    printed: set[tuple[str, int, int]] = set()
    kept = []
    for char in chars:
        hair = max(char["size"], 1.0) * _HAIR
        x, y = (
            int((char["x0"] + char["x1"]) / 2 / hair),
            int((char["top"] + char["bottom"]) / 2 / hair),
        )
        text = char["text"]
        if any((text, x + i, y + j) in printed for i in _NEAR for j in _NEAR):
            continue
        printed.add((text, x, y))
        kept.append(char)
    return kept


def _divide(chars: Sequence[dict[str, Any]], box: Box) -> tuple[list[dict[str, Any]], ...]:
    """Characters in a box and those outside it."""
    x0, top, x1, bottom = box
    divided: tuple[list[dict[str, Any]], ...] = ([], [])
    for char in chars:
        x, y = (char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2
        divided[not (x0 <= x <= x1 and top <= y <= bottom)].append(char)
    return divided


_BOLD = re.compile("bold|black|heavy", re.I)


def _line(words: Sequence[dict[str, Any]], page: Any, number: int, column: tuple[int, int]) -> Line:
    chars = [char for word in words for char in word["chars"] if char["text"].strip()]
    top, bottom = min(word["top"] for word in words), max(word["bottom"] for word in words)
    middle = (top + bottom) / 2 - page.bbox[1]
    return Line(
        text=_radicals(" ".join(word["text"] for word in words)),
        page=number,
        x0=words[0]["x0"],
        x1=max(word["x1"] for word in words),
        top=top,
        bottom=bottom,
        size=Counter(round(char["size"] * 2) / 2 for char in chars).most_common(1)[0][0],
        bold=all(_BOLD.search(font) for font in {char["fontname"] for char in chars}),
        gapped=any(b["x0"] - a["x1"] > 3 * (bottom - top) for a, b in itertools.pairwise(words)),
        margin=not page.height * 0.1 < middle < page.height * 0.9,
        column=column,
    )


def _upright(pdf: Any, page: Any) -> Any:
    """The page, turned if most of its text is set sideways or upside down."""
    from pdfplumber.page import Page

    turns: Counter[int] = Counter()
    for char in page.chars:
        a, b, _, d, _, _ = char["matrix"]
        if char["upright"]:
            turns[180 if a < 0 and d < 0 else 0] += 1
        else:
            turns[90 if b > 0 else 270] += 1
    turn = turns.most_common(1)[0][0] if turns else 0
    if not turn:
        return page
    page.page_obj.rotate = (page.page_obj.rotate + turn) % 360
    return Page(pdf, page.page_obj, page_number=page.page_number, initial_doctop=0)


def _radicals(text: str) -> str:
    """Text with Kangxi radicals as the ideographs they print as: some fonts mix them up."""
    return "".join(
        unicodedata.normalize("NFKC", char) if "\u2f00" <= char <= "\u2fd5" else char
        for char in text
    )


# Tables


_Cell = list[list[dict[str, Any]]]
"""The words of a cell, line by line."""


def _ruled_table(table: Any, chars: list[dict[str, Any]], number: int) -> list[Line | Grid]:
    """A ruled table with merged cells repeated; nothing where the rules do not hold its text."""
    edges_x, edges_y = edges_of(table.cells, least=2)
    if len(edges_x) < 3 or len(edges_y) < 2 or len(edges_x) * len(edges_y) > 20_000:
        return []
    columns = [(left + right) / 2 for left, right in itertools.pairwise(edges_x)]
    bands = [(top + bottom) / 2 for top, bottom in itertools.pairwise(edges_y)]
    spans = {
        box: (
            range(bisect(bands, box[1]), bisect(bands, box[3])),
            range(bisect(columns, box[0]), bisect(columns, box[2])),
        )
        for box in table.cells
    }
    cells = _filled(chars, edges_x, edges_y, spans)
    held = sum(1 for char in chars if char["text"].strip())
    kept = sum(len(w["text"]) for cell in cells.values() for line in cell for w in line)
    if not kept or kept < 0.9 * held:
        return []
    texts = {box: _spread(cell, edges_x, spans[box][1]) for box, cell in cells.items()}
    rows: list[list[str]] = []
    for y in range(len(bands)):
        beside = {box: cells[box] for box, (down, _) in spans.items() if y in down}
        split = _split_row({box: cell for box, cell in beside.items() if len(spans[box][0]) == 1})
        for part in range(split):
            row = [""] * len(columns)
            for box, cell in beside.items():
                several = split > 1 and len(spans[box][0]) == 1 and cell
                words = _text_of([cell[part]]) if several else None
                for x in spans[box][1]:
                    row[x] = texts[box][x - spans[box][1].start] if words is None else words
            rows.append(row)
    grid = Grid(rows, number, tuple(edges_x))
    while len(rows) > 2 and len(set(rows[-1])) == 1:
        if note := rows.pop()[0]:
            grid.notes.insert(0, note)
    return [grid] if any(map(any, rows)) else []


def _filled(
    chars: list[dict[str, Any]],
    edges_x: list[float],
    edges_y: list[float],
    spans: dict[Box, tuple[range, range]],
) -> dict[Box, _Cell]:
    """The lines of each cell."""
    from pdfplumber.utils.text import extract_words

    owners = {(y, x): box for box, (down, aside) in spans.items() for y in down for x in aside}
    held: dict[Box, list[dict[str, Any]]] = {box: [] for box in spans}
    for char in chars:
        x = bisect(edges_x, (char["x0"] + char["x1"]) / 2) - 1
        y = bisect(edges_y, (char["top"] + char["bottom"]) / 2) - 1
        if (box := owners.get((y, x))) is not None:
            held[box].append(char)
    cells: dict[Box, _Cell] = {}
    for box, inside in held.items():
        words = extract_words(inside, x_tolerance_ratio=0.25, y_tolerance=3) if inside else []
        words = [word for word in words if word["text"].strip()]
        places = [(w["x0"], w["top"], w["x1"], w["bottom"]) for w in words]
        cells[box] = [[words[at] for at in row] for row in rows_of(places, range(len(words)))]
    return cells


def _text_of(lines: _Cell) -> str:
    joined = ""
    for line in lines:
        joined = join(joined, " ".join(word["text"] for word in line))
    return _radicals(joined)


def _spread(cell: _Cell, edges_x: list[float], aside: range) -> list[str]:
    """The text of a cell for each column it lies over.

    The same for all, but where a header over several columns has a line of its own for them and
    only its rule is missing.
    """
    same = [_text_of(cell)] * len(aside)
    if len(aside) < 2:
        return same
    edges = edges_x[aside.start : aside.stop + 1]
    texts = [""] * len(aside)
    named = False
    for line in cell:
        places = [
            (bisect(edges, word["x0"] + 1) - 1, bisect(edges, word["x1"] - 1) - 1) for word in line
        ]
        apart = len({left for left, _ in places}) > 1 and all(a == b for a, b in places)
        for x in range(len(aside)):
            words = [w for w, (left, _) in zip(line, places, strict=True) if not apart or left == x]
            texts[x] = join(texts[x], _text_of([words]))
        named = named or apart
    return texts if named else same


_VALUE = re.compile(r"[-+−–]?[¥￥$]?[\d.,]+[%％‰]?[^\W\d]?|[-—–/]+")


def _split_row(cells: dict[Box, _Cell]) -> int:
    """How many rows stand between two rules: tables are often ruled every few rows only."""
    filled = [cell for cell in cells.values() if cell]
    counts = {len(cell) for cell in filled}
    if len(filled) < 2 or len(counts) != 1 or counts == {1}:
        return 1
    for lines in zip(*filled, strict=True):
        tops = [line[0]["top"] for line in lines]
        if max(tops) - min(tops) > 0.5 * (lines[0][0]["bottom"] - lines[0][0]["top"]):
            return 1
    values = sum(
        all(_VALUE.fullmatch("".join(word["text"] for word in line)) for line in cell)
        for cell in filled
    )
    return counts.pop() if values * 2 >= len(filled) else 1
