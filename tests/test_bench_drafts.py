"""A hundred thousand sequences of what may happen to a draft of an offer: `make bench`."""

from __future__ import annotations

import random
import time

import pytest

from assistant.addressing import Bounds
from assistant.audit import Trail
from assistant.campaigns import Campaign
from tests.test_drafts import (  # noqa: F401
    begun,
    bounds,
    campaign,
    empty,
    sequence,
    through_the_store,
    trail,
    walk,
)

pytestmark = pytest.mark.bench


def test_a_hundred_thousand_sequences(campaign: Campaign, bounds: Bounds) -> None:  # noqa: F811
    draw = random.Random(1)
    started = time.perf_counter()
    sent = kept = 0
    for _ in range(100_000):
        did = walk(sequence(draw), *begun(campaign, bounds))
        sent, kept = sent + did[0], kept + did[1]
    taken = time.perf_counter() - started
    print(f"\n100,000 sequences in {taken:.0f} s: {sent:,} sent, {kept:,} kept back, 0 wrongly")


async def test_three_thousand_sequences_through_the_store(
    trail: Trail,  # noqa: F811
    campaign: Campaign,  # noqa: F811
    bounds: Bounds,  # noqa: F811
) -> None:
    started = time.perf_counter()
    sent, kept = await through_the_store(trail, campaign, bounds, 3000)
    taken = time.perf_counter() - started
    print(
        f"\n3,000 through the store in {taken:.0f} s: {sent:,} sent, {kept:,} kept back, 0 wrongly"
    )
