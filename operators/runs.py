"""The runs of a task: one after the other per key and agent, each kept until its outcome and its episode are over.

firing ─▶ queued ─▶ (first in its queue) started ─▶ outcome ─▶ runs that follow it ─▶ next in the queue starts
                                                    └─▶ episode open: kept until `resolve`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from penstock.operators.agent import (
    Action,
    Publish,
    feed_run,
    finished,
    has_outcome,
    reopen_run,
    resolve_run,
    start_run,
)
from penstock.operators.context import Context
from penstock.operators.continuation import Continues
from penstock.operators.definitions import Definitions
from penstock.operators.event import Answered, Ask, CallLost, Cancel, Streamed
from penstock.operators.following import Following
from penstock.operators.key_state import Counts
from penstock.operators.outlet import Outlet
from penstock.operators.run import Run
from penstock.operators.unsaved import Unsaved
from penstock.operators.watermark import END_OF_TIME

RUNS_AT_ONCE = 20
"""So many prompts are written in a few milliseconds."""
Queue = list[str]
"""Ids of runs of one (key, agent) without an outcome; the first one is under way. Mostly alone: a deque takes 600 bytes."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Run)


class Runs:
    """Open runs by id, and who waits for whom. Effects are collected in `effects` until the task takes them.

    `counters` are the task's: outcomes that are less than they should be are counted there.
    """

    def __init__(
        self,
        definitions: Definitions,
        unsaved: Unsaved,
        outlet: Outlet,
        context_of: Callable[[str], Context],
        following: Following,
        counters: Counts,
    ) -> None:
        self._plan_of, self._context_of = definitions.plan_of, context_of
        self._unsaved, self._outlet, self._following, self._counters = unsaved, outlet, following, counters
        self._runs: dict[str, Run] = {}
        self._queues: dict[tuple[str, str | None], Queue] = {}
        self._waiting = 0
        self._of_key: dict[str, dict[str, None]] = {}
        self._run_of_call: dict[str, str] = {}
        self._call_of_run: dict[str, str] = {}
        self.effects: list[Ask | Cancel] = []

    def __len__(self) -> int:
        """Runs without an outcome, under way or queued."""
        return self._waiting

    @property
    def earliest_followed(self) -> int:
        """The event time from which on other runs may yet begin with an outcome. O(runs without one), where there is `after`."""
        if not self._following.agents:
            return END_OF_TIME
        waiting = [queue for (_, agent), queue in self._queues.items() if agent in self._following.agents]
        return min((self._runs[run].firing.at for queue in waiting for run in queue), default=END_OF_TIME)

    def open(self, run: Run) -> None:
        """Take up a new run; it starts at once if nothing of its key and agent is under way."""
        self._hold(run)
        queue = self._queues.setdefault((run.key, run.agent), [])
        queue.append(run.id)
        self._waiting += 1
        self._unsaved.runs[run.id] = None
        if len(queue) == 1:
            self._act(run, start_run(run, self._plan_of(run), self._context_of(run.key)))

    def feed(self, event: Streamed | Answered | CallLost) -> None:
        """An answer finds its run by its call; one that nobody waits for is ignored (protocol rule 11)."""
        run = self._runs.get(self._run_of_call.get(event.call_id, ""))
        if run is not None:
            self._act(run, feed_run(run, event, self._plan_of(run), self._context_of(run.key)))

    def resolve(self, run_id: str, at: int, because: str | None = None) -> bool:
        """The episode of this run is over. Whether there is such a run."""
        run = self._runs.get(run_id)
        if run is not None:
            self._act(run, resolve_run(run, at, self._plan_of(run), because))
        return run is not None

    def end_episodes(self, name: str, at: int, because: str) -> bool:
        """Those of one key end at event time `at` (ms), or where they began after it. Whether one of its runs has no outcome."""
        for run in [self._runs[run_id] for run_id in self.of_key(name)]:
            if run.in_episode:
                self._counters["resolved", run.firing.trigger] += 1
                self.resolve(run.id, max(at, run.firing.at), because)
        return any(not has_outcome(self._runs[run_id]) for run_id in self.of_key(name))

    def in_episodes(self) -> list[Run]:
        """Those whose episode has not ended."""
        return [run for run in self._runs.values() if run.in_episode]

    def _act(self, run: Run, actions: Sequence[Action]) -> None:
        """Then it is the turn of the next, if this one ended. A loop: of those that wait thousands may end at once."""
        self._carry_out(run, actions)
        while has_outcome(run) and (following := self._leave_queue(run)) is not None:
            run = following
            self._carry_out(run, start_run(run, self._plan_of(run), self._context_of(run.key)))

    def _follow(self, run: Run, record: str) -> None:
        """What begins with its outcome, which `record` tells, begins in the same delta, and before its events are let go."""
        for follower in self._following.runs(run, record, self._context_of(run.key)):
            self.open(follower)

    def _carry_out(self, run: Run, actions: Sequence[Action]) -> None:
        self._unsaved.runs[run.id] = None
        for action in actions:
            match action:
                case Publish():
                    self._publish(run, action)
                case Ask():
                    self._forget_call(run.id)
                    self._run_of_call[action.call_id] = run.id
                    self._call_of_run[run.id] = action.call_id
                    self.effects.append(action)
                case Cancel():
                    self._forget_call(run.id)
                    self.effects.append(action)
        for action in actions:
            if isinstance(action, Publish) and action.state == "final":
                self._follow(run, action.outputs[0].id)
        if finished(run):
            self._let_go(run)

    def _hold(self, run: Run) -> None:
        self._runs[run.id] = run
        self._of_key.setdefault(run.key, {})[run.id] = None

    def _let_go(self, run: Run) -> None:
        del self._runs[run.id]
        of_key = self._of_key[run.key]
        del of_key[run.id]
        if not of_key:
            del self._of_key[run.key]

    def _forget_call(self, run_id: str) -> None:
        call = self._call_of_run.pop(run_id, None)
        if call is not None:
            self._run_of_call.pop(call, None)

    def _publish(self, run: Run, action: Publish) -> None:
        self._outlet.publish(run, action)
        if action.suffix is not None:
            self._unsaved.partials.append((run.id, run.attempt, run.rev, action.suffix))
        if action.state == "failed":
            self._counters["failed", run.agent or ""] += 1
        if action.state in ("final", "failed") and run.degraded:
            self._counters["degraded", run.agent or ""] += 1

    def _leave_queue(self, run: Run) -> Run | None:
        """The run whose turn it is now, if this one was in its way."""
        place = (run.key, run.agent)
        queue = self._queues.get(place)
        if queue is None or run.id not in queue:
            return None
        first = queue[0] == run.id
        queue.remove(run.id)
        self._waiting -= 1
        self._context_of(run.key).unpin(run.id)
        self._forget_call(run.id)
        if not queue:
            del self._queues[place]
            return None
        return self._runs[queue[0]] if first else None

    def definitions(self) -> set[str]:
        """Digests of the definitions that runs without an outcome go by."""
        return {run.definition for run in self._runs.values() if run.agent is not None and not has_outcome(run)}

    def encoded(self, run_id: str, *, whole: bool = False) -> bytes | None:
        """A run as it goes into the log; None if it is over.

        What its stream has said so far is in the partials of this delta and of those before. `whole`, for a bucket: it is here.
        """
        run = self._runs.get(run_id)
        if run is None:
            return None
        if not has_outcome(run):
            run = msgspec.structs.replace(run, streamed=run.streamed if whole else "", answer=None, text=None)
        return _encoder.encode(run)

    def restore(self, runs: Mapping[str, bytes | None]) -> None:
        """Put runs in the places that the log says; queues are rebuilt by `reopen`.

        Pins are set before the events of the same delta are appended, so that what they evict is kept, and before others are
        taken away: a run may go on with the events of the one that it follows.
        """
        let_go = [run for run_id, encoded in runs.items() if (run := self._restored(run_id, encoded)) is not None]
        for run in let_go:
            self._context_of(run.key).unpin(run.id)

    def _restored(self, run_id: str, encoded: bytes | None) -> Run | None:
        """Returns the run if it needs no events. Its stream is the one known so far, until `restore_stream` adds to it."""
        if encoded is None:
            over = self._runs.get(run_id)
            if over is not None:
                self._let_go(over)
            return over
        run = _decoder.decode(encoded)
        before = self._runs.get(run_id)
        if before is not None and before.attempt == run.attempt and not has_outcome(run):
            run.streamed = before.streamed
        self._hold(run)
        if run.pin is None:
            return run
        self._context_of(run.key).pin(run.id, run.pin)
        return None

    def restore_stream(self, run_id: str, attempt: int, suffix: str) -> None:
        """What a delta says was added to the stream of an attempt. Of interest is only the one that may go on."""
        run = self._runs.get(run_id)
        if run is not None and run.attempt == attempt and not has_outcome(run):
            run.streamed += suffix

    def of_key(self, name: str) -> list[str]:
        """Ids of the key's runs that are not over."""
        return list(self._of_key.get(name, ()))

    def forget_key(self, name: str) -> None:
        for run_id in self.of_key(name):
            self._let_go(self._runs[run_id])

    def reopen(self, continues: Continues) -> Iterator[None]:
        """After restoring, in steps: queue what has no outcome in firing order, and ask again what was under way."""
        self._queues.clear()
        for run in self._runs.values():
            if not has_outcome(run):
                self._queues.setdefault((run.key, run.agent), []).append(run.id)
        self._waiting = sum(map(len, self._queues.values()))
        for number, queue in enumerate(list(self._queues.values()), start=1):
            run = self._runs[queue[0]]
            self._act(run, reopen_run(run, self._plan_of(run), self._context_of(run.key), continues))
            if number % RUNS_AT_ONCE == 0:
                yield
