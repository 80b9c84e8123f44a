"""A run beside a baseline: which cases changed, and whether that is more than chance.

The case is the unit, however often it was asked: its askings are averaged, and the difference of
the two averages is what is tested. A critical case fails the gate whether or not the baseline knew
of it; so does a drop of a metric that is significant at LEVEL over all metrics compared. What a
case costs and how long it takes is told as a ratio and fails nothing: machines differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .baseline import CaseVerdicts, RunVerdicts, Spread, SuiteVerdicts, Tally
from .metrics import Share, mean, wilson

LEVEL = 0.05
"""Of significance, over all metrics of all suites together."""

SCORED = "scored"
"""Whether a case came to a score at all, compared as a metric is."""

_STEPS = 840
"""A difference is counted in so many parts of 1: exact for up to eight askings a case, and
rounded for scores."""

LEAST_GAIN = 1e-4
"""Less is rounding: a baseline has six digits of a value."""

_SEED = 20261126
_RESAMPLES = 4000
_NAMED = 12


@dataclass(frozen=True, slots=True)
class Change:
    """A case that is judged otherwise than in the baseline."""

    case: str
    metrics: tuple[str, ...]
    """In which it became worse; in which it became better, where it became worse in none."""


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One metric of one suite, now and then."""

    suite: str
    metric: str
    before: Share
    now: Share
    difference: float
    """Mean over the cases, now less before."""
    low: float
    high: float
    """95 % interval of the difference, cases resampled."""
    broken: int
    """Cases that became worse in it."""
    fixed: int
    p: float
    """Chance of a drop like this if nothing had changed, one-sided."""
    adjusted: float
    """The same over all metrics compared."""

    @property
    def dropped(self) -> bool:
        return self.adjusted <= LEVEL


@dataclass(frozen=True, slots=True)
class Critical:
    """A case in which something failed that must never fail."""

    suite: str
    case: str
    metrics: tuple[str, ...]
    known: bool
    """Whether it failed in the baseline too."""


@dataclass(frozen=True, slots=True)
class SuiteChange:
    """What changed in a suite."""

    name: str
    cases: int
    broken: tuple[Change, ...]
    fixed: tuple[Change, ...]
    latency: Spread | None
    """Now as a multiple of before, of the median and the 95th percentile."""
    cost: Spread | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run beside a baseline."""

    baseline: str
    """The file."""
    started: str
    """When the run that it holds was started."""
    refused: tuple[str, ...] = ()
    """Why the two cannot be compared; the rest is then empty, but for what is critical."""
    notes: tuple[str, ...] = ()
    """What was not compared."""
    versions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What differs between the runs: name -> before and now."""
    suites: tuple[SuiteChange, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    critical: tuple[Critical, ...] = ()

    @property
    def dropped(self) -> tuple[MetricChange, ...]:
        return tuple(metric for metric in self.metrics if metric.dropped)

    @property
    def passed(self) -> bool:
        """Nothing compared is not a success."""
        return bool(self.suites) and not (self.refused or self.critical or self.dropped)

    def regressions(self) -> list[dict[str, Any]]:
        """Why the gate fails; empty where it does not."""
        found: list[dict[str, Any]] = [
            {"kind": "refused", "words": reason} for reason in self.refused
        ]
        found += [
            {"kind": "critical", **asdict(case), "words": _critical_words(case)}
            for case in self.critical
        ]
        cases = {suite.name: suite for suite in self.suites}
        for metric in self.dropped:
            changes = cases[metric.suite].broken
            found.append(
                {
                    "kind": "drop",
                    "suite": metric.suite,
                    "metric": metric.metric,
                    "before": round(metric.before.value, 4),
                    "now": round(metric.now.value, 4),
                    "p": float(f"{metric.adjusted:.3g}"),
                    "cases": [c.case for c in changes if metric.metric in c.metrics],
                    "words": _metric_words(metric),
                }
            )
        if not (self.suites or found):
            found.append({"kind": "refused", "words": "nothing was compared"})
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "metrics": [
                {**_rounded(asdict(metric)), "dropped": metric.dropped} for metric in self.metrics
            ],
            "regressions": self.regressions(),
            "passed": self.passed,
        }

    def as_text(self) -> str:
        lines = [f"beside {self.baseline}, run at {self.started}:"]
        lines += [f"  REFUSED: {reason}" for reason in self.refused]
        lines += [f"  not compared: {note}" for note in self.notes]
        lines += [
            f"  {name}: {before or 'none'} before, {now or 'none'} now"
            for name, (before, now) in self.versions.items()
        ]
        for suite in self.suites:
            lines.append(
                f"  {suite.name}: {len(suite.fixed)} cases fixed, {len(suite.broken)} broken, of "
                f"{suite.cases}{_times(suite)}"
            )
            lines += [f"    {line}" for line in _changes("broken", suite.broken)]
            lines += [f"    {line}" for line in _changes("fixed", suite.fixed)]
            lines += [
                f"    {'DROPPED: ' if m.dropped else ''}{_metric_words(m)}"
                for m in self.metrics
                if m.suite == suite.name and (m.broken or m.fixed)
            ]
        lines += [f"  CRITICAL: {_critical_words(case)}" for case in self.critical]
        lines.append("the gate is passed" if self.passed else "THE GATE IS NOT PASSED")
        return "\n".join(lines)


