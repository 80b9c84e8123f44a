"""Who may be addressed, decided a second time from the text of the rules, and people to decide on.

Nothing here knows assistant/addressing.py or its data: hours, numbers and channels are written down
again as rules, settings and docs/addressing.md state them, and every check is done by other means:
days by ordinals, instants by seconds, shares by fractions.
"""

from __future__ import annotations

import hashlib
from calendar import isleap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from random import Random
from typing import Any

from assistant.campaigns import Campaign, CampaignCoupon, Condition
from assistant.people import Person
from assistant.rules import Channel

CHINA = timezone(timedelta(hours=8))
WRITTEN = ("sms", "push", "in_app", "wechat", "email")


@dataclass(frozen=True)
class Asked:
    """One question: may this person be addressed so?"""

    person: Person
    channel: Channel
    personalised: bool
    at: datetime
    campaign: Campaign
    contacted: frozenset[str]
    taken: Mapping[str, int]

    @cached_property
    def micros(self) -> int:
        """Microseconds since the beginning of 1970 in UTC."""
        return _micros(self.at)

    @cached_property
    def day(self) -> date:
        """In China, where it is eight hours later than in UTC at any time of the year."""
        return date(1970, 1, 1) + timedelta(days=(self.micros // 10**6 + 8 * 3600) // 86400)

    @cached_property
    def minute(self) -> int:
        """Of the day in China."""
        return (self.micros // 60_000_000 + 8 * 60) % 1440


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _born(asked: Asked) -> date | None:
    """A date of birth that somebody alive can have."""
    born = asked.person.birth_date
    if born is None or born > asked.day or _birthday(born, 121) <= asked.day:
        return None
    return born


def _birthday(born: date, years: int) -> date:
    """The day on which somebody gets so old; in years without 29 February it is 1 March."""
    year = born.year + years
    if (born.month, born.day) == (2, 29) and not isleap(year):
        return date(year, 3, 1)
    return date(year, born.month, born.day)


def _ways(channel: str) -> list[str]:
    """By which consent a channel may be used: a call by that to calls, a card in the app by that to
    cards or to notices of the app, the others by their own, a poster by none."""
    return {"call_script": ["call"], "in_app": ["in_app", "push"], "poster": []}.get(
        channel, [channel]
    )


def _consented(asked: Asked, purpose: str) -> bool:
    person = asked.person
    return any(
        given == purpose and way in _ways(asked.channel) and way not in person.opted_out
        for given, way in person.consents
    )


def _contacts(asked: Asked, *channels: str) -> int:
    """Of the seven days before; one of exactly seven days ago is none of them."""
    week = 7 * 86400 * 10**6
    return sum(
        1
        for channel, instant in asked.person.sent
        if channel in channels and asked.micros - _micros(instant) < week
    )


def _asks_poster(asked: Asked) -> bool:
    return asked.channel == "poster"


def _often_this_way(asked: Asked) -> bool:
    """Two SMS and one call a week, and three messages of whatever kind."""
    match asked.channel:
        case "poster":
            return False
        case "call_script":
            return _contacts(asked, "call_script") > 0
        case "sms":
            return _contacts(asked, "sms") > 1 or _contacts(asked, *WRITTEN) > 2
        case _:
            return _contacts(asked, *WRITTEN) > 2


def _failing(asked: Asked) -> Iterator[tuple[str, bool]]:
    """(attribute, whether it is unknown) of each condition that does not hold."""
    for condition in asked.campaign.eligibility:
        value = _value(asked, condition.attribute)
        if value is None:
            yield condition.attribute, True
        elif not _is_so(condition, value):
            yield condition.attribute, False


def _value(asked: Asked, attribute: str) -> Any:
    person = asked.person
    match attribute:
        case "age":
            born = _born(asked)
            if born is None:
                return None
            years = asked.day.year - born.year
            return years if _birthday(born, years) <= asked.day else years - 1
        case "region":
            return person.region if person.region != "" else None
        case "open_loans" | "days_overdue" | "student":
            return getattr(person, attribute)
    raise AssertionError(attribute)


def _is_so(condition: Condition, value: Any) -> bool:
    against: Any = condition.value
    match condition.op:
        case "is":
            return bool(value == against)
        case "is_not":
            return bool(value != against)
        case "in":
            return any(value == one for one in against)
        case "not_in":
            return all(value != one for one in against)
        case "at_least":
            return not value < against
        case "at_most":
            return not value > against


def _live(asked: Asked) -> list[CampaignCoupon]:
    day = asked.day.toordinal()
    return [
        coupon
        for coupon in asked.campaign.coupons + asked.campaign.prize_coupons
        if day in range(coupon.valid_from.toordinal(), coupon.valid_to.toordinal() + 1)
    ]


def _is_out(asked: Asked, coupon: CampaignCoupon) -> bool:
    return coupon.stock is not None and coupon.stock - asked.taken.get(coupon.id, 0) <= 0


def _drawn(asked: Asked) -> bool:
    """Of sha256 of campaign and customer the first sixteen digits, by all of as many."""
    text = asked.campaign.id + "\0" + asked.person.id
    place = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)
    return Fraction(place, 16**16) < Fraction(asked.campaign.holdout)


MUST_NOT: Mapping[str, Callable[[Asked], bool]] = {
    "age_unknown": lambda a: _born(a) is None,
    "minor": lambda a: (born := _born(a)) is not None and _birthday(born, 18) > a.day,
    "student_unknown": lambda a: a.person.student is None,
    "student": lambda a: a.person.student is True,
    "opted_out": lambda a: (
        not _asks_poster(a)
        and ("all" in a.person.opted_out or _ways(a.channel)[0] in a.person.opted_out)
    ),
    "no_consent": lambda a: not _asks_poster(a) and not _consented(a, "marketing"),
    "no_profiling_consent": lambda a: (
        a.personalised and not _asks_poster(a) and not _consented(a, "profiling")
    ),
    "never_personalised": lambda a: a.personalised and _asks_poster(a),
    "suppressed": lambda a: a.person.suppressed != "",
    "hardship_unknown": lambda a: a.person.hardship is None,
    "hardship": lambda a: a.person.hardship is True,
    "over_indebted": lambda a: (
        a.person.debt_share is not None and Fraction(a.person.debt_share) > Fraction(1, 2)
    ),
    "overdue_unknown": lambda a: a.person.days_overdue is None,
    "overdue": lambda a: bool(a.person.days_overdue),
    "dispute_unknown": lambda a: a.person.disputed is None,
    "disputed": lambda a: a.person.disputed is True,
    "quiet_hours": lambda a: (
        a.channel not in ("poster", "in_app") and a.minute not in range(9 * 60, 21 * 60)
    ),
    "frequency": _often_this_way,
    "frequency_all": lambda a: not _asks_poster(a) and _contacts(a, *WRITTEN, "call_script") > 2,
    "campaign_not_started": lambda a: a.day < a.campaign.starts_on,
    "campaign_ended": lambda a: a.day > a.campaign.ends_on,
    "not_a_channel": lambda a: a.channel not in a.campaign.channels,
    "already_sent": lambda a: a.person.id in a.contacted,
    "no_live_offer": lambda a: not _live(a),
    "out_of_stock": lambda a: bool(_live(a)) and all(_is_out(a, c) for c in _live(a)),
    "holdout": _drawn,
}
"""Reason -> whether it holds."""


FAILING: Mapping[tuple[bool, bool], str] = {
    (True, False): "region",
    (True, True): "region_unknown",
    (False, False): "not_eligible",
    (False, True): "eligibility_unknown",
}
"""(whether a condition is of the region, whether what it asks for is unknown) -> reason."""


def must_not(asked: Asked) -> set[str]:
    """Every reason not to address somebody."""
    found = {reason for reason, holds in MUST_NOT.items() if holds(asked)}
    return found | {FAILING[name == "region", unknown] for name, unknown in _failing(asked)}


# People and occasions ----------------------------------------------------------------------------

CHANNELS: tuple[Channel, ...] = (
    "sms",
    "push",
    "in_app",
    "wechat",
    "email",
    "call_script",
    "poster",
)
WAYS = ("sms", "call", "push", "email", "wechat", "in_app")
DAYS = (
    date(2026, 11, 20),
    date(2026, 2, 28),
    date(2026, 3, 1),
    date(2028, 2, 28),
    date(2028, 2, 29),
    date(2028, 3, 1),
)
CLOCKS = ("08:59:59.999999", "09:00:00", "12:00:00", "20:59:59.999999", "21:00:00", "00:00:00")
ZONES = (CHINA, UTC, timezone(timedelta(hours=-8)), timezone(timedelta(hours=9)))


def coupon(name: str, stock: int | None, first: date, last: date) -> CampaignCoupon:
    return CampaignCoupon(
        id=name,
        kind="voucher",
        product="anxin",
        valid_from=first,
        valid_to=last,
        stock=stock,
        source="",
        quote="",
        title={"zh-Hans": name, "zh-Hant": name, "en": name},
        amount_cny=Decimal(10),
    )


def campaign(
    name: str,
    first: date,
    last: date,
    *,
    eligibility: tuple[Condition, ...] = (),
    channels: tuple[Channel, ...] = CHANNELS,
    coupons: tuple[CampaignCoupon, ...] | None = None,
    holdout: str = "0",
) -> Campaign:
    title = {"zh-Hans": name, "zh-Hant": name, "en": name}
    return Campaign(
        id=name,
        title=title,
        idea=title,
        product="anxin",
        starts_on=first,
        ends_on=last,
        budget_cny=Decimal(1000),
        coupons=(coupon("ten", 5, first, last),) if coupons is None else coupons,
        prize_coupons=(),
        draws=(),
        eligibility=eligibility,
        segments=(),
        channels=channels,
        representative={},
        stacking="one",
        holdout=Decimal(holdout),
        terms_link="https://www.example.com/terms",
        version="0",
    )


def _campaigns(day: date) -> list[Campaign]:
    """Campaigns around a day: one that is plain, and each edge of the others."""
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    early, late = day - timedelta(days=30), day + timedelta(days=30)
    usable = (coupon("ten", 5, early, late),)
    grown = (Condition("age", "at_least", 22), Condition("age", "at_most", 55))
    here = (Condition("region", "in", ("上海", "江苏")),)
    elsewhere = (
        Condition("region", "not_in", ("上海",)),
        Condition("open_loans", "at_most", 1),
        Condition("days_overdue", "is", 0),
    )
    return [
        campaign("plain", early, late),
        campaign("first-day", day, late, holdout="0.1"),
        campaign("last-day", early, day, eligibility=grown),
        campaign("tomorrow", after, late, coupons=usable),
        campaign("yesterday", early, before, coupons=usable),
        campaign("here", early, late, eligibility=here, holdout="0.5"),
        campaign("elsewhere", early, late, eligibility=elsewhere),
        campaign("written", early, late, channels=("sms", "email"), holdout="0.05"),
        campaign("gone", early, late, coupons=(coupon("ten", 5, early, before),)),
        campaign(
            "two",
            early,
            late,
            coupons=(coupon("ten", 5, day, day), coupon("any", None, early, before)),
        ),
        campaign("no-bound", early, late, coupons=(coupon("any", None, day, late),)),
    ]


def questions(seed: int, count: int) -> Iterator[Asked]:
    """So many of them, of which about one in five has no reason to refuse."""
    draw = Random(seed)
    campaigns = {day: _campaigns(day) for day in DAYS}
    moments = [
        datetime.fromisoformat(f"{day}T{clock}+08:00").astimezone(zone)
        for day in DAYS
        for clock in CLOCKS
        for zone in ZONES
    ]
    for number in range(count):
        at = draw.choice(moments)
        # Most of them at noon, so that not half of all are refused for the hour alone.
        if draw.random() < 0.7:
            at = datetime.fromisoformat(f"{draw.choice(DAYS)}T12:00:00+08:00")
        day = at.astimezone(CHINA).date()
        asked_of = campaigns[day][0 if draw.random() < 0.5 else draw.randrange(11)]
        known = f"c{number}"
        yield Asked(
            person=_person(known, at, day, draw),
            channel=draw.choice(CHANNELS),
            personalised=draw.random() < 0.4,
            at=at,
            campaign=asked_of,
            contacted=frozenset({known} if draw.random() < 0.02 else {"somebody"}),
            taken={"ten": draw.choice((0, 4, 5, 6))} if draw.random() < 0.1 else {},
        )


def _person(known: str, at: datetime, day: date, draw: Random) -> Person:
    def rarely(usual: Any, *others: Any, share: float = 0.05) -> Any:
        return draw.choice(others) if draw.random() < share else usual

    ways = [way for way in WAYS if draw.random() < 0.9]
    profiled = [way for way in WAYS if draw.random() < 0.8]
    return Person(
        id=known,
        name="",
        birth_date=rarely(_years_before(day, draw.randint(23, 54)), *_edges(day, draw), share=0.12),
        student=rarely(False, True, None),
        region=draw.choice(("上海", "江苏", "四川", "")),
        consents=frozenset(
            [("marketing", way) for way in ways] + [("profiling", way) for way in profiled]
        ),
        opted_out=frozenset(rarely((), ("all",), ("sms", "call"), ("push",), ("email", "wechat"))),
        suppressed=rarely("", "complaint", share=0.02),
        days_overdue=rarely(0, 1, 40, None),
        disputed=rarely(False, True, None),
        hardship=rarely(False, True, None),
        debt_share=rarely(Decimal("0.2"), *map(Decimal, ("0.5", "0.5001", "3")), None, share=0.1),
        open_loans=draw.choice((0, 1, 2, None)),
        outstanding_cny=None,
        months_since_loan=None,
        since=None,
        sent=_sent(at, draw),
        coupons_held=(),
    )


def _years_before(day: date, years: int) -> date:
    return day - timedelta(days=365 * years + 40)


def _edges(day: date, draw: Random) -> list[date | None]:
    """Days of birth around eighteen years, twenty-two, fifty-six, and past belief."""
    years = draw.choice((18, 22, 56, 121))
    edge = date(day.year - years, day.month, min(day.day, 28))
    around = [edge + timedelta(days=days) for days in (-1, 0, 1, 2)]
    leap = date(day.year - years - (day.year - years) % 4, 2, 29)
    return [*around, leap, day, day + timedelta(days=1), date(1900, 1, 1), None]


def _sent(at: datetime, draw: Random) -> tuple[tuple[str, datetime], ...]:
    if draw.random() < 0.6:
        return ()
    week = timedelta(days=7)
    ago = (
        week,
        week - timedelta(microseconds=1),
        week + timedelta(microseconds=1),
        timedelta(hours=1),
        timedelta(days=6),
        timedelta(days=30),
        -timedelta(minutes=5),
    )
    return tuple(
        (draw.choice(CHANNELS[:6]), (at - draw.choice(ago)).astimezone(draw.choice(ZONES)))
        for _ in range(draw.randint(1, 4))
    )
