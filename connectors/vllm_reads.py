"""The reads of one streamed body: each may be silent for so long, and all together take so long."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

_CLOSING_S = 0.05


class Silent(TimeoutError):
    """The other side said nothing for too long."""


class Reads:
    """The reads of one streamed body, each bounded by a silence and all together by the call's deadline (loop time).

    One timer per call that looks when it fires whether it is due: setting a timer anew for every token, as `asyncio.timeout`
    and aiohttp's `sock_read` do, costs as much as reading the token.
    """

    __slots__ = ("_content", "_deadline", "_loop", "_silence_s_max", "_timer", "_waits_since")

    def __init__(self, content: aiohttp.StreamReader, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._content, self._deadline = content, deadline
        self._silence_s_max: float | None = None
        self._waits_since: float | None = None
        self._timer = self._loop.call_at(deadline, self._check)

    def limit_silence(self, seconds: float | None) -> None:
        self._silence_s_max = seconds
        self._timer.cancel()
        self._check()

    async def next(self) -> bytes:
        """What has come since the last read; empty at the end."""
        self._waits_since = self._loop.time()
        try:
            return await self._content.readany()
        finally:
            self._waits_since = None

    async def to_end(self) -> None:
        """The last chunk of the transfer comes right after `[DONE]`; having read it lets the connection be used again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                while await self._content.readany():
                    pass

    def close(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        silent = self._silence_s_max
        due = self._deadline if silent is None else min(self._deadline, (self._waits_since or now) + silent)
        if now < due:
            self._timer = self._loop.call_at(due, self._check)
        elif now >= self._deadline:
            self._content.set_exception(TimeoutError())
        else:
            self._content.set_exception(Silent(f"nothing came for {silent:g} s"))
