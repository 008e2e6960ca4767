"""Who runs the inputs of a pipeline, what is tried again, and what ends the process."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest
from tests.unit.connectors.test_embedded_input import CLOCK, broker_on

from penstock.connectors.embedded_input import Arrival, InputLog
from penstock.connectors.memory import MemoryCluster
from penstock.operators.error import Fenced, StateRefused
from penstock.operators.expression import Scope
from penstock.operators.record import Record
from penstock.operators.source import SourceSettings, build_source
from penstock.pipelines.inputs import Feed, Inputs, arrival_key, refusal_of, running
from penstock.pipelines.observe_inputs import input_counters

SOURCE = build_source("s", SourceSettings(topic="in", key="event.host"), frozenset(), Scope())


class ScriptedInput:
    """Meets one of `problems` with each run; then writes one record, and nothing comes any more."""

    def __init__(self, *problems: Exception) -> None:
        self._problems = list(problems)
        self.quiet_since: float | None = None
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.runs, self.absent = 0, ""
        self.wrote = asyncio.Event()

    async def run(self, log: InputLog) -> None:
        self.runs += 1
        if self._problems:
            raise self._problems.pop(0)
        await log.write([Arrival(b'{"host":"a"}')])
        self.quiet_since = CLOCK.monotonic()
        self.wrote.set()
        await asyncio.Event().wait()


async def cluster_with_topic() -> MemoryCluster:
    cluster = MemoryCluster(CLOCK)
    await cluster.create_topic("in", 1)
    return cluster


def inputs_on(cluster: MemoryCluster, member: str, input: ScriptedInput) -> Inputs:
    return Inputs(broker_on(cluster, member), [Feed(SOURCE, input, own=False)], CLOCK, Random(1))


def unexpected(problem: BaseException) -> None:
    raise AssertionError(problem)


@pytest.mark.timeout(30)
async def test_an_input_that_lost_its_log_is_opened_again_and_says_meanwhile_what_is_wrong() -> None:
    input = ScriptedInput(Fenced("somebody else has it"))
    inputs = inputs_on(await cluster_with_topic(), "a", input)
    assert inputs.quiet_since is None
    async with running(inputs, unexpected):
        while not inputs.troubles():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
        assert "source s: somebody else has it" in inputs.troubles()[0]
        await input.wrote.wait()
        assert inputs.troubles() == []
        assert inputs.quiet_since is not None
        assert inputs.feeds[0].counts == {("records",): 1, ("reopened",): 1}


@pytest.mark.timeout(30)
async def test_records_are_counted_on_over_a_log_that_was_lost() -> None:
    cluster, input = await cluster_with_topic(), ScriptedInput()
    inputs = inputs_on(cluster, "a", input)
    for _ in range(2):
        async with running(inputs, unexpected):
            await input.wrote.wait()
            input.wrote.clear()
    assert inputs.feeds[0].counts["records",] == 2


def test_what_an_input_counts_is_exported_by_its_source() -> None:
    input = ScriptedInput()
    input.counts["refused", "400"] = 3
    inputs = inputs_on(MemoryCluster(CLOCK), "a", input)
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in input_counters(inputs)
        for sample in family.samples
    }
    assert told == {
        ("penstock_input_records_total", "s"): 0,
        ("penstock_input_reopened_total", "s"): 0,
        ("penstock_input_refused_total", "s", "400"): 3,
    }
    assert list(input_counters(None)) == []


@pytest.mark.parametrize("problem", [StateRefused("the disk is full"), ValueError("a bug")])
async def test_what_no_repetition_helps_against_ends_the_process(problem: Exception) -> None:
    told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    async with running(inputs_on(await cluster_with_topic(), "a", ScriptedInput(problem)), told.set_result):
        assert await told is problem


@pytest.mark.timeout(30)
async def test_a_second_process_stands_by_until_the_first_one_leaves() -> None:
    cluster = await cluster_with_topic()
    first, second = ScriptedInput(), ScriptedInput()
    standby = inputs_on(cluster, "b", second)
    async with running(inputs_on(cluster, "a", first), unexpected):
        await first.wrote.wait()
        waiting = running(standby, unexpected)
        await waiting.__aenter__()
        while standby.quiet_since is None:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
        assert standby.quiet_since > CLOCK.monotonic(), "whoever has them may be dead: it is not idle before it knows"
        assert second.runs == 0
    await second.wrote.wait()
    await waiting.__aexit__(None, None, None)
    assert len((await cluster.read("in", 0, 0, 9)).records) == 2


def test_a_record_gets_the_key_that_its_source_reads_and_else_its_senders() -> None:
    key, refuse = arrival_key(SOURCE), refusal_of(SOURCE)
    good, bad = (Record("in", 0, 0, 1_000, b"sender", value) for value in (b'{"host":"a"}', b"{"))
    assert (key(good), key(bad)) == (b"a", b"sender")
    assert refuse(good) is None
    dead = refuse(bad)
    assert dead is not None
    assert dead.reason == "undecodable"
