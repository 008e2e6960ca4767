"""`anomaly` against a recomputation from all numbers of a key, whatever happens to the process in between."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Formula, Has, Named
from tests.oracle.oracle import Incoming, Rule, Settings
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_anomaly import Anomaly
from tests.property.oracle_world import (
    BEGINNINGS,
    COOLDOWNS,
    DEEDS,
    FAILED,
    SECOND,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
)

THRESHOLDS = st.sampled_from([1.37, 2.71, 3.3, 5.3])
"""No score is exactly one of these, or half of it: where it is, rounding decides."""
WHERES: SearchStrategy[Formula | None] = st.sampled_from([None, None, None, FAILED, Named("failed", FAILED), Has("x")])


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    methods = draw(st.lists(st.sampled_from(["ewma", "change_point", "robust_seasonal"]), min_size=1, max_size=2))
    return tuple(
        Anomaly(
            f"t{number}",
            method,
            draw(THRESHOLDS),
            draw(st.integers(2, 4)),
            draw(st.integers(1, 5)),
            draw(st.sampled_from([1, 2, 3])) * SECOND,
            draw(WHERES),
            draw(COOLDOWNS),
        )
        for number, method in enumerate(methods)
    )


@st.composite
def restless_samples(draw: st.DrawFn) -> list[Sample]:
    """Numbers around a level, some far off it, some that are none; one now and then comes late."""
    samples, time = [], draw(st.sampled_from(BEGINNINGS))
    usual: list[float] = draw(st.sampled_from([[1], [1, 1.25], [1, 2, 3], [-1, 0, 1], [1e6, 1e6 + 1]]))
    for offset in range(draw(st.integers(6, 24))):
        time += SECOND * draw(st.sampled_from([0, 1, 1, 1, 2, -1, -3]))
        value: Any = draw(
            st.sampled_from([*usual, *usual, *usual, *usual, usual[0] + 7, usual[0] - 40, 1e9, "two", None])
        )
        fields = {"v": value, "x": draw(st.sampled_from("aaab"))} if value is not None else {}
        told = Incoming(draw(st.sampled_from("kkkkz")), time, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": time} | fields).encode(), told))
    return samples


@given(any_settings(rules()), restless_samples(), DEEDS)
def test_they_agree_on_what_is_unusual(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(rules()), any_samples(), DEEDS)
def test_they_agree_on_any_records(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)
