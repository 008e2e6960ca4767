"""The loop of one task: from the opening of its log to its end.

    open ─▶ restore ─▶ begin ─▶ `opened` committed ─▶ ┌ records ┐
                                                      │ answers │─▶ feed ─▶ perform ─▶ commit if due ─┐
                                                      │ time    │                                     │
                                                      └─────────┘◀────────────────────────────────────┘
    released: answers under way ─▶ last cut ─▶ `released` committed ─▶ closed
    lost, dropped, bug: closed, nothing more is said

Between two waits nothing awaits: what the core is fed, what it decides and what is cut are one step.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import assert_never

from penstock.connectors.failpoint import failpoint
from penstock.connectors.port import TaskLog
from penstock.operators.error import Stuck
from penstock.operators.event import Answered, Arrived, Ask, Cancel, Effect, Ended, Progress, Ticked
from penstock.operators.instant import iso_text
from penstock.operators.rekey import task_of
from penstock.pipelines.bell import Bell
from penstock.pipelines.endpoint import Heard
from penstock.pipelines.fetching import Fetching
from penstock.pipelines.loading_tables import LoadingTables
from penstock.pipelines.poison import Deaths
from penstock.pipelines.process import Process
from penstock.pipelines.saving import Saving
from penstock.pipelines.stuck import STUCK_SECONDS, Standstill
from penstock.pipelines.trials import Trials
from penstock.state.delta import Delta, Header

log = logging.getLogger("penstock.task")

TICK_MS = 1_000
"""Processing time is told to the core at least so often."""
HEARD_MAX = 100
"""Answers fed in one step: more would hold up the event loop."""
OPEN_RUNS_MAX = 10_000
"""Runs of one task that may be open, most of them queued behind others of their key, before its intake pauses."""


class Ending(Enum):
    """How a session is asked to end."""

    RELEASE = auto()
    """Let answers under way come for a while, commit what is decided, mark the task as released."""
    DROP = auto()
    """The task is somebody else's: commit nothing more."""


