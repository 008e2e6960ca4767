"""What a sequence remembers of a key, and how it goes into the log: an event that many partials hold is written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.operators.decode import event_class
from penstock.operators.expression import Unknown, attribute_of
from penstock.operators.key_state import Moment
from penstock.operators.record import Record
from penstock.operators.run import RecordCause, carried
from penstock.operators.sequence import Event, Partial, Partials, Seen
from penstock.operators.watermark import NEVER


class SequenceCell(NamedTuple):
    """`taken` events so far; a firing before `quiet_until` is held back; what was due at `done` has fired.

    With `fire: watermark` `last` is the time of the last event that was taken, `waiting` are those that W has not passed, by
    time, and `passing` the times of such as mean nothing to it. So many of those that wait may begin a partial: `begins`.
    """

    partials: Partials = ()
    taken: int = 0
    quiet_until: int = NEVER
    done: int = NEVER
    last: int = NEVER
    waiting: tuple[Seen, ...] = ()
    passing: tuple[int, ...] = ()
    begins: int = 0


EMPTY = SequenceCell()


class Kept:
    """What is kept of events: these fields of them."""

    def __init__(self, fields: frozenset[str]) -> None:
        self._fields = tuple(sorted(fields))
        self._attributes = tuple(map(attribute_of, self._fields))
        self._class = event_class(self._fields)

    def of(self, event: Event) -> Event:
        return self._class(*[carried(getattr(event, attribute)) for attribute in self._attributes])

    def fields(self, event: Event) -> dict[str, Any]:
        """By their names; those that are missing are left out."""
        values = zip(self._fields, (getattr(event, attribute) for attribute in self._attributes), strict=True)
        return {name: value for name, value in values if value.__class__ is not Unknown}

    def event(self, fields: dict[str, Any]) -> Event:
        """The other way round; fields of a former definition are left out."""
        known = {attribute_of(name): value for name, value in fields.items() if name in self._fields}
        return self._class(**known)

    def dump(self, cell: SequenceCell) -> list[Any]:
        place_of: dict[int, int] = {}
        events: list[Any] = []

        def place(event: Event) -> int:
            if id(event) not in place_of:
                place_of[id(event)] = len(events)
                events.append(self.fields(event))
            return place_of[id(event)]

        partials = [
            [*partial[:6], [list(map(place, step)) for step in partial.taken], partial.values]
            for partial in cell.partials
        ]
        waiting = [self._dump_seen(seen) for seen in cell.waiting]
        return [partials, *cell[1:5], waiting, list(cell.passing), events]

    def _dump_seen(self, seen: Seen) -> list[Any]:
        about = None if seen.moment is None else _dump_moment(seen.moment)
        return [seen.time, self.fields(seen.event), seen.holds, list(seen.record), seen.values, about]

    def load(self, dumped: Sequence[Any]) -> SequenceCell:
        partials, taken, quiet_until, done, last, waiting, passing, fields = dumped
        events = [self.event(each) for each in fields]
        loaded = tuple(
            Partial._make([*facts, tuple(tuple(events[place] for place in step) for step in steps), values])
            for *facts, steps, values in partials
        )
        seen = tuple(self._load_seen(*each) for each in waiting)
        return SequenceCell(loaded, taken, quiet_until, done, last, seen, tuple(passing))

    def _load_seen(
        self, time: int, fields: dict[str, Any], holds: int, record: Sequence[Any], values: Any, about: Any
    ) -> Seen:
        cause = RecordCause(*record)
        moment = None if about is None else _load_moment(about, cause, time)
        return Seen(time, time, self.event(fields), holds, cause, values, moment)


def bare(moment: Moment) -> Moment:
    """All but the value of its record, which is the whole event."""
    record = moment.record
    kept = Record(
        record.topic, record.partition, record.offset, record.timestamp, record.key, None, tuple(record.headers)
    )
    return Moment(moment.key, moment.source, kept, moment.time, moment.labels, moment.generation).of_tenant(
        moment.tenant
    )


def cause_of(moment: Moment) -> RecordCause:
    record = moment.record
    return RecordCause(record.topic, moment.generation, record.partition, record.offset)


def _dump_moment(moment: Moment) -> list[Any]:
    record = moment.record
    about = [moment.key, moment.source, record.timestamp, record.key, list(record.headers), dict(moment.labels)]
    return about if moment.tenant is None else [*about, moment.tenant]


def _load_moment(about: Sequence[Any], cause: RecordCause, time: int) -> Moment:
    key, source, timestamp, record_key, headers, labels, *tenant = about
    record = Record(cause.topic, cause.partition, cause.offset, timestamp, record_key, None, tuple(map(tuple, headers)))
    return Moment(key, source, record, time, labels, cause.generation).of_tenant(tenant[0] if tenant else None)
