"""The simulated model server, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.figure import CannotRun

ADDRESS = re.compile(r"http://\S+")
END_SECONDS_MAX = 30.0


@contextmanager
def simulated_model(*options: str) -> Iterator[str]:
    """Base URL of a `penstock fake-model` with these options. What it says of clients that leave is of no interest."""
    command = [sys.executable, "-m", "penstock.pipelines", "fake-model", "--listen", "127.0.0.1:0", *options]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, text=True
    ) as process:
        assert process.stdout is not None
        found = ADDRESS.search(process.stdout.readline())
        try:
            if found is None:
                raise CannotRun("the simulated model server did not start; try `penstock fake-model`")
            yield found[0]
        finally:
            process.terminate()
            process.wait(END_SECONDS_MAX)
