"""Text as the rules see it: one width, script and case, and the disguises of words taken off.

Every place of the result is known in the text as it was given, so that findings point there.
"""

from __future__ import annotations

import html
import re
import tomllib
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import re2

from knowledge.text import dictionary_words, to_simplified

from .literals import SHORT, LiteralIndex, beginnings, choices, needed_literals

SHIPPED = Path(__file__).parent.parent / "knowledge" / "rules"
VARIANTS = "variants.toml"
SOUNDS = "sounds.toml"
LEAST_LATIN = 6
"""Letters that a word written in Latin syllables only must have to be taken for it."""

KEPT_SIGNS = frozenset("+<=>|~×÷≤≥±¬^`$¥€£©®")
FILLER = "·"
"""Stands for whatever sign is no writing: emoji, arrows, boxes, stars."""

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af"
_is_han = re.compile(f"[{_HAN}]").match
_SPELT_OUT = re.compile(
    rf"(?<![{_HAN}])[{_HAN}](?:[^{_HAN}a-z0-9\n]{{1,3}}[{_HAN}]){{2,}}(?![{_HAN}])"
)
_SPELT_LATIN = re.compile(r"(?<![a-z'’])[a-z](?:[ .·*_-][a-z])+(?![a-z])")
_SPACED_PERCENT = re.compile(rf"(?<=[{_HAN}])[ :]?[0-9][0-9.]*( +)%|(?<=[0-9])( +)%(?= ?[{_HAN}])")

