"""`when`: fires when a condition becomes true, resolves when it is over."""

from __future__ import annotations

import pytest
from tests.oracle.stand import Stand
from tests.oracle.timeline import HEAD, play, play_records

from penstock.operators.trigger_when import WhenCell

THREE_IN_FIVE = "when: 'count(event.x == \"a\", 5s) >= 3', cooldown: 0s"
QUIET = "when: 'count(true, 4s) < 1', cooldown: 0s"


def test_it_fires_when_the_condition_becomes_true_and_not_while_it_stays_so() -> None:
    """The third event fires; at 6 the second leaves the span, and two are left."""
    played = play(THREE_IN_FIVE, "·aaaa····|")
    assert played.marks == "···F···R··"
    assert played.causes == ["in/0@2"]


def test_it_resolves_at_the_instant_at_which_the_span_changes_whenever_that_is_learned() -> None:
    assert play(THREE_IN_FIVE, "aaa·················a").marks == "··F··R···············"


def test_every_change_of_a_span_is_looked_at_and_not_only_the_first() -> None:
    """The first change leaves three, the second two: it is the second that ends the episode."""
    assert play(THREE_IN_FIVE, "aaaa·······|").marks == "··F···R·····"


def test_silence_fires_at_the_instant_at_which_the_last_event_leaves_the_span() -> None:
    played = play(QUIET, "a······|")
    assert played.marks == "····F···"
    assert played.causes == ["timer@4000"]


def test_what_needs_the_end_of_the_input_says_so() -> None:
    played = play(QUIET, "a·····", ended=True)
    assert played.marks == "····F·"
    assert [result["end"] for result in played.results] == [True]


def test_a_heartbeat_with_the_period_of_the_span_does_not_flap() -> None:
    """At 4 one leaves and one comes: one evaluation, after it was added."""
    assert play(QUIET, "a···a···a|").marks == "··········"


def test_what_fires_by_time_has_a_timer_as_its_cause_also_where_an_event_stands() -> None:
    """At 4 the first `a` leaves, and what comes is no `a`."""
    played = play("when: 'count(event.x == \"a\", 4s) < 1', cooldown: 0s", "a···b")
    assert played.marks == "····F"
    assert played.causes == ["timer@4000"]


def test_what_fires_by_its_event_has_the_record_as_its_cause_also_where_a_span_changes() -> None:
    """At 5 the first leaves the shorter span, and the second comes: without it there would be no firing."""
    played = play("when: 'count(true, 9s) >= 2 && count(true, 5s) >= 1', cooldown: 0s", "a····a")
    assert played.marks == "·····F"
    assert played.causes == ["in/0@1"]


def test_events_behind_the_keys_now_are_looked_at_without_moving_it() -> None:
    played = play_records(THREE_IN_FIVE, [(6, "a"), (4, "a"), (5, "a")], length=7, delay="5s")
    assert played.marks == "······F"
    assert played.causes == ["in/0@2"]


def test_until_ends_the_episode_in_place_of_the_condition() -> None:
    assert play(THREE_IN_FIVE + ", until: 'count(event.x == \"a\", 5s) < 1'", "aaa·······|").marks == "··F····R···"


def test_it_may_fire_again_without_having_been_false_in_between() -> None:
    """`until` is true at once: one transition per evaluation, so it goes off and on from event to event."""
    assert play("when: 'count(true, 9s) >= 1', until: 'count(true, 9s) >= 1', cooldown: 0s", "aaaa").marks == "FRFR"


def test_where_both_hold_every_event_ends_the_episode_or_begins_the_next() -> None:
    """Also one that no span takes."""
    settings = "when: 'count(event.x == \"a\", 9s) >= 0', until: 'count(event.x == \"a\", 9s) < 5', cooldown: 0s"
    assert play(settings, "bbbb").marks == "FRFR"


