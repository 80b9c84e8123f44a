"""Answers that are drafted and signed off on the quality page, beside those of the lender's files.

One person writes, another with the role `compliance` signs. Each step is a row of the audit chain
that holds a hash of the answer and of who wrote it: nobody signs what the database was made to say,
and what was changed there afterwards, or was never signed, is not served.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Row, Select, delete, exists, func, insert, select, update

from . import audit
from .approved import LOCALES, Approved, ApprovedError, clashes_with, of_text
from .audit import Entry, Trail
from .db import answer_drafts, as_utc, audit_entries, records, staff

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

KIND: audit.Kind = "answer"

State = Literal["draft", "signed", "withdrawn"]


class UnknownAnswer(Exception):
    """There is no such answer in that state."""


class OwnDraft(Exception):
    """Who wrote an answer cannot sign it."""


class ChangedMeanwhile(Exception):
    """What was looked at is not what would be signed, or not what was written."""


class UnknownRecord(Exception):
    """There is no such record to write an answer for, or it is erased."""


class AlreadyDrafted(Exception):
    """Somebody wrote an answer for the record that is not signed yet; its id."""


class QuestionTaken(Exception):
    """Another answer to one of the questions is in force on the same day; ids of such answers."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an answer says, and to which questions."""

    questions: Sequence[str]
    product: str
    """Key of the product that it speaks of; empty: of all."""
    source: str
    quote: str
    wording: Mapping[str, str]
    """Locale -> the answer."""
    effective_from: date
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class AnswerDraft:
    id: str
    record_id: str
    """The question it was written for; empty: none."""
    content: Content
    sha256: str
    """Of the content, to be named by who signs it."""
    state: State
    author: str
    author_name: str
    made_at: datetime
    signer_name: str
    decided_at: datetime | None


