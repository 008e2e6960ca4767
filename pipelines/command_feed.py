"""`penstock feed`: write a recording, or the demo's generated lines, to the topic of a source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from datetime import datetime as DateTime
from itertools import chain, islice
from pathlib import Path

import typer

from penstock.connectors.clock import MachineClock
from penstock.connectors.port import Broker
from penstock.operators.error import Rejected
from penstock.operators.record import DeadLetter, Raw, Record
from penstock.operators.source import Source
from penstock.pipelines.brokers import Wanted, make_missing_sources, member_name, open_broker
from penstock.pipelines.generator import SshdLog
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.recording import as_records, key_of, recorded_at, recorded_values
from penstock.pipelines.samples import source_of

AT_ONCE = 500
"""So many writes are under way together: a disk or a broker is waited for once for all of them."""


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """`input`: a recording; None: `hours` of generated lines of sshd that end now."""

    input: Path | None
    source: str | None
    broker: str
    hours: float
    seed: int


def feed(loaded: Loaded, options: FeedOptions) -> None:
    """Says how many records were written. Raises Rejected where there is nothing to read, Unreachable as a broker does.

    Only an embedded broker gets the topic where it is missing, and says so.
    """
    spec, pipeline = usable(loaded)
    source = source_of(pipeline.plan, options.source)
    records = _records(source, options)
    broker = open_broker(options.broker, Wanted(pipeline.layout, spec.kafka, member_name()))
    count = asyncio.run(_feed(broker, source, records))
    typer.echo(f"wrote {count} records to {source.topic}")


async def _feed(broker: Broker, source: Source, records: Iterator[Raw]) -> int:
    try:
        for topic in await make_missing_sources(broker, [source.topic]):
            typer.echo(f"created topic {topic}", err=True)
        await broker.connect(source.topic)
        return await write_all(broker, source, records)
    finally:
        await broker.close()


async def write_all(broker: Broker, source: Source, records: Iterator[Raw]) -> int:
    """How many records were written, in their order, each with the key that a producer would give it."""
    key, count = key_of(source), 0
    while some := list(islice(records, AT_ONCE)):
        await asyncio.gather(*(broker.produce(source.topic, key(raw), raw.value, raw.timestamp) for raw in some))
        count += len(some)
    return count


def generated(source: Source, seed: int, hours: float, *, end: DateTime | None = None) -> Iterator[Record]:
    """Lines of sshd; `end` is when the last hour of them is over, None for the generator's own day."""
    log = SshdLog(seed, hours) if end is None else SshdLog(seed, hours, start=end - timedelta(hours=hours))
    return (
        Record(source.topic, 0, offset, line.time, None, line.text.encode()) for offset, line in enumerate(log.lines())
    )


def recorded(source: Source, path: Path) -> Iterator[Record]:
    """Raises Rejected, before the first record is asked for, where there is no such file."""
    return as_records(source, recorded_values(path), recorded_at(source, path))


def _records(source: Source, options: FeedOptions) -> Iterator[Raw]:
    if options.input is not None:
        return recorded(source, options.input)
    now = DateTime.fromtimestamp(MachineClock().now() // 1000, UTC)
    lines = generated(source, options.seed, options.hours, end=now)
    first = next(lines)
    if isinstance(source.decode(first), DeadLetter):
        raise Rejected(
            "it cannot read the generated lines of sshd",
            where=f"source {source.name}",
            remedy="name a recording for it with --input",
        )
    return chain([first], lines)
