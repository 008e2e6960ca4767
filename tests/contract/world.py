"""What the contract suite needs of a transport, and the few steps that every test of it takes.

A broker joins the suite by one class that keeps `World` and one fixture in `conftest.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from penstock.connectors.port import MAIN, Broker, Committed, Layout, Limits, Start, TaskId, TaskLog
from penstock.operators.record import Output, Raw
from penstock.state.delta import Bucket, Delta, Entry, EntryKind, Header, Position

TASK = TaskId(MAIN, 0)


class World(Protocol):
    """A transport for one test. Its brokers are closed when the test ends.

    `name` is unique to the test and begins the names of its topics. A broker need not be given a task to open it, takes
    no record of more than 1 MiB, and trims its log without waiting for more.
    """

    kind: str
    name: str

    async def create_topic(self, topic: str, partitions: int) -> None: ...

    def broker(self, layout: Layout, member: str = "a") -> Broker:
        """Not started yet. `member`: one process of the pipeline."""
        ...


def layout_of(world: World, *inputs: str, start: Start = "earliest") -> Layout:
    """Inputs `<name>.<input>`, outputs `results` and `partials`, previews."""
    prefix = f"{world.name}.p"
    return Layout(
        namespace=world.name,
        name="p",
        inputs={f"{world.name}.{each}": start for each in inputs or ("in",)},
        outputs=frozenset({f"{prefix}.results", f"{prefix}.partials"}),
        previews=f"{prefix}.previews",
    )


def topic_of(world: World, name: str = "in") -> str:
    return f"{world.name}.{name}"


def results_of(world: World) -> str:
    return f"{world.name}.p.results"


async def started(world: World, layout: Layout | None = None, member: str = "a", partitions: int = 1) -> Broker:
    """A broker that is ready; the sources of its layout are made if they are missing."""
    layout = layout or layout_of(world)
    for topic in layout.inputs:
        await world.create_topic(topic, partitions)
    broker = world.broker(layout, member)
    await broker.start()
    return broker


async def restored(log: TaskLog) -> list[Entry]:
    return [entry async for entry, _ in log.restored()]


async def opened(broker: Broker, task: TaskId = TASK) -> TaskLog:
    """A task that is ready to fetch and to commit, at the positions of its last delta."""
    log = await broker.open(task)
    deltas = [entry for entry in await restored(log) if isinstance(entry, Delta)]
    positions = await log.begin(deltas[-1].header.positions if deltas else {})
    await log.commit(next_delta(log, kind="opened", positions=positions), [])
    return log


def next_delta(
    log: TaskLog,
    kind: EntryKind = "delta",
    positions: Mapping[str, Position] | None = None,
    cells: Mapping[str, dict[str, Any]] | None = None,
    outputs: Sequence[Output] = (),
) -> Delta:
    header = Header(seq=log.seq + 1, incarnation=log.incarnation, kind=kind, positions=dict(positions or {}))
    return Delta(header=header, cells=dict(cells or {}), outputs=list(outputs))


def output(topic: str, text: str, key: bytes | None = b"k") -> Output:
    return Output(text, topic, key, text.encode())


async def commit(log: TaskLog, topic: str, *texts: str, buckets: Sequence[Bucket] = ()) -> Committed:
    """A delta with one output per text."""
    outputs = [output(topic, text) for text in texts]
    return await log.commit(next_delta(log, outputs=outputs), outputs, buckets)


async def fetched(log: TaskLog, count: int) -> dict[str, list[Raw]]:
    """Records per input, until there are `count` of them in all."""
    records: dict[str, list[Raw]] = {}
    while sum(map(len, records.values())) < count:
        for topic, found in (await log.fetch(Limits(wait=0.2))).records.items():
            records.setdefault(topic, []).extend(found)
    return records


async def values_of(broker: Broker, topic: str, count: int, partition: int = 0) -> list[bytes | None]:
    """What a committed reader sees, as soon as there are at least so many: visibility may follow a commit."""
    while True:
        values = [raw.value async for raw in broker.read(topic, partition, 0)]
        if len(values) >= count:
            return values
