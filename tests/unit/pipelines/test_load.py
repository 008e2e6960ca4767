"""Files to a spec or to problems: the stages together, on real files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import pytest

from penstock.connectors.kafka_settings import PasswordSettings
from penstock.operators.trigger_every import EverySettings
from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.problem import Code, problems_to_json

EXAMPLES = Path(str(files("penstock.pipelines").joinpath("examples")))
MINIMAL = """\
penstock: v1
name: ssh-watch
sources:
  auth: {topic: auth-log, key: event.host}
triggers:
  brute_force: {when: 'count(event.outcome == "failed", 60s) >= 20'}
models:
  small: {base_url: "${VLLM_URL:-http://localhost:8000/v1}", model: Qwen/Qwen3-4B}
agents:
  investigate:
    ask: Is this host under attack? What should be done?
    answer: {verdict: {enum: [attack, benign, unclear]}, why: {type: string}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, *texts: str, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Loaded:
    paths = [folder / f"f{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return load_pipeline(paths, sets=sets, environ=environ or {})


def codes(loaded: Loaded) -> list[Code]:
    return [problem.code for problem in loaded.problems]


def test_the_minimal_file_loads(folder: Path) -> None:
    loaded = load(folder, MINIMAL)
    assert loaded.problems == []
    assert loaded.spec is not None
    assert loaded.spec.name == "ssh-watch"
    assert loaded.folder == folder


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES.glob("[!.]*.yaml") if ".test." not in path.name])
def test_the_examples_have_neither_errors_nor_warnings(name: str) -> None:
    loaded = load_pipeline([EXAMPLES / f"{name}.yaml"], environ={})
    assert [problem.to_text() for problem in loaded.problems] == []
    assert loaded.spec is not None


def test_an_overlay_and_a_set_change_what_takes_effect(folder: Path) -> None:
    overlay = "name: other\ntriggers: {brute_force: null, digest: {every: 1h}}\n"
    loaded = load(folder, MINIMAL, overlay, sets=["triggers.digest.every=2h", "namespace=prod"])
    assert loaded.spec is not None
    assert (loaded.spec.name, loaded.spec.namespace) == ("other", "prod")
    (digest,) = loaded.spec.triggers.values()
    assert isinstance(digest, EverySettings)
    assert digest.every == 7_200_000


def test_a_problem_stands_in_the_file_that_it_comes_from(folder: Path) -> None:
    loaded = load(folder, MINIMAL, "\ntriggers: {brute_force: {cooldwn: 5m}}", sets=["name=x", "kafka.tls=maybe"])
    assert [(Path(p.place.file).name, p.place.line, p.place.column) for p in loaded.problems] == [
        ("f1.yaml", 2, 26),
        ("--set", 2, 11),
    ]


def test_a_variable_that_an_overlay_replaces_need_not_be_set(folder: Path) -> None:
    assert load(folder, MINIMAL + "version: ${NOT_SET}\n", "version: '1'").problems == []


def test_keys_beginning_with_x_are_free_and_give_anchors_a_home(folder: Path) -> None:
    text = "x-sure: &sure event.level == 'FATAL'\nx-other: {any: [thing]}\n" + MINIMAL
    text = text.replace("triggers:\n", "triggers:\n  fatal: {each: *sure}\n")
    loaded = load(folder, text)
    assert loaded.problems == []
    assert not any(name.startswith("x-") for name in loaded.resolved)


def test_every_problem_comes_at_once_by_position(folder: Path) -> None:
    text = MINIMAL.replace("topic: auth-log", "topc: auth-log").replace("60s", "60").replace("enum: [a", "enm: [a")
    text = text.replace("penstock: v1", "penstock: v2") + "ask: x ? y : z\n"
    loaded = load(folder, text)
    assert loaded.spec is None
    assert [(problem.place.line, problem.code) for problem in loaded.problems] == [
        (1, Code.WRONG_VALUE),
        (4, Code.UNKNOWN_FIELD),
        (6, Code.EXPRESSION),
        (12, Code.ANSWER_SCHEMA),
        (13, Code.YAML_ATE_EXPRESSION),
    ]


