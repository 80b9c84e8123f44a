"""Who may be addressed with an offer, and why somebody may not: plain conditions, no model.

Reasons, channels and caps are in knowledge/addressing.toml, hours and numbers in the settings of the
rule pack. What is not known of somebody refuses them, with a reason of its own. docs/addressing.md
tells what each check asks.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from .campaigns import Campaign
from .people import ALL, Person, age_on
from .rules import Channel, RulePack
from .segments import Condition

HOUSE = "house"
"""In place of a rule: house policy, and no rule of the pack."""

WINDOW = timedelta(days=7)
"""Contacts count for so long, to the instant: exactly so long ago does not."""

UNKNOWNS = ("age", "student", "hardship", "debt_share", "overdue", "disputed")
"""What `marketing_must_know` may name: not to know it refuses."""


class AddressingError(Exception):
    """Settings and data by which people are addressed cannot be used; each line names one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A row of knowledge/addressing.toml."""

    id: str
    rule: str
    """Id of a rule; empty: house policy."""
    note: str
    title: Mapping[str, str]
    """By locale."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not be addressed."""

    reason: str
    """A key of `reasons()`."""
    rule: str
    """Id of the rule of the pack that it follows from, or HOUSE."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What somebody would be addressed with, how and when."""

    channel: Channel
    purpose: Literal["marketing"]
    personalised: bool
    """Whether anything about the person chose what they get."""
    at: datetime
    campaign: Campaign
    contacted: Collection[str] = frozenset()
    """Ids of customers whom the campaign has reached before."""
    taken: Mapping[str, int] = field(default_factory=dict)
    """Coupon id -> how many were given out."""

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("at: expected an instant with its zone")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What refusals depend on beside person and occasion: read once, then only looked up."""

    zone: ZoneInfo
    by_message: bool
    """Whether quiet hours are told by the clock of `at`, not by that of the zone."""
    quiet_from: time
    quiet_to: time
    adult_from_age: int
    debt_share_most: Decimal
    must_know: frozenset[str]


def bounds_of(pack: RulePack) -> Bounds:
    """What the settings of a rule pack and knowledge/addressing.toml come to.

    Raises AddressingError.
    """
    raise AddressingError("not there yet")


def refusals(person: Person, occasion: Occasion, bounds: Bounds) -> tuple[Refusal, ...]:
    """Every reason not to address somebody, the most serious first; none: they may be."""
    raise AddressingError("not there yet")


def refusal(reason: str, channel: Channel, bounds: Bounds) -> Refusal:
    """A refusal that a caller finds out about, such as `out_of_stock` in the middle of a run."""
    raise AddressingError("not there yet")


def held_out(campaign_id: str, customer_id: str, share: Decimal) -> bool:
    """Whether a customer is of those who get nothing: the same for ever, a share of all."""
    digest = hashlib.sha256(f"{campaign_id}\0{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


@cache
def reasons() -> Mapping[str, Reason]:
    """By id, the most serious first."""
    file = Path(__file__).parent.parent / "knowledge" / "addressing.toml"
    table: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        row["id"]: Reason(row["id"], row["rule"], row.get("note", ""), row["title"])
        for row in table["reasons"]
    }
