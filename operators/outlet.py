"""Where the records of a task's runs go: what a run publishes, the routes of it, and what is the case now.

run ─ Publish ─▶ results, partials ─┬─ an outcome, or the end of an episode? ─▶ routes
skipped ────────▶                   └─ of a run? ─────────────────────────────▶ latest
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.operators.agent import Publish
from penstock.operators.key_state import Counts
from penstock.operators.latest import Latest
from penstock.operators.plan import Plan
from penstock.operators.record import Output
from penstock.operators.result_route import routed
from penstock.operators.run import Run
from penstock.operators.unsaved import Unsaved


class Outlet:
    """Everything that it writes leaves with the next cut."""

    def __init__(self, plan: Plan, latest: Latest, unsaved: Unsaved, counters: Counts) -> None:
        self._routes, self._latest, self._unsaved, self._counters = plan.routes, latest, unsaved, counters

    def publish(self, run: Run, action: Publish) -> None:
        """Partials are for those who watch a run: they go nowhere else."""
        if action.outcome:
            self._tell(action.outputs)
            self._latest.show(run, action.state, action.outputs[0])
        else:
            self._unsaved.publish(action.outputs, outcome=False)

    def skip(self, outputs: Sequence[Output]) -> None:
        """A firing that began no run: what is the case is as it was."""
        self._tell(outputs)

    def _tell(self, outputs: Sequence[Output]) -> None:
        self._unsaved.publish(outputs, outcome=True)
        if self._routes:
            self._unsaved.publish(routed(outputs[0], self._routes, self._counters), outcome=True)
