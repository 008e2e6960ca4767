"""Whole deployments on a simulated cluster: whatever goes wrong, the same is told at the end; and a seed decides it all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.settings import BrokerSettings
from tests.simulation.trace import Tracer, digest_of, eventful
from tests.simulation.world import Faults, Story, World

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(int(os.environ.get("SIMULATED_SEEDS_FROM", "0")), int(os.environ.get("SIMULATED_SEEDS_TO", "6")))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_kills_change_nothing_in_what_is_told(seed: int, version: int) -> None:
    brokers = BrokerSettings(transaction_version=2 if version == 2 else 1)
    calm = Story(seed, brokers=brokers)
    told, undisturbed = World(replace(calm, faults=Faults(kills=3))).play(), World(calm).play()
    told.check()
    assert undisturbed.results
    assert told.outcomes == undisturbed.outcomes


@pytest.mark.parametrize("seed", SEEDS)
def test_stops_crashes_of_brokers_and_lost_requests_change_nothing_either(seed: int) -> None:
    story = eventful(seed)
    told, undisturbed = World(story).play(), World(replace(story, faults=Faults())).play()
    told.check()
    assert told.outcomes == undisturbed.outcomes


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
