"""One share of a backtest: a task, fed as fast as it goes. The same core as `penstock run`; no broker, no clock.

blocks ─▶ Reader ─▶ task.feed ─▶ Ask ─▶ Answering ─▶ task.feed ─▶ …
                        └─▶ cut: results ─▶ rows
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from penstock.operators.event import Arrived, Ask, Effect, Ended, Event, Progress, Ticked
from penstock.operators.plan import Plan
from penstock.operators.run import Run
from penstock.operators.task import Task
from penstock.operators.timestamp import EARLIEST_MS
from penstock.pipelines.backtest_answering import Answering, Source
from penstock.pipelines.backtest_cursor import Cursor
from penstock.pipelines.backtest_feed import WHOLE, Reader, Recorded, Share, shared_plan
from penstock.pipelines.backtest_input import BLOCK_BYTES, Block, Inputs
from penstock.pipelines.backtest_row import Row, row_of, time_of
from penstock.pipelines.backtest_rows import Coming
from penstock.pipelines.backtest_spool import all_blocks
from penstock.pipelines.samples import keys_of

OVER = Progress(0, 0, 2**60)
"""Of an input that has ended: it was silent for ever, so it holds no other back."""
PAUSED = Progress(0, 0, -1)
"""Of an input that goes on later: the others need not wait for it, and nothing is known of its silence."""
NO_ANSWERS = Source()
Told = Callable[[int], None]
_decoder = msgspec.msgpack.Decoder(Run)


TOLD = frozenset(
    {"events", "ignored", "late", "late_for_trigger", "duplicate", "dead", "suppressed", "expression_errors"}
)
"""Counters that a backtest passes on; the others are about outcomes, or in its rows."""


class Part(msgspec.Struct):
    """What came of one share. `counters` by (what, which), `prompts` by run (`Answering`).

    `minutes` counts the events of every minute since the epoch, `first` and `last` are event times: the first share alone knows.
    """

    rows: list[Row]
    counters: dict[tuple[str, str], int]
    keys: int
    minutes: dict[int, int]
    first: int | None
    last: int | None
    prompts: dict[str, bytes]


def play(
    plan: Plan,
    inputs: Inputs,
    share: Share = WHOLE,
    answers: Source = NO_ANSWERS,
    *,
    rows: Sequence[Coming] = (),
    hold: bool = False,
    keeps_prompts: bool = False,
    block_bytes: int = BLOCK_BYTES,
    told: Told = lambda read: None,
) -> Part:
    """`hold`: leave out what only the end of the recording makes happen. `told` hears how many bytes were read since.

    Nothing depends on `block_bytes`.
    """
    unread = {source.topic: all_blocks(inputs.get(source.name, ()), block_bytes) for source in plan.sources}
    player = _Player(plan, share, unread, answers, told, keeps_prompts=keeps_prompts)
    player.feed_all(rows)
    if not hold:
        player.end()
    player.settle()
    return player.part()


class _Player:
    def __init__(
        self,
        plan: Plan,
        share: Share,
        unread: Mapping[str, Iterator[Block]],
        answers: Source,
        told: Told,
        *,
        keeps_prompts: bool,
    ) -> None:
        self._plan = plan
        played = plan if answers.script is not None else _without_fallbacks(plan)
        self._task = Task(shared_plan(played, share), 0, share.of)
        alone = len(plan.sources) == 1
        self._cursors = {
            source.topic: Cursor(Reader(source, share, alone=alone), unread[source.topic], told)
            for source in plan.sources
        }
        self._answering = Answering(plan, answers, self._run_of, keeps_prompts=keeps_prompts)
        self._keeps_runs = answers.recorded is not None
        self._runs: dict[str, Run] = {}
        self._rows: dict[str, Row] = {}
        self._open: list[Ask] = []
        self._seq = 0
        self._follow(self._task.opened({}, 0))

    def feed_all(self, rows: Iterable[Coming]) -> None:
        """Every input to its end, and the rows of tables when they come."""
        for coming in rows:
            if coming.at > EARLIEST_MS:
                self._feed_until(coming.at)
            self.feed(Arrived(coming.records, {}, 0))
        self._feed_until(None)

    def _feed_until(self, time: int | None) -> None:
        """All that comes before a time, block by block. Who has no more of it lets the others pass exactly where its last
        record stood; an input that is over is silent from there on."""
        left, passed = set(self._cursors), dict[str, Progress]()
        while left or len(passed) < len(self._cursors):
            records: dict[str, list[Recorded]] = {}
            for topic in left - self._task.inputs.backlogged:
                found = self._cursors[topic].next(time)
                if found is None:
                    left = left - {topic}
                else:
                    records[topic] = found
            self.feed(Arrived(records, passed, 0))
            self._take()
            passed = {topic: self._passed(topic) for topic in self._cursors if topic not in left}
            passed = {topic: progress for topic, progress in passed.items() if not self._task.inputs.holds(topic)}
            if not self._over(passed):
                self.feed(Ticked(0, passed, most=0))

    def _over(self, passed: Mapping[str, Progress]) -> bool:
        """Then nothing holds anything back: what comes behind is the end."""
        return len(passed) == len(self._cursors) and all(progress is OVER for progress in passed.values())

    def _passed(self, topic: str) -> Progress:
        return OVER if self._cursors[topic].over else PAUSED

    def feed(self, event: Event) -> None:
        self._follow(self._task.feed(event))

    def end(self) -> None:
        """Whatever was asked before is answered before time ends, and what is asked then, too."""
        self.settle()
        self.feed(Ended(0))

    def settle(self) -> None:
        """Whatever is asked is answered, until nothing is asked any more."""
        while self._open:
            asks, self._open = self._open, []
            for heard in self._answering.answers(asks):
                self._open += _asks(self._task.feed(heard))
            if self._answering.gathers > 1:
                self._take()  # what was paid for is kept at once

    def _follow(self, effects: Iterable[Effect]) -> None:
        self._open += _asks(effects)
        if len(self._open) >= self._answering.gathers:
            self.settle()

    def _take(self) -> None:
        """Takes what is ready to leave: a backtest keeps the outcomes."""
        self._seq += 1
        cut = self._task.cut(seq=self._seq, incarnation=1, owner="backtest", build="backtest", sent={})
        if self._keeps_runs:
            self._runs |= {name: _decoder.decode(run) for name, run in cut.delta.runs.items() if run is not None}
        for output in cut.outputs:
            if output.topic == self._plan.results.results:
                self._note(orjson.loads(output.value or b"{}"), dict(output.headers)["ce_time"].decode())

    def _run_of(self, name: str) -> Run:
        if name not in self._runs:
            self._take()
        return self._runs[name]

    def _note(self, record: dict[str, Any], at: str) -> None:
        run = record["run"]
        if record["state"] == "resolved":
            self._rows[run].resolved_at = time_of(record["episode"]["ends_at"])
            return
        row = self._rows[run] = row_of(record, time_of(at))
        self._answering.note(row)
        self._runs.pop(run, None)

    def part(self) -> Part:
        self._take()
        counters = Counter(
            {(name[0], name[-1]): count for name, count in self._task.counters.items() if name[0] in TOLD}
        )
        for source in self._plan.sources:
            marks = self._cursors[source.topic].reader.marks
            counters["events", source.name] -= marks
            counters["ignored", source.name] -= marks
        spans = [cursor.reader.span for cursor in self._cursors.values()]
        minutes = sum((span.minutes for span in spans), Counter[int]())
        first = min((span.first for span in spans if span.first is not None), default=None)
        last = max((span.last for span in spans if span.last is not None), default=None)
        return Part(
            list(self._rows.values()),
            dict(+counters),
            keys_of(self._task),
            minutes,
            first,
            last,
            self._answering.prompts,
        )


def _without_fallbacks(plan: Plan) -> Plan:
    """What nobody is asked has no outcome that others could follow."""
    return replace(plan, agents={name: replace(agent, fallback=None) for name, agent in plan.agents.items()})


def _asks(effects: Iterable[Effect]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]
