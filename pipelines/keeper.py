"""Keeps one task going: whenever it is lost it is opened again from its log, as long as it is ours.

There is one way to recover, whatever happened: drop what is in memory, wait a random while, open (protocol rules 3 and 9).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from random import Random
from typing import NamedTuple

from penstock.connectors.failpoint import failpoint
from penstock.connectors.port import TaskId
from penstock.operators.error import Declined, Fenced, Lost, PenstockError, Superseded, Unreachable
from penstock.pipelines.backoff import Backoff
from penstock.pipelines.deference import Deference
from penstock.pipelines.process import Process
from penstock.pipelines.run import Ending, Session
from penstock.state.delta import Header

log = logging.getLogger("penstock.task")

REOPEN_FIRST = 0.3
REOPEN_LONGEST = 30.0
SETTLED_SECONDS = 5.0
"""A session that worked for so long was no failure: the next loss begins with a short wait again."""
CONFIRM_POLL = 0.1
"""Seconds between looks at whether the group has confirmed that a task is still ours."""
RIVAL_FENCES = 2
"""So many by one and the same other process while the task is ours without interruption: two deployments share a name."""


class Intrusion(NamedTuple):
    """Our session with this incarnation was fenced in a tenure that began before it and has not ended."""

    incarnation: int
    tenure_since: float


class Rivals:
    """Who fences us while the task is ours: whoever wrote to the log since then.

    Once it may be a process to which the task belonged before, and which was stopped between looking at its lease and taking
    the fence. To do it again it would have to own the task again, and our tenure would be another one.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._tenure_since: float | None = None
        self._fences: Counter[str] = Counter()

    def intruded(self, intrusion: Intrusion, last: Header) -> bool:
        """`last` is what the end of the log says since. Whether another deployment runs under our name."""
        if last.incarnation < intrusion.incarnation or last.owner == self._own:
            return False
        if intrusion.tenure_since != self._tenure_since:
            self._tenure_since = intrusion.tenure_since
            self._fences.clear()
        self._fences[last.owner] += 1
        return self._fences[last.owner] >= RIVAL_FENCES


class Keeper:
    """One task of this process, over all its sessions. `stubborn`: fight for it, whoever else has it (tests of fencing)."""

    def __init__(self, process: Process, task: TaskId, random: Random, *, stubborn: bool = False) -> None:
        self.task = task
        self.session: Session | None = None
        self.trouble = ""
        """Why the task is not open, in a sentence; empty if nothing went wrong."""
        self.times_opened = 0
        self._process, self._stubborn = process, stubborn
        self._backoff = Backoff(random, first=REOPEN_FIRST, longest=REOPEN_LONGEST)
        self._rivals = Rivals(process.owner)
        self._deference = Deference(process.plan.digest, process.started)
        self._intrusion: Intrusion | None = None
        self.ending: Ending | None = None
        self._ended = asyncio.Event()

    @property
    def working(self) -> bool:
        """It is open and takes in records."""
        return self.session is not None and self.session.working_since is not None

    @property
    def quiet_since(self) -> float | None:
        return None if self.session is None else self.session.quiet_since

    def ask_to_end(self, ending: Ending, seconds: float = 0.0) -> None:
        """Finish what the session has in hand, or drop it; `run` returns soon after.

        `seconds`: how long a released task may wait for the answers that are under way.
        """
        self.ending = ending
        self._ended.set()
        if self.session is not None:
            self.session.ask_to_end(ending, seconds)

    async def run(self) -> None:
        """Until asked to end. Raises StateRefused, and whatever is a bug."""
        while self.ending is None:
            try:
                await self._once()
            except (Lost, Unreachable) as error:
                if self.ending is not None:
                    log.info("%s ended without a last commit: %s", self._name, error)
                    return
                lost_at = self._process.clock.monotonic()
                await self._wait_after(error)
                if isinstance(error, Fenced) and not self._stubborn:
                    await self._until_confirmed(lost_at)

    async def _once(self) -> None:
        failpoint("opening")
        began = self._process.clock.monotonic()
        opened = await self._process.broker.open(self.task)
        self.session = session = Session(
            self._process,
            opened,
            self._look_at_predecessor,
            lambda: self._note_opened(began),
        )
        if self.ending is not None:
            session.ask_to_end(self.ending)
        try:
            await session.run()
        except Fenced:
            self._intrusion = self._intrusion_into(opened.incarnation, began)
            raise
        finally:
            self._note_end_of(session)

    def _intrusion_into(self, incarnation: int, began: float) -> Intrusion | None:
        """None where whoever fenced us may have had every right to."""
        broker = self._process.broker
        tenure = broker.tenure(self.task)
        if broker.lease() <= 0 or tenure is None or tenure.since > began:
            return None
        return Intrusion(incarnation, tenure.since)

    def _note_end_of(self, session: Session) -> None:
        self.session = None
        since = session.working_since
        if since is not None and self._process.clock.monotonic() - since >= SETTLED_SECONDS:
            self._backoff.reset()

    def _look_at_predecessor(self, last: Header | None) -> None:
        """The log was read: it is ours now, unless somebody else takes it from us again and again, or has a newer file."""
        self._deference.look_at(last, f"task {self._name}")
        if last is not None and self._is_intruded_by(last) and not self._stubborn:
            raise Superseded(
                f"two processes run this pipeline and take it from each other: {last.owner} and {self._process.owner}",
                where=f"task {self._name}",
                remedy="stop one of them, or give it another name or namespace",
            )
        self.times_opened += 1
        self.trouble = ""

    def _note_opened(self, began: float) -> None:
        """`opened` is committed: fence, restoring and this commit took from `began` until now."""
        log.info("%s opened in %d ms", self._name, 1000 * (self._process.clock.monotonic() - began))

    def _is_intruded_by(self, last: Header) -> bool:
        intrusion, self._intrusion = self._intrusion, None
        tenure = self._process.broker.tenure(self.task)
        if intrusion is None or tenure is None or tenure.since != intrusion.tenure_since:
            return False
        return self._rivals.intruded(intrusion, last)

    async def _wait_after(self, error: PenstockError) -> None:
        seconds = error.seconds if isinstance(error, Declined) else self._backoff.draw()
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning("%s is not open: %s; opening it again from its log until that works", self._name, error)
        await self._rest(seconds)

    async def _until_confirmed(self, fenced_at: float) -> None:
        """Somebody else has opened it. Whose it is the group says, asked after that (protocol rule 9)."""
        while not self._ended.is_set():
            tenure = self._process.broker.tenure(self.task)
            if tenure is not None and tenure.confirmed > fenced_at:
                return
            await self._rest(CONFIRM_POLL)

    async def _rest(self, seconds: float) -> None:
        """No longer than until we are asked to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    @property
    def _name(self) -> str:
        return f"{self._process.layout.prefix}/{self.task.partition}"
