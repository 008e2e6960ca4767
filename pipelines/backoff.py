"""How long to wait before trying again: full jitter, growing.

Source: Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). The classic mistake is to wait equally
long everywhere: whoever was thrown back together comes back together.
"""

from __future__ import annotations

from random import Random


class Backoff:
    """Draws from [0, ceiling), where the ceiling doubles with each draw: `first`, 2 × `first`, … up to `longest` seconds."""

    __slots__ = ("_ceiling", "_first", "_longest", "_random")

    def __init__(self, random: Random, *, first: float, longest: float) -> None:
        self._random = random
        self._first, self._longest = first, longest
        self._ceiling = first

    def draw(self) -> float:
        """Seconds to wait now."""
        ceiling = self._ceiling
        self._ceiling = min(2 * ceiling, self._longest)
        return self._random.uniform(0, ceiling)

    def reset(self) -> None:
        """It went well for a while: begin small again."""
        self._ceiling = self._first
