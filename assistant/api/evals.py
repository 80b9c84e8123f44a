"""The API of the quality page: runs of the evaluation, their cases, two runs compared, and how
recorded replies score over time."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from assistant import samples
from assistant.models import today
from prompts.render import notice

from .chat import FromDeps
from .problems import documented, locale_of, problem

router = APIRouter(tags=["evaluation"])

MOST_RUNS = 50
MOST_CASES = 100
MOST_REPLIES = 200

Shown = Literal["wrong", "critical", "faults", "all"]
Name = Annotated[str, Query(max_length=200)]


class ShareBody(BaseModel):
    """A share of cases, or a mean, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


class SliceBody(BaseModel):
    """The cases of a suite that share a topic or a difficulty."""

    name: str
    n: int
    failed: int
    passed: ShareBody = Field(description="Of the cases that are right in everything.")
    metrics: dict[str, ShareBody]


class LatencyBody(BaseModel):
    median: float
    p95: float


class SuiteOfRunBody(BaseModel):
    name: str
    n: int
    failed: int = Field(description="Cases wrong in something, or not scored.")
    faults: int = Field(description="Cases that could not be scored.")
    critical: int = Field(description="Cases wrong in what must never fail.")
    metrics: dict[str, ShareBody]
    bars: dict[str, float] = Field(description="Metric -> least value.")
    missed: list[str]
    topics: list[SliceBody] = []
    difficulties: list[SliceBody] = []
    latency_ms: LatencyBody | None
    tokens: dict[str, int]
    uncounted: int = Field(
        default=0, description="Calls of a model whose tokens the endpoint did not tell."
    )
    cost: float | None


class RunBody(BaseModel):
    """A run. `broken` says why it cannot be read; it has no suites then."""

    id: str
    started: str = ""
    seconds: float = 0.0
    seeds: int = 1
    versions: dict[str, str] = {}
    suites: list[SuiteOfRunBody] = []
    judged: dict[str, str | None] = Field(
        default={}, description="Judged metric -> what its judge is worth; null: not calibrated."
    )
    broken: str = ""


class RunsBody(BaseModel):
    runs: list[RunBody] = Field(description="The newest first; without topics.")
    total: int
    next: int | None = Field(description="`offset` of the next page.")


class CheckBody(BaseModel):
    passed: bool
    wanted: str
    got: str
    score: float | None = None


class CaseBody(BaseModel):
    suite: str
    case: str
    seed: int
    topic: str
    difficulty: str
    text: str
    expected: str
    said: str
    cited: list[str]
    checks: dict[str, CheckBody]
    critical: list[str]
    findings: list[str]
    fault: str
    model: str
    latency_ms: float
    tokens_in: int
    tokens_out: int
    uncounted: int = 0
    cost: float | None
    passed: bool


class CasesBody(BaseModel):
    cases: list[CaseBody]
    total: int
    next: int | None = Field(description="`offset` of the next page.")


class ChangeBody(BaseModel):
    """One metric in two runs over the same cases."""

    suite: str
    metric: str
    before: ShareBody
    after: ShareBody
    lost: list[str]
    won: list[str]
    lost_n: int
    won_n: int
    p: float = Field(
        description="Chance of a drop like this had nothing changed, over all metrics."
    )
    significant: bool = Field(description="Whether it dropped beyond chance.")


class ComparisonBody(BaseModel):
    before: str
    after: str
    differs: dict[str, tuple[str, str]] = Field(description="What differs: then, now.")
    refused: dict[str, Literal["not_before", "other_cases", "other_metrics"]]
    metrics: list[ChangeBody]


class PointBody(BaseModel):
    """What a scorer found in the sample of a day or week."""

    first: date
    value: float
    low: float
    high: float
    n: int
    before: float | None = Field(description="The share of the four weeks before.")
    n_before: int
    p: float | None
    drift: Literal["none", "worse", "better", "unknown"]


class LineBody(BaseModel):
    scorer: str
    version: int
    points: list[PointBody]


class DriftBody(BaseModel):
    by: Literal["day", "week"]
    first: date
    last: date
    unlikely: float = Field(description="Below this probability a difference is marked.")
    lines: list[LineBody]


class ReplyFoundBody(BaseModel):
    record_id: str
    day: date


class RepliesFoundBody(BaseModel):
    replies: list[ReplyFoundBody]


@router.get("/v1/evals", response_model=RunsBody, responses=documented(401, 403, 422, 500))
async def list_evals(
    deps: FromDeps,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS)] = 20,
) -> dict[str, Any]:
    """Runs of the evaluation that are kept in the home folder."""
    return await asyncio.to_thread(_runs, deps.settings.home / "evals", offset, limit)


@router.get(
    "/v1/evals/{run}", response_model=RunBody, responses=documented(401, 403, 404, 422, 500)
)
async def read_eval(run: str, request: Request, deps: FromDeps) -> dict[str, Any] | Response:
    """One run by suite, topic and difficulty."""
    found = await asyncio.to_thread(_run, deps.settings.home / "evals", run, brief=False)
    return found or await _unknown(request)


