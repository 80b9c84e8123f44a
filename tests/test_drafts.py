"""Drafts of offers on their way to being sent: who may do what, what an approval is worth, and what
of it a changed database leaves."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import insert, select, text

from assistant import audit, campaign_results, contacts, drafts, saved_segments
from assistant.addressing import Bounds, Occasion, bounds_of, held_out, refusals
from assistant.audit import Trail, open_keys, verify
from assistant.campaign_results import Outcome
from assistant.campaigns import Campaign, load_campaigns
from assistant.db import migrate, offer_drafts, offer_versions, open_engine, staff
from assistant.drafts import (
    Approval,
    Approved,
    Check,
    Content,
    Declined,
    Draft,
    Held,
    Lapsed,
    Now,
    Step,
    decide,
    lapse,
    now_of,
    unfit,
)
from assistant.people import Person
from assistant.rules import load_rules
from assistant.segments import Condition

RULES = "r0"
DAY = date(2026, 11, 25)
PEOPLE = ("marketer-1", "marketer-2", "officer-1", "officer-2")


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return load_campaigns()["spring-2027"]


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return bounds_of(load_rules("cn"))


def opened(folder: Path) -> Trail:
    engine = open_engine(f"sqlite+aiosqlite:///{folder / 'zhunxin.db'}")
    return Trail(engine, open_keys(folder / "audit.key"), folder / "heads.jsonl")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with four people and nothing that they did."""
    folder = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        trail = opened(folder)
        await migrate(trail.engine)
        async with trail.engine.begin() as connection:
            for name in PEOPLE:
                await connection.execute(
                    insert(staff).values(
                        id=name,
                        login=name,
                        name=name.title(),
                        password_hash="none",
                        roles=["marketer"],
                        demo=False,
                        disabled=False,
                        created_at=datetime.now(UTC),
                    )
                )
        await audit.found(trail)
        await trail.engine.dispose()

    asyncio.run(make())
    return folder


@pytest.fixture
async def trail(empty: Path, tmp_path: Path) -> AsyncIterator[Trail]:
    shutil.copytree(empty, tmp_path / "home")
    held = opened(tmp_path / "home")
    yield held
    await held.engine.dispose()


def content_of(campaign: Campaign, template: str = "{name}，用{coupon}。", **more: Any) -> Content:
    coupon = campaign.coupon("anxin-rate-90")
    held: dict[str, Any] = {
        "campaign": campaign.id,
        "campaign_version": campaign.version,
        "rules_version": RULES,
        "segment": "renewing",
        "personalised": True,
        "channel": "sms",
        "locale": "zh-Hans",
        "variant": 1,
        "idea": "save",
        "template": template,
        "subject": "",
        "slots": ("name", "coupon"),
        "values": {"coupon": "九折券"},
        "opening": "【青穗】",
        "closing": "拒收请回复R",
        "draw": "",
        "coupon": coupon.id,
        "coupon_from": coupon.valid_from,
        "coupon_to": coupon.valid_to,
    }
    return Content(**(held | more))


PASSES = Check("pass", "【青穗】王女士，用九折券。拒收请回复R")
BLOCKED = Check("block", "稳赚", findings=({"rule": "x.1", "severity": "block"},))
WARNED = Check("warn", "快来", findings=({"rule": "tone.1", "severity": "warn"},))


def now(campaign: Campaign, content: Content, *, rules: str = RULES, today: date = DAY) -> Now:
    return now_of(campaign, content, rules_version=rules, today=today)


async def submitted(trail: Trail, campaign: Campaign) -> tuple[Draft, Now]:
    content = content_of(campaign)
    at = now(campaign, content)
    draft = await drafts.create(trail, content, PASSES, by="marketer-1")
    done = await drafts.submit(trail, draft.id, by="marketer-1", seen=draft.sha256, now=at)
    assert isinstance(done, Draft)
    return done, at


async def approved(trail: Trail, campaign: Campaign) -> tuple[Draft, Now]:
    draft, at = await submitted(trail, campaign)
    done = await drafts.approve(trail, draft.id, by="officer-1", seen=draft.sha256, now=at)
    assert isinstance(done, Draft)
    return done, at


async def stands(
    trail: Trail, draft: Draft, campaign: Campaign | None, rules: str = RULES, today: date = DAY
) -> Approved | Lapsed:
    return await drafts.standing(
        trail, draft.id, campaign=campaign, rules_version=rules, today=today
    )


def reason(outcome: object) -> str:
    assert isinstance(outcome, Declined | Lapsed), outcome
    return outcome.reason


