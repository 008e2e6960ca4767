"""What is the case now, second by second: what stands on the topic when somebody reads it from its beginning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, CallLost, Ended, Usage
from penstock.operators.latest import GONE, fingerprint
from penstock.operators.record import Output
from penstock.operators.result import identity_of

HEAD = """
penstock: v1
name: now
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never, lateness: 1h}}
triggers:
  open: {when: 'event.x == "a"', until: 'event.x == "z"', cooldown: 0s, agent: none}
  seen: {each: 'event.x == "s"', cooldown: 0s, agent: none}
"""
KEEP = HEAD + "outputs: {latest: {topic: open, keep: 10s}}\n"
AT_ONCE = HEAD + "outputs: {latest: open}\n"
ASKED = (
    HEAD.replace("agent: none", "agent: judge")
    + """
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: What now?}
outputs: {latest: {topic: open, keep: 10s}}
"""
)


class Reader:
    """Reads the topic from its beginning, as a dashboard does; `written` is every record on it."""

    def __init__(self) -> None:
        self.cases: dict[bytes, dict[str, Any]] = {}
        self.written: list[Output] = []

    def read(self, outputs: Sequence[Output], topic: str = "open") -> list[str]:
        for output in outputs:
            if output.topic == topic:
                self.written.append(output)
                assert output.key is not None
                self.cases.pop(output.key, None)
                if output.value is not None:
                    self.cases[output.key] = json.loads(output.value)
        return self.shown

    @property
    def shown(self) -> list[str]:
        """`trigger key state`"""
        return sorted(f"{case['triggers'][0]} {case['key']} {case['state']}" for case in self.cases.values())


class Watched:
    """A task, and somebody who reads."""

    def __init__(self, text: str) -> None:
        self.stand, self.reader = Stand(text), Reader()
        self.stand.cut("opened")
        self.asks: list[Ask] = []

    def at(self, time: int, host: str = "h", x: str = "-") -> list[str]:
        """After this event."""
        effects = self.stand.feed(self.stand.event(time, host=host, x=x))
        self.asks += [effect for effect in effects if isinstance(effect, Ask)]
        return self.now()

    def now(self) -> list[str]:
        cut = self.stand.cut()
        assert [each for each in cut.outputs if each.topic == "open"] == [
            each for each in cut.delta.outputs if each.topic == "open"
        ]
        return self.reader.read(cut.outputs)

    def answer(self, text: str = "it is bad") -> list[str]:
        ask = self.asks.pop(0)
        effects = self.stand.task.feed(Answered(ask.call_id, text, "stop", Usage()))
        self.asks += [effect for effect in effects if isinstance(effect, Ask)]
        return self.now()

    def reopen(self, text: str, images: int | None = None) -> list[str]:
        """By another process; `images`: of the log nothing is left but so many images."""
        if images is not None:
            kept = len(self.stand.log) - 1
            for index in range(images):
                self.stand.snapshot(index, images)
            del self.stand.log[:kept]
        self.stand.reopen(plan_of(text))
        return self.reader.read(self.stand.cut("opened").outputs)


def test_a_case_is_there_while_it_is_open_and_for_keep_after_its_end() -> None:
    watched = Watched(KEEP)
    assert watched.at(1) == []
    assert watched.at(2, x="a") == ["open h final"]
    assert watched.at(500) == ["open h final"]
    assert watched.at(501, x="z") == ["open h resolved"]
    assert watched.at(511) == ["open h resolved"]
    assert watched.at(512) == []


def test_without_keep_only_what_is_open_is_there() -> None:
    watched = Watched(AT_ONCE)
    assert watched.at(1, x="s") == []
    assert watched.at(2, x="a") == ["open h final"]
    assert watched.at(3, x="z") == []
    assert len(watched.reader.written) == 2


def test_what_opens_no_episode_is_there_for_keep_after_its_firing() -> None:
    watched = Watched(KEEP)
    assert watched.at(1, x="s") == ["seen h final"]
    assert watched.at(8, x="s") == ["seen h final"]
    assert watched.at(18) == ["seen h final"]
    assert watched.at(19) == []


def test_a_case_is_a_trigger_and_a_key_and_what_comes_again_takes_the_place_of_what_was() -> None:
    watched = Watched(KEEP)
    watched.at(1, "h", "a"), watched.at(2, "i", "a")
    assert watched.at(3, "h", "s") == ["open h final", "open i final", "seen h final"]
    watched.at(4, "h", "z")
    assert watched.at(5, "h", "a") == ["open h final", "open i final", "seen h final"]
    assert watched.at(60, "h") == ["open h final", "open i final"], "the tombstone of the first is not due any more"
    keys = {case["key"]: key.decode() for key, case in watched.reader.cases.items()}
    assert keys == {name: fingerprint("now", "open", name) for name in ("h", "i")}
    assert len(set(keys.values()) | {fingerprint("now", "open", "h", "1.2.3.4")}) == 3


def test_the_record_is_that_of_the_results_but_for_its_key() -> None:
    stand = Stand(KEEP)
    stand.feed(stand.event(2, x="a"))
    outputs = {each.topic: each for each in stand.cut().outputs}
    result, latest = outputs["dev.now.results"], outputs["open"]
    assert (latest.id, latest.value, latest.headers) == (result.id, result.value, result.headers)


def test_a_tombstone_is_a_cloud_event_without_data() -> None:
    watched = Watched(AT_ONCE)
    watched.at(2, x="a"), watched.at(3, x="z")
    final, tombstone = watched.reader.written
    run = final.id.partition("/")[0]
    assert (tombstone.id, tombstone.key, tombstone.value) == (f"{run}/gone", final.key, None)
    assert identity_of(tombstone.headers) == ("/penstock/dev/now", tombstone.id)
    headers = {name: value.decode() for name, value in tombstone.headers}
    assert (headers["ce_type"], headers["ce_subject"], headers["ce_specversion"]) == (GONE, "h", "1.0")
    assert headers["ce_time"] == "1970-01-01T00:00:02.000Z"


def test_an_open_episode_comes_with_its_outcome_and_one_that_is_over_by_then_comes_resolved() -> None:
    watched = Watched(ASKED)
    assert watched.at(1, "h", "a") == []
    assert watched.at(2, "i", "a") == []
    assert watched.at(3, "i", "z") == []
    assert watched.answer() == ["open h final"]
    assert watched.answer() == ["open h final", "open i resolved"]
    assert len(watched.reader.written) == 2


def test_a_failure_is_an_outcome_too() -> None:
    watched = Watched(ASKED)
    watched.at(1, x="a")
    watched.stand.task.feed(CallLost(watched.asks[0].call_id, "failed", "away"))
    assert watched.now() == ["open h failed"]


def test_an_answer_that_comes_when_its_case_was_to_go_already_goes_with_the_next_event() -> None:
    watched = Watched(ASKED)
    watched.at(1, x="s"), watched.at(30)
    assert watched.answer() == ["seen h final"]
    assert watched.at(31) == []


def test_a_key_that_is_forgotten_takes_its_cases_with_it() -> None:
    watched = Watched(KEEP.replace("10s}", "1h}") + "context: {forget: 1h}\n")
    watched.at(1, "h", "a"), watched.at(2, "h", "s")
    assert watched.at(3602, "i") == ["open h final", "seen h final"]
    assert watched.at(3603, "i") == []


def test_a_key_that_is_forgotten_while_a_model_thinks_leaves_nothing_behind() -> None:
    watched = Watched(ASKED + "context: {forget: 20s}\n")
    watched.at(1, "h", "a"), watched.at(50, "i")
    assert watched.answer() == ["open h resolved"]
    watched.at(60, "i")
    assert watched.at(100, "i") == []


def test_at_the_end_of_the_input_what_has_ended_goes_and_what_is_open_stays() -> None:
    watched = Watched(KEEP)
    watched.at(1, "h", "a"), watched.at(2, "h", "s"), watched.at(3, "i", "a")
    watched.stand.task.feed(Ended(watched.stand.now))
    assert watched.now() == ["open h final", "open i final"]


@pytest.mark.parametrize("images", [None, 1, 2])
def test_a_restart_forgets_no_tombstone(images: int | None) -> None:
    watched = Watched(KEEP)
    watched.at(1, "h", "a"), watched.at(2, "i", "a"), watched.at(3, "i", "z")
    assert watched.reopen(KEEP, images) == ["open h final", "open i resolved"]
    assert watched.at(13) == ["open h final", "open i resolved"]
    assert watched.at(14) == ["open h final"]
    watched.at(15, "h", "z")
    assert watched.reopen(KEEP, images) == ["open h resolved"]
    assert watched.at(100) == []


@pytest.mark.parametrize("images", [None, 1])
def test_another_keep_counts_for_what_is_there(images: int | None) -> None:
    watched = Watched(KEEP)
    watched.at(1, "h", "s")
    watched.reopen(KEEP.replace("10s", "20s"), images)
    assert watched.at(21) == ["seen h final"]
    watched.reopen(AT_ONCE, images)
    assert watched.at(22) == []


@pytest.mark.parametrize("images", [None, 2])
def test_a_topic_that_is_named_later_begins_with_what_is_open(images: int | None) -> None:
    watched = Watched(HEAD)
    watched.at(1, "h", "a"), watched.at(2, "i", "a"), watched.at(3, "i", "z")
    assert watched.reopen(KEEP, images) == ["open h final"]
    assert watched.at(4, "h", "z") == ["open h resolved"]


@pytest.mark.parametrize("images", [None, 2])
def test_what_ended_while_the_topic_was_not_in_the_file_goes_when_it_comes_back(images: int | None) -> None:
    watched = Watched(KEEP)
    watched.at(1, "h", "a"), watched.at(2, "i", "a")
    watched.reopen(HEAD, images)
    watched.at(3, "h", "z"), watched.at(4, "j", "a")
    assert watched.reader.shown == ["open h final", "open i final"]
    assert watched.reopen(KEEP, images) == ["open i final", "open j final"]


def test_a_trigger_that_is_taken_out_of_the_file_leaves_no_case_behind() -> None:
    watched = Watched(KEEP)
    watched.at(1, "h", "a")
    without = KEEP.replace(
        "  open: {when: 'event.x == \"a\"', until: 'event.x == \"z\"', cooldown: 0s, agent: none}\n", ""
    )
    watched.reopen(without)
    watched.stand.tick(8 * 86_400_000)
    watched.now()
    assert watched.at(2) == ["open h resolved"]
    assert watched.at(12) == []


def test_a_file_without_the_topic_remembers_nothing_of_it() -> None:
    stand = Stand(HEAD)
    stand.feed(stand.event(1, x="s"), stand.event(2, x="a"), stand.event(3, x="z"))
    assert "latest" not in str(stand.cut().delta.cells)


def test_what_is_due_comes_in_the_order_of_time_however_far_time_goes_at_once() -> None:
    text = KEEP.replace("keep: 10s", "keep: 3s").replace("outputs", "  every: {every: 10s, agent: none}\noutputs")
    watched = Watched(text)
    watched.at(5, "h", "s"), watched.at(11, "i"), watched.at(60, "j")
    lines = [
        (json.loads(each.value)["triggers"][0] if each.value else "gone", dict(each.headers)["ce_subject"].decode())
        for each in watched.reader.written
    ]
    assert lines == [("seen", "h"), ("gone", "h"), ("every", "h"), ("gone", "h"), ("every", "i"), ("gone", "i")]