BLANK = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters of Hangul that are not seen."""

# Digits in circles, brackets, above and below the line; and those of keys.
_SHAPED = (
    "(?:[\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c"
    "\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792"
    "\U0001f100-\U0001f10a]|[0-9]\ufe0f?\u20e3)"
)
_NUMBERING = re.compile(
    rf"(?<=[0-9]){_SHAPED}+(?!{_SHAPED}|[%％])|{_SHAPED}+(?=[0-9](?!\ufe0f?\u20e3))"
)
"""Shaped digits beside plain ones: they number a list or a note."""
_USUAL = re.compile(rf"[ -~\n{_HAN}，。、；：！？（）“”《》…—％￥¥·～【】]*")
_SIGN = "\ufffc"
_SIGNS_IN_NUMBER = re.compile(f"(?<=[0-9.]){_SIGN}+(?=[0-9.%％万千元])")

PATTERN_BYTES = 1 << 22
"""Memory that one compiled pattern may take; larger ones are refused as broken."""

MOST_CHOICES = 20_000
"""Ways of matching a pattern from one place that may be tried one by one."""

_MARKED = re.compile(r"</[a-z][a-z0-9]*\s*>|<(?:br|hr|img|wbr)\b[^<>]*>", re.IGNORECASE)
"""By which a text is known to be mark-up: <R> and <TD> alone may be what to reply."""
_MARK = re.compile(
    r"<(?:style|script)\b[^<>]*>[^<]*</(?:style|script)\s*>|<!--[^<>]*-->|<!doctype\b[^<>]*>"
    r"|</?(?P<tag>[a-z][a-z0-9]*)(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)
_PARTING_TAGS = re.compile(
    "article|blockquote|br|button|d[dlt]|div|footer|form|h[1-6r]|header|li|[ou]l|option|p|pre"
    "|section|table|t[dhr]|title"
)

CLAUSE_ENDS = frozenset(",，;；。!?！？\n")
SENTENCE_ENDS = frozenset(";；。!?！？\n")


class BadPattern(Exception):
    """A regular expression that cannot be used; the message says why."""


class VariantsError(Exception):
    """The table of disguises is wrong; the message names file and field."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text made comparable, and where each of its characters came from."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    """Character i of `text` stands for original[starts[i]:ends[i]]."""

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] stands in the original; it must not be empty."""
        return self.starts[start], self.ends[end - 1]

    def place(self, span: tuple[int, int]) -> tuple[int, int]:
        """Where original[span] stands in `text`."""
        start = bisect_left(self.starts, span[0])
        return start, max(start, bisect_left(self.starts, span[1]))

    def clause(self, span: tuple[int, int]) -> str:
        """The clause in which original[span] stands; at most 60 characters each way."""
        start, end = self.place(span)
        low = clause_start(self.text, start, 60, CLAUSE_ENDS)
        return self.text[low : clause_end(self.text, end, 60, CLAUSE_ENDS)]

    @property
    def is_long(self) -> bool:
        """Whether patterns are matched in it by the engine whose time grows with the text alone."""
        return len(self.text) > SHORT


@dataclass(frozen=True, eq=False)
class Pattern:
    """A regular expression over folded text, in bounded time."""

    source: str
    _regex: Any

    def within(self, text: str, *, of: int = 0) -> bool:
        """Whether it matches anywhere in `text`, which may be part of a text of `of` characters."""
        if max(len(text), of) <= SHORT and self._tried is not None:
            return self._tried.search(text) is not None
        # Of bytes, the library does not count characters up to the match.
        return self._regex.search(text.encode()) is not None

    def spans(self, text: str, *, of: int = 0) -> Iterator[tuple[int, int]]:
        """Where it matches `text`, in characters and in order."""
        if max(len(text), of) <= SHORT and self._tried is not None:
            return (match.span() for match in self._tried.finditer(text))
        return _places(self._regex, text)

    @cached_property
    def of_borders(self) -> bool:
        """Whether it may match part of a text though it matches nowhere in the whole: it may ask
        for the beginning or the end of what it is given, or of a word."""
        return _BORDERS.search(self.source) is not None

    @cached_property
    def _tried(self) -> re.Pattern[str] | None:
        """The same for a short text, where matching it by trial is bounded; it matches alike.

        The automata of RE2 grow with each new text and are large: of a few hundred characters
        they cost more than trying does. In a long text they are soon grown, and faster.
        """
        source = self.source
        # Letters beyond ASCII have cases of their own, and \D is not \d.
        cased = any(char.lower() != char.upper() for char in source if not char.isascii())
        if cased or re.search(r"\\[A-Z]", source) or choices(source) > MOST_CHOICES:
            return None
        tried = _TOKENS.sub(_for_trying, source)
        if begin := beginnings(source):
            # So that one look passes over the places at which no match begins.
            tried = f"(?=[{''.join(map(re.escape, sorted(begin)))}])(?:{tried})"
        try:
            return re.compile(tried, re.ASCII | re.IGNORECASE)
        except re.error:
            # Such as ^?, which only RE2 takes.
            return None


def _places(regex: Any, text: str) -> Iterator[tuple[int, int]]:
    """Where a pattern of RE2 matches, in characters: it counts them slowly, but bytes fast."""
    encoded = text.encode()
    place = counted = 0
    for match in regex.finditer(encoded):
        first, last = match.span()
        if first == last:
            continue
        start = place + len(encoded[counted:first].decode())
        place, counted = start + len(encoded[first:last].decode()), last
        yield start, place


_BORDERS = re.compile(r"(?<!\[)\^|\\\[\^|\$|\\[bBAz]")

# Unicode's script Han, as RE2 has it.
_HAN_SCRIPT = (
    r"\u2e80-\u2e99\u2e9b-\u2ef3\u2f00-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufa6d\ufa70-\ufad9\U00016fe2\U00016fe3"
    r"\U00016ff0\U00016ff1\U00020000-\U0002a6df\U0002a700-\U0002b739\U0002b740-\U0002b81d"
    r"\U0002b820-\U0002cea1\U0002ceb0-\U0002ebe0\U0002ebf0-\U0002ee5d\U0002f800-\U0002fa1d\U00030000-\U0003134a"
    r"\U00031350-\U000323af"
)
_TOKENS = re.compile(r"\\p\{Han\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def _for_trying(match: re.Match[str]) -> str:
    """A part of a pattern of RE2 as the standard library writes it."""
    token = match.group()
    if token == "$":
        return r"\Z"
    if token == r"\p{Han}":
        return f"[{_HAN_SCRIPT}]"
    return token.replace(r"\p{Han}", _HAN_SCRIPT) if token.startswith("[") else token


def compile_pattern(source: str) -> Pattern:
    """A pattern in the syntax of RE2; capitals do not matter. Raises BadPattern."""
    try:
        pattern = Pattern(source, re2.compile(source, options=pattern_options()))
    except re2.error as error:
        said = error.args[0]
        why = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise BadPattern(f"{source!r} is no pattern of RE2 ({why})") from None
    if pattern._regex.search(b""):
        raise BadPattern(f"{source!r} matches nothing at all, so it matches everywhere")
    return pattern


def pattern_options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = PATTERN_BYTES
    return options


class Prefilter:
    """Tells in one pass which of many patterns may match a text."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = list(dict.fromkeys(patterns))
        self._index = LiteralIndex(needed_literals(each.source) for each in self._patterns)
        self._last: tuple[str, frozenset[Pattern]] = "", self._met("")
        self.always = self._last[1]
        """Those that may match any text."""

    def met(self, text: str) -> frozenset[Pattern]:
        """Those that may match."""
        # Most texts are the same in both foldings.
        last = self._last
        if last[0] != text:
            self._last = last = text, self._met(text)
        return last[1]

    def _met(self, text: str) -> frozenset[Pattern]:
        return frozenset(map(self._patterns.__getitem__, self._index.met(text)))


