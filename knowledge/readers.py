"""Reads files into documents: one door for every format and everything that is wrong."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from .chunk import ENUMERATOR, count_articles, is_law_title, is_official
from .dating import fill, find, official
from .documents import DATE_FIELDS, KINDS, Audience, Block, Document, Head
from .parsed import END, MAX_BYTES, Parsed, Unreadable, decode, join
from .read_docx import read_docx
from .read_html import html_blocks, read_html
from .read_pdf import read_pdf
from .read_picture import PICTURES, read_picture
from .read_sheets import read_csv, read_xlsx
from .sheet_tables import MAX_AREA
from .text import clean

__all__ = [
    "MANIFEST",
    "MAX_BYTES",
    "READERS",
    "Unreadable",
    "own_head",
    "read",
    "read_manifest",
    "unread",
]

LEAST_ARTICLES = 5
"""Articles from which a document with a law's title is taken as a regulation."""
MANIFEST = "manifest.jsonl"


def read(path: Path, source: str, head: Head | None = None) -> Document:
    """Read one file.

    source: the file's name relative to the ingested path, with forward slashes.
    head: what a manifest or an option says; it wins over what the file says of itself, and a
    field left at its default counts as not said.
    Raises Unreadable, and nothing else, whatever the file holds.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Unreadable(f"{source}: {unread(path.suffix)}")
    try:
        size = path.stat().st_size
        if size == 0:
            raise Unreadable("the file is empty")
        if size > MAX_BYTES:
            raise Unreadable(
                f"the file has {size / 2**20:.1f} MB, more than the {MAX_BYTES // 2**20} MB that "
                "are read; split it"
            )
        data = path.read_bytes()
        parsed = reader(data)
        blocks = [block for block in map(_clean_block, parsed.blocks) if block]
        if not blocks:
            raise Unreadable("the file holds no text")
        warnings = list(parsed.warnings)
        given = head or Head()
        full = given.or_else(parsed.head)
        titles = (block.text for block in blocks if block.kind == "heading" and block.level <= 1)
        title = " ".join(next(titles, path.stem).split())
        full = replace(full, title=full.title or title)
        full, found = fill(full, parsed.found)
        if not parsed.described and _is_unnamed_law(given, full, blocks):
            warnings.append("taken as a regulation by title and articles; a manifest can say else")
            full = replace(full, kind="regulation")
        full, more = fill(full, find(blocks, full.title))
        _check_dates(full)
    except Unreadable as reason:
        raise Unreadable(f"{source}: {reason}") from reason.__cause__
    except OSError as fault:
        raise Unreadable(f"{source}: the file cannot be opened: {fault.strerror}") from fault
    except Exception as fault:
        # The libraries behind the readers raise dozens of types on damaged files, some of them
        # bare IndexError or AssertionError. One bad file must not end the ingestion of the rest.
        raise Unreadable(
            f"{source}: the file is damaged or is not a {path.suffix.lower()} file "
            f"({type(fault).__name__}); save it anew and try again"
        ) from fault
    digest = sha256(data).hexdigest()
    return Document(source, digest, full, tuple(blocks), tuple(warnings), (*found, *more))


def read_manifest(folder: Path, warnings: list[str] | None = None) -> dict[str, Head]:
    """Heads by file name from the folder's `manifest.jsonl`; empty where there is none.

    warnings: receives what was mended, such as an unknown kind.
    Raises Unreadable naming the line that is wrong.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    heads: dict[str, Head] = {}
    text = decode(path.read_bytes(), [], jsonl=True)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{MANIFEST} line {number}"
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as fault:
            raise Unreadable(f"{where}: not valid JSON ({fault})") from fault
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            raise Unreadable(f'{where}: expected an object with a "file" name')
        file = entry.pop("file").replace("\\", "/").removeprefix("./")
        if file in heads:
            raise Unreadable(f"{where}: {file!r} is named twice")
        found: list[str] = []
        try:
            heads[file] = _head_of(entry, found)
            _check_dates(heads[file])
        except Unreadable as reason:
            raise Unreadable(f"{where}: {file}: {reason}") from reason
        if warnings is not None:
            warnings.extend(f"{where}: {file}: {warning}" for warning in found)
    return heads


