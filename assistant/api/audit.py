"""The audit chain for auditors: whether it holds, its rows, single records, and their replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from assistant import audit, journal
from assistant.db import in_thread
from assistant.replay import Player, UnknownRecord

from .chat import FromDeps
from .problems import documented

router = APIRouter(prefix="/v1/audit", tags=["audit"])

MOST_ROWS = 500


class EntryBody(BaseModel):
    """One row of the chain."""

    seq: int
    at: str
    kind: str
    subject: str
    body: dict[str, Any]
    prev_hash: str
    key_id: str
    hash: str


class BreakBody(BaseModel):
    """One place where the chain, or what it tells of, does not hold."""

    at: int | str
    reason: str


class VerdictBody(BaseModel):
    """What a check of the whole chain found."""

    ok: bool
    records: int
    entries: int
    broken_at: int | str | None = None
    reason: str = ""
    further: list[BreakBody] = Field(default=[], description="The other breaks.")
    warnings: list[str]


class ChainBody(BaseModel):
    verdict: VerdictBody | None = Field(description="None where the chain was not checked.")
    length: int
    entries: list[EntryBody]
    next: int | None = Field(description="`after` of the next page; none where this is the last.")


class RecordBody(BaseModel):
    """A record as it is stored, with its rows of the chain."""

    record: dict[str, Any]
    erased: bool
    broken: str = Field(description="Why it is not the one that was entered; empty if it is.")
    entries: list[EntryBody]


class ReplayBody(BaseModel):
    """What came of making a reply again."""

    record_id: str
    identical: bool
    outcome: Literal["identical", "different", "erased", "open", "missing", "broken"]
    diff: list[str] = []
    missing: str = ""
    code: dict[str, str] = Field(
        default={}, description="Versions of the program, where another one had answered."
    )


@router.get("", response_model=ChainBody, responses=documented(401, 403, 422, 500))
async def read_chain(
    deps: FromDeps,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
    verify: Annotated[
        bool | None, Query(description="Check the whole chain; by default with the first page.")
    ] = None,
) -> ChainBody:
    """Rows of the chain in order, and whether all of it holds."""
    verdict = None
    if verify or (verify is None and not after):
        found = await in_thread(
            deps.settings.database,
            lambda engine: audit.verify(replace(deps.trail, engine=engine)),
        )
        verdict = VerdictBody.model_validate(found.as_json())
    rows = await audit.read_entries(deps.engine, after=after, limit=limit)
    last = await audit.last_entry(deps.engine)
    length = last.seq if last else 0
    return ChainBody(
        verdict=verdict,
        length=length,
        entries=_bodies(rows),
        next=rows[-1].seq if rows and rows[-1].seq < length else None,
    )


@router.get(
    "/{record_id}", response_model=RecordBody, responses=documented(401, 403, 404, 422, 500)
)
async def read_record(record_id: str, deps: FromDeps) -> RecordBody:
    """One record as it was stored: question, reply, evidence, versions, raw model output."""
    state = await audit.check_record(deps.trail, record_id)
    try:
        record = await journal.read_record(deps.engine, record_id)
    except journal.UnreadableRecord:
        record = {"id": record_id}
    if state is None or record is None:
        raise HTTPException(404, "no such record")
    rows = await audit.read_entries(deps.engine, subjects=[record_id])
    return RecordBody(
        record=record, erased=state.erased, broken=state.broken, entries=_bodies(rows)
    )


@router.post(
    "/{record_id}/replay", response_model=ReplayBody, responses=documented(401, 403, 404, 422, 500)
)
async def replay_record(record_id: str, deps: FromDeps) -> ReplayBody:
    """Make the reply again from what was recorded, and compare; no model is asked."""
    try:
        made = await Player(deps).replay(record_id)
    except UnknownRecord:
        raise HTTPException(404, "no such record") from None
    return ReplayBody.model_validate(made.as_json())


def _bodies(rows: list[audit.Entry]) -> list[EntryBody]:
    return [EntryBody.model_validate(row.as_json()) for row in rows]
