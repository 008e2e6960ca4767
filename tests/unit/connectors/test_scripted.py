from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from penstock.connectors.port import Piece
from penstock.connectors.scripted import CutAfter, Overloaded, Refuse, Say, ScriptedModel, Step, Wait, answer_by_rules
from penstock.operators.error import Busy, CallFailed, CallInvalid, TimedOut
from penstock.operators.event import ChatRequest, Message, Usage

ANSWER = '{"verdict": "attack", "why": "größer"}'


def request(question: str = "attack?", salt: str | None = None) -> ChatRequest:
    system = Message("system", "You watch one host. " * 20)
    return ChatRequest("tiny", (system, Message("user", question)), {}, cache_salt=salt)


def model(*script: Step) -> ScriptedModel:
    return ScriptedModel(lambda request: ANSWER, script=script)


async def ask(model: ScriptedModel, asked: ChatRequest | None = None, timeout: float = 60) -> list[Piece]:
    return [piece async for piece in model.stream(asked or request(), timeout=timeout)]


def recorded_sleep(slept: list[float]) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return sleep


async def test_the_pieces_of_an_answer_join_to_it_and_the_last_one_closes_it() -> None:
    *pieces, last = await ask(model())
    assert "".join(piece.text for piece in pieces) == ANSWER
    assert all(piece.finish is None and piece.usage is None for piece in pieces)
    assert (last.text, last.finish, last.served_model, last.simulated) == ("", "stop", "tiny", True)


async def test_tokens_and_cached_tokens_are_counted() -> None:
    scripted = model()
    (first, *_), (second, *_) = [[piece.usage for piece in await ask(scripted) if piece.usage] for _ in range(2)]
    assert isinstance(first, Usage)
    assert first.cached_input_tokens == 0
    assert second.input_tokens == first.input_tokens > second.cached_input_tokens > 0
    assert second.output_tokens == len(await ask(scripted)) - 1


@pytest.mark.parametrize("cut", range(1, len(ANSWER) + 1))
async def test_an_answer_that_was_begun_is_continued(cut: int) -> None:
    begun = replace(request(), continued=ANSWER[:cut])
    *pieces, last = await ask(model(), begun)
    assert "".join(piece.text for piece in pieces) == ANSWER[cut:]
    (afresh,) = [piece.usage for piece in await ask(model()) if piece.usage]
    assert last.usage is not None
    assert last.usage.input_tokens > afresh.input_tokens


async def test_behind_somebody_elses_beginning_the_whole_answer_follows() -> None:
    pieces = await ask(model(), replace(request(), continued="I think"))
    assert "".join(piece.text for piece in pieces) == f" {ANSWER}"


async def test_prompts_under_different_salts_share_no_cache() -> None:
    scripted = model()
    await ask(scripted, request(salt="a"))
    (usage,) = [piece.usage for piece in await ask(scripted, request(salt="b")) if piece.usage]
    assert usage.cached_input_tokens == 0


async def test_a_script_is_followed_call_by_call_and_then_every_call_is_answered() -> None:
    scripted = model(Overloaded(1.5), CutAfter(3), Refuse("too long"), Say("nonsense", "length"))
    with pytest.raises(Busy) as busy:
        await ask(scripted)
    assert busy.value.retry_after == 1.5
    with pytest.raises(CallFailed, match="cut after 3 pieces"):
        await ask(scripted)
    with pytest.raises(CallInvalid, match="too long"):
        await ask(scripted)
    assert [piece.text for piece in await ask(scripted)] == ["nonsen", "se", ""]
    assert "".join(piece.text for piece in await ask(scripted)) == ANSWER
    assert [call.state for call in scripted.calls] == ["failed", "failed", "failed", "finished", "finished"]
    assert len(scripted.calls[1].text) > 0


async def test_a_script_by_prompt_does_not_depend_on_the_order_of_asking() -> None:
    scripted = ScriptedModel(lambda request: ANSWER, script=lambda asked, before: None if before else Overloaded())
    for question in ("a", "b"):
        with pytest.raises(Busy):
            await ask(scripted, request(question))
    for question in ("b", "a"):
        await ask(scripted, request(question))
    assert (scripted.count("failed"), scripted.count("finished")) == (2, 2)


async def test_a_closed_stream_is_cancelled_in_the_ledger() -> None:
    scripted = model()
    async with contextlib.aclosing(scripted.stream(request(), timeout=60)) as stream:
        await anext(stream)
    assert scripted.count("cancelled") == 1


async def test_a_wait_shorter_than_the_limit_is_only_a_wait() -> None:
    slept: list[float] = []
    scripted = ScriptedModel(lambda request: ANSWER, script=[Wait(5)], sleep=recorded_sleep(slept))
    await ask(scripted, timeout=60)
    assert slept[0] == 5


async def test_a_wait_beyond_the_limit_times_out_at_the_limit() -> None:
    slept: list[float] = []
    scripted = ScriptedModel(lambda request: ANSWER, script=[Wait(1000)], sleep=recorded_sleep(slept))
    with pytest.raises(TimedOut):
        await ask(scripted, timeout=60)
    assert slept == [60]


async def test_an_endless_answer_times_out() -> None:
    slept: list[float] = []
    scripted = ScriptedModel(lambda request: "word " * 1000, seconds_per_piece=1, sleep=recorded_sleep(slept))
    with pytest.raises(TimedOut):
        await ask(scripted, timeout=30)
    assert sum(slept) == 30
    assert scripted.count("failed") == 1


async def test_rules_answer_by_what_the_prompt_holds() -> None:
    answer = answer_by_rules({"attack": {"verdict": "attack"}, "hello": "hi"}, otherwise={"verdict": "unclear"})
    assert answer(request("is this an attack?")) == '{"verdict": "attack"}'
    assert answer(request("hello")) == "hi"
    assert answer(request("?")) == '{"verdict": "unclear"}'


async def test_the_probe_says_that_it_is_no_model() -> None:
    assert "simulated" in await model().probe()
