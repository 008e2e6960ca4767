"""The product and a brute-force evaluator agree on what `any` and `all` make of what their members do."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Compare, Formula, Literal, Named, Span
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_combination import AllAtOnce, AllWithin, AnyOf, Combination
from tests.oracle.rule_each import Each
from tests.oracle.rule_when import When
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    FAILED,
    LOUD,
    SECOND,
    WAITS,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
    steady_samples,
)

CONDITIONS: SearchStrategy[Formula] = st.sampled_from([FAILED, LOUD, Literal(True), Named("loud", LOUD), Literal(True)])
SPANS = st.sampled_from([2, 3, 5]).map(SECOND.__mul__)


@cache
def lasting(name: str) -> SearchStrategy[Rule]:
    """Kinds that begin an episode."""
    counts = st.builds(lambda what, span, least: Compare(Span("count", what, span), ">=", Literal(least)), CONDITIONS,
                       SPANS, st.sampled_from([1, 1, 2]))  # fmt: skip
    whens = st.builds(When, st.just(name), counts, st.none(), COOLDOWNS, WAITS, WAITS)
    return whens | whens | st.builds(Absence, st.just(name), CONDITIONS, SPANS, COOLDOWNS)


@cache
def members(name: str) -> SearchStrategy[Rule]:
    return st.builds(Each, st.just(name), CONDITIONS, COOLDOWNS, WAITS) | lasting(name)


def with_members(rules: tuple[Rule, ...]) -> SearchStrategy[tuple[Rule, ...]]:
    """Combinations stand before, between and behind their members."""
    made = st.sampled_from([2, 4, 9, 20]).map(SECOND.__mul__)
    combinations: SearchStrategy[Combination] = st.builds(
        AnyOf, st.just("any_of"), st.just(rules), COOLDOWNS
    ) | st.builds(AllWithin, st.just("within"), st.just(rules), COOLDOWNS, made)
    return combinations.flatmap(lambda rule: st.permutations([rule, *rules]).map(_in_order))


def at_once(rules: tuple[Rule, ...]) -> SearchStrategy[tuple[Rule, ...]]:
    combination = st.builds(AllAtOnce, st.just("at_once"), st.just(rules), COOLDOWNS)
    return combination.flatmap(lambda rule: st.permutations([rule, *rules]).map(_in_order))


def _in_order(rules: list[Rule]) -> tuple[Rule, ...]:
    """The members of a combination in the order in which they stand in the file."""
    own = tuple(rule for rule in rules if not isinstance(rule, Combination))
    return tuple(_of(rule, own) if isinstance(rule, Combination) else rule for rule in rules)


def _of(rule: Combination, members: tuple[Rule, ...]) -> Combination:
    return type(rule)(**{**vars(rule), "members": members})


FIRINGS = st.sampled_from([("m", "n"), ("m", "n"), ("m", "n", "o")]).flatmap(
    lambda names: st.tuples(*map(members, names)).flatmap(with_members)
)
EPISODES = st.tuples(lasting("m"), lasting("n")).flatmap(at_once)


@given(any_settings(FIRINGS), steady_samples() | any_samples(), DEEDS)
def test_they_agree_on_firings(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)


@given(any_settings(EPISODES), steady_samples() | any_samples(), DEEDS)
def test_they_agree_on_episodes(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds)
