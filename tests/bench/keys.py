"""What a key costs: memory of one that is idle, and time of an event among very many keys.

Idle: every key had one event of 190 bytes, an hour ago, and one trigger counts failures of a minute; resident memory per key, and
how much of it is the line that a prompt would show. Busy: ten windows of each key (`pipelines/windows.yaml`), all open.
"""

from __future__ import annotations

from tests.bench.figure import Figure, middle
from tests.bench.part import run_part

KEYS, KEYS_QUICK, FEW = 1_000_000, 50_000, 1_000
ROUNDS = 3
IDLE_BYTES_MAX, RATIO_MIN = 1024, 0.6


def run(quick: bool) -> Figure:
    keys = KEYS_QUICK if quick else KEYS
    idle = run_part("keys_part", "idle", keys)
    rounds = [{which: run_part("keys_part", "busy", which) for which in (FEW, keys)} for _ in range(ROUNDS)]
    few, many = ([each[which]["per_core"] for each in rounds] for which in (FEW, keys))
    ratio = middle([mine / other for mine, other in zip(many, few, strict=True)])
    return Figure(
        "keys",
        middle(many),
        middle(few),
        f"events/s per core with {keys} keys, beside {FEW}",
        f">= {RATIO_MIN:g} of it; <= {IDLE_BYTES_MAX} bytes per idle key",
        ok=ratio >= RATIO_MIN and idle["bytes_per_key"] <= IDLE_BYTES_MAX,
        detail={"idle": idle, "rounds": [{str(which): part for which, part in each.items()} for each in rounds]},
        ratio=ratio,
    )
