"""`zhunxin campaign`: what is offered, and runs over many customers."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .cli import path

if TYPE_CHECKING:
    from .bulk import Summary, Tally
    from .campaigns import Campaign
    from .deps import Deps

app = typer.Typer(rich_markup_mode=None)

LATE = timedelta(minutes=5)
"""How far back `--at` may be: a command takes a moment to be typed and to start."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Name = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id: `zhunxin campaign list`.")]


@app.command("list")
def list_campaigns(as_json: AsJson = False) -> None:
    """Campaigns with their days, and how many customers each has written to."""
    from . import contacts, drafts
    from .campaigns import running
    from .cli import _print_json, _with_deps
    from .models import today

    async def run(deps: Deps) -> None:
        rows = []
        for campaign in deps.campaigns().values():
            runs = await contacts.list_runs(deps.engine, campaign.id)
            _, approved = await drafts.list_drafts(
                deps.engine, campaign=campaign.id, states=drafts.STANDS, limit=1
            )
            rows.append(
                {
                    "id": campaign.id,
                    "title": campaign.title["zh-Hans"],
                    "starts_on": campaign.starts_on.isoformat(),
                    "ends_on": campaign.ends_on.isoformat(),
                    "running": bool(running([campaign], today())),
                    "coupons": [coupon.id for coupon in campaign.coupons],
                    "segments": [segment.id for segment in campaign.segments],
                    "channels": list(campaign.channels),
                    "approved": approved,
                    "runs": len(runs),
                    "messages": sum(run.counts.get("messages", 0) for run in runs),
                }
            )
        if as_json:
            _print_json({"campaigns": rows})
            return
        for row in rows:
            state = "running" if row["running"] else "not running"
            typer.echo(
                f"{row['id']}  {row['starts_on']} to {row['ends_on']} ({state})  {row['title']}: "
                f"{row['approved']} drafts approved, {row['messages']} messages in "
                f"{row['runs']} runs"
            )
        if not rows:
            typer.echo("there is no campaign: write one (docs/campaigns.md)")

    _with_deps(run)


@app.command("run")
def run(
    campaign: Name,
    customers: Annotated[Path, typer.Option(parser=path, metavar="FILE", help="CSV or Parquet.")],
    out: Annotated[
        Path, typer.Option(parser=path, metavar="FILE", help="What ends in .jsonl or .parquet.")
    ],
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Processes here, or tasks of a Ray cluster.")
    ] = "local",
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="When the messages will be sent, such as 2026-12-01T10:00; empty: as they are "
            "written. Hours, caps and dates are judged by it, and each message names it.",
        ),
    ] = "",
    workers: Annotated[int, typer.Option(help="Processes; 0: one a core.", min=0, max=256)] = 0,
    as_json: AsJson = False,
) -> None:
    """Write approved copy for each customer of a file who may be addressed.

    One message a customer and campaign, whatever is run again: the same command goes on where a run
    was stopped. What keeps somebody from getting one is counted by its reason.
    """
    from .addressing import AddressingError, bounds_of
    from .bulk import BadOutput, CannotRun, Standing, run_campaign
    from .cli import _fail, _print_json, _with_deps
    from .customer_files import BadFile
    from .offer import unproven_in

    async def work(deps: Deps) -> None:
        known = _campaign(deps, campaign)
        bounds = bounds_of(deps.rules)
        instant = _instant(at, bounds.zone)

        async def rests() -> Standing:
            now = (await asyncio.to_thread(deps.campaigns)).get(campaign)
            day = (instant or datetime.now(UTC)).astimezone(bounds.zone).date()
            return Standing(now, await unproven_in(deps, now, day) if now else frozenset())

        with _bar() as bar:
            summary = await run_campaign(
                deps.trail,
                known,
                customers,
                out,
                bounds=bounds,
                rules_version=deps.rules.version,
                lock_folder=deps.settings.home,
                engine=engine,
                at=instant,
                workers=workers,
                progress=bar,
                rests=rests,
            )
        if as_json:
            _print_json(summary.as_json())
        else:
            _tell(summary)

    try:
        _with_deps(work)
    except BadOutput as error:
        _fail(str(error), 2)
    except (BadFile, CannotRun, AddressingError) as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail(f"stopped; the same command goes on from where {out} is", 130)


