"""A text read as parts of words: who and what, what is denied, which figures stand in it.

One form for quotes and sentences, which grounding.py compares. What words mean is data,
grounding.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from knowledge.lender import Lender
from knowledge.text import fold

from . import figures

MOST_OF_TALK = 30
"""Characters of a part up to which it may be of the talk whatever its words."""

MOST_QUOTED_OF_TALK = 0.34
"""Share of its pairs of characters from which a part in words of the talk is of the matter."""


@dataclass(frozen=True, slots=True)
class Names:
    """How the lender and its products are called, as `plainly` has it."""

    lender: tuple[str, ...] = ()
    products: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Product key, and its names."""


def names_of(lender: Lender) -> Names:
    """The names that a lender's file gives."""
    return Names(
        tuple(plainly(name) for name in (lender.name, lender.short_name)),
        tuple((key, tuple(map(plainly, called))) for key, called in lender.products.items()),
    )


Kind = Literal["word", "negation", "modal", "party", "product", "talk", "grammar", "bound"]
Sign = Literal["said", "denied", "either"]


@dataclass(frozen=True, slots=True)
class Token:
    """A word, with what it means and whether it is denied."""

    kind: Kind
    meaning: str
    """The word that stands for all that mean the same; `!` before a modal that is denied."""
    raw: str
    sign: Sign = "said"
    """`either`: stands before a denial in the same part, and may be what it denies."""
    of_state: bool = False
    """Denied as a state of what follows only, as `unused` is in `the unused limit`."""


