"""Ranges of topics as they are written, and what a spool gives back."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.operators.error import Misused
from penstock.operators.record import Record
from penstock.pipelines.backtest_spool import Range, Time, put, range_of, spooled_blocks


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("kafka:auth-log", Range(None, "auth-log", None, None)),
        ("auth=kafka:a.b@10..", Range("auth", "a.b", 10, None)),
        ("kafka:a@..20", Range(None, "a", None, 20)),
        ("kafka:a@1970-01-01T00:00:01.5Z..1970-01-02", Range(None, "a", Time(1500), Time(86_400_000))),
        ("auth.jsonl", None),
    ],
)
def test_a_range_has_edges_of_offsets_or_times(text: str, meant: Range | None) -> None:
    assert range_of(text) == meant


@pytest.mark.parametrize("text", ["kafka:a@10", "kafka:", "kafka:a@soon..later", "kafka:a b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Misused, match="--input"):
        range_of(text)


def test_partitions_are_merged_by_timestamp_and_one_alone_keeps_its_offsets(tmp_path: Path) -> None:
    first = [Record("t", 0, 7, 10, b"k", b"a", (("h", b"x"),)), Record("t", 0, 9, 30, None, None)]
    second = [Record("t", 1, 3, 20, b"z", b"b\n")]
    files = [tmp_path / "0.spool", tmp_path / "1.spool"]
    for file, records in zip(files, (first, second), strict=True):
        with file.open("wb") as opened:
            put(records, opened)
    (alone,) = spooled_blocks(files[:1])
    assert alone.about is not None
    assert [(one.offset, one.timestamp, one.key, one.headers) for one in alone.about] == [
        (7, 10, b"k", (("h", b"x"),)), (9, 30, None, ()),
    ]  # fmt: skip
    (both,) = spooled_blocks(files)
    assert (list(both.values), [one.offset for one in both.about or ()]) == ([b"a", b"b\n", None], [0, 1, 2])
    assert both.read == sum(file.stat().st_size for file in files)
