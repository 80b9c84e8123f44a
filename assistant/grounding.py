"""Whether quotes say what a written sentence says: polarity, who and what, conditions, content.

A floor that reads words, not a proof: it errs towards withholding. How a text is read is in
reading.py; what words mean is data, grounding.toml; figures are compared by figures.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import combinations, pairwise, zip_longest
from operator import add
from typing import Literal

from knowledge.text import fold

from . import figures, rearranged
from .reading import (
    BORROWER,
    BREAK,
    FIGURE,
    FIRST_PRODUCT,
    LENDER,
    STARTS,
    Names,
    Part,
    Reading,
    Sign,
    Token,
    Value,
    known_words,
    part_of_speech,
    plainly,
    read_text,
    tokens_of,
    with_signs,
)

Reason = Literal[
    "unsupported_figure",
    "bound_contradicted",
    "figure_role",
    "polarity",
    "subject",
    "condition_dropped",
    "promise",
    "invented",
]

MAX_QUOTED_CHARS = 6000
"""Quotes that are longer together are not read at all."""

MOST_UNSAID = 4
"""Characters in a row, in one part of a sentence, of words that no quote has."""

MOST_UNSAID_SHARE = 0.45
"""Share of a part's characters that may belong to words that no quote has."""

MOST_UNSAID_SHARE_OF_BOUND = 0.3
"""The same where a part has a figure that is a bound, in whose place such a word may stand."""

LIGHT = 0.3
"""What a character of a general word counts beside one of any other."""

MOST_OF_PREDICATE = 1.4
"""The same of the last word of a part, which says what it is about."""

LEAST_REPLACED = 0.9
"""Characters of words no quote has from which a part is compared with what it leaves out."""

MOST_OF_ANSWER = 3
"""Characters of a part that only says yes or no, which is told by what follows it."""

MOST_OF_TOPIC = 3
"""Words at the beginning of a quoted sentence that its later parts speak of too."""

LEAST_VERBATIM, LEAST_VERBATIM_WORDS = 0.75, 3
"""Share of a sentence's words, and how many, that stand in a quote in the same order, from which
each of the others is looked at."""

STRICTLY_VERBATIM = 0.8
"""The same from which a word in the place of another one is taken for the matter, whatever it
is."""

LEAST_TOLD_TWICE = 0.3
"""Share of a sentence's words that it has once more than its quotes, from which each of its halves
is looked at by itself."""

MOST_EXCHANGED = 3
"""Words in a row that may have taken each other's place."""

LEAST_OF_DENIED = 4
"""Characters of the words that stand only where the quotes deny, from which a part without any
negative is taken to say the opposite."""

MOST_PAIRS = 50
"""Parts of a sentence beside parts of a quote of which each two are compared."""

MOST_BETWEEN = 8
"""Characters between two names that a quote joins, which may tell what of each it is."""

LEAST_LISTED = 2
"""Charges that a sentence names of those that a quote lists, from which none may stand in the place
of another."""

LEAST_CROSSED = 3
"""Characters of the words that a condition and its consequence have exchanged."""

LEAST_FIELDS = 2
"""Names with values from which a quote is a row of a table."""

LEAST_OF_FIELD = 2
"""Characters of a field's name by which a part of a sentence is of that field; a name of a product
counts as many."""

LEAST_OF_CONDITION = 0.75
"""Share of a condition's words that a sentence must repeat."""

_FIGURE_CHARS = 2
"""What a figure counts beside words, in characters."""
_NAMED = re.compile("[\u300c\u201c\u300a]([^\u300d\u201d\u300b]{1,20})[\u300d\u201d\u300b]")
_NAMED_APP = re.compile(
    "[\u300c\u201c\u300a][^\u300d\u201d\u300b]{1,20}[\u300d\u201d\u300b] ?[Aa][Pp][Pp]"
)
_POINTED = re.compile("(?<![0-9a-z])\\.[0-9]+")
"""A number whose nought is left out, which figures.py reads as a whole one."""
_LATIN, _HAN = re.compile("[a-z]+"), re.compile("[\u3400-\u9fff]")
_FIELD_NAMES = re.compile(
    "(?:^|(?<=[;\uff1b\n]))[^,;:\uff1a\u3002\n]{1,10}[:\uff1a](?=[^;\uff1b\n]*[;\uff1b])"
)
_FIELD_ENDS = re.compile("[;\uff1b]")
_ROW = re.compile(r"[^,;:]{1,8}[:\uff1a][^;]*[;\uff1b]")
_SIDES = frozenset(["min", "max"])
_CONTENT = frozenset(["word", "party", "product", "modal", "negation"])
_EVERY = "\u6bcf"
_OF = "\u7684"
_MARKERS = frozenset(["\u5c06"])
"""What tells the future by itself, and behind another modal only marks an object."""
_MUST = "\u987b"
_MAY = "\u53ef\u4ee5"
_CHARGED = "\u6536"
_FREE = "\u514d"
_WILL = "\u4f1a"
_PARTICLES = frozenset("\u7684\u662f\u5462\u54e6")
_FIRST = "\u5148"
_DAY = "\u65e5"
_LISTS = re.compile("\u3001|\u4ee5\u53ca|\u6216\u8005|[\u548c\u6216\u4e14\u53ca\u4e0e]")
_THINGS = frozenset("\u4e2a\u79cd\u9879\u6761\u6837\u4ef6\u70b9\u7c7b")
_DATED = frozenset("\u6b3e\u8bf7\u7b7e\u9886\u8fd8\u6e05\u65e5")
"""Last characters of what has a day: a payment, an application, a signature."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a sentence says that its quotes do not."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a sentence may rest on."""

    quote: str
    heading: str = ""
    """Titles above the quote, which may name the product."""
    product: str = ""
    """Key of the product whose terms the quote stands in."""


def find_problem(
    text: str,
    sources: Sequence[Source],
    names: Names,
    asked: str = "",
    facts: Sequence[str] = (),
) -> Problem | None:
    """The first thing in a sentence that does not follow from its quotes; None clears it.

    asked: the question, whose figures may be restated as the customer's own.
    facts: texts beside the quotes in which figures may stand, such as calculations.
    """
    if sum(len(source.quote) for source in sources) > MAX_QUOTED_CHARS:
        return Problem("invented", text)
    plain = plainly(text)
    if any(plain == plainly(source.quote) for source in sources):
        return None
    if len(_LATIN.findall(plain)) > len(_HAN.findall(plain)):
        # Of another language no denial is known, so only its clause's own words will do.
        return Problem("invented", text)
    quoted = [read_text(source.quote, names) for source in sources]
    case = _Case(read_text(text, names), quoted, sources, names, asked, tuple(facts))
    for told in (text, *_told_twice(case.said, quoted)):
        problem = _find_problem(told, replace(case, said=read_text(told, names)))
        if problem is not None:
            return problem
    return None


def _find_problem(text: str, case: _Case) -> Problem | None:
    text_of_quotes = case.quoted_text()
    matter = tuple(part for part in case.said.parts if not part.of_the_talk(text_of_quotes))
    case = replace(case, said=_settled(replace(case.said, parts=matter), case.quoted))
    for name in _NAMED.findall(text):
        if not (_stands(name, case) or _is_called(name, case)):
            return Problem("invented", name)
    for app in _NAMED_APP.findall(text):
        if not any(plainly(app) in plainly(source.quote) for source in case.sources):
            return Problem("invented", app)
    if _out_of_order(_NAMED.findall(text), case):
        return Problem("figure_role", text)
    pointed = _POINTED.search(fold(text))
    if pointed and not _stands(pointed.group(), case):
        return Problem("unsupported_figure", pointed.group())
    for remark in case.said.remarks:
        wording = known_words()
        told = wording.counts_in.fullmatch(remark) and wording.counted_in.search(text_of_quotes)
        if not told and not _stands(f"({remark})", case):
            return Problem("invented", remark)
    for counted in known_words().inclusive.finditer(fold(text)):
        if not _stands(counted.group(), case):
            return Problem("bound_contradicted", counted.group())
    for find in _CHECKS:
        problem = find(case)
        if problem is not None:
            return problem
    return None


def _told_twice(said: Reading, quoted: Sequence[Reading]) -> Sequence[str]:
    """Both halves of a sentence that says the same of its quotes twice: what the one does not say
    must not be taken from the other. Nothing where it does not."""
    own = Counter(t.meaning for part in said.parts for t in part.words())
    held = Counter(t.meaning for r in quoted for part in r.parts for t in part.words())
    again = sum(times - max(1, held[meaning]) for meaning, times in own.items() if times > 1)
    if again < LEAST_TOLD_TWICE * own.total():
        return ()
    halves: list[tuple[int, str, str]] = []
    for match in BREAK.finditer(said.folded):
        first, rest = said.folded[: match.start()], said.folded[match.end() :]
        common = set(map(add, first, first[1:])) & set(map(add, rest, rest[1:]))
        halves.append((len(common), first, rest))
    return max(halves)[1:] if halves else ()


def _stands(name: str, case: _Case) -> bool:
    """Whether words that are told exactly, such as the name of a page, are known.

    That the customer said them does not make them so.
    """
    plain = plainly(name)
    told = (*(s.quote for s in case.sources), *(s.heading for s in case.sources), *case.facts)
    texts = map(plainly, told)
    named = [*case.names.lender, *(n for _, called in case.names.products for n in called)]
    return any(plain in text for text in (*texts, *named))


def _out_of_order(names: Sequence[str], case: _Case) -> bool:
    """Whether two names follow each other that do so in a quote the other way round."""
    for source in case.sources:
        held = set(pairwise(_NAMED.findall(source.quote)))
        for one, other in pairwise(names):
            if (other, one) in held and (one, other) not in held:
                return True
    return False


def _is_called(name: str, case: _Case) -> bool:
    """Whether a quote has the name in other words."""
    called = {_words_of(each, case) for s in case.sources for each in _NAMED.findall(s.quote)}
    return _words_of(name, case) in called


