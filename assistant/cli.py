"""The command `zhunxin`. Everything heavy is imported by the command that uses it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import typer

from . import __version__

if TYPE_CHECKING:
    from knowledge.release import Progress

    from .config import Settings
    from .deps import Deps

app = typer.Typer(
    name="zhunxin",
    help="Zhunxin (准信): an assistant for consumer-finance lenders that says only what it can "
    "prove. Settings are ZHUNXIN_* variables or zhunxin.toml; state lives in ZHUNXIN_HOME "
    "(default ./.zhunxin).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # Frames around the help take longer to import than the rest of the command to start.
    rich_markup_mode=None,
)
release_app = typer.Typer(help="Knowledge releases: list them, make one live.")
eval_app = typer.Typer(help="Evaluation suites: list them, run them.")
audit_app = typer.Typer(help="The journal of replies.")
app.add_typer(release_app, name="release")
app.add_typer(eval_app, name="eval")
app.add_typer(audit_app, name="audit")

INTERRUPTED = 130
"""Exit code that typer gives a keyboard interrupt."""

Result = TypeVar("Result")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Day = Annotated[str, typer.Option(metavar="YYYY-MM-DD")]


def main() -> None:
    """Entry point: expected faults become one line on stderr, without a traceback."""
    try:
        app()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        typer.echo("zhunxin: interrupted; what was live before is live still", err=True)
        raise SystemExit(1) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"zhunxin {__version__}")
        raise typer.Exit


@app.command()
def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="The shipped sample lender.")] = False,
    jsonl: Annotated[
        Path | None, typer.Option(help="Ready-made clauses, one JSON object a line.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="regulation, product, policy, faq, campaign or script.")
    ] = "",
    effective_from: Day = "",
    effective_to: Day = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="PATH becomes the whole corpus.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read documents into a new knowledge release and make it live."""
    from knowledge.documents import Head
    from knowledge.release import build
    from knowledge.store import parse_kind

    if not (paths or sample or jsonl):
        _fail("name at least one PATH, or --sample, or --jsonl FILE", 2)
    known_kind, is_known = parse_kind(kind or "policy")
    if not is_known:
        typer.echo(f"warning: the kind {kind!r} is not known and is taken as policy", err=True)
    start, end = _day(effective_from), _day(effective_to)
    if start and end and end < start:
        _fail("--effective-to is before --effective-from", 2)
    given = [*(paths or []), *(_sample_paths() if sample else [])]

    async def run(deps: Deps) -> None:
        with _progress() as progress:
            report = await build(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                given,
                lock_file=deps.settings.home / "ingest.lock",
                defaults=Head(kind=known_kind, effective_from=start, effective_to=end),
                replace_all=replace,
                jsonl=jsonl,
                progress=progress,
            )
        for skipped in report.skipped:
            typer.echo(f"skipped {skipped.path}: {skipped.reason}", err=True)
        for warning in report.warnings:
            typer.echo(f"note {warning.path}: {warning.reason}", err=True)
        if as_json:
            _print_json(asdict(report))
            return
        typer.echo(
            f"release {report.release}: {report.documents} documents, {report.clauses} clauses "
            f"({report.added} added, {report.changed} changed, {report.removed} removed, "
            f"{report.unchanged} unchanged, {len(report.skipped)} skipped) "
            f"in {report.seconds:.1f} s"
        )

    _with_deps(run)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    queries: Annotated[
        Path | None, typer.Option(help='JSONL of {"id","text"}; prints JSONL.')
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100)] = 10,
    as_of: Day = "",
    contract_date: Day = "",
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    as_json: AsJson = False,
) -> None:
    """Find the clauses in force that bear on a query."""
    from knowledge.documents import KINDS
    from knowledge.retrieve import Scope, retrieve
    from knowledge.store import parse_kind

    if bool(query.strip()) == bool(queries):
        _fail("give a QUERY, or --queries FILE", 2)
    if kind and kind not in KINDS:
        _fail(f"--kind must be one of {', '.join(KINDS)}", 2)
    scope = Scope(
        on=_day(as_of) or _today(),
        contract_date=_day(contract_date),
        kinds=frozenset({parse_kind(kind)[0]}) if kind else frozenset(),
    )
    rows = _read_rows(queries) if queries else [{"id": "", "text": query}]

    async def run(deps: Deps) -> None:
        index, embedder = await deps.index(), await deps.embedder()
        for row in rows:
            found = await asyncio.to_thread(retrieve, index, embedder, row["text"], scope, k)
            hits = [_hit_json(item) for item in found.evidence]
            if queries:
                typer.echo(json.dumps({"id": row["id"], "hits": hits}, ensure_ascii=False))
            elif as_json:
                _print_json(
                    {
                        "query": query,
                        "release": index.release.id,
                        "hits": hits,
                        "timings": {
                            "embed_ms": round(found.embed_ms, 2),
                            "dense_ms": round(found.dense_ms, 2),
                            "lexical_ms": round(found.lexical_ms, 2),
                            "total_ms": round(found.total_ms, 2),
                        },
                    }
                )
            else:
                _show_hits(hits)

    _with_deps(run)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question.")] = "",
    questions: Annotated[
        Path | None, typer.Option(help='JSONL of {"id","text"}; prints JSONL.')
    ] = None,
    as_of: Day = "",
    contract_date: Day = "",
    locale: Annotated[str, typer.Option(help="zh-Hans, zh-Hant or en.")] = "zh-Hans",
    as_json: AsJson = False,
) -> None:
    """Ask as a borrower; the reply quotes the clauses it rests on."""
    from .answer import BadQuestion, answer_question, clean, collect
    from .journal import reply_as_json
    from .models import LOCALES, Event, Question

    chosen = next((known for known in LOCALES if known == locale), None)
    if chosen is None:
        _fail(f"--locale must be one of {', '.join(LOCALES)}", 2)
    if questions is None and not question:
        _fail("give a QUESTION, or --questions FILE", 2)
    rows = _read_rows(questions) if questions else [{"id": "", "text": question}]
    if questions is None:
        try:
            clean(question)
        except BadQuestion as error:
            _fail(_notice(error.code, locale, error.values), 2)
    day, signed = _day(as_of), _day(contract_date)

    async def run(deps: Deps) -> None:
        from rich.console import Console

        failed = 0
        errors = Console(stderr=True)
        for row in rows:
            asked = Question(
                text=row["text"],
                today=_today(),
                locale=chosen,
                as_of=day,
                contract_date=signed,
                channel="cli",
            )
            if deps.model_loading:
                errors.print("starting the language model ...", style="dim")
            try:
                reply = await collect(answer_question(asked, deps))
            except BadQuestion as error:
                failed += 1
                message = _notice(error.code, locale, error.values)
                _print_row({"id": row["id"], "error": message})
                continue
            if isinstance(reply, Event):
                failed += 1
                if not questions:
                    _fail(f"{reply.data['text']} (trace {reply.data['trace_id']})", 1)
                _print_row({"id": row["id"], "error": reply.data["text"]})
                continue
            answer = reply_as_json(reply)
            if questions:
                _print_row({"id": row["id"], **answer})
            elif as_json:
                _print_json(answer)
            else:
                _show_answer(answer)
        if failed:
            raise typer.Exit(1)

    _with_deps(run)


