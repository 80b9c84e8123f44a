"""Streams that go on: what happens at the desk, to those who wait for it, as it happens.

The table of events is looked at every POLL_S, since another process may have written to it; what
this one writes rings at once. A stream reads on from a number that its client names after a break,
so that nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi.responses import Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from assistant import handoff, staff
from assistant.deps import Deps
from assistant.handoff import Handoff, Member, QueueUnavailable
from assistant.staff import SessionRules

from .chat import Stream

POLL_S = 0.5
TIDIED_EVERY_S = 10.0
"""How often it is looked whether the desk has closed for today, and who is signed in."""
MOST_OF_CONVERSATION = 6
"""Streams that are open at once: one a tab."""
MOST_OF_PERSON = 12
MOST_OF_ADDRESS = 200
"""Of those who did not prove who they are: many may share an address."""
BUSY_RETRY_S = 15
LARGEST_SEQ = 2**31 - 1
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
    whose: str = ""
    """Who listens, as `Bell.is_full` is told."""
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


@dataclass(frozen=True, slots=True)
class Standing:
    """The desk at one moment."""

    under_way: Sequence[Handoff]
    """The first taken first."""
    present: Sequence[Member]
    """Who is signed in."""

    @property
    def waiting(self) -> list[Handoff]:
        return [each for each in self.under_way if each.state == "waiting"]


class Bell:
    """Wakes the streams of this process, and keeps the desk in order."""

    def __init__(self, deps: Deps, rules: SessionRules, poll_s: float = POLL_S) -> None:
        self.deps = deps
        self._rules = rules
        self._poll_s = poll_s
        self._ears: set[Ear] = set()
        self._pulled = asyncio.Event()
        self._seq: int | None = None
        self._tidy_at = 0.0
        self._standing: Standing | None = None
        self._reading = asyncio.Lock()
        self.closing = False
        """Whether the server ends, so that streams do too."""

    def is_full(self, conversation_id: str, whose: str, most: int) -> bool:
        """Whether a stream more would be too many, of a conversation or of whoever listens.

        most: of one listener.
        """
        of_talk = sum(ear.conversation_id == conversation_id for ear in self._ears)
        of_person = sum(ear.whose == whose for ear in self._ears)
        return of_person >= most or bool(conversation_id and of_talk >= MOST_OF_CONVERSATION)

    @contextmanager
    def listening(self, conversation_id: str = "", whose: str = "") -> Iterator[Ear]:
        ear = Ear(conversation_id, whose)
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    async def read(self) -> Standing:
        """The desk as it is now. Raises QueueUnavailable."""
        # The queue first: of whoever takes somebody meanwhile it must not be said that they are
        # not signed in.
        found = await handoff.queue(self.deps.engine)
        with handoff.reachable():
            accounts = await staff.present(self.deps.engine, self._rules)
        return Standing(found, [Member(a.id, a.login, frozenset(a.roles)) for a in accounts])

    async def standing(self) -> Standing:
        """The desk as it was a moment ago; read once for all streams. Raises QueueUnavailable."""
        async with self._reading:
            if self._standing is None:
                self._standing = await self.read()
            return self._standing

    def ring(self) -> None:
        """Something was written here: look at once."""
        self._pulled.set()

    def tidy(self) -> None:
        """Somebody signed out: look at once whom they leave."""
        self._tidy_at = 0.0
        self.ring()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pulled.wait(), self._poll_s)
            self._pulled.clear()
            try:
                await self._tidy()
                await self._look()
            except QueueUnavailable:
                await asyncio.sleep(self._poll_s)  # told in the log; streams go on when it is back
            except Exception as error:
                # Whatever it was: all streams would stand still with this one.
                log.error("the desk was not looked at", exc_info=error)
                await asyncio.sleep(self._poll_s)

    async def _tidy(self) -> None:
        """Put back those whose agent is gone, and give tickets to who waits at closing time."""
        clock = asyncio.get_running_loop().time()
        if self.deps.desk is None or clock < self._tidy_at:
            return
        self._tidy_at = clock + TIDIED_EVERY_S
        self._standing = None
        desk = await self.read()
        there = {each.staff_id for each in desk.present}
        for each in desk.under_way:
            if each.state == "taken" and each.taken_by not in there:
                await handoff.lose(self.deps.trail, each)
        await handoff.close_for_today(self.deps.trail, self.deps.desk)

    async def _look(self) -> None:
        if not self._ears:
            self._seq = None
            return
        engine = self.deps.engine
        if self._seq is None:
            self._seq = await handoff.last_seq(engine)
            self._standing = None
            self._wake({ear.conversation_id for ear in self._ears}, moved=True)
            return
        while events := await handoff.read_events(engine, after=self._seq):
            self._seq = events[-1].seq
            moved = any(event.kind in MOVES for event in events)
            if moved:
                self._standing = None
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
    return Stream(_wire(events))


async def _wire(events: AsyncGenerator[Sent | None, None]) -> AsyncGenerator[bytes, None]:
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
    """The number after which a client wants to read on; what is no number of an event says
    nothing."""
    named = last_event_id.isascii() and last_event_id.isdecimal()
    return max(after, min(int(last_event_id), LARGEST_SEQ)) if named else after


def left_until(deadline: datetime | None, longest_s: float) -> float:
    """Seconds to wait at most."""
    if deadline is None:
        return longest_s
    return max(0.0, min(longest_s, (deadline - datetime.now(UTC)).total_seconds()))
