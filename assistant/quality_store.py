"""Scores that are kept: samples of them for people, appeals, agreement and trends.

Of our own conversations no word is kept here: what a point is about is read from the record, and is
gone when that is erased. Of imported ones the turns are kept with personal data masked.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from knowledge import store

from . import audit, privacy
from .audit import Trail
from .db import (
    as_utc,
    conversations,
    handoff_events,
    quality_appeals,
    quality_losses,
    quality_reviews,
    quality_scores,
    quality_speakers,
    records,
    staff,
)
from .journal import read_turns
from .quality import PARTS, Book, Part, Point, Score, Shelf, band
from .transcripts import Transcript, Turn, of_conversation

Source = Literal["own", "import"]
Stratum = Literal["low", "random", "agent"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)
AppealState = Literal["open", "upheld", "dismissed"]
Verdict = Literal["ok", "not_ok"]

ASSISTANT = ""
"""Login under which what the assistant said is counted."""
MOST_NOTE = 2000
MOST_ASKED = 10_000
"""Questions of one conversation that are scored, the newest."""
_SEALED: Mapping[audit.Kind, Table] = {"review": quality_reviews, "appeal": quality_appeals}
FEWEST = 10
"""Reviews below which no agreement is told."""


@dataclass(frozen=True, slots=True)
class Declined:
    """Why something is not done."""

    code: Literal[
        "unknown_score",
        "unknown_point",
        "unknown_appeal",
        "not_yours",
        "own_conversation",
        "nothing_lost",
        "appealed_before",
        "decided_before",
        "not_drawn",
        "reviewed_before",
    ]


@dataclass(frozen=True, slots=True)
class Kept:
    """A score as it is kept, after appeals."""

    id: str
    source: Source
    held_on: date
    scored_at: datetime
    score: Score
    waived: frozenset[int]
    """Places of points that were given back."""
    turns: tuple[Turn, ...] = ()
    """Masked; empty where they were not kept, or are erased."""


@dataclass(frozen=True, slots=True)
class Review:
    """What a person found, or is to find, of a conversation."""

    score_id: str
    conversation_id: str
    stratum: Stratum
    drawn_at: datetime
    held_on: date
    agents: tuple[str, ...]
    machine: float | None
    total: float | None
    verdicts: Mapping[Part, Verdict] | None
    note: str
    reviewed_by: str
    """Login; empty until somebody has."""


@dataclass(frozen=True, slots=True)
class Appeal:
    """Somebody's word against a point."""

    id: str
    score_id: str
    conversation_id: str
    place: int
    code: str
    reason: str
    appealed_at: datetime
    appealed_by: str
    """Login."""
    state: AppealState
    comment: str
    decided_by: str


@dataclass(frozen=True, slots=True)
class Kappa:
    """How far machine and person agree beyond chance."""

    n: int
    agreed: float
    """Share of `n`, 0 to 1."""
    kappa: float | None
    """Cohen's, -1 to 1; None: too few, or all of one kind."""


@dataclass(frozen=True, slots=True)
class Agreement:
    passed: Kappa
    confusion: Mapping[str, Mapping[str, int]]
    """Band by the machine -> band by people -> how many."""
    parts: Mapping[Part, Kappa]
    mean_difference: float | None
    """Machine less person, in points."""


# Keeping ---------------------------------------------------------------------------------------


async def keep(
    engine: AsyncEngine,
    scores: Sequence[tuple[Transcript, Score]],
    source: Source,
    now: datetime | None = None,
) -> int:
    """Keep scores, each in the place of an earlier one of the same conversation, unless a person
    has reviewed it or appealed against it; returns how many were kept."""
    if not scores:
        return 0
    now = now or datetime.now(UTC)
    named = {score.transcript_id: (transcript, score) for transcript, score in scores}
    async with engine.begin() as connection:
        rows = await connection.execute(
            select(
                quality_scores.c.id,
                quality_scores.c.conversation_id,
                select(quality_reviews.c.score_id)
                .where(
                    quality_reviews.c.score_id == quality_scores.c.id,
                    quality_reviews.c.reviewed_at.is_not(None),
                )
                .exists()
                .label("reviewed"),
                select(quality_appeals.c.id)
                .where(quality_appeals.c.score_id == quality_scores.c.id)
                .exists()
                .label("appealed"),
            ).where(
                quality_scores.c.source == source,
                quality_scores.c.conversation_id.in_(named),
            )
        )
        again: list[str] = []
        ids: dict[str, str] = {}
        for row in rows.all():
            if row.reviewed or row.appealed:
                del named[row.conversation_id]
            else:
                again.append(row.id)
                ids[row.conversation_id] = row.id
        for table in (quality_losses, quality_speakers):
            await connection.execute(delete(table).where(table.c.score_id.in_(again)))
        for transcript, score in named.values():
            score_id = ids.get(score.transcript_id)
            values = _row(transcript, score, source, now)
            if score_id is None:
                score_id = uuid.uuid4().hex
                await connection.execute(insert(quality_scores).values(id=score_id, **values))
            else:
                await connection.execute(
                    update(quality_scores).where(quality_scores.c.id == score_id).values(**values)
                )
            await _add_parts(connection, score_id, score)
    return len(named)


