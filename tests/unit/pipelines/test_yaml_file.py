"""YAML text to a tree: what is refused, what is recognised, and where everything stands."""

from __future__ import annotations

import pytest

from penstock.pipelines.document import Json, Scalar, node_at, plain_value
from penstock.pipelines.problem import Code
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.yaml_file import SIZE_MAX, YamlFile, read_yaml


def read(text: str) -> YamlFile:
    return read_yaml("f.yaml", text.encode())


def value(text: str) -> Json:
    file = read(text)
    assert not file.problems, file.problems
    assert file.root is not None
    return plain_value(file.root)


def found(text: str) -> list[tuple[str, int, int]]:
    return [(problem.code.name, problem.place.line, problem.place.column) for problem in read(text).problems]


def test_the_core_schema_knows_no_dates_and_no_yes() -> None:
    assert value("a: 2026-11-20\nb: [yes, no, on, off]\nc: 12:30:45\nd: 0777") == {
        "a": "2026-11-20",
        "b": ["yes", "no", "on", "off"],
        "c": "12:30:45",
        "d": 777,
    }


def test_the_core_schema_knows_numbers_booleans_and_null() -> None:
    text = "{a: 0x1F, b: 0o17, c: -1.5e3, d: TRUE, e: ~, f: , g: '1', h: .5, i: .inf, j: 1e999}"
    assert value(text) == {
        "a": 31, "b": 15, "c": -1500.0, "d": True, "e": None, "f": None, "g": "1", "h": 0.5, "i": ".inf", "j": "1e999",
    }  # fmt: skip


def test_keys_are_text_whatever_they_look_like() -> None:
    assert value("1: a\ntrue: b\n") == {"1": "a", "true": "b"}


def test_aliases_repeat_a_value() -> None:
    assert value("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_an_alias_that_multiplies_is_stopped() -> None:
    layers = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8)
    )
    assert [problem.code for problem in read(layers).problems] == [Code.YAML_REFUSED]


def test_deep_nesting_is_stopped_at_once() -> None:
    assert [problem.code for problem in read("[" * 100_000).problems] == [Code.YAML_REFUSED]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ("DUPLICATE_KEY", 3, 1)),
        ("a: !!str 5\n", ("YAML_REFUSED", 1, 4)),
        ("a: &x [*x]\n", ("YAML_REFUSED", 1, 8)),
        ("<<: {a: 1}\n", ("YAML_REFUSED", 1, 1)),
        ("? [a, b]\n: c\n", ("YAML_REFUSED", 1, 3)),
        ("%YAML 1.1\n---\na: 1\n", ("YAML_REFUSED", 2, 1)),
        ("a: 1\n---\nb: 2\n", ("YAML_REFUSED", 2, 1)),
        ("", ("NOT_A_PIPELINE", 1, 1)),
        ("# only a comment\n", ("NOT_A_PIPELINE", 1, 1)),
        ("- a\n", ("NOT_A_PIPELINE", 1, 1)),
        ("a:\n\tb: 1\n", ("NOT_YAML", 2, 1)),
        ("a: b\n  c: d\n", ("NOT_YAML", 2, 4)),
        ("a: 1\nb: \x00\n", ("NOT_YAML", 2, 4)),
        ("a: 1\nb: 'x\nc: 2\n", ("UNCLOSED_QUOTE", 2, 4)),
        ("a: 1\nb: 'x\nc: 'y'\nd: 2\n", ("UNCLOSED_QUOTE", 2, 4)),
        ('a: "\\d+"\n', ("YAML_ATE_EXPRESSION", 1, 6)),
        ("a: event.x ? 1 : 2\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: !has(event.x)\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: *x == 2\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: *x\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: [1, 2][0] == 1\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: {b: 1} == c\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: @x\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: `x`\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: %x\n", ("YAML_ATE_EXPRESSION", 1, 4)),
        ('a: "b" in event.tags\n', ("YAML_ATE_EXPRESSION", 1, 4)),
        ("a: {b: event.x[0] == 1}\n", ("YAML_ATE_EXPRESSION", 1, 8)),
        ("a: {b: count(x, 60s) >= 20}\n", ("YAML_ATE_EXPRESSION", 1, 8)),
        ('a: {b: c, d: event.e == "f" ? "g" : "h"}\n', ("YAML_ATE_EXPRESSION", 1, 14)),
        ('a: {b: c, d: {e: event.f ? "g" : "h"}, i: j}\n', ("YAML_ATE_EXPRESSION", 1, 18)),
    ],
)
def test_each_mistake_is_named_at_its_place(text: str, expected: tuple[str, int, int]) -> None:
    assert found(text) == [expected]


