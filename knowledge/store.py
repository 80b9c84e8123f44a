"""Documents, clauses and releases in SQL, the source of truth.

A document row is never changed: another content, head or parser makes another row. A release is
a set of documents; it is written beside the live one and becomes visible by one update.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime

import numpy as np
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .documents import KINDS, Clause, Document, Head, Kind
from .embed import Vectors

metadata = MetaData()

documents = Table(
    "documents",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("source", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("head", Text, nullable=False),
    Column("warnings", Text, nullable=False),
)
clauses = Table(
    "clauses",
    metadata,
    Column("document_key", String(64), ForeignKey("documents.key"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("locator", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("page", Integer),
    Column("meta", Text, nullable=False),
    Column("head", Text),
    Column("embed_hash", String(64), nullable=False, index=True),
)
releases = Table(
    "releases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("embeddings", Text, nullable=False),
    Column("clauses", Integer, nullable=False),
    Column("coverage", Text),
    Column("report", Text),
)
confirmations = Table(
    "confirmations",
    metadata,
    Column("source", Text, primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("effective_from", Text),
    Column("effective_to", Text),
    Column("reviewed", Text),
    Column("confirmed_by", Text, nullable=False),
    Column("confirmed_at", DateTime(timezone=True), nullable=False),
)
release_documents = Table(
    "release_documents",
    metadata,
    Column("release_id", String(32), ForeignKey("releases.id"), primary_key=True),
    Column("document_key", String(64), ForeignKey("documents.key"), primary_key=True),
)
embeddings = Table(
    "embeddings",
    metadata,
    Column("embed_hash", String(64), primary_key=True),
    Column("model", String(128), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

_WRITER_LOCK = 0x5A58  # number of the advisory lock; any other would do as well
_IN_CHUNK = 500  # SQLite and PostgreSQL bound the number of parameters of one statement


class NoRelease(Exception):
    """Nothing has been ingested yet."""


@dataclass(frozen=True, slots=True)
class Release:
    id: str
    created_at: datetime
    active: bool
    embeddings: str
    """Name of the embedder whose vectors the release holds."""
    clauses: int


def embedding_text(clause: Clause) -> str:
    """What is embedded for a clause: document, place and text, so that short rows are findable."""
    title = "" if clause.title in ("", clause.head.title) else clause.title
    return "\n".join(part for part in (clause.head.title, title, clause.text) if part)


def embedding_hash(clause: Clause) -> str:
    return hashlib.sha256(embedding_text(clause).encode()).hexdigest()


def document_key(source: str, sha256: str, head: Head, parser: str) -> str:
    """Identity of a document as parsed: changes with content, head, place or parser version."""
    identity = json.dumps([source, sha256, _dump_head(head), parser], ensure_ascii=False)
    return hashlib.sha256(identity.encode()).hexdigest()


async def known_documents(connection: AsyncConnection, keys: Iterable[str]) -> set[str]:
    """Which of these documents are stored already."""
    found: set[str] = set()
    for chunk in _chunks(list(keys)):
        rows = await connection.execute(select(documents.c.key).where(documents.c.key.in_(chunk)))
        found.update(rows.scalars())
    return found


async def add_document(
    connection: AsyncConnection, key: str, document: Document, parts: Sequence[Clause]
) -> None:
    """Store a document and its clauses; visible only once a release holds it."""
    await connection.execute(
        insert(documents).values(
            key=key,
            source=document.source,
            sha256=document.sha256,
            head=_dump_head(document.head),
            warnings=json.dumps(document.warnings, ensure_ascii=False),
        )
    )
    if parts:
        await connection.execute(
            insert(clauses),
            [
                {
                    "document_key": key,
                    "ordinal": ordinal,
                    "id": part.id,
                    "locator": part.locator,
                    "title": part.title,
                    "text": part.text,
                    "page": part.page,
                    "meta": json.dumps(part.meta, ensure_ascii=False),
                    "head": None if part.head == document.head else _dump_head(part.head),
                    "embed_hash": embedding_hash(part),
                }
                for ordinal, part in enumerate(parts)
            ],
        )


async def release_sources(connection: AsyncConnection, release_id: str) -> dict[str, str]:
    """Source name -> document key of a release."""
    rows = await connection.execute(
        select(documents.c.source, documents.c.key)
        .join(release_documents, release_documents.c.document_key == documents.c.key)
        .where(release_documents.c.release_id == release_id)
    )
    return {row.source: row.key for row in rows}


async def document_clauses(connection: AsyncConnection, keys: Sequence[str]) -> list[Clause]:
    """All clauses of these documents, by source and place."""
    found: list[Clause] = []
    for chunk in _chunks(keys):
        rows = await connection.execute(
            select(clauses, documents.c.source, documents.c.head.label("document_head"))
            .join(documents, clauses.c.document_key == documents.c.key)
            .where(clauses.c.document_key.in_(chunk))
            .order_by(documents.c.source, clauses.c.ordinal)
        )
        heads: dict[str, Head] = {}
        for row in rows:
            head_json = row.head or row.document_head
            head = heads.setdefault(head_json, _load_head(head_json))
            found.append(
                Clause(
                    id=row.id,
                    source=row.source,
                    head=head,
                    locator=row.locator,
                    title=row.title,
                    text=row.text,
                    page=row.page,
                    meta=json.loads(row.meta),
                )
            )
    return found


async def cached_vectors(
    connection: AsyncConnection, hashes: Iterable[str], model: str
) -> dict[str, Vectors]:
    """Vectors already computed, by embedding hash."""
    found: dict[str, Vectors] = {}
    for chunk in _chunks(list(hashes)):
        rows = await connection.execute(
            select(embeddings.c.embed_hash, embeddings.c.vector).where(
                embeddings.c.model == model, embeddings.c.embed_hash.in_(chunk)
            )
        )
        for row in rows:
            found[row.embed_hash] = np.frombuffer(row.vector, dtype=np.float32)
    return found


async def cache_vectors(
    connection: AsyncConnection, hashes: Sequence[str], vectors: Vectors, model: str
) -> None:
    await connection.execute(
        insert(embeddings),
        [
            {"embed_hash": h, "model": model, "vector": v.astype(np.float32).tobytes()}
            for h, v in zip(hashes, vectors, strict=True)
        ],
    )


async def add_release(
    connection: AsyncConnection, release: Release, document_keys: Iterable[str]
) -> None:
    await connection.execute(
        insert(releases).values({f.name: getattr(release, f.name) for f in fields(release)})
    )
    rows = [{"release_id": release.id, "document_key": key} for key in document_keys]
    if rows:
        await connection.execute(insert(release_documents), rows)


async def activate(connection: AsyncConnection, release_id: str) -> None:
    """Make this release the live one, in the caller's transaction. Raises KeyError."""
    known = await connection.scalar(select(releases.c.id).where(releases.c.id == release_id))
    if known is None:
        raise KeyError(release_id)
    await connection.execute(update(releases).values(active=releases.c.id == release_id))


