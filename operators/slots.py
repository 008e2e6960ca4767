"""The aggregates of a key. Keys of which no aggregate took an event have the same: of a million keys most are of these."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.operators.aggregate import AggregateCall, new_aggregate
from penstock.operators.aggregate_content import Aggregate


class Blank(tuple[Aggregate, ...]):
    """Empty ones, of many keys. They can be asked; who wants to change them takes `made`, which belong to one key."""

    calls: Sequence[AggregateCall]

    @classmethod
    def of(cls, calls: Sequence[AggregateCall]) -> Blank:
        blank = cls(map(new_aggregate, calls))
        blank.calls = calls
        return blank

    def made(self) -> Slots:
        return tuple([new_aggregate(call) for call in self.calls])


Slots = tuple[Aggregate, ...]
