"""`zhunxin score`: the quality of conversations of a file, or of our own, without a model."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast, get_args
from zoneinfo import ZoneInfo

import typer

from .models import Locale, today
from .quality import Book, QualityError, Score, Shelf, book_of, score, score_as_json
from .rules import Channel
from .transcripts import (
    SPEAKERS,
    BadFile,
    BadTranscript,
    Read,
    Speaker,
    Transcript,
    count_conversations,
    read_transcripts,
)

if TYPE_CHECKING:
    from .deps import Deps

ZONE = ZoneInfo("Asia/Shanghai")
KEPT_AT_ONCE = 200
NAMED = 20
"""Problems that are told one by one; all of them stand in the JSON."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was asked for."""

    file: Path | None
    conversations: bool = False
    out: Path | None = None
    as_json: bool = False
    keep: bool = False
    strict: bool = False
    topic: str = ""
    channel: Channel = "chat"
    on: date | None = None
    first: date | None = None
    last: date | None = None
    speakers: Sequence[str] = ()
    locale: Locale = "zh-Hans"


@dataclass(slots=True)
class _Tally:
    """What came of a run."""

    scored: int = 0
    passed: int = 0
    resumed: int = 0
    nobody_spoke: int = 0
    summed: float = 0.0
    bands: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    bad: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, found: Score) -> None:
        self.scored += 1
        if found.total is None:
            self.nobody_spoke += 1
            return
        self.passed += found.passed
        self.summed += found.total
        self.bands[found.band] += 1
        self.lost.update({point.code for point in found.points if not point.met})

    def as_json(self) -> dict[str, Any]:
        judged = self.scored - self.nobody_spoke
        return {
            "scored": self.scored,
            "passed": self.passed,
            "mean": round(self.summed / judged, 2) if judged else None,
            "bands": dict(self.bands),
            "lost": dict(self.lost.most_common()),
            "scored_before": self.resumed,
            "nobody_spoke": self.nobody_spoke,
            "left_out": self.bad,
            "seconds": round(self.seconds, 2),
        }


def run(wanted: Wanted) -> None:
    """Score, and end the command with its code: 0 scored, 1 nothing scored or, with `strict`,
    something left out, 2 a wrong call, 130 interrupted (the same command goes on)."""
    from .cli import _fail, _with_deps

    speakers = _speakers(wanted.speakers)
    if (wanted.file is None) != wanted.conversations:
        _fail("name a FILE, or --conversations", 2)
    try:
        _with_deps(lambda deps: _work(wanted, speakers, deps))
    except (BadFile, QualityError) as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on from there", 130)


def channel_of(name: str) -> Channel:
    """A channel by its name; ends the command where there is no such one."""
    from .cli import _fail

    known: Channel | None = next((c for c in get_args(Channel) if c == name), None)
    if known is None:
        _fail(f"--channel: expected one of {', '.join(get_args(Channel))}, not {name!r}", 2)
    return known


def _speakers(given: Sequence[str]) -> dict[str, Speaker]:
    from .cli import _fail

    known: dict[str, Speaker] = {}
    for one in given:
        label, _, meaning = one.partition("=")
        if not label or meaning not in SPEAKERS:
            _fail(f"--speaker: expected LABEL={'|'.join(SPEAKERS)}, not {one!r}", 2)
        known[label] = cast(Speaker, meaning)
    return known


async def _work(wanted: Wanted, speakers: Mapping[str, Speaker], deps: Deps) -> None:
    from . import quality_store
    from .cli import _print_json

    book = book_of(deps.settings.lender)
    shelf = await quality_store.open_shelf(deps.engine, book)
    if shelf is None:
        typer.echo("no release is live: figures are held to customers' facts alone", err=True)
    source: quality_store.Source = "own" if wanted.conversations else "import"
    before: list[Mapping[str, int]] = []
    if wanted.out:
        before.append(_scored_before(wanted.out, deps.rules.version, book.version))
    if wanted.keep:
        before.append(
            await quality_store.scored(deps.engine, source, deps.rules.version, book.version)
        )
    tally = _Tally()
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[Transcript, Score]] = []
    started = time.monotonic()
    with _written(wanted.out) as out, _bar(await _count(wanted, deps)) as bar:
        async for read in _reads(wanted, speakers, deps):
            if isinstance(read, BadTranscript):
                _tell(read, tally)
                bar(tally)
                continue
            if before and all(held.get(read.id) == len(read.turns) for held in before):
                tally.resumed += 1
                bar(tally)
                continue
            if read.problems:
                _tell(read, tally)
            found = _scored(read, wanted, deps, book, shelf)
            tally.count(found)
            if out is not None or wanted.as_json:
                row = score_as_json(found, book, deps.rules, wanted.locale)
                row["left_out"] = [asdict(problem) for problem in read.problems]
                if out is not None:
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                else:
                    rows.append(row)
            elif not wanted.keep:
                typer.echo(_line(found))
            if wanted.keep:
                waiting.append((read, found))
                if len(waiting) >= KEPT_AT_ONCE:
                    await quality_store.keep(deps.engine, waiting, source)
                    waiting.clear()
            bar(tally)
        if wanted.keep:
            await quality_store.keep(deps.engine, waiting, source)
    tally.seconds = time.monotonic() - started
    summary = tally.as_json()
    if wanted.as_json:
        _print_json({"summary": summary} if wanted.out else {"scores": rows, "summary": summary})
    else:
        _tell_summary(tally)
    if not tally.scored + tally.resumed or (wanted.strict and tally.bad):
        raise typer.Exit(1)


