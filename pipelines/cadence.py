"""When to commit, which part of the state to write along with it, and how often to show a partial. Pure: time is passed in.

    outcomes wait        ──▶ at once, if the interval since the last commit began has passed
    only events          ──▶ half a second after the first of them, or as soon as 512 KB are unsaved
    nothing at all       ──▶ once an hour: it keeps the transactional id and proves the fence

Protocol rules 5 and 14. All times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

INTERVAL_MIN = 0.005
COMMIT_SHARE = 3
"""Commits may take at most one part in so many of the time."""
COMMITS_PER_SECOND = 200
"""Allowed to all tasks of one process together: every commit costs its brokers about eight appends."""
EVENTS_WAIT_MAX = 0.5
UNSAVED_BYTES_DUE = 512_000
UNSAVED_BYTES_MAX = 2_000_000
"""Above this feeding records waits for the next commit: a delta has to stay below 4 MB."""
HEARTBEAT = 3_600.0
AVERAGE_WEIGHT = 0.2


class Waiting(NamedTuple):
    """What the core has to save. `urgent`: an outcome is among it."""

    dirty: bool
    urgent: bool
    size: int


class Cadence:
    """When one task commits next. `tasks` of this process share the commits that are allowed per second."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._dirty_since: float | None = None
        self._commit_seconds: float | None = None

    def began(self, now: float) -> None:
        self._began = now
        self._dirty_since = None

    def ended(self, now: float) -> float:
        """The commit was decided; how long it took. The first one pays for connections and says nothing about the others."""
        took = now - self._began
        if self._commit_seconds is None:
            self._commit_seconds = 0.0
        else:
            known = self._commit_seconds or took
            self._commit_seconds = AVERAGE_WEIGHT * took + (1 - AVERAGE_WEIGHT) * known
        return took

    def interval(self, tasks: int) -> float:
        """Least time from the beginning of one commit to that of the next."""
        return max(INTERVAL_MIN, COMMIT_SHARE * (self._commit_seconds or 0.0), tasks / COMMITS_PER_SECOND)

    def wait(self, now: float, waiting: Waiting, tasks: int) -> float:
        """Seconds until the next commit is due; 0 or less: now. Only asked while none is in flight.

        When nothing more may be fed before the next commit, sparing commits would only be waiting.
        """
        if not waiting.dirty:
            return self._began + HEARTBEAT - now
        if self._dirty_since is None:
            self._dirty_since = now
        if waiting.size >= UNSAVED_BYTES_MAX:
            return 0.0
        allowed = self._began + self.interval(tasks)
        if waiting.urgent or waiting.size >= UNSAVED_BYTES_DUE:
            return allowed - now
        return max(allowed, self._dirty_since + EVENTS_WAIT_MAX) - now


IMAGE_BYTES_MAX = 256_000
"""A bucket whose image is larger is split. Half of what a record may hold, so that growth in between does not matter."""
IMAGE_KEYS_MAX = 1_000
"""So is one of more keys: encoding them holds up feeding for milliseconds."""
IMAGES_MAX = 4
"""Buckets that one commit may carry. It takes more than one only where deltas come so fast that one cannot keep up."""
IMAGE_PRICE = 1.5
"""Bytes of deltas that pay for one byte of an image."""
TURN_PRICE_MIN = 16_000
"""Bytes of deltas that pay for a turn of all buckets at least: small states are not written again with every commit."""


class Rotation:
    """Which bucket is written next: always the one whose image is oldest, when the deltas since then have paid for it.

    A turn of all buckets takes as long as it takes to write one and a half times as many bytes of deltas. So the log holds the
    live state once in images, one and a half times in deltas, and what one turn overlaps: two to three times the live state.
    All of that is counted in bytes as they lie in the log: deltas and images are not compressed equally well. `of_max` is how
    many buckets there can be.
    """

    def __init__(self, of_max: int) -> None:
        self.of, self._of_max = 1, of_max
        self._turns: deque[int] = deque([0])
        self._sizes: dict[int, int] = {}
        self._credit = 0.0

    def delta_written(self, size: int) -> None:
        """A delta of so many bytes, live or while restoring, is in the log."""
        self._credit += size

    def due(self) -> list[int]:
        """The buckets to be written with the next commit: as many as are paid for, the oldest first."""
        credit, paid = self._credit, list[int]()
        for index in islice(self._turns, IMAGES_MAX):
            credit -= max(IMAGE_PRICE * self._sizes.get(index, 0), TURN_PRICE_MIN / self.of)
            if credit < 0:
                break
            paid.append(index)
        return paid

    def image_encoded(self, of: int, size: int, keys: int) -> None:
        """An image of one of `of` buckets is on its way, with so many bytes before compression: cut finer if that is too much."""
        while (size > IMAGE_BYTES_MAX or keys > IMAGE_KEYS_MAX) and of < self._of_max:
            of, size, keys = 2 * of, size // 2, keys // 2
            if of > self.of:
                self._split()

    def image_written(self, index: int, of: int, size: int) -> None:
        """An image of bucket `index` of `of` is in the log, live or while restoring: what it covers is youngest now."""
        while self.of < of:
            self._split()
        self._credit = max(0.0, self._credit - IMAGE_PRICE * size)
        covered = [turn for turn in self._turns if turn % of == index]
        self._turns = deque([turn for turn in self._turns if turn % of != index] + covered)
        for turn in covered:
            self._sizes[turn] = size // len(covered)

    def _split(self) -> None:
        """Twice as many buckets; bucket i becomes i and i + of, and both keep its place in the row."""
        self._turns = deque(half for index in self._turns for half in (index, index + self.of))
        self._sizes = {half: size // 2 for index, size in self._sizes.items() for half in (index, index + self.of)}
        self.of *= 2


PARTIAL_WAIT_MAX = 2.0


class PartialPace:
    """How often one answer in the making is shown: every `first` seconds, then half as often each time, down to every 2 s."""

    __slots__ = ("_due", "_wait")

    def __init__(self, first: float, now: float) -> None:
        self._wait = first
        self._due = now + first

    def due(self, now: float) -> bool:
        """Whether to show it now; counts it as shown."""
        if now < self._due:
            return False
        self._wait = max(self._wait, min(2 * self._wait, PARTIAL_WAIT_MAX))
        self._due = now + self._wait
        return True
