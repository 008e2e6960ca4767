"""Whoever follows files is killed and stopped while they grow and rotate: every line becomes one record."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from tests.command_line import RULES, written

from penstock.connectors.clock import MachineClock
from penstock.connectors.sqlite import SqliteStore

PROCESS = Path(__file__).with_name("input_process.py")
KILLS = 15
SECONDS_MAX = 60.0


class Writer(threading.Thread):
    """Appends lines in pieces that do not end where lines end, and rotates its file now and then."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self._path, self._random, self._over = path, Random(seed), threading.Event()
        self.lines: list[bytes] = []

    def run(self) -> None:
        generation = 0
        while not self._over.is_set():
            some = [
                b'{"host":"h%d","n":%d}' % (self._random.randrange(5), len(self.lines) + each)
                for each in range(self._random.randrange(1, 30))
            ]
            self.lines += some
            data = b"".join(line + b"\n" for line in some)
            cut = self._random.randrange(len(data))
            for piece in (data[:cut], data[cut:]):
                with self._path.open("ab") as file:
                    file.write(piece)
                time.sleep(self._random.uniform(0, 0.03))
            if self._random.random() < 0.05:
                generation += 1
                self._path.rename(self._path.with_suffix(f".log.{generation}"))

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    thread = Writer(tmp_path / "app.log", seed=5)
    thread.start()
    yield thread
    thread.end()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A pattern, so that a file is found that came and went while nobody looked."""
    text = RULES.replace("key: event.host}", f"key: event.host, input: {{file: '{tmp_path}/app.log*'}}}}")
    text += "kafka: {session_timeout: 1s}\n"
    return [sys.executable, str(PROCESS), str(written(tmp_path, text)), str(tmp_path / "topics.db")]


def records(path: Path) -> list[bytes]:
    """The values of the source's topic, in their order."""
    return asyncio.run(_records(path))


async def _records(path: Path) -> list[bytes]:
    store, found, start = SqliteStore(path, MachineClock()), list[bytes](), 0
    try:
        if await store.partitions("auth") is None:
            return []
        while (page := await store.read("auth", 0, start, 10_000)).records:
            found += [record.value or b"" for record in page.records]
            start = page.next
        return found
    finally:
        await store.close()


def count(path: Path) -> int:
    """Looked up beside the processes, without their locks."""
    with closing(sqlite3.connect(path)) as db:
        try:
            row = db.execute("SELECT sum(next) FROM partition WHERE topic = 'auth'").fetchone()
        except sqlite3.OperationalError:  # nobody has made the file yet
            return 0
    return int(row[0] or 0)


def wait_for(path: Path, wanted: int) -> None:
    until = time.monotonic() + SECONDS_MAX
    while count(path) < wanted and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.timeout(240)
def test_lines_of_rotated_files_come_once_whenever_the_process_is_killed(
    writer: Writer, command: list[str], tmp_path: Path
) -> None:
    chance, database = Random(7), Path(command[-1])
    with (tmp_path / "said.txt").open("ab") as said:
        for _ in range(KILLS):
            before = count(database)
            process = subprocess.Popen(command, stdout=said, stderr=said)
            wait_for(database, before + 1)
            time.sleep(chance.uniform(0, 0.4))  # the moment of the kill is the random input of this test
            process.kill()
            process.wait()
        writer.end()
        last = subprocess.Popen(command, stdout=said, stderr=said)
        wait_for(database, len(writer.lines))
        time.sleep(0.5)  # more would be seen
        last.kill()
        last.wait()
    assert records(database) == writer.lines
