"""From the file to what runs: every expression compiled once, every aggregate shared by all that use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from penstock.connectors.port import Layout
from penstock.operators.agent import AgentPlan
from penstock.operators.agent_plan import build_agent
from penstock.operators.aggregate import AggregateCall
from penstock.operators.condition import Condition, Definitions, LateCondition
from penstock.operators.error import Rejected
from penstock.operators.event import URGENCY
from penstock.operators.expression import Scope, compile_expression
from penstock.operators.gates import Gate
from penstock.operators.limit import Limit
from penstock.operators.model import ModelSettings
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.result import ResultPlan
from penstock.operators.source import Source, build_source
from penstock.operators.template import Template
from penstock.operators.trigger import ArrivalSettings, Bind, CooldownSettings, Trigger, TriggerSettings
from penstock.operators.trigger_kinds import KINDS
from penstock.pipelines.definition import Reviver
from penstock.pipelines.load import Loaded
from penstock.pipelines.spec import Spec

IDENTITY_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A compiled file: the plan of its tasks, its topics, its endpoints."""

    plan: Plan
    layout: Layout
    models: Mapping[str, ModelSettings]


def compile_pipeline(loaded: Loaded) -> Pipeline:
    """Raises Rejected where the file has errors, or names a file that says something else than it should."""
    spec = loaded.spec
    if spec is None:
        raise Rejected("the file has errors", remedy="`penstock check` lists them")
    agents = {
        name: build_agent(name, settings, spec.models, loaded.read_file) for name, settings in spec.agents.items()
    }
    return _Compiler(spec, loaded, agents).pipeline()


class _Compiler:
    """Collects aggregates and fields while it compiles; what uses them is built last."""

    def __init__(self, spec: Spec, loaded: Loaded, agents: Mapping[str, AgentPlan]) -> None:
        self._spec, self._loaded, self._agents = spec, loaded, agents
        self._calls: list[AggregateCall] = []
        self._slot_of: dict[str, int] = {}
        self._conditions: list[Condition] = []

    def pipeline(self) -> Pipeline:
        gates = gates_of(self._spec)
        triggers = tuple(self._trigger(name, settings, gates[name]) for name, settings in self._spec.triggers.items())
        sources = tuple(self._sources())
        by_time = self._read_by_time(triggers)
        plan = Plan(
            name=self._spec.name,
            namespace=self._spec.namespace,
            digest=self._loaded.digest,
            labels=self._spec.labels,
            sources=sources,
            slots=tuple(self._calls),
            triggers=triggers,
            agents=self._agents,
            agents_text=self._loaded.agents_text,
            revive=Reviver(self._loaded.agents_text, self._agents, self._spec.models),
            context=self._spec.context,
            results=self._results(),
            dead_topic=self._spec.output_topics.dead,
            uses_moment=self._uses_moment(),
            keeps_event=tuple(sorted({field for condition in by_time for field in condition.compiled.own_fields})),
            limits=limits_of(self._spec),
            keeps_moment=any(condition.compiled.own_moment for condition in by_time),
        )
        return Pipeline(plan, self._layout(sources), self._spec.models)

    def _bind(self, text: str, aggregates: bool) -> Condition:
        compiled = compile_expression(text, Scope(defines=self._spec.define, aggregates=aggregates))
        self._share(compiled.aggregates)
        return self._noted(Condition(compiled, self._slot_of))

    def _bind_late(self, text: str, aggregates: bool) -> Condition:
        """For a trigger that takes late events: its spans hold other events than those of the others."""
        compiled = compile_expression(text, Scope(defines=self._spec.define, aggregates=aggregates))
        self._share(call.with_late for call in compiled.aggregates)
        return self._noted(LateCondition(compiled, self._slot_of))

    def _share(self, calls: Iterable[AggregateCall]) -> None:
        for call in calls:
            if call.identity not in self._slot_of:
                self._slot_of[call.identity] = len(self._calls)
                self._calls.append(call)

    def _noted(self, condition: Condition) -> Condition:
        self._conditions.append(condition)
        return condition

    def _trigger(self, name: str, settings: TriggerSettings, gate: Gate) -> PlannedTrigger:
        kind = next(kind for kind in KINDS.values() if type(settings) is kind.settings)
        late = isinstance(settings, ArrivalSettings) and settings.late == "reason"
        bind = self._bind_late if late else self._bind
        trigger = kind.build(settings, bind)
        agent = self._spec.agent_of(name)
        annotations = {label: Template(text) for label, text in settings.annotations.items()}
        asked = [] if agent is None else [self._agents[agent].ask]
        trigger.definitions = self._values(trigger, [*annotations.values(), *asked], bind)
        return PlannedTrigger(
            name=name,
            identity=f"{name}:{_meaning(settings, trigger)}",
            trigger=trigger,
            agent=None if agent is None else self._agents[agent],
            labels=settings.labels,
            annotations=annotations,
            values=trigger.definitions,
            gate=gate,
            late=late,
            priority=URGENCY[settings.priority],
        )

    def _values(self, trigger: Trigger, templates: Iterable[Template], bind: Bind) -> Definitions:
        """The definitions that the trigger's own expressions name, and those that its templates name."""
        named = {name for condition in trigger.conditions for name in condition.compiled.defines}
        named.update(name for template in templates for name in template.values)
        return tuple((name, bind(text, True)) for name, text in self._spec.define.items() if name in named)

    def _sources(self) -> Iterable[Source]:
        scope = Scope(defines=self._spec.define, aggregates=False)
        fields = frozenset(field for condition in self._conditions for field in condition.compiled.fields)
        for name, settings in self._spec.sources.items():
            yield build_source(name, settings, fields, scope, self._spec.labels)

    def _uses_moment(self) -> bool:
        return any(condition.compiled.uses_moment for condition in self._conditions)

    @staticmethod
    def _read_by_time(triggers: Iterable[PlannedTrigger]) -> list[Condition]:
        """Expressions that time alone can make read the last event, perhaps after a restart."""
        return [
            condition
            for planned in triggers
            if planned.trigger.reads_last
            for condition in (*planned.trigger.conditions, *(condition for _, condition in planned.values))
        ]

    def _results(self) -> ResultPlan:
        topics = self._spec.output_topics
        return ResultPlan(
            pipeline=self._spec.name,
            namespace=self._spec.namespace,
            version=self._spec.version,
            definition=self._loaded.digest,
            results=topics.results,
            partials=topics.partials,
        )

    def _layout(self, sources: Iterable[Source]) -> Layout:
        topics = self._spec.output_topics
        return Layout(
            namespace=self._spec.namespace,
            name=self._spec.name,
            inputs={source.topic: source.start for source in sources},
            outputs=frozenset({topics.results, topics.partials, topics.dead}),
            previews=topics.previews,
        )