def compare(
    before: RunVerdicts,
    now: RunVerdicts,
    file: str | Path,
    *,
    whole: bool = False,
    not_run: Mapping[str, str] | None = None,
) -> Comparison:
    """file: of the baseline, to be named. whole: whether all suites were asked for.
    not_run: suite -> why it was left out all the same."""
    left_out = dict(not_run or {})
    missing = [name for name in before.suites if name not in now.suites]
    pairs = [
        (suite, now.suites[name]) for name, suite in before.suites.items() if name in now.suites
    ]
    refused = [reason for pair in pairs for reason in misfits(*pair)]
    if whole:
        refused += [
            f"{name}: there is no such suite any more" for name in missing if name not in left_out
        ]
    notes = [f"{name}, {left_out.get(name, 'which was not asked for')}" for name in missing]
    notes += [
        f"{name}, of which the baseline holds nothing"
        for name in now.suites
        if name not in before.suites
    ]
    notes += [
        f"{metric} of {was.name}, which the baseline does not hold"
        for was, found in pairs
        for metric in found.metrics
        if metric not in was.metrics
    ]
    return Comparison(
        baseline=str(file),
        started=before.started,
        refused=tuple(refused),
        notes=tuple(notes),
        versions={
            name: (before.versions.get(name, ""), now.versions.get(name, ""))
            for name in dict.fromkeys([*before.versions, *now.versions])
            if before.versions.get(name, "") != now.versions.get(name, "")
        },
        suites=() if refused else tuple(_suite(*pair) for pair in pairs),
        metrics=() if refused else _metrics(pairs),
        critical=tuple(
            Critical(name, case, found.critical, known=_known(before, name, case))
            for name, suite in now.suites.items()
            for case, found in suite.cases.items()
            if found.critical
        ),
    )


def _known(before: RunVerdicts, suite: str, case: str) -> bool:
    held = before.suites.get(suite)
    return held is not None and case in held.cases and bool(held.cases[case].critical)


def misfits(was: SuiteVerdicts, now: SuiteVerdicts) -> Iterable[str]:
    """Why a suite is not the one that the baseline is of, in its cases and definitions."""
    added = [case for case in now.cases if case not in was.cases]
    removed = [case for case in was.cases if case not in now.cases]
    changed = [
        case
        for case, found in now.cases.items()
        if case in was.cases and was.cases[case].digest != found.digest
    ]
    for what, cases in (("added", added), ("not asked", removed), ("changed", changed)):
        if cases:
            yield f"{was.name}: {len(cases)} cases were {what}: {_list(cases)}"
    if not (added or removed or changed) and was.hash and now.hash and was.hash != now.hash:
        yield f"{was.name}: what is given beside the questions changed, or their order"
    for metric, version in was.metrics.items():
        if metric not in now.metrics:
            yield f"{was.name}: {metric} is no longer measured"
        elif now.metrics[metric] != version:
            yield (
                f"{was.name}: {metric} is measured by definition {now.metrics[metric]} now, "
                f"and was by {version}"
            )


