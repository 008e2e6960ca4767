"""Events per second and core from Kafka with every kind of trigger at once, exactly-once on, beside one count alone.

The events of `throughput`, through the same worker with two pipelines in turns: `pipelines/kinds.yaml` and `pipelines/one.yaml`.
"""

from __future__ import annotations

from tests.bench.figure import Figure
from tests.bench.throughput import Pairs

PER_CORE_MIN = 100_000


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    pairs = Pairs.played("ours", ours="kinds", quick=quick)
    return pairs.figure("kinds", target=f">= {PER_CORE_MIN} with all kinds", ok=pairs.ours >= PER_CORE_MIN)