async def _add_parts(connection: AsyncConnection, score_id: str, score: Score) -> None:
    speakers = [{"score_id": score_id, "login": login} for login in _speakers(score)]
    if speakers:
        await connection.execute(insert(quality_speakers), speakers)
    losses = [
        {
            "score_id": score_id,
            "place": place,
            "part": point.part,
            "code": point.code,
            "login": point.by,
            "lost": _hundredths(point.lost),
            "waived": False,
        }
        for place, point in enumerate(score.points)
        if not point.met
    ]
    if losses:
        await connection.execute(insert(quality_losses), losses)


def _speakers(score: Score) -> list[str]:
    return [*score.agents, *([ASSISTANT] if score.assistant_spoke else [])]


def _row(transcript: Transcript, score: Score, source: Source, now: datetime) -> dict[str, Any]:
    turns: list[dict[str, Any]] | None = None
    points = score.points
    if source == "own":
        # Words of a borrower stay in the record alone, where they can be erased.
        points = tuple(replace(point, text="") for point in points)
    else:
        turns, points = _masked(transcript, points)
    return {
        "source": source,
        "conversation_id": score.transcript_id,
        "held_on": score.on,
        "scored_at": now,
        "task": score.task,
        "topic": score.topic[:64],
        "total": None if score.total is None else _hundredths(score.total),
        "passed": score.passed,
        "band": score.band,
        "document": {
            "before_cap": score.before_cap,
            "parts": dict(score.parts),
            "weights": dict(score.weights),
            "points": [asdict(point) for point in points],
            "flags": list(score.flags),
            "agents": list(score.agents),
            "assistant": score.assistant_spoke,
            "turns": score.turns,
        },
        "turns": turns,
        "rules_version": score.rules_version,
        "scoring_version": score.scoring_version,
    }


def _masked(
    transcript: Transcript, points: Sequence[Point]
) -> tuple[list[dict[str, Any]], tuple[Point, ...]]:
    """The turns as they may be kept, and points whose spans are places in them."""
    turns: list[dict[str, Any]] = []
    hidden: list[privacy.Masked] = []
    for turn in transcript.turns:
        masked = privacy.mask(turn.text)
        hidden.append(masked)
        turns.append(
            {
                "speaker": turn.speaker,
                "text": masked.text,
                "at": turn.at and turn.at.isoformat(),
                "by": turn.by,
            }
        )
    moved = []
    for point in points:
        if point.turn is not None:
            span = _moved(point.span, hidden[point.turn])
            text = hidden[point.turn].text[slice(*span)]
            point = replace(point, span=span, text=text)
        moved.append(point)
    return turns, tuple(moved)


def _moved(span: tuple[int, int], masked: privacy.Masked) -> tuple[int, int]:
    """A place of the original in the masked text; what it cuts through is in it whole."""
    start, end = span
    shift_start = shift_end = 0
    for each in masked.spans:
        grown = len(each.placeholder) - (each.end - each.start)
        if each.end <= span[0]:
            shift_start += grown
        elif each.start < span[0]:
            start = each.start
        if each.end <= span[1]:
            shift_end += grown
        elif each.start < span[1]:
            end = each.end
            shift_end += grown
    return start + shift_start, end + shift_end


def _hundredths(points: float) -> int:
    return round(points * 100)


async def scored(
    engine: AsyncEngine, source: Source, rules_version: str, scoring_version: str
) -> dict[str, int]:
    """Conversations that are scored by these rules and this data already -> turns they had then."""
    columns = (quality_scores.c.conversation_id, quality_scores.c.document)
    query = select(*columns).where(
        quality_scores.c.source == source,
        quality_scores.c.rules_version == rules_version,
        quality_scores.c.scoring_version == scoring_version,
    )
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return {row.conversation_id: row.document["turns"] for row in rows}


