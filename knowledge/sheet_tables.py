"""Finds the tables on a sheet: where each begins, its title, its header rows and its notes."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .chunk import NOTE, QUANTITY
from .documents import Block
from .parsed import MAX_CELLS, MAX_TABLE_CHARS, Unreadable

_LONG_NOTE = 15
"""Characters from which the only cell of a table's last row is a note and not a name."""
_LONGEST_TITLE = 40
_MOST_HEADER_ROWS = 3
_MOST_GROUPS = 100
"""Groups of columns beyond which a sheet is a form or a drawing and not tables side by side."""
MAX_STORED_CELLS = 5_000_000
"""Most cells of a workbook, empty ones included, which only take time."""
MAX_AREA = 2_000_000
"""Most cells of a sheet's tables, empty ones included."""
_PROSE_END = tuple("。！？；：.!?;:")


@dataclass(slots=True)
class Budget:
    """What the tables of one file may still hold."""

    cells: int = MAX_CELLS
    stored: int = MAX_STORED_CELLS
    chars: int = MAX_TABLE_CHARS

    def take(self, text: str, times: int = 1) -> None:
        self.cells -= times
        self.chars -= times * len(text)
        if self.cells < 0 or self.chars < 0:
            raise Unreadable(
                f"the file holds more than {MAX_CELLS:,} cells or {MAX_TABLE_CHARS:,} characters "
                "that would be read; split it"
            )

    def pass_over(self) -> None:
        self.stored -= 1
        if self.stored < 0:
            raise Unreadable(
                f"the file holds more than {MAX_STORED_CELLS:,} cells, most of them empty; "
                "copy what is filled to a new file"
            )


class Cell(NamedTuple):
    """One cell with text in it."""

    text: str
    kind: str = ""
    """Of a number or date what kind it is, such as its format; empty for words."""
    merged: int = 0
    """Number of the merged range that it is part of; 0 for none."""


_FIGURE = re.compile(
    r"[-+]?(?:[¥$€£]|CNY|RMB)?\s*\d{1,3}(?:,\d{3})*(?:\.\d+)?\s*(?P<unit>[%％‰])?"
    r"|[-+]?\d+(?:\.\d+)?\s*(?P<plain_unit>[%％‰])?"
    r"|(?P<date>\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[ T]\d{1,2}:\d{2}(?::\d{2})?)?)"
)


def guessed_cell(words: str) -> Cell:
    """A cell of a table without stored values, where figures are known by how they are written."""
    figure = _FIGURE.fullmatch(words)
    if not figure:
        return Cell(words)
    return Cell(words, "date" if figure["date"] else figure["unit"] or figure["plain_unit"] or "0")


