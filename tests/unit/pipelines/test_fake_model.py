"""The simulated server on the wire: what vLLM says, it says; and what is simulated is labelled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from array import array
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.connectors.port import Piece
from penstock.connectors.vllm import VllmModel
from penstock.operators.agent_plan import EndpointPlan
from penstock.operators.answer import Unusable, shape_of_fields
from penstock.operators.error import Busy, CallFailed, CallInvalid, Rejected, Unreachable
from penstock.operators.event import ChatRequest, EmbedRequest, Message, Usage
from penstock.operators.novelty import distance, quantised
from penstock.operators.prefix import pieces
from penstock.operators.question import instruction, likelihoods, option_request
from penstock.pipelines.fake_answer import Rule
from penstock.pipelines.fake_fault import Fault, FaultRates, parse_faults
from penstock.pipelines.fake_model import FakeModelServer
from penstock.pipelines.fake_work import FakeModelOptions

SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["attack", "benign", "unclear"]}, "why": {"type": "string", "maxLength": 300}},
    "required": ["verdict", "why"],
}
EVENTS = "".join(f"Failed password for root from 10.0.0.{n % 3} port {n} ssh2\n" for n in range(20))


def request(events: str = EVENTS, **changes: Any) -> ChatRequest:
    messages = (
        Message("system", "You watch the logins of one host."),
        Message("user", events + "\nIs this an attack?"),
    )
    return ChatRequest(**{"model": "any", "messages": messages, "parameters": {}, "schema": SCHEMA} | changes)


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": "hello"}]} | changes


def constrained(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@contextlib.asynccontextmanager
async def fake(**options: Any) -> AsyncIterator[tuple[FakeModelServer, VllmModel]]:
    async with FakeModelServer(FakeModelOptions(**options)) as server:
        model = VllmModel("small", server.base_url, model="any", api_key=options.get("api_key"), concurrency=10_000)
        try:
            yield server, model
        finally:
            await model.close()


async def whole(model: VllmModel, asked: ChatRequest | None = None) -> tuple[str, Piece]:
    *pieces, last = [piece async for piece in model.stream(asked or request(), timeout=30)]
    return "".join(piece.text for piece in pieces), last


async def post(
    server: FakeModelServer, sent: Any, path: str = "chat/completions", **headers: str
) -> tuple[int, Any, str]:
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.base_url}/{path}", data=data, headers=headers) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if answer.content_type == "application/json" else None, text


async def get(server: FakeModelServer, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(server.base_url.removesuffix("/v1") + path) as answer:
        assert answer.headers["x-penstock-simulated"] == "true"
        return await answer.text()


async def until(server: FakeModelServer, metric: str) -> None:
    """The server's own metrics are the only sign of what waits there."""
    while metric not in await get(server, "/metrics"):
        pass


async def test_the_answer_satisfies_the_schema_and_follows_the_events() -> None:
    async with fake() as (_, model):
        text, last = await whole(model)
        assert json.loads(text) == {
            "verdict": "attack",
            "why": '20 of 20 lines show trouble, mostly "failed" (20 times). 7 of them name 10.0.0.0.',
        }
        assert last.finish == "stop"
        calm, _ = await whole(model, request("Accepted publickey for deploy\n" * 20))
        assert json.loads(calm)["verdict"] == "benign"
        nothing, _ = await whole(model, request("tick\n" * 20))
        assert json.loads(nothing)["verdict"] == "unclear"


async def test_everything_is_labelled_as_simulated() -> None:
    async with fake() as (server, model):
        _, last = await whole(model)
        assert last.simulated
        assert "simulated" in await model.probe()
        status, answer, _ = await post(server, body())
        assert (status, answer["simulated"], answer["system_fingerprint"], answer["model"]) == (
            200,
            True,
            "penstock-fake",
            "any",
        )
        _, _, streamed = await post(server, body(stream=True))
        assert all(
            json.loads(event[6:])["simulated"] for event in streamed.split("\n\n") if event.startswith("data: {")
        )