async def open_shelf(engine: AsyncEngine, book: Book, held: Shelf | None = None) -> Shelf | None:
    """What the live release says; `held`, where that is of it. None: there is no release."""
    release = await store.active_release(engine)
    if release is None:
        return None
    if held is not None and (held.release_id, held.book) == (release.id, book):
        return held
    async with engine.connect() as connection:
        keys = await store.release_sources(connection, release.id)
        clauses = await store.document_clauses(connection, [*keys.values()])
    return Shelf(release.id, clauses, book)


# Our own conversations -------------------------------------------------------------------------


async def conversation_ids(
    engine: AsyncEngine, first: datetime | None = None, before: datetime | None = None
) -> list[str]:
    """Conversations in which something was said in some time, to the assistant or to a person, the
    oldest first."""
    said: list[Any] = []
    for at, *more in (
        (records.c.asked_at, records.c.erased_seq.is_(None)),
        (
            handoff_events.c.at,
            handoff_events.c.erased_seq.is_(None),
            handoff_events.c.kind == "message",
        ),
    ):
        within = [at >= first] if first else []
        within += [at < before] if before else []
        said.append(select(at.table.c.conversation_id).where(*more, *within))
    query = (
        select(conversations.c.id)
        .where(or_(*(conversations.c.id.in_(each) for each in said)))
        .order_by(conversations.c.created_at, conversations.c.id)
    )
    async with engine.connect() as connection:
        return [*await connection.scalars(query)]


async def read_conversation(engine: AsyncEngine, conversation_id: str) -> Transcript | None:
    """One of our own, with what people said at the desk and what its replies were calculated with;
    None where there is none, or nothing of it is left."""
    async with engine.connect() as connection:
        head = (
            await connection.execute(
                select(conversations.c.subject).where(conversations.c.id == conversation_id)
            )
        ).first()
        if head is None:
            return None
        rows = await connection.execute(
            select(handoff_events, staff.c.login)
            .outerjoin(staff, staff.c.id == handoff_events.c.staff_id)
            .where(
                handoff_events.c.conversation_id == conversation_id,
                handoff_events.c.kind == "message",
                handoff_events.c.erased_seq.is_(None),
            )
            .order_by(handoff_events.c.seq)
        )
        messages = [
            {
                "speaker": row.speaker,
                "text": row.text,
                "at": as_utc(row.at),
                "by": row.login or "",
            }
            for row in rows
        ]
        played = [
            row.played
            for row in await connection.execute(
                select(records.c.played).where(
                    records.c.conversation_id == conversation_id, records.c.erased_seq.is_(None)
                )
            )
        ]
    asked = await read_turns(engine, conversation_id, MOST_ASKED)
    turns = [row for row in asked if row["question"]]
    known = [held["customer"] for held in played if held and held.get("customer")]
    calculated = [
        calculation["result"]
        for row in turns
        for calculation in (row["reply"] or {}).get("calculations", ())
    ]
    transcript = of_conversation(
        conversation_id,
        turns,
        messages,
        facts={
            # The page says above each reply that it is an AI's; a known subject has signed in.
            "label_shown": True,
            "identity_verified": bool(head.subject),
            "record": known,
            "calculated": calculated,
        },
    )
    return transcript if transcript.turns else None


# Reading ---------------------------------------------------------------------------------------


async def list_scores(
    engine: AsyncEngine,
    *,
    first: date | None = None,
    last: date | None = None,
    login: str | None = None,
    topic: str = "",
    code: str = "",
    passed: bool | None = None,
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Kept], int]:
    """Scores of some days, the newest conversation first, and how many there are."""
    where = [*_between(first, last)]
    if login is not None:
        where.append(_spoke(login))
    if topic:
        where.append(quality_scores.c.topic == topic)
    if code:
        where.append(
            select(quality_losses.c.score_id)
            .where(
                quality_losses.c.score_id == quality_scores.c.id,
                quality_losses.c.code == code,
                quality_losses.c.waived.is_(False),
            )
            .exists()
        )
    if passed is not None:
        where += [quality_scores.c.passed.is_(passed), quality_scores.c.total.is_not(None)]
    order = (quality_scores.c.held_on.desc(), quality_scores.c.scored_at.desc())
    query = select(quality_scores).where(*where).order_by(*order, quality_scores.c.id)
    async with engine.connect() as connection:
        total = await connection.scalar(
            select(func.count()).select_from(quality_scores).where(*where)
        )
        rows = (await connection.execute(query.offset(offset).limit(limit))).all()
        waived = await _waived(connection, [row.id for row in rows])
    return [_kept(row, waived.get(row.id, frozenset())) for row in rows], total or 0


