"""A chat-completions server on loopback that behaves, request by request, as it is told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}

Behaviour = Callable[[asyncio.StreamWriter, Body], Awaitable[None]]


@dataclass
class Stub:
    base_url: str = ""
    requests: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client leaves before its answer is complete."""


@asynccontextmanager
async def openai_stub(
    *behaviours: Behaviour, beyond: Behaviour | None = None
) -> AsyncIterator[Stub]:
    """Serve one behaviour a request, in order; `beyond` them, or status 599."""
    stub = Stub()
    serving: set[asyncio.Task[None] | None] = set()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        writers.append(writer)
        try:
            request_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines if line)
            }
            body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
            stub.paths.append(request_line.split(" ")[1])
            stub.headers.append(headers)
            stub.requests.append(body)
            stub.asked.set()
            number = len(stub.requests)
            scripted = number <= len(behaviours)
            behave = behaviours[number - 1] if scripted else beyond or fails(599)
            answering = asyncio.ensure_future(behave(writer, body))
            leaving = asyncio.ensure_future(reader.read())
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                stub.hung_up.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            stub.hung_up.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    stub.base_url = f"http://{host}:{port}/v1"
    try:
        yield stub
    finally:
        # A connection that was just accepted reaches `serve` a few turns of the loop later; a
        # server that is closed before drops it without closing it.
        for _ in range(10):
            await asyncio.sleep(0)
        server.close()
        # One that is still open when the loop ends would be told of as not closed.
        for writer in writers:
            writer.transport.abort()
        tasks = {task for task in serving if task}
        if tasks:
            await asyncio.wait(tasks, timeout=2)
        await asyncio.sleep(0)


def says(
    text: str, *, finish_reason: str = "stop", pause_s: float = 0.0, counts: bool = False
) -> Behaviour:
    """Answer with `text`, two characters an event where a stream is asked for.

    counts: whether a stream that asks for its tokens is told them.
    """

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        if not body.get("stream"):
            await asyncio.sleep(pause_s)
            await _send(writer, 200, json.dumps(_completion(text, finish_reason)).encode())
            return
        await _begin_stream(writer)
        for start in range(0, len(text), 2):
            await asyncio.sleep(pause_s)
            await _send_event(writer, _chunk(text[start : start + 2]))
        await _send_event(writer, _chunk("", finish_reason))
        if counts and body.get("stream_options", {}).get("include_usage"):
            await _send_event(writer, {**_chunk(""), "choices": [], "usage": USAGE})
        await _send_block(writer, b"data: [DONE]\n\n")
        await _send_block(writer, b"")

    return behave


def cuts_after(text: str) -> Behaviour:
    """Stream `text`, then drop the connection without an end."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        await _begin_stream(writer)
        await _send_event(writer, _chunk(text))
        writer.transport.abort()

    return behave


def quotes_then_cuts(number: int, then: str) -> Behaviour:
    """Stream a numbered sentence of the prompt with its number, and more, then drop the
    connection."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        prompt = body["messages"][-1]["content"]
        sentence = re.search(rf"^\[{number}\] (.*?)[。；]?$", prompt, re.MULTILINE)
        assert sentence is not None
        await _begin_stream(writer)
        await _send_event(writer, _chunk(f"{sentence[1]}[{number}]。{then}"))
        writer.transport.abort()

    return behave


def quotes_slowly(first_s: float, every_s: float, for_s: float) -> Behaviour:
    """Stream the first numbered sentence of the prompt after so long, then a character of the
    second so often for so long."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        sentences = re.findall(
            r"^\[(\d)\] (.*?)[。；]?$", body["messages"][-1]["content"], re.MULTILINE
        )
        (number, first), (_, second) = sentences[:2]
        await _begin_stream(writer)
        await asyncio.sleep(first_s)
        await _send_event(writer, _chunk(f"{first}[{number}]。\n"))
        for place in range(int(for_s / every_s)):
            await asyncio.sleep(every_s)
            await _send_event(writer, _chunk(second[place : place + 1]))
        await _send_event(writer, _chunk("", "stop"))
        await _send_block(writer, b"data: [DONE]\n\n")
        await _send_block(writer, b"")

    return behave


def quotes_around(between: str, pause_s: float) -> Behaviour:
    """Stream the first numbered sentence of the prompt, `between`, and the second, with a pause
    before each."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        sentences = re.findall(
            r"^\[(\d)\] (.*?)[。；]?$", body["messages"][-1]["content"], re.MULTILINE
        )
        first, second = (f"{said}[{number}]。" for number, said in sentences[:2])
        await _begin_stream(writer)
        for said in (first, between, second):
            await asyncio.sleep(pause_s)
            await _send_event(writer, _chunk(f"{said}\n"))
        await _send_event(writer, _chunk("", "stop"))
        await _send_block(writer, b"data: [DONE]\n\n")
        await _send_block(writer, b"")

    return behave


def fades_after(text: str) -> Behaviour:
    """Stream `text`, then end the response in good order but without a finish reason."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        await _begin_stream(writer)
        await _send_event(writer, _chunk(text))
        await _send_block(writer, b"")

    return behave


def stalls_after(text: str) -> Behaviour:
    """Stream `text`, then send nothing more for a minute."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        await _begin_stream(writer)
        await _send_event(writer, _chunk(text))
        await hangs(writer, body)

    return behave


async def hangs(writer: asyncio.StreamWriter, body: Body) -> None:
    """Send nothing for a minute, or until the client leaves."""
    await asyncio.sleep(60)


def fails(
    status: int,
    *,
    headers: Mapping[str, str] | None = None,
    code: str = "",
    message: str = "as scripted",
) -> Behaviour:
    """Answer with an HTTP error in OpenAI's form."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        error = {"error": {"message": message, "type": "scripted", "code": code or None}}
        await _send(writer, status, json.dumps(error).encode(), headers=headers)

    return behave


def sends(payload: bytes, *, content_type: str = "application/json") -> Behaviour:
    """Answer 200 with these bytes, whatever they are."""

    async def behave(writer: asyncio.StreamWriter, body: Body) -> None:
        await _send(writer, 200, payload, content_type=content_type)

    return behave


def _completion(text: str, finish_reason: str) -> Body:
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": USAGE,
    }


def _chunk(text: str, finish_reason: str | None = None) -> Body:
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "stub",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "delta": {"role": "assistant", "content": text},
            }
        ],
    }


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    payload: bytes,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> None:
    head = {
        "content-type": content_type,
        "content-length": str(len(payload)),
        "connection": "close",
        **(headers or {}),
    }
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in head.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
    await writer.drain()


async def _begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 Scripted\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    await writer.drain()


async def _send_event(writer: asyncio.StreamWriter, event: Body) -> None:
    await _send_block(writer, b"data: " + json.dumps(event).encode() + b"\n\n")


async def _send_block(writer: asyncio.StreamWriter, payload: bytes) -> None:
    """One block of a chunked body; an empty one ends it."""
    writer.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
    await writer.drain()
