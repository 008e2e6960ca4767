"""`late: correct`: the product and the brute-force evaluator agree on what is corrected, and how, in any disorder.

Whatever the batches, the commits, the snapshots and the restarts between two records were, and whatever is forgotten.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.formula import Both, Compare, Field, Formula, Literal, Named, Not, Span
from tests.oracle.oracle import Incoming, Rule, Settings
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_correct import Correct
from tests.oracle.rule_parted import Parted
from tests.oracle.rule_when import When
from tests.property.oracle_conditions import mixed
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
    any_settings,
)

FAILURES = Named("failures", Span("count", FAILED, 5 * SECOND))
MANY = Compare(FAILURES, ">=", Literal(2))
FEW = Compare(FAILURES, "<", Literal(2))
CALM = Both(MANY, "&&", Compare(Span("count", LOUD, 3 * SECOND), "<", Literal(1)))
SPENT = Compare(Span("sum", Field("v"), 6 * SECOND, FAILED), ">", Compare(FAILURES, ">=", Literal(1)).left)
ABOVE = Compare(Span("max", Field("v"), 4 * SECOND), ">", Field("v"))
OFTEN = Both(Named("failed", FAILED), "&&", Compare(Span("avg", Field("v"), 5 * SECOND), ">", Literal(1)))


LATENESS = st.sampled_from([1, 3, 9, 20]).map(lambda seconds: seconds * SECOND)


@st.composite
def disordered_samples(draw: st.DrawFn) -> list[Sample]:
    """Time goes on, and every other event belongs before others that were fed. Each draw is as likely as any other: left to
    itself, Hypothesis prefers the dull ones, in which nothing is corrected."""
    chance = draw(st.randoms(use_true_random=True))
    samples, time = [], draw(st.sampled_from([0, -15 * SECOND, 1_795_166_047 * SECOND]))
    for offset in range(draw(st.integers(6, 20))):
        time += SECOND * chance.choice([0, 1, 1, 2, 5])
        at = time - SECOND * chance.choice([0, 0, 0, 0, 1, 2, 3, 4, 6, 9])
        fields: dict[str, Any] = {"x": chance.choice("aaab"), "v": chance.choice([0, 1, 2, 3, 0.1, "s"])}
        told = Incoming(chance.choice("kkkkkz"), at, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": at} | fields).encode(), told))
    return samples


@cache
def whens(name: str) -> st.SearchStrategy[When]:
    of_past: st.SearchStrategy[Formula] = st.sampled_from([MANY, MANY, FEW, CALM, SPENT, ABOVE, OFTEN, Not(MANY)])
    untils: st.SearchStrategy[Formula | None] = st.sampled_from([None, None, Not(FAILED), FEW])
    names = st.just(name)
    known = st.builds(When, names, of_past, untils, COOLDOWNS, WAITS, WAITS)
    busy = st.builds(When, names, st.sampled_from([MANY, OFTEN]), st.just(Literal(True)), st.just(0))
    return st.one_of(known, known, busy, st.builds(When, names, mixed(), untils, COOLDOWNS, WAITS, WAITS))


@cache
def absences(name: str) -> st.SearchStrategy[Absence]:
    silences = st.sampled_from([2 * SECOND, 3 * SECOND, 5 * SECOND])
    return st.builds(Absence, st.just(name), st.sampled_from([FAILED, LOUD, Not(FAILED)]), silences, COOLDOWNS)


@st.composite
def correcting(draw: st.DrawFn, rules: st.SearchStrategy[When | Absence]) -> Settings:
    """One that corrects, perhaps in parts, and perhaps one beside it that sees no late events."""
    settings = replace(draw(any_settings(st.tuples(rules))), lateness=draw(LATENESS))
    [rule] = settings.rules
    assert isinstance(rule, When | Absence)
    own: Rule = Correct(rule, settings.lateness)
    if draw(st.sampled_from([False, False, True])):
        own = Parted(own, draw(st.sampled_from([Field("v"), LOUD])))
    beside: tuple[Rule, ...] = draw(st.sampled_from([(), (Absence("beside", FAILED, 3 * SECOND),)]))
    return replace(settings, rules=(own, *beside))


@given(correcting(whens("t0")), disordered_samples(), DEEDS)
def test_they_agree_on_how_conditions_are_corrected(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds)


@given(correcting(absences("t0")), disordered_samples(), DEEDS)
def test_they_agree_on_silences_that_are_withdrawn(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds)
