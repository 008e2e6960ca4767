from __future__ import annotations

import pytest

from penstock.operators.error import Declined
from penstock.pipelines.deference import DEFER_FIRST, DEFER_LONGEST, Deference
from penstock.state.delta import Header

OURS, THEIRS = "sha256:" + "a" * 64, "sha256:" + "b" * 64
STARTED = 1_795_000_000_000


def header(definition: str = THEIRS, started: int = STARTED + 1, seq: int = 100) -> Header:
    """The last header of a log."""
    return Header(seq=seq, incarnation=8, owner="worker-3", definition=definition, started=started)


def declined(deference: Deference, last: Header | None) -> float | None:
    """For how long, if so."""
    try:
        deference.look_at(last, "task dev.watch/0")
    except Declined as error:
        return error.seconds
    return None


@pytest.mark.parametrize(
    "last",
    [None, header(OURS), header(started=STARTED), header(started=STARTED - 1), header(started=0)],
    ids=["an empty log", "our definition", "started together", "started before us", "an older version"],
)
def test_a_task_is_taken_unless_a_newer_process_worked_on_it_by_another_definition(last: Header | None) -> None:
    assert declined(Deference(OURS, STARTED), last) is None


def test_a_task_of_a_newer_deployment_is_left_alone_with_a_sentence_that_says_why() -> None:
    with pytest.raises(Declined) as declination:
        Deference(OURS, STARTED).look_at(header(), "task dev.watch/0")
    assert str(declination.value) == (
        "task dev.watch/0: worker-3, started at 2026-11-18T11:06:40.001Z, has worked on it by another definition, "
        "sha256:bbbbbbbbbbbb; this process was started before that and leaves it alone for 30 s"
    )


def test_where_nothing_was_written_since_nobody_works_and_it_is_taken() -> None:
    deference = Deference(OURS, STARTED)
    assert declined(deference, header(seq=100)) == DEFER_FIRST
    assert declined(deference, header(seq=100)) is None


def test_where_they_go_on_it_is_left_alone_for_longer_and_longer() -> None:
    deference = Deference(OURS, STARTED)
    waits = [declined(deference, header(seq=number)) for number in range(7)]
    assert waits == [DEFER_FIRST * factor for factor in (1, 2, 4, 8, 16)] + [DEFER_LONGEST] * 2


def test_patience_does_not_begin_anew_when_the_task_was_ours_in_between() -> None:
    deference = Deference(OURS, STARTED)
    waits = [declined(deference, last) for last in (header(seq=1), header(seq=1), header(OURS, seq=2), header(seq=3))]
    assert waits == [DEFER_FIRST, None, None, 2 * DEFER_FIRST]
