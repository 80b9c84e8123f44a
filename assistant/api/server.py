"""Runs the application: binds the port first, says where it serves once it does."""

from __future__ import annotations

import socket
import sys

import typer
import uvicorn

from assistant.config import Settings

from .app import create_app


class PortTaken(Exception):
    """The address cannot be bound; the message says what to do."""


def run_server(settings: Settings, host: str, port: int) -> None:
    """Serve until interrupted. Raises PortTaken."""
    listening = _bind(host, port)
    bound = listening.getsockname()[1]
    config = uvicorn.Config(
        create_app(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=10
    )
    _Server(config, f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{bound}").run([listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(f"Zhunxin serves on {self._address}  (Ctrl-C ends it)")
            for name, path in (
                ("chat", "/"),
                ("HTTP API", "/openapi.json"),
                ("OpenAI-compatible API", "/v1"),
                ("ready", "/readyz"),
            ):
                typer.echo(f"  {name:<22} {self._address}{path}")
            sys.stdout.flush()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise PortTaken(
            f"cannot serve on {host}:{port} ({error.strerror}): another program may use it; "
            "try --port"
        ) from error
    return listening
