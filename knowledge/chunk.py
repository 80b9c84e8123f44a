"""Cuts a document into clauses: articles, sections under a heading, question pairs, table rows.

The structural markers of Chinese documents (articles, chapters, items) are kept here, for the
readers too.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256

from .documents import Block, Clause, Document

PROSE_CHARS = 500
"""Most characters of one clause where the document has neither articles nor headings."""
SECTION_CHARS = 800
"""A longer article or section is split into parts."""
TABLE_CHARS = 600
"""Most characters of one group of table rows."""
LEAST_QUESTIONS = 3
"""Questions, each with its answer, of which a document is a list though nobody called it one."""
ROW_QUOTE_CHARS = 300
"""A longer table row is quoted by its sentences and not as a whole."""

_NUMBER = r"[零〇一二三四五六七八九十百千两0-9０-９]{1,12}+"
_ARTICLE = rf"(?P<article>第\s*(?P<number>{_NUMBER})\s*[条條](?:\s*之\s*(?P<sub>{_NUMBER}))?+)"
# What follows the number where a text refers to an article instead of opening one. A space after
# the number always opens one: official prints set the number apart.
_NO_REFERENCE = (
    rf"(?!\s*第\s*[（(]?{_NUMBER}[）)]?\s*[款项項条條]|[、，,。；;）)》”]|和第|至第|或者?第|及第|以及第|与第|與第"
    r"|到第|的|所|规定|規定|之规定|之規定|约定|約定|中的|项下|項下|以外|除外|另有|至|款)"
)
_ARTICLE_START = re.compile(rf"\s*{_ARTICLE}{_NO_REFERENCE}[：:、．]?\s*")
# Excerpts set the number, and maybe where it is known from, in brackets.
_ARTICLE_BOXED = re.compile(
    rf"\s*[\[［【]\s*{_ARTICLE}\s*(?P<remark>[,，\s][^\]］】\n]{{1,80}})?[\]］】]\s*"
)
_BOXED = re.compile(r"\s*[\[［][^\]］\n]{1,80}[\]］]")
# Articles run together in one paragraph: only behind a finished sentence.
_ARTICLE_INLINE = re.compile(rf"(?<=[。；！？”）])\s*{_ARTICLE}{_NO_REFERENCE}[：:、．]?\s*")
_CHAPTER = re.compile(
    rf"\s*第\s*{_NUMBER}\s*(?P<unit>部分|分[编編]|[编編篇章节節])(?!的)\s*(?P<name>.*)", re.DOTALL
)
_CHAPTER_LEVEL = {"部分": 2, "编": 2, "編": 2, "篇": 2, "分编": 3, "分編": 3, "章": 4}
_CHAPTER_LEVEL |= {"节": 5, "節": 5}
_ANNEX = re.compile(
    r"(?:附\s*件|附\s*录|附\s*錄)\s*[0-9０-９一二三四五六七八九十]*\s*[：:]?\s*(?P<name>.*)"
)
_LISTED_HEADING = re.compile(r"\s*[一二三四五六七八九十]+、\s*\S.*")
_LISTED_LEAD = re.compile(
    r"\s*(?P<label>(?P<number>[一二三四五六七八九十]+)、\s*[^\s，。；：:、]{2,20})[：:]\s*\S.*",
    re.DOTALL,
)
"""A part whose heading stands in one line with its text."""
_NUMBERED_HEADING = re.compile(r"\s*(?P<number>[0-9]{1,2})、\s*[^\n。；，：:]{2,29}")
_NO_TEXT = re.compile(
    r"\s*[（(【\[]?\s*(?:以下|[本此]页)(?:无正文|空白)(?:[，,][^。]{0,60})?[）)】\]]?。?\s*"
)
_CONTENTS = re.compile(r"\s*目\s*录\s*")
_LEADERS = re.compile(r"[\s.·…]{2,}\d+$")
_BRACKET_TITLE = re.compile(r"【([^【】\n]{1,30})】\s*")
_QUESTION = re.compile(r"\s*(?:[QＱ]|问题?)\s*[0-9一二三四五六七八九十]*\s*[：:、．]\s*", re.I)
_PLAIN_QUESTION = re.compile(
    r"\s*(?:[0-9]{1,3}\s*[.、．)）]|[（(]\s*[0-9]{1,3}\s*[)）])?\s*"
    r"(?P<asked>[^\n。；;：:?？!！]{2,60}[?？])\s*(?:\n|$)"
)
"""A line that does nothing but ask, numbered or not."""
_BARE_QUESTION = re.compile(
    r"\s*(?:[0-9]{1,3}\s*[.、．)）])?\s*(?P<asked>(?=[^\n]*(?:[吗嗎呢么麼啥咋哪谁誰几幾]|什|甚麼|怎|如何|多[久少长大]"
    r"|为何|何时|能不能|可不可以|有没有|会不会|要不要|是不是|是否))[^\n。；;：:?？!！]{2,40})\s*(?:\n|$)"
)
"""A line that asks without a mark."""
_ANSWER = re.compile(r"\s*(?:[AＡ]|答案?)\s*[0-9一二三四五六七八九十]*\s*[：:、．]\s*", re.I)
_ANSWER_BEHIND = re.compile(rf"(?:\n|(?<=[?？])){_ANSWER.pattern}", re.I)
_ASKED_COLUMN = re.compile(r"(?:标准|常见|客户)?(?:问题|提问|问法|问|問題)|questions?|Q", re.I)
_ANSWER_COLUMN = re.compile(
    r"(?:标准|参考)?(?:答案|回答|解答|答复|回复|话术|答|解答內容)|answers?|A", re.I
)
_CAPTION = re.compile(r"(?:附?表|Table)\s*[0-9一二三四五六七八九十]", re.I)

NOTE = re.compile(
    r"\s*(?:[（(]?\s*(?:附?注|备\s*注|说\s*明|特别提示|Notes?)\s*\d*\s*[）)]?\s*[：:.、]"
    r"|[*＊※]|[（(][a-z0-9][）)])",
    re.I,
)
"""The beginning of a note below a table."""
ENUMERATOR = re.compile(
    r"\s*(?:[（(](?:[一二三四五六七八九十百]+|\d{1,3}|[a-zA-Z])[）)]|[①-⑳]|\d{1,3}[、．)）]"
    r"|\d{1,3}\.(?!\d)|[一二三四五六七八九十]+、|\d{1,2}(?:\.\d{1,2})+(?=[\s一-鿿]))"
)
"""The number before an enumerated item."""
_OF_THE_FORM = re.compile(
    r"(?:特此(?:公告|通知|通告|声明|说明)|尊敬的(?:客户|用户))[。！!，,：:]*"
    r"|[^。；;!?！？]*[：:]\s*[_＿]{3,}[^。；;!?！？]*|(?:内部版本|导出时间|打印时间|下载时间|文档编号|文件编号|维护(?:人|部门)?|编制(?:人|部门)?)"
    r"\s*[：:vV].{0,80}"
    r"|[^。；;!?！？]{0,60}\d{4}\s*(?:年|[-./])\s*\d{1,2}\s*(?:月|[-./])?(?:\s*\d{1,2}\s*日?)?\s*"
    r"(?:更新|修订|整理|编制|印发|制表)(?:[）)，,、｜|·\s][^。；;!?！？起施]{0,20})?"
    r"|[（(][^。；()（）]{0,20}版[，,、\s]*\d{4}\s*[-./年]\s*\d{1,2}月?[）)]",
    re.DOTALL,
)
"""Blanks behind their names, as for a signature, or what is noted of the paper itself: nothing that
is an answer. A sentence of the terms with a blank in it is one."""
PAGE_NUMBER = re.compile(
    r"[-—–·\s]*(?:第|Page)?\s*\d{1,4}\s*页?\s*(?:[/／,，]?\s*(?:共|of)?\s*\d{1,4}\s*页?)?[-—–·\s]*",
    re.I,
)
"""A line that holds nothing but a page number."""
CONTINUED = re.compile(
    r"[（(]?\s*(?:(?:附?表|Table)\s*[\w.-]{0,8}\s*)?[（(]?\s*(?:续表?|continued)\s*[\w.-]{0,8}"
    r"\s*[）)]?",
    re.I,
)
"""A line that says that a table of the page before goes on."""

_BOOK_END = r"(?:[（(][^（）()]*[）)])?$"
SITE_LINE = re.compile(
    r"\s*(?:(?:您?(?:现在|当前)?的?(?:所在)?位置|当前页面|You are here)\s*(?:是|为)?\s*[：:>»].*"
    r"|(?:版权所有|Copyright\b|©).*|.*ICP\s*备\s*\d+\s*号.*|上一[篇页条].*|下一[篇页条].*"
    r"|[【\[]?(?:打印(?:本页)?|关闭(?:窗口)?|返回顶部|回到顶部|字体[：:].*|分享到.*)[】\]]?)\s*",
    re.I,
)
"""A line that belongs to a web site and not to the text of its page."""
QUANTITY = re.compile(r"\d[\d,.]*\s*(?:[%％‰元天期日月年次个倍笔]|[百千万亿])|[。；;%％]")
"""What stands in a value and not in the header of a column."""

_LAW_TITLE = re.compile(rf"(?:(?<![办方用做算说看])法|条例){_BOOK_END}")
_RULE_TITLE = re.compile(rf"(?:办法|规定|细则|解释|决定|批复|规则|准则|通知|指引){_BOOK_END}")
_OFFICIAL = re.compile(r"〔\d{4}〕\s*第?\s*\d+\s*号|令[\s〔〕\d年]*第\s*\d+\s*号")
COMPANY = re.compile(r"有限(?:责任)?公司")
_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_POWERS = {"十": 10, "百": 100, "千": 1000}

_TERMINAL = "。！？；!?;：:"


def number_of(numeral: str) -> int:
    """Value of a Chinese or Arabic numeral below ten thousand."""
    total, digit = 0, 0
    for char in numeral:
        if char in _POWERS:
            total += (digit or 1) * _POWERS[char]
            digit = 0
        else:
            digit = digit * 10 + (int(char) if char.isdigit() else _DIGITS[char])
    return total + digit


def numeral_of(number: int) -> str:
    """Chinese numeral as in article numbers; Arabic from ten thousand."""
    if not 0 < number < 10_000:
        return str(number)
    names = "零一二三四五六七八九"
    written, gap = "", False
    for power, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // power % 10
        if not digit:
            gap = bool(written)
            continue
        written += ("零" if gap else "") + names[digit] + name
        gap = False
    return written[1:] if written.startswith("一十") else written


def count_articles(blocks: Iterable[Block]) -> int:
    """Blocks that open an article."""
    return sum(1 for block in blocks if _ARTICLE_START.match(block.text))


def opens_structure(text: str) -> bool:
    """Whether a line opens an article or a chapter by its number, however it is set."""
    return bool(_ARTICLE_START.match(text) or _CHAPTER.match(text))


def is_law_title(title: str, *, official: bool) -> bool:
    """Whether a title is that of a law or rule of the state, not of a company.

    official: the text bears signs of the state's own print. Only laws and regulations proper are
    known by their title alone; lenders, too, issue rules and measures.
    """
    title = title.strip()
    if COMPANY.search(title):
        return False
    return bool(_LAW_TITLE.search(title)) or (official and bool(_RULE_TITLE.search(title)))


def is_official(opening: str) -> bool:
    """Whether the first lines of a text bear the number of an official document."""
    return bool(_OFFICIAL.search(opening))


def chunk(document: Document) -> list[Clause]:
    """Clauses of a document in reading order; none is empty."""
    head = document.head
    barely = _asks(document, barely=True)
    asks = head.kind == "faq" or barely or _asks(document, barely=False)
    sections = _sections(document, asks, barely)
    structured = any(section.path for section in sections)
    clauses: list[Clause] = []
    seen: Counter[str] = Counter()
    for section, following in itertools.zip_longest(sections, sections[1:]):
        if following and following.path[: len(section.path)] == section.path != following.path:
            # The mark's text names what stands in its parts.
            section.pending = ""
        for place, parts in _places(section, whole=asks, structured=structured):
            locator = place.locator or head.title or document.source
            ordinal = seen[locator]
            seen[locator] += 1
            for index, part in enumerate(parts):
                numbered = f"{locator} ({index + 1}/{len(parts)})" if len(parts) > 1 else locator
                key = "\n".join((document.source, locator, str(ordinal), str(index)))
                clauses.append(
                    Clause(
                        id=sha256(key.encode("utf-8", "replace")).hexdigest()[:16],
                        source=document.source,
                        head=head,
                        locator=f"{locator} > {part.rows}" if part.rows else numbered,
                        title=place.title or head.title or locator,
                        text=part.text,
                        page=part.page,
                        meta={"form": "table", "place": numbered} if place.table else {},
                    )
                )
    return clauses


def place_of(clause: Clause) -> str:
    """The locator without the numbers of table rows, which differ from version to version."""
    return clause.meta.get("place", clause.locator)


@dataclass(frozen=True, slots=True)
class _Part:
    """The text of one clause."""

    text: str
    page: int | None
    rows: str = ""
    """Which rows of a table it holds, for its locator."""


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    label: str
    """As it stands in a locator."""
    name: str
    """The label without its number, for titles; empty where there is none."""


@dataclass(slots=True)
class _Section:
    """What stands between two structural marks."""

    path: tuple[_Heading, ...]
    pieces: list[Block] = field(default_factory=list)
    pending: str = ""
    """Text of the mark itself: the article's title if something follows it, else its text."""


