from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.stage import Stage, judge, logins

from penstock.connectors.fault import Away, FaultyBroker
from penstock.connectors.scripted import ScriptedModel
from penstock.operators.error import Misused, Unreachable
from penstock.pipelines.observe import parse_listen, registry_of, serve, unready
from penstock.pipelines.worker import Worker


@pytest.fixture
async def stage() -> Stage:
    stage = await Stage().open()
    await stage.produce(logins(seed=3, count=60))
    return stage


Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody sets an event when a task is opened
            await asyncio.sleep(0.01)


async def fetched(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_a_worker_that_is_at_work_is_live_ready_and_tells_its_numbers(stage: Stage) -> None:
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, ScriptedModel(judge), until_idle=None)
    running = asyncio.create_task(worker.run())
    async with serve(worker, "127.0.0.1:0") as address:
        await until(lambda: bool(worker.keepers) and worker.keepers[0].quiet_since is not None)
        assert await fetched(f"{address}/livez") == (200, "ok\n")
        assert await fetched(f"{address}/readyz") == (200, "ok\n")
        status, text = await fetched(f"{address}/metrics")
    worker.stop()
    summary = await running
    told, found = await stage.told(), samples(text)
    asked = sum(record["agent"] == "judge" for record in told.results)
    assert status == 200
    assert ({"trigger": "failed"}, summary.counts["fired", "failed"]) in found["penstock_firings_total"]
    assert ({"endpoint": "small", "outcome": "answered"}, asked) in found["penstock_model_calls_total"]
    assert ({"topic": "auth", "partition": "0"}, 0) in found["penstock_input_lag_records"]
    assert ({"partition": "0"}, 1) in found["penstock_task_open"]
    assert found["penstock_commit_seconds_count"][0][1] >= 2
    assert found["penstock_model_call_seconds_count"] == [({"endpoint": "small"}, asked)]
    [(build, _)] = found["penstock_build_info"]
    assert build["pipeline"] == "watch"


async def test_a_worker_whose_task_cannot_be_opened_is_live_and_not_ready_and_says_why(stage: Stage) -> None:
    broker = FaultyBroker(stage.broker(), opens=[Away()] * 1_000)
    await broker.start()
    worker = stage.worker(broker, ScriptedModel(judge), until_idle=None)
    running = asyncio.create_task(worker.run())
    async with serve(worker, "127.0.0.1:0") as address:
        await until(lambda: any("away" in reason for reason in unready(worker)))
        status, text = await fetched(f"{address}/readyz")
        assert (await fetched(f"{address}/livez"))[0] == 200
        assert (await fetched(f"{address}/metrics"))[0] == 200
    worker.stop()
    await running
    assert status == 503
    assert "the broker is away" in text


async def test_a_worker_without_tasks_is_ready(stage: Stage) -> None:
    assert unready(idle_worker(stage)) == []


async def test_a_count_of_the_core_that_has_no_entry_in_the_table_is_exported_under_its_own_name(stage: Stage) -> None:
    worker = idle_worker(stage)
    worker.process.tally["something_new", "auth"] = 3
    found = samples(generate_latest(registry_of(worker)).decode())
    assert found["penstock_something_new_total"] == [({"which": "auth"}, 3)]


async def test_an_address_that_is_taken_is_one_sentence(stage: Stage) -> None:
    async with serve(idle_worker(stage), "127.0.0.1:0") as address:
        taken = address.removeprefix("http://")
        with pytest.raises(Unreachable, match=r"cannot listen.*choose another --listen"):
            async with serve(idle_worker(stage), taken):
                pass


@pytest.mark.parametrize(
    ("listen", "meant"),
    [(":9464", (None, 9464)), ("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8080", ("::1", 8080))],
)
def test_an_address_is_a_host_and_a_port_or_a_port_alone(listen: str, meant: tuple[str | None, int]) -> None:
    assert parse_listen(listen) == meant


@pytest.mark.parametrize("listen", ["9464", "host", "host:", ":port", ":70000", ""])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(Misused, match="is not an address"):
        parse_listen(listen)


def idle_worker(stage: Stage) -> Worker:
    return stage.worker(stage.broker())