async def read_score(engine: AsyncEngine, score_id: str) -> Kept | None:
    """One score, with the turns of its conversation and the words of its points."""
    async with engine.connect() as connection:
        row = (
            await connection.execute(select(quality_scores).where(quality_scores.c.id == score_id))
        ).first()
        waived = await _waived(connection, [score_id])
    if row is None:
        return None
    kept = _kept(row, waived.get(score_id, frozenset()))
    if kept.source == "import":
        return kept
    transcript = await read_conversation(engine, kept.score.transcript_id)
    turns = transcript.turns if transcript else ()
    # What was said since, or erased, has moved the turns: then a point has no words to show.
    points = kept.score.points
    if len(turns) == kept.score.turns:
        points = tuple(
            replace(p, text=turns[p.turn].text[slice(*p.span)]) if p.turn is not None else p
            for p in points
        )
    return replace(kept, turns=turns, score=replace(kept.score, points=points))


def _kept(row: Any, waived: frozenset[int]) -> Kept:
    held = row.document
    points = tuple(Point(**{**p, "span": (p["span"][0], p["span"][1])}) for p in held["points"])
    score = Score(
        transcript_id=row.conversation_id,
        total=None if row.total is None else row.total / 100,
        before_cap=held["before_cap"],
        parts=held["parts"],
        weights=held["weights"],
        points=points,
        flags=tuple(held["flags"]),
        passed=row.passed,
        band=row.band,
        task=row.task,
        topic=row.topic,
        on=row.held_on,
        agents=tuple(held["agents"]),
        assistant_spoke=held["assistant"],
        turns=held["turns"],
        rules_version=row.rules_version,
        scoring_version=row.scoring_version,
    )
    turns = tuple(
        Turn(
            turn["speaker"],
            turn["text"],
            datetime.fromisoformat(turn["at"]) if turn["at"] else None,
            turn["by"],
        )
        for turn in row.turns or ()
    )
    return Kept(row.id, row.source, row.held_on, as_utc(row.scored_at), score, waived, turns)


async def _waived(
    connection: AsyncConnection, score_ids: Sequence[str]
) -> dict[str, frozenset[int]]:
    rows = await connection.execute(
        select(quality_losses.c.score_id, quality_losses.c.place).where(
            quality_losses.c.score_id.in_(score_ids), quality_losses.c.waived.is_(True)
        )
    )
    found: dict[str, set[int]] = {}
    for row in rows:
        found.setdefault(row.score_id, set()).add(row.place)
    return {score_id: frozenset(places) for score_id, places in found.items()}


def _between(first: date | None, last: date | None) -> Iterator[ColumnElement[bool]]:
    if first is not None:
        yield quality_scores.c.held_on >= first
    if last is not None:
        yield quality_scores.c.held_on <= last


def _spoke(login: str) -> ColumnElement[bool]:
    return (
        select(quality_speakers.c.score_id)
        .where(
            quality_speakers.c.score_id == quality_scores.c.id,
            quality_speakers.c.login == login,
        )
        .exists()
    )


async def forget(trail: Trail, conversation_id: str, *, by: str) -> bool:
    """Delete an imported conversation with its score, reviews and appeals; whether there was
    one."""
    async with audit.writing(trail) as (connection, seal):
        score_id = await connection.scalar(
            select(quality_scores.c.id).where(
                quality_scores.c.source == "import",
                quality_scores.c.conversation_id == conversation_id,
            )
        )
        if score_id is None:
            return False
        told = {
            kind: await connection.scalar(select(exists().where(table.c.score_id == score_id)))
            for kind, table in _SEALED.items()
        }
        for table in (quality_appeals, quality_reviews, quality_losses, quality_speakers):
            await connection.execute(delete(table).where(table.c.score_id == score_id))
        for kind, there in told.items():
            if there:
                await seal(kind, score_id, {"action": "forgotten", "by": by})
        await connection.execute(delete(quality_scores).where(quality_scores.c.id == score_id))
    return True


# Samples for people ----------------------------------------------------------------------------


