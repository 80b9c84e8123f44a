"""Conversations and replies in SQL. A question is stored before it is answered."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, null, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.documents import Clause
from prompts.render import Prompt

from . import audit, handoff
from .audit import Trail
from .db import (
    as_utc,
    audit_entries,
    conversations,
    handoff_events,
    records,
    staff,
    templates,
)
from .models import (
    Calculation,
    Citation,
    Played,
    Question,
    Reply,
    Said,
    Sentence,
    Turn,
)

BORROWER = "borrower"
"""Who erased what its own borrower had deleted, in the chain."""

EARLIER = 50
"""How many earlier messages of a conversation are read."""

MOST_TURNS = 200
"""How many messages of a conversation whoever takes it over is shown."""

LEFT_OPEN_AFTER = timedelta(days=1)
"""Age at which an open record is one of a process that is gone: however slow a model and whoever
reads along, no answer takes as long."""

TOLD_CHARS = 200
"""How much of what was told then is read."""

_HISTORY = (records.c.id, records.c.question, records.c.settings, records.c.status, records.c.reply)

_placed = (
    select(audit_entries.c.subject, audit_entries.c.seq)
    .where(audit_entries.c.kind.in_(("question", "adopted")))
    .subquery()
)
"""Record -> its place in the chain, by which messages are in one order."""


class UnknownConversation(Exception):
    """No conversation that this borrower may continue has this id."""


class UnreadableRecord(Exception):
    """A record is damaged; the message names it."""


async def open_record(
    trail: Trail,
    question: Question,
    masked_text: str,
    placeholders: Sequence[str],
    trace_id: str,
    code_version: str,
) -> tuple[str, str]:
    """Store a question as it comes in, and enter it in the chain; returns (conversation id,
    record id).

    placeholders: those that stand in the masked text for something, in order.
    That it returns proves that the log can be written, and that no record is left that could not
    be closed: before it does, nothing is shown. Raises UnknownConversation for a conversation id
    that was never given out, or was given to another borrower; SQLAlchemyError where the log cannot
    be written.
    """
    await audit.settle(trail)
    now = datetime.now(UTC)
    record_id = uuid.uuid4().hex
    async with audit.transaction(trail) as connection:
        if question.conversation_id:
            conversation_id = question.conversation_id
            known = await connection.scalar(
                select(conversations.c.id).where(
                    conversations.c.id == conversation_id, audit.belongs_to(question.subject)
                )
            )
            if known is None:
                raise UnknownConversation(conversation_id)
        else:
            conversation_id = uuid.uuid4().hex
            await connection.execute(
                insert(conversations).values(
                    id=conversation_id,
                    created_at=now,
                    channel=question.channel,
                    locale=question.locale,
                    subject=question.subject or None,
                )
            )
        await connection.execute(
            insert(records).values(
                id=record_id,
                conversation_id=conversation_id,
                trace_id=trace_id,
                asked_at=now,
                question=masked_text,
                settings={
                    "locale": question.locale,
                    "on": question.on.isoformat(),
                    "today": question.today.isoformat(),
                    "as_of": question.as_of and question.as_of.isoformat(),
                    "contract_date": question.contract_date and question.contract_date.isoformat(),
                    "masked": list(placeholders),
                    **({"subject": question.subject} if question.subject else {}),
                },
                status="open",
                code_version=code_version,
                reply=null(),
                raw_output=null(),
                evidence=null(),
                timings=null(),
                texts=null(),
                played=null(),
                salt=audit.new_salt(),
            )
        )
        entry = await audit.seal(connection, trail.keys, "question", record_id, only=audit.OPENING)
    await audit.note_head(trail, entry)
    return conversation_id, record_id


async def earlier(engine: AsyncEngine, conversation_id: str, record_id: str) -> list[Said]:
    """The newest EARLIER messages of a conversation before one of it, oldest first; those that are
    erased are left out.

    Their order is that in which they were entered in the chain, which is one for all who write to
    a conversation at the same time.
    """
    own = select(_placed.c.seq).where(_placed.c.subject == record_id)
    query = (
        select(*_HISTORY)
        .join(_placed, _placed.c.subject == records.c.id)
        .where(
            records.c.conversation_id == conversation_id,
            records.c.erased_seq.is_(None),
            _placed.c.seq < own.scalar_subquery(),
        )
        .order_by(_placed.c.seq.desc())
        .limit(EARLIER)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    return [_said(dict(row._mapping), row.status != "open") for row in reversed(rows)]


async def earlier_again(engine: AsyncEngine, wanted: Sequence[tuple[str, bool]]) -> list[Said]:
    """Earlier messages as they were known once: by record, and whether its reply was there. Those
    that were erased since are missing."""
    query = select(*_HISTORY).where(
        records.c.id.in_([record_id for record_id, _ in wanted]), records.c.erased_seq.is_(None)
    )
    async with engine.connect() as connection:
        rows = {row.id: dict(row._mapping) for row in await connection.execute(query)}
    return [_said(rows[record_id], answered) for record_id, answered in wanted if record_id in rows]


def _said(row: Mapping[str, Any], answered: bool) -> Said:
    reply = (row["reply"] or {}) if answered else {}
    settings = row["settings"]
    # What tools told holds figures of the customer's record, which no model is shown.
    told = " ".join(
        s["text"] for s in reply.get("sentences", ()) if s["kind"] not in ("notice", "tool")
    )
    return Said(
        row["id"],
        row["question"],
        understood=tuple(reply.get("understood", ())),
        status=row["status"] if answered else "open",
        answer=told[:TOLD_CHARS],
        asked_on=_day(settings.get("today")),
        as_of=_day(settings.get("as_of")),
        contract_date=_day(settings.get("contract_date")),
        called=reply.get("called", ""),
        asked_for=tuple(reply.get("asked_for", ())),
    )


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


# What borrowers may see, and have deleted


async def conversation(
    trail: Trail, conversation_id: str, subject: str, newest: int | None = None
) -> dict[str, Any]:
    """A conversation as its borrower may see it, JSON-ready, its messages in the order in which
    they came in, without those that are not as the audit chain holds them; only so many of the
    newest where it is said. Raises UnknownConversation where it is nobody's, or another one's."""
    async with trail.engine.connect() as connection:
        head = (
            await connection.execute(
                select(conversations).where(
                    conversations.c.id == conversation_id, audit.belongs_to(subject)
                )
            )
        ).first()
        if head is None:
            raise UnknownConversation(conversation_id)
        rows = await connection.execute(
            select(records)
            .join(_placed, _placed.c.subject == records.c.id)
            .where(records.c.conversation_id == conversation_id, records.c.erased_seq.is_(None))
            .order_by(_placed.c.seq.desc())
            .limit(newest)
        )
        turns = [_turn(dict(row._mapping)) for row in rows]
        said = await connection.execute(
            select(handoff_events, staff.c.name)
            .outerjoin(staff, staff.c.id == handoff_events.c.staff_id)
            .where(
                handoff_events.c.conversation_id == conversation_id,
                handoff_events.c.kind == "message",
                handoff_events.c.erased_seq.is_(None),
            )
            .order_by(handoff_events.c.seq.desc())
            .limit(newest)
        )
        people = [
            {
                "id": row.id,
                "at": as_utc(row.at).isoformat(),
                "speaker": row.speaker,
                "name": row.name or "",
                "text": row.text,
            }
            for row in said
        ]
    shown = [turn["record_id"] for turn in turns] + [each["id"] for each in people]
    planted = await audit.not_as_said(trail, shown)
    return {
        "conversation_id": head.id,
        "created_at": as_utc(head.created_at).isoformat(),
        "locale": head.locale,
        "turns": [turn for turn in reversed(turns) if turn["record_id"] not in planted],
        "people": [each for each in reversed(people) if each["id"] not in planted],
    }


def _turn(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "record_id": row["id"],
        "asked_at": as_utc(row["asked_at"]).isoformat(),
        "message": row["question"],
        "status": row["status"],
        "locale": row["settings"].get("locale", ""),
        "reply": for_borrower(row["reply"]) if row["reply"] else None,
    }


async def conversations_of(engine: AsyncEngine, subject: str, most: int) -> list[dict[str, Any]]:
    """The newest conversations of a borrower who is known, each with its first message; where they
    asked the assistant nothing, the first that was exchanged with a person."""
    first = (
        select(records.c.question)
        .where(records.c.conversation_id == conversations.c.id, records.c.erased_seq.is_(None))
        .order_by(records.c.asked_at, records.c.id)
        .limit(1)
        .scalar_subquery()
    )
    said = (
        select(handoff_events.c.text)
        .where(
            handoff_events.c.conversation_id == conversations.c.id,
            handoff_events.c.kind == "message",
            handoff_events.c.erased_seq.is_(None),
        )
        .order_by(handoff_events.c.seq)
        .limit(1)
        .scalar_subquery()
    )
    message = func.coalesce(first, said)
    query = (
        select(conversations.c.id, conversations.c.created_at, message.label("message"))
        .where(audit.belongs_to(subject), message.is_not(None))
        .order_by(conversations.c.created_at.desc(), conversations.c.id)
        .limit(most)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all() if subject else []
    return [
        {
            "conversation_id": row.id,
            "created_at": as_utc(row.created_at).isoformat(),
            "message": row.message,
        }
        for row in rows
        if row.message
    ]


async def forget(trail: Trail, conversation_id: str, subject: str) -> int:
    """Delete what a borrower wrote and was told in a conversation of theirs, and let nobody go on
    with it, on either side of the desk; returns of how many messages. One that is still being
    answered goes when it is.

    Raises UnknownConversation.
    """
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        changed = await connection.execute(
            update(conversations)
            .where(conversations.c.id == conversation_id, audit.belongs_to(subject))
            .values(subject=audit.NOBODY)
        )
        if not changed.rowcount:
            raise UnknownConversation(conversation_id)
        entry = await handoff.end_deleted(connection, trail, conversation_id)
    if entry is not None:
        await audit.note_head(trail, entry)
    return await audit.erase(trail, conversation_id=conversation_id, by=BORROWER)


async def _is_forgotten(engine: AsyncEngine, conversation_id: str) -> bool:
    async with engine.connect() as connection:
        subject = await connection.scalar(
            select(conversations.c.subject).where(conversations.c.id == conversation_id)
        )
    return subject == audit.NOBODY


def for_borrower(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a reply without what tells how to get around the rules: which of them stood
    against a sentence, and the withheld words and figures."""
    shown = {name: value for name, value in reply.items() if name != "rules_broken"}
    withheld = [{"reason": item["reason"].partition(":")[0]} for item in reply["withheld"]]
    return {**shown, "withheld": withheld}


