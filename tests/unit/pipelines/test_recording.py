"""Recordings: which lines count, which key and which time they get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.command_line import RULES, written

from penstock.operators.error import Rejected
from penstock.operators.record import DeadLetter, Record
from penstock.operators.source import Source
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.recording import MONTH_MS, as_records, key_of, recorded_at, recorded_values

NOVEMBER_2025 = 1_762_000_000_000
LINES = """
penstock: v1
name: lines
sources:
  log: {topic: log, key: event.host, format: {text: ['^(?P<ts>\\w{3} +\\d+ [\\d:]{8}) (?P<host>\\S+)']},
        time: {at: event.ts, layout: "%b %d %H:%M:%S"}}
triggers:
  any: {each: has(event.host), agent: none}
"""


def source_in(folder: Path, text: str) -> Source:
    return compile_pipeline(load_pipeline([written(folder, text)], environ={})).plan.sources[0]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_values_without_their_ends_and_empty_ones_are_none(end: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(f'{{"a":1}}{end}{end}{{"a":2}}'.encode())
    assert list(recorded_values(file)) == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize(
    ("first", "is_header"),
    [("timestamp,value", True), ('"time";"machine name"', True), ("2013-12-02 21:15:00,73.9", False), ("1,2", False)],
)
def test_a_header_of_a_csv_file_is_left_out(first: str, is_header: bool, tmp_path: Path) -> None:
    values = list(recorded_values(written(tmp_path, f"{first}\n3,4\n", "rows.csv")))
    assert values == [b"3,4"] if is_header else [first.encode(), b"3,4"]


def test_the_first_line_of_another_file_is_never_a_header(tmp_path: Path) -> None:
    assert list(recorded_values(written(tmp_path, "timestamp,value\n", "rows.txt"))) == [b"timestamp,value"]


def test_a_file_that_is_not_there_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"gone\.jsonl"):
        next(recorded_values(tmp_path / "gone.jsonl"))
    with pytest.raises(Rejected, match=r"gone\.jsonl"):
        recorded_at(source_in(tmp_path, RULES), tmp_path / "gone.jsonl")


def test_records_count_up_in_one_partition(tmp_path: Path) -> None:
    source = source_in(tmp_path, RULES)
    records = list(as_records(source, iter([b"a", b"b"]), 7))
    assert records == [Record("auth", 0, 0, 7, None, b"a"), Record("auth", 0, 1, 7, None, b"b")]


def test_a_recording_is_as_old_as_its_file(tmp_path: Path) -> None:
    source, file = source_in(tmp_path, RULES), written(tmp_path, '{"host":"a"}', "events.jsonl")
    os.utime(file, (NOVEMBER_2025 / 1000, NOVEMBER_2025 / 1000))
    assert recorded_at(source, file) == NOVEMBER_2025


def test_lines_without_a_year_do_not_come_from_the_future(tmp_path: Path) -> None:
    """A file of December, touched in November: its year is the one before."""
    source, file = source_in(tmp_path, LINES), written(tmp_path, "Dec 10 06:55:48 web-1 sshd", "auth.log")
    os.utime(file, (NOVEMBER_2025 / 1000, NOVEMBER_2025 / 1000))
    at = recorded_at(source, file)
    assert (NOVEMBER_2025 - at) % MONTH_MS == 0
    assert at < NOVEMBER_2025
    (record,) = as_records(source, recorded_values(file), at)
    assert not isinstance(source.decode(record), DeadLetter)


def test_the_key_is_the_one_that_the_file_names_and_a_dead_record_has_none(tmp_path: Path) -> None:
    key = key_of(source_in(tmp_path, RULES))
    assert key(Record("auth", 0, 0, 0, None, b'{"host":"web-1"}')) == b"web-1"
    assert key(Record("auth", 0, 1, 0, None, b"no json")) is None
