"""`input: {stdin: true}`: the lines of standard input become records, until it ends.

What was read and is not written yet is lost with the process: a pipe cannot be read again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import Counter

from penstock.connectors.embedded_input import Arrival, InputLog
from penstock.connectors.lines import cut_lines
from penstock.connectors.port import WallClock

READ_BYTES = 64 << 10
READS_AHEAD = 4
"""More is left in the pipe, which holds up whoever writes into it."""

_log = logging.getLogger(__name__)


class StdinInput:
    """`Input` that reads standard input, once. It is read in a thread that the end of the process does not wait for."""

    def __init__(self, clock: WallClock, handle: int | None = None) -> None:
        """`handle`: another file to read; it stays the caller's."""
        self._clock, self._handle = clock, sys.stdin.fileno() if handle is None else handle
        self.quiet_since: float | None = None
        self.absent = ""
        self.counts: Counter[tuple[str, ...]] = Counter()
        self._reads: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(READS_AHEAD)
        self._thread: threading.Thread | None = None
        self._rest, self._skipping, self._over = b"", False, False
        self._unwritten: list[Arrival] = []

    async def run(self, log: InputLog) -> None:
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._read, args=[loop], daemon=True, name="stdin")
            self._thread.start()
        while not (self._over and not self._unwritten):
            if not self._unwritten:
                self._take(await self._reads.get())
            await log.write(self._unwritten)
            self._unwritten = []
        self.quiet_since = self._clock.monotonic()
        _log.info("standard input is over, after %d records", log.written)

    def _take(self, data: bytes) -> None:
        """Lines that are whole now are to be written before anything else is read."""
        self._room.release()
        self._over = not data
        data = self._rest + data
        cut = cut_lines(data, skipping=self._skipping, last=self._over)
        self._rest, self._skipping = data[cut.taken :], cut.skipping
        self._unwritten = [Arrival(line) for line in cut.lines]

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        data = b" "
        while data:
            self._room.acquire()
            data = self._read_some()
            try:
                loop.call_soon_threadsafe(self._reads.put_nowait, data)
            except RuntimeError:  # the loop is closed: nobody wants it any more
                return

    def _read_some(self) -> bytes:
        try:
            return os.read(self._handle, READ_BYTES)
        except OSError as error:
            _log.warning("standard input cannot be read: %s; it is taken as over", error.strerror)
            return b""
