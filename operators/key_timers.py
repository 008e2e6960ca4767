"""Timers of all keys of a task, at which their triggers want to look."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from penstock.operators.key_state import KeyState
from penstock.operators.watermark import END_OF_TIME

BUCKET_BITS = 12
"""Timers of 4,096 ms share a bucket: what comes up next then lies in a heap that the cache holds, however many wait behind it."""


class KeyTimers:
    """As `Timers`: one entry per key counts, one that moves later is left where it is, equal times come in the order of names.

    Which entry counts stands in the key (`armed`), which is at hand whenever a timer is set or taken: a dictionary of all that
    are armed would be further places that lie cold. For the same reason the entries lie in buckets by time, of which only those
    that were reached are heaps (a calendar queue: Brown, CACM 31(10), 1988). With n entries in s buckets, setting costs O(1) in
    a bucket that was not reached and O(log n) in one that was; taking costs O(log n), and O(log s) once per bucket.
    """

    def __init__(self, states: Mapping[str, KeyState]) -> None:
        """`states` are the keys. Entries of one that is gone are skipped, also when another of its name has come."""
        self._states = states
        self._buckets: dict[int, list[tuple[int, str]]] = {}
        self._order: list[int] = []
        """A heap of the buckets that there are, none of them empty."""
        self._reached: set[int] = set()
        """Those of them that are heaps."""

    def set(self, key: KeyState, at: int) -> None:
        """Make sure that it comes up at `at` or before."""
        if key.armed is not None and key.armed <= at:
            return
        key.armed = at
        number = at >> BUCKET_BITS
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [(at, key.name)]
            heappush(self._order, number)
        elif number in self._reached:
            heappush(bucket, (at, key.name))
        else:
            bucket.append((at, key.name))

    @property
    def next(self) -> int:
        """No timer is due before this instant; END_OF_TIME if there is none at all."""
        return self._first()[0][0] if self._order else END_OF_TIME

    def take(self, until: int) -> tuple[int, KeyState] | None:
        """The earliest timer that is due at `until` or before, removed; None if there is none."""
        while self._order:
            first = self._first()
            if first[0][0] > until:
                return None
            at, name = heappop(first)
            if not first:
                self._drop_first()
            key = self._states.get(name)
            if key is not None and key.armed == at:
                key.armed = None
                return at, key
        return None

    def _first(self) -> list[tuple[int, str]]:
        """The bucket that comes up next, as a heap."""
        number = self._order[0]
        bucket = self._buckets[number]
        if number not in self._reached:
            heapify(bucket)
            self._reached.add(number)
        return bucket

    def _drop_first(self) -> None:
        number = heappop(self._order)
        del self._buckets[number]
        self._reached.discard(number)