# Heads


def own_head(path: Path) -> frozenset[str] | None:
    """Names of the fields that a file's own head gives; None for a file without a head.

    Raises Unreadable.
    """
    if READERS.get(path.suffix.lower()) is not _markdown:
        return None
    text = decode(path.read_bytes(), [])
    return frozenset(_toml_head(text.lstrip())[0]) if _begins_with_head(text) else None


_KEYS = frozenset(f.name for f in fields(Head))


def _head_of(entry: Mapping[str, Any], warnings: list[str]) -> Head:
    """A head from the keys of a manifest line or a TOML head."""
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _KEYS:
            warnings.append(f"the key {key!r} is not known and is left out")
        elif value is None or value == "":
            continue
        elif key in DATE_FIELDS:
            values[key] = _day(key, value)
        elif key == "digest":
            if not isinstance(value, bool):
                raise Unreadable(f"digest is {value!r}, expected true or false")
            values[key] = value
        elif not isinstance(value, str | int | float):
            raise Unreadable(f"{key} is {value!r}, expected text")
        else:
            values[key] = clean(str(value)).strip()
    if values.get("kind", "policy") not in KINDS:
        warnings.append(f"the kind {values['kind']!r} is not known and is taken as policy")
        values["kind"] = "policy"
    if values.get("audience", "borrower") not in get_args(Audience):
        # The narrower circle: what is meant for no known reader is not shown to borrowers.
        warnings.append(f"the audience {values['audience']!r} is not known and is taken as agent")
        values["audience"] = "agent"
    return Head(**values)


def _day(key: str, value: object) -> date:
    try:
        # A TOML date-time is a date too; only its day counts.
        return date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise Unreadable(f"{key} is {value!r}, expected a date such as 2026-01-31") from None


def _check_dates(head: Head) -> None:
    if head.ends_too_early():
        raise Unreadable(
            f"effective_to {head.effective_to} lies before effective_from {head.effective_from}"
        )


def _is_unnamed_law(given: Head, full: Head, blocks: Sequence[Block]) -> bool:
    """Whether a file nobody described is a law of the state, by its title and articles.

    Lenders give their own rules the same titles and articles, so most titles count only beside a
    date in force or a document number.
    """
    undescribed = replace(given, effective_from=None, effective_to=None) == Head()
    if not undescribed or full.kind != "policy" or count_articles(blocks) < LEAST_ARTICLES:
        return False
    opening = "\n".join(block.text for block in blocks[:6])
    official = full.effective_from is not None or is_official(opening)
    return is_law_title(full.title, official=official)


def _clean_block(block: Block) -> Block | None:
    if block.kind == "table":
        rows = [tuple(clean(cell).strip() for cell in row) for row in block.rows]
        width = max(map(len, rows), default=0)
        if len(rows) * width > MAX_AREA:
            raise Unreadable(f"a table has more than {MAX_AREA:,} cells; split the file")
        rows = [row + ("",) * (width - len(row)) for row in rows]
        return replace(block, rows=tuple(rows)) if any(map(any, rows)) else None
    text = clean(block.text).strip()
    return replace(block, text=text) if text else None


# Markdown and plain text


def _width(text: str) -> int:
    """Columns a line takes where Chinese characters take two."""
    return sum(2 if ord(char) > 0x2E7F else 1 for char in text)


_FULL_LINE = 48
"""Columns from which a line without an end mark was wrapped by an editor."""
_LONGEST_PARAGRAPH = 5000
"""Characters beyond which lines without end marks are no prose but data."""


