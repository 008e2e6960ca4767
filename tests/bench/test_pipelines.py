"""The pipelines of the benchmarks do the work that their figures are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest
from tests.bench import bare
from tests.bench.core import TOPIC, Fed, batches
from tests.bench.peers import due
from tests.bench.throughput import BEGINNING_MS, events, one_each, sample
from tests.bench.working import PIPELINES, pipeline_named

from penstock.operators.record import Output
from penstock.operators.trigger_kinds import TRIGGERS

COUNT = 25_000
DAY = 86_400_000


def fed_with(name: str, count: int = COUNT) -> Fed:
    fed = Fed(pipeline_named(name, topic=TOPIC).plan)
    fed.feed(batches(events(count)))
    return fed


def finals(outputs: list[Output]) -> list[dict[str, Any]]:
    values = [orjson.loads(output.value or b"null") for output in outputs]
    return [value for value in values if value["state"] == "final"]


def test_events_are_a_function_of_their_number() -> None:
    assert list(events(1_000)) == list(events(1_000))
    assert len({key for key, _, _ in events(COUNT)}) == 1_000


def test_every_kind_of_trigger_is_there_and_fires() -> None:
    plan = pipeline_named("kinds", topic=TOPIC).plan
    fed = fed_with("kinds", 40_000)
    fired = {name for what, name in fed.task.counters if what == "fired"}
    assert fired == {planned.name for planned in plan.triggers}
    assert plan.groupings


def test_the_file_with_every_kind_leaves_none_out() -> None:
    """Fails when a kind is built: give it a trigger in pipelines/kinds.yaml. `semantic` and `after` rest on answers."""
    written = (PIPELINES / "kinds.yaml").read_text()
    assert [kind for kind in TRIGGERS if f"{kind}:" not in written] == ["semantic", "after"]


def test_what_the_peers_are_asked_to_count_penstock_tells_as_often() -> None:
    assert fed_with("count").fired == due(COUNT, COUNT) > 0


def test_tumbling_sums_are_those_of_the_windows() -> None:
    """But for the key whose event moved the watermark beyond the end: it has that event already."""
    fed = Fed(pipeline_named("sum", topic=TOPIC).plan)
    fed.keeps_outputs = True
    fed.feed(batches(events(COUNT)))
    end = -(-BEGINNING_MS // 300_000) * 300_000
    sums: Counter[str] = Counter()
    for key, _, value in (each for each in events(COUNT) if each.time <= end):
        sums[key] += round(100 * orjson.loads(value)["amount"])
    mover = next(key for key, time, _ in events(COUNT) if time > end)
    told = {record["key"]: round(100 * float(record["annotations"]["total"])) for record in finals(fed.outputs)}
    assert told.keys() == sums.keys()
    assert [key for key in sums if told[key] != sums[key]] == [mover]


@pytest.mark.parametrize(("name", "loop"), [("sliding", bare.sliding), ("tumbling", bare.tumbling)])
def test_the_loop_over_a_dict_tells_what_penstock_tells(name: str, loop: Callable[[Iterable[bytes]], int]) -> None:
    assert fed_with(name).fired == loop(value for _, _, value in events(COUNT)) > 0


def test_ten_windows_are_open_of_every_key() -> None:
    fed = Fed(pipeline_named("windows", topic=TOPIC).plan)
    fed.feed(batches(one_each(100)))
    states = [fed.task.key(f"user-{number}") for number in range(100)]
    assert [[slot.value(state.now) for slot in state.slots] for state in states if state] == [[1] * 10] * 100


@pytest.mark.parametrize(("name", "fired"), [("silence", 100), ("waits", 0)])
def test_timers_of_all_keys_come_up(name: str, fired: int) -> None:
    fed = Fed(pipeline_named(name, topic=TOPIC).plan)
    fed.feed(batches(one_each(100, failed=True)))
    state = fed.task.key("user-7")
    assert state is not None
    assert (state.deadline, state.watermark_deadline) != (None, None)
    fed.feed(batches([sample(0, "user-0", BEGINNING_MS + DAY, 0.0, failed=False, device=0)]))
    assert fed.fired == fired
    assert (state.deadline, state.watermark_deadline) == (None, None)
