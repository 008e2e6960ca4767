"""Faults come when the list says, and do what they say: to the caller, and in the log."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.world import TASK, next_delta, opened, output, restored

from penstock.connectors.clock import MachineClock
from penstock.connectors.fault import (
    Away,
    CommitFault,
    Crash,
    CrashAfter,
    CrashBefore,
    FaultyBroker,
    FencedBefore,
    Hangs,
    LostAfter,
    LostBefore,
    RefusedFirst,
    Silent,
)
from penstock.connectors.memory import MemoryBroker, MemoryCluster
from penstock.connectors.port import Layout, Limits
from penstock.operators.error import Fenced, Indefinite, Refused, Unreachable
from penstock.state.delta import Delta

LAYOUT = Layout("dev", "p", {"in": "earliest"}, frozenset({"out"}))


async def sound_broker() -> MemoryBroker:
    cluster = MemoryCluster(MachineClock())
    await cluster.create_topic("in", 1)
    broker = MemoryBroker(cluster, LAYOUT, "a")
    await broker.start()
    return broker


@pytest.mark.parametrize(
    ("fault", "error", "is_committed"),
    [
        (CrashBefore(), Crash, False),
        (CrashAfter(), Crash, True),
        (LostBefore(), Indefinite, False),
        (LostAfter(), Indefinite, True),
        (FencedBefore(), Fenced, False),
        (RefusedFirst("too odd"), Refused, False),
        (Hangs(), TimeoutError, False),
    ],
)
async def test_a_commit_meets_its_fault(fault: CommitFault, error: type[Exception], is_committed: bool) -> None:
    sound = await sound_broker()
    log = await opened(FaultyBroker(sound, commits=[None, fault]))
    delta = next_delta(log)
    with pytest.raises(error):
        await asyncio.wait_for(log.commit(delta, [output("out", "x")]), 0.1)
    entries = await restored(await sound.open(TASK))
    assert (delta in entries) == is_committed
    assert [raw.value async for raw in sound.read("out", 0, 0)] == [b"x"] * is_committed


async def test_what_is_refused_once_goes_through_the_second_time() -> None:
    broker = FaultyBroker(await sound_broker(), commits=[None, RefusedFirst("too odd"), None])
    log = await opened(broker)
    outputs = [output("out", "x"), output("out", "y")]
    with pytest.raises(Refused, match="too odd") as refusal:
        await log.commit(next_delta(log), outputs)
    assert refusal.value.output == outputs[0]
    await log.commit(next_delta(log), outputs)
    assert log.seq == 1


@pytest.mark.parametrize("fault", [LostBefore(), LostAfter()])
async def test_a_lost_commit_ends_the_log(fault: CommitFault) -> None:
    log = await opened(FaultyBroker(await sound_broker(), commits=[None, fault]))
    for _ in range(2):
        with pytest.raises(Indefinite):
            await log.commit(next_delta(log), [])


async def test_the_list_of_commits_goes_on_over_openings() -> None:
    broker = FaultyBroker(await sound_broker(), commits=[None, LostBefore(), None, LostBefore()])
    for _ in range(2):
        log = await opened(broker)
        with pytest.raises(Indefinite):
            await log.commit(next_delta(log), [])
    kinds = [entry.header.kind for entry in await restored(await broker.open(TASK)) if isinstance(entry, Delta)]
    assert kinds == ["opened", "opened"]


async def test_a_silent_fetch_brings_nothing_and_loses_nothing() -> None:
    broker = FaultyBroker(await sound_broker(), fetches=[Silent(), None])
    await broker.produce("in", b"k", b"x")
    log = await opened(broker)
    silent = await log.fetch(Limits())
    assert (silent.records, silent.progress) == ({}, {})
    assert [raw.value for raw in (await log.fetch(Limits())).records["in"]] == [b"x"]


async def test_a_broker_that_is_away_cannot_be_opened_or_read() -> None:
    broker = FaultyBroker(await sound_broker(), opens=[Away(), None], fetches=[Away()])
    with pytest.raises(Unreachable, match="away"):
        await broker.open(TASK)
    log = await opened(broker)
    with pytest.raises(Unreachable, match="away"):
        await log.fetch(Limits())
