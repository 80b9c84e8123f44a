"""What a run comes to: by suite, topic and difficulty, and against an earlier run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

from .baseline import NotKept, RunVerdicts, verdicts_of
from .compare import Change as CaseChange
from .compare import compare as compare_verdicts
from .metrics import Check, Share, wilson
from .records import BadRun, CaseRecord, RunInfo, read_cases, read_info, record_from
from .results import shares
from .suites import SUITES, RankedSuite

JUDGED = "judge_"
"""How the names of metrics begin that a model gave its verdict on."""
CALIBRATION = "calibration.json"
"""Beside the records of a run that a judge took part in: metric -> what its judge is worth."""
DIFFICULTIES = ("easy", "medium", "hard")
SUMS = frozenset({"right", "exact"})
"""Metrics that only sum up others."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The cases of a suite that share a topic or a difficulty."""

    name: str
    n: int
    failed: int
    """Cases that are wrong in something, or could not be scored."""
    passed: Share
    """Of the cases that are right in everything."""
    metrics: Mapping[str, Share]


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How often a rule that labelled messages break was found or missed, or found wrongly."""

    rule: str
    found: int
    missed: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Part:
    """A suite as it came out."""

    name: str
    n: int
    """Cases; one that was asked several times counts once."""
    faults: int
    """Cases that came to nothing at least once."""
    failed: int
    """Cases that are wrong in something, faults included."""
    critical: int
    """Cases that are wrong in what must never fail."""
    metrics: Mapping[str, Share]
    bars: Mapping[str, float]
    topics: tuple[Slice, ...]
    difficulties: tuple[Slice, ...]
    rules: tuple[RuleCount, ...]
    """Of labelled messages; those with most mistakes first."""
    latency_ms: tuple[float, float] | None
    """Median and 95th percentile; None where nothing was timed."""
    tokens: tuple[int, int]
    uncounted: int
    """Calls of a model whose tokens are not known."""
    cost: float | None
    """Of all cases together; None where that of one is not known."""
    worst: tuple[CaseRecord, ...]
    """All that is wrong, what must never fail first."""

    @property
    def missed(self) -> tuple[str, ...]:
        return tuple(
            name
            for name, bar in self.bars.items()
            if name in self.metrics and self.metrics[name].value < bar
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A run as read from its folder."""

    info: RunInfo
    records: tuple[CaseRecord, ...]
    parts: tuple[Part, ...]
    calibration: Mapping[str, str] = field(default_factory=dict)
    """Judged metric -> agreement with labels, in words; those missing are not calibrated."""

    @property
    def judged(self) -> tuple[str, ...]:
        named = (name for part in self.parts for name in part.metrics if name.startswith(JUDGED))
        return tuple(dict.fromkeys(named))


def read_run(folder: Path) -> Run:
    """Raises BadRun."""
    info = read_info(folder)
    records = tuple(_encodable(record) for record in read_cases(folder))
    return run_of(info, records, _calibration(folder))


