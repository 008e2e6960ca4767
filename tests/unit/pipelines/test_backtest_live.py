"""Models that a backtest really asks: within bounds, and nothing is asked twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.command_line import Done, penstock, recording, written

from penstock.pipelines.fake_model import FakeModelServer
from penstock.pipelines.fake_work import FakeModelOptions

PIPELINE = """
penstock: v1
name: asking
sources: {{auth: {{topic: auth, key: event.host, time: {{at: event.ts, unit: ms}}}}}}
triggers:
  root: {{each: event.user == "root", agent: judge}}
  note: {{after: judge, agent: none}}
models: {{small: {{base_url: "{url}", model: tiny, price: {{input: 1, output: 1}}, request: {{max_tokens: 100}}}}}}
agents: {{judge: {{ask: "Is {{{{ key }}}} well?", answer: {{verdict: {{enum: [attack, benign]}}}}}}}}
"""
EVENTS = [{"host": f"db-{number}", "user": "root", "ts": 1_700_000_000_000 + 60_000 * number} for number in range(6)]


@pytest.fixture
async def server() -> AsyncIterator[FakeModelServer]:
    async with FakeModelServer(FakeModelOptions(tokens_per_second=400)) as server:
        yield server


@pytest.fixture
def files(server: FakeModelServer, tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path, PIPELINE.format(url=server.base_url)), recording(tmp_path, EVENTS)


async def backtested(files: tuple[Path, Path], *arguments: str | Path) -> Done:
    """In a thread of its own, while the server answers in this one."""
    file, events = files
    return await asyncio.to_thread(penstock, "backtest", file, "--input", events, "--json", *arguments)


def firings(folder: Path, name: str = "firings.jsonl") -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / name).read_bytes().splitlines()]


async def test_models_are_asked_and_their_answers_answer_another_backtest(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    live = await backtested(files, "--answers", "live", "--most-runs", "9", "--out", tmp_path / "one")
    assert (live.code, live.err) == (0, "")
    assert live.json["agents"]["judge"]["states"] == {"final": 6}
    assert live.json["triggers"]["note"]["firings"] == 6
    runs = [row for row in firings(tmp_path / "one") if row["agent"]]
    assert all(asked["seconds"] > 0 for row in runs for asked in row["route"])
    assert not live.json["estimated"]
    kept = tmp_path / "one" / "answers.jsonl"
    again = await backtested(files, "--answers", "recorded", "--recorded", kept, "--out", tmp_path / "two")
    assert firings(tmp_path / "two") == firings(tmp_path / "one")
    assert again.json["forecast"]["rates"]["small"]["origin"] == "measured"
    assert again.json["forecast"] == live.json["forecast"]


async def test_no_more_runs_are_asked_than_are_allowed_and_the_others_later(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    some = await backtested(files, "--answers", "live", "--most-runs", "2", "--out", tmp_path)
    assert some.json["agents"]["judge"]["states"] == {"asked": 4, "final": 2}
    arguments = ("--answers", "live", "--recorded", tmp_path / "answers.jsonl", "--most-runs", "3", "--out", tmp_path)
    more = await backtested(files, *arguments)
    assert more.json["agents"]["judge"]["states"] == {"asked": 1, "final": 5}
    kept = Counter(row["run"] for row in firings(tmp_path, "answers.jsonl"))
    assert (len(kept), set(kept.values())) == (5, {1})


async def test_a_candidate_is_asked_for_itself_and_within_the_same_bounds(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    candidate = written(tmp_path, files[0].read_text().replace("well?", "ill?"), "candidate.yaml")
    arguments = ("--against", candidate, "--answers", "live", "--most-runs", "9", "--out", tmp_path / "out")
    both = await backtested(files, *arguments)
    assert both.json["agents"]["judge"]["states"] == {"final": 6}
    assert both.json["candidate"]["agents"]["judge"]["states"] == {"asked": 3, "final": 3}
    names = ("answers.jsonl", "candidate-answers.jsonl")
    assert [len(firings(tmp_path / "out", name)) for name in names] == [6, 3]


async def test_a_budget_is_not_exceeded(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = await backtested(files, "--answers", "live", "--budget", "0.0006", "--out", tmp_path)
    states = done.json["agents"]["judge"]["states"]
    assert 0 < states["final"] < 6
    assert sum(row["usage"]["cost"] for row in firings(tmp_path, "answers.jsonl")) <= 0.0006


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--answers", "live", "--out", "OUT"), 2, "nothing says how much may be asked"),
        (("--answers", "live", "--most-runs", "1"), 2, "answers that are paid for are kept"),
        (("--answers", "live", "--most-runs", "1", "--out", "OUT", "-w", "2"), 2, "one process asks the models"),
        (("--answers", "live", "--budget", "much", "--out", "OUT"), 2, "'much' is no money"),
        (("--most-runs", "1"), 2, "no model is asked"),
        (("--answers", "live", "--most-runs", "1", "--out", "OUT"), 3, "no model to ask"),
    ],
)
def test_what_live_answers_need_is_said_before_anything_is_asked(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    file = written(tmp_path, PIPELINE.format(url="http://127.0.0.1:9/v1"))
    named = [text.replace("OUT", str(tmp_path / "out")) for text in arguments]
    done = penstock("backtest", file, "--input", recording(tmp_path, EVENTS), *named)
    assert (done.code, said in done.err) == (code, True), done.err
    assert "Traceback" not in done.err


def test_a_budget_needs_prices(tmp_path: Path) -> None:
    file = written(tmp_path, PIPELINE.format(url="http://127.0.0.1:9/v1").replace(", price: {input: 1, output: 1}", ""))
    events, out = recording(tmp_path, EVENTS), tmp_path / "out"
    done = penstock("backtest", file, "--input", events, "--answers", "live", "--budget", "1", "--out", out)
    assert (done.code, "nobody knows what small costs" in done.err) == (2, True)
