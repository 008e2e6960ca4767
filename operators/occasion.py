"""Why something fired, and the id that follows from it.

Ids derive from causes only (protocol rule 12): a record by its coordinates, a timer by the time it was due. So a firing
that is repeated after a crash, on another broker or with another batch size is the same firing, and the same run. What
people read names the source as the file does; the id goes by the topic, so that a source may be renamed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.operators.condition import known_values
from penstock.operators.key_state import KeyState
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.run import Cause, Firing, RecordCause, TimerCause, run_id, template_scope
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.template import annotate
from penstock.operators.trigger import Fired


class Occasions:
    """Makes firings out of transitions. `ended`: every input was bounded and is over; firings say so.

    `generation_of` tells how often a topic was made anew: its offsets began again then.
    """

    def __init__(
        self, plan: Plan, partition: int, generation_of: Callable[[str], int], tables: Tables = NO_TABLES
    ) -> None:
        self._tables = tables
        self._plan, self._partition, self._generation_of = plan, partition, generation_of
        self._source_of = {source.topic: source.name for source in plan.sources}
        self.ended = False

    def firing(self, key: KeyState, planned: PlannedTrigger, fired: Fired, raw: Raw | None) -> Firing:
        """For a key or a group of one. `raw` is the record that was fed when it fired; it is the cause unless the trigger was due
        by time or names one."""
        cause, told = self._cause(fired, raw)
        values = known_values(planned.values, key) if fired.values is None else fired.values
        labels = {**self._plan.labels, **planned.labels}
        group = None if planned.by is None else key.group
        run = run_id(self._partition, self._plan.name, planned.name, key.name, cause, group)
        firing = Firing(
            run=run,
            trigger=planned.name,
            agent=planned.agent.name if planned.agent is not None else None,
            key=key.name,
            at=fired.at,
            cause=told,
            condition=planned.trigger.condition,
            values=values,
            labels=labels,
            episode=f"{run}/episode" if planned.trigger.episodic else None,
            end=self.ended and fired.judged is None,
            by=planned.by,
            group=group,
        )
        if not planned.annotations:
            return firing
        return msgspec.structs.replace(
            firing, annotations=annotate(planned.annotations, template_scope(firing, fired.steps, self._tables))
        )

    def _cause(self, fired: Fired, raw: Raw | None) -> tuple[Cause, str]:
        """What the id follows from, and how results name it."""
        if fired.given is not None:
            return fired.given.cause, fired.given.told
        if fired.due is not None:
            return TimerCause(fired.due), f"timer@{fired.due}"
        cause = fired.record
        if cause is None:
            assert raw is not None  # what no instant made due, a record did
            cause = RecordCause(raw.topic, self._generation_of(raw.topic), raw.partition, raw.offset)
        source = self._source_of.get(cause.topic, cause.topic)
        return cause, f"{source}/{cause.partition}@{cause.offset}"
