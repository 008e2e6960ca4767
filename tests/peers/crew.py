"""The workers of one system, and a supervisor that starts what ended by itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.systems import Place, System

SUPERVISED_EVERY_SECONDS = 0.1
AGAIN_AFTER_SECONDS = 1.0
STOP_SECONDS_MAX = 30.0

Process = subprocess.Popen[bytes]


@dataclass
class Worker:
    """One place for a process. `wanted`: it is to run, so the supervisor starts it again."""

    folder: Path
    process: Process | None = None
    wanted: bool = False
    began: float = 0.0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Crew:
    """`died`: how often a process ended although nobody told it to."""

    system: System
    place: Place
    workers: Sequence[Worker]
    died: int = 0

    def start(self, number: int) -> None:
        worker = self.workers[number]
        environ = self.system.environ(self.place, worker.folder)
        with (worker.folder / "worker.log").open("ab") as log:
            worker.process = subprocess.Popen(
                self.system.command(self.place), env=environ, cwd=worker.folder, stdout=log, stderr=log
            )
        worker.wanted, worker.began = True, time.monotonic()

    def kill(self, number: int) -> None:
        """SIGKILL; nobody starts it again by himself."""
        worker = self.workers[number]
        worker.wanted = False
        if worker.process is not None:
            worker.process.kill()
            worker.process.wait()

    def watch(self, until: float) -> None:
        """Supervise until this moment of the monotonic clock."""
        while (left := until - time.monotonic()) > 0:
            self._supervise()
            time.sleep(min(left, SUPERVISED_EVERY_SECONDS))

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those who do not end."""
        running = [worker.process for worker in self.workers if worker.process is not None and worker.runs]
        for worker in self.workers:
            worker.wanted = False
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _supervise(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker.wanted and not worker.runs and time.monotonic() > worker.began + AGAIN_AFTER_SECONDS:
                self.died += 1
                self.start(number)


@contextmanager
def crew(system: System, place: Place, folder: Path, workers: int = 2) -> Iterator[Crew]:
    """Nobody works yet. Whoever works at the end of the block is stopped."""
    folders = [folder / f"worker-{number}" for number in range(workers)]
    for each in folders:
        each.mkdir(parents=True)
    hired = Crew(system, place, [Worker(each) for each in folders])
    try:
        yield hired
    finally:
        hired.stop()
