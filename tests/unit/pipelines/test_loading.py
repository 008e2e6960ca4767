"""Files and variables, as the options of the command line name them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from tests.command_line import RULES, written

from penstock.operators.error import Rejected
from penstock.pipelines.loading import load, usable

NAMED = RULES.replace("name: rules", 'name: rules\nnamespace: "${PENSTOCK_TEST_NAMESPACE:-default}"')


def namespace(folder: Path, env_file: str | None = None, extra: dict[str, str] | None = None) -> str:
    variables = None if env_file is None else written(folder, env_file, "variables.env")
    spec, _ = usable(load(written(folder, NAMED), None, None, variables, extra))
    return spec.namespace


def test_variables_of_the_environment_win_over_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert namespace(tmp_path) == "default"
    assert namespace(tmp_path, "PENSTOCK_TEST_NAMESPACE=file") == "file"
    monkeypatch.setenv("PENSTOCK_TEST_NAMESPACE", "environment")
    assert namespace(tmp_path, "PENSTOCK_TEST_NAMESPACE=file") == "environment"
    assert namespace(tmp_path, extra={"PENSTOCK_TEST_NAMESPACE": "extra"}) == "extra"


@pytest.mark.parametrize(
    "text",
    [
        "# PENSTOCK_TEST_NAMESPACE=comment\nPENSTOCK_TEST_NAMESPACE=blue\n",
        "\n  PENSTOCK_TEST_NAMESPACE = blue  \nNO_VALUE\n",
        'PENSTOCK_TEST_NAMESPACE="blue"',
        "PENSTOCK_TEST_NAMESPACE='blue'",
    ],
)
def test_a_file_of_variables_may_be_written_in_the_usual_ways(text: str, tmp_path: Path) -> None:
    assert namespace(tmp_path, text) == "blue"


def test_a_file_of_variables_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="--env-file"):
        load(written(tmp_path, RULES), None, None, tmp_path / "gone.env")


def test_overlays_and_single_values_lie_on_top_of_the_file(tmp_path: Path) -> None:
    overlay = written(tmp_path, "namespace: overlay\nlabels: {team: blue}", "overlay.yaml")
    loaded = load(written(tmp_path, NAMED), [overlay], ["namespace=set"], None)
    spec, pipeline = usable(loaded)
    assert (spec.namespace, spec.labels, pipeline.layout.log) == ("set", {"team": "blue"}, "set.rules.log")


def test_a_file_with_errors_ends_the_process_with_1_after_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        usable(load(written(tmp_path, RULES.replace("each:", "eahc:").replace("key:", "kye:")), None, None, None))
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.count(" error PS") == 2


def test_warnings_are_shown_and_end_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = (
        'models:\n  m: {base_url: "http://models.example.com/v1", model: x, location: local, api_key: "${KEY:-k}"}\n'
    )
    usable(load(written(tmp_path, RULES + models), None, None, None))
    assert "warning PS030" in capsys.readouterr().err
