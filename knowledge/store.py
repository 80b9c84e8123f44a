"""Documents, clauses and releases in SQL, the source of truth.

A document row is never changed: another content, head or parser makes another row. A release is
a set of documents; it is written beside the live one and becomes visible by one update.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

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
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .clearance import RuleFinding
from .documents import DATE_FIELDS, Clause, DateField, Document, FoundDate, Head
from .embed import Vectors
from .findings import Finding, Findings, Side

metadata = MetaData()

documents = Table(
    "documents",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("source", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("head", Text, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("found", Text),
    Column("base", String(64)),
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
    Column("findings", Integer),
    Column("reviewed", Text),
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
clearances = Table(
    "clearances",
    metadata,
    Column("text_hash", String(64), primary_key=True),
    Column("rules", Text, nullable=False),
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
    Column("sentences", LargeBinary, nullable=False),
)

_WRITER_LOCK = 0x5A58  # number of the advisory lock; any other would do as well
_HASH_CHUNK = 1000  # clauses that are hashed at a time
_IN_CHUNK = 500  # SQLite and PostgreSQL bound the number of parameters of one statement


REPORT_VERSION = 1
"""Raised when a stored report can no longer be read as ReleaseReport."""


class NoRelease(Exception):
    """Nothing has been ingested yet."""


class UnknownRelease(Exception):
    """No release, or more than one, goes by a name; the message says which there are."""


class NotWritten(Exception):
    """The database refused to take what was to be stored; the message says what to check."""


@dataclass(frozen=True, slots=True)
class Release:
    id: str
    created_at: datetime
    active: bool
    embeddings: str
    """Name of the embedder whose vectors the release holds."""
    clauses: int
    coverage: str = ""
    """JSON of what was fitted on the release to tell questions that nothing in it answers."""
    findings: int | None = None
    """Duplicates, contradictions and breaches of rules; None of a release without a report."""
    reviewed: str | None = None
    """JSON of what rules hold against its clauses, see clearance.Reviewed; None where none were
    asked."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document of a release as it is stored, beside its clauses."""

    key: str
    base: str
    """Key of the document as it was read; another one than `key` where a person corrected it."""
    source: str
    sha256: str
    head: Head
    found: tuple[FoundDate, ...]


Answer = date | Literal["open"] | None
"""What a person says of a date: a day, that there is none, or nothing against what was found."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a person said of the dates of a file; one with other bytes has to be confirmed again."""

    source: str
    sha256: str
    effective_from: Answer = None
    effective_to: Answer = None
    reviewed: Answer = None
    by: str = ""

    def answers(self) -> dict[str, str | None]:
        """What is said of each date, as it is stored."""
        said = {name: getattr(self, name) for name in DATE_FIELDS}
        return {name: answer and str(answer) for name, answer in said.items()}

    def corrects(self, head: Head) -> Head:
        """`head` with the dates as the person said them."""
        said: dict[str, Any] = {
            name: None if answer == "open" else answer
            for name in DATE_FIELDS
            if (answer := getattr(self, name)) is not None
        }
        return replace(head, **said)


@dataclass(frozen=True, slots=True)
class DateToConfirm:
    """A date that was read from a document's text, and whether a person has looked at it."""

    source: str
    sha256: str
    field: DateField
    value: date
    quote: str
    """The words it was read from."""
    locator: str
    note: str = ""
    """What makes it doubtful."""
    confirmed: bool = False
    applied: date | None = None
    """What the release takes it to be: another day where a person corrected it."""


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What was noticed when a release was built."""

    embedded: int = 0
    """Texts that were embedded; the others' vectors were there already."""
    found_dates: tuple[DateToConfirm, ...] = ()
    findings: Findings = field(default_factory=Findings)
    warnings: tuple[tuple[str, str], ...] = ()
    """Document and what was noticed and mended."""
    seconds: float = 0.0
    version: int = REPORT_VERSION


