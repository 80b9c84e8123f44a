"""Clauses of a release that say the same, and clauses that say the same with other figures.

What rules hold against single clauses, which is listed beside them, is found in clearance.py.
"""

from __future__ import annotations

import heapq
import math
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, count
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .chunk import ENUMERATOR, sentences
from .clearance import RuleFinding
from .dating import series
from .documents import CONTRACT_DATED, Clause
from .text import normalise, signed_between

Figures = Callable[[str], frozenset[str]]
"""The figures that a text states, as words that are equal where the figures are. The first two of
each name its kind and unit: only figures of one kind can contradict each other."""

LISTED = 1000
"""Most findings of a kind that are listed; all are counted."""

SAME = 0.8
"""Share of common runs of characters from which two clauses say the same."""

ON_ONE_SUBJECT = 0.5
"""Share of common words, weighted by rarity, from which two sentences are on one subject."""

ASIDE = 0.2
"""Largest share of its words that the shorter of the two may have to itself: more than that, and it
speaks of something else. Both measured on the sample lender."""

NAMED = 0.6
"""Share of a product's sentences that call it by its name, at least."""

SHORTEST = 12
"""Characters of a clause from which it can be a duplicate: shorter ones are headings and labels."""

RAREST = 5
"""Words of a sentence by pairs of which others on its subject are looked for, the rarest ones."""

BUCKET = 64
"""Clauses or sentences that share a key beyond which the key says nothing; bounds the time."""

COMPARED = 300_000
"""Most pairs that are compared, of either kind; bounds the time where a corpus repeats itself."""

_SHINGLE = 4
"""Characters of a run."""
_BANDS, _ROWS = 8, 4
"""Keys by which duplicates of a clause are looked for, and the least hashes that make up each: of
pairs just at `SAME` five in six share a key, of those at 0.9 ninety-nine in a hundred."""
_NUMBERS = re.compile(r"\d+(?:\.\d+)?%?")
_HAS_NUMBER = re.compile(r"[\d一二三四五六七八九十百千万两]")
_SIGNED = re.compile(r"\d{4}年\d{1,2}月\d{1,2}日(?:起|及?以?[前后]|之[前后])\S{0,2}?签[署订约]的?")
_NO_STATEMENT = re.compile(r"[=×÷]|例如|比如|假设|示例|举例")
"""Worked examples: their figures are no rules."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two clauses of a finding."""

    clause_id: str
    source: str
    locator: str
    text: str
    """The clause; of a contradiction the sentence."""
    figures: tuple[str, ...] = ()
    """Figures that the other side does not state."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Literal["duplicate", "contradiction"]
    a: Side
    b: Side
    alike: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a release; the counts hold for what is not listed too, among the pairs that
    were compared."""

    duplicates: tuple[Finding, ...] = ()
    contradictions: tuple[Finding, ...] = ()
    duplicate_count: int = 0
    contradiction_count: int = 0
    seconds: float = 0.0
    rules: tuple[RuleFinding, ...] = ()
    """What rules hold against single clauses."""
    rule_count: int = 0


@dataclass(frozen=True, slots=True)
class _Sentence:
    clause: Clause
    text: str
    words: frozenset[str]
    numbers: tuple[str, ...]
    signed: tuple[date, date]
    """Days of signing of the contracts it is about, both included."""

    @property
    def row(self) -> tuple[str, frozenset[str]]:
        """What the rows of one table have in common."""
        return self.clause.source, self.words


def plain_figures(text: str) -> frozenset[str]:
    """Numbers as written, with the character behind them: where no finder of figures is given."""
    found = re.finditer(r"(\d+(?:\.\d+)?)\s*(\S?)", normalise(text))
    return frozenset(f"number {match[2] or '-'} {match[1]}" for match in found)


def review(parts: Sequence[Clause], figures: Figures = plain_figures) -> Findings:
    """Duplicates and contradictions among clauses in force on a common day, worst first.

    Compared are clauses of different documents, of one jurisdiction, and of one product or of none.
    """
    started = time.perf_counter()
    duplicates, duplicate_count = _worst(_duplicates(parts))
    contradictions, contradiction_count = _worst(_contradictions(parts, figures))
    return Findings(
        duplicates=duplicates,
        contradictions=contradictions,
        duplicate_count=duplicate_count,
        contradiction_count=contradiction_count,
        seconds=round(time.perf_counter() - started, 2),
    )


def _worst(found: Iterable[Finding]) -> tuple[tuple[Finding, ...], int]:
    """The findings that are listed, those most alike first, and how many there are."""
    counted = count()
    listed = heapq.nsmallest(
        LISTED,
        (finding for finding, _ in zip(found, counted, strict=False)),
        key=lambda f: (-f.alike, f.a.source, f.b.source, f.a.clause_id, f.b.clause_id),
    )
    return tuple(dict.fromkeys(listed)), next(counted)


