"""Stage 1 of a rekeyed source: one partition of the source in, every record to the partition of its context's key.

    source/p ─▶ decode ─▶ dead letters
                  │
                  ├────▶ watermark, position ──── a mark for every partition with each commit ─┐
                  └────▶ ignore? ─▶ record, with its coordinates ──────────────────────────────┴▶ rekeyed topic ─▶ stage 2

A task like any other, but that it keeps no keys: log, fence, positions, poison, idleness are those of `Task`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.operators.intake import Intake
from penstock.operators.moved import mark_for_all
from penstock.operators.plan import Plan
from penstock.operators.rekey_intake import Move
from penstock.operators.task import Cut, Task
from penstock.operators.watermark import END_OF_TIME, NEVER
from penstock.state.delta import Mark

RECORD_OVERHEAD_BYTES = 150
"""Of a record in a delta, beside its value."""
SILENCE_MS = 1_000
"""While a source is silent its time is told so often."""


def task_of(plan: Plan, partition: int, partitions: int) -> Task:
    """The task that works on one partition of a plan."""
    return Task(plan, partition, partitions) if plan.moves_to is None else RekeyTask(plan, partition, partitions)


class RekeyTask(Task):
    """One partition of stage 1. Its plan has one source, and no triggers."""

    intake: ClassVar[type[Intake]] = Move

    def __init__(self, plan: Plan, partition: int, partitions: int = 1) -> None:
        super().__init__(plan, partition, partitions)
        assert plan.moves_to is not None
        (source,) = plan.sources
        self._topic, self._source, self._of = plan.moves_to, source.topic, partitions
        self._origin = self.inputs.origins[source.topic]
        self._told = Mark(partition, partitions, 0, None, False)
        """The mark that was cut last."""

    def cut(self, **header: Any) -> Cut:
        """As of any task, and a mark: what lies before it in its partition is all that it says has been read."""
        self._told = self._mark()
        self._unsaved.publish([mark_for_all(self._told, self._topic, header["seq"])], outcome=True)
        return super().cut(**header)

    def _mark(self) -> Mark:
        origin, position = self._origin, self.positions.get(self._source)
        watermark = None if origin.watermark in (NEVER, END_OF_TIME) else origin.watermark
        offset = 0 if position is None else position.offset
        return Mark(self.partition, self._of, offset, watermark, origin.left_out)

    @property
    def dirty(self) -> bool:
        """Also when time has passed in silence, or an input turned out to have none."""
        return super().dirty or self._has_news

    @property
    def _has_news(self) -> bool:
        if self._origin.left_out != self._told.silent:
            return True
        told = NEVER if self._told.watermark is None else self._told.watermark
        return self._origin.watermark - told >= SILENCE_MS

    @property
    def eventful(self) -> bool:
        return super().dirty

    @property
    def unsaved_bytes(self) -> int:
        """The next delta holds every record that leaves with it."""
        return super().unsaved_bytes + RECORD_OVERHEAD_BYTES * len(self._unsaved.outputs)

    @property
    def urgent(self) -> bool:
        """Never: a mark for every partition goes with each commit, so they are not made more often than they need be."""
        return False
