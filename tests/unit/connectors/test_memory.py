"""The memory cluster is as awkward as a real one: gaps, undecided and late transactions, members that die silently."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from tests.contract.world import TASK, next_delta, opened, output, restored

from penstock.connectors.membership import Terms
from penstock.connectors.memory import CommitStep, Late, MemoryBroker, MemoryCluster, Undecided
from penstock.connectors.port import MAIN, Asked, Assignment, Given, Layout, Limits, Taken, TaskId, Tenure
from penstock.operators.error import Fenced, Indefinite, NotOurs, Unreachable
from penstock.state.delta import Delta

LAYOUT = Layout("dev", "p", {"in": "earliest"}, frozenset({"out"}))


class SetClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def cluster_of(*script: CommitStep, partitions: int = 1) -> MemoryCluster:
    cluster = MemoryCluster(SetClock(), script)
    await cluster.create_topic("in", partitions)
    return cluster


async def broker_of(cluster: MemoryCluster, member: str = "a") -> MemoryBroker:
    broker = MemoryBroker(cluster, LAYOUT, member, terms=Terms(session=1_000, handover=100))
    await broker.start()
    return broker


async def values(broker: MemoryBroker, *, committed: bool = True) -> list[bytes | None]:
    return [raw.value async for raw in broker.read("out", 0, 0, committed=committed)]


async def test_every_transaction_leaves_a_marker_so_that_offsets_have_gaps() -> None:
    broker = await broker_of(await cluster_of())
    log = await opened(broker)
    for text in ("a", "b"):
        await log.commit(next_delta(log), [output("out", text), output("out", text)])
    assert [raw.offset async for raw in broker.read("out", 0, 0)] == [0, 1, 3, 4]


async def test_an_undecided_commit_is_seen_by_nobody_who_reads_committed_and_undone_by_the_next_opening() -> None:
    broker = await broker_of(await cluster_of(None, Undecided()))
    log = await opened(broker)
    with pytest.raises(Indefinite):
        await log.commit(next_delta(log), [output("out", "torn")])
    assert await values(broker) == []
    assert await values(broker, committed=False) == [b"torn"]
    again = await opened(broker)
    await again.commit(next_delta(again), [output("out", "whole")])
    assert await values(broker) == [b"whole"]
    assert await values(broker, committed=False) == [b"torn", b"whole"]
    deltas = [entry for entry in await restored(await broker.open(TASK)) if isinstance(entry, Delta)]
    assert [delta.header.kind for delta in deltas] == ["opened", "opened", "delta"]


async def test_an_undecided_commit_holds_back_what_others_wrote_behind_it() -> None:
    cluster = await cluster_of(None, Undecided(), partitions=2)
    await cluster.create_topic("out", 1)
    broker = await broker_of(cluster)
    first = await opened(broker)
    with pytest.raises(Indefinite):
        await first.commit(next_delta(first), [output("out", "torn")])
    second = await opened(broker, TaskId(MAIN, 1))
    await second.commit(next_delta(second), [output("out", "behind")])
    assert await values(broker) == []
    await opened(broker)
    assert await values(broker) == [b"behind"]


async def test_a_late_commit_is_decided_at_once_and_seen_after_some_reads() -> None:
    broker = await broker_of(await cluster_of(None, Late(3)))
    log = await opened(broker)
    await log.commit(next_delta(log), [output("out", "late")])
    looks = [await values(broker) for _ in range(4)]
    assert looks[0] == []
    assert looks[-1] == [b"late"]


async def test_opening_waits_until_everything_before_the_end_is_decided() -> None:
    broker = await broker_of(await cluster_of(None, Late(20)))
    log = await opened(broker)
    delta = next_delta(log)
    await log.commit(delta, [])
    assert (await restored(await broker.open(TASK)))[-1] == delta


async def test_an_answer_that_is_lost_after_the_decision_is_found_in_the_log() -> None:
    broker = await broker_of(await cluster_of(None, Late(0, lost=True)))
    log = await opened(broker)
    delta = next_delta(log)
    with pytest.raises(Indefinite):
        await log.commit(delta, [output("out", "there")])
    with pytest.raises(Indefinite):
        await log.commit(delta, [output("out", "there")])
    assert (await restored(await broker.open(TASK)))[-1] == delta
    assert await values(broker) == [b"there"]


async def test_a_fenced_log_stays_fenced() -> None:
    broker = await broker_of(await cluster_of())
    old, _ = await opened(broker), await opened(broker)
    for _ in range(2):
        with pytest.raises(Fenced):
            await old.commit(next_delta(old), [])


async def test_a_log_that_was_closed_commits_nothing() -> None:
    broker = await broker_of(await cluster_of())
    log = await opened(broker)
    await log.close()
    with pytest.raises(Indefinite):
        await log.commit(next_delta(log), [])


async def test_inputs_may_be_read_up_to_the_end_across_gaps() -> None:
    cluster = await cluster_of()
    writer = MemoryBroker(cluster, Layout("dev", "writer", {"in": "earliest"}, frozenset({"in"})), "w")
    await writer.start()
    theirs = await opened(writer)
    await theirs.commit(next_delta(theirs), [output("in", "x")])
    log = await opened(await broker_of(cluster))
    batch = await log.fetch(Limits())
    assert [raw.value for raw in batch.records["in"]] == [b"x"]
    assert (batch.progress["in"].position, batch.progress["in"].caught_up) == (2, True)


async def test_a_topic_has_one_number_of_partitions_for_ever() -> None:
    cluster = await cluster_of(partitions=2)
    await cluster.create_topic("in", 2)
    with pytest.raises(Unreachable, match="in: the topic has 2 partitions, not 3"):
        await cluster.create_topic("in", 3)


async def test_the_log_of_another_number_of_partitions_is_refused() -> None:
    cluster = await cluster_of(partitions=2)
    await cluster.create_topic("dev.p.log", 1)
    with pytest.raises(Unreachable, match=r"dev\.p\.log"):
        await broker_of(cluster)


async def test_an_output_topic_may_have_fewer_partitions() -> None:
    cluster = await cluster_of(partitions=3)
    await cluster.create_topic("out", 2)
    broker = await broker_of(cluster)
    log = await opened(broker, TaskId(MAIN, 2))
    await log.commit(next_delta(log), [output("out", "x")])
    assert await values(broker) == [b"x"]


async def test_a_preview_to_nowhere_is_lost_and_nothing_else_happens() -> None:
    broker = await broker_of(await cluster_of())
    await broker.preview(output("nowhere", "tok"), 0)


class Watcher:
    """Collects what a member is told; `heard` waits until it was told so much."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._told: list[Assignment] = []
        self._more = asyncio.Event()
        self._watching = asyncio.create_task(self._watch(broker))

    async def _watch(self, broker: MemoryBroker) -> None:
        async for assignment in broker.tasks():
            self._told.append(assignment)
            self._more.set()

    async def heard(self, count: int) -> list[Assignment]:
        while len(self._told) < count:
            self._more.clear()
            await self._more.wait()
        told, self._told = self._told, []
        return told

    async def stop(self) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])


