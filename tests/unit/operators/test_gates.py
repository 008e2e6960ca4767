"""What stands between the edges of triggers and their runs.

events    letters are events of key `k`, fed with one second between them
told      what left because of each, by trigger: F fired, R resolved, S skipped
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import URGENCY, Ask
from penstock.operators.inhibition import cycle_in, inhibitors_first
from penstock.operators.task import Task

HEAD = """
penstock: v1
name: gates
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: %s, idle: never}}
triggers:
"""
SIGNS = {"final": "F", "resolved": "R", "skipped": "S"}
OPEN = "{when: 'event.x == \"o\"', until: 'event.x == \"c\"', cooldown: 0s, agent: none}"


def began(*triggers: str, delay: str = "0s") -> Stand:
    stand = Stand(HEAD % delay + "".join(f"  {trigger}\n" for trigger in triggers))
    stand.cut("opened")
    return stand


def results(stand: Stand, letters: str, start: int = 0) -> list[dict[str, Any]]:
    stand.feed(*[stand.event(start + second, x=letter) for second, letter in enumerate(letters)])
    return stand.results(stand.cut())


def told(stand: Stand, letters: str, start: int = 0) -> list[str]:
    """`<trigger><sign>` in the order in which they left."""
    return [f"{each['triggers'][0]}{SIGNS[each['state']]}" for each in results(stand, letters, start)]


# --- inhibition -----------------------------------------------------------------------------------------------------


def test_an_episode_inhibits_until_it_is_over() -> None:
    stand = began("a: {each: 'event.x == \"x\"', inhibited_by: [z], agent: none}", f"z: {OPEN}")
    assert told(stand, "xoxxcx") == ["aF", "zF", "aS", "aS", "zR", "aF"]


def test_inhibitors_are_asked_first_whatever_the_order_of_the_file() -> None:
    stand = began(
        "a: {each: 'true', inhibited_by: [b], agent: none}",
        "b: {each: 'event.x == \"x\"', inhibited_by: [c], agent: none}",
        "c: {each: 'event.x == \"never\"', agent: none}",
    )
    assert told(stand, "x·") == ["bF", "aS", "aF"]


def test_what_has_no_episode_inhibits_for_its_cooldown_and_not_at_its_end() -> None:
    stand = began(
        "a: {each: 'event.x == \"x\"', inhibited_by: [z], agent: none}",
        "z: {each: 'event.x == \"z\"', cooldown: 3s, agent: none}",
    )
    assert told(stand, "zxxx") == ["zF", "aS", "aS", "aF"]


def test_without_a_cooldown_it_inhibits_that_instant() -> None:
    stand = began("a: {each: 'true', inhibited_by: [z], agent: none}", "z: {each: 'event.x == \"z\"', agent: none}")
    stand.feed(stand.event(1, x="z"), stand.event(1, x="y"), stand.event(2, x="y"))
    assert [each["state"] for each in stand.results(stand.cut())] == ["final", "skipped", "skipped", "final"]


def test_an_inhibited_edge_starts_no_cooldown() -> None:
    stand = began("a: {each: 'event.x == \"x\"', cooldown: 1m, inhibited_by: [z], agent: none}", f"z: {OPEN}")
    assert told(stand, "oxcxx") == ["zF", "aS", "zR", "aF"]


def test_an_inhibited_episode_goes_on_and_off_without_a_record() -> None:
    stand = began(
        "a: {when: 'event.x == \"x\"', until: 'event.x == \"y\"', cooldown: 9s, inhibited_by: [z], agent: none}",
        f"z: {OPEN}",
    )
    assert told(stand, "oxxcxyxy") == ["zF", "aS", "zR", "aF", "aR"]
    assert stand.task.counters["resolved", "a"] == 1


def test_an_inhibited_trigger_inhibits_nobody() -> None:
    stand = began(
        "a: {each: 'event.x == \"x\"', inhibited_by: [b], agent: none}",
        "b: {each: 'event.x == \"x\"', cooldown: 1m, inhibited_by: [c], agent: none}",
        f"c: {OPEN}",
    )
    assert told(stand, "oxcx") == ["cF", "bS", "aF", "cR", "bF", "aS"]


def test_the_record_says_why_and_by_whom() -> None:
    stand = began(
        "a: {each: 'event.x == \"o\"', inhibited_by: [y, z], agent: none, labels: {severity: info}}",
        f"z: {OPEN}",
        f"y: {OPEN}",
    )
    [skipped] = [each for each in results(stand, "o") if each["state"] == "skipped"]
    assert (skipped["reason"], skipped["why"]["inhibited_by"]) == ("inhibited", ["y", "z"])
    assert (skipped["rev"], skipped["episode"], skipped["labels"]) == (1, None, {"severity": "info"})
    assert stand.task.counters["inhibited", "a"] == 1
    assert stand.task.counters["fired", "a"] == 0


def test_what_waits_for_the_watermark_looks_back_at_what_was_open_then() -> None:
    """`tick` of second 10 is decided at second 16, when `z` is over; it was open at 10."""
    stand = began("tick: {every: 10s, inhibited_by: [z], agent: none}", f"z: {OPEN}", delay="5s")
    assert told(stand, "o··", start=8) == ["zF"]
    assert told(stand, "c······", start=11) == ["zR", "tickS"]
    assert told(stand, "···········", start=18) == ["tickF"]


@pytest.mark.parametrize("images", [None, 1, 2], ids=["from deltas", "from an image", "from images"])
def test_who_inhibits_survives_a_restart(images: int | None) -> None:
    stand = began(
        "a: {when: 'event.x == \"x\"', until: 'event.x == \"y\"', cooldown: 0s, inhibited_by: [z, e], agent: none}",
        f"z: {OPEN}",
        "e: {each: 'event.x == \"e\"', cooldown: 10s, agent: none}",
    )

    def reopened() -> None:
        if images is not None:
            before = len(stand.log)
            stand.cut()
            for index in range(images):
                stand.snapshot(index, images)
            del stand.log[:before]
        stand.reopen()
        stand.cut("opened")

    assert told(stand, "o") == ["zF"]
    reopened()
    assert told(stand, "x", 1) == ["aS"]
    reopened()
    assert told(stand, "yce", 2) == ["zR", "eF"]
    reopened()
    assert told(stand, "xy", 12) == ["aS"]
    assert told(stand, "xy", 15) == ["aF", "aR"]


def test_what_another_definition_missed_is_not_believed_when_it_comes_back() -> None:
    """`z` ended while nobody asked whom it inhibits."""
    asked = began("a: {each: 'event.x == \"x\"', inhibited_by: [z], agent: none}", f"z: {OPEN}")
    text = HEAD % "0s" + f"  a: {{each: 'event.x == \"x\"', agent: none}}\n  z: {OPEN}\n"
    first = asked.plan
    assert told(asked, "o") == ["zF"]
    asked.reopen(plan_of(text))
    asked.cut("opened")
    assert told(asked, "xc", 1) == ["aF", "zR"]
    for _ in range(2):
        asked.reopen(first)
        asked.cut("opened")
        assert told(asked, "x", 3) == ["aF"]


def test_gates_do_not_change_what_a_trigger_remembers() -> None:
    stand = began("a: {each: 'event.x == \"x\"', cooldown: 1m, agent: none}", f"z: {OPEN}")
    assert told(stand, "x") == ["aF"]
    text = (
        HEAD % "0s" + f"  a: {{each: 'event.x == \"x\"', cooldown: 1m, inhibited_by: [z], agent: none}}\n  z: {OPEN}\n"
    )
    stand.reopen(plan_of(text))
    stand.cut("opened")
    assert told(stand, "x", 1) == []


def test_everybody_comes_behind_those_who_inhibit_him() -> None:
    assert inhibitors_first({"a": (), "b": (), "c": ()}) == ["a", "b", "c"]
    assert inhibitors_first({"a": ("c",), "b": (), "c": ("b",)}) == ["b", "c", "a"]


def test_a_circle_is_found_wherever_it_begins() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()})) == ["b", "c"]
    assert cycle_in({"a": {"a"}}) == ["a"]


# --- late events ----------------------------------------------------------------------------------------------------

LATE_HEAD = HEAD.replace("delay: %s, idle: never", "delay: 0s, idle: never, lateness: 2s")
MANY = "when: 'count(event.x == \"x\", 9s) >= 2', cooldown: 0s, agent: none"


def with_late(*triggers: str, agents: str = "") -> Stand:
    stand = Stand(LATE_HEAD + "".join(f"  {trigger}\n" for trigger in triggers) + agents)
    stand.cut("opened")
    return stand


def fed(stand: Stand, *events: tuple[int, str]) -> list[str]:
    stand.feed(*[stand.event(time, x=x) for time, x in events])
    return [f"{each['triggers'][0]}{SIGNS[each['state']]}" for each in stand.results(stand.cut())]


def test_a_late_event_is_seen_by_those_who_take_it_and_by_nobody_else() -> None:
    stand = with_late(
        "a: {each: 'event.x == \"x\"', late: reason, agent: none}", "b: {each: 'event.x == \"x\"', agent: none}"
    )
    assert fed(stand, (10, "y"), (7, "x"), (8, "x")) == ["aF", "aF", "bF"]
    assert stand.task.counters["late", "auth"] == 1


def test_spans_of_those_who_take_it_hold_it_and_others_do_not() -> None:
    stand = with_late(f"a: {{{MANY}, late: reason}}", f"b: {{{MANY}}}")
    assert fed(stand, (10, "x"), (7, "x")) == ["aF"]
    assert fed(stand, (11, "x")) == ["bF"]


@pytest.mark.parametrize("restarts", [False, True])
def test_the_last_event_is_the_late_one_only_for_those_who_take_it(restarts: bool) -> None:
    """At 14 both spans are empty, and both look at their last event: `n` was fed behind `y`."""
    quiet = 'when: \'count(event.x == "y", 4s) < 1 && event.x == "n"\', until: \'event.x == "z"\', cooldown: 0s, agent: none'
    stand = with_late(f"a: {{{quiet}, late: reason}}", f"b: {{{quiet}}}")
    assert fed(stand, (10, "y"), (7, "n")) == []
    if restarts:
        stand.reopen()
        stand.cut("opened")
        stand.snapshot(0, 1)
        stand.trim()
        stand.reopen()
        stand.cut("opened")
    stand.feed(stand.event(20, host="other", x="·"))
    assert [each["triggers"] for each in stand.results(stand.cut()) if each["key"] == "h"] == [["a"]]


def test_a_late_event_is_in_the_prompt_if_somebody_takes_it() -> None:
    agents = 'models:\n  m: {base_url: "http://127.0.0.1:9/v1", model: tiny}\nagents:\n  judge: {ask: What now?}\n'
    for late, shown in (("reason", True), ("ignore", False)):
        stand = with_late(
            f"a: {{each: 'event.x == \"never\"', late: {late}, agent: none}}",
            "b: {each: 'event.x == \"go\"', agent: judge}",
            agents=agents,
        )
        [ask] = stand.feed(stand.event(10, x="y"), stand.event(3, x="bygone"), stand.event(11, x="go"))
        assert isinstance(ask, Ask)
        assert ("bygone" in str(ask.request.messages)) is shown


def test_what_the_default_says_means_what_it_meant_without_the_word() -> None:
    def identities(trigger: str) -> tuple[str, ...]:
        return with_late(trigger).plan.identities

    plain = identities(f"a: {{{MANY}}}")
    assert identities(f"a: {{{MANY}, late: ignore}}") == plain
    assert not set(identities(f"a: {{{MANY}, late: reason}}")) & set(plain)


# --- sample ---------------------------------------------------------------------------------------------------------


def test_a_sample_is_about_as_large_as_it_should_be_and_always_the_same() -> None:
    def sampled() -> list[str]:
        stand = began("a: {each: 'true', sample: 10%, agent: none}")
        found = [each["run"] for each in results(stand, "x" * 1000)]
        assert stand.task.counters["fired", "a"] == len(found)
        assert stand.task.counters["sampled_out", "a"] == 1000 - len(found)
        return found

    assert 70 < len(sampled()) < 130
    assert sampled() == sampled()


def test_what_the_sample_leaves_out_is_a_firing_in_all_but_its_records() -> None:
    """Its cooldown begins, it inhibits, and it ends without a word."""
    stand = began(
        f"z: {OPEN[:-1]}, sample: 0.0001%}}",
        "y: {each: 'event.x == \"y\"', cooldown: 3s, sample: 0.0001%, agent: none}",
        "a: {each: 'event.x == \"x\"', inhibited_by: [z], agent: none}",
    )
    assert told(stand, "xoxcxyyy") == ["aF", "aS", "aF"]
    assert (stand.task.counters["suppressed", "y"], stand.task.counters["resolved", "z"]) == (2, 0)


# --- limits ---------------------------------------------------------------------------------------------------------

HOUR = 3600
JUDGE = """
models: {m: {base_url: "http://127.0.0.1:9/v1", model: tiny}}
agents: {judge: {ask: What now?}}
"""


def test_what_exceeds_the_limit_is_skipped_until_the_next_hour() -> None:
    stand = began("a: {each: 'event.x == \"x\"', limit: 2/hour, agent: none}")
    assert told(stand, "xxxx") == ["aF", "aF", "aS", "aS"]
    assert told(stand, "x", HOUR) == ["aF"]
    [skipped] = [each for each in results(stand, "xx", HOUR + 1) if each["state"] == "skipped"]
    assert (skipped["reason"], skipped["why"]["inhibited_by"]) == ("limit", None)
    assert (stand.task.counters["limit", "a"], stand.task.counters["fired", "a"]) == (3, 4)


def test_a_limit_counts_over_all_keys() -> None:
    stand = began("a: {each: 'true', limit: 1/hour, agent: none}")
    stand.feed(stand.event(1, host="g"), stand.event(1, host="h"))
    assert [each["state"] for each in stand.results(stand.cut())] == ["final", "skipped"]


def test_an_episode_over_the_limit_goes_on_and_off_without_a_record_and_a_cooldown() -> None:
    stand = began("a: {when: 'event.x == \"o\"', until: 'event.x == \"c\"', cooldown: 3s, limit: 1/4s, agent: none}")
    assert told(stand, "ocxocoxc") == ["aF", "aR", "aS", "aF", "aR"]


def test_a_limit_goes_by_the_firings_own_time_in_whatever_order_they_come() -> None:
    stand = began("a: {each: 'event.x == \"x\"', limit: 1/hour, agent: none}", delay="2h")
    stand.feed(stand.event(HOUR, x="x"), stand.event(HOUR - 1, x="x"), stand.event(HOUR - 2, x="x"))
    assert [each["state"] for each in stand.results(stand.cut())] == ["final", "final", "skipped"]


def test_what_is_late_counts_as_of_the_latest_that_is_not() -> None:
    """Whatever its time was: counts of hours that are over for everybody else are gone."""
    stand = with_late("a: {each: 'event.x == \"x\"', late: reason, limit: 1/hour, agent: none}")
    assert fed(stand, (5 * HOUR, "y"), (HOUR, "x"), (2 * HOUR, "x"), (5 * HOUR - 2, "x")) == ["aF", "aS", "aS"]


@pytest.mark.parametrize("images", [None, 1, 2], ids=["from deltas", "from an image", "from images"])
@pytest.mark.parametrize("limit", ["2/hour", "2/1h"])
def test_what_limits_have_let_through_survives_a_restart(limit: str, images: int | None) -> None:
    stand = began(f"a: {{each: 'event.x == \"x\"', limit: {limit}, agent: none}}", delay="10s")
    for second, sign in ((1, "F"), (2, "F"), (3, "S"), (4, "S")):
        assert told(stand, "x", second) == [f"a{sign}"]
        if images is not None:
            before = len(stand.log)
            stand.cut()
            for index in range(images):
                stand.snapshot(index, images)
            del stand.log[:before]
        stand.reopen()
        stand.cut("opened")


def test_another_number_over_the_same_span_goes_on_counting() -> None:
    stand = began("a: {each: 'true', limit: 2/hour, agent: none}")
    assert told(stand, "xxx") == ["aF", "aF", "aS"]
    stand.reopen(plan_of(HEAD % "0s" + "  a: {each: 'true', limit: 3/hour, agent: none}\n"))
    stand.cut("opened")
    assert told(stand, "xx", 10) == ["aF", "aS"]


def test_a_task_has_its_part_of_the_limit() -> None:
    stand = began("a: {each: 'true', limit: 10/hour, agent: none}")
    stand.task = Task(stand.plan, 3, partitions=4)
    stand.cut("opened")
    assert told(stand, "xxxxx") == ["aF", "aF", "aF", "aS", "aS"]


def test_the_pipelines_limit_counts_runs_with_a_model_and_nothing_else() -> None:
    text = HEAD % "0s" + (
        "  free: {each: 'event.x == \"f\"', agent: none}\n"
        "  rare: {each: 'event.x == \"r\"', sample: 0.0001%}\n"
        "  paid: {each: 'event.x == \"p\"'}\n"
        "  dear: {each: 'event.x == \"d\"', limit: 1/hour}\n"
        "limit: 2/hour\n"
    )
    stand = Stand(text + JUDGE)
    stand.cut("opened")
    assert told(stand, "ffrrrddpdpf") == ["freeF", "freeF", "dearS", "dearS", "paidS", "freeF"]
    assert stand.task.counters["limit", "dear"] == 2
    assert stand.task.open_runs == 2


def test_a_pipeline_without_a_limit_has_none_and_says_nothing_of_it_in_the_log() -> None:
    assert began("a: {each: 'true', agent: none}").plan.limits == {}
    text = HEAD % "0s" + "  a: {each: 'true'}\nlimit: none\n" + JUDGE
    assert plan_of(text).limits == {}


# --- priority -------------------------------------------------------------------------------------------------------


def test_a_run_is_asked_with_the_priority_of_its_trigger_also_after_a_restart() -> None:
    text = HEAD % "0s" + "  a: {each: 'event.x == \"a\"', priority: high}\n  b: {each: 'event.x == \"b\"'}\n"
    stand = Stand(text + JUDGE)
    stand.cut("opened")
    asks = stand.feed(stand.event(1, host="g", x="a"), stand.event(2, x="b"))
    stand.cut()
    for effects in (asks, stand.reopen()):
        priorities = [ask.priority for ask in effects if isinstance(ask, Ask)]
        assert priorities == [URGENCY["high"], URGENCY["normal"]]
