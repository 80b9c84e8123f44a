"""Reads Word documents as they are printed: numbers, merged cells, notes, no deletions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .chunk import numeral_of, opens_structure, table_lines
from .documents import Block
from .package import open_package, refuse_old
from .parsed import END, MAX_SPAN, Parsed, Unreadable, table_blocks
from .sheet_tables import MAX_AREA, Budget, begins_with_values

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MAX_CHAIN = 50
"""Longest chain of styles, each based on the next, that is followed."""
_LONGEST_HEADING, _LONGEST_TITLE = 60, 40
"""Characters up to which a bold line may stand for a heading, and a centred first one for the
title."""


def read_docx(data: bytes) -> Parsed:
    refuse_old(data, "Word", ".docx")
    with open_package(data) as package:
        main = package.main_part("word/document.xml")
        related = {kind: part for part, kind in package.relations(main).values()}
        parts = {"document": package.xml(main)}
        for name in ("styles", "numbering", "footnotes", "endnotes"):
            # Some programs leave out the list of related parts.
            parts[name] = package.xml(related.get(name, f"word/{name}.xml"))
    root = parts["document"]
    if root is None or root.tag != f"{_W}document":
        raise Unreadable("the file is not a Word document; check its type")
    blocks = _Word({name: part for name, part in parts.items() if part is not None}).blocks()
    return Parsed(blocks)


@dataclass(frozen=True, slots=True)
class _Style:
    level: int | None
    """Heading level, 1 to 6."""
    numbered: tuple[str, int] | None
    """List id and depth."""
    contents: bool = False
    """Whether it is an entry of a table of contents."""
    bold: bool = False
    centred: bool = False


class _Word:
    """The parts of one Word document; counts its lists while it is read in order."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._body = parts["document"].find(f"{_W}body")
        self._notes = {
            (kind, note.get(f"{_W}id")): note
            for kind in ("footnote", "endnote")
            for note in parts.get(f"{kind}s", ())
            if note.get(f"{_W}type") is None
        }
        self._budget = Budget()
        self._levels: dict[str, dict[int, Any]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._abstract: dict[str, str] = {}
        self._restarts: dict[str, dict[int, int]] = {}
        """List id -> depth -> number it begins with, until its first paragraph was read."""
        self._looks: dict[int, tuple[Block, bool, bool]] = {}
        """Id of a block -> itself, whether it is set in bold, and whether it is centred."""
        if "numbering" in parts:
            self._read_numbering(parts["numbering"])
        self._styles = _read_styles(parts["styles"]) if "styles" in parts else {}

    def blocks(self) -> list[Block]:
        blocks = self._blocks_of(self._body if self._body is not None else ())
        return blocks if any(b.kind == "heading" for b in blocks) else self._with_headings(blocks)

    def _with_headings(self, blocks: list[Block]) -> list[Block]:
        """Blocks of a document without heading styles, where bold lines stand for them."""
        first = next((block for block in blocks if block.text.strip()), None)
        found: list[Block] = []
        for block in blocks:
            text = block.text.strip()
            _, bold, centred = self._looks.get(id(block), (block, False, False))
            prose = text.endswith(END) or opens_structure(text) or "\n" in text
            if prose or len(text) > _LONGEST_HEADING:
                found.append(block)
            elif block is first and centred and len(text) <= _LONGEST_TITLE:
                found.append(replace(block, kind="heading", level=1))
            else:
                found.append(replace(block, kind="heading", level=2) if bold else block)
        return found

    def _blocks_of(self, container: Any) -> list[Block]:
        return [
            block
            for child in _content(container)
            for block in (self._table(child) if child.tag == f"{_W}tbl" else self._paragraph(child))
        ]

    def _paragraph(self, paragraph: Any) -> list[Block]:
        style = self._styles.get(_value(paragraph, "pPr/pStyle") or "", _Style(None, None))
        if style.contents:
            return []
        text, boxes, notes, bold = _run_text(paragraph, bold=style.bold)
        outline = _value(paragraph, "pPr/outlineLvl")
        level = int(outline) + 1 if outline and outline.isdecimal() else style.level
        numbered = style.numbered
        if (direct := _value(paragraph, "pPr/numPr/numId")) is not None:
            numbered = (direct, _count(_value(paragraph, "pPr/numPr/ilvl")))
        label = self._label(*numbered) if numbered and text.strip() else None
        blocks: list[Block] = []
        if level is not None and level <= 6 and len(text) <= 120:
            blocks.append(Block("heading", (label or "") + text, level=level))
        elif label is not None and numbered:
            blocks.append(Block("item", label + text, level=numbered[1]))
        else:
            blocks.append(Block("paragraph", (label or "") + text))
            centred = style.centred or _value(paragraph, "pPr/jc") == "center"
            if bold or centred:
                self._looks[id(blocks[0])] = (blocks[0], bold, centred)
        for box in boxes:
            blocks.extend(self._blocks_of(box))
        for note in notes:
            if note in self._notes:
                words = "\n".join(_run_text(p)[0] for p in self._notes[note].iter(f"{_W}p"))
                blocks.append(Block("paragraph", words))
        return blocks

    def _table(self, table: Any) -> list[Block]:
        rows = [
            row
            for row in table.iter(f"{_W}tr")
            if next(row.iterancestors(f"{_W}tbl")) is table
            and row.find(f"{_W}trPr/{_W}del") is None
        ]
        cells = [list(_content(row, f"{_W}tc")) for row in rows]
        if all(len(row) == 1 for row in cells):
            # A box around text, or rows of it: what is inside is read as if there were no rules.
            return [block for row in cells for block in self._blocks_of(row[0])]
        grid: list[list[str]] = []
        head_rows = 0
        for row, row_cells in zip(rows, cells, strict=True):
            line = [""] * min(_count(_value(row, "trPr/gridBefore")), MAX_SPAN)
            for cell in row_cells:
                merge = cell.find(f"{_W}tcPr/{_W}vMerge")
                text = self._cell_text(cell)
                if merge is not None and merge.get(f"{_W}val", "continue") == "continue" and grid:
                    text = grid[-1][len(line)] if len(line) < len(grid[-1]) else text
                span = min(max(_count(_value(cell, "tcPr/gridSpan")), 1), MAX_SPAN)
                self._budget.take(text, span)
                line += [text] * span
            if row.find(f"{_W}trPr/{_W}tblHeader") is not None and head_rows == len(grid):
                head_rows += 1
            grid.append(line)
        width = max(map(len, grid), default=0)
        if len(grid) * width > MAX_AREA:
            raise Unreadable(f"a table has more than {MAX_AREA:,} cells; split the file")
        grid = [line + [""] * (width - len(line)) for line in grid]
        unnamed = not head_rows and begins_with_values(grid)
        return table_blocks(grid, head_rows or 1, named_rows=unnamed)

    def _cell_text(self, cell: Any) -> str:
        lines: list[str] = []
        for block in self._blocks_of(cell):
            lines += table_lines(block) if block.kind == "table" else [block.text]
        return "\n".join(line for line in lines if line.strip())

    def _read_numbering(self, numbering: Any) -> None:
        styled: dict[str, str] = {}
        links: dict[str, str] = {}
        for abstract in numbering.iterfind(f"{_W}abstractNum"):
            number = abstract.get(f"{_W}abstractNumId", "")
            self._levels[number] = {
                _count(level.get(f"{_W}ilvl")): level for level in abstract.iterfind(f"{_W}lvl")
            }
            if name := _value(abstract, "styleLink"):
                styled[name] = number
            if name := _value(abstract, "numStyleLink"):
                links[number] = name
        for number, name in links.items():
            self._levels[number] = self._levels.get(styled.get(name, ""), {})
        for entry in numbering.iterfind(f"{_W}num"):
            list_id = entry.get(f"{_W}numId", "")
            self._abstract[list_id] = _value(entry, "abstractNumId") or ""
            self._restarts[list_id] = {
                _count(override.get(f"{_W}ilvl")): _count(_value(override, "startOverride"))
                for override in entry.iterfind(f"{_W}lvlOverride")
                if _value(override, "startOverride") is not None
            }

    def _label(self, list_id: str, depth: int) -> str | None:
        """The number Word shows before a list paragraph; empty for bullets, None for no list."""
        abstract = self._abstract.get(list_id, "")
        levels = self._levels.get(abstract, {})
        if depth not in levels:
            return None
        counts = self._counts.setdefault(abstract, {})
        start = _count(_value(levels[depth], "start") or "1")
        if (restart := self._restarts.get(list_id, {}).pop(depth, None)) is not None:
            counts[depth] = restart
        else:
            counts[depth] = counts.get(depth, start - 1) + 1
        for deeper in [d for d in counts if d > depth]:
            del counts[deeper]
        if _value(levels[depth], "numFmt") in ("bullet", "none"):
            return ""

        legal = levels[depth].find(f"{_W}isLgl") is not None

        def shown(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            form = (_value(levels[at], "numFmt") if at in levels else None) or "decimal"
            return _numeral(counts.get(at, 1), "decimal" if legal else form)

        label = re.sub(r"%([1-9])", shown, _value(levels[depth], "lvlText") or "")
        gap = "" if label.endswith(("）", ")", "、")) or not label else " "
        return label + gap


def _read_styles(styles: Any) -> dict[str, _Style]:
    elements = {style.get(f"{_W}styleId"): style for style in styles.iterfind(f"{_W}style")}
    found: dict[str, _Style] = {}
    for style_id, style in elements.items():
        level: int | None = None
        numbered: tuple[str, int] | None = None
        bold = centred = contents = False
        chain: list[str] = []
        current, current_id = style, style_id
        while current is not None and current_id not in chain and len(chain) < _MAX_CHAIN:
            chain.append(current_id)
            name = (_value(current, "name") or "").lower()
            outline = _value(current, "pPr/outlineLvl")
            if level is None and name == "title":
                level = 1
            elif level is None and (numeral := re.fullmatch(r"heading ([1-6])", name)):
                level = int(numeral[1])
            elif level is None and outline and outline.isdecimal() and int(outline) < 6:
                level = int(outline) + 1
            if numbered is None and (list_id := _value(current, "pPr/numPr/numId")):
                numbered = (list_id, _count(_value(current, "pPr/numPr/ilvl")))
            contents = contents or bool(re.fullmatch(r"toc (?:\d|heading)", name))
            bold = bold or _is_bold(current)
            centred = centred or _value(current, "pPr/jc") == "center"
            current_id = _value(current, "basedOn") or ""
            current = elements.get(current_id)
        found[style_id] = _Style(level, numbered, contents, bold, centred)
    return found


def _is_bold(run: Any) -> bool:
    mark = run.find(f"{_W}rPr/{_W}b")
    return mark is not None and mark.get(f"{_W}val", "1") not in ("0", "false", "off")


def _count(value: str | None) -> int:
    """A small number as stored; what is none, or is beyond all use, counts as zero."""
    return int(value) if value and value.isdecimal() and len(value) < 7 else 0


def _value(element: Any, path: str) -> str | None:
    found = element.find("/".join(_W + step for step in path.split("/")))
    value = None if found is None else found.get(f"{_W}val")
    return value if isinstance(value, str) else None


_CONTAINERS = frozenset(
    f"{_W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag")
)


def _content(parent: Any, *tags: str) -> Iterable[Any]:
    """Paragraphs and tables (or `tags`) of a container, also inside controls and insertions."""
    wanted = tags or (f"{_W}p", f"{_W}tbl")
    for child in parent:
        if child.tag in wanted:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _content(child, *tags)


_SKIPPED = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}rPr", _FALLBACK})
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


