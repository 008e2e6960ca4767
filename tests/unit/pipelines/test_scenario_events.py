"""From the events of a scenario to records, as a producer would have written them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.command_line import written

from penstock.operators.error import Rejected
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Record
from penstock.operators.timestamp import instant
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.scenario import Scenario
from penstock.pipelines.scenario_events import DAY_MS, Come, Deed, End, Pass, deeds
from penstock.pipelines.spec import Spec

START = "2026-03-02T06:10:00Z"
BEGIN = instant(START) or 0
SOURCES = """
penstock: v1
name: p
sources:
  %s
triggers: {any: {each: 'has(event.x)', agent: none}}
"""
JSON = "s: {topic: t, key: event.k, time: event.ts}"
TEXT = r"""s: {topic: t, key: event.k, format: {text: ['^(?P<ts>\w+ +\d+ [\d:]+) (?P<k>\S+)']},
      time: {at: event.ts, layout: "%b %d %H:%M:%S", zone: Europe/Berlin}}"""
CSV = "s: {topic: t, key: event.k, time: {at: event.ts, unit: s}, format: {csv: {columns: [ts, k, x], delimiter: ';'}}}"
PLAIN = "s: {topic: t}"
HOUR_MS = 3_600_000


def loaded(folder: Path, source: str) -> tuple[Spec, Plan]:
    pipeline = load_pipeline([written(folder, SOURCES % source)], environ={})
    assert pipeline.spec is not None, pipeline.problems
    return pipeline.spec, compile_pipeline(pipeline).plan


def happening(folder: Path, source: str, *events: Mapping[str, object]) -> list[Deed]:
    scenario = Scenario.model_validate({"name": "n", "events": list(events), "expect": {"none": True}})
    return list(deeds(scenario, *loaded(folder, source), folder, BEGIN))


def comes(happened: list[Deed]) -> list[tuple[int, bytes | None]]:
    """Seconds after the beginning, and values."""
    return [((each.at - BEGIN) // 1000, each.value) for each in happened if isinstance(each, Come)]


@pytest.mark.parametrize("source", [JSON, CSV, PLAIN, JSON.replace("event.ts", "{at: event.ts, unit: us}")])
def test_an_event_without_a_time_of_its_own_happens_at_its_at(source: str, tmp_path: Path) -> None:
    (come,) = happening(tmp_path, source, {"at": "90s", "event": {"k": "a", "x": 1}, "key": "a"})
    assert isinstance(come, Come)
    read = loaded(tmp_path, source)[1].sources[0].decode(Record("t", 0, 0, come.at, come.key, come.value))
    assert not isinstance(read, DeadLetter)
    assert read[:2] == ("a", BEGIN + 90_000)


def test_a_time_that_an_event_has_stays_also_a_wrong_one(tmp_path: Path) -> None:
    (first, second) = comes(
        happening(
            tmp_path, JSON, {"event": {"ts": "2020-01-01", "k": "a"}, "at": "0s"}, {"event": {"ts": None, "k": "a"}}
        )
    )
    assert json.loads(first[1] or b"") == {"ts": "2020-01-01", "k": "a"}
    assert json.loads(second[1] or b"") == {"ts": None, "k": "a"}


def test_a_time_that_is_derived_is_not_put_in(tmp_path: Path) -> None:
    derived = JSON.replace("time:", "derive: {ts: event.raw}, time:")
    assert comes(happening(tmp_path, derived, {"event": {"k": "a"}})) == [(0, b'{"k":"a"}')]


def test_a_line_says_its_time_in_the_layout_of_the_source(tmp_path: Path) -> None:
    line = {"text": "{time} web-{n} hello", "repeat": {"times": 2, "every": "30s"}}
    assert comes(happening(tmp_path, TEXT, line)) == [
        (0, b"Mar 02 07:10:00 web-1 hello"),
        (30, b"Mar 02 07:10:30 web-2 hello"),
    ]


def test_names_are_filled_in_in_every_text_of_an_event(tmp_path: Path) -> None:
    event = {"k": "{n}", "deep": [{"at": "{time}"}, 5, None], "ts": "x"}
    ((_, value),) = comes(happening(tmp_path, JSON, {"event": event}))
    assert json.loads(value or b"") == {"k": "1", "deep": [{"at": "2026-03-02T06:10:00.000Z"}, 5, None], "ts": "x"}


def test_a_text_of_several_lines_is_several_records(tmp_path: Path) -> None:
    assert comes(happening(tmp_path, JSON, {"text": "one\n\ntwo\n"})) == [(0, b"one"), (0, b"two")]


def test_cells_stand_in_the_order_of_the_columns_and_what_is_missing_is_empty(tmp_path: Path) -> None:
    assert comes(happening(tmp_path, CSV, {"event": {"x": 'a;"b"', "ts": 5}})) == [(0, b'5;;"a;""b"""')]


