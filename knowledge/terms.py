"""What contracts say that is calculated with, told only where a clause in force says so."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

from .chunk import quotable
from .documents import CONTRACT_DATED, Clause
from .lender import SAMPLE, LenderFileError


@dataclass(frozen=True, slots=True)
class Term:
    """One fact of a product's contracts, and the sentence that states it."""

    name: str
    value: str
    """As it is written, with its sign: 2%, 3, yes."""
    source: str
    """Source name of the document that states it."""
    quote: str
    product: str = ""
    """Key of the product; empty: it holds for all of them."""
    cap: str = ""
    """What the value, once applied, never exceeds."""
    first_terms: int = 0
    """It holds in so many first terms; 0: always."""
    after_terms: int = 0
    """It holds once so many terms were repaid."""
    then: str = ""
    """The sentence that says what holds after the first terms."""


@dataclass(frozen=True, slots=True)
class Terms:
    """All terms of a lender."""

    version: str
    source: str
    """The text that all of this was read from."""
    rows: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Stated:
    """A term that a clause in force states."""

    term: Term
    clause: Clause
    quote: str
    """The sentence of the clause that says so."""


def load_terms(path: Path | None = None) -> Terms:
    """The terms of a lender file; none where it has no table of them. Raises LenderFileError."""
    file = path or SAMPLE
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        rows = [Term(**row) for row in raw.get("terms", ())]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise LenderFileError(f"{file}: [[terms]] cannot be read ({error})") from error
    for place, row in enumerate(rows, start=1):
        if row.product and row.product not in raw.get("products", {}):
            raise LenderFileError(f"{file}: terms {place}: {row.product!r} is not in [products]")
        for name, value in asdict(row).items():
            if not isinstance(value, type(getattr(Term("", "", "", ""), name))):
                raise LenderFileError(f"{file}: terms {place}: {name} has another type")
    return of_text(json.dumps([asdict(row) for row in rows], ensure_ascii=False, sort_keys=True))


@lru_cache(maxsize=4)
def of_text(source: str) -> Terms:
    """The terms of a text that `Terms.source` holds."""
    version = hashlib.sha256(source.encode()).hexdigest()[:16]
    return Terms(version, source, tuple(Term(**row) for row in json.loads(source)))


def stated(
    terms: Terms | None,
    clauses: Iterable[Clause],
    name: str,
    *,
    product: str,
    signed: date,
    on: date,
    then: bool = False,
) -> Stated | None:
    """What a contract signed on a day says; None where no clause in force says it, or two differ.

    then: what holds after the first terms, where the term has such a sentence.
    """
    rows: Sequence[Term] = [
        row
        for row in (terms.rows if terms else ())
        if row.name == name and row.product in ("", product)
    ]
    sources = {row.source for row in rows}
    held = [c for c in clauses if c.source in sources and c.audience == "borrower"]
    found: list[Stated] = []
    for row in rows:
        sentence = row.then if then and row.then else row.quote
        for clause in held:
            day = signed if clause.head.kind in CONTRACT_DATED else on
            if (
                clause.source == row.source
                and clause.in_force(day)
                and sentence in quotable(clause)
            ):
                found.append(Stated(row, clause, sentence))
                break
    return found[0] if len({(each.term.value, each.term.cap) for each in found}) == 1 else None
