"""Stage 1 of a rekeyed source: what it writes, and what stage 2 reads of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.rekeyed import REKEYED
from tests.stage import compiled

from penstock.operators.event import Arrived, Progress, Ticked
from penstock.operators.gathered import STRANGER, Gathered, unpacked
from penstock.operators.moved import Moved, arrived, on_its_way, place_of
from penstock.operators.record import DeadLetter, Output, Record
from penstock.operators.rekey import RekeyTask, task_of
from penstock.operators.task import Cut, Task
from penstock.operators.watermark import NEVER
from penstock.pipelines.rekeying import staged
from penstock.state.delta import Mark

STAGES = staged(compiled(REKEYED.replace("idle: never", "idle: 10s").replace("delay: 1m", "delay: 5s")))
(FIRST,) = STAGES.first
TOPIC = "dev.watch.rekey.auth"
T = 1_795_000_000_000


def login(offset: int, host: str, time: int, outcome: str = "ok", key: bytes | None = None) -> Record:
    value = json.dumps({"host": host, "outcome": outcome, "t": T + 1000 * time}).encode()
    return Record("auth", 2, offset, T + 1000 * time, key, value, (("x", b"y"),))


class FirstStage:
    """Partition 2 of 3, and its commits."""

    def __init__(self) -> None:
        self.task = RekeyTask(FIRST.plan, 2, 3)
        self.now, self._end, self._seq = T, 0, 0

    def feed(self, *records: Record) -> None:
        self._end = records[-1].offset + 1
        self.task.feed(Arrived({"auth": records}, self._progress(), self.now))

    def wait(self, ms: int) -> None:
        self.now += ms
        self.task.feed(Ticked(self.now, self._progress()))

    def _progress(self) -> dict[str, Progress]:
        return {"auth": Progress(self._end, self._end, self.now)}

    def cut(self) -> Cut:
        self._seq += 1
        return self.task.cut(seq=self._seq, incarnation=1, owner="o", build="b", sent={}, kind="delta")

    def mark(self) -> Mark:
        found = mark_in(self.cut().outputs)
        assert found is not None
        return found


def written(output: Output, offset: int = 0) -> Record:
    """As it lies in the rekeyed topic."""
    return Record(output.topic, 0, offset, 99, output.key, output.value, output.headers)


def mark_in(outputs: Sequence[Output]) -> Mark | None:
    found = arrived(written(outputs[-1]), "auth")
    return found if isinstance(found, Mark) else None


def test_a_record_goes_to_the_partition_of_its_contexts_key_with_all_that_it_was() -> None:
    stage, raw = FirstStage(), login(7, "a", 0, key=b"other")
    stage.feed(raw)
    moved, mark = stage.cut().outputs
    assert (moved.topic, moved.key, moved.spread, moved.id) == (TOPIC, b"a", "key", "auth/2@7")
    assert (mark.key, mark.spread) == (None, "all")
    brought = arrived(written(moved, 50), "auth")
    assert isinstance(brought, Moved)
    assert Record(*(getattr(brought, name) for name in Record.__slots__)) == raw
    assert place_of(brought).offset == 50


def test_a_record_without_a_key_has_none_when_it_has_arrived() -> None:
    for key in (None, b"", b"k"):
        brought = arrived(written(on_its_way(login(0, "a", 0, key=key), "a", TOPIC)), "auth")
        assert isinstance(brought, Moved)
        assert brought.key == key


def test_the_mark_is_the_last_record_of_a_commit_and_says_what_was_read_and_how_far_time_has_come() -> None:
    stage = FirstStage()
    assert stage.mark() == Mark(2, 3, 0, None, False)
    stage.feed(login(0, "a", 10), login(1, "b", 12), login(2, "a", 11))
    assert stage.mark() == Mark(2, 3, 3, T + 7_000, False)


def test_dead_letters_leave_from_here_and_what_is_ignored_moves_nothing_but_time() -> None:
    stage = FirstStage()
    stage.feed(login(0, "a", 10, "ping"), Record("auth", 2, 1, T, None, b"{"))
    letter, mark = stage.cut().outputs
    assert letter.topic == STAGES.main.plan.dead_topic
    assert mark_in([mark]) == Mark(2, 3, 2, T + 5_000, False)
    assert (stage.task.counters["ignored", "auth"], stage.task.counters["events", "auth"]) == (1, 2)


def test_the_delta_holds_what_leaves_with_it_so_that_it_can_be_written_again() -> None:
    stage = FirstStage()
    stage.feed(login(0, "a", 10))
    cut = stage.cut()
    assert cut.delta.outputs == cut.outputs
    assert cut.delta.facts == []


def test_silence_is_told_once_a_second_and_never_hurries_a_commit() -> None:
    stage = FirstStage()
    stage.feed(login(0, "a", 10))
    stage.cut()
    stage.wait(10_500)
    assert not stage.task.dirty
    stage.wait(500)
    assert (stage.task.dirty, stage.task.eventful, stage.task.urgent) == (True, False, False)
    assert stage.mark().watermark == T + 6_000
    assert not stage.task.dirty


def test_a_partition_that_never_had_an_event_is_told_to_be_silent() -> None:
    stage = FirstStage()
    stage.cut()
    stage.wait(10_000)
    assert stage.task.dirty
    assert stage.mark() == Mark(2, 3, 0, None, True)


def test_a_plan_says_whose_task_it_is() -> None:
    assert type(task_of(STAGES.main.plan, 0, 3)) is Task
    assert type(task_of(FIRST.plan, 0, 3)) is RekeyTask


# --- stage 2: time, and what came before -----------------------------------------------------------------------------


def fed(gathered: Gathered, *arrivals: Record | Mark, delay: int = 5_000) -> list[int]:
    """Offsets of the records that were let through, by their own time."""
    offsets = []
    pairs = [(each if isinstance(each, Record) else login(0, "", 0), each) for each in arrivals]
    reads = [(raw, each if isinstance(each, Mark) else ("k", raw.timestamp, None)) for raw, each in pairs]
    for raw, read in gathered.passing(reads, lambda: None):
        assert not isinstance(read, DeadLetter)
        gathered.advance(read[1])
        offsets.append(raw.offset)
    return offsets


def test_time_waits_until_something_is_known_of_every_partition() -> None:
    gathered = Gathered(5_000)
    fed(gathered, Mark(0, 2, 0, T, False))
    assert gathered.watermark == NEVER
    fed(gathered, Mark(1, 2, 0, T + 9, False))
    assert gathered.watermark == T


def test_time_is_that_of_the_partition_that_is_furthest_behind() -> None:
    gathered = Gathered(5_000)
    fed(gathered, Mark(2, 2, 0, T, False), Mark(1, 2, 0, T + 9, False), login(0, "a", 20))
    assert gathered.watermark == T + 9
    fed(gathered, Mark(1, 2, 9, T + 40_000, False))
    assert gathered.watermark == T + 15_000


def test_a_silent_partition_is_not_waited_for_and_does_not_take_time_back_when_it_speaks() -> None:
    gathered = Gathered(5_000)
    fed(gathered, Mark(2, 2, 0, None, True), Mark(1, 2, 0, T + 60_000, False))
    assert (gathered.watermark, gathered.left_out) == (T + 60_000, False)
    fed(gathered, login(0, "a", 20))
    assert gathered.watermark == T + 60_000
    assert Gathered(0).left_out is False


def test_what_was_written_again_is_left_out() -> None:
    gathered = Gathered(5_000)
    commit: list[Record | Mark] = [login(4, "a", 1), login(6, "a", 2), Mark(2, 1, 8, T, False)]
    assert fed(gathered, *commit[:1]) == [4]
    assert fed(gathered, *commit) == [6]
    assert fed(gathered, *commit, login(8, "a", 3)) == [8]


def test_an_old_mark_says_nothing() -> None:
    gathered = Gathered(5_000)
    fed(gathered, Mark(2, 1, 8, T, False), Mark(2, 1, 3, None, True))
    assert not gathered.left_out


def test_what_is_saved_is_what_was_known() -> None:
    gathered, again = Gathered(5_000), Gathered(5_000)
    fed(gathered, Mark(0, 2, 5, T, False), Mark(2, 2, 0, T, False), login(4, "a", 9))
    again.restore_marks(gathered.marks())
    assert again.watermark == gathered.watermark
    assert fed(again, login(4, "a", 9), login(5, "a", 9)) == [5]


def test_what_stage_1_has_not_written_is_a_dead_letter() -> None:
    for headers in ((), (("x", b"y"),), (("penstock-mark", b"{"),), (("penstock-origin", b"[1]"),)):
        raw = Record(TOPIC, 0, 3, T, None, b"hello", headers)
        assert unpacked(raw, "auth", lambda raw: ("k", T, None)) == (raw, STRANGER)
        assert list(Gathered(0).passing([(raw, STRANGER)], lambda: None)) == [(raw, STRANGER)]
