from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.pipelines.cadence import (
    COMMITS_PER_SECOND,
    EVENTS_WAIT_MAX,
    HEARTBEAT,
    IMAGE_BYTES_MAX,
    IMAGE_KEYS_MAX,
    IMAGE_PRICE,
    INTERVAL_MIN,
    TURN_PRICE_MIN,
    UNSAVED_BYTES_DUE,
    UNSAVED_BYTES_MAX,
    Cadence,
    PartialPace,
    Rotation,
    Waiting,
)

NOTHING = Waiting(dirty=False, urgent=False, size=0)
EVENTS = Waiting(dirty=True, urgent=False, size=100)
OUTCOME = Waiting(dirty=True, urgent=True, size=100)


def warm() -> Cadence:
    """A cadence that has seen the first commit of its session, which does not count."""
    cadence = Cadence(now=0.0)
    committed(cadence, 0.0, 7.0)
    return cadence


def committed(cadence: Cadence, began: float, seconds: float) -> None:
    cadence.began(began)
    cadence.ended(began + seconds)


def test_an_outcome_is_committed_at_once_when_the_last_commit_is_long_ago() -> None:
    cadence = warm()
    committed(cadence, 1.0, 0.004)
    assert cadence.wait(2.0, OUTCOME, tasks=1) <= 0


def test_the_first_commit_of_a_session_does_not_slow_down_the_next() -> None:
    cadence = Cadence(now=0.0)
    committed(cadence, 0.0, 2.0)
    assert cadence.interval(tasks=1) == INTERVAL_MIN


def test_an_outcome_right_after_a_commit_waits_for_three_times_the_time_that_commits_take() -> None:
    cadence = warm()
    committed(cadence, 10.0, 0.1)
    assert abs(cadence.wait(10.1, OUTCOME, tasks=1) - 0.2) < 1e-9


def test_events_alone_are_committed_half_a_second_after_the_first_of_them_was_seen() -> None:
    cadence = warm()
    assert cadence.wait(100.0, EVENTS, tasks=1) == EVENTS_WAIT_MAX
    assert cadence.wait(100.4, EVENTS, tasks=1) <= EVENTS_WAIT_MAX - 0.4 + 1e-9
    assert cadence.wait(100.5, EVENTS, tasks=1) <= 0


def test_half_a_second_begins_anew_with_the_first_event_after_a_commit() -> None:
    cadence = warm()
    cadence.wait(1.0, EVENTS, tasks=1)
    committed(cadence, 1.5, 0.004)
    assert cadence.wait(1.6, EVENTS, tasks=1) == EVENTS_WAIT_MAX


def test_many_unsaved_bytes_do_not_wait_for_half_a_second() -> None:
    cadence = warm()
    assert cadence.wait(1.0, EVENTS._replace(size=UNSAVED_BYTES_DUE), tasks=1) <= 0


def test_a_task_that_may_not_be_fed_before_its_next_commit_does_not_wait_to_spare_commits() -> None:
    cadence = warm()
    committed(cadence, 10.0, 0.1)
    assert cadence.wait(10.1, EVENTS._replace(size=UNSAVED_BYTES_MAX), tasks=1) <= 0


def test_an_idle_task_commits_once_an_hour() -> None:
    cadence = warm()
    committed(cadence, 5.0, 0.004)
    assert cadence.wait(5.0, NOTHING, tasks=1) == HEARTBEAT
    assert cadence.wait(5.0 + HEARTBEAT, NOTHING, tasks=1) <= 0


def test_all_tasks_of_a_process_share_the_commits_allowed_per_second() -> None:
    cadence = warm()
    assert cadence.interval(tasks=1) == INTERVAL_MIN
    assert cadence.interval(tasks=100) == 100 / COMMITS_PER_SECOND


def test_one_slow_commit_does_not_set_the_interval_for_ever() -> None:
    cadence = warm()
    committed(cadence, 0.0, 1.0)
    for second in range(1, 30):
        committed(cadence, float(second), 0.002)
    assert cadence.interval(tasks=1) < 0.1


def test_partials_come_half_as_often_each_time_down_to_every_two_seconds() -> None:
    pace = PartialPace(first=0.5, now=0.0)
    shown = [tenth / 10 for tenth in range(120) if pace.due(tenth / 10)]
    assert shown == [0.5, 1.5, 3.5, 5.5, 7.5, 9.5, 11.5]


def test_a_pace_that_is_slower_than_two_seconds_stays_as_it_was_asked_for() -> None:
    pace = PartialPace(first=5.0, now=0.0)
    assert [second for second in range(21) if pace.due(float(second))] == [5, 10, 15, 20]


