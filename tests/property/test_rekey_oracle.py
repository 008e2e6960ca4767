"""However the commits of the first stages come to lie behind one another, are written again, are read and are died over: what
fires is what follows from the events, computed here from their list alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.stage import compiled

from penstock.connectors.partition import places_of
from penstock.operators.event import Arrived, Progress
from penstock.operators.record import Output, Record
from penstock.operators.rekey import RekeyTask
from penstock.operators.task import Task
from penstock.pipelines.rekeying import staged
from penstock.state.codec import decode, encode
from penstock.state.delta import Delta

DELAY, SILENCE, PERIOD = 60_000, 90_000, 120_000
TEXT = """
penstock: v1
name: watch
sources:
  auth: {topic: auth, key: event.host, rekey: true, time: {at: event.t, unit: ms}, watermark: {delay: 60s, idle: never}}
triggers:
  failed: {each: event.outcome == "failed", agent: none}
  silent: {absence: event.outcome == "ok", for: 90s, agent: none}
  often: {every: 2m, agent: none}
"""
STAGES = staged(compiled(TEXT))
(FIRST,) = STAGES.first
START = 10_000_000
ORIGINS, TASKS = 2, 3


class Sample(NamedTuple):
    origin: int
    host: str
    outcome: str
    time: int


Told = set[tuple[str, str, str]]
"""(trigger, key, cause)"""


class World:
    """The source, its first stages, the rekeyed topic, and the tasks that read it."""

    def __init__(self) -> None:
        self.first = [RekeyTask(FIRST.plan, origin, ORIGINS) for origin in range(ORIGINS)]
        self._offsets, self._seqs = [0] * ORIGINS, [0] * ORIGINS
        self.last: list[list[Output]] = [[] for _ in range(ORIGINS)]
        self.rekeyed: list[list[Record]] = [[] for _ in range(TASKS)]
        self._read = [0] * TASKS
        self.tasks = [Task(STAGES.main.plan, number, TASKS) for number in range(TASKS)]
        self._logs: list[list[bytes]] = [[] for _ in range(TASKS)]
        self.told: Told = set()
        self.firings = 0
        for origin in range(ORIGINS):
            self.commit(origin)

    def happen(self, sample: Sample) -> None:
        value = json.dumps({"host": sample.host, "outcome": sample.outcome, "t": sample.time}).encode()
        offset = self._offsets[sample.origin]
        self._offsets[sample.origin] += 1
        raw = Record("auth", sample.origin, offset, sample.time, None, value)
        at = {"auth": Progress(offset + 1, offset + 1, 0)}
        self.first[sample.origin].feed(Arrived({"auth": [raw]}, at, 0))

    def commit(self, origin: int) -> None:
        self._seqs[origin] += 1
        cut = self.first[origin].cut(seq=self._seqs[origin], incarnation=1, owner="", build="", sent={})
        self.last[origin] = cut.outputs
        self.write(cut.outputs)

    def write(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            for place in places_of(output, 0, TASKS):
                lies = self.rekeyed[place]
                lies.append(Record(output.topic, place, len(lies), 0, output.key, output.value, output.headers))

    def read(self, number: int, most: int) -> None:
        """Some of what there is, and a commit."""
        start = self._read[number]
        records = self.rekeyed[number][start : start + most]
        self._read[number] = end = start + len(records)
        at = {"auth": Progress(end, len(self.rekeyed[number]), 0)}
        self.tasks[number].feed(Arrived({"auth": records}, at, 0))
        cut = self.tasks[number].cut(seq=len(self._logs[number]), incarnation=1, owner="", build="", sent={})
        self._logs[number].append(encode(cut.delta))
        results = STAGES.main.plan.results.results
        for output in (each for each in cut.outputs if each.topic == results):
            self._tell(json.loads(output.value or b""))

    def _tell(self, result: dict[str, Any]) -> None:
        if result["state"] == "final":
            self.firings += 1
            self.told.add((result["triggers"][0], result["key"], result["why"]["fired_by"]))

    def die(self, number: int) -> None:
        """Somebody else opens the task, and goes on behind what was committed."""
        self.tasks[number] = task = Task(STAGES.main.plan, number, TASKS)
        positions = {}
        for data in self._logs[number]:
            entry = decode(data)
            assert isinstance(entry, Delta)
            task.apply(entry)
            positions = entry.header.positions
        task.opened(positions, 0)


def expected(samples: list[Sample]) -> Told:
    """What follows from the definition of each trigger, and from nothing else."""
    newest = [max(each.time for each in samples if each.origin == origin) for origin in range(ORIGINS)]
    passed = min(newest) - DELAY
    offsets: dict[int, int] = defaultdict(int)
    told: Told = set()
    for each in samples:
        if each.outcome == "failed":
            told.add(("failed", each.host, f"auth/{each.origin}@{offsets[each.origin]}"))
        offsets[each.origin] += 1
        due = -(-each.time // PERIOD) * PERIOD
        if due < passed:
            told.add(("often", each.host, f"timer@{due}"))
        later = [o for o in samples if o.host == each.host and o.outcome == "ok" and each.time < o.time]
        end = each.time + SILENCE
        if each.outcome == "ok" and end < passed and not any(other.time <= end for other in later):
            told.add(("silent", each.host, f"timer@{end}"))
    return told


steps = st.tuples(
    st.integers(0, ORIGINS - 1),
    st.sampled_from("abcd"),
    st.sampled_from(["ok", "failed", "other"]),
    st.integers(0, 40_000),
    st.sampled_from(["", "", "commit 0", "commit 1", "again 0", "again 1", "read", "read", "die"]),
    st.integers(0, TASKS - 1),
    st.integers(1, 12),
)


@given(st.lists(steps, min_size=20, max_size=80))
@settings(deadline=None)
def test_any_order_of_commits_reads_and_deaths_tells_what_the_events_say(told: list[tuple[Any, ...]]) -> None:
    world, samples, time = World(), list[Sample](), START
    for origin, host, outcome, ahead, deed, number, most in told:
        time += 8_000
        samples.append(Sample(origin, host, outcome, time + ahead))
        world.happen(samples[-1])
        match deed.split():
            case ["commit", first]:
                world.commit(int(first))
            case ["again", first]:
                world.write(world.last[int(first)])
            case ["read"]:
                world.read(number, most)
            case ["die"]:
                world.die(number)
            case _:
                pass
    for origin in range(ORIGINS):
        samples.append(Sample(origin, "z", "other", time + 400_000))
        world.happen(samples[-1])
        world.commit(origin)
    for number in range(TASKS):
        world.read(number, 10_000)
    event(f"{min(len(world.told) // 10, 5)} times ten firings")
    assert world.told == expected(samples)
    assert world.firings == len(world.told), "something was told twice"
