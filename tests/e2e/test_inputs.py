"""`penstock run` with inputs, as processes: what goes in at one end is in the results once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.command_line import written
from tests.e2e.processes import penstock, until, workers
from tests.e2e.transport import SqliteTransport

from penstock.operators.record import coordinates
from penstock.operators.result import read_result
from penstock.pipelines.torture_processes import PENSTOCK, SECONDS_MAX, Workers

EVENTS = 150
PIPELINE = """
penstock: v1
name: in
sources:
  auth: {topic: auth, key: event.host, input: INPUT}
triggers:
  all: {each: has(event.n), agent: none}
"""
"""A result per event."""


def pipeline(folder: Path, input: str) -> tuple[str, ...]:
    """The file, and where its topics are; the source has several partitions."""
    SqliteTransport(folder / "in.db").create("auth")
    file = written(folder, PIPELINE.replace("INPUT", input))
    return str(file), "--broker", f"sqlite:{folder / 'in.db'}", "--set", "kafka.session_timeout=1s"


def lines(numbers: range) -> str:
    return "".join(f'{{"host": "h{number % 3}", "n": {number}}}\n' for number in numbers)


def check_each_once(folder: Path, events: str) -> None:
    """Every line is one record, in the order of its key, and every record has one result."""
    topics = SqliteTransport(folder / "in.db")
    records = topics.read("auth")
    assert sorted(record.value or b"" for record in records) == sorted(events.encode().splitlines())
    for partition in {record.partition for record in records}:
        numbers = [json.loads(record.value or b"")["n"] for record in records if record.partition == partition]
        assert numbers == sorted(numbers)
    causes = [read_result(record)["why"]["fired_by"] for record in topics.read("dev.in.results")]
    assert sorted(causes) == sorted(map(coordinates, records))


def test_lines_of_a_followed_file_are_in_the_results_once_wherever_the_process_dies(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text(lines(range(10)))
    command = pipeline(tmp_path, f"{{file: '{log}*'}}")
    for number, point in enumerate(("sqlite_records_written@1", "sqlite_committed@2", "sqlite_records_written@4")):
        died = penstock("run", *command, "--until-idle", "1", PENSTOCK_FAILPOINT=point)
        assert died.returncode == -9, died.stderr
        if number == 1:
            log.rename(tmp_path / "auth.log.1")
        with log.open("a") as file:
            file.write(lines(range(10 * number + 10, 10 * number + 20)))
    done = penstock("run", *command, "--until-idle", "1")
    assert done.returncode == 0, done.stderr
    check_each_once(tmp_path, lines(range(40)))


def test_a_run_on_standard_input_ends_when_it_is_over_and_everything_is_done(tmp_path: Path) -> None:
    command = pipeline(tmp_path, "{stdin: true}")
    done = subprocess.run(
        [*PENSTOCK, "run", *command, "--until-idle", "0.5", "--json"],
        input=lines(range(3_000)) + "no JSON", capture_output=True, text=True, timeout=SECONDS_MAX, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts == {"events auth": 3_001, "fired all": 3_000, "dead undecodable": 1}


def test_what_was_answered_with_202_is_in_the_results_once_although_the_process_is_killed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = pipeline(tmp_path, f"{{http: {{listen: '{address}'}}}}")
    with workers(*command) as group:
        for number in range(60):
            if number % 20 == 0:
                kill_all(group)
                group.start()
            assert post(f"http://{address}/", lines(range(number, number + 1)).strip(), number) == 202
            if number % 3 == 0:  # as whoever did not see the answer does
                assert post(f"http://{address}/", lines(range(number, number + 1)).strip(), number) == 202
        kill_all(group)
    done = penstock("run", *command, "--until-idle", "1")
    assert done.returncode == 0, done.stderr
    check_each_once(tmp_path, lines(range(60)))


@pytest.mark.parametrize(
    ("input", "why"),
    [("{file: missing.log}", "missing.log is not there"), ("{sse: {url: 'http://127.0.0.1:9/'}}", "127.0.0.1:9")],
)
def test_a_batch_of_which_nothing_was_ever_there_is_not_done(tmp_path: Path, input: str, why: str) -> None:
    done = penstock("run", *pipeline(tmp_path, input), "--until-idle", "1")
    assert done.returncode == 3
    assert "input: nothing was read" in done.stderr
    assert why in done.stderr


class Ticks(BaseHTTPRequestHandler):
    """A stream of EVENTS, in pieces: every connection is cut after some of them."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        first = int(self.headers["Last-Event-ID"] or -1) + 1
        with suppress(OSError):
            self.wfile.write(b"retry: 20\n\n")
            for number in range(first, min(first + 7, EVENTS)):
                self.wfile.write(f"id: {number}\ndata: {lines(range(number, number + 1))}\n".encode())
                time.sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:
        """The test says what went wrong."""


def test_events_of_a_stream_are_in_the_results_once_although_connections_and_processes_die(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ticks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = pipeline(tmp_path, f"{{sse: {{url: 'http://127.0.0.1:{server.server_port}/'}}}}")
    topics = SqliteTransport(tmp_path / "in.db")
    with workers(*command) as group:
        for share in (0.2, 0.5, 1.0):
            group.start()
            assert until(lambda share=share: len(topics.read("auth")) >= share * EVENTS, SECONDS_MAX)  # type: ignore[misc]
            kill_all(group)
    done = penstock("run", *command, "--until-idle", "1")
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    check_each_once(tmp_path, lines(range(EVENTS)))


def kill_all(group: Workers) -> None:
    for process in group.running:
        group.kill(process)


def post(url: str, body: str, id: int) -> int:
    """The status, after as many attempts as it takes until somebody listens and takes it."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(id)}
    request = urllib.request.Request(url, body.encode(), headers)
    statuses: list[int] = []

    def answered() -> bool:
        with suppress(OSError):
            with urllib.request.urlopen(request, timeout=5) as answer:
                statuses.append(answer.status)
            return True
        return False

    assert until(answered, SECONDS_MAX)
    return statuses[-1]


@pytest.mark.parametrize("input", ["{stdin: true}", "{file: a.log}"])
def test_an_input_for_kafka_is_refused_with_the_way_out(input: str, tmp_path: Path) -> None:
    refused = penstock("run", pipeline(tmp_path, input)[0])
    assert refused.returncode == 2
    assert "the topic of source auth is in Kafka" in refused.stderr
    assert "--broker sqlite:FILE" in refused.stderr
