"""Whole deployments on a simulated cluster: a seed decides it all. What has to hold of them is in test_stories.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.stories import eventful
from tests.simulation.trace import Tracer, digest_of

ROOT = Path(__file__).resolve().parents[2]


def test_a_seed_decides_a_run_whatever_ran_before_in_this_process() -> None:
    first, second = Tracer(lines=True), Tracer(lines=True)
    digest_of(eventful(3), first)
    digest_of(eventful(4))
    digest_of(eventful(3), second)
    assert first.lines == second.lines
    assert len(first.lines or ()) > 1_000


def test_other_seeds_make_other_runs() -> None:
    assert len({digest_of(eventful(seed)) for seed in range(3)}) == 3


def test_a_seed_decides_a_run_whatever_python_hashes_strings_to() -> None:
    assert _digests("0") == _digests("1") == _digests("4294967295")


def _digests(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.trace", "1", "2"],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.split()) == 2
    return done.stdout
