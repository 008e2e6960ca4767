"""The image and the compose file: looked at without a daemon, built and run where Docker answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.command_line import commands, penstock
from tests.image_context import ROOT, copy_context, let_through
from tests.wheel import wheel_of

from penstock.pipelines.load import load_pipeline

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\$\{(\w+)")
IMAGE_BYTES_MAX = 250_000_000
RESULT_SECONDS_MAX = 180.0


def compose() -> dict[str, Any]:
    document = YAML(typ="safe", pure=True).load(COMPOSE)
    assert isinstance(document, dict)
    return document


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "penstock:local"}


def test_the_compose_file_is_one_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_there(name: str) -> None:
    service, volumes = SERVICES[name], compose()["volumes"]
    for needed, about in service.get("depends_on", {}).items():
        assert needed in SERVICES
        if about["condition"] == "service_healthy":
            assert "test" in SERVICES[needed]["healthcheck"]
        if "profiles" in SERVICES[needed]:
            assert about["required"] is False, "without its profile the service is not there"
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith(".") else source in volumes


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_gets_a_command_that_parses(name: str) -> None:
    """What the image's own CMD says where the compose file says nothing."""
    words = SERVICES[name].get("command") or json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    context = commands()[(words[0],)].make_context(words[0], words[1:])
    assert context.args == [], "every word is an option, or an argument that the command takes"


def test_the_mounted_pipeline_is_fine_with_the_environment_it_gets() -> None:
    for service in OURS.values():
        for volume in service.get("volumes", ()):
            file, mounted, mode = volume.split(":")
            assert (mounted, mode) == ("/etc/penstock/pipeline.yaml", "ro")
            loaded = load_pipeline([ROOT / file], environ=_with_defaults(service["environment"]))
            assert loaded.problems == []
            assert loaded.spec is not None
            assert loaded.spec.kafka.bootstrap == "kafka:19092"
            assert {model.base_url for model in loaded.spec.models.values()} == {"http://model:8000/v1"}
            assert f"--topic={next(iter(loaded.spec.sources.values())).topic}" in SERVICES["topics"]["command"]


def test_every_variable_that_a_service_sets_is_one_that_the_pipeline_reads() -> None:
    for service in OURS.values():
        for volume in service.get("volumes", ()):
            read = set(VARIABLE.findall((ROOT / volume.split(":")[0]).read_text(encoding="utf-8")))
            assert service["environment"].keys() <= read


def test_ports_are_published_to_this_machine_only() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_no_process_of_ours_is_root_and_its_health_is_asked_for() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER 10001$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)
    assert 'ENTRYPOINT ["penstock"]' in final


def test_everything_that_the_image_is_made_of_is_there() -> None:
    through = let_through()
    assert all(path.exists() for path in through)
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, re.MULTILINE)]
    assert copied
    for source in (source for sources in copied for source in sources):
        assert source == "." or ROOT / source in through


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as the image has it: built from what `.dockerignore` lets through and from nothing else."""
    context, site = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("site")
    copy_context(context)
    with zipfile.ZipFile(wheel_of(context, site)) as wheel:
        wheel.extractall(site)
    return site


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version"], "0."),
        (["check", "{site}/penstock/pipelines/examples/ssh_watch.yaml"], "fine"),
        (["schema"], "{"),
    ],
)
def test_the_command_works_in_what_the_image_holds(arguments: list[str], said: str, installed: Path) -> None:
    placed = [argument.replace("{site}", str(installed)) for argument in arguments]
    code = (
        "import sys; from penstock.pipelines import cli; print(cli.__file__, file=sys.stderr); cli.main(sys.argv[1:])"
    )
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code, *placed],
        capture_output=True, text=True, timeout=60, check=False, cwd=installed, env=environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(str(installed))
    assert done.stdout.startswith(said)


LOCKS = ("requirements.lock", "requirements-image.lock", "requirements-build.lock", "requirements-dev.lock")


def names_in(project: str, table: str) -> list[str]:
    """Of the distributions that a list or a table of lists of pyproject.toml asks for."""
    wanted = re.search(table, project, re.MULTILINE | re.DOTALL)
    assert wanted is not None
    names = [re.sub(r"[._]", "-", name) for name in re.findall(r'[\[ ]"([\w.-]+)[^"]*"', wanted[1])]
    assert names
    return names


@pytest.mark.parametrize(
    ("locks", "extras"),
    [
        (["requirements.lock"], []),
        (["requirements-image.lock", "requirements-build.lock"], ["avro", "protobuf", "compile"]),
    ],
)
def test_the_locks_pin_what_the_package_needs(locks: list[str], extras: list[str]) -> None:
    """Who installs them needs nothing else to build the package and to run it; every format can be read in the image."""
    text = "\n".join((ROOT / lock).read_text(encoding="utf-8").lower() for lock in locks)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = names_in(project, r"^dependencies = \[\n(.*?)^\]")
    names += [name for table in ("build", *extras) for name in names_in(project, rf"^({table} = .*?)\n")]
    assert [name for name in names if f"\n{name}==" not in f"\n{text}"] == []
    assert extras == [] or all(f"-r {lock}" in DOCKERFILE for lock in locks), "the image installs others"


def test_the_locks_agree() -> None:
    """What is tested is what is shipped."""
    pins = [set(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS]
    for one, other in combinations(pins, 2):
        common = {name for name, _ in one} & {name for name, _ in other}
        assert {pin for pin in one ^ other if pin[0] in common} == set()


def docker(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.fixture(scope="module")
def daemon() -> None:
    if shutil.which("docker") is None or docker("info").returncode != 0:
        pytest.skip("no Docker daemon answers here: the image is not built and the compose file not run")


@pytest.fixture(scope="module")
def image(daemon: None) -> dict[str, Any]:
    built = docker("build", "--tag", "penstock:local", ".", seconds=600)
    assert built.returncode == 0, built.stderr[-2000:]
    (about,) = json.loads(docker("image", "inspect", "penstock:local").stdout)
    assert isinstance(about, dict)
    return about


def test_the_image_is_small_and_runs_as_nobody_in_particular(image: dict[str, Any]) -> None:
    assert image["Size"] < IMAGE_BYTES_MAX
    assert image["Config"]["User"] == "10001"
    assert "livez" in " ".join(image["Config"]["Healthcheck"]["Test"])


def test_the_command_of_the_image_runs(image: dict[str, Any]) -> None:
    assert docker("run", "--rm", "penstock:local", "--version").stdout == penstock("--version").out


@pytest.fixture
def stack(image: dict[str, Any]) -> Iterator[None]:
    if docker("compose", "version").returncode != 0:
        pytest.skip("this Docker has no `compose`: the compose file is not run")
    up = docker("compose", "--project-name", "penstock-test", "up", "--detach", seconds=600)
    try:
        assert up.returncode == 0, up.stderr[-2000:]
        yield
    finally:
        docker("compose", "--project-name", "penstock-test", "down", "--volumes", "--timeout", "5", seconds=120)


def test_results_arrive_from_the_compose_file(stack: None) -> None:
    tail = ["compose", "--project-name", "penstock-test", "exec", "--no-TTY", "penstock", "penstock", "tail"]
    deadline, shown = time.monotonic() + RESULT_SECONDS_MAX, ""
    while "final" not in shown and time.monotonic() < deadline:
        shown = docker(*tail, "/etc/penstock/pipeline.yaml", "--until-idle", "5").stdout
    assert re.search(r"brute_force +final .*\(simulated\)", shown)


def _with_defaults(environment: dict[str, str]) -> dict[str, str]:
    """As Compose sees it where nothing is set outside."""
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in environment.items()}
