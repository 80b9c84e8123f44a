"""Vectors of the sentences of a clause, by which what a long clause says in passing is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .chunk import quotable
from .documents import Clause
from .embed import Vectors

MOST = 40
"""Sentences of a clause that have vectors; a longer clause is found by its first ones."""


def sentence_texts(clause: Clause) -> list[str]:
    """What is embedded for the sentences of a clause, as they are quoted."""
    return [f"{clause.title}\n{quote}" for quote in quotable(clause)[:MOST]]


def pack(vectors: Vectors) -> bytes:
    """Unit vectors as one byte a number: what rounding loses is far less than what tells apart."""
    if not len(vectors):
        return b""
    most = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (127 / np.where(most, most, 1))).astype(np.int8).tobytes()


def unpack(packed: Sequence[bytes], width: int) -> Vectors:
    """All rows of these, one under the other, of unit length."""
    rows = np.frombuffer(b"".join(packed), np.int8).reshape(-1, width).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths, lengths, 1), np.float32)