async def draw(
    trail: Trail,
    *,
    first: date | None,
    last: date | None,
    each: int,
    staff_id: str,
    seed: str = "",
    now: datetime | None = None,
) -> dict[Stratum, int]:
    """Draw conversations that nobody has drawn yet for people to score: the lowest of those that
    did not pass, some at random, and of each agent as many as have none so far.

    each: of each stratum, by agent of each agent. The same seed draws the same of the same ones.
    """
    now = now or datetime.now(UTC)
    async with audit.writing(trail) as (connection, seal):
        rows = (
            await connection.execute(
                select(quality_scores.c.id, quality_scores.c.total, quality_scores.c.passed)
                .where(*_between(first, last), quality_scores.c.total.is_not(None))
                .where(
                    ~select(quality_reviews.c.score_id)
                    .where(quality_reviews.c.score_id == quality_scores.c.id)
                    .exists()
                )
                .order_by(quality_scores.c.id)
            )
        ).all()
        ids = [row.id for row in rows]
        by_agent: dict[str, list[str]] = {}
        speakers = await connection.execute(
            select(quality_speakers)
            .where(
                quality_speakers.c.score_id.in_(
                    select(quality_scores.c.id).where(*_between(first, last))
                ),
                quality_speakers.c.login != ASSISTANT,
            )
            .order_by(quality_speakers.c.login, quality_speakers.c.score_id)
        )
        undrawn = set(ids)
        for row in speakers:
            if row.score_id in undrawn:
                by_agent.setdefault(row.login, []).append(row.score_id)
        chance = random.Random(seed or now.isoformat())
        low = sorted((row for row in rows if not row.passed), key=lambda r: (r.total, r.id))
        drawn: dict[str, Stratum] = {row.id: "low" for row in low[:each]}
        rest = [score_id for score_id in ids if score_id not in drawn]
        drawn |= dict.fromkeys(chance.sample(rest, min(each, len(rest))), "random")
        for own in by_agent.values():
            left = [score_id for score_id in own if score_id not in drawn]
            missing = max(0, each - sum(score_id in drawn for score_id in own))
            drawn |= dict.fromkeys(chance.sample(left, min(missing, len(left))), "agent")
        if drawn:
            await connection.execute(
                insert(quality_reviews),
                [
                    {
                        "score_id": score_id,
                        "stratum": stratum,
                        "drawn_at": now,
                        "drawn_by": staff_id or None,
                        "note": "",
                    }
                    for score_id, stratum in drawn.items()
                ],
            )
        for score_id in drawn:
            await seal("review", score_id, {"action": "drawn", "by": staff_id})
    counts = Counter(drawn.values())
    return {stratum: counts[stratum] for stratum in STRATA}


async def list_reviews(
    engine: AsyncEngine, *, done: bool, offset: int = 0, limit: int = 50
) -> tuple[list[Review], int]:
    """Drawn conversations that people have scored, or have yet to."""
    where = (
        quality_reviews.c.reviewed_at.is_not(None)
        if done
        else quality_reviews.c.reviewed_at.is_(None)
    )
    query = (
        select(
            quality_reviews,
            quality_scores.c.conversation_id,
            quality_scores.c.held_on,
            quality_scores.c.total.label("machine"),
            quality_scores.c.document,
            staff.c.login,
        )
        .join(quality_scores, quality_scores.c.id == quality_reviews.c.score_id)
        .outerjoin(staff, staff.c.id == quality_reviews.c.reviewed_by)
        .where(where)
        .order_by(quality_reviews.c.drawn_at, quality_reviews.c.score_id)
    )
    async with engine.connect() as connection:
        total = await connection.scalar(
            select(func.count()).select_from(quality_reviews).where(where)
        )
        rows = await connection.execute(query.offset(offset).limit(limit))
        found = [
            Review(
                score_id=row.score_id,
                conversation_id=row.conversation_id,
                stratum=row.stratum,
                drawn_at=as_utc(row.drawn_at),
                held_on=row.held_on,
                agents=tuple(row.document["agents"]),
                machine=None if row.machine is None else row.machine / 100,
                total=None if row.total is None else row.total / 100,
                verdicts=row.verdicts,
                note=row.note,
                reviewed_by=row.login or "",
            )
            for row in rows
        ]
    return found, total or 0


async def awaits_review(engine: AsyncEngine, score_id: str) -> bool:
    """Whether a person is to score it who has not seen what the machine found."""
    async with engine.connect() as connection:
        found = await connection.scalar(
            select(func.count())
            .select_from(quality_reviews)
            .where(quality_reviews.c.score_id == score_id, quality_reviews.c.reviewed_at.is_(None))
        )
    return bool(found)


