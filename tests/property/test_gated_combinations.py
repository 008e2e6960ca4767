"""Combinations and members behind gates: a process that dies, restores and trims tells what one that lives on tells."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.gates import Gated
from tests.oracle.oracle import Incoming, Outcome, Rule, Settings
from tests.oracle.product import Worker, plan_of
from tests.oracle.rule_combination import AllAtOnce, AllWithin, AnyOf, Combination
from tests.oracle.rule_each import Each
from tests.property.oracle_world import (
    COOLDOWNS,
    DEEDS,
    SECOND,
    SECONDS,
    Deed,
    Sample,
    agree,
    any_samples,
    any_settings,
    file_of,
    live,
    observed,
    records_of,
    steady_samples,
)
from tests.property.test_combination_oracle import CONDITIONS, lasting, members

KINDS: Sequence[type[Combination]] = (AnyOf, AllWithin, AllAtOnce, AllAtOnce)
LIMITS = st.sampled_from(["", "", "", "1/hour", "2/5000ms", "1/3000ms"])
SAMPLES = st.sampled_from([100, 100, 100, 50])


@st.composite
def gated(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Members that another trigger, or a limit, keeps quiet at times; a combination of them that these keep quiet, too."""
    kind = draw(st.sampled_from(KINDS))
    own = [draw((lasting if kind is AllAtOnce else members)(name)) for name in "mn"]
    within = {"within": draw(SECONDS)} if kind is AllWithin else {}
    guard = Gated("guard", Each("guard", draw(CONDITIONS), draw(st.sampled_from([SECOND, 3 * SECOND]))))
    combination = kind("both", tuple(own), draw(COOLDOWNS), **within)
    return guard, *(draw(behind_gates(rule)) for rule in (*own, combination))


@st.composite
def behind_gates(draw: st.DrawFn, rule: Rule) -> Gated:
    inhibitors = draw(st.sampled_from([(), (), ("guard",)]))
    return Gated(rule.name, rule, inhibitors, limit=draw(LIMITS), sample=draw(SAMPLES))


@given(any_settings(gated()), steady_samples() | any_samples(), DEEDS)
def test_what_is_skipped_survives_what_happens_to_the_process(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    def undisturbed(settings: Settings, told: Sequence[Incoming]) -> Outcome:
        worker = Worker(plan_of(file_of(settings)), list(records_of(samples)))
        live(worker, (), bounded=settings.bounded)
        return observed(worker)

    agree(settings, samples, deeds, undisturbed)