# The way to approval


async def test_what_two_people_agreed_to_may_be_sent(trail: Trail, campaign: Campaign) -> None:
    draft, _ = await approved(trail, campaign)
    found = await stands(trail, draft, campaign)
    assert isinstance(found, Approved)
    assert found.content == content_of(campaign)
    assert found.approved_by == "officer-1"
    told = await drafts.history(trail, draft.id)
    assert [(s.action, s.state, s.by_name) for s in told] == [
        ("created", "checked", "Marketer-1"),
        ("submitted", "submitted", "Marketer-1"),
        ("approved", "approved", "Officer-1"),
    ]
    assert all(step.genuine and step.sha256 == draft.sha256 for step in told)
    assert found.seq == told[-1].seq
    assert (await verify(trail)).ok


@pytest.mark.parametrize("wrote_last", [False, True])
async def test_nobody_approves_or_rejects_what_they_wrote(
    trail: Trail, campaign: Campaign, wrote_last: bool
) -> None:
    content = content_of(campaign)
    at = now(campaign, content)
    draft = await drafts.create(trail, content, PASSES, by="officer-1")
    if wrote_last:
        edited = content_of(campaign, "换一句{coupon}")
        done = await drafts.edit(
            trail, draft.id, edited, PASSES, by="officer-2", seen=draft.sha256, now=at
        )
        assert isinstance(done, Draft)
        draft = done
    await drafts.submit(trail, draft.id, by="officer-1", seen=draft.sha256, now=at)
    for by in ("officer-1", "officer-2") if wrote_last else ("officer-1",):
        for step in (drafts.approve, drafts.reject):
            done = await step(trail, draft.id, by=by, seen=draft.sha256, comment="好", now=at)
            assert reason(done) == "own_draft"
    assert reason(await stands(trail, draft, campaign)) == "not_approved"


async def test_a_rejection_says_why(trail: Trail, campaign: Campaign) -> None:
    draft, at = await submitted(trail, campaign)
    seen = draft.sha256
    done = await drafts.reject(trail, draft.id, by="officer-1", seen=seen, comment=" ", now=at)
    assert reason(done) == "comment_needed"
    done = await drafts.reject(trail, draft.id, by="officer-1", seen=seen, comment="太急", now=at)
    assert isinstance(done, Draft)
    assert done.state == "rejected"
    assert (await drafts.history(trail, draft.id))[-1].comment == "太急"
    done = await drafts.approve(trail, draft.id, by="officer-2", seen=seen, now=at)
    assert reason(done) == "wrong_state"


async def test_what_the_rules_stop_cannot_be_submitted(trail: Trail, campaign: Campaign) -> None:
    content = content_of(campaign)
    at = now(campaign, content)
    draft = await drafts.create(trail, content, BLOCKED, by="marketer-1")
    assert draft.state == "draft"
    done = await drafts.submit(trail, draft.id, by="marketer-1", seen=draft.sha256, now=at)
    assert reason(done) == "not_checked"
    long = replace(PASSES, length={"units": 300, "over": 2})
    again = await drafts.edit(
        trail,
        draft.id,
        content_of(campaign, "长"),
        long,
        by="marketer-1",
        seen=draft.sha256,
        now=at,
    )
    assert isinstance(again, Draft)
    assert again.state == "draft"


async def test_a_finding_is_answered_before_it_is_submitted(
    trail: Trail, campaign: Campaign
) -> None:
    content = content_of(campaign)
    at = now(campaign, content)
    draft = await drafts.create(trail, content, WARNED, by="marketer-1")
    assert draft.state == "checked"
    said: dict[str, Any] = {"by": "marketer-1", "seen": draft.sha256, "now": at}
    done = await drafts.submit(trail, draft.id, **said)
    assert isinstance(done, Declined)
    assert (done.reason, done.rules) == ("answer_needed", ("tone.1",))
    done = await drafts.submit(trail, draft.id, **said, answers={"tone.1": "只是邀请"})
    assert isinstance(done, Draft)
    assert (await drafts.history(trail, draft.id))[-1].answers == {"tone.1": "只是邀请"}