def given(partitions: Iterable[int]) -> list[Assignment]:
    return [Given(TaskId(MAIN, partition)) for partition in partitions]


async def test_a_member_that_died_silently_is_replaced_after_the_session_time_out() -> None:
    clock = SetClock()
    cluster = MemoryCluster(clock)
    await cluster.create_topic("in", 2)
    first, second = await broker_of(cluster, "a"), await broker_of(cluster, "b")
    dying = Watcher(first)
    assert await dying.heard(2) == given([0, 1])
    await dying.stop()
    assert first.lease() == pytest.approx(0.7)
    clock.ms += 500
    living = Watcher(second)
    await asyncio.sleep(0)  # it has joined
    clock.ms += 200  # the heir waits no longer than for a beat and the hand-over
    assert await living.heard(1) == given([1])
    clock.ms += 300
    assert first.lease() == 0
    assert await living.heard(1) == given([0])
    await living.stop()


async def test_nobody_is_fenced_by_a_process_whose_lease_has_run_out() -> None:
    clock = SetClock()
    cluster = MemoryCluster(clock)
    await cluster.create_topic("in", 1)
    late, other = await broker_of(cluster, "a"), await broker_of(cluster, "b")
    watcher = Watcher(late)
    assert await watcher.heard(1) == given([0])
    assert late.tenure(TASK) == Tenure(since=1_000.0, confirmed=1_000.0)
    await watcher.stop()
    owner = await opened(other)
    clock.ms += 700
    with pytest.raises(NotOurs, match="for too long"):
        await late.open(TASK)
    await owner.commit(next_delta(owner), [])


async def test_a_task_that_was_asked_for_passes_on_when_its_log_is_closed() -> None:
    cluster = await cluster_of(partitions=2)
    first, second = await broker_of(cluster, "a"), await broker_of(cluster, "b")
    here = Watcher(first)
    assert await here.heard(2) == given([0, 1])
    log = await opened(first, TaskId(MAIN, 1))
    there = Watcher(second)
    assert await here.heard(1) == [Asked(TaskId(MAIN, 1), 0.2)]
    await log.commit(next_delta(log, kind="released"), [])
    await log.close()
    assert await there.heard(1) == given([1])
    assert await here.heard(1) == [Taken(TaskId(MAIN, 1))]
    await here.stop()
    await there.stop()
