"""A campaign over a file of customers: approved copy, filled for whoever may be addressed.

One function, `render_chunk`, looks at customers and fills copy, in processes of this machine or in
tasks of Ray on many. What it gives goes through one place, `_settle`, that knows who was written to
before, what is left of stock and budget, and whether each approval still stands; the messages of a
part, the contacts they are, and how far the run has come stand together or not at all. No model is
asked: what goes out is what somebody approved, with a name in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import pickle
import re
import shutil
import sqlite3
import time
import warnings
from collections import Counter, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import BrokenExecutor
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from . import addressing, audit, best_offer, contacts, drafts, saved_segments, templates
from .addressing import Bounds, Occasion, Refusal
from .campaigns import Campaign
from .contacts import Contact, Past, Run
from .customer_files import (
    BATCH_ROWS,
    Batch,
    CustomerFile,
    Row,
    open_customers,
    write_parquet,
)
from .models import LOCALES, Locale
from .people import OPTIONAL, REQUIRED, BadRow, Person, person_from_row
from .rules import Channel
from .segments import PLAIN, Segment, matches
from .templates import Template

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from sqlalchemy.ext.asyncio import AsyncConnection

    from .audit import Trail
    from .drafts import Approved

Engine = Literal["local", "ray"]
Item = TypeVar("Item")

RAY_ROWS = 4 * BATCH_ROWS
"""Rows of a task of Ray: a task costs some milliseconds to send."""

MOST_LISTED = 100
"""Rows that could not be read, and named in the summary."""

GO_ON = "what was written stays, and the same command goes on from there"

FRESH = timedelta(minutes=5)
"""How long what was filled in may wait to be written: a machine may sleep in between, and another
one's clock be wrong."""

UNADDRESSED: frozenset[Channel] = frozenset({"poster"})
"""Channels that go to nobody in particular."""

WINDOW_S = addressing.WINDOW + timedelta(hours=1)

_DIGITS = re.compile(r"\d[\d,.%]*")

RECORD: Mapping[str, type] = {
    "campaign": str,
    "customer": str,
    "channel": str,
    "segment": str,
    "draft": str,
    "variant": int,
    "coupon": str,
    "subject": str,
    "text": str,
    "parts": int,
    "ai_generated": bool,
    "ai_label": str,
    "at": str,
}
"""What is written of a message, and as what. `ai_generated`: a model wrote it, whoever edited it
since. `ai_label`: why it is labelled as made by AI: `generated`, or `policy`, since every advert is
(knowledge/channels.toml)."""


class CannotRun(Exception):
    """A run cannot begin or go on; the message says what to do."""


class BadOutput(CannotRun):
    """What is named to be written is none that a run may write."""


# What is sent


@dataclass(frozen=True, slots=True)
class Line:
    """Approved copy, ready to be filled."""

    draft_id: str
    version_sha256: str
    segment: str
    personalised: bool
    channel: Channel
    variant: int
    locale: Locale
    template: Template
    """With every slot filled but those of the customer."""
    subject: Template
    coupon: str
    ai: bool
    """Whether a model wrote it, also where a person edited it since."""
    digits: tuple[str, ...]
    """Figures of the text, as they were approved."""


@dataclass(frozen=True)
class Plan:
    """All that a worker has to know; it is sent to each once."""

    campaign: Campaign
    bounds: Bounds
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    segments: tuple[Segment, ...]
    """Those of the campaign, then saved ones that there is copy for, the oldest first."""
    savings: Mapping[str, Decimal]
    """Coupon id -> yuan that it saves on the loan its campaign weighs it by, the most first."""
    at: datetime | None
    """When the messages count as sent; None: when they are written."""

    @cached_property
    def by_place(self) -> Mapping[tuple[str, Channel], tuple[Line, ...]]:
        """(segment, channel) -> copy for it, that of the coupon which saves most first."""
        ranks = {name: place for place, name in enumerate(self.savings)}
        found: dict[tuple[str, Channel], list[Line]] = {}
        for line in sorted(
            self.lines, key=lambda line: (ranks.get(line.coupon, len(ranks)), line.variant)
        ):
            found.setdefault((line.segment, line.channel), []).append(line)
        return {place: tuple(lines) for place, lines in found.items()}

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Where copy may go, in the order of the campaign."""
        there = {line.channel for line in self.lines} - UNADDRESSED
        return tuple(channel for channel in self.campaign.channels if channel in there)


def line_of(approved: Approved) -> Line:
    """Copy as it was approved. Raises templates.BadTemplate, BadValue."""
    content = approved.content
    template = _filled_but_for_customer(content.whole, content.values)
    return Line(
        draft_id=approved.draft_id,
        version_sha256=approved.sha256,
        segment=content.segment,
        personalised=content.personalised,
        channel=content.channel,
        variant=content.variant,
        locale=next(known for known in LOCALES if known == content.locale),
        template=template,
        subject=_filled_but_for_customer(content.subject, content.values),
        coupon=content.coupon,
        ai=bool(approved.check.prompt_version),
        digits=tuple(_DIGITS.findall("\0".join(words for words, _ in template.parts))),
    )


def _filled_but_for_customer(text: str, values: Mapping[str, str]) -> Template:
    parts: list[tuple[str, str]] = []
    before = ""
    for words, slot in templates.parse(text).parts:
        before += words
        if not slot:
            break
        if templates.slots()[slot].source == "customer":
            parts.append((before, slot))
            before = ""
        else:
            value = values.get(slot, "")
            templates.check_value(slot, value)
            before += value
    parts.append((before, ""))
    return Template(text, tuple(parts))


# Rendering: the same function for each engine


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody gets."""

    row: int
    """Place in the batch."""
    customer: str
    line: int
    """Place of the copy in the plan."""
    text: str
    subject: str
    parts: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Why somebody gets nothing."""

    row: int
    customer: str
    """Empty where the row could not be read."""
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What became of a batch."""

    number: int
    first: int
    rows: int
    at: datetime
    messages: tuple[Message, ...]
    kept: tuple[Kept, ...]
    done: int


