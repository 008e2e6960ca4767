"""Expressions as the oracle knows them: a text for the file, and an evaluation that goes over every kept event each time.

Written from the meaning of the language alone, with nothing of the product's: as simple as possible, never fast.
"""

from __future__ import annotations

import json
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any


class Missing(Enum):
    """What a formula gives where it has no value: missing fields and wrong types read the same."""

    UNKNOWN = "unknown"


UNKNOWN = Missing.UNKNOWN


@dataclass(frozen=True)
class Kept:
    """An event that a key kept. `cause` names its record as results do."""

    time: int
    fields: Mapping[str, Any]
    cause: str


@dataclass(frozen=True)
class Sight:
    """What a formula sees: the kept events of one key in feed order, the last one fed, and N (ms); in a sequence, what the
    steps before took."""

    events: Sequence[Kept]
    now: int
    captures: Mapping[str, Kept] = field(default_factory=dict)

    @property
    def event(self) -> Kept:
        return self.events[-1]


class Formula(ABC):
    """Something with a value."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What stands in the file."""

    @abstractmethod
    def value(self, sight: Sight) -> Any: ...

    def spans(self) -> list[Span]:
        """Every aggregate in it, also those behind names."""
        return []

    def names(self) -> dict[str, Formula]:
        """The definitions that it names directly."""
        return {}


@dataclass(frozen=True)
class Field(Formula):
    name: str

    @property
    def text(self) -> str:
        return f"event.{self.name}"

    def value(self, sight: Sight) -> Any:
        return sight.event.fields.get(self.name, UNKNOWN)


@dataclass(frozen=True)
class Captured(Formula):
    """A field of the (last) event that an earlier step of a sequence took."""

    step: str
    name: str

    @property
    def text(self) -> str:
        return f"{self.step}.{self.name}"

    def value(self, sight: Sight) -> Any:
        return sight.captures[self.step].fields.get(self.name, UNKNOWN)


@dataclass(frozen=True)
class RecordTime(Formula):
    """Event time of the record, in ms."""

    text = "record.time"

    def value(self, sight: Sight) -> Any:
        return sight.event.time


@dataclass(frozen=True)
class Literal(Formula):
    content: str | int | float | bool | None

    @property
    def text(self) -> str:
        return json.dumps(self.content)

    def value(self, sight: Sight) -> Any:
        return self.content


@dataclass(frozen=True)
class Has(Formula):
    name: str

    @property
    def text(self) -> str:
        return f"has(event.{self.name})"

    def value(self, sight: Sight) -> Any:
        return self.name in sight.event.fields


ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Compare(Formula):
    left: Formula
    sign: str
    right: Formula

    @property
    def text(self) -> str:
        return f"{self.left.text} {self.sign} {self.right.text}"

    def value(self, sight: Sight) -> Any:
        left, right = self.left.value(sight), self.right.value(sight)
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        alike = kind(left) == kind(right)
        if self.sign == "==":
            return alike and left == right
        if self.sign == "!=":
            return not (alike and left == right)
        if not alike or kind(left) not in ("number", "text"):
            return UNKNOWN
        return ORDERINGS[self.sign](left, right)

    def spans(self) -> list[Span]:
        return self.left.spans() + self.right.spans()

    def names(self) -> dict[str, Formula]:
        return self.left.names() | self.right.names()


@dataclass(frozen=True)
class Plus(Formula):
    """Of spans that always have a number."""

    left: Span
    right: Span

    @property
    def text(self) -> str:
        return f"{self.left.text} + {self.right.text}"

    def value(self, sight: Sight) -> Any:
        return self.left.value(sight) + self.right.value(sight)

    def spans(self) -> list[Span]:
        return self.left.spans() + self.right.spans()

    def names(self) -> dict[str, Formula]:
        return self.left.names() | self.right.names()


@dataclass(frozen=True)
class Both(Formula):
    """`&&` and `||` of three values: unknown only where it could change the outcome."""

    left: Formula
    sign: str
    right: Formula

    @property
    def text(self) -> str:
        return f"({self.left.text}) {self.sign} ({self.right.text})"

    def value(self, sight: Sight) -> Any:
        decides = self.sign == "||"
        sides = [self.left.value(sight), self.right.value(sight)]
        if decides in sides:
            return decides
        return UNKNOWN if UNKNOWN in sides else not decides

    def spans(self) -> list[Span]:
        return self.left.spans() + self.right.spans()

    def names(self) -> dict[str, Formula]:
        return self.left.names() | self.right.names()


