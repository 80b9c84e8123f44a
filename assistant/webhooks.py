"""What happens is told to an address of the lender's: hand-overs, wrap-ups, low scores, approvals.

Nothing is written for it: events are read from the audit chain and the table of scores, where they
stand once they happened, and a file in the home folder holds how far they were told. So a request
never waits, and what was not told when a server ended is told when the next one starts. An event
has ids and codes and no word of anybody; who wants more asks the API, as somebody who may.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import httpx
import structlog
from filelock import AsyncFileLock
from sqlalchemy import and_, or_, select
from sqlalchemy.exc import SQLAlchemyError

from . import __version__
from .audit import Entry, last_entry, read_entries
from .config import ConfigError, Settings, check_address
from .db import as_utc, quality_scores

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Name = Literal[
    "handoff.queued",
    "handoff.taken",
    "handoff.returned",
    "handoff.left",
    "handoff.closed",
    "wrap_up.kept",
    "draft.approved",
    "score.low",
]
NAMES: tuple[Name, ...] = get_args(Name)

HANDOFFS: Mapping[str, Name] = {
    "asked": "handoff.queued",
    "ticket": "handoff.queued",
    "requeued": "handoff.queued",
    "taken": "handoff.taken",
    "returned": "handoff.returned",
    "left": "handoff.left",
    "closed": "handoff.closed",
}
"""Kind of an event of a hand-over -> what is told; the others are not."""

LEAST_SECRET_CHARS = 32
SETTLED = timedelta(seconds=5)
"""How old a score is that is told: one that began earlier may be written later."""
AT_ONCE = 500
"""Entries and scores that are looked at in one go."""
TIMEOUT_S = 10.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Target:
    """Where events are sent, and what they are signed with."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long it is waited for something new, and for an address that does not take it."""

    poll_s: float = 2.0
    first_s: float = 1.0
    longest_s: float = 300.0
    given_up_after: timedelta = timedelta(hours=24)
    """After which an event is left out, so that one that is never taken does not hold up all."""

    def after(self, failures: int) -> float:
        """Seconds, doubled by each failure; without one, until it is looked again."""
        if not failures:
            return self.poll_s
        return min(self.longest_s, self.first_s * float(2 ** min(failures - 1, 20)))


@dataclass(frozen=True, slots=True)
class Happened:
    """One event; all of it is sent."""

    id: str
    """The same whenever it is sent."""
    type: Name
    at: str
    """ISO 8601, UTC."""
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """How far events were told."""

    seq: int
    """Number of the last entry of the chain that was looked at."""
    scored_at: str
    score: str
    """Time and id of the last score."""
    failing_since: str = ""
    """When the next event was first not taken; empty: it was not sent yet."""


