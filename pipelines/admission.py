"""The one point through which every model call goes.

    ask ──▶ queue (tasks take turns) ──▶ seat ──▶ attempt ──▶ Answered
              too long: intake pauses             ▲   ├─ Busy ─────────────▶ wait as told, intake pauses ─┐
                                                  │   ├─ CallFailed ───────▶ wait a random while ─────────┤
                                                  └───┼───────────────────────────────────────────────────┘
                                                      └─ CallInvalid, TimedOut, no time left ──▶ CallLost

Where calls wait for a seat, those of runs with a higher priority go first. A call with a delay joins the queue when that is over,
and takes nobody's place before.

The time limit of a call counts its attempts and the waits between them. Not counted is what is no fault of the call:
waiting for a seat, and for an endpoint that asked us to wait: that is back-pressure, and work upstream stops for it.

A call belongs to the session that asked for it. When a task is opened again, its calls are cancelled: the log knows the run,
and it is continued from what was committed, or asked again as a new attempt. Answers that had come, but not into a commit, are
kept and given to the new attempt. So calls in flight at a loss may be paid twice, nothing else. A task that is released lets
its calls end first, for a bounded time, and hands over how far they got.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from random import Random

import msgspec

from penstock.connectors.failpoint import failpoint
from penstock.connectors.port import Model, Piece, TaskId, WallClock
from penstock.operators.error import Busy, CallFailed, CallInvalid, ModelError, TimedOut
from penstock.operators.event import Answered, Ask, CallLost, FailureKind, Usage
from penstock.pipelines.backoff import Backoff
from penstock.pipelines.endpoint import Call, Endpoint, EndpointLimits, Heard
from penstock.pipelines.growing import Growing, Outlet
from penstock.pipelines.kept import KeptAnswers
from penstock.pipelines.meters import Meters

log = logging.getLogger("penstock.admission")

RETRY_FIRST = 0.25
RETRY_LONGEST = 10.0
LEASE_POLL = 0.1
"""Seconds between looks at a lease that has run out."""


class Admission:
    """Seats, deadlines, retries and cancellation of all model calls of a process. One asyncio task per call that has a seat.

    `on_bug` hears of exceptions that no model may raise: a call that ends without an answer would be a run that never ends.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        outlet: Outlet,
        clock: WallClock,
        random: Random,
        meters: Meters,
        on_bug: Callable[[BaseException], None],
        *,
        limits: Mapping[str, EndpointLimits] | None = None,
        previews: str | None = None,
    ) -> None:
        self._outlet, self._clock, self._random = outlet, clock, random
        self._meters, self._on_bug = meters, on_bug
        self._previews = previews
        bounds = limits or {}
        self.endpoints = {
            name: Endpoint(name, model, bounds.get(name, EndpointLimits())) for name, model in models.items()
        }
        self.kept = KeptAnswers()
        self._calls: dict[str, Call] = {}
        self._closed = False

    @property
    def saturated(self) -> bool:
        """Intake should pause: calls pile up, or an endpoint pushes back."""
        return any(endpoint.saturated for endpoint in self.endpoints.values())

    def continues(self, endpoint: str, question: str) -> bool:
        """Whether this endpoint could go on with a beginning of the answer; where the whole answer is kept, none is needed."""
        return self.endpoints[endpoint].model.continues and self.kept.find(question) is None

    @property
    def in_flight(self) -> int:
        """Calls that were asked for and have not ended."""
        return len(self._calls)

    def ask(self, ask: Ask, owner: TaskId, deliver: Callable[[Heard], None]) -> None:
        """Take on a call; what is heard of it goes to `deliver`, from the event loop, unless it is cancelled.

        A question whose answer is kept is answered at once.
        """
        kept = self.kept.find(ask.question)
        if kept is not None:
            self._deliver(ask, msgspec.structs.replace(kept, call_id=ask.call_id), deliver)
            return
        endpoint = self.endpoints[ask.endpoint]
        call = Call(ask, owner, deliver)
        self._calls[ask.call_id] = call
        endpoint.ledger.begun += 1
        if ask.delay:
            call.held = asyncio.get_running_loop().call_later(ask.delay / 1000, self._line_up, endpoint, call)
        else:
            self._line_up(endpoint, call)

    def _line_up(self, endpoint: Endpoint, call: Call) -> None:
        call.held = None
        endpoint.waiting.put(call)
        self._seat(endpoint)

    def cancel(self, call_id: str) -> None:
        """Nothing more is heard of the call; its stream is closed. Unknown or ended calls are none of our concern."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        endpoint = self.endpoints[call.ask.endpoint]
        endpoint.ledger.cancelled += 1
        if call.held is not None:
            call.held.cancel()
        elif call.work is None:
            endpoint.waiting.remove(call)
        else:
            call.work.cancel()

    def cancel_all(self, owner: TaskId) -> None:
        """The session of this task is over."""
        for call in self._calls_of(owner):
            self.cancel(call.ask.call_id)

    def awaited(self, owner: TaskId) -> bool:
        """A call of this task has not ended."""
        return bool(self._calls_of(owner))

    def begin_no_more(self, owner: TaskId) -> None:
        """Calls of this task that wait for a seat are cancelled: nothing of them was paid."""
        for call in self._calls_of(owner):
            if call.work is None:
                self.cancel(call.ask.call_id)

    def hand_over(self, owner: TaskId) -> None:
        """Nobody waits for these calls any longer: how far each has got is told, then it is cancelled."""
        for call in self._calls_of(owner):
            if call.growing is not None:
                call.growing.tell_newest()
            self.cancel(call.ask.call_id)

    def _calls_of(self, owner: TaskId) -> list[Call]:
        return [call for call in self._calls.values() if call.owner == owner]

    async def close(self) -> None:
        """Cancel everything and wait until every stream is closed."""
        self._closed = True
        under_way = [call.work for call in self._calls.values() if call.work is not None]
        for call_id in list(self._calls):
            self.cancel(call_id)
        await asyncio.gather(*under_way, return_exceptions=True)

    def _seat(self, endpoint: Endpoint) -> None:
        while endpoint.has_seat and endpoint.waiting and not self._closed:
            call = endpoint.waiting.take()
            endpoint.seated += 1
            call.work = asyncio.get_running_loop().create_task(self._work(endpoint, call))
            call.work.add_done_callback(partial(self._leave, endpoint, call))

    def _leave(self, endpoint: Endpoint, call: Call, work: asyncio.Task[bool]) -> None:
        """A call ended, one way or the other: its seat is free."""
        endpoint.seated -= 1
        call.growing = None  # it refers back to the call, and the text would wait for the collector
        if self._calls.get(call.ask.call_id) is call:
            del self._calls[call.ask.call_id]
        bug = None if work.cancelled() else work.exception()
        if bug is not None:
            self._on_bug(bug)
        answered = bug is None and not work.cancelled() and work.result()
        if endpoint.recover(self._clock.monotonic(), answered=answered):
            log.info("endpoint %s takes calls again", endpoint.name)
        self._seat(endpoint)

    async def _work(self, endpoint: Endpoint, call: Call) -> bool:
        """Carry the call to its end and tell; whether the endpoint answered it."""
        began = self._clock.monotonic()
        ended = await self._try_until_over(endpoint, call)
        self._meters.call_seconds.labels(endpoint.name).observe(self._clock.monotonic() - began)
        answered = isinstance(ended, Answered)
        if self._calls.get(call.ask.call_id) is call:
            del self._calls[call.ask.call_id]
            endpoint.ledger.count(ended.usage)
            endpoint.ledger.answered += answered
            endpoint.ledger.lost += not answered
            self._deliver(call.ask, ended, call.deliver)
        return answered

    def _deliver(self, ask: Ask, ended: Answered | CallLost, deliver: Callable[[Heard], None]) -> None:
        if isinstance(ended, Answered):
            self.kept.keep(ask.question, ended)
        deliver(ended)

    async def _try_until_over(self, endpoint: Endpoint, call: Call) -> Answered | CallLost:
        ask, left = call.ask, call.ask.time_limit / 1000
        backoff = Backoff(self._random, first=RETRY_FIRST, longest=RETRY_LONGEST)
        growing = Growing(call, self._outlet, self._previews, self._clock.monotonic())
        while True:
            await self._have_lease()
            began = self._clock.monotonic()
            try:
                last = await self._attempt(endpoint.model, ask, growing, left)
            except Busy as busy:
                left -= self._clock.monotonic() - began
                await self._wait_as_told(endpoint, busy, backoff)
            except ModelError as error:
                left -= self._clock.monotonic() - began
                if endpoint.failed():
                    log.warning("endpoint %s does not answer: %s", endpoint.name, error)
                pause = backoff.draw()
                if not error.retryable or left <= pause:
                    return CallLost(ask.call_id, _kind(error), str(error), spent=_spent(ask, left))
                left -= pause
                await self._clock.sleep(pause)
            else:
                left -= self._clock.monotonic() - began
                if endpoint.answered():
                    log.info("endpoint %s answers again", endpoint.name)
                return _answered(ask, growing.text, last, _spent(ask, left))
            endpoint.ledger.retried += 1

    async def _attempt(self, model: Model, ask: Ask, growing: Growing, seconds: float) -> Piece:
        """One stream to its last piece; the text is in `growing`."""
        failpoint("calling")
        growing.begin()
        last = None
        try:
            async with asyncio.timeout(seconds), aclosing(model.stream(ask.request, timeout=seconds)) as pieces:
                async for piece in pieces:
                    last = piece
                    if piece.text:
                        growing.add(piece.text, simulated=piece.simulated)
                        if not growing.silent:
                            await growing.show(self._clock.monotonic())
        except TimeoutError:
            raise TimedOut(f"no complete answer within {ask.time_limit / 1000:g} s") from None
        if last is None or last.finish is None:
            raise CallFailed("the stream ended before the answer did")
        await growing.tell_onlookers()
        return last

    async def _wait_as_told(self, endpoint: Endpoint, busy: Busy, backoff: Backoff) -> None:
        """Full jitter on top of what the server named: those that were sent away together must not come back together."""
        if endpoint.push_back(self._clock.monotonic()):
            log.warning("endpoint %s asks us to wait (%s); intake pauses until it answers", endpoint.name, busy)
        await self._clock.sleep((busy.retry_after or 0.0) + backoff.draw())

    async def _have_lease(self) -> None:
        """Protocol rule 9: nothing leaves a process that may have lost its tasks without knowing."""
        while self._outlet.lease() <= 0:
            await self._clock.sleep(LEASE_POLL)


def _answered(ask: Ask, text: str, last: Piece, spent: int) -> Answered:
    usage, finish = last.usage or Usage(), last.finish or ""
    return Answered(ask.call_id, text, finish, usage, last.served_model, last.simulated, spent, last.tops, last.vector)


def _spent(ask: Ask, left: float) -> int:
    """Milliseconds of the time limit that are used up when `left` seconds of it are left."""
    return round(min(ask.time_limit, ask.time_limit - 1000 * left))


def _kind(error: ModelError) -> FailureKind:
    if isinstance(error, TimedOut):
        return "timed_out"
    return "invalid" if isinstance(error, CallInvalid) else "failed"
