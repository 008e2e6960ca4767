"""`anomaly`: fires when a number is far off what is expected. In the drawings a digit is an event with that number."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.oracle.product import PARTITION, TOPIC, Worker, plan_of, results
from tests.oracle.timeline import HEAD, play, play_records

from penstock.operators.condition import Condition
from penstock.operators.expression import Scope, compile_expression
from penstock.operators.record import Record
from penstock.operators.trigger_anomaly import AnomalySettings, build

STEADY = "12" * 16
QUIET = "·" * len(STEADY)
WATCH = "anomaly: int(event.x), warmup: 8, cooldown: 0s"


def bound(text: str, aggregates: bool, captures: tuple[str, ...] = ()) -> Condition:
    return Condition(compile_expression(text, Scope(aggregates=aggregates)), {})


def told(played: Any) -> list[dict[str, Any]]:
    return [result["why"]["values"] for result in played.results if result["state"] != "resolved"]


def test_it_fires_at_a_number_that_is_far_off_and_resolves_when_one_is_near() -> None:
    played = play(WATCH, STEADY + "91")
    assert played.marks == QUIET + "FR"
    assert played.causes == ["in/0@32"]


def test_it_tells_how_far_off_what_was_expected_and_what_was_observed() -> None:
    [values] = told(play(WATCH, STEADY + "9"))
    assert values == {"observed": 9, "expected": pytest.approx(1.5017, abs=1e-3), "score": pytest.approx(15, abs=0.01)}


def test_a_number_that_is_too_low_has_a_negative_score() -> None:
    [values] = told(play("anomaly: 0 - int(event.x), warmup: 8", STEADY + "9"))
    assert values["score"] == pytest.approx(-15, abs=0.01)


def test_nothing_fires_before_enough_numbers_were_seen() -> None:
    assert play(WATCH, "1219121212").marks == "··········"
    assert play("anomaly: int(event.x), warmup: 33, cooldown: 0s", STEADY + "9").marks == QUIET + "·"
    assert play("anomaly: int(event.x), warmup: 32, cooldown: 0s", STEADY + "9").marks == QUIET + "F"


def test_it_stays_on_until_the_score_is_below_half_of_the_threshold() -> None:
    """A 3 is about 2.5 spreads off: too few to fire, too many to end it."""
    assert play(WATCH, STEADY + "933" + "1").marks == QUIET + "F··R"
    assert play(WATCH, STEADY + "333").marks == QUIET + "···"


def test_in_the_cooldown_nothing_fires_and_what_ends_in_it_is_counted_once() -> None:
    """A 4, neither high nor calm, ends nothing."""
    played = play("anomaly: int(event.x), warmup: 8, cooldown: 9s", STEADY + "919491·····|")
    assert played.marks == QUIET + "FR" + "·" * 10
    assert played.suppressed == 1


def test_what_is_still_far_off_when_the_cooldown_is_over_fires_with_the_next_number() -> None:
    """It is over at exactly 4."""
    played = play("anomaly: int(event.x), warmup: 8, cooldown: 4s", STEADY + "91·99")
    assert played.marks == QUIET + "FR··F"
    assert played.causes == ["in/0@32", "in/0@35"]
    assert played.suppressed == 0


def test_an_event_that_the_condition_leaves_out_changes_nothing() -> None:
    where = "anomaly: int(event.x), warmup: 8, cooldown: 0s, where: event.x != '9'"
    assert play(where, STEADY + "9999").marks == QUIET + "····"
    assert play(WATCH + ", where: int(event.x) < 5", STEADY + "9").marks == QUIET + "·"


def test_it_fires_at_now_and_its_cause_is_the_record_also_when_that_comes_late() -> None:
    events = [(second, digit) for second, digit in enumerate(STEADY)]
    played = play_records(WATCH, [*events, (33, "|"), (5, "9")], length=34)
    assert played.marks == QUIET + "·F"
    assert played.causes == ["in/0@33"]


def test_time_that_passes_changes_nothing() -> None:
    assert play(WATCH, STEADY + "9·········|").marks == QUIET + "F··········"


def fed(trigger: str, values: list[Any]) -> Worker:
    """A worker that was fed these, one a second, and has committed."""
    text = HEAD % ("0s", trigger)
    events = [
        {"key": "k", "t": second, **({} if value is None else {"x": value})} for second, value in enumerate(values)
    ]
    records = [
        Record(TOPIC, PARTITION, at, 1000 * at, None, json.dumps(event).encode()) for at, event in enumerate(events)
    ]
    worker = Worker(plan_of(text), records)
    worker.feed(len(records), 0)
    worker.commit()
    return worker


@pytest.mark.parametrize(
    ("value", "counter"),
    [
        ("1", "expression_errors"),
        (True, "expression_errors"),
        ([1], "expression_errors"),
        (1e151, "expression_errors"),
        (-1e308, "expression_errors"),
        (None, "expression_unknown"),
    ],
)
def test_what_is_no_number_or_too_large_is_counted_and_left_out(value: Any, counter: str) -> None:
    numbers = [1, 2, 1, 2, 1, 2, 1, 2]
    worker = fed("anomaly: event.x, warmup: 8", [*numbers, value])
    assert worker.counters[counter, "event.x"] == 1
    assert worker.counters["fired", "played"] == 0
    assert fed("anomaly: event.x, warmup: 8", [*numbers, value, 9]).counters["fired", "played"] == 1


@pytest.mark.parametrize("method", ["ewma", "change_point", "robust_seasonal"])
def test_huge_numbers_give_finite_scores(method: str) -> None:
    trigger = f"anomaly: event.x, method: {method}, warmup: 2, threshold: 3"
    numbers = [1e150, -1e150] * 20 + [2**63 - 1, -(2**63), 1e-300, 5e-324, 0] * 8
    worker = fed(trigger + (", season: 1s" if method == "robust_seasonal" else ""), numbers)
    records = results(worker.outputs, worker.plan.results.results)
    assert all(isinstance(number, int | float) for record in records for number in record["why"]["values"].values())


def test_where_nothing_ever_changed_anything_else_is_infinitely_far_off_which_is_a_million() -> None:
    [values] = told(play(WATCH, "55555555" + "4"))
    assert values == {"observed": 4, "expected": 5, "score": -1e6}


def test_definitions_that_it_names_are_told_beside_its_own() -> None:
    text = HEAD.replace("triggers:", "define: {level: event.x + 0}\ntriggers:") % ("0s", "anomaly: level, warmup: 2")
    events = [{"key": "k", "t": second, "x": value} for second, value in enumerate([5, 5, 7])]
    records = [
        Record(TOPIC, PARTITION, at, 1000 * at, None, json.dumps(event).encode()) for at, event in enumerate(events)
    ]
    worker = Worker(plan_of(text), records)
    worker.feed(3, 0)
    worker.commit()
    [record] = results(worker.outputs, worker.plan.results.results)
    assert record["why"]["values"] == {"level": 7, "score": 1e6, "expected": 5, "observed": 7}
    assert record["why"]["condition"] == "anomaly: level"


@pytest.mark.parametrize(
    ("settings", "bytes_max"),
    [
        ({}, 90),
        ({"method": "change_point"}, 110),
        ({"method": "robust_seasonal"}, 900),
        ({"method": "robust_seasonal", "season": "1w"}, 3_500),
    ],
)
def test_what_a_key_remembers_is_small_and_comes_back_as_it_was(settings: dict[str, Any], bytes_max: int) -> None:
    trigger = build(AnomalySettings(anomaly="event.x", agent="none", **settings), bound)
    state = trigger.method.fresh()
    for hour in range(24 * 30):
        for minute in range(0, 60, 3):
            time, number = hour * 3_600_000 + minute * 60_000, hour % 24 + minute / 7 + (hour * 31 + minute) % 11
            state, _ = trigger.method.take(state, time, number, hour > 24)
    cell = (state, 100, "0-0123456789abcdef0123456789abcdef", 1_795_166_047_000, False)
    dumped = msgspec.msgpack.encode(trigger.dump(cell))
    assert len(dumped) < bytes_max
    assert trigger.load(msgspec.msgpack.decode(dumped)) == cell
