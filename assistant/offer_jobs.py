"""Drafting in the background, and drafts put together anew when a marketer edits one.

A job is a row. One worker of all processes of a home folder takes the oldest that waits; one that
it finds running was left by a process that ended, and is called lost.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Literal

import structlog
from filelock import AsyncFileLock
from sqlalchemy import func, insert, select, update

from . import audit, contacts, drafts, saved_segments
from .addressing import WINDOW, Refusal, bounds_of
from .best_offer import Best
from .campaigns import CampaignError
from .compliance import source_as_json
from .customers import Record
from .db import as_utc, offer_jobs
from .drafts import Check, Content
from .handoff import subjects_of
from .identity import subject_of
from .offer import (
    Brief,
    Copy,
    Drafted,
    NothingToOffer,
    Refused,
    draft_offers,
    ground_of,
    judge,
)
from .people import Person, person_of
from .segments import PLAIN, Segment

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .campaigns import Campaign
    from .customers import CustomerSource
    from .deps import Deps

State = Literal["queued", "running", "done", "failed", "lost"]

MOST_WAITING = 20
"""Jobs that wait at once; the model writes for one after the other."""

MOST_OF_ONE = 8
"""Of one account: nobody else has to wait for all that somebody asks for."""

CHANNEL_S = 600.0
"""Longest that drafts for one channel may take."""

RETRY_S = 10.0
"""How long the worker waits after a fault of the database or the disk."""

SWEEP_S = 3600.0
"""How often it is looked for approvals that do not hold any more."""

SERVER = "server"
"""Who voids them."""

HARDSHIP = "hardship"
"""Class of triage of somebody who says that they cannot repay."""

SENT_AT = time(10)
"""Time of day, outside of every quiet hour, for which a text is judged."""

log = structlog.get_logger()


class TooManyJobs(Exception):
    """So many wait that another one is not taken now."""


class UnknownSegment(Exception):
    """There is no such segment in the campaign, nor a saved one."""


class UnknownCustomer(Exception):
    """There is no such customer, or no source of customers."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be drafted."""

    campaign: str
    segment: str = PLAIN.id
    customer: str = field(default="", repr=False)
    """Id of one customer in place of a segment; empty: a segment."""
    channels: tuple[str, ...] = ()
    variants: int = 3
    ideas: tuple[str, ...] = ()
    wish: str = ""
    locale: str = "zh-Hans"


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    made_by: str
    made_at: datetime
    wanted: Wanted
    state: State
    done: int
    """Channels that are drafted."""
    total: int
    drafts: tuple[str, ...]
    refused: tuple[Refusal, ...]
    error: str
    """Code of why it failed; empty: it did not."""


# Rows -----------------------------------------------------------------------------------------


async def add_job(engine: AsyncEngine, wanted: Wanted, *, by: str) -> Job:
    """Have something drafted. Raises TooManyJobs."""
    total = len(wanted.channels)
    job = Job(uuid.uuid4().hex, by, datetime.now(UTC), wanted, "queued", 0, total, (), (), "")
    async with engine.begin() as connection:
        # Two who ask at once must not both be the last.
        await audit.lock(connection)
        rows = await connection.execute(
            select(offer_jobs.c.made_by, func.count())
            .where(offer_jobs.c.state == "queued")
            .group_by(offer_jobs.c.made_by)
        )
        waiting = Counter({row[0]: row[1] for row in rows})
        if waiting.total() >= MOST_WAITING or waiting[by] >= MOST_OF_ONE:
            raise TooManyJobs
        await connection.execute(
            insert(offer_jobs).values(
                id=job.id,
                made_by=by,
                made_at=job.made_at,
                wanted=asdict(wanted),
                **_progress(job),
            )
        )
    return job


