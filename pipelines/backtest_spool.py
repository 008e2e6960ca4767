"""A range of a Kafka topic as a recording: read once, committed records only, in no group; then it is played as files are.

--input kafka:auth-log                                     what is there now
--input auth=kafka:auth-log@2026-11-01..2026-11-08         from the first record of that time on, up to that of the other
--input kafka:auth-log@1000..2000                          offsets, of every partition

partition 0 ─▶ 0.spool ─┐
partition 1 ─▶ 1.spool ─┴─▶ merged by timestamp, as one partition
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_read import offset_at, partitions_of, read_range
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.kafka_stop import stop_within
from penstock.operators.error import Misused
from penstock.operators.record import Headers, Raw
from penstock.operators.timestamp import instant
from penstock.pipelines.backtest_input import SPOOL, About, Block, Recording, blocks
from penstock.pipelines.brokers import member_name

AT_ONCE = 1_000
"""Records of a block."""
LENGTH_BYTES = 4
REMEDY = "write kafka:TOPIC, or kafka:TOPIC@FROM..TO with offsets or ISO times; either may be left out"
_RANGE = re.compile(r"(?:(?P<source>[A-Za-z_][\w-]*)=)?kafka:(?P<topic>[\w.-]+?)(?:@(?P<start>.*?)\.\.(?P<end>.*))?")


class Time(NamedTuple):
    """Milliseconds since the epoch."""

    ms: int


Edge = int | Time | None
"""An offset, a timestamp, or as far as there is something."""


class Range(NamedTuple):
    """Of every partition: from one edge up to another, which is not in it."""

    source: str | None
    topic: str
    start: Edge
    end: Edge


def range_of(text: str) -> Range | None:
    """As it stands on the command line; None for what is no topic. Raises Misused for edges that are none."""
    if "kafka:" not in text or Path(text).exists():
        return None
    match = _RANGE.fullmatch(text)
    if match is None:
        raise Misused(f"{text!r} is no range of a topic", where="--input", remedy=REMEDY)
    return Range(match["source"], match["topic"], _edge(text, match["start"]), _edge(text, match["end"]))


def _edge(text: str, said: str | None) -> Edge:
    if not said:
        return None
    if said.isdecimal():
        return int(said)
    time = instant(said if "T" in said else f"{said}T00:00:00")
    if time is None:
        raise Misused(f"{said!r} in {text!r} is neither an offset nor a time", where="--input", remedy=REMEDY)
    return Time(time)


def spooled(options: Sequence[str], settings: KafkaSettings, folder: Path) -> list[str]:
    """The same options, with folders of what was read in the place of topics. Raises Misused, Unreachable."""
    found = []
    for number, text in enumerate(options):
        wanted = range_of(text)
        if wanted is not None:
            place = folder / str(number)
            place.mkdir()
            asyncio.run(_spool(wanted, settings, place))
            text = str(place) if wanted.source is None else f"{wanted.source}={place}"
        found.append(text)
    return found


async def _spool(wanted: Range, settings: KafkaSettings, folder: Path) -> None:
    clients = KafkaClients(settings, member_name())
    await clients.probe()
    admin = clients.admin()
    try:
        await admin.start()
        for partition in await partitions_of(clients, admin, wanted.topic):
            start = await _offset(clients, wanted.topic, partition, wanted.start)
            end = await _offset(clients, wanted.topic, partition, wanted.end)
            with (folder / f"{partition:06}{SPOOL}").open("wb") as file:
                if start is not None or wanted.start is None:
                    reading = read_range(clients, admin, wanted.topic, partition, start or 0, end, committed=True)
                    await _write(reading, file)
    finally:
        await stop_within(2.0, admin.stop)


async def _offset(clients: KafkaClients, topic: str, partition: int, edge: Edge) -> int | None:
    """None: the end of what there is."""
    return await offset_at(clients, topic, partition, edge.ms) if isinstance(edge, Time) else edge


async def _write(records: AsyncIterator[Raw], file: IO[bytes]) -> None:
    waiting: list[Raw] = []
    async for raw in records:
        waiting.append(raw)
        if len(waiting) == AT_ONCE:
            put(waiting, file)
            waiting = []
    put(waiting, file)


class Frame(NamedTuple):
    """Records as they lie in a spool."""

    values: list[bytes | None]
    about: list[tuple[int, int, bytes | None, Headers]]


def put(records: Sequence[Raw], file: IO[bytes]) -> None:
    about = [(raw.offset, raw.timestamp, _bytes(raw.key), tuple(raw.headers)) for raw in records]
    data = msgspec.msgpack.encode(Frame([_bytes(raw.value) for raw in records], about))
    file.write(len(data).to_bytes(LENGTH_BYTES) + data)


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def all_blocks(recordings: Sequence[Recording], size: int) -> Iterator[Block]:
    """Of the files of a source, then of its topics."""
    files = [recording for recording in recordings if recording.path.suffix != SPOOL]
    yield from blocks(files, size)
    spools = [recording.path for recording in recordings if recording.path.suffix == SPOOL]
    if spools:
        yield from spooled_blocks(spools)


def spooled_blocks(files: Sequence[Path]) -> Iterator[Block]:
    """Several partitions have offsets of their own: merged they are numbered anew."""
    partitions = [_records(file) for file in files]
    if len(partitions) == 1:
        records: Iterator[tuple[bytes | None, About, int]] = partitions[0]
    else:
        together = merge(*partitions, key=lambda record: record[1].timestamp)
        records = ((value, about._replace(offset=n), size) for n, (value, about, size) in enumerate(together))
    while some := list(islice(records, AT_ONCE)):
        values, about, sizes = zip(*some, strict=True)
        yield Block(values, 0, sum(sizes), about)


def _records(path: Path) -> Iterator[tuple[bytes | None, About, int]]:
    """Each with the bytes that were read for it: those of a frame stand with its first."""
    with path.open("rb") as file:
        while head := file.read(LENGTH_BYTES):
            data = file.read(int.from_bytes(head))
            frame = msgspec.msgpack.decode(data, type=Frame)
            sizes = [len(data) + LENGTH_BYTES] + [0] * len(frame.values)
            for value, about, size in zip(frame.values, frame.about, sizes, strict=False):
                yield value, About(*about), size