def comparable(one: Clause, other: Clause) -> bool:
    """Whether two clauses could stand side by side in an answer.

    Two laws regulate two matters, in set phrases; only versions of one law are compared.
    """
    a, b = one.head, other.head
    two_laws = a.kind == b.kind == "regulation" and series(a) != series(b)
    return (
        one.source != other.source
        and not two_laws
        and a.jurisdiction == b.jurisdiction
        and (a.product == b.product or not a.product or not b.product)
        and (a.effective_from or date.min) <= (b.effective_to or date.max)
        and (b.effective_from or date.min) <= (a.effective_to or date.max)
    )


# Duplicates


def _duplicates(parts: Sequence[Clause]) -> Iterator[Finding]:
    rng = np.random.default_rng(1)
    factors = rng.integers(1, 2**63, size=(_BANDS * _ROWS, 1), dtype=np.uint64) | np.uint64(1)
    shingles: dict[int, NDArray[np.uint64]] = {}
    keys: list[NDArray[np.uint64]] = []
    for ordinal, part in enumerate(parts):
        text = _bare(part.text)
        if len(text) < SHORTEST:
            continue
        runs = _runs(text)
        shingles[ordinal] = runs
        least = (factors * runs).min(axis=1).reshape(_BANDS, _ROWS)
        band = np.arange(_BANDS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        keys.append((least * _MIX).sum(axis=1, dtype=np.uint64) ^ band)
    holders = list(shingles)
    for i, j in _sharing(keys):
        one, other = parts[holders[i]], parts[holders[j]]
        if not comparable(one, other) or not _meet(_signed(one), _signed(other)):
            continue
        first, second = shingles[holders[i]], shingles[holders[j]]
        common = len(np.intersect1d(first, second, assume_unique=True))
        alike = 2 * common / (len(first) + len(second))
        if alike >= SAME and _numbers(one.text) == _numbers(other.text):
            yield Finding("duplicate", _side(one), _side(other), round(alike, 3))


_MIX = np.array([0x2545F4914F6CDD1D, 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F],
                dtype=np.uint64)  # fmt: skip


def _bare(text: str) -> str:
    """Letters, characters and digits of a text in one width."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def _runs(text: str) -> NDArray[np.uint64]:
    """Hashes of all runs of four characters, each once."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    hashed = np.zeros(len(codes) - _SHINGLE + 1, dtype=np.uint64)
    for offset in range(_SHINGLE):
        hashed = hashed * np.uint64(0x100000001B3) + codes[offset : offset + len(hashed)]
    hashed ^= hashed >> np.uint64(29)
    return np.unique(hashed * np.uint64(0xBF58476D1CE4E5B9))


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBERS.findall(unicodedata.normalize("NFKC", text)))


def _signed(part: Clause) -> tuple[date, date]:
    """Days of signing that a clause is about: of product terms those when they are in force."""
    first, last = signed_between(part.text) or (date.min, date.max)
    if part.head.kind in CONTRACT_DATED:
        first = max(first, part.head.effective_from or date.min)
        last = min(last, part.head.effective_to or date.max)
    return first, last


