"""Runs in flight while the file changes: old ones finish as they began, new ones go by the new file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, CallLost, Effect, Usage
from penstock.state.codec import encode
from penstock.state.delta import Bucket, Delta, Header

A = """
penstock: v1
name: definitions
version: old
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
triggers:
  seen: {each: event.x == "a", agent: judge}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny, api_key: do-not-tell, request: {temperature: 0}}
  large: {base_url: "http://127.0.0.1:9/v1", model: huge}
agents:
  judge:
    models: [small, large]
    system: You are the old judge.
    ask: Was {{ key }} attacked?
    answer: {verdict: {enum: [attack, benign]}}
    limits: {time: 30s}
"""
B = (
    A.replace("old", "new")
    .replace("Was", "Is")
    .replace("{verdict: {enum: [attack, benign]}}", "{score: {type: integer}}")
    .replace("30s", "50s")
)
OLD, NEW = '{"verdict": "attack"}', '{"score": 7}'


@pytest.fixture(params=[None, 1, 2], ids=["from deltas", "from an image", "from images"])
def images(request: pytest.FixtureRequest) -> int | None:
    """Into how many buckets the keys are cut, leaving the log with nothing but their images; None: no images."""
    found: int | None = request.param
    return found


def deployed(stand: Stand, text: str, images: int | None = None) -> list[Ask]:
    """The task is opened by another definition; what it asks."""
    cut_off = len(stand.log)
    stand.cut()
    if images is not None:
        for index in range(images):
            stand.snapshot(index, images)
        del stand.log[:cut_off]
    effects = stand.reopen(plan_of(text))
    stand.cut("opened")
    return asks(effects)


def asks(effects: Sequence[Effect]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]


def prompt(ask: Ask) -> str:
    return "\n".join(message.content for message in ask.request.messages)


def fired(stand: Stand, time: int, host: str = "h") -> list[Ask]:
    return asks(stand.feed(stand.event(time, host=host, x="a")))


def answered(stand: Stand, ask: Ask, text: str) -> tuple[list[Ask], list[dict[str, Any]]]:
    """The answer comes: what is asked next, and what was told since the last time."""
    following = asks(stand.task.feed(Answered(ask.call_id, text, "stop", Usage())))
    return following, stand.results(stand.cut())


def began(text: str = A) -> Stand:
    stand = Stand(text)
    stand.cut("opened")
    return stand


def test_a_run_in_flight_is_asked_again_as_it_began_and_answers_as_it_was_asked(images: int | None) -> None:
    stand = began()
    [first] = fired(stand, 1)
    [again] = deployed(stand, B, images)
    assert again.request == msgspec.structs.replace(first.request, request_id=again.request.request_id)
    assert again.time_limit == 30_000
    _, [result] = answered(stand, again, OLD)
    assert (result["state"], result["answer"], result["attempt"]) == ("final", {"verdict": "attack"}, 2)
    assert (result["version"], result["definition"]) == ("old", plan_of(A).digest)


def test_a_new_run_goes_by_the_new_file_at_once(images: int | None) -> None:
    stand = began()
    fired(stand, 1)
    deployed(stand, B, images)
    [ask] = fired(stand, 2, "other")
    assert "You are the new judge." in prompt(ask)
    assert "Is other attacked?" in prompt(ask)
    _, [result] = answered(stand, ask, NEW)
    assert (result["state"], result["answer"]) == ("final", {"score": 7})
    assert (result["version"], result["definition"]) == ("new", plan_of(B).digest)


def test_runs_that_wait_for_another_one_keep_theirs_too(images: int | None) -> None:
    stand = began()
    fired(stand, 1)
    fired(stand, 2)
    [ask] = deployed(stand, B, images)
    assert fired(stand, 3) == []
    [second], [first_result] = answered(stand, ask, OLD)
    assert "You are the old judge." in prompt(second)
    [third], [second_result] = answered(stand, second, OLD)
    assert "You are the new judge." in prompt(third)
    _, [third_result] = answered(stand, third, NEW)
    assert [each["version"] for each in (first_result, second_result, third_result)] == ["old", "old", "new"]


def test_each_of_several_definitions_has_its_runs(images: int | None) -> None:
    stand = began()
    fired(stand, 1, "a")
    texts = [A.replace("old judge", f"judge {number}") for number in range(3)]
    for number, text in enumerate(texts):
        deployed(stand, text, images)
        fired(stand, 2 + number, f"b{number}")
    prompts = {ask.key: prompt(ask) for ask in deployed(stand, B, images)}
    assert [("old judge" if key == "a" else f"judge {key[1:]}") in text for key, text in prompts.items()] == [True] * 4


def test_the_log_holds_the_definitions_of_open_runs_and_no_others(images: int | None) -> None:
    stand = began()
    fired(stand, 1)
    [ask] = deployed(stand, B, images)
    assert held(stand) == {plan_of(A).digest, plan_of(B).digest}
    answered(stand, ask, OLD)
    deployed(stand, B, images)
    assert held(stand) == {plan_of(B).digest}


def held(stand: Stand) -> set[str]:
    basis = stand.entries()[-1].basis
    assert basis is not None
    return set(basis.definitions)


def test_what_a_model_is_and_where_it_is_asked_is_said_by_the_present_file() -> None:
    stand = began()
    fired(stand, 1)
    [again] = deployed(stand, B.replace("model: tiny", "model: tinier").replace("temperature: 0", "temperature: 1"))
    assert (again.endpoint, again.request.model) == ("small", "tinier")
    assert again.request.parameters["temperature"] == 1
    assert "You are the old judge." in prompt(again)


def test_a_model_that_is_gone_is_not_asked_any_more() -> None:
    stand = began()
    fired(stand, 1)
    without_small = B.replace("  small: {", "  tiny: {").replace("[small, large]", "[large]")
    [again] = deployed(stand, without_small)
    assert again.endpoint == "large"
    stand.task.feed(CallLost(again.call_id, "failed", "it is away"))
    [result] = stand.results(stand.cut())
    assert (result["state"], result["reason"]) == ("failed", "large: it is away")


def test_a_run_none_of_whose_models_is_left_fails_and_says_so(images: int | None) -> None:
    stand = began()
    fired(stand, 1)
    fired(stand, 2)
    others = B.replace("  small: {", "  tiny: {").replace("  large: {", "  huge: {").replace("[small, large]", "[tiny]")
    assert deployed(stand, others, images) == []
    outputs = [each for each in stand.entries() if isinstance(each, Delta)][-1].outputs
    results = [json.loads(each.value or b"") for each in outputs if each.topic == stand.plan.results.results]
    reason = (
        "the definition that it began under cannot be had any more: the file has no model 'small', 'large' any more"
    )
    assert [(each["state"], each["reason"], each["version"]) for each in results] == [("failed", reason, "old")] * 2
    assert stand.task.open_runs == 0


def test_a_run_whose_definition_the_log_does_not_hold_fails_and_says_so() -> None:
    """As those do that began under a version of Penstock that did not keep it."""
    stand = began()
    fired(stand, 1)
    stand.cut()
    stand.log = [encode(_without_basis(entry)) for entry in stand.entries()]
    assert deployed(stand, B) == []
    delta = stand.entries()[-1]
    assert isinstance(delta, Delta)
    reason = "the definition that it began under cannot be had any more: the log does not hold it"
    assert [json.loads(each.value or b"")["reason"] for each in delta.outputs] == [reason] * 2


def test_under_the_same_file_it_need_not_be_held() -> None:
    stand = began()
    fired(stand, 1)
    stand.cut()
    stand.log = [encode(_without_basis(entry)) for entry in stand.entries()]
    assert len(deployed(stand, A)) == 1


def _without_basis(entry: Delta | Bucket) -> Delta:
    assert isinstance(entry, Delta)
    header = Header(seq=entry.header.seq, incarnation=1, positions=entry.header.positions, clocks=entry.header.clocks)
    return Delta(header=header, slots=entry.slots, facts=entry.facts, cells=entry.cells, runs=entry.runs)


def test_addresses_keys_and_parameters_of_models_are_not_in_the_log() -> None:
    stand = began()
    fired(stand, 1)
    deployed(stand, B)
    written = b"".join(msgspec.msgpack.encode(entry) for entry in stand.entries())
    assert b"You are the old judge." in written
    for told in (b"do-not-tell", b"127.0.0.1", b"temperature"):
        assert told not in written
