"""Faults for tests, given as input: a broker that does what it is told to do wrong, around any real one.

    FaultyBroker(broker, commits=[None, CrashAfter()], fetches=[Silent()], opens=[Away()])

The n-th commit of this process meets the n-th element, whatever task it belongs to; so do fetches and openings. None, and
everything behind the end of a list: nothing happens. Nothing here knows a time or a probability: a failing test is
repeated by its lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from penstock.connectors.port import Assignment, Batch, Broker, Committed, Limits, Stored, TaskId, TaskLog, Tenure
from penstock.operators.error import Indefinite, Refused, Unreachable
from penstock.operators.record import Output, Raw
from penstock.state.delta import Bucket, Delta, Position


class Crash(Exception):
    """The process ends here, as if killed. What is above has to let it through and commit nothing more."""


@dataclass(frozen=True, slots=True)
class CrashBefore:
    """Crash; nothing was committed."""


@dataclass(frozen=True, slots=True)
class CrashAfter:
    """Crash; it was committed, and nobody was told."""


@dataclass(frozen=True, slots=True)
class LostBefore:
    """The commit is never decided, and its outcome unknown (Indefinite)."""


@dataclass(frozen=True, slots=True)
class LostAfter:
    """The commit is decided, and its outcome unknown (Indefinite)."""


@dataclass(frozen=True, slots=True)
class Hangs:
    """The commit is never answered, and never decided."""


@dataclass(frozen=True, slots=True)
class FencedBefore:
    """Somebody else opens the task first: the broker itself refuses the commit."""


@dataclass(frozen=True, slots=True)
class RefusedFirst:
    """The first output is refused, this once; a commit without outputs goes through."""

    reason: str = "refused by the script"


@dataclass(frozen=True, slots=True)
class Silent:
    """A fetch brings nothing, not even how far the inputs reach."""


@dataclass(frozen=True, slots=True)
class Away:
    """The broker cannot be reached."""


CommitFault = CrashBefore | CrashAfter | LostBefore | LostAfter | Hangs | FencedBefore | RefusedFirst | None
FetchFault = Silent | Away | None
OpenFault = Away | None


class FaultyBroker:
    """`Broker` around another one; everything that is not faulty goes through."""

    def __init__(
        self,
        broker: Broker,
        *,
        commits: Iterable[CommitFault] = (),
        fetches: Iterable[FetchFault] = (),
        opens: Iterable[OpenFault] = (),
    ) -> None:
        self._broker = broker
        self._commits, self._fetches, self._opens = iter(commits), iter(fetches), iter(opens)

    async def start(self) -> None:
        await self._broker.start()

    async def missing(self) -> list[str]:
        return await self._broker.missing()

    async def connect(self, topic: str) -> None:
        await self._broker.connect(topic)

    def tasks(self) -> AsyncIterator[Assignment]:
        return self._broker.tasks()

    def lease(self) -> float:
        return self._broker.lease()

    def tenure(self, task: TaskId) -> Tenure | None:
        return self._broker.tenure(task)

    def unsettled(self, tasks: int) -> float:
        return self._broker.unsettled(tasks)

    async def open(self, task: TaskId) -> TaskLog:
        if next(self._opens, None) is not None:
            raise away(task)
        return FaultyLog(self._broker, await self._broker.open(task), self._commits, self._fetches)

    async def preview(self, output: Output, partition: int) -> None:
        await self._broker.preview(output, partition)

    def read(
        self, topic: str, partition: int, start: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Raw]:
        return self._broker.read(topic, partition, start, end, committed=committed)

    def follow(self, topic: str) -> AsyncIterator[Raw]:
        return self._broker.follow(topic)

    async def produce(self, topic: str, key: bytes | None, value: bytes | None, timestamp: int | None = None) -> None:
        await self._broker.produce(topic, key, value, timestamp)

    async def close(self) -> None:
        await self._broker.close()


class FaultyLog:
    """`TaskLog` around another one; `broker` is used to fence it for real."""

    def __init__(
        self, broker: Broker, log: TaskLog, commits: Iterator[CommitFault], fetches: Iterator[FetchFault]
    ) -> None:
        self._broker, self._log, self._commits, self._fetches = broker, log, commits, fetches
        self._lost: Indefinite | None = None
        self.task = log.task

    @property
    def incarnation(self) -> int:
        return self._log.incarnation

    @property
    def seq(self) -> int:
        return self._log.seq

    def restored(self) -> AsyncIterator[Stored]:
        return self._log.restored()

    async def begin(self, positions: Mapping[str, Position]) -> dict[str, Position]:
        return await self._log.begin(positions)

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._log.skipped

    async def fetch(self, limits: Limits) -> Batch:
        match next(self._fetches, None):
            case None:
                return await self._log.fetch(limits)
            case Silent():
                return Batch({}, {})
            case Away():
                raise away(self.task)
            case fault:
                assert_never(fault)

    def pause(self, topic: str) -> None:
        self._log.pause(topic)

    def resume(self, topic: str) -> None:
        self._log.resume(topic)

    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        if self._lost is not None:
            raise self._lost
        fault = next(self._commits, None)
        await self._fail_before(fault, outputs)
        committed = await self._log.commit(delta, outputs, buckets)
        match fault:
            case CrashAfter():
                raise Crash("scripted: after a commit")
            case LostAfter():
                raise self._lose()
            case _:
                return committed

    async def _fail_before(self, fault: CommitFault, outputs: Sequence[Output]) -> None:
        match fault:
            case CrashBefore():
                raise Crash("scripted: before a commit")
            case LostBefore():
                raise self._lose()
            case Hangs():
                await asyncio.Event().wait()
            case FencedBefore():
                rival = await self._broker.open(self.task)
                await rival.close()
            case RefusedFirst(reason):
                if outputs:
                    raise Refused(outputs[0], reason)
            case CrashAfter() | LostAfter() | None:
                pass
            case _:
                assert_never(fault)

    def _lose(self) -> Indefinite:
        self._lost = Indefinite("scripted: the answer to a commit was lost", where=str(self.task))
        return self._lost

    async def close(self) -> None:
        await self._log.close()


def away(task: TaskId) -> Unreachable:
    return Unreachable("scripted: the broker is away", where=str(task))
