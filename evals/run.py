"""Runs evaluation suites and says how good the assistant is, and where it is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.config import Settings
from assistant.deps import Deps, open_deps
from assistant.llm import ModelError

from .messages import MessageSuite, judge_messages
from .metrics import Check, Seen, Share, check_first, check_within_five, wilson
from .plain_recipe import Progress, open_plain, written_out
from .results import RESULTS, Failure, Outcome, SuiteResult, write_report
from .schema import BadCases, Case
from .statutes import NOT_RUN, load_collection, rank_statutes
from .suites import SUITES, AnySuite, RankedSuite, Suite

if TYPE_CHECKING:
    from .harness import Run

__all__ = [
    "BadCases",
    "EvalUnavailable",
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
_MEASURED_FILES = frozenset({".py", ".toml", ".j2"})


class UnknownSuite(Exception):
    """No suite has this name; the message lists those there are."""


class EvalUnavailable(Exception):
    """The evaluation extra is not installed."""


def _silent(stage: str, done: int, total: int) -> None:
    return None


def sizes(statutes: Path | None) -> dict[str, int | None]:
    """Suite -> number of its questions; None where its folder is not given. Raises BadCases."""
    queries = None if statutes is None else len(load_collection(statutes).queries)
    return {
        name: queries if isinstance(suite, RankedSuite) else len(suite.cases())
        for name, suite in SUITES.items()
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
    progress: Progress = _silent,
) -> Outcome:
    """Run the suites named, or all, with what the settings say. Blocks for minutes.

    limit: the first so many questions of each suite only.
    folder: for logs and results; a new one under the home folder where it is None. A run that was
    stopped goes on where its folder is given again and nothing it measures has changed.
    Raises UnknownSuite, BadCases, EvalUnavailable, and what opening Deps raises.
    """
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise UnknownSuite(f"no suite {unknown[0]!r}: there are {', '.join(SUITES)}")
    suites = [SUITES[name] for name in dict.fromkeys(names)] or list(SUITES.values())
    into = folder or new_folder(settings)

    async def main() -> Outcome:
        async with open_deps(settings) as deps:
            return await evaluate(
                suites, deps, limit=limit, folder=into, progress=progress, compare=True
            )

    return asyncio.run(main())


async def evaluate(
    suites: Sequence[AnySuite],
    deps: Deps,
    *,
    limit: int | None = None,
    folder: Path,
    progress: Progress = _silent,
    compare: bool = False,
) -> Outcome:
    """Run suites through the pipeline that `deps` makes up.

    compare: whether the usual recipe is run beside the suites that only search.
    Raises BadCases, EvalUnavailable, and what opening the live release raises.
    """
    run = _run_id(folder, deps)
    asked = [(suite, suite.cases()[:limit]) for suite in suites if isinstance(suite, Suite)]
    results = {
        result.name: result
        for result in await _ask(asked, deps, folder, run, progress, compare=compare)
    }
    for suite in suites:
        if isinstance(suite, RankedSuite):
            results[suite.name] = await _rank(suite, deps, limit, progress)
        elif isinstance(suite, MessageSuite):
            results[suite.name] = await asyncio.to_thread(judge_messages, suite, deps.rules, limit)
    outcome = Outcome(tuple(results[suite.name] for suite in suites), folder)
    write_report(outcome, run)
    return outcome


async def _rank(
    suite: RankedSuite, deps: Deps, limit: int | None, progress: Progress
) -> SuiteResult:
    folder = deps.settings.statutes
    if folder is None:
        return SuiteResult(suite.name, 0, 0, {}, suite.bars, (), (), (), not_run=NOT_RUN)
    return await rank_statutes(
        suite, folder, deps.settings, await deps.embedder(), limit=limit, progress=progress
    )


async def _ask(
    asked: Sequence[tuple[Suite, Sequence[Case]]],
    deps: Deps,
    folder: Path,
    run: str,
    progress: Progress,
    *,
    compare: bool,
) -> list[SuiteResult]:
    if not asked:
        return []
    try:
        from .harness import run_tasks
    except ModuleNotFoundError as error:
        if error.name != "inspect_ai":
            raise
        raise EvalUnavailable("inspect-ai is not installed: install the extra `eval`") from None
    if deps.wants_model and any(suite.stage == "reply" for suite, _ in asked):
        # Opened before the clock of the first case runs; without it, cases are only quoted.
        with contextlib.suppress(ModelError):
            await deps.chat_model()
    runs = await run_tasks(asked, deps, folder, run, progress)
    searched = [(suite, cases) for suite, cases in asked if suite.stage == "search"]
    plain = await _plain(searched, deps, progress) if compare and searched else {}
    return [_result(done, plain.get(done.suite.name, {})) for done in runs]


async def _plain(
    asked: Sequence[tuple[Suite, Sequence[Case]]], deps: Deps, progress: Progress
) -> dict[str, dict[str, Share]]:
    """Suite -> what the usual recipe comes to over the documents of the live release."""
    index, embedder = await deps.index(), await deps.embedder()
    shares: dict[str, dict[str, Share]] = {}
    async with open_plain(written_out(index.clauses), deps, embedder, progress) as plain:
        for suite, cases in asked:
            checks: dict[str, list[Check]] = {}
            for case in cases:
                vector = await asyncio.to_thread(embedder.query, case.text)
                near = await asyncio.to_thread(plain.nearest, vector, 5)
                seen = Seen(suite.today, tuple(near), {})
                for name, measure in (("first", check_first), ("within_five", check_within_five)):
                    if check := measure(case, seen):
                        checks.setdefault(name, []).append(check)
            shares[suite.name] = {
                name: wilson(sum(c.passed for c in found), len(found))
                for name, found in checks.items()
            }
    return shares


def _result(run: Run, plain: Mapping[str, Share]) -> SuiteResult:
    suite = run.suite
    verdicts = {
        name: [checks[name].passed for checks in run.checks.values() if name in checks]
        for name in suite.bars
    }
    shares = {name: wilson(sum(passed), len(passed)) for name, passed in verdicts.items() if passed}
    missed = [name for name, share in shares.items() if share.value < suite.bars[name]]
    if not shares or len(run.told) < suite.least_scored * len(run.cases):
        missed.insert(0, "scored")
    return SuiteResult(
        name=suite.name,
        n=len(run.cases),
        scored=len(run.told),
        metrics=shares,
        bars=suite.bars,
        missed=tuple(missed),
        failures=tuple(_failures(run)),
        models=tuple(dict.fromkeys(told.model for told in run.told.values() if told.model)),
        plain=plain,
    )


def _failures(run: Run) -> list[Failure]:
    failures = []
    for case in run.cases:
        findings = _findings(run.checks.get(case.id, {}), run.faults.get(case.id))
        if findings:
            told = run.told.get(case.id)
            failures.append(
                Failure(
                    case.id,
                    case.text,
                    findings,
                    expected=_expected(case),
                    said=told.said if told else "",
                    cited=told.cited if told else (),
                )
            )
    return failures


def _findings(checks: Mapping[str, Check], fault: str | None) -> dict[str, Check]:
    """What is wrong, without the metric that only sums up the others."""
    if fault is not None:
        return {"scored": Check(False, "a reply", fault)}
    return {name: c for name, c in checks.items() if not c.passed and name != "right"}


def _expected(case: Case) -> str:
    expect = case.expect
    parts = [" or ".join(expect.status)]
    if case.signed:
        parts.append(f"contract of {case.signed}")
    if case.as_of:
        parts.append(f"as of {case.as_of}")
    if expect.sources:
        parts.append(f"from {', '.join(expect.sources)}")
    parts += [f"says {' | '.join(fact)}" for fact in expect.facts]
    parts += [f"never {wording}" for wording in expect.forbidden]
    return "\n".join(parts)


def _run_id(folder: Path, deps: Deps) -> str:
    """The id of the run that was stopped in this folder, if what it measured is as it was."""
    measured = {
        "code": _code(),
        "models": [*deps.model_specs],
        "endpoint": deps.settings.llm_base_url,
        "way": deps.settings.llm_way,
        "embeddings": deps.settings.embeddings,
    }
    before, over = _read(folder / _RUN), _read(folder / RESULTS)
    if before.get("measured") == measured and before.get("run") not in (None, over.get("run")):
        return str(before["run"])
    run = uuid.uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    written = json.dumps({"run": run, "measured": measured}, ensure_ascii=False, indent=2)
    (folder / _RUN).write_text(written + "\n", encoding="utf-8")
    return run


def _read(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _code() -> str:
    """A hash of the program and its wording: another program is another run."""
    digest = hashlib.sha256()
    for root in _MEASURED:
        for path in sorted((_ROOT / root).rglob("*")):
            if path.suffix in _MEASURED_FILES and "corpus" not in path.parts:
                digest.update(path.relative_to(_ROOT).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