def test_a_span_of_the_condition_is_looked_at_while_the_episode_is_open() -> None:
    """Of `until` alone nothing changes; it was true from the start, and 5 is the next instant at which anything is looked at."""
    played = play(
        "when: 'count(event.x == \"a\", 5s) >= 1', until: 'count(event.x == \"b\", 2s) < 1', cooldown: 0s", "a······|"
    )
    assert played.marks == "F····R··"


def test_a_condition_that_still_holds_when_its_episode_ended_fires_with_the_next_change() -> None:
    """It ends with the `b`; at 5 the first `a` leaves the span, one is still there; at 6 the last event is still the `b`."""
    trigger = "when: 'count(event.x == \"a\", 5s) >= 1', until: 'event.x == \"b\"', cooldown: 0s"
    assert play(trigger, "aab····|").marks == "F·R··FR·"


def test_an_edge_within_the_cooldown_waits_for_its_end() -> None:
    """True again at 6, held back until 2 + 9."""
    played = play("when: 'count(event.x == \"a\", 3s) >= 2', cooldown: 9s", "·aa···aaaaaa··|")
    assert played.marks == "··F·R······F·R·"
    assert played.causes == ["in/0@1", "timer@11000"]
    assert played.suppressed == 0


def test_an_edge_that_is_over_before_the_cooldown_counts_once() -> None:
    played = play("when: 'count(event.x == \"a\", 2s) >= 2', cooldown: 9s", "aa···aaa··········|")
    assert played.marks == "·FR················"
    assert played.suppressed == 1


def test_a_condition_that_holds_although_its_episode_ended_fires_when_the_cooldown_ends() -> None:
    played = play("when: 'count(true, 30s) >= 1', until: 'event.x == \"b\"', cooldown: 6s", "a·b·····|")
    assert played.marks == "F·R···F··"
    assert played.causes == ["in/0@0", "timer@6000"]


def test_unknown_neither_fires_nor_resolves() -> None:
    """At 3 the span is empty, its largest value unknown: the episode goes on until one is known."""
    values = "when: 'max(event.n, 3s) > 1'"
    assert play(f"{values}, cooldown: 0s", "a·a|").marks == "····"
    assert play("when: 'min(event.x, 3s) == \"a\"', cooldown: 0s", "a······b").marks == "F······R"


def test_an_episode_keeps_its_id_from_firing_to_end() -> None:
    fired, resolved = play(THREE_IN_FIVE, "aaa····|").results
    assert fired["episode"]["id"] == resolved["episode"]["id"]
    assert fired["run"] == resolved["run"]
    assert resolved["rev"] == fired["rev"] + 1


UNTOLD = "(event.x == 'u' ? event.missing == 1 : event.x == 'a')"
"""Unknown of a `u`."""


def test_what_an_event_fires_after_the_end_of_a_cooldown_is_caused_by_its_record() -> None:
    """At 5 the cooldown is over and the `u` cannot be told: nothing fires. The `a` of the same instant comes after it."""
    trigger = f'when: "{UNTOLD}", until: \'event.x == "b"\', cooldown: 5s'
    events = [(0, "a"), (1, "b"), (2, "a"), (5, "u"), (5, "a")]
    assert play_records(trigger, events, length=6).causes == ["in/0@0", "in/0@4"]


def test_an_edge_that_waits_and_cannot_be_told_ends_by_time_too() -> None:
    """At 8 the last event leaves the span: the edge that waited since 2 is over, and the `a` at 10 is another one."""
    trigger = f'when: "count(true, 5s) >= 1 && {UNTOLD}", until: \'event.x == "b"\', cooldown: 5s'
    played = play(trigger, "abau······a")
    assert played.marks == "FR········F"
    assert played.suppressed == 1


# --- for ------------------------------------------------------------------------------------------------------------

HOT = "when: 'event.x == \"a\"', for: 4s, cooldown: 0s"
TELLING = f'when: "{UNTOLD}", for: 4s, cooldown: 0s'


def test_it_fires_when_the_condition_has_been_true_for_long_enough() -> None:
    """The first wait is broken off at 2, the second begins at 3."""
    played = play(HOT, "aabaaaaaab")
    assert played.marks == "·······F·R"
    assert played.causes == ["timer@7000"]


