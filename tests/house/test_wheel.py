"""What people get when they install: every module, every example, nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.wheel import wheel_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("pipelines", "operators", "state", "connectors")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_every_module_and_example_under_one_name(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"penstock/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).glob("*.py")}
    examples = {f"penstock/{path.relative_to(ROOT)}" for path in (ROOT / "pipelines").rglob("*.yaml")}
    packed = {name for name in names if ".dist-info/" not in name}
    typed = {f"penstock/{folder}/py.typed" for folder in FOLDERS}
    assert packed == modules | examples | typed


def test_the_wheel_can_be_imported_and_run_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import penstock.pipelines.cli as cli; print(cli.__file__)"
    command = [sys.executable, "-S", "-c", f"import site; site.main(); {code}", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.stdout.strip().startswith(str(tmp_path)), done.stderr