class _Characters(dict[str, str]):
    """Character -> what it is compared as; empty for what is not seen, such as zero width."""

    def __init__(self, alike: Mapping[str, str]) -> None:
        super().__init__()
        self._alike = alike

    def __missing__(self, char: str) -> str:
        self[char] = folded = self._fold(char)
        return folded

    def _fold(self, char: str) -> str:
        if char == "\n":
            return char
        category = unicodedata.category(char)
        unseen = category in ("Cf", "Mn", "Me", "Cn") or char in BLANK
        if unseen or (category == "Cc" and not char.isspace()):
            return ""
        if category == "Cs":
            return "\ufffd"
        if char.isspace():
            return "\n" if char in "\r\x0b\x0c\x85\u2028\u2029" else " "
        if category == "No" and (digit := unicodedata.digit(char, None)) is not None:
            return str(digit)
        plain = unicodedata.normalize("NFKC", char).lower()
        # Before it is simplified: another character may become the same one.
        if plain in self._alike:
            return self._alike[plain]
        return "".join(self._one(c) for c in to_simplified(plain))

    def _one(self, char: str) -> str:
        alike = self._alike.get(char)
        if alike is not None:
            return alike
        category = unicodedata.category(char)
        if category in ("Mn", "Cf"):
            return ""
        sign = category in ("So", "Sk", "Sm", "Co", "Cn") and char not in KEPT_SIGNS
        return FILLER if sign else char


class _PatternCharacters(dict[int, str]):
    """The same for characters of a regular expression; those of ASCII are its syntax."""

    def __init__(self, characters: Mapping[str, str]) -> None:
        super().__init__()
        self._characters = characters

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = char if char.isascii() else self._characters[char]
        self[code] = folded if char.isascii() or folded.isalnum() else str(re2.escape(folded))
        return self[code]


