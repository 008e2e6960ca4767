"""The page on testing shows what happens: its pipeline, its scenarios, and what the terminal says about both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.command_line import penstock, written

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = "$ penstock test logins.yaml\n"


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(PAGE) if name == language]


def test_the_terminal_says_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline, scenarios, *_ = blocks("yaml")
    first, second = blocks("console")
    written(tmp_path, pipeline, "logins.yaml")
    written(tmp_path, scenarios, "logins.test.yaml")
    assert COMMAND + penstock("test", "logins.yaml").out == first
    written(tmp_path, pipeline.replace("failures >= 20", "failures >= 15"), "logins.yaml")
    assert COMMAND + penstock("test", "logins.yaml").out == second


def test_the_line_with_names_to_be_filled_in_can_be_played(tmp_path: Path) -> None:
    text = blocks("yaml")[2].replace("\n", "\n    ")
    steps = f"scenarios:\n- name: one\n  expect: {{counts: {{dead: {{undecodable: 15}}}}}}\n  events:\n    {text}\n"
    written(tmp_path, blocks("yaml")[0], "logins.yaml")
    done = penstock("test", written(tmp_path, f"penstock: test/v1\n{steps}", "logins.test.yaml"))
    assert done.out.endswith("1 passed\n"), done.out + done.err
