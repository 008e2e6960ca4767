"""A deployment that goes on: processes that die one after the other, of faults that are given in advance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tests.stage import Stage

from penstock.connectors.fault import FaultyBroker
from penstock.connectors.port import Model

TAKEN_OVER_SECONDS = 11.0
"""By then the tasks of a dead process have come to the others."""
PROCESSES_MAX = 50


async def live_on(
    stage: Stage, model: Model | None = None, *, until_idle: float = TAKEN_OVER_SECONDS, **faults: Iterable[Any]
) -> None:
    """Each process that crashes is followed by the next, until one comes to its end. `faults` are those of `FaultyBroker`."""
    met: dict[str, Iterator[Any]] = {name: iter(steps) for name, steps in faults.items()}
    for _ in range(PROCESSES_MAX):
        broker = FaultyBroker(stage.broker(), **met)
        await broker.start()
        summary = await stage.worker(broker, model, until_idle=until_idle).run()
        if summary.exit_code == 0:
            await broker.close()
            return
        assert "Crash" in summary.problem, summary.problem
    raise AssertionError(f"{PROCESSES_MAX} processes did not come to an end")
