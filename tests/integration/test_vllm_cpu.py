"""The client against vLLM itself, opt-in: what llama.cpp does not have (priority, cache_salt, block-wise prefix hits).

    PENSTOCK_VLLM_URL=http://127.0.0.1:8000/v1 PENSTOCK_VLLM_MODEL=tiny pytest tests/integration/test_vllm_cpu.py

The server is expected to run with `--scheduling-policy priority --enable-prompt-tokens-details`. Content is never asserted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest

from penstock.connectors.port import Piece
from penstock.connectors.vllm import VllmModel
from penstock.operators.error import CallInvalid, Unreachable
from penstock.operators.event import ChatRequest, Message

URL = os.environ.get("PENSTOCK_VLLM_URL", "")
NAME = os.environ.get("PENSTOCK_VLLM_MODEL", "tiny")

pytestmark = [
    pytest.mark.skipif(not URL, reason="set PENSTOCK_VLLM_URL to a vLLM server's /v1 to run these"),
    pytest.mark.timeout(300),
]

SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["attack", "benign"]}, "id": {"type": "string", "pattern": "^[a-z]{4}$"}},
    "required": ["verdict", "id"],
    "additionalProperties": False,
}


@pytest.fixture
async def model() -> AsyncIterator[VllmModel]:
    model = VllmModel("vllm", URL, model=NAME)
    yield model
    await model.close()


def request(text: str = "sensor anomaly", **changes: Any) -> ChatRequest:
    messages = (Message("system", "You watch one device."), Message("user", text))
    return ChatRequest(**{"model": NAME, "messages": messages, "parameters": {"max_tokens": 12}} | changes)


async def ask(model: VllmModel, asked: ChatRequest) -> tuple[str, Piece]:
    *pieces, last = [piece async for piece in model.stream(asked, timeout=120)]
    return "".join(piece.text for piece in pieces), last


async def test_an_answer_streams_with_its_usage(model: VllmModel) -> None:
    _, last = await ask(model, request(parameters={"max_tokens": 12, "ignore_eos": True}))
    assert last.finish == "length"
    assert last.usage is not None
    assert last.usage.output_tokens == 12


async def test_an_answer_is_held_to_the_schema(model: VllmModel) -> None:
    text, _ = await ask(model, request(schema=SCHEMA, parameters={"max_tokens": 200, "temperature": 1.0, "seed": 7}))
    jsonschema.validate(json.loads(text), SCHEMA)


async def test_a_salt_separates_prefix_caches(model: VllmModel) -> None:
    long = " ".join(f"sensor value {number}" for number in range(300))
    parameters = {"max_tokens": 1}
    _, first = await ask(model, request(long, cache_salt="a", parameters=parameters))
    _, again = await ask(model, request(long, cache_salt="a", parameters=parameters))
    _, other = await ask(model, request(long, cache_salt="b", parameters=parameters))
    assert first.usage is not None
    assert again.usage is not None
    assert other.usage is not None
    assert again.usage.cached_input_tokens > 0.8 * again.usage.input_tokens
    assert other.usage.cached_input_tokens <= first.usage.cached_input_tokens


async def test_priority_is_accepted(model: VllmModel) -> None:
    _, last = await ask(model, request(priority=-3))
    assert last.finish in ("stop", "length")


async def test_closing_the_generator_frees_the_seat(model: VllmModel) -> None:
    endless = request(parameters={"max_tokens": 4000, "ignore_eos": True})
    async with contextlib.aclosing(model.stream(endless, timeout=120)) as stream:
        await anext(stream)
    async with asyncio.timeout(60):
        _, last = await ask(model, request())
    assert last.finish in ("stop", "length")


async def test_refusals_are_told_with_their_remedy(model: VllmModel) -> None:
    with pytest.raises(CallInvalid, match="context"):
        await ask(model, request("sensor " * 40_000))
    with pytest.raises(CallInvalid, match=r"404.*does not exist"):
        await ask(model, request(model="nobody"))


async def test_the_probe_names_the_model(model: VllmModel) -> None:
    assert (await model.probe()).startswith(f"{NAME} by vllm")
    other = VllmModel("vllm", URL, model="nobody")
    with pytest.raises(Unreachable, match="does not serve nobody"):
        await other.probe()
    await other.close()
