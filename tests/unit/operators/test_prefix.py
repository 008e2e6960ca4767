"""The simulator against the rules of vLLM's cache, and against shares that were measured on a vLLM server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.event import Message
from penstock.operators.prefix import PrefixCache, pieces, prompt_ids, token_ids

SYSTEM = "You watch the logins of one host and decide whether it is under attack. Be brief and cite numbers. " * 10


def event(number: int) -> str:
    who = f'"host":"LabSZ","user":"user{number % 7}","ip":"10.0.{number % 200}.7"'
    return f'{{"ts":{1700000000 + number},{who},"outcome":"failed"}}\n'


def window(first: int, last: int) -> str:
    return "".join(event(number) for number in range(first, last))


def share(prompt: Callable[[int], tuple[str, str]], steps: int = 60) -> float:
    cache = PrefixCache()
    for step in range(steps):
        system, user = prompt(step)
        cache.lookup_and_add(prompt_ids([Message("system", system), Message("user", user)]))
    return cache.cached_tokens / cache.queried_tokens


@given(st.text())
def test_pieces_are_the_text_cut_and_nothing_else(text: str) -> None:
    assert b"".join(pieces(text)) == text.encode("utf-8", "surrogatepass")


@given(st.text())
def test_every_piece_is_whole_characters(text: str) -> None:
    assert "".join(piece.decode("utf-8", "surrogatepass") for piece in pieces(text)) == text


@given(st.text(), st.text())
def test_appending_changes_at_most_the_last_token(text: str, more: str) -> None:
    before = token_ids(text)[:-1]
    assert token_ids(text + more)[: len(before)] == before


def test_an_answer_that_was_begun_follows_its_opening() -> None:
    question = [Message("user", "Well?")]
    assert prompt_ids(question, "It is") == prompt_ids(question) + token_ids("It is")


def test_ids_do_not_depend_on_the_process() -> None:
    assert list(token_ids("failed password")) == [2659951479, 1877999453, 370126026]


def test_a_repeated_prompt_is_cached_but_for_its_last_token() -> None:
    cache = PrefixCache(block=16)
    assert cache.lookup_and_add(range(64)) == 0
    assert cache.lookup_and_add(range(64)) == 48  # the 64th token is computed, so its block is
    assert cache.lookup_and_add(range(65)) == 64


def test_only_full_blocks_from_the_start_are_reused() -> None:
    cache = PrefixCache(block=4)
    cache.lookup_and_add([1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert cache.lookup_and_add([1, 2, 3, 4, 5, 6, 0, 8, 9]) == 4
    assert cache.lookup_and_add([0, 2, 3, 4, 5, 6, 7, 8, 9]) == 0


@pytest.mark.parametrize("count", [0, 1, 15, 16])
def test_a_prompt_of_no_more_than_one_block_is_never_cached(count: int) -> None:
    cache = PrefixCache(block=16)
    assert [cache.lookup_and_add(range(count)) for _ in range(3)] == [0, 0, 0]


def test_prompts_under_different_salts_share_nothing() -> None:
    cache = PrefixCache(block=4)
    cache.lookup_and_add(range(20), salt="a")
    assert cache.lookup_and_add(range(20), salt="b") == 0
    assert cache.lookup_and_add(range(20), salt="a") == 16


def test_the_cache_holds_no_more_than_its_capacity_and_drops_tails_first() -> None:
    cache = PrefixCache(block=4, capacity_blocks=5)
    cache.lookup_and_add(range(100, 117))
    cache.lookup_and_add(range(8))
    assert len(cache) == 5
    assert cache.lookup_and_add(range(100, 117)) == 12


def test_a_prompt_larger_than_the_cache_keeps_its_head() -> None:
    cache = PrefixCache(block=4, capacity_blocks=3)
    cache.lookup_and_add(range(100))
    assert len(cache) == 3
    assert cache.lookup_and_add(range(100)) == 12


def test_a_cache_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PrefixCache(block=0)


@pytest.mark.parametrize(
    ("layout", "prompt", "low", "high"),
    [
        ("append only", lambda step: (SYSTEM, window(0, 40 + step)), 0.94, 0.99),
        ("sliding window", lambda step: (SYSTEM, window(step, 40 + step)), 0.04, 0.20),
        ("newest first", lambda step: (SYSTEM, "".join(map(event, range(40 + step, 0, -1)))), 0.04, 0.20),
        ("time in the system prompt", lambda step: (f"It is {step}:00. {SYSTEM}", window(0, 40 + step)), 0.0, 0.01),
        ("counts after the events", lambda step: (SYSTEM, f"{window(0, 40 + step)}{step} failures"), 0.94, 0.99),
        ("counts before the events", lambda step: (SYSTEM, f"{step} failures\n{window(0, 40 + step)}"), 0.04, 0.20),
        ("a quarter evicted at a time", lambda step: (SYSTEM, window(step // 10 * 10, 40 + step)), 0.80, 0.92),
    ],
)
def test_shares_agree_with_those_measured_on_vllm(
    layout: str, prompt: Callable[[int], tuple[str, str]], low: float, high: float
) -> None:
    assert low <= share(prompt) <= high, layout
