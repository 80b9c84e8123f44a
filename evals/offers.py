"""Offers that code alone decides: which coupon is best, odds, segments, dates, stock, what is no
campaign. Cases name a shipped campaign and what is changed in it."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator

from assistant.best_offer import best, weigh
from assistant.campaigns import (
    SHIPPED,
    Campaign,
    CampaignError,
    coupon_words,
    load_campaigns,
    odds_words,
    read_campaign,
    running,
)
from assistant.models import Locale
from assistant.people import REQUIRED, Person, person_from_row
from assistant.segments import PLAIN, Condition, SegmentError, matches, read_condition, said, used

from .arithmetic import ArithmeticCase
from .schema import Text


def _known_tool(tool: str) -> str:
    if tool not in TOOLS:
        raise ValueError(f"no {tool!r}")
    return tool


class OfferCase(ArithmeticCase):
    """One decision about an offer, and what it has to be."""

    tool: Annotated[Text, AfterValidator(_known_tool)]


def decided(tool: str, arguments: Mapping[str, Any]) -> Any:
    """What is decided, as JSON; a campaign or condition that is refused is a fault."""
    try:
        return TOOLS[tool](**arguments)
    except CampaignError as error:
        return {"fault": {"says": str(error)}}
    except SegmentError as error:
        fault = {"attribute": error.attribute, "code": error.code}
        return {"fault": fault | {loc: error.words(loc) for loc in ("zh-Hans", "zh-Hant", "en")}}


def _best(
    campaign: str,
    today: str,
    change: Mapping[str, Any] | None = None,
    left: Mapping[str, int] | None = None,
    only: str = "",
) -> Any:
    """only: coupons of this product."""
    of = _campaign(campaign, change)
    coupons = [c for c in of.coupons if only in ("", c.product)]
    day = date.fromisoformat(today)
    weighed = weigh(coupons, of.representative, day, left)
    found = best(coupons, of.representative, day, left=left)
    return {
        "coupon": found.coupon.id if found else None,
        "saving_cny": f"{found.saving_cny:.2f}" if found else None,
        "calculation": found.calculation if found else None,
        "savings": {coupon.id: f"{row.saved_cny:.2f}" for coupon, row in weighed.savings},
        "left_out": {row.coupon: row.why for row in weighed.left_out},
    }


def _odds(campaign: str, draw: str, locale: Locale, change: Mapping[str, Any] | None = None) -> Any:
    of = _campaign(campaign, change)
    asked = next(each for each in of.draws if each.id == draw)
    return {"words": odds_words(of, asked, locale), "nothing": f"{asked.nothing:f}"}


def _coupon(
    campaign: str, coupon: str, locale: Locale, change: Mapping[str, Any] | None = None
) -> Any:
    asked = _campaign(campaign, change).coupon(coupon)
    return {"title": asked.title[locale], "words": coupon_words(asked, locale)}


def _member(
    person: Mapping[str, str],
    today: str,
    campaign: str = "",
    segment: str = "",
    conditions: list[Mapping[str, Any]] | None = None,
) -> Any:
    """Of a segment of a campaign, of its eligibility where none is named, or of conditions."""
    asked: tuple[Condition, ...]
    if conditions is not None:
        asked = _conditions(conditions)
    elif segment:
        of = _campaign(campaign, None)
        asked = of.segment(segment).conditions
    else:
        asked = _campaign(campaign, None).eligibility
    return {"member": matches(asked, _person(person), date.fromisoformat(today))}


def _segment(conditions: list[Mapping[str, Any]], locale: Locale = "zh-Hans") -> Any:
    asked = _conditions(conditions)
    return {
        "used": " ".join(used(asked)),
        "personalised": bool(asked),
        "words": "; ".join(said(condition, locale) for condition in asked),
    }


def _dates(today: str, campaign: str = "", change: Mapping[str, Any] | None = None) -> Any:
    day = date.fromisoformat(today)
    return {
        "running": " ".join(each.id for each in running(load_campaigns().values(), day)),
        "state": _campaign(campaign, change).state(day) if campaign else None,
    }


def _read(campaign: str, change: Mapping[str, Any]) -> Any:
    return {"version_changes": _campaign(campaign, change).version != _campaign(campaign).version}


TOOLS: Mapping[str, Callable[..., Any]] = {
    "best": _best,
    "odds": _odds,
    "coupon": _coupon,
    "member": _member,
    "segment": _segment,
    "dates": _dates,
    "read": _read,
}
"""What a case may ask -> how it is decided."""


def _campaign(name: str, change: Mapping[str, Any] | None = None) -> Campaign:
    """A shipped campaign with some of what its file says changed: path -> value, None takes it
    away. Raises CampaignError."""
    text = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text, parse_float=Decimal)
    for path, value in (change or {}).items():
        *way, last = path.split(".")
        place: Any = table
        for key in way:
            place = place[int(key)] if isinstance(place, list) else place[key]
        at: Any = int(last) if isinstance(place, list) else last
        if value is None:
            del place[at]
        elif isinstance(place, list) and at == len(place):
            place.append(_toml(value))
        else:
            place[at] = _toml(value)
    return read_campaign(table)


def _toml(value: Any) -> Any:
    """A value of JSON as TOML has it: days and fractions of their own types."""
    if isinstance(value, dict):
        return {key: _toml(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_toml(item) for item in value]
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    return copy.copy(value)


def _person(row: Mapping[str, str]) -> Person:
    """What a case does not say of somebody is unknown."""
    return person_from_row({**dict.fromkeys(REQUIRED, ""), "id": "somebody", **row})


def _conditions(rows: list[Mapping[str, Any]]) -> tuple[Condition, ...]:
    if not rows:
        return PLAIN.conditions
    return tuple(read_condition(row["attribute"], row["op"], row["value"]) for row in rows)
