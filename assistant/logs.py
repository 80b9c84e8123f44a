"""Where log lines go and what they look like."""

from __future__ import annotations

import logging
import sys

import structlog


def log_to_stderr(least: int = logging.INFO) -> None:
    """One line an event; nothing that a borrower wrote is ever logged.

    least: level from which events are told.
    """
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
        wrapper_class=structlog.make_filtering_bound_logger(least),
        # The stream is looked up at each line: a test, or a host program, may have replaced it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
