"""Printed pages as blocks: columns in reading order, lines into paragraphs, tables over pages.

For the readers of PDF files and of pictures, which know where on a page something stands and not
what it is. Lengths are in points from the top left corner of the page.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from .chunk import CONTINUED, ENUMERATOR, PAGE_NUMBER
from .documents import Block
from .parsed import END, join, table_blocks

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge."""


@dataclass(slots=True)
class Line:
    text: str
    page: int
    x0: float
    x1: float
    top: float
    bottom: float
    size: float
    bold: bool = False
    gapped: bool = False
    """Whether it holds a wide blank, as names and values set beside each other do."""
    margin: bool = False
    """In the top or bottom strip of the page, where running headers and page numbers stand."""
    column: tuple[int, int] = (0, 0)
    """Which part of its page it stands in, and in which column of that part, both from 0."""
    left: float = 0.0
    right: float = 0.0
    leading: float = 0.0
    """Left edge, right edge and usual distance of the lines of its page or column."""


@dataclass(slots=True)
class Grid:
    """The cells of a table on one page, merged ones repeated."""

    rows: list[list[str]]
    page: int
    edges: tuple[float, ...] = ()
    """Where its columns begin and end."""
    notes: list[str] = field(default_factory=list)
    """What stands below the rows in one cell over the whole width."""


Stream = list[Line | Grid]
"""What stands on the pages of a document, in reading order."""


# Columns


_LEAST_ROWS = 3
"""Lines that a column of prose must have."""
_LEAST_WIDTH = 10
"""Width of a column of prose, in characters; columns of tables are narrower."""


Gutters = tuple[float, ...]
"""Middles of the blank strips between columns of prose, from left to right."""


def regions(
    boxes: Sequence[Box], size: float, known: list[Gutters]
) -> list[tuple[tuple[int, int], list[int]]]:
    """The boxes, by their places in the sequence, of each column in reading order.

    size: height of the usual character.
    known: gutters of the pages before, of which the last page of a text has too little to tell;
    those of this page are put first.
    Each column with its number: which part of the page, from the top, and which column of that.
    """
    everything = list(range(len(boxes)))
    lines = rows_of(boxes, everything)
    gutters = _gutters(boxes, lines, size)
    if gutters and gutters not in known:
        known.insert(0, gutters)
    gutters = gutters or next((g for g in known if _fits(boxes, lines, g)), ())
    if not gutters:
        return [((0, 0), everything)] if everything else []
    found: list[tuple[tuple[int, int], list[int]]] = []
    for part, (run, whole) in enumerate(_bands(boxes, lines, gutters, size)):
        if whole:
            found.append(((part, 0), run))
            continue
        slices: list[list[int]] = [[] for _ in range(len(gutters) + 1)]
        for index in run:
            slices[_slice_of(boxes[index], gutters)].append(index)
        found.extend(((part, at), column) for at, column in enumerate(slices) if column)
    return found


def rows_of(boxes: Sequence[Box], chosen: Iterable[int]) -> list[list[int]]:
    """Boxes that stand beside each other, from top to bottom, each row from left to right."""
    rows: list[list[int]] = []
    first: Box = (0.0, 0.0, 0.0, 0.0)
    for index in sorted(chosen, key=lambda i: boxes[i][1] + boxes[i][3]):
        box = boxes[index]
        apart = (box[1] + box[3] - first[1] - first[3]) / 2
        if not rows or apart > 0.5 * min(box[3] - box[1], first[3] - first[1]):
            rows.append([])
            first = box
        rows[-1].append(index)
    return [sorted(row, key=lambda i: boxes[i][0]) for row in rows]


def _fits(boxes: Sequence[Box], rows: list[list[int]], gutters: Gutters) -> bool:
    """Whether the text of a page stands in columns known from others."""
    sides = {_slice_of(box, gutters) for box in boxes}
    across = sum(1 for row in rows if any(_crosses(boxes[at], gutters) for at in row))
    return len(sides) > 1 and across <= 0.1 * len(rows)


