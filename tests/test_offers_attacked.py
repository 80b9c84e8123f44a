"""Campaigns under attack: what is edited, killed, forged or badly timed does not go out."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy import delete, func, select, update
from typer.testing import CliRunner

from assistant import audit, contacts, drafts, saved_segments, templates
from assistant.addressing import Bounds, bounds_of
from assistant.audit import Trail
from assistant.bulk import CannotRun, Standing
from assistant.campaigns import Campaign, load_campaigns
from assistant.customer_files import BadFile, open_customers
from assistant.db import audit_entries, campaign_runs, offer_drafts, suppressions
from assistant.db import contacts as contacts_table
from assistant.demo_customers import demo_people
from assistant.demo_people import COLUMNS, people
from assistant.drafts import Check, Draft, Lapsed
from assistant.people import OPTIONAL, REQUIRED, person_from_row
from assistant.rules import load_rules
from assistant.segments import matches, read_condition
from tests.test_bulk import AT, DAY, RULES, approve, content_of, left_over, read, row, run, write
from tests.test_bulk import trail as trail


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    found = load_campaigns()["spring-2027"]
    return replace(found, holdout=found.holdout * 0)


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return bounds_of(load_rules("cn"))


@pytest.fixture
def few(tmp_path: Path) -> Path:
    return write(tmp_path / "customers.csv", [row(number) for number in range(10)])


# Who gets what


async def test_copy_for_a_saved_segment_goes_to_those_who_are_of_it(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    old = [read_condition("age", "at_least", 40)]
    saved = await saved_segments.save(trail, "older", old, by="marketer")
    own = content_of(campaign, segment=saved.segment.id, personalised=True, variant=1)
    mine = await approve(trail, campaign, own)
    plain = await approve(trail, campaign, content_of(campaign))
    profiled = {"consents": "sms;profiling:sms"}
    rows = [
        row(1, birth_date="1975-01-01", **profiled),
        row(2, birth_date="1999-01-01", **profiled),
        row(3, birth_date="1975-01-01"),
    ]
    out = tmp_path / "out.jsonl"
    await run(trail, campaign, bounds, write(tmp_path / "c.csv", rows), out)
    assert [record["draft"] for record in read(out)] == [mine.id, plain.id, plain.id]


def test_the_made_up_customers_fall_into_the_segment_that_renews() -> None:
    (renewing,) = [s for s in load_campaigns()["spring-2027"].segments if s.id == "renewing"]
    rows = [person_from_row(dict(zip(COLUMNS, one, strict=True))) for one in people(300, 1, DAY)]
    assert sum(matches(renewing.conditions, each, DAY) for each in rows) > 10
    assert any(each.months_since_loan is None for each in rows)


def test_some_of_the_demo_may_be_profiled_by_sms() -> None:
    given = {
        (consent.purpose, consent.channel)
        for person in demo_people(DAY)
        for consent in person.record.consents
        if consent.given
    }
    assert {("profiling", "sms"), ("profiling", "push")} <= given


# What may be offered


async def test_a_coupon_that_no_clause_bears_out_is_not_sent(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    draft = await approve(trail, campaign, content_of(campaign))

    async def rests() -> Standing:
        return Standing(campaign, frozenset({"anxin-rate-90"}))

    with pytest.raises(CannotRun, match=rf"{draft.id} offers anxin-rate-90, and no clause"):
        await run(trail, campaign, bounds, few, tmp_path / "out.jsonl", rests=rests)
    assert left_over(tmp_path, "out*") == []


@pytest.mark.parametrize("how", ["changed", "gone", "unproven"])
async def test_a_campaign_that_is_edited_meanwhile_stops_the_run(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path, how: str
) -> None:
    await approve(trail, campaign, content_of(campaign))
    asked = 0

    async def rests() -> Standing:
        nonlocal asked
        asked += 1
        if asked < 3:
            return Standing(campaign)
        edited = None if how == "gone" else replace(campaign, version="another")
        if how == "unproven":
            return Standing(campaign, frozenset({"anxin-rate-90"}))
        return Standing(edited)

    with pytest.raises(CannotRun, match=r"while the run went on|any more"):
        await run(trail, campaign, bounds, few, tmp_path / "out.jsonl", rests=rests, rows=4)
    async with trail.engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(contacts_table)) == 4


# Clocks


async def test_what_was_filled_in_by_day_does_not_go_out_by_night(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    times = iter([AT, AT])
    night = AT + timedelta(hours=13)  # eleven in the evening in China

    def clock() -> datetime:
        return next(times, night)

    summary = await run(trail, campaign, bounds, few, tmp_path / "out.jsonl", at=None, clock=clock)
    assert (summary.tally.messages, summary.tally.suppressed) == (0, {"quiet_hours": 10})


def test_a_time_that_is_over_is_no_time_to_send_at(tmp_path: Path) -> None:
    from assistant.campaign_cli import _instant

    zone = bounds_of(load_rules("cn")).zone
    with pytest.raises(Exception) as ended:  # noqa: PT011
        _instant("2026-01-05T10:00", zone)
    assert getattr(ended.value, "exit_code", 0) == 2
    later = datetime.now(zone) + timedelta(days=1)
    assert _instant(later.isoformat(), zone) == later


# Signs


@pytest.mark.parametrize("sign", ["\u3164", "\u115f", "\uffa0", "\u2800", "\u034f", "\u200b"])
def test_a_sign_that_nobody_sees_is_in_no_text_and_no_name(sign: str) -> None:
    with pytest.raises(templates.BadTemplate, match="cannot be seen"):
        templates.parse(f"秒{sign}到账，{{coupon}}")
    assert templates.name_or_instead(f"王{sign}芳", "zh-Hans") == "客户"


def test_what_is_read_backwards_does_not_turn_figures_around() -> None:
    for name in ("محمد", "דוד"):
        assert templates.name_or_instead(name, "zh-Hans") == "客户"
        with pytest.raises(templates.BadTemplate, match="right to left"):
            templates.parse(f"{name}{{coupon}}")


# Files


@pytest.mark.parametrize("ending", ["part", "part-ids", "part-parquet", "part-rows"])
async def test_a_run_writes_over_nothing_that_is_there(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path, ending: str
) -> None:
    await approve(trail, campaign, content_of(campaign))
    out = tmp_path / "out.jsonl"
    mine = write(tmp_path / f"out.jsonl.{ending}", [row(1)])
    with pytest.raises(CannotRun, match="is there already"):
        await run(trail, campaign, bounds, few, out)
    with pytest.raises(CannotRun, match="write over the file of customers"):
        await run(trail, campaign, bounds, mine, out)
    assert open_customers(mine, REQUIRED).columns == COLUMNS
    mine.unlink()
    mine.symlink_to(few)
    with pytest.raises(CannotRun, match="is a link"):
        await run(trail, campaign, bounds, write(tmp_path / "c.csv", [row(1)]), out)


async def test_a_run_that_another_process_goes_on_with_writes_nothing(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))

    def elsewhere(done: int, total: int, tally: object) -> None:
        sizes.append((tmp_path / "out.jsonl.part").stat().st_size)

    sizes: list[int] = []
    original = contacts.write_chunk

    async def ahead(trail: Trail, held: contacts.Run, settle: Any) -> contacts.Run:
        if held.chunks == 1:
            async with trail.engine.begin() as connection:
                await connection.execute(update(campaign_runs).values(chunk=2))
        return await original(trail, held, settle)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contacts, "write_chunk", ahead)
        with pytest.raises(CannotRun, match="another process goes on"):
            await run(
                trail, campaign, bounds, few, tmp_path / "out.jsonl", rows=4, progress=elsewhere
            )
    assert sizes == [(tmp_path / "out.jsonl.part").stat().st_size]


async def test_two_campaigns_at_once_do_not_write_too_often(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    other = replace(campaign, id="another")
    await approve(trail, campaign, content_of(campaign))
    await approve(trail, other, replace(content_of(other), campaign="another"))
    cap = min(cap.most for cap in bounds.ways["sms"].caps)
    sent = ";".join(f"sms@2026-11-{20 + n}" for n in range(cap - 1))
    file = write(tmp_path / "c.csv", [row(number, sent=sent) for number in range(60)])
    one, two = await asyncio.gather(
        run(trail, campaign, bounds, file, tmp_path / "one.jsonl", rows=5),
        run(trail, other, bounds, file, tmp_path / "two.jsonl", rows=5),
    )
    customers = [r["customer"] for out in ("one", "two") for r in read(tmp_path / f"{out}.jsonl")]
    assert len(customers) == len(set(customers)) == 60
    assert one.tally.messages + two.tally.messages == 60
    assert (await audit.verify(trail)).ok


KILLED = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from assistant.audit import Trail, open_keys
from assistant.campaigns import load_campaigns
from assistant.db import open_engine
from tests.test_bulk import run
from assistant.addressing import bounds_of
from assistant.rules import load_rules

async def main(folder: Path) -> None:
    engine = open_engine(f"sqlite+aiosqlite:///{folder / 'zhunxin.db'}")
    trail = Trail(engine, open_keys(folder / "audit.key"), folder / "heads.jsonl")
    found = load_campaigns()["spring-2027"]
    campaign = replace(found, holdout=found.holdout * 0)
    print("ready", flush=True)
    await run(trail, campaign, bounds_of(load_rules("cn")), folder / "c.csv",
              folder / "out.jsonl", rows=20)
    await engine.dispose()

asyncio.run(main(Path(sys.argv[1])))
"""


