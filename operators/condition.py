"""An expression bound to the aggregates of one pipeline: asks a key whether it holds now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.operators.expression import UNKNOWN, Compiled, Unknown
from penstock.operators.expression_value import TYPE_ERROR

if TYPE_CHECKING:
    from penstock.operators.key_state import Counts, KeyState

Evaluate = Callable[[Any, Sequence[Any], Any], Any]
Definitions = tuple[tuple[str, "Condition"], ...]
"""Expressions under the names that the file gives them."""


def count_doubt(counters: Counts, text: str, doubt: Unknown) -> None:
    """An expression could not be told: something was missing, or its type was wrong."""
    counters["expression_errors" if doubt is TYPE_ERROR else "expression_unknown", text] += 1


class Condition:
    """`slots` are the positions of the expression's aggregates among the pipeline's aggregates."""

    __slots__ = ("_only", "_own_moment", "_reads_last", "compiled", "evaluate", "slots", "text")

    def __init__(self, compiled: Compiled, slot_of: Mapping[str, int]) -> None:
        self.compiled = compiled
        self.text = compiled.text
        self.evaluate: Evaluate = compiled.evaluate
        self.slots = tuple(slot_of[call.identity] for call in compiled.aggregates)
        self._only = self.slots[0] if len(self.slots) == 1 else None
        self._own_moment = compiled.own_moment
        self._reads_last = compiled.uses_event or compiled.own_moment

    def value(self, key: KeyState) -> Any:
        """The expression's value for this key at its present instant; may be UNKNOWN. O(aggregates in the expression).

        It is if it reads the key's last event and that is not known: a log of another definition may not have kept it.
        """
        if self._reads_last and (key.event is None or (self._own_moment and key.moment is None)):
            return UNKNOWN
        if not self.slots:
            return self.evaluate(key.event, (), key.moment)
        now, slots = key.now, key.slots
        if self._only is not None:
            return self.evaluate(key.event, (slots[self._only].value(now),), key.moment)
        return self.evaluate(key.event, [slots[slot].value(now) for slot in self.slots], key.moment)

    def asked(self, key: KeyState) -> Any:
        """`value`, because of an event or an instant; what is neither true nor false is counted."""
        value = self.value(key)
        if value.__class__ is Unknown:
            count_doubt(key.counters, self.text, value)
        return value

    def next_change(self, key: KeyState) -> int | None:
        """The earliest instant after which the value may differ without a further event; None: it will not."""
        instants = [key.slots[slot].next_change(key.now) for slot in self.slots]
        return min((instant for instant in instants if instant is not None), default=None)


def known_values(definitions: Definitions, key: KeyState) -> dict[str, Any]:
    """What they are for this key at its present instant; those that are unknown are left out."""
    return {name: value for name, condition in definitions if (value := condition.value(key)).__class__ is not Unknown}
