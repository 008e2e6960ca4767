"""`absence`: fires when nothing came in time, and says when something came after all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand
from tests.oracle.timeline import HEAD, Played, play, play_records

from penstock.operators.record import Record
from penstock.operators.trigger_absence import AbsenceSettings

BEAT = "absence: 'event.x == \"a\"', for: 4s"
"""In drawings, `a` is expected and nothing else is."""


def test_it_fires_when_the_watermark_is_beyond_the_end_of_the_silence() -> None:
    """At 4 the watermark stands exactly there: it has not passed."""
    assert play(BEAT, "a···|").marks == "·····"
    played = play(BEAT, "a···||")
    assert played.marks == "····F·"
    assert played.causes == ["timer@4000"]


def test_what_comes_in_time_begins_the_watch_anew() -> None:
    assert play(BEAT, "a·a··a·····|").marks == "·········F··"


def test_an_event_at_the_very_end_is_in_time() -> None:
    assert play(BEAT, "a···a···a|").marks == "··········"


def test_an_event_one_step_after_the_end_is_not() -> None:
    assert play(BEAT, "a····a|").marks == "····FR·"


def test_other_events_of_the_key_are_no_sign_of_life() -> None:
    assert play(BEAT, "a·b·b·b|").marks == "····F···"


def test_an_event_of_which_it_is_unknown_is_no_sign_of_life() -> None:
    assert play("absence: 'event.missing == 1 || event.x == \"a\"', for: 4s", "a·b·b·b|").marks == "····F···"


def test_a_key_that_never_satisfied_it_is_not_watched() -> None:
    assert play(BEAT, "b··b·······|").marks == "············"


def test_it_fires_once_for_a_silence_however_long() -> None:
    assert play(BEAT, "a···················|").marks == "····F················"


def test_the_next_satisfying_event_resolves_it_at_its_time_and_the_watch_goes_on() -> None:
    played = play(BEAT, "a·····b·a·········|")
    assert played.marks == "····F···R···F······"
    fired, resolved, _ = played.results
    assert (resolved["run"], resolved["rev"]) == (fired["run"], fired["rev"] + 1)
    assert resolved["episode"]["id"] == fired["episode"]["id"]


def test_it_resolves_when_the_watermark_has_passed_the_event() -> None:
    """Another that lies before it may still come."""
    assert play(BEAT, "a·····a").marks == "····F··"
    assert play(BEAT, "a·····a|").marks == "····F·R·"


def test_what_came_out_of_order_before_it_was_decided_counts() -> None:
    """With a delay of 5 the watermark is 2 when the event of 3 is fed."""
    assert play_records(BEAT, [(0, "a"), (7, "a"), (3, "a"), (15, "|")], length=16, delay="5s").marks == "·" * 16


def test_later_events_that_are_known_already_fill_no_silence() -> None:
    """All three are known when the watermark passes the first one's end; it takes each in its turn."""
    events = [(0, "a"), (14, "a"), (7, "a")]
    assert play_records(BEAT, events, length=30, delay="20s").marks == "·" * 30
    assert play_records(BEAT, [*events, (30, "|")], length=30, delay="20s").marks == "····F··R" + "·" * 22
    assert play_records(BEAT, [*events, (60, "|")], length=30, delay="20s").marks == "····F··R···F··R···F" + "·" * 11


def test_a_silence_that_was_decided_is_ended_by_the_earliest_event_and_not_by_the_first_to_arrive() -> None:
    """At 30 the silence of the first is decided; then 29 is fed before 28."""
    events = [(0, "a"), (30, "|"), (29, "a"), (28, "a"), (60, "|")]
    assert (
        play_records(BEAT, events, length=61, delay="5s").marks == "····F" + "·" * 23 + "R" + "·" * 4 + "F" + "·" * 27
    )


def test_what_is_fed_behind_the_watermark_counts_at_once_if_it_is_later_than_the_last() -> None:
    """It ends the episode, and of its own silence it is known at once that it is over."""
    assert play_records(BEAT, [(0, "a"), (20, "|"), (7, "a")], length=21).marks == "····F··R···F·········"


