"""A pipeline with every kind of memory, and what its records are, for tests of it inside a dataflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from penstock.connectors.bytewax_task import Setting
from penstock.operators.event import ChatRequest
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.fake_answer import simulated_answer
from penstock.pipelines.loading import load

BEGINNING_MS = 1_795_166_047_000
PIPELINE = """
penstock: v1
name: flow
sources:
  auth: {topic: auth, key: event.host, time: {at: event.ts, unit: ms}, watermark: {delay: 2s, lateness: 10s}}
triggers:
  odd: {each: event.n % 7 == 0, agent: judge}
  many: {when: 'count(event.n % 2 == 0, 20s) >= 4', cooldown: 5s, agent: none}
  pair: {sequence: [{as: a, where: event.n % 5 == 0}, {as: b, where: event.n % 3 == 0}], within: 30s, agent: none}
  quiet: {absence: event.n % 4 == 0, for: 15s, agent: none}
  hourly: {every: 1m, agent: none}
  rare: {each: event.n % 2 == 1, limit: 9/hour, agent: none}
  note: {after: judge, where: 'answer.verdict == "attack"', agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny, price: {input: 1, output: 2}}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
outputs:
  latest: {topic: board, keep: 1m}
"""
TWO_SOURCES = PIPELINE.replace(
    "triggers:",
    "  flow: {topic: flow, key: event.host, time: {at: event.ts, unit: ms}, watermark: {delay: 2s, lateness: 10s}}\n"
    "triggers:",
    1,
)


def plan_of(folder: Path, text: str = PIPELINE) -> Plan:
    file = folder / "flow.yaml"
    file.write_text(text, encoding="utf-8")
    return compile_pipeline(load(file, (), (), None)).plan


def scripted(request: ChatRequest) -> str:
    return simulated_answer(request.messages, request.schema)


def setting_of(plan: Plan, partitions: int = 1) -> Setting:
    return Setting(plan, partitions, scripted)


def event(number: int) -> dict[str, Any]:
    """Four hosts; time goes forward, with steps back."""
    at = BEGINNING_MS + 1000 * number - number % 3 * 900
    return {"host": f"host-{number * 7 % 4}", "n": number * 11 % 13, "ts": at}


EVENTS = [event(number) for number in range(120)]


def record(value: bytes | None, topic: str = "auth", timestamp: int = BEGINNING_MS) -> Record:
    return Record(topic, 0, 0, timestamp, None, value)


def records(events: Sequence[dict[str, Any]] = EVENTS) -> list[Record]:
    return [record(orjson.dumps(each)) for each in events]


def essence(outputs: Sequence[Output]) -> list[tuple[str, str, bytes | None]]:
    """What two runs have to agree on."""
    return [(output.id, output.topic, output.value) for output in outputs]
