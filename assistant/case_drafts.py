"""Recorded questions on their way to becoming evaluation cases: labelled by two people, each of
whom says what is right before seeing what the other said. What both say goes into a file of cases,
and out of it when the question is erased."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog
from filelock import AsyncFileLock
from sqlalchemy import Row, func, insert, select, update

from .db import as_utc, case_drafts, case_labels, records

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LABELLERS = 2

FILE_WAIT_S = 30.0
"""How long the file of cases is waited for while another process writes it."""

LabelStatus = Literal["answered", "not_covered", "clarify", "handoff", "refused"]

_UNDER_WAY = ".new"
"""How the name of a file ends that is not complete yet."""

log = structlog.get_logger()

Facts = Sequence[Sequence[str]]
"""Of each inner list one wording must stand in a right answer."""


class UnknownDraft(Exception):
    """There is no such record, or no such draft, to be made a case of."""


class LabelledTwice(Exception):
    """Two other people have labelled this draft."""


class StillInFile(Exception):
    """The file of cases can be neither written nor removed; the message names it. What was erased
    may stand in it."""


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
    async with engine.begin() as connection:
        # Taken for writing first: an erasure, or another who makes a draft of it, at the same time
        # comes before or after.
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
        made = await connection.scalar(
            select(case_drafts.c.id).where(case_drafts.c.record_id == record_id)
        )
        if made is not None:
            return str(made)
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


async def read_drafts(
    engine: AsyncEngine, offset: int = 0, limit: int | None = None
) -> tuple[list[CaseDraft], int]:
    """Drafts with their labels, the newest first, and how many there are in all; limit None: the
    rest of them."""
    wanted = select(case_drafts).order_by(case_drafts.c.made_at.desc(), case_drafts.c.id)
    async with engine.connect() as connection:
        total = await connection.scalar(select(func.count()).select_from(case_drafts))
        drafts = (await connection.execute(wanted.offset(offset).limit(limit))).all()
        told = select(case_labels).order_by(case_labels.c.labelled_at)
        if limit is not None:
            told = told.where(case_labels.c.draft_id.in_([row.id for row in drafts]))
        labels: dict[str, list[Label]] = {}
        for row in await connection.execute(told):
            labels.setdefault(row.draft_id, []).append(_label_of(row))
    made = [
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
    return made, int(total or 0)


async def read_pairs(engine: AsyncEngine) -> list[tuple[Label, Label]]:
    """The labels of every draft that two people labelled, the earlier of each first."""
    held: dict[str, list[Label]] = {}
    async with engine.connect() as connection:
        rows = await connection.execute(select(case_labels).order_by(case_labels.c.labelled_at))
        for row in rows:
            held.setdefault(row.draft_id, []).append(_label_of(row))
    return [(one[0], one[1]) for one in held.values() if len(one) == LABELLERS]


def _label_of(row: Row[Any]) -> Label:
    return Label(
        staff_id=row.staff_id,
        status=row.status,
        facts=row.facts,
        first_status=row.first_status,
        first_facts=row.first_facts,
        labelled_at=as_utc(row.labelled_at),
    )


# The file of cases


def case_id(draft_id: str) -> str:
    """Id of the case that a draft becomes in the file."""
    return f"feedback-{draft_id[:12]}"


async def write_cases(
    engine: AsyncEngine, file: Path, as_line: Callable[[CaseDraft], str | None]
) -> int:
    """Write the file of cases anew, and return how many are in it; one that would be empty is
    removed.

    as_line: a draft as a line of JSON with `id` and without its end; None: not one of them.
    Raises OSError, and then the file is as it was.
    """
    async with _held(file):
        # Read only now: a question that is erased meanwhile is taken out by who erases it.
        drafts, _ = await read_drafts(engine)
        lines = [line for draft in sorted(drafts, key=lambda d: d.id) if (line := as_line(draft))]
        await asyncio.to_thread(_replace, file, [f"{line}\n".encode() for line in lines])
    return len(lines)


async def drop_erased(engine: AsyncEngine, file: Path) -> None:
    """Take out of the file of cases what has no draft any more. Where it cannot be written it is
    removed: it is made anew with the next label. Raises StillInFile."""
    try:
        # Who makes the folder from now on reads the drafts after that.
        if not await asyncio.to_thread(file.parent.is_dir):
            return
        async with _held(file):
            async with engine.connect() as connection:
                ids = await connection.scalars(select(case_drafts.c.id))
                known = {case_id(draft_id) for draft_id in ids}
            await asyncio.to_thread(_drop, file, known)
    except OSError as error:
        raise StillInFile(
            f"{file}: cannot be written or removed ({type(error).__name__}); remove it, or make "
            "it writable and erase again: what was erased may stand in it"
        ) from error


@asynccontextmanager
async def _held(file: Path) -> AsyncGenerator[None]:
    """One writer at a time, in all processes. Raises OSError, TimeoutError among them."""
    await asyncio.to_thread(file.parent.mkdir, parents=True, exist_ok=True)
    async with AsyncFileLock(file.with_name(f".{file.name}.lock"), timeout=FILE_WAIT_S):
        yield


def _drop(file: Path, known: Set[str]) -> None:
    lines = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
    kept = [line for line in lines if _id_of(line) in known]
    try:
        _sweep(file)
        if kept != lines:
            _replace(file, kept)
    except OSError as error:
        log.error("the file of cases cannot be written; it is removed", error=str(error))
        file.unlink(missing_ok=True)


def _id_of(line: bytes) -> str:
    """Empty where it is no case, and then the line goes."""
    try:
        held = json.loads(line)
    except ValueError:
        return ""
    return str(held.get("id", "")) if isinstance(held, dict) else ""


def _replace(file: Path, lines: Sequence[bytes]) -> None:
    """Put lines in place of the file's, all or none; to be called while the file is held."""
    _sweep(file)
    if not lines:
        file.unlink(missing_ok=True)
        return
    made = file.with_name(f".{file.name}.{secrets.token_hex(8)}{_UNDER_WAY}")
    try:
        with made.open("xb") as out:
            out.writelines(lines)
            out.flush()
            os.fsync(out.fileno())
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sweep(file: Path) -> None:
    """Remove what writers that were ended halfway left; to be called while the file is held."""
    for left in file.parent.glob(f".{file.name}.*"):
        if left.suffix == _UNDER_WAY:
            left.unlink()