def _words_of(name: str, case: _Case) -> tuple[str, ...]:
    return tuple(token.meaning for token in read_text(name, case.names).tokens())


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Read what the first check would have to wait for: some tenths of a second."""
    find_problem("\u53ef\u501f200\u5143", [Source("1 \u5143\u81f3 200 \u5143")], Names())


def _settled(said: Reading, quoted: Sequence[Reading]) -> Reading:
    """The same, where words no quote has mean the quoted words that they may stand for."""
    meant: dict[str, Token] = {}
    senses = known_words().senses
    held = {t.meaning for r in quoted for t in r.tokens() if t.kind in ("word", "party")}
    for reading in quoted:
        for token in reading.tokens():
            plain = token.kind in ("grammar", "talk") and len(token.raw) > 1
            if plain or token.kind == "word" or token.raw in known_words().others:
                for sense in (token.meaning, *senses.get(token.raw, ())):
                    other = meant.get(sense)
                    if other is None or (other.kind != "word" and token.kind == "word"):
                        meant[sense] = token

    def settle(token: Token) -> Token:
        if token.kind not in ("word", "grammar", "talk", "party") or token.meaning in held:
            return token
        if token.kind != "word" and (len(token.raw) == 1 or token.meaning < "\u3400"):
            return token
        if token.meaning >= "\ue000":
            return token
        own = senses.get(token.raw, frozenset()) | {token.meaning}
        stands_for = [meant[sense] for sense in sorted(own) if sense in meant]
        if not stands_for:
            return token
        kinds = {other.kind for other in stands_for}
        other = next((o for o in stands_for if o.kind == "word"), stands_for[0])
        if token.kind != "word" and "word" not in kinds and "party" not in kinds:
            return token
        return replace(token, kind=other.kind, meaning=other.meaning)

    parts = tuple(replace(p, tokens=tuple(map(settle, p.tokens))) for p in said.parts)
    return replace(said, parts=parts)


@dataclass(frozen=True)
class _Case:
    said: Reading
    quoted: Sequence[Reading]
    sources: Sequence[Source]
    names: Names
    asked: str
    facts: Sequence[str]

    @cached_property
    def _quoted_parts(self) -> Sequence[Part]:
        return [part for reading in self.quoted for part in reading.parts]

    @cached_property
    def _nearest(self) -> dict[int, list[Part]]:
        return {}

    def quoted_parts(self) -> Sequence[Part]:
        return self._quoted_parts

    def nearest(self, part: Part) -> list[Part]:
        """The quoted parts that share most with a part of the sentence."""
        # By which object it is: to compare two of them takes longer than what is saved.
        if id(part) not in self._nearest:
            self._nearest[id(part)] = _nearest(part, self._quoted_parts)
        return self._nearest[id(part)]

    def quoted_meanings(self) -> set[str]:
        return {token.meaning for reading in self.quoted for token in reading.tokens()}

    def quoted_text(self) -> str:
        return "\n".join(reading.folded for reading in self.quoted)


def _nearest(part: Part, others: Iterable[Part]) -> list[Part]:
    """The quoted parts that share most with a part; empty where none shares anything."""
    own = part.meanings()
    values = {(f.kind, f.value) for f in part.figures}
    best: list[Part] = []
    most = 0.0
    for other in others:
        shared = float(sum(2 if m >= BORROWER else len(m) for m in own & other.meanings()))
        shared += 2 * sum((f.kind, f.value) in values for f in other.figures)
        if shared > most:
            best, most = [other], shared
        elif shared == most and most:
            best.append(other)
    return best


def _content(case: _Case) -> Problem | None:
    """Words that no quote has."""
    wording = known_words()
    quoted = case.quoted_text()
    said_meanings = case.said.meanings()
    asked = fold(case.asked)
    for whole, of in _of_charges(case):
        if whole in said_meanings and of not in said_meanings:
            return Problem("subject", whole)
    decided = wording.decided.search(case.said.folded)
    if decided and not wording.supposed.search(case.said.folded):
        return Problem("promise", decided.group())
    if wording.each.search(case.said.folded) and not wording.each_said.search(quoted):
        return Problem("promise", case.said.folded)
    universal = wording.universal.search(case.said.folded)
    if universal and universal.group() not in quoted and not wording.of_all.search(quoted):
        return Problem("promise", universal.group())
    whatever = wording.whatever.search(case.said.folded)
    if whatever and not wording.whatever.search(quoted):
        return Problem("promise", whatever.group())
    meanings = {t.meaning for reading in case.quoted for t in reading.tokens()}
    chars = set(quoted) | set("".join(meanings))
    done = {meaning for part in case.quoted_parts() for meaning in _done(part)}
    bounds = {(f.kind, f.value) for p in case.quoted_parts() for f in p.figures if f.bound}
    for part in case.said.parts:
        for token in part.tokens:
            if token.raw in wording.speaker and token.raw not in case.quoted_text():
                return Problem("promise", part.raw)
        only_of = done and wording.of_which.search(part.raw)
        # At the end of a sentence it is a way of speaking, and supposes nothing.
        told = part.ends_sentence and part.raw.endswith(_OF)
        supposed = only_of or (wording.supposes.search(part.raw) and not told)
        if _done(part) - done and not supposed:
            return Problem("promise", part.raw)
        unsaid, length, run, longest = 0.0, 0, 0.0, 0.0
        words: list[str] = []
        before: Token | None = None
        last_unheard, last_weight = False, 0.0
        for token in part.tokens:
            named = before is not None and before.raw[-1] in _DATED
            governed = before is not None and before.kind in ("modal", "negation")
            before = token
            unheard = token.meaning not in meanings and token.raw not in quoted
            if unheard and wording.claims & {token.raw, token.meaning}:
                return Problem("promise", token.raw)
            if (
                token.raw in wording.days
                and not named
                and not any(day in quoted for day in wording.days)
            ):
                return Problem("promise", token.raw)
            told = token.kind == "talk" and governed and len(token.raw) > 1
            if (token.kind != "word" and not told) or token.meaning == wording.only:
                continue
            last_unheard, last_weight = False, 0.0
            length += len(token.raw)
            if not unheard:
                run = 0
                continue
            if token.raw in asked and token.kind == "word":
                run = 0
                continue
            weight = _strangeness(token.raw, chars)
            if token.raw in wording.light and not governed:
                weight *= LIGHT
            words.append(token.raw)
            last_unheard = token.raw not in wording.light
            if last_unheard and len(token.raw) > 1:
                last_weight = weight
            unsaid += weight
            run += weight
            longest = max(longest, run)
        # In no word of the quotes: it only sounds like small talk.
        heard = part.figures or any(t.meaning in meanings or t.raw in quoted for t in part.words())
        answers = all(t.kind in ("modal", "negation") or t.raw in _PARTICLES for t in part.tokens)
        if not (heard or answers) and len(part.raw) > MOST_OF_ANSWER and part.raw not in quoted:
            return Problem("invented", part.raw)
        share = unsaid / max(1, length)
        bounded = bool({(f.kind, f.value) for f in part.figures} & bounds)
        most_share = MOST_UNSAID_SHARE_OF_BOUND if bounded else MOST_UNSAID_SHARE
        if longest > MOST_UNSAID or (share > most_share and unsaid >= 1):
            return Problem("invented", " ".join(words))
        if last_weight >= MOST_OF_PREDICATE:
            return Problem("invented", words[-1])
        least = 1.0 if last_unheard else LEAST_REPLACED
        if unsaid >= least and all(_replaced(part, other, unsaid) for other in case.nearest(part)):
            return Problem("invented", " ".join(words))
    return None


def _of_charges(case: _Case) -> Iterator[tuple[str, str]]:
    """Charges of which the quotes name another only, as the interest of a principal."""
    charges = known_words().charges
    for part in case.quoted_parts():
        for one, of, other in zip(part.tokens, part.tokens[1:], part.tokens[2:], strict=False):
            if one.raw in charges and of.raw == "的" and other.raw in charges:
                yield one.meaning, other.meaning


def _done(part: Part) -> set[str]:
    """What a part says has come to pass already; of several words the first is taken."""
    done = known_words().done
    found: set[str] = set()
    open_ = False
    for token in part.tokens:
        if token.raw in done:
            open_ = True
        elif open_ and token.kind in ("word", "negation"):
            found.add(token.meaning)
            open_ = False
    return found | ({""} if open_ else set())


def _strangeness(word: str, chars: set[str]) -> float:
    """Characters of a word that the quotes have not; one that they have counts less.

    But not the last one of a word that they have for no other: it tells the kind of thing only,
    as `mail` does in `snail mail`, and so stands in what takes the place of another.
    """
    held = [char in chars for char in word]
    if len(word) > 1 and not any(held[:-1]):
        held[-1] = False
    return sum(0.4 if known else 1.0 for known in held)


def _names_a_thing(word: str) -> bool:
    wording = known_words()
    return word in wording.nouns or (
        word not in wording.light and len(word) > 1 and word.endswith(wording.endings)
    )


def _replaced(part: Part, quoted: Part, unsaid: float) -> bool:
    """Whether words of the quote, or what it permits or demands, are gone from a part.

    unsaid: characters of the words that stand there instead; one may be a particle.
    """
    lost = Counter(t.meaning for t in quoted.words())
    lost.subtract(t.meaning for t in part.tokens)
    gone = sum(len(meaning) * times for meaning, times in lost.items() if times > 0)
    figures_gone = {f.value for f in quoted.figures} - {f.value for f in part.figures}
    if _modals(quoted) and not _modals(part):
        return True
    return gone >= 2 or (unsaid > 1 and (gone >= 1 or bool(figures_gone)))


def _polarity(case: _Case) -> Problem | None:
    """A word that the quotes deny and the sentence does not, or the other way round."""
    for word in known_words().refuted:
        if word in case.quoted_text() and word not in case.said.folded:
            return Problem("polarity", word)
    wrong = (
        _forbidden(case)
        or _not_denied(case)
        or _wrong_answer(case)
        or _wrong_time(case)
        or _undenied(case)
    )
    if wrong:
        return Problem("polarity", wrong)
    everywhere = _signs(case.quoted_parts())
    denied = {t.meaning for p in case.said.parts for t in p.words() if t.sign == "denied"}
    matched = [
        part
        for part in case.quoted_parts()
        if denied & {t.meaning for t in part.words() if t.sign == "denied"}
        or (part.denies() and any(_denies_all_of(said, part) for said in case.said.parts))
    ]
    demanded = {modal for part in case.quoted_parts() for modal in _modals(part)}
    clash = known_words().clash
    for part in case.said.parts:
        words = part.words()
        if not (words or _modals(part)) or _is_topic(part, matched, case.said.parts):
            continue
        beside = [
            other
            for other in case.quoted_parts()
            if {(f.kind, f.value) for f in part.figures if f.kind != "count"}
            & {(f.kind, f.value) for f in other.figures}
        ]
        nearest = case.nearest(part)
        for signs in (everywhere, _signs(beside)):
            problem = _against(part, signs, matched, nearest)
            if problem:
                return Problem("polarity", problem)
        if not nearest:
            # Whatever it is said of: the quotes only say the opposite.
            own = _modals(part)
            against = any((m, o) in clash for m in demanded for o in own)
            told = words or part.figures
            if told and own and not own & demanded and against:
                return Problem("polarity", part.raw)
            continue
        if all(_opposed(part, other) for other in nearest):
            return Problem("polarity", part.raw)
        if all(_modal_clash(part, other) for other in nearest):
            return Problem("polarity", part.raw)
        if (
            part.denies()
            and len(part.meanings()) > 1
            and all(not o.denies() and part.meanings() <= o.meanings() for o in nearest)
            and not any(known_words().exception.search(o.raw) for o in nearest)
        ):
            return Problem("polarity", part.raw)
        if _denies_a_topic(part, case) or _denies_of_another(part, case):
            return Problem("polarity", part.raw)
        said = {t.meaning for t in words if t.sign == "said"}
        if all(_head(other) in said - {BORROWER} for other in nearest):
            return Problem("polarity", part.raw)
        if part.denies():
            own = {t.meaning for t in words if t.sign == "denied"}
            if not any("denied" in everywhere.get(meaning, ()) for meaning in own) and not any(
                other.denies() for other in nearest
            ):
                return Problem("polarity", part.raw)
        elif all(other.denies() and other not in matched for other in nearest) and all(
            any(t.meaning in part.meanings() and t.sign != "said" for t in other.words())
            for other in nearest
        ):
            return Problem("polarity", part.raw)
    return None


def _forbidden(case: _Case) -> str:
    """What the sentence says cannot be, where the quotes deny nothing, or only that it costs
    something."""
    denials = [t for part in case.quoted_parts() for t in part.tokens if t.kind == "negation"]
    if not all(t.raw[0] == _FREE for t in denials):
        return ""
    denied = {f"!{_MAY}", f"!{_WILL}"}
    return next((p.raw for p in case.said.parts if denied & _modals(p)), "")


def _not_denied(case: _Case) -> str:
    """A part without any negative, where all that it may follow denies."""
    wording = known_words()
    said = wording.harmless.sub("", case.said.folded)
    # A denial that only says which ones, there as here, denies nothing of what is told of them.
    which = {match.group()[1:] for match in wording.attributive.finditer(case.quoted_text())}
    said = wording.attributive.sub(lambda m: "" if m.group()[1:] in which else m.group(), said)
    if wording.negatives & set(said) or wording.stops.search(said):
        return ""
    for part in case.said.parts:
        nearest = case.nearest(part)
        if (
            len(part.meanings()) > 1
            and nearest
            and all(
                (_denies_outright(other) or wording.stops.search(other.raw))
                and len(other.meanings() & part.meanings()) * 2 >= len(other.meanings())
                for other in nearest
            )
        ):
            return part.raw
        if _of_what_is_denied(part, case):
            return part.raw
    return ""


def _denies_outright(part: Part) -> bool:
    wording = known_words()
    rest = wording.attributive.sub("", wording.harmless.sub("", part.raw))
    return part.denies() and bool(wording.negatives & set(rest))


def _of_what_is_denied(part: Part, case: _Case) -> bool:
    """Whether all that a part speaks of stands in the quotes where they deny it, and there only."""
    stops = known_words().stops
    denying = [o for o in case.quoted_parts() if _denies_outright(o) or stops.search(o.raw)]
    others = {m for o in case.quoted_parts() if o not in denying for m in o.meanings()}
    own = [t for t in part.words() if t.kind == "word" and t.meaning not in others]
    return any(
        sum(len(t.raw) for t in own if t.meaning in o.meanings()) >= LEAST_OF_DENIED
        for o in denying
    )


def _undenied(case: _Case) -> str:
    """A word that the quotes have behind a negative only, and the sentence without any."""
    negatives, stem = known_words().negatives, known_words().stem
    quoted = _FIELD_NAMES.sub("", case.quoted_text())
    stems = (match.group(1) or match.group(2) for match in stem.finditer(quoted))
    words = [word for word in stems if not negatives & set(word)]
    denials = _denials(tuple(words))
    for word in words:
        if any(
            quoted[at - 1 : at] not in negatives or not at
            for at in (m.start() for m in re.finditer(re.escape(word), quoted))
        ):
            continue
        for part in case.said.parts:
            # A denial that the quotes have too, of another word, denies nothing of this one.
            if word not in part.raw:
                continue
            own = [m.group() for m in denials.finditer(part.raw) if m[1] in word]
            if not negatives & set(denials.sub("", part.raw)) and not own:
                return part.raw
    return ""


@lru_cache(maxsize=256)
def _denials(words: Sequence[str]) -> re.Pattern[str]:
    """A negative before one of some words."""
    named = "|".join(map(re.escape, sorted(set(words), key=len, reverse=True)))
    return re.compile(f"[{''.join(sorted(known_words().negatives))}]({named or '(?!)'})")


def _denies_a_topic(part: Part, case: _Case) -> bool:
    """Whether a part denies what the quotes only speak of, and not what they deny of it."""
    said = case.said.meanings()
    for token in part.words():
        if token.sign != "denied" or token.kind != "word":
            continue
        holders = [o for o in case.quoted_parts() if token.meaning in o.meanings()]
        if holders and all(
            other.denies()
            and _head(other) not in said
            and all(t.sign != "denied" for t in other.words() if t.meaning == token.meaning)
            for other in holders
        ):
            return True
    return False


def _denies_of_another(part: Part, case: _Case) -> bool:
    """Whether a part denies of one thing what the quotes deny of another."""
    denied = {t.meaning for t in part.words() if t.sign == "denied" and t.kind == "word"}
    own = {t.meaning for t in part.words() if t.kind == "word"} - denied
    for meaning in denied:
        holders = [
            {t.meaning for t in other.words()} - {meaning}
            for other in case.quoted_parts()
            if any(t.meaning == meaning and t.sign == "denied" for t in other.words())
        ]
        if own and holders and all(held and not held & part.meanings() for held in holders):
            elsewhere = {m for other in case.quoted_parts() for m in other.meanings()}
            if own <= elsewhere:
                return True
    return False


def _wrong_answer(case: _Case) -> str:
    """A yes or no that stands for itself, where the quotes have none of its kind."""
    signed = {modal for part in case.quoted_parts() for modal in _modals(part)}
    denies = any(part.denies() for part in case.quoted_parts())
    for place, part in enumerate(case.said.parts):
        if part.figures or part.words() or not any(t.kind == "modal" for t in part.tokens):
            continue
        rest = case.said.parts[place + 1 :]
        said = {modal for other in rest for modal in _modals(other)}
        for modal in _modals(part):
            other = modal[1:] if modal.startswith("!") else "!" + modal
            if other in said and modal not in said:
                return part.raw
            if modal == _MUST and modal not in said and any(p.denies() for p in rest):
                return part.raw
            if modal.startswith("!"):
                wrong = not denies or (modal not in signed and modal[1:] in signed)
            elif modal == _MUST:
                wrong = modal not in signed
            else:
                refused = bool(rest) and all(p.denies() for p in rest) and _refuses(case)
                wrong = modal not in signed and ("!" + modal in signed or refused)
            if wrong:
                return part.raw
    return ""


def _refuses(case: _Case) -> bool:
    """Whether all that the quotes deny is refused: nothing of it only need not be done, or paid."""
    denials = [
        after.meaning
        for part in case.quoted_parts()
        for token, after in pairwise((*part.tokens, *part.tokens[-1:]))
        if token.kind == "negation"
    ]
    return bool(denials) and not {_CHARGED, _MUST} & set(denials)


def _wrong_time(case: _Case) -> str:
    """What the sentence puts after something and the quotes before it, or the other way round."""
    held: dict[str, set[str]] = {}
    for part in case.quoted_parts():
        for meaning, when in _times(part):
            held.setdefault(meaning, set()).add(when)
    known = case.quoted_meanings()
    for part in case.said.parts:
        for meaning, when in _times(part):
            if meaning not in known or when in held.get(meaning, set()):
                continue
            if meaning in held or meaning.endswith(_DAY):
                return part.raw
        if "earlier" in {when for _, when in _times(part)} and not any(
            sign in reading.folded for reading in case.quoted for sign in known_words().before
        ):
            return part.raw
        anchors = set(_times(part))
        nearest = [set(_times(other)) for other in case.nearest(part)]
        if any(
            meaning in known
            and when not in held.get(meaning, set())
            and nearest
            and all(_anchor_gone(when, near, part.meanings()) for near in nearest)
            for meaning, when in anchors
        ):
            return part.raw
        own = dict(_times(part))
        near = [dict(_times(other)) for other in case.nearest(part)]
        if near and all(
            any(own[meaning] != other[meaning] for meaning in own.keys() & other.keys())
            for other in near
        ):
            return part.raw
    return ""


def _anchor_gone(when: str, quoted: set[tuple[str, str]], said: Set[str]) -> bool:
    """Whether what a quote counts from, or up to, is not in a part at all."""
    return any(when == of and meaning not in said for meaning, of in quoted)


def _times(part: Part) -> Iterator[tuple[str, str]]:
    wording = known_words()
    for token, after in pairwise(part.tokens):
        if token.kind == "word" and after.raw in wording.earlier:
            yield token.meaning, "earlier"
        elif token.kind == "word" and after.raw in wording.later | wording.starts:
            yield token.meaning, "later"


def _opposed(part: Part, quoted: Part) -> bool:
    """Whether a word stands where the quote has its opposite."""
    opposites = known_words().opposites
    own, held = part.meanings(), quoted.meanings()
    return any(opposites.get(word, frozenset()) & held - own for word in own - held)


def _permits(part: Part) -> Iterator[tuple[str, str]]:
    """Each word that stands first behind a modal, with that modal."""
    modal = ""
    for token in part.tokens:
        if token.kind == "modal" and not (modal and token.raw in _MARKERS):
            modal = ("!" if token.sign == "denied" else "") + token.meaning
        elif token.kind == "word" and modal:
            yield token.meaning, modal
            modal = ""


def _qualified(case: _Case) -> Problem | None:
    """A word that the quote has only behind another one, and the sentence without that one."""
    said = case.said.meanings()
    chars = set("".join(t.raw + t.meaning for t in case.said.tokens()))
    before: dict[str, set[str]] = {}
    for part in case.quoted_parts():
        for one, other in zip([None, *part.tokens], part.tokens, strict=False):
            if other.kind == "word":
                if one is None or one.kind != "word" or len(one.meaning) < 2:
                    qualifier = ""
                else:
                    qualifier = "" if one.raw in known_words().carriers else one.meaning
                before.setdefault(other.meaning, set()).add(qualifier)
    for part in case.said.parts:
        if not part.meanings() <= case.quoted_meanings():
            continue
        for token in part.words():
            qualifiers = before.get(token.meaning, {""})
            if "" in qualifiers or qualifiers & said:
                continue
            if all(sum(c in chars for c in q) * 2 < len(q) for q in qualifiers):
                return Problem("condition_dropped", f"{'/'.join(qualifiers)} {token.raw}")
    return None


def _mixed(case: _Case) -> Problem | None:
    """A part that says of one thing in the quote what the quote says of another."""
    wording = known_words()
    parts = [p for p in case.quoted_parts() if p.words()]
    topics: set[str] = set()
    for reading in case.quoted:
        if _ROW.match(reading.folded):
            return None
        for group in _sentences(reading):
            for part in group[:1]:
                plain = not (part.denies() or _modals(part) or wording.enough.search(part.raw))
                plain = plain and len(group) > 1
                doer = any(t.meaning in (LENDER, wording.only) for t in part.tokens)
                told = part.words() if plain and not doer else part.words()[:MOST_OF_TOPIC]
                topics |= {t.meaning for t in told}
    for part in case.said.parts:
        own = {t.meaning for t in part.words() if t.kind == "word" and len(t.raw) > 1}
        nearest = _nearest(part, parts)
        if len(own) < 2 or not nearest or not own <= case.quoted_meanings():
            continue
        if any(own <= other.meanings() for other in parts):
            continue
        conditions = set().union(*(p.meanings() for p in parts if _conditional(p)), topics)
        if all(own - other.meanings() - conditions for other in parts):
            return Problem("figure_role", part.raw)
    return None


def _conditional(part: Part) -> bool:
    wording = known_words()
    return any(
        pattern.search(part.raw)
        for pattern in (wording.condition, wording.condition_start, wording.condition_topic)
    )


def _amounts(case: _Case) -> Problem | None:
    """How much or how many, where the quote that a part follows does not say so."""
    quoted = case.quoted_text()
    for every, same in known_words().every:
        often = every.search(case.said.folded)
        if often and not same.search(quoted):
            return Problem("promise", often.group())
    for part in case.said.parts:
        raw = {t.raw for t in part.tokens}
        for words, said in known_words().amounts:
            if raw & words and not any(said.search(r.folded) for r in case.quoted):
                return Problem("promise", ", ".join(sorted(raw & words)))
    return None


def _lists(case: _Case) -> Problem | None:
    """Things listed together that the quotes never name together, or not at all."""
    known = case.quoted_meanings()
    quoted = case.quoted_text()
    together = [(part.meanings(), part.raw) for part in case.quoted_parts()]
    for part in case.said.parts:
        stretches = known_words().listing.split(part.raw)
        if len(stretches) > 1 and part.figures:
            for stretch in stretches:
                ahead = stretch.split(FIGURE)[0]
                added = [d for d in known_words().days if d in ahead and d not in quoted]
                if added:
                    return Problem("figure_role", added[0])
        for items, others in _listed(part):
            one, other = items[-1], others[-1]
            # Beside other words the same characters may be cut into other words.
            if not any(
                (one.meaning in meanings and other.meaning in meanings)
                or (one.raw in raw and other.raw in raw)
                or _begins_so(items, others, meanings, known)
                for meanings, raw in together
            ):
                return Problem("figure_role", f"{one.raw}, {other.raw}")
    return None


def _added(case: _Case) -> Problem | None:
    """A word that no quote has, and that is not known to add nothing."""
    quoted, known = case.quoted_text(), case.quoted_meanings()
    idle = known_words().idle
    for part in case.said.parts:
        for token in part.tokens:
            if not {token.raw, token.meaning} & idle and _strange(token, known, quoted, case.asked):
                return Problem("invented", token.raw)
    return None


def _instead(
    token: Token, out: Sequence[Token], said: Sequence[Token], quoted: Sequence[Token]
) -> bool:
    """Whether a word of the quote stands there once more, and the one in whose place it stands
    once less."""
    now, then = Counter(t.meaning for t in said), Counter(t.meaning for t in quoted)
    more = now[token.meaning] > then[token.meaning]
    return more and any(now[t.meaning] < then[t.meaning] and len(t.raw) > 1 for t in out)


def _strange(token: Token, known: Set[str], quoted: str, asked: str) -> bool:
    """Whether a word of more than a character is in no quote.

    That the customer asked about a charge, a paper or the like does not make it so.
    """
    told = token.meaning in known or token.raw in quoted
    told = told or (token.raw in fold(asked) and not _names_a_thing(token.raw))
    return token.kind == "word" and len(token.raw) > 1 and not told


def _begins_so(
    one: Sequence[Token], other: Sequence[Token], together: Set[str], known: Set[str]
) -> bool:
    """Whether one thing and the first word of the other, behind which the sentence goes on, stand
    together in a quote."""
    behind = {t.meaning for t in other[1:]}
    return {*(t.meaning for t in one), other[0].meaning} <= together and behind <= known


def _listed(part: Part) -> Iterator[tuple[Sequence[Token], Sequence[Token]]]:
    """Words of each two things that stand beside each other in a list."""
    items = [
        [t for t in with_signs(tokens_of(stretch)) if t.kind == "word"]
        for stretch in known_words().listing.split(part.raw)
    ]
    held = {t.raw: t for t in part.words()}
    for pair in pairwise(items):
        one, other = ([held.get(t.raw, t) for t in words] for words in pair)
        if one and other and one[-1].raw in held and other[-1].raw in held:
            first, second = one[-1], other[-1]
            if first.kind == "word" and second.kind == "word" and first.meaning != second.meaning:
                yield one, other


def _put_in(case: _Case) -> Problem | None:
    """In a sentence that is a quote almost word for word: a word in the place of one that no quote
    has, or a word of the quotes in the place of another one."""
    known, quoted = case.quoted_meanings(), case.quoted_text()
    said = [token for token in case.said.tokens() if token.kind in _CONTENT]
    meanings = [token.meaning for token in said]
    for reading in case.quoted:
        own = [token for token in reading.tokens() if token.kind in _CONTENT]
        compared = SequenceMatcher(None, [token.meaning for token in own], meanings, autojunk=False)
        same = sum(block.size for block in compared.get_matching_blocks())
        if same < max(LEAST_VERBATIM_WORDS, LEAST_VERBATIM * len(said)):
            continue
        swaps = [
            (tuple(t.meaning for t in own[a:b]), tuple(t.meaning for t in said[c:d]))
            for change, a, b, c, d in compared.get_opcodes()
            if change == "replace"
        ]
        if any((there, here) in swaps for here, there in swaps):
            return Problem("figure_role", case.said.folded)
        for change, start, end, first, last in compared.get_opcodes():
            if change != "replace" or max(end - start, last - first) > MOST_EXCHANGED:
                continue
            strictly = same >= STRICTLY_VERBATIM * len(said)
            out = own[start:end]
            chars = {char for token in out for char in token.raw + token.meaning}
            lost = any(t.kind == "word" and t.meaning not in meanings for t in out)
            if strictly:
                strange = [t for t in said[first:last] if _strange(t, known, quoted, case.asked)]
                strange = [t for t in strange if not chars & set(t.raw)]
                if strange and any(t.kind == "word" and len(t.raw) > 1 for t in out):
                    return Problem("invented", strange[0].raw)
            for token in said[first:last]:
                moved = token.kind == "word" and len(token.raw) > 1 and token.meaning in known
                both = strictly and _instead(token, out, said, own)
                other = lost and not chars & set(token.raw)
                if moved and (other or (both and _names_a_thing(token.raw))):
                    return Problem("figure_role", token.raw)
    return None


def _modals_moved(case: _Case) -> Problem | None:
    """What is permitted, demanded or foretold by the sentence, and the quotes say otherwise."""
    clash = known_words().clash
    held: dict[str, set[str]] = {}
    for part in case.quoted_parts():
        for word, modal in _permits(part):
            held.setdefault(word, set()).add(modal)
    permitted = {modal for part in case.quoted_parts() for modal in _modals(part)}
    demanded = any(modal.endswith(_MUST) for modal in permitted)
    known = case.quoted_meanings()
    for part in case.said.parts:
        if _agent(part)[0] == LENDER and _MAY in _modals(part):
            nearest = case.nearest(part)
            if nearest and not permitted & {_MAY} and any(_agent(o)[0] == LENDER for o in nearest):
                return Problem("polarity", part.raw)
        for word, modal in _permits(part):
            quoted = held.get(word, set())
            only = known_words().only in known and not known_words().only_then.search(
                case.said.folded
            )
            near = {modal for other in case.nearest(part) for modal in _modals(other)}
            instead = near if _FIRST not in part.raw else permitted
            if modal == _MUST and not demanded and (_MAY in instead or only):
                return Problem("polarity", part.raw)
            if modal not in quoted and any((q, modal) in clash for q in quoted):
                return Problem("polarity", part.raw)
    return None


def _joined_otherwise(case: _Case) -> Problem | None:
    """Two things joined by `or` that the quotes demand together, or the other way round."""
    wording = known_words()
    held: dict[tuple[str, str], set[str]] = {}
    spared: set[tuple[str, str]] = set()
    demanded: set[tuple[str, str]] = set()
    """What the quotes demand, and do not forbid: one of two things."""
    for part in case.quoted_parts():
        if _MUST in _modals(part) and not part.denies():
            demanded |= {pair for pair, _ in _pairs(part)}
        for pair, join in _pairs(part):
            held.setdefault(pair, set()).add("and" if join == "both" else join)
            if part.denies() or _MAY in _modals(part) or wording.of_all.search(part.raw):
                spared.add(pair)
    for part in case.said.parts:
        for pair, join in _pairs(part):
            if join == "or" and pair not in spared and held.get(pair) == {"and"}:
                return Problem("condition_dropped", part.raw)
            free = (
                bool(wording.offers.search(case.said.folded))
                or part.denies()
                or _MAY in _modals(part)
                or wording.of_all.search(part.raw)
            )
            required = join == "and" and (pair in demanded or not (free or pair in spared))
            if (join == "both" or required) and held.get(pair) == {"or"}:
                return Problem("condition_dropped", part.raw)
        nearest = case.nearest(part)
        if _chooses(part) and nearest and all(map(_demands_both, nearest)):
            return Problem("condition_dropped", part.raw)
    return None


def _chooses(part: Part) -> bool:
    raw = {t.raw for t in part.tokens}
    return bool(raw & known_words().either) and not raw & known_words().both


def _demands_both(part: Part) -> bool:
    raw = {t.raw for t in part.tokens}
    return bool(raw & known_words().both) and not raw & known_words().either


def _pairs(part: Part) -> Iterator[tuple[tuple[str, str], str]]:
    """Words on both sides of an `and` or an `or`; `both`: of a word that only conditions have."""
    wording = known_words()
    for one, join, other in zip(part.tokens, part.tokens[1:], part.tokens[2:], strict=False):
        if join.raw in wording.together | wording.either:
            kind = "both" if join.raw in wording.both else "and"
            yield (one.meaning, other.meaning), "or" if join.raw in wording.either else kind


def _roles(case: _Case) -> Problem | None:
    """Who does it to whom: a party in the place that the quotes give to the other one."""
    held: dict[tuple[str, str], set[str]] = {}
    for part in case.quoted_parts():
        for place, party in _places(part):
            held.setdefault(place, set()).add(party)
    for part in case.said.parts:
        for place, party in _places(part):
            if party not in held.get(place, {party}):
                return Problem("subject", part.raw)
    return None


def _places(part: Part) -> Iterator[tuple[tuple[str, str], str]]:
    """Each of the two parties with the word that it stands next to."""
    tokens = part.tokens
    for place, token in enumerate(tokens):
        if token.kind != "party" or token.meaning not in (BORROWER, LENDER):
            continue
        before = tokens[place - 1] if place else None
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        if before is not None and before.kind in ("word", "talk"):
            yield ("before", before.meaning), token.meaning
        if after is not None and after.kind in ("word", "talk"):
            yield ("after", after.meaning), token.meaning


def _order(case: _Case) -> Problem | None:
    """Things to be done one after the other, in another order; words that belong elsewhere."""
    wording = known_words()
    said = [t.meaning for t in case.said.tokens()]
    for part in case.quoted_parts():
        begin = next((i for i, t in enumerate(part.tokens) if t.raw in wording.in_order), None)
        if begin is None or said.count(part.tokens[begin].meaning) > 1:
            continue
        listed = [t.meaning for t in part.tokens[begin:] if t.raw in wording.charges]
        places = [len(said) - 1 - said[::-1].index(m) for m in listed if m in said]
        if places != sorted(places):
            return Problem("polarity", part.raw)
    told = Counter(t.meaning for t in case.said.tokens() if t.raw in wording.charges)
    held = Counter(t.meaning for r in case.quoted for t in r.tokens() if t.raw in wording.charges)
    for part in case.quoted_parts():
        charges = {t.meaning for t in part.tokens if t.raw in wording.charges}
        if len(charges & told.keys()) < LEAST_LISTED or not charges - told.keys():
            continue
        twice = [charge for charge in charges if told[charge] > held[charge]]
        if twice:
            return Problem("figure_role", twice[0])
    for part in case.said.parts:
        if (
            wording.only in part.meanings()
            and not any(wording.only in other.meanings() for other in case.quoted_parts())
            and not any(
                wording.condition.search(other.raw) or wording.only_so.search(other.raw)
                for other in case.nearest(part)
            )
        ):
            return Problem("condition_dropped", part.raw)
        for anchor in part.meanings() & wording.anchors:
            own = part.meanings() - {anchor}
            beside = [o.meanings() for o in case.quoted_parts() if anchor in o.meanings()]
            if beside and own and not any(own & held for held in beside):
                return Problem("figure_role", anchor)
    return None


def _fields(case: _Case) -> Problem | None:
    """A figure of one field of a row, told of what another field is about."""
    for reading in case.quoted:
        fields = [_named_field(field, case.names) for field in _FIELD_ENDS.split(reading.folded)]
        if sum(bool(name and (values or value)) for name, values, value in fields) < LEAST_FIELDS:
            continue
        for part in case.said.parts:
            for figure in part.figures:
                own = [f for f in fields if (figure.kind, figure.value) in f[1]]
                # The first field tells what the row is of.
                if not own or fields[0] in own or any(not name for name, _, _ in own):
                    continue
                held = set().union(*(name | value for name, _, value in own))
                names = set().union(*(name for name, _, _ in own))
                there = {t.meaning for t in part.words()}
                for name, _, _ in fields:
                    other = name - held
                    telling = sum(2 if m >= BORROWER else len(m) for m in other) >= LEAST_OF_FIELD
                    if telling and other <= there and not names <= there:
                        return Problem("figure_role", figure.text)
    return None


def _named_field(field: str, names: Names) -> tuple[set[str], set[Value], set[str]]:
    """Words of a field's name, figures of its value, and words of its value."""
    name, _, value = field.replace("\uff1a", ":").partition(":")
    told = read_text(value, names)
    values = {(f.kind, f.value) for part in told.parts for f in part.figures}
    words = {t.meaning for p in read_text(name, names).parts for t in p.words()}
    return words, values, {t.meaning for part in told.parts for t in part.words()}


