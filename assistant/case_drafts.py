"""Recorded questions on their way to becoming evaluation cases: labelled by two people, each of
whom says what is right before seeing what the other said."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from .db import as_utc, case_drafts, case_labels, records

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LABELLERS = 2

LabelStatus = Literal["answered", "not_covered", "clarify", "handoff", "refused"]

Facts = Sequence[Sequence[str]]
"""Of each inner list one wording must stand in a right answer."""


class UnknownDraft(Exception):
    """There is no such record, or no such draft, to be made a case of."""


class LabelledTwice(Exception):
    """Two other people have labelled this draft."""


@dataclass(frozen=True, slots=True)
class Label:
    """What one person says is right."""

    staff_id: str
    status: str
    facts: Facts
    first_status: str
    """As it was said first, before the other label could be seen."""
    first_facts: Facts
    labelled_at: datetime


@dataclass(frozen=True, slots=True)
class CaseDraft:
    id: str
    record_id: str
    question: str
    """Masked."""
    settings: Mapping[str, Any]
    """Of its record: language and dates that it was asked with."""
    made_by: str
    made_at: datetime
    labels: tuple[Label, ...]
    """At most two, the earlier first."""


async def make_draft(engine: AsyncEngine, record_id: str, staff_id: str) -> str:
    """Id of the draft for a recorded question; the same one where it was made before. Raises
    UnknownDraft."""
    draft_id = uuid.uuid4().hex
    try:
        async with engine.begin() as connection:
            # Taken for writing first, so that an erasure at the same time comes before or after.
            await connection.execute(
                update(records).where(records.c.id == record_id).values(trace_id=records.c.trace_id)
            )
            record = (
                await connection.execute(
                    select(records.c.question, records.c.settings).where(
                        records.c.id == record_id, records.c.erased_seq.is_(None)
                    )
                )
            ).one_or_none()
            if record is None:
                raise UnknownDraft(record_id)
            kept = ("locale", "on", "contract_date")
            settings = {name: record.settings.get(name) for name in kept}
            await connection.execute(
                insert(case_drafts).values(
                    id=draft_id,
                    record_id=record_id,
                    question=record.question,
                    settings=settings,
                    made_by=staff_id,
                    made_at=datetime.now(UTC),
                )
            )
    except IntegrityError:
        async with engine.connect() as connection:
            made = await connection.scalar(
                select(case_drafts.c.id).where(case_drafts.c.record_id == record_id)
            )
        if made is None:
            raise
        return str(made)
    return draft_id


async def label(
    engine: AsyncEngine, draft_id: str, staff_id: str, status: LabelStatus, facts: Facts
) -> None:
    """Store what one person says is right, in place of what they said before; what they said first
    stays beside it. Raises UnknownDraft, LabelledTwice."""
    said = {
        "status": status,
        "facts": [list(fact) for fact in facts],
        "labelled_at": datetime.now(UTC),
    }
    async with engine.begin() as connection:
        # Taken for writing first, so that of three who label at once the third sees two.
        known = await connection.execute(
            update(case_drafts)
            .where(case_drafts.c.id == draft_id)
            .values(record_id=case_drafts.c.record_id)
        )
        if not known.rowcount:
            raise UnknownDraft(draft_id)
        mine = (case_labels.c.draft_id == draft_id) & (case_labels.c.staff_id == staff_id)
        changed = await connection.execute(update(case_labels).where(mine).values(said))
        if changed.rowcount:
            return
        others = await connection.scalars(
            select(case_labels.c.staff_id).where(case_labels.c.draft_id == draft_id)
        )
        if len(others.all()) >= LABELLERS:
            raise LabelledTwice(draft_id)
        await connection.execute(
            insert(case_labels).values(
                draft_id=draft_id,
                staff_id=staff_id,
                first_status=status,
                first_facts=said["facts"],
                **said,
            )
        )


async def all_drafts(engine: AsyncEngine) -> list[CaseDraft]:
    """The newest first."""
    async with engine.connect() as connection:
        drafts = await connection.execute(
            select(case_drafts).order_by(case_drafts.c.made_at.desc(), case_drafts.c.id)
        )
        labels: dict[str, list[Label]] = {}
        held = await connection.execute(select(case_labels).order_by(case_labels.c.labelled_at))
        for row in held:
            labels.setdefault(row.draft_id, []).append(_label_of(row))
        return [
            CaseDraft(
                id=row.id,
                record_id=row.record_id,
                question=row.question,
                settings=row.settings,
                made_by=row.made_by,
                made_at=as_utc(row.made_at),
                labels=tuple(labels.get(row.id, ())),
            )
            for row in drafts
        ]


def _label_of(row: Row[Any]) -> Label:
    return Label(
        staff_id=row.staff_id,
        status=row.status,
        facts=row.facts,
        first_status=row.first_status,
        first_facts=row.first_facts,
        labelled_at=as_utc(row.labelled_at),
    )
