"""What came of a campaign: counts by variant, as they are imported, with intervals."""

from __future__ import annotations

import csv
import io
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from . import audit
from .audit import Trail
from .db import as_utc, campaign_results, contacts, staff

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

HOLDOUT = "holdout"
"""Variant of those who got nothing."""

MOST_VARIANTS = 200
MOST_CHARS = 64
MOST_COUNT = 10**12
_Z = 1.959964
_COUNTS = ("variant", "n", "converted")
_CUSTOMERS = ("customer", "variant", "converted")
_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no", ""})


class BadResults(Exception):
    """A file of results cannot be used; the message names line and column."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one variant."""

    variant: str
    n: int
    converted: int


@dataclass(frozen=True, slots=True)
class Results:
    outcomes: tuple[Outcome, ...]
    """By name, the holdout last."""
    imported_by: str
    """Name of who brought them."""
    imported_at: datetime

    @property
    def holdout(self) -> Outcome | None:
        return next((each for each in self.outcomes if each.variant == HOLDOUT), None)


def wilson(converted: int, n: int) -> Interval:
    """A share with its score interval. Raises ValueError where n is 0.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    Journal of the American Statistical Association 22 (1927), 209-212.
    """
    if n <= 0:
        raise ValueError("a share of nobody")
    share = converted / n
    centre = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return Interval(share, max(0.0, centre - spread), min(1.0, centre + spread))


def newcombe(one: Outcome, other: Outcome) -> Interval:
    """The difference of two independent shares, first less second, with its interval.

    Raises ValueError where one of them is of nobody.
    Source: R. G. Newcombe, Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    a, b = wilson(one.converted, one.n), wilson(other.converted, other.n)
    difference = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


# Reading a file -------------------------------------------------------------------------------


def read_csv(text: str) -> tuple[Outcome, ...]:
    """Outcomes of a file with counts by variant, or with a row for each customer, of which one is
    held at a time.

    Its first line names the columns, in any order: `variant,n,converted` or
    `customer,variant,converted`. Raises BadResults.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        columns = next(
            (known for known in (_COUNTS, _CUSTOMERS) if sorted(header) == sorted(known)), None
        )
        if columns is None:
            raise BadResults(
                f"line 1: expected the columns {','.join(_COUNTS)} or {','.join(_CUSTOMERS)}"
            )
        read = _read_counts if columns is _COUNTS else _read_customers
        found = read(_cells(rows, header))
    except csv.Error as error:
        raise BadResults(f"line {rows.line_num}: {error}") from None
    if not found:
        raise BadResults("line 2: expected a row")
    if len(found) > MOST_VARIANTS:
        raise BadResults(f"expected at most {MOST_VARIANTS} variants")
    return tuple(sorted(found, key=lambda each: (each.variant == HOLDOUT, each.variant)))


def _cells(rows: Any, header: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line, column -> cell) of each row that says something."""
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise BadResults(f"line {rows.line_num}: expected {len(header)} columns")
        yield rows.line_num, {name: cell.strip() for name, cell in zip(header, row, strict=True)}


def _read_counts(table: Iterable[tuple[int, Mapping[str, str]]]) -> list[Outcome]:
    found: dict[str, Outcome] = {}
    for line, cells in table:
        variant = _variant(line, cells)
        if variant in found:
            raise BadResults(f"line {line}: variant: {variant!r} stands there twice")
        n, converted = (_count(line, name, cells[name]) for name in ("n", "converted"))
        if converted > n:
            raise BadResults(f"line {line}: converted: more than n")
        found[variant] = Outcome(variant, n, converted)
    return list(found.values())


def _read_customers(table: Iterable[tuple[int, Mapping[str, str]]]) -> list[Outcome]:
    seen: set[str] = set()
    counted: dict[str, list[int]] = {}
    for line, cells in table:
        customer = cells["customer"]
        # The id itself is not told: it would stand in a log.
        if not customer:
            raise BadResults(f"line {line}: customer: expected an id")
        if customer in seen:
            raise BadResults(f"line {line}: customer: stands there twice")
        seen.add(customer)
        said = cells["converted"].lower()
        if said not in _YES | _NO:
            raise BadResults(f"line {line}: converted: expected 1 or 0")
        counts = counted.setdefault(_variant(line, cells), [0, 0])
        if len(counted) > MOST_VARIANTS:
            break
        counts[0] += 1
        counts[1] += said in _YES
    return [Outcome(variant, n, converted) for variant, (n, converted) in counted.items()]


def _variant(line: int, cells: Mapping[str, str]) -> str:
    variant = cells["variant"]
    if not 0 < len(variant) <= MOST_CHARS or not variant.isprintable():
        raise BadResults(f"line {line}: variant: expected 1 to {MOST_CHARS} characters")
    return variant


def _count(line: int, name: str, cell: str) -> int:
    if not cell.isascii() or not cell.isdigit() or len(cell) > 13 or int(cell) > MOST_COUNT:
        raise BadResults(f"line {line}: {name}: expected a whole number")
    return int(cell)


# Keeping --------------------------------------------------------------------------------------


async def keep(trail: Trail, campaign: str, outcomes: Sequence[Outcome], *, by: str) -> None:
    """Put results in the place of those that a campaign had."""
    at, import_id = datetime.now(UTC), uuid.uuid4().hex
    rows: list[dict[str, Any]] = [
        {
            "campaign": campaign,
            "variant": each.variant,
            "n": each.n,
            "converted": each.converted,
            "import_id": import_id,
            "by": by,
            "at": at,
        }
        for each in outcomes
    ]
    async with audit.writing(trail) as (connection, seal):
        await connection.execute(
            delete(campaign_results).where(campaign_results.c.campaign == campaign)
        )
        await connection.execute(insert(campaign_results), rows)
        body = {"action": "imported", "by": by, "variants": len(rows)}
        await seal("results", campaign, body)


async def count_contacted(engine: AsyncEngine) -> Mapping[str, int]:
    """Campaign -> customers who were written to; who was held out is none of them."""
    query = (
        select(contacts.c.campaign, func.count())
        .where(contacts.c.channel != HOLDOUT)
        .group_by(contacts.c.campaign)
    )
    async with engine.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def read_results(engine: AsyncEngine, campaign: str) -> Results | None:
    """None where nothing was imported."""
    query = (
        select(campaign_results, staff.c.name)
        .outerjoin(staff, staff.c.id == campaign_results.c.by)
        .where(campaign_results.c.campaign == campaign)
        .order_by(campaign_results.c.variant)
    )
    async with engine.connect() as connection:
        rows = list(await connection.execute(query))
    if not rows:
        return None
    outcomes = [Outcome(row.variant, row.n, row.converted) for row in rows]
    outcomes.sort(key=lambda each: each.variant == HOLDOUT)
    return Results(tuple(outcomes), rows[0].name or "", as_utc(rows[0].at))
