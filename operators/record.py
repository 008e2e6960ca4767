"""The frozen values that cross stages: what comes in, what goes out, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, final

import msgspec

Headers = tuple[tuple[str, bytes], ...]


class Raw(Protocol):
    """A record as a transport hands it over. `aiokafka.ConsumerRecord` is one as it is: no copy on the hot path."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Record:
    """A `Raw` of our own: memory, SQLite, files and tests."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Output(msgspec.Struct, frozen=True, array_like=True):
    """A record to be written to partition `p` of `topic` by task `p`.

    `id` is unique per topic and derives from its cause: `<run>/<rev>`, or the coordinates of a dead record. `spread`, of what
    stage 1 of a rekeyed source writes: to the partition of its key, or to all; whoever reads it knows what came before.
    """

    id: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    spread: Literal["key", "all"] | None = None


@final
class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A record that cannot be used, and why. `reason` is a code (`undecodable`, `keyless`, …), `detail` a sentence.

    Ask `type(…) is DeadLetter` once per record: `isinstance` takes 0.1 µs for a class with a metaclass.
    """

    reason: str
    detail: str


def coordinates(raw: Raw) -> str:
    """`topic/partition@offset`, the way every message of Penstock names a record."""
    return f"{raw.topic}/{raw.partition}@{raw.offset}"