def test_what_is_fed_behind_the_watermark_and_is_older_than_the_last_says_nothing() -> None:
    events = [(0, "a"), (10, "a"), (20, "|"), (7, "a")]
    assert play_records(BEAT, events, length=21).marks == "····F·····R···F······"


def test_an_episode_of_which_the_cause_proves_wrong_ends_where_it_began() -> None:
    """The `a` of 3 is fed when the watermark is 9; from 3 on there was silence again."""
    played = play_records(BEAT, [(0, "a"), (9, "|"), (3, "a"), (20, "|")], length=21)
    assert _times(played) == [("fires", "00:00:04"), ("resolved", "00:00:04"), ("fires", "00:00:07")]


def test_a_late_event_says_nothing() -> None:
    """Ten minutes and more behind."""
    assert "R" not in play_records(BEAT, [(0, "a"), (1000, "|"), (399, "a")], length=1001).marks
    assert "R" in play_records(BEAT, [(0, "a"), (1000, "|"), (400, "a")], length=1001).marks


def test_a_firing_within_the_cooldown_is_counted_and_opens_no_episode() -> None:
    """The second silence is over at 10, six after the first firing."""
    played = play(BEAT + ", cooldown: 7s", "a·····a·····a······|")
    assert played.marks == "····F·R·········F···"
    assert played.suppressed == 1


def test_a_cooldown_is_over_at_exactly_its_length() -> None:
    played = play(BEAT + ", cooldown: 6s", "a·····a·····a······|")
    assert played.marks == "····F·R···F·R···F···"
    assert played.suppressed == 0


def test_the_end_of_the_input_ends_the_wait() -> None:
    played = play(BEAT, "a·····a····", ended=True)
    assert [result["end"] for result in played.results if result["state"] != "resolved"] == [False, True]
    assert played.causes == ["timer@4000", "timer@10000"]


def test_a_key_that_is_forgotten_ends_its_episode() -> None:
    """And is watched again when it comes back, as if it had never been there."""
    stand = Stand((HEAD % ("0s", BEAT)).replace("triggers:", "context: {forget: 6s}\ntriggers:"))
    stand.feed(stand.event(0, "in", key="k", x="a"), stand.event(20, "in", key="other"))
    fired, resolved = stand.results(stand.cut())
    assert (resolved["run"], resolved["reason"]) == (fired["run"], "forgotten")
    assert resolved["episode"]["ends_at"] == "1970-01-01T00:00:06.000Z"
    stand.feed(stand.event(40, "in", key="k", x="b"), stand.event(60, "in", key="other"))
    assert stand.results(stand.cut()) == []


def test_a_key_that_begins_long_behind_the_watermark_is_watched_from_there_on() -> None:
    """From the last instant that it has passed. Of one that is near enough the silence is not over yet."""
    played = play_records(BEAT, [(10, "|"), (5, "a"), (20, "|")], length=21)
    assert (played.marks, played.causes) == ("·" * 13 + "F" + "·" * 7, ["timer@13999"])
    assert play_records(BEAT, [(10, "|"), (6, "a"), (20, "|")], length=21).marks == "·" * 10 + "F" + "·" * 10


@pytest.mark.parametrize("times", [(5,), (1, 5), (20, 5), (5, 1, 20)])
def test_a_silence_that_was_told_is_not_told_again_of_a_key_that_was_forgotten(times: tuple[int, ...]) -> None:
    """Its run would be the same one."""
    stand = Stand((HEAD % ("0s", BEAT)).replace("triggers:", "context: {forget: 6s}\ntriggers:"))
    stand.feed(stand.event(5, "in", key="k", x="a"), stand.event(20, "in", key="other"))
    assert [result["why"]["fired_by"] for result in stand.results(stand.cut())] == ["timer@9000"] * 2
    stand.feed(*(stand.event(time, "in", key="k", x="a") for time in times), stand.event(25, "in", key="other"))
    (again,) = [result for result in stand.results(stand.cut()) if result["state"] != "resolved"]
    assert again["why"]["fired_by"] == ("timer@24000" if 20 in times else "timer@23999")


