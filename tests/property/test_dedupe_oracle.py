"""Records that tell an event again: product and brute-force evaluator agree on what is a duplicate, and on all that follows.

Whatever the batches, the commits, the snapshots and the restarts between two records were.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.formula import Compare, Literal, Span
from tests.oracle.oracle import Incoming, Rule, Settings, expect
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_each import Each
from tests.oracle.rule_when import When
from tests.property.oracle_world import BEGINNINGS, DEEDS, LOUD, SECOND, Deed, Sample, agree, any_settings

IDS: list[Any] = ["m1", "m1", "m2", 1, 1.0, True, None, "1", [1], [True], {"a": 1}]
WITHIN = st.sampled_from([1, 2 * SECOND, 5 * SECOND, 5 * SECOND])


@st.composite
def repeating_samples(draw: st.DrawFn) -> list[Sample]:
    """Few ids, close to each other; time goes on, but for the one that is told late."""
    samples, time = [], draw(st.sampled_from(BEGINNINGS))
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3))
    for offset in range(draw(st.integers(2, 20))):
        time += SECOND * draw(st.sampled_from([0, 0, 1, 1, 2, 4, 7, -1, -3]))
        fields: dict[str, Any] = {"v": draw(st.sampled_from([0, 2]))}
        if draw(st.integers(0, 7)):
            fields["id"] = draw(st.sampled_from(ids))
        ignored = not draw(st.integers(0, 9))
        key = draw(st.sampled_from("kkkz"))
        value = {"key": key, "t": time} | fields | ({"skip": True} if ignored else {})
        told = Incoming(key, time, fields, f"{TOPIC}/{PARTITION}@{offset}", ignored=ignored)
        samples.append(Sample(json.dumps(value).encode(), told))
    return samples


@cache
def rules() -> st.SearchStrategy[tuple[Rule, ...]]:
    """One that fires per kept event, one that counts them."""
    twice = Compare(Span("count", LOUD, 5 * SECOND), ">=", Literal(2))
    return st.just((Each("seen", Compare(Literal(1), "==", Literal(1)), 0, 0), When("many", twice, None, 0, 0, 0)))


@st.composite
def deduping(draw: st.DrawFn) -> Settings:
    """Mostly little is late, so that much of what was seen can be forgotten."""
    settings, soon = draw(any_settings(rules())), st.sampled_from([0, 0, SECOND, 3 * SECOND])
    return replace(settings, within=draw(WITHIN), delay=draw(soon), lateness=draw(soon))


@given(deduping(), repeating_samples(), DEEDS)
def test_product_and_oracle_agree_on_duplicates(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    event(f"duplicates: {min(3, expect(settings, [sample.told for sample in samples]).duplicates)}")
    agree(settings, samples, deeds)