# What changed ------------------------------------------------------------------------------------


def _suite(was: SuiteVerdicts, now: SuiteVerdicts) -> SuiteChange:
    broken: list[Change] = []
    fixed: list[Change] = []
    for case, found in now.cases.items():
        differences = {
            metric: _gain(was.cases[case], found, metric)
            for metric in (SCORED, *was.metrics)
            if metric == SCORED or found.scored
        }
        worse = tuple(metric for metric, by in differences.items() if by < 0)
        better = tuple(metric for metric, by in differences.items() if by > 0)
        if worse:
            broken.append(Change(case, worse))
        elif better:
            fixed.append(Change(case, better))
    return SuiteChange(
        name=was.name,
        cases=len(now.cases),
        broken=tuple(broken),
        fixed=tuple(fixed),
        latency=_ratio(was.latency_ms, now.latency_ms),
        cost=_ratio(was.cost, now.cost),
    )


def _gain(was: CaseVerdicts, now: CaseVerdicts, metric: str) -> float:
    """How much better a case is; nothing where a baseline has only fewer digits of the same."""
    gain = _value(now, metric) - _value(was, metric)
    return gain if abs(gain) >= LEAST_GAIN else 0.0


def _value(found: CaseVerdicts, metric: str) -> float:
    """How good a case is by a metric, 0 to 1; one that says nothing finds nothing wrong.

    So a citation that appears where there was none, and is wrong, counts as a loss. Askings that
    came to no score are counted by SCORED alone.
    """
    if metric == SCORED:
        return 1 - found.unscored / found.askings
    tally = found.tallies.get(metric)
    return 1.0 if tally is None else tally.value


def _ratio(was: Spread | None, now: Spread | None) -> Spread | None:
    if was is None or now is None or not (was.median and was.p95):
        return None
    return Spread(round(now.median / was.median, 2), round(now.p95 / was.p95, 2))


def _metrics(pairs: Sequence[tuple[SuiteVerdicts, SuiteVerdicts]]) -> tuple[MetricChange, ...]:
    rows: list[tuple[str, str, Share, Share, list[float]]] = []
    for was, now in pairs:
        for metric in (SCORED, *was.metrics):
            before, after = _shares(was, metric), _shares(now, metric)
            if before is None or after is None:
                continue
            differences = [
                _gain(was.cases[case], found, metric)
                for case, found in now.cases.items()
                if metric == SCORED or (found.scored and was.cases[case].scored)
            ]
            rows.append((was.name, metric, before, after, differences))
    tests = [drop_test(differences) for *_, differences in rows]
    changes = []
    for row, test, adjusted in zip(rows, tests, adjust(tests), strict=True):
        suite, metric, before, after, differences = row
        low, high = _interval(differences)
        changes.append(
            MetricChange(
                suite=suite,
                metric=metric,
                before=before,
                now=after,
                difference=sum(differences) / len(differences) if differences else 0.0,
                low=low,
                high=high,
                broken=sum(difference < 0 for difference in differences),
                fixed=sum(difference > 0 for difference in differences),
                p=test.p,
                adjusted=adjusted,
            )
        )
    return tuple(changes)


def _shares(suite: SuiteVerdicts, metric: str) -> Share | None:
    """None where the metric says nothing about any case."""
    if metric == SCORED:
        return wilson(sum(case.scored for case in suite.cases.values()), len(suite.cases))
    return share_of([c.tallies[metric] for c in suite.cases.values() if metric in c.tallies])


def share_of(tallies: Sequence[Tally]) -> Share | None:
    """The mean over cases with its interval, in which cases are resampled and not askings."""
    values = [tally.value for tally in tallies]
    if not values:
        return None
    if all(value in (0.0, 1.0) for value in values):
        return wilson(round(sum(values)), len(values))
    return mean(values)


