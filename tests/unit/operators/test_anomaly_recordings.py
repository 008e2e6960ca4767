"""`anomaly` with its default settings on real recordings (Numenta Anomaly Benchmark), whose anomalies people have marked."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.oracle.product import PARTITION, TOPIC, Worker, milliseconds, plan_of, results
from tests.oracle.timeline import HEAD

from penstock.operators.record import Record

LATENCY = "ec2_request_latency_system_failure"
MACHINE = "machine_temperature_system_failure"
TAXIS = "nyc_taxi"


def milliseconds_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def recorded(folder: Path, name: str) -> list[Record]:
    with (folder / f"{name}.csv").open(newline="") as file:
        rows = [(milliseconds_of(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    events = [json.dumps({"key": "k", "t": time / 1000, "v": value}).encode() for time, value in rows]
    return [Record(TOPIC, PARTITION, offset, rows[offset][0], None, event) for offset, event in enumerate(events)]


def fired_at(records: list[Record], trigger: str) -> list[int]:
    worker = Worker(plan_of(HEAD % ("0s", trigger)), records)
    worker.feed(len(records), 0)
    worker.commit()
    told = results(worker.outputs, worker.plan.results.results)
    headers = {output.id: dict(output.headers) for output in worker.outputs}
    begun = [f"{result['run']}/{result['rev']}" for result in told if result["state"] != "resolved"]
    return [milliseconds(headers[each]["ce_time"].decode()) for each in begun]


@pytest.mark.parametrize(
    ("name", "method", "found_min", "outside_max"),
    [
        (LATENCY, "method: ewma", 3, 0),
        (LATENCY, "method: robust_seasonal", 3, 0),
        (LATENCY, "method: change_point", 1, 3),
        (MACHINE, "method: ewma", 2, 5),
        (MACHINE, "method: robust_seasonal", 1, 0),
        (TAXIS, "method: ewma", 0, 0),
        (TAXIS, "method: robust_seasonal", 1, 0),
        (TAXIS, "method: robust_seasonal, season: 1w", 3, 4),
    ],
)
def test_so_many_marked_windows_are_found_and_so_few_others(
    recordings: Path, name: str, method: str, found_min: int, outside_max: int
) -> None:
    folder = recordings / "nab"
    if not (folder / f"{name}.csv").is_file():
        pytest.skip(f"no recording at {folder / name}.csv")
    marked = json.loads((folder / "combined_windows.json").read_text())[f"realKnownCause/{name}.csv"]
    windows = [(milliseconds_of(begin), milliseconds_of(end)) for begin, end in marked]
    fired = fired_at(recorded(folder, name), f"anomaly: event.v, {method}")
    found = sum(any(begin <= at <= end for at in fired) for begin, end in windows)
    outside = sum(not any(begin <= at <= end for begin, end in windows) for at in fired)
    assert found >= found_min
    assert outside <= outside_max