async def review(
    trail: Trail,
    score_id: str,
    *,
    staff_id: str,
    login: str,
    total: float,
    verdicts: Mapping[Part, Verdict],
    note: str = "",
    now: datetime | None = None,
) -> Declined | None:
    """Keep what a person found, once; nobody scores a conversation of their own."""
    async with audit.writing(trail) as (connection, seal):
        row = (
            await connection.execute(
                select(quality_reviews.c.reviewed_at).where(quality_reviews.c.score_id == score_id)
            )
        ).first()
        if row is None:
            return Declined("not_drawn")
        if row.reviewed_at is not None:
            return Declined("reviewed_before")
        if await _has_spoken(connection, score_id, login):
            return Declined("own_conversation")
        changed = await connection.execute(
            update(quality_reviews)
            .where(quality_reviews.c.score_id == score_id, quality_reviews.c.reviewed_at.is_(None))
            .values(
                total=_hundredths(total),
                verdicts=dict(verdicts),
                note=privacy.mask(note[:MOST_NOTE]).text,
                reviewed_at=now or datetime.now(UTC),
                reviewed_by=staff_id,
            )
        )
        if not changed.rowcount:
            return Declined("reviewed_before")
        await seal("review", score_id, {"action": "reviewed", "by": staff_id})
    return None


async def _has_spoken(connection: AsyncConnection, score_id: str, login: str) -> bool:
    found = await connection.scalar(
        select(func.count())
        .select_from(quality_speakers)
        .where(quality_speakers.c.score_id == score_id, quality_speakers.c.login == login)
    )
    return bool(found) and login != ASSISTANT


# Appeals ---------------------------------------------------------------------------------------


async def appeal(
    trail: Trail,
    score_id: str,
    place: int,
    *,
    staff_id: str,
    login: str,
    reason: str,
    now: datetime | None = None,
) -> str | Declined:
    """The id of an appeal of who spoke against a point that it lost; once for each point."""
    async with audit.writing(trail) as (connection, seal):
        row = (
            await connection.execute(
                select(quality_scores.c.document).where(quality_scores.c.id == score_id)
            )
        ).first()
        if row is None:
            return Declined("unknown_score")
        points = row.document["points"]
        if not 0 <= place < len(points):
            return Declined("unknown_point")
        if not await _has_spoken(connection, score_id, login):
            return Declined("not_yours")
        # A question that was left open is of whoever took part.
        if points[place]["by"] not in ("", login):
            return Declined("not_yours")
        if points[place]["met"]:
            return Declined("nothing_lost")
        before = await connection.scalar(
            select(quality_appeals.c.id).where(
                quality_appeals.c.score_id == score_id, quality_appeals.c.place == place
            )
        )
        if before is not None:
            return Declined("appealed_before")
        appeal_id = uuid.uuid4().hex
        await connection.execute(
            insert(quality_appeals).values(
                id=appeal_id,
                score_id=score_id,
                place=place,
                reason=privacy.mask(reason[:MOST_NOTE]).text,
                appealed_at=now or datetime.now(UTC),
                appealed_by=staff_id,
                state="open",
                comment="",
            )
        )
        await seal("appeal", score_id, {"action": "appealed", "place": place, "by": staff_id})
    return appeal_id


async def decide(
    trail: Trail,
    book: Book,
    appeal_id: str,
    *,
    staff_id: str,
    login: str,
    uphold: bool,
    comment: str,
    now: datetime | None = None,
) -> Declined | None:
    """Decide an appeal, by somebody who did not take part in the conversation; what is upheld is
    given back, and the cap of a broken rule goes with the last such finding."""
    async with audit.writing(trail) as (connection, seal):
        row = (
            await connection.execute(
                select(quality_appeals).where(quality_appeals.c.id == appeal_id)
            )
        ).first()
        if row is None:
            return Declined("unknown_appeal")
        if row.appealed_by == staff_id or await _has_spoken(connection, row.score_id, login):
            return Declined("own_conversation")
        changed = await connection.execute(
            update(quality_appeals)
            .where(quality_appeals.c.id == appeal_id, quality_appeals.c.state == "open")
            .values(
                state="upheld" if uphold else "dismissed",
                comment=privacy.mask(comment[:MOST_NOTE]).text,
                decided_at=now or datetime.now(UTC),
                decided_by=staff_id,
            )
        )
        if not changed.rowcount:
            return Declined("decided_before")
        if uphold:
            await _give_back(connection, book, row.score_id, row.place)
        action = "upheld" if uphold else "dismissed"
        await seal("appeal", row.score_id, {"action": action, "place": row.place, "by": staff_id})
    return None


async def _give_back(connection: AsyncConnection, book: Book, score_id: str, place: int) -> None:
    await connection.execute(
        update(quality_losses)
        .where(quality_losses.c.score_id == score_id, quality_losses.c.place == place)
        .values(waived=True)
    )
    row = (
        await connection.execute(select(quality_scores).where(quality_scores.c.id == score_id))
    ).one()
    waived = (await _waived(connection, [score_id])).get(score_id, frozenset())
    kept = _kept(row, waived)
    standing = [p for i, p in enumerate(kept.score.points) if i not in waived]
    parts, flags = _again(kept.score, standing)
    total = before = round(sum(parts.values()), 2)
    if "blocking_rule" in flags:
        total = min(total, book.thresholds["cap_with_block"])
    await connection.execute(
        update(quality_scores)
        .where(quality_scores.c.id == score_id)
        .values(
            total=_hundredths(total),
            passed=total >= book.thresholds["pass"],
            band=band(total, book),
            document={**row.document, "parts": parts, "before_cap": before, "flags": flags},
        )
    )


