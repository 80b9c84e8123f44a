"""Reads photos, screenshots and scans: what was recognised in a picture, as lines and tables."""

from __future__ import annotations

import itertools
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from statistics import median

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
from .ocr import PageText, TextLine, recognise_picture
from .parsed import Parsed, Unreadable, join, runs_of

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
PAGE_WIDTH = 595.0
"""Width in points that a picture's page is taken to have, which is that of A4."""
DOUBTFUL = 0.9
"""Mean confidence below which a page is named for checking."""
_NAMED = 10
"""Most runs of pages that one warning names."""


_SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II[*+]\0|MM\0[*+]|BM|RIFF.{4}WEBP", re.DOTALL
)


def read_picture(data: bytes) -> Parsed:
    if not _SIGNATURE.match(data):
        raise Unreadable(
            "the file is damaged or is not a picture that is read (PNG, JPEG, TIFF, BMP or WEBP); "
            "save it anew and try again"
        )
    pages = list(recognise_picture(data))
    known: list[Gutters] = []
    stream = [item for page in pages for item in page_stream(page, known)]
    return Parsed(blocks_of(stream), doubts(pages))


def doubts(pages: Sequence[PageText]) -> list[str]:
    """What the person who ingests must know of pages read by OCR."""
    found: list[str] = []
    if read := [page for page in pages if page.lines]:
        least = min([0.99, *(page.confidence for page in read)])
        found.append(
            f"{numbered([page.number for page in read])}: read by text recognition (OCR), "
            f"confidence at least {int(least * 100) / 100:.2f}; compare its figures with the "
            "original"
        )
    for page in pages:
        if not page.lines:
            found.append(f"page {page.number}: a picture without text")
        elif page.confidence < DOUBTFUL:
            found.append(
                f"page {page.number}: read by OCR, confidence {page.confidence:.2f}: check it"
            )
    return found


def numbered(numbers: Sequence[int]) -> str:
    """Page numbers as people write them: `pages 1-3, 7`."""
    runs = runs_of(numbers)
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:_NAMED]]
    if len(numbers) == 1:
        return f"page {shown[0]}"
    more = ", ..." if len(runs) > _NAMED else ""
    return f"pages {', '.join(shown)}{more}"


def page_stream(page: PageText, known: list[Gutters]) -> Stream:
    """Lines and tables of a recognised page in reading order."""
    scale = PAGE_WIDTH / page.width
    lines = [
        TextLine(line.x0 * scale, line.top * scale, line.x1 * scale, line.bottom * scale, line.text)
        for line in page.lines
    ]
    rules = [tuple(edge * scale for edge in rule) for rule in page.rules]
    if not lines:
        return []
    size = _size(lines)
    height = page.height * scale
    placed: list[tuple[Box, Grid]] = []
    for box, grid, held in _ruled(lines, rules, page.number):
        placed.append((box, grid))
        lines = [line for line in lines if line not in held]
    boxes: list[Box] = [_box(line) for line in lines] + [box for box, _ in placed]
    stream: Stream = []
    for column, region in regions(boxes, size, known):
        inside = [lines[at] for at in region if at < len(lines)]
        tables = [placed[at - len(lines)] for at in region if at >= len(lines)]
        for box, grid, held in _unruled(inside, size, page.number):
            tables.append((box, grid))
            inside = [line for line in inside if line not in held]
        rows = rows_of([_box(line) for line in inside], range(len(inside)))
        read = [
            _line([inside[at] for at in row], page.number, column, size, height) for row in rows
        ]
        measure(read)
        items: list[tuple[float, Line | Grid]] = [(line.top, line) for line in read]
        items += [(box[1], grid) for box, grid in tables]
        stream.extend(item for _, item in sorted(items, key=lambda item: item[0]))
    return stream


def _box(line: TextLine) -> Box:
    return line.x0, line.top, line.x1, line.bottom


def _size(lines: Sequence[TextLine]) -> float:
    return max(median(line.bottom - line.top for line in lines) * 0.8, 1.0)