def _meet(one: tuple[date, date], other: tuple[date, date]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _side(clause: Clause) -> Side:
    return Side(clause.id, clause.source, clause.locator, clause.text)


def _sharing(keys: Sequence[NDArray[np.uint64]]) -> Iterator[tuple[int, int]]:
    """Pairs of places that share a key, each once; keys that very many share are left out."""
    if not keys:
        return
    owners = np.repeat(np.arange(len(keys)), [len(row) for row in keys])
    flat = np.concatenate(keys)
    order = np.argsort(flat, kind="stable")
    flat, owners = flat[order], owners[order]
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    ends = np.r_[starts[1:], len(flat)]
    seen: set[tuple[int, int]] = set()
    for start, end in zip(starts, ends, strict=True):
        if not 1 < end - start <= BUCKET:
            continue
        for pair in combinations(sorted(set(owners[start:end].tolist())), 2):
            if pair not in seen:
                if len(seen) == COMPARED:
                    return
                seen.add(pair)
                yield pair


# Contradictions


def _contradictions(parts: Sequence[Clause], figures: Figures) -> Iterator[Finding]:
    said = [sentence for part in parts for sentence in _statements(part)]
    holders = Counter(word for sentence in said for word in sentence.words)
    weight = {word: math.log(1 + len(said) / n) for word, n in holders.items()}
    names = _product_names(said)
    rows: dict[tuple[str, frozenset[str]], list[tuple[str, ...]]] = {}
    for sentence in said:
        rows.setdefault(sentence.row, []).append(sentence.numbers)
    states: dict[str, frozenset[str]] = {}

    def stated(text: str) -> frozenset[str]:
        if text not in states:
            states[text] = figures(text)
        return states[text]

    for i, j in _sharing([_subject_keys(sentence, holders) for sentence in said]):
        one, other = said[i], said[j]
        if (
            one.numbers == other.numbers
            or not comparable(one.clause, other.clause)
            or not _meet(one.signed, other.signed)
        ):
            continue
        alike = _alike(one.words, other.words, weight)
        if alike is None or _is_another_row(
            one.numbers, other.numbers, rows[one.row], rows[other.row]
        ):
            continue
        if (one.words ^ other.words) & names and (one.words & names) and (other.words & names):
            continue
        mine, theirs = stated(one.text), stated(other.text)
        a, b = mine - theirs, theirs - mine
        if {_unit(f) for f in a} & {_unit(f) for f in b}:
            yield Finding("contradiction", _said(one, a), _said(other, b), round(alike, 3))


def _statements(part: Clause) -> Iterator[_Sentence]:
    """Sentences and table rows of a clause that state a number."""
    import rjieba

    scope = _signed(part) if part.head.kind in CONTRACT_DATED else (date.min, date.max)
    for line in part.text.split("\n"):
        if not _HAS_NUMBER.search(line):
            continue
        for start, end in sentences(line):
            text = ENUMERATOR.sub("", line[start:end]).strip()
            if not _HAS_NUMBER.search(text) or _NO_STATEMENT.search(text):
                continue
            normal = normalise(text)
            numbers = tuple(_NUMBERS.findall(normal))
            words = frozenset(
                word
                for word in rjieba.cut(_NUMBERS.sub(" ", _SIGNED.sub("", normal)))
                if len(word) > 1 and word.isalnum()
            )
            if numbers and len(words) > 1:
                first, last = signed_between(text) or (date.min, date.max)
                signed = max(first, scope[0]), min(last, scope[1])
                yield _Sentence(part, text, words, numbers, signed)


def _subject_keys(sentence: _Sentence, holders: Counter[str]) -> NDArray[np.uint64]:
    """Keys that two sentences share if two of their rarest words are the same."""
    rarest = sorted(sentence.words, key=lambda word: (holders[word], word))[:RAREST]
    pairs = combinations(sorted(rarest), 2)
    return np.array([hash(pair) & 0xFFFFFFFFFFFFFFFF for pair in pairs], dtype=np.uint64)


def _alike(one: frozenset[str], other: frozenset[str], weight: dict[str, float]) -> float | None:
    """How much two sentences are on one subject, 0 to 1; None where they are not."""

    def weigh(words: Iterable[str]) -> float:
        return sum(weight[word] for word in words)

    common = weigh(one & other)
    alike = common / (weigh(one | other) or 1.0)
    aside = min(weigh(one - other) / weigh(one), weigh(other - one) / weigh(other))
    return alike if alike >= ON_ONE_SUBJECT and aside <= ASIDE else None


def _product_names(said: Sequence[_Sentence]) -> frozenset[str]:
    """Words by which the documents of one product call it: in most of its sentences, in hardly any
    of another product's."""
    of_product: dict[str, list[_Sentence]] = {}
    for sentence in said:
        if sentence.clause.head.product:
            of_product.setdefault(sentence.clause.head.product, []).append(sentence)
    shares: dict[str, dict[str, float]] = {}
    for product, sentences_of in of_product.items():
        holders = Counter(word for sentence in sentences_of for word in sentence.words)
        shares[product] = {word: n / len(sentences_of) for word, n in holders.items()}
    return frozenset(
        word
        for product, words in shares.items()
        for word, share in words.items()
        if share >= NAMED
        and len(shares) > 1
        and all(other.get(word, 0.0) <= 1 - NAMED for p, other in shares.items() if p != product)
    )


def _is_another_row(
    one: tuple[str, ...],
    other: tuple[str, ...],
    mine: Sequence[tuple[str, ...]],
    theirs: Sequence[tuple[str, ...]],
) -> bool:
    """Whether two rows of alike tables have different keys, or one has its like in the other table.

    mine, theirs: the numbers of all rows that are worded as each of them. The key of a row is its
    first number, where a document words several rows alike.
    """
    if one in theirs or other in mine:
        return True
    keyed = len(set(mine)) > 1 or len(set(theirs)) > 1
    return keyed and one[0] != other[0]


def _unit(figure: str) -> tuple[str, ...]:
    return tuple(figure.split(" ")[:2])


def _said(sentence: _Sentence, figures: Iterable[str]) -> Side:
    clause = sentence.clause
    return Side(clause.id, clause.source, clause.locator, sentence.text, tuple(sorted(figures)))
