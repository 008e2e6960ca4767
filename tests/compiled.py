"""A wheel whose hot modules are compiled, as `PENSTOCK_COMPILED=1` makes it, unpacked."""

from __future__ import annotations

import os
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from tests.image_context import ROOT
from tests.wheel import wheel_of

import penstock.operators.keys as core

IS_COMPILED = (core.__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))
"""Whether it is what this process runs on."""


def compiled_into(out: Path, source: Path = ROOT) -> dict[str, str]:
    """Of a source tree. The environment in which a process runs on it."""
    wheel = wheel_of(source, out, {**os.environ, "PENSTOCK_COMPILED": "1"}, seconds=500)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out)
    return {**os.environ, "PYTHONPATH": str(out)}
