"""Sums of numbers without rounding, to which numbers are added and from which they are taken away again.

Every double is a whole number of 2**-1074, so a sum of doubles is one whole number, here of a unit that is as small as the
numbers so far needed. Taking away what was added gives exactly the sum of the rest. The classic mistake is to do so with
doubles: `1e16 + 1 - 1e16` is 0, and a sum over a span drifts for ever. (The result is that of Shewchuk's algorithm,
"Adaptive Precision Floating-Point Arithmetic", 1997, which is `math.fsum`; that one cannot take away.)
"""

from __future__ import annotations

from penstock.operators.expression_value import INT_MAX, INT_MIN, TYPE_ERROR, Unknown


class ExactSum:
    """The sum of whole numbers is whole within 64 bits; otherwise the nearest double."""

    __slots__ = ("_count", "_fractions", "_scale", "_units")

    def __init__(self) -> None:
        self._units = 0
        self._scale = 0
        """The unit is 2**-scale."""
        self._count = self._fractions = 0

    def add(self, number: float) -> None:
        """A whole number of any size or a finite double."""
        units = self._in_units(number, 1)
        self._units += units
        self._count += 1

    def remove(self, number: float) -> None:
        """One that was added."""
        units = self._in_units(number, -1)
        self._units -= units
        self._count -= 1
        if not self._count:
            self._scale = 0

    def _in_units(self, number: float, entering: int) -> int:
        """The number in the present unit, which becomes smaller if it must."""
        if isinstance(number, int):
            return number << self._scale
        self._fractions += entering
        units, denominator = number.as_integer_ratio()
        scale = denominator.bit_length() - 1
        if scale > self._scale:
            self._units <<= scale - self._scale
            self._scale = scale
        return units << (self._scale - scale)

    def value(self) -> int | float | Unknown:
        """A type error if it is beyond the range of doubles."""
        if not self._fractions:
            whole = self._units >> self._scale
            if INT_MIN <= whole <= INT_MAX:
                return whole
        return self._ratio(1)

    def mean(self) -> float | Unknown:
        """The sum divided by how many there are, rounded once; there must be one."""
        return self._ratio(self._count)

    def _ratio(self, divisor: int) -> float | Unknown:
        try:
            return self._units / (divisor << self._scale)
        except OverflowError:
            return TYPE_ERROR