async def close_record(
    trail: Trail,
    reply: Reply,
    texts: Iterable[Prompt],
    played: Played,
    *,
    status: str = "",
) -> None:
    """Complete a record with its reply, and enter both in the chain; one that is closed stays as
    it is.

    texts: all wording and rules that the reply was made with, each kept by its version.
    status: of a reply that broke off, in place of its own.
    """
    used = {text.name: text for text in texts}
    await keep_texts(trail, used.values())
    held = {
        "answered_at": datetime.now(UTC),
        "status": status or reply.status,
        "reply": reply_as_json(reply),
        "raw_output": [turn.text for turn in played.turns if turn.text],
        "evidence": list(reply.evidence_ids),
        "timings": timings_as_json(reply),
        "release": reply.release,
        "prompt_version": reply.prompt_version,
        "rules_version": reply.rules_version,
        "model": reply.model,
        "texts": {name: text.version for name, text in used.items()},
        "played": _played_as_json(played),
    }
    kind: audit.Kind = "unanswered" if status else "reply"
    about = {"withheld": len(reply.withheld)}
    await _close(trail, reply.record_id, reply.conversation_id, kind, held, about)


async def close_left_open(trail: Trail, now: datetime | None = None) -> int:
    """Close the records that a process left open when it was killed, and enter in the chain that
    it is not known what was shown of their replies; returns how many they were.

    Raises SQLAlchemyError, case_drafts.StillInFile as audit.erase does.
    """
    left = select(records.c.id, records.c.conversation_id).where(
        records.c.status == "open",
        records.c.asked_at < (now or datetime.now(UTC)) - LEFT_OPEN_AFTER,
        records.c.erased_seq.is_(None),
    )
    async with trail.engine.connect() as connection:
        rows = (await connection.execute(left)).all()
    closed = 0
    for record_id, conversation_id in rows:
        held, about = {"status": "unanswered"}, {"shown": "unknown"}
        closed += await _close(trail, record_id, conversation_id, "unanswered", held, about)
    return closed


