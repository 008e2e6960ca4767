"""From the file to what runs: every expression compiled once, every aggregate shared by all that use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from penstock.connectors.port import Layout
from penstock.operators.agent import AgentPlan
from penstock.operators.agent_plan import build_agent
from penstock.operators.aggregate import AggregateCall
from penstock.operators.combination import Combination
from penstock.operators.condition import Condition, Definitions
from penstock.operators.correction import correcting
from penstock.operators.dedupe import Dedupe, DedupeSettings, dedupe_call
from penstock.operators.error import Rejected
from penstock.operators.event import URGENCY
from penstock.operators.expression import Compiled, Scope, compile_expression
from penstock.operators.expression_check import TENANT, TRIGGER_ROOTS
from penstock.operators.grouping import Grouping, grouping_identity
from penstock.operators.model import ModelSettings
from penstock.operators.pace import Pace, pace_call
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.result import LatestPlan, ResultPlan
from penstock.operators.result_route import RESULT_SCOPE, Route
from penstock.operators.source import Source, SourceSettings, build_source
from penstock.operators.table import Table, TableSettings, build_table
from penstock.operators.template import STEPS, Template
from penstock.operators.trigger import Trigger, TriggerSettings
from penstock.operators.trigger_after import AfterSettings
from penstock.operators.trigger_kinds import KINDS
from penstock.operators.trigger_semantic import Semantic, SemanticSettings, endpoint_of
from penstock.operators.watermark import END_OF_TIME
from penstock.pipelines.chain import named_after
from penstock.pipelines.definition import Reviver
from penstock.pipelines.functions import imported
from penstock.pipelines.gate_plan import gate_of, in_order, limits_of, parts_of
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


class _Slots:
    """The aggregates over whole keys, or over the parts that some triggers see: each once."""

    def __init__(self) -> None:
        self.calls: list[AggregateCall] = []
        self._slot_of: dict[str, int] = {}

    def bind(self, compiled: Compiled) -> Condition:
        for call in compiled.aggregates:
            if call.identity not in self._slot_of:
                self._slot_of[call.identity] = len(self.calls)
                self.calls.append(call)
        return Condition(compiled, self._slot_of)


class _Seen:
    """A grouping in the making: what its triggers see, and what they need."""

    def __init__(self, place: int, topics: frozenset[str] | None, by: Condition | None, late: bool) -> None:
        self.place, self.topics, self.by, self.late = place, topics, by, late
        self.slots = _Slots()


class _Compiler:
    """Collects aggregates and fields while it compiles; what uses them is built last."""

    def __init__(self, spec: Spec, loaded: Loaded, agents: Mapping[str, AgentPlan]) -> None:
        self._spec, self._loaded, self._agents = spec, loaded, agents
        roots = TRIGGER_ROOTS | {TENANT} if spec.names_tenants else TRIGGER_ROOTS
        self._scope = Scope(defines=spec.define, functions=imported(spec.functions), roots=roots)
        """What every expression of an event may name; only those of triggers read rows of tables."""
        self._tables = {name: self._table(name, settings) for name, settings in spec.tables.items()}
        self._slots = _Slots()
        self._seen: dict[str, _Seen] = {}
        """By identity of the grouping."""
        self._parts = parts_of(spec)
        self._conditions: list[Condition] = []

    def pipeline(self) -> Pipeline:
        triggers = tuple(
            self._combined(self._trigger(name, self._spec.triggers[name]) for name in in_order(self._spec))
        )
        sources = tuple(self._sources(triggers))
        reads_record = any(planned.trigger.reads_record for planned in triggers)
        keeps_event, keeps_moment = _read_by_time(triggers, None)
        plan = Plan(
            name=self._spec.name,
            namespace=self._spec.namespace,
            digest=self._loaded.digest,
            labels=self._spec.labels,
            sources=sources,
            slots=tuple(self._slots.calls),
            groupings=tuple(self._groupings(triggers)),
            triggers=triggers,
            agents=self._agents,
            agents_text=self._loaded.agents_text,
            revive=Reviver(self._loaded.agents_text, self._agents, self._spec.models),
            context=self._spec.context,
            results=self._results(),
            dead_topic=self._spec.output_topics.dead,
            uses_moment=reads_record or self._uses_moment(),
            keeps_event=keeps_event,
            keeps_moment=keeps_moment,
            routes=tuple(
                Route(route.topic, compile_expression(route.where, RESULT_SCOPE)) for route in self._spec.outputs.routes
            ),
            latest=self._latest(),
            tables=tuple(self._tables.values()),
            limits=limits_of(self._spec),
        )
        return Pipeline(plan, self._layout(sources, triggers), self._spec.models)

    def _table(self, name: str, settings: TableSettings) -> Table:
        return build_table(name, settings, self._scope, self._loaded.read_file)

    def _compiled(self, text: str, slots: _Slots, *, aggregates: bool, captures: tuple[str, ...] = ()) -> Condition:
        scope = replace(self._scope, aggregates=aggregates, captures=captures, tables=frozenset(self._tables))
        condition = slots.bind(compile_expression(text, scope))
        self._conditions.append(condition)
        return condition

    def _seen_by(self, settings: TriggerSettings) -> _Seen | None:
        """None: whole keys."""
        late = settings.takes_late
        if settings.sources is None and settings.apart is None and not late:
            return None
        topics = (
            None if settings.sources is None else frozenset(self._spec.sources[name].topic for name in settings.sources)
        )
        by = None if settings.apart is None else self._compiled(settings.apart, _Slots(), aggregates=False)
        return self._seen.setdefault(grouping_identity(topics, by, late), _Seen(len(self._seen), topics, by, late))

    def _groupings(self, triggers: Iterable[PlannedTrigger]) -> Iterable[Grouping]:
        first_slot = len(self._slots.calls)
        for identity, seen in self._seen.items():
            kept = _read_by_time(triggers, seen.place)
            yield Grouping(identity, seen.topics, seen.by, seen.late, tuple(seen.slots.calls), first_slot, *kept)
            first_slot += len(seen.slots.calls)

    def _trigger(self, name: str, settings: TriggerSettings) -> PlannedTrigger:
        kind = next(kind for kind in KINDS.values() if type(settings) is kind.settings)
        seen = self._seen_by(settings)
        slots = self._slots if seen is None else seen.slots

        def bind(text: str, aggregates: bool, captures: tuple[str, ...] = ()) -> Condition:
            return self._compiled(text, slots, aggregates=aggregates, captures=captures)

        trigger = kind.build(settings, bind)
        if settings.corrects:
            trigger = correcting(trigger, self._lateness())
        if isinstance(settings, SemanticSettings) and isinstance(trigger, Semantic):
            trigger.endpoint = endpoint_of(settings.model, self._spec.models[settings.model])
        agent = self._spec.agent_of(name)
        annotations = {label: Template(text) for label, text in settings.annotations.items()}
        asked = [] if agent is None else [self._agents[agent].ask]
        templates = [*annotations.values(), *asked]
        trigger.name, trigger.disorder = name, END_OF_TIME if settings.takes_late else self._disorder()
        trigger.definitions = self._values(settings, trigger, templates, slots)
        showing = [template.members for template in templates if STEPS in template.names]
        trigger.shown = frozenset().union(*showing) if showing else None
        identity = f"{name}:{_meaning(settings, trigger, seen, self._tables)}"
        return PlannedTrigger(
            name=name,
            identity=identity,
            trigger=trigger,
            agent=None if agent is None else self._agents[agent],
            labels=settings.labels,
            annotations=annotations,
            values=trigger.definitions,
            grouping=None if seen is None else seen.place,
            by=settings.apart,
            gate=gate_of(self._spec, name, identity, self._parts),
            priority=URGENCY[settings.priority],
            spread=settings.spread_over,
        )

    def _combined(self, triggers: Iterable[PlannedTrigger]) -> Iterable[PlannedTrigger]:
        """What a combination remembers is of its members as they are: with another member it begins anew."""
        planned = list(triggers)
        identities = {each.name: each.identity for each in planned}
        for each in planned:
            if isinstance(each.trigger, Combination):
                each.trigger.in_file = [name for name in self._spec.triggers if name in each.trigger.members]
                members = "\0".join([each.identity, *(identities[name] for name in each.trigger.members)])
                identity = f"{each.name}:{_digest(members)}"
                yield replace(each, identity=identity, gate=gate_of(self._spec, each.name, identity, self._parts))
            else:
                yield each

    def _values(
        self, settings: TriggerSettings, trigger: Trigger, templates: Iterable[Template], slots: _Slots
    ) -> Definitions:
        """The definitions that the trigger's own expressions name, and those that its templates and its followers name."""
        if isinstance(settings, AfterSettings):
            return ()  # they are those of the firing with which the chain began
        named = {name for condition in trigger.conditions for name in condition.compiled.defines}
        named.update(name for template in templates for name in template.values)
        named |= named_after(self._spec, self._spec.agent_of(trigger.name))
        return tuple(
            (name, self._compiled(text, slots, aggregates=True))
            for name, text in self._spec.define.items()
            if name in named
        )

    def _disorder(self) -> int:
        watermarks = [source.watermark for source in self._spec.sources.values()]
        return max(watermark.delay + watermark.lateness for watermark in watermarks)

    def _lateness(self) -> int:
        return max(source.watermark.lateness for source in self._spec.sources.values())

    def _dedupe(self, name: str, settings: DedupeSettings) -> Dedupe:
        by = self._of_event(settings.by)
        self._slots.calls.append(dedupe_call(name, settings, by, self._is_of(name)))
        return Dedupe(name, len(self._slots.calls) - 1, by.evaluate)

    def _pace(self, name: str, settings: SourceSettings) -> Pace | None:
        if settings.show_every is None:
            return None
        hide = None if settings.hide is None else self._of_event(settings.hide)
        self._slots.calls.append(pace_call(name, settings.show_every, self._is_of(name), hide))
        return Pace(len(self._slots.calls) - 1)

    def _is_of(self, source: str) -> Compiled | None:
        """True for events of the source; None where it is the only one."""
        return self._of_event(f'source == "{source}"') if len(self._spec.sources) > 1 else None

    def _of_event(self, text: str) -> Compiled:
        return self._compiled(text, self._slots, aggregates=False).compiled

    def _sources(self, triggers: Iterable[PlannedTrigger]) -> Iterable[Source]:
        """Every event has the fields that any part of the pipeline asks for, so what asks is bound before."""
        settled = self._spec.sources.items()
        dedupes = {name: self._dedupe(name, each.dedupe) for name, each in settled if each.dedupe is not None}
        paces = {name: self._pace(name, each) for name, each in settled}
        shown = [planned.trigger.shown or () for planned in triggers]
        fields = frozenset().union(*(condition.compiled.fields for condition in self._conditions), *shown)
        labels, read_file = self._spec.labels, self._loaded.read_file
        for name, settings in settled:
            yield build_source(name, settings, fields, self._scope, labels, read_file, dedupes.get(name), paces[name])

    def _uses_moment(self) -> bool:
        return any(condition.compiled.uses_moment for condition in self._conditions)

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

    def _layout(self, sources: Iterable[Source], triggers: Iterable[PlannedTrigger]) -> Layout:
        topics = self._spec.output_topics
        return Layout(
            namespace=self._spec.namespace,
            name=self._spec.name,
            inputs={source.topic: source.start for source in sources},
            tables={table.identity: table.topic for table in self._tables.values()},
            partitioned=frozenset(
                self._tables[planned.trigger.expects].topic
                for planned in triggers
                if planned.trigger.expects is not None
            ),
            outputs=topics.written,
            previews=topics.previews,
            compacted=frozenset() if topics.latest is None else frozenset({topics.latest}),
        )


