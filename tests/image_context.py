"""What the image is built from: what `.dockerignore` lets through of the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def let_through() -> list[Path]:
    """Everything is ignored but what the file names."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert lines[0] == "*"
    assert [line for line in lines[1:] if not line.startswith("!")] == ["**/__pycache__"]
    return [ROOT / line[1:] for line in lines if line.startswith("!")]


def copy_context(to: Path) -> None:
    """That, and nothing else."""
    for path in let_through():
        if path.is_dir():
            shutil.copytree(path, to / path.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, to)
