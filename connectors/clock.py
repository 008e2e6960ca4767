"""The machine's clocks: the only place where the engine reads them."""

from __future__ import annotations

import asyncio
import time


class MachineClock:
    """`WallClock` of a running process."""

    def now(self) -> int:
        """Milliseconds since the epoch; may jump when somebody sets the machine's time."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