async def read_job(engine: AsyncEngine, job_id: str) -> Job | None:
    """None where there is no such job."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(offer_jobs).where(offer_jobs.c.id == job_id))
        row = rows.one_or_none()
    return None if row is None else _job(row)


async def _in_state(engine: AsyncEngine, state: State) -> list[Job]:
    query = select(offer_jobs).where(offer_jobs.c.state == state).order_by(offer_jobs.c.made_at)
    async with engine.connect() as connection:
        return [_job(row) for row in await connection.execute(query)]


async def _keep(engine: AsyncEngine, job: Job) -> None:
    """Whom it was for is forgotten once it has ended."""
    ended = job.state not in ("queued", "running")
    more = {"wanted": asdict(replace(job.wanted, customer=""))} if ended else {}
    async with engine.begin() as connection:
        await connection.execute(
            update(offer_jobs).where(offer_jobs.c.id == job.id).values(**_progress(job), **more)
        )


def _progress(job: Job) -> dict[str, Any]:
    return {
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "made": list(job.drafts),
        "refused": [[refusal.reason, refusal.rule] for refusal in job.refused],
        "error": job.error,
    }


def _job(row: Any) -> Job:
    held = dict(row.wanted)
    wanted = Wanted(**{**held, "channels": tuple(held["channels"]), "ideas": tuple(held["ideas"])})
    return Job(
        row.id,
        row.made_by,
        as_utc(row.made_at),
        wanted,
        row.state,
        row.done,
        row.total,
        tuple(row.made),
        tuple(Refusal(reason, rule) for reason, rule in row.refused),
        row.error,
    )


# The worker -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Worker:
    """Drafts what is asked for, one job after the other."""

    deps: Deps
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a job has been added."""

    async def run(self) -> None:
        """Until cancelled. At the beginning and from time to time, approvals that do not hold any
        more are voided: what is shown of a draft is then what the send gate says of it."""
        while True:
            self.wake.clear()
            try:
                await self._work()
            except Exception as error:
                # A database that is away for a minute must not end the server.
                log.error("drafts wait", exc_info=error)
                await asyncio.sleep(RETRY_S)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), SWEEP_S)

    async def _work(self) -> None:
        settings, engine = self.deps.settings, self.deps.engine
        await asyncio.to_thread(settings.home.mkdir, parents=True, exist_ok=True)
        async with AsyncFileLock(settings.home / "offers.lock"):
            for left in await _in_state(engine, "running"):
                log.warning("drafting was cut off by the end of its server", job=left.id)
                await _keep(engine, replace(left, state="lost"))
            await self._sweep()
            while jobs := await _in_state(engine, "queued"):
                await self._draft(jobs[0])

    async def _sweep(self) -> None:
        try:
            known = await asyncio.to_thread(self.deps.campaigns)
        except CampaignError as error:
            # Nothing is sent meanwhile either; what was approved is to be judged by a whole file.
            log.error("the campaigns cannot be read", error=str(error))
            return
        changed = await drafts.expire(
            self.deps.trail,
            known,
            rules_version=self.deps.rules.version,
            today=today_of(self.deps),
            by=SERVER,
        )
        if changed:
            log.info("drafts do not hold any more", drafts=changed)

    async def _draft(self, job: Job) -> None:
        engine = self.deps.engine
        running = replace(job, state="running")
        await _keep(engine, running)
        try:
            for channel in job.wanted.channels:
                brief = await brief_of(self.deps, replace(job.wanted, channels=(channel,)))
                async with asyncio.timeout(CHANNEL_S):
                    made = await draft_offers(brief, self.deps)
                running = await self._taken(running, brief, made)
                await _keep(engine, running)
            ended = replace(running, state="done")
        except NothingToOffer:
            ended = replace(running, state="failed", error="nothing_to_offer")
        except UnknownSegment:
            ended = replace(running, state="failed", error="unknown_segment")
        except UnknownCustomer:
            ended = replace(running, state="failed", error="unknown_customer")
        except KeyError as error:
            log.warning("drafting names what is not there", job=job.id, key=str(error))
            ended = replace(running, state="failed", error="unknown_campaign")
        except TimeoutError:
            ended = replace(running, state="failed", error="too_slow")
        except Exception as error:
            # Whatever a model or a library does, the next job must still be taken.
            log.error("an offer could not be drafted", job=job.id, exc_info=error)
            ended = replace(running, state="failed", error="fault")
        await _keep(engine, ended)

    async def _taken(self, job: Job, brief: Brief, made: Drafted | Refused) -> Job:
        done = replace(job, done=job.done + 1)
        if isinstance(made, Refused):
            return replace(done, refused=_joined(job.refused, made.refusals))
        ids = list(job.drafts)
        for copy in made.copies:
            content = content_of(copy, brief.campaign, self.deps.rules.version)
            check = check_of(copy, made.best, made.attributes if copy.personalised else ())
            if brief.customer is not None:
                # What stands for a customer in a sample is not kept.
                content, check = await redraft(
                    self.deps, content, check, copy.template, copy.subject
                )
                check = replace(check, made_by=copy.made_by, prompt_version=copy.prompt_version)
            kept = await drafts.create(self.deps.trail, content, check, by=job.made_by)
            ids.append(kept.id)
        told = tuple(each for found in made.refused.values() for each in found)
        return replace(done, drafts=tuple(ids), refused=_joined(job.refused, told))


