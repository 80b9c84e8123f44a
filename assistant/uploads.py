"""Uploaded documents: their names, where they wait, and the one worker that ingests them.

An upload is a row and a folder `uploads/incoming/<id>` in the home folder. The row is written once
all files have arrived; whoever holds the worker's lock takes the oldest upload, so that one that
was interrupted by the end of its server is taken up again by the next.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog
from filelock import AsyncFileLock
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from knowledge import store
from knowledge.documents import Audience, Head, Kind
from knowledge.embed import Embedder
from knowledge.lender import Lender
from knowledge.parsed import decode
from knowledge.readers import MANIFEST, READERS, Unreadable, own_head, read_manifest
from knowledge.release import NothingReadable, Progress, Skipped, build
from knowledge.vectors import VectorStore

from .audit import Trail, clearances, confirmed_dates, hold_end, hold_live, note_release
from .clause_review import clause_rules
from .config import Settings
from .db import as_utc, in_thread, uploads
from .figures import stated
from .models import today
from .rules import RulePack

State = Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]
WAITING: tuple[State, ...] = ("queued", "running", "cancelling")
"""States of an upload that is not over."""

Result = Literal["added", "changed", "unchanged", "skipped", "head", "waiting"]
"""What became of one file; `head` is a manifest, which describes the others."""

MAX_FILES = 50
"""Files of one upload."""

LISTED = 20
"""How many uploads are listed."""

MAX_NAME_BYTES = 180
"""Of a file's name in UTF-8; common file systems end at 255."""

ABANDONED_S = 3600.0
"""Age from which a folder that no row knows is one whose request was cut off."""

RETRY_S = 10.0
"""How long the worker waits after a fault of the database or the disk."""

POLL_S = 0.5
"""How often progress is stored, and a wish to cancel looked for."""

INHERITED = ("title", "kind", "product", "audience", "series", "jurisdiction", "issuer")
"""What a new file of a known name takes from the one it replaces, where nothing says otherwise.
Without it, agents' material sent again would become readable to borrowers."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """What the person who uploads says of all the files."""

    kind: Kind | None = None
    product: str = ""
    audience: Audience | None = None
    effective_from: date | None = None
    effective_to: date | None = None


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of an upload and what became of it."""

    name: str
    size: int
    sha256: str
    result: Result = "waiting"
    reason: str = ""
    """Code of a refusal of ours, or the reader's words."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    created_at: datetime
    staff_id: str
    state: State
    files: tuple[UploadedFile, ...]
    options: Options
    stage: str = ""
    """As `knowledge.release.Progress` names it; empty before the first."""
    done: int = 0
    total: int = 0
    release: str = ""
    """Id of the release that it made or left live."""
    error: str = ""
    """Code of why the whole failed: `nothing_readable` or `fault`."""
    seconds: float = 0.0


# Names

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def file_name(sent: str) -> str:
    """The last part of a name as a browser sent it, in one normal form."""
    return unicodedata.normalize("NFC", sent.replace("\\", "/").rsplit("/", 1)[-1]).strip()


def refuse_name(name: str, taken: Iterable[str]) -> str:
    """Why a file of this name is not taken, as a code; empty if it is."""
    if not name or name in (".", ".."):
        return "name_missing"
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        return "name_too_long"
    if not name.isprintable() or any(unicodedata.category(c) in ("Cf", "Cs", "Co") for c in name):
        return "name_unprintable"
    if re.search(r'[<>:"|?*]', name) or name.endswith(".") or _RESERVED.match(name):
        return "name_reserved"
    if name.startswith((".", "~$")):
        return "name_hidden"
    if name.casefold() in {other.casefold() for other in taken}:
        return "name_twice"
    if name != MANIFEST and Path(name).suffix.lower() not in READERS:
        return "format_unknown"
    return ""


# Folders


def incoming(settings: Settings, upload_id: str) -> Path:
    """Where the files of an upload wait to be read."""
    return settings.home / "uploads" / "incoming" / upload_id


def original(settings: Settings, sha256: str) -> Path:
    """Where an uploaded file is kept once it is part of a release."""
    return settings.home / "uploads" / sha256


# Rows


async def add_upload(engine: AsyncEngine, upload: Upload) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            insert(uploads).values(
                id=upload.id,
                created_at=upload.created_at,
                staff_id=upload.staff_id,
                state=upload.state,
                files=_files_json(upload),
                progress=None,
                report=_report_json(upload),
            )
        )


async def list_uploads(engine: AsyncEngine) -> list[Upload]:
    """The last ones, newest first."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(uploads).order_by(uploads.c.created_at.desc()).limit(LISTED)
        )
        return [_of_row(row) for row in rows]


