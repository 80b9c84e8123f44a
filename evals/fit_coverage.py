"""Fits when a question counts as answered by what was found; writes knowledge/coverage.json.

    python -m evals.fit_coverage

The questions are those of cases/coverage_dev.jsonl and of the sample lender's cases, which must be
live in the home folder. What is printed was cross-validated: each question is judged by weights
that were fitted to others.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.config import load_settings
from assistant.deps import Deps, open_deps
from knowledge.coverage import FITTED, calibrate
from knowledge.lender import named_product
from knowledge.retrieve import Scope, Signals, retrieve

from .fit_ranking import case_scope
from .suites import SUITES, Suite

QUESTIONS = Path(__file__).parent / "cases" / "coverage_dev.jsonl"

KEPT = 0.985
"""Share of the answered questions that must be let through: to turn one away is the worse fault."""

PENALTY = 0.5
FOLDS = 10
ROUNDS = 5
STEPS = 60
CLAUSES = 8

Floats = NDArray[np.float64]


def fit(rows: Floats, answered: Floats) -> Floats:
    """Logistic regression by Newton's method; the last weight is the bias, and not penalised."""
    rows = np.column_stack([rows, np.ones(len(rows))])
    weights = np.zeros(rows.shape[1])
    penalty = np.diag([PENALTY] * (rows.shape[1] - 1) + [1e-6])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-rows @ weights))
        curve = (rows * (likely * (1 - likely))[:, None]).T @ rows + penalty
        slope = rows.T @ (answered - likely) - penalty @ weights
        weights = weights + np.linalg.solve(curve, slope)
    return weights


def crossed(rows: Floats, answered: Floats) -> Floats:
    """The odds of each question by weights fitted to others, over several divisions."""
    odds = np.zeros(len(rows))
    for seed in range(ROUNDS):
        order = np.random.default_rng(seed).permutation(len(rows))
        for fold in range(FOLDS):
            out = order[fold::FOLDS]
            rest = np.setdiff1d(order, out)
            weights = fit(rows[rest], answered[rest])
            odds[out] += (rows[out] @ weights[:-1] + weights[-1]) / ROUNDS
    return odds


def turned_away(odds: Floats, answered: Floats, kept: float) -> float:
    """Share of the unanswered below the bar that lets so many of the answered through."""
    bar = np.quantile(odds[answered == 1], 1 - kept)
    return float((odds[answered == 0] < bar).mean())


async def measured(deps: Deps) -> tuple[list[tuple[Signals, bool]], tuple[float, float]]:
    """The signals of each question and whether it is answered, and what the probes reach."""
    index, embedder = await deps.index(), await deps.embedder()
    vectors = np.concatenate([part.vectors for part in index.sections.values()])
    coverage = await asyncio.to_thread(calibrate, embedder, vectors)
    index = replace(index, coverage=coverage)
    suite = SUITES["retrieval"]
    assert isinstance(suite, Suite)
    asked = [
        (
            case.text,
            case_scope(case, suite, deps.lender, index),
            case.expect.status == ("answered",),
        )
        for case in suite.cases()
        if case.expect.status in (("answered",), ("not_covered",))
    ]
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        scope = Scope(on=suite.today, product=named_product(deps.lender, row["text"]))
        asked.append((row["text"], scope, row["covered"]))
    found = [
        (retrieve(index, embedder, text, scope, CLAUSES).signals, answered)
        for text, scope, answered in asked
    ]
    return found, (coverage.probe_mean, coverage.probe_spread)


async def fit_all() -> None:
    async with open_deps(load_settings()) as deps:
        found, reached = await measured(deps)
        embedder = (await deps.embedder()).name
    names = list(found[0][0])
    rows = np.array([[signals[name] for name in names] for signals, _ in found])
    answered = np.array([float(right) for _, right in found])
    say = sys.stdout.write
    say(f"{int(answered.sum())} answered, {int((1 - answered).sum())} not\n")
    say("turned away of those not answered, where so many of the answered are kept:\n")
    for used in [[name] for name in names] + [[n for n in names if n != m] for m in names]:
        odds = crossed(rows[:, [names.index(name) for name in used]], answered)
        say(f"  {_shares(odds, answered)}  {', '.join(used)}\n")
    odds = crossed(rows, answered)
    say(f"  {_shares(odds, answered)}  all\n")
    weights = fit(rows, answered)
    own = rows @ weights[:-1] + weights[-1]
    # By weights fitted to others: those of its own questions put the bar too high for new ones.
    bar = float(np.quantile(odds[answered == 1], 1 - KEPT))
    known = json.loads(FITTED.read_text(encoding="utf-8"))
    written = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "data": sha256(b"".join(f.read_bytes() for f in _files())).hexdigest()[:16],
        "embedder": embedder,
        "kept": KEPT,
        "turned_away_cross_validated": round(turned_away(odds, answered, KEPT), 3),
        "weights": {
            name: round(float(weight), 4)
            for name, weight in zip([*names, "bias"], weights, strict=True)
        },
        "bar": round(bar, 4),
        "reference": known.get("reference", {}) | {embedder: [round(x, 5) for x in reached]},
        "probes": known["probes"],
    }
    FITTED.write_text(json.dumps(written, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    say(f"bar {bar:.2f}: {(own[answered == 1] >= bar).mean():.3f} kept, ")
    say(f"{(own[answered == 0] < bar).mean():.3f} turned away; written to {FITTED.name}\n")


def _files() -> list[Path]:
    suite = SUITES["retrieval"]
    assert isinstance(suite, Suite)
    return [QUESTIONS, suite.file]


def _shares(odds: Floats, answered: Floats) -> str:
    shares: Sequence[float] = (0.99, 0.98, 0.97, 0.95)
    return "  ".join(f"{kept:.0%} {turned_away(odds, answered, kept):.3f}" for kept in shares)


if __name__ == "__main__":
    asyncio.run(fit_all())
