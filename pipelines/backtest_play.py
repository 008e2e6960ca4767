"""One share of a backtest: a task, fed as fast as it goes. The same core as `penstock run`; no broker, no clock.

blocks ─▶ Reader ─▶ task.feed ─▶ Ask ─▶ answered at once ─▶ task.feed ─▶ …
                        └─▶ cut: results ─▶ rows
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from penstock.operators.agent_plan import AgentPlan, EndpointPlan
from penstock.operators.event import (
    Answered,
    Arrived,
    Ask,
    CallLost,
    Effect,
    EmbedRequest,
    Ended,
    Event,
    Progress,
    Ticked,
)
from penstock.operators.plan import Plan
from penstock.operators.task import Task
from penstock.pipelines.backtest_feed import WHOLE, Reader, Recorded, Share, shared_plan
from penstock.pipelines.backtest_input import BLOCK_BYTES, Block, Inputs, blocks
from penstock.pipelines.backtest_row import ASKED, Row, Used, row_of, time_of
from penstock.pipelines.backtest_tokens import TokenEstimate
from penstock.pipelines.scenario_judgement import WORDS, judged

OVER = Progress(0, 0, 2**60)
"""Of an input that has ended: it was silent for ever, so it holds no other back."""
NOBODY = "a backtest without answers asks no model"
Script = Callable[[Ask], str]
"""The answer to a question, which follows from the question alone. Raises Unsupported where there is none."""


TOLD = frozenset(
    {"events", "ignored", "late", "late_for_trigger", "duplicate", "dead", "suppressed", "expression_errors"}
)
"""Counters that a backtest passes on; the others are about outcomes, or in its rows."""


class Part(msgspec.Struct):
    """What came of one share. `counters` by (what, which).

    `minutes` counts the events of every minute since the epoch, `first` and `last` are event times: the first share alone knows.
    """

    rows: list[Row]
    counters: dict[tuple[str, str], int]
    keys: int
    minutes: dict[int, int]
    first: int | None
    last: int | None


def play(
    plan: Plan,
    inputs: Inputs,
    share: Share = WHOLE,
    script: Script | None = None,
    *,
    hold: bool = False,
    block_bytes: int = BLOCK_BYTES,
    told: Callable[[int], None] = lambda read: None,
) -> Part:
    """`hold`: leave out what only the end of the recording makes happen. `told` hears how many bytes were read since.

    Nothing depends on `block_bytes`.
    """
    player = _Player(plan, share, script, told)
    player.feed_all({source.topic: blocks(inputs.get(source.name, ()), block_bytes) for source in plan.sources})
    if not hold:
        player.feed(Ended(0))
    return player.part()


class _Player:
    def __init__(self, plan: Plan, share: Share, script: Script | None, told: Callable[[int], None]) -> None:
        self._plan, self._script, self._told = plan, script, told
        self._task = Task(shared_plan(plan if script is not None else _without_fallbacks(plan), share), 0)
        self._readers = {source.topic: Reader(source, share, alone=len(plan.sources) == 1) for source in plan.sources}
        self._rows: dict[str, Row] = {}
        self._asked: dict[str, Used] = {}
        self._estimate = TokenEstimate()
        self._seq = 0
        self._follow(self._task.opened({}, 0))

    def feed_all(self, unread: Mapping[str, Iterator[Block]]) -> None:
        """Every input to its end, block by block. What is over lets the others pass it exactly where its last record stood."""
        left, drained = set(unread), dict[str, Progress]()
        while left or len(drained) < len(unread):
            records: dict[str, list[Recorded]] = {}
            for topic in left - self._task.backlogged:
                block = next(unread[topic], None)
                if block is None:
                    left = left - {topic}
                else:
                    records[topic] = self._readers[topic].records(block)
                    self._told(block.read)
            self.feed(Arrived(records, drained, 0))
            self._take()
            drained = {topic: OVER for topic in unread if topic not in left and not self._task.holds(topic)}
            if len(drained) < len(unread):
                self.feed(Ticked(0, drained, most=0))

    def feed(self, event: Event) -> None:
        self._follow(self._task.feed(event))

    def _follow(self, effects: Iterable[Effect]) -> None:
        """Whatever is asked is answered, until nothing is asked any more."""
        waiting = deque(effects)
        while waiting:
            ask = waiting.popleft()
            if isinstance(ask, Ask):
                waiting += self._task.feed(self._answered(ask))

    def _answered(self, ask: Ask) -> Answered | CallLost:
        if self._script is None:
            if ask.judges:
                return CallLost(ask.call_id, "invalid", NOBODY)
            if ask.run not in self._asked:
                self._asked[ask.run] = self._estimated(ask)
            return CallLost(ask.call_id, "invalid", NOBODY)
        if isinstance(ask.request, EmbedRequest):
            return judged(ask, WORDS)
        text = self._script(ask)
        tops = ((text, 0.0),) if ask.judges else ()
        return Answered(ask.call_id, text, "stop", self._estimate.answered(ask, text), simulated=True, tops=tops)

    def _estimated(self, ask: Ask) -> Used:
        agent = next(agent for agent in self._plan.agents.values() if ask.endpoint in _endpoints(agent))
        usage = self._estimate.unanswered(ask)
        price = _endpoints(agent)[ask.endpoint].price
        cost = None if price is None else float(price.cost(usage))
        return Used(
            calls=1,
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
            cost=cost,
            estimated=True,
        )

    def _take(self) -> None:
        """Takes what is ready to leave: a backtest keeps the outcomes."""
        self._seq += 1
        cut = self._task.cut(seq=self._seq, incarnation=1, owner="backtest", build="backtest", sent={})
        for output in cut.outputs:
            if output.topic == self._plan.results.results:
                self._note(orjson.loads(output.value or b"{}"), dict(output.headers)["ce_time"].decode())

    def _note(self, record: dict[str, Any], at: str) -> None:
        run = record["run"]
        if record["state"] == "resolved":
            self._rows[run].resolved_at = time_of(record["episode"]["ends_at"])
            return
        row = self._rows[run] = row_of(record, time_of(at))
        row.usage.estimated = row.usage.calls > 0
        if run in self._asked:
            row.state, row.reason, row.answer, row.degraded = ASKED, None, None, []
            row.usage = self._asked.pop(run)

    def part(self) -> Part:
        self._take()
        counters = Counter(
            {(name[0], name[-1]): count for name, count in self._task.counters.items() if name[0] in TOLD}
        )
        for source in self._plan.sources:
            marks = self._readers[source.topic].marks
            counters["events", source.name] -= marks
            counters["ignored", source.name] -= marks
        spans = [reader.span for reader in self._readers.values()]
        minutes = sum((span.minutes for span in spans), Counter[int]())
        first = min((span.first for span in spans if span.first is not None), default=None)
        last = max((span.last for span in spans if span.last is not None), default=None)
        return Part(list(self._rows.values()), dict(+counters), self._task.keys, minutes, first, last)


def _without_fallbacks(plan: Plan) -> Plan:
    """What nobody is asked has no outcome that others could follow."""
    return replace(plan, agents={name: replace(agent, fallback=None) for name, agent in plan.agents.items()})


def _endpoints(agent: AgentPlan) -> Mapping[str, EndpointPlan]:
    return {endpoint.name: endpoint for endpoint in agent.endpoints}