@app.command()
def mask(
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.")] = "-",
    jsonl: Annotated[
        Path | None, typer.Option(help='JSONL of {"id","text"}; prints JSONL.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace personal data (phone, ID and card numbers, e-mail) by placeholders."""
    from .privacy import mask as mask_text

    def as_row(text: str) -> dict[str, Any]:
        masked = mask_text(text)
        spans = [
            {"start": s.start, "end": s.end, "type": s.type, "text": s.text} for s in masked.spans
        ]
        return {"masked": masked.text, "spans": spans}

    if jsonl is not None:
        for row in _read_rows(jsonl):
            _print_row({"id": row["id"], **as_row(row["text"])})
        return
    result = as_row(_read_text(file))
    if as_json:
        _print_json(result)
    else:
        typer.echo(result["masked"], nl=False)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Loopback unless told otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Serve the widget, the HTTP API and the OpenAI-compatible API."""
    from .api.server import PortTaken, run_server
    from .logs import log_to_stderr

    log_to_stderr()
    try:
        _guard(lambda: run_server(_settings(), host, port))
    except PortTaken as error:
        _fail(str(error), 1)


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="Loopback unless told otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Ingest the sample lender if nothing is live yet, then serve it."""
    from knowledge.release import build
    from knowledge.store import active_release

    async def prepare(deps: Deps) -> None:
        if await active_release(deps.engine):
            return
        typer.echo("reading the sample lender ...", err=True)
        with _progress() as progress:
            await build(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                _sample_paths(),
                lock_file=deps.settings.home / "ingest.lock",
                progress=progress,
            )

    _with_deps(prepare)
    serve(host, port)


@release_app.command("list")
def release_list(as_json: AsJson = False) -> None:
    """All releases, newest first."""
    from knowledge.store import list_releases

    async def run(deps: Deps) -> None:
        async with deps.engine.connect() as connection:
            releases = await list_releases(connection)
        rows = [
            {
                "id": r.id,
                "created_at": r.created_at.isoformat(timespec="seconds"),
                "active": r.active,
                "clauses": r.clauses,
                "embeddings": r.embeddings,
            }
            for r in releases
        ]
        if as_json:
            _print_json(rows)
            return
        for row in rows:
            mark = "*" if row["active"] else " "
            typer.echo(f"{mark} {row['id']}  {row['created_at']}  {row['clauses']} clauses")
        if not rows:
            typer.echo("no release yet: run `zhunxin ingest PATH`", err=True)

    _with_deps(run)


@release_app.command("activate")
def release_activate(release_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Make a release live again, for example to roll back."""
    from knowledge.release import activate

    async def run(deps: Deps) -> None:
        with _progress() as progress:
            try:
                await activate(
                    deps.engine,
                    deps.vector_store,
                    await deps.embedder(),
                    release_id,
                    lock_file=deps.settings.home / "ingest.lock",
                    progress=progress,
                )
            except KeyError:
                _fail(f"no release {release_id!r}; `zhunxin release list` shows them", 2)
        typer.echo(f"release {release_id} is live")

    _with_deps(run)


@audit_app.command("show")
def audit_show(record_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One reply as it was recorded: question, evidence, versions, raw model output."""
    from .journal import read_record

    async def run(deps: Deps) -> None:
        record = await read_record(deps.engine, record_id)
        if record is None:
            _fail(f"no record {record_id!r}", 2)
        _print_json(record)

    _with_deps(run)


@eval_app.command("list")
def eval_list(as_json: AsJson = False) -> None:
    """The suites and how many cases each has."""
    from evals.suites import SUITES, BadCases

    try:
        counts = {name: len(suite.cases()) for name, suite in SUITES.items()}
    except BadCases as error:
        _fail(str(error), 1)
    if as_json:
        _print_json([{"name": name, "n": n} for name, n in counts.items()])
        return
    for name, n in counts.items():
        typer.echo(f"{name:<16} {n:>4} cases  {SUITES[name].about}")


@eval_app.command("run")
def eval_run(
    suites: Annotated[list[str] | None, typer.Argument(help="Suites; all by default.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="First n cases only.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for logs and results.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run evaluation suites through the real pipeline; exit 1 where a bar is missed."""
    from evals.run import BadCases, EvalUnavailable, UnknownSuite, run_suites

    settings = _settings()
    try:
        outcome = _guard(lambda: run_suites(suites or [], settings, limit=limit, folder=report))
    except (UnknownSuite, EvalUnavailable) as error:
        _fail(str(error), 2)
    except BadCases as error:
        _fail(str(error), 1)
    if as_json:
        _print_json(outcome.as_json())
    else:
        typer.echo(outcome.as_text())
    if not outcome.passed:
        raise typer.Exit(1)


def _with_deps(run: Callable[[Deps], Coroutine[Any, Any, None]]) -> None:
    """Run with everything the settings ask for; expected faults end the command with a line."""

    async def main_task() -> None:
        from .deps import open_deps
        from .logs import log_to_stderr

        log_to_stderr()
        async with open_deps(_settings()) as deps:
            await run(deps)

    _guard(lambda: asyncio.run(main_task()))


def _guard(work: Callable[[], Result]) -> Result:
    """Expected faults become a line on stderr: exit 2 for a wrong call, 1 for failed work."""
    from knowledge.embed import EmbeddingUnavailable
    from knowledge.lender import LenderFileError
    from knowledge.release import NothingReadable, OtherEmbedder
    from knowledge.store import NoRelease
    from knowledge.vectors import VectorsMissing

    from .config import ConfigError
    from .db import DatabaseUnavailable
    from .deps import ReleaseMismatch

    try:
        return work()
    except NothingReadable as error:
        for skipped in error.skipped:
            typer.echo(f"skipped {skipped.path}: {skipped.reason}", err=True)
        _fail(f"{error}; what was live before is live still", 1)
    except FileNotFoundError as error:
        _fail(f"no such file or folder: {error.filename or error.args[0]}", 2)
    except (ConfigError, LenderFileError) as error:
        _fail(str(error), 2)
    except (
        NoRelease,
        VectorsMissing,
        EmbeddingUnavailable,
        DatabaseUnavailable,
        OtherEmbedder,
        ReleaseMismatch,
    ) as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"zhunxin: {message}", err=True)
    raise typer.Exit(code)


def _settings() -> Settings:
    from .config import ConfigError, load_settings

    try:
        return load_settings()
    except ConfigError as error:
        _fail(str(error), 2)


def _today() -> date:
    return datetime.now(ZoneInfo("Asia/Shanghai")).date()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        _fail(f"{text!r} is not a date such as 2026-01-31", 2)


def _sample_paths() -> list[Path]:
    corpus = Path(__file__).parent.parent / "knowledge" / "corpus"
    return [corpus / "lender", corpus / "regulations"]


def _notice(code: str, locale: str, values: dict[str, str]) -> str:
    from prompts.render import notice

    return notice(code, locale, **values)


def _read_text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        _fail(f"{file}: {error.strerror}", 2)
    except UnicodeDecodeError:
        _fail(f"{file}: not UTF-8", 2)


def _read_rows(file: Path) -> list[dict[str, str]]:
    """Objects with `id` and `text` of a JSONL file; a wrong line ends the command, named."""
    rows: list[dict[str, str]] = []
    # Not splitlines(): JSON strings may hold line and paragraph separators as they are.
    for number, line in enumerate(_read_text(str(file)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or "id" not in row:
            _fail(f'{file}:{number}: expected one JSON object with "id" and "text"', 2)
        rows.append(row)
    return rows


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _print_row(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def _hit_json(item: Any) -> dict[str, Any]:
    from .journal import clause_as_json

    place = clause_as_json(item.clause)
    wanted = (
        "clause_id",
        "document",
        "source",
        "title",
        "locator",
        "effective_from",
        "effective_to",
    )
    return {
        **{name: place[name] for name in wanted},
        "text": item.clause.text,
        "score": round(item.score, 4),
    }


def _show_hits(hits: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    number = 0
    for number, hit in enumerate(hits, start=1):
        dates = f"{hit['effective_from'] or '…'} – {hit['effective_to'] or '…'}"
        console.print(Text(f"{number}. {hit['document']}  {hit['locator']}", style="bold"))
        console.print(Text(f"   {hit['score']:.3f}  {hit['source']}  {dates}", style="dim"))
        console.print(Text(f"   {hit['text']}"))
    if not number:
        typer.echo("no clause in force was found", err=True)


def _show_answer(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for sentence in answer["sentences"]:
        marks = "".join(f"[{i + 1}]" for i in sentence["citations"])
        style = "dim" if sentence["kind"] == "notice" else ""
        console.print(Text(f"{sentence['text']}{marks}", style=style))
    contact = answer["contact"]
    if contact and contact["hotline"]:
        console.print(Text(f"{contact['hotline']}  {contact['hours']}"))
    for number, citation in enumerate(answer["citations"], start=1):
        dates = f"{citation['effective_from'] or '…'} – {citation['effective_to'] or '…'}"
        console.print(
            Text(
                f"[{number}] {citation['document']}  {citation['locator']}  ({dates})", style="dim"
            )
        )
    console.print(
        Text(f"{answer['status']} · {answer['model'] or '-'} · {answer['release']}", style="dim")
    )
    if answer["withheld"]:
        console.print(Text(f"{len(answer['withheld'])} sentence(s) withheld", style="dim"))


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar a stage on stderr, with count, rate and time left; plain lines where there is no
    terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    labels = {"read": "reading documents", "embed": "embedding clauses", "write": "writing vectors"}
    console = Console(stderr=True)
    with Bars(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                if not total:
                    return
                tasks[stage] = bars.add_task(labels[stage], total=total, rate="")
                if not console.is_terminal:
                    typer.echo(f"{labels[stage]}: {total}", err=True)
            speed = bars.tasks[tasks[stage]].speed if tasks[stage] < len(bars.tasks) else None
            bars.update(
                tasks[stage], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else ""
            )

        yield progress
