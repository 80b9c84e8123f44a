"""The queue itself: steps, two who take the same one, numbers, the chain, and what is erased."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, update

from assistant import audit, copilot_store, handoff, journal
from assistant.audit import Trail
from assistant.audit_export import export
from assistant.db import (
    conversations,
    copilot_events,
    handoff_events,
    handoffs,
    migrate,
    open_engine,
)
from assistant.desk_plan import DeskPlan, load_desk
from assistant.handoff import Declined, Handoff, HandoffEvent, Member
from assistant.staff import create_account, find_account

from .databases import new_database, postgresql  # noqa: F401
from .test_audit import run

OPEN = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)  # noon in Shanghai
NIGHT = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)
PHONE = "13812345678"


def sample() -> DeskPlan:
    plan = load_desk()
    assert plan is not None
    return plan


PLAN = sample()


STAFF = {
    "ling": "agent",
    "wei": "agent",
    "hua": "agent",
    "mark": "marketer",
    "boss": "supervisor",
}
"""Login -> role; passwords take long to hash, so that all accounts are made once."""


@dataclass(frozen=True)
class Founded:
    """A folder with a database at the newest schema, in which the staff are known."""

    folder: Path
    server: str
    """Of PostgreSQL; empty where the database lies in the folder."""
    url: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def founded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Founded:
    folder = tmp_path_factory.mktemp("founded")
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else ""
    url = asyncio.run(new_database(server)) if server else ""

    async def found() -> None:
        opened = open_trail(folder, url)
        await migrate(opened.engine)
        await audit.found(opened)
        for login, role in STAFF.items():
            name, words = f"客服{login}", "a long enough passphrase"
            await create_account(opened, login, name, [role], words)
        await opened.engine.dispose()

    asyncio.run(found())
    return Founded(folder, server, url)


def open_trail(folder: Path, url: str = "") -> Trail:
    engine = open_engine(url or f"sqlite+aiosqlite:///{folder / 'zhunxin.db'}")
    return Trail(engine, audit.open_keys(folder / "key"), folder / "heads.jsonl")


@pytest.fixture
async def trail(founded: Founded, tmp_path: Path) -> AsyncIterator[Trail]:
    shutil.copytree(founded.folder, tmp_path, dirs_exist_ok=True)
    url = await new_database(founded.server, like=founded.url) if founded.server else ""
    opened = open_trail(tmp_path, url)
    yield opened
    await opened.engine.dispose()


async def agent(trail: Trail, login: str = "ling") -> Member:
    account = await find_account(trail.engine, login)
    return Member(account.id, account.login, frozenset(account.roles))


async def ask(trail: Trail, now: datetime = OPEN, plan: DeskPlan = PLAN, **more: Any) -> Handoff:
    asked: dict[str, Any] = {"conversation_id": "", "subject": "", "locale": "zh-Hans"}
    made = await handoff.ask(trail, plan, **{**asked, **more}, now=now)
    assert isinstance(made, Handoff)
    return made


async def take(trail: Trail, handoff_id: str, by: Member) -> Handoff:
    taken = await handoff.take(trail, PLAN, handoff_id, by)
    assert isinstance(taken, Handoff)
    return taken


async def test_of_two_agents_in_two_processes_exactly_one_takes_each(
    trail: Trail, tmp_path: Path
) -> None:
    agents = [await agent(trail, login) for login in ("ling", "wei", "hua")]
    waiting = [await ask(trail) for _ in range(8)]
    engines = [open_engine(str(trail.engine.url)) for _ in agents]
    trails = [Trail(engine, trail.keys, trail.heads) for engine in engines]
    for each in waiting:
        outcomes = await asyncio.gather(
            *(handoff.take(own, PLAN, each.id, by) for own, by in zip(trails, agents, strict=True))
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, Handoff)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, Declined)]
        assert len(won) == 1
        assert {refusal.code for refusal in lost} == {"handoff_taken"}
        assert {refusal.values["name"] for refusal in lost} == {won[0].taken_by_name}
    for engine in engines:
        await engine.dispose()
    events = await handoff.read_events(trail.engine)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sum(event.kind == "taken" for event in events) == len(waiting)
    assert (await audit.verify(trail)).ok


async def test_two_tabs_that_ask_at_once_wait_once(trail: Trail) -> None:
    first = await ask(trail)
    left = await handoff.leave(trail, first.id)
    assert isinstance(left, Handoff)
    asked = await asyncio.gather(
        *(ask(trail, conversation_id=first.conversation_id) for _ in range(5))
    )
    assert len({each.id for each in asked}) == 1
    assert asked[0].id != first.id


async def test_the_worst_is_first_then_who_came_first_and_places_are_counted_so(
    trail: Trail,
) -> None:
    first = await ask(trail, OPEN)
    second = await ask(trail, OPEN + timedelta(minutes=1))
    complaint = await ask(trail, OPEN + timedelta(minutes=2), classes=("complaint",))
    crisis = await ask(trail, OPEN + timedelta(minutes=3), classes=("crisis", "complaint"))
    waiting = await handoff.queue(trail.engine)
    assert [each.id for each in waiting] == [crisis.id, complaint.id, first.id, second.id]
    assert [handoff.ahead_of(PLAN, waiting, each) for each in waiting] == [0, 1, 2, 3]
    raised = await ask(trail, conversation_id=second.conversation_id, classes=("fraud",))
    assert (raised.id, raised.classes, raised.skill) == (second.id, ("fraud",), "safety")
    waiting = await handoff.queue(trail.engine)
    assert [each.id for each in waiting][:2] == [crisis.id, second.id]


async def test_outside_the_hours_one_has_a_ticket_and_inside_them_a_place(trail: Trail) -> None:
    ticket = await ask(trail, NIGHT)
    assert ticket.state == "ticket"
    assert ticket.promised_at == datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
    still = await ask(trail, NIGHT, conversation_id=ticket.conversation_id)
    assert (still.id, still.state) == (ticket.id, "ticket")
    morning = NIGHT + timedelta(hours=11)
    queued = await ask(trail, morning, conversation_id=ticket.conversation_id)
    assert (queued.id, queued.state, queued.promised_at) == (ticket.id, "waiting", None)


async def test_who_still_waits_at_closing_time_has_a_ticket(trail: Trail) -> None:
    waits = await ask(trail)
    assert await handoff.close_for_today(trail, PLAN, OPEN) == 0
    counted = await asyncio.gather(*(handoff.close_for_today(trail, PLAN, NIGHT) for _ in range(3)))
    assert sum(counted) == 1
    now = await handoff.read_handoff(trail.engine, waits.id)
    assert now is not None
    assert now.state == "ticket"
    assert now.promised_at == datetime(2026, 11, 27, 4, 0, tzinfo=UTC)


async def test_where_too_many_wait_one_has_a_ticket(trail: Trail, tmp_path: Path) -> None:
    file = tmp_path / "desk.toml"
    shipped = Path(handoff.__file__).parent.parent / "knowledge" / "desk.toml"
    file.write_text(shipped.read_text("utf-8").replace("most_waiting = 200", "most_waiting = 1"))
    plan = load_desk(file)
    assert plan is not None
    first = await ask(trail, plan=plan)
    late = await ask(trail, plan=plan)
    assert (first.state, late.state) == ("waiting", "ticket")
    again = await ask(trail, plan=plan, conversation_id=late.conversation_id)
    assert again.state == "ticket", "asking twice is no way around"
    danger = await ask(trail, plan=plan, classes=("crisis",))
    assert danger.state == "waiting", "danger to life waits for no room"
    told = await ask(trail, plan=plan, conversation_id=late.conversation_id, classes=("crisis",))
    assert (told.id, told.state) == (late.id, "waiting")
    at_night = await ask(trail, NIGHT, plan=plan, classes=("crisis",))
    assert at_night.state == "ticket", "where nobody is there, nobody is said to come"


async def test_somebody_is_free_who_is_there_has_the_skill_and_nobody_else(trail: Trail) -> None:
    ling, boss, mark = [await agent(trail, login) for login in ("ling", "boss", "mark")]
    first, second = await ask(trail), await ask(trail)

    async def free(*present: Member) -> bool:
        return handoff.is_anyone_free(PLAN, second, await handoff.queue(trail.engine), present)

    assert not await free()
    assert not await free(mark)
    assert await free(mark, ling)
    await take(trail, first.id, ling)
    assert not await free(ling)
    assert await free(ling, boss)


async def test_who_loses_their_agent_waits_where_they_were(trail: Trail) -> None:
    ling, wei = await agent(trail), await agent(trail, "wei")
    waits = await ask(trail, OPEN, classes=("complaint",))
    await ask(trail, OPEN + timedelta(minutes=1), classes=("complaint",))
    await ask(trail, OPEN + timedelta(minutes=2))
    taken = await take(trail, waits.id, ling)
    back = await handoff.lose(trail, taken)
    assert isinstance(back, Handoff)
    assert (back.state, back.taken_by, back.priority) == ("waiting", "", waits.priority)
    assert (await handoff.queue(trail.engine))[0].id == waits.id
    last = (await handoff.newest_events(trail.engine, waits.conversation_id))[-1]
    assert (last.kind, last.speaker, last.name) == ("requeued", "assistant", "客服ling")
    await take(trail, waits.id, wei)
    assert isinstance(await handoff.lose(trail, taken), Declined), "somebody else has them now"
    assert (await audit.verify(trail)).ok


async def test_a_deleted_conversation_has_no_hand_over_and_nobody_writes_in_it(
    trail: Trail,
) -> None:
    ling, boss = await agent(trail), await agent(trail, "boss")
    waits = await ask(trail)
    talk = waits.conversation_id
    await take(trail, waits.id, ling)
    await handoff.write(trail, waits.id, "你好")
    kept = await handoff.hold(trail, waits.id, ling, "一定能批", told={})
    assert isinstance(kept, HandoffEvent)
    await journal.forget(trail, talk, "")
    ended = await handoff.read_handoff(trail.engine, waits.id)
    assert ended is not None
    assert (ended.state, ended.ending) == ("returned", handoff.DELETED)
    over, nobodys = Declined("handoff_over"), Declined("unknown_conversation")
    assert await handoff.write(trail, waits.id, "还在吗") == over
    assert await handoff.leave_contact(trail, waits.id, PHONE) == over
    assert await handoff.reply(trail, waits.id, ling, "您好", told={}) == over
    assert await handoff.judge(trail, kept.id, boss, release=True, reason="可以") == over
    assert await handoff.take(trail, PLAN, waits.id, ling) == over
    asked: dict[str, Any] = {"conversation_id": talk, "subject": "", "locale": "zh-Hans"}
    assert await handoff.ask(trail, PLAN, **asked, now=OPEN) == nobodys
    events = await handoff.read_events(trail.engine, conversation_id=talk)
    assert all(event.erased and not event.text for event in events)
    assert (await audit.verify(trail)).ok


async def under_the_lock(trail: Trail, change: Any, step: Any) -> Any:
    """What comes of a step that begins before a change is made, and is made after it."""
    async with trail.engine.begin() as connection:
        await audit.lock(connection)
        under_way = asyncio.create_task(step)
        for _ in range(30):  # far more than it reads before it waits for the lock
            await handoff.last_seq(trail.engine)
        await connection.execute(change)
    return await under_way


async def test_a_step_goes_by_what_is_there_when_it_is_made(trail: Trail) -> None:
    ling, boss, mark = [await agent(trail, login) for login in ("ling", "boss", "mark")]
    waits = await ask(trail)
    await take(trail, waits.id, ling)
    kept = await handoff.hold(trail, waits.id, ling, "一定能批", told={})
    assert isinstance(kept, HandoffEvent)
    erased = update(handoff_events).where(handoff_events.c.id == kept.id)
    judged = handoff.judge(trail, kept.id, boss, release=True, reason="可以")
    change = erased.values(text="", salt=None, erased_seq=1)
    assert await under_the_lock(trail, change, judged) == Declined("handoff_over")

    left = await handoff.leave(trail, waits.id)
    assert isinstance(left, Handoff)
    talk = update(conversations).where(conversations.c.id == waits.conversation_id)
    asked = handoff.ask(
        trail,
        PLAN,
        conversation_id=waits.conversation_id,
        subject="",
        locale="zh-Hans",
        now=OPEN,
    )
    change = talk.values(subject=audit.NOBODY)
    assert await under_the_lock(trail, change, asked) == Declined("unknown_conversation")

    other = await ask(trail)
    plan = PLAN
    easy = replace(plan.skills["general"], roles=frozenset({"marketer"}))
    plan = replace(plan, skills={**plan.skills, "general": easy})
    taking = handoff.take(trail, plan, other.id, mark)
    change = update(handoffs).where(handoffs.c.id == other.id).values(skill="safety")
    refused = await under_the_lock(trail, change, taking)
    assert refused == Declined("handoff_skill", {"skill": "safety"})


async def test_the_newest_events_are_read_and_then_those_before_them(trail: Trail) -> None:
    waits = await ask(trail)
    talk = waits.conversation_id
    for number in range(6):
        await handoff.write(trail, waits.id, f"第{number}句")
    await handoff.leave_contact(trail, waits.id, PHONE)
    newest = await handoff.newest_events(trail.engine, talk, limit=3)
    assert [event.text for event in newest] == ["第4句", "第5句", ""]
    before = await handoff.newest_events(trail.engine, talk, before=newest[0].seq, limit=3)
    assert [event.text for event in before] == ["第1句", "第2句", "第3句"]
    assert await handoff.last_said(trail.engine, talk) == "第5句"
    assert await handoff.last_contact(trail.engine, waits.id) == PHONE


async def test_a_step_is_made_only_from_where_it_leads_on(trail: Trail) -> None:
    ling, wei = await agent(trail), await agent(trail, "wei")
    boss = await agent(trail, "boss")
    waits = await ask(trail)

    async def code(step: Any) -> str:
        made = await step
        return made.code if isinstance(made, Declined) else "made"

    told: dict[str, Any] = {"told": {}}
    assert await code(handoff.reply(trail, waits.id, ling, "您好", **told)) == "handoff_over"
    assert await code(handoff.give_back(trail, waits.id, ling)) == "handoff_over"
    assert await code(handoff.take(trail, PLAN, "0" * 32, ling)) == "handoff_unknown"
    await take(trail, waits.id, ling)
    assert await code(handoff.take(trail, PLAN, waits.id, ling)) == "handoff_yours"
    assert await code(handoff.reply(trail, waits.id, wei, "您好", **told)) == "handoff_not_yours"
    assert await code(handoff.close(trail, waits.id, wei, "solved")) == "handoff_not_yours"
    assert await code(handoff.reply(trail, waits.id, boss, "您好", **told)) == "handoff_not_yours"
    assert await code(handoff.requeue(trail, waits.id, boss)) == "made"
    await take(trail, waits.id, wei)
    assert await code(handoff.close(trail, waits.id, wei, "solved")) == "made"
    assert await code(handoff.close(trail, waits.id, wei, "solved")) == "handoff_over"
    assert await code(handoff.write(trail, waits.id, "还在吗")) == "handoff_over"
    assert await code(handoff.leave(trail, waits.id)) == "handoff_over"


async def test_who_lacks_the_skill_does_not_take_and_a_supervisor_does(trail: Trail) -> None:
    marketer = await agent(trail, "mark")
    boss = await agent(trail, "boss")
    waits = await ask(trail, classes=("complaint",))
    refused = await handoff.take(trail, PLAN, waits.id, marketer)
    assert refused == Declined("handoff_skill", {"skill": "complaints"})
    await take(trail, waits.id, boss)


async def test_a_message_that_is_sent_again_is_kept_once(trail: Trail) -> None:
    waits, other = await ask(trail), await ask(trail)
    sent = await handoff.write(trail, waits.id, "你好", "a" * 32)
    again = await handoff.write(trail, waits.id, "你好", "a" * 32)
    assert isinstance(sent, HandoffEvent)
    assert sent == again
    stolen = await handoff.write(trail, other.id, "你好", "a" * 32)
    assert stolen == Declined("handoff_unknown")


async def test_a_held_message_is_judged_once_and_sent_in_the_name_of_who_wrote_it(
    trail: Trail,
) -> None:
    ling, boss = await agent(trail), await agent(trail, "boss")
    waits = await ask(trail)
    await take(trail, waits.id, ling)
    told = {"findings": [{"rule": "X-1", "severity": "block"}]}
    kept = await handoff.hold(trail, waits.id, ling, "一定能批", told=told)
    assert isinstance(kept, HandoffEvent)
    assert [event.id for event in await handoff.held(trail.engine)] == [kept.id]
    outcomes = await asyncio.gather(
        *(
            handoff.judge(trail, kept.id, boss, release=True, reason="已核实，可以这样说")
            for _ in range(2)
        )
    )
    sent = next(each for each in outcomes if isinstance(each, HandoffEvent))
    assert [each.code for each in outcomes if isinstance(each, Declined)] == ["handoff_judged"]
    assert (sent.kind, sent.staff_id, sent.text) == ("message", ling.staff_id, "一定能批")
    assert sent.told["override_by"] == boss.staff_id
    assert await handoff.held(trail.engine) == []
    kinds = [event.kind for event in await handoff.read_events(trail.engine)]
    assert kinds == ["asked", "taken", "held", "released", "message"]


async def talked(trail: Trail) -> Handoff:
    """A hand-over with a way to reach the borrower and a message of each side."""
    ling = await agent(trail)
    waits = await ask(trail)
    await handoff.leave_contact(trail, waits.id, PHONE)
    await handoff.write(trail, waits.id, f"我叫王小明，电话{PHONE}")
    await take(trail, waits.id, ling)
    await handoff.reply(trail, waits.id, ling, "您好，我来处理", told={})
    closed = await handoff.close(trail, waits.id, ling, "solved")
    assert isinstance(closed, Handoff)
    return closed


async def test_what_is_said_is_stored_masked_and_the_chain_holds_all_of_it(trail: Trail) -> None:
    done = await talked(trail)
    events = await handoff.read_events(trail.engine, conversation_id=done.conversation_id)
    said = next(event for event in events if event.kind == "message")
    assert PHONE not in said.text
    assert "王小明" not in said.text
    assert any(event.contact == PHONE for event in events)
    assert (await audit.verify(trail)).ok
    entries = [e for e in await audit.read_entries(trail.engine) if e.kind == "handoff"]
    assert [entry.subject for entry in entries] == [event.id for event in events]
    assert not any(PHONE in entry.body for entry in entries)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (update(handoff_events).where(handoff_events.c.seq == 5).values(text="别的话"), "text"),
        (update(handoff_events).where(handoff_events.c.seq == 2).values(contact="1"), "contact"),
        (update(handoff_events).where(handoff_events.c.seq == 4).values(staff_id="x"), "staff_id"),
        (update(handoff_events).where(handoff_events.c.seq == 3).values(erased_seq=1), "erased"),
        (delete(handoff_events).where(handoff_events.c.seq == 5), "gone"),
        (update(handoffs).values(state="waiting"), "does not stand"),
    ],
    ids=["words", "contact", "agent", "marked erased", "removed", "state"],
)
async def test_a_change_of_what_was_entered_is_found(trail: Trail, change: Any, told: str) -> None:
    await talked(trail)
    async with trail.engine.begin() as connection:
        await connection.execute(change)
    verdict = await audit.verify(trail)
    assert not verdict.ok
    assert told in verdict.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (delete(handoffs), "is gone, or is of another conversation"),
        (update(handoffs).values(conversation_id="another"), "is of another conversation"),
        (update(handoff_events).values(handoff_id="another"), "'handoff_id' of event"),
        (update(handoffs).values(priority=99), "'priority' of hand-over"),
        (update(handoffs).values(skill="another"), "'skill' of hand-over"),
        (update(handoffs).values(classes=[]), "'classes' of hand-over"),
        (update(handoffs).values(asked_at=datetime(2030, 1, 1, tzinfo=UTC)), "'asked_at' of"),
    ],
    ids=["removed", "conversation", "events", "priority", "skill", "classes", "time"],
)
async def test_who_waits_is_held_against_the_events(trail: Trail, change: Any, told: str) -> None:
    waits = await ask(trail)
    raised = await ask(trail, conversation_id=waits.conversation_id, classes=("complaint",))
    assert raised.classes != waits.classes
    assert (await audit.verify(trail)).ok
    await run(trail, change)
    verdict = await audit.verify(trail)
    assert not verdict.ok
    assert told in verdict.reason


async def test_another_taker_than_the_events_name_is_found(trail: Trail) -> None:
    waits = await ask(trail)
    await take(trail, waits.id, await agent(trail))
    async with trail.engine.begin() as connection:
        await connection.execute(update(handoffs).values(taken_by="somebody"))
    assert not (await audit.verify(trail)).ok


async def test_an_erasure_takes_what_was_said_and_the_contact_and_the_chain_holds(
    trail: Trail,
) -> None:
    done = await talked(trail)
    erased = await audit.erase(trail, conversation_id=done.conversation_id, by="test")
    events = await handoff.read_events(trail.engine, conversation_id=done.conversation_id)
    assert erased == len(events)
    assert all(event.erased and not event.text and not event.contact for event in events)
    assert (await audit.verify(trail)).ok
    async with trail.engine.begin() as connection:
        await connection.execute(update(handoff_events).values(text="back again"))
    assert not (await audit.verify(trail)).ok


async def test_the_export_holds_what_both_said_and_not_the_contact(
    trail: Trail, tmp_path: Path
) -> None:
    done = await talked(trail)
    out = tmp_path / "out"
    written = await export(trail, out, conversation_id=done.conversation_id, by="test")
    assert (written.conversations, written.broken) == (1, 0)
    lines = [json.loads(line) for line in (out / "handoffs.jsonl").read_text("utf-8").splitlines()]
    assert [line["event"]["kind"] for line in lines] == [
        "asked",
        "contact",
        "message",
        "taken",
        "message",
        "closed",
    ]
    assert all(line["entries"] for line in lines)
    page = (out / "conversations" / f"{done.conversation_id}.html").read_text("utf-8")
    assert "您好，我来处理" in page
    for file in out.rglob("*.*"):
        assert PHONE not in file.read_text("utf-8")


@pytest.mark.parametrize("change", ["deleted", "moved", "later"])
@pytest.mark.parametrize("file", ["handoffs.jsonl", "copilot.jsonl"])
async def test_what_somebody_hid_of_a_talk_has_its_place_in_the_export(
    trail: Trail, tmp_path: Path, file: str, change: str
) -> None:
    talk = (await talked(trail)).conversation_id
    told: Any = {"conversation_id": talk, "kind": "sent", "text": "您好", "told": {}}
    await copilot_store.note(trail, **told)
    await copilot_store.note(trail, **told)
    await export(trail, tmp_path / "before", conversation_id=talk, by="test")
    before = (tmp_path / "before" / file).read_text("utf-8").splitlines()
    table = handoff_events if file == "handoffs.jsonl" else copilot_events
    own = table.c.id == json.loads(before[-1])["event"]["id"]
    statement: Any = {
        "deleted": delete(table).where(own),
        "moved": update(table).where(own).values(conversation_id="elsewhere"),
        "later": update(table).where(own).values(at=OPEN + timedelta(days=99)),
    }[change]
    async with trail.engine.begin() as connection:
        await connection.execute(statement)
    done = await export(trail, tmp_path / "out", conversation_id=talk, by="test")
    after = [json.loads(line) for line in (tmp_path / "out" / file).read_text().splitlines()]
    assert (len(after), done.broken) == (len(before), 1)
    assert after[-1]["event"]["id"] == json.loads(before[-1])["event"]["id"]
    assert ("gone" in after[-1]["broken"]) == (change == "deleted")
    assert (tmp_path / "out" / "conversations" / f"{talk}.html").is_file()


async def test_the_page_tells_what_was_held_from_what_was_sent(
    trail: Trail, tmp_path: Path
) -> None:
    ling, boss = await agent(trail, "ling"), await agent(trail, "boss")
    waits = await ask(trail)
    await take(trail, waits.id, ling)
    told = {"findings": [{"rule": "X-1", "severity": "block"}]}
    for text, release in (("百分百下款", False), ("一定能批", True)):
        kept = await handoff.hold(trail, waits.id, ling, text, told=told)
        assert isinstance(kept, HandoffEvent)
        await handoff.judge(trail, kept.id, boss, release=release, reason="违规")
    open_still = await handoff.hold(trail, waits.id, ling, "包过", told=told)
    assert isinstance(open_still, HandoffEvent)
    await handoff.reply(trail, waits.id, ling, "以审批结果为准", told={})
    await export(
        trail,
        tmp_path / "out",
        conversation_id=waits.conversation_id,
        by="test",
        titles={"X-1": "不得保证通过"},
    )
    (file,) = (tmp_path / "out" / "conversations").iterdir()
    events = [re.sub(r"\s+", " ", part) for part in file.read_text("utf-8").split("<h3>")[1:]]
    (refused,) = [part for part in events if "百分百下款" in part]
    assert "未发送给借款人：被规则拦下，主管拒绝放行" in refused
    row = re.search(r"第 (\d+) 条 <code>", refused)
    assert "X-1 不得保证通过" in refused
    assert 'class="said unsent"' in refused
    held, sent = [part for part in events if "一定能批" in part]
    assert "主管随后放行" in held
    assert 'class="said unsent"' in held
    assert 'class="said"' in sent
    assert "已发送给借款人：经主管放行" in sent
    (waiting,) = [part for part in events if "包过" in part]
    assert "没有主管放行" in waiting
    judged = [part for part in events if "违规" in part]
    assert len(judged) == 2
    assert all("主管" in part and "理由：违规" in part for part in judged)
    assert not any('class="said' in part for part in judged), "nobody said it to the borrower"
    assert row
    assert f"针对链上第 {row[1]} 条的消息" in judged[0]
    (proper,) = [part for part in events if "以审批结果为准" in part]
    assert "未发送" not in proper


async def test_nobody_asks_in_anothers_conversation(trail: Trail) -> None:
    mine = await ask(trail, subject="s" * 64)
    for subject in ("", "t" * 64):
        refused = await handoff.ask(
            trail,
            PLAN,
            conversation_id=mine.conversation_id,
            subject=subject,
            locale="zh-Hans",
            now=OPEN,
        )
        assert refused == Declined("unknown_conversation")
        assert not await handoff.owns(trail.engine, mine.conversation_id, subject)
        assert not await handoff.is_with_agent(trail.engine, mine.conversation_id, subject)


async def test_why_a_customer_was_handed_over_is_known_of_them_alone(trail: Trail) -> None:
    first = await ask(trail, OPEN, subject="a" * 64, classes=("hardship",))
    await handoff.leave(trail, first.id)
    await ask(trail, OPEN, subject="b" * 64, classes=("complaint",))
    await ask(trail, OPEN, classes=("crisis",))

    async def reasons(subject: str, since: datetime = OPEN) -> frozenset[str]:
        return await handoff.reasons_of(trail.engine, subject, since)

    assert await reasons("a" * 64) == {"hardship"}
    assert await reasons("b" * 64) == {"complaint"}
    assert await reasons("c" * 64) == frozenset()
    assert await reasons("a" * 64, OPEN + timedelta(seconds=1)) == frozenset()
    assert await handoff.subjects_of(trail.engine, "hardship", OPEN) == {"a" * 64}
    later = OPEN + timedelta(seconds=1)
    assert await handoff.subjects_of(trail.engine, "hardship", later) == frozenset()


async def test_a_database_that_is_gone_is_told_as_a_queue_that_cannot_be_used(
    trail: Trail,
) -> None:
    async with trail.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE handoff_events")
    with pytest.raises(handoff.QueueUnavailable):
        await ask(trail)
    with pytest.raises(handoff.QueueUnavailable):
        await handoff.read_events(trail.engine)


async def test_a_database_that_cannot_be_reached_is_told_as_a_queue_that_cannot_be_used(
    trail: Trail,
) -> None:
    engine = open_engine(str(trail.engine.url))

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse(*_: Any) -> None:
        raise ConnectionRefusedError(111, "nobody is there")

    with pytest.raises(handoff.QueueUnavailable):
        await handoff.queue(engine)
    with pytest.raises(handoff.QueueUnavailable):
        await ask(Trail(engine, trail.keys, trail.heads))
    await engine.dispose()