@dataclass(frozen=True, slots=True)
class _Place:
    locator: str
    title: str
    table: bool = False


_ANNEX_LEVEL = 2
_LISTED_LEVEL = 6
"""Parts numbered in the manner of a list, where they stand above the articles."""
_NUMBERED_LEVEL = 7
_ARTICLE_LEVEL = 8
"""Articles opened by a paragraph stand below every heading."""
_QUESTION_LEVEL = 10


def _asks(document: Document, *, barely: bool) -> bool:
    """Whether a document that nobody called a list of questions is one all the same.

    barely: with questions that no mark tells, at least as many as make a list.
    """
    blocks = [b for b in document.blocks if b.kind != "table" and b.text.strip()]
    asked = [place for place, block in enumerate(blocks) if _opens_question(block, barely)]
    if barely and sum(_asks_barely(blocks[place]) for place in asked) < LEAST_QUESTIONS:
        return False
    answered = 0
    for place in asked:
        following = blocks[place + 1] if place + 1 < len(blocks) else None
        if _pair(blocks[place].text)[1]:
            answered += 1
        elif following is not None and _QUESTION.match(blocks[place].text):
            answered += bool(_ANSWER.match(following.text))
        elif following is not None:
            answered += following.kind != "heading" and not _opens_question(following, barely)
    return len(asked) >= LEAST_QUESTIONS and answered == len(asked)