@dataclass(frozen=True)
class Not(Formula):
    inner: Formula

    @property
    def text(self) -> str:
        return f"!({self.inner.text})"

    def value(self, sight: Sight) -> Any:
        inner = self.inner.value(sight)
        return UNKNOWN if inner is UNKNOWN else not inner

    def spans(self) -> list[Span]:
        return self.inner.spans()

    def names(self) -> dict[str, Formula]:
        return self.inner.names()


@dataclass(frozen=True)
class Named(Formula):
    """A definition, by its name."""

    name: str
    meaning: Formula

    @property
    def text(self) -> str:
        return self.name

    def value(self, sight: Sight) -> Any:
        return self.meaning.value(sight)

    def spans(self) -> list[Span]:
        return self.meaning.spans()

    def names(self) -> dict[str, Formula]:
        return {self.name: self.meaning}


@dataclass(frozen=True)
class Span(Formula):
    """An aggregate over (N − span, N]. `count` takes a condition, the others a value and perhaps a condition.

    `share` is what a `quantile` is of: it is written between value and span.
    """

    aggregate: str
    argument: Formula
    span_ms: int
    where: Formula | None = None
    share: float | None = None

    @property
    def text(self) -> str:
        condition = "" if self.where is None else f", {self.where.text}"
        share = "" if self.share is None else f", {self.share}"
        return f"{self.aggregate}({self.argument.text}{share}, {self.span_ms}ms{condition})"

    def value(self, sight: Sight) -> Any:
        if self.share is not None:
            return nearest_rank([taken for _, taken in self._content(sight)], self.share)
        return AGGREGATES[self.aggregate]([taken for _, taken in self._content(sight)], self.span_ms)

    def spans(self) -> list[Span]:
        return [self]

    def names(self) -> dict[str, Formula]:
        return self.argument.names() | ({} if self.where is None else self.where.names())

    def changes(self, sight: Sight) -> set[int]:
        """The instants at which what is in the span now will have left it."""
        return {time + self.span_ms for time, _ in self._content(sight)}

    def _content(self, sight: Sight) -> list[tuple[int, Any]]:
        """By time, then as they were fed."""
        found = []
        for index, event in enumerate(sight.events):
            alone = Sight(sight.events[: index + 1], sight.now)
            taken = self.argument.value(alone)
            counts = taken is True if self.aggregate == "count" else taken is not UNKNOWN
            wanted = self.where is None or self.where.value(alone) is True
            if self.aggregate in ("sum", "avg", "quantile"):
                wanted = wanted and kind(taken) == "number"
            if counts and wanted and sight.now - self.span_ms < event.time <= sight.now:
                found.append((event.time, taken))
        return sorted(found, key=lambda pair: pair[0])


def kind(value: Any) -> str:
    """`true` is not 1, and 1 is 1.0."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def exact_sum(values: Sequence[Any]) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction(0))


def extreme(values: Sequence[Any], pick: Any) -> Any:
    kinds = {kind(value) for value in values}
    return pick(values) if kinds in ({"number"}, {"text"}) else UNKNOWN


def nearest_rank(values: Sequence[Any], share: float) -> Any:
    """The least of the values that so large a share of them does not exceed."""
    ordered = sorted(values)
    return next((value for place, value in enumerate(ordered, 1) if place >= share * len(values)), UNKNOWN)


AGGREGATES: Mapping[str, Any] = {
    "count": lambda values, _: len(values),
    "sum": lambda values, _: float(exact_sum(values)),
    "avg": lambda values, _: float(exact_sum(values) / len(values)) if values else UNKNOWN,
    "min": lambda values, _: extreme(values, min),
    "max": lambda values, _: extreme(values, max),
    "distinct": lambda values, _: len({(kind(value), value) for value in values}),
    "rate": lambda values, span_ms: len(values) / (span_ms / 1000),
    "first": lambda values, _: values[0] if values else UNKNOWN,
    "last": lambda values, _: values[-1] if values else UNKNOWN,
}