def _line(
    parts: Sequence[TextLine], number: int, column: tuple[int, int], size: float, height: float
) -> Line:
    """One printed line of the parts that stand beside each other.

    Boxes are higher or lower by the characters in them, so only much larger print is a heading.
    """
    top, bottom = min(part.top for part in parts), max(part.bottom for part in parts)
    own = _size(parts)
    text = _text_of(parts)
    # A stamp is read as single large characters.
    large = own > 1.35 * size and len(text) > 1 and len(parts) == 1
    return Line(
        text=text,
        page=number,
        x0=parts[0].x0,
        x1=max(part.x1 for part in parts),
        top=top,
        bottom=bottom,
        size=round(own) if large else round(size),
        gapped=any(b.x0 - a.x1 > 3 * size for a, b in itertools.pairwise(parts)),
        margin=not height * 0.1 < (top + bottom) / 2 < height * 0.9,
        column=column,
    )


def _text_of(parts: Iterable[TextLine]) -> str:
    return " ".join(part.text.strip() for part in parts)


# Tables


_Found = tuple[Box, Grid, set[TextLine]]


def _ruled(
    lines: Sequence[TextLine], rules: Sequence[tuple[float, ...]], number: int
) -> list[_Found]:
    """Tables whose cells are drawn."""
    from pdfplumber.table import (
        cells_to_tables,
        edges_to_intersections,
        intersections_to_cells,
        merge_edges,
    )

    edges = [
        {
            "x0": x0,
            "x1": x1,
            "top": top,
            "bottom": bottom,
            "width": x1 - x0,
            "height": bottom - top,
            "orientation": "h" if x1 - x0 > bottom - top else "v",
        }
        for x0, top, x1, bottom in rules
    ]
    merged = merge_edges(edges, 3, 3, 4, 4)
    crossings = edges_to_intersections(merged, 4, 4)
    found: list[_Found] = []
    for cells in cells_to_tables(intersections_to_cells(crossings)):
        table = _drawn_table(cells, lines, number)
        if table is not None:
            found.append(table)
    return found


def _drawn_table(cells: Sequence[Box], lines: Sequence[TextLine], number: int) -> _Found | None:
    edges_x, edges_y = edges_of(cells, least=4)
    if len(edges_x) < 3 or len(edges_y) < 3:
        return None
    columns = [(a + b) / 2 for a, b in itertools.pairwise(edges_x)]
    bands = [(a + b) / 2 for a, b in itertools.pairwise(edges_y)]
    rows = [[""] * len(columns) for _ in bands]
    held: set[TextLine] = set()
    for x0, top, x1, bottom in cells:
        inside = [
            line
            for line in lines
            if x0 < (line.x0 + line.x1) / 2 < x1 and top < (line.top + line.bottom) / 2 < bottom
        ]
        boxes = [_box(line) for line in inside]
        text = ""
        for row in rows_of(boxes, range(len(inside))):
            text = join(text, _text_of(inside[at] for at in row))
        held.update(inside)
        for y in range(bisect(bands, top), bisect(bands, bottom)):
            for x in range(bisect(columns, x0), bisect(columns, x1)):
                rows[y][x] = text
    if len(held) < 3:
        return None
    box = (edges_x[0], edges_y[0], edges_x[-1], edges_y[-1])
    return box, Grid(rows, number, tuple(edges_x)), held


_LEAST_ROWS = 3
_FILLED = 0.6
"""Share of cells that hold text in a table worth the name."""


def _unruled(lines: Sequence[TextLine], size: float, number: int) -> list[_Found]:
    """Tables without drawn cells: lines that stand below each other in clear columns."""
    boxes = [_box(line) for line in lines]
    rows = rows_of(boxes, range(len(lines)))
    found: list[_Found] = []
    run: list[list[int]] = []
    for row in [*rows, []]:
        # A line by itself may be a row with one value, or the name of a group of rows.
        if row and (len(row) > 1 or (run and boxes[row[0]][2] - boxes[row[0]][0] < 15 * size)):
            run.append(row)
            continue
        found.extend(_clear_table(lines, boxes, run, size, number))
        run = []
    return found


