"""When a document is in force: dates found in its text, and the end that a newer one sets it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache

from .chunk import number_of
from .documents import DATE_FIELDS, Block, Clause, DateField, FoundDate, Head
from .text import bigrams

OPENING = 15
"""Blocks at the beginning of a document in which a labelled date is about the document."""

CLOSING = 6
"""The same at its end."""

QUOTE_CHARS = 60
"""Longest quotation of the words that a date was read from."""

VERSION_DAY = "the text does not say from when it is in force; its version date is taken"
PUBLISHED_DAY = "the text does not say from when it is in force; its publication date is taken"
MONTH_ONLY = "only the month of the version is stated; its first day is taken"


# Dates as they are written

_CN_DIGIT = "〇零○一二三四五六七八九"
_YEAR = rf"(?:(?<!\d)(?:19|20)\d\d|[{_CN_DIGIT}]{{4}})"
_NUMBER = r"(?:\d{1,2}|[一二三四五六七八九十]{1,3})"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*\.?"


def _day(name: str) -> str:
    """The pattern of a day, as a named group."""
    return (
        rf"(?P<{name}>{_YEAR}\s*年\s*{_NUMBER}\s*月\s*{_NUMBER}\s*日"
        rf"|(?<!\d)(?:19|20)\d\d\s*(?P<{name}_mark>[-/.])\s*\d{{1,2}}\s*(?P={name}_mark)"
        rf"\s*\d{{1,2}}(?!\d)"
        rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+(?:19|20)\d\d"
        rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH},?\s+(?:19|20)\d\d)"
    )


_START = _day("start")
_END = _day("end")

_SELF = (
    r"本(?:法|条例|规定|办法|规则|细则|解释|决定|批复|通知|公告|指引|准则|标准|政策|条款|协议|合同"
    r"|说明|制度|流程|规程|手册|章程|版本|版|文件|指南|须知|声明|表|活动|规范|意见|方案|公示)"
)
_IN_FORCE = r"(?:正式)?(?:施行|实施|生效|启用)(?!的|前|后|以|之|日|期|满)"
_CLOSED = r"\s*(?:[）)】。；;，,]|$)"
_FROM_TEXT = re.compile(
    rf"(?:[自从于由]\s*)?{_START}\s*(?:起|开始|之日起|日起)?\s*(?:正式)?"
    rf"(?:(?P<own>{_IN_FORCE})|(?P<run>执行(?!的|前|后|以|之|日|期)|适用(?={_CLOSED}))"
    rf"(?P<closed>(?={_CLOSED}))?)"
)
_REPEALED = re.compile(
    rf"(?:[自从于由]\s*)?{_START}\s*(?:起|开始)?\s*(?:废止|失效|停止执行|停止使用)(?!的)"
)
_APPROVED = re.compile(r"(?:通过|公布|发布|印发|颁布)[，,、]?\s*(?:现予\S{2})?[，,]?\s*$")
_NUMBERED = re.compile(
    r"[\s（(]*(?:[^《》（(，,：:据照]{0,20}〔\d{4}〕\s*第?\s*\d+\s*号|版本号?\s*[:：]\s*[\w.\-]+)[\s，,、]*"
)
"""The document's own number and nothing else."""
_OWN_SUBJECT = re.compile(rf"{_SELF}[）)》\s]*(?:[^。；;]{{0,80}}[，,]\s*)?$")
_OWN_DIRECTLY = re.compile(rf"{_SELF}[）)》\s]*$")

