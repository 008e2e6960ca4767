"""From text to tree: CEL's grammar without map literals and macros, with durations (`60s`) added.

choice   a ? b : c                    lowest
or       a || b
and      a && b
relation a == b   != < <= > >= in
sum      a + b    -
product  a * b    / %
unary    !a  -a
path     a.b  a["b"]  a[0]  a.f(b)    highest
"""

from __future__ import annotations

from penstock.operators.expression_error import ExpressionError, Place
from penstock.operators.expression_token import Token, Where, tokens_of
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
)  # fmt: skip
from penstock.operators.expression_value import INT_MAX, INT_MIN

CHARACTERS_MAX = 4096
DEPTH_MAX = 32
NODES_MAX = 256

_POWER = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_RELATION = 3
_CONSTANTS = {"true": True, "false": False, "null": None}
_INSTEAD = {"and": "&&", "or": "||", "not": "!", "is": "==", "if": "`condition ? a : b`", "like": "matches()"}


def parse(text: str, define: Place | None = None) -> Node:
    """The tree of `text`; raises ExpressionError. `define`: the place to give to all of it, because it is a definition."""
    where: Where = Place if define is None else lambda offset: define
    if len(text) > CHARACTERS_MAX:
        message = f"the expression has {len(text)} characters; at most {CHARACTERS_MAX} are allowed"
        raise ExpressionError(message, where(CHARACTERS_MAX))
    return _Parser(tokens_of(text, where), where).whole()


def too_large(place: Place) -> ExpressionError:
    return ExpressionError(f"the expression has more than {NODES_MAX} parts, definitions included", place)


def too_deep(place: Place) -> ExpressionError:
    return ExpressionError(f"the expression is nested deeper than {DEPTH_MAX} levels, definitions included", place)


class _Parser:
    """Recursive descent; binary operators by binding power (Pratt)."""

    def __init__(self, tokens: list[Token], where: Where) -> None:
        self._tokens, self._where = tokens, where
        self._position = self._depth = self._nodes = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("an operator or the end")
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._token
        self._position += token.kind != "end"
        return token

    def _is_sign(self, *signs: str) -> bool:
        return self._token.kind == "sign" and self._token.text in signs

    def _accept(self, sign: str) -> bool:
        found = self._is_sign(sign)
        self._position += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise self._unexpected(f"`{sign}`")

    def _unexpected(self, expected: str) -> ExpressionError:
        token = self._token
        instead = _INSTEAD.get(token.text.lower()) if token.kind == "name" else None
        if instead is not None:
            return ExpressionError(f"`{token.text}` is no operator; write {instead}", self._where(token.offset))
        return ExpressionError(f"expected {expected}, found {token}", self._where(token.offset))

    def _place(self, token: Token) -> Place:
        """Where a new node stands; counts it."""
        self._nodes += 1
        place = self._where(token.offset)
        if self._nodes > NODES_MAX:
            raise too_large(place)
        return place

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise too_deep(self._where(self._token.offset))

    def _expression(self) -> Node:
        self._deeper()
        node = self._binary(1)
        if self._is_sign("?"):
            place = self._place(self._take())
            then = self._expression()
            self._expect(":")
            node = Choice(node, then, self._expression(), place)
        self._depth -= 1
        return node

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while (power := self._power()) >= least:
            token = self._take()
            right = self._binary(power + 1)
            left = self._joined(token, left, right)
            if power == _RELATION and self._power() == _RELATION:
                raise self._unexpected("`&&` between two comparisons")
        return left

    def _power(self) -> int:
        token = self._token
        return _POWER.get(token.text, 0) if token.kind == "sign" or token.text == "in" else 0

    def _joined(self, token: Token, left: Node, right: Node) -> Node:
        if isinstance(left, Logic) and left.operator == token.text:
            return Logic(token.text, (*left.parts, right), left.place)
        place = self._place(token)
        if token.text in ("&&", "||"):
            return Logic(token.text, (left, right), place)
        return Binary(token.text, left, right, place)

    def _unary(self) -> Node:
        if not self._is_sign("!", "-"):
            return self._path()
        token = self._take()
        if token.text == "-" and self._token.kind == "number":
            return self._after(self._number(token, -1))
        self._deeper()
        place = self._place(token)
        node = Unary(token.text, self._unary(), place)
        self._depth -= 1
        return node

    def _path(self) -> Node:
        return self._after(self._primary())

    def _after(self, node: Node) -> Node:
        """`node` with the members, indexes and method calls that follow it."""
        while True:
            if self._accept("."):
                node = self._member(node)
            elif self._accept("["):
                node = self._index(node)
            else:
                return node

    def _member(self, of: Node) -> Node:
        if self._token.kind != "name":
            raise self._unexpected("the name of a field or of a function")
        token = self._take()
        place = self._place(token)
        if self._accept("("):
            return Call(token.text, (of, *self._items(")")), True, place)
        return Member(of, token.text, place)

    def _index(self, of: Node) -> Node:
        token = self._token
        key = self._expression()
        self._expect("]")
        if isinstance(key, Literal) and isinstance(key.value, str):
            return Member(of, key.value, key.place)
        return Index(of, key, self._place(token))

    def _items(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._accept(closing):
            if items:
                self._expect(",")
            items.append(self._expression())
        return tuple(items)

    def _primary(self) -> Node:
        token = self._token
        match token.kind:
            case "number":
                return self._number(token, 1)
            case "text" | "duration" | "name":
                return self._word(self._take())
            case "sign" if token.text == "(":
                self._take()
                node = self._expression()
                self._expect(")")
                return node
            case "sign" if token.text == "[":
                self._take()
                return ListOf(self._items("]"), self._place(token))
            case _:
                raise self._unexpected("a value")

    def _word(self, token: Token) -> Node:
        if token.text == "in":
            self._position -= 1
            raise self._unexpected("a value")
        place = self._place(token)
        if token.kind == "text":
            return Literal(token.value, place)
        if token.kind == "duration" and isinstance(token.value, int):
            return Duration(token.value, place)
        if self._accept("("):
            return Call(token.text, self._items(")"), False, place)
        return Literal(_CONSTANTS[token.text], place) if token.text in _CONSTANTS else Name(token.text, place)

    def _number(self, first: Token, sign: int) -> Literal:
        """A number; `first` is its first token, the minus or the digits."""
        token, place = self._take(), self._place(first)
        assert isinstance(token.value, int | float)
        value = token.value * sign
        fits = INT_MIN <= value <= INT_MAX if isinstance(value, int) else abs(value) != float("inf")
        if not fits:
            raise ExpressionError("the number is too large: whole numbers have 64 bits, others are doubles", place)
        return Literal(value, place)
