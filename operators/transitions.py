"""What becomes of what triggers decide: runs begin and end, what is refused becomes a `skipped` record, everything is counted."""

from __future__ import annotations

from typing import assert_never

import msgspec

from penstock.operators.agent import open_run
from penstock.operators.context import View
from penstock.operators.gates import Edge, Gates, Refusal
from penstock.operators.key_state import Counts, KeyState
from penstock.operators.occasion import Occasions
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Output, Raw
from penstock.operators.result import ResultPlan, result_outputs
from penstock.operators.run import Firing, Run, carried, in_sample
from penstock.operators.runs import Runs
from penstock.operators.trigger import Fired, Resolved, Suppressed, Transition
from penstock.operators.unsaved import Unsaved


class Transitions:
    """Of one task; `counters` are the task's."""

    def __init__(
        self, plan: Plan, occasions: Occasions, gates: Gates, runs: Runs, unsaved: Unsaved, counters: Counts
    ) -> None:
        self._plan, self._occasions, self._gates, self._runs = plan, occasions, gates, runs
        self._unsaved, self._counters = unsaved, counters

    def take(self, key: KeyState, planned: PlannedTrigger, index: int, transition: Transition, raw: Raw | None) -> None:
        """`raw` is the record that was fed, None where time passed."""
        match transition:
            case Suppressed():
                self._counters["suppressed", planned.name] += 1
            case Resolved():
                if self._runs.resolve(transition.run, transition.at):
                    self._counters["resolved", planned.name] += 1
                self._gates.resolved(key, index, planned.gate, transition.run, transition.at)
            case Fired():
                firing = self._occasions.firing(key, planned, transition, raw)
                edge = Edge(
                    instant=transition.at if planned.trigger.by_watermark else key.now,
                    at=max(transition.at, self._gates.floor),
                    sampled=in_sample(firing.run, planned.gate.sample),
                )
                refusal = self._gates.refusal(key, planned.gate, edge)
                if refusal is None:
                    self._begin(key, planned, index, firing, edge)
                else:
                    self._skip(key, planned, index, firing, refusal)
            case _:
                assert_never(transition)

    def _begin(self, key: KeyState, planned: PlannedTrigger, index: int, firing: Firing, edge: Edge) -> None:
        trigger = planned.trigger
        self._gates.fired(key, index, planned.gate, edge, firing.run if trigger.episodic else None)
        key.cells[index] = trigger.opened(key.cells[index], firing.run)
        if edge.sampled:
            self._counters["fired", planned.name] += 1
            self._runs.open(open_run(firing, self._plan, key.context, key.now, planned.priority))
        else:
            self._counters["sampled_out", planned.name] += 1

    def _skip(self, key: KeyState, planned: PlannedTrigger, index: int, firing: Firing, refusal: Refusal) -> None:
        self._counters[refusal.reason, planned.name] += 1
        key.cells[index] = planned.trigger.skipped(key.cells[index])
        outputs = skipped_outputs(msgspec.structs.replace(firing, episode=None), refusal, self._plan.results)
        self._unsaved.publish(outputs, outcome=True)


def skipped_outputs(firing: Firing, refusal: Refusal, plan: ResultPlan) -> tuple[Output, ...]:
    """The only records of a run that does not begin: nobody looks at its events, and nothing of it is kept."""
    run = Run(
        firing=msgspec.structs.replace(firing, values=carried(firing.values)),
        view=View(0, -1, None, None, ""),
        version=plan.version,
        definition=plan.definition,
        rev=1,
        reason=refusal.reason,
        inhibited_by=refusal.inhibited_by,
    )
    return result_outputs(run, plan, "skipped")
