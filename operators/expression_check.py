"""Names: definitions are put in place of their names, and what nobody knows is refused, with the nearest name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from penstock.operators.aggregate import AGGREGATES
from penstock.operators.expression_error import ExpressionError, Place, nearest
from penstock.operators.expression_function import FUNCTIONS, Function
from penstock.operators.expression_parse import DEPTH_MAX, NODES_MAX, parse, too_deep, too_large
from penstock.operators.expression_tree import (
    Call,
    Duration,
    Index,
    Literal,
    Member,
    Name,
    Node,
    children,
    walk,
    with_children,
)
from penstock.operators.unit import duration_ms

TRIGGER_ROOTS = frozenset({"event", "record", "key", "source", "labels"})
HAS = "has"
TABLES_REMEDY = (
    "they can be in `each`, `when`, `until`, `absence`, in what these name under `define:`, and in templates"
)
TABLES = "tables"
TENANT = "tenant"
_TENANT_REMEDY = (
    "it is in triggers and templates, where a source says whose its events are, as in `tenant: event.customer`"
)
_LATER = {"watermark": "0.3"}
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
RESERVED_NAMES = frozenset(
    {"true", "false", "null", "in", HAS, "trigger", "values", "steps", "answer", "args", "state", TABLES, TENANT}
    | TRIGGER_ROOTS | _LATER.keys() | FUNCTIONS.keys() | AGGREGATES.keys()
)  # fmt: skip
"""No definition may have one of these names: they mean something already, or will."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may name.

    `defines`: the file's named expressions, name to text. `aggregates`: it may look back over spans (`when`, `until`).
    `roots`: where paths begin. `event` is the event, `record.time` is `moment.time`, any other root `x` is `moment.x`.
    `advice` is what to say of a name that is none: where to look, `{name}` stands for it.
    `captures`: steps of a sequence that come before, in their order; `coming`: those that do not.
    `functions`: the user's own, by name.
    `tables`: names of the tables whose rows it may read; None: rows cannot be read here.
    """

    defines: Mapping[str, str] = field(default_factory=dict)
    aggregates: bool = False
    roots: frozenset[str] = TRIGGER_ROOTS
    advice: str = "a field of the event is written `event.{name}`"
    captures: tuple[str, ...] = ()
    coming: frozenset[str] = frozenset()
    functions: Mapping[str, Function] = field(default_factory=dict)
    tables: frozenset[str] | None = None

    @property
    def known(self) -> frozenset[str]:
        """Names that are no definitions."""
        return self.roots.union(self.captures, () if self.tables is None else (TABLES,))


def defines_named(tree: Node, scope: Scope) -> tuple[str, ...]:
    """The definitions that stand in the text itself, each once, in the order of the text."""
    names = (node.name for node in walk(tree) if isinstance(node, Name))
    return tuple(dict.fromkeys(name for name in names if name in scope.defines and name not in scope.known))


def expand(tree: Node, scope: Scope) -> Node:
    """The tree without definitions: every name left is a root, every function exists. Raises ExpressionError."""
    return _Expander(scope).expanded(tree, 1)


class _Expander:
    def __init__(self, scope: Scope) -> None:
        self._scope, self._known = scope, scope.known
        self._nodes = 0
        self._within: list[str] = []

    def expanded(self, node: Node, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise too_deep(node.place)
        if isinstance(node, Name) and node.name not in self._known:
            return self._definition(node, depth)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise too_large(node.place)
        if isinstance(node, Call):
            node = self._checked_call(node)
        parts = tuple([self.expanded(part, depth + 1) for part in children(node)])
        return _folded(with_children(node, parts))

    def _definition(self, node: Name, depth: int) -> Node:
        text = self._scope.defines.get(node.name)
        if text is None:
            raise self._unknown_name(node)
        if node.name in self._within:
            raise self._cycle(node)
        self._within.append(node.name)
        place = Place(node.place.offset, node.name)
        found = self.expanded(parse(text, place), depth + 1)
        self._within.pop()
        return found

    def _cycle(self, node: Name) -> ExpressionError:
        """Named from the member that stands first in the file, so that every way into the cycle gives one message."""
        members = self._within[self._within.index(node.name) :]
        order = list(self._scope.defines)
        start = min(range(len(members)), key=lambda at: order.index(members[at]))
        ring = [*members[start:], *members[:start]]
        message = f"`{ring[0]}` is defined by itself: {' → '.join([*ring, ring[0]])}"
        return ExpressionError(message, Place(node.place.offset, ring[0]))

    def _unknown_name(self, node: Name) -> ExpressionError:
        name = node.name
        if name in self._scope.functions:
            return ExpressionError(f"`{name}` is a function; write {self._scope.functions[name].example}", node.place)
        if name in FUNCTIONS or name in AGGREGATES or name == HAS:
            return ExpressionError(f"`{name}` is a function; write {_form(name)}", node.place)
        if name in _LATER:
            return ExpressionError(f"`{name}` is not built yet; version {_LATER[name]} will have it", node.place)
        if name == TABLES:
            return ExpressionError(f"rows of tables cannot be read here; {TABLES_REMEDY}", node.place)
        if name == TENANT:
            return ExpressionError(f"`{name}` is not known here; {_TENANT_REMEDY}", node.place)
        if name in self._scope.coming:
            message = f"`{name}` is no step before this one, and only of those an event can be read here"
            return ExpressionError(message, node.place, nearest(name, self._scope.captures))
        known = sorted({*self._known, *self._scope.defines})
        message = f"nothing here is called `{name}`; {self._scope.advice.format(name=name)}"
        return ExpressionError(message, node.place, nearest(name, known))

    def _checked_call(self, node: Call) -> Call:
        """A function of the user's own goes by its import path from here on: another path is another meaning."""
        if node.name in AGGREGATES and not node.method:
            return node
        if node.name == HAS:
            _check_has(node)
            return node
        function = FUNCTIONS.get(node.name) or self._scope.functions.get(node.name)
        if function is None:
            raise self._unknown_function(node)
        if function.form == ("function" if node.method else "method"):
            raise ExpressionError(f"`{node.name}` is written {function.example}", node.place)
        if len(node.arguments) != len(function.takes):
            raise _wrong_number(node, function)
        return replace(node, name=function.path) if function.path else node

    def _unknown_function(self, node: Call) -> ExpressionError:
        name = node.name
        if name in AGGREGATES:
            return ExpressionError(f"`{name}` is no method; write {_form(name)}", node.place)
        if name in _LATER:
            return ExpressionError(f"`{name}()` is not built yet; version {_LATER[name]} will have it", node.place)
        if name in _MACROS:
            return ExpressionError(
                f"CEL's `{name}` is no part of this language; lists are searched by `in`", node.place
            )
        if name in self._scope.defines or name in self._known:
            return ExpressionError(f"`{name}` is no function", node.place)
        aggregates = AGGREGATES if self._scope.aggregates and not node.method else ()
        return ExpressionError(
            f"there is no function `{name}`",
            node.place,
            nearest(name, [*FUNCTIONS, *self._scope.functions, HAS, *aggregates]),
        )


