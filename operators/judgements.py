"""Questions about events that wait for a model: who waits for which call, and what is known already.

fed ─▶ trigger: Asked ─┬─ asked a moment ago: known ─▶ decided at once
                       ├─ under way: waits for the same call
                       └─ Ask ─▶ … ─▶ Answered, CallLost ─▶ the cells of all that wait ─▶ decided in order ─▶ firings

The questions themselves are in the cells of the triggers, so they survive a restart and are asked anew. What is known is not
saved: a text that comes again after a restart is asked about once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple, cast

import msgspec

from penstock.operators.event import Answered, Ask, CallLost, Cancel, Streamed
from penstock.operators.key_state import Counts, Group, KeyState
from penstock.operators.keys import Keys
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.question import Question, Said
from penstock.operators.trigger_semantic import Semantic, SemanticCell
from penstock.operators.unsaved import Unsaved
from penstock.operators.watch import OnTransition, Watch
from penstock.operators.watermark import END_OF_TIME

KNOWN_MAX = 1_000
"""Verdicts that a task remembers, of the texts that were asked about or came again last."""
TIME_LIMIT_MS = 60_000
"""For one call with its retries; waiting for a free seat is not in it. As an agent's, unless it says otherwise."""
KEYS_AT_ONCE = 1_000


class Place(NamedTuple):
    """A cell: of a key, or of a group of it (its name, the place of its grouping)."""

    key: str
    group: tuple[str, int] | None
    trigger: int


class Waiter(NamedTuple):
    """`since` is the watermark when the first question was asked."""

    planned: PlannedTrigger
    since: int


