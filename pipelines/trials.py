"""One record per commit, where the log says that records may be deadly (protocol rule 1).

next record ─▶ delta that announces it ─▶ fed, or buried if condemned ─▶ delta with what came of it ─▶ effects
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from penstock.connectors.failpoint import failpoint
from penstock.operators.error import PenstockError
from penstock.operators.event import Arrived, Effect, Progress, Ticked
from penstock.operators.record import Raw, coordinates
from penstock.operators.task import Task
from penstock.pipelines.fetching import Fetching
from penstock.pipelines.poison import TRIALS_MAX, Deaths
from penstock.pipelines.process import Process
from penstock.pipelines.saving import Saving

log = logging.getLogger("penstock.task")


class Trials:
    """Feeds the inputs of one session until nobody died of so many records, or there are no more.

    It goes on behind a record that was condemned: the next one like it is seldom far away.

    What the task asks for meanwhile waits until its record is committed: nothing but the record can have been deadly. In a
    merge a record is tried twice, when it is decoded and when its turn has come.
    """

    def __init__(
        self,
        process: Process,
        core: Task,
        saving: Saving,
        fetching: Fetching,
        deaths: Deaths,
        take_note: Callable[[Mapping[str, Progress]], None],
    ) -> None:
        self._take_note = take_note
        self._process, self._core, self._saving, self._fetching = process, core, saving, fetching
        self._condemned = deaths.condemned
        self._left = TRIALS_MAX
        self._waiting: list[Effect] = []
        fetching.most = 1
        name = f"{process.layout.prefix}/{core.partition}"
        log.warning("%s: whoever had it ended before anything was committed; taking in one record at a time", name)

    @property
    def over(self) -> bool:
        return self._left <= 0

    def postpone(self, effects: Iterable[Effect]) -> None:
        self._waiting += effects

    def effects(self) -> list[Effect]:
        """What may be done now: everything that is implied by what is committed."""
        effects, self._waiting = self._waiting, []
        return effects

    async def try_next(self, progress: dict[str, Progress]) -> bool:
        """Try the next record; False if none is there. `progress` is brought up to date."""
        suspect = self._next(progress)
        if suspect is None:
            return False
        name, record, event = suspect
        async with _alone(self._process.trial):
            await self._saving.finish()
            self._saving.begin(trial=(name, record.offset))
            await self._saving.finish()
            self._waiting += self._core.feed(event)
            failpoint("trial_fed")
            self._saving.begin()
            await self._saving.finish()
        self._left -= 1
        if self.over:
            self._end()
        return True

    async def acquit(self) -> None:
        """There is nothing to try: a commit without a trial tells so to whoever comes next."""
        await self._saving.finish()
        self._saving.begin()
        await self._saving.finish()
        self._end()

    def _end(self) -> None:
        self._left = 0
        self._fetching.most = self._process.batch

    def _next(self, progress: dict[str, Progress]) -> tuple[str, Raw, Arrived | Ticked] | None:
        """The name of its input, the record, and what to feed."""
        now = self._process.clock.now()
        merged = self._core.inputs.next_merged(progress, now)
        if merged is not None:
            return *merged, Ticked(now, progress, most=1)
        if not self._fetching.ready:
            return None
        batch = self._fetching.take()
        self._take_note(batch.progress)
        found = next(((name, record) for name, records in batch.records.items() for record in records), None)
        if found is None:
            return None
        name, record = found
        poison = self._is_condemned(name, record)
        return name, record, Arrived({name: [record]}, progress, now, most=0, poison=poison)

    def _is_condemned(self, name: str, record: Raw) -> bool:
        condemned = (name, record.offset) in self._condemned
        if condemned:
            log.error("%s becomes a dead letter: taking it in ended the process, again and again", coordinates(record))
        return condemned


@asynccontextmanager
async def _alone(lock: asyncio.Lock) -> AsyncIterator[None]:
    """Holds the lock, and keeps it when a bug shows: that ends the process, and nobody else may be on trial when it does."""
    await lock.acquire()
    try:
        yield
    except (PenstockError, asyncio.CancelledError):
        lock.release()
        raise
    lock.release()
