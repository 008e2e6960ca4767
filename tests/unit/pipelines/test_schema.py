"""The generated JSON Schema accepts what loads, refuses what does not, and describes every field."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import plain_value
from penstock.pipelines.load import read_file
from penstock.pipelines.schema import file_schema, scenario_schema

EXAMPLES = Path(str(files("penstock.pipelines").joinpath("examples")))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = file_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(EXAMPLES / f"{name}.yaml")
    return loaded


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES.glob("[!.]*.yaml") if ".test." not in path.name])
def test_the_examples_are_valid_as_they_are_written(name: str, validator: jsonschema.Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(document(name))] == []


def test_keys_with_x_are_free(validator: jsonschema.Draft202012Validator) -> None:
    assert validator.is_valid({**document("ssh_watch"), "x-any": {"thing": [1]}})


@pytest.mark.parametrize(
    "change",
    [
        {"penstock": "v2"},
        {"extra": 1},
        {"triggers": {"t": {"sequence": []}}},
        {"triggers": {"t": {"every": "1h", "each": "event.a"}}},
        {"triggers": {"t": {"every": 60}}},
        {"triggers": {}},
        {"triggers": {"a b": {"every": "1h"}}},
        {"sources": {"s": {"key": "event.a"}}},
        {"kafka": {"tls": "maybe"}},
        {"models": {"m": {"base_url": "http://localhost", "model": "x", "concurrency": "many"}}},
    ],
)
def test_what_does_not_load_is_not_valid(change: dict[str, Any], validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid({**document("ssh_watch"), **change})


def test_a_variable_may_stand_for_any_scalar(validator: jsonschema.Draft202012Validator) -> None:
    change = {"kafka": {"tls": "${TLS:-false}", "session_timeout": "${TIMEOUT}"}, "name": "${NAME}"}
    assert validator.is_valid({**document("ssh_watch"), **change})


def test_triggers_are_one_of_the_kinds() -> None:
    schema = file_schema()
    (kinds,) = schema["properties"]["triggers"]["patternProperties"].values()
    assert len(kinds["oneOf"]) == len(TRIGGERS)


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES.glob("*.test.yaml")])
def test_scenarios_have_a_schema_of_their_own(name: str) -> None:
    schema = scenario_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    root = read_file(EXAMPLES / f"{name}.yaml").root
    assert root is not None
    written: Any = plain_value(root)
    assert [error.message for error in validator.iter_errors(written)] == []
    first = written["scenarios"][0]
    changes: list[dict[str, Any]] = [
        {"events": [{"at": "5s"}]},
        {"events": []},
        {"expect": {"nnone": True}},
        {"nme": 1},
    ]
    for change in changes:
        assert not validator.is_valid({**written, "scenarios": [{**first, **change}]})


@pytest.mark.parametrize("schema", [file_schema(), scenario_schema()], ids=["file", "scenarios"])
def test_every_field_is_described(schema: dict[str, Any]) -> None:
    owners = {"the file": schema, **schema["$defs"]}
    owners.pop("TextFormat", None)  # its one field is what `format` describes
    nameless = [
        f"{owner}.{name}"
        for owner, definition in owners.items()
        for name, field in definition.get("properties", {}).items()
        if not described(field, schema["$defs"])
    ]
    assert nameless == []


def described(field: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """By itself, or by what it refers to."""
    referred = definitions.get(field.get("$ref", "").removeprefix("#/$defs/"), {})
    return "description" in field or "description" in referred
