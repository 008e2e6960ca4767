"""What an expression is made of, and its canonical text: equal text means equal meaning, whatever the spaces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from penstock.operators.expression_error import Place
from penstock.operators.unit import duration_text

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | float | bool | None
    place: Place


@dataclass(frozen=True, slots=True)
class Duration:
    """`60s`: a number of milliseconds, and what a span must be written as."""

    ms: int
    place: Place


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Name:
    """A definition or a root of the scope; definitions are gone once they are expanded."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Member:
    """`of.name`, also written `of["name"]`; `place` is that of the name."""

    of: Node
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Index:
    of: Node
    key: Node
    place: Place


@dataclass(frozen=True, slots=True)
class Call:
    """`name(…)`, or `arguments[0].name(…)` where `method`; `place` is that of the name."""

    name: str
    arguments: tuple[Node, ...]
    method: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Node
    place: Place


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, comparison or `in`; `place` is that of the operator."""

    operator: str
    left: Node
    right: Node
    place: Place


@dataclass(frozen=True, slots=True)
class Logic:
    """A chain of `&&` or of `||`, of two parts or more; `place` is that of the first operator."""

    operator: str
    parts: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Choice:
    condition: Node
    then: Node
    otherwise: Node
    place: Place


Node = Literal | Duration | ListOf | Name | Member | Index | Call | Unary | Binary | Logic | Choice


def children(node: Node) -> tuple[Node, ...]:
    """The parts of a node, from left to right."""
    match node:
        case Literal() | Duration() | Name():
            return ()
        case ListOf(items=parts) | Call(arguments=parts) | Logic(parts=parts):
            return parts
        case Member():
            return (node.of,)
        case Index():
            return (node.of, node.key)
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Choice():
            return (node.condition, node.then, node.otherwise)
        case _:
            assert_never(node)


def with_children(node: Node, parts: tuple[Node, ...]) -> Node:
    """The same node with other parts, as many as `children` gives."""
    match node:
        case Literal() | Duration() | Name():
            return node
        case ListOf():
            return replace(node, items=parts)
        case Call():
            return replace(node, arguments=parts)
        case Logic():
            return replace(node, parts=parts)
        case Member():
            return replace(node, of=parts[0])
        case Index():
            return replace(node, of=parts[0], key=parts[1])
        case Unary():
            return replace(node, operand=parts[0])
        case Binary():
            return replace(node, left=parts[0], right=parts[1])
        case Choice():
            return replace(node, condition=parts[0], then=parts[1], otherwise=parts[2])
        case _:
            assert_never(node)


def walk(node: Node) -> Iterator[Node]:
    """Every node, in the order of the text as far as that is defined."""
    yield node
    for part in children(node):
        yield from walk(part)


def begin(node: Node) -> Place:
    """Where the text of a node begins; an operator's own place is in its middle."""
    return min(part.place for part in walk(node))


def canonical(node: Node) -> str:
    """The one way to write a tree. It can be parsed again and gives the same tree."""
    match node:
        case Literal():
            return _json(node.value)
        case Duration():
            return duration_text(node.ms)
        case Name():
            return node.name
        case ListOf():
            return f"[{_listed(node.items)}]"
        case Member():
            plain = IDENTIFIER.fullmatch(node.name)
            return f"{_operand(node.of)}.{node.name}" if plain else f"{_operand(node.of)}[{_json(node.name)}]"
        case Index():
            return f"{_operand(node.of)}[{canonical(node.key)}]"
        case Call():
            if not node.method:
                return f"{node.name}({_listed(node.arguments)})"
            return f"{_operand(node.arguments[0])}.{node.name}({_listed(node.arguments[1:])})"
        case Unary():
            return f"{node.operator}{_operand(node.operand)}"
        case Binary():
            return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"
        case Logic():
            return f" {node.operator} ".join(map(_operand, node.parts))
        case Choice():
            return f"{_operand(node.condition)} ? {_operand(node.then)} : {_operand(node.otherwise)}"
        case _:
            assert_never(node)


def _json(value: str | int | float | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _listed(nodes: tuple[Node, ...]) -> str:
    return ", ".join(map(canonical, nodes))


def _operand(node: Node) -> str:
    compound = isinstance(node, Unary | Binary | Logic | Choice)
    return f"({canonical(node)})" if compound else canonical(node)
