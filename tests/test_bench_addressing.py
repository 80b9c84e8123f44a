"""A million people, decided twice: `python -m pytest -m bench -s tests/test_bench_addressing.py`."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from assistant.addressing import Occasion, bounds_of, refusals
from assistant.rules import load_rules

from .addressing_oracle import must_not, questions

pytestmark = pytest.mark.bench

PEOPLE = 1_000_000
AT_ONCE = 20_000


def test_nobody_of_a_million_is_addressed_who_must_not_be_nor_refused_without_a_reason() -> None:
    bounds = bounds_of(load_rules("cn"))
    told, addressed, wrong, taken = Counter[str](), 0, 0, 0.0
    for seed in range(PEOPLE // AT_ONCE):
        asked = [
            (one, Occasion(one.channel, "marketing", one.personalised, one.at, one.campaign,
                           one.contacted, one.taken))
            for one in questions(seed, AT_ONCE)
        ]  # fmt: skip
        started = time.process_time()
        found = [refusals(one.person, occasion, bounds) for one, occasion in asked]
        taken += time.process_time() - started
        for (one, _), refused in zip(asked, found, strict=True):
            reasons = {each.reason for each in refused}
            wrong += reasons != must_not(one)
            told.update(reasons)
            addressed += not reasons
    print(f"\n{PEOPLE} people, {addressed} addressed, {PEOPLE / taken:.0f} persons/s on one core")
    print(f"refused: {dict(told.most_common())}")
    print(f"violations: {wrong}")
    assert wrong == 0
