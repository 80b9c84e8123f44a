"""What a sentence denies, permits or demands, and its quotes do not; before or after what.

What they deny and it does not is looked for too. Checks of grounding.py, by its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from itertools import pairwise

from .compared import FREE, MAY, MUST, OF, Case, Problem, agent_of, modals_of, nearest_to, times_of
from .reading import BORROWER, LENDER, Part, Sign, known_words

LEAST_OF_DENIED = 4
"""Characters of the words that stand only where the quotes deny, from which a part without any
negative is taken to say the opposite."""

_FIELD_NAMES = re.compile(
    "(?:^|(?<=[;\uff1b\n]))[^,;:\uff1a\u3002\n]{1,10}[:\uff1a](?=[^;\uff1b\n]*[;\uff1b])"
)
_MARKERS = frozenset(["\u5c06"])
"""What tells the future by itself, and behind another modal only marks an object."""
_CHARGED = "\u6536"
_WILL = "\u4f1a"
_FIRST = "\u5148"
_DAY = "\u65e5"


def polarity(case: Case) -> Problem | None:
    """A word that the quotes deny and the sentence does not, or the other way round."""
    for word in known_words().refuted:
        if word in case.quoted_text and word not in case.said.folded:
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
    everywhere = _signs(case.quoted_parts)
    denied = {t.meaning for p in case.said.parts for t in p.words() if t.sign == "denied"}
    matched = [
        part
        for part in case.quoted_parts
        if denied & {t.meaning for t in part.words() if t.sign == "denied"}
        or (part.denies() and any(_denies_all_of(said, part) for said in case.said.parts))
    ]
    demanded = {modal for part in case.quoted_parts for modal in modals_of(part)}
    clash = known_words().clash
    for part in case.said.parts:
        words = part.words()
        if not (words or modals_of(part)) or _is_topic(part, matched, case.said.parts):
            continue
        beside = [
            other
            for other in case.quoted_parts
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
            own = modals_of(part)
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


def _forbidden(case: Case) -> str:
    """What the sentence says cannot be, where the quotes deny nothing, or only in telling the case,
    or only that it costs something."""
    wording = known_words()
    parts = [part for part in case.quoted_parts if not part.raw.endswith(OF)]
    denials = [t for part in parts for t in part.tokens if t.kind == "negation"]
    if not all(t.raw[0] == FREE for t in denials):
        return ""
    denied = {f"!{MAY}", f"!{_WILL}"}
    told = (p for p in case.said.parts if denied & modals_of(p))
    cases = (wording.condition, wording.supposes)
    return next((p.raw for p in told if not any(of.search(p.raw) for of in cases)), "")


def _not_denied(case: Case) -> str:
    """A part without any negative, where all that it may follow denies."""
    wording = known_words()
    said = wording.harmless.sub("", case.said.folded)
    # A denial that only says which ones, there as here, denies nothing of what is told of them.
    which = {match.group()[1:] for match in wording.attributive.finditer(case.quoted_text)}
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


def _of_what_is_denied(part: Part, case: Case) -> bool:
    """Whether all that a part speaks of stands in the quotes where they deny it, and there only."""
    stops = known_words().stops
    denying = [o for o in case.quoted_parts if _denies_outright(o) or stops.search(o.raw)]
    others = {m for o in case.quoted_parts if o not in denying for m in o.meanings()}
    own = [t for t in part.words() if t.kind == "word" and t.meaning not in others]
    return any(
        sum(len(t.raw) for t in own if t.meaning in o.meanings()) >= LEAST_OF_DENIED
        for o in denying
    )


def _undenied(case: Case) -> str:
    """A word that the quotes have behind a negative only, and the sentence without any."""
    negatives, stem = known_words().negatives, known_words().stem
    quoted = _FIELD_NAMES.sub("", case.quoted_text)
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


def _denies_a_topic(part: Part, case: Case) -> bool:
    """Whether a part denies what the quotes only speak of, and not what they deny of it."""
    said = case.said.meanings()
    for token in part.words():
        if token.sign != "denied" or token.kind != "word":
            continue
        holders = [o for o in case.quoted_parts if token.meaning in o.meanings()]
        if holders and all(
            other.denies()
            and _head(other) not in said
            and all(t.sign != "denied" for t in other.words() if t.meaning == token.meaning)
            for other in holders
        ):
            return True
    return False


def _denies_of_another(part: Part, case: Case) -> bool:
    """Whether a part denies of one thing what the quotes deny of another."""
    denied = {t.meaning for t in part.words() if t.sign == "denied" and t.kind == "word"}
    own = {t.meaning for t in part.words() if t.kind == "word"} - denied
    for meaning in denied:
        holders = [
            {t.meaning for t in other.words()} - {meaning}
            for other in case.quoted_parts
            if any(t.meaning == meaning and t.sign == "denied" for t in other.words())
        ]
        if own and holders and all(held and not held & part.meanings() for held in holders):
            elsewhere = {m for other in case.quoted_parts for m in other.meanings()}
            if own <= elsewhere:
                return True
    return False


def _wrong_answer(case: Case) -> str:
    """A yes or no that stands for itself, where the quotes have none of its kind."""
    for place, part in enumerate(case.said.parts):
        told = any(token.raw not in known_words().idle for token in part.words())
        if part.figures or told or not any(t.kind == "modal" for t in part.tokens):
            continue
        rest = case.said.parts[place + 1 :]
        # It answers what is told behind it.
        about = [near for other in rest for near in case.nearest(other)] or case.quoted_parts
        signed = {modal for near in about for modal in modals_of(near)}
        # What is so only is not so otherwise.
        only = known_words().only
        denies = any(near.denies() or only in {t.meaning for t in near.tokens} for near in about)
        said = {modal for other in rest for modal in modals_of(other)}
        for modal in modals_of(part):
            other = modal[1:] if modal.startswith("!") else "!" + modal
            if other in said and modal not in said:
                return part.raw
            if modal == MUST and modal not in said and any(p.denies() for p in rest):
                return part.raw
            if modal.startswith("!"):
                wrong = not denies or (modal not in signed and modal[1:] in signed)
            elif modal == MUST:
                wrong = modal not in signed
            else:
                refused = bool(rest) and all(p.denies() for p in rest) and _refuses(case)
                wrong = modal not in signed and ("!" + modal in signed or refused)
            if wrong:
                return part.raw
    return ""


def _refuses(case: Case) -> bool:
    """Whether all that the quotes deny is refused: nothing of it only need not be done, or paid."""
    denials = [
        after.meaning
        for part in case.quoted_parts
        for token, after in pairwise((*part.tokens, *part.tokens[-1:]))
        if token.kind == "negation"
    ]
    return bool(denials) and not {_CHARGED, MUST} & set(denials)


def _wrong_time(case: Case) -> str:
    """What the sentence puts after something and the quotes before it, or the other way round."""
    held: dict[str, set[str]] = {}
    for part in case.quoted_parts:
        for meaning, when in times_of(part):
            held.setdefault(meaning, set()).add(when)
    known = case.quoted_meanings
    for part in case.said.parts:
        for meaning, when in times_of(part):
            if meaning not in known or when in held.get(meaning, set()):
                continue
            if meaning in held or meaning.endswith(_DAY):
                return part.raw
        if "earlier" in {when for _, when in times_of(part)} and not any(
            sign in reading.folded for reading in case.quoted for sign in known_words().before
        ):
            return part.raw
        anchors = set(times_of(part))
        nearest = [set(times_of(other)) for other in case.nearest(part)]
        if any(
            meaning in known
            and when not in held.get(meaning, set())
            and nearest
            and all(_anchor_gone(when, near, part.meanings()) for near in nearest)
            for meaning, when in anchors
        ):
            return part.raw
        own = dict(times_of(part))
        near = [dict(times_of(other)) for other in case.nearest(part)]
        if near and all(
            any(own[meaning] != other[meaning] for meaning in own.keys() & other.keys())
            for other in near
        ):
            return part.raw
    return ""


def _anchor_gone(when: str, quoted: set[tuple[str, str]], said: Set[str]) -> bool:
    """Whether what a quote counts from, or up to, is not in a part at all."""
    return any(when == of and meaning not in said for meaning, of in quoted)


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


def modals_moved(case: Case) -> Problem | None:
    """What is permitted, demanded or foretold by the sentence, and the quotes say otherwise."""
    clash = known_words().clash
    held: dict[str, set[str]] = {}
    for part in case.quoted_parts:
        for word, modal in _permits(part):
            held.setdefault(word, set()).add(modal)
    permitted = {modal for part in case.quoted_parts for modal in modals_of(part)}
    demanded = any(modal.endswith(MUST) for modal in permitted)
    known = case.quoted_meanings
    for part in case.said.parts:
        if agent_of(part)[0] == LENDER and MAY in modals_of(part):
            nearest = case.nearest(part)
            if nearest and not permitted & {MAY} and any(agent_of(o)[0] == LENDER for o in nearest):
                return Problem("polarity", part.raw)
        for word, modal in _permits(part):
            quoted = held.get(word, set())
            only = known_words().only in known and not known_words().only_then.search(
                case.said.folded
            )
            near = {modal for other in case.nearest(part) for modal in modals_of(other)}
            instead = near if _FIRST not in part.raw else permitted
            if modal == MUST and not demanded and (MAY in instead or only):
                return Problem("polarity", part.raw)
            if modal not in quoted and any((q, modal) in clash for q in quoted):
                return Problem("polarity", part.raw)
    return None


def denied_widely(case: Case) -> Problem | None:
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
    if _WILL in modals_of(part):
        excused = set()
    for token in part.tokens:
        third = token.kind == "party" and token.raw in known_words().others and token.sign == "said"
        if token.kind not in ("word", "modal", "product") and not third:
            continue
        held = signs.get(token.meaning)
        if held is None:
            continue
        # That something will be is told by the verb alone, too.
        if token.meaning == _WILL and not any("!" + _WILL in modals_of(o) for o in nearest):
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


def _modal_clash(said: Part, quoted: Part) -> bool:
    own, held = modals_of(said), modals_of(quoted)
    if not own or not held or own & held:
        return False
    clash = known_words().clash
    return any((q, s) in clash for q in held for s in own)


def moved(case: Case) -> Problem | None:
    """A thing listed with others, of which the quotes deny what they say of those, or the other way
    round."""
    quoted = [part for part in case.quoted_parts if part.words()]
    for part in case.said.parts:
        alike = [other for other in quoted if other.denies() == part.denies()]
        there = set().union(*(other.meanings() for other in nearest_to(part, alike)))
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