def limits_of(spec: Spec) -> dict[str, Limit]:
    """Named by trigger (the pipeline's: by none) and span: another number over the same span goes on with what was counted."""
    limits = {"": spec.limit, **{name: settings.limit for name, settings in spec.triggers.items()}}
    return {_limit_name(name, limit): limit for name, limit in limits.items() if limit is not None}


def _limit_name(trigger: str, limit: Limit) -> str:
    return f"{trigger}:{limit.span}"


def gates_of(spec: Spec) -> dict[str, Gate]:
    """What stands between the edges of each trigger and its runs."""
    triggers, pipeline = spec.triggers, () if spec.limit is None else (_limit_name("", spec.limit),)
    places = {name: place for place, name in enumerate(triggers)}
    inhibitors = {name for settings in triggers.values() for name in settings.inhibited_by}
    return {
        name: Gate(
            inhibited_by=tuple(places[other] for other in settings.inhibited_by),
            inhibits=name in inhibitors,
            cooldown=settings.cooldown if isinstance(settings, CooldownSettings) else 0,
            limits=() if settings.limit is None else (_limit_name(name, settings.limit),),
            run_limits=() if spec.agent_of(name) is None else pipeline,
            sample=1.0 if settings.sample is None else settings.sample,
        )
        for name, settings in triggers.items()
    }


def _meaning(settings: TriggerSettings, trigger: Trigger) -> str:
    """Digest of what decides when the trigger fires; what happens then, or is held back, does not."""
    fields = type(settings).model_fields
    unsaid = {name for name in settings.added if getattr(settings, name) == fields[name].default}
    own = settings.model_dump_json(exclude=set(settings.beside | unsaid))
    expanded = [condition.compiled.identity for condition in trigger.conditions]
    return sha256("\0".join([own, *expanded]).encode()).hexdigest()[:IDENTITY_CHARACTERS]
