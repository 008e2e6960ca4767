"""How unusual a number is among those before it: what the methods of `anomaly` have in common.

    numbers       ·  ·  ·  ·  ·  ·  ·  ·        a method remembers a few numbers (its state) and gives, for each
    reading       –  –  –  ↕  ↕  ↕  ↕  ↕        number, what was expected instead and how far off it is (the score)

A score counts usual spreads: 3 is three times as far off as numbers usually are, and a negative one is below what was expected.
What a number does to the state comes after its reading. States are builtins in named tuples: finite floats only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple, Protocol

SCORE_MAX = 1e6
"""Scores are cut to this: where there was no spread at all, anything else would be infinitely far off."""
NUMBER_MAX = 1e150
"""Of larger numbers the squares would be beyond the doubles."""


class Reading(NamedTuple):
    score: float
    expected: float


class Method(Protocol):
    """One way to tell the unusual from the usual. Pure; O(1) per number, but for a little work now and then."""

    def fresh(self) -> Any:
        """The state before the first number."""

    def take(self, state: Any, time: int, number: float, warm: bool) -> tuple[Any, Reading | None]:
        """The state after the number, and its reading among those before it; None: too little is known.

        `time`: event time (ms). `warm`: there were enough numbers before it to tell what is unusual.
        """

    def load(self, dumped: Sequence[Any]) -> Any:
        """The state that went into the log as nested lists."""


def score_of(deviation: float, spread: float) -> float:
    """The deviation in spreads, neither infinite nor undefined."""
    if not deviation:
        return 0.0
    return within(deviation / spread if spread else inf * deviation, SCORE_MAX)


def within(number: float, limit: float) -> float:
    """The number, or the nearest one that is not beyond ± limit."""
    return max(-limit, min(limit, number))
