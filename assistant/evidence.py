"""Chooses, from the clauses found, the sentences that a reader is given: a model, or a borrower."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from knowledge.chunk import quotable
from knowledge.documents import CONTRACT_DATED, Clause, Evidence
from knowledge.lender import Lender
from knowledge.retrieve import Found, share
from knowledge.text import (
    asks_for_figure,
    bigrams,
    fold,
    of_every_contract,
    signed_between,
)

from .models import Citation


@dataclass(frozen=True, slots=True)
class Budget:
    """How much evidence is put before a reader, and how much of it may be used."""

    sentences: int
    characters: int
    answer: int
    """Sentences of the reply at most."""
    tokens: int
    """Tokens the model may write."""


SELECT = Budget(sentences=8, characters=330, answer=3, tokens=32)
DRAFT = Budget(sentences=40, characters=4000, answer=6, tokens=700)
EXTRACT = Budget(sentences=6, characters=600, answer=6, tokens=0)
BEST = Budget(sentences=4, characters=400, answer=4, tokens=0)
BUDGETS = (BEST, EXTRACT, SELECT, DRAFT)

SIGNS: Mapping[str, float] = {
    "clause": 4.6,
    "placed": 1.9,
    "near": 0.3,
    "nearest": 1.0,
    "said": 5.4,
    "titled": 10.7,
    "headed": 9.8,
    "counted": 1.3,
    "dated": 1.2,
    "length": 1.1,
}
"""What speaks for a sentence, and how much; fitted by evals.fit_sentences. See `signs`."""

_PARTS = re.compile(r"[\uff0c,\uff1b;|]")
_NUMBERING = re.compile(r"[A-Za-z]{0,2}[-.]?[0-9]{1,4}")
_FIGURE = re.compile(r"[0-9]+(?:[.,][0-9]+)*")

REPEATED = 0.8
"""Share of a sentence's pairs of characters that another has, from which it says nothing new."""

LEAST_STATED = 3
"""Pairs of characters before a figure that tell of what it is one."""

STATED = 0.5
"""Share of the pairs of characters before a figure that a sentence of the same matter has."""

NAMED = 0.5
"""Share of the pairs of characters of a table row's name from which a question names the row."""

SAME_MATTER = 0.6
"""Likeness from which two sentences are taken to speak of the same thing."""


Ranked = Mapping[Citation, tuple[int, int]]
"""Sentences, what bears most on the question first -> rank of the clause, and place in it."""


def ranked_sentences(found: Found, signed: date | None, lender: Lender) -> Ranked:
    """The sentences of the clauses found, by what bears most on the question.

    signed: day of the contract; a sentence that is not true of a contract of that day is left out,
    and so is one of other products than the one that the question names.
    """
    rows = sorted(signs(found, signed, lender.products), key=lambda row: -row.score())
    order: dict[Citation, tuple[int, int]] = {}
    for row in _without_neighbours(rows, found):
        order.setdefault(
            holds_instead(row.citation, found.prevailing, lender), (row.rank, row.place)
        )
    return order


def ranked_side_by_side(sides: Sequence[Ranked]) -> Ranked:
    """Sentences on each of the things that are compared, of each the best before the next of any;
    what is told of one stands together."""
    clauses = 1 + max((rank for side in sides for rank, _ in side.values()), default=0)
    order: dict[Citation, tuple[int, int]] = {}
    for row in itertools.zip_longest(*(side.items() for side in sides)):
        for at, each in enumerate(row):
            if each is not None:
                citation, (rank, place) = each
                order.setdefault(citation, (at * clauses + rank, place))
    return order


def _without_neighbours(rows: Sequence[Sign], found: Found) -> list[Sign]:
    """Without those table rows of which another row of the table has the name that was asked for.

    A row's name is its first cell that is no number. It is asked for where the question has half of
    its pairs of characters, or calls it by its first and last as `农行`.
    """
    asked = set(bigrams(found.mended))
    tables: dict[tuple[str, ...], list[frozenset[str]]] = {}
    said: dict[Citation, frozenset[str]] = {}
    for row in rows:
        if (named := _row_name(row.citation)) is None:
            continue
        table, name = named
        pairs = frozenset(bigrams(name))
        short = f"{name[0]}{name[-1]}"
        held = pairs if len(name) > len(short) and short in asked else pairs & asked
        said[row.citation] = held
        if held and len(held) >= NAMED * len(pairs):
            tables.setdefault(table, []).append(held)
    return [
        row
        for row in rows
        if row.citation not in said
        or not any(said[row.citation] < other for other in tables.get(_table(row.citation), ()))
    ]