@app.command("suppress")
def suppress(
    customer: Annotated[str, typer.Argument(help="Their id; nothing else of them is kept.")],
    channel: Annotated[str, typer.Option(help="sms, push ...; all: every one.")] = "all",
    reason: Annotated[str, typer.Option(help="In a word, such as complaint.")] = "request",
    lift: Annotated[bool, typer.Option("--lift", help="Write to them again.")] = False,
) -> None:
    """Have nobody write to a customer any more, by one channel or by any."""
    from . import contacts
    from .campaigns import CHANNELS
    from .cli import _fail, _with_deps
    from .identity import is_customer_id

    if not is_customer_id(customer):
        _fail("CUSTOMER: expected letters, digits and . _ : @ | -, at most 128", 2)
    if channel not in (contacts.ALL, *CHANNELS):
        _fail(f"--channel must be one of {', '.join((contacts.ALL, *CHANNELS))}", 2)
    if not contacts.is_reason(reason):
        _fail(f"--reason: expected {contacts.REASON}", 2)

    async def work(deps: Deps) -> None:
        if not lift:
            await contacts.suppress(deps.trail, customer, reason=reason, by="cli", channel=channel)
            typer.echo(f"nobody writes to this customer any more ({channel}: {reason})")
        elif await contacts.lift(deps.trail, customer, by="cli", channel=channel):
            typer.echo(f"this customer may be written to again ({channel})")
        else:
            _fail(f"this customer was on no list ({channel})", 1)

    _with_deps(work)


@app.command("customers")
def make_customers(
    out: Annotated[
        Path, typer.Option(parser=path, metavar="FILE", help="A CSV file that is not there yet.")
    ],
    count: Annotated[int, typer.Option(min=1, max=100_000_000)] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same customers.")] = 1,
) -> None:
    """Write made-up customers of every kind as CSV, to try a campaign on."""
    from .cli import _bar as bars
    from .cli import _fail, _guard
    from .demo_people import COLUMNS, people
    from .models import today

    def work() -> None:
        if out.suffix.lower() in (".parquet", ".pq"):
            _fail(f"{out}: what is written is CSV; name a file that ends in .csv", 2)
        try:
            file = out.open("x", encoding="utf-8", newline="")
        except FileExistsError:
            _fail(f"{out}: is there already; name another file", 2)
        with file, bars("customers") as bar:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for number, person in enumerate(people(count, seed, today()), start=1):
                writer.writerow(person)
                if number % 1000 == 0 or number == count:
                    bar(number, count)
        typer.echo(f"{count} made-up customers in {out}")

    _guard(work)


def _campaign(deps: Deps, name: str) -> Campaign:
    from .cli import _fail

    known = deps.campaigns()
    if name not in known:
        _fail(f"there is no campaign {name!r}; there are {', '.join(known) or 'none'}", 2)
    return known[name]


def _instant(text: str, zone: Any) -> datetime | None:
    from .cli import _fail

    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"--at: expected an instant such as 2026-12-01T10:00, not {text!r}", 2)
    at = at if at.tzinfo else at.replace(tzinfo=zone)
    if at < datetime.now(UTC) - LATE:
        # Hours and caps of a time that is over say nothing of now.
        _fail(f"--at: {text} is over; name a time to come, or none to send now", 2)
    return at


def _tell(summary: Summary) -> None:
    tally = summary.tally
    speed = tally.customers / summary.seconds if summary.seconds else 0
    went_on = ", gone on with" if summary.resumed else ""
    typer.echo(
        f"{summary.out}: {tally.messages} messages for {tally.customers} customers in "
        f"{summary.seconds:.1f} s ({speed:,.0f} customers/s{went_on})"
    )
    for channel, count in tally.by_channel.most_common():
        typer.echo(f"  {channel}: {count}")
    if tally.suppressed:
        typer.echo("not written to:")
        for reason, count in tally.suppressed.most_common():
            typer.echo(f"  {reason}: {count}")
    if tally.blocked:
        typer.echo(f"held back by the last check: {tally.blocked}")
    for row in tally.bad_rows[:10]:
        typer.echo(f"row {row['row']}: {row['why']}", err=True)
    if len(tally.bad_rows) > 10:
        typer.echo("more rows are named with --json", err=True)


@contextmanager
def _bar() -> Iterator[Callable[[int, int, Tally], None]]:
    """A bar on stderr with customers, messages, rate and time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("customers"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task("", total=None, said="")
        started = asyncio.get_running_loop().time()

        def progress(done: int, total: int, tally: Tally) -> None:
            seconds = asyncio.get_running_loop().time() - started
            speed = tally.customers / seconds if seconds > 0 else 0
            said = f"{tally.customers:,} · {tally.messages:,} messages · {speed:,.0f}/s"
            bars.update(task, completed=done, total=total, said=said)

        yield progress
