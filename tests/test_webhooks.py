"""What happens is told to an address: signed, in order, without a word of anybody, none lost."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from assistant import audit, copilot_store, handoff
from assistant.api.app import keep_running
from assistant.audit import Trail
from assistant.config import ConfigError
from assistant.db import migrate, open_engine, quality_scores
from assistant.desk_plan import load_desk
from assistant.handoff import Handoff, Member
from assistant.staff import create_account, find_account
from assistant.webhooks import (
    NAMES,
    SETTLED,
    Happened,
    NotTaken,
    Target,
    Waits,
    Worker,
    send,
    signature,
    target_of,
)

from .conftest import settings_for

SECRET = "a secret that only the two of us know"
OPEN = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)  # noon in Shanghai
PLAN = load_desk()
DOCUMENT = Path(__file__).parent.parent / "docs" / "webhooks.md"


@dataclass
class Receiver:
    """An address that answers with given statuses, then with 200, and keeps what it took."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    goes_on: bool = False
    """Whether it never comes to the end of its answer."""
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    """Whether a wrap-up came."""

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.asked]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.told]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    held = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            held.asked.append((dict(self.headers), body))
            if self.headers["Zhunxin-Event"] == "wrap_up.kept":
                held.closed.set()
            self.send_response(held.statuses.pop(0) if held.statuses else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "1000" if held.goes_on else "0")
            self.end_headers()
            with suppress(ConnectionError):
                while held.goes_on:
                    self.wfile.write(b".")
                    time.sleep(0.05)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        held.url = f"http://127.0.0.1:{server.server_port}/hook"
        yield held
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest schema with one agent, whose password takes long to hash."""
    folder = tmp_path_factory.mktemp("webhooks")

    async def found() -> None:
        opened = open_trail(folder)
        await migrate(opened.engine)
        await audit.found(opened)
        await create_account(opened, "ling", "客服ling", ["agent"], "a long enough passphrase")
        await opened.engine.dispose()

    asyncio.run(found())
    return folder


def open_trail(folder: Path) -> Trail:
    engine = open_engine(f"sqlite+aiosqlite:///{folder / 'zhunxin.db'}")
    return Trail(engine, audit.open_keys(folder / "key"), folder / "heads.jsonl")


@pytest.fixture
async def trail(founded: Path, tmp_path: Path) -> AsyncIterator[Trail]:
    shutil.copytree(founded, tmp_path, dirs_exist_ok=True)
    opened = open_trail(tmp_path)
    yield opened
    await opened.engine.dispose()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as opened:
        yield opened


def worker(trail: Trail, home: Path, waits: Waits | None = None) -> Worker:
    """A process that begins: it knows only what its home folder has."""
    return Worker(None, trail.engine, home, waits or Waits())


async def tell(trail: Trail, home: Path, receiver: Receiver, client: httpx.AsyncClient) -> None:
    await worker(trail, home).tell(Target(receiver.url, SECRET), client)


async def hand_over(trail: Trail) -> Handoff:
    """Queued, taken, written to, closed, with a wrap-up."""
    assert PLAN is not None
    asked = await handoff.ask(
        trail, PLAN, conversation_id="", subject="", locale="zh-Hans", now=OPEN
    )
    assert isinstance(asked, Handoff)
    account = await find_account(trail.engine, "ling")
    ling = Member(account.id, account.login, frozenset(account.roles))
    assert isinstance(await handoff.take(trail, PLAN, asked.id, ling), Handoff)
    await handoff.write(trail, asked.id, "我叫王小明，电话13812345678")
    assert isinstance(await handoff.close(trail, asked.id, ling, "solved"), Handoff)
    for kind in ("suggested", "wrap_up"):
        await copilot_store.note(
            trail,
            conversation_id=asked.conversation_id,
            handoff_id=asked.id,
            kind=kind,
            staff_id=ling.staff_id,
            text="王小明想提前还款",
            told={"reason": "early_settlement"},
        )
    return asked


async def add_score(trail: Trail, name: str, at: datetime, **more: Any) -> None:
    row = {
        "id": name,
        "source": "own",
        "conversation_id": f"conversation-{name}",
        "held_on": date(2026, 11, 26),
        "scored_at": at,
        "task": "agent",
        "topic": "",
        "total": 5250,
        "passed": False,
        "band": "poor",
        "document": {},
        "rules_version": "",
        "scoring_version": "",
    }
    async with trail.engine.begin() as connection:
        await connection.execute(insert(quality_scores).values(row | more))


async def test_what_happens_is_told_in_order_and_once(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    before = await hand_over(trail)
    await tell(trail, tmp_path, receiver, client)
    assert receiver.types == [], "what happened before there was an address"
    handed = await hand_over(trail)
    await audit.append(trail, "offer", "d1", {"action": "submitted", "version": 1})
    await audit.append(trail, "offer", "d1", {"action": "approved", "version": 1})
    await tell(trail, tmp_path, receiver, client)
    await tell(trail, tmp_path, receiver, client)
    assert receiver.types == [
        "handoff.queued",
        "handoff.taken",
        "handoff.closed",
        "wrap_up.kept",
        "draft.approved",
    ]
    queued, _, closed, kept, approved = receiver.told
    assert queued["data"] == {
        "handoff": handed.id,
        "conversation": handed.conversation_id,
        "state": "waiting",
    }
    assert closed["data"]["ending"] == "solved"
    assert kept["data"]["conversation"] == handed.conversation_id
    assert approved["data"] == {"draft": "d1", "version": 1}
    assert len({event["id"] for event in receiver.told}) == 5
    sent = b"".join(body for _, body in receiver.asked).decode()
    for personal in ("王小明", "13812345678", "ling", before.id):
        assert personal not in sent


async def test_low_scores_of_own_conversations_are_told(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    await tell(trail, tmp_path, receiver, client)
    file = tmp_path / "webhooks.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    begun = datetime.now(UTC) - timedelta(hours=1)
    file.write_text(json.dumps(state | {"scored_at": begun.isoformat()}), encoding="utf-8")
    soon = begun + timedelta(minutes=1)
    await add_score(trail, "low", soon)
    await add_score(trail, "low-too", soon)
    await add_score(trail, "fine", soon, passed=True)
    await add_score(trail, "file", soon, source="import")
    await add_score(trail, "just-now", datetime.now(UTC) + SETTLED)
    await tell(trail, tmp_path, receiver, client)
    await tell(trail, tmp_path, receiver, client)
    assert [event["data"]["score"] for event in receiver.told] == ["low", "low-too"]
    assert receiver.told[0]["data"]["total"] == 52.5


@pytest.mark.parametrize("status", [500, 404, 302, 429])
async def test_what_is_not_taken_is_sent_again_after_a_restart_and_nothing_overtakes_it(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient, status: int
) -> None:
    await tell(trail, tmp_path, receiver, client)
    await hand_over(trail)
    receiver.statuses = [200, status, status]
    for _ in range(2):
        with pytest.raises(NotTaken, match=str(status)):
            await tell(trail, tmp_path, receiver, client)
    await tell(trail, tmp_path, receiver, client)
    taken = receiver.types
    assert taken == ["handoff.queued", *["handoff.taken"] * 3, "handoff.closed", "wrap_up.kept"]
    repeated = [event["id"] for event in receiver.told if event["type"] == "handoff.taken"]
    assert len(set(repeated)) == 1


async def test_an_address_that_is_not_there_takes_nothing_and_loses_nothing(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    await tell(trail, tmp_path, receiver, client)
    await hand_over(trail)
    with pytest.raises(NotTaken, match="ConnectError"):
        await worker(trail, tmp_path).tell(Target("http://127.0.0.1:9/", SECRET), client)
    await tell(trail, tmp_path, receiver, client)
    assert receiver.types[0] == "handoff.queued"


async def test_an_answer_without_an_end_holds_up_nothing(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    await tell(trail, tmp_path, receiver, client)
    await hand_over(trail)
    receiver.goes_on = True
    try:
        async with asyncio.timeout(5):
            await tell(trail, tmp_path, receiver, client)
    finally:
        receiver.goes_on = False
    assert receiver.types[-1] == "wrap_up.kept"


async def test_an_event_that_is_never_taken_is_given_up_at_last(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    await tell(trail, tmp_path, receiver, client)
    await hand_over(trail)
    receiver.statuses = [400, 400]
    target, patient = Target(receiver.url, SECRET), worker(trail, tmp_path)
    with pytest.raises(NotTaken):
        await patient.tell(target, client)
    assert patient.failures == 1
    waits = Waits(given_up_after=timedelta(0))
    await worker(trail, tmp_path, waits).tell(target, client)
    assert receiver.types == [
        "handoff.queued",
        "handoff.queued",
        "handoff.taken",
        "handoff.closed",
        "wrap_up.kept",
    ]


def test_waits_double_up_to_the_longest() -> None:
    assert [Waits().after(n) for n in (1, 2, 3, 9, 10, 500)] == [1, 2, 4, 256, 300, 300]


async def test_the_receiver_of_the_document_tells_our_events_from_others(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    await tell(trail, tmp_path, receiver, client)
    await hand_over(trail)
    await tell(trail, tmp_path, receiver, client)
    (example,) = re.findall(
        r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S
    )
    known: dict[str, Any] = {}
    exec(compile(example, "docs/webhooks.md", "exec"), known)
    headers, body = receiver.asked[0]
    header = headers["Zhunxin-Signature"]
    assert known["is_genuine"](SECRET, header, body)
    assert not known["is_genuine"](SECRET, header, body.replace(b"waiting", b"taken"))
    assert not known["is_genuine"]("another secret", header, body)
    assert not known["is_genuine"](SECRET, "t=x", body)
    old = f"t=1,v1={signature(SECRET, 1, body)}"
    assert not known["is_genuine"](SECRET, old, body), "sent again by somebody who kept it"


def test_the_document_names_every_event() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+\.\w+)` \|", text, re.M) == [*NAMES]


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("ftp://host/", SECRET),
        ("host/hook", SECRET),
        ("https://", SECRET),
        ("http://准信..cn/", SECRET),
        ("http://[::1", SECRET),
        ("http://127.0.0.1:8432:80/", SECRET),
        ("http://host/", "no"),
    ],
)
def test_an_address_that_cannot_be_used_keeps_the_server_from_starting(
    tmp_path: Path, url: str, secret: str
) -> None:
    settings = settings_for(tmp_path, ZHUNXIN_WEBHOOK_URL=url, ZHUNXIN_WEBHOOK_SECRET=secret)
    with pytest.raises(ConfigError, match=r"ZHUNXIN_WEBHOOK_(URL|SECRET)"):
        target_of(settings)


async def test_an_address_that_no_request_can_be_sent_to_takes_nothing(
    trail: Trail, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    event = Happened("chain-1", "score.low", "", {})
    with pytest.raises(NotTaken, match="InvalidURL"):
        await send(Target("http://准信..cn/", SECRET), client, event)


async def test_work_that_fails_is_begun_again_and_ends_nothing_beside_it() -> None:
    begun: list[str] = []

    async def fail_twice() -> None:
        begun.append("failing")
        if begun.count("failing") < 3:
            raise httpx.InvalidURL("no address")

    async def beside() -> None:
        await asyncio.sleep(0.1)
        begun.append("beside")

    async with asyncio.TaskGroup() as tasks:
        for work in (fail_twice, beside):
            tasks.create_task(keep_running(work, wait_s=0.01))
    assert begun == ["failing"] * 3 + ["beside"]


async def test_without_an_address_nothing_runs(trail: Trail, tmp_path: Path) -> None:
    assert target_of(settings_for(tmp_path)) is None
    await worker(trail, tmp_path).run()
    assert not (tmp_path / "webhooks.json").exists()


async def test_the_server_tells_by_itself_and_one_process_at_a_time(
    trail: Trail, tmp_path: Path, receiver: Receiver, client: httpx.AsyncClient
) -> None:
    waits, target = Waits(first_s=0.01, poll_s=0.01), Target(receiver.url, SECRET)
    await tell(trail, tmp_path, receiver, client)
    receiver.statuses = [503]
    both = [
        asyncio.create_task(Worker(target, trail.engine, tmp_path, waits).run()) for _ in range(2)
    ]
    await hand_over(trail)
    assert await asyncio.to_thread(receiver.closed.wait, 10)
    for task in both:
        task.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    assert receiver.types == [
        "handoff.queued",
        "handoff.queued",
        "handoff.taken",
        "handoff.closed",
        "wrap_up.kept",
    ]
