"""The command around it: what it refuses, where it finds a Kafka, how it tells what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.command_line import penstock

from penstock.operators.error import Unreachable
from penstock.pipelines.show import screen
from penstock.pipelines.torture_kafka import NoKafka, find_jars, free_ports, version_of
from penstock.pipelines.torture_processes import Workers, simulated_model
from penstock.pipelines.torture_report import MEANINGS, report

FOUND: dict[str, Any] = dict.fromkeys(MEANINGS, 0) | {
    "ok": True, "takeover_ms_p99": None, "faults": {"kill": 2, "gave up while no broker answered": 1}, "found": [],
    "found_in_all": 0, "brokers": 3, "seed": 7, "cycles": 15, "events": 30000, "evidence": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--brokers", "2"], "--brokers: 2 brokers are no sensible cluster (write 1 or 3)"),
        (["--faults", "flood"], "--faults: there is no fault 'flood'"),
        (["--kafka", "127.0.0.1:1", "--faults", "power"], "--faults: power needs local brokers"),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str], said: str) -> None:
    done = penstock("torture", *options)
    assert (done.code, said in done.err, done.out) == (1, True, "")


def test_without_a_kafka_it_says_what_to_do_and_a_retry_may_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    done = penstock("torture", "--cycles", "1")
    assert done.code == 3
    assert f"{tmp_path}/libs: no jars of Kafka (run `make jars`, or set KAFKA_HOME to a Kafka)" in done.err


def test_a_kafka_that_does_not_answer_is_named() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    done = penstock("torture", "--kafka", address, "--cycles", "1")
    assert done.code == 3
    assert f"kafka {address}: no topic can be made there" in done.err


def test_jars_are_those_of_kafka_home_or_the_newest_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder in (".cache/kafka/4.3.1", ".cache/kafka/4.4.0", ".cache/kafka/4.5.0.part", "home/libs"):
        (tmp_path / folder).mkdir(parents=True)
    for version in ("4.3.1", "4.4.0"):
        (tmp_path / ".cache" / "kafka" / version / f"kafka_2.13-{version}.jar").touch()
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    assert version_of(find_jars()) == "4.4.0"
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path / "home"))
    with pytest.raises(NoKafka):
        find_jars()
    (tmp_path / "home" / "libs" / "kafka_2.13-3.9.0.jar").touch()
    assert version_of(find_jars()) == "3.9.0"


def test_a_model_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    server = simulated_model("--log", str(tmp_path / "no" / "calls.jsonl"))
    with pytest.raises(Unreachable, match=r"it did not start: .*check --log"), server:
        pass


def test_a_worker_that_ends_by_itself_is_a_deserter_and_one_that_was_told_to_is_not(tmp_path: Path) -> None:
    workers = Workers((str(tmp_path / "missing.yaml"),), tmp_path)
    try:
        deserter, dismissed = workers.start(), workers.start()
        workers.dismiss(dismissed)
        assert deserter.wait(30) == 1
        dismissed.wait(30)
        assert workers.deserters == [deserter]
        assert "missing.yaml" in workers.log()
        assert not workers.works(deserter)
    finally:
        workers.end()


def test_the_report_says_that_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    report(screen(), FOUND)
    said = capsys.readouterr().out
    assert "30,000" in said
    assert "2 × kill: SIGKILL a worker, start another" in said
    assert "1 × gave up while no broker answered" in said
    assert "Nothing was lost, doubled or contradicted" in said


def test_the_report_says_what_is_wrong_and_how_to_look_further(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"ok": False, "lost": 21, "found": ["lost: [a] was never told"] * 20, "found_in_all": 21, "evidence": "/e"}
    report(screen(), FOUND | wrong)
    said = capsys.readouterr().out
    assert said.count("lost: [a] was never told") == 20
    assert "… and 1 more" in said
    assert "grep RUN /e/seen.jsonl" in said
    assert "penstock torture --cycles 15 --brokers 3 --seed 7" in said
    assert "Nothing was lost" not in said