def _crossed(case: _Case) -> Problem | None:
    """Of two things, each said to be what the quotes say of the other."""
    for reading in case.quoted:
        for group in _sentences(reading):
            pairs = [
                (part, other)
                for part in case.said.parts
                for other in group
                if len(part.meanings() & other.meanings()) > 1 and _first(part) == _first(other)
            ]
            for (one, first), (two, second) in combinations(pairs[:MOST_PAIRS], 2):
                if first is second or _first(one) == _first(two):
                    continue
                more, less = _exchange(one, first)
                others_more, others_less = _exchange(two, second)
                if more & others_less and others_more & less:
                    return Problem("figure_role", one.raw)
    return None


def _first(part: Part) -> str:
    return part.words()[0].meaning


def _in_whose_time(case: _Case) -> Problem | None:
    """How long one has for something, told of another."""
    held = [
        (agent, figure.value)
        for part in case.quoted_parts()
        for figure in part.figures
        if figure.kind == "term" and (agent := _agent(part)[0])
    ]
    for part in case.said.parts:
        agent, _ = _agent(part)
        for figure in part.figures if agent else ():
            whose = {who for who, value in held if value == figure.value}
            if figure.kind == "term" and whose and agent not in whose:
                return Problem("subject", part.raw)
    return None


def _condition_exchanged(case: _Case) -> Problem | None:
    """What the quotes make a condition told as its consequence, and the other way round."""
    wording = known_words()
    own = [half for group in _sentences(case.said) for half in _halves(group)]
    held = [
        half for reading in case.quoted for group in _sentences(reading) for half in _halves(group)
    ]
    for when, condition, rest in own:
        for quoted_when, quoted, then in held:
            # What must be done before something is that after which it may be.
            if when != quoted_when or wording.wants.search(case.said.folded):
                continue
            crossed = min(_shared(condition, then), _shared(rest, quoted))
            straight = max(_shared(condition, quoted), _shared(rest, then))
            if crossed >= LEAST_CROSSED and crossed > straight:
                return Problem("condition_dropped", case.said.folded)
    return None