_LABEL_FROM = (
    r"(?:生效|施行|实施|执行|启用|起效)(?:日期|时间|日)|起始日期?|"
    r"effective(?:[\s_-]+(?:date|from|as\s+of|on|since))?|in\s+force\s+from|valid\s+from"
)
_LABEL_TO = (
    r"(?:失效|废止|终止)(?:日期|时间|日)|有效期(?:限)?(?:截?至|到)|"
    r"valid\s+(?:until|through|to)|expir(?:y|ation)\s+date|expires(?:\s+on)?|effective[\s_-]+(?:until|to)"
)
_LABEL_RANGE = (
    r"有效期(?:限)?|(?:适用|执行|活动|有效)(?:期间|期限|时间)|valid(?:ity)?(?:\s+period)?"
)
_LABEL_VERSION = (
    r"(?:最近|最后|上次)?(?:版本|修订|修改|更新|审阅|复核|审核)(?:日期|时间|日)?|"
    r"last\s+(?:updated|revised|reviewed|modified)(?:\s+on)?|(?:version|revision)\s+date|"
    r"(?:revised|updated|reviewed)(?:\s+on)?"
)
_LABEL_PUBLISHED = (
    r"(?:发布|公布|印发|颁布|制定|发文)(?:日期|时间|日)?|(?:publication|issue)\s+date|"
    r"(?:published|issued)(?:\s+on)?"
)
_BEFORE_LABEL = r"(?:^|[\s（(【\[|｜，,。；;·*])"
_AFTER_LABEL = r"[\s*]*(?:[:：|｜为于是]|\b)?[\s*]*(?:[自从于]\s*)?"
_TO = r"\s*(?:起|日)?\s*(?:至|到|[-—–~～]+|until|to|through)\s*"


def _labelled(label: str, what: str) -> re.Pattern[str]:
    return re.compile(rf"{_BEFORE_LABEL}(?P<said>(?:{label}){_AFTER_LABEL}{what})", re.I | re.M)


_RANGE = _labelled(_LABEL_RANGE, _START + _TO + _END)
_STARTS = _labelled(_LABEL_FROM, _START)
_ENDS = _labelled(_LABEL_TO, _START)
_VERSION = _labelled(_LABEL_VERSION, _START)
_PUBLISHED = _labelled(_LABEL_PUBLISHED, _START)
_VERSION_MARK = re.compile(rf"^[\s（(【]*(?P<said>{_START}\s*(?:修订|更新))")
_PUBLISHED_MARK = re.compile(rf"^[\s（(【]*(?P<said>{_START}\s*(?:发布|公布|印发|制定))")
_MONTH_VERSION = re.compile(rf"(?P<said>({_YEAR})\s*年\s*({_NUMBER})\s*月\s*版)")
_BRACKETED_END = re.compile(r"[（(【\[]([^（()）【】\[\]]+)[）)】\]]\s*$")

_FOLD = {0xFF10 + i: ord("0") + i for i in range(10)} | {
    ord(wide): ord(plain) for wide, plain in zip("　－．／", " -./", strict=True)
}
_ARTICLE = re.compile(
    r"\s*(第\s*[零〇一二三四五六七八九十百千两0-9]{1,12}\s*条(?:之\S{1,3}?)?)[\s：:、]"
)
_SENTENCE_START = re.compile(r"[。；;！!？?\n]")


def day_of(text: str) -> date | None:
    """The day that a text names and that is all it holds; None for a day that does not exist."""
    text = text.strip().lower()
    named = re.search("[a-z]{3}", text)
    numbers = re.findall(r"\d+", text)
    try:
        if named:
            day, year = map(int, numbers)
            return date(year, _MONTHS.index(named.group()) + 1, day)
        if re.search("[年月]", text):
            year, month, day = (_value(part) for part in re.split("[年月日]", text)[:3])
        else:
            year, month, day = map(int, numbers)
        return date(year, month, day)
    except ValueError:
        return None


def _value(numeral: str) -> int:
    return number_of(numeral.strip().replace("○", "〇"))


# What a document says of itself


@dataclass(frozen=True, slots=True)
class _Hit:
    rank: int
    """Which way of saying it counts first; 0 the most."""
    found: FoundDate


def find(blocks: Sequence[Block], title: str = "") -> tuple[FoundDate, ...]:
    """The dates a document gives itself, at most one a field.

    title: the document's, by which a sentence may name it.
    """
    hits: list[_Hit] = []
    heading = ""
    for number, block in enumerate(blocks):
        if block.kind == "heading" and block.level > 1:
            heading = block.text
        near = number < OPENING or number >= len(blocks) - CLOSING
        for text in _lines(block):
            place = _place(text, heading, block.page)
            hits += _in_sentences(text.translate(_FOLD), place, title, near)
            if near:
                hits += _in_labels(text.translate(_FOLD), place)
    hits += _in_title(title)
    return tuple(_best(hits))


def _lines(block: Block) -> Iterator[str]:
    if block.kind == "table":
        yield from (" | ".join(row) for row in block.rows[: OPENING * 2])
    else:
        yield block.text