def embedding_text(clause: Clause) -> str:
    """What is embedded for a clause: document, place and text, so that short rows are findable.

    A title that is only a file's name, such as scan-0012, says nothing of a clause that has one of
    its own; words of a language do, the product's name among them.
    """
    title = "" if clause.title in ("", clause.head.title) else clause.title
    only_file = clause.head.title == PurePosixPath(clause.source).stem
    named = (
        not title or not only_file or re.search("[\u4e00-\u9fff]{2}", clause.head.title) is not None
    )
    return "\n".join(
        part for part in (clause.head.title if named else "", title, clause.text) if part
    )


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
            found=_dump_found(document.found),
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


def corrected_key(base: str, said: Confirmation | None) -> str:
    """Identity of a document with the dates a person gave it; `base` where nothing is corrected."""
    answers = [*said.answers().values()] if said else []
    if not any(answers):
        return base
    return hashlib.sha256(json.dumps([base, *answers]).encode()).hexdigest()


async def add_corrected(connection: AsyncConnection, base: str, said: Confirmation) -> str:
    """Store a document again with the dates a person gave it; returns its key.

    Raises ValueError where it would end before it begins.
    """
    key = corrected_key(base, said)
    if key == base or await known_documents(connection, [key]):
        return key
    row = (await connection.execute(select(documents).where(documents.c.key == base))).one()
    head = said.corrects(_load_head(row.head))
    if head.ends_too_early():
        raise ValueError(
            f"{row.source}: effective_to {head.effective_to} lies before effective_from "
            f"{head.effective_from}"
        )
    await connection.execute(
        insert(documents).values(
            row._asdict() | {"key": key, "base": base, "head": _dump_head(head)}
        )
    )
    copied = [column for column in clauses.c if column.name != "document_key"]
    await connection.execute(
        insert(clauses).from_select(
            ["document_key", *(column.name for column in copied)],
            select(literal(key), *copied).where(clauses.c.document_key == base),
        )
    )
    return key


async def stored_documents(connection: AsyncConnection, keys: Sequence[str]) -> list[Stored]:
    """Documents by source name."""
    found: list[Stored] = []
    for chunk in _chunks(keys):
        rows = await connection.execute(select(documents).where(documents.c.key.in_(chunk)))
        found += [
            Stored(
                key=row.key,
                base=row.base or row.key,
                source=row.source,
                sha256=row.sha256,
                head=_load_head(row.head),
                found=_load_found(row.found),
            )
            for row in rows
        ]
    return sorted(found, key=lambda stored: stored.source)


async def confirmed(connection: AsyncConnection) -> dict[tuple[str, str], Confirmation]:
    """All confirmations, by source and hash of the file."""
    rows = await connection.execute(select(confirmations))
    return {
        (row.source, row.sha256): Confirmation(
            row.source,
            row.sha256,
            **{name: _load_answer(getattr(row, name)) for name in DATE_FIELDS},
            by=row.confirmed_by,
        )
        for row in rows
    }


async def confirm(connection: AsyncConnection, said: Confirmation) -> None:
    """Store what a person said of a file's dates, in the place of what was said before."""
    await connection.execute(
        delete(confirmations).where(
            confirmations.c.source == said.source, confirmations.c.sha256 == said.sha256
        )
    )
    await connection.execute(
        insert(confirmations).values(
            source=said.source,
            sha256=said.sha256,
            **said.answers(),
            confirmed_by=said.by,
            confirmed_at=datetime.now(UTC),
        )
    )


async def clearances_by_text(connection: AsyncConnection) -> dict[str, frozenset[str]]:
    """Hash of a clause's text -> rules that a person let it break."""
    rows = await connection.execute(select(clearances.c.text_hash, clearances.c.rules))
    return {row.text_hash: frozenset(json.loads(row.rules)) for row in rows}


