"""Which conditions need not be looked at while no event comes: what counts can only fall as time passes."""

from __future__ import annotations

from penstock.operators.aggregate import AGGREGATES
from penstock.operators.expression_tree import Binary, Call, Logic, Node, walk


def rises(node: Node) -> bool:
    """While it is not true, only an event can make it true, never the passing of time."""
    match node:
        case Logic():
            return all(map(rises, node.parts))
        case Binary(operator=">" | ">=") if _falls(node.left):
            return _steady(node.right)
        case Binary(operator="<" | "<=") if _falls(node.right):
            return _steady(node.left)
        case _:
            return _steady(node)


def _falls(node: Node) -> bool:
    """Its value is always a number, and can only fall while no event comes. No sum of these is too large for an integer."""
    match node:
        case Binary(operator="+"):
            return _falls(node.left) and _falls(node.right)
        case _:
            return isinstance(node, Call) and node.name in AGGREGATES and AGGREGATES[node.name].falls


def _steady(node: Node) -> bool:
    """Its value stays as it is while no event comes."""
    return not any(isinstance(part, Call) and part.name in AGGREGATES for part in walk(node))
