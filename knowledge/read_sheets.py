"""Reads workbooks and delimited text as a person sees them: shown values, no hidden cells."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import IO, Any

from .cell_format import BUILT_IN, GENERAL, is_date_format, shown, shown_text
from .documents import Block
from .package import Package, open_package, refuse_entities, refuse_old
from .parsed import MAX_CELLS, MAX_MARKS, Parsed, Unreadable, decode, runs_of
from .sheet_tables import MAX_AREA, Budget, Cell, Hidden, guessed_cell, sheet_blocks

MAX_SHEETS = 200
_LAST_ROW, _LAST_COLUMN = 1_048_576, 16_384
_SWEPT_MARKS = 100_000
"""Tags and attributes after which what was passed over is taken out of a tree."""
_NAMED = 5
"""Most places that one warning names."""
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?([1-9]\d{0,6})")


def read_xlsx(data: bytes) -> Parsed:
    refuse_old(data, "Excel", ".xlsx")
    with open_package(data) as package:
        book = _open_book(package)
        warnings: list[str] = []
        blocks: list[Block] = []
        left_out = [name for name, _, hidden in book.sheets if hidden]
        if left_out:
            warnings.append(f"hidden sheets are left out: {_listed(left_out)}")
        shown_sheets = [(name, part) for name, part, hidden in book.sheets if not hidden]
        if len(shown_sheets) > MAX_SHEETS:
            raise Unreadable(
                f"the file has {len(shown_sheets)} sheets, more than the {MAX_SHEETS} that are "
                "read; split it"
            )
        budget = Budget()
        for name, part in shown_sheets:
            sheet = _read_sheet(package, part, book, budget)
            warnings += sheet.warnings(name)
            if sheet.grid:
                blocks += sheet_blocks(
                    name, sheet.grid, Hidden(sheet.hidden_rows), Hidden(sheet.hidden_columns)
                )
                if sum(len(block.rows) * len(block.rows[0]) for block in blocks if block.rows) > (
                    MAX_AREA
                ):
                    raise Unreadable(
                        f"its tables have more than {MAX_AREA:,} cells, most of them empty; "
                        "split the file"
                    )
    if not blocks:
        raise Unreadable("the file holds no text")
    if len(shown_sheets) == 1:
        blocks = _titled(blocks)
    return Parsed(blocks, warnings)


def _titled(blocks: list[Block]) -> list[Block]:
    """Blocks of an only sheet, whose first title is that of the document."""
    for at, block in enumerate(blocks[:2]):
        if block.kind == "heading" and block.level == 3:
            return [replace(block, level=1), *blocks[:at], *blocks[at + 1 :]]
    return blocks


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(names[:_NAMED])
    return f"{named} and {len(names) - _NAMED} more" if len(names) > _NAMED else named


# Workbooks


@dataclass(frozen=True, slots=True)
class _Book:
    sheets: list[tuple[str, str, bool]]
    """Name, part and whether it is hidden, in the order of the tabs."""
    strings: list[Cell]
    formats: list[str]
    """Format code by the number of a cell's style."""
    from_1904: bool


def _open_book(package: Package) -> _Book:
    main = package.main_part("xl/workbook.xml")
    root = package.xml(main)
    if root is None or _local(root.tag) != "workbook":
        raise Unreadable("the file is not an Excel workbook (.xlsx); check its type")
    parts = package.relations(main)
    sheets: list[tuple[str, str, bool]] = []
    for sheet in root.iterfind("{*}sheets/{*}sheet"):
        key = next((value for name, value in sheet.items() if _local(name) == "id"), "")
        part, kind = parts.get(key, ("", ""))
        if kind == "worksheet":
            hidden = sheet.get("state", "visible") != "visible"
            sheets.append((" ".join(sheet.get("name", "").split()), part, hidden))
    properties = root.find("{*}workbookPr")
    from_1904 = properties is not None and properties.get("date1904") in ("1", "true")
    by_kind = {kind: part for part, kind in parts.values()}
    strings = _shared_strings(package, by_kind.get("sharedStrings", ""))
    formats = _formats(package.xml(by_kind.get("styles", "")))
    return _Book(sheets, strings, formats, from_1904)


def _local(name: object) -> str:
    return str(name).rpartition("}")[2]


