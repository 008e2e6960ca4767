"""The product and a brute-force evaluator agree on every absence, its time, its end and its values."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Formula, Literal, Named
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_absence import Absence
from tests.property.oracle_conditions import of_event
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    LOUD,
    SECOND,
    SECONDS,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
    steady_samples,
)


@cache
def any_absences() -> SearchStrategy[tuple[Rule, ...]]:
    """Conditions of every kind, several triggers beside each other."""
    conditions = st.just(Literal(True)) | of_event()
    names = st.sampled_from([("a",), ("a", "b")])
    return names.flatmap(
        lambda names: st.tuples(*(st.builds(Absence, st.just(name), conditions, SECONDS, COOLDOWNS) for name in names))
    )


@cache
def heartbeats() -> SearchStrategy[tuple[Rule, ...]]:
    """A silence that many samples hold, and some do not."""
    told: SearchStrategy[Formula] = st.sampled_from([Literal(True), LOUD, Named("loud", LOUD)])
    silences = st.sampled_from([1, 2, 3, 4]).map(SECOND.__mul__)
    return st.tuples(st.builds(Absence, st.just("t"), told, silences, COOLDOWNS))


@given(any_settings(any_absences()), any_samples(), DEEDS)
def test_they_agree_on_what_did_not_come(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(heartbeats()), steady_samples(), DEEDS)
def test_they_agree_on_heartbeats(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)
