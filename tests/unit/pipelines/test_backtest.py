"""A backtest and a live worker over the same records tell the same firings; recorded and scripted answers come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.command_line import written
from tests.stage import Stage
from tests.virtual_time import BEGINNING_MS

from penstock.connectors.scripted import ScriptedModel
from penstock.operators.event import ChatRequest
from penstock.operators.instant import iso_text
from penstock.pipelines.backtest import History, Job, backtest
from penstock.pipelines.backtest_recorded import UNUSABLE
from penstock.pipelines.backtest_row import ASKED, Row
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.fake_answer import simulated_answer
from penstock.pipelines.loading import load

VIRTUAL_TIME = True
PIPELINE = """
penstock: v1
name: both
sources:
  auth: {topic: auth, key: event.host, time: {at: event.ts, unit: ms}, watermark: {idle: never}}
triggers:
  odd: {each: event.n % 7 == 0, agent: judge}
  many: {when: 'count(event.n % 2 == 0, 20s) >= 4', cooldown: 5s, agent: judge}
  pair: {sequence: [{as: a, where: event.n % 5 == 0}, {as: b, where: event.n % 3 == 0}], within: 30s, agent: none}
  quiet: {absence: event.n % 4 == 0, for: 15s, agent: none}
  either: {any: [pair, quiet], agent: none}
  note: {after: judge, where: 'answer.verdict == "attack"', agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny, price: {input: 1, output: 2}}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
