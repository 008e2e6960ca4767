"""`each`: a firing per matching event."""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.stand import Stand
from tests.oracle.timeline import play, play_records

FAILED = "each: 'event.x == \"a\"'"


def test_every_match_fires_at_its_own_time() -> None:
    played = play(FAILED, "a·b·aa")
    assert played.marks == "F···FF"
    assert played.causes == ["in/0@0", "in/0@2", "in/0@3"]


def test_unknown_does_not_fire() -> None:
    assert play("each: event.missing > 1", "a·a").marks == "···"


def test_a_cooldown_is_over_at_exactly_its_end() -> None:
    played = play(f"{FAILED}, cooldown: 3s", "aa·a··a")
    assert played.marks == "F··F··F"
    assert played.suppressed == 1


def test_a_suppressed_match_does_not_prolong_the_cooldown() -> None:
    assert play(f"{FAILED}, cooldown: 3s", "aaaaaa").marks == "F··F··"


def test_the_cooldown_goes_by_the_keys_now_and_not_by_the_events_time() -> None:
    """The event of second 1 comes when N is 6: it fires with its own time, and what follows is measured from 6."""
    played = play_records(f"{FAILED}, cooldown: 3s", [(6, "b"), (1, "a"), (8, "a"), (9, "a")], length=10)
    assert played.marks == "·F·······F"
    assert played.suppressed == 1


def test_it_opens_no_episode() -> None:
    assert [result["episode"] for result in play(FAILED, "a·b").results] == [None]


# --- debounce -------------------------------------------------------------------------------------------------------

SETTLED = f"{FAILED}, debounce: 3s"


def test_it_fires_when_matches_have_stopped_coming() -> None:
    played = play(SETTLED, "aa·ab···|·a·····|")
    assert played.marks == "······F······F···"
    assert played.causes == ["timer@6000", "timer@13000"]


def test_the_end_of_a_debounce_is_met_in_silence() -> None:
    played = play(SETTLED, "a···", ended=True)
    assert played.marks == "···F"
    assert [result["end"] for result in played.results] == [True]
    assert play(SETTLED, "a··|").marks == "···F"


def test_a_match_at_exactly_the_end_moves_it_on_and_another_event_does_not() -> None:
    assert play(SETTLED, "a··a···|").marks == "······F·"
    played = play(SETTLED, "a··b···|")
    assert played.marks == "···F····"
    assert played.causes == ["timer@3000"]


def test_unknown_does_not_move_it_on() -> None:
    assert play("each: '(event.x == \"u\" ? event.missing == 1 : true)', debounce: 3s", "a·u···|").marks == "···F···"


def test_a_debounce_goes_by_the_keys_now_and_not_by_the_events_time() -> None:
    """The event of second 1 comes when N is 6: what follows is measured from 6."""
    played = play_records(f"{FAILED}, debounce: 3s", [(6, "b"), (1, "a"), (8, "b"), (9, "b")], length=10, delay="9s")
    assert played.marks == "·········F"


def test_a_cooldown_holds_back_firings_and_not_matches() -> None:
    """Fires at 3, so until 9 it is quiet: what settles at 8 is held back, what settles at 9 is not."""
    assert play(f"{SETTLED}, cooldown: 6s", "a····a····|").suppressed == 1
    played = play(f"{SETTLED}, cooldown: 6s", "a····aa·····|")
    assert played.marks == "···F·····F···"
    assert played.suppressed == 0


VALUES = """
penstock: v1
name: values
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
define:
  bytes: event.n
  seen: count(true, 9s)
triggers:
  settled:
    each: event.x == "a" && bytes > 0
    debounce: 3s
    annotations: {summary: "{{ values.bytes }} of {{ values.seen }}"}
    agent: none
"""


@pytest.mark.parametrize("restart", ["none", "from deltas", "from an image"])
def test_what_is_told_is_what_was_at_the_last_match_whatever_comes_after_it(restart: str) -> None:
    stand = Stand(VALUES)
    stand.feed(*(stand.event(time, x=x, n=n) for time, x, n in [(0, "a", 1), (1, "a", 2), (2, "b", 7)]))
    stand.cut()
    if restart == "from an image":
        stand.snapshot(0, 1)
        stand.trim()
    if restart != "none":
        stand.reopen()
    stand.feed(stand.event(3, x="b", n=8), stand.event(9, host="z", x="b"))
    assert [_told(result) for result in stand.results(stand.cut())] == [({"bytes": 2, "seen": 2}, "2 of 2")]


def test_a_number_beyond_64_bits_can_be_noted() -> None:
    stand = Stand(VALUES)
    stand.feed(stand.event(0, x="a", n=2**70))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(9, host="z", x="b"))
    assert [_told(result) for result in stand.results(stand.cut())] == [
        ({"bytes": 2.0**70, "seen": 1}, f"{2.0**70} of 1")
    ]


def test_the_last_event_is_not_kept_for_it() -> None:
    """What it will tell is noted with the match."""
    assert Stand(VALUES).plan.keeps_event == ()


def _told(result: dict[str, Any]) -> tuple[dict[str, Any], str]:
    return result["why"]["values"], result["annotations"]["summary"]
