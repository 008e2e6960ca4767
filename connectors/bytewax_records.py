"""The items of somebody's dataflow as records: which source each is of, and which task takes it.

    b'{"host": …}' · "a line" · {"host": …}    a value of the only source
    ("auth", value)                            a value of the source that the file calls `auth`
    a message of Kafka                         by its topic, with its key, timestamp and headers

A task has all records of its keys, in the order in which the flow hands them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import orjson

from penstock.operators.error import Misused
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Headers, Record
from penstock.operators.source import Source

WHERE = "an item of the stream"
ITEMS = "bytes, str, a mapping, (name of a source, one of these), or a message of Kafka"


class Message(Protocol):
    """What is looked at of a message of Kafka. `KafkaSourceMessage` is one: its timestamp is a pair, a kind and milliseconds."""

    @property
    def topic(self) -> str | None: ...
    @property
    def key(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @property
    def timestamp(self) -> int | tuple[int, int] | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


Value = bytes | str | Mapping[str, Any] | None
Item = Value | tuple[str, Value] | Message


class _Named(NamedTuple):
    """Of which source an item is, and what a record has besides its coordinates. No timestamp: it came just now."""

    source: Source
    value: Any
    key: Any = None
    timestamp: int | tuple[int, int] | None = None
    headers: Headers = ()


class Routing:
    """Makes a record of every item. Its partition is the task that takes it; tasks number their records themselves."""

    def __init__(self, plan: Plan, partitions: int, now: Callable[[], int]) -> None:
        self._sources, self._partitions, self._now = plan.sources, partitions, now
        self._by_name = {source.name: source for source in plan.sources}
        self._by_topic = {source.topic: source for source in plan.sources}

    def __call__(self, items: Sequence[Item]) -> Iterator[tuple[str, Record]]:
        """Each with the name of its task. Raises Misused for what is no record of the file's sources."""
        now = self._now()
        for item in items:
            named = self._named(item)
            record = _record(named, now)
            partition = self._partition_of(record, named.source)
            yield str(partition), replace(record, partition=partition) if partition else record

    def _named(self, item: Any) -> _Named:
        match item:
            case None | bytes() | str() | Mapping():
                return _Named(self._only(), item)
            case (str(name), value):
                return _Named(_among(self._by_name, name, "source"), value)
        if not hasattr(item, "value") or not hasattr(item, "topic"):
            raise Misused(f"it is of type {type(item).__name__}", where=WHERE, remedy=f"a record is {ITEMS}")
        source = self._only() if item.topic is None else _among(self._by_topic, item.topic, "source with the topic")
        return _Named(source, item.value, item.key, item.timestamp, tuple(item.headers))

    def _only(self) -> Source:
        if len(self._sources) > 1:
            names = ", ".join(self._by_name)
            raise Misused("whose is it?", where=WHERE, remedy=f"give (name of the source, value); sources: {names}")
        return self._sources[0]

    def _partition_of(self, record: Record, source: Source) -> int:
        """By a hash that is the same in every process; what has no key is the first task's."""
        if self._partitions == 1:
            return 0
        read = source.decode(record)
        return 0 if isinstance(read, DeadLetter) else crc32(read[0].encode()) % self._partitions


def _record(named: _Named, now: int) -> Record:
    timestamp = named.timestamp[1] if isinstance(named.timestamp, tuple) else named.timestamp
    at = now if timestamp is None else timestamp
    return Record(named.source.topic, 0, 0, at, _as_bytes(named.key), _as_bytes(named.value), named.headers)


def _among(sources: Mapping[str, Source], name: str, what: str) -> Source:
    if name not in sources:
        remedy = f"name one of: {', '.join(sources)}; of a keyed stream give the values, as `op.key_rm` does"
        raise Misused(f"there is no {what} {name!r}", where=WHERE, remedy=remedy)
    return sources[name]


def _as_bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise Misused(f"it cannot be written as JSON: {error}", where=WHERE, remedy="give its bytes") from error
