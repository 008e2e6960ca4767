"""A model for tests and scenarios: it answers by a function of the request, and fails where its script says so.

    model = ScriptedModel(lambda request: '{"verdict": "attack"}', script=[Overloaded(1.0), CutAfter(3)])

The first call is told to wait, the second breaks off after three pieces, all later ones are answered. A script that is a
function of (request, how often this very prompt was asked before) does not depend on the order in which keys are asked.

An answer that is continued is a function of the question, too: what was said before is left out of it. The answer to an
`EmbedRequest` is the vector as JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from penstock.connectors.port import Piece
from penstock.operators.error import Busy, CallFailed, CallInvalid, ModelError, TimedOut
from penstock.operators.event import ChatRequest, EmbedRequest, Message, Usage
from penstock.operators.prefix import PrefixCache, pieces, prompt_ids

Answer = Callable[[ChatRequest], str]


@dataclass(frozen=True, slots=True)
class Say:
    """Answer this text instead, with this reason for stopping; behind a beginning that is continued, too."""

    text: str
    finish: str = "stop"


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Ask the caller to wait (429, 503)."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class CutAfter:
    """Break the connection after so many pieces; 0: before the first."""

    pieces: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the request for good (4xx)."""

    reason: str = "refused by the script"


@dataclass(frozen=True, slots=True)
class Wait:
    """Be silent for so many seconds, then answer. Longer than the call's limit: it times out."""

    seconds: float


Step = Say | Overloaded | CutAfter | Refuse | Wait | None
"""What one call meets; None: it is answered."""
Script = Sequence[Step] | Callable[[ChatRequest, int], Step]


@dataclass(slots=True)
class Call:
    """One line of the ledger. `open` ends as one of the other three."""

    request: ChatRequest
    state: Literal["open", "finished", "failed", "cancelled"] = "open"
    text: str = ""


def answer_by_rules(rules: Mapping[str, str | Mapping[str, Any]], otherwise: str | Mapping[str, Any]) -> Answer:
    """The answer of the first rule whose text occurs in the request's messages; a mapping is answered as JSON."""

    def answer(request: ChatRequest) -> str:
        prompt = "\n".join(message.content for message in request.messages)
        chosen = next((rule for text, rule in rules.items() if text in prompt), otherwise)
        return chosen if isinstance(chosen, str) else json.dumps(chosen)

    return answer


def rest_of(text: str, begun: str) -> str:
    """What is left to say of `text` behind its beginning. Somebody else's beginning is followed by all of it."""
    return text.removeprefix(begun) if text.startswith(begun) else f" {text}"


class ScriptedModel:
    """Keeps the promises of `port.Model` without a network. `calls` is the ledger, in the order of asking.

    Tokens and cached tokens are counted with the simulated prefix cache. `seconds_per_piece` spreads an answer over time;
    `sleep` is the only time it knows. `continues` as in the port.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        script: Script = (),
        seconds_per_piece: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        continues: bool = True,
    ) -> None:
        self.continues = continues
        self._answer, self._script = answer, script
        self._seconds_per_piece, self._sleep = seconds_per_piece, sleep
        self._cache = PrefixCache()
        self._asked: Counter[tuple[Message, ...]] = Counter()
        self.calls: list[Call] = []

    def count(self, state: Literal["open", "finished", "failed", "cancelled"]) -> int:
        return sum(call.state == state for call in self.calls)

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        step = self._next_step(request)
        call = Call(request)
        self.calls.append(call)
        try:
            generated = await self._begin(request, step, timeout)
            usage = self._usage(request, generated)
            for piece in self._until_cut(generated, step, timeout):
                await self._sleep(self._seconds_per_piece)
                call.text += piece
                yield Piece("" if isinstance(request, EmbedRequest) else piece, simulated=True)
            call.state = "finished"
            finish = step.finish if isinstance(step, Say) else "stop"
            tops = ((call.text, 0.0),) if request.parameters.get("logprobs") else ()
            vector = tuple(json.loads(call.text)) if isinstance(request, EmbedRequest) else ()
            yield Piece("", finish, usage, request.model, simulated=True, tops=tops, vector=vector)
        except ModelError:
            call.state = "failed"
            raise
        finally:
            if call.state == "open":
                call.state = "cancelled"

    async def probe(self) -> str:
        return "a scripted model (simulated)"

    async def close(self) -> None:
        """Nothing is held open."""

    def _next_step(self, request: ChatRequest) -> Step:
        before = self._asked[request.messages]
        self._asked[request.messages] += 1
        if callable(self._script):
            return self._script(request, before)
        return self._script[len(self.calls)] if len(self.calls) < len(self._script) else None

    async def _begin(self, request: ChatRequest, step: Step, timeout: float) -> list[str]:
        """The pieces that this call would generate, or the error that it meets before the first."""
        match step:
            case None | CutAfter():
                text = self._answered(request)
            case Say():
                text = step.text
            case Wait():
                await self._sleep(min(step.seconds, timeout))
                if step.seconds >= timeout:
                    raise TimedOut(f"scripted: silent for {timeout:g} s")
                text = self._answered(request)
            case Overloaded():
                raise Busy("scripted: busy", step.retry_after)
            case Refuse():
                raise CallInvalid(f"scripted: {step.reason}")
            case _:
                assert_never(step)
        return [text] if isinstance(request, EmbedRequest) else [piece.decode() for piece in pieces(text)]

    def _answered(self, request: ChatRequest) -> str:
        return rest_of(self._answer(request), request.continued)

    def _until_cut(self, generated: list[str], step: Step, timeout: float) -> Iterator[str]:
        for number, piece in enumerate(generated):
            if isinstance(step, CutAfter) and number >= step.pieces:
                break
            if number * self._seconds_per_piece >= timeout:
                raise TimedOut(f"scripted: not done after {timeout:g} s")
            yield piece
        if isinstance(step, CutAfter):
            raise CallFailed(f"scripted: cut after {step.pieces} pieces")

    def _usage(self, request: ChatRequest, generated: list[str]) -> Usage:
        prompt = prompt_ids(request.messages, request.continued)
        cached = self._cache.lookup_and_add(prompt, request.cache_salt or "")
        return Usage(len(prompt), cached, len(generated))
