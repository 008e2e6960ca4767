"""Routes and what is the case now, told by processes of which one is killed in the middle of a commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from tests.command_line import written
from tests.e2e.processes import penstock
from tests.e2e.ssh_stream import Written
from tests.e2e.transport import KafkaTransport, SqliteTransport, Transport
from tests.e2e.trial import unique_name

from penstock.connectors.failpoint import VARIABLE
from penstock.connectors.kafka_topics import LATEST_SETTINGS
from penstock.operators.record import Raw

HOSTS = tuple(f"web-{number}" for number in range(6))
PIPELINE = """
penstock: v1
name: rules
namespace: NAME
sources:
  auth: {topic: NAME.auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
triggers:
  down: {when: 'event.x == "down"', until: 'event.x == "up"', cooldown: 0s, agent: none, labels: {severity: page}}
  odd: {each: 'event.x == "odd"', cooldown: 0s, agent: none}
outputs:
  latest: {topic: NAME.open, keep: 1h}
  routes:
    - {topic: NAME.pages, where: 'labels.severity == "page"'}
    - {topic: NAME.pages, where: 'state == "resolved"'}
"""


def events(second: int, *happened: str) -> list[Written]:
    """The same for every host, a second after the other."""
    return [
        Written(host.encode(), json.dumps({"host": host, "t": at, "x": x}).encode(), 1000 * at)
        for at, x in enumerate(happened, start=second)
        for host in HOSTS
    ]


def folded(raws: Sequence[Raw]) -> list[tuple[str, str, str]]:
    """(host, trigger, state) of what a reader finds who begins at the beginning."""
    cases: dict[bytes | None, bytes | None] = {raw.key: raw.value for raw in raws}
    values: list[dict[str, Any]] = [json.loads(value) for value in cases.values() if value is not None]
    return sorted((value["key"], value["triggers"][0], value["state"]) for value in values)


def told_by_two(transport: Transport, folder: Path, name: str) -> None:
    """The first process dies when the outputs of its fifth commit lie there, undecided; the second one goes on."""
    file, sets = (
        written(folder, PIPELINE.replace("NAME", name)),
        [part for each in transport.sets for part in ("--set", each)],
    )
    run = ["run", str(file), "--broker", transport.broker, *sets, "--until-idle", "2"]
    transport.create(f"{name}.auth")
    transport.produce(f"{name}.auth", events(0, "-", "down", "odd", "up", "down"))
    point = "outputs_sent" if transport.broker == "kafka" else "sqlite_records_written"
    assert penstock(*run, **{VARIABLE: f"{point}@5"}).returncode == -9
    transport.produce(f"{name}.auth", events(4000, "-", "odd"))
    done = penstock(*run)
    assert done.returncode == 0, done.stderr


def check(transport: Transport, name: str) -> None:
    assert folded(transport.read(f"{name}.open")) == sorted(
        [(host, "down", "final") for host in HOSTS] + [(host, "odd", "final") for host in HOSTS]
    )
    results = transport.read(f"{name}.rules.results")
    assert len(results) == 5 * len(HOSTS)
    assert _bytes(transport.read(f"{name}.pages")) == _bytes(
        [raw for raw in results if b'"severity":"page"' in (raw.value or b"")]
    )
    tombstones = [raw.key for raw in transport.read(f"{name}.open") if raw.value is None]
    assert len(tombstones) == len(HOSTS), "the first `odd` of each is over; its first `down` was replaced"


def _bytes(raws: Sequence[Raw]) -> list[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]:
    return [(raw.key, raw.value, tuple(raw.headers)) for raw in raws]


def test_on_a_file_a_reader_finds_what_is_open_and_the_pages_that_were_routed(
    sqlite: SqliteTransport, tmp_path: Path
) -> None:
    told_by_two(sqlite, tmp_path, "local")
    check(sqlite, "local")


@pytest.mark.timeout(120)
def test_on_kafka_a_reader_finds_what_is_open_on_a_compacted_topic(
    kafka_transport: KafkaTransport, tmp_path: Path
) -> None:
    name = unique_name("outputs")
    told_by_two(kafka_transport, tmp_path, name)
    check(kafka_transport, name)
    admin = AdminClient({"bootstrap.servers": kafka_transport.bootstrap})
    (asked,) = admin.describe_configs([ConfigResource("topic", f"{name}.open")]).values()
    found = {setting: entry.value for setting, entry in asked.result(20).items()}
    assert {setting: found[setting] for setting in LATEST_SETTINGS} == LATEST_SETTINGS