async def read_upload(engine: AsyncEngine, upload_id: str) -> Upload | None:
    async with engine.connect() as connection:
        rows = await connection.execute(select(uploads).where(uploads.c.id == upload_id))
        row = rows.first()
    return None if row is None else _of_row(row)


async def cancel_upload(engine: AsyncEngine, settings: Settings, upload_id: str) -> None:
    """End an upload that waits, and ask for the end of one that runs."""
    for before, after in (("queued", "cancelled"), ("running", "cancelling")):
        async with engine.begin() as connection:
            changed = await connection.execute(
                update(uploads)
                .where(uploads.c.id == upload_id, uploads.c.state == before)
                .values(state=after)
            )
        if changed.rowcount and after == "cancelled":
            await discard(settings, upload_id)


async def waiting_uploads(engine: AsyncEngine) -> list[Upload]:
    """Oldest first."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(uploads).where(uploads.c.state.in_(WAITING)).order_by(uploads.c.created_at)
        )
        return [_of_row(row) for row in rows]


async def _keep(engine: AsyncEngine, upload: Upload, *, only_from: Sequence[State]) -> bool:
    """Store an upload's state, progress and outcome, unless its state has become another."""
    async with engine.begin() as connection:
        changed = await connection.execute(
            update(uploads)
            .where(uploads.c.id == upload.id, uploads.c.state.in_(only_from))
            .values(
                state=upload.state,
                files=_files_json(upload),
                progress={"stage": upload.stage, "done": upload.done, "total": upload.total},
                report=_report_json(upload),
            )
        )
    return bool(changed.rowcount)


def _files_json(upload: Upload) -> dict[str, Any]:
    held = {"options": asdict(upload.options), "files": [asdict(file) for file in upload.files]}
    plain: dict[str, Any] = json.loads(json.dumps(held, default=date.isoformat))
    return plain


def _report_json(upload: Upload) -> dict[str, Any]:
    return {"release": upload.release, "error": upload.error, "seconds": upload.seconds}


def _of_row(row: Any) -> Upload:
    options = row.files["options"]
    days = {
        name: options[name] and date.fromisoformat(options[name])
        for name in ("effective_from", "effective_to")
    }
    return Upload(
        id=row.id,
        created_at=as_utc(row.created_at),
        staff_id=row.staff_id,
        state=row.state,
        files=tuple(
            UploadedFile(**{**file, "warnings": tuple(file["warnings"])})
            for file in row.files["files"]
        ),
        options=Options(**{**options, **days}),
        **(row.progress or {}),
        **(row.report or {}),
    )


# The worker


