"""One system through one timeline on a broker of its own, and what a stranger finds on the topics afterwards."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from tests.e2e.deployment import PARTITIONS
from tests.e2e.transport import SECONDS_MAX, KafkaTransport
from tests.kafka_cluster import any_kafka
from tests.peers.crew import Crew, crew
from tests.peers.environment import CACHE, CannotRun
from tests.peers.ledger import Told, Verdict, due, judge
from tests.peers.systems import Place, System
from tests.peers.timeline import Event, Kill, Restart, Timeline

from penstock.connectors.partition import partition_of

WARM_UP_SECONDS_MAX = 90.0
STILL_SECONDS_MAX = 60.0
"""So long nothing has moved, neither an output nor a committed position: it will not move any more."""
QUIET_SECONDS = 10.0
"""When everything is told and read: long enough for what comes twice to come."""
LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """`died`: processes that ended by themselves; `helped`: the whole crew was restarted because it stood still with input left;
    `lag`: input records behind the committed position at the end."""

    system: str
    version: str
    cycles: int
    seed: int
    events: int
    verdict: Verdict
    died: int
    helped: bool
    lag: int
    seconds: float

    def fields(self) -> dict[str, object]:
        """All of them, those of the verdict among them."""
        fields = asdict(self)
        return {**fields.pop("verdict"), **fields, "seconds": round(self.seconds)}


class Desk:
    """What a stranger can see and do at the broker: write the source, read the outputs as committed, ask for the lag."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._transport = KafkaTransport(place.bootstrap)
        self._admin = AdminClient({"bootstrap.servers": place.bootstrap, "log_level": 0})
        self._producer = Producer(
            {"bootstrap.servers": place.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        )
        for topic in (place.source, place.output):
            self._transport.create(topic)

    def write(self, event: Event, epoch_ms: int) -> None:
        key = event.key.encode()
        value = {"key": event.key, "n": event.n, "ts": epoch_ms + int(1000 * event.at)}
        self._producer.produce(self._place.source, json.dumps(value).encode(), key, partition_of(key, PARTITIONS))
        self._producer.poll(0)

    def flush(self) -> None:
        if self._producer.flush(SECONDS_MAX):
            raise CannotRun("Kafka did not take all events")

    def told(self, system: System) -> list[Told]:
        records = map(system.told, self._transport.read(self._place.output))
        return [told for told in records if told is not None]

    def members(self) -> int:
        """Of the group, while it is stable; 0 while it is not, or not known to the broker yet."""
        asked = self._admin.describe_consumer_groups([self._place.group])
        try:
            group = asked[self._place.group].result(SECONDS_MAX)
        except (KafkaException, TimeoutError):
            return 0
        return len(group.members) if group.state == ConsumerGroupState.STABLE else 0

    def lag(self) -> int:
        """Of the group's committed positions behind the ends of the source."""
        partitions = [TopicPartition(self._place.source, number) for number in range(PARTITIONS)]
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self._place.group, partitions)])
        committed: list[TopicPartition] = asked[self._place.group].result(SECONDS_MAX).topic_partitions
        reader = Consumer({"bootstrap.servers": self._place.bootstrap, "group.id": "nobody", "log_level": 0})
        try:
            ends = [reader.get_watermark_offsets(partition, SECONDS_MAX)[1] for partition in partitions]
        finally:
            reader.close()
        return sum(ends) - sum(max(0, each.offset) for each in committed)


def contest(system: System, plan: Timeline, *, seed: int, cycles: int) -> Outcome:
    """Raises CannotRun if the system cannot be installed, or not do its work undisturbed."""
    began, version = time.monotonic(), system.prepare()
    folder = CACHE / "logs" / f"{system.name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    expected = due(event.key for event in plan.events)
    with any_kafka() as kafka:
        place = Place(kafka.bootstrap, f"{system.name}-{seed}-{int(time.time())}")
        desk = Desk(place)
        with crew(system, place, folder) as hired:
            _play(plan, hired, desk)
            helped = _settle(hired, desk, expected)
        told = desk.told(system)
        _keep(folder, told)
        verdict, lag = judge(expected, told), desk.lag()
    seconds = time.monotonic() - began
    return Outcome(
        system.name, version, cycles, seed, len(plan.events), verdict, hired.died, helped, lag, seconds
    )  # fmt: skip


def _play(plan: Timeline, hired: Crew, desk: Desk) -> None:
    epoch_ms = int(1000 * time.time())
    for number in range(len(hired.workers)):
        hired.start(number)
    _warm_up(plan, hired, desk, epoch_ms)
    began = time.monotonic()
    for action in plan.actions:
        hired.watch(began + action.at)
        match action:
            case Event():
                desk.write(action, epoch_ms)
            case Kill():
                hired.kill(action.worker)
            case Restart():
                hired.start(action.worker)
    desk.flush()


def _warm_up(plan: Timeline, hired: Crew, desk: Desk, epoch_ms: int) -> None:
    """The clock starts when the whole crew works."""
    _await(lambda: desk.members() == len(hired.workers), hired)
    hired.watch(time.monotonic() + QUIET_SECONDS)
    for event in plan.warm_up:
        desk.write(event, epoch_ms)
    desk.flush()
    wanted = sum(map(len, due(event.key for event in plan.warm_up).values()))
    _await(lambda: len(desk.told(hired.system)) >= wanted, hired)


def _await(condition: Callable[[], bool], hired: Crew) -> None:
    deadline = time.monotonic() + WARM_UP_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise CannotRun(f"{hired.system.name} did not get to work undisturbed; see {hired.workers[0].folder}")
        hired.watch(time.monotonic() + LOOK_EVERY_SECONDS)


def _settle(hired: Crew, desk: Desk, expected: Mapping[str, list[int]]) -> bool:
    """Wait until it is over; whether the crew had to be restarted for that."""
    _until_still(hired, desk, expected)
    if not desk.lag():
        return False
    for number in range(len(hired.workers)):
        hired.kill(number)
        hired.start(number)
    _until_still(hired, desk, expected)
    return True


def _until_still(hired: Crew, desk: Desk, expected: Mapping[str, list[int]]) -> None:
    seen, moved = (-1, -1), time.monotonic()
    while True:
        told = desk.told(hired.system)
        now, lag = time.monotonic(), desk.lag()
        if (len(told), lag) != seen:
            seen, moved = (len(told), lag), now
        over = not lag and not judge(expected, told).lost
        if now - moved > (QUIET_SECONDS if over else STILL_SECONDS_MAX):
            return
        hired.watch(now + LOOK_EVERY_SECONDS)


def _keep(folder: Path, told: list[Told]) -> None:
    """What was told stays beside the workers' logs, for whoever looks into a violation."""
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in told)
    (folder / "told.jsonl").write_text(lines)
