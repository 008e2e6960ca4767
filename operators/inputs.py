"""How far a task has come in each of its inputs: which record is next, and what time it is.

positions   per input the next offset to read, as the log keeps it with every commit
watermark   event time: the minimum over the inputs that take part (ms), never back
tick        processing time as the events told it (ms), never back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from zlib import crc32

from msgspec.structs import replace

from penstock.operators.event import Progress
from penstock.operators.gathered import Gathered
from penstock.operators.merge import Merge, Ready
from penstock.operators.moved import Moved, place_of
from penstock.operators.plan import Plan
from penstock.operators.record import Raw
from penstock.operators.watermark import END_OF_TIME, NEVER, Origin, least, reached
from penstock.state.delta import Clock, Header, Mark, Position


class Inputs:
    """Of one task. What a merge of several buffers was not fed: positions lie before it."""

    def __init__(self, plan: Plan) -> None:
        self.sources = {source.topic: source for source in plan.sources}
        self.gathered = {source.topic: Gathered(source.delay) for source in plan.sources if source.topic in plan.moved}
        self.origins: dict[str, Origin | Gathered] = {
            source.topic: self.gathered.get(source.topic) or Origin(source.delay, source.idle)
            for source in plan.sources
        }
        self.merge = Merge(plan.sources) if len(plan.sources) > 1 else None
        self.watermark, self.tick = NEVER, 0
        self._positions: dict[str, Position] = {}
        self._last_read: dict[str, Raw] = {}
        self._progress: Mapping[str, Progress] = {}

    # --- time ---------------------------------------------------------------------------------------------------

    def tell(self, now: int) -> None:
        """Processing time has come to `now`."""
        self.tick = max(self.tick, now)

    @property
    def least(self) -> int:
        """What the inputs say of event time; the watermark does not go back where they do."""
        return least(self.origins)

    @property
    def event_time(self) -> int | None:
        """The watermark; None before the first event, and once bounded inputs are over."""
        return self.watermark if NEVER < self.watermark < END_OF_TIME else None

    def let_silence_pass(self, progress: Mapping[str, Progress]) -> None:
        """Protocol rule 13: what is idle does not hold time back."""
        self._progress = dict(progress)
        for topic, origin in self.origins.items():
            if topic in progress and not self.holds(topic):
                origin.fall_silent(progress[topic])

    def clocks(self) -> dict[str, Clock]:
        return {topic: origin.clock(self.watermark) for topic, origin in self.origins.items()}

    def marks(self) -> dict[str, list[Mark]]:
        return {topic: gathered.marks() for topic, gathered in self.gathered.items()}

    # --- records ------------------------------------------------------------------------------------------------

    def merged(self, progress: Mapping[str, Progress], most: int | None, *, ended: bool) -> Iterator[Ready]:
        """What a merge of several gives out now, at most so many records."""
        if self.merge is not None:
            yield from islice(self.merge.ready(progress, self.tick, ended=ended), most)

    def next_merged(self, progress: Mapping[str, Progress], now: int) -> tuple[str, Raw] | None:
        """The input and the record that a merge of several would give out next; None where there is no merge or nothing
        ready."""
        return None if self.merge is None else self.merge.head(progress, max(self.tick, now))

    def holds(self, topic: str) -> bool:
        """Records of this input were handed over and not fed yet."""
        return self.merge is not None and self.merge.holds(topic)

    @property
    def backlogged(self) -> frozenset[str]:
        """Inputs whose intake should pause: a merge waits for the others."""
        return frozenset() if self.merge is None else self.merge.backlogged

    def fed(self, topic: str, raw: Raw) -> None:
        """This record of the input was fed, and all before it."""
        self._last_read[topic] = raw

    def fed_all(self, last: Mapping[str, Raw]) -> None:
        self._last_read.update(last)

    @property
    def positions(self) -> dict[str, Position]:
        """Per input the next offset to read: behind the last record that was fed, and what follows it and is no record."""
        for topic, read in self._last_read.items():
            raw = place_of(read)
            self._positions[topic] = Position(
                raw.offset + 1, raw.offset, raw.timestamp, crc32(raw.value or b""), self.generation_of(topic)
            )
        self._last_read.clear()
        for topic, position in self._positions.items():
            if topic in self._progress and not self.holds(topic):
                offset = max(position.offset, self._progress[topic].position)
                self._positions[topic] = replace(position, offset=offset)
        return dict(self._positions)

    def generation_of(self, topic: str) -> int:
        return self._positions[topic].generation if topic in self._positions else 0

    @property
    def moved_on(self) -> bool:
        """Something was fed since positions were told."""
        return bool(self._last_read)

    @property
    def only_marks(self) -> bool:
        """All that was fed since is marks of time, which rekeyed sources send while nothing happens."""
        return all(topic in self.gathered and not isinstance(raw, Moved) for topic, raw in self._last_read.items())

    # --- restoring ----------------------------------------------------------------------------------------------

    def restore(self, header: Header) -> None:
        """As they stood at this commit; commits come in the order of the log."""
        self._positions = dict(header.positions)
        self.tell(header.tick)
        self.watermark = max(self.watermark, reached(header.clocks))
        for topic, clock in header.clocks.items():
            if topic in self.origins:
                self.origins[topic].restore(clock)
        for topic, marks in header.origins.items():
            if topic in self.gathered:
                self.gathered[topic].restore_marks(marks)

    def take_up(self, positions: Mapping[str, Position], now: int, is_over: Callable[[str], bool]) -> None:
        """The log was read to its end: inputs go on at `positions`, except those that are over.

        An input that the file does not name any more keeps its position: it may come back. One that is new does not take time
        back: what was due has fired.
        """
        known = {**self._positions, **positions}
        self._positions = {name: position for name, position in known.items() if not is_over(name)}
        self.tell(now)
        for origin in self.origins.values():
            if origin.event_time is None:
                origin.heard(self.tick)
            origin.watermark = max(origin.watermark, self.watermark)
        self.watermark = self.least
