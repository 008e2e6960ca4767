"""A real Kafka for the tests: `KAFKA_BOOTSTRAP` if set, else Docker, else a JVM broker from Maven's jars, else a reason to skip.

One node that is broker and controller (KRaft). The JVM broker boots in about two seconds, listens without and with SASL and
TLS, and can be killed and started again; nothing listens but on 127.0.0.1. A broker that somebody else runs is never stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
JARS = ROOT / ".cache" / "kafka"
CLUSTER_ID = "cGVuc3RvY2stdGVzdHMAAA"
IMAGE = "apache/kafka:4.1.1"
BOOT_SECONDS_MAX = 60.0
JVM = (
    "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:MaxMetaspaceSize=128m",
    "-Djava.awt.headless=true",
)  # fmt: skip
SASL_USER, SASL_PASSWORD = "alice", "alice-secret"
COMMON = {
    "process.roles": "broker,controller",
    "offsets.topic.num.partitions": 3,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 3,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,  # otherwise 6000 is the least that a member may ask for
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "auto.create.topics.enable": "false",
}


class NoKafka(Exception):
    """There is no way to run a Kafka here; the message says what was tried."""


@dataclass
class Kafka:
    """A broker that answers at `bootstrap`; `secured` names the addresses of the other listeners (`SASL`, `TLS`), if any."""

    bootstrap: str
    secured: dict[str, str] = field(default_factory=dict)
    certificate: Path | None = None
    can_be_killed: bool = False

    def kill(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError


def free_ports(count: int) -> list[int]:
    """All are held until the last one is chosen: one at a time may give the same port twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def brokers_known(address: str) -> int:
    """How many brokers a raw Metadata v1 request is told of; 0 while nothing answers or the broker is still fenced."""
    host, _, port = address.rpartition(":")
    request = b"\x00\x03\x00\x01\x00\x00\x00\x07\x00\x01x" + bytes(4)
    try:
        with socket.create_connection((host, int(port)), 0.5) as connection:
            connection.settimeout(1)
            connection.sendall(len(request).to_bytes(4, "big") + request)
            answer = b""
            while len(answer) < 4 or len(answer) < 4 + int.from_bytes(answer[:4], "big"):
                chunk = connection.recv(65536)
                if not chunk:
                    return 0
                answer += chunk
            return int.from_bytes(answer[8:12], "big")
    except OSError:
        return 0


class JvmKafka(Kafka):
    """Kafka's own classes in a child process; its data lives in `folder`."""

    def __init__(self, jars: Path, folder: Path) -> None:
        plain, sasl, tls, self._controller = free_ports(4)
        super().__init__(f"127.0.0.1:{plain}", {"SASL": f"127.0.0.1:{sasl}"}, can_be_killed=True)
        self._jars, self._folder = jars, folder
        self._process: subprocess.Popen[bytes] | None = None
        if shutil.which("openssl"):
            self.secured["TLS"] = f"127.0.0.1:{tls}"
            self.certificate = _self_signed(folder)
        self._format()

    def _properties(self) -> dict[str, object]:
        protocols = {"PLAIN": "PLAINTEXT", "SASL": "SASL_PLAINTEXT", "TLS": "SSL"}
        listeners = {"PLAIN": self.bootstrap, **self.secured}
        shown = ",".join(f"{name}://{address}" for name, address in listeners.items())
        return {
            **COMMON,
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{shown},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": shown,
            "inter.broker.listener.name": "PLAIN",
            "listener.security.protocol.map": ",".join(
                [*(f"{name}:{protocols[name]}" for name in listeners), "CONTROLLER:PLAINTEXT"]
            ),
            "log.dirs": self._folder / "data",
            "log.cleaner.dedupe.buffer.size": 8 << 20,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            "broker.heartbeat.interval.ms": 200,
            "broker.session.timeout.ms": 1000,  # a boot after SIGKILL waits for it
            **self._security(),
        }

    def _security(self) -> dict[str, object]:
        module = "org.apache.kafka.common.security"
        users = f'user_{SASL_USER}="{SASL_PASSWORD}"'
        security: dict[str, object] = {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required {users};",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        }
        if self.certificate is not None:
            security |= {
                "listener.name.tls.ssl.keystore.type": "PEM",
                "listener.name.tls.ssl.keystore.location": self._folder / "server.pem",
            }
        return security

    def _java(self, main: str, *args: object) -> list[str]:
        return ["java", *JVM, "-cp", f"{self._jars}/*", main, *map(str, args)]

    def _format(self) -> None:
        properties = "".join(f"{key}={value}\n" for key, value in self._properties().items())
        (self._folder / "server.properties").write_text(properties)
        scram = f"SCRAM-SHA-512=[name={SASL_USER},password={SASL_PASSWORD}]"
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self._folder / "server.properties", "-S", scram
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoKafka(f"formatting Kafka's data folder failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", self._folder / "server.properties"),
                cwd=self._folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        while not brokers_known(self.bootstrap):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "broker.log").read_text()[-2000:]
                self.kill()
                raise NoKafka(f"Kafka did not come up: {said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: what was not flushed to the page cache is lost, and nobody is told."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


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


@contextmanager
def jvm_kafka() -> Iterator[Kafka]:
    """A broker of our own. Raises NoKafka when Java or the jars are missing."""
    found = sorted(JARS.glob("*/kafka_2.13-*.jar"))
    if shutil.which("java") is None or not found:
        raise NoKafka("no Java, or no jars of Kafka in .cache/kafka (`make jars`)")
    folder = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
    broker = None
    try:
        broker = JvmKafka(found[-1].parent, folder)
        broker.start()
        yield broker
    finally:
        if broker is not None:
            broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


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
    settings = COMMON | {
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
