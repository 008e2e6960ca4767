"""Profiles for Hypothesis and one check of the house: the four folders are importable as `penstock.*` only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.recorded import FOLDER, NO_FOLDER

pytest_plugins = ["tests.kafka_cluster", "tests.kafka_world"]

BARE_NAMES = ("operators", "state", "connectors", "pipelines")

settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("deep", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of real recordings, which the repository does not ship; `PENSTOCK_RECORDINGS` names another one."""
    if not FOLDER.is_dir():
        pytest.skip(NO_FOLDER)
    return FOLDER


def pytest_sessionfinish() -> None:
    leaked = [name for name in BARE_NAMES if name in sys.modules]
    assert not leaked, f"imported by their bare names: {leaked}; write penstock.<folder>"
