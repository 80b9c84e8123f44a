"""Fits from when two messages are alike; writes assistant/triage_nearest.json and nearest.json
beside the approved answers.

    python -m evals.fit_triage [--approved FOLDER]

Labelled are the examples of triage.toml and the cases of cases/triage_dev.jsonl; those of
cases/triage.jsonl are never looked at. Each message is judged by the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from assistant import approved, triage
from knowledge.embed import Embedder, Vectors, open_embedder
from knowledge.retrieve import question_vector

from .schema import load_cases

CASES = Path(__file__).parent / "cases"
LABELLED = CASES / "triage_dev.jsonl"
ORDINARY = ("coverage_dev", "sample_lender", "figures", "groundedness")
"""Questions of other suites: those that no pattern takes are taken to belong to no class."""

MOST_FALSE = 0.005
"""Share of ordinary questions that likeness may hand over wrongly: patterns have the recall."""
LEAST = 0.85
"""Texts of this embedder that have nothing to do with each other come near 0.8."""
APPROVED_MARGIN = 0.02


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--approved", type=Path, default=approved.SAMPLE)
    folder: Path = asked.parse_args().approved
    embedder = open_embedder("local")
    ordinary = _ordinary()
    _write(triage.NEAREST, fit_triage(embedder, ordinary))
    _write(folder / approved.NEAREST, fit_approved(embedder, folder, ordinary))


def fit_triage(embedder: Embedder, ordinary: Sequence[str]) -> dict[str, Any]:
    """Labelled messages as vectors, and how much a message has to lean to them."""
    held = triage.load_triage()
    rows: dict[str, str] = {}
    told = [each for each in held.classes if each.status == "handoff"]
    for each in told:
        rows |= dict.fromkeys(each.hits, each.id) | dict.fromkeys(each.misses, "")
    ids = {each.id for each in told}
    for case in load_cases(LABELLED):
        label = case.expect.triage[0] if case.expect.triage else ""
        if case.topic != "either" and label in ids | {""}:
            rows.setdefault(case.text, label)
    vectors = _embedded(embedder, list(rows))
    labels = np.array(list(rows.values()))
    labelled = labels != ""
    others = [text for text in ordinary if text not in rows]
    own = vectors @ vectors.T
    np.fill_diagonal(own, -1)
    plain = _embedded(embedder, others) @ vectors.T
    leanings = np.array([triage.leaning(row, labelled) for row in plain])
    margin = round(float(np.ceil(np.quantile(leanings, 1 - MOST_FALSE) * 1000 + 1) / 1000), 3)
    found = np.array([triage.leaning(row, labelled) >= margin for row in own[labelled]])
    false = int((leanings >= margin).sum())
    fit = {
        "recall_by_likeness_alone": round(float(found.mean()), 3),
        "false_of_ordinary": f"{false} of {len(others)}",
        "labelled": int(labelled.sum()),
    }
    return _held(embedder, LEAST, margin, fit, labels, vectors)


def fit_approved(embedder: Embedder, folder: Path, ordinary: Sequence[str]) -> dict[str, Any]:
    """Approved questions as vectors, and a likeness that no other question reaches."""
    held = approved.load_approved(folder)
    known = {approved.same_words(q) for a in held.answers for q in a.questions}
    wordings = [(a.id, q) for a in held.answers for q in a.questions]
    vectors = _embedded(embedder, [q for _, q in wordings])
    others = [text for text in ordinary if approved.same_words(text) not in known]
    near = (_embedded(embedder, others) @ vectors.T).max(axis=1)
    owners = np.array([owner for owner, _ in wordings])
    own = vectors @ vectors.T
    apart = float(np.where(owners[:, None] != owners, own, -2).max())
    # Other questions may well ask the same; so the limit stands between those and the nearest.
    least = round(float(np.ceil(max(apart, np.quantile(near, 0.998)) * 1000 + 1) / 1000), 3)
    np.fill_diagonal(own, -2)
    kin = np.where(owners[:, None] == owners, own, -2).max(axis=1)
    fit = {
        "paraphrases_found": f"{int((kin >= least).sum())} of {len(wordings)}",
        "others_reached": f"{int((near >= least).sum())} of {len(others)}",
    }
    for place in np.argsort(-near)[:12]:
        print(f"{near[place]:.3f} {others[place]}")  # noqa: T201
    labels = [approved.question_key(q) for _, q in wordings]
    return _held(embedder, least, APPROVED_MARGIN, fit, labels, vectors)


def _ordinary() -> list[str]:
    held = triage.load_triage()
    texts: list[str] = []
    for name in ORDINARY:
        for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            texts.append(json.loads(line)["text"])
    return [text for text in dict.fromkeys(texts) if triage.read(held, text) is None]


def _embedded(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    return np.array([question_vector(embedder, text) for text in texts], np.float32)


def _held(
    embedder: Embedder,
    least: float,
    margin: float,
    fit: dict[str, Any],
    labels: Sequence[str] | np.ndarray[Any, Any],
    vectors: Vectors,
) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "embedder": embedder.name,
        "least": least,
        "margin": margin,
        "fit": fit,
        "rows": [
            {"class": str(label), "vector": vector}
            for label, vector in zip(labels, triage.quantised(vectors), strict=True)
        ],
    }


def _write(file: Path, held: dict[str, Any]) -> None:
    rows = held.pop("rows")
    head = json.dumps(held, ensure_ascii=False, indent=1)[:-2]
    body = ",\n".join("  " + json.dumps(row) for row in rows)
    file.write_text(f'{head},\n "rows": [\n{body}\n ]\n}}\n', encoding="utf-8")
    print(file, held["least"], held["fit"])  # noqa: T201


if __name__ == "__main__":
    main()
