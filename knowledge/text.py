"""Text as search sees it: one width, one script, one way to write a number, then words."""

from __future__ import annotations

import re
import sys
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
_UNITS = "天日周月年期元块条章节款项个号次岁分厘折倍角点时"
_CHINESE_NUMBER = re.compile(rf"(?<![\d.])[零〇一二两三四五六七八九十百千万亿]+(?=[{_UNITS}])")
_PERCENT = re.compile(
    r"百分之(\d+(?:\.\d+)?|[零〇一二两三四五六七八九十百]+)(?:点([零〇一二三四五六七八九]+))?"
)
_SCALED_NUMBER = re.compile(r"(?<!\d)(?:\d+(?:\.\d+)?[百千万亿]+)+")
_SCALED_PART = re.compile(r"(\d+(?:\.\d+)?)([百千万亿]+)")
_GROUPED_NUMBER = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_EVERY_CONTRACT = re.compile(
    r"(?:不分|不论|无论|不管)(?:借款|贷款)?(?:合同|协议)?(?:的|在|是)?(?:何时|什么时候|哪[年天])?签[署订约]"
    r"|(?:各版本|所有|全部|任何)(?:借款|贷款)?(?:合同|协议)(?:一律|均|都)"
)
_SIGNED_FROM = ("起", "以后", "之后", "及以后")
_SIGNED_IN = re.compile(r"(?<![\d至到-])(\d{4})年[度间内]?签[署订约]的")
_SIGNED = re.compile(
    r"(\d{4})年(\d{1,2})月(\d{1,2})日(起|及?以后|之后|及?以前|之前|前)(?:\S{0,2})?签[署订约]"
)
_ASKS_FIGURE = re.compile(
    r"多少|几|幾|多久|多长|多長|最[高低多少长短]|至少|上限|下限|百分之|哪天|什么时候|啥时候"
    r"|how (?:much|many|long|often|soon)|what .{0,12}(?:rate|fee|limit|amount|day|date)|when\b"
)
_COMPARES = re.compile(
    r"哪[个一种款家张样]|谁|区别|不同|不一样|一样|差别|差异|相差|分别|各[自是]|比较|对比|相比|更[高低多少快慢长短好划便]"
    r"|\bvs\b|\bwhich\b|\bdiffer|\bcompare"
)
_BETWEEN = re.compile(r"\s*(?:和|跟|与|以及|、|还是|或者?|比|\bvs\b\.?|\band\b|\bor\b|/)\s*")
_LONGEST_SIDE, _SHORTEST_SIDE = 12, 2
"""Characters of what is compared."""
_TOKEN = re.compile(r"第\d+条|[a-z]+|\d+(?:\.\d+)?|(?:(?!第\d)[\u3400-\u9fff])+")