@dataclass(slots=True)
class Worker:
    """Takes uploads one after the other, in this process and all others of the home folder."""

    settings: Settings
    engine: AsyncEngine
    vector_store: VectorStore
    embedder: Callable[[], Awaitable[Embedder]]
    trail: Trail
    rules: RulePack
    lender: Lender | None
    """Whose documents they are; None where nobody said so."""
    switched: Callable[[], None] = lambda: None
    """Called when another release has gone live."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an upload has been added."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.wake.clear()
            try:
                if await waiting_uploads(self.engine):
                    await self._work()
            except Exception as error:
                # A database that is away for a minute must not end the server.
                log.error("uploads wait", exc_info=error)
                await asyncio.sleep(RETRY_S)
                continue
            await self.wake.wait()

    async def _work(self) -> None:
        folder = self.settings.home / "uploads"
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async with AsyncFileLock(folder / "worker.lock"):
            await asyncio.to_thread(self._sweep, {u.id for u in await waiting_uploads(self.engine)})
            while upload := await self._next():
                await self._ingest(upload)

    async def _next(self) -> Upload | None:
        """The oldest upload whose files are in this home folder.

        One that runs while the lock is ours was left by a process that ended.
        """
        for upload in await waiting_uploads(self.engine):
            if await asyncio.to_thread(incoming(self.settings, upload.id).is_dir):
                return upload
        return None

    def _sweep(self, known: set[str]) -> None:
        """Remove the folders of requests that were cut off with their server."""
        held = self.settings.home / "uploads" / "incoming"
        for folder in held.iterdir() if held.is_dir() else ():
            if folder.name not in known and time.time() - folder.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)

    async def _ingest(self, upload: Upload) -> None:
        started = time.perf_counter()
        if upload.state == "cancelling":
            await self._end(replace(upload, state="cancelled"))
            return
        running = replace(upload, state="running", stage="", done=0, total=0)
        if not await _keep(self.engine, running, only_from=("queued", "running")):
            return  # cancelled meanwhile
        seen: list[tuple[str, int, int]] = [("read", 0, 0)]

        def progress(stage: str, done: int, total: int) -> None:
            seen[0] = (stage, done, total)

        work = asyncio.create_task(self._build(upload, progress))
        try:
            while not (await asyncio.wait({work}, timeout=POLL_S))[0]:
                stage, done, total = seen[0]
                running = replace(running, stage=stage, done=done, total=total)
                wanted = await _keep(self.engine, running, only_from=("running",))
                # What is being written goes live a moment later, and is not called cancelled.
                if not wanted and seen[0][0] != "write":
                    work.cancel()
        except asyncio.CancelledError:
            # The row still says `running`: the next server takes the upload up again.
            work.cancel()
            await asyncio.wait({work})
            raise
        stage, done, total = seen[0]
        running = replace(running, stage=stage, done=done, total=total)
        try:
            ended = replace(running, state="cancelled") if work.cancelled() else work.result()
        except NothingReadable as error:
            ended = replace(
                running,
                state="failed",
                error="nothing_readable",
                files=_results(upload, {}, {}, error.skipped, ()),
            )
        except Exception as error:
            # Whatever a library does, the next upload must still be taken.
            log.error("an upload could not be ingested", upload=upload.id, exc_info=error)
            ended = replace(running, state="failed", error="fault")
        ended = replace(ended, stage=stage, done=done, total=total)
        await self._end(replace(ended, seconds=round(time.perf_counter() - started, 2)))

    async def _build(self, upload: Upload, progress: Progress) -> Upload:
        """Raises what `build` raises, audit.TailGone and audit.ReleaseChanged."""
        embedder = await self.embedder()
        await hold_end(self.trail)
        await hold_live(self.trail)

        async def work(engine: AsyncEngine) -> Upload:
            before, heads = await _live(engine, upload)
            folder = incoming(self.settings, upload.id)
            await asyncio.to_thread(_describe, folder, upload, heads)
            report = await build(
                engine,
                self.vector_store,
                embedder,
                [folder],
                lock_file=self.settings.ingest_lock,
                figures=stated,
                rules=clause_rules(self.rules, today(), self.lender),
                confirmed=partial(confirmed_dates, keys=self.trail.keys),
                cleared=partial(clearances, keys=self.trail.keys),
                progress=progress,
            )
            async with engine.connect() as connection:
                after = await store.release_sources(connection, report.release)
            files = _results(upload, before, after, report.skipped, report.warnings)
            return replace(upload, state="done", files=files, release=report.release)

        return await in_thread(self.settings.database, work)

    async def _end(self, upload: Upload) -> None:
        await asyncio.to_thread(_put_away, self.settings, upload)
        if upload.state == "done":
            self.switched()
            await note_release(
                self.trail, upload.release, "uploaded", by=upload.staff_id, upload=upload.id
            )
        await _keep(self.engine, upload, only_from=WAITING)


async def _live(engine: AsyncEngine, upload: Upload) -> tuple[dict[str, str], dict[str, Head]]:
    """Document keys of the live release, and the heads of those that the upload replaces, by name
    in small letters: what differs in its capitals alone is a document of its own, but of a kind."""
    live = await store.active_release(engine)
    if live is None:
        return {}, {}
    names = {file.name.casefold() for file in upload.files}
    async with engine.connect() as connection:
        sources = await store.release_sources(connection, live.id)
        replaced = [key for source, key in sources.items() if source.casefold() in names]
        clauses = await store.document_clauses(connection, replaced)
    return sources, {clause.source.casefold(): clause.head for clause in reversed(clauses)}


def _describe(folder: Path, upload: Upload, replaced: Mapping[str, Head]) -> None:
    """Write what is known of the files into the folder's manifest.

    What a manifest sent along says of a file wins over what the person said of all, and that over
    what a file says of itself; what is inherited does not. So a file with a head of its own
    inherits nothing but its readers, where its head does not name them.
    """
    manifest = folder / MANIFEST
    try:
        read_manifest(folder)
    except Unreadable:
        return  # left to be refused with its files, and named
    sent = decode(manifest.read_bytes(), [], jsonl=True) if manifest.exists() else ""
    listed = [json.loads(line) for line in sent.split("\n") if line.strip()]
    entries = {entry["file"].replace("\\", "/").removeprefix("./"): entry for entry in listed}
    said = {name: value for name, value in asdict(upload.options).items() if value}
    for file in upload.files:
        path = folder / file.name
        if not path.is_file() or file.name == MANIFEST:
            continue
        inherited: dict[str, Any] = {}
        if known := replaced.get(file.name.casefold()):
            try:
                given = own_head(path)
            except Unreadable:
                given = None
            names = INHERITED if given is None else {"audience"} - given
            inherited = {name: value for name in names if (value := getattr(known, name))}
        own = {name: v for name, v in entries.get(file.name, {}).items() if v not in (None, "")}
        entries[file.name] = {**inherited, **said, **own, "file": file.name}
    lines = [
        json.dumps(entry, ensure_ascii=False, default=date.isoformat) for entry in entries.values()
    ]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _results(
    upload: Upload,
    before: Mapping[str, str],
    after: Mapping[str, str],
    skipped: Sequence[Skipped],
    warnings: Sequence[Skipped],
) -> tuple[UploadedFile, ...]:
    """The files with what became of each.

    before, after: source -> document key of the release that was live, and of the one that is.
    """
    reasons = {Path(item.path).name: item.reason for item in skipped}

    def result(file: UploadedFile) -> UploadedFile:
        if file.result == "skipped":
            return file
        if file.name in reasons:
            reason = reasons[file.name].removeprefix(f"{file.name}: ")
            return replace(file, result="skipped", reason=reason)
        if file.name == MANIFEST:
            noticed = tuple(w.reason for w in warnings if w.reason.startswith(MANIFEST))
            return replace(file, result="head", warnings=noticed)
        if file.name not in after:
            return replace(file, result="skipped", reason="not_in_release")
        found: Result = "added"
        if file.name in before:
            same = before[file.name] == after[file.name]
            found = "unchanged" if same else "changed"
        said = tuple(item.reason for item in warnings if item.path == file.name)
        return replace(file, result=found, warnings=said)

    return tuple(map(result, upload.files))


def _put_away(settings: Settings, upload: Upload) -> None:
    """Keep the originals of what went in, and remove the rest."""
    folder = incoming(settings, upload.id)
    for file in upload.files:
        if file.result in ("added", "changed", "unchanged") and (folder / file.name).is_file():
            (folder / file.name).replace(original(settings, file.sha256))
    shutil.rmtree(folder, ignore_errors=True)


def new_upload(
    staff_id: str, files: Sequence[UploadedFile], options: Options, upload_id: str
) -> Upload:
    """An upload whose files have arrived; over at once if none of them can be read."""
    state: State = "failed" if all(file.result == "skipped" for file in files) else "queued"
    return Upload(
        id=upload_id,
        created_at=datetime.now(UTC),
        staff_id=staff_id,
        state=state,
        files=tuple(files),
        options=options,
        error="nothing_readable" if state == "failed" else "",
    )


async def discard(settings: Settings, upload_id: str) -> None:
    """Remove what has arrived of an upload."""
    folder = incoming(settings, upload_id)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def new_id() -> str:
    return uuid.uuid4().hex