def test_an_open_episode_and_what_is_known_ahead_survive_a_restart() -> None:
    stand = Stand(HEAD % ("5s", BEAT))
    stand.feed(stand.event(0, "in", key="k", x="a"), stand.event(13, "in", key="k", x="a"))
    (fired,) = stand.results(stand.cut())
    stand.reopen()
    stand.feed(stand.event(10, "in", key="k", x="a"), stand.event(30, "in", key="other"))
    resolved, again = stand.results(stand.cut())
    assert (resolved["run"], resolved["episode"]["ends_at"]) == (fired["run"], "1970-01-01T00:00:10.000Z")
    assert again["why"]["fired_by"] == "timer@17000"


def test_a_heartbeat_that_goes_on_is_remembered_by_a_few_times_only() -> None:
    """Two neighbours that are near enough say what lies between them."""
    stand = Stand(HEAD % ("60s", BEAT))
    for second in range(200):
        stand.feed(stand.event(second, "in", key="k", x="a"))
    key = stand.task.key("k")
    assert key is not None
    (cell,) = key.cells
    assert len(cell.times) < 40


def test_it_does_not_do_without_for() -> None:
    with pytest.raises(ValidationError, match="for"):
        AbsenceSettings.model_validate({"absence": "true"})


@pytest.mark.parametrize("silence", ["0s", "0ms"])
def test_a_silence_of_nothing_is_refused(silence: str) -> None:
    with pytest.raises(ValidationError):
        AbsenceSettings.model_validate({"absence": "true", "for": silence})


def _times(played: Played) -> list[tuple[str, str]]:
    """State and time of every result."""
    return [
        (
            "resolved" if result["state"] == "resolved" else "fires",
            (result["episode"]["ends_at"] or result["episode"]["starts_at"])[11:19],
        )
        for result in played.results
    ]


EXPECTING = """
penstock: v1
name: expecting
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
tables: {hosts: {topic: cmdb}}
triggers:
  quiet: {absence: 'event.x == "a"', for: 4s, expect: tables.hosts, agent: none}
"""


def told(stand: Stand) -> list[tuple[str, str]]:
    return [(result["key"], result["state"]) for result in stand.results(stand.cut())]


def test_a_key_that_never_spoke_is_missed_from_the_first_watermark_until_its_row_goes() -> None:
    stand = Stand(EXPECTING)
    stand.feed(stand.row("silent", a=1), stand.row("h", a=1))
    stand.feed(stand.event(10, x="a"))
    stand.feed(stand.row("silent", a=2), stand.event(14, x="a"))
    assert told(stand) == [], "an event at exactly the end is in time, and a new version changes nothing"
    stand.feed(stand.event(15, x="a"))
    assert told(stand) == [("silent", "final")]
    stand.feed(stand.row("silent"))
    assert told(stand) == [("silent", "resolved")]
    assert stand.task.key("silent") is None


def test_what_is_expected_survives_restarts_and_snapshots() -> None:
    stand = Stand(EXPECTING)
    stand.feed(stand.row("silent", a=1))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(10, x="a"))
    stand.cut()
    stand.snapshot(0, 1)
    stand.trim()
    stand.reopen()
    stand.feed(stand.row("late", a=1), stand.event(15, x="a"))
    assert sorted(told(stand)) == [("h", "final"), ("late", "final"), ("silent", "final")]


def test_only_rows_of_the_tasks_own_partition_are_expected() -> None:
    stand = Stand(EXPECTING)
    foreign = replace(stand.row("foreign", a=1), partition=2)
    stand.feed(foreign, stand.event(10, x="a"), stand.event(15, x="a"))
    assert ("foreign", "final") not in told(stand)


def test_a_row_that_comes_when_its_silence_would_be_over_counts_as_of_now() -> None:
    stand = Stand(EXPECTING)
    stand.feed(stand.event(10, x="a"), stand.event(100, x="b"))
    stand.cut()
    stand.feed(stand.row("late", timestamp=20_000, a=1))
    stand.feed(stand.event(103, x="b"))
    assert told(stand) == []
    stand.feed(stand.event(105, x="b"))
    assert told(stand) == [("late", "final")]


