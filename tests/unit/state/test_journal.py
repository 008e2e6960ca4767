"""What must hold of a log, and how much of it is still needed."""

from __future__ import annotations

import pytest

from penstock.operators.error import Damaged
from penstock.state.delta import Bucket, Delta, EntryKind, Header
from penstock.state.journal import Images, Journal


def delta(seq: int, incarnation: int = 1, kind: EntryKind = "delta", sent: dict[str, int] | None = None) -> Delta:
    return Delta(header=Header(seq=seq, incarnation=incarnation, kind=kind, sent=sent or {}))


def image(seq: int, index: int = 0, of: int = 1) -> Bucket:
    return Bucket(index=index, of=of, seq=seq)


def restored(*deltas: Delta) -> Journal:
    """Each delta at the offset of its seq times 10."""
    journal = Journal("dev.x.log", 3)
    for each in deltas:
        journal.restored(each, each.header.incarnation, 10 * each.header.seq)
    return journal


def open_journal() -> Journal:
    journal = restored()
    journal.end_of_log(0)
    journal.confirmed(delta(0, kind="opened"), 0)
    return journal


def test_an_empty_log_begins_with_incarnation_one() -> None:
    journal = restored()
    journal.end_of_log(0)
    assert (journal.seq, journal.incarnation) == (-1, 0)
    journal.check(delta(0, 1, "opened"), [])


def test_restoring_learns_seq_incarnation_and_what_was_sent() -> None:
    journal = restored(delta(0, 1, "opened"), delta(1, 1), delta(2, 2, "opened"), delta(3, 2, sent={"results": 17}))
    assert (journal.seq, journal.incarnation, journal.sent) == (3, 2, {"results": 17})


def test_a_hole_in_seq_names_log_partition_expected_and_found() -> None:
    with pytest.raises(Damaged, match=r"dev\.x\.log/3@40: .*expected seq 2, found 4"):
        restored(delta(0, 1, "opened"), delta(1), delta(4))


def test_the_same_seq_twice_is_damage() -> None:
    with pytest.raises(Damaged, match="expected seq 2, found 1"):
        restored(delta(0, 1, "opened"), delta(1), delta(1))


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(delta(3, 1), id="an older incarnation"),
        pytest.param(delta(3, 3), id="a newer one that did not open"),
        pytest.param(delta(3, 2, "opened"), id="one that opened twice"),
    ],
)
def test_two_writers_at_the_same_time_are_damage(late: Delta) -> None:
    with pytest.raises(Damaged, match="two processes wrote at the same time"):
        restored(delta(0, 1, "opened"), delta(1, 1), delta(2, 2, "opened"), late)


def test_an_image_stands_behind_the_delta_that_it_belongs_to() -> None:
    journal = restored(delta(0, 1, "opened"), delta(1))
    journal.restored(image(1), 1, 11)
    with pytest.raises(Damaged, match="as of seq 0 stands behind seq 1"):
        journal.restored(image(0), 1, 12)


def test_a_log_whose_beginning_is_gone_needs_an_image_of_every_bucket() -> None:
    journal = restored(delta(5), delta(6), delta(7))
    journal.restored(image(7, 0, 2), 1, 71)
    with pytest.raises(Damaged, match=r"begins at seq 5.*unlimited retention"):
        journal.end_of_log(50)
    journal.restored(image(7, 1, 2), 1, 72)
    journal.end_of_log(50)


def test_a_log_that_was_emptied_by_others_is_no_new_log() -> None:
    with pytest.raises(Damaged, match="everything before offset 9 is gone"):
        restored().end_of_log(9)


def test_committing_out_of_order_is_a_bug_of_the_caller() -> None:
    journal = open_journal()
    journal.check(delta(1), [image(1)])
    for wrong, images in [(delta(2), []), (delta(1, 2), []), (delta(1, 1, "opened"), []), (delta(1), [image(0)])]:
        with pytest.raises(RuntimeError, match=r"dev\.x\.log/3"):
            journal.check(wrong, images)


def test_a_log_is_opened_before_anything_else_is_committed() -> None:
    journal = restored(delta(0, 1, "opened"))
    for wrong in (delta(1, 1), delta(1, 2), delta(1, 1, "opened"), delta(1, 3, "opened")):
        with pytest.raises(RuntimeError, match="opened"):
            journal.check(wrong, [])
    journal.check(delta(1, 2, "opened"), [])


def test_nothing_is_trimmed_before_every_bucket_has_an_image() -> None:
    journal = open_journal()
    journal.confirmed(delta(1), 10, [image(1, 0, 2)])
    journal.confirmed(delta(2), 20, [image(2, 0, 2)])
    assert journal.trim_to() is None
    journal.confirmed(delta(3), 30, [image(3, 1, 2)])
    assert journal.trim_to() == 20


def test_each_trimming_is_asked_for_once() -> None:
    journal = open_journal()
    journal.confirmed(delta(1), 10, [image(1)])
    assert journal.trim_to() == 10
    assert journal.trim_to() is None
    journal.confirmed(delta(2), 20)
    assert journal.trim_to() is None


def test_the_last_delta_is_kept_with_its_images() -> None:
    journal = open_journal()
    journal.confirmed(delta(1), 10, [image(1, 0, 2), image(1, 1, 2)])
    assert journal.trim_to() == 10


def test_images_met_while_restoring_count() -> None:
    journal = restored(delta(4, 1, "opened"))
    journal.restored(image(4, 0, 2), 1, 41)
    journal.restored(delta(5), 1, 50)
    journal.restored(image(5, 1, 2), 1, 51)
    journal.end_of_log(40)
    assert journal.trim_to() is None
    journal.confirmed(delta(6, 2, "opened"), 60, [image(6, 0, 2)])
    assert journal.trim_to() == 50


#            offset   10      20      30      40
#      image        0/1     1/2     0/4     2/4
#    covers 0        ■               ■               30
#           1        ■       ■                       20
#           2        ■                       ■       40
#           3        ■       ■                       20 ◀ oldest
def test_an_image_covers_the_buckets_that_its_own_was_split_into() -> None:
    images = Images()
    for index, of, offset, oldest in [(0, 1, 10, 10), (1, 2, 20, 10), (0, 4, 30, 10), (2, 4, 40, 20)]:
        assert images.add(index, of, offset)
        assert images.oldest == oldest


def test_an_image_of_a_coarser_cut_covers_all_its_parts() -> None:
    images = Images()
    assert [images.add(index, 4, 10) for index in range(4)] == [True] * 4
    assert images.add(0, 2, 20)
    assert images.oldest == 10
    assert images.add(1, 2, 30)
    assert images.oldest == 20


def test_a_cut_that_is_no_multiple_fits_none_of_the_others() -> None:
    images = Images()
    assert images.add(1, 4, 10)
    assert not images.add(0, 3, 20)
    assert not images.add(0, 6, 20)
    assert not images.add(4, 4, 20)