def _joined(known: Sequence[Refusal], more: Sequence[Refusal]) -> tuple[Refusal, ...]:
    return tuple(dict.fromkeys((*known, *more)))


# From what is asked to what is kept -----------------------------------------------------------


async def brief_of(deps: Deps, wanted: Wanted) -> Brief:
    """Raises KeyError for an unknown campaign, UnknownSegment, UnknownCustomer,
    customers.CustomerFault."""
    campaign = (await asyncio.to_thread(deps.campaigns))[wanted.campaign]
    at = judged_at(deps, campaign)
    customer = None
    if wanted.customer:
        customer = await person(deps, wanted.customer, at)
        if customer is None:
            raise UnknownCustomer
    return Brief(
        campaign=campaign,
        channels=wanted.channels,  # type: ignore[arg-type]  # held to the channels by who asks
        at=at,
        segment=await segment_of(deps.engine, campaign, wanted.segment),
        customer=customer,
        variants=wanted.variants,
        ideas=wanted.ideas,
        wish=wanted.wish,
        locale=wanted.locale,  # type: ignore[arg-type]  # as the channels
    )


def judged_at(deps: Deps, campaign: Campaign) -> datetime:
    """When a text is judged to go out: on the first day that it may, by day."""
    zone = bounds_of(deps.rules).zone
    today = datetime.now(zone).date()
    return datetime.combine(max(today, campaign.starts_on), SENT_AT, zone)


async def segment_of(engine: AsyncEngine, campaign: Campaign, name: str) -> Segment:
    """A segment of a campaign, a saved one, or the plain one. Raises UnknownSegment."""
    if not name:
        return PLAIN
    if name.startswith(saved_segments.PREFIX):
        saved = await saved_segments.read_saved(engine, name)
        if saved is None:
            raise UnknownSegment(name)
        return saved.segment
    try:
        return campaign.segment(name)
    except KeyError:
        raise UnknownSegment(name) from None


async def person(deps: Deps, customer_id: str, at: datetime) -> Person | None:
    """A customer of the lender's source as they may be addressed; None where there is none."""
    source: CustomerSource | None = deps.customers
    profile = await source.profile(customer_id) if source is not None else None
    if source is None or profile is None:
        return None
    record = Record(
        profile,
        loans=await source.loans(customer_id),
        coupons=await source.coupons(customer_id),
        consents=await source.consents(customer_id),
    )
    people, _ = await people_in(deps, [record], "", at)
    return people[0]


async def people_in(
    deps: Deps, records: Sequence[Record], campaign: str, at: datetime
) -> tuple[list[Person], frozenset[str]]:
    """Customers as they may be addressed at a time, with what is known here beside their records:
    who said that they cannot repay, who was written to, who must not be; and the ids of those whom
    a campaign has reached. Where the lender has no desk, nobody knows of hardship."""
    keys = deps.trail.keys
    since = at - bounds_of(deps.rules).hardship_for
    strained = await subjects_of(deps.engine, HARDSHIP, since) if deps.desk else None
    handles = {record.customer.id: contacts.handle(keys, record.customer.id) for record in records}
    async with deps.engine.connect() as connection:
        past = await contacts.past_of(
            connection, campaign, handles.values(), at - WINDOW, keys=keys
        )
    people: list[Person] = []
    reached: set[str] = set()
    for record in records:
        customer_id = record.customer.id
        known = past.get(handles[customer_id], contacts.Past())
        if known.reached:
            reached.add(customer_id)
        people.append(
            person_of(
                record.customer,
                record.loans,
                record.coupons,
                record.consents,
                at.date(),
                hardship=None if strained is None else subject_of(keys, customer_id) in strained,
                suppressed=known.suppressed.get(contacts.ALL, ""),
                opted_out=[way for way in known.suppressed if way != contacts.ALL],
                sent=known.sent,
            )
        )
    return people, frozenset(reached)