@dataclass(frozen=True)
class Part:
    """What stands between two commas."""

    raw: str
    tokens: tuple[Token, ...]
    figures: tuple[figures.Figure, ...]
    ends_sentence: bool = False
    aside: bool = False
    """Stood in brackets."""

    @cached_property
    def _words(self) -> tuple[Token, ...]:
        return tuple(t for t in self.tokens if t.kind in ("word", "party", "product"))

    @cached_property
    def _meanings(self) -> frozenset[str]:
        return frozenset(t.meaning for t in self._words)

    def words(self) -> Sequence[Token]:
        """Tokens that tell of the matter, in order."""
        return self._words

    def meanings(self) -> frozenset[str]:
        """What these mean."""
        return self._meanings

    def of_the_talk(self, quoted: str = "") -> bool:
        """Whether it says nothing of the matter: a greeting, a closing, a reference.

        quoted: the quotes; what is mostly in their words is of the matter.
        """
        if any(f.unit not in _TIMES or f.value != 1 for f in self.figures):
            return False
        wording = known_words()
        if any(t.kind == "party" and t.raw in wording.others for t in self.tokens):
            return False
        short = len(self.raw) <= MOST_OF_TALK
        if short and wording.is_chat(self.raw):
            pairs = [self.raw[at : at + 2] for at in range(len(self.raw) - 1)]
            held = sum(pair in quoted for pair in pairs)
            if held < MOST_QUOTED_OF_TALK * len(pairs):
                return True
        if self.figures or wording.tells.search(self.raw):
            return False
        kinds = {t.kind for t in self.tokens}
        if "talk" in kinds and not kinds & _MATTER:
            told = [t for t in self.tokens if t.kind != "grammar"]
            return told[-1].kind != "modal"
        return short and bool(wording.whole.fullmatch(self.raw))

    def denies(self) -> bool:
        return any(t.kind == "negation" for t in self.tokens)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it is compared."""

    folded: str
    parts: tuple[Part, ...]
    remarks: tuple[str, ...] = ()
    """What stood in brackets and is too short to be read."""

    def tokens(self) -> Iterator[Token]:
        for part in self.parts:
            yield from part.tokens

    def meanings(self) -> set[str]:
        return {t.meaning for t in self.tokens()}


@dataclass(frozen=True, slots=True)
class Wording:
    """grounding.toml, ready to be matched."""

    atoms: frozenset[str]
    """Words that are found in a text before it is cut; the longest that fits is taken."""
    longest: int
    senses: Mapping[str, frozenset[str]]
    """Word -> the meanings it may have beside that of `kinds`, from synonyms.toml."""
    kinds: Mapping[str, tuple[tuple[Kind, str], ...]]
    """Word -> the tokens it stands for."""
    ends: frozenset[str]
    pauses: frozenset[str]
    states: frozenset[str]
    affirmed: re.Pattern[str]
    rewrite: tuple[tuple[re.Pattern[str], str], ...]
    refuted: tuple[str, ...]
    negatives: frozenset[str]
    harmless: re.Pattern[str]
    attributive: re.Pattern[str]
    """A denial that only says which ones: the unused, the unreasonable."""
    stops: re.Pattern[str]
    stem: re.Pattern[str]
    nouns: frozenset[str]
    endings: tuple[str, ...]
    charges: frozenset[str]
    done_to: frozenset[str]
    """What is done to a charge, and does not say which one it is."""
    speaker: frozenset[str]
    done: frozenset[str]
    whole: re.Pattern[str]
    """Parts of a sentence that speak of the talk, whatever words they have."""
    chat: re.Pattern[str]
    """Words of the talk, of which a part of it may be made; it has one of `chat_some`, and none of
    `tells`, by which it would say something of the matter."""
    chat_some: re.Pattern[str]
    tells: re.Pattern[str]
    opposites: Mapping[str, frozenset[str]]
    anchors: frozenset[str]
    in_order: frozenset[str]
    only: str
    moments: frozenset[str]
    earlier: frozenset[str]
    later: frozenset[str]
    starts: frozenset[str]
    before: tuple[str, ...]
    together: frozenset[str]
    either: frozenset[str]
    both: frozenset[str]
    named: re.Pattern[str]
    """A product or a coupon, by its name."""
    alongside: frozenset[str]
    offers: re.Pattern[str]
    carriers: frozenset[str]
    led_by: frozenset[str]
    condition_topic: re.Pattern[str]
    light: frozenset[str]
    idle: frozenset[str]
    """Words that add nothing by themselves; the light ones too, and `only`, of which more is
    asked."""
    days: frozenset[str]
    frame: frozenset[str]
    claims: frozenset[str]
    universal: re.Pattern[str]
    decided: re.Pattern[str]
    supposed: re.Pattern[str]
    supposes: re.Pattern[str]
    """A part that only supposes what it says."""
    of_which: re.Pattern[str]
    """What has come to pass already, and of which a part speaks."""
    each: re.Pattern[str]
    each_said: re.Pattern[str]
    whatever: re.Pattern[str]
    of_all: re.Pattern[str]
    others: frozenset[str]
    objects: frozenset[str]
    acts: frozenset[str]
    narrowing: frozenset[str]
    identity: frozenset[str]
    clash: frozenset[tuple[str, str]]
    product_like: re.Pattern[str]
    condition: re.Pattern[str]
    condition_start: re.Pattern[str]
    exception: re.Pattern[str]
    limit: re.Pattern[str]
    inclusive: re.Pattern[str]
    """A bound that is told to count in, or not."""
    counts_in: re.Pattern[str]
    counted_in: re.Pattern[str]
    """A remark that the day itself counts, and by what a quote says so."""
    wants: re.Pattern[str]
    """Who wants something, and what they must do for it."""
    conditional: re.Pattern[str]
    excepts: re.Pattern[str]
    enough: re.Pattern[str]
    only_then: re.Pattern[str]
    only_so: re.Pattern[str]
    amounts: tuple[tuple[frozenset[str], re.Pattern[str]], ...]
    every: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]
    """How often, and by which a quote says so."""
    listing: re.Pattern[str]
    no_condition: re.Pattern[str]
    restated: re.Pattern[str]
    compares: re.Pattern[str]
    """Asks about several cases."""
    yearly: re.Pattern[str]
    of_less: re.Pattern[str]
    """Rates of a year, and of less."""
    of_answers: frozenset[str]
    """What may stand beside a yes or a no."""
    only_supposed: re.Pattern[str]
    """A part that supposes a case."""
    signed_then: re.Pattern[str]
    """What stands behind the day on which a contract was signed."""
    decisions: frozenset[str]
    """What the lender decides, and a borrower's word for it is not enough."""
    years: frozenset[str]
    """Say in which year something was, as the question did."""
    all_products: re.Pattern[str]
    signing: frozenset[str]
    """What the signature of a contract means."""
    periods: Mapping[str, re.Pattern[str]]
    """Before, within, after -> a named period beside which something is put there."""

    def is_chat(self, raw: str) -> bool:
        """Whether a part is made of words that say nothing of the matter."""
        return (
            self.chat.fullmatch(raw) is not None
            and self.chat_some.search(raw) is not None
            and self.tells.search(raw) is None
        )