def test_the_end_of_a_wait_is_met_in_silence() -> None:
    played = play(HOT, "a·······|")
    assert played.marks == "····F····"
    assert played.causes == ["timer@4000"]


def test_the_end_of_a_wait_that_only_the_end_of_the_input_brings_says_so() -> None:
    played = play(HOT, "·a····", ended=True)
    assert played.marks == "·····F"
    assert [result["end"] for result in played.results] == [True]


def test_an_event_at_the_very_end_of_a_wait_may_break_it_off() -> None:
    assert play(HOT, "a···b····|").marks == "··········"
    assert play(HOT, "a···a").causes == ["timer@4000"]


def test_a_span_that_empties_within_the_wait_breaks_it_off() -> None:
    """There are two within three seconds from 1 to 3, and from 7 to 14."""
    trigger = "when: 'count(true, 3s) >= 2', for: 4s, cooldown: 0s"
    assert play(trigger, "aa····aaaaaaa····|").marks == "···········F··R···"


def test_a_wait_may_begin_in_silence() -> None:
    """The span is empty from 3 on."""
    played = play("when: 'count(true, 3s) < 1', for: 4s, cooldown: 0s", "a·········|")
    assert played.marks == "·······F···"
    assert played.causes == ["timer@7000"]


def test_unknown_neither_begins_a_wait_nor_breaks_it_off() -> None:
    assert play(TELLING, "ua·u·····a").marks == "·········F"
    assert play(TELLING, "a·u·a").marks == "····F"
    assert play(TELLING, "a·u·b····|").marks == "··········"


def test_what_makes_the_condition_known_after_the_end_of_the_wait_is_the_cause() -> None:
    """At 4 nothing could be told."""
    played = play(TELLING, "a·u··a")
    assert played.marks == "·····F"
    assert played.causes == ["in/0@2"]
    assert play_records(TELLING, [(0, "a"), (4, "u"), (4, "a")], length=5).causes == ["in/0@2"]
    assert play_records(TELLING, [(0, "a"), (3, "u"), (4, "a")], length=5).causes == ["timer@4000"]


def test_a_wait_that_ends_within_the_cooldown_waits_for_its_end() -> None:
    """Fires at 2, so until 11 it is quiet; the wait from 5 is over at 7."""
    played = play("when: 'event.x == \"a\"', for: 2s, cooldown: 9s", "aaabba·······|")
    assert played.marks == "··FR·······F··"
    assert played.causes == ["timer@2000", "timer@11000"]
    assert played.suppressed == 0


def test_a_cooldown_that_ends_within_the_wait_makes_no_difference() -> None:
    played = play("when: 'event.x == \"a\"', for: 2s, cooldown: 4s", "aaab·a··|")
    assert played.marks == "··FR···F·"
    assert played.suppressed == 0


def test_only_an_edge_whose_wait_is_over_is_counted_as_held_back() -> None:
    trigger = "when: 'event.x == \"a\"', for: 2s, cooldown: 20s"
    assert play(trigger, "aaab·a··b·|").suppressed == 1
    assert play(trigger, "aaab·ab···|").suppressed == 0


def test_after_an_end_a_wait_begins_with_the_next_evaluation() -> None:
    """It ends with the `b`, while the condition holds; what comes at 6 finds it true."""
    trigger = "when: 'count(true, 30s) >= 1', until: 'event.x == \"b\"', for: 2s, cooldown: 0s"
    assert play(trigger, "a···b·a····|").marks == "··F·R···F···"
    assert play(trigger, "a···b······|").marks == "··F·R·······"


def test_a_key_that_waits_is_watched_although_its_condition_cannot_be_told() -> None:
    """At 3 the span is empty and the wait is over; the one that begins at 4 ends at 8."""
    trigger = f'when: "count(true, 2s) >= 1 && {UNTOLD}", for: 4s, cooldown: 0s'
    assert play(trigger, "au··aaaaaa").marks == "········F·"


# --- keep_firing_for ------------------------------------------------------------------------------------------------

