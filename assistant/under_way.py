"""What this process is answering: broken off before the process ends, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TypeVar

_T = TypeVar("_T")


class BrokenOff(Exception):
    """The process ends before the answer does."""


class UnderWay:
    """Answers of one process."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._none_open = asyncio.Event()
        self._steps: set[asyncio.Timeout] = set()
        self._ends = False

    def opened(self, record_id: str) -> None:
        self._open.add(record_id)
        self._none_open.clear()

    def closed(self, record_id: str) -> None:
        """Closed, or given up."""
        self._open.discard(record_id)
        if not self._open:
            self._none_open.set()

    async def all_closed(self, within_s: float) -> None:
        """Wait until no record is open, no longer than so many seconds."""
        if self._open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._none_open.wait(), within_s)

    def break_off(self) -> None:
        """End what is waited for, and whatever would be from now on."""
        self._ends = True
        while self._steps:
            self._steps.pop().reschedule(asyncio.get_running_loop().time())

    async def until_broken_off(self, events: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
        """The events. Raises BrokenOff in place of the next one where it is broken off."""
        async with aclosing(events):
            while True:
                try:
                    # A limit for each: the next one may be asked for in another task.
                    async with asyncio.timeout(0 if self._ends else None) as step:
                        self._steps.add(step)
                        try:
                            event = await anext(events)
                        finally:
                            self._steps.discard(step)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if step.expired():
                        raise BrokenOff from None
                    raise
                yield event
