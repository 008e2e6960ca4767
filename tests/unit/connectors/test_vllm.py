"""The client against servers that do what real ones do, and worse. No content is ever generated here."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from penstock.connectors.port import Piece
from penstock.connectors.vllm import Deadlines, VllmModel
from penstock.operators.error import (
    Busy,
    CallFailed,
    CallInvalid,
    ModelError,
    Rejected,
    TimedOut,
    Unanswered,
    Unreachable,
)
from penstock.operators.event import ChatRequest, Message, Usage

KEY = "sk-very-secret"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request(**changes: Any) -> ChatRequest:
    messages = (Message("system", "Be brief."), Message("user", "Größe?"))
    return ChatRequest(**{"model": "tiny", "messages": messages, "parameters": {"max_tokens": 9}} | changes)


def chunk(content: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "tiny-1", "choices": [choice], **fields}).encode() + b"\n\n"


USAGE = {"prompt_tokens": 40, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 32}}
USAGE_CHUNK = b"data: " + json.dumps({"model": "tiny-1", "choices": [], "usage": USAGE}).encode() + b"\n\n"
DONE = b"data: [DONE]\n\n"
ANSWER = (chunk(""), chunk("grö"), chunk("ßer"), chunk(None, "stop"), USAGE_CHUNK, DONE)


@dataclass
class Stub:
    """A server that answers every call by `handler` and keeps what it was asked."""

    base_url: str
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Stub]:
    stub = Stub("")

    async def record(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        stub.peers.add(request.transport.get_extra_info("peername"))
        stub.headers.append(dict(request.headers))
        stub.bodies.append(await request.json() if request.method == "POST" else None)
        return await handler(request)

    application = web.Application()
    application.router.add_route("*", "/v1/{path:.*}", record)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stub.base_url = f"http://{host}:{port}/v1"
    try:
        yield stub
    finally:
        await runner.cleanup()


def streaming(*parts: bytes, then: Callable[[web.Request], Awaitable[None]] | None = None) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0)
        if then is not None:
            await then(request)
        return response

    return handle


def answering(status: int, body: bytes | str, **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **named})

    return handle


async def hang(request: web.Request) -> None:
    await asyncio.Event().wait()


async def cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@contextlib.asynccontextmanager
async def model_of(base_url: str, **options: Any) -> AsyncIterator[VllmModel]:
    model = VllmModel("small", base_url, **{"model": "tiny", "api_key": KEY} | options)
    try:
        yield model
    finally:
        await model.close()


async def ask(
    handler: Handler, asked: ChatRequest | None = None, *, timeout: float = 20, **options: Any
) -> list[Piece]:
    async with serving(handler) as stub, model_of(stub.base_url, **options) as model:
        return [piece async for piece in model.stream(asked or request(), timeout=timeout)]


async def refused(handler: Handler, error: type[ModelError], asked: ChatRequest | None = None, **options: Any) -> str:
    with pytest.raises(error) as raised:
        await ask(handler, asked, **options)
    assert KEY not in str(raised.value)
    return str(raised.value)


async def test_text_arrives_in_pieces_and_the_last_one_has_finish_usage_and_model() -> None:
    *pieces, last = await ask(streaming(*ANSWER))
    assert "".join(piece.text for piece in pieces) == "größer"
    assert last == Piece("", "stop", Usage(40, 32, 2), "tiny-1", simulated=False)


async def test_a_stream_cut_into_single_bytes_is_the_same_stream() -> None:
    stream = b": keep-alive\n\n" + b"".join(ANSWER).replace(b"\n", b"\r\n")
    *pieces, last = await ask(streaming(*[stream[i : i + 1] for i in range(len(stream))]))
    assert "".join(piece.text for piece in pieces) == "größer"
    assert last.usage == Usage(40, 32, 2)


async def test_the_request_says_what_the_protocol_calls_for() -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": ["a", "b"]}}}
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url) as model:
        asked = request(schema=schema, schema_name="verdict", priority=-3, cache_salt="tenant")
        assert [piece async for piece in model.stream(asked, timeout=20)]
    (body,) = stub.bodies
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Größe?"}],
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "schema": schema, "strict": True},
        },
        "priority": -3,
        "cache_salt": "tenant",
    }
    assert stub.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_optional_fields_are_absent_when_nothing_was_asked() -> None:
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url, api_key=None) as model:
        assert [piece async for piece in model.stream(request(), timeout=20)]
    assert stub.bodies[0].keys() == {"model", "messages", "max_tokens", "stream", "stream_options"}
    assert "Authorization" not in stub.headers[0]


async def test_a_request_has_a_name_in_the_servers_log_and_never_the_same_twice() -> None:
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url) as model:
        for _ in range(2):
            assert [piece async for piece in model.stream(request(request_id="3-9f2c.1"), timeout=20)]
        assert [piece async for piece in model.stream(request(), timeout=20)]
    first, second, nameless = (headers.get("X-Request-ID", "") for headers in stub.headers)
    assert first.startswith("3-9f2c.1.")
    assert second.startswith("3-9f2c.1.")
    assert first != second
    assert nameless == ""
    assert "request_id" not in stub.bodies[0]


async def test_calls_one_after_the_other_use_one_connection() -> None:
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url) as model:
        for _ in range(5):
            assert [piece async for piece in model.stream(request(), timeout=20)]
    assert len(stub.peers) == 1


async def test_a_kept_connection_that_the_server_closed_is_not_a_failure() -> None:
    calls = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 2:
            await cut(request)
        return await streaming(*ANSWER)(request)

    async with serving(handle) as stub, model_of(stub.base_url) as model:
        assert [(await _whole(model))[-1].finish for _ in range(2)] == ["stop", "stop"]
    assert calls == 3


async def test_no_more_calls_than_the_concurrency_are_on_the_wire() -> None:
    running, most = 0, 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        response = await streaming(*ANSWER)(request)
        running -= 1
        return response

    async with serving(handle) as stub, model_of(stub.base_url, concurrency=2) as model:
        await asyncio.gather(*(_whole(model) for _ in range(8)))
    assert most == 2


async def _whole(model: VllmModel) -> list[Piece]:
    return [piece async for piece in model.stream(request(), timeout=20)]


async def test_closing_the_generator_is_an_abort_that_the_server_sees() -> None:
    aborted = asyncio.Event()

    async def watch(request: web.Request) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            aborted.set()
            raise

    async with serving(streaming(chunk("a"), then=watch)) as stub, model_of(stub.base_url) as model:
        async with contextlib.aclosing(model.stream(request(), timeout=20)) as stream:
            assert (await anext(stream)).text == "a"
        await asyncio.wait_for(aborted.wait(), 10)


async def test_cancelling_the_caller_is_an_abort_too() -> None:
    asked, aborted = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            aborted.set()
            raise
        raise AssertionError

    async with serving(handle) as stub, model_of(stub.base_url) as model:
        caller = asyncio.create_task(_whole(model))
        await asyncio.wait_for(asked.wait(), 10)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.wait_for(aborted.wait(), 10)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, CallInvalid, "check `request:`"),
        (401, CallInvalid, "check `api_key`"),
        (403, CallInvalid, "check `api_key`"),
        (404, CallInvalid, "check `model`, and `base_url`"),
        (408, CallFailed, "failed (408)"),
        (413, CallInvalid, "make `context.window` smaller"),
        (418, CallInvalid, "refused the request (418)"),
        (422, CallInvalid, "check `request:`"),
        (429, Busy, "busy (429)"),
        (500, CallFailed, "failed (500)"),
        (502, CallFailed, "failed (502)"),
        (503, Busy, "busy (503)"),
    ],
)
async def test_every_status_is_the_right_kind_of_error_with_a_remedy(
    status: int, error: type[ModelError], said: str
) -> None:
    body = json.dumps({"error": {"message": "no\nsuch luck", "type": "SomeError", "param": None, "code": status}})
    message = await refused(answering(status, body), error)
    assert "model small at http://127.0.0.1" in message
    assert "no such luck" in message
    assert said in message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"message": "nope"}', "nope"),
        (b'{"detail": [{"loc": ["body", "n"], "msg": "too big"}]}', "too big"),
        (b"<html><body>Bad Gateway</body></html>", "Bad Gateway"),
        (b"\xff\xfe broken \x00 bytes", "broken"),
        (b"", "no explanation"),
        (b"x" * 100_000, "x" * 400 + " …"),
    ],
)
async def test_error_bodies_of_any_form_are_read(body: bytes, said: str) -> None:
    assert said in await refused(answering(500, body), CallFailed)


async def test_a_key_that_the_server_repeats_is_masked() -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})
    assert "provided: ***" in await refused(answering(401, body), CallInvalid)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "1.5"}, 1.5),
        ({"Retry_After": "Sat, 01 Aug 2026 10:00:30 GMT", "Date": "Sat, 01 Aug 2026 10:00:00 GMT"}, 30.0),
        ({"Retry_After": "Sat, 01 Aug 2026 09:00:00 GMT", "Date": "Sat, 01 Aug 2026 10:00:00 GMT"}, 0.0),
        ({"Retry_After": "soon"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_read_as_seconds_or_as_a_date(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    with pytest.raises(Busy) as busy:
        await ask(answering(status, b"{}", **headers))
    assert busy.value.retry_after == seconds


@pytest.mark.parametrize(
    ("said", "asked", "remedy"),
    [
        ("Got priority -3 but Priority scheduling is not enabled.", {"priority": -3}, "--scheduling-policy priority"),
        ("Unrecognized request argument supplied: cache_salt", {"cache_salt": "x"}, "knows no cache_salt"),
        ("stream_options: Extra inputs are not permitted", {}, "does not count tokens"),
        ("Invalid json_schema: unsupported keyword", {"schema": {"type": "object"}}, "simplify `answer:`"),
        ("This model's maximum context length is 8192 tokens.", {}, "make `context.window` or `max_tokens` smaller"),
        ("Got priority 1", {}, "check `request:`"),
    ],
)
async def test_a_refused_field_is_named_with_its_remedy_and_never_dropped(
    said: str, asked: dict[str, Any], remedy: str
) -> None:
    assert remedy in await refused(
        answering(400, json.dumps({"error": {"message": said}})), CallInvalid, request(**asked)
    )


@pytest.mark.parametrize("name", ["stream", "messages", "n", "response_format", "priority"])
async def test_a_parameter_that_is_the_clients_own_is_refused_before_anything_is_sent(name: str) -> None:
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url) as model:
        with pytest.raises(CallInvalid, match=f"`request:` sets {name}"):
            await anext(model.stream(request(parameters={name: 1}), timeout=20))
    assert stub.bodies == []


async def test_redirects_are_not_followed() -> None:
    message = await refused(answering(307, b"", Location=f"http://elsewhere/v1/?token={KEY}"), CallInvalid)
    assert "redirects (307) to http://elsewhere/v1/" in message


async def test_an_answer_that_is_no_stream_is_refused() -> None:
    assert "application/json instead of a stream" in await refused(answering(200, b'{"choices": []}'), CallInvalid)


@pytest.mark.parametrize(
    ("parts", "error", "said"),
    [
        ([chunk("a")], CallFailed, "ended the stream before the answer was complete"),
        ([], CallFailed, "ended the stream"),
        ([chunk("a"), DONE], CallFailed, "ended the stream"),
        ([chunk("a"), chunk(None, "abort"), DONE], CallFailed, "ended the stream"),
        ([b"data: {broken\n\n"], CallFailed, "no stream of answers"),
        ([b"data: \xff\n\n"], CallFailed, "no stream of answers"),
        ([b"data: " + b"x" * (1 << 20)] * 2, CallFailed, "more than 1048576 bytes"),
        ([chunk("x" * (1 << 19))] * 9, CallInvalid, "does not stop: more than 4194304 characters"),
        (
            [chunk("a"), b'data: {"error": {"message": "engine died", "code": 500}}\n\n', DONE],
            CallFailed,
            "engine died",
        ),
        ([chunk("a"), b'data: {"error": "engine died"}\n\n', DONE], CallFailed, "engine died"),
        ([b'data: {"error": {"message": "full", "code": 503}}\n\n', DONE], Busy, "full"),
        ([b'data: {"error": {"message": "too long", "code": 400}}\n\n', DONE], CallInvalid, "too long"),
    ],
)
async def test_a_stream_that_ends_badly_is_an_error(parts: list[bytes], error: type[ModelError], said: str) -> None:
    assert said in await refused(streaming(*parts), error)


async def test_a_connection_cut_within_the_answer_is_a_failure() -> None:
    assert "broke the connection" in await refused(streaming(chunk("a"), then=cut), CallFailed)


async def test_a_connection_cut_before_the_answer_is_a_failure() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        await cut(request)
        return web.Response()

    assert "broke the connection" in await refused(handle, CallFailed)


async def test_a_connection_cut_after_the_finish_lost_nothing_but_usage() -> None:
    *pieces, last = await ask(streaming(chunk("a"), chunk("b", "stop"), then=cut))
    assert ("".join(piece.text for piece in pieces), last.finish, last.usage) == ("ab", "stop", None)


async def test_a_server_that_keeps_the_connection_open_after_done_does_not_hold_up_the_answer() -> None:
    *_, last = await ask(streaming(*ANSWER, then=hang))
    assert last.finish == "stop"


async def test_usage_and_cached_tokens_may_be_missing() -> None:
    *_, last = await ask(streaming(chunk("a", "length"), DONE))
    assert (last.finish, last.usage) == ("length", None)
    *_, last = await ask(streaming(chunk("a", "stop", usage={"prompt_tokens": 7}), DONE))
    assert last.usage == Usage(7, 0, 0)


async def test_only_the_first_choice_is_the_answer() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    pieces = await ask(
        streaming(chunk("a"), b"data: " + json.dumps(other).encode() + b"\n\n", chunk("b", "stop"), DONE)
    )
    assert "".join(piece.text for piece in pieces) == "ab"


async def test_a_simulated_server_is_labelled_in_the_last_piece() -> None:
    *_, last = await ask(streaming(chunk("a", simulated=True), chunk("b", "stop", simulated=True), DONE))
    assert last.simulated


async def test_nobody_listening_is_a_failure_that_names_the_address() -> None:
    async with serving(streaming()) as stub:
        gone = stub.base_url
    async with model_of(gone) as model:
        with pytest.raises(CallFailed, match=r"model small at http://127\.0\.0\.1.* cannot be reached"):
            await anext(model.stream(request(), timeout=20))


async def hung(request: web.Request) -> web.StreamResponse:
    await hang(request)
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "timeout", "deadlines", "said"),
    [
        (hung, 0.05, Deadlines(), "took longer than 0.05 s"),
        (hung, 20, Deadlines(first=0.05), "fell silent"),
        (streaming(chunk("a"), then=hang), 20, Deadlines(idle=0.05), "fell silent"),
        (streaming(chunk("a"), then=hang), 0.05, Deadlines(), "took longer than 0.05 s"),
        (streaming(*ANSWER), 0, Deadlines(), "took longer than 0 s"),
    ],
)
async def test_every_deadline_is_a_time_out(handler: Handler, timeout: float, deadlines: Deadlines, said: str) -> None:
    assert said in await refused(handler, TimedOut, timeout=timeout, deadlines=deadlines)


async def test_a_slow_first_token_is_not_an_idle_stream() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return await streaming(*ANSWER)(request)

    *_, last = await ask(handle, deadlines=Deadlines(idle=0.1))
    assert last.finish == "stop"


async def test_an_answer_that_is_continued_is_the_last_message_and_left_open() -> None:
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url) as model:
        text = "".join([piece.text async for piece in model.stream(request(continued="Sehr"), timeout=20)])
    [body] = stub.bodies
    assert body["messages"][1:] == [{"role": "user", "content": "Größe?"}, {"role": "assistant", "content": "Sehr"}]
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
    assert text == "größer"


async def test_servers_that_are_strict_never_see_the_fields_of_a_continuation_that_is_none() -> None:
    async with serving(streaming(*ANSWER)) as stub, model_of(stub.base_url) as model:
        assert [piece async for piece in model.stream(request(), timeout=20)]
    assert stub.bodies[0].keys() == {"model", "messages", "max_tokens", "stream", "stream_options"}


async def test_a_continuation_that_is_refused_names_the_remedy() -> None:
    said = "continue_final_message is set but the final message does not appear in the chat"
    handler = answering(400, json.dumps({"error": {"message": said}}))
    assert "write `continues: false`" in await refused(handler, CallInvalid, request(continued="Sehr"))
    assert "check `request:`" in await refused(handler, CallInvalid)


@pytest.mark.parametrize(
    ("owner", "declared", "continues"),
    [
        ("vllm", None, True),
        ("penstock-fake", None, True),
        ("llamacpp", None, False),
        (None, None, False),
        ("vllm", False, False),
        ("sglang", True, True),
    ],
)
async def test_who_continues_a_text_is_known_from_the_list_of_models_unless_it_is_declared(
    owner: str | None, declared: bool | None, continues: bool
) -> None:
    listing = answering(200, json.dumps({"data": [{"id": "tiny", "owned_by": owner}]}))
    async with serving(listing) as stub, model_of(stub.base_url, continues=declared) as model:
        assert model.continues == bool(declared)
        await model.probe()
        assert model.continues == continues


@pytest.mark.parametrize(("owner", "salted"), [("vllm", True), (None, True), ("openai", False), ("sglang", False)])
async def test_a_server_that_says_that_it_is_another_than_vllm_gets_no_salt(owner: str | None, *, salted: bool) -> None:
    """It would refuse a field that it does not know, and with it every question of a tenant."""
    listing = answering(200, json.dumps({"data": [{"id": "tiny", "owned_by": owner}]}))
    async with serving(listing) as stub, model_of(stub.base_url) as model:
        await model.probe()
        with contextlib.suppress(CallInvalid):
            assert [piece async for piece in model.stream(request(cache_salt="tenant"), timeout=20)]
    assert ("cache_salt" in stub.bodies[-1]) == salted


async def probe(handler: Handler, **options: Any) -> str:
    async with serving(handler) as stub, model_of(stub.base_url, **options) as model:
        return await model.probe()


async def test_the_probe_says_who_serves_the_model() -> None:
    listing = {"data": [{"id": "tiny", "owned_by": "vllm", "max_model_len": 8192}, {"id": "other"}]}
    assert await probe(answering(200, json.dumps(listing))) == "tiny by vllm, up to 8192 tokens"


async def test_the_probe_names_the_models_that_are_served_instead() -> None:
    listing = json.dumps({"data": [{"id": "b"}, {"id": "a"}]})
    with pytest.raises(Unreachable, match=r"does not serve tiny, only: a, b \(write one of these as `model`\)"):
        await probe(answering(200, listing))


async def test_a_gateway_that_serves_every_name_serves_ours() -> None:
    listing = json.dumps({"data": [{"id": "*", "owned_by": "gateway"}], "simulated": True})
    assert await probe(answering(200, listing)) == "tiny by gateway (simulated)"


@pytest.mark.parametrize(
    ("handler", "kind", "said"),
    [
        (
            answering(401, json.dumps({"error": {"message": f"bad key {KEY}"}})),
            Unreachable,
            r"answered 401.*bad key \*\*\*.*check `api_key`",
        ),
        (answering(404, b'{"detail":"Not Found"}'), Unreachable, "answered 404.*Not Found.*ends in /v1"),
        (answering(500, b""), Unanswered, "answered 500.*no explanation"),
        (answering(503, b"Loading model"), Unanswered, "answered 503.*Loading model"),
        (answering(200, b"<html>"), Unreachable, "no list of models"),
        (hung, Unanswered, "did not answer within 0.2 s"),
    ],
)
async def test_a_probe_that_fails_says_what_and_what_to_do_and_whether_waiting_may_help(
    handler: Handler, kind: type[Unreachable], said: str
) -> None:
    with pytest.raises(Unreachable, match=said) as unreachable:
        await probe(handler, deadlines=Deadlines(probe=0.2))
    assert type(unreachable.value) is kind
    assert KEY not in str(unreachable.value)


async def test_a_probe_of_nobody_says_so() -> None:
    async with serving(streaming()) as stub:
        gone = stub.base_url
    async with model_of(gone) as model:
        with pytest.raises(Unanswered, match=r"model small at http.*cannot be reached.*start the server"):
            await model.probe()


@pytest.mark.parametrize(
    "base_url", ["localhost:8000/v1", "ftp://host/v1", "http:///v1", f"http://me:{KEY}@host/v1", "http://h/?key=1"]
)
def test_an_address_that_is_no_plain_http_address_is_rejected_without_showing_a_key(base_url: str) -> None:
    with pytest.raises(Rejected) as rejected:
        VllmModel("small", base_url, model="tiny")
    assert KEY not in str(rejected.value)


def test_the_key_is_not_in_the_repr() -> None:
    model = VllmModel("small", "http://localhost:8000/v1/", model="tiny", api_key=KEY)
    assert repr(model) == "VllmModel('small', 'http://localhost:8000/v1', model='tiny')"
    assert KEY not in repr(vars(model)["_endpoint"])
