"""Reading through aiokafka 0.14, with fetched records as small values.

aiokafka 0.14 makes a dataclass of eleven fields, with a dictionary of its own, out of every record. That is a third of what
reading costs, and two more objects per record for the garbage collector to look at.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from typing import Any
from weakref import proxy

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords

from penstock.operators.record import Headers


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """A `Raw` as it came from Kafka. It refers to nothing that could refer back: the collector need not know it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class _Batch:
    """A batch of which aiokafka takes some records and we the others: its own iterator begins only once."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._records = chain(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        return self._records


class _Batches:
    """The batches of an answer, of which the present one stays at hand."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.has_next = records.has_next
        self.present: _Batch

    def next_batch(self) -> _Batch:
        self.present = _Batch(self._records.next_batch())
        return self.present


class _SmallRecords(PartitionRecords):
    """The answer to a fetch; what is aborted or a marker is left out by aiokafka, as always."""

    def take(self, most: int) -> list[Fetched]:
        """So many, or all that are left.

        aiokafka finds the batches that count and gives the first record of each that we have not read. Those that follow it
        are taken here, at once: asking a generator for each is a tenth of what reading costs.
        """
        taken: list[Fetched] = []
        topic, partition = self._tp
        for first in self._records_iterator:
            taken.append(first)
            taken += [
                Fetched(
                    topic, partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
                )
                for record in islice(self._records.present, most - len(taken))
            ]
            self.next_fetch_offset = taken[-1].offset + 1
            if len(taken) >= most:
                break
        return taken

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Fetched:
        return Fetched(*tp, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


def _getall(fetched: Any, max_records: int | None = None) -> list[Fetched]:
    """As `FetchResult.getall`, which asks for one record after another."""
    if not fetched.check_assignment(fetched._topic_partition) or not fetched.has_more():
        return []
    most = sys.maxsize if max_records is None else max_records
    taken: list[Fetched] = fetched._partition_records.take(most)
    fetched._update_position()
    if len(taken) < most:
        fetched._partition_records = None
    return taken


class Fetches(OrderedDict[TopicPartition, Any]):
    """The fetcher's buffer by partition: what comes in is made to give small records.

    An answer stays of the very class that the fetcher asks for, and does not refer to itself: it holds megabytes.
    """

    def __setitem__(self, tp: TopicPartition, fetched: Any) -> None:
        if isinstance(fetched, FetchResult):  # else it is an error, to be raised by whoever reads
            records = fetched._partition_records
            records._records, records.__class__ = _Batches(records._records), _SmallRecords
            fetched.getall = partial(_getall, proxy(fetched))  # type: ignore[method-assign]  # on purpose
        super().__setitem__(tp, fetched)


class AiokafkaReader(AIOKafkaConsumer):
    """`Reader` of kafka_port.py: aiokafka's consumer as it is, but for what a record is made into."""

    async def start(self) -> None:
        await super().start()  # type: ignore[no-untyped-call]  # aiokafka says no types here
        assert self._fetcher is not None
        self._fetcher._records = Fetches(self._fetcher._records)
