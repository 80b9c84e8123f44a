"""Segments that marketers saved, beside those of the campaigns' files.

Its id is made of what it says, so that nobody can change who an approved text goes to: another
condition is another segment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import func, insert, select

from . import audit
from .audit import Trail
from .db import as_utc, saved_segments, staff
from .models import LOCALES
from .segments import Condition, Segment, SegmentError, read_condition

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

PREFIX = "own-"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SavedSegment:
    segment: Segment
    made_by: str
    made_by_name: str
    made_at: datetime


async def save(
    trail: Trail, title: str, conditions: Sequence[Condition], *, by: str
) -> SavedSegment:
    """Keep a segment; the same title and conditions again are the one that is there."""
    content = _text(title, conditions)
    segment_id = _id(content)
    async with audit.writing(trail) as (connection, seal):
        there = await connection.scalar(
            select(saved_segments.c.id).where(saved_segments.c.id == segment_id)
        )
        if there is None:
            await connection.execute(
                insert(saved_segments).values(
                    id=segment_id, content=content, made_by=by, made_at=datetime.now(UTC)
                )
            )
            await seal("segment", segment_id, {"action": "saved", "by": by})
    saved = await read_saved(trail.engine, segment_id)
    assert saved is not None
    return saved


async def read_saved(engine: AsyncEngine, segment_id: str) -> SavedSegment | None:
    """None where there is none, or where it is not what its id was made of."""
    query = _query().where(saved_segments.c.id == segment_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _saved(row)


async def list_saved(
    engine: AsyncEngine, offset: int = 0, limit: int = 50
) -> tuple[list[SavedSegment], int]:
    """A page of them, the newest first, and how many there are."""
    query = _query().order_by(saved_segments.c.made_at.desc(), saved_segments.c.id)
    async with engine.connect() as connection:
        total = await connection.scalar(select(func.count()).select_from(saved_segments))
        rows = await connection.execute(query.offset(offset).limit(limit))
        found = [saved for row in rows if (saved := _saved(row)) is not None]
    return found, total or 0


def _query() -> Any:
    return select(saved_segments, staff.c.name.label("made_by_name")).outerjoin(
        staff, staff.c.id == saved_segments.c.made_by
    )


def _saved(row: Any) -> SavedSegment | None:
    try:
        held = json.loads(row.content)
        conditions = tuple(read_condition(*condition) for condition in held["conditions"])
        title = str(held["title"])
    except (ValueError, TypeError, KeyError, SegmentError):
        conditions, title = (), ""
    if _id(_text(title, conditions)) != row.id:
        log.error("a saved segment is not what it was saved as; it is not used", id=row.id)
        return None
    segment = Segment(row.id, dict.fromkeys(LOCALES, title), conditions)
    return SavedSegment(segment, row.made_by, row.made_by_name or "", as_utc(row.made_at))


def _text(title: str, conditions: Sequence[Condition]) -> str:
    return audit.canonical(
        {
            "title": title,
            "conditions": [[each.attribute, each.op, plain(each)] for each in conditions],
        }
    )


def plain(condition: Condition) -> bool | int | str | list[str]:
    """The value of a condition, JSON-ready; `read_condition` reads it again."""
    value = condition.value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value if isinstance(value, bool | int) else str(value)


def _id(content: str) -> str:
    return PREFIX + hashlib.sha256(content.encode()).hexdigest()[:32]
