"""Functions of the user's own in expressions: what may be one, what it sees, and what comes of what it gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.operators.expression import TYPE_ERROR, UNKNOWN, Scope, attribute_of, compile_expression
from penstock.operators.expression_function import function_of
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.functions import imported
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

SCORING = """
import datetime

def share(part, whole, digits=2):
    return round(part / whole, digits)

def given(value):
    return {"none": None, "nan": float("nan"), "huge": 2**70, "date": datetime.date(2026, 1, 1), "keys": {1: 2},
            "nested": [{"a": float("inf")}], "list": [1, "a", None], "exit": value}[value]

def any_number(*values):
    return 1

def only_by_name(*, value):
    return value

def nothing():
    return 1

async def later(value):
    return value

LIMIT = 5

class Scores:
    @staticmethod
    def double(value):
        return value * 2
"""
PIPELINE = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host}
functions:
  share: PATH
triggers:
  high: {each: 'share(event.part, event.whole) > 0.5', agent: none}
"""


@pytest.fixture(autouse=True)
def scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_scoring.py").write_text(SCORING)
    (tmp_path / "acme_broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def value_of(text: str, path: str, **fields: Any) -> Any:
    name = text.partition("(")[0]
    evaluate = compile_expression(text, Scope(functions=imported({name: f"acme_scoring:{path}"}))).evaluate
    event = SimpleNamespace(**{attribute_of(field): value for field, value in fields.items()})
    return evaluate(event, (), None)


def problems(folder: Path, path: str, *changes: tuple[str, str]) -> list[Problem]:
    text = PIPELINE.replace("PATH", path)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "f.yaml"
    file.write_text(text)
    return load_pipeline([file], environ={}).problems


def test_a_function_is_called_with_the_values_of_its_arguments_and_keeps_its_own_defaults() -> None:
    assert value_of("share(event.part, 3) * 2", "share", part=1) == 0.66
    assert value_of("twice(event.a) + 'c'", "Scores.double", a="ab") == "ababc"


def test_what_is_unknown_is_not_shown_to_it() -> None:
    assert value_of("share(event.part, 3)", "share", part=UNKNOWN) is UNKNOWN
    assert value_of("share(event.part < 1 ? 1 : 2, 3)", "share", part="a") is TYPE_ERROR


@pytest.mark.parametrize("gives", ["nan", "huge", "date", "keys", "nested", "no such key"])
def test_what_it_raises_and_what_json_does_not_have_is_a_type_error(gives: str) -> None:
    assert value_of("given(event.a)", "given", a=gives) is TYPE_ERROR


@pytest.mark.parametrize(("gives", "value"), [("none", None), ("list", [1, "a", None]), ("exit", "exit")])
def test_every_json_value_is_one(gives: str, value: object) -> None:
    assert value_of("given(event.a)", "given", a=gives) == value


def test_a_condition_in_front_of_it_spares_the_call() -> None:
    calls: list[object] = []
    counted = function_of(calls.append, 1, "counted(value)", "here:counted")
    evaluate = compile_expression("event.b && counted(event.a) == 1", Scope(functions={"counted": counted})).evaluate
    event = SimpleNamespace(**{attribute_of("a"): "x", attribute_of("b"): False})
    assert evaluate(event, (), None) is False
    assert not calls


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("acme_scoring.share", "write module:function"),
        ("acme_nowhere:share", "cannot be imported: ModuleNotFoundError"),
        ("acme_broken:share", "cannot be imported: ZeroDivisionError"),
        ("acme_scoring:shar", "has no `shar`"),
        ("acme_scoring:LIMIT", "is no function, it is int"),
        ("acme_scoring:any_number", "it has `values`"),
        ("acme_scoring:only_by_name", "it has `value`"),
        ("acme_scoring:nothing", "it has none"),
        ("acme_scoring:later", "is a coroutine"),
    ],
)
def test_what_cannot_be_called_is_named_at_its_place(tmp_path: Path, path: str, says: str) -> None:
    found = next(problem for problem in problems(tmp_path, path) if problem.code == Code.NO_FUNCTION)
    assert says in found.message
    assert (found.place.line, found.place.column) == (6, 10)


def test_a_name_that_was_probably_meant_is_said(tmp_path: Path) -> None:
    assert "share" in [problem.nearest for problem in problems(tmp_path, "acme_scoring:shar")]
    misspelt = problems(tmp_path, "acme_scoring:share", ("share(event", "shar(event"))
    assert [(problem.code, problem.nearest) for problem in misspelt] == [(Code.EXPRESSION, "share")]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("share(event.part)", "takes 2 values, found 1; write share(part, whole)"),
        ("event.part.share(event.whole)", "is written share(part, whole)"),
        ("share > 1", "is a function; write share(part, whole)"),
    ],
)
def test_a_call_of_another_form_is_refused(tmp_path: Path, call: str, says: str) -> None:
    (found,) = problems(tmp_path, "acme_scoring:share", ("share(event.part, event.whole) > 0.5", call))
    assert says in found.message


@pytest.mark.parametrize("name", ["size", "count", "event"])
def test_a_name_that_means_something_already_is_refused(tmp_path: Path, name: str) -> None:
    found = problems(tmp_path, "acme_scoring:share", ("  share:", f"  {name}:"))
    assert (Code.RESERVED_NAME, 6) in [(problem.code, problem.place.line) for problem in found]


def test_another_import_path_is_another_trigger(tmp_path: Path) -> None:
    def identity(path: str) -> str:
        assert problems(tmp_path, path) == []
        compiled = compile_pipeline(load_pipeline([tmp_path / "f.yaml"], environ={}))
        return compiled.plan.triggers[0].identity

    assert identity("acme_scoring:share") != identity("math:fmod")
