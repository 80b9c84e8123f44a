"""Answers that are drafted and signed off on the quality page, beside those of the lender's files.

One person writes, another with the role `compliance` signs. A signature is a decision in the audit
chain that holds a hash of the answer as it is served: what was changed in the database afterwards,
or was never signed, is not served.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

import structlog
from sqlalchemy import insert, select, update

from . import audit
from .approved import LOCALES, of_text
from .audit import Entry, Trail
from .db import answer_drafts, as_utc, audit_entries, staff

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

APPROVAL = "approval"

State = Literal["draft", "signed", "withdrawn"]

log = structlog.get_logger()


class UnknownAnswer(Exception):
    """There is no such answer in that state."""


class OwnDraft(Exception):
    """Who wrote an answer cannot sign it."""


class ChangedMeanwhile(Exception):
    """What was looked at is not what would be signed."""


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


async def draft(engine: AsyncEngine, content: Content, author: str, record_id: str = "") -> str:
    """Keep an answer until somebody signs it; its id. Raises approved.ApprovedError."""
    answer_id = uuid.uuid4().hex
    of_text(as_toml(answer_id, content, author, content.effective_from))
    async with engine.begin() as connection:
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
    return answer_id


async def sign(
    trail: Trail, answer_id: str, *, by: str, name: str, seen: str, today: date
) -> Entry:
    """Sign an answer off; it is served from the next question on.

    by: who signs, not its author; name: as the answer names them. seen: hash of the content that
    was looked at. Raises UnknownAnswer, OwnDraft, ChangedMeanwhile, approved.ApprovedError.
    """
    async with trail.engine.begin() as connection:
        row = (
            await connection.execute(
                select(answer_drafts)
                .where(answer_drafts.c.id == answer_id, answer_drafts.c.state == "draft")
                .with_for_update()
            )
        ).one_or_none()
        if row is None:
            raise UnknownAnswer(answer_id)
        if row.author == by:
            raise OwnDraft(answer_id)
        if _sha256(row.content) != seen:
            raise ChangedMeanwhile(answer_id)
        text = as_toml(answer_id, _content_of(row.content), name, today)
        of_text(text)
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
        entry = await audit.append_in(connection, trail.keys, APPROVAL, answer_id, body)
    await audit.note_head(trail, entry)
    return entry


async def withdraw(trail: Trail, answer_id: str, *, by: str, own_drafts_only: bool) -> Entry:
    """Take an answer back, signed or not; it is not served to the next question.

    own_drafts_only: whether `by` may take back only what they wrote and nobody has signed.
    Raises UnknownAnswer.
    """
    wanted = [answer_drafts.c.id == answer_id, answer_drafts.c.state != "withdrawn"]
    if own_drafts_only:
        wanted += [answer_drafts.c.state == "draft", answer_drafts.c.author == by]
    async with trail.engine.begin() as connection:
        done = await connection.execute(
            update(answer_drafts)
            .where(*wanted)
            .values(state="withdrawn", decided_at=datetime.now(UTC))
        )
        if not done.rowcount:
            raise UnknownAnswer(answer_id)
        body = {"action": "withdrawn", "by": by}
        entry = await audit.append_in(connection, trail.keys, APPROVAL, answer_id, body)
    await audit.note_head(trail, entry)
    return entry


async def all_answers(engine: AsyncEngine) -> list[AnswerDraft]:
    """The newest first."""
    author, signer = staff.alias("author"), staff.alias("signer")
    query = (
        select(
            answer_drafts,
            author.c.name.label("author_name"),
            signer.c.name.label("signer_name"),
        )
        .join(author, author.c.id == answer_drafts.c.author)
        .outerjoin(signer, signer.c.id == answer_drafts.c.signer)
        .order_by(answer_drafts.c.made_at.desc(), answer_drafts.c.id)
    )
    async with engine.connect() as connection:
        return [
            AnswerDraft(
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
            for row in await connection.execute(query)
        ]


async def standing(engine: AsyncEngine) -> tuple[str, ...]:
    """Ids of what is signed now: where they are as they were, so are the answers."""
    async with engine.connect() as connection:
        ids = await connection.scalars(
            select(answer_drafts.c.id)
            .where(answer_drafts.c.state == "signed")
            .order_by(answer_drafts.c.decided_at, answer_drafts.c.id)
        )
        return tuple(ids)


async def read_signed(trail: Trail, answer_ids: Sequence[str]) -> str:
    """The answers among these that are as they were signed, as TOML."""
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
            .where(audit_entries.c.subject.in_(answer_ids), audit_entries.c.kind == APPROVAL)
            .order_by(audit_entries.c.seq)
        )
        last = {entry.subject: entry for entry in (Entry(**row._mapping) for row in decisions)}
    texts = {row.id: row.signed_text or "" for row in rows}
    good = []
    for answer_id in answer_ids:
        if answer_id in texts and _was_signed(trail, last.get(answer_id), texts[answer_id]):
            good.append(texts[answer_id])
        else:
            log.error("an answer is not as it was signed off; it is not served", id=answer_id)
    return "\n".join(good)


def _was_signed(trail: Trail, entry: Entry | None, text: str) -> bool:
    if entry is None or not audit.is_genuine(trail.keys, entry):
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
