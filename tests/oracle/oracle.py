"""What triggers have to do, recomputed from the full list of records: as slow and as simple as possible.

Nothing is incremental, nothing is saved, every span is gone through again at every evaluation. Agreement with the
product means that two quite different programs read the rules in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, ClassVar, Literal

from tests.oracle.formula import UNKNOWN, Formula, Kept, Sight

Instant = float
"""Whole milliseconds, or −∞ before everything and +∞ at the end of a bounded input."""


Change = Literal["there", "gone"]


@dataclass(frozen=True)
class Incoming:
    """A record of the source in feed order. One that is `dead` has no key, no time or no readable value."""

    key: str
    time: int
    fields: dict[str, Any]
    cause: str
    ignored: bool = False
    dead: bool = False
    row: Change | None = None
    """It is a record of the table, with this timestamp, and does this to the row of the key."""


@dataclass(frozen=True)
class Settings:
    """`delay` and `lateness` of the source (ms), the triggers, whether the input is over after its last record, how long a
    key is remembered (ms; None: for ever), and within how many ms an event with the same `id` is a duplicate (None: never)."""

    delay: int
    lateness: int
    rules: tuple[Rule, ...]
    bounded: bool
    forget: int | None = None
    within: int | None = None


@dataclass(frozen=True)
class Firing:
    trigger: str
    key: str
    at: int
    cause: str
    values: tuple[tuple[str, Any], ...]
    end: bool
    ends_at: int | None = None
    """Where its episode ended."""
    forgotten: bool = False
    """It ended because its key was forgotten."""
    told: Any = None
    """What its annotation `told` says, as JSON."""
    part: str = ""
    """What part of the key it is about, as JSON; nothing without `by`."""


@dataclass(frozen=True)
class Skipped:
    """An edge that became a record of its own instead of a firing."""

    edge: Firing
    reason: str
    inhibited_by: tuple[str, ...]


@dataclass(frozen=True)
class Correction:
    """A firing comes out otherwise: `edge` says so as a firing would, `corrects` is the cause of the one of which it does."""

    edge: Firing
    corrects: str
    withdrawn: bool


@dataclass(frozen=True, order=True)
class Turn:
    """When something is decided: at which record, then what an event makes due before what the watermark does, by instant. What
    becomes due at the very instant of an event comes before that event's `own` look."""

    record: int
    by_watermark: bool
    instant: Instant
    own: bool = False


@dataclass
class Outcome:
    """`firings`, `skipped` and `corrections` per (trigger, key) in the order in which they happen; `suppressed` per trigger.

    `noted`: what kinds of triggers count besides, by (what, trigger).
    """

    firings: list[Firing] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    suppressed: dict[str, int] = field(default_factory=dict)
    sampled_out: dict[str, int] = field(default_factory=dict)
    noted: Counter[tuple[str, ...]] = field(default_factory=Counter)
    late: int = 0
    ignored: int = 0
    duplicates: int = 0
    dead: int = 0

    def passes(self, edge: Firing, turn: Turn, now: Instant | None = None) -> bool:
        """An edge of a trigger becomes a firing, unless something stands between them. `now`: N, where it goes by that."""
        self.firings.append(edge)
        return True

    def corrected(self, correction: Correction) -> None:
        """An event changed what a firing had said."""
        self.corrections.append(correction)

    def ended(self, firing: Firing, over: Firing, turn: Turn) -> None:
        """The episode of a firing is over: it is told as `over` now."""
        self.firings[self.firings.index(firing)] = over

    def alone(self) -> Outcome:
        """For playing some of the rules once more, by themselves, with the same edges refused as here."""
        return Outcome(suppressed=Counter())

    def combines(self, edge: Firing, turn: Turn, last: Firing, now: Instant | None) -> bool:
        """`passes`, of a trigger that is made of others and completed by the firing `last`. `now`: N, if that one went by it."""
        return self.passes(edge, turn, now)


@dataclass(frozen=True)
class Step:
    """What one record does to time, for every key: W before and after it. `kept` is the event, for `key` alone.

    `others`: how far events of the key that a rule does not see take N. `ended`: it is no record, but the end of a bounded input.
    `number` counts them. `late`: only some rules see the event.
    """

    before: Instant
    after: Instant
    key: str = ""
    kept: Kept | None = None
    ended: bool = False
    others: Instant = -inf
    row: tuple[Change, int] | None = None
    """What a record of the table does to the row of `key`, and its timestamp. It is no event: time stands still."""
    begins: bool = False
    """The task has a watermark for the first time."""
    number: int = 0
    late: bool = False

    @property
    def reached(self) -> Instant:
        """N is not before it."""
        return max(self.after, self.others)

    def look(self, now: Instant) -> Turn:
        """The event itself is looked at, at N `now`."""
        return Turn(self.number, by_watermark=False, instant=now, own=True)

    def at(self, instant: Instant) -> Turn:
        """An instant of N comes: with an event of the key, or with the watermark."""
        return Turn(self.number, self.kept is None and instant > self.others, instant)

    def passed(self, instant: Instant) -> Turn:
        """The watermark has passed an instant: it is beyond it."""
        return Turn(self.number, by_watermark=True, instant=instant + 1)


