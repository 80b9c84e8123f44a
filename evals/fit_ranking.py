"""Fits how an embedder's dimensions count, and writes knowledge/ranking.json.

    python -m evals.fit_ranking --statutes FOLDER

The questions are those of the statute collection and of the sample lender's cases, which must be
live in the home folder. A dimension counts 1 unless the questions speak against it: the weights
are held there by a penalty, chosen by cross-validation over questions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.answer import question_scope
from assistant.config import load_settings
from assistant.deps import Deps, open_deps
from assistant.models import Question
from knowledge.embed import Embedder
from knowledge.lender import Lender
from knowledge.ranking import FITTED, WEIGHTS, Fit, near, rank
from knowledge.retrieve import Index, Scope, mend, mixed, question_vector
from knowledge.text import expand

from .metrics import ndcg
from .schema import Case
from .statutes import Collection, ingested, load_collection
from .suites import SUITES, Suite

CANDIDATES = 100
PENALTIES = (0.03, 0.06, 0.1, 0.2, 0.4)
FOLDS = 5
STEPS = 150
RATE = 0.02
SHARPNESS = 1.5
"""Of the softmax over scores by which a question's right clauses are learned."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with the clauses that rank best for it; all arrays have a row for each."""

    parts: Floats
    """What each dimension adds to the score where it counts 1 more."""
    score: Floats
    """With all dimensions counting 1."""
    gain: Floats
    gains: dict[str, float]
    ids: Sequence[str]
    """Clause ids of statutes; sources of the lender's clauses."""


def judge(
    index: Index, fit: Fit, embedder: Embedder, text: str, scope: Scope, right: dict[str, float]
) -> Judged:
    """right: clause ids, or sources, that answer the question, with their gain."""
    sections = [index.sections[audience] for audience in scope.audiences()]
    mended = mend(index, text, scope)
    query = expand(mended)
    aimed = fit.aimed(mixed(question_vector(embedder, mended), question_vector(embedder, query)))
    nearness = near(sections, aimed)
    ranked = rank(sections, nearness, query, scope)
    best = np.argsort(-ranked.score, kind="stable")[:CANDIDATES]
    ordinals = [int(ordinal) for ordinal in ranked.ordinals]
    all_rows = np.stack([index.vector(ordinal) for ordinal in ordinals]) * aimed
    spread = float(all_rows.sum(axis=1).std()) or 1.0
    rows = (all_rows - all_rows.mean(axis=0))[best] * (WEIGHTS["dense"] / spread)
    clauses = [index.clauses[ordinals[place]] for place in best]
    ids = [c.id if c.id in right else c.source for c in clauses]
    gain = np.array([right.get(name, 0.0) for name in ids])
    return Judged(rows.astype(float), ranked.score[best].astype(float), gain, right, ids)


def learn(judged: Sequence[Judged], penalty: float) -> Floats:
    """What each dimension counts more or less than 1, by gradient descent."""
    taught = [j for j in judged if j.gain.any()]
    change = np.zeros(taught[0].parts.shape[1])
    mean, square = np.zeros_like(change), np.zeros_like(change)
    for step in range(1, STEPS + 1):
        slope = penalty * change
        for one in taught:
            score = SHARPNESS * (one.score + one.parts @ change)
            likely = np.exp(score - score.max())
            right = likely * (one.gain > 0)
            difference = likely / likely.sum() - right / right.sum()
            slope = slope + SHARPNESS * (difference @ one.parts) / len(taught)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        step_size = RATE * mean / (1 - 0.9**step)
        change = change - step_size / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return change


def ranked_ids(one: Judged, change: Floats) -> list[str]:
    order = np.argsort(-(one.score + one.parts @ change), kind="stable")
    return [one.ids[place] for place in order]


def quality(statutes: Sequence[Judged], lender: Sequence[Judged], change: Floats) -> Floats:
    """nDCG@10 of the statutes; of the lender, right document first, and among the first five."""
    first = [ranked_ids(one, change)[:5] for one in lender]
    return np.array(
        [
            np.mean([ndcg(ranked_ids(one, change)[:10], one.gains, 10) for one in statutes]),
            np.mean([ids[0] in one.gains for ids, one in zip(first, lender, strict=True)]),
            np.mean([bool({*ids} & {*one.gains}) for ids, one in zip(first, lender, strict=True)]),
        ]
    )


