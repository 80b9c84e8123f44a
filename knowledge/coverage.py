"""Tells whether anything that was found is likely to answer the question.

No cosine can tell by itself: those of one model lie close together, and all lie lower for one
corpus than for another. So it is weighed with the words of the question that nothing found holds,
on weights fitted to questions that are known to be answered or not (`python -m evals.fit_coverage`,
which writes coverage.json), and the cosine is measured by what questions that no lender answers
reach in the same release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .embed import Embedder, Vectors

FITTED = Path(__file__).parent / "coverage.json"

FEW_CLAUSES = 100
LENIENT = 1.0
"""How much lower the bar is for fewer clauses, of which nearness and rarity say less."""
TOO_FEW_CLAUSES = 6
"""Of fewer, any found may answer."""

_BATCH = 5000

Signals = Mapping[str, float]
"""What of a search bears on the decision; the names are those of the weights."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a release was built with to decide whether a question is covered."""

    weights: Mapping[str, float]
    """Of each signal and of `bias`; in favour of being answered."""
    bar: float
    """Least sum that counts as covered."""
    probe_mean: float
    """Cosine of the nearest clause, on average, to a question that no lender answers."""
    probe_spread: float
    fitted: str = ""
    """What the weights were fitted on, and when."""

    def nearness(self, cosine: float) -> float:
        """That of the nearest clause found, in standard deviations above those of the probes."""
        return (cosine - self.probe_mean) / self.probe_spread

    def odds(self, signals: Signals) -> float:
        """Logarithm of the odds that the question is answered, above the bar."""
        known = sum(self.weights.get(name, 0.0) * value for name, value in signals.items())
        return known + self.weights["bias"] - self.bar

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def likely(odds: float, clauses: int) -> bool:
    """Whether such odds say that a question is answered by so many clauses."""
    if clauses < TOO_FEW_CLAUSES:
        return True
    return odds > (-LENIENT if clauses < FEW_CLAUSES else 0.0)


def load_coverage(stored: str, embedder: str) -> Coverage:
    """What a release recorded.

    A release that was built before there was anything to record is judged by what the probes
    reached where the weights were fitted.
    """
    if stored:
        return Coverage(**json.loads(stored))
    return _coverage(*_fitted()["reference"].get(embedder, (0.0, 1.0)))


def calibrate(embedder: Embedder, vectors: Vectors) -> Coverage:
    """The decision for a release of these clauses. Blocks: it embeds the probes."""
    probes = np.stack([embedder.query(probe) for probe in _fitted()["probes"]], axis=1)
    best = np.full(probes.shape[1], -np.inf, np.float32)
    for start in range(0, len(vectors), _BATCH):
        best = np.maximum(best, (vectors[start : start + _BATCH] @ probes).max(axis=0))
    return _coverage(float(best.mean()), float(best.std()))


def is_current(stored: str) -> bool:
    """Whether a release recorded a decision by the weights that are fitted now."""
    return bool(stored) and json.loads(stored)["fitted"] == _coverage(0.0, 1.0).fitted


def _coverage(probe_mean: float, probe_spread: float) -> Coverage:
    fitted = _fitted()
    return Coverage(
        weights=fitted["weights"],
        bar=fitted["bar"],
        probe_mean=probe_mean,
        probe_spread=max(probe_spread, 1e-6),
        fitted=f"{fitted['data']} {fitted['date']}",
    )


@lru_cache(maxsize=1)
def _fitted() -> dict[str, Any]:
    fitted: dict[str, Any] = json.loads(FITTED.read_text(encoding="utf-8"))
    return fitted
