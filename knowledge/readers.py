"""Reads files into documents: one function per format, one door for everything that is wrong."""

from __future__ import annotations

import itertools
import json
import logging
import re
import tomllib
import unicodedata
import zipfile
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date
from hashlib import sha256
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

from .chunk import (
    ENUMERATOR,
    PAGE_NUMBER,
    QUANTITY,
    count_articles,
    date_in_force,
    is_law_title,
    is_official,
    latest_date,
    numeral_of,
)
from .documents import KINDS, Audience, Block, Document, Head

MAX_BYTES = 50 * 1024 * 1024
"""Largest file that is read."""
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
"""Largest DOCX once unpacked; a small file that unpacks to more is an attack or a mistake."""
MAX_PAGES = 2000
"""Longest PDF that is read."""
MAX_RULES = 5000
"""Drawn lines on a PDF page beyond which it is a drawing and tables are not looked for."""
LEAST_ARTICLES = 5
"""Articles from which a document with a law's title is taken as a regulation."""
MANIFEST = "manifest.jsonl"


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
    dated_by: str = ""
    """How the date in force was inferred, for the person who ingests; empty where it is stated."""


def read(path: Path, source: str, head: Head | None = None) -> Document:
    """Read one file.

    source: the file's name relative to the ingested path, with forward slashes.
    head: what a manifest or an option says; it wins over what the file says of itself, and a
    field left at its default counts as not said.
    Raises Unreadable, and nothing else, whatever the file holds.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Unreadable(f"{source}: files of type {path.suffix!r} are not read, only {_SUFFIXES}")
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
        full = _fill(given, parsed.head)
        titles = (block.text for block in blocks if block.kind == "heading" and block.level <= 1)
        title = " ".join(next(titles, path.stem).split())
        full = replace(full, title=full.title or title)
        if not parsed.described and _is_unnamed_law(given, full, blocks):
            warnings.append("taken as a regulation by title and articles; a manifest can say else")
            full = replace(full, kind="regulation")
        if full.kind == "regulation" and full.effective_from is None:
            start = date_in_force("\n".join(block.text for block in blocks))
            full = replace(full, effective_from=start)
        if parsed.dated_by and given.effective_from is None:
            warnings.append(parsed.dated_by)
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
    return Document(source, sha256(data).hexdigest(), full, tuple(blocks), tuple(warnings))


def read_manifest(folder: Path, warnings: list[str] | None = None) -> dict[str, Head]:
    """Heads by file name from the folder's `manifest.jsonl`; empty where there is none.

    warnings: receives what was mended, such as an unknown kind.
    Raises Unreadable naming the line that is wrong.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    heads: dict[str, Head] = {}
    text = _decode(path.read_bytes(), [])
    for number, line in enumerate(text.splitlines(), 1):
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


_DATES = ("effective_from", "effective_to", "reviewed")
_DEFAULTS = {f.name: f.default for f in fields(Head) if f.default is not MISSING}


def _head_of(entry: Mapping[str, Any], warnings: list[str]) -> Head:
    """A head from the keys of a manifest line or a TOML head."""
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _DEFAULTS:
            warnings.append(f"the key {key!r} is not known and is left out")
        elif value is None or value == "":
            continue
        elif key in _DATES:
            values[key] = _day(key, value)
        elif key == "digest":
            if not isinstance(value, bool):
                raise Unreadable(f"digest is {value!r}, expected true or false")
            values[key] = value
        elif not isinstance(value, str | int | float):
            raise Unreadable(f"{key} is {value!r}, expected text")
        else:
            values[key] = _clean(str(value)).strip()
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
    start, end = head.effective_from, head.effective_to
    if start and end and end < start:
        raise Unreadable(f"effective_to {end} lies before effective_from {start}")


def _fill(head: Head, other: Head) -> Head:
    """`head` with the fields it leaves at their default taken from `other`."""
    empty = {
        name: getattr(other, name)
        for name, default in _DEFAULTS.items()
        if getattr(head, name) == default
    }
    return replace(head, **empty)


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


# Text


_CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Characters that print nothing; left in, they hide words from search and from readers."""
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"


def _clean(text: str) -> str:
    return _CONTROLS.sub("", _BREAKS.sub("\n", text))


def _clean_block(block: Block) -> Block | None:
    if block.kind == "table":
        rows = [tuple(_clean(cell).strip() for cell in row) for row in block.rows]
        width = max(map(len, rows), default=0)
        rows = [row + ("",) * (width - len(row)) for row in rows]
        return replace(block, rows=tuple(rows)) if any(map(any, rows)) else None
    text = _clean(block.text).strip()
    return replace(block, text=text) if text else None


def _decode(data: bytes, warnings: list[str]) -> str:
    """Text of a file in UTF-8, UTF-16 with its mark, GB18030 or Big5; raises Unreadable."""
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
    if sum(map(len, _CONTROLS.findall(text))) > max(16, len(text) // 20):
        raise Unreadable("the file holds binary data, not text; check its type")
    if not _clean(text).strip():
        raise Unreadable("the file holds nothing but blank space")
    return _clean(text)


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


def _join(before: str, after: str) -> str:
    """Two lines of one paragraph as one: no space between Chinese characters."""
    if not before or not after:
        return before + after
    close = re.match(f"[{_CJK}\u2014\u2026\u201c\u201d]", before[-1]) or re.match(
        f"[{_CJK}\u2014\u2026\u201c\u201d]", after[0]
    )
    return f"{before}{after}" if close else f"{before} {after}"


def _width(text: str) -> int:
    """Columns a line takes where Chinese characters take two."""
    return sum(2 if ord(char) > 0x2E7F else 1 for char in text)


_END = tuple("。！？；：.!?;:”』」）)】")
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
            paragraphs[-1] = _join(paragraphs[-1], line)
        else:
            paragraphs.append(line)
        open_line = (
            not line.endswith(_END)
            and _width(line) >= _FULL_LINE
            and len(paragraphs[-1]) < _LONGEST_PARAGRAPH
        )
    return paragraphs


# Markdown and plain text


_CURRENT_TEXT = re.compile(r"current text\D*(\d{4}-\d\d-\d\d)")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _official_header(text: str) -> tuple[Head, str]:
    """The `TITLE: ...` lines above a row of dashes as a head, and the text below them."""
    header, rule, body = text.lstrip().partition("\n-----")
    if not header.startswith("TITLE:") or not rule or header.count("\n") > 30:
        return Head(), text
    lines = dict(line.split(":", 1) for line in header.splitlines() if ":" in line)
    effective = lines.get("EFFECTIVE", "")
    # Of an amended law the text is in force from its amendment, not from the law's first day.
    days = _CURRENT_TEXT.findall(effective) or _ISO_DATE.findall(effective)
    start = date.fromisoformat(days[0]) if days else None
    head = Head(
        title=lines.get("TITLE", "").strip(),
        kind="regulation",
        effective_from=start,
        document_no=lines.get("DOCUMENT NO", "").strip(),
        issuer=lines.get("ISSUER", "").strip(),
    )
    return head, body.lstrip("-")


_INFO_END = re.compile(r"^[ \t]*<!-- INFO END -->[ \t]*$", re.MULTILINE)


def _law_info(text: str) -> tuple[date | None, str, str]:
    """Date in force of an official law in Markdown, how it was inferred, and the law itself.

    The lines above the mark, which give the law's history, are left out of the text.
    """
    mark = _INFO_END.search(text)
    if not mark:
        return None, "", text
    info, body = text[: mark.start()].splitlines(), text[mark.end() :]
    titles = [line for line in info if line.startswith("#")]
    history = "\n".join(line for line in info if not line.startswith("#"))
    start = date_in_force(history) or date_in_force(body)
    passed = latest_date(history)
    text = "\n".join(titles) + "\n" + body
    if passed and (start is None or start < passed):
        # An amended law keeps its first day in its last article; the amended text cannot be older
        # than its amendment.
        return (
            passed,
            f"the day the amended text came into force is not stated; {passed}, the day it was "
            "passed, is taken: give effective_from in a manifest",
            text,
        )
    return start, "", text


def _official(text: str) -> tuple[Head, str, str]:
    """What an official text says of itself, how its date was inferred, and the text below."""
    head, text = _official_header(text)
    start, dated_by, text = _law_info(text)
    if head.effective_from is not None:
        return head, "", text
    return replace(head, effective_from=start), dated_by, text


def _text(data: bytes) -> Parsed:
    warnings: list[str] = []
    head, dated_by, text = _official(_decode(data, warnings))
    return Parsed(_text_blocks(text, markup=False), warnings, head, dated_by=dated_by)


def _markdown(data: bytes) -> Parsed:
    warnings: list[str] = []
    text = _decode(data, warnings)
    described = text.lstrip().startswith("+++\n")
    own = Head()
    if described:
        own, text = _toml_head(text.lstrip(), warnings)
    head, dated_by, text = _official(text)
    if own.effective_from is not None:
        dated_by = ""
    return Parsed(_text_blocks(text, markup=True), warnings, _fill(own, head), described, dated_by)


def _toml_head(text: str, warnings: list[str]) -> tuple[Head, str]:
    end = re.compile(r"^\+\+\+[ \t]*$", re.MULTILINE).search(text, 4)
    if not end:
        raise Unreadable("the TOML head opened by +++ in line 1 is not closed by another +++")
    try:
        entry = tomllib.loads(text[4 : end.start()])
    except tomllib.TOMLDecodeError as fault:
        line = re.search(r"at line (\d+)", str(fault))
        at = f" in line {int(line[1]) + 1}" if line else ""
        what = str(fault).partition(" (at ")[0]
        raise Unreadable(f"the TOML head is broken{at}: {what}") from fault
    return _head_of(entry, warnings), text[end.end() :]


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
            blocks.extend(_html_blocks("\n".join(lines[at - 1 : end + 1])))
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
        elif len(held) == 1 and _UNDERLINE.fullmatch(line) and not held[0].endswith(_END):
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


# HTML


_DROPPED = frozenset(
    re.findall(
        r"\w+",
        "script style nav footer header aside noscript template svg iframe object select button "
        "textarea title",
    )
)
_LINES = frozenset(
    re.findall(
        r"\w+",
        "html body div p section article main ul ol dl dt dd li blockquote pre address figure "
        "figcaption details summary form fieldset legend hr center h1 h2 h3 h4 h5 h6",
    )
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_MAX_SPAN = 100


def _html(data: bytes) -> Parsed:
    warnings: list[str] = []
    text = _decode(data, warnings)
    blocks = _html_blocks(text)
    if not any(block.kind == "heading" and block.level == 1 for block in blocks):
        title = re.search(r"<title[^<>]*>([^<]*)</title>", text, re.I)
        if title and title[1].strip() and blocks:
            blocks.insert(0, Block("heading", " ".join(unescape(title[1]).split()), level=1))
    return Parsed(blocks, warnings)


def _html_blocks(text: str) -> list[Block]:
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    root = html.document_fromstring(text.encode(), parser=parser)
    blocks: list[Block] = []
    held: list[str] = []
    lists: list[int | None] = []
    """Next number of each open list; None where it is not numbered."""
    kind: tuple[str, int] = ("paragraph", 0)

    def flush() -> None:
        nonlocal kind
        for line in _visible("".join(held)).split("\n"):
            if line.strip():
                blocks.append(Block(kind[0], line.strip(), level=kind[1]))  # type: ignore[arg-type]
                if kind[0] == "item":
                    kind = ("paragraph", 0)
        held.clear()

    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            if tag in _DROPPED or _is_hidden(element):
                walker.skip_subtree()
                continue
            if tag in _LINES:
                flush()
            if tag == "table":
                flush()
                blocks.extend(_html_table(element))
                walker.skip_subtree()
                continue
            if tag == "br":
                held.append("\v")
            elif tag in ("ul", "ol"):
                start = element.get("start", "1")
                first = int(start) if start.isdecimal() and len(start) < 6 else 1
                lists.append(first if tag == "ol" else None)
            elif tag == "li":
                kind = ("item", max(len(lists) - 1, 0))
                if lists and (number := lists[-1]) is not None:
                    held.append(f"{number}. ")
                    lists[-1] = number + 1
            elif re.fullmatch("h[1-6]", tag):
                kind = ("heading", int(tag[1]))
            held.append(element.text or "")
        else:
            if tag in _LINES and tag not in _DROPPED:
                flush()
                kind = ("paragraph", 0)
            if tag in ("ul", "ol") and lists:
                lists.pop()
            held.append(element.tail or "")
    flush()
    return blocks


def _is_hidden(element: Any) -> bool:
    return "hidden" in element.attrib or bool(_HIDDEN.search(element.get("style", "")))


def _visible(text: str) -> str:
    """Text as a browser shows it: runs of space are one, `\\v` is a line break."""
    text = re.sub(rf"(?<=[{_CJK}])[ \t]*\r?\n\s*(?=[{_CJK}])", "", text)
    return re.sub(r"[ \t\r\n\f\xa0]+", " ", text).replace("\v", "\n")


def _html_table(table: Any) -> list[Block]:
    """A table with merged cells repeated; one laid out in a single column becomes paragraphs."""
    blocks = [
        Block("paragraph", " ".join(_cell_text(caption).split()))
        for caption in table.iterfind("caption")
    ]
    cells: dict[tuple[int, int], str] = {}
    headers: dict[int, list[bool]] = {}
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
    for y, row in enumerate(rows):
        x = 0
        for cell in row.iterchildren("td", "th"):
            if _is_hidden(cell):
                continue
            while (y, x) in cells:
                x += 1
            text = _cell_text(cell)
            down, right = _span(cell, "rowspan"), _span(cell, "colspan")
            for dy in range(min(down, len(rows) - y)):
                for dx in range(right):
                    cells[y + dy, x + dx] = text
                    if cell.tag == "th":
                        headers.setdefault(y + dy, []).append(dx == x == 0)
            x += right
    width = 1 + max((x for _, x in cells), default=-1)
    grid = [[cells.get((y, x), "") for x in range(width)] for y in range(len(rows))]
    in_head = [
        headers.get(y, []).count(False) > 0 or next(row.iterancestors("thead"), None) is not None
        for y, row in enumerate(rows)
    ]
    head_rows = next((y for y, inside in enumerate(in_head) if not inside), len(rows))
    named_rows = bool(headers) and not head_rows and all(headers.get(y) for y in range(len(rows)))
    return blocks + _table_blocks(grid, head_rows, named_rows=named_rows)


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1").strip()
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() and len(value) < 6 else 1


def _cell_text(cell: Any) -> str:
    held: list[str] = [cell.text or ""]
    for child in cell:
        if isinstance(child.tag, str) and child.tag not in _DROPPED and not _is_hidden(child):
            gap = " " if child.tag in _LINES or child.tag in ("br", "tr", "td", "th") else ""
            held += [gap, _cell_text(child), gap]
        held.append(child.tail or "")
    return _visible("".join(held)).strip()


def _table_blocks(
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
    used = [x for x in range(len(rows[0])) if any(row[x].strip() for row in rows)]
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


# DOCX


_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PART = "word/{}.xml"


def _docx(data: bytes) -> Parsed:
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Unreadable("the file is protected by a password; save a copy without one")
        raise Unreadable("the file is in the format of Word 97-2003; save it as .docx")
    with zipfile.ZipFile(BytesIO(data)) as package:
        entries = package.infolist()
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES or len(entries) > 10_000:
            raise Unreadable(
                f"the file unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB; "
                "split it or take its pictures out"
            )
        if any(entry.flag_bits & 1 for entry in entries):
            raise Unreadable("the file is protected by a password; save a copy without one")
        sizes = {entry.filename: entry.file_size for entry in entries}
        parts = {
            name: _xml(package.read(_PART.format(name)))
            for name in ("document", "styles", "numbering", "footnotes")
            if 0 < sizes.get(_PART.format(name), 0) <= MAX_BYTES
        }
    if "document" not in parts:
        raise Unreadable("the file is not a Word document; check its type")
    return Parsed(_Word(parts).blocks())


def _xml(data: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(data, parser)


@dataclass(frozen=True, slots=True)
class _Style:
    level: int | None
    """Heading level, 1 to 6."""
    numbered: tuple[str, int] | None
    """List id and depth."""


class _Word:
    """The parts of one Word document; counts its lists while it is read in order."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._body = parts["document"].find(f"{_W}body")
        self._notes = {
            note.get(f"{_W}id"): note
            for note in parts.get("footnotes", ())
            if note.get(f"{_W}type") is None
        }
        self._levels: dict[str, dict[int, Any]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._abstract: dict[str, str] = {}
        if "numbering" in parts:
            self._read_numbering(parts["numbering"])
        self._styles = _read_styles(parts["styles"]) if "styles" in parts else {}

    def blocks(self) -> list[Block]:
        blocks: list[Block] = []
        for child in _content(self._body if self._body is not None else ()):
            if child.tag == f"{_W}tbl":
                blocks.extend(self._table(child))
            else:
                blocks.extend(self._paragraph(child))
        return blocks

    def _paragraph(self, paragraph: Any) -> list[Block]:
        text, boxes, notes = _run_text(paragraph)
        style_id = _value(paragraph, "pPr/pStyle")
        style = self._styles.get(style_id or "", _Style(None, None))
        outline = _value(paragraph, "pPr/outlineLvl")
        level = int(outline) + 1 if outline and outline.isdecimal() else style.level
        numbered = style.numbered
        if (direct := _value(paragraph, "pPr/numPr/numId")) is not None:
            numbered = (direct, int(_value(paragraph, "pPr/numPr/ilvl") or 0))
        label = self._label(*numbered) if numbered and text.strip() else None
        blocks: list[Block] = []
        if level is not None and level <= 6 and len(text) <= 120:
            blocks.append(Block("heading", (label or "") + text, level=level))
        elif label is not None and numbered:
            blocks.append(Block("item", label + text, level=numbered[1]))
        else:
            blocks.append(Block("paragraph", (label or "") + text))
        for box in boxes:
            for inner in _content(box):
                if inner.tag == f"{_W}p":
                    blocks.extend(self._paragraph(inner))
                else:
                    blocks.extend(self._table(inner))
        for note in notes:
            if note in self._notes:
                words = "\n".join(_run_text(p)[0] for p in self._notes[note].iter(f"{_W}p"))
                blocks.append(Block("paragraph", words))
        return blocks

    def _table(self, table: Any) -> list[Block]:
        grid: list[list[str]] = []
        head_rows = 0
        for row in table.iter(f"{_W}tr"):
            if next(row.iterancestors(f"{_W}tbl")) is not table:
                continue
            line: list[str] = [""] * int(_value(row, "trPr/gridBefore") or 0)
            for cell in _content(row, f"{_W}tc"):
                merge = cell.find(f"{_W}tcPr/{_W}vMerge")
                text = self._cell_text(cell)
                if merge is not None and merge.get(f"{_W}val", "continue") == "continue" and grid:
                    text = grid[-1][len(line)] if len(line) < len(grid[-1]) else text
                span = int(_value(cell, "tcPr/gridSpan") or 1)
                line += [text] * min(span, _MAX_SPAN)
            if row.find(f"{_W}trPr/{_W}tblHeader") is not None and head_rows == len(grid):
                head_rows += 1
            grid.append(line)
        width = max(map(len, grid), default=0)
        return _table_blocks([line + [""] * (width - len(line)) for line in grid], head_rows or 1)

    def _cell_text(self, cell: Any) -> str:
        lines = [
            block.text
            for paragraph in cell.iter(f"{_W}p")
            for block in self._paragraph(paragraph)
            if block.text.strip()
        ]
        return "\n".join(lines)

    def _read_numbering(self, numbering: Any) -> None:
        for abstract in numbering.iterfind(f"{_W}abstractNum"):
            levels = {
                int(level.get(f"{_W}ilvl", "0")): level for level in abstract.iterfind(f"{_W}lvl")
            }
            self._levels[abstract.get(f"{_W}abstractNumId")] = levels
        for number in numbering.iterfind(f"{_W}num"):
            self._abstract[number.get(f"{_W}numId")] = _value(number, "abstractNumId") or ""

    def _label(self, list_id: str, depth: int) -> str | None:
        """The number Word shows before a list paragraph; empty for bullets, None for no list."""
        abstract = self._abstract.get(list_id, "")
        levels = self._levels.get(abstract, {})
        if depth not in levels:
            return None
        counts = self._counts.setdefault(abstract, {})
        start = int(_value(levels[depth], "start") or 1)
        counts[depth] = counts.get(depth, start - 1) + 1
        for deeper in [d for d in counts if d > depth]:
            del counts[deeper]
        if _value(levels[depth], "numFmt") in ("bullet", "none"):
            return ""

        def shown(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            form = (_value(levels[at], "numFmt") if at in levels else None) or "decimal"
            return _numeral(counts.get(at, 1), form)

        label = re.sub(r"%([1-9])", shown, _value(levels[depth], "lvlText") or "")
        gap = "" if label.endswith(("）", ")", "、")) or not label else " "
        return label + gap


def _read_styles(styles: Any) -> dict[str, _Style]:
    elements = {style.get(f"{_W}styleId"): style for style in styles.iterfind(f"{_W}style")}
    found: dict[str, _Style] = {}
    for style_id, style in elements.items():
        level: int | None = None
        numbered: tuple[str, int] | None = None
        seen: set[str] = set()
        current, current_id = style, style_id
        while current is not None and current_id not in seen:
            seen.add(current_id)
            name = (_value(current, "name") or "").lower()
            outline = _value(current, "pPr/outlineLvl")
            if level is None and name == "title":
                level = 1
            elif level is None and (numeral := re.fullmatch(r"heading ([1-6])", name)):
                level = int(numeral[1])
            elif level is None and outline and outline.isdecimal() and int(outline) < 6:
                level = int(outline) + 1
            if numbered is None and (list_id := _value(current, "pPr/numPr/numId")):
                numbered = (list_id, int(_value(current, "pPr/numPr/ilvl") or 0))
            current_id = _value(current, "basedOn") or ""
            current = elements.get(current_id)
        found[style_id] = _Style(level, numbered)
    return found


def _value(element: Any, path: str) -> str | None:
    found = element.find("/".join(_W + step for step in path.split("/")))
    value = None if found is None else found.get(f"{_W}val")
    return value if isinstance(value, str) else None


def _content(parent: Any, *tags: str) -> Iterable[Any]:
    """Paragraphs and tables (or `tags`) of a container, also inside controls and insertions."""
    wanted = tags or (f"{_W}p", f"{_W}tbl")
    for child in parent:
        if child.tag in wanted:
            yield child
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            yield from _content(child, *tags)


_SKIPPED = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}rPr", _FALLBACK})
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def _run_text(paragraph: Any) -> tuple[str, list[Any], list[str]]:
    """Text of a paragraph as printed, the text boxes anchored in it, and its footnotes' ids.

    Deleted and hidden text is left out: nobody who reads the document sees it.
    """
    held: list[str] = []
    boxes: list[Any] = []
    notes: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        tag = element.tag
        if not isinstance(tag, str) or tag in _SKIPPED:
            continue
        if tag == f"{_W}txbxContent":
            boxes.append(element)
            continue
        if tag == f"{_W}r" and element.find(f"{_W}rPr/{_W}vanish") is not None:
            continue
        if tag == f"{_W}t":
            held.append(element.text or "")
        elif tag == f"{_W}footnoteReference":
            notes.append(element.get(f"{_W}id", ""))
        elif tag.startswith(_W):
            held.append(_SIGNS.get(tag.removeprefix(_W), ""))
        stack.extend(reversed(element))
    return "".join(held), boxes, notes


_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


def _roman(number: int) -> str:
    written = ""
    for value, sign in _ROMAN:
        count, number = divmod(number, value)
        written += sign * count
    return written


def _letter(number: int) -> str:
    return chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)


