from __future__ import annotations

import pytest

from penstock.connectors.lease import Lease
from penstock.connectors.port import Tenure


@pytest.fixture
def lease() -> Lease:
    """Of a session of ten seconds, three of which are margin. The group was asked at 100, and gave partition 1."""
    lease = Lease(10.0)
    lease.renew(100.0)
    lease.given(1, 100.0)
    return lease


def test_whoever_never_joined_may_do_nothing() -> None:
    lease = Lease(10.0)
    assert lease.left(1e9) == lease.left(0.0) == 0
    assert lease.tenure(0) is None


@pytest.mark.parametrize(("now", "left"), [(100.0, 7.0), (106.5, 0.5), (107.0, 0.0), (200.0, 0.0)])
def test_it_ends_a_margin_before_a_successor_may_begin(lease: Lease, now: float, left: float) -> None:
    assert lease.left(now) == pytest.approx(left)


def test_the_margin_of_a_short_session_is_a_part_of_it() -> None:
    lease = Lease(1.0)
    lease.renew(100.0)
    assert lease.left(100.0) == pytest.approx(0.7)


def test_an_older_answer_says_nothing_new(lease: Lease) -> None:
    lease.renew(105.0)
    assert lease.renew(103.0)
    assert lease.left(105.0) == pytest.approx(7.0)


def test_a_tenure_lasts_while_the_group_is_heard_in_time(lease: Lease) -> None:
    for at in (104.0, 110.9, 117.0):
        assert lease.renew(at)
    assert lease.tenure(1) == Tenure(since=100.0, confirmed=117.0)
    assert lease.tenure(2) is None


def test_a_tenure_begins_anew_when_the_lease_has_run_out_although_the_task_was_not_taken(lease: Lease) -> None:
    """Meanwhile somebody else may have had it, and given it back."""
    assert not lease.renew(107.0)
    assert lease.tenure(1) == Tenure(since=107.0, confirmed=107.0)


def test_a_tenure_ends_with_the_task_and_another_one_begins(lease: Lease) -> None:
    lease.renew(103.0)
    lease.taken(1)
    assert lease.tenure(1) is None
    lease.given(1, 104.0)
    assert lease.tenure(1) == Tenure(since=104.0, confirmed=103.0)


def test_whoever_leaves_the_group_has_no_lease(lease: Lease) -> None:
    lease.end()
    assert lease.left(100.0) == 0
    assert not lease.renew(101.0)
