"""A pipeline, compiled: all that a task needs to know, and nothing that depends on where or when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock.operators.agent import AgentPlan
from penstock.operators.aggregate import AggregateCall
from penstock.operators.carried import TENANT_CELL
from penstock.operators.condition import Definitions
from penstock.operators.context import ContextSettings
from penstock.operators.event import NORMAL
from penstock.operators.gates import NO_GATE, Gate
from penstock.operators.grouping import Grouping
from penstock.operators.limit import Limit
from penstock.operators.result import LatestPlan, ResultPlan
from penstock.operators.result_route import Route
from penstock.operators.source import Source
from penstock.operators.table import Table
from penstock.operators.template import Template
from penstock.operators.trigger import Trigger

Revive = Callable[[str, str], AgentPlan]
"""(`agents_text` of another definition, name of an agent) to the agent. Raises Rejected where it cannot be had any more."""


@dataclass(frozen=True, slots=True)
class PlannedTrigger:
    """A trigger with all that a firing of it needs.

    `identity` names its cells in the log: the name and a digest of what it means, so that a changed definition does not
    read the memory of another trigger. `values` are the definitions that results report. `grouping` is the place of its grouping
    in the plan, None if it sees its keys as they are; `by` the expression that keeps its groups apart, as the file has it.
    `priority` is that of its runs, the least first; within `spread` ms of a firing they are begun.
    """

    name: str
    identity: str
    trigger: Trigger
    agent: AgentPlan | None
    labels: Mapping[str, str]
    annotations: Mapping[str, Template]
    values: Definitions
    grouping: int | None = None
    by: str | None = None
    gate: Gate = NO_GATE
    priority: int = NORMAL
    spread: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One pipeline. `digest` is that of the resolved file.

    `slots` are the aggregates of every expression over whole keys, each once; those over parts of keys are in `groupings`.
    `triggers` are in the order of the file, only that those which inhibit others come before them. `limits` are those of
    triggers and of the pipeline, by the names that the log has for them.
    """

    name: str
    namespace: str
    digest: str
    labels: Mapping[str, str]
    sources: tuple[Source, ...]
    slots: tuple[AggregateCall, ...]
    groupings: tuple[Grouping, ...]
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
    routes: tuple[Route, ...] = ()
    latest: LatestPlan | None = None
    tables: tuple[Table, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    moved: frozenset[str] = frozenset()
    """Topics of rekeyed sources, where a stage 1 reads them: what comes in is what that has written."""
    moves_to: str | None = None
    """The topic that the one source is moved to: this is such a stage 1."""

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
        """What the memories of its keys are called in the log: of its triggers, its aggregates, of what is shown or inhibited,
        and of tenants."""
        latest = () if self.latest is None else (self.latest.identity,)
        inhibits = (planned.gate.inhibits for planned in self.triggers if planned.gate.inhibits is not None)
        tenants = [TENANT_CELL] if self.names_tenants else []
        return (*(planned.identity for planned in self.triggers), *self.slot_names, *latest, *inhibits, *tenants)

    @property
    def names_tenants(self) -> bool:
        """Some source says whose its events are."""
        return any(source.tenant is not None for source in self.sources)

    @property
    def gates(self) -> dict[str, Gate]:
        """What stands between the edges of each trigger and its runs."""
        return {planned.name: planned.gate for planned in self.triggers}

    @property
    def lateness(self) -> int:
        """How far behind the watermark an event of some source may lie without being late (ms)."""
        return max((source.lateness for source in self.sources), default=0)

    @property
    def late_topics(self) -> frozenset[str]:
        """Those of whose late events some trigger takes note."""
        seen = [grouping.topics for grouping in self.groupings if grouping.late]
        every = frozenset(source.topic for source in self.sources)
        return frozenset().union(*(every if topics is None else topics for topics in seen))

    @property
    def slot_names(self) -> tuple[str, ...]:
        """What the aggregates are called in the log, by their numbers in facts."""
        grouped = (name for grouping in self.groupings for name in grouping.slot_names)
        return (*(call.identity for call in self.slots), *grouped)

    def triggers_of(self, grouping: int | None) -> list[tuple[int, PlannedTrigger]]:
        """Those that see whole keys, each with its place in the plan; or those of a grouping, each with its place there."""
        if grouping is None:
            return [(index, planned) for index, planned in enumerate(self.triggers) if planned.grouping is None]
        return list(enumerate(planned for planned in self.triggers if planned.grouping == grouping))

    @property
    def keeps_last(self) -> bool:
        """Something of a key's last event is saved with it."""
        return bool(self.keeps_event) or self.keeps_moment
