"""From a checked tree to one Python function.

Three-valued logic is spelled out in the code, so that the common case costs a comparison or two and no call:

    event.outcome == "failed"     t == "failed" if (t := event.f_outcome) is not UNKNOWN else t
    spans[0] >= 20                as it stands: a count is always a number
    a && b                        False if (t := a) is False else False if (u := b) is False else
                                  True if t is True and u is True else all_of(t, u)

What the kinds of literals and functions already show to be wrong is refused here, at its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, assert_never

from penstock.operators.aggregate import AGGREGATES, AggregateCall, AggregateKind
from penstock.operators.expression_check import HAS, TABLES, Scope
from penstock.operators.expression_code import (
    NAMES,
    Code,
    Doubt,
    binary,
    check_condition,
    choice,
    list_of,
    literal,
    logic,
    negative,
    noun,
    opposite,
)  # fmt: skip
from penstock.operators.expression_error import ExpressionError, Place, nearest
from penstock.operators.expression_function import FUNCTIONS, Function
from penstock.operators.expression_python import attribute_of, call, constant, quote, to_function
from penstock.operators.expression_rising import rises
from penstock.operators.expression_tree import (
    Binary,
    Call,
    Choice,
    Duration,
    Index,
    ListOf,
    Literal,
    Logic,
    Member,
    Name,
    Node,
    Unary,
    begin,
    canonical,
)  # fmt: skip
from penstock.operators.expression_value import Kind

Evaluate = Callable[[Any, Sequence[Any], Any], Any]
"""(event, spans, moment) to a JSON value or an Unknown. Of a condition, only `is True` counts as true.

`event` has one attribute per field (`attribute_of`), UNKNOWN where it is missing. `spans` holds the present value of each
of `Compiled.aggregates`, in their order; in a sequence, which has none, the event of each of the scope's `captures`.
`moment` has `key source record time labels`; None will do unless `uses_moment`.
"""


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression, ready to be evaluated.

    `kind` is that of its value as far as the text alone tells. `fields` are all the event's fields that it needs,
    `own_fields` those that `evaluate` reads of the event itself, outside of aggregates. `aggregates` holds each aggregate once.
    `captured` are the fields that it reads of events of earlier steps, as (step, field).
    `defines` are the definitions that the text itself names. `uses_moment`: it or one of its aggregates asks about the
    record; `own_moment`: `evaluate` itself does. `rising`: while it is not true, only an event can make it true, never the
    passing of time.
    """

    text: str
    evaluate: Evaluate
    kind: Kind
    fields: frozenset[str]
    own_fields: frozenset[str]
    aggregates: tuple[AggregateCall, ...]
    defines: tuple[str, ...]
    uses_moment: bool
    own_moment: bool
    rising: bool
    identity: str
    """Canonical text with definitions written out: equal identity, equal meaning."""
    captured: frozenset[tuple[str, str]] = frozenset()
    tables: frozenset[str] = frozenset()
    """Tables of which it reads rows, outside of aggregates."""

    @property
    def uses_event(self) -> bool:
        """`evaluate` reads the event itself."""
        return bool(self.own_fields)


_RECORD: Mapping[str, tuple[str, Kind, Doubt]] = {
    "topic": ("moment.record.topic", "text", Doubt.NONE),
    "partition": ("moment.record.partition", "number", Doubt.NONE),
    "offset": ("moment.record.offset", "number", Doubt.NONE),
    "timestamp": ("moment.record.timestamp", "number", Doubt.NONE),
    "time": ("moment.time", "number", Doubt.NONE),
    "key": ("decoded(moment.record.key)", "any", Doubt.ANY),
}
_HEADERS = "headers"
_WHOLE: Mapping[str, str] = {
    "event": 'the event is read field by field; write event.user or event["user-agent"]',
    "tables": "a table is read row by row; write tables.hosts[key].owner",
    "record": f"the record is read part by part; write record.time (parts: {', '.join([*_RECORD, _HEADERS])})",
}
_ATTRIBUTES = frozenset(
    {"get", "headers", "key", "labels", "offset", "partition", "record", "tables", "time", "timestamp", "topic"}
)