_NUMERALS: dict[str, Callable[[int], str]] = {
    "lowerRoman": _roman,
    "upperRoman": lambda number: _roman(number).upper(),
    "lowerLetter": _letter,
    "upperLetter": lambda number: _letter(number).upper(),
    "decimalEnclosedCircle": lambda n: chr(0x2460 + n - 1) if 1 <= n <= 20 else str(n),
    "decimalZero": lambda number: f"{number:02d}",
    **dict.fromkeys(
        ("chineseCounting", "chineseCountingThousand", "japaneseCounting", "ideographDigital",
         "taiwaneseCounting", "taiwaneseCountingThousand"),
        numeral_of,
    ),
}  # fmt: skip


def _numeral(number: int, form: str) -> str:
    return _NUMERALS.get(form, str)(number)


# PDF


@dataclass(slots=True)
class _Line:
    text: str
    page: int
    x0: float
    x1: float
    top: float
    bottom: float
    size: float
    bold: bool
    margin: bool
    """In the top or bottom strip of the page, where running headers and page numbers stand."""
    left: float = 0.0
    right: float = 0.0
    leading: float = 0.0
    """Left edge, right edge and usual distance of lines of its page."""


def _pdf(data: bytes) -> Parsed:
    import pdfplumber
    from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import PdfminerException

    # Its notes on fonts and colours say nothing a person could act on.
    logging.getLogger("pdfminer").setLevel(logging.CRITICAL)
    try:
        pdf = pdfplumber.open(BytesIO(data))
    except PdfminerException as fault:
        if fault.args and isinstance(fault.args[0], PDFPasswordIncorrect | PDFEncryptionError):
            raise Unreadable(
                "the file is protected by a password; save a copy without one"
            ) from fault
        raise
    warnings: list[str] = []
    stream: list[_Line | Block] = []
    pictures: list[int] = []
    with pdf:
        if len(pdf.pages) > MAX_PAGES:
            raise Unreadable(
                f"the file has {len(pdf.pages)} pages, more than the {MAX_PAGES} that are read; "
                "split it"
            )
        for number, page in enumerate(pdf.pages, 1):
            if _is_picture(page):
                pictures.append(number)
                continue
            found = _page(pdf, page, number, warnings)
            stream.extend(found)
            page.close()
    if not stream:
        if pictures:
            raise Unreadable(
                "the file holds images only and no text, and text recognition (OCR) is not "
                "installed; use the original document"
            )
        raise Unreadable("the file holds no text")
    if pictures:
        named = ", ".join(map(str, pictures[:10])) + (", ..." if len(pictures) > 10 else "")
        warnings.append(f"pages that hold images only were not read: {named}")
    text = "".join(item.text for item in stream if isinstance(item, _Line))
    if text.count("(cid:") * 40 > len(text):
        raise Unreadable(
            "the file's fonts do not say which characters they show, so its text cannot be read; "
            "use the original document"
        )
    return Parsed(_pdf_blocks(_without_running_lines(stream)), warnings)


