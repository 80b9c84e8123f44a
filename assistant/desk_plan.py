"""When people are at the desk, in which order borrowers are taken, and by whom: desk.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .loan_math import Calendar, UnknownYear, load_calendar

SAMPLE = Path(__file__).parent.parent / "knowledge" / "desk.toml"
ZONE = ZoneInfo("Asia/Shanghai")
LOCALES = ("zh-Hans", "zh-Hant", "en")
ASKED = "human"
"""Class of whoever asks for a person without saying why."""
CRISIS = "crisis"
"""Class of danger to life, which waits however many do."""

MOST_DAYS = 400
"""How far ahead an open hour is looked for."""

_SLOT = re.compile(r"(\d\d):([0-5]\d)-(\d\d):([0-5]\d)")
_DAY_MINUTES = 24 * 60

Slot = tuple[int, int]
"""First minute of a time of day, and the first that is no more in it; at most 1440."""


class DeskPlanError(Exception):
    """The file cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Who can take some hand-overs."""

    id: str
    roles: frozenset[str]
    logins: frozenset[str]
    wording: Mapping[str, str]

    def held_by(self, login: str, roles: Collection[str]) -> bool:
        return login in self.logins or not self.roles.isdisjoint(roles)

    def shares_people_with(self, other: Skill) -> bool:
        """Whether one person may have both. Which roles a login has is not known here."""
        by_name = bool(self.logins or other.logins)
        return by_name or not self.roles.isdisjoint(other.roles)


@dataclass(frozen=True, slots=True)
class Reason:
    """A class of triage as the desk sees it."""

    id: str
    priority: int
    """0 is taken first."""
    skill: str
    queued: bool
    """Whether a message of this class is put into the queue without being asked."""
    wording: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ending:
    """With what a conversation is closed."""

    id: str
    wording: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of day at which people are at the desk."""

    workday: tuple[Slot, ...]
    day_off: tuple[Slot, ...]
    days: Mapping[date, tuple[Slot, ...]]
    """Single days that go another way."""
    calendar: Calendar

    def of(self, day: date) -> tuple[Slot, ...]:
        """Of a year whose holidays are not known yet, the times that hold on either kind of day."""
        if day in self.days:
            return self.days[day]
        try:
            return self.workday if self.calendar.is_workday(day) else self.day_off
        except UnknownYear:
            return _overlap(self.workday, self.day_off)

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(ZONE)
        minute = local.hour * 60 + local.minute
        return any(start <= minute < end for start, end in self.of(local.date()))

    def after(self, at: datetime, open_for: timedelta) -> datetime | None:
        """When the desk will have been open for so long; None: not within MOST_DAYS."""
        local, left = at.astimezone(ZONE), open_for
        for ahead in range(MOST_DAYS):
            midnight = datetime.combine(local.date() + timedelta(ahead), time(), ZONE)
            for first, last in self.of(midnight.date()):
                start = max(midnight + timedelta(minutes=first), local)
                end = midnight + timedelta(minutes=last)
                if start >= end:
                    continue
                if end - start >= left:
                    return (start + left).astimezone(UTC)
                left -= end - start
        return None


@dataclass(frozen=True, slots=True)
class DeskPlan:
    """What desk.toml says."""

    hours: Hours
    demo_hours: Hours
    most_waiting: int
    promise: timedelta
    """Time in which the desk is open, after which a ticket has been answered."""
    skills: Mapping[str, Skill]
    reasons: Mapping[str, Reason]
    endings: Mapping[str, Ending]

    def first(self, classes: Iterable[str]) -> Reason:
        """The reason that counts among several; classes that the desk does not know are those of
        somebody who asks for a person."""
        known = [self.reasons[each] for each in classes if each in self.reasons]
        return min(known, key=lambda reason: reason.priority, default=self.reasons[ASKED])

    def queued(self, classes: Iterable[str]) -> list[str]:
        """The classes of a message for which it is put into the queue."""
        return [each for each in classes if each in self.reasons and self.reasons[each].queued]

    def promise_at(self, now: datetime) -> datetime | None:
        return self.hours.after(now, self.promise)

    def compete(self, one: str, other: str) -> bool:
        """Whether who waits for one skill may be kept waiting by who waits for another; a skill
        that is no more in the plan may be anybody's."""
        if one not in self.skills or other not in self.skills:
            return True
        return self.skills[one].shares_people_with(self.skills[other])

    def for_demo(self) -> DeskPlan:
        return replace(self, hours=self.demo_hours)


