"""Combinations and members behind gates: the product and a brute-force evaluator agree, whatever happens to the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.formula import Compare, Formula, Literal, Not, Span
from tests.oracle.gates import Gated, expect_gated
from tests.oracle.oracle import Rule, Settings
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_combination import AllAtOnce, AllWithin, AnyOf, Combination
from tests.oracle.rule_each import Each
from tests.oracle.rule_when import When
from tests.property.oracle_world import (
    DEEDS,
    LOUD,
    SECOND,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
    steady_samples,
)

KINDS: Sequence[type[Combination]] = (AnyOf, AllWithin, AllAtOnce, AllAtOnce)
LIMITS = st.sampled_from(["", "", "", "", "", "1/hour", "2/5000ms", "1/3000ms"])
SHORT = st.sampled_from([0, 0, 0, SECOND, 3 * SECOND])
OFTEN: st.SearchStrategy[Formula] = st.sampled_from([LOUD, Literal(True), Literal(True)])


def eager(name: str, *, episodic: bool) -> st.SearchStrategy[Rule]:
    """Members that have something to say as often as not."""
    spans = st.sampled_from([2 * SECOND, 3 * SECOND])
    counts = st.builds(lambda what, span: Compare(Span("count", what, span), ">=", Literal(1)), OFTEN, spans)
    whens = st.builds(When, st.just(name), counts, st.none(), SHORT, st.just(0), st.just(0))
    absences = st.builds(Absence, st.just(name), OFTEN, st.sampled_from([SECOND, 2 * SECOND]), SHORT)
    lasts = whens | whens | absences
    return lasts if episodic else lasts | st.builds(Each, st.just(name), OFTEN, SHORT, st.sampled_from([0, 0, SECOND]))


SAMPLES = st.sampled_from([100, 100, 50])


@st.composite
def gated(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Members that another trigger, or a limit, keeps quiet at times; a combination of them that these keep quiet, too, and one
    more trigger that the combination may keep quiet. The file has them in any order."""
    kind = draw(st.sampled_from(KINDS))
    own = [draw(eager(name, episodic=kind is AllAtOnce)) for name in "mn"]
    within = {"within": draw(st.sampled_from([3 * SECOND, 9 * SECOND]))} if kind is AllWithin else {}
    guard = Gated("guard", Each("guard", draw(st.sampled_from([Not(LOUD), LOUD])), draw(SHORT)))
    combination = kind("both", tuple(own), draw(SHORT), **within)
    after = Gated("after", Each("after", draw(OFTEN), draw(SHORT)), ("both",))
    rules = [guard, after, *(draw(behind_gates(rule)) for rule in (*own, combination))]
    order = draw(st.permutations(rules))
    return tuple(_with_members(rule, order) for rule in order)


def _with_members(rule: Gated, order: Sequence[Gated]) -> Gated:
    """The members of a combination in the order of the file."""
    if not isinstance(rule.rule, Combination):
        return rule
    names = [each.name for each in order]
    own = sorted(rule.rule.members, key=lambda member: names.index(member.name))
    return replace(rule, rule=replace(rule.rule, members=tuple(own)))


@st.composite
def behind_gates(draw: st.DrawFn, rule: Rule) -> Gated:
    inhibitors = draw(st.sampled_from([(), (), ("guard",), ("guard",)]))
    return Gated(rule.name, rule, inhibitors, limit=draw(LIMITS), sample=draw(SAMPLES))


@given(any_settings(gated()), steady_samples() | any_samples(), DEEDS)
def test_they_agree_on_combinations_behind_gates(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    expected = expect_gated(settings, [sample.told for sample in samples])
    for kind in {each.edge.trigger for each in expected.skipped} & {"both", "m", "n", "after"}:
        event(f"{kind} is skipped")
    event(f"both fires: {any(each.trigger == 'both' for each in expected.firings)}")
    agree(settings, samples, deeds, expect_gated)
