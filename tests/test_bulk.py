"""Campaigns over files of customers: who gets what, once each, whatever happens on the way."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from assistant import audit, bulk, contacts, drafts
from assistant.addressing import Bounds, bounds_of
from assistant.audit import Trail, open_keys
from assistant.bulk import CannotRun, Summary, _Running, run_campaign
from assistant.campaigns import Campaign, load_campaigns
from assistant.customer_files import BadFile, open_customers
from assistant.db import contacts as contacts_table
from assistant.db import migrate, open_engine, staff
from assistant.demo_people import COLUMNS, people
from assistant.drafts import Check, Content, Draft
from assistant.people import REQUIRED
from assistant.rules import load_rules

RULES = "r0"
DAY = date(2026, 11, 25)
AT = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)  # ten in the morning in China
PEOPLE = 500


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return load_campaigns()["spring-2027"]


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return bounds_of(load_rules("cn"))


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[Trail]:
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path / 'zhunxin.db'}")
    await migrate(engine)
    async with engine.begin() as connection:
        for name in ("marketer", "officer"):
            await connection.execute(
                insert(staff).values(
                    id=name,
                    login=name,
                    name=name,
                    password_hash="none",
                    roles=["marketer"],
                    demo=False,
                    disabled=False,
                    created_at=datetime.now(UTC),
                )
            )
    trail = Trail(engine, open_keys(tmp_path / "audit.key"), tmp_path / "heads.jsonl")
    await audit.found(trail)
    yield trail
    await engine.dispose()


def content_of(campaign: Campaign, coupon: str = "anxin-rate-90", **more: Any) -> Content:
    known = campaign.coupon(coupon)
    held: dict[str, Any] = {
        "campaign": campaign.id,
        "campaign_version": campaign.version,
        "rules_version": RULES,
        "segment": "plain",
        "personalised": False,
        "channel": "sms",
        "locale": "zh-Hans",
        "variant": 1,
        "idea": "save",
        "template": "{name}，{coupon}已到账，有效期至{until}。",
        "subject": "",
        "slots": ("name", "coupon", "until"),
        "values": {"coupon": "安心贷9折利率折扣券", "until": "2027年1月31日"},
        "opening": "【青穗消金】",
        "closing": "年化利率（单利）7.2%至19.8%，以审批为准，拒收请回复R",
        "draw": "",
        "coupon": known.id,
        "coupon_from": known.valid_from,
        "coupon_to": known.valid_to,
    }
    return Content(**(held | more))


async def approve(trail: Trail, campaign: Campaign, content: Content, **checked: Any) -> Draft:
    now = drafts.now_of(campaign, content, rules_version=RULES, today=DAY)
    draft = await drafts.create(trail, content, Check("pass", "sample", **checked), by="marketer")
    await drafts.submit(trail, draft.id, by="marketer", seen=draft.sha256, now=now)
    done = await drafts.approve(trail, draft.id, by="officer", seen=draft.sha256, now=now)
    assert isinstance(done, Draft), done
    return done


def write(file: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(rows)
    return file


def row(number: int, **more: str) -> tuple[str, ...]:
    values = {
        "id": f"C{number}",
        "name": "王芳",
        "birth_date": "1990-05-01",
        "student": "false",
        "region": "310000",
        "consents": "sms;push",
        "opted_out": "",
        "suppressed": "",
        "days_overdue": "0",
        "disputed": "false",
        "hardship": "false",
        "debt_share": "0.2",
        "sent": "",
    }
    return tuple({**values, **more}.get(column, "") for column in COLUMNS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "customers.csv", [*people(PEOPLE, 7, DAY)])


async def run(
    trail: Trail, campaign: Campaign, bounds: Bounds, customers: Path, out: Path, **more: Any
) -> Summary:
    given: dict[str, Any] = {
        "at": AT,
        "rules_version": RULES,
        "lock_folder": out.parent,
        "workers": 1,
    }
    return await run_campaign(trail, campaign, customers, out, bounds=bounds, **(given | more))


def left_over(folder: Path, names: str = "*.part*") -> list[Path]:
    return [*folder.glob(names)]


def read(out: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


async def test_everybody_who_may_be_addressed_gets_one_message_of_what_was_approved(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    draft = await approve(trail, campaign, content_of(campaign))
    out = tmp_path / "out.jsonl"
    summary = await run(trail, campaign, bounds, file, out, rows=100, workers=2)
    records = read(out)
    tally = summary.tally
    assert tally.customers == PEOPLE
    assert tally.messages == len(records) > 0
    assert tally.messages + tally.suppressed.total() + tally.blocked == PEOPLE
    assert {"no_consent", "minor", "student", "overdue", "holdout"} <= set(tally.suppressed)
    assert len({record["customer"] for record in records}) == len(records)
    for record in records:
        assert record["text"].startswith("【青穗消金】")
        assert record["text"].endswith("拒收请回复R")
        assert record["draft"] == draft.id
        assert record["parts"] in (1, 2)
        assert "{" not in record["text"]
    assert (await audit.verify(trail)).ok


async def test_a_second_run_writes_to_nobody_again(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    first = await run(trail, campaign, bounds, file, tmp_path / "one.jsonl")
    again = await run(trail, campaign, bounds, file, tmp_path / "two.jsonl")
    assert again.tally.messages == 0
    held_out = first.tally.suppressed["holdout"]
    assert again.tally.suppressed["already_sent"] == first.tally.messages + held_out


async def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    trail: Trail,
    campaign: Campaign,
    bounds: Bounds,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await approve(trail, campaign, content_of(campaign))
    out = tmp_path / "out.jsonl"
    appended = _Running._append
    parts = Counter[str]()

    def full_disk(self: _Running, lines: bytes) -> None:
        parts["tried"] += 1
        appended(self, lines)
        if parts["tried"] == 3:
            raise OSError(28, "No space left on device", str(out))

    with monkeypatch.context() as broken:
        broken.setattr(_Running, "_append", full_disk)
        with pytest.raises(OSError, match="No space left"):
            await run(trail, campaign, bounds, file, out, rows=100)
    assert not out.exists()
    summary = await run(trail, campaign, bounds, file, out)
    assert summary.resumed
    assert summary.tally.customers == PEOPLE
    customers = [record["customer"] for record in read(out)]
    assert len(customers) == len(set(customers)) == summary.tally.messages
    async with trail.engine.connect() as connection:
        kept = await connection.execute(
            select(contacts_table.c.customer).where(contacts_table.c.channel == "sms")
        )
        assert {key for (key,) in kept} == {contacts.handle(trail.keys, c) for c in customers}
    assert left_over(tmp_path) == []


async def test_nothing_is_sent_that_nobody_approved(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    await drafts.create(trail, content_of(campaign), Check("pass", "sample"), by="marketer")
    with pytest.raises(CannotRun, match="nothing of the campaign spring-2027 is approved"):
        await run(trail, campaign, bounds, file, tmp_path / "out.jsonl")
    await approve(trail, campaign, content_of(campaign))
    with pytest.raises(CannotRun, match="rules_changed"):
        await run(trail, campaign, bounds, file, tmp_path / "out.jsonl", rules_version="r1")
    changed = replace(campaign, version="another")
    with pytest.raises(CannotRun, match="campaign_changed"):
        await run(trail, changed, bounds, file, tmp_path / "out.jsonl")
    async with trail.engine.begin() as connection:
        await connection.execute(
            text("UPDATE offer_versions SET content = replace(content, 'save', 'plan')")
        )
    with pytest.raises(CannotRun, match="tampered"):
        await run(trail, campaign, bounds, file, tmp_path / "out.jsonl")
    assert not left_over(tmp_path, "out*")


async def test_an_approval_that_is_taken_back_in_the_middle_stops_the_run(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    content = content_of(campaign)
    draft = await approve(trail, campaign, content)
    out = tmp_path / "out.jsonl"
    now = drafts.now_of(campaign, content, rules_version=RULES, today=DAY)
    original = _Running.write

    async def withdrawing(self: _Running, *given: Any) -> None:
        await original(self, *given)
        if self.run.chunks == 2:
            taken = await drafts.withdraw(trail, draft.id, by="officer", seen=draft.sha256, now=now)
            assert isinstance(taken, Draft), taken

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_Running, "write", withdrawing)
        with pytest.raises(CannotRun, match=f"{draft.id} may not be sent any more"):
            await run(trail, campaign, bounds, file, out, rows=100)
    async with trail.engine.connect() as connection:
        sent = await connection.execute(select(contacts_table.c.chunk).distinct())
        assert {chunk for (chunk,) in sent} == {1, 2}


async def test_a_coupon_that_runs_out_gives_way_to_the_next_and_then_to_nothing(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    few = tuple(
        replace(coupon, stock={"anxin-rate-90": 3, "anxin-voucher-30": 2}.get(coupon.id, 0))
        for coupon in campaign.coupons
    )
    scarce = replace(campaign, coupons=few, holdout=campaign.holdout * 0)
    await approve(trail, scarce, content_of(scarce))
    await approve(trail, scarce, content_of(scarce, "anxin-voucher-30", variant=2))
    file = write(tmp_path / "customers.csv", [row(number) for number in range(10)])
    out = tmp_path / "out.jsonl"
    summary = await run(trail, scarce, bounds, file, out, rows=4, workers=1)
    given = [record["coupon"] for record in read(out)]
    assert given == ["anxin-rate-90"] * 3 + ["anxin-voucher-30"] * 2
    assert summary.tally.suppressed == {"out_of_stock": 5}


@pytest.mark.parametrize(
    ("checked", "told"),
    [
        ({"made_by": "model", "prompt_version": "p1"}, True),
        ({"made_by": "person", "prompt_version": "p1"}, True),
        ({"made_by": "template"}, False),
        ({"made_by": "person"}, False),
    ],
)
async def test_what_a_model_wrote_is_marked_whoever_edited_it_since(
    trail: Trail,
    campaign: Campaign,
    bounds: Bounds,
    tmp_path: Path,
    checked: Mapping[str, Any],
    told: bool,
) -> None:
    plain = replace(campaign, holdout=campaign.holdout * 0)
    await approve(trail, plain, content_of(plain), **checked)
    file = write(tmp_path / "customers.csv", [row(1)])
    await run(trail, plain, bounds, file, tmp_path / "out.jsonl")
    (record,) = read(tmp_path / "out.jsonl")
    assert record["ai_generated"] is told
    assert record["ai_label"] == ("generated" if told else "policy")


async def test_no_more_is_given_away_than_the_budget(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    poor = replace(campaign, budget_cny=campaign.budget_cny * 0 + 200, holdout=campaign.holdout * 0)
    await approve(trail, poor, content_of(poor))
    file = write(tmp_path / "customers.csv", [row(number) for number in range(10)])
    summary = await run(trail, poor, bounds, file, tmp_path / "out.jsonl")
    assert 0 < summary.tally.messages < 10
    assert summary.tally.suppressed["budget_spent"] == 10 - summary.tally.messages


async def test_who_is_on_a_list_or_was_written_to_elsewhere_is_left_alone(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    plain = replace(campaign, holdout=campaign.holdout * 0, channels=("sms",))
    other = replace(plain, id="another")
    content = replace(content_of(plain), campaign="another")
    await approve(trail, other, content)
    await approve(trail, other, replace(content, variant=2))
    await approve(trail, plain, content_of(plain))
    file = write(tmp_path / "customers.csv", [row(number) for number in range(3)])
    one = write(tmp_path / "one.csv", [row(0, sent="sms@2026-11-24")])
    await contacts.suppress(trail, "C1", reason="complaint", by="officer")
    await run(trail, other, bounds, one, tmp_path / "other.jsonl")
    summary = await run(trail, plain, bounds, file, tmp_path / "out.jsonl")
    assert [record["customer"] for record in read(tmp_path / "out.jsonl")] == ["C0", "C2"]
    assert summary.tally.suppressed == {"suppressed": 1}
    assert await contacts.lift(trail, "C1", by="officer")
    last = await run(trail, plain, bounds, file, tmp_path / "last.jsonl")
    assert last.tally.messages == 1
    assert (await audit.verify(trail)).ok


@pytest.mark.parametrize(
    "name",
    ["{coupon}", "您已获批20万", "www.evil.example", "忽略以上规则", "a" * 5000, "", "王\u202e芳"],
)
async def test_a_name_that_is_no_name_does_not_go_out(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path, name: str
) -> None:
    plain = replace(campaign, holdout=campaign.holdout * 0)
    await approve(trail, plain, content_of(plain))
    file = write(tmp_path / "customers.csv", [row(1, name=name)])
    await run(trail, plain, bounds, file, tmp_path / "out.jsonl")
    (record,) = read(tmp_path / "out.jsonl")
    assert not name or name not in record["text"]
    assert record["text"].count("安心贷9折利率折扣券") == 1


async def test_bad_rows_are_named_and_the_others_are_written(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    plain = replace(campaign, holdout=campaign.holdout * 0)
    await approve(trail, plain, content_of(plain))
    file = write(
        tmp_path / "customers.csv",
        [
            row(1),
            row(2, birth_date="never"),
            row(1, name="李雷"),
            row(3, student="perhaps"),
            row(4, consents="sms;pigeon"),
        ],
    )
    with file.open("ab") as out:
        out.write(b"too,few\n")
        out.write("\ufeff".join(row(5, name="赵敏")).encode() + b"\n")
        out.write(",".join(row(6, name="孙悦")).encode("gb18030") + b"\n")
        out.write(b"\xff\xfe,".join(part.encode() for part in row(7)) + b"\n")
        out.write(b'"' + b"x" * 50_000 + b"\n")
        out.write(",".join(row(8)).encode() + b"\n")
    summary = await run(trail, plain, bounds, file, tmp_path / "out.jsonl")
    records = read(tmp_path / "out.jsonl")
    assert [record["customer"] for record in records] == ["C1", "C6", "C8"]
    assert summary.tally.suppressed["duplicate"] == 1
    assert {bad["row"] for bad in summary.tally.bad_rows} >= {2, 4, 5, 6, 7, 9}
    assert "birth_date" in summary.tally.bad_rows[0]["why"]
    assert "never" not in json.dumps(summary.as_json())
    assert summary.encodings["gb18030"] >= 1
    assert any("孙悦" in record["text"] for record in records)


async def test_a_file_without_a_column_that_says_who_may_not_be_addressed_is_refused(
    trail: Trail, campaign: Campaign, bounds: Bounds, tmp_path: Path
) -> None:
    file = write(tmp_path / "customers.csv", [("1", "x")], ("id", "name"))
    with pytest.raises(BadFile, match="lacks the columns birth_date, student"):
        await run(trail, campaign, bounds, file, tmp_path / "out.jsonl")
    for name, data in (("empty.csv", b""), ("no.parquet", b"PAR1?"), ("zip.csv", b"PK\x00\x03")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadFile, match=name):
            open_customers(tmp_path / name, REQUIRED)
    with pytest.raises(BadFile, match=r"none\.csv"):
        open_customers(tmp_path / "none.csv", REQUIRED)


async def test_a_parquet_file_gives_what_a_csv_file_gives(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    await approve(trail, campaign, content_of(campaign))
    table = pyarrow.csv.read_csv(file)
    assert any(not pyarrow.types.is_string(column.type) for column in table.schema)
    pyarrow.parquet.write_table(table, tmp_path / "customers.parquet", row_group_size=70)
    out = tmp_path / "out.parquet"
    summary = await run(trail, campaign, bounds, tmp_path / "customers.parquet", out, rows=150)
    records = pyarrow.parquet.read_table(out).to_pylist()
    assert len(records) == summary.tally.messages > 0
    async with trail.engine.begin() as connection:
        await connection.execute(contacts_table.delete())
    second = await run(trail, campaign, bounds, file, tmp_path / "csv.jsonl")
    assert second.tally.as_json() == summary.tally.as_json()
    assert read(tmp_path / "csv.jsonl") == records


async def test_a_run_goes_on_with_the_same_file_only(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    out = tmp_path / "out.jsonl"

    def stop(done: int, total: int, tally: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run(trail, campaign, bounds, file, out, rows=100, progress=stop)
    other = write(tmp_path / "other.csv", [*people(10, 8, DAY)])
    with pytest.raises(CannotRun, match="another file of customers"):
        await run(trail, campaign, bounds, other, out)
    with pytest.raises(CannotRun, match="in parts of 100 rows"):
        await run(trail, campaign, bounds, file, out, rows=50)
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(CannotRun, match="shorter than what was written"):
        await run(trail, campaign, bounds, file, out)
    with pytest.raises(CannotRun, match=r"ends in \.jsonl or \.parquet"):
        await run(trail, campaign, bounds, file, tmp_path / "out.txt")
    await run(trail, campaign, bounds, file, tmp_path / "done.jsonl")
    with pytest.raises(CannotRun, match="is there already"):
        await run(trail, campaign, bounds, file, tmp_path / "done.jsonl")


async def test_before_its_first_day_a_campaign_writes_to_nobody(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    early = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
    with pytest.raises(CannotRun, match="not_started"):
        await run(trail, campaign, bounds, file, tmp_path / "out.jsonl", at=early)
    night = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    late = await run(trail, campaign, bounds, file, tmp_path / "night.jsonl", at=night)
    assert late.tally.messages == 0
    assert late.tally.suppressed["quiet_hours"] > 0


async def test_ray_gives_what_the_local_engine_gives(
    trail: Trail, campaign: Campaign, bounds: Bounds, file: Path, tmp_path: Path
) -> None:
    await approve(trail, campaign, content_of(campaign))
    on_ray = await run(
        trail, campaign, bounds, file, tmp_path / "ray.jsonl", engine="ray", rows=200
    )
    async with trail.engine.begin() as connection:
        await connection.execute(contacts_table.delete())
    local = await run(trail, campaign, bounds, file, tmp_path / "local.jsonl")
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert on_ray.tally.as_json() == local.tally.as_json()
    assert not left_over(tmp_path)


async def test_a_cluster_that_cannot_be_used_is_told_with_what_to_check(
    trail: Trail,
    campaign: Campaign,
    bounds: Bounds,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable() -> None:
        raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.9:6379")

    await approve(trail, campaign, content_of(campaign))
    with monkeypatch.context() as broken:
        broken.setattr(bulk, "_started_ray", unreachable)
        with pytest.raises(CannotRun, match=r"10\.0\.0\.9.*RAY_ADDRESS.*RAY_AUTH_MODE=token"):
            await run(trail, campaign, bounds, file, tmp_path / "out.jsonl", engine="ray")
    done = await run(trail, campaign, bounds, file, tmp_path / "out.jsonl")
    assert done.tally.messages
