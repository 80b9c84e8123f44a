"""The door to inspect-ai: runs suites through our own pipeline and keeps inspect's logs."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, EvalSample, list_eval_logs_async, read_eval_log_async
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from assistant.answer import answer_question
from assistant.deps import Deps
from assistant.journal import reply_as_json
from assistant.models import Question, Reply

from .metrics import METRICS, Check, Seen, wilson
from .plain_recipe import Progress
from .schema import Case
from .suites import Suite

CASES_AT_ONCE = 2
RETRIES = 1


class CaseUnanswered(Exception):
    """A case came to no reply of the assistant that is being measured."""


class Stopped(Exception):
    """The run was stopped before its end; what was asked so far is in its folder."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is kept of a case that was asked."""

    said: str
    """Status and reply; empty where only the search was run."""
    cited: tuple[str, ...]
    """Documents and places cited, or found where only the search was run."""
    model: str


@dataclass(slots=True)
class Run:
    """One suite as it is run."""

    suite: Suite
    cases: Sequence[Case]
    seen: dict[str, Seen] = field(default_factory=dict)
    """Case id -> what came of it in this process, for the metrics."""
    told: dict[str, Told] = field(default_factory=dict)
    """Case id -> what came of it, also before the run was stopped; a case that failed or ran out
    of time is missing."""
    checks: dict[str, dict[str, Check]] = field(default_factory=dict)
    """Case id -> metric -> verdict; metrics that say nothing about the case are missing."""
    faults: dict[str, str] = field(default_factory=dict)
    """Case id -> why it could not be scored."""


async def run_tasks(
    suites: Sequence[tuple[Suite, Sequence[Case]]],
    deps: Deps,
    folder: Path,
    run_id: str,
    progress: Progress,
) -> list[Run]:
    """Run the cases of each suite; logs in inspect's format go to `folder`.

    Cases that the logs of the same run and release hold are not asked again: inspect's own retry
    finds tasks in files only, and ours hold what the process has open.
    Raises Stopped.
    """
    index = await deps.index()
    texts = {clause.id: clause.text for clause in index.clauses}
    runs = [Run(suite, cases) for suite, cases in suites]
    identity = {"run": run_id, "release": index.release.id}
    await _take_up(runs, folder, identity)
    left = [run for run in runs if len(run.told) < len(run.cases)]
    logs: list[EvalLog] = []
    if left:
        # What inspect shows on stdout, which belongs to our results, is in its logs too.
        with contextlib.redirect_stdout(io.StringIO()):
            logs = await eval_async(
                [_task(run, deps, texts, progress) for run in left],
                model=None,
                metadata=identity,
                log_dir=str(folder),
                log_level="warning",
                log_realtime=False,
                log_buffer=1,
                score_display=False,
                fail_on_error=False,
                retry_on_error=RETRIES,
                max_samples=CASES_AT_ONCE,
                max_tasks=1,
                ctl_server=False,
            )
    if len(logs) < len(left) or any(log.status == "cancelled" for log in logs):
        raise Stopped("the evaluation was stopped")
    for run, log in zip(left, logs, strict=True):
        _collect_faults(run, log)
    return runs


async def _take_up(runs: Sequence[Run], folder: Path, identity: Mapping[str, str]) -> None:
    """What the logs of this run hold of cases that are as they were."""
    by_suite = {run.suite.name: run for run in runs}
    for info in await list_eval_logs_async(str(folder), formats=["eval"]):
        header = await read_eval_log_async(info, header_only=True)
        run = by_suite.get(header.eval.task)
        if run is None or dict(header.eval.metadata or {}) != dict(identity):
            continue
        cases = {case.id: case for case in run.cases}
        log = await read_eval_log_async(info)
        for sample in log.samples or ():
            case = cases.get(str(sample.id))
            if case is not None and sample.metadata.get("case") == _digest(case):
                _take_up_case(run, case, sample)


def _take_up_case(run: Run, case: Case, sample: EvalSample) -> None:
    told = sample.metadata.get("told")
    if sample.error is not None or told is None or sample.scores is None:
        return
    verdicts = {name: score.metadata for name, score in sample.scores.items() if score.metadata}
    run.told[case.id] = Told(told["said"], tuple(told["cited"]), told["model"])
    run.checks[case.id] = {
        name: Check(**verdict["check"]) for name, verdict in verdicts.items() if "check" in verdict
    }