def _again(score: Score, standing: Iterable[Point]) -> tuple[dict[Part, float], list[str]]:
    """Parts and flags by the points that stand. One that cost nothing, because its part had no more
    to lose, still costs nothing: what was given back was counted before it."""
    standing = [*standing]
    parts = {
        part: round(weight - sum(p.lost for p in standing if p.part == part), 2)
        for part, weight in score.weights.items()
    }
    blocked = any(point.severity == "block" for point in standing)
    flags = [flag for flag in score.flags if flag != "blocking_rule" or blocked]
    return parts, flags


async def list_appeals(
    engine: AsyncEngine,
    *,
    state: AppealState | None = None,
    login: str = "",
    score_id: str = "",
    limit: int = 100,
) -> list[Appeal]:
    """Appeals, the oldest first. login: of who appealed; empty: everybody's."""
    by, decider = staff.alias("by"), staff.alias("decider")
    query = (
        select(
            quality_appeals,
            quality_scores.c.conversation_id,
            quality_scores.c.document,
            by.c.login.label("by_login"),
            decider.c.login.label("decider_login"),
        )
        .join(quality_scores, quality_scores.c.id == quality_appeals.c.score_id)
        .join(by, by.c.id == quality_appeals.c.appealed_by)
        .outerjoin(decider, decider.c.id == quality_appeals.c.decided_by)
        .order_by(quality_appeals.c.appealed_at, quality_appeals.c.id)
        .limit(limit)
    )
    if state:
        query = query.where(quality_appeals.c.state == state)
    if login:
        query = query.where(by.c.login == login)
    if score_id:
        query = query.where(quality_appeals.c.score_id == score_id)
    async with engine.connect() as connection:
        return [
            Appeal(
                id=row.id,
                score_id=row.score_id,
                conversation_id=row.conversation_id,
                place=row.place,
                code=row.document["points"][row.place]["code"],
                reason=row.reason,
                appealed_at=as_utc(row.appealed_at),
                appealed_by=row.by_login,
                state=row.state,
                comment=row.comment,
                decided_by=row.decider_login or "",
            )
            for row in await connection.execute(query)
        ]


# Agreement and trends --------------------------------------------------------------------------


