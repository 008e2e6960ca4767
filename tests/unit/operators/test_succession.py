"""One definition after another on one log: what the present one does not know is carried through, for a while.

A ──▶ B, which knows neither `many` nor `seen` ──▶ A again
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.carried import CARRIED_MS
from penstock.state.codec import encode
from penstock.state.delta import Bucket, Delta

HEAD = """
penstock: v1
name: succession
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
triggers:
"""
OTHER = "  other: {when: 'count(event.x == \"z\", 9s) >= 3', cooldown: 0s, agent: none}\n"
MANY = "  many: {when: 'count(event.x == \"a\", 9s) >= 3', cooldown: 5s, agent: none}\n"
SEEN = "  seen: {each: 'event.x == \"b\"', cooldown: 50s, agent: none}\n"
QUIET = "  quiet: {when: 'count(true, 4s) < 1 && event.x == \"b\" && record.offset >= 1', cooldown: 0s, agent: none}\n"
A, B = HEAD + OTHER + MANY + SEEN, HEAD + OTHER


@pytest.fixture(params=[None, 1, 2], ids=["from deltas", "from an image", "from images"])
def images(request: pytest.FixtureRequest) -> int | None:
    """Into how many buckets whoever goes cuts the keys, leaving the log with nothing but their images; None: no images."""
    found: int | None = request.param
    return found


def deployed(stand: Stand, text: str, images: int | None = None) -> Stand:
    """The task is opened by another definition."""
    if images is not None:
        cut_off = len(stand.log)
        stand.cut()
        for index in range(images):
            stand.snapshot(index, images)
        del stand.log[:cut_off]
    stand.reopen(plan_of(text))
    stand.cut("opened")
    return stand


def fed(stand: Stand, *events: tuple[int, str, str]) -> list[str]:
    """Events (time, host, x); what was told because of them: `trigger state host`."""
    stand.feed(*[stand.event(time, host=host, x=x) for time, host, x in events])
    return told(stand)


def told(stand: Stand) -> list[str]:
    return [f"{each['triggers'][0]} {each['state']} {each['key']}" for each in stand.results(stand.cut())]


def began(text: str = A) -> Stand:
    stand = Stand(text)
    stand.cut("opened")
    return stand


def carried_images(stand: Stand) -> list[Any]:
    return [image for image in stand.task.image(0, 1, 0).keys.values() if len(image) > 4 or "seen" in str(image[3])]


def test_a_cooldown_goes_on_when_its_definition_comes_back(images: int | None) -> None:
    stand = began()
    assert fed(stand, (1, "h", "b")) == ["seen final h"]
    deployed(stand, B, images)
    assert fed(stand, (2, "h", "b")) == []
    deployed(stand, A, images)
    assert fed(stand, (3, "h", "b")) == []
    assert stand.task.counters["suppressed", "seen"] == 1


def test_an_aggregate_that_missed_nothing_goes_on(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "a"), (2, "h", "a"), (2, "i", "a"))
    deployed(stand, B, images)
    fed(stand, (3, "i", "a"))
    deployed(stand, A, images)
    assert fed(stand, (4, "h", "a"), (4, "i", "a")) == ["many final h"]


def test_an_aggregate_that_missed_an_event_begins_anew(images: int | None) -> None:
    """Its three would be four: what it says is too little, and says so by being new."""
    stand = began()
    fed(stand, (1, "h", "a"), (2, "h", "a"))
    deployed(stand, B, images)
    fed(stand, (3, "h", "c"))
    deployed(stand, A, images)
    assert fed(stand, (4, "h", "a"), (5, "h", "a")) == []
    assert fed(stand, (6, "h", "a")) == ["many final h"]


def test_it_goes_on_over_several_definitions_and_restarts(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "a"), (1, "i", "a"))
    for text in (B, B.replace("9s", "8s"), B):
        deployed(stand, text, images)
        fed(stand, (2, "j", "a"))
    deployed(stand, A, images)
    assert fed(stand, (3, "h", "a"), (4, "h", "a"), (4, "i", "a")) == ["many final h"]


def test_an_episode_that_ended_meanwhile_is_resolved_when_its_definition_comes_back(images: int | None) -> None:
    stand = began()
    assert fed(stand, (1, "h", "a"), (2, "h", "a"), (3, "h", "a")) == ["many final h"]
    deployed(stand, B, images)
    fed(stand, (60, "i", "c"))
    deployed(stand, A, images)
    [resolved] = [each for each in stand.entries() if isinstance(each, Delta)][-1].outputs[:1]
    assert b'"status":"resolved"' in (resolved.value or b"")
    assert fed(stand, (61, "i", "c")) == []


def test_an_episode_that_lasts_stays_open_and_ends_in_its_time(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "a"), (2, "h", "a"), (3, "h", "a"))
    deployed(stand, B, images)
    fed(stand, (5, "i", "c"))
    deployed(stand, A, images)
    assert fed(stand, (6, "i", "c")) == []
    assert fed(stand, (20, "i", "c")) == ["many resolved h"]


def test_an_episode_whose_events_were_missed_is_resolved_at_once(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "a"), (2, "h", "a"), (3, "h", "a"))
    deployed(stand, B, images)
    fed(stand, (4, "h", "a"))
    deployed(stand, A, images)
    opened = [each for each in stand.entries() if isinstance(each, Delta)][-1]
    assert len(opened.outputs) == 2, "one record on results, one on partials"


def test_what_no_definition_knows_is_dropped_after_a_while(images: int | None) -> None:
    stand = began()
    assert fed(stand, (1, "h", "b"), (1, "i", "a"), (2, "i", "a"), (3, "i", "a")) == ["seen final h", "many final i"]
    deployed(stand, B, images)
    stand.tick(CARRIED_MS - 1)
    assert told(stand) == []
    assert carried_images(stand)
    stand.tick(1)
    assert told(stand) == ["many resolved i"]
    assert carried_images(stand) == []
    deployed(stand, A, images)
    assert fed(stand, (4, "h", "b")) == ["seen final h"]


def test_it_is_dropped_also_when_nobody_works_meanwhile(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "b"), (1, "i", "a"), (2, "i", "a"), (3, "i", "a"))
    deployed(stand, B, images)
    stand.now += CARRIED_MS
    deployed(stand, B, images)
    assert carried_images(stand) == []
    assert stand.task.image(0, 1, 0).runs == {}
    deployed(stand, A, images)
    assert fed(stand, (4, "h", "b")) == ["seen final h"]


def test_the_end_of_an_episode_whose_definition_is_gone_says_why() -> None:
    stand = began()
    fed(stand, (1, "h", "a"), (2, "h", "a"), (3, "h", "a"))
    deployed(stand, B)
    stand.tick(CARRIED_MS)
    [resolved] = stand.results(stand.cut())
    assert (resolved["state"], resolved["reason"]) == ("resolved", "the definition of the trigger 'many' is gone")


def test_a_log_of_the_first_format_is_carried_from_when_it_is_met(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "b"))
    stand.log = [encode(_without_basis(entry)) for entry in stand.entries()]
    deployed(stand, B, images)
    stand.tick(CARRIED_MS - 1)
    fed(stand, (2, "h", "b"))
    deployed(stand, A, images)
    assert fed(stand, (3, "h", "b")) == []


def _without_basis(entry: Delta | Bucket) -> Delta | Bucket:
    if isinstance(entry, Delta):
        return Delta(header=entry.header, slots=entry.slots, facts=entry.facts, cells=entry.cells, runs=entry.runs)
    return Bucket(index=entry.index, of=entry.of, seq=entry.seq, slots=entry.slots, keys=entry.keys, runs=entry.runs)


def test_the_last_event_is_not_taken_for_a_later_one(images: int | None) -> None:
    """`quiet` looks at it when time passes. B keeps no last event: of the one that came meanwhile nothing is known."""
    stand = began(HEAD + QUIET)
    fed(stand, (1, "h", "b"), (2, "h", "b"), (2, "i", "b"), (2, "j", "b"))
    deployed(stand, B, images)
    fed(stand, (3, "h", "c"), (3, "k", "c"))
    deployed(stand, HEAD + QUIET, images)
    assert fed(stand, (20, "z", "c")) == ["quiet final i", "quiet final j"]


def test_keys_that_carry_nothing_have_images_as_ever(images: int | None) -> None:
    stand = began()
    fed(stand, (1, "h", "z"), (2, "i", "b"))
    deployed(stand, B, images)
    fed(stand, (3, "j", "b"))
    found = stand.task.image(0, 1, 0).keys
    assert {name: len(image) for name, image in found.items()} == {"h": 4, "i": 4, "j": 4}
    assert {name for name, image in found.items() if image[3]} == {"i"}


def test_the_log_says_what_is_known_and_what_is_retired() -> None:
    stand = began()
    fed(stand, (1, "h", "b"))
    deployed(stand, B)
    basis = stand.entries()[-1].basis
    assert basis is not None
    assert [identity.partition(":")[0] for identity in basis.known] == ["other", 'count(event.x == "z", 9s)']
    assert [identity.partition(":")[0] for identity in basis.retired] == ["seen"]
    assert set(basis.retired.values()) == {stand.now}
    stand.cut()
    assert stand.entries()[-1].basis is None
    assert [stand.task.image(index, 2, 0).basis for index in range(2)] == [basis, None]
