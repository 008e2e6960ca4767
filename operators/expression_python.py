"""Python syntax trees from templates, and code from syntax trees: the only place where text becomes a program.

Nothing a user writes is ever Python source. Texts and numbers become constants; field names become attribute names by
`attribute_of`; everything else comes out of the templates of `expression_compile.py`. `to_function` checks that once more.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from penstock.operators.expression_tree import IDENTIFIER

PARAMETERS = ("event", "spans", "moment")
_SYNTAX = (
    ast.And, ast.Attribute, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.Eq, ast.Gt, ast.GtE, ast.IfExp, ast.In,
    ast.Is, ast.IsNot, ast.List, ast.Load, ast.Lt, ast.LtE, ast.Name, ast.NamedExpr, ast.Not, ast.NotEq, ast.Or,
    ast.Store, ast.Subscript, ast.Tuple, ast.UnaryOp,
)  # fmt: skip


def attribute_of(field: str) -> str:
    """The attribute of an event object that holds the JSON field of this name; different fields have different ones.

    It is never a keyword, a dunder or a method, whatever producers call their fields.
    """
    return f"f_{field}" if IDENTIFIER.fullmatch(field) else f"x_{field.encode('utf-8', 'surrogatepass').hex()}"


@cache
def _parsed(template: str) -> ast.expr:
    return ast.parse(template, mode="eval").body


def quote(template: str, /, **parts: ast.expr | str) -> ast.expr:
    """The template with syntax trees in place of its names, or other names in place of names.

    A tree may stand in one place only, or it would be evaluated twice: a template that needs a value again names it
    (`T := A`).
    """
    filled: ast.expr = _filled(_parsed(template), parts)
    return filled


def _filled(node: Any, parts: Mapping[str, ast.expr | str]) -> Any:
    """A copy of a node, of a list of them, or of what else a field of a node holds."""
    if isinstance(node, list):
        return [_filled(each, parts) for each in node]
    if isinstance(node, ast.Name):
        part = parts.get(node.id, node.id)
        return ast.Name(part, node.ctx) if isinstance(part, str) else part
    if isinstance(node, ast.AST) and node._fields:
        return type(node)(*[_filled(getattr(node, field), parts) for field in node._fields])
    return node


def constant(value: str | int | float | bool | None) -> ast.expr:
    return ast.Constant(value)


def call(function: str, arguments: list[ast.expr]) -> ast.expr:
    return ast.Call(ast.Name(function, ast.Load()), arguments, [])


def to_function(body: ast.expr, names: Mapping[str, Any], attributes: Collection[str]) -> Callable[..., Any]:
    """`lambda event, spans, moment: body` as one code object that sees `names` and no builtins.

    `attributes` are those that it may read besides the fields of the event.
    """
    _check(body, names, attributes)
    parameters = ast.arguments([], [ast.arg(name) for name in PARAMETERS], None, [], [], None, [])
    program = ast.Expression(ast.Lambda(parameters, body))
    for node in ast.walk(program):
        if isinstance(node, ast.expr | ast.arg):
            node.lineno = node.end_lineno = 1
            node.col_offset = node.end_col_offset = 0
    evaluate: Callable[..., Any] = eval(compile(program, "<expression>", "eval"), {"__builtins__": {}, **names})
    return evaluate


def _check(body: ast.expr, names: Mapping[str, Any], attributes: Collection[str]) -> None:
    """Raises AssertionError where the tree holds anything that no template has: a mistake of ours, never a user's."""
    local = {node.target.id for node in ast.walk(body) if isinstance(node, ast.NamedExpr)}
    known = {*names, *local, *PARAMETERS}
    for node in ast.walk(body):
        assert isinstance(node, _SYNTAX), ast.dump(node)
        assert not isinstance(node, ast.Name) or node.id in known, node.id
        if isinstance(node, ast.Attribute):
            assert node.attr in attributes or node.attr.startswith(("f_", "x_")), node.attr
