"""Carries out a plan of faults: on workers that are real processes, and on local brokers.

What was struck when is kept: reports tell faults from their consequences by it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from penstock.connectors.clock import MachineClock
from penstock.pipelines.torture_kafka import BOOT_SECONDS_MAX, LocalKafka, NoKafka
from penstock.pipelines.torture_plan import KINDS, Cycle, Strike
from penstock.pipelines.torture_processes import SECONDS_MAX, Process, Workers
from penstock.pipelines.torture_story import Problem
from penstock.pipelines.torture_times import Interval, Loss

POLL_SECONDS = 0.05
WATCH_SECONDS = 0.5
AFTERMATH_SECONDS = 5.0
"""So long after brokers are back, a pause is still their doing."""
UNREACHABLE, EXCUSED_SECONDS = 3, 60.0
"""A worker that starts may give up when no broker answers; so long after a fault of the brokers that is right."""
SCALED_UP, SCALED_DOWN = 4, 2
VICTIM_SECONDS_MAX = REPLACED_SECONDS_MAX = 10.0


@dataclass
class Arena:
    """Workers, of which `strength` should be alive between faults, and the local Kafka, if it is ours to strike."""

    workers: Workers
    kafka: LocalKafka | None
    strength: int
    counts: Counter[str] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    paused: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    """By owner: when its process was stopped."""
    brokers_away: list[Interval] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clock = MachineClock()
        self._stopped: set[int] = set()
        self._strikes: Mapping[str, Callable[[Strike], Awaitable[None]]] = {
            "kill": self._kill,
            "stop": self._stop,
            "term": self._term,
            "rolling": self._rolling,
            "join_leave": self._join_leave,
            "scale": self._scale,
            "broker_kill": self._broker_kill,
            "broker_stop": self._broker_stop,
            "power": self._power,
        }

    async def endure(self, cycle: Cycle) -> None:
        """The cycle's strikes; afterwards as many workers are alive as should be."""
        await asyncio.gather(*(self._strike(each) for each in cycle.strikes))
        await self.fill()
        await asyncio.sleep(cycle.recovery)

    async def fill(self) -> None:
        """Start or dismiss workers until there are as many as there should be."""
        while len(self._alive) < self.strength:
            self.workers.start()
        for surplus in self._alive[self.strength :]:
            await self._dismiss(surplus)

    async def watch(self) -> None:
        """Until cancelled: nobody ends but those who were told to. Who does is replaced, as a supervisor would."""
        while True:
            for process in self.workers.deserters:
                self._judge_deserter(process)
                self.workers.dismissed.add(process)
                self.workers.start()
            await asyncio.sleep(WATCH_SECONDS)

    async def dismiss_all(self) -> None:
        """SIGTERM to all at once; each has to release its tasks and end with 0."""
        await asyncio.gather(*(self._dismiss(process) for process in self._alive))

    def disturbed(self, owner: str) -> list[Interval]:
        """When the process itself was stopped, or the brokers were struck."""
        return [*self.paused[owner], *self.brokers_away]

    @property
    def struck(self) -> list[Interval]:
        """When any process was stopped, or the brokers were struck."""
        return [*(each for intervals in self.paused.values() for each in intervals), *self.brokers_away]

    def _judge_deserter(self, process: Process) -> None:
        now = self._clock.monotonic()
        excused = any(each.begun <= now <= each.ended + EXCUSED_SECONDS for each in self.brokers_away)
        if process.returncode == UNREACHABLE and excused:
            self.counts["gave up while no broker answered"] += 1
            return
        number = self.workers.processes.index(process)
        said = self.workers.log_of(number).read_text(errors="replace").strip().rpartition("\n")[2]
        self.problems.append(
            Problem("contradicted", f"worker {number} ended by itself with {process.returncode}: {said}")
        )

    @property
    def _alive(self) -> list[Process]:
        return [process for process in self.workers.running if process not in self.workers.dismissed]

    def _victims(self) -> list[Process]:
        """Whom a strike may hit: those who are not down already, and have come so far that they work."""
        return [each for each in self._alive if each.pid not in self._stopped and self.workers.works(each)]

    async def _victim(self, strike: Strike) -> Process | None:
        """Where everybody is down at the moment, somebody is waited for; None: in vain."""
        if not await self._until(lambda: bool(self._victims()), VICTIM_SECONDS_MAX):
            return None
        victims = self._victims()
        return victims[int(strike.pick * len(victims))]

    async def _strike(self, strike: Strike) -> None:
        await asyncio.sleep(strike.after)
        self.counts[strike.kind] += 1
        if not KINDS[strike.kind].brokers:
            await self._strikes[strike.kind](strike)
            return
        away = Interval(self._clock.monotonic(), inf)
        self.brokers_away.append(away)
        await self._strikes[strike.kind](strike)
        self.brokers_away.remove(away)
        self.brokers_away.append(away._replace(ended=self._clock.monotonic() + AFTERMATH_SECONDS))

    async def _kill(self, strike: Strike) -> None:
        victim = await self._victim(strike)
        if victim is not None:
            self.losses.append(Loss(self._clock.monotonic(), owner_name(victim)))
            self.workers.kill(victim)
        await asyncio.sleep(strike.takes)
        self.workers.start()

    async def _stop(self, strike: Strike) -> None:
        victim = await self._victim(strike)
        if victim is None:
            return
        began = self._clock.monotonic()
        self._stopped.add(victim.pid)
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(strike.takes)
        victim.send_signal(signal.SIGCONT)
        self._stopped.discard(victim.pid)
        self.paused[owner_name(victim)].append(Interval(began, self._clock.monotonic()))

    async def _term(self, strike: Strike) -> None:
        victim = await self._victim(strike)
        if victim is not None:
            await self._dismiss(victim)
        await asyncio.sleep(strike.takes)
        self.workers.start()

    async def _rolling(self, strike: Strike) -> None:
        for victim in [each for each in self._alive if each.pid not in self._stopped]:
            await self._dismiss(victim)
            self.workers.start()
            await asyncio.sleep(strike.takes)

    async def _join_leave(self, strike: Strike) -> None:
        for _ in range(2):
            guest = self.workers.start()
            await asyncio.sleep(strike.takes)
            await self._dismiss(guest)

    async def _scale(self, strike: Strike) -> None:
        await self._scale_to(1)
        await asyncio.sleep(strike.takes)
        await self._scale_to(SCALED_UP)
        await asyncio.sleep(2 * strike.takes)
        await self._scale_to(SCALED_DOWN)
        await asyncio.sleep(strike.takes)

    async def _scale_to(self, count: int) -> None:
        for _ in range(len(self._alive), count):
            self.workers.start()
        surplus = self._victims()[: max(0, len(self._alive) - count)]
        await asyncio.gather(*(self._dismiss(each) for each in surplus))

    async def _broker_kill(self, strike: Strike) -> None:
        kafka, number = self._broker(strike)
        kafka.kill(number)
        await asyncio.sleep(strike.takes)
        kafka.launch(number)
        await self._until_ready(kafka)

    async def _broker_stop(self, strike: Strike) -> None:
        kafka, number = self._broker(strike)
        kafka.signal(number, signal.SIGSTOP)
        await asyncio.sleep(strike.takes)
        kafka.signal(number, signal.SIGCONT)
        await self._until_ready(kafka)

    async def _power(self, strike: Strike) -> None:
        kafka, _ = self._broker(strike)
        for node in kafka.nodes:
            kafka.kill(node.number)
        await asyncio.sleep(strike.takes)
        for node in kafka.nodes:
            kafka.launch(node.number)
        await self._until_ready(kafka)

    def _broker(self, strike: Strike) -> tuple[LocalKafka, int]:
        assert self.kafka is not None, "the plan knows what is ours to strike"
        return self.kafka, int(strike.pick * len(self.kafka.nodes))

    async def _until_ready(self, kafka: LocalKafka) -> None:
        deadline = self._clock.monotonic() + BOOT_SECONDS_MAX
        while not await asyncio.to_thread(kafka.ready):
            if self._clock.monotonic() > deadline:
                raise NoKafka(f"did not come back within {BOOT_SECONDS_MAX:g} s", where="Kafka")
            await asyncio.sleep(POLL_SECONDS)

    async def _dismiss(self, process: Process) -> None:
        """SIGTERM, and see that it ends well.

        One that has not come so far as to heed it is waited for, and so is another one that can go on, as whoever plans a
        restart does.
        """
        if self.strength > 1:
            await self._until(lambda: any(map(self.workers.openings, self._others(process))), REPLACED_SECONDS_MAX)
        if not await self._until(lambda: self._works_or_ended(process), SECONDS_MAX) or process.poll() is not None:
            return
        self.workers.dismiss(process)
        ended = await self._until(lambda: process.poll() is not None, SECONDS_MAX)
        if not ended:
            self.workers.kill(process)
        if process.returncode:
            number = self.workers.processes.index(process)
            how = f"ended with {process.returncode} after SIGTERM" if ended else "did not end after SIGTERM"
            self.problems.append(Problem("contradicted", f"worker {number} {how}"))

    def _others(self, process: Process) -> list[Process]:
        return [each for each in self._alive if each is not process and each.pid not in self._stopped]

    def _works_or_ended(self, process: Process) -> bool:
        return process.poll() is not None or self.workers.works(process)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = self._clock.monotonic() + seconds
        while not condition():
            if self._clock.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True


def owner_name(process: Process) -> str:
    """As the process calls itself in the log."""
    return f"{socket.gethostname()}/{process.pid}"
