"""What a model server's refusal means: one sentence that names the endpoint and the remedy, as the right kind of error.

    429, 503                      Busy: wait, for Retry-After where it is given
    408, 425, other 5xx           CallFailed: worth a retry
    3xx, other 4xx                CallInvalid: the same request never helps

A key must never reach a log: some servers repeat it in their error text, so every text passes through `Endpoint.masked`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import msgspec

from penstock.connectors.vllm_wire import ServerError
from penstock.operators.error import Busy, CallFailed, CallInvalid, ModelError
from penstock.operators.event import ChatRequest

_SHOWN_CHARACTERS_MAX = 400
_RETRY_STATUSES = frozenset({408, 425})
_BUSY_STATUSES = frozenset({429, 503})

_REMEDIES = {
    401: "check `api_key`",
    403: "check `api_key`, and that it may use this model",
    404: "check `model`, and `base_url`, which mostly ends in /v1",
    405: "check `base_url`, which mostly ends in /v1",
    413: "make `context.window` smaller",
}
_OPTIONAL_FIELDS = (
    ("priority", ("priority",), "start vLLM with --scheduling-policy priority, or set no priority"),
    ("cache_salt", ("cache_salt",), "this server knows no cache_salt: use one that separates prefix caches"),
    ("stream_options", ("stream_options", "stream options", "include_usage"),
     "this server does not count tokens while it streams: use one that knows stream_options"),
    ("continued", ("continue_final_message", "add_generation_prompt", "final message", "last message"),
     "this server does not continue a text with this model: write `continues: false`"),
    ("response_format", ("response_format", "json_schema", "schema", "grammar", "structured", "guided"),
     "this server cannot hold answers to this schema: simplify `answer:` or use another server"),
)  # fmt: skip
"""Field of the request, words by which servers complain about it, remedy. Nothing is dropped silently instead."""


class _Body(msgspec.Struct):
    error: ServerError | str | None = None
    message: str | None = None
    detail: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How messages name a model server: the name in the file and the address, never the key."""

    name: str
    address: str
    key: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"model {self.name} at {self.address}"

    def masked(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def refusal(
    endpoint: Endpoint, status: int, text: str, *, request: ChatRequest | None = None, retry_after: float | None = None
) -> ModelError:
    """The error for an answer with this HTTP status; `text` is what the server said."""
    said = endpoint.masked(text) or "no explanation"
    if status in _BUSY_STATUSES:
        return Busy(f"{endpoint} is busy ({status}): {said}", retry_after)
    if status >= 500 or status in _RETRY_STATUSES:
        return CallFailed(f"{endpoint} failed ({status}): {said}")
    remedy = _remedy(status, text, request)
    return CallInvalid(f"{endpoint} refused the request ({status}): {said}" + (f" ({remedy})" if remedy else ""))


def redirection(endpoint: Endpoint, status: int, target: str) -> CallInvalid:
    """Redirects are not followed: a key and a prompt go where the file says, nowhere else."""
    shown = endpoint.masked(target.partition("?")[0]) or "nowhere"
    return CallInvalid(
        f"{endpoint} redirects ({status}) to {shown}, and redirects are not followed (write the final address as `base_url`)"
    )


def server_message(body: bytes) -> str:
    """What the server said, out of whatever it sent: the protocol's error object, other JSON, or plain text."""
    try:
        decoded = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _shown(body.decode("utf-8", "replace"))
    error = decoded.error
    said = error.message if isinstance(error, ServerError) else error
    return _shown(
        said or decoded.message or bytes(decoded.detail).decode().strip('"') or body.decode("utf-8", "replace")
    )


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `Retry-After`: a number, or a date, which is read against the server's own `Date`."""
    value = headers.get("Retry-After", "").strip()
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("Date", ""))
        return max((until - now).total_seconds(), 0.0)
    except (ValueError, TypeError):  # no date, or one with a zone and one without
        return None


def _shown(text: str) -> str:
    """One line without control characters, cut to a length that fits a message."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _SHOWN_CHARACTERS_MAX else line[:_SHOWN_CHARACTERS_MAX] + " …"


def _remedy(status: int, text: str, request: ChatRequest | None) -> str:
    said = text.lower()
    if request is not None and status in (400, 422):
        if "context length" in said or "context size" in said:
            return "make `context.window` or `max_tokens` smaller"
        for name, words, remedy in _OPTIONAL_FIELDS:
            if _sent(request, name) and any(word in said for word in words):
                return remedy
        return "check `request:` of this model"
    return _REMEDIES.get(status, "")


def _sent(request: ChatRequest, field_name: str) -> bool:
    optional = {
        "priority": request.priority is not None,
        "cache_salt": request.cache_salt is not None,
        "continued": bool(request.continued),
        "response_format": request.schema is not None,
    }
    return optional.get(field_name, True)
