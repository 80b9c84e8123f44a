"""The model door, driven against a real server that fails in each way servers do."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from assistant.llm import (
    ChatModel,
    Fallback,
    Message,
    ModelError,
    ModelGarbled,
    ModelRefused,
    ModelUnavailable,
    ScriptedChat,
    ScriptRanDry,
    TextStream,
    open_chat_model,
)
from tests.openai_stub import (
    Behaviour,
    Stub,
    cuts_after,
    fades_after,
    fails,
    hangs,
    openai_stub,
    says,
    sends,
    stalls_after,
)

KEY = "sk-very-secret-4711"
QUESTION = (
    Message("system", "只依据材料回答。"),
    Message("user", "最高能借多少？"),
    Message("assistant", '{"ids":[1]}'),
    Message("user", "逾期怎么算？"),
)
IDS = {
    "type": "object",
    "properties": {"ids": {"type": "array", "items": {"type": "integer", "enum": [1, 2]}}},
    "required": ["ids"],
    "additionalProperties": False,
}


def model_at(stub: Stub, spec: str = "openai:stub", **settings: Any) -> ChatModel:
    defaults: dict[str, Any] = {"timeout_s": 5.0, "retries": 2, "backoff_s": 0.01}
    return open_chat_model(spec, base_url=stub.base_url, api_key=KEY, **{**defaults, **settings})


async def read(stream: TextStream) -> str:
    return "".join([text async for text in stream])


async def hear(stream: TextStream, heard: list[str]) -> None:
    async for text in stream:
        heard.append(text)


async def test_an_answer_comes_with_its_model_and_its_tokens() -> None:
    async with openai_stub(says("按日计息。")) as stub:
        model = model_at(stub)
        completion = await model.complete(QUESTION, max_tokens=64)
        await model.close()
    assert completion.text == "按日计息。"
    assert completion.model == model.name == "openai:stub"
    assert (completion.input_tokens, completion.output_tokens) == (7, 5)
    assert completion.finish_reason == "stop"


async def test_messages_are_sent_in_the_order_given() -> None:
    async with openai_stub(says("好。"), says("好。")) as stub:
        model = model_at(stub)
        await model.complete(QUESTION, max_tokens=64)
        await read(model.stream(QUESTION, max_tokens=64))
        await model.close()
    for body in stub.requests:
        assert body["messages"] == [{"role": m.role, "content": m.text} for m in QUESTION]


@dataclass(frozen=True)
class Wording:
    spec: str
    present: dict[str, Any]
    absent: tuple[str, ...]


@pytest.mark.parametrize(
    "case",
    [
        Wording(
            "openai:stub",
            {"max_tokens": 64, "response_format.json_schema.schema": IDS},
            ("max_completion_tokens", "grammar", "temperature"),
        ),
        Wording("local:stub", {"max_tokens": 64, "temperature": 0.0}, ("response_format",)),
    ],
    ids=lambda case: case.spec,
)
async def test_each_endpoint_is_asked_in_its_own_words(case: Wording) -> None:
    async with openai_stub(says('{"ids":[2]}')) as stub:
        model = model_at(stub, case.spec)
        await model.complete(QUESTION, schema=IDS, max_tokens=64)
        await model.close()
    body = stub.requests[0]
    for path, expected in case.present.items():
        value: Any = body
        for name in path.split("."):
            value = value[name]
        assert value == expected
    assert not set(case.absent) & set(body)


async def test_the_local_server_is_held_to_the_schema_by_a_grammar_without_white_space() -> None:
    async with openai_stub(says('{"ids":[2]}')) as stub:
        model = model_at(stub, "local:stub")
        await model.complete(QUESTION, schema=IDS, max_tokens=64)
        await model.close()
    grammar = stub.requests[0]["grammar"]
    assert '"enum": [1, 2]' in grammar
    assert '"whitespace_flexible": false' in grammar


def test_local_models_select_and_others_draft_unless_told_otherwise() -> None:
    ways = {
        spec: open_chat_model(
            spec, base_url="http://127.0.0.1:1/v1", api_key=KEY, timeout_s=1, retries=0
        ).way
        for spec in ("local:small", "openai:large")
    }
    assert ways == {"local:small": "select", "openai:large": "draft"}
    small = open_chat_model("openai:small", way="select", api_key=KEY, timeout_s=1, retries=0)
    assert small.way == "select"


@pytest.mark.parametrize("spec", ["", "openai", "openai:", "claude:x", "local:x"])
def test_a_model_setting_that_means_nothing_is_named(spec: str) -> None:
    with pytest.raises(ValueError, match=spec or "''"):
        open_chat_model(spec, api_key=KEY, timeout_s=1, retries=0)


@dataclass(frozen=True)
class Failure:
    name: str
    behaviours: tuple[Behaviour, ...]
    error: type[ModelError]
    says: str
    requests: int
    """How often the server was asked, which is how often it was worth asking."""
    schema: dict[str, Any] | None = None


HTML = sends(b"<html>Sign in to the hotel network</html>", content_type="text/html")
CUT_JSON = sends(b'{"id":"x","object":"chat.completion","choices":[{"index":0,"mess')
NO_CHOICES = sends(b'{"id":"x","object":"chat.completion","created":0,"model":"m","choices":[]}')

FAILURES = [
    Failure("500", (fails(500),) * 3, ModelUnavailable, "HTTP 500", 3),
    Failure("503", (fails(503),) * 3, ModelUnavailable, "HTTP 503", 3),
    Failure("429", (fails(429),) * 3, ModelUnavailable, "HTTP 429", 3),
    Failure(
        "no credit",
        (fails(429, code="insufficient_quota"),),
        ModelUnavailable,
        "no credit",
        1,
    ),
    Failure(
        "long wait",
        (fails(429, headers={"retry-after": "3600"}),),
        ModelUnavailable,
        "HTTP 429",
        1,
    ),
    Failure("bad key", (fails(401),), ModelRefused, "ZHUNXIN_LLM_API_KEY", 1),
    Failure("forbidden", (fails(403),), ModelRefused, "ZHUNXIN_LLM_API_KEY", 1),
    Failure(
        "unknown model",
        (fails(404, code="model_not_found"),),
        ModelRefused,
        r"\(model_not_found\); .*ZHUNXIN_LLM",
        1,
    ),
    Failure("too long", (fails(400, code="context_length_exceeded"),), ModelRefused, "HTTP 400", 1),
    Failure("not JSON", (HTML,), ModelUnavailable, "ZHUNXIN_LLM_BASE_URL", 1),
    Failure("truncated JSON", (CUT_JSON,) * 3, ModelUnavailable, "broke off", 3),
    Failure("no choices", (NO_CHOICES,), ModelUnavailable, "ZHUNXIN_LLM_BASE_URL", 1),
    Failure("empty text", (says("  "),), ModelGarbled, "empty", 1),
    Failure("cut off", (says("一半", finish_reason="length"),), ModelGarbled, "cut off", 1),
    Failure(
        "cut off under a schema",
        (says('{"ids":[', finish_reason="length"),),
        ModelGarbled,
        "cut off",
        1,
        IDS,
    ),
    Failure(
        "filtered",
        (says("", finish_reason="content_filter"),),
        ModelGarbled,
        "content.filter",
        1,
        IDS,
    ),
    Failure("prose under a schema", (says("第二条"),), ModelGarbled, "not the JSON", 1, IDS),
    Failure("another schema", (says('{"ids":"2"}'),), ModelGarbled, "not the JSON", 1, IDS),
    Failure("unknown id", (says('{"ids":[3]}'),), ModelGarbled, "not the JSON", 1, IDS),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
async def test_each_failure_has_its_own_error(failure: Failure) -> None:
    async with openai_stub(*failure.behaviours) as stub:
        model = model_at(stub)
        with pytest.raises(failure.error, match=failure.says):
            await model.complete(QUESTION, schema=failure.schema, max_tokens=64)
        await model.close()
    assert len(stub.requests) == failure.requests


STREAM_FAILURES = [
    Failure("500", (fails(500),) * 3, ModelUnavailable, "HTTP 500", 3),
    Failure("bad key", (fails(401),), ModelRefused, "ZHUNXIN_LLM_API_KEY", 1),
    Failure("cut in the middle", (cuts_after("一半"),), ModelUnavailable, "connection failed", 1),
    Failure("faded", (fades_after("一半"),), ModelUnavailable, "ended before", 1),
    Failure("not a stream", (HTML,), ModelUnavailable, "ZHUNXIN_LLM_BASE_URL", 1),
    Failure("cut off", (says("一半", finish_reason="length"),), ModelGarbled, "length", 1),
    Failure("nothing", (says(""),), ModelGarbled, "stop", 1),
]


@pytest.mark.parametrize("failure", STREAM_FAILURES, ids=lambda failure: failure.name)
async def test_a_stream_that_fails_says_so_after_what_it_gave_out(failure: Failure) -> None:
    async with openai_stub(*failure.behaviours) as stub:
        model = model_at(stub)
        with pytest.raises(failure.error, match=failure.says):
            await read(model.stream(QUESTION, max_tokens=64))
        await model.close()
    assert len(stub.requests) == failure.requests


@pytest.mark.parametrize(
    "first", [fails(429), fails(500), CUT_JSON, cuts_after("")], ids=["429", "500", "cut", "drop"]
)
async def test_a_passing_fault_is_retried(first: Behaviour) -> None:
    async with openai_stub(first, says("好。")) as stub:
        model = model_at(stub)
        completion = await model.complete(QUESTION, max_tokens=64)
        await model.close()
    assert completion.text == "好。"
    assert len(stub.requests) == 2


async def test_a_stream_is_retried_before_its_first_text() -> None:
    async with openai_stub(fails(500), says("逾期按日计收罚息。")) as stub:
        model = model_at(stub)
        stream = model.stream(QUESTION, max_tokens=64)
        assert await read(stream) == "逾期按日计收罚息。"
        await model.close()
    assert stream.model == "openai:stub"


async def test_the_wait_an_endpoint_asks_for_is_kept() -> None:
    async with openai_stub(fails(429, headers={"retry-after": "0.3"}), says("好。")) as stub:
        model = model_at(stub)
        started = time.monotonic()
        await model.complete(QUESTION, max_tokens=64)
        waited_s = time.monotonic() - started
        await model.close()
    assert waited_s >= 0.3


async def test_no_server_at_all_is_unavailable() -> None:
    async with openai_stub() as stub:
        pass
    model = model_at(stub)
    with pytest.raises(ModelUnavailable, match="connection failed"):
        await model.complete(QUESTION, max_tokens=64)
    await model.close()


@pytest.mark.parametrize("retries", [0, 5])
async def test_the_timeout_bounds_a_call_with_all_its_retries(retries: int) -> None:
    async with openai_stub(*(hangs,) * 6) as stub:
        model = model_at(stub, timeout_s=0.3, retries=retries)
        for call in (
            model.complete(QUESTION, max_tokens=64),
            read(model.stream(QUESTION, max_tokens=64)),
        ):
            started = time.monotonic()
            with pytest.raises(ModelUnavailable, match="no answer in time"):
                await call
            assert time.monotonic() - started < 2.0
        await model.close()


async def test_a_stream_that_stalls_ends_at_the_timeout() -> None:
    async with openai_stub(stalls_after("一半")) as stub:
        model = model_at(stub, timeout_s=0.5)
        heard: list[str] = []
        with pytest.raises(ModelUnavailable, match="no answer in time"):
            await hear(model.stream(QUESTION, max_tokens=64), heard)
        await model.close()
    assert heard == ["一半"]


async def test_a_slow_reader_is_not_interrupted_by_the_model_timeout() -> None:
    async with openai_stub(says("好的。")) as stub:
        model = model_at(stub, timeout_s=0.3)
        stream = model.stream(QUESTION, max_tokens=64)
        assert await anext(stream) == "好的"
        await asyncio.sleep(0.5)
        await stream.aclose()
        await model.close()


async def test_what_the_reader_does_meanwhile_does_not_count_as_waiting() -> None:
    async with openai_stub(says("甲乙丙丁", pause_s=0.2)) as stub:
        model = model_at(stub, timeout_s=1.0, retries=0)
        text = ""
        async for piece in model.stream(QUESTION, max_tokens=9):
            await asyncio.sleep(0.7)
            text += piece
        await model.close()
    assert text == "甲乙丙丁"


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("<think>先看条款[1]。\n再说。</think>\n\n免收[2]。", "免收[2]。"),
        ("\n<think></think>免收。", "免收。"),
        ("<th", "<th"),
        ("<b>免收</b>", "<b>免收</b>"),
        ("免收<think>。", "免收<think>。"),
    ],
)
async def test_what_a_model_thinks_aloud_is_no_answer(written: str, answer: str) -> None:
    async with openai_stub(says(written), says(written)) as stub:
        model = model_at(stub)
        streamed = "".join([piece async for piece in model.stream(QUESTION, max_tokens=99)])
        whole = await model.complete(QUESTION, max_tokens=99)
        await model.close()
    assert (streamed, whole.text) == (answer, answer)


@pytest.mark.parametrize("written", ["<think>没有想完", " \n\n "])
async def test_an_answer_of_nothing_but_thoughts_or_space_is_garbled(written: str) -> None:
    async with openai_stub(says(written)) as stub:
        model = model_at(stub)
        with pytest.raises(ModelGarbled):
            [piece async for piece in model.stream(QUESTION, max_tokens=99)]
        await model.close()


async def test_leaving_a_stream_early_ends_the_request() -> None:
    async with openai_stub(stalls_after("一半")) as stub:
        model = model_at(stub)
        stream = model.stream(QUESTION, max_tokens=64)
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(stub.hung_up.wait(), 2.0)
        await model.close()


async def test_a_cancelled_caller_is_cancelled_and_the_request_ends() -> None:
    async with openai_stub(hangs) as stub:
        model = model_at(stub)
        task = asyncio.create_task(model.complete(QUESTION, max_tokens=64))
        await asyncio.wait_for(stub.asked.wait(), 5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(stub.hung_up.wait(), 2.0)
        await model.close()


async def test_many_calls_at_once_keep_their_answers_apart() -> None:
    async with openai_stub(*(says(str(number)) for number in range(8))) as stub:
        model = model_at(stub)
        completions = await asyncio.gather(
            *(model.complete(QUESTION, max_tokens=64) for _ in range(8))
        )
        await model.close()
    assert sorted(completion.text for completion in completions) == list("01234567")


@pytest.mark.parametrize(
    "behaviour",
    [
        fails(401, message=f"Incorrect API key provided: {KEY}", code=KEY),
        fails(400, message=f"bad header {KEY}"),
        fails(500, message=KEY),
        cuts_after(""),
        HTML,
    ],
    ids=["401", "400", "500", "cut", "html"],
)
async def test_the_key_is_in_no_error_no_log_and_no_repr(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with openai_stub(behaviour, behaviour) as stub:
        model = model_at(stub, retries=0)
        shown = [repr(model), str(vars(model))]
        for call in (
            model.complete(QUESTION, max_tokens=64),
            read(model.stream(QUESTION, max_tokens=64)),
        ):
            with pytest.raises(ModelError) as caught:
                await call
            shown += traceback.format_exception(caught.value)
            assert caught.value.__context__ is None
        await model.close()
    assert stub.headers[0]["authorization"] == f"Bearer {KEY}"
    shown += [record.getMessage() for record in caplog.records]
    assert len(shown) > 10
    assert KEY not in "".join(shown)


async def test_prompts_are_never_traced_to_an_outside_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import langsmith.utils

    async with openai_stub(says("好。")) as stub, openai_stub() as outside:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2-test")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", outside.base_url)
        langsmith.utils.get_env_var.cache_clear()  # type: ignore[attr-defined]
        langsmith.configure(enabled=None)
        assert langsmith.utils.tracing_is_enabled()
        model = model_at(stub)
        await model.complete(QUESTION, max_tokens=64)
        assert not langsmith.utils.tracing_is_enabled()
        await asyncio.sleep(0.1)
        await model.close()
        assert outside.requests == []
    langsmith.utils.get_env_var.cache_clear()  # type: ignore[attr-defined]


def test_importing_the_door_loads_no_vendor() -> None:
    code = (
        "import sys, assistant.llm; "
        "print([m for m in ('langchain_core', 'openai', 'httpx2', 'jsonschema') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DOWN = ModelUnavailable("first: down")


async def test_the_next_model_answers_where_one_is_unavailable() -> None:
    chain = Fallback([ScriptedChat([DOWN], name="a:1"), ScriptedChat(["好。"], name="b:2")])
    completion = await chain.complete(QUESTION, max_tokens=64)
    assert (completion.text, completion.model) == ("好。", "b:2")


@pytest.mark.parametrize("fault", [ModelRefused("bad key"), ModelGarbled("empty")])
async def test_a_fault_of_ours_is_not_hidden_by_the_next_model(fault: ModelError) -> None:
    second = ScriptedChat([])
    with pytest.raises(type(fault)):
        await Fallback([ScriptedChat([fault]), second]).complete(QUESTION, max_tokens=64)
    assert second.calls == []


async def test_a_chain_that_is_all_down_names_every_fault() -> None:
    chain = Fallback(
        [ScriptedChat([DOWN] * 2), ScriptedChat([ModelUnavailable("second: 503")] * 2)]
    )
    for call in (
        chain.complete(QUESTION, max_tokens=64),
        read(chain.stream(QUESTION, max_tokens=64)),
    ):
        with pytest.raises(ModelUnavailable, match="first: down; second: 503"):
            await call


async def test_a_stream_falls_over_before_its_first_text() -> None:
    async with openai_stub(fails(503)) as stub:
        first = model_at(stub, retries=0)
        chain = Fallback([first, ScriptedChat(["按日计息。"], name="b:2")])
        stream = chain.stream(QUESTION, max_tokens=64)
        assert await read(stream) == "按日计息。"
        assert stream.model == "b:2"
        await chain.close()


async def test_a_stream_does_not_fall_over_once_text_was_given_out() -> None:
    async with openai_stub(cuts_after("一半")) as stub:
        second = ScriptedChat(["按日计息。"])
        chain = Fallback([model_at(stub), second])
        heard: list[str] = []
        with pytest.raises(ModelUnavailable):
            await hear(chain.stream(QUESTION, max_tokens=64), heard)
        await chain.close()
    assert heard == ["一半"]
    assert second.calls == []


async def test_a_model_found_down_rests_before_it_is_asked_again() -> None:
    first = ScriptedChat([DOWN, "回来了。"])
    chain = Fallback([first, ScriptedChat(["一。", "二。"])], rest_s=0.2)
    assert (await chain.complete(QUESTION, max_tokens=64)).text == "一。"
    assert (await chain.complete(QUESTION, max_tokens=64)).text == "二。"
    assert len(first.calls) == 1
    await asyncio.sleep(0.25)
    assert (await chain.complete(QUESTION, max_tokens=64)).text == "回来了。"


def test_a_chain_drafts_only_where_every_model_can() -> None:
    drafts, selects = ScriptedChat([], way="draft"), ScriptedChat([], way="select")
    assert Fallback([drafts, drafts]).way == "draft"
    assert Fallback([drafts, selects]).way == "select"


async def test_a_script_answers_in_order_and_keeps_what_it_was_asked() -> None:
    def repeat(messages: Sequence[Message]) -> str:
        return messages[-1].text

    script = ScriptedChat(["一。", repeat, DOWN, '{"ids":[1]}'], way="draft")
    assert (await script.complete(QUESTION, max_tokens=8)).text == "一。"
    assert await read(script.stream(QUESTION, max_tokens=9)) == "逾期怎么算？"
    with pytest.raises(ModelUnavailable, match="first: down"):
        await script.complete(QUESTION, max_tokens=10)
    await script.complete(QUESTION, schema=IDS, max_tokens=11)
    assert [call.max_tokens for call in script.calls] == [8, 9, 10, 11]
    assert script.calls[3].schema == IDS
    assert script.calls[0].messages == QUESTION


async def test_a_script_is_held_to_the_schema() -> None:
    with pytest.raises(ModelGarbled):
        await ScriptedChat(['{"ids":[9]}']).complete(QUESTION, schema=IDS, max_tokens=8)


async def test_a_script_that_runs_dry_fails_with_the_number_of_the_call() -> None:
    script = ScriptedChat(["一。"])
    await script.complete(QUESTION, max_tokens=8)
    with pytest.raises(ScriptRanDry, match="call 2 of a script with 1 replies"):
        await script.complete(QUESTION, max_tokens=8)
