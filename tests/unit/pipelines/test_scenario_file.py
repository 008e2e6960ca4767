"""Where scenarios are, and which pipeline they are about."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command_line import written
from tests.scenarios import LOGINS, suite_of

from penstock.operators.error import Misused
from penstock.pipelines.scenario_file import Options, beside, is_scenario_file, load_suite, pipeline_of, scenario_files

ONE = "scenarios: [{name: one, events: [{event: {host: a}}], expect: {none: true}}]\n"


def touched(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_scenarios_stand_beside_their_pipeline() -> None:
    assert beside(Path("a/ssh.yaml")) == Path("a/ssh.test.yaml")
    assert beside(Path("ssh.yml")) == Path("ssh.test.yml")
    assert pipeline_of(Path("a/ssh.test.yaml")) == Path("a/ssh.yaml")
    assert [is_scenario_file(Path(name)) for name in ("a.test.yaml", "test.yaml", "a.test.json")] == [
        True,
        False,
        False,
    ]


def test_files_are_found_by_name_beside_a_pipeline_and_below_a_folder(tmp_path: Path) -> None:
    first, pipeline, second, _ = touched(tmp_path, "a/x.test.yaml", "a/x.yaml", "b/c/y.test.yml", "b/other.yaml")
    assert scenario_files([first]) == scenario_files([pipeline]) == [first]
    assert scenario_files([tmp_path]) == [first, second]
    assert scenario_files([second, tmp_path, pipeline]) == [second, first]


def test_the_current_folder_is_searched_where_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "x.test.yaml")
    monkeypatch.chdir(tmp_path)
    assert scenario_files([]) == [Path("x.test.yaml")]


def test_hidden_folders_and_virtual_environments_hold_nobodys_scenarios(tmp_path: Path) -> None:
    touched(tmp_path, ".git/a.test.yaml", "env/pyvenv.cfg", "env/lib/b.test.yaml")
    with pytest.raises(Misused, match=r"there are no scenarios .write ssh\.test\.yaml beside ssh\.yaml"):
        scenario_files([tmp_path])


def test_a_pipeline_without_scenarios_is_told_with_what_to_write(tmp_path: Path) -> None:
    (pipeline,) = touched(tmp_path, "x.yaml")
    with pytest.raises(Misused, match=r"x\.yaml: it has no scenarios .write .*x\.test\.yaml"):
        scenario_files([pipeline])


def test_a_file_that_is_not_there_is_a_problem_of_its_own(tmp_path: Path) -> None:
    (only,) = load_suite(tmp_path / "x.test.yaml", Options()).problems
    assert only.to_text().endswith("x.test.yaml:1:1 error PS001: the file cannot be read: no such file or directory")


def test_a_file_that_is_something_else_says_what_it_should_be(tmp_path: Path) -> None:
    for text in ("", "- a list\n"):
        (only,) = load_suite(written(tmp_path, text, "x.test.yaml"), Options()).problems
        assert only.expected == "`penstock: test/v1` and `scenarios:`"
    pipeline = load_suite(written(tmp_path, LOGINS, "x.test.yaml"), Options())
    assert "`penstock` is 'v1'; expected test/v1" in [problem.sentence() for problem in pipeline.problems]


def test_a_line_that_yaml_cannot_read_is_told_once(tmp_path: Path) -> None:
    text = "scenarios:\n  - name: one\n    events:\n      - text: sshd[1]: failed\n    expect: {none: true}\n"
    (only,) = suite_of(tmp_path, text).problems
    assert only.sentence().endswith("put the value in quotes: 'sshd[1]: failed'")


def test_another_pipeline_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    written(tmp_path, LOGINS, "logins.yaml")
    file = written(tmp_path / "deep", f"penstock: test/v1\npipeline: ../logins.yaml\n{ONE}", "x.test.yaml")
    assert load_suite(file, Options()).checked is not None


def test_errors_of_the_pipeline_are_told_at_their_places(tmp_path: Path) -> None:
    (only,) = suite_of(tmp_path, ONE, LOGINS.replace("topic:", "topci:", 1)).problems[:1]
    assert only.place.file == str(tmp_path / "logins.yaml")
    (gone,) = load_suite(written(tmp_path, f"penstock: test/v1\n{ONE}", "gone.test.yaml"), Options()).problems
    assert gone.to_text().endswith("gone.yaml:1:1 error PS001: the file cannot be read: no such file or directory")


def test_the_pipeline_is_loaded_with_variables_values_and_overlays(tmp_path: Path) -> None:
    pipeline = LOGINS.replace("name: logins", 'name: logins\nlabels: {a: "${A}", b: b, c: c, d: d}')
    overlay = written(tmp_path, "labels: {d: overlaid}\n", "over.yaml")
    suite = suite_of(
        tmp_path,
        f"env: {{A: from the file}}\nset: [labels.b=set, labels.c=set]\n{ONE}",
        pipeline,
        Options([overlay], ["labels.c=last"]),
    )
    assert suite.checked is not None
    assert suite.checked.plan.labels == {"a": "from the file", "b": "set", "c": "last", "d": "overlaid"}


def test_everything_that_it_depends_on_is_known(tmp_path: Path) -> None:
    touched(tmp_path, "rec.jsonl", "system.md")
    pipeline = LOGINS.replace("ask: Sum it up.", "ask: Sum it up., system: {file: system.md}")
    steps = "{name: one, events: [{file: rec.jsonl}], expect: {none: true}}"
    suite = suite_of(tmp_path, f"scenarios: [{steps}]\n", pipeline)
    assert {path.name for path in suite.watched} == {"logins.yaml", "logins.test.yaml", "rec.jsonl", "system.md"}
    assert suite.lines == {"one": 2}


def test_keys_with_x_are_a_home_for_anchors(tmp_path: Path) -> None:
    text = "x-events: &all [{event: {host: a}}]\nscenarios: [{name: one, events: *all, expect: {none: true}}]\n"
    assert suite_of(tmp_path, text).checked is not None
