"""The HTTP API over real sockets: streams, problems, limits, and a model endpoint that fails."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import httpx
import jsonschema
import openai
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal

from assistant import journal
from assistant.api.app import MAX_BODY_BYTES, create_app
from assistant.api.problems import accepted_locale
from assistant.deps import Deps, model_specs, open_deps
from assistant.llm import Message, ScriptedChat
from assistant.logs import log_to_stderr
from prompts.render import notice
from tests.conftest import settings_for
from tests.openai_stub import (
    Behaviour,
    Stub,
    fails,
    hangs,
    openai_stub,
    quotes_then_cuts,
    says,
    sends,
)
from tests.test_answer import EARLY, choosing, writing

FEE_FREE = "起签署的安心贷合同免收提前还款违约金"
AMOUNT = "安心贷单笔借款金额最高多少"
LARGEST = "1,000 元至 200,000 元"
HOTLINE = "400-000-0000"
TRACE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class SseEvent:
    name: str
    data: dict[str, Any]


class Serve(Protocol):
    def __call__(
        self,
        model: ScriptedChat | None = None,
        *,
        deps: Deps | None = None,
        keep_alive_s: float = 10.0,
        **settings: str,
    ) -> httpx.Client:
        """A client of a new app; with a scripted model, or one from settings, or none."""


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Address at which the app is served on loopback."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        # As the product stops: what still streams to a browser is cut off, and not waited for.
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            assert not serving.done(), "the server did not start"
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """A loop in another thread, in which the servers run."""
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture(scope="module")
def opened_deps(portal: BlockingPortal, sample_home: Path) -> Iterator[Deps]:
    """Knowledge and embedder, opened once; each server gets a copy with a model of its own."""
    with portal.wrap_async_context_manager(open_deps(settings_for(sample_home))) as opened:
        portal.call(opened.index)
        yield opened


@pytest.fixture
def serve(portal: BlockingPortal, opened_deps: Deps, sample_home: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(
            model: ScriptedChat | None = None,
            *,
            deps: Deps | None = None,
            keep_alive_s: float = 10.0,
            **settings: str,
        ) -> httpx.Client:
            wanted = settings_for(sample_home, **settings)
            used = deps or replace(opened_deps, settings=wanted, model_specs=model_specs(wanted))
            if model is not None:
                used.use_model(model)
            elif used.model_specs:
                stack.callback(portal.call, portal.call(used.chat_model).close)
            app = create_app(wanted, used, keep_alive_s=keep_alive_s)
            url = stack.enter_context(portal.wrap_async_context_manager(listening(app)))
            return stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))

        yield start


@pytest.fixture
def stub(portal: BlockingPortal) -> Iterator[Callable[..., Stub]]:
    """A model endpoint that behaves, request by request, as it is told."""
    with ExitStack() as stack:
        yield lambda *behaviours: stack.enter_context(
            portal.wrap_async_context_manager(openai_stub(*behaviours))
        )


@pytest.fixture(autouse=True)
def log_lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What the server has logged in this test, in the form it logs in."""
    log_to_stderr()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def endpoint(stub: Stub, **more: str) -> dict[str, str]:
    """Settings that put the stub in the place of the language model."""
    return {
        "ZHUNXIN_LLM": "openai:stub",
        "ZHUNXIN_LLM_BASE_URL": stub.base_url,
        "ZHUNXIN_LLM_RETRIES": "0",
        "ZHUNXIN_LLM_WAY": "select",
    } | more


def sse(body: str) -> list[SseEvent]:
    """The events of a stream, each of which must be one `event` and one `data` line."""
    assert body.endswith("\n\n")
    events = []
    for block in body.removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        lines = re.fullmatch(r"event: ([a-z]+)\ndata: (\{.*\})", block)
        assert lines, f"not one event and its data: {block!r}"
        events.append(SseEvent(lines.group(1), json.loads(lines.group(2))))
    return events


def chat(client: httpx.Client, message: str, **more: Any) -> list[SseEvent]:
    response = client.post("/v1/chat", json={"message": message, **more})
    assert response.status_code == 200, response.text
    return sse(response.text)


def ask(client: httpx.Client, message: str, **more: Any) -> dict[str, Any]:
    response = client.post("/v1/chat?stream=false", json={"message": message, **more})
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == "about:blank"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert TRACE.fullmatch(body["trace_id"])
    return body


# A reply as events and as one document


def test_events_come_in_order_each_with_its_data(serve: Serve) -> None:
    client = serve(ScriptedChat([choosing(FEE_FREE)]))
    response = client.post("/v1/chat", json={"message": EARLY})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    events = sse(response.text)
    names = [e.name for e in events]
    assert names[:3] == ["status", "evidence", "status"]
    assert names[-1] == "done"
    assert set(names[3:-1]) == {"citation", "sentence"}
    cited: set[int] = set()
    for event in events:
        if event.name == "citation":
            cited.add(event.data["index"])
            assert event.data["quote"] in event.data["text"]
        elif event.name == "sentence":
            assert set(event.data["citations"]) <= cited, "a sentence came before its citation"
    done = events[-1].data
    assert events[0].data["conversation_id"] == done["conversation_id"]
    assert done["status"] == "answered"
    assert TRACE.fullmatch(done["record_id"])
    assert TRACE.fullmatch(done["conversation_id"])
    assert done["timings"]["total_ms"] > 0
    assert done["label"] == notice("ai_label", "zh-Hans")


def test_evidence_reaches_the_borrower_before_the_model_has_answered(
    serve: Serve, stub: Callable[..., Stub]
) -> None:
    model = stub(hangs)
    client = serve(**endpoint(model))
    with client.stream("POST", "/v1/chat", json={"message": EARLY}) as response:
        for line in response.iter_lines():
            if line == "event: evidence":
                break
        else:
            raise AssertionError("no evidence")


