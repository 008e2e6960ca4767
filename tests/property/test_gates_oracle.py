"""The product and a brute-force evaluator agree on what stands between edges and runs, whatever happens to the process."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.formula import Compare, Field, Formula, Literal, Not, Span
from tests.oracle.gates import Gated, expect_gated
from tests.oracle.oracle import Incoming, Rule, Settings
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_anomaly import Anomaly
from tests.oracle.rule_each import Each
from tests.oracle.rule_every import Every
from tests.oracle.rule_parted import Parted
from tests.oracle.rule_sequence import InSequence, Never, Takes
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
QUIET, ANY, G = Not(LOUD), Literal(True), Field("g")
CONDITIONS: st.SearchStrategy[Formula] = st.sampled_from([LOUD, LOUD, FAILED, Not(LOUD)])


def patient(name: str, cooldowns: st.SearchStrategy[int] = COOLDOWNS) -> st.SearchStrategy[Rule]:
    """Rules that wait for the watermark, or for the next events: as often as not they have something to say."""
    names = st.just(name)
    steps = st.sampled_from([(Takes(LOUD), Takes(QUIET)), (Takes(LOUD), Takes(LOUD)), (Takes(QUIET), Takes(LOUD))])
    guarded = st.sampled_from([(Takes(LOUD), Never(QUIET, 2 * SECOND)), (Takes(QUIET), Never(LOUD, 3 * SECOND))])
    arrival = st.booleans()
    sequences = st.builds(InSequence, names, steps, SECONDS, cooldowns, arrival=arrival)
    silent = st.builds(InSequence, names, guarded, SECONDS, cooldowns, arrival=arrival)
    absences = st.builds(Absence, names, st.sampled_from([LOUD, QUIET, ANY]), SECONDS, cooldowns)
    calm = st.builds(
        Anomaly, names, st.just("ewma"), st.just(1.0), st.just(2), st.just(2), st.just(0), st.none(), cooldowns
    )
    return st.one_of(sequences, silent, absences, absences, calm)


@st.composite
def any_rule(draw: st.DrawFn, name: str) -> Rule:
    kind = draw(st.sampled_from([Each, Each, When, When, When, Every, None, None, None]))
    if kind is None:
        return draw(patient(name))
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
    rules = {name: draw(any_rule(name)) for name in _names(draw)}
    return draw(gated(rules))


@st.composite
def inhibited_in_parts(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Triggers that see whole keys and such that see parts of them, by the same and by different expressions."""
    bys = st.sampled_from([None, G, G, G, Field("v")])
    seen = {name: draw(any_rule(name)) for name in _names(draw)}
    rules: dict[str, Rule] = {
        name: Parted(rule, draw(bys)) if not isinstance(rule, Every) else rule for name, rule in seen.items()
    }
    return draw(gated(rules))


def _names(draw: st.DrawFn) -> list[str]:
    return [f"t{number}" for number in range(draw(st.integers(2, 4)))]


@st.composite
def gated(draw: st.DrawFn, rules: dict[str, Rule], late: bool = False) -> tuple[Rule, ...]:
    names = list(rules)
    others = [st.just(())] + [st.lists(st.sampled_from(names[:place]), unique=True) for place in range(1, len(names))]
    shares = st.sampled_from([100, 100, 100, 50])
    limits = st.sampled_from(["", "", "1/hour", "2/month", "1/3000ms", "2/5000ms", "1/week"])
    lates = st.booleans() if late else st.just(False)
    stand = [
        Gated(
            name,
            rules[name],
            tuple(draw(chosen)),
            draw(lates) and _may_be_late(rules[name]),
            draw(limits),
            draw(shares),
        )
        for name, chosen in zip(names, others, strict=True)
    ]
    return tuple(draw(st.permutations(stand)))


def _may_be_late(rule: Rule) -> bool:
    """Schedules do not know the word; a silence that was told before would be told again."""
    own = rule.rule if isinstance(rule, Parted) else rule
    waits = isinstance(own, InSequence) and own.last is not None and not own.arrival
    return not isinstance(own, Every) and not waits


def fitting(rules: st.SearchStrategy[tuple[Rule, ...]], *, late: bool = False) -> st.SearchStrategy[Settings]:
    """Keys are remembered for as long as an event may be late, as a `not` at the end needs it."""

    def fit(settings: Settings) -> Settings:
        lateness = settings.lateness % (3 * SECOND) if late else settings.lateness
        forget = None if settings.forget is None else max(settings.forget, lateness)
        return replace(settings, lateness=lateness, forget=forget)

    return any_settings(rules).map(fit)


