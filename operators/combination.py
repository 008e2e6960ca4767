"""Triggers that are made of others: what their members did is all that they look at.

events        ·  x  ·  ·  y  ·        look at the members first, all of them
members          F        F
combination               F           then once at what they did, in the same evaluation

A combination fires at most once per evaluation (of an event, or of an instant at which time passed), however many of its
members fire there. Whether one begins while another ends does not depend on which of them stands first in the file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import Field, field_validator

from penstock.operators.condition import known_values
from penstock.operators.gates import Edge
from penstock.operators.instant import iso_text
from penstock.operators.key_state import KeyState
from penstock.operators.plan import PlannedTrigger
from penstock.operators.run import Firing, RunCause
from penstock.operators.setting import Duration, Text, TextOrTexts
from penstock.operators.trigger import Fired, Given, Transition, Trigger, TriggerSettings
from penstock.operators.unsaved import Unsaved
from penstock.operators.watch import OnTransition

FIRED = "fired"
"""The value that tells which members fired, and when."""
Members = tuple[Text, ...]


class CombinationSettings(TriggerSettings):
    """What both kinds take."""

    tells: ClassVar[frozenset[str]] = frozenset({FIRED})
    combines: ClassVar[bool] = True

    cooldown: Duration = Field(default=0, description="No further firing for this key within this time of event time.")

    @property
    def quiet(self) -> int:
        return self.cooldown

    @field_validator("from_")
    @classmethod
    def _sees_no_events(cls, from_: TextOrTexts) -> TextOrTexts:
        raise ValueError("it looks at what other triggers do, not at events; `from` belongs to these")


class Heard(NamedTuple):
    """What a member did at event time `at` (ms): it fired, as `run`, or what it began is over (None). `cause` is for people,
    `instant` is what inhibitions of it were compared with."""

    member: str
    at: int
    run: str | None = None
    cause: str = ""
    instant: int = 0


class Combination(Trigger):
    """It sees no events, so it need not look while its cell is None, and nothing is lost if it does not look at all."""

    by_event: ClassVar[bool] = True

    in_file: Sequence[str] = ()
    """Its members in the order in which they stand there. Whoever plans it sets it."""

    def __init__(self, members: Members, cooldown: int) -> None:
        self.members, self.cooldown = members, cooldown
        self.idle_unless = self.deaf_unless = frozenset()

    def fed(
        self, key: KeyState, cell: Any, time: int, watermark: int, due: int | None
    ) -> tuple[Any, Transition | None]:
        return cell, None

    def own(self, heard: Iterable[Heard]) -> list[Heard]:
        """What its members did, in the order of the file: they look in another one where some inhibit others, or see groups."""
        own = [each for each in heard if each.member in self.members]
        return sorted(own, key=lambda each: self.in_file.index(each.member)) if len(own) > 1 else own

    @abstractmethod
    def heard(self, key: KeyState, cell: Any, heard: Sequence[Heard]) -> tuple[Any, Transition | None]:
        """In this evaluation these of its members did something, in this order; returns the new cell and what follows."""

    def rests(self, at: int, before: int | None) -> bool:
        """The cooldown after the firing before holds it back, also what the watermark tells so late that it lies before that one:
        no two firings are nearer to each other than the cooldown."""
        return self.cooldown > 0 and before is not None and at < before + self.cooldown

    def firing(self, key: KeyState, at: int, last: Heard, fired: Iterable[tuple[str, int]]) -> Fired:
        """It fires with event time `at` because of what it heard last; `fired` are its members with their times."""
        told = {FIRED: {member: iso_text(time) for member, time in fired}}
        values = {**known_values(self.definitions, key), **told}
        return Fired(at, None, values, given=Given(RunCause(last.run or ""), last.cause, last.instant))


class Combinations:
    """The combinations of one plan. Tell it what triggers did, and when an evaluation of a key is over."""

    def __init__(self, triggers: Iterable[PlannedTrigger], unsaved: Unsaved) -> None:
        self._combinations = [
            (place, planned, planned.trigger)
            for place, planned in enumerate(triggers)
            if isinstance(planned.trigger, Combination)
        ]
        self._members = frozenset(name for _, _, trigger in self._combinations for name in trigger.members)
        self._unsaved = unsaved
        self.on_transition: OnTransition = lambda *transition: None
        self._heard: list[Heard] = []

    @property
    def settle(self) -> Callable[[KeyState], None] | None:
        """To be called with a key after every evaluation of it; None: there is nothing to settle, ever."""
        return self._settle if self._combinations else None

    def fired(self, firing: Firing, edge: Edge) -> None:
        if firing.trigger in self._members:
            self._heard.append(Heard(firing.trigger, firing.at, firing.run, firing.cause, edge.instant))

    def resolved(self, member: str, at: int) -> None:
        if member in self._members:
            self._heard.append(Heard(member, at))

    def _settle(self, key: KeyState) -> None:
        if not self._heard:
            return
        heard, self._heard = self._heard, []
        for place, planned, trigger in self._combinations:
            own = trigger.own(heard)
            if own:
                self._replace(key, place, planned, *trigger.heard(key, key.cells[place], own))

    def _replace(
        self, key: KeyState, place: int, planned: PlannedTrigger, cell: Any, transition: Transition | None
    ) -> None:
        before = key.cells[place]
        if cell is not before:
            key.remember(place, cell)
            self._unsaved.change(key.name, planned.identity, None)
        if transition is not None:
            self.on_transition(key, planned, place, transition, None, before)
