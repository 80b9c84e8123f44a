"""Whether quotes say what a written sentence says: polarity, who and what, conditions, content.

A floor that reads words, not a proof: it errs towards withholding. `find_problem` puts a sentence
to each of `_CHECKS` in turn. Those of its words and figures are here; those of what it denies or
demands in denied.py, of what it leaves out in limits.py, of whom and what it speaks in told_of.py,
of what it turns around in rearranged.py. Last comes rewording.py, which weighs and knows no reason.
How a text is read is in reading.py; what words mean is data, grounding.toml; figures are compared
by figures.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from operator import add

from knowledge.text import fold

from . import denied, figures, limits, rearranged, rewording, told_of
from .compared import OF, Case, Problem, Reason, Source, meant_by, modals_of, settled
from .reading import (
    BORROWER,
    BREAK,
    FIGURE,
    Names,
    Part,
    Reading,
    Token,
    known_words,
    plainly,
    read_text,
    tokens_of,
    with_signs,
)
from .signing import Period

MAX_QUOTED_CHARS = 6000
"""Quotes that are longer together are not read at all."""

MOST_UNSAID_SHARE = 0.45
"""Share of a part's characters that may belong to words that no quote has."""

MOST_OF_ANSWER = 3
"""Characters of a part that only says yes or no, which is told by what follows it."""

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

_NAMED = re.compile("[\u300c\u201c\u300a]([^\u300d\u201d\u300b]{1,20})[\u300d\u201d\u300b]")
_NAMED_APP = re.compile(
    "[\u300c\u201c\u300a][^\u300d\u201d\u300b]{1,20}[\u300d\u201d\u300b] ?[Aa][Pp][Pp]"
)
_POINTED = re.compile("(?<![0-9a-z])\\.[0-9]+")
"""A number whose nought is left out, which figures.py reads as a whole one."""
_LATIN, _HAN = re.compile("[a-z]+"), re.compile("[\u3400-\u9fff]")
_SIDES = frozenset(["min", "max"])
_CONTENT = frozenset(["word", "party", "product", "modal", "negation"])
_LISTS = re.compile("\u3001|\u4ee5\u53ca|\u6216\u8005|[\u548c\u6216\u4e14\u53ca\u4e0e]")
_THINGS = frozenset("\u4e2a\u79cd\u9879\u6761\u6837\u4ef6\u70b9\u7c7b")
_DATED = frozenset("\u6b3e\u8bf7\u7b7e\u9886\u8fd8\u6e05\u65e5")
"""Last characters of what has a day: a payment, an application, a signature."""


def find_problem(
    text: str,
    sources: Sequence[Source],
    names: Names,
    asked: str = "",
    facts: Sequence[str] = (),
    before: Sequence[str] = (),
    signed: Period | None = None,
) -> Problem | None:
    """The first thing in a sentence that does not follow from its quotes; None clears it.

    asked: the question, whose figures may be restated as the customer's own.
    facts: texts beside the quotes in which figures may stand, such as calculations.
    before: sentences that the reply has shown before it, by which what it leaves out is understood.
    signed: first and last day on which the borrower may have signed.
    """
    if sum(len(source.quote) for source in sources) > MAX_QUOTED_CHARS:
        return Problem("invented", text)
    plain = plainly(text)
    if any(plain == plainly(source.quote) for source in sources):
        return None
    if len(_LATIN.findall(plain)) > len(_HAN.findall(plain)):
        # Of another language no denial is known, so only its clause's own words will do.
        return Problem("invented", text)
    case = read_case(text, sources, names, asked, facts, before, signed)
    problem = _find_problem(text, case)
    for half in () if problem else _told_twice(case.said, case.quoted):
        said = _of_the_matter(read_text(half, names), case.quoted)
        problem = problem or _find_problem(half, replace(case, said=said))
    return problem or rewording.unlike(case)


def read_case(
    text: str,
    sources: Sequence[Source],
    names: Names,
    asked: str = "",
    facts: Sequence[str] = (),
    before: Sequence[str] = (),
    signed: Period | None = None,
) -> Case:
    """A sentence beside its quotes, without what it says of the talk only."""
    quoted = [read_text(source.quote, names) for source in sources]
    said = _of_the_matter(read_text(text, names), quoted)
    return Case(said, quoted, sources, names, asked, tuple(facts), tuple(before), signed)


def _of_the_matter(said: Reading, quoted: Sequence[Reading]) -> Reading:
    text = "\n".join(reading.folded for reading in quoted)
    matter = tuple(part for part in said.parts if not part.of_the_talk(text))
    return settled(replace(said, parts=matter), meant_by(quoted))