def _place(text: str, heading: str, page: int | None) -> str:
    article = _ARTICLE.match(text)
    place = article.group(1) if article else heading
    return place or (f"p. {page}" if page else "")


def _in_sentences(text: str, place: str, title: str, near: bool) -> Iterator[_Hit]:
    for match in _FROM_TEXT.finditer(text):
        subject = _SENTENCE_START.split(text[: match.start()])[-1].strip()
        outright = match.group("own") is not None
        about = _OWN_SUBJECT if outright else _OWN_DIRECTLY
        own = bool(about.search(subject)) or _names(subject, title)
        bare = near and (outright or match.group("closed") is not None)
        alone = not subject.strip("（( ，,") or _NUMBERED.fullmatch(subject)
        told = bare and (alone or (outright and _APPROVED.search(subject)))
        if own or told:
            yield from _hit(0, "effective_from", match, "start", text, place)
    for match in _REPEALED.finditer(text):
        subject = _SENTENCE_START.split(text[: match.start()])[-1].strip()
        if _OWN_DIRECTLY.search(subject) or _names(subject, title):
            for hit in _hit(0, "effective_to", match, "start", text, place):
                last = hit.found.value - timedelta(days=1)
                yield replace(hit, found=replace(hit.found, value=last))


def _names(subject: str, title: str) -> bool:
    """Whether what a sentence speaks of is the document itself."""
    return bool(title) and subject.rstrip("，,").endswith((title, f"《{title}》"))


def _in_labels(text: str, place: str) -> Iterator[_Hit]:
    ranges = list(_RANGE.finditer(text))
    for match in ranges:
        yield from _hit(1, "effective_from", match, "start", text, place)
        yield from _hit(1, "effective_to", match, "end", text, place)
    for match in _STARTS.finditer(text):
        yield from _hit(1, "effective_from", match, "start", text, place)
    for match in _ENDS.finditer(text):
        yield from _hit(1, "effective_to", match, "start", text, place)
    for pattern in (_VERSION, _VERSION_MARK):
        for match in pattern.finditer(text):
            yield from _hit(2, "reviewed", match, "start", text, place)
            yield from _hit(3, "effective_from", match, "start", text, place, VERSION_DAY)
    for pattern in (_PUBLISHED, _PUBLISHED_MARK):
        for match in pattern.finditer(text):
            yield from _hit(4, "effective_from", match, "start", text, place, PUBLISHED_DAY)


def _in_title(title: str) -> Iterator[_Hit]:
    title = title.translate(_FOLD)
    if ending := _BRACKETED_END.search(title):
        yield from _in_sentences(ending[1], "", "", near=True)
        yield from _in_labels(ending[1], "")
    for match in _MONTH_VERSION.finditer(title):
        day = day_of(f"{match[2]}年{match[3]}月1日")
        if day:
            found = FoundDate("effective_from", day, match.group("said"), "", MONTH_ONLY)
            yield _Hit(5, found)


def _hit(
    rank: int,
    field: DateField,
    match: re.Match[str],
    group: str,
    text: str,
    place: str,
    note: str = "",
) -> Iterator[_Hit]:
    day = day_of(match.group(group))
    if day:
        yield _Hit(rank, FoundDate(field, day, _quoted(text, match), place, note))


def _quoted(text: str, match: re.Match[str]) -> str:
    """The words of a match and what stands before them in the sentence."""
    begin = max(
        (m.end() for m in _SENTENCE_START.finditer(text, 0, match.start())),
        default=0,
    )
    begin = max(begin, match.end() - QUOTE_CHARS)
    return text[begin : match.end()].strip()


def _best(hits: Iterable[_Hit]) -> Iterator[FoundDate]:
    """Of each field the one that counts: what is said outright, and of several the last."""
    for field in DATE_FIELDS:
        ranked = sorted((h for h in hits if h.found.field == field), key=lambda h: h.rank)
        if not ranked:
            continue
        equal = [h.found for h in ranked if h.rank == ranked[0].rank]
        found = max(equal, key=lambda f: f.value) if field == "reviewed" else equal[-1]
        others = sorted({f.value.isoformat() for f in equal} - {found.value.isoformat()})
        if others and field != "reviewed":
            found = replace(found, note=f"the text also names {', '.join(others)}")
        yield found