def _scored(
    transcript: Transcript, wanted: Wanted, deps: Deps, book: Book, shelf: Shelf | None
) -> Score:
    day = wanted.on or held_on(transcript) or today()
    if wanted.topic and not transcript.topic:
        transcript = Transcript(
            transcript.id,
            transcript.turns,
            transcript.started,
            transcript.facts,
            wanted.topic,
            transcript.problems,
        )
    knowledge = shelf.on(day) if shelf else None
    return score(transcript, deps.rules, book, knowledge, on=day, channel=wanted.channel)


def held_on(transcript: Transcript) -> date | None:
    """The lender's calendar day on which a conversation began."""
    at = transcript.started
    if at is None:
        return None
    return (at.astimezone(ZONE) if at.tzinfo else at).date()


async def _reads(
    wanted: Wanted, speakers: Mapping[str, Speaker], deps: Deps
) -> AsyncIterator[Read]:
    if wanted.file is not None:
        for read in read_transcripts(wanted.file, speakers):
            yield read
        return
    from . import quality_store

    for conversation_id in await _own_ids(wanted, deps):
        own = await quality_store.read_conversation(deps.engine, conversation_id)
        if own is not None:
            yield own


async def _own_ids(wanted: Wanted, deps: Deps) -> list[str]:
    from . import quality_store

    after_last = wanted.last and wanted.last + timedelta(days=1)
    return await quality_store.conversation_ids(
        deps.engine, _midnight(wanted.first), _midnight(after_last)
    )


def _midnight(day: date | None) -> datetime | None:
    if day is None:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)


async def _count(wanted: Wanted, deps: Deps) -> int:
    if wanted.file is not None:
        return count_conversations(wanted.file)
    return len(await _own_ids(wanted, deps))


def _scored_before(out: Path, rules_version: str, scoring_version: str) -> dict[str, int]:
    """Conversations of a file of scores that is gone on with -> turns they had then; a last line
    that was cut off goes."""
    from .cli import _fail

    if not out.exists():
        return {}
    known: dict[str, int] = {}
    whole = 0
    with out.open("rb+") as file:
        for line in file:
            try:
                row = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if row is None:
                break
            if not isinstance(row, dict) or "scoring_version" not in row:
                _fail(f"{out}: is no file of scores; name another", 2)
            if (row["rules_version"], row["scoring_version"]) != (rules_version, scoring_version):
                _fail(f"{out}: was made by other rules or weights; name another file", 2)
            known[row["conversation_id"]] = row["turns"]
            whole += len(line)
        file.truncate(whole)
    return known


@contextmanager
def _written(out: Path | None) -> Iterator[IO[str] | None]:
    if out is None:
        yield None
        return
    try:
        file = out.open("a", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadFile(f"{out}: cannot be written ({error.strerror})") from error
    with file:
        yield file


def _tell(read: Transcript | BadTranscript, tally: _Tally) -> None:
    """Name what was left out, the first of it on stderr."""
    for problem in read.problems:
        tally.bad.append({"conversation": read.id, **asdict(problem)})
        if len(tally.bad) <= NAMED:
            where = f"line {problem.line}" if problem.line else "file"
            detail = f" ({problem.detail})" if problem.detail else ""
            typer.echo(f"{where}: {read.id or '-'}: {problem.code}{detail}", err=True)
        elif len(tally.bad) == NAMED + 1:
            typer.echo("more is left out; --json names all of it", err=True)


def _line(found: Score) -> str:
    total = "-" if found.total is None else f"{found.total:.2f}"
    codes = dict.fromkeys(point.code for point in found.points if not point.met)
    return f"{found.transcript_id}  {total}  {found.band}  {', '.join(codes)}"


def _tell_summary(tally: _Tally) -> None:
    judged = tally.scored - tally.nobody_spoke
    speed = tally.scored / tally.seconds if tally.seconds else 0
    mean = f", mean {tally.summed / judged:.2f}" if judged else ""
    before = f", {tally.resumed} scored before" if tally.resumed else ""
    typer.echo(
        f"{tally.scored} conversations scored in {tally.seconds:.1f} s ({speed:,.0f}/s){before}: "
        f"{tally.passed} passed{mean}",
        err=True,
    )
    if tally.bad:
        typer.echo(f"left out: {len(tally.bad)}", err=True)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[_Tally], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("conversations"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task("", total=total, said="")

        def progress(tally: _Tally) -> None:
            done = tally.scored + tally.resumed + len(tally.bad)
            said = f"{tally.passed:,} passed" + (
                f", {len(tally.bad)} left out" if tally.bad else ""
            )
            bars.update(task, completed=min(done, total), said=said)

        yield progress


def forget(conversation_id: str) -> None:
    """Delete an imported conversation and all that was made of it."""
    from . import quality_store
    from .cli import _fail, _with_deps

    async def work(deps: Deps) -> None:
        if not await quality_store.forget(deps.trail, conversation_id, by="cli"):
            not_there()
        typer.echo(f"forgotten: {conversation_id}")

    def not_there() -> NoReturn:
        _fail(f"no imported conversation {conversation_id!r} is kept", 1)

    _with_deps(work)
