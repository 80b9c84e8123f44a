"""Whose assistant this is: name, contact and products, told only where a clause says so."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from .chunk import COMPANY, quotable
from .documents import Clause
from .text import fold

SAMPLE = Path(__file__).parent / "lender.toml"


class LenderFileError(Exception):
    """The lender file is wrong; the message names file and field."""


@dataclass(frozen=True, slots=True)
class Lender:
    name: str
    short_name: str
    hotline: str
    hours: str
    contact_source: str
    """Source name of the document that states hotline and hours."""
    products: Mapping[str, tuple[str, ...]]
    """Product key -> how borrowers name it, folded."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The annual rates of a product, as they may be advertised. They are no part of `Lender`, which
    is kept with each reply and made again from it."""

    product: str
    """Product key."""
    name: str
    least: str
    """As it is written, with its sign: 7.2%."""
    most: str
    source: str
    """Source name of the document that states both."""


def load_lender(path: Path | None = None) -> Lender:
    """Read a lender file, that of the sample lender by default. Raises LenderFileError."""
    file = path or SAMPLE
    raw = _read(file)
    contact = raw.get("contact", {})
    products = raw.get("products", {})
    if not isinstance(contact, dict) or not isinstance(products, dict):
        raise LenderFileError(f"{file}: [contact] and [products] must be tables")
    wanted = {
        "name": raw,
        "short_name": raw,
        "hotline": contact,
        "hours": contact,
        "source": contact,
    }
    for field, table in wanted.items():
        if not isinstance(table.get(field), str):
            raise LenderFileError(f"{file}: {field!r} must be a string")
    for key, names in products.items():
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            raise LenderFileError(f"{file}: products.{key} must be a list of names")
    return Lender(
        name=raw["name"],
        short_name=raw["short_name"],
        hotline=contact["hotline"],
        hours=contact["hours"],
        contact_source=contact["source"],
        products={key: tuple(fold(name) for name in names) for key, names in products.items()},
    )


def load_rates(path: Path | None = None) -> tuple[Rate, ...]:
    """The annual rates of a lender file; none where it has no table of them. Raises
    LenderFileError."""
    file = path or SAMPLE
    raw = _read(file)
    tables = raw.get("rates", {})
    if not isinstance(tables, dict):
        raise LenderFileError(f"{file}: [rates] must be a table")
    rates = []
    for product, table in tables.items():
        if product not in raw.get("products", {}):
            raise LenderFileError(f"{file}: rates.{product} is no product of [products]")
        for field in ("name", "least", "most", "source"):
            said = table.get(field) if isinstance(table, dict) else None
            if not isinstance(said, str) or not said:
                raise LenderFileError(f"{file}: rates.{product}.{field} must be a string")
        for field in ("least", "most"):
            if not _PERCENT.fullmatch(table[field]):
                raise LenderFileError(f"{file}: rates.{product}.{field} must be like '7.2%'")
        rates.append(Rate(product, table["name"], table["least"], table["most"], table["source"]))
    return tuple(rates)


_PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,4})?%")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LenderFileError(f"{file}: cannot be read ({error})") from error


def as_text(lender: Lender) -> str:
    """A lender as one text, the same for the same lender; `of_text` reads it."""
    return json.dumps(asdict(lender), ensure_ascii=False, sort_keys=True)


def of_text(text: str) -> Lender:
    """The lender of `as_text`."""
    held = json.loads(text)
    products = {key: tuple(names) for key, names in held.pop("products").items()}
    return Lender(**held, products=products)


def stated_contact(lender: Lender, clauses: Iterable[Clause], on: date) -> tuple[str, str]:
    """(hotline, hours) where one clause in force says both, else two empty strings."""
    for clause in clauses:
        if (
            clause.source == lender.contact_source
            and not clause.held
            and clause.in_force(on)
            and lender.hotline in clause.text
            and lender.hours in clause.text
        ):
            return lender.hotline, lender.hours
    return "", ""


def stated_rates(rates: Iterable[Rate], clauses: Iterable[Clause], on: date) -> tuple[Rate, ...]:
    """Those rates of which one sentence of a clause in force gives least and most."""
    sources = {rate.source for rate in rates}
    in_force = [c for c in clauses if c.source in sources and not c.held and c.in_force(on)]
    return tuple(
        rate
        for rate in rates
        if any(
            _gives(sentence, rate)
            for clause in in_force
            if clause.source == rate.source
            for sentence in quotable(clause)
        )
    )


def _gives(sentence: str, rate: Rate) -> bool:
    """Whether a sentence names the product and both its rates, as figures of their own."""
    return rate.name in sentence and all(
        re.search(rf"(?<![\d.]){re.escape(figure)}", sentence) for figure in (rate.least, rate.most)
    )


def is_of_another(lender: Lender, title: str) -> bool:
    """Whether a document's title names a company, and not the lender."""
    folded = fold(title)
    own = any(fold(name) in folded for name in (lender.name, lender.short_name))
    return COMPANY.search(folded) is not None and not own


def named_product(lender: Lender, text: str) -> str:
    """Key of the one product that `text` names; empty where it names none or several."""
    return product_in(lender.products, text)


def product_in(products: Mapping[str, Sequence[str]], text: str) -> str:
    """The same, of products by their folded names."""
    folded = fold(text)
    named = {key for key, names in products.items() if any(name in folded for name in names)}
    return named.pop() if len(named) == 1 else ""