def fill(head: Head, found: Iterable[FoundDate]) -> tuple[Head, tuple[FoundDate, ...]]:
    """`head` with the dates it does not give, and which found dates were taken.

    Of two for one field the first is taken. An end before the beginning is not taken: what was read
    as one of them is something else.
    """
    taken: dict[DateField, FoundDate] = {}
    for date_found in found:
        if getattr(head, date_found.field) is None:
            taken.setdefault(date_found.field, date_found)
    dates = {field: date_found.value for field, date_found in taken.items()}
    filled = replace(head, **dates)  # type: ignore[arg-type]
    wrong = taken.keys() & {"effective_from", "effective_to"}
    if wrong and filled.ends_too_early():
        del taken[max(wrong)]
        return fill(head, taken.values())
    return filled, tuple(taken.values())


# Official texts as public collections keep them

_CURRENT_TEXT = re.compile(r"current text\D*(\d{4}-\d\d-\d\d)")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INFO_END = re.compile(r"^[ \t]*<!-- INFO END -->[ \t]*$", re.MULTILINE)
_ANY_DAY = re.compile(_START)


def official(text: str) -> tuple[Head, tuple[FoundDate, ...], str]:
    """What stands above the text of an official document: its head, its dates, and the text below.

    Known are `TITLE: ...` lines above a row of dashes, and a law's history above a mark.
    """
    head, dated, text = _header_lines(text)
    history, text = _law_history(text)
    return head, () if head.effective_from else dated or history, text


def _header_lines(text: str) -> tuple[Head, tuple[FoundDate, ...], str]:
    header, rule, body = text.lstrip().partition("\n-----")
    if not header.startswith("TITLE:") or not rule or header.count("\n") > 30:
        return Head(), (), text
    lines = dict(line.split(":", 1) for line in header.splitlines() if ":" in line)
    effective = lines.get("EFFECTIVE", "").strip()
    # Of an amended law the text is in force from its amendment, not from the law's first day.
    days = _CURRENT_TEXT.findall(effective) or _ISO_DATE.findall(effective)
    day = day_of(days[0]) if days else None
    # A day that stands alone is the collection's own word; among remarks it is our reading of them.
    plain = day is not None and days[0] == effective
    dated = (
        FoundDate("effective_from", day, f"EFFECTIVE: {effective}"[:QUOTE_CHARS], "")
        if day and not plain
        else None
    )
    head = Head(
        title=lines.get("TITLE", "").strip(),
        kind="regulation",
        effective_from=day if plain else None,
        document_no=lines.get("DOCUMENT NO", "").strip(),
        issuer=lines.get("ISSUER", "").strip(),
    )
    return head, (dated,) if dated else (), body.lstrip("-")


def _law_history(text: str) -> tuple[tuple[FoundDate, ...], str]:
    """The date in force of an official law in Markdown, and the law without its history."""
    mark = _INFO_END.search(text)
    if not mark:
        return (), text
    info, body = text[: mark.start()].splitlines(), text[mark.end() :]
    titles = [line for line in info if line.startswith("#")]
    history = [line.strip() for line in info if line.strip() and not line.startswith("#")]
    text = "\n".join(titles) + "\n" + body
    articles = [line for line in body.splitlines() if line.strip()]
    start = _last_start(history, near=True) or _last_start(articles, near=False)
    passed = max(
        (
            (day, line)
            for line in history
            for match in _ANY_DAY.finditer(line.translate(_FOLD))
            if (day := day_of(match.group("start")))
        ),
        default=None,
    )
    if passed and (start is None or start.value < passed[0]):
        # An amended law keeps its first day in its last article; the amended text cannot be older
        # than its amendment.
        note = (
            "the day the amended text came into force is not stated; the day it was passed is taken"
        )
        day, line = passed
        return (FoundDate("effective_from", day, line[:QUOTE_CHARS], "", note),), text
    return ((start,) if start else ()), text


def _last_start(lines: Iterable[str], *, near: bool) -> FoundDate | None:
    """The last day in force that lines give."""
    said = [
        hit.found
        for line in lines
        for hit in _in_sentences(line.translate(_FOLD), _place(line, "", None), "", near)
        if hit.found.field == "effective_from"
    ]
    return said[-1] if said else None