def _opens_question(block: Block, barely: bool) -> bool:
    marked = _QUESTION.match(block.text) or _PLAIN_QUESTION.match(block.text)
    return bool(marked) or (barely and _asks_barely(block))


def _asks_barely(block: Block) -> bool:
    # A heading without a mark is one, whatever it asks.
    return block.kind != "heading" and _BARE_QUESTION.match(block.text) is not None


def _pair(text: str) -> tuple[str, str]:
    """What a paragraph asks, and what it answers in the same breath, if anything; both without the
    mark that they begin with."""
    if question := _QUESTION.match(text):
        rest = text[question.end() :].strip()
    else:
        plain = _PLAIN_QUESTION.match(text) or _BARE_QUESTION.match(text)
        rest = text[plain.start("asked") :].strip() if plain else text.strip()
    answered = _ANSWER_BEHIND.search(rest)
    if answered:
        return rest[: answered.start()].strip(), rest[answered.end() :].strip()
    asked, _, answer = rest.partition("\n")
    return asked.strip(), answer.strip()


def _sections(document: Document, faq: bool, barely: bool) -> list[_Section]:
    """The document's blocks grouped under their headings and articles.

    faq: it is made of questions and answers.
    barely: also of questions without any mark.
    """
    top = [b for b in document.blocks if b.kind == "heading" and b.level <= 1]
    path: tuple[_Heading, ...] = ()
    sections = [_Section(path)]
    last_article = 0
    boxed = False
    """Whether the last article had its number in brackets."""
    listed_level = 0
    """Level of parts numbered as a list, which the first of them decides; 0 before it."""
    listed = 0
    """Number of the last of them."""
    numbered = _numbered_headings(document.blocks)

    def open_section(heading: _Heading, pending: str = "") -> None:
        nonlocal path
        path = (*(h for h in path if h.level < heading.level), heading)
        sections.append(_Section(path, pending=pending))

    for place, block in enumerate(document.blocks):
        if block.kind == "table":
            pairs = _question_rows(block)
            for asked, answer in pairs:
                outer = path
                open_section(_Heading(_QUESTION_LEVEL, _tidy(asked), asked))
                sections[-1].pieces.append(_paragraph(answer, block))
                path = outer
            if pairs:
                sections.append(_Section(path))
            else:
                sections[-1].pieces.append(block)
            continue
        if not block.text.strip() or _NO_TEXT.fullmatch(block.text):
            continue
        if block.kind == "heading" and block.level <= 1 and _names_document(block, document, top):
            path = ()
            sections.append(_Section(path))
            continue
        in_article = any(heading.level == _ARTICLE_LEVEL for heading in path)
        if heading := _structural_heading(block, in_article=in_article):
            if heading.level == _LISTED_LEVEL:
                # Where they come after the first article they are its parts, else above it.
                listed_level = listed_level or (_ARTICLE_LEVEL + 1 if in_article else heading.level)
                heading = replace(heading, level=listed_level)
                listed = number_of(heading.label.partition("、")[0].strip())
            open_section(heading)
            continue
        if place in numbered:
            label = _tidy(block.text)
            open_section(_Heading(_NUMBERED_LEVEL, label, label))
            continue
        lead = _LISTED_LEAD.fullmatch(block.text) if listed else None
        if lead and number_of(lead["number"]) == listed + 1:
            listed += 1
            open_section(_Heading(listed_level, _tidy(lead["label"]), _tidy(lead["label"])))
            sections[-1].pieces.append(block)
            continue
        if faq and _opens_question(block, barely):
            asked, answer = _pair(block.text)
            open_section(_Heading(_QUESTION_LEVEL, _tidy(asked), asked))
            if answer:
                sections[-1].pieces.append(_paragraph(answer, block))
            continue
        for article, text in _split_articles(block.text, last_article):
            if article is None:
                if boxed and _BOXED.match(text):
                    # A remark in place of the number: what follows is of no known article.
                    path = tuple(h for h in path if h.level < _ARTICLE_LEVEL)
                    sections.append(_Section(path))
                piece = _paragraph(text, block)
                if faq and (answered := _ANSWER.match(text)) and not sections[-1].pieces:
                    piece = _paragraph(text[answered.end() :], block)
                if block.kind == "heading":
                    label = _tidy(text)
                    open_section(_Heading(max(block.level, 1), label, label))
                elif piece.text:
                    sections[-1].pieces.append(piece)
                continue
            last_article = number_of(article["number"])
            label = re.sub(r"\s", "", article.group("article"))
            text = text.strip()
            boxed = article.re is _ARTICLE_BOXED
            if boxed and article["remark"]:
                text = f"[{article['remark'].strip(' ,，')}] {text}"
            name = ""
            if bracket := _BRACKET_TITLE.match(text):
                name, text = bracket.group(1).strip(), text[bracket.end() :]
            level = block.level if block.kind == "heading" else _ARTICLE_LEVEL
            short = 0 < len(text) <= (40 if block.kind == "heading" else 20)
            if short and not name and not any(mark in text for mark in _TERMINAL + "，,"):
                pending = "" if block.kind == "heading" else text
                open_section(_Heading(level, label, _tidy(text)), pending)
            else:
                open_section(_Heading(level, label, name))
                if text:
                    sections[-1].pieces.append(_paragraph(text, block))
    return sections


