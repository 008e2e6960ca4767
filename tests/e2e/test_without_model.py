"""No model server: refused at the start, lived with while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.command_line import failures, recording, written
from tests.e2e.processes import penstock, until

from penstock.pipelines.torture_processes import PENSTOCK, SECONDS_MAX, simulated_model

PIPELINE = """
penstock: v1
name: watch
sources:
  auth: {topic: auth, key: event.host}
triggers:
  many: {when: 'count(event.outcome == "failed", 60s) >= 3'}
models:
  small: {base_url: "http://127.0.0.1:1/v1", model: tiny}
  large: {base_url: "http://127.0.0.1:1/v1", model: huge}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}}
    limits: {time: 2s}
    fallback: {verdict: benign}
"""
OUTSIDE = 3


def test_an_agent_without_any_model_ends_the_start_with_a_sentence_after_a_few_tries(tmp_path: Path) -> None:
    done = penstock("run", str(written(tmp_path, PIPELINE)), "--broker", f"sqlite:{tmp_path / 'watch.db'}")
    assert done.returncode == OUTSIDE
    *tries, last = done.stderr.splitlines()
    sentence = (
        "agent judge: no model to ask: model small at http://127.0.0.1:1/v1 cannot be reached: connection refused; "
        "model large at http://127.0.0.1:1/v1 cannot be reached: connection refused "
        "(start the server, or correct `base_url`)"
    )
    assert last == f"penstock: {sentence}"
    assert sum(line.endswith(f"{sentence}; trying again") for line in tries) == 4


def test_with_one_model_of_two_it_starts_and_says_so(tmp_path: Path) -> None:
    file, broker = str(written(tmp_path, PIPELINE)), ("--broker", f"sqlite:{tmp_path / 'watch.db'}")
    with simulated_model() as url:
        done = penstock("run", file, *broker, "--set", f"models.large.base_url={url}", "--until-idle", "0.5")
    assert done.returncode == 0, done.stderr
    assert "WARNING model small at http://127.0.0.1:1/v1: cannot be reached: connection refused" in done.stderr
    assert "trying again" not in done.stderr


def test_a_model_server_that_goes_away_while_it_runs_ends_nothing(tmp_path: Path) -> None:
    file, broker = str(written(tmp_path, PIPELINE)), ("--broker", f"sqlite:{tmp_path / 'watch.db'}")
    with simulated_model() as url:
        command = [*PENSTOCK, "run", file, *broker, "--set", f"models.small.base_url={url}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any("opened" in line for line in process.stderr)
    try:
        assert penstock("feed", file, "--input", str(recording(tmp_path, failures(3))), *broker).returncode == 0
        assert until(lambda: bool(_results(file, *broker)), SECONDS_MAX)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0
    result = _results(file, *broker)[0]
    assert (result["answer"], result["degraded"][-1]["step"]) == ({"verdict": "benign"}, "fallback")


def _results(file: str, *options: str) -> list[dict[str, Any]]:
    shown = penstock("tail", file, *options, "--until-idle", "0.2", "--json")
    return [json.loads(line)["value"] for line in shown.stdout.splitlines()]
