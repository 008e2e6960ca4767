"""What a backtest reads: whose recordings they are, and the lines of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.command_line import RULES, written

from penstock.operators.error import Misused, Rejected
from penstock.operators.plan import Plan
from penstock.pipelines.backtest_input import blocks, inputs_of
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline

TWO = RULES.replace("triggers:", "  flow: {topic: flow, key: event.host}\ntriggers:")


def plan_in(folder: Path, text: str) -> Plan:
    return compile_pipeline(load_pipeline([written(folder, text)], environ={})).plan


def values(plan: Plan, *options: str, size: int = 1 << 18) -> list[bytes]:
    inputs = inputs_of(plan, options).values()
    return [value or b"" for files in inputs for block in blocks(files, size) for value in block.values]


@pytest.mark.parametrize("size", [1, 3, 1 << 18])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_come_whole_whatever_the_blocks_are(size: int, end: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(f'{{"host":"a"}}{end}{end}{{"host":"b"}}'.encode())
    assert values(plan_in(tmp_path, RULES), str(file), size=size) == [b'{"host":"a"}', b'{"host":"b"}']


def test_what_was_read_comes_to_the_size_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '{"host":"a"}\n' * 99, "a.jsonl")
    (files,) = inputs_of(plan_in(tmp_path, RULES), [str(file)]).values()
    assert sum(block.read for block in blocks(files, 100)) == files[0].size


def test_a_folder_is_read_in_the_order_of_names_packed_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "2.jsonl.gz").write_bytes(gzip.compress(b"two\n"))
    written(folder, "one\n", "1.log")
    written(folder, "host,outcome\nthree,3\n", "3.csv")
    written(folder, "never\n", "4.parquet")
    assert values(plan_in(tmp_path, RULES), str(folder)) == [b"one", b"two", b"three,3"]


def test_recordings_are_named_and_one_may_go_without(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, TWO)
    auth, flow = (str(written(tmp_path, f"{name}\n", f"{name}.log")) for name in ("auth", "flow"))
    assert values(plan, f"flow={flow}", auth) == [b"flow", b"auth"]
    assert [*inputs_of(plan, [auth, f"flow={flow}"])] == ["auth", "flow"]


def test_a_path_may_hold_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "x\n", "day=1.log")
    monkeypatch.chdir(tmp_path)
    assert values(plan_in(tmp_path, RULES), "day=1.log") == [b"x"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to read"),
        (["nope=a.log"], "no source 'nope'.*auth, flow"),
        (["a.log"], "whose recording is a.log"),
    ],
)
def test_an_input_of_nobody_is_misuse(options: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(Misused, match=said):
        inputs_of(plan_in(tmp_path, TWO), options)


def test_a_file_that_is_not_there_and_one_that_is_damaged_are_refused_by_name(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, RULES)
    with pytest.raises(Rejected, match=r"gone\.jsonl.*No such file"):
        inputs_of(plan, [str(tmp_path / "gone.jsonl")])
    damaged = tmp_path / "cut.jsonl.gz"
    damaged.write_bytes(gzip.compress(b"x\n" * 1000)[:20])
    with pytest.raises(Rejected, match=r"cut\.jsonl\.gz: cannot be read"):
        inputs_of(plan, [str(damaged)])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Rejected, match="holds no recording"):
        inputs_of(plan, [str(empty)])