def _halves(group: Sequence[Part]) -> Iterator[tuple[str, Set[str], Set[str]]]:
    """When, and what the first part of a sentence that is a condition says, and the others."""
    wording = known_words()
    for place, part in enumerate(group[:-1]):
        if wording.condition.search(part.raw) or wording.supposes.search(part.raw):
            end = part.tokens[-1].raw if part.tokens else ""
            when = "earlier" if end in wording.earlier else "later" if end in wording.later else ""
            yield when, part.meanings(), set().union(*(p.meanings() for p in group[place + 1 :]))
            return


def _shared(one: Set[str], other: Set[str]) -> int:
    return sum(len(meaning) for meaning in one & other)


def _exchange(said: Part, quoted: Part) -> tuple[Set[str], Set[str]]:
    """What a part has more than a quoted one, and what it has less."""
    own, held = said.meanings(), quoted.meanings()
    return own - held, held - own


def _periods(case: _Case) -> Problem | None:
    """A period that the quotes put on another side of what is said."""
    told = _sides(case.quoted_text())
    for period, sides in _sides(case.said.folded).items():
        if period in told and not sides & told[period]:
            return Problem("condition_dropped", period)
    return None


def _sides(text: str) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for side, pattern in known_words().periods.items():
        for match in pattern.finditer(text):
            sides.setdefault(match.group(1), set()).add(side)
    return sides