def target_of(settings: Settings) -> Target | None:
    """Where the settings have events sent; None where nowhere. Raises ConfigError."""
    url, secret = settings.webhook_url, settings.webhook_secret.get_secret_value()
    if not url:
        return None
    check_address("ZHUNXIN_WEBHOOK_URL", url)
    if len(secret) < LEAST_SECRET_CHARS:
        raise ConfigError(
            f"ZHUNXIN_WEBHOOK_SECRET: expected at least {LEAST_SECRET_CHARS} characters, with "
            "which the receiver tells our events from others'"
        )
    return Target(url, secret)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 of the time in seconds, a dot and the body; hexadecimal."""
    return hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


# What happened --------------------------------------------------------------------------------


def of_entry(entry: Entry) -> Happened | None:
    """What an entry of the chain tells; None where it is not for others."""
    reader = _READERS.get(entry.kind)
    found = reader and reader(entry, json.loads(entry.body))
    return found and Happened(f"chain-{entry.seq}", found[0], entry.at, found[1])


def _of_handoff(entry: Entry, body: Mapping[str, Any]) -> tuple[Name, dict[str, Any]] | None:
    row = body["row"]
    name = HANDOFFS.get(row["kind"])
    if name is None:
        return None
    told = json.loads(row["told"])
    ending = {"ending": told.get("ending", "")} if name == "handoff.closed" else {}
    return name, {
        "handoff": row["handoff_id"],
        "conversation": row["conversation_id"],
        "state": row["state"],
        **ending,
    }


def _of_copilot(entry: Entry, body: Mapping[str, Any]) -> tuple[Name, dict[str, Any]] | None:
    row = body["row"]
    if row["kind"] != "wrap_up":
        return None
    return "wrap_up.kept", {
        "wrap_up": row["id"],
        "conversation": row["conversation_id"],
        "handoff": row["handoff_id"] or "",
    }


def _of_offer(entry: Entry, body: Mapping[str, Any]) -> tuple[Name, dict[str, Any]] | None:
    if body.get("action") != "approved":
        return None
    return "draft.approved", {"draft": entry.subject, "version": body["version"]}


_READERS: Mapping[str, Callable[[Entry, Any], tuple[Name, dict[str, Any]] | None]] = {
    "handoff": _of_handoff,
    "copilot": _of_copilot,
    "offer": _of_offer,
}


async def happened_since(
    engine: AsyncEngine, told: Told, now: datetime
) -> list[tuple[Told, Happened | None]]:
    """What came next, each with how far one is when it was told; the last with nothing to tell.
    Raises SQLAlchemyError."""
    found: list[tuple[Told, Happened | None]] = []
    for entry in await read_entries(engine, after=told.seq, limit=AT_ONCE):
        told = replace(told, seq=entry.seq)
        if event := of_entry(entry):
            found.append((told, event))
    scores = quality_scores.c
    since = datetime.fromisoformat(told.scored_at)
    query = (
        select(
            scores.id,
            scores.conversation_id,
            scores.scored_at,
            scores.total,
            scores.band,
            scores.task,
            scores.passed,
        )
        .where(
            or_(
                scores.scored_at > since,
                and_(scores.scored_at == since, scores.id > told.score),
            ),
            scores.scored_at <= now - SETTLED,
            scores.source == "own",
            scores.total.is_not(None),
        )
        .order_by(scores.scored_at, scores.id)
        .limit(AT_ONCE)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    for row in rows:
        at = as_utc(row.scored_at).isoformat()
        told = replace(told, scored_at=at, score=row.id)
        if not row.passed:
            data = {
                "score": row.id,
                "conversation": row.conversation_id,
                "total": row.total / 100,
                "band": row.band,
                "task": row.task,
            }
            found.append((told, Happened(f"score-{row.id}-{at}", "score.low", at, data)))
    return [*found, (told, None)]


# Telling --------------------------------------------------------------------------------------


class NotTaken(Exception):
    """The address did not take an event; the message says why."""


@dataclass(slots=True)
class Worker:
    """Tells what happens; of all processes of a home folder, one does."""

    target: Target | None
    engine: AsyncEngine
    home: Path
    waits: Waits = Waits()
    failures: int = 0
    """Of the event that is next."""

    async def run(self) -> None:
        """Until cancelled; at once where events are sent nowhere."""
        if self.target is None:
            return
        await asyncio.to_thread(self.home.mkdir, parents=True, exist_ok=True)
        async with (
            AsyncFileLock(self.home / "webhooks.lock"),
            httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
        ):
            while True:
                try:
                    await self.tell(self.target, client)
                except NotTaken as error:
                    log.warning("an event is not taken", why=str(error), failures=self.failures)
                except (OSError, SQLAlchemyError) as error:
                    self.failures += 1
                    log.error("events wait", error=type(error).__name__)
                await asyncio.sleep(
                    self.waits.after(self.failures) if self.failures else self.waits.poll_s
                )

    async def tell(self, target: Target, client: httpx.AsyncClient) -> None:
        """Tell everything that happened since the last time, in order. Raises NotTaken, OSError,
        SQLAlchemyError."""
        told = await asyncio.to_thread(self._read)
        if told is None:
            # What happened before there was an address is not told.
            last = await last_entry(self.engine)
            told = Told(last.seq if last else 0, datetime.now(UTC).isoformat(), "")
            await self._keep(told)
        while True:
            before = told
            for reached, event in await happened_since(self.engine, told, datetime.now(UTC)):
                if event is not None:
                    await self._send(target, client, told, event)
                told = replace(reached, failing_since="")
                if event is not None:
                    await self._keep(told)
            if told == before:
                return
            await self._keep(told)

    async def _send(
        self, target: Target, client: httpx.AsyncClient, told: Told, event: Happened
    ) -> None:
        try:
            await send(target, client, event)
        except NotTaken as error:
            self.failures += 1
            now = datetime.now(UTC)
            since = datetime.fromisoformat(told.failing_since) if told.failing_since else now
            if now - since < self.waits.given_up_after:
                await self._keep(replace(told, failing_since=since.isoformat()))
                raise
            log.error("an event is given up", event_id=event.id, type=event.type, why=str(error))
        self.failures = 0

    @property
    def _file(self) -> Path:
        return self.home / "webhooks.json"

    def _read(self) -> Told | None:
        try:
            return Told(**json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError) as error:
            raise OSError(f"{self._file}: cannot be read: {error}") from None

    async def _keep(self, told: Told) -> None:
        await asyncio.to_thread(self._write, told)

    def _write(self, told: Told) -> None:
        part = self._file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as opened:
            json.dump(asdict(told), opened)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(self._file)


async def send(target: Target, client: httpx.AsyncClient, event: Happened) -> None:
    """Send one event. Raises NotTaken."""
    body = json.dumps(asdict(event), ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = int(datetime.now(UTC).timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"zhunxin/{__version__}",
        "Zhunxin-Event": event.type,
        "Zhunxin-Id": event.id,
        "Zhunxin-Signature": f"t={timestamp},v1={signature(target.secret, timestamp, body)}",
    }
    try:
        # Of an answer the status is all that counts: how much comes behind it is not waited for.
        async with (
            asyncio.timeout(TIMEOUT_S),
            client.stream("POST", target.url, content=body, headers=headers) as answer,
        ):
            if not answer.is_success:
                raise NotTaken(f"status {answer.status_code}")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise NotTaken(type(error).__name__) from error
