"""When which event is written and when which worker dies and comes back: a function of the seed, the same for every system.

    slice of events   ▪▪▪▪▪▪▪▪▪▪▪▪             ▪▪▪▪▪▪▪▪▪
    worker 0          ────────────────────╳─────────────      starts again at once
    worker 1          ─────────╳          ╶─────────────      starts again after a while
                      │◀────── one cycle ──────▶│

Within a cycle one worker dies, at any moment from the beginning of its slice until a while after its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

KEYS = tuple(f"key-{number}" for number in range(40))
WARM_UP_PER_KEY = 20
SLICE_EVENTS = 800
SLICE_SECONDS = (2.0, 6.0)
AFTER_SLICE_SECONDS = 2.0
AWAY_SECONDS = (1.0, 8.0)
"""Longer than the session time-out, or shorter: the others take over, or the worker comes back before they notice."""
PAUSE_SECONDS = (0.0, 4.0)


@dataclass(frozen=True)
class Event:
    """`at`: seconds since the beginning; `n`: its number among the events of its key, from 1."""

    at: float
    key: str
    n: int


@dataclass(frozen=True)
class Kill:
    at: float
    worker: int


@dataclass(frozen=True)
class Restart:
    at: float
    worker: int


Action = Event | Kill | Restart


@dataclass(frozen=True)
class Timeline:
    """`warm_up`: written before the clock starts; `actions`: in the order of their times."""

    warm_up: tuple[Event, ...]
    actions: tuple[Action, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        return (*self.warm_up, *(action for action in self.actions if isinstance(action, Event)))

    def without_kills(self) -> Timeline:
        return Timeline(self.warm_up, tuple(action for action in self.actions if isinstance(action, Event)))


def timeline(seed: int, cycles: int, workers: int = 2) -> Timeline:
    random = Random(seed)
    counts = dict.fromkeys(KEYS, WARM_UP_PER_KEY)
    warm_up = tuple(Event(0.0, key, n) for n in range(1, WARM_UP_PER_KEY + 1) for key in KEYS)
    actions: list[Action] = []
    began = 0.0
    for _ in range(cycles):
        lasts = random.uniform(*SLICE_SECONDS)
        actions += _slice(random, counts, began, lasts)
        worker = random.randrange(workers)
        killed = began + random.uniform(0.0, lasts + AFTER_SLICE_SECONDS)
        back = killed + random.choice([0.0, random.uniform(*AWAY_SECONDS)])
        actions += [Kill(killed, worker), Restart(back, worker)]
        began = max(began + lasts, back) + random.uniform(*PAUSE_SECONDS)
    return Timeline(warm_up, tuple(sorted(actions, key=lambda action: action.at)))


def _slice(random: Random, counts: dict[str, int], began: float, lasts: float) -> list[Event]:
    """Continues the numbers in `counts`."""
    events = []
    for number in range(SLICE_EVENTS):
        key = random.choice(KEYS)
        counts[key] += 1
        events.append(Event(began + lasts * number / SLICE_EVENTS, key, counts[key]))
    return events
