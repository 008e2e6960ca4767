"""Kinds of runs, by name, and what has to hold of each: whatever goes wrong, what is due is told.

    python -m tests.simulation.stories eventful 17          plays one seed, and says what went wrong
    python -m tests.simulation.stories eventful 0 10000     plays these on all cores; the seeds that fail are printed
    python -m tests.simulation.stories all 0 1000           the same of every kind, and the seeds that failed once

`trace.py` shows what happened in one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import NamedTuple, NoReturn

from tests.simulation import messages as m
from tests.simulation.expectation import Outcomes, expected, placed
from tests.simulation.network import Chances
from tests.simulation.pipelines import AFTER, BEFORE, MERGED, TIMED, TWO_INPUTS
from tests.simulation.settings import SWIFT, SWIFT_BROKERS, BrokerSettings
from tests.simulation.succession import expected_in_stages, stages_of
from tests.simulation.world import INPUT, Faults, Story, World, wordy_verdict

LATE_ENDS = Chances(late=0.3, only=frozenset({m.EndTransaction, m.AddPartitions}))
KIP_890 = BrokerSettings(transaction_version=2)


def killed(seed: int) -> Story:
    """Worker processes are killed."""
    return Story(seed, faults=Faults(kills=3))


def restarted(seed: int) -> Story:
    """Worker processes are told to end, and others are started: what they have in hand they finish or hand over."""
    return Story(seed, faults=Faults(restarts=4, kills=1), piece_seconds=0.2)


def stopped(seed: int) -> Story:
    """Worker processes are stopped, some of them for longer than their session, and go on as if nothing had been."""
    return Story(seed, faults=Faults(stops=3, seconds=4.0), piece_seconds=0.25)


def cut_off(seed: int) -> Story:
    """Processes do not hear brokers, or are not heard, and what is held up arrives when it is not expected any more."""
    return Story(seed, faults=Faults(cuts=3, seconds=4.0), piece_seconds=0.25)


def brokerless(seed: int) -> Story:
    """Brokers crash, one after the other, and come back."""
    return Story(seed, faults=Faults(kills=1, broker_crashes=3, seconds=8.0), feeding=6.0)


def eventful(seed: int) -> Story:
    """Most of what can go wrong does."""
    chances = Chances(lost=0.01, unheard=0.01, late=0.01)
    return Story(seed, faults=Faults(kills=2, stops=1, broker_crashes=1, chances=chances, seconds=6.0))


def late_ends(seed: int) -> Story:
    """Copies of EndTxn and AddPartitionsToTxn arrive when their transactions are long over."""
    return Story(seed, faults=Faults(kills=2, chances=LATE_ENDS, seconds=8.0))


def moody(seed: int) -> Story:
    """The model sends callers away, or breaks off in the middle, while processes are killed and restarted."""
    return Story(seed, faults=Faults(kills=2, restarts=2), piece_seconds=0.15, moods=0.3)


def heavy(seed: int) -> Story:
    """So much state that buckets are written and the log is trimmed, while processes are killed."""
    return Story(
        seed, workers=2, partitions=1, events=60, line_bytes=2_000, faults=Faults(kills=4, seconds=8.0), feeding=6.0
    )


def timed(seed: int) -> Story:
    """Nobody reads for longer than an input has to be silent to be idle, but it is not silent."""
    faults = Faults(kills=2, stops=2, seconds=8.0)
    return Story(
        seed,
        workers=2,
        partitions=1,
        events=80,
        feeding=10.0,
        spacing=125,
        faults=faults,
        pipeline=TIMED,
        settling=5.0,
    )


def two_inputs(seed: int) -> Story:
    """One of two inputs is silent most of the time, and processes are killed, stopped and cut off."""
    return Story(
        seed,
        workers=2,
        partitions=1,
        events=80,
        spacing=125,
        flows=24,
        punctual=True,
        faults=Faults(kills=2, stops=1, cuts=2, seconds=8.0),
        pipeline=TWO_INPUTS,
        settling=6.0,
    )


def two_recordings(seed: int) -> Story:
    """Two inputs are there from the beginning, and read in small portions by processes that are killed and replaced."""
    return Story(
        seed,
        workers=2,
        partitions=2,
        events=80,
        flows=40,
        batch=5,
        feeding=0.0,
        faults=Faults(kills=2, restarts=2, seconds=3.0),
        pipeline=MERGED,
    )


def rolled_out(seed: int) -> Story:
    """Another file is rolled out, and then taken back, while processes are killed and stopped."""
    return Story(
        seed,
        events=30,
        feeding=9.0,
        line_bytes=300,
        faults=Faults(kills=1, stops=1, roll_outs=2, seconds=10.0),
        pipeline=BEFORE,
        changed=AFTER,
        piece_seconds=0.1,
    )


def handed_over(seed: int) -> Story:
    """Processes are told to end and replaced, and nothing goes wrong: whoever loses a task finishes it first."""
    return Story(
        seed, faults=Faults(restarts=5, seconds=6.0), brokers=SWIFT_BROKERS, delays=SWIFT, orderly=True, feeding=6.0
    )


def stuck(seed: int) -> Story:
    """A commit of every process hangs for ever, and its heartbeats go on."""
    return Story(seed, workers=2, partitions=2, events=25, hangs=True)


def refused(seed: int) -> Story:
    """Some answers are larger than the topic of results takes, and processes are killed."""
    return Story(seed, faults=Faults(kills=3), answer=wordy_verdict, result_bytes_max=3_000)


SMALL_FROM = 1_000
"""Seeds below are of full size: the mutations and those that failed once refer to them."""


def sized(story: Story) -> Story:
    """Most have few processes, partitions and events: in the same time twice as many are played, and they find as much."""
    if story.seed < SMALL_FROM:
        return story
    random = Random(f"{story.seed} size")
    workers, partitions = random.choice([2, 2, 3]), random.choice([1, 2, 2, 3])
    return replace(story, workers=workers, partitions=partitions, events=random.choice([15, 25, 40]))


SECONDS_MAX = 30
"""Of a processor: a run takes less than a tenth of a second."""

STORIES: Mapping[str, Callable[[int], Story]] = {
    "killed": lambda seed: sized(killed(seed)),
    "killed, KIP-890": lambda seed: sized(replace(killed(seed), brokers=KIP_890)),
    "restarted": lambda seed: sized(restarted(seed)),
    "stopped": lambda seed: sized(stopped(seed)),
    "cut off": lambda seed: sized(cut_off(seed)),
    "brokerless": lambda seed: sized(brokerless(seed)),
    "eventful": lambda seed: sized(eventful(seed)),
    "eventful, KIP-890": lambda seed: sized(replace(eventful(seed), brokers=KIP_890)),
    "late ends": lambda seed: sized(late_ends(seed)),
    "late ends, KIP-890": lambda seed: sized(replace(late_ends(seed), brokers=KIP_890)),
    "moody model": lambda seed: sized(moody(seed)),
    "heavy": heavy,
    "timed": timed,
    "two inputs": two_inputs,
    "two recordings": two_recordings,
    "rolled out": rolled_out,
    "handed over": handed_over,
    "stuck": stuck,
    "refused": lambda seed: sized(refused(seed)),
}


class Seed(NamedTuple):
    """One run: a kind of story and its number."""

    kind: str
    number: int

    @property
    def command(self) -> str:
        return f"python -m tests.simulation.stories {self.kind!r} {self.number}"


REGRESSIONS: Mapping[Seed, str] = {
    Seed(
        "cut off", 25
    ): "a call that had waited for the lease was made when the task had been somebody else's meanwhile",
    Seed("cut off", 77): "the same",
    Seed("two inputs", 26): "an answer that waited while its process was stopped told of a silence that was over",
}
"""Seeds that failed once, and why: they are always played."""


def check(story: Story) -> None:
    """Play it. Raises when what is told is not what is due, or what went wrong itself."""
    world = World(story)
    told = world.play().outcomes
    due = _without_refused(_due(world), world)
    missing, more = {*due} - {*told}, {*told} - {*due}
    other = sorted(name for name in {*due} & {*told} if due[name] != told[name])
    assert told == due, f"lost: {sorted(missing)}, invented: {sorted(more)}, other answers: {other}"


def _due(world: World) -> Outcomes:
    story = world.story
    records = placed(story.partitions, story.records())
    if not story.changed:
        return expected(world.pipeline, records, story.answer)
    due: Outcomes = {}
    for partition, commits in enumerate(world.chronicle().commits):
        stages = stages_of(commits, world.files, INPUT)
        due |= expected_in_stages(partition, stages, records[partition], story.answer)
    return due


def _without_refused(due: Outcomes, world: World) -> Outcomes:
    """What the topic of results does not take is a dead letter instead, and nothing else is."""
    limit = world.story.result_bytes_max
    too_large = {run for (run, _), answer in due.items() if limit and answer and len(answer["why"]) > limit}
    letters = [dict(letter.headers) for letter in world.chronicle().read(world.pipeline.plan.dead_topic)]
    refused = sorted(letter["penstock-dead-id"].decode().rpartition("/")[0] for letter in letters)
    assert refused == sorted(too_large), f"dead letters: {refused}, too large: {sorted(too_large)}"
    return {(run, state): answer for (run, state), answer in due.items() if run not in too_large}


def why_it_fails(seed: Seed) -> str:
    """Empty if it does not."""
    signal.signal(signal.SIGVTALRM, _take_too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_MAX)
    try:
        check(STORIES[seed.kind](seed.number))
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to look at the seed
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return ""


def _take_too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"it took more than {SECONDS_MAX} s of a processor")


def failures(seeds: Iterable[Seed]) -> Iterator[str]:
    """Plays them on all cores; a line for each that fails, with the command that plays it again."""
    wanted = list(seeds)
    with multiprocessing.Pool(os.cpu_count(), _prepare) as pool:
        for seed, why in zip(wanted, pool.imap(why_it_fails, wanted, chunksize=10), strict=True):
            if why:
                yield f"{seed.command}\n    {why}"


def _prepare() -> None:
    why_it_fails(Seed("killed", 0))  # imports and compiles what every run needs; a pool never ends if this raises
    gc.collect()
    gc.freeze()


def main() -> int:
    kind, first, *last = sys.argv[1:]
    if not last:
        check(STORIES[kind](int(first)))
        return 0
    began, failed = time.monotonic(), 0
    seeds = [] if kind != "all" else list(REGRESSIONS)
    seeds += [Seed(each, number) for each in _kinds(kind) for number in range(int(first), int(last[0]))]
    for line in failures(seeds):
        failed += 1
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{failed} of {len(seeds)} seeds failed; {time.monotonic() - began:.0f} s\n")
    return min(failed, 1)


def _kinds(kind: str) -> list[str]:
    return list(STORIES) if kind == "all" else [kind]


if __name__ == "__main__":
    sys.exit(main())