def _denied_widely(case: _Case) -> Problem | None:
    """A denial without the words that narrow it in the quote, so that it denies more."""
    said = case.said.meanings()
    chars = set("".join(said))
    for part in case.said.parts:
        denied = {t.meaning for t in part.words() if t.sign == "denied" and t.kind == "word"}
        for other in case.nearest(part) if denied else ():
            narrowing: set[str] = set()
            own: set[str] = set()
            open_ = False
            for token in other.tokens:
                open_ = open_ or (token.sign == "denied" and token.raw in known_words().led_by)
                if token.kind == "word" and token.sign == "denied":
                    (narrowing if open_ and token.meaning not in denied else own).add(token.meaning)
            lost = not any(char in chars for word in narrowing for char in word)
            if sum(map(len, narrowing)) >= 4 and lost and own & denied:
                return Problem("condition_dropped", "".join(sorted(narrowing)))
    return None


def _denies_all_of(said: Part, quoted: Part) -> bool:
    """Whether a part denies what stands before it, and the quote speaks of that."""
    return (
        said.denies()
        and not any(t.sign == "denied" for t in said.words() if t.kind == "word")
        and bool(said.meanings() & quoted.meanings())
    )


def _is_topic(part: Part, matched: Sequence[Part], said: Sequence[Part]) -> bool:
    """Whether a part names what another one denies, and says nothing of it itself."""
    after = [p for p in said[said.index(part) + 1 :] if p.denies()]
    if part.denies() or any(t.kind in ("party", "modal", "product") for t in part.tokens):
        return False
    return any(
        part.meanings() <= {t.meaning for t in other.words() if t.sign != "said"}
        and any(
            _head(other) not in p.meanings() or _head(other) not in part.meanings() for p in after
        )
        # With a subject ahead of it, it is told of that and not a topic.
        and not (_head(other) in part.meanings() and _head(other) != part.words()[0].meaning)
        for other in matched
    )