def _numbered_headings(blocks: Sequence[Block]) -> frozenset[int]:
    """Places of the lines that a plain text numbers in place of headings; none where they may be a
    list: they have to follow on, each with its text below it."""
    if count_articles(blocks):
        return frozenset()
    found = {
        place: number_of(match["number"])
        for place, block in enumerate(blocks)
        if block.kind == "paragraph" and (match := _NUMBERED_HEADING.fullmatch(block.text))
    }
    follow_on = all(
        number in (1, before + 1) for before, number in itertools.pairwise([0, *found.values()])
    )
    with_text = all(
        place + 1 < len(blocks) and place + 1 not in found and _is_text(blocks[place + 1])
        for place in found
    )
    return frozenset(found) if len(found) > 1 and follow_on and with_text else frozenset()


def _is_text(block: Block) -> bool:
    return block.kind == "table" or block.text.rstrip().endswith(tuple(_TERMINAL))


def _names_document(block: Block, document: Document, top: list[Block]) -> bool:
    """Whether a level-1 heading is the document's title and not a part of it."""
    if _tidy(block.text) == _tidy(document.head.title):
        return True
    return len(top) == 1 and block is next(b for b in document.blocks if b.kind == "heading")


def _question_rows(table: Block) -> list[tuple[str, str]]:
    """Question and answer of each row of a table that holds such pairs; none of any other."""
    header = [_tidy(cell) for cell in table.rows[0]]
    asked = next((x for x, name in enumerate(header) if _ASKED_COLUMN.fullmatch(name)), None)
    answered = next((x for x, name in enumerate(header) if _ANSWER_COLUMN.fullmatch(name)), None)
    if asked is None or answered is None:
        return []
    pairs: list[tuple[str, str]] = []
    for row in table.rows[1:]:
        others = [
            f"{name}：{_tidy(cell)}" if name else _tidy(cell)
            for x, (name, cell) in enumerate(zip(header, row, strict=True))
            if x not in (asked, answered) and cell.strip()
        ]
        answer = "\n".join([row[answered].strip(), *others]).strip()
        if row[asked].strip() and answer:
            pairs.append((_tidy(row[asked]), answer))
        elif any(cell.strip() for cell in row):
            # A row without its question belongs to no pair: better keep the table as it is.
            return []
    return pairs


