"""What has to hold of every run of every story, besides what is told: looked at from outside, by what was written.

    commits    one transaction per delta, the delta first in it, with all that it implies and nothing else
    log        no gap, no step back: seq, incarnation, positions, time; what a successor restores is what its owner knew
    results    one outcome per run, in the order of the key; what is told of a run goes on from what was told before
    brokers    at rest no transaction is open

`mutations.py` and `test_invariants.py` show of them that they can fail.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from aiokafka.structs import TopicPartition
from tests.simulation.calls import WatchedCall
from tests.simulation.chronicle import Chronicle, Commit
from tests.simulation.cluster import Cluster
from tests.simulation.messages import Record

from penstock.connectors.kafka_writer import written_value
from penstock.operators.plan import Plan
from penstock.operators.task import Task
from penstock.pipelines.deference import DEFER_FIRST
from penstock.pipelines.torture_story import OUTCOMES, Story
from penstock.state.codec import Joiner
from penstock.state.delta import Delta, Entry, Header

Parsed = Mapping[str, Any]
CARRIED = 4
"""Where the image of a key has the aggregates that it carries, if there are any."""


def check_commits(chronicle: Chronicle) -> None:
    for partition, commits in enumerate(chronicle.commits):
        for commit in commits:
            _check_whole(commit, f"task {partition} at {commit.at:.3f}")
        _check_order([commit.delta.header for commit in commits if commit.delta is not None], partition)


def _check_whole(commit: Commit, where: str) -> None:
    """Protocol rule 2."""
    delta = commit.delta
    assert delta is not None, f"{where}: {len(commit.told)} outputs were committed without their delta"
    first = min(each.at for each in commit.log)
    assert all(each.at > first for each in commit.told), f"{where}: an output was written before the delta"
    told = Counter((each.record.topic, each.record.key, each.record.value) for each in commit.told)
    implied = Counter((each.topic, each.key, written_value(each)) for each in delta.outputs)
    assert not implied - told, f"{where}: outputs that the delta implies were not committed with it"
    partials = (told - implied).total()
    assert partials <= len(delta.partials), f"{where}: {partials} records besides {len(delta.partials)} partials"


def _check_order(headers: Sequence[Header], partition: int) -> None:
    """Protocol rules 3, 5, 7 and 13. The first one of an incarnation is `opened`."""
    assert not headers or headers[0].seq == 0, f"task {partition} began at seq {headers[0].seq}"
    for before, header in itertools.pairwise(headers):
        where = f"task {partition}, seq {header.seq}"
        assert header.seq == before.seq + 1, f"{where} was committed after {before.seq}"
        opens = header.incarnation == before.incarnation + 1
        assert opens or header.incarnation == before.incarnation, f"{where}: incarnation after {before.incarnation}"
        assert (header.kind == "opened") == opens, f"{where} is {header.kind}, of incarnation {header.incarnation}"
        assert opens or before.kind != "released", f"{where} comes after the task was released"
        assert opens or header.owner == before.owner, f"{where}: {header.owner} goes on with what {before.owner} opened"
        assert header.tick >= before.tick, f"{where}: processing time went back"
        for topic, position in before.positions.items():
            assert header.positions[topic].offset >= position.offset, f"{where}: the position of {topic} went back"
        for topic, clock in before.clocks.items():
            assert (header.clocks[topic].watermark or 0) >= (clock.watermark or 0), f"{where}: event time went back"


def check_deference(chronicle: Chronicle) -> None:
    """Protocol rule 16: what a process that was started later has begun is not gone on with by another definition."""
    for partition, commits in enumerate(chronicle.commits):
        openings = [(commit.at, commit.delta.header) for commit in commits if commit.delta is not None]
        for (at, before), (again, header) in itertools.pairwise(openings):
            goes_back = header.definition != before.definition and header.started < before.started
            assert not goes_back or again - at >= DEFER_FIRST, (
                f"task {partition}, seq {header.seq}: {header.owner} takes back the newer definition of {before.owner}"
            )


def check_handovers(calls: Iterable[WatchedCall], chronicle: Chronicle) -> None:
    """Protocol rule 8, where nobody dies and nothing is slow: owners finish before others begin."""
    for partition, commits in enumerate(chronicle.commits):
        headers = [commit.delta.header for commit in commits if commit.delta is not None]
        for before, header in itertools.pairwise(headers):
            assert header.kind != "opened" or before.kind == "released", (
                f"task {partition}, seq {header.seq}: {header.owner} took it from {before.owner}, which was at work"
            )
    twice = [question for question, count in Counter(call.question for call in calls).items() if count > 1]
    assert not twice, f"{len(twice)} answers were paid for twice: the first is of run {twice[0][0]}"


def check_results(results: Iterable[Parsed], revisions: Iterable[Parsed]) -> None:
    outcomes = Counter(record["run"] for record in results if record["state"] in OUTCOMES)
    twice = [run for run, count in outcomes.items() if count > 1]
    assert not twice, f"an outcome was told twice: {twice}"
    _check_order_of_keys(results)
    stories: dict[str, Story] = defaultdict(Story)
    for record in revisions:
        problems = [problem.text for problem in stories[record["run"]].told(record)]
        assert not problems, "; ".join(problems)


def _check_order_of_keys(results: Iterable[Parsed]) -> None:
    """Of one key and agent the outcomes come in the order in which they fired: by the offsets of records, and by due times."""
    last: dict[tuple[str, str, str], int] = {}
    for record in results:
        if record["state"] in OUTCOMES and "@" in record["why"]["fired_by"]:  # what follows an outcome comes with it
            origin, _, at = record["why"]["fired_by"].rpartition("@")
            place = record["key"], record["agent"] or "", origin
            assert int(at) >= last.get(place, -1), f"the outcome of {place} by {at} comes after that by {last[place]}"
            last[place] = int(at)


def check_rest(cluster: Cluster, topics: Iterable[str], partitions: int) -> None:
    """Every transaction is over, so that committed readers get to the end."""
    for topic in topics:
        for number in range(partitions):
            found = cluster.topics.find(TopicPartition(topic, number))
            stable, end = (found.log.stable, found.log.end) if found is not None else (0, 0)
            assert stable == end, f"a transaction is open: {topic}/{number} can be read to {stable} of {end}"


def check_restoring(
    plans: Iterable[Plan], log: str, chronicle: Chronicle, cluster: Cluster, live: Mapping[int, Task]
) -> None:
    """Whoever opened a task now would know what its owner knows (rule 5), and both what all deltas together say.

    So would whoever opened it by another definition: what the owner only carries may be all that counts then (rule 16).
    """
    for partition, core in live.items():
        found = cluster.topics.find(TopicPartition(log, partition))
        assert found is not None
        start = found.log.start
        batches = [batch for batch in found.log.history if not batch.aborted]
        retained = [record for batch in batches for record in batch.records if record.offset >= start]
        everything = [entry for commit in chronicle.commits[partition] for entry in commit.entries]
        deltas = [entry for entry in everything if isinstance(entry, Delta)]
        reached, where = core.watermark or 0, f"task {partition}"
        for plan in plans:
            said = knows(_restored(plan, partition, deltas), reached)
            _compare(knows(_restored(plan, partition, _joined(retained)), reached), said, f"{where}: its log")
            if plan is core.plan:
                _compare(said, knows(core, reached), f"{where}: all deltas together")


def _joined(records: Iterable[Record]) -> Iterator[Entry]:
    joiner = Joiner()
    joined = (joiner.add(record) for record in records)
    return (each.entry for each in joined if each is not None)


def _restored(plan: Plan, partition: int, entries: Iterable[Entry]) -> Task:
    core = Task(plan, partition)
    for entry in entries:
        core.apply(entry)
    return core


def knows(core: Task, watermark: int) -> dict[str, Any]:
    """Everything that a task would save of itself, as plain values. Silent keys learn how far time has come when it counts.

    Of aggregates that are carried it says only which: they lie there as images of different age, and what came since.
    """
    positions = {topic: position.offset for topic, position in core.positions.items()}
    runs = {run: core._runs.encoded(run, whole=True) for key in core._keys for run in core._runs.of_key(key.name)}
    images = {key.name: core._images.dump(key) for key in core._keys}
    keys: Any = orjson.loads(orjson.dumps(images, default=_plain, option=orjson.OPT_NON_STR_KEYS))
    for dumped in keys.values():
        dumped[0] = max(dumped[0], watermark)
        dumped[CARRIED:] = map(sorted, dumped[CARRIED:])
    return {"positions": positions, "runs": runs, **{f"key {name}": value for name, value in keys.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return msgspec.msgpack.decode(value)
    return value.hex() if isinstance(value, bytes) else list(value)


def _compare(restored: Mapping[str, Any], live: Mapping[str, Any], where: str) -> None:
    different = sorted(name for name in {*restored, *live} if restored.get(name) != live.get(name))
    if different:
        name = different[0]
        what = f"{name}: {str(restored.get(name))[:300]} instead of {str(live.get(name))[:300]}"
        raise AssertionError(f"{where} says something else of {', '.join(different[:5])}: {what}")