def begins_with_values(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a table holds values like the second, and so names no columns.

    Blank rows, and titles merged over the whole width, are no rows of it.
    """
    titled = itertools.dropwhile(lambda row: len(set(row)) == 1, filter(any, rows))
    lines = [
        (at, tuple(guessed_cell(text.strip()) if text.strip() else None for text in row))
        for at, row in enumerate(itertools.islice(titled, 2))
    ]
    return len(lines) == 2 and _is_row(lines)


Grid = Mapping[int, Mapping[int, Cell]]
"""Row number -> column number -> cell, without hidden rows and columns, empty cells left out."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Rows or columns that are left out, in order: what lies beside them on both sides adjoins."""

    numbers: Sequence[int] = ()

    def blank_between(self, before: int, after: int) -> int:
        """How many rows or columns between two numbers are blank and not hidden."""
        concealed = bisect_left(self.numbers, after) - bisect_left(self.numbers, before + 1)
        return after - before - 1 - concealed


_Line = tuple[int, tuple[Cell | None, ...]]
"""Row number and its cells, one for each column of the table."""


def sheet_blocks(
    name: str, grid: Grid, rows: Hidden | None = None, columns: Hidden | None = None
) -> list[Block]:
    """Headings, paragraphs and tables of a sheet in reading order.

    name: heading of the sheet; empty where it has none.
    """
    rows, columns = rows or Hidden(), columns or Hidden()
    blocks: list[Block] = []
    heading = [Block("heading", name, level=2)] if name else []
    blocks += heading
    titled = False
    for lines, group_of in _regions(grid, rows, columns):
        found = _region_blocks(lines, group_of)
        if blocks == heading and len(found) == 1 and _is_title(found[0].text):
            # A lone line above everything else is the title of the whole sheet.
            blocks.append(Block("heading", found[0].text, level=3))
            continue
        own_title = found[0].kind == "heading"
        if titled and not own_title:
            # What follows a titled table does not belong under its title.
            blocks += heading or [Block("heading", "", level=2)]
        titled = own_title
        blocks += found
    return blocks


# Where tables lie


def _regions(grid: Grid, rows: Hidden, columns: Hidden) -> Iterator[tuple[list[_Line], list[int]]]:
    """The parts of a sheet that blank rows and columns set apart, each as lines of cells.

    With each of them, for every column the number of blank columns before it.
    """
    area = 0
    for band in _bands(grid, sorted(grid), rows):
        groups = _side_by_side(grid, band, columns)
        group_at = {column: number for number, group in enumerate(groups) for column in group}
        kept: list[dict[int, None]] = [{} for _ in groups]
        for row in band:
            for column in grid[row]:
                kept[group_at[column]][row] = None
        for number, held in enumerate(kept):
            for part in _bands(grid, list(held), rows, set(groups[number])):
                used = sorted({x for row in part for x in grid[row] if group_at[x] == number})
                area += len(part) * len(used)
                if area > MAX_AREA:
                    raise Unreadable(
                        f"its tables have more than {MAX_AREA:,} cells, most of them empty; "
                        "split the file"
                    )
                blank = [columns.blank_between(a, b) > 0 for a, b in itertools.pairwise(used)]
                group_of = list(itertools.accumulate(blank, initial=0))
                yield [(row, tuple(grid[row].get(x) for x in used)) for row in part], group_of


def _bands(
    grid: Grid, numbers: Sequence[int], hidden: Hidden, inside: set[int] | None = None
) -> list[list[int]]:
    """Runs of rows without a blank one between them; a header stays with what is below it."""
    bands: list[list[int]] = []
    for row in numbers:
        blank = hidden.blank_between(bands[-1][-1], row) if bands else 2
        if not blank or (blank == 1 and _heads(grid, bands[-1], row, inside)):
            bands[-1].append(row)
        else:
            bands.append([row])
    return bands


def _heads(grid: Grid, band: Sequence[int], row: int, inside: set[int] | None) -> bool:
    """Whether a band is nothing but headers of the figures that begin below a blank row."""

    def cells(at: int) -> dict[int, Cell]:
        return {x: cell for x, cell in grid[at].items() if inside is None or x in inside}

    last, first = cells(band[-1]), cells(row)
    if len({cell.text for cell in last.values()}) < 2 or len(band) > _MOST_HEADER_ROWS + 3:
        return False
    if any(cell.kind for at in band for cell in cells(at).values()):
        return False
    named = set(last).union(*(cells(at) for at in band))
    return any(cell.kind for cell in first.values()) and set(first) <= named


def _side_by_side(grid: Grid, band: Sequence[int], hidden: Hidden) -> list[list[int]]:
    """The columns of a band, in groups where tables stand side by side."""
    used = sorted({column for row in band for column in grid[row]})
    groups: list[list[int]] = []
    for column in used:
        if groups and not hidden.blank_between(groups[-1][-1], column):
            groups[-1].append(column)
        else:
            groups.append([column])
    if len(groups) > _MOST_GROUPS:
        return [used]
    joined = groups[:1]
    for group in groups[1:]:
        wide = hidden.blank_between(joined[-1][-1], group[0]) > 1
        if _stands_apart(grid, band, joined[-1], group, wide=wide):
            joined.append(group)
        else:
            joined[-1] += group
    return joined


def _stands_apart(
    grid: Grid, band: Sequence[int], left: Sequence[int], right: Sequence[int], *, wide: bool
) -> bool:
    """Whether columns beyond a blank one are a table of their own."""
    if len(right) < 2:
        return False

    def first(group: Sequence[int]) -> tuple[int, list[Cell]]:
        row = next(row for row in band if any(x in grid[row] for x in group))
        return row, [grid[row][x] for x in group if x in grid[row]]

    top, names = first(right)
    if wide or [cell.text for cell in names] == [cell.text for cell in first(left)[1]]:
        return True
    beside = [grid[top][x] for x in left if x in grid[top]]
    begins_beside_figures = any(cell.kind for cell in beside)
    return begins_beside_figures and not any(cell.kind for cell in names) and len(names) > 1


# What stands where in one table


def _region_blocks(lines: list[_Line], group_of: Sequence[int]) -> list[Block]:
    if len(lines[0][1]) == 1:
        return [Block("paragraph", cell.text) for _, (cell,) in lines if cell]
    blocks: list[Block] = []
    while len(lines) > 1 and (words := _only_cell(lines[0], lines[1])):
        first = not blocks and _is_title(words)
        blocks.append(Block("heading", words, level=3) if first else Block("paragraph", words))
        del lines[0]
    notes: list[Block] = []
    while len(lines) > 1 and (words := _note(lines[-1])):
        notes.insert(0, Block("paragraph", words))
        del lines[-1]
    if len(lines) == 1 and (words := _only_cell(lines[0], None)):
        notes.insert(0, Block("paragraph", words))
        lines = []
    if blocks and blocks[0].kind == "heading" and not lines:
        blocks[0] = Block("paragraph", blocks[0].text)
    if lines:
        blocks += _table(lines, group_of)
    return blocks + notes


def _is_title(words: str) -> bool:
    return 0 < len(words) <= _LONGEST_TITLE and not words.endswith(_PROSE_END)


def _filled(line: _Line) -> list[Cell]:
    return [cell for cell in line[1] if cell]


def _only_cell(line: _Line, following: _Line | None) -> str:
    """The text of a line that holds one cell, maybe merged sideways; empty for any other line."""
    filled = _filled(line)
    first = filled[0]
    same = all(cell.merged and cell.merged == first.merged for cell in filled[1:])
    if first.kind or not same:
        return ""
    goes_down = (
        first.merged and following and first.merged in {c.merged for c in _filled(following)}
    )
    return "" if goes_down else first.text


def _note(line: _Line) -> str:
    """The text of a line below a table that is a note on it; empty for a row of the table."""
    words = _only_cell(line, None)
    if not words or line[1][0] is None:
        return ""
    wide = len(_filled(line)) > 1
    return words if wide or len(words) > _LONG_NOTE or NOTE.match(words) else ""


def _table(lines: list[_Line], group_of: Sequence[int]) -> list[Block]:
    blocks: list[Block] = []
    if len(lines) > 2 and (caption := _caption_over_all(lines)):
        blocks.append(Block("paragraph", caption))
        first, second = lines[0], lines[1]
        lead = first[1][0] if second[1][0] is None else second[1][0]
        lines = [(second[0], (lead, *second[1][1:])), *lines[2:]]
    count = _header_rows(lines)
    heads = [list(cells) for _, cells in lines[:count]]
    for upper, lower in itertools.pairwise(heads):
        _spread(upper, lower, group_of)
    width = len(lines[0][1])
    header = tuple(
        " ".join(dict.fromkeys(cell.text for row in heads if (cell := row[x])))
        for x in range(width)
    )
    body = [tuple(cell.text if cell else "" for cell in cells) for _, cells in lines[count:]]
    if not body:
        header, body, count = ("",) * width, [header], 0
    numbers = (lines[count - 1][0] if count else 0, *(row for row, _ in lines[count:]))
    return [*blocks, Block("table", rows=(header, *body), row_numbers=numbers)]


def _header_rows(lines: Sequence[_Line]) -> int:
    """How many of the first lines name the columns; 0 where the first is a row like the others."""
    if len(lines) < 2:
        return 1
    count = 1
    while count < min(_MOST_HEADER_ROWS, len(lines) - 1) and _groups(lines[count - 1 :]):
        count += 1
    return 0 if count == 1 and _is_row(lines) else count


def _groups(lines: Sequence[_Line]) -> bool:
    """Whether the first line names groups of the columns that the second one names."""
    first, second = lines[0][1], lines[1][1]
    if any(cell and cell.kind for cell in second) or sum(map(bool, second)) < 2:
        return False
    merged = [x for x, cell in enumerate(first) if cell and _is_merged_aside(first, x)]
    if merged:
        under = {cell.text for x in merged if (cell := second[x])}
        others = [x for x in range(len(first)) if x not in merged]
        # What stands below a plain name is a row's name, unless that name reaches down to it.
        free = all(second[x] is None or _same(first[x], second[x]) for x in others)
        return free and len(under) > 1 and not any(_same(first[x], second[x]) for x in merged)
    return (
        _is_sparse(first, second)
        and len(lines) > 2
        and any(cell and cell.kind for cell in lines[2][1])
    )


def _is_merged_aside(cells: Sequence[Cell | None], x: int) -> bool:
    here = cells[x]
    beside = [cells[y] for y in (x - 1, x + 1) if 0 <= y < len(cells)]
    return any(here and cell and here.merged and here.merged == cell.merged for cell in beside)


def _same(a: Cell | None, b: Cell | None) -> bool:
    return bool(a and b and a.merged and a.merged == b.merged)


def _is_sparse(first: Sequence[Cell | None], second: Sequence[Cell | None]) -> bool:
    """Whether two lines without figures complete each other, the second one being the fuller."""
    if any(cell and cell.kind for cell in first):
        return False
    complete = all(a or b for a, b in zip(first, second, strict=True))
    lead_once = (first[0] is None) != (second[0] is None)
    return (
        complete and lead_once and None in first and sum(map(bool, first)) <= sum(map(bool, second))
    )


def _caption_over_all(lines: Sequence[_Line]) -> str:
    """What a line above the names of the columns says of them all, such as unit and period."""
    first, second = lines[0][1], lines[1][1]
    aside = [cell for cell in first[1:] if cell]
    if len(aside) != 1 or any(cell.merged for cell in aside) or len(first) < 4:
        return ""
    if not _is_sparse(first, second) or not any(cell and cell.kind for cell in lines[2][1]):
        return ""
    if any(cell and cell.kind for cell in second):
        return ""
    return " ".join(cell.text for cell in first if cell)


def _spread(
    upper: list[Cell | None], lower: Sequence[Cell | None], group_of: Sequence[int]
) -> None:
    """Give columns without a group's name, where none is merged, the one nearest to them.

    A name stands over the first, the middle or the last column of its group, and blank columns
    part the groups.
    """
    named = [x for x, cell in enumerate(upper) if cell and x]
    if any(cell and cell.merged for cell in upper) or not named:
        return
    for x in range(1, len(upper)):
        if upper[x] is None and lower[x] is not None:
            nearest = min(named, key=lambda at: (group_of[at] != group_of[x], abs(at - x)))
            upper[x] = upper[nearest]


def _is_row(lines: Sequence[_Line]) -> bool:
    """Whether the first line of a table holds values like the lines below it."""
    first, second = lines[0][1], lines[1][1]
    if len(first) == 2 and first[0] and first[1]:
        # A name and its value, line by line.
        value = first[1]
        if value.kind and not first[0].kind:
            return not _is_count(value.text)
        if not value.kind:
            return bool(QUANTITY.search(value.text)) or len(value.text) > _LONG_NOTE
    figures = {x: cell for x, cell in enumerate(first) if cell and cell.kind}
    if not figures:
        return False
    counts = [cell.text for cell in figures.values()]
    if all(map(_is_count, counts)) and len(counts) > 1:
        ordered = all(int(a) < int(b) for a, b in itertools.pairwise(counts))
        years = all(1900 <= int(text) <= 2100 for text in counts)
        # Years or terms in their order are names of columns, if a word leads them.
        if (ordered or years) and first[0] and not first[0].kind:
            return False
    below = ((cell, second[x]) for x, cell in figures.items())
    alike = sum(1 for cell, under in below if under and under.kind == cell.kind)
    return 2 * alike > len(figures)


def _is_count(text: str) -> bool:
    return bool(re.fullmatch(r"\d{1,4}", text))
