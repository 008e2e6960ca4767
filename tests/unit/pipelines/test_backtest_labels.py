"""Labels: read from lines and from NAB's windows, and met by firings.

      0         10        20        30        40        50
label           ├─────────┤                   ├─────────┤
firing     5 ●       15 ●  18 ●      30 ●                    55 ●
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command_line import written

from penstock.operators.error import Misused, Rejected
from penstock.pipelines.backtest_labels import Label, load_labels, scored
from penstock.pipelines.backtest_row import Row

LABELS = [Label(None, 10_000, 20_000), Label(None, 40_000, 50_000)]


def row(seconds: int, key: str = "k") -> Row:
    return Row(
        run=f"r{seconds}", trigger="t", key=key, by=None, at=1000 * seconds, cause=f"s/0@{seconds}", end=False,
        state="final", agent=None, labels={}, values={}, events=1,
    )  # fmt: skip


def test_precision_recall_delay_and_false_alarms_are_counted() -> None:
    score = scored([row(at) for at in (5, 15, 18, 30, 55)], LABELS, days=2.0)
    assert (score.met, score.labels, score.true, score.firings) == (1, 2, 2, 5)
    assert score.delays == [5000]
    assert score.as_json() == {
        "labels": 2, "met": 1, "firings": 5, "true": 2, "precision": 0.4, "recall": 0.5,
        "delay_seconds": {"mean": 5.0, "median": 5.0}, "false_alarms_per_day": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(("at", "met"), [(10, 1), (20, 1), (9, 0), (21, 0)])
def test_the_edges_of_a_label_belong_to_it(at: int, met: int) -> None:
    assert scored([row(at)], LABELS, 1.0).met == met


def test_a_label_of_a_key_is_met_by_firings_of_that_key_only() -> None:
    label = [Label("k", 0, 60_000)]
    assert scored([row(1, "other")], label, 1.0).true == 0
    assert scored([row(1, "k")], label, 1.0).true == 1


def test_without_firings_precision_is_not_known() -> None:
    assert scored([], LABELS, 1.0).as_json()["precision"] is None


def test_lines_are_labels_and_those_that_overlap_become_one(tmp_path: Path) -> None:
    text = (
        '{"key": "a", "from": "1970-01-01T00:00:01Z", "to": "1970-01-01T00:00:05Z"}\n'
        '{"key": "a", "from": 4000, "to": 9000}\n{"from": 0, "to": 1}\n'
    )
    assert load_labels(written(tmp_path, text, "labels.jsonl"), None) == [Label(None, 0, 1), Label("a", 1000, 9000)]


def test_one_series_of_windows_is_chosen_by_its_name(tmp_path: Path) -> None:
    text = '{\n"x/one.csv": [["1970-01-01 00:00:01.000000", "1970-01-01 00:00:02.000000"]],\n"x/two.csv": []\n}'
    file = written(tmp_path, text, "windows.json")
    assert load_labels(file, "one") == [Label(None, 1000, 2000)]
    assert load_labels(file, "two") == []
    assert load_labels(file, None, ["one.csv", "other.csv"]) == [Label(None, 1000, 2000)]
    with pytest.raises(Misused, match=r"2 series.*one\.csv"):
        load_labels(file, None, ["three.csv"])
    with pytest.raises(Misused, match="0 series with 'three'"):
        load_labels(file, "three")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        '{"from": 1}',
        '{"from": 5, "to": 1}',
        '{"key": 3, "from": 1, "to": 2}',
        "[[1]]",
        '{"a": 7}',
        '{"from": "soon", "to": "later"}',
        '{"from": true, "to": true}',
        "7",
    ],
)
def test_what_is_no_label_is_refused_with_its_place(text: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"labels\.jsonl"):
        load_labels(written(tmp_path, text, "labels.jsonl"), None)
