"""A pipeline, compiled: all that a task needs to know, and nothing that depends on where or when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.operators.agent import AgentPlan
from penstock.operators.aggregate import AggregateCall
from penstock.operators.condition import Definitions
from penstock.operators.context import ContextSettings
from penstock.operators.gates import Gate
from penstock.operators.limit import Limit
from penstock.operators.result import ResultPlan
from penstock.operators.source import Source
from penstock.operators.template import Template
from penstock.operators.trigger import Trigger

Revive = Callable[[str, str], AgentPlan]
"""(`agents_text` of another definition, name of an agent) to the agent. Raises Rejected where it cannot be had any more."""


INHIBITS = "/inhibits"
"""Ends the names of such memories. They are not carried through definitions that do not know them."""


@dataclass(frozen=True, slots=True)
class PlannedTrigger:
    """A trigger with all that a firing of it needs.

    `identity` names its cells in the log: the name and a digest of what it means, so that a changed definition does not
    read the memory of another trigger. `values` are the definitions that results report. `late`: it takes late events.
    `priority` is that of its runs, the least first.
    """

    name: str
    identity: str
    trigger: Trigger
    agent: AgentPlan | None
    labels: Mapping[str, str]
    annotations: Mapping[str, Template]
    values: Definitions
    gate: Gate
    late: bool
    priority: int

    @property
    def inhibition_identity(self) -> str:
        """Names in the log when it kept others quiet."""
        return f"{self.identity}{INHIBITS}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One pipeline. `slots` are the aggregates of every expression, each once; `digest` is that of the resolved file."""

    name: str
    namespace: str
    digest: str
    labels: Mapping[str, str]
    sources: tuple[Source, ...]
    slots: tuple[AggregateCall, ...]
    triggers: tuple[PlannedTrigger, ...]
    agents: Mapping[str, AgentPlan]
    agents_text: str
    """What the log keeps of this definition, so that runs in flight finish on it."""
    revive: Revive
    context: ContextSettings
    results: ResultPlan
    dead_topic: str
    uses_moment: bool
    """Some expression asks about the record itself, not only about its event."""
    keeps_event: tuple[str, ...]
    """Fields of the last event that must survive a restart: an expression reads them when time passes."""
    keeps_moment: bool
    """So must what is known about its record."""
    limits: Mapping[str, Limit]
    """Of triggers and of the pipeline, by the names that the log has for them; gates refer to them."""

    @property
    def absence(self) -> str:
        """Why an agent that a run names is not among `agents`."""
        return "the file has no such agent"

    @property
    def keying(self) -> dict[str, str]:
        """What the state of its keys rests on: what state cannot follow when it changes, and what it means."""
        return {
            f"the {what} of topic {source.topic}": text
            for source in self.sources
            for what, text in source.keying.items()
        }

    @property
    def identities(self) -> tuple[str, ...]:
        """What the memories of its keys are called in the log: those of its triggers and its aggregates."""
        inhibitors = (planned.inhibition_identity for planned in self.triggers if planned.gate.inhibits)
        return (*(planned.identity for planned in self.triggers), *(call.identity for call in self.slots), *inhibitors)

    @property
    def takes_late(self) -> bool:
        """Some trigger takes late events."""
        return any(planned.late for planned in self.triggers)

    @property
    def trigger_names(self) -> tuple[str, ...]:
        return tuple(planned.name for planned in self.triggers)

    @property
    def lateness(self) -> int:
        """How far behind the watermark an event of some source may lie without being late (ms)."""
        return max((source.lateness for source in self.sources), default=0)

    @property
    def keeps_last(self) -> bool:
        """Something of a key's last event is saved with it."""
        return bool(self.keeps_event) or self.keeps_moment
