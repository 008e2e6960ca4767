"""How a problem looks: to people, to programs, to GitHub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.pipelines.problem import SHOWN_CHARACTERS, Code, Place, Problem, problems_to_json, settled

PROBLEM = Problem(
    Code.UNKNOWN_FIELD,
    Place("a,b.yaml", 2, 4),
    'unknown field "windw"',
    expected="one of last, window",
    nearest="window",
)


def test_text_has_the_line_and_a_caret() -> None:
    (problem,) = settled([PROBLEM], {"a,b.yaml": "context:\n\t  windw: 1\n"})
    assert problem.to_text() == (
        'a,b.yaml:2:4 error PS010: unknown field "windw"; expected one of last, window; did you mean "window"?\n'
        "  2 | \t  windw: 1\n"
        "    | \t  ^"
    )


@pytest.mark.parametrize("column", [4, 120, 250, 499, 500])
def test_of_a_long_line_the_part_around_the_caret_is_shown(column: int) -> None:
    line = " " * (column - 1) + "#" + "x" * (500 - column)
    (problem,) = settled([replace(PROBLEM, place=Place("a.yaml", 1, column))], {"a.yaml": f"{line}\n"})
    _, source, below = problem.to_text().splitlines()
    assert len(source) <= SHOWN_CHARACTERS + len("  1 | ……")
    assert source[below.index("^")] == "#"
    assert "…" in source


def test_json_has_all_parts_and_no_line() -> None:
    assert problems_to_json([PROBLEM]) == {
        "ok": False,
        "problems": [
            {
                "code": "PS010", "severity": "error", "file": "a,b.yaml", "line": 2, "column": 4,
                "message": 'unknown field "windw"', "expected": "one of last, window", "nearest": "window",
            }
        ],
    }  # fmt: skip


def test_github_gets_its_separators_escaped() -> None:
    problem = Problem(Code.NOT_YAML, Place("a,b.yaml", 2, 4), "100 %\nno", "warning")
    assert problem.to_github() == "::warning file=a%2Cb.yaml,line=2,col=4,title=PS002::100 %25%0Ano"


def test_problems_stand_once_inside_the_file_and_in_the_order_of_the_files() -> None:
    def at(file: str, line: int, column: int) -> Problem:
        return Problem(Code.NOT_YAML, Place(file, line, column), "x")

    found = settled(
        [at("b", 9, 9), at("a", 2, 1), at("b", 1, 1), at("a", 2, 1), at("a", 1, 7)], {"b": "xy", "a": "1\n2"}
    )
    assert [(p.place.file, p.place.line, p.place.column) for p in found] == [
        ("b", 1, 1),
        ("b", 1, 3),
        ("a", 1, 2),
        ("a", 2, 1),
    ]


def test_every_code_has_its_section_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "errors.md").read_text()
    sections = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### PS")]
    assert sections == [code.value for code in Code]
