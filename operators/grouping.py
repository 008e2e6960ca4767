"""What some triggers see of a key: events of some sources only (`from`), apart by the value of an expression (`by`), and
late ones, too (`late: reason`).

    a key's events       e1 ip=a   e2 ip=b   e3 ip=a   e4 (no ip)
    by event.ip    a     e1                  e3                     a group: spans, cells and a last event of its own
                   b               e2                               N and W are its key's
    no part in it                                      e4            counted

Triggers that see the same share their groups. Without `by` there is one group, which has no name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.operators.aggregate import AggregateCall
from penstock.operators.carried import EVENT_CELL
from penstock.operators.condition import Condition
from penstock.operators.decode import canonical_json
from penstock.operators.run import INTEGER_MAX, INTEGER_MIN, carried

ONLY = ""
"""The name of a group that has no `by`; no value has it."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """`identity` names it in the log. `topics` are those that its triggers see, None: all. `by` may be unknown of an event.
    `late`: they see late events, too.

    `slots` are its aggregates; in facts their numbers begin with `first_slot`. `keeps_event` and `keeps_moment`: as in the plan,
    of the last event of each group.
    """

    identity: str
    topics: frozenset[str] | None
    by: Condition | None
    late: bool
    slots: tuple[AggregateCall, ...]
    first_slot: int
    keeps_event: tuple[str, ...]
    keeps_moment: bool

    @property
    def slot_names(self) -> list[str]:
        """What its aggregates are called in the log."""
        return [f"{call.identity} {self.identity}" for call in self.slots]

    @property
    def event_name(self) -> str:
        """What the last event of a group is called in the log."""
        return f"{EVENT_CELL} {self.identity}"

    @property
    def keeps_last(self) -> bool:
        """Something of a group's last event is saved with it."""
        return bool(self.keeps_event) or self.keeps_moment

    @property
    def lasts(self) -> int:
        """So long after the last event of a group its spans are empty (ms)."""
        return max((call.span_ms for call in self.slots), default=0)


def grouping_identity(topics: frozenset[str] | None, by: Condition | None, late: bool) -> str:
    """Equal for what means the same, however it is written and whatever the file calls its sources."""
    seen = [] if topics is None else [f"from {', '.join(sorted(topics))}"]
    apart = [] if by is None else [f"by {by.compiled.identity}"]
    return " ".join([*seen, *apart, *(["with late events"] if late else [])])


def group_name(value: Any) -> str:
    """Canonical JSON: equal for equal values, so that 1 is 1.0, `true` is not 1 and null is a value as any other."""
    return canonical_json(value if value.__class__ is str else _one_number(carried(value)))


def _one_number(value: Any) -> Any:
    """A whole number is spelled as one, as far as the log can hold it."""
    if isinstance(value, float) and value.is_integer() and INTEGER_MIN <= value < INTEGER_MAX:
        return int(value)
    if isinstance(value, list):
        return [_one_number(item) for item in value]
    if isinstance(value, dict):
        return {name: _one_number(item) for name, item in value.items()}
    return value
