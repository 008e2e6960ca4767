"""What a scenario expects beside what happened."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from penstock.pipelines.scenario import Expect
from penstock.pipelines.scenario_compare import NOTHING, Difference, Field, compared, counted
from penstock.pipelines.scenario_play import Played
from penstock.pipelines.scenario_time import Moment


def ended(name: str, second: int = 0, key: str = "k") -> dict[str, Any]:
    return {"trigger": name, "key": key, "at": Moment(second * 1000, 0), "by": None, "tenant": None, "reason": None}


def found(expected: Any, *happened: dict[str, Any], section: str = "resolved") -> list[Difference]:
    played = Played()
    getattr(played, section).extend(happened)
    return list(compared(Expect.model_validate({section: expected}), played))


def kinds(differences: list[Difference]) -> list[tuple[str, int]]:
    return [(each.kind, each.place) for each in differences]


def fields(expected: Any, actual: Any) -> list[tuple[str, Any, Any]]:
    """Of one result with one field."""
    differences = found([{"answer": expected}], {"answer": actual}, section="results")
    return [(field.path, field.expected, field.actual) for each in differences for field in each.fields]


def test_of_a_map_only_what_is_written_counts() -> None:
    assert fields({"a": 1}, {"a": 1, "b": 2}) == []
    assert fields({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}) == [("answer.a.b", 1, 2)]
    assert fields({"a": 1, "b": 2}, {"a": 1}) == [("answer.b", 2, NOTHING)]


def test_a_list_is_the_whole_list_and_of_its_maps_only_what_is_written_counts() -> None:
    assert fields([1, 2], [1, 2, 3]) == [("answer", [1, 2], [1, 2, 3])]
    assert fields([{"a": 1}, 5], [{"a": 1, "b": 2}, 6]) == [("answer[1]", 5, 6)]


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        (1, 1.0, True), (0.1 + 0.2, 0.3, True), (1, 1.001, False), (True, 1, False), (0, False, False), (True, True, True),
        (None, None, True), (None, 0, False), ("1", 1, False), ({}, [], False), ({}, {"a": 1}, True), (0, 1e-15, True),
    ],
)  # fmt: skip
def test_values_are_equal_as_json_is_but_for_the_last_digits_of_numbers(
    expected: Any, actual: Any, equal: bool
) -> None:
    assert (fields(expected, actual) == []) is equal


def test_a_time_may_be_written_in_any_way() -> None:
    assert found([{"at": "60s"}], ended("a", 60)) == []
    (difference,) = found([{"at": "61s"}], ended("a", 60))
    assert difference.fields == (Field("at", "61s", Moment(60_000, 0)),)


def test_a_list_is_all_that_happened_in_order() -> None:
    assert found([{"trigger": "a"}, {"trigger": "b"}], ended("a"), ended("b")) == []
    assert kinds(found([], ended("a"), ended("b"))) == [("extra", 0), ("extra", 1)]
    assert kinds(found([{"trigger": "a"}])) == [("missing", 0)]


def test_what_is_in_between_does_not_make_everything_behind_it_wrong() -> None:
    happened = [ended("a"), ended("x"), ended("b", 7), ended("c")]
    expected = [{"trigger": "a"}, {"trigger": "b", "at": "5s"}, {"trigger": "c"}, {"trigger": "d"}]
    assert kinds(found(expected, *happened)) == [("differs", 1), ("missing", 3), ("extra", 1)]


def test_of_two_ways_to_pair_the_one_with_fewer_differences_is_taken() -> None:
    happened = [ended("a", 1), ended("a", 2)]
    (difference,) = found([{"trigger": "a", "at": "2s"}], *happened)
    assert (difference.kind, difference.item) == ("extra", happened[0])


def test_what_came_in_another_order_says_so() -> None:
    (difference,) = found([{"trigger": "b"}, {"trigger": "a"}], ended("a"), ended("b"))
    assert difference.fields in ((Field("place", 1, 2),), (Field("place", 2, 1),))


def test_another_key_is_another_thing_and_no_difference_of_it() -> None:
    assert kinds(found([{"key": "x"}], ended("a"))) == [("missing", 0), ("extra", 0)]


def test_any_asks_only_for_what_it_names() -> None:
    happened = [ended("a", 1), ended("b", 2)]
    assert found({"any": [{"trigger": "b"}, {"at": "1s"}]}, *happened) == []
    (difference,) = found({"any": [{"trigger": "b", "at": "9s"}, {"trigger": "a"}]}, *happened)
    assert (difference.kind, difference.place, difference.fields[0].path) == ("differs", 0, "at")
    assert kinds(found({"any": [{"trigger": "c"}]}, *happened)) == [("missing", 0)]


def test_never_refuses_all_that_is_like_it() -> None:
    happened = [ended("a", 1), ended("b", 2), ended("a", 3)]
    assert found({"never": [{"trigger": "c"}, {"trigger": "a", "at": "2s"}]}, *happened) == []
    assert kinds(found({"never": [{"trigger": "a"}]}, *happened)) == [("forbidden", 0), ("forbidden", 0)]


def test_a_prompt_holds_texts_and_lacks_others() -> None:
    prompt = {"agent": "judge", "text": "Key: web-1\nIs web-1 under attack?"}
    assert found([{"contains": ["web-1", "attack"], "lacks": "web-2"}], prompt, section="prompts") == []
    (difference,) = found(
        [{"contains": ["Is web-2 under attack?", "0123456789"], "lacks": "web-1"}], prompt, section="prompts"
    )
    assert difference.fields == (
        Field("contains", "Is web-2 under attack?", "Is web-1 under attack?"),
        Field("contains", "0123456789", NOTHING),
        Field("lacks", "web-1", "Key: web-1"),
    )


def test_counts_are_sums_or_of_one_thing() -> None:
    counters: Counter[tuple[str, ...]] = Counter({("late", "auth"): 2, ("late", "web"): 1, ("dead", "time"): 1})
    assert counted(counters, "late") == 3
    played = Played(counters=counters)
    assert compared(Expect.model_validate({"counts": {"late": 3, "dead": {"time": 1}, "ignored": 0}}), played) == []
    (difference,) = compared(Expect.model_validate({"counts": {"late": 2, "dead": {"keyless": 1}}}), played)
    assert difference.fields == (Field("late", 2, 3), Field("dead.keyless", 1, 0))


def test_what_was_held_back_did_not_fire() -> None:
    why = {"values": {}, "events": 1}
    result = {
        **ended("a"), "labels": {}, "annotations": {}, "end": False, "why": why, "state": "skipped", "corrects": None
    }  # fmt: skip
    assert Played(results=[result]).firings == []
    assert len(Played(results=[{**result, "state": "final"}]).firings) == 1
