"""Conversations and replies in SQL. A question is stored before it is answered."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, null, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.documents import Clause
from prompts.render import Prompt

from . import audit
from .audit import Trail
from .db import as_utc, conversations, records, templates
from .models import Citation, Played, Question, Reply, Sentence, Turn, Withheld


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
    That it returns proves that the log can be written: before it does, nothing is shown. Raises
    UnknownConversation for a conversation id that was never given out, or was given to another
    borrower; SQLAlchemyError where the log cannot be written.
    """
    now = datetime.now(UTC)
    record_id = uuid.uuid4().hex
    async with trail.engine.begin() as connection:
        if question.conversation_id:
            conversation_id = question.conversation_id
            known = await connection.scalar(
                select(conversations.c.id).where(
                    conversations.c.id == conversation_id,
                    # One begun without an account stays so: who else has its id would read on.
                    func.coalesce(conversations.c.subject, "") == question.subject,
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
    outputs = [turn.text for turn in played.turns if turn.text]
    async with trail.engine.begin() as connection:
        changed = await connection.execute(
            update(records)
            .where(records.c.id == reply.record_id, records.c.status == "open")
            .values(
                answered_at=datetime.now(UTC),
                status=status or reply.status,
                reply=reply_as_json(reply),
                raw_output=outputs,
                evidence=list(reply.evidence_ids),
                timings=timings_as_json(reply),
                release=reply.release,
                prompt_version=reply.prompt_version,
                rules_version=reply.rules_version,
                model=reply.model,
                texts={name: text.version for name, text in used.items()},
                played=_played_as_json(played),
            )
        )
        if not changed.rowcount:
            return
        entry = await audit.seal(
            connection,
            trail.keys,
            "unanswered" if status else "reply",
            reply.record_id,
            about={"withheld": len(reply.withheld)},
        )
    await audit.note_head(trail, entry)


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
            async with trail.engine.begin() as connection:
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


async def record_ids(
    engine: AsyncEngine,
    *,
    conversation_id: str = "",
    first: datetime | None = None,
    before: datetime | None = None,
) -> list[tuple[str, str]]:
    """(conversation id, record id) of every record, of one conversation, or asked in some time,
    oldest conversation first."""
    query = select(records.c.conversation_id, records.c.id).join(
        conversations, conversations.c.id == records.c.conversation_id
    )
    if conversation_id:
        query = query.where(records.c.conversation_id == conversation_id)
    if first:
        query = query.where(records.c.asked_at >= first)
    if before:
        query = query.where(records.c.asked_at < before)
    order = (conversations.c.created_at, conversations.c.id, records.c.asked_at, records.c.id)
    async with engine.connect() as connection:
        return [(row[0], row[1]) for row in await connection.execute(query.order_by(*order))]


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
    return Played(tuple(turns), held["wanted_model"], held["way"], held["vectors"], held["order"])


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
        key: value.isoformat() if isinstance(value, datetime) else value
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

    def withheld(item: Withheld) -> dict[str, str]:
        if staff:
            return {"text": item.text, "reason": item.reason}
        # What follows the code are the withheld figures themselves.
        return {"reason": item.reason.partition(":")[0]}

    return {
        "status": reply.status,
        "answer": reply.answer,
        "sentences": [sentence_as_json(s) for s in reply.sentences],
        "citations": [citation_as_json(c) for c in reply.citations],
        "calculations": [],
        "withheld": [withheld(item) for item in reply.withheld],
        "contact": reply.contact
        and {"hotline": reply.contact.hotline, "hours": reply.contact.hours},
        "model": reply.model,
        "release": reply.release,
        "rules_version": reply.rules_version,
        # Which rules stood against a sentence tells how to get around them.
        **({"rules_broken": list(reply.rules_broken)} if staff else {}),
        # Records from before there was triage have no such field, and are made again as they were.
        **({"classes": list(reply.classes)} if reply.classes else {}),
        "record_id": reply.record_id,
        "conversation_id": reply.conversation_id,
        "timings": timings_as_json(reply),
    }
