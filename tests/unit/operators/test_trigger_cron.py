"""`cron`: a firing at each time of the clock, for keys that were active since the last."""

from __future__ import annotations

from tests.oracle.stand import Stand
from tests.oracle.timeline import HEAD

SHIFTS = HEAD % ("0s", 'cron: "0 6,14,22 * * MON-SAT", zone: Europe/Berlin')
FRIDAY = 1_795_132_800
"""2026-11-20 00:00 in UTC, in seconds; in Berlin it is 01:00."""
HOUR = 3600


def fired(stand: Stand, *events: tuple[float, str]) -> list[str]:
    """Events (hours since Friday 00:00 UTC, key); `key hours` of what fires."""
    stand.feed(*(stand.event(int(FRIDAY + hours * HOUR), "in", key=key) for hours, key in events))
    results = stand.results(stand.cut())
    causes = [int(result["why"]["fired_by"].removeprefix("timer@")) / 1000 for result in results]
    return [f"{result['key']} {(at - FRIDAY) / HOUR:g}" for result, at in zip(results, causes, strict=True)]


def test_it_fires_at_local_time_for_keys_that_were_active() -> None:
    """06:00 in Berlin is 05:00 here."""
    assert fired(Stand(SHIFTS), (1, "k"), (2, "k"), (2, "z"), (6, "z"), (14, "z")) == ["k 5", "z 5", "z 13"]


def test_it_fires_when_the_watermark_is_beyond_the_time() -> None:
    stand = Stand(SHIFTS)
    assert fired(stand, (1, "k"), (5, "z")) == []
    assert fired(stand, (5.001, "y")) == ["k 5", "z 5"]


def test_a_shift_without_events_says_nothing_and_neither_does_a_day_off() -> None:
    """What happens after Saturday 22:00 belongs to Monday 06:00."""
    assert fired(Stand(SHIFTS), (44, "k"), (46, "k"), (60, "k"), (78, "z")) == ["k 45", "k 77"]


def test_after_an_outage_every_time_that_has_something_to_say_fires() -> None:
    stand = Stand(SHIFTS)
    assert fired(stand, (1, "k")) == []
    stand.reopen()
    assert fired(stand, (6, "k"), (14, "k"), (22, "z")) == ["k 5", "k 13", "k 21"]


def test_its_result_says_what_it_was_due_by() -> None:
    stand = Stand(SHIFTS)
    stand.feed(stand.event(FRIDAY, "in", key="k"), stand.event(FRIDAY + 9 * HOUR, "in", key="z"))
    (result,) = stand.results(stand.cut())
    assert result["why"]["condition"] == "cron 0 6,14,22 * * MON-SAT in Europe/Berlin"
