from __future__ import annotations
import asyncio, os, time
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from tests.kafka_world import KafkaWorld, commit, delta, fetched, declare, TASK
from penstock.connectors.kafka_topics import trim
from penstock.connectors.port import Limits
from penstock.operators.error import *
from penstock.operators.record import Output
from penstock.state.delta import Bucket, Delta, Position
from zlib import crc32
pytestmark = pytest.mark.timeout(200)

async def test_large_limit(kafka: KafkaWorld) -> None:
    await kafka.create()
    await kafka.create("p.results", settings={"max.message.bytes": "20000000"})
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    large = Output("a/1", kafka.results, b"k", bytes(9_000_000))
    with pytest.raises(Refused):
        await log.commit(delta(log, outputs=[]), [large])
    await commit(log, "fits", topic=kafka.results)

async def test_position_before_a_marker(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    p = AIOKafkaProducer(bootstrap_servers=kafka.cluster.bootstrap, transactional_id=kafka.name)
    await p.start()
    async with p.transaction():
        await p.send_and_wait(topic, b"1", b"k", 0)
    await p.stop()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    [raw] = await fetched(log, topic, 1)
    pos = Position(raw.offset + 1, raw.offset, raw.timestamp, crc32(raw.value))
    await log.commit(delta(log, positions={topic: pos}), [])
    b = await log.fetch(Limits()); print(b.progress)
    await log.close()
    await trim(broker._admin, topic, 0, -1 if False else 2)
    log, _, _ = await kafka.open(broker)

async def test_huge_delta(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    saved = delta(log, cells={"k": {"noise": os.urandom(60_000_000)}})
    t=time.time()
    await log.commit(saved, [])
    print("commit", time.time()-t); t=time.time()
    await log.close()
    log = await kafka.fence(broker)
    assert [entry async for entry in log.restored()][-1] == saved
    print("restore", time.time()-t)

async def test_paused_progress(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1")
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    await fetched(log, topic, 1)
    print((await log.fetch(Limits())).progress)
    log.pause(topic)
    await kafka.write(topic, b"2")
    await asyncio.sleep(1)
    for _ in range(3):
        b = await log.fetch(Limits()); print(b.progress, time.time()*1000)
    assert not b.progress[topic].caught_up

async def test_leaks(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1")
    broker = await kafka.broker()
    def stand():
        return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    stands = []
    for i in range(60):
        log = await broker.open(TASK)
        await declare(log)
        await log.fetch(Limits(wait=0.05))
        await log.close()
        if i % 10 == 0: stands.append(stand())
    print(stands)
    # fenced openings
    for i in range(20):
        one = await broker.open(TASK)
        two = await broker.open(TASK)
        try: await declare(one)
        except Exception as e: pass
        await one.close(); await two.close()
    print(stand())
    for i in range(30):
        t = asyncio.create_task(broker.open(TASK))
        await asyncio.sleep(0.002 * i)
        t.cancel()
        try:
            log = await t
            await log.close()
        except asyncio.CancelledError: pass
    await asyncio.sleep(1)
    print(stand())
