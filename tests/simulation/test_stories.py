"""Thousands of deployments to which things happen, on all cores: whatever it is, what is due is told.

PENSTOCK_SEEDS=10000 pytest tests/simulation/test_stories.py       so many in all, over all kinds
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.stories import SMALL_FROM, STORIES

ROOT = Path(__file__).resolve().parents[2]
SEEDS = int(os.environ.get("PENSTOCK_SEEDS", "1300"))
"""About three quarters of a minute on two cores; 10,000 take four and a half there."""


def test_whatever_goes_wrong_what_is_due_is_told() -> None:
    """In a process of its own: there are no threads in it, so that it may be forked."""
    last = str(SMALL_FROM + max(1, SEEDS // len(STORIES)))
    played = subprocess.run(
        [sys.executable, "-m", "tests.simulation.stories", "all", str(SMALL_FROM), last],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert played.returncode == 0, f"{played.stdout}\n{played.stderr}"
