"""The short form of `make torture`: real workers and a real broker are struck, and the books are right."""

from __future__ import annotations

import signal
import subprocess

import orjson
import psutil
import pytest
from confluent_kafka.admin import AdminClient
from tests.e2e.processes import until
from tests.kafka_cluster import Kafka

from penstock.pipelines.torture_kafka import NoKafka, find_jars
from penstock.pipelines.torture_processes import PENSTOCK

pytestmark = pytest.mark.timeout(180)

SECONDS_MAX = 150.0
PROCESSES, INTERRUPTED = 5, 130
"""A broker, a model server, three workers; and what a shell calls a Ctrl-C."""


@pytest.fixture(scope="module", autouse=True)
def local_kafka_can_be_had() -> None:
    try:
        find_jars()
    except NoKafka as reason:
        pytest.skip(str(reason))


def test_three_cycles_of_faults_lose_double_and_contradict_nothing() -> None:
    command = [*PENSTOCK, "torture", "--cycles", "3", "--faults", "kill,term,power", "--seed", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.stderr == ""
    found = orjson.loads(done.stdout)
    assert found["found"] == []
    assert done.returncode == 0
    assert found["events"] == 6000
    assert found["runs"] > 200
    assert sum(found["faults"].values()) >= 3
    assert found["repaid_completed"] == 0
    assert found["restore_ms_p50"] > 0


def test_an_existing_kafka_is_left_as_it_was_found(kafka_cluster: Kafka) -> None:
    command = [*PENSTOCK, "torture", "--kafka", kafka_cluster.bootstrap, "--cycles", "1", "--faults", "term", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert (done.returncode, orjson.loads(done.stdout)["ok"]) == (0, True), done
    assert until(lambda: topics(kafka_cluster) == set(), SECONDS_MAX), "deleting takes the brokers a moment"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_whoever_interrupts_it_leaves_no_process_behind(kind: signal.Signals) -> None:
    with subprocess.Popen([*PENSTOCK, "torture"], stdout=subprocess.DEVNULL, start_new_session=True) as torture:
        process = psutil.Process(torture.pid)
        assert until(lambda: len(process.children()) >= PROCESSES, SECONDS_MAX)
        ours = process.children(recursive=True)
        torture.send_signal(kind)
        assert torture.wait(SECONDS_MAX) == INTERRUPTED
    assert psutil.wait_procs(ours, timeout=1)[1] == []


def topics(kafka: Kafka) -> set[str]:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    return {name for name in admin.list_topics(timeout=SECONDS_MAX).topics if name.startswith("torture-")}
