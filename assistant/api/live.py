"""Streams that go on: what happens at the desk, to those who wait for it, as it happens.

The table of events is looked at every POLL_S, since another process may have written to it; what
this one writes rings at once. A stream reads on from a number that its client names after a break,
so that nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi.responses import Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from assistant import handoff
from assistant.deps import Deps
from assistant.handoff import Handoff, QueueUnavailable

from .chat import UNBUFFERED

POLL_S = 0.5
CLOSING_EVERY_S = 10.0
"""How often it is looked whether the desk has closed for today."""
MOVES = frozenset(("asked", "raised", "ticket", "taken", "requeued", "returned", "closed", "left"))
"""Kinds of events after which others may have another place in the queue."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sent:
    """One event of a stream."""

    name: str
    data: dict[str, Any]
    seq: int | None = None
    """Number from which a client reads on after a break; None: of no event of the table."""


@dataclass(slots=True, eq=False)
class Ear:
    """A stream that waits."""

    conversation_id: str
    """Empty: of all of them."""
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    own: bool = True
    """Whether there are events to read, and not only another place in the queue. Read once more
    after every silence, whatever was heard."""

    async def wait(self, timeout_s: float) -> bool:
        """Whether something happened within so long."""
        self.own = self.rung.is_set() and self.own
        with suppress(TimeoutError):
            await asyncio.wait_for(self.rung.wait(), timeout_s)
        heard = self.rung.is_set()
        self.own |= not heard
        self.rung.clear()
        return heard


class Bell:
    """Wakes the streams of this process."""

    def __init__(self, deps: Deps, poll_s: float = POLL_S) -> None:
        self._deps = deps
        self._poll_s = poll_s
        self._ears: set[Ear] = set()
        self._pulled = asyncio.Event()
        self._seq: int | None = None
        self._closing_at = 0.0
        self._waiting: list[Handoff] | None = None
        self._reading = asyncio.Lock()
        self.closing = False
        """Whether the server ends, so that streams do too."""

    @contextmanager
    def listening(self, conversation_id: str = "") -> Iterator[Ear]:
        ear = Ear(conversation_id)
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    async def waiting(self) -> list[Handoff]:
        """Who waits, the first taken first; read once for all streams."""
        async with self._reading:
            if self._waiting is None:
                found = await handoff.queue(self._deps.engine)
                self._waiting = [each for each in found if each.state == "waiting"]
            return self._waiting

    def ring(self) -> None:
        """Something was written here: look at once."""
        self._pulled.set()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pulled.wait(), self._poll_s)
            self._pulled.clear()
            try:
                await self._close_for_today()
                await self._look()
            except QueueUnavailable:
                await asyncio.sleep(self._poll_s)  # told in the log; streams go on when it is back

    async def _close_for_today(self) -> None:
        clock = asyncio.get_running_loop().time()
        if self._deps.desk is not None and clock >= self._closing_at:
            self._closing_at = clock + CLOSING_EVERY_S
            await handoff.close_for_today(self._deps.trail, self._deps.desk)

    async def _look(self) -> None:
        if not self._ears:
            self._seq = None
            return
        engine = self._deps.engine
        if self._seq is None:
            self._seq = await handoff.last_seq(engine)
            self._waiting = None
            self._wake({ear.conversation_id for ear in self._ears}, moved=True)
            return
        while events := await handoff.read_events(engine, after=self._seq):
            self._seq = events[-1].seq
            moved = any(event.kind in MOVES for event in events)
            if moved:
                self._waiting = None
            self._wake({event.conversation_id for event in events}, moved=moved)

    def _wake(self, conversations: set[str], *, moved: bool) -> None:
        """The streams of these conversations, and of the desk; where somebody moved in the queue,
        all of them."""
        for ear in self._ears:
            own = ear.conversation_id in conversations or not ear.conversation_id
            if own or moved:
                ear.own |= own
                ear.rung.set()

    def end(self) -> None:
        """Let the streams end, so that the server need not cut them off."""
        self.closing = True
        for ear in self._ears:
            ear.rung.set()


def stream(events: AsyncGenerator[Sent | None, None]) -> Response:
    """The events as server-sent ones; None keeps the line open."""
    return EventSourceResponse(_wire(events), headers=UNBUFFERED)


async def _wire(events: AsyncGenerator[Sent | None, None]) -> AsyncIterator[bytes]:
    # Something at once: a client learns that it is connected, and proxies pass on the headers.
    yield KEEPALIVE_COMMENT
    async with aclosing(events):
        try:
            async for event in events:
                yield KEEPALIVE_COMMENT if event is None else _encode(event)
        except QueueUnavailable:
            # The client comes back and reads on; until then it shows the hotline.
            log.warning("a stream of the desk ended, since the queue cannot be read")


def _encode(sent: Sent) -> bytes:
    return format_sse_event(
        event=sent.name,
        data_str=json.dumps(sent.data, ensure_ascii=False),
        id=None if sent.seq is None else str(sent.seq),
    )


def read_on(last_event_id: str, after: int) -> int:
    """The number after which a client wants to read on."""
    return max(after, int(last_event_id)) if last_event_id.isdigit() else after


def left_until(deadline: datetime | None, longest_s: float) -> float:
    """Seconds to wait at most."""
    if deadline is None:
        return longest_s
    return max(0.0, min(longest_s, (deadline - datetime.now(UTC)).total_seconds()))
