"""The client of vLLM and of any other OpenAI-compatible server: streaming chat completions over aiohttp, and vectors of texts.

One attempt per call: whether to try again is the caller's decision. Only a request that met a kept connection which the
server had just closed is sent once more: some servers close without a word (llama.cpp after every stream). Closing the
generator of `stream` closes the socket, which makes the server stop generating; the classic mistake is to drop it without
closing it (`contextlib.aclosing`). aiohttp is imported at the first call: it takes 0.4 s, and most commands never need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from penstock.connectors.port import Piece
from penstock.connectors.sse import EventTooLong
from penstock.connectors.vllm_embed import Embedder
from penstock.connectors.vllm_error import Endpoint, redirection, refusal, retry_after_seconds, server_message
from penstock.connectors.vllm_reads import Reads, Silent
from penstock.connectors.vllm_wire import AnswerReader, ErrorInStream, ReservedParameter, encode_request
from penstock.operators.error import CallFailed, CallInvalid, ModelError, Rejected, TimedOut, Unanswered, Unreachable
from penstock.operators.event import ChatRequest, EmbedRequest
from penstock.operators.model import checked_address

if TYPE_CHECKING:
    import aiohttp

_KEPT_CONNECTION_S = 4.0  # below the 5 s after which vLLM's own server closes idle connections: reusing one never races
_ERROR_BYTES_MAX = 1 << 16
_LIST_BYTES_MAX = 1 << 22
_VECTORS_BYTES_MAX = 1 << 26
_KINDS = {"text/event-stream": "a stream", "application/json": "vectors"}
ANSWER_CHARACTERS_MAX = 4 << 20
"""Far beyond what `max_tokens` allows: a server that goes on has lost its mind, and would fill our memory."""
_GIVEN_UP = frozenset({"abort", "error"})
EVERY_MODEL = "*"
"""Gateways that serve whatever is asked for list this as the model's name."""
CONTINUING = frozenset({"vllm", "penstock-fake"})
"""What servers that continue a text, and keep caches of prefixes apart, call themselves in their list of models (`owned_by`)."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `first` bounds the wait for an answer's first bytes, `idle` every later silence; None: the whole call's limit."""

    connect: float = 10.0
    first: float | None = None
    idle: float | None = 60.0
    probe: float = 10.0


class _Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class _Listing(msgspec.Struct):
    data: list[_Listed]
    simulated: bool = False


