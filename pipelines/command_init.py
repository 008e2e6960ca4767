"""`penstock init`: a first pipeline with a scenario, and the schemas that let an editor complete them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from penstock.operators.error import Rejected
from penstock.pipelines.schema import file_schema, scenario_schema

PIPELINE = "pipeline.yaml"
SCENARIOS = "pipeline.test.yaml"
SCHEMA = "penstock.schema.json"
SCENARIO_SCHEMA = "penstock.test.schema.json"
FIRST_PIPELINE = """\
# yaml-language-server: $schema=./penstock.schema.json
penstock: v1
name: ssh-watch
kafka: {bootstrap: "${KAFKA_BOOTSTRAP:-localhost:9092}"}
sources:
  auth: {topic: auth-log, key: event.host}       # JSON records such as {"host": "web-1", "outcome": "failed", "user": "root"}
triggers:
  brute_force: {when: 'count(event.outcome == "failed", 60s) >= 20'}
models:
  small: {base_url: "${VLLM_URL:-http://localhost:8000/v1}", model: Qwen/Qwen3-4B}
agents:
  investigate:
    ask: Is this host under attack? What should be done?
    answer: {verdict: {enum: [attack, benign, unclear]}, why: {type: string}}
"""
FIRST_SCENARIOS = """\
# yaml-language-server: $schema=./penstock.test.schema.json
penstock: test/v1
answers:
  investigate: {verdict: attack, why: twenty failures within a minute}
scenarios:
  - name: twenty failed logins within a minute are an attack
    events:
      - {at: 0s, event: {host: web-1, outcome: failed}, repeat: {times: 20, every: 1s}}
    expect:
      firings: [{trigger: brute_force, key: web-1, at: 19s}]
      results: [{state: final, answer: {verdict: attack}}]
  - name: nineteen are none
    events:
      - {at: 0s, event: {host: web-1, outcome: failed}, repeat: {times: 19, every: 1s}}
    expect: {none: true}
"""


def init(folder: Path) -> None:
    """Raises Rejected rather than overwrite a pipeline or its scenarios; the schemas are always written anew."""
    for name in (PIPELINE, SCENARIOS):
        if (folder / name).exists():
            raise Rejected(
                "is there already", where=str(folder / name), remedy="choose another folder, or remove it first"
            )
    texts = {
        PIPELINE: FIRST_PIPELINE,
        SCENARIOS: FIRST_SCENARIOS,
        SCHEMA: _as_text(file_schema()),
        SCENARIO_SCHEMA: _as_text(scenario_schema()),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Rejected(
            f"cannot be written: {error.strerror}", where=str(folder), remedy="choose another folder"
        ) from error
    pipeline = folder / PIPELINE
    typer.echo(f"wrote {pipeline}, with {SCENARIOS} and the schemas of both beside it")
    typer.echo(f"next: penstock check {pipeline} && penstock test {pipeline}")


def _as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"
