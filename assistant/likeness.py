"""Sentences that resemble a rule's bad examples in meaning, for paraphrases that no pattern names.

It compares vectors of sentences, so it knows neither figures nor what a negation does: its
findings are warnings, and a person decides.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowledge.embed import Embedder, Vectors

from .compliance import RANK, Finding, Review, applicable
from .matching import SENTENCE_ENDS
from .rules import Channel, Rule, RulePack, Task

LEAST_CHARACTERS = 5
"""Shorter sentences resemble too much."""
MOST_SENTENCES = 200
"""Sentences of one text that are compared; each takes some 5 to 40 ms."""

_SENTENCE = re.compile(f"[^{re.escape(''.join(sorted(SENTENCE_ENDS)))}]+")


@dataclass(frozen=True, slots=True)
class Likeness:
    """The examples of a pack as vectors."""

    pack: RulePack
    embedder: Embedder
    rules: tuple[Rule, ...]
    """Whose example each row is."""
    examples: tuple[str, ...]
    is_bad: NDArray[np.bool_]
    vectors: Vectors
    """Less their mean, and of unit length: the mean is what all such texts share."""
    mean: Vectors


def open_likeness(pack: RulePack, embedder: Embedder, kept: Path) -> Likeness:
    """Embed the examples, but those whose vectors are in the file `kept`, which is written.

    Examples that only context tells apart are left out. Blocks: some 40 ms an example at first.
    Raises knowledge.embed.EmbeddingUnavailable.
    """
    rows = [
        (rule, sentence, kind)
        for rule in pack.rules
        for kind, examples in ((True, rule.bad), (False, rule.good))
        for example in examples
        if len(example.context) <= 1 and not example.context.get("complete")
        for sentence in _folded_sentences(pack, example.text)
    ]
    vectors = _embedded([sentence for _, sentence, _ in rows], embedder, kept)
    mean = vectors.mean(axis=0) if len(rows) else np.zeros(1, np.float32)
    return Likeness(
        pack,
        embedder,
        tuple(rule for rule, _, _ in rows),
        tuple(sentence for _, sentence, _ in rows),
        np.array([kind for _, _, kind in rows], dtype=np.bool_),
        _centred(vectors, mean),
        mean,
    )


def review_likeness(
    likeness: Likeness,
    found: Review,
    text: str,
    *,
    task: Task,
    channel: Channel | None = None,
    on: date,
) -> Review:
    """A review with warnings for sentences that resemble bad examples of the rules that apply.

    A sentence counts where it is nearer to a bad example than `semantic_floor`, by at least
    `semantic_margin` nearer than to any good one, and the rule has no finding in it already.
    """
    pack = likeness.pack
    floor, margin = pack.settings["semantic_floor"], pack.settings["semantic_margin"]
    assert isinstance(floor, Decimal)
    assert isinstance(margin, Decimal)
    applies = {rule.id for rule, _ in applicable(pack, task, channel, on)}
    candidates = np.array([rule.id in applies for rule in likeness.rules]) & likeness.is_bad
    spans = [span for span in _sentences(text) if span[1] - span[0] >= LEAST_CHARACTERS]
    spans = spans[:MOST_SENTENCES]
    if not spans or not candidates.any():
        return found
    folded = [pack.folding.bare(text[start:end]).text for start, end in spans]
    vectors = _centred(likeness.embedder.passages(folded), likeness.mean)
    nearness = vectors @ likeness.vectors.T
    nearest = np.where(candidates, nearness, -2).argmax(axis=1)
    good = np.where(likeness.is_bad, -2, nearness).max(axis=1)
    findings = list(found.findings)
    for place, (start, end) in enumerate(spans):
        row = int(nearest[place])
        near, rule = float(nearness[place, row]), likeness.rules[row]
        known = any(
            f.rule.id == rule.id and f.span[0] < end and start < f.span[1] for f in found.findings
        )
        if near >= floor and near - float(good[place]) >= margin and not known:
            findings.append(
                Finding(rule, "warn", (start, end), text[start:end], likeness.examples[row])
            )
    findings.sort(key=lambda f: (f.span[0], -RANK[f.severity], f.span[1], f.rule.id))
    verdicts = [found.verdict, *(finding.severity for finding in findings)]
    return replace(found, findings=tuple(findings), verdict=max(verdicts, key=RANK.__getitem__))


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    for match in _SENTENCE.finditer(text):
        written = match.group()
        start = match.start() + len(written) - len(written.lstrip())
        yield start, start + len(written.strip())


def _folded_sentences(pack: RulePack, text: str) -> list[str]:
    folded = pack.folding.bare(text).text
    return [
        folded[start:end] for start, end in _sentences(folded) if end - start >= LEAST_CHARACTERS
    ]


def _centred(vectors: Vectors, mean: Vectors) -> Vectors:
    moved = vectors - mean
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.where(lengths, lengths, 1), np.float32)


def _embedded(texts: Sequence[str], embedder: Embedder, kept: Path) -> Vectors:
    keys = [hashlib.sha256(f"{embedder.name}\0{text}".encode()).hexdigest() for text in texts]
    known = _read(kept)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        fresh = embedder.passages(list(missing.values()))
        known |= dict(zip(missing, fresh, strict=True))
        _write(kept, {key: known[key] for key in dict.fromkeys(keys)})
    return np.array([known[key] for key in keys], np.float32)


def _read(kept: Path) -> dict[str, Vectors]:
    """What is kept; nothing where the file is not there or not whole."""
    try:
        with kept.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return dict(zip(map(str, file["keys"]), file["vectors"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write(kept: Path, known: dict[str, Vectors]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_name(f"{kept.stem}.{os.getpid()}.npz")
    np.savez(beside, keys=np.array(list(known)), vectors=np.array(list(known.values())))
    beside.replace(kept)