async def _close(
    trail: Trail,
    record_id: str,
    conversation_id: str,
    kind: audit.Kind,
    held: Mapping[str, Any],
    about: Mapping[str, Any],
) -> bool:
    """Whether the record was open, and is closed now."""
    async with audit.transaction(trail) as connection:
        changed = await connection.execute(
            update(records)
            .where(records.c.id == record_id, records.c.status == "open")
            .values(**held)
        )
        if not changed.rowcount:
            return False
        entry = await audit.seal(connection, trail.keys, kind, record_id, about=about)
    await audit.note_head(trail, entry)
    if await _is_forgotten(trail.engine, conversation_id):
        # Its borrower had it deleted while it was being answered.
        await audit.erase(trail, conversation_id=conversation_id, by=BORROWER)
    return True


async def keep_texts(trail: Trail, texts: Iterable[Prompt]) -> None:
    """Keep each text by its version, once."""
    wanted = {text.version: text for text in texts}
    async with trail.engine.connect() as connection:
        known = await connection.execute(
            select(templates.c.version).where(templates.c.version.in_(wanted))
        )
        missing = [wanted[version] for version in wanted.keys() - set(known.scalars())]
    for text in missing:
        try:
            async with audit.transaction(trail) as connection:
                await connection.execute(
                    insert(templates).values(
                        version=text.version, name=text.name, text=text.template
                    )
                )
                entry = await audit.seal_text(
                    connection, trail.keys, text.version, text.name, text.template
                )
        except IntegrityError:
            continue  # another request kept the same text first
        await audit.note_head(trail, entry)