@dataclass(frozen=True, slots=True)
class Folding:
    """How texts are folded: the tables of variants.toml, compiled."""

    characters: Mapping[str, str]
    fillers: re.Pattern[str]
    words: Mapping[str, str]
    """Disguise, itself folded -> the word."""
    disguises: Pattern
    """Finds what may be one of `words`: those that are not of Latin letters only, and any run of
    such letters."""
    sounding: Any
    """Finds what sounds like a protected word."""
    protected: Mapping[str, str]
    """Its sound -> the word."""
    syllables: Mapping[str, str]
    """Character -> how it is read, without tone."""
    of_patterns: Mapping[int, str]
    """Character of a pattern -> what it is compared as."""
    wraps: re.Pattern[str]
    """Finds a line break, as its group, in a sentence that goes on."""

    def shown(self, text: str) -> Folded | None:
        """A text as it is read: without mark-up, with the characters that references stand for,
        and wrapped lines as one. None where that is the text itself."""
        read = _unmarked(text) if "<" in text or "&" in text else None
        before = text if read is None else read.text
        if "\n" in before and self.wraps.search(before):
            whole = read or Folded(text, range(len(text)), range(1, len(text) + 1))
            return without(whole, lambda text: (m.span(1) for m in self.wraps.finditer(text)))
        return read

    def plain(self, text: str) -> Folded:
        """One width, case and script; spaces and signs stay."""
        folded = list(map(self.characters.__getitem__, text))
        whole = "".join(folded)
        if len(whole) == len(text) and "" not in folded:
            return Folded(whole, range(len(text)), range(1, len(text) + 1))
        chars: list[str] = []
        places: list[int] = []
        for place, char in enumerate(text):
            for one in self.characters[char]:
                chars.append(one)
                places.append(place)
        return Folded("".join(chars), places, [place + 1 for place in places])

    def bare(self, text: str) -> Folded:
        """`plain` without spaces and signs inside Chinese, and with disguised words as words."""
        return self.bared(self.plain(text))

    def bared(self, plain: Folded) -> Folded:
        """`bare` of what is folded plainly."""
        folded = without(plain, self._cuts)
        folded = _replaced(folded, self._undisguised(folded.text))
        return _replaced(folded, self._sounding(folded.text))

    def numeric(self, text: str) -> Folded:
        """As figures are read: digits of any shape are digits, without what is not seen and signs
        within a number; all else stays as it is written."""
        if _USUAL.fullmatch(text):
            return Folded(text, range(len(text)), range(1, len(text) + 1))
        kept = {place for match in _NUMBERING.finditer(text) for place in range(*match.span())}
        chars: list[str] = []
        places: list[int] = []
        for place, char in enumerate(text):
            digits = char if place in kept else self._digits(char)
            chars.append(digits)
            places += [place] * len(digits)
        read = Folded("".join(chars), places, [place + 1 for place in places])
        return without(read, lambda text: (m.span() for m in _SIGNS_IN_NUMBER.finditer(text)))

    def _digits(self, char: str) -> str:
        folded = self.characters[char]
        if folded == FILLER and unicodedata.category(char) == "So":
            # What an arrow leads from and to are two numbers.
            return char if "ARROW" in unicodedata.name(char, "") else _SIGN
        return folded if not folded or (folded.isascii() and folded.isalnum()) else char

    def pattern(self, pattern: str) -> str:
        """A regular expression whose characters beyond ASCII are folded like texts."""
        return pattern if pattern.isascii() else pattern.translate(self.of_patterns)

    def _cuts(self, text: str) -> Iterator[tuple[int, int]]:
        """Parts of a folded text that only keep the characters of a word apart."""
        for match in self.fillers.finditer(text):
            start, end = match.span()
            if start == 0 or end == len(text):
                continue
            before, after = text[start - 1], text[end]
            beside_han = _is_han(before) or _is_han(after)
            if beside_han and _is_written(before) and _is_written(after):
                yield start, end
        if "%" in text:
            for match in _SPACED_PERCENT.finditer(text):
                yield match.span(match.lastindex or 0)
        for spelt in (_SPELT_OUT, _SPELT_LATIN):
            for match in spelt.finditer(text):
                start = match.start()
                for place, char in enumerate(match.group(), start):
                    if not (_is_han(char) or "a" <= char <= "z"):
                        yield place, place + 1

    def _sounding(self, text: str) -> Iterator[tuple[int, int, str]]:
        for start, end in _places(self.sounding, text):
            written = text[start:end]
            sound = "".join(self.syllables.get(char, char) for char in written if char != " ")
            word = self.protected.get(sound, written)
            if written == word or _runs_on(text, start, end):
                continue
            if written.isascii():
                disguised = len(written) >= LEAST_LATIN
            else:
                # Of one that shares no character with the word, chance is the likelier maker.
                disguised = any(char in word for char in written) and _is_no_word(text, start, end)
            if disguised:
                yield start, end, word

    def _undisguised(self, text: str) -> Iterator[tuple[int, int, str]]:
        place = 0
        for start, end in self.disguises.spans(text):
            word = self.words.get(text[start:end])
            if word is None or start < place or _runs_on(text, start, end):
                continue
            # What is English in English, such as 100%, stands for a Chinese word beside others.
            sign = text[start:end].isascii() and not text[start:end].isalpha()
            if sign and not _is_among_han(text, start, end):
                continue
            place = end
            yield start, end, word


