"""Literals that a regular expression cannot match without, by which most patterns are passed over.

The sets of RE2 that do this make their states as they meet new text, which costs milliseconds a
message; an automaton of all literals has them from the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import pairwise, product
from operator import or_

from ahocorasick import Automaton

MOST_STRINGS = 64
"""Strings that part of a pattern may match and still count as so many literals."""

MOST_WAYS = 64
"""Alternatives of a pattern that are told apart; those of parts with more are taken together."""

SHORT = 200
"""Characters of a text within which the choices of a pattern are counted."""

ENDLESS = 1 << 40
"""More choices than can be tried one by one."""

Strings = frozenset[str]
Way = tuple[Strings, ...]
"""Sets of strings of which a match holds one each."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of a pattern."""

    exact: Strings | None
    """All that it matches; None for too many."""
    own_ways: tuple[Way, ...] = ((),)
    """Ways to match it, one of which any match takes."""
    choices: int = 1
    """How often it may match otherwise from the same place, at most, within SHORT characters."""
    first: Strings | None = None
    """Characters with which what it matches begins; None for any."""
    empty: bool = False
    """Whether it may match nothing."""

    @property
    def ways(self) -> tuple[Way, ...]:
        exact = self.exact
        return ((exact,),) if exact and "" not in exact else self.own_ways


_CHAR = r"[^\\\[\](){}|.*+?^$]"
_PLAIN = re.compile(rf"{_CHAR}+(?![?*+{{])")
"""Characters that stand for themselves; the last of them is not repeated."""
_WORDS = re.compile(rf"{_CHAR}*(?:\|{_CHAR}*)+(?=\)|$)")
"""Such characters with bars between them, up to the end of a group."""

_SIGNS = {"n": "\n", "t": "\t"}


def needed_literals(pattern: str) -> tuple[Way, ...]:
    """Ways to match an RE2 pattern, as sets of strings in small letters: for one of the ways,
    every match holds one string of each of its sets.

    A way without sets is one of which nothing may be concluded, as where the pattern is written
    in a way that is not followed here. The most telling set of a way comes first.
    """
    told = (
        sorted(dict.fromkeys(way), key=_telling, reverse=True)
        for way in _read(pattern.lower()).ways
    )
    return tuple(dict.fromkeys(map(tuple, told)))


def choices(pattern: str) -> int:
    """How many ways of matching may have to be tried from one place of a text of SHORT characters,
    at most; ENDLESS where the pattern is written in a way that is not followed here, or whose
    meaning depends on the engine."""
    return _read(pattern.lower()).choices


def beginnings(pattern: str) -> Strings:
    """Characters, as small letters, with one of which every match begins; none where it may be any,
    or a match may hold nothing."""
    part = _read(pattern.lower())
    return part.first if part.first and not part.empty else frozenset()


@lru_cache(maxsize=4096)
def _read(pattern: str) -> _Part:
    reader = _Reader(pattern)
    try:
        part = reader.alternation()
    except _NotFollowed:
        return _Part(None, choices=ENDLESS)
    if reader.place < len(pattern):
        return _Part(None, choices=ENDLESS)
    return part if reader.plain else replace(part, choices=ENDLESS)


class _NotFollowed(Exception):
    """A pattern uses syntax that is not read here."""