async def test_of_two_approvers_at_once_one_decides_and_the_other_is_told(
    trail: Trail, campaign: Campaign
) -> None:
    draft, at = await submitted(trail, campaign)
    seen = draft.sha256
    done = await asyncio.gather(
        drafts.approve(trail, draft.id, by="officer-1", seen=seen, now=at),
        drafts.reject(trail, draft.id, by="officer-2", seen=seen, comment="不行", now=at),
        drafts.approve(trail, draft.id, by="officer-2", seen=seen, now=at),
    )
    (won,) = [each for each in done if isinstance(each, Draft)]
    lost = [each for each in done if isinstance(each, Declined)]
    assert [each.reason for each in lost] == ["wrong_state", "wrong_state"]
    for each in lost:
        assert each.draft is not None
        assert each.last is not None
        assert each.draft.state == won.state
        assert each.last.state == won.state, "what happened, and who did it"
        assert each.last.by_name.startswith("Officer")
    assert (await verify(trail)).ok


async def test_what_was_looked_at_is_what_is_decided_on(trail: Trail, campaign: Campaign) -> None:
    draft, at = await submitted(trail, campaign)
    edited = content_of(campaign, "换一句{coupon}")
    other = await drafts.edit(
        trail, draft.id, edited, PASSES, by="marketer-2", seen=draft.sha256, now=at
    )
    assert isinstance(other, Draft)
    assert (other.state, other.version, other.editor) == ("checked", 2, "marketer-2")
    await drafts.submit(trail, draft.id, by="marketer-2", seen=other.sha256, now=at)
    done = await drafts.approve(trail, draft.id, by="officer-1", seen=draft.sha256, now=at)
    assert isinstance(done, Declined)
    assert done.reason == "changed_meanwhile"
    assert done.draft is not None
    assert done.draft.sha256 == other.sha256
    assert [v.content.template for v in await drafts.versions(trail.engine, draft.id)] == [
        "{name}，用{coupon}。",
        "换一句{coupon}",
    ]


async def test_a_draft_stays_where_it_belongs(trail: Trail, campaign: Campaign) -> None:
    draft, at = await submitted(trail, campaign)
    for more in ({"channel": "push"}, {"segment": "new"}, {"campaign": "lantern-2027"}):
        with pytest.raises(drafts.UnusableContent, match=next(iter(more))):
            await drafts.edit(
                trail,
                draft.id,
                replace(content_of(campaign), **more),
                PASSES,
                by="marketer-1",
                seen=draft.sha256,
                now=at,
            )
    same = await drafts.edit(
        trail, draft.id, content_of(campaign), PASSES, by="marketer-1", seen=draft.sha256, now=at
    )
    assert reason(same) == "unchanged"
    assert (await verify(trail)).ok


# What an approval is worth


CHANGES: dict[str, Any] = {
    "campaign": "another",
    "campaign_version": "another",
    "rules_version": "another",
    "segment": "new",
    "personalised": False,
    "channel": "push",
    "locale": "en",
    "variant": 2,
    "idea": "plan",
    "template": "另一句{coupon}",
    "subject": "题目",
    "slots": ("coupon",),
    "values": {"coupon": "八折券"},
    "opening": "【别家】",
    "closing": "",
    "draw": "lucky-bag",
    "coupon": "suixin-free-30",
    "coupon_from": date(2026, 11, 17),
    "coupon_to": date(2027, 2, 1),
}


def test_any_change_is_another_content(campaign: Campaign) -> None:
    content = content_of(campaign)
    assert set(CHANGES) == {each.name for each in fields(Content)}
    hashes = {replace(content, **{name: value}).sha256 for name, value in CHANGES.items()}
    assert len(hashes | {content.sha256}) == len(CHANGES) + 1


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("gone", "campaign_gone"),
        ("other", "campaign_gone"),
        ("changed", "campaign_changed"),
        ("coupon", "offer_changed"),
        ("no_coupon", "offer_changed"),
        ("rules", "rules_changed"),
        ("early", "not_started"),
        ("late", "ended"),
    ],
)
async def test_an_approval_holds_for_its_campaign_its_rules_and_its_days(
    trail: Trail, campaign: Campaign, what: str, said: str
) -> None:
    draft, _ = await approved(trail, campaign)
    coupons = campaign.coupons
    longer = tuple(replace(each, valid_to=date(2027, 1, 30)) for each in coupons)
    others: dict[str, Campaign | None] = {
        "gone": None,
        "other": replace(campaign, id="other"),
        "changed": replace(campaign, version="0" * 64),
        "coupon": replace(campaign, coupons=longer),
        "no_coupon": replace(campaign, coupons=()),
    }
    days = {"early": date(2026, 11, 15), "late": date(2027, 2, 1)}
    lapsed = await stands(
        trail,
        draft,
        others.get(what, campaign),
        "r1" if what == "rules" else RULES,
        days.get(what, DAY),
    )
    assert reason(lapsed) == said
    for day in (date(2026, 11, 16), date(2027, 1, 31)):
        assert isinstance(await stands(trail, draft, campaign, today=day), Approved)


