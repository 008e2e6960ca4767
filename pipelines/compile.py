"""From the file to what runs: every expression compiled once, every aggregate shared by all that use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from penstock.connectors.port import Layout
from penstock.operators.agent import AgentPlan
from penstock.operators.agent_plan import build_agent
from penstock.operators.aggregate import AggregateCall
from penstock.operators.condition import Condition, Definitions
from penstock.operators.dedupe import Dedupe, DedupeSettings, dedupe_call
from penstock.operators.error import Rejected
from penstock.operators.expression import Scope, compile_expression
from penstock.operators.model import ModelSettings
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.result import LatestPlan, ResultPlan
from penstock.operators.result_route import RESULT_SCOPE, Route
from penstock.operators.source import Source, build_source
from penstock.operators.template import STEPS, Template
from penstock.operators.trigger import Trigger, TriggerSettings
from penstock.operators.trigger_kinds import KINDS
from penstock.pipelines.definition import Reviver
from penstock.pipelines.load import Loaded
from penstock.pipelines.output_settings import latest_output
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
        triggers = tuple(self._trigger(name, settings) for name, settings in self._spec.triggers.items())
        sources = tuple(self._sources(triggers))
        by_time = self._read_by_time(triggers)
        reads_record = any(planned.trigger.reads_record for planned in triggers)
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
            uses_moment=reads_record or self._uses_moment(),
            keeps_event=tuple(sorted({field for condition in by_time for field in condition.compiled.own_fields})),
            keeps_moment=any(condition.compiled.own_moment for condition in by_time),
            routes=tuple(
                Route(route.topic, compile_expression(route.where, RESULT_SCOPE)) for route in self._spec.outputs.routes
            ),
            latest=self._latest(),
        )
        return Pipeline(plan, self._layout(sources), self._spec.models)

    def _bind(self, text: str, aggregates: bool, captures: tuple[str, ...] = ()) -> Condition:
        scope = Scope(defines=self._spec.define, aggregates=aggregates, captures=captures)
        compiled = compile_expression(text, scope)
        for call in compiled.aggregates:
            if call.identity not in self._slot_of:
                self._slot_of[call.identity] = len(self._calls)
                self._calls.append(call)
        condition = Condition(compiled, self._slot_of)
        self._conditions.append(condition)
        return condition

    def _trigger(self, name: str, settings: TriggerSettings) -> PlannedTrigger:
        kind = next(kind for kind in KINDS.values() if type(settings) is kind.settings)
        trigger = kind.build(settings, self._bind)
        agent = self._spec.agent_of(name)
        annotations = {label: Template(text) for label, text in settings.annotations.items()}
        asked = [] if agent is None else [self._agents[agent].ask]
        templates = [*annotations.values(), *asked]
        trigger.name, trigger.disorder = name, self._disorder()
        trigger.definitions = self._values(trigger, templates)
        showing = [template.members for template in templates if STEPS in template.names]
        trigger.shown = frozenset().union(*showing) if showing else None
        return PlannedTrigger(
            name=name,
            identity=f"{name}:{_meaning(settings, trigger)}",
            trigger=trigger,
            agent=None if agent is None else self._agents[agent],
            labels=settings.labels,
            annotations=annotations,
            values=trigger.definitions,
        )

    def _values(self, trigger: Trigger, templates: Iterable[Template]) -> Definitions:
        """The definitions that the trigger's own expressions name, and those that its templates name."""
        named = {name for condition in trigger.conditions for name in condition.compiled.defines}
        named.update(name for template in templates for name in template.values)
        return tuple((name, self._bind(text, True)) for name, text in self._spec.define.items() if name in named)

    def _disorder(self) -> int:
        watermarks = [source.watermark for source in self._spec.sources.values()]
        return max(watermark.delay + watermark.lateness for watermark in watermarks)

    def _dedupe(self, name: str, settings: DedupeSettings) -> Dedupe:
        by = self._bind(settings.by, aggregates=False).compiled
        others = len(self._spec.sources) > 1
        where = self._bind(f'source == "{name}"', aggregates=False).compiled if others else None
        self._calls.append(dedupe_call(name, settings, by, where))
        return Dedupe(name, len(self._calls) - 1, by.evaluate)

    def _sources(self, triggers: Iterable[PlannedTrigger]) -> Iterable[Source]:
        """Every event has the fields that any part of the pipeline asks for, so what asks is bound before."""
        settled = self._spec.sources.items()
        dedupes = {name: self._dedupe(name, each.dedupe) for name, each in settled if each.dedupe is not None}
        scope = Scope(defines=self._spec.define, aggregates=False)
        shown = [planned.trigger.shown or () for planned in triggers]
        fields = frozenset().union(*(condition.compiled.fields for condition in self._conditions), *shown)
        labels, read_file = self._spec.labels, self._loaded.read_file
        for name, settings in settled:
            yield build_source(name, settings, fields, scope, labels, read_file, dedupes.get(name))

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

    def _latest(self) -> LatestPlan | None:
        latest = latest_output(self._spec.outputs)
        return None if latest is None else LatestPlan(latest.topic, latest.keep)

    def _layout(self, sources: Iterable[Source]) -> Layout:
        topics = self._spec.output_topics
        return Layout(
            namespace=self._spec.namespace,
            name=self._spec.name,
            inputs={source.topic: source.start for source in sources},
            outputs=topics.written,
            previews=topics.previews,
            compacted=frozenset() if topics.latest is None else frozenset({topics.latest}),
        )


def _meaning(settings: TriggerSettings, trigger: Trigger) -> str:
    """Digest of what decides when the trigger fires; labels, annotations and the agent do not."""
    unsaid = {name for name in settings.added if getattr(settings, name) is None}
    own = settings.model_dump_json(exclude={"labels", "annotations", "agent"} | unsaid)
    expanded = [condition.compiled.identity for condition in trigger.conditions]
    return sha256("\0".join([own, *expanded]).encode()).hexdigest()[:IDENTITY_CHARACTERS]
