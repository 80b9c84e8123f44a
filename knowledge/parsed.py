"""What every reader returns, what all of them refuse, and the text and tables they share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .chunk import QUANTITY
from .documents import Block, FoundDate, Head
from .text import clean

MAX_BYTES = 50 * 1024 * 1024
"""Largest file that is read."""
MAX_LINES = 1_000_000
"""Most lines of a text file; a file full of empty ones would fill the memory with their blocks."""
MAX_MARKS = 4_000_000
"""Most tags and attributes of what is held as a tree: each takes some hundred bytes."""
MAX_SPAN = 100
"""Most rows or columns that one merged cell is repeated over."""
MAX_CELLS = 500_000
"""Most cells with text of one file's tables, merged ones counted as often as they are repeated."""
MAX_TABLE_CHARS = 20_000_000
"""Most characters of one file's tables: a few bytes may name a long text again and again."""


class Unreadable(Exception):
    """A file cannot be taken in; the message says in one sentence which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reader found in a file's bytes."""

    blocks: list[Block]
    warnings: list[str] = field(default_factory=list)
    head: Head = field(default_factory=Head)
    """What the file itself says about the document."""
    described: bool = False
    """Whether its author described it (a TOML head): nothing but its title is inferred then."""
    found: tuple[FoundDate, ...] = ()
    """Dates read from what stands above the text and is no part of it."""


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of numbers without a gap, in order."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


# Text


_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters that writers of texts do not use; bytes of anything else decode to them."""
CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"


_SEPARATORS = re.compile("[\x85\u2028\u2029]")
"""What breaks a line of text and may stand as it is within a JSON string."""


def decode(data: bytes, warnings: list[str], *, jsonl: bool = False) -> str:
    """Text of a file in UTF-8, UTF-16 with its mark, GB18030 or Big5; raises Unreadable.

    jsonl: whether it has a JSON value a line, so that no other separator breaks one.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = _strictly(data, "utf-16")
    elif (text := _strictly(data, "utf-8-sig")) is None:
        for encoding, common in (("gb18030", _common_simplified), ("big5", _common_traditional)):
            text = _strictly(data, encoding)
            if text is not None and _plausible(text, common):
                warnings.append(f"read as {encoding}; UTF-8 is safer")
                break
            text = None
    if text is None:
        raise Unreadable(
            "the text's encoding is not UTF-8, UTF-16 or GB18030; save it as UTF-8 and try again"
        )
    if sum(map(len, _NO_TEXT.findall(text))) > max(16, len(text) // 20):
        raise Unreadable("the file holds binary data, not text; check its type")
    text = clean(_SEPARATORS.sub(" ", text) if jsonl else text)
    if not text.strip():
        raise Unreadable("the file holds nothing but blank space")
    if text.count("\n") > MAX_LINES:
        raise Unreadable(f"the file has more than {MAX_LINES:,} lines; split it")
    return text


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _common_simplified(char: str) -> bool:
    """Whether a character is among the 3,755 most used ones or the punctuation of GB 2312."""
    code = char.encode("gb18030")
    return len(code) == 2 and 0xA1 <= code[0] <= 0xD7 and code[1] >= 0xA1


def _common_traditional(char: str) -> bool:
    """Whether a character is among the 5,401 most used ones or the punctuation of Big5."""
    code = char.encode("big5", "ignore")
    return len(code) == 2 and 0xA1 <= code[0] <= 0xC6


def _plausible(text: str, common: Callable[[str], bool]) -> bool:
    """Whether text decoded by a guess reads like text: almost any bytes decode as GB18030."""
    wide = [char for char in text if ord(char) > 0x7F]
    return sum(map(common, wide)) >= 0.85 * len(wide)


def join(before: str, after: str) -> str:
    """Two lines of one paragraph as one: no space between Chinese characters."""
    if not before or not after:
        return before + after
    close = re.match(f"[{CJK}\u2014\u2026\u201c\u201d]", before[-1]) or re.match(
        f"[{CJK}\u2014\u2026\u201c\u201d]", after[0]
    )
    return f"{before}{after}" if close else f"{before} {after}"


END = tuple("。！？；：.!?;:”』」）)】")
"""What a finished line of prose ends with."""


# Tables


def table_blocks(
    grid: Sequence[Sequence[str]],
    head_rows: int = 1,
    *,
    named_rows: bool = False,
    page: int | None = None,
) -> list[Block]:
    """A grid of cells as a table block; as paragraphs where it has one column only.

    head_rows: how many rows are headers; several are joined column by column.
    named_rows: the first column names the rows and no row names the columns.
    """
    rows = [list(row) for row in grid if any(cell.strip() for cell in row)]
    head_rows -= sum(1 for row in grid[:head_rows] if not any(cell.strip() for cell in row))
    if not rows:
        return []
    # A column that holds nothing but what is merged into it from the left is none of its own.
    used = [
        x
        for x in range(len(rows[0]))
        if any(row[x].strip() and (not x or row[x] != row[x - 1]) for row in rows)
    ]
    if len(used) == 1:
        return [Block("paragraph", row[used[0]], page=page) for row in rows]
    rows = [[row[x] for x in used] for row in rows]
    blocks: list[Block] = []
    while len(rows) > 2 and len(set(rows[0])) == 1:
        # One cell over the whole width is the table's title, not a header.
        blocks.append(Block("paragraph", rows.pop(0)[0], page=page))
        head_rows -= 1
    if head_rows == 1 and len(rows) > 2 and _is_double_header(rows[0], rows[1]):
        head_rows = 2
    if named_rows or (head_rows <= 1 and _names_rows(rows)):
        rows.insert(0, [""] * len(used))
    elif 1 < head_rows < len(rows):
        joined = [
            " ".join(dict.fromkeys(filter(None, column)))
            for column in zip(*rows[:head_rows], strict=True)
        ]
        rows[:head_rows] = [joined]
    return [*blocks, Block("table", rows=tuple(map(tuple, rows)), page=page)]


def _is_double_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first row's cells are merged to the side, and others down into the second row."""
    aside = any(a and a == b for a, b in itertools.pairwise(first))
    return aside and any(a and a == b for a, b in zip(first, second, strict=True))


def _names_rows(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table of two columns gives a value beside each name, without a header row."""
    if len(rows[0]) != 2:
        return False
    name, value = (cell.strip() for cell in rows[0])
    return bool(name) and (bool(QUANTITY.search(value)) or len(value) > 15)
