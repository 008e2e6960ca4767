from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from penstock.connectors.port import Batch, Limits
from penstock.operators.error import Fenced, Unreachable
from penstock.operators.event import Progress
from penstock.operators.record import Record
from penstock.pipelines.fetching import FEED_SECONDS, RECORDS_MAX, RECORDS_MIN, Fetching


class Input:
    """The reading half of a log: hands out what it is given, notes what it is told."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[Batch | Exception] = asyncio.Queue()
        self.limits: list[Limits] = []
        self.told: list[tuple[str, str]] = []

    async def fetch(self, limits: Limits) -> Batch:
        self.limits.append(limits)
        batch = await self.batches.get()
        if isinstance(batch, Exception):
            raise batch
        return batch

    def pause(self, topic: str) -> None:
        self.told.append(("pause", topic))

    def resume(self, topic: str) -> None:
        self.told.append(("resume", topic))


def batch_of(records: int) -> Batch:
    return Batch(
        {"auth": [Record("auth", 0, offset, 0, b"k", b"v") for offset in range(records)]},
        {"auth": Progress(records, records, 0)},
    )


class Reader:
    def __init__(self) -> None:
        self.input = Input()
        self.rung = asyncio.Event()
        self.fetching = Fetching(self.input, ["auth", "flow"], self.rung.set)

    async def next(self, batch: Batch | Exception) -> Batch:
        self.input.batches.put_nowait(batch)
        await self.rung.wait()
        self.rung.clear()
        return self.fetching.take()

    async def end(self) -> None:
        self.input.batches.put_nowait(batch_of(0))
        await self.fetching.end()


@pytest.fixture
async def reader() -> Reader:
    reader = Reader()
    reader.fetching.begin()
    return reader


async def test_the_next_fetch_is_under_way_as_soon_as_a_batch_is_taken(reader: Reader) -> None:
    batch = batch_of(3)
    assert await reader.next(batch) is batch
    assert not reader.fetching.ready
    await reader.end()
    assert len(reader.input.limits) == 2


async def test_what_goes_wrong_in_a_fetch_comes_out_where_its_batch_would_be_taken(reader: Reader) -> None:
    with pytest.raises(Fenced):
        await reader.next(Fenced("by another"))
    await reader.fetching.end()


async def test_the_end_waits_for_the_fetch_under_way_and_does_not_cancel_it(reader: Reader) -> None:
    await asyncio.sleep(0)
    ending = asyncio.create_task(reader.fetching.end())
    await asyncio.sleep(0)
    assert not ending.done()
    reader.input.batches.put_nowait(batch_of(1))
    await ending
    assert reader.fetching.ready


async def test_portions_shrink_when_feeding_takes_long_and_grow_when_it_does_not(reader: Reader) -> None:
    for _ in range(10):
        reader.fetching.fed(RECORDS_MAX, 20.0)
    await reader.next(batch_of(1))
    assert await portion_after(reader) == RECORDS_MIN
    for _ in range(20):
        reader.fetching.fed(RECORDS_MAX, FEED_SECONDS / 100)
    assert await portion_after(reader) == RECORDS_MAX
    await reader.end()


async def test_a_thin_batch_says_nothing_about_the_portion(reader: Reader) -> None:
    before = await portion_after(reader)
    reader.fetching.fed(1, FEED_SECONDS / 2)
    assert await portion_after(reader) == before
    await reader.end()


async def portion_after(reader: Reader) -> int:
    """The portion asked for by the fetch that begins now."""
    await reader.next(batch_of(1))
    await asyncio.sleep(0)
    return reader.input.limits[-1].records


async def test_what_goes_wrong_with_a_fetch_after_the_end_was_cut_short_is_no_news(reader: Reader) -> None:
    """As when a process ends while a task is being left: its log is closed under the fetch."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    ending = asyncio.create_task(reader.fetching.end())
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    reader.input.batches.put_nowait(Unreachable("this broker was closed"))
    await reader.rung.wait()
    del ending, reader.fetching
    gc.collect()
    assert complaints == []


async def test_inputs_are_told_to_pause_and_to_resume_once_each(reader: Reader) -> None:
    reader.fetching.pause_only(frozenset({"auth"}))
    reader.fetching.pause_only(frozenset({"auth"}))
    reader.fetching.pause_all()
    reader.fetching.pause_only(frozenset({"flow"}))
    reader.fetching.pause_only(frozenset())
    assert reader.input.told == [("pause", "auth"), ("pause", "flow"), ("resume", "auth"), ("resume", "flow")]
    await reader.end()