class Judgements:
    """Of one task; `counters` are the task's. `effects` are taken by the task. O(1) for every event of other triggers."""

    def __init__(self, plan: Plan, partition: int, unsaved: Unsaved, counters: Counts) -> None:
        self._partition, self._unsaved, self._counters = partition, unsaved, counters
        self._asking = {
            place: asking
            for place in (None, *range(len(plan.groupings)))
            if (asking := [each for each in plan.triggers_of(place) if isinstance(each[1].trigger, Semantic)])
        }
        self._waiting: dict[str, dict[Place, Waiter]] = {}
        self._known: OrderedDict[str, Said] = OrderedDict()
        self._open = 0
        self.effects: list[Ask | Cancel] = []

    def join(self, keys: Keys, on_transition: OnTransition) -> None:
        self._keys, self._watch = keys, Watch((), self._unsaved, on_transition)

    def __len__(self) -> int:
        """Events that wait for a verdict."""
        return self._open

    @property
    def earliest(self) -> int:
        """No firing yet to come is of an event that was fed at an earlier watermark. O(calls under way)."""
        waiters = (waiter for waiters in self._waiting.values() for waiter in waiters.values())
        return min((waiter.since for waiter in waiters), default=END_OF_TIME)

    # --- asking -------------------------------------------------------------------------------------------------

    def ask(self, state: KeyState, planned: PlannedTrigger, place: int, question: Question) -> None:
        """A trigger has put this question into its cell."""
        self._open += 1
        known = self._known.get(question.call)
        if known is None:
            self._wait(state, planned, place, question)
            return
        self._known.move_to_end(question.call)
        self._counters["judged_before", planned.name] += 1
        self._tell(state, planned, place, question.call, known)

    def _wait(self, state: KeyState, planned: PlannedTrigger, place: int, question: Question) -> None:
        call_id = f"{self._partition}-{question.call}"
        group = state.place if isinstance(state, Group) else None
        waiters = self._waiting.get(call_id)
        if waiters is None:
            waiters = self._waiting[call_id] = {}
            self.effects.append(self._ask(state.name, planned, call_id, question.text))
        else:
            self._counters["judged_before", planned.name] += 1
        waiters.setdefault(Place(state.name, group, place), Waiter(planned, question.watermark))

    def _ask(self, key: str, planned: PlannedTrigger, call_id: str, text: str) -> Ask:
        trigger = _semantic(planned)
        return Ask(
            call_id=call_id,
            question=call_id,
            run="",
            key=key,
            endpoint=trigger.endpoint.name,
            request=msgspec.structs.replace(trigger.request(text), request_id=call_id),
            time_limit=TIME_LIMIT_MS,
            priority=planned.priority,
            judges=planned.name,
        )

    def reopen(self) -> Iterator[list[Ask | Cancel]]:
        """After restoring, in steps: what cells wait for is asked anew."""
        for number, key in enumerate(list(self._keys) if self._asking else (), start=1):
            self._resume(key, None)
            for group in list(key.groups or ()):
                self._resume(group, group.grouping)
            if number % KEYS_AT_ONCE == 0:
                yield self.take_effects()
        yield self.take_effects()

    def _resume(self, state: KeyState, grouping: int | None) -> None:
        for place, planned in self._asking.get(grouping, ()):
            cell: SemanticCell | None = state.cells[place]
            for question in cell.open if cell is not None else ():
                self._open += 1
                if question.said is None:
                    self._wait(state, planned, place, question)

    def take_effects(self) -> list[Ask | Cancel]:
        effects, self.effects = self.effects, []
        return effects

    # --- hearing ------------------------------------------------------------------------------------------------

    def feed(self, event: Streamed | Answered | CallLost) -> bool:
        """Whether it belongs to one of these calls. What is heard before its end means nothing."""
        if isinstance(event, Streamed) or event.call_id not in self._waiting:
            return event.call_id in self._waiting
        waiters = self._waiting.pop(event.call_id)
        call = event.call_id.partition("-")[2]
        first = next(iter(waiters.values())).planned
        said = self._read(event, call, first)
        for place, waiter in waiters.items():
            state = self._find(place)
            if state is not None:
                self._tell(state, waiter.planned, place.trigger, call, said)
                said = said._replace(usage=None)
                self._keys.judged(self._keys[place.key], state if isinstance(state, Group) else None)
        return True

    def _read(self, event: Answered | CallLost, call: str, planned: PlannedTrigger) -> Said:
        """The trigger that asked first is charged."""
        usage, name = event.usage, planned.name
        self._counters["judgements", name] += 1
        self._counters["judgement_tokens", name] += usage.input_tokens + usage.output_tokens
        verdict = () if isinstance(event, CallLost) else _semantic(planned).judge.verdict(event)
        said = Said(verdict, usage, isinstance(event, Answered) and event.simulated)
        if verdict:
            self._known[call] = said._replace(usage=None)
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return said

    def _tell(self, state: KeyState, planned: PlannedTrigger, place: int, call: str, said: Said) -> None:
        """Then whatever is first in the cell and has its verdict is decided."""
        trigger = _semantic(planned)
        self._watch.replace(state, place, planned, trigger.told(state.cells[place], call, said), None, None)
        while (decided := trigger.decide(state.cells[place])) is not None:
            self._open -= 1
            if not state.cells[place].open[0].said.verdict:
                self._counters["unjudged", planned.name] += 1
            self._watch.replace(state, place, planned, *decided, None)

    def _find(self, place: Place) -> KeyState | None:
        key = self._keys.find(place.key)
        if key is None or place.group is None:
            return key
        return None if key.groups is None else key.groups.find(place.group)

    # --- forgetting ---------------------------------------------------------------------------------------------

    def end_key(self, name: str) -> None:
        """Its time is over before its questions were answered: they are not asked any more."""
        for call_id, waiters in list(self._waiting.items()):
            for place in [place for place in waiters if place.key == name]:
                del waiters[place]
            if not waiters:
                del self._waiting[call_id]
                self.effects.append(Cancel(call_id))
        key = self._keys.find(name) if self._open else None
        for state in () if key is None else (key, *(key.groups or ())):
            self._drop(state, state.grouping if isinstance(state, Group) else None)

    def _drop(self, state: KeyState, grouping: int | None) -> None:
        for place, planned in self._asking.get(grouping, ()):
            cell: SemanticCell | None = state.cells[place]
            if cell is not None:
                self._open -= len(cell.open)
                self._counters["unjudged", planned.name] += len(cell.open)


def _semantic(planned: PlannedTrigger) -> Semantic:
    return cast("Semantic", planned.trigger)
