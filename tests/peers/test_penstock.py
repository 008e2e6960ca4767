"""Penstock's file says exactly what the judge expects: undisturbed, in memory and in virtual time, there is no violation."""

from __future__ import annotations

import json

from tests.peers.environment import HERE
from tests.peers.ledger import due, judge
from tests.peers.systems import Penstock
from tests.peers.timeline import Timeline, timeline
from tests.stage import Stage
from tests.virtual_time import BEGINNING_MS, run_virtually

from penstock.operators.record import Raw

PARTITIONS = 3


def test_undisturbed_it_tells_every_twentieth_event_of_each_key_once() -> None:
    plan = timeline(3, 1)
    told = [each for raw in run_virtually(results(plan)) if (each := Penstock().told(raw)) is not None]
    verdict = judge(due(event.key for event in plan.events), told)
    assert verdict.holds, verdict
    assert verdict.seen > 0


async def results(plan: Timeline) -> list[Raw]:
    stage = await Stage((HERE / "penstock.yaml").read_text(), partitions=PARTITIONS).open()
    for event in plan.events:
        time = BEGINNING_MS + int(1000 * event.at)
        value = {"key": event.key, "n": event.n, "ts": time}
        await stage.front.produce("events", event.key.encode(), json.dumps(value).encode(), time)
    await stage.play()
    return [raw for partition in range(PARTITIONS) async for raw in stage.front.read("counts", partition, 0)]
