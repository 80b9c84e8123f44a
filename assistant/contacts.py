"""Who was written to in a campaign, by which run, and who must not be written to.

Customers stand here as keyed hashes, the same for the same customer: `key_of`. One is written to
once in a campaign, whatever becomes of a run in between.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from . import audit
from .audit import Keys, Trail
from .db import as_utc, campaign_runs, contacts, suppressions

RunState = Literal["running", "done", "stopped"]

ALL = "all"
"""Channel of a suppression that is for all of them."""

_BATCH = 500


class RunMoved(Exception):
    """A part of a run was entered meanwhile, by another process that goes on with the same run."""


class AlreadyContacted(Exception):
    """A customer of a part was written to in this campaign by another run; nothing was entered."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a campaign over a file, as far as it was entered."""

    id: str
    campaign: str
    plan: Mapping[str, Any]
    """What it is of, JSON-ready: files with their hashes, drafts with their hashes, settings."""
    state: RunState
    chunk: int
    """Parts entered so far."""
    rows_in: int
    """Rows of the input that are done."""
    bytes_out: int
    """Size of the output with all parts entered; what is behind it is cut off on resuming."""
    counts: Mapping[str, int]
    """Outcome -> customers, summed over the parts."""
    by: str
    started_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """A customer who is written to."""

    customer: str
    """From `key_of`."""
    channel: str
    draft_id: str
    coupon: str
    """Id, empty: none."""
    at: str
    """Instant in UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """A customer who must not be written to on a channel, or on `all`."""

    customer: str
    channel: str
    reason: str
    by: str
    at: datetime


def key_of(keys: Keys, customer_id: str) -> str:
    """A customer as they stand in these tables: as `identity.subject_of` has them elsewhere."""
    oldest = next(iter(keys.by_id.values()))
    return hmac.new(oldest, b"zhunxin contact\0" + customer_id.encode(), hashlib.sha256).hexdigest()


async def begin_run(trail: Trail, campaign: str, plan: Mapping[str, Any], *, by: str) -> Run:
    """Enter a new run."""
    raise NotImplementedError


async def find_run(engine: AsyncEngine, campaign: str, plan: Mapping[str, Any]) -> Run | None:
    """The newest run of the same plan that is not done."""
    raise NotImplementedError


async def read_run(engine: AsyncEngine, run_id: str) -> Run | None:
    raise NotImplementedError


async def list_runs(engine: AsyncEngine, campaign: str, limit: int = 50) -> list[Run]:
    """The newest first."""
    raise NotImplementedError


async def enter_chunk(
    trail: Trail,
    run: Run,
    written: Sequence[Contact],
    *,
    rows_in: int,
    bytes_out: int,
    counts: Mapping[str, int],
) -> Run:
    """Enter the next part of a run: who was written to, how far input and output are, one entry of
    the chain, all of it or nothing. Once the output is on the disk.

    rows_in, bytes_out: with this part. counts: of this part.
    Raises RunMoved, AlreadyContacted.
    """
    raise NotImplementedError


async def end_run(trail: Trail, run: Run, state: RunState) -> Run:
    """Say that a run is done, or that it was stopped and may be gone on with."""
    raise NotImplementedError


async def contacted(
    engine: AsyncEngine, campaign: str, customers: Collection[str]
) -> frozenset[str]:
    """Those of these customers who were written to in a campaign."""
    raise NotImplementedError


async def sent_since(
    engine: AsyncEngine, customers: Collection[str], since: datetime
) -> Mapping[str, tuple[tuple[str, datetime], ...]]:
    """Customer -> (channel, instant) of what they were sent in any campaign since."""
    raise NotImplementedError


async def coupons_given(engine: AsyncEngine, campaign: str) -> Mapping[str, int]:
    """Coupon -> how many customers were offered it."""
    raise NotImplementedError


async def suppressed(
    engine: AsyncEngine, customers: Collection[str] | None = None
) -> Mapping[str, tuple[Suppression, ...]]:
    """Customer -> why they must not be written to; of all, or of these."""
    raise NotImplementedError


async def suppress(
    trail: Trail, customers: Collection[str], *, channel: str, reason: str, by: str
) -> int:
    """Put customers on the list for a channel, or `all`; how many were not on it."""
    raise NotImplementedError


async def lift(trail: Trail, customer: str, *, channel: str, by: str) -> bool:
    """Take a customer off the list for a channel; whether they were on it."""
    raise NotImplementedError
