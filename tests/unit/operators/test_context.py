from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from penstock.operators.context import Context, ContextSettings


def context(**settings: Any) -> Context:
    return Context(ContextSettings.model_validate(settings))


def small(events: int = 8, **settings: Any) -> Context:
    """Segments of two events."""
    return context(window={"events": events, "last": "1h"}, evict="25%", **settings)


def fill(target: Context, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        target.append(number * 1000, b"%d" % number, number * 1000)


def shown(target: Context, now: int) -> list[bytes]:
    view = target.view(now)
    return target.lines(view.first, view.last)


def test_the_defaults_are_those_of_the_documentation() -> None:
    limits = ContextSettings().limits
    assert (limits.last, limits.events, limits.size) == (1_800_000, 200, 16_000)
    assert (limits.segment_span, limits.segment_events, limits.segment_size) == (450_000, 50, 4000)
    assert not limits.summarise


def test_an_empty_context_shows_nothing() -> None:
    view = context().view(0)
    assert (view.events, view.from_time, view.to_time, view.summary) == (0, None, None, "")
    assert context().lines(view.first, view.last) == []


def test_lines_are_shown_in_the_order_in_which_they_were_fed() -> None:
    target = context()
    target.append(2000, b"b", 2000)
    target.append(1000, b"a", 2000)
    view = target.view(2000)
    assert shown(target, 2000) == [b"b", b"a"]
    assert (view.first, view.last, view.from_time, view.to_time) == (0, 1, 1000, 2000)


def test_one_event_too_many_evicts_a_whole_segment() -> None:
    target = small()
    fill(target, 8)
    assert target.view(7000).events == 8
    fill(target, 1, start=8)
    #   0 1 │ 2 3 │ 4 5 │ 6 7 │ 8
    #   gone
    assert shown(target, 8000) == [b"%d" % number for number in range(2, 9)]


def test_between_evictions_the_beginning_stays() -> None:
    target, firsts = small(), []
    for number in range(40):
        target.append(number, b"%d" % number, number)
        firsts.append(target.view(number).first)
    assert firsts == sorted(firsts)
    assert len(set(firsts)) == 1 + (40 - 8) / 2


def test_the_token_limit_evicts_and_holds() -> None:
    target = context(window={"tokens": 100}, evict="25%")
    for number in range(100):
        target.append(number, b"x" * 49, number)
        assert sum(map(len, shown(target, number))) + target.view(number).events <= 400
    assert 6 <= target.view(99).events <= 8


def test_what_is_too_old_goes_with_its_segment() -> None:
    target = context(window={"last": "10s"}, evict="50%")
    for second in range(8):
        target.append(second * 1000, b"%d" % second, second * 1000)
    #   0…4 │ 5…7      event 0 is out of (N − 10 s, N] at N = 10 s
    assert shown(target, 9_999) == [b"%d" % second for second in range(8)]
    assert shown(target, 10_000) == [b"5", b"6", b"7"]
    assert shown(target, 15_000) == []


def test_an_event_older_than_the_window_is_evicted_at_once() -> None:
    target = context(window={"last": "10s"}, summary="rule")
    target.append(60_000, b'{"a":1}', 60_000)
    target.append(50_000, b'{"a":2}', 60_000)
    view = target.view(60_000)
    assert shown(target, 60_000) == [b'{"a":1}']
    assert view.summary.startswith("Earlier: 1 events")


def test_a_line_larger_than_the_window_is_shown_cut_and_fits() -> None:
    target = context(window={"tokens": 100})
    line = orjson.dumps({"text": 'q"\u00e4\n' * 1000})
    target.append(0, b"before", 0)
    target.append(1, line, 1)
    cut = shown(target, 1)[-1]
    assert len(cut) < 400
    assert orjson.loads(cut)["bytes"] == len(line)
    assert line.decode().startswith(orjson.loads(cut)["cut"])


def test_the_summary_changes_at_evictions_only() -> None:
    target, texts = small(summary="rule"), []
    for number in range(20):
        target.append(number, b'{"n":%d}' % number, number)
        texts.append((target.view(number).first, target.view(number).summary))
    assert len(set(texts)) == len({first for first, _ in texts}) == 7
    assert texts[0][1] == ""
    assert '"n": 0 to 11' in texts[-1][1]


def test_pinned_events_stay_readable_after_their_eviction_until_the_last_pin_goes() -> None:
    target = small()
    fill(target, 4)
    target.pin("early", 0)
    target.pin("late", 2)
    fill(target, 20, start=4)
    assert target.lines(0, 3) == [b"0", b"1", b"2", b"3"]
    target.unpin("early")
    assert target.lines(2, 3) == [b"2", b"3"]
    with pytest.raises(LookupError, match="events 0 to 3"):
        target.lines(0, 3)
    target.unpin("late")
    target.unpin("late")
    with pytest.raises(LookupError):
        target.lines(2, 3)


def test_a_pin_may_come_before_its_events_which_is_how_a_log_is_replayed() -> None:
    live, replayed = small(), small()
    fill(live, 6)
    live.pin("run", live.view(5000).first)
    fill(live, 20, start=6)
    replayed.pin("run", 0)
    fill(replayed, 26)
    assert replayed.dump() == live.dump()


def test_what_was_loaded_still_counts_to_the_byte() -> None:
    first, second = context(window={"tokens": 100}), context(window={"tokens": 100})
    for number in range(7):
        first.append(number, b"x" * 49, number)
    second.load(first.dump())
    for target in (first, second):
        target.append(7, b"x" * 50, 7)
        assert target.view(7).first > 0


def test_narrower_limits_take_effect_when_a_dump_is_loaded() -> None:
    wide, narrow = small(events=8), small(events=4)
    fill(wide, 8)
    narrow.load(wide.dump())
    assert shown(narrow, 7000) == [b"4", b"5", b"6", b"7"]


@pytest.mark.parametrize(
    "settings", [{"window": {"events": 0}}, {"window": {"last": 30}}, {"evict": "0%"}, {"summary": "model"}]
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        context(**settings)


def test_a_view_up_to_an_instant_leaves_out_what_happened_after_it() -> None:
    """
    fed      a@10   b@30   c@20
    until 20   a             c
    """
    target = context()
    for time, line in ((10, b"a"), (30, b"b"), (20, b"c")):
        target.append(time, line, 30)
    view = target.view(30, 20)
    assert (view.events, view.from_time, view.to_time) == (2, 10, 20)
    assert target.lines(view.first, view.last, view.until) == [b"a", b"c"]
    assert target.view(30, 40).until is None


def test_a_view_before_everything_that_was_fed_shows_nothing_whatever_is_evicted_since() -> None:
    """A timer of long ago fires after the event that showed that its time has passed."""
    target = small(events=2)
    target.append(30_000, b"a", 30_000)
    view = target.view(30_000, 20_000)
    assert (view.events, view.from_time, view.to_time) == (0, None, None)
    fill(target, 40, start=31)
    assert target.lines(view.first, view.last, view.until) == []


def test_what_is_forgotten_is_not_shown_and_its_numbers_begin_anew() -> None:
    target = small(summary="rule")
    fill(target, 20)
    assert target.view(20_000).summary
    target.forget(numbers_go_on=False)
    assert target.dump() == small(summary="rule").dump()
    fill(target, 1, start=60)
    assert target.view(60_000).first == 0


def test_what_is_pinned_is_not_forgotten_and_the_numbers_of_others_come_behind_it() -> None:
    target = small()
    fill(target, 5)
    target.pin("run", 2)
    target.forget(numbers_go_on=True)
    assert shown(target, 5000) == []
    fill(target, 1, start=60)
    assert (shown(target, 60_000), target.lines(2, 4)) == ([b"60"], [b"2", b"3", b"4"])
    target.unpin("run")
    assert not target.pinned
    with pytest.raises(LookupError):
        target.lines(2, 4)


def test_a_key_may_not_be_forgotten_at_once() -> None:
    with pytest.raises(ValidationError):
        ContextSettings.model_validate({"forget": "0s"})


# --- sessions ---------------------------------------------------------------------------------------------------------


def sessions(**settings: Any) -> Context:
    """A silence of 10 s ends a session."""
    return context(window={"session": "10s", "events": 8}, evict="25%", **settings)


def feed(target: Context, *times: int) -> list[bytes]:
    """Events at these seconds; returns what is shown then. N never goes back."""
    now = -10_000
    for time in times:
        now = max(now, 1000 * time)
        target.append(1000 * time, b'{"t":%d}' % time, now)
    return [line.removeprefix(b'{"t":').removesuffix(b"}") for line in shown(target, now)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        #  time ──▶   10 s without an event end a session
        ([0, 9, 18], [0, 9, 18]),
        ([0, 10], [10]),
        ([0, 1, 2, 12, 13], [12, 13]),
        ([0, 12, 30, 31], [30, 31]),
        ([20, 11, 2], [20, 11, 2]),  # what is told late makes it reach further back,
        ([20, 10, 5], [20]),  # unless it lies before a silence, too
        ([0, 15, 8, 0], [15, 8, 0]),  # what closes the gap brings nothing back
        ([0, 15, 5], [15]),
        ([5, 20, 12, 29, 40], [40]),
    ],
)
def test_a_prompt_goes_back_to_the_last_silence(times: list[int], expected: list[int]) -> None:
    assert feed(sessions(), *times) == [b"%d" % time for time in expected]


def test_silence_alone_ends_no_session() -> None:
    target = sessions()
    feed(target, 0, 1)
    assert len(shown(target, 10_000_000_000)) == 2


def test_a_session_begins_a_segment_and_the_one_before_is_summarised() -> None:
    target = sessions(summary="rule")
    feed(target, 0, 1, 2)
    before = target.view(2000)
    target.pin("run", before.first)
    feed(target, 30, 12)
    view = target.view(30_000)
    assert (view.first, view.last, view.from_time, view.to_time) == (3, 3, 30_000, 30_000)
    assert view.summary.startswith("Earlier: 4 events")
    assert len(target.lines(before.first, before.last)) == 3


def test_a_session_is_as_long_as_the_other_limits_let_it() -> None:
    assert feed(sessions(), *range(9)) == [b"%d" % time for time in range(2, 9)]
    limited = context(window={"session": "10s", "last": "15s", "events": 100}, evict="10%")
    assert feed(limited, 0, 7, 14, 21) == [b"7", b"14", b"21"]


def test_what_went_for_another_reason_still_is_of_the_session() -> None:
    target = context(window={"session": "10s", "events": 1})
    assert feed(target, 20, 12, 25) == [b"25"]
    assert feed(target, 35) == [b"35"]


def test_a_session_survives_a_restart_and_is_forgotten_with_its_key() -> None:
    target, restored = context(window={"session": "10s", "events": 1}), context(window={"session": "10s", "events": 1})
    feed(target, 20, 12)
    restored.load(target.dump())
    assert restored.dump() == target.dump()
    assert target.dump()[5] == [12_000, 20_000]
    restored.forget(numbers_go_on=True)
    assert restored.dump()[5] == []
    assert feed(restored, 1) == [b"1"]


def test_without_the_word_nothing_of_sessions_is_written() -> None:
    assert len(small().dump()) == 5


def test_what_is_there_when_sessions_begin_to_count_is_one() -> None:
    before, target = small(), sessions()
    fill(before, 3)
    target.load(before.dump())
    assert target.dump()[5] == [0, 2000]
    assert len(shown(target, 2000)) == 3
    feed(target, 12)
    assert target.view(12_000).events == 1
    without = small()
    without.load(target.dump())
    assert len(without.dump()) == 5


def test_with_a_session_the_window_reaches_back_as_far_as_that() -> None:
    target = context(window={"session": "2h"})
    target.append(0, b"0", 0)
    target.append(7_199_999, b"1", 7_199_999)
    assert shown(target, 7_199_999) == [b"0", b"1"]


@pytest.mark.parametrize("last", ["30m", "2h"])
def test_a_session_as_long_as_the_window_has_no_effect_and_is_refused(last: str) -> None:
    with pytest.raises(ValidationError, match=f"a `session` of 2h has no effect where `last` is {last}"):
        context(window={"session": "2h", "last": last})
