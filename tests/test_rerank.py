"""The reranking endpoint, on loopback: its order where it answers, ours where it does not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from assistant.answer import answer_question, collect
from assistant.config import ConfigError
from assistant.deps import Deps, open_deps
from assistant.models import Question, Reply
from knowledge.documents import Clause, Evidence, Head
from knowledge.rerank import MAX_ANSWER_BYTES, Reranker

from .conftest import settings_for
from .openai_stub import Behaviour, Stub, fails, hangs, openai_stub, sends
from .test_retrieve import TODAY

FOUND = tuple(
    Evidence(Clause(name, f"{name}.md", Head(), "第一条", "", f"{name}的条文。"), score=score)
    for name, score in (("甲", 1.0), ("乙", 0.8), ("丙", 0.5))
)


def results(*relevance: tuple[int, Any]) -> Behaviour:
    rows = [{"index": index, "relevance_score": score} for index, score in relevance]
    return sends(json.dumps({"results": rows}).encode())


async def rerank(
    behaviour: Behaviour, timeout_s: float = 2
) -> tuple[Sequence[Evidence], Stub, list[Any]]:
    async with openai_stub(behaviour) as stub:
        reranker = Reranker("ranker", stub.base_url, "key", timeout_s)
        with capture_logs() as logs:
            found = await asyncio.to_thread(reranker.rerank, "问题", FOUND)
    return found, stub, list(logs)


def ids(found: Sequence[Evidence]) -> list[str]:
    return [item.clause.id for item in found]


async def test_the_endpoints_order_is_taken_and_the_scores_keep_their_places() -> None:
    found, stub, logs = await rerank(results((2, 0.9), (0, 0.3), (1, 0.1)))
    assert ids(found) == ["丙", "甲", "乙"]
    assert [item.score for item in found] == [1.0, 0.8, 0.5]
    assert found[0].why["rerank"] == pytest.approx(0.5)
    assert not logs
    assert stub.requests[0] == {
        "model": "ranker",
        "query": "问题",
        "documents": ["甲的条文。", "乙的条文。", "丙的条文。"],
        "top_n": 3,
    }
    assert stub.paths[0].endswith("/rerank")
    assert stub.headers[0]["authorization"] == "Bearer key"


async def test_what_the_endpoint_leaves_out_comes_last_in_our_order() -> None:
    found, _, _ = await rerank(results((1, -3.5)))
    assert ids(found) == ["乙", "甲", "丙"]


@pytest.mark.parametrize(
    "behaviour",
    [
        fails(500),
        fails(429),
        sends(b"<html>"),
        sends(b"[]"),
        sends(b'{"results": 3}'),
        sends(b'{"results": [{"index": 0}]}'),
        sends(b'{"results": [{"index": 0, "relevance_score": "good"}]}'),
        sends(b'{"results": [{"index": 0, "relevance_score": NaN}]}'),
        sends(b'{"results": [{"index": 9, "relevance_score": 1}]}'),
        sends(b'{"results": []}'),
        sends(b'{"results": [{"index": 1e999, "relevance_score": 1}]}'),
        sends(b'{"results": [{"index": 0, "relevance_score": 1%b}]}' % (b"0" * 400)),
        sends(b"[" * 100_000),
        sends(b" " * (MAX_ANSWER_BYTES + 1)),
    ],
)
async def test_an_endpoint_without_a_usable_answer_leaves_our_order_and_a_warning(
    behaviour: Behaviour,
) -> None:
    found, _, logs = await rerank(behaviour)
    assert found == FOUND
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [("warning", "not reranked")]
    assert "问题" not in str(logs)


async def test_an_endpoint_that_hangs_is_waited_for_no_longer_than_set() -> None:
    started = time.perf_counter()
    found, _, logs = await rerank(hangs, timeout_s=0.2)
    assert found == FOUND
    assert len(logs) == 1
    assert time.perf_counter() - started < 2


async def test_an_endpoint_that_answers_drop_by_drop_is_not_waited_for() -> None:
    async def drips(writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)

    started = time.perf_counter()
    found, _, logs = await rerank(drips, timeout_s=0.5)
    assert (found, len(logs)) == (FOUND, 1)
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("{}", "word\n"),
        ("{}", "w\u00f6rd"),
        ("http://word:word@127.0.0.1:9", ""),
        ("http://\0word", ""),
    ],
)
async def test_no_key_or_password_is_logged(address: str, key: str) -> None:
    async with openai_stub(fails(500)) as stub:
        reranker = Reranker("ranker", address.format(stub.base_url), key, 2)
        with capture_logs() as logs:
            assert await asyncio.to_thread(reranker.rerank, "\u95ee\u9898", FOUND) == FOUND
    assert len(logs) == 1
    assert "word" not in str(logs)


async def test_an_endpoint_that_is_not_there_leaves_our_order() -> None:
    reranker = Reranker("ranker", "http://127.0.0.1:9", "", 2)
    assert await asyncio.to_thread(reranker.rerank, "问题", FOUND) == FOUND


async def ask(deps: Deps, text: str) -> Reply:
    reply = await collect(answer_question(Question(text=text, today=TODAY), deps))
    assert isinstance(reply, Reply)
    return reply


async def test_a_question_reaches_the_endpoint_without_personal_data(deps: Deps) -> None:
    async with openai_stub(results(*((n, n / 100) for n in range(30)))) as stub:
        settings = settings_for(
            deps.settings.home, ZHUNXIN_RERANK="ranker", ZHUNXIN_RERANK_BASE_URL=stub.base_url
        )
        async with open_deps(settings) as reranking:
            await ask(reranking, "我的手机号是13812345678，提前还款要违约金吗")
    assert "13812345678" not in json.dumps(stub.requests, ensure_ascii=False)
    assert "提前还款" in stub.requests[0]["query"]
    assert len(stub.requests[0]["documents"]) == 30


async def test_a_borrower_is_answered_where_the_endpoint_fails(deps: Deps) -> None:
    question = "安心贷提前还款要违约金吗"
    async with openai_stub(fails(500)) as stub:
        settings = settings_for(
            deps.settings.home, ZHUNXIN_RERANK="ranker", ZHUNXIN_RERANK_BASE_URL=stub.base_url
        )
        async with open_deps(settings) as reranking:
            reply = await ask(reranking, question)
    plain = await ask(deps, question)
    assert (reply.status, reply.answer) == (plain.status, plain.answer)
    assert reply.status == "answered"


async def test_a_model_without_an_address_is_refused_at_the_start(deps: Deps) -> None:
    settings = settings_for(deps.settings.home, ZHUNXIN_RERANK="ranker")
    with pytest.raises(ConfigError, match="ZHUNXIN_RERANK_BASE_URL"):
        async with open_deps(settings):
            pass
