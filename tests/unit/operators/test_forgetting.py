"""Keys whose time is over: what ends with them, what does not, and what the log says of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.product import milliseconds, plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, Ended, Usage
from penstock.operators.watermark import END_OF_TIME
from penstock.state.delta import Delta

HEAD = """
penstock: v1
name: forgetting
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never, lateness: 1h}}
triggers:
  seen: {each: 'event.x == "s"', cooldown: 5s, agent: none}
  open: {when: 'event.x == "a"', until: 'event.x == "z"', cooldown: 0s, agent: none}
  every: {every: 10s, agent: none}
  asked: {when: 'event.x == "?"', until: 'event.x == "z"', cooldown: 0s, agent: judge}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: What now?}
"""
TEXT = HEAD + "context: {forget: 10s}\n"


def began(text: str = TEXT) -> Stand:
    stand = Stand(text)
    stand.cut("opened")
    return stand


def fed(stand: Stand, *events: tuple[int, str, str]) -> list[str]:
    """Events (second, host, x); what was told because of them."""
    stand.feed(*[stand.event(time, host=host, x=x) for time, host, x in events])
    return told(stand)


def told(stand: Stand) -> list[str]:
    """`trigger host state`, and of episodes that ended where and why."""
    return [_line(result) for result in stand.results(stand.cut())]


def _line(result: dict[str, Any]) -> str:
    line = f"{result['triggers'][0]} {result['key']} {result['state']}"
    if result["state"] != "resolved":
        return line
    return f"{line} at {milliseconds(result['episode']['ends_at']) // 1000}: {result['reason']}"


def last_delta(stand: Stand) -> Delta:
    return next(entry for entry in reversed(stand.entries()) if isinstance(entry, Delta))


def names(stand: Stand) -> set[str]:
    return set(stand.task.image(0, 1, 0).keys)


def test_a_key_is_forgotten_when_the_watermark_has_passed_its_last_event_by_so_much() -> None:
    stand = began()
    fed(stand, (1, "a", "-"), (4, "b", "-"), (11, "c", "-"))
    assert names(stand) == {"a", "b", "c"}
    fed(stand, (12, "c", "-"))
    assert names(stand) == {"b", "c"}


def test_whoever_has_events_goes_on() -> None:
    stand = began()
    fed(stand, *[(second, host, "-") for second in range(0, 100, 6) for host in ("a", "b")])
    assert names(stand) == {"a", "b"}
    assert stand.task.counters["forgotten", "forgetting"] == 0


def test_an_event_that_moves_time_itself_comes_before_what_its_time_brings() -> None:
    stand = began()
    fed(stand, (0, "a", "s"), (1000, "a", "-"))
    assert names(stand) == {"a"}


def test_an_event_that_comes_after_the_watermark_keeps_its_key_from_there_on() -> None:
    stand = began()
    fed(stand, (100, "a", "-"), (50, "late", "-"), (110, "a", "-"))
    assert names(stand) == {"a", "late"}
    fed(stand, (111, "a", "-"))
    assert names(stand) == {"a"}


def test_its_open_episodes_end_with_the_reason() -> None:
    stand = began()
    assert fed(stand, (1, "a", "a"), (2, "b", "-")) == ["open a final"]
    assert fed(stand, (30, "b", "-"))[0] == "every a final", "what is due comes first"
    fed(stand, (31, "a", "a"))
    assert "open a resolved at 41: forgotten" in fed(stand, (60, "b", "-"))
    assert stand.task.counters["resolved", "open"] == 2


def test_a_period_that_is_as_long_is_told_before_its_key_goes() -> None:
    stand = began()
    assert fed(stand, (10, "a", "-"), (21, "b", "-")) == ["every a final"]


def test_the_next_event_of_a_key_is_its_first_and_begins_a_run_of_its_own() -> None:
    stand = began()
    stand.feed(
        *[stand.event(time, host=host, x=x) for time, host, x in [(1, "a", "a"), (50, "b", "-"), (51, "a", "a")]]
    )
    opened = [result for result in stand.results(stand.cut()) if result["triggers"] == ["open"]]
    assert [result["state"] for result in opened] == ["final", "resolved", "final"]
    assert len({result["run"] for result in opened}) == 2
    assert opened[2]["why"]["events"] == 1


def test_a_delta_says_who_was_forgotten_and_when_among_its_events() -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (50, "b", "-"), (51, "a", "-"))
    assert last_delta(stand).forgotten == [("a", 2, None)]
    fed(stand, (52, "b", "-"))
    assert last_delta(stand).forgotten == []


@pytest.mark.parametrize("images", [False, True])
def test_whoever_opens_the_task_next_remembers_as_much(images: bool) -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (2, "gone", "a"), (50, "b", "-"), (51, "a", "a"))
    if images:
        stand.snapshot(0, 1)
        stand.trim()
    stand.reopen()
    stand.cut("opened")
    assert names(stand) == {"a", "b"}
    assert fed(stand, (52, "a", "z")) == ["open a resolved at 52: None"]
    assert "open b final" not in fed(stand, (90, "z", "-"))
    assert names(stand) == {"z"}


def test_a_run_keeps_the_events_of_its_prompt_and_nothing_else_stays() -> None:
    stand = began()
    [ask] = [effect for effect in stand.feed(stand.event(1, host="a", x="?")) if isinstance(effect, Ask)]
    assert "every a final" in fed(stand, (50, "b", "-"))
    assert last_delta(stand).forgotten == [("a", 2, 50_000)]
    effects = stand.feed(stand.event(51, host="a", x="-"))
    assert effects == []
    stand.cut()
    [again] = [effect for effect in stand.reopen() if isinstance(effect, Ask)]
    stand.cut("opened")
    assert again.request.messages == ask.request.messages
    stand.task.feed(Answered(again.call_id, "fine", "stop", Usage()))
    assert told(stand) == ["asked a final", "asked a resolved at 11: forgotten"]


def test_a_key_that_a_run_kept_goes_when_the_run_is_over() -> None:
    stand = began()
    [ask] = [effect for effect in stand.feed(stand.event(1, host="a", x="?")) if isinstance(effect, Ask)]
    fed(stand, (50, "b", "-"))
    stand.task.feed(Answered(ask.call_id, "fine", "stop", Usage()))
    fed(stand, (60, "b", "-"))
    assert names(stand) == {"a", "b"}
    fed(stand, (61, "b", "-"))
    assert names(stand) == {"b"}
    assert stand.task.counters["forgotten", "forgetting"] == 1
    stand.reopen()
    assert names(stand) == {"b"}


def test_what_other_definitions_know_of_it_goes_too() -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (1, "a", "s"), (2, "b", "-"))
    stand.reopen(plan_of(TEXT.replace("  seen: ", "  saw: ").replace("  open: ", "  opened: ")))
    stand.cut("opened")
    assert "open a resolved at 11: forgotten" in fed(stand, (50, "b", "-"))
    stand.reopen(plan_of(TEXT))
    stand.cut("opened")
    assert "seen a final" in fed(stand, (51, "a", "s"))


def test_a_shorter_time_is_made_up_for_when_the_task_is_opened() -> None:
    stand = began(HEAD)
    fed(stand, *[(second, f"host-{second}", "a") for second in range(30)])
    stand.reopen(plan_of(TEXT))
    lines = [_line(result) for result in stand.results(stand.cut("opened"))]
    assert names(stand) == {f"host-{second}" for second in range(19, 30)}
    assert next(line for line in lines if "open" in line) == "open host-0 resolved at 10: forgotten"
    assert len(last_delta(stand).forgotten) == 19


def test_who_does_not_forget_any_more_gets_nobody_back() -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (50, "b", "-"))
    stand.reopen(plan_of(HEAD))
    stand.cut("opened")
    assert names(stand) == {"b"}
    fed(stand, (1000, "c", "-"))
    assert names(stand) == {"b", "c"}


def test_at_the_end_of_a_bounded_input_everybody_is_forgotten() -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (2, "b", "-"))
    stand.task.feed(Ended(stand.now))
    assert told(stand)[-1] == "open a resolved at 11: forgotten"
    assert stand.task.keys == 0


def test_at_the_end_a_run_still_gets_its_answer() -> None:
    stand = began()
    [ask] = [effect for effect in stand.feed(stand.event(1, host="a", x="?")) if isinstance(effect, Ask)]
    stand.task.feed(Ended(stand.now))
    fed(stand)
    assert last_delta(stand).forgotten == [("a", 1, END_OF_TIME)]
    stand.task.feed(Answered(ask.call_id, "fine", "stop", Usage()))
    assert told(stand) == ["asked a final", "asked a resolved at 11: forgotten"]


def test_memory_stays_flat_over_an_endless_stream_of_new_keys() -> None:
    stand = began()
    for second in range(3_000):
        stand.feed(stand.event(second, host=f"host-{second}", x="a"))
        if second % 100 == 99:
            stand.cut()
            assert stand.task.keys <= 12
            assert stand.task.open_runs == 0
    stand.snapshot(0, 1)
    assert len(stand.log[-1]) < 2_000
    stand.trim()
    stand.reopen()
    assert stand.task.keys == 11
