"""Whether an edge, or a correction of one, gets through its gates: then it is a firing, else a `skipped` record. All are counted.

edges of triggers, answers that `after` follows ─▶ gates ─┬─▶ firing ─▶ in the sample? ─▶ run
                                                          └─▶ `skipped` record
"""

from __future__ import annotations

import msgspec

from penstock.operators.gates import Edge, Gates, Refusal
from penstock.operators.key_state import Counts
from penstock.operators.outlet import Outlet
from penstock.operators.plan import Plan
from penstock.operators.record import Output
from penstock.operators.result import ResultPlan, result_outputs
from penstock.operators.run import Firing, Run, carried
from penstock.operators.view import View


class Passage:
    """Of one task; `counters` are the task's."""

    def __init__(self, plan: Plan, gates: Gates, outlet: Outlet, counters: Counts) -> None:
        self._results, self._gates, self._outlet, self._counters = plan.results, gates, outlet, counters

    def lets_through(self, firing: Firing, edge: Edge) -> bool:
        """Whether it is a firing; a run begins if it is in the sample, too."""
        refusal = self._gates.refusal(firing, edge)
        if refusal is None:
            self._gates.fired(firing, edge)
            what = "fired" if firing.corrects is None else "corrected"
            self._counters[what if edge.sampled else "sampled_out", firing.trigger] += 1
            return True
        self._counters[refusal.reason, firing.trigger] += 1
        self._outlet.skip(skipped_outputs(firing, refusal, self._results))
        return False


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
