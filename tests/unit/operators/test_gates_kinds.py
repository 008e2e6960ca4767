"""What stands between edges and runs, for kinds that wait or remember more, for parts of keys, and on the way of a record.

events    letters are events of key `h`, fed with one second between them
told      what left because of each, by trigger: F fired, R resolved, S skipped
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.stand import Stand

HEAD = """
penstock: v1
name: gates
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s},
         watermark: {delay: %s, idle: never, lateness: 20s}}
triggers:
"""
SIGNS = {"final": "F", "resolved": "R", "skipped": "S"}
OPEN = "z: {when: 'event.x == \"o\"', until: 'event.x == \"c\"', cooldown: 0s, agent: none}"


def began(*triggers: str, delay: str = "0s", more: str = "") -> Stand:
    stand = Stand(HEAD % delay + "".join(f"  {trigger}\n" for trigger in triggers) + more)
    stand.cut("opened")
    return stand


def fed(stand: Stand, *events: dict[str, Any]) -> list[str]:
    """`<trigger><sign><by>` in the order in which they left."""
    stand.feed(*[stand.event(**event) for event in events])
    return [f"{each['triggers'][0]}{SIGNS[each['state']]}{each['by'] or ''}" for each in stand.results(stand.cut())]


def told(stand: Stand, letters: str, start: int = 0, **fields: Any) -> list[str]:
    return fed(stand, *[{"time": start + second, "x": letter, **fields} for second, letter in enumerate(letters)])


# --- kinds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fire", "leaves"),
    [("watermark", ["zF", "zR", "aS", "aF"]), ("arrival", ["zF", "aS", "zR", "aF"])],
)
def test_a_skipped_sequence_starts_no_cooldown(fire: str, leaves: list[str]) -> None:
    """With the watermark it is decided when `z` is over; at its second it was open."""
    steps = "[{where: 'event.x == \"a\"'}, {where: 'event.x == \"b\"'}]"
    a = f"a: {{sequence: {steps}, within: 9s, cooldown: 9s, fire: {fire}, inhibited_by: [z], agent: none}}"
    assert told(began(a, OPEN), "oabcabab··") == leaves


def test_a_skipped_sequence_leaves_the_cooldown_before_as_it_was() -> None:
    """The one of second 5 is skipped; that of second 4, which comes after it, is told: nothing is quiet until 5."""
    steps = "[{where: 'event.x == \"a\"'}]"
    stand = began(f"a: {{sequence: {steps}, within: 9s, cooldown: 3s, fire: arrival, limit: 1/4s, agent: none}}")
    events = [{"time": time, "x": "a"} for time in (0, 5, 5, 4)]
    assert fed(stand, *events[:1]) == ["aF"]
    assert fed(stand, {"time": 3, "x": "a"}, {"time": 4, "x": "a"}) == ["aS", "aF"]


def test_a_skipped_absence_is_over_without_a_record_and_starts_no_cooldown() -> None:
    stand = began(
        "a: {absence: 'event.x == \"a\"', for: 2s, cooldown: 60s, inhibited_by: [z], agent: none}", OPEN, delay="0s"
    )
    assert told(stand, "oa···c") == ["zF", "aS", "zR"]
    assert told(stand, "a····", 6) == ["aF"]
    assert told(stand, "a·", 11) == ["aR"]
    assert stand.task.counters["resolved", "a"] == 1


def test_a_skipped_anomaly_is_over_without_a_record_and_starts_no_cooldown() -> None:
    stand = began("a: {anomaly: event.v, warmup: 4, cooldown: 1h, inhibited_by: [z], agent: none}", OPEN)
    calm = [{"time": second, "x": "o" if second == 7 else "·", "v": 10 + second % 2} for second in range(8)]
    assert fed(stand, *calm) == ["zF"]
    assert fed(stand, {"time": 8, "v": 90}) == ["aS"]
    assert fed(stand, *[{"time": 9 + second, "v": 10 + second % 2, "x": "c"} for second in range(9)]) == ["zR"]
    assert fed(stand, {"time": 20, "v": 9000}) == ["aF"]


def test_a_schedule_over_its_limit_is_skipped() -> None:
    stand = began("a: {cron: '* * * * *', limit: 1/hour, agent: none}")
    assert fed(stand, {"time": 30}, {"time": 90}, {"time": 150}) == ["aF", "aS"]


def test_an_absence_inhibits_until_it_is_over() -> None:
    stand = began(
        "quiet: {absence: 'event.x == \"a\"', for: 2s, agent: none}",
        "b: {each: 'event.x == \"b\"', inhibited_by: [quiet], agent: none}",
    )
    assert told(stand, "ab··ba·b") == ["bF", "quietF", "bS", "quietR", "bF"]


# --- parts of keys --------------------------------------------------------------------------------------------------


def test_a_part_inhibits_that_part_alone_where_both_see_keys_in_the_same_parts() -> None:
    stand = began(
        "a: {each: 'event.x == \"a\"', by: event.ip, inhibited_by: [e], agent: none}",
        "e: {each: 'event.x == \"e\"', by: event.ip, cooldown: 9s, agent: none}",
    )
    assert told(stand, "ea", ip="p") == ["eFp", "aSp"]
    assert told(stand, "a", 2, ip="q") == ["aFq"]


@pytest.mark.parametrize("by", ["", "by: event.user, ", "from: auth, "])
@pytest.mark.parametrize("restarts", [False, True])
def test_elsewhere_a_part_inhibits_the_whole_key(by: str, restarts: bool) -> None:
    stand = began(
        f"a: {{each: 'event.x == \"a\"', {by}inhibited_by: [e], agent: none}}",
        "e: {when: 'event.x == \"e\"', until: 'event.x == \"f\"', cooldown: 0s, by: event.ip, agent: none}",
    )
    user = "u" if "user" in by else ""
    assert told(stand, "e", ip="p", user="u") == ["eFp"]
    if restarts:
        stand.reopen()
        stand.cut("opened")
    assert told(stand, "a", 1, ip="q", user="u") == [f"aS{user}"]
    assert told(stand, "fa", 2, ip="p", user="u") == ["eRp", f"aF{user}"]


def test_a_limit_counts_over_all_parts() -> None:
    stand = began("a: {each: 'true', by: event.ip, limit: 2/hour, agent: none}")
    assert fed(stand, *[{"time": 1, "ip": ip} for ip in "pqr"]) == ["aFp", "aFq", "aSr"]


@pytest.mark.parametrize("by", ["event.x", None])
def test_at_one_instant_inhibitors_look_first_wherever_they_look(by: str | None) -> None:
    """All three are due at second 3: `a` by parts, `e` by others, both behind `c`, which sees the whole key."""
    part = "" if by is None else f"by: {by}, "
    waits = "debounce: 3s, agent: none"
    stand = began(
        f"a: {{each: 'event.a == 1', by: event.ip, inhibited_by: [e], {waits}}}",
        f"e: {{each: 'event.a == 1', {part}inhibited_by: [c], {waits}}}",
        f"c: {{each: 'event.c == 1', {waits}}}",
    )
    name = "" if by is None else "x"
    assert fed(stand, {"time": 0, "ip": "p", "x": "x", "a": 1}, {"time": 9, "a": 0}) == [f"eF{name}", "aSp"]
    events = [{"time": 20, "ip": "p", "x": "x", "a": 1, "c": 1}, {"time": 23, "ip": "q", "x": "y", "a": 0}]
    assert fed(stand, *events, {"time": 29}) == ["cF", f"eS{name}", "aFp"]


# --- late events ----------------------------------------------------------------------------------------------------


def test_late_events_go_to_their_parts_and_to_whatever_kind_takes_them() -> None:
    steps = "[{where: 'event.x == \"a\"'}, {where: 'event.x == \"b\"'}]"
    stand = began(
        "each: {each: 'event.x == \"a\"', by: event.ip, late: reason, agent: none}",
        f"seq: {{sequence: {steps}, within: 9s, by: event.ip, late: reason, agent: none}}",
        f"deaf: {{sequence: {steps}, within: 9s, by: event.ip, agent: none}}",
    )
    assert fed(stand, {"time": 100, "ip": "q", "x": "c"}) == []
    assert fed(stand, {"time": 1, "ip": "p", "x": "a"}, {"time": 2, "ip": "p", "x": "b"}) == ["eachFp", "seqFp"]
    assert fed(stand, {"time": 3, "ip": "q", "x": "b"}) == []


def test_what_is_late_is_inhibited_by_what_is_open_now_at_the_earliest() -> None:
    """At second 100 an event is late if it is older than 80: what was open before then has been forgotten for everybody."""
    stand = began(
        "a: {sequence: [{where: 'event.x == \"a\"'}], within: 1s, by: event.ip, late: reason, inhibited_by: [e], agent: none}",
        "e: {each: 'event.x == \"e\"', cooldown: 5s, agent: none}",
    )
    assert fed(stand, {"time": 10, "x": "e"}, {"time": 78, "x": "e"}, {"time": 100, "x": "·"}) == ["eF", "eF"]
    assert fed(stand, {"time": 11, "x": "a", "ip": "p"}) == ["aSp"]
    assert fed(stand, {"time": 110, "x": "·"}, {"time": 12, "x": "a", "ip": "q"}) == ["aFq"]


# --- on the way of a record -----------------------------------------------------------------------------------------


def test_what_was_skipped_is_routed_and_is_not_the_case() -> None:
    outputs = "outputs:\n  latest: open\n  routes: [{topic: held, where: 'state == \"skipped\"'}]\n"
    stand = began(
        "a: {when: 'event.x == \"a\"', until: 'event.x == \"b\"', cooldown: 0s, limit: 1/hour, agent: none}",
        more=outputs,
    )
    stand.feed(*[stand.event(second, x=letter) for second, letter in enumerate("abab")])
    topics = [output.topic for output in stand.cut().outputs if "partials" not in output.topic]
    assert topics == ["dev.gates.results", "open", "dev.gates.results", "open", "dev.gates.results", "held"]
