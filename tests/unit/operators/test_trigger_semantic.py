"""Events that a model judges: what is asked, in which order it is decided, what is told of it.

fed           a      b      c
asked         ├──────────────────▶ furious        b is answered first and waits
                     ├──────▶ calm
                            ├────────▶ furious
told                              a, then b, then c, each as of its own time
"""

from __future__ import annotations

import json
from math import log
from typing import Any

import pytest
from tests.oracle.product import milliseconds
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, CallLost, Cancel, ChatRequest, Effect, Ended, Usage
from penstock.operators.question import TEXT_CHARACTERS_MAX, likelihoods

FILE = """
penstock: v1
name: desk
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never, lateness: 5s}}
define: {words: event.words}
triggers:
  angry:
    semantic: event.text
    where: event.role == "customer"
    model: small
    options: [calm, annoyed, furious]
    is: furious
    %s
    annotations: {told: "{{ values.label }} {{ values.probability }} {{ values.words }}"}
    agent: none
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny, price: {input: 1, output: 2}, request: {max_tokens: 9, seed: 7}}
"""
PLAIN = FILE % "labels: {kind: mood}"
FURIOUS = (("furious", log(0.75)), ("calm", log(0.25)))
CALM = (("calm", log(0.9)), ("fur", log(0.1)))
USAGE = Usage(100, 64, 1)


def customer(stand: Stand, time: int, text: Any = "no", **fields: Any) -> list[Ask]:
    return asks(stand.feed(stand.event(time, role="customer", text=text, words=time, **fields)))


def asks(effects: list[Effect]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]


def answer(stand: Stand, ask: Ask, tops: Any = FURIOUS, usage: Usage = USAGE) -> list[Effect]:
    return stand.task.feed(Answered(ask.call_id, "furious", "length", usage, "tiny", tops=tops))


def told(stand: Stand) -> list[dict[str, Any]]:
    return stand.results(stand.cut())


def seconds(stand: Stand) -> list[int]:
    """Event times of what is told now."""
    cut = stand.cut()
    times = {output.id: dict(output.headers)["ce_time"].decode() for output in cut.outputs}
    return [milliseconds(times[f"{each['run']}/{each['rev']}"]) // 1000 for each in stand.results(cut)]


def test_an_event_is_asked_about_and_told_when_the_answer_has_come() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 7, "Where IS it?!")
    assert told(stand) == []
    assert (ask.endpoint, ask.judges, ask.run, ask.key) == ("small", "angry", "", "h")
    request = ask.request
    assert isinstance(request, ChatRequest)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[0].content.endswith("nothing else: calm, annoyed, furious")
    assert request.messages[1].content == "Where IS it?!"
    assert request.parameters == {"temperature": 0, "max_tokens": 1, "seed": 7, "logprobs": True, "top_logprobs": 20}
    answer(stand, ask)
    [result] = told(stand)
    assert result["why"]["values"] == {"label": "furious", "probability": 0.75, "words": 7}
    assert result["annotations"] == {"told": "furious 0.75 7"}
    assert (result["why"]["fired_by"], result["why"]["condition"]) == ("auth/3@0", "semantic: event.text is furious")
    assert result["labels"] == {"kind": "mood"}


def test_what_it_cost_is_in_the_result_and_counted() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 7)
    answer(stand, ask)
    [result] = told(stand)
    cost = (100 * 1 + 1 * 2) / 1_000_000
    usage = {"calls": 1, "input_tokens": 100, "cached_input_tokens": 64, "output_tokens": 1, "cost": cost}
    assert result["usage"] == {**usage, "currency": None}
    [call] = result["why"]["route"]
    assert (call["model"], call["outcome"], call["simulated"]) == ("small", "answered", False)
    counted = stand.task.counters
    assert (counted["judgements", "angry"], counted["judgement_tokens", "angry"]) == (1, 101)


def test_events_that_are_not_asked_about_are_not_judged() -> None:
    stand = Stand(PLAIN)
    stand.feed(stand.event(1, role="agent", text="furious"))
    assert customer(stand, 2, None) == customer(stand, 3, 17) == []
    stand.feed(stand.event(4, role="customer"))
    assert stand.task.counters["expression_errors", "event.text"] == 2
    assert stand.task.counters["expression_unknown", "event.text"] == 1
    assert stand.task.open_runs == 0


def test_it_fires_for_no_other_option() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 1)
    answer(stand, ask, CALM)
    assert told(stand) == []
    assert stand.task.open_runs == 0


