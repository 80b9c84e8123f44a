"""A baseline: the verdicts of a run, case by case, without texts, that later runs are held to.

It is renewed with `zhunxin eval run SUITE... --save-baseline FILE`, and the change is then read as
any other: a line a case.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from .judge import METRIC
from .records import CaseRecord, RunInfo, SuiteInfo, read_cases, read_info

FORMAT = 1

QUICK = 10
"""Cases of a suite, at most, that are asked wherever the tests run."""

_NOTHING, _PASSED, _FAILED = "-", "+", "x"


class BadBaseline(Exception):
    """A file is no baseline that can be read; the message names the file and what is wrong."""


class NotKept(Exception):
    """A run cannot be a baseline; the message says why."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a metric made of one case, over all its askings."""

    passed: float
    """CaseVerdicts that were good; the sum of the scores where the metric is a share or a gain."""
    said: int
    """Askings about which the metric says something, at least one."""

    @property
    def value(self) -> float:
        """0 to 1, best high."""
        return self.passed / self.said


@dataclass(frozen=True, slots=True)
class CaseVerdicts:
    """What came of one case."""

    digest: str
    """Hash of the text and of what is expected."""
    tallies: Mapping[str, Tally]
    """Metric -> verdict; metrics that say nothing about the case are missing."""
    askings: int = 1
    unscored: int = 0
    """Askings that came to no score."""
    critical: tuple[str, ...] = ()
    """Metrics that must never fail and did, in any asking."""

    @property
    def scored(self) -> bool:
        """Whether any asking came to a score."""
        return self.unscored < self.askings


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity of each asking is spread over a suite."""

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class SuiteVerdicts:
    """What came of a suite."""

    name: str
    hash: str
    """Of the cases asked, in order; empty where it is a part of them."""
    metrics: Mapping[str, int]
    """Metric -> version of its definition."""
    askings: int
    """How often each case was asked."""
    cases: Mapping[str, CaseVerdicts]
    latency_ms: Spread | None = None
    cost: Spread | None = None
    """In the currency of the prices that were given; None where there were none."""
    quick: tuple[str, ...] = ()
    """Cases that stand for all of them where there is little time; see `_quick`."""


@dataclass(frozen=True, slots=True)
class RunVerdicts:
    """A run without its texts."""

    started: str
    """Instant in UTC, ISO 8601."""
    versions: Mapping[str, str]
    suites: Mapping[str, SuiteVerdicts] = field(default_factory=dict)

    def part(self, cases: Mapping[str, Sequence[str]]) -> RunVerdicts:
        """As if only these cases of these suites had been asked. Raises KeyError."""
        suites = {
            name: replace(
                self.suites[name],
                hash="",
                cases={case: self.suites[name].cases[case] for case in asked},
                quick=tuple(case for case in self.suites[name].quick if case in {*asked}),
                # What was spread over all of them says nothing about a part.
                latency_ms=None,
                cost=None,
            )
            for name, asked in cases.items()
        }
        return replace(self, suites=suites)

    def quick(self) -> dict[str, tuple[str, ...]]:
        """Suite -> the cases that stand for all of them."""
        return {name: suite.quick for name, suite in self.suites.items()}


def verdicts_of(info: RunInfo, records: Iterable[CaseRecord]) -> RunVerdicts:
    """The run without its texts. Raises NotKept where a suite has no account."""
    known = {suite.name: suite for suite in info.suites}
    by_suite = groupby(sorted(records, key=lambda record: record.suite), lambda r: r.suite)
    found = {name: list(rows) for name, rows in by_suite}
    if strange := found.keys() - known.keys():
        raise NotKept(f"the run has cases of {min(strange)!r}, but no account of that suite")
    suites = {name: _suite(suite, found[name]) for name, suite in known.items() if found.get(name)}
    return RunVerdicts(info.started, dict(info.versions), suites)


def _suite(info: SuiteInfo, records: Sequence[CaseRecord]) -> SuiteVerdicts:
    by_case: dict[str, list[CaseRecord]] = {}
    for record in records:
        by_case.setdefault(record.case, []).append(record)
    scored = [record for record in records if not record.fault]
    costs = [record.cost for record in scored if record.cost is not None]
    return SuiteVerdicts(
        name=info.name,
        hash=info.cases,
        metrics=dict(info.metrics),
        askings=max(map(len, by_case.values())),
        cases={case: _verdicts(askings) for case, askings in by_case.items()},
        latency_ms=spread([record.latency_ms for record in scored]),
        cost=spread(costs) if len(costs) == len(scored) else None,
        quick=_quick([a[0] for a in by_case.values() if not any(asked.critical for asked in a)]),
    )


def _verdicts(askings: Sequence[CaseRecord]) -> CaseVerdicts:
    sums: dict[str, list[float]] = {}
    for asking in askings:
        for name, check in asking.checks.items():
            if name in METRIC.values():
                # A judge may say otherwise tomorrow: no run is held to its verdicts.
                continue
            value = float(check.passed) if check.score is None else check.score
            sums.setdefault(name, []).append(value)
    return CaseVerdicts(
        digest=_digest(askings[0]),
        tallies={name: Tally(sum(values), len(values)) for name, values in sums.items()},
        askings=len(askings),
        unscored=sum(bool(asking.fault) for asking in askings),
        critical=tuple(dict.fromkeys(name for a in askings for name in a.critical)),
    )


def to_ask(info: SuiteInfo, cases: Iterable[Asked]) -> SuiteVerdicts:
    """A suite of which nothing has come yet, to tell whether it is the one a baseline is of."""
    held = {case.id: CaseVerdicts(_digest(case), {}) for case in cases}
    return SuiteVerdicts(info.name, info.cases, dict(info.metrics), 1, held)


class Asked(Protocol):
    """A case of any suite."""

    @property
    def id(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def expected(self) -> str: ...


def _digest(case: Asked | CaseRecord) -> str:
    held = json.dumps([case.text, case.expected], ensure_ascii=False)
    return hashlib.sha256(held.encode()).hexdigest()[:8]


def spread(values: Sequence[float]) -> Spread | None:
    """None where there are no values."""
    if not values:
        return None
    ranked = sorted(values)
    return Spread(statistics.median(ranked), ranked[min(len(ranked) - 1, len(ranked) * 95 // 100)])


def _quick(cases: Sequence[CaseRecord]) -> tuple[str, ...]:
    """Up to QUICK cases, in turn one of each topic and difficulty.

    Those that are critical fail the gate of all cases, and are left to it.
    By a hash of the id, so that a case that is added displaces few of the others.
    """
    strata: dict[tuple[str, str], list[str]] = {}
    for case in sorted(cases, key=lambda case: hashlib.sha256(case.case.encode()).digest()):
        strata.setdefault((case.topic, case.difficulty), []).append(case.case)
    turns = [(turn, of, case) for of, held in strata.items() for turn, case in enumerate(held)]
    return tuple(sorted(case for _, _, case in sorted(turns)[:QUICK]))


# Its file ----------------------------------------------------------------------------------------


def check_kept(run: RunVerdicts, file: Path) -> None:
    """Raises NotKept where a run cannot take the place of what the file holds, if anything."""
    if not run.suites:
        raise NotKept("nothing was run")
    for suite in run.suites.values():
        if lost := [case for case, found in suite.cases.items() if found.unscored]:
            raise NotKept(f"{suite.name}: {_named(lost)} came to no score")
    if file.exists():
        gone = read_baseline(file).suites.keys() - run.suites.keys()
        if gone:
            raise NotKept(
                f"{file} holds {_named(sorted(gone))} too, which was not run: run it as well, "
                "or remove the file first"
            )


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def keep(folder: Path, file: Path) -> None:
    """Make a baseline of the run in a folder. Raises NotKept, BadBaseline, records.BadRun."""
    write_baseline(file, verdicts_of(read_info(folder), read_cases(folder)))


def write_baseline(file: Path, run: RunVerdicts) -> None:
    """Raises NotKept, and BadBaseline where what the file holds cannot be read."""
    check_kept(run, file)
    head = {"format": FORMAT, "started": run.started, "versions": dict(run.versions)}
    lines = [f" {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    suites = ",\n".join(
        f"  {json.dumps(name)}: {_suite_text(suite)}" for name, suite in run.suites.items()
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(["{", *lines, ' "suites": {', suites, " }", "}", ""])
    file.write_text(text, encoding="utf-8")


def _suite_text(suite: SuiteVerdicts) -> str:
    """JSON with a line a case, so that a change of the file can be read."""
    rows = {
        "hash": suite.hash,
        "metrics": dict(suite.metrics),
        "askings": suite.askings,
        "latency_ms": _spread_row(suite.latency_ms),
        "cost": _spread_row(suite.cost),
        "quick": [*suite.quick],
        "critical": {case: [*v.critical] for case, v in suite.cases.items() if v.critical},
    }
    lines = [f"   {json.dumps(name)}: {json.dumps(value)}," for name, value in rows.items()]
    cases = ",\n".join(
        f"    {json.dumps(case)}: {json.dumps(_row(found, suite))}"
        for case, found in suite.cases.items()
    )
    return "\n".join(["{", *lines, '   "cases": {', cases, "   }", "  }"])


def _spread_row(found: Spread | None) -> list[float] | None:
    # Two digits are enough for a ratio, and most renewals then change nothing.
    return None if found is None else [float(f"{found.median:.2g}"), float(f"{found.p95:.2g}")]


def _row(found: CaseVerdicts, suite: SuiteVerdicts) -> str:
    """Digest, then a mark for each metric: `+`, `x`, `-` where it says nothing, or `2/5`."""
    marks = [found.digest]
    for name in suite.metrics:
        tally = found.tallies.get(name)
        if tally is None:
            marks.append(_NOTHING)
        elif tally.said == suite.askings and tally.passed in (0, tally.said):
            marks.append(_PASSED if tally.passed else _FAILED)
        else:
            marks.append(f"{tally.passed:.6g}/{tally.said}")
    return " ".join(marks)


def read_baseline(file: Path) -> RunVerdicts:
    """Raises BadBaseline."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadBaseline(f"{file}: cannot be read") from error
    except ValueError as error:
        raise BadBaseline(f"{file}: is not JSON ({error})") from error
    if not isinstance(found, dict) or "suites" not in found:
        raise BadBaseline(f"{file}: is no baseline")
    if found.get("format") != FORMAT:
        raise BadBaseline(
            f"{file}: has format {found.get('format')!r}, expected {FORMAT}: "
            "save it anew with --save-baseline"
        )
    try:
        suites = {name: _read_suite(name, held) for name, held in found["suites"].items()}
        return RunVerdicts(str(found["started"]), dict(found["versions"]), suites)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadBaseline(f"{file}: {type(error).__name__}: {error}") from error


