"""Where the records of a task's runs go: what a run publishes, the routes of it, and what is the case now.

run ─ Publish ─▶ results, partials ─┬─ an outcome, or the end of an episode? ─▶ routes
                                    └──────────────────────────────────────────▶ latest
"""

from __future__ import annotations

from penstock.operators.agent import Publish
from penstock.operators.key_state import Counts
from penstock.operators.latest import Latest
from penstock.operators.plan import Plan
from penstock.operators.result_route import routed
from penstock.operators.run import Run
from penstock.operators.unsaved import Unsaved


class Outlet:
    """Everything that it writes leaves with the next cut."""

    def __init__(self, plan: Plan, latest: Latest, unsaved: Unsaved, counters: Counts) -> None:
        self._routes, self._latest, self._unsaved, self._counters = plan.routes, latest, unsaved, counters

    def publish(self, run: Run, action: Publish) -> None:
        """Partials are for those who watch a run: they go nowhere else."""
        self._unsaved.publish(action.outputs, outcome=action.outcome)
        if not action.outcome:
            return
        result = action.outputs[0]
        if self._routes:
            self._unsaved.publish(routed(result, self._routes, self._counters), outcome=True)
        self._latest.show(run, action.state, result)