_HAIR = 0.08
"""Share of a character's size within which one printed again is the same; `l` is 0.22 wide."""
_NEAR = (-1, 0, 1)


def _is_picture(page: Any) -> bool:
    """Whether a page is a scan: a picture of at least half its size, hardly any characters."""
    covered = sum(abs(image["width"] * image["height"]) for image in page.images)
    return len(page.chars) < 20 and bool(covered >= page.width * page.height / 2)


def _page(pdf: Any, page: Any, number: int, warnings: list[str]) -> list[_Line | Block]:
    """Lines and tables of one page from top to bottom."""
    page = _upright(pdf, page)
    tables: list[tuple[float, Block]] = []
    boxes: list[tuple[float, float, float, float]] = []
    if len(page.edges) > MAX_RULES:
        warnings.append(f"page {number} is a drawing; its tables, if any, are read as text")
    elif page.edges:
        for table in page.find_tables():
            if found := _pdf_table(page, table, number):
                tables.extend((table.bbox[1], block) for block in found)
                boxes.append(table.bbox)

    printed: set[tuple[str, int, int]] = set()

    def counts(item: Any) -> bool:
        """Whether a character stands outside the tables and is not printed over its like."""
        if item.get("object_type") != "char":
            return True
        x, y = (item["x0"] + item["x1"]) / 2, (item["top"] + item["bottom"]) / 2
        if any(x0 <= x <= x1 and top <= y <= end for x0, top, x1, end in boxes):
            return False
        # A character printed twice, a hair apart, is how some programs make bold.
        hair = max(item["size"], 1.0) * _HAIR
        at = (int(x / hair), int(y / hair))
        if any((item["text"], at[0] + i, at[1] + j) in printed for i in _NEAR for j in _NEAR):
            return False
        printed.add((item["text"], *at))
        return True

    lines: list[_Line] = []
    rest = page.filter(counts)
    for line in rest.extract_text_lines(x_tolerance_ratio=0.25, y_tolerance=3):
        chars = [char for char in line["chars"] if char["text"].strip()]
        if not chars:
            continue
        size = Counter(round(char["size"] * 2) / 2 for char in chars).most_common(1)[0][0]
        bold = all(re.search("bold|black|heavy", char["fontname"], re.I) for char in chars)
        middle = (line["top"] + line["bottom"]) / 2 - page.bbox[1]
        strip = not page.height * 0.1 < middle < page.height * 0.9
        box = (line["x0"], line["x1"], line["top"], line["bottom"])
        lines.append(_Line(_radicals(line["text"]), number, *box, size, bold, strip))
    lefts = sorted(line.x0 for line in lines)
    rights = sorted(line.x1 for line in lines)
    gaps = sorted(b.top - a.top for a, b in itertools.pairwise(lines) if b.top > a.top)
    for line in lines:
        line.left, line.right = lefts[len(lefts) // 10], rights[-1 - len(rights) // 20]
        line.leading = gaps[len(gaps) // 2] if gaps else line.size * 2
    placed: list[tuple[float, _Line | Block]] = [(line.top, line) for line in lines]
    return [item for _, item in sorted([*placed, *tables], key=lambda place: place[0])]


def _upright(pdf: Any, page: Any) -> Any:
    """The page, turned if most of its text is set sideways."""
    from pdfplumber.page import Page

    sideways = [char["matrix"][1] for char in page.chars if not char["upright"]]
    if len(sideways) * 2 <= len(page.chars):
        return page
    turn = 90 if sum(1 for slope in sideways if slope > 0) * 2 > len(sideways) else 270
    page.page_obj.rotate = (page.page_obj.rotate + turn) % 360
    return Page(pdf, page.page_obj, page_number=page.page_number, initial_doctop=0)


def _radicals(text: str) -> str:
    """Text with Kangxi radicals as the ideographs they print as: some fonts mix them up."""
    return "".join(
        unicodedata.normalize("NFKC", char) if "\u2f00" <= char <= "\u2fd5" else char
        for char in text
    )


def _pdf_table(page: Any, table: Any, number: int) -> list[Block]:
    """A ruled table with merged cells repeated; nothing where the rules do not hold its text."""
    edges_x = sorted({round(x, 1) for cell in table.cells for x in (cell[0], cell[2])})
    edges_y = sorted({round(y, 1) for cell in table.cells for y in (cell[1], cell[3])})
    edges_x, edges_y = _apart(edges_x), _apart(edges_y)
    if len(edges_x) < 3 or len(edges_y) < 2 or len(edges_x) * len(edges_y) > 20_000:
        return []
    texts: dict[Any, str] = {}
    for row, cells in zip(table.rows, table.extract(x_tolerance_ratio=0.25), strict=True):
        for box, text in zip(row.cells, cells, strict=True):
            if box is not None:
                texts[box] = _radicals(_one_line(text or ""))
    kept = sum(len("".join(text.split())) for text in texts.values())
    held = sum(1 for char in page.crop(table.bbox, strict=False).chars if char["text"].strip())
    if not kept or kept < 0.9 * held:
        return []
    columns = [(left + right) / 2 for left, right in itertools.pairwise(edges_x)]
    lines = [(top + bottom) / 2 for top, bottom in itertools.pairwise(edges_y)]
    grid = [[""] * len(columns) for _ in lines]
    for (x0, top, x1, bottom), text in texts.items():
        for y in range(bisect(lines, top), bisect(lines, bottom)):
            for x in range(bisect(columns, x0), bisect(columns, x1)):
                grid[y][x] = text
    return _table_blocks(grid, page=number)


def _apart(edges: list[float]) -> list[float]:
    """Edges without those that are the same rule drawn twice."""
    kept: list[float] = []
    for edge in edges:
        if not kept or edge - kept[-1] > 2:
            kept.append(edge)
    return kept


def _one_line(text: str) -> str:
    joined = ""
    for line in text.split("\n"):
        joined = _join(joined, line.strip())
    return joined


def _without_running_lines(stream: list[_Line | Block]) -> list[_Line | Block]:
    """The stream without page numbers and the lines repeated at the edge of most pages."""
    pages = {item.page for item in stream}

    def shape(line: _Line) -> str:
        return re.sub(r"\d+", "#", "".join(line.text.split()))

    seen = Counter(
        key
        for key in {
            (shape(item), item.page) for item in stream if isinstance(item, _Line) and item.margin
        }
    )
    repeated = Counter(text for text, _ in seen)
    least = max(2, (len(pages) + 1) // 2)
    return [
        item
        for item in stream
        if not (
            isinstance(item, _Line)
            and item.margin
            and (repeated[shape(item)] >= least or PAGE_NUMBER.fullmatch(item.text))
        )
    ]


def _pdf_blocks(stream: list[_Line | Block]) -> list[Block]:
    """Lines joined into paragraphs and headings; a table that runs over pages joined into one."""
    sizes: Counter[float] = Counter()
    for item in stream:
        if isinstance(item, _Line):
            sizes[item.size] += len(item.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted((size for size in sizes if size >= body * 1.12), reverse=True)
    levels = {size: min(level, 6) for level, size in enumerate(larger, 1)}
    blocks: list[Block] = []
    last: _Line | None = None
    for item in stream:
        if isinstance(item, Block):
            before = blocks[-1] if blocks else None
            if before is not None and _continues_table(before, item):
                rows = item.rows[1:] if item.rows[0] == before.rows[0] else item.rows
                blocks[-1] = replace(before, rows=before.rows + rows)
                # The page of the newest part, so that the next page may go on.
                blocks[-1] = replace(blocks[-1], page=item.page)
            else:
                blocks.append(item)
            last = None
            continue
        level = levels.get(item.size) if len(item.text) <= 80 else None
        short = len(item.text) <= 30 and not item.text.endswith(_END)
        if level is None and item.bold and short:
            level = min(len(larger) + 1, 6)
        if last is not None and level == _level_of(blocks[-1]) and _goes_on(last, item, level):
            blocks[-1] = replace(blocks[-1], text=_join(blocks[-1].text, item.text))
        elif level is not None:
            blocks.append(Block("heading", item.text, level=level, page=item.page))
        else:
            blocks.append(Block("paragraph", item.text, page=item.page))
        last = item
    return blocks


def _level_of(block: Block) -> int | None:
    return block.level if block.kind == "heading" else None


def _continues_table(before: Block, table: Block) -> bool:
    return (
        before.kind == "table"
        and before.page is not None
        and table.page == before.page + 1
        and len(before.rows[0]) == len(table.rows[0])
    )


def _goes_on(line: _Line, following: _Line, level: int | None) -> bool:
    """Whether a printed line is continued by the next one."""
    near = following.page == line.page and following.top - line.top <= line.leading * 1.4
    if level is not None:
        return near and following.size == line.size and following.bold == line.bold
    ended = line.text.endswith(_END)
    # A long line without an end mark goes on even where its last word was broken off early.
    room = 2.2 * line.size if ended else 0.4 * (line.right - line.left)
    full = line.x1 >= line.right - room
    indented = following.x0 > following.left + 1.2 * following.size
    deeper = following.x0 > line.x0 + 0.8 * line.size
    if not full or (indented and deeper):
        return False
    if ended and (ENUMERATOR.match(following.text) or indented or not near):
        return False
    if following.page == line.page:
        return near
    return following.page == line.page + 1 and not indented


READERS: Mapping[str, Callable[[bytes], Parsed]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".docx": _docx,
    ".pdf": _pdf,
}
_SUFFIXES = ", ".join(READERS)