def _signs(parts: Iterable[Part]) -> dict[str, set[Sign]]:
    signs: dict[str, set[Sign]] = {}
    for part in parts:
        for token in part.tokens:
            if token.kind in ("word", "modal", "party", "product"):
                signs.setdefault(token.meaning, set()).add(token.sign)
    return signs


def _against(
    part: Part,
    signs: Mapping[str, set[Sign]],
    matched: Sequence[Part],
    nearest: Sequence[Part],
) -> str:
    """A word of the part whose sign the quotes never give it.

    What a quote denies may stand apart from the denial, as in `the fee, it is not charged`: it is
    excused where the sentence denies the same elsewhere, but never the word next to the denial.
    """
    charges = known_words().charges
    heads = {_head(other) for other in matched}
    excused = {t.meaning for other in matched for t in other.words() if t.sign == "denied"} - heads
    if _WILL in _modals(part):
        excused = set()
    for token in part.tokens:
        third = token.kind == "party" and token.raw in known_words().others and token.sign == "said"
        if token.kind not in ("word", "modal", "product") and not third:
            continue
        held = signs.get(token.meaning)
        if held is None:
            continue
        # That something will be is told by the verb alone, too.
        if token.meaning == _WILL and not any("!" + _WILL in _modals(o) for o in nearest):
            continue
        if token.sign == "denied" and held == {"said"} and token.kind != "modal":
            return token.raw
        if token.sign == "either" and held == {"said"} and token.raw in charges:
            return token.raw
        if token.sign == "said" and held == {"denied"} and token.meaning not in excused:
            return token.raw
    return ""


def _head(part: Part) -> str:
    denied = [t for t in part.words() if t.sign == "denied"]
    outright = [t for t in denied if not t.of_state]
    return next((t.meaning for t in outright or denied), "")


def _modals(part: Part) -> set[str]:
    return {
        ("!" if t.sign == "denied" else "") + t.meaning for t in part.tokens if t.kind == "modal"
    }


def _modal_clash(said: Part, quoted: Part) -> bool:
    own, held = _modals(said), _modals(quoted)
    if not own or not held or own & held:
        return False
    clash = known_words().clash
    return any((q, s) in clash for q in held for s in own)


def _subject(case: _Case) -> Problem | None:
    """Who and which product: named by the quotes, and in the same place."""
    wording = known_words()
    held = _products(case.quoted)
    headed = set().union(*(_headed(source, case.names) for source in case.sources))
    said = _products([case.said])
    if said - (held or headed):
        return Problem("subject", _named(said - (held or headed), case.names))
    if held and not said and not _products([read_text(case.asked, case.names)]) & held:
        return Problem("subject", _named(held, case.names))
    names = [*case.names.lender, *(n for _, called in case.names.products for n in called)]
    for match in wording.product_like.finditer(case.said.folded):
        if match.group() not in case.quoted_text() and not any(n in match.group() for n in names):
            return Problem("subject", match.group())
    parties = {t.meaning for r in case.quoted for t in r.tokens()}
    agents = {_agent(o)[0] for o in case.quoted_parts()} - {""}
    for token in case.said.tokens():
        if token.kind == "party" and token.raw in wording.others and token.meaning not in parties:
            return Problem("subject", token.raw)
    for part in case.said.parts:
        agent, acts = _agent(part)
        if agent == BORROWER and part.tokens[-1].raw in wording.moments:
            agent = ""
        nearest_parts = case.nearest(part)
        nearest = [other for other in nearest_parts if _agent(other)[0]]
        if agent and nearest and all(_other_acts(part, agent, acts, o) for o in nearest):
            return Problem("subject", part.raw)
        if _doer(part) in (BORROWER, LENDER) and agents and _doer(part) not in agents:
            return Problem("subject", part.raw)
        if nearest_parts and all(_other_party(part, o) for o in nearest_parts):
            return Problem("subject", part.raw)
        doers = {_doer(o) for o in case.quoted_parts() if o.meanings() & part.meanings()} - {""}
        if doers and _doer(part) not in {"", *doers}:
            return Problem("subject", part.raw)
    return None


def _other_party(part: Part, quoted: Part) -> bool:
    """Whether a third party stands where the quote has the lender."""
    own = {t.meaning for t in part.tokens if t.kind == "party"}
    held = {t.meaning for t in quoted.tokens if t.kind == "party"}
    return LENDER in held - own and bool(own - held - {BORROWER, LENDER})


def _doer(part: Part) -> str:
    """Who is said, by a preposition, to be the one that does it."""
    before = ["", *(t.raw for t in part.tokens)]
    acts = known_words().acts
    return next(
        (
            t.meaning
            for t, b in zip(part.tokens, before, strict=False)
            if t.kind == "party" and b in acts
        ),
        "",
    )


def _other_acts(part: Part, agent: str, acts: bool, quoted: Part) -> bool:
    """Whether someone else acts in the quote; whose thing it is does not make someone act."""
    own, _ = _agent(quoted)
    if agent == own or (agent not in (BORROWER, LENDER) and not acts):
        return False
    return acts or agent not in quoted.meanings() or own in part.meanings()


def _products(readings: Iterable[Reading]) -> set[str]:
    return {t.meaning for r in readings for t in r.tokens() if t.kind == "product"}


def _named(chars: Iterable[str], names: Names) -> str:
    return ", ".join(names.products[ord(char) - FIRST_PRODUCT][1][0] for char in sorted(chars))


def _agent(part: Part) -> tuple[str, bool]:
    """Who acts in a part, as far as it says so, and whether a verb says it of them at once."""
    wording = known_words()
    previous = ""
    first, verb = "", False
    ahead = False
    for token, after in zip_longest(part.tokens, part.tokens[1:]):
        spared, ahead = (
            ahead,
            bool(
                token
                and token.kind == "modal"
                and token.meaning == _MUST
                and token.sign == "denied"
            ),
        )
        if token and token.kind == "party":
            if previous[-1:] in wording.acts:
                return token.meaning, True
            owner = after is not None and (after.raw == "的" or after.kind == "product")
            owner = owner or (
                after is not None
                and token.raw in wording.others
                and after.kind == "word"
                and part_of_speech(after.raw) == "n"
            )
            if spared:
                continue
            told = after is not None and after.kind in ("modal", "negation")
            owned = previous == "的" and token.raw in wording.others and told
            if not first and (previous not in wording.objects or owned) and not owner:
                first = token.meaning
                verb = after is not None and after.kind in ("modal", "negation")
        previous = token.raw if token else ""
    return first, verb


def _scope(case: _Case) -> Problem | None:
    """Of what the quotes say it: words that belong together and were put together anew."""
    wording = known_words()
    said = case.said.meanings()
    chars = set("".join(said))
    demanding = [part for part in case.quoted_parts() if not wording.condition.search(part.raw)]
    quoted_modals = {modal for part in demanding for modal in _modals(part)}
    if (
        wording.enough.search(case.said.folded)
        and _MUST in quoted_modals
        and not wording.enough.search(case.quoted_text())
        and _MAY not in quoted_modals
    ):
        return Problem("polarity", case.said.folded)
    for part in case.quoted_parts():
        if wording.exception.search(part.raw) and not wording.excepts.search(case.said.folded):
            words = {t.meaning for t in part.words()}
            if words and words <= said:
                return Problem("condition_dropped", part.raw)
    for charge, before in _described(case):
        if charge in said and before not in said:
            return Problem("condition_dropped", before + charge)
    for part in case.said.parts:
        if _of_another_charge(part, case):
            return Problem("subject", part.raw)
        for denied in {t.meaning for t in part.words() if t.sign == "denied"}:
            ahead = [_ahead(other, denied) for other in case.quoted_parts()]
            scopes = [words for words in ahead if words is not None]
            if scopes and all(_lost(words, chars) for words in scopes):
                return Problem("condition_dropped", part.raw)
    return None


