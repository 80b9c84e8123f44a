"""The coupon that saves most, by exact arithmetic over a representative loan; the calculation is
kept. What does not apply is left out with its reason: it does not save nothing, it is no offer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .campaigns import CampaignCoupon
from .loan_math import BadArgument, Couponed, CouponsUsed, Loan, Refused, as_json, use_coupons
from .models import Locale

_FILE = Path(__file__).with_suffix(".toml")

Why = (
    Refused
    | Literal[
        "not_started", "ended", "out_of_stock", "no_loan", "not_on_this_loan", "saves_nothing"
    ]
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A coupon that is no offer, and why."""

    coupon: str
    why: Why

    def words(self, locale: Locale) -> str:
        text: str = _tables()["why"][self.why][locale]
        return text


@dataclass(frozen=True, slots=True)
class Best:
    """The coupon that saves most, and how that was found."""

    coupon: CampaignCoupon
    saving_cny: Decimal
    """Interest that it saves on the representative loan of its product, above 0."""
    calculation: Mapping[str, Any]
    """As `loan_math.as_json` gives it: loan, coupon, every instalment, formula and sources."""
    others: tuple[tuple[str, Decimal], ...]
    """(coupon id, yuan that it saves), the most first."""
    left_out: tuple[LeftOut, ...]
    """In the order in which the coupons were given."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Every coupon that was asked about: what applies saves something, the rest has its reason."""

    savings: tuple[tuple[CampaignCoupon, CouponsUsed], ...]
    """The most first; among equals what ends first, then by id."""
    left_out: tuple[LeftOut, ...]


def weigh(
    coupons: Sequence[CampaignCoupon],
    representative: Mapping[str, Loan],
    today: date,
    left: Mapping[str, int] | None = None,
) -> Weighed:
    """What each coupon saves today on the representative loan of its product.

    left: coupon id -> how many are left; what is not named has its whole stock.
    """
    savings: list[tuple[CampaignCoupon, CouponsUsed]] = []
    left_out: list[LeftOut] = []
    for coupon in coupons:
        used = _use(coupon, representative, today, left or {})
        if isinstance(used, CouponsUsed):
            savings.append((coupon, used))
        else:
            left_out.append(LeftOut(coupon.id, used))
    savings.sort(key=lambda row: (-row[1].saved_cny, row[0].valid_to, row[0].id))
    return Weighed(tuple(savings), tuple(left_out))


def best(
    coupons: Sequence[CampaignCoupon],
    representative: Mapping[str, Loan],
    today: date,
    *,
    left: Mapping[str, int] | None = None,
    locale: Locale = "zh-Hans",
) -> Best | None:
    """The coupon that saves most today; None where none applies, as `weigh` tells why.

    locale: of the words in the calculation.
    """
    weighed = weigh(coupons, representative, today, left)
    if not weighed.savings:
        return None
    coupon, used = weighed.savings[0]
    return Best(
        coupon=coupon,
        saving_cny=used.saved_cny,
        calculation=as_json(used, locale),
        others=tuple((other.id, row.saved_cny) for other, row in weighed.savings[1:]),
        left_out=weighed.left_out,
    )


def _use(
    coupon: CampaignCoupon,
    representative: Mapping[str, Loan],
    today: date,
    left: Mapping[str, int],
) -> CouponsUsed | Why:
    if today < coupon.valid_from:
        return "not_started"
    if today > coupon.valid_to:
        return "ended"
    if left.get(coupon.id, 1) <= 0:
        return "out_of_stock"
    loan = representative.get(coupon.product)
    if loan is None:
        return "no_loan"
    try:
        used = use_coupons(Couponed(loan, (coupon.used,)))
    except BadArgument:
        return "not_on_this_loan"
    if used.uses[0].refused:
        return used.uses[0].refused
    return used if used.saved_cny > 0 else "saves_nothing"


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
