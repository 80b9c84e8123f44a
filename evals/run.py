"""Runs evaluation suites and says how good the assistant is, and where it is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.config import Settings
from assistant.deps import Deps, open_deps, open_judge
from assistant.llm import ModelError

from . import addressing, arithmetic, copilot
from .addressing import AddressingCase, AddressingSuite, address_all
from .arithmetic import ArithmeticCase, ArithmeticSuite, calculate_all
from .baseline import BadBaseline, RunVerdicts, read_baseline, to_ask, verdicts_of
from .calibration import current_calibration, standing
from .compare import Comparison, misfits
from .compare import compare as compare_runs
from .copilot import CopilotCase, CopilotSuite, suggest_all
from .judge import METRIC, Criterion, JudgeFailed, judge_records
from .messages import VERSIONS, Judged, MessageCase, MessageSuite, judge_messages
from .messages import record_of as message_record
from .metrics import METRICS, Check, Seen, Share, wilson
from .plain_recipe import Progress, open_plain, written_out
from .planted import planted
from .prices import load_prices
from .records import CaseRecord, RunInfo, SuiteInfo, record_from, write_run
from .report import CALIBRATION
from .results import RESULTS, Outcome, SuiteResult, failures_of, shares, write_report
from .schema import BadCases, Case, hash_of
from .statutes import NOT_RUN, load_collection, rank_statutes
from .suites import PARTS, SUITES, AnySuite, RankedSuite, Suite, find_suite
from .targets import (
    BOT,
    Counted,
    EndpointFault,
    Target,
    counted,
    open_endpoint,
    open_pipeline,
    shipped_texts,
)

if TYPE_CHECKING:
    from .harness import Run

__all__ = [
    "BadBaseline",
    "BadCases",
    "EndpointFault",
    "EvalUnavailable",
    "JudgeFailed",
    "OtherSuites",
    "Outcome",
    "UnknownSuite",
    "evaluate",
    "new_folder",
    "run_suites",
    "sizes",
]

_RUN = "run.json"
_ROOT = Path(__file__).parent.parent
_MEASURED = ("assistant", "evals", "knowledge", "prompts")
_MEASURED_FILES = frozenset({".py", ".toml", ".j2", ".json"})

IN_PROCESS_ONLY = "only the pipeline of this process can be run so, not an endpoint"
NO_CASE = "no case yet"


class UnknownSuite(Exception):
    """No suite has this name; the message lists those there are."""


class OtherSuites(Exception):
    """A baseline is of other cases or definitions; each line of the message says in what."""


class EvalUnavailable(Exception):
    """The evaluation extra is not installed."""


def _silent(stage: str, done: int, total: int) -> None:
    return None


def sizes(statutes: Path | None) -> dict[str, int | None]:
    """Suite -> number of its questions; None where its folder is not given. Raises BadCases."""
    queries = None if statutes is None else len(load_collection(statutes).queries)
    return {
        name: queries if isinstance(suite, RankedSuite) else len(suite.cases())
        for name, suite in {**SUITES, **PARTS}.items()
    }


def new_folder(settings: Settings) -> Path:
    """Where a run that is told no folder leaves its logs and results."""
    return settings.home / "evals" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def run_suites(
    names: Sequence[str],
    settings: Settings,
    *,
    limit: int | None,
    folder: Path | None,
    endpoint: str = "",
    model: str = "",
    seeds: int = 1,
    baseline: Path | None = None,
    progress: Progress = _silent,
) -> Outcome:
    """Run the suites named, or all, with what the settings say. Blocks for minutes.

    limit: the first so many questions of each suite only.
    folder: for logs and results; a new one under the home folder where it is None. A run that was
    stopped goes on where its folder is given again and nothing it measures has changed.
    endpoint: asked in place of the pipeline of this process; see `targets.open_endpoint`.
    seeds: how often each case is asked.
    baseline: a file of verdicts that the run is held to; read before anything is asked.
    Raises UnknownSuite, BadCases, BadBaseline, OtherSuites, EvalUnavailable, EndpointFault, and
    what opening Deps raises.
    """
    held = None if baseline is None else (baseline, read_baseline(baseline))
    try:
        suites = [find_suite(name) for name in dict.fromkeys(names)] or list(SUITES.values())
    except KeyError as error:
        known = ", ".join([*SUITES, *PARTS])
        raise UnknownSuite(f"no suite {error.args[0]!r}: there are {known}") from None
    into = folder or new_folder(settings)

    async def main() -> Outcome:
        async with open_deps(settings) as deps:
            return await evaluate(
                suites,
                deps,
                limit=limit,
                folder=into,
                endpoint=endpoint,
                model=model,
                seeds=seeds,
                baseline=held,
                progress=progress,
                compare=not endpoint,
            )

    return asyncio.run(main())


async def evaluate(
    suites: Sequence[AnySuite],
    deps: Deps,
    *,
    limit: int | None = None,
    folder: Path,
    endpoint: str = "",
    model: str = "",
    seeds: int = 1,
    baseline: tuple[Path, RunVerdicts] | None = None,
    progress: Progress = _silent,
    compare: bool = False,
) -> Outcome:
    """Run suites through the pipeline that `deps` makes up, or against an endpoint.

    baseline: what the run is held to, and the file it stands in. One that is of other cases or
    definitions is refused before anything is asked.
    compare: whether the usual recipe is run beside the suites that only search.
    Raises BadCases, OtherSuites, EvalUnavailable, EndpointFault, JudgeFailed, and what opening the
    live release raises.
    """
    if baseline is not None:
        _refuse_others(*baseline, suites, limit)
    asked = [(suite, suite.cases()[:limit]) for suite in suites if isinstance(suite, Suite)]
    started = time.perf_counter()
    measured = _measured(deps, endpoint, model)
    kept = _Kept(folder, measured)
    results: dict[str, SuiteResult] = {}
    try:
        async with _target(deps, endpoint, model, needed=bool(asked)) as target:
            for result in await _ask(asked, deps, target, kept, seeds, progress, compare=compare):
                results[result.name] = result
        for suite in suites:
            if isinstance(suite, RankedSuite):
                results[suite.name] = await _rank(suite, deps, endpoint, limit, kept, progress)
            elif isinstance(suite, MessageSuite):
                results[suite.name] = await _judge(suite, deps, endpoint, limit, kept, progress)
            elif isinstance(suite, ArithmeticSuite):
                results[suite.name] = (
                    _not_run(suite, IN_PROCESS_ONLY) if endpoint else calculate_all(suite, limit)
                )
            elif isinstance(suite, AddressingSuite):
                results[suite.name] = (
                    _not_run(suite, IN_PROCESS_ONLY)
                    if endpoint
                    else address_all(suite, deps.rules, limit)
                )
            elif isinstance(suite, CopilotSuite):
                results[suite.name] = (
                    _not_run(suite, IN_PROCESS_ONLY)
                    if endpoint
                    else await suggest_all(suite, deps, limit)
                )
            if not isinstance(suite, Suite):
                await _log(results[suite.name], kept)
    finally:
        seconds = kept.spent(time.perf_counter() - started)
    outcome = Outcome(tuple(results[suite.name] for suite in suites), folder)
    info = RunInfo(
        run=kept.run,
        started=kept.started,
        seconds=seconds,
        seeds=seeds,
        versions=await _versions(deps, endpoint, model, outcome, released=bool(asked)),
        suites=tuple(result.info for result in outcome.suites if result.info),
    )
    records = [record for result in outcome.suites for record in result.records]
    write_run(folder, info, records)
    if baseline is not None:
        outcome = replace(outcome, comparison=_held_to(*baseline, outcome, info, records))
    write_report(outcome, kept.run)
    kept.clear()
    return outcome


def _refuse_others(
    file: Path, before: RunVerdicts, suites: Sequence[AnySuite], limit: int | None
) -> None:
    """Raises OtherSuites, BadCases."""
    reasons: list[str] = []
    for suite in suites:
        held = before.suites.get(suite.name)
        if held is not None and not isinstance(suite, RankedSuite):
            cases = suite.cases()[:limit]
            reasons += misfits(held, to_ask(_info(suite, cases), cases))
    if reasons:
        raise OtherSuites(f"{file} is of other suites:\n" + "\n".join(reasons))


def _info(
    suite: Suite | MessageSuite | ArithmeticSuite | AddressingSuite | CopilotSuite,
    cases: Sequence[Case | MessageCase | ArithmeticCase | AddressingCase | CopilotCase],
) -> SuiteInfo:
    metrics: Mapping[str, int]
    if isinstance(suite, MessageSuite):
        metrics = VERSIONS
    elif isinstance(suite, ArithmeticSuite):
        metrics = arithmetic.VERSIONS
    elif isinstance(suite, AddressingSuite):
        metrics = addressing.VERSIONS
    elif isinstance(suite, CopilotSuite):
        metrics = copilot.VERSIONS
    else:
        metrics = {name: METRICS[name].version for name in suite.metrics}
    return SuiteInfo(suite.name, hash_of(cases), dict(metrics))


def _held_to(
    file: Path,
    before: RunVerdicts,
    outcome: Outcome,
    info: RunInfo,
    records: Sequence[CaseRecord],
) -> Comparison:
    return compare_runs(
        before,
        verdicts_of(info, records),
        file,
        whole={suite.name for suite in outcome.suites} >= SUITES.keys(),
        not_run={suite.name: suite.not_run for suite in outcome.suites if suite.not_run},
    )


@asynccontextmanager
async def _target(
    deps: Deps, endpoint: str, model: str, *, needed: bool
) -> AsyncIterator[Target | None]:
    """Who is asked; None where no suite asks anybody."""
    if not needed:
        yield None
        return
    target: Target
    if endpoint:
        texts = shipped_texts() if endpoint.startswith(BOT) else {}
        target = open_endpoint(endpoint, model, deps.settings, deps.rules, texts)
    else:
        target = await open_pipeline(deps)
    try:
        yield target
    finally:
        await target.close()


async def _rank(
    suite: RankedSuite,
    deps: Deps,
    endpoint: str,
    limit: int | None,
    kept: _Kept,
    progress: Progress,
) -> SuiteResult:
    folder = deps.settings.statutes
    if endpoint or folder is None:
        return _not_run(suite, IN_PROCESS_ONLY if endpoint else NOT_RUN)
    of = _hash_of_files(folder)
    with kept.part(suite.name, of) as (before, add):
        return await rank_statutes(
            suite,
            folder,
            deps.settings,
            await deps.embedder(),
            limit=limit,
            progress=progress,
            before=before,
            ranked_one=add,
        )


async def _judge(
    suite: MessageSuite,
    deps: Deps,
    endpoint: str,
    limit: int | None,
    kept: _Kept,
    progress: Progress,
) -> SuiteResult:
    if endpoint:
        return _not_run(suite, IN_PROCESS_ONLY)
    cases = suite.cases()[:limit]
    with kept.part(suite.name, f"{hash_of(cases)} {deps.rules.version}") as (before, add):
        done = len(before)

        def judged_one(one: Judged) -> None:
            nonlocal done
            done += 1
            add(message_record(suite, one))
            progress(suite.name, done, len(cases))

        progress(suite.name, done, len(cases))
        return await asyncio.to_thread(
            judge_messages, suite, deps.rules, limit, before=before, judged_one=judged_one
        )


async def _log(result: SuiteResult, kept: _Kept) -> None:
    """Leaves inspect's log beside the records, where inspect-ai is installed; it judged nothing."""
    try:
        from .harness import log_records
    except ModuleNotFoundError as error:
        if error.name != "inspect_ai":
            raise
        return
    if result.records:
        await log_records(result.name, result.records, kept.folder, {"run": kept.run})