def _described(case: _Case) -> Iterator[tuple[str, str]]:
    """Charges of the quotes that stand behind a describing word each time, and the word."""
    charges = known_words().charges
    before: dict[str, set[str]] = {}
    for part in case.quoted_parts():
        for one, charge in zip([None, *part.tokens], part.tokens, strict=False):
            if charge.raw in charges:
                word = one.meaning if one is not None and one.kind == "word" else ""
                if one is not None and one.raw in charges | known_words().done_to:
                    word = ""
                before.setdefault(charge.meaning, set()).add(word)
    for meaning, described in before.items():
        if len(described) == 1 and "" not in described:
            yield meaning, described.pop()


def _of_another_charge(part: Part, case: _Case) -> bool:
    """Whether a part says of one charge what the quotes say of another only."""
    charges = known_words().charges
    own = {t.meaning for t in part.tokens if t.raw in charges}
    if not own:
        return False
    for token in part.words():
        if token.kind != "word" or token.raw in charges:
            continue
        holders = [o for o in case.quoted_parts() if token.meaning in o.meanings()]
        named = [{t.meaning for t in o.tokens if t.raw in charges} for o in holders]
        if holders and all(named) and not any(own & names for names in named):
            return True
    return False


def _ahead(quoted: Part, denied: str) -> set[str] | None:
    """The words before a denial in a part of a quote; None where it denies something else."""
    words: set[str] = set()
    found = False
    for token in quoted.tokens:
        if token.sign == "denied" and token.kind == "word":
            found = found or token.meaning == denied
        elif token.kind == "word" and not found and len(token.raw) > 1:
            words.add(token.meaning)
    return words if found else None


def _lost(words: Set[str], chars: Set[str]) -> bool:
    whole = sum(map(len, words))
    kept = sum(char in chars for word in words for char in word)
    return whole >= 2 and kept < LEAST_OF_CONDITION * whole


def _conditions(case: _Case) -> Problem | None:
    """What limits a quote's word and is left out of the sentence."""
    said = case.said.meanings()
    denied = {t.meaning for t in case.said.tokens() if t.sign != "said"}
    values = {(f.kind, f.value) for p in case.said.parts for f in p.figures}

    def near(part: Part) -> list[Part]:
        if not part.words() and not part.figures:
            return []
        held = [o for o in case.quoted_parts() if _mostly_in(o, part)]
        return [*case.nearest(part), *held]

    used = {id(other) for part in case.said.parts for other in near(part)}
    tellings: dict[int, list[Set[str]]] = {}
    for part in case.said.parts:
        for other in case.nearest(part):
            tellings.setdefault(id(other), []).append(part.meanings())
    for reading in case.quoted:
        for group in _sentences(reading):
            mine = [i for i, part in enumerate(group) if id(part) in used]
            for place, part in enumerate(group):
                lost = ""
                limits = bool(mine) and _limits(part, place, max(mine))
                if limits:
                    rest = {m for i in mine if i != place for m in group[i].meanings()}
                    lost = _left_out(part, said, denied, values)
                    lost = lost or _own_words_left_out(part, rest, said, case.said.folded)
                if place in mine:
                    for told in tellings.get(id(part), ()):
                        lost = lost or _narrowed(part, told, said)
                    lost = lost or _time_left_out(part, said, values)
                elif not limits:
                    continue
                lost = lost or _figure_left_out(part, not limits, values)
                if lost:
                    return Problem("condition_dropped", lost)
    return None


def _mostly_in(quoted: Part, part: Part) -> bool:
    words = quoted.meanings()
    kept = sum(len(word) for word in words & part.meanings())
    return kept >= max(2.0, LEAST_OF_CONDITION * sum(map(len, words)))


def _sentences(reading: Reading) -> list[list[Part]]:
    """Parts of a quote that belong together; a row of a table is one statement."""
    row = _ROW.match(reading.folded) is not None
    groups: list[list[Part]] = [[]]
    for part in reading.parts:
        if part.aside:
            groups[0].append(part)
            continue
        groups[-1].append(part)
        if part.ends_sentence and not row:
            groups.append([])
    return groups


def _limits(part: Part, place: int, last_used: int) -> bool:
    """Whether a part that the sentence does not repeat limits the one that it does."""
    wording = known_words()
    if wording.no_condition.search(part.raw):
        return False
    if wording.exception.search(part.raw) or (place and wording.limit.search(part.raw)):
        return True
    if part.aside:
        return any(f.kind == "date" for f in part.figures)
    return place < last_used and any(
        pattern.search(part.raw)
        for pattern in (wording.condition, wording.condition_start, wording.condition_topic)
    )


def _left_out(part: Part, said: Set[str], denied: Set[str], values: set[Value]) -> str:
    """A condition whose words, or whose denial, the sentence does not repeat."""
    frame = known_words().frame
    words = {t.meaning for t in part.words() if t.raw not in frame}
    words = words or {t.meaning for t in part.words()}
    chars = set("".join(said))
    kept = sum(char in chars for word in words for char in word)
    kept += sum(_FIGURE_CHARS for f in part.figures if (f.kind, f.value) in values)
    whole = sum(map(len, words)) + _FIGURE_CHARS * len(part.figures)
    refused = {t.meaning for t in part.words() if t.sign == "denied"}
    ahead = next((t.meaning for t in part.words() if t.kind == "word"), "")
    if kept < LEAST_OF_CONDITION * whole or (refused and not refused & denied):
        return part.raw
    if ahead and ahead not in said and part.tokens[-1].raw in known_words().moments:
        return part.raw
    return ""


def _own_words_left_out(part: Part, rest: Set[str], said: Set[str], text: str) -> str:
    """A condition of which the sentence repeats only what the rest of the quote says too."""
    frame = known_words().frame
    words = {t.meaning for t in part.words() if t.raw not in frame and t.kind == "word"}
    own = words - rest
    topic = not (
        known_words().condition.search(part.raw) or known_words().condition_start.search(part.raw)
    )
    if part.figures or not words or topic:
        return ""
    if own:
        chars = set("".join(said - rest))
        return "" if any(char in chars for word in own for char in word) else part.raw
    return "" if known_words().conditional.search(text) else part.raw


def _figure_left_out(part: Part, used: bool, values: set[Value]) -> str:
    """A figure that limits the part and does not stand in the sentence."""
    pieces = part.raw.split(FIGURE)
    for figure, before in zip(part.figures, pieces, strict=False):
        often = before.endswith(_EVERY)
        if used and figure.bound != "min" and figure.kind != "position" and not often:
            continue
        if figure.value == 1 and figure.kind in ("term", "count"):
            continue
        if (figure.kind, figure.value) not in values and figure.kind != "phone":
            return figure.text
    return ""


def _narrowed(part: Part, told: Set[str], said: Set[str]) -> str:
    """A word that narrows the one after it, where only that one is told."""
    wording = known_words()
    tokens = [
        t for t in part.tokens if t.kind not in ("grammar", "talk") or t.raw in wording.narrowing
    ]
    for token, after in zip_longest(tokens, tokens[1:]):
        if (
            token
            and token.raw in wording.narrowing
            and token.meaning not in (told if after and token.raw in wording.identity else said)
            and (after is None or after.meaning in told)
        ):
            return token.raw
    return ""


def _time_left_out(part: Part, said: Set[str], values: set[Value]) -> str:
    """What must have come to pass, or a date, that a used part names and the sentence does not."""
    wording = known_words()
    before: list[Token] = []
    for place, token in enumerate(part.tokens):
        if token.raw in wording.moments and before and place + 1 < len(part.tokens):
            words = {t.meaning for t in before}
            if sum(len(w) for w in words & said) < LEAST_OF_CONDITION * sum(map(len, words)):
                return "".join(t.raw for t in before) + token.raw
        if token.kind == "word":
            before.append(token)
        elif token.raw in STARTS:
            before = []
    for figure in part.figures:
        dated = figure.kind == "date" and figure.bound and not str(figure.value).startswith("---")
        if dated and (figure.kind, figure.value) not in values:
            return figure.text
    return ""


def _figures(case: _Case) -> Problem | None:
    sources = [r.folded for r in case.quoted] + [*case.facts]
    doubts = figures.doubts(case.said.folded, sources)
    asked = figures.find(case.asked) if case.asked else []
    listed = {_things(part.raw) for part in case.quoted_parts()} - {1}
    listed |= {len(r.parts) - some for r in case.quoted for some in (0, 1)}
    for doubt in doubts:
        if _counts_things(doubt.figure, listed):
            continue
        restated = known_words().restated.search(case.said.folded[: doubt.figure.span[0]][-12:])
        if restated and any(f.value == doubt.figure.value for f in asked):
            continue
        reason: Reason = "bound_contradicted" if doubt.bound else "unsupported_figure"
        return Problem(reason, doubt.figure.text)
    held = {bound for part in case.quoted_parts() for bound in _bounds(part)}
    bounded = [f for part in case.quoted_parts() for f in part.figures if f.bound]
    for part in case.said.parts:
        nearest = case.nearest(part)
        own = _bounds(part)
        if own - held and not part.figures:
            return Problem("bound_contradicted", part.raw)
        if not own and nearest and all(_bounds_gone(part, other) for other in nearest):
            return Problem("bound_contradicted", part.raw)
        if own and nearest and all(_bounds(o) and not own & _bounds(o) for o in nearest):
            return Problem("bound_contradicted", part.raw)
        for figure in part.figures:
            there = [f.bound for f in bounded if (f.kind, f.value) == (figure.kind, figure.value)]
            if there and figure.bound in _SIDES and not {figure.bound, "range"} & set(there):
                return Problem("bound_contradicted", part.raw)
    return None


def _things(stretch: str) -> int:
    """How many things a stretch lists."""
    return 1 + len(_LISTS.findall(stretch))


def _counts_things(figure: figures.Figure, listed: set[int]) -> bool:
    """Whether a figure only says how many things the quotes list."""
    return (
        figure.kind == "count"
        and figure.unit in _THINGS
        and figure.value in listed | {1}
        and not figure.bound
    )


def _bounds_gone(part: Part, quoted: Part) -> bool:
    """Whether a figure of both stands beside a bound in the quote only."""
    shared = {(f.kind, f.value) for f in part.figures if not f.bound and f.kind != "phone"}
    return bool(_bounds(quoted)) and bool(shared & {(f.kind, f.value) for f in quoted.figures})


