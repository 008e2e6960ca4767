"""`penstock init`: a first pipeline, and the schema that lets an editor complete it."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from penstock.operators.error import Rejected
from penstock.pipelines.schema import file_schema

PIPELINE = "pipeline.yaml"
SCHEMA = "penstock.schema.json"
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


def init(folder: Path) -> None:
    """Raises Rejected rather than overwrite a pipeline; the schema is always written anew."""
    pipeline = folder / PIPELINE
    if pipeline.exists():
        raise Rejected("is there already", where=str(pipeline), remedy="choose another folder, or remove it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pipeline.write_text(FIRST_PIPELINE, encoding="utf-8")
        (folder / SCHEMA).write_text(json.dumps(file_schema(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Rejected(
            f"cannot be written: {error.strerror}", where=str(folder), remedy="choose another folder"
        ) from error
    typer.echo(f"wrote {pipeline} and {folder / SCHEMA}")
    typer.echo(f"next: penstock check {pipeline}")
