"""What a sentence may turn around though it keeps the words of its clause.

An exception that the clause does not make, two things that have changed places, an order of steps
the other way round, a sum told of each: all of it in words that the clause has too, so that
comparing words finds nothing. By what words is data, rearranged.toml; texts are folded, as
reading.py reads them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from itertools import combinations, islice, takewhile
from pathlib import Path
from typing import Any, Literal

LEAST_ALIKE = 0.5
"""Of a quote and a sentence, from which their places are compared."""

LEAST_EXCHANGED = 2
"""Characters of what has changed its place, at least."""

MOST_COMPARED = 400
"""Characters of a text up to which places are compared: the time grows with their square."""


Turned = Literal[
    "unsupported_figure",
    "bound_contradicted",
    "condition_dropped",
    "figure_role",
    "invented",
    "polarity",
    "subject",
]

MOST_AHEAD = 24
"""Characters before a list that tell of what it is the order."""

_AFTER = "\u540e"
MOST_OF_ANCHOR = 6
"""Characters before a `before` or an `after` that tell of what it is."""

MOST_PLACES = 20
"""Of one kind in a text that are compared with those of another; no sentence has so many."""


def find(said: str, quotes: Sequence[str], lender: Sequence[str] = ()) -> tuple[Turned, str] | None:
    """What the sentence turns around, as a reason and words of it; None where nothing is.

    lender: its names, folded.
    """
    wording, quoted = _wording(), "\n".join(quotes)
    for turn in wording.turns:
        if turn.says.search(said) and (words := turn.found(said, quoted)):
            return turn.reason, words
    for reason, check in _CHECKS:
        if words := check(said, quoted):
            return reason, words
    names = "|".join(map(re.escape, (*lender, *wording.lender)))
    for check_names in (_acts_instead, _of_another):
        if words := check_names(said, quoted, names):
            return "subject", words
    for quote in quotes:
        if words := _exchanged(said, quote):
            return "figure_role", words
    return None


@dataclass(frozen=True, slots=True)
class _Turn:
    """Words that a sentence may not have beside its clauses."""

    reason: Turned
    says: re.Pattern[str]
    when: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    spared: re.Pattern[str] | None = None
    new: bool = False
    more: bool = False
    """Only where the sentence has them oftener than the clauses."""

    def found(self, said: str, quoted: str) -> str:
        """The words; empty where there are none."""
        matches = self.says.finditer(said)
        match = next((m for m in matches if not (self.new and m.group() in quoted)), None)
        if match is None:
            return ""
        if self.more and len(self.says.findall(said)) <= len(self.says.findall(quoted)):
            return ""
        spared = (self.spared and self.spared.search(said)) or (
            self.unless and self.unless.search(quoted)
        )
        return "" if spared or (self.when and not self.when.search(quoted)) else match.group()


@dataclass(frozen=True, slots=True)
class _Wording:
    """rearranged.toml, ready to be matched."""

    turns: tuple[_Turn, ...]
    changes: re.Pattern[str]
    listed: re.Pattern[str]
    in_order: re.Pattern[str]
    listing_marks: str
    order: tuple[re.Pattern[str], ...]
    together: re.Pattern[str]
    steps: tuple[re.Pattern[str], ...]
    listed_steps: re.Pattern[str]
    then: re.Pattern[str]
    slots: tuple[re.Pattern[str], ...]
    sides: re.Pattern[str]
    at: re.Pattern[str]
    when_done: str
    ahead: re.Pattern[str]
    only_said: re.Pattern[str]
    only_does: re.Pattern[str]
    also_does: re.Pattern[str]
    clause_end: re.Pattern[str]
    done: re.Pattern[str]
    undone: re.Pattern[str]
    not_done: str
    after: re.Pattern[str]
    compounds: tuple[re.Pattern[str], ...]
    alike_compounds: Sequence[str]
    only_who: re.Pattern[str]
    only_what: re.Pattern[str]
    kinds: re.Pattern[str]
    since: re.Pattern[str]
    within: re.Pattern[str]
    dated: re.Pattern[str]
    compared: re.Pattern[str]
    excluded: re.Pattern[str]
    others_excluded: re.Pattern[str]
    refuses: re.Pattern[str]
    outside: re.Pattern[str]
    other: re.Pattern[str]
    asked: re.Pattern[str]
    paid: re.Pattern[str]
    acts: str
    has: str
    copula: str
    others: re.Pattern[str]
    lender: Sequence[str]
    lenders: str
    owners: Sequence[str]
    """Parties to whom something may belong, each in all its names; the lender is another."""
    listing: re.Pattern[str]


_AS_TEXT = frozenset(
    {
        *("when_done", "listing_marks", "not_done", "alike_compounds", "acts", "has", "copula"),
        *("lender", "lenders", "owners"),
    }
)
"""What is put into patterns with names, or is none."""


@cache
def _wording() -> _Wording:
    raw = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    rows = [dict(row) for row in raw.pop("turn")]
    for pair in raw.pop("measures"):
        for own, other in (pair, pair[::-1]):
            row = {"says": own, "when": other, "unless": own, "spared": other}
            rows.append({"reason": "figure_role", **row})
    for word, at_most in raw.pop("strict").items():
        own = f"(?<![\u4e0d\u672a\u65e0]){word}"
        rows.append({"reason": "bound_contradicted", "says": own, "when": at_most, "unless": own})
    return _Wording(
        turns=tuple(map(_turn, rows)),
        **{name: value if name in _AS_TEXT else _compiled(value) for name, value in raw.items()},
    )


def _compiled(value: Any) -> Any:
    """A pattern, or several."""
    return tuple(map(re.compile, value)) if isinstance(value, list) else re.compile(value)


def _turn(row: Mapping[str, Any]) -> _Turn:
    """A row of the table; what is text in it is a pattern, but for the reason."""
    made: dict[str, Any] = {
        k: re.compile(v) if isinstance(v, str) and k != "reason" else v for k, v in row.items()
    }
    return _Turn(**made)


def _few(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return islice(pattern.finditer(text), MOST_PLACES)


def _by_or_to(said: str, quoted: str) -> str:
    """`By 30 days`, where the clause says `to 30 days`, or the other way round."""
    changes = _wording().changes
    held: dict[str, set[bool]] = {}
    for match in changes.finditer(quoted):
        held.setdefault(match[1], set()).add(bool(match[2]))
    for match in changes.finditer(said):
        if bool(match[2]) not in held.get(match[1], {True, False}):
            return match.group()
    return ""


# Places ------------------------------------------------------------------------------------------


def _pairs(text: str) -> set[str]:
    han = re.sub("[^\u3400-\u9fffa-z0-9]", "", text)
    return {han[at : at + 2] for at in range(len(han) - 1)}


def _chars(pairs: set[str]) -> set[str]:
    return set("".join(pairs))


def _crossed(one: tuple[str, str], other: tuple[str, str], least: int = 1) -> bool:
    """Whether what stands first in the one stands second in the other, and the other way round."""
    both = zip(one[0], other[0], strict=False)
    same = sum(1 for _ in takewhile(lambda chars: chars[0] == chars[1], both))
    a, b = _pairs(one[0][same:]), _pairs(one[1])
    c, d = _pairs(other[0][same:]), _pairs(other[1])
    crossed = min(len(a & d), len(b & c))
    return crossed >= least and len(a & d) > len(a & c) and len(b & c) > len(b & d)


def _steps(said: str, quoted: str) -> str:
    """Two steps in the other order, or more and less exchanged."""
    for patterns in (_wording().order, *((pattern,) for pattern in _wording().steps)):
        held = [(m[1], m[2]) for pattern in patterns for m in _few(pattern, quoted)]
        both = (_wording().together,) if len(patterns) > 1 else ()
        joined = [(m[1], m[2]) for pattern in both for m in _few(pattern, quoted)]
        for pattern in patterns:
            for match in _few(pattern, said):
                steps = match[1], match[2]
                if any(_crossed(steps, each) for each in held):
                    return match.group()
                if any(_crossed(steps, each, LEAST_EXCHANGED) for each in joined):
                    return match.group()
    return ""


def _sequence(said: str, quoted: str) -> str:
    """A step put before one that the clause has ahead of it."""
    wording = _wording()
    for listed in _few(wording.listed_steps, quoted):
        steps = [_pairs(step) for step in listed.groups() if step]
        for match in _few(wording.then, said):
            one, other = (_step_of(_pairs(part), steps) for part in match.groups())
            if one is not None and other is not None and one > other:
                return match.group()
    return ""


def _step_of(words: set[str], steps: Sequence[set[str]]) -> int | None:
    """Which of the steps it is, where it is more like one of them than like the others."""
    shared = [len(words & step) for step in steps]
    most = max(shared)
    return shared.index(most) if most and shared.count(most) == 1 else None


def _other_side(said: str, quoted: str) -> str:
    """Before something, where the clause says after it, or the other way round."""
    wording = _wording()
    held = [
        (match[2] if match.re is wording.sides else _AFTER, *_anchor(match, quoted))
        for pattern in (wording.sides, wording.after)
        for match in _few(pattern, quoted)
    ]
    for match in _few(wording.sides, said):
        own, denied = _anchor(match, said)
        beside = [(side, denies) for side, anchor, denies in held if own & anchor]
        same = [denies for side, denies in beside if side == match[2]]
        # Of both sides the clause says something: what it says of this one counts.
        if beside and (not same or (len(same) < len(beside) and denied not in same)):
            return match.group()
    return ""


def _at_that_time(said: str, quoted: str) -> str:
    """While something is, or on its day, where the clause says before or after it."""
    wording = _wording()
    told = [(match[2], _anchor(match, said)[0]) for match in _few(wording.sides, said)]
    held = [(match[2], _anchor(match, quoted)[0]) for match in _few(wording.sides, quoted)]
    same = [_anchor(match, quoted)[0] for match in _few(wording.at, quoted)]
    for match in _few(wording.at, said):
        own = _anchor(match, said)[0]
        if any(own & each for each in same):
            continue
        for side, anchor in held:
            # The day on which something is done is often said for after it.
            loose = side == _AFTER and match[2] in wording.when_done
            known = any(own & each and side == its for its, each in told)
            known = known or (side != _AFTER and wording.ahead.search(said) is not None)
            if own & anchor and not loose and not known:
                return match.group()
    return ""


def _no_longer_only(said: str, quoted: str) -> str:
    """Also, or first of all, where the clause says only."""
    wording = _wording()
    limited = {match[1] for match in _few(wording.only_does, quoted)}
    kept = {match[1] for match in _few(wording.only_does, said)}
    if wording.only_said.search(said) and len(kept) in (0, len(limited)):
        return ""
    also = _few(wording.also_does, said)
    return next((match.group() for match in also if match[1] in limited - kept), "")


def _anchor(match: re.Match[str], text: str) -> tuple[set[str], bool]:
    """What something is before or after, and whether what is told of it is a denial."""
    rest = _wording().clause_end.split(text[match.end() :], 1)[0]
    return _pairs(match[1][-MOST_OF_ANCHOR:]), re.search(_wording().not_done, rest) is not None


def _other_state(said: str, quoted: str) -> str:
    """Done already, where the clause says not yet, or the other way round."""
    wording = _wording()
    of = {
        name: (
            {m[1] for m in wording.done.finditer(text)},
            {m[1] for m in wording.undone.finditer(text)},
        )
        for name, text in (("said", said), ("quoted", quoted))
    }
    for mine in (0, 1):
        for word in of["said"][mine] & of["quoted"][1 - mine]:
            if word in of["said"][1 - mine] or word in of["quoted"][mine]:
                # Of two things the clause tells both: the sentence has one of them twice.
                if _oftener(word, mine, said, quoted):
                    return word
                continue
            # Of what is not done the clause may speak in other words.
            if mine == 0 or not re.search(f"{wording.not_done}{word}", quoted):
                return word
    return ""


def _oftener(word: str, state: int, said: str, quoted: str) -> bool:
    """Whether a sentence has what is done (0), or not (1), once more, and the other once less."""
    patterns = _wording().done, _wording().undone
    own, held = (
        [pattern.findall(text).count(word) for pattern in patterns] for text in (said, quoted)
    )
    return own[state] > held[state] and own[1 - state] < held[1 - state]


def _other_compound(said: str, quoted: str) -> str:
    """The day of another payment, or its record, than the clause speaks of."""
    wording = _wording()

    def kind(char: str) -> str:
        return next((alike[0] for alike in wording.alike_compounds if char in alike), char)

    for compound in wording.compounds:
        held: dict[str, set[str]] = {}
        for match in compound.finditer(quoted):
            held.setdefault(match["of"][-1:], set()).add(kind(match["kind"]))
        for match in compound.finditer(said):
            of = match["of"][-1:]
            if of in held and kind(match["kind"]) not in held[of]:
                return match.group()
    return ""


def _other_kind(said: str, quoted: str) -> str:
    """The rate, date or limit of something else than the clause speaks of."""
    held: dict[str, list[str]] = {}
    for match in _wording().kinds.finditer(quoted):
        held.setdefault(match[2], []).append(match[1])
    for match in _wording().kinds.finditer(said):
        named = held.get(match[2]) if match[1] in quoted else None
        if named and match.group() not in quoted and not set(match[1]) & set("".join(named)):
            return match.group()
    return ""


def _since_another(said: str, quoted: str) -> str:
    """So long after something of which the clause speaks, but from which it counts nothing."""
    wording = _wording()
    held = [_pairs(match[1]) for match in _few(wording.since, quoted)]
    own = [(match.group(), _pairs(match[1])) for match in _few(wording.since, said)]
    known = _pairs(quoted)
    for words, since in own:
        if held and since & known and not any(since & each for each in held):
            return words
    for match in _few(wording.within, said) if not own else ():
        ahead = _pairs(said[: match.start()])
        if any(_pairs(match[1]) & each and not ahead & each for each in held):
            return match.group()
    return ""


def _listed_otherwise(said: str, quoted: str) -> str:
    """Things that the clause lists in an order, listed in another one."""
    wording = _wording()
    if not wording.in_order.search(quoted):
        return ""
    held = [
        (_pairs(quoted[: match.start()][-MOST_AHEAD:]), _items(match.group()))
        for match in _few(wording.listed, quoted)
    ]
    for match in _few(wording.listed, said):
        ahead = _pairs(said[: match.start()][-MOST_AHEAD:])
        alike = []
        for before, items in held:
            places = [match.group().find(item) for item in items if item in match.group()]
            if len(places) > 1:
                alike.append((len(ahead & before), places == sorted(places)))
        most = max((shared for shared, _ in alike), default=0)
        if alike and not any(same for shared, same in alike if shared == most):
            return match.group()
    return ""


def _items(listed: str) -> list[str]:
    """The last characters of each, which tell what it is."""
    return [item[-LEAST_EXCHANGED:] for item in re.split(_wording().listing_marks, listed)]


def _dated_otherwise(said: str, quoted: str) -> str:
    """What has been done by a day, or since, where the clause speaks of something else by then."""
    ends = _wording().clause_end
    dated = _few(_wording().dated, quoted)
    held = "".join(ends.split(quoted[match.start(1) :], 1)[0] for match in dated)
    for match in _few(_wording().dated, said):
        if held and match[1] in quoted and not set(match[1]) & set(held):
            return match.group()
    return ""


def _compared_with(said: str, quoted: str) -> str:
    """That alone with which the clause compares what it speaks of."""
    for match in _few(_wording().compared, quoted):
        if match[2] in said and match[1] not in said:
            return match[2]
    return ""


def _excluded(said: str, quoted: str) -> str:
    """Those whom the clause excludes, told as those of whom it speaks, or the others excluded."""
    wording = _wording()
    named = [match[1] for match in _few(wording.excluded, quoted)]
    for match in _few(wording.others_excluded, said):
        if any(match[1] == words[1:] for words in named) and match.group() not in quoted:
            return match.group()
    if wording.refuses.search(said):
        return ""
    return next((words for words in named if words in said), "")


def _only_another(said: str, quoted: str) -> str:
    """Only this one, where the clause says of it that it is only so."""
    limited = [_pairs(match[1]) for match in _few(_wording().only_what, quoted)]
    for match in _few(_wording().only_who, said):
        own = _pairs(match[1])
        if limited and own and not any(own & each for each in limited):
            return match.group()
    return ""


def _not_outside(said: str, quoted: str) -> str:
    """The very thing, where the clause speaks of all but that."""
    wording = _wording()
    if wording.other.search(said):
        return ""
    for match in wording.outside.finditer(quoted):
        if match[1] in said:
            return match[1]
    return ""


def _by_another(said: str, quoted: str) -> str:
    """Something that the clause speaks of too, but does not go by or count from."""
    known = _pairs(quoted)
    for slot in _wording().slots:
        held = [_pairs(m[1]) for m in _few(slot, quoted)]
        for match in _few(slot, said):
            own = _pairs(match[1])
            if not held:
                continue
            if not own & known:
                if own and not any(_chars(own) & _chars(each) for each in held):
                    return match.group()
                continue
            if all(not own & each or (each - own and (own - each) & known) for each in held):
                return match.group()
    return ""


_CHECKS: tuple[tuple[Turned, Callable[[str, str], str]], ...] = (
    ("figure_role", _by_or_to),
    ("figure_role", _steps),
    ("figure_role", _sequence),
    ("figure_role", _by_another),
    ("figure_role", _other_side),
    ("polarity", _other_state),
    ("figure_role", _other_compound),
    ("figure_role", _other_kind),
    ("figure_role", _since_another),
    ("figure_role", _dated_otherwise),
    ("figure_role", _listed_otherwise),
    ("figure_role", _at_that_time),
    ("condition_dropped", _no_longer_only),
    ("figure_role", _compared_with),
    ("polarity", _excluded),
    ("condition_dropped", _only_another),
    ("condition_dropped", _not_outside),
)


def _acts_instead(said: str, quoted: str, names: str) -> str:
    """The lender as the one who acts, or who is asked, where the clause names another or nobody;
    or another who is paid."""
    wording = _wording()
    asked = [m[1] for m in wording.asked.finditer(quoted)]
    for match in wording.asked.finditer(said):
        if re.search(names, match[1]) and asked and not any(re.search(names, a) for a in asked):
            return match.group()
    paid = [m[1] for m in wording.paid.finditer(quoted)]
    for match in wording.paid.finditer(said):
        named = re.search(names, match[1])
        if paid and not any(
            re.search(names, p) if named else _pairs(p) & _pairs(match[1]) for p in paid
        ):
            return match.group()
    # Nobody borrows from themselves.
    if itself := re.search(
        f"(?:{wording.owners[0]})(?:{wording.copula})(?:{names})(?!\u7684)", said
    ):
        return itself.group()
    if re.search(f"{names}|{wording.lenders}", quoted):
        return ""
    # As one who serves, it may well stand there, but not with what is another's.
    acts = f"{wording.acts}|{wording.has}" if wording.others.search(quoted) else wording.acts
    found = re.search(f"(?:{names})(?:{acts})|\u7531(?:{names})", said)
    return found.group() if found else ""


def _of_another(said: str, quoted: str, names: str) -> str:
    """What is one party's, where the clause has it as another's only."""
    owners = (names, *_wording().owners)
    parties = "|".join(f"({owner})" for owner in owners)
    owned = re.compile(rf"(?:{parties})\u7684?([\u4e00-\u9fff]{{2}})")
    held: dict[str, set[int]] = {}
    for match in owned.finditer(quoted):
        held.setdefault(match[len(owners) + 1], set()).add(_owner(match))
    for match in owned.finditer(said):
        whose = held.get(match[len(owners) + 1])
        if whose and _owner(match) not in whose:
            return match.group()
    return ""


def _owner(match: re.Match[str]) -> int:
    """Number of the party that is named."""
    return next(number for number, party in enumerate(match.groups()) if party)


def _exchanged(said: str, quote: str) -> str:
    """What has taken another's place in a sentence that is the quote otherwise."""
    if len(said) > MOST_COMPARED or len(quote) > MOST_COMPARED:
        return ""
    matcher = SequenceMatcher(None, quote, said, autojunk=False)
    if matcher.quick_ratio() < LEAST_ALIKE or matcher.ratio() < LEAST_ALIKE:
        return ""
    edits = [
        (quote[a:b], said[c:d], a, b)
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind == "replace"
    ]
    for one, other in combinations(islice(edits, MOST_PLACES), 2):
        between = quote[one[3] : other[2]]
        if _wording().listing.fullmatch(between):
            continue
        exact = one[1] == other[0] and other[1] == one[0]
        if exact or (_is(one[1], other[0]) and _is(other[1], one[0])):
            return f"{one[1]}, {other[1]}"
    return ""


def _is(said: str, quoted: str) -> bool:
    """Whether two short texts are the same but for little."""
    if min(len(said), len(quoted)) < LEAST_EXCHANGED:
        return False
    own, held = _pairs(said), _pairs(quoted)
    return bool(own) and len(own & held) * 2 > max(len(own), len(held))
