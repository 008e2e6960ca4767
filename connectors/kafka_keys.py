"""Do the writers of all inputs put one key on one partition? (protocol rule 7)

Java's clients and aiokafka hash keys with murmur2, librdkafka's with CRC32. Two inputs that differ tear one key over two
tasks, and everything seems to work. So the first keys of every input are looked at before anything is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from zlib import crc32

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_port import Clients, Reader
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.partition import partition_of
from penstock.connectors.port import WallClock
from penstock.operators.error import Unreachable

Sample = tuple[bytes, int]
"""A key and the partition that it was found on."""
KEYS_PER_PARTITION = 50
SAMPLE_BYTES = 16 << 10
SAMPLE_SECONDS_MAX = 3.0
READ_MS = 200


def _librdkafka(key: bytes, partitions: int) -> int:
    return crc32(key) % partitions


PARTITIONERS: Mapping[str, Callable[[bytes, int], int]] = {"murmur2": partition_of, "CRC32": _librdkafka}


def fitting(samples: Sequence[Sample], partitions: int) -> frozenset[str]:
    """The partitioners that could have put every key where it was found."""
    return frozenset(
        name
        for name, partition in PARTITIONERS.items()
        if all(partition(key, partitions) == found for key, found in samples)
    )


def judge(samples: Mapping[str, Sequence[Sample]], partitions: int, rekeyed: Iterable[str] = ()) -> list[str]:
    """Warnings, one per input whose keys fit neither. Raises Unreachable for two inputs that disagree.

    What comes from the topics `rekeyed` is partitioned by us, as Java's clients do it.
    """
    fits = {topic: fitting(keys, partitions) for topic, keys in sorted(samples.items())}
    known = [(topic, names) for topic, names in fits.items() if names]
    known += [(f"{topic}, which is rekeyed,", frozenset({"murmur2"})) for topic in rekeyed]
    for topic, names in known:
        for other, others in known:
            if not names & others:
                raise Unreachable(
                    f"{topic} is partitioned by {_one(names)}, but {other} by {_one(others)}: "
                    "one key would be torn over two tasks",
                    remedy="write both with one partitioner (librdkafka: partitioner=murmur2_random), or set `rekey: true` for "
                    "the source of one",
                )
    return [
        f"the keys of {topic} are partitioned neither by murmur2 nor by CRC32; make sure that "
        "all inputs are partitioned alike, or set `rekey: true` for its source"
        for topic, names in fits.items()
        if not names
    ]


def _one(names: frozenset[str]) -> str:
    return "/".join(sorted(names))


async def check_keys(
    clients: Clients, clock: WallClock, topics: Sequence[str], partitions: int, rekeyed: Iterable[str] = ()
) -> list[str]:
    """Looks at the first records of every input. Returns warnings; raises Unreachable."""
    if partitions == 1:
        return []
    reader = clients.reader(committed=False, partition_bytes=SAMPLE_BYTES)
    try:
        await reader.start()
        samples = await _sample(
            reader, clock, [TopicPartition(topic, p) for topic in topics for p in range(partitions)]
        )
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, "looking at the keys of the inputs") from error
    finally:
        await stop_within(2, reader.stop)
    return judge(samples, partitions, rekeyed)


async def _sample(reader: Reader, clock: WallClock, wanted: Sequence[TopicPartition]) -> dict[str, list[Sample]]:
    """Keys of the first records of every partition that has any; those that do not come in time are left out."""
    samples: dict[str, list[Sample]] = {each.topic: [] for each in wanted}
    starts, ends = await reader.beginning_offsets(wanted), await reader.end_offsets(wanted)
    silent = [each for each in wanted if starts[each] < ends[each]]
    reader.assign(silent)
    for each in silent:
        reader.seek(each, starts[each])
    deadline = clock.monotonic() + SAMPLE_SECONDS_MAX
    while silent and clock.monotonic() < deadline:
        for each, records in (await reader.getmany(timeout_ms=READ_MS)).items():
            if each in silent:
                silent.remove(each)
                reader.pause(each)
                samples[each.topic] += [(raw.key, raw.partition) for raw in records[:KEYS_PER_PARTITION] if raw.key]
    return samples
