"""The vectors of releases, in Chroma: one directory a release, written once, or a shared server."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from .documents import CONTRACT_DATED, Clause
from .embed import Vectors


class VectorsMissing(Exception):
    """A release's vectors cannot be read or written; the message says what to do."""


OPEN_FROM, OPEN_TO = 0, 99991231


class VectorStore:
    """The vectors of releases: one directory a release, or one collection on a Chroma server."""

    def __init__(self, directory: Path, server_url: str = "") -> None:
        self._directory = directory
        self._server_url = server_url

    def write(self, release_id: str, parts: Sequence[Clause], vectors: Vectors) -> None:
        """Write all vectors of a release; a half-written directory is never opened.

        Replaces what an interrupted or damaged run left under the same id. Raises VectorsMissing.
        """
        building = self._directory / f"{release_id}.building"
        if not self._server_url:
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
        client = self._client(building)
        try:
            if _collection_name(release_id) in [c.name for c in client.list_collections()]:
                client.delete_collection(_collection_name(release_id))
            collection = client.create_collection(
                _collection_name(release_id),
                configuration={"hnsw": {"space": "cosine"}},
                embedding_function=None,
            )
            step = min(client.get_max_batch_size(), 2000)
            for start in range(0, len(parts), step):
                batch = parts[start : start + step]
                collection.add(
                    ids=[str(start + i) for i in range(len(batch))],
                    embeddings=vectors[start : start + step],
                    metadatas=[vector_metadata(part) for part in batch],
                )
        finally:
            client.close()
        if not self._server_url:
            shutil.rmtree(self._directory / release_id, ignore_errors=True)
            building.rename(self._directory / release_id)

    def has(self, release_id: str, count: int) -> bool:
        """Whether the release's vectors are written, all `count` of them, and can be read."""
        try:
            self.open(release_id, count).close()
        except VectorsMissing:
            return False
        return True

    def prune(self, kept: Collection[str]) -> None:
        """Delete the directories of other releases, and half-written ones."""
        if self._server_url:
            return
        for path in self._directory.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def open(self, release_id: str, count: int) -> OpenVectors:
        """A read handle to a release of `count` clauses, which the caller closes.

        Raises VectorsMissing.
        """
        remedy = f"run `zhunxin release activate {release_id}` to write them again"
        folder = self._directory / release_id
        if not self._server_url and not _holds_collections(folder):
            raise VectorsMissing(
                f"the vectors of release {release_id} are missing or damaged: {remedy}"
            )
        client = self._client(folder)
        try:
            collection = client.get_collection(
                _collection_name(release_id), embedding_function=None
            )
            # A damaged index may answer with what is left of it: count, and load the first vector.
            whole = collection.count() == count
            first = collection.get(ids=["0"], include=["embeddings"])["embeddings"]
        except Exception as error:
            client.close()
            raise VectorsMissing(
                f"the vectors of release {release_id} are damaged: {remedy}"
            ) from error
        if not whole or len(first) != 1:
            client.close()
            raise VectorsMissing(f"the vectors of release {release_id} are incomplete: {remedy}")
        return OpenVectors(client, collection)

    def _client(self, path: Path) -> Any:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        try:
            if self._server_url:
                from urllib.parse import urlsplit

                url = urlsplit(self._server_url)
                return chromadb.HttpClient(
                    host=url.hostname or "localhost",
                    port=url.port or 8000,
                    ssl=url.scheme == "https",
                    settings=settings,
                )
            return chromadb.PersistentClient(path=str(path), settings=settings)
        except Exception as error:
            raise VectorsMissing(
                "the Chroma server cannot be reached: check ZHUNXIN_CHROMA_URL"
                if self._server_url
                else f"vectors cannot be kept in {path} ({type(error).__name__})"
            ) from error


class OpenVectors:
    """Vectors of one release, opened for reading."""

    def __init__(self, client: Any, collection: Any) -> None:
        self._client = client
        self._collection = collection

    def query(
        self, vector: Vectors, where: dict[str, Any] | None, k: int
    ) -> list[tuple[int, float]]:
        """The k nearest clauses in force: their ordinal in the release and cosine, best first."""
        found = self._collection.query(
            query_embeddings=[vector], n_results=k, where=where, include=["distances"]
        )
        return [
            (int(i), 1.0 - float(d))
            for i, d in zip(found["ids"][0], found["distances"][0], strict=True)
        ]

    def close(self) -> None:
        self._client.close()


def vector_metadata(clause: Clause) -> dict[str, Any]:
    """What a vector query filters on: dates as yyyymmdd, kind of date, audience, kind, product."""
    return {
        "from": day_number(clause.head.effective_from, OPEN_FROM),
        "to": day_number(clause.head.effective_to, OPEN_TO),
        "contract_dated": clause.head.kind in CONTRACT_DATED,
        "audience": clause.head.audience,
        "kind": clause.head.kind,
        "product": clause.head.product,
    }


def day_number(day: date | None, open_end: int) -> int:
    return open_end if day is None else day.year * 10000 + day.month * 100 + day.day


def _holds_collections(folder: Path) -> bool:
    """Whether Chroma can open the folder: it makes a new database where there is none, and after
    one that it could not read it refuses the folder until the process ends."""
    try:
        address = f"{(folder / 'chroma.sqlite3').resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return connection.execute("SELECT name FROM collections").fetchone() is not None
    except sqlite3.Error:
        return False


def _collection_name(release_id: str) -> str:
    return f"release-{release_id}"
