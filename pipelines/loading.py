"""What commands share: the file with its overlays, or its problems on stderr and exit code 1."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from penstock.operators.error import Rejected
from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.problem import has_errors
from penstock.pipelines.spec import Spec


def load(
    file: Path,
    overlays: Sequence[Path] | None,
    sets: Sequence[str] | None,
    env_file: Path | None,
    extra: Mapping[str, str] | None = None,
) -> Loaded:
    """The file as the options say; variables of the environment win over those of `env_file`, `extra` over both."""
    environ = {**_variables(env_file), **os.environ, **(extra or {})}
    return load_pipeline([file, *(overlays or ())], sets=sets or (), environ=environ)


def _variables(env_file: Path | None) -> dict[str, str]:
    if env_file is None:
        return {}
    try:
        lines = env_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(f"cannot be read: {error}", where=str(env_file), remedy="check --env-file") from error
    pairs = (line.split("=", 1) for line in map(str.strip, lines) if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def usable(loaded: Loaded) -> tuple[Spec, Pipeline]:
    """The compiled pipeline; where the file has errors they are printed and the process ends with 1. Warnings are printed."""
    for problem in loaded.problems:
        typer.echo(problem.to_text(), err=True)
    if loaded.spec is None or has_errors(loaded.problems):
        raise typer.Exit(1)
    return loaded.spec, compile_pipeline(loaded)