def compile_tree(
    tree: Node, text: str, scope: Scope, defines: tuple[str, ...] = (), within: str | None = None
) -> Compiled:
    """Compile a tree without definitions. `within`: the aggregate whose argument it is."""
    compiler = _Compiler(scope, within)
    code = compiler.code(tree)
    if compiler.captured and compiler.tables:
        message = "an expression that reads the event of an earlier step cannot read rows of tables, too"
        raise ExpressionError(message, begin(tree))
    aggregates = tuple(compiler.aggregates)
    parts = [part for call in aggregates for part in (call.value, call.where) if part is not None]
    return Compiled(
        text=text,
        evaluate=to_function(code.python, compiler.names, _ATTRIBUTES | scope.roots),
        kind=code.kind,
        fields=frozenset(compiler.fields).union(
            (field for _, field in compiler.captured), *(part.fields for part in parts)
        ),
        own_fields=frozenset(compiler.fields),
        aggregates=aggregates,
        defines=defines,
        uses_moment=compiler.uses_moment or any(part.uses_moment for part in parts),
        own_moment=compiler.uses_moment,
        rising=rises(tree) and not compiler.tables,
        identity=canonical(tree),
        captured=frozenset(compiler.captured),
        tables=frozenset(compiler.tables),
    )


class _Compiler:
    """Code for every kind of node; collects what the expression uses."""

    def __init__(self, scope: Scope, within: str | None) -> None:
        self._scope, self._within = scope, within
        self._own = {function.path: function for function in scope.functions.values()}
        self.names: dict[str, Any] = dict(NAMES)
        self.fields: set[str] = set()
        self.captured: set[tuple[str, str]] = set()
        self.aggregates: dict[AggregateCall, int] = {}
        self.uses_moment = False
        self.tables: set[str] = set()
        self._locals = 0

    def _fresh(self) -> str:
        self._locals += 1
        return f"t{self._locals}"

    def code(self, node: Node) -> Code:
        match node:
            case Literal():
                return literal(node.value)
            case Duration():
                return literal(node.ms)
            case ListOf():
                return list_of([self.code(item) for item in node.items])
            case Name():
                return self._root(node)
            case Member():
                return self._member(node)
            case Index():
                return self._index(node)
            case Call():
                return self._call(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return binary(node.operator, self.code(node.left), self.code(node.right), node.place, self._fresh)
            case Logic():
                return logic(node.operator, [self._condition(part, node.operator) for part in node.parts], self._fresh)
            case Choice():
                condition = self._condition(node.condition, "?")
                return choice(condition, self.code(node.then), self.code(node.otherwise), self._fresh)
            case _:
                assert_never(node)

    def _condition(self, node: Node, sign: str) -> Code:
        code = self.code(node)
        check_condition(code, f"`{sign}` takes conditions", begin(node))
        return code

    def _unary(self, node: Unary) -> Code:
        operand = self.code(node.operand)
        if node.operator == "-":
            return negative(operand, node.place)
        return opposite(operand, node.place, self._fresh)

    def _of_moment(self, template: str, kind: Kind, doubt: Doubt, name: str = "") -> Code:
        self.uses_moment = True
        return Code(quote(template, L=constant(name)), kind, doubt)

    def _root(self, node: Name) -> Code:
        match node.name:
            case "event" | "record" | "tables" as whole:
                raise ExpressionError(_WHOLE[whole], node.place)
            case step if step in self._scope.captures:
                raise ExpressionError(f"a step's event is read field by field; write {step}.user", node.place)
            case "key" | "source" as name:
                return self._of_moment(f"moment.{name}", "text", Doubt.NONE)
            case "labels":
                return self._of_moment("as_map(moment.labels)", "map", Doubt.NONE)
            case "tenant" as name:
                return self._of_moment(f"moment.{name}", "any", Doubt.NONE)
            case name:
                return self._of_moment(f"moment.{name}", "any", Doubt.ANY)

    def _member(self, node: Member) -> Code:
        match node.of:
            case Name(name="event"):
                self.fields.add(node.name)
                return Code(quote(f"event.{attribute_of(node.name)}"), "any", Doubt.MISSING)
            case Name(name=step) if step in self._scope.captures:
                return self._of_step(step, node.name)
            case Name(name="labels"):
                return self._of_moment("moment.labels.get(L, UNKNOWN)", "text", Doubt.MISSING, node.name)
            case Name(name="record"):
                return self._of_record(node)
            case Name(name="tables"):
                raise ExpressionError(_WHOLE[TABLES], node.place)
            case Member(of=Name(name="tables"), name=table):
                return self._row(table, literal(node.name), node.of)
            case Member(of=Name(name="record"), name="headers"):
                return self._of_moment("header(moment.record.headers, L)", "any", Doubt.ANY, node.name)
            case of:
                value = self._container(of, f"has no field `{node.name}`", node.place, "map")
                template = "t.get(L, UNKNOWN) if type(t := A) is dict else select(t, L)"
                return Code(quote(template, t=self._fresh(), A=value.python, L=constant(node.name)), "any")

    def _of_step(self, step: str, field: str) -> Code:
        """A field of the event that an earlier step took."""
        self.captured.add((step, field))
        place = constant(self._scope.captures.index(step))
        return Code(quote(f"spans[S].{attribute_of(field)}", S=place), "any", Doubt.MISSING)

    def _of_record(self, node: Member) -> Code:
        if node.name == _HEADERS:
            raise ExpressionError('headers are read one by one; write record.headers["trace-id"]', node.place)
        if node.name not in _RECORD:
            parts = [*_RECORD, _HEADERS]
            message = f"a record has no `{node.name}`; it has {', '.join(parts)}"
            raise ExpressionError(message, node.place, nearest(node.name, parts))
        return self._of_moment(*_RECORD[node.name])

    def _row(self, table: str, key: Code, at: Node) -> Code:
        known = self._scope.tables or frozenset()
        if table not in known:
            message = f"there is no table `{table}` under `tables:`"
            raise ExpressionError(message, begin(at), nearest(table, sorted(known)))
        self.tables.add(table)
        self.uses_moment = True
        return Code(quote("row(moment.tables[L], K)", L=constant(table), K=key.python), "any")

    def _index(self, node: Index) -> Code:
        if isinstance(node.of, Member) and isinstance(node.of.of, Name) and node.of.of.name == TABLES:
            return self._row(node.of.name, self.code(node.key), node.of)
        of = self._container(node.of, "cannot be indexed", begin(node.of), "map", "list")
        return Code(call("index", [of.python, self.code(node.key).python]), "any")

    def _container(self, node: Node, complaint: str, place: Place, *kinds: Kind) -> Code:
        code = self.code(node)
        if code.kind not in (*kinds, "any"):
            raise ExpressionError(f"{noun(code.kind)} {complaint}", place)
        return code

    def _call(self, node: Call) -> Code:
        if node.name in AGGREGATES:
            return self._aggregate(node)
        if node.name == HAS:
            return self._has(self.code(node.arguments[0]))
        function = FUNCTIONS.get(node.name) or self._own[node.name]
        arguments = [self.code(argument) for argument in node.arguments]
        for argument, code, kind in zip(node.arguments, arguments, function.takes, strict=True):
            if code.kind not in (kind, "any") and kind != "any":
                message = f"`{node.name}` takes {noun(kind)}, found {noun(code.kind)}; write {function.example}"
                raise ExpressionError(message, begin(argument))
        last = arguments[-1]
        if function.prepare is not None and last.is_constant:
            name = self._prepared(function.prepare, last.constant, node)
            return Code(call(name, [arguments[0].python]), function.gives)
        name = self._named(function) if function.path else f"call_{node.name}"
        return Code(call(name, [code.python for code in arguments]), function.gives)

    def _named(self, function: Function) -> str:
        """What compiled code calls a function of the user's own by."""
        name = f"own_{len(self.names)}"
        self.names[name] = function.apply
        return name

    def _prepared(self, prepare: Callable[[str], Callable[[Any], Any]], text: str, node: Call) -> str:
        name = f"prepared_{len(self.names)}"
        try:
            self.names[name] = prepare(text)
        except ValueError as error:
            raise ExpressionError(f"{text!r} is {error}", node.arguments[-1].place) from None
        return name

    @staticmethod
    def _has(code: Code) -> Code:
        if not code.doubt:
            return literal(True)
        test = "A is not UNKNOWN" if code.doubt is Doubt.MISSING else "type(A) is not Unknown"
        return Code(quote(test, A=code.python), "bool", Doubt.NONE)

    def _aggregate(self, node: Call) -> Code:
        kind = AGGREGATES[node.name]
        if self._within is not None:
            message = f"`{node.name}` stands inside `{self._within}`; an aggregate is over events, not over aggregates"
            raise ExpressionError(message, node.place)
        if not self._scope.aggregates:
            message = f"`{node.name}` looks back over a span of events; that can stand in `when` and `until` only"
            raise ExpressionError(message, node.place)
        called = self._called(node, kind)
        slot = self.aggregates.setdefault(called, len(self.aggregates))
        doubt = Doubt.NONE if kind.total else Doubt.ANY
        return Code(quote("spans[S]", S=constant(slot)), kind.gives, doubt)

    def _called(self, node: Call, kind: AggregateKind) -> AggregateCall:
        value, share, span, where = _arguments(node, kind)
        if not isinstance(span, Duration) or span.ms == 0:
            message = f"the span of `{node.name}` is a duration such as 60s, written out; write {kind.example}"
            raise ExpressionError(message, begin(span))
        compiled = self._inner(value, node.name) if value is not None else None
        if kind.of_numbers and compiled is not None and compiled.kind not in ("number", "any"):
            remedy = "; count(condition, span) counts events" if compiled.kind == "bool" else ""
            message = f"`{node.name}` takes numbers, found {noun(compiled.kind)}{remedy}"
            raise ExpressionError(message, begin(node.arguments[0]))
        condition = self._inner(where, node.name) if where is not None else None
        if where is not None and condition is not None and condition.kind not in ("bool", "any"):
            message = f"`{node.name}` takes events where a condition is true, found {noun(condition.kind)}"
            raise ExpressionError(f"{message}; write {kind.example}", begin(where))
        return AggregateCall(canonical(node), node.name, compiled, span.ms, condition, _share(share, kind))

    def _inner(self, node: Node, name: str) -> Compiled:
        return compile_tree(node, canonical(node), self._scope, within=name)


def _arguments(node: Call, kind: AggregateKind) -> tuple[Node | None, Node | None, Node, Node | None]:
    """Value, share, span and condition of an aggregate."""
    arguments = list(node.arguments)
    least = 3 if kind.of_share else 2
    if not least <= len(arguments) <= least + kind.of_value:
        message = f"`{node.name}` is written {node.name}({_form(kind)}), such as {kind.example}"
        raise ExpressionError(message, node.place)
    if not kind.of_value:
        return None, None, arguments[1], arguments[0]
    share = arguments.pop(1) if kind.of_share else None
    value, span, *where = arguments
    return value, share, span, where[0] if where else None


def _form(kind: AggregateKind) -> str:
    if kind.of_share:
        return "value, share, span[, condition]"
    return "value, span[, condition]" if kind.of_value else "condition, span"


def _share(node: Node | None, kind: AggregateKind) -> Fraction | None:
    """The share as it is written: 0.07 is seven hundredths, not the double next to it."""
    if node is None:
        return None
    number = node.value if isinstance(node, Literal) else None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
        message = f"the share is a number from 0 to 1, written out, such as 0.99 for 99 %; write {kind.example}"
        raise ExpressionError(message, begin(node))
    return Fraction(repr(number))
