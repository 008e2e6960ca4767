"""The right to write for one task: its transactional id. Whoever takes it fences everybody who took it before.

It is taken when a task is opened (protocol rule 1), and again whenever something of an epoch may still be under way
(rule 4): the broker refuses late copies that come with an older epoch.
"""

from __future__ import annotations

from collections.abc import Callable

from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_error import reached
from penstock.connectors.kafka_inputs import read
from penstock.connectors.kafka_port import Clients, Reader, TransactionalProducer
from penstock.connectors.kafka_stop import stop_within
from penstock.operators.error import Fenced, Indefinite
from penstock.state.codec import Joiner
from penstock.state.delta import Delta, Header

CLOSE_SECONDS = 5.0
TAIL_RECORDS = 16
"""The last delta of a released task seldom takes more than one, and the marker of its transaction."""


class Fence:
    """The transactional id of one task. `check` raises NotOurs when the task is, or may be, somebody else's (rule 9)."""

    def __init__(self, clients: Clients, transactional_id: str, batch_bytes: int, check: Callable[[], None]) -> None:
        self._clients, self._id, self._batch_bytes, self._check = clients, transactional_id, batch_bytes, check

    async def take(self) -> TransactionalProducer:
        """A producer whose epoch is the newest. Raises NotOurs, Unreachable."""
        self._check()
        producer = self._clients.transactional(self._id, self._batch_bytes)
        try:
            await reached(self._clients, producer.start(), f"opening task {self._id}")
            self._check()
        except BaseException:
            await stop_within(CLOSE_SECONDS, producer.abandon)
            raise
        return producer


async def last_header(reader: Reader, log: TopicPartition, start: int, end: int) -> Header | None:
    """That of the last whole delta between two offsets of a log; None where there is none."""
    joiner, last = Joiner(), None
    async for raw in read(reader, log, start, end):
        joined = joiner.add(raw)
        if joined is not None and isinstance(joined.entry, Delta):
            last = joined.entry.header
    return last


class Tail:
    """The end of a task's log, as somebody sees it who has not taken the fence: nobody is fenced by looking.

    Of what is not decided yet nothing is seen.
    """

    def __init__(self, reader: Reader, log: TopicPartition) -> None:
        self._reader, self._log = reader, log
        self._end, self._released = -1, False

    async def is_released(self) -> bool:
        """Whether nobody works on the task: it was marked by its last owner, or there was none. Reads only what is new."""
        end = (await self._reader.end_offsets([self._log]))[self._log]
        if end != self._end:
            self._end, self._released = end, end == 0 or await self._is_marked(end)
        return self._released

    async def _is_marked(self, end: int) -> bool:
        start = (await self._reader.beginning_offsets([self._log]))[self._log]
        try:
            last = await last_header(self._reader, self._log, max(start, end - TAIL_RECORDS), end)
        except OffsetOutOfRangeError:  # somebody trims it meanwhile, and so is at work
            return False
        return last is not None and last.kind == "released"


async def check_tail(clients: Clients, ends: Reader, log: TopicPartition, ours: Header, offset: int) -> None:
    """The fence was just taken anew: that our last commit, which begins at `offset`, ends the log.

    Our own taking may have come late and fenced the rightful owner, who has read the log before it or even written to it.
    Raises Fenced, Indefinite, Unreachable.
    """
    where = f"{log.topic}/{log.partition}"
    end = (await reached(clients, ends.end_offsets([log]), f"looking at {where}"))[log]
    reader = clients.reader()
    try:
        await reached(clients, reader.start(), "connecting")
        last = await reached(clients, last_header(reader, log, offset, end), f"reading {where}")
    finally:
        await stop_within(CLOSE_SECONDS, reader.stop)
    if last is None or last.seq < ours.seq:
        raise Indefinite(f"the log does not hold seq {ours.seq}, whose commit was answered", where=where)
    if (last.seq, last.incarnation) != (ours.seq, ours.incarnation):
        raise Fenced(f"{last.owner or 'somebody'} has opened the task, and written seq {last.seq}", where=where)
