"""For how long a process may act without asking: what the group said last is worth something for a while (protocol rule 9).

    asked ─── answered ────────────┤ margin │
      └──────── session time-out ───────────┘ from here on a successor may be at work

Counted from when the group was *asked*: that is what it counts from itself. All times are seconds of one monotonic clock.
"""

from __future__ import annotations

from penstock.connectors.port import Tenure

MARGIN_SECONDS = 3.0
MARGIN_SHARE_MAX = 0.3
"""Of a short session the margin is this part."""
HANDOVER_SECONDS = 1.0
NEVER = float("-inf")


def margin(session_seconds: float) -> float:
    """Covers clocks that tick at different rates, and effects that are under way when a lease ends."""
    return min(MARGIN_SECONDS, MARGIN_SHARE_MAX * session_seconds)


def handover(session_seconds: float) -> float:
    """So long whoever is to lose a task may take to finish, and whoever is to have it waits for that (protocol rule 8)."""
    return min(HANDOVER_SECONDS, MARGIN_SHARE_MAX * session_seconds)


class Lease:
    """One member's place in its group, and since when each of its tasks is its own."""

    def __init__(self, session_seconds: float) -> None:
        self._seconds = session_seconds - margin(session_seconds)
        self._asked_at = NEVER
        self._alive_since = NEVER
        self._given_at: dict[int, float] = {}

    def renew(self, asked_at: float) -> bool:
        """The group still counts on us; False if it might have given us up since it was asked before."""
        unbroken = asked_at - self._asked_at < self._seconds
        if not unbroken:
            self._alive_since = asked_at
        self._asked_at = max(self._asked_at, asked_at)
        return unbroken

    def end(self) -> None:
        """We have left the group, or it has given us up."""
        self._asked_at = NEVER

    def left(self, now: float) -> float:
        """Seconds; 0: nothing may leave this process."""
        return max(0.0, self._seconds - (now - self._asked_at))

    def given(self, partition: int, at: float) -> None:
        self._given_at[partition] = at

    def taken(self, partition: int) -> None:
        self._given_at.pop(partition, None)

    def tenure(self, partition: int) -> Tenure | None:
        """None: the task is not ours."""
        if partition not in self._given_at:
            return None
        return Tenure(max(self._alive_since, self._given_at[partition]), self._asked_at)
