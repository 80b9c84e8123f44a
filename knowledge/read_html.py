"""Reads HTML pages: headings, paragraphs, lists and tables without what surrounds them."""

from __future__ import annotations

import codecs
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import Any

from .chunk import SITE_LINE, opens_structure
from .documents import Block
from .parsed import CJK, END, MAX_MARKS, MAX_SPAN, Parsed, Unreadable, decode, table_blocks
from .sheet_tables import MAX_AREA, Budget, begins_with_values
from .text import clean

MAX_DEPTH = 2048
"""Deepest nesting that the parser follows."""
MAX_ATTRIBUTES = 2000
"""Most attributes of one element; the parser's time grows with the square of their number."""


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_UNSEEN = _names(
    "script style noscript template svg iframe object select button textarea title head"
)
_SURROUNDING = _names("nav footer aside")
_LINES = _names(
    "html body div p section article main ul ol dl dt dd li blockquote pre address figure "
    "figcaption details summary form fieldset legend hr center h1 h2 h3 h4 h5 h6 header table "
    "tbody thead tfoot tr td th caption"
)
_HEADINGS = _names("h1 h2 h3 h4 h5 h6")
_BOXES = _names("div section ul ol dl p table td article form center header menu")
_ROLES = _names(
    "navigation banner contentinfo complementary search dialog alertdialog menu menubar toolbar "
    "tablist"
)
_BESIDE = _names(
    "breadcrumb breadcrumbs crumb crumbs cookie cookies gdpr nav navbar navigation sidebar footer "
    "sitemap skip pagination pager copyright"
)
"""Words of a class or id that name what surrounds the text of a page."""
_MAYBE_BESIDE = _names(
    "menu menus banner toolbar topbar share social related recommend login ad ads advert links "
    "friendlink quicklinks tags"
)
"""Words of a class or id that do so where the element holds links and little else."""
_MOST_BESIDE = 1000
"""Characters beyond which a class or id does not decide that an element is no text."""
_LARGE_SHARE = 0.4
"""Share of a page's text from which an element is the text, whatever its class or id says."""
_LINK_DENSITY = 0.8
"""Share of linked characters from which an element is a list of links."""
_LEAST_LINKS = 3
_LONG_LINK = 25
"""Characters from which a linked text is more than the name of a page."""
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0*)?\s*(?:;|$)"
    r"|font-size\s*:\s*0(?:\.0*)?\s*(?:px|pt|em|rem|%)?\s*(?:;|!|$)"
    r"|(?:left|top|text-indent)\s*:\s*-\d{3,}",
    re.I,
)
_HIDDEN_CLASSES = _names("sr-only visually-hidden screen-reader-text")
_MAIN_SHARE, _ARTICLE_SHARE = 0.3, 0.5
"""Least share of a page's text in the element marked as its main part, and in its only article."""
_MOST_LEVELS = 6
"""Elements around a link that it may be a list with others in."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_LONGEST_SITE_LINE = 120
"""Characters beyond which a line is of the text, however it begins."""
_COLON = "："
_LONG_EXPLANATION = 60
"""Characters beyond which what is said of a term is a section under it."""
_WARN_HIDDEN = 200
"""Hidden characters from which the person who ingests is told of them."""
_BOLD = re.compile(r"font-weight\s*:\s*(?:bold|[6-9]00)", re.I)
_LONGEST_HEADING = 80
"""Characters up to which a bold line may stand for a heading."""


def read_html(data: bytes) -> Parsed:
    warnings: list[str] = []
    text = _decode(data, warnings)
    root = _tree(text)
    _without_unseen(root, warnings)
    blocks = _blocks(_without_surroundings(root), whole=False)
    if not blocks:
        # A page of nothing but links is what its author wanted to show.
        blocks = html_blocks(text)
    if not any(block.kind == "heading" and block.level == 1 for block in blocks):
        title = re.search(r"<title[^<>]*>([^<]*)</title>", text, re.I)
        if title and title[1].strip() and blocks:
            blocks.insert(0, Block("heading", " ".join(unescape(title[1]).split()), level=1))
    return Parsed(blocks, warnings)


def html_blocks(text: str) -> list[Block]:
    """Blocks of a piece of HTML that stands in another text; nothing is dropped but the unseen."""
    root = _tree(text)
    _without_unseen(root, [])
    return _blocks(root, whole=True)


# Characters


_META = re.compile(rb"<meta[^<>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,30})", re.I)
_CHARSETS: Mapping[str, str] = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "x-gbk", "gb_2312-80"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "x-x-big5", "cn-big5"), "big5hkscs"),
    **dict.fromkeys(("iso-8859-1", "windows-1252", "latin1", "us-ascii"), "cp1252"),
    **{name: name for name in ("shift_jis", "euc-jp", "euc-kr")},
}
_MOST_MISPRINTS = 0.002
"""Share of a page that may be no character in its own encoding, as a few bad bytes often are."""


def _decode(data: bytes, warnings: list[str]) -> str:
    """Text of a page: in Unicode if it can be, else as it declares itself, else by a guess."""
    marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    declared = _META.search(data[:4096])
    name = _CHARSETS.get(declared[1].decode("ascii").lower(), "") if declared else ""
    if marked or not name or _is_utf8(data):
        return decode(data, warnings)
    text = data.decode(name, "replace")
    misprints = text.count("\ufffd")
    if misprints > max(3, len(text) * _MOST_MISPRINTS):
        return decode(data, warnings)
    if misprints:
        warnings.append(f"{misprints} characters are damaged in the file and are left out")
    return clean(text.replace("\ufffd", ""))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# The tree


_OVERLOADED = re.compile(
    r"<[a-zA-Z][^\s/>]*+(?:[\s/]*+[^\s/>=<][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s>]*+))?+)"
    rf"{{{MAX_ATTRIBUTES}}}"
)


def _tree(text: str) -> Any:
    from lxml import etree

    if text.count("<") + text.count("=") > MAX_MARKS:
        raise Unreadable(f"the page has more than {MAX_MARKS:,} tags and attributes; split it")
    if _OVERLOADED.search(text):
        raise Unreadable(
            f"an element of the page has more than {MAX_ATTRIBUTES} attributes; it was made to "
            "stall its readers"
        )
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    root = etree.fromstring(text.encode(), parser)
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        # The parser gives up there and leaves the rest out without a word.
        raise Unreadable(
            f"the page nests its elements more than {MAX_DEPTH} deep, so its text cannot be told "
            "apart; save it anew from a browser"
        )
    if root is None:
        raise Unreadable("the page holds no text")
    return root


def _drop(element: Any) -> None:
    """Take an element out of its tree; the text behind it stays."""
    parent = element.getparent()
    if parent is None:
        return
    if element.tail:
        before = element.getprevious()
        if before is None:
            parent.text = (parent.text or "") + element.tail
        else:
            before.tail = (before.tail or "") + element.tail
        element.tail = None
    parent.remove(element)


_MAYBE_UNSEEN = " | ".join(
    [*(f"//{tag}" for tag in sorted(_UNSEEN)), "//*[@hidden or @aria-hidden or @style or @class]"]
)


def _is_hidden(element: Any) -> bool:
    if "hidden" in element.attrib or element.get("aria-hidden") == "true":
        return True
    if _HIDDEN.search(element.get("style", "")):
        return True
    return not _HIDDEN_CLASSES.isdisjoint(element.get("class", "").split())


def _without_unseen(root: Any, warnings: list[str]) -> None:
    """Take out of a tree what a browser does not show."""
    hidden = 0
    for element in root.xpath(_MAYBE_UNSEEN):
        concealed = element.tag not in _UNSEEN
        if concealed and not _is_hidden(element):
            continue
        if concealed:
            hidden += sum(len(text.strip()) for text in element.itertext())
        _drop(element)
    if hidden >= _WARN_HIDDEN:
        warnings.append(f"text that the page hides is left out ({hidden:,} characters)")


@dataclass(frozen=True, slots=True)
class _Weight:
    """What an element holds that people see."""

    chars: int
    linked: int
    links: int
    titled: bool
    """Whether it holds a heading of the first level."""


_MOST_WEIGHED = 5000
"""Elements beyond which one is too large to stand beside the text."""
_MOST_WEIGHED_LINKS = 200_000
"""Links, counted once for each box around them, from which no more lists of links are sought."""


def _weigh(element: Any, most_chars: int) -> _Weight | None:
    """What an element holds; None if that is more than `most_chars`."""
    chars = linked = links = 0
    titled = False
    for count, inner in enumerate(element.iter()):
        chars += len((inner.text or "").strip())
        if inner is not element:
            chars += len((inner.tail or "").strip())
        if count > _MOST_WEIGHED or chars > most_chars:
            return None
        if inner.tag == "a" and inner.get("href") is not None:
            links += 1
            linked += sum(len(text.strip()) for text in inner.itertext())
        titled = titled or inner.tag == "h1"
    return _Weight(chars, min(linked, chars), links, titled)


def _without_surroundings(root: Any) -> Any:
    """Take navigation, footers, banners and lists of links out of a page; the element to read."""
    top_headings = int(root.xpath("count(//h1)"))
    for element in root.xpath("//nav | //footer | //aside | //header | //*[@role]"):
        if element.tag in _SURROUNDING or element.get("role", "").lower() in _ROLES:
            _drop(element)
        elif element.tag == "header":
            own = int(element.xpath("count(.//h1)"))
            in_text = next(element.iterancestors("main", "article"), None) is not None
            if not in_text and (not own or own < top_headings):
                _drop(element)
    total = _length(root)
    too_large: set[Any] = set()
    for element in reversed(root.xpath("//*[@class or @id][not(self::html or self::body)]")):
        name = _place_named(element.get("class", ""), element.get("id", ""))
        if not name or element in too_large:
            continue
        weight = _weigh(element, _MOST_BESIDE)
        if weight is None:
            # So is all that is around it: a text in a thousand boxes is weighed once.
            for outer in element.iterancestors():
                if outer in too_large:
                    break
                too_large.add(outer)
        elif not weight.titled:
            small = weight.chars <= _MOST_BESIDE // 5 or weight.chars < _LARGE_SHARE * total
            mostly_links = weight.links > 0 and 2 * weight.linked >= weight.chars
            if small and (name == "beside" or mostly_links):
                _drop(element)
    weighed = 0
    for element in reversed(_boxes_of_links(root)):
        links = sum(1 for _ in itertools.islice(element.iter("a"), _MOST_WEIGHED))
        weighed += links
        if weighed > _MOST_WEIGHED_LINKS:
            break
        weight = _weigh(element, int(links * _LONG_LINK / _LINK_DENSITY))
        if (
            weight
            and weight.links >= _LEAST_LINKS
            and weight.linked >= _LINK_DENSITY * weight.chars
            and weight.linked < _LONG_LINK * weight.links
        ):
            _drop(element)
    kept = _length(root)
    for path, share in (("//main | //*[@role='main']", _MAIN_SHARE), ("//article", _ARTICLE_SHARE)):
        found = root.xpath(path)
        if len(found) == 1 and _length(found[0]) >= share * kept:
            return found[0]
    return root


def _length(element: Any) -> int:
    return int(element.xpath("string-length(normalize-space(string(.)))"))


@lru_cache(maxsize=4096)
def _place_named(classes: str, name: str) -> str:
    """What class and id say of an element: `beside` the text, `maybe` so, or nothing."""
    words = {word.lower() for word in _WORD.findall(f"{classes} {name}")}
    return "beside" if words & _BESIDE else "maybe" if words & _MAYBE_BESIDE else ""


def _boxes_of_links(root: Any) -> list[Any]:
    """The elements that closely hold several links, in document order."""
    counts: Counter[Any] = Counter()
    for link in root.iter("a"):
        if link.get("href") is not None:
            counts.update(itertools.islice(link.iterancestors(*_BOXES), _MOST_LEVELS))
    held = {element for element, links in counts.items() if links >= _LEAST_LINKS}
    return [element for element in root.iter(*_BOXES) if element in held] if held else []


# Blocks


def _blocks(root: Any, *, whole: bool) -> list[Block]:
    """Blocks of a tree; whole: keep lines that look like those of a site."""
    from lxml import etree

    blocks: list[Block] = []
    bold_lines: list[int] = []
    """Places of the paragraphs that are set in bold from beginning to end."""
    held: list[str] = []
    plain = False
    """Whether any of the held words is not bold."""
    bold = 0
    lists: list[int | None] = []
    """Next number of each open list; None where it is not numbered."""
    kind: tuple[str, int] = ("paragraph", 0)
    budget = Budget()
    skipped: Any = None
    """The table whose rows were read at once."""
    named = False
    """Whether the held words name what follows them."""

    def hold(words: str | None) -> None:
        nonlocal plain
        if words:
            held.append(words)
            plain = plain or (not bold and not words.isspace())

    def flush() -> None:
        nonlocal kind, plain
        if not held:
            return
        for line in _visible("".join(held)).split("\n"):
            line = line.strip()
            if line and (whole or len(line) > _LONGEST_SITE_LINE or not SITE_LINE.fullmatch(line)):
                if kind[0] == "paragraph" and not plain and len(line) <= _LONGEST_HEADING:
                    bold_lines.append(len(blocks))
                blocks.append(Block(kind[0], line, level=kind[1]))  # type: ignore[arg-type]
                if kind[0] == "item":
                    kind = ("paragraph", 0)
        held.clear()
        plain = False

    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        tag = element.tag if isinstance(element.tag, str) else ""
        style = element.get("style")
        is_bold = tag in ("b", "strong") or (style is not None and bool(_BOLD.search(style)))
        if event == "start":
            if named and tag == "dd":
                while held[-1].isspace():
                    held.pop()
            elif tag in _LINES:
                flush()
            named = named and tag not in _LINES
            if tag == "table" and not _is_layout(element):
                blocks.extend(_html_table(element, budget))
                skipped = element
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
            elif tag in _HEADINGS:
                kind = ("heading", int(tag[1]))
            elif tag == "summary" or (tag == "dt" and _is_explained(element)):
                kind = ("heading", 6)
            bold += is_bold
            hold(element.text)
        else:
            if tag == "dt" and kind[0] != "heading" and held:
                held.append(_COLON)
                named = True
            elif tag in _LINES:
                flush()
                kind = ("paragraph", 0)
            if element is not skipped:
                bold -= is_bold
            if tag in ("ul", "ol") and lists:
                lists.pop()
            hold(element.tail if element is not root else "")
    flush()
    if not any(block.kind == "heading" for block in blocks):
        for at in bold_lines:
            if not blocks[at].text.endswith(END) and not opens_structure(blocks[at].text):
                blocks[at] = Block("heading", blocks[at].text, level=2)
    return blocks


def _is_explained(term: Any) -> bool:
    """Whether a term of a list is a question or has a long text, and so heads a section."""
    words = "".join(term.itertext()).strip()
    following = term.getnext()
    if following is None or following.tag != "dd":
        return False
    length = sum(len(text.strip()) for text in following.itertext())
    return words.endswith(("?", "\uff1f")) or length > _LONG_EXPLANATION


_WRAPPED = re.compile(rf"(?<=[{CJK}])[ \t]*\r?\n\s*(?=[{CJK}])")
_BLANK = re.compile(r"[ \t\r\n\f\xa0]+")


def _visible(text: str) -> str:
    """Text as a browser shows it: runs of space are one, `\\v` is a line break."""
    if "\n" in text:
        text = _WRAPPED.sub("", text)
    return _BLANK.sub(" ", text).replace("\v", "\n")


# Tables


def _is_layout(table: Any) -> bool:
    """Whether a table only places parts of the page: other tables, headings, or all of its text."""
    if table.get("role") in ("presentation", "none") or table.find(".//table") is not None:
        return True
    if any(next(table.iter(f"h{level}"), None) is not None for level in range(1, 5)):
        return True
    cells = table.iter("td", "th")
    return next(cells, None) is None or next(cells, None) is None


def _html_table(table: Any, budget: Budget) -> list[Block]:
    """A table with merged cells repeated; one laid out in a single column becomes paragraphs."""
    blocks = [
        Block("paragraph", " ".join(_cell_text(caption).split()))
        for caption in table.iterfind("caption")
    ]
    cells: dict[tuple[int, int], str] = {}
    headers: dict[int, list[bool]] = {}
    rows = list(table.iter("tr"))
    for y, row in enumerate(rows):
        x = 0
        for cell in row.iterchildren("td", "th"):
            while (y, x) in cells:
                x += 1
            text = _cell_text(cell)
            down, right = min(_span(cell, "rowspan"), len(rows) - y), _span(cell, "colspan")
            budget.take(text, down * right)
            for dy in range(down):
                for dx in range(right):
                    cells[y + dy, x + dx] = text
                    if cell.tag == "th":
                        headers.setdefault(y + dy, []).append(dx == x == 0)
            x += right
    width = 1 + max((x for _, x in cells), default=-1)
    if len(rows) * width > MAX_AREA:
        raise Unreadable(f"a table of the page has more than {MAX_AREA:,} cells; split the file")
    grid = [[cells.get((y, x), "") for x in range(width)] for y in range(len(rows))]
    in_head = [
        headers.get(y, []).count(False) > 0 or row.getparent().tag == "thead"
        for y, row in enumerate(rows)
    ]
    head_rows = next((y for y, inside in enumerate(in_head) if not inside), len(rows))
    named_rows = bool(headers) and not head_rows and all(headers.get(y) for y in range(len(rows)))
    if not headers and not head_rows:
        named_rows = begins_with_values(grid)
    return blocks + table_blocks(grid, head_rows, named_rows=named_rows)


def _span(cell: Any, name: str) -> int:
    value = cell.get(name)
    if value is None:
        return 1
    value = value.strip()
    return min(max(int(value), 1), MAX_SPAN) if value.isdecimal() and len(value) < 6 else 1


def _cell_text(cell: Any) -> str:
    from lxml import etree

    if not len(cell):
        return _visible(cell.text or "").strip()
    held: list[str] = []
    for event, element in etree.iterwalk(cell, events=("start", "end")):
        if element is not cell and (element.tag in _LINES or element.tag == "br"):
            held.append(" ")
        if event == "start":
            held.append(element.text or "")
        elif element is not cell:
            held.append(element.tail or "")
    return _visible("".join(held)).strip()
