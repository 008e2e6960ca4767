"""Sequences against the brute-force search: small alphabets, so that matches and what only looks like one are frequent.

Events of one time, disorder, events behind the watermark and late ones, restarts between any two of them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Both, Captured, Compare, Field, Formula, Has, Literal, Named, Not
from tests.oracle.oracle import Incoming, Rule, Settings
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_each import Each
from tests.oracle.rule_sequence import InSequence, Never, Takes
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    FAILED,
    LOUD,
    SECOND,
    SECONDS,
    Deed,
    Sample,
    V,
    agree,
    any_samples,
    any_settings,
)

A, B, C = (Compare(Field("x"), "==", Literal(letter)) for letter in "abc")
SIMPLE: SearchStrategy[Formula] = st.sampled_from(
    [A, A, A, B, B, C, Named("failed", FAILED), Named("loud", LOUD), Has("v"), Not(A), Both(A, "||", B), Literal(True)]
)


def conditions(names: list[str]) -> SearchStrategy[Formula]:
    """Of a step behind those of these names."""
    if not names:
        return SIMPLE
    captured = st.builds(Captured, st.sampled_from(names), st.sampled_from(["v", "x"]))
    compared = st.builds(Compare, st.sampled_from([V, Field("x")]), st.sampled_from(["==", "!=", ">", "<="]), captured)
    return st.one_of(SIMPLE, SIMPLE, compared, st.builds(Both, SIMPLE, st.sampled_from(["&&", "||"]), compared))


@st.composite
def any_items(draw: st.DrawFn, length: int) -> tuple[Takes | Never, ...]:
    """Half of them end with a `not`."""
    items: list[Takes | Never] = []
    names: list[str] = []
    for number in range(length):
        if number and draw(st.integers(0, 2)) == 0:
            items.append(Never(draw(conditions(names)), draw(st.just(0) | SECONDS)))
        name = draw(st.sampled_from([None, "pqr"[number]]))
        items.append(Takes(draw(conditions(names)), name, draw(st.sampled_from([1, 1, 1, 2, 3]))))
        names += [] if name is None else [name]
    if draw(st.booleans()):
        items.append(Never(draw(conditions(names)), draw(SECONDS)))
    return tuple(items)


@st.composite
def any_sequence(draw: st.DrawFn, name: str) -> InSequence:
    return InSequence(
        name,
        draw(any_items(draw(st.sampled_from([1, 1, 2, 2, 2, 3])))),
        draw(st.sampled_from([1, 3, 5, 9, 20])) * SECOND,
        draw(COOLDOWNS),
        strict=draw(st.sampled_from([False, False, False, True])),
        arrival=draw(st.sampled_from([False, False, True])),
        shows=draw(st.booleans()),
    )


@st.composite
def any_rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Now and then beside a trigger of another kind, whose deadlines go by N."""
    rules: list[Rule] = [draw(any_sequence(f"s{number}")) for number in range(draw(st.sampled_from([1, 1, 2])))]
    if draw(st.integers(0, 3)) == 0:
        rules.append(Each("e", A, 0, draw(SECONDS)))
    return tuple(rules)


def any_setup(any_rules: SearchStrategy[tuple[Rule, ...]]) -> SearchStrategy[Settings]:
    """A key is remembered for as long as an event of it may come."""
    return any_settings(any_rules).map(
        lambda setup: setup if setup.forget is None else replace(setup, forget=max(setup.forget, setup.lateness))
    )


@st.composite
def lettered_samples(draw: st.DrawFn, most: int = 14) -> list[Sample]:
    """Time goes on, with equal times and some disorder; every event has its letter."""
    samples, time = [], 0
    for offset in range(draw(st.integers(3, most))):
        time += SECOND * draw(st.sampled_from([0, 0, 1, 1, 1, 2, 3, -1, -2, -4]))
        fields = {"x": draw(st.sampled_from("aaabbc")), "v": draw(st.integers(0, 3))}
        told = Incoming(draw(st.sampled_from("kkkkz")), time, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": time} | fields).encode(), told))
    return samples


@st.composite
def echoes(draw: st.DrawFn) -> list[Sample]:
    """Few times, which come again when other keys have moved the watermark far beyond them."""
    samples = []
    for offset in range(draw(st.integers(3, 12))):
        key = draw(st.sampled_from("kkz"))
        time = SECOND * draw(st.integers(0, 3) if key == "k" else st.integers(5, 20))
        fields = {"x": draw(st.sampled_from("aaab")), "v": draw(st.integers(0, 3))}
        told = Incoming(key, time, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": key, "t": time} | fields).encode(), told))
    return samples


@cache
def patient_rules() -> SearchStrategy[tuple[Rule, ...]]:
    """A wait for what does not come."""
    items = st.tuples(st.just(Takes(A, "p")), st.builds(Never, st.sampled_from([B, C]), SECONDS))
    return st.tuples(st.builds(InSequence, st.just("s"), items, st.just(SECOND), COOLDOWNS, shows=st.booleans()))


@st.composite
def crowds(draw: st.DrawFn) -> list[Sample]:
    """More beginnings at once than are remembered."""
    letters = draw(st.sampled_from(["a" * 70, "a" * 68 + "b" + "a" * 66, "ab" * 66 + "a" * 66, "a" * 66 + "cba"]))
    step = draw(st.sampled_from([0, 10]))
    samples = []
    for offset, letter in enumerate(letters):
        told = Incoming("k", step * offset, {"x": letter, "v": offset % 3}, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": "k", "t": told.time} | told.fields).encode(), told))
    return samples


@cache
def crowded_rules() -> SearchStrategy[tuple[Rule, ...]]:
    items: list[tuple[Takes | Never, ...]] = [
        (Takes(A, "p"), Never(B, 9 * SECOND)),
        (Takes(A, "p"), Takes(B, "q")),
        (Takes(A, "p"), Never(C), Takes(B, "q")),
    ]
    withins = st.sampled_from([100, 9 * SECOND])
    whens = st.booleans()
    return st.tuples(st.builds(InSequence, st.just("s"), st.sampled_from(items), withins, arrival=whens, shows=whens))


@given(any_setup(any_rules()), any_samples(), DEEDS)
def test_sequences_agree_with_the_search(setup: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(setup, samples, deeds)


@given(any_setup(any_rules()), lettered_samples(), DEEDS)
def test_they_agree_where_most_events_mean_something(setup: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(setup, samples, deeds)


@given(any_setup(patient_rules() | any_rules()), echoes(), DEEDS)
def test_they_agree_on_events_far_behind_the_watermark(
    setup: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(setup, samples, deeds)


@settings(max_examples=settings().max_examples // 20)  # each takes a second: the search is slow on purpose
@given(any_setup(crowded_rules()), crowds(), DEEDS)
def test_they_agree_on_what_is_given_up(setup: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(setup, samples, deeds)
