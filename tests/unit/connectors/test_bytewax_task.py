"""A task in somebody's dataflow fires as in a backtest, whatever is fed together, and goes on where it was put away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.flows import BEGINNING_MS, EVENTS, TWO_SOURCES, essence, plan_of, record, records, setting_of

from penstock.connectors.bytewax_task import FlowTask, Setting, begun, resumed
from penstock.operators.error import CallFailed, Damaged, Superseded
from penstock.operators.event import ChatRequest
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.pipelines.backtest_answering import Source
from penstock.pipelines.backtest_input import Recording
from penstock.pipelines.backtest_play import play

NOW = BEGINNING_MS


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def played(task: FlowTask, fed: list[Record], together: int) -> list[Output]:
    for first in range(0, len(fed), together):
        task.feed(fed[first : first + together], NOW)
    task.end(NOW)
    return task.take()


def results(plan: Plan, outputs: list[Output]) -> list[dict[str, object]]:
    return [orjson.loads(output.value or b"") for output in outputs if output.topic == plan.results.results]


def test_it_fires_what_a_backtest_fires(plan: Plan, tmp_path: Path) -> None:
    recording = tmp_path / "auth.jsonl"
    recording.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in EVENTS))
    answers = Source(script=lambda ask: '{"verdict": "benign", "why": ""}')
    part = play(plan, {"auth": [Recording(recording, NOW, 0)]}, answers=answers)
    setting = Setting(plan, 1, lambda request: '{"verdict": "benign", "why": ""}')
    told = results(plan, played(begun(setting, 0, NOW), records(), 7))
    outcomes = {each["run"]: each["state"] for each in told if each["state"] != "resolved"}
    assert outcomes == {row.run: row.state for row in part.rows}
    assert {row.trigger for row in part.rows} == {planned.name for planned in plan.triggers} - {"note"}


@pytest.mark.parametrize("together", [1, 7, 120])
def test_what_is_fed_together_makes_no_difference(plan: Plan, together: int) -> None:
    setting = setting_of(plan)
    assert essence(played(begun(setting, 0, NOW), records(), together)) == essence(
        played(begun(setting, 0, NOW), records(), 3)
    )


@pytest.mark.parametrize("together", [1, 5, 40])
def test_several_sources_are_taken_in_the_order_of_the_flow(tmp_path: Path, together: int) -> None:
    setting = setting_of(plan_of(tmp_path, TWO_SOURCES))
    fed = [
        record(orjson.dumps(event), "auth" if number % 3 else "flow")
        for number, event in enumerate([*EVENTS[40:], *EVENTS[:40]])
    ]
    assert essence(played(begun(setting, 0, NOW), fed, together)) == essence(played(begun(setting, 0, NOW), fed, 1))


def test_a_task_that_is_resumed_knows_everything(plan: Plan) -> None:
    setting = setting_of(plan)
    whole = played(begun(setting, 0, NOW), records(), 10)
    task, outputs = begun(setting, 0, NOW), []
    for first in range(0, len(EVENTS), 10):
        task.feed(records()[first : first + 10], NOW)
        outputs += task.take()
        task = resumed(setting, task.save(), NOW)
    task.end(NOW)
    assert essence(outputs + task.take()) == essence(whole)


def test_what_was_not_given_out_is_saved(plan: Plan) -> None:
    setting = setting_of(plan)
    task = begun(setting, 0, NOW)
    task.feed(records(), NOW)
    assert not resumed(setting, begun(setting, 0, NOW).save(), NOW).waits
    assert resumed(setting, task.save(), NOW).take() == task.take() != []


def test_saving_twice_says_the_same_but_for_its_number(plan: Plan) -> None:
    setting = setting_of(plan)
    task = begun(setting, 0, NOW)
    task.feed(records()[:50], NOW)
    first, second = resumed(setting, task.save(), NOW), resumed(setting, task.save(), NOW)
    for each in (first, second):
        each.feed(records()[50:], NOW)
        each.end(NOW)
    assert essence(first.take()) == essence(second.take())


def test_silence_lets_time_pass_and_an_outage_does_not(plan: Plan) -> None:
    setting = setting_of(plan)
    task = begun(setting, 0, NOW)
    task.feed(records(), NOW)
    task.take()
    saved = task.save()
    task.tick(NOW + 59_000)
    assert not task.waits
    task.tick(NOW + 90_000)  # idle after a minute, then 30 s of event time pass
    assert task.waits
    late = resumed(setting, saved, NOW + 3_600_000)
    late.tick(NOW + 3_600_000)
    assert not late.waits


def test_another_number_of_tasks_is_refused(plan: Plan) -> None:
    saved = begun(setting_of(plan, 2), 1, NOW).save()
    with pytest.raises(Superseded, match="were shared among 2 tasks and are among 3 now") as refused:
        resumed(setting_of(plan, 3), saved, NOW)
    assert refused.value.where == "task 1 of flow"


@pytest.mark.parametrize("data", [b"", b"\x93\x01", {"sum": 1}])
def test_a_snapshot_of_something_else_is_refused(plan: Plan, data: Any) -> None:
    with pytest.raises(Damaged, match=r"flow: a snapshot is none of a task .* begin afresh with another step id"):
        resumed(setting_of(plan), data, NOW)


def test_a_file_whose_keys_are_others_is_refused(plan: Plan, tmp_path: Path) -> None:
    saved = begun(setting_of(plan), 0, NOW).save()
    text = (tmp_path / "flow.yaml").read_text().replace("key: event.host", "key: event.n")
    with pytest.raises(Superseded, match="the key of topic auth"):
        resumed(setting_of(plan_of(tmp_path, text)), saved, NOW)


def test_a_model_that_gives_no_answer_leaves_a_result_that_says_so(plan: Plan) -> None:
    def lost(request: ChatRequest) -> str:
        raise CallFailed("connection refused")

    told = results(plan, played(begun(Setting(plan, 1, lost), 0, NOW), records(), 10))
    judged = [each for each in told if each["agent"] == "judge"]
    assert judged
    assert all(each["state"] == "failed" for each in judged)
    assert "connection refused" in str(judged[0]["why"])
