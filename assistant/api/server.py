"""Runs the application: binds the port first, says where it serves once it does."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys

import structlog
import typer
import uvicorn
from fastapi import FastAPI

from assistant.config import Settings
from assistant.deps import open_deps

from .app import create_app

log = structlog.get_logger()

GRACE_S = 15
"""How long requests go on when the server is told to end, before they are cut off."""
BREAK_OFF_S = 7.0
"""After how much of it answers are broken off, so that borrowers are told and records closed."""


class PortTaken(Exception):
    """The address cannot be bound; the message says what to do."""


class BadHost(Exception):
    """The host is no address of this machine; the message names it."""


class NotOnLoopback(Exception):
    """The demo accounts, whose password everybody knows, would be open to other machines."""


def run_server(settings: Settings, host: str, port: int, *, demo: bool = False) -> None:
    """Serve until interrupted. Raises BadHost, PortTaken, NotOnLoopback, and what
    `open_deps` raises."""
    if demo:
        hold_to_loopback(host)
    asyncio.run(_try_to_open(settings))
    listening = _bind(host, port)
    address, bound = listening.getsockname()[:2]
    if demo:
        hold_to_loopback(address)
    app = create_app(settings, host=host, demo=demo)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{bound}"
    _Server(config, address, app).run([listening])


def run_mcp_server(settings: Settings, host: str, port: int) -> None:
    """Serve tools over MCP until interrupted. Raises BadHost, PortTaken, and what
    `open_deps` raises."""
    from .mcp import PATH, create_mcp_app

    asyncio.run(_try_to_open(settings))
    listening = _bind(host, port)
    # Streams to clients go on until they are cut off.
    config = uvicorn.Config(
        create_mcp_app(settings, host=host),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    bound = listening.getsockname()[1]
    _McpServer(config, f"http://{_reached_at(host)}:{bound}{PATH}").run([listening])


def _reached_at(host: str) -> str:
    """A host as an address names it."""
    if host == "0.0.0.0":
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def _try_to_open(settings: Settings) -> None:
    """What keeps the application from starting is told in a sentence, not by the web server."""
    async with open_deps(settings):
        for warning in settings.exposed():
            log.warning(warning)


def hold_to_loopback(host: str) -> None:
    """Raises NotOnLoopback where another machine could reach a server on this host."""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotOnLoopback(
            f"the demo accounts are for this machine only, and {host} is not a loopback address: "
            "serve on 127.0.0.1, or without --demo and with accounts from `zhunxin staff add`"
        )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str, app: FastAPI) -> None:
        super().__init__(config)
        self._address = address
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams that go on would keep the server waiting until it cuts them off.
        self._app.state.bell.end()
        answers = self._app.state.deps.under_way
        asyncio.get_running_loop().call_later(BREAK_OFF_S, answers.break_off)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(f"Zhunxin serves on {self._address}  (Ctrl-C ends it)")
            for name, path in (
                ("chat", "/"),
                ("staff", "/sign-in"),
                ("HTTP API", "/openapi.json"),
                ("OpenAI-compatible API", "/v1"),
                ("ready", "/readyz"),
            ):
                typer.echo(f"  {name:<22} {self._address}{path}")
            sys.stdout.flush()


class _McpServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(f"Zhunxin serves MCP on {self._address}  (Ctrl-C ends it)")
            sys.stdout.flush()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError):
        raise BadHost(f"cannot serve on {host}: expected an address of this machine") from None
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise BadHost(f"cannot serve on {host}: it is no address of this machine") from None
        raise PortTaken(
            f"cannot serve on {host}:{port} ({error.strerror}): another program may use it; "
            "try --port"
        ) from error
    return listening
