"""What limits the quotes, and a sentence leaves out: conditions, exceptions, words that narrow.

Checks of grounding.py, by its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import zip_longest

from . import figures
from .compared import MAY, MUST, Case, Problem, Setting, modals_of, sentences_of, sides_of
from .reading import FIGURE, STARTS, Part, Reading, Token, known_words

LEAST_CROSSED = 3
"""Characters of the words that a condition and its consequence have exchanged."""

LEAST_OF_CONDITION = 0.75
"""Share of a condition's words that a sentence must repeat."""

Stands = Callable[[figures.Figure], bool]
"""Whether a figure is told, by a sentence or by what is said before it."""

_FIGURE_CHARS = 2
"""What a figure counts beside words, in characters."""
_EVERY, _ANY = "\u6bcf", "\u4efb\u4f55"


def qualified(case: Case) -> Problem | None:
    """A word that the quote has only behind another one, and the sentence without that one."""
    said = case.said.meanings() | case.setting.meanings
    chars = set("".join(t.raw + t.meaning for t in case.said.tokens()))
    before: dict[str, set[str]] = {}
    for part in case.quoted_parts:
        items = known_words().listing.split(part.raw)[1:]
        for one, other in zip([None, *part.tokens], part.tokens, strict=False):
            if other.kind == "word":
                listed = any(item.startswith(other.raw) for item in items)
                if one is None or listed or one.kind != "word" or len(one.meaning) < 2:
                    qualifier = ""
                else:
                    qualifier = "" if one.raw in known_words().carriers else one.meaning
                before.setdefault(other.meaning, set()).add(qualifier)
    for part in case.said.parts:
        if not part.meanings() <= case.quoted_meanings:
            continue
        for token in part.words():
            qualifiers = before.get(token.meaning, {""})
            if "" in qualifiers or qualifiers & said:
                continue
            if all(sum(c in chars for c in q) * 2 < len(q) for q in qualifiers):
                return Problem("condition_dropped", f"{'/'.join(qualifiers)} {token.raw}")
    return None


