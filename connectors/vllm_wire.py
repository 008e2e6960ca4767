"""The OpenAI-compatible chat protocol as bytes: one request out, streamed chunks in. No I/O.

Fields that are not used are not decoded. `simulated` is our own extension: the simulated server sets it in every chunk.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.connectors.port import Piece
from penstock.connectors.sse import EventParser
from penstock.operators.event import ChatRequest, Tops, Usage
from penstock.operators.model import RESERVED_PARAMETERS


class ServerError(msgspec.Struct, frozen=True):
    """The error object of the protocol; `code` is the HTTP status, some servers put a word there."""

    message: str = ""
    type: str | None = None
    code: int | str | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None


class _Top(msgspec.Struct, gc=False):
    token: str
    logprob: float


class _Token(msgspec.Struct, gc=False):
    top_logprobs: list[_Top] | None = None


class _Logprobs(msgspec.Struct, gc=False):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _PromptTokens(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Counts(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptTokens | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Counts | None = None
    model: str | None = None
    simulated: bool = False
    error: ServerError | str | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class ReservedParameter(ValueError):
    """`request:` names a field that is the client's own: it would change what the client relies on."""


class ErrorInStream(Exception):
    """The server gave up after the stream had begun."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


def encode_request(request: ChatRequest) -> bytes:
    """The body of a streaming chat completion. Raises ReservedParameter.

    With `continued` the last message is the beginning of the answer, left open. That is vLLM's own: it has to be said twice, or
    the template would open a new answer behind it, too.
    """
    taken = RESERVED_PARAMETERS & request.parameters.keys()
    if taken:
        raise ReservedParameter(", ".join(sorted(taken)))
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        **request.parameters,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.schema is not None:
        answer = {"name": request.schema_name, "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": answer}
    if request.continued:
        body["messages"].append({"role": "assistant", "content": request.continued})
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    if request.priority is not None:
        body["priority"] = request.priority
    if request.cache_salt is not None:
        body["cache_salt"] = request.cache_salt
    return msgspec.json.encode(body)


class AnswerReader:
    """One streamed answer, read incrementally. `finish` is None until the server said why it stopped."""

    __slots__ = ("_model", "_parser", "_tops", "_usage", "done", "finish", "simulated")

    def __init__(self) -> None:
        self._parser = EventParser()
        self._usage: Usage | None = None
        self._model = ""
        self._tops: Tops = ()
        self.simulated = False
        self.finish: str | None = None
        self.done = False

    def feed(self, data: bytes) -> str:
        """Text that these bytes completed; many events of one read come out as one text.

        Raises ErrorInStream, EventTooLong, msgspec.DecodeError and msgspec.ValidationError.
        """
        events = self._parser.feed(data)
        return self._text(events[0]) if len(events) == 1 else "".join([self._text(event) for event in events])

    def last(self) -> Piece:
        """The closing piece: why it stopped, what it cost, who answered."""
        return Piece("", self.finish, self._usage, self._model, self.simulated, self._tops)

    def _text(self, event: bytes) -> str:
        if self.done or event == b"[DONE]":
            self.done = True
            return ""
        chunk = _decode_chunk(event)
        if chunk.error is not None:
            raise ErrorInStream(ServerError(chunk.error) if isinstance(chunk.error, str) else chunk.error)
        if chunk.usage is not None:
            self._usage = _usage(chunk.usage)
        if not self._model:
            self._model, self.simulated = chunk.model or "", chunk.simulated
        text = ""
        for choice in chunk.choices:
            if choice.index == 0:
                self.finish = choice.finish_reason or self.finish
                text = (choice.delta and choice.delta.content) or ""
                if choice.logprobs is not None and not self._tops:
                    self._tops = _tops(choice.logprobs)
        return text


def _tops(logprobs: _Logprobs) -> Tops:
    first = logprobs.content[0].top_logprobs if logprobs.content else None
    return tuple((top.token, top.logprob) for top in first or ())


def _usage(counts: _Counts) -> Usage:
    details = counts.prompt_tokens_details
    cached = details.cached_tokens if details else None
    return Usage(counts.prompt_tokens, cached or 0, counts.completion_tokens or 0)
