"""Runs of a schedule that are spread: when they are asked, and that nothing else changes."""

from __future__ import annotations

import asyncio

from tests.stage import WATCH, Stage, judge

from penstock.connectors.scripted import ScriptedModel
from penstock.operators.event import ChatRequest

VIRTUAL_TIME = True
HOSTS = 15
SPREAD = 30.0
TRIGGERS = "triggers:\n  report: {{every: 1m, agent: judge{spread}}}\nmodels:"
EVENTS = [*((f"host-{number}", "ok") for number in range(HOSTS))]


def watch(spread: str) -> str:
    before, _, rest = WATCH.partition("triggers:")
    return (
        before.replace("watermark: {idle: never}", "watermark: {idle: 1s}")
        + TRIGGERS.format(spread=spread)
        + (rest.partition("models:")[2])
    )


class Asked:
    """Notes when the model was asked, in seconds of the loop."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.model = ScriptedModel(self._answer)

    def _answer(self, request: ChatRequest) -> str:
        self.at.append(asyncio.get_running_loop().time())
        return judge(request)


async def played(spread: str) -> tuple[Asked, list[str]]:
    stage, asked = await Stage(watch(spread)).open(), Asked()
    await stage.produce(EVENTS)
    await stage.play(model=asked.model, until_idle=90.0)
    return asked, sorted(record["run"] for record in (await stage.told()).results)


async def test_runs_of_one_instant_are_asked_at_different_times_within_the_spread() -> None:
    asked, runs = await played(", spread: 30s")
    at_once, same = await played("")
    assert len(runs) == HOSTS
    assert runs == same
    assert max(at_once.at) - min(at_once.at) < 1
    assert SPREAD / 2 < max(asked.at) - min(asked.at) <= SPREAD
    assert len({round(at, 1) for at in asked.at}) > HOSTS / 2


async def test_a_run_that_waits_for_its_turn_is_asked_after_a_restart_too() -> None:
    stage, asked = await Stage(watch(", spread: 30s")).open(), Asked()
    await stage.produce(EVENTS)
    broker = stage.broker()
    await broker.start()
    first = stage.worker(broker, asked.model, until_idle=None)
    running = asyncio.create_task(first.run())
    await asyncio.sleep(27)
    first.stop()
    await running
    await broker.close()
    before = len(asked.at)
    await stage.play(model=asked.model, until_idle=90.0)
    assert 0 < before < HOSTS
    assert len(asked.at) == len((await stage.told()).results) == HOSTS
