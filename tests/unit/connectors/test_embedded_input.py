"""What an input writes: records and marks together, and by one process at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.connectors.clock import MachineClock
from penstock.connectors.embedded_broker import EmbeddedBroker
from penstock.connectors.embedded_input import Arrival
from penstock.connectors.embedded_store import Marks, Store
from penstock.connectors.membership import Terms
from penstock.connectors.memory import MemoryCluster, Undecided
from penstock.connectors.port import Layout
from penstock.connectors.sqlite import SqliteStore
from penstock.operators.error import Fenced, Indefinite
from penstock.operators.record import Raw

LAYOUT = Layout("dev", "p", {"in": "earliest"}, frozenset())
CLOCK = MachineClock()


def of_sender(raw: Raw) -> bytes | None:
    return raw.key


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store = MemoryCluster(CLOCK) if request.param == "memory" else SqliteStore(tmp_path / "topics.db", CLOCK)
    await store.create_topic("in", 2)
    yield store
    await store.close()


def broker_on(store: Store, member: str = "a") -> EmbeddedBroker:
    return EmbeddedBroker(store, LAYOUT, member, CLOCK, terms=Terms(session=1_000, handover=100))


async def values(store: Store) -> list[bytes | None]:
    return [record.value for partition in (0, 1) for record in (await store.read("in", partition, 0, 100)).records]


async def test_what_was_marked_with_the_records_is_there_when_the_input_is_opened_again(store: Store) -> None:
    log = await broker_on(store).open_input("s", "in", of_sender)
    assert log.marks == {}
    await log.write([Arrival(b"1", b"k")], Marks({"a": b"1", "b": b"1"}))
    await log.write([Arrival(b"2", b"k")], Marks({"a": b"2"}, ["b"]))
    again = await broker_on(store).open_input("s", "in", of_sender)
    assert again.marks == log.marks == {"a": b"2"}
    assert (await broker_on(store).open_input("other", "in", of_sender)).marks == {}
    assert sorted(value or b"" for value in await values(store)) == [b"1", b"2"]


async def test_who_opened_it_before_writes_and_marks_nothing_any_more(store: Store) -> None:
    before = await broker_on(store).open_input("s", "in", of_sender)
    after = await broker_on(store, "b").open_input("s", "in", of_sender)
    with pytest.raises(Fenced):
        await before.write([Arrival(b"1")], Marks({"a": b"1"}))
    await after.write([Arrival(b"2")], Marks({"a": b"2"}))
    assert await values(store) == [b"2"]
    assert (await broker_on(store).open_input("s", "in", of_sender)).marks == {"a": b"2"}


async def test_records_without_a_key_go_round_the_partitions(store: Store) -> None:
    log = await broker_on(store).open_input("s", "in", of_sender, shared=True)
    await log.write([Arrival(b"1"), Arrival(b"2")])
    assert [len((await store.read("in", partition, 0, 9)).records) for partition in (0, 1)] == [1, 1]


async def test_of_a_write_that_was_never_decided_neither_records_nor_marks_are_there() -> None:
    cluster = MemoryCluster(CLOCK, script=[Undecided()])
    await cluster.create_topic("in", 2)
    log = await broker_on(cluster).open_input("s", "in", of_sender)
    with pytest.raises(Indefinite):
        await log.write([Arrival(b"1")], Marks({"a": b"1"}))
    again = await broker_on(cluster).open_input("s", "in", of_sender)
    assert again.marks == {}
    assert await values(cluster) == []


async def test_one_process_at_a_time_has_the_inputs_and_the_next_one_gets_them_when_it_leaves(store: Store) -> None:
    first, second = broker_on(store, "a"), broker_on(store, "b")
    turns, others = first.input_turns(), second.input_turns()
    assert await anext(turns)
    assert not await anext(others)
    await first.leave_inputs()
    assert await anext(others)
