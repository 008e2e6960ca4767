"""The wheel of a source tree."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def wheel_of(source: Path, out: Path, environ: Mapping[str, str] = os.environ, seconds: float = 120) -> Path:
    """Built into `out`. What the build says against it is said."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=seconds, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))
