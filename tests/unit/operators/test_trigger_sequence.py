"""`sequence`: events one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.oracle.product import PARTITION, TOPIC, Worker, plan_of, results
from tests.oracle.stand import Stand
from tests.oracle.timeline import play, play_records

from penstock.operators.record import Record
from penstock.operators.run import RecordCause, run_id
from penstock.operators.task import Task
from penstock.pipelines.sampling import tally_sample
from penstock.state.delta import Position

A, B, C = (f"where: 'event.x == \"{letter}\"'" for letter in "abc")
NOT_C = "{not: 'event.x == \"c\"'}"


def sequence(*steps: str, within: int = 9, more: str = "") -> str:
    return f"sequence: [{', '.join(steps)}], within: {within}s{more}"


A_B = sequence(f"{{{A}}}", f"{{{B}}}")
ASKED = "sequence: [{where: 'event.x == \"a\"'}, {not: 'event.x == \"b\"', within: 3s}]"


def test_it_fires_with_its_last_event_once_the_watermark_has_passed_it() -> None:
    played = play(A_B, "a·b··")
    assert played.marks == "·····"
    played = play(A_B, "a·b|·")
    assert played.marks == "··F··"
    assert played.causes == ["in/0@1"]


def test_other_events_may_stand_between_the_steps() -> None:
    assert play(A_B, "acxcb|").marks == "····F·"


def test_with_strict_none_may() -> None:
    strict = sequence(f"{{{A}}}", f"{{{B}}}", more=", strict: true")
    assert play(strict, "acb·ab|").marks == "·····F·"


def test_the_first_and_the_last_event_are_within_at_most() -> None:
    assert play(sequence(f"{{{A}}}", f"{{{B}}}", within=3), "a··b·a···b|").marks == "···F·······"


def test_events_are_taken_in_the_order_of_their_times() -> None:
    played = play_records(A_B, [(4, "b"), (3, "a"), (9, "|")], length=10, delay="2s")
    assert played.marks == "····F·····"
    assert played.causes == ["in/0@0"]


def test_events_of_one_time_are_taken_as_they_were_fed() -> None:
    assert play_records(A_B, [(1, "a"), (1, "b"), (2, "|")], length=3).marks == "·F·"
    assert play_records(A_B, [(1, "b"), (1, "a"), (2, "|")], length=3).marks == "···"


def test_of_several_beginnings_the_latest_fires_and_the_search_goes_on_behind_the_match() -> None:
    steps = "annotations: {told: '{{ steps.p[0].v }}'}"
    worker = fed(
        f"sequence: [{{as: p, {A}}}, {{as: q, {B}}}], within: 9s, {steps}",
        [(0, {"x": "a", "v": 1}), (1, {"x": "a", "v": 2}), (2, {"x": "b"}), (3, {"x": "b"}), (9, {})],
    )
    assert [(result["why"]["fired_by"], result["annotations"]["told"]) for result in told(worker)] == [("in/0@2", "2")]


def test_times_takes_the_first_so_many() -> None:
    played = play(sequence(f"{{{A}, times: 3}}", f"{{{B}}}"), "a·ba·b·ab·b|")
    assert played.marks == "········F···"


# --- not ------------------------------------------------------------------------------------------------------------


def test_a_not_between_two_steps_kills_until_the_next_step_has_its_events() -> None:
    guarded = sequence(f"{{{A}}}", NOT_C, f"{{{B}, times: 2}}")
    assert play(guarded, "a·b·b|").marks == "····F·"
    assert play(guarded, "acb·b|").marks == "······"
    assert play(guarded, "a·bcb|").marks == "······"


def test_with_within_it_kills_for_so_long_after_the_step_before() -> None:
    guarded = sequence(f"{{{A}}}", "{not: 'event.x == \"c\"', within: 2s}", f"{{{B}}}")
    assert play(guarded, "a·cb|").marks == "·····"
    assert play(guarded, "a··cb|").marks == "····F·"


def test_an_event_that_satisfies_both_kills() -> None:
    assert play(sequence(f"{{{A}}}", "{not: 'has(event.x)'}", f"{{{B}}}"), "ab|").marks == "···"


def test_an_event_of_the_very_time_of_the_step_before_does_not_kill() -> None:
    guarded = sequence(f"{{{A}}}", NOT_C, f"{{{B}}}")
    assert play_records(guarded, [(1, "a"), (1, "c"), (2, "b"), (3, "|")], length=4).marks == "··F·"


def test_a_not_at_the_end_fires_when_nothing_came() -> None:
    played = play(ASKED, "a···|")
    assert (played.marks, played.causes) == ("···F·", ["timer@3000"])
    assert play(ASKED, "a··b·|").marks == "······"
    assert play(ASKED, "a···b|").marks == "···F··"


def test_it_fires_once_for_each_beginning_and_a_cooldown_lies_between_firings() -> None:
    assert play(ASKED, "aa····|").marks == "···FF··"
    played = play(f"{ASKED}, cooldown: 2s", "aaa·····|")
    assert (played.marks, played.suppressed) == ("···F·F···", 1)


def test_what_is_due_at_one_instant_is_one_firing() -> None:
    assert play_records(ASKED, [(1, "a"), (1, "a"), (9, "|")], length=10).marks == "····F·····"
    behind = play_records(ASKED, [(1, "a"), (9, "|"), (1, "a"), (12, "|")], length=13)
    assert (behind.marks, behind.suppressed) == ("····F········", 0)


def test_it_may_run_beyond_within() -> None:
    assert play(f"{ASKED}, within: 1s", "a···|").marks == "···F·"


def test_what_needs_the_end_of_the_input_says_so() -> None:
    played = play(ASKED, "a···", ended=True)
    assert [(result["end"], result["why"]["fired_by"]) for result in played.results] == [(True, "timer@3000")]


# --- events behind the watermark ------------------------------------------------------------------------------------


def test_an_event_behind_the_watermark_is_taken_at_once_unless_it_is_older_than_one_that_was_taken() -> None:
    played = play_records(A_B, [(3, "a"), (9, "|"), (4, "b")], length=10)
    assert played.marks == "····F·····"
    played = play_records(A_B, [(3, "b"), (9, "|"), (2, "a"), (4, "b")], length=10)
    assert played.marks == "··········"


def test_one_that_means_nothing_to_any_step_was_taken_too() -> None:
    """The watermark passes seconds 5 and 7 at once."""
    assert play_records(A_B, [(5, "a"), (7, "x"), (20, "x"), (6, "b")], length=21, delay="10s").marks == "·" * 21


def test_one_that_is_too_old_is_counted() -> None:
    worker = fed(A_B, [(5, {"x": "x"}), (9, {}), (2, {"x": "a"}), (10, {})])
    assert worker.counters["late_for_trigger", "t"] == 1


# --- fire: arrival --------------------------------------------------------------------------------------------------

AT_ONCE = f"{A_B}, fire: arrival"


def test_on_arrival_events_are_taken_as_they_come() -> None:
    played = play(AT_ONCE, "a·b")
    assert (played.marks, played.causes) == ("··F", ["in/0@1"])
    assert play_records(AT_ONCE, [(4, "b"), (3, "a"), (5, "b")], length=6, delay="5s").marks == "·····F"


def test_on_arrival_an_event_counts_at_the_keys_now() -> None:
    """The a of second 1 comes at N = 9: within 3 s of it is second 12."""
    events = [(9, "x"), (1, "a"), (12, "b")]
    at_once = sequence(f"{{{A}}}", f"{{{B}}}", within=3, more=", fire: arrival")
    assert play_records(at_once, events, length=13, delay="20s").marks == "·" * 12 + "F"


def test_on_arrival_a_not_at_the_end_fires_when_the_keys_now_is_there() -> None:
    played = play(f"{ASKED}, fire: arrival", "a···b")
    assert (played.marks, played.causes) == ("···F·", ["timer@3000"])
    assert play(f"{ASKED}, fire: arrival", "a··b·").marks == "·····"


# --- what it tells --------------------------------------------------------------------------------------------------


def fed(trigger: str, events: list[tuple[int, dict[str, Any]]], define: str = "{}", source: str = "") -> Worker:
    """Events without fields are of another key: they tell the time."""
    text = (
        "penstock: v1\nname: told\nsources:\n"
        f"  in: {{topic: in, key: event.key, time: {{at: event.t, unit: s}}, watermark: {{delay: 0s, idle: never}}{source}}}\n"
        f"define: {define}\ntriggers:\n  t: {{{trigger}, agent: none}}\n"
    )
    records = [
        Record(TOPIC, PARTITION, offset, 1000 * second, None, event_of(second, fields))
        for offset, (second, fields) in enumerate(events)
    ]
    worker = Worker(plan_of(text), records)
    for _ in records:
        worker.feed(1, 0)
        worker.commit()
        worker.restart()
    return worker


def event_of(second: int, fields: dict[str, Any]) -> bytes:
    return json.dumps({"key": "k" if fields else "other", "t": second, **fields}).encode()


def told(worker: Worker) -> list[dict[str, Any]]:
    return results(worker.outputs, worker.plan.results.results)


PROBE = (
    "sequence: [{as: probe, where: 'event.v <= 2'}, "
    "{as: big, where: 'event.v >= 10 * probe.v && event.land != probe.land && source == \"in\"'}], within: 9s"
)


def test_a_step_reads_what_an_earlier_one_took() -> None:
    worker = fed(
        PROBE, [(0, {"v": 1, "land": "de"}), (1, {"v": 10, "land": "de"}), (2, {"v": 11, "land": "at"}), (9, {})]
    )
    assert [result["why"]["fired_by"] for result in told(worker)] == ["in/0@2"]


@pytest.mark.parametrize("shown", ["", ", annotations: {all: '{{ steps }}'}"])
def test_of_a_step_that_takes_several_the_last_one_is_read(shown: str) -> None:
    twice = "sequence: [{as: p, where: 'event.v < 9', times: 2}, {as: q, where: 'event.v == 10 * p.v'}], within: 9s"
    worker = fed(twice + shown, [(0, {"v": 1}), (1, {"v": 2}), (2, {"v": 10}), (3, {"v": 20}), (9, {})])
    assert [result["why"]["fired_by"] for result in told(worker)] == ["in/0@3"]


def test_a_field_that_the_captured_event_lacks_is_unknown_and_counted() -> None:
    worker = fed(PROBE, [(0, {"v": 1}), (1, {"v": 11, "land": "at"}), (9, {})])
    assert told(worker) == []
    assert (
        worker.counters["expression_unknown", 'event.v >= 10 * probe.v && event.land != probe.land && source == "in"']
        == 1
    )


def test_templates_are_shown_the_events_of_every_step_with_the_fields_that_are_named() -> None:
    trigger = (
        f"sequence: [{{as: p, {A}, times: 2}}, {{{C}}}, {{as: q, {B}}}], within: 9s, "
        "annotations: {ips: '{{ steps.p | map(attribute=\"ip\") | join(\" \") }}', all: '{{ steps.q | tojson }}'}"
    )
    events = [("a", "1.1"), ("a", "2.2"), ("c", "3.3"), ("b", "4.4")]
    fields = [(second, {"x": x, "ip": ip, "secret": "s"}) for second, (x, ip) in enumerate(events)]
    (result,) = told(fed(trigger, [*fields, (9, {})]))
    assert result["annotations"] == {"ips": "1.1 2.2", "all": '[{"ip": "4.4", "x": "b"}]'}


def test_values_are_those_of_the_last_event_whatever_came_since() -> None:
    define = "{bad: 'event.x == \"a\"', n: 'count(true, 1h)'}"
    trigger = "sequence: [{where: bad}, {where: '!bad'}], within: 9s, annotations: {n: '{{ values.n }}'}"
    worker = fed(trigger, [(0, {"x": "a"}), (1, {"x": "b"}), (1, {"x": "a"}), (2, {})], define)
    (result,) = told(worker)
    assert (result["why"]["values"], result["annotations"]["n"]) == ({"bad": False, "n": 2}, "2")


def test_the_prompt_holds_the_events_up_to_the_causing_instant_and_none_that_were_fed_since() -> None:
    slow = "sequence: [{where: 'event.x == \"a\"'}, {where: 'event.x == \"b\"'}], within: 9s"
    text = (
        "penstock: v1\nname: told\nsources:\n"
        "  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 5s, idle: never}}\n"
        f"triggers:\n  t: {{{slow}}}\n"
        "models: {m: {base_url: 'http://localhost', model: m}}\nagents: {a: {ask: 'After {{ steps }}?'}}\n"
    )
    stand = Stand(text)
    stand.feed(stand.event(1, x="a"), stand.event(2, x="b"), stand.event(2, x="c"), stand.event(4, x="d"))
    stand.cut()
    stand.snapshot(0, 1)
    stand.trim()
    stand.reopen()
    (asked,) = stand.feed(stand.event(9, x="e"))
    prompt = asked.request.messages[-1].content  # type: ignore[union-attr]
    assert [letter for letter in "abcde" if f'"x":"{letter}"' in prompt] == ["a", "b", "c"]
    assert "After {}?" in prompt


def test_the_cause_is_of_the_generation_in_which_the_event_came() -> None:
    """Its topic is made anew while the event waits: its offset means another record by now."""
    stand = Stand(f"{STAND}\n  t: {{{A_B}, agent: none}}\n")
    stand.feed(stand.event(1, x="a"), stand.event(2, x="b"))
    stand.cut()
    stand.task = Task(stand.plan, 3)
    for entry in stand.entries():
        stand.task.apply(entry)
    stand.task.opened({"auth": Position(0, generation=1)}, stand.now)
    stand.feed(stand.event(9, x="x"))
    (result,) = stand.results(stand.cut())
    assert result["run"] == run_id(3, "stand", "t", "h", RecordCause("auth", 0, 3, 1))


STAND = """
penstock: v1
name: stand
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 5s, idle: never, lateness: 10s}}
triggers:"""

# --- what it costs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fire", ["watermark", "arrival"])
def test_a_key_that_is_silent_costs_nothing(fire: str) -> None:
    stand = Stand(f"{STAND}\n  t: {{{A_B}, cooldown: 20s, fire: {fire}, agent: none}}\n")
    stand.feed(*(stand.event(second, x=x) for second, x in enumerate("abxa")))
    assert stand.task.key("h").cells != [None]  # type: ignore[union-attr]
    stand.feed(stand.event(60, host="other", x="x"))
    assert stand.task.key("h").cells == (None,)  # type: ignore[union-attr]


def test_of_what_waits_only_the_fields_are_kept_that_are_read_later() -> None:
    stand = Stand(f"{STAND}\n  t: {{{PROBE}, agent: none}}\n")
    stand.feed(stand.event(1, v=1, land="de", secret="s" * 100))
    cut = stand.cut()
    ((cell,),) = [cells.values() for cells in cut.delta.cells.values()]
    assert "sss" not in str(cell)
    assert "land" in str(cell)


def test_at_most_64_beginnings_are_remembered_and_the_oldest_go() -> None:
    crowd = [(0, {"x": "a", "v": number}) for number in range(66)]
    worker = fed(f"{ASKED}, annotations: {{all: '{{{{ steps }}}}'}}", [*crowd, (9, {})])
    assert worker.counters["partials_dropped", "t"] == 2
    assert len(told(worker)) == 1


def test_a_source_that_is_gone_from_the_file_is_named_by_its_topic() -> None:
    text = f"{STAND}\n  t: {{{A_B}, agent: none}}\n"
    stand = Stand(text)
    stand.feed(stand.event(1, x="a"), stand.event(2, x="b"))
    stand.cut()
    stand.reopen(plan_of(text.replace("  auth: {topic: auth,", "  flow: {topic: flow,")))
    stand.feed(stand.event(9, "flow", x="x"))
    assert [result["why"]["fired_by"] for result in stand.results(stand.cut())] == ["auth/3@1"]


def test_a_look_at_a_recording_leaves_out_what_means_something_within_a_match_only(tmp_path: Path) -> None:
    sample = tmp_path / "sample.jsonl"
    sample.write_text('{"host": "h", "t": 1, "v": 1}\n{"host": "h", "t": 2, "v": 50}\n')
    tally = tally_sample(plan_of(f"{STAND}\n  t: {{{PROBE}, agent: none}}\n"), sample, None)
    assert tally.expressions == {"triggers.t[0]: event.v <= 2": {True: 1, False: 1}}