def _find_problem(text: str, case: Case) -> Problem | None:
    text_of_quotes = case.quoted_text
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


def _stands(name: str, case: Case) -> bool:
    """Whether words that are told exactly, such as the name of a page, are known.

    That the customer said them does not make them so.
    """
    plain = plainly(name)
    told = (*(s.quote for s in case.sources), *(s.heading for s in case.sources), *case.facts)
    texts = map(plainly, told)
    named = [*case.names.lender, *(n for _, called in case.names.products for n in called)]
    return any(plain in text for text in (*texts, *named))


def _out_of_order(names: Sequence[str], case: Case) -> bool:
    """Whether two names follow each other that do so in a quote the other way round."""
    for source in case.sources:
        held = set(pairwise(_NAMED.findall(source.quote)))
        for one, other in pairwise(names):
            if (other, one) in held and (one, other) not in held:
                return True
    return False


def _is_called(name: str, case: Case) -> bool:
    """Whether a quote has the name in other words."""
    called = {_words_of(each, case) for s in case.sources for each in _NAMED.findall(s.quote)}
    return _words_of(name, case) in called


def _words_of(name: str, case: Case) -> tuple[str, ...]:
    return tuple(token.meaning for token in read_text(name, case.names).tokens())


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Read what the first check would have to wait for: some tenths of a second."""
    rewording.load_weights()
    find_problem("\u53ef\u501f200\u5143", [Source("1 \u5143\u81f3 200 \u5143")], Names())


def _promised(case: Case) -> Problem | None:
    """That it holds for this customer, for everybody or at once, where no quote says so."""
    wording, quoted = known_words(), case.quoted_text
    said, meanings = case.said.meanings(), case.quoted_meanings
    for whole, of in _of_charges(case):
        if whole in said and of not in said:
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
    dated = any(day in quoted for day in wording.days)
    for part in case.said.parts:
        for before, token in zip([None, *part.tokens], part.tokens, strict=False):
            unheard = token.meaning not in meanings and token.raw not in quoted
            if unheard and wording.claims & {token.raw, token.meaning}:
                return Problem("promise", token.raw)
            if token.raw in wording.speaker and token.raw not in quoted:
                return Problem("promise", token.raw)
            named = before is not None and before.raw[-1] in _DATED
            # Of the day that the question is about, what would be is told.
            named = named or (token.raw in case.asked and bool(wording.supposes.search(part.raw)))
            if token.raw in wording.days and not named and not dated:
                return Problem("promise", token.raw)
    return None


def _unsaid(case: Case) -> Problem | None:
    """Too many words that no quote has, or one in the place of what a quote has there."""
    wording, quoted, meanings = known_words(), case.quoted_text, case.quoted_meanings
    chars = set(quoted).union(*meanings)
    for part in case.said.parts:
        years = _years_asked(part, case)
        words: list[str] = []
        idle: list[str] = []
        length = 0
        ends_strange = False
        for before, token in zip([None, *part.tokens], part.tokens, strict=False):
            governed = before is not None and before.kind in ("modal", "negation")
            told = token.kind == "talk" and governed and len(token.raw) > 1
            if (token.kind != "word" and not told) or token.meaning == wording.only:
                continue
            length += len(token.raw)
            light = token.raw in wording.light or token.raw in wording.idle
            heard = token.meaning in meanings or token.raw in quoted or token.raw in years
            # What is put together of the quotes' own characters says much the same.
            heard = heard or set(token.raw) <= chars
            ends_strange = not (heard or light) and len(token.raw) > 1
            if not heard and (governed or not light):
                words.append(token.raw)
            elif not heard and token.raw in wording.idle:
                idle.append(token.raw)
        # Beside a word that says something, one that says nothing by itself may say it with that.
        words += idle if words else ()
        # In no word of the quotes: it only sounds like small talk.
        known = part.figures or any(t.meaning in meanings or t.raw in quoted for t in part.words())
        answers = all(
            t.kind in ("modal", "negation") or t.raw in wording.of_answers for t in part.tokens
        )
        if not (known or answers) and len(part.raw) > MOST_OF_ANSWER and part.raw not in quoted:
            return Problem("invented", part.raw)
        unsaid = sum(map(len, words))
        if ends_strange or unsaid > MOST_UNSAID_SHARE * length:
            return Problem("invented", " ".join(words))
        if words and all(_replaced(part, other, unsaid) for other in case.nearest(part)):
            return Problem("invented", " ".join(words))
    return None


def _already(case: Case) -> Problem | None:
    """That something has come to pass, where no quote says so."""
    wording = known_words()
    done = {meaning for part in case.quoted_parts for meaning in _done(part)}
    for part in case.said.parts:
        only_of = done and wording.of_which.search(part.raw)
        # At the end of a sentence it is a way of speaking, and supposes nothing.
        told = part.ends_sentence and part.raw.endswith(OF)
        supposed = only_of or (wording.supposes.search(part.raw) and not told)
        if _done(part) - done and not supposed:
            return Problem("promise", part.raw)
    return None


def _of_charges(case: Case) -> Iterator[tuple[str, str]]:
    """Charges of which the quotes name another only, as the interest of a principal."""
    charges = known_words().charges
    for part in case.quoted_parts:
        for one, of, other in zip(part.tokens, part.tokens[1:], part.tokens[2:], strict=False):
            if one.raw in charges and of.raw == OF and other.raw in charges:
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


def _names_a_thing(word: str) -> bool:
    wording = known_words()
    return word in wording.nouns or (
        word not in wording.light and len(word) > 1 and word.endswith(wording.endings)
    )


def _replaced(part: Part, quoted: Part, unsaid: int) -> bool:
    """Whether words of the quote, or what it permits or demands, are gone from a part.

    unsaid: characters of the words that stand there instead; one may be a particle.
    """
    lost = Counter(t.meaning for t in quoted.words())
    lost.subtract(t.meaning for t in part.tokens)
    gone = sum(len(meaning) * times for meaning, times in lost.items() if times > 0)
    figures_gone = {f.value for f in quoted.figures} - {f.value for f in part.figures}
    if modals_of(quoted) and not modals_of(part):
        return True
    return gone >= 2 or (unsaid > 1 and (gone >= 1 or bool(figures_gone)))


def _amounts(case: Case) -> Problem | None:
    """How much or how many, where the quote that a part follows does not say so."""
    quoted = case.quoted_text
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


def _lists(case: Case) -> Problem | None:
    """Things listed together that the quotes never name together, or not at all."""
    known = case.quoted_meanings
    quoted = case.quoted_text
    together = [(part.meanings(), part.raw) for part in case.quoted_parts]
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


def _added(case: Case) -> Problem | None:
    """A word that no quote has, and that is not known to add nothing."""
    quoted, known = case.quoted_text, case.quoted_meanings
    idle = known_words().idle
    for part in case.said.parts:
        years = _years_asked(part, case)
        for token in part.tokens:
            harmless = {token.raw, token.meaning} & idle or token.raw in years
            if not harmless and _strange(token, known, quoted):
                return Problem("invented", token.raw)
    return None


def _years_asked(part: Part, case: Case) -> Set[str]:
    """Years of the question, which a part that tells when the contract was signed may repeat."""
    wording = known_words()
    if wording.signing.isdisjoint(part.meanings()):
        return frozenset()
    asked = fold(case.asked)
    return {year for year in wording.years if year in asked}


def _instead(
    token: Token, out: Sequence[Token], said: Sequence[Token], quoted: Sequence[Token]
) -> bool:
    """Whether a word of the quote stands there once more, and the one in whose place it stands
    once less."""
    now, then = Counter(t.meaning for t in said), Counter(t.meaning for t in quoted)
    more = now[token.meaning] > then[token.meaning]
    return more and any(now[t.meaning] < then[t.meaning] and len(t.raw) > 1 for t in out)


def _strange(token: Token, known: Set[str], quoted: str) -> bool:
    """Whether a word of more than a character is in no quote. That it was asked about does not make
    it so."""
    told = token.meaning in known or token.raw in quoted
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


def _put_in(case: Case) -> Problem | None:
    """In a sentence that is a quote almost word for word: a word in the place of one that no quote
    has, or a word of the quotes in the place of another one."""
    known, quoted = case.quoted_meanings, case.quoted_text
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
            if change == "replace" and not _of_one_list((*own[a:b], *said[c:d]), reading)
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
                strange = [t for t in said[first:last] if _strange(t, known, quoted)]
                strange = [t for t in strange if not chars & set(t.raw)]
                if strange and any(t.kind == "word" and len(t.raw) > 1 for t in out):
                    return Problem("invented", strange[0].raw)
            for token in said[first:last]:
                moved = token.kind == "word" and len(token.raw) > 1 and token.meaning in known
                both = strictly and _instead(token, out, said, own)
                other = lost and not chars & set(token.raw)
                other = other and not _of_one_list((token, *out), reading)
                if moved and (other or (both and _names_a_thing(token.raw))):
                    return Problem("figure_role", token.raw)
    return None


def _of_one_list(words: Sequence[Token], quoted: Reading) -> bool:
    """Whether the words are things of one list, whose order tells nothing."""
    for part in quoted.parts:
        first, *items = known_words().listing.split(part.raw)
        if items and all(
            first.endswith(t.raw) or any(item.startswith(t.raw) for item in items) for t in words
        ):
            return True
    return False


def _figures(case: Case) -> Problem | None:
    sources = [r.folded for r in case.quoted] + [*case.facts]
    doubts = figures.doubts(case.said.folded, sources)
    asked = figures.find(case.asked) if case.asked else []
    listed = {_things(part.raw) for part in case.quoted_parts} - {1}
    listed |= {len(r.parts) - some for r in case.quoted for some in (0, 1)}
    for doubt in doubts:
        if _counts_things(doubt.figure, listed):
            continue
        restated = known_words().restated.search(case.said.folded[: doubt.figure.span[0]][-12:])
        if restated and any(f.value == doubt.figure.value for f in asked):
            continue
        if _of_a_year(doubt.figure, case):
            continue
        behind = case.said.folded[doubt.figure.span[1] :]
        then = known_words().signed_then.match(behind)
        if case.signed and then and figures.tells_of(doubt.figure, *case.signed):
            # Of the borrower's own contract; what bounds its day is told beside it, or left out.
            if _on_another_side(case.signed, case):
                return Problem("figure_role", doubt.figure.text)
            continue
        reason: Reason = "bound_contradicted" if doubt.bound else "unsupported_figure"
        return Problem(reason, doubt.figure.text)
    own = any(map(_of_own_contract, case.said.parts))
    if case.signed and own and _on_another_side(case.signed, case):
        return Problem("figure_role", case.said.folded)
    held = {bound for part in case.quoted_parts for bound in _bounds(part)}
    bounded = [f for part in case.quoted_parts for f in part.figures if f.bound]
    for part in case.said.parts:
        nearest = case.nearest(part)
        sides = _bounds(part)
        if sides - held and not part.figures:
            return Problem("bound_contradicted", part.raw)
        if not sides and nearest and all(_bounds_gone(part, other) for other in nearest):
            return Problem("bound_contradicted", part.raw)
        if sides and nearest and all(_bounds(o) and not sides & _bounds(o) for o in nearest):
            return Problem("bound_contradicted", part.raw)
        for figure in part.figures:
            there = [f.bound for f in bounded if (f.kind, f.value) == (figure.kind, figure.value)]
            if there and figure.bound in _SIDES and not {figure.bound, "range"} & set(there):
                return Problem("bound_contradicted", part.raw)
    return None


def _of_a_year(rate: figures.Figure, case: Case) -> bool:
    """Whether a quote that speaks of a year's rates alone has it without saying of what time."""
    held = [figure for part in case.quoted_parts for figure in part.figures]
    return (
        (rate.kind, rate.unit) == ("rate", "year")
        and any((f.kind, f.unit, f.value) == ("rate", "", rate.value) for f in held)
        and known_words().yearly.search(case.quoted_text) is not None
        and known_words().of_less.search(case.quoted_text) is None
    )


