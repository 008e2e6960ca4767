"""What the simulated server will generate for one request: tokens, reason for stopping, counts, and the fault it meets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from penstock.connectors.scripted import rest_of
from penstock.operators.event import Tops
from penstock.operators.prefix import BLOCK, PrefixCache, pieces, prompt_ids
from penstock.pipelines.fake_answer import Rule, simulated_answer
from penstock.pipelines.fake_choice import simulated_tops
from penstock.pipelines.fake_fault import NO_FAULTS, Fault, FaultRates, FaultSource
from penstock.pipelines.fake_protocol import ChatCall, Counts, Rejection, bad_request, check_call
from penstock.pipelines.fake_schema import Unsupported

EVERY_MODEL = "*"
_GARBAGE = "I am sorry, but {as a simulated model: I had rather not"
_WRONG = '{"not_asked_for": "simulated"}'


@dataclass(frozen=True, slots=True)
class FakeModelOptions:
    """What vLLM calls the same is the same here. Port 0: a free one. `models` empty: every name is served.

    `tokens_per_second` is the pace of each stream, 0 as fast as it can; `ttft` in seconds before a first token. `log` is
    a file that every call is noted in (`fake_log.py`).
    """

    host: str = "127.0.0.1"
    port: int = 0
    models: tuple[str, ...] = ()
    api_key: str | None = None
    tokens_per_second: float = 0.0
    ttft: float = 0.0
    max_num_seqs: int = 256
    max_num_queued_reqs: int | None = None
    max_model_len: int = 32_768
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    block_size: int = BLOCK
    faults: FaultRates = NO_FAULTS
    answers: tuple[Rule, ...] = ()
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One accepted request. `delivered` is how many of the tokens leave before the connection is cut."""

    call_id: str
    model: str
    tokens: list[str]
    finish: str
    counts: Counts
    delivered: int
    slow: bool
    tops: Sequence[Tops] | None = None

    @property
    def cut(self) -> bool:
        return self.delivered < len(self.tokens)


class Planner:
    """Decides everything about a request that does not depend on time. Holds the prefix cache and the faults."""

    def __init__(self, options: FakeModelOptions) -> None:
        self._options = options
        self._faults = FaultSource(options.faults)
        self._planned = 0
        self.cache = PrefixCache(block=options.block_size)

    def plan(self, call: ChatCall) -> Work:
        """Raises Rejection for what vLLM would refuse, and where a fault says so."""
        options = self._options
        check_call(call, models=options.models, priorities=options.scheduling_policy == "priority")
        prompt = call.prompt()
        ids = prompt_ids(prompt, call.continued)
        room = options.max_model_len - len(ids)
        if room < 1:
            raise bad_request(
                f"This model's maximum context length is {options.max_model_len} tokens, but the messages have "
                f"{len(ids)} tokens. Please reduce the length of the messages.", "messages"
            )  # fmt: skip
        fault = self.refuse_if_unlucky(ids.tobytes())
        try:
            text = _left_to_say(call, simulated_answer(prompt, call.schema, options.answers))
        except Unsupported as error:
            raise bad_request(f"The json_schema cannot be satisfied: {error}", "response_format") from error
        tokens, finish = limited(_spoilt(text, fault), call, room, endless=fault == "endless")
        self._planned += 1
        return Work(
            call_id=f"chatcmpl-{self._planned:016x}",
            model=call.model or EVERY_MODEL,
            tokens=tokens,
            finish=finish,
            counts=Counts(len(ids), self.cache.lookup_and_add(ids, call.cache_salt or "")),
            delivered=len(tokens) // 2 if fault == "cut" else len(tokens),
            slow=fault == "slow",
            tops=simulated_tops(prompt, tokens, options.answers, call.top_logprobs or 0) if call.logprobs else None,
        )

    def refuse_if_unlucky(self, prompt: bytes) -> Fault | None:
        """The fault that this prompt meets. Raises Rejection where it is that the server has no time."""
        fault = self._faults.draw(prompt)
        if fault == "busy":
            raise Rejection(503, "ServiceUnavailableError", "The server is busy on purpose.")
        return fault


def _left_to_say(call: ChatCall, answer: str) -> str:
    """As in vLLM a grammar begins afresh behind a text that is continued."""
    return answer if call.schema is not None else rest_of(answer, call.continued)


def _spoilt(text: str, fault: Fault | None) -> str:
    match fault:
        case "empty":
            return ""
        case "garbage":
            return _GARBAGE
        case "wrong":
            return _WRONG
        case "endless":
            return text[: len(text) // 2]
        case _:
            return text


def limited(text: str, call: ChatCall, room: int, *, endless: bool = False) -> tuple[list[str], str]:
    """The text's tokens up to a stop text and within the request's and the model's length, and the reason for stopping.

    `ignore_eos` runs on to the very limit: into spaces behind JSON, as grammars allow, and into more of the same behind text.
    So does `endless`, whatever was asked for.
    """
    stops = [call.stop] if isinstance(call.stop, str) else call.stop or []
    ends = [position for stop in stops if stop and (position := text.find(stop)) >= 0]
    tokens = [piece.decode() for piece in pieces(text[: min(ends)] if ends else text)] or [""]
    limit = room if call.token_limit is None else min(call.token_limit, room)
    runs_on = endless or (call.ignore_eos and call.token_limit is not None)
    if runs_on:
        tokens += _filling(tokens, limit - len(tokens), constrained=call.schema is not None)
    if len(tokens) > limit or (runs_on and len(tokens) == limit):
        return tokens[:limit], "length"
    return tokens, "stop"


def _filling(tokens: Sequence[str], count: int, *, constrained: bool) -> list[str]:
    return [" " if constrained else tokens[index % len(tokens)] for index in range(count)]
