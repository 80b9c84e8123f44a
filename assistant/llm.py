"""The model door: language models behind one small protocol, whoever serves them.

    ModelError
    ├── ModelUnavailable   down, too slow, too busy: the next model of a chain may answer
    ├── ModelRefused       the request is wrong (key, model name, size): a setting must change
    └── ModelGarbled       it answered, and the answer is of no use

No error, log line or repr holds an API key, and no exception of a vendor is chained to ours,
since those carry the request's headers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn, Protocol
from urllib.parse import urlsplit

from .models import LEFT, Turn

Way = Literal["select", "draft"]
"""How a model works on evidence: it returns sentence ids, or writes sentences itself."""

OPENAI_URL = "https://api.openai.com/v1"

_Dialect = Literal["openai", "compatible", "local"]
"""Whose words an endpoint understands: OpenAI's own, those of its imitators, the local server."""


class ModelError(Exception):
    """A language model did not give a usable answer."""

    output: str = ""
    """What it wrote all the same, where that is known; never part of the message."""


class ModelUnavailable(ModelError):
    """Down, timed out, or still too busy after the retries."""


class ModelRefused(ModelError):
    """The endpoint rejects the request itself; the message names the setting to correct."""


class ModelGarbled(ModelError):
    """The answer is cut off, empty, or not the JSON that was asked for."""


class ScriptRanDry(Exception):
    """A scripted model was called more often than it has replies; a fault of the test."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that a model may call."""

    name: str
    about: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    model: str
    """Name of the model that answered, which in a chain is not always the first."""
    input_tokens: int
    output_tokens: int
    """Zero where the endpoint does not count."""
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A few characters of a streamed answer and the model that wrote them."""

    text: str
    model: str
    usage: Usage | None = None
    """With the last piece, which may have no text, where the endpoint counts."""


class TextStream:
    """A streamed answer: iterate for its text; leave early with `aclose`."""

    def __init__(self, pieces: AsyncGenerator[Piece, None]) -> None:
        self._pieces = pieces
        self.model = ""
        """Who is answering; known from the first piece of text on."""
        self.usage: Usage | None = None
        """Known once all was read, and only where the endpoint counts."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while True:
            piece = await anext(self._pieces)
            self.model = piece.model
            self.usage = piece.usage or self.usage
            if piece.text:
                return piece.text

    async def aclose(self) -> None:
        await self._pieces.aclose()


class ChatModel(Protocol):
    """A language model. Messages are sent as given: a stable beginning is read only once."""

    @property
    def name(self) -> str:
        """Provider and model, `openai:gpt-5`."""

    @property
    def way(self) -> Way: ...

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        """The whole answer; with `schema` it is JSON that satisfies it. With `tools`, which a model
        that only selects does not know, it is the calls that it makes, as JSON: `{"calls":
        [{"tool", "arguments"}]}`. Raises ModelError."""

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        """The answer as it is written. Raises ModelError, before or between pieces."""

    async def close(self) -> None:
        """Give up connections."""


def open_chat_model(
    spec: str,
    *,
    base_url: str | None = None,
    api_key: str,
    timeout_s: float,
    retries: int,
    way: Way | None = None,
    temperature: float | None = None,
    reasoning_effort: str | None = None,
    backoff_s: float = 0.5,
    max_retry_after_s: float = 10.0,
) -> ChatModel:
    """A model behind an OpenAI-compatible endpoint.

    spec: `openai:<model>`, or `local:<model>` for the model server of this process.
    timeout_s: bounds a whole call with all its retries.
    way: `select` for local models and `draft` for others where it is not given.
    temperature, reasoning_effort: the endpoint's own default where None (local: 0).
    max_retry_after_s: an endpoint that asks for a longer wait counts as unavailable.
    Raises ValueError for a spec of another form.
    """
    provider, _, model = spec.partition(":")
    if provider not in ("openai", "local") or not model:
        raise ValueError(f"unknown model {spec!r}: expected `openai:<model>` or `local:<model>`")
    local = provider == "local"
    if local and base_url is None:
        raise ValueError(f"{spec!r} needs the base_url of the running model server")
    address = base_url or OPENAI_URL
    hosted = (urlsplit(address).hostname or "").endswith(("openai.com", "azure.com"))
    return _OpenAIChat(
        spec,
        way=way or ("select" if local else "draft"),
        client=_openai_client(
            model,
            base_url=address,
            api_key=api_key,
            timeout_s=timeout_s,
            temperature=0.0 if local and temperature is None else temperature,
            reasoning_effort=reasoning_effort,
            local=local,
        ),
        dialect="local" if local else "openai" if hosted else "compatible",
        timeout_s=timeout_s,
        retries=retries,
        backoff_s=backoff_s,
        max_retry_after_s=max_retry_after_s,
    )