def _digest(case: Case) -> str:
    return hashlib.sha256(case.model_dump_json().encode()).hexdigest()


def _task(run: Run, deps: Deps, texts: Mapping[str, str], progress: Progress) -> Task:
    return Task(
        name=run.suite.name,
        dataset=MemoryDataset(
            [
                Sample(
                    id=case.id,
                    input=case.text,
                    target=case.expect.model_dump_json(exclude_defaults=True),
                    metadata={
                        "topic": case.topic,
                        "difficulty": case.difficulty,
                        "case": _digest(case),
                    },
                )
                for case in run.cases
                if case.id not in run.told
            ]
        ),
        solver=_pipeline(run, deps, texts, progress),
        scorer=[_scorer(run, name) for name in run.suite.bars],
        time_limit=run.suite.time_limit_s,
    )


@solver
def _pipeline(run: Run, deps: Deps, texts: Mapping[str, str], progress: Progress) -> Solver:
    """Asks a case as a borrower would; no model of inspect's takes part."""
    cases = {case.id: case for case in run.cases}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        case = cases[str(state.sample_id)]
        progress(run.suite.name, len(run.told), len(run.cases))
        seen = await ask(case, run.suite, deps, texts)
        run.seen[case.id] = seen
        run.told[case.id] = _told(seen)
        state.metadata["told"] = asdict(run.told[case.id])
        progress(run.suite.name, len(run.told), len(run.cases))
        if seen.reply is not None:
            state.metadata["reply"] = reply_as_json(seen.reply)
            state.output = ModelOutput.from_content(
                seen.reply.model or "none", f"[{seen.reply.status}]\n{seen.reply.answer}"
            )
        return state

    return solve


async def ask(case: Case, suite: Suite, deps: Deps, texts: Mapping[str, str]) -> Seen:
    """What the pipeline makes of a case, on the suite's day.

    Raises CaseUnanswered where it broke off, or fell back to quoting since its model was down:
    the score of a fallback says nothing about the model.
    """
    question = Question(
        text=case.text,
        today=suite.today,
        locale=case.locale,
        as_of=case.as_of,
        contract_date=case.contract_date,
        channel="eval",
    )
    sources: tuple[str, ...] = ()
    reply: Reply | None = None
    async with aclosing(answer_question(question, deps)) as events:
        async for event in events:
            if event.name == "evidence":
                sources = tuple(clause["source"] for clause in event.data["clauses"])
                if suite.stage == "search":
                    break
            elif event.name == "error":
                raise CaseUnanswered(f"trace {event.data['trace_id']}")
            elif event.reply is not None and suite.stage == "reply":
                reply = event.reply
    if reply is not None and reply.model == "extractive" and deps.wants_model:
        raise CaseUnanswered("the language model gave no answer")
    return Seen(suite.today, sources, texts, reply)


def _told(seen: Seen) -> Told:
    reply = seen.reply
    if reply is None:
        return Told("", tuple(dict.fromkeys(seen.sources)), "")
    places = [f"{c.clause.source} {c.clause.locator}" for c in reply.citations]
    return Told(f"[{reply.status}] {reply.answer}", tuple(dict.fromkeys(places)), reply.model)


def _scorer(run: Run, name: str) -> Scorer:
    cases = {case.id: case for case in run.cases}
    measure = METRICS[name]

    @scorer(metrics=[share()], name=name)
    def build() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            case = cases[str(state.sample_id)]
            seen = run.seen.get(case.id)
            if seen is None:
                return Score.unscored(reason="the case was not answered")
            check = measure(case, seen)
            if check is None:
                return Score.unscored(reason="says nothing about this case")
            run.checks.setdefault(case.id, {})[name] = check
            told = "" if check.passed else f"wanted {check.wanted}; got {check.got}"
            return Score(
                value=float(check.passed), explanation=told, metadata={"check": asdict(check)}
            )

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
    for case in run.cases:
        if case.id not in run.told:
            run.faults[case.id] = errors.get(case.id) or whole or "was not run"
