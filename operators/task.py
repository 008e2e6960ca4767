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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, assert_never
from zlib import crc32

from msgspec.structs import replace

from penstock.operators.combination import Combinations
from penstock.operators.context import Context
from penstock.operators.continuation import Continues, never
from penstock.operators.dead import condemn, dead_letter
from penstock.operators.decode import Read
from penstock.operators.definitions import Definitions
from penstock.operators.event import Answered, Arrived, CallLost, Effect, Ended, Event, Progress, Streamed, Ticked
from penstock.operators.expected_keys import keys_of
from penstock.operators.following import Following
from penstock.operators.gates import Gates
from penstock.operators.gathered import Arrival, Gathered, unpacked
from penstock.operators.image import Images
from penstock.operators.intake import Merge
from penstock.operators.judgements import Judgements
from penstock.operators.key_state import Counts, KeyState, Moment
from penstock.operators.latest import Latest
from penstock.operators.limit import Limits
from penstock.operators.moved import Moved, place_of
from penstock.operators.occasion import Occasions
from penstock.operators.outlet import Outlet
from penstock.operators.passage import Passage
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Output, Raw
from penstock.operators.runs import Runs
from penstock.operators.source import Source
from penstock.operators.succession import Succession
from penstock.operators.tables import TaskTables
from penstock.operators.tenants import Tenants
from penstock.operators.transitions import Transitions
from penstock.operators.unsaved import Unsaved
from penstock.operators.watermark import END_OF_TIME, NEVER, Origin, least, reached
from penstock.state.delta import Bucket, Delta, Entry, EntryKind, Header, Mark, Position, Trial

FORGOTTEN = "forgotten"
"""The reason that results give where an episode ended because its key was forgotten."""


class Cut(NamedTuple):
    """One commit: the delta, and every record that leaves with it."""

    delta: Delta
    outputs: list[Output]


