"""`late: correct`: what was decided is decided again when an event comes that belongs before it.

events of key `h`, as they are fed: (second, letter)
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.stand import Stand
from tests.oracle.timeline import play_records

from penstock.operators.correction import DECISIONS_MAX
from penstock.operators.event import Answered, Ask, Usage

HEAD = """
penstock: v1
name: corrections
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s},
         watermark: {delay: 0s, idle: never, lateness: 2s}}
define:
  n: count(event.x == "a", 5s)
  letter: event.x
  ahead: n - event.least
triggers:
"""
SIGNS = {"final": "F", "resolved": "R", "skipped": "S"}
THREE = "{when: n >= 3, late: correct, cooldown: 0s, agent: none}"
CALM = "{when: 'n >= 2 && count(event.x == \"b\", 5s) < 1', until: 'n < 1', late: correct, cooldown: 0s, agent: none}"
SILENT = "{absence: 'event.x == \"a\"', for: 5s, late: correct, agent: none}"


def began(*triggers: str, more: str = "") -> Stand:
    stand = Stand(HEAD + "".join(f"  {trigger}\n" for trigger in triggers) + more)
    stand.cut("opened")
    return stand


def results(stand: Stand, *events: tuple[int, str], **fields: Any) -> list[dict[str, Any]]:
    stand.feed(*[stand.event(time, x=x, **fields) for time, x in events])
    return stand.results(stand.cut())


def told(stand: Stand, *events: tuple[int, str]) -> list[str]:
    """`<trigger><sign>` in the order in which they left; corrections as C, withdrawals as W."""
    signs = {None: "", False: "C", True: "W"}
    return [
        each["triggers"][0] + (signs[each["why"]["withdrawn"]] or SIGNS[each["state"]])
        for each in results(stand, *events)
    ]


# --- a condition ----------------------------------------------------------------------------------------------------


def test_an_event_that_belongs_before_a_firing_and_changes_its_values_corrects_it() -> None:
    """by event time   a₁ a₂ a₃ · ·      fed as  a₁ a₂ a₄ F a₃
    F         at 4    {n: 3}
       C      at 5    {n: 4}"""
    stand = began(f"t: {THREE}")
    [firing] = results(stand, (1, "a"), (2, "a"), (4, "a"), (5, "·"))
    [correction] = results(stand, (3, "a"))
    assert (firing["corrects"], firing["why"]["withdrawn"], firing["why"]["values"]) == (None, None, {"n": 3})
    assert (correction["corrects"], correction["state"]) == (firing["run"], "final")
    assert correction["run"] != firing["run"]
    assert (correction["why"]["withdrawn"], correction["why"]["values"]) == (False, {"n": 4})
    assert (correction["why"]["fired_by"], correction["episode"]) == ("auth/3@4", None)


def test_a_correction_is_of_the_present_and_belongs_to_the_episode_that_it_corrects() -> None:
    stand = began(f"t: {THREE}")
    [firing] = results(stand, (1, "a"), (2, "a"), (4, "a"), (5, "·"))
    stand.feed(stand.event(3, x="a"))
    [output] = [each for each in stand.cut().outputs if each.topic == stand.plan.results.results]
    headers = dict(output.headers)
    assert headers["ce_time"] == b"1970-01-01T00:00:05.000Z"
    assert headers["ce_correlationid"].decode() == firing["episode"]["id"]


def test_a_firing_that_would_not_have_been_is_withdrawn_and_its_episode_goes_on_until_it_is_over() -> None:
    """The `b` of 3 lay before the firing of 4. What ends the episode is that the last `a` leaves at 9."""
    stand = began(f"t: {CALM}")
    assert told(stand, (1, "a"), (4, "a"), (3, "b")) == ["tF", "tW"]
    assert told(stand, (10, "·")) == ["tR"]


def test_an_event_later_than_the_firing_corrects_nothing() -> None:
    stand = began(f"t: {CALM}")
    assert told(stand, (1, "a"), (4, "a"), (7, "·"), (5, "b")) == ["tF"]


def test_an_event_of_the_very_instant_comes_after_what_an_event_decided() -> None:
    assert told(began(f"t: {THREE}"), (1, "a"), (2, "a"), (4, "a"), (4, "a")) == ["tF"]


def test_an_event_of_the_very_instant_belongs_before_what_time_decided() -> None:
    """At 5 the first `a` leaves, and none was known; at 5 one came."""
    stand = began("t: {when: n < 1, late: correct, cooldown: 0s, agent: none}")
    assert told(stand, (0, "a"), (7, "·"), (5, "a")) == ["tF", "tW", "tR"]


def test_an_event_that_the_spans_did_not_reach_corrects_nothing() -> None:
    stand = began("t: {when: n >= 1, late: correct, cooldown: 0s, agent: none}")
    assert told(stand, (6, "a"), (1, "a")) == ["tF"]
    assert told(stand, (2, "a")) == ["tC"]


def test_late_events_correct_and_so_do_those_that_are_only_out_of_order() -> None:
    """At 6 an event of 3 is late: `lateness` is 2. With it there are three again."""
    stand = began(f"t: {THREE}")
    assert told(stand, (1, "a"), (2, "a"), (4, "a"), (6, "·"), (3, "a")) == ["tF", "tR", "tC", "tF"]
    assert stand.task.counters["late", "auth"] == 1


def test_what_is_said_is_compared_with_what_was_said_last() -> None:
    stand = began("t: {when: 'n == 2 || n == 4', until: n < 1, late: correct, cooldown: 0s, agent: none}")
    events = [(1, "a"), (4, "a"), (3, "b"), (3, "a"), (2, "a"), (1, "b")]
    said = [(each["why"]["withdrawn"], each["why"]["values"]) for each in results(stand, *events)]
    assert said == [(None, {"n": 2}), (True, {"n": 3}), (False, {"n": 4})]


def test_an_unknown_condition_withdraws_nothing() -> None:
    """A text among the numbers makes the largest of them unknown."""
    stand = began("t: {when: 'max(event.v, 5s) > 1', late: correct, cooldown: 0s, agent: none}")
    stand.feed(stand.event(4, v=2), stand.event(3, v="two"))
    assert [each["state"] for each in stand.results(stand.cut())] == ["final"]


def test_what_came_while_the_condition_was_unknown_is_known_afterwards() -> None:
    """With three the division has no value, with four it has."""
    stand = began("t: {when: n >= 2 && 6 / (n - 3) != 1, until: n < 1, late: correct, cooldown: 0s, agent: none}")
    assert told(stand, (1, "a"), (4, "a"), (3, "a")) == ["tF"]
    [correction] = results(stand, (2, "a"))
    assert (correction["why"]["withdrawn"], correction["why"]["values"]) == (False, {"n": 4})


def test_every_correction_is_a_run_of_its_own_and_names_the_firing() -> None:
    stand = began(f"t: {THREE}")
    firing, *corrections = results(stand, (1, "a"), (2, "a"), (4, "a"), (3, "a"), (3, "a"))
    assert [each["why"]["values"]["n"] for each in corrections] == [4, 5]
    assert {each["corrects"] for each in corrections} == {firing["run"]}
    assert len({each["run"] for each in corrections}) == 2


def test_one_event_corrects_all_firings_that_it_belongs_before_and_then_does_what_it_does() -> None:
    """Each `b` ends what the `a` before it began. The `a` of 1 was known to neither firing, and fires, too."""
    stand = began("t: {when: 'n >= 1', until: 'event.x == \"b\"', late: correct, cooldown: 0s, agent: none}")
    assert told(stand, (2, "a"), (3, "b"), (4, "a"), (4, "b")) == ["tF", "tR", "tF", "tR"]
    assert told(stand, (1, "a")) == ["tC", "tC", "tF"]


def test_what_counts_nothing_is_what_it_was_and_fields_are_those_of_the_event_with_which_it_was_decided() -> None:
    more = "annotations: {a: '{{ values.letter }} {{ values.ahead }}'}"
    stand = began(f"t: {{when: n >= event.least, {more}, late: correct, cooldown: 0s, agent: none}}")
    results(stand, (1, "a"), (4, "a"), least=2)
    stand.reopen()
    stand.cut("opened")
    correction, end = results(stand, (3, "a"), least=9)
    assert end["state"] == "resolved"
    assert correction["why"]["values"] == {"n": 3, "letter": "a", "ahead": 1}
    assert correction["annotations"] == {"a": "a 1"}


def test_rows_of_tables_are_those_of_now() -> None:
    text = HEAD.replace("triggers:", "tables: {cmdb: {topic: cmdb}}\ntriggers:")
    condition = "n >= 2 && tables.cmdb[key].open == true"
    stand = Stand(text + f"  t: {{when: '{condition}', until: n < 1, late: correct, cooldown: 0s, agent: none}}\n")
    stand.cut("opened")
    stand.feed(stand.row("h", open=True))
    assert told(stand, (1, "a"), (4, "a")) == ["tF"]
    stand.feed(stand.row("h", open=False))
    assert told(stand, (3, "a")) == ["tW"]


def test_a_wait_is_asked_at_its_end_only() -> None:
    """At 4 the condition held, for 2 seconds; that the `b` of 2 broke the wait is not looked into, that of 3 is in the span."""
    waits = "{when: 'n >= 1 && count(event.x == \"b\", 2s) < 1', for: 3s, until: n < 1, late: correct, cooldown: 0s, agent: none}"
    stand = began(f"t: {waits}")
    assert told(stand, (1, "a"), (5, "·"), (2, "b"), (3, "b")) == ["tF", "tW"]


# --- what is held ---------------------------------------------------------------------------------------------------


def test_a_firing_can_be_corrected_for_its_span_and_the_lateness_after_it() -> None:
    """The span is 5, `lateness` 2: until 11 for what fired at 4."""
    early, late = began(f"t: {THREE}"), began(f"t: {THREE}")
    fired = [(1, "a"), (2, "a"), (4, "a")]
    assert told(early, *fired, (10, "·"), (3, "a")) == ["tF", "tR", "tC"]
    assert told(late, *fired, (11, "·"), (3, "a")) == ["tF", "tR"]
    assert (early.task.counters["beyond_correction", "t"], late.task.counters["beyond_correction", "t"]) == (1, 1)


def test_only_the_latest_firings_can_be_corrected() -> None:
    """Every second event ends what the one before it began."""
    stand = began("t: {when: 'n > 0', until: 'true', late: correct, cooldown: 0s, agent: none}")
    seconds = (11, 11, 12, 12, 13, 13, 13, 13, 14, 14)
    fired = [each["run"] for each in results(stand, *((at, "a") for at in seconds)) if each["state"] == "final"]
    corrected = [each["corrects"] for each in results(stand, (10, "a")) if each["corrects"]]
    assert len(fired) == DECISIONS_MAX + 1
    assert corrected == fired[-DECISIONS_MAX:]
    assert stand.task.counters["decisions_dropped", "t"] == 1


def test_what_is_held_survives_restarts_and_snapshots() -> None:
    stand = began(f"t: {CALM}")
    assert told(stand, (1, "a"), (4, "a")) == ["tF"]
    stand.reopen()
    stand.cut("opened")
    stand.snapshot(0, 1)
    stand.trim()
    stand.reopen()
    stand.cut("opened")
    assert told(stand, (3, "b")) == ["tW"]


def test_a_part_of_a_key_is_dropped_once_nothing_of_it_can_be_corrected() -> None:
    stand = began("t: {when: n >= 1, by: event.x, late: correct, cooldown: 0s, agent: none}")
    for second, parts in ((1, 1), (7, 1), (8, 0)):
        told(stand, (second, "a" if second == 1 else "·"))
        key = stand.task.key("h")
        assert key is not None
        assert key.groups is not None
        assert len(key.groups) == parts


def test_another_part_of_the_key_corrects_nothing() -> None:
    stand = began("t: {when: n >= 1, by: event.ip, late: correct, cooldown: 0s, agent: none}")
    stand.feed(stand.event(4, x="a", ip=1), stand.event(3, x="a", ip=2), stand.event(2, x="a", ip=1))
    said = [(each["by"], each["why"]["withdrawn"]) for each in stand.results(stand.cut())]
    assert said == [(1, None), (2, None), (1, False)]


def test_the_word_is_part_of_what_a_trigger_means() -> None:
    def identity(late: str) -> str:
        [name] = [each for each in began(f"t: {{when: n >= 3{late}, agent: none}}").plan.identities if each[:2] == "t:"]
        return name

    assert identity("") == identity(", late: ignore")
    assert len({identity(""), identity(", late: reason"), identity(", late: correct")}) == 3


# --- gates ----------------------------------------------------------------------------------------------------------


def test_a_firing_that_was_skipped_is_not_corrected() -> None:
    limited = THREE.replace("agent", "limit: 1/hour, agent")
    stand = began(f"t: {limited}")
    assert told(stand, *[(second, "a") for second in (1, 2, 3)], (9, "·")) == ["tF", "tR"]
    assert told(stand, *[(second, "a") for second in (21, 22, 24)]) == ["tS"]
    assert told(stand, (23, "a")) == []


def test_a_correction_counts_for_the_limit_and_is_skipped_beyond_it() -> None:
    limited = THREE.replace("agent", "limit: 2/hour, agent")
    stand = began(f"t: {limited}")
    firing, correction, skipped = results(stand, (1, "a"), (2, "a"), (4, "a"), (3, "a"), (3, "a"))
    assert (correction["state"], skipped["state"], skipped["reason"]) == ("final", "skipped", "limit")
    assert (skipped["corrects"], skipped["why"]["values"]) == (firing["run"], {"n": 5})
    assert stand.task.counters["corrected", "t"] == 1


def test_a_correction_waits_for_no_cooldown_and_begins_none() -> None:
    stand = began(f"t: {THREE.replace('cooldown: 0s', 'cooldown: 4s')}")
    assert told(stand, (1, "a"), (2, "a"), (4, "a"), (3, "a"), (9, "·")) == ["tF", "tC", "tR"]
    assert told(stand, (10, "a"), (11, "a"), (12, "a")) == ["tF"]


def test_a_correction_is_inhibited_as_a_firing_is() -> None:
    stand = began(
        f"t: {CALM.replace('agent', 'inhibited_by: [z], agent')}", "z: {each: 'event.x == \"z\"', agent: none}"
    )
    assert told(stand, (1, "a"), (4, "a"), (5, "z")) == ["tF", "zF"]
    skipped = results(stand, (3, "b"))
    assert [(each["reason"], each["why"]["withdrawn"]) for each in skipped] == [("inhibited", True)]


def test_a_correction_inhibits_nobody_and_completes_no_combination() -> None:
    stand = began(
        "t: {when: 'n >= 1', late: correct, cooldown: 0s, agent: none}",
        "seen: {each: 'event.x == \"d\"', inhibited_by: [t], agent: none}",
        "either: {any: [t], agent: none}",
    )
    assert told(stand, (4, "a"), (10, "·")) == ["tF", "eitherF", "tR"]
    assert told(stand, (3, "a"), (10, "d")) == ["tC", "seenF"]


def test_what_the_sample_leaves_out_is_not_corrected() -> None:
    stand = began(f"t: {CALM.replace('agent', 'sample: 0.01%, agent')}")
    assert told(stand, (1, "a"), (4, "a"), (3, "b")) == []
    assert stand.task.counters["sampled_out", "t"] == 1


def test_what_is_the_case_now_is_not_said_by_corrections() -> None:
    stand = began(f"t: {THREE}", more="outputs: {latest: open}\n")
    stand.feed(*[stand.event(second, x="a") for second in (1, 2, 4, 3)])
    shown = [output for output in stand.cut().outputs if output.topic == "open"]
    assert [dict(output.headers)["ce_type"] for output in shown] == [b"penstock.final.v1"]


# --- an agent -------------------------------------------------------------------------------------------------------

AGENTS = """models:
  m: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: "{% if corrects %}said {{ corrects.values.n }}, is {{ values.n }}{% else %}{{ values.n }}{% endif %}"}
