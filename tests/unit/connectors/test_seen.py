from __future__ import annotations

from penstock.connectors.seen import Seen


def test_an_id_is_known_from_its_marks_when_the_input_is_opened_again() -> None:
    marks = dict(Seen({}).add(["a", "b"]).put)
    again = Seen({**marks, "begun": b""})
    assert "a" in again
    assert "b" in again
    assert "c" not in again


def test_the_oldest_ids_are_forgotten_and_their_marks_are_dropped() -> None:
    seen = Seen({}, most=2)
    first = seen.add(["a", "b"])
    second = seen.add(["c"])
    assert [id for id in "abc" if id in seen] == ["b", "c"]
    assert list(second.drop) == list(first.put)[:1]
    again = Seen({name: mark for name, mark in {**first.put, **second.put}.items() if name not in second.drop}, most=2)
    assert list(again.add(["d"]).drop) == list(first.put)[1:]


def test_more_ids_at_once_than_are_kept_leave_the_last_ones() -> None:
    seen = Seen({}, most=2)
    marks = seen.add(["a", "b", "c"])
    assert len(marks.put) == 2
    assert "a" not in seen
