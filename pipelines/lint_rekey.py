"""A key that is the same for every event asks for one context of everything: whether there is one depends on `rekey`."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.expression_error import ExpressionError
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import Name, walk
from penstock.pipelines.document import Map, Node, Scalar, Sequence, matching, place_of
from penstock.pipelines.problem import Code, Problem


def constant_key_problems(root: Map) -> Iterator[Problem]:
    """A warning: with one partition all is well."""
    for path, key in matching(root, "sources.*.key"):
        source = next(source for at, source in matching(root, "sources.*") if at == path[:2])
        rekey = source.get("rekey") if isinstance(source, Map) else None
        if _is_constant(key) and not (isinstance(rekey, Scalar) and rekey.value is True):
            message = f"the key of source `{path[1]}` is always the same: every partition of the topic has a context of its own"
            yield Problem(
                Code.CONSTANT_KEY,
                place_of(root, path),
                message,
                severity="warning",
                expected="`rekey: true`, for one context of all",
            )


def _is_constant(key: Node) -> bool:
    match key:
        case Scalar():
            return _names_nothing(key.text)
        case Sequence():
            return all(isinstance(item, Scalar) and _names_nothing(item.text) for item in key.items)
        case _:
            return False


def _names_nothing(text: str) -> bool:
    try:
        return not any(isinstance(node, Name) for node in walk(parse(text)))
    except ExpressionError:
        return False