def _read_by_time(triggers: Iterable[PlannedTrigger], grouping: int | None) -> tuple[tuple[str, ...], bool]:
    """What time alone can make the triggers of a grouping read of the last event, perhaps after a restart: fields of it, and
    whether what is known about its record."""
    conditions = [
        condition
        for planned in triggers
        if planned.trigger.reads_last and planned.grouping == grouping
        for condition in (*planned.trigger.conditions, *(condition for _, condition in planned.values))
    ]
    fields = {field for condition in conditions for field in condition.compiled.own_fields}
    return tuple(sorted(fields)), any(condition.compiled.own_moment for condition in conditions)


def _meaning(settings: TriggerSettings, trigger: Trigger, seen: _Seen | None, tables: Mapping[str, Table]) -> str:
    """Digest of what decides when the trigger fires; what happens then, or is held back, does not."""
    unsaid = {name for name in settings.added if getattr(settings, name) is None}
    own = settings.model_dump_json(exclude={"from_", "by", "late"} | settings.beside | unsaid)
    expanded = [condition.compiled.identity for condition in trigger.conditions]
    part = [] if seen is None else [grouping_identity(seen.topics, seen.by, seen.late)]
    part += ["correcting"] if settings.corrects else []
    expected = [] if trigger.expects is None else [tables[trigger.expects].identity]
    asked = [trigger.endpoint.model] if isinstance(trigger, Semantic) else []
    return _digest("\0".join([own, *expanded, *part, *expected, *asked]))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:IDENTITY_CHARACTERS]
