"""What a source's input writes in an embedded broker: records, and in the same transaction how far it has read.

    marks = log.marks                          what the last commit of anybody left
    await log.write(arrivals, Marks(put={…}))  both, or neither

One process at a time has the input: opening it fences whoever had it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from penstock.connectors.embedded_store import Fence, Marks, Store, Write
from penstock.connectors.partition import partition_of
from penstock.connectors.port import WallClock
from penstock.operators.record import Headers, Raw, Record

KeyOf = Callable[[Raw], bytes | None]
"""The key that a record gets; None: it has none."""


class Arrival(NamedTuple):
    """What an input has brought: a record that has no place and no time yet. `key` is that of the sender, if there is one."""

    value: bytes
    key: bytes | None = None
    headers: Headers = ()


class InputLog:
    """The right to write what the input of one source brings. `marks` are up to date as long as nobody else opens it.

    Whatever goes wrong with a write ends it: open it again, and believe the marks.
    """

    def __init__(
        self,
        store: Store,
        clock: WallClock,
        topic: str,
        partitions: int,
        key_of: KeyOf,
        fence: Fence | None,
        marks: Mapping[str, bytes],
    ) -> None:
        self.topic, self.marks = topic, dict(marks)
        self._store, self._clock, self._partitions, self._key_of, self._fence = store, clock, partitions, key_of, fence
        self._keyless = 0
        self.written = 0
        """Records since it was opened."""

    def record(self, arrival: Arrival) -> Record:
        """The record as it would be written now, but for its place."""
        return Record(self.topic, 0, 0, self._clock.now(), arrival.key, arrival.value, arrival.headers)

    async def write(self, arrivals: Sequence[Arrival], marks: Marks | None = None) -> None:
        """All of it is durable, or none; of an input that is shared, perhaps some, and nothing is marked.

        Raises Fenced, Indefinite, Unreachable, StateRefused.
        """
        writes = [self._write(self.record(arrival)) for arrival in arrivals]
        if self._fence is None:
            await asyncio.gather(*map(self._store.append, writes))
        else:
            await self._store.commit(self._fence, writes, None, marks)
        self.written += len(writes)
        if marks is not None:
            for name in marks.drop:
                self.marks.pop(name, None)
            self.marks.update(marks.put)

    def _write(self, record: Record) -> Write:
        """Equal keys meet in one partition; records without one go round."""
        key = self._key_of(record)
        if key is None:
            self._keyless += 1
            partition = self._keyless % self._partitions
        else:
            partition = partition_of(key, self._partitions)
        return Write(self.topic, partition, key, record.value, record.headers, record.timestamp)