def content_of(copy: Copy, campaign: Campaign, rules_version: str) -> Content:
    """All that an approval of a copy is given to."""
    is_draw = any(draw.id == copy.offer for draw in campaign.draws)
    coupon = None if is_draw else campaign.coupon(copy.offer)
    return Content(
        campaign=campaign.id,
        campaign_version=campaign.version,
        rules_version=rules_version,
        segment=copy.segment,
        personalised=copy.personalised,
        channel=copy.channel,
        locale=copy.locale,
        variant=copy.variant,
        idea=copy.idea,
        template=copy.template,
        subject=copy.subject,
        slots=copy.slots,
        values=dict(copy.values),
        opening=copy.opening,
        closing=copy.closing,
        draw=copy.offer if is_draw else "",
        coupon=coupon.id if coupon else "",
        coupon_from=coupon.valid_from if coupon else None,
        coupon_to=coupon.valid_to if coupon else None,
    )


def check_of(copy: Copy, best: Best | None, attributes: Sequence[str]) -> Check:
    """What was found of a copy, as it is kept beside it."""
    ahead = len(copy.sample_subject) + 1 if copy.sample_subject else 0
    findings: list[dict[str, Any]] = []
    for finding in copy.findings:
        in_subject = finding.span[0] < ahead - 1
        start = 0 if in_subject else ahead
        findings.append(
            {
                "rule": finding.rule.id,
                "title": finding.rule.title_zh,
                "title_en": finding.rule.title_en,
                "severity": finding.severity,
                "where": "subject" if in_subject else "text",
                "span": [max(0, place - start) for place in finding.span],
                "text": finding.text,
                "source": source_as_json(finding.rule),
                "suggestion": finding.rule.suggestion_zh,
                "suggestion_en": finding.rule.suggestion_en,
            }
        )
    findings += [
        {
            "rule": f"house.{problem.code}",
            "title": problem.said,
            "title_en": "",
            "severity": problem.severity,
            "where": "text",
            "span": [0, len(copy.sample)],
            "text": "",
            "source": None,
            "suggestion": "",
            "suggestion_en": "",
        }
        for problem in copy.problems
    ]
    return Check(
        verdict=copy.verdict,
        sample=copy.sample,
        sample_subject=copy.sample_subject,
        findings=tuple(findings),
        unchecked=tuple(
            {"rule": each.rule.id, "needs": list(each.needs)} for each in copy.unchecked
        ),
        length=asdict(copy.fit),
        calculation=_calculation(best),
        made_by=copy.made_by,
        prompt_version=copy.prompt_version,
        attributes=tuple(attributes),
    )


def _calculation(best: Best | None) -> Mapping[str, Any]:
    if best is None:
        return {}
    return {
        "coupon": best.coupon.id,
        "saving_cny": f"{best.saving_cny:.2f}",
        "calculation": best.calculation,
        "others": [
            {"coupon": coupon, "saving_cny": f"{saved:.2f}"} for coupon, saved in best.others
        ],
        "left_out": [{"coupon": left.coupon, "why": left.why} for left in best.left_out],
    }


async def redraft(
    deps: Deps, content: Content, check: Check, template: str, subject: str
) -> tuple[Content, Check]:
    """Another text in the place of a content's, put together and judged by what is in force now:
    clauses, campaign, rules, day.

    Raises templates.BadTemplate, KeyError where the campaign or its offer is gone, UnknownSegment.
    """
    campaign = (await asyncio.to_thread(deps.campaigns))[content.campaign]
    segment = await segment_of(deps.engine, campaign, content.segment)
    ground = await ground_of(
        deps,
        campaign,
        content.channel,
        offer=content.draw or content.coupon,
        at=judged_at(deps, campaign),
        segment=segment,
        personalised=content.personalised,
        locale=content.locale,  # type: ignore[arg-type]  # one that it was drafted in
    )
    bare = not content.opening and not content.closing
    copy = await asyncio.to_thread(
        judge, ground, template, subject, variant=content.variant, idea=content.idea, bare=bare
    )
    checked = check_of(copy, None, check.attributes)
    new = content_of(copy, campaign, deps.rules.version)
    return new, replace(
        checked,
        calculation=check.calculation,
        made_by="person",
        prompt_version=check.prompt_version,
    )


def today_of(deps: Deps) -> date:
    """The day by which campaigns run."""
    return datetime.now(bounds_of(deps.rules).zone).date()
