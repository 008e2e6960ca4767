"""Wakes a loop that waits for several things at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress


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
