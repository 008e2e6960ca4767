"""One model server as seen from here: its seats, who waits for one, whether it pushes back, what it was asked so far."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.connectors.port import Model, TaskId
from penstock.operators.event import Answered, Ask, CallLost, Streamed, Usage

if TYPE_CHECKING:
    from penstock.pipelines.growing import Growing

BUSY_SECONDS_MIN = 1.0
"""An endpoint that asked us to wait counts as busy for at least so long, or the mark would flicker with every answer."""

Heard = Streamed | Answered | CallLost
"""What can be heard of a call: any number of `Streamed`, then one of the others, then nothing."""


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """`concurrency`: calls under way at once. `queue`: calls that may wait for a seat before intake should pause."""

    concurrency: int = 64
    queue: int = 256


@dataclass(slots=True)
class Ledger:
    """What an endpoint was asked since the process began; `begun` = answered + lost + cancelled + still under way."""

    begun: int = 0
    answered: int = 0
    lost: int = 0
    cancelled: int = 0
    retried: int = 0
    pushed_back: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def count(self, usage: Usage) -> None:
        self.input_tokens += usage.input_tokens
        self.cached_input_tokens += usage.cached_input_tokens
        self.output_tokens += usage.output_tokens


@dataclass(slots=True, eq=False)
class Call:
    """One `Ask` of a task and where its answer goes.

    `held` is there while it is delayed, `work` while it has a seat, and `growing` what it has said.
    """

    ask: Ask
    owner: TaskId
    deliver: Callable[[Heard], None]
    held: asyncio.TimerHandle | None = None
    work: asyncio.Task[bool] | None = None
    growing: Growing | None = None


class FairQueue:
    """Calls that wait for a seat, the most urgent first.

    Among equals tasks take turns: one that asks a thousand times at once does not hold up the others.
    """

    def __init__(self) -> None:
        self._by_priority: dict[int, OrderedDict[TaskId, dict[str, Call]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, call: Call) -> None:
        by_owner = self._by_priority.setdefault(call.ask.priority, OrderedDict())
        by_owner.setdefault(call.owner, {})[call.ask.call_id] = call
        self._size += 1

    def take(self) -> Call:
        """The oldest of the most urgent calls of the task whose turn it is; the queue must not be empty."""
        by_owner = self._by_priority[min(self._by_priority)]
        owner, calls = next(iter(by_owner.items()))
        call = calls[next(iter(calls))]
        self.remove(call)
        if calls:
            by_owner.move_to_end(owner)
        return call

    def remove(self, call: Call) -> None:
        by_owner = self._by_priority[call.ask.priority]
        calls = by_owner[call.owner]
        del calls[call.ask.call_id]
        self._size -= 1
        if not calls:
            del by_owner[call.owner]
        if not by_owner:
            del self._by_priority[call.ask.priority]


class Endpoint:
    """The model behind one name of the file, with its seats.

    A call that was asked to wait keeps its seat: that is what slows us down.
    """

    def __init__(self, name: str, model: Model, limits: EndpointLimits) -> None:
        self.name, self.model, self.limits = name, model, limits
        self.waiting = FairQueue()
        self.seated = 0
        self.ledger = Ledger()
        self._full = False
        self._busy_since: float | None = None
        self._pushed_back_at = 0.0
        self._failing = False

    @property
    def has_seat(self) -> bool:
        return self.seated < self.limits.concurrency

    @property
    def busy(self) -> bool:
        """It asked us to wait and has not answered properly since."""
        return self._busy_since is not None

    @property
    def saturated(self) -> bool:
        """More work should not be looked for: too much waits already, or the endpoint pushes back."""
        waiting, bound = len(self.waiting), self.limits.queue
        self._full = waiting > (bound // 2 if self._full else bound)
        return self._full or self.busy

    def failed(self) -> bool:
        """An attempt went wrong; whether that is news since it last answered."""
        news, self._failing = not self._failing, True
        return news

    def answered(self) -> bool:
        """An attempt went well; whether the one before it did not."""
        news, self._failing = self._failing, False
        return news

    def push_back(self, now: float) -> bool:
        """It asked us to wait; whether that is news. `now` in monotonic seconds."""
        self.ledger.pushed_back += 1
        self._pushed_back_at = now
        news = self._busy_since is None
        if news:
            self._busy_since = now
        return news

    def recover(self, now: float, *, answered: bool) -> bool:
        """A call ended; whether that means that the endpoint is not busy any more, and was before.

        Without a call under way nobody could ever find out that it takes calls again: so it is given the benefit of doubt.
        """
        if self._busy_since is None:
            return False
        if (answered and now - self._pushed_back_at >= BUSY_SECONDS_MIN) or self.seated == 0:
            self._busy_since = None
            return True
        return False
