"""The door to inspect-ai: asks the cases of suites, and keeps inspect's logs."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, EvalSample, list_eval_logs_async, read_eval_log_async
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from .judge import Criterion, Material, material_of
from .metrics import METRICS, Check, wilson
from .plain_recipe import Progress
from .records import CaseRecord, Stopped
from .results import failed_critical
from .schema import Case
from .suites import Suite
from .targets import FAULTS_IN_A_ROW, CaseUnanswered, EndpointFault, Told
from .targets import Target as Asked

CASES_AT_ONCE = 2
RETRIES = 1


@dataclass(slots=True)
class Run:
    """One suite as it is run."""

    suite: Suite
    cases: Sequence[Case]
    target: Asked
    seeds: int = 1
    """How often each case is asked."""
    told: dict[str, Told] = field(default_factory=dict)
    """Asking -> what came of it in this process, for the metrics."""
    records: dict[str, CaseRecord] = field(default_factory=dict)
    """Asking -> its record, also from before the run was stopped."""
    materials: dict[str, Mapping[Criterion, Material]] = field(default_factory=dict)
    """Asking -> what of its reply a judge may be given, also from before the run was stopped."""
    fault: EndpointFault | None = None
    """What the endpoint did last, where that was no answer."""
    faults_in_a_row: int = 0

    @property
    def askings(self) -> dict[str, tuple[Case, int]]:
        """Each case with each seed, by a name that inspect's logs know it by."""
        return {
            f"{case.id}@{seed}" if seed else case.id: (case, seed)
            for seed in range(self.seeds)
            for case in self.cases
        }

    @property
    def given_up(self) -> bool:
        return self.faults_in_a_row >= FAULTS_IN_A_ROW


async def run_tasks(
    runs: Sequence[Run], folder: Path, identity: Mapping[str, str], progress: Progress
) -> None:
    """Ask the cases of each suite; logs in inspect's format go to `folder`.

    identity: what the logs are of. Cases that logs of the same hold are not asked again: inspect's
    own retry finds tasks in files only, and ours hold what the process has open.
    Raises Stopped, and EndpointFault where an endpoint was given up.
    """
    await _take_up(runs, folder, identity)
    left = [run for run in runs if run.askings.keys() - run.records.keys()]
    logs: list[EvalLog] = []
    if left:
        tasks = [_task(run, progress) for run in left]
        logs = await _run(tasks, folder, identity, log_buffer=1, at_once=CASES_AT_ONCE)
    for run in left:
        if run.given_up and run.fault is not None:
            raise run.fault
    if len(logs) < len(left) or any(log.status == "cancelled" for log in logs):
        raise Stopped("the evaluation was stopped")
    for run, log in zip(left, logs, strict=True):
        _collect_faults(run, log)


async def _take_up(runs: Sequence[Run], folder: Path, identity: Mapping[str, str]) -> None:
    """What the logs of this run hold of cases that are as they were."""
    by_suite = {run.suite.name: run for run in runs}
    for info in await list_eval_logs_async(str(folder), formats=["eval"]):
        header = await read_eval_log_async(info, header_only=True)
        run = by_suite.get(header.eval.task)
        if run is None or dict(header.eval.metadata or {}) != dict(identity):
            continue
        log = await read_eval_log_async(info)
        askings = run.askings
        for sample in log.samples or ():
            asking = askings.get(str(sample.id))
            if asking is not None and sample.metadata.get("case") == _digest(asking[0]):
                _take_up_case(run, *asking, sample)


def _take_up_case(run: Run, case: Case, seed: int, sample: EvalSample) -> None:
    told = sample.metadata.get("told")
    if sample.error is not None or told is None or sample.scores is None:
        return
    found = {name: score.metadata for name, score in sample.scores.items() if score.metadata}
    # In the order of the suite, which inspect's logs do not keep.
    checks = {
        n: Check(**found[n]["check"]) for n in run.suite.metrics if "check" in found.get(n, {})
    }
    run.records[str(sample.id)] = record_of(run.suite, case, seed, told, checks)
    run.materials[str(sample.id)] = {
        criterion: Material(held["question"], tuple(held["quotes"]), held["reply"])
        for criterion, held in sample.metadata.get("material", {}).items()
    }


def told_as_json(told: Told) -> dict[str, Any]:
    """What is kept of a case that was asked, for its record."""
    return {
        "said": told.said,
        "cited": list(told.cited),
        "model": told.model,
        "findings": list(told.seen.findings),
        "latency_ms": told.latency_ms,
        "tokens_in": told.tokens_in,
        "tokens_out": told.tokens_out,
        "uncounted": told.uncounted,
        "cost": told.cost,
    }


def record_of(
    suite: Suite, case: Case, seed: int, told: Mapping[str, Any], checks: Mapping[str, Check]
) -> CaseRecord:
    """told: from `told_as_json`."""
    return CaseRecord(
        suite=suite.name,
        case=case.id,
        seed=seed,
        topic=case.topic,
        difficulty=case.difficulty,
        text=case.text,
        expected=case.expected,
        said=told["said"],
        cited=tuple(told["cited"]),
        checks=checks,
        critical=failed_critical(checks),
        findings=tuple(told["findings"]),
        model=told["model"],
        latency_ms=told["latency_ms"],
        tokens_in=told["tokens_in"],
        tokens_out=told["tokens_out"],
        uncounted=told.get("uncounted", 0),
        cost=told.get("cost"),
    )


