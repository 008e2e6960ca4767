"""Which record comes next: one input as it comes, several merged by event time.

    auth     10  12  31           fed: 10 11 12 20 …   (31 waits: flow may still bring 30)
    flow     11  20  ▒▒▒          ▒ not caught up: the merge waits for it, at most MERGE_WAIT_MS of processing time

Determinism is per merge order; the positions saved with every delta say which order it was (protocol rule 13).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from penstock.operators.decode import Read
from penstock.operators.event import Progress
from penstock.operators.moved import place_of
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source import Source
from penstock.operators.source_decode import Decode
from penstock.state.delta import Mark

MERGE_WAIT_MS = 2_000
"""How long a merge waits for an input that lags behind."""
BACKLOG_MAX = 5_000
"""Records that one input may have waiting in a merge before its intake should pause."""

Found = Read | DeadLetter | Mark
Ready = tuple[Source, Raw, Found]


class Merge:
    """Buffers decoded records per input and gives them out by lowest event time, ties in the order of the file.

    Not part of the state: what is buffered was not fed, and the saved positions lie before it.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._waiting: dict[str, deque[tuple[Raw, Found]]] = {source.topic: deque() for source in sources}
        self._blocked_since: int | None = None

    def add(self, source: Source, records: Sequence[Raw], decode: Decode) -> None:
        self._waiting[source.topic].extend((raw, decode(raw)) for raw in records)

    def add_read(self, source: Source, reads: Iterable[tuple[Raw, Found]]) -> None:
        """Records that were decoded already."""
        self._waiting[source.topic].extend(reads)

    def ready(self, progress: Mapping[str, Progress], now: int, *, ended: bool = False) -> Iterator[Ready]:
        """What can be fed at processing time `now` (ms). O(inputs) per record."""
        while (source := self._next(progress, now, ended=ended)) is not None:
            raw, read = self._waiting[source.topic].popleft()
            yield source, raw, read

    def head(self, progress: Mapping[str, Progress], now: int) -> tuple[str, Raw] | None:
        """The input and the record that `ready` would give out first."""
        source = self._next(progress, now, ended=False)
        return None if source is None else (source.topic, place_of(self._waiting[source.topic][0][0]))

    def _next(self, progress: Mapping[str, Progress], now: int, *, ended: bool) -> Source | None:
        """The input whose turn it is; None while there is nothing to feed or somebody to wait for."""
        blocked = not ended and any(
            not waiting and not _caught_up(progress, topic) for topic, waiting in self._waiting.items()
        )
        if blocked and not self._waited_enough(now):
            return None
        heads = [source for source in self._sources if self._waiting[source.topic]]
        if not heads or not blocked:
            self._blocked_since = None
        return min(heads, key=self._head_time) if heads else None

    def _waited_enough(self, now: int) -> bool:
        if self._blocked_since is None:
            self._blocked_since = now
        return now - self._blocked_since >= MERGE_WAIT_MS

    def _head_time(self, source: Source) -> int | float:
        """A dead letter and a mark have no time of their own and hold nobody up."""
        read = self._waiting[source.topic][0][1]
        return float("-inf") if isinstance(read, DeadLetter | Mark) else read[1]

    def holds(self, topic: str) -> bool:
        """Records of this input wait to be fed: it is not silent, it is held up."""
        return bool(self._waiting.get(topic))

    @property
    def backlogged(self) -> frozenset[str]:
        """Inputs whose intake should pause until the others have come along."""
        return frozenset(topic for topic, waiting in self._waiting.items() if len(waiting) > BACKLOG_MAX)


def _caught_up(progress: Mapping[str, Progress], topic: str) -> bool:
    return topic in progress and progress[topic].caught_up
