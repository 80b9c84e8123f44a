"""Runs evaluation suites and says how good the assistant is, and where it is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistant.config import Settings
from assistant.deps import Deps, open_deps
from assistant.llm import ModelError

from .metrics import Check, Share, wilson
from .schema import BadCases, Case
from .suites import SUITES, Suite

__all__ = ["BadCases", "EvalUnavailable", "Outcome", "UnknownSuite", "evaluate", "run_suites"]


class UnknownSuite(Exception):
    """No suite has this name; the message lists those there are."""


class EvalUnavailable(Exception):
    """The evaluation extra is not installed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that is wrong in something, or could not be scored."""

    case: str
    text: str
    findings: Mapping[str, Check]
    """Metric -> verdict; `scored` alone where there was nothing to score."""


@dataclass(frozen=True, slots=True)
class SuiteResult:
    name: str
    n: int
    """Cases asked."""
    scored: int
    """Cases that got as far as a score; the others failed or ran out of time."""
    metrics: Mapping[str, Share]
    """Without the metrics that said nothing about any case."""
    bars: Mapping[str, float]
    missed: tuple[str, ...]
    """What keeps the suite from passing: metrics below their bar, or `scored`."""
    failures: tuple[Failure, ...]
    models: tuple[str, ...]
    """Who answered; empty where only the search was run."""

    @property
    def passed(self) -> bool:
        return not self.missed


@dataclass(frozen=True, slots=True)
class Outcome:
    suites: tuple[SuiteResult, ...]
    folder: Path
    """Where inspect's logs and `results.json` are."""

    @property
    def passed(self) -> bool:
        """Nothing measured is not a success."""
        return bool(self.suites) and all(suite.passed for suite in self.suites)

    def as_json(self) -> dict[str, Any]:
        return {
            "suites": [
                {
                    "name": suite.name,
                    "n": suite.n,
                    "scored": suite.scored,
                    "metrics": {
                        name: {
                            "value": round(share.value, 4),
                            "low": round(share.low, 4),
                            "high": round(share.high, 4),
                            "n": share.n,
                        }
                        for name, share in suite.metrics.items()
                    },
                    "models": list(suite.models),
                    "missed": list(suite.missed),
                    "passed": suite.passed,
                }
                for suite in self.suites
            ],
            "regressions": [],
            "passed": self.passed,
        }

    def as_text(self) -> str:
        lines: list[str] = []
        for suite in self.suites:
            verdict = "passed" if suite.passed else f"FAILED ({', '.join(suite.missed)})"
            lines.append(f"{suite.name}: {suite.scored} of {suite.n} cases scored, {verdict}")
            if suite.models:
                lines.append(f"  answered by {', '.join(suite.models)}")
            lines.append(f"  {'metric':<12} {'n':>4}  {'value':>6}  {'95 % interval':<14}  bar")
            for name, share in suite.metrics.items():
                interval = f"{share.low:.3f}-{share.high:.3f}"
                bar = f"{suite.bars[name]:.2f}" + ("  missed" if name in suite.missed else "")
                lines.append(
                    f"  {name:<12} {share.n:>4}  {share.value:>6.3f}  {interval:<14}  {bar}"
                )
            for failure in suite.failures:
                lines.append(f"  {failure.case}: {failure.text}")
                for name, check in failure.findings.items():
                    lines.append(f"    {name}: wanted {check.wanted}; got {check.got}")
            lines.append("")
        lines.append(f"logs: {self.folder}")
        return "\n".join(lines)


def run_suites(
    names: Sequence[str], settings: Settings, *, limit: int | None, folder: Path | None
) -> Outcome:
    """Run the suites named, or all, with what the settings say. Blocks for minutes.

    limit: the first so many cases of each suite only.
    folder: for logs and `results.json`; a new one under the home folder where it is None.
    Raises UnknownSuite, BadCases, EvalUnavailable, and what opening Deps raises.
    """
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise UnknownSuite(f"no suite {unknown[0]!r}: there are {', '.join(SUITES)}")
    suites = [SUITES[name] for name in dict.fromkeys(names)] or list(SUITES.values())
    if folder is None:
        folder = settings.home / "evals" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"

    async def main() -> Outcome:
        async with open_deps(settings) as deps:
            return await evaluate(suites, deps, limit=limit, folder=folder)

    return asyncio.run(main())


async def evaluate(
    suites: Sequence[Suite], deps: Deps, *, limit: int | None = None, folder: Path
) -> Outcome:
    """Run suites through the pipeline that `deps` makes up.

    Raises BadCases, EvalUnavailable, and what opening the live release raises.
    """
    try:
        from .harness import run_tasks
    except ModuleNotFoundError as error:
        if error.name != "inspect_ai":
            raise
        raise EvalUnavailable("inspect-ai is not installed: install the extra `eval`") from None
    asked: list[tuple[Suite, list[Case]]] = [(suite, suite.cases()[:limit]) for suite in suites]
    if deps.wants_model and any(suite.stage == "reply" for suite in suites):
        # Opened before the clock of the first case runs; without it, cases are only quoted.
        with contextlib.suppress(ModelError):
            await deps.chat_model()
    runs = await run_tasks(asked, deps, folder)
    results: list[SuiteResult] = []
    for run in runs:
        replies = [seen.reply for seen in run.seen.values() if seen.reply is not None]
        failures = [
            Failure(case.id, case.text, findings)
            for case in run.cases
            if (findings := _findings(run.checks.get(case.id, {}), run.faults.get(case.id)))
        ]
        verdicts = {
            name: [checks[name].passed for checks in run.checks.values() if name in checks]
            for name in run.suite.bars
        }
        results.append(
            _result(
                run.suite,
                n=len(run.cases),
                scored=len(run.seen),
                verdicts=verdicts,
                failures=failures,
                models=tuple(dict.fromkeys(reply.model for reply in replies if reply.model)),
            )
        )
    outcome = Outcome(tuple(results), folder)
    _write(outcome)
    return outcome


def _findings(checks: Mapping[str, Check], fault: str | None) -> dict[str, Check]:
    """What is wrong, without the metric that only sums up the others."""
    if fault is not None:
        return {"scored": Check(False, "a reply", fault)}
    return {name: c for name, c in checks.items() if not c.passed and name != "right"}


def _result(
    suite: Suite,
    *,
    n: int,
    scored: int,
    verdicts: Mapping[str, Sequence[bool]],
    failures: Sequence[Failure],
    models: tuple[str, ...],
) -> SuiteResult:
    shares = {name: wilson(sum(passed), len(passed)) for name, passed in verdicts.items() if passed}
    missed = [name for name, share in shares.items() if share.value < suite.bars[name]]
    if not shares or scored < suite.least_scored * n:
        missed.insert(0, "scored")
    return SuiteResult(
        suite.name, n, scored, shares, suite.bars, tuple(missed), tuple(failures), models
    )


def _write(outcome: Outcome) -> None:
    failures = {
        suite.name: [asdict(failure) for failure in suite.failures] for suite in outcome.suites
    }
    text = json.dumps(
        {**outcome.as_json(), "failures": failures}, ensure_ascii=False, indent=2, allow_nan=False
    )
    outcome.folder.mkdir(parents=True, exist_ok=True)
    (outcome.folder / "results.json").write_text(text + "\n", encoding="utf-8")
