"""Runs the application: binds the port first, says where it serves once it does."""

from __future__ import annotations

import logging
import socket
import sys

import structlog
import typer
import uvicorn

from assistant.config import Settings

from .app import create_app


class PortTaken(Exception):
    """The address cannot be bound; the message says what to do."""


def run_server(settings: Settings, host: str, port: int) -> None:
    """Serve until interrupted. Raises PortTaken."""
    _log_to_stderr()
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


def _log_to_stderr() -> None:
    """One line an event; nothing that a borrower wrote is ever logged."""
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