class VllmModel:
    """One endpoint of the file's `models:`. Keeps the promises of `port.Model`; at most `concurrency` calls are on the wire.

    `tls`: None means the system's certificates, where the address is `https`. `continues`: None means that the server's list of
    models decides.
    Raises Rejected for a `base_url` that is no plain HTTP address.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        model: str,
        api_key: str | None = None,
        concurrency: int = 64,
        tls: ssl.SSLContext | None = None,
        continues: bool | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._base_url = _checked_address(name, base_url)
        self._key = api_key.strip() if api_key else None
        self._endpoint = Endpoint(name, self._base_url, self._key)
        self._model = model
        self._concurrency = concurrency
        self._tls = tls
        self._deadlines = deadlines or Deadlines()
        self._continues = continues
        self._is_continuing = False
        self._salts = True
        self._opened: aiohttp.ClientSession | None = None
        self._embedder = Embedder(self._vectors)

    def __repr__(self) -> str:
        return f"VllmModel({self._endpoint.name!r}, {self._base_url!r}, model={self._model!r})"

    @property
    def continues(self) -> bool:
        return self._is_continuing if self._continues is None else self._continues

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        """Pieces as they arrive, then one closing piece. `timeout` in seconds bounds the whole call."""
        if isinstance(request, EmbedRequest):
            yield await self._embedder.embed(request, timeout)
            return
        reader = AnswerReader()
        deadline = asyncio.get_running_loop().time() + timeout
        with self._model_errors(reader, request, timeout):
            # Not kept in a variable: a prompt would be held twice for as long as its answer takes.
            response = await self._post(self._encoded(request), _named(request), timeout)
            reads = Reads(response.content, deadline)
            try:
                await self._refuse_all_but("text/event-stream", response, request)
                reads.limit_silence(self._deadlines.first)
                data = await reads.next()
                reads.limit_silence(self._deadlines.idle)
                length = 0
                while data:
                    if text := reader.feed(data):
                        length += len(text)
                        self._refuse_endless(length)
                        yield Piece(text, simulated=reader.simulated)
                    if reader.done:
                        await reads.to_end()
                        break
                    data = await reads.next()
            finally:
                reads.close()
                response.close()
        if reader.finish is None or reader.finish in _GIVEN_UP:
            raise CallFailed(f"{self._endpoint} ended the stream before the answer was complete")
        yield reader.last()

    async def _vectors(self, body: bytes, request: EmbedRequest, timeout: float) -> bytes:
        with self._model_errors(AnswerReader(), request, timeout):
            async with asyncio.timeout(timeout):
                response = await self._post(body, _named(request), timeout, "embeddings")
                try:
                    await self._refuse_all_but("application/json", response, request)
                    return await _bounded_body(response, _VECTORS_BYTES_MAX)
                finally:
                    response.close()
        raise CallFailed(f"{self._endpoint} broke the connection")

    def _refuse_endless(self, length: int) -> None:
        if length > ANSWER_CHARACTERS_MAX:
            raise CallInvalid(f"{self._endpoint} does not stop: more than {ANSWER_CHARACTERS_MAX} characters came")

    async def probe(self) -> str:
        status, body = await self._models()
        if status != 200:
            what = f"answered {status} for its list of models: {self._said(body)}"
            raise self._unanswered(what) if status >= 500 else self._unreachable(what, _PROBE_REMEDIES.get(status))
        try:
            listing = msgspec.json.decode(body, type=_Listing)
        except msgspec.DecodeError as error:
            raise self._unreachable("sent no list of models; this is not an OpenAI-compatible server") from error
        listed = {entry.id: entry for entry in listing.data}
        found = listed.get(self._model) or listed.get(EVERY_MODEL)
        if found is None:
            names = ", ".join(sorted(listed)[:10]) or "none"
            raise self._unreachable(f"does not serve {self._model}, only: {names}", "write one of these as `model`")
        self._is_continuing = found.owned_by in CONTINUING
        self._salts = found.owned_by is None or found.owned_by in CONTINUING
        return _introduction(self._model, found, simulated=listing.simulated)

    async def close(self) -> None:
        await self._embedder.close()
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    def _encoded(self, request: ChatRequest) -> bytes:
        """A server that is known to be another than vLLM gets no salt: it would refuse the request."""
        try:
            return encode_request(request if self._salts else replace(request, cache_salt=None))
        except ReservedParameter as error:
            raise CallInvalid(
                f"{self._endpoint}: `request:` sets {error}, which Penstock sets itself (take it out)"
            ) from error

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            import aiohttp

            headers = {"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "penstock"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._concurrency, keepalive_timeout=_KEPT_CONNECTION_S, ssl=self._tls or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
            )
        return self._opened

    async def _post(
        self, body: bytes, headers: Mapping[str, str], timeout: float, path: str = "chat/completions"
    ) -> aiohttp.ClientResponse:
        import aiohttp

        first = self._deadlines.first
        limit = asyncio.timeout(timeout if first is None else min(first, timeout))
        try:
            async with limit:
                try:
                    return await self._send(path, body, headers)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    # A kept connection that the server closed while it was taken up again.
                    return await self._send(path, body, headers)
        except TimeoutError as error:
            if limit.expired() and first is not None and first < timeout:
                raise Silent(f"no answer began within {first:g} s") from error
            raise

    async def _send(self, path: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        import aiohttp

        # The whole call is bounded by the caller: aiohttp would set a timer for every read.
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._deadlines.connect)
        url = f"{self._base_url}/{path}"
        return await self._session().post(url, data=body, headers=headers, timeout=limits, allow_redirects=False)

    async def _refuse_all_but(self, wanted: str, response: aiohttp.ClientResponse, request: ChatRequest) -> None:
        # `response.content_type` would keep 2 KB of parsed parameters for as long as the answer takes.
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.status == 200 and media_type == wanted:
            return
        if 300 <= response.status < 400:
            raise redirection(self._endpoint, response.status, response.headers.get("Location", ""))
        said = server_message(await _bounded_body(response, _ERROR_BYTES_MAX))
        if response.status == 200:
            raise CallInvalid(
                f"{self._endpoint} answered with {response.content_type} instead of {_KINDS[wanted]}: {said}"
            )
        wait = retry_after_seconds(response.headers)
        raise refusal(self._endpoint, response.status, said, request=request, retry_after=wait)

    async def _models(self) -> tuple[int, bytes]:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=self._deadlines.probe)
        try:
            async with self._session().get(
                f"{self._base_url}/models", timeout=limit, allow_redirects=False
            ) as response:
                return response.status, await _bounded_body(response, _LIST_BYTES_MAX)
        except TimeoutError as error:
            raise self._unanswered(f"did not answer within {self._deadlines.probe:g} s") from error
        except aiohttp.ClientSSLError as error:
            raise self._unreachable(
                f"cannot be reached: {_described(error)}", "name its authority's certificate as `tls: {ca: …}`"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unanswered(f"cannot be reached: {_described(error)}") from error

    def _unreachable(self, what: str, remedy: str | None = None) -> Unreachable:
        return Unreachable(what, where=str(self._endpoint), remedy=remedy or _START)

    def _unanswered(self, what: str) -> Unanswered:
        return Unanswered(what, where=str(self._endpoint), remedy=_START)

    def _said(self, body: bytes) -> str:
        return self._endpoint.masked(server_message(body)) or "no explanation"

    @contextlib.contextmanager
    def _model_errors(self, reader: AnswerReader, request: ChatRequest, timeout: float) -> Iterator[None]:
        """Everything that a call can raise becomes a ModelError. A connection lost after `finish` lost nothing but usage."""
        import aiohttp

        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            raise CallFailed(f"{self._endpoint} took no connection within {self._deadlines.connect:g} s") from error
        except Silent as error:
            raise TimedOut(f"{self._endpoint} fell silent: {error}") from error
        except TimeoutError as error:
            raise TimedOut(f"{self._endpoint} took longer than {timeout:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise CallFailed(f"{self._endpoint} cannot be reached: {_described(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            if reader.finish is None:
                raise CallFailed(f"{self._endpoint} broke the connection: {_described(error)}") from error
        except (EventTooLong, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CallFailed(f"{self._endpoint} sent what is no stream of answers: {_described(error)}") from error
        except ErrorInStream as error:
            raise self._broken_off(error, request) from error

    def _broken_off(self, stopped: ErrorInStream, request: ChatRequest) -> ModelError:
        code = stopped.error.code
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return refusal(self._endpoint, status, stopped.error.message, request=request)


def _named(request: ChatRequest) -> dict[str, str]:
    """vLLM calls a request by this header in its log. The end is random: two processes may ask the same question, and a server
    that still works on a request refuses another one of that name.
    """
    return {"X-Request-Id": f"{request.request_id}.{token_hex(4)}"} if request.request_id else {}


_START = "start the server, or correct `base_url`"
_PROBE_REMEDIES = {
    401: "check `api_key`",
    403: "check `api_key`",
    404: "check `base_url`, which mostly ends in /v1",
}


def _checked_address(name: str, base_url: str) -> str:
    try:
        return checked_address(base_url).rstrip("/")
    except ValueError as error:
        raise Rejected("base_url is no address of a server", where=f"model {name}", remedy=str(error)) from error


def _introduction(model: str, entry: _Listed, *, simulated: bool) -> str:
    length = f", up to {entry.max_model_len} tokens" if entry.max_model_len else ""
    return f"{model} by {entry.owned_by or 'an unnamed server'}{length}{' (simulated)' if simulated else ''}"


def _described(error: Exception) -> str:
    """In the system's words where there are some: aiohttp's name the socket and its options."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    return str(error) or type(error).__name__


async def _bounded_body(response: aiohttp.ClientResponse, size_max: int) -> bytes:
    body = b""
    while len(body) < size_max and (data := await response.content.readany()):
        body += data
    return body[:size_max]
