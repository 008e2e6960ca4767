"""Vectors of texts: those that are asked for at about the same time travel in one request.

embed("a") ─┐
embed("b") ─┼─ LINGER_S ─▶ POST /embeddings {"input": ["a", "b", "c"]} ─▶ a vector each, the tokens by their lengths
embed("c") ─┘

A request that is refused for one of its texts is sent once more, text by text, so that only that one is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from penstock.connectors.port import Piece
from penstock.operators.error import CallFailed, CallInvalid
from penstock.operators.event import EmbedRequest, Usage
from penstock.operators.model import RESERVED_PARAMETERS

LINGER_S = 0.005
TEXTS_MAX = 32
"""Of one request: servers have bounds of their own, and one that fails takes the others along."""
_NOT_HERE = RESERVED_PARAMETERS | {"max_tokens", "max_completion_tokens", "temperature"}

Send = Callable[[bytes, EmbedRequest, float], Awaitable[bytes]]
"""(body, request, seconds) to the body of the answer. Raises ModelError."""


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Counts(msgspec.Struct):
    prompt_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: str = ""
    usage: _Counts | None = None
    simulated: bool = False


class _Waiting:
    """A text and whoever waits for its vector, so many seconds."""

    def __init__(self, request: EmbedRequest, seconds: float) -> None:
        self.request, self.seconds = request, seconds
        self.piece: asyncio.Future[Piece] = asyncio.get_running_loop().create_future()

    @property
    def text(self) -> str:
        return self.request.messages[-1].content


class Embedder:
    """Of one endpoint: all its requests have the same model and parameters."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[_Waiting] = []
        self._due: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def embed(self, request: EmbedRequest, seconds: float) -> Piece:
        """One piece with the vector. Raises ModelError."""
        mine = _Waiting(request, seconds)
        self._waiting.append(mine)
        if len(self._waiting) >= TEXTS_MAX:
            self._depart()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(LINGER_S, self._depart)
        return await mine.piece

    async def close(self) -> None:
        for sending in self._sending:
            sending.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _depart(self) -> None:
        if self._due is not None:
            self._due.cancel()
        batch, self._waiting, self._due = self._waiting, [], None
        sending = asyncio.get_running_loop().create_task(self._carry(batch))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _carry(self, batch: Sequence[_Waiting]) -> None:
        """Whoever does not wait any more is left out. No exception is lost: each gets it that waits."""
        wanted = [each for each in batch if not each.piece.done()]
        if not wanted:
            return
        try:
            pieces = await self._asked(wanted)
        except CallInvalid as error:
            if len(wanted) == 1:
                _fail(wanted, error)
                return
            for each in wanted:
                await self._carry([each])
        except BaseException as error:
            _fail(wanted, error if isinstance(error, Exception) else CallFailed("the client was closed"))
            if not isinstance(error, Exception):
                raise
        else:
            for each, piece in zip(wanted, pieces, strict=True):
                if not each.piece.done():
                    each.piece.set_result(piece)

    async def _asked(self, batch: Sequence[_Waiting]) -> list[Piece]:
        texts, request = [each.text for each in batch], batch[0].request
        body = await self._send(encode_texts(request, texts), request, max(each.seconds for each in batch))
        return read_vectors(body, texts)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for each in batch:
        if not each.piece.done():
            each.piece.set_exception(error)


def encode_texts(request: EmbedRequest, texts: Sequence[str]) -> bytes:
    parameters = {name: value for name, value in request.parameters.items() if name not in _NOT_HERE}
    body: dict[str, Any] = {"model": request.model, **parameters, "input": texts, "encoding_format": "float"}
    return msgspec.json.encode(body)


def read_vectors(body: bytes, texts: Sequence[str]) -> list[Piece]:
    """A piece for each text. Raises CallFailed for what is no answer to this request."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CallFailed(f"the server sent what are no vectors: {error}") from error
    vectors = {each.index: each.embedding for each in answer.data}
    if vectors.keys() != set(range(len(texts))):
        raise CallFailed(f"the server was asked for {len(texts)} vectors and sent {len(answer.data)}")
    shares = shared(answer.usage.prompt_tokens if answer.usage else 0, [len(text) for text in texts])
    return [
        Piece("", "stop", Usage(shares[place], 0, 0), answer.model, answer.simulated, vector=tuple(vectors[place]))
        for place in range(len(texts))
    ]


def shared(tokens: int, lengths: Sequence[int]) -> list[int]:
    """What each text has of them, by its length; together exactly so many."""
    whole, shares, before = sum(lengths) or 1, list[int](), 0
    for end in range(1, len(lengths) + 1):
        upto = tokens if end == len(lengths) else tokens * sum(lengths[:end]) // whole
        shares.append(upto - before)
        before = upto
    return shares
