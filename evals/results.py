"""What came of a run: figures, what is wrong, and the files that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .compare import Comparison
from .metrics import METRICS, Check, Share, mean, wilson
from .records import CaseRecord, SuiteInfo

RESULTS = "results.json"
FAILURES = "failures.md"

_BREAKS = re.compile(r"\s*\n\s*")


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that is wrong in something, or could not be scored."""

    case: str
    text: str
    findings: Mapping[str, Check]
    """Metric -> verdict; `scored` alone where there was nothing to score."""
    expected: str = ""
    said: str = ""
    """The reply; empty where only the search was run."""
    cited: tuple[str, ...] = ()
    """Documents and places cited, or found where only the search was run."""
    seed: int = 0


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
    plain: Mapping[str, Share] = field(default_factory=dict)
    """The same metrics of the usual recipe, of the same run; empty where it was not run."""
    tables: tuple[str, ...] = ()
    """More of what was found, in Markdown, for the report."""
    not_run: str = ""
    """Why the suite was left out; what else it says is then empty."""
    records: tuple[CaseRecord, ...] = ()
    """What came of each case, each seed of a case apart."""
    info: SuiteInfo | None = None
    """None where the suite was not run."""

    @property
    def passed(self) -> bool:
        return not self.missed


def shares(records: Sequence[CaseRecord]) -> dict[str, Share]:
    """Metric -> its share over the cases that it says something about, in order of appearance.

    A case that was asked several times counts once, with the mean of its verdicts.
    """
    found: dict[str, dict[str, list[float]]] = {}
    graded: set[str] = set()
    for record in records:
        for name, check in record.checks.items():
            value = float(check.passed) if check.score is None else check.score
            found.setdefault(name, {}).setdefault(record.case, []).append(value)
            if check.score is not None:
                graded.add(name)
    result: dict[str, Share] = {}
    for name, cases in found.items():
        values = [sum(verdicts) / len(verdicts) for verdicts in cases.values()]
        yes_or_no = name not in graded and all(value in (0.0, 1.0) for value in values)
        result[name] = wilson(round(sum(values)), len(values)) if yes_or_no else mean(values)
    return result


def failed_critical(checks: Mapping[str, Check]) -> tuple[str, ...]:
    """The failed metrics that must never fail."""
    return tuple(
        n for n, c in checks.items() if not c.passed and n in METRICS and METRICS[n].critical
    )


def failures_of(records: Sequence[CaseRecord]) -> tuple[Failure, ...]:
    """The cases that are wrong in something, without the metric that only sums up the others."""
    failures = []
    for record in records:
        findings = {n: c for n, c in record.checks.items() if not c.passed and n != "right"}
        if record.fault:
            findings = {"scored": Check(False, "a reply", record.fault)}
        if findings:
            failures.append(
                Failure(
                    case=record.case,
                    text=record.text,
                    findings=findings,
                    expected=record.expected,
                    said=record.said,
                    cited=record.cited,
                    seed=record.seed,
                )
            )
    return tuple(failures)


@dataclass(frozen=True, slots=True)
class Outcome:
    suites: tuple[SuiteResult, ...]
    folder: Path
    """Where inspect's logs, `info.json`, `cases.jsonl`, `results.json` and `failures.md` are."""
    comparison: Comparison | None = None
    """With a baseline, where one was given."""

    @property
    def passed(self) -> bool:
        """Nothing measured is not a success; a suite that its folder is missing for is no fault."""
        held = self.comparison is None or self.comparison.passed
        return held and bool(self.suites) and all(suite.passed for suite in self.suites)

    def as_json(self) -> dict[str, Any]:
        return {
            "suites": [
                {
                    "name": suite.name,
                    "n": suite.n,
                    "scored": suite.scored,
                    "metrics": _shares(suite.metrics),
                    "plain": _shares(suite.plain),
                    "models": list(suite.models),
                    "missed": list(suite.missed),
                    "not_run": suite.not_run,
                    "passed": None if suite.not_run else suite.passed,
                }
                for suite in self.suites
            ],
            "regressions": self.comparison.regressions() if self.comparison else [],
            "comparison": self.comparison.as_json() if self.comparison else None,
            "passed": self.passed,
        }

    def as_text(self) -> str:
        lines: list[str] = []
        for suite in self.suites:
            if suite.not_run:
                lines += [f"{suite.name}: not run, {suite.not_run}", ""]
                continue
            verdict = "passed" if suite.passed else f"FAILED ({', '.join(suite.missed)})"
            lines.append(f"{suite.name}: {suite.scored} of {suite.n} cases scored, {verdict}")
            if suite.models:
                lines.append(f"  answered by {', '.join(suite.models)}")
            lines.append(
                f"  {'metric':<14} {'n':>4}  {'value':>6}  {'95 % interval':<14}  {'bar':<12}"
                + ("  plain recipe" if suite.plain else "")
            )
            for name, share in suite.metrics.items():
                bar = f"{suite.bars[name]:.2f}" if name in suite.bars else "-"
                bar += "  missed" if name in suite.missed else ""
                plain = suite.plain.get(name)
                lines.append(
                    f"  {name:<14} {share.n:>4}  {share.value:>6.3f}  {_interval(share):<14}  "
                    f"{bar:<12}" + (f"  {plain.value:.3f}  {_interval(plain)}" if plain else "")
                )
            for failure in suite.failures:
                lines.append(f"  {failure.case}: {failure.text}")
                for name, check in failure.findings.items():
                    lines.append(f"    {name}: wanted {check.wanted}; got {check.got}")
            lines.append("")
        if self.comparison:
            lines += [self.comparison.as_text(), ""]
        lines.append(f"logs: {self.folder}")
        return "\n".join(line.rstrip() for line in lines)


def write_report(outcome: Outcome, run: str) -> None:
    """The figures as JSON, and the failures as a table to read.

    run: id of the run; a run whose id stands in the results is over.
    """
    failures = {
        suite.name: [asdict(failure) for failure in suite.failures] for suite in outcome.suites
    }
    text = json.dumps(
        {**outcome.as_json(), "failures": failures, "run": run},
        ensure_ascii=False,
        indent=2,
        allow_nan=False,
    )
    outcome.folder.mkdir(parents=True, exist_ok=True)
    (outcome.folder / FAILURES).write_text(_table(outcome), encoding="utf-8")
    (outcome.folder / RESULTS).write_text(text + "\n", encoding="utf-8")


def _table(outcome: Outcome) -> str:
    lines = ["# What went wrong", ""]
    for suite in outcome.suites:
        wrong = "not run" if suite.not_run else f"{len(suite.failures)} of {suite.n} cases"
        lines += [f"## {suite.name}: {wrong}", ""]
        lines += [line for table in suite.tables for line in (table, "")]
        if not suite.failures:
            continue
        lines.append("| case | asked | expected | said | cited | wrong in |")
        lines.append("|---|---|---|---|---|---|")
        for failure in suite.failures:
            wrong_in = "; ".join(
                f"{name}: {check.got}" if name == "scored" else name
                for name, check in failure.findings.items()
            )
            cells = [
                failure.case,
                failure.text,
                failure.expected,
                failure.said,
                "; ".join(failure.cited),
                wrong_in,
            ]
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return _BREAKS.sub("<br>", text.strip()).replace("|", "\\|") or "–"


def _shares(shares: Mapping[str, Share]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "value": round(share.value, 4),
            "low": round(share.low, 4),
            "high": round(share.high, 4),
            "n": share.n,
        }
        for name, share in shares.items()
    }


def _interval(share: Share) -> str:
    return f"{share.low:.3f}-{share.high:.3f}"
