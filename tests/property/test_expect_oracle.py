"""The product and a brute-force evaluator agree on keys that are expected because a table has a row of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Literal
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_absence import Absence
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


def any_absences() -> SearchStrategy[tuple[Rule, ...]]:
    """One of them expects the hosts of the table, the other may."""
    conditions = st.sampled_from([Literal(True), LOUD]) | of_event()
    expecting = st.builds(Absence, st.just("a"), conditions, SECONDS, COOLDOWNS, st.just(True))
    other = st.builds(Absence, st.just("b"), conditions, SECONDS, COOLDOWNS, st.booleans())
    return st.tuples(expecting) | st.tuples(expecting, other)


@given(any_settings(any_absences()), with_rows(any_samples() | steady_samples()), DEEDS)
def test_they_agree_on_keys_that_a_table_expects(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)
