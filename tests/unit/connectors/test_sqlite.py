"""What only a file can do to us: locks, full disks, files of others, processes that share it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.contract.world import TASK, fetched, next_delta, opened, output, restored, values_of

from penstock.connectors.clock import MachineClock
from penstock.connectors.embedded_broker import EmbeddedBroker
from penstock.connectors.embedded_store import Trim, Write
from penstock.connectors.lease import Lease
from penstock.connectors.membership import Terms
from penstock.connectors.port import Layout, TaskLog
from penstock.connectors.sqlite import SqliteBroker, SqliteStore
from penstock.connectors.sqlite_file import SCHEMA, file_system_of, open_file, refuse_network_file_system
from penstock.connectors.sqlite_seats import attend
from penstock.operators.error import (
    Damaged,
    Fenced,
    Indefinite,
    PenstockError,
    Rejected,
    StateRefused,
    TooNew,
    Unreachable,
)
from penstock.state.delta import Delta

LAYOUT = Layout("dev", "p", {"in": "earliest"}, frozenset({"out"}), "previews")
CLOCK = MachineClock()
Brokers = list[EmbeddedBroker]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "penstock.db"


@pytest.fixture
async def brokers() -> AsyncIterator[Brokers]:
    """Those that the test opened; closed at the end."""
    made: Brokers = []
    yield made
    for broker in made:
        await broker.close()


async def start(
    brokers: Brokers, path: Path, *, busy_seconds: float = 5.0, file_bytes_max: int | None = None
) -> EmbeddedBroker:
    store = SqliteStore(path, CLOCK, busy_seconds=busy_seconds, file_bytes_max=file_bytes_max)
    broker = EmbeddedBroker(store, LAYOUT, f"m{len(brokers)}", CLOCK, record_bytes_max=10**7)
    brokers.append(broker)
    await broker.create_topic("in", 1)
    await broker.start()
    return broker


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_the_event_loop_goes_on_while_a_commit_waits_for_the_disk(brokers: Brokers, path: Path) -> None:
    here, there = await start(brokers, path), await start(brokers, path)
    log = await opened(here)
    with locked(path):
        commit = asyncio.create_task(log.commit(next_delta(log), [output("out", "x")]))
        assert [raw async for raw in there.read("out", 0, 0)] == []
        assert not commit.done()
    await commit
    assert await values_of(there, "out", 1) == [b"x"]


async def test_a_lock_that_is_never_released_leaves_a_commit_indefinite(brokers: Brokers, path: Path) -> None:
    broker = await start(brokers, path, busy_seconds=0.01)
    log = await opened(broker)
    with locked(path):
        with pytest.raises(Indefinite, match=r"penstock\.db.*another process has held the lock"):
            await log.commit(next_delta(log), [output("out", "x")])
        with pytest.raises(Unreachable, match="another process"):
            await broker.produce("in", b"k", b"v")
    with pytest.raises(Indefinite):
        await log.commit(next_delta(log), [output("out", "x")])
    again = await opened(broker)
    await again.commit(next_delta(again), [output("out", "y")])
    assert await values_of(broker, "out", 1) == [b"y"]


async def test_a_cancelled_commit_ends_the_log_whatever_becomes_of_it(brokers: Brokers, path: Path) -> None:
    broker = await start(brokers, path)
    log = await opened(broker)
    with locked(path):
        commit = asyncio.create_task(log.commit(next_delta(log), []))
        await asyncio.sleep(0)
        commit.cancel()
        await asyncio.wait([commit])
    with pytest.raises(Indefinite):
        await log.commit(next_delta(log), [])


async def fill(log: TaskLog) -> None:
    while True:
        await log.commit(next_delta(log), [output("out", "x" * 20_000)])


async def test_a_full_disk_stops_with_a_sentence_and_leaves_the_file_intact(brokers: Brokers, path: Path) -> None:
    broker = await start(brokers, path, file_bytes_max=300_000)
    log = await opened(broker)
    with pytest.raises(StateRefused, match=r"penstock\.db: the disk is full.*make room.*intact"):
        await fill(log)
    written = log.seq
    assert written > 3
    with pytest.raises(StateRefused, match="the disk is full"):
        await broker.produce("in", b"k", b"x" * 100_000)
    await broker.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    roomier = await start(brokers, path)
    deltas = [entry for entry in await restored(await roomier.open(TASK)) if isinstance(entry, Delta)]
    assert len(deltas) == 1 + written
    assert len(await values_of(roomier, "out", written)) == written
    await opened(roomier)


def test_a_file_of_a_newer_version_is_refused_and_not_touched(path: Path) -> None:
    open_file(path, busy_seconds=1).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    before = path.read_bytes()
    with pytest.raises(TooNew, match=rf"schema {SCHEMA + 1}.*up to {SCHEMA}"):
        open_file(path, busy_seconds=1)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_not_touched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(Rejected, match="another program"):
        open_file(path, busy_seconds=1)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("timestamp,value\n" * 100)
    with pytest.raises(Damaged, match=r"penstock\.db"):
        open_file(path, busy_seconds=1)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="nowhere"):
        open_file(tmp_path / "nowhere" / "penstock.db", busy_seconds=1)


MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /mnt tmpfs rw 0 0
server:/export /mnt/shared nfs4 rw,vers=4.2 0 0
//server/docs /mnt/with\\040blank cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [("/srv/x.db", "ext4"), ("/mnt/x.db", "tmpfs"), ("/mnt/shared/a/x.db", "nfs4"), ("/mnt/with blank/x.db", "cifs")],
)
def test_the_file_system_of_a_place_is_that_of_its_deepest_mount(tmp_path: Path, place: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert file_system_of(Path(place), mounts) == kind


def test_a_network_file_system_is_refused_where_the_machine_says_that_it_is_one(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    refuse_network_file_system(Path("/srv/x.db"), mounts)
    refuse_network_file_system(Path("/mnt/shared/x.db"), tmp_path / "not there")
    with pytest.raises(Unreachable, match=r"/mnt/shared/x\.db.*network file system \(nfs4\).*local disk"):
        refuse_network_file_system(Path("/mnt/shared/x.db"), mounts)


def test_a_commit_survives_a_power_cut(path: Path) -> None:
    with closing(open_file(path, busy_seconds=1)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_many_may_make_the_file_at_once(path: Path) -> None:
    failures: list[PenstockError] = []

    def make() -> None:
        try:
            open_file(path, busy_seconds=5).close()
        except PenstockError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_offsets_are_never_given_twice_even_if_all_records_are_gone(path: Path) -> None:
    store = SqliteStore(path, CLOCK)
    await store.create_topic("t", 1)
    write = Write("t", 0, None, b"x", (), 0)
    fence = await store.fence("task")
    assert await store.commit(fence, [write, write], None) == [0, 1]
    assert await store.commit(fence, [], Trim("t", 0, 2)) == []
    page = await store.read("t", 0, 0, 10)
    assert (page.records, page.bounds) == ([], (2, 2, 2))
    assert await store.append(write) == 2
    await store.close()


async def test_a_fence_holds_over_processes(brokers: Brokers, path: Path) -> None:
    here, there = await start(brokers, path), await start(brokers, path)
    zombie, owner = await opened(here), await opened(there)
    with pytest.raises(Fenced):
        await zombie.commit(next_delta(zombie), [output("out", "zombie")])
    await owner.commit(next_delta(owner), [output("out", "owner")])
    assert await values_of(here, "out", 1) == [b"owner"]


async def test_what_another_process_writes_is_noticed(brokers: Brokers, path: Path) -> None:
    here, there = await start(brokers, path), await start(brokers, path)
    log = await opened(here)
    waiting = asyncio.create_task(fetched(log, 1))
    while not waiting.done():
        await there.produce("in", b"k", b"news")
        await asyncio.wait([waiting], timeout=0.2)
    assert (await waiting)["in"][0].value == b"news"


async def test_a_preview_does_not_make_later_commits_less_durable(path: Path) -> None:
    store = SqliteStore(path, CLOCK)
    await store.create_topic("t", 1)
    await store.append(Write("t", 0, None, b"x", (), 0), durable=False)
    (level,) = await store._run(lambda db: db.execute("PRAGMA synchronous").fetchone())
    assert level == 2
    await store.close()


async def test_records_that_are_large_come_in_smaller_pages(brokers: Brokers, path: Path) -> None:
    broker = await start(brokers, path)
    for _ in range(6):
        await broker.produce("in", b"k", b"x" * (1 << 20))
    assert len([raw async for raw in broker.read("in", 0, 0)]) == 6


async def test_a_broker_that_was_closed_says_so(path: Path) -> None:
    broker = SqliteBroker(path, LAYOUT, "a", CLOCK)
    await broker.create_topic("in", 1)
    await broker.close()
    await broker.close()
    with pytest.raises(Unreachable, match="closed"):
        await broker.start()


async def test_records_written_at_the_same_time_all_arrive_in_their_order(brokers: Brokers, path: Path) -> None:
    broker = await start(brokers, path)
    await asyncio.gather(*(broker.produce("in", b"k", b"%d" % number) for number in range(300)))
    assert [raw.value async for raw in broker.read("in", 0, 0)] == [b"%d" % number for number in range(300)]


async def test_one_record_that_cannot_be_written_does_not_pretend_for_the_others(brokers: Brokers, path: Path) -> None:
    broker = await start(brokers, path, busy_seconds=0.01)
    with locked(path):
        writes = [broker.produce("in", b"k", b"%d" % number) for number in range(3)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(outcome, Unreachable) for outcome in outcomes)
    await broker.produce("in", b"k", b"later")
    assert [raw.value async for raw in broker.read("in", 0, 0)] == [b"later"]


@pytest.mark.parametrize("session", [1_000, 10_000, 60_000])
def test_nobody_takes_a_seat_while_the_lease_of_its_owner_lives(path: Path, session: int) -> None:
    """Between two heartbeats that it writes a member only looks, and its lease counts from the last look."""
    terms, lease = Terms(session=session), Lease(session / 1000)
    with closing(open_file(path, busy_seconds=1.0)) as db:
        for at in range(0, 2 * session, session // 100):
            attend(db, "group", "owner", 1, at, terms)
            lease.renew(at / 1000)
        end = at + int(lease.left(at / 1000) * 1000)
        assert attend(db, "group", "other", 1, end, terms)[0].owner == "owner"
        assert attend(db, "group", "other", 1, at + session, terms)[0].owner == "other"
