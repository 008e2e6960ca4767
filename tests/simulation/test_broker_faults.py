"""What the simulated brokers do when some of them are lost: leaders and coordinators move, nothing acknowledged goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from aiokafka.errors import KafkaError, NodeNotReadyError, RequestTimedOutError
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.clients import SimulatedClients
from tests.simulation.cluster import Cluster
from tests.simulation.conformance import commit, failure, read_to, sent
from tests.simulation.loop import SimulatedClock, SimulatedLoop, this_process
from tests.simulation.network import Chances, Network
from tests.simulation.partition_log import PartitionLog
from tests.simulation.settings import BrokerSettings, Span
from tests.simulation.transactions import State

from penstock.connectors.kafka_port import BATCH_BYTES, TransactionalProducer

PLACE = TopicPartition("t", 0)


class Corner:
    """Three brokers, a topic with one partition, and clients."""

    def __init__(self, loop: SimulatedLoop, settings: BrokerSettings, seed: int) -> None:
        self.loop, self.clock = loop, SimulatedClock(loop)
        self.cluster = Cluster(settings, Random(seed))
        self.network = Network(loop, self.cluster, Random(seed + 1))
        self.clients = SimulatedClients(self.network, "a", self.clock, 10.0)
        self.cluster.create("t")

    async def producer(self, name: str = "p") -> TransactionalProducer:
        producer = self.clients.transactional(name, BATCH_BYTES)
        await producer.start()
        return producer

    @property
    def leader(self) -> int:
        found = self.cluster.topics.find(PLACE)
        assert found is not None
        return found.leader

    async def coordinator(self, kind: str, key: str) -> int:
        answer = await self.network.link().ask(self.a_broker(), m.FindCoordinator(kind, key))  # type: ignore[arg-type]
        node: int = answer.node
        return node

    def a_broker(self) -> int:
        return next(broker for broker in self.cluster.topics.brokers if broker not in self.cluster.lost)

    async def values(self) -> list[bytes | None]:
        reader = self.clients.reader()
        await reader.start()
        end = (await reader.end_offsets([PLACE]))[PLACE]
        reader.assign([PLACE])
        reader.seek(PLACE, 0)
        values = [raw.value for raw in await read_to(reader, PLACE, end)]
        await reader.stop()
        return values

    async def settled(self) -> None:
        log = self.cluster.log("t")
        async with asyncio.timeout(30):
            while log.stable < log.end:  # noqa: ASYNC110 - the brokers tell nobody
                await asyncio.sleep(0.01)


def play(case: Callable[[Corner], Awaitable[None]], settings: BrokerSettings | None = None, seed: int = 1) -> None:
    loop = SimulatedLoop()

    async def main() -> None:
        await case(Corner(loop, settings or BrokerSettings(), seed))

    try:
        loop.run(main())
    finally:
        loop.close()


@pytest.mark.parametrize("silently", [False, True])
def test_when_a_leader_is_lost_another_broker_goes_on_with_everything_that_was_acknowledged(silently: bool) -> None:
    async def case(corner: Corner) -> None:
        # A silent broker is noticed when a request has timed out: the transaction has to outlive that.
        corner.clients = SimulatedClients(corner.network, "a", corner.clock, transaction_timeout=60.0)
        producer = await corner.producer()
        await commit(producer, "t", b"1")
        lost = corner.leader
        (corner.network.cut_off if silently else corner.network.crash)(lost)
        await commit(producer, "t", b"2")
        assert corner.leader != lost
        corner.network.restore(lost)
        await commit(producer, "t", b"3")
        await corner.settled()
        assert await corner.values() == [b"1", b"2", b"3"]

    for seed in range(8):
        play(case, seed=seed)


def test_a_new_transaction_coordinator_completes_what_its_predecessor_had_decided() -> None:
    async def case(corner: Corner) -> None:
        producer = await corner.producer()
        await commit(producer, "t", b"1")
        assert corner.cluster.transactions.state("p") is State.COMMIT_DECIDED
        assert corner.cluster.log("t").stable == 0
        corner.network.crash(await corner.coordinator("transaction", "p"))
        await corner.settled()
        assert await corner.values() == [b"1"]
        await commit(producer, "t", b"2")
        await corner.settled()
        assert await corner.values() == [b"1", b"2"]

    play(case, BrokerSettings(marker=Span(4.0, 5.0), unflushed=5.0))


def test_a_new_transaction_coordinator_knows_open_transactions_and_times_them_out() -> None:
    async def case(corner: Corner) -> None:
        producer = await corner.producer()
        await producer.begin_transaction()
        await sent(producer, "t", b"torn")
        corner.network.crash(await corner.coordinator("transaction", "p"))
        await corner.settled()
        assert corner.cluster.log("t").end == 2
        assert await corner.values() == []

    play(case)


def test_a_group_outlives_its_coordinator() -> None:
    async def case(corner: Corner) -> None:
        assigned: list[frozenset[int]] = []
        heard: list[float] = []
        member = corner.clients.member("g", "t", 6_000, corner.clock)
        await member.join(lambda partitions, _: assigned.append(partitions), heard.append)
        await asyncio.sleep(2)
        corner.network.crash(await corner.coordinator("group", "g"))
        await asyncio.sleep(10)
        assert heard[-1] > corner.clock.monotonic() - 2
        assert set(assigned) == {frozenset({0})}
        await member.leave()

    for seed in range(5):
        play(case, seed=seed)


def test_with_too_few_replicas_nothing_is_acknowledged_until_they_are_back() -> None:
    async def case(corner: Corner) -> None:
        corner.cluster.create("safe", 1, {"min.insync.replicas": "2"})
        producer = corner.clients.producer()
        await producer.start()
        await (await producer.send("safe", b"1", b"k", 0))
        lost = corner.cluster.topics.brokers[1:]
        for broker in lost:
            corner.network.crash(broker)
        await asyncio.sleep(5)
        assert isinstance(await failure(await producer.send("safe", b"2", b"k", 0)), KafkaError)
        corner.network.restore(lost[0])
        await (await producer.send("safe", b"3", b"k", 0))
        assert corner.cluster.log("safe").end == 2

    play(case)


def test_without_brokers_a_start_fails_at_once_and_what_runs_goes_on_when_they_are_back() -> None:
    async def case(corner: Corner) -> None:
        producer = await corner.producer()
        await producer.begin_transaction()
        for broker in corner.cluster.topics.brokers:
            corner.network.crash(broker)
        assert isinstance(await failure(corner.clients.reader().start()), KafkaError)
        sending = asyncio.ensure_future(sent(producer, "t", b"1"))
        await asyncio.sleep(5)
        for broker in corner.cluster.topics.brokers:
            corner.network.restore(broker)
        assert await sending == [0]
        await producer.commit_transaction()

    play(case)


def test_a_request_to_a_broker_that_is_down_never_leaves_and_one_to_a_silent_broker_times_out() -> None:
    async def case(corner: Corner) -> None:
        link = corner.network.link()
        await link.ask(1, m.Metadata(()))
        corner.network.cut_off(1)
        asked_at = corner.clock.monotonic()
        assert isinstance(await failure(link.ask(1, m.Metadata(()))), RequestTimedOutError)
        assert corner.clock.monotonic() - asked_at == pytest.approx(10, abs=0.1)
        corner.network.restore(1)
        corner.network.crash(1)
        assert isinstance(await failure(link.ask(1, m.Metadata(()), "new")), NodeNotReadyError)

    play(case)


def test_what_is_held_up_on_its_way_arrives_late_also_when_its_sender_has_given_up() -> None:
    async def case(corner: Corner) -> None:
        link, process = corner.network.link(), this_process()
        await link.ask(corner.leader, m.Metadata(()))
        corner.network.block(process, corner.leader, "out")
        batch = m.SentBatch([m.Sent(0, b"k", b"late", ())], 80)
        request = m.Produce(None, m.NO_PRODUCER, -1, {PLACE: batch})
        assert isinstance(await failure(link.ask(corner.leader, request)), RequestTimedOutError)
        assert corner.cluster.log("t").end == 0
        corner.network.unblock(process, corner.leader, "out")
        await asyncio.sleep(1)
        assert await corner.values() == [b"late"]

    play(case)


def test_whatever_the_network_does_each_record_of_a_transaction_is_written_once_and_in_order() -> None:
    async def case(corner: Corner) -> None:
        corner.network.chances = Chances(lost=0.05, unheard=0.1, late=0.1)
        done: list[bytes] = []
        for number in range(30):
            value = b"%d" % number
            while value not in done:
                producer = corner.clients.transactional("p", BATCH_BYTES)
                try:
                    async with asyncio.timeout(20):
                        await producer.start()
                        known = await corner.values()
                        if value not in known:
                            await commit(producer, "t", value)
                        done.append(value)
                except (KafkaError, TimeoutError, AssertionError):
                    pass
                finally:
                    await producer.abandon()
        corner.network.chances = None
        await corner.settled()
        assert await corner.values() == done

    for seed in range(10):
        play(case, BrokerSettings(abort_scan=1.0), seed=seed)


def test_a_power_failure_of_all_brokers_loses_what_was_not_on_a_disk_and_nothing_older() -> None:
    async def case(corner: Corner) -> None:
        producer = await corner.producer()
        for number in range(5):
            await commit(producer, "t", b"old %d" % number)
        await asyncio.sleep(10)
        for number in range(5):
            await commit(producer, "t", b"new %d" % number)
            await asyncio.sleep(0.5)
        await producer.abandon()
        corner.network.lose_power()
        for broker in corner.cluster.topics.brokers:
            corner.network.restore(broker)
        await commit(await corner.producer(), "t", b"after")  # it also ends a transaction whose marker alone was lost
        await corner.settled()
        values = await corner.values()
        kept = len(values) - 6
        assert values[:5] == [b"old %d" % number for number in range(5)]
        assert values[5:] == [*[b"new %d" % number for number in range(kept)], b"after"]
        lost.append(5 - kept)

    lost: list[int] = []
    for seed in range(12):
        play(case, seed=seed)
    assert min(lost) < max(lost)


def _log(policy: str = "compact") -> PartitionLog:
    return PartitionLog("t", 0, {"cleanup.policy": policy})


def _write(log: PartitionLog, *pairs: tuple[bytes, bytes], producer: int = -1, sequence: int = -1) -> None:
    records = [m.Sent(0, key, value, ()) for key, value in pairs]
    error, _ = log.append(m.SentBatch(records, 100, sequence), producer, 0, 0.0, transactional=producer >= 0)
    assert error is None


def test_compaction_keeps_the_newest_value_of_every_key_drops_what_was_aborted_and_moves_no_offset() -> None:
    log = _log()
    _write(log, (b"a", b"1"), (b"b", b"1"))
    _write(log, (b"a", b"2"), producer=7, sequence=0)
    log.mark(7, 0, 0, 0.0, 0, commit=False)
    _write(log, (b"b", b"3"))
    _write(log, (b"b", b"4"), producer=7, sequence=1)
    log.compact()
    found = [record for batch in log.read(0, committed=False, most=10**6) for record in batch.records]
    assert [(record.offset, record.key, record.value) for record in found] == [
        (0, b"a", b"1"), (4, b"b", b"3"), (5, b"b", b"4"),
    ]  # fmt: skip
    assert (log.end, log.stable) == (6, 5)
