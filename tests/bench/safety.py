"""What exactly-once costs: the worker of the throughput benchmark, beside itself without transactions.

Both read, decide and write the same; the other one writes its log and its results without a transaction, waits for the brokers
to acknowledge them, and reads what is not committed. CPU time of the reading process, in turns.
"""

from __future__ import annotations

from tests.bench.figure import Figure
from tests.bench.throughput import Pairs

RATIO_MIN = 0.8


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    pairs = Pairs.played("unsafe", quick=quick)
    return pairs.figure(
        "safety",
        target=f">= {RATIO_MIN:g} of the same worker without transactions",
        ok=pairs.ratio >= RATIO_MIN,
    )
