"""Records wait for their schemas, in the worker as it is: real core, broker in memory, a registry that can be away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.binary_records import avro, framed, text
from tests.stage import Stage
from tests.virtual_time import BEGINNING_MS, VirtualClock

from penstock.connectors.port import Batch
from penstock.operators.error import Unanswered
from penstock.operators.record import DeadLetter, Record
from penstock.operators.schemas import Kind, Schema, unknown_schema
from penstock.pipelines.observe import registry_of, unready
from penstock.pipelines.schemas_ahead import UNKNOWN_KEPT_SECONDS, UNKNOWN_SECONDS, SchemasAhead
from penstock.pipelines.worker import Worker, WorkerOptions

VIRTUAL_TIME = True
WATCH = """
penstock: v1
name: doors
kafka: {registry: "http://127.0.0.1:9"}
sources:
  doors: {topic: doors, format: avro, key: event.door, watermark: {idle: never}}
  plain: {topic: plain, key: event.door, watermark: {idle: never}}
triggers:
  opened: {each: event.open == true, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
"""
DOOR = {
    "type": "record", "name": "Door",
    "fields": [{"name": "door", "type": "string"}, {"name": "open", "type": "boolean"}],
}  # fmt: skip


class Library:
    """A registry: `held` is what it has, `away` makes it silent; `asked` is what it was asked for."""

    def __init__(self, clock: VirtualClock) -> None:
        self.held: dict[int, Schema | DeadLetter] = {1: Schema("AVRO", text(DOOR), {})}
        self.away = False
        self.asked: list[int] = []
        self._clock = clock

    async def schema(self, number: int, kind: Kind) -> Schema | DeadLetter:
        self.asked.append(number)
        await self._clock.sleep(0.1)
        if self.away:
            raise Unanswered("does not answer", where="schema registry")
        return self.held.get(number) or unknown_schema(number)

    async def probe(self) -> str:
        return "fine"

    async def close(self) -> None:
        """Nothing is held open."""


class Doors(Stage):
    def __init__(self) -> None:
        super().__init__(WATCH)
        self.library = Library(self.clock)

    async def put(self, *numbers: int) -> None:
        for number in numbers:
            value = framed(number, avro(DOOR, {"door": f"door-{number}", "open": True}))
            await self.front.produce("doors", b"k", value, BEGINNING_MS)

    async def started(self, **options: Any) -> Worker:
        broker = self.broker()
        await broker.start()
        settings = WorkerOptions(owner="p", until_idle=options.pop("until_idle", None))
        return Worker(
            self.pipeline.plan, self.pipeline.layout, broker, {}, self.clock, settings, Random(5), self.library
        )

    async def results(self) -> int:
        return len((await self.told()).results)

    async def dead(self) -> list[bytes]:
        letters = await self.records(self.pipeline.plan.dead_topic)
        return [dict(letter.headers)["penstock-dead-reason"] for letter in letters]


@pytest.fixture
async def doors() -> Doors:
    doors = Doors()
    for source in doors.pipeline.plan.sources:  # compiled once for all tests: what one finds, the others know
        for number in (1, 2, 3):
            if source.schemas is not None:
                source.schemas.forget(number)
    await doors.open()
    return doors


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not condition():  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(0.01)


async def test_a_schema_is_fetched_once_and_its_records_are_read(doors: Doors) -> None:
    await doors.put(1, 1, 1)
    worker = await doors.started(until_idle=5.0)
    assert (await worker.run()).exit_code == 0
    assert doors.library.asked == [1]
    assert await doors.results() == 3
    assert await doors.dead() == []


async def test_while_the_registry_is_away_the_task_waits_and_says_so(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "penstock.registry")
    await doors.put(1)
    worker = await doors.started(until_idle=5.0)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(2)
    doors.library.away, doors.library.held[5] = True, doors.library.held[1]
    await doors.put(5)
    await asyncio.sleep(600)
    assert not running.done(), "it is not idle, nor stuck: it waits"
    assert unready(worker) == ["schema registry: does not answer"]
    metrics = generate_latest(registry_of(worker)).decode()
    assert "penstock_registry_waiting 1.0" in metrics
    assert 'penstock_input_paused{partition="0",topic="doors"} 1.0' in metrics
    assert worker.keepers[0].times_opened == 1
    doors.library.away = False
    assert (await running).exit_code == 0
    assert await doors.results() == 2
    assert unready(worker) == []
    messages = [record.getMessage() for record in caplog.records if record.name == "penstock.registry"]
    assert [message.split(";")[0] for message in messages] == [
        "schema registry: does not answer",
        "the schema registry answers again",
    ]


async def test_a_process_that_waits_for_the_registry_ends_at_once_when_it_is_asked_to(doors: Doors) -> None:
    doors.library.away = True
    await doors.put(1)
    worker = await doors.started()
    running = asyncio.create_task(worker.run())
    await until(lambda: bool(doors.library.asked))
    before = doors.clock.monotonic()
    worker.stop()
    assert (await running).exit_code == 0
    assert doors.clock.monotonic() - before < 2
    assert unready(worker) == [], "nobody waits any more"
    doors.library.away = False
    again = await doors.started(until_idle=5.0)
    assert (await again.run()).exit_code == 0
    assert await doors.results() == 1


async def test_what_the_registry_does_not_have_is_a_dead_letter_after_a_second_look(doors: Doors) -> None:
    await doors.put(2, 1)
    worker = await doors.started(until_idle=5.0)
    assert (await worker.run()).exit_code == 0
    assert doors.library.asked == [1, 2, 2]
    assert await doors.dead() == [b"unknown_schema"]
    assert await doors.results() == 1


async def test_a_schema_that_comes_between_the_looks_is_used(doors: Doors) -> None:
    await doors.put(6)
    worker = await doors.started(until_idle=5.0)
    running = asyncio.create_task(worker.run())
    await until(lambda: doors.library.asked == [6])
    doors.library.held[6] = doors.library.held[1]
    await running
    assert await doors.dead() == []
    assert await doors.results() == 1


# --- without a worker -------------------------------------------------------------------------------------------------


def batch(*numbers: int) -> Batch:
    return Batch({"doors": [Record("doors", 0, 0, 0, None, framed(number, b"")) for number in numbers]}, {})


async def test_an_unknown_schema_is_asked_for_again_a_minute_later(doors: Doors) -> None:
    library, clock = doors.library, doors.clock
    ahead = SchemasAhead(doors.pipeline.plan.sources, library, clock, Random(1))
    await ahead.prepare(batch(3))
    await ahead.prepare(batch(3))
    assert library.asked == [3, 3]
    library.held[3] = library.held[1]
    await clock.sleep(UNKNOWN_SECONDS)
    await ahead.prepare(batch(3))
    await ahead.prepare(batch(3))
    assert library.asked == [3, 3, 3]


async def test_a_flood_of_wrong_ids_is_not_remembered_for_ever(doors: Doors) -> None:
    ahead = SchemasAhead(doors.pipeline.plan.sources, doors.library, doors.clock, Random(1))
    schemas = doors.pipeline.plan.sources[0].schemas
    assert schemas is not None
    await ahead.prepare(batch(3))
    assert schemas.knows(3)
    await doors.clock.sleep(UNKNOWN_KEPT_SECONDS)
    await ahead.prepare(batch(2))
    assert not schemas.knows(3)
    assert schemas.knows(2)


async def test_a_flood_of_wrong_ids_is_one_line_of_the_log(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    ahead = SchemasAhead(doors.pipeline.plan.sources, doors.library, doors.clock, Random(1))
    await ahead.prepare(batch(*range(100, 150)))
    [record] = caplog.records
    assert record.getMessage() == (
        "doors: the registry has no schema 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 40 more; "
        "such records are dead letters"
    )


async def test_two_tasks_that_need_a_schema_ask_for_it_once(doors: Doors) -> None:
    ahead = SchemasAhead(doors.pipeline.plan.sources, doors.library, doors.clock, Random(1))
    await asyncio.gather(ahead.prepare(batch(1)), ahead.prepare(batch(1)))
    assert doors.library.asked == [1]


async def test_a_task_that_gives_up_does_not_take_the_others_with_it(doors: Doors) -> None:
    ahead = SchemasAhead(doors.pipeline.plan.sources, doors.library, doors.clock, Random(1))
    first, second = (asyncio.create_task(ahead.prepare(batch(1))) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    await second
    assert doors.library.asked == [1, 1]
