"""When the tables of a task are read."""

from __future__ import annotations

from penstock.operators.event import Progress
from penstock.pipelines.loading_tables import LoadingTables


def at(position: int, end: int) -> Progress:
    return Progress(position, end, 0)


def test_every_partition_is_read_to_the_end_that_was_seen_first() -> None:
    loading = LoadingTables(["hosts:ab/0", "hosts:ab/1", "users:cd/0"])
    assert loading.tables == ["hosts", "users"]
    loading.met({"auth": at(0, 9), "hosts:ab/0": at(2, 5), "hosts:ab/1": at(0, 0)})
    assert (loading.under_way, loading.left) == (True, 3)
    loading.met({"hosts:ab/0": at(5, 50), "users:cd/0": at(1, 1)})
    assert (loading.under_way, loading.tables, loading.left) == (False, [], 0)


def test_without_tables_there_is_nothing_to_load() -> None:
    assert not LoadingTables([]).under_way
