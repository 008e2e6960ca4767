"""`when`: fires when a condition becomes true, resolves when it is over."""

from __future__ import annotations

from tests.oracle.timeline import play, play_records

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
