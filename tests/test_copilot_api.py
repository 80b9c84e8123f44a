"""The copilot over HTTP: who may have it, what is suggested, what is kept and erased."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, insert, select

from assistant import audit, copilot_store
from assistant.audit_export import export
from assistant.db import copilot_events, handoff_customers, promises
from tests.knowledge_server import Server, copy_of, serving

PHONE = "13812345678"
FEE = "提前还款要收违约金吗？"
OWED = "我现在一次还清要多少钱？"


def card_number() -> str:
    """A number that passes the check of card numbers, and is nobody's."""
    body = "622202020011223344"
    digits = [int(c) for c in body]
    doubled = [
        d if place % 2 else sum(divmod(2 * d, 10)) for place, d in enumerate(reversed(digits))
    ]
    return body + str(-sum(doubled) % 10)


@pytest.fixture(scope="module")
def desk(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("copilot") / "home")
    with serving(home, keep_alive_s=0.2) as server:
        yield server


@pytest.fixture(scope="module")
def signed(desk: Server) -> Iterator[Callable[[str], httpx.Client]]:
    clients: dict[str, httpx.Client] = {}
    with ExitStack() as stack:

        def of(role: str) -> httpx.Client:
            if role not in clients:
                clients[role] = stack.enter_context(desk.client(role))
            return clients[role]

        yield of


@contextmanager
def customer(desk: Server, number: int = 0) -> Iterator[httpx.Client]:
    with desk.client() as client:
        people = client.get("/v1/demo/customers").json()["customers"]
        body = {"customer_id": people[number]["id"]}
        token = client.post("/v1/demo/tokens", json=body).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def handed_over(borrower: httpx.Client, agent: httpx.Client, *messages: str) -> dict[str, Any]:
    """A hand-over that the agent has, with what the borrower wrote in it."""
    queued = borrower.post("/v1/handoffs", json={}).json()
    taken = agent.post(f"/v1/desk/handoffs/{queued['id']}/take")
    assert taken.status_code == 200, taken.text
    for text in messages:
        said = borrower.post(
            f"/v1/conversations/{queued['conversation_id']}/messages", json={"message": text}
        )
        assert said.status_code == 201, said.text
    return dict(queued)