async def agreement(
    engine: AsyncEngine, book: Book, first: date | None = None, last: date | None = None
) -> Agreement:
    """How far people who scored without seeing the machine's score agree with it. What the machine
    found is taken before appeals: the points that it lost."""
    query = (
        select(quality_reviews.c.total, quality_reviews.c.verdicts, quality_scores.c.document)
        .join(quality_scores, quality_scores.c.id == quality_reviews.c.score_id)
        .where(
            quality_reviews.c.reviewed_at.is_not(None),
            quality_reviews.c.total.is_not(None),
            *_between(first, last),
        )
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    pairs: list[tuple[bool, bool]] = []
    by_part: dict[Part, list[tuple[bool, bool]]] = {}
    confusion = {name: dict.fromkeys(book.bands, 0) for name in book.bands}
    differences = []
    for row in rows:
        points = row.document["points"]
        weights = row.document["weights"]
        machine = _first_total(row.document, book)
        person = row.total / 100
        least = book.thresholds["pass"]
        pairs.append((machine >= least, person >= least))
        confusion[band(machine, book)][band(person, book)] += 1
        differences.append(machine - person)
        for part, verdict in (row.verdicts or {}).items():
            if part in weights:
                lost = any(p["part"] == part and not p["met"] for p in points)
                by_part.setdefault(part, []).append((not lost, verdict == "ok"))
    return Agreement(
        passed=kappa(pairs),
        confusion=confusion,
        parts={part: kappa(by_part[part]) for part in PARTS if part in by_part},
        mean_difference=sum(differences) / len(differences) if differences else None,
    )


def _first_total(document: Mapping[str, Any], book: Book) -> float:
    points = document["points"]
    total = sum(document["weights"].values()) - sum(p["lost"] for p in points)
    if any(p["severity"] == "block" for p in points):
        total = min(total, book.thresholds["cap_with_block"])
    return float(round(total, 2))


def kappa(pairs: Sequence[tuple[object, object]]) -> Kappa:
    """Cohen's kappa (1960): agreement beyond what two raters with these shares have by chance."""
    n = len(pairs)
    if not n:
        return Kappa(0, 0.0, None)
    agreed = sum(one == other for one, other in pairs) / n
    ones, others = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(ones[kind] * others[kind] for kind in ones) / n**2
    if n < FEWEST or chance == 1:
        return Kappa(n, agreed, None)
    return Kappa(n, agreed, (agreed - chance) / (1 - chance))


Group = Literal["all", "agent", "topic", "rule", "part"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, slots=True)
class Trend:
    """One line of a chart."""

    name: str
    n: int
    """Conversations in all."""
    mean: float
    """Of their scores; of `rule` and `part`, conversations of 100 that lost by it."""
    weeks: Sequence[tuple[date, int, float]]
    """(first day, conversations, mean) of each week or day in which there were any."""


async def trends(
    engine: AsyncEngine,
    group: Group,
    *,
    first: date | None = None,
    last: date | None = None,
    by_week: bool = True,
    login: str | None = None,
    most: int = 20,
) -> list[Trend]:
    """How scores went, the group with the most conversations first."""
    where = [*_between(first, last), quality_scores.c.total.is_not(None)]
    if login is not None:
        where.append(_spoke(login))
    day = quality_scores.c.held_on
    async with engine.connect() as connection:
        if group in ("rule", "part"):
            return await _lost_trends(connection, group, where, by_week, login, most)
        name: ColumnElement[Any] | None = None
        query = select(day, func.count(), func.sum(quality_scores.c.total))
        if group == "agent":
            name = quality_speakers.c.login
            query = query.join(quality_speakers, quality_speakers.c.score_id == quality_scores.c.id)
            if login is not None:
                query = query.where(quality_speakers.c.login == login)
        elif group == "topic":
            name = quality_scores.c.topic
        if name is not None:
            query = query.add_columns(name.label("name"))
        query = query.where(*where).group_by(*([day] if name is None else [day, name]))
        rows = (await connection.execute(query)).all()
    counts: dict[str, dict[date, tuple[int, float]]] = {}
    for row in rows:
        line = counts.setdefault(row[3] if name is not None else "", {})
        start = _start(row[0], by_week)
        n, summed = line.get(start, (0, 0.0))
        line[start] = (n + row[1], summed + row[2] / 100)
    found = [_trend(name, line) for name, line in counts.items()]
    return sorted(found, key=lambda trend: (-trend.n, trend.name))[:most]


async def _lost_trends(
    connection: AsyncConnection,
    group: Group,
    where: Sequence[ColumnElement[bool]],
    by_week: bool,
    login: str | None,
    most: int,
) -> list[Trend]:
    """Of 100 conversations, how many lost points by each rule, step or other row; or in each
    part."""
    day = quality_scores.c.held_on
    name = quality_losses.c.part if group == "part" else quality_losses.c.code
    all_rows = await connection.execute(select(day, func.count()).where(*where).group_by(day))
    totals: dict[date, int] = {}
    for row in all_rows:
        start = _start(row[0], by_week)
        totals[start] = totals.get(start, 0) + row[1]
    query = (
        select(day, name, func.count(func.distinct(quality_scores.c.id)))
        .join(
            quality_losses,
            and_(
                quality_losses.c.score_id == quality_scores.c.id,
                quality_losses.c.waived.is_(False),
            ),
        )
        .where(*where)
        .group_by(day, name)
    )
    if login is not None:
        query = query.where(quality_losses.c.login.in_([login, ASSISTANT]))
    lines: dict[str, dict[date, int]] = {}
    for row in await connection.execute(query):
        line = lines.setdefault(row[1], dict.fromkeys(totals, 0))
        line[_start(row[0], by_week)] += row[2]
    whole = sum(totals.values())
    found = [
        Trend(
            code,
            sum(line.values()),
            100 * sum(line.values()) / whole,
            [(start, line[start], 100 * line[start] / totals[start]) for start in sorted(line)],
        )
        for code, line in lines.items()
    ]
    return sorted(found, key=lambda trend: (-trend.n, trend.name))[:most]


def _start(day: date, by_week: bool) -> date:
    return day - timedelta(days=day.weekday()) if by_week else day


def _trend(name: str, line: Mapping[date, tuple[int, float]]) -> Trend:
    n = sum(count for count, _ in line.values())
    summed = sum(total for _, total in line.values())
    weeks = [(start, count, total / count) for start, (count, total) in sorted(line.items())]
    return Trend(name, n, summed / n, weeks)
