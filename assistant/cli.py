"""The command `zhunxin`. Everything heavy is imported by the command that uses it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from . import __version__

if TYPE_CHECKING:
    from rich.text import Text

    from evals.calibration import Calibration
    from knowledge.compare import ClauseChange, ReleaseChange, Spans
    from knowledge.findings import Findings
    from knowledge.release import Progress
    from knowledge.store import Answer, DateToConfirm

    from .compliance import Review
    from .config import Settings
    from .deps import Deps
    from .likeness import Likeness
    from .models import Locale
    from .offer import Brief, Drafted, Refused
    from .rules import RulePack

MASK_MB = 16
MASK_JSONL_MB = 256
"""Largest text, and largest file of texts, that `mask` takes: a MB takes about a second."""

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
release_app = typer.Typer(
    help="Knowledge releases: list, show and compare them, confirm dates and clauses, make one "
    "live."
)
eval_app = typer.Typer(
    help="Evaluation suites: list and run them, report on a run, score recorded replies."
)
audit_app = typer.Typer(help="The journal of replies and its chain: check, replay, export, erase.")
rules_app = typer.Typer(help="Compliance rules: list, show and try them.")


def _lazily(module: str) -> type[TyperGroup]:
    """A group whose commands are those of the `app` of a module, loaded when they are asked for."""

    class Lazy(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(self._loaded().list_commands(ctx))

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return self._loaded().get_command(ctx, cmd_name)

        def _loaded(self) -> Any:
            return typer.main.get_command(import_module(module, __package__).app)

    return Lazy


calc_app = typer.Typer(
    cls=_lazily(".calc_cli"),
    help="Exact arithmetic of loans: instalments, annual rates, settlement, penalties, coupons.",
    no_args_is_help=True,
)
campaign_app = typer.Typer(
    cls=_lazily(".campaign_cli"),
    help="Campaigns: what is offered, and messages for the customers of a file.",
    no_args_is_help=True,
)
staff_app = typer.Typer(help="Staff accounts: who may sign in to the staff pages and API.")
app.add_typer(calc_app, name="calc")
app.add_typer(campaign_app, name="campaign")
app.add_typer(staff_app, name="staff")
app.add_typer(release_app, name="release")
app.add_typer(rules_app, name="rules")
app.add_typer(eval_app, name="eval")
app.add_typer(audit_app, name="audit")

INTERRUPTED = 130
"""Exit code that typer gives a keyboard interrupt."""

Result = TypeVar("Result")


def path(text: str) -> Path:
    """A file or folder as an argument names it. Nothing, as from a variable that is not set, would
    be the working directory."""
    if not text:
        raise typer.BadParameter("expected a path, got an empty text")
    return Path(text)


AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Day = Annotated[str, typer.Option(metavar="YYYY-MM-DD")]
DayOrOpen = Annotated[str, typer.Option(metavar="YYYY-MM-DD|open", help="`open`: there is none.")]
Pack = Annotated[
    str,
    typer.Option(help="Jurisdiction whose rules apply, or several: cn,us. Empty: ZHUNXIN_PACK."),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
ROLES_HELP = "agent, supervisor, marketer, compliance, admin or auditor; may be given repeatedly."


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
    paths: Annotated[
        list[Path] | None, typer.Argument(parser=path, help="Files and folders.")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="The shipped sample lender.")] = False,
    jsonl: Annotated[
        Path | None, typer.Option(parser=path, help="Ready-made clauses, one JSON object a line.")
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
    from knowledge.computed import SAMPLE
    from knowledge.documents import KINDS, Head, Kind
    from knowledge.release import build

    from .audit import clearances, confirmed_dates, note_release
    from .clause_review import clause_rules
    from .figures import stated
    from .models import today

    if not (paths or sample or jsonl):
        _fail("name at least one PATH, or --sample, or --jsonl FILE", 2)
    known_kind: Kind = next((known for known in KINDS if known == kind), "policy")
    if kind not in ("", known_kind):
        typer.echo(f"warning: the kind {kind!r} is not known and is taken as policy", err=True)
    start, end = _day(effective_from), _day(effective_to)
    if start and end and end < start:
        _fail("--effective-to is before --effective-from", 2)
    given = [*(paths or []), *(_sample_paths() if sample else [])]

    async def run(deps: Deps) -> None:
        await deps.hold_live()
        with _progress() as progress:
            report = await build(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                given,
                lock_file=deps.settings.ingest_lock,
                defaults=Head(kind=known_kind, effective_from=start, effective_to=end),
                replace_all=replace,
                jsonl=jsonl,
                figures=stated,
                rules=clause_rules(deps.rules, today(), deps.named_lender),
                computed=SAMPLE if sample else None,
                confirmed=partial(confirmed_dates, keys=deps.keys),
                cleared=partial(clearances, keys=deps.keys),
                progress=progress,
            )
        await note_release(deps.trail, report.release, "ingested", by="cli")
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
            f"{report.unchanged} unchanged, {len(report.skipped)} skipped, "
            f"{report.embedded} embedded) in {report.seconds:.1f} s"
        )
        _show_noticed(report.release, report.found_dates, report.duplicates, report.contradictions)
        if report.held:
            typer.echo(
                f"{report.held} clauses are held back from borrowers until somebody confirms them "
                f"(see `zhunxin release show {report.release}`, then `zhunxin release clear`)"
            )

    _with_deps(run)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    queries: Annotated[
        Path | None, typer.Option(parser=path, help='JSONL of {"id","text"}; prints JSONL.')
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100)] = 10,
    as_of: Day = "",
    contract_date: Day = "",
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    audience: Annotated[
        str, typer.Option(help="borrower, or agent for what is for agents only too.")
    ] = "borrower",
    as_json: AsJson = False,
) -> None:
    """Find the clauses in force that bear on a query."""
    from typing import get_args

    from knowledge.documents import KINDS, Audience
    from knowledge.retrieve import Scope, retrieve

    from . import privacy
    from .models import today

    if bool(query.strip()) == bool(queries):
        _fail("give a QUERY, or --queries FILE", 2)
    only = frozenset(known for known in KINDS if known == kind)
    if kind and not only:
        _fail(f"--kind must be one of {', '.join(KINDS)}", 2)
    reader: Audience | None = next((a for a in get_args(Audience) if a == audience), None)
    if reader is None:
        _fail(f"--audience must be one of {', '.join(get_args(Audience))}", 2)
    scope = Scope(
        on=_day(as_of) or today(),
        contract_date=_day(contract_date),
        kinds=only,
        audience=reader,
    )
    rows = _read_rows(queries) if queries else [{"id": "", "text": query}]

    async def run(deps: Deps) -> None:
        index, embedder = await deps.index(), await deps.embedder()
        for row in rows:
            text = privacy.mask(row["text"]).text if deps.reranker else row["text"]
            found = await asyncio.to_thread(
                retrieve, index, embedder, text, scope, k, deps.reranker
            )
            hits = [_hit_json(item) for item in found.evidence]
            if queries:
                _print_row({"id": row["id"], "hits": hits})
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
        Path | None, typer.Option(parser=path, help='JSONL of {"id","text"}; prints JSONL.')
    ] = None,
    as_of: Day = "",
    contract_date: Day = "",
    customer: Annotated[
        str,
        typer.Option(metavar="ID", help="Ask as this customer, as if a verified token named them."),
    ] = "",
    locale: Annotated[str, typer.Option(help="zh-Hans, zh-Hant or en.")] = "zh-Hans",
    as_json: AsJson = False,
) -> None:
    """Ask as a borrower; the reply quotes the clauses it rests on."""
    from prompts.render import notice

    from .answer import BadQuestion, answer_question, clean, collect
    from .identity import is_customer_id, subject_of
    from .journal import reply_as_json
    from .models import LOCALES, Event, Question, today

    chosen = next((known for known in LOCALES if known == locale), None)
    if chosen is None:
        _fail(f"--locale must be one of {', '.join(LOCALES)}", 2)
    if bool(question) == bool(questions):
        _fail("give a QUESTION, or --questions FILE", 2)
    rows = _read_rows(questions) if questions else [{"id": "", "text": question}]
    if questions is None:
        try:
            clean(question)
        except BadQuestion as error:
            _fail(_notice(error.code, locale, error.values), 2)
    day, signed = _day(as_of), _day(contract_date)
    if customer and not is_customer_id(customer):
        _fail("--customer: expected letters, digits and . _ : @ | -, at most 128", 2)

    async def run(deps: Deps) -> None:
        from rich.console import Console

        if customer and deps.customers and await deps.customers.profile(customer) is None:
            _fail("--customer: the lender has no such customer", 2)
        failed = 0
        errors = Console(stderr=True)
        for row in rows:
            asked = Question(
                text=row["text"],
                today=today(),
                locale=chosen,
                as_of=day,
                contract_date=signed,
                channel="cli",
                subject=subject_of(deps.keys, customer) if customer else "",
                customer_id=customer,
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
            answer = {**reply_as_json(reply), "label": notice("ai_label", chosen)}
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
def offer(
    customer: Annotated[str, typer.Option(metavar="ID", help="Whom it is for.")],
    campaign: Annotated[str, typer.Option(metavar="ID", help="See `zhunxin campaign list`.")],
    channel: Annotated[str, typer.Option(help="sms, push, in_app, wechat, email, call_script.")],
    variants: Annotated[int, typer.Option(min=1, max=4)] = 3,
    at: Annotated[str, typer.Option(metavar="TIME", help="When it goes out; else now.")] = "",
    locale: Annotated[str, typer.Option(help="zh-Hans, zh-Hant or en.")] = "zh-Hans",
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="A call is spoken by a machine.")
    ] = False,
    by: Annotated[
        str,
        typer.Option(
            metavar="STAFF", help="Keep the drafts, written by this account, to be submitted."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Draft a personal offer, if this customer may be addressed so."""
    from datetime import datetime

    from .campaigns import CHANNELS
    from .customers import Record
    from .identity import is_customer_id
    from .models import LOCALES
    from .staff import find_account

    way = next((known for known in CHANNELS if known == channel), None)
    if way is None:
        _fail(f"--channel must be one of {', '.join(CHANNELS)}", 2)
    tongue = next((known for known in LOCALES if known == locale), None)
    if tongue is None:
        _fail(f"--locale must be one of {', '.join(LOCALES)}", 2)
    if not is_customer_id(customer):
        _fail("--customer: expected letters, digits and . _ : @ | -, at most 128", 2)
    try:
        when = datetime.fromisoformat(at) if at else None
    except ValueError:
        _fail(f"--at: expected an instant such as 2026-12-01T10:00, not {at!r}", 2)

    async def run(deps: Deps) -> None:
        from .addressing import bounds_of
        from .offer import Brief, NothingToOffer, draft_offers
        from .offer_jobs import people_in

        author = ""
        if by:
            with _told_why():
                account = await find_account(deps.engine, by)
            if account.disabled or not {"marketer", "admin"} & set(account.roles):
                _fail(f"--by: {by!r} is no account that may draft offers", 2)
            author = account.id
        known = deps.campaigns()
        if campaign not in known:
            _fail(
                f"--campaign: there is no {campaign!r}; there are {', '.join(known) or 'none'}", 2
            )
        zone = bounds_of(deps.rules).zone
        instant = datetime.now(zone) if when is None else when
        instant = instant if instant.tzinfo else instant.replace(tzinfo=zone)
        source = deps.customers
        profile = await source.profile(customer) if source else None
        if source is None:
            _fail("there are no customers: set ZHUNXIN_CUSTOMERS_URL", 2)
        if profile is None:
            _fail("--customer: the lender has no such customer", 2)
        record = Record(
            profile,
            loans=await source.loans(customer),
            coupons=await source.coupons(customer),
            consents=await source.consents(customer),
        )
        (who,), contacted = await people_in(deps, [record], campaign, instant.astimezone(zone))
        if deps.model_loading:
            typer.echo("starting the language model ...", err=True)
        brief = Brief(
            known[campaign],
            (way,),
            instant,
            customer=who,
            variants=variants,
            locale=tongue,
            synthetic=synthetic,
            contacted=contacted,
        )
        try:
            made = await draft_offers(brief, deps)
        except NothingToOffer as error:
            _fail(str(error), 2)
        await _give_offer(deps, brief, made, author, as_json)

    _with_deps(run)


async def _give_offer(
    deps: Deps, brief: Brief, made: Drafted | Refused, author: str, as_json: bool
) -> None:
    """Print the drafts, or why there are none; keep them for an author, where one is named.

    A draft that is not kept is known by the beginning of its content's hash.
    """
    from . import drafts
    from .addressing import reasons
    from .offer import Refused, copy_as_json, refused_as_json
    from .offer_jobs import check_of, content_of, redraft

    if isinstance(made, Refused):
        if as_json:
            _print_json(refused_as_json(made))
        for refusal in () if as_json else made.refusals:
            typer.echo(f"{refusal.reason}: {reasons()[refusal.reason].title[brief.locale]}")
        return
    rows = []
    for copy in made.copies:
        content = content_of(copy, brief.campaign, deps.rules.version)
        draft_id = content.sha256[:16]
        if author:
            check = check_of(copy, made.best, made.attributes if copy.personalised else ())
            # What is kept shows a made-up customer: a name there would outlive its customer.
            content, check = await redraft(deps, content, check, copy.template, copy.subject)
            check = replace(check, made_by=copy.made_by, prompt_version=copy.prompt_version)
            draft_id = (await drafts.create(deps.trail, content, check, by=author)).id
        rows.append({"draft_id": draft_id, **copy_as_json(copy)})
    if as_json:
        refused = {
            channel: [refusal.reason for refusal in found]
            for channel, found in made.refused.items()
        }
        saving = f"{made.best.saving_cny:.2f}" if made.best else None
        _print_json(
            {
                "status": "drafted",
                "saving_cny": saving,
                "attributes": list(made.attributes),
                "refused": refused,
                "drafts": rows,
            }
        )
        return
    for row in rows:
        whose = "" if row["personalised"] else ", not personalised"
        typer.echo(f"{row['draft_id']} {row['idea']} ({row['made_by']}{whose}): {row['verdict']}")
        for line in (row["subject"], row["text"]):
            if line:
                typer.echo(f"  {line}")
        for finding in row["findings"]:
            typer.echo(f"  ! {finding['rule']} {finding['title']}")


