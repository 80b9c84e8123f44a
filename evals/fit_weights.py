"""Fits what the parts of a clause's score count for; prints the weights, for knowledge/ranking.py.

    python -m evals.fit_weights

The questions are the sample lender's, which must be live in the home folder; a clause is right
where its document answers the question. How often a right one comes first, and among the first
five, is printed cross-validated: each question is judged by weights that were fitted to others.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.config import load_settings
from assistant.deps import Deps, open_deps
from knowledge.ranking import WEIGHTS
from knowledge.retrieve import retrieve

from .fit_ranking import case_scope
from .suites import SUITES, Suite

FOLDS = 8
FOUND = 60
"""How many of the best clauses are put in order."""
ROUNDS = 600
RATE = 0.3
PENALTY = 0.02

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """The clauses found for a question: a row of parts each, and which are right."""

    rows: Floats
    right: NDArray[np.bool_]


async def judged(deps: Deps) -> list[Judged]:
    suite = SUITES["retrieval"]
    assert isinstance(suite, Suite)
    index, embedder = await deps.index(), await deps.embedder()
    found: list[Judged] = []
    for case in suite.cases():
        if case.expect.status != ("answered",) or not case.expect.sources:
            continue
        scope = case_scope(case, suite, deps.lender, index)
        evidence = (
            await asyncio.to_thread(retrieve, index, embedder, case.text, scope, FOUND)
        ).evidence
        # A part is its weight times what was measured, in units of the best score.
        rows = [[item.why.get(name, 0.0) / WEIGHTS[name] for name in WEIGHTS] for item in evidence]
        best = max(sum(item.why.values()) for item in evidence)
        right = [item.clause.source in case.expect.sources for item in evidence]
        found.append(Judged(np.array(rows) / best, np.array(right)))
    return found


def fit(questions: Sequence[Judged]) -> Floats:
    """Weights by which the right clauses are most likely put first, as large as those there are."""
    usable = [q for q in questions if q.right.any()]
    scale = np.concatenate([q.rows for q in usable]).std(axis=0) + 1e-9
    weights = np.zeros(len(WEIGHTS))
    for _ in range(ROUNDS):
        slope = -PENALTY * weights
        for question in usable:
            rows = question.rows / scale
            likely = np.exp(rows @ weights - (rows @ weights).max())
            likely /= likely.sum()
            right = likely * question.right
            slope += rows.T @ (right / right.sum() - likely) / len(usable)
        weights += RATE * slope
    fitted = weights / scale
    as_now = WEIGHTS["sentence"] / float(fitted[[*WEIGHTS].index("sentence")])
    scaled: Floats = fitted * as_now
    return scaled


def placed(question: Judged, weights: Floats) -> tuple[bool, bool]:
    """Whether a right clause comes first, and whether one is among the first five."""
    order = np.argsort(-(question.rows @ weights), kind="stable")
    return bool(question.right[order[0]]), bool(question.right[order[:5]].any())


async def main() -> int:
    async with open_deps(load_settings()) as deps:
        questions = await judged(deps)
    folds = np.random.default_rng(0).permutation(len(questions)) % FOLDS
    results = np.zeros((len(questions), 2))
    for fold in range(FOLDS):
        weights = fit([q for q, at in zip(questions, folds, strict=True) if at != fold])
        for place in np.flatnonzero(folds == fold):
            results[place] = placed(questions[place], weights)
    first, five = results.mean(axis=0)
    say = sys.stdout.write
    say(f"{len(questions)} questions; cross-validated: first {first:.3f}, in five {five:.3f}\n")
    for name, weight in zip(WEIGHTS, fit(questions), strict=True):
        say(f"  {name} {weight:.2f} (now {WEIGHTS[name]})\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