def test_the_document_says_what_the_stream_says(serve: Serve) -> None:
    client = serve(ScriptedChat([choosing(FEE_FREE)] * 2))
    events = chat(client, EARLY)
    reply = ask(client, EARLY)
    sentences = [e.data for e in events if e.name == "sentence"]
    assert [s["text"] for s in sentences] == [s["text"] for s in reply["sentences"]]
    assert [s["citations"] for s in sentences] == [s["citations"] for s in reply["sentences"]]
    quotes = [e.data["quote"] for e in events if e.name == "citation"]
    assert quotes == [c["quote"] for c in reply["citations"]]


def test_the_document_is_that_of_the_command_line(serve: Serve, sample_home: Path) -> None:
    reply = ask(serve(), EARLY)
    environ = {"ZHUNXIN_HOME": str(sample_home), "ZHUNXIN_LLM": "extractive"}
    told = subprocess.run(
        [sys.executable, "-m", "assistant", "ask", EARLY, "--json"],
        env=environ,
        capture_output=True,
        check=True,
    )
    expected = json.loads(told.stdout)
    # What a rule stood against is for staff: it would tell how to get around it.
    assert expected.pop("rules_broken") == []
    assert reply["label"] == notice("ai_label", "zh-Hans")
    own = {"record_id", "conversation_id", "timings"}
    assert set(reply) == set(expected)
    assert {k: v for k, v in reply.items() if k not in own} == {
        k: v for k, v in expected.items() if k not in own
    }
    assert set(reply["timings"]) == set(expected["timings"])


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_withheld_sentence_is_never_sent(serve: Serve, stream: str) -> None:
    wrong = writing(("您最高能借30万元", LARGEST))
    client = serve(ScriptedChat([wrong, wrong], way="draft"))
    response = client.post(f"/v1/chat?stream={stream}", json={"message": AMOUNT})
    assert response.status_code == 200
    assert "30万" not in response.text
    assert "200,000 元" in response.text
    if stream == "false":
        (withheld,) = response.json()["withheld"]
        assert set(withheld) == {"reason"}
        assert withheld["reason"] == "bound_contradicted"


def test_a_conversation_goes_on_under_its_id(serve: Serve) -> None:
    client = serve()
    first = ask(client, EARLY)
    second = ask(client, AMOUNT, conversation_id=first["conversation_id"])
    assert second["conversation_id"] == first["conversation_id"]
    assert second["record_id"] != first["record_id"]


def test_the_contract_date_and_the_day_asked_about_are_taken(serve: Serve) -> None:
    client = serve()
    reply = ask(client, "安心贷单笔能借多少钱", contract_date="2024-05-01", as_of="2026-11-01")
    assert any("2024-05-01" in s["text"] for s in reply["sentences"])
    assert any("2026-11-01" in s["text"] for s in reply["sentences"])


def test_a_reply_without_an_answer_names_a_human(serve: Serve) -> None:
    client = serve()
    events = chat(client, "今天天气怎么样")
    assert [e.name for e in events][-2:] == ["handoff", "done"]
    assert HOTLINE in events[-2].data["text"]
    assert ask(client, "今天天气怎么样")["contact"]["hotline"] == HOTLINE


def test_chats_at_the_same_time_do_not_mix(serve: Serve, portal: BlockingPortal) -> None:
    topics = {EARLY: FEE_FREE, AMOUNT: LARGEST}

    def choose(messages: Sequence[Message]) -> str:
        (part,) = (part for text, part in topics.items() if text in messages[-1].text)
        return choosing(part)(messages)

    client = serve(ScriptedChat([choose] * 20))

    async def one(http: httpx.AsyncClient, message: str) -> list[SseEvent]:
        return sse((await http.post("/v1/chat", json={"message": message})).text)

    async def all_at_once() -> list[list[SseEvent]]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60, trust_env=False) as http:
            return await asyncio.gather(*(one(http, list(topics)[i % 2]) for i in range(20)))

    streams = portal.call(all_at_once)
    for number, events in enumerate(streams):
        first = next(e for e in events if e.name == "sentence")
        assert list(topics.values())[number % 2] in first.data["text"]
        assert events[-1].data["status"] == "answered"
    for name in ("conversation_id", "record_id"):
        assert len({events[-1].data[name] for events in streams}) == 20


def test_a_long_pause_is_filled_with_comments(serve: Serve, stub: Callable[..., Stub]) -> None:
    slow = says('{"ids":[1]}', pause_s=0.6)
    client = serve(keep_alive_s=0.1, **endpoint(stub(slow, slow)))
    body = client.post("/v1/chat", json={"message": EARLY}).text
    assert body.count(": ping\n\n") >= 3
    assert sse(body)[-1].data["status"] == "answered"
    asked = {"messages": [{"role": "user", "content": EARLY}], "stream": True}
    body = client.post("/v1/chat/completions", json=asked).text
    assert body.count(": ping\n\n") >= 3
    assert body.endswith("data: [DONE]\n\n")


# Problems


@dataclass(frozen=True)
class Refused:
    """A request that is refused, with what, and what the borrower is told."""

    id: str
    status: int
    code: str
    body: Any = None
    content: bytes = b""
    method: str = "POST"
    path: str = "/v1/chat"


