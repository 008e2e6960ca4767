"""Python's garbage collector, told what a worker is like.

What a worker remembers are many small containers that live long and never form cycles. With Python's thresholds the collector
walks through them every 700 allocations: an eighth of all CPU time, and pauses of tens of milliseconds.
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000
"""So many new containers, a few MB of them, before the young ones are looked at."""
ROUNDS = 10


def spare_collector() -> None:
    """Call it once, before the work begins: what is there by then is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, ROUNDS, ROUNDS)
