"""Processes with two stages are killed while they read a topic that is partitioned at random: what comes out is what comes out
of a topic of the right keys, once each, and every result names the record that you wrote."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests.e2e.deployment import PARTITIONS
from tests.e2e.processes import until, workers
from tests.e2e.ssh_stream import Written
from tests.e2e.transport import Transport
from tests.e2e.trial import unique_name
from tests.rekeyed import REKEYED, Story, closing, keyed_story, logins, story_of
from tests.virtual_time import VirtualLoop

from penstock.connectors.partition import partition_of
from penstock.operators.record import Record

EVENTS = logins(7, 240)
SECONDS_MAX = 90.0
KILLS = 4


@pytest.fixture(params=["sqlite", "kafka_transport"])
def transport(request: pytest.FixtureRequest) -> Transport:
    found: Transport = request.getfixturevalue(request.param)
    return found


def key_in(place: int, random: Random) -> bytes:
    """Of a record that is to lie in this partition, whatever it is about."""
    return next(key for key in iter(lambda: random.randbytes(8), b"") if partition_of(key, PARTITIONS) == place)


def test_kills_between_the_commits_of_both_stages_neither_lose_nor_double_anything(
    transport: Transport, tmp_path: Path
) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        expected = runner.run(keyed_story(EVENTS, PARTITIONS))
    name, topic, random = unique_name("rekeyed"), unique_name("auth"), Random(3)
    file = tmp_path / "pipeline.yaml"
    file.write_text(REKEYED.replace("name: watch", f"name: {name}").replace("topic: auth", f"topic: {topic}"))
    scattered = [Written(random.randbytes(8), each.value, each.time) for each in EVENTS]
    ends = enumerate(closing(EVENTS[-1].time, PARTITIONS))
    last = [Written(key_in(place, random), each.value, each.time) for place, each in ends]
    sets = [part for each in transport.sets for part in ("--set", each)]
    transport.create(topic)

    def story() -> Story:
        results = transport.read(f"dev.{name}.results")
        source = [replace(raw, topic="auth") for raw in transport.read(topic) if isinstance(raw, Record)]
        return story_of((json.loads(raw.value or b"") for raw in results), source)

    with workers(str(file), "--broker", transport.broker, *sets, "--set", "kafka.session_timeout=6s") as group:
        portion = len(scattered) // KILLS
        for number in range(KILLS):
            group.start()
            transport.produce(topic, scattered[number * portion : (number + 1) * portion])
            time.sleep(2 + random.random())
            group.kill(group.running[0])
        transport.produce(topic, last)
        group.start()
        group.start()
        until(lambda: len(story()) >= len(expected), SECONDS_MAX, every=0.5)
        codes = group.stop()
        assert (codes, group.deserters) == ([0, 0], []), group.log()
    assert story() == expected
