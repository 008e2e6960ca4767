"""`${…}` in values: what is put in, of which type it is afterwards, and what is said when it cannot be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from penstock.pipelines.document import Json, Map, Scalar, node_at, plain_value
from penstock.pipelines.problem import Code
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.substitute import Substitution
from penstock.pipelines.yaml_file import read_yaml

FILES = {"/run/secrets/key": "s3cret\n", "two-lines": "a\nb\n"}


def read_text(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path]


def substituted(text: str, environ: Mapping[str, str] | None = None) -> tuple[Map, Substitution]:
    file = read_yaml("f.yaml", text.encode())
    assert file.root is not None
    substitution = Substitution(environ or {}, read_text)
    return substitution.map(file.root), substitution


def value(text: str, environ: Mapping[str, str] | None = None) -> Json:
    root, substitution = substituted(text, environ)
    assert not substitution.problems
    return plain_value(root)


def test_the_type_of_an_unquoted_value_is_found_afterwards() -> None:
    text = "a: ${TLS:-false}\nb: '${TLS:-false}'\nc: ${N:-5}\nd: ${E:-}"
    assert value(text) == {"a": False, "b": "false", "c": 5, "d": None}


def test_the_environment_goes_before_the_default() -> None:
    assert value("a: ${X:-no}-${Y}", {"X": "yes", "Y": "1"}) == {"a": "yes-1"}


def test_an_empty_variable_takes_the_default_if_there_is_one() -> None:
    assert value("a: '${X:-d}'\nb: 'x${X}'", {"X": ""}) == {"a": "d", "b": "x"}


def test_what_is_put_in_is_not_looked_at_again() -> None:
    assert value("a: ${X}", {"X": "${Y} $$ : #"}) == {"a": "${Y} $$ : #"}


def test_two_dollars_are_one_and_a_lone_one_stays() -> None:
    assert value("a: $$${X}\nb: $${X}\nc: 'port$'\nd: '$5'", {"X": "1"}) == {
        "a": "$1",
        "b": "${X}",
        "c": "port$",
        "d": "$5",
    }


def test_keys_are_left_alone() -> None:
    assert value("a: {'${X}': 1}") == {"a": {"${X}": 1}}


def test_lists_are_reached() -> None:
    assert value("a: [[x, '${X}']]", {"X": "1"}) == {"a": [["x", "1"]]}


def test_a_file_loses_its_last_line_end_and_is_secret() -> None:
    root, substitution = substituted("a: ${file:/run/secrets/key}\nb: ${file:two-lines}")
    assert plain_value(root) == {"a": "s3cret", "b": "a\nb"}
    assert plain_value(root, secret=lambda _: "***") == {"a": "***", "b": "***"}
    assert substitution.secrets == {"s3cret", "a\nb"}


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("a: x${MISSING}", Code.SUBSTITUTION, 5),
        ("a: ${a-b}", Code.SUBSTITUTION, 4),
        ("a: ${}", Code.SUBSTITUTION, 4),
        ("a: 'x ${X'", Code.SUBSTITUTION, 7),
        ("a: ${X:-${Y}}", Code.SUBSTITUTION, 4),
        ("a: ${file:/nowhere}", Code.FILE_REFERENCE, 4),
    ],
)
def test_what_cannot_be_put_in_is_a_problem_where_it_stands(text: str, code: Code, column: int) -> None:
    _, substitution = substituted(text)
    assert [(problem.code, problem.place.column) for problem in substitution.problems] == [(code, column)]


def test_a_misspelt_variable_gets_its_nearest_name() -> None:
    _, substitution = substituted("a: ${KAFKA_BOOTSRAP}", {"KAFKA_BOOTSTRAP": "x", "HOME": "/"})
    assert substitution.problems[0].nearest == "KAFKA_BOOTSTRAP"


@pytest.mark.parametrize(("needle", "column"), [("==", 13), ("rest", 16), ("x", 4), ("LONG", 6)])
def test_a_character_behind_a_variable_is_still_found_in_the_file(needle: str, column: int) -> None:
    root, _ = substituted("a: x ${VAR} == rest", {"VAR": "LONG LONG LONG"})
    node = node_at(root, ("a",))
    assert isinstance(node, Scalar)
    assert place_in(node, node.text.index(needle)).column == column


def test_a_variable_that_no_text_can_hold_is_a_problem() -> None:
    _, substitution = substituted("a: ${X}", {"X": "\udcff"})
    assert [problem.code for problem in substitution.problems] == [Code.SUBSTITUTION]
