"""The topics of a pipeline: what should be there, what is there, and what to do about the difference.

`plan` is pure: it compares a layout with what the cluster has. `apply` creates what is missing, never a source, and never
changes a topic that exists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from aiokafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError

from penstock.connectors.kafka_port import REQUEST_BYTES_MAX, Admin, Clients, NewTopic
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.port import Layout
from penstock.operators.error import Unreachable

LOG_SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "max.message.bytes": str(REQUEST_BYTES_MAX),
}
"""Penstock trims the log itself: a broker that deletes by age or size deletes the state of a quiet week."""
OUTPUT_SETTINGS = {"max.message.bytes": str(REQUEST_BYTES_MAX)}
"""A dead letter is larger than the record that it holds, which may be as large as the broker's default allows."""
LATEST_SETTINGS = {
    "cleanup.policy": "compact",
    "segment.ms": "3600000",
    "max.compaction.lag.ms": "86400000",
    "delete.retention.ms": "604800000",
    **OUTPUT_SETTINGS,
}
"""The segment that is written to is never compacted, so it is closed every hour. Tombstones stay for a week: a reader that was
away for longer begins anew."""
PREVIEW_SETTINGS = {"cleanup.policy": "delete", "retention.ms": "3600000"}
PREVIEW_PARTITIONS_MAX = 3
LOG_MESSAGE_BYTES_MIN = 768 << 10
"""A chunk of a delta is at most 512 KB, and comes with its headers."""
REPLICAS_MAX = 3
MESSAGE_BYTES_DEFAULT = 1_048_588
VISIBLE_SECONDS_MAX = 15.0

Role = Literal["input", "table", "log", "rekeyed", "output", "latest", "previews"]
Action = Literal["none", "create", "refuse"]


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the cluster has it."""

    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def message_bytes_max(self) -> int:
        return int(self.settings.get("max.message.bytes", MESSAGE_BYTES_DEFAULT))


@dataclass(frozen=True, slots=True)
class World:
    """What the cluster has of a layout; topics that are not there, or that we may not see, are left out."""

    brokers: int
    topics: Mapping[str, Found]


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic: `partitions` and `settings` as wanted, `differences` as sentences. `refuse`: somebody has to decide."""

    topic: str
    role: Role
    exists: bool
    partitions: int
    settings: Mapping[str, str]
    differences: tuple[str, ...]
    action: Action


def plan(layout: Layout, world: World) -> list[TopicPlan]:
    """Inputs first. Nothing else is planned before the inputs agree on their number of partitions."""
    inputs = [_plan_input(topic, layout, world) for topic in sorted(layout.inputs)]
    inputs += [_plan_table(topic, layout, world) for topic in sorted({*layout.tables.values()} - {*layout.inputs})]
    if any(each.action == "refuse" for each in inputs):
        return inputs
    partitions = _tasks_of(layout, world)
    ours = [_plan_ours(layout.log, "log", partitions, LOG_SETTINGS, world)]
    rekeyed = sorted({*layout.rekeyed.values(), *layout.spread})
    ours += [_plan_ours(topic, "rekeyed", partitions, LOG_SETTINGS, world) for topic in rekeyed]
    plain = sorted(layout.outputs - layout.compacted - layout.spread)
    ours += [_plan_ours(topic, "output", partitions, OUTPUT_SETTINGS, world) for topic in plain]
    ours += [_plan_ours(topic, "latest", partitions, LATEST_SETTINGS, world) for topic in sorted(layout.compacted)]
    if layout.previews is not None:
        few = min(partitions, PREVIEW_PARTITIONS_MAX)
        ours.append(_plan_ours(layout.previews, "previews", few, PREVIEW_SETTINGS, world))
    if layout.spread:
        ours = [each if each.topic == layout.log else _of_another(each, world) for each in ours]
    return inputs + ours


def _tasks_of(layout: Layout, world: World) -> int:
    """How many tasks there are to be. Where all sources are rekeyed, that is free as long as there is no log."""
    topics = layout.partitioned_alike or [layout.log]
    known = [world.topics[topic].partitions for topic in topics if topic in world.topics]
    every = [world.topics[topic].partitions for topic in layout.inputs if topic in world.topics]
    return known[0] if known else max(every, default=1)


