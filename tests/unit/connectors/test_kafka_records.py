"""What aiokafka fetched, handed over as small values: the same records as it would make itself."""

from __future__ import annotations

import struct
import weakref
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult, PartitionRecords
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_records import Fetched, Fetches

PARTITION = TopicPartition("auth", 3)
RECORDS = [(b"k", b"v", [("h", b"1"), ("h", b"2")]), (None, b"v", []), (b"k", None, [("none", None)])]
CONTROL_BIT, ATTRIBUTES_AT = 0x20, 22
ABORT = struct.pack(">hh", 0, 0)


def batch(offset: int, producer: int, records: list[Any], *, control: bool = False) -> bytes:
    """As it lies in a partition from `offset` on."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, 0, 1 << 20)
    for number, (key, value, headers) in enumerate(records):
        builder.append(number, 1_000 + number, key, value, headers)
    data = bytearray(builder.build())
    data[0:8] = struct.pack(">q", offset)
    data[ATTRIBUTES_AT] |= CONTROL_BIT if control else 0
    return bytes(data)


class Assigned:
    """A partition that is read; `position` is where `Fetches` says that it was read to."""

    active = True

    def __init__(self, position: int) -> None:
        self.position, self.paused = position, False

    def state_value(self, _: TopicPartition) -> Assigned:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def answer(data: bytes, assigned: Assigned, aborted: list[tuple[int, int]] | None = None) -> FetchResult:
    records = PartitionRecords(
        PARTITION, MemoryRecords(data), aborted, assigned.position, None, None, False, READ_COMMITTED
    )
    return FetchResult(PARTITION, assignment=assigned, partition_records=records, backoff=0)


def buffered(fetched: Any) -> Any:
    fetches = Fetches()
    fetches[PARTITION] = fetched
    return fetches[PARTITION]


def test_a_small_record_says_what_aiokafkas_own_says() -> None:
    data = batch(40, 7, RECORDS)
    own = answer(data, Assigned(40)).getall()
    fetched = buffered(answer(data, Assigned(40)))
    small = fetched.getall()
    assert len(small) == len(RECORDS)
    for one, other in zip(small, own, strict=True):
        assert type(one) is Fetched
        assert {field: getattr(other, field) for field in Fetched.__struct_fields__} == {
            field: getattr(one, field) for field in Fetched.__struct_fields__
        }


def test_aborted_records_and_markers_are_left_out_and_the_position_passes_them() -> None:
    data = batch(0, 7, RECORDS) + batch(3, 7, [(ABORT, b"\0" * 6, [])], control=True) + batch(4, 8, RECORDS[:1])
    assigned = Assigned(0)
    fetched = buffered(answer(data, assigned, [(7, 0)]))
    assert [raw.offset for raw in fetched.getall()] == [4]
    assert assigned.position == 5


def test_an_answer_is_handed_over_in_portions() -> None:
    assigned = Assigned(0)
    fetched = buffered(answer(batch(0, 7, RECORDS), assigned))
    assert [raw.offset for raw in fetched.getall(2)] == [0, 1]
    assert (assigned.position, fetched.has_more()) == (2, True)
    assert [raw.offset for raw in fetched.getall(2)] == [2]
    assert (assigned.position, fetched.has_more()) == (3, False)


def test_an_answer_that_begins_before_our_position_is_read_from_there_on() -> None:
    assigned = Assigned(1)
    fetched = buffered(answer(batch(0, 7, RECORDS) + batch(3, 7, RECORDS), assigned))
    assert [raw.offset for raw in fetched.getall(3)] == [1, 2, 3]
    assert [raw.offset for raw in fetched.getall(3)] == [4, 5]
    assert (assigned.position, fetched.has_more()) == (6, False)


def test_an_answer_stays_what_the_fetcher_asks_for_and_goes_with_its_last_reference() -> None:
    fetched = buffered(answer(batch(0, 7, RECORDS), Assigned(0)))
    assert type(fetched) is FetchResult
    gone = weakref.ref(fetched)
    del fetched
    assert gone() is None


def test_a_batch_of_an_old_format_is_read_once() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    for number in range(4):
        builder.append(number, 1_000 + number, b"k", b"v")
    fetched = buffered(answer(bytes(builder.build()), Assigned(0)))
    assert [raw.offset for raw in fetched.getall(3)] == [0, 1, 2]
    assert [raw.offset for raw in fetched.getall(3)] == [3]


def test_an_error_passes_as_it_is() -> None:
    error = FetchError(error=OffsetOutOfRangeError({PARTITION: 5}), backoff=0)
    with pytest.raises(OffsetOutOfRangeError):
        buffered(error).check_raise()
