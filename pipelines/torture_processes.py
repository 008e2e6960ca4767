"""Worker and model-server processes as a user would start them, and what can be done to them.

They get sessions of their own: a Ctrl-C in the terminal is for whoever started them, and he ends them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from penstock.operators.error import Unreachable

PENSTOCK = (sys.executable, "-m", "penstock.pipelines")
SECONDS_MAX = 30.0
_ADDRESS = re.compile(r"http://\S+")
_WORKS, _OPENED = b" works on ", b" opened in "

Process = subprocess.Popen[bytes]


@dataclass
class Workers:
    """`penstock run` processes over one pipeline. `command` is what stands behind `penstock run`, logs go into `folder`.

    Whoever starts some has to `end` them.
    """

    command: Sequence[str]
    folder: Path
    processes: list[Process] = field(default_factory=list)
    dismissed: set[Process] = field(default_factory=set)
    """Those who were told to end, or killed."""

    def start(self, *options: str, **environ: str) -> Process:
        number = len(self.processes)
        with self.log_of(number).open("wb") as log:
            command = [*PENSTOCK, "run", *self.command, *options]
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **environ}
            )
        self.processes.append(process)
        return process

    @property
    def running(self) -> list[Process]:
        """Also those who were told to end and have not yet."""
        return [process for process in self.processes if process.poll() is None]

    @property
    def deserters(self) -> list[Process]:
        """Those who ended although nobody told them to."""
        return [process for process in self.processes if process not in self.dismissed and process.poll() is not None]

    def kill(self, process: Process) -> None:
        self.dismissed.add(process)
        process.kill()
        process.wait(SECONDS_MAX)

    def dismiss(self, process: Process) -> None:
        """SIGTERM; how it ends is its `returncode`."""
        self.dismissed.add(process)
        process.terminate()

    def stop(self) -> list[int]:
        """SIGTERM to all that run; their exit codes."""
        running = self.running
        for process in running:
            self.dismiss(process)
        return [process.wait(SECONDS_MAX) for process in running]

    def log_of(self, number: int) -> Path:
        return self.folder / f"worker-{number:04}.log"

    def works(self, process: Process) -> bool:
        """It has come so far that it heeds signals."""
        return _WORKS in self._said_by(process)

    def openings(self, process: Process) -> int:
        """How often it has opened a task."""
        return self._said_by(process).count(_OPENED)

    def _said_by(self, process: Process) -> bytes:
        return self.log_of(self.processes.index(process)).read_bytes()

    def log(self) -> str:
        """What all of them said."""
        paths = (self.log_of(number) for number in range(len(self.processes)))
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')}" for path in paths)

    def end(self) -> None:
        """SIGKILL to all that run."""
        for process in self.running:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(SECONDS_MAX)


@contextmanager
def simulated_model(*options: str) -> Iterator[str]:
    """Base URL of a `penstock fake-model` process on a free port. Raises Unreachable when it does not come up."""
    command = [*PENSTOCK, "fake-model", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = _ADDRESS.search(said)
        if found is None:
            raise Unreachable(f"it did not start: {said}{process.stdout.read()}", where="penstock fake-model")
        yield found[0]
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)
        if process.stdout is not None:
            process.stdout.close()