KEPT = "when: 'event.x == \"a\"', keep_firing_for: 4s, cooldown: 0s"


def test_it_ends_when_it_has_been_over_for_long_enough() -> None:
    """The `a` at 3 breaks off what began at 1."""
    played = play(KEPT, "ab·ab······|")
    assert played.marks == "F·······R···"
    assert len(played.results) == 2


def test_an_event_at_the_very_end_may_keep_it_firing() -> None:
    assert play(KEPT, "ab···a·····|").marks == "F···········"
    assert play(KEPT, "ab···b·····|").marks == "F····R······"


def test_it_ends_in_silence_at_its_instant_whenever_that_is_learned() -> None:
    trigger = "when: 'count(true, 2s) >= 1', keep_firing_for: 3s, cooldown: 0s"
    assert play(trigger, "a········a").marks == "F····R···F"
    assert play(trigger, "a··a·····|").marks == "F·······R·"


def test_until_is_what_has_to_last() -> None:
    """From 2 on the condition is false; `until` is true from 3 on."""
    assert play(f"{KEPT}, until: 'event.x == \"c\"'", "a·bc······|").marks == "F······R···"


def test_an_end_is_looked_for_after_the_firing_and_not_with_it() -> None:
    """`until` is true all the time: from the next evaluation on it counts, else this would go on for ever in silence."""
    trigger = "when: 'event.x == \"a\"', until: 'true', keep_firing_for: 2s, cooldown: 0s"
    assert play(trigger, "a········|").marks == "F·········"
    assert play(trigger, "a··b·····|", ended=True).marks == "F····R····"


def test_unknown_neither_begins_an_end_nor_breaks_it_off() -> None:
    trigger = f'when: "{UNTOLD}", keep_firing_for: 4s, cooldown: 0s'
    assert play(trigger, "au········|").marks == "F··········"
    assert play(trigger, "ab·u······|").marks == "F··········"
    assert play(trigger, "ab·u····b·|").marks == "F·······R··"


def test_both_waits_go_together() -> None:
    trigger = "when: 'event.x == \"a\"', for: 2s, keep_firing_for: 3s, cooldown: 0s"
    assert play(trigger, "aaab·ab····aaa··|").marks == "··F······R···F···"


# --- what is in the log ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("waits", "parts"), [("", 3), ("for: 1s, ", 4), ("keep_firing_for: 1s, ", 4)])
def test_only_one_that_waits_has_more_to_remember_than_ever(waits: str, parts: int) -> None:
    """So that earlier versions can read the log of a file that they understand."""
    stand = Stand(HEAD % ("0s", f"when: 'count(true, 9s) >= 1', {waits}cooldown: 5s"))
    stand.feed(stand.event(0, "in", key="k"), stand.event(2, "in", key="k"))
    [cell] = stand.task.image(0, 1, 0).keys["k"][3].values()
    assert len(cell) == parts


def test_what_an_earlier_version_remembered_is_taken_up() -> None:
    stand = Stand(HEAD % ("0s", "when: 'count(true, 9s) >= 1', cooldown: 5s"))
    [planned] = stand.plan.triggers
    assert planned.trigger.load(["0-run", 7_000, False]) == WhenCell("0-run", 7_000, waiting=False, since=None)


@pytest.mark.parametrize("restart", ["none", "from deltas", "from an image"])
def test_a_wait_goes_on_after_a_restart(restart: str) -> None:
    stand = Stand(HEAD % ("0s", "when: 'event.x == \"a\"', for: 4s, keep_firing_for: 3s, cooldown: 0s"))
    told = []
    for time, x in [(0, "a"), (1, "a"), (6, "b"), (7, "b"), (8, "b"), (11, "a")]:
        stand.feed(stand.event(time, "in", key="k", x=x))
        told += [result["state"] for result in stand.results(stand.cut())]
        if restart == "from an image":
            stand.snapshot(0, 1)
            stand.trim()
        if restart != "none":
            stand.reopen()
    assert told == ["final", "resolved"]