def _of_another(ours: TopicPlan, world: World) -> TopicPlan:
    """What a first stage writes to are topics of the pipeline that it works for: those have as many partitions as that."""
    found = world.topics.get(ours.topic)
    return ours if found is None else replace(ours, partitions=found.partitions, differences=(), action="none")


def _plan_input(topic: str, layout: Layout, world: World) -> TopicPlan:
    found = world.topics.get(topic)
    if found is None:
        missing = "does not exist, or may not be seen by this principal; create it, or correct the name"
        return TopicPlan(topic, "input", False, 0, {}, (missing,), "refuse")
    alike = layout.partitioned_alike if topic in layout.partitioned_alike else [topic]
    others = {other: world.topics[other].partitions for other in alike if other in world.topics}
    differing = [f"{other} has {count}" for other, count in sorted(others.items()) if count != found.partitions]
    differences: tuple[str, ...] = ()
    if differing:
        sentence = (
            f"has {found.partitions} partitions, but {', '.join(differing)}; inputs need the same number of them, "
            "or `rekey: true`"
        )
        differences = (sentence,)
    return TopicPlan(topic, "input", True, found.partitions, {}, differences, "refuse" if differences else "none")


def _plan_table(topic: str, layout: Layout, world: World) -> TopicPlan:
    found = world.topics.get(topic)
    if found is None:
        missing = "is a table and does not exist, or may not be seen by this principal; create it, or correct the name"
        return TopicPlan(topic, "table", False, 0, {}, (missing,), "refuse")
    counts = {_tasks_of(layout, world)}
    differences: tuple[str, ...] = ()
    if topic in layout.partitioned and counts - {found.partitions}:
        sources = ", ".join(map(str, sorted(counts)))
        expected = "a table that `expect` names is partitioned as the sources are"
        differences = (f"has {found.partitions} partitions, but the sources have {sources}; {expected}",)
    return TopicPlan(topic, "table", True, found.partitions, {}, differences, "refuse" if differences else "none")


def _plan_ours(topic: str, role: Role, partitions: int, settings: Mapping[str, str], world: World) -> TopicPlan:
    found = world.topics.get(topic)
    if found is None:
        replicas = min(REPLICAS_MAX, world.brokers)
        with_replicas = {**settings, "min.insync.replicas": str(max(1, replicas - 1))}
        return TopicPlan(topic, role, False, partitions, with_replicas, (), "create")
    differences = (*_partition_differences(role, partitions, found), *_setting_differences(topic, role, found))
    return TopicPlan(topic, role, True, partitions, settings, differences, "refuse" if differences else "none")


def _partition_differences(role: Role, partitions: int, found: Found) -> Iterable[str]:
    if role == "previews" or found.partitions == partitions:
        return
    counts = f"has {found.partitions} partitions, but the inputs have {partitions}"
    if role in ("log", "rekeyed"):
        yield f"{counts}: keys have moved, and the state did not follow; start anew under another namespace or name"
    else:
        yield f"{counts}: task p writes partition p only; name another topic, or make one with {partitions}"


def _setting_differences(topic: str, role: Role, found: Found) -> Iterable[str]:
    """Where other settings would lose what has to stay."""
    if role in ("log", "rekeyed"):
        wrong = _wrong(found, LOG_SETTINGS, "cleanup.policy", "retention.ms", "retention.bytes")
        if found.message_bytes_max < LOG_MESSAGE_BYTES_MIN:
            wrong["max.message.bytes"] = LOG_SETTINGS["max.message.bytes"]
        loss = "which would lose state" if role == "log" else "which would lose events"
    else:
        wrong = _wrong(found, LATEST_SETTINGS, "cleanup.policy") if role == "latest" else {}
        loss = "which would lose what is the case for long"
    if wrong:
        found_text = ", ".join(f"{name}={found.settings[name]}" for name in wrong)
        wanted = ",".join(f"{name}={value}" for name, value in wrong.items())
        yield (
            f"has {found_text}, {loss}; run kafka-configs.sh --alter --entity-type topics "
            f"--entity-name {topic} --add-config {wanted}"
        )