Value = tuple[figures.Kind, figures.Value]
BORROWER, LENDER = "\ue001", "\ue002"
FIGURE = "\ue003"
FIRST_PRODUCT = 0xE010
_TIMES = frozenset(("次", "遍", "句"))
"""Once, which is said of an explanation too."""
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_SPACE = re.compile(r"(?<![a-z]) +| +(?![a-z])")
_MARKS = re.compile("[\u300c\u300d\u201c\u201d\"'\u300a\u300b*`#|]+")
_ASIDE = re.compile(r"[（(]([^（）()]*)[）)]")
_REMARK = re.compile("[（(]([^（）()\ue000-\ue0ff]{1,4})[）)]")
BREAK = re.compile(r"[,;:!?\n\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u2026]|\u2014\u2014|\.(?= |$)")
_NUMBERED = re.compile(r"(?m)^[0-9]{1,2}\. +(?=[0-9])")
"""Of a list, before what begins with a figure itself: without the space it would be one number."""
_COUNTED = re.compile("[一二两三四五六七八九十百千]+[个张次笔天日月年期位项种份]?")
_MATTER: frozenset[Kind] = frozenset({"word", "product", "negation"})
_EXCEPT = frozenset(["除", "除了"])
_EXCEPTED = frozenset(["外", "以外", "之外"])
_FUNCTION_WORDS = frozenset("cuyo")
_COPULA = frozenset(["\u662f"])
_JOINS = frozenset("\u6b3e")
_JOINED = frozenset("\u65e5\u4eba")
"""What follows the characters above belongs to them: a payment day, a borrower."""
STARTS = frozenset("\u5728\u81ea\u4e8e\u4ece")
_FULL_STOP = frozenset("\u3002;\uff1b!?\uff01\uff1f\n")