async def read_texts(engine: AsyncEngine, versions: Iterable[str]) -> dict[str, str]:
    """Kept texts by version."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(templates.c.version, templates.c.text).where(
                templates.c.version.in_(list(versions))
            )
        )
        return {row.version: row.text for row in rows}


async def record_ids(engine: AsyncEngine) -> list[str]:
    """Of every record, oldest first."""
    async with engine.connect() as connection:
        ids = await connection.scalars(select(records.c.id).order_by(records.c.asked_at))
        return list(ids)


async def read_turns(
    engine: AsyncEngine, conversation_id: str, newest: int = MOST_TURNS
) -> list[dict[str, Any]]:
    """Question, status and reply of the newest records of a conversation, oldest first."""
    columns = (records.c.id, records.c.asked_at, records.c.question, records.c.status)
    query = select(*columns, records.c.reply).where(records.c.conversation_id == conversation_id)
    order = (records.c.asked_at.desc(), records.c.id.desc())
    async with engine.connect() as connection:
        rows = (await connection.execute(query.order_by(*order).limit(newest))).all()
    return [{**row._mapping, "asked_at": as_utc(row.asked_at)} for row in reversed(rows)]


def _played_as_json(played: Played) -> dict[str, Any]:
    """What the models did, without the text that they wrote: that stands in `raw_output`."""
    return {
        "wanted_model": played.wanted_model,
        "way": played.way,
        "turns": [
            {
                "call": turn.call,
                "prompt": turn.prompt,
                "model": turn.model,
                "error": turn.error,
                "pieces": [len(piece) for piece in turn.pieces],
            }
            for turn in played.turns
        ],
        "vectors": played.vectors,
        "order": played.order,
        # Replies from before messages leaned on each other have no such field.
        **({"earlier": [list(pair) for pair in played.earlier]} if played.earlier else {}),
        # Records from before customers' records were read have no such field.
        **({"customer": played.customer} if played.customer is not None else {}),
    }


def read_played(record: Mapping[str, Any]) -> Played:
    """What the models did when a record was answered. Raises KeyError, TypeError, ValueError."""
    held = record["played"]
    outputs = iter(record["raw_output"])
    turns = []
    for turn in held["turns"]:
        pieces: list[str] = []
        if turn["pieces"]:
            text = io.StringIO(next(outputs))
            pieces = [text.read(length) for length in turn["pieces"]]
        turns.append(
            Turn(turn["call"], turn["prompt"], tuple(pieces), turn["model"], turn["error"])
        )
    return Played(
        tuple(turns),
        held["wanted_model"],
        held["way"],
        held["vectors"],
        held["order"],
        [(str(record_id), bool(answered)) for record_id, answered in held.get("earlier", ())],
        held.get("customer"),
    )


async def read_record(engine: AsyncEngine, record_id: str) -> dict[str, Any] | None:
    """A record as stored, JSON-ready, or None. Raises UnreadableRecord."""
    query = select(records).where(records.c.id == record_id)
    try:
        async with engine.connect() as connection:
            row = (await connection.execute(query)).first()
    except (ValueError, DBAPIError) as error:
        raise UnreadableRecord(
            f"record {record_id} cannot be read ({type(error).__name__}): "
            "see `zhunxin audit verify`"
        ) from error
    if row is None:
        return None
    return {
        key: as_utc(value).isoformat() if isinstance(value, datetime) else value
        for key, value in row._mapping.items()
    }


async def uncovered_questions(
    engine: AsyncEngine, since: datetime, most: int
) -> Sequence[tuple[str, datetime]]:
    """Masked questions that no clause answered, with when each was asked, newest first."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(records.c.question, records.c.asked_at)
            .where(
                records.c.status == "not_covered",
                records.c.asked_at >= since,
                records.c.erased_seq.is_(None),
            )
            .order_by(records.c.asked_at.desc())
            .limit(most)
        )
        return [(question, as_utc(asked_at)) for question, asked_at in rows]


