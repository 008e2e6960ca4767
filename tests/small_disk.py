"""A disk that is soon full: a file system of its own, in memory, where this process may mount one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BALLAST = "ballast"
BLOCK = bytes(4096)


@contextmanager
def small_disk(folder: Path, bytes_max: int) -> Iterator[Path]:
    """`folder` is made, and holds so much. The test is skipped where nothing may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={bytes_max}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, left: int) -> None:
    """With a file that holds everything but about so many bytes."""
    blocks = 0
    with (disk / BALLAST).open("wb", buffering=0) as ballast:
        try:
            while ballast.write(BLOCK) == len(BLOCK):
                blocks += 1
        except OSError:
            ballast.truncate(max(0, blocks * len(BLOCK) - left))


def make_room(disk: Path) -> None:
    (disk / BALLAST).unlink()
