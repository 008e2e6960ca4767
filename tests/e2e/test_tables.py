"""Tables with real processes that are killed: every event is judged by the rows of its time, once."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.command_line import written
from tests.e2e.processes import penstock, until, workers
from tests.e2e.ssh_stream import Written
from tests.e2e.transport import KafkaTransport, SqliteTransport, Transport
from tests.e2e.trial import unique_name

FILE = """
penstock: v1
name: watch
sources:
  auth: {topic: any, watermark: {ahead: 36500d}}
tables:
  hosts: {topic: any-hosts, key: event.host}
triggers:
  public:
    each: 'tables.hosts[key].class == "public"'
    cooldown: 0s
    agent: none
    annotations: {owner: "{{ tables.hosts[key].owner }}"}
outputs: {results: any-results, dead: any-dead}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
"""
AT = 1_795_000_000_000
HALF = 150
HOSTS = 10


def row(host: str, **fields: str) -> Written:
    return Written(host.encode(), json.dumps({"host": host, **fields}).encode(), AT)


def events(first: int) -> list[Written]:
    numbers = range(first, first + HALF)
    return [Written(b"h%d" % (n % HOSTS), json.dumps({"n": n}).encode(), AT + 1000 * n) for n in numbers]


def told(transport: Transport, topic: str) -> list[tuple[str, str]]:
    results = [json.loads(record.value or b"") for record in transport.read(topic)]
    return sorted((result["key"], result["annotations"]["owner"]) for result in results)


def expected(first: int, owners: dict[str, str]) -> list[tuple[str, str]]:
    hosts = [f"h{n % HOSTS}" for n in range(first, first + HALF)]
    return sorted((host, owners[host]) for host in hosts if host in owners)


def killed_and_restarted(transport: Transport, folder: Path) -> None:
    name, file = unique_name("tables"), str(written(folder, FILE))
    sets = [
        f"namespace={name}", f"sources.auth.topic={name}", f"tables.hosts.topic={name}-hosts",
        f"outputs.results={name}.results", f"outputs.dead={name}.dead", *transport.sets,
    ]  # fmt: skip
    options = ["--broker", transport.broker, *(argument for each in sets for argument in ("--set", each))]
    transport.create(name)
    transport.create(f"{name}-hosts")
    transport.produce(f"{name}-hosts", [row(f"h{n}", **{"class": "public", "owner": "Ann"}) for n in range(5)])
    transport.produce(name, events(0))
    owners = {f"h{n}": "Ann" for n in range(5)}
    first = expected(0, owners)
    with workers(file, *options) as group:
        for seconds in (1.5, 2.0, 2.5):
            worker = group.start()
            time.sleep(seconds)
            group.kill(worker)
        worker = group.start()
        assert until(lambda: len(told(transport, f"{name}.results")) >= len(first), 60), group.log()[-4000:]
        group.kill(worker)
        changed = [row("h0", **{"class": "private"}), row("h7", **{"class": "public", "owner": "Bob"})]
        transport.produce(f"{name}-hosts", changed)
        transport.produce(name, events(HALF))
        second = expected(HALF, {"h1": "Ann", "h2": "Ann", "h3": "Ann", "h4": "Ann", "h7": "Bob"})
        group.start()
        everything = len(first) + len(second)
        assert until(lambda: len(told(transport, f"{name}.results")) >= everything, 60), group.log()[-4000:]
        assert group.stop() == [0]
        assert "loads its tables first: hosts" in group.log()
    assert told(transport, f"{name}.results") == sorted([*first, *second])


def test_a_killed_worker_on_kafka_goes_on_with_the_rows_that_it_knew(
    kafka_transport: KafkaTransport, tmp_path: Path
) -> None:
    killed_and_restarted(kafka_transport, tmp_path)


def test_the_embedded_broker_does_the_same(sqlite: SqliteTransport, tmp_path: Path) -> None:
    killed_and_restarted(sqlite, tmp_path)


def test_a_table_that_is_not_there_ends_the_start_with_a_sentence(
    kafka_transport: KafkaTransport, tmp_path: Path
) -> None:
    name, file = unique_name("tables"), str(written(tmp_path, FILE))
    kafka_transport.create(name)
    sets = (
        f"namespace={name}",
        f"sources.auth.topic={name}",
        f"tables.hosts.topic={name}-hosts",
        *kafka_transport.sets,
    )
    arguments = [argument for each in sets for argument in ("--set", each)]
    for command in (("run", file), ("check", file, "--connect")):
        done = penstock(*command, *arguments)
        assert (done.returncode, f"{name}-hosts is a table and does not exist" in done.stderr) == (3, True), done.stderr
