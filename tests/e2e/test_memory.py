"""A worker that goes on reading, asking and telling: its memory is that of its state, which does not grow."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.e2e.trial import unique_name
from tests.kafka_cluster import Kafka

from penstock.pipelines.torture_faults import Arena
from penstock.pipelines.torture_load import pipeline_text, topics_of
from penstock.pipelines.torture_plan import Cycle
from penstock.pipelines.torture_processes import PENSTOCK, Workers, simulated_model
from penstock.pipelines.torture_trial import CALLS, Trial, create_source

pytestmark = pytest.mark.timeout(120)

CYCLES, WARM, EVENTS = 9, 6, 10_000
"""So many slices of so many events; after WARM ones every window is full and every pool of connections is as large as it gets."""
QUICK = ("--tokens-per-second", "4000", "--ttft", "0.01")
GROWTH_MAX = 4 << 20
"""Bytes, while 30,000 events, 1,800 results and 300 calls pass: 140 bytes an event would be too much."""


def test_a_worker_that_goes_on_needs_no_more_memory(kafka_cluster: Kafka, tmp_path: Path) -> None:
    namespace = unique_name("memory")
    topics, file = topics_of(namespace), tmp_path / "pipeline.yaml"
    workers = Workers((str(file),), tmp_path)
    resident: dict[int, int] = {}

    def note(cycles: int) -> None:
        (process,) = workers.running
        resident[cycles] = psutil.Process(process.pid).memory_info().rss

    with simulated_model(*QUICK, "--log", str(tmp_path / CALLS)) as model:
        file.write_text(pipeline_text(namespace, kafka_cluster.bootstrap, model))
        asyncio.run(create_source(kafka_cluster.bootstrap, topics.source))
        subprocess.run([*PENSTOCK, "topics", "apply", str(file)], check=True, capture_output=True)
        arena = Arena(workers, None, 1)
        trial = Trial(kafka_cluster.bootstrap, topics, arena, tmp_path, seed=1, per_cycle=EVENTS, show=note)
        try:
            asyncio.run(trial.run([Cycle((), 0.0)] * CYCLES))
        finally:
            workers.end()
    assert trial.found == []
    assert len(trial.ledger.outcomes) > EVENTS * CYCLES // 20
    assert resident[CYCLES] - resident[WARM] < GROWTH_MAX, resident
