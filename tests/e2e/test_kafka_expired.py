"""A broker forgets the transactional id of a task that was idle for too long; by default after a week."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment, undisturbed
from tests.e2e.processes import until
from tests.e2e.ssh_stream import generated, records
from tests.e2e.torture import part
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import LOG_CHARACTERS_MAX, Trial
from tests.kafka_cluster import kafka_with

from penstock.connectors.kafka_error import FORGOTTEN

pytestmark = pytest.mark.timeout(120)

FORGETFUL = {
    "transactional.id.expiration.ms": 1_000,
    "transaction.remove.expired.transaction.cleanup.interval.ms": 300,
}
IDLE_SECONDS, PARTS, SECONDS_MAX = 3.0, 3, 60.0


def test_a_task_whose_transactional_id_has_expired_is_opened_again_and_goes_on(
    tmp_path: Path, quick_model: str
) -> None:
    stream = records(generated(3, 2, "eu-"))
    deployment = Deployment("expired", "auth")
    with kafka_with(tmp_path, FORGETFUL) as kafka:
        trial = Trial(KafkaTransport(kafka.bootstrap), deployment, undisturbed(deployment.source, stream))
        trial.transport.create(deployment.source)
        with trial.workers(quick_model) as group:
            group.start()
            assert until(lambda: group.log().count(" opened in ") == PARTITIONS, SECONDS_MAX), group.log()
            for number in range(PARTS):
                time.sleep(IDLE_SECONDS)  # an id expires with time alone, and every commit gives it more
                trial.transport.produce(deployment.source, part(stream, number, PARTS))
            trial.wait_until_told(group, SECONDS_MAX)
            trial.stop(group)
            trial.check(group)
            log = group.log()
    lost = f"it is not known whether a commit went through ({FORGOTTEN})"
    assert log.count(lost) >= PARTITIONS, log[-LOG_CHARACTERS_MAX:]