def _openai_client(
    model: str,
    *,
    base_url: str,
    api_key: str,
    timeout_s: float,
    temperature: float | None,
    reasoning_effort: str | None,
    local: bool,
) -> Any:
    import langsmith
    import openai
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    # LangChain would send every prompt to LangSmith where the environment asks for it.
    langsmith.configure(enabled=False)
    return ChatOpenAI(
        model=model,
        base_url=base_url,
        api_key=SecretStr(api_key),
        temperature=temperature,
        reasoning_effort=reasoning_effort,
        use_responses_api=False,
        stream_usage=False,
        stream_chunk_timeout=None,
        max_retries=0,
        timeout=timeout_s,
        # LangChain's own client is shared by all event loops of the process, and the proxy of
        # the environment must not stand between us and loopback.
        http_async_client=openai.DefaultAsyncHttpxClient(timeout=timeout_s, trust_env=not local),
    )


class _Answer:
    """What a model answers, without what it thinks aloud first: `<think>` to `</think>`."""

    def __init__(self) -> None:
        self._held: str | None = ""
        """What came so far; None once the answer has begun."""

    def of(self, piece: str) -> str:
        """What of a piece belongs to the answer, as far as is known by now."""
        if self._held is None:
            return piece
        self._held += piece
        text = self._held.lstrip()
        if text.startswith(_THINKS):
            text = text.partition(_HAS_THOUGHT)[2].lstrip()
        elif _THINKS.startswith(text):
            text = ""
        if text:
            self._held = None
        return text

    def rest(self) -> str:
        """What was held back in case it became a thought."""
        text = (self._held or "").strip()
        return "" if text.startswith(_THINKS) else text


_THINKS, _HAS_THOUGHT = "<think>", "</think>"