async def test_equal_prompts_get_equal_answers_and_cached_tokens() -> None:
    async with fake() as (_, model):
        (first, before), (second, after) = await whole(model), await whole(model)
        assert first == second
        assert isinstance(before.usage, Usage)
        assert isinstance(after.usage, Usage)
        assert before.usage.cached_input_tokens == 0
        assert after.usage.cached_input_tokens == (before.usage.input_tokens - 1) // 16 * 16
        _, salted = await whole(model, request(cache_salt="tenant"))
        assert isinstance(salted.usage, Usage)
        assert salted.usage.cached_input_tokens == 0


async def test_the_stream_has_the_shape_of_vllms() -> None:
    async with fake() as (server, _):
        _, _, text = await post(server, body(stream=True, stream_options={"include_usage": True}))
    *events, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    first, *middle, finish, usage = [json.loads(event.removeprefix("data: ")) for event in events]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {chunk["object"] for chunk in (first, *middle, finish, usage)} == {"chat.completion.chunk"}
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in (first, *middle))
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == len(middle) + 1
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + len(middle) + 1


async def test_without_include_usage_there_is_no_usage_chunk() -> None:
    async with fake() as (server, _):
        _, _, text = await post(server, body(stream=True))
    assert "usage" not in text


async def test_wherever_an_answer_was_cut_its_continuation_is_the_rest_of_it() -> None:
    async with fake() as (_, model):
        text, undisturbed = await whole(model, request(schema=None))
        for cut in range(1, len(text) + 1, 7):
            rest, last = await whole(model, request(schema=None, continued=text[:cut]))
            assert (text[:cut] + rest, last.finish, last.simulated) == (text, "stop", True)
            assert last.usage is not None
            assert undisturbed.usage is not None
            assert last.usage.input_tokens == undisturbed.usage.input_tokens + len(pieces(text[:cut]))
            assert last.usage.cached_input_tokens >= (undisturbed.usage.input_tokens - 1) // 16 * 16


async def test_behind_a_text_that_it_would_not_have_said_the_whole_answer_follows() -> None:
    async with fake() as (_, model):
        text, _ = await whole(model, request(schema=None))
        assert (await whole(model, request(schema=None, continued="Well:")))[0] == f" {text}"


async def test_behind_a_text_that_is_continued_a_grammar_begins_afresh() -> None:
    """As vLLM's does: this is why answers with fields are not continued."""
    async with fake() as (_, model):
        text, _ = await whole(model)
        assert (await whole(model, request(continued=text[:20])))[0] == text


async def test_running_usage_stands_in_every_chunk_when_asked_for() -> None:
    async with fake() as (server, _):
        options = {"include_usage": True, "continuous_usage_stats": True}
        _, _, text = await post(server, body(stream=True, stream_options=options))
    counts = [
        json.loads(event[6:])["usage"]["completion_tokens"]
        for event in text.split("\n\n")
        if event.startswith("data: {")
    ]
    assert counts == [*range(len(counts) - 1), len(counts) - 2]


async def test_an_answer_that_is_not_streamed_is_the_same_answer() -> None:
    async with fake() as (server, model):
        asked = request()
        sent = {
            "messages": [{"role": one.role, "content": one.content} for one in asked.messages],
            "response_format": constrained(SCHEMA),
        }
        _, answer, _ = await post(server, sent)
        text, last = await whole(model, asked)
    assert answer["choices"][0]["message"]["content"] == text
    assert last.usage is not None
    assert answer["usage"]["completion_tokens"] == last.usage.output_tokens


@pytest.mark.parametrize(("parameters", "tokens", "finish"), [
    ({"max_tokens": 5}, 5, "length"),
    ({"max_completion_tokens": 5}, 5, "length"),
    ({"max_tokens": 5000}, None, "stop"),
    ({"max_tokens": 128, "ignore_eos": True}, 128, "length"),
])  # fmt: skip
@pytest.mark.parametrize("schema", [None, SCHEMA])
async def test_max_tokens_ends_the_answer(
    parameters: dict[str, Any], tokens: int | None, finish: str, schema: Any
) -> None:
    async with fake() as (_, model):
        text, last = await whole(model, request(parameters=parameters, schema=schema))
    assert last.finish == finish
    assert last.usage is not None
    assert tokens is None or last.usage.output_tokens == tokens
    if schema and tokens == 128:
        assert json.loads(text)["verdict"] == "attack"