# The end that another document sets


_TITLE_VERSION = re.compile(
    r"[\s_-]*(?:[（(【\[][^（）()【】\[\]]*(?:\d{4}|v\s*\d|修[订正]|第.{1,3}版|[新旧]版)[^（）()【】\[\]]*[）)】\]]"
    r"|v\s*\d+(?:\.\d+)*|[新旧]版|(?:19|20)\d\d\s*年?版?(?:修订)?版?)$",
    re.I,
)
"""What of a title tells the version and not the document."""
_GIVES_WAY = re.compile(
    rf"《(?P<title>[^《》\n]{{2,60}})》[^。；;《》\n]{{0,40}}?(?:[自从于由]\s*{_START}\s*起?)?"
    r"(?:同时|随即|即行|相应|一并|予以|自动){0,2}(?:废止|失效|停止(?:执行|使用|适用))(?![的前后之])"
)
_SIGNED_FOR = re.compile(r"条款|协议|合同")
_NOT_SIGNED_FOR = re.compile(r"隐私|信息|用户|注册|会员")
"""Titles of what a borrower agrees to with a loan, and of what is agreed to apart from it."""

SAME_TEXT = 0.5
"""Share of the pairs of characters of a document that one of the same title has too, from which it
is a version of it."""


@dataclass(frozen=True, slots=True)
class Succession:
    """An older version that a newer document ends, as its text or title tells."""

    older: str
    """Source name."""
    newer: str
    end: date
    """Last day of the older."""


def as_released(parts: Iterable[Clause]) -> list[Clause]:
    """Clauses in the order that gives each its ordinal, and with the end that a newer text sets.

    A document that is superseded ends the day before the one that names it begins. Of regulations
    that share a title, one without an end is in force until the day before the next one's begin: an
    official text does not say when it will be repealed. A lender's document without an end gives
    way to the one that says so, or to the next version of its title; terms that gave way so are
    those of the day on which a contract was signed.
    """
    ordered = sorted(parts, key=lambda part: part.source)
    ended = _Ends({(part.source, part.head) for part in ordered})
    heads = {
        key: ended(*key) for key in dict.fromkeys((part.source, part.head) for part in ordered)
    }
    for older, newer, end in _gave_way(ordered):
        name = series(newer[1])
        given = heads[older].effective_to or end
        heads[older] = replace(heads[older], effective_to=min(end, given))
        if newer[1].kind == "policy" and _is_signed_for(name):
            heads[older] = replace(heads[older], kind="product", series=name)
            heads[newer] = replace(heads[newer], kind="product", series=name)
    return [
        part if (head := heads[part.source, part.head]) == part.head else replace(part, head=head)
        for part in ordered
    ]


def successions(parts: Iterable[Clause]) -> list[Succession]:
    """Which documents are ended though nobody said so beside the texts; for who put them in."""
    found = (
        Succession(older[0], newer[0], end)
        for older, newer, end in _gave_way(sorted(parts, key=lambda part: part.source))
    )
    return list(dict.fromkeys(found))


_Key = tuple[str, Head]


def _gave_way(parts: Sequence[Clause]) -> list[tuple[_Key, _Key, date]]:
    """Lenders' documents without an end, those that they gave way to, and their last day."""
    held: dict[_Key, list[Clause]] = {}
    for part in parts:
        if part.head.kind != "regulation":
            held.setdefault((part.source, part.head), []).append(part)
    versions: dict[str, list[_Key]] = {}
    for key in held:
        versions.setdefault(series(key[1]), []).append(key)
    found: dict[_Key, tuple[date, _Key]] = {}

    def gives_way(older: _Key, newer: _Key, day: date) -> bool:
        begins = older[1].effective_from
        return (
            older[0] != newer[0]
            and older[1].effective_to is None
            and (begins is None or begins < day)
            and (older not in found or day < found[older][0])
        )

    for newer, clauses in held.items():
        for name, day in _named_in(clauses):
            begin = day or newer[1].effective_from
            for older in versions.get(_without_version(name), ()):
                if begin and gives_way(older, newer, begin):
                    found[older] = (begin, newer)
    for alike in versions.values():
        for older, newer in itertools.permutations(alike, 2):
            begin = newer[1].effective_from
            if (
                begin
                and older[1].effective_from
                and _of_one_kind(older[1]) == _of_one_kind(newer[1])
                and gives_way(older, newer, begin)
                and _is_version(held[older], held[newer])
            ):
                found[older] = (begin, newer)
    return [(older, newer, day - timedelta(days=1)) for older, (day, newer) in found.items()]


