"""The page on guarantees claims nothing without a test: every promise names some, and those that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ANY_NAME = re.compile(r"\w*::\w+")


def promises() -> dict[str, str]:
    """What stands under each heading of the third level, up to the next heading."""
    sections = re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)[1:]
    headings = re.findall(r"^(#{2,3}) ", PAGE, flags=re.MULTILINE)
    parts = [section.partition("\n") for section in sections]
    return {title: text for level, (title, _, text) in zip(headings, parts, strict=True) if level == "###"}


def is_there(path: str, name: str) -> bool:
    file = ROOT / path
    return file.is_file() and re.search(rf"^(async )?def {name}\(", file.read_text(encoding="utf-8"), re.M) is not None


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) == len(ANY_NAME.findall(PAGE)), "a test is named by its path from the root and its name"
    assert [f"{path}::{name}" for path, name in named if not is_there(path, name)] == []


def test_every_promise_names_a_test() -> None:
    assert promises()
    assert [title for title, text in promises().items() if not NAMED.search(text)] == []
