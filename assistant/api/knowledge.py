"""The API of the knowledge page: documents, versions, releases, uploads, a query tried."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from assistant import journal, privacy, uploads
from assistant.audit import clearances, hold_end, note_release, seal_clearance, seal_dates
from assistant.clause_review import clause_rules
from assistant.db import in_thread
from assistant.deps import Deps
from assistant.figures import stated
from assistant.models import today
from assistant.unanswered import group_questions
from knowledge import compare, store
from knowledge.clearance import CONFIRMED, RuleFinding
from knowledge.documents import Clause
from knowledge.findings import Finding, Side
from knowledge.readers import READERS
from knowledge.release import (
    Cleared,
    NothingToClear,
    OtherEmbedder,
    TextChanged,
    UnknownClause,
    UnknownDocument,
    WrongDates,
    activate,
    clear,
    confirm,
    diff,
    withdraw,
)
from knowledge.retrieve import Index, Scope, covers, retrieve
from knowledge.shelf import Shelved, shelve, stale_since, state_on, versions
from knowledge.store import NoRelease

from .access import is_staff, signed_in
from .chat import FromDeps
from .knowledge_schemas import (
    ActivatedBody,
    ChangedDocumentBody,
    ClausesBody,
    ClearanceRequest,
    ConfirmationRequest,
    DatesToConfirmBody,
    DiffBody,
    DocumentBody,
    DocumentsBody,
    FindingBody,
    FindingsBody,
    FindingSideBody,
    FlawBody,
    FoundDateBody,
    HeadChangeBody,
    HitBody,
    KnowledgeClauseBody,
    PieceBody,
    QuestionGroupBody,
    QuestionsBody,
    ReleaseBody,
    ReleaseDiffBody,
    ReleasesBody,
    RowBody,
    RuleFindingBody,
    SearchBody,
    SearchRequest,
    SearchTimings,
    SideBody,
    StaleBody,
    UploadBody,
    UploadedFileBody,
    UploadFields,
    UploadsBody,
    VersionsBody,
)
from .multipart import BadForm, TooManyFiles, receive_form
from .problems import documented, problem

UPLOADS_PATH = "/v1/knowledge/uploads"

QUESTIONS_READ = 5000
"""Questions without an answer that are grouped at most, the newest of them."""

MOST_GROUPS = 100

router = APIRouter(prefix="/v1", tags=["knowledge"])
log = structlog.get_logger()


class Busy(Exception):
    """Another ingestion is under way; nothing was changed."""


# Documents


@router.get(
    "/knowledge/documents", response_model=DocumentsBody, responses=documented(401, 403, 500, 503)
)
async def list_documents(deps: FromDeps) -> DocumentsBody:
    """The documents of the live release, with what is stale and why."""
    products = {key: names[0] for key, names in deps.lender.products.items() if names}
    try:
        index = await deps.newest_index()
    except NoRelease:
        return DocumentsBody(release="", today=today(), products=products, documents=[])
    bodies = await _documents(deps, index)
    return DocumentsBody(
        release=index.release.id,
        today=today(),
        products=products,
        documents=list(bodies.values()),
    )


@router.get(
    "/knowledge/documents/{source:path}/versions",
    response_model=VersionsBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def list_versions(source: str, deps: FromDeps) -> VersionsBody:
    """All versions of one document, oldest first."""
    index = await deps.newest_index()
    bodies = await _documents(deps, index)
    if source not in bodies:
        raise HTTPException(404, "no such document")
    series = versions(shelve(index.clauses))[source]
    return VersionsBody(today=today(), versions=[bodies[one.source] for one in series])


@router.get(
    "/knowledge/documents/{source:path}/clauses",
    response_model=ClausesBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def list_clauses(
    source: str,
    deps: FromDeps,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    clause_id: Annotated[
        str, Query(description="Begin with the page that holds this clause.", max_length=512)
    ] = "",
) -> ClausesBody:
    """What a document was split into, in reading order."""
    index = await deps.newest_index()
    bodies = await _documents(deps, index)
    if source not in bodies:
        raise HTTPException(404, "no such document")
    parts = [clause for clause in index.clauses if clause.source == source]
    if clause_id:
        at = next((i for i, clause in enumerate(parts) if clause.id == clause_id), 0)
        offset = at - at % limit
    return ClausesBody(
        document=bodies[source],
        total=len(parts),
        offset=offset,
        clauses=[
            KnowledgeClauseBody(
                clause_id=clause.id,
                number=number,
                locator=clause.locator,
                title=clause.title,
                text=clause.text,
                page=clause.page,
                effective_from=clause.head.effective_from,
                effective_to=clause.head.effective_to,
                held=clause.held,
            )
            for number, clause in enumerate(parts[offset : offset + limit], start=offset + 1)
        ],
    )


async def _documents(deps: Deps, index: Index) -> dict[str, DocumentBody]:
    """The documents of a release by source."""
    async with deps.engine.connect() as connection:
        held = await store.held_documents(connection, index.release.id)
    shelf = shelve(index.clauses)
    series = versions(shelf)
    return {one.source: _document_body(one, series[one.source], held) for one in shelf}


def _document_body(
    document: Shelved, series: Sequence[Shelved], held: dict[str, store.Held]
) -> DocumentBody:
    head, day = document.head, today()
    known = held.get(document.source)
    stale = stale_since(document, series, day, known.since.date() if known else day)
    return DocumentBody(
        source=document.source,
        title=head.title,
        kind=head.kind,
        product=head.product,
        audience=head.audience,
        version=head.version,
        series=head.series,
        effective_from=head.effective_from,
        effective_to=head.effective_to,
        state=state_on(head, day),
        reviewed=head.reviewed,
        stale=StaleBody(reason=stale.reason, since=stale.since) if stale else None,
        issuer=head.issuer,
        document_no=head.document_no,
        jurisdiction=head.jurisdiction,
        digest=head.digest,
        clauses=document.clauses,
        pages=document.pages,
        versions=len(series),
        sha256=known.sha256 if known else "",
        ingested_at=known.since if known else None,
        warnings=list(known.warnings) if known else [],
    )


# Differences


@router.get(
    "/knowledge/diff",
    response_model=DiffBody,
    responses=documented(401, 403, 404, 422, 500, 503),
)
async def diff_documents(
    before: Annotated[str, Query(description="Source of the older version.", max_length=1024)],
    after: Annotated[str, Query(description="Source of the newer version.", max_length=1024)],
    deps: FromDeps,
    before_release: Annotated[
        str, Query(description="Release of the older one; empty: the live one.", max_length=32)
    ] = "",
    after_release: Annotated[str, Query(max_length=32)] = "",
) -> DiffBody:
    """Two versions side by side, clause by clause; texts are cut where they differ."""
    old = await _clauses_of(deps, before, before_release)
    new = await _clauses_of(deps, after, after_release)
    rows = await asyncio.to_thread(compare.documents, old, new)
    return DiffBody(
        before=_plain_body(old),
        after=_plain_body(new),
        head=_head_changes(compare.head_changes(old[0].head, new[0].head)),
        counts=_counts(rows),
        rows=[
            RowBody(
                change=row.change,
                before=_side(row.before, row.before_spans) if row.before else None,
                after=_side(row.after, row.after_spans) if row.after else None,
            )
            for row in rows
        ],
    )


async def _clauses_of(deps: Deps, source: str, release_id: str) -> list[Clause]:
    """The clauses of a document in a release; raises 404 for what is not there."""
    if not release_id:
        index = await deps.newest_index()
        parts = [clause for clause in index.clauses if clause.source == source]
    else:
        async with deps.engine.connect() as connection:
            sources = await store.release_sources(connection, release_id)
            keys = [sources[source]] if source in sources else []
            parts = await store.document_clauses(connection, keys)
    if not parts:
        raise HTTPException(404, "no such document")
    return parts


def _plain_body(parts: Sequence[Clause]) -> DocumentBody:
    document = shelve(parts)[0]
    return _document_body(document, [document], {})


def _side(clause: Clause, spans: compare.Spans) -> SideBody:
    pieces: list[PieceBody] = []
    at = 0
    for start, end in spans:
        pieces.append(PieceBody(text=clause.text[at:start], changed=False))
        pieces.append(PieceBody(text=clause.text[start:end], changed=True))
        at = end
    pieces.append(PieceBody(text=clause.text[at:], changed=False))
    return SideBody(
        clause_id=clause.id,
        locator=clause.locator,
        page=clause.page,
        pieces=[piece for piece in pieces if piece.text],
    )


def _counts(rows: Sequence[compare.ClauseChange]) -> dict[str, int]:
    """How many rows there are of each change."""
    counts: Counter[str] = Counter(row.change for row in rows)
    return dict(counts)


def _head_changes(changes: Sequence[compare.HeadChange]) -> list[HeadChangeBody]:
    return [HeadChangeBody(**asdict(change)) for change in changes]


# Releases


@router.get("/knowledge/releases", response_model=ReleasesBody, responses=documented(401, 403, 500))
async def list_releases(deps: FromDeps) -> ReleasesBody:
    """All releases, newest first."""
    embedder = await deps.embedder()
    async with deps.engine.connect() as connection:
        releases = await store.list_releases(connection)
        counts = await store.document_counts(connection)
    return ReleasesBody(
        releases=[
            ReleaseBody(
                id=release.id,
                created_at=release.created_at,
                active=release.active,
                documents=counts.get(release.id, 0),
                clauses=release.clauses,
                embeddings=release.embeddings,
                usable=release.embeddings == embedder.name,
            )
            for release in releases
        ]
    )


@router.get(
    "/knowledge/releases/diff",
    response_model=ReleaseDiffBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def diff_releases(
    before: Annotated[str, Query(max_length=32)],
    after: Annotated[str, Query(max_length=32)],
    deps: FromDeps,
) -> ReleaseDiffBody:
    """Which documents of two releases differ, and by how much."""
    async with deps.engine.connect() as connection:
        known = {release.id for release in await store.list_releases(connection)}
    if not {before, after} <= known:
        raise HTTPException(404, "no such release")
    change = await in_thread(deps.settings.database, lambda engine: diff(engine, before, after))
    return ReleaseDiffBody(
        before=before,
        after=after,
        added=list(change.added),
        removed=list(change.removed),
        changed=[
            ChangedDocumentBody(
                source=document.source,
                title=document.title,
                head=_head_changes(document.head),
                counts=_counts(document.clauses),
            )
            for document in change.changed
        ],
    )


@router.post(
    "/knowledge/releases/{release_id}/activate",
    response_model=ActivatedBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def activate_release(
    release_id: str, request: Request, deps: FromDeps
) -> ActivatedBody | JSONResponse:
    """Make a release live again: roll back, or forward."""
    embedder = await deps.embedder()
    await hold_end(deps.trail)
    try:
        await in_thread(
            deps.settings.database,
            lambda engine: activate(
                engine,
                deps.vector_store,
                embedder,
                release_id,
                lock_file=deps.settings.ingest_lock,
                progress=_unless_busy,
            ),
        )
    except Busy:
        return problem(409, "an ingestion is running; try again when it has ended", code="busy")
    except KeyError:
        raise HTTPException(404, "no such release") from None
    except OtherEmbedder as error:
        return problem(409, str(error), code="other_embedder")
    deps.forget_release()
    by = signed_in(request).staff_id
    await note_release(deps.trail, release_id, "activated", by=by)
    return ActivatedBody(release=release_id)


def _unless_busy(stage: str, done: int, total: int) -> None:
    if stage == "wait":
        raise Busy


# What a person should look at


@router.get(
    "/knowledge/findings", response_model=FindingsBody, responses=documented(401, 403, 500, 503)
)
async def list_findings(deps: FromDeps) -> FindingsBody:
    """Dates of the live release that were read from the text and that nobody has confirmed, and
    what rules hold against clauses, and clauses that say the same or contradict each other."""
    try:
        index = await deps.newest_index()
    except NoRelease:
        return FindingsBody(reviewed=False)
    bodies = await _documents(deps, index)
    async with deps.engine.connect() as connection:
        report = await store.release_report(connection, index.release.id)
    if report is None:
        return FindingsBody(reviewed=False)
    found: dict[str, list[FoundDateBody]] = {}
    for one in report.found_dates:
        if one.source in bodies and not one.confirmed:
            found.setdefault(one.source, []).append(
                FoundDateBody(
                    field=one.field,
                    value=one.value,
                    quote=one.quote,
                    locator=one.locator,
                    note=one.note,
                )
            )

    def side(one: Side) -> FindingSideBody:
        title = bodies[one.source].title if one.source in bodies else ""
        return FindingSideBody(title=title, **{**asdict(one), "figures": list(one.figures)})

    def pairs(found: Sequence[Finding]) -> list[FindingBody]:
        return [FindingBody(a=side(one.a), b=side(one.b), alike=one.alike) for one in found]

    return FindingsBody(
        reviewed=True,
        rules=_rule_findings(report.findings.rules, bodies),
        rule_count=report.findings.rule_count,
        dates=[
            DatesToConfirmBody(document=bodies[source], found=dates)
            for source, dates in sorted(found.items())
        ],
        contradictions=pairs(report.findings.contradictions),
        contradiction_count=report.findings.contradiction_count,
        duplicates=pairs(report.findings.duplicates),
        duplicate_count=report.findings.duplicate_count,
    )


def _rule_findings(
    found: Sequence[RuleFinding], bodies: Mapping[str, DocumentBody]
) -> list[RuleFindingBody]:
    """What nobody has confirmed, by clause."""
    clauses: dict[str, list[RuleFinding]] = {}
    for one in found:
        if not one.confirmed:
            clauses.setdefault(one.clause_id, []).append(one)
    return [
        RuleFindingBody(
            clause_id=clause_id,
            source=first.source,
            title=bodies[first.source].title if first.source in bodies else "",
            locator=first.locator,
            text=first.text,
            sha256=first.text_hash,
            held=any(one.severity == "block" for one in (first, *others)),
            confirmable=any(one.severity in CONFIRMED for one in (first, *others)),
            flaws=[
                FlawBody(
                    rule=one.rule,
                    title=one.title,
                    title_en=one.title_en,
                    severity=one.severity,
                    start=one.span[0],
                    end=one.span[1],
                )
                for one in (first, *others)
            ],
        )
        for clause_id, (first, *others) in clauses.items()
    ]


@router.post(
    "/knowledge/clearances",
    response_model=ActivatedBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def clear_clause(
    body: ClearanceRequest, request: Request, deps: FromDeps
) -> ActivatedBody | JSONResponse:
    """Record that a person lets a clause's text stand although rules speak against it; a new
    release is made, from which borrowers are answered with it."""
    change = partial(clear, by=signed_in(request).staff_id)
    return await _change_clearance(change, "cleared", body, request, deps)


@router.post(
    "/knowledge/clearances/withdrawals",
    response_model=ActivatedBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def withdraw_clearance(
    body: ClearanceRequest, request: Request, deps: FromDeps
) -> ActivatedBody | JSONResponse:
    """Take back that a person lets a clause's text stand; a new release is made, in which the rules
    hold it back again."""
    return await _change_clearance(withdraw, "withdrawn", body, request, deps)


async def _change_clearance(
    change: Callable[..., Coroutine[Any, Any, Cleared]],
    action: str,
    body: ClearanceRequest,
    request: Request,
    deps: Deps,
) -> ActivatedBody | JSONResponse:
    embedder = await deps.embedder()
    await deps.hold_live()
    try:
        done = await in_thread(
            deps.settings.database,
            lambda engine: change(
                engine,
                deps.vector_store,
                embedder,
                body.clause_id,
                lock_file=deps.settings.ingest_lock,
                rules=clause_rules(deps.rules, today(), deps.named_lender),
                seen=body.sha256,
                cleared=partial(clearances, keys=deps.keys),
                enter=partial(seal_clearance, keys=deps.keys, by=signed_in(request).staff_id),
                progress=_unless_busy,
            ),
        )
    except Busy:
        return problem(409, "an ingestion is running; try again when it has ended", code="busy")
    except TextChanged as error:
        return problem(409, str(error), code="changed_meanwhile")
    except NothingToClear as error:
        return problem(409, str(error), code="nothing_to_confirm")
    except (UnknownClause, NoRelease):
        raise HTTPException(404, "no such clause") from None
    deps.forget_release()
    await note_release(
        deps.trail,
        done.release,
        action,
        by=signed_in(request).staff_id,
        clause=done.clause_id,
        text=done.text_hash,
        rules=done.rules,
    )
    return ActivatedBody(release=done.release)


@router.post(
    "/knowledge/confirmations",
    response_model=ActivatedBody,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)
async def confirm_dates(
    body: ConfirmationRequest, request: Request, deps: FromDeps
) -> ActivatedBody | JSONResponse:
    """Record that a person looked at the dates of a document, and correct those that are given;
    where dates change, a new release is made and goes live."""
    bodies = await _documents(deps, await deps.newest_index())
    if body.source not in bodies:
        raise HTTPException(404, "no such document")
    if bodies[body.source].sha256 != body.sha256:
        return problem(409, "the document has changed meanwhile", code="changed_meanwhile")
    embedder = await deps.embedder()
    await deps.hold_live()
    by = signed_in(request).staff_id
    try:
        done = await in_thread(
            deps.settings.database,
            lambda engine: confirm(
                engine,
                deps.vector_store,
                embedder,
                body.source,
                lock_file=deps.settings.ingest_lock,
                by=by,
                cleared=partial(clearances, keys=deps.keys),
                enter=partial(seal_dates, keys=deps.keys),
                effective_from=body.effective_from,
                effective_to=body.effective_to,
                reviewed=body.reviewed,
                figures=stated,
                rules=clause_rules(deps.rules, today(), deps.named_lender),
                progress=_unless_busy,
            ),
        )
    except Busy:
        return problem(409, "an ingestion is running; try again when it has ended", code="busy")
    except WrongDates as error:
        return problem(422, str(error), code="bad_field")
    except UnknownDocument:
        raise HTTPException(404, "no such document") from None
    deps.forget_release()
    said = {
        name: str(answer)
        for name in ("effective_from", "effective_to", "reviewed")
        if (answer := getattr(body, name))
    }
    await note_release(deps.trail, done.release, "confirmed", by=by, source=done.source, said=said)
    return ActivatedBody(release=done.release)


# Uploads


@router.post(
    "/knowledge/uploads",
    status_code=202,
    response_model=UploadBody,
    responses=documented(400, 401, 403, 413, 422, 500, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["files"],
                        "properties": {
                            "files": {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                            },
                            **UploadFields.model_json_schema()["properties"],
                        },
                    }
                }
            },
        }
    },
)
async def upload_documents(request: Request, deps: FromDeps) -> UploadBody | JSONResponse:
    """Take files, which are then ingested one upload after the other; see the upload for how far.

    A file replaces the one of the same name. Files that cannot be taken are named with the reason.
    """
    settings = deps.settings
    upload_id = uploads.new_id()
    folder = uploads.incoming(settings, upload_id)
    declared = request.headers.get("content-length", "")
    most = (uploads.MAX_FILES + 1) * settings.upload_mb * 2**20
    if declared.isdigit() and int(declared) > most:
        return problem(413, "the upload is too large", code="too_large")
    try:
        form = await receive_form(
            request.stream(),
            request.headers.get("content-type", ""),
            folder,
            settings.upload_mb * 2**20,
        )
    except TooManyFiles:
        return problem(
            413, f"at most {uploads.MAX_FILES} files in one upload", code="too_many_files"
        )
    except (BadForm, ClientDisconnect):
        return problem(400, "the upload was cut off or is no form", code="cut_off")
    except OSError as error:
        log.error("an upload could not be kept", exc_info=error)
        return problem(503, "the server could not keep the upload", code="not_kept")
    try:
        options = UploadFields.model_validate(form.fields).as_options()
    except ValidationError as error:
        await uploads.discard(settings, upload_id)
        fields = [
            {"field": ".".join(map(str, e["loc"])), "problem": e["msg"]} for e in error.errors()
        ]
        return problem(422, "a field of the form is wrong", code="bad_field", fields=fields)
    if not form.files:
        await uploads.discard(settings, upload_id)
        return problem(422, "the form holds no file", code="no_file")
    upload = uploads.new_upload(signed_in(request).staff_id, form.files, options, upload_id)
    await uploads.add_upload(deps.engine, upload)
    if upload.state == "failed":
        await uploads.discard(settings, upload_id)
    request.app.state.uploads.wake.set()
    return _upload_body(upload, await uploads.waiting_uploads(deps.engine))


@router.get("/knowledge/uploads", response_model=UploadsBody, responses=documented(401, 403, 500))
async def list_uploads(deps: FromDeps) -> UploadsBody:
    """The last uploads, newest first, and what an upload may be."""
    waiting = await uploads.waiting_uploads(deps.engine)
    return UploadsBody(
        max_file_mb=deps.settings.upload_mb,
        max_files=uploads.MAX_FILES,
        formats=sorted(READERS),
        uploads=[_upload_body(one, waiting) for one in await uploads.list_uploads(deps.engine)],
    )


@router.get(
    "/knowledge/uploads/{upload_id}",
    response_model=UploadBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def read_upload(upload_id: str, deps: FromDeps) -> UploadBody:
    """How far an upload is, and what became of each file."""
    upload = await uploads.read_upload(deps.engine, upload_id)
    if upload is None:
        raise HTTPException(404, "no such upload")
    return _upload_body(upload, await uploads.waiting_uploads(deps.engine))


@router.post(
    "/knowledge/uploads/{upload_id}/cancel",
    response_model=UploadBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def cancel_upload(upload_id: str, deps: FromDeps) -> UploadBody:
    """End an upload before it changes anything; one that is over stays as it is."""
    if await uploads.read_upload(deps.engine, upload_id) is None:
        raise HTTPException(404, "no such upload")
    await uploads.cancel_upload(deps.engine, deps.settings, upload_id)
    return await read_upload(upload_id, deps)


def _upload_body(upload: uploads.Upload, waiting: Sequence[uploads.Upload]) -> UploadBody:
    ids = [one.id for one in waiting]
    return UploadBody(
        id=upload.id,
        created_at=upload.created_at,
        state=upload.state,
        ahead=ids.index(upload.id) if upload.id in ids else 0,
        stage=upload.stage,
        done=upload.done,
        total=upload.total,
        release=upload.release,
        error=upload.error,
        seconds=upload.seconds,
        files=[
            UploadedFileBody(
                name=file.name,
                size=file.size,
                result=file.result,
                reason=file.reason,
                warnings=list(file.warnings),
            )
            for file in upload.files
        ],
    )


# Questions, and a query tried


@router.get(
    "/knowledge/questions",
    response_model=QuestionsBody,
    responses=documented(401, 403, 422, 500),
)
async def unanswered_questions(
    deps: FromDeps,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
    offset: Annotated[
        int, Query(ge=0, le=QUESTIONS_READ, description="How many groups are passed over.")
    ] = 0,
    limit: Annotated[
        int, Query(ge=1, le=MOST_GROUPS, description="How many groups are listed at most.")
    ] = 50,
) -> QuestionsBody:
    """Questions of the last days that no clause answered, alike ones together."""
    since = datetime.now(UTC) - timedelta(days=days)
    asked = await journal.uncovered_questions(deps.engine, since, QUESTIONS_READ)
    groups = await asyncio.to_thread(group_questions, asked)
    return QuestionsBody(
        days=days,
        total=len(asked),
        grouped=len(groups),
        next=offset + limit if offset + limit < len(groups) else None,
        groups=[
            QuestionGroupBody(
                example=group.example,
                count=group.count,
                last_asked=group.last_asked,
                others=list(group.others),
            )
            for group in groups[offset : offset + limit]
        ],
    )


@router.post(
    "/search",
    response_model=SearchBody,
    tags=["search"],
    responses=documented(401, 403, 413, 422, 429, 500, 503),
)
async def search(body: SearchRequest, request: Request, deps: FromDeps) -> SearchBody:
    """Find the clauses in force that bear on a query, with why each was found."""
    if body.audience == "agent" and not await is_staff(request):
        raise HTTPException(401)
    return await find_clauses(body, deps)


async def find_clauses(body: SearchRequest, deps: Deps) -> SearchBody:
    """The clauses in force that bear on a query, whoever asks; agents' material where it says so.
    Raises knowledge.store.NoRelease, VectorsMissing, EmbeddingUnavailable."""
    index, embedder = await deps.index(), await deps.embedder()
    scope = Scope(
        on=body.as_of or today(),
        contract_date=body.contract_date,
        kinds=frozenset({body.kind}) if body.kind else frozenset(),
        audience=body.audience,
        product=body.product,
    )
    # What goes to an endpoint goes without personal data.
    query = privacy.mask(body.query).text if deps.reranker else body.query
    found = await asyncio.to_thread(retrieve, index, embedder, query, scope, body.k, deps.reranker)
    hits: list[HitBody] = []
    for item in found.evidence:
        place = journal.clause_as_json(item.clause)
        hits.append(
            HitBody(
                **{name: place[name] for name in HitBody.model_fields if name in place},
                text=item.clause.text,
                score=round(item.score, 4),
                dense=round(item.dense, 4),
                lexical=round(item.lexical, 4),
                why={name: round(part, 4) for name, part in item.why.items()},
                matched=list(item.matched),
                held=item.clause.held,
            )
        )
    return SearchBody(
        query=body.query,
        release=index.release.id,
        covered=covers(found) and scope.terms_known(index.clauses),
        hits=hits,
        timings=SearchTimings(
            embed_ms=round(found.embed_ms, 2),
            dense_ms=round(found.dense_ms, 2),
            lexical_ms=round(found.lexical_ms, 2),
            total_ms=round(found.total_ms, 2),
        ),
    )
