"""What becomes of what triggers decide: runs begin and end, others are told, everything is counted."""

from __future__ import annotations

from typing import Any, assert_never

from penstock.operators.agent import open_run
from penstock.operators.combination import Combinations
from penstock.operators.gates import Gates
from penstock.operators.judgements import Judgements
from penstock.operators.key_state import Counts, KeyState
from penstock.operators.occasion import Occasions
from penstock.operators.passage import Passage
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.run import delay_within, in_sample
from penstock.operators.runs import Runs
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.trigger import NO_RUN, Asked, Corrected, Corrections, Fired, Resolved, Suppressed, Transition


class Transitions:
    """Of one task; `counters` are the task's."""

    def __init__(
        self,
        plan: Plan,
        occasions: Occasions,
        gates: Gates,
        passage: Passage,
        runs: Runs,
        combinations: Combinations,
        judgements: Judgements,
        counters: Counts,
        tables: Tables = NO_TABLES,
    ) -> None:
        self._plan, self._occasions, self._gates, self._passage = plan, occasions, gates, passage
        self._runs, self._combinations, self._counters, self._tables = runs, combinations, counters, tables
        self._judgements = judgements

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
                if transition.run != NO_RUN:
                    self._gates.resolved(state.name, planned.name, transition.run, transition.at)
                    self._combinations.resolved(planned.name, transition.at)
            case Asked():
                self._judgements.ask(state, planned, place, transition.question)
            case Fired():
                self._take_edge(state, planned, place, transition, raw, before)
            case Corrections():
                assert raw is not None  # no instant tells what lies before
                for corrected in transition.corrected:
                    self._correct(state, planned, corrected, raw)
                if transition.then is not None:
                    self.take(state, planned, place, transition.then, raw, before)
            case _:
                assert_never(transition)

    def _take_edge(
        self, state: KeyState, planned: PlannedTrigger, place: int, fired: Fired, raw: Raw | None, before: Any
    ) -> None:
        trigger, after = planned.trigger, state.cells[place]
        firing = self._occasions.firing(state, planned, fired, raw)
        edge = self._gates.edge(
            _instant(state, planned, fired), fired.at, sampled=in_sample(firing.run, planned.gate.sample)
        )
        if not self._passage.lets_through(firing, edge):
            state.remember(place, trigger.skipped(before, after))
            return
        state.remember(place, trigger.opened(after, firing.run))
        if edge.sampled:
            steps, tables = fired.steps, self._tables
            run = open_run(firing, self._plan, state.context, state.now, steps, tables, planned.priority)
            run.calls += [] if fired.judged is None else [fired.judged]
            run.delay = delay_within(run.id, planned.spread)
            self._runs.open(run)
        self._combinations.fired(firing, edge)

    def _correct(self, state: KeyState, planned: PlannedTrigger, corrected: Corrected, raw: Raw) -> None:
        """A run of its own; of a firing that the sample left out nobody was told. Other triggers do not hear of it."""
        if not in_sample(corrected.correction.run, planned.gate.sample):
            return
        firing = self._occasions.correction(state, planned, corrected, raw)
        edge = self._gates.edge(state.now, firing.at, sampled=True)
        if self._passage.lets_through(firing, edge):
            run = open_run(firing, self._plan, state.context, state.now, tables=self._tables, priority=planned.priority)
            run.delay = delay_within(run.id, planned.spread)
            self._runs.open(run)


def _instant(state: KeyState, planned: PlannedTrigger, fired: Fired) -> int:
    """What inhibitions are compared with."""
    if fired.given is not None:
        return fired.given.instant
    return fired.at if planned.trigger.by_watermark else state.now
