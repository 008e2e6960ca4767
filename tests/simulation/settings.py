"""How brokers and network are set up: Kafka's defaults where they matter, chance where reality differs from run to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal


@dataclass(frozen=True, slots=True)
class Span:
    """A time that chance decides, in seconds: between `least` and `most`, and one in `rarely` times up to `longest`."""

    least: float
    most: float
    longest: float = 0.0
    rarely: int = 0

    def draw(self, random: Random) -> float:
        return self.drawer(random)()

    def drawer(self, random: Random) -> Callable[[], float]:
        """For what is drawn often."""
        least, width, chance_of = self.least, self.most - self.least, random.random
        rare = 1.0 / self.rarely if self.rarely else -1.0
        most, tail = self.most, (self.longest - self.most) * self.rarely

        def draw() -> float:
            chance = chance_of()
            return least + width * chance if chance > rare else most + tail * chance

        return draw


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """`transaction_version` 1: what Kafka's Python clients speak. 2: KIP-890, a new epoch after every transaction.

    `marker`: from the decision of a transaction to its marker in one partition. `completed`: from the last marker until
    the coordinator has noted that, and the next transaction may begin. `election`: from the loss of a broker until others
    lead its partitions. `loading`: until a new coordinator knows what its predecessor knew. `unflushed`: for so long a
    record may be in memory only, on every broker.
    """

    brokers: int = 3
    transaction_version: Literal[1, 2] = 1
    marker: Span = Span(0.0002, 0.003, longest=0.5, rarely=100)
    completed: Span = Span(0.0001, 0.001)
    abort_scan: float = 10.0
    transactional_id_expiration: float = 7 * 86_400.0
    coordinator_partitions: int = 5
    election: Span = Span(1.0, 3.0)
    loading: Span = Span(0.01, 0.2)
    visible: Span = Span(0.001, 0.05)
    initial_rebalance: float = 0.0
    session_least: float = 1.0
    session_most: float = 300.0
    transaction_timeout_most: float = 900.0
    unflushed: float = 5.0


@dataclass(frozen=True, slots=True)
class Delays:
    """`hop`: one way. `late`: how long a request that outlived its connection may still be under way."""

    hop: Span = Span(0.0001, 0.001, longest=0.3, rarely=200)
    late: Span = Span(0.001, 2.0, longest=30.0, rarely=4)


SWIFT = Delays(hop=Span(0.0001, 0.001))
"""A network in which nothing is ever slow."""
SWIFT_BROKERS = BrokerSettings(marker=Span(0.0002, 0.003))
