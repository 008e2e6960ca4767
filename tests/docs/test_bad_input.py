"""Every row of the page on bad input names a test that exists, and every test of that file stands in a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
TESTS = "tests/unit/pipelines/test_bad_input.py"
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| (?!input|---)", line)]
NAMED = re.compile(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`")


def is_there(path: str, name: str) -> bool:
    source = (ROOT / (path or TESTS)).read_text(encoding="utf-8")
    return re.search(rf"^(async )?def {name}\(", source, re.MULTILINE) is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_a_row_names_a_test_that_exists(row: list[str]) -> None:
    assert len(row) == 5
    named = NAMED.findall(row[-1])
    assert named
    assert [name for path, name in named if not is_there(path, name)] == []


def test_every_test_of_bad_input_stands_in_a_row() -> None:
    written = re.findall(r"^def (test_\w+)\(", (ROOT / TESTS).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for path, name in NAMED.findall(PAGE) if not path) == sorted(written)
