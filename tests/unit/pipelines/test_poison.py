"""Logs drawn as text, one letter per delta, and what the next owner makes of them.

o  opened by a new process        a  opened again by the process before it
x  a trial of record x            .  a delta that passes no record, p  one that passes x        r  released
"""

from __future__ import annotations

import pytest

from penstock.pipelines.poison import Deaths
from penstock.state.delta import Header, Position

X = ("auth", 7)
BEFORE, BEHIND = {"auth": Position(7)}, {"auth": Position(8)}
HEADERS = {
    "o": Header(seq=0, incarnation=1, kind="opened", positions=BEFORE),
    "a": Header(seq=0, incarnation=1, kind="opened", positions=BEFORE, again=True),
    "x": Header(seq=0, incarnation=1, trial=X, positions=BEFORE),
    "y": Header(seq=0, incarnation=1, trial=("flow", 3), positions=BEFORE),
    ".": Header(seq=0, incarnation=1, positions=BEFORE),
    "p": Header(seq=0, incarnation=1, positions=BEHIND),
    "r": Header(seq=0, incarnation=1, kind="released", positions=BEFORE),
}


def deaths(log: str, *, again: bool = False) -> Deaths:
    found = Deaths()
    for letter in log:
        found.met(HEADERS[letter])
    found.opened(again=again)
    return found


@pytest.mark.parametrize("log", ["", "o", "oo", "o.o.o.o.", "ooo.", "ooor", "oooo.oo", "oxp", "oxr", "ooox."])
def test_a_log_that_nothing_can_be_held_against_is_worked_on_as_ever(log: str) -> None:
    assert not deaths(log).suspicious


@pytest.mark.parametrize("log", ["ooo", "oooo", "o.ooo", "ooox", "oox", "oooxpx"])
def test_three_deaths_without_a_commit_or_one_in_a_trial_make_the_next_owner_careful(log: str) -> None:
    assert deaths(log).suspicious


@pytest.mark.parametrize("log", ["oooxox", "oooxo.xox", "ooox.ox.xox", "oooxooox", "oooxoyox", "oooxaxox"])
def test_a_record_that_two_died_of_while_it_was_fed_alone_is_condemned(log: str) -> None:
    assert deaths(log).condemned == {X}


@pytest.mark.parametrize(
    "log",
    [
        "ooo",
        "ooooooooooooooo",
        "ooox",
        "oooxo",
        "oooxoooo",
        "oooxoy",
        "oooxpox",
        "oooxrox",
        "ooox.o",
        "ooox.ox.",
        "oooxypox",
    ],
)
def test_no_record_is_condemned_for_less(log: str) -> None:
    assert deaths(log).condemned == frozenset()


def test_a_process_that_lost_the_task_and_lives_has_not_died() -> None:
    assert not deaths("oaaaaaaa", again=True).suspicious
    assert deaths("oooxaxaxaxax", again=True).condemned == frozenset()
    assert deaths("oooxax").condemned == frozenset()
