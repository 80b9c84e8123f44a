"""Fits by what the sentences of the clauses found are put in order; prints the weights.

    python -m evals.fit_sentences

The questions are the sample lender's, which must be live in the home folder; a sentence is right
where it states a fact that the answer needs. How often all facts are within a reader's budget is
printed cross-validated: each question is judged by weights that were fitted to others.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.answer import CLAUSES_FOUND
from assistant.config import load_settings
from assistant.deps import Deps, open_deps
from assistant.evidence import BUDGETS, SIGNS, Sign, fill, signs
from knowledge.retrieve import retrieve

from .fit_ranking import case_scope
from .metrics import says
from .suites import SUITES, Suite

FOLDS = 8
ROUNDS = 400
RATE = 0.5
PENALTY = 0.02

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """A question; both arrays have a row for each sentence found."""

    signs: Sequence[Sign]
    rows: Floats
    stated: NDArray[np.bool_]
    """A column for each fact."""


async def judged(deps: Deps) -> list[Judged]:
    suite = SUITES["answers"]
    assert isinstance(suite, Suite)
    index, embedder = await deps.index(), await deps.embedder()
    found: list[Judged] = []
    for case in suite.cases():
        if case.expect.status != ("answered",) or not case.expect.facts:
            continue
        scope = case_scope(case, suite, deps.lender, index)
        evidence = await asyncio.to_thread(
            retrieve, index, embedder, case.text, scope, CLAUSES_FOUND
        )
        rows = signs(evidence, scope.contract_date, deps.lender.products)
        found.append(
            Judged(
                rows,
                np.array([[row.values[name] for name in SIGNS] for row in rows]).reshape(
                    len(rows), len(SIGNS)
                ),
                np.array(
                    [
                        [
                            row.citation.clause.source in case.expect.sources
                            and any(says(row.citation.quote, wording) for wording in fact)
                            for fact in case.expect.facts
                        ]
                        for row in rows
                    ]
                ).reshape(len(rows), len(case.expect.facts)),
            )
        )
    return found


def fit(questions: Sequence[Judged]) -> Floats:
    """Weights by which sentences that state a fact are most likely put first."""
    usable = [q for q in questions if q.stated.any()]
    everything = np.concatenate([q.rows for q in usable])
    scale = everything.std(axis=0) + 1e-9
    weights = np.zeros(len(SIGNS))
    for _ in range(ROUNDS):
        slope = -PENALTY * weights
        for question in usable:
            rows = question.rows / scale
            likely = np.exp(rows @ weights - (rows @ weights).max())
            likely /= likely.sum()
            right = likely * question.stated.any(axis=1)
            slope += rows.T @ (right / right.sum() - likely) / len(usable)
        weights += RATE * slope
    fitted: Floats = weights / scale
    return fitted


def within(question: Judged, weights: Floats) -> list[bool]:
    """For each budget, whether all facts are among the sentences that fit into it."""
    if not len(question.rows):
        return [False] * len(BUDGETS)
    order = np.argsort(-(question.rows @ weights), kind="stable")
    best = [question.signs[place].citation for place in order]
    taken = [set(fill(best, budget)) for budget in BUDGETS]
    return [
        all(
            any(
                stated and row.citation in chosen
                for stated, row in zip(column, question.signs, strict=True)
            )
            for column in question.stated.T
        )
        for chosen in taken
    ]


async def main() -> int:
    async with open_deps(load_settings()) as deps:
        questions = await judged(deps)
    folds = np.random.default_rng(0).permutation(len(questions)) % FOLDS
    results = np.zeros((len(questions), len(BUDGETS)))
    for fold in range(FOLDS):
        weights = fit([q for q, at in zip(questions, folds, strict=True) if at != fold])
        for place in np.flatnonzero(folds == fold):
            results[place] = within(questions[place], weights)
    say = sys.stdout.write
    there = sum(bool(q.stated.any(axis=0).all()) for q in questions if len(q.rows))
    say(f"{len(questions)} questions; all facts stand in the clauses found for {there}\n")
    for budget, share in zip(BUDGETS, results.mean(axis=0), strict=True):
        say(f"  in {budget.sentences} sentences, {budget.characters} characters: {share:.3f}\n")
    for name, weight in zip(SIGNS, fit(questions), strict=True):
        say(f"  {name} {weight:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
