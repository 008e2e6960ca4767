"""What every expression of a file comes to on a recording: true, false, unknown, or a type error."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.operators.condition import Condition
from penstock.operators.expression import Unknown
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter
from penstock.pipelines.samples import SampleTask, sample_records, source_of


@dataclass(frozen=True, slots=True)
class Tally:
    """`expressions` maps where an expression stands to how often it had which value; what is no boolean counts as `other`."""

    events: int
    keys: int
    expressions: dict[str, Counter[Any]]
    counters: Counter[tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "keys": self.keys,
            "expressions": {
                place: {str(value).lower(): count for value, count in values.items()}
                for place, values in self.expressions.items()
            },
            "counters": {" ".join(name): count for name, count in sorted(self.counters.items())},
        }


def tally_sample(plan: Plan, sample: Path, source_name: str | None) -> Tally:
    """Feeds the recording and looks at every expression of every trigger after every event that a key kept."""
    source, fed = source_of(plan, source_name), SampleTask(plan)
    watched = _watched(plan)
    expressions: dict[str, Counter[Any]] = {place: Counter() for place in watched}
    events = 0
    for raw in sample_records(source, sample):
        events += 1
        fed.feed(source, raw)
        read = source.decode(raw)
        key = None if isinstance(read, DeadLetter) else fed.task.key(read[0])
        if key is not None:
            for place, condition in watched.items():
                expressions[place][_kind(condition.value(key))] += 1
    fed.end()
    return Tally(events, fed.task.keys, expressions, fed.task.counters)


def _watched(plan: Plan) -> dict[str, Condition]:
    watched: dict[str, Condition] = {}
    for planned in plan.triggers:
        for place, condition in enumerate(planned.trigger.conditions):
            suffix = f"[{place}]" if len(planned.trigger.conditions) > 1 else ""
            watched[f"triggers.{planned.name}{suffix}: {condition.text}"] = condition
        for name, condition in planned.values:
            watched.setdefault(f"define.{name}: {condition.text}", condition)
    return watched


def _kind(value: Any) -> Any:
    return value if isinstance(value, bool | Unknown) else "other"
