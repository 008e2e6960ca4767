"""`sequence`: fires when events came one after the other, in event-time order; or, with a `not` at the end, when one did not.

    [a, b, c], within 9s     second   1   2   3   4   5        events by their own time; c comes first, b last
                             fed as   a2  c4  b1  b3  …        delay 2s: W is 2s behind the newest event
                             taken        b1  a2  b3  c4       each once W has passed it
                                                      F4       caused by c, told as of second 4

    [a, not b within 3s]              a   ·   ·   ·            b would kill it, also at second 4
                                      ├───────────F4           caused by the timer, once W has passed second 4

An event that comes behind W, but not late, is taken at once, unless it is older than one that was taken already. With
`fire: arrival` events are taken as they come, each at N, and nothing waits for W.

What becomes of partial matches is in `sequence.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag

from penstock.operators.condition import Condition, count_doubt, known_values
from penstock.operators.expression import Unknown
from penstock.operators.key_state import KeyState
from penstock.operators.run import Steps, carried
from penstock.operators.sequence import Guard, Holds, Partial, Pattern, Seen, Step
from penstock.operators.sequence_cell import EMPTY, Kept, SequenceCell, bare, cause_of
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.setting import Settings, Text, Wait
from penstock.operators.trigger import (
    LATE_UNCORRECTED,
    Bind,
    CooldownSettings,
    Fired,
    LateUncorrected,
    Suppressed,
    Transition,
    Trigger,
)
from penstock.operators.unit import duration_text
from penstock.operators.watermark import END_OF_TIME

Moved = tuple[SequenceCell | None, Transition | None]


class StepSettings(Settings):
    """Takes the first event, or the first few, of which the condition is true."""

    as_: Annotated[Text, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] | None = Field(
        default=None,
        alias="as",
        description="Its name: later steps read `name.field` of its (last) event, templates `steps.name`.",
        examples=["guess"],
    )
    where: ConditionText = Field(description="Condition over one event.", examples=['event.outcome == "failed"'])
    times: int = Field(default=1, ge=1, description="How many events it takes.")


class NotSettings(Settings):
    """No event of which the condition is true, between two steps or after the last one."""

    not_: ConditionText = Field(alias="not", description="What must not come.", examples=['event.kind == "logout"'])
    within: Wait | None = Field(
        default=None,
        description="For how long after the step before; default: until the next step has its events. "
        "At the end of a sequence it fires when this time is over.",
        examples=["5m"],
    )


def _word(item: Any) -> str | None:
    if isinstance(item, StepSettings | NotSettings):
        return "<not>" if isinstance(item, NotSettings) else "<step>"
    return ("<not>" if "not" in item else "<step>") if isinstance(item, Mapping) else None


Item = Annotated[
    Annotated[StepSettings, Tag("<step>")] | Annotated[NotSettings, Tag("<not>")],
    Discriminator(
        _word, custom_error_type="step", custom_error_message="expected a step such as {as: name, where: …} or {not: …}"
    ),
]


class SequenceSettings(CooldownSettings):
    """Fires when events of a key satisfy the steps one after the other; others may come between."""

    sequence: tuple[Item, ...] = Field(
        json_schema_extra={"minItems": 1},  # pydantic would count only the items that are right
        description="The steps, in order.",
        examples=[[{"as": "guess", "where": "failed", "times": 2}, {"as": "entry", "where": "accepted"}]],
    )
    within: Wait | None = Field(
        default=None, description="From the first event to the last one at most.", examples=["10m"]
    )
    strict: bool = Field(default=False, description="No other event may come between the steps.")
    late: LateUncorrected = Field(default="ignore", description=LATE_UNCORRECTED)
    fire: Literal["watermark", "arrival"] = Field(
        default="watermark",
        description="`watermark`: in the order of event time, once the watermark has passed; `arrival`: as events come.",
    )


class Script(NamedTuple):
    """A sequence, compiled. `names` of the steps; `reads`: of which steps each condition may read the events."""

    conditions: tuple[Condition, ...]
    reads: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...]
    names: tuple[str | None, ...]
    last: Guard | None


class InOrder(Trigger):
    """Events are taken in the order of their times: a watermark's worth of them waits in the cell.

    The cell is dropped when no event can come any more for which it matters.
    """

    by_watermark: ClassVar[bool] = True
    reads_last: ClassVar[bool] = False
    reads_record: ClassVar[bool] = True

    known_after: ClassVar[int] = 1
    """So long (ms) after an instant it is known what happened at it: W has to pass it, while N only has to reach it."""

    def __init__(self, script: Script, within: int | None, cooldown: int, text: str, *, strict: bool) -> None:
        self.script, self.within, self.cooldown, self.strict = script, within, cooldown, strict
        self.condition, self.conditions = text, script.conditions
        numbered = list(enumerate(script.conditions))
        self._told = [(1 << number, condition) for number, condition in numbered if not condition.compiled.captured]
        self._untold = sum(1 << number for number, condition in numbered if condition.compiled.captured)
        self._begins, self._ends = 1 << script.steps[0].condition, 1 << script.steps[-1].condition
        later = [condition.compiled for condition in script.conditions if condition.compiled.captured]
        self._keeps_moment = any(compiled.own_moment for compiled in later)

    @cached_property
    def _pattern(self) -> Pattern:
        within = END_OF_TIME if self.within is None else self.within
        return Pattern(self.script.steps, self.script.last, within, self.strict, lists=self.shown is not None)

    @cached_property
    def _kept(self) -> Kept:
        """Fields that will be read: by conditions that read earlier steps, of these steps, and by templates."""
        compiled = [condition.compiled for condition in self.conditions]
        read = {field for each in compiled for _, field in each.captured}
        asked = [each.own_fields for each in compiled if each.captured or self.shown is not None]
        return Kept(frozenset(read).union(*asked, self.shown or ()))

    # --- taking events ------------------------------------------------------------------------------------------

    def fed(self, key: KeyState, cell: SequenceCell | None, time: int, watermark: int, due: int | None) -> Moved:
        """What means nothing to any step was taken, too, once W has passed it: nothing older is."""
        cell = EMPTY if cell is None else self._caught_up(key, cell, watermark)
        partials, taken, quiet_until, done, last, waiting, passing, begins = cell
        if passing and passing[0] < watermark:
            passed = bisect_left(passing, watermark)
            last, passing = max(last, passing[passed - 1]), passing[passed:]
        if time < last:
            key.counters["late_for_trigger", self.name] += 1
            return cell, None
        seen = self._seen(key, time, time)
        if seen is None:
            passing = (*passing, time) if not passing or passing[-1] <= time else tuple(sorted((*passing, time)))
        elif not waiting or waiting[-1].time <= time:
            waiting, begins = (*waiting, seen), begins + self._may_begin(seen)
        else:
            place = bisect_right(waiting, time, key=_time_of)
            waiting, begins = (*waiting[:place], seen, *waiting[place:]), begins + self._may_begin(seen)
        return SequenceCell(partials, taken, quiet_until, done, last, waiting, passing, begins), None

    def _may_begin(self, seen: Seen) -> bool:
        return bool(seen.holds & self._begins)

    def _caught_up(self, key: KeyState, cell: SequenceCell, watermark: int) -> SequenceCell:
        """Events that W has passed are taken, where no match can come of them: nothing waited for that instant."""
        waiting = cell.waiting
        if not waiting or waiting[0].time >= watermark or self._is_awaited(cell):
            return cell
        passed = bisect_left(waiting, watermark, key=_time_of)
        if not cell.partials and not cell.begins:
            return cell._replace(waiting=waiting[passed:], last=max(cell.last, waiting[passed - 1].time))
        for _ in range(passed):
            cell, _ = self._take_first(key, cell)
        return cell

    def _seen(self, key: KeyState, at: int, time: int) -> Seen | None:
        """What is kept of the event just fed; None: it means nothing to any step."""
        holds, event, moment = self._untold, key.event, key.moment
        for bit, condition in self._told:
            value = condition.evaluate(event, (), moment)
            if value is True:
                holds |= bit
            elif value.__class__ is Unknown:
                count_doubt(key.counters, condition.text, value)
        if not holds and not self.strict:
            return None
        assert moment is not None  # `reads_record`
        values = carried(known_values(self.definitions, key)) if holds & self._ends else None
        kept = bare(moment) if self._keeps_moment else None
        return Seen(at, time, self._kept.of(event), holds, cause_of(moment), values, kept)

    def _take(self, key: KeyState, cell: SequenceCell, seen: Seen) -> tuple[SequenceCell, Transition | None]:
        number = cell.taken + 1
        partials, match, dropped = self._pattern.take(cell.partials, seen, number, self._holds(key, seen))
        if dropped:
            key.counters["partials_dropped", self.name] += dropped
        cell = cell._replace(partials=partials, taken=number)
        if match is None:
            return cell, None
        return self._fire(cell, Fired(seen.time, None, seen.values or {}, seen.record, self._steps(match)))

    def _holds(self, key: KeyState, seen: Seen) -> Holds:
        def holds(number: int, partial: Partial) -> bool:
            if not seen.holds >> number & 1:
                return False
            return not self._untold >> number & 1 or self._asked(key, number, seen, partial)

        return holds

    def _asked(self, key: KeyState, number: int, seen: Seen, partial: Partial) -> bool:
        """A condition that reads what the partial took before."""
        condition = self.conditions[number]
        captures = [partial.taken[step][-1] for step in self.script.reads[number]]
        value = condition.evaluate(seen.event, captures, seen.moment)
        if value.__class__ is Unknown:
            count_doubt(key.counters, condition.text, value)
        return value is True

    # --- firing -------------------------------------------------------------------------------------------------

    def passed(self, key: KeyState, cell: SequenceCell | None, deadline: int) -> Moved:
        """Instants in order; at one of them events come before what is due at it."""
        transition: Transition | None = None
        while cell is not None and transition is None:
            instant = self._next_instant(cell)
            if instant is None or instant > deadline - self.known_after:
                break
            if cell.waiting and cell.waiting[0].time == instant:
                cell, transition = self._take_first(key, cell)
            else:
                cell, transition = self._settle(cell, instant)
        return self._rested(cell, deadline), transition

    def _take_first(self, key: KeyState, cell: SequenceCell) -> tuple[SequenceCell, Transition | None]:
        """Of the events that wait."""
        first = cell.waiting[0]
        begins, last = cell.begins - self._may_begin(first), max(cell.last, first.time)
        return self._take(key, cell._replace(waiting=cell.waiting[1:], last=last, begins=begins), first)

    def _settle(self, cell: SequenceCell, due: int) -> tuple[SequenceCell, Transition | None]:
        """What is due at one instant is one firing, even if some of it became known after the rest had fired."""
        partials, match, _ = self._pattern.settle(cell.partials)
        assert match is not None  # it was due
        again = cell.done == due
        cell = cell._replace(partials=partials, done=due)
        return (
            (cell, None) if again else self._fire(cell, Fired(due, due, match.values or {}, None, self._steps(match)))
        )

    def _fire(self, cell: SequenceCell, fired: Fired) -> tuple[SequenceCell, Transition | None]:
        if fired.at < cell.quiet_until:
            return cell, Suppressed()
        return (cell._replace(quiet_until=fired.at + self.cooldown) if self.cooldown else cell), fired

    def skipped(self, before: SequenceCell | None, after: SequenceCell | None) -> SequenceCell | None:
        quiet_until = (before or EMPTY).quiet_until
        return after if after is None else after._replace(quiet_until=quiet_until)

    def _steps(self, match: Partial) -> Steps:
        if self.shown is None:
            return {}
        fields = self._kept.fields
        named = zip(self.script.names, match.taken, strict=True)
        return {name: [fields(event) for event in events] for name, events in named if name is not None}

    def deadline(self, key: KeyState, cell: SequenceCell | None) -> int | None:
        if cell is None:
            return None
        due = self._pattern.due(cell.partials) if cell.partials else None
        first = cell.waiting[0].time if self._is_awaited(cell) else None
        instants = [instant + self.known_after for instant in (due, first) if instant is not None]
        return min(instants) if instants else self._rests_at(cell)

    def _is_awaited(self, cell: SequenceCell) -> bool:
        """Those that wait may complete a match: the first is to be taken when W passes it. Else that can be done later."""
        if not cell.waiting or not (cell.partials or cell.begins):
            return False
        return self._pattern.progress(cell.partials) + len(cell.waiting) >= self._pattern.events

    def _next_instant(self, cell: SequenceCell) -> int | None:
        """When an event is to be taken or something is due; None: nothing is known to come."""
        due = self._pattern.due(cell.partials)
        if not cell.waiting:
            return due
        first = cell.waiting[0].time
        return first if due is None else min(first, due)

    def _rested(self, cell: SequenceCell | None, deadline: int) -> SequenceCell | None:
        """None where the cell means nothing any more."""
        waits = cell is not None and (cell.waiting or self._pattern.due(cell.partials) is not None)
        return cell if cell is None or waits or self._rests_at(cell) > deadline else None

    def _rests_at(self, cell: SequenceCell) -> int:
        """The deadline at which whatever comes is later than all that a cell knows to which nothing is to come."""
        known = max(cell.last, cell.quiet_until)
        if cell.waiting:
            known = max(known, cell.waiting[-1].time)
        if cell.passing:
            known = max(known, cell.passing[-1])
        if cell.partials:
            known = max(known, self._pattern.open_until(cell.partials))
        return min(known + self.disorder + 1, END_OF_TIME)

    def dump(self, cell: SequenceCell | None) -> Any:
        return None if cell is None else self._kept.dump(cell)

    def load(self, dumped: Any) -> SequenceCell | None:
        if not dumped:
            return None
        cell = self._kept.load(dumped)
        return cell._replace(begins=sum(map(self._may_begin, cell.waiting)))


class AsTheyCome(InOrder):
    """`fire: arrival`: nothing waits, and time is N."""

    by_watermark: ClassVar[bool] = False
    known_after: ClassVar[int] = 0

    def fed(self, key: KeyState, cell: SequenceCell | None, time: int, watermark: int, due: int | None) -> Moved:
        seen = self._seen(key, key.now, time)
        if seen is not None:
            cell, transition = self._take(key, cell or EMPTY, seen)
            if transition is not None:
                return self._rested(cell, key.now), transition
        return self.passed(key, cell, key.now)


def _time_of(seen: Seen) -> int:
    return seen.time


def build(settings: SequenceSettings, bind: Bind) -> InOrder:
    kind = AsTheyCome if settings.fire == "arrival" else InOrder
    script = _script(settings.sequence, bind)
    return kind(script, settings.within, settings.cooldown, _text(settings.sequence), strict=settings.strict)


def _script(items: tuple[Item, ...], bind: Bind) -> Script:
    """Which items may follow each other the linter knows."""
    conditions: list[Condition] = []
    reads: list[tuple[int, ...]] = []
    steps: list[Step] = []
    names: list[str | None] = []
    guard: Guard | None = None
    for number, item in enumerate(items):
        before = {name: step for step, name in enumerate(names) if name is not None}
        text = item.where if isinstance(item, StepSettings) else item.not_
        conditions.append(bind(text, False, tuple(before)))
        reads.append(tuple(before.values()))
        if isinstance(item, NotSettings):
            guard = Guard(number, item.within)
            continue
        steps.append(Step(number, item.times, guard))
        names.append(item.as_)
        guard = None
    return Script(tuple(conditions), tuple(reads), tuple(steps), tuple(names), guard)


def _text(items: tuple[Item, ...]) -> str:
    """What results quote: `(failed) × 2, then not (logout) within 1m, then accepted`."""
    return ", then ".join(map(_item_text, items))


def _item_text(item: Item) -> str:
    if isinstance(item, StepSettings):
        return item.where if item.times == 1 else f"({item.where}) × {item.times}"
    return f"not ({item.not_})" if item.within is None else f"not ({item.not_}) within {duration_text(item.within)}"
