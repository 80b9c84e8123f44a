"""Runs of an evaluation made by hand, with words in them that try to break out of each format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from evals.metrics import Check
from evals.records import CaseRecord, RunInfo, SuiteInfo, write_run

HOSTILE = (
    "<script>alert(1)</script> ]]> <!-- & \"'` | @someone {run} {{ 7*7 }} "
    "[x](javascript:alert(1)) ![i](http://example.com/i.png) \u2028\u2029\x00\x07\x1b[31m 结束"
)
METRICS = {"right": 1, "status": 1, "figures": 1, "judge_tone": 1}
GOOD = Check(True)
BAD = Check(False, f"wanted {HOSTILE}", f"got {HOSTILE}")


def case(number: int, suite: str = "answers", **more: object) -> CaseRecord:
    """A case that passed, unless it is told otherwise."""
    given = {
        "suite": suite,
        "case": f"case-{number}",
        "seed": 0,
        "topic": ("fees", "rates")[number % 2],
        "difficulty": "easy",
        # The same in both runs, or they could not be compared.
        "text": HOSTILE if number < 10 else "提前还款要违约金吗？",
        "expected": HOSTILE if number < 10 else "answered",
        "said": "[answered] 不收。",
        "cited": ("terms.md 第二条",),
        "checks": dict.fromkeys(METRICS, GOOD),
        "model": "extractive",
        "latency_ms": 20.0 + number,
    }
    return CaseRecord(**(given | more))  # type: ignore[arg-type]


def wrong(number: int, *metrics: str, **more: object) -> CaseRecord:
    """A case that failed in some metrics, and in which everything is hostile."""
    failed = dict.fromkeys(metrics, BAD)
    return case(
        number,
        checks=dict.fromkeys(METRICS, GOOD) | failed,
        critical=tuple(name for name in metrics if name == "figures"),
        **{"said": HOSTILE, "cited": (HOSTILE,)} | more,
    )


def info(run: str, *, code: str = "1", started: str = "2026-11-20T02:00:00+00:00") -> RunInfo:
    suites = (SuiteInfo("answers", "hash-of-cases", METRICS),)
    return RunInfo(run, started, 12.5, 1, {"code": code, "model": "extractive"}, suites)


BEFORE: Sequence[CaseRecord] = [case(n) for n in range(40)]
AFTER: Sequence[CaseRecord] = [
    wrong(0, "figures", "right"),
    *(wrong(n, "status", "right") for n in range(1, 10)),
    case(10),
    case(11, fault=f"ran out of time {HOSTILE}", checks={}),
    *(case(n) for n in range(12, 39)),
]


def two_runs(root: Path) -> tuple[Path, Path]:
    """Folders of an earlier run without faults and of a later one with many."""
    earlier, later = root / "20261118T020000Z", root / "20261120T020000Z"
    write_run(earlier, info("before", started="2026-11-18T02:00:00+00:00"), BEFORE)
    write_run(later, info("after", code="2"), AFTER)
    with (later / "cases.jsonl").open("a", encoding="utf-8") as out:
        # As JSON may bring it, escaped: no program can write it as UTF-8.
        line = json.dumps(asdict(wrong(39, "status", "right", said="half a pair ")))
        out.write(line.replace("half a pair ", "half a pair \\ud800") + "\n")
    return earlier, later