"""


def events() -> list[dict[str, Any]]:
    """Four hosts; time goes forward, with steps back."""
    return [
        {"host": f"host-{number * 7 % 4}", "n": number * 11 % 13, "ts": BEGINNING_MS + 1000 * number - number % 3 * 900}
        for number in range(120)
    ]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    lines = "".join(f"{orjson.dumps(event).decode()}\n" for event in events())
    return Job(written(tmp_path, PIPELINE), (), (), None, [str(written(tmp_path, lines, "auth.jsonl"))])


def history_of(job: Job, workers: int = 1) -> History:
    plan = compile_pipeline(load(job.file, (), (), None)).plan
    return backtest(job, plan, workers)


def rows_of(job: Job, workers: int = 1) -> list[Row]:
    return history_of(job, workers).rows


def answered(job: Job, folder: Path, lines: str, workers: int = 1) -> list[Row]:
    """With the answers of a former time."""
    return rows_of(replace(job, recorded=written(folder, lines, "old.jsonl")), workers)


def scripted(request: ChatRequest) -> str:
    return simulated_answer(request.messages, request.schema)


async def told_live() -> Mapping[str, Mapping[str, Any]]:
    """By run: every outcome on the results topic of a worker on the broker in memory."""
    stage = await Stage(PIPELINE).open()
    for event in events():
        await stage.front.produce("auth", event["host"].encode(), orjson.dumps(event), event["ts"])
    await stage.play(model=ScriptedModel(scripted), bounded=True)
    outcomes = {record["run"]: dict(record) for record in (await stage.told()).results if record["state"] != "resolved"}
    for record in (await stage.told()).results:
        if record["state"] == "resolved":
            outcomes[record["run"]]["over"] = record["episode"]["ends_at"]
    return outcomes


async def test_a_live_worker_and_a_backtest_tell_the_same_firings_and_answers(job: Job) -> None:
    live = await told_live()
    rows = {row.run: row for row in rows_of(Job(job.file, (), (), None, job.inputs, scripted=True))}
    assert {name: sum(row.trigger == name for row in rows.values()) > 1 for name in ("odd", "many", "pair", "quiet")} == {
        "odd": True, "many": True, "pair": True, "quiet": True,
    }  # fmt: skip
    assert {"either", "note"} < {row.trigger for row in rows.values()}
    assert rows.keys() == live.keys()
    for run, row in rows.items():
        told, told_row = live[run], row.as_json()
        assert told_row["resolved_at"] == told.get("over")
        assert [row.trigger] == told["triggers"]
        for name in ("state", "key", "by", "end", "answer", "labels", "agent"):
            assert told_row[name] == told[name], (run, name)
        assert (row.values, row.events, row.cause) == (
            told["why"]["values"],
            told["why"]["events"],
            told["why"]["fired_by"],
        )


def test_processes_share_the_work_and_say_the_same(job: Job) -> None:
    assert rows_of(job, workers=2) == rows_of(job)


def test_keys_that_were_forgotten_by_the_end_were_there(job: Job) -> None:
    job.file.write_text(f"{PIPELINE}context: {{forget: 1h}}\n")
    assert history_of(job).keys == history_of(job, workers=2).keys == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_what_follows_a_recorded_answer_fires_as_it_did_then(job: Job, tmp_path: Path, workers: int) -> None:
    then = rows_of(Job(job.file, (), (), None, job.inputs, scripted=True))
    assert any(row.trigger == "note" for row in then)
    lines = b"\n".join(orjson.dumps(row.as_json()) for row in then).decode()
    now = answered(job, tmp_path, lines, workers)
    assert [(row.run, row.state, row.answer) for row in now] == [(row.run, row.state, row.answer) for row in then]


def test_a_recorded_failure_stays_one_and_nothing_follows_it(job: Job, tmp_path: Path) -> None:
    run = next(row.run for row in rows_of(job) if row.agent == "judge")
    rows = answered(job, tmp_path, line(run=run, state="failed", reason="no model answers", answer=None))
    assert [(row.state, row.reason) for row in rows if row.run == run] == [("failed", "no model answers")]
    assert "note" not in {row.trigger for row in rows}


def test_what_follows_an_answer_does_not_fire_where_nobody_answers_though_there_is_a_fallback(job: Job) -> None:
    fallback = "  judge:\n    fallback: {verdict: attack, why: nobody knows}\n"
    job.file.write_text(PIPELINE.replace("  judge:\n", fallback))
    assert {row.trigger for row in rows_of(job)} == {"odd", "many", "pair", "quiet", "either"}


def test_without_answers_runs_are_counted_with_estimated_tokens_and_their_price(job: Job) -> None:
    asked = [row for row in rows_of(job) if row.agent == "judge"]
    assert {row.state for row in asked} == {ASKED}
    assert all(row.answer is None and row.usage.estimated and row.usage.input_tokens > 20 for row in asked)
    first = asked[0].usage
    assert first.cost == pytest.approx((first.input_tokens + 2 * first.output_tokens) / 1e6)


def test_recorded_answers_find_their_runs_with_the_tokens_of_then(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job)
    run = next(row.run for row in rows if row.agent == "judge")
    rows = answered(job, tmp_path, line(run=run, answer={"verdict": "attack", "why": "so"}))
    (row,) = (row for row in rows if row.state == "final" and row.agent == "judge")
    assert (row.run, row.answer) == (run, {"verdict": "attack", "why": "so"})
    assert (row.usage.input_tokens, row.usage.estimated) == (100, False)
    assert row.usage.cost == pytest.approx(0.00012)


def test_an_answer_of_another_run_is_found_by_trigger_key_and_time(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job)
    first = next(row for row in rows if row.agent == "judge")
    told = first.as_json() | {"run": "other", "state": "final", "answer": {"verdict": "benign", "why": "no"}}
    rows = answered(job, tmp_path, orjson.dumps(told).decode())
    assert next(row for row in rows if row.run == first.run).answer == {"verdict": "benign", "why": "no"}


def test_lines_of_tail_are_results_of_another_topic_too(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job)
    first = next(row for row in rows if row.agent == "judge")
    record = orjson.loads(line(run="other", key=first.key, answer={"verdict": "attack", "why": "so"}))
    told = {"topic": "results", "headers": {"ce_time": iso_text(first.at)}, "value": record}
    over: dict[str, Any] = {"topic": "latest", "headers": {}, "value": None}
    lines = b"\n".join(orjson.dumps(each) for each in (told, over)).decode()
    rows = answered(job, tmp_path, lines)
    assert next(row for row in rows if row.run == first.run).answer == {"verdict": "attack", "why": "so"}


def test_a_recorded_answer_that_the_file_does_not_allow_any_more_is_unusable(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job)
    run = next(row.run for row in rows if row.agent == "judge")
    rows = answered(job, tmp_path, line(run=run, answer={"verdict": "panic", "why": "so"}))
    (row,) = (row for row in rows if row.run == run)
    assert row.state == UNUSABLE
    assert "panic" in str(row.reason) or "verdict" in str(row.reason)


def line(**said: Any) -> str:
    usage = {"calls": 1, "input_tokens": 100, "cached_input_tokens": 0, "output_tokens": 10, "cost": None}
    whole = {
        "state": "final",
        "reason": None,
        "text": None,
        "usage": usage,
        "key": "k",
        "by": None,
        "triggers": ["odd"],
    }
    return orjson.dumps(whole | said).decode() + "\n"
