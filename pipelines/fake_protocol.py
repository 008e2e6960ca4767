"""vLLM's chat protocol from the server's side: requests in, refusals and answers out, as bytes.

`created` is always 0 and ids count up, so that equal requests get equal bytes. Every answer says `"simulated": true`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from penstock.operators.event import Message, Tops

FINGERPRINT = "penstock-fake"
TOPS_MAX = 20
"""What vLLM allows unless it is told otherwise (`--max-logprobs`)."""
_encode = msgspec.json.encode


class ContentPart(msgspec.Struct):
    type: str
    text: str = ""


class Turn(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class JsonSchema(msgspec.Struct):
    name: str
    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatCall(msgspec.Struct):
    """The fields that the simulated server obeys; the others are accepted and ignored, as vLLM does."""

    messages: list[Turn]
    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    n: int | None = 1
    stop: str | list[str] | None = None
    ignore_eos: bool = False
    response_format: ResponseFormat | None = None
    priority: int = 0
    cache_salt: str | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool = False
    logprobs: bool | None = False
    top_logprobs: int | None = None

    def prompt(self) -> list[Message]:
        """The messages that are answered, without a beginning of the answer."""
        answered = self.messages[:-1] if self.continue_final_message else self.messages
        return [Message(_ROLES.get(turn.role, "user"), _text(turn.content)) for turn in answered]

    @property
    def continued(self) -> str:
        """The beginning of the answer that is to be continued; empty: it begins afresh."""
        return _text(self.messages[-1].content) if self.continue_final_message else ""

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema that the answer is held to; None for free text."""
        form = self.response_format
        if form is None or form.type == "text":
            return None
        return (form.json_schema.schema if form.json_schema else None) or _ANY_OBJECT


_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "developer": "system", "assistant": "assistant",
}  # fmt: skip
_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {"answer": {"type": "string"}}}
decode_call = msgspec.json.Decoder(ChatCall).decode


def _text(content: str | list[ContentPart] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content)
    return content or ""