class Task:
    """All that one partition knows. Feed it, perform what it asks for, commit what it cuts."""

    def __init__(self, plan: Plan, partition: int, partitions: int = 1) -> None:
        """`partitions`: how many tasks the pipeline has."""
        self.plan, self.partition = plan, partition
        self.counters: Counts = Counter()
        """Monotone counts of what happened, by (what, which): exported as metrics."""
        self._unsaved = Unsaved()
        self._sources = {source.topic: source for source in plan.sources}
        self._gathered = {source.topic: Gathered(source.delay) for source in plan.sources if source.topic in plan.moved}
        self._origins: dict[str, Origin | Gathered] = {
            source.topic: self._gathered.get(source.topic) or Origin(source.delay, source.idle)
            for source in plan.sources
        }
        self._merge = Merge(plan.sources) if len(plan.sources) > 1 else None
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
        self._occasions = Occasions(plan, partition, self._generation_of, self._tables.rows, self._tenants.of)
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
        self._late_topics = plan.late_topics
        self._positions: dict[str, Position] = {}
        self._last_read: dict[str, Raw] = {}
        self._progress: Mapping[str, Progress] = {}
        self._watermark, self._tick = NEVER, 0

    # --- feeding ------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> list[Effect]:
        """Let something happen; returns what should be done about it. O(records) for records, O(1) for answers."""
        match event:
            case Arrived():
                self._arrive(event)
            case Ticked():
                self._tick = max(self._tick, event.now)
                self._feed_merged(event.progress, event.most)
                self._let_silence_pass(event.progress)
            case Ended():
                self._end(event.now)
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

    def _arrive(self, event: Arrived) -> None:
        self._tick = max(self._tick, event.now)
        if self.plan.tables:
            self._last_read.update(self._tables.feed(event, self._watermark, self._bury))
        for topic, records in event.records.items():
            source = self._sources.get(topic)
            if not records or source is None:
                continue
            decode = condemn if event.poison else source.decode
            if topic in self._gathered:
                self._take_moved(source, [unpacked(raw, topic, decode) for raw in records])
                continue
            self.counters["events", source.name] += len(records)
            self._origins[topic].heard(self._tick)
            if self._merge is not None:
                self._merge.add(source, records, decode)
            else:
                reads = map(condemn, records) if event.poison else source.decode_all(records)
                self._take(source, zip(records, reads, strict=True))
                self._last_read[source.topic] = records[-1]
        self._feed_merged(event.progress, event.most)
        self._let_silence_pass(event.progress)

    def _take_moved(self, source: Source, reads: Sequence[tuple[Raw, Arrival]]) -> None:
        """What the first stage of a rekeyed source has written, and counted."""
        if self._merge is not None:
            self._merge.add_read(source, reads)
        else:
            self._take(source, self._gathered[source.topic].passing(reads, self._look_at_origins))
            self._last_read[source.topic] = reads[-1][0]

    def _look_at_origins(self) -> None:
        self._pass_time(least(self._origins))

    def _feed_merged(self, progress: Mapping[str, Progress], most: int | None = None, *, ended: bool = False) -> None:
        if self._merge is None:
            return
        for source, raw, read in islice(self._merge.ready(progress, self._tick, ended=ended), most):
            if source.topic in self._gathered:
                self._take(source, self._gathered[source.topic].passing([(raw, read)], self._look_at_origins))
            elif not isinstance(read, Mark):
                self._take(source, ((raw, read),))
            self._last_read[source.topic] = raw

    def _take(self, source: Source, reads: Iterable[tuple[Raw, Read | DeadLetter]]) -> None:
        """Each becomes a dead letter, is ignored, late, a duplicate, or kept by its key; then comes what its time made due."""
        keys, keep, origin = self._keys, self._keys.keep, self._origins[source.topic]
        ignores, dedupe, line_of, lateness = source.ignores, source.dedupe, source.line, source.lateness
        labels, uses_moment, pace = self.plan.labels, self.plan.uses_moment, source.pace
        generation = self._generation_of(source.topic) if uses_moment else 0
        tables, tenants = self._tables.rows, self._tenants if self._tenants.named else None
        for raw, read in reads:
            if type(read) is DeadLetter:
                self._bury(raw, read)
                continue
            name, time, event = read
            before = self._watermark
            if origin.event_time is None or time > origin.event_time:
                origin.advance(time)
                self._watermark = origin.watermark if self._merge is None else max(before, least(self._origins))
            if ignores is not None and ignores(event, raw, name, time):
                self.counters["ignored", source.name] += 1
            elif time < before - lateness:
                self.counters["late", source.name] += 1
                if source.topic in self._late_topics:
                    self._take_late(source, raw, read)
            else:
                moment = Moment(name, source.name, raw, time, labels, generation, tables) if uses_moment else None
                if dedupe is None or dedupe.passes(keys.find(name), event, moment, time, before - lateness):
                    passed_over = pace is not None and pace.passes_over(keys.find(name), time, before - lateness)
                    line = None if passed_over else raw.value if line_of is None else line_of(raw, event)
                    if tenants is not None:
                        moment = tenants.take(keys, source, raw, read, moment)
                    keep(name, time, event, moment, line, raw, self._watermark)
            if keys.next_timer <= self._watermark:
                keys.advance(self._watermark)

    def _take_late(self, source: Source, raw: Raw, read: Read) -> None:
        """What it makes due at once is told while it is known to be late."""
        name, time, event = read
        generation = self._generation_of(source.topic)
        labels, tables = self.plan.labels, self._tables.rows
        moment = Moment(name, source.name, raw, time, labels, generation, tables) if self.plan.uses_moment else None
        line = raw.value if source.line is None else source.line(raw, event)
        if self._tenants.named:
            moment = self._tenants.take(self._keys, source, raw, read, moment, late=True)
        with self._gates.late(self._watermark):
            self._keys.keep_late(name, time, event, moment, line, raw, self._watermark)
            self._keys.advance(self._watermark)

    def _bury(self, raw: Raw, letter: DeadLetter) -> None:
        self.counters["dead", letter.reason] += 1
        self._unsaved.publish([dead_letter(raw, letter, self.plan.dead_topic)], outcome=True)

    def _let_silence_pass(self, progress: Mapping[str, Progress]) -> None:
        """Protocol rule 13: what is idle does not hold time back."""
        self._progress = dict(progress)
        for topic, origin in self._origins.items():
            if topic in progress and not self.holds(topic):
                origin.fall_silent(progress[topic])
        self._pass_time(least(self._origins))

    def _pass_time(self, watermark: int) -> None:
        self._watermark = max(self._watermark, watermark)
        if self._keys.next_timer <= self._watermark:
            self._keys.advance(self._watermark)

    def _end(self, now: int) -> None:
        self._tick = max(self._tick, now)
        self._feed_merged({}, ended=True)
        self._occasions.ended = True
        self._pass_time(END_OF_TIME)

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
        unsaved = self._unsaved
        self._succession.let_go(self._tick)
        self._gates.settle(min(self._watermark, self._runs.earliest_followed, self._judgements.earliest))
        self._images.missed(unsaved.facts)
        header = Header(
            seq=seq,
            incarnation=incarnation,
            kind=kind,
            owner=owner,
            build=build,
            definition=self.plan.digest,
            positions=self.positions,
            clocks={topic: origin.clock(self._watermark) for topic, origin in self._origins.items()},
            tick=self._tick,
            origins={topic: gathered.marks() for topic, gathered in self._gathered.items()},
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
        """Per input the next offset to read: behind the last record that was fed, and what follows it and is no record."""
        for topic, read in self._last_read.items():
            raw = place_of(read)
            self._positions[topic] = Position(
                raw.offset + 1, raw.offset, raw.timestamp, crc32(raw.value or b""), self._generation_of(topic)
            )
        self._last_read.clear()
        for topic, position in self._positions.items():
            if topic in self._progress and not self.holds(topic):
                offset = max(position.offset, self._progress[topic].position)
                self._positions[topic] = replace(position, offset=offset)
        return dict(self._positions)

    def _generation_of(self, topic: str) -> int:
        return self._positions[topic].generation if topic in self._positions else 0

    def holds(self, topic: str) -> bool:
        """Records of this input were handed over and not fed yet."""
        return self._merge is not None and self._merge.holds(topic)

    # --- restoring ----------------------------------------------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        """Take in one entry of the log, in log order. A bucket replaces what is held of its keys."""
        self._succession.met(entry.basis)
        if isinstance(entry, Bucket):
            self._apply_bucket(entry)
        else:
            self._apply_delta(entry)

    def _apply_delta(self, delta: Delta) -> None:
        header = delta.header
        self._tables.apply_delta(delta)
        self._keys.began = delta.began
        self._positions = dict(header.positions)
        self._tick = max(self._tick, header.tick)
        self._watermark = max(self._watermark, reached(header.clocks))
        for topic, clock in header.clocks.items():
            if topic in self._origins:
                self._origins[topic].restore(clock)
        for topic, marks in header.origins.items():
            if topic in self._gathered:
                self._gathered[topic].restore_marks(marks)
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

        In steps of a few milliseconds, each with its effects; exhaust it before anything is fed. An input that the file does
        not name any more keeps its position: it may come back. One that is new does not take time back: what was due has fired.
        Raises Superseded where state cannot follow the definition.
        """
        self._positions = {
            name: position
            for name, position in {**self._positions, **positions}.items()
            if not self._tables.is_over(name)
        }
        self._tick = max(self._tick, now)
        for origin in self._origins.values():
            if origin.event_time is None:
                origin.heard(self._tick)
            origin.watermark = max(origin.watermark, self._watermark)
        self._watermark = least(self._origins)
        takeover = self._succession.take_over(self._tick)
        self._gates.begin_anew(takeover.anew)
        self._tenants.begin_anew(takeover.anew)
        for _ in self._runs.reopen(continues):
            yield self._take_effects()
        for _ in self._keys.arm_all(self._watermark, takeover):
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
        return bool(self._last_read) or self._unsaved.anything

    @property
    def eventful(self) -> bool:
        """As `dirty`, but for marks of time that rekeyed sources send while nothing happens."""
        read = self._last_read.items()
        marks = all(topic in self._gathered and not isinstance(raw, Moved) for topic, raw in read)
        return not marks or self._unsaved.anything

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
        return self._watermark if NEVER < self._watermark < END_OF_TIME else None

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

    def next_merged(self, progress: Mapping[str, Progress], now: int) -> tuple[str, Raw] | None:
        """The input and the record that a merge of several would give out next; None where there is no merge or nothing
        ready."""
        return None if self._merge is None else self._merge.head(progress, max(self._tick, now))

    @property
    def backlogged(self) -> frozenset[str]:
        """Inputs whose intake should pause: a merge waits for the others."""
        return frozenset() if self._merge is None else self._merge.backlogged
