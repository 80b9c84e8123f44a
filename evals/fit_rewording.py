"""Fits how likely a reworded sentence says something else; writes assistant/rewording.json.

    python -m evals.fit_rewording

The labelled sentences are those of evals/mutate.py and evals/replies.py and the terms of other
lenders, without the parts that are kept back. What is printed was measured on each part by weights
fitted to the others, none of which rewords the same clauses.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from assistant.compared import Case
from assistant.gate import check, sources_of
from assistant.grounding import read_case
from assistant.reading import Names, names_of
from assistant.rewording import DIMENSIONS, FILE, numbered, traits
from knowledge.lender import load_lender

from . import replies
from .mutate import KEPT_BACK, PARTS, Trial, by_hand, make_trials, other_lenders

KEPT = 0.943
"""Share of the true sentences by hand, of those that all else lets through, that stays."""
TRUE, MADE = 4.0, 0.5
"""What a true sentence counts beside a false one, of which there are four times as many, and one
made by machine beside one by hand."""
ROUNDS, STEPS = 8, 60
LEAST_CURVE = 1e-3
NEAR_ENOUGH = 1e-6

Floats = NDArray[np.float64]
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as a model may write it, with the clauses it rests on."""

    part: str
    trial: Trial
    names: Names
    by_hand: bool


class Rows:
    """Sparse rows of traits, the last column one for all."""

    def __init__(self, rows: Sequence[Sequence[tuple[int, float]]]) -> None:
        ends = np.cumsum([len(row) + 1 for row in rows])
        self.starts = np.concatenate([[0], ends[:-1]])
        self.lengths = np.diff([0, *ends])
        self.places = np.array([at for row in rows for at, _ in (*row, (DIMENSIONS, 1.0))])
        self.much = np.array([much for row in rows for _, much in (*row, (0, 1.0))])

    def weighed(self, weights: Floats) -> Floats:
        """One number a row."""
        sums = np.add.reduceat(self.much * weights[self.places], self.starts)
        return np.asarray(sums, np.float64)

    def gathered(self, shares: Floats, power: int = 1) -> Floats:
        """One number a column."""
        each = self.much**power * np.repeat(shares, self.lengths)
        return np.asarray(np.bincount(self.places, each, DIMENSIONS + 1), np.float64)


def sentences() -> list[Sentence]:
    """What may be looked at, each once; nothing of the clauses that the parts kept back reword."""
    kept_back = [trial for part in KEPT_BACK for trial in by_hand(part)]
    not_of = {quote for trial in kept_back for quote in _clauses(trial)}
    not_said = {trial.text for trial in kept_back}
    once: dict[tuple[str, ...], Sentence] = {}
    for one in _sentences():
        clauses = _clauses(one.trial)
        if not_of.isdisjoint(clauses) and one.trial.text not in not_said:
            once.setdefault((one.trial.text, *clauses), one)
    return list(once.values())


def _clauses(trial: Trial) -> list[str]:
    return [citation.quote for citation in trial.citations]


def _sentences() -> Iterator[Sentence]:
    own = names_of(load_lender())
    for part in PARTS:
        if part not in KEPT_BACK:
            for trial in by_hand(part):
                yield Sentence(part, trial, own, by_hand=True)
            for trial in make_trials(part):
                yield Sentence(part, trial, own, by_hand=False)
    for trial in replies.trials("replies"):
        yield Sentence("replies", trial, own, by_hand=True)
    for names, trials in other_lenders():
        for trial in trials:
            yield Sentence("others", trial, names, by_hand=True)


def fit(rows: Rows, false: Floats, counts: Floats) -> Floats:
    """Penalised logistic regression by Newton's method, its steps by conjugate gradients."""
    weights = np.zeros(DIMENSIONS + 1)
    for _ in range(ROUNDS):
        likely = 1 / (1 + np.exp(-rows.weighed(weights)))
        curve = counts * np.maximum(likely * (1 - likely), LEAST_CURVE)
        slope = weights + rows.gathered(counts * (likely - false))
        weights = weights - _solved(rows, curve, slope)
    return weights


def _solved(rows: Rows, curve: Floats, wanted: Floats) -> Floats:
    """x of (1 + rows' * curve * rows) x = wanted."""
    usual = 1 + rows.gathered(curve, power=2)
    known, left = np.zeros_like(wanted), wanted
    step = left / usual
    size = float(left @ step)
    enough = NEAR_ENOUGH * size
    for _ in range(STEPS):
        turned = step + rows.gathered(curve * rows.weighed(step))
        length = size / float(step @ turned)
        known = known + length * step
        left = left - length * turned
        before, size = size, float(left @ (left / usual))
        if size <= enough:
            break
        step = left / usual + size / before * step
    return known


def main() -> None:
    say = sys.stdout.write

    def busy(told: str) -> None:
        sys.stderr.write(f"{told}\n")

    busy("reading the sentences")
    data = sentences()
    rows = Rows([list(numbered(traits(_case(one)))) for one in data])
    false = np.array([float(not one.trial.true) for one in data])
    hand = np.array([one.by_hand for one in data])
    counts = np.where(hand, 1.0, MADE) * np.where(false > 0, 1.0, TRUE)
    parts = np.array([one.part for one in data])
    odds = np.zeros(len(data))
    for part in dict.fromkeys(parts):
        busy(f"weights without {part}")
        here = parts == part
        clauses = {quote for one in data if one.part == part for quote in _clauses(one.trial)}
        apart = np.array([clauses.isdisjoint(_clauses(one.trial)) for one in data])
        odds[here] = rows.weighed(fit(rows, false, counts * (apart & ~here)))[here]
    busy("what all else lets through")
    passed = np.array([_passed(one) for one in data])
    true = false == 0
    bar = round(float(np.quantile(odds[true & hand & passed], KEPT)), 2)
    for part in dict.fromkeys(parts):
        here = (parts == part) & hand
        through = here & passed
        say(
            f"{part:12} withheld: of true ones let through {_share(odds[through & true] >= bar)},"
            f" of false ones {_share(odds[through & ~true] >= bar)};"
            f" of all false ones {_share(odds[here & ~true] >= bar)}\n"
        )
    busy("weights")
    weights = fit(rows, false, counts)
    scale = float(np.abs(weights[:-1]).max()) / 127
    written = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "sentences": len(data),
        "data": sha256("\n".join(one.trial.text for one in data).encode()).hexdigest()[:16],
        "kept": KEPT,
        "bias": round(float(weights[-1]), 4),
        "bar": bar,
        "scale": scale,
        "weights": base64.b64encode(
            np.round(weights[:-1] / scale).astype(np.int8).tobytes()
        ).decode(),
    }
    FILE.write_text(json.dumps(written) + "\n", encoding="utf-8")
    say(f"bar {bar}; written to {FILE.name} ({FILE.stat().st_size >> 10} KB)\n")


def _case(one: Sentence) -> Case:
    trial = one.trial
    cited = sources_of(trial.citations)
    context = trial.asked, (), trial.before, trial.signed
    return read_case(trial.text, cited, one.names, *context)


def _passed(one: Sentence) -> bool:
    problem = check(one.trial.draft(), one.names)
    return problem is None or problem.reason == "unlike"


def _share(withheld: NDArray[np.bool_]) -> str:
    return f"{int(withheld.sum())} of {len(withheld)}"


if __name__ == "__main__":
    main()