def _encodable(record: CaseRecord) -> CaseRecord:
    """The record without halves of surrogate pairs, which JSON can bring and nothing can write."""
    held = asdict(record)
    try:
        json.dumps(held, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        whole = json.dumps(held, ensure_ascii=False).encode("utf-8", "replace")
        return record_from(json.loads(whole))
    return record


def run_of(
    info: RunInfo, records: Sequence[CaseRecord], calibration: Mapping[str, str] | None = None
) -> Run:
    by_suite: dict[str, list[CaseRecord]] = {suite.name: [] for suite in info.suites}
    for record in records:
        by_suite.setdefault(record.suite, []).append(record)
    parts = tuple(_part(name, found) for name, found in by_suite.items())
    return Run(info, tuple(records), parts, calibration or {})


def _part(name: str, records: Sequence[CaseRecord]) -> Part:
    wrong = [record for record in records if not record.passed]
    times = [record.latency_ms for record in records if record.latency_ms > 0]
    costs = [record.cost for record in records if record.cost is not None]
    suite = SUITES.get(name)
    return Part(
        name=name,
        n=_count(records),
        faults=_count(record for record in records if record.fault),
        failed=_count(wrong),
        critical=_count(record for record in records if record.critical),
        metrics=shares(records),
        bars={} if suite is None else suite.bars,
        topics=_slices(records, lambda record: record.topic),
        difficulties=() if isinstance(suite, RankedSuite) else _slices(records, _difficulty),
        rules=_by_rule(records),
        latency_ms=_latency(times),
        tokens=(sum(r.tokens_in for r in records), sum(r.tokens_out for r in records)),
        uncounted=sum(record.uncounted for record in records),
        cost=sum(costs) if costs and len(costs) == len(records) else None,
        worst=tuple(sorted(wrong, key=badness)),
    )


def _by_rule(records: Iterable[CaseRecord]) -> tuple[RuleCount, ...]:
    counts = Counter(outcome for record in records for outcome in record.rules.items())
    found = (
        RuleCount(rule, counts[rule, "found"], counts[rule, "missed"], counts[rule, "wrong"])
        for rule in {rule for rule, _ in counts}
    )
    return tuple(sorted(found, key=lambda one: (-one.missed - one.wrong, one.rule)))


def wrong_in(record: CaseRecord) -> dict[str, Check]:
    """What failed; a metric that sums up others only where it stands alone."""
    failed = {name: check for name, check in record.checks.items() if not check.passed}
    return {name: c for name, c in failed.items() if name not in SUMS} or failed


def _difficulty(record: CaseRecord) -> str:
    return record.difficulty


def badness(record: CaseRecord) -> tuple[int, int, int]:
    """What must never fail first, then what failed in most, then what came to nothing."""
    failed = sum(not check.passed for check in record.checks.values())
    return (-len(record.critical), -failed, 0 if not record.fault else 1)


def _latency(times: Sequence[float]) -> tuple[float, float] | None:
    if not times:
        return None
    high = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    return (median(times), max(median(times), min(high, max(times))))


def _count(records: Iterable[CaseRecord]) -> int:
    return len({record.case for record in records})


def _slices(records: Sequence[CaseRecord], key: Callable[[CaseRecord], str]) -> tuple[Slice, ...]:
    found: dict[str, list[CaseRecord]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return tuple(sorted((_slice(*item) for item in found.items()), key=_weakness))


def _slice(name: str, records: Sequence[CaseRecord]) -> Slice:
    n, failed = _count(records), _count(r for r in records if not r.passed)
    return Slice(name, n, failed, wilson(n - failed, n), shares(records))


def _weakness(one: Slice) -> tuple[float, str]:
    """Difficulties in their order; topics by how much of them is wrong."""
    if one.name in DIFFICULTIES:
        return (float(DIFFICULTIES.index(one.name)), one.name)
    return (one.passed.value, one.name)


def _calibration(folder: Path) -> dict[str, str]:
    try:
        held = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadRun(f"{folder / CALIBRATION}: cannot be read") from error
    if not isinstance(held, dict) or not all(isinstance(said, str) for said in held.values()):
        raise BadRun(f"{folder / CALIBRATION}: expected metric -> what it is worth")
    return held


# What changed ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of a suite in two runs over the same cases."""

    suite: str
    metric: str
    before: Share
    after: Share
    lost: tuple[str, ...]
    """Cases that became worse in it."""
    won: tuple[str, ...]
    p: float
    """Chance of a drop like this if nothing had changed, over all metrics compared, 0 to 1."""
    significant: bool
    """Whether it dropped beyond chance."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run held against an earlier one."""

    against: str
    """Name of the earlier run, or of its file."""
    differs: Mapping[str, tuple[str, str]]
    """What was measured -> its version then and now, where they differ."""
    changes: tuple[Change, ...]
    refused: Mapping[str, Refused]
    """Suite -> why its figures cannot be compared."""


Refused = Literal["not_before", "other_cases", "other_metrics"]


def verdicts(run: Run) -> RunVerdicts:
    """The run without its texts. Raises BadRun."""
    try:
        return verdicts_of(run.info, run.records)
    except NotKept as error:
        raise BadRun(str(error)) from None


def compare(before: RunVerdicts, after: Run, against: str) -> Comparison:
    """What changed between two runs, case by case. Raises BadRun.

    Where the gate refuses the whole of two runs since one suite asks other cases, a reader is told
    about the others.
    """
    now = verdicts(after)
    refused: dict[str, Refused] = {}
    for name, suite in now.suites.items():
        if name not in before.suites:
            refused[name] = "not_before"
        elif compare_verdicts(_only(before, {name}), _only(now, {name}), against).refused:
            same = dict(before.suites[name].metrics) == dict(suite.metrics)
            refused[name] = "other_cases" if same else "other_metrics"
    held = now.suites.keys() - refused.keys()
    found = compare_verdicts(_only(before, held), _only(now, held), against)
    cases = {suite.name: suite for suite in found.suites}
    changes = tuple(
        Change(
            suite=metric.suite,
            metric=metric.metric,
            before=metric.before,
            after=metric.now,
            lost=_in(metric.metric, cases[metric.suite].broken),
            won=_in(metric.metric, cases[metric.suite].fixed),
            p=metric.adjusted,
            significant=metric.dropped,
        )
        for metric in found.metrics
    )
    return Comparison(against, found.versions, changes, refused)


def _only(run: RunVerdicts, names: Collection[str]) -> RunVerdicts:
    return replace(run, suites={n: suite for n, suite in run.suites.items() if n in names})


def _in(metric: str, changed: Iterable[CaseChange]) -> tuple[str, ...]:
    return tuple(one.case for one in changed if metric in one.metrics)


# JSON --------------------------------------------------------------------------------------------


def as_json(
    run: Run, comparison: Comparison | None = None, hidden: Collection[str] = ()
) -> dict[str, Any]:
    """hidden: suites whose cases are not named."""
    return {
        "run": run.info.run,
        "started": run.info.started,
        "seconds": run.info.seconds,
        "seeds": run.info.seeds,
        "versions": dict(run.info.versions),
        "suites": [
            {
                **part_as_json(part),
                "wrong": [] if part.name in hidden else [record.case for record in part.worst],
            }
            for part in run.parts
        ],
        "judged": {name: run.calibration.get(name) for name in run.judged},
        "changes": comparison and comparison_as_json(comparison, hidden),
    }


def part_as_json(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "n": part.n,
        "failed": part.failed,
        "faults": part.faults,
        "critical": part.critical,
        "metrics": _shares_as_json(part.metrics),
        "bars": dict(part.bars),
        "missed": list(part.missed),
        "topics": [_slice_as_json(one) for one in part.topics],
        "difficulties": [_slice_as_json(one) for one in part.difficulties],
        "rules": [asdict(one) for one in part.rules],
        "latency_ms": part.latency_ms
        and {"median": round(part.latency_ms[0], 1), "p95": round(part.latency_ms[1], 1)},
        "tokens": {"in": part.tokens[0], "out": part.tokens[1]},
        "uncounted": part.uncounted,
        "cost": part.cost,
    }


def comparison_as_json(comparison: Comparison, hidden: Collection[str] = ()) -> dict[str, Any]:
    return {
        "against": comparison.against,
        "differs": {name: list(pair) for name, pair in comparison.differs.items()},
        "refused": dict(comparison.refused),
        "metrics": [
            {
                "suite": change.suite,
                "metric": change.metric,
                "before": share_as_json(change.before),
                "after": share_as_json(change.after),
                "lost": [] if change.suite in hidden else list(change.lost),
                "won": [] if change.suite in hidden else list(change.won),
                "lost_n": len(change.lost),
                "won_n": len(change.won),
                "p": round(change.p, 4),
                "significant": change.significant,
            }
            for change in comparison.changes
        ],
    }


def record_as_json(record: CaseRecord) -> dict[str, Any]:
    return {**asdict(record), "passed": record.passed}


def share_as_json(share: Share) -> dict[str, float]:
    return {
        "value": round(share.value, 4),
        "low": round(share.low, 4),
        "high": round(share.high, 4),
        "n": share.n,
    }


def _shares_as_json(found: Mapping[str, Share]) -> dict[str, dict[str, float]]:
    return {name: share_as_json(share) for name, share in found.items()}


def _slice_as_json(one: Slice) -> dict[str, Any]:
    return {
        "name": one.name,
        "n": one.n,
        "failed": one.failed,
        "passed": share_as_json(one.passed),
        "metrics": _shares_as_json(one.metrics),
    }
