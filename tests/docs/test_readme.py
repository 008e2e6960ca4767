"""What the README shows is what happens: its files load, its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PENSTOCK = [sys.executable, "-m", "penstock.pipelines"]


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line.removeprefix("$ ").split("#")[0].strip() for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_pipeline_in_the_readme_loads_without_a_problem(text: str, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(text, encoding="utf-8")
    loaded = load_pipeline([file], environ={})
    assert [problem.to_text() for problem in loaded.problems] == []
    assert loaded.spec is not None


def test_every_penstock_command_in_the_readme_runs(tmp_path: Path) -> None:
    shown = [command.split()[1:] for command in commands() if command.startswith("penstock ")]
    assert shown
    for arguments in shown:
        done = subprocess.run(
            [*PENSTOCK, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 0, f"penstock {' '.join(arguments)}: {done.stderr}"


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {command.split()[1] for command in commands() if command.startswith("make ")}
    assert targets == {target for target in targets if re.search(rf"^{target}:", makefile, re.MULTILINE)}


def test_the_first_pipeline_of_init_is_the_one_in_the_readme(tmp_path: Path) -> None:
    subprocess.run([*PENSTOCK, "init", str(tmp_path / "first")], check=True, capture_output=True, timeout=60)
    written = load_pipeline([tmp_path / "first" / "pipeline.yaml"], environ={})
    shown = tmp_path / "shown.yaml"
    shown.write_text(blocks("yaml")[0], encoding="utf-8")
    assert load_pipeline([shown], environ={}).resolved == written.resolved