def kill_when_longer(part: Path, folder: Path, more: int) -> bool:
    """Begin a run in a process of its own, and kill it once its file has so many bytes more."""
    before = part.stat().st_size if part.exists() else 0
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], cwd=Path(__file__).parent.parent
    )
    while process.poll() is None:
        if part.exists() and part.stat().st_size > before + more:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


async def test_a_run_that_is_killed_again_and_again_writes_once_to_everybody(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    file = write(tmp_path / "c.csv", [row(number) for number in range(600)])
    out = tmp_path / "out.jsonl"
    wanted = random.Random(5)
    for _ in range(3):
        more = wanted.randint(1, 20_000)
        part = tmp_path / "out.jsonl.part"
        assert await asyncio.to_thread(kill_when_longer, part, tmp_path, more)
    summary = await run(trail, campaign, bounds, file, out)
    customers = [record["customer"] for record in read(out)]
    assert summary.resumed
    assert sorted(customers) == sorted(f"C{number}" for number in range(600))
    assert summary.tally.messages == 600
    assert (await audit.verify(trail)).ok
    assert left_over(tmp_path) == []


async def test_a_broken_list_of_ids_is_made_anew(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))

    def stop(done: int, total: int, tally: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run(trail, campaign, bounds, few, tmp_path / "out.jsonl", rows=4, progress=stop)
    broken = tmp_path / "out.jsonl.part-ids"
    broken.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    await run(trail, campaign, bounds, few, tmp_path / "out.jsonl")
    assert len(read(tmp_path / "out.jsonl")) == 10


def table(rows: int, **more: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {
        name: [row(number)[place] for number in range(rows)] for place, name in enumerate(COLUMNS)
    }
    return columns | more


def test_of_a_parquet_file_records_are_refused_and_other_columns_not_read(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    nested = table(2, region=[{"a": 1}, {"a": 2}])
    pyarrow.parquet.write_table(pyarrow.table(nested), file)
    with pytest.raises(BadFile, match="'region' holds records"):
        open_customers(file, REQUIRED, OPTIONAL)
    other = table(2, notes=[{"deep": [{"er": "x" * 50_000}]}] * 2)
    pyarrow.parquet.write_table(pyarrow.table(other), file)
    opened = open_customers(file, REQUIRED, OPTIONAL)
    assert "notes" not in opened.columns
    (batch,) = opened.batches()
    assert all(len(each) == len(COLUMNS) for each in batch.rows)


def test_a_huge_text_in_every_row_is_held_once_and_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    pyarrow.parquet.write_table(pyarrow.table(table(500, name=["王" * 50_000] * 500)), file)
    opened = open_customers(file, REQUIRED, OPTIONAL)
    tracemalloc.start()
    try:
        (batch,) = opened.batches()
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert set(batch.rows) == {"a field of more than 20000 characters"}


def test_one_endless_line_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", [row(1)])
    with file.open("ab") as out:
        out.write(b'"')
        for _ in range(40):
            out.write(b"x" * (1 << 20))
    opened = open_customers(file, REQUIRED)
    tracemalloc.start()
    try:
        kinds = [isinstance(each, str) for batch in opened.batches() for each in batch.rows]
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()
    assert kinds[0] is False
    assert all(kinds[1:])


def test_a_long_field_is_refused_and_other_files_may_still_have_them(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    file = write(tmp_path / "c.csv", [row(1), row(2, name="王" * 20_001)])
    with file.open("a", encoding="utf-8") as out:
        out.write('"' + "swallowed,\n" * 2_000)
        csv.writer(out).writerow(row(3))
    opened = open_customers(file, REQUIRED)
    rows = [each for batch in opened.batches() for each in batch.rows]
    assert rows[:3] == [
        [*row(1)],
        "a field of more than 20000 characters",
        "not CSV (a row of more than 20000 characters)",
    ]
    assert rows[-1] == [*row(3)]
    assert csv.field_size_limit() == before


def test_a_first_line_that_never_ends_names_no_columns(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text('"' + "customer_id\n" * 5_000)
    with pytest.raises(BadFile, match="names no columns"):
        open_customers(file, REQUIRED)


# Approvals


async def test_who_wrote_a_version_does_not_approve_what_another_made_of_it(
    trail: Trail, campaign: Campaign
) -> None:
    content = content_of(campaign)
    now = drafts.now_of(campaign, content, rules_version=RULES, today=DAY)
    draft = await drafts.create(trail, content, Check("pass", "sample"), by="marketer")
    for by, text in (("officer", "{coupon}到了，到{until}。"), ("marketer", "{coupon}到了。")):
        done = await drafts.edit(
            trail,
            draft.id,
            replace(content, template=text),
            Check("pass", "sample"),
            by=by,
            seen=draft.sha256,
            now=now,
        )
        assert isinstance(done, Draft)
        draft = done
    await drafts.submit(trail, draft.id, by="marketer", seen=draft.sha256, now=now)
    declined = await drafts.approve(trail, draft.id, by="officer", seen=draft.sha256, now=now)
    assert isinstance(declined, drafts.Declined)
    assert declined.reason == "own_draft"


async def test_a_withdrawal_that_is_taken_out_of_the_chain_does_not_bring_it_back(
    trail: Trail, campaign: Campaign
) -> None:
    content = content_of(campaign)
    draft = await approve(trail, campaign, content)
    async with trail.engine.connect() as connection:
        query = select(offer_drafts).where(offer_drafts.c.id == draft.id)
        (before,) = await connection.execute(query)
        last = await connection.scalar(select(func.max(audit_entries.c.seq)))
    now = drafts.now_of(campaign, content, rules_version=RULES, today=DAY)
    taken = await drafts.withdraw(trail, draft.id, by="officer", seen=draft.sha256, now=now)
    assert isinstance(taken, Draft)
    await audit.append(trail, "erasure", "x", {})
    async with trail.engine.begin() as connection:
        await connection.execute(delete(audit_entries).where(audit_entries.c.seq == last + 1))
        await connection.execute(update(offer_drafts).values(**before._mapping))
    found = await drafts.standing(
        trail, draft.id, campaign=campaign, rules_version=RULES, today=DAY
    )
    assert found == Lapsed("tampered")


async def test_a_run_that_was_changed_past_the_chain_is_not_gone_on_with(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    out = tmp_path / "out.jsonl"
    await run(trail, campaign, bounds, few, out)
    assert read(out)
    # Somebody who can write to the database has it written again to those whom it reached.
    out.unlink()
    async with trail.engine.begin() as connection:
        await connection.execute(delete(contacts_table))
        begun = {"state": "running", "chunk": 0, "rows_in": 0, "bytes_out": 0, "counts": {}}
        await connection.execute(update(campaign_runs).values(begun))
    with pytest.raises(CannotRun, match="not as the audit chain holds it"):
        await run(trail, campaign, bounds, few, out)
    assert not left_over(tmp_path, "out*")


# Suppressions


async def test_who_is_taken_off_the_list_past_the_chain_is_not_written_to(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    plain = replace(campaign, holdout=campaign.holdout * 0, channels=("sms",))
    await approve(trail, plain, content_of(plain))
    await contacts.suppress(trail, "C1", reason="complaint", by="officer")
    await contacts.suppress(trail, "C2", reason="wish", by="officer", channel="sms")
    await contacts.suppress(trail, "C3", reason="complaint", by="officer")
    await contacts.lift(trail, "C3", by="officer")
    async with trail.engine.begin() as connection:
        await connection.execute(delete(suppressions))
    await run(trail, plain, bounds, few, tmp_path / "out.jsonl")
    written = {record["customer"] for record in read(tmp_path / "out.jsonl")}
    assert not {"C1", "C2"} & written
    assert "C3" in written
    assert await contacts.suppressed(trail.engine, ["C1", "C2", "C3"], trail.keys) == {"C1", "C2"}


async def test_heads_are_exported_for_runs_and_suppressions_too(
    trail: Trail, campaign: Campaign, bounds: Bounds, few: Path, tmp_path: Path
) -> None:
    every = replace(trail, every=1)
    await approve(every, campaign, content_of(campaign))
    await contacts.suppress(every, "C1", reason="complaint", by="officer")
    await contacts.lift(every, "C1", by="officer")
    await run(every, campaign, bounds, few, tmp_path / "out.jsonl")
    heads = {json.loads(line)["seq"] for line in read_lines(trail.heads)}
    entries = await audit.read_entries(trail.engine)
    assert heads >= {each.seq for each in entries if each.kind in ("run", "suppression")}


def read_lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


def test_a_customer_is_put_on_the_list_and_taken_off_it_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assistant.cli import app

    monkeypatch.setenv("ZHUNXIN_HOME", str(tmp_path / "home"))

    def call(*args: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["campaign", "suppress", "C-4711", *args])
        return done.exit_code, done.output

    assert call("--channel", "sms", "--reason", "complaint")[0] == 0
    assert call("--channel", "sms", "--lift")[0] == 0
    assert call("--channel", "sms", "--lift")[0] == 1
    assert call("--channel", "fax")[0] == 2
    assert call("--reason", "Frau Li, 13800000000")[0] == 2
    assert "C-4711" not in call()[1]


@pytest.mark.parametrize("name", ["c.parquet", "c.PQ"])
def test_made_up_customers_are_not_written_under_a_name_that_says_otherwise(
    tmp_path: Path, name: str
) -> None:
    from assistant.cli import app

    out = tmp_path / name
    done = CliRunner().invoke(app, ["campaign", "customers", "--out", str(out)])
    assert (done.exit_code, out.exists()) == (2, False)
    assert "is CSV" in done.output
