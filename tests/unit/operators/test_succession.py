"""One definition after another on one log: what the present one does not know is carried through, for a while.

A ──▶ B, which knows neither `many` nor `seen` ──▶ A again
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.carried import CARRIED_MS
from penstock.operators.error import Superseded
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


def test_a_debounce_that_is_over_fires_when_its_definition_comes_back(images: int | None) -> None:
    settled = HEAD + OTHER + SEEN.replace("cooldown: 50s", "debounce: 5s")
    stand = began(settled)
    fed(stand, (1, "h", "b"), (1, "i", "b"))
    deployed(stand, B, images)
    fed(stand, (20, "h", "c"))
    deployed(stand, settled, images)
    found = [each for each in stand.entries() if isinstance(each, Delta)][-1].outputs
    assert len(found) == 4, "for each of the two one record on results, one on partials"
    assert all(b"timer@6000" in (output.value or b"") for output in found)


def test_a_wait_goes_on_when_its_definition_comes_back(images: int | None) -> None:
    lasting = HEAD + OTHER + "  hot: {when: 'event.x == \"b\"', for: 9s, cooldown: 0s, agent: none}\n"
    stand = began(lasting)
    fed(stand, (1, "h", "b"))
    deployed(stand, B, images)
    fed(stand, (4, "i", "c"))
    deployed(stand, lasting, images)
    assert fed(stand, (9, "h", "b"), (9, "i", "c")) == []
    assert fed(stand, (10, "i", "c")) == ["hot final h"]


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


# --- what state cannot follow ---------------------------------------------------------------------------------------

FLOW = "  flow: {topic: flow, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}\n"
TWO = B.replace("triggers:", f"{FLOW}triggers:")


def refusal(before: str, *after: str) -> str:
    """The sentence with which the last of these definitions is refused on the state of those before it."""
    stand = began(before)
    fed(stand, (1, "h", "z"))
    for text in after[:-1]:
        deployed(stand, text)
    written = len(stand.log)
    with pytest.raises(Superseded) as refused:
        stand.reopen(plan_of(after[-1]))
    assert len(stand.log) == written
    assert refused.value.exit_code == 4
    return str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("key: event.host", "key: event.user", "the key of topic auth was event.host and is event.user now"),
        ("key: event.host, ", "", "the key of topic auth was event.host and is the record's key now"),
        ("event.host", "[event.host, event.user]", "was event.host and is [event.host, event.user] now"),
        ("unit: s", "unit: ms", "the time of topic auth was event.t in s and is event.t in ms now"),
        ("time: {at: event.t, unit: s}, ", "", "was event.t in s and is the record's timestamp now"),
    ],
)
def test_another_key_or_another_time_is_refused_with_the_way_out(old: str, new: str, sentence: str) -> None:
    told = refusal(B, B.replace(old, new))
    assert told.startswith("dev.succession.log/3: the file says otherwise than the state in the log: ")
    assert sentence in told
    assert told.endswith("(take that back, or begin afresh under another name or namespace)")


def test_a_derived_field_that_the_key_reads_is_part_of_the_key() -> None:
    derived = B.replace("key: event.host", "derive: {host: event.a, b: event.host}, key: event.b")
    told = refusal(derived, derived.replace("event.a", "event.c"))
    assert (
        "was event.b where event.host = event.a, event.b = event.host and is event.b where event.host = event.c" in told
    )
    other = derived.replace("b: event.host}", "b: event.host, c: event.x}")
    deployed(deployed(began(derived), other), other.replace("c: event.x", "c: event.y"))


def test_an_input_that_comes_back_has_the_key_that_it_had() -> None:
    assert "the key of topic flow was event.host and is event.user now" in refusal(
        TWO, B, TWO.replace("flow, key: event.host", "flow, key: event.user")
    )
    assert "the key of topic auth was event.host and is event.ip now; the time of topic auth was" in refusal(
        B, B.replace("key: event.host, time: {at: event.t, unit: s}", "key: event.ip, time: event.t")
    )


@pytest.mark.parametrize(
    "after",
    [
        TWO,
        B.replace("auth: {topic", "logins: {topic"),
        B.replace("key: event.host", "key: ' event.host'"),
        B.replace("key: event.host", "key: who").replace("triggers:", "define: {who: event.host}\ntriggers:"),
        B.replace("delay: 0s", "delay: 5s, lateness: 1m"),
        B.replace("key: event.host", "ignore: event.x == 'c', key: event.host"),
    ],
    ids=["another input", "another name", "spaces", "a definition", "watermark", "ignore"],
)
def test_state_follows_what_means_the_same_key_and_the_same_time(after: str) -> None:
    stand = began(B)
    fed(stand, (1, "h", "z"), (2, "h", "z"))
    deployed(stand, after)
    assert "other final h" in fed(stand, (3, "h", "z"))


def test_a_log_that_does_not_say_what_it_rests_on_is_taken_at_the_files_word() -> None:
    stand = began(B)
    stand.log = [encode(_without_basis(entry)) for entry in stand.entries()]
    deployed(stand, B.replace("event.host", "event.user"))
    with pytest.raises(Superseded, match=r"event\.user and is event\.host"):
        stand.reopen(plan_of(B))
