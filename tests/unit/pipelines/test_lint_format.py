from __future__ import annotations

from pathlib import Path

import pytest
from tests.binary_records import descriptor_set

from penstock.pipelines.lint_format import format_problems
from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.yaml_file import read_yaml

FILE = """penstock: v1
name: doors
kafka: {{registry: {registry}}}
sources:
  doors: {{topic: doors, key: event.door, format: {form}}}
triggers:
  opened: {{each: event.open == true, agent: none}}
"""


def loaded(folder: Path, form: str, registry: str = "http://localhost:8081") -> Loaded:
    path = folder / "doors.yaml"
    path.write_text(FILE.format(form=form, registry=registry), encoding="utf-8")
    (folder / "good.avsc").write_text('{"type": "record", "name": "Door", "fields": []}')
    (folder / "list.avsc").write_text(
        '{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}'
    )
    (folder / "good.desc").write_bytes(descriptor_set())
    return load_pipeline([path], environ={})


@pytest.mark.parametrize(
    "form",
    [
        "avro",
        "protobuf",
        "{avro: {schema: good.avsc}}",
        "{protobuf: {descriptor: good.desc, message: press.v1.Notice}}",
    ],
)
def test_a_format_that_has_what_it_needs_is_fine(tmp_path: Path, form: str) -> None:
    assert loaded(tmp_path, form).problems == []


@pytest.mark.parametrize(
    ("form", "registry", "told"),
    [
        ("avro", "null", ["PS011 5:50 `format: avro` reads records whose schemas are in a registry, and `kafka:` names none"]),
        ("{avro: {schema: missing.avsc}}", "null", ["PS009 5:66 `missing.avsc` cannot be read"]),
        ("{avro: {schema: doors.yaml}}", "null", ["PS041 5:66 `doors.yaml` cannot be used: it is no schema of Avro"]),
        ("{avro: {schema: list.avsc}}", "null", ["PS041 5:66 `list.avsc` cannot be used: the type L holds itself"]),
        ("{avro: {}}", "null", ["PS011 5:51 `avro` lacks `schema`"]),
        ("{avro: {shema: good.avsc}}", "null", ['PS010 5:58 unknown field "shema"']),
        (
            "{protobuf: {descriptor: good.desc, message: press.v1.Nope}}", "null",
            ["PS041 5:74 `good.desc` cannot be used: it has no message 'press.v1.Nope'"],
        ),
        ("{protobuf: {descriptor: good.avsc, message: A}}", "null", ["PS041 5:74 `good.avsc` cannot be used: it is no File"]),
        ("avro", "{url: http://registry, username: a, password: b}", ["PS030 3:25 the password of the schema registry travels"]),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_told_where_it_stands(
    tmp_path: Path, form: str, registry: str, told: list[str]
) -> None:
    problems = loaded(tmp_path, form, registry).problems
    found = [f"{each.code.value} {each.place.line}:{each.place.column} {each.message}" for each in problems]
    assert len(found) == len(told)
    assert all(each.startswith(start) for each, start in zip(sorted(found), sorted(told), strict=True)), found


@pytest.mark.parametrize(("form", "extra"), [("avro", "avro"), ("{protobuf: {message: a}}", "protobuf")])
def test_an_extra_that_is_not_installed_is_told_with_the_command_that_installs_it(form: str, extra: str) -> None:
    root = read_yaml("a.yaml", FILE.format(form=form, registry="http://r").encode()).root
    assert root is not None
    [problem] = format_problems(root, {}, is_installed=lambda module: False)
    assert problem.sentence() == (
        f"`format: {extra}` needs a library that is not installed; expected pip install 'penstock[{extra}]'"
    )


def test_the_schema_is_part_of_what_a_definition_means(tmp_path: Path) -> None:
    form = "{avro: {schema: good.avsc}}"
    before = loaded(tmp_path, form)
    (tmp_path / "good.avsc").write_text('{"type": "record", "name": "Gate", "fields": []}')
    after = load_pipeline([tmp_path / "doors.yaml"], environ={})
    assert before.digest != after.digest
