"""Kafka workers are killed and stopped while the ssh example is produced and answered: nothing is lost, nothing comes twice."""

from __future__ import annotations

from random import Random

from tests.e2e.deployment import Deployment, undisturbed
from tests.e2e.ssh_stream import generated, records
from tests.e2e.torture import SLOW, torture
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import Trial, unique_name

from penstock.pipelines.torture_processes import simulated_model

SECONDS_MAX = 60.0


def test_twenty_kills_and_five_stops_neither_lose_nor_double_anything(kafka_transport: KafkaTransport) -> None:
    stream = records([*generated(3, 3, "eu-"), *generated(4, 3, "us-")])
    source, session = unique_name("auth"), kafka_transport.session_timeout()
    deployment = Deployment(unique_name("kill"), source, (f"kafka.session_timeout={session}ms",))
    trial = Trial(kafka_transport, deployment, undisturbed(source, stream))
    kafka_transport.create(source)
    with simulated_model(*SLOW) as model, trial.workers(model) as group:
        torture(trial, group, stream, Random(20), kills=20, stops=5, stopped=session * 1.5 / 1000)
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
        ledger = trial.check(group)
    assert max(ledger.attempts()) > 1, "no strike has met an open run"
    assert ledger.partial_count() > 0
