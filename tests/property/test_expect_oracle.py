"""The product and a brute-force evaluator agree on keys that are expected because a table has a row of them."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Literal
from tests.oracle.gates import Gated, expect_gated
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_parted import Parted
from tests.property.oracle_conditions import of_event
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    LOUD,
    SECONDS,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
    steady_samples,
    with_rows,
)
from tests.property.test_gates_oracle import fitting, grouped_samples


@cache
def any_absences() -> SearchStrategy[tuple[Rule, ...]]:
    """One of them expects the hosts of the table, the other may."""
    conditions = st.sampled_from([Literal(True), LOUD]) | of_event()
    expecting = st.builds(Absence, st.just("a"), conditions, SECONDS, COOLDOWNS, st.just(True))
    other = st.builds(Absence, st.just("b"), conditions, SECONDS, COOLDOWNS, st.booleans())
    return st.tuples(expecting) | st.tuples(expecting, other)


@cache
def of_a_source() -> SearchStrategy[tuple[Rule, ...]]:
    """What they see of a key is a group of it; another one sees the whole, or another group, of the same hosts."""
    conditions = st.sampled_from([Literal(True), LOUD]) | of_event()
    expecting = st.builds(Absence, st.just("a"), conditions, SECONDS, COOLDOWNS, st.just(True))
    other = st.builds(Absence, st.just("b"), conditions, SECONDS, COOLDOWNS, st.booleans())
    seen = st.builds(Parted, expecting, st.none(), st.just("in"))
    beside = other | st.builds(Parted, other, st.none(), st.just("in"))
    return st.tuples(seen) | st.tuples(seen, beside) | st.tuples(beside, seen)


@cache
def taking_late() -> SearchStrategy[tuple[Rule, ...]]:
    conditions = st.sampled_from([Literal(True), LOUD])
    names = st.just("a")
    expecting = st.builds(Absence, names, conditions, SECONDS, COOLDOWNS, st.just(True))
    late = st.builds(Gated, names, expecting, late=st.just(True))
    other = st.builds(Absence, st.just("b"), conditions, SECONDS, COOLDOWNS, st.just(True))
    return st.tuples(late) | st.tuples(late, st.builds(Gated, st.just("b"), other, late=st.booleans()))


@given(any_settings(any_absences()), with_rows(any_samples() | steady_samples()), DEEDS)
def test_they_agree_on_keys_that_a_table_expects(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(of_a_source()), with_rows(any_samples() | steady_samples()), DEEDS)
def test_they_agree_on_what_a_table_expects_of_some_sources(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds)


@given(fitting(taking_late(), late=True), with_rows(any_samples() | grouped_samples()), DEEDS)
def test_they_agree_on_what_is_expected_and_may_be_late(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds, expect_gated)