def file_of(lender: Path | None) -> Path:
    """Where a lender keeps its plan: beside its file."""
    return SAMPLE if lender is None else lender.parent / "desk.toml"


def load_desk(file: Path = SAMPLE) -> DeskPlan | None:
    """None where there is no such file. Raises DeskPlanError."""
    if not file.is_file():
        return None
    try:
        return _read(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DeskPlanError(f"{file}: cannot be read ({error})") from None
    except KeyError as error:
        raise DeskPlanError(f"{file}: {error.args[0]!r} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise DeskPlanError(f"{file}: {error}") from None


def _read(table: Mapping[str, Any]) -> DeskPlan:
    hours = _hours(table["hours"])
    skills = {
        key: Skill(
            key, frozenset(row.get("roles", ())), frozenset(row.get("logins", ())), _wording(row)
        )
        for key, row in table["skills"].items()
    }
    reasons = {
        row["class"]: Reason(row["class"], place, row["skill"], bool(row["queued"]), _wording(row))
        for place, row in enumerate(table["reason"])
    }
    endings = {row["id"]: Ending(row["id"], _wording(row)) for row in table["ending"]}
    if ASKED not in reasons:
        raise ValueError(f"no [[reason]] of the class {ASKED!r}")
    for reason in reasons.values():
        if reason.skill not in skills:
            raise ValueError(f"reason {reason.id!r}: no such skill: {reason.skill!r}")
    for skill in skills.values():
        if not skill.roles and not skill.logins:
            raise ValueError(f"skill {skill.id!r}: nobody has it: name roles or logins")
    if not endings:
        raise ValueError("no [[ending]]")
    queue = table["queue"]
    most, minutes = queue["most_waiting"], queue["promise_minutes"]
    if not isinstance(most, int) or not isinstance(minutes, int) or most < 1 or minutes < 1:
        raise ValueError("queue: most_waiting and promise_minutes: expected whole numbers above 0")
    return DeskPlan(
        hours=hours,
        demo_hours=_hours(table["demo"]) if "demo" in table else hours,
        most_waiting=most,
        promise=timedelta(minutes=minutes),
        skills=skills,
        reasons=reasons,
        endings=endings,
    )


def _wording(row: Mapping[str, Any]) -> Mapping[str, str]:
    return {locale: str(row[locale]) for locale in LOCALES}


def _hours(table: Mapping[str, Any]) -> Hours:
    days = {date.fromisoformat(day): _slots(said) for day, said in table.get("days", {}).items()}
    return Hours(_slots(table["workday"]), _slots(table["day_off"]), days, load_calendar())


def _slots(said: Sequence[str]) -> tuple[Slot, ...]:
    """In order. Raises ValueError for what are no times of one day, or overlap."""
    slots = []
    for text in said:
        match = _SLOT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r}: expected times such as 09:00-21:00")
        hours = [int(number) for number in match.groups()]
        start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if not start < end <= _DAY_MINUTES:
            raise ValueError(f"{text!r}: expected a time that ends later on the same day")
        slots.append((start, end))
    slots.sort()
    if any(slots[i][1] > slots[i + 1][0] for i in range(len(slots) - 1)):
        raise ValueError(f"{list(said)}: times overlap")
    return tuple(slots)


def _overlap(one: Iterable[Slot], other: Sequence[Slot]) -> tuple[Slot, ...]:
    both = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return tuple((start, end) for start, end in both if start < end)
