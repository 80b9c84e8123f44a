"""Tools over MCP, called with the official client: over stdio and over HTTP, and who may call."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from assistant import staff
from assistant.api.mcp import create_mcp_app
from assistant.deps import Deps, open_deps
from assistant.mcp_server import (
    MAX_ARGUMENTS_BYTES,
    OPERATOR,
    TOOLS,
    Endpoint,
    build_server,
    lazily,
)
from assistant.staff import SessionRules, Signed, SignedIn

from .conftest import settings_for

PASSWORD = "mcp-Zugang-2026"
RULES = SessionRules(timedelta(minutes=30), timedelta(hours=1))
LOAN = {"principal_cny": "12000", "method": "equal_instalment", "annual_rate": "0", "terms": 12}
TALK = "客户：我想提前还款，有违约金吗？\n客服：可以随时提前还款。我明天给您回电话。\n"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPTED = {"Accept": "application/json, text/event-stream"}
ERAS = ["auto", "legacy"]
"""Without a handshake, as clients since July 2026; with one, as those before."""


@dataclass(frozen=True)
class Served:
    url: str
    tokens: dict[str, str]
    """By role."""

    @asynccontextmanager
    async def client(self, role: str, mode: str = "auto") -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client


@pytest.fixture(scope="module")
def home(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample lender, with accounts of its own."""
    folder = tmp_path_factory.mktemp("mcp") / "home"
    shutil.copytree(sample_home, folder, ignore=shutil.ignore_patterns("evals"))
    return folder


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    """`zhunxin mcp --http`, with a member of staff for some roles."""
    settings = settings_for(home)

    async def sign_in() -> dict[str, str]:
        tokens = {}
        async with open_deps(settings) as deps:
            for role in ("agent", "auditor"):
                await staff.create_account(deps.trail, f"{role}.mcp", role, [role], PASSWORD)
                outcome = await staff.sign_in(
                    deps.trail, f"{role}.mcp", PASSWORD, RULES, address="test"
                )
                assert isinstance(outcome, SignedIn)
                tokens[role] = outcome.token
        return tokens

    tokens = asyncio.run(sign_in())
    with listening(create_mcp_app(settings)) as address:
        yield Served(f"{address}/mcp", tokens)


class listening:
    """An application served in a thread; its address."""

    def __init__(self, app: Any, lifespan: Any = "on") -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_level="error", lifespan=lifespan, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()


def over_stdio(home: Path, mode: str) -> Client:
    environ = {"ZHUNXIN_HOME": str(home), "ZHUNXIN_LLM": "extractive"}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "assistant", "mcp"], env=environ
    )
    return Client(command, mode=mode)