class _OpenAIChat:
    def __init__(
        self,
        name: str,
        *,
        way: Way,
        client: Any,
        dialect: _Dialect,
        timeout_s: float,
        retries: int,
        backoff_s: float,
        max_retry_after_s: float,
    ) -> None:
        self.name = name
        self.way = way
        self._client = client
        self._dialect = dialect
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._max_retry_after_s = max_retry_after_s
        self._counts_streams = dialect != "local"
        """Whether a stream is asked for its tokens: some endpoints refuse a request that does."""

    def __repr__(self) -> str:
        return f"<chat model {self.name!r}>"

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        options = _options(self._dialect, max_tokens, schema)
        client = self._client.bind_tools([_as_openai(t) for t in tools]) if tools else self._client
        deadline = time.monotonic() + self._timeout_s
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    reply = await client.ainvoke(_turns(messages), **options)
                break
            except Exception as error:
                fault = _fault(error, self.name)
            await self._wait_or_raise(fault, attempt, deadline)
            attempt += 1
        usage = reply.usage_metadata or {}
        answer = _Answer()
        return _usable(
            Completion(
                text=_calls_of(reply) if tools else answer.of(reply.text) + answer.rest(),
                model=self.name,
                input_tokens=usage.get("input_tokens", 0),
                output_tokens=usage.get("output_tokens", 0),
                finish_reason=str(reply.response_metadata.get("finish_reason")),
            ),
            _CALLS if tools else schema,
        )

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return TextStream(self._pieces(messages, max_tokens))

    async def _pieces(
        self, messages: Sequence[Message], max_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        options = _options(self._dialect, max_tokens, None)
        deadline = time.monotonic() + self._timeout_s
        attempt = 0
        started = False
        answer = _Answer()
        finish_reason = None
        usage: Usage | None = None
        while True:
            counts = self._counts_streams
            try:
                chunks = self._client.astream(_turns(messages), **options, stream_usage=counts)
                async with aclosing(chunks):
                    while True:
                        # Only the wait for the endpoint is timed: a timeout held open across
                        # a yield would interrupt whoever reads the stream.
                        async with asyncio.timeout(deadline - time.monotonic()):
                            chunk = await anext(chunks, None)
                        if chunk is None:
                            break
                        finish_reason = chunk.response_metadata.get("finish_reason", finish_reason)
                        if counted := chunk.usage_metadata:
                            usage = Usage(counted["input_tokens"], counted["output_tokens"])
                        if text := answer.of(chunk.text):
                            started = True
                            handed = time.monotonic()
                            yield Piece(text, self.name)
                            # What the reader does with it is no waiting for the endpoint.
                            deadline += time.monotonic() - handed
                break
            except Exception as error:
                fault = _fault(error, self.name)
            if started:
                raise fault.error
            if counts and fault.unknown_field:
                self._counts_streams = False
                continue
            await self._wait_or_raise(fault, attempt, deadline)
            attempt += 1
        if text := answer.rest():
            started = True
            yield Piece(text, self.name)
        if usage is not None:
            yield Piece("", self.name, usage)
        if finish_reason is None:
            raise ModelUnavailable(f"{self.name}: the connection ended before the answer did")
        if finish_reason != "stop" or not started:
            raise ModelGarbled(f"{self.name}: the answer ended with {finish_reason!r}")

    async def close(self) -> None:
        await self._client.root_async_client.close()

    async def _wait_or_raise(self, fault: _Fault, attempt: int, deadline: float) -> None:
        pause_s = self._backoff_s * 2**attempt * random.uniform(0.5, 1.0)
        if fault.retry_after_s is not None:
            pause_s = fault.retry_after_s
        if (
            not fault.passing
            or attempt >= self._retries
            or (fault.retry_after_s or 0.0) > self._max_retry_after_s
            or time.monotonic() + pause_s >= deadline
        ):
            raise fault.error
        await asyncio.sleep(pause_s)


@dataclass(frozen=True, slots=True)
class _Fault:
    error: ModelError
    passing: bool = False
    """Whether the same request may succeed a little later."""
    retry_after_s: float | None = None
    unknown_field: bool = False
    """Whether the request may have held something that the endpoint does not know."""


_SETTING_AT_FAULT = {
    401: "correct ZHUNXIN_LLM_API_KEY",
    403: "the key may not use this model: correct ZHUNXIN_LLM_API_KEY or ZHUNXIN_LLM",
    404: "unknown model or address: correct ZHUNXIN_LLM or ZHUNXIN_LLM_BASE_URL",
    413: "the prompt is too long for the model: choose another in ZHUNXIN_LLM",
}


def _fault(error: Exception, name: str) -> _Fault:
    """What a vendor's exception means to us; one we do not know is raised again."""
    import httpx2
    import openai

    match error:
        case openai.LengthFinishReasonError():
            return _Fault(ModelGarbled(f"{name}: the answer was cut off at the token limit"))
        case openai.ContentFilterFinishReasonError():
            return _Fault(ModelGarbled(f"{name}: the endpoint's content filter cut the answer"))
        case openai.APIStatusError():
            return _status_fault(error.status_code, error.code, error.response.headers, name)
        case openai.APITimeoutError() | TimeoutError() | httpx2.TimeoutException():
            return _Fault(ModelUnavailable(f"{name}: no answer in time"), passing=True)
        case openai.APIConnectionError() | httpx2.TransportError():
            return _Fault(ModelUnavailable(f"{name}: the connection failed"), passing=True)
        case openai.APIError() | json.JSONDecodeError() | UnicodeDecodeError():
            return _Fault(ModelUnavailable(f"{name}: the endpoint broke off"), passing=True)
        case ValueError() | TypeError() | LookupError() | AttributeError():
            # How LangChain stumbles over a sign-in page or an answer without choices.
            return _Fault(
                ModelUnavailable(
                    f"{name}: not an answer in OpenAI's form; see ZHUNXIN_LLM_BASE_URL"
                )
            )
        case _:
            raise error


def _status_fault(status: int, code: object, headers: Mapping[str, str], name: str) -> _Fault:
    # The endpoint's wording may repeat the key; its code is a word, or it is not shown.
    word = f" ({code})" if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""
    said = f"{name}: HTTP {status}{word}"
    if status == 429 and code == "insufficient_quota":
        return _Fault(ModelUnavailable(f"{said}: the account has no credit left"))
    if status in (408, 409, 429) or status >= 500:
        return _Fault(ModelUnavailable(said), passing=True, retry_after_s=_retry_after_s(headers))
    advice = _SETTING_AT_FAULT.get(status, "the endpoint does not take this request")
    return _Fault(ModelRefused(f"{said}; {advice}"), unknown_field=status in (400, 422))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _as_openai(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.about, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _calls_of(reply: Any) -> str:
    """The calls of an answer, as JSON. One whose arguments are no JSON is left out."""
    calls = [{"tool": call["name"], "arguments": call["args"]} for call in reply.tool_calls]
    return json.dumps({"calls": calls}, ensure_ascii=False)


_CALLS = {
    "type": "object",
    "properties": {
        "calls": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"tool": {"type": "string"}, "arguments": {"type": "object"}},
                "required": ["tool", "arguments"],
            },
        }
    },
    "required": ["calls"],
}
"""What calls look like: a scripted model is held to it, as a schema holds it to others."""


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in messages]


