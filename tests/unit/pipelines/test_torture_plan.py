"""The seed decides which faults come; what cannot be struck is refused."""

from __future__ import annotations

from collections import Counter
from statistics import mean

import pytest

from penstock.operators.error import Rejected
from penstock.pipelines.torture_plan import KINDS, chosen, plan, possible

CYCLES = 200
SECONDS_MEAN_MAX = 8.0


def test_the_same_seed_makes_the_same_plan() -> None:
    one, same, other = (plan(seed, 50, possible(3)) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("brokers", [0, 1, 3])
def test_every_kind_comes_and_a_cycle_takes_no_longer_than_it_may(brokers: int) -> None:
    cycles = plan(1, CYCLES, possible(brokers))
    counts = Counter(strike.kind for cycle in cycles for strike in cycle.strikes)
    assert counts.keys() == set(possible(brokers))
    assert max(counts, key=counts.__getitem__) == "kill"
    assert mean(cycle.seconds for cycle in cycles) < SECONDS_MEAN_MAX


def test_brokers_are_struck_once_per_cycle_at_most() -> None:
    cycles = plan(1, CYCLES, possible(3))
    assert max(len(cycle.strikes) for cycle in cycles) == 2
    assert all(sum(KINDS[strike.kind].brokers > 0 for strike in cycle.strikes) <= 1 for cycle in cycles)


def test_somebody_elses_brokers_are_not_struck() -> None:
    assert not {"broker_kill", "broker_stop", "power"} & set(possible(0))
    assert set(possible(3)) - set(possible(1)) == {"broker_kill"}, "a single one that is killed is `power`"


def test_faults_can_be_chosen() -> None:
    assert chosen("kill, term", 1) == ["kill", "term"]
    assert chosen(None, 3) == list(KINDS)


@pytest.mark.parametrize(
    ("names", "brokers", "said"),
    [
        ("kill,earthquake", 1, "there is no fault 'earthquake' (write some of: kill, stop, "),
        ("power", 0, "power needs local brokers, at least 1"),
        ("broker_kill", 1, "broker_kill needs local brokers, at least 3"),
    ],
)
def test_what_cannot_be_struck_is_refused(names: str, brokers: int, said: str) -> None:
    with pytest.raises(Rejected) as refused:
        chosen(names, brokers)
    assert said in str(refused.value)
