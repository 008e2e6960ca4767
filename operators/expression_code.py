"""Code for operators: what they mean (`expression_operator.py`), made quick where the kinds of the operands are known.

A piece of code carries what is known about its value before any event is seen: its kind, and whether it can be unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from penstock.operators import expression_operator
from penstock.operators.expression_error import ExpressionError, Place
from penstock.operators.expression_function import FUNCTIONS
from penstock.operators.expression_operator import OPERATORS
from penstock.operators.expression_python import call, constant, quote
from penstock.operators.expression_value import TYPE_ERROR, UNKNOWN, Kind, Unknown, kind_of, unsure
from penstock.operators.table_rows import row

Fresh = Callable[[], str]
"""Gives the name of a local variable that nothing else uses."""


class Doubt(IntEnum):
    NONE = 0
    MISSING = 1
    """It may be UNKNOWN."""
    ANY = 2
    """It may be UNKNOWN or TYPE_ERROR."""


@dataclass(frozen=True, slots=True)
class Code:
    python: ast.expr
    kind: Kind
    doubt: Doubt = Doubt.ANY

    @property
    def is_constant(self) -> bool:
        return isinstance(self.python, ast.Constant)

    @property
    def constant(self) -> Any:
        assert isinstance(self.python, ast.Constant)
        return self.python.value


_HELPER = {
    "==": "equal", "!=": "unequal", "<": "less", "<=": "at_most", ">": "more", ">=": "at_least", "+": "add",
    "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo", "in": "contains",
}  # fmt: skip
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDERED: tuple[Kind, ...] = ("number", "text", "bool")
_JOINED: tuple[Kind, ...] = ("number", "text", "list")
_NOUN: Mapping[Kind, str] = {
    "bool": "a truth value", "number": "a number", "text": "a text", "null": "null", "list": "a list", "map": "a map",
}  # fmt: skip

NAMES: Mapping[str, Any] = {
    **{_HELPER[sign]: function for sign, function in OPERATORS.items()},
    **{f"call_{name}": function.apply for name, function in FUNCTIONS.items()},
    **{
        name: getattr(expression_operator, name)
        for name in ("all_of", "any_of", "as_map", "decoded", "header", "index", "listed", "negate", "select")
    },
    **{kind.__name__: kind for kind in (bool, dict, float, int, str, type, Unknown)},
    "TYPE_ERROR": TYPE_ERROR,
    "UNKNOWN": UNKNOWN,
    "row": row,
    "unsure": unsure,
}
"""Everything that compiled code may name."""


def noun(kind: Kind) -> str:
    return _NOUN.get(kind, "something")


def literal(value: str | int | float | bool | None) -> Code:
    return Code(constant(value), kind_of(value), Doubt.NONE)


def binary(sign: str, left: Code, right: Code, place: Place, fresh: Fresh) -> Code:
    """`left sign right`; raises ExpressionError where the kinds cannot go together."""
    match sign:
        case "==" | "!=":
            return _equality(sign, left, right, fresh)
        case "<" | "<=" | ">" | ">=":
            return _order(sign, left, right, place, fresh)
        case "in":
            return _membership(left, right, place, fresh)
        case _:
            return _arithmetic(sign, left, right, place)


def _helped(sign: str, left: Code, right: Code, kind: Kind = "bool") -> Code:
    return Code(call(_HELPER[sign], [left.python, right.python]), kind)


def _folded(sign: str, left: Code, right: Code) -> Code:
    return literal(OPERATORS[sign](left.constant, right.constant))


def _both_numbers(left: Code, right: Code) -> bool:
    """Numbers for sure, so that Python's comparison is ours."""
    return left.kind == right.kind == "number" and not left.doubt and not right.doubt


def _equality(sign: str, left: Code, right: Code, fresh: Fresh) -> Code:
    if left.is_constant and right.is_constant:
        return _folded(sign, left, right)
    if left.is_constant:
        left, right = right, left
    if right.is_constant and (left.doubt or left.kind == right.kind):
        return _when_known(left, _equality_test(sign, right.constant, left.kind), right, fresh)
    if _both_numbers(left, right):
        return Code(quote(f"A {sign} B", A=left.python, B=right.python), "bool", Doubt.NONE)
    return _helped(sign, left, right)


def _equality_test(sign: str, value: Any, kind: Kind) -> str:
    """Template for `t == L`. The classic mistake is `t == 1` alone: Python says that True is 1."""
    if value is None or isinstance(value, bool):
        return "t is L" if sign == "==" else "t is not L"
    if value in (0, 1) and kind != "number":
        return f"t == L and t is not {bool(value)}" if sign == "==" else f"t != L or t is {bool(value)}"
    return f"t {sign} L"


def _when_known(code: Code, test: str, right: Code, fresh: Fresh) -> Code:
    """`test` (a template over t and L) of the value, or the value itself while it is unknown."""
    if not code.doubt:
        return Code(quote(test, t=code.python, L=right.python), "bool", Doubt.NONE)
    known = "(t := A) is not UNKNOWN" if code.doubt is Doubt.MISSING else "type(t := A) is not Unknown"
    return Code(quote(f"({test}) if {known} else t", t=fresh(), A=code.python, L=right.python), "bool", code.doubt)


