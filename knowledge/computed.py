"""Vectors that were computed before and come with documents, so that nobody has to wait for them.

Only vectors of the same embedder and of the very same text are taken: a clause that was changed is
embedded anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .embed import Vectors

SAMPLE = Path(__file__).parent / "corpus" / "vectors.npz"
"""Of the sample lender; written by `python -m tests.make_vectors`."""

Rows = Mapping[str, tuple[Vectors, bytes]]
"""Embedding hash -> the vector of a clause, and those of its sentences, packed."""


def load_computed(file: Path, model: str) -> Rows:
    """What a file has for this embedder; nothing where there is no file, or of another one."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as held:
        if str(held["model"]) != model:
            return {}
        hashes, vectors = held["hashes"].tolist(), held["vectors"]
        packed, ends = held["sentences"].tobytes(), held["ends"].tolist()
    starts = [0, *ends[:-1]]
    return {
        embed_hash: (vector, packed[start:end])
        for embed_hash, vector, start, end in zip(hashes, vectors, starts, ends, strict=True)
    }


def save_computed(
    file: Path, model: str, hashes: Sequence[str], vectors: Vectors, sentences: Sequence[bytes]
) -> None:
    """vectors: a row a hash, float32. sentences: of each, packed."""
    np.savez(
        file,
        model=np.array(model),
        hashes=np.array(hashes),
        vectors=np.asarray(vectors, np.float32),
        sentences=np.frombuffer(b"".join(sentences), np.int8),
        ends=np.cumsum([len(packed) for packed in sentences]),
    )