def test_times_count_from_the_beginning_from_the_latest_or_from_nothing(tmp_path: Path) -> None:
    happened = happening(
        tmp_path,
        PLAIN,
        {"at": "60s", "event": {}, "repeat": {"times": 2, "every": "10s"}},
        {"at": "5s", "event": {}},
        {"event": {}},
        {"at": "+5s", "event": {}},
        {"advance": "1m"},
        {"at": "+1s", "event": {}},
        {"at": "2026-03-02T07:10:00Z", "event": {}},
        {"end": True},
    )
    assert [time for time, _ in comes(happened)] == [60, 70, 5, 70, 75, 136, 3600]
    assert [each for each in happened if not isinstance(each, Come)] == [Pass(60_000), End()]


def test_a_record_has_the_key_and_the_headers_that_are_written(tmp_path: Path) -> None:
    (come,) = happening(tmp_path, PLAIN, {"event": None, "key": "a", "headers": {"h": "v"}})
    assert come == Come(BEGIN, "t", b"a", None, (("h", b"v"),))


def test_a_recording_comes_line_by_line_as_the_file_counts_them(tmp_path: Path) -> None:
    (tmp_path / "rec.csv").write_text("ts,k,x\n1,a,b\n\n2,a,b\n3,a,b\n")
    assert [value for _, value in comes(happening(tmp_path, CSV, {"file": "rec.csv"}))] == [
        b"1,a,b",
        b"2,a,b",
        b"3,a,b",
    ]
    some = happening(tmp_path, CSV, {"file": "rec.csv", "lines": "3-4", "at": "1m"})
    assert comes(some) == [(60, b"2,a,b")]
    assert comes(happening(tmp_path, CSV, {"file": "rec.csv", "lines": "5"})) == [(0, b"3,a,b")]


def test_a_recording_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot be read"):
        happening(tmp_path, PLAIN, {"file": "none.jsonl"})


def test_lines_that_a_recording_does_not_have_are_told(tmp_path: Path) -> None:
    written(tmp_path, "1\n2\n", "rec.jsonl")
    with pytest.raises(Rejected, match=r"rec\.jsonl: it has no lines 3-9"):
        happening(tmp_path, PLAIN, {"file": "rec.jsonl", "lines": "3-9"})


@pytest.mark.parametrize("at", ["0001-01-01", "9999-12-31T23:00:00Z", "999999999w"])
def test_events_lie_within_the_calendar_wherever_the_zone_is(at: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="before the year 1 or after 9999"):
        happening(tmp_path, TEXT, {"at": at, "text": "{time} web-1"})


def test_a_record_that_says_its_own_time_arrives_then_unless_it_is_told_when(tmp_path: Path) -> None:
    for source, line in (
        (JSON, '{"k":"a","ts":"2026-09-02T06:10:00Z"}'),
        (TEXT, "Sep 02 08:10:00 a"),
        (JSON, '{"k":"a","ts":"2031-03-02T06:10:00Z"}'),
        (JSON, '{"k":"a","ts":"2013-03-02T06:10:00Z"}'),
    ):
        (come,) = happening(tmp_path, source, {"text": line})
        assert isinstance(come, Come)
        read = loaded(tmp_path, source)[1].sources[0].decode(Record("t", 0, 0, come.at, None, come.value))
        assert not isinstance(read, DeadLetter)
        assert read[1] == come.at != BEGIN
        assert happening(tmp_path, source, {"text": line, "at": "5s"}) == [replace(come, at=BEGIN + 5000)]


def test_a_recording_takes_as_long_as_it_took(tmp_path: Path) -> None:
    """Also over the turn of a year that its lines do not name; a line that cannot be read comes with the one before it."""
    lines = ["Dec 30 10:00:00 a", "Dec 31 23:59:59 a", "what?", "Jan 01 00:00:01 a", "Jun 20 00:00:00 a"]
    written(tmp_path, "\n".join(lines), "rec.log")
    steps = {"file": "rec.log"}, {"at": "+1s", "text": "{time} a"}
    times = [each.at for each in happening(tmp_path, TEXT, *steps) if isinstance(each, Come)]
    assert times[1] == times[2] == times[0] + (DAY_MS + 13 * HOUR_MS + 59 * 60_000 + 59_000)
    assert times[3] == times[2] + 2_000
    assert times[5] == times[4] + 1_000
