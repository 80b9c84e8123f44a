"""The usual recipe, to compare with: LangChain's recursive splitter, and Chroma's nearest chunks.

It has our embeddings, and the texts as our readers give them, so that what is compared is what
comes after: clauses with their headings, dates, lexical scores, fusion.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistant.deps import Deps
from knowledge import store
from knowledge.documents import Clause
from knowledge.embed import Embedder, Vectors

Progress = Callable[[str, int, int], None]

CHUNK_CHARS = 500
OVERLAP_CHARS = 50
BATCH = 32


@dataclass(frozen=True, slots=True)
class Plain:
    """Documents split, embedded and put into Chroma."""

    documents: Sequence[str]
    """The document of each chunk."""
    collection: Any

    def nearest(self, vector: Vectors, k: int) -> list[str]:
        """The documents of the `k` nearest chunks, best first; a document may come again."""
        found = self.collection.query(
            query_embeddings=[vector], n_results=min(k, len(self.documents)), include=["distances"]
        )
        return [self.documents[int(number)] for number in found["ids"][0]]


def written_out(clauses: Sequence[Clause]) -> dict[str, str]:
    """The text of each document that borrowers may see, each heading once before its clauses."""
    lines: dict[str, list[str]] = {}
    title: dict[str, str] = {}
    for clause in clauses:
        if clause.audience != "borrower":
            continue
        written = lines.setdefault(clause.source, [clause.head.title])
        if clause.title not in ("", clause.head.title, title.get(clause.source)):
            written.append(clause.title)
            title[clause.source] = clause.title
        written.append(clause.text)
    return {source: "\n\n".join(filter(None, written)) for source, written in lines.items()}


def split(documents: Mapping[str, str]) -> list[tuple[str, str]]:
    """(document, chunk) in order."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARS, chunk_overlap=OVERLAP_CHARS)
    return [
        (name, chunk) for name, text in documents.items() for chunk in splitter.split_text(text)
    ]


@asynccontextmanager
async def open_plain(
    documents: Mapping[str, str], deps: Deps, embedder: Embedder, progress: Progress
) -> AsyncIterator[Plain]:
    """The recipe over some documents. Vectors are kept where those of clauses are."""
    import chromadb
    from chromadb.config import Settings

    chunks = await asyncio.to_thread(split, documents)
    vectors = await _embed([text for _, text in chunks], deps, embedder, progress)
    client: Any = chromadb.EphemeralClient(settings=Settings(anonymized_telemetry=False))
    name = f"plain-{uuid.uuid4().hex}"
    collection = client.create_collection(
        name, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )
    try:
        step = min(client.get_max_batch_size(), 2000)
        for start in range(0, len(chunks), step):
            rows = vectors[start : start + step]
            numbers = [str(start + i) for i in range(len(rows))]
            await asyncio.to_thread(collection.add, ids=numbers, embeddings=rows)
        yield Plain([document for document, _ in chunks], collection)
    finally:
        client.delete_collection(name)
        client.close()


async def _embed(
    texts: Sequence[str], deps: Deps, embedder: Embedder, progress: Progress
) -> Vectors:
    hashed = {_key(text): text for text in texts}
    async with deps.engine.connect() as connection:
        vectors = await store.cached_vectors(connection, hashed, embedder.name)
    missing = sorted(hashed.keys() - vectors.keys(), key=lambda h: (len(hashed[h]), h))
    for start in range(0, len(missing), BATCH):
        progress("plain", start, len(missing))
        batch = missing[start : start + BATCH]
        rows = await asyncio.to_thread(embedder.passages, [hashed[h] for h in batch])
        async with deps.engine.begin() as connection:
            await store.cache_vectors(connection, batch, rows, [b""] * len(batch), embedder.name)
        vectors.update(zip(batch, rows, strict=True))
    progress("plain", len(missing), len(missing))
    return np.stack([vectors[_key(text)] for text in texts])


def _key(text: str) -> str:
    """Where a chunk's vector is cached: apart from a clause of the same text, whose sentences have
    vectors too."""
    return hashlib.sha256(f"plain\n{text}".encode()).hexdigest()
