"""A real Kafka for the tests: `KAFKA_BOOTSTRAP` if set, else Docker, else a JVM broker from Maven's jars, else a reason to skip.

One node that is broker and controller (KRaft). The JVM broker boots in about two seconds, listens without and with SASL and
TLS; nothing listens but on 127.0.0.1. A broker that somebody else runs is never stopped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.pipelines.torture_kafka import (
    BOOT_SECONDS_MAX,
    LocalKafka,
    NoKafka,
    find_jars,
    free_ports,
    replicated_settings,
)

IMAGE = "apache/kafka:4.1.1"
SASL_USER, SASL_PASSWORD = "alice", "alice-secret"


@dataclass
class Kafka:
    """A broker that answers at `bootstrap`; `secured` names the addresses of the other listeners (`SASL`, `TLS`), if any."""

    bootstrap: str
    secured: dict[str, str] = field(default_factory=dict)
    certificate: Path | None = None
    local: LocalKafka | None = None
    """Ours to kill, if it is there."""


def _self_signed(folder: Path) -> Path:
    """A key and certificate for 127.0.0.1 as `server.pem`; returns the certificate alone, for clients."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "server.pem").write_text(key.read_text() + certificate.read_text())
    return certificate


def _security(server: Path | None) -> dict[str, object]:
    """Of the listeners SASL and TLS; `server` is the key and certificate of the latter."""
    module = "org.apache.kafka.common.security"
    users = f'user_{SASL_USER}="{SASL_PASSWORD}"'
    security: dict[str, object] = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required {users};",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
    }
    if server is not None:
        security |= {"listener.name.tls.ssl.keystore.type": "PEM", "listener.name.tls.ssl.keystore.location": server}
    return security


@contextmanager
def jvm_kafka() -> Iterator[Kafka]:
    """A broker of our own. Raises NoKafka when Java or the jars are missing."""
    jars = find_jars()
    listeners = {"SASL": "SASL_PLAINTEXT"} | ({"TLS": "SSL"} if shutil.which("openssl") else {})
    scram = f"SCRAM-SHA-512=[name={SASL_USER},password={SASL_PASSWORD}]"
    with tempfile.TemporaryDirectory(prefix="penstock-kafka-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        certificate = _self_signed(folder) if "TLS" in listeners else None
        security = _security(None if certificate is None else folder / "server.pem")
        with LocalKafka(jars, folder, listeners=listeners, extra=security, format_options=("-S", scram)) as kafka:
            addresses = kafka.nodes[0].addresses
            yield Kafka(kafka.bootstrap, {each: addresses[each] for each in listeners}, certificate, kafka)


@contextmanager
def kafka_with(folder: Path, settings: Mapping[str, object]) -> Iterator[LocalKafka]:
    """A broker for one test, with settings that the others could not live with; the test is skipped where there is none."""
    with ExitStack() as stack:
        try:
            kafka = stack.enter_context(LocalKafka(find_jars(), folder, extra=settings))
        except NoKafka as reason:
            pytest.skip(str(reason))
        yield kafka


@contextmanager
def docker_kafka() -> Iterator[Kafka]:
    """One node in a container. Raises NoKafka when no daemon answers."""
    daemon = ["docker", "info", "--format", "ok"]
    if shutil.which("docker") is None or subprocess.run(daemon, capture_output=True, check=False).returncode:
        raise NoKafka("no Docker daemon")
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # before testcontainers is imported
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    (port,) = free_ports(1)  # chosen first, so that it can be advertised
    settings = replicated_settings(1) | {
        "node.id": 1,
        "listeners": "OUTSIDE://:9092,INSIDE://:19092,CONTROLLER://:9093",
        "advertised.listeners": f"OUTSIDE://127.0.0.1:{port},INSIDE://localhost:19092",
        "inter.broker.listener.name": "INSIDE",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
    }
    container = DockerContainer(os.environ.get("KAFKA_IMAGE", IMAGE))
    container.with_bind_ports("9092/tcp", port)
    for name, value in settings.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), str(value))
    ready = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(int(BOOT_SECONDS_MAX))
    with container.waiting_for(ready.with_poll_interval(0.1)):
        yield Kafka(f"127.0.0.1:{port}")


@contextmanager
def any_kafka() -> Iterator[Kafka]:
    """The first way that works. Raises NoKafka with everything that was tried."""
    if address := os.environ.get("KAFKA_BOOTSTRAP"):
        yield Kafka(address)
        return
    reasons = []
    for way in (docker_kafka, jvm_kafka):
        with ExitStack() as stack:
            try:
                kafka = stack.enter_context(way())
            except NoKafka as reason:
                reasons.append(str(reason))
                continue
            yield kafka
            return
    raise NoKafka("no Kafka: KAFKA_BOOTSTRAP is not set; " + "; ".join(reasons))


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[Kafka]:
    """One broker for the whole session; tests keep apart by the names of their topics."""
    with ExitStack() as stack:
        try:
            kafka = stack.enter_context(any_kafka())
        except NoKafka as reason:
            pytest.skip(str(reason))
        yield kafka
