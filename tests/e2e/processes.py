"""Worker and model-server processes as a user would start them, and what can be done to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PENSTOCK = (sys.executable, "-m", "penstock.pipelines")
ADDRESS = re.compile(r"http://\S+")
SECONDS_MAX = 30.0

Process = subprocess.Popen[bytes]


@dataclass
class Workers:
    """`penstock run` processes over one pipeline. `command` is what stands behind `penstock run`.

    Every process that was started is ended with the block; `log` is what all of them said.
    """

    command: Sequence[str]
    folder: Path
    processes: list[Process] = field(default_factory=list)
    killed: list[Process] = field(default_factory=list)

    def start(self, *options: str, **environ: str) -> Process:
        with self._log_of(len(self.processes)).open("wb") as log:
            command = [*PENSTOCK, "run", *self.command, *options]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environ})
        self.processes.append(process)
        return process

    @property
    def running(self) -> list[Process]:
        return [process for process in self.processes if process.poll() is None]

    @property
    def deserters(self) -> list[Process]:
        """Those who ended although nobody told them to."""
        return [process for process in self.processes if process.poll() is not None and process not in self.killed]

    def kill(self, process: Process) -> None:
        self.killed.append(process)
        process.kill()
        process.wait(SECONDS_MAX)

    def has_opened(self, process: Process, tasks: int) -> bool:
        """Wait until it has opened so many tasks, not for ever; whether it has."""
        log = self._log_of(self.processes.index(process))
        return until(lambda: log.read_text(errors="replace").count(" opened\n") >= tasks, SECONDS_MAX)

    def kills_itself(self, process: Process) -> bool:
        """Wait for that, not for ever; whether it happened."""
        self.killed.append(process)
        return until(lambda: process.poll() is not None, SECONDS_MAX, 0.02) and process.returncode == -signal.SIGKILL

    def stop(self) -> list[int]:
        """SIGTERM to all that run; their exit codes."""
        running = self.running
        for process in running:
            process.terminate()
        return [process.wait(SECONDS_MAX) for process in running]

    def _log_of(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def log(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')}" for path in sorted(self.folder.iterdir()))

    def end(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(SECONDS_MAX)


@contextmanager
def workers(*command: str) -> Iterator[Workers]:
    with tempfile.TemporaryDirectory(prefix="penstock-workers-") as folder:
        started = Workers(command, Path(folder))
        try:
            yield started
        finally:
            started.end()


@contextmanager
def simulated_model(*options: str) -> Iterator[str]:
    """Base URL of a `penstock fake-model` process on a free port."""
    command = [*PENSTOCK, "fake-model", "--listen", "127.0.0.1:0", *options]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = ADDRESS.search(said)
        assert found is not None, f"{said}{process.stdout.read()}"
        yield found[0]
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)
        if process.stdout is not None:
            process.stdout.close()


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
