from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.connectors.kafka_topics import (
    LATEST_SETTINGS,
    LOG_SETTINGS,
    Found,
    TopicPlan,
    World,
    absent,
    plan,
    refuse,
)
from penstock.connectors.port import Layout
from penstock.operators.error import Unreachable

LAYOUT = Layout("dev", "p", {"a": "earliest", "b": "earliest"}, frozenset({"results"}), "previews")
INPUTS = {"a": Found(6), "b": Found(6)}


def planned(topics: dict[str, Found], brokers: int = 3) -> dict[str, TopicPlan]:
    return {each.topic: each for each in plan(LAYOUT, World(brokers, topics))}


def test_what_is_missing_is_planned_with_the_partitions_of_the_inputs() -> None:
    plans = planned(INPUTS)
    assert [(each.topic, each.action, each.partitions) for each in plans.values()] == [
        ("a", "none", 6), ("b", "none", 6), ("dev.p.log", "create", 6), ("results", "create", 6), ("previews", "create", 3),
    ]  # fmt: skip
    assert plans["dev.p.log"].settings == {**LOG_SETTINGS, "min.insync.replicas": "2"}
    assert plans["results"].settings == {"max.message.bytes": "8388608", "min.insync.replicas": "2"}


def test_one_broker_keeps_one_replica() -> None:
    assert planned(INPUTS, brokers=1)["dev.p.log"].settings["min.insync.replicas"] == "1"


def test_nothing_else_is_planned_before_the_inputs_are_there() -> None:
    plans = planned({"a": Found(6)})
    assert [(each.topic, each.action) for each in plans.values()] == [("a", "none"), ("b", "refuse")]


def test_everything_that_stands_in_the_way_is_said_at_once() -> None:
    log = Found(6, {**LOG_SETTINGS, "retention.ms": "604800000", "cleanup.policy": "compact,delete"})
    with pytest.raises(Unreachable) as refused:
        refuse(planned({**INPUTS, "dev.p.log": log, "results": Found(2)}).values(), "kafka here")
    assert str(refused.value) == (
        "kafka here: topic dev.p.log has cleanup.policy=compact,delete, retention.ms=604800000, which would lose state; "
        "run kafka-configs.sh --alter --entity-type topics --entity-name dev.p.log "
        "--add-config cleanup.policy=delete,retention.ms=-1; "
        "topic results has 2 partitions, but the inputs have 6: task p writes partition p only; name another topic, "
        "or make one with 6 (`penstock topics plan` shows all)"
    )


def test_what_is_not_there_is_named_in_the_number_that_it_has() -> None:
    assert absent(["a"]) == "topic a does not exist"
    assert absent(["a", "b"]) == "topics a, b do not exist"


def test_topics_as_they_should_be_are_left_alone() -> None:
    plans = planned({**INPUTS, "dev.p.log": Found(6, LOG_SETTINGS), "results": Found(6), "previews": Found(1)})
    assert {each.action for each in plans.values()} == {"none"}
    refuse(plans.values(), "kafka here")


COMPACTED = replace(LAYOUT, outputs=frozenset({"results", "open"}), compacted=frozenset({"open"}))


def planned_latest(found: Found | None) -> TopicPlan:
    topics = INPUTS if found is None else {**INPUTS, "open": found}
    (latest,) = [each for each in plan(COMPACTED, World(3, topics)) if each.topic == "open"]
    return latest


def test_a_compacted_output_is_created_so_that_it_is_compacted_soon() -> None:
    latest = planned_latest(None)
    assert (latest.role, latest.action, latest.partitions) == ("latest", "create", 6)
    assert latest.settings == {**LATEST_SETTINGS, "min.insync.replicas": "2"}
    assert latest.settings["cleanup.policy"] == "compact"


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_compacted_output_that_would_lose_what_is_open_for_long_is_refused(policy: str) -> None:
    latest = planned_latest(Found(6, {"cleanup.policy": policy, "segment.ms": "1"}))
    assert latest.action == "refuse"
    (sentence,) = latest.differences
    assert sentence.startswith(
        f"has cleanup.policy={policy}, which would lose what is the case for long; run kafka-configs.sh"
    )
    assert sentence.endswith("--entity-name open --add-config cleanup.policy=compact")


def test_other_settings_of_a_compacted_output_are_the_users() -> None:
    assert planned_latest(Found(6, {"cleanup.policy": "compact", "segment.ms": "1"})).action == "none"


REKEYED = replace(LAYOUT, rekeyed={"b": "dev.p.rekey.b"})
FIRST = Layout(
    "dev", "p.rekey.b", {"b": "earliest"}, frozenset({"dev.p.rekey.b", "dead"}), spread=frozenset({"dev.p.rekey.b"})
)


def planned_for(layout: Layout, topics: dict[str, Found]) -> dict[str, TopicPlan]:
    return {each.topic: each for each in plan(layout, World(3, topics))}


def test_a_rekeyed_source_may_have_another_number_of_partitions_and_its_topic_has_that_of_the_tasks() -> None:
    plans = planned_for(REKEYED, {"a": Found(6), "b": Found(4)})
    assert {each.action for each in plans.values()} == {"none", "create"}
    between = plans["dev.p.rekey.b"]
    assert (between.role, between.partitions, between.settings["retention.ms"]) == ("rekeyed", 6, "-1")


def test_where_every_source_is_rekeyed_there_are_as_many_tasks_as_the_largest_has_partitions_or_the_log_had() -> None:
    layout = replace(REKEYED, rekeyed={"a": "dev.p.rekey.a", "b": "dev.p.rekey.b"})
    topics = {"a": Found(2), "b": Found(4)}
    assert planned_for(layout, topics)["dev.p.rekey.a"].partitions == 4
    assert planned_for(layout, {**topics, "dev.p.log": Found(3)})["dev.p.rekey.a"].partitions == 3


def test_a_topic_between_that_would_lose_events_or_has_other_partitions_is_refused() -> None:
    found = Found(4, {**LOG_SETTINGS, "retention.ms": "604800000"})
    refused = planned_for(REKEYED, {"a": Found(6), "b": Found(4), "dev.p.rekey.b": found})["dev.p.rekey.b"]
    assert refused.action == "refuse"
    assert [each.split(";")[0] for each in refused.differences] == [
        "has 4 partitions, but the inputs have 6: keys have moved, and the state did not follow",
        "has retention.ms=604800000, which would lose events",
    ]


def test_a_first_stage_writes_to_topics_of_the_pipeline_however_many_partitions_they_have() -> None:
    topics = {"b": Found(4), "dev.p.rekey.b": Found(6), "dead": Found(6)}
    plans = planned_for(FIRST, topics)
    assert [(each.topic, each.action, each.partitions) for each in plans.values()] == [
        ("b", "none", 4), ("dev.p.rekey.b.log", "create", 4), ("dev.p.rekey.b", "none", 6), ("dead", "none", 6),
    ]  # fmt: skip
