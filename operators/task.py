"""One partition: events go in, effects come out, and one value is all that it knows.

    source ─▶ feed(Arrived) ─▶ decode ─▶ merge ─▶ watermark ─▶ Keys: context, aggregates, triggers ─▶ firing
                                                                                                        │
    model  ─▶ feed(Answered) ─▶ Runs ◀──────────────────────────────────────────────────────────── open run
                                 └─▶ Ask, Cancel (effects)
    commit ◀─ cut(): the delta since the last cut, and the outputs that it implies

Pure: no clock, no randomness, no I/O. The same events in the same order give the same effects, deltas and outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple, assert_never

from penstock.operators.combination import Combinations
from penstock.operators.context import Context
from penstock.operators.continuation import Continues, never
from penstock.operators.definitions import Definitions
from penstock.operators.event import Answered, Arrived, CallLost, Effect, Ended, Event, Streamed, Ticked
from penstock.operators.expected_keys import keys_of
from penstock.operators.following import Following
from penstock.operators.gates import Gates
from penstock.operators.image import Images
from penstock.operators.inputs import Inputs
from penstock.operators.intake import Intake
from penstock.operators.judgements import Judgements
from penstock.operators.key_state import Counts, KeyState
from penstock.operators.latest import Latest
from penstock.operators.limit import Limits
from penstock.operators.occasion import Occasions
from penstock.operators.outlet import Outlet
from penstock.operators.passage import Passage
from penstock.operators.plan import Plan
from penstock.operators.record import Output
from penstock.operators.runs import Runs
from penstock.operators.succession import Succession
from penstock.operators.tables import TaskTables
from penstock.operators.tenants import Tenants
from penstock.operators.transitions import Transitions
from penstock.operators.unsaved import Unsaved
from penstock.state.delta import Bucket, Delta, Entry, EntryKind, Header, Position, Trial

FORGOTTEN = "forgotten"
"""The reason that results give where an episode ended because its key was forgotten."""


class Cut(NamedTuple):
    """One commit: the delta, and every record that leaves with it."""

    delta: Delta
    outputs: list[Output]


class Task:
    """All that one partition knows. Feed it, perform what it asks for, commit what it cuts."""

    intake: ClassVar[type[Intake]] = Intake

    def __init__(self, plan: Plan, partition: int, partitions: int = 1) -> None:
        """`partitions`: how many tasks the pipeline has."""
        self.plan, self.partition = plan, partition
        self.counters: Counts = Counter()
        """Monotone counts of what happened, by (what, which): exported as metrics."""
        self._unsaved = Unsaved()
        self.inputs = inputs = Inputs(plan)
        """How far it has come in each of them."""
        self._tables = TaskTables(plan.tables, self._unsaved, self.counters)
        self._gates = Gates(plan.gates, plan.lateness, Limits(plan.limits, partitions), self._unsaved)
        self._definitions = Definitions(plan)
        self._latest = Latest(
            plan.latest, plan.results, self._unsaved, lambda name, instant: self._keys.look_after(name, instant)
        )
        outlet = Outlet(plan, self._latest, self._unsaved, self.counters)
        passage = Passage(plan, self._gates, outlet, self.counters)
        following = Following(plan, partition, passage, self.counters, self._tables.rows)
        self._runs = Runs(self._definitions, self._unsaved, outlet, self._context_of, following, self.counters)
        self._tenants = Tenants(plan, self._unsaved, self.counters)
        self._occasions = Occasions(plan, partition, self.inputs.generation_of, self._tables.rows, self._tenants.of)
        combinations = Combinations(plan.triggers, self._unsaved)
        self._judgements = judgements = Judgements(plan, partition, self._unsaved, self.counters)
        transitions = Transitions(
            plan, self._occasions, self._gates, passage, self._runs, combinations, judgements, self.counters,
            self._tables.rows,
        )  # fmt: skip
        combinations.on_transition = transitions.take
        self._keys = keys_of(plan, partition, self._tables)(
            plan, self._unsaved, transitions.take, self._end_key, self.counters
        )
        judgements.join(self._keys, transitions.take)
        self._keys.on_look, self._keys.on_looked = self._latest.take_away_over, combinations.settle
        self._images = Images(plan, self._latest, self._gates, self._tenants, self._tables.rows)
        self._succession = Succession(plan, partition, self._images.carried, self._keys, self._runs, self._definitions)
        self._intake = self.intake(
            plan, inputs, self._tables, self._gates, self._tenants, self._keys, self._unsaved, self.counters
        )

    # --- feeding ------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> list[Effect]:
        """Let something happen; returns what should be done about it. O(records) for records, O(1) for answers."""
        match event:
            case Arrived():
                self._intake.arrive(event)
            case Ticked():
                self._intake.tick(event)
            case Ended():
                self._intake.drain(event.now)
                self._occasions.ended = True
                self._intake.end()
            case Streamed() | Answered() | CallLost():
                if not self._judgements.feed(event):
                    self._runs.feed(event)
            case _:
                assert_never(event)
        return self._take_effects()

    def _take_effects(self) -> list[Effect]:
        effects: list[Effect] = [*self._judgements.take_effects(), *self._runs.effects]
        self._runs.effects.clear()
        return effects

    def _end_key(self, key: KeyState, at: int) -> bool:
        """Counted when it goes, not while a run needs its events."""
        self._images.carried.drop(key.name)
        self._judgements.end_key(key.name)
        needed = self._runs.end_episodes(key.name, at, FORGOTTEN)
        self._latest.end_key(key.name)
        self._gates.drop(key.name)
        self._tenants.drop(key.name)
        if not needed:
            self.counters["forgotten", self.plan.name] += 1
        return needed

    def _context_of(self, name: str) -> Context:
        return self._keys.get_or_new(name).context

    # --- saving -------------------------------------------------------------------------------------------------

    def cut(
        self,
        *,
        seq: int,
        incarnation: int,
        owner: str,
        build: str,
        sent: Mapping[str, int],
        kind: EntryKind = "delta",
        trial: Trial | None = None,
        again: bool = False,
        started: int = 0,
    ) -> Cut:
        """Everything since the last cut, as one delta and the outputs that belong to it. The task may be fed on at once.

        The arguments go into the header as they are.
        """
        unsaved, inputs = self._unsaved, self.inputs
        self._succession.let_go(inputs.tick)
        self._gates.settle(min(inputs.watermark, self._runs.earliest_followed, self._judgements.earliest))
        self._images.missed(unsaved.facts)
        header = Header(
            seq=seq,
            incarnation=incarnation,
            kind=kind,
            owner=owner,
            build=build,
            definition=self.plan.digest,
            positions=self.positions,
            clocks=inputs.clocks(),
            tick=inputs.tick,
            origins=inputs.marks(),
            sent=dict(sent),
            trial=trial,
            again=again,
            started=started,
        )
        delta = Delta(
            header=header,
            slots=self._images.slots,
            facts=unsaved.facts,
            cells=self._images.changed_cells(self._keys, unsaved),
            runs={run: self._runs.encoded(run) for run in unsaved.runs},
            partials=unsaved.partials,
            outputs=unsaved.implied,
            basis=self._succession.basis() if kind == "opened" else None,
            forgotten=unsaved.forgotten,
            rows=unsaved.rows,
            began=self._keys.began,
            counted=unsaved.counted,
        )
        outputs = unsaved.outputs
        unsaved.reset()
        return Cut(delta, outputs)

    def image(self, index: int, of: int, seq: int) -> Bucket:
        """Snapshot of one bucket as of the cut just made; `seq` is that of its delta. Encode it before feeding on."""
        keys = self._keys.in_bucket(index, of)
        runs = {run: self._runs.encoded(run, whole=True) or b"" for key in keys for run in self._runs.of_key(key.name)}
        images = {key.name: self._images.dump(key) for key in keys}
        first = index == 0  # the one that has what belongs to no key
        return Bucket(
            index=index,
            of=of,
            seq=seq,
            slots=self._images.slots,
            keys=images,
            runs=runs,
            basis=self._succession.basis() if first else None,
            rows=self._tables.image(index, of),
            counted=self._gates.limits.dump() if first else None,
        )

    @property
    def positions(self) -> dict[str, Position]:
        """Per input the next offset to read."""
        return self.inputs.positions

    # --- restoring ----------------------------------------------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        """Take in one entry of the log, in log order. A bucket replaces what is held of its keys."""
        self._succession.met(entry.basis)
        if isinstance(entry, Bucket):
            self._apply_bucket(entry)
        else:
            self._apply_delta(entry)

    def _apply_delta(self, delta: Delta) -> None:
        self._tables.apply_delta(delta)
        self._keys.began = delta.began
        self.inputs.restore(delta.header)
        self._runs.restore(delta.runs)
        for run_id, attempt, _, suffix in delta.partials:
            self._runs.restore_stream(run_id, attempt, suffix)
        self._images.apply_facts(self._keys, delta)
        for name, cells in delta.cells.items():
            self._images.load_cells(self._keys.get_or_new(name), cells)
        for limit, at in delta.counted:
            self._gates.limits.add(limit, at)

    def _apply_bucket(self, bucket: Bucket) -> None:
        self._tables.apply_bucket(bucket)
        for key in self._keys.in_bucket(bucket.index, bucket.of):
            self._runs.forget_key(key.name)
            self._keys.drop(key.name)
            self._images.drop(key.name)
        self._runs.restore(bucket.runs)
        for name, image in bucket.keys.items():
            self._images.load(self._keys.get_or_new(name), image, bucket.slots)
        if bucket.index == 0:
            self._gates.limits.load(bucket.counted or {})

    def opened(self, positions: Mapping[str, Position], now: int, continues: Continues = never) -> list[Effect]:
        """`opening` in one go."""
        return [effect for effects in self.opening(positions, now, continues) for effect in effects]

    def opening(
        self, positions: Mapping[str, Position], now: int, continues: Continues = never
    ) -> Iterator[list[Effect]]:
        """The log was read to its end: take up the inputs at `positions`, arm the timers, ask again what was under way.

        In steps of a few milliseconds, each with its effects; exhaust it before anything is fed. Raises Superseded where state
        cannot follow the definition.
        """
        self.inputs.take_up(positions, now, self._tables.is_over)
        takeover = self._succession.take_over(self.inputs.tick)
        self._gates.begin_anew(takeover.anew)
        self._tenants.begin_anew(takeover.anew)
        for _ in self._runs.reopen(continues):
            yield self._take_effects()
        for _ in self._keys.arm_all(self.inputs.watermark, takeover):
            yield []
        for effects in self._judgements.reopen():
            yield [*effects]
        self._succession.end_orphans()
        for _ in self._latest.reopen(takeover.returned | takeover.anew, self._runs.in_episodes()):
            yield self._take_effects()

    # --- how it stands ------------------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Something was read or decided that is not in a delta yet."""
        return self.inputs.moved_on or self._unsaved.anything

    @property
    def eventful(self) -> bool:
        """As `dirty`, but for marks of time that rekeyed sources send while nothing happens."""
        return not self.inputs.only_marks or self._unsaved.anything

    @property
    def urgent(self) -> bool:
        """An outcome waits to be committed."""
        return self._unsaved.urgent

    @property
    def unsaved_bytes(self) -> int:
        """Roughly what the next delta will weigh."""
        return self._unsaved.weight

    @property
    def open_runs(self) -> int:
        """Without an outcome; events that wait for a verdict are counted, too: a run may begin with it."""
        return len(self._runs) + len(self._judgements)

    @property
    def judging(self) -> bool:
        """Some events wait for a verdict."""
        return len(self._judgements) > 0

    @property
    def watermark(self) -> int | None:
        """How far event time has come (ms); None before the first event, and once bounded inputs are over."""
        return self.inputs.event_time

    @property
    def rows(self) -> int:
        """Of all tables."""
        return len(self._tables)

    @property
    def keys(self) -> int:
        return len(self._keys)

    def key(self, name: str) -> KeyState | None:
        """What is known about a key; None if nothing is."""
        return self._keys.find(name)