def _gutters(boxes: Sequence[Box], rows: list[list[int]], size: float) -> Gutters:
    unit = max(size / 2, 1.0)
    votes: Counter[int] = Counter()
    for row, following in itertools.pairwise([*rows, []]):
        # Lines of columns need not stand at one height.
        beside = [at for at in following if _overlap(boxes[row[0]], boxes[at]) > 0.2]
        both = sorted([*row, *beside], key=lambda at: boxes[at][0])
        for left, right in _gaps(boxes, both, size):
            votes.update(range(int(left / unit) + 1, int(right / unit) + 1))
    strips: list[list[int]] = []
    for at in sorted(place for place, count in votes.items() if count > _LEAST_ROWS):
        if strips and at == strips[-1][-1] + 1:
            strips[-1].append(at)
        else:
            strips.append([at])
    found = []
    for strip in strips:
        most = max(votes[at] for at in strip)
        best = [at for at in strip if votes[at] == most]
        found.append(best[len(best) // 2] * unit)
    for chosen in ([found] if len(found) > 1 else []) + [[x] for x in found]:
        if all(_is_prose(boxes, part, size) for part in _slices(boxes, rows, tuple(chosen))):
            return tuple(chosen)
    return ()


def _overlap(box: Box, other: Box) -> float:
    """Share of the lower box's height at which the two stand beside each other."""
    shared = min(box[3], other[3]) - max(box[1], other[1])
    return shared / max(min(box[3] - box[1], other[3] - other[1]), 0.1)


def _gaps(boxes: Sequence[Box], row: Sequence[int], size: float) -> Iterable[tuple[float, float]]:
    reach = None
    for index in row:
        x0, _, x1, _ = boxes[index]
        if reach is not None and x0 - reach >= size:
            yield reach, x0
        reach = x1 if reach is None else max(reach, x1)


def _crosses(box: Box, gutters: Gutters) -> bool:
    return any(box[0] < x < box[2] for x in gutters)


def _slice_of(box: Box, gutters: Gutters) -> int:
    return sum(1 for x in gutters if (box[0] + box[2]) / 2 > x)


def _slices(boxes: Sequence[Box], rows: list[list[int]], gutters: Gutters) -> list[list[int]]:
    """Boxes left of, between and right of the gutters, without the rows that lie across one."""
    slices: list[list[int]] = [[] for _ in range(len(gutters) + 1)]
    for row in rows:
        if not any(_crosses(boxes[index], gutters) for index in row):
            for index in row:
                slices[_slice_of(boxes[index], gutters)].append(index)
    return slices


def _is_prose(boxes: Sequence[Box], part: list[int], size: float) -> bool:
    """Whether boxes are the lines of a column: wide, mostly full, without gaps inside."""
    rows = rows_of(boxes, part)
    if len(rows) < _LEAST_ROWS:
        return False
    widths = [boxes[row[-1]][2] - boxes[row[0]][0] for row in rows]
    broken = sum(1 for row in rows if any(True for _ in _gaps(boxes, row, 1.5 * size)))
    full = median(widths)
    return full >= _LEAST_WIDTH * size and full >= 0.6 * max(widths) and broken <= 0.3 * len(rows)


def _bands(
    boxes: Sequence[Box], rows: list[list[int]], gutters: Gutters, size: float
) -> list[tuple[list[int], bool]]:
    """Rows grouped from top to bottom, each group with whether it goes over the whole width."""
    bands: list[tuple[list[list[int]], bool]] = []
    for row in rows:
        across = any(_crosses(boxes[index], gutters) for index in row)
        if not bands or bands[-1][1] != across:
            bands.append(([], across))
        bands[-1][0].append(row)
    found: list[tuple[list[int], bool]] = []
    for band, across in bands:
        before, inside, after = ([], [], band) if across else _trim(boxes, band, gutters, size)
        for part, whole in ((before, True), (inside, False), (after, True)):
            indices = [index for row in part for index in row]
            if not indices:
                continue
            if found and whole and found[-1][1]:
                found[-1][0].extend(indices)
            else:
                found.append((indices, whole))
    return found


def _trim(
    boxes: Sequence[Box], band: list[list[int]], gutters: Gutters, size: float
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """What of a band stands above its columns, in them, and below them.

    A line on one side only belongs to the columns where it follows on closely.
    """
    sides = [{_slice_of(boxes[index], gutters) for index in row} for row in band]
    several = [at for at, side in enumerate(sides) if len(side) > 1]
    if len(several) < 2:
        # Lines of columns need not stand at one height: what counts is that they share it.
        seen = set().union(*sides)
        if len(seen) < 2 or len(band) < 2 * _LEAST_ROWS:
            return [], [], band
        return [], band, []
    first, last = several[0], several[-1]

    def space(at: int) -> float:
        """Blank height above the row at a place."""
        above = max(boxes[index][3] for index in band[at - 1])
        return min(boxes[index][1] for index in band[at]) - above

    while first > 0 and space(first) < 1.2 * size:
        first -= 1
    while last + 1 < len(band) and space(last + 1) < 1.2 * size:
        last += 1
    return band[:first], band[first : last + 1], band[last + 1 :]


def edges_of(cells: Sequence[Box], least: float) -> tuple[list[float], list[float]]:
    """Where the columns and the rows of drawn cells begin and end.

    least: points between two edges; what lies closer is one rule drawn twice.
    """

    def apart(edges: set[float]) -> list[float]:
        kept: list[float] = []
        for edge in sorted(edges):
            if not kept or edge - kept[-1] > least:
                kept.append(edge)
        return kept

    return (
        apart({x for x0, _, x1, _ in cells for x in (x0, x1)}),
        apart({y for _, top, _, bottom in cells for y in (top, bottom)}),
    )


def measure(lines: Sequence[Line]) -> None:
    """Give the lines of one column its edges and its usual distance of lines."""
    if not lines:
        return
    lefts = sorted(line.x0 for line in lines)
    rights = sorted(line.x1 for line in lines)
    gaps = sorted(b.top - a.top for a, b in itertools.pairwise(lines) if b.top > a.top)
    for line in lines:
        line.left, line.right = lefts[len(lefts) // 10], rights[-1 - len(rights) // 20]
        line.leading = gaps[len(gaps) // 2] if gaps else line.size * 2


# Blocks


def blocks_of(stream: Stream) -> list[Block]:
    """Blocks of a document: paragraphs, headings, tables joined over pages, no running lines."""
    return _blocks(_joined_tables(_without_running_lines(stream)))


def _without_running_lines(stream: Stream) -> Stream:
    """The stream without page numbers and the lines repeated at the edge of most pages."""
    pages = {item.page for item in stream}

    def shape(line: Line) -> str:
        return re.sub(r"\d+", "#", "".join(line.text.split()))

    seen = {(shape(item), item.page) for item in stream if isinstance(item, Line) and item.margin}
    repeated = Counter(text for text, _ in seen)
    least = max(2, (len(pages) + 1) // 2)
    return [
        item
        for item in stream
        if not (
            isinstance(item, Line)
            and item.margin
            and (repeated[shape(item)] >= least or PAGE_NUMBER.fullmatch(item.text))
        )
    ]


_MOST_HEADER_ROWS = 4


def _joined_tables(stream: Stream) -> Stream:
    """The stream with each table that runs over page breaks as one grid."""
    joined: Stream = []
    ended_on = 0
    announced: Line | None = None
    """A line that says that the table goes on; it is left out where one does."""
    for item in stream:
        before = joined[-1] if joined else None
        if isinstance(item, Line) and isinstance(before, Grid) and CONTINUED.fullmatch(item.text):
            announced = item
            continue
        if (
            isinstance(item, Grid)
            and isinstance(before, Grid)
            and not before.notes
            and item.page == ended_on + 1
            and _same_columns(before, item)
        ):
            _append(before, item)
        else:
            joined += [line for line in (announced,) if line]
            joined.append(item)
        ended_on, announced = item.page, None
    return joined + [line for line in (announced,) if line]


def _same_columns(before: Grid, grid: Grid) -> bool:
    if len(before.rows[0]) != len(grid.rows[0]):
        return False
    if len(before.edges) != len(grid.edges) or not grid.edges:
        return len(before.edges) == len(grid.edges)
    # Pages for binding are shifted to the left and right in turn.
    shift = grid.edges[0] - before.edges[0]
    return all(abs(b - a - shift) < 4 for a, b in zip(before.edges, grid.edges, strict=True))


def _append(before: Grid, grid: Grid) -> None:
    repeated = 0
    while (
        repeated < min(_MOST_HEADER_ROWS, len(grid.rows) - 1, len(before.rows) - 1)
        and grid.rows[repeated] == before.rows[repeated]
    ):
        repeated += 1
    rows = grid.rows[repeated:]
    last, first = before.rows[-1], rows[0]
    if any(first) and not first[0] and len(before.rows) > 1:
        if sum(map(bool, first)) * 2 <= len(first) and not any(map(str.isdigit, "".join(first))):
            # The page broke a row: its longer cells go on.
            before.rows[-1] = [join(a, b) for a, b in zip(last, first, strict=True)]
            rows = rows[1:]
        else:
            # The page broke a cell merged over rows, which says whose the rows are.
            rows[0] = [last[0], *first[1:]]
    before.rows.extend(rows)
    before.notes.extend(grid.notes)


def _blocks(stream: Stream) -> list[Block]:
    sizes: Counter[float] = Counter()
    for item in stream:
        if isinstance(item, Line):
            sizes[item.size] += len(item.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted((size for size in sizes if size >= body * 1.12), reverse=True)
    levels = {size: min(level, 6) for level, size in enumerate(larger, 1)}
    blocks: list[Block] = []
    last: Line | None = None
    for item in stream:
        if isinstance(item, Grid):
            blocks.extend(table_blocks(item.rows, page=item.page))
            blocks.extend(Block("paragraph", note, page=item.page) for note in item.notes)
            last = None
            continue
        level = levels.get(item.size) if len(item.text) <= 80 else None
        short = len(item.text) <= 30 and not item.text.endswith(END)
        if level is None and item.bold and short:
            level = min(len(larger) + 1, 6)
        if last is not None and level == _level_of(blocks[-1]) and _goes_on(last, item, level):
            blocks[-1] = replace(blocks[-1], text=join(blocks[-1].text, item.text))
        elif level is not None:
            blocks.append(Block("heading", item.text, level=level, page=item.page))
        else:
            blocks.append(Block("paragraph", item.text, page=item.page))
        last = item
    return blocks


def _level_of(block: Block) -> int | None:
    return block.level if block.kind == "heading" else None


def _goes_on(line: Line, following: Line, level: int | None) -> bool:
    """Whether a printed line is continued by the next one."""
    beside = (following.page, following.column) == (line.page, line.column)
    near = beside and following.top - line.top <= line.leading * 1.4
    if level is not None:
        return near and following.size == line.size and following.bold == line.bold
    ended = line.text.endswith(END)
    # A long line without an end mark goes on even where its last word was broken off early.
    room = 2.2 * line.size if ended else 0.4 * (line.right - line.left)
    least = (1.5 if ended else 1) * _LEAST_WIDTH * line.size
    full = line.x1 - line.x0 >= least and not line.gapped and line.x1 >= line.right - room
    # How far a line is set in counts from the edge of its own column.
    indented = following.x0 > following.left + 1.2 * following.size
    deeper = following.x0 - following.left > line.x0 - line.left + 0.8 * line.size
    if not full or (indented and deeper):
        return False
    if ended and (ENUMERATOR.match(following.text) or indented or not near):
        return False
    if beside:
        return near
    # From the foot of one column or page to the head of the next.
    on = following.page == line.page + 1
    if following.page == line.page:
        on = following.column == (line.column[0], line.column[1] + 1)
    return on and not indented
