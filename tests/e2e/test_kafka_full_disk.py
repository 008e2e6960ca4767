"""The disk of a broker is full: it ends, and the workers wait for it with a sentence until there is room again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment, undisturbed
from tests.e2e.processes import until
from tests.e2e.ssh_stream import generated, records
from tests.e2e.torture import BRISK
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import Trial
from tests.kafka_cluster import kafka_with
from tests.small_disk import fill, make_room, small_disk

from penstock.pipelines.torture_kafka import LocalKafka
from penstock.pipelines.torture_processes import simulated_model

pytestmark = pytest.mark.timeout(120)

DISK, LEFT = 32 << 20, 100 << 10
"""Bytes: of the disk, and of what is left on it when there is much to be written."""
AWAY = "no broker answers while connecting (is it up"
SECONDS_MAX = 60.0


def has_ended(kafka: LocalKafka) -> bool:
    process = kafka.nodes[0].process
    return process is None or process.poll() is not None


def test_a_broker_whose_disk_was_full_comes_back_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    stream = records([*generated(3, 3, "eu-"), *generated(4, 3, "us-")])
    deployment = Deployment("full", "auth", ("kafka.transaction_timeout=2s",))
    with (
        small_disk(tmp_path / "disk", DISK) as disk,
        kafka_with(tmp_path, {"log.dirs": disk / "data"}) as kafka,
        simulated_model(*BRISK) as model,
    ):
        trial = Trial(KafkaTransport(kafka.bootstrap), deployment, undisturbed(deployment.source, stream))
        trial.transport.create(deployment.source)
        with trial.workers(model) as group:
            worker = group.start()
            assert until(lambda: group.log().count(" opened in ") == PARTITIONS, SECONDS_MAX), group.log()
            worker.send_signal(signal.SIGSTOP)  # so that the disk is full by what it writes, not by its source
            trial.transport.produce(deployment.source, stream)
            fill(disk, LEFT)
            worker.send_signal(signal.SIGCONT)
            assert until(lambda: has_ended(kafka), SECONDS_MAX), group.log()
            assert until(lambda: AWAY in group.log(), SECONDS_MAX), group.log()
            make_room(disk)
            kafka.kill(0)
            kafka.launch(0)
            kafka.await_ready()
            trial.wait_until_told(group, SECONDS_MAX)
            trial.stop(group)
            trial.check(group)