async def test_a_stop_text_ends_the_answer_before_it() -> None:
    async with fake() as (_, model):
        text, last = await whole(model, request(schema=None, parameters={"stop": ["trouble", "of"]}))
    assert (text, last.finish) == ("20 ", "stop")


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (body(messages=[]), 400, "must not be empty"),
        (body(max_tokens=0), 400, "max_tokens must be at least 1, got 0."),
        (body(temperature=-1), 400, "temperature must be non-negative"),
        (body(priority=-1), 400, "Got priority -1 but Priority scheduling is not enabled."),
        (body(stream_options={"include_usage": True}), 400, "Stream options can only be defined when `stream=True`."),
        (body(cache_salt=""), 400, "cache_salt"),
        (body(n=2), 400, "n must be 1"),
        (body(top_logprobs=2), 400, "when using `top_logprobs`, `logprobs` must be set to true."),
        (body(logprobs=True, top_logprobs=21), 400, "which is greater than max allowed: 20"),
        (body(logprobs=True, top_logprobs=-2), 400, "must be a positive value"),
        (
            body(continue_final_message=True, add_generation_prompt=True),
            400,
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
        ),
        (
            body(continue_final_message=True),
            400,
            "continue_final_message and add_generation_prompt are not compatible.",
        ),
        (
            body(continue_final_message=True, add_generation_prompt=False),
            400,
            "Cannot set `continue_final_message` to True when the last message is not from the assistant.",
        ),
        (body(messages=[{"role": "user", "content": "word " * 40_000}]), 400, "maximum context length is 32768 tokens"),
        (body(response_format={"type": "json_schema"}), 400, "needs a `json_schema`"),
        (body(response_format=constrained({"type": "cat"})), 400, "cannot be satisfied"),
        (body(messages="hello"), 400, "Expected `array`"),
        (b"{", 400, "truncated"),
        (body(model="other"), 404, "The model `other` does not exist."),
    ],
)
async def test_refusals_have_vllms_status_form_and_words(sent: Any, status: int, said: str) -> None:
    async with fake(models=("any",)) as (server, _):
        answered, answer, _ = await post(server, sent)
    assert answered == status
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert said in answer["error"]["message"]
    assert answer["error"]["code"] == status


async def test_unknown_fields_and_message_parts_are_accepted() -> None:
    parts = [{"type": "text", "text": "hello"}]
    async with fake() as (server, _):
        status, _, _ = await post(server, body(top_k=7, messages=[{"role": "user", "content": parts, "name": "x"}]))
    assert status == 200


async def test_priority_is_accepted_under_the_priority_policy() -> None:
    async with fake(scheduling_policy="priority") as (_, model):
        assert (await whole(model, request(priority=-3)))[1].finish == "stop"
    async with fake() as (_, model):
        with pytest.raises(CallInvalid, match="--scheduling-policy priority"):
            await whole(model, request(priority=-3))


async def test_a_key_is_demanded_where_one_is_set() -> None:
    async with fake(api_key="secret") as (server, model):
        assert (await whole(model))[1].finish == "stop"
        assert (await post(server, body()))[0] == 401
        stranger = VllmModel("small", server.base_url, model="any")
        with pytest.raises(Unreachable, match="check `api_key`"):
            await stranger.probe()
        await stranger.close()


async def test_more_requests_than_the_limit_are_told_to_wait_and_counted() -> None:
    async with fake(max_num_queued_reqs=1, tokens_per_second=20) as (server, model):
        async with contextlib.aclosing(model.stream(request(), timeout=30)) as first:
            await anext(first)
            with pytest.raises(Busy):
                await whole(model)
        assert 'vllm:admission_rejections_total{engine="0",model_name="*"} 1.0' in await get(server, "/metrics")


async def test_a_client_that_goes_away_frees_its_seat() -> None:
    async with fake(max_num_seqs=1, tokens_per_second=1) as (server, model):
        async with contextlib.aclosing(model.stream(request(), timeout=30)) as first:
            await anext(first)
            second = asyncio.create_task(anext(model.stream(request(), timeout=30)))
        assert (await second).text
        assert server.figures.aborted == 1


