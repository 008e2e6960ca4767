"""The examples over real recordings: what fires there is what somebody on duty would want to know, and little else."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from tests.recorded import fired_at, marked

from penstock.operators.plan import Plan
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.samples import sample_records
from penstock.pipelines.sampling import tally_sample
from penstock.pipelines.trigger_choice import kind_word

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "pipelines" / "examples"


def plan_of(name: str) -> Plan:
    return compile_pipeline(load_pipeline([EXAMPLES / f"{name}.yaml"], environ={})).plan


def fired(name: str, recording: Path) -> dict[str, int]:
    counters = tally_sample(plan_of(name), recording, None).counters
    assert not [counted for counted in counters if counted[0] in ("dead", "expression_errors")]
    return {counted[1]: count for counted, count in counters.items() if counted[0] == "fired"}


@pytest.mark.parametrize(
    ("name", "log", "form", "expected"),
    [
        (
            "ssh_watch",
            "OpenSSH",
            "{Date} {Day} {Time} {Component} sshd[{Pid}]: {Content}",
            {"brute_force": 3, "spray": 2, "password_login": 1, "digest": 6},
        ),
        ("hdfs_blocks", "HDFS", "{Date} {Time} {Pid} {Level} {Component}: {Content}", {"fails_to_serve": 9}),
        ("apache_errors", "Apache", "[{Time}] [{Level}] {Content}", {"backend_down": 5, "probed": 17}),
    ],
)
def test_what_fires_on_two_thousand_lines_of_a_log(
    name: str, log: str, form: str, expected: dict[str, int], recordings: Path, tmp_path: Path
) -> None:
    with (recordings / "loghub" / f"{log}_2k.log_structured.csv").open(newline="") as file:
        lines = [form.format(**row) for row in csv.DictReader(file)]
    recording = tmp_path / "recording.log"
    recording.write_text("\n".join(lines), encoding="utf-8")
    assert fired(name, recording) == expected


@pytest.mark.parametrize(
    ("name", "recording", "expected", "found", "of"),
    [
        (
            "request_latency",
            "ec2_request_latency_system_failure",
            {"spike": 4, "slow": 2, "silent": 2},
            {"spike": 3, "slow": 1},
            3,
        ),
        (
            "machine_temperature",
            "machine_temperature_system_failure",
            {"breakdown": 2, "overheating": 5, "swing": 3, "daily": 80},
            {"breakdown": 2, "swing": 2},
            4,
        ),
        (
            "taxi_demand",
            "nyc_taxi",
            {"unusual": 5, "standstill": 1, "no_rows": 1, "week": 31},
            {"unusual": 3, "standstill": 1},
            5,
        ),
        (
            "key_hold",
            "rogue_agent_key_hold",
            {"other_hands": 2, "slow_hands": 1, "away": 4, "weekday": 15},
            {"other_hands": 1, "slow_hands": 1},
            2,
        ),
    ],
)
def test_what_fires_on_a_recording_whose_anomalies_people_have_marked(
    name: str, recording: str, expected: dict[str, int], found: dict[str, int], of: int, recordings: Path
) -> None:
    """`found`: in how many marked windows a trigger fires. One `silent`, `away` and `no_rows` each is the end of the file."""
    file = recordings / "nab" / f"{recording}.csv"
    if not file.is_file():
        pytest.skip(f"no recording at {file}")
    plan, windows = plan_of(name), marked(recording)
    times = fired_at(plan, sample_records(plan.sources[0], file))
    assert {trigger: len(fired) for trigger, fired in times.items()} == expected
    assert len(windows) == of
    assert found == {
        trigger: sum(any(begin <= at <= end for at in times[trigger]) for begin, end in windows) for trigger in found
    }


def test_the_page_of_the_gallery_lists_every_example_with_the_kinds_of_its_triggers() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| [")}
    examples = sorted(file.stem for file in EXAMPLES.glob("*.yaml") if not file.name.endswith(".test.yaml"))
    assert sorted(rows) == [f"[{name}](../pipelines/examples/{name}.yaml)" for name in examples]
    for name, row in zip(examples, sorted(rows.values()), strict=True):
        spec = load_pipeline([EXAMPLES / f"{name}.yaml"], environ={}).spec
        assert spec is not None
        assert {f"`{kind_word(trigger)}`" for trigger in spec.triggers.values()} <= set(re.findall("`[^`]+`", row)), (
            name
        )
