"""The operator in real dataflows: what it fires, what it refuses, and how it goes on after an abort."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.ssh_stream import recorded
from tests.flows import BEGINNING_MS, EVENTS, PIPELINE, essence, plan_of, record, records, scripted, setting_of

from penstock.connectors.bytewax_task import begun
from penstock.operators.error import Misused, PenstockError, Rejected, Superseded
from penstock.operators.record import Output
from penstock.pipelines.backtest_input import Recording
from penstock.pipelines.backtest_play import play
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.loading import load

pytest.importorskip("bytewax", reason="there is no Bytewax for this version of Python")
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main

from penstock.connectors.bytewax import Result, penstock

ROOT = Path(__file__).resolve().parents[3]
SSH_WATCH = ROOT / "pipelines" / "examples" / "ssh_watch.yaml"
RULES_ONLY = [f"triggers.{name}.agent=none" for name in ("brute_force", "spray", "digest")]
WITH_TABLE = PIPELINE.replace("models:", "tables:\n  hosts: {topic: hosts}\nmodels:", 1).replace(
    "each: event.n % 2 == 1,", "each: 'has(tables.hosts[key])',"
)
WITH_REGISTRY = PIPELINE.replace("key: event.host,", "key: event.host, format: avro,").replace(
    "sources:", "kafka: {registry: 'http://127.0.0.1:9'}\nsources:"
)
NOW = datetime.fromtimestamp(BEGINNING_MS / 1000, UTC)
AT_ONCE = timedelta(0)


@dataclass
class Told:
    """What came out of a flow, over all its executions."""

    results: list[tuple[str, Result]]
    dead: list[Output]
    outputs: list[Output]


def flow_of(items: Sequence[Any], file: Path, told: Told, batch: int = 10, **options: Any) -> Dataflow:
    flow = Dataflow("theirs")
    stream = op.input("in", flow, TestingSource(items, batch))
    out = penstock("watch", stream, file, now_getter=lambda: NOW, **options)
    op.output("results", out.results, TestingSink(told.results))
    op.output("dead", out.dead, TestingSink(told.dead))
    op.output("outputs", out.outputs, TestingSink(told.outputs))
    return flow


def ran(items: Sequence[Any], file: Path, **options: Any) -> Told:
    told = Told([], [], [])
    run_main(flow_of(items, file, told, **options))
    return told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    plan_of(tmp_path)
    return tmp_path / "flow.yaml"


def test_it_gives_what_the_task_gives(file: Path) -> None:
    told = ran([*EVENTS, b"{"], file, end="fire", answer=scripted)
    task = begun(setting_of(plan_of(file.parent)), 0, BEGINNING_MS)
    task.feed(records(), BEGINNING_MS)
    task.feed([record(b"{")], BEGINNING_MS)
    task.end(BEGINNING_MS)
    assert essence(told.outputs) == essence(task.take())
    assert [result.id for _, result in told.results] == [
        output.id for output in told.outputs if output.topic == "dev.flow.results"
    ]
    assert [(letter.value, dict(letter.headers)["penstock-dead-reason"]) for letter in told.dead] == [
        (b"{", b"undecodable")
    ]


def test_a_result_comes_with_its_key_and_its_time(file: Path) -> None:
    key, result = ran(EVENTS, file, answer=scripted).results[0]
    assert key == result.record["key"] == "host-0"
    assert result.id == f"{result.record['run']}/1"
    assert result.time == datetime.fromtimestamp(EVENTS[0]["ts"] / 1000, UTC)


def test_the_ssh_recording_fires_as_in_a_backtest(recordings: Path, tmp_path: Path) -> None:
    lines = [line.text for line in recorded(recordings)]
    now = datetime(2025, 12, 11, tzinfo=UTC)
    recording = tmp_path / "auth.log"
    recording.write_text("".join(f"{line}\n" for line in lines))
    plan = compile_pipeline(load(SSH_WATCH, (), RULES_ONLY, None)).plan
    part = play(plan, {"auth": [Recording(recording, int(now.timestamp() * 1000), 0)]})
    told = Told([], [], [])
    flow = Dataflow("theirs")
    out = penstock(
        "watch",
        op.input("in", flow, TestingSource(lines)),
        SSH_WATCH,
        end="fire",
        sets=RULES_ONLY,
        now_getter=lambda: now,
    )
    op.output("results", out.results, TestingSink(told.results))
    run_main(flow)
    fired = {result.record["run"] for _, result in told.results}
    assert fired == {row.run for row in part.rows}
    assert len(fired) == 12


def test_the_end_of_the_stream_fires_what_is_due_if_asked(file: Path) -> None:
    held, fired = (ran(EVENTS, file, answer=scripted, end=end) for end in ("hold", "fire"))
    assert not any(result.record["end"] for _, result in held.results)
    assert any(result.record["end"] for _, result in fired.results)


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("epoch", [AT_ONCE, timedelta(days=1)])
@pytest.mark.parametrize("place", [1, 31, 90])
def test_a_flow_that_was_aborted_goes_on_as_if_nothing_had_been(
    file: Path, tmp_path: Path, partitions: int, epoch: timedelta, place: int
) -> None:
    options: dict[str, Any] = {"partitions": partitions, "answer": scripted, "end": "fire", "batch": 7}
    whole, told = ran(EVENTS, file, **options), Told([], [], [])
    items = [*EVENTS[:place], TestingSource.ABORT(), *EVENTS[place:]]
    init_db_dir(tmp_path, 1)
    for _ in range(2):
        run_main(flow_of(items, file, told, **options), epoch_interval=epoch, recovery_config=RecoveryConfig(tmp_path))
    assert set(essence(told.outputs)) == set(essence(whole.outputs))


def test_a_flow_that_was_finished_goes_on_where_more_comes(file: Path, tmp_path: Path) -> None:
    whole = ran(EVENTS, file, answer=scripted)
    items, told = [*EVENTS[:50], TestingSource.EOF(), *EVENTS[50:]], Told([], [], [])
    init_db_dir(tmp_path, 1)
    for _ in range(2):
        flow = flow_of(items, file, told, answer=scripted)
        run_main(flow, epoch_interval=AT_ONCE, recovery_config=RecoveryConfig(tmp_path))
    assert essence(told.outputs) == essence(whole.outputs)


def test_several_workers_share_the_tasks(file: Path) -> None:
    alone, told = ran(EVENTS, file, partitions=3, answer=scripted, end="fire"), Told([], [], [])
    flow = flow_of(EVENTS, file, told, partitions=3, answer=scripted, end="fire")
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    assert sorted(essence(told.outputs)) == sorted(essence(alone.outputs))


def test_every_task_has_a_part_of_the_keys(file: Path) -> None:
    told = ran(EVENTS, file, partitions=3, answer=scripted, end="fire")
    tasks: dict[str, set[str]] = {}
    for key, result in told.results:
        tasks.setdefault(key, set()).add(result.record["run"].split("-")[0])
    assert all(len(each) == 1 for each in tasks.values())
    assert len(set.union(*tasks.values())) > 1


def test_another_number_of_tasks_ends_a_resumed_flow(file: Path, tmp_path: Path) -> None:
    items, recovery = [*EVENTS[:50], TestingSource.EOF(), *EVENTS[50:]], RecoveryConfig(tmp_path)
    init_db_dir(tmp_path, 1)
    two, three = (flow_of(items, file, Told([], [], []), partitions=n, answer=scripted) for n in (2, 3))
    run_main(two, epoch_interval=AT_ONCE, recovery_config=recovery)
    with pytest.raises(Superseded, match="were shared among 2 tasks and are among 3 now"):
        run_main(three, epoch_interval=AT_ONCE, recovery_config=recovery)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (PIPELINE, {}, "these triggers ask an agent, and nobody answers: odd.*give `answer`"),
        (PIPELINE, {"partitions": 0}, "0 tasks cannot share the keys"),
        (PIPELINE.replace("each:", "eech:"), {}, r"has errors\n.*flow.yaml:7"),
        (WITH_TABLE, {"answer": scripted}, "looks up rows of tables"),
        (WITH_REGISTRY, {"answer": scripted}, "records of auth name schemas of a registry"),
    ],
)
def test_what_a_flow_cannot_give_is_refused_when_it_is_built(
    tmp_path: Path, text: str, options: dict[str, Any], said: str
) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(text)
    flow = Dataflow("theirs")
    with pytest.raises((Rejected, Misused), match=f"(?s){said}"):
        penstock("watch", op.input("in", flow, TestingSource([])), file, **options)


def test_a_missing_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    flow = Dataflow("theirs")
    with pytest.raises(PenstockError, match="the file cannot be read"):
        penstock("watch", op.input("in", flow, TestingSource([])), tmp_path / "none.yaml")


def test_without_bytewax_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['bytewax'] = None; import penstock.connectors.bytewax"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1].startswith("ImportError: penstock.connectors.bytewax needs Bytewax")
    assert "pip install penstock[bytewax]" in done.stderr