def _bounds(part: Part) -> set[str]:
    return {t.meaning for t in part.tokens if t.kind == "bound"} - {"neither"}


def _figure_roles(case: _Case) -> Problem | None:
    """A figure of the quotes that stands beside words that belong to another figure there."""
    around: list[tuple[figures.Figure, set[str]]] = []
    for part in case.quoted_parts():
        around += _around(part)
    shares = [share for part in case.quoted_parts() for share in _of_what(part)]
    for part in case.said.parts:
        for figure, words in _of_what(part):
            bases = [w for f, w in shares if f.value == figure.value]
            if bases and not any(words & base for base in bases):
                return Problem("figure_role", figure.text)
        for figure, words in _around(part):
            same = [w for f, w in around if f.kind == figure.kind and f.value == figure.value]
            other = [w for f, w in around if f.kind == figure.kind and f.value != figure.value]
            if not same or not other:
                continue
            mine = set().union(*same)
            theirs = set().union(*other)
            stray = words & (theirs - mine)
            if stray and not words & (mine - theirs):
                return Problem("figure_role", f"{figure.text}: {', '.join(sorted(stray))}")
    return None


def _of_what(part: Part) -> Iterator[tuple[figures.Figure, set[str]]]:
    """Each rate that is a share of something, with the words for what it is a share of."""
    pieces = part.raw.split(FIGURE)
    for place, figure in enumerate(part.figures):
        if figure.kind == "rate" and pieces[place].endswith(_OF):
            words = [t for t in tokens_of(pieces[place]) if t.kind == "word"][-2:]
            if words:
                yield figure, {t.meaning for t in words}


def _around(part: Part) -> list[tuple[figures.Figure, set[str]]]:
    """Each figure of a part, with the words between the figure before and itself."""
    found: list[tuple[figures.Figure, set[str]]] = []
    pieces = part.raw.split(FIGURE)
    for place, figure in enumerate(part.figures):
        words = {t.meaning for t in tokens_of(pieces[place]) if t.kind == "word"}
        if place + 1 == len(part.figures):
            words |= {t.meaning for t in tokens_of(pieces[-1]) if t.kind == "word"}
        found.append((figure, words))
    return found


def _rearranged(case: _Case) -> Problem | None:
    """Words of the quotes turned around; see rearranged.py."""
    quotes = [reading.folded for reading in case.quoted]
    found = rearranged.find(case.said.folded, quotes, case.names.lender)
    return Problem(*found) if found else None


def _under_another(case: _Case) -> Problem | None:
    """What a quoted sentence says, denies or counts, told of what another sentence begins with,
    which says the contrary, or has another figure or charge."""
    held = [group for reading in case.quoted for group in _sentences(reading)]
    for topic, *rest in filter(None, _sentences(case.said)):
        of_it = [group for group in held if any(_same_topic(topic, part) for part in group)]
        own = _signed(part for group in of_it for part in group)
        others = _signed(part for group in held if group not in of_it for part in group)
        for part in rest if of_it else ():
            charges = {t.meaning for t in part.words() if t.raw in known_words().charges}
            told = {m for group in of_it if group[1:] for other in group for m in other.meanings()}
            if told and any(c not in told and (c, "said") in others for c in charges):
                return Problem("figure_role", part.raw)
            for meaning, sign in _signed([part]):
                contrary = meaning, "said" if sign == "denied" else "denied"
                if (meaning, sign) not in own and contrary in own and (meaning, sign) in others:
                    return Problem("polarity", part.raw)
            there = [f for group in of_it for other in group for f in other.figures]
            for figure in part.figures:
                alike = any((f.kind, f.unit) == (figure.kind, figure.unit) for f in there)
                if alike and not figures.states(there, figure):
                    return Problem("figure_role", figure.text)
    return None


def _same_topic(one: Part, other: Part) -> bool:
    alike = one.meanings() == other.meanings() and one.figures == other.figures
    return bool(one.meanings()) and alike and set(_times(one)) == set(_times(other))


def _signed(parts: Iterable[Part]) -> Set[tuple[str, Sign]]:
    """Words and modals that are said, or denied."""
    tokens = (t for part in parts for t in part.tokens if t.kind in ("word", "modal"))
    return {(t.meaning, t.sign) for t in tokens if t.sign != "either"}


def _beside_another(case: _Case) -> Problem | None:
    """What the quotes say of one product only, said of another that they speak of too."""
    held = [
        (products, _told(part))
        for reading, source in zip(case.quoted, case.sources, strict=True)
        for products, part in _of_which(reading, _headed(source, case.names))
    ]
    # A sentence that names none answers of the one that was asked about.
    asked = _products([read_text(case.asked, case.names)])
    for own, part in _of_which(case.said, asked if len(asked) == 1 else frozenset()):
        for product in own:
            if not any(product in products for products, _ in held):
                continue
            for told in _told(part):
                beside = [products for products, there in held if told in there]
                if beside and all(p and product not in p for p in beside):
                    return Problem("subject", part.raw)
    return None


def _of_which(reading: Reading, headed: Set[str] = frozenset()) -> Iterator[tuple[Set[str], Part]]:
    """Each part with its products; what follows without one is told of the same, in a row of a
    table up to the end of its field."""
    named = _products([reading])
    if named:
        headed = named if len(named) == 1 and _ROW.match(reading.folded) else frozenset()
    for group in _sentences(reading):
        before = headed
        for part in group:
            before = _own_products(part) or before
            yield before, part
            before = headed if part.ends_sentence else before


def _told(part: Part) -> Set[object]:
    """Words and figures of a part, the words with and without their denial too."""
    words = [t for t in part.words() if t.kind == "word"]
    signed = {(t.meaning, t.sign) for t in words if t.sign != "either"}
    return {*signed, *(t.meaning for t in words), *((f.kind, f.value) for f in part.figures)}


def _headed(source: Source, names: Names) -> Set[str]:
    """Products under whose title, or in whose terms, a quote stands."""
    keys = {
        chr(FIRST_PRODUCT + i) for i, (k, _) in enumerate(names.products) if k == source.product
    }
    return keys | _products([read_text(source.heading, names)])


def _own_products(part: Part) -> set[str]:
    return {token.meaning for token in part.tokens if token.kind == "product"}


def _of_the_other(case: _Case) -> Problem | None:
    """A figure, or that something is free, told of what the quotes have another one for."""
    held = [(part, _named_in(part)) for part in case.quoted_parts()]
    for part in case.said.parts:
        told = _prices(part)
        words = _named_in(part)
        for price in told:
            own = [w for other, w in held if price in _prices(other)]
            others = [w for other, w in held if _prices(other) and price not in _prices(other)]
            if len(own) != 1:
                continue
            if any(words & (w - own[0]) and not words & (own[0] - w) for w in others):
                return Problem("figure_role", part.raw)
    return None


def _named_in(part: Part) -> Set[str]:
    words = (t for t in part.words() if t.kind == "word" and len(t.raw) > 1)
    return {t.meaning for t in words if t.raw[0] != _FREE}


def _prices(part: Part) -> Set[object]:
    """The amounts of a part, and whether it says that nothing is charged."""
    free = {_FREE for t in part.tokens if t.kind == "negation" and t.raw[0] == _FREE}
    return free | {f.value or _FREE for f in part.figures if f.kind == "money"}


def _told_apart(case: _Case) -> Problem | None:
    """Two products or coupons of which the quotes tell the same, told of different things."""
    wording = known_words()
    texts = ["\uff0c".join(part.raw for part in reading.parts) for reading in case.quoted]
    said = "\uff0c".join(part.raw for part in case.said.parts)
    joined, alone = set[tuple[str, str, str]](), Counter[str]()
    for text in texts:
        names = list(wording.named.finditer(text))
        alone.update(name.group() for name in names)
        for one, other in pairwise(names):
            between = text[one.end() : other.start()]
            if wording.listing.search(between) and len(between) <= MOST_BETWEEN:
                joined.add((one.group(), other.group(), between))
    names = list(wording.named.finditer(said))
    for one_name, other_name, between in joined:
        if one_name == other_name or alone[one_name] > 1 or alone[other_name] > 1:
            continue
        ones = [n for n in names if n.group() == one_name]
        others = [n for n in names if n.group() == other_name]
        alike = any(_alike(said, a, b, between) for a in ones for b in others)
        if ones and others and not alike:
            return Problem("subject", said)
    return None


def _alike(said: str, one: re.Match[str], other: re.Match[str], between: str) -> bool:
    """Whether what stands between two names is told of both, or stands so in the quote."""
    wording = known_words()
    first, second = (one, other) if one.start() < other.start() else (other, one)
    apart = set(wording.named.sub("", said[first.end() : second.start()])) - wording.alongside
    known = set(said[: first.start()]), set(said[second.end() :]), set(between)
    return any(apart <= each for each in known)


def _moved(case: _Case) -> Problem | None:
    """A thing listed with others, of which the quotes deny what they say of those, or the other way
    round."""
    quoted = [part for part in case.quoted_parts() if part.words()]
    for part in case.said.parts:
        alike = [other for other in quoted if other.denies() == part.denies()]
        there = set().union(*(other.meanings() for other in _nearest(part, alike)))
        for join, word in pairwise(part.tokens):
            listed = (
                join.raw in known_words().together and word.kind == "word" and len(word.raw) > 1
            )
            if not listed or not there or word.meaning in there:
                continue
            held = [other for other in quoted if word.meaning in other.meanings()]
            if held and not any(other in alike for other in held):
                return Problem("polarity", word.raw)
    return None


_CHECKS = (
    _figures,
    _figure_roles,
    _subject,
    _content,
    _polarity,
    _qualified,
    _mixed,
    _amounts,
    _added,
    _lists,
    _put_in,
    _modals_moved,
    _joined_otherwise,
    _roles,
    _order,
    _fields,
    _crossed,
    _in_whose_time,
    _condition_exchanged,
    _periods,
    _denied_widely,
    _scope,
    _conditions,
    _rearranged,
    _beside_another,
    _under_another,
    _of_the_other,
    _told_apart,
    _moved,
)
