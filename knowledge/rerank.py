"""The reranking door: any endpoint that speaks the protocol of Jina, Cohere and vLLM."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import httpx
import structlog

from . import store
from .documents import Evidence

CHARACTERS = 2000
"""Only so much of a clause is sent."""

MAX_ANSWER_BYTES = 1024 * 1024
"""Longest answer that is read; the relevance of a hundred clauses has some thousand bytes."""

log = structlog.get_logger()


class Ranks(Protocol):
    """Puts what was found in another order. Blocks: call it in a thread."""

    def rerank(self, text: str, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
        """The same evidence; the scores keep their places."""


class RecordedRanks:
    """A ranker whose order is kept, as `order`, or given again.

    order: ids of the clauses as they were put the first time, with an empty one between those of
    two questions; the ranker is then not asked.
    """

    def __init__(self, ranks: Ranks | None, order: Sequence[str] | None = None) -> None:
        self._ranks = ranks
        self._left = _groups(order) if order is not None else None
        self.order = order

    def rerank(self, text: str, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
        if self._left is not None:
            order = self._left.pop(0) if self._left else []
            place = {clause_id: at for at, clause_id in enumerate(order)}
            last = len(place)
            again = sorted(evidence, key=lambda item: place.get(item.clause.id, last))
            return tuple(
                replace(item, score=given.score)
                for given, item in zip(evidence, again, strict=True)
            )
        ranked = self._ranks.rerank(text, evidence) if self._ranks else tuple(evidence)
        ids = [item.clause.id for item in ranked]
        self.order = ids if self.order is None else [*self.order, "", *ids]
        return ranked


def _groups(order: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for clause_id in order:
        if clause_id:
            groups[-1].append(clause_id)
        else:
            groups.append([])
    return groups


@dataclass(frozen=True, slots=True)
class Reranker:
    """Puts what was found in the order of a model that reads question and clause together."""

    model: str
    base_url: str
    api_key: str
    timeout_s: float

    def rerank(self, text: str, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
        """`evidence` in the model's order; as it was where the model gives no usable answer.

        The scores keep their places: the first clause has the score that the first one had. So
        they say as much about the question as before. Blocks for up to the timeout.
        """
        if len(evidence) < 2:
            return tuple(evidence)
        try:
            relevance = self._ask(text, evidence)
        except (
            *(httpx.HTTPError, httpx.InvalidURL),
            *(ValueError, KeyError, TypeError, OverflowError, RecursionError),
        ) as error:
            # Not in its own words: they may hold the key, or the password in the address.
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
            log.warning("not reranked", model=self.model, error=type(error).__name__, status=status)
            return tuple(evidence)
        order = sorted(range(len(evidence)), key=lambda place: (-relevance[place], place))
        return tuple(
            replace(
                evidence[place],
                score=given.score,
                why={**evidence[place].why, "rerank": given.score - evidence[place].score},
            )
            for given, place in zip(evidence, order, strict=True)
        )

    def _ask(self, text: str, evidence: Sequence[Evidence]) -> list[float]:
        """The relevance of each clause. Raises httpx.HTTPError, and others for a bad answer."""
        documents = [store.embedding_text(item.clause)[:CHARACTERS] for item in evidence]
        deadline = time.monotonic() + self.timeout_s
        answered = bytearray()
        with httpx.stream(
            "POST",
            f"{self.base_url.rstrip('/')}/rerank",
            json={
                "model": self.model,
                "query": text,
                "documents": documents,
                "top_n": len(documents),
            },
            headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
            timeout=self.timeout_s,
        ) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                answered += piece
                # The time-out of the client is one for each piece.
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer comes too slowly")
                if len(answered) > MAX_ANSWER_BYTES:
                    raise ValueError("the answer is too long")
        relevance = {
            int(row["index"]): float(row["relevance_score"])
            for row in json.loads(answered)["results"]
        }
        if not relevance or not relevance.keys() <= set(range(len(documents))):
            raise ValueError("not a relevance of the documents")
        if not all(map(math.isfinite, relevance.values())):
            raise ValueError("a relevance that is no number")
        # A ranker may leave out what it finds of no use at all.
        least = min(relevance.values())
        return [relevance.get(place, least - 1.0) for place in range(len(documents))]
