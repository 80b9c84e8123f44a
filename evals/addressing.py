"""Who may be addressed with an offer, and every reason why somebody may not: no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from assistant.addressing import Occasion, Refusal, bounds_of, refusals
from assistant.campaigns import Campaign, CampaignCoupon
from assistant.models import Locale
from assistant.people import BadRow, person_from_row
from assistant.rules import Channel, RulePack, SettingValue
from assistant.segments import read_condition

from .metrics import Check
from .records import CaseRecord, SuiteInfo
from .results import SuiteResult, failures_of, shares
from .schema import BadCases, Text, hash_of, load_rows

VERSIONS: Mapping[str, int] = {"reasons": 1, "held_back": 1}
"""Metric -> version of its definition. reasons: every reason is told with its rule, the most
serious first, and none beside. held_back: who may not be addressed is refused, for any reason."""

_EVERY_WAY = ("sms", "call", "push", "email", "wechat", "in_app")

USUAL: Mapping[str, str] = {
    "id": "c-1",
    "birth_date": "1990-05-20",
    "student": "false",
    "consents": ";".join([*_EVERY_WAY, *(f"profiling:{way}" for way in _EVERY_WAY)]),
    "opted_out": "",
    "suppressed": "",
    "days_overdue": "0",
    "disputed": "false",
    "hardship": "false",
    "debt_share": "0.2",
    "open_loans": "0",
    "sent": "",
}
"""Somebody who may be addressed; a case says what is otherwise."""


@dataclass(frozen=True, slots=True)
class AddressingSuite:
    """People and offers, with every reason why they may not meet."""

    name: str
    file: Path
    about: str
    today: date
    """Each case says when it is."""
    bars: Mapping[str, float]

    def cases(self) -> list[AddressingCase]:
        """Raises BadCases."""
        return load_rows(self.file, AddressingCase)


class CouponGiven(BaseModel):
    """A coupon of the campaign of a case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text = "ten"
    valid_from: date = date(2026, 11, 16)
    valid_to: date = date(2027, 1, 31)
    stock: int | None = None
    taken: int = 0
    """How many were given out."""


class CampaignGiven(BaseModel):
    """The campaign of a case; what is not said does not refuse anybody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text = "spring"
    starts_on: date = date(2026, 11, 16)
    ends_on: date = date(2027, 1, 31)
    channels: tuple[Channel, ...] = (
        "sms", "push", "in_app", "wechat", "email", "call_script", "poster",
    )  # fmt: skip
    eligibility: tuple[tuple[str, str, Any], ...] = ()
    """(attribute, operator, value) of each condition."""
    coupons: tuple[CouponGiven, ...] = (CouponGiven(),)
    holdout: Decimal = Decimal(0)
    reached: bool = False
    """Whether it reached this person before."""


class AddressingCase(BaseModel):
    """Somebody and an offer: may it be sent to them so, now?"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    about: Text
    """What it is a case of, for a reader."""
    person: Mapping[str, str] = {}
    """Columns of a customer file in which they differ from the usual person."""
    channel: Channel = "sms"
    personalised: bool = False
    at: AwareDatetime
    campaign: CampaignGiven = CampaignGiven()
    settings: Mapping[str, str | float | tuple[str, ...]] = {}
    """What an institution has set otherwise than is shipped."""
    topic: Text
    difficulty: Literal["easy", "medium", "hard"]
    source: Text
    """What says so: a rule of the pack with a place in a regulation, or house policy."""
    expect: tuple[tuple[str, str], ...]
    """(reason, rule) of every refusal, the most serious first; none: they may be addressed."""

    @property
    def text(self) -> str:
        words = {"id", "about", "topic", "difficulty", "source", "expect"}
        asked = self.model_dump(mode="json", exclude=words, exclude_defaults=True)
        return f"{self.about}: {json.dumps(asked, ensure_ascii=False)}"

    @property
    def expected(self) -> str:
        """What is right, in words, for a reader."""
        return _said(self.expect)