def test_both_places_of_a_duplicate_key_are_named() -> None:
    (problem,) = read("a: 1\n\n  \na: 2\n").problems
    assert "1:1" in problem.message
    assert problem.place.line == 4


def test_reading_goes_on_after_a_mistake_that_is_understood() -> None:
    text = "a: x ? y : z\nb: @c\nd: {e: count(f, 1m) > 2, g: 1}\nd: 1\n"
    assert found(text) == [
        ("YAML_ATE_EXPRESSION", 1, 4),
        ("YAML_ATE_EXPRESSION", 2, 4),
        ("YAML_ATE_EXPRESSION", 3, 8),
        ("DUPLICATE_KEY", 4, 1),
    ]


def test_an_expression_that_yaml_split_is_put_together_again() -> None:
    file = read('t: {when: count(event.o == "a", 60s) >= 2, until: sum(event.n, 1m, f) < 1, cooldown: 5m}')
    assert file.root is not None
    assert plain_value(file.root) == {
        "t": {"when": 'count(event.o == "a", 60s) >= 2', "until": "sum(event.n, 1m, f) < 1", "cooldown": "5m"}
    }
    assert "when: 'count(event.o == \"a\", 60s) >= 2'" in file.problems[0].message


def test_the_remedy_is_spelled_out() -> None:
    (problem,) = read("a: x ? 'y' : z\n").problems
    assert problem.message.endswith("put the value in quotes: 'x ? ''y'' : z'")


def test_bytes_that_are_no_text_are_a_problem_where_they_stand() -> None:
    (problem,) = read_yaml("f.yaml", b"a: 1\nb: \xff\n").problems
    assert (problem.code, problem.place.line, problem.place.column) == (Code.UNREADABLE, 2, 4)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert value("\ufeffa: 1\n") == {"a": 1}


def test_a_file_beyond_the_cap_is_not_parsed() -> None:
    assert [problem.code for problem in read("a: " + "x" * SIZE_MAX).problems] == [Code.UNREADABLE]


@pytest.mark.parametrize(
    ("text", "needle", "place"),
    [
        ("a: event.x == 1\n", "==", (1, 12)),
        ("a: 'it''s == 1'\n", "==", (1, 11)),
        ('a: "x\\t\\u00e9 == 1"\n', "==", (1, 15)),
        ("a: |\n  one\n  two == 1\n", "==", (3, 7)),
        ("a: >-\n  one\n  two == 1\n", "==", (3, 7)),
        ("a: one\n  two == 1\n", "==", (2, 7)),
        ("a: 'one\n\n  two == 1'\n", "==", (3, 7)),
        ('a: "one\\\n  two == 1"\n', "==", (2, 7)),
        ("a: &anchor x == 1\n", "==", (1, 14)),
        ("a: |2\n     x == 1\n", "==", (2, 8)),
    ],
)
def test_a_character_of_a_value_is_found_in_the_file(text: str, needle: str, place: tuple[int, int]) -> None:
    file = read(text)
    assert file.root is not None
    node = node_at(file.root, ("a",))
    assert isinstance(node, Scalar)
    found_at = place_in(node, node.text.index(needle))
    assert (found_at.line, found_at.column) == place


@pytest.mark.parametrize("text", ["a:\n - {b: 0, c: }}\n", "a: {b: , c: ]\n"])
def test_a_key_without_a_value_before_a_mistake_in_braces_is_no_expression(text: str) -> None:
    (problem,) = read(text).problems
    assert problem.code is Code.NOT_YAML