@app.command()
def mask(
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.")] = "-",
    jsonl: Annotated[
        Path | None, typer.Option(parser=path, help='JSONL of {"id","text"}; prints JSONL.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace personal data by placeholders such as <PHONE_1>: numbers of phones, IDs, bank cards,
    passports, travel permits, plates and companies, e-mail, WeChat ids, names, addresses, one-time
    codes and passwords. The same value has the same placeholder. Ends with 2 where the text is not
    UTF-8, or larger than 16 MB (a JSONL file: 256 MB)."""
    from .privacy import mask as mask_text

    def as_row(text: str) -> dict[str, Any]:
        masked = mask_text(text)
        spans = [
            {"start": s.start, "end": s.end, "type": s.type, "text": s.text} for s in masked.spans
        ]
        return {"masked": masked.text, "spans": spans}

    if jsonl is not None:
        for row in _read_rows(jsonl, MASK_JSONL_MB):
            _print_row({"id": row["id"], **as_row(row["text"])})
        return
    result = as_row(_read_text(file, MASK_MB))
    if as_json:
        _print_json(result)
    else:
        typer.echo(result["masked"], nl=False)


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.")] = "-",
    task: Annotated[str, typer.Option(help="chat, marketing, agent or collections.")] = "",
    channel: Annotated[
        str,
        typer.Option(
            help="sms, push, in_app, wechat, email, call_script, chat, phone or poster; empty: any."
        ),
    ] = "",
    context: Annotated[
        Path | None,
        typer.Option(parser=path, help="JSON file with what is known about the message."),
    ] = None,
    on: Day = "",
    pack: Pack = "",
    jsonl: Annotated[
        Path | None,
        typer.Option(
            parser=path, help='JSONL of {"id","text","task","channel"?,"context"?}; prints JSONL.'
        ),
    ] = None,
    semantic: Annotated[
        bool,
        typer.Option(
            "--semantic", help="Also warn of sentences that resemble bad examples in meaning."
        ),
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Put in what a message of its task must carry there, and check the whole.",
        ),
    ] = False,
    locale: Annotated[
        str,
        typer.Option(
            help="Language of titles, suggestions and what --complete puts in: zh-Hans, zh-Hant "
            "or en."
        ),
    ] = "zh-Hans",
    as_json: AsJson = False,
) -> None:
    """Check a text by the compliance rules; exit 1 where it must not go out as it is."""
    from .compliance import STOPS, review_as_json
    from .models import LOCALES

    chosen = next((known for known in LOCALES if known == locale), None)
    if chosen is None:
        _fail(f"--locale must be one of {', '.join(LOCALES)}", 2)
    if complete and (jsonl or semantic):
        _fail("--complete is for one text, without --jsonl or --semantic", 2)
    rules = _rule_pack(pack)
    likeness = _likeness(rules) if semantic else None
    day = _day(on)
    if jsonl is not None:
        rows = _read_rows(jsonl)
        stopped = False
        for number, row in enumerate(rows, start=1):
            found = _review(rules, likeness, row, day, f"{jsonl}: row {number}")
            stopped = stopped or found.verdict in STOPS
            _print_row({"id": row["id"], **review_as_json(found)})
        if stopped:
            raise typer.Exit(1)
        return
    row = {"text": _read_text(file), "task": task, "channel": channel or None}
    if context is not None:
        try:
            row["context"] = json.loads(_read_text(str(context)))
        except (ValueError, RecursionError):
            _fail(f"{context}: not JSON", 2)
    if complete:
        _complete(rules, row, day, str(context or "--task, --channel"), chosen, as_json)
        return
    found = _review(rules, likeness, row, day, str(context or "--task, --channel"))
    if as_json:
        _print_json(review_as_json(found))
    else:
        _show_review(found, chosen)
    if found.verdict in STOPS:
        raise typer.Exit(1)


@rules_app.command("list")
def rules_list(pack: Pack = "", as_json: AsJson = False) -> None:
    """The rules of a pack."""
    from .compliance import rule_as_json

    rules = _rule_pack(pack)
    if as_json:
        _print_json([rule_as_json(rule) for rule in rules.rules])
        return
    for rule in rules.rules:
        source = rule_as_json(rule)["source"]
        article = source["article"] or ("" if source["verified"] else "unverified")
        tasks = " ".join(task for task in rule_as_json(rule)["tasks"])
        days = (("from", rule.effective_from), ("to", rule.effective_to))
        dates = "".join(f"  {word} {day}" for word, day in days if day)
        typer.echo(
            f"{rule.id:<12} {rule.severity:<5} {rule.title_zh}  "
            f"[{tasks}]{dates}  {source['regulation']} {article}".rstrip()
        )


@rules_app.command("show")
def rules_show(
    rule_id: Annotated[str, typer.Argument(metavar="ID")],
    pack: Pack = "",
    as_json: AsJson = False,
) -> None:
    """One rule: scope, sources, suggestion, examples."""
    from .compliance import rule_as_json

    rule = _rule_pack(pack).by_id.get(rule_id)
    if rule is None:
        _fail(f"no rule {rule_id!r}; `zhunxin rules list` lists them", 2)
    row = rule_as_json(rule, full=True)
    if as_json:
        _print_json(row)
        return
    examples = row.pop("examples")
    del row["bad"], row["good"]
    for name, value in row.items():
        if isinstance(value, list):
            for item in value:
                shown = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
                typer.echo(f"{name}: {shown}")
        elif value:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            typer.echo(f"{name}: {shown}")
    for example in examples:
        context = json.dumps(example["context"], ensure_ascii=False) if example["context"] else None
        said = (example["task"], example["channel"], example["on"], context)
        typer.echo(f"{example['kind']}: {example['text']}  [{' '.join(filter(None, said))}]")


@rules_app.command("test")
def rules_test(pack: Pack = "", as_json: AsJson = False) -> None:
    """Try every rule on its own examples; exit 1 where one does not do what it should."""
    from .compliance import try_examples
    from .elements import check_own, load_channels
    from .rules import passed_by

    rules = _rule_pack(pack)
    _guard(lambda: check_own(_settings().rules, load_channels(_settings().rules)))
    others = passed_by(rules, _settings().rules)
    for name, why in others.items():
        typer.echo(f"not read: {name}: {why}", err=True)
    failures = try_examples(rules)
    tried = sum(len(rule.bad) + len(rule.good) for rule in rules.rules)
    if as_json:
        _print_json(
            {
                "rules": len(rules.rules),
                "examples": tried,
                "files": list(rules.files),
                "not_read": list(others),
                "failures": [
                    {
                        "file": failure.rule.file,
                        "rule": failure.rule.id,
                        "example": f"{failure.kind}[{failure.place}]",
                        "text": failure.example.text,
                        "detail": failure.detail,
                    }
                    for failure in failures
                ],
                "passed": not failures,
                "rules_version": rules.version,
            }
        )
    else:
        for failure in failures:
            typer.echo(
                f"{failure.rule.file}: rule {failure.rule.id}: {failure.kind}[{failure.place}] "
                f"{failure.detail}: {failure.example.text}"
            )
        typer.echo(f"read: {', '.join(rules.files)}")
        typer.echo(
            f"{len(rules.rules)} rules, {tried} examples, {len(failures)} failures, "
            f"rules {rules.version}"
        )
    if failures:
        raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Loopback unless told otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo", help="With demo customers and accounts for staff; on loopback only."
        ),
    ] = False,
) -> None:
    """Serve the widget, the staff pages, the HTTP API and the OpenAI-compatible API."""
    from .api.server import BadHost, NotOnLoopback, PortTaken, run_server
    from .logs import log_to_stderr

    log_to_stderr()
    try:
        _guard(lambda: run_server(_settings(), host, port, demo=demo))
    except PortTaken as error:
        _fail(str(error), 1)
    except (BadHost, NotOnLoopback) as error:
        _fail(str(error), 2)


@app.command()
def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP, with staff tokens, instead of stdio.")
    ] = False,
    host: Annotated[str, typer.Option(help="Of --http: loopback unless told.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --http.")] = 8010,
) -> None:
    """Serve search, check, calculate, suggest and summarise as tools over MCP."""
    from .logs import log_to_stderr

    log_to_stderr()
    try:
        from .mcp_server import serve_stdio
    except ModuleNotFoundError as error:
        if error.name not in ("mcp", "mcp_types"):
            raise
        _fail("`zhunxin mcp` needs the extra 'mcp': pip install 'zhunxin[mcp]'", 2)
    if not http:
        _guard(lambda: asyncio.run(serve_stdio(_settings())))
        return
    from .api.server import BadHost, PortTaken, run_mcp_server

    try:
        _guard(lambda: run_mcp_server(_settings(), host, port))
    except PortTaken as error:
        _fail(str(error), 1)
    except BadHost as error:
        _fail(str(error), 2)


@app.command("demo")
def demo_command(
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Ingest the sample lender if nothing is live yet, then serve it with demo customers and
    accounts."""
    from knowledge.computed import SAMPLE
    from knowledge.release import build
    from knowledge.store import active_release

    from .api.server import NotOnLoopback, hold_to_loopback
    from .audit import clearances, confirmed_dates, note_release
    from .clause_review import clause_rules
    from .figures import stated
    from .models import today

    try:
        hold_to_loopback(host)
    except NotOnLoopback as error:
        _fail(str(error), 2)

    async def prepare(deps: Deps) -> None:
        if await active_release(deps.engine):
            return
        await deps.hold_live()
        typer.echo("reading the sample lender ...", err=True)
        with _progress() as progress:
            report = await build(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                _sample_paths(),
                lock_file=deps.settings.ingest_lock,
                figures=stated,
                rules=clause_rules(deps.rules, today(), deps.named_lender),
                computed=SAMPLE,
                confirmed=partial(confirmed_dates, keys=deps.keys),
                cleared=partial(clearances, keys=deps.keys),
                progress=progress,
            )
        await note_release(deps.trail, report.release, "ingested", by="cli")

    _with_deps(prepare)
    serve(host, port, demo=True)


@staff_app.command("add")
def staff_add(
    login: Annotated[str, typer.Argument(metavar="LOGIN")],
    role: Annotated[list[str], typer.Option(help=ROLES_HELP)],
    name: Annotated[
        str, typer.Option(help="As colleagues are shown it; the login by default.")
    ] = "",
    password_stdin: PasswordStdin = False,
) -> None:
    """Make an account; the password is asked for twice."""
    from . import staff

    async def run(deps: Deps) -> None:
        password = _new_password(password_stdin)
        with _told_why():
            account = await staff.create_account(
                deps.trail, login, name or login, _roles(role), password, by="cli"
            )
        typer.echo(f"account {account.login}: {', '.join(account.roles)}")

    _with_deps(run)


@staff_app.command("list")
def staff_list(as_json: AsJson = False) -> None:
    """All accounts."""
    from . import staff

    async def run(deps: Deps) -> None:
        accounts = await staff.list_accounts(deps.engine)
        if as_json:
            _print_json([asdict(account) for account in accounts])
            return
        for account in accounts:
            marks = [mark for mark in ("disabled", "demo") if getattr(account, mark)]
            said = f"  ({', '.join(marks)})" if marks else ""
            typer.echo(f"{account.login:<24} {account.name}  {', '.join(account.roles)}{said}")
        if not accounts:
            typer.echo("no account yet: run `zhunxin staff add LOGIN --role ROLE`", err=True)

    _with_deps(run)


@staff_app.command("disable")
def staff_disable(
    login: Annotated[str, typer.Argument(metavar="LOGIN")],
    undo: Annotated[bool, typer.Option("--undo", help="Open the account again.")] = False,
) -> None:
    """Close an account; whoever is signed in with it is signed out."""
    from . import staff

    async def run(deps: Deps) -> None:
        with _told_why():
            account = await staff.find_account(deps.engine, login)
            await staff.set_disabled(deps.trail, account.id, not undo, by="cli")
        typer.echo(f"account {account.login} is {'open' if undo else 'disabled'}")

    _with_deps(run)


@staff_app.command("roles")
def staff_roles(
    login: Annotated[str, typer.Argument(metavar="LOGIN")],
    role: Annotated[list[str], typer.Option(help=ROLES_HELP)],
) -> None:
    """Give an account these roles and no others; it has to sign in again."""
    from . import staff

    async def run(deps: Deps) -> None:
        with _told_why():
            account = await staff.find_account(deps.engine, login)
            await staff.set_roles(deps.trail, account.id, _roles(role), by="cli")
            account = await staff.find_account(deps.engine, login)
        typer.echo(f"account {account.login}: {', '.join(account.roles)}")

    _with_deps(run)


@staff_app.command("password")
def staff_password(
    login: Annotated[str, typer.Argument(metavar="LOGIN")], password_stdin: PasswordStdin = False
) -> None:
    """Give an account a new password; it has to sign in again, and a pause after failures ends."""
    from . import staff

    async def run(deps: Deps) -> None:
        with _told_why():
            account = await staff.find_account(deps.engine, login)
            password = _new_password(password_stdin)
            await staff.reset_password(deps.trail, account.id, password, by="cli")
        typer.echo(f"account {account.login} has a new password")

    _with_deps(run)


ReleaseName = Annotated[
    str, typer.Argument(help="An id, the beginning of one, `live` or `previous`.")
]


@release_app.command("list")
def release_list(as_json: AsJson = False) -> None:
    """All releases, newest first."""
    from knowledge.store import document_counts, list_releases

    async def run(deps: Deps) -> None:
        async with deps.engine.connect() as connection:
            releases = await list_releases(connection)
            documents = await document_counts(connection)
        rows = [
            {
                "id": r.id,
                "created_at": r.created_at.isoformat(timespec="seconds"),
                "active": r.active,
                "state": "live" if r.active else _kept(deps, r.id),
                "documents": documents.get(r.id, 0),
                "clauses": r.clauses,
                "findings": r.findings,
                "embeddings": r.embeddings,
            }
            for r in releases
        ]
        if as_json:
            _print_json(rows)
            return
        for row in rows:
            found = "-" if row["findings"] is None else row["findings"]
            typer.echo(
                f"{'*' if row['active'] else ' '} {row['id']}  {row['created_at']}  "
                f"{row['state']:<6}  {row['documents']} documents  {row['clauses']} clauses  "
                f"{found} findings"
            )
        if not rows:
            typer.echo("no release yet: run `zhunxin ingest PATH`", err=True)

    _with_deps(run)


def _kept(deps: Deps, release_id: str) -> str:
    return "kept" if deps.vector_store.kept(release_id) else "pruned"


@release_app.command("show")
def release_show(name: ReleaseName = "live", as_json: AsJson = False) -> None:
    """What was noticed when a release was built: dates to confirm, what rules hold against clauses,
    duplicates, contradictions."""
    from knowledge.store import document_counts, find_release, release_report

    async def run(deps: Deps) -> None:
        async with deps.engine.connect() as connection:
            release = await find_release(connection, name)
            report = await release_report(connection, release.id)
            documents = await document_counts(connection)
        head = {
            "release": release.id,
            "created_at": release.created_at.isoformat(timespec="seconds"),
            "active": release.active,
            "documents": documents.get(release.id, 0),
            "clauses": release.clauses,
        }
        if as_json:
            _print_json({**head, "report": report and asdict(report)})
            return
        typer.echo(
            f"release {release.id}{' (live)' if release.active else ''}: "
            f"{head['documents']} documents, {release.clauses} clauses"
        )
        if report is None:
            typer.echo("it was built before releases were reviewed: ingest its documents again")
            return
        _show_found_dates(report.found_dates, limit=None)
        _show_rule_findings(report.findings)
        for kind in ("contradictions", "duplicates"):
            listed = getattr(report.findings, kind)
            count = getattr(report.findings, f"{kind.removesuffix('s')}_count")
            typer.echo(f"{count} {kind}" + (":" if listed else ""))
            for finding in listed:
                for mark, side in (("-", finding.a), ("+", finding.b)):
                    typer.echo(f"  {mark} {side.source}  {side.locator}")
                    typer.echo(f"      {side.text}".replace("\n", " "))
            if count > len(listed):
                typer.echo(f"  ... and {count - len(listed)} more")

    _with_deps(run)


@release_app.command("diff")
def release_diff(a: ReleaseName, b: ReleaseName, as_json: AsJson = False) -> None:
    """What differs between two releases, document by document and clause by clause."""
    from knowledge.release import diff
    from knowledge.store import find_release

    async def run(deps: Deps) -> None:
        async with deps.engine.connect() as connection:
            before, after = await find_release(connection, a), await find_release(connection, b)
        change = await diff(deps.engine, before.id, after.id)
        if as_json:
            _print_json(
                {
                    "a": before.id,
                    "b": after.id,
                    "documents": {
                        "added": change.added,
                        "removed": change.removed,
                        "changed": [
                            {
                                "source": document.source,
                                "title": document.title,
                                "head": [asdict(field) for field in document.head],
                                "clauses": len(document.clauses),
                            }
                            for document in change.changed
                        ],
                    },
                    "clauses": [_clause_change(row) for row in change.clauses],
                }
            )
        else:
            _show_diff(before.id, after.id, change)

    _with_deps(run)


@release_app.command("confirm")
def release_confirm(
    source: Annotated[str, typer.Argument(help="A document of the live release.")],
    effective_from: DayOrOpen = "",
    effective_to: DayOrOpen = "",
    reviewed: DayOrOpen = "",
    as_json: AsJson = False,
) -> None:
    """Say that the dates found in a document are right, or give the right ones.

    Dates that are given make a new release; they hold until the file changes.
    """
    from knowledge.release import confirm

    from .audit import clearances, note_release, seal_dates
    from .clause_review import clause_rules
    from .figures import stated
    from .models import today

    said = {
        "effective_from": _answer(effective_from),
        "effective_to": _answer(effective_to),
        "reviewed": _answer(reviewed),
    }

    async def run(deps: Deps) -> None:
        await deps.hold_live()
        with _progress() as progress:
            done = await confirm(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                source,
                lock_file=deps.settings.ingest_lock,
                by="cli",
                cleared=partial(clearances, keys=deps.keys),
                enter=partial(seal_dates, keys=deps.keys),
                figures=stated,
                rules=clause_rules(deps.rules, today(), deps.named_lender),
                progress=progress,
                **said,
            )
        answers = {name: str(answer) for name, answer in said.items() if answer}
        await note_release(
            deps.trail, done.release, "confirmed", by="cli", source=done.source, said=answers
        )
        if as_json:
            _print_json(asdict(done))
        else:
            typer.echo(f"{done.source} is confirmed; release {done.release} is live")

    _with_deps(run)


@release_app.command("clear")
def release_clear(
    clause_id: Annotated[str, typer.Argument(help="A clause of the live release.")],
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back that its text was confirmed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Confirm the text of a clause as it stands, so that rules no longer keep it from borrowers.

    This makes a new release, and holds for the same text until other rules speak against it.
    """
    from knowledge import release

    from .audit import clearances, note_release, seal_clearance
    from .clause_review import clause_rules
    from .models import today

    change = release.withdraw if withdraw else partial(release.clear, by="cli")

    async def run(deps: Deps) -> None:
        await deps.hold_live()
        with _progress() as progress:
            done = await change(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                clause_id,
                lock_file=deps.settings.ingest_lock,
                cleared=partial(clearances, keys=deps.keys),
                enter=partial(seal_clearance, keys=deps.keys, by="cli"),
                rules=clause_rules(deps.rules, today(), deps.named_lender),
                progress=progress,
            )
        await note_release(
            deps.trail,
            done.release,
            "withdrawn" if withdraw else "cleared",
            by="cli",
            clause=done.clause_id,
            text=done.text_hash,
            rules=done.rules,
        )
        if as_json:
            _print_json(asdict(done))
        else:
            broken = ", ".join(done.rules)
            now = "stands no longer" if withdraw else "stands"
            typer.echo(f"{done.clause_id} {now} ({broken}); release {done.release} is live")

    _with_deps(run)


@release_app.command("activate")
def release_activate(name: ReleaseName, as_json: AsJson = False) -> None:
    """Make a release live again: `zhunxin release activate previous` rolls back."""
    from knowledge.release import activate
    from knowledge.store import find_release

    from .audit import hold_end, note_release

    async def run(deps: Deps) -> None:
        await hold_end(deps.trail)
        async with deps.engine.connect() as connection:
            release_id = (await find_release(connection, name)).id
        with _progress() as progress:
            await activate(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                release_id,
                lock_file=deps.settings.ingest_lock,
                progress=progress,
            )
        await note_release(deps.trail, release_id, "activated", by="cli")
        if as_json:
            _print_json({"release": release_id})
        else:
            typer.echo(f"release {release_id} is live")

    _with_deps(run)


@audit_app.command("show")
def audit_show(record_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One reply as it was recorded: question, evidence, versions, raw model output."""
    from .journal import UnreadableRecord, read_record

    async def run(deps: Deps) -> None:
        try:
            record = await read_record(deps.engine, record_id)
        except UnreadableRecord as error:
            _fail(str(error), 1)
        if record is None:
            _fail(f"no record {record_id!r}", 2)
        _print_json(record)

    _with_deps(run)


@audit_app.command("verify")
def audit_verify(as_json: AsJson = False) -> None:
    """Read the whole chain and all it tells of; ends with 1 where it is broken."""
    from .audit import verify

    async def run(deps: Deps) -> None:
        with _bar("verifying") as bar:
            verdict = await verify(deps.trail, bar)
        if as_json:
            _print_json(verdict.as_json())
        elif verdict.ok:
            typer.echo(f"the chain holds: {verdict.entries} rows, {verdict.records} replies")
        else:
            typer.echo(f"the chain is broken at {verdict.broken_at}: {verdict.reason}", err=True)
            for each in verdict.further:
                typer.echo(f"also at {each.at}: {each.reason}", err=True)
        warnings = (*(() if as_json else verdict.warnings), *deps.settings.exposed())
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        if not verdict.ok:
            raise typer.Exit(1)

    _with_deps(run)


@audit_app.command("erase")
def audit_erase(
    conversation: Annotated[str, typer.Option(metavar="ID", help="One conversation.")] = "",
    older_than: Annotated[
        int | None, typer.Option(metavar="DAYS", min=0, help="All that was asked so long ago.")
    ] = None,
    rewrite: Annotated[
        bool,
        typer.Option(
            help="Have PostgreSQL write its tables anew: until then its files hold what was "
            "erased, and meanwhile nobody reads or writes them."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Remove what borrowers wrote and were told; that it was erased stays in the chain. Ends with 1
    where it may still stand in a file of the database."""
    from .audit import erase, scrub
    from .case_drafts import StillInFile

    if (older_than is None) == (not conversation):
        _fail("give either --conversation ID or --older-than DAYS", 2)

    async def run(deps: Deps) -> None:
        try:
            erased = await erase(
                deps.trail, conversation_id=conversation, older_than_days=older_than, by="cli"
            )
        except StillInFile as error:
            _fail(str(error), 1)
        sqlite = deps.engine.dialect.name == "sqlite"
        left = await scrub(deps.engine) if sqlite or rewrite else []
        if as_json:
            _print_json({"erased": erased} | ({"left": left} if left else {}))
        else:
            typer.echo(f"{erased} records erased")
        if not sqlite:
            files = "log (WAL)" if rewrite else "tables, statistics and log (WAL)"
            typer.echo(
                f"note: PostgreSQL's {files}, replicas, archives and backups hold what was erased "
                "until they are written over",
                err=True,
            )
        if left:
            _fail(
                f"what was erased may still stand in {', '.join(left)}: somebody reads what was "
                "before, or it is owned by another; erase again when that has ended",
                1,
            )

    _with_deps(run)


@audit_app.command("export")
def audit_export(
    out: Annotated[Path, typer.Option(parser=path, metavar="DIR", help="A new or empty folder.")],
    conversation: Annotated[str, typer.Option(metavar="ID", help="One conversation.")] = "",
    first: Annotated[
        str, typer.Option("--from", metavar="YYYY-MM-DD", help="Asked on this day or later.")
    ] = "",
    last: Annotated[
        str, typer.Option("--to", metavar="YYYY-MM-DD", help="Asked on this day or before.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write records with their rows of the chain as JSONL, and a page for each conversation."""
    from .audit_export import FolderNotEmpty, export
    from .config import is_open
    from .journal import UnreadableRecord

    start, end = _day(first), _day(last)
    if conversation and (start or end):
        _fail("give either --conversation ID or days", 2)
    if start and end and end < start:
        _fail("--to is before --from", 2)

    async def run(deps: Deps) -> None:
        try:
            with _bar("exporting") as bar:
                done = await export(
                    deps.trail,
                    out,
                    conversation_id=conversation,
                    first=start,
                    last=end,
                    by="cli",
                    titles={rule.id: rule.title_zh for rule in deps.rules.rules},
                    progress=bar,
                )
        except FolderNotEmpty as error:
            _fail(str(error), 2)
        except UnreadableRecord as error:
            _fail(str(error), 1)
        if done.chain:
            typer.echo(f"zhunxin: the chain is broken: {done.chain}", err=True)
        if not done.conversations:
            _fail("there is no such record", 1)
        if is_open(out):
            typer.echo(f"warning: {out}: others on this machine may read it", err=True)
        if as_json:
            _print_json(asdict(done))
        else:
            typer.echo(
                f"{done.records} records of {done.conversations} conversations in {done.out}"
            )
        if done.broken:
            _fail(f"{done.broken} are not as the chain holds them, or gone: see `broken`", 1)
        if done.chain:
            raise typer.Exit(1)

    _with_deps(run)


@audit_app.command("replay")
def audit_replay(
    record_id: Annotated[str, typer.Argument(metavar="ID")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a reply again from what was recorded, and compare; ends with 1 where it differs."""
    import logging

    from .journal import record_ids
    from .logs import log_to_stderr
    from .replay import Player, UnknownRecord

    if bool(record_id) == every:
        _fail("give the ID of a record, or --all", 2)

    async def one(deps: Deps) -> None:
        log_to_stderr(logging.ERROR)  # that a model was down, then, is not news
        try:
            made = await Player(deps).replay(record_id)
        except UnknownRecord:
            _fail(f"no record {record_id!r}", 2)
        if as_json:
            _print_json(made.as_json())
        else:
            said = {"missing": f"missing: {made.missing}", "different": "the reply differs:"}
            typer.echo(said.get(made.outcome, made.outcome))
            for line in made.differences:
                typer.echo(line)
        if made.outcome not in ("identical", "erased", "open"):
            raise typer.Exit(1)

    async def all_of_them(deps: Deps) -> None:
        log_to_stderr(logging.ERROR)
        player = Player(deps)
        wanted = await record_ids(deps.engine)
        counts: dict[str, int] = {}
        wrong: list[dict[str, Any]] = []
        with _bar("replaying") as bar:
            for done, each in enumerate(wanted, start=1):
                made = await player.replay(each)
                counts[made.outcome] = counts.get(made.outcome, 0) + 1
                if made.outcome not in ("identical", "erased", "open"):
                    wrong.append(made.as_json())
                bar(done, len(wanted))
        if as_json:
            _print_json(
                {
                    "identical": not wrong,
                    "records": len(wanted),
                    "outcomes": counts,
                    "wrong": wrong[:100],
                }
            )
        else:
            for outcome, count in sorted(counts.items()):
                typer.echo(f"{count} {outcome}")
            for each_wrong in wrong[:20]:
                typer.echo(f"{each_wrong['record_id']}: {each_wrong['outcome']}", err=True)
        if wrong:
            raise typer.Exit(1)

    _with_deps(all_of_them if every else one)


@eval_app.command("list")
def eval_list(as_json: AsJson = False) -> None:
    """The suites and how many cases each has."""
    from evals.run import sizes
    from evals.suites import BadCases, find_suite

    try:
        counts = sizes(_settings().statutes)
    except BadCases as error:
        _fail(str(error), 1)
    if as_json:
        _print_json([{"name": name, "n": n} for name, n in counts.items()])
        return
    for name, n in counts.items():
        size = "?" if n is None else n
        typer.echo(f"{name:<22} {size:>4} cases  {find_suite(name).about}")


@eval_app.command("run")
def eval_run(
    suites: Annotated[list[str] | None, typer.Argument(help="Suites; all by default.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="First n cases only.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Folder for logs, results and reports; a run that was stopped there goes on.",
        ),
    ] = None,
    statutes: Annotated[
        Path | None,
        typer.Option(parser=path, help="Folder of the collection that `statutes` ranks."),
    ] = None,
    endpoint: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Asked in place of the pipeline of this process: http… a deployment, "
            "openai:http… any bot that speaks OpenAI's chat protocol.",
        ),
    ] = "",
    model: Annotated[str, typer.Option(help="The model of such a bot.")] = "",
    seeds: Annotated[int, typer.Option(min=1, max=20, help="How often each case is asked.")] = 1,
    baseline: Annotated[
        Path | None,
        typer.Option(parser=path, help="Verdicts of an earlier run that this one is held to."),
    ] = None,
    save_baseline: Annotated[
        Path | None,
        typer.Option(parser=path, help="Where to keep this run's verdicts, to hold others to."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run evaluation suites through the real pipeline; exit 1 where a bar is missed, something
    critical is said, or a metric drops beyond chance."""
    from evals.baseline import NotKept, keep
    from evals.records import Stopped
    from evals.report_files import write_reports
    from evals.run import (
        BadBaseline,
        BadCases,
        EndpointFault,
        EvalUnavailable,
        JudgeFailed,
        OtherSuites,
        UnknownSuite,
        new_folder,
        run_suites,
    )

    if limit is not None and (baseline or save_baseline):
        _fail("--limit asks a part of the cases only, and a baseline is of all of them", 2)

    settings = _settings()
    if statutes is not None:
        settings = settings.model_copy(update={"statutes": statutes})
    folder = report or new_folder(settings)
    typer.echo(f"if it is stopped, it goes on with --report {folder}", err=True)
    try:
        with _progress() as progress:
            outcome = _guard(
                lambda: run_suites(
                    suites or [],
                    settings,
                    limit=limit,
                    folder=folder,
                    endpoint=endpoint,
                    model=model,
                    seeds=seeds,
                    baseline=baseline,
                    progress=progress,
                )
            )
    except (UnknownSuite, EvalUnavailable, BadBaseline) as error:
        _fail(str(error), 2)
    except (BadCases, OtherSuites, EndpointFault, JudgeFailed, Stopped) as error:
        _fail(str(error), 1)
    write_reports(folder, folder, baseline=baseline)
    if as_json:
        _print_json(outcome.as_json())
    else:
        typer.echo(outcome.as_text())
    if save_baseline is not None:
        try:
            keep(folder, save_baseline)
        except (NotKept, BadBaseline) as error:
            _fail(f"no baseline was kept: {error}", 1)
    if not outcome.passed:
        raise typer.Exit(1)


@eval_app.command("report")
def eval_report(
    run: Annotated[Path, typer.Argument(parser=path, help="Folder of a run.")],
    out: Annotated[Path, typer.Option(parser=path, help="Folder that the report is written to.")],
    baseline: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="Folder of an earlier run, or its verdicts: what changed is told."
        ),
    ] = None,
    locale: Annotated[str, typer.Option(help="Language of the page.")] = "zh-Hans",
    totals_only: Annotated[
        list[str] | None,
        typer.Option(help="Suite whose cases are not shown; may be given again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run again: page, Markdown summary, JUnit XML, JSON."""
    from evals.baseline import BadBaseline
    from evals.records import BadRun
    from evals.report_files import write_reports

    from .models import LOCALES

    chosen = next((known for known in LOCALES if known == locale), None)
    if chosen is None:
        _fail(f"--locale: expected one of {', '.join(LOCALES)}, got {locale!r}", 2)
    try:
        files = write_reports(
            run, out, baseline=baseline, locale=chosen, totals_only=totals_only or ()
        )
    except (BadRun, BadBaseline) as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(f"{error.filename}: cannot be written", 1)
    if as_json:
        _print_json({"files": [str(file) for file in files]})
        return
    for file in files:
        typer.echo(file)


@eval_app.command("sample")
def eval_sample(
    days: Annotated[int, typer.Option(min=1, max=366, help="Up to and with today.")] = 7,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of each day's replies that are scored.")
    ] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Score a sample of the replies that borrowers were given, by what needs no expectation; what
    comes of it stands on /quality. The same records are drawn whenever it is run. Exit 1 where a
    record cannot be read."""

    async def run(deps: Deps) -> None:
        from evals.production import sample

        from .models import today

        with _progress() as progress:
            found = await sample(
                deps, today(), days, share, lambda done, total: progress("days", done, total)
            )
        if as_json:
            _print_json(found.as_json())
        else:
            typer.echo(
                f"{found.replies} replies in {found.days} days, {found.drawn} drawn, "
                f"{found.scored} newly scored, {found.unreadable} unreadable"
            )
            for name, count in found.wrong.items():
                typer.echo(f"  {name:<10} {count:>5} wrong")
        if found.unreadable:
            raise typer.Exit(1)

    _with_deps(run)


@eval_app.command("judge")
def eval_judge(
    labelled: Annotated[
        Path | None,
        typer.Option(parser=path, help="JSONL of labelled replies; the shipped set by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate the judge of ZHUNXIN_JUDGE: how far it agrees with labelled replies.

    What comes of it is kept in the home folder, and said beside every figure the judge gives. Exit
    1 where the judge fails, or agrees too little to be listened to by a gate.
    """
    from evals.calibration import LABELLED, as_lines, calibrate, keep, kept_in, load_labelled
    from evals.judge import JudgeFailed, rubric_version
    from evals.schema import BadCases

    from .deps import open_judge
    from .logs import log_to_stderr

    log_to_stderr()
    settings = _settings()

    async def ask() -> Calibration:
        cases = load_labelled(labelled or LABELLED)
        model, name = open_judge(settings)
        try:
            with _bar("judging") as bar:
                return await calibrate(model, name, rubric_version(), cases, progress=bar)
        finally:
            await model.close()

    try:
        made = _guard(lambda: asyncio.run(ask()))
    except (BadCases, JudgeFailed) as error:
        _fail(str(error), 1)
    file = keep(made, kept_in(settings.home))
    if as_json:
        _print_json(made.as_json())
    else:
        typer.echo("\n".join([*as_lines(made), "", f"kept: {file}"]))
    if not made.usable:
        raise typer.Exit(1)


@eval_app.command("redteam")
def eval_redteam(
    suites: Annotated[
        list[str] | None, typer.Argument(help="Suites whose questions are taken; `answers`.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same attacks.")] = 7,
    n: Annotated[int, typer.Option("--n", min=1, help="How many attacks.")] = 120,
    endpoint: Annotated[
        str, typer.Option(help="Address of a bot that speaks OpenAI's protocol, ending in /v1.")
    ] = "",
    model: Annotated[str, typer.Option(help="The name by which that bot is asked.")] = "zhunxin",
    save: Annotated[
        Path | None,
        typer.Option(parser=path, help="JSONL to which what is found is added as cases."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Attack the assistant, or another bot, with questions made to mislead.

    Questions are reworded, misspelt, put in Traditional characters, and wrapped in role play,
    quotes, orders, poisoned documents and conversations that build up. Exit 1 where a promise, a
    wrong figure, a leak, an obeyed order or a forbidden wording came of it.
    """
    from evals.redteam import NoAttack, run_redteam, save_finds
    from evals.run import UnknownSuite
    from evals.schema import BadCases

    from .logs import log_to_stderr

    log_to_stderr()
    settings = _settings()
    try:
        with _bar("attacking") as bar:
            outcome = _guard(
                lambda: run_redteam(
                    suites or [],
                    settings,
                    seed=seed,
                    n=n,
                    endpoint_url=endpoint,
                    model=model,
                    progress=bar,
                )
            )
        saved = save_finds(outcome.finds, save) if save else None
    except (UnknownSuite, NoAttack) as error:
        _fail(str(error), 2)
    except BadCases as error:
        _fail(str(error), 1)
    if as_json:
        _print_json({"seed": seed, **outcome.as_json(), "saved": saved[0] if saved else None})
    else:
        typer.echo(outcome.as_text())
        if saved:
            typer.echo(
                f"{saved[0]} new cases in {save}; {saved[1]} finds are no new case: they need a "
                "planted document, or the case fails without an attack"
            )
    if not outcome.passed:
        raise typer.Exit(1)


@app.command()
def score(
    file: Annotated[
        Path | None,
        typer.Argument(
            parser=path,
            metavar="[FILE]",
            help="CSV (a row a turn), JSONL, or labelled text (.txt).",
        ),
    ] = None,
    own: Annotated[
        bool, typer.Option("--conversations", help="Our own, from the journal and the desk.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FILE.jsonl", help="A line a conversation; goes on."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Show them on /quality too.")] = False,
    topic: Annotated[str, typer.Option(help="Where none is said, such as collections.")] = "",
    channel: Annotated[str, typer.Option(help="chat, phone, sms, ...")] = "chat",
    on: Day = "",
    first: Day = "",
    last: Day = "",
    speaker: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=WHO", help="WHO: borrower, assistant, agent, system."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where anything is left out.")] = (
        False
    ),
    forget: Annotated[str, typer.Option(metavar="ID", help="Delete an imported one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Score conversations by rules, figures, steps, manners, answers and promises: no model.

    Each point that is lost is told with its turn, words and rule. docs/quality-scores.md.
    """
    from . import score_cli

    if forget:
        score_cli.forget(forget)
        return
    score_cli.run(
        score_cli.Wanted(
            file=file,
            conversations=own,
            out=out,
            as_json=as_json,
            keep=keep,
            strict=strict,
            topic=topic,
            channel=score_cli.channel_of(channel),
            on=_day(on),
            first=_day(first),
            last=_day(last),
            speakers=tuple(speaker or ()),
        )
    )


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
    from knowledge.release import (
        NothingReadable,
        NothingToClear,
        OtherEmbedder,
        TextChanged,
        UnknownClause,
        UnknownDocument,
        WrongDates,
    )
    from knowledge.store import NoRelease, NotWritten, UnknownRelease
    from knowledge.vectors import VectorsMissing

    from .audit import KeyUnusable, TailGone
    from .campaigns import CampaignError
    from .config import ConfigError
    from .customers import CustomerFault
    from .db import BadDatabaseUrl, DatabaseUnavailable
    from .deps import ReleaseMismatch
    from .desk_plan import DeskPlanError
    from .elements import ChannelsError
    from .rules import RulePackError

    try:
        return work()
    except NothingReadable as error:
        for skipped in error.skipped:
            typer.echo(f"skipped {skipped.path}: {skipped.reason}", err=True)
        _fail(f"{error}; what was live before is live still", 1)
    except FileNotFoundError as error:
        _fail(f"no such file or folder: {error.filename or error.args[0]}", 2)
    except (
        BadDatabaseUrl,
        CampaignError,
        ChannelsError,
        ConfigError,
        DeskPlanError,
        KeyUnusable,
        LenderFileError,
        RulePackError,
        UnknownRelease,
        UnknownDocument,
        UnknownClause,
        NothingToClear,
        TextChanged,
        WrongDates,
    ) as error:
        _fail(str(error), 2)
    except (
        NoRelease,
        NotWritten,
        VectorsMissing,
        EmbeddingUnavailable,
        CustomerFault,
        DatabaseUnavailable,
        OtherEmbedder,
        ReleaseMismatch,
        TailGone,
    ) as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)


@contextmanager
def _told_why() -> Iterator[None]:
    """An account that cannot be made or changed so ends the command with the reason."""
    from .staff import BadAccount

    try:
        yield
    except BadAccount as error:
        _fail(_notice(error.code, "en", error.values), 2)


def _roles(given: list[str]) -> list[str]:
    """Also as one word with commas."""
    return [role.strip() for text in given for role in text.split(",") if role.strip()]


def _new_password(from_stdin: bool) -> str:
    """Asked for twice on a terminal, or the first line of standard input."""
    if from_stdin:
        return _read_text("-").split("\n")[0].rstrip("\r")
    if not sys.stdin.isatty():
        _fail("no terminal to ask for a password on: use --password-stdin", 2)
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"zhunxin: {message}", err=True)
    raise typer.Exit(code)


def _settings() -> Settings:
    from .config import ConfigError, load_settings

    try:
        settings = load_settings()
    except ConfigError as error:
        _fail(str(error), 2)
    if settings.redis_url:
        typer.echo(
            "warning: ZHUNXIN_REDIS_URL is set and nothing is kept in Redis: requests are counted "
            "in each process, the rest is in the database",
            err=True,
        )
    return settings


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        _fail(f"{text!r} is not a date such as 2026-01-31", 2)


def _answer(text: str) -> Answer:
    return "open" if text == "open" else _day(text)


def _sample_paths() -> list[Path]:
    corpus = Path(__file__).parent.parent / "knowledge" / "corpus"
    return [corpus / "lender", corpus / "regulations"]


def _notice(code: str, locale: str, values: dict[str, str]) -> str:
    from prompts.render import notice

    return notice(code, locale, **values)


def _rule_pack(jurisdiction: str) -> RulePack:
    from .rules import RulePackError, load_rules

    try:
        settings = _settings()
        return load_rules(jurisdiction or settings.pack, settings.rules)
    except RulePackError as error:
        _fail(str(error), 2)


def _likeness(rules: RulePack) -> Likeness:
    from knowledge.embed import open_embedder

    from .likeness import open_likeness

    settings = _settings()

    def opened() -> Likeness:
        embedder = open_embedder(
            settings.embeddings,
            base_url=settings.embeddings_base_url,
            api_key=settings.embeddings_api_key.get_secret_value(),
            threads=settings.threads_used,
        )
        return open_likeness(rules, embedder, settings.home / "likeness.npz")

    return _guard(opened)


def _review(
    rules: RulePack, likeness: Likeness | None, row: dict[str, Any], day: date | None, where: str
) -> Review:
    from .compliance import BadMessage, read_message, review_given
    from .models import today

    try:
        given = read_message(rules, row, on=day, today=today())
    except BadMessage as error:
        _fail(f"{where}: {error}", 2)
    found = review_given(rules, given)
    if likeness is None:
        return found
    from .likeness import review_likeness
    from .wording import review_wording

    found = review_likeness(
        likeness, found, given.text, task=given.task, channel=given.channel, on=given.on
    )
    return review_wording(rules, found, given)


def _complete(
    rules: RulePack,
    row: dict[str, Any],
    day: date | None,
    where: str,
    locale: Locale,
    as_json: bool,
) -> None:
    """Put in what a text lacks, from what clauses in force state, and judge the whole."""
    from .compliance import STOPS, BadMessage, read_message
    from .elements import append_required, completed_as_json, review_completed
    from .models import today

    try:
        given = read_message(rules, row, on=day, today=today())
    except BadMessage as error:
        _fail(f"{where}: {error}", 2)
    if given.channel is None:
        _fail("--complete needs a --channel", 2)

    async def run(deps: Deps) -> None:
        facts = await deps.facts(given.on)
        completed = append_required(rules, deps.channels, given, facts, locale)
        found = review_completed(rules, given, completed)
        if as_json:
            _print_json(completed_as_json(completed, found))
        else:
            typer.echo(completed.text)
            for added in completed.added:
                typer.echo(f"added {added.element}: {added.text.strip()}", err=True)
            for element in completed.lacking:
                typer.echo(f"not added {element}: no clause in force states it", err=True)
            if completed.too_long:
                typer.echo(f"{len(completed.text)} of {completed.longest} characters", err=True)
            _show_review(found, locale, to_stderr=True)
        if found.verdict in STOPS or completed.lacking or completed.too_long:
            raise typer.Exit(1)

    _with_deps(run)


def _show_review(found: Review, locale: Locale, *, to_stderr: bool = False) -> None:
    from rich.console import Console
    from rich.text import Text

    from .compliance import source_as_json

    colours = {"pass": "green", "warn": "yellow", "fix": "yellow", "block": "red"}
    console = Console(stderr=to_stderr)
    console.print(Text(found.verdict, style=f"bold {colours[found.verdict]}"))
    for finding in found.findings:
        source = source_as_json(finding.rule)
        article = source["article"] or ("" if source["verified"] else "(unverified)")
        start, end = finding.span
        quoted = finding.text if len(finding.text) <= 60 else f"{finding.text[:59]}…"
        console.print(
            Text.assemble(
                (f"{finding.severity:<6}", colours[finding.severity]),
                f"{finding.rule.id} {finding.rule.title(locale)} [{start}:{end}] {quoted}",
            )
        )
        console.print(Text(f"      {source['regulation']} {article}", style="dim"))
        console.print(Text(f"      {finding.rule.suggestion(locale)}"))
        if finding.channels:
            console.print(
                Text(f"      only on: {', '.join(sorted(finding.channels))}", style="dim")
            )
        if finding.like:
            console.print(Text(f"      resembles: {finding.like}", style="dim"))
    for unchecked in found.unchecked:
        needs = ", ".join(unchecked.needs)
        console.print(Text(f"unchecked {unchecked.rule.id}: needs {needs}", style="dim"))


def _read_text(file: str, most_mb: int | None = None) -> str:
    """The text of a file, or of standard input; the command ends where it is larger than so many
    MB."""
    most = None if most_mb is None else most_mb * 2**20
    try:
        # Not the whole of it first: a device or a pipe may have no end.
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as given:
            data = given.read() if most is None else given.read(most + 1)
        if most is not None and len(data) > most:
            _fail(f"{file}: larger than {most_mb} MB; split it", 2)
        return data.decode("utf-8-sig")
    except OSError as error:
        _fail(f"{file}: {error.strerror}", 2)
    except UnicodeDecodeError:
        _fail(f"{file}: not UTF-8", 2)


def _read_rows(file: Path, most_mb: int | None = None) -> list[dict[str, Any]]:
    """Objects with `id` and `text` of a JSONL file; a wrong line ends the command, named."""
    rows: list[dict[str, Any]] = []
    # Not splitlines(): JSON strings may hold line and paragraph separators as they are.
    for number, line in enumerate(_read_text(str(file), most_mb).split("\n"), start=1):
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


def _print_json(value: object, indent: int | None = 2) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    # Half of a surrogate pair is no character: it is printed as JSON escapes it.
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def _print_row(value: object) -> None:
    _print_json(value, indent=None)


def _hit_json(item: Any) -> dict[str, Any]:
    from .journal import clause_as_json

    place, head = clause_as_json(item.clause), item.clause.head
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
        "kind": head.kind,
        "product": head.product,
        "audience": head.audience,
        "held": item.clause.held,
        "version": head.version,
        "jurisdiction": head.jurisdiction,
        "document_no": head.document_no,
        "page": item.clause.page,
    }


def _show_hits(hits: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    number = 0
    for number, hit in enumerate(hits, start=1):
        dates = f"{hit['effective_from'] or '…'} – {hit['effective_to'] or '…'}"
        held = "  (held back from borrowers)" if hit["held"] else ""
        console.print(Text(f"{number}. {hit['document']}  {hit['locator']}{held}", style="bold"))
        number_of = f"  {hit['document_no']}" if hit["document_no"] else ""
        console.print(
            Text(f"   {hit['score']:.3f}  {hit['source']}{number_of}  {dates}", style="dim")
        )
        console.print(Text(f"   {hit['text']}"))
    if not number:
        typer.echo("no clause in force was found", err=True)


LISTED_DATES = 20
"""Found dates that an ingestion prints; `release show` prints all."""


def _show_noticed(
    release_id: str, dates: Sequence[DateToConfirm], duplicates: int, contradictions: int
) -> None:
    """What an ingestion noticed, in short."""
    _show_found_dates(dates, limit=LISTED_DATES)
    if duplicates or contradictions:
        typer.echo(
            f"{contradictions} contradictions and {duplicates} duplicates among clauses: "
            f"see `zhunxin release show {release_id}`"
        )


def _show_found_dates(dates: Sequence[DateToConfirm], limit: int | None) -> None:
    """The dates that nobody has confirmed yet, each with the words it was read from."""
    waiting = [found for found in dates if not found.confirmed]
    if not waiting:
        return
    typer.echo(
        f"{len(waiting)} dates were read from the text and are not confirmed "
        "(`zhunxin release confirm SOURCE`, with the right date where one is wrong):"
    )
    for found in waiting[:limit]:
        place = f"  {found.locator}" if found.locator else ""
        typer.echo(f"  {found.source}  {found.field} {found.value}  “{found.quote}”{place}")
        if found.note:
            typer.echo(f"      {found.note}")
    if limit is not None and len(waiting) > limit:
        typer.echo(f"  ... and {len(waiting) - limit} more: `zhunxin release show`")


def _show_rule_findings(found: Findings) -> None:
    """What rules hold against clauses, each with the words that it is about."""
    typer.echo(f"{found.rule_count} breaches of rules in clauses" + (":" if found.rules else ""))
    for finding in found.rules:
        state = "confirmed" if finding.confirmed else finding.severity
        words = finding.text[slice(*finding.span)].replace("\n", " ")
        typer.echo(f"  {state:<9}  {finding.rule} {finding.title}  “{words}”")
        typer.echo(f"      {finding.clause_id}  {finding.source}  {finding.locator}")
    if found.rule_count > len(found.rules):
        typer.echo(f"  ... and {found.rule_count - len(found.rules)} more")


def _clause_change(row: ClauseChange) -> dict[str, Any]:
    there = row.after or row.before
    assert there is not None
    return {
        "source": there.source,
        "locator": there.locator,
        "change": row.change,
        "before": row.before and row.before.text,
        "after": row.after and row.after.text,
        "before_locator": row.before and row.before.locator,
        "before_spans": row.before_spans,
        "after_spans": row.after_spans,
    }


def _show_diff(before: str, after: str, change: ReleaseChange) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    console.print(Text(f"{before} -> {after}", style="bold"))
    for mark, names in (("-", change.removed), ("+", change.added)):
        for name in names:
            console.print(Text(f"{mark} {name}", style="red" if mark == "-" else "green"))
    for document in change.changed:
        console.print(Text(f"~ {document.source}  {document.title}", style="bold"))
        for field in document.head:
            console.print(Text(f"    {field.name}: {field.before or '-'} -> {field.after or '-'}"))
        for row in document.clauses:
            sides = [(row.before, row.before_spans, "-"), (row.after, row.after_spans, "+")]
            places = dict.fromkeys(part.locator for part, _, _ in sides if part)
            console.print(Text(f"  {row.change}  {' -> '.join(places)}", style="dim"))
            if row.change == "moved":
                continue
            for part, spans, mark in sides:
                if part:
                    whole = spans or (((0, len(part.text)),) if row.change != "changed" else ())
                    console.print(_marked(part.text, whole, mark, plain=not console.is_terminal))
    if not (change.added or change.removed or change.changed):
        console.print("no difference")


def _marked(text: str, spans: Spans, mark: str, *, plain: bool) -> Text:
    """A text with what differs in colour; between brackets where nobody would see the colour."""
    from rich.text import Text

    opening, closing = ("[-", "-]") if mark == "-" else ("{+", "+}")
    shown = Text(f"    {mark} ")
    at = 0
    for start, end in spans:
        shown.append(text[at:start])
        differing = text[start:end]
        shown.append(
            f"{opening}{differing}{closing}" if plain else differing,
            style="red strike" if mark == "-" else "green underline",
        )
        at = end
    shown.append(text[at:])
    return shown


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
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """One bar on stderr, with count and time left; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar a stage on stderr, with count, rate and time left; plain lines where there is no
    terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    labels = {
        "read": "reading documents",
        "embed": "embedding clauses",
        "check": "checking clauses",
        "review": "comparing clauses",
        "write": "writing vectors",
        "days": "scoring days",
    }
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
            if stage == "wait":
                typer.echo("waiting for another ingestion", err=True)
                return
            if stage not in tasks:
                if not total:
                    return
                tasks[stage] = bars.add_task(labels.get(stage, stage), total=total, rate="")
                if not console.is_terminal:
                    typer.echo(f"{labels.get(stage, stage)}: {total}", err=True)
            speed = bars.tasks[tasks[stage]].speed if tasks[stage] < len(bars.tasks) else None
            bars.update(
                tasks[stage], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else ""
            )

        yield progress
