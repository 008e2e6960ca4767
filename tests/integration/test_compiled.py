"""The wheel whose hot modules are compiled: the tests of the operators pass on it, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADER = Path(sysconfig.get_path("include"), "Python.h")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the wheel."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    wanted = {**os.environ, "PENSTOCK_COMPILED": "1"}
    done = subprocess.run(build, capture_output=True, text=True, timeout=500, check=False, env=wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        archive.extractall(out)
    return out


@pytest.mark.skipif(not HEADER.exists() or shutil.which("cc") is None, reason="needs a C compiler and Python's headers")
@pytest.mark.timeout(900)
def test_what_is_compiled_passes_the_tests_of_the_operators(compiled: Path) -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/operators", "tests/unit/state"]
    first = {**os.environ, "PYTHONPATH": str(compiled)}
    code = "import penstock.operators.keys as keys; print(keys.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=first)
    assert found.stdout.strip().endswith(tuple(EXTENSION_SUFFIXES)), found.stdout
    done = subprocess.run(tests, capture_output=True, text=True, timeout=500, check=False, env=first, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4_000:]
