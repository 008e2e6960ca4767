from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from tests.oracle.stand import Stand

from penstock.operators.expression import compile_expression
from penstock.operators.key_state import Counts
from penstock.operators.record import Output
from penstock.operators.result import FIELDS, PARTS
from penstock.operators.result_route import RESULT_SCOPE, Route, routed

HEAD = """
penstock: v1
name: routing
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
triggers:
  seen: {each: 'event.x == "s"', cooldown: 0s, agent: none}
  open: {when: 'event.x == "a"', until: 'event.x == "z"', cooldown: 0s, agent: none, labels: {severity: critical}}
"""
ROUTES = """
outputs:
  routes:
    - {topic: pages, where: 'labels.severity == "critical" && state == "final"'}
    - {topic: seen, where: 'triggers == ["seen"]'}
    - {topic: pages, where: 'state in ["final", "resolved"] && episode.status in ["firing", "resolved"]'}
"""


def output(**fields: Any) -> Output:
    value = orjson.dumps({**dict.fromkeys(FIELDS), "state": "final", "labels": {}, "key": "k", **fields})
    return Output("3-a/1", "results", b"k", value, (("ce_id", b"3-a/1"),))


def topics(found: Output, *conditions: str, counters: Counts | None = None) -> Sequence[str]:
    """The topics `t0`, `t1`, … of these conditions that it goes to."""
    routes = [Route(f"t{number}", compile_expression(where, RESULT_SCOPE)) for number, where in enumerate(conditions)]
    return [each.topic for each in routed(found, routes, Counter() if counters is None else counters)]


@pytest.mark.parametrize(
    ("where", "goes"),
    [
        ('labels.severity == "critical" && state in ["final", "resolved"]', True),
        ('answer.advice == "stop"', True),
        ("answer.confidence > 0.5", True),
        ('tenant == "acme"', False),
        ('tenant != "acme"', True),
        ('key == "k"', True),
        ("agent == null", True),
        ('triggers == ["burst"]', True),
        ('episode.status == "firing"', False),
        ("has(episode.id)", False),
        ("!has(answer.other)", True),
        ("answer.other < 3", False),
        ("!(answer.other < 3)", False),
        ("why.values.failures >= 23", True),
        ('labels.team == "secops" || state == "final"', True),
    ],
)
def test_a_condition_sees_the_fields_of_the_result_and_what_is_unknown_does_not_route(where: str, goes: bool) -> None:
    found = output(
        labels={"severity": "critical"},
        answer={"advice": "stop", "confidence": 0.9},
        triggers=["burst"],
        why={"values": {"failures": 23}},
    )
    assert bool(topics(found, where)) == goes


def test_a_result_goes_to_a_topic_once_however_many_of_its_routes_it_matches() -> None:
    routes = [Route("t", compile_expression(where, RESULT_SCOPE)) for where in ('state == "final"', "true", "false")]
    found = output()
    (copy,) = routed(found, routes, Counter())
    assert copy == Output(found.id, "t", found.key, found.value, found.headers)


def test_doubts_are_counted_and_an_answer_that_is_not_there_is_no_mistake_in_its_type() -> None:
    counters: Counts = Counter()
    failed = output(state="failed", answer=None, agent="judge")
    assert topics(failed, 'answer.advice == "stop"', "agent > 3", counters=counters) == []
    assert counters == {("expression_unknown", 'answer.advice == "stop"'): 1, ("expression_errors", "agent > 3"): 1}


def told(stand: Stand, topic: str) -> list[Output]:
    return [each for each in stand.cut().outputs if each.topic == topic]


def test_routed_results_are_those_of_the_results_topic_byte_for_byte_and_stand_in_the_delta() -> None:
    stand = Stand(HEAD + ROUTES)
    stand.cut("opened")
    stand.feed(stand.event(1, x="s"), stand.event(2, x="a"), stand.event(3, x="z"))
    cut = stand.cut()
    by_topic = {
        topic: [(each.id, each.key, each.value, each.headers) for each in cut.outputs if each.topic == topic]
        for topic in ("dev.routing.results", "pages", "seen")
    }
    seen, final, resolved = by_topic["dev.routing.results"]
    assert (by_topic["pages"], by_topic["seen"]) == ([final, resolved], [seen])
    assert cut.delta.outputs == cut.outputs


def test_the_fields_that_a_route_may_name_are_those_of_every_record() -> None:
    stand = Stand(HEAD)
    stand.feed(stand.event(2, x="a"))
    (record,) = stand.results(stand.cut())
    assert tuple(record) == FIELDS
    assert {name: tuple(record[name]) for name in PARTS} == PARTS
