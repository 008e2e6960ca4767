"""The command line, called in this process: quick, and what it prints can be looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from penstock.pipelines.cli import app, main

RULES = """
penstock: v1
name: rules
sources:
  auth: {topic: auth, key: event.host}
triggers:
  root: {each: event.user == "root", agent: none}
  many: {when: 'count(event.outcome == "failed", 60s) >= 3', agent: none}
"""
"""No agent and no model: a result per match."""

COMMAND = [sys.executable, "-m", "penstock.pipelines"]
"""For what needs a process of its own."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


def penstock(*arguments: str | Path) -> Done:
    """Run one command to its end."""
    out, err = StringIO(), StringIO()
    code: int | str | None = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def commands() -> dict[tuple[str, ...], TyperCommand]:
    """Every command by its words, such as `("topics", "plan")`."""
    found: dict[tuple[str, ...], TyperCommand] = {}
    waiting: list[tuple[tuple[str, ...], object]] = [((), get_command(app))]
    while waiting:
        path, command = waiting.pop()
        if isinstance(command, TyperGroup):
            waiting += [((*path, name), each) for name, each in command.commands.items()]
        elif isinstance(command, TyperCommand):
            found[path] = command
    return dict(sorted(found.items()))


def written(folder: Path, text: str, name: str = "pipeline.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def recording(folder: Path, events: Sequence[dict[str, Any]], name: str = "events.jsonl") -> Path:
    return written(folder, "".join(f"{orjson.dumps(event).decode()}\n" for event in events), name)


def failures(count: int, host: str = "web-1") -> list[dict[str, Any]]:
    return [{"host": host, "outcome": "failed", "user": f"user-{number}"} for number in range(count)]
