"""The product and a brute-force evaluator agree on every firing, its time, its cause and its values.

Whatever the batches, the commits, the snapshots and the restarts between two records were.
"""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Both, Compare, Formula, Literal, Named, Not, Span
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_each import Each
from tests.oracle.rule_every import Every
from tests.oracle.rule_when import When
from tests.property.oracle_conditions import mixed, of_event
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    LOUD,
    SECOND,
    SECONDS,
    WAITS,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
    steady_samples,
)


@cache
def whens(name: str) -> SearchStrategy[When]:
    """A condition without a past needs `until` or a wait."""
    untils = st.none() | mixed() | of_event()
    of_the_past = st.builds(When, st.just(name), mixed(), untils, COOLDOWNS, WAITS, WAITS)
    until = st.builds(When, st.just(name), of_event(), mixed() | of_event(), COOLDOWNS, WAITS, WAITS)
    waits = st.builds(When, st.just(name), of_event(), untils, COOLDOWNS, SECONDS, WAITS)
    keeps = st.builds(When, st.just(name), of_event(), untils, COOLDOWNS, WAITS, SECONDS)
    return st.one_of(of_the_past, of_the_past, of_the_past, until, waits, keeps)


@st.composite
def any_rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    kinds = draw(st.lists(st.sampled_from([Each, When, When, Every]), min_size=1, max_size=3))
    found: list[Rule] = []
    for number, kind in enumerate(kinds):
        name = f"t{number}"
        if kind is Each:
            found.append(Each(name, draw(of_event()), draw(COOLDOWNS), draw(WAITS)))
        elif kind is When:
            found.append(draw(whens(name)))
        else:
            found.append(Every(name, draw(st.integers(1, 7)) * SECOND))
    return tuple(found)


@cache
def waiting_rules() -> SearchStrategy[tuple[Rule, ...]]:
    """One trigger that waits, over conditions that are true, false and unknown in turns."""
    told: SearchStrategy[Formula] = st.sampled_from([LOUD, Not(LOUD), Named("loud", LOUD)])
    some = Compare(Span("count", Literal(True), 2 * SECOND), ">=", Literal(1))
    condition = told | st.builds(Both, told, st.just("&&"), st.just(some))
    until = st.none() | condition
    cooldown, wait = (st.sampled_from(lengths).map(SECOND.__mul__) for lengths in ([0, 3, 9, 20], [1, 2, 3, 5]))
    whens = (
        st.builds(When, st.just("t"), condition, until, cooldown, wait, st.just(0) | wait),
        st.builds(When, st.just("t"), condition, until, cooldown, st.just(0), wait),
    )
    return st.tuples(st.one_of(*whens, st.builds(Each, st.just("t"), told, cooldown, wait)))


@given(any_settings(any_rules()), any_samples(), DEEDS)
def test_the_product_agrees_with_the_oracle(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(waiting_rules()), steady_samples(), DEEDS)
def test_they_agree_on_what_waits(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)
