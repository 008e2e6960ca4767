"""The partition of a key is the one that Kafka's clients choose."""

from __future__ import annotations

import aiokafka.partitioner
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.partition import murmur2, partition_of


# From Apache Kafka's own test (UtilsTest.testMurmur2), as signed 32-bit numbers.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_the_one_of_the_java_client(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.binary(max_size=64))
def test_the_hash_is_the_one_of_aiokafka(data: bytes) -> None:
    assert murmur2(data) == aiokafka.partitioner.murmur2(data) % 2**32


@given(st.binary(max_size=20), st.integers(1, 50))
def test_a_partition_is_one_of_those_that_there_are(key: bytes, partitions: int) -> None:
    expected = aiokafka.partitioner.DefaultPartitioner()(key, list(range(partitions)), [])
    assert partition_of(key, partitions) == expected
