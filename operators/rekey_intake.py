"""What stage 1 of a rekeyed source does with its records: it sends them on, and keeps nothing."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.operators.decode import Read
from penstock.operators.intake import Intake
from penstock.operators.moved import on_its_way
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source import Source


class Move(Intake):
    """Keeps nothing: a record leaves with the commit that says it was read."""

    def take(self, source: Source, reads: Iterable[tuple[Raw, Read | DeadLetter]]) -> None:
        assert self._plan.moves_to is not None
        inputs, origin, ignores = self._inputs, self._inputs.origins[source.topic], source.ignores
        for raw, read in reads:
            if type(read) is DeadLetter:
                self.bury(raw, read)
                continue
            name, time, event = read
            if origin.event_time is None or time > origin.event_time:
                origin.advance(time)
                inputs.watermark = origin.watermark
            if ignores is not None and ignores(event, raw, name, time):
                self._counters["ignored", source.name] += 1
            else:
                self._counters["moved", source.name] += 1
                self._unsaved.publish([on_its_way(raw, name, self._plan.moves_to)], outcome=True)
