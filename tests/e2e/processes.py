"""Processes as a user would start them, for as long as a test needs them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.pipelines.torture_processes import PENSTOCK, SECONDS_MAX, Workers


@contextmanager
def workers(*command: str) -> Iterator[Workers]:
    """Every process that was started is ended with the block."""
    with tempfile.TemporaryDirectory(prefix="penstock-workers-") as folder:
        started = Workers(command, Path(folder))
        try:
            yield started
        finally:
            started.end()


def penstock(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, from its start to its end."""
    return subprocess.run(
        [*PENSTOCK, *arguments], capture_output=True, text=True, timeout=SECONDS_MAX, env={**os.environ, **environ}
    )


def until(condition: Callable[[], bool], seconds: float, every: float = 0.2) -> bool:
    """Wait for it; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