def test_small_states_are_not_written_again_with_every_commit() -> None:
    rotation = Rotation(of_max=4096)
    rotation.delta_written(TURN_PRICE_MIN - 1)
    assert rotation.due() == []
    rotation.delta_written(1)
    assert rotation.due() == [0]


def test_a_bucket_is_written_again_when_the_deltas_since_then_have_paid_for_it() -> None:
    rotation = Rotation(of_max=4096)
    rotation.image_written(0, 1, 100_000)
    rotation.delta_written(int(IMAGE_PRICE * 100_000) - 1)
    assert rotation.due() == []
    rotation.delta_written(1)
    assert rotation.due() == [0]


def test_an_image_that_is_too_large_doubles_the_buckets_and_the_oldest_halves_come_first() -> None:
    rotation = Rotation(of_max=4096)
    rotation.image_encoded(1, IMAGE_BYTES_MAX + 1, 1)
    assert rotation.of == 2
    rotation.image_written(0, 1, IMAGE_BYTES_MAX + 1)
    rotation.image_encoded(2, IMAGE_BYTES_MAX + 1, 1)
    rotation.image_written(0, 2, IMAGE_BYTES_MAX + 1)
    assert rotation.of == 4
    rotation.delta_written(int(IMAGE_PRICE * IMAGE_BYTES_MAX))
    assert rotation.due()[:1] == [1], (
        "bucket 1 of 2 was not written since it was split off: its halves 1 and 3 are oldest"
    )


def test_an_image_of_too_many_keys_or_of_far_too_many_bytes_cuts_as_fine_as_it_takes() -> None:
    by_keys, by_bytes = Rotation(of_max=4096), Rotation(of_max=4096)
    by_keys.image_encoded(1, 1, 8 * IMAGE_KEYS_MAX)
    by_bytes.image_encoded(1, 16 * IMAGE_BYTES_MAX, 1)
    assert (by_keys.of, by_bytes.of) == (8, 16)


def test_there_are_never_more_buckets_than_keys_can_be_told_apart_by() -> None:
    rotation = Rotation(of_max=2)
    for _ in range(5):
        rotation.image_encoded(rotation.of, 10 * IMAGE_BYTES_MAX, 10)
    assert rotation.of == 2


def test_restoring_an_image_of_fewer_buckets_makes_all_that_it_covers_young() -> None:
    rotation = Rotation(of_max=4096)
    rotation.image_written(3, 4, 10)
    rotation.image_written(0, 2, 10)
    rotation.delta_written(TURN_PRICE_MIN)
    assert rotation.of == 4
    assert rotation.due() == [1, 3, 0, 2]


def test_a_commit_carries_as_many_buckets_as_are_paid_for_but_not_all_at_once() -> None:
    rotation = Rotation(of_max=4096)
    rotation.image_encoded(1, 8 * IMAGE_BYTES_MAX, 1)
    for index in range(8):
        rotation.image_written(index, 8, 10_000)
    rotation.delta_written(int(2.9 * IMAGE_PRICE * 10_000))
    assert rotation.due() == [0, 1]
    rotation.delta_written(1_000_000)
    assert rotation.due() == [0, 1, 2, 3]


@given(st.lists(st.integers(200, 60_000), min_size=50, max_size=300), st.integers(1, 3_000_000))
def test_what_a_restore_reads_is_bounded_by_three_times_the_live_state(deltas: list[int], live: int) -> None:
    """The log as the rotation makes it: every bucket's newest image, and everything since the oldest of them."""
    rotation = Rotation(of_max=4096)
    log: list[tuple[str, int, int, int]] = []
    for delta in deltas * 40:
        log.append(("delta", 0, 0, delta))
        rotation.delta_written(delta)
        of, size = rotation.of, live // rotation.of
        for index in rotation.due():
            rotation.image_encoded(of, size, 1)
            rotation.image_written(index, of, size)
            log.append(("image", index, of, size))
    needed = retained(log)
    slack = TURN_PRICE_MIN + max(deltas) * 2 * rotation.of
    assert sum(size for *_, size in needed) <= 3 * live + slack


def retained(log: list[tuple[str, int, int, int]]) -> list[tuple[str, int, int, int]]:
    """The log from the oldest newest image on; all of it while some bucket has none."""
    of = max((of for kind, _, of, _ in log if kind == "image"), default=0)
    newest: dict[int, int] = {}
    for at, (kind, index, buckets, _) in enumerate(log):
        if kind == "image":
            newest |= dict.fromkeys(range(index, of, buckets), at)
    return log[min(newest.values()) :] if of and len(newest) == of else log if of else []