def _order(sign: str, left: Code, right: Code, place: Place, fresh: Fresh) -> Code:
    _check_kinds(left, right, _ORDERED, f"`{sign}` compares numbers with numbers and texts with texts", place)
    if left.is_constant and right.is_constant:
        return _folded(sign, left, right)
    if left.is_constant:
        return _order(_MIRRORED[sign], right, left, place, fresh)
    if _both_numbers(left, right):
        return Code(quote(f"A {sign} B", A=left.python, B=right.python), "bool", Doubt.NONE)
    if not right.is_constant or right.kind == "bool":
        return _helped(sign, left, right)
    if left.kind == right.kind:
        return _when_known(left, f"t {sign} L", right, fresh)
    quick = "type(t := A) is str" if right.kind == "text" else "type(t := A) is int or type(t) is float"
    template = f"t {sign} L if {quick} else {_HELPER[sign]}(t, L)"
    return Code(quote(template, t=fresh(), A=left.python, L=right.python), "bool")


def _membership(item: Code, container: Code, place: Place, fresh: Fresh) -> Code:
    if container.kind not in ("list", "map", "any"):
        remedy = "; a part of a text is found by text.contains(part)" if container.kind == "text" else ""
        raise ExpressionError(f"`in` looks into a list or a map, found {noun(container.kind)}{remedy}", place)
    plain = isinstance(container.python, ast.List) and all(_is_plain(element) for element in container.python.elts)
    if plain and item.doubt:
        return _when_known(item, "t in L", container, fresh)
    return _helped("in", item, container)


def _is_plain(element: ast.expr) -> bool:
    """Python finds it in a list exactly where we do."""
    if not isinstance(element, ast.Constant):
        return False
    return isinstance(element.value, str) or (type(element.value) in (int, float) and element.value not in (0, 1))


def _arithmetic(sign: str, left: Code, right: Code, place: Place) -> Code:
    if sign != "+":
        _check_kinds(left, right, ("number",), f"`{sign}` takes numbers", place)
        return _helped(sign, left, right, "number")
    _check_kinds(left, right, _JOINED, "`+` adds numbers and joins texts or lists", place)
    return _helped(sign, left, right, right.kind if left.kind == "any" else left.kind)


def _check_kinds(left: Code, right: Code, allowed: Sequence[Kind], rule: str, place: Place) -> None:
    kinds = {left.kind, right.kind} - {"any"}
    if len(kinds) > 1 or not kinds.issubset(allowed):
        raise ExpressionError(f"{rule}, found {noun(left.kind)} and {noun(right.kind)}", place)


def negative(operand: Code, place: Place) -> Code:
    if operand.kind not in ("number", "any"):
        raise ExpressionError(f"`-` takes a number, found {noun(operand.kind)}", place)
    return Code(call("negate", [operand.python]), "number")


def opposite(operand: Code, place: Place, fresh: Fresh) -> Code:
    """`!`"""
    check_condition(operand, "`!` takes a condition", place)
    if not operand.doubt and operand.kind == "bool":
        return Code(quote("not A", A=operand.python), "bool", Doubt.NONE)
    template = "False if (t := A) is True else True if t is False else unsure(t)"
    return Code(quote(template, t=fresh(), A=operand.python), "bool", _doubt_of([operand]))


def check_condition(code: Code, rule: str, place: Place) -> None:
    if code.kind not in ("bool", "any"):
        raise ExpressionError(f"{rule}, found {noun(code.kind)}", place)


def logic(sign: str, parts: Sequence[Code], fresh: Fresh) -> Code:
    """`&&` or `||` of any number of parts: the first decisive one ends it, whatever stands before it."""
    doubt = _doubt_of(parts)
    if not doubt:
        operator = ast.And() if sign == "&&" else ast.Or()
        return Code(ast.BoolOp(operator, [part.python for part in parts]), "bool", Doubt.NONE)
    decisive, helper = (False, "all_of") if sign == "&&" else (True, "any_of")
    names = [fresh() for _ in parts]
    opposite_for_all = " and ".join(f"{name} is {not decisive}" for name in names)
    body = quote(f"{not decisive} if {opposite_for_all} else {helper}({', '.join(names)})")
    for name, part in zip(reversed(names), reversed(parts), strict=True):
        body = quote(f"{decisive} if (t := A) is {decisive} else B", t=name, A=part.python, B=body)
    return Code(body, "bool", doubt)


def _doubt_of(parts: Sequence[Code]) -> Doubt:
    """Of a result that is a truth value: what is no truth value gives a type error."""
    return max(part.doubt if part.kind == "bool" else Doubt.ANY for part in parts)


def choice(condition: Code, then: Code, otherwise: Code, fresh: Fresh) -> Code:
    kind = then.kind if then.kind == otherwise.kind else "any"
    branches = {"B": then.python, "C": otherwise.python}
    if not condition.doubt and condition.kind == "bool":
        doubt = max(then.doubt, otherwise.doubt)
        return Code(quote("B if A else C", A=condition.python, **branches), kind, doubt)
    template = "B if (t := A) is True else C if t is False else unsure(t)"
    return Code(quote(template, t=fresh(), A=condition.python, **branches), kind)


def list_of(items: Sequence[Code]) -> Code:
    python = [item.python for item in items]
    if any(item.doubt for item in items):
        return Code(call("listed", python), "list")
    return Code(ast.List(python, ast.Load()), "list", Doubt.NONE)