BAD_ROW = "bad_row"
DUPLICATE = "duplicate"
NO_COPY = "no_approved_copy"
BLOCKED = "blocked"
SPENT = "budget_spent"


def render_chunk(
    batch: Batch, plan: Plan, at: datetime, gone: frozenset[str] = frozenset()
) -> Rendered:
    """Look at each customer of a batch, and fill the copy for them.

    at: when the messages count as sent. gone: coupons of which none is left.
    """
    messages: list[Message] = []
    kept: list[Kept] = []
    occasions = _occasions(plan, at)
    for place, row in enumerate(batch.rows):
        made = _render(place, row, plan, occasions, Past(), gone)
        if isinstance(made, Message):
            messages.append(made)
        else:
            kept.append(made)
    return Rendered(
        batch.number,
        batch.first,
        len(batch.rows),
        at,
        tuple(messages),
        tuple(kept),
        batch.done,
    )


Occasions = Mapping[tuple[Channel, bool], Occasion]


def _occasions(plan: Plan, at: datetime) -> Occasions:
    return {
        (channel, personalised): Occasion(channel, "marketing", personalised, at, plan.campaign)
        for channel in plan.channels
        for personalised in (False, True)
    }


def _render(
    place: int, row: Row, plan: Plan, occasions: Occasions, past: Past, gone: frozenset[str]
) -> Message | Kept:
    if isinstance(row, str):
        return Kept(place, "", BAD_ROW, row)
    try:
        person = person_from_row(dict(zip(plan.columns, row, strict=True)))
    except BadRow as error:
        return Kept(place, "", BAD_ROW, str(error))
    if past.reached:
        return Kept(place, person.id, "already_sent")
    if past.sent or past.suppressed:
        person = _with_past(person, past)
    today = next(iter(occasions.values())).at.astimezone(plan.bounds.zone).date()
    first: Refusal | None = None
    found: Kept | None = None
    for channel in plan.channels:
        against = addressing.refusals(person, occasions[channel, False], plan.bounds)
        if channel in past.suppressed:
            found = found or Kept(place, person.id, "suppressed")
            continue
        if against:
            first = first or against[0]
            if any(refusal.reason in addressing.OF_THE_PERSON for refusal in against):
                break
            continue
        lines = _lines_for(person, channel, plan, occasions, today)
        open_lines = [line for line in lines if line.coupon not in gone]
        if not open_lines:
            found = found or Kept(place, person.id, "out_of_stock" if lines else NO_COPY)
            continue
        return _fill(place, person, open_lines, plan)
    if first is not None:
        return Kept(place, person.id, first.reason)
    return found or Kept(place, person.id, NO_COPY)


def _with_past(person: Person, past: Past) -> Person:
    return replace(
        person,
        sent=(*person.sent, *past.sent),
        suppressed=person.suppressed or past.suppressed.get(contacts.ALL, ""),
    )


def _lines_for(
    person: Person, channel: Channel, plan: Plan, occasions: Occasions, today: Any
) -> Sequence[Line]:
    """Copy for the first segment that somebody is of, else that which knows nothing of them."""
    if not addressing.refusals(person, occasions[channel, True], plan.bounds):
        for segment in plan.segments:
            lines = plan.by_place.get((segment.id, channel), ())
            if lines and matches(segment.conditions, person, today):
                return lines
    return plan.by_place.get((PLAIN.id, channel), ())


