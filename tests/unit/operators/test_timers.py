"""One heap of timers for all keys."""

from __future__ import annotations

from random import Random

from penstock.operators.timers import Timers
from penstock.operators.watermark import END_OF_TIME


def taken(timers: Timers[str], until: int) -> list[tuple[int, str]]:
    found = []
    while (timer := timers.take(until)) is not None:
        found.append(timer)
    return found


def test_what_is_due_comes_out_by_time_and_equal_times_by_name() -> None:
    timers = Timers[str]()
    for name, at in [("b", 5), ("c", 3), ("a", 5), ("d", 9)]:
        timers.set(name, at)
    assert taken(timers, 5) == [(3, "c"), (5, "a"), (5, "b")]
    assert timers.next == 9


def test_a_timer_is_due_at_its_instant_and_not_before() -> None:
    timers = Timers[str]()
    timers.set("a", 5)
    assert timers.take(4) is None
    assert timers.take(5) == (5, "a")
    assert timers.take(5) is None


def test_an_earlier_timer_replaces_a_later_one() -> None:
    timers = Timers[str]()
    timers.set("a", 9)
    timers.set("a", 4)
    assert len(timers) == 1
    assert taken(timers, 100) == [(4, "a")]


def test_a_later_timer_leaves_the_earlier_one() -> None:
    """Whoever takes it finds nothing due and sets it again."""
    timers = Timers[str]()
    timers.set("a", 4)
    timers.set("a", 9)
    assert taken(timers, 100) == [(4, "a")]


def test_a_key_can_be_set_again_after_it_was_taken() -> None:
    timers = Timers[str]()
    timers.set("a", 9)
    timers.set("a", 4)
    assert timers.take(4) == (4, "a")
    timers.set("a", 9)
    assert taken(timers, 100) == [(9, "a")]


def test_without_timers_nothing_is_due_ever() -> None:
    timers = Timers[str]()
    assert timers.next == END_OF_TIME
    assert timers.take(END_OF_TIME) is None
    assert len(timers) == 0


def test_it_agrees_with_a_list_that_is_searched() -> None:
    random = Random(7)
    timers, armed = Timers[str](), dict[str, int]()
    for _ in range(2_000):
        name, at = random.choice("abcdefgh"), random.randrange(50)
        if random.random() < 0.7:
            timers.set(name, at)
            armed[name] = min(at, armed.get(name, at))
            continue
        due = sorted((instant, name) for name, instant in armed.items() if instant <= at)
        assert taken(timers, at) == due
        armed = {name: instant for name, instant in armed.items() if instant > at}
