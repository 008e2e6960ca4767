"""What is carried for other definitions: opaque, and only where there is anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.operators.carried import EVENT_CELL, Carried, cell_name


def plain(value: Any) -> Any:
    """As a log gives it back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


@pytest.mark.parametrize("empty", [None, [], [[], []], [[[]], []]])
def test_an_aggregate_that_holds_nothing_is_not_carried(empty: Any) -> None:
    carried = Carried()
    carried.keep_aggregate("k", "count", empty)
    assert not carried
    assert carried.identities() == set()


@pytest.mark.parametrize("dumped", [[1000, 5], [[1000], [None]], [[], [[[1], ["a"]]]], [[1], []]])
def test_one_that_holds_something_is_carried_untouched(dumped: Any) -> None:
    carried = Carried()
    carried.keep_aggregate("k", "count", dumped)
    assert plain(carried.aggregates("k")) == {"count": [dumped, []]}
    assert carried.aggregates("other") == {}


def test_what_it_took_since_its_image_goes_with_it() -> None:
    carried = Carried()
    carried.keep_aggregate("k", "count", [1000], [7, None, 8])
    carried.take("k", "count", 9, None, 10)
    carried.take("k", "sum", 9, 2.5, 10)
    assert plain(carried.aggregates("k")) == {
        "count": [[1000], [7, None, 8, 9, None, 10]],
        "sum": [None, [9, 2.5, 10]],
    }


def test_an_event_of_the_key_is_missed_by_all_aggregates_that_its_writer_did_not_know() -> None:
    carried = Carried()
    for identity in ("count", "sum"):
        carried.keep_aggregate("k", identity, [1])
        carried.keep_aggregate("other", identity, [1])
    carried.keep_cell("k", "seen:1", 5)
    carried.keep_cell("k", EVENT_CELL, [{}, None])
    carried.miss("k", ["sum"])
    assert set(carried.aggregates("k")) == {"sum"}
    assert set(carried.cells("k")) == {"seen:1"}
    assert set(carried.aggregates("other")) == {"count", "sum"}


def test_a_cell_is_replaced_as_a_whole_and_goes_when_there_is_nothing_to_remember() -> None:
    carried = Carried()
    carried.keep_cell("k", "seen:1", 5)
    carried.keep_cell("k", "seen:1", [6])
    assert plain(carried.cells("k")) == {"seen:1": [6]}
    assert (carried.has_cell("k", "seen"), carried.has_cell("k", "see"), carried.has_cell("l", "seen")) == (1, 0, 0)
    carried.keep_cell("k", "seen:1", None)
    carried.keep_cell("l", "seen:1", None)
    assert not carried


def test_cells_of_groups_are_replaced_one_by_one_and_known_by_their_trigger() -> None:
    carried = Carried()
    for group in ('"a"', '"b"'):
        carried.keep_cell("k", cell_name("seen:1", group), 5)
    carried.keep_cell("k", cell_name("seen:1", '"a"'), 6)
    assert carried.identities() == {"seen:1"}
    assert plain(carried.cells("k")) == {'seen:1\0"a"': 6, 'seen:1\0"b"': 5}
    assert (carried.has_cell("k", "seen", '"a"'), carried.has_cell("k", "seen", '"c"')) == (True, False)
    carried.keep_cell("k", cell_name("seen:1", '"a"'), None)
    assert plain(carried.cells("k")) == {'seen:1\0"b"': 5}
    carried.forget({"seen:1"})
    assert not carried


def test_last_events_of_groups_are_missed_unless_their_writer_kept_them() -> None:
    carried = Carried()
    for name in ("event by event.ip", "event by event.user"):
        carried.keep_cell("k", cell_name(name, '"a"'), [{}, None])
    carried.miss("k", ["event by event.ip"])
    assert set(carried.cells("k")) == {'event by event.ip\0"a"'}
    carried.miss("k")
    assert not carried


def test_nothing_is_left_of_what_is_forgotten() -> None:
    carried = Carried()
    carried.keep_cell("k", "seen:1", 5)
    carried.keep_aggregate("l", "count", [1])
    assert carried.identities() == {"seen:1", "count"}
    carried.forget({"seen:1"})
    assert carried.identities() == {"count"}
    assert (carried.cells("k"), carried.has_cell("k", "seen")) == ({}, False)
    carried.drop("l")
    assert not carried


def test_when_everything_is_forgotten_the_last_events_go_too() -> None:
    carried = Carried()
    carried.keep_cell("k", "seen:1", 5)
    carried.keep_cell("k", EVENT_CELL, [{}, None])
    carried.keep_cell("l", EVENT_CELL, [{}, None])
    carried.forget({"seen:1"})
    assert not carried
