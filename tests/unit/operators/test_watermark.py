"""Event time of inputs, and how silence moves it."""

from __future__ import annotations

import pytest

from penstock.operators.event import Progress
from penstock.operators.watermark import END_OF_TIME, NEVER, Origin, least
from penstock.state.delta import Clock


def caught_up(at: int) -> Progress:
    """At this processing time the end was seen, and it was where we are."""
    return Progress(position=7, end_seen=7, seen_at=at)


def heard(delay: int = 10, idle: int | None = 100, *, at: int = 1_000, time: int | None = 500) -> Origin:
    """An origin that read one event with this event time, at this processing time."""
    origin = Origin(delay, idle)
    origin.heard(at)
    if time is not None:
        origin.advance(time)
    return origin


def test_the_watermark_is_behind_the_largest_event_time_by_the_delay() -> None:
    assert Origin(10, None).watermark == NEVER
    assert heard(delay=10, time=500).watermark == 490


def test_silence_moves_it_by_what_exceeds_the_idle_time() -> None:
    """
    processing  1000 ──── idle 100 ──── 1100 ──── 1130
    watermark    490 ──────────────────  490 ────  520
    """
    origin = heard()
    origin.fall_silent(caught_up(1_099))
    assert origin.watermark == 490
    origin.fall_silent(caught_up(1_130))
    assert origin.watermark == 520


@pytest.mark.parametrize(
    "progress",
    [Progress(6, 7, 1_000_000), Progress(7, 7, 999)],
    ids=["there is more to read", "the end was seen before the last record came"],
)
def test_what_was_not_read_to_an_end_seen_since_is_not_silent(progress: Progress) -> None:
    origin = heard()
    origin.fall_silent(progress)
    assert origin.watermark == 490


def test_time_in_which_nobody_looked_is_no_silence() -> None:
    """An outage, or back-pressure: the end was seen 20 ms into the silence, and nothing is known since."""
    origin = heard()
    origin.fall_silent(caught_up(1_120))
    origin.fall_silent(caught_up(1_120))
    assert origin.watermark == 510


def test_without_an_idle_time_silence_means_nothing() -> None:
    origin = heard(idle=None)
    origin.fall_silent(caught_up(10**9))
    assert origin.watermark == 490


def test_an_old_event_after_a_silence_does_not_take_time_back() -> None:
    origin = heard()
    origin.fall_silent(caught_up(2_000))
    reached = origin.watermark
    origin.heard(2_001)
    origin.advance(510)
    assert origin.watermark == reached


def test_the_task_is_where_its_slowest_origin_is() -> None:
    assert least({"a": heard(time=500), "b": heard(time=300)}) == 290
    assert least({"a": heard(time=500), "b": heard(time=None)}) == NEVER
    assert least({}) == NEVER


def test_an_origin_that_never_spoke_is_left_out_once_it_is_idle_and_counts_when_it_speaks() -> None:
    silent = heard(time=None)
    silent.fall_silent(caught_up(1_100))
    assert least({"a": heard(time=500), "b": silent}) == 490
    silent.heard(1_200)
    assert least({"a": heard(time=500), "b": silent}) == NEVER


def test_a_restored_origin_stands_where_it_stood_also_after_silence() -> None:
    origin = heard()
    origin.fall_silent(caught_up(2_000))
    restored = Origin(10, 100)
    restored.restore(origin.clock(reached=origin.watermark))
    assert (restored.event_time, restored.heard_at, restored.watermark) == (500, 1_000, 1_390)


def test_what_the_task_has_reached_is_saved_with_an_origin_that_was_left_out() -> None:
    restored = Origin(10, 100)
    restored.restore(heard(time=None).clock(reached=490))
    assert least({"a": heard(time=500), "b": restored}) == 490


def test_an_end_is_saved() -> None:
    restored = Origin(10, 100)
    restored.restore(heard().clock(reached=END_OF_TIME))
    assert restored.watermark == END_OF_TIME


def test_before_the_first_record_there_is_nothing_to_save() -> None:
    assert Origin(10, 100).clock(reached=NEVER) == Clock()
