"""Schedules of local time agree with what somebody sees who looks at the clock on the wall every minute.

Above all where the clock is set.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.oracle import Incoming, Rule, Settings
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_every import Cron, EveryDay
from tests.oracle.wall_clock import DAY, HORIZON, MINUTE, begins, first_from, is_due
from tests.property.oracle_world import DEEDS, Deed, Sample, agree, any_settings

from penstock.operators.schedule import LocalTimes
from penstock.operators.timestamp import instant
from penstock.operators.trigger_cron import CronSettings
from penstock.operators.trigger_every import EverySettings

SETTINGS_OF_CLOCKS = (
    ("Europe/Berlin", "2026-03-29T01:00Z"),  # forward over 02:00
    ("Europe/Berlin", "2026-10-25T01:00Z"),  # back over 03:00
    ("America/St_Johns", "2006-10-29T02:31Z"),  # back over midnight: the new day begins, and ends again
    ("America/St_Johns", "2006-04-02T03:31Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00Z"),  # there is no midnight
    ("America/Sao_Paulo", "2018-02-18T02:00Z"),  # back from midnight
    ("America/Havana", "2026-11-01T05:00Z"),  # midnight occurs twice
    ("Pacific/Apia", "2011-12-30T10:00Z"),  # a day is left out
    ("UTC", "2026-02-28T12:00Z"),
    ("Asia/Kolkata", "1969-12-31T12:00Z"),
)
CRONS = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["0", "30", "59", "15,45", "5-50/15", "*", "*/20", "0-59"]),
        st.sampled_from(["2", "0", "23", "1-3", "0,2,12", "*", "*/6", "0-23"]),
        st.sampled_from(["*", "*", "*", "*/2", "1-15", "29,30", "31"]),
        st.sampled_from(["*", "*", "*", "MAR-APR,oct-NOV", "1-12/3"]),
        st.sampled_from(["*", "*", "*", "SUN", "mon-SAT", "FRI-SUN", "0,7", "*/3"]),
    ),
)
STEPS = st.integers(-1800, 1800).map(MINUTE.__mul__) | st.integers(-30 * 3_600_000, 30 * 3_600_000)


@st.composite
def moments(draw: st.DrawFn, most: int = 6) -> tuple[str, list[int]]:
    """A zone, and some instants around the one at which its clocks are set."""
    zone, when = draw(st.sampled_from(SETTINGS_OF_CLOCKS))
    at = instant(when)
    assert at is not None
    return zone, [at + step for step in draw(st.lists(STEPS, min_size=1, max_size=most))]


def check(schedule: LocalTimes, times: list[int], due: Callable[[int], bool]) -> None:
    """Asked again and again, in any order, it says the same."""
    for time in times:
        expected, found = first_from(time, due), schedule.due_of(time)
        if expected is None:
            assert found is None or found >= time + HORIZON
        else:
            assert found == expected


@given(moments(), CRONS)
def test_a_cron_expression_is_due_when_the_clock_on_the_wall_says_so(moment: tuple[str, list[int]], cron: str) -> None:
    zone, times = moment
    schedule = CronSettings.model_validate({"cron": cron, "zone": zone}).schedule()
    check(schedule, times, lambda instant: is_due(cron.upper(), instant, zone))


@given(moments(), st.sampled_from([1, 2, 3, 7, 14]))
def test_days_and_weeks_begin_when_the_clock_on_the_wall_says_so(moment: tuple[str, list[int]], days: int) -> None:
    zone, times = moment
    schedule = EverySettings.model_validate({"every": f"{days}d", "zone": zone}).schedule()
    assert isinstance(schedule, LocalTimes)
    check(schedule, times, lambda instant: begins(days, instant, zone))
    assert schedule.longest_pause() >= days * DAY


# --- as triggers -----------------------------------------------------------------------------------------------------

DAILY = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["0", "30", "15,45", "*/20"]),
        st.sampled_from(["2", "0", "0-3", "0,2,12", "*", "*/6"]),
        st.just("*"),
        st.just("*"),
        st.sampled_from(["*", "*", "MON-SAT", "SUN-SAT"]),
    ),
)


@st.composite
def days_of_samples(draw: st.DrawFn) -> tuple[tuple[Rule, ...], list[Sample]]:
    """Some schedules of one zone, and events around the instant at which its clocks are set."""
    zone, [time] = draw(moments(most=1))
    rules = (EveryDay("d", draw(st.integers(1, 2)), zone), Cron("c", draw(DAILY), zone), Cron("h", draw(DAILY), zone))
    samples = []
    for offset in range(draw(st.integers(1, 12))):
        time += MINUTE * draw(st.sampled_from([0, 7, 30, 30, 60, 200, 400, -45]))
        told = Incoming(draw(st.sampled_from("kkz")), time, {}, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": time}).encode(), told))
    return rules, samples


@st.composite
def scheduled(draw: st.DrawFn) -> tuple[Settings, list[Sample]]:
    rules, samples = draw(days_of_samples())
    settings = draw(any_settings(st.just(rules)))
    scale = draw(st.sampled_from([1, 600]))
    return replace(settings, delay=scale * settings.delay, lateness=scale * settings.lateness), samples


@given(scheduled(), DEEDS)
def test_they_agree_on_every_firing_of_a_schedule(case: tuple[Settings, list[Sample]], deeds: list[Deed]) -> None:
    agree(*case, deeds)
