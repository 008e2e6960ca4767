"""Overlays (`-f prod.yaml`) and single values (`--set path=value`) on top of a file.

Maps merge, lists and scalars replace, null removes. What is replaced keeps no trace, also not its unset variables:
variables are put in afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.pipelines.document import Entry, Map, Node, Scalar, node_at, with_node, without
from penstock.pipelines.problem import Code, Place, Problem
from penstock.pipelines.yaml_tree import DEPTH_MAX, NotYaml, read_tree

SET = "--set"
"""The name of the file in which problems of `--set` stand: one line per option."""


def merged(base: Map, over: Map) -> Map:
    """`base` with `over` on top; both keep their positions."""
    entries = dict(base.entries)
    for name, entry in over.entries.items():
        if _is_null(entry.node):
            entries.pop(name, None)
        elif name in entries and isinstance(entries[name].node, Map) and isinstance(entry.node, Map):
            entries[name] = Entry(entry.place, _merged_below(entries[name].node, entry.node))
        else:
            entries[name] = Entry(entry.place, _without_nulls(entry.node))
    return Map(entries, base.place)


def _merged_below(base: Node, over: Map) -> Node:
    return merged(base, over) if isinstance(base, Map) else _without_nulls(over)


def _without_nulls(node: Node) -> Node:
    """A map that an overlay adds: a null in it removes what is not there, hence nothing."""
    return merged(Map({}, node.place), node) if isinstance(node, Map) else node


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def with_sets(root: Map, sets: Sequence[str]) -> tuple[Map, list[Problem]]:
    """The tree with every `path=value` applied in order. The value is one YAML scalar, never a list or a map."""
    problems: list[Problem] = []
    for number, option in enumerate(sets):
        path_text, equals, value = option.partition("=")
        path = tuple(path_text.split("."))
        place = Place(SET, number + 1, 1)
        if not equals or not all(path) or len(path) > DEPTH_MAX:
            problems.append(
                _problem(place, f"`{option}` is not of the form path=value, such as kafka.bootstrap=broker:9092")
            )
            continue
        blocked = _blocked(root, path)
        if blocked is not None:
            problems.append(_problem(place, f"`{blocked}` is not a map; --set reaches into maps only"))
            continue
        root = _with_set(root, path, _scalar(value, Place(SET, number + 1, len(path_text) + 2)), place)
    return root, problems


def _problem(place: Place, message: str) -> Problem:
    return Problem(Code.BAD_SET, place, message)


def _blocked(root: Map, path: tuple[str, ...]) -> str | None:
    """The part of the path that leads to something other than a map."""
    for end in range(1, len(path)):
        node = node_at(root, path[:end])
        if node is not None and not isinstance(node, Map) and not _is_null(node):
            return ".".join(path[:end])
    return None


def _with_set(root: Map, path: tuple[str, ...], value: Scalar, place: Place) -> Map:
    changed = without(root, path) if value.value is None else with_node(root, path, value, place)
    return changed if isinstance(changed, Map) else root


def _scalar(text: str, place: Place) -> Scalar:
    """Quotes are undone as in YAML; everything else is an unquoted scalar to its end, whatever characters it holds."""
    if text[:1] in ("'", '"'):
        try:
            node = read_tree(text, SET).root
        except NotYaml:
            node = None
        if isinstance(node, Scalar) and node.style in ("'", '"') and node.raw == text:
            return Scalar(node.text, node.style, place, text)
    return Scalar(text, "plain", place, text)
