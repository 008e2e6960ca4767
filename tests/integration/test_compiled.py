"""The wheel whose hot modules are compiled, from what an image is made of: the tests of the operators pass on it, too."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.compiled import compiled_into
from tests.image_context import ROOT, copy_context

HEADER = Path(sysconfig.get_path("include"), "Python.h")


@pytest.mark.skipif(not HEADER.exists() or shutil.which("cc") is None, reason="needs a C compiler and Python's headers")
@pytest.mark.timeout(1_000)
def test_what_is_compiled_passes_the_tests_of_the_operators(tmp_path: Path) -> None:
    context, out = tmp_path / "context", tmp_path / "out"
    context.mkdir()
    copy_context(context)
    env = compiled_into(out, context)
    check = [sys.executable, "-c", "from tests.compiled import IS_COMPILED as it; print(it)"]
    assert subprocess.run(check, capture_output=True, text=True, check=True, env=env, cwd=ROOT).stdout == "True\n"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/operators", "tests/unit/state"]
    done = subprocess.run(tests, capture_output=True, text=True, timeout=500, check=False, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4_000:]