REFUSED = (
    Refused("empty question", 422, "empty_question", {"message": ""}),
    Refused("white space only", 422, "empty_question", {"message": " \n\t\u3000"}),
    Refused("control characters only", 422, "empty_question", {"message": "\u0000\u202e\u200b"}),
    Refused("20,000 characters", 422, "question_too_long", {"message": "问" * 20_000}),
    Refused(
        "unknown conversation",
        404,
        "unknown_conversation",
        {"message": EARLY, "conversation_id": "f" * 32},
    ),
    Refused(
        "no such conversation id",
        422,
        "bad_request",
        {"message": EARLY, "conversation_id": "\u0000' OR 1=1 --"},
    ),
    Refused("malformed JSON", 422, "bad_request", content=b'{"message": "'),
    Refused("not UTF-8", 400, "bad_request", content=b'{"message": "\xff\xfe"}'),
    Refused("nested too deep", 400, "bad_request", content=b"[" * 100_000),
    Refused("no body", 422, "bad_request"),
    Refused("a list", 422, "bad_request", [EARLY]),
    Refused("no message", 422, "bad_request", {}),
    Refused("message of a wrong type", 422, "bad_request", {"message": 5}),
    Refused("half a character", 422, "empty_question", {"message": "\ud83d"}),
    Refused("unknown field", 422, "bad_request", {"message": EARLY, "customer": "C001"}),
    Refused("half a character as a field", 422, "bad_request", {"message": EARLY, "\ud83d": 1}),
    Refused("wrong date", 422, "bad_request", {"message": EARLY, "as_of": "2026-02-30"}),
    Refused("wrong flag", 422, "bad_request", {"message": EARLY}, path="/v1/chat?stream=perhaps"),
    Refused("unknown route", 404, "not_found", method="GET", path="/v1/nothing"),
    Refused("unknown page", 404, "not_found", method="GET", path="/web/nothing.js"),
    Refused("out of the web folder", 404, "not_found", method="GET", path="/web/..%2fcli.py"),
    Refused("wrong method", 405, "wrong_method", method="DELETE"),
    Refused("unknown clause", 404, "not_found", method="GET", path="/v1/clauses/nothing"),
    Refused("too large", 413, "too_large", content=b"x" * (MAX_BODY_BYTES + 1)),
    Refused("no turn", 422, "bad_request", {"messages": []}, path="/v1/chat/completions"),
    Refused(
        "no turn of a user",
        422,
        "empty_question",
        {"messages": [{"role": "system", "content": EARLY}]},
        path="/v1/chat/completions",
    ),
    Refused(
        "a long turn",
        422,
        "question_too_long",
        {"messages": [{"role": "user", "content": "问" * 20_000}]},
        path="/v1/chat/completions",
    ),
)


