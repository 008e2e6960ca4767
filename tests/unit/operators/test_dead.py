from __future__ import annotations

from penstock.operators.dead import dead_letter, refused_output
from penstock.operators.record import DeadLetter, Output, Record

RAW = Record("auth-log", 3, 1841, 1_795_252_447_250, b"k\xff", b"\xff not json", (("trace", b"\x00"),))


def test_a_dead_letter_is_the_record_as_it_was_with_the_reason_in_headers() -> None:
    assert dead_letter(RAW, DeadLetter("undecodable", "not JSON: é"), "dead") == Output(
        id="auth-log/3@1841",
        topic="dead",
        key=b"k\xff",
        value=b"\xff not json",
        headers=(
            ("trace", b"\x00"),
            ("penstock-dead-reason", b"undecodable"),
            ("penstock-dead-detail", "not JSON: é".encode()),
            ("penstock-dead-topic", b"auth-log"),
            ("penstock-dead-partition", b"3"),
            ("penstock-dead-offset", b"1841"),
            ("penstock-dead-timestamp", b"1795252447250"),
        ),
    )


def test_a_redriven_record_that_dies_again_carries_one_reason_only() -> None:
    first = dead_letter(RAW, DeadLetter("keyless", "a"), "dead")
    again = Record("auth-log", 3, 2000, 0, first.key, first.value, first.headers)
    headers = dead_letter(again, DeadLetter("undecodable", "b"), "dead").headers
    assert [value for name, value in headers if name == "penstock-dead-reason"] == [b"undecodable"]
    assert headers[0] == ("trace", b"\x00")


def test_missing_keys_and_values_stay_missing_and_details_are_bounded() -> None:
    letter = dead_letter(Record("t", 0, 0, 0, None, None), DeadLetter("tombstone", "x" * 5000), "dead")
    assert (letter.key, letter.value) == (None, None)
    assert len(dict(letter.headers)["penstock-dead-detail"]) == 1000


def test_a_refused_output_is_replaced_by_a_reference_to_it() -> None:
    replaced = refused_output(Output("0-ab/4", "results", b"k", b"x" * 10), "too large", "dead")
    assert (replaced.id, replaced.topic, replaced.key, replaced.value) == ("results/0-ab/4", "dead", b"k", None)
    assert dict(replaced.headers) == {
        "penstock-dead-reason": b"refused",
        "penstock-dead-detail": b"too large",
        "penstock-dead-topic": b"results",
        "penstock-dead-id": b"0-ab/4",
    }


def test_a_dead_letter_that_is_refused_still_says_which_record_died_and_why() -> None:
    letter = dead_letter(RAW, DeadLetter("too_large", "2 MiB"), "dead")
    replaced = refused_output(letter, "takes at most 1 MiB", "dead")
    assert (replaced.id, replaced.topic, replaced.key, replaced.value) == ("auth-log/3@1841", "dead", b"k\xff", None)
    assert dict(replaced.headers) == {
        "penstock-dead-reason": b"too_large",
        "penstock-dead-detail": b"2 MiB",
        "penstock-dead-topic": b"auth-log",
        "penstock-dead-partition": b"3",
        "penstock-dead-offset": b"1841",
        "penstock-dead-timestamp": b"1795252447250",
        "penstock-dead-refused": b"takes at most 1 MiB",
        "penstock-dead-id": b"auth-log/3@1841",
    }


def test_what_is_left_of_a_dead_letter_gets_smaller_until_nothing_can_be_left_out() -> None:
    letter = dead_letter(RAW, DeadLetter("key_too_large", "x"), "dead")
    reference = refused_output(letter, "too large", "dead")
    keyless = refused_output(reference, "still too large", "dead")
    assert (keyless.key, keyless.headers) == (None, reference.headers)
    assert refused_output(keyless, "even so", "dead") == keyless


def test_a_reference_to_a_result_loses_its_key_if_that_is_too_large() -> None:
    reference = refused_output(Output("0-ab/4", "results", b"k" * 10, b"x"), "too large", "dead")
    assert refused_output(reference, "the key", "dead") == Output(reference.id, "dead", None, None, reference.headers)
