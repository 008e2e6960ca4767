"""The page on dataflows runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.bench.server import simulated_model
from tests.flows import BEGINNING_MS, plan_of, records

from penstock.connectors.bytewax_task import Setting, begun

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "bytewax.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def block(language: str, number: int = 0) -> str:
    found: list[str] = [text for tongue, text in BLOCK.findall(PAGE) if tongue == language]
    return found[number]


def test_the_flow_tells_what_the_page_says(tmp_path: Path) -> None:
    pytest.importorskip("bytewax", reason="there is no Bytewax for this version of Python")
    (tmp_path / "logins.yaml").write_text(block("yaml"))
    (tmp_path / "auth.jsonl").write_text(block("json"))
    (tmp_path / "flow.py").write_text(block("python"))
    command, *told = block("console").splitlines()
    words = [sys.executable, *command.removeprefix("$ python ").split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert sorted(done.stdout.splitlines()) == sorted(told), done.stderr


def test_the_function_that_asks_is_answered_by_a_server(tmp_path: Path) -> None:
    with simulated_model() as url:
        names: dict[str, Any] = {}
        exec(block("python", 1).replace("http://127.0.0.1:8000/v1", url), names)
        plan = plan_of(tmp_path)
        task = begun(Setting(plan, 1, names["ask"]), 0, BEGINNING_MS)
        task.feed(records()[:10], BEGINNING_MS)
    outcomes = [orjson.loads(output.value or b"") for output in task.take() if output.topic == plan.results.results]
    judged = [outcome for outcome in outcomes if outcome["agent"] == "judge"]
    assert judged
    assert all(outcome["state"] == "final" and outcome["answer"]["verdict"] for outcome in judged)


def test_without_a_server_the_agent_does_without(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(block("python", 1).replace(":8000", ":9"), names)
    plan = plan_of(tmp_path)
    task = begun(Setting(plan, 1, names["ask"]), 0, BEGINNING_MS)
    task.feed(records()[:1], BEGINNING_MS)
    outcomes = [orjson.loads(output.value or b"") for output in task.take() if output.topic == plan.results.results]
    assert [outcome["state"] for outcome in outcomes if outcome["agent"] == "judge"] == ["failed"]
