"""Expressions of the file: a subset of CEL (https://cel.dev), compiled to Python code.

    text ── parse ──▶ tree ── expand definitions, check names ──▶ tree ── compile ──▶ one function
            expression_parse      expression_check                    expression_compile

Where the language leaves CEL, on purpose: there is one kind of number (`/` is real division, `%` takes any), `60s` is a
number of milliseconds, aggregates look back over spans, `has()` is never unknown, and there are no infinities, no NaN, no
map literals and no macros. docs/expressions.md is the reference.
"""

from __future__ import annotations

from penstock.operators.expression_check import RESERVED_NAMES, Scope, defines_named, expand
from penstock.operators.expression_compile import Compiled, Evaluate, compile_tree
from penstock.operators.expression_error import ExpressionError
from penstock.operators.expression_parse import parse
from penstock.operators.expression_python import attribute_of
from penstock.operators.expression_value import TYPE_ERROR, UNKNOWN, Kind, Unknown

__all__ = [
    "RESERVED_NAMES", "TYPE_ERROR", "UNKNOWN", "Compiled", "Evaluate", "ExpressionError", "Kind", "Scope", "Unknown",
    "attribute_of", "compile_expression",
]  # fmt: skip


def compile_expression(text: str, scope: Scope) -> Compiled:
    """Compile one expression of the file. Raises ExpressionError, and nothing else, for any text."""
    tree = parse(text)
    return compile_tree(expand(tree, scope), text, scope, defines_named(tree, scope))
