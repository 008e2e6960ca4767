"""Before a worker works: what is not there yet is given a few tries, what is there and wrong is told at once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from penstock.connectors.port import WallClock
from penstock.operators.error import Unanswered
from penstock.pipelines.backoff import Backoff

log = logging.getLogger("penstock")

ATTEMPTS = 5
"""For what starts beside us, in a container of its own; then it is exit 3."""

T = TypeVar("T")


async def patiently(attempt: Callable[[], Awaitable[T]], clock: WallClock, random: Random) -> T:
    """What `attempt` returns, tried again while nobody answers. Raises Unanswered in the end, and at once all else."""
    backoff = Backoff(random, first=0.5, longest=5.0)
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except Unanswered as error:
            log.warning("%s; trying again", error)
            await clock.sleep(backoff.draw())
    return await attempt()