def as_toml(answer_id: str, content: Content, signer: str, on: date) -> str:
    """The answer as a file of signed-off answers would have it."""
    starts = max(on, content.effective_from)
    lines = [
        "[[answer]]",
        f"id = {_string(answer_id)}",
        f"questions = [{', '.join(map(_string, content.questions))}]",
        f"signed_by = {_string(signer)}",
        f"signed_on = {on.isoformat()}",
        f"effective_from = {starts.isoformat()}",
        *([f"effective_to = {content.effective_to.isoformat()}"] if content.effective_to else []),
        *([f"product = {_string(content.product)}"] if content.product else []),
        f"source = {_string(content.source)}",
        f"quote = {_string(content.quote)}",
        *(
            f"{locale} = {_string(content.wording[locale])}"
            for locale in LOCALES
            if locale in content.wording
        ),
    ]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """A TOML string; JSON's is one, but for one control character that it leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


async def draft(trail: Trail, content: Content, author: str, record_id: str = "") -> str:
    """Keep an answer until somebody signs it; its id.

    record_id: the question it is written for, of which one draft stands at a time; empty: none.
    Raises UnknownRecord, AlreadyDrafted, approved.ApprovedError.
    """
    answer_id = uuid.uuid4().hex
    of_text(as_toml(answer_id, content, author, content.effective_from))
    async with audit.writing(trail) as (connection, seal):
        if record_id:
            await _claim(connection, record_id)
        await connection.execute(
            insert(answer_drafts).values(
                id=answer_id,
                record_id=record_id or None,
                content=_as_json(content),
                state="draft",
                author=author,
                made_at=datetime.now(UTC),
            )
        )
        await seal(KIND, answer_id, {"action": "drafted", "by": author})
    return answer_id


async def _claim(connection: AsyncConnection, record_id: str) -> None:
    """Raises UnknownRecord, AlreadyDrafted."""
    # Taken for writing first: an erasure, or another who writes an answer for it, at the same time
    # comes before or after.
    found = await connection.execute(
        update(records)
        .where(records.c.id == record_id, records.c.erased_seq.is_(None))
        .values(trace_id=records.c.trace_id)
    )
    if not found.rowcount:
        raise UnknownRecord(record_id)
    held = await connection.scalar(
        select(answer_drafts.c.id).where(
            answer_drafts.c.record_id == record_id, answer_drafts.c.state == "draft"
        )
    )
    if held is not None:
        raise AlreadyDrafted(held)


async def sign(
    trail: Trail,
    answer_id: str,
    *,
    by: str,
    name: str,
    seen: str,
    today: date,
    beside: Sequence[Approved] = (),
) -> None:
    """Sign an answer off; it is served from the next question on.

    by: who signs, not its author; name: as the answer names them. seen: hash of the content that
    was looked at. beside: the answers of the lender's files; those that are signed here are known.
    Raises UnknownAnswer, OwnDraft, ChangedMeanwhile, QuestionTaken, approved.ApprovedError.
    """
    # One signature at a time: the second sees the answer of the first.
    async with audit.writing(trail) as (connection, seal):
        row = (
            await connection.execute(
                select(answer_drafts).where(
                    answer_drafts.c.id == answer_id, answer_drafts.c.state == "draft"
                )
            )
        ).one_or_none()
        if row is None:
            raise UnknownAnswer(answer_id)
        if row.author == by:
            raise OwnDraft(answer_id)
        if _sha256(row.content) != seen or not await _is_as_written(connection, trail, answer_id):
            raise ChangedMeanwhile(answer_id)
        text = as_toml(answer_id, _content_of(row.content), name, today)
        (made,) = of_text(text).answers
        taken = clashes_with(made, [*beside, *await _signed_in(connection)])
        if taken:
            raise QuestionTaken(", ".join(other.id for other in taken))
        done = await connection.execute(
            update(answer_drafts)
            .where(
                answer_drafts.c.id == answer_id,
                answer_drafts.c.state == "draft",
                answer_drafts.c.content == row.content,
            )
            .values(state="signed", signer=by, signed_text=text, decided_at=datetime.now(UTC))
        )
        if not done.rowcount:
            raise ChangedMeanwhile(answer_id)
        body = {"action": "signed", "by": by, "author": row.author, "text": _sha256(text)}
        await seal(KIND, answer_id, body)


async def _is_as_written(connection: AsyncConnection, trail: Trail, answer_id: str) -> bool:
    """Whether an answer stands as the last row about it holds it, and no row is missing since."""
    entries = await audit.held_as_entered(connection, trail.keys, KIND, answer_id)
    return bool(entries) and entries[-1].seq >= await audit.whole_from(connection)


async def _signed_in(connection: AsyncConnection) -> list[Approved]:
    """Answers that are signed, as the caller's transaction sees them."""
    texts = await connection.scalars(
        select(answer_drafts.c.signed_text).where(answer_drafts.c.state == "signed")
    )
    found: list[Approved] = []
    for text in texts:
        try:
            found += of_text(text or "").answers
        except ApprovedError:
            continue  # what cannot be read is not served
    return found


async def withdraw(trail: Trail, answer_id: str, *, by: str, own_drafts_only: bool) -> None:
    """Take an answer back, signed or not; it is not served to the next question, and goes where the
    question it was written for is erased.

    own_drafts_only: whether `by` may take back only what they wrote and nobody has signed.
    Raises UnknownAnswer.
    """
    wanted = [answer_drafts.c.id == answer_id, answer_drafts.c.state != "withdrawn"]
    if own_drafts_only:
        wanted += [answer_drafts.c.state == "draft", answer_drafts.c.author == by]
    # An erasure at the same time comes before, and is seen, or after, and sees this.
    async with audit.writing(trail) as (connection, seal):
        done = await connection.execute(
            update(answer_drafts)
            .where(*wanted)
            .values(state="withdrawn", decided_at=datetime.now(UTC))
        )
        if not done.rowcount:
            raise UnknownAnswer(answer_id)
        erased = exists().where(
            records.c.id == answer_drafts.c.record_id, records.c.erased_seq.is_not(None)
        )
        await connection.execute(
            delete(answer_drafts).where(answer_drafts.c.id == answer_id, erased)
        )
        await seal(KIND, answer_id, {"action": "withdrawn", "by": by})


