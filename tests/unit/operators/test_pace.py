from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.pace import Taken

FILE = """
penstock: v1
name: press
sources:
  vibration: {{topic: auth, key: event.host, time: {{at: event.t, unit: s}}, show: [t], show_every: 5s,
              hide: event.noise == true, watermark: {{delay: 0s, idle: never, lateness: 20s}}}}
{more}
triggers:
  seen: {{each: 'true', agent: none, cooldown: 0s}}
models:
  small: {{base_url: "http://127.0.0.1:9/v1", model: tiny}}
"""
FRAMES = "  frames: {topic: frames, key: event.host, time: {at: event.t, unit: s}, show: [t]}"


def stand(more: str = "") -> Stand:
    made = Stand(FILE.format(more=more))
    made.reopen()
    return made


def shown(press: Stand, host: str = "h") -> list[int]:
    """Times of the events of a key that a prompt would show."""
    key = press.task.key(host)
    if key is None:
        return []
    view = key.context.view(key.now)
    return [orjson.loads(line)["t"] for line in key.context.lines(view.first, view.last)]


@pytest.mark.parametrize(
    ("fed", "expected"),
    [
        #  stretches: [0, 5) [5, 10) [10, 15) …
        ([0, 1, 4, 5, 6, 11], [0, 5, 11]),
        ([4, 5, 9, 10], [4, 5, 10]),  # two lines may be closer than 5 s: there is one per stretch
        ([8, 6, 3, 2, 7], [8, 3]),  # the first one fed; one that comes late to an empty stretch is shown
        ([-1, 0, -5, -6], [-1, 0, -6]),
        ([12, 12, 12], [12]),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_one_line_per_stretch_is_shown_and_triggers_see_every_event(
    fed: list[int], expected: list[int], at_once: bool
) -> None:
    press = stand()
    events = [press.event(time) for time in fed]
    for batch in [events] if at_once else [[event] for event in events]:
        press.feed(*batch)
    assert shown(press) == expected
    assert press.task.counters["fired", "seen"] == len(fed)


def test_what_is_hidden_shows_nothing_and_takes_no_stretch() -> None:
    press = stand()
    press.feed(press.event(1, noise=True), press.event(2), press.event(3, noise="?"), press.event(5, noise=False))
    assert shown(press) == [2, 5]


def test_what_is_late_takes_no_stretch() -> None:
    press = stand()
    press.feed(press.event(30), press.event(9), press.event(11), press.event(10))
    assert shown(press) == [30, 11]


def test_keys_and_sources_have_their_own_stretches() -> None:
    press = stand(FRAMES)
    press.feed(press.event(1), press.event(2, host="z"), press.event(3, topic="frames"), press.event(4, topic="frames"))
    press.feed(press.event(4))
    assert (shown(press), shown(press, "z")) == ([1, 3, 4], [2])


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_restart_knows_which_stretches_are_taken(snapshot: bool) -> None:
    press = stand()
    press.feed(press.event(3), press.event(11))
    press.cut()
    if snapshot:
        press.snapshot(0, 1)
        press.trim()
    press.reopen()
    press.feed(press.event(4), press.event(7), press.event(14))
    assert shown(press) == [3, 11, 7]


def test_with_another_length_counting_begins_anew() -> None:
    press = stand()
    press.feed(press.event(3))
    press.cut()
    press.reopen(plan_of(FILE.format(more="").replace("show_every: 5s", "show_every: 10s")))
    press.feed(press.event(4), press.event(6))
    assert shown(press) == [3, 4]
    press.cut()
    press.reopen(plan_of(FILE.format(more="")))
    press.feed(press.event(4), press.event(7))
    assert shown(press) == [3, 4, 4, 7]


def test_a_key_that_is_forgotten_has_taken_nothing() -> None:
    press = stand("context: {forget: 60s}")
    press.feed(press.event(100))
    press.feed(press.event(161, host="other"))
    assert press.task.key("h") is None
    press.feed(press.event(163), press.event(164))
    assert shown(press) == [163]


# --- Taken ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-20, 40), st.integers(-20, 40), st.booleans()), max_size=60))
def test_what_is_swept_would_never_have_been_asked_for(steps: list[tuple[int, int, bool]]) -> None:
    """`oldest` never goes back, nobody asks for a time before it, and a restored one knows the same."""
    taken, known, oldest = Taken(3), set[int](), -20
    for time, least, restart in steps:
        oldest = max(oldest, least)
        if time < oldest:
            continue
        assert taken.has(time, oldest) == (time // 3 in known)
        taken.add(time, None, time)
        known.add(time // 3)
        if restart:
            dumped: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(taken.dump()))
            taken = Taken(3)
            taken.load(dumped)


def test_memory_is_bounded_by_what_is_not_late() -> None:
    taken = Taken(3)
    for time in range(3000):
        taken.has(time, time - 30)
        taken.add(time, None, time)
    assert taken.value(3000) < 40


def test_nothing_taken_is_an_empty_list() -> None:
    assert Taken(3).dump() == []
