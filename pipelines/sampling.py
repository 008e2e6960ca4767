"""What every expression of a file comes to on a recording: true, false, unknown, or a type error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.operators.condition import Condition
from penstock.operators.expression import Compiled, Unknown
from penstock.operators.grouping import ONLY, group_name
from penstock.operators.instant import iso_text
from penstock.operators.key_state import KeyState
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter
from penstock.pipelines.samples import SampleTask, keys_of, sample_records, source_of

ValueOf = Callable[[KeyState], Any]
NOT_ASKED = object()
NOT_TOLD = frozenset({"failed", "degraded"})
"""Counters of outcomes: no model is asked, so every run ends in them."""


@dataclass(frozen=True, slots=True)
class Tally:
    """`expressions` maps where an expression stands to how often it had which value; what is no boolean counts as `other`.

    What an aggregate asks of every event stands by itself: a field that no event has makes a count 0, not unknown. `first` and
    `last` are the lowest and the highest event time (ms), None without an event: a unit that is wrong shows there.
    """

    events: int
    keys: int
    expressions: dict[str, Counter[Any]]
    counters: Counter[tuple[str, ...]]
    first: int | None = None
    last: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "keys": self.keys,
            "from": None if self.first is None else iso_text(self.first),
            "to": None if self.last is None else iso_text(self.last),
            "expressions": {
                place: {str(value).lower(): count for value, count in values.items()}
                for place, values in self.expressions.items()
            },
            "counters": {" ".join(name): count for name, count in sorted(self.counters.items())},
        }


def tally_sample(plan: Plan, sample: Path, source_name: str | None) -> Tally:
    """Feeds the recording and looks at every expression of every trigger after every event that a key kept."""
    source = source_of(plan, source_name)
    fed = SampleTask(plan, source)
    watched = {**_conditions(plan, source.topic), **_parts_of_aggregates(plan)}
    expressions: dict[str, Counter[Any]] = {place: Counter() for place in watched}
    events, times = 0, tuple[int, ...]()
    for raw in sample_records(source, sample):
        events += 1
        fed.feed(raw)
        read = source.decode(raw)
        if isinstance(read, DeadLetter):
            continue
        times = (min(*times, read[1]), max(*times, read[1])) if times else (read[1], read[1])
        key = fed.task.key(read[0])
        if key is not None:
            for place, value_of in watched.items():
                value = value_of(key)
                if value is not NOT_ASKED:
                    expressions[place][_kind(value)] += 1
    fed.end()
    counters = Counter({name: count for name, count in fed.task.counters.items() if name[0] not in NOT_TOLD})
    return Tally(events, keys_of(fed.task), expressions, counters, *times)


def _conditions(plan: Plan, topic: str) -> dict[str, ValueOf]:
    """Of triggers that see the events of this topic."""
    found: dict[str, ValueOf] = {}
    for planned in plan.triggers:
        grouping = None if planned.grouping is None else plan.groupings[planned.grouping]
        if grouping is not None and grouping.topics is not None and topic not in grouping.topics:
            continue
        if grouping is not None and grouping.by is not None:
            found[f"triggers.{planned.name}.by: {grouping.by.text}"] = grouping.by.value
        for place, condition in enumerate(planned.trigger.conditions):
            if condition.compiled.captured:  # it means something beside the events of a match only
                continue
            suffix = f"[{place}]" if len(planned.trigger.conditions) > 1 else ""
            found[f"triggers.{planned.name}{suffix}: {condition.text}"] = _seen(plan, planned.grouping, condition)
        for name, condition in planned.values:
            found.setdefault(f"define.{name}: {condition.text}", _seen(plan, planned.grouping, condition))
    return found


def _seen(plan: Plan, grouping: int | None, condition: Condition) -> ValueOf:
    """The condition's value for the key, or for the group of its last event."""
    if grouping is None:
        return condition.value
    by = plan.groupings[grouping].by

    def value(key: KeyState) -> Any:
        part = None if by is None else by.value(key)
        if key.groups is None or isinstance(part, Unknown):
            return NOT_ASKED
        name = (ONLY if by is None else group_name(part), grouping)
        group = key.groups.find(name) or key.groups.new(key, name)
        group.now, group.event, group.moment = key.now, key.event, key.moment
        return condition.value(group)

    return value


def _parts_of_aggregates(plan: Plan) -> dict[str, ValueOf]:
    """A value is looked at where the aggregate takes it, hence only of events of which its condition is true."""
    found: dict[str, ValueOf] = {}
    for call in (*plan.slots, *(call for grouping in plan.groupings for call in grouping.slots)):
        for part, condition in ((call.where, None), (call.value, call.where)):
            if part is not None:
                found[f"in {call.identity}: {part.text}"] = _of_last_event(part, condition)
    return found


def _of_last_event(part: Compiled, condition: Compiled | None) -> ValueOf:
    def value(key: KeyState) -> Any:
        taken = condition is None or condition.evaluate(key.event, (), key.moment) is True
        return part.evaluate(key.event, (), key.moment) if taken else NOT_ASKED

    return value


def _kind(value: Any) -> Any:
    return value if isinstance(value, bool | Unknown) else "other"