def _of_own_contract(part: Part) -> bool:
    """Whether a part says, and does not only suppose, when the borrower signed."""
    wording, meanings = known_words(), part.meanings()
    own = BORROWER in meanings and bool(wording.signing & meanings)
    return own and not wording.only_supposed.search(part.raw)


def _on_another_side(signed: Period, case: Case) -> bool:
    """Whether a sentence tells of these days beside a bound on whose other side they are."""
    own = {(f.kind, f.value) for part in case.said.parts for f in part.figures}
    return any(
        figure.kind == "date"
        and figure.bound
        and (figure.kind, figure.value) in own
        and not figures.on_that_side(*signed, figure)
        for part in case.quoted_parts
        for figure in part.figures
    )


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


def _rearranged(case: Case) -> Problem | None:
    """Words of the quotes turned around; see rearranged.py."""
    quotes = [reading.folded for reading in case.quoted]
    found = rearranged.find(case.said.folded, quotes, case.names.lender)
    return Problem(*found) if found else None


_CHECKS = (
    _figures,
    told_of.figure_roles,
    told_of.subject,
    _promised,
    _unsaid,
    _already,
    denied.polarity,
    limits.qualified,
    told_of.mixed,
    _amounts,
    _added,
    _lists,
    _put_in,
    denied.modals_moved,
    limits.joined_otherwise,
    told_of.roles,
    told_of.order,
    told_of.fields,
    told_of.crossed,
    told_of.in_whose_time,
    limits.condition_exchanged,
    limits.periods,
    denied.denied_widely,
    limits.scope,
    limits.conditions,
    _rearranged,
    told_of.beside_another,
    told_of.under_another,
    told_of.of_the_other,
    told_of.told_apart,
    denied.moved,
)
