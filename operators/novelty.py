"""Novelty: how far is a text from everything that a key has seen of late?

    texts      refused   refused   disk full   refused again   …        unlike 24h, threshold 0.35
    distance   1         0         0.62        0.08
               F                   F                                    remembered: refused, disk full

Distances are those of cosines: 0 for vectors of one direction, 1 for such as have nothing in common. Vectors are kept as one byte
per number, at most SEEN_MAX of them, and the oldest go first. What is nearer than a tenth of the threshold to one of them is
remembered as that one: lines that differ in a number do not push out what is rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import Any, NamedTuple

from penstock.operators.agent_plan import EndpointPlan
from penstock.operators.event import Answered, EmbedRequest, Message
from penstock.operators.watermark import NEVER

SEEN_MAX = 64
"""So many vectors are kept of a key, or of each part of it."""
SAME_SHARE = 0.1
"""Of the threshold: what is nearer counts as the same."""
NOTHING_IN_COMMON = 1.0
"""How far a text is from nothing at all."""
DISTANCE = "distance"
_LARGEST = 127
_PLACES = 6


class Seen(NamedTuple):
    """A vector with its length, and N of the key when it, or the same again, was seen last."""

    now: int
    vector: bytes
    length: float


class Novelty:
    """Fires for what is farther than `threshold` from everything of the last `unlike` ms of N."""

    def __init__(self, unlike: int, threshold: float) -> None:
        self.unlike, self.threshold = unlike, threshold
        self.told = f"is unlike {DISTANCE} {threshold:g}"

    def request(self, endpoint: EndpointPlan, text: str) -> EmbedRequest:
        return EmbedRequest(endpoint.model, (Message("user", text),), endpoint.parameters)

    def verdict(self, answered: Answered) -> bytes:
        return quantised(answered.vector)

    def decide(self, now: int, vector: Any, seen: tuple[Seen, ...]) -> tuple[dict[str, Any] | None, tuple[Seen, ...]]:
        """The values of a firing, if it is one, and what is remembered then, the latest last."""
        kept = [each for each in seen if each.now > now - self.unlike and len(each.vector) == len(vector)]
        length = _length(vector)
        nearest = NOTHING_IN_COMMON if not kept else 2.0
        for place in range(len(kept) - 1, -1, -1):
            apart = _apart(_product(vector, kept[place].vector), length * kept[place].length)
            if apart <= self.threshold * SAME_SHARE:
                same = kept.pop(place)
                return None, (*kept, same._replace(now=now))
            nearest = min(nearest, apart)
        after = (*kept, Seen(now, vector, length))[-SEEN_MAX:]
        return ({DISTANCE: nearest} if nearest > self.threshold else None), after

    def over(self, seen: tuple[Seen, ...]) -> int:
        """N from which on nothing of this matters."""
        return seen[-1].now + self.unlike if seen else NEVER


def quantised(vector: Sequence[float]) -> bytes:
    """One byte per number, in the scale of the largest. Nothing for a vector that has no direction."""
    largest = max(map(abs, vector), default=0.0)
    if not 0 < largest < float("inf"):
        return b""
    return bytes(round(number / largest * _LARGEST) & 0xFF for number in vector)


def distance(one: bytes, other: bytes) -> float:
    """Of cosines, in [0, 2]. O(numbers)."""
    return _apart(_product(one, other), _length(one) * _length(other))


def _apart(product: int, lengths: float) -> float:
    return round(max(1 - product / lengths, 0.0), _PLACES)


def _length(vector: bytes) -> float:
    return sqrt(_product(vector, vector))


def _product(one: bytes, other: bytes) -> int:
    """Of the numbers that the bytes stand for."""
    return sum(map(mul, memoryview(one).cast("b"), memoryview(other).cast("b")))
