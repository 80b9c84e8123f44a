"""Documents of a suite's own, ingested beside the sample lender's into a release of their own.

What such a document says is material like any other: the suite asks whether an instruction that
was planted in one is obeyed. The live release is left as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import numpy as np

from assistant.clause_review import clause_rules
from assistant.deps import Deps, open_deps
from assistant.figures import stated
from knowledge import store
from knowledge.release import build

from .plain_recipe import Progress
from .schema import BadCases
from .targets import CORPUS


@asynccontextmanager
async def planted(
    deps: Deps,
    documents: Path,
    today: date,
    progress: Progress,
    beside: Sequence[Path] = (CORPUS / "lender", CORPUS / "regulations"),
) -> AsyncIterator[Deps]:
    """The pipeline's parts over folders of documents, with the same model.

    beside: what the planted ones stand beside; the sample lender's and the regulations.

    The home stays, so that texts are embedded once. Raises BadCases for a document that cannot be
    read, and what building and opening a release raise.
    """
    # Each folder its own: suites of one run have theirs open at the same time.
    home = deps.settings.home / "evals" / "planted" / documents.name
    own = deps.settings.model_copy(update={"home": home, "database_url": "", "chroma_url": ""})
    async with open_deps(own) as opened:
        embedder = await deps.embedder()
        await _take_vectors(deps, opened, embedder.name)
        report = await build(
            opened.engine,
            opened.vector_store,
            embedder,
            [*beside, documents],
            lock_file=own.ingest_lock,
            replace_all=True,
            figures=stated,
            rules=clause_rules(deps.rules, today, deps.named_lender),
            progress=progress,
        )
        if report.skipped:
            raise BadCases(f"{report.skipped[0].path}: {report.skipped[0].reason}")
        if deps.wants_model:
            opened.use_model(await deps.chat_model())
        yield opened


async def _take_vectors(deps: Deps, opened: Deps, embedder: str) -> None:
    """Vectors that the live release has need not be made again."""
    index = await deps.index()
    hashes = list(dict.fromkeys(store.embedding_hash(clause) for clause in index.clauses))
    async with opened.engine.connect() as connection:
        known = await store.cached_vectors(connection, hashes, embedder)
    missing = [embed_hash for embed_hash in hashes if embed_hash not in known]
    async with deps.engine.connect() as connection:
        vectors = await store.cached_vectors(connection, missing, embedder)
        packed = await store.sentence_vectors(connection, index.release.id, embedder)
    held = [h for h in missing if h in vectors and h in packed]
    if held:
        async with opened.engine.begin() as connection:
            await store.cache_vectors(
                connection,
                held,
                np.stack([vectors[h] for h in held]),
                [packed[h] for h in held],
                embedder,
            )