def _unwrap(lines: Iterable[str]) -> list[str]:
    """Paragraphs of adjacent lines; only a full line that lacks an end mark goes on in the next."""
    paragraphs: list[str] = []
    open_line = False
    for raw in lines:
        line = raw.strip()
        if paragraphs and open_line and not ENUMERATOR.match(line):
            paragraphs[-1] = join(paragraphs[-1], line)
        else:
            paragraphs.append(line)
        open_line = (
            not line.endswith(END)
            and _width(line) >= _FULL_LINE
            and len(paragraphs[-1]) < _LONGEST_PARAGRAPH
        )
    return paragraphs


def _text(data: bytes) -> Parsed:
    warnings: list[str] = []
    head, found, text = official(decode(data, warnings))
    return Parsed(_text_blocks(text, markup=False), warnings, head, found=found)


def _markdown(data: bytes) -> Parsed:
    warnings: list[str] = []
    text = decode(data, warnings)
    described = _begins_with_head(text)
    own = Head()
    if described:
        entry, text = _toml_head(text.lstrip())
        own = _head_of(entry, warnings)
    head, found, text = official(text)
    return Parsed(_text_blocks(text, markup=True), warnings, own.or_else(head), described, found)


def _begins_with_head(text: str) -> bool:
    return text.lstrip().startswith("+++\n")


def _toml_head(text: str) -> tuple[dict[str, Any], str]:
    """The entries of the head that a text begins with, and what follows it."""
    end = re.compile(r"^\+\+\+[ \t]*$", re.MULTILINE).search(text, 4)
    if not end:
        raise Unreadable("the TOML head opened by +++ in line 1 is not closed by another +++")
    try:
        entry = tomllib.loads(text[4 : end.start()])
    except tomllib.TOMLDecodeError as fault:
        what = str(fault).partition(" (at ")[0]
        if line := re.search(r"at line (\d+)", str(fault)):
            number = int(line[1]) + 1
            raise Unreadable(f"the TOML head is broken in line {number}: {what}") from fault
        raise Unreadable(f"the TOML head is broken: {what}") from fault
    return entry, text[end.end() :]


_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t](.*))?")
_ITEM = re.compile(r"(?P<indent>[ \t]*)(?P<mark>[-*+]|\d{1,9}[.)])[ \t]+(?P<text>\S.*)")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def _text_blocks(text: str, *, markup: bool) -> list[Block]:
    """Blocks of Markdown; of plain text, where headings, items and tables are marked the same way.

    markup: also take out comments and inline marks, which plain text does not have.
    """
    plain = _inline if markup else str
    if markup:
        # Only up to the last end of a comment: searching for one that is not there is slow.
        commented, mark, rest = text.rpartition("-->")
        text = _COMMENT.sub("", commented + mark) + rest
    lines = text.expandtabs(4).split("\n")
    blocks: list[Block] = []
    held: list[str] = []

    def flush() -> None:
        blocks.extend(Block("paragraph", plain(paragraph)) for paragraph in _unwrap(held))
        held.clear()

    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if markup:
            line = re.sub(r"^(?: {0,3}> ?)+", "", line)
        following = lines[at] if at < len(lines) else ""
        if not line.strip():
            flush()
        elif heading := _HEADING.fullmatch(line):
            flush()
            words = (heading[2] or "").strip()
            closed = words.rstrip("#")
            name = closed if closed.endswith((" ", "\t")) or not closed else words
            blocks.append(Block("heading", plain(name.strip()), level=len(heading[1])))
        elif markup and (fence := _FENCE.match(line)):
            flush()
            while at < len(lines) and not lines[at].lstrip().startswith(fence[1]):
                blocks.append(Block("paragraph", lines[at]))
                at += 1
            at += 1
        elif markup and line.lstrip().lower().startswith("<table"):
            flush()
            end = next(
                (i for i in range(at - 1, len(lines)) if "</table>" in lines[i].lower()), at - 1
            )
            blocks.extend(html_blocks("\n".join(lines[at - 1 : end + 1])))
            at = end + 1
        elif "|" in line and "-" in following and _TABLE_RULE.fullmatch(following):
            flush()
            rows = [_cells(line)]
            at += 1
            while at < len(lines) and "|" in lines[at] and lines[at].strip():
                rows.append(_cells(lines[at]))
                at += 1
            cells = tuple(tuple(plain(cell).replace("\n", " ") for cell in row) for row in rows)
            blocks.append(Block("table", rows=cells))
        elif len(held) == 1 and _UNDERLINE.fullmatch(line) and not held[0].endswith(END):
            level = 1 if "=" in line else 2
            blocks.append(Block("heading", plain(held.pop()), level=level))
        elif _RULE.fullmatch(line):
            flush()
        elif item := _ITEM.fullmatch(line):
            flush()
            mark = "" if item["mark"] in "-*+" else f"{item['mark']} "
            held_item = [item["text"]]
            inner = len(item["indent"]) + 2
            while at < len(lines) and lines[at].startswith(" " * inner) and lines[at].strip():
                if _ITEM.fullmatch(lines[at]) or _FENCE.match(lines[at]):
                    break
                held_item.append(lines[at])
                at += 1
            body = "\n".join(_unwrap(held_item))
            blocks.append(Block("item", plain(mark + body), level=len(item["indent"]) // 2))
        else:
            held.append(line)
            if markup and line.endswith(("  ", "\\")):
                held[-1] = line.rstrip(" \\")
                flush()
    flush()
    return blocks


def _cells(line: str) -> list[str]:
    row = line.strip().removeprefix("|")
    if row.endswith("|") and not row.endswith("\\|"):
        row = row[:-1]
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)]


