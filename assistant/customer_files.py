"""Files of customers, CSV or Parquet, read in batches of bounded size.

A file is read from its beginning to its end in one pass and never held whole. What is wrong with
the file is told at once, what is wrong with a row stands in that row's place.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

BATCH_ROWS = 5000
LONGEST_FIELD = 20_000
"""Characters of one field, and of a row that goes over several lines: a quotation mark that is
never closed would swallow the file. `csv.field_size_limit` holds for the whole process, other
readers' files among it."""
ENCODINGS = ("utf-8", "gb18030")
"""Tried in this order, line by line: files are often put together from several systems."""
_EDGE_BYTES = 1 << 20
_BATCH_BYTES = 64 << 20
"""Of a Parquet file that are decoded together."""

Row = Sequence[str | None] | str
"""Its fields in the order of the columns; a text says why it cannot be read."""


class BadFile(Exception):
    """A file of customers cannot be used; the message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that stand together."""

    number: int
    """From 0."""
    first: int
    """Row of the first, from 1; a header is not counted."""
    rows: tuple[Row, ...]
    done: int
    """How far the file is read, in what `CustomerFile.total` counts."""


@dataclass(slots=True)
class CustomerFile:
    """A file of customers that was opened."""

    path: Path
    columns: tuple[str, ...]
    total: int
    """Bytes of a CSV file, rows of a Parquet file."""
    identity: str
    """Changes with the file: its size, its beginning and its end, hashed."""
    encodings: Counter[str] = field(default_factory=Counter)
    """Lines of a CSV file by the encoding in which they were read, `ascii` apart."""

    def batches(self, skip: int = 0, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """Everything after the first `skip` batches. Raises BadFile."""
        found = _parquet(self, rows) if _is_parquet(self.path) else _csv(self, rows)
        try:
            for batch in found:
                if batch.number >= skip:
                    yield batch
        except OSError as error:
            raise BadFile(f"{self.path}: cannot be read ({error.strerror or error})") from error


def open_customers(
    path: Path, required: Collection[str], optional: Collection[str] = ()
) -> CustomerFile:
    """Look at a file of customers; of a Parquet file no other columns are read. Raises BadFile,
    also for a column that it lacks."""
    try:
        identity = _identity(path)
        opened = _open_parquet(path, identity) if _is_parquet(path) else _open_csv(path, identity)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror or error})") from error
    twice = [name for name, times in Counter(opened.columns).items() if times > 1]
    if twice:
        raise BadFile(f"{path}: the column {twice[0]!r} is there twice")
    missing = [name for name in required if name not in opened.columns]
    if missing:
        found = ", ".join(opened.columns) or "none"
        raise BadFile(f"{path}: lacks the columns {', '.join(missing)}; it has {found}")
    if _is_parquet(path):
        _check_flat(opened, [*required, *optional])
    return opened


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _identity(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        hashed = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size - _EDGE_BYTES)):
            file.seek(start)
            hashed.update(file.read(_EDGE_BYTES))
    return hashed.hexdigest()


# CSV


def _open_csv(path: Path, identity: str) -> CustomerFile:
    opened = CustomerFile(path, (), path.stat().st_size, identity)
    with path.open("rb") as file:
        try:
            header = next(csv.reader(_Lines(file, Counter())), None)
        except csv.Error as error:
            raise BadFile(f"{path}: its first line names no columns ({error})") from error
    if not header:
        raise BadFile(f"{path}: holds nothing")
    if "\x00" in "".join(header):
        raise BadFile(f"{path}: is no CSV file")
    opened.columns = tuple(name.strip().lower() for name in header)
    return opened


class _Lines:
    """Lines of a file as text, each in the encoding that it is in."""

    def __init__(self, file: IO[bytes], encodings: Counter[str]) -> None:
        self._file = file
        self._encodings = encodings
        self._bom = True
        self.bad = ""
        """Why a line since the last row could not be read."""
        self.done = 0
        self._held = 0

    def begin(self) -> None:
        """A row begins with the next line."""
        self.bad, self._held = "", 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        """Raises csv.Error for a row that does not end; the next line begins another."""
        if self._held > LONGEST_FIELD:
            raise csv.Error(f"a row of more than {LONGEST_FIELD} characters")
        line = self._file.readline(LONGEST_FIELD * 4)
        if not line:
            raise StopIteration
        self.done += len(line)
        text = self._text(line)
        self._held += len(text)
        return text

    def _text(self, line: bytes) -> str:
        if self._bom:
            self._bom = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isascii():
            return line.decode("ascii")
        for encoding in ENCODINGS:
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                continue
            self._encodings[encoding] += 1
            return text
        self.bad = f"neither {' nor '.join(ENCODINGS)}"
        return line.decode("utf-8", "replace")


def _csv(opened: CustomerFile, most: int) -> Iterator[Batch]:
    opened.encodings.clear()
    width = len(opened.columns)
    with opened.path.open("rb") as file:
        lines = _Lines(file, opened.encodings)
        reader = csv.reader(lines)
        with suppress(csv.Error, StopIteration):  # looked at when the file was opened
            next(reader)
        rows: list[Row] = []
        number, first = 0, 1
        while True:
            lines.begin()
            try:
                fields = next(reader, None)
            except csv.Error as error:
                rows.append(f"not CSV ({error})")
                fields = []
            else:
                if fields is None:
                    break
                if fields:
                    rows.append(_csv_row(fields, width, lines.bad))
            if len(rows) == most:
                yield Batch(number, first, tuple(rows), lines.done)
                number, first, rows = number + 1, first + len(rows), []
        if rows:
            yield Batch(number, first, tuple(rows), lines.done)