def _walk(package: Package, part: str, tags: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Event, name and element for each of the `tags` of a part, which is never held whole."""
    from lxml import etree

    checked = False
    with package.stream(part) as stream:
        counted = _Counted(stream)
        for event, element in etree.iterparse(
            counted,
            events=("start", "end"),
            tag=[f"{{*}}{tag}" for tag in tags],
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
        ):
            if not checked:
                refuse_entities(element)
                checked = True
            yield event, _local(element.tag), element
            if event == "end":
                parent = element.getparent()
                element.clear()
                while parent is not None and element.getprevious() is not None:
                    del parent[0]
                if counted.held > _SWEPT_MARKS:
                    for outer in element.iterancestors():
                        while (before := outer.getprevious()) is not None:
                            outer.getparent().remove(before)
                    counted.held = 0


class _Counted:
    """A part as it is parsed; counts what its tree may hold of elements that nobody asked for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.held = 0
        """Tags and attributes since the tree was last swept."""

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.held += piece.count(b"<") + piece.count(b"=")
        if self.held > MAX_MARKS:
            raise Unreadable(
                f"one part of the file has more than {MAX_MARKS:,} tags and attributes that are no "
                "cells; save it anew"
            )
        return piece


def _shared_strings(package: Package, part: str) -> list[Cell]:
    if part not in package.entries:
        return []
    budget = Budget()
    strings: list[Cell] = []
    for event, _, element in _walk(package, part, ["si"]):
        if event == "end":
            strings.append(Cell(_words(element)))
            budget.take(strings[-1].text)
    return strings


def _words(element: Any) -> str:
    """Text of a shared or inline string, without the readings set above it."""
    return "".join(
        part.text or "" for part in element.iter("{*}t") if _local(part.getparent().tag) != "rPh"
    ).strip()


def _formats(styles: Any) -> list[str]:
    if styles is None:
        return []
    named = dict(BUILT_IN)
    for form in styles.iterfind("{*}numFmts/{*}numFmt"):
        number = int(form.get("numFmtId", "0"))
        # Number 14 is the day in the order of the reader's country, whatever a file calls it.
        if number not in BUILT_IN:
            named[number] = form.get("formatCode", GENERAL)
    return [
        named.get(int(style.get("numFmtId", "0")), GENERAL)
        for style in styles.iterfind("{*}cellXfs/{*}xf")
    ]


@dataclass(slots=True)
class _Sheet:
    grid: dict[int, dict[int, Cell]] = field(default_factory=dict)
    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[int] = field(default_factory=list)
    dropped_rows: set[int] = field(default_factory=set)
    """Hidden rows that hold something."""
    dropped_columns: set[int] = field(default_factory=set)
    uncounted: list[str] = field(default_factory=list)
    """Cells whose formula has no stored result."""
    faulty: list[str] = field(default_factory=list)
    """Cells that show an error such as #REF!."""
    drawings: bool = False

    def warnings(self, name: str) -> list[str]:
        found: list[str] = []
        if self.dropped_rows:
            rows = _listed(_ranges(self.dropped_rows, str))
            found.append(f"sheet {name!r}: hidden rows are left out: {rows}")
        if self.dropped_columns:
            columns = _listed(_ranges(self.dropped_columns, _letters))
            found.append(f"sheet {name!r}: hidden columns are left out: {columns}")
        if self.uncounted:
            found.append(
                f"sheet {name!r}: formulas without a stored result are read as empty "
                f"({_listed(self.uncounted)}); open the file in a spreadsheet program and save it"
            )
        if self.faulty:
            found.append(
                f"sheet {name!r}: cells that show an error are read as empty: "
                f"{_listed(self.faulty)}"
            )
        if self.drawings:
            found.append(f"sheet {name!r}: charts, pictures and text boxes are not read")
        return found


def _ranges(numbers: Iterable[int], label: Callable[[int], str]) -> list[str]:
    runs = runs_of(numbers)
    return [label(a) if a == b else f"{label(a)}-{label(b)}" for a, b in runs]


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


@lru_cache(maxsize=4096)
def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _read_sheet(package: Package, part: str, book: _Book, budget: Budget) -> _Sheet:
    sheet = _Sheet()
    if part not in package.entries:
        return sheet
    sheet.drawings = any(kind == "drawing" for _, kind in package.relations(part).values())
    merges: list[str] = []
    hidden_spans: list[tuple[int, int]] = []
    row_number, column, row_hidden = 0, 0, False
    hidden_rows: set[int] = set()
    for event, tag, element in _walk(package, part, ["row", "c", "mergeCell", "col"]):
        if event == "start":
            if tag == "row":
                row_number = int(element.get("r", row_number + 1))
                column = 0
                if not 0 < row_number <= _LAST_ROW:
                    raise ValueError(f"row {row_number}")
                row_hidden = _is_on(element.get("hidden")) or _is_flat(element.get("ht"))
                if row_hidden:
                    hidden_rows.add(row_number)
            continue
        if tag == "c":
            budget.pass_over()
            place = element.get("r")
            at = _REFERENCE.fullmatch(place) if place else None
            column = _column(at[1]) if at else column + 1
            row = int(at[2]) if at else row_number
            if column > _LAST_COLUMN or not 0 < row <= _LAST_ROW:
                raise ValueError(f"cell {place!r}")
            cell = _cell(element, book, sheet, f"{_letters(column)}{row}")
            if cell and cell.text:
                budget.take(cell.text)
                sheet.grid.setdefault(row, {})[column] = cell
        elif tag == "mergeCell":
            merges.append(element.get("ref", ""))
            if len(merges) > MAX_CELLS:
                raise Unreadable("the file merges more cells than are read; save it anew")
        elif tag == "col" and (_is_on(element.get("hidden")) or _is_flat(element.get("width"))):
            hidden_spans.append((int(element.get("min", 0)), int(element.get("max", 0))))
    _fill_merged(sheet.grid, merges, budget)
    _drop_hidden(sheet, hidden_rows, hidden_spans)
    return sheet


def _is_on(value: str | None) -> bool:
    return value in ("1", "true")


def _is_flat(size: str | None) -> bool:
    return size is not None and float(size) == 0


def _cell(element: Any, book: _Book, sheet: _Sheet, place: str) -> Cell | None:
    """What a stored cell shows; None if it is empty."""
    kind = element.get("t", "n")
    stored: str | None = None
    formula = False
    for child in element:
        name = _local(child.tag)
        if name == "v":
            stored = child.text
        elif name == "f":
            formula = True
        elif name == "is":
            return Cell(_words(child))
    if not stored:
        if formula and kind != "str":
            sheet.uncounted.append(place)
        return None
    style = element.get("s", "0")
    code = book.formats[int(style)] if int(style) < len(book.formats) else GENERAL
    if kind == "s":
        cell = book.strings[int(stored)]
        return cell if code in (GENERAL, "@") else Cell(shown_text(cell.text, code))
    if kind == "str":
        return Cell(shown_text(stored.strip(), code))
    if kind == "e":
        sheet.faulty.append(place)
        return None
    if kind == "b":
        return Cell("TRUE" if stored.strip() == "1" else "FALSE", "truth")
    if kind == "d":
        day, _, time = stored.strip().partition("T")
        return Cell(day if time.startswith("00:00:00") or not time else f"{day} {time[:8]}", "date")
    return _figure(stored.strip(), code, book.from_1904)


@lru_cache(maxsize=1 << 16)
def _figure(stored: str, code: str, from_1904: bool) -> Cell:
    kind = "date" if is_date_format(code) else code
    return Cell(shown(stored, code, from_1904=from_1904), kind)


def _fill_merged(grid: dict[int, dict[int, Cell]], merges: Sequence[str], budget: Budget) -> None:
    """Repeat the text of merged cells over their range, as far as the sheet is filled."""
    last_row = max(grid, default=0)
    last_column = max((column for cells in grid.values() for column in cells), default=0)
    for number, span in enumerate(merges, 1):
        first, _, last = span.partition(":")
        start, end = _REFERENCE.fullmatch(first), _REFERENCE.fullmatch(last or first)
        if not start or not end:
            continue
        top, left = int(start[2]), _column(start[1])
        held = grid.get(top, {}).get(left)
        if held is None:
            continue
        cell = held._replace(merged=number)
        rows = range(top, min(int(end[2]), last_row) + 1)
        columns = range(left, min(_column(end[1]), last_column) + 1)
        budget.take(cell.text, max(len(rows) * len(columns) - 1, 0))
        for row in rows:
            grid.setdefault(row, {}).update(dict.fromkeys(columns, cell))


def _drop_hidden(
    sheet: _Sheet, hidden_rows: set[int], hidden_spans: Sequence[tuple[int, int]]
) -> None:
    used = {column for cells in sheet.grid.values() for column in cells}
    reach = max(used, default=0)
    sheet.hidden_columns = sorted(
        {
            column
            for first, last in hidden_spans[:_LAST_COLUMN]
            for column in range(max(first, 1), min(last, reach) + 1)
        }
    )
    sheet.hidden_rows = sorted(hidden_rows)
    sheet.dropped_rows = hidden_rows & set(sheet.grid)
    sheet.dropped_columns = used & set(sheet.hidden_columns)
    for row in sheet.dropped_rows:
        del sheet.grid[row]
    if sheet.dropped_columns:
        for row, cells in list(sheet.grid.items()):
            kept = {x: cell for x, cell in cells.items() if x not in sheet.dropped_columns}
            if kept:
                sheet.grid[row] = kept
            else:
                del sheet.grid[row]


# Delimited text


_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 200
_MOST_RECORD_LINES = 200
"""Lines of one record beyond which a quotation mark was left open by mistake."""
_DECLARED = re.compile(r"sep=(.)\n", re.I)


def read_csv(data: bytes) -> Parsed:
    """Read delimited text; the delimiter is the one that cuts its lines most evenly."""
    warnings: list[str] = []
    text = decode(data, warnings)
    declared = _DECLARED.match(text)
    delimiter = declared[1] if declared else _delimiter(text)
    budget = Budget()
    grid: dict[int, dict[int, Cell]] = {}
    widths: list[tuple[int, int, int, int]] = []
    for row, (line, fields) in enumerate(_records(text, delimiter, warnings), 1):
        if declared and row == 1:
            continue
        cells: dict[int, Cell] = {}
        for column, value in enumerate(fields, 1):
            if words := value.strip():
                budget.take(words)
                cells[column] = guessed_cell(words)
        if cells:
            grid[row] = cells
            widths.append((row, line, len(fields), max(cells)))
    warnings += _ragged(widths)
    if not grid:
        raise Unreadable("the file holds no text")
    return Parsed(_titled(sheet_blocks("", grid)), warnings)


def _delimiter(text: str) -> str:
    lines = [line for line in text.split("\n", _SNIFFED_ROWS)[:_SNIFFED_ROWS] if line.strip()]
    sample = "\n".join(lines)

    def evenness(delimiter: str) -> tuple[float, int]:
        widths = Counter(len(fields) for _, fields in _records(sample, delimiter, []))
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
        return (count / len(lines), width) if width > 1 else (0.0, 0)

    return max(_DELIMITERS, key=evenness)


def _records(text: str, delimiter: str, warnings: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The records of a text, each with the number of the line it begins in; blank lines too."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line, start = lines[at], at
        at += 1
        if not line.strip():
            yield start + 1, []
        elif '"' not in line:
            yield start + 1, line.split(delimiter)
        else:
            fields, taken = _quoted(lines, start, delimiter)
            if not taken:
                warnings.append(
                    f"line {start + 1}: a quotation mark is opened and not closed; the line is "
                    "read as it stands"
                )
            at = start + max(taken, 1)
            yield start + 1, fields


def _quoted(lines: Sequence[str], start: int, delimiter: str) -> tuple[list[str], int]:
    """Fields of a record with quotation marks and how many lines it takes, 0 if it never ends."""
    held: list[str] = []
    for line in lines[start : start + _MOST_RECORD_LINES]:
        held.append(f"{line}\n")
        if '"' not in line:
            continue
        try:
            return next(csv.reader(held, delimiter=delimiter, strict=True)), len(held)
        except csv.Error as fault:
            if "unexpected end" not in str(fault):
                break
    first = lines[start]
    try:
        strict = next(csv.reader([first], delimiter=delimiter, strict=False))
    except csv.Error:
        strict = first.split(delimiter)
    # Left open, a quotation mark would swallow the rest of the line and all that follow.
    opened = len(held) > 1 or any("\n" in field for field in strict)
    return (first.split(delimiter), 0) if opened else (strict, 1)


def _ragged(widths: Sequence[tuple[int, int, int, int]]) -> list[str]:
    """A warning that names the lines with more or fewer fields than their table has columns.

    widths: row, line, number of fields, last field that is filled, of every row that has any.
    """
    lines: list[str] = []
    bands = itertools.groupby(enumerate(widths), key=lambda item: item[1][0] - item[0])
    for _, group in bands:
        band = [width for _, width in group]
        # Titles above and notes below a table have one field.
        while band and band[0][2] == 1:
            del band[0]
        while band and band[-1][2] == 1:
            del band[-1]
        if not band:
            continue
        usual = Counter(fields for _, _, fields, _ in band).most_common(1)[0][0]
        lines += [
            str(line)
            for _, line, fields, filled in band
            if fields < usual or (fields > usual and filled > usual)
        ]
    if not lines:
        return []
    return [
        f"lines with more or fewer fields than their table has columns: {_listed(lines)}; "
        "check that each value stands under its header"
    ]