@router.get(
    "/v1/evals/{run}/cases",
    response_model=CasesBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def list_cases(
    run: str,
    request: Request,
    deps: FromDeps,
    suite: Name = "",
    topic: Name = "",
    metric: Annotated[str, Query(max_length=200, description="Only where it failed.")] = "",
    case: Name = "",
    show: Shown = "wrong",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_CASES)] = 20,
) -> dict[str, Any] | Response:
    """Cases of a run, the worst first: what was expected, said, cited and found."""
    wanted = {"suite": suite, "topic": topic, "case": case}
    found = await asyncio.to_thread(
        _cases, deps.settings.home / "evals", run, wanted, metric, show, offset, limit
    )
    return found or await _unknown(request)


@router.get(
    "/v1/evals/{run}/changes",
    response_model=ComparisonBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def compare_evals(
    run: str, baseline: Name, request: Request, deps: FromDeps
) -> dict[str, Any] | Response:
    """What changed since another run, case by case."""
    found = await asyncio.to_thread(_changes, deps.settings.home / "evals", run, baseline)
    return found or await _unknown(request)


@router.get("/v1/quality/drift", response_model=DriftBody, responses=documented(401, 403, 422, 500))
async def read_drift(
    deps: FromDeps,
    days: Annotated[int, Query(ge=1, le=366)] = 90,
    by: Literal["day", "week"] = "week",
) -> dict[str, Any]:
    """How recorded replies score over time, from the samples that `zhunxin eval sample` took."""
    from evals import production

    last = today()
    lines = await production.drift(deps, last, days, by)
    return {
        "by": by,
        "first": last - timedelta(days=days - 1),
        "last": last,
        "unlikely": production.UNLIKELY,
        "lines": [production.line_as_json(line) for line in lines],
    }


@router.get(
    "/v1/quality/replies",
    response_model=RepliesFoundBody,
    responses=documented(401, 403, 404, 422, 500),
)
async def list_replies(
    scorer: Name, first: date, last: date, request: Request, deps: FromDeps
) -> dict[str, Any] | Response:
    """Records that a scorer found wrong, to be read in the audit."""
    from evals.production import VERSIONS

    if scorer not in VERSIONS:
        return await _unknown(request)
    rows = await samples.failed(deps.engine, scorer, VERSIONS[scorer], first, last, MOST_REPLIES)
    return {"replies": [{"record_id": record_id, "day": day} for record_id, day in rows]}


async def _unknown(request: Request) -> JSONResponse:
    return problem(404, notice("not_found", await locale_of(request)))


# In a thread: a run is read from files, and a large one takes a moment ---------------------------


def _runs(root: Path, offset: int, limit: int) -> dict[str, Any]:
    from evals.kept_runs import list_runs

    names = list_runs(root)
    shown = (_run(root, name, brief=True) for name in names[offset : offset + limit])
    return {
        "runs": [run for run in shown if run is not None],
        "total": len(names),
        "next": offset + limit if offset + limit < len(names) else None,
    }


def _run(root: Path, name: str, *, brief: bool) -> dict[str, Any] | None:
    """None where there is no such run."""
    from evals.kept_runs import UnknownRun, describe, open_run, summarise
    from evals.records import BadRun
    from evals.report import as_json

    try:
        whole = summarise(root, name) if brief else as_json(open_run(root, name))
    except UnknownRun:
        return None
    except BadRun as error:
        return {"id": name, "broken": describe(error)}
    return {**whole, "id": name}


def _cases(
    root: Path,
    name: str,
    wanted: dict[str, str],
    metric: str,
    show: Shown,
    offset: int,
    limit: int,
) -> dict[str, Any] | None:
    from evals.kept_runs import UnknownRun, open_run
    from evals.records import BadRun, CaseRecord
    from evals.report import badness, record_as_json

    try:
        run = open_run(root, name)
    except (UnknownRun, BadRun):
        return None

    def fits(record: CaseRecord) -> bool:
        shown = {
            "wrong": not record.passed,
            "critical": bool(record.critical),
            "faults": bool(record.fault),
            "all": True,
        }
        named = all(not value or getattr(record, field) == value for field, value in wanted.items())
        failed = not metric or (metric in record.checks and not record.checks[metric].passed)
        return shown[show] and named and failed

    found = sorted((record for record in run.records if fits(record)), key=badness)
    page = found[offset : offset + limit]
    return {
        "cases": [record_as_json(record) for record in page],
        "total": len(found),
        "next": offset + limit if offset + limit < len(found) else None,
    }


def _changes(root: Path, name: str, baseline: str) -> dict[str, Any] | None:
    from evals.kept_runs import UnknownRun, open_run
    from evals.records import BadRun
    from evals.report import compare, comparison_as_json, verdicts

    try:
        comparison = compare(verdicts(open_run(root, baseline)), open_run(root, name), baseline)
    except (UnknownRun, BadRun):
        return None
    return {**comparison_as_json(comparison), "before": baseline, "after": name}
