"""Two sources that are merged: whatever goes wrong, every event of either has its one result."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.fault.life import live_on
from tests.stage import Stage, compiled
from tests.virtual_time import BEGINNING_MS, run_virtually

from penstock.connectors.fault import (
    Away,
    CrashAfter,
    CrashBefore,
    FencedBefore,
    LostAfter,
    LostBefore,
    Silent,
)
from penstock.connectors.memory import CommitStep, Late, Undecided

TWO = """
penstock: v1
name: two
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 1s, idle: 20s, lateness: 1d}}
  flow: {topic: flow, key: event.host, watermark: {delay: 1s, idle: 20s, lateness: 1d}}
triggers:
  seen: {each: 'true', agent: none}
  hourly: {every: 1m, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
"""
EVENTS = 80
faults = st.sampled_from([None, None, CrashBefore(), CrashAfter(), LostBefore(), LostAfter(), FencedBefore()])
steps = st.lists(st.sampled_from([None, None, Undecided(), Late(2), Late(4, lost=True)]), max_size=20)
blindness = st.lists(st.sampled_from([None, None, Silent(), Away()]), max_size=30)


async def produce(stage: Stage, random: Random, silences: bool) -> None:
    """Event times jump back and forth by half a minute; one source falls silent for longer than it may."""
    for number in range(EVENTS):
        topic = "auth" if silences and 20 < number < 60 else random.choice(["auth", "flow"])
        host = f"host-{random.randrange(3)}"
        time = BEGINNING_MS + 2_000 * number + random.randrange(-15_000, 15_000)
        await stage.front.produce(topic, host.encode(), json.dumps({"host": host}).encode(), time)
        await stage.clock.sleep(random.choice([0.0, 0.1, 1.5]))


@given(st.integers(0, 1000), st.booleans(), st.lists(faults, max_size=30), blindness, steps)
def test_every_event_of_two_sources_has_one_result_and_every_minute_one_at_most(
    seed: int, silences: bool, commits: list[Any], fetches: list[Any], steps: list[CommitStep]
) -> None:
    async def run() -> None:
        stage = await Stage(TWO, steps=steps).open()
        await asyncio.gather(
            produce(stage, Random(seed), silences), live_on(stage, until_idle=30.0, commits=commits, fetches=fetches)
        )
        told = await stage.told()
        told.check()
        causes = [record["why"]["fired_by"] for record in told.results if record["triggers"] == ["seen"]]
        assert len(set(causes)) == len(causes) == EVENTS

    run_virtually(run())


HOUR = 3_600_000
ONE = TWO.replace("  flow: {topic: flow, key: event.host, watermark: {delay: 1s, idle: 20s, lateness: 1d}}\n", "")


async def produce_at(stage: Stage, *times: int) -> None:
    for time in times:
        await stage.front.produce("auth", b"host-1", b'{"host": "host-1"}', BEGINNING_MS + time)


def test_a_source_that_is_added_does_not_take_time_back() -> None:
    """Else a late event would make a timer due that has fired, and its result would be told twice."""

    async def run() -> None:
        stage = await Stage(ONE).open()
        await produce_at(stage, HOUR - 1_000, HOUR + 70_000)
        assert (await stage.play()).exit_code == 0
        await stage.front.create_topic("flow", 1)
        stage.pipeline = compiled(TWO)
        await produce_at(stage, HOUR - 2_000, HOUR + 71_000)
        assert (await stage.play(until_idle=60.0)).exit_code == 0
        await produce_at(stage, HOUR + 200_000)
        assert (await stage.play(until_idle=60.0)).exit_code == 0
        (await stage.told()).check()

    run_virtually(run())
