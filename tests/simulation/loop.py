"""A deterministic event loop in which simulated processes live: virtual time, no threads, no selector, no chance.

    process a   ─●──●────────────●──●───            every callback belongs to the process in whose context it was scheduled
    process b   ──●───●▌stopped▐●●──●───            SIGSTOP parks callbacks and timers, SIGCONT runs what fell due meanwhile
    process c   ───●─────●✗                         SIGKILL: nothing of it ever runs again, no `finally` and no callback

Time moves only when nobody can run, and then to the next timer. A run is a function of what it is given: asyncio's own
tasks and futures work on it, and hash sets of tasks are ordered by their numbers, not by their addresses.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from heapq import heapify, heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple
from weakref import WeakSet

import msgspec
from tests.virtual_time import BEGINNING_MS

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

if TYPE_CHECKING:
    _AnyLoop = (
        asyncio.SelectorEventLoop
    )  # a loop without sockets, threads and signals lacks what the abstract one declares
else:
    _AnyLoop = asyncio.AbstractEventLoop

BEGINNING_SECONDS = 1_000.0
TURN_SECONDS = 1e-6
"""A turn of the loop takes some time: with none at all, a wait that is too short to be told from none would never end."""
STEPS_MAX = 5_000_000
AWAITS_AT_THE_END_MAX = 100


class NothingWillHappen(Exception):
    """Everybody waits, and no timer is set."""


class RunsAway(Exception):
    """More steps than any run should need."""


class Complaint(Exception):
    """asyncio has found something that nobody handles: an exception of a task or a callback that nobody looked at."""


class Process:
    """What runs in its context is stopped, continued and killed with it. `SimulatedLoop.process` makes it."""

    __slots__ = ("context", "killed", "name", "parked", "rank", "running")

    def __init__(self, name: str, rank: float = 0.0) -> None:
        """`rank` orders the processes whose timers fall due at one instant."""
        self.name, self.rank = name, rank
        self.running, self.killed = True, False
        self.parked: list[_Handle] = []
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    def __repr__(self) -> str:
        return f"<process {self.name}>"


_PROCESS: ContextVar[Process] = ContextVar("process")
OUTSIDE = Process("outside")
"""Whatever belongs to no process: the test itself, the brokers, the network. It cannot be stopped."""


def this_process() -> Process:
    return _PROCESS.get(OUTSIDE)


class _Handle(msgspec.Struct, gc=False, eq=False):
    """A callback that is due, or will be. Without a callback it is cancelled.

    So many are made that they are of C, and unknown to the collector: one that is never run has to be cancelled.
    """

    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    context: Context
    process: Process
    due_at: float

    def cancel(self) -> None:
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.due_at


class SimulatedTask(asyncio.Task[T]):
    """A task that knows its process. Its hash is a number: sets of tasks are in the same order in every run."""

    __slots__ = ("number", "process")

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], *,
        loop: SimulatedLoop, number: int, name: str | None, context: Context | None,
    ) -> None:  # fmt: skip
        self.number = number
        self.process = this_process() if context is None else context.get(_PROCESS, OUTSIDE)
        super().__init__(coroutine, loop=loop, name=name or f"task {number}", context=context)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(_AnyLoop):
    """One run. `run` may be called several times; `close` ends everything as SIGKILL would.

    `shuffle` decides once per process in which order processes come whose timers fall due at the same instant; without it
    they come in the order of setting them. `steps_max` bounds a run that never ends.
    """

    def __init__(self, shuffle: Random | None = None, steps_max: int = STEPS_MAX) -> None:
        self._now = BEGINNING_SECONDS
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, float, int, _Handle]] = []
        self._shuffle, self._steps_left = shuffle, steps_max
        self._timer_number = self._task_number = 0
        self._processes: list[Process] = []
        self._complaints: list[dict[str, Any]] = []
        self._buried: list[asyncio.Task[Any]] = []
        self._generators: WeakSet[AsyncGenerator[Any, None]] = WeakSet()
        self._running = self._closed = False

    def process(self, name: str) -> Process:
        process = Process(name, 0.0 if self._shuffle is None else self._shuffle.random())
        self._processes.append(process)
        return process

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Begin a coroutine in a process."""
        return self.create_task(coroutine, name=name or process.name, context=process.context.copy())

    def stop_process(self, process: Process) -> None:
        """SIGSTOP: nothing of it runs; what falls due, and what the network brings, waits."""
        process.running = False

    def continue_process(self, process: Process) -> None:
        """SIGCONT: everything that would have run meanwhile runs at once, in the order in which it would have."""
        if not process.killed:
            process.running = True
            self._ready.extend(process.parked)
            process.parked.clear()

    def kill_process(self, process: Process) -> None:
        """SIGKILL. To be called from outside of the process, or as the last thing that it does before it awaits."""
        process.running, process.killed = False, True
        # A coroutine that is dropped runs its `finally` blocks, so those of the dead are kept until the loop is closed.
        self._buried += [task for task in asyncio.all_tasks(self) if getattr(task, "process", None) is process]
        for handle in self._all_handles():
            if handle.process is process:
                handle.cancel()
        process.parked.clear()
        self._timers = [entry for entry in self._timers if entry[3].callback is not None]
        heapify(self._timers)

    def _all_handles(self) -> list[_Handle]:
        parked = [handle for process in self._processes for handle in process.parked]
        return [*self._ready, *parked, *(entry[3] for entry in self._timers)]

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` outside of all processes until it is done, and everything else meanwhile.

        Raises what it raises, what a callback raises, NothingWillHappen, RunsAway, Complaint.
        """
        with self._as_running_loop():
            task = self.create_task(main, name="main")
            self._work_until(task)
            return task.result()

    def _work_until(self, over: asyncio.Task[Any]) -> None:
        ready, popleft = self._ready, self._ready.popleft
        while not over.done():
            if not ready:
                self._go_on_in_time()
            self._steps_left -= len(ready)
            for _ in range(len(ready)):
                handle = popleft()
                callback = handle.callback
                if callback is None:
                    continue
                if handle.process.running:
                    handle.context.run(callback, *handle.args)
                elif not handle.process.killed:
                    handle.process.parked.append(handle)
            if self._complaints or self._steps_left < 0:
                self._fail()

    def _go_on_in_time(self) -> None:
        timers = self._timers
        while timers and timers[0][3].callback is None:
            heappop(timers)
        if not timers:
            raise NothingWillHappen(f"at {self._now:.6f}; waiting: {', '.join(self._waiting()) or 'nobody'}")
        now = self._now = max(timers[0][0], self._now + TURN_SECONDS)
        while timers and timers[0][0] <= now:
            handle = heappop(timers)[3]
            if handle.callback is not None:
                self._ready.append(handle)

    def _waiting(self) -> list[str]:
        return sorted(task.get_name() for task in asyncio.all_tasks(self))

    def _fail(self) -> None:
        if self._complaints:
            context = self._complaints[0]
            raise Complaint(f"{context.get('message')}: {context!r}") from context.get("exception")
        raise RunsAway(f"at {self._now:.6f}; at work: {', '.join(self._waiting())}")

    @contextmanager
    def _as_running_loop(self) -> Iterator[None]:
        """Garbage is not collected meanwhile: when that happens depends on what ran before, and it may run code."""
        hooks, collecting = sys.get_asyncgen_hooks(), gc.isenabled()
        gc.disable()
        sys.set_asyncgen_hooks(self._generators.add, self._finalize)
        asyncio._set_running_loop(self)
        self._running = True
        try:
            yield
        finally:
            self._running = False
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            if collecting:
                gc.enable()

    def _finalize(self, generator: AsyncGenerator[Any, None]) -> None:
        if not self._closed and not this_process().killed:
            self.create_task(generator.aclose())

    def close(self) -> None:
        """Drop whoever still waits. Their `finally` blocks run now, when nothing they do has any effect."""
        self._closed = True
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        asyncio._set_running_loop(self)  # else what they begin would begin in another loop
        try:
            waiting = asyncio.all_tasks(self)
            for task in waiting:
                _end(task.get_coro())
            for generator in list(self._generators):
                _end(generator.aclose())
            for handle in self._all_handles():
                handle.cancel()
            self._ready.clear()
            self._timers.clear()
            self._buried.clear()
            del waiting
            gc.collect()
        finally:
            asyncio._set_running_loop(None)
            sys.unraisablehook = hook

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        if context is None:
            context = copy_context()
        handle: Any = _Handle(callback, args, context, context.get(_PROCESS, OUTSIDE), 0.0)
        if self._closed:
            handle.cancel()
        else:
            self._ready.append(handle)
        return handle  # type: ignore[no-any-return]  # it does what asyncio wants of its own handles

    def call_later(
        self, delay: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if context is None:
            context = copy_context()
        process = context.get(_PROCESS, OUTSIDE)
        handle: Any = _Handle(callback, args, context, process, when)
        if self._closed:
            handle.cancel()
        else:
            self._timer_number += 1
            heappush(self._timers, (when, process.rank, self._timer_number, handle))
        return handle  # type: ignore[no-any-return]  # as above

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        if self._closed:
            coro.close()
            raise RuntimeError("the loop is closed")
        assert isinstance(coro, Coroutine), "generators are no tasks any more"
        self._task_number += 1
        name = None if name is None else str(name)
        return SimulatedTask(coro, loop=self, number=self._task_number, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        process = getattr(task, "process", OUTSIDE)
        if not self._closed and not process.killed:
            self._complaints.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed


def _end(coroutine: Any) -> None:
    """Close it, however often it awaits something in its `finally` blocks."""
    for _ in range(AWAITS_AT_THE_END_MAX):
        try:
            coroutine.close()
        except Exception:  # noqa: BLE001 - nothing that it does counts any more
            continue
        return


class SimulatedClock:
    """`WallClock` of the processes of one loop. `ahead_ms`: by how much a machine's clock is wrong."""

    def __init__(self, loop: SimulatedLoop, ahead_ms: int = 0) -> None:
        self._loop, self._beginning = loop, BEGINNING_MS + ahead_ms

    def now(self) -> int:
        return self._beginning + int((self._loop._now - BEGINNING_SECONDS) * 1000)

    def monotonic(self) -> float:
        return self._loop._now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
