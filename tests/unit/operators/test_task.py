"""One partition: what it does with events, what leaves with a cut, and what a restored one knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from zlib import crc32

from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, CallLost, Cancel, Effect, Ended, Progress, Streamed, Ticked, Usage
from penstock.operators.merge import MERGE_WAIT_MS
from penstock.operators.task import Cut, Task
from penstock.state.delta import Position

JUDGED = """
penstock: v1
name: judged
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: 10s, lateness: 5s}}
triggers:
  failed: {each: event.outcome == "failed", agent: judge}
  odd: {each: event.outcome == "odd", agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}}
"""
SPOKEN = JUDGED.replace("    answer: {verdict: {enum: [attack, benign]}}", "    partials: {every: 1s}").replace(
    "agents:", '  large: {base_url: "http://127.0.0.1:9/v1", model: huge}\nagents:'
)
"""Free text, and two models."""
QUIET = """
penstock: v1
name: quiet
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: 10s, lateness: 5s}}
define:
  user: event.user
triggers:
  silent:
    when: count(true, 4s) < 1
    cooldown: 0s
    agent: none
    annotations: {summary: "last seen: {{ values.user }}"}
"""
TWO_INPUTS = """
penstock: v1
name: merged
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: 100ms, lateness: 0s}}
  flow: {topic: flow, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: 100ms, lateness: 0s}}
triggers:
  all: {each: "true", agent: none}
  often: {every: 4s, agent: none}
