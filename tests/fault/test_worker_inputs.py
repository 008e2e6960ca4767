"""What a worker believes about its inputs while it cannot see them."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from tests.stage import WATCH, Stage
from tests.virtual_time import BEGINNING_MS

from penstock.connectors.embedded_store import Trim, Write
from penstock.connectors.fault import FaultyBroker, FaultyLog
from penstock.connectors.port import Batch, Limits, TaskId

VIRTUAL_TIME = True
STRICT = WATCH.replace("watermark: {idle: never}", "watermark: {delay: 0s, idle: 10s, lateness: 0s}")
"""Whoever is silent for ten seconds holds nobody back, and whatever comes behind that is late."""


class BlindBroker(FaultyBroker):
    """Its fetches bring nothing, not even how far the inputs reach, for as long as `blind`."""

    def __init__(self, stage: Stage) -> None:
        inner = stage.broker()
        super().__init__(inner)
        self._inner, self.blind = inner, False

    async def open(self, task: TaskId) -> FaultyLog:
        return BlindLog(self, await self._inner.open(task), iter(()), iter(()))


class BlindLog(FaultyLog):
    async def fetch(self, limits: Limits) -> Batch:
        assert isinstance(self._broker, BlindBroker)
        if self._broker.blind:
            await asyncio.sleep(limits.wait)
            return Batch({}, {})
        return await super().fetch(limits)


async def test_a_broker_that_is_away_for_a_minute_is_no_silence_of_its_inputs() -> None:
    stage = await Stage(STRICT).open()
    broker = BlindBroker(stage)
    await broker.start()
    working = asyncio.create_task(stage.worker(broker, until_idle=90.0).run())
    await stage.produce([("host-1", "odd")])
    await asyncio.sleep(5)
    broker.blind = True
    await asyncio.sleep(1)
    await stage.produce([("host-1", "odd")])
    await asyncio.sleep(60)
    broker.blind = False
    assert (await working).counts["late", "auth"] == 0
    assert len((await stage.told()).results) == 2


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("latest", "auth/0 starts at latest: 1,200 records lie before it"),
        ("'2026-11-18T11:09:43Z'", "auth/0 starts at 2026-11-18T11:09:43.000Z: 183 records lie before it"),
    ],
)
async def test_it_says_once_how_many_records_lie_before_its_start(
    start: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await Stage(WATCH.replace("topic: auth,", f"topic: auth, start: {start},")).open()
    await stage.produce([("host-1", "ok")] * 1_200)
    with caplog.at_level(logging.INFO, "penstock.task"):
        await stage.play()
        await stage.play()
    assert [record.message for record in caplog.records if "lie before" in record.message] == [said]


async def test_an_input_that_is_read_from_its_first_record_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    stage = await Stage().open()
    await stage.produce([("host-1", "ok")] * 5)
    with caplog.at_level(logging.INFO, "penstock.task"):
        await stage.play()
    assert "starts at" not in caplog.text


async def test_a_transactional_input_may_be_emptied_up_to_its_last_marker_by_its_retention() -> None:
    """The marker behind the last record is nothing that could be lost: position and beginning of the topic meet there."""
    stage = await Stage().open()
    writer = await stage.cluster.fence("somebody's producer")
    value = json.dumps({"host": "host-1", "outcome": "odd"}).encode()
    [offset] = await stage.cluster.commit(writer, [Write("auth", 0, b"host-1", value, (), BEGINNING_MS)], None)
    assert (await stage.play()).exit_code == 0
    await stage.cluster.commit(writer, [], Trim("auth", 0, before=offset + 2))
    summary = await stage.play()
    assert (summary.exit_code, summary.problem) == (0, "")
