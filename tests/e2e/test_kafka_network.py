"""Workers behind a network that loses, delays and repeats what they say to Kafka, and for a while carries nothing at all.

The proxy in between says what it did to whom; what came of it says a reader of its own, directly on the broker.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from socket import gethostname
from typing import get_args

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment, undisturbed
from tests.e2e.processes import until
from tests.e2e.ssh_stream import Written, generated, records
from tests.e2e.torture import BRISK, part
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import LOG_CHARACTERS_MAX, Trial, unique_name
from tests.kafka_cut import END_TXN, INIT_PRODUCER_ID, PRODUCE, Cut, Direction, Fault, Strike, cut_beside

from penstock.pipelines.torture_processes import Process, Workers, simulated_model

pytestmark = pytest.mark.timeout(300)

LATE, GIVEN_UP = 1.0, "3s"
"""Seconds for which a request is under way, and how long a commit may take: what is lost is not waited for, what is late is."""
ROUNDS = 4
PARTS, PART_SECONDS = 200, 1.0
"""Of the stream: without new records there are no commits that could be struck, and some are delayed for long."""
SECONDS_MAX = 60.0
RETIRED = "a request was sent again; a new epoch begins"
_OPENED = re.compile(r"^(\S+ \S+) INFO \S+/(\d+) opened in \d+ ms$", re.MULTILINE)
LINKS: tuple[tuple[Direction, ...], ...] = (("answers",), ("requests",), ("requests", "answers"))


class Disturbed:
    """A trial on Kafka, and the way there for those who are to be disturbed."""

    def __init__(self, trial: Trial, stream: list[Written], way: Cut, group: Workers) -> None:
        self.trial, self.way, self.group = trial, way, group
        self._stream = stream

    def start(self) -> Process:
        """On the bad way."""
        return self.group.start("--set", f"kafka.bootstrap={self.way.bootstrap}")

    def produce(self, number: int, count: int) -> None:
        self.trial.transport.produce(self.trial.deployment.source, part(self._stream, number, count))

    def produce_from(self, number: int, count: int) -> None:
        """This part and all that follow."""
        self.trial.transport.produce(self.trial.deployment.source, self._stream[number * len(self._stream) // count :])

    def wait(self, until_true: Callable[[], bool], what: str) -> None:
        """Raises AssertionError when that takes too long, or as soon as a process ended by itself."""
        over = until(lambda: until_true() or bool(self.group.deserters), SECONDS_MAX)
        self.trial.check_alive(self.group)
        assert over, f"{what}\n{self.group.log()[-LOG_CHARACTERS_MAX:]}"

    def await_openings(self, process: Process, count: int) -> None:
        """Until it has opened tasks so often."""
        self.wait(lambda: self.group.openings(process) >= count, f"process {process.pid} does not open its tasks")

    def await_tasks(self, process: Process, count: int) -> None:
        """Until every task is open, at least so many of them there."""
        what = f"process {process.pid} does not open {count} tasks"
        self.wait(lambda: len(self._owners()) == PARTITIONS and self._owners().count(process) >= count, what)

    def _owners(self) -> list[Process]:
        """Of each task that was ever opened, who opened it last."""
        opened = sorted(
            (at, number, task)
            for number in range(len(self.group.processes))
            for at, task in _OPENED.findall(self.group.log_of(number).read_text())
        )
        return list({task: self.group.processes[number] for _, number, task in opened}.values())

    def end(self) -> None:
        """Everything is told once, and whoever works ends well."""
        self.trial.wait_until_told(self.group, SECONDS_MAX)
        self.trial.stop(self.group)
        self.trial.check(self.group)


@contextmanager
def disturbed(transport: KafkaTransport, *sets: str) -> Iterator[Disturbed]:
    """Without previews: they are Produce requests, too, and worth nothing."""
    stream = records([*generated(3, 3, "eu-"), *generated(4, 3, "us-")])
    without_previews = "agents.investigate.partials.preview=false"
    deployment = Deployment(unique_name("net"), unique_name("auth"), (without_previews, *sets))
    trial = Trial(transport, deployment, undisturbed(deployment.source, stream))
    transport.create(deployment.source)
    with (
        cut_beside(transport.bootstrap) as way,
        simulated_model(*BRISK) as model,
        trial.workers(model) as group,
    ):
        yield Disturbed(trial, stream, way, group)


def planned(random: Random) -> list[list[Strike]]:
    """Every fault on every kind of request, in rounds.

    A producer id is asked for when a task is opened, or when the end of a transaction had to be sent again: so that this
    happens, an answer to such an end is lost for each.
    """
    faults: tuple[Fault, ...] = get_args(Fault)
    strikes = [Strike(kind, fault, LATE) for kind in (PRODUCE, END_TXN, INIT_PRODUCER_ID) for fault in faults]
    random.shuffle(strikes)
    rounds = [strikes[number::ROUNDS] for number in range(ROUNDS)]
    return [each + [Strike(END_TXN, "cut", 0.0) for one in each if one.kind == INIT_PRODUCER_ID] for each in rounds]


def test_requests_that_are_lost_late_or_repeated_lose_and_double_nothing(kafka_transport: KafkaTransport) -> None:
    rounds = planned(Random(8))
    with disturbed(kafka_transport, f"kafka.transaction_timeout={GIVEN_UP}") as scene:
        worker = scene.start()
        scene.await_openings(worker, PARTITIONS)
        number = 0
        for strikes in rounds:
            scene.way.coming += strikes
            while scene.way.coming:
                assert number < PARTS, (
                    f"nobody was struck by {scene.way.coming}\n{scene.group.log()[-LOG_CHARACTERS_MAX:]}"
                )
                scene.produce(number, PARTS)
                until(lambda: not scene.way.coming, PART_SECONDS)
                number += 1
        scene.produce_from(number, PARTS)
        scene.end()
        assert Counter(scene.way.struck) == Counter(strike for strikes in rounds for strike in strikes)
        assert scene.group.openings(worker) > PARTITIONS, "no fault has cost a task"
        assert RETIRED in scene.group.log()


def test_a_link_that_carries_one_way_or_nothing_for_longer_than_a_session_loses_and_doubles_nothing(
    kafka_transport: KafkaTransport,
) -> None:
    with disturbed(kafka_transport, "kafka.session_timeout=6s") as scene:
        cut_off, other = scene.start(), scene.start()
        count = 2 * len(LINKS) + 1
        for number, held in enumerate(LINKS):
            scene.produce(2 * number, count)
            scene.await_tasks(cut_off, 1)
            scene.way.hold(*held, whose=f"{gethostname()}/{cut_off.pid}")
            scene.produce(2 * number + 1, count)
            scene.await_tasks(other, PARTITIONS)
            scene.way.heal()
        scene.produce(2 * len(LINKS), count)
        scene.end()
