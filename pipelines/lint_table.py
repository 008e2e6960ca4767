"""Tables of the file: topics that nothing else reads, and triggers that name tables that there are."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.setting import TABLE_PREFIX
from penstock.pipelines.document import Map, Scalar, matching
from penstock.pipelines.problem import Code, Problem, nearest_name


def table_names(root: Map) -> list[str]:
    tables = root.get("tables")
    return list(tables.entries) if isinstance(tables, Map) else []


def table_problems(root: Map) -> Iterator[Problem]:
    yield from _read_twice(root)
    yield from _unresolved(root)


def _read_twice(root: Map) -> Iterator[Problem]:
    """Where a task stands in a topic is known once."""
    sources = [(path, node) for path, node in matching(root, "sources.*.topic") if isinstance(node, Scalar)]
    first = {node.text: f"source `{path[1]}`" for path, node in sources}
    for path, node in matching(root, "tables.*.topic"):
        if isinstance(node, Scalar) and node.text in first:
            message = f"the topic `{node.text}` is read by {first[node.text]} already"
            yield Problem(Code.SAME_TOPIC, node.place, message, expected="another topic; one can be read once")
        elif isinstance(node, Scalar):
            first[node.text] = f"table `{path[1]}`"


def _unresolved(root: Map) -> Iterator[Problem]:
    """`expect:` names a table."""
    names = [f"{TABLE_PREFIX}{name}" for name in table_names(root)]
    for _, node in matching(root, "triggers.*.expect"):
        if isinstance(node, Scalar) and node.text.startswith(TABLE_PREFIX) and node.text not in names:
            expected = f"one of {', '.join(names)}" if names else "a table under `tables:`, which is empty"
            message = f"there is no table `{node.text.removeprefix(TABLE_PREFIX)}` under `tables:`"
            yield Problem(
                Code.UNRESOLVED, node.place, message, expected=expected, nearest=nearest_name(node.text, names)
            )