def _not_run(suite: AnySuite, why: str) -> SuiteResult:
    return SuiteResult(suite.name, 0, 0, {}, suite.bars, (), (), (), not_run=why)


async def _ask(
    asked: Sequence[tuple[Suite, Sequence[Case]]],
    deps: Deps,
    target: Target | None,
    kept: _Kept,
    seeds: int,
    progress: Progress,
    *,
    compare: bool,
) -> list[SuiteResult]:
    if target is None:
        return []
    try:
        from .harness import Run, run_tasks
    except ModuleNotFoundError as error:
        if error.name != "inspect_ai":
            raise
        raise EvalUnavailable("inspect-ai is not installed: install the extra `eval`") from None
    empty = [suite for suite, cases in asked if not cases]
    left_out = [s for s, _ in asked if not target.searches and (s.stage != "reply" or s.documents)]
    taken = [(s, cases) for s, cases in asked if s not in (*left_out, *empty)]
    if not target.endpoint and deps.wants_model and any(s.stage == "reply" for s, _ in taken):
        # Opened before the clock of the first case runs; without it, cases are only quoted.
        with contextlib.suppress(ModelError):
            counted(deps, await deps.chat_model())
        verifier = await deps.verifier()
        if verifier is not None and not isinstance(verifier, Counted):
            deps.use_verifier(Counted(verifier))
    release = "" if target.endpoint else (await deps.index()).release.id
    async with contextlib.AsyncExitStack() as opened:
        runs = []
        for suite, cases in taken:
            whom = target
            if suite.documents is not None:
                own = planted(deps, suite.documents, suite.today, progress)
                whom = await open_pipeline(await opened.enter_async_context(own))
            # What is no reply is the same whatever the seed.
            runs.append(Run(suite, cases, whom, seeds if suite.stage == "reply" else 1))
        identity = {"run": kept.run, "release": release}
        if runs:
            await run_tasks(runs, kept.folder, identity, progress)
        if deps.settings.judge:
            await _have_judged(runs, deps, kept.folder, progress)
    searched = [(suite, cases) for suite, cases in taken if suite.stage == "search"]
    plain = await _plain(searched, deps, progress) if compare and searched else {}
    return [
        *(_result(done, plain.get(done.suite.name, {})) for done in runs),
        *(_not_run(suite, IN_PROCESS_ONLY) for suite in left_out),
        *(_not_run(suite, NO_CASE) for suite in empty if suite not in left_out),
    ]


