"""What has to be there before a pipeline runs: created where it may be, refused in a sentence where not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kafka_world import KafkaWorld

from penstock.connectors.kafka_topics import apply_topics, plan_topics
from penstock.connectors.port import Layout
from penstock.operators.error import Unreachable

pytestmark = pytest.mark.timeout(60)


async def test_missing_topics_are_created_and_named(kafka: KafkaWorld) -> None:
    await kafka.create(partitions=3)
    broker = await kafka.broker()
    prefix = f"{kafka.name}.p"
    assert sorted(broker.created) == [f"{prefix}.log", f"{prefix}.previews", f"{prefix}.results"]
    plans = {each.topic: each for each in await plan_topics(kafka.layout(), kafka.clients)}
    assert {each.action for each in plans.values()} == {"none"}
    assert plans[f"{prefix}.log"].partitions == 3
    assert (await kafka.broker()).created == []


async def test_a_plan_creates_nothing(kafka: KafkaWorld) -> None:
    await kafka.create()
    for _ in range(2):
        plans = await plan_topics(kafka.layout(), kafka.clients)
        assert [each.action for each in plans] == ["none", "create", "create", "create"]
    applied = await apply_topics(kafka.layout(), kafka.clients)
    assert applied == plans
    assert {each.action for each in await plan_topics(kafka.layout(), kafka.clients)} == {"none"}


async def test_a_missing_source_is_never_created(kafka: KafkaWorld) -> None:
    with pytest.raises(Unreachable, match=f"topic {kafka.name}.in does not exist"):
        await kafka.broker()
    with pytest.raises(Unreachable, match=f"topic {kafka.name}.in does not exist"):
        await kafka.broker()


async def test_sources_with_different_numbers_of_partitions_are_refused(kafka: KafkaWorld) -> None:
    await kafka.create("a", 2)
    await kafka.create("b", 3)
    with pytest.raises(Unreachable, match=r"a has 2 partitions, but \S+\.b has 3"):
        await kafka.broker(kafka.layout("a", "b"))


async def test_without_leave_to_create_topics_the_missing_ones_are_named(kafka: KafkaWorld) -> None:
    await kafka.create()
    settings = kafka.settings.model_copy(update={"create_topics": False})
    with pytest.raises(Unreachable, match=r"topics \S+p\.log, .* do not exist \(run `penstock topics apply`"):
        await kafka.broker(settings=settings)


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
    kafka: KafkaWorld, settings: dict[str, str], sentence: str
) -> None:
    await kafka.create()
    await kafka.create("p.log", settings=settings)
    with pytest.raises(Unreachable, match=sentence):
        await kafka.broker()


async def test_a_log_with_another_number_of_partitions_is_refused(kafka: KafkaWorld) -> None:
    await kafka.create(partitions=2)
    await kafka.create("p.log", partitions=1)
    with pytest.raises(Unreachable, match="has 1 partitions, but the inputs have 2: keys have moved"):
        await kafka.broker()


async def test_an_output_of_the_users_own_with_another_number_of_partitions_is_refused(kafka: KafkaWorld) -> None:
    await kafka.create(partitions=2)
    own = await kafka.create("own", partitions=3)
    layout: Layout = replace(kafka.layout(), outputs=frozenset({own}))
    with pytest.raises(
        Unreachable, match="own has 3 partitions, but the inputs have 2: task p writes partition p only"
    ):
        await kafka.broker(layout)
