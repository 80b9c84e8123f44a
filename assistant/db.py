"""The database: tables of the assistant, engines, and migrations to the newest schema."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from anyio import CancelScope
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Result = TypeVar("Result")

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("locale", String(8), nullable=False),
    Column("subject", String(64), index=True),
)
records = Table(
    "records",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("conversation_id", String(32), ForeignKey("conversations.id"), nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("answered_at", DateTime(timezone=True)),
    Column("question", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("reply", JSON),
    Column("raw_output", JSON),
    Column("evidence", JSON),
    Column("timings", JSON),
    Column("release", String(32)),
    Column("prompt_version", Text),
    Column("rules_version", String(64)),
    Column("model", Text),
    Column("code_version", String(64), nullable=False),
    Column("texts", JSON),
    Column("played", JSON),
    Column("salt", String(64)),
    Column("erased_seq", Integer),
    Index("ix_records_conversation", "conversation_id", "asked_at"),
)
templates = Table(
    "templates",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("text", Text, nullable=False),
)
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_audit_entries_subject", "subject", "kind"),
)

staff = Table(
    "staff",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("login", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("demo", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("locked_until", DateTime(timezone=True)),
)
staff_sessions = Table(
    "staff_sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("staff_id", String(32), ForeignKey("staff.id"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("staff_id", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("files", JSON, nullable=False),
    Column("progress", JSON),
    Column("report", JSON),
)

samples = Table(
    "samples",
    metadata,
    Column("record_id", String(32), primary_key=True),
    Column("scorer", String(32), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("day", Date, nullable=False),
    Column("passed", Boolean),
    Column("scored_at", DateTime(timezone=True), nullable=False),
    Index("ix_samples_day", "day", "scorer"),
)

used_tokens = Table(
    "used_tokens",
    metadata,
    Column("id_hash", String(64), primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

handoffs = Table(
    "handoffs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("conversation_id", String(32), ForeignKey("conversations.id"), nullable=False),
    Column("locale", String(8), nullable=False),
    Column("classes", JSON, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("skill", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("taken_at", DateTime(timezone=True)),
    Column("taken_by", String(32)),
    Column("promised_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("ending", String(32)),
    Index("ix_handoffs_queue", "state", "priority", "asked_at"),
    # Of two requests of the same moment, one is the hand-over of the conversation.
    Index(
        "uq_handoffs_under_way",
        "conversation_id",
        unique=True,
        sqlite_where=text("state IN ('waiting', 'taken', 'ticket')"),
        postgresql_where=text("state IN ('waiting', 'taken', 'ticket')"),
    ),
)
handoff_events = Table(
    "handoff_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", String(32), nullable=False, unique=True),
    Column("handoff_id", String(32), ForeignKey("handoffs.id"), nullable=False),
    Column("conversation_id", String(32), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("speaker", String(16), nullable=False),
    Column("staff_id", String(32)),
    Column("state", String(16), nullable=False),
    Column("told", JSON, nullable=False),
    Column("text", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("salt", String(64)),
    Column("erased_seq", Integer),
    Index("ix_handoff_events_conversation", "conversation_id", "seq"),
    Index("ix_handoff_events_handoff", "handoff_id", "seq"),
)
feedback = Table(
    "feedback",
    metadata,
    Column("record_id", String(32), ForeignKey("records.id"), primary_key=True),
    Column("useful", Boolean, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("comment", Text, nullable=False),
    Column("day", Date, nullable=False, index=True),
    Column("given_at", DateTime(timezone=True), nullable=False),
)
case_drafts = Table(
    "case_drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("record_id", String(32), ForeignKey("records.id"), nullable=False, unique=True),
    Column("question", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("made_by", String(32), ForeignKey("staff.id"), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
)
case_labels = Table(
    "case_labels",
    metadata,
    Column("draft_id", String(32), ForeignKey("case_drafts.id"), primary_key=True),
    Column("staff_id", String(32), ForeignKey("staff.id"), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("first_status", String(16), nullable=False),
    Column("first_facts", JSON, nullable=False),
    Column("labelled_at", DateTime(timezone=True), nullable=False),
)
answer_drafts = Table(
    "answer_drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("record_id", String(32), ForeignKey("records.id"), index=True),
    Column("content", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("author", String(32), ForeignKey("staff.id"), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("signer", String(32), ForeignKey("staff.id")),
    Column("signed_text", Text),
    Column("decided_at", DateTime(timezone=True)),
)

offer_drafts = Table(
    "offer_drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("campaign", String(64), nullable=False),
    Column("segment", String(64), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("author", String(32), ForeignKey("staff.id"), nullable=False),
    Column("editor", String(32), ForeignKey("staff.id"), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("ix_offer_drafts_campaign", "campaign", "state"),
)
offer_versions = Table(
    "offer_versions",
    metadata,
    Column("draft_id", String(32), ForeignKey("offer_drafts.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
    Column("review", Text, nullable=False),
    Column("by", String(32), ForeignKey("staff.id"), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
offer_jobs = Table(
    "offer_jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("made_by", String(32), ForeignKey("staff.id"), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("wanted", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("made", JSON, nullable=False),
    Column("refused", JSON, nullable=False),
    Column("error", String(64), nullable=False),
    Index("ix_offer_jobs_state", "state", "made_at"),
)
campaign_runs = Table(
    "campaign_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("campaign", String(64), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("rows_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("by", String(64), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("ix_campaign_runs_campaign", "campaign", "started_at"),
)
# A customer is written to once in a campaign; who it is stands here as a keyed hash.
contacts = Table(
    "contacts",
    metadata,
    Column("campaign", String(64), primary_key=True),
    Column("customer", String(64), primary_key=True),
    Column("run_id", String(32), ForeignKey("campaign_runs.id"), nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("draft_id", String(32), nullable=False),
    Column("coupon", String(64), nullable=False),
    Column("at", String(32), nullable=False),
    Index("ix_contacts_run", "run_id", "chunk"),
    Index("ix_contacts_customer", "customer", "at"),
)
suppressions = Table(
    "suppressions",
    metadata,
    Column("customer", String(64), primary_key=True),
    Column("channel", String(16), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("by", String(64), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
saved_segments = Table(
    "saved_segments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("content", Text, nullable=False),
    Column("made_by", String(32), ForeignKey("staff.id"), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
)
campaign_results = Table(
    "campaign_results",
    metadata,
    Column("campaign", String(64), primary_key=True),
    Column("variant", String(64), primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("converted", BigInteger, nullable=False),
    Column("import_id", String(32), nullable=False),
    Column("by", String(32), ForeignKey("staff.id"), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
copilot_events = Table(
    "copilot_events",
    metadata,
    Column("id", String(32), primary_key=True),
    # A conversation of another desk has an id of that desk, and no row in `conversations`.
    Column("conversation_id", String(64), nullable=False),
    Column("handoff_id", String(32), ForeignKey("handoffs.id")),
    Column("suggestion_id", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("staff_id", String(32), ForeignKey("staff.id")),
    Column("told", JSON, nullable=False),
    Column("text", Text, nullable=False),
    Column("salt", String(64)),
    Column("erased_seq", Integer),
    Index("ix_copilot_events_conversation", "conversation_id", "at"),
)
promises = Table(
    "promises",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("conversation_id", String(64), nullable=False),
    Column("handoff_id", String(32)),
    Column("event_id", String(32), ForeignKey("copilot_events.id"), nullable=False),
    Column("by", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("due_on", Date),
    Column("amount_cny", String(24), nullable=False),
    Column("state", String(16), nullable=False),
    Column("staff_id", String(32), ForeignKey("staff.id")),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    Column("closed_by", String(32), ForeignKey("staff.id")),
    Index("ix_promises_conversation", "conversation_id"),
    Index("ix_promises_due", "state", "due_on"),
)
handoff_customers = Table(
    "handoff_customers",
    metadata,
    Column("conversation_id", String(32), ForeignKey("conversations.id"), primary_key=True),
    # A customer's id, readable with a key of the audit chain alone.
    Column("sealed", Text, nullable=False),
)
quality_scores = Table(
    "quality_scores",
    metadata,
    Column("id", String(32), primary_key=True),
    # own: a conversation of this database, whose words stay in its records; import: of a file.
    Column("source", String(8), nullable=False),
    Column("conversation_id", String(64), nullable=False),
    Column("held_on", Date, nullable=False),
    Column("scored_at", DateTime(timezone=True), nullable=False),
    Column("task", String(16), nullable=False),
    Column("topic", String(64), nullable=False),
    # Hundredths of a point, after appeals; null: nobody of the lender said anything.
    Column("total", Integer),
    Column("passed", Boolean, nullable=False),
    Column("band", String(16), nullable=False),
    Column("document", JSON, nullable=False),
    Column("turns", JSON),
    Column("rules_version", String(64), nullable=False),
    Column("scoring_version", String(64), nullable=False),
    Index("uq_quality_scores_conversation", "source", "conversation_id", unique=True),
    Index("ix_quality_scores_held", "held_on"),
)
quality_speakers = Table(
    "quality_speakers",
    metadata,
    Column("score_id", String(32), ForeignKey("quality_scores.id"), primary_key=True),
    Column("login", String(64), primary_key=True),
    Index("ix_quality_speakers_login", "login"),
)
quality_losses = Table(
    "quality_losses",
    metadata,
    Column("score_id", String(32), ForeignKey("quality_scores.id"), primary_key=True),
    # Of the point in the document of the score.
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("part", String(16), nullable=False),
    Column("code", String(64), nullable=False),
    Column("login", String(64), nullable=False),
    Column("lost", Integer, nullable=False),
    Column("waived", Boolean, nullable=False),
)
quality_reviews = Table(
    "quality_reviews",
    metadata,
    Column("score_id", String(32), ForeignKey("quality_scores.id"), primary_key=True),
    Column("stratum", String(16), nullable=False),
    Column("drawn_at", DateTime(timezone=True), nullable=False),
    Column("drawn_by", String(32), ForeignKey("staff.id")),
    Column("total", Integer),
    Column("verdicts", JSON),
    Column("note", Text, nullable=False),
    Column("reviewed_at", DateTime(timezone=True)),
    Column("reviewed_by", String(32), ForeignKey("staff.id")),
)
quality_appeals = Table(
    "quality_appeals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("score_id", String(32), ForeignKey("quality_scores.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("appealed_at", DateTime(timezone=True), nullable=False),
    Column("appealed_by", String(32), ForeignKey("staff.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("decided_at", DateTime(timezone=True)),
    Column("decided_by", String(32), ForeignKey("staff.id")),
    UniqueConstraint("score_id", "place", name="uq_quality_appeals_point"),
    Index("ix_quality_appeals_state", "state", "appealed_at"),
)

HEAD = "0010"
"""The newest migration; a test holds it to the migrations folder."""


class DatabaseUnavailable(Exception):
    """The database cannot be opened; the message says what to check, never the password."""


class BadDatabaseUrl(DatabaseUnavailable):
    """The setting names no database of a kind that is known."""


class _Engine(AsyncEngine):
    """Whose transactions come to their end whoever goes away meanwhile."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        # A browser that stops a stream has what answers it cancelled at each wait: also those of
        # the rollback, and the connection would hold the right to write for good.
        with CancelScope(shield=True):
            async with super().begin() as connection:
                yield connection


