"""Batch use: a recording is worked off by one process, which ends by itself and says with its exit code how it went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.command_line import failures, recording, written
from tests.e2e.processes import penstock

from penstock.pipelines.torture_processes import simulated_model

PIPELINE = """
penstock: v1
name: batch
sources:
  auth: {topic: auth, key: event.host}
triggers:
  many: {when: 'count(event.outcome == "failed", 60s) >= 3'}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}}
"""
FALLBACK = "    fallback: {verdict: benign}\n"
ALL = ("--fail-on", "dead,failed,degraded")


@pytest.mark.parametrize(
    ("text", "fault", "options", "said"),
    [
        (PIPELINE, "garbage=0", ALL, "there is 1 dead letter ("),
        (PIPELINE, "garbage=0", ["--fail-on", "failed,degraded"], ""),
        (PIPELINE, "garbage=1", ALL, "there are 1 dead letter and 1 failed result ("),
        (PIPELINE + FALLBACK, "garbage=1", ["--fail-on", "degraded"], "there is 1 degraded result ("),
        (PIPELINE, "garbage=1", [], ""),
    ],
)
def test_a_batch_fails_on_what_it_is_told_to_fail_on(
    text: str, fault: str, options: list[str], said: str, tmp_path: Path
) -> None:
    file, broker = str(written(tmp_path, text)), ("--broker", f"sqlite:{tmp_path / 'batch.db'}")
    events = recording(tmp_path, [*failures(3), {"user": "nobody"}])
    assert penstock("feed", file, "--input", str(events), *broker).returncode == 0
    with simulated_model("--fault", fault) as url:
        done = penstock(
            "run", file, *broker, "--set", f"models.small.base_url={url}", "--until-idle", "0.3", "--json", *options
        )
    assert done.returncode == json.loads(done.stdout)["exit_code"] == bool(said), done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"penstock: --fail-on: {said}") if said else "exit code 0" in last
