"""Why something fired, and the id that follows from it.

Ids derive from causes only (protocol rule 12): a record by its coordinates, a timer by the time it was due. So a firing
that is repeated after a crash, on another broker or with another batch size is the same firing, and the same run. What
people read names the source as the file does; the id goes by the topic, so that a source may be renamed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.operators.condition import known_values
from penstock.operators.key_state import KeyState
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.run import (
    NO_STEPS,
    Cause,
    Correction,
    CorrectionCause,
    Firing,
    RecordCause,
    Steps,
    TimerCause,
    episode_of,
    run_id,
    template_scope,
)
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.template import annotate
from penstock.operators.trigger import Corrected, Fired


class Occasions:
    """Makes firings out of transitions. `ended`: every input was bounded and is over; firings say so.

    `generation_of` tells how often a topic was made anew: its offsets began again then.
    """

    def __init__(
        self,
        plan: Plan,
        partition: int,
        generation_of: Callable[[str], int],
        tables: Tables = NO_TABLES,
        tenant_of: Callable[[str], str | None] = lambda key: None,
    ) -> None:
        self._tables, self._tenant_of = tables, tenant_of
        self._plan, self._partition, self._generation_of = plan, partition, generation_of
        self._source_of = {source.topic: source.name for source in plan.sources}
        self.ended = False

    def firing(self, key: KeyState, planned: PlannedTrigger, fired: Fired, raw: Raw | None) -> Firing:
        """For a key or a group of one. `raw` is the record that was fed when it fired; it is the cause unless the trigger was due
        by time or names one."""
        cause, told = self._cause(fired, raw)
        values = known_values(planned.values, key) if fired.values is None else fired.values
        firing = self._firing(key, planned, cause, told, fired.at, values, end=self.ended and fired.judged is None)
        return self._annotated(firing, planned, fired.steps)

    def correction(self, key: KeyState, planned: PlannedTrigger, corrected: Corrected, raw: Raw) -> Firing:
        """What the record `raw` changes of a decision, as a firing of N of the key: it opens nothing."""
        record, told = self._record(raw)
        cause = CorrectionCause(corrected.correction.run, *record)
        correction = corrected.correction
        firing = self._firing(key, planned, cause, told, key.now, corrected.values, correction, end=self.ended)
        return self._annotated(firing, planned)

    def _firing(
        self,
        key: KeyState,
        planned: PlannedTrigger,
        cause: Cause,
        told: str,
        at: int,
        values: dict[str, Any],
        corrects: Correction | None = None,
        *,
        end: bool,
    ) -> Firing:
        group = None if planned.by is None else key.group
        run = run_id(self._partition, self._plan.name, planned.name, key.name, cause, group)
        return Firing(
            run=run,
            trigger=planned.name,
            agent=planned.agent.name if planned.agent is not None else None,
            key=key.name,
            at=at,
            cause=told,
            condition=planned.trigger.condition,
            values=values,
            labels={**self._plan.labels, **planned.labels},
            episode=episode_of(run) if planned.trigger.episodic and corrects is None else None,
            end=end,
            by=planned.by,
            group=group,
            corrects=corrects,
            tenant=self._tenant_of(key.name),
        )

    def _annotated(self, firing: Firing, planned: PlannedTrigger, steps: Steps = NO_STEPS) -> Firing:
        if not planned.annotations:
            return firing
        scope = template_scope(firing, steps, self._tables)
        return msgspec.structs.replace(firing, annotations=annotate(planned.annotations, scope))

    def _cause(self, fired: Fired, raw: Raw | None) -> tuple[Cause, str]:
        """What the id follows from, and how results name it."""
        if fired.given is not None:
            return fired.given.cause, fired.given.told
        if fired.due is not None:
            return TimerCause(fired.due), f"timer@{fired.due}"
        if fired.record is not None:
            return fired.record, self._told(fired.record)
        assert raw is not None  # what no instant made due, a record did
        return self._record(raw)

    def _record(self, raw: Raw) -> tuple[RecordCause, str]:
        cause = RecordCause(raw.topic, self._generation_of(raw.topic), raw.partition, raw.offset)
        return cause, self._told(cause)

    def _told(self, cause: RecordCause) -> str:
        source = self._source_of.get(cause.topic, cause.topic)
        return f"{source}/{cause.partition}@{cause.offset}"
