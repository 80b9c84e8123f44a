"""Segments: conditions over what is known of a customer, and which attributes they may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from .models import Locale

Op = Literal["is", "is_not", "in", "not_in", "at_least", "at_most"]
Value = bool | int | Decimal | date | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of who may have an offer, or of a segment."""

    attribute: str
    """A key of knowledge/attributes.toml."""
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class Segment:
    """Customers of whom all conditions hold."""

    id: str
    title: Mapping[Locale, str]
    conditions: tuple[Condition, ...]


PLAIN = Segment("plain", {"zh-Hans": "所有人", "zh-Hant": "所有人", "en": "Everybody"}, ())
"""Nothing about a customer is used: the alternative that is always drafted too."""