# Chance ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DropTest:
    """A one-sided test of a drop."""

    p: float
    least: float
    """What p would be had every case that changed become worse."""


def drop_test(differences: Sequence[float]) -> DropTest:
    """The exact paired test of a drop: how often chance alone gives a sum as low as this, where
    the sign of each case's difference is tossed.

    For verdicts asked once this is McNemar's exact test, one-sided. Source: Fisher 1935, The
    Design of Experiments, section 21.
    """
    steps = [round(difference * _STEPS) for difference in differences]
    sizes = [abs(step) for step in steps if step]
    if not sizes:
        return DropTest(1.0, 1.0)
    unit = math.gcd(*sizes)
    sizes = [size // unit for size in sizes]
    lost = sum(-step // unit for step in steps if step < 0)
    # chances[s]: that the sizes of the cases that are tossed to be losses sum up to s.
    chances = np.zeros(sum(sizes) + 1)
    chances[0] = 1.0
    reached = 0
    for size in sizes:
        reached += size
        chances[size : reached + 1] += chances[: reached + 1 - size].copy()
        chances[: reached + 1] /= 2
    return DropTest(min(1.0, float(chances[lost:].sum())), 0.5 ** len(sizes))


def adjust(tests: Sequence[DropTest]) -> list[float]:
    """Each p over all of them: the chance that any is as low, were nothing changed, is below it.

    Tests in which too few cases changed to be significant whichever way, which is known without
    looking at the way, are set aside and get 1. Sources: Tarone 1990, Biometrics 46: 515-522, for
    those; Holm 1979, Scandinavian Journal of Statistics 6: 65-70, for the rest.
    """
    held: list[int] = []
    for size in range(1, len(tests) + 1):
        held = [place for place, test in enumerate(tests) if test.least <= LEVEL / size]
        if len(held) <= size:
            break
    adjusted = [1.0] * len(tests)
    highest = 0.0
    for rank, place in enumerate(sorted(held, key=lambda place: tests[place].p)):
        highest = max(highest, min(1.0, tests[place].p * (len(held) - rank)))
        adjusted[place] = highest
    return adjusted


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    """The bootstrap percentile interval of their mean, the same at every call."""
    if not any(differences):
        return 0.0, 0.0
    values, counts = np.unique(np.asarray(differences), return_counts=True)
    draws = np.random.default_rng(_SEED).multinomial(
        len(differences), counts / len(differences), size=_RESAMPLES
    )
    low, high = np.quantile(draws @ values / len(differences), (0.025, 0.975))
    return float(low), float(high)


# In words ----------------------------------------------------------------------------------------


def _metric_words(metric: MetricChange) -> str:
    return (
        f"{metric.metric} of {metric.suite} {metric.before.value:.3f} before, "
        f"{metric.now.value:.3f} now: {metric.broken} broken, {metric.fixed} fixed, by "
        f"{metric.difference:+.3f} ({metric.low:+.3f} to {metric.high:+.3f}), "
        f"p {metric.p:.2g}, over all metrics {metric.adjusted:.2g}"
    )


def _critical_words(case: Critical) -> str:
    known = ", as in the baseline" if case.known else ""
    return f"{case.case} of {case.suite} failed {', '.join(case.metrics)}{known}"


def _changes(what: str, changes: Sequence[Change]) -> list[str]:
    named = [f"{change.case} ({', '.join(change.metrics)})" for change in changes]
    return [f"{what}: {_list(named)}"] if named else []


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _times(suite: SuiteChange) -> str:
    parts = [
        f"{name} x {ratio.median:g} (p95 x {ratio.p95:g})"
        for name, ratio in (("time", suite.latency), ("cost", suite.cost))
        if ratio is not None
    ]
    return f"; {', '.join(parts)}" if parts else ""


def _rounded(found: Any) -> Any:
    if isinstance(found, float):
        return float(f"{found:.4g}")
    if isinstance(found, dict):
        return {name: _rounded(value) for name, value in found.items()}
    return found
