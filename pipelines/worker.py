"""All tasks of one process: which of them are worked on, when the process is done, and what it says at the end.

    broker.tasks() ─▶ Given: keep it going    Asked: last answers and commit, then leave it    Taken: drop it

A bug in one task ends the process: a task that is dead and says nothing is worse than one that is restarted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import assert_never

from penstock.connectors.failpoint import failpoint
from penstock.connectors.port import (
    Asked,
    Assignment,
    Broker,
    Given,
    Layout,
    Model,
    Registry,
    Taken,
    TaskId,
    WallClock,
)
from penstock.operators.error import PenstockError, Unreachable
from penstock.operators.key_state import Counts
from penstock.operators.plan import Plan
from penstock.pipelines.admission import Admission
from penstock.pipelines.backoff import Backoff
from penstock.pipelines.endpoint import EndpointLimits, Ledger
from penstock.pipelines.fetching import RECORDS_MAX
from penstock.pipelines.inputs import Inputs
from penstock.pipelines.keeper import Keeper
from penstock.pipelines.meters import Meters
from penstock.pipelines.process import Process
from penstock.pipelines.run import Ending
from penstock.pipelines.schemas_ahead import SchemasAhead

log = logging.getLogger("penstock.worker")

IDLE_POLL = 0.1
LAST_COMMIT_SECONDS_MAX = 2.0
"""Of the time for leaving a task, so much is kept for its last commits, and half of it at most: the rest is for answers."""
FIRST_TASK_SECONDS = 30.0
"""A process that was never given a task is not idle before: joining a group takes a while."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How one process works. Nothing in it changes what comes out.

    `owner` names this process in the log; `until_idle` ends it when nothing was left to do for so many seconds;
    `release_seconds` is how long the last answers and commits may take on the way out; `batch` bounds the records of one fetch.
    `claimed` is for tests of fencing: tasks that this process takes for its own whatever the broker says, and takes back whenever
    somebody else has them.

    `bounded` is the exception to the first sentence: the inputs are recordings, and time ends where they end.
    """

    owner: str
    build: str = ""
    until_idle: float | None = None
    release_seconds: float = 10.0
    limits: Mapping[str, EndpointLimits] = field(default_factory=dict)
    claimed: tuple[TaskId, ...] = ()
    bounded: bool = False
    batch: int = RECORDS_MAX


@dataclass(frozen=True, slots=True)
class Summary:
    """What a process did. `exit_code` as the command line documents it; `problem` is the sentence that goes with it.

    `counts` are the core's counters as far as they were committed, `ledgers` what each endpoint was asked.
    """

    exit_code: int
    problem: str
    counts: Counts
    ledgers: Mapping[str, Ledger]
    seconds: float


@dataclass(slots=True)
class Kept:
    """A task, who keeps it going and in which asyncio task."""

    keeper: Keeper
    work: asyncio.Task[None]


class Worker:
    """Works on the tasks that the broker gives it, until stopped, idle or refused. Broker and models are the caller's:
    the broker is started before `run`, and closed after it.
    """

    def __init__(
        self,
        plan: Plan,
        layout: Layout,
        broker: Broker,
        models: Mapping[str, Model],
        clock: WallClock,
        options: WorkerOptions,
        random: Random | None = None,
        registry: Registry | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        """`registry` is needed where a source reads records whose schemas are in one; it is the caller's, too, as are `inputs`:
        while something comes from them, the worker is not idle."""
        self._options, self._clock, self._random = options, clock, random or Random()
        meters = Meters()
        admission = Admission(
            models, broker, clock, self._random, meters, self.fail, limits=options.limits, previews=layout.previews
        )
        self.process = Process(
            plan, layout, broker, admission, clock, owner=options.owner, build=options.build, started=clock.now(),
            bounded=options.bounded, batch=options.batch, meters=meters,
            schemas=None if registry is None else SchemasAhead(plan.sources, registry, clock, self._random),
        )  # fmt: skip
        self.inputs = inputs
        self.before: Sequence[Worker] = ()
        """First stages, which bring what this one reads: while one of them has work to do, it is not idle."""
        self._began = 0.0
        self._kept: dict[TaskId, Kept] = {}
        self._stop = asyncio.Event()
        self._leaving = False
        self._bug: BaseException | None = None
        self._assigned_at: float | None = None

    @property
    def keepers(self) -> list[Keeper]:
        """One per task that this process works on, or is about to."""
        return [kept.keeper for kept in self._kept.values()]

    def stop(self) -> None:
        """Commit what is decided, release every task, and let `run` return. May be called from a signal handler."""
        self._stop.set()

    async def run(self) -> Summary:
        """Work until stopped, idle or refused. Does not raise: what went wrong is in the summary and in the log."""
        self._began = began = self._clock.monotonic()
        problems: list[BaseException] = []
        try:
            await self._work()
        except* Exception as group:  # noqa: BLE001 - whatever it is, the process has to end with a sentence
            problems = _leaves(group)
        finally:
            await self.process.admission.close()
            failpoint("leaving")
        if self._bug is not None and not problems:
            problems = [self._bug]  # it showed while the tasks were released
        exit_code, problem = _verdict(problems)
        ledgers = {name: endpoint.ledger for name, endpoint in self.process.admission.endpoints.items()}
        return Summary(exit_code, problem, self.process.tally, ledgers, self._clock.monotonic() - began)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for task in self._options.claimed:
                self._keep(task, group)
            following = group.create_task(self._follow_assignments(group))
            await self._until_over()
            await self._leave_all()
            following.cancel()

    async def _leave_all(self) -> None:
        """Assignments are followed meanwhile: whoever does not answer the group loses its tasks before it has left them."""
        self._leaving = True
        if waiting := self.process.admission.in_flight:
            log.info("%d answers are under way; what comes within some seconds is still taken", waiting)
        for task in list(self._kept):
            self._release(task, self._options.release_seconds)
        while self._kept:
            await asyncio.wait([kept.work for kept in self._kept.values()])

    async def _follow_assignments(self, group: asyncio.TaskGroup) -> None:
        backoff = Backoff(self._random, first=1.0, longest=30.0)
        while True:
            try:
                async for assignment in self.process.broker.tasks():
                    backoff.reset()
                    if not self._options.claimed:
                        self._take_note(assignment, group)
                return
            except Unreachable as error:
                log.warning("which tasks are ours is not known: %s; trying again", error)
                await self._clock.sleep(backoff.draw())

    def _take_note(self, assignment: Assignment, group: asyncio.TaskGroup) -> None:
        self._assigned_at = self._clock.monotonic()
        failpoint("assigned")
        match assignment:
            case Given(task):
                self._keep(task, group)
            case Asked(task, deadline):
                self._release(task, deadline)
            case Taken(task):
                self._drop(task)
            case _:
                assert_never(assignment)

    def _keep(self, task: TaskId, group: asyncio.TaskGroup) -> None:
        """Work on it; if it is just being left, begin again when that is done. A process that is leaving takes up nothing."""
        former = self._kept.get(task)
        if self._leaving or (former is not None and former.keeper.ending is None):
            return
        keeper = Keeper(self.process, task, self._random, stubborn=bool(self._options.claimed))
        work = group.create_task(self._tend(keeper, None if former is None else former.work))
        self._kept[task] = Kept(keeper, work)

    async def _tend(self, keeper: Keeper, former: asyncio.Task[None] | None) -> None:
        try:
            if former is not None:
                await _end_of(former)
            await keeper.run()
        finally:
            kept = self._kept.get(keeper.task)
            if kept is not None and kept.keeper is keeper:
                del self._kept[keeper.task]

    def _release(self, task: TaskId, deadline: float) -> None:
        """Let its answers come, let it commit what it has and go; after `deadline` seconds it is not waited for any more."""
        kept = self._kept.get(task)
        if kept is not None:
            kept.keeper.ask_to_end(Ending.RELEASE, deadline - min(LAST_COMMIT_SECONDS_MAX, deadline / 2))
            asyncio.get_running_loop().call_later(deadline, kept.work.cancel)

    def _drop(self, task: TaskId) -> None:
        kept = self._kept.get(task)
        if kept is not None:
            kept.keeper.ask_to_end(Ending.DROP)

    async def _until_over(self) -> None:
        while not self._stop.is_set() and not self._is_over():
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self._options.until_idle is None else IDLE_POLL):
                    await self._stop.wait()
        if self._bug is not None:
            raise self._bug
        if not self._stop.is_set() and self.inputs is not None:
            self._bug = self.inputs.absence()

    def _is_over(self) -> bool:
        seconds = self._options.until_idle
        if seconds is None or not self.idle_for(seconds):
            return False
        return all(worker.idle_for(seconds) for worker in self.before)

    def idle_for(self, seconds: float) -> bool:
        """Whether nothing was left to do for so long."""
        now, began = self._clock.monotonic(), self._began
        if self.inputs is not None and not _is_quiet(self.inputs.quiet_since, now, seconds):
            return False
        if self._assigned_at is None and not self._kept:
            return now - began >= max(seconds, FIRST_TASK_SECONDS)
        if now - (self._assigned_at or began) < self.process.broker.unsettled(len(self._kept)):
            return False
        quiet = [keeper.quiet_since for keeper in self.keepers] or [self._assigned_at]
        return all(_is_quiet(since, now, seconds) for since in quiet)

    def fail(self, problem: BaseException) -> None:
        """Something that this process cannot do without cannot go on: it ends as if a task had raised this."""
        self._bug = self._bug or problem
        self._stop.set()


def _is_quiet(since: float | None, now: float, seconds: float) -> bool:
    return since is not None and now - since >= seconds


async def _end_of(former: asyncio.Task[None]) -> None:
    """Until the former session of a task is over: two at once would cancel each other's calls.

    Whoever is cancelled here has no time left, and so neither has the former.
    """
    try:
        await asyncio.wait([former])
    except asyncio.CancelledError:
        former.cancel()
        await asyncio.wait([former])
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions in a group of groups."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _verdict(problems: list[BaseException]) -> tuple[int, str]:
    """Exit code and sentence. A bug comes first: whoever runs us should not look for it in their own system."""
    bugs = [problem for problem in problems if not isinstance(problem, PenstockError)]
    for bug in bugs:
        log.critical("a bug in Penstock ended this process", exc_info=bug)
    if bugs:
        what = f"{type(bugs[0]).__name__}: {bugs[0]}"
        return 1, f"a bug in Penstock: {what} (please report it; what was not committed is done again)"
    known = [problem for problem in problems if isinstance(problem, PenstockError)]
    if not known:
        return 0, ""
    worst = max(known, key=lambda problem: problem.exit_code)
    return worst.exit_code, str(worst)
