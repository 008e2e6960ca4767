"""The locked dependencies as files, so that no download is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tests.bench.figure import CannotRun
from tests.bench.part import ROOT

LOCK = ROOT / "requirements.lock"
PYTHON_WITH_PIP = Path(sys.base_prefix, "bin", "python3")
"""The interpreter below the virtual environment, which has no pip itself."""


def offline() -> Mapping[str, str]:
    """An environment in which pip installs what `requirements.lock` names from a folder, and asks nobody.

    The folder is filled once, by `pip download`, and kept in `.cache/`. Raises CannotRun where that fails.
    """
    folder = ROOT / ".cache" / "wheels" / sha256(LOCK.read_bytes()).hexdigest()[:12]
    if not (folder / "complete").exists():
        command = [str(PYTHON_WITH_PIP), "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
        command += ["--only-binary", ":all:", "-r", str(LOCK), "-d", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotRun(f"the dependencies could not be downloaded: {done.stderr[-1000:]}")
        (folder / "complete").touch()
    # Settings of the machine for pip, such as an index or a folder of its own, are left out.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**inherited, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def said_by(command: list[str], environ: Mapping[str, str], cwd: Path = ROOT) -> str:
    """Output of a command that must succeed. Raises CannotRun."""
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout
