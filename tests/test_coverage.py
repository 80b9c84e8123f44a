"""The decision that nothing found answers: fitted, recorded with the release, taken from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from assistant.deps import open_deps
from evals import fit_wording
from evals.fit_coverage import crossed, fit, turned_away
from evals.fit_ranking import Floats, Judged, learn, ranked_ids
from knowledge.coverage import (
    FEW_CLAUSES,
    FITTED,
    LENIENT,
    TOO_FEW_CLAUSES,
    Coverage,
    calibrate,
    likely,
    load_coverage,
)
from knowledge.embed import LocalEmbedder, Vectors
from knowledge.ranking import fit_for
from knowledge.release import build
from knowledge.retrieve import Scope, covers, open_index, retrieve

from .conftest import settings_for

TODAY = date(2026, 11, 23)
COVERAGE = Coverage({"near": 2.0, "bias": -3.0}, bar=0.5, probe_mean=0.8, probe_spread=0.05)


class OtherEmbedder:
    """An embedder that nothing was fitted for: unit vectors of another width from a hash."""

    name = "other"

    def passages(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.query(text) for text in texts])

    def query(self, text: str) -> Vectors:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        row = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
        unit: Vectors = row / np.linalg.norm(row)
        return unit


def test_nearness_is_counted_in_spreads_of_the_probes() -> None:
    assert COVERAGE.nearness(0.9) == pytest.approx(2.0)
    assert COVERAGE.odds({"near": 2.0, "unknown": 9.0}) == pytest.approx(0.5)


def test_what_was_recorded_is_what_is_loaded() -> None:
    assert load_coverage(COVERAGE.as_json(), "any") == COVERAGE


def test_the_probes_are_measured_over_all_clauses() -> None:
    embedder = OtherEmbedder()
    vectors = embedder.passages([f"条文{n}" for n in range(7000)])
    found = calibrate(embedder, vectors)
    probes = json.loads(FITTED.read_text("utf-8"))["probes"]
    best = [float((vectors @ embedder.query(probe)).max()) for probe in probes]
    assert found.probe_mean == pytest.approx(np.mean(best), abs=1e-5)
    assert found.probe_spread == pytest.approx(np.std(best), abs=1e-5)


async def test_a_release_records_the_decision_that_its_questions_are_judged_by(
    tmp_path: Path,
) -> None:
    rows = [{"id": f"c{n}", "text": f"第{n}号分期产品的还款日为每月{n}日。"} for n in range(150)]
    lines = tmp_path / "terms.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    embedder = LocalEmbedder(1)
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        lock = tmp_path / "lock"
        await build(deps.engine, deps.vector_store, embedder, [], lock_file=lock, jsonl=lines)
        index = await open_index(deps.engine, deps.vector_store)
    assert len(index.clauses) > FEW_CLAUSES
    recorded = json.loads(index.release.coverage)
    assert recorded["probe_mean"] == index.coverage.probe_mean > 0.5
    assert recorded["fitted"]
    scope = Scope(TODAY)
    assert covers(retrieve(index, embedder, "第20号分期产品的还款日是哪天", scope, 3))
    assert not covers(retrieve(index, embedder, "今天天气怎么样", scope, 3))
    strict = replace(index, coverage=replace(index.coverage, bar=99.0))
    assert not covers(retrieve(strict, embedder, "第20号分期产品的还款日是哪天", scope, 3))


async def test_a_small_release_declines_what_it_does_not_answer_and_a_tiny_one_nothing(
    tmp_path: Path,
) -> None:
    terms = (
        "还款日为每月 8 日，遇节假日不顺延。",
        "逾期后有 3 个自然日的宽限期，宽限期内还清的不计罚息。",
        "罚息利率为合同利率的 1.5 倍，按日计收。",
        "提前结清不收违约金，利息计算到结清当日。",
        "优惠券每笔借款限用一张，不得转让。",
        "年满 22 周岁的中国大陆居民可以申请，在校学生除外。",
        "结清证明可以在 App 下载，不收费用。",
        "投诉自受理之日起 15 日内答复。",
    )
    embedder = LocalEmbedder(1)
    for count in (len(terms), TOO_FEW_CLAUSES - 1):
        lines = tmp_path / f"{count}.jsonl"
        rows = [{"id": f"c{n}", "text": text} for n, text in enumerate(terms[:count])]
        lines.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        async with open_deps(settings_for(tmp_path / f"home{count}")) as deps:
            lock = tmp_path / "lock"
            await build(deps.engine, deps.vector_store, embedder, [], lock_file=lock, jsonl=lines)
            index = await open_index(deps.engine, deps.vector_store)
        scope = Scope(TODAY)
        assert covers(retrieve(index, embedder, "晚还两天要收罚息吗", scope, 3))
        for beside in ("红烧肉怎么做才不腻", "帮我写一首关于秋天的诗", "明天杭州会下雨吗"):
            found = retrieve(index, embedder, beside, scope, 3)
            assert covers(found) == (count < TOO_FEW_CLAUSES), beside


def test_the_bar_is_lower_in_a_small_release() -> None:
    assert likely(-LENIENT / 2, FEW_CLAUSES - 1)
    assert not likely(-LENIENT / 2, FEW_CLAUSES)
    assert not likely(-LENIENT, FEW_CLAUSES - 1)


def test_an_embedder_that_nothing_was_fitted_for_is_compared_by_plain_cosines() -> None:
    other = fit_for("other", 32)
    vector = OtherEmbedder().query("提前还款")
    np.testing.assert_array_equal(other.aimed(vector), vector)
    fitted = fit_for(LocalEmbedder.name, 384)
    assert fitted.dimensions.std() > 0


# The fits themselves


def test_the_fit_of_the_decision_finds_what_tells_the_answered_apart() -> None:
    order = np.random.default_rng(0)
    answered = (order.random(400) < 0.6).astype(float)
    telling = answered * 2 + order.standard_normal(400)
    rows = np.column_stack([telling, order.standard_normal(400)])
    weights = fit(rows, answered)
    assert weights[0] > 1.2 > 4 * abs(weights[1])
    odds = crossed(rows, answered)
    bar = np.quantile(odds[answered == 1], 0.03)
    assert turned_away(odds, answered, 0.97) == pytest.approx((odds[answered == 0] < bar).mean())


def test_the_fit_of_the_dimensions_learns_which_of_them_tell_right_from_wrong() -> None:
    order = np.random.default_rng(0)

    def question() -> Judged:
        parts = order.standard_normal((20, 6))
        right = int(parts[:, 2].argmax())
        gain = np.zeros(20)
        gain[right] = 1.0
        ids = [f"c{n}" for n in range(20)]
        return Judged(parts, parts.sum(axis=1), gain, {f"c{right}": 1.0}, ids)

    taught, others = ([question() for _ in range(60)] for _ in range(2))
    change = learn(taught, 0.03)
    assert change.argmax() == 2

    def first(weights: Floats) -> float:
        return float(np.mean([ranked_ids(one, weights)[0] in one.gains for one in others]))

    assert first(change) > first(np.zeros(6)) + 0.2


def test_weights_of_wording_are_fitted_many_at_once_as_they_are_one_by_one() -> None:
    order = np.random.default_rng(0)
    rows = order.random((120, 400)) * (order.random((120, 400)) < 0.1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = (fit_wording.SPREAD * rows @ rows.T).astype(np.float32)
    breaks = (rows[:, :40].sum(axis=1) > rows[:, 40:80].sum(axis=1)).astype(float)
    taken = np.column_stack([np.arange(120) % 3 != 0, np.ones(120, bool)])
    told: list[str] = []
    shares, biases = fit_wording.fit(alike, breaks, taken, told.append)
    assert len(told) == fit_wording.ROUNDS
    for one, share, bias in zip(taken.T, shares.T, biases, strict=True):
        assert not share[~one].any()
        within, of_one = alike[np.ix_(one, one)].astype(float), breaks[one]
        known, odds = np.zeros(one.sum()), np.zeros(one.sum())
        for _ in range(fit_wording.ROUNDS):  # Newton's method, solved densely
            likely_one = 1 / (1 + np.exp(-odds))
            curve = np.maximum(likely_one * (1 - likely_one), 1e-3)
            wanted = odds + (of_one - likely_one) / curve
            left = within + np.diag(fit_wording.PENALTY / curve)
            ones, of_wanted = (np.linalg.solve(left, each) for each in (np.ones(len(odds)), wanted))
            over = of_wanted.sum() / ones.sum()
            known = of_wanted - over * ones
            odds = within @ known + over
        np.testing.assert_allclose(share[one], known, atol=1e-4)
        assert bias == pytest.approx(over, abs=1e-4)
    own = fit_wording.crossed(alike @ shares + biases, np.arange(120) % 3 - 1)
    assert np.isneginf(own[::3]).all()
    np.testing.assert_allclose(own[1::3], (alike @ shares + biases)[1::3, 0])
