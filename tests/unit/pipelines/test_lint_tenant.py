"""Where `tenant` can be named, and what is said where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

FILE = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host, tenant: event.whose}
define:
  acme: 'tenant == "acme"'
triggers:
  burst: {when: 'count(acme, 60s) > 5', agent: ask}
models:
  m: {base_url: "http://localhost:8000/v1", model: x}
agents:
  ask: {ask: "For {{ tenant }}?"}
"""


def problems(tmp_path: Path, text: str) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return load_pipeline([path], environ={}).problems


@pytest.mark.parametrize(
    "whose", ["event.whose", "key", "record.time > 5", 'labels.team + "/" + event.whose', "source", "record.topic"]
)
def test_it_may_be_any_expression_over_one_event(tmp_path: Path, whose: str) -> None:
    assert problems(tmp_path, FILE.replace("event.whose", f"'{whose}'")) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "column"),
    [
        (", tenant: event.whose", "", 6, 10),
        ("tenant: event.whose", "tenant: null", 6, 10),
        ("tenant: event.whose", "tenant: tenant", 4, 42),
        ("key: event.host", "key: tenant", 4, 22),
        ("key: event.host", "ignore: acme", 4, 25),
        ("key: event.host", "hide: tenant == null", 4, 23),
        ("key: event.host", "dedupe: {by: tenant, within: 1m}", 4, 30),
        ("key: event.host", "derive: {a: tenant}", 4, 29),
        ("tenant: event.whose", "tenant: 'count(true, 5s)'", 4, 43),
        ("tenant: event.whose", "tenant: 'tables.x[key]'", 4, 43),
    ],
)
def test_where_it_cannot_be_named_it_says_so(tmp_path: Path, old: str, new: str, line: int, column: int) -> None:
    found = problems(tmp_path, FILE.replace(old, new).replace("{{ tenant }}", "{{ key }}"))
    assert [(each.code, each.place.line, each.place.column) for each in found] == [(Code.EXPRESSION, line, column)]


def test_the_message_says_where_it_can_be_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("key: event.host", "ignore: tenant == null"))
    assert problem.message == (
        "`tenant` is not known here; it is in triggers and templates, where a source says whose its events are, as in "
        "`tenant: event.customer`"
    )


def test_no_definition_and_no_step_can_have_the_name(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("  acme:", "  tenant: event.x\n  acme:"))
    assert (problem.code, problem.place.line) == (Code.RESERVED_NAME, 6)


def test_a_trigger_that_does_not_name_it_keeps_its_memory_when_a_source_begins_to_tell_it(tmp_path: Path) -> None:
    text = FILE.replace("acme: 'tenant == \"acme\"'", "acme: event.x == 1").replace("{{ tenant }}", "{{ key }}")
    identities = []
    for each in (text, text.replace(", tenant: event.whose", "")):
        path = tmp_path / "f.yaml"
        path.write_text(each)
        plan = compile_pipeline(load_pipeline([path], environ={})).plan
        identities.append((plan.triggers[0].identity, plan.slot_names))
    assert identities[0] == identities[1]
