"""What has to be there before a pipeline runs: created where it may be, refused in a sentence where not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kafka_world import KafkaWorld

from penstock.connectors.kafka_topics import apply_topics, plan_topics
from penstock.connectors.port import Layout
from penstock.operators.error import Unreachable

pytestmark = pytest.mark.timeout(60)


async def test_missing_topics_are_created_and_named(world: KafkaWorld) -> None:
    await world.create(partitions=3)
    broker = await world.broker()
    prefix = f"{world.name}.p"
    assert sorted(broker.created) == [f"{prefix}.log", f"{prefix}.previews", f"{prefix}.results"]
    plans = {each.topic: each for each in await plan_topics(world.layout(), world.settings)}
    assert {each.action for each in plans.values()} == {"none"}
    assert plans[f"{prefix}.log"].partitions == 3
    assert (await world.broker()).created == []


async def test_a_plan_creates_nothing(world: KafkaWorld) -> None:
    await world.create()
    for _ in range(2):
        plans = await plan_topics(world.layout(), world.settings)
        assert [each.action for each in plans] == ["none", "create", "create", "create"]
    applied = await apply_topics(world.layout(), world.settings)
    assert applied == plans
    assert {each.action for each in await plan_topics(world.layout(), world.settings)} == {"none"}


async def test_a_missing_source_is_never_created(world: KafkaWorld) -> None:
    with pytest.raises(Unreachable, match=f"topic {world.name}.in does not exist"):
        await world.broker()
    with pytest.raises(Unreachable, match=f"topic {world.name}.in does not exist"):
        await world.broker()


async def test_sources_with_different_numbers_of_partitions_are_refused(world: KafkaWorld) -> None:
    await world.create("a", 2)
    await world.create("b", 3)
    with pytest.raises(Unreachable, match=r"a has 2 partitions, but \S+\.b has 3"):
        await world.broker(world.layout("a", "b"))


async def test_without_leave_to_create_topics_the_missing_ones_are_named(world: KafkaWorld) -> None:
    await world.create()
    settings = world.settings.model_copy(update={"create_topics": False})
    with pytest.raises(Unreachable, match=r"p\.log, .*does not exist \(run `penstock topics apply`"):
        await world.broker(settings=settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"retention.ms": "86400000"}, "retention.ms=86400000, which would lose state"),
        ({"retention.bytes": "1000000"}, "retention.bytes=1000000, which would lose state"),
        ({"cleanup.policy": "compact"}, "cleanup.policy=compact, which would lose state"),
        ({"max.message.bytes": "100000"}, "max.message.bytes=100000, which would lose state"),
    ],
)
async def test_a_log_that_would_lose_state_is_refused(
    world: KafkaWorld, settings: dict[str, str], sentence: str
) -> None:
    await world.create()
    await world.create("p.log", settings=settings)
    with pytest.raises(Unreachable, match=sentence):
        await world.broker()


async def test_a_log_with_another_number_of_partitions_is_refused(world: KafkaWorld) -> None:
    await world.create(partitions=2)
    await world.create("p.log", partitions=1)
    with pytest.raises(Unreachable, match="has 1 partitions, but the inputs have 2: keys have moved"):
        await world.broker()


async def test_an_output_of_the_users_own_with_another_number_of_partitions_is_refused(world: KafkaWorld) -> None:
    await world.create(partitions=2)
    own = await world.create("own", partitions=3)
    layout: Layout = replace(world.layout(), outputs=frozenset({own}))
    with pytest.raises(
        Unreachable, match="own has 3 partitions, but the inputs have 2: task p writes partition p only"
    ):
        await world.broker(layout)
