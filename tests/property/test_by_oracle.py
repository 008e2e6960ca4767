"""`by` and `from`: the product and the brute-force evaluator agree on every part of every key.

Whatever the batches, the commits, the snapshots and the restarts between two records were, and whatever is forgotten.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Both, Compare, Field, Formula, Has, Literal, Named, Not, Span
from tests.oracle.oracle import Incoming, Rule, Settings
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_each import Each
from tests.oracle.rule_parted import Parted
from tests.oracle.rule_sequence import InSequence, Takes
from tests.oracle.rule_when import When
from tests.property.oracle_conditions import mixed, of_event
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    FAILED,
    LOUD,
    SECOND,
    SECONDS,
    WAITS,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
)

G = Field("g")
SOME = Compare(Span("count", FAILED, 4 * SECOND), ">=", Literal(2))
FEW = Compare(Span("count", Literal(True), 3 * SECOND), "<", Literal(2))
AGAIN = Both(Compare(Field("x"), "==", Literal("b")), "&&", FEW)


PARTS: list[list[Any]] = [["a", "b"], [1, 1.0, True], [None, "null", 2**53], [["a", 1], ["a", 1.0], {"b": 0, "a": 1}]]


@st.composite
def parted_samples(draw: st.DrawFn) -> list[Sample]:
    """Two or three parts take turns; time goes on, mostly. Null is a part, 1 is 1.0 and `true` is not; some have none."""
    few = draw(st.sampled_from(PARTS))
    samples, time = [], 0
    for offset in range(draw(st.integers(4, 16))):
        time += SECOND * draw(st.sampled_from([0, 0, 1, 1, 2, 3, -1]))
        fields = {"x": draw(st.sampled_from("aaab"))}
        part = draw(st.sampled_from([*few, *few, "none"]))
        told = fields if part == "none" else {**fields, "g": part}
        incoming = Incoming(draw(st.sampled_from("kkkz")), time, told, f"{TOPIC}/{PARTITION}@{offset}")
        value = json.dumps({"key": incoming.key, "t": time, **told}).encode()
        samples.append(Sample(value, incoming))
    return samples


@cache
def rules_that_fire(name: str) -> SearchStrategy[Rule]:
    """Conditions that are true and false in turns, over events and over spans, with waits and without."""
    of_past: SearchStrategy[Formula] = st.sampled_from([SOME, FEW, AGAIN, Not(SOME)])
    untils: SearchStrategy[Formula | None] = st.sampled_from([None, None, Not(FAILED), FEW])
    names = st.just(name)
    conditions: SearchStrategy[Formula] = st.sampled_from([FAILED, Not(FAILED), Named("failed", FAILED)])
    each = st.builds(Each, names, conditions, COOLDOWNS, WAITS)
    when = st.builds(When, names, of_past, untils, COOLDOWNS, WAITS, WAITS)
    return st.one_of(each, when, when)


def parts_of(rules: SearchStrategy[Rule], *by: Formula) -> SearchStrategy[Rule]:
    return st.builds(Parted, rules, st.sampled_from([None, *by, *by]), st.sampled_from([None, None, "in"]))


@cache
def any_whens(name: str) -> SearchStrategy[Rule]:
    untils = st.none() | mixed() | of_event()
    waits = st.builds(When, st.just(name), of_event(), untils, COOLDOWNS, SECONDS, WAITS)
    return st.builds(When, st.just(name), mixed(), untils, COOLDOWNS, WAITS, WAITS) | waits


@cache
def any_eaches(name: str) -> SearchStrategy[Rule]:
    return st.builds(Each, st.just(name), of_event(), COOLDOWNS, WAITS)


def parted(*names: str) -> SearchStrategy[tuple[Rule, ...]]:
    """Triggers by one expression, by several, and one that sees whole keys beside them."""
    own = [parts_of(rules_that_fire(name), G, G, Field("x")) for name in names]
    return st.tuples(*own) | st.tuples(*own, rules_that_fire("whole"))


@cache
def any_parted() -> SearchStrategy[tuple[Rule, ...]]:
    by = (Field("x"), Field("v"), Has("x"), LOUD)
    return st.tuples(
        parts_of(any_whens("t0") | any_eaches("t0"), *by), parts_of(any_eaches("t1") | any_whens("t1"), *by)
    )


@cache
def patient(name: str) -> SearchStrategy[Rule]:
    """Rules that wait for the watermark."""
    a, b = FAILED, Not(FAILED)
    items = st.sampled_from([(Takes(a), Takes(b)), (Takes(a), Takes(a)), (Takes(b), Takes(a), Takes(a))])
    sequence = st.builds(InSequence, st.just(name), items, SECONDS, COOLDOWNS)
    absence = st.builds(Absence, st.just(name), st.sampled_from([a, b, Literal(True)]), SECONDS, COOLDOWNS)
    return st.one_of(sequence, absence)


@cache
def parted_by_time() -> SearchStrategy[tuple[Rule, ...]]:
    beside = rules_that_fire("t1") | patient("t1")
    return st.tuples(parts_of(patient("t0"), G, G, Field("x")), parts_of(beside, G, Field("x")))


@given(any_settings(parted("t0") | parted("t0", "t1")), parted_samples(), DEEDS)
def test_they_agree_on_parts_that_take_turns(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(any_parted()), any_samples(), DEEDS)
def test_they_agree_on_parts_by_anything(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(parted_by_time()), parted_samples(), DEEDS)
def test_they_agree_on_parts_that_wait_for_the_watermark(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds)
