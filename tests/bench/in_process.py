"""Events per second and core through the core alone, no Kafka: a sliding and a tumbling count, beside a loop over a dict.

The events of `throughput` as bytes in memory; both parse them. The loop keeps no context for prompts and no log, takes events in
the order in which they come, and forgets everything when it ends.
"""

from __future__ import annotations

from tests.bench.figure import Figure, middle
from tests.bench.part import run_part

EVENTS, EVENTS_QUICK, ROUNDS = 200_000, 40_000, 3
SHAPES = ("sliding", "tumbling")
PER_SECOND_MIN, RATIO_MIN = 600_000, 0.5


def run(quick: bool) -> Figure:
    count = EVENTS_QUICK if quick else EVENTS
    rounds = [
        {
            f"{shape} {who}": run_part("in_process_part", shape, who, count)
            for shape in SHAPES
            for who in ("bare", "ours")
        }
        for _ in range(ROUNDS)
    ]
    ours, bare = ([each[f"sliding {who}"]["per_core"] for each in rounds] for who in ("ours", "bare"))
    tumbling = middle([each["tumbling ours"]["per_core"] for each in rounds])
    ratio = middle([mine / other for mine, other in zip(ours, bare, strict=True)])
    return Figure(
        "in_process",
        middle(ours),
        middle(bare),
        "events/s per core",
        f">= {PER_SECOND_MIN} sliding and tumbling; >= {RATIO_MIN:g} of a dict loop on sliding",
        ok=min(middle(ours), tumbling) >= PER_SECOND_MIN and ratio >= RATIO_MIN,
        detail={"tumbling": tumbling, "rounds": rounds},
        ratio=ratio,
    )