def _together(ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """The ways as one, of which less is told."""
    if not all(ways):
        return ((),)
    return ((frozenset().union(*(max(way, key=_telling) for way in ways)),),)


def _telling(literals: Strings) -> tuple[int, int]:
    """Long literals stand in few texts, and few literals in fewer."""
    return min(3, *map(len, literals), 3), -len(literals)


@lru_cache(maxsize=8192)
def _of(exact: Strings) -> _Part:
    many = 1
    if not _begin_apart(exact):
        many = max(sum(begun in exact for begun in _beginnings(one)) for one in exact)
    return _Part(
        exact,
        choices=many,
        first=frozenset(one[0] for one in exact if one),
        empty="" in exact,
    )


@lru_cache(maxsize=8192)
def _said(literal: str) -> _Part:
    return _of(frozenset({literal}))


def _begin_apart(strings: Strings) -> bool:
    """Whether none begins with another."""
    return not any(after.startswith(one) for one, after in pairwise(sorted(strings)))


def _beginnings(text: str) -> Iterable[str]:
    return (text[:length] for length in range(len(text) + 1))


def _any_of(firsts: Iterable[Strings | None]) -> Strings | None:
    """All of the characters; None where any may be one."""
    known = list(firsts)
    return None if None in known else frozenset().union(*filter(None, known))


@lru_cache(maxsize=8192)
def _one_of(words: str) -> _Part:
    """Literals with bars between them; the same ones stand in many patterns."""
    return _either([_said(word) for word in words.split("|")])


def _either(branches: Sequence[_Part]) -> _Part:
    # Those of one set each are one way, which holds any of their strings.
    own = [way for branch in branches for way in branch.ways]
    ways = tuple(way for way in own if len(way) != 1)
    if len(ways) < len(own):
        ways += ((frozenset().union(*(way[0] for way in own if len(way) == 1)),),)
    if len(ways) > MOST_WAYS:
        ways = _together(ways)
    known = [(branch.exact, branch.choices) for branch in branches if branch.exact is not None]
    both = frozenset().union(*(exact for exact, _ in known))
    # Branches of which none begins as another are no choice.
    if len(both) == sum(len(exact) for exact, _ in known) and _begin_apart(both):
        many = max((m for _, m in known), default=0)
    else:
        many = max(
            (sum(m for exact, m in known if any(map(one.startswith, exact))) for one in both),
            default=0,
        )
    many += sum(branch.choices for branch in branches if branch.exact is None)
    whole = len(known) == len(branches) and len(both) <= MOST_STRINGS
    return _Part(
        both if whole else None,
        ways,
        min(max(many, 1), ENDLESS),
        _any_of(branch.first for branch in branches),
        any(branch.empty for branch in branches),
    )


def _told_apart(strings: Strings) -> bool:
    """Whether no text is made of these strings, one after another, in two ways (as Sardinas and
    Patterson find it)."""
    over = {one[len(other) :] for one in strings for other in strings if one.startswith(other)}
    over.discard("")
    seen: set[str] = set()
    while over:
        if over & strings:
            return False
        seen |= over
        longer = {one[len(rest) :] for one in strings for rest in over if one.startswith(rest)}
        shorter = {rest[len(one) :] for one in strings for rest in over if rest.startswith(one)}
        over = (longer | shorter) - seen
    return "" not in strings


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.place = 0
        self.plain = True
        """Whether nothing was read that engines understand differently."""

    def _peek(self, length: int = 1) -> str:
        return self._pattern[self.place : self.place + length]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise _NotFollowed
        self.place += 1
        return char

    def alternation(self) -> _Part:
        if words := _WORDS.match(self._pattern, self.place):
            self.place = words.end()
            return _one_of(words.group())
        branches = [self._sequence()]
        while self._peek() == "|":
            self.place += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _either(branches)

    def _sequence(self) -> _Part:
        run: Strings = frozenset({""})
        """What the parts since the last one that is no literal match together."""
        whole = True
        ways: tuple[Way, ...] = ((),)
        many = 1
        first: Strings | None = frozenset()
        empty = True

        def follow(part: _Part) -> None:
            nonlocal ways
            more = part.ways
            if len(ways) * len(more) > MOST_WAYS:
                more = _together(more)
            ways = tuple(way + other for way in ways for other in more)

        while self._peek() not in ("", "|", ")"):
            part = self._literal() or self._repeated(self._one())
            exact = part.exact
            # Of several ways to the same string each is tried.
            many = min(many * part.choices, ENDLESS)
            if empty:
                first, empty = _any_of((first, part.first)), part.empty
            if exact is not None and len(exact) * len(run) <= MOST_STRINGS:
                run = frozenset(map("".join, product(run, exact)))
                continue
            whole = False
            follow(_of(run))
            run = frozenset({""}) if exact is None else exact
            if exact is None:
                follow(part)
        if whole:
            part = _of(run)
            return part if part.choices == many else replace(part, choices=many)
        follow(_of(run))
        return _Part(None, ways, many, first, empty)

    def _literal(self) -> _Part | None:
        """The characters up to the next sign that is none, but for one that is repeated."""
        found = _PLAIN.match(self._pattern, self.place)
        if found is None:
            return None
        self.place = found.end()
        return _said(found.group())

    def _repeated(self, part: _Part) -> _Part:
        char = self._peek()
        if char not in ("?", "*", "+", "{"):
            return part
        self.place += 1
        least, most = {"?": (0, 1), "*": (0, SHORT), "+": (1, SHORT)}.get(char, (0, 0))
        if char == "{":
            end = self._pattern.find("}", self.place)
            first, comma, last = (bounds := self._pattern[self.place : end]).partition(",")
            if end < 0 or not bounds.replace(",", "").isdecimal():
                raise _NotFollowed
            self.plain = self.plain and first != ""
            least = int(first or 0)
            most = int(last or SHORT) if comma else least
            self.place = end + 1
        if self._peek() == "?":
            self.place += 1
        elif self._peek() in ("*", "+", "{"):
            raise _NotFollowed
        if char == "?" and part.exact is not None:
            return replace(_of(part.exact | {""}), choices=part.choices + 1)
        one = part.choices
        many = most - least + 1 if one == 1 else (one + 1) ** min(most, 40)
        if part.exact and one == _of(part.exact).choices and _told_apart(part.exact):
            # To each place that it may reach there is one way.
            many = min(many, SHORT + 1)
        return _Part(
            None,
            part.ways if least else ((),),
            min(many, ENDLESS),
            part.first,
            part.empty or not least,
        )

    def _one(self) -> _Part:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escaped()
        if char in "^$":
            return _said("")
        return _Part(None) if char == "." else _said(char)

    def _group(self) -> _Part:
        if self._peek() == "?":
            if self._peek(2) != "?:":
                raise _NotFollowed
            self.place += 2
        part = self.alternation()
        if self._take() != ")":
            raise _NotFollowed
        return part

    def _escaped(self) -> _Part:
        char = self._take()
        if char == "p":
            begun = self.place
            if self._take() == "{":
                self.place = self._pattern.index("}", self.place) + 1
            self.plain = self.plain and self._pattern[begun : self.place] == "{han}"
            return _Part(None)
        if char in "bazwsd":
            # In small letters \B, \W and \S look like \b, \w and \s: anything holds for all.
            self.plain = self.plain and char == "d"
            return _said("") if char in "baz" else _Part(None)
        if char.isalnum() and char not in _SIGNS:
            raise _NotFollowed
        return _said(_SIGNS.get(char, char))

    def _class(self) -> _Part:
        chars: set[str] = set()
        known = self._peek() != "^"
        ranges = False
        if not known:
            self.place += 1
        first = True
        while first or self._peek() != "]":
            first = False
            char = self._take()
            if char == "[":
                if self._peek() == ":":
                    raise _NotFollowed
                self.plain = False
            if char == "\\":
                escaped = self._escaped().exact
                known = known and escaped is not None
                char = next(iter(escaped or ""), "")
            elif self._peek() == char and char in "-&~|":
                self.plain = False
            if self._peek() == "-" and self._peek(2) != "-]":
                ranges = True
                self.place += 1
                last = self._take()
                known = known and last.isascii() and last != "\\"
                chars.update(map(chr, range(ord(char or last), ord(last))))
                char = last
            chars.add(char)
        self.place += 1
        if not known or "" in chars:
            return _Part(None)
        if ranges or len(chars) > MOST_STRINGS:
            return _Part(None, first=frozenset(chars))
        return _of(frozenset(chars))


class LiteralIndex:
    """Which of many patterns a text may match, by the literals that they need."""

    def __init__(self, needed: Iterable[Sequence[Way]]) -> None:
        ways = [(number, way) for number, of_one in enumerate(needed) for way in of_one]
        # So that those with a second set, a third... are the first of all.
        ways.sort(key=lambda way: -len(way[1]))
        self._every = (1 << len(ways)) - 1
        self._owners = [number for number, _ in ways]
        """The pattern of each way."""
        self._bytes = len(ways) // 8 + 1
        self._layers: list[tuple[int, int]] = []
        """Of the first set of each way, of the second...: where its bits begin among those of all
        sets, and the ways that have such a set."""
        holds: dict[str, int] = {}
        """Literal -> the sets that it is of, layer after layer."""
        offset = 0
        for layer in range(max((len(way) for _, way in ways), default=0)):
            own = [way[layer] for _, way in ways if layer < len(way)]
            for place, literals in enumerate(own, start=offset):
                for literal in literals:
                    holds[literal] = holds.get(literal, 0) | 1 << place
            self._layers.append((offset, (1 << len(own)) - 1))
            offset += len(own)
        # Many literals are of the same sets, whose number is kept once: it stays at hand.
        self._told = list(dict.fromkeys(holds.values()))
        places = {told: place for place, told in enumerate(self._told)}
        self._automaton = Automaton()
        for literal, told in holds.items():
            self._automaton.add_word(literal, places[told])
        self._automaton.make_automaton()

    def met(self, text: str) -> set[int]:
        """Numbers of the patterns of which a way has a literal of each of its sets in `text`."""
        # Without any word it is no automaton.
        found = self._automaton.iter(text) if self._told else ()
        told = reduce(or_, map(self._told.__getitem__, {place for _, place in found}), 0)
        met = self._every
        for offset, ways in self._layers:
            met &= told >> offset & ways | ~ways
        owners = self._owners
        return {
            owners[place * 8 + bit]
            for place, byte in enumerate(met.to_bytes(self._bytes, "little"))
            if byte
            for bit in _BITS[byte]
        }


_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]
"""Byte -> places of its bits."""