async def log_records(
    suite: str, records: Sequence[CaseRecord], folder: Path, identity: Mapping[str, str]
) -> None:
    """A log in inspect's format of cases that were judged without it: messages, ranked queries."""
    by_id = {record.case: record for record in records}

    @solver
    def judged() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            said = by_id[str(state.sample_id)].said
            state.output = ModelOutput.from_content("none", said or "nothing found")
            return state

        return solve

    def verdict(name: str) -> Scorer:
        @scorer(metrics=[share()], name=name)
        def build() -> Scorer:
            async def score(state: TaskState, target: Target) -> Score:
                return _as_score(by_id[str(state.sample_id)].checks.get(name))

            return score

        return build()

    names = dict.fromkeys(name for record in records for name in record.checks)
    samples = [
        Sample(
            id=record.case,
            input=record.text,
            target=record.expected,
            metadata={"topic": record.topic, "difficulty": record.difficulty},
        )
        for record in records
    ]
    task = Task(
        name=suite,
        dataset=MemoryDataset(samples),
        solver=judged(),
        scorer=[verdict(name) for name in names],
    )
    await _run([task], folder, identity, log_buffer=None, at_once=20)


async def _run(
    tasks: Sequence[Task],
    folder: Path,
    identity: Mapping[str, str],
    *,
    log_buffer: int | None,
    at_once: int,
) -> list[EvalLog]:
    # What inspect shows on stdout, which belongs to our results, is in its logs too.
    with contextlib.redirect_stdout(io.StringIO()):
        logs: list[EvalLog] = await eval_async(
            list(tasks),
            model=None,
            metadata=dict(identity),
            log_dir=str(folder),
            log_level="warning",
            log_realtime=False,
            log_buffer=log_buffer,
            score_display=False,
            fail_on_error=False,
            retry_on_error=RETRIES,
            max_samples=at_once,
            max_tasks=1,
            ctl_server=False,
        )
    return logs


def _as_score(check: Check | None) -> Score:
    if check is None:
        return Score.unscored(reason="says nothing about this case")
    wrong = "" if check.passed else f"wanted {check.wanted}; got {check.got}"
    value = float(check.passed) if check.score is None else check.score
    return Score(value=value, explanation=wrong, metadata={"check": asdict(check)})


def _digest(case: Case) -> str:
    return hashlib.sha256(case.model_dump_json().encode()).hexdigest()


def _task(run: Run, progress: Progress) -> Task:
    return Task(
        name=run.suite.name,
        dataset=MemoryDataset(
            [
                Sample(
                    id=name,
                    input=case.text,
                    target=case.expect.model_dump_json(exclude_defaults=True),
                    metadata={
                        "topic": case.topic,
                        "difficulty": case.difficulty,
                        "case": _digest(case),
                    },
                )
                for name, (case, _) in run.askings.items()
                if name not in run.records
            ]
        ),
        solver=_asking(run, progress),
        scorer=[_scorer(run, name) for name in run.suite.metrics],
        time_limit=run.suite.time_limit_s,
    )


@solver
def _asking(run: Run, progress: Progress) -> Solver:
    """Asks a case as a borrower would; no model of inspect's takes part."""
    askings = run.askings

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        name = str(state.sample_id)
        case, seed = askings[name]
        if run.given_up:
            raise CaseUnanswered("the endpoint was given up")
        progress(run.suite.name, len({*run.records, *run.told}), len(askings))
        try:
            told = await run.target.ask(case, run.suite, seed)
        except EndpointFault as error:
            run.fault = error
            run.faults_in_a_row += 1
            raise
        run.faults_in_a_row = 0
        run.told[name] = told
        state.metadata["told"] = told_as_json(told)
        progress(run.suite.name, len({*run.records, *run.told}), len(askings))
        if told.seen.reply is not None:
            run.materials[name] = material_of(case.text, told.seen.reply)
            state.metadata["material"] = {
                criterion: asdict(material) for criterion, material in run.materials[name].items()
            }
            state.metadata["reply"] = told.as_json()
            state.output = ModelOutput.from_content(told.model or "none", told.said)
        return state

    return solve


def _scorer(run: Run, name: str) -> Scorer:
    askings = run.askings
    measure = METRICS[name]

    @scorer(metrics=[share()], name=name)
    def build() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            asking = str(state.sample_id)
            case, seed = askings[asking]
            told = run.told.get(asking)
            if told is None:
                return Score.unscored(reason="the case was not answered")
            check = measure.check(case, told.seen)
            before = run.records.get(asking)
            checks = dict(before.checks) if before else {}
            if check is not None:
                checks[name] = check
            kept = told_as_json(told)
            run.records[asking] = record_of(run.suite, case, seed, kept, checks)
            return _as_score(check)

        return score

    return build()


@metric
def share() -> Metric:
    """The share of passed cases with its interval, for inspect's own log and viewer."""

    def compute(scores: list[SampleScore]) -> Value:
        if not scores:
            return float("nan")
        found = wilson(sum(score.score.as_float() > 0 for score in scores), len(scores))
        return {"share": found.value, "low": found.low, "high": found.high}

    return compute


def _collect_faults(run: Run, log: EvalLog) -> None:
    whole: Any = log.error.message if log.error else ""
    errors = {
        str(sample.id): sample.error.message if sample.error else "ran out of time"
        for sample in log.samples or ()
    }
    for name, (case, seed) in run.askings.items():
        if name not in run.told and name not in run.records:
            fault = errors.get(name) or whole or "was not run"
            record = record_of(run.suite, case, seed, _NOTHING, {})
            run.records[name] = replace(record, fault=fault)


_NOTHING: Mapping[str, Any] = {
    "said": "",
    "cited": (),
    "model": "",
    "findings": (),
    "latency_ms": 0.0,
    "tokens_in": 0,
    "tokens_out": 0,
}