"""


def asks(effects: Sequence[Effect]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]


def answer(ask: Ask, verdict: str = "benign") -> Answered:
    return Answered(ask.call_id, json.dumps({"verdict": verdict}), "stop", Usage(10, 0, 5))


# --- determinism ----------------------------------------------------------------------------------------------------


def test_the_same_events_give_the_same_effects_and_the_same_bytes() -> None:
    def told() -> tuple[list[Effect], list[bytes]]:
        stand = Stand(JUDGED)
        effects = stand.feed(stand.event(1, outcome="failed"), stand.event(2, outcome="odd"), stand.raw(b"{"))
        stand.cut()
        effects += stand.task.feed(answer(asks(effects)[0]))
        stand.cut()
        stand.snapshot(0, 1)
        return effects, stand.log

    assert told() == told()


def test_it_does_not_matter_how_records_are_batched() -> None:
    def cut(batch: int) -> Cut:
        stand = Stand(JUDGED)
        records = [stand.event(time, outcome=outcome) for time, outcome in enumerate(["odd", "ok", "failed", "odd"])]
        for begin in range(0, len(records), batch):
            stand.feed(*records[begin : begin + batch])
        return stand.cut()

    assert cut(1) == cut(2) == cut(4)


# --- what leaves with a cut -----------------------------------------------------------------------------------------


def test_a_cut_holds_everything_once() -> None:
    stand = Stand(JUDGED)
    stand.feed(stand.event(1, outcome="odd"))
    assert stand.task.dirty
    assert stand.task.urgent
    first = stand.cut()
    assert [result["state"] for result in stand.results(first)] == ["final"]
    assert len(first.delta.facts) == 1
    assert not stand.task.dirty
    assert not stand.task.urgent
    second = stand.cut()
    assert second.outputs == second.delta.outputs == []
    assert second.delta.facts == []
    assert second.delta.runs == {}
    assert second.delta.header.positions == first.delta.header.positions


def test_an_event_alone_is_saved_without_hurry() -> None:
    stand = Stand(JUDGED)
    stand.feed(stand.event(1, outcome="ok"))
    assert stand.task.dirty
    assert not stand.task.urgent
    assert stand.task.unsaved_bytes > 0


def test_a_dead_letter_leaves_with_the_cut_in_which_its_position_passes() -> None:
    stand = Stand(JUDGED)
    stand.feed(stand.raw(b"{", timestamp=77))
    cut = stand.cut()
    [letter] = cut.outputs
    assert (letter.topic, letter.key, letter.value, letter.id) == (stand.plan.dead_topic, b"key", b"{", "auth/3@0")
    assert letter in cut.delta.outputs
    assert cut.delta.header.positions["auth"].offset == 1


def test_a_position_says_where_to_go_on_and_what_the_last_record_looked_like() -> None:
    stand = Stand(JUDGED)
    first, record = stand.event(6, outcome="ok"), stand.event(7, outcome="ok")
    stand.feed(first, record)
    position = stand.cut().delta.header.positions["auth"]
    assert (position.offset, position.last, position.timestamp) == (2, 1, 7000)
    assert position.crc == crc32(record.value or b"")


def test_a_topic_that_was_made_anew_causes_other_runs_and_its_position_remembers_that() -> None:
    runs = set()
    for generation in range(2):
        stand = Stand(JUDGED)
        stand.task.opened({"auth": Position(0, generation=generation)}, stand.now)
        stand.feed(stand.event(1, outcome="odd"))
        cut = stand.cut()
        runs.add(stand.results(cut)[0]["run"])
        assert cut.delta.header.positions["auth"].generation == generation
    assert len(runs) == 2


def test_late_and_dead_records_are_counted_and_change_nothing_else() -> None:
    stand = Stand(JUDGED)
    stand.feed(stand.event(20, outcome="ok"), stand.event(15, outcome="ok"), stand.event(14, outcome="odd"))
    stand.feed(stand.raw(None))
    assert stand.task.counters["late", "auth"] == 1
    assert stand.task.counters["fired", "odd"] == 0
    assert sum(count for (what, *_), count in stand.task.counters.items() if what == "dead") == 1
    assert len(stand.cut().delta.facts) == 2


# --- time -----------------------------------------------------------------------------------------------------------


def test_silence_lets_time_pass_when_the_end_was_seen_after_it_began() -> None:
    stand = Stand(QUIET)
    stand.feed(stand.event(1))
    stand.tick(13_999)
    assert stand.results(stand.cut()) == []
    stand.tick(1)
    [result] = stand.results(stand.cut())
    assert result["why"]["fired_by"] == "timer@5000"


def test_our_own_outage_is_no_silence() -> None:
    stand = Stand(QUIET)
    stand.feed(stand.event(1))
    stand.now += 3_600_000
    stand.task.feed(Ticked(stand.now, {"auth": Progress(1, 1, 1_000_000 - 1)}))
    stand.task.feed(Ticked(stand.now, {"auth": Progress(1, 5, stand.now)}))
    assert stand.results(stand.cut()) == []


def test_the_end_of_a_bounded_input_is_reached_once() -> None:
    stand = Stand(QUIET)
    stand.feed(stand.event(1))
    stand.task.feed(Ended(stand.now))
    [result] = stand.results(stand.cut())
    assert result["end"]
    stand.reopen()
    stand.task.feed(Ended(stand.now))
    assert stand.results(stand.cut()) == []


def test_time_alone_reads_what_the_last_event_said_also_after_a_restart() -> None:
    stand = Stand(QUIET)
    stand.feed(stand.event(1, user="ann"))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(9, host="z"))
    [result] = stand.results(stand.cut())
    assert (result["key"], result["annotations"]) == ("h", {"summary": "last seen: ann"})


# --- several inputs -------------------------------------------------------------------------------------------------


def causes(stand: Stand) -> list[str]:
    return [result["why"]["fired_by"] for result in stand.results(stand.cut()) if result["triggers"] == ["all"]]


def test_several_inputs_are_fed_by_event_time() -> None:
    stand = Stand(TWO_INPUTS)
    stand.feed(stand.event(3), stand.event(5), stand.event(4, "flow"), stand.event(5, "flow"))
    assert causes(stand) == ["auth/3@0", "flow/3@0", "auth/3@1", "flow/3@1"]


def test_what_waits_in_the_merge_was_not_read() -> None:
    stand = Stand(TWO_INPUTS)
    stand.feed(stand.event(3), stand.event(5), stand.event(4, "flow"), lags=["flow"])
    cut = stand.cut()
    assert {topic: position.offset for topic, position in cut.delta.header.positions.items()} == {"auth": 1, "flow": 1}
    stand.tick(MERGE_WAIT_MS, "flow")
    assert causes(stand) == ["auth/3@1"]


def test_what_is_held_up_by_another_input_is_not_silent() -> None:
    """`flow` is far ahead and lags, so the event of second 4 waits, longer than the idle time; it must not be late then."""
    stand = Stand(TWO_INPUTS)
    stand.feed(stand.event(3), stand.event(100, "flow"))
    stand.feed(stand.event(4), lags=["flow"])
    stand.tick(MERGE_WAIT_MS - 1, "flow")
    stand.tick(1, "flow")
    assert causes(stand) == ["auth/3@0", "flow/3@0", "auth/3@1"]
    assert stand.task.counters["late", "auth"] == 0


def test_a_restart_does_not_take_time_back_to_an_input_that_never_spoke() -> None:
    """`flow` is silent, so time goes by `auth` alone: it stands at 20, and 9 is late before and after the restart."""
    stand = Stand(TWO_INPUTS)
    stand.feed()
    stand.tick(1_000)
    stand.feed(stand.event(20))
    stand.feed(stand.event(9))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(9))
    assert stand.task.counters["late", "auth"] == 1


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_restored_task_knows_how_far_its_answers_had_got_also_from_a_snapshot() -> None:
    stand = Stand(SPOKEN)
    [ask] = asks(stand.feed(stand.event(1, outcome="failed")))
    for length in (5, 9, 14):
        stand.task.feed(Streamed(ask.call_id, "It looks like an attack."[:length]))
        stand.cut()
        stand.snapshot(0, 1)
        if length == 9:
            stand.trim()
    stand.task.feed(Streamed(ask.call_id, "It looks like an attack."))
    [again] = asks(stand.reopen(continues=lambda *about: True))
    assert (again.call_id, again.request.continued) == (ask.call_id, "It looks like")


def test_of_several_attempts_in_one_commit_the_last_one_goes_on() -> None:
    stand = Stand(SPOKEN)
    [first] = asks(stand.feed(stand.event(1, outcome="failed")))
    stand.task.feed(Streamed(first.call_id, "All is well, I"))
    [second] = asks(stand.task.feed(CallLost(first.call_id, "failed", "the connection broke")))
    stand.task.feed(Streamed(second.call_id, "It looks like"))
    stand.cut()
    [again] = asks(stand.reopen(continues=lambda *about: True))
    assert (again.call_id, again.request.continued) == (second.call_id, "It looks like")


def test_a_second_firing_of_a_key_waits_for_the_outcome_of_the_first() -> None:
    stand = Stand(JUDGED)
    effects = stand.feed(stand.event(1, outcome="failed"), stand.event(2, outcome="failed"))
    [first] = asks(effects)
    assert stand.task.open_runs == 2
    [second] = asks(stand.task.feed(answer(first)))
    assert second.run != first.run
    assert asks(stand.task.feed(answer(second))) == []
    assert stand.task.open_runs == 0
    assert [result["run"] for result in stand.results(stand.cut())] == [first.run, second.run]


def test_keys_do_not_wait_for_each_other() -> None:
    stand = Stand(JUDGED)
    effects = stand.feed(stand.event(1, outcome="failed"), stand.event(1, host="other", outcome="failed"))
    assert [ask.key for ask in asks(effects)] == ["h", "other"]


def test_an_answer_that_nobody_waits_for_is_ignored() -> None:
    stand = Stand(JUDGED)
    [ask] = asks(stand.feed(stand.event(1, outcome="failed")))
    stand.cut()
    assert stand.task.feed(Answered("unknown", "{}", "stop", Usage())) == []
    assert stand.task.feed(Streamed("unknown", "{")) == []
    assert not stand.task.dirty
    stand.task.feed(answer(ask))
    assert len(stand.results(stand.cut())) == 1
    stand.task.feed(answer(ask, "attack"))
    assert stand.results(stand.cut()) == []


def test_reopening_asks_again_what_was_under_way_and_nothing_else() -> None:
    stand = Stand(JUDGED)
    failures = [stand.event(time, outcome="failed") for time in (1, 2)]
    [done] = asks(stand.feed(stand.event(0, outcome="failed", host="done")))
    stand.task.feed(answer(done))
    [ask] = asks(stand.feed(*failures))
    stand.cut()
    [again] = asks(stand.reopen())
    assert again.run == ask.run
    assert again.call_id != ask.call_id, "a new attempt is another question"
    assert stand.task.open_runs == 2
    assert stand.task.feed(answer(ask)) == [], "an answer to the question before is none"
    [second] = asks(stand.task.feed(answer(again)))
    stand.task.feed(answer(second))
    results = stand.results(stand.cut())
    assert [(result["run"], result["attempt"]) for result in results] == [(again.run, 2), (second.run, 1)]


def test_what_was_not_committed_is_done_again_with_the_same_ids() -> None:
    stand = Stand(JUDGED)
    stand.cut("opened")
    record = stand.event(1, outcome="failed")
    [ask] = asks(stand.feed(record))
    assert stand.reopen() == []
    [again] = asks(stand.feed(record))
    assert again == ask


def test_runs_live_on_in_a_snapshot() -> None:
    stand = Stand(JUDGED)
    [ask] = asks(stand.feed(stand.event(1, outcome="failed"), stand.event(2, outcome="failed")))
    stand.cut()
    stand.snapshot(0, 1)
    [again] = asks(stand.reopen())
    assert again.run == ask.run
    assert stand.task.open_runs == 2
    assert [effect for effect in stand.task.feed(answer(again)) if isinstance(effect, Cancel)] == []


# --- definitions change ---------------------------------------------------------------------------------------------


def test_a_changed_definition_reads_what_it_still_knows() -> None:
    """The span of `many` is the same, so its count goes on; `odd` is gone and `new` begins."""
    before = _counting("many: {when: 'count(event.x == \"a\", 9s) >= 3', cooldown: 0s, agent: none}")
    after = _counting(
        "many: {when: 'count(event.x == \"a\", 9s) >= 3', cooldown: 1s, agent: none}\n"
        "  new: {when: 'count(true, 3s) >= 1', cooldown: 0s, agent: none}"
    )
    stand = Stand(before)
    stand.feed(stand.event(1, x="a"), stand.event(2, x="a"))
    stand.cut()
    stand.snapshot(0, 1)
    stand.reopen(plan_of(after))
    stand.feed(stand.event(3, x="a"))
    assert [result["triggers"] for result in stand.results(stand.cut())] == [["many"], ["new"]]


def test_a_new_condition_on_the_last_event_is_unknown_where_the_log_did_not_keep_it() -> None:
    before = _counting("many: {when: 'count(true, 4s) >= 3', cooldown: 0s, agent: none}")
    after = _counting("quiet: {when: 'count(true, 4s) < 3 && event.x == \"a\"', cooldown: 0s, agent: none}")
    stand = Stand(before)
    stand.feed(stand.event(1, x="a"))
    stand.cut()
    stand.snapshot(0, 1)
    stand.reopen(plan_of(after))
    stand.feed(stand.event(9, host="other"))
    assert [result["key"] for result in stand.results(stand.cut())] == []
    stand.feed(stand.event(10, x="a"))
    assert [result["key"] for result in stand.results(stand.cut())] == ["h"]


def _counting(triggers: str) -> str:
    return (
        "penstock: v1\nname: counting\nsources:\n"
        "  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s}}\n"
        f"triggers:\n  {triggers}\n"
    )


# --- many keys and many runs ----------------------------------------------------------------------------------------


def steps(stand: Stand) -> list[int]:
    """A new task reads the log and is opened; how many asks come with each step."""
    task = Task(stand.plan, 3)
    for entry in stand.entries():
        task.apply(entry)
    return [len(asks(effects)) for effects in task.opening(task.positions, stand.now)]


def test_opening_goes_in_steps_that_let_others_have_the_event_loop() -> None:
    stand = Stand(JUDGED)
    stand.feed(*(stand.event(1, host=f"host-{number}", outcome="failed") for number in range(300)))
    stand.feed(*(stand.event(1, host=f"quiet-{number}", outcome="ok") for number in range(9_000)))
    stand.cut()
    found = steps(stand)
    assert len(found) > 9_000 / 5_000 + 300 / 50
    assert sum(found) == 300
    assert max(found) <= 50


def test_among_keys_that_sleep_the_one_that_waits_is_woken_after_a_restart() -> None:
    stand = Stand(_counting("many: {when: 'count(event.x == \"a\", 9s) >= 3', cooldown: 0s, agent: none}"))
    stand.feed(*(stand.event(1, host=f"host-{number % 100}", x="a") for number in range(200)))
    stand.feed(*(stand.event(1, host="busy", x="a") for _ in range(3)))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(30, host="other", x="b"))
    assert [result["state"] for result in stand.results(stand.cut())] == ["resolved"]
