"""A process that commits once, is killed inside its next transaction, and says when it got there."""

from __future__ import annotations

import asyncio
import sys

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Layout, TaskId
from penstock.operators.record import Output
from penstock.state.delta import Delta, Header


async def main(bootstrap: str, name: str) -> None:
    results = f"{name}.p.results"
    layout = Layout(name, "p", {f"{name}.in": "earliest"}, frozenset({results}), f"{name}.p.previews")
    broker = KafkaBroker(layout, KafkaSettings(bootstrap=bootstrap))
    await broker.start()
    log = await broker.open(TaskId("main", 0))
    assert [entry async for entry in log.restored()] == []
    positions = await log.begin({})
    kept = Output("a/1", results, b"k", b"kept")
    header = Header(seq=0, incarnation=log.incarnation, kind="opened", positions=positions)
    await log.commit(Delta(header=header, outputs=[kept]), [kept])
    producer = log._writer._producer
    await producer.begin_transaction()
    await (await producer.send(layout.log, b"torn", b"delta", 0, headers=[]))
    await (await producer.send(results, b"torn", b"k", 0, headers=[]))
    print("inside", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
