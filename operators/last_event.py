"""The last event of a key, or of a group of one, as it goes into the log where a condition may read it when time passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.operators.decode import event_class
from penstock.operators.expression import Unknown, attribute_of
from penstock.operators.key_state import KeyState, Moment
from penstock.operators.record import Record
from penstock.operators.table_rows import NO_TABLES, Tables


class LastEvents:
    """`fields` are those that conditions read, `keeps_moment` says whether they ask about its record, too."""

    def __init__(
        self, fields: Sequence[str], keeps_moment: bool, labels: Mapping[str, str], tables: Tables = NO_TABLES
    ) -> None:
        self._fields, self._keeps_moment, self._labels, self._tables = tuple(fields), keeps_moment, labels, tables
        self._kept = frozenset(fields)
        self._event = event_class(self._fields)
        self.kept = bool(fields) or keeps_moment

    def dump(self, state: KeyState) -> list[Any]:
        """The fields, and what can be known about the record."""
        known = ((name, getattr(state.event, attribute_of(name))) for name in self._fields)
        fields = {name: value for name, value in known if value.__class__ is not Unknown}
        moment = state.moment
        if moment is None or not self._keeps_moment:
            return [fields, None]
        record = moment.record
        coordinates = [
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            list(record.headers),
        ]
        whose = [] if moment.tenant is None else [moment.tenant]
        return [fields, [moment.source, moment.time, coordinates, *whose]]

    def load(self, state: KeyState, dumped: Sequence[Any]) -> bool:
        """Returns whether it tells more than there is a place for."""
        fields, about = dumped
        state.event = self._event(**{attribute_of(name): value for name, value in fields.items() if name in self._kept})
        state.moment = None
        if about is not None:
            source, time, (topic, partition, offset, timestamp, record_key, headers), *tenant = about
            record = Record(topic, partition, offset, timestamp, record_key, None, tuple(map(tuple, headers)))
            moment = Moment(state.name, source, record, time, self._labels, tables=self._tables)
            state.moment = moment.of_tenant(tenant[0] if tenant else None)
        return not self._kept.issuperset(fields) or (about is not None and not self._keeps_moment)
