"""Counters and timings for Prometheus; nothing in them is a person's data."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from .models import Event

REGISTRY = CollectorRegistry()
QUESTIONS = Counter(
    "zhunxin_questions_total", "Questions by outcome.", ["status"], registry=REGISTRY
)
WITHHELD = Counter(
    "zhunxin_withheld_sentences_total", "Sentences the gate did not release.", registry=REGISTRY
)
EVIDENCE_S = Histogram(
    "zhunxin_evidence_seconds",
    "Time to the evidence event.",
    buckets=(0.02, 0.05, 0.1, 0.15, 0.3, 1, 3),
    registry=REGISTRY,
)
REPLY_S = Histogram(
    "zhunxin_reply_seconds",
    "Time to the whole reply.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 60, 120),
    registry=REGISTRY,
)


async def counted(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """The events as they are, counted."""
    started = time.perf_counter()
    async with aclosing(events):
        async for event in events:
            if event.name == "evidence":
                EVIDENCE_S.observe(time.perf_counter() - started)
            elif event.name == "error":
                QUESTIONS.labels("error").inc()
            elif event.reply is not None:
                QUESTIONS.labels(event.reply.status).inc()
                WITHHELD.inc(len(event.reply.withheld))
                REPLY_S.observe(time.perf_counter() - started)
            yield event


def exposition() -> bytes:
    """All metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