@pytest.fixture(scope="module")
def quoting(portal: BlockingPortal, opened_deps: Deps, sample_home: Path) -> Iterator[httpx.Client]:
    """A server without a model, for requests that never reach one."""
    app = create_app(
        settings_for(sample_home, ZHUNXIN_REQUESTS_PER_MINUTE="10000"), replace(opened_deps)
    )
    with (
        portal.wrap_async_context_manager(listening(app)) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("locale", ["zh-Hans", "zh-Hant", "en"])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_refused_request_is_told_why_in_its_language(
    quoting: httpx.Client, case: Refused, locale: str
) -> None:
    body, headers = case.body, {"content-type": "application/json", "accept-language": locale}
    if isinstance(body, dict) and case.path.startswith("/v1/chat") and "messages" not in body:
        body = {**body, "locale": locale}
        headers["accept-language"] = "fr"
    content = case.content or (b"" if body is None else json.dumps(body).encode())
    response = quoting.request(case.method, case.path, content=content, headers=headers)
    told = problem_of(response, case.status)
    values = {"limit": "2000", "length": "20000"} if case.code == "question_too_long" else {}
    assert told["detail"] == notice(case.code, locale, **values)
    assert told["error"]["message"] == told["detail"], "what an OpenAI client shows"


def test_a_request_names_its_wrong_fields_but_not_all_of_a_thousand(quoting: httpx.Client) -> None:
    asked = {"message": EARLY, "locale": "fr"} | {f"unknown{i}": i for i in range(1000)}
    told = problem_of(quoting.post("/v1/chat", json=asked), 422)
    assert told["fields"][0]["field"] == "locale"
    assert len(told["fields"]) == 20


def test_a_body_that_declares_no_length_is_held_to_the_limit(quoting: httpx.Client) -> None:
    blocks = (b" " * 65_536 for _ in range(8))
    response = quoting.post(
        "/v1/chat", content=blocks, headers={"content-type": "application/json"}
    )
    problem_of(response, 413)
    assert ask(quoting, EARLY)["status"] == "answered"


def test_a_body_in_many_small_pieces_is_read_whole(quoting: httpx.Client) -> None:
    body = json.dumps({"message": EARLY}).encode()
    pieces = (body[i : i + 7] for i in range(0, len(body), 7))
    response = quoting.post(
        "/v1/chat?stream=false", content=pieces, headers={"content-type": "application/json"}
    )
    assert response.json()["status"] == "answered"


def test_a_client_that_leaves_before_its_body_is_sent_is_no_fault(
    quoting: httpx.Client, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    address = (quoting.base_url.host, quoting.base_url.port)
    with socket.create_connection(address) as half:  # type: ignore[arg-type]
        half.sendall(
            b"POST /v1/chat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b'content-length: 50\r\n\r\n{"mess'
        )
        time.sleep(0.1)
    assert ask(quoting, EARLY)["status"] == "answered"
    assert not [line for line in log_lines() if line["level"] == "error"]


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("", "zh-Hans"),
        ("*", "zh-Hans"),
        ("fr-FR, de;q=0.8", "zh-Hans"),
        ("en-GB,en;q=0.9,zh-CN;q=0.8", "en"),
        ("zh-CN,en;q=0.8", "zh-Hans"),
        ("fr, zh-TW;q=0.9, en;q=0.8", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("zh-Hans-HK", "zh-Hans"),
        (";;;,,q=", "zh-Hans"),
    ],
)
def test_a_browser_is_answered_in_the_first_language_we_have(header: str, locale: str) -> None:
    assert accepted_locale(header) == locale


def test_too_many_messages_are_told_when_to_come_back(serve: Serve) -> None:
    client = serve(ZHUNXIN_REQUESTS_PER_MINUTE="3")
    for _ in range(3):
        assert client.post("/v1/chat", json={"message": ""}).status_code == 422
    response = client.post("/v1/chat", json={"message": EARLY, "locale": "zh-Hant"})
    assert problem_of(response, 429)["detail"] == notice("too_many_requests", "zh-Hant")
    assert 30 <= int(response.headers["retry-after"]) <= 60
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/models").status_code == 200
    response = client.post("/v1/chat/completions", json={"messages": []})
    assert problem_of(response, 429)["error"]["message"] == notice("too_many_requests", "zh-Hans")


def test_without_a_release_the_server_is_not_ready_and_says_what_to_run(
    serve: Serve, portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal.wrap_async_context_manager(open_deps(settings_for(tmp_path))) as empty:
        client = serve(deps=empty)
        assert "`zhunxin ingest" in problem_of(client.get("/readyz"), 503)["detail"]
        assert client.get("/healthz").json()["status"] == "ok"
        told = problem_of(client.post("/v1/chat", json={"message": EARLY, "locale": "en"}), 503)
        assert told["detail"].startswith(notice("no_knowledge", "en"))
        assert told["detail"].endswith(notice("contact_unknown", "en"))
        assert "ingest" not in told["detail"], "a borrower cannot run commands"
        problem_of(client.get("/v1/clauses/any"), 503)
        problem_of(client.get("/v1/lender"), 503)
        assert client.get("/").status_code == 200


def test_a_server_with_knowledge_is_ready(serve: Serve) -> None:
    body = serve().get("/readyz").json()
    assert body["status"] == "ready"
    assert body["model"] == "extractive"
    assert body["release"]
    assert body["pack"] == "cn"
    assert serve(ScriptedChat([])).get("/readyz").json()["model"] == "ready"


# Faults


def test_a_fault_in_a_stream_ends_in_a_human_and_a_trace_id_that_the_log_has(
    serve: Serve, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = serve(ScriptedChat([]))
    response = client.post("/v1/chat", json={"message": EARLY})
    events = sse(response.text)
    assert [e.name for e in events][-2:] == ["handoff", "error"]
    assert HOTLINE in events[-2].data["text"]
    error = events[-1].data
    assert set(error) == {"text", "trace_id", "hotline", "hours"}
    assert error["hotline"] == HOTLINE
    assert error["text"] == notice("fault", "zh-Hans")
    assert "ScriptRanDry" not in response.text
    assert "script" not in response.text
    (line,) = [line for line in log_lines() if line["level"] == "error"]
    assert line["trace_id"] == error["trace_id"]
    assert "ScriptRanDry" in line["exception"]
    assert EARLY not in json.dumps(line, ensure_ascii=False)


def test_a_fault_in_a_document_is_a_problem(
    serve: Serve, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = serve(ScriptedChat([]))
    response = client.post("/v1/chat?stream=false", json={"message": EARLY, "locale": "en"})
    told = problem_of(response, 500)
    assert told["detail"] == notice("fault", "en")
    assert told["contact"]["hotline"] == HOTLINE
    assert "ScriptRanDry" not in response.text
    (line,) = [line for line in log_lines() if line["level"] == "error"]
    assert line["trace_id"] == told["trace_id"]


def test_a_refusal_is_logged_under_its_trace_id_without_the_question(
    quoting: httpx.Client, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    secret = "我的身份证是11010519491231002X"
    told = problem_of(quoting.post("/v1/chat", json={"message": secret, "x": secret}), 422)
    (line,) = log_lines()
    assert line["trace_id"] == told["trace_id"]
    assert "11010519491231002X" not in json.dumps(line, ensure_ascii=False)
    assert "11010519491231002X" not in json.dumps(told, ensure_ascii=False)


def test_a_database_that_fails_is_a_problem_and_does_not_log_the_question(
    serve: Serve,
    portal: BlockingPortal,
    opened_deps: Deps,
    tmp_path: Path,
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    with portal.wrap_async_context_manager(open_deps(settings_for(tmp_path))) as empty:
        broken = replace(opened_deps, engine=empty.engine, _index_checked=time.monotonic() + 600)

        async def drop() -> None:
            async with empty.engine.begin() as connection:
                await connection.exec_driver_sql("DROP TABLE records")

        portal.call(drop)
        client = serve(deps=broken)
        told = problem_of(client.post("/v1/chat", json={"message": EARLY}), 500)
        assert told["detail"] == notice("fault", "zh-Hans")
        assert told["contact"]["hotline"] == "400-000-0000"
        assert "records" not in json.dumps(told)
    (line,) = [line for line in log_lines() if line["level"] == "error"]
    assert line["trace_id"] == told["trace_id"]
    assert EARLY not in line["exception"], "the statement's values are the borrower's words"


def test_a_borrower_who_leaves_ends_the_model_call_and_leaves_an_unanswered_record(
    serve: Serve, stub: Callable[..., Stub], portal: BlockingPortal, opened_deps: Deps
) -> None:
    model = stub(hangs, says('{"ids":[1]}'))
    client = serve(**endpoint(model))
    question = f"提前还款要收违约金吗？{time.time_ns()}"
    with client.stream("POST", "/v1/chat", json={"message": question}) as response:
        lines = response.iter_lines()
        assert next(lines) == "event: status"
        portal.call(asyncio.wait_for, model.asked.wait(), 10)
    portal.call(asyncio.wait_for, model.hung_up.wait(), 10)

    async def record() -> tuple[str, str]:
        async with opened_deps.engine.connect() as connection:
            rows = await connection.exec_driver_sql(
                "SELECT id, status FROM records WHERE question = ?", (question,)
            )
            (row,) = rows.all()
            return row.id, row.status

    deadline = time.monotonic() + 5
    while portal.call(record)[1] == "open" and time.monotonic() < deadline:
        time.sleep(0.05)
    record_id, status = portal.call(record)
    assert status == "unanswered"
    kept = portal.call(journal.read_record, opened_deps.engine, record_id)
    assert kept is not None
    assert kept["reply"]["sentences"] == []
    assert ask(client, EARLY)["status"] == "answered"


# A model endpoint that does not work


@dataclass(frozen=True)
class Endpoint:
    id: str
    behaviours: tuple[Behaviour, ...]
    way: str = "select"


BROKEN = (
    Endpoint("slow", (hangs,)),
    Endpoint("slow in a stream", (hangs,), "draft"),
    Endpoint("fails", (fails(500),)),
    Endpoint("overloaded", (fails(429, headers={"retry-after": "3600"}),), "draft"),
    Endpoint("wrong key", (fails(401, message="Incorrect API key: sk-very-secret"),)),
    Endpoint("a sign-in page", (sends(b"<html>sign in</html>", content_type="text/html"),)),
    Endpoint("not the JSON asked for", (says("It is sentence one."), says('{"ids":["a"]}'))),
    Endpoint("writes nothing", (says(""),), "draft"),
)


def quoted_with_a_notice(reply: dict[str, Any]) -> None:
    first, *others = reply["sentences"]
    assert first["text"] == notice("model_unavailable", "zh-Hans")
    assert first["kind"] == "notice"
    assert others
    assert {s["kind"] for s in others} == {"quote"}
    assert reply["status"] == "answered"
    assert reply["model"] == "extractive"
    assert reply["contact"]["hotline"] == HOTLINE


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
def test_a_model_that_fails_is_replaced_by_the_clauses_and_a_notice(
    serve: Serve, stub: Callable[..., Stub], case: Endpoint
) -> None:
    model = stub(*case.behaviours)
    client = serve(
        **endpoint(model, ZHUNXIN_LLM_TIMEOUT_S="0.5", ZHUNXIN_LLM_WAY=case.way),
        ZHUNXIN_LLM_API_KEY="sk-very-secret",
    )
    response = client.post("/v1/chat?stream=false", json={"message": EARLY})
    quoted_with_a_notice(response.json())
    assert "secret" not in response.text
    assert len(model.requests) == len(case.behaviours)
    assert model.headers[0]["authorization"] == "Bearer sk-very-secret"


def test_a_model_that_is_down_is_replaced_by_the_clauses_and_a_notice(serve: Serve) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = Stub(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
        quoted_with_a_notice(ask(serve(**endpoint(down)), EARLY))


def test_a_model_that_breaks_off_leaves_what_was_released_and_a_human(
    serve: Serve, stub: Callable[..., Stub]
) -> None:
    client = serve(**endpoint(stub(quotes_then_cuts(1, "另外")), ZHUNXIN_LLM_WAY="draft"))
    events = chat(client, EARLY)
    texts = [e.data["text"] for e in events if e.name == "sentence"]
    quoted = next(e.data["quote"] for e in events if e.name == "citation")
    assert texts == [f"{quoted.rstrip('。；')}。", notice("cut_short", "zh-Hans")]
    assert [e.name for e in events][-2:] == ["handoff", "done"]
    assert HOTLINE in events[-2].data["text"]


def read(stream: Iterable[Any], kept: list[Any]) -> None:
    for chunk in stream:
        kept.append(chunk)


def test_an_openai_client_is_told_of_a_fault_in_a_stream(serve: Serve) -> None:
    client = serve(ScriptedChat([]))
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="any", max_retries=0) as caller:
        asked: Any = [{"role": "user", "content": EARLY}]
        stream = caller.chat.completions.create(model="zhunxin", messages=asked, stream=True)
        chunks: list[Any] = []
        with pytest.raises(openai.APIError) as caught:
            read(stream, chunks)
        assert HOTLINE in "".join(c.choices[0].delta.content or "" for c in chunks)
        assert caught.value.message == notice("fault", "zh-Hans")
        with pytest.raises(openai.InternalServerError, match=notice("fault", "zh-Hans")):
            caller.chat.completions.create(model="zhunxin", messages=asked)


# Clauses, pages, operations


def test_a_cited_clause_opens_and_holds_the_quote(quoting: httpx.Client) -> None:
    for citation in ask(quoting, EARLY)["citations"]:
        response = quoting.get(f"/v1/clauses/{citation['clause_id']}")
        assert response.status_code == 200
        clause = response.json()
        assert citation["quote"] in clause["text"]
        assert {k: v for k, v in clause.items() if k != "text"} == {
            k: v for k, v in citation.items() if k != "quote"
        }


def test_a_clause_for_agents_is_as_unknown_as_one_that_does_not_exist(
    quoting: httpx.Client, portal: BlockingPortal, opened_deps: Deps
) -> None:
    index = portal.call(opened_deps.index)
    agents = [c.id for c in index.clauses if c.head.audience != "borrower"]
    assert agents
    unknown = problem_of(quoting.get("/v1/clauses/0000"), 404)
    for clause_id in agents:
        told = problem_of(quoting.get(f"/v1/clauses/{clause_id}"), 404)
        assert told["detail"] == unknown["detail"]


def test_a_clause_may_have_any_id_that_its_owner_gave_it(
    serve: Serve, portal: BlockingPortal, opened_deps: Deps
) -> None:
    index = portal.call(opened_deps.index)
    clause = next(c for c in index.clauses if c.head.audience == "borrower")
    awkward = replace(clause, id="条款/1 ?#%2F")
    renamed = replace(
        opened_deps,
        _index=replace(index, by_id={awkward.id: awkward}),
        _index_checked=time.monotonic() + 600,
    )
    from assistant.api.openai import _Pieces
    from assistant.models import Event

    client = serve(deps=renamed)
    pieces = _Pieces(f"{client.base_url}/")
    pieces.of(Event("citation", {"index": 0, "quote": "", **journal.clause_as_json(awkward)}))
    _, (mark,) = pieces.of(Event("sentence", {"text": "好", "citations": [0]}))
    response = client.get(mark["url_citation"]["url"])
    assert response.json()["clause_id"] == awkward.id


@pytest.mark.parametrize("path", ["/", "/widget.js", "/web/widget.css", "/v1/models", "/metrics"])
def test_every_answer_carries_the_security_headers(quoting: httpx.Client, path: str) -> None:
    response = quoting.get(path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "object-src 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


def test_the_page_asks_for_nothing_from_elsewhere(quoting: httpx.Client) -> None:
    page = quoting.get("/").text
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "<script>" not in page, "the policy forbids inline scripts"
    for address in re.findall(r"(?:src|href)=\"(/[^\"#]+)\"", page):
        assert quoting.get(address).status_code == 200, address


def test_secrets_of_the_settings_appear_nowhere(serve: Serve, stub: Callable[..., Stub]) -> None:
    secrets = {
        "ZHUNXIN_LLM_API_KEY": "sk-secret-of-the-model",
        "ZHUNXIN_EMBEDDINGS_API_KEY": "sk-secret-of-the-embeddings",
        "ZHUNXIN_DATABASE_URL": "postgresql://zhunxin:secret-of-the-database@db/zhunxin",
    }
    client = serve(**endpoint(stub(fails(401, message="key sk-secret-of-the-model"))), **secrets)
    pages = ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/models", "/nothing"]
    answers = [client.get(path).text for path in pages]
    answers.append(client.post("/v1/chat", json={"message": EARLY}).text)
    for text in answers:
        assert "secret" not in text


def test_only_the_origins_allowed_may_embed_the_widget(serve: Serve) -> None:
    client = serve(ZHUNXIN_ALLOWED_ORIGINS="https://lender.example, https://m.lender.example")

    def allowed(origin: str) -> tuple[str | None, str | None]:
        headers = {"origin": origin}
        asked = client.post("/v1/chat", json={"message": ""}, headers=headers)
        before = client.options(
            "/v1/chat",
            headers=headers
            | {
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,authorization",
            },
        )
        name = "access-control-allow-origin"
        return asked.headers.get(name), before.headers.get(name)

    for origin in ("https://lender.example", "https://m.lender.example"):
        assert allowed(origin) == (origin, origin)
    assert allowed("https://evil.example") == (None, None)
    assert allowed("null") == (None, None)


def test_without_origins_no_other_page_may_read_an_answer(serve: Serve) -> None:
    response = serve().get("/healthz", headers={"origin": "https://lender.example"})
    assert "access-control-allow-origin" not in response.headers


def counts(client: httpx.Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = re.findall(r"^(zhunxin_\w+(?:\{[^}]*\})?) (\S+)$", response.text, re.M)
    return {name: float(value) for name, value in samples}


def test_outcomes_are_counted(serve: Serve) -> None:
    wrong = writing(("您最高能借30万元", LARGEST))
    client = serve(ScriptedChat([wrong, wrong], way="draft"))
    before = counts(client)
    ask(client, AMOUNT)
    ask(client, "今天天气怎么样")
    chat(client, EARLY)  # the script has run dry
    after = counts(client)
    for name in (
        'zhunxin_questions_total{status="answered"}',
        'zhunxin_questions_total{status="not_covered"}',
        'zhunxin_questions_total{status="error"}',
        "zhunxin_withheld_sentences_total",
    ):
        assert after[name] - before.get(name, 0) == 1, name
    assert after["zhunxin_reply_seconds_count"] - before.get("zhunxin_reply_seconds_count", 0) == 2
    evidence = "zhunxin_evidence_seconds_count"
    assert after[evidence] - before.get(evidence, 0) == 2


# The description of the API


def test_the_description_names_every_route_with_its_answers(quoting: httpx.Client) -> None:
    described = quoting.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    expected = {
        ("post", "/v1/chat"): {"200", "400", "401", "404", "413", "422", "429", "500", "503"},
        ("post", "/v1/chat/completions"): {"200", "400", "401", "413", "422", "429", "500", "503"},
        ("get", "/v1/clauses/{clause_id}"): {"200", "404", "422", "500", "503"},
        ("get", "/v1/lender"): {"200", "500", "503"},
        ("get", "/v1/models"): {"200"},
        ("get", "/v1/models/{model}"): {"200", "404", "422"},
        ("get", "/v1/knowledge/documents"): {"200", "401", "403", "500", "503"},
        ("get", "/v1/knowledge/documents/{source}/versions"): {
            "200",
            "401",
            "403",
            "404",
            "422",
            "500",
            "503",
        },
        ("get", "/v1/knowledge/documents/{source}/clauses"): {
            "200",
            "401",
            "403",
            "404",
            "422",
            "500",
            "503",
        },
        ("get", "/v1/knowledge/diff"): {"200", "401", "403", "404", "422", "500", "503"},
        ("get", "/v1/knowledge/releases"): {"200", "401", "403", "500"},
        ("get", "/v1/knowledge/releases/diff"): {"200", "401", "403", "404", "422", "500"},
        ("post", "/v1/knowledge/releases/{release_id}/activate"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("get", "/v1/knowledge/findings"): {"200", "401", "403", "500", "503"},
        ("post", "/v1/knowledge/clearances"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/knowledge/clearances/withdrawals"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/knowledge/confirmations"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("get", "/v1/knowledge/uploads"): {"200", "401", "403", "500"},
        ("post", "/v1/knowledge/uploads"): {"202", "400", "401", "403", "413", "422", "500", "503"},
        ("get", "/v1/knowledge/uploads/{upload_id}"): {"200", "401", "403", "404", "422", "500"},
        ("post", "/v1/knowledge/uploads/{upload_id}/cancel"): {
            "200",
            "401",
            "403",
            "404",
            "422",
            "500",
        },
        ("get", "/v1/knowledge/questions"): {"200", "401", "403", "422", "500"},
        ("post", "/v1/search"): {"200", "401", "403", "413", "422", "429", "500", "503"},
        ("post", "/v1/check"): {"200", "400", "401", "403", "413", "422", "500", "503"},
        ("get", "/v1/rules"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/rules/{rule_id}"): {"200", "401", "403", "404", "422", "500"},
        ("post", "/v1/staff/session"): {"200", "400", "401", "403", "413", "422", "429", "500"},
        ("delete", "/v1/staff/session"): {"204", "401", "403", "500"},
        ("get", "/v1/staff/me"): {"200", "401", "500"},
        ("get", "/v1/staff/demo"): {"200"},
        ("get", "/v1/staff/accounts"): {"200", "401", "403", "500"},
        ("post", "/v1/staff/accounts"): {"201", "400", "401", "403", "413", "422", "500"},
        ("patch", "/v1/staff/accounts/{staff_id}"): {"200", "400", "401", "403", "404"}
        | {"413", "422", "500"},
        ("get", "/v1/audit"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/audit/{record_id}"): {"200", "401", "403", "404", "422", "500"},
        ("post", "/v1/audit/{record_id}/replay"): {"200", "401", "403", "404", "422", "500"},
        ("get", "/v1/evals"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/evals/{run}"): {"200", "401", "403", "404", "422", "500"},
        ("get", "/v1/evals/{run}/cases"): {"200", "401", "403", "404", "422", "500"},
        ("get", "/v1/evals/{run}/changes"): {"200", "401", "403", "404", "422", "500"},
        ("get", "/v1/quality/drift"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/quality/replies"): {"200", "401", "403", "404", "422", "500"},
        ("get", "/v1/me"): {"200", "401", "500", "503"},
        ("get", "/v1/conversations"): {"200", "401", "500", "503"},
        ("get", "/v1/conversations/{conversation_id}"): {"200", "401", "404", "422", "500", "503"},
        ("delete", "/v1/conversations/{conversation_id}"): {"200", "401", "404"}
        | {"422", "500", "503"},
        ("get", "/v1/conversations/{conversation_id}/export"): {"200", "401", "404"}
        | {"422", "500", "503"},
        ("get", "/v1/conversations/{conversation_id}/events"): {"200", "401", "404"}
        | {"422", "429", "500", "503"},
        ("post", "/v1/conversations/{conversation_id}/messages"): {"201", "400", "401", "404"}
        | {"409", "413", "422", "429", "500", "503"},
        ("post", "/v1/handoffs"): {"201", "400", "401", "404", "413", "422", "429", "500", "503"},
        **{
            ("post", f"/v1/handoffs/{{handoff_id}}/{step}"): {"200", "400", "401", "404"}
            | {"409", "413", "422", "429", "500", "503"}
            for step in ("contact", "leave")
        },
        ("get", "/v1/desk/queue"): {"200", "401", "403", "500", "503"},
        ("get", "/v1/desk/events"): {"200", "401", "403", "422", "429", "500", "503"},
        ("get", "/v1/desk/handoffs/{handoff_id}"): {"200", "401", "403", "404"}
        | {"409", "422", "500", "503"},
        **{
            ("post", f"/v1/desk/handoffs/{{handoff_id}}/{step}"): {"200", "401", "403", "404"}
            | {"409", "422", "500", "503"}
            for step in ("take", "return", "requeue")
        },
        ("post", "/v1/desk/handoffs/{handoff_id}/close"): {"200", "401", "403", "404"}
        | {"409", "413", "422", "500", "503"},
        ("post", "/v1/desk/handoffs/{handoff_id}/messages"): {"201", "401", "403", "404"}
        | {"409", "413", "422", "500", "503"},
        ("post", "/v1/desk/held/{event_id}"): {"200", "401", "403", "404"}
        | {"409", "413", "422", "500", "503"},
        ("post", "/v1/feedback"): {"200", "401", "404", "413", "422", "429", "500", "503"},
        ("get", "/v1/feedback"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/feedback/summary"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/feedback/cases"): {"200", "401", "403", "422", "500"},
        ("post", "/v1/feedback/cases"): {"200", "401", "403", "404", "422", "500"},
        ("post", "/v1/feedback/cases/{draft_id}/labels"): {"200", "401", "403", "404"}
        | {"409", "422", "500"},
        ("get", "/v1/feedback/answers"): {"200", "401", "403", "422", "500"},
        ("post", "/v1/feedback/answers"): {"200", "401", "403", "404", "409", "422", "500", "503"},
        ("post", "/v1/feedback/answers/{answer_id}/signature"): {"200", "401", "403", "404"}
        | {"409", "422", "500", "503"},
        ("post", "/v1/feedback/answers/{answer_id}/withdrawal"): {"200", "401", "403", "404"}
        | {"422", "500"},
        ("get", "/v1/campaigns"): {"200", "401", "403", "422", "500", "503"},
        ("get", "/v1/campaigns/{campaign_id}"): {"200", "401", "403", "404", "422", "500", "503"},
        ("get", "/v1/campaigns/{campaign_id}/results"): {"200", "401", "403", "404"}
        | {"422", "500", "503"},
        ("post", "/v1/campaigns/{campaign_id}/results"): {"200", "401", "403", "404"}
        | {"413", "422", "500", "503"},
        ("get", "/v1/segments"): {"200", "401", "403", "422", "500"},
        ("post", "/v1/segments"): {"200", "401", "403", "413", "422", "500"},
        ("post", "/v1/segments/count"): {"200", "401", "403", "404", "413", "422", "500", "503"},
        ("post", "/v1/offers"): {"202", "401", "403", "404", "413", "422", "429", "500", "503"},
        ("get", "/v1/offers/jobs/{job_id}"): {"200", "401", "403", "404", "422", "500"},
        ("get", "/v1/drafts"): {"200", "401", "403", "422", "500", "503"},
        ("get", "/v1/drafts/{draft_id}"): {"200", "401", "403", "404", "422", "500", "503"},
        ("get", "/v1/drafts/{draft_id}/sheet"): {"200", "401", "403", "404", "422", "500", "503"},
        ("patch", "/v1/drafts/{draft_id}"): {"200", "401", "403", "404"}
        | {"409", "413", "422", "500", "503"},
        **{
            ("post", f"/v1/drafts/{{draft_id}}/{step}"): {"200", "401", "403", "404"}
            | {"409", "413", "422", "500", "503"}
            for step in ("check", "submit", "approve", "reject", "withdraw")
        },
        **{
            ("post", f"/v1/calculations/{tool}"): {"200", "413", "422", "429", "500"}
            for tool in ("schedule", "rate", "settle", "prepay", "overdue", "coupon", "compare")
        },
        ("post", "/v1/copilot/suggest"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/summary"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/next"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/card"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/check"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/scripts"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/wrap-up"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/wrap-up/kept"): {
            "201",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/copilot/events"): {
            "201",
            "401",
            "403",
            "404",
            "409",
            "413",
            "422",
            "500",
            "503",
        },
        ("get", "/v1/copilot/tasks"): {"200", "401", "403", "422", "500", "503"},
        ("post", "/v1/copilot/tasks/{task_id}"): {"200", "401", "403", "404", "422", "500", "503"},
        ("get", "/v1/copilot/clauses/{clause_id}"): {
            "200",
            "401",
            "403",
            "404",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/suppressions"): {"200", "401", "403", "413", "422", "500"},
        ("delete", "/v1/suppressions"): {"200", "401", "403", "413", "422", "500"},
        ("post", "/v1/copilot/score"): {"200", "401", "403", "404", "409", "422", "500", "503"},
        ("get", "/v1/scores"): {"200", "401", "403", "422", "500", "503"},
        ("get", "/v1/scores/trends"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/scores/agreement"): {"200", "401", "403", "422", "500"},
        ("post", "/v1/scores/samples"): {"200", "401", "403", "422", "500", "503"},
        ("get", "/v1/scores/samples"): {"200", "401", "403", "422", "500"},
        ("get", "/v1/scores/appeals"): {"200", "401", "403", "422", "500"},
        ("post", "/v1/scores/appeals/{appeal_id}/decision"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("get", "/v1/scores/{score_id}"): {"200", "401", "403", "404", "409", "422", "500", "503"},
        ("post", "/v1/scores/{score_id}/appeals"): {
            "201",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("post", "/v1/scores/{score_id}/review"): {
            "200",
            "401",
            "403",
            "404",
            "409",
            "422",
            "500",
            "503",
        },
        ("get", "/healthz"): {"200"},
        ("get", "/readyz"): {"200", "503"},
        ("get", "/metrics"): {"200"},
    }
    routes = {
        (method, path): set(operation["responses"])
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    assert routes == expected
    ids = [o["operationId"] for ops in described["paths"].values() for o in ops.values()]
    assert len(set(ids)) == len(ids)
    for operations in described["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                kinds = set(answer.get("content", ()))
                assert status.startswith("2") or kinds == {"application/problem+json"}
    assert set(described["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == {
        "text/plain"
    }
    for reference in re.findall(r'"\$ref": "#([^"]+)"', json.dumps(described)):
        place: Any = described
        for step in reference.strip("/").split("/"):
            place = place[step]
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_answers_are_as_described(quoting: httpx.Client) -> None:
    described = quoting.get("/openapi.json").json()

    def holds(answer: Any, method: str, path: str, status: str) -> None:
        (kind,) = set(described["paths"][path][method]["responses"][status]["content"]) - {
            "text/event-stream"
        }
        schema = described["paths"][path][method]["responses"][status]["content"][kind]["schema"]
        whole = {**schema, "components": described["components"]}
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(
            answer
        )

    answered = ask(quoting, EARLY)
    holds(answered, "post", "/v1/chat", "200")
    holds(ask(quoting, "今天天气怎么样"), "post", "/v1/chat", "200")
    clause_id = answered["citations"][0]["clause_id"]
    holds(quoting.get(f"/v1/clauses/{clause_id}").json(), "get", "/v1/clauses/{clause_id}", "200")
    refused = quoting.post("/v1/chat", json={"message": "", "locale": "en"})
    holds(refused.json(), "post", "/v1/chat", "422")
    holds(quoting.get("/v1/lender").json(), "get", "/v1/lender", "200")
    holds(quoting.get("/readyz").json(), "get", "/readyz", "200")
    with pytest.raises(jsonschema.ValidationError):
        holds({**answered, "status": "perhaps"}, "post", "/v1/chat", "200")
