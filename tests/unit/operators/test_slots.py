"""Aggregates that keys share as long as they hold nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from penstock.operators.aggregate import AGGREGATES, AggregateCall
from penstock.operators.context import Context
from penstock.operators.context_settings import ContextSettings
from penstock.operators.key_state import KeyState
from penstock.operators.slots import Blank

MINUTE = 60_000


def a_call(name: str) -> AggregateCall:
    return AggregateCall(f"{name} of it", name, None, MINUTE, None)


def a_key(name: str, blank: Blank) -> KeyState:
    return KeyState(name, Context(ContextSettings()), blank, (None,), Counter())


def test_what_one_key_counts_no_other_has() -> None:
    blank = Blank.of([a_call("count")])
    one, other = a_key("one", blank), a_key("other", blank)
    one.own_slots()[0].add(5, None, 5)
    one.own_slots()[0].add(6, None, 6)
    assert [key.slots[0].value(6) for key in (one, other, a_key("later", blank))] == [2, 0, 0]


def test_an_aggregate_that_begins_anew_leaves_the_others_as_they_are() -> None:
    calls = [a_call("count"), a_call("distinct")]
    key = a_key("one", Blank.of(calls))
    key.renew(0, calls[0])
    for slot in key.own_slots():
        slot.add(5, "x", 5)
    key.renew(0, calls[0])
    assert [slot.value(5) for slot in key.slots] == [0, 1]


@pytest.mark.parametrize("name", AGGREGATES)
def test_who_asks_an_empty_one_changes_nothing(name: str) -> None:
    (slot,) = Blank.of([a_call(name)])
    before = slot.dump()
    slot.value(5)
    assert slot.next_change(5) is None
    assert slot.dump() == before


def test_what_a_trigger_remembers_of_one_key_no_other_remembers() -> None:
    blank = Blank.of([])
    one, other = a_key("one", blank), a_key("other", blank)
    one.cells = other.cells = (None,) * 3
    one.remember(1, "seen")
    assert [list(key.cells) for key in (one, other)] == [[None, "seen", None], [None, None, None]]