async def test_an_edit_after_approval_ends_it(trail: Trail, campaign: Campaign) -> None:
    draft, at = await approved(trail, campaign)
    edited = content_of(campaign, "换一句{coupon}")
    done = await drafts.edit(
        trail, draft.id, edited, PASSES, by="marketer-1", seen=draft.sha256, now=at
    )
    assert isinstance(done, Draft)
    assert done.state == "checked"
    assert reason(await stands(trail, draft, campaign)) == "not_approved"
    # Put back word for word, it is still to be approved anew.
    back = await drafts.edit(
        trail, draft.id, content_of(campaign), PASSES, by="marketer-1", seen=done.sha256, now=at
    )
    assert isinstance(back, Draft)
    assert back.sha256 == draft.sha256
    assert reason(await stands(trail, draft, campaign)) == "not_approved"


async def test_a_sweep_ends_what_is_over_and_voids_what_changed(
    trail: Trail, campaign: Campaign
) -> None:
    fine, _ = await approved(trail, campaign)
    waiting, _ = await submitted(trail, campaign)
    written = await drafts.create(trail, content_of(campaign), PASSES, by="marketer-1")

    async def sweep(rules: str, today: date) -> dict[str, str]:
        found = {campaign.id: campaign}
        done = await drafts.expire(trail, found, rules_version=rules, today=today, by="cli")
        return dict(done)

    assert await sweep(RULES, DAY) == {}
    assert await sweep("r1", DAY) == {fine.id: "void", waiting.id: "void"}
    told = (await drafts.history(trail, fine.id))[-1]
    assert (told.action, told.reason, told.by) == ("voided", "rules_changed", "cli")
    assert await sweep(RULES, date(2027, 2, 1)) == {written.id: "expired"}
    assert await sweep(RULES, date(2027, 2, 1)) == {}
    assert reason(await stands(trail, fine, campaign)) == "not_approved"
    done = await drafts.edit(
        trail,
        written.id,
        content_of(campaign, "再来{coupon}"),
        PASSES,
        by="marketer-1",
        seen=written.sha256,
        now=now(campaign, content_of(campaign)),
    )
    assert reason(done) == "wrong_state"


async def test_a_run_goes_by_an_approval_that_stands(trail: Trail, campaign: Campaign) -> None:
    draft, at = await approved(trail, campaign)
    with_run: dict[str, Any] = {
        "run_id": "0" * 32,
        "by": "cli",
        "campaign": campaign,
        "rules_version": RULES,
    }
    late = await drafts.export(trail, draft.id, **with_run, today=date(2027, 2, 1))
    assert reason(late) == "ended"
    for _ in range(2):
        done = await drafts.export(trail, draft.id, **with_run, today=DAY)
        assert isinstance(done, Draft)
        assert done.state == "exported"
    assert isinstance(await stands(trail, draft, campaign), Approved)
    gone = await drafts.withdraw(trail, draft.id, by="officer-2", seen=draft.sha256, now=at)
    assert isinstance(gone, Draft)
    assert gone.state == "void"
    assert reason(await stands(trail, draft, campaign)) == "not_approved"
    done = await drafts.export(trail, draft.id, **with_run, today=DAY)
    assert reason(done) == "not_approved"


async def test_nothing_is_sent_by_a_draft_that_is_not_there(
    trail: Trail, campaign: Campaign
) -> None:
    draft, at = await approved(trail, campaign)
    missing = replace(draft, id="f" * 32)
    assert reason(await stands(trail, missing, campaign)) == "unknown_draft"
    done = await drafts.approve(trail, missing.id, by="officer-1", seen=draft.sha256, now=at)
    assert reason(done) == "unknown_draft"


# What a changed database leaves