def crossed(statutes: Sequence[Judged], lender: Sequence[Judged], penalty: float) -> Floats:
    """Quality on questions that the dimensions were not learned from."""
    order = np.random.default_rng(0)
    folds = [np.array_split(order.permutation(len(s)), FOLDS) for s in (statutes, lender)]
    found = np.zeros(3)
    for number in range(FOLDS):
        held = [set(parts[number].tolist()) for parts in folds]
        (s_in, s_out), (l_in, l_out) = (
            ([j for i, j in enumerate(all_) if i not in out], [all_[i] for i in sorted(out)])
            for all_, out in zip((statutes, lender), held, strict=True)
        )
        found += quality(s_out, l_out, learn([*s_in, *l_in], penalty)) / FOLDS
    return found


async def judged_lender(deps: Deps, index: Index, fit: Fit, embedder: Embedder) -> list[Judged]:
    suite = SUITES["retrieval"]
    assert isinstance(suite, Suite)
    found: list[Judged] = []
    for case in suite.cases():
        if case.expect.status == ("answered",) and case.expect.sources:
            right = dict.fromkeys(case.expect.sources, 1.0)
            scope = case_scope(case, suite, deps.lender, index)
            found.append(judge(index, fit, embedder, case.text, scope, right))
    return found


def case_scope(case: Case, suite: Suite, lender: Lender, index: Index) -> Scope:
    """The scope in which the assistant would search for a case."""
    question = Question(case.text, suite.today, as_of=case.as_of, contract_date=case.contract_date)
    return question_scope(question, case.text, lender, index)[0]


async def fit_all(folder: Path) -> None:
    say = sys.stdout.write
    collection: Collection = await asyncio.to_thread(load_collection, folder)

    def progress(stage: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r{stage} {done}/{total}   ")

    async with open_deps(load_settings()) as deps:
        embedder = await deps.embedder()
        width = len(embedder.query(next(iter(collection.queries.values()))))
        fit = Fit(np.ones(width, np.float32))
        async with ingested(collection, deps.settings, embedder, progress) as (_, index):
            scope = Scope(on=SUITES["statutes"].today)
            statutes = [
                judge(index, fit, embedder, text, scope, dict(collection.grades[name]))
                for name, text in collection.queries.items()
            ]
        lender = await judged_lender(deps, await deps.index(), fit, embedder)
    say(f"\n{len(statutes)} statute questions, {len(lender)} of the sample lender\n")
    say("penalty   statutes nDCG@10, lender first, in five: cross-validated | fitted\n")
    plain = quality(statutes, lender, np.zeros(width))
    say(f"  none    {np.round(plain, 4)}\n")
    results = {}
    for penalty in PENALTIES:
        results[penalty] = crossed(statutes, lender, penalty)
        fitted = quality(statutes, lender, learn([*statutes, *lender], penalty))
        say(f"  {penalty:<6}  {np.round(results[penalty], 4)} | {np.round(fitted, 4)}\n")
    best = max(results, key=lambda penalty: float(results[penalty][0] + results[penalty][1]))
    change = learn([*statutes, *lender], best)
    suite = SUITES["retrieval"]
    assert isinstance(suite, Suite)
    files = [folder / name for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv")]
    known = json.loads(FITTED.read_text(encoding="utf-8")) if FITTED.exists() else {}
    written = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "data": {path.name: _hash(path) for path in [*files, suite.file]},
        "penalty": best,
        "cross_validated": dict(
            zip(("ndcg_10", "first", "within_five"), results[best].round(4).tolist(), strict=True)
        ),
        "embedders": known.get("embedders", {})
        | {
            embedder.name: {
                "dimensions": [round(1.0 + float(x), 4) for x in change],
            }
        },
    }
    FITTED.write_text(json.dumps(written, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"penalty {best} written to {FITTED.name}\n")


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m evals.fit_ranking")
    parser.add_argument("--statutes", type=Path, required=True)
    asyncio.run(fit_all(parser.parse_args(arguments).statutes))


if __name__ == "__main__":
    main()
