"""What code alone works out, with what it has to come to: no model, no search."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from assistant.loan_math import TOOLS, BadArgument, as_json, calculate

from .metrics import Check, wilson
from .records import CaseRecord, SuiteInfo
from .results import SuiteResult, failures_of
from .schema import Text, hash_of, load_rows

VERSIONS: Mapping[str, int] = {"exact": 1}
"""Metric -> version of its definition. exact: of cases, by whether every figure is right."""


def _known_tool(tool: str) -> str:
    if tool not in TOOLS:
        raise ValueError(f"no {tool!r}")
    return tool


class ArithmeticCase(BaseModel):
    """One calculation and what it comes to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    tool: Annotated[Text, AfterValidator(_known_tool)]
    arguments: Mapping[str, Any]
    topic: Text
    difficulty: Literal["easy", "medium", "hard"]
    source: Text
    """Where the figures come from: a document of the sample lender, `by hand`, or the means that
    they were calculated with a second time."""
    expect: Annotated[Mapping[str, str | int | bool | None], Field(min_length=1)]
    """Path in the result's JSON -> figure; a rate is held to as many decimals as it is given with.
    `fault.field` and `fault.code`: the argument that is refused, and why."""

    @property
    def text(self) -> str:
        return f"{self.tool} {json.dumps(self.arguments, ensure_ascii=False, sort_keys=True)}"

    @property
    def expected(self) -> str:
        """What is right, in words, for a reader."""
        return ", ".join(f"{path} {value}" for path, value in self.expect.items())


def calculated(tool: str, arguments: Mapping[str, Any]) -> Any:
    """What a calculation comes to, as JSON, or the argument that is refused."""
    try:
        return as_json(calculate(tool, arguments))
    except BadArgument as error:
        return {"fault": {"field": error.field, "code": error.code}}


@dataclass(frozen=True, slots=True)
class ArithmeticSuite:
    """Calculations with their results."""

    name: str
    file: Path
    about: str
    today: date
    """Nothing calculated depends on it."""
    bars: Mapping[str, float]
    kind: type[ArithmeticCase] = ArithmeticCase
    """How its cases are read."""
    work: Callable[[str, Mapping[str, Any]], Any] = calculated
    """Tool and arguments -> a document, of which a case expects some places."""

    def cases(self) -> list[ArithmeticCase]:
        """Raises BadCases."""
        return [*load_rows(self.file, self.kind)]


def load_calculations(file: Path) -> list[ArithmeticCase]:
    """The cases of a JSONL file, in order. Raises BadCases."""
    return load_rows(file, ArithmeticCase)


def calculate_all(suite: ArithmeticSuite, limit: int | None = None) -> SuiteResult:
    """Raises BadCases."""
    cases = suite.cases()[:limit]
    records = tuple(record_of(suite, case) for case in cases)
    exact = wilson(sum(record.checks["exact"].passed for record in records), len(records))
    return SuiteResult(
        name=suite.name,
        n=len(cases),
        scored=len(cases),
        metrics={"exact": exact},
        bars=suite.bars,
        missed=tuple(name for name, bar in suite.bars.items() if exact.value < bar),
        failures=failures_of(records),
        models=(),
        records=records,
        info=SuiteInfo(suite.name, hash_of(cases), dict(VERSIONS)),
    )


def record_of(suite: ArithmeticSuite, case: ArithmeticCase) -> CaseRecord:
    started = time.perf_counter()
    document = suite.work(case.tool, case.arguments)
    taken = time.perf_counter() - started
    got = {path: _at(document, path) for path in case.expect}
    wrong = [path for path, value in case.expect.items() if not _is(value, got[path], path)]
    wanted = ", ".join(f"{path} {case.expect[path]}" for path in wrong)
    said = ", ".join(f"{path} {value}" for path, value in got.items())
    return CaseRecord(
        suite=suite.name,
        case=case.id,
        seed=0,
        topic=case.topic,
        difficulty=case.difficulty,
        text=case.text,
        expected=case.expected,
        said=said,
        checks={"exact": Check(not wrong, wanted or case.expected, said)},
        latency_ms=round(taken * 1000, 1),
    )


def _at(document: Any, path: str) -> Any:
    """None where the result has no such place."""
    for key in path.split("."):
        if isinstance(document, list):
            place = int(key)
            document = document[place] if -len(document) <= place < len(document) else None
        else:
            document = document.get(key) if isinstance(document, dict) else None
    return document


def _is(wanted: str | int | bool | None, got: Any, path: str) -> bool:
    if path.endswith("annual_rate") and isinstance(wanted, str) and isinstance(got, str):
        expected = Decimal(wanted)
        return Decimal(got).quantize(expected, ROUND_HALF_UP) == expected
    return wanted == got and isinstance(wanted, bool) == isinstance(got, bool)
