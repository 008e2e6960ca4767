"""What a pending timer costs: to set it, and when it comes up. One timer for each of very many keys, in the core alone.

Set: an event of each key with a timer, less the same event without one (`status` decides). Up: the watermark passes all of them
at once. `waits.yaml` looks and tells nothing; `silence.yaml` fires, so that each timer makes a run and its result: a tenth of
the timers will do, all of their outcomes are one commit. `alone` is what a task keeps its timers in, by itself.
"""

from __future__ import annotations

from tests.bench.figure import Figure, middle
from tests.bench.part import run_part

KEYS, KEYS_QUICK, ROUNDS, ROUNDS_QUICK = 1_000_000, 50_000, 3, 1
MICROSECONDS_MAX = 5.0


def run(quick: bool) -> Figure:
    keys, times = (KEYS_QUICK, ROUNDS_QUICK) if quick else (KEYS, ROUNDS)
    pending = {"alone": keys, "waits": keys, "silence": keys // 10}
    rounds = [{name: run_part("timers_part", name, number) for name, number in pending.items()} for _ in range(times)]
    figures = {
        f"{name} {step}": middle([each[name][step] for each in rounds])
        for name in pending
        for step in ("set_us", "up_us")
    }
    worst = max(figures["waits set_us"], figures["waits up_us"], figures["silence set_us"])
    return Figure(
        "timers",
        worst,
        figures["alone up_us"],
        f"us CPU per timer with {keys} pending: the worst of setting and coming up",
        f"<= {MICROSECONDS_MAX:g} us each",
        ok=worst <= MICROSECONDS_MAX,
        detail={**figures, "rounds": rounds},
    )
