"""How long a newcomer waits: from `make demo` in a fresh clone to the first decision.

Cloned from this repository as it is committed. Nothing is downloaded while the clock runs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import ROOT
from tests.bench.wheels import offline, said_by

SECONDS_MAX = 15.0
ROUNDS, ROUNDS_QUICK = 3, 1
DECISION = re.compile(r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}  ")
"""Results begin with the time of their firing; nothing else in the output of the demo does."""


def run(quick: bool) -> Figure:
    """Raises CannotRun without git or make, and where the demo shows no decision."""
    for tool in ("git", "make"):
        if shutil.which(tool) is None:
            raise CannotRun(f"{tool} is not here")
    offline()
    rounds = [_seconds() for _ in range(ROUNDS_QUICK if quick else ROUNDS)]
    seconds = middle(rounds)
    return Figure(
        bench="first_run",
        ours=seconds,
        other=None,
        unit="s",
        target=f"<= {SECONDS_MAX:g} s",
        ok=seconds <= SECONDS_MAX,
        detail={"rounds": rounds, "commit": said_by(["git", "rev-parse", "--short", "HEAD"], os.environ).strip()},
    )


def _seconds() -> float:
    with tempfile.TemporaryDirectory(prefix="penstock-clone-") as folder:
        clone = Path(folder) / "penstock"
        said_by(["git", "clone", "--quiet", str(ROOT), str(clone)], os.environ)
        began = time.perf_counter()
        with subprocess.Popen(
            ["make", "demo"], cwd=clone, env=offline(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as demo:  # fmt: skip
            try:
                return _first_decision(demo) - began
            finally:
                if demo.poll() is None:
                    os.killpg(demo.pid, signal.SIGTERM)


def _first_decision(demo: subprocess.Popen[str]) -> float:
    """When it was printed."""
    assert demo.stdout is not None
    said: list[str] = []
    for line in demo.stdout:
        if DECISION.match(line):
            return time.perf_counter()
        said.append(line)
    raise CannotRun(f"`make demo` ended without a decision: {''.join(said)[-1000:]}")