async def found(client: Client, name: str, /, **arguments: Any) -> Any:
    """What a tool gives; its text is the same as JSON."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def refused(client: Client, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    text: str = result.content[0].text
    assert "Traceback" not in text
    return text


async def call_each_tool(client: Client) -> None:
    hits = (await found(client, "search", query="提前还款要违约金吗？", k=3))["hits"]
    assert len(hits) == 3
    assert "违约金" in hits[0]["text"]
    told = await found(client, "check", text="稳赚不赔，百分百下款", task="marketing")
    assert told["verdict"] == "block"
    assert [each["rule"] for each in told["findings"]] == ["CN-PROM-01"]
    table = await found(client, "calculate", tool="schedule", arguments=LOAN)
    assert [row["total_cny"] for row in table["instalments"]] == ["1000.00"] * 12
    suggested = await found(client, "suggest", message="随心借提前还款要违约金吗？")
    assert "违约金" in suggested["text"]
    cited = [place for each in suggested["sentences"] for place in each["citations"]]
    assert cited
    assert {"reply", "short", "detailed"} == suggested["alternatives"].keys()
    assert suggested["next"]["verified"] is False
    closing = await found(client, "summarise", text=TALK, wrap_up=True)
    assert closing["reason"] == "early_settlement"
    assert [each["kind"] for each in closing["promises"]] == ["call_back"]
    rules = await client.read_resource("zhunxin://rules/CN-PROM-01")
    assert json.loads(rules.contents[0].text)["severity"] == "block"
    clause = await client.read_resource(f"zhunxin://clauses/{hits[0]['clause_id']}")
    assert json.loads(clause.contents[0].text)["text"] == hits[0]["text"]


async def meet_each_fault(client: Client) -> None:
    assert "k: Input should be" in await refused(client, "search", query="还款", k=0)
    assert "query: Field required" in await refused(client, "search")
    assert "customer_id: Extra" in await refused(client, "suggest", message="我", customer_id="1")
    assert "task: " in await refused(client, "check", text="您好", task="poem")
    assert "pack: no rule pack" in await refused(
        client, "check", text="您好", task="chat", pack="xx"
    )
    assert "channel: " in await refused(client, "check", text="您好", task="chat", append=True)
    assert "expected one of schedule" in await refused(
        client, "calculate", tool="luck", arguments={}
    )
    assert "arguments.terms: " in await refused(
        client, "calculate", tool="schedule", arguments=LOAN | {"terms": 0}
    )
    assert "expected turns or text" in await refused(client, "summarise")
    assert "unknown_speaker 路人" in await refused(client, "summarise", text="路人：您好")
    long = "字" * (MAX_ARGUMENTS_BYTES // 3)
    assert "too large" in await refused(client, "check", text=long, task="chat")
    with pytest.raises(MCPError, match="unknown tool; there are search, check"):
        await client.call_tool("transfer_money", {})
    for address in ("zhunxin://rules/none", "zhunxin://customers", "file:///etc/passwd"):
        with pytest.raises(MCPError):
            await client.read_resource(address)


async def test_over_stdio_each_tool_is_called_and_each_fault_told(home: Path) -> None:
    async with over_stdio(home, "auto") as client:
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == [
            "search",
            "check",
            "calculate",
            "suggest",
            "summarise",
        ]
        await call_each_tool(client)
        await meet_each_fault(client)


@pytest.mark.parametrize("mode", ERAS)
async def test_over_http_each_tool_is_called_and_each_fault_told(served: Served, mode: str) -> None:
    async with served.client("agent", mode) as client:
        await call_each_tool(client)
        await meet_each_fault(client)


async def test_every_argument_is_described(served: Served) -> None:
    async with served.client("agent") as client:
        for tool in (await client.list_tools()).tools:
            assert tool.description
            for name, field in tool.input_schema["properties"].items():
                assert field.get("description"), f"{tool.name}.{name}"
        templates = (await client.list_resource_templates()).resource_templates
        assert {each.uri_template for each in templates} == {
            "zhunxin://rules/{id}",
            "zhunxin://clauses/{id}",
        }


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer zxs_guessed"}, {"Authorization": "Basic YTpi"}],
    ids=["no token", "a wrong one", "another scheme"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_without_a_staff_token_nothing_is_served(
    served: Served, method: str, headers: dict[str, str]
) -> None:
    answer = httpx2.request(method, served.url, headers=headers, json=PING, timeout=20)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "rebound.example"}, 421),
        ({"Origin": "https://rebound.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
    ids=["host", "origin", "site"],
)
def test_what_another_site_has_a_browser_send_is_turned_away(
    served: Served, headers: dict[str, str], status: int
) -> None:
    with_token = headers | {"Authorization": f"Bearer {served.tokens['agent']}"}
    answer = httpx2.post(served.url, headers=with_token, json=PING, timeout=20)
    assert answer.status_code == status


def test_a_body_beyond_the_bound_is_not_read(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.tokens['agent']}"}
    answer = httpx2.post(served.url, headers=headers, content=b"x" * 2**20, timeout=20)
    assert answer.status_code == 413


async def test_tools_are_for_the_roles_of_their_routes(served: Served) -> None:
    """An auditor searches and checks, and helps nobody at a desk."""
    async with served.client("auditor") as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        assert listed == ["search", "check", "calculate"]
        told = await refused(client, "suggest", message="怎么还款？")
        assert "needs a role that you do not have: agent, supervisor" in told
        hits = (await found(client, "search", query="安抚话术", k=5, audience="agent"))["hits"]
        assert hits


async def test_a_session_of_the_protocol_is_of_who_opened_it(served: Served) -> None:
    async with httpx2.AsyncClient(headers=ACCEPTED, timeout=20) as http:
        mine = {"Authorization": f"Bearer {served.tokens['agent']}"}
        opened = await http.post(served.url, headers=mine, json=INITIALIZE)
        assert opened.status_code == 200
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        others = {"Authorization": f"Bearer {served.tokens['auditor']}"}
        stolen = await http.post(served.url, headers=others | session, json=PING)
        assert stolen.status_code == 404
        ended = await http.delete(served.url, headers=mine | session)
        assert ended.status_code == 200


class Hanging:
    """What tools work with, never there; notes who gave up waiting for it."""

    def __init__(self) -> None:
        self.waited = threading.Event()
        self.given_up = threading.Event()

    async def __call__(self) -> Deps:
        try:
            self.waited.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        raise AssertionError("the event was never set")


async def cancel_a_call(client: Client, hanging: Hanging) -> None:
    asked = asyncio.create_task(client.call_tool("search", {"query": "还款"}))
    assert await asyncio.to_thread(hanging.waited.wait, 10)
    assert [tool.name for tool in (await client.list_tools()).tools]
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await asyncio.to_thread(hanging.given_up.wait, 10)
    assert "expected turns" in await refused(client, "summarise")


@pytest.mark.parametrize("mode", ERAS)
async def test_tools_are_listed_while_others_are_called_and_a_call_is_given_up(mode: str) -> None:
    hanging = Hanging()
    async with Client(build_server(hanging, lambda context: OPERATOR), mode=mode) as client:
        await cancel_a_call(client, hanging)


@pytest.mark.parametrize("mode", ERAS)
async def test_over_http_a_call_is_given_up_too(mode: str) -> None:
    hanging = Hanging()
    with listening(signed_in_as_agent(Endpoint(hanging))) as address:
        async with Client(f"{address}/mcp", mode=mode) as client:
            await cancel_a_call(client, hanging)


def signed_in_as_agent(endpoint: Endpoint) -> Any:
    """The endpoint alone, as the guard would call it."""
    agent = Signed(
        "s1", "agent", "agent", frozenset({"agent"}), False, datetime.now(UTC), csrf_token=""
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await endpoint({**scope, "state": {"staff": agent}}, receive, send)
            return
        await receive()
        async with endpoint.run():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


class Broken:
    """A fault that nobody expected, as it comes from below."""

    async def __call__(self) -> Deps:
        raise ZeroDivisionError("the password is 12345")


@pytest.mark.parametrize("mode", ERAS)
async def test_a_fault_is_told_by_its_number_alone(
    mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Client(build_server(Broken(), lambda context: OPERATOR), mode=mode) as client:
        told = await refused(client, "search", query="还款")
        with pytest.raises(MCPError) as read:
            await client.read_resource("zhunxin://rules")
    for text in (told, str(read.value)):
        assert text.startswith("a fault of the server; its log tells more under ")
    logged = capsys.readouterr()
    assert logged.out == ""
    assert told.rpartition(" ")[2] in logged.err


async def test_what_a_server_lacks_is_told(tmp_path: Path) -> None:
    """Nothing was ingested, and a setting names no file."""
    empty = settings_for(tmp_path / "empty")
    async with (
        lazily(empty) as opened,
        Client(build_server(opened, lambda context: OPERATOR)) as client,
    ):
        assert "zhunxin ingest" in await refused(client, "search", query="还款")
        assert (await found(client, "check", text="您好", task="chat"))["verdict"]
    wrong = settings_for(tmp_path / "wrong", ZHUNXIN_LENDER=str(tmp_path / "none.toml"))
    async with (
        lazily(wrong) as opened,
        Client(build_server(opened, lambda context: OPERATOR)) as client,
    ):
        assert "none.toml" in await refused(client, "check", text="您好", task="chat")


def test_the_document_names_the_tools_with_their_arguments() -> None:
    text = (Path(__file__).parent.parent / "docs" / "mcp.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.M)
    assert [name for name, _ in rows] == [*TOOLS]
    for name, takes in rows:
        arguments = set(TOOLS[name].arguments.model_fields) - {"locale"}
        assert arguments <= set(re.findall(r"`(\w+)`", takes)), name
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    compile(example, "docs/mcp.md", "exec")
