"""The product and a brute-force evaluator agree on what stands between edges and runs, whatever happens to the process."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.formula import Compare, Formula, Literal, Not, Span
from tests.oracle.gates import Gated, expect_gated
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_each import Each
from tests.oracle.rule_every import Every
from tests.oracle.rule_when import When
from tests.property.oracle_conditions import of_event
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
    steady_samples,
)
from tests.property.test_trigger_oracle import whens

SOON = Compare(Span("count", Literal(True), 3 * SECOND), ">=", Literal(2))
CONDITIONS: st.SearchStrategy[Formula] = st.sampled_from([LOUD, LOUD, FAILED, Not(LOUD)])


@st.composite
def any_rule(draw: st.DrawFn, name: str) -> Rule:
    kind = draw(st.sampled_from([Each, Each, When, When, When, Every]))
    if kind is Each:
        return Each(name, draw(CONDITIONS), draw(COOLDOWNS), draw(WAITS))
    if kind is Every:
        return Every(name, draw(st.integers(1, 5)) * SECOND)
    over = draw(st.none() | CONDITIONS)
    if draw(st.booleans()):
        return When(name, SOON, over, draw(COOLDOWNS), draw(WAITS), draw(WAITS))
    return When(name, draw(CONDITIONS), over, draw(COOLDOWNS), draw(SECONDS), draw(WAITS))


@st.composite
def inhibited(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Two to four triggers, each perhaps inhibited by some of those before it; the file has them in any order."""
    names = [f"t{number}" for number in range(draw(st.integers(2, 4)))]
    others = [st.just(())] + [st.lists(st.sampled_from(names[:place]), unique=True) for place in range(1, len(names))]
    shares = st.sampled_from([100, 100, 100, 50])
    limits = st.sampled_from(["", "", "1/hour", "2/month", "1/3000ms", "2/5000ms", "1/week"])
    rules = [
        Gated(name, draw(any_rule(name)), tuple(draw(chosen)), limit=draw(limits), sample=draw(shares))
        for name, chosen in zip(names, others, strict=True)
    ]
    return tuple(draw(st.permutations(rules)))


@st.composite
def taking_late(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Triggers over the same spans and the same last event, of which some take late events."""
    rules: list[Rule] = []
    for number in range(draw(st.integers(1, 3))):
        name = f"t{number}"
        kind = draw(st.sampled_from([Each, When, When, Every]))
        if kind is Every:
            rules.append(Gated(name, Every(name, 3 * SECOND)))
        elif kind is Each:
            rule = Each(name, draw(of_event()), draw(COOLDOWNS), draw(WAITS))
            limit = draw(st.sampled_from(["", "", "1/hour", "1/2000ms", "2/4000ms"]))
            rules.append(Gated(name, rule, late=draw(st.booleans()), limit=limit))
        else:
            rules.append(Gated(name, draw(whens(name)), late=draw(st.booleans())))
    return tuple(rules)


@given(any_settings(inhibited()), steady_samples() | any_samples(), DEEDS)
def test_they_agree_on_who_inhibits_whom(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds, expect_gated)


@given(any_settings(taking_late()), any_samples(), DEEDS)
def test_they_agree_on_who_sees_what_is_late(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(replace(settings, lateness=settings.lateness % (3 * SECOND)), samples, deeds, expect_gated)
