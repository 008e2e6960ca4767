"""Which partition a key belongs to, as Kafka's own clients decide it.

MurmurHash2 (Austin Appleby, 2008) with the seed and the sign rule of `org.apache.kafka.common.utils.Utils`. librdkafka and
Sarama have other defaults: producers that disagree tear one key over two partitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import unpack_from

from penstock.operators.record import Output

_SEED, _M = 0x9747B28C, 0x5BD1E995
_WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """32 bits, unsigned."""
    length = len(data)
    words = length // 4
    state = _SEED ^ length
    for word in unpack_from(f"<{words}I", data):
        mixed = word * _M & _WORD
        state = (state * _M & _WORD) ^ ((mixed ^ mixed >> 24) * _M & _WORD)
    if tail := data[words * 4 :]:
        state = (state ^ int.from_bytes(tail, "little")) * _M & _WORD
    state = (state ^ state >> 13) * _M & _WORD
    return state ^ state >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """What the Java client and aiokafka choose for a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def places_of(output: Output, own: int, partitions: int) -> Iterable[int]:
    """The partitions of its topic, which has so many, that a task whose own is `own` writes an output to."""
    if output.spread is None:
        return (own % partitions,)
    return range(partitions) if output.spread == "all" else (partition_of(output.key or b"", partitions),)
