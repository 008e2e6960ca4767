"""The ledger of model calls, kept by the model: who asked what, when that began, and when the answer was complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from penstock.connectors.port import Piece, WallClock
from penstock.connectors.scripted import rest_of
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

    @property
    def partition(self) -> int:
        return int(self.run.partition("-")[0])

    @property
    def question(self) -> tuple[str, tuple[Message, ...]]:
        """What was asked, however far an earlier answer had got."""
        return self.run, self.messages


class WatchedModel:
    """The model as one process reaches it: it answers everybody by the same function, in a few pieces."""

    continues = True

    def __init__(
        self, answer: Callable[[ChatRequest], str], owner: str, clock: WallClock, calls: list[WatchedCall],
        piece_seconds: float,
    ) -> None:  # fmt: skip
        self._answer, self._owner, self._clock, self._calls = answer, owner, clock, calls
        self._piece_seconds = piece_seconds

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        run, _, attempt = request.request_id.partition(".")
        call = WatchedCall(self._owner, run, int(attempt), request.messages, self._clock.monotonic())
        self._calls.append(call)
        rest = rest_of(self._answer(request), request.continued)
        width = -(-len(rest) // PIECES) or 1
        for start in range(0, len(rest), width):
            await self._clock.sleep(self._piece_seconds)
            yield Piece(rest[start : start + width], simulated=True)
        call.finished = self._clock.monotonic()
        yield Piece("", "stop", Usage(), request.model, simulated=True)

    async def probe(self) -> str:
        return "a scripted model (simulated)"

    async def close(self) -> None:
        """Nothing is held open."""