@dataclass(frozen=True)
class Life:
    """What happens to one key until it is forgotten; `over` is the instant after which it was, None if it never was."""

    steps: list[Step]
    over: int | None
    has_row: bool = False
    """The table has a row of it when it begins; it was there in the life before."""
    first: Instant = -inf
    """The task's first watermark."""


class Rule(ABC):
    """A trigger of the file."""

    name: str
    late = False
    """It sees late events."""
    episodic: ClassVar[bool] = False
    """Its firings open episodes."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What stands in the file, without what all triggers take."""

    @property
    @abstractmethod
    def lasts(self) -> int:
        """How long a key has to be remembered for it (ms)."""

    @abstractmethod
    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        """Adds what has to leave it for this key."""


def expect(settings: Settings, records: Sequence[Incoming], outcome: Outcome | None = None) -> Outcome:
    """Everything that has to leave the triggers, and what has to be counted; it is added to `outcome`."""
    outcome = Outcome() if outcome is None else outcome
    steps = [replace(step, number=number) for number, step in enumerate(steps_of(settings, records, outcome))]
    keys = sorted({step.key for step in steps if step.kept is not None or step.row is not None})
    first = next((step.after for step in steps if step.begins), -inf)
    for rule in settings.rules:
        outcome.suppressed[rule.name] = 0
        for key in keys:
            own = [step if step.key == key else replace(step, kept=None, row=None) for step in steps]
            for life in _lives(own, settings.forget):
                own_life = replace(life, first=first)
                rule.expect(key, own_life if rule.late else _without_late(own_life), outcome)
    return outcome


def _without_late(life: Life) -> Life:
    return replace(life, steps=[replace(step, kept=None) if step.late else step for step in life.steps])


def _lives(steps: Sequence[Step], forget: int | None) -> Iterator[Life]:
    """A key begins anew once W has passed its last event by so much. An event that W had passed counts as of W."""
    lived: list[Step] = []
    now, last = -inf, inf
    has_row = began_with_row = False
    for step in steps:
        has_row = has_row if step.row is None else step.row[0] == "there"
        now = max(now, step.after, -inf if step.kept is None else step.kept.time)
        last = now if step.kept is not None else last
        if forget is None or step.after <= last + forget:
            lived.append(step)
            continue
        over = int(last) + forget
        yield Life([*lived, replace(step, after=over + 1)], over, began_with_row)
        lived, last, began_with_row = [replace(step, before=over + 1)], inf, has_row
    yield Life(lived, None, began_with_row)


@dataclass
class Memory:
    """The records that a key has kept since it was forgotten last, and N after the last of them."""

    kept: list[Incoming] = field(default_factory=list)
    last: Instant = -inf

    def tells(self, record: Incoming, within: int | None) -> bool:
        """Whether the same was kept close by."""
        if within is None or "id" not in record.fields:
            return False
        return any(
            "id" in each.fields
            and _same(each.fields["id"], record.fields["id"])
            and abs(each.time - record.time) <= within
            for each in self.kept
        )


def _same(one: Any, other: Any) -> bool:
    """As JSON: `true` is not 1, at any depth."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _memory(memories: dict[str, Memory], key: str, watermark: Instant, forget: int | None) -> Memory:
    memory = memories.get(key)
    if memory is None or (forget is not None and watermark > memory.last + forget):
        memory = memories[key] = Memory()
    return memory


def steps_of(settings: Settings, records: Sequence[Incoming], outcome: Outcome) -> Iterator[Step]:
    takes_late = any(rule.late for rule in settings.rules)
    largest: Instant = -inf
    memories: dict[str, Memory] = {}
    for record in records:
        if record.dead:
            outcome.dead += 1
            continue
        if record.row is not None:
            yield Step(largest - settings.delay, largest - settings.delay, record.key, row=(record.row, record.time))
            continue
        before = largest - settings.delay
        largest = max(largest, record.time)
        late = record.time < before - settings.lateness
        outcome.ignored += record.ignored
        outcome.late += late and not record.ignored
        memory = _memory(memories, record.key, before, settings.forget)
        duplicate = not late and not record.ignored and memory.tells(record, settings.within)
        outcome.duplicates += duplicate
        keeps = (takes_late or not late) and not record.ignored and not duplicate
        if keeps:
            memory.kept += [] if late else [record]
            memory.last = max(memory.last, before if late else record.time, largest - settings.delay)
        kept = Kept(record.time, record.fields, record.cause) if keeps else None
        yield Step(before, largest - settings.delay, record.key, kept, begins=before == -inf, late=late)
    if settings.bounded:
        yield Step(largest - settings.delay, inf, ended=True)


def named_values(formulas: Sequence[Formula], sight: Sight) -> tuple[tuple[str, Any], ...]:
    named = {name: meaning for formula in formulas for name, meaning in formula.names().items()}
    known = {name: meaning.value(sight) for name, meaning in named.items()}
    return tuple(sorted((name, value) for name, value in known.items() if value is not UNKNOWN))


def field_text(field: str, length: int) -> str:
    """A duration of the file; nothing where it is 0."""
    return f"{field}: {length}ms, " if length else ""


def longest_span(formulas: Sequence[Formula]) -> int:
    return max((span.span_ms for formula in formulas for span in formula.spans()), default=0)