def _row_name(citation: Citation) -> tuple[tuple[str, ...], str] | None:
    """The table that a row stands in, and the row's name; None for what is no row."""
    if citation.clause.meta.get("form") != "table":
        return None
    for cell in citation.quote.split("\uff1b"):
        _, colon, value = cell.partition("\uff1a")
        if colon and value and not _NUMBERING.fullmatch(value):
            return _table(citation), fold(value)
    return None


def _table(citation: Citation) -> tuple[str, ...]:
    """What the rows of a table share: document, heading, and the name of the first column."""
    clause = citation.clause
    return clause.source, clause.title, citation.quote.partition("\uff1a")[0]


def evidence_sentences(ranked: Ranked, budget: Budget) -> list[Citation]:
    """As many of the best as a budget has room for, grouped by clause."""
    return sorted(fill([*ranked], budget), key=lambda citation: ranked[citation])


def holds_instead(
    citation: Citation, prevailing: Sequence[tuple[Clause, str]], lender: Lender
) -> Citation:
    """What holds in the place of a sentence of some contracts alone: a later one that says other
    things of the same matter and product, and that it holds whenever a contract was signed.

    prevailing: sentences that say so, with their clauses; see `Found`.
    """
    head, quote = citation.clause.head, citation.quote
    if head.effective_from is None or of_every_contract(quote):
        return citation
    if head.kind not in CONTRACT_DATED and signed_between(quote) is None:
        return citation
    place = f"{head.title} {citation.clause.locator} {citation.clause.title} {quote}"
    own = {head.product} if head.product else _products_in(place, lender)
    # Who speaks, and of which product, tells nothing of the matter.
    names = [lender.short_name, *(name for each in lender.products.values() for name in each)]
    nameless = set(bigrams(" ".join(names)))
    for clause, sentence in prevailing:
        begins = clause.head.effective_from
        if begins is None or begins <= head.effective_from:
            continue
        of = _product_of_rule(sentence, lender)
        if of and not (own and own <= of):
            continue
        said, figures = set(bigrams(sentence)), set(_FIGURE.findall(sentence))
        for matter, figure in _stated(citation):
            pairs = set(bigrams(matter)) - nameless
            alike = len(pairs & said) >= STATED * len(pairs)
            if len(pairs) >= LEAST_STATED and alike and figure not in figures:
                return Citation(clause, sentence)
    return citation


def _products_in(text: str, lender: Lender) -> set[str]:
    return {key for key, names in lender.products.items() if any(name in text for name in names)}


def _product_of_rule(sentence: str, lender: Lender) -> set[str]:
    """Products that a rule for every contract speaks of: named where it says so, or before."""
    named: set[str] = set()
    for part in _PARTS.split(sentence):
        named = _products_in(part, lender) or named
        if of_every_contract(part):
            break
    return named


def fill(best: Sequence[Citation], budget: Budget) -> list[Citation]:
    """As many of the best sentences as a budget has room for; one that is too long, or says almost
    only what a better one said, is passed by."""
    chosen: list[Citation] = []
    said: list[set[str]] = []
    room = budget.characters
    for citation in best[: budget.sentences * 3]:
        if len(chosen) == budget.sentences:
            break
        own = set(bigrams(citation.quote))
        if chosen and (len(citation.quote) > room or _repeats(own, said)):
            continue
        room -= len(citation.quote)
        chosen.append(citation)
        said.append(own)
    return chosen


def _stated(citation: Citation) -> Iterator[tuple[str, str]]:
    """What a sentence or row states figures of, and each figure."""
    parts = _PARTS.split(citation.quote)
    is_row = citation.clause.meta.get("form") == "table"
    for part in parts:
        before = 0
        for figure in _FIGURE.finditer(part):
            named = parts[0].split("\uff1a")[-1] if is_row else part[before : figure.start()]
            yield named, figure.group()
            before = figure.end()


def without_repeats(citations: Sequence[Citation]) -> list[Citation]:
    """Without sentences that say almost only what an earlier one said."""
    kept: list[Citation] = []
    said: list[set[str]] = []
    for citation in citations:
        own = set(bigrams(citation.quote))
        if not _repeats(own, said):
            kept.append(citation)
            said.append(own)
    return kept


