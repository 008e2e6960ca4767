"""A worker is killed once at every point of the table while the ssh example is worked on, and the next one goes on from there."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment, undisturbed
from tests.e2e.processes import until
from tests.e2e.ssh_stream import Written, generated, records
from tests.e2e.torture import BRISK, part
from tests.e2e.transport import KafkaTransport, SqliteTransport, Transport
from tests.e2e.trial import LOG_CHARACTERS_MAX, Trial, unique_name
from tests.kafka_cut import END_TXN, Cut, cut_beside

from penstock.connectors.failpoint import FAILPOINTS, VARIABLE
from penstock.pipelines.poison import SUSPICIOUS_DEATHS
from penstock.pipelines.torture_processes import Process, Workers, simulated_model

OPENING = frozenset({"opening", "fenced", "log_read", "outputs_checked", "restored", "inputs_begun", "opened"})
"""Passed once per task: the second time one task is open already, and another one is not."""
COMMITTING = frozenset(
    {
        "transaction_begun",
        "delta_sent",
        "delta_acknowledged",
        "outputs_sent",
        "outputs_acknowledged",
        "commit_decided",
        "sqlite_commit_begun",
        "sqlite_records_written",
        "sqlite_committed",
    }
)
"""Passed with `opened` of every task first: after that outcomes or state are committed."""
RESENDING = frozenset({"epoch_abandoned", "epoch_retired"})
"""Passed after the answer to a commit was lost."""
AWAITED = "release_awaited"
"""Passed where the predecessor died with the task open: the first one opens logs that are empty."""
TRIAL = "trial_fed"
"""Passed where several in a row have committed nothing but that they have opened the task."""
AT_THE_END = frozenset({"releasing", "released", "log_closed", "leaving"})
"""Passed by a process that was told to stop."""
SECONDS_MAX = 60.0


def die_everywhere(
    trial: Trial, group: Workers, stream: Sequence[Written], points: Iterable[str], way: Cut | None = None
) -> None:
    """One process after the other, each with a part of the stream: the last part is for one that lives.

    `way` leads to the same Kafka, and loses an answer for those who are to send something again.
    """
    deaths = list(armed(points))
    for number, (point, passed) in enumerate(deaths):
        detour: tuple[str, ...] = ()
        if way is not None and point in RESENDING:
            detour = ("--set", f"kafka.bootstrap={way.bootstrap}")
            way.strike(END_TXN, "cut")
        victim = group.start(*detour, **{VARIABLE: f"{point}@{passed}"})
        trial.transport.produce(trial.deployment.source, part(stream, number, len(deaths) + 1))
        if point in AT_THE_END:
            assert has_opened_all(group, victim), group.log()[-LOG_CHARACTERS_MAX:]
            victim.terminate()
        assert kills_itself(group, victim), f"{point} was not passed\n{group.log()[-LOG_CHARACTERS_MAX:]}"
    trial.transport.produce(trial.deployment.source, part(stream, len(deaths), len(deaths) + 1))
    group.start()
    trial.wait_until_told(group, SECONDS_MAX)
    trial.stop(group)
    trial.check(group)


def has_opened_all(group: Workers, process: Process) -> bool:
    """Wait until it has opened every task, not for ever; whether it has."""
    return until(lambda: group.openings(process) >= PARTITIONS, SECONDS_MAX)


def kills_itself(group: Workers, process: Process) -> bool:
    """Wait for that, not for ever; whether it happened."""
    group.dismissed.add(process)
    return until(lambda: process.poll() is not None, SECONDS_MAX, 0.02) and process.returncode == -signal.SIGKILL


def armed(points: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Each point, and how often it has to be passed."""
    for point in points:
        yield point, 2 if point in OPENING else 2 * PARTITIONS if point in COMMITTING else 1


def test_on_kafka_a_worker_that_dies_at_any_point_loses_and_doubles_nothing(kafka_transport: KafkaTransport) -> None:
    points = [name for name in FAILPOINTS if not name.startswith("sqlite_") and name not in (AWAITED, TRIAL)]
    points.insert(points.index("opened") + 1, AWAITED)
    stream = records([*generated(3, 3, "eu-"), *generated(4, 3, "us-")])
    source, session = unique_name("auth"), kafka_transport.session_timeout()
    deployment = Deployment(unique_name("points"), source, (f"kafka.session_timeout={session}ms",))
    trial = Trial(kafka_transport, deployment, undisturbed(source, stream))
    kafka_transport.create(source)
    with (
        cut_beside(kafka_transport.bootstrap) as way,
        simulated_model(*BRISK) as model,
        trial.workers(model) as group,
    ):
        die_everywhere(trial, group, stream, points, way)


def test_on_sqlite_a_worker_that_dies_at_any_point_loses_and_doubles_nothing(sqlite: SqliteTransport) -> None:
    points = [name for name in FAILPOINTS if name.startswith("sqlite_")]
    stream = records([*generated(3, 3, "eu-"), *generated(4, 3, "us-")])
    deployment = Deployment("points", "auth", ("kafka.session_timeout=1s",))
    trial = Trial(sqlite, deployment, undisturbed(deployment.source, stream))
    sqlite.create(deployment.source)
    with simulated_model(*BRISK) as model, trial.workers(model) as group:
        die_everywhere(trial, group, stream, points)


@pytest.mark.parametrize("kind", ["sqlite", "kafka_transport"])
def test_a_worker_that_dies_with_a_record_fed_alone_loses_and_doubles_nothing(
    request: pytest.FixtureRequest, kind: str, quick_model: str
) -> None:
    """All those that die work on one task, whatever the broker says: so none of them commits anything else meanwhile."""
    transport: Transport = request.getfixturevalue(kind)
    stream = records(generated(3, 1, "eu-"))
    deployment = Deployment(unique_name("trial"), unique_name("auth"), ("kafka.session_timeout=2s",))
    trial = Trial(transport, deployment, undisturbed(deployment.source, stream))
    transport.create(deployment.source)
    transport.produce(deployment.source, part(stream, 0, 5))
    with trial.workers(quick_model) as group:
        for point in ["opened"] * SUSPICIOUS_DEATHS + [TRIAL]:
            victim = group.start("--claim", "1", **{VARIABLE: point})
            assert kills_itself(group, victim), f"{point} was not passed\n{group.log()[-LOG_CHARACTERS_MAX:]}"
        transport.produce(deployment.source, stream[len(part(stream, 0, 5)) :])
        group.start()
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
        trial.check(group)