def _structural_heading(block: Block, *, in_article: bool) -> _Heading | None:
    """The chapter, annex, listed heading or table of contents that a block is, or None."""
    text = block.text.strip()
    heading = block.kind == "heading"
    if len(text) > 200:
        return None
    if not heading and (len(text) > 30 or "\n" in text or any(m in text for m in "。；，：;:")):
        return None
    if chapter := _CHAPTER.fullmatch(text):
        name = re.sub(r"(?<=[一-鿿])\s+(?=[一-鿿])", "", _LEADERS.sub("", chapter["name"]).strip())
        number = re.sub(r"\s", "", text[: chapter.start("name")])
        level = block.level if heading else _CHAPTER_LEVEL[chapter["unit"]]
        return _Heading(level, f"{number} {name}".strip(), name)
    if heading:
        return None
    if _CONTENTS.fullmatch(text):
        # Below all others, so that no chapter counts as part of it.
        return _Heading(_QUESTION_LEVEL, _tidy(text), "")
    if in_article and (annex := _ANNEX.fullmatch(text)):
        return _Heading(_ANNEX_LEVEL, _tidy(text), _tidy(annex["name"]))
    if block.kind == "paragraph" and _LISTED_HEADING.fullmatch(text) and text[-1] not in _TERMINAL:
        return _Heading(_LISTED_LEVEL, _tidy(text), _tidy(text))
    return None


