"""One scenario, played: the real core, fed record by record; no Kafka, no model, no clock but the scenario's.

    deeds ──▶ clock moves ──▶ task.feed ──▶ Ask ──▶ script ──▶ Answered or CallLost ──▶ task.feed ──▶ …
                                 └──▶ cut: results, dead letters

Every question is answered before the next record comes, so answers arrive in the order of the questions.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec
import orjson

from penstock.operators.agent import AgentPlan
from penstock.operators.dead import PREFIX
from penstock.operators.event import Answered, Arrived, Ask, CallLost, Effect, Ended, Event, Progress, Ticked, Usage
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.operators.run import Run
from penstock.operators.task import Task
from penstock.operators.timestamp import instant
from penstock.pipelines.scenario_events import Come, Deed, End, Pass
from penstock.pipelines.scenario_judgement import judged
from penstock.pipelines.scenario_time import Moment

UNUSABLE = "I would rather not say."
"""What a model says that is no answer; one that is asked for a free text says nothing."""
SKIPPED = "skipped"
_decoder = msgspec.msgpack.Decoder(Run)

View = dict[str, Any]
"""Something that happened, in the words that expectations use. Times are Moments."""


@dataclass
class Played:
    """All that happened. `dead` says why, letter by letter; `unanswered` counts questions that the scenario has no answer for.

    `reached` is how far event time had come at the end: None where it had not begun. It says nothing once the input is `over`.
    """

    results: list[View] = field(default_factory=list)
    resolved: list[View] = field(default_factory=list)
    prompts: list[View] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    counters: Counter[tuple[str, ...]] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    reached: Moment | None = None
    over: bool = False

    @property
    def firings(self) -> list[View]:
        """Whatever led to an outcome. What was held back with a record that says so did not fire."""
        return [_firing(result) for result in self._let_through if result["corrects"] is None]

    @property
    def corrections(self) -> list[View]:
        """Firings that were corrected."""
        return [
            _firing(result) | {"withdrawn": result["why"]["withdrawn"]}
            for result in self._let_through
            if result["corrects"] is not None
        ]

    @property
    def _let_through(self) -> list[View]:
        return [result for result in self.results if result["state"] != SKIPPED]


def play(plan: Plan, deeds: Iterable[Deed], answers: Mapping[str, Any], start: int) -> Played:
    """`answers` by agent, or by trigger that has events judged: one for every call, or a list with one for each.

    `start` in ms since the epoch.
    """
    player = _Player(plan, _Script(answers), start)
    for deed in deeds:
        player.perform(deed)
    return player.finished()


class _Player:
    def __init__(self, plan: Plan, script: _Script, start: int) -> None:
        self._plan, self._script, self._start = plan, script, start
        self._task = Task(plan, 0)
        self._now = start
        names = {source.topic: source.topic for source in plan.sources}
        self._names = names | {table.topic: table.input(0) for table in plan.tables}
        self._offsets = dict.fromkeys(self._names, 0)
        self._heard = {source.topic: start for source in plan.sources}
        self._runs: dict[str, Run] = {}
        self._played = Played(unanswered=script.unanswered)
        self._seq = 0
        self._follow(self._task.opened({}, start))

    def perform(self, deed: Deed) -> None:
        match deed:
            case Come():
                self._pass_until(deed.at)
                self._arrive(deed)
            case Pass():
                self._pass_until(self._now + deed.ms)
            case End():
                self._feed(Ended(self._now))
                self._played.over = True
            case _:
                assert_never(deed)

    def finished(self) -> Played:
        self._cut()
        self._played.counters = self._task.counters
        watermark = self._task.watermark
        self._played.reached = None if watermark is None else Moment(watermark, self._start)
        return self._played

    def _pass_until(self, time: int) -> None:
        """Processing time goes on to `time`, never back. Silence is noticed where it begins to count, as it is live: the first
        instant of event time is one from which `expect` counts."""
        silent = {self._heard[source.topic] + source.idle for source in self._plan.sources if source.idle is not None}
        for moment in sorted({*silent, time}):
            if self._now < moment <= time:
                self._now = moment
                self._feed(Ticked(moment, self._progress()))

    def _arrive(self, come: Come) -> None:
        offset = self._offsets[come.topic]
        self._offsets[come.topic] += 1
        self._heard[come.topic] = self._now
        record = Record(come.topic, 0, offset, come.at, come.key, come.value, come.headers)
        self._feed(Arrived({self._names[come.topic]: [record]}, self._progress(), self._now))

    def _progress(self) -> dict[str, Progress]:
        return {self._names[topic]: Progress(offset, offset, self._now) for topic, offset in self._offsets.items()}

    def _feed(self, event: Event) -> None:
        self._follow(self._task.feed(event))

    def _follow(self, effects: Iterable[Effect]) -> None:
        """Whatever is asked is answered, until nothing is asked any more."""
        waiting = deque(effects)
        while waiting:
            ask = waiting.popleft()
            if isinstance(ask, Ask):
                if ask.judges:
                    waiting += self._task.feed(self._script.verdict(ask))
                    continue
                self._cut()
                run = self._runs[ask.run]
                self._played.prompts.append(_prompt(run, ask))
                waiting += self._task.feed(self._script.answer(self._plan.agents[run.agent or ""], ask))

    def _cut(self) -> None:
        """Takes what is ready to leave, and learns which runs there are."""
        self._seq += 1
        cut = self._task.cut(seq=self._seq, incarnation=1, owner="scenario", build="scenario", sent={})
        for run_id, encoded in cut.delta.runs.items():
            if encoded is not None:
                self._runs[run_id] = _decoder.decode(encoded)
        for output in cut.outputs:
            self._take(output)

    def _take(self, output: Output) -> None:
        if output.topic == self._plan.dead_topic:
            headers = {name: value.decode("utf-8", "replace") for name, value in output.headers}
            self._played.dead.append(f"{headers[f'{PREFIX}reason']}: {headers[f'{PREFIX}detail']}")
        elif output.topic == self._plan.results.results:
            record: View = orjson.loads(output.value or b"{}")
            at = dict(output.headers)["ce_time"].decode()
            told = self._played.resolved if record["state"] == "resolved" else self._played.results
            told.append(_result(record, at, self._start))


class _Script:
    """What models answer. Counts what it has no answer for."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = {agent: deque(said) if isinstance(said, list) else said for agent, said in answers.items()}
        self.unanswered: Counter[str] = Counter()

    def answer(self, agent: AgentPlan, ask: Ask) -> Answered | CallLost:
        match self._next(agent.name):
            case None:
                self.unanswered[agent.name] += 1
                return CallLost(ask.call_id, "invalid", f"the scenario has no answer of {agent.name}")
            case "refuse":
                return CallLost(ask.call_id, "invalid", "refused by the scenario")
            case "cut":
                return CallLost(ask.call_id, "failed", "cut off by the scenario")
            case "timeout":
                return CallLost(ask.call_id, "timed_out", "timed out by the scenario", spent=ask.time_limit)
            case "unusable":
                return _said(ask, "" if agent.shape is None else UNUSABLE)
            case str() as text:
                return _said(ask, text)
            case answer:
                return _said(ask, json.dumps(answer, ensure_ascii=False))

    def verdict(self, ask: Ask) -> Answered | CallLost:
        """What a model says of the text of an event."""
        said = self._next(ask.judges)
        if said is None:
            self.unanswered[ask.judges] += 1
            return CallLost(ask.call_id, "invalid", f"the scenario has no answer of {ask.judges}")
        return judged(ask, said)

    def _next(self, agent: str) -> Any:
        said = self._answers.get(agent)
        if isinstance(said, deque):
            return said.popleft() if said else None
        return said