async def read_answers(
    engine: AsyncEngine, offset: int, limit: int
) -> tuple[list[AnswerDraft], int]:
    """The newest first, and how many there are in all."""
    newest = _named().order_by(answer_drafts.c.made_at.desc(), answer_drafts.c.id)
    async with engine.connect() as connection:
        total = await connection.scalar(select(func.count()).select_from(answer_drafts))
        rows = await connection.execute(newest.offset(offset).limit(limit))
        return [_answer_of(row) for row in rows], int(total or 0)


async def read_answer(engine: AsyncEngine, answer_id: str) -> AnswerDraft | None:
    async with engine.connect() as connection:
        row = (
            await connection.execute(_named().where(answer_drafts.c.id == answer_id))
        ).one_or_none()
    return row and _answer_of(row)


def _named() -> Select[Any]:
    """Answers with the names of who wrote and who signed them."""
    author, signer = staff.alias("author"), staff.alias("signer")
    return (
        select(
            answer_drafts,
            author.c.name.label("author_name"),
            signer.c.name.label("signer_name"),
        )
        .join(author, author.c.id == answer_drafts.c.author)
        .outerjoin(signer, signer.c.id == answer_drafts.c.signer)
    )


def _answer_of(row: Row[Any]) -> AnswerDraft:
    return AnswerDraft(
        id=row.id,
        record_id=row.record_id or "",
        content=_content_of(row.content),
        sha256=_sha256(row.content),
        state=row.state,
        author=row.author,
        author_name=row.author_name,
        made_at=as_utc(row.made_at),
        signer_name=row.signer_name or "",
        decided_at=row.decided_at and as_utc(row.decided_at),
    )


async def standing(engine: AsyncEngine) -> tuple[str, ...]:
    """Ids of what is signed now: where they are as they were, so are the answers."""
    async with engine.connect() as connection:
        ids = await connection.scalars(
            select(answer_drafts.c.id)
            .where(answer_drafts.c.state == "signed")
            .order_by(answer_drafts.c.decided_at, answer_drafts.c.id)
        )
        return tuple(ids)


async def read_signed(trail: Trail, answer_ids: Sequence[str]) -> dict[str, str]:
    """The answers among these that are as they were signed, as TOML by id."""
    async with trail.engine.connect() as connection:
        rows = (
            await connection.execute(
                select(answer_drafts.c.id, answer_drafts.c.signed_text).where(
                    answer_drafts.c.id.in_(answer_ids), answer_drafts.c.state == "signed"
                )
            )
        ).all()
        decisions = await connection.execute(
            select(audit_entries)
            .where(audit_entries.c.subject.in_(answer_ids), audit_entries.c.kind == KIND)
            .order_by(audit_entries.c.seq)
        )
        last = {entry.subject: entry for entry in (Entry(**row._mapping) for row in decisions)}
        first = await audit.whole_from(connection)
    texts = {row.id: row.signed_text or "" for row in rows}
    return {
        answer_id: texts[answer_id]
        for answer_id in answer_ids
        if answer_id in texts and _was_signed(trail, last.get(answer_id), texts[answer_id], first)
    }


def _was_signed(trail: Trail, entry: Entry | None, text: str, first: int) -> bool:
    """first: number of the row from which on none is missing: one that took it back may be."""
    if entry is None or entry.seq < first or not audit.is_genuine(trail.keys, entry):
        return False
    body = json.loads(entry.body)
    return bool(body.get("action") == "signed" and body.get("text") == _sha256(text))


def _as_json(content: Content) -> str:
    return audit.canonical(
        {
            "questions": list(content.questions),
            "product": content.product,
            "source": content.source,
            "quote": content.quote,
            "wording": dict(content.wording),
            "effective_from": content.effective_from.isoformat(),
            "effective_to": content.effective_to and content.effective_to.isoformat(),
        }
    )


def _content_of(text: str) -> Content:
    held: dict[str, Any] = json.loads(text)
    ends = held.pop("effective_to")
    starts = date.fromisoformat(held.pop("effective_from"))
    return Content(
        effective_from=starts, effective_to=date.fromisoformat(ends) if ends else None, **held
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
