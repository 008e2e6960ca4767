"""A supervised deployment whose processes are struck at random moments while its input is being produced."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from random import Random

from tests.e2e.ssh_stream import Written
from tests.e2e.trial import Trial

from penstock.pipelines.torture_processes import Process, Workers

SLOW = ("--tokens-per-second", "25", "--ttft", "0.2")
"""Of a simulated model: an answer takes seconds, so that strikes meet open runs and half-told answers."""
BRISK = ("--tokens-per-second", "100", "--ttft", "0.1")
"""Of one whose answers come while a process lives, and some are under way whenever it dies."""
PAUSE_SECONDS = (0.2, 2.0)
"""Between two strikes: shorter than a process needs to open its tasks, or long enough for it to work on them."""


def torture(
    trial: Trial, group: Workers, stream: Sequence[Written], random: Random, *, kills: int, stops: int, stopped: float
) -> None:
    """Kill so many times, and stop so many times for `stopped` seconds, spread over the stream. One or two workers are alive.

    What was killed is started again, as a supervisor would; what ends by itself is a failure.
    """
    strikes = [True] * kills + [False] * stops
    random.shuffle(strikes)
    group.start()
    group.start()
    for number, deadly in enumerate(strikes):
        trial.transport.produce(trial.deployment.source, part(stream, number, len(strikes)))
        time.sleep(random.uniform(*PAUSE_SECONDS))
        trial.check_alive(group)
        victim = random.choice(group.running)
        if deadly:
            _kill(group, victim, random)
        else:
            _stop_for_a_while(victim, stopped)


def part(stream: Sequence[Written], number: int, count: int) -> Sequence[Written]:
    """One of so many equal parts."""
    return stream[number * len(stream) // count : (number + 1) * len(stream) // count]


def _kill(group: Workers, victim: Process, random: Random) -> None:
    """The successor is there at once, or after a while in which the other one is alone."""
    group.kill(victim)
    time.sleep(random.choice([0.0, random.uniform(0.0, 1.5)]))
    group.start()


def _stop_for_a_while(victim: Process, seconds: float) -> None:
    """It does not notice that time passes; when it goes on, its tasks are somebody else's."""
    victim.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    victim.send_signal(signal.SIGCONT)
