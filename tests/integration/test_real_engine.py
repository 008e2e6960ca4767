"""The client against a real inference server: llama.cpp with a random model. Protocol is asserted, never content."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import selectors
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from math import exp
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from penstock.connectors.port import Piece
from penstock.connectors.vllm import VllmModel
from penstock.operators.agent_plan import EndpointPlan
from penstock.operators.error import CallInvalid, TimedOut, Unreachable
from penstock.operators.event import ChatRequest, Message
from penstock.operators.question import TOPS, option_request

SERVER = Path(__file__).with_name("tiny_model_server.py")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "tiny-model"
START_S_MAX = 60.0
MISSING = [name for name in ("xllamacpp", "gguf", "tokenizers", "numpy") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.timeout(120),
]

SCHEMA = {
    "type": "object",
    "properties": {
        "severity": {"enum": ["low", "medium", "high"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 100},
        "id": {"type": "string", "pattern": "^[a-z]{4}$"},
    },
    "required": ["severity", "score", "id"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("engine") / "log.txt"
    with (
        log.open("wb") as errors,
        subprocess.Popen([sys.executable, SERVER, CACHE], stdout=subprocess.PIPE, stderr=errors) as server,
    ):
        try:
            yield first_line(server) or pytest.fail(f"no model server: {log.read_text()[-2000:]}")
        finally:
            server.kill()


def first_line(server: subprocess.Popen[bytes]) -> str:
    """Empty when the server died or took too long."""
    assert server.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(server.stdout, selectors.EVENT_READ)
        return os.read(server.stdout.fileno(), 4096).decode().strip() if selector.select(START_S_MAX) else ""


@pytest.fixture
async def model(base_url: str) -> AsyncIterator[VllmModel]:
    model = VllmModel("small", base_url, model="tiny")
    yield model
    await model.close()


def request(text: str = "sensor anomaly", **changes: Any) -> ChatRequest:
    messages = (Message("system", "You watch one device."), Message("user", text))
    return ChatRequest(**{"model": "tiny", "messages": messages, "parameters": {"max_tokens": 12, "seed": 1}} | changes)


async def ask(model: VllmModel, asked: ChatRequest, timeout: float = 60) -> tuple[str, Piece]:
    *pieces, last = [piece async for piece in model.stream(asked, timeout=timeout)]
    return "".join(piece.text for piece in pieces), last


async def test_the_likeliest_first_tokens_come_with_their_log_probabilities(model: VllmModel) -> None:
    endpoint = EndpointPlan("small", "tiny", {"max_tokens": 1}, None)
    _, last = await ask(model, option_request(endpoint, "sensor anomaly", ("calm", "furious")))
    assert len(last.tops) == TOPS
    assert all(token and logprob <= 0 for token, logprob in last.tops)
    assert sum(exp(logprob) for _, logprob in last.tops) <= 1.001
    assert last.usage is not None
    assert last.usage.output_tokens == 1


async def test_an_answer_streams_with_its_usage(model: VllmModel) -> None:
    parameters = {"max_tokens": 12, "ignore_eos": True}
    pieces = [piece async for piece in model.stream(request(parameters=parameters), timeout=60)]
    last = pieces[-1]
    assert len(pieces) > 2
    assert last.finish == "length"
    assert last.usage is not None
    assert (last.usage.output_tokens, last.usage.input_tokens > 10) == (12, True)
    assert (last.served_model, last.simulated) == ("tiny", False)


async def test_a_repeated_prompt_is_reported_as_cached(model: VllmModel) -> None:
    asked = request(" ".join(f"sensor value {number}" for number in range(200)), parameters={"max_tokens": 1})
    usages = [(await ask(model, asked))[1].usage for _ in range(3)]
    assert usages[-1] is not None
    assert usages[-1].cached_input_tokens > 0.9 * usages[-1].input_tokens


async def test_an_answer_is_held_to_the_schema(model: VllmModel) -> None:
    for seed in range(5):
        text, last = await ask(
            model, request(schema=SCHEMA, parameters={"max_tokens": 200, "seed": seed, "temperature": 1.0})
        )
        assert last.finish == "stop"
        jsonschema.validate(json.loads(text), SCHEMA)


async def test_several_calls_run_side_by_side(model: VllmModel) -> None:
    answers = await asyncio.gather(*(ask(model, request(f"event {number}")) for number in range(12)))
    assert all(last.finish in ("stop", "length") for _, last in answers)


async def test_closing_the_generator_stops_the_generation(model: VllmModel, base_url: str) -> None:
    before = await metric(base_url, "tokens_predicted_total")
    endless = request(parameters={"max_tokens": 8000, "ignore_eos": True})
    async with contextlib.aclosing(model.stream(endless, timeout=60)) as stream:
        await anext(stream)
        assert await metric(base_url, "requests_processing") == 1
    async with asyncio.timeout(20):
        while await metric(base_url, "requests_processing"):
            pass
    assert await metric(base_url, "tokens_predicted_total") - before < 8000


async def metric(base_url: str, name: str) -> float:
    """What the server says of itself."""

    def read() -> str:
        with urllib.request.urlopen(base_url.removesuffix("/v1") + "/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return float((await asyncio.to_thread(read)).split(f"\nllamacpp:{name} ")[1].split()[0])


async def test_a_call_beyond_its_time_is_given_up(model: VllmModel) -> None:
    endless = request(parameters={"max_tokens": 8000, "ignore_eos": True})
    with pytest.raises(TimedOut):
        await ask(model, endless, timeout=0.2)


async def test_a_prompt_that_is_too_long_is_refused_with_the_remedy(model: VllmModel) -> None:
    with pytest.raises(CallInvalid, match=r"refused the request \(400\).*context.*make `context.window`"):
        await ask(model, request("sensor " * 20_000))


async def test_a_parameter_of_the_wrong_type_is_refused_with_what_the_server_said(model: VllmModel) -> None:
    with pytest.raises(CallInvalid, match=r"model small at http://127\.0\.0\.1"):
        await ask(model, request(parameters={"logit_bias": "x", "max_tokens": "many"}))


async def test_a_path_that_is_not_served_is_refused(base_url: str) -> None:
    model = VllmModel("small", base_url + "/nowhere", model="tiny")
    with pytest.raises(CallInvalid, match=r"404.*base_url"):
        await ask(model, request())
    with pytest.raises(Unreachable, match="404"):
        await model.probe()
    await model.close()


async def test_the_probe_names_the_model_and_its_maker(model: VllmModel, base_url: str) -> None:
    assert (await model.probe()).startswith("tiny by llamacpp")
    other = VllmModel("small", base_url, model="huge")
    with pytest.raises(Unreachable, match="does not serve huge, only: tiny"):
        await other.probe()
    await other.close()