def joined_otherwise(case: Case) -> Problem | None:
    """Two things joined by `or` that the quotes demand together, or the other way round."""
    wording = known_words()
    held: dict[tuple[str, str], set[str]] = {}
    spared: set[tuple[str, str]] = set()
    demanded: set[tuple[str, str]] = set()
    """What the quotes demand, and do not forbid: one of two things."""
    for part in case.quoted_parts:
        if MUST in modals_of(part) and not part.denies():
            demanded |= {pair for pair, _ in _pairs(part)}
        for pair, join in _pairs(part):
            held.setdefault(pair, set()).add("and" if join == "both" else join)
            if part.denies() or MAY in modals_of(part) or wording.of_all.search(part.raw):
                spared.add(pair)
    for part in case.said.parts:
        for pair, join in _pairs(part):
            if join == "or" and pair not in spared and held.get(pair) == {"and"}:
                return Problem("condition_dropped", part.raw)
            free = (
                bool(wording.offers.search(case.said.folded))
                or part.denies()
                or MAY in modals_of(part)
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


def condition_exchanged(case: Case) -> Problem | None:
    """What the quotes make a condition told as its consequence, and the other way round."""
    wording = known_words()
    own = [half for group in sentences_of(case.said) for half in _halves(group)]
    held = [
        half
        for reading in case.quoted
        for group in sentences_of(reading)
        for half in _halves(group)
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


def periods(case: Case) -> Problem | None:
    """A period that the quotes put on another side of what is said."""
    told = _sides(case.quoted_text)
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


def scope(case: Case) -> Problem | None:
    """Of what the quotes say it: words that belong together and were put together anew."""
    wording = known_words()
    said = case.said.meanings()
    understood = said | case.setting.meanings
    chars = set("".join(understood))
    demanding = [part for part in case.quoted_parts if not wording.condition.search(part.raw)]
    quoted_modals = {modal for part in demanding for modal in modals_of(part)}
    if (
        wording.enough.search(case.said.folded)
        and MUST in quoted_modals
        and not wording.enough.search(case.quoted_text)
        and MAY not in quoted_modals
    ):
        return Problem("polarity", case.said.folded)
    for part in case.quoted_parts:
        if wording.exception.search(part.raw) and not wording.excepts.search(case.said.folded):
            words = {t.meaning for t in part.words()}
            if words and words <= said:
                return Problem("condition_dropped", part.raw)
    for charge, before in _described(case):
        if charge in said and before not in understood:
            return Problem("condition_dropped", before + charge)
    for part in case.said.parts:
        if _of_another_charge(part, case):
            return Problem("subject", part.raw)
        for denied in {t.meaning for t in part.words() if t.sign == "denied"}:
            ahead = [_ahead(other, denied) for other in case.quoted_parts]
            scopes = [words for words in ahead if words is not None]
            if scopes and all(_lost(words, chars) for words in scopes):
                return Problem("condition_dropped", part.raw)
    return None


def _described(case: Case) -> Iterator[tuple[str, str]]:
    """Charges of the quotes that stand behind a describing word each time, and the word."""
    charges = known_words().charges
    before: dict[str, set[str]] = {}
    for part in case.quoted_parts:
        for one, charge in zip([None, *part.tokens], part.tokens, strict=False):
            if charge.raw in charges:
                word = one.meaning if one is not None and one.kind == "word" else ""
                if one is not None and one.raw in charges | known_words().done_to:
                    word = ""
                before.setdefault(charge.meaning, set()).add(word)
    for meaning, described in before.items():
        if len(described) == 1 and "" not in described:
            yield meaning, described.pop()


def _of_another_charge(part: Part, case: Case) -> bool:
    """Whether a part says of one charge what the quotes say of another only."""
    charges = known_words().charges
    own = {t.meaning for t in part.tokens if t.raw in charges}
    if not own:
        return False
    for token in part.words():
        if token.kind != "word" or token.raw in charges:
            continue
        holders = [o for o in case.quoted_parts if token.meaning in o.meanings()]
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


def conditions(case: Case) -> Problem | None:
    """What limits a quote's word and is left out of the sentence, and of what is said before it."""
    setting = case.setting
    said = case.said.meanings() | setting.meanings
    denied = {t.meaning for t in case.said.tokens() if t.sign != "said"} | setting.denied
    values = {(f.kind, f.value) for p in case.said.parts for f in p.figures}
    signing = known_words().signing
    bounds = {
        figure
        for part in case.quoted_parts
        if signing & part.meanings()
        for figure in part.figures
        if figure.kind == "date" and figure.bound
    }

    def stands(figure: figures.Figure) -> bool:
        # Said before, it is the quote's only where its bound is on the same side.
        known = (figure.kind, figure.value, figure.bound) in setting.figures
        # So it is where the borrower's own contract is on that side of it.
        known = known or (
            case.signed is not None
            and figure in bounds
            and figures.on_that_side(*case.signed, figure)
        )
        return known or (figure.kind, figure.value) in values

    def near(part: Part) -> list[Part]:
        if not part.words() and not part.figures:
            return []
        held = [o for o in case.quoted_parts if _mostly_in(o, part)]
        return [*case.nearest(part), *held]

    used = {id(other) for part in case.said.parts for other in near(part)}
    tellings: dict[int, list[Set[str]]] = {}
    for part in case.said.parts:
        for other in case.nearest(part):
            tellings.setdefault(id(other), []).append(part.meanings())
    for reading in case.quoted:
        for group in sentences_of(reading):
            mine = [i for i, part in enumerate(group) if id(part) in used]
            for place, part in enumerate(group):
                lost = ""
                limits = bool(mine) and _limits(part, place, max(mine))
                if (limits or place in mine) and _on_other_side(part, case.said, setting):
                    return Problem("condition_dropped", part.raw)
                if limits:
                    rest = {m for i in mine if i != place for m in group[i].meanings()}
                    lost = _left_out(part, said, denied, stands)
                    lost = lost or _own_words_left_out(part, rest, said, case.said.folded)
                if place in mine:
                    for told in tellings.get(id(part), ()):
                        lost = lost or _narrowed(part, told, said)
                    lost = lost or _time_left_out(part, said, stands)
                elif not limits:
                    continue
                lost = lost or _figure_left_out(part, not limits, stands)
                if lost:
                    return Problem("condition_dropped", lost)
    return None


def _on_other_side(part: Part, said: Reading, setting: Setting) -> bool:
    """Whether a part is before, within or after something of which only what was said before the
    sentence speaks, and not as being there."""
    own = "".join(said.meanings())
    told = {*setting.times, *(side for part in said.parts for side in sides_of(part))}
    return any(
        (word, side) not in told
        and word not in own
        and any(word in other or other in word for other in setting.meanings)
        for word, side in sides_of(part)
    )


def _mostly_in(quoted: Part, part: Part) -> bool:
    words = quoted.meanings()
    kept = sum(len(word) for word in words & part.meanings())
    return kept >= max(2.0, LEAST_OF_CONDITION * sum(map(len, words)))


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


def _left_out(part: Part, said: Set[str], denied: Set[str], stands: Stands) -> str:
    """A condition whose words, or whose denial, the sentence does not repeat."""
    frame = known_words().frame
    words = {t.meaning for t in part.words() if t.raw not in frame or t.meaning in said}
    words = words or {t.meaning for t in part.words()}
    chars = set("".join(said))
    kept = sum(char in chars for word in words for char in word)
    kept += sum(_FIGURE_CHARS for f in part.figures if stands(f))
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


def _figure_left_out(part: Part, used: bool, stands: Stands) -> str:
    """A figure that limits the part and does not stand in the sentence."""
    pieces = part.raw.split(FIGURE)
    for figure, before in zip(part.figures, pieces, strict=False):
        often = before.endswith(_EVERY)
        if used and figure.bound != "min" and figure.kind != "position" and not often:
            continue
        if figure.value == 1 and figure.kind in ("term", "count"):
            continue
        if not stands(figure) and figure.kind != "phone":
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


def _time_left_out(part: Part, said: Set[str], stands: Stands) -> str:
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
        if dated and not stands(figure):
            return figure.text
    return ""