def test_the_digest_is_of_what_takes_effect(folder: Path) -> None:
    first = load(folder, MINIMAL).digest
    assert first.startswith("sha256:")
    assert load(folder, "# a comment\nx-free: 1\n" + MINIMAL).digest == first
    assert load(folder, MINIMAL, "{}").digest == first
    assert load(folder, MINIMAL, environ={"VLLM_URL": "http://localhost:8000/v1"}).digest == first
    assert load(folder, MINIMAL, environ={"VLLM_URL": "http://localhost:8001/v1"}).digest != first
    assert load(folder, MINIMAL, sets=["version='2'"]).digest != first
    assert load(folder, MINIMAL, sets=["kafka.bootstrap=broker:9092"]).digest == first, (
        "the same from wherever it works"
    )


def test_a_file_that_is_referred_to_is_read_once_and_counts_for_the_digest(folder: Path) -> None:
    text = MINIMAL + "    system: {file: prompt.md}\n"
    (folder / "prompt.md").write_text("You watch.")
    loaded = load(folder, text)
    (folder / "prompt.md").write_text("You sleep.")
    assert loaded.problems == []
    assert loaded.read_file("prompt.md") == "You watch."
    assert load(folder, text).digest != loaded.digest


def test_a_schema_file_that_describes_no_answer_is_named(folder: Path) -> None:
    text = MINIMAL.replace(
        "answer: {verdict: {enum: [attack, benign, unclear]}, why: {type: string}}", "answer: {file: a.json}"
    )
    (folder / "a.json").write_text('{"type": "object", "properties": {"a": {"type": "strin"}}}')
    (problem,) = load(folder, text).problems
    assert (problem.code, problem.place.line, problem.place.column) == (Code.ANSWER_SCHEMA, 12, 20)
    (folder / "a.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}}')
    assert load(folder, text).problems == []
    assert codes(load(folder, text + "    fallback: {b: 1}\n")) == [Code.ANSWER_SCHEMA]


def test_a_field_of_an_answer_may_be_called_file(folder: Path) -> None:
    text = MINIMAL.replace(
        "{verdict: {enum: [attack, benign, unclear]}, why: {type: string}}", "{file: {type: string}}"
    )
    assert load(folder, text).problems == []


def test_secrets_are_shown_nowhere(folder: Path) -> None:
    (folder / "password").write_text("hunter2-hunter2\n")
    sasl = "kafka: {sasl: {mechanism: PLAIN, username: '${file:password}', password: '${PASSWORD}'}}\n"
    loaded = load(folder, MINIMAL + sasl + "version: ${file:password}\n", environ={"PASSWORD": "swordfish"})
    assert loaded.spec is not None
    assert isinstance(loaded.spec.kafka.sasl, PasswordSettings)
    assert loaded.spec.kafka.sasl.password.get_secret_value() == "swordfish"
    assert loaded.spec.version == "hunter2-hunter2"
    for secret in ("hunter2", "swordfish"):
        assert secret not in str(loaded.resolved)
    broken = load(folder, MINIMAL + "context: {window: {last: '${file:password}'}}\n")
    assert codes(broken) == [Code.WRONG_VALUE]
    assert "hunter2" not in str(broken.problems)


def test_what_is_wrong_with_a_value_that_was_not_made_is_said_once(folder: Path) -> None:
    text = MINIMAL.replace("${VLLM_URL:-http://localhost:8000/v1}", "${VLLM_URL}")
    assert codes(load(folder, text)) == [Code.SUBSTITUTION]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", Code.NOT_A_PIPELINE),
        (b"\xff\xfe", Code.UNREADABLE),
        (b"- a\n", Code.NOT_A_PIPELINE),
        (b"a: 1\n---\nb: 2\n", Code.YAML_REFUSED),
        (b"a: 'x", Code.UNCLOSED_QUOTE),
        (b'a: "\\ud800"', Code.YAML_REFUSED),
    ],
)
def test_bad_bytes_are_a_problem_and_no_exception(folder: Path, content: bytes, code: Code) -> None:
    path = folder / "f.yaml"
    path.write_bytes(content)
    loaded = load_pipeline([path], environ={})
    assert loaded.spec is None
    assert loaded.problems[0].code is code or code in codes(loaded)


