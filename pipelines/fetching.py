"""Reading the inputs one batch ahead, in portions that do not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from penstock.connectors.port import Batch, Limits
from penstock.pipelines.bell import ring_at_end

RECORDS_FIRST = 500
RECORDS_MIN = 20
RECORDS_MAX = 4_000
FEED_SECONDS = 0.010
"""A batch should be fed in about so long: heartbeats, answers and the other tasks share the loop."""
FETCH_WAIT = 0.5
LAST_FETCH_SECONDS = 10.0


Prepare = Callable[[Batch], Awaitable[None]]


class Inputs(Protocol):
    """The reading half of a `TaskLog`."""

    async def fetch(self, limits: Limits) -> Batch: ...
    def pause(self, topic: str) -> None: ...
    def resume(self, topic: str) -> None: ...


class Fetching:
    """One fetch is always under way, unless a batch waits to be taken. `ring` is called when there is something to take.

    A fetch is not cancelled (aiokafka's `getmany` does not survive it) before the inputs are given up for good. What comes
    after it may be: `prepare` makes a batch ready to be fed, and takes as long as that takes.
    """

    def __init__(
        self,
        log: Inputs,
        topics: Iterable[str],
        ring: Callable[[], None],
        most: int = RECORDS_MAX,
        prepare: Prepare | None = None,
    ) -> None:
        """`most` bounds the records of one fetch, and may change."""
        self._log, self._ring, self.most, self._prepare = log, ring, most, prepare
        self._ending = False
        self.preparing = False
        """A batch was read, and cannot be fed yet."""
        self._topics = frozenset(topics)
        self._paused: frozenset[str] = frozenset()
        self._portion = RECORDS_FIRST
        self._fetch: asyncio.Task[Batch] | None = None

    def begin(self) -> None:
        limits = Limits(records=min(self._portion, self.most), wait=FETCH_WAIT)
        fetch = self._log.fetch(limits) if self._prepare is None else self._prepared(limits, self._prepare)
        self._fetch = asyncio.get_running_loop().create_task(fetch)
        ring_at_end(self._ring, self._fetch)

    async def _prepared(self, limits: Limits, prepare: Prepare) -> Batch:
        batch = await self._log.fetch(limits)
        if not self._ending:
            self.preparing = True
            await prepare(batch)
            self.preparing = False
        return batch

    @property
    def ready(self) -> bool:
        """A batch waits, or what went wrong with it."""
        return self._fetch is not None and self._fetch.done()

    def take(self) -> Batch:
        """The batch that is ready; the next one is on its way. Raises what the fetch raised."""
        assert self._fetch is not None
        batch = self._fetch.result()
        self.begin()
        return batch

    def fed(self, records: int, seconds: float) -> None:
        """Feeding so many records took so long: choose the next portion by that. A thin batch says little."""
        if 2 * records >= self._portion or seconds > FEED_SECONDS:
            fitting = int(records * FEED_SECONDS / max(seconds, 1e-6))
            self._portion = max(RECORDS_MIN, min(fitting, 2 * self._portion, RECORDS_MAX))

    def pause_only(self, topics: frozenset[str]) -> None:
        """Let exactly these inputs rest. What was fetched of them before still comes."""
        for topic in topics - self._paused:
            self._log.pause(topic)
        for topic in self._paused - topics:
            self._log.resume(topic)
        self._paused = topics

    def pause_all(self) -> None:
        self.pause_only(self._topics)

    @property
    def paused(self) -> frozenset[str]:
        return self._paused

    async def end(self) -> None:
        """Wait for the fetch under way, but not for ever; what it brings, also an error, is of no interest any more."""
        self._ending = True
        if self._fetch is not None:
            if not self.preparing:
                await asyncio.wait([self._fetch], timeout=LAST_FETCH_SECONDS)
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)