async def clear_text(
    connection: AsyncConnection, text_hash: str, rules: Iterable[str], by: str
) -> None:
    """Store that a person lets a text break some rules, in the place of what was said before."""
    await withdraw_clearance(connection, text_hash)
    await connection.execute(
        insert(clearances).values(
            text_hash=text_hash,
            rules=json.dumps(sorted(rules)),
            confirmed_by=by,
            confirmed_at=datetime.now(UTC),
        )
    )


async def withdraw_clearance(connection: AsyncConnection, text_hash: str) -> None:
    """Take back that a person lets a text stand."""
    await connection.execute(delete(clearances).where(clearances.c.text_hash == text_hash))


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
    connection: AsyncConnection,
    hashes: Sequence[str],
    vectors: Vectors,
    sentences: Sequence[bytes],
    model: str,
) -> None:
    """sentences: of each clause, packed."""
    await connection.execute(
        insert(embeddings),
        [
            {
                "embed_hash": embed_hash,
                "model": model,
                "vector": vector.astype(np.float32).tobytes(),
                "sentences": packed,
            }
            for embed_hash, vector, packed in zip(hashes, vectors, sentences, strict=True)
        ],
    )


async def sentence_vectors(
    connection: AsyncConnection, release_id: str, model: str
) -> dict[str, bytes]:
    """Packed vectors of the sentences of a release's clauses, by embedding hash."""
    rows = await connection.execute(
        select(embeddings.c.embed_hash, embeddings.c.sentences)
        .join(clauses, clauses.c.embed_hash == embeddings.c.embed_hash)
        .join(release_documents, release_documents.c.document_key == clauses.c.document_key)
        .where(release_documents.c.release_id == release_id, embeddings.c.model == model)
    )
    return {row.embed_hash: row.sentences for row in rows if row.sentences}


