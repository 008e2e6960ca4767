"""Vectors of texts over the wire: what is asked at once travels together, and what goes wrong for one is not lost for all."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.unit.connectors.test_vllm import Stub, serving

from penstock.connectors.port import Piece
from penstock.connectors.vllm import VllmModel
from penstock.connectors.vllm_embed import TEXTS_MAX, shared
from penstock.operators.error import Busy, CallFailed, CallInvalid, ModelError, TimedOut
from penstock.operators.event import EmbedRequest, Message, Usage

Answer = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


def request(text: str, **parameters: Any) -> EmbedRequest:
    return EmbedRequest("bge", (Message("user", text),), parameters, request_id="r1")


async def vector(model: VllmModel, text: str, timeout: float = 5, **parameters: Any) -> Piece:
    [piece] = [piece async for piece in model.stream(request(text, **parameters), timeout=timeout)]
    return piece


def told(texts: list[str], **more: Any) -> web.Response:
    """A vector of each text that tells its length, in another order than asked."""
    data = [{"index": index, "object": "embedding", "embedding": [len(text), 1.5]} for index, text in enumerate(texts)]
    usage = {"prompt_tokens": sum(map(len, texts)), "total_tokens": 99}
    return web.json_response({"object": "list", "model": "bge-1", "data": data[::-1], "usage": usage} | more)


@contextlib.asynccontextmanager
async def embedding(answer: Answer) -> AsyncIterator[tuple[VllmModel, Stub]]:
    async def handler(asked: web.Request) -> web.StreamResponse:
        assert asked.path == "/v1/embeddings"
        return await answer(await asked.json())

    async with serving(handler) as stub:
        model = VllmModel("embed", stub.base_url, model="bge")
        try:
            yield model, stub
        finally:
            await model.close()


async def every_text(asked: dict[str, Any]) -> web.StreamResponse:
    return told(asked["input"])


async def test_a_text_comes_back_as_its_vector() -> None:
    async with embedding(every_text) as (model, stub):
        piece = await vector(model, "abc", truncate_prompt_tokens=-1, temperature=0)
    assert stub.bodies == [{"model": "bge", "truncate_prompt_tokens": -1, "input": ["abc"], "encoding_format": "float"}]
    assert piece == Piece("", "stop", Usage(3, 0, 0), "bge-1", False, vector=(3.0, 1.5))
    assert stub.headers[0]["X-Request-ID"].startswith("r1.")


async def test_texts_that_are_asked_for_at_once_travel_together() -> None:
    texts = ["a" * length for length in range(1, TEXTS_MAX + 5)]
    async with embedding(every_text) as (model, stub):
        pieces = await asyncio.gather(*(vector(model, text) for text in texts))
    assert [piece.vector[0] for piece in pieces] == [len(text) for text in texts]
    assert [len(body["input"]) for body in stub.bodies] == [TEXTS_MAX, 4]
    assert [piece.usage for piece in pieces] == [Usage(len(text), 0, 0) for text in texts]


async def test_a_text_that_is_refused_does_not_take_others_along() -> None:
    async def refusing(asked: dict[str, Any]) -> web.StreamResponse:
        if "bad" in asked["input"]:
            return web.json_response({"error": {"message": "too long", "code": 400}}, status=400)
        return told(asked["input"])

    async with embedding(refusing) as (model, stub):
        found = await asyncio.gather(*(vector(model, text) for text in ("a", "bad", "ab")), return_exceptions=True)
    assert [type(each) for each in found] == [Piece, CallInvalid, Piece]
    assert [body["input"] for body in stub.bodies] == [["a", "bad", "ab"], ["a"], ["bad"], ["ab"]]


async def test_who_does_not_wait_any_more_is_left_out() -> None:
    async with embedding(every_text) as (model, stub):
        gone, stays = asyncio.create_task(vector(model, "gone")), asyncio.create_task(vector(model, "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays).vector == (5.0, 1.5)
    assert [body["input"] for body in stub.bodies] == [["stays"]]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: web.json_response({"error": "wait"}, status=503), Busy),
        (lambda: web.json_response({"error": "oh"}, status=500), CallFailed),
        (lambda: web.json_response({"error": "no such model"}, status=404), CallInvalid),
        (lambda: web.json_response({"data": [{"embedding": [1], "index": 1}]}), CallFailed),
        (lambda: web.json_response({"data": []}), CallFailed),
        (lambda: web.json_response({"data": [{"embedding": ["a"], "index": 0}]}), CallFailed),
        (lambda: web.Response(body=b'{"data"', content_type="application/json"), CallFailed),
        (lambda: web.Response(text="hello"), CallInvalid),
        (lambda: web.Response(status=302, headers={"Location": "http://elsewhere/"}), CallInvalid),
    ],
)
async def test_whatever_goes_wrong_is_an_error_of_the_model(
    answer: Callable[[], web.Response], error: type[ModelError]
) -> None:
    async def wrong(asked: dict[str, Any]) -> web.StreamResponse:
        return answer()

    async with embedding(wrong) as (model, _):
        with pytest.raises(error):
            await vector(model, "a")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def silent(asked: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(30)
        return told(asked["input"])

    async with embedding(silent) as (model, _):
        with pytest.raises(TimedOut):
            await vector(model, "a", timeout=0.2)


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    model = VllmModel("embed", "http://127.0.0.1:9/v1", model="bge")
    with pytest.raises(CallFailed, match="cannot be reached"):
        await vector(model, "a")
    await model.close()


async def test_closing_lets_nobody_wait() -> None:
    begun = asyncio.Event()

    async def silent(asked: dict[str, Any]) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(30)
        return told(asked["input"])

    async with embedding(silent) as (model, _):
        waiting = asyncio.create_task(vector(model, "a"))
        await begun.wait()
        await model.close()
        with pytest.raises(CallFailed):
            await waiting


def test_tokens_are_shared_by_length_and_none_is_lost() -> None:
    assert shared(10, [1, 1, 2]) == [2, 3, 5]
    assert shared(7, [0, 0]) == [0, 7]
    assert shared(0, [3]) == [0]
    assert json.dumps(shared(5, [])) == "[]"