class _Connection(sqlite3.Connection):
    """Which gives up the right to write when it is closed: SQLite lets it keep that while a query
    has rows left to give, and one that was cancelled may have."""

    def close(self) -> None:
        with suppress(sqlite3.Error):  # also of one that is closed already
            self.rollback()
        super().close()


def open_engine(url: str) -> AsyncEngine:
    """An engine for a SQLite or PostgreSQL address. Raises BadDatabaseUrl, DatabaseUnavailable."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError("another kind of database")
        if parsed.drivername.startswith("postgresql") and "+" not in parsed.drivername:
            parsed = parsed.set(drivername="postgresql+asyncpg")
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite:
            if parsed.database in (None, "", ":memory:"):
                raise ValueError("a database in memory would be another one for each connection")
            Path(parsed.database).parent.mkdir(0o700, parents=True, exist_ok=True)
        created = create_async_engine(
            parsed,
            connect_args={"factory": _Connection} if sqlite else {},
            pool_pre_ping=not sqlite,
            hide_parameters=True,  # an error of the database would log the borrower's words
        )
    except ModuleNotFoundError as error:
        raise DatabaseUnavailable(
            f"ZHUNXIN_DATABASE_URL needs {error.name}: pip install 'zhunxin[scale]'"
        ) from error
    except Exception as error:
        wrong = DatabaseUnavailable if isinstance(error, OSError) else BadDatabaseUrl
        raise wrong(
            f"ZHUNXIN_DATABASE_URL cannot be used ({type(error).__name__}): expected "
            "sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME"
        ) from None
    engine = _Engine(created.sync_engine)
    if sqlite:
        event.listen(engine.sync_engine, "connect", _sqlite_pragmas)
    return engine


async def in_thread(url: str, work: Callable[[AsyncEngine], Coroutine[Any, Any, Result]]) -> Result:
    """Run work on the database in a thread, with a loop and an engine of its own: what it does
    between its waits then holds up nobody else. Cancelling it cancels the work, and waits for the
    end of that."""
    under_way: list[asyncio.Task[Result]] = []
    wanted = True

    async def run() -> Result:
        engine = open_engine(url)  # a connection belongs to one loop
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    async def watched() -> Result | None:
        task = asyncio.create_task(run())
        under_way.append(task)
        if not wanted:
            task.cancel()
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    ended = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(watched())))
    try:
        await asyncio.wait({ended})
    except asyncio.CancelledError:
        wanted = False
        for task in under_way:
            task.get_loop().call_soon_threadsafe(task.cancel)
        await asyncio.wait({ended})
        raise
    result: Any = ended.result()
    return cast("Result", result)


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema to the newest version; nothing but a look-up where it is. Raises
    DatabaseUnavailable."""
    try:
        if engine.dialect.name == "sqlite":
            await asyncio.to_thread(_probe_file, str(engine.url.database))
        if await _schema_version(engine) == HEAD:
            return
        await asyncio.to_thread(_upgrade, engine.url)
    except (DBAPIError, sqlite3.Error, OSError) as error:
        raise DatabaseUnavailable(
            f"the database {engine.url.render_as_string()} cannot be opened "
            f"({type(error).__name__}): check that it is reachable, writable and not another "
            "program's file"
        ) from error


def as_utc(instant: datetime) -> datetime:
    """SQLite gives instants back without their zone, which is always UTC here."""
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _probe_file(file: str) -> None:
    """Raises sqlite3.Error for a file that is no database. aiosqlite would say so too, but leaves a
    thread behind that fails once the event loop has ended."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


async def _schema_version(engine: AsyncEngine) -> str | None:
    async with engine.connect() as connection:
        try:
            version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        except (OperationalError, ProgrammingError):
            return None
    return None if version is None else str(version)


def _upgrade(url: URL) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from filelock import FileLock

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["url"] = url.render_as_string(hide_password=False)
    sqlite = url.get_backend_name() == "sqlite"
    try:
        with FileLock(f"{url.database}.migrating") if sqlite else nullcontext():
            command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseUnavailable(
            f"the database {url.render_as_string()} belongs to another version of zhunxin than "
            f"this one: {error}"
        ) from error


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "busy_timeout=10000",
        "foreign_keys=ON",
        "synchronous=NORMAL",
        "secure_delete=ON",  # what is erased is not left in the file
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
