"""Why something fired, and the id that follows from it.

Ids derive from causes only (protocol rule 12): a record by its coordinates, a timer by the time it was due. So a firing
that is repeated after a crash, on another broker or with another batch size is the same firing, and the same run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.operators.expression import Unknown
from penstock.operators.key_state import KeyState
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw, coordinates
from penstock.operators.run import Firing, run_id, template_scope
from penstock.operators.template import annotate
from penstock.operators.trigger import Fired


class Occasions:
    """Makes firings out of transitions. `ended`: every input was bounded and is over; firings say so."""

    def __init__(self, plan: Plan, partition: int) -> None:
        self._plan, self._partition = plan, partition
        self.ended = False

    def firing(self, key: KeyState, planned: PlannedTrigger, fired: Fired, raw: Raw | None) -> Firing:
        """`raw` is the record that was fed when it fired; it is the cause unless the trigger was due by time."""
        timed = fired.due is not None or raw is None
        cause = f"timer@{fired.due}" if timed else coordinates(raw)  # type: ignore[arg-type]  # not None where not timed
        values = {name: value for name, value in self._values(key, planned) if value.__class__ is not Unknown}
        labels = {**self._plan.labels, **planned.labels}
        run = run_id(self._partition, self._plan.name, planned.name, key.name, cause)
        firing = Firing(
            run=run,
            trigger=planned.name,
            agent=planned.agent.name if planned.agent is not None else None,
            key=key.name,
            at=fired.at,
            cause=cause,
            condition=planned.trigger.condition,
            values=values,
            labels=labels,
            episode=f"{run}/episode" if planned.trigger.episodic else None,
            end=self.ended,
        )
        if not planned.annotations:
            return firing
        return msgspec.structs.replace(firing, annotations=annotate(planned.annotations, template_scope(firing)))

    @staticmethod
    def _values(key: KeyState, planned: PlannedTrigger) -> list[tuple[str, Any]]:
        return [(name, condition.value(key)) for name, condition in planned.values]