def clause_as_json(clause: Clause) -> dict[str, Any]:
    """Where a clause stands and in which version."""
    head = clause.head
    return {
        "clause_id": clause.id,
        "document": head.title,
        "source": clause.source,
        "version": head.version,
        "locator": clause.locator,
        "title": clause.title,
        "kind": head.kind,
        "effective_from": head.effective_from and head.effective_from.isoformat(),
        "effective_to": head.effective_to and head.effective_to.isoformat(),
        "digest": head.digest,
    }


def citation_as_json(citation: Citation) -> dict[str, Any]:
    return {**clause_as_json(citation.clause), "quote": citation.quote}


def sentence_as_json(sentence: Sentence) -> dict[str, Any]:
    return {
        "text": sentence.text,
        "kind": sentence.kind,
        "citations": list(sentence.citations),
    }


def calculation_as_json(calculation: Calculation) -> dict[str, Any]:
    return {
        "tool": calculation.tool,
        "inputs": dict(calculation.inputs),
        "result": dict(calculation.result),
    }


def timings_as_json(reply: Reply) -> dict[str, float]:
    timings = reply.timings
    return {
        "retrieve_ms": round(timings.retrieve_ms, 1),
        "first_sentence_ms": round(timings.first_sentence_ms, 1),
        "gate_ms": round(timings.gate_ms, 2),
        "total_ms": round(timings.total_ms, 1),
    }


def reply_as_json(reply: Reply, *, staff: bool = True) -> dict[str, Any]:
    """The JSON of `zhunxin ask`. staff: with the text of withheld sentences, and the rules that
    something broke."""

    made = {
        "status": reply.status,
        "answer": reply.answer,
        "sentences": [sentence_as_json(s) for s in reply.sentences],
        "citations": [citation_as_json(c) for c in reply.citations],
        "calculations": [calculation_as_json(c) for c in reply.calculations],
        "withheld": [{"text": item.text, "reason": item.reason} for item in reply.withheld],
        "contact": reply.contact
        and {"hotline": reply.contact.hotline, "hours": reply.contact.hours},
        "model": reply.model,
        "release": reply.release,
        "rules_version": reply.rules_version,
        "rules_broken": list(reply.rules_broken),
        # Records from before there was triage have no such field, and are made again as they were.
        **({"classes": list(reply.classes)} if reply.classes else {}),
        **({"understood": list(reply.understood)} if reply.understood else {}),
        **({"called": reply.called} if reply.called else {}),
        **({"asked_for": list(reply.asked_for)} if reply.asked_for else {}),
        "record_id": reply.record_id,
        "conversation_id": reply.conversation_id,
        "timings": timings_as_json(reply),
    }
    return made if staff else for_borrower(made)
