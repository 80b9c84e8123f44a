"""Conversations and replies in SQL. A question is stored before it is answered."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge.documents import Clause

from .db import as_utc, conversations, records, templates
from .models import Citation, Question, Reply, Sentence, Withheld


class UnknownConversation(Exception):
    """No conversation has this id."""


async def open_record(
    engine: AsyncEngine, question: Question, masked_text: str, trace_id: str, code_version: str
) -> tuple[str, str]:
    """Store a question as it comes in; returns (conversation id, record id).

    Raises UnknownConversation for a conversation id that was never given out.
    """
    now = datetime.now(UTC)
    record_id = uuid.uuid4().hex
    async with engine.begin() as connection:
        if question.conversation_id:
            conversation_id = question.conversation_id
            known = await connection.scalar(
                select(conversations.c.id).where(conversations.c.id == conversation_id)
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
                    "contract_date": question.contract_date and question.contract_date.isoformat(),
                },
                status="open",
                code_version=code_version,
            )
        )
    return conversation_id, record_id


async def close_record(engine: AsyncEngine, reply: Reply, prompts: Iterable[Any]) -> None:
    """Complete a record with its reply; keeps each prompt template by its version.

    prompts: prompts.render.Prompt values that the reply was made with.
    """
    await keep_templates(engine, prompts)
    async with engine.begin() as connection:
        await connection.execute(
            update(records)
            .where(records.c.id == reply.record_id)
            .values(
                answered_at=datetime.now(UTC),
                status=reply.status,
                reply=reply_as_json(reply),
                raw_output=list(reply.raw_output),
                evidence=list(reply.evidence_ids),
                timings=timings_as_json(reply),
                release=reply.release,
                prompt_version=reply.prompt_version,
                model=reply.model,
            )
        )


async def fail_record(engine: AsyncEngine, record_id: str, status: str) -> None:
    """Close a record that got no reply; one that has its reply stays as it is."""
    async with engine.begin() as connection:
        await connection.execute(
            update(records)
            .where(records.c.id == record_id, records.c.status == "open")
            .values(status=status, answered_at=datetime.now(UTC))
        )


async def keep_templates(engine: AsyncEngine, prompts: Iterable[Any]) -> None:
    for prompt in prompts:
        async with engine.connect() as connection:
            known = await connection.scalar(
                select(templates.c.version).where(templates.c.version == prompt.version)
            )
        if known is not None:
            continue
        try:
            async with engine.begin() as connection:
                await connection.execute(
                    insert(templates).values(
                        version=prompt.version, name=prompt.name, text=prompt.template
                    )
                )
        except IntegrityError:
            continue  # another request kept the same template first


async def read_record(engine: AsyncEngine, record_id: str) -> dict[str, Any] | None:
    """A record as stored, JSON-ready, or None."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(records).where(records.c.id == record_id))).first()
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
            .where(records.c.status == "not_covered", records.c.asked_at >= since)
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
    """The JSON of `zhunxin ask`. staff: with the text of withheld sentences."""

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
        "record_id": reply.record_id,
        "conversation_id": reply.conversation_id,
        "timings": timings_as_json(reply),
    }
