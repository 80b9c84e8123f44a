"""Baselines: kept without texts, refused where they do not fit, and what a gate makes of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.baseline import (
    BadBaseline,
    NotKept,
    RunVerdicts,
    read_baseline,
    verdicts_of,
    write_baseline,
)
from evals.compare import DropTest, adjust, compare, drop_test
from evals.metrics import Check
from evals.records import CaseRecord, RunInfo, SuiteInfo

METRICS = {"right": 1, "forbidden": 1}


def case(name: str, right: bool | None = True, **changes: Any) -> CaseRecord:
    checks = {} if right is None else {"right": Check(right, "this", "that")}
    record = CaseRecord(
        suite="answers",
        case=name,
        seed=0,
        topic="fees",
        difficulty="easy",
        text=f"question {name}",
        expected="answered",
        said="words that a baseline must not keep",
        checks=checks,
        latency_ms=20.0,
    )
    return replace(record, **changes)


def run_of(
    records: Sequence[CaseRecord],
    metrics: Mapping[str, int] = METRICS,
    cases: str = "c1",
    **versions: str,
) -> RunVerdicts:
    suites = tuple(
        SuiteInfo(name, cases, metrics) for name in dict.fromkeys(r.suite for r in records)
    )
    info = RunInfo("r1", "2026-11-26T00:00:00+00:00", 1.0, 1, versions, suites)
    return verdicts_of(info, records)


def cases(passed: int, failed: int = 0) -> list[CaseRecord]:
    return [case(f"c-{n:03}", n >= failed) for n in range(passed + failed)]


# The file ----------------------------------------------------------------------------------------


def test_a_baseline_is_read_as_it_was_written_and_holds_no_texts(tmp_path: Path) -> None:
    askings = [
        *cases(3, 1),
        case("c-none", None),
        case("c-leak", False, critical=("forbidden",), checks={"forbidden": Check(False)}),
    ]
    run = run_of(askings, model="extractive")
    file = tmp_path / "new" / "main.json"
    write_baseline(file, run)
    assert read_baseline(file) == run
    text = file.read_text(encoding="utf-8")
    assert "question" not in text
    assert "words" not in text
    assert len([line for line in text.splitlines() if line.startswith('    "c-')]) == 6
    write_baseline(file, read_baseline(file))
    assert file.read_text(encoding="utf-8") == text


def test_a_case_asked_several_times_is_one_case_with_a_share(tmp_path: Path) -> None:
    thrice = [case("c-1", passed, seed=seed) for seed, passed in enumerate((True, False, True))]
    run = run_of(thrice)
    assert run.suites["answers"].cases["c-1"].tallies["right"].value == pytest.approx(2 / 3)
    write_baseline(tmp_path / "b.json", run)
    assert ' 2/3 -"' in (tmp_path / "b.json").read_text(encoding="utf-8")
    assert read_baseline(tmp_path / "b.json") == run


BREAKS: Mapping[str, tuple[Callable[[str], str], str]] = {
    "no JSON": (lambda text: text[:-5], "is not JSON"),
    "another file": (lambda text: '{"suites_": 1}', "is no baseline"),
    "another format": (lambda text: text.replace('"format": 1', '"format": 9'), "has format 9"),
    "a verdict too few": (lambda text: text.replace(' + -"', ' +"'), "c-000 has 1 verdicts for 2"),
    "a verdict of no kind": (lambda text: text.replace(' + -"', ' ? -"', 1), "ValueError"),
    "more than all": (lambda text: text.replace(' + -"', ' 2/1 -"', 1), "'2/1' is no verdict"),
    "no case": (lambda text: text[: text.index('"cases": {') + 10] + "}}}}", "holds no case"),
    "a strange case": (lambda text: text.replace('["c-000"', '["c-9"'), "names 'c-9'"),
    "no metrics": (lambda text: text.replace('"metrics"', '"metric"'), "KeyError"),
    "a list": (lambda text: "[]", "is no baseline"),
}


@pytest.mark.parametrize(("harm", "message"), BREAKS.values(), ids=BREAKS)
def test_a_file_that_is_no_baseline_is_named(
    tmp_path: Path, harm: Callable[[str], str], message: str
) -> None:
    file = tmp_path / "b.json"
    write_baseline(file, run_of(cases(2)))
    whole = file.read_text(encoding="utf-8")
    harmed = harm(whole)
    assert harmed != whole
    file.write_text(harmed, encoding="utf-8")
    with pytest.raises(BadBaseline) as raised:
        read_baseline(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert message in str(raised.value)


def test_a_baseline_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadBaseline, match=r"nowhere\.json: cannot be read"):
        read_baseline(tmp_path / "nowhere.json")


def test_a_run_with_cases_that_came_to_no_score_is_not_kept(tmp_path: Path) -> None:
    run = run_of([*cases(2), case("c-lost", None, fault="ran out of time")])
    with pytest.raises(NotKept, match="answers: c-lost came to no score"):
        write_baseline(tmp_path / "b.json", run)
    with pytest.raises(NotKept, match="nothing was run"):
        write_baseline(tmp_path / "b.json", RunVerdicts("", {}))
    assert not (tmp_path / "b.json").exists()


def test_a_run_of_fewer_suites_does_not_take_the_place_of_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    write_baseline(file, run_of([*cases(2), case("t-1", suite="tone")]))
    with pytest.raises(NotKept, match="holds tone too, which was not run"):
        write_baseline(file, run_of(cases(2)))
    assert set(read_baseline(file).suites) == {"answers", "tone"}


def test_the_quick_cases_are_of_all_topics_and_the_same_each_time(tmp_path: Path) -> None:
    records = [
        case(f"{topic}-{n}", topic=topic, difficulty=difficulty)
        for topic, size in (("fees", 300), ("rates", 40), ("crisis", 2))
        for difficulty in ("easy", "hard")
        for n in range(size if difficulty == "easy" else 1)
    ]
    records = list({record.case: record for record in records}.values())
    quick = run_of(records).suites["answers"].quick
    assert len(quick) == 10
    assert {"crisis-0", "crisis-1"} <= set(quick)
    assert sum(name.startswith("rates") for name in quick) == 4
    assert run_of(list(reversed(records))).suites["answers"].quick == quick
    part = run_of(records).part({"answers": quick[:5]})
    assert list(part.suites["answers"].cases) == list(quick[:5])
    write_baseline(tmp_path / "part.json", part)
    assert read_baseline(tmp_path / "part.json") == part


# Chance ------------------------------------------------------------------------------------------


def test_chance_is_that_worked_out_by_fisher_for_darwins_maize() -> None:
    """Fisher 1935, The Design of Experiments, section 21: of 32,768 ways of tossing the signs of
    the 15 differences, 863 give a sum as far out as the one that was found."""
    eighths = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
    found = drop_test([-eighth / 840 for eighth in eighths])
    assert found.p == pytest.approx(863 / 32768, abs=1e-12)
    assert found.least == 0.5**15


@pytest.mark.parametrize(("broken", "fixed"), [(5, 0), (1, 0), (12, 3), (21, 9), (3, 12), (40, 40)])
def test_for_verdicts_the_test_is_mcnemars(broken: int, fixed: int) -> None:
    n = broken + fixed
    exact = sum(math.comb(n, k) for k in range(broken, n + 1)) / 2**n
    found = drop_test([-1.0] * broken + [1.0] * fixed + [0.0] * 200)
    assert found.p == pytest.approx(exact)


def test_an_asking_more_of_the_same_case_adds_no_certainty() -> None:
    once = drop_test([-1.0] * 4)
    assert drop_test([-0.2] * 4).p == once.p == 0.5**4


def test_nothing_that_changed_is_no_drop() -> None:
    assert drop_test([0.0] * 30) == drop_test([]) == DropTest(1.0, 1.0)


def test_levels_over_several_tests_are_holms() -> None:
    # The worked example of R's p.adjust: 0.01, 0.04, 0.03, 0.005.
    found = adjust([DropTest(p, 0.0) for p in (0.01, 0.04, 0.03, 0.005)])
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust([]) == []


def test_metrics_in_which_too_little_changed_do_not_weigh_on_the_others() -> None:
    silent = [DropTest(1.0, 1.0)] * 40 + [DropTest(0.5, 0.5)] * 20
    assert adjust([DropTest(0.01, 0.01), *silent]) == [0.01, *[1.0] * 60]


# The gate ----------------------------------------------------------------------------------------


def test_a_run_like_its_baseline_passes() -> None:
    run = run_of(cases(50, 5))
    found = compare(run, run, "main.json")
    assert found.passed
    assert found.regressions() == []
    assert "the gate is passed" in found.as_text()


def test_a_share_is_the_same_as_what_a_file_keeps_of_it(tmp_path: Path) -> None:
    shares = [2 / 3, 5 / 6, 1 / 7]
    run = run_of(
        [case(f"c-{n}", checks={"right": Check(False, score=x)}) for n, x in enumerate(shares)]
    )
    write_baseline(tmp_path / "b.json", run)
    found = compare(read_baseline(tmp_path / "b.json"), run, "b.json")
    assert found.suites[0].broken == found.suites[0].fixed == ()
    assert all(m.broken == m.fixed == 0 for m in found.metrics)


def test_a_drop_beyond_chance_fails_and_one_within_it_is_told() -> None:
    before = run_of(cases(100))
    small = compare(before, run_of(cases(98, 2)), "main.json")
    assert small.passed
    assert [change.case for change in small.suites[0].broken] == ["c-000", "c-001"]
    assert "broken: c-000 (right), c-001 (right)" in small.as_text()
    large = compare(before, run_of(cases(92, 8)), "main.json")
    assert not large.passed
    [drop] = large.regressions()
    assert (drop["kind"], drop["suite"], drop["metric"]) == ("drop", "answers", "right")
    assert drop["cases"] == [f"c-{n:03}" for n in range(8)]
    assert drop["p"] == pytest.approx(0.5**8, rel=1e-2)
    assert "DROPPED: right of answers 1.000 before, 0.920 now: 8 broken, 0 fixed" in large.as_text()
    [metric] = large.dropped
    assert metric.difference == pytest.approx(-0.08)
    assert -0.15 < metric.low < -0.08 < metric.high < -0.02


def test_cases_that_were_fixed_are_set_against_those_that_broke() -> None:
    before, now = run_of(cases(92, 8)), run_of([*reversed(cases(92, 8))])
    assert compare(before, now, "main.json").passed
    swapped = [case(f"c-{n:03}", not 8 <= n < 16) for n in range(100)]
    found = compare(before, run_of(swapped), "main.json")
    assert found.passed
    assert (len(found.suites[0].fixed), len(found.suites[0].broken)) == (8, 8)
    assert compare(before, run_of(cases(100)), "main.json").passed


def test_a_critical_case_fails_whether_or_not_the_baseline_knew_it() -> None:
    leak = case("c-leak", critical=("forbidden",), checks={"forbidden": Check(False)})
    with_leak = run_of([*cases(50), leak])
    without = run_of([*cases(50), case("c-leak", checks={"forbidden": Check(True)})])
    new = compare(without, with_leak, "main.json")
    old = compare(with_leak, with_leak, "main.json")
    assert not new.passed
    assert not old.passed
    assert [r["known"] for r in (*new.regressions(), *old.regressions())] == [False, True]
    assert "CRITICAL: c-leak of answers failed forbidden, as in the baseline" in old.as_text()
    assert compare(with_leak, without, "main.json").passed


def test_a_critical_case_of_a_suite_that_the_baseline_lacks_fails_too() -> None:
    leak = case("t-1", suite="tone", critical=("forbidden",))
    found = compare(run_of(cases(9)), run_of([*cases(9), leak]), "main.json")
    assert not found.passed
    assert "tone, of which the baseline holds nothing" in found.notes


def test_cases_that_come_to_no_score_are_a_drop() -> None:
    lost = [case(f"c-{n:03}", None, fault="timed out") for n in range(10)]
    found = compare(run_of(cases(60)), run_of([*lost, *cases(60)[10:]]), "main.json")
    assert [metric.metric for metric in found.dropped] == ["scored"]


def test_something_wrong_where_nothing_was_said_before_is_a_loss() -> None:
    before = run_of([case(f"c-{n}", None) for n in range(30)])
    now = run_of([case(f"c-{n}", n >= 9) for n in range(30)])
    assert [change.metrics for change in compare(before, now, "b").suites[0].broken] == [
        ("right",)
    ] * 9


MISFITS: Mapping[str, tuple[RunVerdicts, str]] = {
    "added": (run_of(cases(4)), "answers: 1 cases were added: c-003"),
    "removed": (run_of(cases(2)), "answers: 1 cases were not asked: c-002"),
    "changed": (
        run_of([*cases(2), case("c-002", expected="clarify")]),
        "answers: 1 cases were changed: c-002",
    ),
    "beside": (run_of(cases(3), cases="c2"), "answers: what is given beside the questions changed"),
    "defined anew": (
        run_of(cases(3), {"right": 2, "forbidden": 1}),
        "answers: right is measured by definition 2 now, and was by 1",
    ),
    "not measured": (run_of(cases(3), {"right": 1}), "answers: forbidden is no longer measured"),
}


@pytest.mark.parametrize(("now", "reason"), MISFITS.values(), ids=MISFITS)
def test_a_baseline_of_other_cases_or_definitions_is_refused(now: RunVerdicts, reason: str) -> None:
    found = compare(run_of(cases(3)), now, "main.json")
    assert not found.passed
    assert found.refused[0].startswith(reason)
    assert found.regressions()[0]["kind"] == "refused"
    assert f"REFUSED: {reason}" in found.as_text()
    json.dumps(found.as_json(), allow_nan=False)


def test_other_prompts_rules_and_models_are_compared_and_listed() -> None:
    before = run_of(cases(20), model="extractive", prompts="p1", rules="r1")
    now = run_of(cases(20), model="local:small", prompts="p2", rules="r1")
    found = compare(before, now, "main.json")
    assert found.passed
    assert found.versions == {"model": ("extractive", "local:small"), "prompts": ("p1", "p2")}
    assert "model: extractive before, local:small now" in found.as_text()


def test_a_metric_that_is_new_is_told_and_refuses_nothing() -> None:
    found = compare(run_of(cases(9), {"right": 1}), run_of(cases(9)), "main.json")
    assert found.passed
    assert found.notes == ("forbidden of answers, which the baseline does not hold",)


def test_a_suite_that_was_not_run_is_told_or_refused() -> None:
    both = run_of([*cases(9), case("t-1", suite="tone")])
    one = run_of(cases(9))
    named = compare(both, one, "main.json")
    assert named.passed
    assert named.notes == ("tone, which was not asked for",)
    left_out = compare(both, one, "main.json", whole=True, not_run={"tone": "no folder"})
    assert left_out.notes == ("tone, no folder",)
    gone = compare(both, one, "main.json", whole=True)
    assert gone.refused == ("tone: there is no such suite any more",)


def test_nothing_compared_is_not_a_success() -> None:
    found = compare(run_of([case("t-1", suite="tone")]), run_of(cases(9)), "main.json")
    assert not found.passed
    assert found.regressions() == [{"kind": "refused", "words": "nothing was compared"}]


def test_time_and_cost_are_told_and_fail_nothing() -> None:
    before = run_of([replace(record, cost=0.01) for record in cases(9)])
    now = run_of([replace(record, latency_ms=100.0, cost=0.02) for record in cases(9)])
    found = compare(before, now, "main.json")
    assert found.passed
    assert "time x 5 (p95 x 5), cost x 2 (p95 x 2)" in found.as_text()