@lru_cache(maxsize=1)
def known_words() -> Wording:
    """grounding.toml and synonyms.toml, read once."""
    with (Path(__file__).parent / "grounding.toml").open("rb") as file:
        raw: dict[str, Any] = tomllib.load(file)
    kinds: dict[str, tuple[tuple[Kind, str], ...]] = {}
    for word in raw["grammar"]["words"]:
        kinds[word] = (("grammar", word),)
    for word in raw["talk"]["words"]:
        kinds[word] = (("talk", word),)
    modal = set(raw["modal"]["words"])
    for meaning, words in raw["same"].items():
        bare = meaning.lstrip("!")
        kind: Kind = "modal" if bare in modal else "word"
        tokens: tuple[tuple[Kind, str], ...] = ((kind, bare),)
        if meaning.startswith("!"):
            tokens = (("negation", "!"), *tokens)
        kinds |= dict.fromkeys(words, tokens)
    kinds |= dict.fromkeys(raw["plain"]["words"], ())
    for word in raw["plain"]["words"]:
        kinds[word] = (("word", word),)
    kinds |= dict.fromkeys(raw["negation"]["words"], (("negation", "!"),))
    for bound in ("most", "least", "neither"):
        kinds |= dict.fromkeys(raw["negation"][bound], (("bound", bound),))
    kinds |= dict.fromkeys(raw["party"]["lender"], (("party", LENDER),))
    for word in raw["party"]["others"]:
        same = kinds.get(word)
        kinds[word] = (("party", same[0][1] if same else word),)
    borrower = raw["same"][raw["party"]["borrower"]]
    kinds |= dict.fromkeys(borrower, (("party", BORROWER),))
    in_pairs = [word for pair in raw["opposites"]["pairs"] for word in pair if len(word) > 1]
    more = (
        *raw["claims"]["words"],
        *raw["nouns"]["words"],
        *raw["narrowing"]["words"],
        *raw["narrowing"]["anchors"],
    )
    for word in (*more, *in_pairs):
        kinds.setdefault(word, (("word", word),))
    senses = _senses(raw["same"])
    pronouns = {*borrower, *raw["talk"]["words"]}
    atoms = {
        w
        for w, t in kinds.items()
        if len(w) > 1 or t[0][0] == "negation" or (w in pronouns and t[0][0] == "party")
    } | {word for word in senses if len(word) > 1 and not _joined(word, senses.keys() | kinds)}
    opposites: dict[str, frozenset[str]] = {}
    for one, other in raw["opposites"]["pairs"]:
        opposites[one] = opposites.get(one, frozenset()) | {other}
        opposites[other] = opposites.get(other, frozenset()) | {one}
    chat = sorted(" ".join(raw["talk"]["chat"]).split(), key=lambda word: (-len(word), word))
    return Wording(
        atoms=frozenset(atoms),
        longest=max(map(len, atoms)),
        senses=senses,
        kinds=kinds,
        ends=frozenset(raw["negation"]["ends"]),
        pauses=frozenset(raw["negation"]["pauses"]),
        affirmed=re.compile(raw["negation"]["affirmed"]),
        states=frozenset(raw["negation"]["states"]),
        rewrite=tuple((re.compile(said), meant) for said, meant in raw["rewrite"].items()),
        refuted=tuple(raw["negation"]["refuted"]),
        negatives=frozenset(raw["negation"]["negatives"]),
        harmless=re.compile(raw["negation"]["harmless"]),
        attributive=re.compile(raw["negation"]["attributive"]),
        stops=re.compile(raw["negation"]["stops"]),
        stem=re.compile(raw["negation"]["stem"]),
        speaker=frozenset(raw["talk"]["speaker"]),
        done=frozenset(raw["talk"]["done"]),
        whole=re.compile("|".join(raw["talk"]["whole"])),
        # No way of cutting is tried twice.
        chat=re.compile(f"(?:{'|'.join((*raw['talk']['chat_patterns'], *chat))}|{FIGURE})++"),
        chat_some=re.compile("|".join(raw["talk"]["chat_some"])),
        tells=re.compile("|".join(raw["talk"]["tells"])),
        opposites=opposites,
        anchors=frozenset(raw["narrowing"]["anchors"]),
        in_order=frozenset(raw["narrowing"]["in_order"]),
        only=raw["narrowing"]["only"],
        endings=tuple(raw["nouns"]["endings"]),
        charges=frozenset(raw["nouns"]["charges"]),
        done_to=frozenset(raw["nouns"]["done_to"]),
        nouns=frozenset(raw["nouns"]["words"]),
        moments=frozenset(raw["narrowing"]["moments"]),
        earlier=frozenset(raw["narrowing"]["earlier"]),
        later=frozenset(raw["narrowing"]["later"]),
        starts=frozenset(raw["narrowing"]["starts"]),
        before=tuple(raw["narrowing"]["before"]),
        together=frozenset(raw["joins"]["together"]),
        either=frozenset(raw["joins"]["either"]),
        both=frozenset(raw["joins"]["both"]),
        named=re.compile(f"[\ue010-\ue0ff]|{raw['joins']['named']}"),
        alongside=frozenset(raw["joins"]["alongside"]),
        offers=re.compile(raw["joins"]["offers"]),
        carriers=frozenset(raw["narrowing"]["carriers"]),
        led_by=frozenset(raw["narrowing"]["led_by"]),
        condition_topic=re.compile(raw["narrowing"]["condition_topic"]),
        light=frozenset(raw["light"]["words"]),
        idle=frozenset((*raw["light"]["words"], *raw["light"]["idle"], raw["narrowing"]["only"])),
        days=frozenset(raw["claims"]["days"]),
        frame=frozenset(raw["claims"]["frame"]),
        claims=frozenset(raw["claims"]["words"]),
        universal=re.compile(raw["claims"]["universal"]),
        decided=re.compile(raw["claims"]["decided"]),
        supposed=re.compile(raw["claims"]["supposed"]),
        supposes=re.compile(raw["claims"]["supposes"]),
        of_which=re.compile(raw["claims"]["of_which"]),
        each=re.compile(raw["claims"]["each"]),
        each_said=re.compile(raw["claims"]["each_said"]),
        whatever=re.compile(raw["claims"]["whatever"]),
        of_all=re.compile(raw["claims"]["of_all"]),
        others=frozenset(raw["party"]["others"]),
        objects=frozenset(raw["party"]["objects"]),
        acts=frozenset(raw["party"]["acts"]),
        identity=frozenset(raw["narrowing"]["identity"]),
        narrowing=frozenset(raw["narrowing"]["words"]),
        clash=frozenset((one, other) for one, other in raw["modal"]["clash"]),
        product_like=re.compile(raw["party"]["product_like"]),
        condition=re.compile(raw["narrowing"]["condition_end"]),
        condition_start=re.compile(raw["narrowing"]["condition_start"]),
        exception=re.compile(raw["narrowing"]["exception"]),
        limit=re.compile(raw["narrowing"]["limit"]),
        inclusive=re.compile(raw["narrowing"]["inclusive"]),
        counts_in=re.compile(raw["narrowing"]["counts_in"]),
        counted_in=re.compile(raw["narrowing"]["counted_in"]),
        wants=re.compile(raw["narrowing"]["wants"]),
        conditional=re.compile(raw["narrowing"]["conditional"]),
        excepts=re.compile(raw["narrowing"]["excepts"]),
        enough=re.compile(raw["narrowing"]["enough"]),
        only_then=re.compile(raw["narrowing"]["only_then"]),
        only_so=re.compile(raw["narrowing"]["only_so"]),
        no_condition=re.compile(raw["narrowing"]["no_condition"]),
        restated=re.compile(raw["narrowing"]["restated"]),
        compares=re.compile(raw["narrowing"]["compares"]),
        of_answers=frozenset(raw["narrowing"]["of_answers"]),
        only_supposed=re.compile(raw["narrowing"]["only_supposed"]),
        signed_then=re.compile(raw["narrowing"]["signed_then"]),
        decisions=frozenset(raw["narrowing"]["decisions"]),
        years=frozenset(raw["narrowing"]["years"]),
        all_products=re.compile(raw["narrowing"]["all_products"]),
        signing=frozenset(raw["narrowing"]["signing"]),
        yearly=re.compile(raw["narrowing"]["yearly"]),
        of_less=re.compile(raw["narrowing"]["of_less"]),
        amounts=tuple(
            (frozenset(raw["amounts"][name]), re.compile(raw["amounts"][name + "_said"]))
            for name in ("all", "some", "again")
        ),
        every=tuple(
            (re.compile(said), re.compile(meant)) for said, meant in raw["amounts"]["every"].items()
        ),
        listing=re.compile(raw["joins"]["listing"]),
        periods={side: re.compile(raw["periods"][side]) for side in raw["periods"]},
    )


