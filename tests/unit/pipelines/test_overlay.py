"""Overlays and `--set`: what is merged, replaced and removed, and where it stands afterwards."""

from __future__ import annotations

import pytest

from penstock.pipelines.document import Json, Map, place_of, plain_value
from penstock.pipelines.overlay import merged, with_sets
from penstock.pipelines.problem import Code, Place
from penstock.pipelines.yaml_file import read_yaml


def tree(text: str, name: str = "base.yaml") -> Map:
    root = read_yaml(name, text.encode()).root
    assert root is not None
    return root


def overlaid(base: str, *overlays: str) -> Json:
    root = tree(base)
    for overlay in overlays:
        root = merged(root, tree(overlay))
    return plain_value(root)


def test_maps_merge_lists_and_scalars_replace() -> None:
    base = "a: {b: 1, c: [1, 2], d: {e: 1}}\nf: x"
    assert overlaid(base, "a: {b: 2, c: [3], g: 4}\nf: {h: 1}") == {
        "a": {"b": 2, "c": [3], "d": {"e": 1}, "g": 4},
        "f": {"h": 1},
    }


def test_null_removes() -> None:
    assert overlaid("a: {b: 1, c: 2}\nd: 1", "a: {b: null, x: {y: null, z: 1}}\nd:\nnothing: ~") == {
        "a": {"c": 2, "x": {"z": 1}}
    }


def test_later_overlays_win() -> None:
    assert overlaid("a: 1", "a: 2", "a: 3") == {"a": 3}


def test_values_keep_the_position_of_the_file_that_they_come_from() -> None:
    root = merged(tree("a: {b: 1, c: 2}"), tree("\na:\n  c: 3\n", "prod.yaml"))
    assert place_of(root, ("a", "b")) == Place("base.yaml", 1, 8)
    assert place_of(root, ("a", "c")) == Place("prod.yaml", 3, 6)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("a.b=2", {"a": {"b": 2}}),
        ("a.b='2'", {"a": {"b": "2"}}),
        ('a.b="x\\ty"', {"a": {"b": "x\ty"}}),
        ('a.b="x" in event.tags', {"a": {"b": '"x" in event.tags'}}),
        ("a.b=count(x, 60s) >= 2 ? 1 : 2 # no", {"a": {"b": "count(x, 60s) >= 2 ? 1 : 2 # no"}}),
        ("a.b==", {"a": {"b": "="}}),
        ("a.c.d=true", {"a": {"b": 1, "c": {"d": True}}}),
        ("a.b=null", {"a": {}}),
        ("x.y.z=null", {"a": {"b": 1}}),
    ],
)
def test_set_puts_one_scalar_in(option: str, expected: Json) -> None:
    root, problems = with_sets(tree("a: {b: 1}"), [option])
    assert problems == []
    assert plain_value(root) == expected


@pytest.mark.parametrize("option", ["a", "=1", "a..b=1", "a.b.c=1", "list.0=1", ".".join("a" * 100) + "=1"])
def test_set_that_leads_nowhere_is_a_problem_with_its_number(option: str) -> None:
    root, problems = with_sets(tree("a: {b: 1}\nlist: [1]"), ["a.b=1", option])
    assert [(problem.code, problem.place.line) for problem in problems] == [(Code.BAD_SET, 2)]
    assert plain_value(root) == {"a": {"b": 1}, "list": [1]}
