"""Worker and model-server processes as a user would start them, and what to do to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PENSTOCK = (sys.executable, "-m", "penstock.pipelines")
ADDRESS = re.compile(r"http://\S+")


@dataclass
class Workers:
    """`penstock run` processes over one pipeline. Every process that was started is ended with the block."""

    file: Path
    broker: str
    environ: Mapping[str, str]
    options: Sequence[str] = ()
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="penstock-workers-")))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        number = len(self.processes)
        command = [*PENSTOCK, "run", str(self.file), "--broker", self.broker, *self.options, *options]
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **self.environ}, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)


@contextmanager
def workers(file: Path, broker: str, environ: Mapping[str, str], options: Sequence[str] = ()) -> Iterator[Workers]:
    started = Workers(file, broker, environ, options)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def simulated_model(*options: str) -> Iterator[str]:
    """Base URL of a `penstock fake-model` process on a free port."""
    command = [*PENSTOCK, "fake-model", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}, text=True)
    try:
        assert process.stdout is not None
        found = ADDRESS.search(process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(10)
