"""What becomes of every record of a task's inputs: decoded, put in order, kept by its key.

Arrived ─▶ tables: rows                            ┌─▶ dead letter    what cannot be read
        ─▶ events ─▶ decode ─▶ merge ─▶ watermark ─┼─▶ ignored, late, a duplicate: counted
                                                   └─▶ Keys: context, aggregates, triggers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from penstock.operators.dead import condemn, dead_letter
from penstock.operators.decode import Read
from penstock.operators.event import Arrived, Progress, Ticked
from penstock.operators.gates import Gates
from penstock.operators.gathered import Arrival, unpacked
from penstock.operators.inputs import Inputs
from penstock.operators.key_state import Counts, Moment
from penstock.operators.keys import Keys
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source import Source
from penstock.operators.tables import TaskTables
from penstock.operators.tenants import Tenants
from penstock.operators.unsaved import Unsaved
from penstock.operators.watermark import END_OF_TIME
from penstock.state.delta import Mark


class Intake:
    """Of one task. Feeding costs O(records), beside what their keys cost."""

    def __init__(
        self,
        plan: Plan,
        inputs: Inputs,
        tables: TaskTables,
        gates: Gates,
        tenants: Tenants,
        keys: Keys,
        unsaved: Unsaved,
        counters: Counts,
    ) -> None:
        self._plan, self._inputs, self._tables = plan, inputs, tables
        self._gates, self._tenants, self._keys = gates, tenants, keys
        self._unsaved, self._counters = unsaved, counters
        self._late_topics = plan.late_topics

    def arrive(self, event: Arrived) -> None:
        """Records were read: rows of tables come before events."""
        inputs = self._inputs
        inputs.tell(event.now)
        if self._plan.tables:
            inputs.fed_all(self._tables.feed(event, inputs.watermark, self.bury))
        for topic, records in event.records.items():
            source = inputs.sources.get(topic)
            if not records or source is None:
                continue
            decode = condemn if event.poison else source.decode
            if topic in inputs.gathered:
                self._take_moved(source, [unpacked(raw, topic, decode) for raw in records])
                continue
            self._counters["events", source.name] += len(records)
            inputs.origins[topic].heard(inputs.tick)
            if inputs.merge is not None:
                inputs.merge.add(source, records, decode)
            else:
                reads = map(condemn, records) if event.poison else source.decode_all(records)
                self.take(source, zip(records, reads, strict=True))
                inputs.fed(source.topic, records[-1])
        self._take_merged(event.progress, event.most)
        self._let_silence_pass(event.progress)

    def tick(self, event: Ticked) -> None:
        """Processing time has passed, and maybe silence."""
        self._inputs.tell(event.now)
        self._take_merged(event.progress, event.most)
        self._let_silence_pass(event.progress)

    def drain(self, now: int) -> None:
        """No input says more: what was held back for the others is taken."""
        self._inputs.tell(now)
        self._take_merged({}, ended=True)

    def end(self) -> None:
        """Bounded inputs are over: the watermark passes everything."""
        self._pass_time(END_OF_TIME)

    def _take_moved(self, source: Source, reads: Sequence[tuple[Raw, Arrival]]) -> None:
        """What the first stage of a rekeyed source has written, and counted."""
        inputs = self._inputs
        if inputs.merge is not None:
            inputs.merge.add_read(source, reads)
        else:
            self.take(source, inputs.gathered[source.topic].passing(reads, self._look_at_inputs))
            inputs.fed(source.topic, reads[-1][0])

    def _look_at_inputs(self) -> None:
        self._pass_time(self._inputs.least)

    def _take_merged(self, progress: Mapping[str, Progress], most: int | None = None, *, ended: bool = False) -> None:
        gathered = self._inputs.gathered
        for source, raw, read in self._inputs.merged(progress, most, ended=ended):
            if source.topic in gathered:
                self.take(source, gathered[source.topic].passing([(raw, read)], self._look_at_inputs))
            elif not isinstance(read, Mark):
                self.take(source, ((raw, read),))
            self._inputs.fed(source.topic, raw)

    def take(self, source: Source, reads: Iterable[tuple[Raw, Read | DeadLetter]]) -> None:
        """Each becomes a dead letter, is ignored, late, a duplicate, or kept by its key; then comes what its time made due."""
        inputs, keys, keep = self._inputs, self._keys, self._keys.keep
        origin, merged = inputs.origins[source.topic], inputs.merge is not None
        ignores, dedupe, line_of, lateness = source.ignores, source.dedupe, source.line, source.lateness
        labels, uses_moment, pace = self._plan.labels, self._plan.uses_moment, source.pace
        generation = inputs.generation_of(source.topic) if uses_moment else 0
        tables, tenants = self._tables.rows, self._tenants if self._tenants.named else None
        for raw, read in reads:
            if type(read) is DeadLetter:
                self.bury(raw, read)
                continue
            name, time, event = read
            before = inputs.watermark
            if origin.event_time is None or time > origin.event_time:
                origin.advance(time)
                inputs.watermark = max(before, inputs.least) if merged else origin.watermark
            if ignores is not None and ignores(event, raw, name, time):
                self._counters["ignored", source.name] += 1
            elif time < before - lateness:
                self._counters["late", source.name] += 1
                if source.topic in self._late_topics:
                    self._take_late(source, raw, read)
            else:
                moment = Moment(name, source.name, raw, time, labels, generation, tables) if uses_moment else None
                if dedupe is None or dedupe.passes(keys.find(name), event, moment, time, before - lateness):
                    passed_over = pace is not None and pace.passes_over(keys.find(name), time, before - lateness)
                    line = None if passed_over else raw.value if line_of is None else line_of(raw, event)
                    if tenants is not None:
                        moment = tenants.take(keys, source, raw, read, moment)
                    keep(name, time, event, moment, line, raw, inputs.watermark)
            if keys.next_timer <= inputs.watermark:
                keys.advance(inputs.watermark)

    def _take_late(self, source: Source, raw: Raw, read: Read) -> None:
        """What it makes due at once is told while it is known to be late."""
        name, time, event = read
        generation, watermark = self._inputs.generation_of(source.topic), self._inputs.watermark
        labels, tables = self._plan.labels, self._tables.rows
        moment = Moment(name, source.name, raw, time, labels, generation, tables) if self._plan.uses_moment else None
        line = raw.value if source.line is None else source.line(raw, event)
        if self._tenants.named:
            moment = self._tenants.take(self._keys, source, raw, read, moment, late=True)
        with self._gates.late(watermark):
            self._keys.keep_late(name, time, event, moment, line, raw, watermark)
            self._keys.advance(watermark)

    def bury(self, raw: Raw, letter: DeadLetter) -> None:
        self._counters["dead", letter.reason] += 1
        self._unsaved.publish([dead_letter(raw, letter, self._plan.dead_topic)], outcome=True)

    def _let_silence_pass(self, progress: Mapping[str, Progress]) -> None:
        self._inputs.let_silence_pass(progress)
        self._look_at_inputs()

    def _pass_time(self, watermark: int) -> None:
        inputs, keys = self._inputs, self._keys
        inputs.watermark = max(inputs.watermark, watermark)
        if keys.next_timer <= inputs.watermark:
            keys.advance(inputs.watermark)
