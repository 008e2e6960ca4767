"""What somebody gets who knows nothing of Penstock but the documents: librdkafka, CloudEvents, JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator
from tests.e2e.deployment import Deployment, undisturbed
from tests.e2e.processes import penstock
from tests.e2e.ssh_stream import generated, records
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import Trial, unique_name

from penstock.operators.record import Raw
from penstock.pipelines.torture_processes import simulated_model

SECONDS_MAX = 60.0
SLOW = ("--tokens-per-second", "50")
"""Slow enough for partials."""


@pytest.fixture(scope="module")
def trial(kafka_transport: KafkaTransport) -> Trial:
    """A deployment that has told everything."""
    source, stream = unique_name("auth"), records(generated(3, 1))
    trial = Trial(kafka_transport, Deployment(unique_name("read"), source), undisturbed(source, stream))
    kafka_transport.create(source)
    kafka_transport.produce(source, stream)
    with simulated_model(*SLOW) as model, trial.workers(model) as group:
        group.start()
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
    return trial


@pytest.fixture(scope="module")
def revisions(trial: Trial) -> Sequence[Raw]:
    """The whole revision stream."""
    return trial.transport.read(trial.deployment.partials)


def event_of(raw: Raw) -> BaseCloudEvent:
    assert raw.value is not None
    return from_binary(KafkaMessage(dict(raw.headers), raw.key, raw.value), JSONFormat())


def test_headers_and_value_are_one_cloud_event(revisions: Sequence[Raw], trial: Trial) -> None:
    for raw in revisions:
        event, value = event_of(raw), json.loads(raw.value or b"")
        assert event.get_data() == value
        assert event.get_id() == f"{value['run']}/{value['rev']}"
        assert event.get_type() == f"penstock.{value['state']}.v1"
        assert event.get_source() == f"/penstock/{trial.deployment.name}/ssh-watch"
        assert event.get_subject() == value["key"] == (raw.key or b"").decode()
        assert event.get_datacontenttype() == "application/json"
        assert event.get_extension("causationid") == value["why"]["fired_by"]
        assert event.get_extension("severitytext") == value["labels"]["severity"]


def test_ids_are_unique_within_a_topic(revisions: Sequence[Raw]) -> None:
    ids = [event_of(raw).get_id() for raw in revisions]
    assert len(set(ids)) == len(ids)


def test_an_episode_correlates_its_records_and_begins_when_its_event_says(revisions: Sequence[Raw]) -> None:
    episodes = [raw for raw in revisions if json.loads(raw.value or b"")["episode"]]
    assert episodes
    for raw in episodes:
        event, value = event_of(raw), json.loads(raw.value or b"")
        assert event.get_extension("correlationid") == value["episode"]["id"]
        time = event.get_time()
        assert time is not None
        assert time.isoformat(timespec="milliseconds").replace("+00:00", "Z") == value["episode"]["starts_at"]


def test_every_value_is_what_the_schema_says(revisions: Sequence[Raw]) -> None:
    schema = json.loads(penstock("schema", "result").stdout)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for raw in revisions:
        validator.validate(json.loads(raw.value or b""))
    assert {json.loads(raw.value or b"")["state"] for raw in revisions} == {"partial", "final", "resolved"}


def test_what_a_simulated_model_said_is_labelled(revisions: Sequence[Raw]) -> None:
    answered = [value for value in (json.loads(raw.value or b"") for raw in revisions) if value["why"]["route"]]
    assert answered
    assert all(value["simulated"] for value in answered)
