"""Workers on a file whose disk is full or has forgotten a page: a sentence, exit code 4, and nothing that was made up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.deployment import Deployment, undisturbed
from tests.e2e.ssh_stream import generated, records
from tests.e2e.transport import SqliteTransport
from tests.e2e.trial import Trial
from tests.small_disk import fill, make_room, small_disk

from penstock.pipelines.torture_processes import Process, Workers

DISK, LEFT = 4 << 20, 400 << 10
"""Bytes: of the disk, and of what is left on it when a worker comes, which is enough for a while."""
DEPLOYMENT = Deployment("disk", "auth")
LOG = "disk.ssh-watch.log"
REFUSED = 4
SECONDS_MAX = 60.0
DAMAGE = b"\xaa"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK) as disk:
        yield disk


def trial_in(folder: Path) -> Trial:
    """All of the source is there."""
    stream = records(generated(3, 2, "eu-"))
    trial = Trial(SqliteTransport(folder / "topics.db"), DEPLOYMENT, undisturbed(DEPLOYMENT.source, stream))
    trial.transport.create(DEPLOYMENT.source)
    trial.transport.produce(DEPLOYMENT.source, stream)
    return trial


def refused(group: Workers, process: Process) -> str:
    """The last line of a process that ends by itself."""
    group.dismissed.add(process)
    assert process.wait(SECONDS_MAX) == REFUSED, group.log()
    said = group.log_of(group.processes.index(process)).read_text()
    assert "Traceback" not in said, said
    return said.splitlines()[-1]


def test_a_full_disk_ends_a_worker_with_a_sentence_and_with_room_the_next_goes_on(disk: Path, quick_model: str) -> None:
    trial = trial_in(disk)
    fill(disk, LEFT)
    with trial.workers(quick_model) as group:
        said = refused(group, group.start())
        assert "topics.db: the disk is full" in said
        assert "make room and start again" in said
        assert " opened in " in group.log(), "it ended before it could do anything"
        make_room(disk)
        group.start()
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
        trial.check(group)


def page_with(path: Path, topic: str) -> tuple[int, int]:
    """Where the page lies that holds the last record of this topic, and its size."""
    last = "SELECT value FROM record JOIN partition ON id = partition WHERE topic = ? ORDER BY offset DESC"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (value,) = db.execute(last, (topic,)).fetchone()
    size = page_bytes(path)
    return path.read_bytes().index(value[-40:]) // size * size, size


def page_bytes(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[16:18], "big")


@pytest.mark.parametrize("topic", ["", DEPLOYMENT.source, LOG], ids=["first page", "source", "log"])
def test_a_damaged_page_ends_a_worker_with_a_sentence_and_stays_as_it_is(
    tmp_path: Path, quick_model: str, topic: str
) -> None:
    trial, path = trial_in(tmp_path), tmp_path / "topics.db"
    with trial.workers(quick_model) as group:
        if topic == LOG:  # there is none before the first process
            group.start("--until-idle", "0.5").wait(SECONDS_MAX)
            group.dismissed.update(group.processes)
        place, size = page_with(path, topic) if topic else (0, page_bytes(path))
        with path.open("r+b") as file:
            file.seek(place)
            file.write(DAMAGE * size)
        said = refused(group, group.start())
    assert f"{path}: the file is damaged" in said
    assert "restore it from a copy" in said
    assert path.read_bytes()[place : place + size] == DAMAGE * size
