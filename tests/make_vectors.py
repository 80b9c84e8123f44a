"""Writes the vectors that come with the sample lender's documents: `python -m tests.make_vectors`.

Clauses whose text did not change keep the vectors they have.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from assistant.deps import open_deps
from knowledge.computed import SAMPLE, save_computed
from knowledge.store import active_release, cached_vectors, sentence_vectors
from tests.conftest import ingest_sample, settings_for


async def write(home: Path) -> int:
    """How many clauses have their vectors in the file now."""
    async with open_deps(settings_for(home)) as deps, deps.engine.connect() as connection:
        live = await active_release(deps.engine)
        assert live is not None
        packed = await sentence_vectors(connection, live.id, live.embeddings)
        vectors = await cached_vectors(connection, packed, live.embeddings)
    hashes = sorted(vectors)
    save_computed(
        SAMPLE,
        live.embeddings,
        hashes,
        np.array([vectors[embed_hash] for embed_hash in hashes]),
        [packed[embed_hash] for embed_hash in hashes],
    )
    return len(hashes)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        ingest_sample(Path(folder))
        sys.stdout.write(f"{asyncio.run(write(Path(folder)))} clauses\n")
