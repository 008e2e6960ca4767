"""Keys in the log, and back."""

from __future__ import annotations

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.state.codec import encode
from penstock.state.delta import Bucket, Delta

PIPELINE = """
penstock: v1
name: images
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
triggers:
  many: {when: 'count(event.x == "a", 9s) >= 3', cooldown: 5s, agent: none}
  quiet: {when: 'count(true, 4s) < 1 && event.x == "b" && record.offset == 1', cooldown: 0s, agent: none}
  often: {every: 5s, agent: none}
"""
EVENTS = [(1, "a"), (2, "b"), (3, "a")]


def fed() -> Stand:
    stand = Stand(PIPELINE)
    stand.feed(*[stand.event(time, x=x) for time, x in EVENTS])
    return stand


def bucket_of(stand: Stand) -> Bucket:
    stand.cut()
    stand.snapshot(0, 1)
    bucket = stand.entries()[-1]
    assert isinstance(bucket, Bucket)
    return bucket


@pytest.mark.parametrize("snapshot", [False, True], ids=["from deltas", "from a bucket"])
def test_a_restored_key_has_the_image_of_the_one_that_was_saved(snapshot: bool) -> None:
    stand = fed()
    saved = bucket_of(stand)
    if not snapshot:
        stand.log.pop()
    stand.reopen()
    assert encode(stand.task.image(0, 1, 1)) == encode(saved)


def test_a_bucket_replaces_what_was_held_of_its_keys() -> None:
    stand = fed()
    saved = bucket_of(stand)
    stand.log.insert(0, stand.log[0])
    stand.reopen()
    assert encode(stand.task.image(0, 1, 1)) == encode(saved)


def test_what_time_may_ask_of_the_last_event_and_its_record_survives() -> None:
    stand = Stand(PIPELINE)
    stand.feed(stand.event(1, x="a"), stand.event(2, x="b"))
    stand.cut()
    stand.snapshot(0, 1)
    stand.reopen()
    stand.feed(stand.event(7, host="z"))
    told = [result for result in stand.results(stand.cut()) if result["key"] == "h"]
    assert [result["why"]["fired_by"] for result in told if result["triggers"] == ["quiet"]] == ["timer@6000"]


def test_aggregates_are_named_by_what_they_mean_and_not_by_their_place() -> None:
    """`many` was second and is first now, and what stood first is gone."""
    other = "  other: {when: 'count(has(event.y), 7s) >= 2', cooldown: 0s, agent: none}\n"
    stand = Stand(PIPELINE.replace("triggers:\n", f"triggers:\n{other}"))
    stand.feed(stand.event(1, x="a"), stand.event(2, x="a", y=1))
    stand.cut()
    stand.reopen(plan_of(PIPELINE))
    stand.feed(stand.event(3, x="a"))
    assert [result["triggers"] for result in stand.results(stand.cut())] == [["many"]]


def test_the_memory_of_a_trigger_that_means_something_else_now_is_not_read() -> None:
    """It fired and would be in its cooldown; the new one knows nothing of that."""
    stand = Stand(PIPELINE)
    stand.feed(*[stand.event(time, x="a") for time in (1, 2, 3)])
    assert [result["triggers"] for result in stand.results(stand.cut())] == [["many"]]
    stand.reopen(plan_of(PIPELINE.replace(">= 3", ">= 2")))
    stand.feed(stand.event(4, x="a"))
    assert [result["triggers"] for result in stand.results(stand.cut())] == [["many"]]


def test_a_delta_names_only_what_changed() -> None:
    stand = fed()
    stand.cut()
    stand.feed(stand.event(4, host="other", x="a"))
    stand.cut()
    delta = stand.entries()[-1]
    assert isinstance(delta, Delta)
    assert [fact[0] for fact in delta.facts] == ["other"]
    assert set(delta.cells) == {"other"}
