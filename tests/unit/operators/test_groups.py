"""`by` and `from`: what a trigger sees of a key, what its results say of it, and what is remembered.

by x     a·a·b    the letters are two groups; · is nothing, | is an event of another key
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.oracle.product import milliseconds, plan_of
from tests.oracle.stand import Stand
from tests.oracle.timeline import Played, play

from penstock.operators.grouping import group_name
from penstock.operators.key_state import KeyState
from penstock.state.codec import encode
from penstock.state.delta import Bucket, Delta

SOURCE = "{topic: %s, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}"
HEAD = f"""
penstock: v1
name: groups
sources:
  auth: {SOURCE % "auth"}
triggers:
"""
MANY = "  many: {when: 'count(event.x == \"a\", 9s) >= 3', by: event.ip, cooldown: 5s, agent: none}\n"
SEEN = "  seen: {each: 'event.x == \"b\"', by: event.ip, cooldown: 50s, agent: none}\n"
CALM = "  calm: {when: 'count(true, 4s) < 1 && event.x == \"c\"', by: event.ip, cooldown: 0s, agent: none}\n"
OTHER = "  other: {when: 'count(event.x == \"z\", 9s) >= 3', cooldown: 0s, agent: none}\n"
A, B = HEAD + OTHER + MANY + SEEN + CALM, HEAD + OTHER


def marks(played: Played) -> list[str]:
    """`letter F@second` of everything that was told, in order."""
    return [_mark(result) for result in played.results]


def _mark(result: dict[str, Any]) -> str:
    episode, over = result["episode"], result["state"] == "resolved"
    if episode is None:
        return f"{result['by']} {result['why']['fired_by']}"
    return f"{result['by']} {'R' if over else 'F'}@{milliseconds(episode['ends_at' if over else 'starts_at']) // 1000}"


def fed(stand: Stand, *events: tuple[int, str, Any]) -> list[str]:
    """Events (second, x, ip) of one key; what was told because of them: `trigger by state`."""
    stand.feed(*[stand.event(time, x=x, ip=ip) for time, x, ip in events])
    return told(stand)


def told(stand: Stand) -> list[str]:
    return [f"{each['triggers'][0]} {each['by']} {each['state']}" for each in stand.results(stand.cut())]


def began(text: str = A) -> Stand:
    stand = Stand(text)
    stand.cut("opened")
    return stand


def key_of(stand: Stand, name: str = "h") -> KeyState:
    key = stand.task.key(name)
    assert key is not None
    return key


def groups_of(stand: Stand) -> set[str | None]:
    return {group.group for group in key_of(stand).groups or ()}


# --- what a group sees ----------------------------------------------------------------------------------------------


def test_each_value_is_counted_by_itself() -> None:
    played = play("when: 'count(true, 9s) >= 2', by: event.x, cooldown: 0s", "ab·a·b·c")
    assert marks(played) == ["a F@3", "b F@5"]


def test_without_by_they_are_counted_together() -> None:
    assert marks(play("when: 'count(true, 9s) >= 2', cooldown: 0s", "ab")) == ["None F@1"]


def test_a_cooldown_is_one_of_its_group() -> None:
    played = play("each: 'true', by: event.x, cooldown: 3s", "aab·a")
    assert [(result["by"], result["why"]["fired_by"]) for result in played.results] == [
        ("a", "in/0@0"),
        ("b", "in/0@2"),
        ("a", "in/0@3"),
    ]
    assert played.suppressed == 1


def test_events_of_other_groups_bring_the_instants_of_a_group() -> None:
    """`a` has been silent for 3 s at second 3, when b comes."""
    played = play("when: 'count(true, 3s) < 1', by: event.x, cooldown: 0s", "a··b·|·|")
    assert marks(played) == ["a F@3", "b F@6"]
    assert played.causes == ["timer@3000", "timer@6000"]


def test_instants_of_several_groups_come_in_time_order_and_equal_ones_by_name() -> None:
    played = play("when: 'count(true, 3s) < 1', by: event.x, cooldown: 0s", "c·····|")
    assert marks(played) == ["c F@3"]
    stand = began(HEAD + "  calm: {when: 'count(true, 4s) < 1', by: event.ip, cooldown: 0s, agent: none}\n")
    fed(stand, (1, "x", "d"), (2, "x", "c"), (2, "x", "a"), (2, "x", "b"))
    assert fed(stand, (20, "x", "z")) == ["calm d final", "calm a final", "calm b final", "calm c final"]


def test_at_timers_the_event_is_the_last_one_of_the_group() -> None:
    stand = began()
    fed(stand, (1, "c", "a"), (2, "c", "b"), (3, "x", "a"))
    assert fed(stand, (20, "x", "z")) == ["calm b final"]


def test_triggers_look_in_the_order_of_the_file_whatever_they_see() -> None:
    names = ["  w1: {each: 'true', agent: none}\n", "  g1: {each: 'true', by: event.ip, agent: none}\n"]
    stand = began(HEAD + names[0] + names[1] + names[0].replace("w1", "w2") + names[1].replace("g1", "g2"))
    assert fed(stand, (1, "x", "a")) == ["w1 None final", "g1 a final", "w2 None final", "g2 a final"]


def test_an_event_whose_by_is_unknown_takes_no_part_and_is_counted() -> None:
    stand = began(HEAD + "  all: {each: 'true', by: event.ip, agent: none}\n")
    stand.feed(stand.event(1, x="a"), stand.event(2, x="a", ip=None))
    assert told(stand) == ["all None final"]
    assert stand.task.counters["expression_unknown", "event.ip"] == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, "null", False),
        (2**53, float(2**53), True),
        (-0.0, 0, True),
        ([1, {"b": 1.0, "a": 2}], [1.0, {"a": 2.0, "b": 1}], True),
        ([1, True], [1, 1], False),
        (10**30, float(10**30), True),
    ],
)
def test_equal_values_are_one_group(one: Any, other: Any, same: bool) -> None:
    assert (group_name(one) == group_name(other)) is same


# --- what results say -----------------------------------------------------------------------------------------------


def results(text: str, *events: tuple[int, str, Any]) -> list[dict[str, Any]]:
    stand = began(text)
    stand.feed(*[stand.event(time, x=x, ip=ip) for time, x, ip in events])
    return stand.results(stand.cut())


@pytest.mark.parametrize("value", ["ip_3", 7, None, True, ["a", 1], {"a": None}])
def test_a_result_has_the_value_and_the_expression(value: Any) -> None:
    [result] = results(HEAD + "  all: {each: 'true', by: event.ip, agent: none}\n", (1, "a", value))
    assert result["by"] == value
    assert type(result["by"]) is type(value)
    assert result["why"]["by"] == "event.ip"


def test_what_has_no_by_says_so() -> None:
    [result] = results(HEAD + "  all: {each: 'true', agent: none}\n", (1, "a", "ip_3"))
    assert (result["by"], result["why"]["by"]) == (None, None)


def test_templates_can_name_it() -> None:
    trigger = "  all: {each: 'true', by: event.ip, annotations: {s: '{{ by }} on {{ key }}'}, agent: none}\n"
    assert results(HEAD + trigger, (1, "a", "ip_3"))[0]["annotations"] == {"s": "ip_3 on h"}


def test_values_are_those_of_the_group() -> None:
    text = HEAD.replace("triggers:", "define: {n: 'count(true, 9s)'}\ntriggers:")
    told = results(
        text + "  t: {when: n >= 2, by: event.ip, agent: none}\n", (1, "a", "a"), (2, "a", "b"), (3, "a", "b")
    )
    assert [result["why"]["values"] for result in told] == [{"n": 2}]


def test_groups_that_are_due_at_one_time_are_runs_of_their_own_and_their_prompts_hold_the_whole_key() -> None:
    told = results(HEAD + CALM, (1, "c", "a"), (1, "c", "b"), (2, "x", "z"), (9, "x", "z"))
    assert [result["why"]["fired_by"] for result in told] == ["timer@5000", "timer@5000"]
    assert len({result["run"] for result in told}) == 2
    assert [result["why"]["events"] for result in told] == [3, 3]


# --- from -----------------------------------------------------------------------------------------------------------

TWO = HEAD.replace("triggers:", f"  flow: {SOURCE % 'flow'}\ntriggers:")
BOTH = "  both: {when: 'count(true, 9s) >= 2', cooldown: 0s, agent: none}\n"


def fed_two(stand: Stand, *events: tuple[int, str, str]) -> list[str]:
    """Events (second, topic, x)."""
    stand.feed(*[stand.event(time, topic, x=x) for time, topic, x in events])
    return told(stand)


def test_a_trigger_sees_the_sources_that_it_names_neither_in_each_nor_in_spans() -> None:
    flows = BOTH.replace("both", "flows").replace("cooldown", "from: flow, cooldown")
    each = "  each: {each: 'event.x == \"a\"', from: [flow], agent: none}\n"
    stand = began(TWO + flows + each)
    assert fed_two(stand, (1, "auth", "a"), (2, "auth", "a"), (3, "flow", "a")) == ["each None final"]
    assert fed_two(stand, (4, "auth", "a"), (5, "flow", "b")) == ["flows None final"]


def test_time_goes_on_with_the_events_that_it_does_not_see() -> None:
    calm = "  calm: {when: 'count(true, 4s) < 1 && event.x == \"c\"', from: flow, cooldown: 0s, agent: none}\n"
    stand = began(TWO + calm)
    assert fed_two(stand, (1, "flow", "c"), (2, "auth", "x"), (5, "auth", "x")) == ["calm None final"]


def test_every_counts_only_what_it_sees_as_activity() -> None:
    stand = began(TWO + "  often: {every: 5s, from: flow, agent: none}\n")
    stand.feed(stand.event(1, "auth", host="h"), stand.event(2, "flow", host="i"))
    stand.feed(stand.event(9, "auth", host="h"), stand.event(9, "flow", host="j"))
    assert [result["key"] for result in stand.results(stand.cut())] == ["i"]


# --- what is remembered ---------------------------------------------------------------------------------------------


def test_a_group_that_remembers_nothing_is_dropped() -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (2, "b", "b"), (3, "z", "c"), (4, "a", "d"))
    assert groups_of(stand) == {'"a"', '"b"', '"c"', '"d"'}
    fed(stand, (30, "z", "e"))
    assert groups_of(stand) == {'"b"', '"e"'}, "the cooldown of b is 50 s"
    fed(stand, (60, "z", "f"))
    assert groups_of(stand) == {'"f"'}


def test_a_group_of_which_nothing_was_taken_is_never_made() -> None:
    stand = began(HEAD + MANY + "  z: {each: 'event.x == \"z\"', by: event.ip, cooldown: 0s, agent: none}\n")
    assert fed(stand, (1, "z", "a"), (2, "c", "b")) == ["z a final"]
    assert groups_of(stand) == set()


def test_an_open_episode_keeps_its_group() -> None:
    stand = began(HEAD + "  t: {when: 'event.x == \"a\"', until: 'event.x == \"z\"', by: event.ip, agent: none}\n")
    fed(stand, (1, "a", "a"), (900, "b", "b"))
    assert groups_of(stand) == {'"a"'}
    assert fed(stand, (901, "z", "a")) == ["t a resolved"]
    fed(stand, (902, "x", "c"))
    assert groups_of(stand) == set()


def test_groups_are_forgotten_with_their_key() -> None:
    text = A.replace("triggers:", "context: {forget: 50s}\ntriggers:")
    stand = began(text)
    fed(stand, (1, "a", "a"), (2, "a", "a"), (3, "a", "a"), (4, "b", "b"))
    stand.feed(stand.event(200, host="z"))
    assert told(stand) == ["many a resolved"]
    assert fed(stand, (201, "b", "b")) == ["seen b final"]


@pytest.mark.parametrize("images", [None, 1, 2], ids=["from deltas", "from an image", "from images"])
def test_whoever_opens_the_task_next_remembers_as_much(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (2, "a", "a"), (3, "b", "b"), (3, "c", "c"), (3, "a", "d"))
    deployed(stand, A, images)
    assert fed(stand, (4, "a", "a"), (5, "b", "b"), (5, "a", "d")) == ["many a final"]
    assert fed(stand, (9, "x", "z")) == ["calm c final"]


def test_a_restored_key_has_the_image_of_the_one_that_was_saved() -> None:
    stand = began()
    fed(stand, (1, "a", "a"), (2, "a", "a"), (3, "b", "b"), (3, "c", "c"), (3, "a", "d"))
    stand.cut()
    saved = stand.task.image(0, 1, 0)
    stand.reopen()
    assert encode(stand.task.image(0, 1, 0)) == encode(saved)


def test_a_delta_holds_the_groups_that_changed_and_no_others() -> None:
    stand = began()
    fed(stand, *[(1, "b", f"ip{number}") for number in range(50)])
    fed(stand, (2, "b", "new"))
    delta = [entry for entry in stand.entries() if isinstance(entry, Delta)][-1]
    assert {name.partition("\0")[2] for name in delta.cells["h"]} == {'"new"'}


# --- other definitions ----------------------------------------------------------------------------------------------


def deployed(stand: Stand, text: str, images: int | None = None) -> None:
    """The task is opened by another definition."""
    if images is not None:
        cut_off = len(stand.log)
        stand.cut()
        for index in range(images):
            stand.snapshot(index, images)
        del stand.log[:cut_off]
    stand.reopen(plan_of(text))
    stand.cut("opened")


@pytest.mark.parametrize("images", [None, 1], ids=["from deltas", "from an image"])
def test_what_a_definition_does_not_know_is_carried_and_taken_up_again(images: int | None) -> None:
    stand = began()
    assert fed(stand, (1, "b", "b"), (2, "a", "a"), (2, "a", "a")) == ["seen b final"]
    deployed(stand, B, images)
    deployed(stand, B.replace("9s", "8s"), images)
    deployed(stand, A, images)
    assert fed(stand, (3, "b", "b"), (3, "b", "a"), (4, "a", "a")) == ["seen a final", "many a final"]
    assert stand.task.counters["suppressed", "seen"] == 1


@pytest.mark.parametrize("images", [None, 1], ids=["from deltas", "from an image"])
def test_spans_that_missed_an_event_begin_anew_and_cooldowns_go_on(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "b", "b"), (2, "a", "a"), (2, "a", "a"))
    deployed(stand, B, images)
    fed(stand, (3, "x", "whoever"))
    deployed(stand, A, images)
    assert fed(stand, (4, "b", "b"), (4, "a", "a")) == []
    assert fed(stand, (5, "a", "a"), (6, "a", "a")) == ["many a final"]


@pytest.mark.parametrize("images", [None, 1], ids=["from deltas", "from an image"])
def test_the_last_event_of_a_group_is_not_taken_for_a_later_one(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "c", "a"))
    stand.feed(stand.event(1, host="quiet", x="c", ip="b"))
    stand.cut()
    deployed(stand, B, images)
    fed(stand, (2, "x", "a"))
    deployed(stand, A, images)
    assert fed(stand, (30, "x", "z")) == ["calm b final"]


def test_an_episode_of_a_group_that_nobody_knows_any_more_ends() -> None:
    stand = began()
    assert fed(stand, (1, "a", "a"), (2, "a", "a"), (3, "a", "a")) == ["many a final"]
    deployed(stand, A.replace(">= 3', by", ">= 4', by"))
    stand.tick(8 * 86_400_000)
    [resolved] = stand.results(stand.cut())
    assert (resolved["by"], resolved["reason"]) == ("a", "the definition of the trigger 'many' is gone")


def test_an_episode_of_the_only_group_goes_on_over_a_change_of_the_file() -> None:
    lasting = "  t: {when: 'event.x == \"a\"', until: 'event.x == \"z\"', from: auth, agent: none}\n"
    stand = began(HEAD + lasting)
    fed(stand, (1, "a", "a"))
    deployed(stand, HEAD + lasting + OTHER)
    assert told(stand) == []
    assert fed(stand, (2, "z", "a")) == ["t None resolved"]


# --- what it costs --------------------------------------------------------------------------------------------------


def calls(stand: Stand, *events: tuple[int, str, Any]) -> int:
    """How many functions are called to feed these and to cut."""
    records = [stand.event(time, x=x, ip=ip) for time, x, ip in events]
    count = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        stand.feed(*records)
        stand.cut()
    finally:
        sys.setprofile(None)
    return count


def test_an_event_costs_the_same_among_twenty_thousand_groups_as_among_two_hundred() -> None:
    costs = []
    for groups in (200, 20_000):
        text = HEAD + MANY.replace("9s", "1h") + SEEN.replace("50s", "1h") + CALM.replace("4s", "1h")
        stand = began(text)
        for start in range(0, groups, 200):
            fed(stand, *[(1 + start // 200, "abc"[number % 3], number) for number in range(start, start + 200)])
        assert len(groups_of(stand)) == groups
        costs.append(calls(stand, (101, "a", 7), (102, "b", "new"), (103, "c", 7), (104, "x", "new")))
    assert costs[1] <= costs[0] * 1.1


def test_a_snapshot_holds_what_is_remembered_and_not_what_has_been() -> None:
    stand = began(HEAD + MANY)
    sizes = []
    for second in range(0, 3_000, 10):
        fed(stand, *[(second, "a", second + number) for number in range(10)])
        stand.snapshot(0, 1)
        sizes.append(len(stand.log[-1]))
        assert isinstance(stand.entries()[-1], Bucket)
        del stand.log[:-1]
    assert sizes[-1] < 1.5 * sizes[20]
    assert len(groups_of(stand)) <= 20