def load_folding(extra: Iterable[Path] = (), shipped: Path = SHIPPED) -> Folding:
    """The shipped table of disguises, and further ones of the same form. Raises VariantsError."""
    alike: dict[str, str] = {}
    fillers = ""
    words: dict[str, list[str]] = {}
    protected: dict[str, None] = {}
    unfinished: dict[str, None] = {}
    for file in (shipped / VARIANTS, *extra):
        table = _read(file)
        for wanted, looks in table.get("characters", {}).items():
            alike.update(dict.fromkeys(looks, wanted))
        fillers += table.get("fillers", "")
        protected |= dict.fromkeys(table.get("protected", ()))
        unfinished |= dict.fromkeys(table.get("unfinished", ()))
        for word, disguises in table.get("words", {}).items():
            words.setdefault(word, []).extend(disguises)
    characters = _Characters(alike)
    folded = {
        "".join(characters[char] for char in disguise): "".join(characters[char] for char in word)
        for word, disguises in words.items()
        for disguise in disguises
    }
    if "" in folded:
        raise VariantsError(f"{VARIANTS}: words: a disguise has no character that is seen")
    sounds = tomllib.loads((shipped / SOUNDS).read_text(encoding="utf-8"))
    syllables = {char: syllable for syllable, chars in sounds.items() for char in chars}
    # Words of Latin letters are looked up whole; the longer of two other disguises is tried first.
    mixed = [d for d in folded if not (d.isascii() and d.isalpha())]
    mixed.sort(key=lambda disguise: (-len(disguise), disguise))
    try:
        disguises = compile_pattern("|".join([*map(re2.escape, mixed), "[a-z]+"]))
    except BadPattern:
        raise VariantsError(f"{VARIANTS}: words: {len(folded)} disguises are too many") from None
    return Folding(
        characters=characters,
        fillers=re.compile(f"[{re.escape(fillers)}{FILLER} ]+"),
        words=folded,
        disguises=disguises,
        sounding=_alike_in_sound(protected, sounds, syllables),
        protected={"".join(syllables[char] for char in word): word for word in reversed(protected)},
        syllables=syllables,
        of_patterns=_PatternCharacters(characters),
        wraps=re.compile(
            f"(?<=[{_HAN}])(?:{'|'.join(map(re.escape, unfinished)) or '(?!)'})"
            rf"([^\S\n]*\n[^\S\n]*)(?=[{_HAN}])"
        ),
    )


def _alike_in_sound(
    words: Iterable[str], sounds: Mapping[str, str], syllables: Mapping[str, str]
) -> Any:
    """A pattern of the characters and syllables that sound like those of the words."""
    patterns = []
    for word in words:
        if len(word) < 2 or any(char not in syllables for char in word):
            raise VariantsError(f"{VARIANTS}: protected: {word!r} is no word of known sound")
        parts = (f"(?:[{sounds[syllables[char]]}]|{syllables[char]})" for char in word)
        patterns.append(" ?".join(parts))
    options = re2.Options()
    options.never_capture = True
    return re2.compile("|".join(patterns), options=options)


def _unmarked(text: str) -> Folded | None:
    marked = _MARKED.search(text) is not None
    found = [*_REFERENCE.finditer(text), *(_MARK.finditer(text) if marked else ())]
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    place = 0
    for match in sorted(found, key=re.Match.start):
        start, end = match.span()
        # A reference within a tag is read with it.
        if start < place:
            continue
        if match.re is _REFERENCE:
            read = html.unescape(match.group())
        else:
            read = "\n" if _PARTING_TAGS.fullmatch((match["tag"] or "").lower()) else ""
        parts += (text[place:start], read)
        starts += [*range(place, start), *[start] * len(read)]
        ends += [*range(place + 1, start + 1), *[end] * len(read)]
        place = end
    if not parts:
        return None
    parts.append(text[place:])
    starts += range(place, len(text))
    ends += range(place + 1, len(text) + 1)
    return Folded("".join(parts), starts, ends)


def clause_start(text: str, place: int, reach: int, ends: frozenset[str]) -> int:
    """Where the clause around `place` begins, at most `reach` characters before it."""
    lowest = max(0, place - reach)
    found = [match.start() for match in _any_of(ends).finditer(text, lowest, place)]
    return next((at + 1 for at in reversed(found) if _ends(text, at)), lowest)


def clause_end(text: str, place: int, reach: int, ends: frozenset[str]) -> int:
    """Where the clause around `place` ends, at most `reach` characters after it."""
    highest = min(len(text), place + reach)
    found = (match.start() for match in _any_of(ends).finditer(text, place, highest))
    return next((at for at in found if _ends(text, at)), max(place, highest))


def heading(text: str, place: int) -> str:
    """What stands, ended by a colon, over the list in which `place` is; empty: nothing."""
    found = _HEADING.search(text, max(0, place - _FARTHEST_HEADING), place)
    return found[1] if found else ""