def _clear_table(
    lines: Sequence[TextLine], boxes: list[Box], run: list[list[int]], size: float, number: int
) -> list[_Found]:
    """The tables of rows in a row; none where they have no clear columns."""
    while run and len(run[-1]) == 1:
        run = run[:-1]
    if len(run) < _LEAST_ROWS:
        return []
    columns = _columns(boxes, run, size)
    if len(columns) < 2:
        return []
    grid: list[list[str]] = []
    for row in run:
        cells: list[list[TextLine]] = [[] for _ in columns]
        for at in row:
            middle = (boxes[at][0] + boxes[at][2]) / 2
            nearest = min(
                range(len(columns)),
                key=lambda x: max(columns[x][0] - middle, middle - columns[x][1], 0.0),
            )
            cells[nearest].append(lines[at])
        grid.append([_text_of(cell) for cell in cells])
    filled = [sum(map(bool, row)) for row in grid]
    if sum(1 for count in filled if count > 1) < _LEAST_ROWS:
        return []
    if sum(filled) < _FILLED * len(grid) * len(columns) or max(filled) < len(columns):
        return []
    edges = (columns[0][0], *(left for left, _ in columns[1:]), columns[-1][1])
    found: list[_Found] = []
    for part in _side_by_side(grid):
        for first, last in _stacked([row[part.start : part.stop] for row in grid]):
            rows = [row[part.start : part.stop] for row in grid[first:last]]
            if not any(map(any, rows)):
                continue
            own = [
                at
                for row in run[first:last]
                for at in row
                if edges[part.start] - size
                < (boxes[at][0] + boxes[at][2]) / 2
                < edges[part.stop] + (size if part.stop == len(columns) else 0)
            ]
            if not own:
                continue
            box = (
                min(boxes[at][0] for at in own),
                min(boxes[at][1] for at in own),
                max(boxes[at][2] for at in own),
                max(boxes[at][3] for at in own),
            )
            kept = [row for row in rows if any(row)]
            if sum(map(bool, kept[0])) == 1 and len(kept) > 2:
                # A line of its own above the header is the table's title, over all its columns.
                kept[0] = ["".join(kept[0])] * len(kept[0])
            found.append(
                (
                    box,
                    Grid(kept, number, edges[part.start : part.stop + 1]),
                    {lines[i] for i in own},
                )
            )
    return found


def _columns(boxes: list[Box], run: list[list[int]], size: float) -> list[tuple[float, float]]:
    """Left and right edge of each column: where something stands, between strips left blank."""
    spans = sorted((boxes[at][0], boxes[at][2]) for row in run if len(row) > 1 for at in row)
    columns: list[tuple[float, float]] = []
    for x0, x1 in spans:
        if columns and x0 - columns[-1][1] < 0.3 * size:
            columns[-1] = (columns[-1][0], max(columns[-1][1], x1))
        else:
            columns.append((x0, x1))
    return columns


def _side_by_side(grid: list[list[str]]) -> list[range]:
    """Columns of each table where several stand beside each other: their headers repeat."""
    width = len(grid[0])
    for parts in (2, 3):
        share = width // parts
        if width % parts or share < 2:
            continue
        for row in grid:
            if row[0] and all(row) and row == row[:share] * parts:
                return [range(start, start + share) for start in range(0, width, share)]
    return [range(width)]


def _stacked(grid: list[list[str]]) -> list[tuple[int, int]]:
    """First row and the row after the last of each table where several stand below each other.

    A header that comes again opens a new one, with the line above it as its title.
    """
    header = next((row for row in grid if all(row)), None)
    starts = [0]
    for at, row in enumerate(grid):
        if row == header and at > 1:
            above = at - 1 if sum(map(bool, grid[at - 1])) == 1 else at
            if above > starts[-1]:
                starts.append(above)
    return list(itertools.pairwise([*starts, len(grid)]))
