"""`each`: a firing per matching event."""

from __future__ import annotations

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