def _joined(word: str, known: Set[str]) -> bool:
    """Whether a word is made of known ones of two characters and more."""
    return len(word) > 3 and any(
        word[:cut] in known and (word[cut:] in known or _joined(word[cut:], known))
        for cut in range(2, len(word) - 1)
    )


def _senses(same: Mapping[str, Sequence[str]]) -> Mapping[str, frozenset[str]]:
    with (Path(__file__).parent / "synonyms.toml").open("rb") as file:
        lines: Sequence[str] = tomllib.load(file)["same"]
    senses: dict[str, set[str]] = {}
    for line in lines:
        words = line.split()
        for word in words:
            senses.setdefault(word, set()).add(words[0])
    for meaning, named in same.items():
        for word in named:
            if word in senses:
                senses[word].add(meaning)
    return {word: frozenset(meant) for word, meant in senses.items()}


@lru_cache(maxsize=4096)
def read_text(text: str, names: Names) -> Reading:
    """A text as parts of tokens, with its figures; one form for quotes and sentences."""
    # Characters of private use stand for names below; a text may not bring its own.
    folded = _MARKS.sub("", _SPACE.sub("", _NUMBERED.sub("", _PRIVATE.sub("", fold(text)))))
    for said, meant in known_words().rewrite:
        folded = said.sub(meant, folded)
    folded = known_words().affirmed.sub("", folded)
    # Before the figures: a name may have one, and is no amount.
    named = folded
    for name in sorted(names.lender, key=len, reverse=True):
        named = named.replace(name, LENDER)
    for place, (_, called) in enumerate(names.products):
        for name in sorted(called, key=len, reverse=True):
            named = named.replace(name, chr(FIRST_PRODUCT + place))
    found = figures.find(named)
    plain: list[str] = []
    end = 0
    for figure in found:
        start, stop = figure.span
        plain += [named[end:start], "" if figure.kind == "ordinal" else FIGURE]
        end = stop
    plain.append(named[end:])
    masked = "".join(plain)
    found = [figure for figure in found if figure.kind != "ordinal"]
    remarks = tuple(r[1] for r in _REMARK.finditer(masked) if not _unless_it_tells(r))
    masked = _REMARK.sub(_unless_it_tells, masked)
    main, apart = _figure_order(masked, found)
    parts = [
        Part(stretch, tuple(with_signs(tokens_of(stretch))), tuple(numbers), stop)
        for stretch, stop, numbers in _stretches(_ASIDE.sub("", masked), main)
    ]
    parts += [
        Part(aside, tuple(with_signs(tokens_of(aside))), tuple(numbers), aside=True)
        for aside, numbers in zip(_ASIDE.findall(masked), apart, strict=True)
    ]
    return Reading(folded, tuple(p for p in parts if p.tokens or p.figures), remarks)


