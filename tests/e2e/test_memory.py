"""A worker that goes on reading, asking and telling: its memory is that of its state, which does not grow."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import orjson
import psutil
import pytest
from tests.e2e.processes import until, workers
from tests.e2e.ssh_stream import Written
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import LOG_CHARACTERS_MAX, unique_name

pytestmark = pytest.mark.timeout(120)

PIPELINE = """\
penstock: v1
name: memory
namespace: {name}
sources:
  events: {{topic: {name}.events, key: event.key}}
define:
  lately: count(true, 10s)
context:
  window: {{last: 10s, events: 50, tokens: 4000}}
triggers:
  told: {{each: event.number % 20 == 0, agent: none}}
  asked: {{each: event.number % 100 == 0, agent: judge}}
models:
  small: {{base_url: "{model}", model: any}}
agents:
  judge:
    models: [small]
    ask: "{{{{ key }}}} has told {{{{ values.lately }}}} events lately. Is it well?"
    answer: {{verdict: {{enum: [fine, broken]}}, why: {{type: string, maxLength: 200}}}}
outputs: {{results: {name}.results}}
"""
SLICES, WARM, EVENTS, KEYS = 6, 2, 5_000, 100
BEGINNING_MS, STEP_MS = 1_790_000_000_000, 10
"""Between two events: 1,000 of them are in a window."""
SECONDS_MAX = 60.0
GROWTH_MAX = 1 << 20
"""Bytes, while 15,000 events, 900 results and 150 calls pass: 70 bytes an event would be too much."""


def is_told(transport: KafkaTransport, topic: str, due: int) -> bool:
    return len(transport.read(topic)) >= due


def slice_of(number: int) -> list[Written]:
    """Keys take turns."""
    numbers = range(number * EVENTS, (number + 1) * EVENTS)
    return [
        Written(
            b"k%d" % (each % KEYS),
            orjson.dumps({"key": f"k{each % KEYS}", "number": each}),
            BEGINNING_MS + STEP_MS * each,
        )
        for each in numbers
    ]


def test_a_worker_that_goes_on_needs_no_more_memory(
    kafka_transport: KafkaTransport, quick_model: str, tmp_path: Path
) -> None:
    name, file = unique_name("memory"), tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.format(name=name, model=quick_model))
    kafka_transport.create(f"{name}.events")
    resident: list[int] = []
    sets = [argument for each in kafka_transport.sets for argument in ("--set", each)]
    with workers(str(file), "--broker", kafka_transport.broker, *sets) as group:
        process = psutil.Process(group.start().pid)
        for number in range(SLICES):
            kafka_transport.produce(f"{name}.events", slice_of(number))
            due = (number + 1) * (EVENTS // 20 + EVENTS // 100)
            told = partial(is_told, kafka_transport, f"{name}.results", due)
            assert until(told, SECONDS_MAX, every=0.5), group.log()[-LOG_CHARACTERS_MAX:]
            resident.append(process.memory_info().rss)
    assert resident[-1] - resident[WARM] < GROWTH_MAX, resident