FROM = """
penstock: v1
name: expecting
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
  moves: {topic: moves, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
tables: {hosts: {topic: cmdb}}
triggers:
  quiet: {from: auth, absence: 'event.x == "a"', for: 4s, expect: tables.hosts, agent: none}
"""


def both(stand: Stand, time: int, **fields: Any) -> tuple[Record, Record]:
    """Both inputs come to this time, by events of another key."""
    other = {"host": "other", **fields}
    return stand.event(time, **other), stand.event(time, topic="moves", **other)


def test_with_from_only_events_of_these_sources_are_a_sign_of_life() -> None:
    """t           10              14              20
    moved  auth     ·                               a        moves are seen by other triggers only
           moves         m    m    m    m    m
    """
    stand = Stand(FROM)
    stand.feed(stand.row("moved", a=1))
    stand.feed(*both(stand, 10))
    for time in (11, 13, 15):
        stand.feed(stand.event(time, topic="moves", host="moved", x="a"), stand.event(time, host="other"))
    assert told(stand) == [("moved", "final")]
    stand.feed(stand.event(20, host="moved", x="a"), stand.event(20, topic="moves", host="other"), *both(stand, 21))
    assert told(stand) == [("moved", "resolved")]


def test_with_from_a_key_that_never_spoke_is_missed_until_its_row_goes() -> None:
    stand = Stand(FROM)
    stand.feed(stand.row("silent", a=1))
    stand.feed(*both(stand, 10))
    stand.feed(*both(stand, 15))
    assert told(stand) == [("silent", "final")]
    stand.feed(stand.row("silent"))
    assert told(stand) == [("silent", "resolved")]
    assert stand.task.key("silent") is None


def test_what_is_expected_of_a_source_survives_restarts_and_snapshots() -> None:
    stand = Stand(FROM)
    stand.feed(stand.row("silent", a=1))
    stand.feed(*both(stand, 10))
    stand.cut()
    stand.reopen()
    stand.feed(*both(stand, 13))
    stand.cut()
    stand.snapshot(0, 1)
    stand.trim()
    stand.reopen()
    stand.feed(*both(stand, 15))
    assert told(stand) == [("silent", "final")]
    stand.reopen()
    stand.feed(stand.row("silent"))
    assert told(stand) == [("silent", "resolved")]


def test_rows_that_are_there_are_expected_by_a_trigger_that_comes_later() -> None:
    stand = Stand(FROM.replace("expect: tables.hosts, ", ""))
    stand.feed(stand.row("silent", a=1))
    stand.feed(*both(stand, 10))
    stand.cut("opened")
    stand.reopen(plan_of(FROM))
    stand.feed(*both(stand, 15))
    assert told(stand) == [("silent", "final")]


def test_a_trigger_that_takes_late_events_expects_as_any_other() -> None:
    stand = Stand(EXPECTING.replace("agent: none", "late: reason, agent: none"))
    stand.feed(stand.row("silent", a=1))
    stand.feed(stand.event(10, x="b"), stand.event(15, x="b"))
    assert told(stand) == [("silent", "final")]


def test_an_expected_key_whose_first_event_is_late_may_be_forgotten_like_any_other() -> None:
    late = "  late: {each: 'true', late: reason, agent: none}\n"
    watermark = "watermark: {delay: 0s, idle: never, lateness: 2s}"
    text = EXPECTING.replace("watermark: {delay: 0s, idle: never}", watermark)
    stand = Stand(text.replace("triggers:\n", f"context: {{forget: 20s}}\ntriggers:\n{late}"))
    stand.feed(stand.row("silent", a=1))
    stand.feed(stand.event(10, x="b"), stand.event(1, host="silent", x="b"))
    assert stand.task.key("silent") is not None
    stand.feed(stand.event(100, x="b"))
    assert stand.task.key("silent") is None