async def test_a_flipped_byte_anywhere_in_a_draft_ends_its_approval(
    trail: Trail, campaign: Campaign
) -> None:
    draft, at = await approved(trail, campaign)
    edited = content_of(campaign, "换一句{coupon}")
    for table, key in ((offer_drafts, "id"), (offer_versions, "draft_id")):
        async with trail.engine.connect() as connection:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            rows = await connection.execute(text(f"SELECT {names} FROM {table.name}"))
            (row,) = rows.all()
        for column, value in zip(table.columns, row, strict=True):
            if column.name == key:
                continue
            places = (
                [0] if isinstance(value, int) else range(0, len(value), max(1, len(value) // 3))
            )
            for place in places:
                other: Any = (
                    value + 1
                    if isinstance(value, int)
                    else value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
                )
                await put(trail, table.name, column.name, other)
                lapsed = await stands(trail, draft, campaign)
                assert reason(lapsed) == "tampered", f"{column.name} {place}"
                assert not (await verify(trail)).ok, column.name
                again = await drafts.edit(
                    trail, draft.id, edited, PASSES, by="marketer-1", seen=draft.sha256, now=at
                )
                assert reason(again) == "tampered", "or the chain would say that it is right"
                await put(trail, table.name, column.name, value)
    assert isinstance(await stands(trail, draft, campaign), Approved)
    assert (await verify(trail)).ok


async def put(trail: Trail, table: str, column: str, value: Any) -> None:
    """As somebody who can write to the database, and has no key."""
    async with trail.engine.connect() as connection:
        await connection.execute(text("PRAGMA foreign_keys = OFF"))
        await connection.execute(text(f'UPDATE {table} SET "{column}" = :v'), {"v": value})
        await connection.commit()
        await connection.execute(text("PRAGMA foreign_keys = ON"))


async def test_an_approval_made_up_in_the_database_is_none(
    trail: Trail, campaign: Campaign
) -> None:
    draft, _ = await submitted(trail, campaign)
    await put(trail, "offer_drafts", "state", "approved")
    assert reason(await stands(trail, draft, campaign)) == "tampered"
    # Nor is one with an entry of the chain that was made without the key.
    async with trail.engine.begin() as connection:
        last = (await audit.read_entries(trail.engine, limit=1000))[-1]
        body = json.loads(last.body) | {
            "action": "approved",
            "state": "approved",
            "by": "officer-1",
        }
        await connection.execute(
            insert(audit.audit_entries).values(
                seq=last.seq + 1,
                at=last.at,
                kind="offer",
                subject=draft.id,
                body=audit.canonical(body),
                prev_hash=last.hash,
                key_id=last.key_id,
                hash="0" * 64,
            )
        )
    assert reason(await stands(trail, draft, campaign)) == "tampered"
    assert not (await verify(trail)).ok


async def test_a_draft_put_into_the_database_is_found(trail: Trail, campaign: Campaign) -> None:
    draft, _ = await approved(trail, campaign)
    async with trail.engine.begin() as connection:
        held = (await connection.execute(select(offer_drafts))).one()._asdict()
        version = (await connection.execute(select(offer_versions))).one()._asdict()
        await connection.execute(insert(offer_drafts).values({**held, "id": "e" * 32}))
        await connection.execute(insert(offer_versions).values({**version, "draft_id": "e" * 32}))
    assert reason(await stands(trail, replace(draft, id="e" * 32), campaign)) == "tampered"
    verdict = await verify(trail)
    assert (verdict.ok, verdict.broken_at) == (False, "e" * 32)


async def test_a_draft_that_is_removed_is_missed(trail: Trail, campaign: Campaign) -> None:
    await approved(trail, campaign)
    async with trail.engine.begin() as connection:
        await connection.execute(text("DELETE FROM offer_versions"))
        await connection.execute(text("DELETE FROM offer_drafts"))
    assert not (await verify(trail)).ok


async def test_segments_results_suppressions_and_contacts_are_held_by_the_chain(
    trail: Trail,
) -> None:
    by = "marketer-1"
    await saved_segments.save(trail, "老客户", [Condition("open_loans", "is", 0)], by=by)
    rows = [Outcome("save", 10, 3), Outcome("holdout", 10, 1)]
    await campaign_results.keep(trail, "spring-2027", rows, by=by)
    await contacts.suppress(trail, "C1", reason="complaint", by="cli")
    run = await contacts.begin(trail, "spring-2027", {"file": "people.csv"}, by="cli")

    async def settle(_connection: Any) -> Any:
        one = contacts.Contact(contacts.handle(trail.keys, "C2"), "sms", "d", "", "2026-11-25")
        return [one], 1, 10, {"sent": 1}, "done"

    await contacts.write_chunk(trail, run, settle)
    assert (await verify(trail)).ok
    changes = {
        "saved_segments": ("content", "content || ' '"),
        "campaign_results": ("converted", "converted + 1"),
        "suppressions": ("channel", "'sms'"),
        "campaign_runs": ("rows_in", "rows_in + 1"),
        "contacts": ("at", "'2026-11-24'"),
    }
    for table, (column, to) in changes.items():
        for wrong in (f'UPDATE {table} SET "{column}" = {to}', f"DELETE FROM {table}"):
            async with trail.engine.connect() as connection:
                await connection.execute(text("PRAGMA foreign_keys = OFF"))
                held = (await connection.execute(text(f"SELECT * FROM {table}"))).mappings().all()
                await connection.execute(text(wrong))
                await connection.commit()
                verdict = await verify(trail)
                assert not verdict.ok, wrong
                assert verdict.reason
                await connection.execute(text(f"DELETE FROM {table}"))
                names = ", ".join(f'"{name}"' for name in held[0])
                slots = ", ".join(f":{name}" for name in held[0])
                await connection.execute(
                    text(f"INSERT INTO {table} ({names}) VALUES ({slots})"),
                    [dict(row) for row in held],
                )
                await connection.commit()
                await connection.execute(text("PRAGMA foreign_keys = ON"))
        assert (await verify(trail)).ok, table


async def test_a_segment_whose_conditions_were_changed_is_not_used(trail: Trail) -> None:
    saved = await saved_segments.save(
        trail, "老客户", [Condition("open_loans", "is", 0)], by="marketer-1"
    )
    assert await saved_segments.read_saved(trail.engine, saved.segment.id) == saved
    async with trail.engine.begin() as connection:
        await connection.execute(
            text("UPDATE saved_segments SET content = replace(content, ',0]', ',1]')")
        )
    assert await saved_segments.read_saved(trail.engine, saved.segment.id) is None
    assert (await saved_segments.list_saved(trail.engine))[0] == []


# Sequences of anything that may happen


FIRST, LAST = date(2026, 11, 16), date(2027, 1, 31)
NOON = timedelta(hours=12)


@dataclass
class Facts:
    """What is so, told from the rules and not from the program: whose text it is, what of it was
    agreed to, and what goes on around it."""

    author: str
    text: int = 1
    editor: str = ""
    campaign: int = 0
    rules: int = 0
    today: date = date(2026, 11, 10)
    consents: bool = True
    good: bool = True
    """Whether the rules let the text pass."""
    doubtful: bool = False
    """Whether they have something to say against it nevertheless."""
    written_for: tuple[int, int] = (0, 0)
    fresh: bool = True
    """Nothing was done since it was written."""
    waits: bool = False
    agreed: tuple[int, int, int] | None = None
    """(text, campaign, rules) that somebody else approved, while that holds."""
    put_away: bool = False
    ended: bool = False
    wrote: frozenset[str] | None = None
    """Everybody who wrote a version, which the store knows; None: the first and the last alone."""

    @property
    def over(self) -> bool:
        return self.today > LAST

    @property
    def current(self) -> bool:
        return self.written_for == (self.campaign, self.rules)

    @property
    def writers(self) -> frozenset[str]:
        return frozenset((self.author, self.editor)) | (self.wrote or frozenset())

    def may_send(self) -> bool:
        stamp = (self.text, self.campaign, self.rules)
        return self.agreed == stamp and FIRST <= self.today <= LAST and self.consents

    def does(self, deed: Deed) -> bool:
        """Take note of what somebody wants to do; whether it may be done."""
        match deed.what:
            case "edit":
                if deed.stale or self.ended or self.over:
                    return False
                self.text += 1
                self.editor, self.good, self.doubtful = deed.by, deed.good, deed.doubtful
                if self.wrote is not None:
                    self.wrote |= {deed.by}
                self.written_for = (self.campaign, self.rules)
                self.fresh, self.waits, self.agreed, self.put_away = True, False, None, False
                return True
            case "submit":
                may = (
                    self.fresh
                    and self.good
                    and self.current
                    and not (deed.stale or self.over or self.ended)
                    and (deed.says or not self.doubtful)
                )
                if may:
                    self.fresh, self.waits = False, True
                return may
            case "approve":
                may = (
                    self.waits
                    and self.current
                    and not (deed.stale or self.over)
                    and deed.by not in self.writers
                )
                if may:
                    self.waits, self.agreed = False, (self.text, self.campaign, self.rules)
                return may
            case "reject":
                may = self.waits and not deed.stale and deed.by not in self.writers and deed.says
                if may:
                    self.waits = False
                return may
            case "withdraw":
                may = not (deed.stale or self.put_away or self.ended)
                if may:
                    self.put_away, self.fresh, self.waits, self.agreed = True, False, False, None
                return may
            case "sweep":
                if self.put_away or self.ended:
                    return False
                if not self.current:
                    may = self.waits or self.agreed is not None
                    self.put_away = may
                elif self.over:
                    may = self.ended = True
                else:
                    may = False
                if may:
                    self.fresh, self.waits, self.agreed = False, False, None
                return may
        raise AssertionError(deed.what)


@dataclass(frozen=True)
class Deed:
    """Something that happens."""

    what: Literal[
        "edit", "submit", "approve", "reject", "withdraw", "sweep", "send", "consent", "campaign",
        "rules", "days",
    ]  # fmt: skip
    by: str = ""
    stale: bool = False
    """What was looked at is not what is there."""
    good: bool = True
    doubtful: bool = False
    says: bool = True
    days: int = 0


WEIGHTS = {
    "edit": 4,
    "submit": 10,
    "approve": 12,
    "reject": 1,
    "withdraw": 1,
    "sweep": 1,
    "send": 12,
    "consent": 2,
    "campaign": 1,
    "rules": 1,
    "days": 4,
}
KINDS = [*WEIGHTS]
HEAVY = [*WEIGHTS.values()]


def sequence(draw: random.Random) -> list[Deed]:
    return [
        Deed(
            kind,  # type: ignore[arg-type]
            PEOPLE[int(draw.random() * 4)],
            draw.random() < 0.1,
            draw.random() < 0.9,
            draw.random() < 0.2,
            draw.random() < 0.8,
            int(draw.random() * 12),
        )
        for kind in draw.choices(KINDS, HEAVY, k=18)
    ]


@dataclass
class World:
    """What goes on around a draft, as the program sees it."""

    campaign: Campaign
    bounds: Bounds
    person: Person
    content: Content
    today: date = date(2026, 11, 10)
    rules: int = 0

    def may_be_addressed(self) -> bool:
        at = datetime.combine(self.today, datetime.min.time(), self.bounds.zone) + NOON
        occasion = Occasion("sms", "marketing", True, at, self.campaign)
        return not refusals(self.person, occasion, self.bounds)

    def now(self) -> Now:
        return now_of(self.campaign, self.content, rules_version=f"r{self.rules}", today=self.today)

    def rewritten(self, text: int) -> Content:
        return replace(
            self.content,
            template=f"第{text}版{{coupon}}",
            campaign_version=self.campaign.version,
            rules_version=f"r{self.rules}",
        )

    def happens(self, deed: Deed, facts: Facts) -> None:
        match deed.what:
            case "consent":
                facts.consents = deed.says
                given = {("marketing", "sms"), ("profiling", "sms")} if deed.says else set()
                self.person = replace(self.person, consents=frozenset(given))
            case "campaign":
                facts.campaign += 1
                self.campaign = replace(self.campaign, version=f"{facts.campaign:064}")
            case "rules":
                facts.rules += 1
                self.rules += 1
            case "days":
                facts.today += timedelta(days=deed.days)
                self.today = facts.today


def checked(deed: Deed) -> Check:
    return BLOCKED if not deed.good else WARNED if deed.doubtful else PASSES


def begun(campaign: Campaign, bounds: Bounds) -> tuple[World, Facts]:
    number = next(n for n in range(1000) if not held_out(campaign.id, f"C{n}", campaign.holdout))
    person = Person(
        id=f"C{number}",
        name="王芳",
        birth_date=date(1990, 1, 1),
        student=False,
        region="330000",
        consents=frozenset({("marketing", "sms"), ("profiling", "sms")}),
        opted_out=frozenset(),
        suppressed="",
        days_overdue=0,
        disputed=False,
        hardship=False,
        debt_share=Decimal("0.1"),
        open_loans=0,
        outstanding_cny=Decimal(0),
        months_since_loan=8,
        since=date(2020, 1, 1),
        sent=(),
        coupons_held=(),
    )
    same = replace(campaign, version=f"{0:064}")
    world = World(same, bounds, person, content_of(same))
    return world, Facts("marketer-1", editor="marketer-1")


ACTIONS = {
    "edit": "edited",
    "submit": "submitted",
    "approve": "approved",
    "reject": "rejected",
    "withdraw": "withdrawn",
}


def walk(deeds: list[Deed], world: World, facts: Facts) -> tuple[int, int]:
    """Go through a sequence by the pure functions alone; how often something was sent, and how
    often it was not to be."""
    held = Held(
        "checked",
        "marketer-1",
        "marketer-1",
        "text 1",
        world.campaign.version,
        "r0",
        True,
    )
    approval: Approval | None = None
    sent = kept = 0
    for deed in deeds:
        now = world.now()
        if deed.what in ACTIONS:
            comment = "好" if deed.says else ""
            seen = "another" if deed.stale else held.sha256
            step = Step(
                ACTIONS[deed.what],  # type: ignore[arg-type]
                deed.by,
                seen,
                comment,
                new_sha256=f"text {facts.text + 1}",
                new_passes=checked(deed).passes,
            )
            outcome = decide(held, step, now)
            done = outcome in drafts.STATES
            assert done == facts.does(deed), (deed, held, outcome)
            if not done:
                continue
            held = replace(held, state=outcome)
            approval = Approval(held.sha256, deed.by) if deed.what == "approve" else None
            if deed.what == "edit":
                held = replace(
                    held,
                    sha256=step.new_sha256,
                    editor=deed.by,
                    campaign_version=world.campaign.version,
                    rules_version=f"r{world.rules}",
                    passes=checked(deed).passes,
                    open_rules=checked(deed).open_rules,
                )
        elif deed.what == "sweep":
            why = lapse(held, now)
            action: Any = "expired" if why == "ended" else "voided"
            outcome = decide(held, Step(action, "cli", held.sha256), now)
            assert (outcome in drafts.STATES) == facts.does(deed), (deed, held, outcome)
            if outcome in drafts.STATES:
                held, approval = replace(held, state=outcome), None
        elif deed.what == "send":
            goes = unfit(held, approval, now) is None and world.may_be_addressed()
            assert goes == facts.may_send(), (deed, held, approval, facts)
            sent, kept = sent + goes, kept + (not goes)
        else:
            world.happens(deed, facts)
    return sent, kept


async def walk_store(
    deeds: list[Deed], world: World, facts: Facts, trail: Trail
) -> tuple[int, int]:
    """The same through the store, whose every answer has to be that of the rules."""
    draft = await drafts.create(trail, world.content, PASSES, by="marketer-1")
    facts.wrote = frozenset({"marketer-1"})
    sent = kept = 0
    for deed in deeds:
        if deed.what in ACTIONS:
            seen = "another" if deed.stale else draft.sha256
            said: dict[str, Any] = {"by": deed.by, "seen": seen, "now": world.now()}
            if deed.what == "edit":
                new = world.rewritten(facts.text + 1)
                done = await drafts.edit(trail, draft.id, new, checked(deed), **said)
            else:
                step = getattr(drafts, deed.what)
                done = await step(trail, draft.id, **said, comment="好" if deed.says else "")
            assert isinstance(done, Draft) == facts.does(deed), (deed, done)
            if isinstance(done, Draft):
                draft = done
                world.content = done.content
        elif deed.what == "sweep":
            swept = await drafts.expire(
                trail,
                {world.campaign.id: world.campaign},
                rules_version=f"r{world.rules}",
                today=world.today,
                by="cli",
                only=(draft.id,),
            )
            assert bool(swept) == facts.does(deed)
        elif deed.what == "send":
            found = await drafts.standing(
                trail,
                draft.id,
                campaign=world.campaign,
                rules_version=f"r{world.rules}",
                today=world.today,
            )
            goes = isinstance(found, Approved) and world.may_be_addressed()
            assert goes == facts.may_send(), (deed, found, facts)
            sent, kept = sent + goes, kept + (not goes)
        else:
            world.happens(deed, facts)
    return sent, kept


def test_nothing_is_sent_without_approval_consent_and_offer(
    campaign: Campaign, bounds: Bounds
) -> None:
    draw = random.Random(20261125)
    counts = [walk(sequence(draw), *begun(campaign, bounds)) for _ in range(3000)]
    sent, kept = map(sum, zip(*counts, strict=True))
    assert sent > 300, "some of it is sent"
    assert kept > 2000


async def test_the_store_keeps_to_the_rules(
    trail: Trail, campaign: Campaign, bounds: Bounds
) -> None:
    sent, kept = await through_the_store(trail, campaign, bounds, 20)
    assert sent
    assert kept > 20


async def through_the_store(
    trail: Trail, campaign: Campaign, bounds: Bounds, sequences: int
) -> tuple[int, int]:
    draw = random.Random(8)
    sent = kept = 0
    for _ in range(sequences):
        did = await walk_store(sequence(draw), *begun(campaign, bounds), trail)
        sent, kept = sent + did[0], kept + did[1]
    verdict = await verify(trail)
    assert verdict.ok, verdict
    return sent, kept
