"""Whether a scenario holds: what differs from what it expects, and what makes it worth nothing whatever it expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import orjson

from penstock.operators.agent import AgentPlan
from penstock.operators.error import Rejected
from penstock.operators.plan import Plan
from penstock.operators.timestamp import instant
from penstock.pipelines.fake_evidence import evidence
from penstock.pipelines.fake_schema import Unsupported, satisfy
from penstock.pipelines.scenario import Scenario
from penstock.pipelines.scenario_check import Checked
from penstock.pipelines.scenario_compare import Difference, compared, counted
from penstock.pipelines.scenario_events import deeds, rows
from penstock.pipelines.scenario_play import Played, play

DEAD_TOLD = 3
"""So many kinds of dead letters are quoted."""
_TOLD = {"late": "came later than `watermark.lateness` allows", "ignored": "fell under `ignore`"}

TIME = "event time had come to {} at the end of the scenario; `advance`, or `{{end: true}}`, takes it further"
NO_TIME = "event time had not begun: an input without an event holds it for `watermark.idle`; `advance` lets that pass"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One scenario, played. It holds if there are neither differences nor complaints; `notes` may explain why it does not."""

    file: Path
    line: int
    name: str
    differences: tuple[Difference, ...] = ()
    complaints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.differences and not self.complaints


def verdict(file: Path, line: int, checked: Checked, scenario: Scenario) -> Verdict:
    """Plays the scenario. One that cannot be played, for want of its recording, does not hold."""
    start = instant(checked.start_of(scenario))
    assert start is not None, "the settings were checked"
    there = rows(checked.tables_of(scenario), checked.spec, start)
    happening = chain(there, deeds(scenario, checked.spec, checked.plan, checked.folder, start))
    try:
        played = play(checked.plan, happening, checked.answers_of(scenario), start)
    except Rejected as error:
        return Verdict(file, line, scenario.name, complaints=(str(error),))
    differences = tuple(compared(scenario.expect, played))
    complaints = tuple(_complaints(scenario, played, checked.plan))
    notes = tuple(chain(_notes(scenario, played), _time_notes(differences, played)))
    return Verdict(file, line, scenario.name, differences, complaints, notes)


def _complaints(scenario: Scenario, played: Played, plan: Plan) -> Iterator[str]:
    """A scenario whose events nobody could read shows nothing; nor does a result that a missing answer led to."""
    if played.dead and "dead" not in scenario.expect.counts:
        yield from (f"not expected: {letters}" for letters in _dead(played))
    for name, count in played.unanswered.items():
        if name not in plan.agents:
            yield f"{name} asked {_times(count)} about an event without an answer; write `answers: {{{name}: …}}`"
        elif scenario.expect.results is not None:
            yield f"{name} was asked {_times(count)} without an answer; write {_answer_of(plan.agents[name])}"


def _notes(scenario: Scenario, played: Played) -> Iterator[str]:
    if "dead" in scenario.expect.counts:
        yield from _dead(played)
    for what, why in _TOLD.items():
        count = counted(played.counters, what)
        if count and what not in scenario.expect.counts:
            yield f"{count} {'event' if count == 1 else 'events'} {why}"


def _time_notes(differences: Iterable[Difference], played: Played) -> Iterator[str]:
    """What did not happen may be waiting for time."""
    if played.over or all(difference.kind != "missing" for difference in differences):
        return
    yield NO_TIME if played.reached is None else TIME.format(played.reached)


def _dead(played: Played) -> Iterator[str]:
    for letter, count in Counter(played.dead).most_common(DEAD_TOLD):
        yield f"{count} {'dead letter' if count == 1 else 'dead letters'}, {letter}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _answer_of(agent: AgentPlan) -> str:
    """What could stand in the file; sentences are for people to write."""
    if agent.shape is None:
        return f"`answers: {{{agent.name}: some text}}`"
    try:
        answer = satisfy(agent.shape.schema, evidence([]))
    except Unsupported:
        answer = dict.fromkeys(agent.shape.fields)
    said = ", ".join(f"{name}: {_word(value)}" for name, value in answer.items())
    return f"`answers: {{{agent.name}: {{{said}}}}}`"


def _word(value: object) -> str:
    return "…" if isinstance(value, str) and " " in value else orjson.dumps(value).decode()