async def test_those_who_wait_are_served_by_priority() -> None:
    served: list[int] = []

    async def ask(model: VllmModel, priority: int) -> None:
        await whole(model, request(priority=priority))
        served.append(priority)

    async with fake(max_num_seqs=1, tokens_per_second=200, scheduling_policy="priority") as (server, model):
        async with contextlib.aclosing(model.stream(request(), timeout=30)) as first:
            await anext(first)
            calls = [asyncio.create_task(ask(model, priority)) for priority in (5, 1, 3)]
            await until(server, 'vllm:num_requests_waiting{engine="0",model_name="*"} 3.0')
        await asyncio.gather(*calls)
    assert served == [1, 3, 5]


async def test_the_pace_is_that_of_the_options() -> None:
    clock = asyncio.get_running_loop().time
    async with fake(ttft=0.1, tokens_per_second=100) as (_, model):
        begun = clock()
        times = [clock() - begun async for _ in model.stream(request(schema=None), timeout=30)]
    assert times[0] >= 0.1
    assert times[-1] >= 0.1 + (len(times) - 2) / 100


async def test_the_metrics_have_vllms_names_and_the_counts_of_the_usage() -> None:
    async with fake() as (server, model):
        usages = [(await whole(model))[1].usage for _ in range(3)]
        text = await get(server, "/metrics")
        assert await get(server, "/health") == ""
    assert all(usage is not None for usage in usages)
    counted = [usage for usage in usages if usage is not None]
    labels = '{engine="0",model_name="*"}'
    assert f"vllm:prefix_cache_queries_total{labels} {sum(usage.input_tokens for usage in counted):.1f}" in text
    assert f"vllm:prefix_cache_hits_total{labels} {sum(usage.cached_input_tokens for usage in counted):.1f}" in text
    assert f"vllm:generation_tokens_total{labels} {sum(usage.output_tokens for usage in counted):.1f}" in text
    assert f"vllm:num_requests_running{labels} 0.0" in text
    assert f"vllm:time_to_first_token_seconds_count{labels} 3.0" in text
    assert 'vllm:request_success_total{engine="0",finished_reason="stop",model_name="*"} 3.0' in text


async def test_faults_come_at_their_rates() -> None:
    async with fake(faults=FaultRates((("busy", 1.0),))) as (_, model):
        with pytest.raises(Busy, match="on purpose"):
            await whole(model)
    async with fake(faults=FaultRates((("cut", 1.0),))) as (_, model):
        with pytest.raises(CallFailed, match="broke the connection"):
            await whole(model)
    async with fake(faults=FaultRates((("garbage", 1.0),))) as (_, model):
        text, _ = await whole(model)
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("empty", "it was empty"),
        ("endless", "it was cut before the JSON object ended"),
        ("garbage", "it holds no JSON object"),
        ("wrong", "lacks 'verdict'"),
    ],
)
async def test_every_kind_of_unusable_answer_can_be_had(fault: Fault, reason: str) -> None:
    shape = shape_of_fields({"verdict": {"enum": ["attack", "benign"]}})
    asked = request(schema=shape.schema, parameters={"max_tokens": 50})
    async with fake(faults=FaultRates(((fault, 1.0),))) as (_, model):
        text, last = await whole(model, asked)
    found = shape.parse(text, last.finish or "")
    assert isinstance(found, Unusable)
    assert reason in found.reason


async def test_a_slow_stream_takes_its_time() -> None:
    clock = asyncio.get_running_loop().time
    async with fake(faults=FaultRates((("slow", 1.0),))) as (_, model):
        begun = clock()
        _, last = await whole(model, request(parameters={"max_tokens": 3}))
    assert last.finish == "length"
    assert clock() - begun >= 0.2


async def test_a_fault_depends_on_the_prompt_and_not_on_the_order() -> None:
    async def outcomes(order: list[int]) -> dict[int, list[str]]:
        met: dict[int, list[str]] = {}
        async with fake(faults=parse_faults("busy=0.5", seed=7)) as (_, model):
            for number in order:
                try:
                    await whole(model, request(f"event {number}\n"))
                    met.setdefault(number, []).append("answered")
                except Busy:
                    met.setdefault(number, []).append("busy")
        return met

    one = await outcomes([*range(10), *range(10)])
    other = await outcomes([*reversed(range(10)), *range(10)])
    assert one == other
    assert {outcome for met in one.values() for outcome in met} == {"answered", "busy"}


