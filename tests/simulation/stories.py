"""Kinds of runs, by name, and what has to hold of each: whatever went wrong, the same was told as if nothing had.

    python -m tests.simulation.stories eventful 0 10000      plays these seeds on all cores; the seeds that fail are printed

A seed that fails is played again alone with the same command; `trace.py` shows what happened.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from tests.simulation import messages as m
from tests.simulation.network import Chances
from tests.simulation.settings import BrokerSettings
from tests.simulation.world import Faults, Story, World

LATE_ENDS = Chances(late=0.3, only=frozenset({m.EndTransaction, m.AddPartitions}))
KIP_890 = BrokerSettings(transaction_version=2)


def killed(seed: int) -> Story:
    """Worker processes are killed."""
    return Story(seed, faults=Faults(kills=3))


def eventful(seed: int) -> Story:
    """Most of what can go wrong does."""
    chances = Chances(lost=0.01, unheard=0.01, late=0.01)
    return Story(seed, faults=Faults(kills=2, stops=1, broker_crashes=1, chances=chances, seconds=6.0))


def late_ends(seed: int) -> Story:
    """Copies of EndTxn and AddPartitionsToTxn arrive when their transactions are long over."""
    return Story(seed, faults=Faults(kills=2, chances=LATE_ENDS, seconds=8.0))


STORIES: Mapping[str, Callable[[int], Story]] = {
    "killed": killed,
    "killed, KIP-890": lambda seed: replace(killed(seed), brokers=KIP_890),
    "eventful": eventful,
    "eventful, KIP-890": lambda seed: replace(eventful(seed), brokers=KIP_890),
    "late ends": late_ends,
    "late ends, KIP-890": lambda seed: replace(late_ends(seed), brokers=KIP_890),
}


def check(story: Story) -> None:
    """Play it, and again without anything going wrong. Raises when what is told differs, or what went wrong itself."""
    told, undisturbed = World(story).play(), World(replace(story, faults=Faults())).play()
    told.check()
    assert undisturbed.results, "nothing was told at all"
    missing = {*undisturbed.outcomes} - {*told.outcomes}
    more = {*told.outcomes} - {*undisturbed.outcomes}
    assert told.outcomes == undisturbed.outcomes, f"lost: {sorted(missing)}, invented: {sorted(more)}"


def fails(kind: str, seed: int) -> str:
    """Why a seed fails; empty if it does not."""
    try:
        check(STORIES[kind](seed))
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to look at the seed
        return f"{type(error).__name__}: {error}"
    return ""


def _prepare() -> None:
    check(killed(0))  # imports and compiles what every run needs
    gc.collect()
    gc.freeze()


def main() -> int:
    kind, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    began, failed = time.monotonic(), 0
    with multiprocessing.Pool(os.cpu_count(), _prepare) as pool:
        seeds = range(first, last)
        for seed, why in zip(seeds, pool.imap(partial(fails, kind), seeds, chunksize=10), strict=True):
            if why:
                failed += 1
                sys.stdout.write(f"{kind} {seed}: {why}\n")
    seconds = time.monotonic() - began
    sys.stdout.write(f"{failed} of {last - first} seeds failed; {seconds:.0f} s, two runs per seed\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
