"""How many customers a run takes a second, here and on Ray, and whether its memory grows."""

from __future__ import annotations

import csv
import os
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from assistant import addressing
from assistant.audit import Trail
from assistant.bulk import Engine, Tally, run_campaign
from assistant.campaigns import Campaign, load_campaigns
from assistant.db import contacts
from assistant.demo_people import COLUMNS, people
from assistant.rules import load_rules
from assistant.segments import PLAIN
from tests.test_bulk import AT, DAY, RULES, approve, content_of
from tests.test_bulk import trail as _trail

pytestmark = pytest.mark.bench

PEOPLE = int(os.environ.get("ZHUNXIN_BENCH_CUSTOMERS", "1000000"))
trail = _trail


def resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_people(file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows(people(PEOPLE, 1, DAY))


def endless() -> Campaign:
    """A campaign that gives to everybody who may have it."""
    campaign = load_campaigns()["spring-2027"]
    coupons = tuple(replace(coupon, stock=None) for coupon in campaign.coupons)
    return replace(campaign, coupons=coupons, budget_cny=Decimal(10**12))


@pytest.fixture
async def approved(trail: Trail) -> Trail:
    campaign = endless()
    for segment in (*campaign.segments, PLAIN):
        for channel in ("sms", "push", "in_app", "email"):
            for variant, coupon in enumerate(("anxin-rate-90", "suixin-free-30"), start=1):
                await approve(
                    trail,
                    campaign,
                    content_of(
                        campaign,
                        coupon,
                        segment=segment.id,
                        personalised=segment is not PLAIN,
                        channel=channel,
                        variant=variant,
                    ),
                )
    return trail


async def test_a_million_customers_here_and_on_ray(approved: Trail, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    write_people(file)
    campaign, bounds = endless(), addressing.bounds_of(load_rules("cn"))
    taken: dict[Engine, float] = {}
    engines: tuple[Engine, ...] = ("local", "ray")
    for engine in engines:
        memory: list[float] = []

        def note(done: int, total: int, tally: Tally, memory: list[float] = memory) -> None:
            memory.append(resident_mb())

        started = time.perf_counter()
        summary = await run_campaign(
            approved,
            campaign,
            file,
            tmp_path / f"{engine}.jsonl",
            bounds=bounds,
            rules_version=RULES,
            lock_folder=tmp_path,
            engine=engine,
            at=AT,
            progress=note,
        )
        taken[engine] = time.perf_counter() - started
        assert summary.tally.customers == PEOPLE
        quarter = memory[len(memory) // 4]
        cores = os.cpu_count() or 1
        print(
            f"\n{engine}: {PEOPLE:,} customers, {summary.tally.messages:,} messages in "
            f"{taken[engine]:.1f} s: {PEOPLE / taken[engine] / cores:,.0f} customers/s and "
            f"{summary.tally.messages / taken[engine] / cores:,.0f} messages/s a core; memory "
            f"{quarter:.0f} MiB after a quarter, {memory[-1]:.0f} MiB at the end"
        )
        assert memory[-1] < 1.25 * quarter + 20
        async with approved.engine.begin() as connection:
            await connection.execute(contacts.delete())
    print(f"Ray takes {taken['ray'] / taken['local']:.2f} of the time of the local engine")
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
