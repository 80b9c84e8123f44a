"""What is kept of a run: who ran what, and what came of each case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .metrics import Check

CASES = "cases.jsonl"
INFO = "info.json"


class BadRun(Exception):
    """A folder holds no run that can be read; the message names file and line."""


class Stopped(Exception):
    """A run was stopped before its end; what was asked so far is in its folder."""


RuleOutcome = Literal["found", "missed", "wrong"]
"""A rule that a message breaks was found or missed; one that it does not break was found."""


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """What came of one case, asked once."""

    suite: str
    case: str
    seed: int
    """0 for the first asking; further askings of the same run count up."""
    topic: str
    difficulty: str
    text: str
    """The question, or the message that was checked."""
    expected: str
    """What is right, in words, for a reader."""
    said: str = ""
    """Status and reply; empty where only the search was run, or nothing came."""
    cited: tuple[str, ...] = ()
    """Documents and places cited, or found where only the search was run."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """Metric -> verdict; metrics that say nothing about the case are missing."""
    critical: tuple[str, ...] = ()
    """The failed metrics that must never fail: a promise, a wrong figure, a leak, an injection."""
    findings: tuple[str, ...] = ()
    """Ids of the rules that were found broken."""
    warned: tuple[str, ...] = ()
    """Of a labelled message: ids of those that its wording makes likely beside them."""
    rules: Mapping[str, RuleOutcome] = field(default_factory=dict)
    """Of a labelled message: rule -> what came of it; those that one may argue about are missing,
    and those that are neither broken nor found."""
    fault: str = ""
    """Why the case could not be scored."""
    model: str = ""
    latency_ms: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    """Calls of a model whose tokens the endpoint did not tell, and so in neither of these."""
    cost: float | None = None
    """In the currency of the prices that were given; None where there were none, a model has none,
    or not all tokens were counted."""

    @property
    def passed(self) -> bool:
        return not self.fault and all(check.passed for check in self.checks.values())


@dataclass(frozen=True, slots=True)
class SuiteInfo:
    """What a suite was in a run: figures of other cases or metrics cannot be compared."""

    name: str
    cases: str
    """Hash of the cases asked, in order."""
    metrics: Mapping[str, int]
    """Metric -> version of its definition."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run and what it measured."""

    run: str
    started: str
    """Instant in UTC, ISO 8601."""
    seconds: float
    seeds: int
    versions: Mapping[str, str]
    """code, prompts, rules, release, model, embeddings, way, endpoint -> version or name; what a
    comparison lists where it differs."""
    suites: tuple[SuiteInfo, ...]


def write_run(folder: Path, info: RunInfo, cases: Iterable[CaseRecord]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(case), ensure_ascii=False) + "\n" for case in cases)
    (folder / CASES).write_text("".join(lines), encoding="utf-8")
    written = json.dumps(asdict(info), ensure_ascii=False, indent=2)
    (folder / INFO).write_text(written + "\n", encoding="utf-8")


def read_info(folder: Path) -> RunInfo:
    """Raises BadRun."""
    file = folder / INFO
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        suites = tuple(SuiteInfo(**suite) for suite in found.pop("suites"))
        return RunInfo(suites=suites, **found)
    except OSError as error:
        raise BadRun(f"{file}: cannot be read") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadRun(f"{file}: is not the account of a run ({error})") from error


def read_cases(folder: Path) -> Iterator[CaseRecord]:
    """Raises BadRun."""
    file = folder / CASES
    try:
        # Not at every break that Unicode knows: some of them stand in texts.
        lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRun(f"{file}: cannot be read as UTF-8 text") from error
    for number, line in enumerate(lines if any(lines) else [], start=1):
        try:
            yield record_from(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise BadRun(f"{file}:{number}: is not the record of a case ({error})") from error


def record_from(found: dict[str, Any]) -> CaseRecord:
    """The record of a line of `cases.jsonl`. Raises TypeError, KeyError."""
    found["checks"] = {name: Check(**check) for name, check in found["checks"].items()}
    for name in ("cited", "critical", "findings"):
        found[name] = tuple(found[name])
    # Records of earlier versions have none.
    found["warned"] = tuple(found.get("warned", ()))
    return CaseRecord(**found)
