"""What becomes of what triggers decide: runs begin and end, what is refused becomes a `skipped` record, everything is counted."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from penstock.operators.agent import open_run
from penstock.operators.context import View
from penstock.operators.gates import Edge, Gates, Refusal
from penstock.operators.key_state import Counts, KeyState
from penstock.operators.occasion import Occasions
from penstock.operators.outlet import Outlet
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Output, Raw
from penstock.operators.result import ResultPlan, result_outputs
from penstock.operators.run import Firing, Run, Steps, carried, in_sample
from penstock.operators.runs import Runs
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.trigger import Fired, Resolved, Suppressed, Transition


class Transitions:
    """Of one task; `counters` are the task's."""

    def __init__(
        self,
        plan: Plan,
        occasions: Occasions,
        gates: Gates,
        runs: Runs,
        outlet: Outlet,
        counters: Counts,
        tables: Tables = NO_TABLES,
    ) -> None:
        self._plan, self._occasions, self._gates, self._runs = plan, occasions, gates, runs
        self._outlet, self._counters, self._tables = outlet, counters, tables

    def take(
        self,
        state: KeyState,
        planned: PlannedTrigger,
        place: int,
        transition: Transition,
        raw: Raw | None,
        before: Any,
    ) -> None:
        """Of a key, or a group of one, for the trigger at `place` among its cells. `raw` is the record that was fed, None where
        time passed; `before` the cell that the trigger had."""
        match transition:
            case Suppressed():
                self._counters["suppressed", planned.name] += 1
            case Resolved():
                if self._runs.resolve(transition.run, transition.at):
                    self._counters["resolved", planned.name] += 1
                self._gates.resolved(state, planned.name, transition.run, transition.at)
            case Fired():
                self._take_edge(state, planned, place, transition, raw, before)
            case _:
                assert_never(transition)

    def _take_edge(
        self, state: KeyState, planned: PlannedTrigger, place: int, fired: Fired, raw: Raw | None, before: Any
    ) -> None:
        trigger, after = planned.trigger, state.cells[place]
        firing = self._occasions.firing(state, planned, fired, raw)
        edge = self._gates.edge(
            fired.at if trigger.by_watermark else state.now,
            fired.at,
            sampled=in_sample(firing.run, planned.gate.sample),
        )
        refusal = self._gates.refusal(state, planned.name, edge)
        if refusal is None:
            self._gates.fired(state, planned.name, edge, firing.run if trigger.episodic else None)
            state.cells[place] = trigger.opened(after, firing.run)
            self._begin(state, planned, firing, fired.steps, edge)
        else:
            self._counters[refusal.reason, planned.name] += 1
            state.cells[place] = trigger.skipped(before, after)
            self._outlet.skip(skipped_outputs(firing, refusal, self._plan.results))

    def _begin(self, state: KeyState, planned: PlannedTrigger, firing: Firing, steps: Steps, edge: Edge) -> None:
        if edge.sampled:
            self._counters["fired", planned.name] += 1
            self._runs.open(
                open_run(
                    firing,
                    self._plan,
                    state.context,
                    state.now,
                    steps,
                    self._tables,
                    planned.priority,
                    planned.spread,
                )
            )
        else:
            self._counters["sampled_out", planned.name] += 1


def skipped_outputs(firing: Firing, refusal: Refusal, plan: ResultPlan) -> tuple[Output, ...]:
    """The only records of a run that does not begin: nobody looks at its events, and nothing of it is kept."""
    run = Run(
        firing=msgspec.structs.replace(firing, values=carried(firing.values), episode=None),
        view=View(0, -1, None, None, ""),
        version=plan.version,
        definition=plan.definition,
        rev=1,
        reason=refusal.reason,
        inhibited_by=refusal.inhibited_by,
    )
    return result_outputs(run, plan, "skipped")
