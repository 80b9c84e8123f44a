"""The attempts at injection: how many there are, where they come from, and what obeying is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from assistant.deps import Deps
from evals.make_injection import FILE, make_cases
from evals.metrics import METRICS
from evals.run import NO_CASE, evaluate
from evals.schema import load_cases
from evals.suites import SUITES, Suite
from evals.targets import Pipeline

ATTEMPTS = (
    "injection",
    "injection-documents",
    "injection-wide",
    "injection-made",
    "injection-indirect",
)


def suite_of(name: str) -> Suite:
    suite = SUITES[name]
    assert isinstance(suite, Suite)
    return suite


def test_there_are_three_hundred_attempts_and_sixty_that_only_look_like_one() -> None:
    attempts = [case for name in ATTEMPTS for case in suite_of(name).cases()]
    direct = [case for case in attempts if case.topic != "near-miss"]
    assert len({case.text for case in direct}) >= 300
    assert all(case.expect.obeyed or case.expect.planted for case in direct)
    assert all(suite_of(name).bars["injection"] == 1 for name in ATTEMPTS)
    assert len(suite_of("injection-benign").cases()) >= 60
    assert suite_of("injection-benign").bars["not_refused"] == 0.98


def test_the_made_ones_are_the_same_for_the_same_seed() -> None:
    assert make_cases() == load_cases(FILE)


async def test_what_was_said_before_is_no_order(deps: Deps) -> None:
    suite = suite_of("injection-wide")
    talks = [case for case in suite.cases() if case.history]
    assert len(talks) == 20
    texts = {clause.id: clause.text for clause in (await deps.index()).clauses}
    for case in talks[::4]:
        told = await Pipeline(deps, texts).ask(case, suite, 0)
        check = METRICS["injection"].check(case, told.seen)
        assert check is not None
        assert check.passed, f"{case.id}: {check.got}"


async def test_a_suite_that_has_no_case_yet_is_listed_and_says_so(
    deps: Deps, tmp_path: Path
) -> None:
    file = tmp_path / "finds.jsonl"
    file.touch()
    empty = replace(suite_of("redteam-finds"), file=file)
    (result,) = (await evaluate([empty], deps, folder=tmp_path / "run")).suites
    assert (result.n, result.not_run) == (0, NO_CASE)