def _wrong(found: Found, settings: Mapping[str, str], *names: str) -> dict[str, str]:
    """What should stand there instead; of a setting that is not told nothing is wrong."""
    return {name: settings[name] for name in names if found.settings.get(name, settings[name]) != settings[name]}


def absent(topics: Sequence[str]) -> str:
    """What to say of topics that are not there, of one or of several."""
    return f"topic {topics[0]} does not exist" if len(topics) == 1 else f"topics {', '.join(topics)} do not exist"


def refuse(plans: Iterable[TopicPlan], where: str) -> None:
    """Raises Unreachable with everything that stands in the way."""
    problems = [f"topic {each.topic} {why}" for each in plans if each.action == "refuse" for why in each.differences]
    if problems:
        raise Unreachable("; ".join(problems), where=where, remedy="`penstock topics plan` shows all")


def not_compacted(layout: Layout, topics: Mapping[str, Found]) -> list[str]:
    """A warning for each table of which rows will be lost."""
    policies = {topic: topics[topic].settings.get("cleanup.policy", "compact") for topic in layout.tables.values()}
    return [
        f"the table {topic} has cleanup.policy={policy}: rows older than its retention are lost; it should be compact"
        for topic, policy in sorted(policies.items())
        if policy != "compact"
    ]


async def look(clients: Clients, admin: Admin, layout: Layout) -> World:
    """Raises Unreachable."""
    try:
        await admin.start()
        brokers = await admin.brokers()
        partitions = await admin.leaders(sorted({*layout.read, *layout.own}))
        settings = await admin.settings(sorted(partitions))
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, "looking at the topics") from error
    found = {name: Found(len(leading), settings.get(name, {})) for name, leading in partitions.items()}
    return World(brokers, found)


async def apply(clients: Clients, admin: Admin, plans: Sequence[TopicPlan], world: World) -> list[str]:
    """Creates what is to be created; returns its names once the cluster shows them. Raises Unreachable."""
    replicas = min(REPLICAS_MAX, world.brokers)
    new = [NewTopic(each.topic, each.partitions, replicas, each.settings) for each in plans if each.action == "create"]
    if not new:
        return []
    try:
        for topic, error in (await admin.create(new)).items():
            _check_refused(clients, topic, error)
        await _until_visible(admin, {each.name: each.partitions for each in new})
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, "creating topics") from error
    return [each.name for each in new]


def _check_refused(clients: Clients, topic: str, error: Exception) -> None:
    if isinstance(error, TopicAlreadyExistsError):  # another process was faster
        return
    if isinstance(error, TopicAuthorizationFailedError):
        raise TopicAuthorizationFailedError(topic)
    reason = error.args[0] if error.args else type(error).__name__
    raise Unreachable(
        f"topic {topic} cannot be created ({reason})", where=f"kafka {clients.address}",
        remedy="create it yourself: `penstock topics plan` shows how",
    )  # fmt: skip


async def _until_visible(admin: Admin, wanted: Mapping[str, int]) -> None:
    async with asyncio.timeout(VISIBLE_SECONDS_MAX):
        while True:
            found = await admin.leaders(wanted)
            if all(
                len(found.get(name, ())) == count and min(found[name].values()) >= 0 for name, count in wanted.items()
            ):
                return
            await asyncio.sleep(0.05)


async def plan_topics(layout: Layout, clients: Clients) -> list[TopicPlan]:
    """What `penstock topics plan` shows. Raises Unreachable."""
    return await _with_admin(layout, clients, create=False)


async def apply_topics(layout: Layout, clients: Clients) -> list[TopicPlan]:
    """Creates what `plan_topics` says; returns that plan. Raises Unreachable, also when something is refused."""
    return await _with_admin(layout, clients, create=True)


async def _with_admin(layout: Layout, clients: Clients, *, create: bool) -> list[TopicPlan]:
    await clients.probe()
    admin = clients.admin()
    try:
        world = await look(clients, admin, layout)
        plans = plan(layout, world)
        if create:
            refuse(plans, f"kafka {clients.address}")
            await apply(clients, admin, plans, world)
        return plans
    finally:
        await stop_within(2, admin.stop)