async def add_release(
    connection: AsyncConnection,
    release: Release,
    document_keys: Iterable[str],
    report: ReleaseReport | None = None,
) -> None:
    await connection.execute(
        insert(releases).values(
            {f.name: getattr(release, f.name) for f in fields(release)}
            | {"report": report and json.dumps(asdict(report), ensure_ascii=False, default=str)}
        )
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
    return [_release(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Held:
    """What is recorded of a document of a release beside its clauses."""

    sha256: str
    warnings: tuple[str, ...]
    """What was noticed and mended when it was read."""
    since: datetime
    """When the first release with exactly this document was built."""


async def held_documents(connection: AsyncConnection, release_id: str) -> dict[str, Held]:
    """The documents of a release by source."""
    wanted = select(release_documents.c.document_key).where(
        release_documents.c.release_id == release_id
    )
    rows = await connection.execute(
        select(
            documents.c.source,
            documents.c.sha256,
            documents.c.warnings,
            func.min(releases.c.created_at).label("since"),
        )
        .join(release_documents, release_documents.c.document_key == documents.c.key)
        .join(releases, releases.c.id == release_documents.c.release_id)
        .where(documents.c.key.in_(wanted))
        .group_by(documents.c.key, documents.c.source, documents.c.sha256, documents.c.warnings)
    )
    return {
        row.source: Held(row.sha256, tuple(json.loads(row.warnings)), _utc(row.since))
        for row in rows
    }


async def content_hash(
    connection: AsyncConnection, release_id: str, known: dict[str, str] | None = None
) -> str:
    """SHA-256 over all that a release says: its documents, every column of their clauses, and what
    of them is held back.

    Without the vectors, see `vectors_hash`. known: hashes of documents by key, which those
    that are computed are added to; releases share most of their documents. Raises KeyError.
    """
    hashes = {} if known is None else known
    release = await connection.execute(
        select(
            releases.c.id,
            releases.c.embeddings,
            releases.c.clauses,
            releases.c.coverage,
            releases.c.reviewed,
        ).where(releases.c.id == release_id)
    )
    found = release.first()
    if found is None:
        raise KeyError(release_id)
    # What was not reviewed has the hash that it had before there were reviews.
    said = [*found][: -1 if found.reviewed is None else None]
    digest = hashlib.sha256(json.dumps(said).encode())
    keys = await connection.execute(
        select(release_documents.c.document_key)
        .where(release_documents.c.release_id == release_id)
        .order_by(release_documents.c.document_key)
    )
    for key in keys.scalars().all():
        if key not in hashes:
            hashes[key] = await _document_hash(connection, key)
        digest.update(f"{key} {hashes[key]}\n".encode())
    return digest.hexdigest()


async def _document_hash(connection: AsyncConnection, key: str) -> str:
    rows = await connection.execute(select(documents).where(documents.c.key == key))
    digest = hashlib.sha256(json.dumps([list(row) for row in rows]).encode())
    after = -1
    while True:
        rows = await connection.execute(
            select(clauses)
            .where(clauses.c.document_key == key, clauses.c.ordinal > after)
            .order_by(clauses.c.ordinal)
            .limit(_HASH_CHUNK)
        )
        held = [list(row) for row in rows]
        if not held:
            return digest.hexdigest()
        digest.update(json.dumps(held).encode())
        after = held[-1][1]


async def vectors_hash(
    connection: AsyncConnection, release_id: str, known: dict[str, str] | None = None
) -> str:
    """SHA-256 over the vectors by which the clauses of a release are found. known: as for
    `content_hash`, of one more sort."""
    hashes = {} if known is None else known
    digest = hashlib.sha256()
    rows = await connection.execute(
        select(release_documents.c.document_key, releases.c.embeddings)
        .join(releases, releases.c.id == release_documents.c.release_id)
        .where(releases.c.id == release_id)
        .order_by(release_documents.c.document_key)
    )
    for key, model in rows.all():
        name = f"{key} {model}"
        if name not in hashes:
            hashes[name] = await _document_vectors_hash(connection, key, model)
        digest.update(f"{name} {hashes[name]}\n".encode())
    return digest.hexdigest()


async def _document_vectors_hash(connection: AsyncConnection, key: str, model: str) -> str:
    digest = hashlib.sha256()
    after = -1
    while True:
        rows = await connection.execute(
            select(clauses.c.ordinal, embeddings.c.vector, embeddings.c.sentences)
            .join(embeddings, embeddings.c.embed_hash == clauses.c.embed_hash)
            .where(
                clauses.c.document_key == key,
                clauses.c.ordinal > after,
                embeddings.c.model == model,
            )
            .order_by(clauses.c.ordinal)
            .limit(_HASH_CHUNK)
        )
        held = rows.all()
        if not held:
            return digest.hexdigest()
        for ordinal, vector, sentences in held:
            digest.update(f"{ordinal} {len(vector)} {len(sentences)} ".encode())
            digest.update(vector)
            digest.update(sentences)
        after = held[-1].ordinal


async def document_counts(connection: AsyncConnection) -> dict[str, int]:
    """Release id -> how many documents it has."""
    rows = await connection.execute(
        select(release_documents.c.release_id, func.count().label("held")).group_by(
            release_documents.c.release_id
        )
    )
    return {row.release_id: row.held for row in rows}


@asynccontextmanager
async def writing(engine: AsyncEngine, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """One writer of releases at a time among all hosts that share a PostgreSQL database.

    waiting: called where another one writes. Raises NotWritten for what the database refuses.
    """
    try:
        async with _advisory_lock(engine, waiting):
            yield
    except DBAPIError as error:
        raise NotWritten(
            f"the database cannot be written ({error.orig}): check that its disk has room and is "
            "writable; what was live before is live still"
        ) from error


@asynccontextmanager
async def _advisory_lock(engine: AsyncEngine, waiting: Callable[[], None]) -> AsyncIterator[None]:
    if engine.dialect.name != "postgresql":
        yield
        return
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not await connection.scalar(select(func.pg_try_advisory_lock(_WRITER_LOCK))):
            waiting()
            await connection.execute(select(func.pg_advisory_lock(_WRITER_LOCK)))
        try:
            yield
        finally:
            await connection.execute(select(func.pg_advisory_unlock(_WRITER_LOCK)))


async def active_release(engine: AsyncEngine) -> Release | None:
    async with engine.connect() as connection:
        rows = await connection.execute(select(releases).where(releases.c.active))
        row = rows.first()
    return None if row is None else _release(row)


def _release(row: Any) -> Release:
    return Release(
        id=row.id,
        created_at=_utc(row.created_at),
        active=row.active,
        embeddings=row.embeddings,
        clauses=row.clauses,
        coverage=row.coverage or "",
        findings=row.findings,
        reviewed=row.reviewed,
    )


async def release_report(connection: AsyncConnection, release_id: str) -> ReleaseReport | None:
    """What was noticed when a release was built, with what was confirmed since.

    None of a release that was built before there were reports, or has one of another version.
    """
    stored = await connection.scalar(select(releases.c.report).where(releases.c.id == release_id))
    raw = json.loads(stored) if stored else {}
    if raw.get("version") != REPORT_VERSION:
        return None
    known = (await confirmed(connection)).keys()
    found = raw.pop("findings")
    return ReleaseReport(
        **raw
        | {
            "warnings": tuple((path, reason) for path, reason in raw["warnings"]),
            "found_dates": tuple(
                DateToConfirm(
                    **row
                    | {
                        "value": date.fromisoformat(row["value"]),
                        "applied": row["applied"] and date.fromisoformat(row["applied"]),
                        "confirmed": (row["source"], row["sha256"]) in known,
                    }
                )
                for row in raw["found_dates"]
            ),
            "findings": Findings(
                **found
                | {
                    kind: tuple(_finding(row) for row in found[kind])
                    for kind in ("duplicates", "contradictions")
                }
                | {
                    "rules": tuple(
                        RuleFinding(**row | {"span": tuple(row["span"])})
                        for row in found.get("rules", ())
                    )
                }
            ),
        }
    )


async def find_release(connection: AsyncConnection, name: str) -> Release:
    """The release of an id, of the beginning of one, the `live` one, or the one `previous` to it.

    Raises UnknownRelease.
    """
    known = await list_releases(connection)
    live = next((place for place, release in enumerate(known) if release.active), None)
    if name == "live" and live is not None:
        return known[live]
    if name == "previous" and live is not None and live + 1 < len(known):
        return known[live + 1]
    by_id = [release for release in known if release.id == name]
    found = by_id or [release for release in known if name and release.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} releases begin with {name!r}" if found else f"no release {name!r}"
    there = ", ".join(f"{r.id}{' (live)' if r.active else ''}" for r in (found or known)[:10])
    raise UnknownRelease(f"{what}; there {'are' if known else 'is none yet'} {there}".rstrip())


def _load_answer(text: str | None) -> Answer:
    if text is None or text == "open":
        return "open" if text else None
    return date.fromisoformat(text)


def _dump_found(found: Iterable[FoundDate]) -> str:
    return json.dumps([asdict(f) for f in found], ensure_ascii=False, default=date.isoformat)


def _load_found(text: str | None) -> tuple[FoundDate, ...]:
    return tuple(_found_date(row) for row in json.loads(text or "[]"))


def _found_date(row: dict[str, Any]) -> FoundDate:
    return FoundDate(**row | {"value": date.fromisoformat(row["value"])})


def _finding(row: dict[str, Any]) -> Finding:
    sides = {
        name: Side(**row[name] | {"figures": tuple(row[name]["figures"])}) for name in ("a", "b")
    }
    return Finding(**row | sides)


def _dump_head(head: Head) -> str:
    return json.dumps(asdict(head), ensure_ascii=False, default=date.isoformat, sort_keys=True)


def _load_head(text: str) -> Head:
    raw = json.loads(text)
    for name in DATE_FIELDS:
        raw[name] = date.fromisoformat(raw[name]) if raw[name] else None
    return Head(**raw)


def _utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[i : i + _IN_CHUNK] for i in range(0, len(values), _IN_CHUNK))
