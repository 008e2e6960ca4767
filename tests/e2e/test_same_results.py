"""The ssh example tells the same, whatever it runs on and however it is cut: run by run, answer by answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.e2e.deployment import Deployment, told_in_memory, undisturbed
from tests.e2e.ledger import Told
from tests.e2e.ssh_stream import Written, generated, recorded, records
from tests.e2e.transport import KafkaTransport, SqliteTransport, Transport
from tests.e2e.trial import Trial, unique_name

SECONDS_MAX = 60.0

batches = pytest.mark.parametrize("batch", [1, 500])
processes = pytest.mark.parametrize("count", [1, 3])


@pytest.fixture(scope="module")
def stream(recordings: Path) -> list[Written]:
    """Real lines of one host and generated ones of eight others."""
    return records([*recorded(recordings), *generated(3, 3, "eu-"), *generated(4, 3, "us-")])


@pytest.fixture(scope="module")
def source() -> str:
    return unique_name("auth")


@pytest.fixture(scope="module")
def expected(source: str, stream: Sequence[Written]) -> Mapping[Told, str]:
    return undisturbed(source, stream)


@pytest.fixture(scope="module")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory, source: str, stream: Sequence[Written]) -> Transport:
    return _filled(SqliteTransport(tmp_path_factory.mktemp("sqlite") / "topics.db"), source, stream)


@pytest.fixture(scope="module")
def filled_kafka(kafka_transport: KafkaTransport, source: str, stream: Sequence[Written]) -> Transport:
    return _filled(kafka_transport, source, stream)


def _filled(transport: Transport, source: str, stream: Sequence[Written]) -> Transport:
    transport.create(source)
    transport.produce(source, stream)
    return transport


def test_the_stream_has_something_of_everything_to_tell(expected: Mapping[Told, str]) -> None:
    states = [state for _, state in expected]
    assert {state: states.count(state) for state in sorted(set(states))}.keys() == {"dead", "final", "resolved"}
    triggers = {
        trigger for text in expected.values() for trigger in ("brute_force", "spray", "digest") if trigger in text
    }
    assert triggers == {"brute_force", "spray", "digest"}


@batches
@processes
def test_memory_tells_the_same(
    source: str, stream: Sequence[Written], expected: Mapping[Told, str], count: int, batch: int
) -> None:
    assert told_in_memory(source, stream, workers=count, batch=batch).differences(expected) == []


@batches
@processes
@pytest.mark.parametrize("kind", ["sqlite", "kafka"])
def test_processes_tell_the_same(
    request: pytest.FixtureRequest, source: str, expected: Mapping[Told, str], quick_model: str,
    kind: str, count: int, batch: int,
) -> None:  # fmt: skip
    transport: Transport = request.getfixturevalue(f"filled_{kind}")
    trial = Trial(transport, Deployment(unique_name("same"), source), expected)
    with trial.workers(quick_model, "--batch", str(batch)) as group:
        for _ in range(count):
            group.start()
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
        trial.check(group)