def _fill(place: int, person: Person, lines: Sequence[Line], plan: Plan) -> Message | Kept:
    best = [line for line in lines if line.coupon == lines[0].coupon]
    # Which idea somebody gets is drawn, and the same whenever it is drawn again.
    drawn = hashlib.sha256(f"{plan.campaign.id}\0variant\0{person.id}".encode()).digest()
    line = best[int.from_bytes(drawn[:8]) % len(best)]
    values = {"name": templates.name_or_instead(person.name, line.locale)}
    try:
        text = templates.fill(line.template, values)
        subject = templates.fill(line.subject, values)
    except templates.BadValue as error:
        return Kept(place, person.id, BLOCKED, str(error))
    fit = templates.fits(text, line.channel)
    if fit.over or tuple(_DIGITS.findall(text)) != line.digits or "{" in text or "}" in text:
        return Kept(place, person.id, BLOCKED, "the filled message is not as it was approved")
    return Message(place, person.id, plan.lines.index(line), text, subject, fit.parts)


# Running


@dataclass(slots=True)
class Tally:
    """Where a run stands, as it is kept and told."""

    customers: int = 0
    messages: int = 0
    blocked: int = 0
    suppressed: Counter[str] = field(default_factory=Counter)
    by_channel: Counter[str] = field(default_factory=Counter)
    by_draft: Counter[str] = field(default_factory=Counter)
    coupons: Counter[str] = field(default_factory=Counter)
    bad_rows: list[Mapping[str, Any]] = field(default_factory=list)
    """The first that could not be read: row and why."""

    def as_json(self) -> dict[str, Any]:
        return {
            "customers": self.customers,
            "messages": self.messages,
            "suppressed": dict(self.suppressed.most_common()),
            "blocked": self.blocked,
            "by_channel": dict(self.by_channel),
            "by_draft": dict(self.by_draft),
            "coupons": dict(self.coupons),
            "bad_rows": list(self.bad_rows),
        }

    @classmethod
    def of(cls, counts: Mapping[str, Any]) -> Tally:
        if not counts:
            return cls()
        return cls(
            counts["customers"],
            counts["messages"],
            counts["blocked"],
            Counter(counts["suppressed"]),
            Counter(counts["by_channel"]),
            Counter(counts["by_draft"]),
            Counter(counts["coupons"]),
            list(counts["bad_rows"]),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a run."""

    run_id: str
    out: str
    resumed: bool
    seconds: float
    tally: Tally
    encodings: Mapping[str, int]
    """Lines that were read in each encoding, those in ASCII left out."""

    def as_json(self) -> dict[str, Any]:
        return {
            **self.tally.as_json(),
            "seconds": round(self.seconds, 3),
            "run": self.run_id,
            "out": self.out,
            "resumed": self.resumed,
            "encodings": dict(self.encodings),
        }


Progress = Callable[[int, int, Tally], None]
"""(done, total, tally); done and total in what the file counts in."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run rests on beside its approvals."""

    campaign: Campaign | None
    """As its file says it; None: it is gone."""
    unproven: frozenset[str] = frozenset()
    """Ids of the coupons that no clause in force bears out."""


Rests = Callable[[], Awaitable[Standing]]
"""Asked for before each part: a campaign may be ended, or a clause repealed, while a run goes on.
"""


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def run_campaign(
    trail: Trail,
    campaign: Campaign,
    customers: Path,
    out: Path,
    *,
    bounds: Bounds,
    rules_version: str,
    lock_folder: Path,
    engine: Engine = "local",
    at: datetime | None = None,
    workers: int = 0,
    rows: int = 0,
    by: str = "cli",
    progress: Progress = lambda done, total, tally: None,
    rests: Rests | None = None,
    clock: Callable[[], datetime] = _utc_now,
) -> Summary:
    """Write one message for each customer of a file who may be addressed, and what keeps each of
    the others from it.

    out: .jsonl or .parquet; what is there is not written over. A run that was stopped goes on with
    the same file and the same `out`. workers: processes; 0: one a core. rows: of a part; 0: what
    suits the engine. by: who runs it, an account or a command. rests: what campaign and clauses say
    by now; left out, what they said at the beginning. Raises CannotRun, BadFile, OSError.
    """
    from filelock import FileLock, Timeout

    started = time.monotonic()
    opened = await asyncio.to_thread(_open, customers, out)
    try:
        with FileLock(lock_folder / f"campaign-{campaign.id}.lock", timeout=0):
            asked = _Asked(trail, campaign, opened, out, bounds, rules_version, at, rests, clock)
            running = await _begin(asked, rows, engine, by)
            if running.finished:
                return running.summary(started)
            async with aclosing(_rendered(engine, running, workers)) as chunks:
                async for rendered, batch in chunks:
                    await running.write(rendered, batch)
                    progress(rendered.done, opened.total, running.tally)
            await running.finish()
            return running.summary(started)
    except Timeout:
        raise CannotRun(f"another run of the campaign {campaign.id} is under way") from None
    except contacts.RunElsewhere:
        raise CannotRun(f"{out}: another process goes on with this run") from None


def _open(customers: Path, out: Path) -> CustomerFile:
    if out.suffix.lower() not in (".jsonl", ".parquet"):
        raise BadOutput(f"{out}: expected a file that ends in .jsonl or .parquet")
    if not out.parent.is_dir():
        raise BadOutput(f"{out}: there is no folder {out.parent}")
    for name in (out, *_beside(out)):
        if name.is_symlink():
            raise BadOutput(f"{name}: is a link, and the run would write where it leads")
        if name.resolve() == customers.resolve():
            raise BadOutput(f"{out}: the run would write over the file of customers, {customers}")
    return open_customers(customers, REQUIRED, OPTIONAL)


def _beside(out: Path) -> tuple[Path, ...]:
    """What a run makes on the way: messages, ids, messages as Parquet, rows for Ray."""
    endings = ("part", "part-ids", "part-parquet", "part-rows")
    return tuple(out.with_name(f"{out.name}.{ending}") for ending in endings)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `run_campaign` was asked for."""

    trail: Trail
    campaign: Campaign
    opened: CustomerFile
    out: Path
    bounds: Bounds
    rules_version: str
    at: datetime | None
    rests: Rests | None
    clock: Callable[[], datetime]

    @property
    def now(self) -> datetime:
        """In the lender's zone."""
        return (self.at or self.clock()).astimezone(self.bounds.zone)


async def _begin(asked: _Asked, rows: int, engine: Engine, by: str) -> _Running:
    trail, campaign, opened, out = asked.trail, asked.campaign, asked.opened, asked.out
    out_name = str(await asyncio.to_thread(out.resolve))
    begun = next(
        (
            run
            for run in await contacts.unfinished(trail.engine, campaign.id)
            if run.plan["out"] == out_name
        ),
        None,
    )
    if begun is None:
        # What another campaign's run left here is messages whose customers count as written to.
        there = await asyncio.to_thread(_first_there, (out, *_beside(out)))
        if there:
            raise CannotRun(f"{there}: is there already; name another output")
    if begun and await _is_changed(trail, begun):
        # A new entry of the chain would hold it as if it were right.
        raise CannotRun(
            f"{out}: the run {begun.id} is not as the audit chain holds it: see `zhunxin audit "
            "verify`; name another output to begin anew"
        )
    if begun and begun.plan["customers"] != opened.identity:
        raise CannotRun(
            f"{out}: was begun with another file of customers than {opened.path}; "
            "name another output to begin anew"
        )
    if begun and rows not in (0, begun.plan["rows"]):
        raise CannotRun(f"{out}: was begun in parts of {begun.plan['rows']} rows")
    plan = await _plan(asked)
    if begun is None:
        of_a_part = rows or (RAY_ROWS if engine == "ray" else BATCH_ROWS)
        begun = await contacts.begin(
            trail,
            campaign.id,
            {
                "customers": opened.identity,
                "out": out_name,
                "rows": of_a_part,
                "campaign_version": campaign.version,
                "rules_version": asked.rules_version,
                "at": asked.at.isoformat() if asked.at else "",
            },
            by=by,
        )
    running = _Running(asked, plan, begun)
    await running.open()
    return running


async def _is_changed(trail: Trail, run: Run) -> bool:
    async with trail.engine.connect() as connection:
        return bool(await audit.not_as_entered(connection, trail.keys, "run", [run.id]))


def _first_there(names: Sequence[Path]) -> Path | None:
    return next((name for name in names if name.exists()), None)


async def _plan(asked: _Asked) -> Plan:
    """What may be sent now. Raises CannotRun."""
    trail, campaign = asked.trail, asked.campaign
    today = asked.now.date()
    unproven = (await asked.rests()).unproven if asked.rests else frozenset[str]()
    lines: list[Line] = []
    lapsed: list[str] = []
    saved: dict[str, saved_segments.SavedSegment] = {}
    offset = 0
    while True:
        listed, total = await drafts.list_drafts(
            trail.engine, campaign=campaign.id, states=drafts.STANDS, offset=offset
        )
        for draft in listed:
            found = await drafts.standing(
                trail, draft.id, campaign=campaign, rules_version=asked.rules_version, today=today
            )
            if isinstance(found, drafts.Lapsed):
                lapsed.append(f"{draft.id} ({found.reason})")
                continue
            if bare := _offered(campaign, found.content) & unproven:
                raise CannotRun(
                    f"the draft {draft.id} offers {', '.join(sorted(bare))}, and no clause in "
                    "force says what that coupon does: `zhunxin ingest` the document that does, "
                    "or withdraw the draft on the page /studio"
                )
            named = found.content.segment
            if named.startswith(saved_segments.PREFIX) and named not in saved:
                known = await saved_segments.read_saved(trail.engine, named)
                if known is None:
                    lapsed.append(f"{draft.id} (the segment {named} is gone)")
                    continue
                saved[named] = known
            try:
                lines.append(line_of(found))
            except (templates.BadTemplate, templates.BadValue) as error:
                lapsed.append(f"{draft.id} ({error})")
        offset += len(listed)
        if not listed or offset >= total:
            break
    if not lines:
        told = f"; approved, but not to be sent now: {', '.join(lapsed)}" if lapsed else ""
        raise CannotRun(
            f"nothing of the campaign {campaign.id} is approved{told}; "
            "drafts are approved on the page /studio"
        )
    weighed = best_offer.weigh(campaign.coupons, campaign.representative, today)
    savings = {coupon.id: used.saved_cny for coupon, used in weighed.savings}
    oldest_first = sorted(saved.values(), key=lambda each: (each.made_at, each.segment.id))
    segments = (*campaign.segments, *(each.segment for each in oldest_first))
    columns = asked.opened.columns
    return Plan(campaign, asked.bounds, columns, tuple(lines), segments, savings, asked.at)


def _offered(campaign: Campaign, content: drafts.Content) -> frozenset[str]:
    """Ids of the coupons that a content offers, also as prizes of its draw."""
    drawn = (draw for draw in campaign.draws if draw.id == content.draw)
    prizes = (prize.coupon for draw in drawn for prize in draw.prizes)
    return frozenset(prizes) | ({content.coupon} if content.coupon else set())


class _Running:
    """A run, its files, and what is left to give."""

    def __init__(self, asked: _Asked, plan: Plan, run: Run) -> None:
        self.plan = plan
        self.run = run
        self.tally = Tally.of(run.counts)
        self.finished = False
        self.opened = asked.opened
        self.out = out = asked.out
        self._asked = asked
        self._trail = asked.trail
        self._campaign = asked.campaign
        self._rules_version = asked.rules_version
        self._part, self._seen, self._as_parquet, self.rows = _beside(out)
        self._resumed = run.chunks > 0
        self._given: Counter[str] = Counter()
        self._exported: set[str] = set()
        self._stood: set[tuple[Any, ...]] = set()
        """Day, drafts, and what stood of them when their approvals were found to stand."""

    def gone(self, given: Mapping[str, int] | None = None) -> frozenset[str]:
        """Coupons of which none is left."""
        taken = self._given if given is None else given
        return frozenset(
            coupon.id
            for coupon in self._campaign.coupons
            if coupon.stock is not None and taken.get(coupon.id, 0) >= coupon.stock
        )

    async def open(self) -> None:
        """Cut the file back to what stands in the database."""
        if await asyncio.to_thread(self._is_named):
            # The last step was made, and the database not told.
            await self._end()
            return
        await asyncio.to_thread(self._cut_back)
        self._given = await contacts.given_out(self._trail.engine, self._campaign.id)

    def _is_named(self) -> bool:
        return self.out.exists() and not self._part.exists()

    def _cut_back(self) -> None:
        if self.run.bytes_out and not self._part.exists():
            raise CannotRun(f"{self._part}: is gone; {self.out} cannot be gone on with")
        with self._part.open("ab") as file:
            if file.tell() < self.run.bytes_out:
                raise CannotRun(f"{self._part}: is shorter than what was written to it")
            file.truncate(self.run.bytes_out)
        try:
            self._open_ids()
        except sqlite3.DatabaseError:
            # A power cut may break it; whoever was written to stands in the database.
            self._seen.unlink()
            self._open_ids()

    def _open_ids(self) -> None:
        with closing(sqlite3.connect(self._seen)) as ids:
            ids.execute("CREATE TABLE IF NOT EXISTS ids (id BLOB PRIMARY KEY, row INTEGER)")
            ids.execute("SELECT count(*) FROM ids").fetchone()
            ids.commit()

    def now(self) -> datetime:
        """When messages that are filled in now count as sent."""
        return self._asked.now

    async def _as_of_now(self, rendered: Rendered, batch: Batch) -> Rendered:
        """What a worker made of a batch; made anew where hours or days are not what they were."""
        if self.plan.at is not None:
            return rendered
        now, bounds = self.now(), self.plan.bounds
        then = rendered.at.astimezone(bounds.zone)
        if (
            abs(now - then) <= FRESH
            and now.date() == then.date()
            and bounds.is_quiet(now) == bounds.is_quiet(then)
        ):
            return rendered
        return await asyncio.to_thread(render_chunk, batch, self.plan, now, self.gone())

    async def write(self, rendered: Rendered, batch: Batch) -> None:
        """One part: messages in the file, contacts in the database, both or neither."""
        await self._check_rests()
        rendered = await self._as_of_now(rendered, batch)
        tally = Tally.of(self.tally.as_json())
        given = Counter(self._given)
        twice = await asyncio.to_thread(self._twice, rendered)
        at = rendered.at.astimezone(UTC).isoformat(timespec="seconds")

        def contact(customer: str, channel: str, draft_id: str = "", coupon: str = "") -> Contact:
            known = contacts.handle(self._trail.keys, customer)
            return Contact(known, channel, draft_id, coupon, at)

        async def settle(connection: AsyncConnection) -> Any:
            await self._check_approvals(connection, rendered)
            made, held_out = await self._settle(connection, rendered, batch, twice, tally, given)
            lines = b"".join(self._record(message, rendered.at) for message in made)
            await asyncio.to_thread(self._append, lines)
            written = [contact(customer, contacts.HELD_OUT) for customer in held_out]
            for message in made:
                line = self.plan.lines[message.line]
                written.append(contact(message.customer, line.channel, line.draft_id, line.coupon))
            rows_in = rendered.first - 1 + rendered.rows
            bytes_out = self.run.bytes_out + len(lines)
            return written, rows_in, bytes_out, tally.as_json(), "running"

        await self._note_export(rendered)
        self.run = await contacts.write_chunk(self._trail, self.run, settle)
        self.tally, self._given = tally, given

    async def _settle(
        self,
        connection: AsyncConnection,
        rendered: Rendered,
        batch: Batch,
        twice: frozenset[int],
        tally: Tally,
        given: Counter[str],
    ) -> tuple[list[Message], list[str]]:
        """Messages that stand by what is known now, and who is held out."""
        occasions = _occasions(self.plan, rendered.at)
        outcomes: list[Message | Kept] = [*rendered.messages, *rendered.kept]
        outcomes.sort(key=lambda made: made.row)
        named = {
            contacts.handle(self._trail.keys, made.customer): made
            for made in outcomes
            if made.customer and (isinstance(made, Message) or made.reason == contacts.HELD_OUT)
        }
        known = await contacts.past_of(
            connection, self._campaign.id, named, rendered.at - WINDOW_S, keys=self._trail.keys
        )
        past = {named[handle].row: found for handle, found in known.items()}
        sent: list[Message] = []
        held_out: list[str] = []
        for outcome in outcomes:
            made = self._again(outcome, batch, occasions, past.get(outcome.row), given)
            if outcome.row in twice:
                made = Kept(outcome.row, outcome.customer, DUPLICATE)
            tally.customers += 1
            if isinstance(made, Message):
                line = self.plan.lines[made.line]
                sent.append(made)
                given[line.coupon] += 1
                tally.messages += 1
                tally.by_channel[line.channel] += 1
                tally.by_draft[line.draft_id] += 1
                if line.coupon:
                    tally.coupons[line.coupon] += 1
                continue
            if made.reason == BLOCKED:
                tally.blocked += 1
            else:
                tally.suppressed[made.reason] += 1
            if made.reason == contacts.HELD_OUT and not past.get(made.row, Past()).reached:
                held_out.append(made.customer)
            if made.detail and len(tally.bad_rows) < MOST_LISTED:
                tally.bad_rows.append({"row": rendered.first + made.row, "why": made.detail})
        return sent, held_out

    def _again(
        self,
        made: Message | Kept,
        batch: Batch,
        occasions: Occasions,
        past: Past | None,
        given: Counter[str],
    ) -> Message | Kept:
        """What becomes of a customer by what the worker did not know."""
        if isinstance(made, Message):
            gone = self.gone(given)
            if past is not None or self.plan.lines[made.line].coupon in gone:
                row = batch.rows[made.row]
                made = _render(made.row, row, self.plan, occasions, past or Past(), gone)
        elif past is not None and past.reached:
            return Kept(made.row, made.customer, "already_sent")
        if isinstance(made, Message):
            coupon = self.plan.lines[made.line].coupon
            spent = sum(
                (self.plan.savings.get(c, Decimal(0)) * n for c, n in given.items()), Decimal(0)
            )
            if spent + self.plan.savings.get(coupon, Decimal(0)) > self._campaign.budget_cny:
                return Kept(made.row, made.customer, SPENT)
        return made

    async def _check_rests(self) -> None:
        """Campaign and clauses are what they were when the run began."""
        if self._asked.rests is None:
            return
        found = await self._asked.rests()
        version = found.campaign.version if found.campaign else ""
        if version != self._campaign.version:
            raise CannotRun(
                f"the campaign {self._campaign.id} was {'changed' if version else 'taken away'} "
                f"while the run went on; what was written stays in {self._part}"
            )
        offered = {line.coupon for line in self.plan.lines}
        if "" in offered:  # a draw
            offered |= {prize.coupon for draw in self._campaign.draws for prize in draw.prizes}
        if bare := offered & found.unproven:
            raise CannotRun(
                f"no clause in force says any more what {', '.join(sorted(bare))} does; what was "
                f"written stays in {self._part}"
            )

    async def _check_approvals(self, connection: AsyncConnection, rendered: Rendered) -> None:
        """Each approval that is about to be used stands; nobody can take one back while a part is
        written."""
        today = rendered.at.astimezone(self.plan.bounds.zone).date()
        used = sorted({self.plan.lines[message.line].draft_id for message in rendered.messages})
        if not used:
            return
        seen = (today, tuple(used), await audit.trace(connection, drafts.KIND, used))
        if seen in self._stood:
            return
        approved = {line.draft_id: line.version_sha256 for line in self.plan.lines}
        for draft_id in used:
            found = await drafts.standing(
                self._trail,
                draft_id,
                campaign=self._campaign,
                rules_version=self._rules_version,
                today=today,
            )
            if isinstance(found, drafts.Lapsed) or found.sha256 != approved[draft_id]:
                why = found.reason if isinstance(found, drafts.Lapsed) else "changed"
                raise CannotRun(
                    f"the draft {draft_id} may not be sent any more ({why}); what was written "
                    f"stays in {self._part}, and the same command goes on from there"
                )
        self._stood = {seen}

    async def _note_export(self, rendered: Rendered) -> None:
        """The history of each draft says by which run it went out."""
        today = rendered.at.astimezone(self.plan.bounds.zone).date()
        used = {self.plan.lines[message.line].draft_id for message in rendered.messages}
        for draft_id in sorted(used - self._exported):
            await drafts.export(
                self._trail,
                draft_id,
                run_id=self.run.id,
                by=self.run.by,
                campaign=self._campaign,
                rules_version=self._rules_version,
                today=today,
            )
            self._exported.add(draft_id)

    def _twice(self, rendered: Rendered) -> frozenset[int]:
        """Rows of a batch whose customer stood in an earlier row."""
        outcomes: tuple[Message | Kept, ...] = (*rendered.messages, *rendered.kept)
        own = {
            made.row: hashlib.blake2b(made.customer.encode(), digest_size=12).digest()
            for made in outcomes
            if made.customer
        }
        with closing(sqlite3.connect(self._seen)) as ids:
            ids.execute("PRAGMA synchronous=OFF")
            ids.executemany(
                "INSERT OR IGNORE INTO ids VALUES (?, ?)",
                [(key, rendered.first + row) for row, key in sorted(own.items())],
            )
            ids.commit()
            first: dict[bytes, int] = {}
            keys = list(own.values())
            for start in range(0, len(keys), contacts.AT_ONCE):
                some = keys[start : start + contacts.AT_ONCE]
                marks = ",".join("?" * len(some))
                first.update(ids.execute(f"SELECT id, row FROM ids WHERE id IN ({marks})", some))
        return frozenset(row for row, key in own.items() if first[key] != rendered.first + row)

    def _record(self, message: Message, at: datetime) -> bytes:
        line = self.plan.lines[message.line]
        record = {
            "campaign": self._campaign.id,
            "customer": message.customer,
            "channel": line.channel,
            "segment": line.segment,
            "draft": line.draft_id,
            "variant": line.variant,
            "coupon": line.coupon,
            "subject": message.subject,
            "text": message.text,
            "parts": message.parts,
            "ai_generated": line.ai,
            "ai_label": "generated" if line.ai else "policy",
            "at": at.isoformat(timespec="seconds"),
        }
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"

    def _append(self, lines: bytes) -> None:
        with self._part.open("r+b") as file:
            # A part that came to nothing may have left more behind.
            file.truncate(self.run.bytes_out)
            file.seek(self.run.bytes_out)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    async def finish(self) -> None:
        """Give the file its name."""
        if self.out.suffix.lower() == ".parquet":
            await asyncio.to_thread(write_parquet, self._part, self._as_parquet, RECORD)
            self._as_parquet.replace(self.out)
            self._part.unlink()
        else:
            self._part.replace(self.out)
        await self._end()

    async def _end(self) -> None:
        async def settle(connection: AsyncConnection) -> Any:
            run = self.run
            return [], run.rows_in, run.bytes_out, run.counts or Tally().as_json(), "done"

        self.run = await contacts.write_chunk(self._trail, self.run, settle)
        self._seen.unlink(missing_ok=True)
        self.finished = True

    def summary(self, started: float) -> Summary:
        return Summary(
            self.run.id,
            str(self.out),
            self._resumed,
            time.monotonic() - started,
            self.tally,
            dict(self.opened.encodings),
        )


# Engines


async def _rendered(
    engine: Engine, running: _Running, workers: int
) -> AsyncGenerator[tuple[Rendered, Batch]]:
    """What becomes of each batch after those that were written, in order."""
    made = _on_ray(running) if engine == "ray" else _in_processes(running, workers)
    async with aclosing(made) as chunks:
        async for chunk in chunks:
            yield chunk


def _next(items: Iterator[Item]) -> Item | None:
    return next(items, None)


def _now(plan: Plan) -> datetime:
    return (plan.at or datetime.now(UTC)).astimezone(plan.bounds.zone)


_held: Plan


def _hold(plan: Plan) -> None:
    global _held
    _held = plan


def _render_held(batch: Batch, at: datetime, gone: frozenset[str]) -> Rendered:
    return render_chunk(batch, _held, at, gone)


async def _in_processes(running: _Running, workers: int) -> AsyncGenerator[tuple[Rendered, Batch]]:
    plan, rows = running.plan, running.run.plan["rows"]
    batches = running.opened.batches(running.run.chunks, rows)
    first = await asyncio.to_thread(_next, batches)
    second = await asyncio.to_thread(_next, batches)
    if first is None:
        return
    count = workers or os.cpu_count() or 1
    if second is None or count == 1:  # not worth a process
        for batch in chain([first], [second] if second else [], batches):
            work_here = partial(render_chunk, batch, plan, running.now(), running.gone())
            yield await asyncio.to_thread(work_here), batch
        return
    loop = asyncio.get_running_loop()
    async with _pool(count, plan) as pool:
        waiting: deque[tuple[asyncio.Future[Rendered], Batch]] = deque()

        def send(batch: Batch) -> None:
            work = loop.run_in_executor(pool, _render_held, batch, running.now(), running.gone())
            waiting.append((work, batch))

        send(first)
        send(second)
        while waiting:
            while len(waiting) < 2 * count:
                following = await asyncio.to_thread(_next, batches)
                if following is None:
                    break
                send(following)
            work, batch = waiting.popleft()
            try:
                made = await work
            except BrokenExecutor:
                raise CannotRun(
                    f"a process has died, perhaps of too little memory; {GO_ON}"
                ) from None
            yield made, batch


@asynccontextmanager
async def _pool(count: int, plan: Plan) -> AsyncIterator[ProcessPoolExecutor]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(count, get_context("spawn"), _hold, (plan,))
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


async def _on_ray(running: _Running) -> AsyncGenerator[tuple[Rendered, Batch]]:
    """Batches as files in a folder beside the output, which each machine of a cluster has to see;
    `render_chunk` over them as a dataset, in order."""
    ray = _ray()
    plan, rows = running.plan, running.run.plan["rows"]
    folder = running.rows
    names = await asyncio.to_thread(_stage, running.opened, running.run.chunks, rows, folder)
    try:
        if not names:
            return
        dataset = ray.data.read_binary_files(
            names, include_paths=True, override_num_blocks=len(names)
        ).map(partial(_render_staged, plan=plan))
        found = iter(dataset.iter_batches(batch_size=1, batch_format="pandas"))
        while (row := await asyncio.to_thread(_next_of_ray, ray, found)) is not None:
            rendered = pickle.loads(row["rendered"].iloc[0])
            yield rendered, _unstaged((folder / _staged_name(rendered.number)).read_bytes())
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _ray() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return _started_ray()
    except ImportError:
        raise CannotRun(
            "the engine ray needs the extra 'bulk': pip install 'zhunxin[bulk]'"
        ) from None
    except ConnectionError as error:
        raise CannotRun(
            f"the Ray cluster cannot be used ({error}): check RAY_ADDRESS, and RAY_AUTH_MODE=token "
            f"where `ray start` asks for its token (docs/runs.md); {GO_ON}"
        ) from error


def _next_of_ray(ray: Any, items: Iterator[Item]) -> Item | None:
    try:
        return next(items, None)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise CannotRun(f"Ray has failed ({type(error).__name__}); {GO_ON}") from error


def _started_ray() -> Any:
    import ray
    import ray.data

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    return ray


def _staged_name(number: int) -> str:
    return f"{number:08d}.json"


def _stage(opened: CustomerFile, skip: int, rows: int, folder: Path) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names: list[str] = []
    for batch in opened.batches(skip, rows):
        file = folder / _staged_name(batch.number)
        file.write_text(
            json.dumps([batch.number, batch.first, batch.rows, batch.done], ensure_ascii=False),
            encoding="utf-8",
        )
        names.append(str(file.resolve()))
    return names


def _unstaged(text: bytes) -> Batch:
    number, first, rows, done = json.loads(text)
    return Batch(number, first, tuple(rows), done)


def _render_staged(row: Mapping[str, Any], plan: Plan) -> dict[str, bytes]:
    batch = _unstaged(row["bytes"])
    return {"rendered": pickle.dumps(render_chunk(batch, plan, _now(plan)))}