def _said(ask: Ask, text: str) -> Answered:
    return Answered(ask.call_id, text, "stop", Usage(), simulated=True)


def _prompt(run: Run, ask: Ask) -> View:
    return {
        "agent": run.agent,
        "trigger": run.firing.trigger,
        "key": run.key,
        "model": ask.endpoint,
        "question": run.question,
        "text": "\n\n".join(message.content for message in ask.request.messages),
    }


def _result(record: View, at: str, start: int) -> View:
    """The record with its times as Moments, and with what it does not say in so many words: which trigger, and when."""

    def moment(text: str | None) -> Moment | None:
        time = None if text is None else instant(text)
        return None if time is None else Moment(time, start)

    episode, why = record["episode"], record["why"]
    if episode is not None:
        times = {name: moment(episode[name]) for name in ("starts_at", "ends_at")}
        record = {**record, "episode": {**episode, **times}}
    ended = record["episode"]["ends_at"] if record["state"] == "resolved" else None
    return {
        "trigger": record["triggers"][0],
        "at": ended or moment(at),
        **record,
        "why": {**why, "from": moment(why["from"]), "to": moment(why["to"])},
    }


def _firing(result: View) -> View:
    names = ("trigger", "key", "by", "tenant", "at", "labels", "annotations", "end")
    why = result["why"]
    return {name: result[name] for name in names} | {"values": why["values"], "events": why["events"]}