def _options(
    dialect: _Dialect, max_tokens: int, schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Request fields for one call, in the words of the endpoint."""
    # OpenAI's newer models refuse the old name of the limit (LangChain sends the new one); most
    # other endpoints know only the old one, and some would write on without limit.
    options: dict[str, Any] = (
        {"max_tokens": max_tokens}
        if dialect == "openai"
        else {"extra_body": {"max_tokens": max_tokens}}
    )
    if schema is None:
        return options
    if dialect == "local":
        # As a response_format the local server lets the small model indent its JSON: three times
        # the tokens, and worse choices. As a grammar the schema can rule white space out.
        dense = {**schema, "x-guidance": {"whitespace_flexible": False}}
        options["extra_body"]["grammar"] = f"%llguidance {{}}\nstart: %json {json.dumps(dense)}"
    else:
        options["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)},
        }
    return options


def _usable(completion: Completion, schema: Mapping[str, Any] | None) -> Completion:
    name = completion.model
    if completion.finish_reason == "length":
        raise _garbled(completion, "the answer was cut off at the token limit")
    if not completion.text.strip():
        raise ModelGarbled(f"{name}: the answer is empty ({completion.finish_reason})")
    if schema is not None:
        import jsonschema

        try:
            jsonschema.validate(json.loads(completion.text), schema)
        except (ValueError, jsonschema.ValidationError):
            raise _garbled(completion, "the answer is not the JSON asked for") from None
    return completion


def _garbled(completion: Completion, said: str) -> ModelGarbled:
    error = ModelGarbled(f"{completion.model}: {said}")
    error.output = completion.text
    return error


class Fallback:
    """Several models as one: where one is unavailable, the next answers.

    A stream falls over only while nothing of it has been given out. A model found unavailable
    is left alone for `rest_s`, so that each customer in turn does not wait for it to fail.
    """

    def __init__(self, models: Sequence[ChatModel], *, rest_s: float = 30.0) -> None:
        if not models:
            raise ValueError("a chain needs at least one model")
        self.models = tuple(models)
        self.name = ",".join(model.name for model in models)
        # A model able to draft can select too; the reverse does not hold.
        self.way: Way = "draft" if all(model.way == "draft" for model in models) else "select"
        self._rest_s = rest_s
        self._resting_until = dict.fromkeys(range(len(self.models)), 0.0)

    def __repr__(self) -> str:
        return f"<chain of {self.name!r}>"

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        faults = []
        for index in self._in_turn():
            try:
                return await self.models[index].complete(
                    messages, schema=schema, tools=tools, max_tokens=max_tokens
                )
            except ModelUnavailable as error:
                faults.append(self._rest(index, error))
        _raise_all(faults)

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return TextStream(self._pieces(messages, max_tokens))

    async def _pieces(
        self, messages: Sequence[Message], max_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        faults = []
        for index in self._in_turn():
            started = False
            stream = self.models[index].stream(messages, max_tokens=max_tokens)
            try:
                async with aclosing(stream):
                    async for text in stream:
                        started = True
                        yield Piece(text, stream.model)
                    if stream.usage is not None:
                        yield Piece("", stream.model, stream.usage)
                return
            except ModelUnavailable as error:
                faults.append(self._rest(index, error))
                if started:
                    raise
        _raise_all(faults)

    async def close(self) -> None:
        for model in self.models:
            await model.close()

    def _in_turn(self) -> list[int]:
        now = time.monotonic()
        ready = [index for index, until in self._resting_until.items() if until <= now]
        return ready or list(self._resting_until)

    def _rest(self, index: int, error: ModelUnavailable) -> ModelUnavailable:
        self._resting_until[index] = time.monotonic() + self._rest_s
        return error


def _raise_all(faults: Sequence[ModelUnavailable]) -> NoReturn:
    raise ModelUnavailable("; ".join(str(fault) for fault in faults)) from None


Reply = str | Exception | Callable[[Sequence[Message]], str]


@dataclass(frozen=True, slots=True)
class Call:
    """What a scripted model was asked."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None
    max_tokens: int
    tools: tuple[ToolSpec, ...] = ()


@dataclass(slots=True)
class ScriptedChat:
    """A model that gives the replies it was handed, in order, and keeps what it was asked.

    A reply that is an exception is raised; a function is given the messages. Replies are held
    to the schema as those of a real model are.
    """

    replies: Sequence[Reply]
    way: Way = "select"
    name: str = "scripted:test"
    piece_chars: int = 4
    """Length of the pieces a streamed reply comes in."""
    calls: list[Call] = field(default_factory=list)

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        text = self._next(Call(tuple(messages), schema, max_tokens, tuple(tools)))
        return _usable(
            Completion(
                text=text,
                model=self.name,
                input_tokens=sum(len(message.text) for message in messages),
                output_tokens=len(text),
                finish_reason="stop",
            ),
            _CALLS if tools else schema,
        )

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return TextStream(self._pieces(Call(tuple(messages), None, max_tokens)))

    async def _pieces(self, call: Call) -> AsyncGenerator[Piece, None]:
        text = self._next(call)
        for start in range(0, len(text), self.piece_chars):
            yield Piece(text[start : start + self.piece_chars], self.name)

    async def close(self) -> None:
        """Nothing is held."""

    def _next(self, call: Call) -> str:
        self.calls.append(call)
        if len(self.calls) > len(self.replies):
            raise ScriptRanDry(
                f"call {len(self.calls)} of a script with {len(self.replies)} replies"
            )
        reply = self.replies[len(self.calls) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, str) else reply(call.messages)


ERRORS: Mapping[str, type[ModelError]] = {
    error.__name__: error for error in (ModelError, ModelUnavailable, ModelRefused, ModelGarbled)
}


class PlayedOut(Exception):
    """What is played again asks the model for something other than it did the first time, or goes
    on where the first time ended."""


class RecordedChat:
    """A model whose every call is added to `turns`, in the order the calls were made."""

    def __init__(self, model: ChatModel, turns: list[Turn]) -> None:
        self._model = model
        self._turns = turns
        self.name = model.name
        self.way: Way = model.way

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        place = len(self._turns)
        turn = Turn("complete", prompt_hash(messages), model=self.name, error=LEFT)
        self._turns.append(turn)
        try:
            completion = await self._model.complete(
                messages, schema=schema, tools=tools, max_tokens=max_tokens
            )
        except ModelError as fault:
            wrote = (fault.output,) if fault.output else ()
            self._turns[place] = replace(turn, pieces=wrote, error=type(fault).__name__)
            raise
        self._turns[place] = replace(
            turn, pieces=(completion.text,), model=completion.model, error=""
        )
        return completion

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return TextStream(self._pieces(messages, max_tokens))

    async def _pieces(
        self, messages: Sequence[Message], max_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        place = len(self._turns)
        turn = Turn("stream", prompt_hash(messages), error=LEFT)
        # A sentence may be written once more while the stream is still read.
        self._turns.append(turn)
        pieces: list[str] = []
        stream = self._model.stream(messages, max_tokens=max_tokens)
        try:
            async with aclosing(stream):
                async for text in stream:
                    pieces.append(text)
                    yield Piece(text, stream.model)
                if stream.usage is not None:
                    yield Piece("", stream.model, stream.usage)
            turn = replace(turn, error="")
        except ModelError as fault:
            turn = replace(turn, error=type(fault).__name__)
            raise
        finally:
            self._turns[place] = replace(turn, pieces=tuple(pieces), model=stream.model)

    async def close(self) -> None:
        await self._model.close()


class PlayedChat:
    """A model that does again what `turns` say one did; never asks a real one."""

    name = "played"

    def __init__(self, turns: Sequence[Turn], way: Way) -> None:
        self.way = way
        self._turns = list(turns)
        self.other_prompts: list[int] = []
        """Numbers of the calls, from 1, whose messages are not those of the first time."""
        self._asked = 0

    @property
    def left_over(self) -> int:
        """Calls of the first time that were not made again."""
        return len(self._turns) - self._asked

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        turn = self._next("complete", messages)
        _end(turn)
        return Completion(turn.text, turn.model, 0, 0, "stop")

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return TextStream(self._pieces(messages))

    async def _pieces(self, messages: Sequence[Message]) -> AsyncGenerator[Piece, None]:
        turn = self._next("stream", messages)
        for text in turn.pieces:
            yield Piece(text, turn.model)
        _end(turn)

    async def close(self) -> None:
        """Nothing is held."""

    def _next(self, call: str, messages: Sequence[Message]) -> Turn:
        if not self.left_over:
            raise PlayedOut(f"a call more than the {len(self._turns)} of the first time")
        turn = self._turns[self._asked]
        self._asked += 1
        if turn.call == "open":
            _end(turn)
        if turn.call != call:
            raise PlayedOut(f"call {self._asked} was {turn.call!r}, and is now {call!r}")
        if turn.prompt != prompt_hash(messages):
            self.other_prompts.append(self._asked)
        return turn


def _end(turn: Turn) -> None:
    """Raises what the call ended in."""
    if turn.error == LEFT:
        raise PlayedOut("the first time ended here")
    if turn.error:
        raise ERRORS.get(turn.error, ModelError)("as the first time")


def prompt_hash(messages: Sequence[Message]) -> str:
    said = json.dumps([[message.role, message.text] for message in messages])
    return hashlib.sha256(said.encode()).hexdigest()