async def list_releases(connection: AsyncConnection) -> list[Release]:
    """Newest first."""
    rows = await connection.execute(select(releases).order_by(releases.c.created_at.desc()))
    return [
        Release(row.id, _utc(row.created_at), row.active, row.embeddings, row.clauses)
        for row in rows
    ]


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[None]:
    """One writer of releases at a time among all hosts that share a PostgreSQL database."""
    if engine.dialect.name != "postgresql":
        yield
        return
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(select(func.pg_advisory_lock(_WRITER_LOCK)))
        try:
            yield
        finally:
            await connection.execute(select(func.pg_advisory_unlock(_WRITER_LOCK)))


async def active_release(engine: AsyncEngine) -> Release | None:
    async with engine.connect() as connection:
        rows = await connection.execute(select(releases).where(releases.c.active))
        row = rows.first()
    return (
        None
        if row is None
        else Release(row.id, _utc(row.created_at), True, row.embeddings, row.clauses)
    )


def _dump_head(head: Head) -> str:
    return json.dumps(asdict(head), ensure_ascii=False, default=date.isoformat, sort_keys=True)


def _load_head(text: str) -> Head:
    raw = json.loads(text)
    for name in ("effective_from", "effective_to", "reviewed"):
        raw[name] = date.fromisoformat(raw[name]) if raw[name] else None
    return Head(**raw)


def parse_kind(word: str) -> tuple[Kind, bool]:
    """The kind a word names, and whether it was known; unknown words are `policy`."""
    for kind in KINDS:
        if word == kind:
            return kind, True
    return "policy", False


def _utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[i : i + _IN_CHUNK] for i in range(0, len(values), _IN_CHUNK))
