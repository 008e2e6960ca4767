from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.stand import Stand

from penstock.operators.dedupe import Seen

FILE = """
penstock: v1
name: inbox
sources:
  mail: {{topic: auth, key: event.host, time: {{at: event.t, unit: s}}, ignore: event.skip == true,
         watermark: {{delay: 0s, idle: never, lateness: 10s}}, dedupe: {{by: {by}, within: 5s}}}}
{more}
triggers:
  mail: {{each: 'true', agent: none, cooldown: 0s}}
models:
  small: {{base_url: "http://127.0.0.1:9/v1", model: tiny}}
"""


def stand(by: str = "event.id", more: str = "") -> Stand:
    return Stand(FILE.format(by=by, more=more))


def kept(stand: Stand, *events: tuple[int, Any]) -> list[int]:
    """Times of those of these events (time in s, id) that were no duplicates."""
    times = []
    for time, value in events:
        before = stand.task.counters["fired", "mail"]
        fields = {} if value is ... else {"id": value}
        stand.feed(stand.event(time, **fields))
        times += [time] * (stand.task.counters["fired", "mail"] - before)
    return times


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        #  time ──▶                                        a value is told again within 5 s of where it was kept
        ([(10, "a"), (11, "a"), (15, "a"), (16, "a")], [10, 16]),
        ([(10, "a"), (10, "a")], [10]),
        ([(10, "a"), (11, "b"), (12, "a"), (12, "b")], [10, 11]),
        ([(10, "a"), (14, "a"), (18, "a"), (22, "a")], [10, 18]),  # a duplicate does not renew
        ([(20, "a"), (16, "a"), (14, "a"), (25, "a")], [20, 14]),  # whichever comes first in the topic
        ([(10, ...), (10, ...), (10, None), (10, None)], [10, 10, 10]),  # unknown is never a duplicate, null is a value
        ([(10, 1), (10, 1.0), (10, True), (10, "1"), (10, [1]), (10, [True])], [10, 10, 10, 10, 10]),
        ([(10, {"x": 1, "y": 2}), (10, {"y": 2, "x": 1})], [10]),
    ],
)
def test_a_record_is_a_duplicate_if_one_of_equal_value_was_kept_close_by(events: Any, expected: list[int]) -> None:
    assert kept(stand(), *events) == expected


def test_keys_do_not_know_of_each_other() -> None:
    inbox = stand()
    inbox.feed(inbox.event(10, id="a"), inbox.event(10, id="a", host="other"))
    assert inbox.task.counters["fired", "mail"] == 2


def test_what_is_ignored_or_late_is_no_duplicate_and_none_is_recognised_by_it() -> None:
    inbox = stand()
    inbox.feed(inbox.event(10, id="a", skip=True))
    assert kept(inbox, (11, "a"), (30, "b"), (19, "b"), (19, "c"), (20, "c")) == [11, 30, 20]
    counters = inbox.task.counters
    assert (counters["ignored", "mail"], counters["late", "mail"], counters["duplicate", "mail"]) == (1, 2, 0)


def test_duplicates_are_counted_and_move_time() -> None:
    inbox = stand()
    kept(inbox, (10, "a"), (14, "a"))
    assert inbox.task.counters["duplicate", "mail"] == 1
    assert inbox.task.watermark == 14_000


def test_sources_do_not_know_of_each_other_and_one_may_tell_without_the_other() -> None:
    inbox = stand(more="  chat: {topic: chat, key: event.host, time: {at: event.t, unit: s}}")
    for _ in range(2):
        inbox.feed(inbox.event(10, id="a"), inbox.event(10, topic="chat", id="a"))
    assert inbox.task.counters["fired", "mail"] == 3
    assert inbox.task.counters["duplicate", "mail"] == 1


def test_by_may_ask_about_the_record_itself() -> None:
    inbox = stand(by="record.timestamp")
    assert kept(inbox, (10, "a"), (10, "b"), (11, "a")) == [10, 11]


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_restart_knows_what_was_seen(snapshot: bool) -> None:
    inbox = stand()
    inbox.reopen()
    kept(inbox, (10, "a"))
    inbox.cut()
    if snapshot:
        inbox.snapshot(0, 1)
        inbox.trim()
    inbox.reopen()
    assert kept(inbox, (12, "a"), (13, "b")) == [13]


def test_a_key_that_is_forgotten_has_seen_nothing() -> None:
    inbox = stand(more="context: {forget: 60s}")
    assert kept(inbox, (10, "a")) == [10]
    inbox.feed(inbox.event(100, id="z", host="other"))
    assert inbox.task.key("h") is None


# --- Seen -------------------------------------------------------------------------------------------------------------

times = st.integers(0, 30)


@given(st.lists(st.tuples(st.sampled_from("ab"), times, times), max_size=40))
def test_what_is_forgotten_would_never_have_been_asked_for(steps: list[tuple[str, int, int]]) -> None:
    """`oldest` never goes back, and nobody asks for a time before it."""
    seen, kept, oldest = Seen(3), list[tuple[str, int]](), 0
    for value, time, least in steps:
        oldest = max(oldest, least)
        if time < oldest:
            continue
        expected = any(each == value and abs(at - time) <= 3 for each, at in kept)
        assert seen.has(value, time, oldest) == expected
        seen.add(time, value, time)
        kept.append((value, time))
        restored = Seen(3)
        restored.load(msgspec.msgpack.decode(msgspec.msgpack.encode(seen.dump())))
        seen = restored


def test_memory_is_bounded_by_what_can_still_be_matched() -> None:
    seen = Seen(3)
    for time in range(1000):
        assert not seen.has(time, time, time - 5)
        seen.add(time, time, time)
    assert seen.value(1000) < 40


def test_nothing_seen_is_an_empty_list() -> None:
    assert Seen(3).dump() == []
