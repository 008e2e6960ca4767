"""Several inputs become one stream, by event time."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.oracle.product import plan_of

from penstock.operators.event import Progress
from penstock.operators.merge import BACKLOG_MAX, MERGE_WAIT_MS, Merge
from penstock.operators.plan import Plan
from penstock.operators.record import Record

PIPELINE = """
penstock: v1
name: merged
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}}
  flow: {topic: flow, key: event.host, time: {at: event.t, unit: s}}
triggers:
  all: {each: "true", agent: none}
"""
BOTH_READ = {topic: Progress(5, 5, 0) for topic in ("auth", "flow")}
FLOW_LAGS = {"auth": Progress(5, 5, 0), "flow": Progress(0, 5, 0)}


class Inputs:
    """A merge of two inputs. Records are named by their event time."""

    def __init__(self) -> None:
        self.plan: Plan = plan_of(PIPELINE)
        self.merge = Merge(self.plan.sources)
        self._offset = 0

    def add(self, topic: str, *times: int | None) -> None:
        """None is a record that nobody can read."""
        source = next(source for source in self.plan.sources if source.topic == topic)
        self.merge.add(source, [self._record(topic, time) for time in times], source.decode)

    def _record(self, topic: str, time: int | None) -> Record:
        self._offset += 1
        value = b"{" if time is None else json.dumps({"host": "h", "t": time}).encode()
        return Record(topic, 0, self._offset, 1000 * (time or 0), None, value)

    def ready(self, progress: Mapping[str, Progress] = BOTH_READ, now: int = 0, *, ended: bool = False) -> list[str]:
        return [
            f"{source.topic}@{raw.timestamp // 1000}" for source, raw, _ in self.merge.ready(progress, now, ended=ended)
        ]


def test_the_lowest_head_comes_first_and_order_within_an_input_stays() -> None:
    """
    auth    10  12   5        5 comes behind 12 on its own topic, so it stays there
    flow    11  20
    """
    inputs = Inputs()
    inputs.add("auth", 10, 12, 5)
    inputs.add("flow", 11, 20)
    assert inputs.ready() == ["auth@10", "flow@11", "auth@12", "auth@5", "flow@20"]


def test_equal_times_come_in_the_order_of_the_file() -> None:
    inputs = Inputs()
    inputs.add("flow", 10)
    inputs.add("auth", 10)
    assert inputs.ready() == ["auth@10", "flow@10"]


def test_what_cannot_be_read_holds_nobody_up() -> None:
    inputs = Inputs()
    inputs.add("flow", 50, None)
    inputs.add("auth", None, 60)
    assert inputs.ready() == ["auth@0", "flow@50", "flow@0", "auth@60"]


def test_an_input_that_lags_is_waited_for_and_not_for_ever() -> None:
    inputs = Inputs()
    inputs.add("auth", 10, 12)
    assert inputs.ready(FLOW_LAGS, now=1_000) == []
    assert inputs.ready(FLOW_LAGS, now=1_000 + MERGE_WAIT_MS - 1) == []
    assert inputs.ready(FLOW_LAGS, now=1_000 + MERGE_WAIT_MS) == ["auth@10", "auth@12"]


def test_what_comes_while_it_is_waited_for_takes_its_place() -> None:
    inputs = Inputs()
    inputs.add("auth", 10, 12)
    assert inputs.ready(FLOW_LAGS, now=1_000) == []
    inputs.add("flow", 11)
    assert inputs.ready(FLOW_LAGS, now=1_500) == ["auth@10", "flow@11"]


def test_every_wait_begins_anew() -> None:
    inputs = Inputs()
    inputs.add("auth", 10, 12)
    assert inputs.ready(FLOW_LAGS, now=1_000) == []
    inputs.add("flow", 11)
    assert inputs.ready(FLOW_LAGS, now=1_500) == ["auth@10", "flow@11"]
    assert inputs.ready(FLOW_LAGS, now=1_500 + MERGE_WAIT_MS - 1) == []
    assert inputs.ready(FLOW_LAGS, now=1_500 + MERGE_WAIT_MS) == ["auth@12"]


def test_an_input_that_is_read_to_its_end_is_not_waited_for() -> None:
    inputs = Inputs()
    inputs.add("auth", 10)
    assert inputs.ready(BOTH_READ) == ["auth@10"]


def test_an_input_of_which_nothing_is_known_is_waited_for() -> None:
    inputs = Inputs()
    inputs.add("auth", 10)
    assert inputs.ready({}) == []


def test_at_the_end_of_all_inputs_nobody_is_waited_for() -> None:
    inputs = Inputs()
    inputs.add("auth", 10)
    assert inputs.ready(FLOW_LAGS, ended=True) == ["auth@10"]


def test_an_input_that_has_too_much_waiting_should_pause() -> None:
    inputs = Inputs()
    inputs.add("auth", *range(BACKLOG_MAX))
    assert inputs.merge.backlogged == frozenset()
    inputs.add("auth", BACKLOG_MAX)
    assert inputs.merge.backlogged == {"auth"}


def test_what_waits_is_held_and_not_silent() -> None:
    inputs = Inputs()
    inputs.add("auth", 10)
    assert inputs.merge.holds("auth")
    assert not inputs.merge.holds("flow")