async def test_rules_of_an_answers_file_come_first() -> None:
    rules = (
        Rule(when="Accepted", answer={"verdict": "benign"}),
        Rule(matches=r"root from 10\.0\.0\.\d", answer="no JSON"),
    )
    async with fake(answers=rules) as (_, model):
        assert (await whole(model, request("Accepted password")))[0] == '{"verdict":"benign"}'
        assert (await whole(model))[0] == "no JSON"
        assert json.loads((await whole(model, request("tick\n")))[0])["verdict"] == "unclear"


async def test_every_call_is_noted_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    async with fake(log=log, tokens_per_second=500) as (server, model):
        said, _ = await whole(model, request(request_id="0-ab.1"))
        async with contextlib.aclosing(model.stream(request(request_id="0-ab.2"), timeout=30)) as given_up:
            await anext(given_up)
        while server.figures.aborted == 0:  # noqa: ASYNC110 - nobody sets an event when a connection is found closed
            await asyncio.sleep(0.01)
        await post(server, body(), **{"X-Request-Id": "mine"})
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["id"][:6], line["event"]) for line in lines] == [
        ("0-ab.1", "begun"), ("0-ab.1", "finished"), ("0-ab.2", "begun"), ("0-ab.2", "aborted"), ("mine", "begun"),
        ("mine", "finished"),
    ]  # fmt: skip
    assert lines[1]["said"] == said
    assert lines[0]["prompt"] == lines[2]["prompt"] != lines[4]["prompt"]
    assert sorted(line["at"] for line in lines) == [line["at"] for line in lines]


async def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"no/calls\.jsonl: cannot be written: .*check --log"):
        FakeModelServer(FakeModelOptions(log=tmp_path / "no" / "calls.jsonl"))


async def test_the_name_of_a_request_comes_back_with_its_answer() -> None:
    async with fake() as (server, _), aiohttp.ClientSession() as session:
        url = f"{server.base_url}/chat/completions"
        async with session.post(url, json=body(), headers={"X-Request-Id": "mine"}) as answer:
            assert answer.headers["X-Request-Id"] == "mine"


async def test_an_empty_answer_still_ends_properly() -> None:
    async with fake(answers=(Rule(answer=""),)) as (_, model):
        text, last = await whole(model)
    assert (text, last.finish) == ("", "stop")


async def test_a_thousand_streams_run_side_by_side() -> None:
    async with fake(max_num_seqs=2000, tokens_per_second=50) as (_, model):
        asked = [request(f"event {number}\n", parameters={"max_tokens": 8}, schema=None) for number in range(1000)]
        answers = await asyncio.gather(*(whole(model, one) for one in asked))
    assert {last.finish for _, last in answers} == {"length"}


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    async with fake() as (server, _):
        port = int(server.base_url.split(":")[2].removesuffix("/v1"))
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}: cannot listen.*choose another --port"):
            await FakeModelServer(FakeModelOptions(port=port)).start()


def test_the_command_says_where_it_listens_and_ends_cleanly_when_told_to() -> None:
    command = [sys.executable, "-c", "from penstock.pipelines.cli import main; main()", "fake-model"]
    with subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "http://127.0.0.1:" in server.stdout.readline()
        server.terminate()
        assert server.wait(20) == 0


OPTIONS = ("calm", "annoyed", "furious")
ENDPOINT = EndpointPlan("small", "any", {"max_tokens": 1}, None)


async def judged(model: VllmModel, text: str) -> tuple[float, ...]:
    *_, last = [piece async for piece in model.stream(option_request(ENDPOINT, text, OPTIONS), timeout=30)]
    assert last.simulated
    return tuple(likelihoods(OPTIONS, last.tops))


