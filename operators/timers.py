"""Timers in one heap, of all keys of a task or of all groups of a key: who wants to be looked at when."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

from penstock.operators.watermark import END_OF_TIME

Name = TypeVar("Name", str, tuple[str, int])


class Timers(Generic[Name]):
    """One entry per name that counts; entries that were overtaken stay in the heap until they come up, and are skipped.

    A timer that moves *later* is left where it is: whoever takes it finds nothing due and sets it again. So a key whose
    deadline moves with every event costs nothing here. Setting and taking cost O(log n). Equal times come out in the
    order of their names: the same input gives the same order whatever happened before.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Name]] = []
        self._armed: dict[Name, int] = {}

    def set(self, name: Name, at: int) -> None:
        """Make sure that it comes up at `at` or before."""
        armed = self._armed.get(name)
        if armed is None or at < armed:
            self._armed[name] = at
            heappush(self._heap, (at, name))

    @property
    def next(self) -> int:
        """No timer is due before this instant; END_OF_TIME if there is none at all."""
        return self._heap[0][0] if self._heap else END_OF_TIME

    def take(self, until: int) -> tuple[int, Name] | None:
        """The earliest timer that is due at `until` or before, removed; None if there is none."""
        while self._heap and self._heap[0][0] <= until:
            at, name = heappop(self._heap)
            if self._armed.get(name) == at:
                del self._armed[name]
                return at, name
        return None

    def __len__(self) -> int:
        return len(self._armed)
