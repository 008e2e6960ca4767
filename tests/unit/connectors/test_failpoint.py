from __future__ import annotations

import ast
import signal
import subprocess
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.connectors.failpoint import FAILPOINTS, VARIABLE, arm, failpoint
from penstock.operators.error import Rejected

ROOT = Path(__file__).resolve().parents[3]
PASSING = """
from penstock.connectors.failpoint import arm, failpoint
arm({armed!r})
for number in range(1, 5):
    failpoint("fed")
    failpoint("cut")
    print(number, flush=True)
"""


def passed_in_the_code() -> Iterator[str]:
    """The name at every call of `failpoint`."""
    for folder in ("connectors", "pipelines"):
        for source in sorted((ROOT / folder).glob("*.py")):
            for node in ast.walk(ast.parse(source.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                    (name,) = node.args
                    assert isinstance(name, ast.Constant), f"{source}:{node.lineno}: a name that can be read"
                    yield str(name.value)


def test_the_table_names_every_point_in_the_code_once_and_no_other() -> None:
    assert sorted(passed_in_the_code()) == sorted(FAILPOINTS)
    assert all(text.endswith(".") for text in FAILPOINTS.values())


@pytest.mark.parametrize(
    ("armed", "survived"), [("fed", ""), ("fed@1", ""), ("cut@3", "1\n2\n"), ("opened", "1\n2\n3\n4\n")]
)
def test_a_process_dies_where_it_is_told_to_and_nowhere_else(armed: str, survived: str) -> None:
    command = [sys.executable, "-c", PASSING.format(armed=armed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (survived, "")
    assert done.returncode == (0 if armed == "opened" else -signal.SIGKILL)


@pytest.mark.parametrize("text", ["", "nowhere", "fed@", "fed@0", "fed@-1", "fed@two", "fed@²"])
def test_what_is_no_point_is_refused_with_the_variable_that_names_it(text: str) -> None:
    with pytest.raises(Rejected, match=VARIABLE):
        arm(text)


def test_where_nothing_is_armed_a_point_costs_next_to_nothing() -> None:
    """About 30 ns; a machine that does something else meanwhile is given a lot more."""
    count = 100_000
    assert min(timeit.repeat(lambda: failpoint("fed"), number=count, repeat=5)) / count < 2e-6
