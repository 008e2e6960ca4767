"""`penstock test`, as somebody at a terminal meets it."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import pytest
from tests.command_line import penstock, written
from tests.scenarios import FAILED, LOGINS

from penstock.pipelines.command_test import PlayOptions, watch
from penstock.pipelines.scenario_file import Options

EXAMPLES = Path(str(files("penstock.pipelines").joinpath("examples")))
ONE = f"{{name: three failures, events: [{FAILED}], expect: {{firings: [{{trigger: many}}]}}}}"
GOOD = f"penstock: test/v1\nscenarios:\n  - {ONE}\n"
BAD = GOOD.replace("trigger: many", "trigger: root")


def scenarios(folder: Path, text: str = GOOD) -> Path:
    written(folder, LOGINS, "logins.yaml")
    return written(folder, text, "logins.test.yaml")


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.test.yaml")), ids=lambda path: str(path.stem))
def test_the_scenarios_of_the_examples_hold(example: Path) -> None:
    done = penstock("test", example)
    assert (done.code, done.err) == (0, ""), done.out
    assert done.out.endswith(" passed\n")


def test_every_example_has_scenarios() -> None:
    pipelines = {path.stem for path in EXAMPLES.glob("*.yaml") if ".test." not in path.name}
    assert pipelines == {path.name.removesuffix(".test.yaml") for path in EXAMPLES.glob("*.test.yaml")}


def test_what_init_writes_holds(tmp_path: Path) -> None:
    assert penstock("init", tmp_path / "w").code == 0
    done = penstock("test", tmp_path / "w")
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 passed")


def test_a_failure_is_exit_code_1_and_says_why(tmp_path: Path) -> None:
    done = penstock("test", scenarios(tmp_path, BAD))
    assert (done.code, done.err) == (1, "")
    assert "firing 1 did not happen: root" in done.out
    assert done.out.endswith("0 passed, 1 failed\n")


def test_a_bad_file_is_exit_code_1_with_its_problems_while_the_others_are_played(tmp_path: Path) -> None:
    scenarios(tmp_path)
    written(tmp_path, GOOD.replace("many", "mny"), "other.test.yaml")
    written(tmp_path, LOGINS, "other.yaml")
    done = penstock("test", tmp_path)
    assert done.code == 1
    assert "other.test.yaml:3:" in done.err
    assert done.out.endswith("1 passed, 1 file with errors\n")


@pytest.mark.parametrize("options", [["-k", "nothing like it"], ["no.yaml"], ["empty"]])
def test_where_there_is_nothing_to_play_the_usage_is_wrong(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    scenarios(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = penstock("test", *options)
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_scenarios_are_chosen_by_a_part_of_their_names(tmp_path: Path) -> None:
    file = scenarios(tmp_path, GOOD + BAD.splitlines()[-1].replace("three", "Four") + "\n")
    assert penstock("test", file, "-k", "three").out.endswith("1 passed\n")
    assert penstock("test", file, "-k", "four").out.endswith("0 passed, 1 failed\n")


def test_values_and_overlays_go_on_top_of_the_pipeline(tmp_path: Path) -> None:
    file = scenarios(tmp_path)
    assert penstock("test", file, "--set", "define.failures=count(has(event.x), 60s)").code == 1
    overlay = written(tmp_path, "define: {failures: 'count(has(event.x), 60s)'}\n", "over.yaml")
    assert penstock("test", file, "-f", overlay).code == 1


def test_machines_get_one_object(tmp_path: Path) -> None:
    done = penstock("test", scenarios(tmp_path, BAD), "--json")
    assert (done.code, done.json["failed"], done.out.count("\n")) == (1, 1, 1)
    broken = penstock("test", scenarios(tmp_path, "nothing"), "--json")
    assert (broken.code, broken.json["problems"][0]["code"], broken.err) == (1, "PS007", "")


def test_junit_is_written_beside_what_is_printed(tmp_path: Path) -> None:
    file = scenarios(tmp_path)
    assert penstock("test", file, "--junit", tmp_path / "out.xml").out.endswith("1 passed\n")
    assert '<testcase classname="' in (tmp_path / "out.xml").read_text()
    done = penstock("test", file, "--junit", tmp_path / "none" / "out.xml")
    assert (done.code, "cannot be written" in done.err) == (1, True)


def test_a_recording_that_is_no_text_for_its_source_is_told(tmp_path: Path) -> None:
    (tmp_path / "rec.bin").write_bytes(b"\xff\xfe\n")
    done = penstock("test", scenarios(tmp_path, GOOD.replace(FAILED, "{file: rec.bin}")))
    assert (done.code, "1 dead letter, " in done.out) == (1, True)


class Editor:
    """Somebody who does one thing each time that nothing has changed for a while, and then presses Ctrl-C."""

    def __init__(self, *steps: tuple[Path, str | None]) -> None:
        self._steps = list(steps)
        self._touched = 1

    def __call__(self, seconds: float) -> None:
        if not self._steps:
            raise KeyboardInterrupt
        path, text = self._steps.pop(0)
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
            os.utime(path, (self._touched, self._touched))
        self._touched += 1


def test_watching_plays_again_whenever_something_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = scenarios(tmp_path)
    new, other = tmp_path / "new.test.yaml", tmp_path / "logins.yaml"
    options = PlayOptions([tmp_path], Options(), name=None, json=False, junit=None, watch=True)
    editor = Editor(
        (file, BAD),
        (other, "nothing"),
        (other, LOGINS),
        (new, GOOD.replace("penstock: test/v1", "penstock: test/v1\npipeline: logins.yaml")),
        (file, None),
        (new, None),
        (file, GOOD),
    )
    watch(options, editor)
    told = capsys.readouterr()
    sums = [line for line in told.out.splitlines() if " passed" in line and not line.startswith(" ")]
    assert sums == [
        "1 passed",
        "0 passed, 1 failed",
        "0 passed, 1 file with errors",
        "0 passed, 1 failed",
        "1 passed, 1 failed",
        "1 passed",
        "1 passed",
    ]
    assert "there are no scenarios" in told.err


def test_ctrl_c_while_nothing_changes_ends_the_watch(tmp_path: Path) -> None:
    watch(PlayOptions([scenarios(tmp_path)], Options(), name=None, json=False, junit=None, watch=True), Editor())