def _form(name: str) -> str:
    if name == HAS:
        return "has(event.user)"
    return AGGREGATES[name].example if name in AGGREGATES else FUNCTIONS[name].example


def _check_has(node: Call) -> None:
    path = node.arguments[0] if len(node.arguments) == 1 and not node.method else None
    if not isinstance(path, Member) and not is_row(path):
        raise ExpressionError(
            '`has` asks whether a field is there; write has(event.user) or has(event["a-b"])', node.place
        )


def is_row(node: Node | None) -> bool:
    """`tables.hosts[key]`"""
    match node:
        case Index(of=Member(of=Name(name=name))):
            return name == TABLES
        case _:
            return False


def _wrong_number(node: Call, function: Function) -> ExpressionError:
    takes, has = len(function.takes) - node.method, len(node.arguments) - node.method
    values = "nothing" if takes == 0 else "one value" if takes == 1 else f"{takes} values"
    return ExpressionError(f"`{node.name}` takes {values}, found {has}; write {function.example}", node.place)


def _folded(node: Node) -> Node:
    """`duration("60s")` is the same as `60s`."""
    if not isinstance(node, Call) or node.name != "duration":
        return node
    argument = node.arguments[0]
    if not isinstance(argument, Literal) or not isinstance(argument.value, str):
        return node
    try:
        return Duration(duration_ms(argument.value), node.place)
    except ValueError as error:
        raise ExpressionError(str(error), argument.place) from None