@st.composite
def taking_late(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Triggers over the same spans and the same last event, of which some take late events."""
    rules: list[Rule] = []
    for number in range(draw(st.integers(1, 3))):
        name = f"t{number}"
        kind = draw(st.sampled_from([Each, When, When, Every, None]))
        if kind is None:
            rule = draw(patient(name))
            rules.append(Gated(name, rule, late=draw(st.booleans()) and _may_be_late(rule)))
        elif kind is Every:
            rules.append(Gated(name, Every(name, 3 * SECOND)))
        elif kind is Each:
            each = Each(name, draw(of_event()), draw(COOLDOWNS), draw(WAITS))
            limit = draw(st.sampled_from(["", "", "1/hour", "1/2000ms", "2/4000ms"]))
            rules.append(Gated(name, each, late=draw(st.booleans()), limit=limit))
        else:
            rules.append(Gated(name, draw(whens(name)), late=draw(st.booleans())))
    return tuple(rules)


@st.composite
def late_and_inhibited(draw: st.DrawFn) -> tuple[Rule, ...]:
    bys = st.sampled_from([None, None, G])
    seen = {name: draw(any_rule(name)) for name in _names(draw)}
    rules: dict[str, Rule] = {
        name: Parted(rule, by) if (by := draw(bys)) is not None and not isinstance(rule, Every) else rule
        for name, rule in seen.items()
    }
    return draw(gated(rules, late=True))


@st.composite
def held_back(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Fires often, and has a cooldown that a skipped firing must not begin: another trigger, or a limit, is in its way."""
    cooldown = draw(SECONDS)
    short = st.sampled_from([SECOND, 2 * SECOND])
    whens = st.builds(When, st.just("t0"), st.just(LOUD), st.none(), st.just(cooldown), short, WAITS)
    rule = draw(
        whens
        | st.builds(Each, st.just("t0"), st.just(LOUD), st.just(cooldown), WAITS)
        | patient("t0", st.just(cooldown))
    )
    guard = Each("guard", Compare(G, "==", Literal("b")), draw(SECONDS))
    limit = draw(st.sampled_from(["", "", "1/3000ms", "1/5000ms"]))
    return Gated("t0", rule, draw(st.sampled_from([("guard",), ("guard",), ()])), limit=limit), Gated("guard", guard)


@st.composite
def grouped_samples(draw: st.DrawFn) -> list[Sample]:
    """Parts take turns, often at one instant; time goes on, mostly, and sometimes goes far back."""
    samples, time = [], 0
    for offset in range(draw(st.integers(4, 14))):
        time += SECOND * draw(st.sampled_from([0, 0, 1, 1, 2, 3, -1]))
        at = time - SECOND * draw(st.sampled_from([0, 0, 0, 0, 3, 6]))
        fields = {"v": draw(st.sampled_from([0, 2, 2])), "g": draw(st.sampled_from(["a", "b", "b", 1]))}
        told = Incoming(draw(st.sampled_from("kkkz")), at, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": at} | fields).encode(), told))
    return samples


@given(fitting(inhibited()), steady_samples() | any_samples(), DEEDS)
def test_they_agree_on_who_inhibits_whom(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds, expect_gated)


@given(fitting(held_back()), grouped_samples(), DEEDS)
def test_they_agree_on_what_a_skipped_firing_leaves_behind(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds, expect_gated)


@given(fitting(inhibited_in_parts()), grouped_samples(), DEEDS)
def test_they_agree_on_who_inhibits_whom_in_parts_of_keys(
    settings: Settings, samples: list[Sample], deeds: list[Deed]
) -> None:
    agree(settings, samples, deeds, expect_gated)


@given(fitting(late_and_inhibited(), late=True), grouped_samples(), DEEDS)
def test_they_agree_on_what_is_late_and_inhibited(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds, expect_gated)


@given(fitting(taking_late(), late=True), any_samples(), DEEDS)
def test_they_agree_on_who_sees_what_is_late(settings: Settings, samples: list[Sample], deeds: list[Deed]) -> None:
    agree(settings, samples, deeds, expect_gated)
