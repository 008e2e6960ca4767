"""The pages in docs/ say what the code does: their files load, their commands parse, their names exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.binary_records import descriptor_set
from tests.command_line import commands

from penstock.pipelines import meters, observe
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.observe_inputs import INPUT_COUNTED
from penstock.pipelines.problem import Code
from penstock.pipelines.spec import Spec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(penstock [^`\n]+)`")
REST = {
    "penstock": "v1",
    "name": "page",
    "sources": {"any": {"topic": "any", "key": "event.host"}},
    "triggers": {"any": {"each": "has(event.x)", "agent": "none"}},
    "models": {"any": {"base_url": "http://localhost:8000/v1", "model": "any"}},
    "agents": {"any": {"ask": "What is it?"}},
}
"""What a block leaves out because it is about something else."""
BESIDE = {
    "reading.avsc": b'{"type": "record", "name": "Reading", "fields": [{"name": "machine", "type": "string"}]}',
    "press.desc": descriptor_set(),
    "secrets/registry": b"secret",
    "acme/scoring.py": b"def entropy(text): return len(set(text))",
}
"""Files that the pages' files refer to."""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    yield from BLOCK.findall(page.read_text(encoding="utf-8"))


def files_shown() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every YAML block that is a pipeline or whole sections of one."""
    for page in PAGES:
        for number, (language, text) in enumerate(blocks(page)):
            shown = YAML(typ="safe", pure=True).load(text) if language == "yaml" else None
            if isinstance(shown, dict) and shown.keys() <= Spec.model_fields.keys():
                yield f"{page.stem}-{number}", shown


def commands_shown() -> Iterator[tuple[str, list[str]]]:
    """Every line of a block that calls penstock, as words; lines that end with a backslash go on."""
    for page in PAGES:
        for language, text in blocks(page):
            if language in ("", "sh", "console"):
                for line in text.replace("\\\n", " ").splitlines():
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    if words[:1] == ["penstock"]:
                        yield f"{page.stem}: {' '.join(words)}", words[1:]


FILES, COMMANDS = dict(files_shown()), dict(commands_shown())


@pytest.mark.parametrize("name", FILES)
def test_every_section_of_a_file_that_a_page_shows_loads_without_a_problem(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, content in BESIDE.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "pipeline.yaml"
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe", pure=True).dump({**REST, **FILES[name]}, out)
    loaded = load_pipeline([file], environ={})
    assert [problem.to_text() for problem in loaded.problems] == []
    assert loaded.spec is not None


def command_of(words: list[str]) -> tuple[str, ...]:
    """The words that name the command at the beginning of a line."""
    known = commands()
    return next((path for path in known if tuple(words[: len(path)]) == path), ())


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_that_a_page_shows_parses(line: str) -> None:
    words = COMMANDS[line]
    path = command_of(words)
    assert path, f"there is no such command: {line}"
    commands()[path].make_context(path[-1], words[len(path) :])


def test_every_command_and_option_in_the_text_exists() -> None:
    known = commands()
    groups = {path[:length] for path in known for length in range(1, len(path) + 1)}
    wrong = []
    for page in PAGES:
        for text in INLINE.findall(page.read_text(encoding="utf-8")):
            words = text.split()[1:]
            path = command_of(words)
            options = (
                {name for command in [known[path]] for each in command.params for name in each.opts} if path else set()
            )
            given = {word for word in words if word.startswith("--")}
            if (not path and (words[0],) not in groups) or not given <= options | {"--version", "--help"}:
                wrong.append(f"{page.name}: {text}")
    assert wrong == []


def metric_names() -> set[str]:
    """As Prometheus sees them: counters end with `_total`, what is only information with `_info`."""
    sources = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (observe, meters))
    suffixes = {"Counter": "_total", "Gauge": "", "Info": "_info", "Histogram": ""}
    literal = re.compile(r'(Counter|Gauge|Info)(?:MetricFamily)\(\s*"(penstock_\w+)"|(Histogram)\(\s*"(penstock_\w+)"')
    written = {
        (one or other_kind, name or other_name) for one, name, other_kind, other_name in literal.findall(sources)
    }
    tables = {f"penstock_{counted.name}_total" for counted in observe.COUNTED.values()}
    tables |= {f"penstock_{name}" for name, *_ in (*observe.TASK_GAUGES, *observe.ENDPOINT_GAUGES)}
    tables |= {f"penstock_input_{name}_total" for name in INPUT_COUNTED}
    return tables | {name + suffixes[kind] for kind, name in written} | {"penstock_task_open"}


def test_the_page_on_operations_lists_every_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(penstock_\w+)` \|", page, re.MULTILINE)) == metric_names()
    assert set(re.findall(r"\bpenstock_\w+", page)) <= metric_names()


def test_the_page_on_errors_has_a_section_for_every_code_and_no_other() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (PS\d+)$", page, re.MULTILINE) == [code.value for code in Code]


def test_the_page_on_operations_names_every_variable_that_is_read() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pipelines").glob("*.py"))
    assert set(re.findall(r'"(PENSTOCK_[A-Z]+)"', sources)) == set(re.findall(r"`(PENSTOCK_[A-Z]+)", page))


def test_every_page_is_in_the_list_of_the_readme_or_of_its_own_part() -> None:
    lists = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/triggers.md"))
    pages = [page for page in PAGES[1:] if page.parent.name != "decisions"]
    assert [page.name for page in pages if f"{page.parent.name}/{page.name})" not in lists] == []