def _read_suite(name: str, held: Mapping[str, Any]) -> SuiteVerdicts:
    metrics = {metric: int(version) for metric, version in held["metrics"].items()}
    askings = int(held["askings"])
    cases = {
        case: _read_row(f"{name}: {case}", row, metrics, askings, held["critical"].get(case, ()))
        for case, row in held["cases"].items()
    }
    if not cases:
        raise ValueError(f"{name} holds no case")
    if strange := {*held["quick"], *held["critical"]} - cases.keys():
        raise ValueError(f"{name} names {min(strange)!r}, which is none of its cases")
    return SuiteVerdicts(
        name=name,
        hash=str(held["hash"]),
        metrics=metrics,
        askings=askings,
        cases=cases,
        latency_ms=Spread(*held["latency_ms"]) if held["latency_ms"] else None,
        cost=Spread(*held["cost"]) if held["cost"] else None,
        quick=tuple(held["quick"]),
    )


def _read_row(
    where: str, row: str, metrics: Mapping[str, int], askings: int, critical: Sequence[str]
) -> CaseVerdicts:
    digest, *marks = row.split(" ")
    if len(marks) != len(metrics):
        raise ValueError(f"{where} has {len(marks)} verdicts for {len(metrics)} metrics")
    tallies: dict[str, Tally] = {}
    for name, mark in zip(metrics, marks, strict=True):
        passed, _, said = _spelled(mark, askings).partition("/")
        if mark == _NOTHING:
            continue
        tally = Tally(float(passed), int(said))
        if not 0 <= tally.passed <= tally.said or tally.said < 1:
            raise ValueError(f"{where}: {name}: {mark!r} is no verdict")
        tallies[name] = tally
    return CaseVerdicts(digest, tallies, askings, critical=tuple(critical))


def _spelled(mark: str, askings: int) -> str:
    return {_PASSED: f"{askings}/{askings}", _FAILED: f"0/{askings}"}.get(mark, mark)