def _named_in(clauses: Iterable[Clause]) -> Iterator[tuple[str, date | None]]:
    """Titles of what a document says gives way, and from when where it says so."""
    for clause in clauses:
        if "》" in clause.text:
            for match in _GIVES_WAY.finditer(clause.text.translate(_FOLD)):
                yield match.group("title"), day_of(match.group("start") or "")


def _of_one_kind(head: Head) -> tuple[str, str, str]:
    return head.kind, head.product, head.audience


def _is_version(older: Iterable[Clause], newer: Iterable[Clause]) -> bool:
    """Whether a document is a version of another, and not one that only has its title."""
    said, again = ({pair for one in each for pair in bigrams(one.text)} for each in (older, newer))
    return len(said & again) >= SAME_TEXT * len(said)


def _is_signed_for(title: str) -> bool:
    return bool(_SIGNED_FOR.search(title)) and not _NOT_SIGNED_FOR.search(title)


def unknown_supersedes(parts: Iterable[Clause]) -> list[tuple[str, str]]:
    """Documents whose head supersedes what is not there, or cannot: source and what is wrong."""
    heads = {(part.source, part.head) for part in parts}
    wrong = []
    for source, head in sorted(heads, key=lambda item: item[0]):
        if not head.supersedes:
            continue
        named = [
            (other, known)
            for other, known in heads
            if other != source and _is_named(other, known, head)
        ]
        if not named:
            wrong.append(
                (source, f"supersedes {head.supersedes!r}: no document here is called that")
            )
        elif head.effective_from is None:
            wrong.append(
                (source, f"supersedes {head.supersedes!r} but has no effective_from to end it by")
            )
        elif all(_begins_by(known, head.effective_from) for _, known in named):
            reason = f"supersedes {head.supersedes!r}, which does not begin before it"
            wrong.append((source, reason))
    return wrong


def _is_named(source: str, head: Head, by: Head) -> bool:
    """Whether a document is the one that another's head says it supersedes."""
    name = by.supersedes
    return name in (source, source.rpartition("/")[2], head.title, head.document_no)


def _begins_by(head: Head, day: date) -> bool:
    return head.effective_from is not None and head.effective_from >= day


class _Ends:
    """Heads with the end that the other documents of a release set, each worked out once."""

    def __init__(self, heads: Iterable[tuple[str, Head]]) -> None:
        self._known: dict[tuple[str, Head], Head] = {}
        self._begins: dict[str, set[date]] = {}
        self._superseding: dict[str, list[tuple[str, date]]] = {}
        for source, head in heads:
            if head.effective_from is None:
                continue
            if head.kind == "regulation":
                self._begins.setdefault(series(head), set()).add(head.effective_from)
            if head.supersedes:
                by = (source, head.effective_from)
                self._superseding.setdefault(head.supersedes, []).append(by)

    def __call__(self, source: str, head: Head) -> Head:
        known = self._known.get((source, head))
        if known is None:
            known = self._known[source, head] = self._ended(source, head)
        return known

    def _ended(self, source: str, head: Head) -> Head:
        begin = head.effective_from
        successors = {
            day
            for name in {source, source.rpartition("/")[2], head.title, head.document_no} - {""}
            for other, day in self._superseding.get(name, ())
            if other != source and (begin is None or day > begin)
        }
        if head.kind == "regulation" and begin and head.effective_to is None:
            successors |= {day for day in self._begins.get(series(head), ()) if day > begin}
        if not successors:
            return head
        end = min(successors) - timedelta(days=1)
        return replace(head, effective_to=min(end, head.effective_to or end))


def series(head: Head) -> str:
    """What all versions of one document have in common."""
    if head.series or head.kind == "regulation":
        return head.series or head.title
    return _without_version(head.title)


@lru_cache(maxsize=4096)
def _without_version(title: str) -> str:
    """A title without what tells its version."""
    while (shorter := _TITLE_VERSION.sub("", title.strip())) not in ("", title):
        title = shorter
    return title
