"""The ledger of model calls, kept by the model: who asked what, when that began, and when the answer was complete.

Where its story says so the model is moody: it sends callers away, or breaks off in the middle.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from random import Random

from penstock.connectors.port import Piece, WallClock
from penstock.connectors.scripted import rest_of
from penstock.operators.error import Busy, CallFailed
from penstock.operators.event import ChatRequest, Message, Usage

PIECES = 6


@dataclass(slots=True, eq=False)
class WatchedCall:
    """One call of one process. Times in seconds; `finished` is None while it is not, and for ever where it broke off."""

    owner: str
    run: str
    attempt: int
    messages: tuple[Message, ...]
    begun: float
    finished: float | None = None
    failed: bool = False
    """The model's own fault: whoever asks again pays for it once."""

    @property
    def partition(self) -> int:
        return int(self.run.partition("-")[0])

    @property
    def question(self) -> tuple[str, tuple[Message, ...]]:
        """What was asked, however far an earlier answer had got."""
        return self.run, self.messages


@dataclass(frozen=True, slots=True)
class Ways:
    """Of a model: a function of the prompt, how slow it is, and how often it fails, which chance decides."""

    answer: Callable[[ChatRequest], str]
    piece_seconds: float
    moods: float
    random: Random


class WatchedModel:
    """The model as one process reaches it: it answers everybody by the same function, in a few pieces."""

    continues = True

    def __init__(self, ways: Ways, owner: str, clock: WallClock, calls: list[WatchedCall]) -> None:
        self._ways, self._owner, self._clock, self._calls = ways, owner, clock, calls

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        ways = self._ways
        run, _, attempt = request.request_id.partition(".")
        call = WatchedCall(self._owner, run, int(attempt), request.messages, self._clock.monotonic())
        self._calls.append(call)
        breaks_off = ways.random.randrange(PIECES) if ways.random.random() < ways.moods else None
        rest = rest_of(ways.answer(request), request.continued)
        width = -(-len(rest) // PIECES) or 1
        for number, start in enumerate(range(0, len(rest), width)):
            await self._clock.sleep(ways.piece_seconds)
            if number == breaks_off:
                call.failed = True
                raise CallFailed("it broke off") if number else Busy("it is busy", ways.piece_seconds)
            yield Piece(rest[start : start + width], simulated=True)
        call.finished = self._clock.monotonic()
        yield Piece("", "stop", Usage(), request.model, simulated=True)

    async def probe(self) -> str:
        return "a scripted model (simulated)"

    async def close(self) -> None:
        """Nothing is held open."""
