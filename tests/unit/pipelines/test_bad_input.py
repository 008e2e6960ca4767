"""What docs/bad-input.md promises: whatever comes in has a named outcome, and what came well beside it is not harmed by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.command_line import penstock, recording, written
from tests.oracle.stand import Stand

from penstock.operators.decode import VALUE_BYTES_MAX
from penstock.operators.merge import MERGE_WAIT_MS
from penstock.operators.record import Record
from penstock.operators.source_key import KEY_BYTES_MAX

FILE = """
penstock: v1
name: bad
sources:
  auth: {topic: auth, %s}
triggers:
  all: {each: 'true', agent: none}
  total: {when: 'sum(event.x, 1m) > 1000000', agent: none, cooldown: 0s}
"""
PLAIN = FILE % "key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: 10s}"
TWO = """
penstock: v1
name: two
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 0s, idle: 10s}}
  flow: {topic: flow, key: event.host, watermark: {delay: 0s, idle: 10s}}
triggers:
  all: {each: 'true', agent: none}
  quiet: {absence: 'true', for: 5s, from: auth, agent: none}
"""
NOW = 1_790_000_000
"""Seconds since the epoch."""


def told(stand: Stand) -> list[dict[str, Any]]:
    return stand.results(stand.cut())


def fed(stand: Stand, *records: Record) -> dict[tuple[str, ...], int]:
    """What was counted while the task took these and one good event after them, which fires."""
    stand.feed(*records, stand.event(NOW, x=1))
    counters = dict(stand.task.counters)
    results = told(stand)
    assert [result["triggers"] for result in results][-1:] == [["all"]], "the good event is not harmed"
    return counters


def text(stand: Stand, value: str) -> Record:
    return stand.raw(value.encode(), 1000 * NOW)


def problem(folder: Path, pipeline: str) -> str:
    """The first thing that `check` says."""
    done = penstock("check", written(folder, pipeline), "--json")
    found = done.json["problems"][0]
    assert done.code == 1
    return f"{found['code']}: {found['message']}; expected {found['expected']}"


# --- partitions and time ----------------------------------------------------------------------------------------------


def test_a_partition_that_is_stuck_holds_time_back_and_nothing_else() -> None:
    stand = Stand(TWO)
    stand.feed(stand.event(1), stand.event(1, "flow"))
    stand.feed(stand.event(2), stand.event(60), lags=["flow"])
    stand.tick(MERGE_WAIT_MS, "flow")
    stand.tick(3_600_000, "flow")
    assert [result["triggers"] for result in told(stand)] == [["all"]] * 4, "what needs no watermark fires"
    assert stand.task.watermark == 1_000
    stand.feed(stand.event(61, "flow"))
    assert [(result["triggers"], result["state"]) for result in told(stand)] == [
        (["all"], "final"),
        (["quiet"], "final"),
        (["quiet"], "resolved"),
    ], "told late, not lost"


def test_an_input_that_is_only_silent_lets_time_pass() -> None:
    stand = Stand(TWO)
    stand.feed(stand.event(1), stand.event(1, "flow"))
    told(stand)
    stand.tick(16_001)
    assert [result["triggers"] for result in told(stand)] == [["quiet"]]


def test_a_clock_that_is_more_than_a_day_ahead_is_a_dead_letter_and_moves_no_time() -> None:
    stand = Stand(PLAIN)
    ahead = stand.raw(json.dumps({"host": "h", "t": NOW + 86_401}).encode(), 1000 * NOW)
    assert fed(stand, ahead)["dead", "ahead"] == 1
    assert stand.task.watermark == 1000 * NOW


def test_a_producer_whose_own_timestamps_are_ahead_makes_the_others_late() -> None:
    stand = Stand(PLAIN)
    stand.feed(stand.event(NOW + 86_400), stand.event(NOW, x=1))
    assert stand.task.counters["late", "auth"] == 1


def test_epoch_seconds_where_milliseconds_were_meant_are_late_events() -> None:
    stand = Stand(PLAIN.replace("unit: s", "unit: ms"))
    good, wrong = {"host": "h", "t": 1000 * NOW}, {"host": "h", "t": NOW}
    stand.feed(*(stand.raw(json.dumps(event).encode(), 1000 * NOW) for event in (good, wrong)))
    assert stand.task.counters["late", "auth"] == 1
    assert stand.task.watermark == 1000 * NOW


def test_a_recording_whose_unit_is_wrong_shows_its_times(tmp_path: Path) -> None:
    file = written(tmp_path, PLAIN.replace("unit: s", "unit: ms"))
    sample = recording(tmp_path, [{"host": "h", "t": NOW}, {"host": "h", "t": NOW + 60}])
    assert (
        "event times 1970-01-21T17:13:20.000Z to 1970-01-21T17:13:20.060Z"
        in penstock("check", file, "--sample", sample).out
    )
    times = penstock("check", file, "--sample", sample, "--json").json
    assert (times["from"], times["to"]) == ("1970-01-21T17:13:20.000Z", "1970-01-21T17:13:20.060Z")


@pytest.mark.parametrize("time", ["1790000000000", "1e300", "-1e15", '"tomorrow"', "null", "true"])
def test_a_time_that_cannot_be_meant_is_a_dead_letter(time: str) -> None:
    stand = Stand(PLAIN)
    assert fed(stand, text(stand, f'{{"host": "h", "t": {time}}}'))["dead", "time"] == 1


def test_events_out_of_order_count_by_their_own_times() -> None:
    stand = Stand(PLAIN)
    stand.feed(*(stand.event(NOW + second, x=400_000) for second in (50, 0, 20)))
    results = [result for result in told(stand) if result["triggers"] == ["total"]]
    assert [result["why"]["fired_by"] for result in results] == ["auth/3@2"]
    assert ("late", "auth") not in stand.task.counters


def test_what_a_producer_sends_twice_counts_once_where_the_file_says_how_to_tell() -> None:
    stand = Stand(PLAIN.replace("key:", "dedupe: {by: event.id, within: 1h}, key:"))
    stand.feed(*(stand.event(NOW, id=number) for number in (1, 1, 2, 1)))
    assert stand.task.counters["duplicate", "auth"] == 2
    assert len(told(stand)) == 2


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_what_is_no_finite_number_is_no_json(number: str) -> None:
    stand = Stand(PLAIN)
    assert fed(stand, text(stand, f'{{"host": "h", "t": {NOW}, "x": {number}}}'))["dead", "undecodable"] == 1


@pytest.mark.parametrize("cell", ["NaN", "inf", "1e999", "twelve", ""])
def test_a_cell_that_is_no_finite_number_is_missing_and_counted_where_it_is_used(cell: str) -> None:
    form = "format: {csv: {columns: [host, t, v]}}, derive: {x: double(event.v), t: int(event.t)}"
    stand = Stand(FILE % f"{form}, key: event.host, time: {{at: event.t, unit: s}}")
    stand.feed(text(stand, f"h,{NOW},{cell}"), text(stand, f"h,{NOW},2000000"))
    assert [result["triggers"] for result in told(stand)] == [["all"], ["all"], ["total"]]
    assert stand.task.counters["expression_unknown", "sum(event.x, 1m)"] == 1


def test_huge_integers_are_the_nearest_double_and_sums_of_them_stay_numbers() -> None:
    stand = Stand(PLAIN)
    stand.feed(*(stand.event(NOW, x=number) for number in (10**30, 2**64, -(10**30))))
    [total] = [result for result in told(stand) if result["triggers"] == ["total"] and result["state"] != "resolved"]
    assert total["why"]["fired_by"] == "auth/3@0"
    stand.feed(stand.event(NOW, x=1e308), stand.event(NOW, x=1e308))
    assert told(stand)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"x" * (VALUE_BYTES_MAX + 1), "too_large"),
        (b'{"host": "\xff"}', "not_utf8"),
        (b"[" * 100_000, "undecodable"),
    ],
)
def test_bytes_that_are_no_event_are_dead_letters(value: bytes | None, reason: str) -> None:
    stand = Stand(PLAIN)
    assert fed(stand, stand.raw(value, 1000 * NOW))["dead", reason] == 1


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ['"host": null, ', ""])
def test_a_key_that_is_null_or_missing_is_a_dead_letter(host: str) -> None:
    stand = Stand(PLAIN)
    assert fed(stand, text(stand, f'{{{host}"t": {NOW}}}'))["dead", "keyless"] == 1


def test_a_key_of_a_megabyte_is_a_dead_letter() -> None:
    stand = Stand(PLAIN)
    host = "k" * (VALUE_BYTES_MAX - 100)
    assert len(host) > KEY_BYTES_MAX
    assert fed(stand, text(stand, json.dumps({"host": host, "t": NOW})))["dead", "key_too_large"] == 1


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("event.x == 1 || " * 300 + "true", "PS012: `each` is 'event.x == 1"),
        (" || ".join(f"event.x == {number}" for number in range(100)), "PS020: the expression has more than 256 parts"),
        ("(" * 40 + "true" + ")" * 40, "PS020: the expression is nested deeper than 32 levels"),
        ('event.x.matches("(?=a)")', "PS020: '(?=a)' is no RE2 pattern"),
        ('event.x.matches("(a{1000}){1000}")', "PS020: '(a{1000}){1000}' is no RE2 pattern"),
    ],
)
def test_an_expression_beyond_its_caps_is_refused_and_says_which(expression: str, said: str, tmp_path: Path) -> None:
    found = problem(tmp_path, PLAIN.replace("'true'", f"'{expression}'"))
    assert found.startswith(said)
    assert len(found) < 300, "it quotes no more than a line"


def test_a_pattern_beyond_its_caps_is_refused(tmp_path: Path) -> None:
    text = PLAIN.replace("key:", "format: {text: ['(x{1000}){1000}']}, key:")
    assert problem(tmp_path, text).startswith("PS012: item 1 of `text`: not an RE2 pattern")


def test_a_pattern_of_an_event_that_is_none_is_an_error_of_the_expression() -> None:
    stand = Stand(PLAIN.replace("each: 'true'", "each: event.host.matches(event.p)"))
    stand.feed(stand.event(NOW, p="(a{1000}){1000}"), stand.event(NOW, p="("), stand.event(NOW, p="^h$"))
    assert [result["why"]["fired_by"] for result in told(stand)] == ["auth/3@2"]
    assert stand.task.counters["expression_errors", "event.host.matches(event.p)"] == 2


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("{events: 1000000000}", "PS012: `events` is 1000000000; expected at most 100000"),
        ("{tokens: 1000000000}", "PS012: `tokens` is 1000000000; expected at most 10000000"),
        (
            "{last: 5300w}",
            "PS012: `last`: '5300w' is longer than a hundred years; write a shorter duration; expected None",
        ),
    ],
)
def test_a_window_larger_than_memory_is_refused(window: str, said: str, tmp_path: Path) -> None:
    assert problem(tmp_path, f"{PLAIN}context: {{window: {window}}}\n") == said


@pytest.mark.parametrize("field", ["cooldown", "debounce"])
def test_a_wait_that_no_log_could_hold_is_refused(field: str, tmp_path: Path) -> None:
    text = PLAIN.replace("each: 'true'", f"each: 'true', {field}: 99999999999w")
    assert problem(tmp_path, text).startswith(f"PS012: `{field}`: '99999999999w' is longer than a hundred years")
