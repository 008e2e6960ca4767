"""The examples over real recordings: what fires there is what somebody on duty would want to know, and little else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.sampling import tally_sample

EXAMPLES = Path(__file__).parents[3] / "pipelines" / "examples"


def fired(name: str, recording: Path) -> dict[str, int]:
    plan = compile_pipeline(load_pipeline([EXAMPLES / f"{name}.yaml"], environ={})).plan
    counters = tally_sample(plan, recording, None).counters
    assert not [counted for counted in counters if counted[0] in ("dead", "expression_errors")]
    return {counted[1]: count for counted, count in counters.items() if counted[0] == "fired"}


@pytest.mark.parametrize(
    ("name", "log", "form", "expected"),
    [
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
