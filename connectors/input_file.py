"""`input: {file: …}`: what is added to files becomes records, each line exactly once whenever this process is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

from penstock.connectors.embedded_input import Arrival, InputLog
from penstock.connectors.embedded_store import Marks
from penstock.connectors.file_follow import Follower, Portion
from penstock.connectors.port import WallClock
from penstock.operators.error import Unreachable
from penstock.operators.input_settings import FileInput

LOOK_SECONDS = 0.25


class FilesInput:
    """`Input` that follows files. They are read in a thread: the event loop does not wait for the disk."""

    def __init__(self, settings: FileInput, clock: WallClock) -> None:
        self._patterns = (settings.path,) if isinstance(settings.path, str) else settings.path
        self._from_end = settings.read_from == "end"
        self._clock = clock
        self.quiet_since: float | None = None
        self.absent = ""
        self.counts: Counter[tuple[str, ...]] = Counter()

    async def run(self, log: InputLog) -> None:
        follower = Follower(self._patterns, log.marks, from_end=self._from_end)
        thread = ThreadPoolExecutor(1, thread_name_prefix="follow")
        try:
            while True:
                some = await self._lap(follower.lap(self._clock.monotonic()), log, thread)
                self.absent = " and ".join(f"{path} is not there" for path in sorted(follower.awaited))
                if not some:
                    await self._clock.sleep(LOOK_SECONDS)
        except OSError as error:
            raise Unreachable(f"cannot be read: {error.strerror}", where=", ".join(self._patterns)) from error
        finally:
            self.quiet_since = None
            thread.submit(follower.close)  # behind a read that is under way
            thread.shutdown(wait=False)

    async def _lap(self, portions: Iterator[Portion], log: InputLog, thread: Executor) -> bool:
        """Whether there was anything."""
        loop, some = asyncio.get_running_loop(), False
        while (portion := await loop.run_in_executor(thread, _next, portions)) is not None:
            if portion.lines:
                some, self.quiet_since = True, None
            await log.write([Arrival(line) for line in portion.lines], Marks(portion.put, portion.drop))
        if self.quiet_since is None or some:
            self.quiet_since = self._clock.monotonic()
        return some


def _next(portions: Iterator[Portion]) -> Portion | None:
    return next(portions, None)
