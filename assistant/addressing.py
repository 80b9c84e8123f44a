"""Who may be addressed with an offer, and why somebody may not: plain conditions, no model.

Reasons, channels and caps are in knowledge/addressing.toml, hours and numbers in the settings of
the rule pack. What is not known of somebody refuses them, with a reason of its own.
docs/addressing.md tells what each check asks.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from .campaigns import Campaign
from .people import ALL, Person, age_on
from .rules import HELD, Anchor, Basis, Channel, Rule, RulePack, SettingValue
from .segments import Condition, matches

HOUSE = "house"
"""In place of a rule: house policy, and no rule of the pack."""

WINDOW = timedelta(days=7)
"""Contacts count for so long, to the instant: exactly so long ago does not."""

ADULT_FROM_AGE = 18
"""An institution may ask for more years, never for fewer."""

MAY_BE_KNOWN = frozenset({"hardship", "debt_share", "overdue", "disputed"})
"""What the setting `marketing_must_know` may name; age and student always have to be known."""

Fallback = TypeVar("Fallback")

_FILE = Path(__file__).parent.parent / "knowledge" / "addressing.toml"


class AddressingError(Exception):
    """People cannot be addressed by the settings; each line of the message names one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A row of knowledge/addressing.toml."""

    id: str
    rule: str
    """Id of a rule; empty: house policy."""
    source: str
    """Which of the rule's sources says so; empty: the one that its findings name."""
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
class Grounds:
    """What a refusal rests on, for people to read."""

    title: Mapping[str, str]
    """Of the reason, by locale."""
    rule: Rule | None
    """None: house policy."""
    anchor: Anchor
    basis: Basis | None
    article: str
    """Empty where its text is not held."""
    note: str
    """What the rule does not say."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """With what somebody would be addressed, how and when."""

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
class Cap:
    """How many contacts in seven days are enough."""

    most: int
    of: frozenset[str]
    """Channels that count; empty: all."""
    refusal: Refusal

    def reached(self, recent: Collection[str]) -> bool:
        """recent: the channel of each contact of the last seven days."""
        counted = [c for c in recent if c in self.of] if self.of else recent
        return len(counted) >= self.most


@dataclass(frozen=True, slots=True)
class Way:
    """What a channel asks for."""

    consent: tuple[str, ...]
    personalised: bool
    quiet: bool
    caps: tuple[Cap, ...]
    refusals: Mapping[str, Refusal]
    """By reason: a rule is named on the channels that it is of."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What refusals depend on beside person and occasion: read once, then only looked up."""

    zone: ZoneInfo
    by_message: bool
    """Whether quiet hours are told by the clock of `at`, not by that of the zone."""
    quiet_from: time
    quiet_to: time
    adult_from_age: int
    overdue_from_days: int
    debt_share_most: Decimal
    must_know: frozenset[str]
    hardship_for: timedelta
    """For how long somebody who was handed over for hardship counts as in difficulty."""
    ways: Mapping[Channel, Way]

    def is_quiet(self, at: datetime) -> bool:
        """From the first minute of quiet hours until before the first one after them."""
        clock = (at if self.by_message else at.astimezone(self.zone)).time()
        if self.quiet_from <= self.quiet_to:
            return self.quiet_from <= clock < self.quiet_to
        return clock >= self.quiet_from or clock < self.quiet_to


def bounds_of(pack: RulePack) -> Bounds:
    """What a rule pack with its settings and knowledge/addressing.toml come to.

    Raises AddressingError, with every setting that is missing or unfit.
    """
    table = _table()
    settings = _Settings(pack.settings)
    caps = {name: settings.count(row["setting"]) for name, row in table["caps"].items()}
    ways: dict[Channel, Way] = {}
    for channel, row in table["ways"].items():
        said = {name: Refusal(name, _rule_of(r, channel, pack)) for name, r in reasons().items()}
        rows = [(name, table["caps"][name]) for name in row["caps"]]
        ways[channel] = Way(
            consent=tuple(row["consent"]),
            personalised=row["personalised"],
            quiet=row["quiet"],
            caps=tuple(Cap(caps[n], frozenset(r["of"]), said[r["reason"]]) for n, r in rows),
            refusals=said,
        )
    bounds = Bounds(
        zone=ZoneInfo(str(pack.settings["timezone"])),
        by_message=pack.settings["hours_of"] == "message",
        quiet_from=settings.clock("marketing_quiet_from"),
        quiet_to=settings.clock("marketing_quiet_to"),
        adult_from_age=settings.count("adult_from_age", ADULT_FROM_AGE),
        overdue_from_days=settings.count("marketing_overdue_from_days"),
        debt_share_most=settings.number("marketing_debt_share_most"),
        must_know=settings.some_of("marketing_must_know", MAY_BE_KNOWN),
        hardship_for=timedelta(days=settings.count("marketing_hardship_days")),
        ways=ways,
    )
    if settings.problems:
        raise AddressingError("\n".join(settings.problems))
    return bounds