def _split_articles(text: str, last: int) -> Iterator[tuple[re.Match[str] | None, str]]:
    """The articles a paragraph opens, each with its text; None for text before the first."""
    opening = _ARTICLE_START.match(text) or _ARTICLE_BOXED.match(text)
    marks = [opening] if opening else []
    if opening:
        last = number_of(opening["number"])
    for mark in _ARTICLE_INLINE.finditer(text, opening.end() if opening else 0):
        number = number_of(mark["number"])
        # Numbers that do not follow on are references at the start of a sentence.
        if last and (number == last + 1 or (number == last and mark["sub"])):
            marks.append(mark)
            last = number
    bounds = [*(mark.start() for mark in marks), len(text)]
    if text[: bounds[0]].strip():
        yield None, text[: bounds[0]]
    for mark, end in zip(marks, bounds[1:], strict=True):
        yield mark, text[mark.end() : end]


def _paragraph(text: str, block: Block) -> Block:
    return Block("paragraph", text.strip(), page=block.page)


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _title(path: tuple[_Heading, ...]) -> str:
    """The nearest heading that has a name."""
    return next((h.name for h in reversed(path) if h.name), "")


def _places(
    section: _Section, *, whole: bool, structured: bool
) -> Iterator[tuple[_Place, list[_Part]]]:
    """The places of a section, prose first in order with its tables, each with its parts.

    whole: keep prose and tables together in one part, as question and answer are.
    """
    locator = " > ".join(heading.label for heading in section.path)
    title = _title(section.path)
    pieces = section.pieces
    if section.pending and not pieces:
        pieces = [Block("paragraph", section.pending)]
        title = _title(section.path[:-1])
    if whole:
        lines = [(text, piece.page) for piece in pieces for text in _render(piece)]
        if lines:
            yield _Place(locator, title), [_Part("\n".join(t for t, _ in lines), lines[0][1])]
        return
    prose: list[Block] = []
    tables: list[tuple[str, Block]] = []
    for piece in pieces:
        if piece.kind != "table":
            prose.append(piece)
        elif any(_render(piece)):
            caption = prose.pop().text if prose and _is_caption(prose[-1].text) else ""
            tables.append((caption, piece))
    if prose:
        limit = SECTION_CHARS if structured else PROSE_CHARS
        yield _Place(locator, title), _pack([(p.text, p.page) for p in prose], limit)
    for index, (caption, table) in enumerate(tables, 1):
        alone = not prose and len(tables) == 1
        at = locator if alone else f"{locator} > 表{index}" if locator else f"表{index}"
        name = f"{title} {_tidy(caption)}" if caption and title not in caption else caption
        yield _Place(at, (name or title).strip(), table=True), _row_groups(table)


def _is_caption(text: str) -> bool:
    short = len(text) <= 40 and "\n" not in text
    return short and (text[-1] in "：:" or bool(_CAPTION.match(text)) or text[-1] not in _TERMINAL)


def _render(piece: Block) -> list[str]:
    """Lines of a piece; a table gives one line per row, each cell behind its column's header."""
    if piece.kind != "table":
        return [piece.text.strip()] if piece.text.strip() else []
    return table_lines(piece)


def table_lines(table: Block) -> list[str]:
    """The rows of a table, each as a line of its cells behind their headers."""
    return [line for line, _ in _rows(table)]