# Marks count only where Markdown would render them: `138****1234` and `3*4*5` stay as they are.
# The limits keep a text of nothing but opening marks from taking hours.
_INLINE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<br\s*/?>", re.I), "\n"),
    (re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,2000}(?:\s+\"[^\"]{0,300}\")?\)"), r"\1"),
    (re.compile(r"(?<!\*)\*\*(?=[^\s*])([^\n]{1,300}?)(?<=[^\s*])\*\*(?!\*)"), r"\1"),
    (re.compile(r"(?<![\w_])__(?=[^\s_])([^\n]{1,300}?)(?<=[^\s_])__(?![\w_])"), r"\1"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,300})(?<=[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_])_(?=[^\s_])([^_\n]{1,300})(?<=[^\s_])_(?![\w_])"), r"\1"),
    (re.compile(r"(?<!`)`([^`\n]{1,300})`(?!`)"), r"\1"),
    (re.compile(r"~~(?=\S)([^~\n]{1,300})~~"), r"\1"),
    (re.compile(r"</?(?:b|i|u|em|strong|sup|sub|span|font|mark)(?:\s[^<>]{0,300})?>", re.I), ""),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)


def _inline(text: str) -> str:
    """Markdown text without its inline marks."""
    for mark, kept in _INLINE:
        text = mark.sub(kept, text)
    return text


READERS: Mapping[str, Callable[[bytes], Parsed]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".html": read_html,
    ".htm": read_html,
    ".docx": read_docx,
    ".xlsx": read_xlsx,
    ".xlsm": read_xlsx,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".pdf": read_pdf,
    **dict.fromkeys(PICTURES, read_picture),
}
_SAVED_AS: Mapping[str, str] = {
    **dict.fromkeys((".doc", ".rtf", ".odt", ".wps"), ".docx"),
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".et"), ".xlsx"),
    **dict.fromkeys((".ppt", ".pptx", ".mht", ".xps"), ".pdf"),
}
"""What a program that opens a file of another format can save it as."""


def unread(suffix: str) -> str:
    """Why a file of this suffix, which READERS lacks, is not read."""
    if other := _SAVED_AS.get(suffix.lower()):
        return f"files of type {suffix!r} are not read; save it as {other} and try again"
    return f"files of type {suffix!r} are not read, only {', '.join(READERS)}"