def _said(found: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{reason} ({rule})" for reason, rule in found) or "may be addressed"


def address_all(suite: AddressingSuite, rules: RulePack, limit: int | None = None) -> SuiteResult:
    """Raises BadCases."""
    cases = suite.cases()[:limit]
    records = tuple(record_of(suite, case, rules) for case in cases)
    found = shares(records)
    return SuiteResult(
        name=suite.name,
        n=len(cases),
        scored=len(cases),
        metrics=found,
        bars=suite.bars,
        missed=tuple(n for n, bar in suite.bars.items() if n in found and found[n].value < bar),
        failures=failures_of(records),
        models=(),
        records=records,
        info=SuiteInfo(suite.name, hash_of(cases), dict(VERSIONS)),
    )


def record_of(suite: AddressingSuite, case: AddressingCase, rules: RulePack) -> CaseRecord:
    """Raises BadCases."""
    started = perf_counter()
    told = tuple((refused.reason, refused.rule) for refused in _refusals(suite, case, rules))
    taken = perf_counter() - started
    said = _said(told)
    checks = {"reasons": Check(told == case.expect, case.expected, said)}
    if case.expect:
        checks["held_back"] = Check(bool(told), case.expected, said)
    return CaseRecord(
        suite=suite.name,
        case=case.id,
        seed=0,
        topic=case.topic,
        difficulty=case.difficulty,
        text=case.text,
        expected=case.expected,
        said=said,
        checks=checks,
        critical=tuple(name for name in ("held_back",) if name in checks and not told),
        findings=tuple(dict.fromkeys(rule for _, rule in told)),
        latency_ms=round(taken * 1000, 1),
    )


def _refusals(suite: AddressingSuite, case: AddressingCase, rules: RulePack) -> tuple[Refusal, ...]:
    try:
        person = person_from_row({**USUAL, **case.person})
        own = {name: _like(rules.settings[name], value) for name, value in case.settings.items()}
        bounds = bounds_of(replace(rules, settings={**rules.settings, **own}))
    except (BadRow, KeyError, ValueError) as error:
        raise BadCases(f"{suite.file.name}: {case.id}: {error}") from None
    given = case.campaign
    occasion = Occasion(
        channel=case.channel,
        purpose="marketing",
        personalised=case.personalised,
        at=case.at,
        campaign=_campaign(given),
        contacted={person.id} if given.reached else set(),
        taken={coupon.id: coupon.taken for coupon in given.coupons},
    )
    return refusals(person, occasion, bounds)


def _like(shipped: SettingValue, value: str | float | tuple[str, ...]) -> SettingValue:
    """A setting as its file would have it."""
    if isinstance(shipped, time):
        return time.fromisoformat(str(value))
    if isinstance(shipped, Decimal):
        return Decimal(str(value))
    return value if isinstance(value, tuple) else str(value)


def _campaign(given: CampaignGiven) -> Campaign:
    nothing: Mapping[Locale, str] = {"zh-Hans": given.id, "zh-Hant": given.id, "en": given.id}
    return Campaign(
        id=given.id,
        title=nothing,
        idea=nothing,
        product="anxin",
        starts_on=given.starts_on,
        ends_on=given.ends_on,
        budget_cny=Decimal(1000),
        coupons=tuple(
            CampaignCoupon(
                id=coupon.id,
                kind="voucher",
                product="anxin",
                valid_from=coupon.valid_from,
                valid_to=coupon.valid_to,
                stock=coupon.stock,
                source="",
                quote="",
                title=nothing,
                amount_cny=Decimal(10),
            )
            for coupon in given.coupons
        ),
        prize_coupons=(),
        draws=(),
        eligibility=tuple(read_condition(*condition) for condition in given.eligibility),
        segments=(),
        channels=given.channels,
        representative={},
        stacking="one",
        holdout=given.holdout,
        terms_link="https://www.example.com/terms",
        version="",
    )