def refusals(person: Person, occasion: Occasion, bounds: Bounds) -> tuple[Refusal, ...]:
    """Every reason not to address somebody, the most serious first; none: they may be."""
    way = bounds.ways.get(occasion.channel)
    if way is None:
        return (Refusal("not_a_channel", HOUSE),)
    said, found = way.refusals, []
    today = occasion.at.astimezone(bounds.zone).date()
    must_know = bounds.must_know

    age = age_on(person.birth_date, today)
    if age is None:
        found.append(said["age_unknown"])
    elif age < bounds.adult_from_age:
        found.append(said["minor"])
    if person.student is not False:
        found.append(said["student_unknown" if person.student is None else "student"])

    if way.consent:
        out, held = person.opted_out, person.consents
        if way.consent[0] in out or ALL in out:
            found.append(said["opted_out"])
        open_ways = [name for name in way.consent if name not in out]
        if not any((occasion.purpose, name) in held for name in open_ways):
            found.append(said["no_consent"])
        if occasion.personalised and not any(("profiling", name) in held for name in open_ways):
            found.append(said["no_profiling_consent"])
    if occasion.personalised and not way.personalised:
        found.append(said["never_personalised"])
    if person.suppressed:
        found.append(said["suppressed"])

    if person.hardship is None:
        if "hardship" in must_know:
            found.append(said["hardship_unknown"])
    elif person.hardship:
        found.append(said["hardship"])
    if person.debt_share is None:
        if "debt_share" in must_know:
            found.append(said["debt_unknown"])
    elif person.debt_share > bounds.debt_share_most:
        found.append(said["over_indebted"])
    if person.days_overdue is None:
        if "overdue" in must_know:
            found.append(said["overdue_unknown"])
    elif person.days_overdue >= bounds.overdue_from_days:
        found.append(said["overdue"])
    if person.disputed is None:
        if "disputed" in must_know:
            found.append(said["dispute_unknown"])
    elif person.disputed:
        found.append(said["disputed"])

    if way.quiet and bounds.is_quiet(occasion.at):
        found.append(said["quiet_hours"])
    if way.caps:
        recent = recent_channels(person, occasion.at)
        for cap in way.caps:
            if cap.refusal not in found and cap.reached(recent):
                found.append(cap.refusal)

    campaign = occasion.campaign
    if today < campaign.starts_on:
        found.append(said["campaign_not_started"])
    if today > campaign.ends_on:
        found.append(said["campaign_ended"])
    if occasion.channel not in campaign.channels:
        found.append(said["not_a_channel"])
    if campaign.eligibility:
        found += [said[r] for r in _ineligible(person, campaign.eligibility, today)]
    if person.id in occasion.contacted:
        found.append(said["already_sent"])
    found += [said[reason] for reason in _nothing_to_give(occasion, today)]
    if held_out(campaign.id, person.id, campaign.holdout):
        found.append(said["holdout"])
    return tuple(found)


OF_THE_PERSON = frozenset(
    {
        *("age_unknown", "minor", "student", "student_unknown", "suppressed", "holdout"),
        *("hardship", "hardship_unknown", "over_indebted", "debt_unknown", "overdue"),
        *("overdue_unknown", "disputed", "dispute_unknown", "region", "region_unknown"),
        *("not_eligible", "eligibility_unknown", "already_sent"),
    }
)
"""Reasons that hold on one channel because they hold on all: nobody else need be asked for them."""


def refusal(reason: str, channel: Channel, bounds: Bounds) -> Refusal:
    """A refusal that a caller finds out itself, such as `out_of_stock` in the middle of a run.

    Raises KeyError for a reason that knowledge/addressing.toml does not have.
    """
    return bounds.ways[channel].refusals[reason]


def recent_channels(person: Person, at: datetime) -> list[str]:
    """The channel of each contact of the last seven days; those after `at` count too."""
    since = at - WINDOW
    return [channel for channel, instant in person.sent if instant > since]