def test_a_threshold_is_how_likely_the_option_has_to_be() -> None:
    stand = Stand(FILE % "threshold: 0.1")
    [ask] = customer(stand, 1)
    answer(stand, ask, CALM)
    assert told(stand)[0]["why"]["values"]["probability"] == 0.1


def test_questions_of_one_key_are_decided_in_the_order_of_its_events() -> None:
    stand = Stand(PLAIN)
    [first] = customer(stand, 1, "a")
    [second] = customer(stand, 2, "b")
    [third] = customer(stand, 3, "c")
    [other] = customer(stand, 4, "d", host="other")
    answer(stand, second)
    answer(stand, third)
    assert seconds(stand) == []
    answer(stand, other)
    assert seconds(stand) == [4]
    answer(stand, first)
    assert seconds(stand) == [1, 2, 3]


def test_a_cooldown_counts_from_event_to_event_whatever_comes_first() -> None:
    """events a2 b4 c7, cooldown 5: b is held back by a, c is not."""
    stand = Stand(FILE % "cooldown: 5s")
    [first] = customer(stand, 2, "a")
    [second] = customer(stand, 4, "b")
    [third] = customer(stand, 7, "c")
    for ask in (third, second, first):
        answer(stand, ask)
    assert seconds(stand) == [2, 7]
    assert stand.task.counters["suppressed", "angry"] == 1


def test_equal_texts_are_asked_about_once() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 1, "a")
    assert customer(stand, 2, "a") == customer(stand, 2, "a", host="other") == []
    answer(stand, ask)
    assert customer(stand, 3, "a") == []
    results = told(stand)
    assert [each["usage"]["input_tokens"] for each in results] == [100, 0, 0, 0]
    assert [each["usage"]["cost"] for each in results] == [0.000102, 0, 0, 0]
    assert [each["why"]["route"][0]["outcome"] for each in results] == ["answered", "known", "known", "known"]
    counted = stand.task.counters
    assert (counted["judgements", "angry"], counted["judged_before", "angry"]) == (1, 3)


def test_a_call_that_is_lost_fires_nothing_and_holds_nothing_up() -> None:
    stand = Stand(PLAIN)
    [first] = customer(stand, 1, "a")
    [second] = customer(stand, 2, "b")
    answer(stand, second)
    stand.task.feed(CallLost(first.call_id, "timed_out", "no answer", spent=60_000))
    assert seconds(stand) == [2]
    assert stand.task.counters["unjudged", "angry"] == 1
    assert len(customer(stand, 3, "a")) == 1  # it is not known what it is


def test_an_answer_that_says_nothing_is_counted_as_none() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 1)
    answer(stand, ask, (("<think>", -0.0001), ("fur", -9.0)))
    assert told(stand) == []
    assert stand.task.counters["unjudged", "angry"] == 1


def test_a_question_survives_a_restart_under_the_same_id() -> None:
    stand = Stand(PLAIN)
    [first] = customer(stand, 1, "a")
    [second] = customer(stand, 2, "b")
    answer(stand, second)
    stand.cut()
    [again] = asks(stand.reopen())
    assert again == first
    assert stand.task.open_runs == 2
    answer(stand, again)
    results = told(stand)
    assert [each["why"]["fired_by"] for each in results] == ["auth/3@0", "auth/3@1"]
    assert results[1]["why"]["values"] == {"label": "furious", "probability": 0.75, "words": 2}
    assert results[1]["usage"]["input_tokens"] == 100


def test_a_question_survives_in_a_snapshot() -> None:
    stand = Stand(PLAIN)
    [first] = customer(stand, 1, "a")
    stand.cut()
    stand.snapshot(0, 1)
    stand.trim()
    assert asks(stand.reopen()) == [first]


def test_an_answer_that_comes_twice_changes_state_once() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 1)
    answer(stand, ask)
    assert len(told(stand)) == 1
    answer(stand, ask)
    assert told(stand) == []


def test_what_a_forgotten_key_asked_is_cancelled_and_counted() -> None:
    stand = Stand(PLAIN.replace("triggers:", "context: {forget: 60s}\ntriggers:"))
    [ask] = customer(stand, 1, "a")
    [shared] = customer(stand, 2, "b")
    customer(stand, 55, "b", host="other")
    effects = stand.feed(stand.event(70, host="other"))
    assert effects == [Cancel(ask.call_id)]
    assert stand.task.counters["unjudged", "angry"] == 2
    assert stand.task.open_runs == 1
    answer(stand, ask)
    answer(stand, shared)
    assert [each["key"] for each in told(stand)] == ["other"]


