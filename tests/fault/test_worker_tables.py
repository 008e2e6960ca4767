"""A worker with tables: it loads them before it looks at an event, and goes on with the rows that were committed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.stage import Stage
from tests.virtual_time import BEGINNING_MS, run_virtually

from penstock.operators.error import Unreachable
from penstock.pipelines.observe import unready

LOOKED_UP = """
penstock: v1
name: looked-up
sources:
  auth: {topic: auth, key: event.host, watermark: {idle: never}}
tables:
  hosts: {topic: cmdb}
triggers:
  public: {each: 'tables.hosts[key].class == "public"', agent: none}
  unknown: {each: '!has(tables.hosts[key])', agent: none}
"""


async def put(stage: Stage, key: str, **fields: Any) -> None:
    await stage.front.produce("cmdb", key.encode(), json.dumps(fields).encode() if fields else None, BEGINNING_MS)


def fired(told: Any) -> list[tuple[str, str]]:
    return [(result["key"], result["triggers"][0]) for result in told.results]


def test_events_wait_until_the_tables_are_read() -> None:
    async def scene() -> None:
        stage = await Stage(LOOKED_UP).open()
        await stage.produce([("h", "ok"), ("z", "ok")])
        for number in range(5_000):
            await put(stage, f"other-{number}", **{"class": "private"})
        await put(stage, "h", **{"class": "public"})
        await stage.play()
        assert fired(await stage.told()) == [("h", "public"), ("z", "unknown")]

    run_virtually(scene())


def test_a_later_process_goes_on_with_the_rows_of_the_log_and_what_came_meanwhile() -> None:
    async def scene() -> None:
        stage = await Stage(LOOKED_UP).open()
        await put(stage, "h", **{"class": "public"})
        await put(stage, "i", **{"class": "public"})
        await stage.play()
        await put(stage, "i")
        await stage.produce([("h", "ok"), ("i", "ok")])
        await stage.play()
        assert fired(await stage.told()) == [("h", "public"), ("i", "unknown")]

    run_virtually(scene())


def test_every_task_reads_the_whole_of_a_table_however_it_is_partitioned() -> None:
    async def scene() -> None:
        stage = Stage(LOOKED_UP, partitions=3)
        front = stage.broker()
        await front.create_topic("cmdb", 5)
        await front.create_topic("auth", 3)
        await front.start()
        stage.front = front
        for number in range(9):
            await put(stage, f"h{number}", **{"class": "public"})
        await stage.produce([(f"h{number}", "ok") for number in range(10)])
        await stage.play()
        told = fired(await stage.told())
        assert sorted(told) == [*((f"h{number}", "public") for number in range(9)), ("h9", "unknown")]

    run_virtually(scene())


def test_a_table_that_is_expected_is_partitioned_as_the_sources_are() -> None:
    text = LOOKED_UP + "  quiet: {absence: 'true', for: 1m, expect: tables.hosts, agent: none}\n"

    async def scene() -> None:
        front = Stage(text).broker()
        await front.create_topic("cmdb", 5)
        await front.create_topic("auth", 3)
        with pytest.raises(Unreachable, match="the table has 5 partitions, the sources have 3"):
            await front.start()

    run_virtually(scene())


def test_a_missing_table_is_said_at_the_start() -> None:
    async def scene() -> None:
        front = Stage(LOOKED_UP).broker()
        await front.create_topic("auth", 1)
        with pytest.raises(Unreachable, match="cmdb"):
            await front.start()

    run_virtually(scene())


def test_while_it_loads_it_is_not_ready_and_says_why() -> None:
    async def scene() -> None:
        stage = await Stage(LOOKED_UP).open()
        for number in range(2_000):
            await put(stage, f"other-{number}", x=1)
        broker = stage.broker()
        await broker.start()
        worker = stage.worker(broker)
        work = asyncio.create_task(worker.run())
        seen: set[str] = set()
        while not work.done():
            seen.update(reason.partition(",")[0] for reason in unready(worker))
            await asyncio.sleep(0)
        await broker.close()
        assert "task 0: loading tables hosts" in seen

    run_virtually(scene())
