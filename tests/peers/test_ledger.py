"""The judge of the contest sees each kind of violation, and nothing where there is none."""

from __future__ import annotations

import pytest
from tests.peers.ledger import Told, Verdict, due, judge

EXPECTED = {"a": [20, 40, 60]}


def told(*counts: int | tuple[int, int], key: str = "a") -> list[Told]:
    """Records of one key in order: a count told at its own event, or a count and the event at which it was told."""
    pairs = [each if isinstance(each, tuple) else (each, each) for each in counts]
    return [Told(key, count, n) for count, n in pairs]


def verdict(seen: int, **violations: int) -> Verdict:
    nothing = dict.fromkeys(("lost", "duplicated", "disordered", "wrong", "wrong_keys"), 0)
    return Verdict(expected=3, seen=seen, **(nothing | violations))


def test_every_twentieth_event_of_a_key_is_due() -> None:
    events = ["a"] * 59 + ["b"] * 20 + ["c"] * 19
    assert due(events) == {"a": [20, 40], "b": [20], "c": []}


HISTORIES = {
    "right": (told(20, 40, 60), verdict(3)),
    "nothing told": (told(), verdict(0, lost=3, wrong_keys=1)),
    "lost in the middle": (told(20, 60), verdict(2, lost=1)),
    "lost at the end": (told(20, 40), verdict(2, lost=1, wrong_keys=1)),
    "told twice": (told(20, 40, 40, 60), verdict(4, duplicated=1)),
    "told three times": (told(20, 20, 20, 40, 60), verdict(5, duplicated=2)),
    "in the wrong order": (told(20, 60, 40), verdict(3, disordered=1, wrong_keys=1)),
    "gone back and told again": (told(20, 40, 20, 40, 60), verdict(5, duplicated=2)),
    "more than there were events for": (told(20, 40, 60, 80), verdict(4, wrong=1, wrong_keys=1)),
    "no multiple": (told(20, 21, 40, 60), verdict(4, wrong=1)),
    "events missing from the state": (told(20, (40, 43), (60, 63)), verdict(3, wrong=2, wrong_keys=1)),
    "events counted twice": (told(20, (40, 37), (60, 57), (80, 77)), verdict(4, wrong=3, wrong_keys=1)),
    "told again by a state that forgot": (
        told(20, (20, 40), (40, 60)),
        verdict(3, lost=1, duplicated=1, wrong=2, wrong_keys=1),
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_is_judged(name: str) -> None:
    history, expected = HISTORIES[name]
    assert judge(EXPECTED, history) == expected
    assert expected.holds == (name == "right")


def test_the_verdict_is_the_sum_over_the_keys() -> None:
    history = [*told(20, 40, 60), *told(20, 20, key="b")]
    assert judge({**EXPECTED, "b": [20]}, history) == Verdict(4, 5, 0, 1, 0, 0, 0)


def test_a_key_of_which_nothing_is_due_is_told_nothing_of() -> None:
    assert judge({"a": []}, []) == Verdict(0, 0, 0, 0, 0, 0, 0)
    assert judge({}, told(20)) == Verdict(0, 1, 0, 0, 0, 1, 1)