def test_a_part_of_a_key_waits_for_itself() -> None:
    stand = Stand(FILE % "by: event.ip")
    [one] = customer(stand, 1, "a", ip="1")
    [two] = customer(stand, 2, "b", ip="2")
    answer(stand, two)
    assert [each["by"] for each in told(stand)] == ["2"]
    [again] = asks(stand.reopen())
    answer(stand, again)
    assert [each["by"] for each in told(stand)] == ["1"]
    assert again == one
    key = stand.task.key("h")
    assert key is not None
    assert key.groups is not None
    assert len(key.groups) == 0, "what remembers nothing is gone"


def test_a_result_that_comes_after_the_end_did_not_need_it() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 1)
    stand.task.feed(Ended(stand.now))
    answer(stand, ask)
    assert [each["end"] for each in told(stand)] == [False]


def test_combinations_hear_of_it() -> None:
    either = "  either: {any: [angry], agent: none}\nmodels:"
    stand = Stand(PLAIN.replace("models:", either))
    [ask] = customer(stand, 1)
    answer(stand, ask)
    assert [each["triggers"] for each in told(stand)] == [["angry"], ["either"]]


def test_an_agent_reasons_about_what_was_known_at_the_event() -> None:
    agents = "agents: {calm_down: {ask: 'What now? {{ values.label }}'}}\nmodels:"
    stand = Stand(PLAIN.replace("agent: none", "agent: calm_down").replace("models:", agents))
    [ask] = customer(stand, 1, "Grr")
    stand.feed(stand.event(2, role="agent", text="Sorry"))
    [question] = asks(answer(stand, ask))
    assert isinstance(question.request, ChatRequest)
    asked = question.request.messages[-1].content
    assert "Grr" in asked
    assert "Sorry" not in asked
    assert "What now? furious" in asked
    stand.task.feed(Answered(question.call_id, "Smile.", "stop", Usage(10, 0, 3), simulated=True))
    [result] = told(stand)
    assert [call["model"] for call in result["why"]["route"]] == ["small", "small"]
    assert (result["usage"]["calls"], result["usage"]["input_tokens"]) == (2, 110)


def test_of_a_long_text_the_beginning_is_asked_about() -> None:
    stand = Stand(PLAIN)
    [ask] = customer(stand, 1, "a" * 20_000)
    assert isinstance(ask.request, ChatRequest)
    assert len(ask.request.messages[1].content) == TEXT_CHARACTERS_MAX


def test_state_is_written_as_builtins() -> None:
    stand = Stand(PLAIN)
    [first] = customer(stand, 1, "a")
    [second] = customer(stand, 2, "b")
    answer(stand, second)
    [cell] = stand.cut().delta.cells["h"].values()
    assert json.loads(json.dumps(cell)) == cell
    assert [question[1] for question in cell[0]] == ["a", ""], "a text that was judged is not kept"
    assert first.call_id == f"3-{cell[0][0][0]}"


@pytest.mark.parametrize(
    ("tops", "expected"),
    [
        ([("furious", 0.75), ("calm", 0.25)], (0.25, 0, 0.75)),
        ([(" Fur", 0.5), ("fu", 0.25), ('"c', 0.25)], (0.25, 0, 0.75)),
        ([("Calm", 0.2), ("I", 0.4), ("annoy", 0.2)], (0.5, 0.5, 0)),
        ([("calmly", 0.9), ("furious", 0.1)], (0, 0, 1)),
        ([("I", 0.99), ("furious", 0.01)], ()),
        ([("", 0.9), (" ", 0.1)], ()),
        ([], ()),
    ],
)
def test_a_token_counts_for_the_option_that_it_begins(
    tops: list[tuple[str, float]], expected: tuple[float, ...]
) -> None:
    logprobs = tuple((token, log(probability)) for token, probability in tops)
    assert tuple(likelihoods(("calm", "annoyed", "furious"), logprobs)) == expected


def test_a_token_that_begins_two_options_counts_for_none() -> None:
    tops = (("ne", log(0.5)), ("neg", log(0.25)), ("neutral", log(0.25)))
    assert tuple(likelihoods(("negative", "neutral"), tops)) == (0.5, 0.5)
