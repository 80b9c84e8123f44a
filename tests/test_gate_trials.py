"""The gate on model outputs made from the sample lender's clauses; the whole set with -m bench."""

from __future__ import annotations

import random
import re
import tomllib
from pathlib import Path

import pytest

from assistant.gate import Draft, check
from assistant.reading import Names, names_of
from evals.mutate import (
    PARTS,
    Part,
    Trial,
    by_hand,
    citations,
    main,
    make_every,
    make_trials,
    other_lenders,
    table,
    try_gate,
)
from knowledge.lender import load_lender

ROOT = Path(__file__).parent.parent


LEAST_RELEASED: dict[Part, float] = {
    "development": 0.9,
    "opened": 0.9,
    "wide": 0.55,
    "heldout": 0.85,
    "check": 0.2,
    "more": 0.4,
    "apart": 0.4,
    "latest": 0.2,
    "next": 0.6,
    "turned": 0.4,
    "close": 0.4,
}
"""Share of true sentences; heldout, check and apart are measured only."""


@pytest.mark.parametrize("part", PARTS)
def test_false_sentences_are_withheld_and_true_ones_released(part: Part) -> None:
    outcomes = try_gate(make_trials(part, of_each=150))
    false = [not o.reason for o in outcomes if not o.trial.true]
    true = [not o.reason for o in outcomes if o.trial.true]
    assert sum(false) <= 0.03 * len(false)
    assert sum(true) >= LEAST_RELEASED[part] * len(true)


def test_the_same_seed_makes_the_same_trials() -> None:
    assert make_trials("development", of_each=60) == make_trials("development", of_each=60)


def test_each_change_that_makes_a_true_sentence_false_is_withheld() -> None:
    trials = list(make_every("opened"))
    assert len({trial.text for trial in trials}) > 3500
    assert {trial.kind for trial in trials} >= {"wrong_figure", "wrong_polarity", "swapped"}
    assert not [o.trial.text for o in try_gate(trials) if not o.reason]


@pytest.mark.parametrize("option", ["--show", "--every"])
def test_a_part_that_is_kept_back_is_not_read(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["heldout", option])
    assert "measured, not read" in capsys.readouterr().err


def test_no_wording_of_the_trials_stands_in_the_gates_data() -> None:
    known = "".join(
        (ROOT / "assistant" / name).read_text(encoding="utf-8")
        for name in ("grounding.toml", "synonyms.toml")
    )
    for part in PARTS:
        with (ROOT / f"evals/cases/mutations_{part}.toml").open("rb") as file:
            words = tomllib.load(file)
        told = words.get("false", {})
        phrases = [p for kind in ("invented", "promises", "injected") for p in told.get(kind, [])]
        phrases += [
            said for truth in words["truths"] for said in (*truth["says"], *truth["beyond"])
        ]
        for phrase in phrases:
            assert re.sub("[。，]", "", phrase) not in known
    for trial in (trial for _, trials in other_lenders() for trial in trials):
        assert re.sub("[。，]", "", trial.text) not in known


@pytest.mark.bench
@pytest.mark.parametrize("part", PARTS)
def test_bench_the_gate_on_a_thousand_of_each(part: Part) -> None:
    outcomes = try_gate(make_trials(part))
    print(f"\n{part}")  # noqa: T201
    print("\n".join(table(outcomes)))  # noqa: T201
    assert len(outcomes) == 2000


def test_small_talk_is_told_from_what_only_sounds_like_it() -> None:
    """Parts by two hands, each beside a clause; the gate has been mended by them since."""
    names = names_of(load_lender())
    clauses = random.Random(3).choices(citations(), k=1000)
    with (ROOT / "evals/cases/small_talk.toml").open("rb") as file:
        parts = tomllib.load(file)

    def released(kind: str) -> float:
        told = [
            check(Draft(f"{clause.quote.rstrip('。')}，{said}。", "model", (clause,)), names)
            for said, clause in zip(parts[kind], clauses, strict=False)
        ]
        return told.count(None) / len(told)

    assert released("harmless") >= 0.85
    assert released("telling") <= 0.05


def test_the_terms_of_other_lenders_are_told_apart_as_well() -> None:
    """By hands that did not know the gate; it was mended by them since, by those of the first four
    lenders until none was left."""
    lenders = other_lenders()
    false, released, true = trials_of(lenders[:4])
    assert not false
    assert released >= 0.6 * true
    false, released, true = trials_of(lenders[4:])
    assert len(false) <= 9
    assert released >= 0.5 * true


def test_what_the_question_says_proves_nothing() -> None:
    """Each false sentence where the customer asked for just that, in the parts that are small."""
    names = names_of(load_lender())
    false = [
        trial for part in ("more", "latest", "next") for trial in by_hand(part) if not trial.true
    ]
    assert len(false) > 1000
    released = [
        trial.text
        for trial in false
        if not check(
            Draft(trial.text, "model", trial.citations, asked=f"{trial.text[:-1]}吗"), names
        )
    ]
    assert len(released) <= 1, released


def trials_of(lenders: list[tuple[Names, list[Trial]]]) -> tuple[list[str], int, int]:
    """False sentences that are released, how many true ones are, and how many there are."""
    false: list[str] = []
    released = true = 0
    for names, trials in lenders:
        for trial in trials:
            passed = check(Draft(trial.text, "model", trial.citations), names) is None
            true, released = true + trial.true, released + (trial.true and passed)
            if passed and not trial.true:
                false.append(f"{trial.citations[0].quote} {trial.text}")
    return false, released, true
