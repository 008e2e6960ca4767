"""Files of scenarios: where they are, and what is in them or wrong with them.

ssh.yaml  ◀── beside ──  ssh.test.yaml
   └─ load, overlays, --set ─▶ plan ─▶ Suite ◀─ settings ◀─ tree with positions ─┘
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from penstock.operators.error import Misused, Rejected
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.document import Map, matching, place_of, plain_value
from penstock.pipelines.load import FREE, read_file
from penstock.pipelines.loading import load
from penstock.pipelines.problem import Code, Place, Problem, has_errors, settled
from penstock.pipelines.scenario import Scenario, ScenarioFile
from penstock.pipelines.scenario_check import Checked, scenario_problems
from penstock.pipelines.spec_problem import spec_problems
from penstock.pipelines.yaml_file import YamlFile

MARK = ".test"
SUFFIXES = (".yaml", ".yml")
_EXPECTED = "`penstock: test/v1` and `scenarios:`"


@dataclass(frozen=True, slots=True)
class Options:
    """How pipelines are loaded: as everywhere."""

    overlays: Sequence[Path] = ()
    sets: Sequence[str] = ()
    env_file: Path | None = None


@dataclass(frozen=True)
class Suite:
    """A file of scenarios and its pipeline. `checked` is None exactly if there are problems.

    `watched` are the files that it was read from, recordings among them.
    """

    path: Path
    scenarios: Sequence[Scenario]
    checked: Checked | None
    problems: list[Problem]
    watched: frozenset[Path]
    lines: Mapping[str, int]
    """Where each scenario begins, by its name."""


def is_scenario_file(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.stem.endswith(MARK)


def beside(pipeline: Path) -> Path:
    """`ssh.test.yaml` for `ssh.yaml`."""
    return pipeline.with_name(f"{pipeline.stem}{MARK}{pipeline.suffix}")


def pipeline_of(scenarios: Path) -> Path:
    return scenarios.with_name(f"{scenarios.stem.removesuffix(MARK)}{scenarios.suffix}")


def scenario_files(given: Sequence[Path]) -> list[Path]:
    """Those named, those beside the pipelines named, and those below the folders named (default: the current one), once each.

    Raises Misused where something named has none.
    """
    found: dict[Path, None] = {}
    for path in given or [Path()]:
        below = _below(path) if path.is_dir() else [path if is_scenario_file(path) else beside(path)]
        if path.is_dir() and not below:
            raise Misused("there are no scenarios", where=str(path), remedy="write ssh.test.yaml beside ssh.yaml")
        if not path.is_dir() and not is_scenario_file(path) and not below[0].exists():
            raise Misused("it has no scenarios", where=str(path), remedy=f"write {below[0]}")
        found.update(dict.fromkeys(below))
    return list(found)


def _below(folder: Path) -> list[Path]:
    """In order. Hidden folders and virtual environments are left out: examples of installed packages are not yours."""
    found = []
    for at, folders, names in os.walk(folder):
        here = Path(at)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not (here / name / "pyvenv.cfg").exists()
        )
        found += [here / name for name in sorted(names) if is_scenario_file(Path(name))]
    return found


def load_suite(path: Path, options: Options) -> Suite:
    """Bad input is problems, never an exception."""
    file = read_file(path)
    problems = list(map(_in_words_of_scenarios, file.problems))
    root = None if file.root is None else _without_free(file.root)
    scenarios = None
    if root is not None:
        scenarios, more = _parsed(root)
        problems += [problem for problem in more if problem.place.line not in file.mended]
    if root is None or scenarios is None or has_errors(problems):
        return Suite(path, (), None, settled(problems, {file.name: file.text}), frozenset({path}), {})
    return _with_pipeline(path, file, root, scenarios, options)


def _in_words_of_scenarios(problem: Problem) -> Problem:
    return replace(problem, expected=_EXPECTED) if problem.code is Code.NOT_A_PIPELINE else problem


def _without_free(root: Map) -> Map:
    return Map({name: entry for name, entry in root.entries.items() if not name.startswith(FREE)}, root.place)


def _parsed(root: Map) -> tuple[ScenarioFile | None, list[Problem]]:
    try:
        return ScenarioFile.model_validate(plain_value(root)), []
    except ValidationError as error:
        return None, spec_problems(error, root, root, ScenarioFile)


def _with_pipeline(path: Path, file: YamlFile, root: Map, parsed: ScenarioFile, options: Options) -> Suite:
    pipeline = pipeline_of(path) if parsed.pipeline is None else path.parent / parsed.pipeline
    loaded = load(pipeline, options.overlays, [*parsed.set, *options.sets], options.env_file, parsed.env)
    watched = {path, pipeline, *options.overlays, *(loaded.folder / name for name in loaded.files)}
    lines = {scenario.name: line for scenario, line in zip(parsed.scenarios, _lines(root), strict=True)}
    suite = Suite(path, parsed.scenarios, None, [], frozenset(watched), lines)
    if loaded.spec is None:
        return replace(suite, problems=[problem for problem in loaded.problems if problem.severity == "error"])
    try:
        plan = compile_pipeline(loaded).plan
    except Rejected as error:
        return replace(suite, problems=[Problem(Code.NOT_A_PIPELINE, Place(str(pipeline), 1, 1), str(error))])
    checked = Checked(parsed, loaded.spec, plan, path.parent)
    problems = settled(scenario_problems(checked, root), {file.name: file.text})
    recordings = {path.parent / step.file for each in parsed.scenarios for step in each.events if step.file}
    return replace(
        suite, checked=None if problems else checked, problems=problems, watched=frozenset(watched | recordings)
    )


def _lines(root: Map) -> Iterator[int]:
    return (place_of(root, path).line for path, _ in matching(root, "scenarios.*"))