def _csv_row(fields: list[str], width: int, bad: str) -> Row:
    if bad:
        return bad
    if len(fields) != width:
        return f"{len(fields)} fields where the header has {width}"
    if max(map(len, fields)) > LONGEST_FIELD:
        return f"a field of more than {LONGEST_FIELD} characters"
    return fields


# Parquet


def _open_parquet(path: Path, identity: str) -> CustomerFile:
    parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            columns = tuple(name.strip().lower() for name in file.schema_arrow.names)
            return CustomerFile(path, columns, file.metadata.num_rows, identity)
    except _arrow_errors() as error:
        raise BadFile(f"{path}: is no Parquet file that can be read ({error})") from error


def _check_flat(opened: CustomerFile, wanted: Collection[str]) -> None:
    """Keep the columns that are wanted. Raises BadFile for one of them that holds records."""
    import pyarrow

    with _arrow().ParquetFile(opened.path) as file:
        for field in file.schema_arrow:
            kind = field.type
            if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
                kind = kind.value_type
            if field.name.strip().lower() in wanted and pyarrow.types.is_nested(kind):
                raise BadFile(f"{opened.path}: the column {field.name!r} holds records, not values")
    opened.columns = tuple(name for name in opened.columns if name in wanted)


def _parquet(opened: CustomerFile, most: int) -> Iterator[Batch]:
    number, first, kept = 0, 1, list[Row]()
    try:
        names = _names(opened)
        # As they are stored: a text of a megabyte in every row is held once.
        with _arrow().ParquetFile(opened.path, read_dictionary=names) as file:
            at_once = _rows_at_once(file, names, most)
            for batch in file.iter_batches(batch_size=at_once, columns=names):
                # A batch never goes beyond a row group, so that it may be short.
                kept += _rows_of([batch.column(name) for name in names])
                while len(kept) >= most:
                    rows, kept = kept[:most], kept[most:]
                    yield Batch(number, first, tuple(rows), first - 1 + most)
                    number, first = number + 1, first + most
    except _arrow_errors() as error:
        raise BadFile(f"{opened.path}: cannot be read to its end ({error})") from error
    if kept:
        yield Batch(number, first, tuple(kept), first - 1 + len(kept))


def _names(opened: CustomerFile) -> list[str]:
    """The columns that are read, as the file spells them."""
    with _arrow().ParquetFile(opened.path) as file:
        found = {name.strip().lower(): name for name in file.schema_arrow.names}
    return [found[name] for name in opened.columns]


def _rows_at_once(file: Any, names: Collection[str], most: int) -> int:
    """How many rows are decoded together, by the size that the file tells of its widest part."""
    widest = 1
    for place in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(place)
        columns = map(group.column, range(group.num_columns))
        size = sum(
            column.total_uncompressed_size
            for column in columns
            if column.path_in_schema.partition(".")[0] in names
        )
        widest = max(widest, size // max(1, group.num_rows))
    return max(1, min(most, _BATCH_BYTES // widest))


def _rows_of(columns: Sequence[Any]) -> Iterator[Row]:
    """Rows of columns as texts."""
    texts = [_texts(column) for column in columns]
    rows = zip(*texts, strict=True)
    if max((len(text) for column in texts for text in column if text), default=0) <= LONGEST_FIELD:
        yield from rows
        return
    for row in rows:
        too_long = any(len(text) > LONGEST_FIELD for text in row if text)
        yield f"a field of more than {LONGEST_FIELD} characters" if too_long else row


def _texts(column: Any) -> list[str | None]:
    """Values of a column as texts; one that stands in many rows is held once."""
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        return [_text(value) for value in column.to_pylist()]
    known = [_text(value) for value in column.dictionary.to_pylist()]
    return [None if place is None else known[place] for place in column.indices.to_pylist()]


def _text(value: Any) -> str | None:
    """A value as the same value would stand in a CSV file."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return ";".join(text for item in value if (text := _text(item)))
    return str(value)


def write_parquet(
    lines: Path, out: Path, columns: Mapping[str, type], rows: int = 5 * BATCH_ROWS
) -> None:
    """A JSONL file of records as a Parquet file, held in memory a row group at a time.

    columns: key -> str, int or bool. Raises BadFile where Parquet is not installed, OSError.
    """
    parquet = _arrow()
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with lines.open("rb") as file, parquet.ParquetWriter(out, schema) as writer:
        while records := [json.loads(line) for line in islice(file, rows)]:
            writer.write_table(pyarrow.Table.from_pylist(records, schema))


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise BadFile("Parquet files need the extra 'bulk': pip install 'zhunxin[bulk]'") from None
    return pyarrow.parquet


def _arrow_errors() -> tuple[type[Exception], ...]:
    import pyarrow

    return (pyarrow.ArrowException,)
