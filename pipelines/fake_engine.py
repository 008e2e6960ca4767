"""The simulated model's engine: seats, a queue and token times, as continuous batching has them.

One task steps through everything that runs and writes what is due, so that 5,000 streams cost one timer, not 5,000.
`tokens_per_second` is the pace of each stream; 0: everything at once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

_STEP_S = 0.002  # no finer than this: a step over many streams takes as long
_YIELD_EVERY = 64
_SLOWNESS = 10.0
_SLOW_INTERVAL_S = 0.1  # where the others have no pace at all


@dataclass(eq=False, slots=True)
class Generation:
    """One request's way through the engine. `emit(first, end)` sends the tokens [first, end) without waiting for the reader."""

    tokens: int
    emit: Callable[[int, int], None]
    priority: int = 0
    slow: bool = False
    written: int = 0
    next_at: float = 0.0
    first_token_at: float | None = None
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Engine:
    """`run` is its only task; `submit` hands it a generation, `Generation.done` tells the end."""

    def __init__(self, *, tokens_per_second: float, ttft: float, seats: int) -> None:
        self._interval = 1 / tokens_per_second if tokens_per_second else 0.0
        self._ttft = ttft
        self._seats = seats
        self._running: list[Generation] = []
        self._waiting: list[tuple[int, int, Generation]] = []
        self._submitted = 0
        self._news = asyncio.Event()

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, generation: Generation) -> None:
        """Queue it: lower priority values first, then by arrival."""
        self._submitted += 1
        heapq.heappush(self._waiting, (generation.priority, self._submitted, generation))
        self._news.set()

    def abort(self, generation: Generation) -> None:
        """Nobody waits for it any more."""
        if generation in self._running:
            self._running.remove(generation)
        else:
            self._waiting = [entry for entry in self._waiting if entry[2] is not generation]
            heapq.heapify(self._waiting)
        self._news.set()

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._news.clear()
            self._seat(clock())
            await self._step(clock)
            await self._until_due()

    def _seat(self, now: float) -> None:
        while self._waiting and len(self._running) < self._seats:
            generation = heapq.heappop(self._waiting)[2]
            generation.next_at = now + self._ttft
            self._running.append(generation)

    async def _step(self, clock: Callable[[], float]) -> None:
        now = clock()
        due = [generation for generation in self._running if generation.next_at <= now]
        for number, generation in enumerate(due, 1):
            self._advance(generation, now)
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if any(generation.done.done() for generation in due):
            self._running = [generation for generation in self._running if not generation.done.done()]
            self._news.set()  # a seat is free

    def _advance(self, generation: Generation, now: float) -> None:
        interval = self._interval * _SLOWNESS or _SLOW_INTERVAL_S if generation.slow else self._interval
        left = generation.tokens - generation.written
        count = min(left, 1 + int((now - generation.next_at) / interval)) if interval else left
        if generation.first_token_at is None:
            generation.first_token_at = now
        first, generation.written = generation.written, generation.written + count
        generation.next_at += count * interval
        generation.emit(first, generation.written)
        if generation.written >= generation.tokens and not generation.done.done():
            generation.done.set_result(None)

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._running:
            await self._news.wait()
            return
        soonest = min(generation.next_at for generation in self._running)
        timer = loop.call_at(max(soonest, loop.time() + _STEP_S), self._news.set)
        await self._news.wait()
        timer.cancel()
