"""Adds to pyproject.toml what it cannot say: with PENSTOCK_COMPILED=1 the modules that every event passes through are compiled
(docs/decisions/0035-compiling-the-core.md). Without it the wheel is plain Python, as ever."""

from __future__ import annotations

import os

from setuptools import Extension, setup

COMPILED = (
    "aggregate",
    "aggregate_content",
    "aggregate_order",
    "condition",
    "context",
    "expected_keys",
    "inputs",
    "intake",
    "key_state",
    "key_table",
    "key_timers",
    "keys",
    "rekey_intake",
    "timers",
    "unsaved",
    "watch",
    "watermark",
)
"""Of `operators`. Neither settings (pydantic) nor what the log holds (msgspec): both read annotations that are not there then."""


def _extensions() -> list[Extension]:
    if os.environ.get("PENSTOCK_COMPILED") != "1":
        return []
    try:
        from mypyc.build import mypycify  # only who compiles needs it
    except ModuleNotFoundError:
        raise SystemExit(
            "PENSTOCK_COMPILED=1 needs mypy beside setuptools: pip install setuptools mypy, then --no-build-isolation"
        ) from None

    return mypycify([f".typing/penstock/operators/{name}.py" for name in COMPILED], group_name="penstock")


setup(ext_modules=_extensions())
