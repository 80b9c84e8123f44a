"""Builds knowledge releases: read, chunk, embed what is new, write beside the live one, switch."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from . import compare, store
from .chunk import chunk
from .clearance import (
    CONFIRMED,
    NO_RULES,
    Reviewed,
    Rules,
    is_lenders,
    load_reviewed,
    review_clauses,
    text_hash,
)
from .compare import ReleaseChange
from .computed import load_computed
from .coverage import calibrate, is_current
from .dating import as_released, successions, unknown_supersedes
from .documents import Clause, Document, Head
from .embed import Embedder, Vectors
from .findings import Figures, Findings, plain_figures, review
from .readers import MANIFEST, MAX_BYTES, READERS, Unreadable, read, read_manifest, unread
from .sentences import pack, sentence_texts
from .vectors import VectorStore

PARSER = "6"
"""Raised when readers or chunker give other clauses for the same bytes: all is read again."""

KEPT_RELEASES = 5
"""How many releases keep their vectors on disk; older ones are rebuilt from SQL when activated."""

EMBED_BATCH = 8
"""How many texts are embedded between two commits: the most that an interrupted run loses."""

CACHE_BATCH = 5000
"""How many vectors are read from the cache at a time."""

Confirmations = Callable[[AsyncConnection], Awaitable[Mapping[tuple[str, str], store.Confirmation]]]
"""What persons said of dates, by source and hash of the file: what of it is to be believed."""

Enter = Callable[[AsyncConnection, store.Confirmation], Awaitable[object]]
"""Called in the transaction in which a confirmation is stored, so that both stand or fall."""

Clearances = Callable[[AsyncConnection], Awaitable[Mapping[str, frozenset[str]]]]
"""Rules that persons let texts break, by the hash of a text: what of it is to be believed."""

EnterText = Callable[[AsyncConnection, str], Awaitable[object]]
"""As `Enter`, with the hash of a text that is let stand, or no longer."""

Progress = Callable[[str, int, int], None]
"""Called with a stage (`wait`, `read`, `check`, `embed`, `review`, `write`), how many are done, and
of how many; `wait` is said once, where another ingestion is under way."""


@dataclass(frozen=True, slots=True)
class Skipped:
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingestion did; counts are documents except `clauses`."""

    release: str
    documents: int
    clauses: int
    added: int
    changed: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    warnings: tuple[Skipped, ...]
    """Things noticed and mended, by document."""
    seconds: float
    embedded: int = 0
    """Texts that were embedded; the vectors of all others were kept from before."""
    found_dates: tuple[store.DateToConfirm, ...] = ()
    """Dates read from the text of documents whose heads give none, to be confirmed."""
    duplicates: int = 0
    contradictions: int = 0
    rule_findings: int = 0
    """What rules hold against clauses."""
    held: int = 0
    """Clauses that stay out of borrowers' answers until a person has confirmed them."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    source: str
    head: Head


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a confirmation did."""

    source: str
    release: str
    """The live release, a new one where dates were corrected."""
    corrected: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a person let stand, or does no longer."""

    release: str
    """The live release, a new one."""
    clause_id: str
    text_hash: str
    rules: tuple[str, ...]


class NothingReadable(Exception):
    """No document could be read; carries what was skipped and why."""

    def __init__(self, skipped: Sequence[Skipped]) -> None:
        super().__init__("nothing could be read")
        self.skipped = tuple(skipped)


class UnknownDocument(Exception):
    """The live release holds no document of a name; the message says which are like it."""


class UnknownClause(Exception):
    """The live release holds no clause of an id."""


class NothingToClear(Exception):
    """No rule keeps a clause from being shown."""


class TextChanged(Exception):
    """A clause has another text than the one that was looked at."""


class WrongDates(Exception):
    """A document would end before it begins; the message names it."""


class OtherEmbedder(Exception):
    """A release holds the vectors of another embedder than the one now set."""


async def build(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    paths: Sequence[Path],
    *,
    lock_file: Path,
    defaults: Head | None = None,
    replace_all: bool = False,
    jsonl: Path | None = None,
    figures: Figures = plain_figures,
    rules: Rules = NO_RULES,
    computed: Path | None = None,
    confirmed: Confirmations = store.confirmed,
    cleared: Clearances = store.clearances_by_text,
    progress: Progress = lambda stage, done, total: None,
) -> Report:
    """Ingest files and folders into a new live release; the old one serves until the switch.

    defaults: taken where a manifest does not say otherwise; wins over what a file says of itself.
    figures: finds the figures by which clauses contradict each other.
    rules: what lenders' clauses are reviewed by; one that they block is for agents only.
    computed: file of vectors that come with the documents; they are not computed again.
    confirmed, cleared: dates that persons gave, and what they let stand; others that are stored
    are named, and not taken.
    Parsed documents and vectors are committed as they come, so that an interrupted run resumes.
    Raises NothingReadable, FileNotFoundError, VectorsMissing; the live release is then as
    it was.
    """
    started = time.perf_counter()
    async with _locked(engine, lock_file, progress):
        if computed is not None:
            await _take(engine, computed, embedder.name)
        keys, skipped, warnings = await _read_all(
            engine, paths, jsonl, defaults or Head(), confirmed, progress
        )
        live = await store.active_release(engine)
        before = await _sources_of(engine, live.id) if live else {}
        reviewed = load_reviewed(live.reviewed if live else None)
        async with engine.connect() as connection:
            stored = await store.clearances_by_text(connection)
            let_stand = await cleared(connection)
        after = keys if replace_all else before | keys
        as_read = await _stored_parts(engine, after)
        parts = as_released(as_read)
        warnings += [
            Skipped(
                part.source, f"nobody is told to have let {part.locator} stand: it is not taken"
            )
            for part in parts
            if stored
            and (known := text_hash(part)) in stored
            and stored[known] - let_stand.get(known, frozenset())
        ]
        warnings += _shared_ids(parts)
        warnings += [
            Skipped(one.older, f"ends on {one.end}, since {one.newer} is a later version of it")
            for one in successions(as_read)
        ]
        warnings += [Skipped(*wrong) for wrong in unknown_supersedes(parts)]
        if (
            live
            and after == before
            and live.embeddings == embedder.name
            and is_current(live.coverage)
            and reviewed.version == rules.version
            and not reviewed.outdated(let_stand)
            and await asyncio.to_thread(vector_store.has, live.id, len(parts))
            and (kept := await _report_of(engine, live.id))
        ):
            release_id, noticed = live.id, replace(kept, embedded=0)
            parts = reviewed.marked(parts)
        else:
            unchanged = {source for source, key in after.items() if before.get(source) == key}
            reviewed = await asyncio.to_thread(
                review_clauses,
                parts,
                rules,
                let_stand,
                reviewed,
                unchanged,
                partial(progress, "check"),
            )
            parts = reviewed.marked(parts)
            release_id, noticed = await _make_live(
                engine, vector_store, embedder, after, parts, reviewed, figures, warnings, progress
            )
        await _prune(engine, vector_store)
    return Report(
        release=release_id,
        documents=len(after),
        clauses=len(parts),
        added=len(after.keys() - before.keys()),
        changed=sum(1 for s, k in after.items() if s in before and before[s] != k),
        removed=len(before.keys() - after.keys()),
        unchanged=sum(1 for s, k in after.items() if before.get(s) == k),
        skipped=tuple(skipped),
        warnings=tuple(warnings),
        seconds=round(time.perf_counter() - started, 2),
        embedded=noticed.embedded,
        found_dates=noticed.found_dates,
        duplicates=noticed.findings.duplicate_count,
        contradictions=noticed.findings.contradiction_count,
        rule_findings=noticed.findings.rule_count,
        held=sum(part.held for part in parts),
    )


async def _read_all(
    engine: AsyncEngine,
    paths: Sequence[Path],
    jsonl: Path | None,
    defaults: Head,
    confirmed: Confirmations,
    progress: Progress,
) -> tuple[dict[str, str], list[Skipped], list[Skipped]]:
    """Source -> key of each document, which is stored then; those left out; what was noticed.

    Raises NothingReadable, FileNotFoundError.
    """
    files, skipped, warnings = await asyncio.to_thread(_find_files, paths, defaults)
    async with engine.connect() as connection:
        stored, said = await store.confirmed(connection), await confirmed(connection)
    warnings += [
        Skipped(
            source, "nobody is told to have confirmed the dates stored for it: they are not taken"
        )
        for source, _ in sorted(stored.keys() - said.keys())
    ]
    keys: dict[str, str] = {}
    if jsonl is not None:
        try:
            source, key = await _store_jsonl(engine, jsonl, defaults, said, skipped)
            keys[source] = key
        except Unreadable as error:
            skipped.append(Skipped(_shown(jsonl), str(error)))
    for done, file in enumerate(files):
        progress("read", done, len(files))
        try:
            keys[file.source] = await _store_file(engine, file, said, warnings)
        except Unreadable as error:
            skipped.append(Skipped(_shown(file.path), str(error)))
    progress("read", len(files), len(files))
    if not keys:
        raise NothingReadable(skipped)
    return keys, skipped, warnings


async def confirm(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    source: str,
    *,
    lock_file: Path,
    by: str,
    effective_from: store.Answer = None,
    effective_to: store.Answer = None,
    reviewed: store.Answer = None,
    enter: Enter | None = None,
    figures: Figures = plain_figures,
    rules: Rules = NO_RULES,
    cleared: Clearances = store.clearances_by_text,
    progress: Progress = lambda stage, done, total: None,
) -> Confirmed:
    """Record that a person looked at the dates of a document of the live release, and corrected
    those that are given.

    source: its name, or a part of it that no other has. by: who it was. enter: keeps what was said.
    cleared: as for `build`. Raises NoRelease, UnknownDocument, WrongDates, VectorsMissing.
    """
    async with _locked(engine, lock_file, progress):
        live = await store.active_release(engine)
        if live is None:
            raise store.NoRelease("nothing has been ingested yet: run `zhunxin ingest PATH`")
        async with engine.connect() as connection:
            before = await store.release_sources(connection, live.id)
            name = _named(source, before)
            (held,) = await store.stored_documents(connection, [before[name]])
        said = store.Confirmation(name, held.sha256, effective_from, effective_to, reviewed, by=by)
        try:
            async with engine.begin() as connection:
                await store.confirm(connection, said)
                key = await store.add_corrected(connection, held.base, said)
                if enter is not None:
                    await enter(connection, said)
        except ValueError as error:
            raise WrongDates(str(error)) from error
        if key == held.key:
            return Confirmed(name, live.id, corrected=False)
        after = before | {name: key}
        release_id = await _make_again(
            engine, vector_store, embedder, live, after, rules, cleared, figures, progress
        )
        return Confirmed(name, release_id, corrected=True)


async def clear(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    clause_id: str,
    *,
    lock_file: Path,
    by: str,
    rules: Rules,
    seen: str = "",
    cleared: Clearances = store.clearances_by_text,
    enter: EnterText | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Cleared:
    """Record that a person lets the text of a clause of the live release stand as it is, and make
    it live so. It holds for the same text, wherever it stands, and for the rules that it breaks
    now; other rules hold it back anew.

    by: who it was. seen: hash of the text that was looked at; empty for the one there is.
    cleared: as for `build`. enter: keeps what was said.
    Raises NoRelease, UnknownClause, TextChanged, NothingToClear, VectorsMissing.
    """
    async with _locked(engine, lock_file, progress):
        live, keys, clause, hashed = await _clause_of_live(engine, clause_id, seen)
        found = await asyncio.to_thread(rules.review, clause) if is_lenders(clause) else ()
        broken = {flaw.rule for flaw in found if flaw.severity in CONFIRMED}
        if not broken:
            raise NothingToClear(f"no rule keeps {clause_id} from being shown")
        async with engine.begin() as connection:
            before = (await cleared(connection)).get(hashed, frozenset())
            await store.clear_text(connection, hashed, broken | before, by)
            if enter is not None:
                await enter(connection, hashed)
        release_id = await _make_again(
            engine, vector_store, embedder, live, keys, rules, cleared, None, progress
        )
        return Cleared(release_id, clause_id, hashed, tuple(sorted(broken)))


async def withdraw(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    clause_id: str,
    *,
    lock_file: Path,
    rules: Rules,
    seen: str = "",
    cleared: Clearances = store.clearances_by_text,
    enter: EnterText | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Cleared:
    """Take back that a person lets the text of a clause stand, wherever it stands, and make a
    release live in which the rules hold it back again.

    seen, cleared, enter: as for `clear`. Older releases stay as they are: one that is made live
    again shows the text until the next ingestion. Raises NoRelease, UnknownClause, TextChanged,
    NothingToClear, VectorsMissing.
    """
    async with _locked(engine, lock_file, progress):
        live, keys, _, hashed = await _clause_of_live(engine, clause_id, seen)
        async with engine.begin() as connection:
            before = (await store.clearances_by_text(connection)).get(hashed, frozenset())
            if not before:
                raise NothingToClear(f"nobody has confirmed the text of {clause_id}")
            await store.withdraw_clearance(connection, hashed)
            if enter is not None:
                await enter(connection, hashed)
        release_id = await _make_again(
            engine, vector_store, embedder, live, keys, rules, cleared, None, progress
        )
        return Cleared(release_id, clause_id, hashed, tuple(sorted(before)))


async def _clause_of_live(
    engine: AsyncEngine, clause_id: str, seen: str
) -> tuple[store.Release, dict[str, str], Clause, str]:
    """(live release, its documents' keys by source, a clause of it, the hash of its text).

    Raises NoRelease, UnknownClause, TextChanged.
    """
    live = await store.active_release(engine)
    if live is None:
        raise store.NoRelease("nothing has been ingested yet: run `zhunxin ingest PATH`")
    keys = await _sources_of(engine, live.id)
    clause = next((part for part in await _parts_of(engine, keys) if part.id == clause_id), None)
    if clause is None:
        raise UnknownClause(f"no clause {clause_id!r} in the live release")
    hashed = text_hash(clause)
    if seen and seen != hashed:
        raise TextChanged(f"the text of {clause_id} has changed meanwhile")
    return live, keys, clause, hashed


async def _make_again(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    live: store.Release,
    keys: Mapping[str, str],
    rules: Rules,
    cleared: Clearances,
    figures: Figures | None,
    progress: Progress,
) -> str:
    """A release like the live one, with what was confirmed since; returns its id.

    figures: None where no date changed, so that the clauses say the same and contradict each other
    as before.
    """
    before = await _sources_of(engine, live.id)
    unchanged = {source for source, key in keys.items() if before.get(source) == key}
    parts = await _parts_of(engine, keys)
    report = None if figures else await _report_of(engine, live.id)
    async with engine.connect() as connection:
        let_stand = await cleared(connection)
    reviewed = await asyncio.to_thread(
        review_clauses,
        parts,
        rules,
        let_stand,
        load_reviewed(live.reviewed),
        unchanged,
        partial(progress, "check"),
    )
    release_id, _ = await _make_live(
        engine,
        vector_store,
        embedder,
        keys,
        reviewed.marked(parts),
        reviewed,
        report.findings if report else figures or plain_figures,
        [Skipped(*warning) for warning in report.warnings] if report else [],
        progress,
    )
    await _prune(engine, vector_store)
    return release_id


def _named(source: str, known: Iterable[str]) -> str:
    """The source of a name, or of a part that no other has. Raises UnknownDocument."""
    names = sorted(known)
    if source in names:
        return source
    like = [name for name in names if source and source in name]
    if len(like) == 1:
        return like[0]
    there = ", ".join((like or names)[:10]) + (", ..." if len(like or names) > 10 else "")
    what = f"{len(like)} documents are like {source!r}" if like else f"no document {source!r}"
    raise UnknownDocument(f"{what} in the live release; there are {there}")


async def _make_live(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    keys: Mapping[str, str],
    parts: Sequence[Clause],
    reviewed: Reviewed,
    figures: Figures | Findings,
    warnings: Sequence[Skipped],
    progress: Progress,
) -> tuple[str, store.ReleaseReport]:
    """Write a release of these documents beside the live one and switch to it.

    parts: marked by what was `reviewed`. figures: or what they found in the same clauses before.
    """
    started = time.perf_counter()
    vectors, embedded = await _embed(engine, embedder, parts, progress)
    async with engine.connect() as connection:
        held = await store.stored_documents(connection, [*keys.values()])
        looked_at = await store.confirmed(connection)
    release_id = _new_id()
    progress("write", 0, 2)
    await asyncio.to_thread(vector_store.write, release_id, parts, vectors)
    coverage = await asyncio.to_thread(calibrate, embedder, vectors)
    del vectors
    progress("review", 0, 1)
    if not isinstance(figures, Findings):
        figures = await asyncio.to_thread(review, parts, figures)
    listed, count = await asyncio.to_thread(reviewed.listed, parts)
    findings = replace(figures, rules=listed, rule_count=count)
    progress("review", 1, 1)
    # Said before the switch, since what is past it cannot be cancelled.
    progress("write", 1, 2)
    report = store.ReleaseReport(
        embedded=embedded,
        found_dates=tuple(
            store.DateToConfirm(
                document.source,
                document.sha256,
                **asdict(found),
                confirmed=(document.source, document.sha256) in looked_at,
                applied=getattr(document.head, found.field),
            )
            for document in held
            for found in document.found
        ),
        findings=findings,
        warnings=tuple((warning.path, warning.reason) for warning in warnings),
        seconds=round(time.perf_counter() - started, 2),
    )
    release = store.Release(
        release_id,
        datetime.now(UTC),
        False,
        embedder.name,
        len(parts),
        coverage=coverage.as_json(),
        findings=findings.duplicate_count + findings.contradiction_count + count,
        reviewed=reviewed.as_json() if reviewed.version else None,
    )
    async with engine.begin() as connection:
        await store.add_release(connection, release, keys.values(), report)
        await store.activate(connection, release_id)
    progress("write", 2, 2)
    return release_id, report


async def _sources_of(engine: AsyncEngine, release_id: str) -> dict[str, str]:
    """Source name -> document key of a release."""
    async with engine.connect() as connection:
        return await store.release_sources(connection, release_id)


async def _parts_of(engine: AsyncEngine, keys: Mapping[str, str]) -> list[Clause]:
    """The clauses of these documents, by source name and key, as a release of them holds them."""
    return as_released(await _stored_parts(engine, keys))


async def _stored_parts(engine: AsyncEngine, keys: Mapping[str, str]) -> list[Clause]:
    """The same, as each document gives them."""
    async with engine.connect() as connection:
        return await store.document_clauses(connection, [*keys.values()])


async def _report_of(engine: AsyncEngine, release_id: str) -> store.ReleaseReport | None:
    async with engine.connect() as connection:
        return await store.release_report(connection, release_id)


async def activate(
    engine: AsyncEngine,
    vector_store: VectorStore,
    embedder: Embedder,
    release_id: str,
    *,
    lock_file: Path,
    progress: Progress = lambda stage, done, total: None,
) -> None:
    """Make a release live, writing its vectors again if they were pruned or are damaged.

    Raises KeyError, OtherEmbedder, VectorsMissing.
    """
    async with _locked(engine, lock_file, progress):
        async with engine.connect() as connection:
            known = {r.id: r for r in await store.list_releases(connection)}
        if release_id not in known:
            raise KeyError(release_id)
        if known[release_id].embeddings != embedder.name:
            raise OtherEmbedder(
                f"release {release_id} was embedded with {known[release_id].embeddings!r}, but "
                f"ZHUNXIN_EMBEDDINGS now names {embedder.name!r}: set it back, or run "
                "`zhunxin ingest` on the documents of that release"
            )
        parts = await _parts_of(engine, await _sources_of(engine, release_id))
        parts = load_reviewed(known[release_id].reviewed).marked(parts)
        if not await asyncio.to_thread(vector_store.has, release_id, len(parts)):
            vectors, _ = await _embed(engine, embedder, parts, progress)
            await asyncio.to_thread(vector_store.write, release_id, parts, vectors)
        async with engine.begin() as connection:
            await store.activate(connection, release_id)


async def diff(engine: AsyncEngine, before: str, after: str) -> ReleaseChange:
    """What differs between two releases, given by id, clauses as they are in force in each."""

    async def held(release_id: str) -> dict[str, list[Clause]]:
        parts = await _parts_of(engine, await _sources_of(engine, release_id))
        return {
            source: list(group) for source, group in groupby(parts, key=lambda part: part.source)
        }

    old, new = await held(before), await held(after)
    return await asyncio.to_thread(compare.releases, old, new)


def _find_files(
    paths: Sequence[Path], defaults: Head
) -> tuple[list[_File], list[Skipped], list[Skipped]]:
    """Files to read, those left out and why, and what was noticed in manifests."""
    files: dict[str, _File] = {}
    skipped: list[Skipped] = []
    warnings: list[Skipped] = []
    notes: list[str] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(path)
        root = path if path.is_dir() else path.parent
        walked = list(_walk(path))
        listed: dict[Path, Head] = {}
        broken: set[Path] = set()
        # A manifest may name files further down, so all are read before the first file.
        around = {folder for file in walked for folder in file.parents}
        for folder in sorted(folder for folder in around if folder.is_relative_to(root)):
            try:
                heads = read_manifest(folder, notes)
            except Unreadable as error:
                broken.add(folder)
                skipped.append(Skipped(_shown(folder / MANIFEST), str(error)))
            else:
                listed.update((folder / name, head) for name, head in heads.items())
            warnings += [Skipped(_shown(folder), note) for note in notes]
            notes.clear()
        for file in walked:
            source = file.relative_to(root).as_posix()
            if file.suffix.lower() not in READERS:
                skipped.append(Skipped(_shown(file), f"unknown format: {unread(file.suffix)}"))
            elif not source.isprintable():
                reason = "the file name holds characters that cannot be shown; rename the file"
                skipped.append(Skipped(_shown(file), reason))
            elif not broken.isdisjoint(file.parents):
                # Taken without it, material for agents would become readable to borrowers.
                reason = f"the {MANIFEST} that may describe it is broken; mend that first"
                skipped.append(Skipped(_shown(file), reason))
            elif source in files and not file.samefile(files[source].path):
                reason = f"another file of this name was given too: {files[source].path}"
                skipped.append(Skipped(_shown(file), reason))
            else:
                files[source] = _File(file, source, listed.get(file, Head()).or_else(defaults))
    return list(files.values()), skipped, warnings


def _shown(path: Path) -> str:
    """A path as it can be printed; a name in another encoding than the system's loses bytes."""
    return _printable(str(path))


def _printable(text: str) -> str:
    """`text` with a question mark for every half of a character pair that stands alone."""
    return text.encode(errors="replace").decode()


def _walk(path: Path) -> Iterator[Path]:
    """Files in name order; hidden ones and the manifest left out; links out of the folder too."""
    if path.is_file():
        yield path
        return
    root = path.resolve()
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if any(part.startswith((".", "~$")) for part in relative.parts):
            continue
        if file.is_file() and file.name != MANIFEST and file.resolve().is_relative_to(root):
            yield file


async def _store_file(
    engine: AsyncEngine,
    file: _File,
    confirmed: Mapping[tuple[str, str], store.Confirmation],
    warnings: list[Skipped],
) -> str:
    """Key of the document, read and stored now if its bytes, head, parser or dates are new.

    Raises Unreadable.
    """
    sha256 = await asyncio.to_thread(_hash_file, file.path)
    base = store.document_key(file.source, sha256, file.head, PARSER)
    said = confirmed.get((file.source, sha256))
    key = store.corrected_key(base, said)
    async with engine.connect() as connection:
        known = await store.known_documents(connection, [base, key])
    if base not in known:
        document = await asyncio.to_thread(read, file.path, file.source, file.head)
        parts = await asyncio.to_thread(chunk, document)
        if not parts:
            raise Unreadable(f"{file.source}: holds no text that could be quoted")
        async with engine.begin() as connection:
            await _add_if_new(connection, base, document, parts)
        warnings.extend(Skipped(file.source, warning) for warning in document.warnings)
    if said and key not in known:
        try:
            async with engine.begin() as connection:
                await store.add_corrected(connection, base, said)
        except ValueError as error:
            raise Unreadable(str(error)) from error
    return key


async def _store_jsonl(
    engine: AsyncEngine,
    path: Path,
    defaults: Head,
    confirmed: Mapping[tuple[str, str], store.Confirmation],
    skipped: list[Skipped],
) -> tuple[str, str]:
    """Store ready-made clauses; lines that are no clause are skipped with their number.

    Raises Unreadable, FileNotFoundError.
    """
    if not await asyncio.to_thread(path.exists):
        raise FileNotFoundError(path)
    source = _printable(path.name)
    sha256 = await asyncio.to_thread(_hash_file, path)
    head = replace(defaults, title=defaults.title or path.stem)
    key = store.document_key(source, sha256, head, PARSER)
    parts = await asyncio.to_thread(_read_jsonl, path, head, skipped)
    if not parts:
        raise Unreadable(f"{source}: holds no readable clause")
    async with engine.begin() as connection:
        if not await store.known_documents(connection, [key]):
            await _add_if_new(connection, key, Document(source, sha256, head, ()), parts)
        if said := confirmed.get((source, sha256)):
            key = await store.add_corrected(connection, key, said)
    return source, key


def _read_jsonl(path: Path, head: Head, skipped: list[Skipped]) -> list[Clause]:
    parts: dict[str, Clause] = {}
    with path.open(encoding="utf-8-sig") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    clause = _jsonl_clause(json.loads(line), path.name, head)
                    if clause.id in parts:
                        raise ValueError(f"the id {clause.id!r} occurs twice")
                except (ValueError, TypeError, RecursionError) as error:
                    skipped.append(Skipped(f"{path}:{number}", str(error)))
                    continue
                parts[clause.id] = clause
        except UnicodeDecodeError:
            skipped.append(Skipped(f"{path}:{number + 1}", "not UTF-8; the rest was not read"))
    return list(parts.values())


def _jsonl_clause(row: object, source: str, head: Head) -> Clause:
    if not isinstance(row, dict):
        raise ValueError("a line must be one JSON object")
    for name in ("id", "text"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"{name!r} must be a non-empty string")
    written = json.dumps(row, ensure_ascii=False)
    if "\\u0000" in written or _printable(written) != written:
        raise ValueError("holds characters that cannot be stored")
    start, end = row.get("effective_from"), row.get("effective_to")
    own = replace(
        head,
        effective_from=date.fromisoformat(start) if start else head.effective_from,
        effective_to=date.fromisoformat(end) if end else head.effective_to,
    )
    if own.ends_too_early():
        raise ValueError("effective_to is before effective_from")
    title = row.get("title") or ""
    meta = row.get("meta") or {}
    if not isinstance(title, str) or not isinstance(meta, dict):
        raise ValueError("'title' must be a string and 'meta' an object")
    return Clause(
        id=row["id"],
        source=source,
        head=own,
        locator=title or row["id"],
        title=title,
        text=row["text"],
        meta={str(k): str(v) for k, v in meta.items()},
    )


async def _add_if_new(
    connection: AsyncConnection, key: str, document: Document, parts: Sequence[Clause]
) -> None:
    if not await store.known_documents(connection, [key]):
        await store.add_document(connection, key, document, parts)


async def _embed(
    engine: AsyncEngine, embedder: Embedder, parts: Sequence[Clause], progress: Progress
) -> tuple[Vectors, int]:
    """Vectors of all clauses, in order, and how many were not in the cache.

    Held in one array from the start: of a hundred thousand clauses, a second copy would count.
    """
    hashes = [store.embedding_hash(part) for part in parts]
    rows = {embed_hash: row for row, embed_hash in enumerate(dict.fromkeys(hashes))}
    texts = dict(zip(hashes, parts, strict=True))
    vectors = np.empty((0, 0), np.float32)
    missing: list[str] = []

    def keep(found: Iterable[tuple[str, Vectors]]) -> None:
        nonlocal vectors
        for embed_hash, vector in found:
            if not vectors.size:
                vectors = np.empty((len(rows), len(vector)), np.float32)
            vectors[rows[embed_hash]] = vector

    known = list(rows)
    for start in range(0, len(known), CACHE_BATCH):
        batch = known[start : start + CACHE_BATCH]
        async with engine.connect() as connection:
            cached = await store.cached_vectors(connection, batch, embedder.name)
        keep(cached.items())
        missing += [embed_hash for embed_hash in batch if embed_hash not in cached]
    missing.sort(key=lambda h: (len(texts[h].text), h))
    for start in range(0, len(missing), EMBED_BATCH):
        progress("embed", start, len(missing))
        batch = missing[start : start + EMBED_BATCH]
        made, packed = await asyncio.to_thread(_made, embedder, [texts[h] for h in batch])
        async with engine.begin() as connection:
            await store.cache_vectors(connection, batch, made, packed, embedder.name)
        keep(zip(batch, made, strict=True))
    progress("embed", len(missing), len(missing))
    whole = len(rows) == len(parts)
    return (vectors if whole else vectors[[rows[h] for h in hashes]]), len(missing)


async def _take(engine: AsyncEngine, computed: Path, model: str) -> None:
    """Put vectors that come with documents into the cache."""
    rows = await asyncio.to_thread(load_computed, computed, model)
    async with engine.begin() as connection:
        cached = await store.cached_vectors(connection, rows, model)
        new = [embed_hash for embed_hash in rows if embed_hash not in cached]
        if new:
            vectors = np.array([rows[embed_hash][0] for embed_hash in new])
            packed = [rows[embed_hash][1] for embed_hash in new]
            await store.cache_vectors(connection, new, vectors, packed, model)


def _made(embedder: Embedder, parts: Sequence[Clause]) -> tuple[Vectors, list[bytes]]:
    """Vectors of clauses, and of the sentences of each, packed."""
    texts = [store.embedding_text(part) for part in parts]
    said = [sentence_texts(part) for part in parts]
    # A clause of one sentence is that sentence; each text is embedded once.
    rows = {text: row for row, text in enumerate(dict.fromkeys([*texts, *chain(*said)]))}
    vectors = embedder.passages([*rows])
    return vectors[[rows[text] for text in texts]], [
        pack(vectors[[rows[text] for text in sentences]]) for sentences in said
    ]


def _shared_ids(parts: Sequence[Clause]) -> list[Skipped]:
    """Ids that clauses of several documents have: ready-made ones, since ours name the source."""
    first: dict[str, Clause] = {}
    return [
        Skipped(part.source, f"the id {part.id!r} is also that of a clause of {known.source}")
        for part in parts
        if (known := first.setdefault(part.id, part)).source != part.source
    ]


async def _prune(engine: AsyncEngine, vector_store: VectorStore) -> None:
    async with engine.connect() as connection:
        releases = await store.list_releases(connection)
    kept = {r.id for r in releases[:KEPT_RELEASES]} | {r.id for r in releases if r.active}
    await asyncio.to_thread(vector_store.prune, kept, {r.id for r in releases})


@asynccontextmanager
async def _locked(engine: AsyncEngine, lock_file: Path, progress: Progress) -> AsyncIterator[None]:
    """One ingestion at a time; others say that they wait, and wait their turn."""
    from filelock import AsyncFileLock, Timeout

    def waiting() -> None:
        progress("wait", 0, 1)

    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = AsyncFileLock(lock_file)
    try:
        await lock.acquire(blocking=False)
    except Timeout:
        waiting()
        await lock.acquire()
    try:
        async with store.writing(engine, waiting):
            yield
    finally:
        await lock.release()


def _hash_file(path: Path) -> str:
    """Raises Unreadable; a file too big to be read is not hashed either."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable(
                f"{path.name}: more than the {MAX_BYTES // 2**20} MB that are read; split it"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unreadable(f"{path.name}: the file cannot be opened: {error.strerror}") from error


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}-{uuid.uuid4().hex[:6]}"
