"""Literals that a regular expression cannot match without, by which most patterns are passed over.

The sets of RE2 that do this make their states as they meet new text, which costs milliseconds a
message; looking runs of two and three characters up in a table costs none of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

MOST_STRINGS = 64
"""Strings that part of a pattern may match and still count as so many literals."""

Strings = frozenset[str]
_Part = tuple[Strings | None, tuple[Strings, ...]]
"""(all that it matches, or None for too many; sets of which any match holds a literal each)"""

Places = npt.NDArray[np.intp]

_EVERYWHERE: Places = np.zeros(1, dtype=np.intp)
_ANYTHING: _Part = (None, ())
_NOTHING: _Part = (frozenset({""}), ())


def needed_literals(pattern: str) -> tuple[Strings, ...]:
    """Sets of strings, in small letters: every match of an RE2 pattern holds one of each set.

    The most telling set comes first. There is none where nothing may be concluded, as where the
    pattern is written in a way that is not followed here.
    """
    reader = _Reader(pattern.lower())
    try:
        part = reader.alternation()
    except _NotFollowed:
        return ()
    needed = _required(part) if reader.place == len(pattern) else ()
    return tuple(sorted(dict.fromkeys(needed), key=_telling, reverse=True))


class _NotFollowed(Exception):
    """A pattern uses syntax that is not read here."""


def _required(part: _Part) -> tuple[Strings, ...]:
    exact, required = part
    return (exact,) if exact and "" not in exact else required


def _telling(literals: Strings) -> tuple[int, int]:
    """Long literals stand in few texts, and few literals in fewer."""
    return min(3, *map(len, literals), 3), -len(literals)


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.place = 0

    def _peek(self, length: int = 1) -> str:
        return self._pattern[self.place : self.place + length]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise _NotFollowed
        self.place += 1
        return char

    def alternation(self) -> _Part:
        branches = [self._sequence()]
        while self._peek() == "|":
            self.place += 1
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        exact: Strings | None = frozenset()
        required: Strings | None = frozenset()
        for branch in branches:
            exact = None if exact is None or branch[0] is None else exact | branch[0]
            needed = _required(branch)
            best = max(needed, key=_telling) if needed else None
            required = None if required is None or best is None else required | best
        if exact is not None and len(exact) > MOST_STRINGS:
            exact = None
        return exact, () if required is None else (required,)

    def _sequence(self) -> _Part:
        run: Strings = frozenset({""})
        """What the parts since the last one that is no literal match together."""
        whole = True
        choices: list[Strings] = []
        while self._peek() not in ("", "|", ")"):
            exact, required = self._repeated(self._one())
            if exact is not None and len(exact) * len(run) <= MOST_STRINGS:
                run = frozenset(map("".join, product(run, exact)))
                continue
            whole = False
            choices.append(run)
            if exact is not None:
                run = exact
                continue
            run = frozenset({""})
            choices += required
        if whole:
            return run, ()
        choices.append(run)
        return None, tuple(choice for choice in choices if choice and "" not in choice)

    def _repeated(self, part: _Part) -> _Part:
        exact = part[0]
        char = self._peek()
        if char not in ("?", "*", "+", "{"):
            return part
        self.place += 1
        least = {"?": 0, "*": 0, "+": 1}.get(char)
        if least is None:
            end = self._pattern.find("}", self.place)
            bounds = self._pattern[self.place : end]
            if end < 0 or not bounds.replace(",", "").isdecimal():
                raise _NotFollowed
            least = int(bounds.partition(",")[0] or 0)
            self.place = end + 1
        if self._peek() == "?":
            self.place += 1
        elif self._peek() in ("*", "+", "{"):
            raise _NotFollowed
        if char == "?" and exact is not None:
            return exact | {""}, ()
        return (None, _required(part)) if least else _ANYTHING

    def _one(self) -> _Part:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escaped()
        if char in "^$":
            return _NOTHING
        return _ANYTHING if char == "." else (frozenset({char}), ())

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
            if self._take() == "{":
                self.place = self._pattern.index("}", self.place) + 1
            return _ANYTHING
        if char in "bazwsd":
            # In small letters \B, \W and \S look like \b, \w and \s: anything holds for all.
            return _NOTHING if char in "baz" else _ANYTHING
        if char.isalnum():
            raise _NotFollowed
        return frozenset({char}), ()

    def _class(self) -> _Part:
        chars: set[str] = set()
        known = self._peek() != "^"
        if not known:
            self.place += 1
        first = True
        while first or self._peek() != "]":
            first = False
            char = self._take()
            if char == "[" and self._peek() == ":":
                raise _NotFollowed
            if char == "\\":
                exact, _ = self._escaped()
                known = known and exact is not None
                char = next(iter(exact or ""), "")
            if self._peek() == "-" and self._peek(2) != "-]":
                known = False
            chars.add(char)
        self.place += 1
        if not known or len(chars) > MOST_STRINGS or "" in chars:
            return _ANYTHING
        return frozenset(chars), ()


class LiteralIndex:
    """Which of many patterns a text may match, by the literals that they need."""

    def __init__(self, needed: Iterable[tuple[Strings, ...]]) -> None:
        self._short: dict[str, Places] = {}
        """Literal of up to three characters -> the places of the sets that hold it."""
        self._long: dict[str, list[tuple[str, Places]]] = {}
        """First three characters -> longer literals and their places."""
        sets: dict[Strings, int] = {}
        places: list[int] = []
        self._first: list[int] = []
        """Where the sets of each pattern begin among `_wanted`."""
        for wanted in needed:
            self._first.append(len(places))
            # Place 0 is a set of which every text holds a literal.
            places += [sets.setdefault(literals, len(sets) + 1) for literals in wanted] or [0]
        self._wanted = np.array(places, dtype=np.intp)
        """The places of the sets of all patterns, one pattern after the other."""
        self._sets = len(sets) + 1
        owners: dict[str, list[int]] = {}
        for literals, place in sets.items():
            for literal in literals:
                owners.setdefault(literal, []).append(place)
        for literal, held in owners.items():
            row = np.array(held, dtype=np.intp)
            if len(literal) <= 3:
                self._short[literal] = row
            else:
                self._long.setdefault(literal[:3], []).append((literal, row))

    def candidates(self, text: str) -> list[int]:
        """Numbers of the patterns all of whose sets have a literal in `text`."""
        if not self._first:
            return []
        parts = set(text).union(map("".join, pairwise(text)))
        triples = set(map("".join, zip(text, text[1:], text[2:], strict=False)))
        found = [_EVERYWHERE]
        found += [self._short[part] for part in self._short.keys() & (parts | triples)]
        found += [
            places
            for triple in self._long.keys() & triples
            for literal, places in self._long[triple]
            if literal in text
        ]
        present = np.zeros(self._sets, dtype=np.bool_)
        present[np.concatenate(found)] = True
        held = np.logical_and.reduceat(present[self._wanted], self._first)
        candidates: list[int] = np.flatnonzero(held).tolist()
        return candidates
