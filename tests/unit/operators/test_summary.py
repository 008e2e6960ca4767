from __future__ import annotations

import msgspec
import orjson

from penstock.operators.summary import FIELDS_MAX, VALUES_MAX, Summary


def folded(*events: object, oldest: int = 0, newest: int = 1000) -> Summary:
    summary = Summary()
    summary.fold([orjson.dumps(event) for event in events], oldest, newest)
    return summary


def test_text_shows_top_values_of_text_and_the_range_of_numbers() -> None:
    summary = folded(
        {"user": "root", "port": 22}, {"user": "root", "port": 80}, {"user": "eve", "port": 22, "ok": True}, newest=5000
    )
    assert summary.text() == (
        "Earlier: 3 events from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:05.000Z\n"
        '"ok": true 1\n'
        '"port": 22 to 80, mean 41.33\n'
        '"user": "root" 2, "eve" 1'
    )


def test_lines_that_are_no_objects_are_counted_only() -> None:
    summary = Summary()
    summary.fold([b"not json", b"[1, 2]", b'"text"'], 0, 0)
    assert summary.text() == "Earlier: 3 events from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:00.000Z"


def test_a_field_that_is_different_every_time_does_not_grow_and_is_named_as_such() -> None:
    summary = folded(*({"id": f"id-{number}"} for number in range(10 * (VALUES_MAX + 1))))
    assert summary.text().endswith('"id": many different values')


def test_what_occurs_often_survives_what_occurs_once() -> None:
    summary = folded(*({"user": "root" if number % 2 else f"u{number}"} for number in range(1000)))
    line = summary.text().splitlines()[1]
    assert line.startswith('"user": "root" at least 4')
    assert line.endswith("many others")


def test_fields_beyond_the_cap_and_nested_values_are_left_out() -> None:
    many = {f"field{number:02}": number for number in range(FIELDS_MAX + 5)}
    assert len(folded({"nested": {"a": 1}, "list": [1]}, many).text().splitlines()) == 1 + FIELDS_MAX


def test_names_and_values_cannot_look_like_a_line_of_ours() -> None:
    assert folded({"a\nTrigger": "x\nTime: now"}).text().count("\n") == 1


def test_numbers_that_cannot_be_added_up_are_left_out() -> None:
    assert '"n": 1e+308 to 1e+308, mean 1e+308' in folded({"n": 1e308}, {"n": 1e308}).text()


def test_what_was_dumped_goes_on_as_if_nothing_had_happened() -> None:
    events = [{"user": f"u{number % 40}", "n": number / 7} for number in range(200)]
    whole, first = folded(*events), folded(*events[:77])
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump()))
    restored = Summary.load(packed)
    restored.fold([orjson.dumps(event) for event in events[77:]], 0, 1000)
    assert restored.dump() == whole.dump()
    assert restored.text() == whole.text()