def _rows(table: Block) -> list[tuple[str, int]]:
    """The lines of a table, each with its row's number in the sheet or else below the header."""
    rows = [tuple(_tidy(cell) for cell in row) for row in table.rows]
    if not rows:
        return []
    header, body = rows[0], rows[1:]
    if not body:
        return [("；".join(cell for cell in header if cell), 1)] if any(header) else []
    numbers = table.row_numbers[1:] or range(1, len(body) + 1)
    return [
        (line, number)
        for row, number in zip(body, numbers, strict=True)
        for line in _row(header, row)
    ]


def _row(header: tuple[str, ...], row: tuple[str, ...]) -> list[str]:
    """A row as one line; as several, each with the row's name, where a cell holds a long text."""
    if len(row) > 1 and len(set(row)) == 1:
        # A note over the whole width belongs to no column.
        return [row[0]] if row[0] else []
    if not any(header):
        filled = [cell for cell in row if cell]
        if not filled:
            return []
        return [f"{filled[0]}：{'；'.join(filled[1:])}" if len(filled) > 1 else filled[0]]
    cells: list[str] = []
    for index, cell in enumerate(row):
        label = header[index] if index < len(header) else ""
        # A cell merged over columns of one header is repeated by the reader; say it once.
        rendered = f"{label}：{cell}" if label else cell
        if cell and rendered not in cells:
            cells.append(rendered)
    line = "；".join(cells)
    longest = max(range(len(cells)), key=lambda at: len(cells[at]), default=0)
    if len(line) <= SECTION_CHARS or len(cells[longest]) <= TABLE_CHARS:
        return [line] if line else []
    label, _, text = cells[longest].partition("：")
    pieces = [piece for piece, _ in _pack_lines([(text, None)], TABLE_CHARS)]
    cells[longest] = f"{label}：{pieces[0]}"
    lead = [cells[0]] if longest and len(cells[0]) < TABLE_CHARS else []
    return ["；".join(cells), *("；".join([*lead, f"{label}：{piece}"]) for piece in pieces[1:])]


def _row_groups(table: Block) -> list[_Part]:
    """The rows of a table in groups of at most `TABLE_CHARS` characters; a longer row is alone."""
    groups: list[list[tuple[str, int]]] = []
    size = 0
    for line, number in _rows(table):
        if not groups or size + len(line) + 1 > TABLE_CHARS:
            groups.append([])
            size = 0
        groups[-1].append((line, number))
        size += len(line) + 1
    # Rows of a sheet bear numbers that people see; others are counted where there are many.
    named = bool(table.row_numbers) or len(groups) > 1
    return [
        _Part(
            "\n".join(line for line, _ in group),
            table.page,
            _row_range(group[0][1], group[-1][1]) if named else "",
        )
        for group in groups
    ]


def _row_range(first: int, last: int) -> str:
    return f"第{first}行" if first == last else f"第{first}-{last}行"


_Lines = list[tuple[str, int | None]]


def _group(lines: _Lines, limit: int) -> list[_Part]:
    """Lines joined into groups of at most `limit` characters; a longer line stands alone."""
    groups: list[_Lines] = []
    size = 0
    for line in lines:
        if not groups or size + len(line[0]) + 1 > limit:
            groups.append([])
            size = 0
        groups[-1].append(line)
        size += len(line[0]) + 1
    # A lead-in that ends one group belongs to the items that follow.
    for group, following in itertools.pairwise(groups):
        if len(group) > 1 and group[-1][0][-1] in "：:":
            following.insert(0, group.pop())
    return [_Part("\n".join(text for text, _ in group), group[0][1]) for group in groups]


def _pack(paragraphs: _Lines, limit: int) -> list[_Part]:
    """Paragraphs packed into parts; one longer than `limit` is cut at sentence ends."""
    if sum(len(text) + 1 for text, _ in paragraphs) - 1 <= limit:
        return [_Part("\n".join(text for text, _ in paragraphs), paragraphs[0][1])]
    return _group(_pack_lines(paragraphs, limit), limit)


def _pack_lines(paragraphs: _Lines, limit: int) -> _Lines:
    """Paragraphs as lines of at most `limit` characters, as far as their sentences allow."""
    lines: _Lines = []
    for text, page in paragraphs:
        if len(text) <= limit:
            lines.append((text, page))
            continue
        start = end = 0
        for sentence in sentences(text):
            if end > start and sentence[1] - start > limit:
                lines.append((text[start:end], page))
                start = sentence[0]
            end = sentence[1]
        lines.append((text[start:end], page))
    return lines


