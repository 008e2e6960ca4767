"""What can happen to a task (events) and what it may ask for (effects). Both unions are closed: match and `assert_never`.

Events are the only way in: time, records and answers are all arguments. Effects are the only way out, except for
what is saved: deltas and outputs leave together through `Task.cut()`, so that nobody can send the one without the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.operators.record import Raw


class Progress(msgspec.Struct, frozen=True):
    """How far one input was read: next offset to read, the end seen, and when that was at the earliest (processing time, ms)."""

    position: int
    end_seen: int
    seen_at: int

    @property
    def lag(self) -> int:
        """Records not read yet, counted by offsets."""
        return max(0, self.end_seen - self.position)

    @property
    def caught_up(self) -> bool:
        return self.position >= self.end_seen


class Arrived(msgspec.Struct, frozen=True):
    """Records per input topic, each list in offset order; `now` is processing time in ms.

    `most` bounds how many records a merge of several inputs gives out; None: all whose turn has come. `poison`: do not even
    read these records, they are dead letters (protocol rule 1).
    """

    records: Mapping[str, Sequence[Raw]]
    progress: Mapping[str, Progress]
    now: int
    most: int | None = None
    poison: bool = False


class Ticked(msgspec.Struct, frozen=True):
    """Processing time passed. Only idleness of inputs and waiting merges depend on it; `most` as in `Arrived`."""

    now: int
    progress: Mapping[str, Progress]
    most: int | None = None


class Ended(msgspec.Struct, frozen=True):
    """Every input was bounded and is read to its end: the watermark passes everything."""

    now: int


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of one model call, as the server counted them. `cached_tokens` is part of `input_tokens`."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


class Streamed(msgspec.Struct, frozen=True):
    """`text` is the whole answer so far, with what the call was given to continue; `simulated` as in `Answered`."""

    call_id: str
    text: str
    simulated: bool = False


Tops = tuple[tuple[str, float], ...]
"""The likeliest first tokens of an answer, each with its log-probability."""


class Answered(msgspec.Struct, frozen=True):
    """A model call ended. `text` is the whole answer, with what the call was given to continue; `finish` is the server's
    reason: `stop`, `length`, …; `simulated` when it says that it is no model.

    `spent` is how much of the call's `time_limit` it used (ms); waiting that did not count against it is not in it. `tops` are
    there where the request asks for them, `vector` is where it asks for nothing else.
    """

    call_id: str
    text: str
    finish: str
    usage: Usage
    served_model: str = ""
    simulated: bool = False
    spent: int = 0
    tops: Tops = ()
    vector: tuple[float, ...] = ()


FailureKind = Literal["failed", "invalid", "timed_out"]


class CallLost(msgspec.Struct, frozen=True):
    """A model call ended without an answer, after the client's own retries; `spent` as in `Answered`."""

    call_id: str
    kind: FailureKind
    message: str
    usage: Usage = Usage()
    spent: int = 0


Event = Arrived | Ticked | Ended | Streamed | Answered | CallLost


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True, gc=False):
    """What a model is asked, in the words of the OpenAI-compatible protocol. Nothing in it depends on when it is sent.

    `parameters` holds the model's `request:` map as written (temperature, max_tokens, …); `schema` is the JSON Schema of
    the answer, or None for free text. `continued` is the beginning of the answer, where there is one already: only the
    rest is generated. Only endpoints that continue texts are asked so (`port.Model.continues`). `request_id` is for the
    server's log and no part of the question.
    """

    model: str
    messages: tuple[Message, ...]
    parameters: dict[str, Any]
    schema: dict[str, Any] | None = None
    schema_name: str = "answer"
    priority: int | None = None
    cache_salt: str | None = None
    continued: str = ""
    request_id: str = ""


class EmbedRequest(ChatRequest, frozen=True, gc=False):
    """Asks for no answer, but for the vector of its only message."""


URGENCY: Mapping[str, int] = {"high": 0, "normal": 1, "low": 2}
"""Priorities of triggers, and the order in which their runs are asked."""
NORMAL = URGENCY["normal"]


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Ask the endpoint that the file calls `endpoint`. The answer comes back as an event with the same `call_id`.

    `question` is the same for every attempt of a run to ask this of this model: an answer that was paid for answers them all.
    `time_limit` in ms bounds the whole call with its retries; `partial_every` in ms asks for `Streamed` events, `preview`
    for token deltas on the previews topic. `priority`, one of `URGENCY`, is who goes first where calls wait. For `delay` ms the
    call waits before it joins them. `judges` is the trigger that asks about an event; then there is no run yet.
    """

    call_id: str
    question: str
    run: str
    key: str
    endpoint: str
    request: ChatRequest
    time_limit: int
    partial_every: int | None = None
    preview: bool = False
    priority: int = NORMAL
    delay: int = 0
    judges: str = ""


class Cancel(msgspec.Struct, frozen=True):
    """The answer to this call is not wanted any more: close the stream, which makes the server stop."""

    call_id: str


Effect = Ask | Cancel
