"""Wakes a loop that waits for several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Bell:
    """Anybody may ring; one listens. Rings before the listener waits are not lost, several count as one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until rung, at most so long. Always lets the others run once, also when there is no need to wait."""
        await asyncio.sleep(0)
        if not self._rung.is_set() and seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._rung.wait()
        self._rung.clear()


def ring_at_end(ring: Callable[[], None], work: asyncio.Task[Any]) -> None:
    """Ring when the work is done. How it went hears whoever asks for its result.

    Whoever leaves in a hurry does not come to ask: then asyncio would complain, with a traceback, of what is no news.
    """

    def done(_: asyncio.Task[Any]) -> None:
        if not work.cancelled():
            work.exception()
        ring()

    work.add_done_callback(done)