async def test_of_a_few_options_it_chooses_one_that_the_text_names_or_else_the_first() -> None:
    async with fake() as (_, model):
        assert await judged(model, "I am FURIOUS!") == (0.05, 0.05, 0.9)
        assert await judged(model, "Thank you.") == (0.9, 0.05, 0.05)


async def test_rules_of_an_answers_file_choose_an_option_or_weigh_them() -> None:
    rules = (Rule(when="grr", answer="annoyed"), Rule(when="hm", answer={"annoyed": 0.75, "calm": 0.25}))
    async with fake(answers=rules) as (_, model):
        assert await judged(model, "grr") == (0.05, 0.9, 0.05)
        assert await judged(model, "hm") == (0.25, 0.75, 0)


async def test_log_probabilities_have_the_shape_of_vllms() -> None:
    messages = [{"role": "system", "content": instruction(OPTIONS)}, {"role": "user", "content": "furious"}]
    sent = {"messages": messages, "logprobs": True, "top_logprobs": 2, "max_tokens": 1}
    async with fake() as (server, _):
        _, whole, _ = await post(server, {"model": "any", **sent})
        _, plain, _ = await post(server, {"model": "any", **sent, "logprobs": False, "top_logprobs": None})
    choice = whole["choices"][0]
    [token] = choice["logprobs"]["content"]
    assert token.keys() == {"token", "logprob", "bytes", "top_logprobs"}
    assert token["token"] == choice["message"]["content"]
    assert bytes(token["bytes"]).decode() == token["token"]
    assert [top.keys() for top in token["top_logprobs"]] == [{"token", "logprob", "bytes"}] * 2
    assert plain["choices"][0]["logprobs"] is None


async def test_every_token_of_a_stream_has_its_log_probability_when_asked_for() -> None:
    async with fake() as (server, _):
        _, _, text = await post(server, body(stream=True, logprobs=True, max_tokens=3))
    chunks = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]
    told = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert told[0]["logprobs"] is None
    assert [each["logprobs"]["content"][0]["token"] for each in told[1:]] == [
        each["delta"]["content"] for each in told[1:]
    ]


async def embedded(model: VllmModel, text: str) -> tuple[float, ...]:
    asked = EmbedRequest("any", (Message("user", text),), {})
    [piece] = [piece async for piece in model.stream(asked, timeout=30)]
    assert piece.simulated
    return piece.vector


async def test_vectors_follow_from_the_words_of_a_text() -> None:
    async with fake() as (server, model):
        texts = ("disk full on web-1", "Disk full on web 1!", "connection refused", "")
        disk, again, refused, empty = [quantised(await embedded(model, text)) for text in texts]
        assert server.figures.embedded == 4
    assert distance(disk, again) == 0
    assert distance(disk, refused) > 0.7
    assert distance(disk, empty) > 0.7


async def test_embeddings_have_the_shape_of_vllms() -> None:
    async with fake() as (server, _):
        status, one, _ = await post(server, {"model": "bge", "input": ["a b", "c"]}, path="embeddings")
        _, same, _ = await post(
            server, {"model": "bge", "input": "a b", "encoding_format": "base64"}, path="embeddings"
        )
    assert status == 200
    assert (one["object"], one["model"], one["simulated"]) == ("list", "bge", True)
    assert [(each["index"], each["object"]) for each in one["data"]] == [(0, "embedding"), (1, "embedding")]
    assert one["usage"] == {
        "prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0, "prompt_tokens_details": None,
    }  # fmt: skip
    unpacked = array("f", b64decode(same["data"][0]["embedding"]))
    assert list(unpacked) == pytest.approx(one["data"][0]["embedding"])


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"input": [1, 2]}, 400, "Expected"),
        ({"input": "a", "dimensions": 8}, 400, "does not support matryoshka representation"),
        ({"input": "word " * 40_000}, 400, "maximum context length is 32768 tokens"),
        ({"input": "a", "model": "other"}, 404, "The model `other` does not exist."),
    ],
)
async def test_refusals_of_texts_have_vllms_words(sent: Any, status: int, said: str) -> None:
    async with fake(models=("any",)) as (server, _):
        found, body, _ = await post(server, sent, path="embeddings")
    assert (found, body["error"]["code"]) == (status, status)
    assert said in body["error"]["message"]