class Session:
    """One task, opened. It ends when asked to, or with the exception that ended it; it is never used again."""

    def __init__(
        self,
        process: Process,
        log: TaskLog,
        on_restored: Callable[[Header | None], None],
        on_opened: Callable[[], None],
    ) -> None:
        """`on_restored` sees the last header in the log before anything is written there; it may raise.

        `on_opened` is called when `opened` was committed.
        """
        self._process, self._log = process, log
        self._on_restored, self._on_opened = on_restored, on_opened
        self._bell = Bell()
        self.core = task_of(process.plan, log.task.partition, log.partitions)
        self._saving = Saving(self.core, log, process, self._bell.ring)
        prepare = None if process.schemas is None else process.schemas.prepare
        self._fetching = Fetching(log, process.layout.inputs, self._bell.ring, process.batch, prepare)
        self._heard: deque[Heard] = deque()
        self._ending: Ending | None = None
        self._answers_until = 0.0
        self._deaths = Deaths()
        self._trials: Trials | None = None
        self._again = False
        self._standstill = Standstill()
        self._ticked_at = 0
        self._input_ended = False
        self._inputs = frozenset(process.layout.inputs)
        """Once it is opened with those of tables."""
        self.loading = LoadingTables(())
        self.progress: dict[str, Progress] = {}
        self.working_since: float | None = None
        """When `opened` was committed (monotonic seconds); None before."""
        self.quiet_since: float | None = None
        """Since when nothing has happened and nothing waits to happen (monotonic seconds); None while something does."""

    @property
    def paused(self) -> frozenset[str]:
        """Inputs that back-pressure holds: all of them while records wait for their schemas."""
        return frozenset(self._process.layout.inputs) if self._fetching.preparing else self._fetching.paused

    def ask_to_end(self, ending: Ending, seconds: float = 0.0) -> None:
        """`seconds`: how long a released task may wait for the answers that are under way."""
        self._ending = ending
        self._answers_until = self._process.clock.monotonic() + seconds
        self._bell.ring()

    async def run(self) -> None:
        """Until asked to end. Raises Lost, Unreachable, StateRefused; whatever it is, the log is closed."""
        self._process.tasks += 1
        try:
            await self._restore()
            if self._ending is None:
                await self._declare()
                await self._work()
            if self._ending is Ending.RELEASE and self.working_since is not None:
                await self._release()
        finally:
            self._process.tasks -= 1
            await self._leave()

    async def _restore(self) -> None:
        last: Header | None = None
        async for entry, size in self._log.restored():
            self.core.apply(entry)
            self._saving.met(entry, size)
            if isinstance(entry, Delta):
                last = entry.header
                self._deaths.met(last)
            if self._ending is not None:
                return
        self._on_restored(last)
        self._again = last is not None and (last.owner, last.started) == (self._process.owner, self._process.started)
        self._deaths.opened(again=self._again)
        failpoint("restored")

    async def _declare(self) -> None:
        """Nothing is fed, asked or published before `opened` is in the log (protocol rules 1 and 10)."""
        positions = await self._log.begin(self.core.positions)
        self._inputs = frozenset(positions)
        self.loading = LoadingTables(self._inputs.difference(self._process.layout.inputs))
        failpoint("inputs_begun")
        re_asks: list[Effect] = []
        now, continues = self._process.clock.now(), self._process.admission.continues
        for effects in self.core.opening(positions, now, continues):
            re_asks += effects
            await asyncio.sleep(0)
        self._saving.begin("opened", again=self._again)
        await self._saving.finish()
        failpoint("opened")
        self.working_since = self._process.clock.monotonic()
        self._on_opened()
        self._tell_starts()
        if self._deaths.suspicious:
            self._trials = Trials(self._process, self.core, self._saving, self._fetching, self._deaths, self._take_note)
            self._trials.postpone(re_asks)
        else:
            self._perform(re_asks)

    def _tell_starts(self) -> None:
        """What an input that was taken up for the first time leaves out."""
        for topic, count in self._log.skipped.items():
            if count > 0:
                start = self._process.layout.inputs[topic]
                named = iso_text(start) if isinstance(start, int) else start
                lead = f"{topic}/{self._log.task.partition} starts at {named}"
                log.info("%s: %s records lie before it", lead, f"{count:,}")

    async def _work(self) -> None:
        self._begin_loading()
        self._fetching.begin()
        while self._ending is None:
            await self._bell.wait(self._patience())
            self._saving.settle()
            self._feed_heard()
            if self._trials is not None:
                await self._try_next(self._trials)
            else:
                self._feed_fetched()
            self._tick_if_due()
            self._end_if_read()
            self._saving.save_if_due()
            self._regulate_intake()
            self._notice_quiet()
            self._notice_standstill()

    def _begin_loading(self) -> None:
        if self.loading.under_way:
            self._fetching.pause_all()
            log.info("%s loads its tables first: %s", self._name, ", ".join(self.loading.tables))

    def _take_note(self, progress: Mapping[str, Progress]) -> None:
        """Of how far the inputs are read. While tables are loaded, silence of the sources means nothing."""
        was_under_way = self.loading.under_way
        self.loading.met(progress)
        waits = self._process.layout.inputs if self.loading.under_way else ()
        self.progress.update({name: at for name, at in progress.items() if name not in waits})
        if was_under_way and not self.loading.under_way:
            log.info("%s has loaded its tables", self._name)

    async def _release(self) -> None:
        """What is not answered in time is handed over as far as it has got: whoever opens the task next goes on from there."""
        await self._let_answers_come()
        if self._ending is not Ending.RELEASE:
            return
        self._process.admission.hand_over(self._log.task)
        while self._heard:
            self._feed_heard()
        await self._saving.finish()
        failpoint("releasing")
        self._saving.begin("released")
        await self._saving.finish()
        failpoint("released")

    async def _let_answers_come(self) -> None:
        """Nothing new is begun meanwhile. An outcome is committed as it comes: the time may run out."""
        admission, clock = self._process.admission, self._process.clock
        admission.begin_no_more(self._log.task)
        while admission.awaited(self._log.task) and self._ending is Ending.RELEASE:
            left = self._answers_until - clock.monotonic()
            if left <= 0:
                return
            until_commit = self._saving.wait()
            await self._bell.wait(left if until_commit is None else min(left, until_commit))
            self._saving.settle()
            self._feed_heard()
            self._saving.save_if_due()

    async def _leave(self) -> None:
        self._process.admission.cancel_all(self._log.task)
        try:
            await self._saving.end()
            await self._fetching.end()
        finally:  # also when the time for leaving is over
            await self._log.close()
            failpoint("log_closed")

    def _perform(self, effects: Iterable[Effect]) -> None:
        if self._ending is not None:
            return  # the runs that wait for it are in the log: whoever opens it next asks
        for effect in effects:
            match effect:
                case Ask():
                    self._process.admission.ask(effect, self._log.task, self._hear)
                case Cancel():
                    self._process.admission.cancel(effect.call_id)
                case _:
                    assert_never(effect)

    def _hear(self, heard: Heard) -> None:
        failpoint("answer_arrived")
        self._heard.append(heard)
        self._bell.ring()

    def _feed_heard(self) -> None:
        for _ in range(min(len(self._heard), HEARD_MAX)):
            heard = self._heard.popleft()
            if isinstance(heard, Answered):
                self._saving.fed(heard)
            self._perform(self.core.feed(heard))
            failpoint("answer_fed")
        if self._heard:
            self._bell.ring()

    def _feed_fetched(self) -> None:
        if not self._fetching.ready or self._saving.blocked:
            return
        batch = self._fetching.take()
        self._take_note(batch.progress)
        records = {topic: fetched for topic, fetched in batch.records.items() if fetched}
        if not records:
            return
        clock = self._process.clock
        began = clock.monotonic()
        self._ticked_at = clock.now()
        self._perform(self.core.feed(Arrived(records, self.progress, self._ticked_at)))
        failpoint("fed")
        self._fetching.fed(sum(map(len, records.values())), clock.monotonic() - began)

    async def _try_next(self, trials: Trials) -> None:
        tried = await trials.try_next(self.progress)
        if not tried and self._everything_read():
            await trials.acquit()
        if tried or trials.over:
            self._perform(trials.effects())
            self._bell.ring()
        if trials.over:
            self._trials = None

    def _tick_if_due(self) -> None:
        """While records are on trial, none of them may leave a merge by the way."""
        now = self._process.clock.now()
        if now >= self._next_tick():
            self._ticked_at = now
            most = None if self._trials is None else 0
            self._perform(self.core.feed(Ticked(now, self.progress, most)))

    def _end_if_read(self) -> None:
        """A bounded input is over when it was read to the end that was seen."""
        if self._process.bounded and not self._input_ended and self._trials is None and self._everything_read():
            if self.core.judging:
                return  # once time is over, the keys of what waits for a verdict may be forgotten
            self._input_ended = True
            self._perform(self.core.feed(Ended(self._process.clock.now())))

    def _everything_read(self) -> bool:
        inputs, progress = self._inputs, self.progress
        waiting = self._fetching.ready or self._fetching.preparing
        return not waiting and all(topic in progress and progress[topic].caught_up for topic in inputs)

    def _next_tick(self) -> int:
        return self._ticked_at + TICK_MS

    def _patience(self) -> float:
        """Seconds until something has to be done although nothing happened."""
        until_tick = (self._next_tick() - self._process.clock.now()) / 1000
        until_commit = self._saving.wait()
        return until_tick if until_commit is None else min(until_tick, until_commit)

    @property
    def _name(self) -> str:
        return f"{self._process.layout.prefix}/{self._log.task.partition}"

    def _regulate_intake(self) -> None:
        """Back-pressure: where answers do not come, nothing more is read."""
        full = self._process.admission.saturated or self.core.open_runs >= OPEN_RUNS_MAX
        if full or self.loading.under_way:
            self._fetching.pause_all()
        else:
            self._fetching.pause_only(self.core.inputs.backlogged)

    def _notice_quiet(self) -> None:
        busy = self.core.eventful or self.core.open_runs or self._saving.saves_events or self._heard
        if busy or not self._everything_read():
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = self._process.clock.monotonic()

    def _notice_standstill(self) -> None:
        """Protocol rule 15. An input that back-pressure holds does not count: it waits for models or schemas, on purpose."""
        lag = sum(self.progress[topic].lag for topic in self.progress.keys() - self.paused)
        busy = lag > 0 or self.core.dirty or self._saving.in_flight
        seconds = self._standstill.seconds(self._process.clock.monotonic(), self._log.seq, busy=busy)
        if seconds >= STUCK_SECONDS:
            raise Stuck(f"nothing was committed for {seconds:.0f} s, and {lag:,} records wait")
