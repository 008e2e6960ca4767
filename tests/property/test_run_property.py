"""Whatever happens to a run in whatever order: one outcome, revisions without a gap, nothing partial after the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.operators.agent import (
    Action,
    Publish,
    feed_run,
    finished,
    has_outcome,
    open_run,
    reopen_run,
    resolve_run,
    start_run,
)
from penstock.operators.agent_plan import AgentPlan, AgentSettings, build_agent
from penstock.operators.context import Context, ContextSettings
from penstock.operators.event import Answered, Ask, CallLost, Event, Streamed, Usage
from penstock.operators.model import ModelSettings
from penstock.operators.result import ResultPlan
from penstock.operators.run import Firing, Run

TEXTS = [
    '{"a": "x", "b": 1}',
    '{"a": "x", "b": 2',
    '{"a": "y"',
    '{"a": "x", "b": "?"}',
    "",
    "sorry",
    "\ud800",
    '{"b": 1,',
]
RESULTS = ResultPlan("p", "dev", "1", "sha256:00", "results", "partials")
MODELS = {
    name: ModelSettings.model_validate(
        {"base_url": "http://localhost/v1", "model": name, "price": {"input": 1, "output": 1}}
    )
    for name in ("small", "large")
}
FIELDS = {"a": {"type": "string"}, "b": {"type": "integer"}}


def no_files(path: str) -> str:
    raise AssertionError(f"{path} is not named by these settings")


@dataclass(frozen=True)
class Pipeline:
    agents: Mapping[str, AgentPlan]
    results: ResultPlan = RESULTS
    absence: str = "there is no such agent"


def pipeline(*, structured: bool, fallback: bool) -> Pipeline:
    settings = AgentSettings.model_validate(
        {
            "ask": "?",
            "partials": {"every": "1s"},
            "answer": FIELDS if structured else None,
            "fallback": {"a": "", "b": 0} if structured and fallback else None,
        }
    )
    return Pipeline({"agent": build_agent("agent", settings, MODELS, no_files)})


class RunMachine(RuleBasedStateMachine):
    """Events come in any order, late and twice; the process may die between any two of them."""

    @initialize(
        structured=st.booleans(),
        fallback=st.booleans(),
        episodic=st.booleans(),
        agent=st.sampled_from(["agent"] * 5 + [None]),
    )
    def begin(self, structured: bool, fallback: bool, episodic: bool, agent: str | None) -> None:
        self.plan = pipeline(structured=structured, fallback=fallback)
        self.context = Context(ContextSettings.model_validate({"window": {"events": 2}}))
        self.context.append(0, b'{"n":0}', 0)
        self.next_event = 1
        firing = Firing(
            run="0-ab",
            trigger="t",
            agent=agent,
            key="k",
            at=0,
            cause="s/0@0",
            condition="c",
            episode="e" if episodic else None,
        )
        self.run = open_run(firing, self.plan, self.context, 0)
        self.started = self.resolved = False
        self.asks: list[Ask] = []
        self.published: list[Publish] = []

    def act(self, actions: list[Action]) -> None:
        self.run = msgspec.msgpack.decode(msgspec.msgpack.encode(self.run), type=Run)
        for action in actions:
            match action:
                case Ask():
                    self.asks.append(action)
                case Publish():
                    self.published.append(action)
                case _:
                    raise AssertionError(f"nobody cancels yet: {action}")

    def feed(self, event: Event) -> None:
        assert isinstance(event, Streamed | Answered | CallLost)
        self.act(feed_run(self.run, event, self.plan, self.context))

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        self.started = True
        self.act(start_run(self.run, self.plan, self.context))

    @precondition(lambda self: self.asks)
    @rule(
        data=st.data(),
        text=st.sampled_from(TEXTS),
        finish=st.sampled_from(["stop", "length"]),
        spent=st.sampled_from([0, 40_000]),
    )
    def answer(self, data: st.DataObject, text: str, finish: str, spent: int) -> None:
        ask = data.draw(st.sampled_from(self.asks))
        self.feed(Answered(ask.call_id, text, finish, Usage(3, 2, 1), spent=spent))

    @precondition(lambda self: self.asks)
    @rule(data=st.data(), text=st.sampled_from(TEXTS), size=st.integers(0, 20))
    def stream(self, data: st.DataObject, text: str, size: int) -> None:
        self.feed(Streamed(data.draw(st.sampled_from(self.asks)).call_id, text[:size]))

    @precondition(lambda self: self.asks)
    @rule(data=st.data(), kind=st.sampled_from(["failed", "invalid", "timed_out"]))
    def lose(self, data: st.DataObject, kind: str) -> None:
        event = {"call_id": data.draw(st.sampled_from(self.asks)).call_id, "kind": kind, "message": "gone"}
        self.feed(msgspec.convert(event, CallLost))

    @rule(at=st.integers(0, 5))
    def resolve(self, at: int) -> None:
        self.resolved = True
        self.act(resolve_run(self.run, at, self.plan))

    @precondition(lambda self: self.started)
    @rule(continues=st.booleans())
    def restart(self, continues: bool) -> None:
        self.act(reopen_run(self.run, self.plan, self.context, lambda *about: continues))

    @rule()
    def remember_more(self) -> None:
        self.context.append(self.next_event, b'{"n":%d}' % self.next_event, self.next_event)
        self.next_event += 1

    @invariant()
    def states_are_partials_then_one_outcome_then_resolved(self) -> None:
        states = [publish.state for publish in self.published]
        outcomes = [place for place, state in enumerate(states) if state in ("final", "failed")]
        assert len(outcomes) <= 1
        assert has_outcome(self.run) == bool(outcomes)
        before, after = (states[: outcomes[0]], states[outcomes[0] + 1 :]) if outcomes else (states, [])
        assert set(before) <= {"partial"}
        assert after in ([], ["resolved"])
        episodic = self.run.firing.episode is not None
        assert after == (["resolved"] if outcomes and episodic and self.resolved else [])
        assert finished(self.run) == bool(outcomes and (not episodic or self.resolved))

    @invariant()
    def revisions_have_no_gap_and_attempts_never_go_back(self) -> None:
        records = [orjson.loads(publish.outputs[0].value or b"") for publish in self.published]
        assert [record["rev"] for record in records] == list(range(1, len(records) + 1))
        attempts = [record["attempt"] or 0 for record in records]
        assert attempts == sorted(attempts)
        assert all(record["state"] == publish.state for record, publish in zip(records, self.published, strict=True))

    @invariant()
    def within_an_attempt_nothing_shown_is_taken_back(self) -> None:
        shown: dict[int, dict[str, object]] = {}
        texts: dict[int, str] = {}
        for publish in self.published:
            record = orjson.loads(publish.outputs[0].value or b"")
            if publish.state == "partial":
                attempt, fields = record["attempt"], record["answer"] or {}
                assert shown.get(attempt, {}).items() <= fields.items()
                assert (record["text"] or "").startswith(texts.get(attempt, ""))
                assert (fields, record["text"]) != (shown.get(attempt, {}), texts.get(attempt))
                shown[attempt], texts[attempt] = fields, record["text"] or ""

    @invariant()
    def every_call_is_a_new_one_or_goes_on_with_one_and_a_waiting_run_has_one_under_way(self) -> None:
        begun = [ask.call_id for ask in self.asks if not ask.request.continued]
        assert len(set(begun)) == len(begun)
        assert {ask.call_id for ask in self.asks} == set(begun)
        assert all(ask.time_limit > 0 for ask in self.asks)
        if self.started and not has_outcome(self.run):
            assert self.run.call_id == self.asks[-1].call_id

    @invariant()
    def the_prompt_of_a_run_never_changes(self) -> None:
        first = self.asks[0].request.messages if self.asks else ()
        assert all(ask.request.messages[: len(first)] == first for ask in self.asks)


TestRun = RunMachine.TestCase