async def _have_judged(runs: Sequence[Run], deps: Deps, folder: Path, progress: Progress) -> None:
    """Adds the verdicts of the judge that is set, and leaves what they are worth for the report.

    They are told, and no gate listens: neither a bar nor a baseline is of them. Raises JudgeFailed,
    ConfigError.
    """
    model, name = open_judge(deps.settings)
    without = Counter[Criterion]()
    try:
        for run in runs:
            records = list(run.records.values())
            given = {
                (record.suite, record.case, record.seed): run.materials[asking]
                for asking, record in run.records.items()
                if asking in run.materials
            }
            judged, unscored = await judge_records(
                model, records, given, progress=partial(progress, f"{run.suite.name}, judged")
            )
            run.records.update(zip(run.records, judged, strict=True))
            without.update(unscored)
    finally:
        await model.close()
    calibration = current_calibration(deps.settings.home, name)
    worth = {}
    for criterion, metric in METRIC.items():
        of = standing(calibration, criterion)
        known = "agrees enough with the labels" if of.usable else "not to be relied on"
        worth[metric] = f"{name}: {known} ({of.why}); {without[criterion]} without a verdict"
    (folder / CALIBRATION).write_text(
        json.dumps(worth, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )


async def _plain(
    asked: Sequence[tuple[Suite, Sequence[Case]]], deps: Deps, progress: Progress
) -> dict[str, dict[str, Share]]:
    """Suite -> what the usual recipe comes to over the documents of the live release."""
    index, embedder = await deps.index(), await deps.embedder()
    found: dict[str, dict[str, Share]] = {}
    async with open_plain(written_out(index.clauses), deps, embedder, progress) as plain:
        for suite, cases in asked:
            checks: dict[str, list[Check]] = {}
            for case in cases:
                vector = await asyncio.to_thread(embedder.query, case.text)
                near = await asyncio.to_thread(plain.nearest, vector, 5)
                seen = Seen(suite.today, tuple(near), {})
                for name in ("first", "within_five"):
                    if check := METRICS[name].check(case, seen):
                        checks.setdefault(name, []).append(check)
            found[suite.name] = {
                name: wilson(sum(c.passed for c in verdicts), len(verdicts))
                for name, verdicts in checks.items()
            }
    return found


def _result(run: Run, plain: Mapping[str, Share]) -> SuiteResult:
    suite = run.suite
    records = tuple(run.records[name] for name in run.askings)
    found = shares(records)
    measured = {name: found[name] for name in (*suite.metrics, *METRIC.values()) if name in found}
    missed = [
        name for name, bar in suite.bars.items() if name in measured and measured[name].value < bar
    ]
    scored = len({record.case for record in records if not record.fault})
    if not measured or scored < suite.least_scored * len(run.cases):
        missed.insert(0, "scored")
    return SuiteResult(
        name=suite.name,
        n=len(run.cases),
        scored=scored,
        metrics=measured,
        bars=suite.bars,
        missed=tuple(missed),
        failures=failures_of(records),
        models=tuple(dict.fromkeys(record.model for record in records if record.model)),
        plain=plain,
        records=records,
        info=_info(suite, run.cases),
    )


# What a run is of -------------------------------------------------------------------------------


def _measured(deps: Deps, endpoint: str, model: str) -> dict[str, object]:
    """What a run that was stopped must find as it was, to go on."""
    return {
        "code": _hash_of(*_MEASURED),
        "models": [*deps.model_specs],
        "llm": deps.settings.llm_base_url,
        "way": deps.settings.llm_way,
        "embeddings": deps.settings.embeddings,
        "rules": deps.rules.version,
        "endpoint": endpoint,
        "model": model,
    }


async def _versions(
    deps: Deps, endpoint: str, model: str, outcome: Outcome, *, released: bool
) -> dict[str, str]:
    """What a comparison lists where it differs."""
    answered = dict.fromkeys(name for suite in outcome.suites for name in suite.models)
    here = released and not endpoint
    return {
        "code": deps.code_version,
        "prompts": _hash_of("prompts"),
        "rules": deps.rules.version,
        "release": (await deps.index()).release.id if here else "",
        "model": ", ".join(answered) or model,
        "embeddings": (await deps.embedder()).name if here else "",
        "way": "" if endpoint else deps.settings.llm_way,
        "endpoint": endpoint,
        **({"prices": _prices_version(deps.settings)} if here and deps.settings.prices else {}),
    }


def _prices_version(settings: Settings) -> str:
    """Currency and hash of the prices: costs by others are not compared unnoticed."""
    assert settings.prices is not None
    content = hashlib.sha256(settings.prices.read_bytes()).hexdigest()
    return f"{load_prices(settings.prices).currency} {content[:8]}"


@dataclass(slots=True)
class _Kept:
    """What a run leaves in its folder while it goes on, so that it can go on after a stop.

    Questions stand in inspect's logs; other suites' records in a file of their own, a line each.
    """

    folder: Path
    run: str
    started: str
    """Instant in UTC, ISO 8601."""
    seconds: float
    """Spent before."""
    measured: Mapping[str, object]

    def __init__(self, folder: Path, measured: Mapping[str, object]) -> None:
        """Takes up the run that was stopped in this folder, if what it measured is as it was."""
        self.folder, self.measured = folder, measured
        before, over = _read(folder / _RUN), _read(folder / RESULTS)
        if before.get("measured") == measured and before.get("run") not in (None, over.get("run")):
            self.run = str(before["run"])
            self.started, self.seconds = str(before["started"]), float(before["seconds"])
            return
        self.run, self.seconds = uuid.uuid4().hex, 0.0
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def _write(self) -> None:
        held = {name: getattr(self, name) for name in ("run", "started", "seconds", "measured")}
        text = json.dumps(held, ensure_ascii=False, indent=2)
        (self.folder / _RUN).write_text(text + "\n", encoding="utf-8")

    def spent(self, seconds: float) -> float:
        """The seconds spent in all, with those of this process."""
        self.seconds = round(self.seconds + seconds, 1)
        self._write()
        return self.seconds

    @contextlib.contextmanager
    def part(
        self, suite: str, of: str
    ) -> Iterator[tuple[dict[str, CaseRecord], Callable[[CaseRecord], None]]]:
        """The records of a suite that stand already, by case, and a way to add one.

        of: what else the records follow from; others are not taken up.
        """
        head = {"run": self.run, "of": of}
        before: dict[str, CaseRecord] = {}
        file = self._part(suite)
        lines = file.read_text(encoding="utf-8").split("\n") if file.exists() else []
        if lines and lines[0] == json.dumps(head):
            for line in lines[1:]:
                # The last line may be half written.
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    record = record_from(json.loads(line))
                    before[record.case] = record
        with file.open("w", encoding="utf-8") as out:

            def add(record: CaseRecord) -> None:
                out.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
                out.flush()

            out.write(json.dumps(head) + "\n")
            for record in before.values():
                add(record)
            yield before, add

    def _part(self, suite: str) -> Path:
        return self.folder / f"part-{suite}.jsonl"

    def clear(self) -> None:
        """Removes what only a stopped run needs."""
        for file in self.folder.glob("part-*.jsonl"):
            file.unlink()


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _hash_of(*rooms: str) -> str:
    """A hash of the program and its wording: another program is another run."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((_ROOT / room).rglob("*")):
            if path.suffix in _MEASURED_FILES and "corpus" not in path.parts:
                digest.update(path.relative_to(_ROOT).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _hash_of_files(folder: Path) -> str:
    """By size and time: the files of a collection are large."""
    stats = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    held = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()[:16]
