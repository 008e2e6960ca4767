"""What of the topics of rekeyed sources can go: the tasks are their only readers, and what they have read is in their logs."""

from __future__ import annotations

from typing import NamedTuple

from penstock.connectors.port import Layout
from penstock.state.delta import Header


class Behind(NamedTuple):
    """Of this partition nothing before this offset is needed any more."""

    topic: str
    partition: int
    before: int


class ReadBehind:
    """Of one task. Told of every commit that was decided."""

    def __init__(self, layout: Layout, partition: int) -> None:
        self._layout, self._partition = layout, partition
        self._due: dict[str, int] = {}
        self._trimmed: dict[str, int] = {}

    def confirmed(self, header: Header) -> None:
        """The last record read stays: by it is seen, when the task is opened, whether the topic is still the same."""
        for name in self._layout.rekeyed:
            position = header.positions.get(name)
            if position is not None and position.last > self._trimmed.get(name, 0):
                self._due[name] = position.last

    @property
    def due(self) -> bool:
        """There is something new to trim."""
        return bool(self._due)

    def trim_to(self) -> Behind | None:
        """Each answer is given once; None: there is nothing new."""
        if not self._due:
            return None
        name, before = self._due.popitem()
        self._trimmed[name] = before
        return Behind(*self._layout.place(name, self._partition), before)
