"""Keeps one task going: whenever it is lost it is opened again from its log, as long as it is ours.

There is one way to recover, whatever happened: drop what is in memory, wait a random while, open (protocol rules 3 and 9).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from random import Random

from penstock.connectors.failpoint import failpoint
from penstock.connectors.port import TaskId
from penstock.operators.error import Fenced, Lost, PenstockError, Superseded, Unreachable
from penstock.pipelines.backoff import Backoff
from penstock.pipelines.process import Process
from penstock.pipelines.run import Ending, Session
from penstock.state.delta import Header

log = logging.getLogger("penstock.task")

REOPEN_FIRST = 0.3
REOPEN_LONGEST = 30.0
SETTLED_SECONDS = 5.0
"""A session that worked for so long was no failure: the next loss begins with a short wait again."""
RIVAL_FENCES = 3
RIVAL_SECONDS = 60.0
"""So many fences by one and the same other process within so long, while we may be here: two deployments share a name."""


class Rivals:
    """Who fences us, and how often: whoever wrote to the log since then.

    One fence is normal: a hand-over, or a process that came back from a long pause before it noticed.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._fenced: list[tuple[float, str]] = []

    def fenced(self, incarnation: int, last: Header, now: float) -> bool:
        """Our session with this incarnation was fenced, and `last` is what the log's end says since; `now` in monotonic seconds.

        Whether that shows that another deployment runs under our name.
        """
        if last.incarnation < incarnation or last.owner == self._own:
            return False
        self._fenced = [(at, who) for at, who in self._fenced if now - at < RIVAL_SECONDS]
        self._fenced.append((now, last.owner))
        return sum(who == last.owner for _, who in self._fenced) >= RIVAL_FENCES


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
        self._fenced: int | None = None
        self._ours: set[int] = set()
        """Incarnations of our sessions, whether or not they came to be in the log."""
        self.ending: Ending | None = None
        self._ended = asyncio.Event()

    @property
    def working(self) -> bool:
        """It is open and takes in records."""
        return self.session is not None and self.session.working_since is not None

    @property
    def quiet_since(self) -> float | None:
        return None if self.session is None else self.session.quiet_since

    def ask_to_end(self, ending: Ending) -> None:
        """Finish what the session has in hand, or drop it; `run` returns soon after."""
        self.ending = ending
        self._ended.set()
        if self.session is not None:
            self.session.ask_to_end(ending)

    async def run(self) -> None:
        """Until asked to end. Raises StateRefused, and whatever is a bug."""
        while self.ending is None:
            try:
                await self._once()
            except (Lost, Unreachable) as error:
                if self.ending is not None:
                    log.info("%s ended without a last commit: %s", self._name, error)
                    return
                await self._wait_after(error)

    async def _once(self) -> None:
        failpoint("opening")
        began = self._process.clock.monotonic()
        opened = await self._process.broker.open(self.task)
        self.session = session = Session(
            self._process, opened, self._look_at_predecessor, lambda: self._note_opened(began), self._ours
        )
        if self.ending is not None:
            session.ask_to_end(self.ending)
        try:
            await session.run()
        except Fenced:
            self._fenced = opened.incarnation if self._process.broker.lease() > 0 else None
            raise
        finally:
            self._ours.add(opened.incarnation)
            self._note_end_of(session)

    def _note_end_of(self, session: Session) -> None:
        self.session = None
        since = session.working_since
        if since is not None and self._process.clock.monotonic() - since >= SETTLED_SECONDS:
            self._backoff.reset()

    def _look_at_predecessor(self, last: Header | None) -> None:
        """The log was read: it is ours now, unless it says that somebody else takes it from us again and again."""
        fenced, self._fenced = self._fenced, None
        now = self._process.clock.monotonic()
        if fenced is not None and last is not None and self._rivals.fenced(fenced, last, now) and not self._stubborn:
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

    async def _wait_after(self, error: PenstockError) -> None:
        seconds = self._backoff.draw()
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning("%s is not open: %s; opening it again from its log until that works", self._name, error)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    @property
    def _name(self) -> str:
        return f"{self._process.layout.prefix}/{self.task.partition}"