_SYMBOLS = {
    "wingdings": {"A8": "\u2610", "FE": "\u2611", "FD": "\u2612"},
    "wingdings 2": {"A3": "\u2610", "52": "\u2611", "54": "\u2612"},
}
"""Boxes, ticked or not, by font and place in it: contracts mark what was chosen with them."""


def _run_text(
    paragraph: Any, *, bold: bool = False
) -> tuple[str, list[Any], list[tuple[str, str]], bool]:
    """Text of a paragraph as printed, its text boxes, its notes' kinds and ids, and if it is bold.

    Deleted and hidden text is left out: nobody who reads the document sees it.
    """
    held: list[str] = []
    boxes: list[Any] = []
    notes: list[tuple[str, str]] = []
    all_bold = True
    in_bold = bold
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        tag = element.tag
        if not isinstance(tag, str) or tag in _SKIPPED:
            continue
        if tag == f"{_W}txbxContent":
            boxes.append(element)
            continue
        if tag == f"{_W}r":
            if element.find(f"{_W}rPr/{_W}vanish") is not None:
                continue
            in_bold = bold or _is_bold(element)
        if tag == f"{_W}t":
            words = element.text or ""
            held.append(words)
            all_bold = all_bold and (in_bold or not words.strip())
        elif tag in (f"{_W}footnoteReference", f"{_W}endnoteReference"):
            kind = tag.removeprefix(_W).removesuffix("Reference")
            notes.append((kind, element.get(f"{_W}id", "")))
        elif tag == f"{_W}sym":
            place = element.get(f"{_W}char", "")[-2:].upper()
            held.append(_SYMBOLS.get(element.get(f"{_W}font", "").lower(), {}).get(place, ""))
        elif tag.startswith(_W):
            held.append(_SIGNS.get(tag.removeprefix(_W), ""))
        stack.extend(reversed(element))
    text = "".join(held)
    return text, boxes, notes, all_bold and bool(text.strip())


_ROMAN = tuple(
    zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ["m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"],
        strict=True,
    )
)


def _roman(number: int) -> str:
    if number > 3999:
        return str(number)
    written = ""
    for value, sign in _ROMAN:
        count, number = divmod(number, value)
        written += sign * count
    return written


def _letter(number: int) -> str:
    if not 0 < number <= 26 * 30:
        return str(number)
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
