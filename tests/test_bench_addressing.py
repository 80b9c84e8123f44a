"""A million people, decided on twice: `pytest -m bench -s tests/test_bench_addressing.py`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from assistant.addressing import bounds_of, refusals
from assistant.people import person_from_row
from assistant.rules import load_rules
from evals.addressing import USUAL

from .addressing_oracle import must_not, questions
from .test_addressing import occasion_of

pytestmark = pytest.mark.bench

PARTS, AT_ONCE = 50, 20_000
LEAST_PER_S = 20_000


@dataclass(slots=True)
class Decided:
    """What came of people who were decided on twice."""

    people: int = 0
    addressed: int = 0
    let_through: int = 0
    """Addressed, though they must not be."""
    held_back: int = 0
    """Refused without a reason."""
    otherwise: int = 0
    """Refused for other reasons."""
    seconds: float = 0.0
    """Of one core, in `refusals` alone."""
    told: Counter[str] = field(default_factory=Counter)


def decide(seeds: Iterable[int]) -> Decided:
    bounds, all_in_all = bounds_of(load_rules("cn")), Decided()
    for seed in seeds:
        asked = [(one, occasion_of(one)) for one in questions(seed, AT_ONCE)]
        started = time.process_time()
        found = [refusals(one.person, occasion, bounds) for one, occasion in asked]
        all_in_all.seconds += time.process_time() - started
        for (one, _), refused in zip(asked, found, strict=True):
            told, due = {each.reason for each in refused}, must_not(one)
            all_in_all.people += 1
            all_in_all.addressed += not told
            all_in_all.let_through += bool(due) and not told
            all_in_all.held_back += bool(told) and not due
            all_in_all.otherwise += bool(told) and bool(due) and told != due
            all_in_all.told.update(told)
    return all_in_all


def test_nobody_of_a_million_is_addressed_who_must_not_be_nor_refused_without_a_reason() -> None:
    found = decide(range(PARTS))
    per_s = found.people / found.seconds
    print(f"\n{found.people} people, {found.addressed} addressed, {per_s:.0f} persons/s on a core")
    print(f"refused: {dict(found.told.most_common())}")
    print(
        f"let through {found.let_through}, held back without a reason {found.held_back}, "
        f"refused for other reasons {found.otherwise}"
    )
    assert (found.people, found.let_through, found.held_back, found.otherwise) == (
        PARTS * AT_ONCE,
        0,
        0,
        0,
    )
    assert per_s > LEAST_PER_S


def test_how_many_rows_are_read_in_a_second() -> None:
    started = time.process_time()
    for number in range(100_000):
        person_from_row({**USUAL, "id": f"c-{number}"})
    print(f"\n{100_000 / (time.process_time() - started):.0f} rows/s on a core")
