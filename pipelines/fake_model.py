"""`penstock fake-model`: a server that speaks vLLM's wire protocol and has no model. For demos, tests and benchmarks.

    async with FakeModelServer(FakeModelOptions(tokens_per_second=100)) as server:
        VllmModel("small", server.base_url, model="any")

Answers follow rules and depend on the prompt only; cached tokens are counted as vLLM's prefix cache would. Everything that it
says is labelled: header `x-penstock-simulated`, field `simulated`, fingerprint `penstock-fake`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Self, TypeVar

import msgspec
from aiohttp import web

from penstock.operators.error import Unreachable
from penstock.pipelines.fake_embedding import decode_embedding_call, embeddings
from penstock.pipelines.fake_engine import Engine, Generation
from penstock.pipelines.fake_log import CallLog
from penstock.pipelines.fake_metrics import Figures, exposition
from penstock.pipelines.fake_protocol import (
    ChatCall,
    Rejection,
    StreamOptions,
    StreamWriter,
    bad_request,
    completion,
    decode_call,
    model_list,
)
from penstock.pipelines.fake_work import EVERY_MODEL, FakeModelOptions, Planner, Work

SIMULATED_HEADER = "x-penstock-simulated"
REQUEST_ID_HEADER = "X-Request-Id"
_BODY_BYTES_MAX = 64 << 20
_BACKLOG = 4096
_UNAUTHORIZED = b'{"error":"Unauthorized"}'


class FakeModelServer:
    """Runs in the caller's event loop from `start` to `close`. `figures` is what it counted."""

    def __init__(self, options: FakeModelOptions | None = None) -> None:
        self._options = options = options or FakeModelOptions()
        self._planner = Planner(options)
        self._engine = Engine(
            tokens_per_second=options.tokens_per_second, ttft=options.ttft, seats=options.max_num_seqs
        )
        self._log = CallLog(options.log)
        self._in_flight = 0
        self._closing = contextlib.AsyncExitStack()
        self.figures = Figures()
        self.base_url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. Raises Unreachable when the address cannot be had."""
        self._closing.callback(self._log.close)
        listening = self._socket()
        engine = asyncio.create_task(self._engine.run(), name="fake-model engine")
        self._closing.push_async_callback(_cancelled, engine)
        runner = web.AppRunner(self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self._closing.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        self.base_url = f"http://{self._options.host}:{listening.getsockname()[1]}/v1"

    async def close(self) -> None:
        await self._closing.aclose()

    def _socket(self) -> socket.socket:
        host, port = self._options.host, self._options.port
        try:
            return socket.create_server((host, port), backlog=_BACKLOG)
        except OSError as error:
            raise Unreachable(
                f"cannot listen: {error}", where=f"{host}:{port}", remedy="choose another --port"
            ) from error

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_BODY_BYTES_MAX)
        application.router.add_get("/health", self._health)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/chat/completions", self._chat)
        application.router.add_post("/v1/embeddings", self._embeddings)
        application.on_response_prepare.append(_label)
        return application

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        name, engine = (self._options.models or (EVERY_MODEL,))[0], self._engine
        text = exposition(self.figures, self._planner.cache, running=engine.running, waiting=engine.waiting, model=name)
        return web.Response(body=text, content_type="text/plain", charset="utf-8")

    async def _models(self, request: web.Request) -> web.Response:
        if self._locked_to(request):
            return _json(_UNAUTHORIZED, 401)
        return _json(model_list(self._options.models or (EVERY_MODEL,), self._options.max_model_len))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self._locked_to(request):
            return _json(_UNAUTHORIZED, 401)
        try:
            call = self._admitted(await request.read())
            work = self._planner.plan(call)
        except Rejection as rejection:
            self.figures.rejected[rejection.status] += 1
            return _json(rejection.body(), rejection.status)
        return await (self._stream(request, call, work) if call.stream else self._whole(request, call, work))

    async def _embeddings(self, request: web.Request) -> web.Response:
        """At once, without a seat: an encoder takes milliseconds."""
        if self._locked_to(request):
            return _json(_UNAUTHORIZED, 401)
        options = self._options
        try:
            call = _decoded(decode_embedding_call, await request.read())
            self._planner.refuse_if_unlucky("\0".join(call.texts).encode())
            body = embeddings(call, self.figures.embedded, models=options.models, max_model_len=options.max_model_len)
        except Rejection as rejection:
            self.figures.rejected[rejection.status] += 1
            return _json(rejection.body(), rejection.status)
        self.figures.embedded += len(call.texts)
        return _json(body)

    def _locked_to(self, request: web.Request) -> bool:
        key = self._options.api_key
        return key is not None and request.headers.get("Authorization") != f"Bearer {key}"

    def _admitted(self, body: bytes) -> ChatCall:
        limit = self._options.max_num_queued_reqs
        if limit is not None and self._in_flight >= limit:
            raise Rejection(
                503, "ServiceUnavailableError", f"{self._in_flight} requests are in flight; the limit is {limit}."
            )
        return _decoded(decode_call, body)

    async def _whole(self, request: web.Request, call: ChatCall, work: Work) -> web.StreamResponse:
        await self._generate(request, call, work, _to_nobody)
        return _json(completion(work.call_id, work.model, work.tokens, work.finish, work.counts, work.tops))

    async def _stream(self, request: web.Request, call: ChatCall, work: Work) -> web.StreamResponse:
        options = call.stream_options or StreamOptions()
        writer = StreamWriter(work.call_id, work.model, work.tokens, work.finish, work.counts, options, work.tops)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(writer.opening())
        await self._generate(
            request, call, work, lambda first, end: _send(request.transport, writer.events(first, end))
        )
        if work.cut and request.transport is not None:
            request.transport.abort()
        return response

    async def _generate(
        self, request: web.Request, call: ChatCall, work: Work, emit: Callable[[int, int], None]
    ) -> None:
        """Wait until the engine wrote everything; a client that goes away cancels this, and so the generation."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        noted = self._log.begun(request.headers.get(REQUEST_ID_HEADER, work.call_id), call, work)

        def write(first: int, end: int) -> None:
            if end == work.delivered:
                noted("cut" if work.cut else "finished")
            emit(first, end)

        generation = Generation(work.delivered, write, priority=call.priority, slow=work.slow)
        self._in_flight += 1
        self._engine.submit(generation)
        try:
            await generation.done
            self.figures.finished[work.finish] += 1
        except asyncio.CancelledError:
            self.figures.aborted += 1
            noted("aborted")
            self._engine.abort(generation)
            raise
        finally:
            self._in_flight -= 1
            self.figures.generated_tokens += generation.written
            if generation.first_token_at is not None:
                self.figures.first_token_after(generation.first_token_at - begun)


Call = TypeVar("Call")


def _decoded(decode: Callable[[bytes], Call], body: bytes) -> Call:
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(str(error)) from error


def _to_nobody(first: int, end: int) -> None:
    """The tokens are only waited for."""


def _send(transport: asyncio.Transport | None, events: bytes) -> None:
    """One chunk of the transfer, written past aiohttp's flow control: one reader that is slow must not hold up the others."""
    if transport is not None and not transport.is_closing() and events:
        transport.write(b"%x\r\n%b\r\n" % (len(events), events))


async def _label(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[SIMULATED_HEADER] = "true"
    response.headers["Server"] = "penstock-fake"
    if REQUEST_ID_HEADER in request.headers:
        response.headers[REQUEST_ID_HEADER] = request.headers[REQUEST_ID_HEADER]


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
