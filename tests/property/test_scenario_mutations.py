"""Whatever happens to a file of scenarios, it is played or has problems, each inside the file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

from hypothesis import event, given
from hypothesis import strategies as st
from tests.property.mutated import Change, changes

from penstock.pipelines.problem import LINE_BREAK
from penstock.pipelines.scenario_file import Options, load_suite
from penstock.pipelines.scenario_report import Report, explanation, json_text, junit
from penstock.pipelines.scenario_verdict import verdict

EXAMPLES = Path(str(files("penstock.pipelines").joinpath("examples")))


@given(st.sampled_from(["ssh_watch", "machine_temperature"]), st.lists(changes(), min_size=1, max_size=3))
def test_mutated_scenarios_are_played_or_have_problems(name: str, mutations: list[Change]) -> None:
    text = (EXAMPLES / f"{name}.test.yaml").read_text(encoding="utf-8")
    for change in mutations:
        text = change(text)
    content = text.encode("utf-8", "replace")
    with TemporaryDirectory() as folder:
        copy(EXAMPLES / f"{name}.yaml", folder)
        path = Path(folder, f"{name}.test.yaml")
        path.write_bytes(content)
        check(path, content.decode())


def check(path: Path, text: str) -> None:
    suite = load_suite(path, Options())
    assert (suite.checked is None) == bool(suite.problems)
    lines = LINE_BREAK.split(text.removeprefix("\ufeff"))
    for problem in suite.problems:
        if problem.place.file == str(path):
            assert 1 <= problem.place.line <= len(lines), problem
            assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1, problem
    verdicts = []
    if suite.checked is not None:
        verdicts = [verdict(path, suite.lines[each.name], suite.checked, each) for each in suite.scenarios]
        event("all hold" if all(each.ok for each in verdicts) else "some fail")
    for each in verdicts:
        assert each.ok == (not list(explanation(each))) or each.notes
    report = Report(verdicts, suite.problems)
    json_text(report).encode()
    junit(report).encode()
