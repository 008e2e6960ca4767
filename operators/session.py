"""`window: {session: d}`: a prompt goes back to the last silence of d or more, in event time.

    shown     ●─●──●───────────────────●──●─────●──▶        d ──────────
              └ before ┘    ≥ d        └ the session: what a prompt shows

A session ends with the first event that is d or more after its newest one, not while nothing comes: of a key that has been
silent for days a prompt still shows the session that was its last. What is d or more older than the oldest event of the session
belongs to one before it. An event in between belongs to the session, which reaches further back from then on; that it closes
the gap to the session before brings nothing back. So which events are of the session follows from those that were fed, in their
order, and from no other limit of the window.
"""

from __future__ import annotations

from collections.abc import Collection


class Session:
    """The present one of a key: between its `oldest` and `newest` event (ms); both None before the first."""

    __slots__ = ("_gap", "_newest", "_oldest")

    def __init__(self, gap: int) -> None:
        self._gap = gap
        self.reset()

    def reset(self) -> None:
        """There was no event yet."""
        self._oldest: int | None = None
        self._newest: int | None = None

    def ends_before(self, time: int) -> bool:
        """An event of this time begins another one."""
        return self._newest is not None and time >= self._newest + self._gap

    def take(self, time: int) -> bool:
        """An event comes. False: it is of a session before."""
        if self._oldest is None or self._newest is None or self.ends_before(time):
            self._oldest = self._newest = time
            return True
        if time <= self._oldest - self._gap:
            return False
        self._oldest, self._newest = min(self._oldest, time), max(self._newest, time)
        return True

    def dump(self) -> list[int]:
        """Nothing before the first event."""
        return [] if self._oldest is None or self._newest is None else [self._oldest, self._newest]

    def load(self, times: Collection[int]) -> None:
        """Become the one that was dumped; or one of these events."""
        self._oldest, self._newest = min(times, default=None), max(times, default=None)