def _unless_it_tells(remark: re.Match[str]) -> str:
    """A short remark in brackets is left out, but who it is, or who is not, tells something."""
    wording = known_words()
    told = remark[1] in wording.others or wording.exception.search(remark[1])
    return remark.group() if told else ""


def _figure_order(
    masked: str, found: Sequence[figures.Figure]
) -> tuple[list[figures.Figure], list[list[figures.Figure]]]:
    """Figures of the text without its asides, and those of each aside."""
    main: list[figures.Figure] = []
    apart: list[list[figures.Figure]] = []
    spans = [m.span() for m in _ASIDE.finditer(masked)]
    apart = [[] for _ in spans]
    place = 0
    for index, char in enumerate(masked):
        if char != FIGURE:
            continue
        inside = next((i for i, (a, b) in enumerate(spans) if a <= index < b), None)
        (main if inside is None else apart[inside]).append(found[place])
        place += 1
    return main, apart


def _stretches(
    main: str, found: Sequence[figures.Figure]
) -> Iterator[tuple[str, bool, list[figures.Figure]]]:
    taken = 0
    start = 0
    ends = [*BREAK.finditer(main), None]
    for match in ends:
        stretch = main[start : match.start() if match else len(main)]
        count = stretch.count(FIGURE)
        stop = match is None or match.group() in _FULL_STOP
        yield stretch, stop, list(found[taken : taken + count])
        taken += count
        start = match.end() if match else start


def tokens_of(stretch: str) -> list[Token]:
    """The words of a part, none of them denied yet."""
    wording = known_words()
    tokens: list[Token] = []
    end = 0
    place = 0
    while place < len(stretch):
        word = _atom_at(stretch, place, wording)
        if word:
            tokens += _cut(stretch[end:place])
            tokens += _atom(word)
            end = place = place + len(word)
        else:
            place += 1
    return tokens + _cut(stretch[end:])