class Rejection(Exception):
    """A request that is refused: HTTP status, the error's type and message, the field that is wrong."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.param = status, kind, message, param

    def body(self) -> bytes:
        return _encode(
            {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}
        )


def bad_request(message: str, param: str | None = None) -> Rejection:
    return Rejection(400, "BadRequestError", message, param)


def check_call(call: ChatCall, *, models: Sequence[str], priorities: bool) -> None:
    """Refuses what vLLM refuses, in its words. An empty `models` serves every name."""
    if models and call.model is not None and call.model not in models:
        raise Rejection(404, "NotFoundError", f"The model `{call.model}` does not exist.", "model")
    if not call.messages:
        raise bad_request("`messages` must not be empty", "messages")
    if call.token_limit is not None and call.token_limit < 1:
        raise bad_request(f"max_tokens must be at least 1, got {call.token_limit}.", "max_tokens")
    if call.temperature is not None and call.temperature < 0:
        raise bad_request(f"temperature must be non-negative, got {call.temperature}.", "temperature")
    if call.stream_options is not None and not call.stream:
        raise bad_request("Stream options can only be defined when `stream=True`.", "stream_options")
    if call.priority != 0 and not priorities:
        raise bad_request(f"Got priority {call.priority} but Priority scheduling is not enabled.", "priority")
    if call.cache_salt == "":
        raise bad_request("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")
    _check_logprobs(call)
    if call.continue_final_message:
        _check_continued(call)
    if call.n not in (None, 1):
        raise bad_request("n must be 1: the simulated server gives one answer.", "n")
    form = call.response_format
    if (
        form is not None
        and form.type == "json_schema"
        and (form.json_schema is None or form.json_schema.schema is None)
    ):
        raise bad_request(
            "response_format of type json_schema needs a `json_schema` with a `schema`.", "response_format"
        )


def _check_logprobs(call: ChatCall) -> None:
    if not call.top_logprobs:
        return
    if call.top_logprobs < 0:
        raise bad_request(f"`top_logprobs` must be a positive value, got {call.top_logprobs}.", "top_logprobs")
    if not call.logprobs:
        raise bad_request("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    if call.top_logprobs > TOPS_MAX:
        raise bad_request(
            f"Requested sample logprobs of {call.top_logprobs}, which is greater than max allowed: {TOPS_MAX}",
            "top_logprobs",
        )


def _check_continued(call: ChatCall) -> None:
    """The first refusal is vLLM's own, the second the tokenizers' (`transformers`), the third that of Mistral's."""
    if call.add_generation_prompt:
        raise bad_request("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    if call.add_generation_prompt is None:
        raise bad_request("continue_final_message and add_generation_prompt are not compatible.")
    if call.messages[-1].role != "assistant":
        raise bad_request(
            "Cannot set `continue_final_message` to True when the last message is not from the assistant."
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of one request."""

    prompt: int
    cached: int

    def usage(self, generated: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + generated,
            "completion_tokens": generated,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class StreamWriter:
    """The events of one streamed answer. What is equal in all of them is encoded once."""

    def __init__(
        self,
        call_id: str,
        model: str,
        tokens: Sequence[str],
        finish: str,
        counts: Counts,
        options: StreamOptions,
        tops: Sequence[Tops] | None = None,
    ) -> None:
        """`tops`: the likeliest tokens in the place of each, where the request asks for log-probabilities."""
        self._tops = tops
        head = {"id": call_id, "object": "chat.completion.chunk", "created": 0, "model": model}
        self._head = b"data: " + _encode({**head, "system_fingerprint": FINGERPRINT, "simulated": True})[:-1]
        self._tokens, self._finish, self._counts, self._options = tokens, finish, counts, options

    def opening(self) -> bytes:
        return self._event(b'{"role":"assistant","content":""}', None, 0, b"null")

    def events(self, first: int, end: int) -> bytes:
        """One event for each of the tokens [first, end), and what closes the stream behind the last of all."""
        last = len(self._tokens) - 1
        events = []
        for index in range(first, end):
            content = b'{"content":' + _encode(self._tokens[index]) + b"}"
            logprobs = b"null" if self._tops is None else _encode(told_logprobs(self._tops[index : index + 1]))
            events.append(self._event(content, self._finish if index == last else None, index + 1, logprobs))
        if end > last:
            events.append(self._closing())
        return b"".join(events)

    def _closing(self) -> bytes:
        done = b"data: [DONE]\n\n"
        if not self._options.include_usage:
            return done
        return self._head + b',"choices":[],"usage":' + _encode(self._counts.usage(len(self._tokens))) + b"}\n\n" + done

    def _event(self, delta: bytes, finish: str | None, generated: int, logprobs: bytes) -> bytes:
        reason = b'"' + finish.encode() + b'"' if finish else b"null"
        usage = b""
        if self._options.continuous_usage_stats:
            usage = b',"usage":' + _encode(self._counts.usage(generated))
        return (
            self._head + b',"choices":[{"index":0,"delta":' + delta + b',"logprobs":' + logprobs + b',"finish_reason":'
            + reason + b',"token_ids":null}]' + usage + b"}\n\n"
        )  # fmt: skip


def told_logprobs(tops: Sequence[Tops]) -> dict[str, Any]:
    """Of each token the likeliest in its place, itself first."""
    return {"content": [{**_logprob(*each[0]), "top_logprobs": [_logprob(*top) for top in each]} for each in tops]}


def _logprob(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def completion(
    call_id: str, model: str, tokens: Sequence[str], finish: str, counts: Counts, tops: Sequence[Tops] | None = None
) -> bytes:
    """The whole answer in one body, for requests that do not stream."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(tokens), "refusal": None, "tool_calls": []}
    logprobs = None if tops is None else told_logprobs(tops)
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish, "stop_reason": None}
    return _encode({
        "id": call_id, "object": "chat.completion", "created": 0, "model": model, "choices": [choice],
        "usage": counts.usage(len(tokens)), "system_fingerprint": FINGERPRINT, "simulated": True,
    })  # fmt: skip


def model_list(models: Sequence[str], max_model_len: int) -> bytes:
    entries: list[dict[str, Any]] = [
        {"id": name, "object": "model", "created": 0, "owned_by": "penstock-fake", "root": name, "parent": None,
         "max_model_len": max_model_len, "permission": []}
        for name in models
    ]  # fmt: skip
    return _encode({"object": "list", "data": entries, "simulated": True})
