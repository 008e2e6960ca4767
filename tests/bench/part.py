"""Parts of a benchmark that run in a process of their own, so that its CPU time and memory are theirs alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import orjson
import uvloop
from tests.bench.figure import CannotRun

from penstock.pipelines.collector import spare_collector

ROOT = Path(__file__).resolve().parents[2]
PART_SECONDS_MAX = 300.0


def run_part(module: str, *arguments: object) -> dict[str, Any]:
    """What `python -m tests.bench.<module> <arguments>` prints as its last line. Raises CannotRun with what it said otherwise."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=PART_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"{module} did not end within {PART_SECONDS_MAX:g} s") from error
    if done.returncode:
        raise CannotRun(f"{module} {' '.join(map(str, arguments))}: {done.stderr.decode()[-2000:]}")
    figures: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return figures


def say(figures: Coroutine[Any, Any, dict[str, Any]]) -> None:
    """The other end of `run_part`: do the work as `penstock run` does, and print what it returns."""
    spare_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        say_at_once(runner.run(figures))


def say_at_once(figures: Mapping[str, Any]) -> None:
    print(orjson.dumps(figures).decode(), flush=True)
