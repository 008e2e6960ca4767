"""A real Kafka on this machine: one node or three (KRaft, each broker and controller), from Kafka's own jars and `java`.

    with LocalKafka(jars, folder, nodes=3) as kafka:
        kafka.kill(0)                # SIGKILL; the others go on
        kafka.launch(0)
        kafka.await_ready()

Nothing listens but on 127.0.0.1, on free ports. What the nodes write is in `folder`, which is the caller's. A node boots in about
two seconds and takes 150 MB. Its settings are made for being struck: a dead broker is missed after a second.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from penstock.operators.error import Unreachable

CACHE = Path(".cache") / "kafka"
"""Where `make jars` puts them, by version; the one of the folder that we are in comes before that of the checkout."""
CLUSTER_ID = "cGVuc3RvY2stdGVzdHMAAA"
BOOT_SECONDS_MAX = 60.0
JVM = (
    "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:MaxMetaspaceSize=128m",
    "-Djava.awt.headless=true",
)  # fmt: skip
CLIENTS, CONTROLLER = "PLAIN", "CONTROLLER"
"""Names of listeners that every node has."""
_JAR = re.compile(r"kafka_[\d.]+-(?P<version>\d.*)\.jar")


class NoKafka(Unreachable):
    """There is no way to run a Kafka here; the message says what was looked for."""


def find_jars() -> Path:
    """The folder with Kafka's jars: `KAFKA_HOME/libs`, else the newest of `.cache/kafka`. Raises NoKafka."""
    home = os.environ.get("KAFKA_HOME")
    caches = (CACHE, Path(__file__).resolve().parents[1] / CACHE)
    folders = [Path(home) / "libs"] if home else [each for cache in caches for each in sorted(cache.glob("*"))[::-1]]
    found = next((folder for folder in folders if version_of(folder)), None)
    if found is None:
        where = f"{home}/libs" if home else str(CACHE)
        raise NoKafka("no jars of Kafka", where=where, remedy="run `make jars`, or set KAFKA_HOME to a Kafka")
    if shutil.which("java") is None:
        raise NoKafka("no `java` on the PATH", where="Kafka", remedy="install Java 17 or newer")
    return found.resolve()


def version_of(jars: Path) -> str:
    """Of the Kafka in a folder of jars; empty where there is none."""
    matches = (_JAR.fullmatch(path.name) for path in jars.glob("kafka_*.jar"))
    return next((match["version"] for match in matches if match is not None), "")


def replicated_settings(nodes: int) -> dict[str, object]:
    """Settings that go with the number of nodes: of three, two have to have what is acknowledged."""
    replicas, in_sync = min(3, nodes), max(1, min(3, nodes) - 1)
    return {
        "process.roles": "broker,controller",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": 3,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 3,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,  # otherwise 6000 is the least that a member may ask for
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        "auto.create.topics.enable": "false",
    }


_QUICK: Mapping[str, object] = {
    "log.cleaner.dedupe.buffer.size": 8 << 20,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "broker.heartbeat.interval.ms": 200,
    "broker.session.timeout.ms": 1000,  # a boot after SIGKILL waits for it
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1500,
}


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


@dataclass
class Node:
    """One broker: `addresses` by the name of the listener, and the process while it runs."""

    number: int
    folder: Path
    addresses: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def settings(self) -> Path:
        return self.folder / "server.properties"


class LocalKafka:
    """`nodes` processes that are one cluster. `listeners` are more ways in, as name and protocol, with `extra` settings.

    Nodes are counted from 0. Whoever leaves the `with` block leaves no process behind.
    """

    def __init__(
        self,
        jars: Path,
        folder: Path,
        nodes: int = 1,
        *,
        listeners: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        self._jars, self._extra, self._format_options = jars, extra or {}, format_options
        self._protocols = {CLIENTS: "PLAINTEXT", **(listeners or {}), CONTROLLER: "PLAINTEXT"}
        ports = iter(free_ports(nodes * len(self._protocols)))
        self.nodes = [
            Node(number, folder / f"node-{number}", {name: f"127.0.0.1:{next(ports)}" for name in self._protocols})
            for number in range(nodes)
        ]

    @property
    def bootstrap(self) -> str:
        return ",".join(node.addresses[CLIENTS] for node in self.nodes)

    @property
    def version(self) -> str:
        return version_of(self._jars)

    def __enter__(self) -> Self:
        try:
            self._format()
            for node in self.nodes:
                self.launch(node.number)
            self.await_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def launch(self, number: int) -> None:
        """Start a node that does not run; when it takes part is for `ready` to say."""
        node = self.nodes[number]
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                self._java("kafka.Kafka", node.settings),
                cwd=node.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self, number: int) -> None:
        """SIGKILL: what was not handed to the operating system is lost, and nobody is told."""
        process, self.nodes[number].process = self.nodes[number].process, None
        if process is not None:
            process.kill()
            process.wait()

    def signal(self, number: int, kind: signal.Signals) -> None:
        """SIGSTOP and SIGCONT, for a node that runs."""
        process = self.nodes[number].process
        if process is not None:
            process.send_signal(kind)

    def ready(self) -> bool:
        """Every node that was launched answers, and knows of all of them. Raises NoKafka when one has ended by itself."""
        running = [node for node in self.nodes if node.process is not None]
        for node in running:
            if node.process is not None and node.process.poll() is not None:
                raise NoKafka(f"node {node.number} did not come up: {_end_of(node.log)}", where="Kafka")
        return all(brokers_known(node.addresses[CLIENTS]) >= len(running) for node in running)

    def await_ready(self) -> None:
        """Raises NoKafka, too, when it takes too long."""
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        while not self.ready():
            if time.monotonic() > deadline:
                said = "; ".join(_end_of(node.log) for node in self.nodes)
                raise NoKafka(f"not up after {BOOT_SECONDS_MAX:g} s: {said}", where="Kafka")
            time.sleep(0.05)

    def close(self) -> None:
        """SIGKILL to all: their data is thrown away."""
        for node in self.nodes:
            self.kill(node.number)

    def _java(self, main: str, *arguments: object) -> list[str]:
        return ["java", *JVM, "-cp", f"{self._jars}/*", main, *map(str, arguments)]

    def _format(self) -> None:
        formatting = []
        for node in self.nodes:
            node.folder.mkdir(exist_ok=True)
            node.settings.write_text("".join(f"{name}={value}\n" for name, value in self._settings(node).items()))
            command = self._java(
                "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", node.settings, *self._format_options
            )
            formatting.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for process in formatting:
            said, _ = process.communicate()
            if process.returncode:
                raise NoKafka(f"formatting its data folder failed: {said}", where="Kafka")

    def _settings(self, node: Node) -> dict[str, object]:
        shown = ",".join(f"{name}://{address}" for name, address in node.addresses.items() if name != CONTROLLER)
        voters = (f"{each.number + 1}@{each.addresses[CONTROLLER]}" for each in self.nodes)
        return {
            **replicated_settings(len(self.nodes)),
            **_QUICK,
            "node.id": node.number + 1,
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": CONTROLLER,
            "listeners": f"{shown},{CONTROLLER}://{node.addresses[CONTROLLER]}",
            "advertised.listeners": shown,
            "inter.broker.listener.name": CLIENTS,
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in self._protocols.items()),
            "log.dirs": node.folder / "data",
            **self._extra,
        }


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip() if log.exists() else "it said nothing"
