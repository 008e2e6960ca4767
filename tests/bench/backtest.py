"""Events per second of a backtest in two processes: reading, decoding, the core and joining; from a file on disk.

The events and the pipeline are those of `throughput`, without Kafka and without commits. Beside it the same in one process:
what the second one brings. CPU time is that of all processes together.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from tests.bench.figure import CannotRun, Figure
from tests.bench.part import ROOT
from tests.bench.throughput import events
from tests.bench.working import PIPELINES

EVENTS, EVENTS_QUICK = 10_000_000, 200_000
WORKERS = 2
PER_SECOND_MIN = 500_000
SECONDS_MAX = 1800.0


def run(quick: bool) -> Figure:
    """Raises CannotRun where a backtest does not end well."""
    count = EVENTS_QUICK if quick else EVENTS
    with TemporaryDirectory(prefix="penstock-bench-") as folder:
        recording = Path(folder, "events.jsonl")
        with recording.open("wb") as file:
            file.writelines(value + b"\n" for _, _, value in events(count))
        size = recording.stat().st_size / count
        alone, shared = (_round(recording, count, workers) for workers in (1, WORKERS))
    detail = {"events": count, "bytes_per_event": size, "rounds": [alone, shared]}
    ok, target = shared["per_second"] >= PER_SECOND_MIN, f">= {PER_SECOND_MIN} with -w {WORKERS}"
    return Figure("backtest", shared["per_second"], alone["per_second"], "events/s", target, ok=ok, detail=detail)


def _round(recording: Path, count: int, workers: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "penstock.pipelines", "backtest", str(PIPELINES / "one.yaml"), "--json"]
    arguments = ["--input", str(recording), "-w", str(workers)]
    before, began = os.times(), time.perf_counter()
    try:
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"a backtest did not end within {SECONDS_MAX:g} s") from error
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise CannotRun(done.stderr.decode()[-2000:])
    told = orjson.loads(done.stdout)
    assert told["events"] == {"events": count}, "every event was read"
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "workers": workers,
        "per_second": count / seconds,
        "cpu_microseconds": 1e6 * cpu / count,
        "firings": told["firings"],
    }
