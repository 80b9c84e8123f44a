"""The labelled messages: they are read with care, and the rules do not get worse at them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from assistant.rules import RulePack, load_rules
from evals.fit_wording import SETS
from evals.messages import (
    MessageSuite,
    Reread,
    by_reader,
    by_rule,
    by_topic,
    judge,
    judge_messages,
    load_messages,
    record_of,
)
from evals.records import record_from
from evals.schema import BadCases, load_rows
from evals.suites import SUITES


@pytest.fixture(scope="module")
def rules() -> RulePack:
    return load_rules()


def suite(name: str = "compliance") -> MessageSuite:
    found = SUITES[name]
    assert isinstance(found, MessageSuite)
    return found


ROW = {
    "id": "m-1",
    "text": "放心吧，百分百下款。",
    "task": "marketing",
    "channel": "sms",
    "topic": "promise",
    "difficulty": "easy",
    "source": "authored",
    "expect": {"rules": ["CN-PROM-01"]},
}


def written(folder: Path, *rows: dict[str, object]) -> MessageSuite:
    file = folder / "messages.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return replace(suite(), file=file)


LOOKED_AT = [
    "compliance-dev",
    "compliance-a",
    "compliance-b",
    "compliance-c",
    "compliance-d",
    "compliance-e",
    "compliance-f",
    "compliance-g",
    "compliance-i",
    "compliance-j",
]


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *((name, 400) for name in (*LOOKED_AT, "compliance")),
        ("compliance-k", 320),
        ("compliance-l", 320),
    ],
)
def test_the_labelled_messages_can_be_read_and_are_of_both_kinds(name: str, least: int) -> None:
    cases = suite(name).cases()
    breaking = sum(bool(case.expect.rules) for case in cases)
    assert len(cases) >= least
    assert 0.4 <= breaking / len(cases) <= 0.6
    assert {case.task for case in cases} == {"chat", "marketing", "agent", "collections"}


def test_no_message_is_in_both_halves() -> None:
    learned_from = [*LOOKED_AT, "compliance-h", "compliance-k", "compliance-l"]
    assert {*SETS} == {*learned_from}
    halves = [{case.text for case in suite(name).cases()} for name in learned_from]
    for name in ("compliance", "compliance-fresh"):
        untouched = {case.text for case in suite(name).cases()}
        assert not untouched & set().union(*halves)


@pytest.mark.parametrize(
    ("name", "least"),
    # The untouched half is not looked at to mend a pattern, so that some of its bars stay ahead.
    [
        ("compliance-dev", {"recall": 0.98, "precision": 0.98}),
        ("compliance-a", {"recall": 0.95, "precision": 0.97}),
        ("compliance-b", {"recall": 0.95, "precision": 0.97}),
        ("compliance-c", {"recall": 0.97, "precision": 0.97}),
        ("compliance-d", {"recall": 0.97, "precision": 0.97}),
        ("compliance-e", {"recall": 0.97, "precision": 0.97}),
        ("compliance-f", {"recall": 0.93, "precision": 0.95}),
        ("compliance-g", {"recall": 0.97, "precision": 0.97}),
        ("compliance-i", {"recall": 0.93, "precision": 0.95}),
        ("compliance-j", {"recall": 0.97, "precision": 0.97}),
        ("compliance-k", {"recall": 0.97, "precision": 0.97}),
        ("compliance-l", {"recall": 0.97, "precision": 0.97}),
        (
            "compliance",
            {
                "recall": 0.87,
                "precision": 0.94,
                "worded_recall": 0.95,
                "worded_precision": 0.945,
            },
        ),
        (
            "compliance-fresh",
            {
                "recall": 0.9,
                "precision": 0.96,
                "worded_recall": 0.97,
                "worded_precision": 0.955,
            },
        ),
    ],
)
def test_the_rules_do_not_get_worse_at_them(
    rules: RulePack, name: str, least: dict[str, float]
) -> None:
    metrics = judge_messages(suite(name), rules).metrics
    for metric, value in least.items():
        assert metrics[metric].value >= value, metrics


def test_wording_counts_in_the_record_of_a_message_and_after_a_break(
    rules: RulePack, tmp_path: Path
) -> None:
    held = suite("compliance-h")
    judged = judge(held, rules)
    warned = next(one for one in judged if one.breaks and one.warned and not one.found)
    record = record_of(held, warned)
    assert not record.checks["recall"].passed
    assert record.checks["worded_recall"].passed
    assert record.checks["worded_precision"].passed
    kept = {
        one.case.id: record_from(json.loads(json.dumps(asdict(record_of(held, one)))))
        for one in judged
    }
    again = judge_messages(held, rules, before=kept)
    assert again.metrics == judge_messages(held, rules).metrics
    assert again.metrics["worded_recall"].value > again.metrics["recall"].value


def test_what_one_may_argue_about_is_neither_right_nor_wrong(
    rules: RulePack, tmp_path: Path
) -> None:
    row = {**ROW, "expect": {"rules": [], "may": ["CN-PROM-01"]}}
    result = judge_messages(written(tmp_path, row, {**ROW, "id": "m-2"}), rules)
    assert result.metrics["precision"].n == 1
    assert result.metrics["recall"].value == 1
    assert result.failures == ()


def test_a_rule_that_is_missed_or_found_wrongly_is_counted_under_its_topic(
    rules: RulePack, tmp_path: Path
) -> None:
    rows = [{**ROW, "expect": {"rules": []}}, {**ROW, "id": "m-2", "text": "您好。"}]
    judged = judge(written(tmp_path, *rows), rules)
    assert "| promise | 1 | 0 | 1 | 1 |" in by_topic(judged)
    assert "| CN-PROM-01 | derived | 0 | 1 | 1 |" in by_rule(judged, rules)


def test_further_readers_stand_beside_the_labels(rules: RulePack, tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "id": "m-2", "text": "您好。", "expect": {"rules": []}}]
    judged = judge(written(tmp_path, *rows, {**ROW, "id": "m-3"}), rules)
    breaks, clean = {"rules": ["CN-PROM-01"]}, {"rules": []}
    argued = {"rules": [], "may": ["CN-PROM-01"]}
    reread = [
        Reread.model_validate({"id": case, "labels": {"second": label}})
        for case, label in (("m-1", breaks), ("m-2", clean), ("m-3", argued), ("m-9", breaks))
    ]
    *_, line = by_reader(judged, reread).split("\n")
    assert line.startswith("| second | 3 | 0.400 [")
    assert line.endswith("| 1 | 1.000 | 1.000 |")


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("compliance", ("second reader", "third reader")),
        ("compliance-fresh", ("second reader",)),
    ],
)
def test_more_readers_agree_with_the_labels_of_what_is_untouched(
    name: str, readers: tuple[str, ...]
) -> None:
    held = suite(name)
    assert held.reread is not None
    by_case = {case.id: bool(case.expect.rules) for case in held.cases()}
    rows = load_rows(held.reread, Reread)
    assert {row.id for row in rows} == by_case.keys()
    for reader in readers:
        agreed = [by_case[row.id] == bool(row.labels[reader].rules) for row in rows]
        assert sum(agreed) >= 0.97 * len(agreed)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"task": "fax"}, "messages.jsonl:1: task"),
        ({"context": {"nobody": 1}}, "m-1: context"),
        ({"expect": {"rules": ["CN-NO-99"]}}, "no rule 'CN-NO-99'"),
    ],
)
def test_a_case_that_cannot_be_used_is_named(
    rules: RulePack, tmp_path: Path, change: dict[str, object], why: str
) -> None:
    with pytest.raises(BadCases, match=why):
        judge(written(tmp_path, {**ROW, **change}), rules)


def test_an_id_used_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCases, match="2: id: 'm-1' is taken"):
        load_messages(written(tmp_path, ROW, ROW).file)