def suggested(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/copilot/suggest?stream=false", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def of_text(*texts: str, speaker: str = "borrower", **more: Any) -> dict[str, Any]:
    turns = [{"speaker": speaker, "text": text} for text in texts]
    return {"transcript": {"id": "other-desk:1", "turns": turns, **more}}


def test_a_suggestion_beside_a_hand_over_has_the_customers_own_figures(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    agent = signed("agent")
    with customer(desk, 1) as borrower:
        held = handed_over(borrower, agent, OWED)
    made = suggested(agent, handoff=held["id"])
    assert made["calculations"][0]["tool"] == "settle"
    assert made["evidence"]
    assert made["alternatives"]["reply"]["text"] == made["text"]
    assert made["alternatives"]["short"]["verdict"] == "pass"
    assert [each["verdict"] for each in made["sentences"]] == ["pass"] * len(made["sentences"])
    assert made["next"]["verified"] is True
    amount = made["calculations"][0]["result"]["headline"][0]["value"]
    assert amount in made["text"]


def test_without_a_proved_identity_no_record_is_read_whatever_is_typed(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    agent = signed("agent")
    with desk.client() as borrower:
        people = borrower.get("/v1/demo/customers").json()["customers"]
        held = handed_over(borrower, agent, f"我是客户 {people[1]['id']}，{OWED}")
    made = suggested(agent, handoff=held["id"])
    assert made["calculations"] == []
    assert made["next"]["actions"][0]["id"] == "verify_identity"
    shown = agent.post("/v1/copilot/card", json={"handoff": held["id"]}).json()
    assert shown["verified"] is False
    assert shown["loans"] == []
    assert shown["note"]


def test_the_card_is_masked_by_role(desk: Server, signed: Callable[[str], httpx.Client]) -> None:
    agent, supervisor = signed("agent"), signed("supervisor")
    with customer(desk, 1) as borrower:
        held = handed_over(borrower, agent)
    body = {"handoff": held["id"]}
    masked = agent.post("/v1/copilot/card", json=body).json()
    full = supervisor.post("/v1/copilot/card", json=body).json()
    assert "*" in masked["name"]
    assert "****" in masked["phone"]
    assert masked["birth"].endswith("-**-**")
    assert masked["customer_id"].startswith("***")
    assert "*" not in full["name"] + full["phone"] + full["birth"] + full["customer_id"]
    assert masked["loans"] == full["loans"] != []
    assert masked["contacts"]


def test_who_has_not_taken_it_gets_nothing(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    with desk.client() as borrower:
        queued = borrower.post("/v1/handoffs", json={}).json()
        answer = borrower.post("/v1/copilot/suggest", json={"handoff": queued["id"]})
        assert answer.status_code == 401
    agent, auditor = signed("agent"), signed("auditor")
    for path in ("suggest", "card", "next", "summary", "wrap-up", "scripts"):
        answer = agent.post(f"/v1/copilot/{path}", json={"handoff": queued["id"]})
        assert answer.status_code == 409, path
        assert auditor.post(f"/v1/copilot/{path}", json={}).status_code == 403
    unknown = agent.post("/v1/copilot/suggest", json={"handoff": "0" * 32})
    assert unknown.status_code == 404


def test_events_are_streamed_evidence_before_the_reply(
    signed: Callable[[str], httpx.Client],
) -> None:
    names: list[str] = []
    with signed("agent").stream("POST", "/v1/copilot/suggest", json=of_text(FEE)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
    assert names[0] == "evidence"
    assert names.index("evidence") < names.index("sentence") < names.index("alternatives")
    assert names[-1] == "done"
    assert "next" in names


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"handoff": "0" * 32, **of_text(FEE)}, 422),
        (of_text(*["好"] * 401), 422),
        (of_text(FEE, speaker="customer"), 422),
        (of_text("字" * 2001), 422),
        (of_text(FEE, borrower_token="a.b.c"), 422),
        ({"transcript": {"id": "x y", "turns": [{"speaker": "borrower", "text": FEE}]}}, 422),
    ],
)
def test_a_case_that_cannot_be_taken_is_refused(
    body: dict[str, Any], status: int, signed: Callable[[str], httpx.Client]
) -> None:
    assert signed("agent").post("/v1/copilot/suggest", json=body).status_code == status


def test_another_desk_proves_whose_record_it_is_with_the_borrowers_token(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    with customer(desk, 1) as borrower:
        token = borrower.headers["Authorization"].removeprefix("Bearer ")
    made = suggested(signed("agent"), **of_text(OWED, borrower_token=token))
    assert made["calculations"]
    assert suggested(signed("agent"), **of_text(OWED))["calculations"] == []


def test_a_full_card_number_is_refused_and_a_draft_is_judged(
    signed: Callable[[str], httpx.Client],
) -> None:
    agent = signed("agent")
    checked = agent.post(
        "/v1/copilot/check", json={**of_text(FEE), "text": "您的借款肯定能批下来。"}
    )
    assert checked.json()["verdict"] == "block"
    refused = agent.post(
        "/v1/copilot/check", json={**of_text(FEE), "text": f"您的卡号是 {card_number()}"}
    )
    assert refused.status_code == 422
    assert refused.json()["code"] == "card_refused"


def test_a_full_card_number_is_not_sent_at_the_desk_either(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    agent = signed("agent")
    with desk.client() as borrower:
        held = handed_over(borrower, agent)
    path = f"/v1/desk/handoffs/{held['id']}/messages"
    refused = agent.post(path, json={"message": f"您的卡号是 {card_number()}，对吗？"})
    assert refused.status_code == 422
    assert refused.json()["code"] == "card_refused"
    assert agent.post(path, json={"message": "您的卡尾号是 3449，对吗？"}).status_code == 201


def test_collections_are_asked_about_the_hour_before_a_contact_is_proposed(
    signed: Callable[[str], httpx.Client],
) -> None:
    body = {
        **of_text("好的，我知道了"),
        "task": "collections",
        "contact": {"channel": "phone", "calls_today": 0},
    }
    at = {"at": "2026-11-26T22:30:00+08:00"}
    late = signed("agent").post("/v1/copilot/next", json=body | at).json()["actions"][-1]
    assert late["id"] == "contact"
    assert not late["allowed"]
    assert late["due_at"].startswith("2026-11-27T08:00")
    at = {"at": "2026-11-26T10:30:00+08:00"}
    by_day = signed("agent").post("/v1/copilot/next", json=body | at).json()["actions"][-1]
    assert by_day["allowed"]


def test_what_is_wrapped_up_becomes_tasks_and_goes_with_the_conversation(
    desk: Server, signed: Callable[[str], httpx.Client], tmp_path: Path
) -> None:
    agent = signed("agent")
    with customer(desk, 2) as borrower:
        held = handed_over(borrower, agent, f"我失业了，电话 {PHONE}", "我12月15号还2000元")
    made = suggested(agent, handoff=held["id"])
    followed = agent.post(
        "/v1/copilot/events",
        json={
            "handoff": held["id"],
            "suggestion_id": made["suggestion_id"],
            "kind": "edited",
            "variant": "reply",
            "text": made["text"] + "请您放心。",
        },
    )
    assert followed.status_code == 201, followed.text
    draft = agent.post("/v1/copilot/wrap-up", json={"handoff": held["id"]}).json()
    assert draft["reason"] == "hardship"
    assert draft["flags"]["hardship"]
    assert draft["promises"][0]["amount_cny"] == "2000.00"
    assert PHONE not in json.dumps(draft)
    draft["summary"] += "\n已登记困难帮扶。"
    ending = next(iter(agent.get("/v1/desk/queue").json()["endings"]))
    kept = agent.post(
        "/v1/copilot/wrap-up/kept",
        json={"handoff": held["id"], "wrap_up": draft, "ending": ending},
    )
    assert kept.status_code == 201, kept.text
    assert kept.json()["closed"]
    tasks = agent.get("/v1/copilot/tasks").json()["tasks"]
    task = next(each for each in tasks if each["id"] in kept.json()["tasks"])
    assert date.fromisoformat(task["due_on"]).strftime("%m-%d") == "12-15"
    done = agent.post(f"/v1/copilot/tasks/{task['id']}", json={"state": "done"})
    assert done.status_code == 200
    again = agent.post(f"/v1/copilot/tasks/{task['id']}", json={"state": "done"})
    assert again.status_code == 404

    conversation = held["conversation_id"]
    trail = desk.deps.trail

    async def looked_at() -> tuple[list[Any], list[Any], list[Any], audit.Verdict]:
        async with trail.engine.connect() as connection:
            notes = (
                await connection.execute(
                    select(copilot_events.c.kind, copilot_events.c.text).where(
                        copilot_events.c.conversation_id == conversation
                    )
                )
            ).all()
            promised = (
                await connection.execute(
                    select(promises.c.text).where(promises.c.conversation_id == conversation)
                )
            ).all()
            sealed = (
                await connection.execute(
                    select(handoff_customers.c.sealed).where(
                        handoff_customers.c.conversation_id == conversation
                    )
                )
            ).all()
        return list(notes), list(promised), list(sealed), await audit.verify(trail)

    out = tmp_path / "export"

    async def exported() -> Any:
        return await export(trail, out, conversation_id=conversation, by="test")

    assert desk.portal.call(exported).broken == 0
    page = (out / "conversations" / f"{conversation}.html").read_text()
    assert "借款人看不到" in page
    assert all(word in page for word in ("建议（只给客服看）", "通话小结", "承诺："))
    assert "{&#34;" not in page, "words, not JSON"
    lines = [json.loads(line) for line in (out / "copilot.jsonl").read_text().splitlines()]
    assert [line["event"]["kind"] for line in lines] == ["suggested", "edited", "wrap_up", "task"]

    notes, promised, sealed, verdict = desk.portal.call(looked_at)
    assert {row.kind for row in notes} == {"suggested", "edited", "wrap_up", "task"}
    assert promised
    assert sealed
    assert verdict.ok, verdict.reason

    async def planted() -> str:
        """What `verify` says of a promise that was put into the database."""
        async with trail.engine.begin() as connection:
            (held, *_) = (
                await connection.execute(
                    select(promises).where(promises.c.conversation_id == conversation)
                )
            ).all()
            forged = held._asdict() | {"id": "x", "text": "答应免除全部罚息", "state": "open"}
            await connection.execute(insert(promises).values(forged))
        return (await audit.verify(trail)).reason

    async def taken_out() -> None:
        async with trail.engine.begin() as connection:
            await connection.execute(delete(promises).where(promises.c.id == "x"))

    assert desk.portal.call(planted).startswith(f"promise {conversation} is not what row ")
    assert not agent.get("/v1/copilot/tasks").json()["tasks"], "none of a list that was changed"
    desk.portal.call(taken_out)

    async def erased() -> int:
        return await audit.erase(trail, conversation_id=conversation, by="test")

    assert desk.portal.call(erased)
    notes, promised, sealed, verdict = desk.portal.call(looked_at)
    assert notes
    assert not any(row.text for row in notes)
    assert promised == []
    assert sealed == []
    assert verdict.ok, verdict.reason


def test_a_changed_suggestion_breaks_the_chain(desk: Server) -> None:
    trail = desk.deps.trail

    async def changed() -> audit.Verdict:
        event_id, _ = await copilot_store.note(
            trail, conversation_id="other-desk:9", kind="sent", text="原来的话", told={}
        )
        async with trail.engine.begin() as connection:
            await connection.execute(
                copilot_events.update().where(copilot_events.c.id == event_id).values(text="别的话")
            )
        broken = await audit.verify(trail)
        async with trail.engine.begin() as connection:
            await connection.execute(
                copilot_events.update()
                .where(copilot_events.c.id == event_id)
                .values(text="原来的话")
            )
        return broken

    verdict = desk.portal.call(changed)
    assert not verdict.ok
    assert "'text'" in verdict.reason


def test_two_agents_and_one_conversation(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    """What an agent's own account suggested in another's conversation is not to be had."""
    agent = signed("agent")
    with desk.client() as borrower:
        held = handed_over(borrower, signed("supervisor"), FEE)
    answer = agent.post("/v1/copilot/suggest", json={"handoff": held["id"]})
    assert answer.status_code == 409
    assert answer.json()["code"] == "handoff_not_yours"


def test_clauses_for_agents_are_opened_by_staff_alone(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    made = suggested(signed("agent"), **of_text("罚息减免的审批上限是多少"))
    inner = [each for each in made["evidence"] if each["internal"]]
    assert inner
    assert not any(each["text"] in made["text"] for each in made["sentences"] if each["internal"])
    path = f"clauses/{inner[0]['clause_id']}"
    assert signed("agent").get(f"/v1/copilot/{path}").json()["internal"] is True
    with desk.client() as borrower:
        assert borrower.get(f"/v1/{path}").status_code == 404
        assert borrower.get(f"/v1/copilot/{path}").status_code == 401


def test_scripts_are_filled_from_the_record_and_checked(
    desk: Server, signed: Callable[[str], httpx.Client]
) -> None:
    agent = signed("agent")
    with customer(desk, 1) as borrower:
        held = handed_over(borrower, agent)
    found = {
        each["id"]: each
        for each in agent.post("/v1/copilot/scripts", json={"handoff": held["id"]}).json()[
            "scripts"
        ]
    }
    assert found["schedule"]["text"]
    assert found["schedule"]["verdict"] == "pass"
    assert "15" in found["complaint"]["text"]
    assert "我是客服演示坐席" in found["opening"]["text"]
    anonymous = agent.post("/v1/copilot/scripts", json=of_text(FEE)).json()["scripts"]
    unfilled = next(each for each in anonymous if each["id"] == "schedule")
    assert unfilled["text"] == ""
    assert "next_due_on" in unfilled["missing"] or unfilled["missing"]
