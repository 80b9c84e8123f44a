"""Made-up customers by the million, as rows of a file: to try campaigns on, and to measure them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from .people import COLUMNS as READ

COLUMNS = tuple(READ)
REGIONS = ("310000", "320000", "330000", "440000", "510000", "110000")
"""Codes of provinces."""
WAYS = ("sms", "push", "email", "call", "wechat", "in_app")
KINDS = ("rate", "interest_free", "voucher")
_ZONE = ZoneInfo("Asia/Shanghai")


def people(count: int, seed: int, today: date) -> Iterator[tuple[str, ...]]:
    """Rows of `COLUMNS`, the same for the same seed and day. About two thirds may be written to by
    some channel; the others are of every kind that may not."""
    random = Random(seed)
    for number in range(1, count + 1):
        yield _person(random, number, today)


def _person(random: Random, number: int, today: date) -> tuple[str, ...]:
    drawn = random.random
    names = _names()
    given = [way for way in WAYS if drawn() < 0.75]
    consents = [*given, *(f"profiling:{way}" for way in given if drawn() < 0.6)]
    age_days = int(365.25 * (15 + 55 * drawn()))
    loans = int(3 * drawn())
    sent = [
        f"{random.choice(('sms', 'push'))}@{_instant(today, drawn())}"
        for _ in range(int(5 * drawn() ** 3))
    ]
    values = {
        "id": f"P{number:09d}",
        "name": random.choice(names["surnames"]) + random.choice(names["given"]),
        "birth_date": (today - timedelta(days=age_days)).isoformat(),
        "student": _flag(drawn() < 0.04),
        "region": random.choice(REGIONS),
        "consents": ";".join(consents),
        "opted_out": random.choice(("sms", "push", "all")) if drawn() < 0.05 else "",
        "suppressed": "complaint" if drawn() < 0.01 else "",
        "days_overdue": str(random.choice((1, 5, 40, 120))) if drawn() < 0.06 else "0",
        "disputed": _flag(drawn() < 0.01),
        "hardship": _flag(drawn() < 0.01),
        "debt_share": f"{0.7 * drawn():.2f}",
        "open_loans": str(loans),
        "outstanding_cny": f"{loans * 8000 * drawn():.2f}",
        # Of those who owe nothing, some have repaid a loan, and others never had one.
        "months_since_loan": str(int(24 * drawn())) if loans or drawn() < 0.6 else "",
        "since": (today - timedelta(days=int(30 + 2000 * drawn()))).isoformat(),
        "sent": ";".join(sent),
        "coupons_held": random.choice(KINDS) if drawn() < 0.2 else "",
    }
    return tuple(values[column] for column in COLUMNS)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _instant(today: date, share: float) -> str:
    at = datetime.combine(today, time(10), _ZONE) - timedelta(days=1 + int(12 * share))
    return at.isoformat()


@cache
def _names() -> dict[str, Any]:
    file = Path(__file__).with_name("demo_customers.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))
