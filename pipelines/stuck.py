"""A task that has something to do and commits nothing (protocol rule 15)."""

from __future__ import annotations

STUCK_SECONDS = 60.0


class Standstill:
    """How long a task has had work without a commit."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._seq = -1

    def seconds(self, now: float, seq: int, *, busy: bool) -> float:
        """At `now` (monotonic seconds) `seq` is that of the last commit; `busy`: something waits for the next one."""
        if not busy:
            self._since = None
        elif self._since is None or seq != self._seq:
            self._since = now
        self._seq = seq
        return 0.0 if self._since is None else now - self._since