def held_out(campaign_id: str, customer_id: str, share: Decimal) -> bool:
    """Whether a customer is of those who get nothing: the same for ever, a share of all."""
    if not share:
        return False
    digest = hashlib.sha256(f"{campaign_id}\0{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def context_of(person: Person, occasion: Occasion, bounds: Bounds) -> Mapping[str, Any]:
    """What the rules may know about a message to somebody, as `rules.CONTEXT_KEYS` has it.

    Contacts are counted as the cap counts them that is reached, else as the channel's own does, so
    that the rules find the same as `refusals`. What is unknown is not said.
    """
    at, way = occasion.at, bounds.ways[occasion.channel]
    recent = recent_channels(person, at)
    caps = [cap for cap in way.caps if cap.of]
    cap = next((cap for cap in caps if cap.reached(recent)), caps[0] if caps else None)
    given = any(
        (occasion.purpose, name) in person.consents and name not in person.opted_out
        for name in way.consent
    )
    said = {
        "at": at,
        "consent": given if way.consent else None,
        "opted_out": way.consent[0] in person.opted_out or ALL in person.opted_out
        if way.consent
        else None,
        "sent_this_week": sum(channel in cap.of for channel in recent) if cap else None,
        "calls_this_week": recent.count("call_script"),
        "customer.student": person.student,
        "customer.age": age_on(person.birth_date, at.astimezone(bounds.zone).date()),
        "customer.hardship": person.hardship,
        "campaign.ends_on": occasion.campaign.ends_on,
        "personalised": occasion.personalised,
    }
    return {key: value for key, value in said.items() if value is not None}


def grounds(found: Refusal, pack: RulePack) -> Grounds:
    """What a refusal rests on. Raises KeyError for a reason or rule that is not there."""
    reason = reasons()[found.reason]
    if found.rule == HOUSE:
        return Grounds(reason.title, None, "policy", None, "", reason.note)
    rule = pack.by_id[found.rule]
    named = [basis for basis in rule.bases if basis.source == reason.source]
    basis = named[0] if named else rule.basis
    article = basis.article if basis.evidence in HELD else ""
    return Grounds(reason.title, rule, rule.anchor, basis, article, reason.note)


@cache
def reasons() -> Mapping[str, Reason]:
    """By id, the most serious first."""
    return {
        row["id"]: Reason(
            id=row["id"],
            rule=row["rule"],
            source=row.get("source", ""),
            note=row.get("note", ""),
            title=row["title"],
        )
        for row in _table()["reasons"]
    }


def _ineligible(person: Person, conditions: Sequence[Condition], today: date) -> Iterator[str]:
    """Reasons by conditions of the campaign that do not hold, in the order of `reasons()`."""
    failed = set()
    for condition in conditions:
        if not matches((condition,), person, today):
            unknown = person.attribute(condition.attribute, today) is None
            failed.add((condition.attribute == "region", unknown))
    for reason, kind in _INELIGIBLE.items():
        if kind in failed:
            yield reason


_INELIGIBLE = {
    "region": (True, False),
    "region_unknown": (True, True),
    "not_eligible": (False, False),
    "eligibility_unknown": (False, True),
}
"""Reason -> whether the condition is of the region, and whether what it asks for is unknown."""


def _nothing_to_give(occasion: Occasion, today: date) -> tuple[str, ...]:
    campaign = occasion.campaign
    live = [c for c in (*campaign.coupons, *campaign.prize_coupons) if c.valid_on(today)]
    if not live:
        return ("no_live_offer",)
    taken = occasion.taken
    if all(c.stock is not None and taken.get(c.id, 0) >= c.stock for c in live):
        return ("out_of_stock",)
    return ()


def _rule_of(reason: Reason, channel: Channel, pack: RulePack) -> str:
    rule = pack.by_id.get(reason.rule)
    if rule is None or (rule.channels and channel not in rule.channels):
        return HOUSE
    return rule.id


@cache
def _table() -> Mapping[str, Any]:
    table: dict[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return table


class _Settings:
    """Settings of a pack, each held to its kind; what is wrong is gathered."""

    def __init__(self, values: Mapping[str, SettingValue]) -> None:
        self._values = values
        self.problems: list[str] = []

    def number(self, name: str) -> Decimal:
        value = self._values.get(name)
        if isinstance(value, Decimal) and value >= 0:
            return value
        return self._wrong(name, "a number from 0", Decimal(0))

    def count(self, name: str, least: int = 0) -> int:
        value = self._values.get(name)
        if isinstance(value, Decimal) and value >= least and value == int(value):
            return int(value)
        return self._wrong(name, f"a whole number from {least}", least)

    def clock(self, name: str) -> time:
        value = self._values.get(name)
        return value if isinstance(value, time) else self._wrong(name, "a time of day", time())

    def some_of(self, name: str, known: frozenset[str]) -> frozenset[str]:
        value = self._values.get(name)
        if isinstance(value, tuple) and known.issuperset(value):
            return frozenset(value)
        return self._wrong(name, f"some of {', '.join(sorted(known))}", known)

    def _wrong(self, name: str, expected: str, instead: Fallback) -> Fallback:
        self.problems.append(f"settings.toml: {name}: expected {expected}")
        return instead
