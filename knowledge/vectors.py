"""The vectors of releases, in Chroma: one directory a release, written once, or a shared server."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np

from .documents import Audience, Clause
from .embed import Vectors

_BATCH = 1000
"""Vectors to a call."""

_SERVER_TIMEOUT_S = 120
"""Longest wait for one call to a server: Chroma itself would wait for ever."""

_HNSW = {"space": "cosine", "ef_construction": 8, "max_neighbors": 4}


class VectorsMissing(Exception):
    """A release's vectors cannot be read or written; the message says what to do."""


class VectorStore:
    """The vectors of releases: one directory a release, or collections on a Chroma server.

    A release has a collection for each audience, so that a borrower's search never reads what is
    for agents. They are read whole when a release is opened: comparing all of a hundred thousand
    vectors takes milliseconds and misses none, so that Chroma's own graph is kept as small as can
    be.
    """

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
            there = {collection.name for collection in client.list_collections()}
            step = min(client.get_max_batch_size(), _BATCH)
            for audience, ordinals in by_audience(parts).items():
                name = _collection_name(release_id, audience)
                if name in there:
                    client.delete_collection(name)
                collection = client.create_collection(
                    name, configuration={"hnsw": _HNSW}, embedding_function=None
                )
                for start in range(0, len(ordinals), step):
                    batch = ordinals[start : start + step]
                    collection.add(ids=[str(i) for i in batch], embeddings=vectors[batch])
        except Exception as error:
            raise VectorsMissing(
                f"the vectors of the release cannot be written ({type(error).__name__}): check "
                "that the disk has room and is writable; what was live before is live still"
            ) from error
        finally:
            _close(client)
        if not self._server_url:
            shutil.rmtree(self._directory / release_id, ignore_errors=True)
            building.rename(self._directory / release_id)

    def has(self, release_id: str, count: int) -> bool:
        """Whether the release's vectors are written, all `count` of them, and can be read."""
        try:
            with self._opened(release_id) as collections:
                # A damaged graph may still be counted: the first of its vectors is read too.
                firsts = [c.get(limit=1, include=["embeddings"]) for c in collections.values()]
                read = all(len(first["embeddings"]) == len(first["ids"]) for first in firsts)
                return read and sum(c.count() for c in collections.values()) == count
        except VectorsMissing:
            return False

    def kept(self, release_id: str) -> bool:
        """Whether vectors of the release were written and not pruned; they may be damaged."""
        return bool(self._server_url) or (self._directory / release_id).is_dir()

    def prune(self, kept: Collection[str], known: Collection[str] = ()) -> None:
        """Delete the vectors of other releases, and half-written directories.

        known: all releases there are. On a server, which others may use too, those alone are
        deleted.
        """
        if self._server_url:
            self._prune_server({release for release in known if release not in kept})
        elif self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.is_dir() and path.name not in kept:
                    shutil.rmtree(path, ignore_errors=True)

    def read(self, release_id: str, parts: Sequence[Clause]) -> dict[Audience, Vectors]:
        """The vectors of each audience's clauses, in their order. Raises VectorsMissing."""
        with self._opened(release_id) as collections:
            return {
                audience: _read(collections[audience], ordinals)
                for audience, ordinals in by_audience(parts).items()
            }

    @contextmanager
    def _opened(self, release_id: str) -> Iterator[dict[Audience, Any]]:
        """The collections of a release; what goes wrong with them is VectorsMissing."""
        remedy = f"run `zhunxin release activate {release_id}` to write them again"
        folder = self._directory / release_id
        if not self._server_url and not _holds_collections(folder):
            raise VectorsMissing(
                f"the vectors of release {release_id} are missing or damaged: {remedy}"
            )
        client = self._client(folder)
        try:
            yield {
                audience: client.get_collection(
                    _collection_name(release_id, audience), embedding_function=None
                )
                for audience in get_args(Audience)
            }
        except Exception as error:
            raise VectorsMissing(
                f"the vectors of release {release_id} are incomplete or damaged: {remedy}"
            ) from error
        finally:
            _close(client)

    def _prune_server(self, old: Collection[str]) -> None:
        client = self._client(self._directory)
        try:
            there = {collection.name for collection in client.list_collections()}
            for release_id in old:
                for audience in get_args(Audience):
                    if (name := _collection_name(release_id, audience)) in there:
                        client.delete_collection(name)
        finally:
            _close(client)

    def _client(self, path: Path) -> Any:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        try:
            if self._server_url:
                from urllib.parse import urlsplit

                url = urlsplit(self._server_url)
                client = chromadb.HttpClient(
                    host=url.hostname or "localhost",
                    port=url.port or 8000,
                    ssl=url.scheme == "https",
                    settings=settings,
                )
                for session in _sessions(client):
                    session.timeout = _SERVER_TIMEOUT_S
                return client
            return chromadb.PersistentClient(path=str(path), settings=settings)
        except Exception as error:
            raise VectorsMissing(
                "the Chroma server cannot be reached: check ZHUNXIN_CHROMA_URL"
                if self._server_url
                else f"vectors cannot be kept in {path} ({type(error).__name__})"
            ) from error


def by_audience(parts: Sequence[Clause]) -> dict[Audience, list[int]]:
    """Ordinals of each audience's clauses; every audience is there."""
    ordinals: dict[Audience, list[int]] = {audience: [] for audience in get_args(Audience)}
    for ordinal, part in enumerate(parts):
        ordinals[part.audience].append(ordinal)
    return ordinals


def _read(collection: Any, ordinals: Sequence[int]) -> Vectors:
    """The vectors of a collection, which must be those of these clauses, all of them."""
    if collection.count() != len(ordinals):
        raise ValueError("another number of vectors than of clauses")
    places = {str(ordinal): place for place, ordinal in enumerate(ordinals)}
    vectors = np.empty((0, 0), np.float32)
    for start in range(0, len(ordinals), _BATCH):
        held = collection.get(limit=_BATCH, offset=start, include=["embeddings"])
        if not start:
            vectors = np.empty((len(ordinals), len(held["embeddings"][0])), np.float32)
        vectors[[places.pop(name) for name in held["ids"]]] = held["embeddings"]
    if places:
        raise ValueError("not the vectors of these clauses")
    return vectors


def _close(client: Any) -> None:
    """Close a client, and the connections to a server that its own `close` leaves open."""
    client.close()
    for session in _sessions(client):
        session.close()


def _sessions(client: Any) -> list[Any]:
    """The HTTP sessions of a client of a server; none of an embedded one."""
    parts = (client, getattr(client, "_admin_client", None))
    servers = (getattr(part, "_server", None) for part in parts)
    return [server._session for server in servers if server and hasattr(server, "_session")]


def _holds_collections(folder: Path) -> bool:
    """Whether Chroma can open the folder: it makes a new database where there is none, and after
    one that it could not read it refuses the folder until the process ends."""
    try:
        address = f"{(folder / 'chroma.sqlite3').resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return connection.execute("SELECT name FROM collections").fetchone() is not None
    except sqlite3.Error:
        return False


def _collection_name(release_id: str, audience: Audience) -> str:
    return f"release-{release_id}-{audience}"