"""


def test_an_agent_is_told_what_is_corrected_and_shown_the_event_that_does_it() -> None:
    stand = began(f"t: {THREE.replace('none', 'judge')}", "u: {each: 'event.x == \"z\"', agent: none}", more=AGENTS)
    [asked] = stand.feed(stand.event(1, x="a"), stand.event(2, x="a"), stand.event(4, x="a"))
    assert isinstance(asked, Ask)
    assert asked.request.messages[-1].content.endswith("\n3")
    stand.feed(stand.event(5, x="·"), stand.event(3, x="a", mark="bygone"))
    [answered] = stand.task.feed(Answered(asked.call_id, "well", "stop", Usage()))
    assert isinstance(answered, Ask)
    text = answered.request.messages[-1].content
    assert "bygone" in text
    assert text.endswith(
        'Values: {"n":4}\n'
        'Corrects: what was said at 1970-01-01T00:00:04.000Z, with the values {"n":3}. '
        "By an event that came since it is known that the condition held then, with the values above.\n"
        "\nsaid 3, is 4"
    )


# --- a silence ------------------------------------------------------------------------------------------------------


def test_a_silence_in_which_something_came_is_withdrawn_once() -> None:
    """for: 5s
    by event time   a₁ · · a₄ · F      fed as  a₁ … F a₄ a₃"""
    stand = began(f"t: {SILENT}")
    assert told(stand, (1, "a"), (7, "·")) == ["tF"]
    assert told(stand, (4, "a")) == ["tW", "tR"]
    assert told(stand, (3, "a")) == []


@pytest.mark.parametrize(("time", "expected"), [(1, []), (2, ["tW", "tR", "tF"]), (6, ["tW", "tR"]), (7, ["tR"])])
def test_a_silence_lasts_from_behind_its_event_to_its_end(time: int, expected: list[str]) -> None:
    """With an event at 2 there is another silence, until 7."""
    stand = began(f"t: {SILENT}")
    assert told(stand, (1, "a"), (8, "·")) == ["tF"]
    assert told(stand, (time, "a")) == expected


def test_what_does_not_satisfy_withdraws_no_silence() -> None:
    stand = began(f"t: {SILENT}")
    assert told(stand, (1, "a"), (7, "·"), (4, "b")) == ["tF"]


# --- without the word -----------------------------------------------------------------------------------------------


def test_without_the_word_nothing_is_corrected() -> None:
    events = [(0, "a"), (1, "a"), (5, "a"), (3, "b")]
    when = 'when: \'count(event.x == "a", 9s) >= 3 && count(event.x == "b", 9s) < 1\', cooldown: 0s'
    assert [each["state"] for each in play_records(when, events, length=9).results] == ["final", "resolved"]
    corrected = play_records(f"{when}, late: correct", events, length=9).results
    assert [each["why"]["withdrawn"] for each in corrected] == [None, True, None]
