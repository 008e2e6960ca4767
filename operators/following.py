"""Runs that follow others: which triggers look at an outcome (`after`), and the runs that they begin.

run of `diagnose` ─▶ final ─▶ its `after` triggers, in the order of the file ─▶ where? ─▶ a run each, for the same key

Everything about such a run follows from the one before: its event time, the events that it is shown, the values, the part
of the key. What happened between the question and the answer is not in it, so it does not matter how long the model took.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from penstock.operators.agent import open_following
from penstock.operators.context import Context
from penstock.operators.gates import Edge
from penstock.operators.key_state import Counts
from penstock.operators.passage import Passage
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.run import Firing, Followed, Run, RunCause, in_sample, run_id, template_scope
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.template import annotate
from penstock.operators.trigger_after import After


class Following:
    """The `after` triggers of one plan, by the agent that they look at."""

    def __init__(
        self, plan: Plan, partition: int, passage: Passage, counters: Counts, tables: Tables = NO_TABLES
    ) -> None:
        self._plan, self._partition, self._passage = plan, partition, passage
        self._counters, self._tables = counters, tables
        self._after: dict[str, list[tuple[PlannedTrigger, After]]] = {}
        for planned in plan.triggers:
            if isinstance(planned.trigger, After):
                self._after.setdefault(planned.trigger.agent, []).append((planned, planned.trigger))

    def runs(self, run: Run, record: str, context: Context) -> Iterator[Run]:
        """Those that begin with the outcome of `run`, which the result `record` (its id) tells. `context` is that of its key: the
        events of `run` are still pinned in it."""
        for planned, after in self._after.get(run.agent or "", ()):
            if after.follows(run, self._counters):
                firing = self._firing(planned, run, record)
                edge = Edge(firing.at, firing.at, in_sample(firing.run, planned.gate.sample))
                if self._passage.lets_through(firing, edge) and edge.sampled:
                    yield open_following(firing, self._plan, context, run.view, self._tables, planned.priority)

    @property
    def agents(self) -> Collection[str]:
        """Those whose outcomes begin runs."""
        return self._after.keys()

    def _firing(self, planned: PlannedTrigger, run: Run, record: str) -> Firing:
        former = run.firing
        firing = Firing(
            run=run_id(self._partition, self._plan.name, planned.name, run.key, RunCause(run.id), former.group),
            trigger=planned.name,
            agent=None if planned.agent is None else planned.agent.name,
            key=run.key,
            at=former.at,
            cause=record,
            condition=planned.trigger.condition,
            values=former.values,
            labels={**self._plan.labels, **planned.labels},
            end=former.end,
            by=former.by,
            group=former.group,
            tenant=former.tenant,
            follows=_followed(run),
        )
        annotations = annotate(planned.annotations, template_scope(firing, tables=self._tables))
        return msgspec.structs.replace(firing, annotations=annotations)


def _followed(run: Run) -> Followed:
    former = run.firing
    return Followed(run.agent or "", run.answer, run.text, former.correlation)
