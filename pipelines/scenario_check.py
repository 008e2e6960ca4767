"""What is wrong with scenarios that only the pipeline can tell: names that there are not, answers that do not fit.

An expectation that nothing can meet is a mistake in the file, not a failure of the pipeline: it is said before anything is
played, with what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.operators.answer import AnswerShape
from penstock.operators.answer_schema import misfit
from penstock.operators.decode_csv import CsvFormat
from penstock.operators.decode_text import TextFormat
from penstock.operators.plan import Plan
from penstock.operators.trigger_semantic import Semantic
from penstock.pipelines.chain import reported
from penstock.pipelines.document import Map, key_place, place_of
from penstock.pipelines.document import Path as Steps
from penstock.pipelines.observe import COUNTED
from penstock.pipelines.problem import Code, Problem, nearest_name
from penstock.pipelines.result_schema import result_schema
from penstock.pipelines.scenario import FAULTS, Among, Expect, Scenario, ScenarioFile, Step, Tables
from penstock.pipelines.scenario_compare import SECTIONS
from penstock.pipelines.scenario_events import source_name, table_name
from penstock.pipelines.scenario_judgement import misjudged
from penstock.pipelines.spec import Spec

RESULT_FIELDS = ("trigger", "at", *result_schema()["properties"])


@dataclass(frozen=True)
class Checked:
    """Scenarios that can be played. `folder` is that of their file."""

    file: ScenarioFile
    spec: Spec
    plan: Plan
    folder: Path

    def answers_of(self, scenario: Scenario) -> dict[str, Any]:
        return {**self.file.answers, **scenario.answers}

    def tables_of(self, scenario: Scenario) -> Tables:
        names = dict.fromkeys((*self.file.tables, *scenario.tables))
        return {name: {**self.file.tables.get(name, {}), **scenario.tables.get(name, {})} for name in names}

    def start_of(self, scenario: Scenario) -> str:
        return scenario.start or self.file.start


def scenario_problems(checked: Checked, root: Map) -> list[Problem]:
    """Every mistake, each with its place."""
    return list(_Checker(checked, root).problems())


class _Checker:
    def __init__(self, checked: Checked, root: Map) -> None:
        self._file, self._spec, self._plan, self._folder = checked.file, checked.spec, checked.plan, checked.folder
        self._root = root
        self._judges = {
            planned.name: planned.trigger
            for planned in checked.plan.triggers
            if isinstance(planned.trigger, Semantic) and planned.name not in checked.plan.agents
        }
        self._triggers = {planned.name: planned for planned in checked.plan.triggers}

    def problems(self) -> Iterator[Problem]:
        yield from self._answers(self._file.answers, ("answers",))
        yield from self._rows(self._file.tables, ("tables",))
        names: dict[str, int] = {}
        for number, scenario in enumerate(self._file.scenarios):
            path: Steps = ("scenarios", number)
            if names.setdefault(scenario.name, number) != number:
                message = f"a scenario before this one is called {scenario.name!r}, too"
                yield self._problem(Code.DUPLICATE_KEY, (*path, "name"), message)
            yield from self._answers(scenario.answers, (*path, "answers"))
            yield from self._rows(scenario.tables, (*path, "tables"))
            yield from self._events(scenario.events, (*path, "events"))
            yield from self._expect(scenario.expect, (*path, "expect"))

    def _problem(self, code: Code, path: Steps, message: str, **more: Any) -> Problem:
        return Problem(code, place_of(self._root, path), message, **more)

    def _unresolved(
        self, what: str, name: str, names: Iterable[str], path: Steps, *, none: str = "there is no"
    ) -> Problem:
        """The name is the last key of the path, or its value."""
        known = list(names)
        place = key_place(self._root, path) if path[-1] == name else place_of(self._root, path)
        expected = f"one of {', '.join(known)}" if known else None
        message, near = f"{none} {what} {name!r}", nearest_name(name, known)
        return Problem(Code.UNRESOLVED, place, message, expected=expected, nearest=near)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _answers(self, answers: dict[str, Any], path: Steps) -> Iterator[Problem]:
        for name, said in answers.items():
            agent, judge = self._plan.agents.get(name), self._judges.get(name)
            if agent is None and judge is None:
                yield self._unresolved("agent", name, [*self._plan.agents, *self._judges], (*path, name))
                continue
            listed = isinstance(said, list)
            for number, answer in enumerate(said if listed else [said]):
                wrong = None if agent is None else _misfit(agent.shape, answer)
                wrong = wrong if judge is None else misjudged(judge, answer)
                if wrong is not None:
                    where: Steps = (*path, name, number) if listed else (*path, name)
                    yield self._problem(Code.WRONG_VALUE, where, f"{name} cannot answer this: {wrong}")

    def _rows(self, tables: Tables, path: Steps) -> Iterator[Problem]:
        for name in tables.keys() - self._spec.tables.keys():
            yield self._unresolved("table", name, self._spec.tables, (*path, name))

    # --- events -----------------------------------------------------------------------------------------------------

    def _events(self, steps: Iterable[Step], path: Steps) -> Iterator[Problem]:
        over = False
        for number, step in enumerate(steps):
            here: Steps = (*path, number)
            if over:
                yield self._problem(Code.WRONG_VALUE, here, "after `end: true` nothing happens any more")
                return
            over = step.end is True
            if step.end is None and step.advance is None:
                yield from self._step(step, here)

    def _row(self, step: Step, path: Steps) -> Iterator[Problem]:
        name = table_name(step, self._spec)
        if name is None:
            names = ", ".join(self._spec.tables) or "a name under `tables:`, which is empty"
            yield self._problem(
                Code.UNRESOLVED, path, "it does not say of which table", expected=f"`table:` with {names}"
            )
        elif name not in self._spec.tables:
            yield self._unresolved("table", name, self._spec.tables, (*path, "table"))

    def _step(self, step: Step, path: Steps) -> Iterator[Problem]:
        if "row" in step.deeds:
            yield from self._row(step, path)
            return
        name = source_name(step, self._spec)
        if name is None:
            names = ", ".join(self._spec.sources)
            yield self._problem(
                Code.UNRESOLVED, path, "there are several sources", expected=f"`source:` with one of {names}"
            )
        elif name not in self._spec.sources:
            yield self._unresolved("source", name, self._spec.sources, (*path, "source"))
        elif step.event is not None:
            yield from self._event(step.event, name, path)
        elif step.file is not None and not (self._folder / step.file).is_file():
            message = f"`{step.file}` is no file; the path is relative to that of the scenarios"
            yield self._problem(Code.FILE_REFERENCE, (*path, "file"), message)

    def _event(self, event: dict[str, Any], source: str, path: Steps) -> Iterator[Problem]:
        form = self._spec.sources[source].format
        if form == "text" or isinstance(form, TextFormat):
            message = f"source {source!r} reads lines of text"
            yield self._problem(Code.WRONG_VALUE, (*path, "event"), message, expected="`text:` with the line as it is")
        elif isinstance(form, CsvFormat):
            for name in event.keys() - {*form.csv.columns}:
                here, none = (*path, "event", name), f"source {source!r} has no"
                yield self._unresolved("column", name, form.csv.columns, here, none=none)

    # --- expectations -----------------------------------------------------------------------------------------------

    def _expect(self, expect: Expect, path: Steps) -> Iterator[Problem]:
        for section in SECTIONS:
            for item, where in _items(getattr(expect, section), (*path, section)):
                yield from self._names(item, where)
                if section == "results":
                    yield from self._result(item, where)
                elif section in ("firings", "corrections"):
                    yield from self._values(item, where)
                elif section == "resolved":
                    yield from self._episode(item, where)
        for word in expect.counts.keys() - COUNTED.keys():
            yield self._unresolved("count", word, COUNTED, (*path, "counts", word))

    def _names(self, item: dict[str, Any], path: Steps) -> Iterator[Problem]:
        tables = {"trigger": self._triggers, "agent": self._plan.agents, "model": self._spec.models}
        for what, known in tables.items():
            name = item.get(what)
            if name is not None and str(name) not in known:
                yield self._unresolved(what, str(name), known, (*path, what))

    def _result(self, item: dict[str, Any], path: Steps) -> Iterator[Problem]:
        for name in item.keys() - {*RESULT_FIELDS}:
            yield self._unresolved("field of a result", name, RESULT_FIELDS, (*path, name))
        triggers = item.get("triggers")
        for number, name in enumerate(triggers if isinstance(triggers, list) else ()):
            if str(name) not in self._triggers:
                yield self._unresolved("trigger", str(name), self._triggers, (*path, "triggers", number))

    def _values(self, item: dict[str, Any], path: Steps) -> Iterator[Problem]:
        planned = self._triggers.get(item.get("trigger", ""))
        known = [*self._spec.define] if planned is None else reported(self._spec, self._plan, planned)
        none = "there is no" if planned is None else f"{planned.name} reports no"
        for name in item.get("values", {}):
            if name not in known:
                yield self._unresolved("definition", name, known, (*path, "values", name), none=none)

    def _episode(self, item: dict[str, Any], path: Steps) -> Iterator[Problem]:
        planned = self._triggers.get(item.get("trigger", ""))
        if planned is not None and not planned.trigger.episodic:
            message = f"what {planned.name} begins never ends: its kind of trigger has no `resolved`"
            yield self._problem(Code.WRONG_VALUE, (*path, "trigger"), message)


def _items(listed: Any, path: Steps) -> Iterator[tuple[dict[str, Any], Steps]]:
    """Every expectation of a section and where it stands."""
    if isinstance(listed, Among):
        yield from _items(listed.any, (*path, "any"))
        yield from _items(listed.never, (*path, "never"))
        return
    for number, item in enumerate(listed or ()):
        yield (item if isinstance(item, dict) else item.model_dump(exclude_unset=True)), (*path, number)


def _misfit(shape: AnswerShape | None, answer: Any) -> str | None:
    """Why a model cannot say this as a usable answer; a word for a fault always fits."""
    if isinstance(answer, str) and answer in FAULTS:
        return None
    if shape is None:
        return None if isinstance(answer, str) else "it answers with text"
    if not isinstance(answer, dict):
        return f"it answers with a map of {', '.join(shape.fields)}, or it is one of {', '.join(FAULTS)}"
    problem = misfit(shape.schema, answer)
    return problem and f"{problem}; `unusable` stands for an answer that does not fit"