def test_a_missing_file_and_a_folder_are_problems(folder: Path) -> None:
    for path in (folder / "nowhere.yaml", folder, Path("nul\0byte")):
        assert codes(load_pipeline([path], environ={})) == [Code.UNREADABLE]


def test_an_overlay_that_cannot_be_read_keeps_the_pipeline_from_loading(folder: Path) -> None:
    load(folder, MINIMAL)
    loaded = load_pipeline([folder / "f0.yaml", folder / "nowhere.yaml"], environ={})
    assert codes(loaded) == [Code.UNREADABLE]
    assert loaded.spec is None


def test_a_warning_does_not_keep_it_from_loading_and_can_be_ignored(folder: Path) -> None:
    url = '"${VLLM_URL:-http://localhost:8000/v1}", model: Qwen/Qwen3-4B'
    text = MINIMAL.replace(url, '"http://10.0.0.1/v1", model: x, location: local, api_key: k')
    loaded = load(folder, text)
    assert codes(loaded) == [Code.KEY_OVER_HTTP]
    assert loaded.spec is not None
    assert problems_to_json(loaded.problems)["ok"] is True
    assert load(folder, text.replace("api_key: k}", "api_key: k}   # penstock: ignore PS012, PS030")).problems == []
    assert codes(load(folder, text.replace("api_key: k}", "api_key: k}   # penstock: ignore PS031"))) == [
        Code.KEY_OVER_HTTP
    ]


def test_an_error_cannot_be_ignored(folder: Path) -> None:
    assert codes(load(folder, MINIMAL + "extra: 1 # penstock: ignore PS010\n")) == [Code.UNKNOWN_FIELD]


BLOCK_MODEL = """\
models:
  small:
    base_url: http://localhost:8000/v1
    model: ${MODEL:-x}
    api_key: ${KEY:-}
"""


@pytest.mark.parametrize("digits", ["1234567", "12e45", "0x1f", "true", "null"])
def test_what_comes_from_outside_is_text_where_only_text_can_stand(folder: Path, digits: str) -> None:
    """A commit of digits only, a password such as 12345: nobody can put them in quotes."""
    (folder / "key").write_text(f"{digits}\n")
    text = MINIMAL + (
        "version: ${SHA}\n"
        "labels:\n  sha: ${SHA}\n"
        "kafka:\n  tls: ${TLS}\n  sasl:\n    mechanism: PLAIN\n    username: ${SHA}\n    password: ${file:key}\n"
    )
    loaded = load(folder, text, environ={"SHA": digits, "TLS": "true"}, sets=[f"namespace=n{digits}"])
    assert [problem.to_text() for problem in loaded.problems] == []
    assert loaded.spec is not None
    assert (loaded.spec.version, loaded.spec.labels) == (digits, {"sha": digits})
    assert loaded.spec.kafka.tls is True
    assert isinstance(loaded.spec.kafka.sasl, PasswordSettings)
    assert loaded.spec.kafka.sasl.username == loaded.spec.kafka.sasl.password.get_secret_value() == digits


def test_a_number_that_is_set_is_text_where_only_text_can_stand(folder: Path) -> None:
    loaded = load(folder, MINIMAL, sets=["version=0012345", "context.window.events=7"])
    assert loaded.spec is not None
    assert (loaded.spec.version, loaded.spec.context.window.events) == ("0012345", 7)


def test_an_empty_variable_leaves_a_field_out(folder: Path) -> None:
    text = MINIMAL[: MINIMAL.index("models:")] + BLOCK_MODEL + MINIMAL[MINIMAL.index("agents:") :]
    loaded = load(folder, text)
    assert loaded.spec is not None
    assert (loaded.spec.models["small"].model, loaded.spec.models["small"].api_key) == ("x", None)
