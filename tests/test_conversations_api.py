"""History over HTTP: read, taken along and deleted by whose it is, and by nobody else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from assistant import audit, db
from assistant.deps import open_deps
from assistant.replay import Player
from prompts.render import notice

from .conftest import settings_for
from .test_identity import ALICE, BOB, SECRET, Served, as_borrower, problem_of, serving

FIRST = "安心贷提前还款要违约金吗，我的手机号是13812345678"
HISTORY = "/v1/conversations"


@pytest.fixture
async def served(sample_home: Path) -> AsyncIterator[Served]:
    settings = settings_for(
        sample_home,
        ZHUNXIN_TOKEN_SECRET=SECRET,
        ZHUNXIN_TOKEN_ISSUER="lender-app",
        ZHUNXIN_REQUESTS_PER_MINUTE="200",
    )
    async with open_deps(settings) as deps, serving(deps) as opened:
        yield opened


def headers(who: str) -> dict[str, str]:
    return as_borrower(who) if who else {}


async def talk(served: Served, who: str) -> str:
    first = (await served.ask(FIRST, who)).json()
    after = await served.ask("那随心借呢", who, conversation_id=first["conversation_id"])
    assert after.json()["understood"][0].startswith("随心借提前还款要违约金吗")
    return str(first["conversation_id"])


async def test_a_client_is_told_what_is_asked_for(served: Served) -> None:
    asked = (await served.ask("借2万分12期每个月还多少", "")).json()
    assert asked["asked_for"] == ["annual_rate"]
    given = await served.ask("13.2%", "", conversation_id=asked["conversation_id"])
    assert given.json()["status"] == "answered"
    assert "asked_for" not in given.json()


async def test_history_is_read_and_exported_by_its_owner_alone(served: Served) -> None:
    begun = {who: await talk(served, who) for who in (ALICE, BOB, "")}
    for owner, conversation_id in begun.items():
        for who in begun:
            for path in ("", "/export", "/export?format=html"):
                url = f"{HISTORY}/{conversation_id}{path}"
                answer = await served.client.get(url, headers=headers(who))
                if who == owner:
                    assert answer.status_code == 200, answer.text
                    assert answer.headers["cache-control"] == "no-store"
                    assert "13812345678" not in answer.text
                else:
                    told = problem_of(answer, 404)["detail"]
                    assert told == notice("unknown_conversation", "zh-Hans")
    listed = (await served.client.get(HISTORY, headers=headers(ALICE))).json()["conversations"]
    assert begun[ALICE] in [each["conversation_id"] for each in listed]
    assert not {begun[BOB], begun[""]} & {each["conversation_id"] for each in listed}
    assert (await served.client.get(HISTORY)).json() == {"conversations": []}


@pytest.mark.parametrize("owner", [ALICE, ""])
async def test_a_conversation_whose_owner_was_changed_in_the_database_is_shown_to_nobody(
    served: Served, owner: str
) -> None:
    conversation_id = await talk(served, owner)
    mine = await talk(served, BOB)
    talks = db.conversations
    stolen = update(talks).where(talks.c.id == conversation_id)
    async with served.deps.engine.begin() as connection:
        own, bob = [
            await connection.scalar(select(talks.c.subject).where(talks.c.id == each))
            for each in (conversation_id, mine)
        ]
        await connection.execute(stolen.values(subject=bob))
    url = f"{HISTORY}/{conversation_id}"
    for who in (ALICE, BOB, ""):
        problem_of(await served.client.get(url, headers=headers(who)), 404)
        again = await served.ask("那之前呢", who, conversation_id=conversation_id)
        problem_of(again, 404)
    listed = (await served.client.get(HISTORY, headers=headers(BOB))).json()["conversations"]
    told = [each["conversation_id"] for each in listed]
    assert mine in told
    assert conversation_id not in told
    verdict = await audit.verify(served.deps.trail)
    assert not verdict.ok
    assert f"conversation {conversation_id} is not whose record" in verdict.reason
    async with served.deps.engine.begin() as connection:
        await connection.execute(stolen.values(subject=own))
    assert (await audit.verify(served.deps.trail)).ok


async def test_an_export_holds_all_that_was_written_and_told_and_nothing_of_the_rules(
    served: Served,
) -> None:
    conversation_id = await talk(served, ALICE)
    url = f"{HISTORY}/{conversation_id}"
    held = (await served.client.get(url, headers=headers(ALICE))).json()
    assert [turn["message"] for turn in held["turns"]] == [
        "安心贷提前还款要违约金吗，我的手机号是<PHONE_1>",
        "那随心借呢",
    ]
    assert all(turn["reply"]["citations"] for turn in held["turns"])
    assert "rules_broken" not in held["turns"][0]["reply"]
    newest = (await served.client.get(f"{url}?newest=1", headers=headers(ALICE))).json()
    assert newest["turns"] == held["turns"][1:]

    file = await served.client.get(f"{url}/export", headers=headers(ALICE))
    assert file.headers["content-disposition"].startswith('attachment; filename="zhunxin-')
    assert file.json()["turns"] == held["turns"]
    page = await served.client.get(
        f"{url}/export?format=html&locale=zh-Hant", headers=headers(ALICE)
    )
    assert page.headers["content-type"].startswith("text/html")
    assert "我與智慧助手的對話" in page.text
    asked = datetime.fromisoformat(held["turns"][0]["asked_at"]) + timedelta(hours=8)
    assert f"{asked:%Y-%m-%d %H:%M}" in page.text, "as the clock in Shanghai had it"
    assert "+00:00" not in page.text
    for turn in held["turns"]:
        for sentence in turn["reply"]["sentences"]:
            assert sentence["text"] in page.text
    assert "&lt;PHONE_1&gt;" in page.text, "what a borrower wrote is no markup"
    assert not re.search(r"<(script|img|link)", page.text)


async def test_what_is_deleted_is_gone_for_good_and_the_chain_still_holds(served: Served) -> None:
    trail = served.deps.trail
    for who in (ALICE, ""):
        conversation_id = await talk(served, who)
        url = f"{HISTORY}/{conversation_id}"
        turns = (await served.client.get(url, headers=headers(who))).json()["turns"]
        problem_of(await served.client.delete(url, headers=headers(BOB)), 404)
        gone = await served.client.delete(url, headers=headers(who))
        assert gone.json() == {"conversation_id": conversation_id, "deleted": 2}
        for again in (
            await served.client.get(url, headers=headers(who)),
            await served.client.delete(url, headers=headers(who)),
            await served.ask("那之前呢", who, conversation_id=conversation_id),
        ):
            problem_of(again, 404)
        listed = (await served.client.get(HISTORY, headers=headers(who))).json()
        assert conversation_id not in str(listed)
        for turn in turns:
            assert (await Player(served.deps).replay(turn["record_id"])).outcome == "erased"
        entries = await audit.read_entries(trail.engine, subjects=[conversation_id])
        assert [entry.kind for entry in entries] == ["erasure"]
        assert '"by":"borrower"' in entries[0].body
    assert (await audit.verify(trail)).ok


async def test_a_reply_that_is_under_way_goes_with_its_conversation(served: Served) -> None:
    conversation_id = await talk(served, ALICE)
    asking = asyncio.create_task(served.ask("客服几点下班", ALICE, conversation_id=conversation_id))
    url = f"{HISTORY}/{conversation_id}"
    seen = 0
    while seen < 3:
        answer = await served.client.get(url, headers=headers(ALICE))
        seen = len(answer.json()["turns"])
    await served.client.delete(url, headers=headers(ALICE))
    under_way = (await asking).json()
    state = await Player(served.deps).replay(under_way["record_id"])
    assert state.outcome == "erased"


@pytest.mark.parametrize("bad", ["%2e%2e", "a" * 65, "a'--"])
async def test_an_id_that_was_never_given_out_is_unknown(served: Served, bad: str) -> None:
    answer: httpx.Response = await served.client.get(f"{HISTORY}/{bad}", headers=headers(ALICE))
    assert answer.status_code in (404, 422)
