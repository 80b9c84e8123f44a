"""Fits what the wording of a message makes likely; writes knowledge/rules/cn-wording.json.

    python -m evals.fit_wording

The labelled messages are those that patterns are written with, some that are kept from patterns,
and the examples of the rules; the messages of the held-out suites are not read. What is printed
was measured on messages of one set by weights fitted to the others: each set was written by another
hand.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from assistant.rules import RulePack, load_rules
from assistant.wording import DIMENSIONS, RULE_DIMENSIONS, runs, wording_file

from .messages import MessageSuite, judge
from .suites import SUITES

SETS = tuple(f"compliance-{name}" for name in ("dev", *"abcdefghijkl"))
SEEN_BY_CONTEXT_ONLY = frozenset(
    f"CN-{name}"
    for name in ("CONT-01", "CONT-03", "COL-05", "ID-01", "ID-06", "DEBT-04", "COL-02", "PRIV-03")
)
"""Rules that a message breaks by when, to whom or how complete it is sent: words do not tell."""
ALIKE = (("[0-9]+", "0"), ("[\u4e00-\u9fff]{2}(?:\u6d88[\u8d39]\u91d1\u878d|\u6d88\u91d1)", "@"))
"""Figures, and the names of lenders."""
PENALTY = 0.15
"""Of the weights; smaller follows the labelled messages more closely."""
SPREAD = 4.0
ROUNDS = 6
LEAST_RIGHT = 0.985
"""Share of the messages warned of that must break a rule, judged by weights fitted to others: with
less, rules and wording together were right in less than 0.95 of `compliance-h` before it was
learned from."""
FOLDS = 10

NEAR_ENOUGH = 1e-10
"""Of the square of what is wanted: what is left moves no weight by more than rounding does."""
TINY = np.float32(1e-30)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Labelled:
    """Messages as numbers of runs, with what they break."""

    rows: Sequence[set[int]]
    breaks: Floats
    rules: Sequence[frozenset[str]]
    sets: NDArray[np.str_]
    found: NDArray[np.bool_]
    """Whether the rules find something in it."""


def labelled(pack: RulePack, say: Say = lambda told: None) -> Labelled:
    alike = [(re.compile(pattern), same) for pattern, same in ALIKE]
    bare = pack.folding.bare
    rows: list[set[int]] = []
    breaks: list[bool] = []
    rules: list[frozenset[str]] = []
    sets: list[str] = []
    found: list[bool] = []
    for name in SETS:
        suite = SUITES[name]
        assert isinstance(suite, MessageSuite)
        say(f"messages of {name}")
        for one in judge(suite, pack, weigh=lambda rules, review, given: review):
            if one.breaks and one.breaks <= SEEN_BY_CONTEXT_ONLY:
                continue
            asked = str(one.case.context.get("question") or "")
            rows.append(runs(bare(one.case.text).text, one.case.task, bare(asked).text, alike))
            breaks.append(bool(one.breaks))
            rules.append(one.breaks)
            sets.append(name)
            found.append(bool(one.counted))
    for rule in pack.rules:
        if rule.id in SEEN_BY_CONTEXT_ONLY:
            continue
        for kind, examples in ((True, rule.bad), (False, rule.good)):
            for example in examples:
                asked = str(example.context.get("question") or "")
                rows.append(runs(bare(example.text).text, example.task, bare(asked).text, alike))
                breaks.append(kind)
                rules.append(frozenset({rule.id} if kind else ()))
                sets.append("examples")
                found.append(kind)
    return Labelled(rows, np.array(breaks, float), rules, np.array(sets), np.array(found))


def inverse_frequency(rows: Sequence[set[int]]) -> Floats:
    counts = np.zeros(DIMENSIONS)
    for row in rows:
        counts[sorted(row)] += 1
    return np.log((1 + len(rows)) / (1 + counts))


def matrix(rows: Sequence[set[int]], idf: Floats) -> Singles:
    """One row a message, of unit length."""
    weighed = np.zeros((len(rows), DIMENSIONS), np.float32)
    for place, row in enumerate(rows):
        columns = sorted(row)
        weighed[place, columns] = idf[columns] / (np.linalg.norm(idf[columns]) or 1)
    return weighed


def fit(
    alike: Singles, breaks: Floats, taken: NDArray[np.bool_], say: Say = lambda told: None
) -> tuple[Floats, Floats]:
    """Penalised logistic regressions by Newton's method, one a column of what is taken: the share
    of each message in the weights, and the biases.

    alike: how much each message is like each other. taken: which messages each is fitted to.
    """
    odds = np.zeros(taken.shape)
    share, bias = np.zeros(taken.shape), np.zeros(taken.shape[1])
    both = np.zeros((len(alike), 2 * taken.shape[1]), np.float32)
    for number in range(ROUNDS):
        say(f"weights, round {number + 1} of {ROUNDS}")
        likely = 1 / (1 + np.exp(-odds))
        curve = np.maximum(likely * (1 - likely), 1e-3)
        wanted = np.hstack([np.ones(odds.shape), odds + (breaks[:, None] - likely) / curve])
        scale = np.tile(np.sqrt(taken * curve / PENALTY), 2)
        both = solved(alike, scale.astype(np.float32), (scale * wanted).astype(np.float32), both)
        ones, of_wanted = np.hsplit(scale * both, 2)
        bias = of_wanted.sum(axis=0) / ones.sum(axis=0)
        share = of_wanted - bias * ones
        odds = alike @ share.astype(np.float32) + bias
    return share, bias


def solved(alike: Singles, scale: Singles, wanted: Singles, near: Singles) -> Singles:
    """x of (scale * alike * scale + 1) x = wanted, each column by its own scale.

    By conjugate gradients, all columns at once: some forty times as fast as a dense solve of each.
    near: where to begin.
    """
    known = near.copy()
    left = wanted - known - scale * (alike @ (scale * known))
    step = left
    size = (left**2).sum(axis=0)
    enough = (NEAR_ENOUGH * wanted**2).sum(axis=0)
    while (size > enough).any():
        turned = step + scale * (alike @ (scale * step))
        length = size / np.maximum((step * turned).sum(axis=0), TINY)
        known += length * step
        left = left - length * turned
        before, size = size, (left**2).sum(axis=0)
        step = left + size / np.maximum(before, TINY) * step
    return known


def crossed(odds: Floats, parts: NDArray[np.int_]) -> Floats:
    """The odds of each message by weights fitted to the other parts; none of what is in no part."""
    own = odds[np.arange(len(odds)), parts]
    return np.where(parts >= 0, own, -np.inf)


def shown(odds: Floats, data: Labelled, at: float) -> str:
    """Recall and precision of each set by rules and wording together, and what wording adds."""
    breaks = data.breaks > 0
    warned = (odds >= at) & ~data.found
    parts = []
    for name in SETS:
        here = data.sets == name
        either = (data.found | warned) & here
        right, added = int((warned & here & breaks).sum()), int((warned & here).sum())
        recall, precision = either[breaks & here].mean(), breaks[either].mean()
        parts.append(f"{recall:.3f}/{precision:.3f} ({right} of {added})")
    return "  ".join(parts)


def main() -> None:
    say = sys.stdout.write

    def busy(told: str) -> None:
        sys.stderr.write(f"{told}\n")

    pack = load_rules("cn")
    data = labelled(pack, busy)
    busy(f"how alike {len(data.rows)} messages are")
    idf = inverse_frequency(data.rows)
    rows = matrix(data.rows, idf)
    alike = np.float32(SPREAD) * (rows @ rows.T)
    breaks = data.breaks > 0
    labelled_ones = data.sets != "examples"
    parts = np.full(len(rows), -1)
    parts[labelled_ones] = np.random.default_rng(0).permutation(labelled_ones.sum()) % FOLDS
    strangers = np.array([SETS.index(name) if name in SETS else -1 for name in data.sets])
    left_out = [parts == part for part in range(FOLDS)]
    left_out += [strangers == part for part in range(len(SETS))]
    taken = ~np.column_stack([*left_out, np.zeros(len(rows), bool)])
    shares, biases = fit(alike, data.breaks, taken, busy)
    all_odds = alike @ shares.astype(np.float32) + biases
    odds = crossed(all_odds[:, :FOLDS], parts)
    of_strangers = crossed(all_odds[:, FOLDS:-1], strangers)
    say(f"recall/precision with rules and wording, of {', '.join(SETS)}\n")
    say(f"  rules alone: {shown(odds, data, np.inf)}\n")
    bar, found_alone = np.inf, 0.0
    for at in np.arange(3.0, -0.01, -0.1):
        warned = odds >= at
        right, recall = breaks[warned].mean(), warned[breaks & labelled_ones].mean()
        say(f"  bar {at:5.2f}: alone {recall:.3f}/{right:.3f};  {shown(odds, data, at)}\n")
        say(f"       fitted to the other sets:  {shown(of_strangers, data, at)}\n")
        if right >= LEAST_RIGHT:
            bar, found_alone = round(float(at), 2), float(recall)
    weights = SPREAD * (rows.T @ shares[:, -1].astype(np.float32))
    names = [rule.id for rule in pack.rules if rule.id not in SEEN_BY_CONTEXT_ONLY]
    targets = np.array([[float(name in broken) for name in names] for broken in data.rules])
    kept = np.flatnonzero(breaks)
    folded = rows[kept].reshape(len(kept), -1, RULE_DIMENSIONS).sum(axis=1)
    of_kept = (folded @ folded.T).astype(np.float64)
    told = np.linalg.solve(of_kept + PENALTY * np.eye(len(kept)), targets[kept])
    by_rule = (folded.T @ told).T
    scales = np.abs(by_rule).max(axis=1) / 127
    scales[scales == 0] = 1
    files = [suite.file for name in SETS if isinstance(suite := SUITES[name], MessageSuite)]
    written = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "data": sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16],
        "rules_version": pack.version,
        "messages": len(rows),
        "least_right": LEAST_RIGHT,
        "found_alone_cross_validated": round(found_alone, 3),
        "alike": ALIKE,
        "bias": round(float(biases[-1]), 4),
        "bar": bar,
        "rules": names,
        "scales": [round(float(scale), 8) for scale in scales],
        "idf": base64.b64encode(idf.astype(np.float16).tobytes()).decode(),
        "weights": base64.b64encode(weights.astype(np.float16).tobytes()).decode(),
        "by_rule": base64.b64encode(
            np.round(by_rule / scales[:, None]).astype(np.int8).tobytes()
        ).decode(),
    }
    file = wording_file("cn")
    file.write_text(json.dumps(written, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"bar {bar:.2f}; written to {file.name} ({file.stat().st_size >> 10} KB)\n")


if __name__ == "__main__":
    main()