def _repeats(own: set[str], said: Sequence[set[str]]) -> bool:
    return any(len(own & other) >= REPEATED * len(own) for other in said)


@dataclass(frozen=True, slots=True)
class Sign:
    """A sentence of a clause found, and what speaks for it; see SIGNS."""

    citation: Citation
    rank: int
    """Of its clause among those found."""
    place: int
    """In the clause."""
    values: Mapping[str, float]

    def score(self) -> float:
        return sum(SIGNS[name] * value for name, value in self.values.items())


def signs(
    found: Found, signed: date | None, products: Mapping[str, Sequence[str]] | None = None
) -> list[Sign]:
    """Every sentence of the clauses found that is true of a contract signed on that day, and is not
    of another product.

    clause: its clause's score. placed: 1 for a sentence of the best clause, 1/2 of the second, and
    so on. near: how near it lies to the question. nearest: whether no other of its clause lies
    nearer. said, titled, headed: how much of the question it holds, alone, under its heading, and
    in the title of its document. counted: whether it has a figure where one is asked for. dated: a
    known contract is spoken of by its own terms before what is said of all. length: logarithm of
    its characters.
    """
    rows: list[Sign] = []
    asked_for_figure = asks_for_figure(found.read_as)
    others = _other_products(found.read_as, products or {})
    for rank, item in enumerate(found.evidence):
        clause = item.clause
        headed = share(found.asked, clause.head.title)
        for place, quote in enumerate(quotable(clause)):
            days = signed_between(quote)
            if not bigrams(quote) or (
                signed and not _speaks_of(signed, days, quote, item, found.evidence)
            ):
                continue
            if others is not None and others(quote):
                continue
            near = item.sentences[place] if place < len(item.sentences) else min(item.sentences)
            values = {
                "clause": item.score,
                "placed": 1 / (1 + rank),
                "near": near,
                "nearest": float(near == max(item.sentences)),
                "said": share(found.asked, quote),
                "titled": share(found.asked, f"{clause.title}\n{quote}"),
                "headed": headed,
                "counted": float(asked_for_figure and any(c.isdigit() for c in quote)),
                "dated": float(
                    bool(signed) and (clause.head.kind in CONTRACT_DATED or days is not None)
                ),
                "length": math.log(len(quote)),
            }
            rows.append(Sign(Citation(clause, quote), rank, place, values))
    return rows


def _other_products(
    asked: str, products: Mapping[str, Sequence[str]]
) -> Callable[[str], bool] | None:
    """Whether a sentence names only products that the question does not; None where the question
    names none, or all."""
    folded = fold(asked)
    own = [names for names in products.values() if any(name in folded for name in names)]
    if not own or len(own) == len(products):
        return None
    mine = [name for names in own for name in names]
    theirs = [name for names in products.values() if names not in own for name in names]

    def is_other(quote: str) -> bool:
        said = fold(quote)
        return any(name in said for name in theirs) and not any(name in said for name in mine)

    return is_other


def _speaks_of(
    signed: date,
    days: tuple[date, date] | None,
    quote: str,
    item: Evidence,
    evidence: Sequence[Evidence],
) -> bool:
    """Whether a sentence is true of a contract signed on that day.

    One that limits itself to other days is not; nor is one of a policy or FAQ that restates terms
    of another version, where the contract's own version says something else.
    """
    if days:
        return days[0] <= signed <= days[1]
    if item.clause.head.kind in CONTRACT_DATED:
        return True
    for own in evidence:
        mine = closest(quote, own.clause) if own.versions else None
        for other in own.versions:
            theirs = closest(quote, other)
            if mine is None or theirs is None or bigrams(mine) == bigrams(theirs):
                continue
            alike = likeness(quote, theirs)
            if alike >= SAME_MATTER and alike > likeness(quote, mine):
                return False
    return True


def closest(quote: str, clause: Clause) -> str | None:
    """The sentence of a clause that is most like `quote`."""
    return max(quotable(clause), key=lambda other: likeness(quote, other), default=None)


def likeness(one: str, other: str) -> float:
    """Share of the shorter sentence's character pairs that the other has too, 0 to 1."""
    own, others = set(bigrams(one)), set(bigrams(other))
    return len(own & others) / max(1, min(len(own), len(others)))
