from __future__ import annotations

from random import Random

from penstock.pipelines.backoff import Backoff


def test_waits_are_drawn_below_a_ceiling_that_doubles_up_to_the_longest() -> None:
    highest = [0.0] * 8
    for seed in range(300):
        backoff = Backoff(Random(seed), first=1.0, longest=20.0)
        highest = [max(seen, backoff.draw()) for seen in highest]
    for seen, ceiling in zip(highest, [1, 2, 4, 8, 16, 20, 20, 20], strict=True):
        assert 0.9 * ceiling < seen <= ceiling


def test_after_a_good_while_waits_begin_small_again() -> None:
    backoff = Backoff(Random(1), first=0.1, longest=100.0)
    for _ in range(20):
        backoff.draw()
    backoff.reset()
    assert backoff.draw() <= 0.1


def test_two_that_were_thrown_back_together_do_not_come_back_together() -> None:
    one, other = Backoff(Random(1), first=1, longest=9), Backoff(Random(2), first=1, longest=9)
    assert [one.draw() for _ in range(5)] != [other.draw() for _ in range(5)]