UNSEEN = re.compile(
    # Controls but the tab and line ends, halves of character pairs, no characters at all.
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff"
    # Everything of the category Cf: soft hyphen, zero width, direction, tags, signs over numbers.
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    # What else Unicode says may be ignored: the grapheme joiner, fillers, selectors of variants.
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
"""Characters that print nothing; left in, they hide words from search, rules and readers."""
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")

_CONTENT = "nvatljiez"
"""First letters of the tags of nouns, verbs, adjectives, times, idioms and foreign words."""


def clean(text: str) -> str:
    """What a reader sees of a text: without unseen characters, with one kind of line end."""
    return UNSEEN.sub("", _BREAKS.sub("\n", text))


@lru_cache(maxsize=2)
def _converter(way: str) -> Any:
    import opencc

    return opencc.OpenCC(way)


def to_simplified(text: str) -> str:
    """Traditional characters (Taiwan and Hong Kong forms too) as Simplified ones.

    Half of a character pair, as bytes of another encoding leave behind, becomes a question mark.
    """
    return str(_converter("t2s").convert(text.encode(errors="replace").decode()))


def to_traditional(text: str) -> str:
    """Simplified characters as Traditional ones, as Taiwan writes them."""
    return str(_converter("s2tw").convert(text.encode(errors="replace").decode()))


def fold(text: str) -> str:
    """NFKC, Simplified, lower case: what embeddings and matching see."""
    return to_simplified(unicodedata.normalize("NFKC", text)).lower()


def normalise(text: str) -> str:
    """`fold`, and numbers in digits: 二十万元, 20万元 and 200,000元 become 200000元.

    Also 百分之七点二 becomes 7.2%.
    """
    folded = _GROUPED_NUMBER.sub("", fold(text))
    folded = _PERCENT.sub(
        lambda m: ".".join(n if n[0].isdecimal() else _arabic(n) for n in m.groups() if n) + "%",
        folded,
    )
    folded = _SCALED_NUMBER.sub(lambda m: _scaled(m.group()), folded)
    return _CHINESE_NUMBER.sub(lambda m: _arabic(m.group()), folded)


def bigrams(text: str) -> list[str]:
    """Overlapping pairs of Chinese characters, and whole Latin words and numbers."""
    return list(_bigrams_kept(text) if len(text) <= _KEPT_CHARS else _bigrams(text))


def _bigrams(text: str) -> tuple[str, ...]:
    # The same few thousand pairs come again and again: each is held once.
    grams = (gram for run in _TOKEN.findall(normalise(text)) for gram in _pairs(run))
    return tuple(map(sys.intern, grams))


_KEPT_CHARS = 400
_bigrams_kept = lru_cache(maxsize=1 << 13)(_bigrams)
"""The sentences of clauses are compared anew with each question."""


def words(text: str) -> list[str]:
    """The words of a text, in order, without those of one character."""
    import rjieba

    return [w for run in _TOKEN.findall(normalise(text)) for w in rjieba.cut(run) if len(w) > 1]


def content_words(text: str) -> list[str]:
    """The words of a question that name things, deeds and qualities, each once, normalised."""
    import rjieba

    tagged = (pair for run in _TOKEN.findall(normalise(text)) for pair in rjieba.tag(run))
    return list(dict.fromkeys(w for w, tag in tagged if tag[0] in _CONTENT and len(w) > 1))


def dictionary_words(text: str) -> list[str]:
    """The text cut into words of the dictionary and what is left between them, in order."""
    import rjieba

    return list(rjieba.cut(text, False))


_Phrases = Mapping[str, Sequence[tuple[int, str, re.Pattern[str] | None]]]
"""First character -> place in the file, the phrase, and its pattern where it is Latin."""


def _phrases(said: Iterable[str]) -> _Phrases:
    """Phrases to look for: Chinese anywhere, Latin as whole words, though Chinese may stand next to
    them. Only those whose first character a text has are looked for at all."""
    by_first: dict[str, list[tuple[int, str, re.Pattern[str] | None]]] = {}
    for place, phrase in enumerate(map(fold, said)):
        pattern = None
        if phrase[0].isascii():
            word = rf"(?<![a-z0-9]){re.escape(phrase)}(?:s|ed|ing)?(?![a-z0-9])"
            pattern = re.compile(word)
        by_first.setdefault(phrase[0], []).append((place, phrase, pattern))
    return by_first


def _said(phrases: _Phrases, folded: str) -> list[tuple[int, str]]:
    """Place and wording of each phrase that a text says, in the order of the file."""
    found: list[tuple[int, str]] = []
    for first in set(folded):
        for place, phrase, pattern in phrases.get(first, ()):
            if pattern is None:
                if phrase in folded:
                    found.append((place, phrase))
            elif match := pattern.search(folded):
                found.append((place, match.group()))
    return sorted(found)


@lru_cache(maxsize=1)
def _not_always() -> dict[str, Any]:
    with (Path(__file__).parent / "elsewhere.toml").open("rb") as file:
        return tomllib.load(file)


@lru_cache(maxsize=1)
def _topics() -> _Phrases:
    return _phrases(said for group in _not_always()["topics"].values() for said in group)


@lru_cache(maxsize=1)
def _matters() -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    rows = _not_always()["matters"]
    return tuple((re.compile(row["asked"]), re.compile(row["told"])) for row in rows)


def matters(text: str) -> list[re.Pattern[str]]:
    """What a text has to speak of to answer a question, of matters that not every lender tells."""
    folded = fold(text)
    return [told for asked, told in _matters() if asked.search(folded)]


def elsewhere(text: str) -> list[str]:
    """What a question names that a lender may have nothing to do with, as it says it."""
    return [said for _, said in _said(_topics(), fold(text))]


@lru_cache(maxsize=1)
def _wording() -> dict[str, Any]:
    with (Path(__file__).parent / "synonyms.toml").open("rb") as file:
        return tomllib.load(file)


@lru_cache(maxsize=1)
def _synonyms() -> tuple[_Phrases, tuple[tuple[str, ...], ...]]:
    terms: Mapping[str, Sequence[str]] = _wording()["terms"]
    return _phrases(terms), tuple(tuple(meant) for meant in terms.values())


def meanings(text: str) -> dict[str, tuple[str, ...]]:
    """What a question says colloquially -> the words that terms use for it."""
    phrases, meant = _synonyms()
    return {said: meant[place] for place, said in _said(phrases, fold(text))}


def expand(text: str) -> str:
    """The question, followed by the words that terms use for what it says colloquially."""
    folded = fold(text)
    meant = (word for words in meanings(text).values() for word in words)
    added = [word for word in dict.fromkeys(meant) if word not in folded]
    return " ".join([text, *added])


def corrected(text: str, known: Callable[[str], bool]) -> str:
    """The question with characters mended that were typed for others that sound or look alike.

    known: whether the documents use a pair of characters.
    """
    chars = list(folded := fold(text))
    misspelt: Mapping[str, str] = _wording()["misspelt"]
    for place, char in enumerate(chars):
        meant = misspelt.get(char)
        if meant is None:
            continue
        before, after = chars[max(0, place - 1) : place], chars[place + 1 : place + 2]

        def used(char: str, before: list[str] = before, after: list[str] = after) -> bool:
            return any(known(b + char) for b in before) or any(known(char + a) for a in after)

        if not used(char) and used(meant):
            chars[place] = meant
    mended = "".join(chars)
    return text if mended == folded else mended


def sides(text: str, known: Callable[[str], bool]) -> tuple[str, ...]:
    """The question put of each of the things that it compares, in order; nothing where it compares
    none that the documents name.

    known: whether the documents use a phrase.
    """
    folded = fold(text)
    if not _COMPARES.search(folded):
        return ()
    for between in _BETWEEN.finditer(folded):
        start = _known_before(folded, between.start(), known)
        ends = [between.start(), _known_behind(folded, between.end(), known)]
        if start == between.start() or ends[-1] == between.end():
            continue
        named = [folded[start : between.start()], folded[between.end() : ends[-1]]]
        while more := _BETWEEN.match(folded, ends[-1]):
            end = _known_behind(folded, more.end(), known)
            if end == more.end():
                break
            named.append(folded[more.end() : end])
            ends.append(end)
        if len(set(named)) == len(named):
            return tuple(f"{folded[:start]}{name}{folded[ends[-1] :]}" for name in named)
    return ()


def _known_before(text: str, end: int, known: Callable[[str], bool]) -> int:
    """Where the longest phrase before a place begins that the documents use; the place itself where
    there is none."""
    for length in range(min(_LONGEST_SIDE, end), _SHORTEST_SIDE - 1, -1):
        if text[end - length : end].isalnum() and known(text[end - length : end]):
            return end - length
    return end


def _known_behind(text: str, start: int, known: Callable[[str], bool]) -> int:
    """Where the longest phrase behind a place ends that the documents use; likewise."""
    for length in range(min(_LONGEST_SIDE, len(text) - start), _SHORTEST_SIDE - 1, -1):
        if text[start : start + length].isalnum() and known(text[start : start + length]):
            return start + length
    return start


def asks_for_figure(text: str) -> bool:
    """Whether a question asks how much, how many, how long or when."""
    return _ASKS_FIGURE.search(text) is not None


def signed_between(text: str) -> tuple[date, date] | None:
    """Days of signing that a sentence limits itself to, both included; None where it does not.

    Read from wording such as 2026年1月1日起签署的, 2025年12月31日以前签订的 and 2025年签署的.
    """
    first, last = date.min, date.max
    folded = normalise(text).replace(" ", "")
    years = [int(year) for year in _SIGNED_IN.findall(folded)]
    if years and max(years) < date.max.year:
        first, last = date(max(1, min(years)), 1, 1), date(max(years), 12, 31)
    for match in _SIGNED.finditer(folded):
        try:
            day = date(*map(int, match.group(1, 2, 3)))
        except ValueError:
            continue
        if match.group(4) in _SIGNED_FROM:
            first = max(first, day)
        else:
            last = min(last, day)
    return None if (first, last) == (date.min, date.max) else (first, last)


def of_every_contract(text: str) -> bool:
    """Whether a text says of itself that it holds whenever a contract was signed."""
    return _EVERY_CONTRACT.search(normalise(text).replace(" ", "")) is not None


def _is_chinese(run: str) -> bool:
    return run[0] >= "\u3400" and run[-1] >= "\u3400" and not any(c.isdigit() for c in run)


def _pairs(run: str) -> Iterator[str]:
    if not _is_chinese(run) or len(run) == 1:
        yield run
        return
    for i in range(len(run) - 1):
        yield run[i : i + 2]


def _scaled(number: str) -> str:
    """Digits with scales, as in 3百万 or 20万5千, written out."""
    parts = _SCALED_PART.findall(number)
    return _plain(sum((Decimal(n) * prod(_SCALES[s] for s in scales) for n, scales in parts)))


def _arabic(numeral: str) -> str:
    """A Chinese numeral in digits; one that is no number (e.g. 一三八) digit by digit."""
    if not any(c in _SCALES for c in numeral):
        return "".join(str(_DIGITS[c]) for c in numeral)
    last, before = numeral[-1], _SCALES.get(numeral[-2:-1], 0)
    if last in _DIGITS and before >= 100:  # 两千八 is 2800, two thousand eight is 两千零八
        return str(int(_arabic(numeral[:-1])) + _DIGITS[last] * before // 10)
    total, section, digit = 0, 0, 0
    for c in numeral:
        if c in _DIGITS:
            digit = _DIGITS[c]
        elif (scale := _SCALES[c]) >= 10**4:
            total = (total + section + digit or 1) * scale
            section = digit = 0
        else:
            section += (digit or 1) * scale
            digit = 0
    return str(total + section + digit)


def _plain(number: Decimal | int) -> str:
    return format(Decimal(number).normalize(), "f")
