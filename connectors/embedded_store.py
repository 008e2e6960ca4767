"""What the embedded brokers need from the place where their topics lie: a memory, or a file.

`EmbeddedLog` and `EmbeddedBroker` keep the promises of the port on top of this; a store only keeps records, epochs and
seats. Offsets count from 0 in each partition and are never given twice; gaps are normal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple, Protocol

from penstock.connectors.membership import Seats, Terms
from penstock.operators.error import Unreachable
from penstock.operators.record import Headers, Record


class Bounds(NamedTuple):
    """Offsets of one partition: the first record still there, the end of what is decided, the end."""

    start: int
    stable: int
    end: int


class Page(NamedTuple):
    """What one read brought. `next` is where to read on: beyond gaps, and at the end if there was nothing more."""

    records: list[Record]
    next: int
    bounds: Bounds


class Write(NamedTuple):
    """A record to be appended."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


class Fence(NamedTuple):
    """The right to commit for a task, until somebody else takes it."""

    task: str
    epoch: int


class Trim(NamedTuple):
    """Delete what lies before this offset."""

    topic: str
    partition: int
    before: int


class Marks(NamedTuple):
    """What an input remembers, by name: how far it has read, or what it was sent already. Put down, and struck out."""

    put: Mapping[str, bytes] = MappingProxyType({})
    drop: Collection[str] = ()


class News:
    """Tells those who wait that something changed. Read `version` first, then look, then wait: no news is missed."""

    def __init__(self) -> None:
        self.version = 0
        self._changed = asyncio.Event()

    def publish(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, known: int, seconds: float) -> None:
        """Until `version` is another than `known`, at most so long."""
        if self.version == known and seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()


class Store(Protocol):
    """Every method may raise Unreachable, and StateRefused where going on would damage something."""

    records: News
    seats: News

    async def partitions(self, topic: str) -> int | None:
        """None: there is no such topic."""
        ...

    async def create_topic(self, topic: str, partitions: int) -> None:
        """Nothing happens if it is there already; another number of partitions is refused (Unreachable)."""
        ...

    async def read(self, topic: str, partition: int, start: int, limit: int, *, committed: bool = True) -> Page:
        """At most `limit` records from offset `start` on, fewer if they are large; 0: only the bounds."""
        ...

    async def first_since(self, topic: str, partition: int, timestamp: int) -> int:
        """Offset of the first record with this timestamp or a later one, else the end."""
        ...

    async def fence(self, task: str) -> Fence:
        """Take the task: every older fence of it is void from now on, and what was left undecided is undone."""
        ...

    async def commit(
        self, fence: Fence, writes: Sequence[Write], trim: Trim | None = None, marks: Marks | None = None
    ) -> list[int]:
        """All or nothing; the offset of each write. Raises Fenced, Indefinite."""
        ...

    async def marks(self, task: str) -> dict[str, bytes]:
        """All marks that commits of this task have put down, in the order of their names."""
        ...

    async def append(self, write: Write, *, durable: bool = True) -> int:
        """A plain write, outside of any task. One that is not durable may be lost when the machine stops."""
        ...

    async def attend(self, group: str, member: str, partitions: int, terms: Terms) -> Seats:
        """Say that `member` is alive, settle the seats, and see them."""
        ...

    async def give_up(self, group: str, member: str, partition: int | None = None) -> None:
        """Leave one seat to its heir; None: leave the group."""
        ...

    async def close(self) -> None:
        """Never raises."""
        ...


def no_such_partition(topic: str, partition: int) -> Unreachable:
    return Unreachable(
        "there is no such topic or partition",
        where=f"{topic}/{partition}",
        remedy="create it, or correct its name in the file",
    )


def other_partitions(topic: str, found: int, wanted: int) -> Unreachable:
    return Unreachable(
        f"the topic has {found} partitions, not {wanted}",
        where=topic,
        remedy="the number of partitions is for ever: choose another topic, or another name for the pipeline",
    )
