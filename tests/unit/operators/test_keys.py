"""Keys and the order in which their triggers look."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.oracle.product import milliseconds, plan_of
from tests.oracle.stand import Stand

from penstock.operators.bucket import BUCKETS_MAX, finest_bucket
from penstock.operators.keys import Keys
from penstock.operators.unsaved import Unsaved


def pipeline(*triggers: str) -> str:
    return (
        "penstock: v1\nname: keys\nsources:\n"
        "  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}\n"
        "triggers:\n" + "\n".join(f"  {trigger}" for trigger in triggers) + "\n"
    )


QUIET = "quiet: {when: 'count(event.x == \"a\", 5s) < 1', cooldown: 0s, agent: none}"
RESTLESS = "restless: {when: 'count(true, 4s) >= 0', until: 'count(true, 4s) >= 0', cooldown: 0s, agent: none}"
"""Goes on or off with every evaluation: it counts them."""


def told(stand: Stand) -> list[str]:
    """`trigger key F@second cause` or `trigger key R@second`, in the order in which they left."""
    return [_line(result) for result in stand.results(stand.cut())]


def _line(result: dict[str, Any]) -> str:
    episode = result["episode"]
    over = result["state"] == "resolved"
    second = milliseconds(episode["ends_at" if over else "starts_at"]) // 1000
    return f"{result['triggers'][0]} {result['key']} " + (
        f"R@{second}" if over else f"F@{second} {result['why']['fired_by']}"
    )


def test_instants_before_an_event_come_first_in_time_order() -> None:
    stand = Stand(pipeline(RESTLESS))
    stand.feed(stand.event(0), stand.event(1), stand.event(9))
    assert told(stand) == [
        "restless h F@0 auth/3@0",
        "restless h R@1",
        "restless h F@4 timer@4000",
        "restless h R@5",
        "restless h F@9 auth/3@2",
    ]


def test_a_watermark_takes_all_keys_along_in_time_order() -> None:
    stand = Stand(pipeline(QUIET))
    stand.feed(stand.event(2, host="b", x="a"), stand.event(3, host="c", x="a"), stand.event(3, host="a", x="a"))
    stand.feed(stand.event(20, host="z", x="a"))
    assert told(stand) == ["quiet b F@7 timer@7000", "quiet a F@8 timer@8000", "quiet c F@8 timer@8000"]


def test_at_one_instant_triggers_look_in_the_order_of_the_file() -> None:
    stand = Stand(pipeline(QUIET.replace("quiet", "second", 1), QUIET.replace("quiet", "first", 1)))
    stand.feed(stand.event(0, x="a"), stand.event(9, host="z", x="a"))
    assert told(stand) == ["second h F@5 timer@5000", "first h F@5 timer@5000"]


def test_a_trigger_that_was_not_due_fires_by_the_record_though_another_was() -> None:
    """At 5 `quiet` is due; `open` holds since 0 but looks only because of the event."""
    still = "open: {when: 'count(true, 30s) >= 1', until: 'event.x == \"b\"', cooldown: 0s, agent: none}"
    stand = Stand(pipeline(QUIET, still))
    stand.feed(stand.event(0, x="a"), stand.event(2, x="b"), stand.event(5, x="c"))
    assert told(stand) == [
        "open h F@0 auth/3@0",
        "open h R@2",
        "quiet h F@5 timer@5000",
        "open h F@5 auth/3@2",
    ]


def test_instants_that_were_looked_at_are_not_looked_at_again_after_a_restart() -> None:
    """The key itself was silent when the watermark passed 4."""
    stand = Stand(pipeline(RESTLESS))
    stand.feed(stand.event(0), stand.event(1), stand.event(4, host="z"))
    before = [line for line in told(stand) if " h " in line]
    stand.reopen()
    stand.feed(stand.event(9, host="z"))
    after = [line for line in told(stand) if " h " in line]
    assert before == ["restless h F@0 auth/3@0", "restless h R@1", "restless h F@4 timer@4000"]
    assert after == ["restless h R@5"]


def test_what_an_expression_cannot_tell_is_counted_by_its_text() -> None:
    stand = Stand(pipeline(
        "any: {each: 'event.size > 5', agent: none}", "many: {when: 'count(event.size > 5, 5s) >= 9', agent: none}"
    ))  # fmt: skip
    stand.feed(stand.event(0, size=7), stand.event(1), stand.event(2, size="large"))
    counted = {name: count for name, count in stand.task.counters.items() if name[0].startswith("expression")}
    assert counted == {
        ("expression_unknown", "event.size > 5"): 1,
        ("expression_errors", "event.size > 5"): 1,
        ("expression_unknown", "count(event.size > 5, 5s)"): 1,
        ("expression_errors", "count(event.size > 5, 5s)"): 1,
    }


def keys_of(*names: str) -> Keys:
    keys = Keys(plan_of(pipeline(QUIET)), Unsaved(), lambda *_: None, lambda *_: False, Counter())
    for name in names:
        keys.get_or_new(name)
    return keys


@pytest.mark.parametrize("of", [1, 2, 16, BUCKETS_MAX])
def test_every_key_is_in_exactly_one_bucket(of: int) -> None:
    names = [f"host-{number}" for number in range(100)]
    keys = keys_of(*names)
    buckets = [[key.name for key in keys.in_bucket(index, of)] for index in range(of)]
    assert sorted(name for bucket in buckets for name in bucket) == sorted(names)
    assert all(finest_bucket(name) % of == index for index, bucket in enumerate(buckets) for name in bucket)


def test_a_key_that_is_dropped_is_gone() -> None:
    keys = keys_of("a", "b")
    keys.drop("a")
    keys.drop("never there")
    assert [key.name for key in keys] == ["b"]
    assert [key.name for key in keys.in_bucket(0, 1)] == ["b"]
    assert keys.find("a") is None
    assert len(keys) == 1
