"""Documents do not rot: links lead somewhere, and nothing names a place that only its author had."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#\s]+)")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def test_relative_links_lead_to_files() -> None:
    dangling = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in tracked("*.md")
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert dangling == []


def test_lock_files_have_hashes_and_no_index() -> None:
    for lock in tracked("requirements*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "index-url" not in text
        assert "find-links" not in text
