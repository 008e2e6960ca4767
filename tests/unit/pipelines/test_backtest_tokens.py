"""What a prompt is estimated to cost, and how much of it a prefix cache would hold."""

from __future__ import annotations

from penstock.operators.event import Ask, ChatRequest, Message
from penstock.operators.prefix import prompt_ids
from penstock.pipelines.backtest_tokens import ANSWER_TOKENS, TokenEstimate

SYSTEM = "You watch the logins of a host, and say what you make of them. " * 4


def ask(said: str, key: str = "k", **parameters: object) -> Ask:
    request = ChatRequest("tiny", (Message("system", SYSTEM), Message("user", said)), parameters)
    return Ask("call", "question", "run", key, "small", request, 1000)


def test_a_prompt_is_counted_whole_and_the_system_prompt_is_in_the_cache() -> None:
    usage = TokenEstimate().unanswered(ask("how are you"))
    assert usage.input_tokens == len(prompt_ids(ask("how are you").request.messages))
    assert 0 < usage.cached_input_tokens < usage.input_tokens


def test_a_prompt_that_goes_on_from_the_last_one_of_its_key_is_cached_as_far() -> None:
    estimate, story = TokenEstimate(), "event after event after event " * 30
    first = estimate.unanswered(ask(story))
    second = estimate.unanswered(ask(story + "and more"))
    assert second.cached_input_tokens > first.input_tokens - 32
    assert estimate.unanswered(ask(story, key="other")).cached_input_tokens == first.cached_input_tokens


def test_an_answer_has_the_usual_length_unless_the_request_bounds_it() -> None:
    assert TokenEstimate().unanswered(ask("x")).output_tokens == ANSWER_TOKENS
    assert TokenEstimate().unanswered(ask("x", max_tokens=7)).output_tokens == 7
