"""The timers of all keys of a task, in buckets by time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis.strategies import integers, lists, none, sampled_from, tuples

from penstock.operators.context import Context
from penstock.operators.context_settings import ContextSettings
from penstock.operators.key_state import KeyState
from penstock.operators.key_timers import BUCKET_BITS, KeyTimers
from penstock.operators.timers import Timers
from penstock.operators.watermark import END_OF_TIME


def keys(names: str) -> dict[str, KeyState]:
    return {name: KeyState(name, Context(ContextSettings()), (), (), Counter()) for name in names}


def taken(timers: KeyTimers, until: int) -> list[tuple[int, str]]:
    found = []
    while (timer := timers.take(until)) is not None:
        found.append((timer[0], timer[1].name))
    return found


def test_what_is_due_comes_out_by_time_and_equal_times_by_name() -> None:
    states = keys("abcd")
    timers = KeyTimers(states)
    for name, at in [("b", 5), ("c", 3), ("a", 5), ("d", 9)]:
        timers.set(states[name], at)
    assert taken(timers, 5) == [(3, "c"), (5, "a"), (5, "b")]
    assert timers.next == 9


def test_an_earlier_timer_replaces_a_later_one_and_a_later_one_is_left_where_it_is() -> None:
    states = keys("a")
    timers = KeyTimers(states)
    for at in (9, 4, 6):
        timers.set(states["a"], at)
    assert taken(timers, 100) == [(4, "a")]
    assert timers.next == END_OF_TIME


def test_the_timer_of_a_key_that_is_gone_is_not_that_of_another_of_its_name() -> None:
    states = keys("ab")
    timers = KeyTimers(states)
    for name in "ab":
        timers.set(states[name], 5)
    del states["b"]
    states["a"] = keys("a")["a"]
    timers.set(states["a"], 7)
    assert taken(timers, 100) == [(7, "a")]


INSTANTS = integers(-(1 << BUCKET_BITS), 5 << BUCKET_BITS) | integers(-3, 3).map(lambda near: near + (1 << BUCKET_BITS))


@given(lists(tuples(sampled_from("abcdefgh"), INSTANTS) | tuples(none(), INSTANTS)))
def test_it_is_no_other_than_timers_in_one_heap(steps: list[tuple[str | None, int]]) -> None:
    states = keys("abcdefgh")
    timers, other = KeyTimers(states), Timers[str]()
    for name, at in [*steps, *[(None, END_OF_TIME - 1)] * (len(states) + 1)]:
        if name is None:
            mine, theirs = timers.take(at), other.take(at)
            assert theirs == (None if mine is None else (mine[0], mine[1].name))
        else:
            timers.set(states[name], at)
            other.set(name, at)
        assert timers.next == other.next