_PAIRS = {"（": "）", "(": ")", "「": "」", "『": "』", "“": "”", "【": "】", "《": "》", "‘": "’"}
_CLOSERS = frozenset(_PAIRS.values())
_STOPS = "。！？"
_ENGLISH_STOP = re.compile(r"(?:[a-z]{3}|[%)\"”])\.$")
_CAPITAL_NEXT = re.compile(r"\s+[A-Z]")
_LABEL = re.compile(r"[^：:。！？，,]{1,30}：")
_LEAST_SENTENCE = 3
"""A shorter piece of a line is no quote by itself."""


def quotable(clause: Clause) -> list[str]:
    """The sentences of a clause as they are quoted: verbatim, without an item's number."""
    return list(_quotable(clause.text, clause.meta.get("form") == "table"))


@lru_cache(maxsize=4096)
def _quotable(text: str, is_table: bool) -> tuple[str, ...]:
    if is_table:
        return tuple(
            line[start:end].strip()
            for line in text.splitlines()
            for start, end in (sentences(line) if len(line) > ROW_QUOTE_CHARS else [(0, len(line))])
        )
    quotes = []
    for start, end in sentences(text):
        quote = text[start:end].strip()
        if _OF_THE_FORM.fullmatch(quote):
            continue
        number = ENUMERATOR.match(quote)
        rest = quote[number.end() :].lstrip() if number else ""
        # What goes on with a digit is a list of values, not an item: 3, 6 or 12 months.
        quotes.append(rest if rest and not rest[0].isdigit() else quote)
    return tuple(quotes) or (text.strip(),)


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the quotable sentences, in order, covering every character that is not space."""
    spans: list[tuple[int, int]] = []
    start = 0
    for line in text.splitlines(keepends=True):
        for begin, end in _line_sentences(line):
            spans.append((start + begin, start + end))
        start += len(line)
    return spans


def _line_sentences(line: str) -> list[tuple[int, int]]:
    table_row = _is_table_row(line)
    cuts = [0, *([] if table_row else _cuts(line)), len(line)]
    spans: list[tuple[int, int]] = []
    before = _LEAST_SENTENCE
    for begin, end in itertools.pairwise(cuts):
        piece = line[begin:end]
        if not piece.strip():
            continue
        begin += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        words = sum(char.isalnum() for char in piece)
        if spans and (words < _LEAST_SENTENCE or before < _LEAST_SENTENCE):
            spans[-1] = (spans[-1][0], end)
            before += words
        else:
            spans.append((begin, end))
            before = words
    return spans


def _is_table_row(line: str) -> bool:
    """Whether a line reads `header：cell；header：cell`."""
    cells = line.split("；")
    labelled = sum(1 for cell in cells if _LABEL.match(cell.strip()))
    return len(cells) > 1 and bool(_LABEL.match(cells[0])) and labelled * 2 > max(len(cells), 2)


def _cuts(line: str) -> list[int]:
    """Places of a line behind which a new sentence begins."""
    inside = _inside_pairs(line)
    enumerated = ENUMERATOR.match(line)
    cuts: list[int] = []
    for index, char in enumerate(line):
        following = line[index + 1 : index + 2]
        if inside[index]:
            continue
        if char in _STOPS:
            stop = True
        elif char == "；":
            stop = not enumerated or bool(ENUMERATOR.match(line, index + 1))
        elif char in "?!":
            stop = not (following.isascii() and following.isalnum())
        elif char == ".":
            stop = bool(
                _ENGLISH_STOP.search(line[max(index - 3, 0) : index + 1])
                and _CAPITAL_NEXT.match(line, index + 1)
            )
        elif char in "”」』":
            # A quotation that ends its own sentence ends the outer one, unless that goes on.
            stop = line[index - 1 : index] in tuple(_STOPS) and following not in tuple("，、；。的")
        else:
            stop = False
        if stop:
            end = index + 1
            while end < len(line) and (line[end] in _STOPS + "?!" or line[end] in _CLOSERS):
                end += 1
            cuts.append(end)
    return sorted(set(cuts))


def _inside_pairs(line: str) -> list[bool]:
    """For each character, whether it stands between a matched pair of brackets or quotes."""
    depth = [0] * (len(line) + 1)
    open_marks: list[tuple[str, int]] = []
    for index, char in enumerate(line):
        if char in _PAIRS:
            open_marks.append((_PAIRS[char], index))
        elif char in _CLOSERS:
            while open_marks:
                closer, begin = open_marks.pop()
                if closer == char:
                    depth[begin] += 1
                    depth[index] -= 1
                    break
    inside: list[bool] = []
    level = 0
    for index in range(len(line)):
        level += depth[index]
        inside.append(level > 0)
    return inside
