"""What a worker does when it is told no: by a topic, by a busy model, by another deployment, by its own log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Any

from tests.stage import Stage, Told, judge, logins
from tests.virtual_time import run_virtually

from penstock.connectors.fault import FaultyBroker, RefusedFirst
from penstock.connectors.port import MAIN, TaskId
from penstock.connectors.scripted import Overloaded, ScriptedModel, Step
from penstock.operators.event import ChatRequest
from penstock.operators.record import Raw
from penstock.pipelines.endpoint import EndpointLimits

EVENTS = logins(seed=3, count=60)
BUSY_SECONDS = 20.0


def staged(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run the test in virtual time, on a stage to which all events have come already."""

    def run() -> None:
        async def play() -> None:
            stage = await Stage().open()
            await stage.produce(EVENTS)
            await test(stage)

        run_virtually(play())

    run.__name__ = test.__name__
    return run


@cache
def undisturbed() -> Told:
    async def play() -> Told:
        stage = await Stage().open()
        await stage.produce(EVENTS)
        await stage.play()
        return await stage.told()

    return run_virtually(play())


def header(raw: Raw, name: str) -> str:
    return dict(raw.headers)[name].decode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(0.01)