_FARTHEST_HEADING = 300
_HEADING = re.compile(
    # Items end with a semicolon or their line, and none of them is longer than a line on a phone.
    r"(?:^|[\n。!?;:])([^\n。!?;:]{2,40}):\n?"
    r"(?:[^\n。!?;:]{1,40}(?:;\n?|[。!]?\n))*[^\n。!?;:]{0,40}$"
)


@lru_cache(maxsize=8)
def _any_of(chars: frozenset[str]) -> re.Pattern[str]:
    return re.compile(f"[{re.escape(''.join(sorted(chars)))}]")


def _ends(text: str, place: int) -> bool:
    # The comma of 20,000 ends nothing.
    return text[place] != "," or not (
        text[place - 1 : place].isdecimal() and text[place + 1 : place + 2].isdecimal()
    )


def toml_of(written: bytes) -> dict[str, Any]:
    """What a file of TOML says, with a byte order mark before it or without. Raises ValueError."""
    try:
        return tomllib.loads(written.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        table = toml_of(file.read_bytes())
    except (OSError, ValueError) as error:
        raise VariantsError(f"{file}: cannot be read ({error})") from error
    for name, value in table.items():
        if name == "fillers":
            right = isinstance(value, str)
        elif name in ("protected", "unfinished"):
            right = isinstance(value, list) and all(isinstance(word, str) for word in value)
        elif name == "characters":
            right = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        else:
            right = (
                name == "words"
                and isinstance(value, dict)
                and all(
                    isinstance(v, list) and all(isinstance(w, str) and w for w in v)
                    for v in value.values()
                )
            )
        if not right:
            raise VariantsError(
                f"{file}: {name}: expected fillers = text, protected and unfinished = lists of "
                "words, [characters] with texts, [words] with lists of texts"
            )
    return table


def _is_written(char: str) -> bool:
    return bool(_is_han(char)) or char.isalnum() or char == "%"


def _is_among_han(text: str, start: int, end: int) -> bool:
    """Whether the next letter before or after is a Chinese character."""
    sides = reversed(text[max(0, start - 8) : start]), text[end : end + 8]
    return any(_is_han(next(filter(str.isalnum, side), " ")) for side in sides)


def _is_no_word(text: str, start: int, end: int) -> bool:
    """Whether the characters there are no words, nor parts of words that go on beyond them."""
    low = max(0, start - 4)
    place = low
    for word in dictionary_words(text[low : end + 4]):
        first, place = place, place + len(word)
        overlaps = first < end and place > start
        if (
            overlaps
            and len(word) > 1
            and (first < start or place > end or place - first == end - start)
        ):
            return False
    return True


def _runs_on(text: str, start: int, end: int) -> bool:
    """Whether a Latin disguise is only part of a longer word, or a number of a longer one."""
    return _same_run(text[start - 1 : start], text[start]) or _same_run(
        text[end : end + 1], text[end - 1]
    )


def _same_run(outside: str, inside: str) -> bool:
    if not outside:
        return False
    if inside.isdecimal():
        return outside.isdecimal() or outside == "."
    # Letters beside these are an address or a name of a file.
    letter = outside.isascii() and (outside.isalpha() or outside in "./@_-")
    return inside.isascii() and inside.isalpha() and letter


def without(folded: Folded, cuts: Callable[[str], Iterable[tuple[int, int]]]) -> Folded:
    """Without those parts of its text."""
    dropped: set[int] = set()
    for start, end in cuts(folded.text):
        dropped.update(range(start, end))
    if not dropped:
        return folded
    kept = [place for place in range(len(folded.text)) if place not in dropped]
    return Folded(
        "".join(folded.text[place] for place in kept),
        [folded.starts[place] for place in kept],
        [folded.ends[place] for place in kept],
    )


def _replaced(folded: Folded, words: Iterator[tuple[int, int, str]]) -> Folded:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    place = 0
    for start, end, word in words:
        parts += (folded.text[place:start], word)
        starts += folded.starts[place:start]
        ends += folded.ends[place:start]
        first, last = folded.origin(start, end)
        # Which of its characters stands for which of the word's is not known.
        starts += [first] * len(word)
        ends += [last] * len(word)
        place = end
    if not parts:
        return folded
    parts.append(folded.text[place:])
    starts += folded.starts[place:]
    ends += folded.ends[place:]
    return Folded("".join(parts), starts, ends)
