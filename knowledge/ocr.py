"""Text recognition (OCR) of pictures and scanned pages, by a process that may fail alone.

One process at a time, started when a file needs it, used by every thread in turn, replaced after
some pages because its memory grows, and gone when it has nothing to do.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from .parsed import Unreadable

PAGES_PER_PROCESS = 40
"""Pages after which the process is replaced, and most pages of one request."""
MAX_THREADS = 2
"""A server answers questions meanwhile."""
MAX_PAGES = 300
"""Most pages of one file that are read by OCR; a page takes some seconds."""
INSTALL = "install text recognition with: pip install 'zhunxin[ocr]'"

_WORKER = Path(__file__).with_name("ocr_worker.py")


@dataclass(frozen=True, slots=True)
class TextLine:
    """One recognised line and its box, in pixels from the top left corner of its page."""

    x0: float
    top: float
    x1: float
    bottom: float
    text: str


@dataclass(frozen=True, slots=True)
class PageText:
    """What stands on one page, after it was turned upright."""

    number: int
    """From 1."""
    width: float
    height: float
    turned: int
    """Degrees by which it was turned to the left."""
    confidence: float
    """Mean over the characters, 0 to 1."""
    lines: tuple[TextLine, ...]
    rules: tuple[tuple[float, float, float, float], ...]
    """Drawn straight lines as x0, top, x1, bottom."""


def is_installed() -> bool:
    """Whether the packages of the extra `ocr` are there."""
    needed = ("rapidocr", "onnxruntime", "cv2", "pypdfium2", "PIL")
    return all(importlib.util.find_spec(package) for package in needed)


def recognise_pdf(data: bytes, numbers: Sequence[int]) -> Iterator[PageText]:
    """The named pages (from 1) of a PDF, in order. Raises Unreadable."""
    if len(numbers) > MAX_PAGES:
        raise _too_many(len(numbers))
    for start in range(0, len(numbers), PAGES_PER_PROCESS):
        yield from _recognise("pdf", data, numbers[start : start + PAGES_PER_PROCESS])[0]


def recognise_picture(data: bytes) -> Iterator[PageText]:
    """The page of a picture, or the pages of a TIFF. Raises Unreadable."""
    first = total = 1
    while first <= total:
        asked = range(first, first + PAGES_PER_PROCESS)
        pages, total = _recognise("picture", data, asked)
        if total > MAX_PAGES:
            raise _too_many(total)
        yield from pages
        first += PAGES_PER_PROCESS


def _too_many(pages: int) -> Unreadable:
    return Unreadable(
        f"the file has {pages} scanned pages, more than the {MAX_PAGES} that are read by text "
        "recognition (OCR); split it"
    )


def stop() -> None:
    """End the process, if there is one; a page being read is then Unreadable at once."""
    if _state.lock.acquire(blocking=False):
        try:
            _end()
        finally:
            _state.lock.release()
    elif (process := _state.process) is not None:
        # Who holds the lock waits for the process that is ended here, and tidies up.
        process.kill()


# The process


@dataclass(slots=True)
class _State:
    lock: threading.Lock
    process: subprocess.Popen[bytes] | None = None
    pages: int = 0
    """That the process has read."""


_state = _State(threading.Lock())


def _recognise(
    kind: Literal["pdf", "picture"], data: bytes, numbers: Sequence[int]
) -> tuple[list[PageText], int]:
    """The asked pages that are there, and the count of all pages of the file."""
    if not is_installed():
        raise Unreadable(f"the file holds pictures of text; {INSTALL}")
    head = json.dumps({"kind": kind, "size": len(data), "pages": list(numbers)}).encode()
    pages: list[PageText] = []
    total = 0
    with _state.lock:
        finished = False
        try:
            answers = _ask(head + b"\n", data)
            while line := answers.readline():
                answer = json.loads(line)
                if finished := "done" in answer:
                    return pages, total
                if "refused" in answer:
                    raise Unreadable(answer["refused"])
                pages.append(_page_text(answer))
                _state.pages += 1
                total = answer["total"]
            raise _failure(numbers[len(pages)])
        finally:
            if not finished:
                # Whatever went wrong, what it still says must not answer the next request.
                _end()


def _page_text(answer: dict[str, Any]) -> PageText:
    return PageText(
        number=answer["page"],
        width=answer["width"],
        height=answer["height"],
        turned=answer["turned"],
        confidence=answer["confidence"],
        lines=tuple(TextLine(*line) for line in answer["lines"]),
        rules=tuple((x0, top, x1, bottom) for x0, top, x1, bottom in answer["rules"]),
    )


def _ask(head: bytes, data: bytes) -> IO[bytes]:
    """The stream of answers to a request, from the running process or a new one."""
    if _state.pages >= PAGES_PER_PROCESS:
        _end()
    for _ in range(2):
        process = _state.process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(head + data)
            process.stdin.flush()
        except BrokenPipeError:
            # It ended for want of work, or was ended; a new one may do better.
            _end()
            continue
        return process.stdout
    raise Unreadable(f"text recognition (OCR) does not start; {INSTALL}")


def _start() -> subprocess.Popen[bytes]:
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    _state.process = subprocess.Popen(
        # Without -P the script's folder would come first where its libraries are looked for.
        [sys.executable, "-P", str(_WORKER), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    _state.pages = 0
    atexit.register(_end)
    return _state.process


def _end() -> int:
    """End the process; its exit code, negative where a signal ended it."""
    process, _state.process = _state.process, None
    atexit.unregister(_end)
    if process is None:
        return 0
    process.kill()
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    return code


def _failure(number: int) -> Unreadable:
    """Why the process left a page unanswered."""
    process = _state.process
    code = process.wait() if process is not None else 0
    if code == -signal.SIGALRM:
        return Unreadable(
            f"text recognition (OCR) of page {number} takes too long; take the page out or scan it "
            "anew at 300 dpi"
        )
    if code in (-signal.SIGINT, -signal.SIGKILL, -signal.SIGTERM):
        return Unreadable(f"text recognition (OCR) was interrupted at page {number}")
    return Unreadable(
        f"page {number} cannot be read by text recognition (OCR); the picture is damaged or of a "
        "kind that is not read: save it anew and try again"
    )
