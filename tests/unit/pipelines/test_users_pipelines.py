"""Five pipelines as their users wrote them: what of them is refused so far, and that the rest fires as they mean it.

The file is not shipped: it lies in `../shared`. What is refused is taken out by the overlays in users/; scenarios lie beside
them. A word that gets built is taken from the list here, and may then be taken from the overlays.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.command_line import penstock

from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.problem import Code

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "pipelines-by-users.yaml"
USERS = Path(__file__).parent / "users"
PIPELINES = ("ssh-watch", "card-fraud", "press-shop", "incident-rca", "support-desk")
OVERLAY = "prod"
URLS = ("SMALL_URL", "LARGE_URL", "LOCAL_URL", "LLM_URL", "EMBED_URL", "TOKEN_URL", "SCHEMA_REGISTRY_URL")
ENVIRON = {
    "KAFKA_BOOTSTRAP": "kafka:9092",
    "KAFKA_USER": "penstock",
    **dict.fromkeys(URLS, "https://models.internal/v1"),
}

LATER = frozenset(
    {
        "approvals",
        "audit",
        "budgets",
        "coalesce",
        "context",
        "cost",
        "escalate",
        "images",
        "input",
        "limits",
        "loop",
        "loop: react",
        "media",
        "payload",
        "privacy",
        "samples",
        "stale: finish",
        "stale: merge",
        "stale: supersede",
        "steps",
        "summary: model",
        "tools",
    }
)
"""Of agents, tools, budgets and privacy."""
REFUSED = {
    "press-shop": [
        (
            Code.MISSING_FIELD,
            "`format: protobuf` reads records whose schemas are in a registry, and `kafka:` names none",
        ),
        (Code.UNKNOWN_FIELD, "`anomaly` takes no `for`"),
    ]
}
"""What its author has to change: a registry is missing, and what `for` would count is not defined."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file per document, and what they refer to."""
    if not SHARED.is_file():
        pytest.skip(f"there is no {SHARED}")
    folder = tmp_path_factory.mktemp("users")
    text = SHARED.read_text(encoding="utf-8").replace("${file:/run/secrets/", "${file:secrets/")
    for path in (*re.findall(r"\$\{file:([^}]+)\}", text), *re.findall(r"\{file: ([^}]+\.md)\}", text)):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("what a file holds", encoding="utf-8")
    for document in re.split(r"^--- .*$", text, flags=re.MULTILINE)[1:]:
        name = re.search(r"^name: (\S+)$", document, re.MULTILINE)
        (folder / f"{name[1] if name else OVERLAY}.yaml").write_text(document, encoding="utf-8")
    for file in USERS.iterdir():
        shutil.copy(file, folder / file.name.replace(".scenarios.", ".test."))
    return folder


def loaded(folder: Path, *names: str) -> Loaded:
    return load_pipeline([folder / f"{name}.yaml" for name in names], environ=ENVIRON)


def refused_words(of: Loaded) -> set[str]:
    """Of the language, but not of this version."""
    sentences = [problem.message for problem in of.problems]
    found = [re.match(r"`([^`]+)` (?:comes with version|is not built yet)", sentence) for sentence in sentences]
    return {word[1] for word in found if word}


def other_errors(of: Loaded) -> list[tuple[Code, str]]:
    return [
        (problem.code, problem.message)
        for problem in of.problems
        if problem.severity == "error" and not re.search(r"comes with version|is not built yet", problem.message)
    ]


def test_what_is_refused_is_what_this_version_does_not_have(folder: Path) -> None:
    words = [refused_words(loaded(folder, name)) for name in PIPELINES]
    words.append(refused_words(loaded(folder, "incident-rca", OVERLAY)))
    assert set().union(*words) == LATER


@pytest.mark.parametrize("name", PIPELINES)
def test_nothing_else_is_wrong_with_it(name: str, folder: Path) -> None:
    errors = other_errors(loaded(folder, name))
    expected = REFUSED.get(name, [])
    assert len(errors) == len(expected), errors
    for (code, message), (expected_code, beginning) in zip(errors, expected, strict=True):
        assert (code, message[: len(beginning)]) == (expected_code, beginning)


@pytest.mark.parametrize("name", PIPELINES)
def test_its_triggers_fire_as_its_author_means(name: str, folder: Path) -> None:
    overlay = folder / f"{name}.overlay.yaml"
    variables = folder / "variables"
    variables.write_text("".join(f"{variable}={value}\n" for variable, value in ENVIRON.items()), encoding="utf-8")
    done = penstock("test", folder / f"{name}.yaml", "-f", overlay, "--env-file", variables)
    assert done.code == 0, done.out + done.err
