"""`semantic` against a recomputation from all events and a table of answers, in whatever order these come.

Answers come late, in any order, or never; the process dies with questions open, and asks them again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import cos, log, radians, sin
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Field, Formula, Named
from tests.oracle.oracle import Incoming, Rule, Settings, expect
from tests.oracle.product import PARTITION, TOPIC, Worker, plan_of
from tests.oracle.rule_parted import Parted
from tests.oracle.rule_semantic import ANGLES, FURY, Semantic
from tests.property.oracle_world import (
    BEGINNINGS,
    COOLDOWNS,
    DEEDS,
    LOUD,
    SECOND,
    SECONDS,
    Deed,
    Sample,
    any_settings,
    by_key,
    file_of,
    live,
    observed,
    records_of,
)

from penstock.operators.event import Answered, Ask, CallLost, Cancel, EmbedRequest, Usage
from penstock.operators.plan import Plan
from penstock.operators.record import Record

WHERES: SearchStrategy[Formula | None] = st.sampled_from([None, None, LOUD, Named("loud", LOUD)])
LARGE = 10**6


class Judging(Worker):
    """Answers as `turns` say: how many of the questions that wait, and which first. Without turns, all at once."""

    def __init__(self, plan: Plan, records: Sequence[Record], turns: Sequence[int]) -> None:
        self._turns = list(turns)
        self._asks: dict[str, Ask] = {}
        super().__init__(plan, records)

    def _start(self) -> None:
        self._asks = {}
        super()._start()

    def _heed(self, effects: Sequence[object]) -> None:
        for effect in effects:
            if isinstance(effect, Cancel):
                self._asks.pop(effect.call_id)
            else:
                assert isinstance(effect, Ask)
                assert effect.call_id not in self._asks, "it is asked already"
                self._asks[effect.call_id] = effect

    def feed(self, count: int, elapsed: int) -> None:
        super().feed(count, elapsed)
        self._answer(self._turns.pop() if self._turns else LARGE)

    def end(self) -> None:
        self.answer_all()
        super().end()

    def answer_all(self) -> None:
        while self._asks:
            self._answer(LARGE)

    def _answer(self, most: int) -> None:
        for _ in range(min(most, len(self._asks))):
            turn = self._turns.pop() if self._turns else 0
            ask = self._asks.pop(list(self._asks)[turn % len(self._asks)])
            self._heed(self._task.feed(said(ask)))
            assert not self._task.feed(said(ask)), "an answer counts once"

    @property
    def waits(self) -> bool:
        return self._task.judging


def said(ask: Ask) -> Answered | CallLost:
    text = ask.request.messages[-1].content
    if isinstance(ask.request, EmbedRequest):
        if text not in ANGLES:
            return CallLost(ask.call_id, "timed_out", "no answer")
        angle = radians(ANGLES[text])
        return Answered(ask.call_id, "", "stop", Usage(1), vector=(cos(angle), sin(angle)))
    if text not in FURY:
        return Answered(ask.call_id, "", "length", Usage(1), tops=(("<think>", -0.01), ("fu", -9.0)))
    likely = FURY[text]
    tops = (("fur", log(likely)), *([("calm", log(1 - likely))] if likely < 1 else []))
    return Answered(ask.call_id, "", "length", Usage(1), tops=tops)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    found: list[Rule] = []
    for number, unlike in enumerate(draw(st.lists(st.just(0) | SECONDS, min_size=1, max_size=3))):
        threshold = draw(st.sampled_from([0.2, 0.4, 0.6, 0.9] if unlike else [0.1, 0.5, 0.6, 0.75]))
        rule = Semantic(f"t{number}", draw(WHERES), threshold, draw(COOLDOWNS), unlike)
        found.append(Parted(rule, Field("g")) if draw(st.integers(0, 3)) == 0 else rule)
    return tuple(found)


@st.composite
def spoken_samples(draw: st.DrawFn) -> list[Sample]:
    """Texts that come again, some of which nobody can judge, and now and then none; time goes on, mostly."""
    samples, time = [], draw(st.sampled_from(BEGINNINGS))
    for offset in range(draw(st.integers(3, 20))):
        time += SECOND * draw(st.sampled_from([0, 1, 1, 1, 2, -1, -3]))
        fields: dict[str, Any] = {"x": draw(st.sampled_from("aaabcdefg")), "v": draw(st.sampled_from([0, 2, 2]))}
        fields["g"] = draw(st.sampled_from([1, 1, 2]))
        if draw(st.integers(0, 9)) == 9:
            fields["x"] = draw(st.sampled_from([None, 7, ["a"]]))
        told = Incoming(draw(st.sampled_from("kkkkz")), time, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": time} | fields).encode(), told))
    return samples


def agree(settings: Settings, samples: list[Sample], deeds: list[Deed], turns: list[int]) -> None:
    text = file_of(settings)
    note(text)
    note("\n".join(f"{number}: {sample.value!r}" for number, sample in enumerate(samples)))
    worker = Judging(plan_of(text), list(records_of(samples)), turns)
    live(worker, deeds, bounded=settings.bounded)
    worker.answer_all()
    worker.commit()
    assert not worker.waits, "everything was answered in the end"
    assert by_key(observed(worker)) == by_key(expect(settings, [sample.told for sample in samples]))


def remembered(settings: Settings) -> Settings:
    """Nothing is forgotten: what waits for an answer then would never get one, however fast time passes."""
    return Settings(settings.delay, settings.lateness, settings.rules, settings.bounded)


@given(any_settings(rules()).map(remembered), spoken_samples(), DEEDS, st.lists(st.integers(0, 9), max_size=40))
def test_they_agree_in_whatever_order_answers_come(
    settings: Settings, samples: list[Sample], deeds: list[Deed], turns: list[int]
) -> None:
    agree(settings, samples, deeds, turns)


@given(any_settings(rules()), spoken_samples(), DEEDS)
def test_they_agree_where_answers_come_at_once_and_keys_are_forgotten(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    one_by_one = [Deed(1, 0, False, each.commits, each.snapshot, each.trims, each.dies) for each in deeds]
    fed = [Deed(1, 0, False, False, None, False, False)] * len(samples)
    agree(settings, samples, [*one_by_one, *fed], [])
