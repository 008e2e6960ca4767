"""A wheel whose hot modules are compiled, as `PENSTOCK_COMPILED=1` makes it, unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import penstock.operators.keys as core

ROOT = Path(__file__).resolve().parents[1]
IS_COMPILED = (core.__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))
"""Whether it is what this process runs on."""


def compiled_into(out: Path, source: Path = ROOT) -> dict[str, str]:
    """Of a source tree. The environment in which a process runs on it. Raises CalledProcessError with what the build said."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    wanted = {**os.environ, "PENSTOCK_COMPILED": "1"}
    subprocess.run(build, capture_output=True, text=True, timeout=500, check=True, env=wanted)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        archive.extractall(out)
    return {**os.environ, "PYTHONPATH": str(out)}
