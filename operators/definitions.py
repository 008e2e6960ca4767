"""The definitions that the runs of one task began under: the present one, and what the log holds of former ones.

A run in flight finishes on the definition that began it; a run that cannot ends as `failed`, with the reason (protocol rule 16).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.operators.agent import AgentPlan, RunPlan
from penstock.operators.error import Rejected
from penstock.operators.plan import Plan
from penstock.operators.result import ResultPlan
from penstock.operators.run import Run


@dataclass(frozen=True, slots=True)
class FormerPlan:
    """One agent of a former definition, or the reason why it is not to be had; results go where they go at present."""

    agents: Mapping[str, AgentPlan]
    results: ResultPlan
    absence: str


class Definitions:
    """Former ones are compiled when the first run asks for them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._former: Mapping[str, str] = {}
        self._revived: dict[tuple[str, str], FormerPlan] = {}

    def met(self, texts: Mapping[str, str]) -> None:
        """The log holds these, by digest; what it said of it before does not count any more."""
        self._former = texts

    def plan_of(self, run: Run) -> RunPlan:
        """What the run goes by."""
        if run.agent is None or run.definition == self._plan.digest:
            return self._plan
        place = (run.definition, run.agent)
        if place not in self._revived:
            self._revived[place] = self._revive(*place)
        return self._revived[place]

    def _revive(self, digest: str, agent: str) -> FormerPlan:
        text, results = self._former.get(digest), self._plan.results
        try:
            if text is None:
                raise Rejected("the log does not hold it")
            return FormerPlan({agent: self._plan.revive(text, agent)}, results, "")
        except Rejected as error:
            absence = f"the definition that it began under cannot be had any more: {error.what}"
            return FormerPlan({}, results, absence)

    def texts(self, digests: Iterable[str]) -> dict[str, str]:
        """What the log has to hold for runs of these definitions, and for those that will begin."""
        needed = {digest: self._former[digest] for digest in sorted(digests) if digest in self._former}
        return {**needed, self._plan.digest: self._plan.agents_text}