def _atom_at(stretch: str, place: int, wording: Wording) -> str:
    if _PRIVATE.match(stretch, place):
        return stretch[place]
    for length in range(min(wording.longest, len(stretch) - place), 0, -1):
        word = stretch[place : place + length]
        if word in wording.atoms:
            joined = word[-1] in _JOINS and stretch[place + length : place + length + 1] in _JOINED
            if not joined:
                return word
    return ""


def _atom(word: str) -> list[Token]:
    if word == FIGURE:
        return []
    if word == LENDER:
        return [Token("party", LENDER, word)]
    if word >= "\ue010" and len(word) == 1 and word <= "\ue0ff":
        return [Token("product", word, word)]
    known = known_words().kinds.get(word)
    if known is None:
        chinese = word[0] >= "\u3400"
        joins = chinese and part_of_speech(word) in _FUNCTION_WORDS
        grammar = joins or _COUNTED.fullmatch(word)
        return [Token("grammar" if grammar else "word", word, word)]
    return [Token(each, meaning, word) for each, meaning in known]


def _cut(run: str) -> list[Token]:
    if not run:
        return []
    import rjieba

    words = (word for word in rjieba.cut(run, False) if word.strip(" \u3001-~/.%\u00b7"))
    return [token for word in words for token in _atom(word)]


@lru_cache(maxsize=8192)
def part_of_speech(word: str) -> str:
    """First letter of the dictionary's tag: c for conjunctions, p for prepositions and so on."""
    import rjieba

    return str(rjieba.tag(word)[0][1][0])


def _is_denied_modal(tokens: Sequence[Token], place: int) -> bool:
    return place + 1 < len(tokens) and tokens[place + 1].raw == tokens[place].raw


def with_signs(tokens: Sequence[Token]) -> Iterator[Token]:
    """Tokens with what a denial in the same part makes of them; two in a row cancel out."""
    wording = known_words()
    signs: list[Sign] = []
    kept: set[int] = set()
    states: set[int] = set()
    opened = 0
    unreached: list[Sign] = []
    denied = state = excepted = within = outer = False
    previous: Token | None = None
    for place, token in enumerate(tokens):
        if token.kind == "negation":
            outer = denied and token.raw in wording.states
            was = denied
            twice = denied and previous is not None and previous.kind == "negation"
            denied = not twice
            if _is_denied_modal(tokens, place) and was and not twice:
                denied = False
            state = token.raw in wording.states
            unreached = signs[opened:place]
            for before in range(opened, place):
                if signs[before] != "denied":
                    signs[before] = "either" if denied else "said"
            signs.append("said")
        elif token.raw in wording.pauses and not (within and token.raw in wording.moments):
            denied = state = False
            signs.append("said")
        elif state and token.raw == "的":
            # It only says which ones: what may be done with them is not denied.
            for before, sign in enumerate(unreached, opened):
                if tokens[before].kind == "modal" and place + 1 < len(tokens):
                    signs[before] = sign
            opened, denied, state = place + 1, outer, False
            signs.append("said")
        elif token.raw in wording.ends:
            opened, denied, state = place + 1, False, False
            signs.append("said")
        else:
            signs.append("denied" if denied else "said")
        if state and denied:
            states.add(place)
        excepted = token.raw in _EXCEPT or (excepted and token.raw not in _EXCEPTED)
        if excepted:
            kept.add(place)
        if token.kind != "modal" and token.raw not in _COPULA:
            previous = token
        within = denied and (within or token.raw in STARTS)
    for place, (token, sign) in enumerate(zip(tokens, signs, strict=True)):
        own: Sign = "said" if place in kept else sign
        yield Token(token.kind, token.meaning, token.raw, own, place in states)


def plainly(text: str) -> str:
    """The text without what does not change its words: width, script, spaces, quotation marks."""
    return _MARKS.sub("", _SPACE.sub("", fold(text)))
