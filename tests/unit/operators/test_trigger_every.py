"""`every`: a firing per period for keys that were active in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from tests.oracle.timeline import play, play_records

from penstock.operators.trigger_every import EverySettings


def due_of(period: str, time: int) -> int | None:
    return EverySettings.model_validate({"every": period}).schedule().due_of(time)


def test_a_due_time_fires_when_the_watermark_is_beyond_it() -> None:
    """At 4 the watermark stands exactly there: it has not passed."""
    assert play("every: 4s", "·a··|").marks == "·····"
    played = play("every: 4s", "·a··||")
    assert played.marks == "····F·"
    assert played.causes == ["timer@4000"]


def test_an_event_at_a_due_time_belongs_to_it() -> None:
    assert play("every: 4s", "····a····|").marks == "····F·····"


def test_a_period_without_an_event_says_nothing() -> None:
    assert play("every: 2s", "·a·····a··|").marks == "··F·····F··"


def test_several_periods_that_passed_at_once_fire_each_with_its_own_time() -> None:
    played = play("every: 2s", "·a·a·a····|", delay="3s")
    assert played.marks == "··F·F·F····"
    assert played.causes == ["timer@2000", "timer@4000", "timer@6000"]


def test_an_event_behind_the_watermark_belongs_to_the_first_due_time_that_has_not_passed() -> None:
    played = play_records("every: 4s", [(10, "|"), (1, "a"), (13, "|")], length=14)
    assert played.marks == "············F·"


def test_the_end_of_the_input_lets_what_is_due_fire() -> None:
    played = play("every: 4s", "·a···", ended=True)
    assert played.marks == "····F"
    assert [result["end"] for result in played.results] == [True]


def test_days_begin_at_midnight_and_weeks_on_monday() -> None:
    wednesday = int(datetime(2026, 11, 18, 15, tzinfo=UTC).timestamp() * 1000)
    thursday_midnight = int(datetime(2026, 11, 19, tzinfo=UTC).timestamp() * 1000)
    monday_midnight = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp() * 1000)
    assert due_of("1d", wednesday) == thursday_midnight
    assert due_of("1w", wednesday) == monday_midnight


def test_due_times_before_the_epoch_are_multiples_too() -> None:
    assert due_of("4s", -5000) == -4000
    assert due_of("4s", -4000) == -4000


def test_a_period_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        EverySettings.model_validate({"every": "0s"})


@pytest.mark.parametrize("period", ["1h", "36h", "1d1h"])
def test_a_zone_goes_with_whole_days(period: str) -> None:
    with pytest.raises(ValidationError, match=f"every {period.replace('36h', '1d12h')} is the same everywhere"):
        EverySettings.model_validate({"every": period, "zone": "Europe/Berlin"})


def test_its_keys_may_be_said_to_be_the_active_ones() -> None:
    assert play("every: 4s, over: active_keys", "·a··||").marks == "····F·"


def test_runs_are_not_spread_beyond_the_next_due_time() -> None:
    assert EverySettings.model_validate({"every": "1h", "spread": "1h"}).spread_over == 3_600_000
    with pytest.raises(ValidationError, match="write a shorter one"):
        EverySettings.model_validate({"every": "1h", "spread": "61m"})
