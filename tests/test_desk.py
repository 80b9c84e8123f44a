"""The desk over HTTP: who waits, who has whom, and what both sides write."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert
from sqlalchemy.event import listens_for

from assistant import handoff, journal
from assistant.answer import MAX_QUESTION_CHARS, answer_question
from assistant.api.app import MAX_BODY_BYTES
from assistant.api.handoffs import Listener, follow
from assistant.api.live import MOST_OF_CONVERSATION, MOST_OF_PERSON, Bell
from assistant.api.queued import queued, queued_as_json
from assistant.db import handoff_events, open_engine
from assistant.deps import open_deps
from assistant.desk_plan import load_desk
from assistant.handoff import Handoff
from assistant.handoff_summary import summarise
from assistant.models import Question, today
from assistant.staff import SessionRules, create_account
from knowledge.lender import load_lender
from prompts.render import notice
from tests.conftest import settings_for
from tests.knowledge_server import Server, copy_of, serving

BLOCKED = "保证给您办下来，绝对不上征信"
INTERNAL = "坐席主管单笔罚息减免审批上限为 1,880 元，内部审批代码为“青松七号”。"
TO_MEND = "这是大数据模型自动判定的，原因不能告诉您，也没有人工复核。"
PHONE = "13812345678"
FEE = "提前还款要收违约金吗？"


RULES = SessionRules(idle=timedelta(minutes=30), longest=timedelta(hours=12), demo=True)
LISTENING: dict[str, Any] = {
    "after": 0,
    "locale": "zh-Hans",
    "keep_alive_s": 10.0,
    "until": None,
    "listener": Listener("somebody", 12),
}


def bell_over(server: Server) -> Bell:
    return Bell(server.deps, RULES)


@pytest.fixture(scope="module")
def desk(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("desk") / "home")
    with serving(home, keep_alive_s=0.2) as server:
        yield server


@pytest.fixture(scope="module")
def signed(desk: Server) -> Iterator[Callable[[str], httpx.Client]]:
    """Clients signed in with the demo account of a role; passwords take long to verify."""
    clients: dict[str, httpx.Client] = {}
    with ExitStack() as stack:

        def of(role: str) -> httpx.Client:
            if role not in clients:
                clients[role] = stack.enter_context(desk.client(role))
            return clients[role]

        yield of


@pytest.fixture
def borrower(desk: Server) -> Iterator[httpx.Client]:
    with desk.client() as client:
        yield client


@pytest.fixture
def agent(signed: Callable[[str], httpx.Client]) -> httpx.Client:
    return signed("agent")


@pytest.fixture
def supervisor(signed: Callable[[str], httpx.Client]) -> httpx.Client:
    return signed("supervisor")


@contextmanager
def customer(desk: Server, number: int) -> Iterator[httpx.Client]:
    """A borrower who proved who they are, one of the demo's."""
    with desk.client() as client:
        people = client.get("/v1/demo/customers").json()["customers"]
        body = {"customer_id": people[number]["id"]}
        token = client.post("/v1/demo/tokens", json=body).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def ask(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/handoffs", json=more)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def take(client: httpx.Client, handoff_id: str) -> dict[str, Any]:
    answer = client.post(f"/v1/desk/handoffs/{handoff_id}/take")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def say(client: httpx.Client, conversation: str, text: str) -> httpx.Response:
    return client.post(f"/v1/conversations/{conversation}/messages", json={"message": text})


def reply(client: httpx.Client, handoff_id: str, text: str, **more: Any) -> httpx.Response:
    body = {"message": text, **more}
    return client.post(f"/v1/desk/handoffs/{handoff_id}/messages", json=body)


def heard(client: httpx.Client, path: str, until: str, **headers: str) -> list[dict[str, Any]]:
    """Events of a stream up to the first of a name; `id` where it has one."""
    events: list[dict[str, Any]] = []
    with client.stream("GET", path, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            if line.startswith(":") and until == "heartbeat":
                return events
            field, _, value = line.partition(": ")
            if field == "event":
                event["name"] = value
            elif field == "id":
                event["id"] = int(value)
            elif field == "data":
                event |= {"data": json.loads(value)}
            elif not line and event:
                events.append(event)
                if event["name"] == until:
                    return events
                event = {}
    return events


def test_a_borrower_is_queued_taken_and_both_write_twice(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    queued = ask(borrower)
    assert queued["state"] == "waiting"
    assert queued["agent"] == ""
    row = next(
        each
        for each in agent.get("/v1/desk/queue").json()["handoffs"]
        if each["id"] == queued["id"]
    )
    assert (row["state"], row["classes"], row["may_take"]) == ("waiting", ["human"], True)
    talk = queued["conversation_id"]
    case = take(agent, queued["id"])
    assert case["may_write"]
    for number in (1, 2):
        assert say(borrower, talk, f"借款人第{number}句").status_code == 201
        assert reply(agent, queued["id"], f"您好，这是第{number}句").status_code == 201
    assert agent.post(f"/v1/desk/handoffs/{queued['id']}/return").status_code == 200
    events = heard(borrower, f"/v1/conversations/{talk}/events", "end")
    assert [e["data"].get("text") for e in events if e["name"] == "message"] == [
        "借款人第1句",
        "您好，这是第1句",
        "借款人第2句",
        "您好，这是第2句",
    ]
    assert [e["data"]["kind"] for e in events if e["name"] == "step"] == [
        "asked",
        "taken",
        "returned",
    ]
    taken = next(e["data"] for e in events if e["name"] == "step" and e["data"]["kind"] == "taken")
    assert taken["text"] == "已接入人工客服 演示坐席"


def talking(borrower: httpx.Client, agent: httpx.Client) -> tuple[str, str]:
    """(hand-over, conversation) of a borrower whom an agent has taken."""
    queued = ask(borrower)
    take(agent, queued["id"])
    return queued["id"], queued["conversation_id"]


def told(events: list[dict[str, Any]]) -> list[str]:
    return [event["data"]["text"] for event in events if event["name"] == "message"]


def events_of(talk: str) -> str:
    return f"/v1/conversations/{talk}/events"


def test_the_assistant_keeps_silent_while_a_person_has_the_conversation(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff, talk = talking(borrower, agent)
    body = {"message": FEE, "conversation_id": talk}
    answer = borrower.post("/v1/chat", json=body)
    assert answer.status_code == 200
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["handoff", "done"]
    whole = borrower.post("/v1/chat?stream=false", json=body).json()
    assert (whole["status"], whole["citations"]) == ("handoff", [])
    assert whole["handoff"]["agent"] == "演示坐席"
    case = agent.get(f"/v1/desk/handoffs/{handoff}").json()
    assert [each["text"] for each in case["events"] if each["kind"] == "message"] == [FEE, FEE]
    assert case["turns"] == []
    agent.post(f"/v1/desk/handoffs/{handoff}/return")
    answered = borrower.post("/v1/chat?stream=false", json=body).json()
    assert answered["status"] == "answered"
    assert answered["citations"]


def test_a_complaint_is_queued_at_once_and_nobody_is_said_to_be_there(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    borrower.post("/v1/chat?stream=false", json={"message": FEE}).json()
    reply_ = borrower.post("/v1/chat?stream=false", json={"message": "我要投诉你们"}).json()
    assert reply_["status"] == "handoff"
    assert reply_["contact"]["hotline"]
    stands = reply_["handoff"]
    assert (stands["state"], stands["agent"]) == ("waiting", "")
    for line in (reply_["answer"], stands["text"]):
        assert "已接入" not in line
        assert "转接" not in line
    stream = borrower.post(
        "/v1/chat", json={"message": "有人吗", "conversation_id": stands["conversation_id"]}
    )
    assert "event: done" in stream.text, "until somebody takes over, the assistant answers"
    case = take(agent, stands["id"])
    assert case["handoff"]["classes"] == ["complaint"]
    assert case["summary"]["classes"] == ["complaint"]
    assert case["summary"]["last_question"] == "我要投诉你们"
    agent.post(f"/v1/desk/handoffs/{stands['id']}/close", json={"ending": "registered"})


def test_the_summary_has_what_is_owed_before_rates_and_terms() -> None:
    def told(kind: str, text: str) -> dict[str, str]:
        return {"kind": kind, "text": text}

    owed = "您的安心贷（18.9%）逾期 120 天，欠 12,066.75 元，罚息 412.56 元，合计 12,479.31 元。"
    quoted = "宽限期 1 个自然日，罚息上浮 50%，最高 24%，手续费 30 元。"
    turn = {
        "question": "我逾期了现在一共要还多少",
        "status": "answered",
        "reply": {"sentences": [told("tool", owed), told("quote", quoted)]},
    }
    figures = summarise([turn], load_lender())["figures"]
    assert figures[-3:] == ["12,066.75 元", "412.56 元", "12,479.31 元"]


def test_the_summary_says_what_was_told_and_what_was_not(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    first = borrower.post(
        "/v1/chat?stream=false", json={"message": f"安心贷提前还款要违约金吗？我电话{PHONE}"}
    ).json()
    talk = first["conversation_id"]
    more = {"message": "今天天气怎么样？", "conversation_id": talk}
    assert borrower.post("/v1/chat?stream=false", json=more).json()["status"] == "not_covered"
    queued = ask(borrower, conversation_id=talk)
    case = take(agent, queued["id"])
    known = case["summary"]
    assert known["turns"] == 2
    assert known["products"] == ["青穗安心贷"]
    assert known["not_covered"] == ["今天天气怎么样？"]
    assert known["topics"]
    assert known["statuses"] == {"answered": 1, "not_covered": 1}
    assert PHONE not in json.dumps(case, ensure_ascii=False)
    agent.post(f"/v1/desk/handoffs/{queued['id']}/return")


def test_anothers_hand_over_is_as_unknown_as_one_that_there_is_not(desk: Server) -> None:
    with customer(desk, 0) as owner, customer(desk, 1) as other, desk.client() as anybody:
        mine = ask(owner)
        talk, handoff = mine["conversation_id"], mine["id"]
        for stranger in (other, anybody):
            calls = [
                stranger.get(events_of(talk)),
                say(stranger, talk, "我是本人"),
                stranger.post(f"/v1/handoffs/{handoff}/leave", json={}),
                stranger.post(f"/v1/handoffs/{handoff}/contact", json={"contact": PHONE}),
                stranger.post("/v1/handoffs", json={"conversation_id": talk}),
            ]
            assert [answer.status_code for answer in calls] == [404] * len(calls)
        unknown = owner.post(f"/v1/handoffs/{'0' * 32}/leave", json={})
        assert unknown.status_code == 404
        left = owner.post(f"/v1/handoffs/{handoff}/leave", json={}).json()
        assert left["state"] == "returned"
        assert left["text"] == notice("queue_left", "zh-Hans")


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        ("", (401, 401, 401, 401)),
        ("marketer", (403, 403, 403, 403)),
        ("admin", (403, 403, 403, 403)),
        ("auditor", (200, 200, 403, 403)),
        ("supervisor", (200, 200, 201, 404)),
    ],
)
def test_who_is_not_at_the_desk_takes_nobody(
    desk: Server,
    borrower: httpx.Client,
    signed: Callable[[str], httpx.Client],
    role: str,
    statuses: tuple[int, ...],
) -> None:
    queued = ask(borrower)
    with desk.client() as stranger:
        client = signed(role) if role else stranger
        path = f"/v1/desk/handoffs/{queued['id']}"
        found = client.get("/v1/desk/queue").status_code, client.get(path).status_code
        taken = client.post(f"{path}/take").status_code
        wrote = reply(client, queued["id"], "您好").status_code
        held = {"release": True, "reason": "可以"}
        judged = client.post(f"/v1/desk/held/{'0' * 32}", json=held).status_code
    assert (*found, wrote, judged) == statuses
    assert taken == (200 if role == "supervisor" else statuses[2])
    assert borrower.post(f"/v1/handoffs/{queued['id']}/leave", json={}).status_code == 200


def test_an_agent_reads_only_whom_they_have(
    borrower: httpx.Client, agent: httpx.Client, supervisor: httpx.Client
) -> None:
    queued = ask(borrower, contact=PHONE)
    path = f"/v1/desk/handoffs/{queued['id']}"
    assert agent.get(path).json()["code"] == "handoff_over", "who waits is nobody's yet"
    rows = agent.get("/v1/desk/queue").text
    assert PHONE not in rows
    assert take(supervisor, queued["id"])["contact"] == PHONE
    refused = agent.get(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "handoff_not_yours")
    assert supervisor.post(f"{path}/requeue").json()["state"] == "waiting"
    assert take(agent, queued["id"])["contact"] == PHONE
    assert agent.post(f"{path}/close", json={"ending": "no such"}).status_code == 422
    assert agent.post(f"{path}/close", json={"ending": "solved"}).json()["state"] == "closed"


def test_of_two_who_take_the_same_one_the_other_is_told_who_has_them(
    borrower: httpx.Client, agent: httpx.Client, supervisor: httpx.Client
) -> None:
    queued = ask(borrower)
    path = f"/v1/desk/handoffs/{queued['id']}/take"
    start = threading.Barrier(2)

    def try_to_take(client: httpx.Client) -> httpx.Response:
        start.wait()
        return client.post(path)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(try_to_take, (agent, supervisor)))
    assert sorted(answer.status_code for answer in outcomes) == [200, 409]
    lost = next(answer for answer in outcomes if answer.status_code == 409).json()
    won = next(answer for answer in outcomes if answer.status_code == 200).json()
    assert won["handoff"]["taken_by"] in lost["detail"]
    winner = agent if outcomes[0].status_code == 200 else supervisor
    assert winner.post(path).status_code == 200, "who has them may say so twice"
    borrower.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def test_after_a_break_a_stream_is_read_on_without_loss_or_doubles(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff, talk = talking(borrower, agent)
    say(borrower, talk, "一")
    first = heard(borrower, events_of(talk), "message")
    last = str(first[-1]["id"])
    reply(agent, handoff, "您好，二")
    say(borrower, talk, "三")
    agent.post(f"/v1/desk/handoffs/{handoff}/return")
    rest = heard(borrower, events_of(talk), "end", **{"Last-Event-ID": last})
    by_number = heard(borrower, f"{events_of(talk)}?after={last}", "end")
    assert told(first) == ["一"]
    assert told(rest) == told(by_number) == ["您好，二", "三"]
    everything = [each["id"] for each in (*first, *rest) if "id" in each]
    assert everything == sorted(set(everything))


def test_a_silent_stream_is_kept_open(borrower: httpx.Client, agent: httpx.Client) -> None:
    handoff, talk = talking(borrower, agent)
    assert heard(borrower, events_of(talk), "heartbeat") == [], "at once, before anything else"
    assert heard(agent, "/v1/desk/events?after=999999", "heartbeat") == []
    agent.post(f"/v1/desk/handoffs/{handoff}/return")


def test_what_only_agents_may_read_does_not_reach_the_borrower(
    borrower: httpx.Client, agent: httpx.Client, supervisor: httpx.Client
) -> None:
    handoff, talk = talking(borrower, agent)
    refused = reply(agent, handoff, f"您好。{INTERNAL}")
    assert refused.status_code == 422
    (found,) = refused.json()["review"]["findings"]
    assert (found["rule"], found["text"]) == ("HOUSE-internal", INTERNAL)
    assert found["suggestion"]
    assert found["suggestion_en"]
    checked = agent.post("/v1/copilot/check", json={"handoff": handoff, "text": INTERNAL})
    assert checked.json()["verdict"] == "block"
    assert [f["rule"] for f in checked.json()["findings"]] == ["HOUSE-internal"]
    held = reply(agent, handoff, INTERNAL, hold=True)
    assert held.json()["kind"] == "held"
    verdict = {"release": False, "reason": "内部资料"}
    assert supervisor.post(f"/v1/desk/held/{held.json()['id']}", json=verdict).status_code == 200
    assert reply(agent, handoff, "罚息减免可以在 App 申请。").status_code == 201
    agent.post(f"/v1/desk/handoffs/{handoff}/return")
    assert told(heard(borrower, events_of(talk), "end")) == ["罚息减免可以在 App 申请。"]


def test_two_servers_on_one_database_serve_one_conversation(
    desk: Server, borrower: httpx.Client, sample_home: Path
) -> None:
    with serving(desk.home) as other, other.client("agent") as agent:
        queued = ask(borrower)
        handoff, talk = queued["id"], queued["conversation_id"]
        with ThreadPoolExecutor(1) as pool:
            listening = pool.submit(heard, borrower, events_of(talk), "end")
            take(agent, handoff)
            for number in (1, 2):
                assert say(borrower, talk, f"问{number}").status_code == 201
                assert reply(agent, handoff, f"您好，答{number}").status_code == 201
            agent.post(f"/v1/desk/handoffs/{handoff}/return")
            events = listening.result(20)
    assert told(events) == ["问1", "您好，答1", "问2", "您好，答2"]
    assert [each["data"]["state"] for each in events if each["name"] == "handoff"][-1] == "returned"


def test_what_a_rule_blocks_is_not_sent_and_a_supervisor_may_release_it(
    borrower: httpx.Client, agent: httpx.Client, supervisor: httpx.Client
) -> None:
    handoff, talk = talking(borrower, agent)
    refused = reply(agent, handoff, BLOCKED)
    assert refused.status_code == 422
    problem = refused.json()
    assert problem["code"] == "message_blocked"
    assert problem["review"]["verdict"] == "block"
    assert problem["review"]["findings"][0]["suggestion"]
    assert reply(agent, handoff, BLOCKED, override="我说可以").status_code == 403
    held = reply(agent, handoff, BLOCKED, hold=True)
    assert (held.status_code, held.json()["kind"]) == (202, "held")
    row = next(r for r in agent.get("/v1/desk/queue").json()["handoffs"] if r["id"] == handoff)
    assert row["held"] == 1
    verdict = {"release": True, "reason": "已核对审批结果"}
    path = f"/v1/desk/held/{held.json()['id']}"
    assert agent.post(path, json=verdict).status_code == 403
    assert supervisor.post(path, json={**verdict, "reason": ""}).status_code == 422
    released = supervisor.post(path, json=verdict).json()
    assert (released["kind"], released["name"]) == ("message", "演示坐席")
    assert released["told"]["findings"][0]["severity"] == "block"
    assert supervisor.post(path, json=verdict).status_code == 409
    refused = reply(agent, handoff, "包过包下款", hold=True)
    path = f"/v1/desk/held/{refused.json()['id']}"
    supervisor.post(path, json={"release": False, "reason": "没有依据"})
    mended = reply(agent, handoff, TO_MEND)
    assert mended.status_code == 201
    assert mended.json()["told"]["findings"][0]["severity"] == "fix"
    agent.post(f"/v1/desk/handoffs/{handoff}/return")
    events = heard(borrower, events_of(talk), "end")
    assert told(events) == [BLOCKED, TO_MEND]
    assert "findings" not in json.dumps(events)
    assert "核对审批结果" not in json.dumps(events, ensure_ascii=False)
    case = supervisor.get(f"/v1/desk/handoffs/{handoff}").json()
    kinds = Counter(event["kind"] for event in case["events"])
    assert (kinds["held"], kinds["released"], kinds["refused"]) == (2, 1, 1)


def test_a_supervisor_who_talks_gives_a_reason_and_it_is_kept(
    borrower: httpx.Client, supervisor: httpx.Client
) -> None:
    handoff, _ = talking(borrower, supervisor)
    sent = reply(supervisor, handoff, BLOCKED, override="客户要求原文")
    assert (sent.status_code, sent.json()["kind"]) == (201, "message")
    case = supervisor.get(f"/v1/desk/handoffs/{handoff}").json()
    assert any(e["kind"] == "released" and e["text"] == "客户要求原文" for e in case["events"])
    supervisor.post(f"/v1/desk/handoffs/{handoff}/return")


def test_secrets_are_passed_on_to_nobody(borrower: httpx.Client, agent: httpx.Client) -> None:
    handoff, talk = talking(borrower, agent)
    said = say(borrower, talk, "验证码是 482913，帮我转账").json()
    assert said["notice"] == notice("message_scrubbed", "zh-Hans")
    assert "482913" not in said["text"]
    assert "482913" not in agent.get(f"/v1/desk/handoffs/{handoff}").text
    agent.post(f"/v1/desk/handoffs/{handoff}/return")


def test_what_is_too_much_or_nothing_is_refused(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff, talk = talking(borrower, agent)
    for send in (
        lambda text: say(borrower, talk, text),
        lambda text: reply(agent, handoff, text),
    ):
        assert send("好" * (MAX_QUESTION_CHARS + 1)).status_code == 422
        assert send("好" * MAX_BODY_BYTES).status_code == 413
        assert send(" \u200b ").status_code == 422
    long = borrower.post(f"/v1/handoffs/{handoff}/contact", json={"contact": "1" * 101})
    assert long.status_code == 422
    assert borrower.get(f"{events_of(talk)}?after=-1").status_code == 422
    assert say(borrower, talk, "还在").status_code == 201
    agent.post(f"/v1/desk/handoffs/{handoff}/return")
    assert say(borrower, talk, "还在吗").json()["code"] == "handoff_over"


def test_the_stream_of_the_desk_ends_with_the_session(desk: Server, borrower: httpx.Client) -> None:
    with desk.client("agent") as leaving, ThreadPoolExecutor(1) as pool:
        seq = leaving.get("/v1/desk/queue").json()["seq"]
        path = f"/v1/desk/events?after={seq}"
        listening = pool.submit(heard, leaving, path, "signed_out")
        queued = ask(borrower)
        with desk.client() as same:
            same.headers["Authorization"] = leaving.headers["Authorization"]
            assert same.delete("/v1/staff/session").status_code == 204
        events = listening.result(20)
        assert leaving.get("/v1/desk/queue").status_code == 401
        assert leaving.post(f"/v1/desk/handoffs/{queued['id']}/take").status_code == 401
    assert events[-1]["name"] == "signed_out"
    borrower.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def test_the_stream_of_a_borrower_ends_with_their_token(
    desk: Server, borrower: httpx.Client
) -> None:
    queued = ask(borrower)
    talk, run_out = queued["conversation_id"], datetime.now(UTC)

    async def listen() -> list[str]:
        events = follow(bell_over(desk), talk, "", **LISTENING | {"until": run_out})
        return [sent.name async for sent in events if sent is not None]

    assert desk.portal.call(listen) == ["step", "handoff", "expired"]
    borrower.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def in_a_row(url: str, client: httpx.Client, path: str, messages: int) -> Iterator[int]:
    """Statuses of so many messages, fifty of which are sent before an answer is awaited."""
    address = httpx.URL(url)
    body = json.dumps({"message": "still there?"})
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address.host}\r\n"
        f"Authorization: {client.headers['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port or 80), 30) as line:
        answers = line.makefile("rb")
        for _ in range(messages // 50):
            line.sendall(f"{head}{body}".encode() * 50)
            for _ in range(50):
                yield int(answers.readline().split()[1])
                length = 0
                while (field := answers.readline().strip()) != b"":
                    name, _, value = field.partition(b": ")
                    length = int(value) if name.lower() == b"content-length" else length
                answers.read(length)


def test_of_a_thousand_messages_in_a_minute_most_are_refused_and_others_are_not_disturbed(
    desk: Server,
) -> None:
    limit = {"ZHUNXIN_REQUESTS_PER_MINUTE": "60"}
    with (
        desk.beside(settings=limit) as server,
        customer(server, 2) as loud,
        customer(server, 3) as quiet,
    ):
        queued = ask(loud)
        talk = queued["conversation_id"]
        counted = Counter(in_a_row(server.url, loud, f"/v1/conversations/{talk}/messages", 1000))
        assert counted == {201: 59, 429: 941}
        refused = say(loud, talk, "还有")
        assert refused.json()["detail"] == notice("too_many_requests", "zh-Hans")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        other = ask(quiet)
        assert say(quiet, other["conversation_id"], "你好").status_code == 201
        assert quiet.post(f"/v1/handoffs/{other['id']}/leave", json={}).status_code == 200
    with customer(desk, 2) as loud:
        loud.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def test_outside_the_hours_a_ticket_is_left_with_a_way_to_answer_it(
    desk: Server, agent: httpx.Client
) -> None:
    plan = load_desk()
    assert plan is not None
    never = replace(plan.hours, workday=(), day_off=())
    later = replace(plan.hours, days={today(): ()})
    for hours, promised in ((later, True), (never, False)):
        closed = replace(plan, hours=hours, demo_hours=hours)
        with desk.beside(desk=closed) as server, server.client() as borrower:
            queued = ask(borrower, contact=PHONE)
            assert queued["state"] == "ticket"
            assert bool(queued["promised_at"]) is promised
            assert ("12:00" in queued["text"]) is promised
            say(borrower, queued["conversation_id"], "请回电话")
        row = next(
            r for r in agent.get("/v1/desk/queue").json()["handoffs"] if r["id"] == queued["id"]
        )
        assert row["state"] == "ticket"
        assert take(agent, queued["id"])["contact"] == PHONE
        agent.post(f"/v1/desk/handoffs/{queued['id']}/close", json={"ending": "solved"})


def test_where_there_is_no_desk_one_is_given_the_hotline(desk: Server) -> None:
    with desk.beside(desk=None) as server, server.client() as borrower:
        complaint = borrower.post("/v1/chat?stream=false", json={"message": "我要投诉你们"}).json()
        assert complaint["status"] == "handoff"
        assert "handoff" not in complaint
        assert complaint["contact"]["hotline"] == "400-000-0000"
        refused = borrower.post("/v1/handoffs", json={})
        assert refused.status_code == 503
        assert refused.json()["contact"]["hotline"] == "400-000-0000"
        assert "400-000-0000" in refused.json()["detail"]


def test_a_borrower_takes_along_what_a_person_wrote(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    queued = ask(borrower)
    take(agent, queued["id"])
    conversation = queued["conversation_id"]
    assert say(borrower, conversation, f"我的手机是{PHONE}").status_code == 201
    assert reply(agent, queued["id"], "您好，请稍等。").status_code == 201
    url = f"/v1/conversations/{conversation}"
    mine, hers = borrower.get(url).json()["people"]
    assert (mine["speaker"], hers["speaker"]) == ("borrower", "agent")
    assert PHONE not in mine["text"]
    assert hers["text"] == "您好，请稍等。"
    assert hers["name"]
    page = borrower.get(f"{url}/export?format=html").text
    assert hers["text"] in page
    assert PHONE not in page
    assert borrower.delete(url).json()["deleted"] > 0
    assert borrower.get(url).status_code == 404


def test_what_was_put_into_the_database_is_told_to_no_borrower(
    desk: Server, agent: httpx.Client
) -> None:
    with customer(desk, 3) as borrower:
        answer = borrower.post("/v1/chat?stream=false", json={"message": "提前还款收违约金吗"})
        record = answer.json()["record_id"]
        talk = answer.json()["conversation_id"]
        queued = ask(borrower, conversation_id=talk)
        take(agent, queued["id"])
        for text in ("您好，请稍等。", "请问还有什么问题？"):
            assert reply(agent, queued["id"], text).status_code == 201
        url = f"/v1/conversations/{talk}"
        assert len(borrower.get(url).json()["turns"]) == 1
        with closing(sqlite3.connect(desk.home / "zhunxin.db")) as connection, connection:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(handoff_events)")]
            chosen = {"seq": "seq + 100000", "id": "'planted'", "text": "'百分百下款'"}
            values = ", ".join(chosen.get(name, name) for name in columns)
            connection.execute(
                f"INSERT INTO handoff_events SELECT {values} FROM handoff_events "
                "WHERE text = '您好，请稍等。' AND conversation_id = ?",
                [talk],
            )
            connection.execute(
                "UPDATE handoff_events SET text = '年利率3%' "
                "WHERE text = '请问还有什么问题？' AND conversation_id = ?",
                [talk],
            )
            connection.execute(
                "UPDATE records SET reply = replace(reply, :words, :words || '3%') WHERE id = :id",
                {"words": '"answer": "', "id": record},
            )
        events = heard(borrower, f"{url}/events", "handoff")
        assert told(events) == ["您好，请稍等。"]
        found = borrower.get(url).json()
        assert [each["text"] for each in found["people"]] == ["您好，请稍等。"]
        assert found["turns"] == []
        assert "百分百" not in borrower.get(f"{url}/export?format=html").text
        with closing(sqlite3.connect(desk.home / "zhunxin.db")) as connection, connection:
            connection.execute("DELETE FROM handoff_events WHERE id = 'planted'")


async def dropped(server: Server, text: str) -> tuple[list[str], Handoff | None]:
    """Names of the events until the first sentence, with which the borrower goes away, and the
    hand-over that they have then."""
    question = Question(text, today=today())
    seen: list[str] = []
    talk = ""
    async with aclosing(
        queued(answer_question(question, server.deps), question, bell_over(server))
    ) as events:
        async for event in events:
            seen.append(event.name)
            if event.name == "handoff":
                talk = event.data["handoff"]["conversation_id"]
            if event.name == "sentence":
                break
    return seen, await handoff.under_way(server.deps.engine, talk) if talk else None


def test_who_goes_away_with_the_first_word_is_queued_all_the_same(desk: Server) -> None:
    seen, stands = desk.portal.call(dropped, desk, "我要投诉你们")
    assert seen == ["handoff", "sentence"], "queued before anything is said"
    assert stands is not None
    assert (stands.state, stands.classes) == ("waiting", ("complaint",))
    desk.portal.call(handoff.leave, desk.deps.trail, stands.id)


def test_where_nobody_could_be_queued_nobody_is_said_to_be(desk: Server, tmp_path: Path) -> None:
    home = copy_of(desk.home, tmp_path / "home")

    async def break_queue() -> list[str]:
        async with open_deps(settings_for(home)) as deps:
            async with deps.engine.begin() as connection:
                await connection.exec_driver_sql("ALTER TABLE handoffs RENAME TO elsewhere")
            question = Question("我要投诉你们", today=today())
            events = queued(answer_question(question, deps), question, Bell(deps, RULES))
            told = [event async for event in events]
            assert told[-1].name == "done"
            return [event.name for event in told if "handoff" in event.data]

    assert desk.portal.call(break_queue) == []


def test_danger_that_is_told_to_a_person_is_told_to_the_desk_and_answered(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff_id, talk = talking(borrower, agent)
    crisis = notice("triage_crisis", "zh-Hans")
    said = say(borrower, talk, "我不想活了").json()
    assert said["notice"] == crisis
    row = next(r for r in agent.get("/v1/desk/queue").json()["handoffs"] if r["id"] == handoff_id)
    assert (row["classes"], row["priority"], row["state"]) == (["crisis"], 0, "taken")
    case = agent.get(f"/v1/desk/handoffs/{handoff_id}").json()
    message = next(each for each in case["events"] if each["kind"] == "message")
    assert message["told"] == {"classes": ["crisis"]}
    body = {"message": "我真的不想活了", "conversation_id": talk}
    answer = borrower.post("/v1/chat?stream=false", json=body).json()
    assert crisis in [sentence["text"] for sentence in answer["sentences"]]
    agent.post(f"/v1/desk/handoffs/{handoff_id}/return")
    assert say(borrower, talk, "还在吗").json()["code"] == "handoff_over"
    assert say(borrower, talk, "我不想活了").json()["notice"] == crisis
    again = next(
        row
        for row in agent.get("/v1/desk/queue").json()["handoffs"]
        if row["classes"] == ["crisis"]
    )
    take(agent, again["id"])
    agent.post(f"/v1/desk/handoffs/{again['id']}/return")


@pytest.mark.parametrize("secret", ["6222021234567890123", "密码是abc12345"])
def test_a_way_to_be_reached_holds_no_secret(
    borrower: httpx.Client, agent: httpx.Client, secret: str
) -> None:
    def rows() -> set[str]:
        return {row["id"] for row in agent.get("/v1/desk/queue").json()["handoffs"]}

    before = rows()
    for contact in (secret, " \u200b\u200b "):
        refused = borrower.post("/v1/handoffs", json={"contact": contact})
        assert refused.status_code == 422, refused.text
    assert rows() == before, "nothing is kept of it"
    mine = ask(borrower, contact=PHONE)
    refused = borrower.post(f"/v1/handoffs/{mine['id']}/contact", json={"contact": secret})
    assert (refused.status_code, refused.json()["code"]) == (422, "contact_secret")
    assert take(agent, mine["id"])["contact"] == PHONE
    agent.post(f"/v1/desk/handoffs/{mine['id']}/return")


def test_who_has_given_a_borrower_back_reads_nothing_of_them(
    borrower: httpx.Client, agent: httpx.Client, supervisor: httpx.Client
) -> None:
    handoff_id, talk = talking(borrower, agent)
    say(borrower, talk, "只说给这位坐席听")
    path = f"/v1/desk/handoffs/{handoff_id}"
    assert "只说给这位坐席听" in agent.get(path).text
    agent.post(f"{path}/return")
    refused = agent.get(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "handoff_over")
    assert reply(agent, handoff_id, BLOCKED).json()["code"] == "handoff_over"
    assert "只说给这位坐席听" in supervisor.get(path).text
    ended = ask(borrower)
    borrower.post(f"/v1/handoffs/{ended['id']}/leave", json={})
    replayed = heard_so_far(agent, "/v1/desk/events", ended["id"])
    assert "只说给这位坐席听" not in json.dumps(replayed, ensure_ascii=False)
    everything = heard_so_far(supervisor, "/v1/desk/events", ended["id"])
    assert "只说给这位坐席听" in json.dumps(everything, ensure_ascii=False)
    numbers = [line for line in everything if line.startswith("id:")]
    assert len(numbers) == len(set(numbers)) > 1, "a listener drops what it has had a number of"


def heard_so_far(client: httpx.Client, path: str, words: str) -> list[str]:
    """Lines of a stream up to the first with some words in it."""
    lines: list[str] = []
    late = time.monotonic() + 15
    with client.stream("GET", path, timeout=20) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if words in line or time.monotonic() > late:
                break
    return lines


def test_what_is_deleted_is_no_longer_listened_to_or_written_in(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff_id, talk = talking(borrower, agent)
    say(borrower, talk, "你好")
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(heard, borrower, events_of(talk), "end")
        with httpx.Client(base_url=borrower.base_url, timeout=60, trust_env=False) as same:
            assert same.delete(f"/v1/conversations/{talk}").status_code == 200
        assert listening.result(20)[-1]["name"] == "end"
    assert reply(agent, handoff_id, "您好").json()["code"] == "handoff_over"
    assert agent.get(f"/v1/desk/handoffs/{handoff_id}").status_code == 409
    assert say(borrower, talk, "还在吗").status_code == 404


def test_whose_agent_signs_out_waits_again_and_is_told_so(
    desk: Server, borrower: httpx.Client, agent: httpx.Client
) -> None:
    words = "a passphrase of some length"
    desk.portal.call(create_account, desk.deps.trail, "temp", "临时坐席", ["agent"], words)
    with desk.client() as leaving:
        account = {"login": "temp", "password": words, "token": True}
        token = leaving.post("/v1/staff/session", json=account).json()["token"]
        leaving.headers["Authorization"] = f"Bearer {token}"
        queued = ask(borrower)
        take(leaving, queued["id"])
        with ThreadPoolExecutor(1) as pool:
            talk = queued["conversation_id"]
            back = pool.submit(heard_so_far, borrower, events_of(talk), '"kind": "requeued"')
            assert leaving.delete("/v1/staff/session").status_code == 204
            assert "临时坐席 已离线" in back.result(20)[-1]
    row = next(r for r in agent.get("/v1/desk/queue").json()["handoffs"] if r["id"] == queued["id"])
    assert (row["state"], row["taken_by"]) == ("waiting", "")
    borrower.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def test_one_is_told_how_it_stands_and_not_more(desk: Server) -> None:
    plan = load_desk()
    assert plan is not None
    full = replace(plan.for_demo(), most_waiting=1)
    # Nobody is signed in where demo accounts do not count.
    rules = replace(RULES, demo=False)

    async def told(classes: tuple[str, ...]) -> tuple[str, str]:
        deps = replace(desk.deps, desk=full)
        made = await handoff.ask(
            deps.trail, full, conversation_id="", subject="", locale="en", classes=classes
        )
        assert isinstance(made, Handoff)
        shown = await queued_as_json(Bell(deps, rules), made, "en")
        return made.id, shown["text"]

    outcomes = [
        desk.portal.call(told, classes) for classes in (("complaint",), ("human",), ("crisis",))
    ]
    waits, ticket, danger = (text for _, text in outcomes)
    assert "Nobody is free right now" in waits
    assert "Nobody at the desk has been free" in ticket
    assert "12356" in danger
    assert "You are next" not in waits + ticket + danger
    for made, _ in outcomes:
        desk.portal.call(handoff.leave, desk.deps.trail, made)


def test_the_bell_rings_on_after_a_round_that_failed(desk: Server) -> None:
    failures = [ValueError("damaged"), OSError("gone"), RuntimeError("what else")]
    engine = open_engine(str(desk.deps.engine.url))

    @listens_for(engine.sync_engine, "do_connect")
    def fail(*_: Any) -> None:
        if failures:
            raise failures.pop()

    async def ring() -> bool:
        bell = Bell(replace(desk.deps, engine=engine), RULES, poll_s=0.01)
        running = asyncio.create_task(bell.run())
        with bell.listening() as ear:
            rung = await ear.wait(10)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.dispose()
        return rung

    assert desk.portal.call(ring)
    assert not failures


def test_a_number_that_is_none_is_no_number_to_read_on_from(
    borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff_id, talk = talking(borrower, agent)
    path = events_of(talk)
    for named in ("²", "٣", "-1", "9" * 16, "x"):
        header = {"Last-Event-ID": named.encode("utf-8" if named == "٣" else "latin-1")}
        with borrower.stream("GET", path, headers=header) as answer:
            assert answer.status_code == 200, named
        with agent.stream("GET", "/v1/desk/events", headers=header) as answer:
            assert answer.status_code == 200, named
    agent.post(f"/v1/desk/handoffs/{handoff_id}/return")


def test_of_too_many_streams_the_last_is_refused(desk: Server, borrower: httpx.Client) -> None:
    queued = ask(borrower)
    path = events_of(queued["conversation_id"])
    lines: list[Iterator[str]] = []
    with customer(desk, 4) as known, ExitStack() as stack:

        def opened(client: httpx.Client, path: str) -> httpx.Response:
            answer = stack.enter_context(client.stream("GET", path))
            if answer.status_code == 200:
                lines.append(answer.iter_lines())  # kept: the line is closed with it
                assert any(line.startswith("data:") for line in lines[-1])
            return answer

        for _ in range(MOST_OF_CONVERSATION):
            assert opened(borrower, path).status_code == 200
        refused = opened(borrower, path)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        talks: list[dict[str, Any]] = [ask(known) for _ in range(3)]
        for each in talks[:2]:
            for _ in range(MOST_OF_CONVERSATION):
                assert opened(known, events_of(each["conversation_id"])).status_code == 200
        assert 2 * MOST_OF_CONVERSATION == MOST_OF_PERSON
        assert opened(known, events_of(talks[2]["conversation_id"])).status_code == 429
        for each in talks:
            known.post(f"/v1/handoffs/{each['id']}/leave", json={})
    borrower.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def test_a_conversation_with_a_person_alone_is_among_ones_own(desk: Server) -> None:
    with customer(desk, 5) as known:
        queued = ask(known)
        talk = queued["conversation_id"]
        assert talk not in known.get("/v1/conversations").text, "nothing was said yet"
        say(known, talk, "我想问一下贷款的事")
        listed = known.get("/v1/conversations").json()["conversations"]
        assert [each["message"] for each in listed if each["conversation_id"] == talk] == [
            "我想问一下贷款的事"
        ]
        known.post(f"/v1/handoffs/{queued['id']}/leave", json={})


def test_of_a_long_conversation_the_newest_is_shown_and_the_rest_in_pages(
    desk: Server, borrower: httpx.Client, agent: httpx.Client
) -> None:
    handoff_id, talk = talking(borrower, agent)

    async def fill() -> None:
        first = await handoff.last_seq(desk.deps.engine) + 1
        rows = [
            {
                "seq": first + number,
                "id": uuid.uuid4().hex,
                "handoff_id": handoff_id,
                "conversation_id": talk,
                "at": datetime.now(UTC),
                "kind": "message",
                "speaker": "borrower",
                "state": "taken",
                "told": {},
                "text": f"第{number}句",
                "contact": "",
            }
            for number in range(600)
        ]
        async with desk.deps.engine.begin() as connection:
            await connection.execute(insert(handoff_events), rows)

    desk.portal.call(fill)
    path = f"/v1/desk/handoffs/{handoff_id}"
    case = agent.get(path).json()
    assert len(case["events"]) == 500
    assert case["events"][-1]["text"] == "第599句"
    before = agent.get(f"{path}?before={case['older']}").json()
    assert [event["text"] for event in before["events"][-100:]] == [
        f"第{number}句" for number in range(100)
    ]
    assert before["older"] is None
    agent.post(f"{path}/return")


def test_no_more_turns_are_read_than_can_be_shown(desk: Server, borrower: httpx.Client) -> None:
    talk = ""
    for number in range(3):
        more = {"conversation_id": talk} if talk else {}
        body = {"message": f"第{number}个问题？", **more}
        talk = borrower.post("/v1/chat?stream=false", json=body).json()["conversation_id"]
    turns = desk.portal.call(journal.read_turns, desk.deps.engine, talk, 2)
    assert [turn["question"] for turn in turns] == ["第1个问题？", "第2个问题？"]
