"""Which faults come when: a table of kinds, and a seed that makes a plan of them.

Everything is drawn beforehand, so that the same seed strikes in the same way. What it meets differs from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import NamedTuple

from penstock.operators.error import Rejected

CYCLE_SECONDS_MIN = 2.5
SECOND_FAULT = 0.3
"""How often a cycle has two faults."""


class Kind(NamedTuple):
    """A kind of fault, in seconds: `takes` is what it waits in between (from, to), `lasts` about how long all of it is, with
    processes that start and end, and `recovery` how long nothing else happens afterwards (from, to).

    `brokers` is how many local ones it needs; 0: it strikes workers. It comes `often` before all of them come again.
    """

    text: str
    takes: tuple[float, float]
    lasts: float
    recovery: tuple[float, float]
    brokers: int = 0
    often: int = 1


KINDS: Mapping[str, Kind] = {
    "kill": Kind("SIGKILL a worker, start another", (0.0, 2.0), 1.0, (1.0, 4.0), often=3),
    "stop": Kind("SIGSTOP a worker beyond its session, then SIGCONT", (6.5, 8.0), 7.3, (0.5, 2.0)),
    "term": Kind("SIGTERM a worker, start another", (0.0, 0.5), 1.5, (1.5, 4.0)),
    "rolling": Kind("restart all workers, one after the other", (0.1, 0.3), 9.0, (0.5, 2.0)),
    "join_leave": Kind("an extra worker joins and leaves, twice", (2.0, 2.0), 7.0, (0.5, 1.5)),
    "scale": Kind("from all to 1, to 4, to 2 workers", (0.8, 1.2), 7.0, (0.5, 1.5)),
    "broker_kill": Kind("SIGKILL a broker, restart it", (0.5, 3.0), 4.0, (0.5, 2.0), 3),
    "broker_stop": Kind("SIGSTOP a broker, then SIGCONT", (1.5, 5.0), 3.5, (0.5, 2.0), 1),
    "power": Kind("SIGKILL all brokers, restart them", (0.0, 1.5), 4.0, (1.0, 3.0), 1),
}


class Strike(NamedTuple):
    """One fault: it comes `after` so many seconds, waits for `takes` in between, and hits whom `pick` (0 to 1) points at."""

    kind: str
    after: float
    takes: float
    pick: float


class Cycle(NamedTuple):
    """Strikes that come together, and how long nothing else happens then (seconds)."""

    strikes: tuple[Strike, ...]
    recovery: float

    @property
    def seconds(self) -> float:
        """How long events are spread over: about as long as the cycle is."""
        lasting = (each.after + KINDS[each.kind].lasts for each in self.strikes)
        return max([CYCLE_SECONDS_MIN, *lasting]) + self.recovery


def possible(brokers: int) -> list[str]:
    """Kinds that `brokers` local ones allow; 0: the Kafka is somebody else's."""
    return [name for name, kind in KINDS.items() if kind.brokers <= brokers]


def chosen(names: str | None, brokers: int) -> list[str]:
    """What `--faults` says, all that are possible by default. Raises Rejected."""
    can = possible(brokers)
    if names is None:
        return can
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in KINDS:
            raise Rejected(f"there is no fault {name!r}", where="--faults", remedy=f"write some of: {', '.join(can)}")
        if name not in can:
            needed = f"local brokers, at least {KINDS[name].brokers}"
            raise Rejected(f"{name} needs {needed}", where="--faults", remedy=f"write some of: {', '.join(can)}")
    return wanted


def plan(seed: int, cycles: int, kinds: Sequence[str]) -> list[Cycle]:
    """The same for the same arguments. Every kind comes before they come again. Brokers are struck once per cycle at most."""
    random = Random(seed)
    return [_cycle(random, first, kinds) for first in islice(_in_turns(random, kinds), cycles)]


def _in_turns(random: Random, kinds: Sequence[str]) -> Iterator[str]:
    turn = [name for name in kinds for _ in range(KINDS[name].often)]
    while True:
        random.shuffle(turn)
        yield from turn


def _cycle(random: Random, first: str, kinds: Sequence[str]) -> Cycle:
    names = [first]
    beside = [name for name in kinds if name != first and not (KINDS[name].brokers and KINDS[first].brokers)]
    if beside and random.random() < SECOND_FAULT:
        names.append(random.choice(beside))
    strikes = tuple(_strike(random, name) for name in names)
    return Cycle(strikes, random.uniform(*KINDS[first].recovery))


def _strike(random: Random, name: str) -> Strike:
    return Strike(name, random.uniform(0.2, 1.0), random.uniform(*KINDS[name].takes), random.random())
