"""The timeline is a function of its seed, and fair: it neither skips events nor strikes who is down already."""

from __future__ import annotations

from collections import Counter

from tests.peers.timeline import Event, Kill, Restart, timeline


def test_one_seed_gives_one_timeline() -> None:
    assert timeline(1, 5) == timeline(1, 5)
    assert timeline(1, 5) != timeline(2, 5)


def test_the_events_of_a_key_are_numbered_in_the_order_in_which_they_are_written() -> None:
    counts: Counter[str] = Counter()
    for event in timeline(1, 5).events:
        counts[event.key] += 1
        assert event.n == counts[event.key]


def test_every_cycle_kills_one_worker_that_is_up_and_starts_it_again() -> None:
    actions = timeline(1, 15).actions
    faults = [action for action in actions if not isinstance(action, Event)]
    pairs = list(zip(faults[::2], faults[1::2], strict=True))
    assert len(pairs) == 15
    for kill, restart in pairs:
        assert isinstance(kill, Kill)
        assert isinstance(restart, Restart)
        assert kill.worker == restart.worker
        assert kill.at <= restart.at


def test_without_kills_the_events_are_the_same() -> None:
    disturbed = timeline(1, 5)
    calm = disturbed.without_kills()
    assert calm.events == disturbed.events
    assert all(isinstance(action, Event) for action in calm.actions)
