"""What a worker believes about its inputs while it cannot see them."""

from __future__ import annotations

import asyncio

from tests.stage import WATCH, Stage

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
