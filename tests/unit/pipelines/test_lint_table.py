"""What is wrong with tables and their use, each at its place and with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

FILE = """\
penstock: v1
name: tables
sources:
  auth: {topic: auth, key: event.host}
tables:
  hosts: {topic: cmdb, key: event.name}
triggers:
  public: {each: 'tables.hosts[key].class == "public"', agent: judge}
  quiet: {absence: 'true', for: 1m, expect: tables.hosts, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: "Is {{ tables.hosts[key].owner }} in danger?"}
"""


def problems(folder: Path, *changes: tuple[str, str]) -> list[Problem]:
    text = FILE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = folder / "pipeline.yaml"
    file.write_text(text, encoding="utf-8")
    return load_pipeline([file], environ={}).problems


def test_tables_are_part_of_the_language(tmp_path: Path) -> None:
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after", "code", "line", "part"),
    [
        ("each: 'tables.hosts", "each: 'tables.host", Code.EXPRESSION, 8, "there is no table `host`"),
        ("tables.hosts[key].class", "tables.hosts", Code.EXPRESSION, 8, "row by row; write tables.hosts[key].owner"),
        ("tables.hosts[key].class", "tables[key].class", Code.EXPRESSION, 8, "row by row"),
        ("{{ tables.hosts", "{{ tables.host", Code.TEMPLATE, 13, "there is no table `host`"),
        ("expect: tables.hosts", "expect: tables.host", Code.UNRESOLVED, 9, "there is no table `host`"),
        ("expect: tables.hosts", "expect: hosts", Code.WRONG_VALUE, 9, "write tables.<name>"),
        ("expect: tables.hosts", "expect: tables.hosts, by: event.ip", Code.WRONG_VALUE, 9, "cannot go with `by`"),
        ("topic: cmdb", "topic: auth", Code.SAME_TOPIC, 6, "read by source `auth` already"),
        ("topic: cmdb", 'topic: "a b"', Code.WRONG_VALUE, 6, "topic"),
        ("key: event.name", "key: event.name ==", Code.EXPRESSION, 6, ""),
        ("key: event.name", "key: 'tables.hosts[key].x'", Code.EXPRESSION, 6, "rows of tables cannot be read here"),
        (
            "key: event.host",
            "key: 'tables.hosts[event.host].x'",
            Code.EXPRESSION,
            4,
            "rows of tables cannot be read here",
        ),
        ("topic: cmdb,", "topic: cmdb, format: text,", Code.WRONG_VALUE, 6, "a row has fields"),
        ("topic: cmdb,", "topic: cmdb, format: avro,", Code.WRONG_VALUE, 6, "schema registry"),
        ("topic: cmdb,", "topc: cmdb,", Code.UNKNOWN_FIELD, 6, "topc"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(
    tmp_path: Path, before: str, after: str, code: Code, line: int, part: str
) -> None:
    found = problems(tmp_path, (before, after))
    assert (code, line) in [(problem.code, problem.place.line) for problem in found], found
    assert any(part in problem.message for problem in found), [problem.message for problem in found]


def test_a_table_that_is_not_there_comes_with_the_nearest_name(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, ("expect: tables.hosts", "expect: tables.hots"))
    assert problem.nearest == "tables.hosts"


def test_an_expression_cannot_read_a_row_and_the_event_of_an_earlier_step(tmp_path: Path) -> None:
    sequence = "seq: {sequence: [{as: a, where: 'true'}, {as: b, where: 'tables.hosts[key].x == a.x'}], within: 1m, agent: none}"
    (problem,) = problems(tmp_path, ("  public:", f"  {sequence}\n  public:"))
    assert "earlier step" in problem.message
