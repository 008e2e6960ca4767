"""Timers of all keys of a task, at which their triggers want to look."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from penstock.operators.key_state import KeyState
from penstock.operators.watermark import END_OF_TIME


class KeyTimers:
    """As `Timers`: one entry per key counts, one that moves later is left where it is, equal times come in the order of names.

    Which entry counts stands in the key (`armed`), which is at hand whenever a timer is set or taken: a dictionary of all that
    are armed would be further places that lie cold. Setting and taking cost O(log n).
    """

    def __init__(self, states: Mapping[str, KeyState]) -> None:
        """`states` are the keys. Entries of one that is gone are skipped, also when another of its name has come."""
        self._states = states
        self._heap: list[tuple[int, str]] = []

    def set(self, key: KeyState, at: int) -> None:
        """Make sure that it comes up at `at` or before."""
        if key.armed is None or at < key.armed:
            key.armed = at
            heappush(self._heap, (at, key.name))

    @property
    def next(self) -> int:
        """No timer is due before this instant; END_OF_TIME if there is none at all."""
        return self._heap[0][0] if self._heap else END_OF_TIME

    def take(self, until: int) -> tuple[int, KeyState] | None:
        """The earliest timer that is due at `until` or before, removed; None if there is none."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            at, name = heappop(heap)
            key = self._states.get(name)
            if key is not None and key.armed == at:
                key.armed = None
                return at, key
        return None
