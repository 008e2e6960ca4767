"""Penstock beside its peers on one topic of one broker: a count per key, and a sum of windows one after the other.

The events of `throughput` with record keys; each system in a process of its own, in turns. What each guarantees differs:

    penstock      exactly-once (transactions)            sliding spans, context for prompts, one log
    quix          exactly-once (transactions)            state in RocksDB with a changelog
    faust         exactly-once, as far as it goes        table in RocksDB with a changelog; reads the first part only, counts only
    bytewax       nothing: no recovery, no transactions  state in memory
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson
from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import PART_SECONDS_MAX, ROOT, run_part
from tests.bench.throughput import create, events, produce
from tests.kafka_cluster import any_kafka
from tests.peers import environment
from tests.peers.environment import Environment

from penstock.pipelines.torture_kafka import NoKafka

EVENTS, EVENTS_QUICK, ROUNDS, ROUNDS_QUICK = 200_000, 40_000, 3, 1
AT = 50
SLOW_SHARE = 10
"""Faust reads so small a part of the topic."""
APPS = ROOT / "tests" / "bench" / "apps"
TARGETS = {("count", "quix"): 3.5, ("sum", "quix"): 8.0, ("count", "faust"): 40.0, ("count", "bytewax"): 1.25}
"""By so much Penstock is to be faster."""


class Peer(Environment):
    def __init__(self, name: str, package: str, works: tuple[str, ...], *arguments: str) -> None:
        self.name = self.folder = name
        self.package, self.works, self.arguments = package, works, arguments

    def play(self, work: str, bootstrap: str, topic: str, count: int) -> dict[str, Any]:
        """What its application says. Raises CannotRun."""
        output = f"{self.name}-{work}-{os.urandom(3).hex()}"
        create(bootstrap, output, 1)
        with tempfile.TemporaryDirectory() as folder:
            told = {"BOOTSTRAP": bootstrap, "TOPIC": topic, "OUTPUT": output, "FOLDER": folder}
            done = self._run({**told, "WORK": work, "COUNT": str(count)})
        lines = [line for line in done.stdout.splitlines() if line.startswith(b'{"per_core"')]
        if not lines:
            raise CannotRun(f"{self.name}: {(done.stderr or done.stdout).decode()[-2000:]}")
        figures: dict[str, Any] = orjson.loads(lines[-1])
        return figures

    def _run(self, told: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
        environ = {**os.environ, **{f"BENCH_{name}": value for name, value in told.items()}}
        command = [str(self.python), *self.arguments]
        try:
            return subprocess.run(
                command, cwd=APPS, env=environ, capture_output=True, timeout=PART_SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CannotRun(f"{self.name} did not end within {PART_SECONDS_MAX:g} s") from error


PEERS = (
    Peer("quix", "quixstreams", ("count", "sum"), "quix_app.py"),
    Peer("bytewax", "bytewax", ("count", "sum"), "bytewax_app.py"),
    Peer("faust", "faust-streaming", ("count",), "-m", "faust", "-A", "faust_app", "worker", "--without-web", "-l", "warn"),
)  # fmt: skip


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka, or where a peer cannot be installed."""
    count, times = (EVENTS_QUICK, ROUNDS_QUICK) if quick else (EVENTS, ROUNDS)
    topic = f"bench-{os.getpid()}-peers"
    try:
        versions = {peer.name: peer.prepare() for peer in PEERS}
        with any_kafka() as kafka:
            produce(kafka.bootstrap, topic, count, keyed=True)
            rounds = [_round(kafka.bootstrap, topic, count) for _ in range(times)]
    except (NoKafka, environment.CannotRun) as error:
        raise CannotRun(str(error)) from error
    return figure(rounds, versions)


def figure(rounds: list[dict[str, dict[str, Any]]], versions: dict[str, str]) -> Figure:
    ratios = {
        f"{work} {peer}": middle(
            [each[f"{work} penstock"]["per_core"] / each[f"{work} {peer}"]["per_core"] for each in rounds]
        )
        for work, peer in [*TARGETS, ("sum", "bytewax")]
    }
    ours, quix = (middle([each[f"count {name}"]["per_core"] for each in rounds]) for name in ("penstock", "quix"))
    return Figure(
        "peers",
        ours,
        quix,
        "events/s per core",
        ", ".join(f">= {least:g} of {peer} ({work})" for (work, peer), least in TARGETS.items()),
        ok=all(ratios[f"{work} {peer}"] >= least for (work, peer), least in TARGETS.items()),
        detail={"ratios": ratios, "versions": versions, "rounds": rounds},
    )


def _round(bootstrap: str, topic: str, count: int) -> dict[str, dict[str, Any]]:
    """Raises CannotRun where a count is wrong: what is measured is the same work."""
    parts: dict[str, dict[str, Any]] = {}
    for work in ("count", "sum"):
        parts[f"{work} penstock"] = ours = run_part("throughput_part", work, bootstrap, topic, count)
        ours["told"] = sum(number for what, number in ours.pop("counts").items() if what.startswith("fired "))
        for peer in PEERS:
            if work in peer.works:
                read = count // SLOW_SHARE if peer.name == "faust" else count
                parts[f"{work} {peer.name}"] = peer.play(work, bootstrap, topic, read)
    for name, part in parts.items():
        wanted = due(count, count // SLOW_SHARE if name.endswith("faust") else count)
        if name.startswith("count ") and part["told"] != wanted:
            raise CannotRun(f"{name} told {part['told']} results, {wanted} are due")
    return parts


def due(count: int, read: int) -> int:
    """How many keys' counts come to AT within the first `read` of so many events."""
    per_key = Counter(sample.key for sample in islice(events(count), read))
    return sum(number >= AT for number in per_key.values())
