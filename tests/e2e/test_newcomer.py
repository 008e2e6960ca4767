"""What a newcomer does in the first hour, command by command, as processes and against a real Kafka."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.deployment import EXAMPLE, Deployment
from tests.e2e.processes import penstock, until
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import unique_name

from penstock.pipelines.torture_processes import PENSTOCK, SECONDS_MAX

OUTSIDE = 3
FIGURES = [
    "events", "firings", "runs", "finals", "failed", "partials", "dead", "input_tokens", "cached_input_tokens",
    "output_tokens", "cost", "seconds", "simulated",
]  # fmt: skip
BROKEN = """\
penstock: v1
name: broken
sources:
  auth: {topic: auth-log, key: event.host}
triggers:
  many: {when: count(event.outcome == "failed", 60s) >= 20, agent: none}
  odd: {eech: event.odd, agent: none}
models:
  small: {base_url: "http://localhost:8000/v1", modle: tiny}
"""


@dataclass(frozen=True)
class Newcomer:
    """Somebody with the example, a cluster, a model server, and a name for the topics that is nobody else's."""

    kafka: KafkaTransport
    deployment: Deployment
    model: str

    def arguments(self, *more: str) -> list[str]:
        sets = (f"models.small.base_url={self.model}", *self.kafka.sets, *self.deployment.settings, *more)
        return [str(EXAMPLE), *(argument for each in sets for argument in ("--set", each))]

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command over the example."""
        return penstock(*words, *self.arguments())


@pytest.fixture
def newcomer(kafka_transport: KafkaTransport, quick_model: str) -> Newcomer:
    return Newcomer(kafka_transport, Deployment(unique_name("new"), unique_name("auth")), quick_model)


def is_one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.startswith("penstock: ") and "Traceback" not in text


def test_the_demo_ends_by_itself_with_every_figure() -> None:
    done = penstock("demo", "--hours", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert list(summary) == FIGURES
    assert summary["runs"] == summary["finals"] > 0
    assert summary["failed"] == summary["dead"] == 0
    assert summary["cached_input_tokens"] < summary["input_tokens"]
    assert summary["simulated"] is True


def test_what_init_writes_is_fine(tmp_path: Path) -> None:
    assert penstock("init", str(tmp_path)).returncode == 0
    done = penstock("check", str(tmp_path / "pipeline.yaml"))
    assert (done.returncode, done.stdout) == (0, "fine\n")


@pytest.mark.parametrize("words", [["check"], ["run"], ["topics", "plan"]], ids=" ".join)
def test_a_broken_file_is_refused_with_every_problem_and_its_place(words: Sequence[str], tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    done = penstock(*words, str(file))
    places = [line.removeprefix(f"{file}:").split(" ")[0] for line in done.stderr.splitlines() if str(file) in line]
    assert (done.returncode, places) == (1, ["6:16", "7:3", "9:49"])


def test_a_broker_that_is_away_is_a_sentence_and_exit_code_3(newcomer: Newcomer) -> None:
    done = penstock("tail", *newcomer.arguments("kafka.bootstrap=127.0.0.1:1"))
    assert done.returncode == OUTSIDE
    assert is_one_sentence(done.stderr)
    assert "127.0.0.1:1: no broker answers" in done.stderr


def test_a_missing_source_is_at_once_a_sentence_that_names_it(newcomer: Newcomer) -> None:
    done = newcomer.ask("run")
    assert done.returncode == OUTSIDE
    assert f"topic {newcomer.deployment.source} does not exist" in done.stderr
    assert is_one_sentence(done.stderr)


def test_an_internal_topic_that_forgets_is_refused_with_the_command_that_mends_it(newcomer: Newcomer) -> None:
    log = f"{newcomer.deployment.name}.ssh-watch.log"
    newcomer.kafka.create(newcomer.deployment.source)
    newcomer.kafka.create(log, retention_ms=604_800_000)
    run, plan = newcomer.ask("run"), newcomer.ask("topics", "plan", "--json")
    assert (run.returncode, plan.returncode) == (OUTSIDE, 1)
    assert "retention.ms=604800000, which would lose state; run kafka-configs.sh --alter" in run.stderr
    assert is_one_sentence(run.stderr)
    assert {each["topic"]: each["action"] for each in json.loads(plan.stdout)}[log] == "refuse"


def test_the_world_is_fine_before_the_first_run_and_nothing_is_created_by_looking(newcomer: Newcomer) -> None:
    name = newcomer.deployment.name
    newcomer.kafka.create(newcomer.deployment.source)
    own = ", ".join(
        [f"{name}.ssh-watch.log", *(f"{name}.{each}" for each in ("dead", "partials", "results", "previews"))]
    )
    for _ in range(2):
        done = newcomer.ask("check", "--connect")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"broker kafka: fine; will be created: {own}\n" in done.stdout
    refused = penstock("check", "--connect", *newcomer.arguments("kafka.create_topics=false"))
    assert refused.returncode == OUTSIDE
    assert f"topics {own} do not exist (run `penstock topics apply`" in refused.stderr


def test_whoever_only_looks_or_feeds_creates_nothing_on_kafka(newcomer: Newcomer) -> None:
    source, results = newcomer.deployment.source, newcomer.deployment.results
    refused = newcomer.ask("feed", "--hours", "0.1")
    assert (refused.returncode, f"topic {source} does not exist" in refused.stderr) == (OUTSIDE, True)
    newcomer.kafka.create(source)
    assert newcomer.ask("feed", "--hours", "0.1").returncode == 0
    shown = newcomer.ask("tail")
    assert (shown.returncode, f"topic {results} does not exist" in shown.stderr) == (OUTSIDE, True)
    assert is_one_sentence(refused.stderr)
    assert is_one_sentence(shown.stderr)
    there = {each["topic"]: each["exists"] for each in json.loads(newcomer.ask("topics", "plan", "--json").stdout)}
    assert [topic for topic, exists in there.items() if exists] == [source]


def test_topics_are_planned_then_applied_and_then_there(newcomer: Newcomer) -> None:
    newcomer.kafka.create(newcomer.deployment.source)
    actions = [
        {
            each["action"]
            for each in json.loads(newcomer.ask("topics", word, "--json").stdout)
            if each["role"] != "input"
        }
        for word in ("plan", "apply", "plan")
    ]
    assert actions == [{"create"}, {"create"}, {"none"}]


def test_from_lines_to_decisions_on_kafka(newcomer: Newcomer) -> None:
    newcomer.kafka.create(newcomer.deployment.source)
    assert newcomer.ask("feed", "--hours", "2").returncode == 0
    done = newcomer.ask("run", "--until-idle", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exit_code"] == 0
    shown = newcomer.ask("tail", "--until-idle", "2")
    told = newcomer.ask("tail", "--until-idle", "2", "--json").stdout.splitlines()
    assert shown.returncode == 0
    assert "brute_force" in shown.stdout
    assert len(told) == len(newcomer.kafka.read(newcomer.deployment.results)) > 0
    assert {json.loads(line)["value"]["state"] for line in told} <= {"final", "resolved"}


def test_a_worker_tells_how_it_is_and_ends_well_on_a_signal(newcomer: Newcomer) -> None:
    newcomer.kafka.create(newcomer.deployment.source)
    command = [*PENSTOCK, "run", *newcomer.arguments(), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = iter(process.stderr.readline, "")
            address = next(line.split()[-1] for line in said if "health and metrics at" in line)
            assert until(lambda: 'penstock_task_open{partition="0"} 1.0' in _page(f"{address}/metrics"), SECONDS_MAX)
            assert until(lambda: _page(f"{address}/readyz") == "ok\n", SECONDS_MAX)
            assert _page(f"{address}/livez") == "ok\n"
            metrics = {family.name for family in text_string_to_metric_families(_page(f"{address}/metrics"))}
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0
    assert {"penstock_build_info", "penstock_task_open", "penstock_commit_seconds"} <= metrics


def _page(url: str) -> str:
    """Its text, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS_MAX) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.read().decode()


def test_a_prompt_is_rendered_with_its_tokens(tmp_path: Path) -> None:
    lines = [
        f"Mar  2 06:00:{second:02d} web-1 sshd[7]: Failed password for root from 192.0.2.7 port 4711 ssh2"
        for second in range(30)
    ]
    sample = tmp_path / "auth.log"
    sample.write_text("\n".join(lines))
    done = penstock("render", str(EXAMPLE), "--sample", str(sample), "--at", "1", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["messages"][0]["role"] == "system"
    assert any(lines[0] in message["content"] for message in shown["messages"])
    assert shown["tokens"] > shown["cached_tokens"] == 0
