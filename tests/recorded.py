"""Real recordings, which the repository does not ship, and what a pipeline does on them."""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.oracle.product import milliseconds

from penstock.operators.plan import Plan
from penstock.operators.record import Raw
from penstock.pipelines.samples import SampleTask

FOLDER = Path(os.environ.get("PENSTOCK_RECORDINGS", Path(__file__).resolve().parents[2] / "shared" / "data"))
"""Holds loghub/ and nab/."""
NO_FOLDER = f"no recordings at {FOLDER}; set PENSTOCK_RECORDINGS to a folder with loghub/ and nab/"
SERIES = (
    "ec2_request_latency_system_failure",
    "machine_temperature_system_failure",
    "nyc_taxi",
    "rogue_agent_key_hold",
)
"""Of the Numenta Anomaly Benchmark (https://github.com/numenta/NAB), those with a known cause that are kept here."""


def series(name: str) -> list[tuple[int, float]]:
    """Rows of a series in nab/: time (ms) and value."""
    with (FOLDER / "nab" / f"{name}.csv").open(newline="") as file:
        return [(milliseconds(f"{row['timestamp']}+00:00"), float(row["value"])) for row in csv.DictReader(file)]


def marked(name: str) -> list[tuple[int, int]]:
    """Windows (ms) around what people have marked in a series as an anomaly."""
    windows = json.loads((FOLDER / "nab" / "combined_windows.json").read_text())[f"realKnownCause/{name}.csv"]
    return [(milliseconds(f"{begin}+00:00"), milliseconds(f"{end}+00:00")) for begin, end in windows]


def fired_at(plan: Plan, records: Iterable[Raw]) -> dict[str, list[int]]:
    """When (ms) each trigger fired on records of the plan's first source, whose last one is the end of its input."""
    sample = SampleTask(plan, plan.sources[0])
    for raw in records:
        sample.feed(raw)
    sample.end()
    cut = sample.task.cut(seq=1, incarnation=1, owner="test", build="test", sent={})
    times = defaultdict(list)
    for output in cut.outputs:
        if output.topic == plan.results.results:
            result, headers = json.loads(output.value or b""), dict(output.headers)
            if result["state"] != "resolved":
                times[result["triggers"][0]].append(milliseconds(headers["ce_time"].decode()))
    return times
